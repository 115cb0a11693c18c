/* Threads for requests that wait for somebody (a conductor's answer, a durable commit). A pool
 * thread of libmicrohttpd serves many connections: if it waited, all of them would. So such a
 * request's connection is suspended, the handler runs here, and the connection is resumed to send
 * the answer. Neighbours: server_internal.h. */
#include "base/cond.h"
#include "http/server_internal.h"

struct work {
    struct http_server *server;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct conn *first, *last;
    bool stop;
    unsigned n;
    pthread_t threads[];
};

static struct conn *next_job(struct work *w)
{
    pthread_mutex_lock(&w->lock);
    while (!w->first && !w->stop)
        cond_wait_shared(&w->more, &w->lock, INT64_MAX);
    struct conn *c = w->first;
    if (c) {
        w->first = c->next_job;
        if (!w->first)
            w->last = NULL;
        c->next_job = NULL;
    }
    pthread_mutex_unlock(&w->lock);
    return c;
}

static void *work_main(void *arg)
{
    struct work *w = arg;
    for (struct conn *c = next_job(w); c; c = next_job(w)) {
        bool done = request_run(c);
        while (!done && !park_sleep(c, false))
            done = request_run(c);
        if (!done)
            continue; /* parked: whoever rings resumes it */
        c->answered = true;
        MHD_resume_connection(c->mhd);
    }
    return NULL;
}

bool work_add(struct http_server *s, struct conn *c)
{
    struct work *w = s->work;
    pthread_mutex_lock(&w->lock);
    bool open = !w->stop;
    if (open) {
        MHD_suspend_connection(c->mhd); /* under the lock: before a worker can resume it */
        if (w->last)
            w->last->next_job = c;
        else
            w->first = c;
        w->last = c;
        pthread_cond_signal(&w->more);
    }
    pthread_mutex_unlock(&w->lock);
    return open;
}

int work_start(struct http_server *s, unsigned threads, struct err *e)
{
    struct work *w = calloc(1, sizeof *w + threads * sizeof *w->threads);
    if (!w)
        return err_nomem(e);
    w->server = s;
    pthread_mutex_init(&w->lock, NULL);
    cond_init(&w->more);
    s->work = w;
    while (w->n < threads) {
        int rc = pthread_create(&w->threads[w->n], NULL, work_main, w);
        if (rc != 0)
            return err_errno(e, rc, "cannot start a thread for waiting requests");
        w->n++;
    }
    return 0;
}

/* What is queued is still run: its connections are suspended and must be resumed. */
void work_stop(struct http_server *s)
{
    struct work *w = s->work;
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->more);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->n; i++)
        pthread_join(w->threads[i], NULL);
    w->n = 0;
}

void work_free(struct http_server *s)
{
    struct work *w = s->work;
    if (!w)
        return;
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->more);
    free(w);
    s->work = NULL;
}
