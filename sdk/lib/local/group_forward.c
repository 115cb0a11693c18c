/* Forwarding of TCP connections between a node's network and others: how the host reaches an API
 * that listens inside the node, and how a worker reaches whichever master is alive. One process per
 * connection, since there are few and they live long. See group.h. */
#include "lib/local/group.h"

#include "lib/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { CONNECT_MS = 3000, AT_ONCE = 512, CHUNK = 64 << 10 };

static bool parse_address(const char *text, struct sockaddr_in *ret)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof host)
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return !*end && port > 0 && port < 65536 && inet_pton(AF_INET, host, &ret->sin_addr) == 1;
}

int group_listen(const char *where)
{
    struct sockaddr_in a;
    int one = 1;
    if (strncmp(where, "fd:", 3) == 0)
        return (int)strtol(where + 3, NULL, 10);
    if (!parse_address(where, &a)) {
        errno = EINVAL;
        return -1;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 128) == 0)
        return fd;
    int saved = errno;
    if (fd >= 0)
        (void)close(fd);
    errno = saved;
    return -1;
}

/* A connected socket, or -1. */
static int reach(const struct sockaddr *to, socklen_t len)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), bad = 0;
    socklen_t n = sizeof bad;
    if (fd < 0)
        return -1;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    if (connect(fd, to, len) == 0 ||
        (errno == EINPROGRESS && poll(&p, 1, CONNECT_MS) > 0 &&
         getsockopt(fd, SOL_SOCKET, SO_ERROR, &bad, &n) == 0 && bad == 0))
        return fd;
    (void)close(fd);
    return -1;
}

bool group_listens(const char *where)
{
    struct sockaddr_in in;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = -1;
    if (where[0] == '/' && strlen(where) < sizeof un.sun_path) {
        memcpy(un.sun_path, where, strlen(where) + 1);
        fd = reach((struct sockaddr *)&un, sizeof un);
    } else if (parse_address(where, &in)) {
        fd = reach((struct sockaddr *)&in, sizeof in);
    }
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

static int reach_one_of(const json_t *to)
{
    size_t i;
    json_t *j;
    json_array_foreach(to, i, j)
    {
        struct sockaddr_in a;
        const char *text = json_string_value(j);
        int fd = text && parse_address(text, &a) ? reach((struct sockaddr *)&a, sizeof a) : -1;
        if (fd >= 0)
            return fd;
    }
    return -1;
}

struct way { /* one direction of a connection */
    int from, to;
    size_t used, sent;
    bool closed; /* nothing more comes */
    char buf[CHUNK];
};

/* Moves what can be moved; false: the connection is broken. */
static bool move(struct way *w)
{
    if (w->sent == w->used && !w->closed) {
        ssize_t n = read(w->from, w->buf, sizeof w->buf);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        w->used = (size_t)n;
        w->sent = 0;
        if (n == 0) {
            w->closed = true;
            (void)shutdown(w->to, SHUT_WR);
        }
    }
    while (w->sent < w->used) {
        ssize_t n = send(w->to, w->buf + w->sent, w->used - w->sent, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        w->sent += (size_t)n;
    }
    return true;
}

static short wish(const struct way *in, const struct way *out)
{
    return (short)((in->closed || in->sent < in->used ? 0 : POLLIN) |
                   (out->sent < out->used ? POLLOUT : 0));
}

static _Noreturn void shuttle(int client, int server)
{
    static struct way up, down;
    int one = 1;
    up = (struct way){.from = client, .to = server};
    down = (struct way){.from = server, .to = client};
    (void)fcntl(client, F_SETFL, O_NONBLOCK);
    (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    while (!up.closed || !down.closed || up.sent < up.used || down.sent < down.used) {
        struct pollfd p[2] = {{.fd = client, .events = wish(&up, &down)},
                              {.fd = server, .events = wish(&down, &up)}};
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            _exit(1);
        if (((p[0].revents | p[1].revents) & POLLERR) || !move(&up) || !move(&down))
            _exit(0);
    }
    _exit(0);
}

_Noreturn void group_forward(int listen_fd, const json_t *to)
{
    unsigned running = 0;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGTERM, SIG_DFL);
    for (;;) {
        while (running && waitpid(-1, NULL, running < AT_ONCE ? WNOHANG : 0) > 0)
            running--;
        struct pollfd p = {.fd = listen_fd, .events = POLLIN};
        if (poll(&p, 1, running ? 1000 : -1) <= 0)
            continue;
        int client = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0)
            continue;
        pid_t pid = fork();
        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            (void)close(listen_fd);
            int server = reach_one_of(to);
            if (server < 0)
                _exit(1);
            shuttle(client, server);
        }
        running += pid > 0;
        (void)close(client);
    }
}
