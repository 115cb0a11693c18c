/* The limit the API is held against: libmicrohttpd with the API's own threading, answering a fixed
 * document of the size of GET /v1/clusters/{id}. Prints its port and serves until standard input
 * closes. Neighbours: bench.py. */
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum MHD_Result answer(void *cls, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    static int seen;
    (void)url;
    (void)method;
    (void)version;
    (void)data;
    (void)size;
    if (!*state) {
        *state = &seen; /* answering on the first call would close the connection */
        return MHD_YES;
    }
    return MHD_queue_response(c, MHD_HTTP_OK, cls);
}

int main(int argc, char **argv)
{
    unsigned threads = argc > 1 ? (unsigned)atoi(argv[1]) : 4;
    static char body[1800];
    memset(body, 'x', sizeof body);
    struct MHD_Response *r =
        MHD_create_response_from_buffer(sizeof body, body, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(r, "Content-Type", "application/json");
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct MHD_Daemon *d = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, answer, r,
                                            MHD_OPTION_SOCK_ADDR, &sa, MHD_OPTION_THREAD_POOL_SIZE,
                                            threads, MHD_OPTION_END);
    if (!d)
        return 1;
    printf("%u\n", MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port);
    fflush(stdout);
    char c;
    while (read(STDIN_FILENO, &c, 1) > 0)
        continue;
    MHD_stop_daemon(d);
    MHD_destroy_response(r);
    return 0;
}
