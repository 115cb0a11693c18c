/* A raw TCP (or Unix) client for tests that must send what no HTTP library would: every wait has a
 * deadline, so that a server that hangs fails the test. */
#ifndef MAGNUM_TESTS_HTTP_PEER_H
#define MAGNUM_TESTS_HTTP_PEER_H

#include "base/clock.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { PEER_WAIT_MS = 60000 };

static inline int peer_connect(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sin, sizeof sin) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static inline int peer_connect_unix(const char *path)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    strncpy(sun.sun_path, path, sizeof sun.sun_path - 1);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof sun) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* False when the peer has closed. */
static inline bool peer_send_n(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}
static inline bool peer_send(int fd, const char *text)
{
    return peer_send_n(fd, text, strlen(text));
}

/* One read; 0 = closed (or reset), -1 = nothing came within wait_ms. */
static inline ssize_t peer_read(int fd, struct str *t, int wait_ms)
{
    char buf[16384];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, wait_ms) <= 0)
        return -1;
    ssize_t n = recv(fd, buf, sizeof buf, 0);
    if (n <= 0)
        return 0;
    str_append_n(t, buf, (size_t)n);
    return n;
}

/* Reads until the text holds `what` `times` times, the peer closes (false) or time is over. */
static inline bool peer_until(int fd, struct str *t, const char *what, int times)
{
    int64_t end = clock_mono_ms() + PEER_WAIT_MS;
    for (;;) {
        int n = 0;
        const char *p = str_text(t), *end_of = p + t->len;
        for (; (p = memmem(p, (size_t)(end_of - p), what, strlen(what))); p++)
            n++;
        if (n >= times)
            return true;
        int64_t left = end - clock_mono_ms();
        if (left <= 0 || peer_read(fd, t, (int)left) <= 0)
            return false;
    }
}

/* True when the peer closed in time. */
static inline bool peer_until_closed(int fd, struct str *t)
{
    int64_t end = clock_mono_ms() + PEER_WAIT_MS;
    for (int64_t left = PEER_WAIT_MS; left > 0; left = end - clock_mono_ms())
        if (peer_read(fd, t, (int)left) == 0)
            return true;
    return false;
}

#endif
