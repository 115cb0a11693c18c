/* See watch_internal.h. */
#include "watch_internal.h"

#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "config/config.h"
#include "sql_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

enum { LOOKS = 4 }; /* within health_ms */

struct watch {
    int64_t health_ms;
    size_t pool_size;
    atomic_int_fast64_t answered_ms, refused_ms, clock_offset_us;
    struct db *db; /* set by start */

    pthread_mutex_t lock; /* down to the end */
    pthread_cond_t wake;
    pthread_t thread;
    bool running, stopping;
    char failure[DB_WHY_MAX]; /* the last one */
};

struct watch *watch_new(const struct config *cfg)
{
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->health_ms = cfg->database_health_ms;
    w->pool_size = (size_t)cfg->database_pool_size;
    atomic_store(&w->clock_offset_us, clock_wall_us() - clock_mono_us());
    pthread_mutex_init(&w->lock, NULL);
    cond_init(&w->wake);
    return w;
}

void watch_free(struct watch *w)
{
    if (!w)
        return;
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

/* ---- noting ---- */
void watch_answered(struct watch *w, int64_t at_ms)
{
    if (at_ms > atomic_load(&w->answered_ms)) /* two at once: either is recent enough */
        atomic_store(&w->answered_ms, at_ms);
}

void watch_refused(struct watch *w)
{
    atomic_store(&w->refused_ms, clock_mono_ms());
}

void watch_failed(struct watch *w, const struct err *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&w->lock);
    (void)snprintf(w->failure, sizeof w->failure, "%.160s", e->msg);
    pthread_mutex_unlock(&w->lock);
}

void watch_clock(struct watch *w, int64_t now_us, int64_t before_us)
{
    atomic_store(&w->clock_offset_us, now_us - (before_us + clock_mono_us()) / 2);
}

int64_t db_clock_us(const struct db *db)
{
    return clock_mono_us() + atomic_load(&db_watch_of(db)->clock_offset_us);
}

/* ---- health ---- */
bool db_healthy(struct db *db, char why[DB_WHY_MAX])
{
    struct watch *w = db_watch_of(db);
    int64_t now = clock_mono_ms(), refused = atomic_load(&w->refused_ms);
    int64_t silent = now - atomic_load(&w->answered_ms);
    *why = '\0';
    pthread_mutex_lock(&w->lock);
    bool watched = w->running;
    if (watched && silent > w->health_ms)
        (void)snprintf(why, DB_WHY_MAX, "the database has not answered for %lld s",
                       (long long)(silent / 1000));
    else if (watched && refused && now - refused <= w->health_ms)
        (void)snprintf(why, DB_WHY_MAX,
                       "all %zu database connections are in use, and requests waited for one in "
                       "vain (database.pool_size)",
                       w->pool_size);
    pthread_mutex_unlock(&w->lock);
    return !*why;
}

/* ---- the thread ---- */
/* A connection that hangs is given up after health_ms, not only after a statement's time. With none
 * free there is nothing to ask on: those that use them will tell. */
static void look(struct watch *w)
{
    static const struct sql_stmt now = {"watch", "SELECT clock_timestamp()"};
    struct db_pool_counts n;
    struct conn *c = NULL;
    struct err e = ERR_INIT;
    db_pool_count(w->db, &n);
    if ((!n.idle && n.open >= n.max) || pool_take(w->db, &c, &e))
        return;
    _cleanup_result_ PGresult *r = NULL;
    int64_t before = clock_mono_us(), usual_ms = c->timeout_ms;
    if (!usual_ms || usual_ms > w->health_ms)
        c->timeout_ms = w->health_ms;
    int rc = conn_run(c, &now, NULL, &r, &e);
    c->timeout_ms = usual_ms;
    if (rc)
        watch_failed(w, &e);
    else
        watch_clock(w, row_time(r, 0, 0), before);
    pool_give(w->db, c);
}

/* The last failure may name hosts: it is for the log alone. */
static void tell(struct watch *w, bool is, bool was, const char *why, int64_t since_ms)
{
    char failure[DB_WHY_MAX];
    pthread_mutex_lock(&w->lock);
    memcpy(failure, w->failure, sizeof failure);
    pthread_mutex_unlock(&w->lock);
    if (was && !is)
        log_warn("db.unwell", "%s%s%s", why, *failure ? "; the last failure: " : "", failure);
    else if (is && !was)
        log_info("db.well", "the database answers again after %lld s",
                 (long long)(clock_mono_ms() - since_ms) / 1000);
}

static void *watch_main(void *arg)
{
    struct watch *w = arg;
    char why[DB_WHY_MAX];
    bool was = true;
    int64_t since_ms = 0;
    pthread_mutex_lock(&w->lock);
    while (!w->stopping) {
        pthread_mutex_unlock(&w->lock);
        look(w);
        bool is = db_healthy(w->db, why);
        tell(w, is, was, why, since_ms);
        if (was && !is)
            since_ms = clock_mono_ms();
        was = is;
        int64_t until = clock_mono_ms() + w->health_ms / LOOKS;
        pthread_mutex_lock(&w->lock);
        while (!w->stopping && cond_wait_until(&w->wake, &w->lock, until))
            ;
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int db_watch_start(struct db *db, struct err *e)
{
    struct watch *w = db_watch_of(db);
    sigset_t all, old;
    w->db = db;
    watch_answered(w, clock_mono_ms()); /* it was opened just now */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_mutex_lock(&w->lock);
    int rc = pthread_create(&w->thread, NULL, watch_main, w);
    w->running = rc == 0;
    pthread_mutex_unlock(&w->lock);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc == 0 ? 0 : err_errno(e, rc, "cannot start the database's watcher");
}

void watch_stop(struct watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    bool was = w->running;
    w->running = false;
    w->stopping = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    if (was)
        (void)pthread_join(w->thread, NULL);
}
