/* A connection of our own with each thread of the pool, over which the watcher sends a byte at each
 * look. libmicrohttpd takes up to 128 events at once and, having got as many, asks for more before
 * it works on those, however long that takes: exactly 128 requests that come together would wait
 * until somebody else comes. With this there is always somebody else.
 * To the library each of them is one request whose body never ends.
 * Neighbours: server_internal.h. */
#include "http/server_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

/* An address that nobody who connects can have: by it they are told apart. Its length is that of no
 * IP address, or the limit of connections for each of those would count it. */
static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
static const socklen_t nobody_len = offsetof(struct sockaddr, sa_data);

bool tick_is(struct MHD_Connection *mhd)
{
    const struct sockaddr *sa =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    return sa && sa->sa_family == nobody.sa_family;
}

/* The library gives what is added to the thread at the descriptor's number modulo their number. */
static int renumber(int *fd, unsigned remainder, unsigned threads, struct err *e)
{
    while ((unsigned)*fd % threads != remainder) {
        int next = fcntl(*fd, F_DUPFD_CLOEXEC, *fd + 1);
        if (next < 0)
            return err_errno(e, errno, "cannot renumber a descriptor");
        (void)close(*fd);
        *fd = next;
    }
    return 0;
}

static int add_tick(struct http_server *s, unsigned thread, unsigned threads, struct err *e)
{
    static const char begin[] = "POST / HTTP/1.1\r\nHost: watcher\r\n"
                                "Content-Length: 9223372036854775807\r\n\r\n";
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return err_errno(e, errno, "cannot make a pair of sockets");
    _cleanup_close_ int ours = pair[0], theirs = pair[1];
    int rc = renumber(&theirs, thread, threads, e);
    if (rc != 0)
        return rc;
    if (send(ours, begin, sizeof begin - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof begin - 1))
        return err_errno(e, errno, "cannot write to a new pair of sockets");
    enum MHD_Result added = MHD_add_connection(s->daemon, theirs, &nobody, nobody_len);
    theirs = -1; /* the daemon's, or closed by it */
    if (added != MHD_YES)
        return err_set(e, ERR_INTERNAL, "the HTTP server takes no connection");
    pthread_mutex_lock(&s->lock);
    s->ticks[s->n_ticks++] = ours;
    pthread_mutex_unlock(&s->lock);
    ours = -1;
    return 0;
}

int tick_start(struct http_server *s, unsigned threads, struct err *e)
{
    s->ticks = calloc(threads, sizeof *s->ticks);
    if (!s->ticks)
        return err_nomem(e);
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < threads; i++)
        rc = add_tick(s, i, threads, e);
    return rc;
}

void tick_all(struct http_server *s)
{
    for (unsigned i = 0; i < s->n_ticks; i++) /* full: that thread has enough to wake up for */
        (void)!send(s->ticks[i], "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void tick_end(struct http_server *s)
{
    for (unsigned i = 0; i < s->n_ticks; i++)
        (void)close(s->ticks[i]);
    free(s->ticks);
    s->ticks = NULL;
    s->n_ticks = 0;
}
