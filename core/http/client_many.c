/* Several exchanges at a time. See client.h. A set of curl (CURLM) owns the connections of its
 * handles, so idle sets are kept, not handles. */
#include "http/client_internal.h"

#include <string.h>

enum { POLL_MS = 1000, CONNECTIONS_MAX = 16 };

static CURLM *take_set(struct http_client *c)
{
    CURLM *m = NULL;
    pthread_mutex_lock(&c->lock);
    if (c->n_idle_sets)
        m = c->idle_sets[--c->n_idle_sets];
    pthread_mutex_unlock(&c->lock);
    if (m)
        return m;
    m = curl_multi_init();
    if (m)
        (void)curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
    return m;
}

static void give_set(struct http_client *c, CURLM *m)
{
    pthread_mutex_lock(&c->lock);
    if (c->n_idle_sets < IDLE_SETS)
        c->idle_sets[c->n_idle_sets++] = TAKE_PTR(m);
    pthread_mutex_unlock(&c->lock);
    if (m)
        (void)curl_multi_cleanup(m);
}

/* Handles that are through; those that never are (curl itself failed) keep their first result. */
static void collect(CURLM *m)
{
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(m, &left))) {
        CURLcode *result = NULL;
        if (msg->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&result);
        *result = msg->data.result;
    }
}

/* Until all have ended, which their timeouts see to. */
static void run(CURLM *m)
{
    struct quiet q;
    int running = 1;
    CURLMcode rc = CURLM_OK;
    quiet_begin(&q);
    while (rc == CURLM_OK && running) {
        rc = curl_multi_perform(m, &running);
        collect(m);
        if (rc == CURLM_OK && running)
            rc = curl_multi_poll(m, NULL, 0, POLL_MS, NULL);
    }
    quiet_end(&q);
}

static int begin(CURLM *m, struct exchange *x, CURLcode *result, struct http_task *t)
{
    *result = CURLE_FAILED_INIT;
    x->curl = curl_easy_init();
    if (!x->curl)
        return err_nomem(&t->e);
    int rc = exchange_begin(x, &t->call, &t->e);
    if (rc == 0 && (curl_easy_setopt(x->curl, CURLOPT_PRIVATE, result) != CURLE_OK ||
                    curl_multi_add_handle(m, x->curl) != CURLM_OK))
        rc = err_nomem(&t->e);
    return rc;
}

void http_client_do_all(struct http_client *c, struct http_task *tasks, size_t n)
{
    CURLM *m = take_set(c);
    struct exchange *x = calloc(n ? n : 1, sizeof *x);
    CURLcode *results = calloc(n ? n : 1, sizeof *results);
    for (size_t i = 0; i < n; i++)
        tasks[i].rc =
            m && x && results ? begin(m, &x[i], &results[i], &tasks[i]) : err_nomem(&tasks[i].e);
    if (m && x && results)
        run(m);
    for (size_t i = 0; x && results && i < n; i++) {
        if (tasks[i].rc == 0)
            tasks[i].rc = exchange_end(&x[i], results[i], &tasks[i].answer, &tasks[i].e);
        if (x[i].curl)
            (void)curl_multi_remove_handle(m, x[i].curl); /* no harm where it was not added */
        curl_easy_cleanup(x[i].curl);
        exchange_done(&x[i]);
    }
    if (m)
        give_set(c, m);
    free(x);
    free(results);
}
