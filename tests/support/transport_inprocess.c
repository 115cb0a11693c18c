/* A driver host as a thread of this process, for tests and debuggers: the same frames over the same
 * socketpair, served by the same sdk/host. What a process can do and a thread can't (be killed) is
 * missing: a call that never returns hangs. */
#include "drivers/transport_internal.h"

#include "host/serve.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

struct thread_host {
    pthread_t thread;
    int sock, lib_fd, end_fd, rc;
};

static void *run(void *arg)
{
    struct thread_host *h = arg;
    const struct serve_args a = {.sock = h->sock, .lib_fd = h->lib_fd};
    h->rc = host_serve(&a);
    (void)shutdown(h->sock, SHUT_RDWR);
    (void)!eventfd_write(h->end_fd, 1);
    return NULL;
}

static int thread_start(const struct transport_start *s, struct transport_conn *ret, struct err *e)
{
    int pair[2];
    struct thread_host *h = calloc(1, sizeof *h);
    if (!h)
        return err_nomem(e);
    int end = eventfd(0, EFD_CLOEXEC);
    if (end < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, errno, "cannot make descriptors");
    *h = (struct thread_host){.sock = pair[1], .lib_fd = s->lib_fd, .end_fd = end};
    *ret = (struct transport_conn){.sock = pair[0], .log_fd = -1, .end_fd = end, .impl = h};
    int bad = pthread_create(&h->thread, NULL, run, h);
    return bad ? err_errno(e, bad, "cannot start a thread") : 0;
}

static void thread_signal(struct transport_conn *c, int sig)
{
    struct thread_host *h = c->impl;
    (void)sig;
    (void)shutdown(h->sock, SHUT_RDWR); /* all a thread can be asked */
}

static void thread_reap(struct transport_conn *c, char why[DEATH_WHY])
{
    struct thread_host *h = c->impl;
    pthread_join(h->thread, NULL);
    why[0] = '\0';
    if (h->rc)
        snprintf(why, DEATH_WHY, "ended with %d", h->rc);
    close(h->sock);
    free(h);
}

extern const struct driver_transport transport_inprocess;
const struct driver_transport transport_inprocess = {
    .start = thread_start, .signal = thread_signal, .reap = thread_reap};
