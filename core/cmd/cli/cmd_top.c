/* magnum top: what goes on in the deployment, drawn again and again. See top.h. */
#include "cmd/cli/cli.h"
#include "cmd/cli/top.h"

#include "base/clock.h"
#include "base/jsonx.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

enum { OPERATIONS_SHOWN = 200, INTERVAL_S = 2 };

struct answers {
    json_t *operations, *services, *drivers; /* lists, owned; NULL = could not be had */
    enum cli_exit code;                      /* of the operations, without which there is no view */
    struct err e;
};

static void answers_done(struct answers *a)
{
    json_decref(a->operations);
    json_decref(a->services);
    json_decref(a->drivers);
    *a = (struct answers){.operations = NULL};
}

static enum cli_exit get(struct cli *c, const char *path, const char *member, json_t **ret,
                         struct err *e)
{
    _cleanup_json_ json_t *doc = NULL;
    enum cli_exit code = cli_try(c, "GET", path, NULL, &doc, e);
    json_t *list = json_object_get(doc, member);
    *ret = json_is_array(list) ? json_incref(list) : NULL;
    return code;
}

static void ask(struct cli *c, struct answers *ret)
{
    struct err ignored = ERR_INIT;
    char path[64];
    *ret = (struct answers){.operations = NULL};
    snprintf(path, sizeof path, "/v1/operations?open=true&limit=%d", OPERATIONS_SHOWN);
    ret->code = get(c, path, "operations", &ret->operations, &ret->e);
    if (ret->code != CLI_OK)
        return;
    /* who may not see these sees the rest */
    (void)get(c, "/v1/mservices", "mservices", &ret->services, &ignored);
    (void)get(c, "/v1/drivers", "drivers", &ret->drivers, &ignored);
}

/* ---- one frame ---- */
static struct top_view view_of(const struct cli *c, const struct answers *a)
{
    return (struct top_view){.endpoint = c->unix_socket ? c->unix_socket : c->endpoint,
                             .operations = a->operations,
                             .services = a->services,
                             .drivers = a->drivers,
                             .now_us = clock_wall_us()};
}

static enum cli_exit once(struct cli *c)
{
    struct answers a;
    _cleanup_str_ struct str frame = STR_INIT;
    ask(c, &a);
    enum cli_exit code = a.code;
    if (code != CLI_OK) {
        (void)cli_fail(code, &a.e);
    } else if (c->format != CLI_TABLE) {
        _cleanup_json_ json_t *doc = json_pack("{s:O?, s:O?, s:O?}", "operations", a.operations,
                                               "services", a.services, "drivers", a.drivers);
        code = doc ? cli_print_item(c, doc) : cli_no_memory();
    } else {
        const struct top_view v = view_of(c, &a);
        top_frame(&v, &frame);
        fputs(str_text(&frame), stdout);
    }
    answers_done(&a);
    return code;
}

/* ---- live ---- */
struct live {
    struct cli *c; /* the asking thread's */
    int news[2];
    pthread_t thread;
    pthread_mutex_t lock; /* everything below */
    pthread_cond_t wanted;
    bool want, stop, busy;
    struct answers fresh;
};

static void *asking(void *arg)
{
    struct live *l = arg;
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        if (!l->want) {
            pthread_cond_wait(&l->wanted, &l->lock);
            continue;
        }
        l->want = false;
        l->busy = true;
        pthread_mutex_unlock(&l->lock);
        struct answers a;
        ask(l->c, &a);
        pthread_mutex_lock(&l->lock);
        answers_done(&l->fresh);
        l->fresh = a;
        l->busy = false;
        (void)!write(l->news[1], "n", 1);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static void want(struct live *l)
{
    pthread_mutex_lock(&l->lock);
    l->want = l->want || !l->busy; /* a slow service is not asked twice at a time */
    pthread_cond_signal(&l->wanted);
    pthread_mutex_unlock(&l->lock);
}

/* What was seen last stays on the screen while the service is away, with why. */
static void take(struct live *l, struct answers *shown)
{
    pthread_mutex_lock(&l->lock);
    struct answers a = l->fresh;
    l->fresh = (struct answers){.operations = NULL};
    pthread_mutex_unlock(&l->lock);
    if (a.code == CLI_OK) {
        answers_done(shown);
        *shown = a;
    } else {
        shown->code = a.code;
        shown->e = a.e;
        answers_done(&a);
    }
}

static bool draw(const struct live *l, const struct answers *shown)
{
    _cleanup_str_ struct str frame = STR_INIT;
    struct top_view v = view_of(l->c, shown);
    v.problem = shown->code != CLI_OK ? shown->e.msg : !shown->operations ? "asking ..." : NULL;
    v.colors = true;
    top_term_size(&v.rows, &v.columns);
    top_frame(&v, &frame);
    return top_term_draw(&frame);
}

static void watch(struct live *l, int64_t interval_ms)
{
    struct answers shown = {.operations = NULL};
    int64_t next = 0;
    for (int seen = 0; !(seen & TOP_QUIT);) {
        if (seen & TOP_NEWS)
            take(l, &shown);
        int64_t now = clock_mono_ms();
        if (now >= next || (seen & TOP_NOW)) {
            want(l);
            next = now + interval_ms;
        }
        if (!draw(l, &shown))
            break;
        seen = top_term_wait(next - now, l->news[0]);
    }
    answers_done(&shown);
}

/* The thread takes no signals: their handlers run on this one. */
static int start(struct live *l, struct err *e)
{
    sigset_t all, old;
    if (pipe2(l->news, O_CLOEXEC | O_NONBLOCK) < 0)
        return err_errno(e, errno, "cannot make a pipe");
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&l->thread, NULL, asking, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc == 0 ? 0 : err_set(e, ERR_NOMEM, "cannot start a thread: %s", strerror(rc));
}

/* One that hangs in a request is left behind: the process ends, and with it the request. */
static void finish(struct live *l)
{
    pthread_mutex_lock(&l->lock);
    bool busy = l->busy;
    l->stop = true;
    pthread_cond_signal(&l->wanted);
    pthread_mutex_unlock(&l->lock);
    if (busy)
        _exit(CLI_OK);
    (void)pthread_join(l->thread, NULL);
    answers_done(&l->fresh);
    (void)close(l->news[0]);
    (void)close(l->news[1]);
}

enum cli_exit cmd_top(struct cli *c, const struct cli_args *a)
{
    struct live l = {.c = c,
                     .news = {-1, -1},
                     .lock = PTHREAD_MUTEX_INITIALIZER,
                     .wanted = PTHREAD_COND_INITIALIZER};
    struct err e = ERR_INIT;
    int64_t interval_s = cli_int(a, "interval", INTERVAL_S);
    if (interval_s < 1 || interval_s > 3600) {
        err_set(&e, ERR_INVALID, "--interval takes seconds from 1 to 3600");
        return cli_fail(CLI_USAGE, &e);
    }
    if (cli_has(a, "once") || c->format != CLI_TABLE || !isatty(STDOUT_FILENO))
        return once(c);
    if (start(&l, &e) < 0 || top_term_open(&e) < 0)
        return cli_fail(CLI_FAILED, &e);
    watch(&l, interval_s * 1000);
    top_term_close();
    finish(&l);
    return CLI_OK;
}
