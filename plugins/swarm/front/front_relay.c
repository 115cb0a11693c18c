/* Bytes from TLS to a plain socket and back, with the ends of both directions passed on: Docker's
 * attach and exec half-close. See front.h. */
#include "front.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

enum { CHUNK = 16 << 10, LINGER_MS = 60000 };

struct way { /* one direction */
    char buf[CHUNK];
    size_t at, len; /* what is not written yet */
    bool ended;     /* the source said so */
    bool passed_on; /* and the sink was told */
};
struct relay {
    SSL *ssl;
    int tls_fd, plain_fd;
    struct way up, down; /* client to daemon, daemon to client */
    short tls_wants, plain_wants;
    bool broken;
};

static size_t left(const struct way *w)
{
    return w->len - w->at;
}

static void filled(struct way *w, size_t n)
{
    w->at = 0;
    w->len = n;
}

/* What a TLS call that did not succeed means; true: the way has ended. */
static bool tls_ended(struct relay *r, int rc)
{
    switch (SSL_get_error(r->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        r->tls_wants |= POLLIN;
        return false;
    case SSL_ERROR_WANT_WRITE:
        r->tls_wants |= POLLOUT;
        return false;
    case SSL_ERROR_ZERO_RETURN:
        return true;
    default:
        r->broken = true;
        ERR_clear_error();
        return true;
    }
}

static bool read_tls(struct relay *r)
{
    struct way *w = &r->up;
    if (left(w) || w->ended)
        return false;
    int n = SSL_read(r->ssl, w->buf, CHUNK);
    if (n > 0)
        filled(w, (size_t)n);
    else
        w->ended = tls_ended(r, n);
    return n > 0 || w->ended;
}

static bool write_plain(struct relay *r)
{
    struct way *w = &r->up;
    if (left(w)) {
        ssize_t n = send(r->plain_fd, w->buf + w->at, left(w), MSG_NOSIGNAL);
        if (n > 0)
            w->at += (size_t)n;
        else if (errno == EAGAIN || errno == EINTR)
            r->plain_wants |= POLLOUT;
        else /* the daemon listens no more; what it says last is still passed on */
            w->at = w->len = 0, w->ended = true;
        return n > 0;
    }
    if (w->ended && !w->passed_on) {
        (void)shutdown(r->plain_fd, SHUT_WR);
        w->passed_on = true;
    }
    return false;
}

static bool read_plain(struct relay *r)
{
    struct way *w = &r->down;
    if (left(w) || w->ended)
        return false;
    ssize_t n = read(r->plain_fd, w->buf, CHUNK);
    if (n > 0)
        filled(w, (size_t)n);
    else if (n < 0 && (errno == EAGAIN || errno == EINTR))
        r->plain_wants |= POLLIN;
    else
        w->ended = true;
    return n > 0 || w->ended;
}

static bool write_tls(struct relay *r)
{
    struct way *w = &r->down;
    if (left(w)) {
        int n = SSL_write(r->ssl, w->buf + w->at, (int)left(w));
        if (n > 0)
            w->at += (size_t)n;
        else if (tls_ended(r, n))
            r->broken = true;
        return n > 0;
    }
    if (w->ended && !w->passed_on) {
        (void)SSL_shutdown(r->ssl);
        ERR_clear_error();
        w->passed_on = true;
    }
    return false;
}

static bool over(const struct relay *r)
{
    return r->broken || (r->up.passed_on && r->down.passed_on);
}

void front_relay(struct ssl_st *ssl, int tls_fd, int plain_fd)
{
    struct relay r = {.ssl = ssl, .tls_fd = tls_fd, .plain_fd = plain_fd};
    while (!over(&r)) {
        r.tls_wants = r.plain_wants = 0;
        bool moved = read_tls(&r);
        moved |= write_plain(&r);
        moved |= read_plain(&r);
        moved |= write_tls(&r);
        if (moved || over(&r))
            continue;
        /* a side that is not asked for anything is not looked at: its hang-up would not go away */
        struct pollfd p[2] = {{.fd = r.tls_wants ? tls_fd : -1, .events = r.tls_wants},
                              {.fd = r.plain_wants ? plain_fd : -1, .events = r.plain_wants}};
        if (p[0].fd < 0) { /* but a client that is gone ends everything */
            p[0].fd = tls_fd;
            p[0].events = 0;
        }
        int n = poll(p, 2, r.down.passed_on ? LINGER_MS : -1);
        bool client_gone = !r.tls_wants && p[0].revents;
        if (n == 0 || (n < 0 && errno != EINTR) || client_gone)
            return;
    }
}
