/* See listen_internal.h. */
#include "http/listen_internal.h"

#include "config/config.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { BACKLOG = 1024, SOCKET_MODE = 0660 };

static int bound_port(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return 0;
    if (ss.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&ss)->sin6_port);
    return ntohs(((struct sockaddr_in *)&ss)->sin_port);
}

static int listen_on(const struct addrinfo *ai, const char *host, int port, int *ret, struct err *e)
{
    _cleanup_close_ int fd =
        socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);
    if (fd < 0)
        return err_errno(e, errno, "cannot make a socket for %s", host);
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        if (errno == EADDRINUSE)
            return err_set(e, ERR_BUSY,
                           "port %d of %s is taken by another process; stop it or set api.port",
                           port, host);
        return err_errno(e, errno, "cannot listen on %s port %d", host, port);
    }
    *ret = fd;
    fd = -1;
    return 0;
}

static int listen_tcp(const struct config *cfg, struct http_listener *l, struct err *e)
{
    char port[16];
    snprintf(port, sizeof port, "%d", (int)cfg->api_port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(cfg->api_host, port, &hints, &list);
    if (rc != 0)
        return err_set(e, ERR_CONFIG, "api.host \"%s\" is no address of this machine: %s",
                       cfg->api_host, gai_strerror(rc));
    struct err first = ERR_INIT; /* the first address is the one the operator meant */
    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) {
        rc = listen_on(ai, cfg->api_host, (int)cfg->api_port, &l->fd, first.code ? NULL : &first);
        if (rc == 0)
            break;
    }
    freeaddrinfo(list);
    if (rc != 0)
        return err_set(e, first.code, "%s", first.msg);
    l->port = bound_port(l->fd);
    return 0;
}

/* A socket file whose owner is gone refuses connections: only such a file is removed. */
static int clear_stale(const char *path, const struct sockaddr_un *sun, struct err *e)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : err_errno(e, errno, "cannot look at %s", path);
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, ERR_CONFIG, "%s exists and is no socket; set api.unix_socket elsewhere",
                       path);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_errno(e, errno, "cannot make a socket");
    if (connect(fd, (const struct sockaddr *)sun, sizeof *sun) == 0 || errno != ECONNREFUSED)
        return err_set(e, ERR_BUSY, "socket %s is taken by another process", path);
    if (unlink(path) < 0 && errno != ENOENT)
        return err_errno(e, errno, "cannot remove the stale socket %s", path);
    return 0;
}

static int listen_unix(const char *path, struct http_listener *l, struct err *e)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof sun.sun_path)
        return err_set(e, ERR_CONFIG, "api.unix_socket is longer than %zu characters: %s",
                       sizeof sun.sun_path - 1, path);
    memcpy(sun.sun_path, path, strlen(path) + 1);
    int rc = clear_stale(path, &sun, e);
    if (rc != 0)
        return rc;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_errno(e, errno, "cannot make a socket");
    /* Before bind, so that the file is never open to more than it will be. */
    (void)fchmod(fd, SOCKET_MODE);
    if (bind(fd, (struct sockaddr *)&sun, sizeof sun) < 0)
        return err_errno(e, errno, "cannot listen on socket %s", path);
    struct stat st;
    if (chmod(path, SOCKET_MODE) < 0 || stat(path, &st) < 0 || listen(fd, BACKLOG) < 0) {
        rc = err_errno(e, errno, "cannot listen on socket %s", path);
        (void)unlink(path);
        return rc;
    }
    l->unix_path = strdup(path);
    if (!l->unix_path) {
        (void)unlink(path);
        return err_nomem(e);
    }
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    l->fd = fd;
    fd = -1;
    return 0;
}

int http_listen(const struct config *cfg, struct http_listener *ret, struct err *e)
{
    *ret = (struct http_listener){.fd = -1};
    if (*cfg->api_unix_socket)
        return listen_unix(cfg->api_unix_socket, ret, e);
    return listen_tcp(cfg, ret, e);
}

void http_listener_done(struct http_listener *l)
{
    struct stat st;
    if (l->unix_path && stat(l->unix_path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
        (void)unlink(l->unix_path);
    free(l->unix_path);
    l->unix_path = NULL;
}
