/* Start and graceful stop of the HTTP server; see server_internal.h for its parts. */
#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "config/config.h"
#include "http/server_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/* Room of a connection beside its headers: parsed header entries and pieces of a body. */
enum { CONNECTION_ROOM = 32768 };
/* Connections beyond the limit for the moment until they are refused or have pushed one out. */
enum { CONNECTIONS_ABOVE = 1024 };

static void log_mhd(void *cls, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void log_mhd(void *cls, const char *fmt, va_list ap)
{
    (void)cls;
    char text[512];
    vsnprintf(text, sizeof text, fmt, ap);
    /* Remote parties cause these (aborted connections, malformed requests): debug only. */
    log_debug("http.daemon", "%s", text);
}

static struct http_server *new_server(const struct config *cfg, http_handler handler,
                                      http_reject_fn reject, http_waits_fn waits, void *ctx)
{
    struct http_server *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->listener.fd = s->silent = -1;
    s->handler = handler;
    s->reject = reject;
    s->waits = waits;
    s->ctx = ctx;
    s->max_body = (size_t)cfg->api_max_body_bytes;
    s->max_header = (size_t)cfg->api_max_header_bytes;
    s->max_unread = (size_t)cfg->api_max_unread_mb * 1024 * 1024;
    s->timeout_ms = cfg->api_request_timeout_s * 1000;
    s->shutdown_ms = cfg->api_shutdown_timeout_s * 1000;
    pthread_mutex_init(&s->lock, NULL);
    cond_init(&s->wake);
    cond_init(&s->idle);
    return s;
}

static void free_server(struct http_server *s)
{
    work_free(s);
    tick_end(s);
    cleanup_closep(&s->listener.fd);
    cleanup_closep(&s->silent);
    http_listener_done(&s->listener);
    pthread_cond_destroy(&s->wake);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static int start_daemon(struct http_server *s, const struct config *cfg, struct err *e)
{
    s->threads = (unsigned)cfg->api_threads;
    unsigned threads = s->threads + 1;
    /* Each thread of the pool has its share of this limit and leaves the rest in the listener's
     * queue; server_limit.c counts them all together and always takes them from there. */
    unsigned limit = threads * ((unsigned)s->max_conns + CONNECTIONS_ABOVE);
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, s->listener.fd, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)(s->max_header + CONNECTION_ROOM), NULL},
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)limit, NULL},
        {MHD_OPTION_PER_IP_CONNECTION_LIMIT, cfg->api_max_connections_per_ip, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, 0, NULL}, /* server_watch.c does it better */
        {MHD_OPTION_THREAD_POOL_SIZE, threads, NULL},
        {MHD_OPTION_END, 0, NULL}};
    s->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG,
        0, NULL, NULL, request_access, s, MHD_OPTION_EXTERNAL_LOGGER, log_mhd, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, watch_connection, s, MHD_OPTION_NOTIFY_COMPLETED,
        request_completed, s, MHD_OPTION_URI_LOG_CALLBACK, request_line, s,
        MHD_OPTION_UNESCAPE_CALLBACK, request_unescape, s, MHD_OPTION_ARRAY, options,
        MHD_OPTION_END);
    if (!s->daemon)
        return err_set(e, ERR_INTERNAL, "cannot start the HTTP server with %u threads", threads);
    s->listener.fd = -1; /* the daemon's now */
    return 0;
}

static int start_all(struct http_server *s, const struct config *cfg, struct err *e)
{
    int rc = http_listen(cfg, &s->listener, e);
    s->silent = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (rc == 0 && s->silent < 0)
        rc = err_errno(e, errno, "cannot make a descriptor for the end of the HTTP server");
    limit_connections(s, cfg);
    if (rc == 0)
        rc = watch_start(s, e);
    if (rc == 0 && s->waits)
        rc = work_start(s, (unsigned)cfg->api_wait_threads, e);
    if (rc == 0)
        rc = start_daemon(s, cfg, e);
    if (rc == 0)
        rc = tick_start(s, s->threads + 1, e);
    return rc;
}

int http_server_start_waits(const struct config *cfg, http_handler handler, http_reject_fn reject,
                            http_waits_fn waits, void *ctx, struct http_server **ret, struct err *e)
{
    struct http_server *s = new_server(cfg, handler, reject, waits, ctx);
    if (!s)
        return err_nomem(e);
    /* Signals are for the program's main thread, whatever the library's threads do. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = start_all(s, cfg, e);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0 && s->daemon) {
        http_server_stop(&s);
        return rc;
    }
    if (rc != 0) {
        watch_end(s);
        work_stop(s);
        free_server(s);
        return rc;
    }
    *ret = s;
    return 0;
}

int http_server_start(const struct config *cfg, http_handler handler, http_reject_fn reject,
                      void *ctx, struct http_server **ret, struct err *e)
{
    return http_server_start_waits(cfg, handler, reject, NULL, ctx, ret, e);
}

int http_server_port(const struct http_server *s)
{
    return s->listener.port;
}

unsigned http_server_in_flight(const struct http_server *s)
{
    return (unsigned)atomic_load(&s->in_flight);
}

static void wait_in_flight(struct http_server *s)
{
    int64_t until = clock_mono_ms() + s->shutdown_ms;
    pthread_mutex_lock(&s->lock);
    while (atomic_load(&s->in_flight) && cond_wait_until(&s->idle, &s->lock, until))
        ;
    pthread_mutex_unlock(&s->lock);
    unsigned left = http_server_in_flight(s);
    if (left)
        log_warn("http.stop", "%u requests were not finished in time; closing", left);
}

/* Not by MHD_quiesce_daemon: it takes the listener out of the epoll sets that the pool's threads
 * are using, and libmicrohttpd ends the process when one of them is quicker. Shut and replaced by
 * something that never has anything to say, it leaves those sets by itself; the daemon closes it at
 * its end. */
static void stop_listening(struct http_server *s)
{
    int fd = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_LISTEN_FD)->listen_fd;
    (void)shutdown(fd, SHUT_RDWR);
    (void)dup3(s->silent, fd, O_CLOEXEC);
}

void http_server_stop(struct http_server **sp)
{
    struct http_server *s = *sp;
    if (!s)
        return;
    *sp = NULL;
    atomic_store(&s->draining, true);
    stop_listening(s);
    wait_in_flight(s);
    work_stop(s); /* resumes every suspended connection, as MHD_stop_daemon demands */
    watch_close_all(s);
    MHD_stop_daemon(s->daemon);
    watch_end(s);
    free_server(s);
}
