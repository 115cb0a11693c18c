/* The pool: see db.h. Idle connections form a stack, so that few of them stay warm; each is
 * probed before it is lent, which is what lets writes survive a restart of the server. */
#include "db/db.h"

#include "base/clock.h"
#include "base/cond.h"
#include "base/metrics.h"
#include "config/config.h"
#include "quota_internal.h"
#include "replica_internal.h"
#include "sql_internal.h"
#include "watch_internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

struct db {
    pthread_mutex_t lock;
    pthread_cond_t freed; /* monotonic clock */
    struct conn **idle;   /* stack of n_idle; the array has room for max */
    size_t n_idle, n_open, max;
    int64_t wait_ms;
    struct conn_settings settings;
    char *conninfo; /* owned, settings points to it */
    struct watch *watch;
    _Atomic int64_t limits[QUOTA_RESOURCES]; /* struct quota_limits */
    struct db *lists;        /* of a primary: the pool of its replica; NULL: there is none */
    struct replica *replica; /* of the replica's pool itself */
};

struct quota_limits db_limits_of(struct db *db)
{
    struct quota_limits l;
    for (size_t i = 0; i < QUOTA_RESOURCES; i++)
        l.most[i] = atomic_load(&db->limits[i]);
    return l;
}

void db_limits_set(struct db *db, const struct quota_limits *l)
{
    for (size_t i = 0; i < QUOTA_RESOURCES; i++)
        atomic_store(&db->limits[i], l->most[i]);
}

struct watch *db_watch_of(const struct db *db)
{
    return db->watch;
}

struct replica *db_replica_of(const struct db *db)
{
    return db->replica;
}

struct db *db_for_lists(struct db *db)
{
    return db->lists ? db->lists : db;
}

/* Waits under the lock until a connection is idle or may be opened. *ret NULL: open one. */
static int wait_turn(struct db *db, struct conn **ret, struct err *e)
{
    int64_t until = clock_mono_ms() + db->wait_ms;
    if (!db->n_idle && db->n_open >= db->max)
        metrics_inc(METRIC_DB_WAITS, NULL);
    while (!db->n_idle && db->n_open >= db->max)
        if (!cond_wait_shared(&db->freed, &db->lock, until) && !db->n_idle &&
            db->n_open >= db->max) {
            metrics_inc(METRIC_DB_WAIT_TIMEOUTS, NULL);
            /* shown to users: it is no fault of their request, and passes */
            return err_set(e, ERR_SERVICE_DOWN, "no database connection became free within %lld ms",
                           (long long)db->wait_ms);
        }
    *ret = NULL;
    if (db->n_idle)
        *ret = db->idle[--db->n_idle];
    else
        db->n_open++;
    return 0;
}

static void forget_one(struct db *db)
{
    pthread_mutex_lock(&db->lock);
    db->n_open--;
    pthread_cond_signal(&db->freed);
    pthread_mutex_unlock(&db->lock);
}

int pool_take(struct db *db, struct conn **ret, struct err *e)
{
    struct conn *c = NULL;
    pthread_mutex_lock(&db->lock);
    int rc = wait_turn(db, &c, e);
    pthread_mutex_unlock(&db->lock);
    if (rc) {
        watch_refused(db->watch);
        return rc;
    }
    if (c && !conn_alive(c))
        conn_close(&c);
    if (!c) {
        rc = conn_open(&db->settings, &c, e);
        metrics_inc(METRIC_DB_CONNECTS, METRICS_LABELS_OF(metrics_result(rc)));
        if (rc) {
            watch_failed(db->watch, e);
            forget_one(db);
            return rc;
        }
    }
    *ret = c;
    return 0;
}

void pool_give(struct db *db, struct conn *c)
{
    if (!c)
        return;
    watch_answered(db->watch, c->answered_ms);
    if (c->broken) {
        conn_close(&c);
        forget_one(db);
        return;
    }
    pthread_mutex_lock(&db->lock);
    db->idle[db->n_idle++] = c;
    pthread_cond_signal(&db->freed);
    pthread_mutex_unlock(&db->lock);
}

void db_pool_count(struct db *db, struct db_pool_counts *ret)
{
    pthread_mutex_lock(&db->lock);
    *ret = (struct db_pool_counts){db->n_open, db->n_idle, db->max};
    pthread_mutex_unlock(&db->lock);
}

static void collect(void *ctx)
{
    struct db_pool_counts n;
    db_pool_count(ctx, &n);
    metrics_set(METRIC_DB_CONNECTIONS, (double)n.idle, METRICS_LABELS_OF("idle"));
    metrics_set(METRIC_DB_CONNECTIONS, (double)(n.open - n.idle), METRICS_LABELS_OF("used"));
    metrics_set(METRIC_DB_CONNECTIONS_MAX, (double)n.max, NULL);
}

static int check_conninfo(const char *text, const char *option, struct err *e)
{
    if (str_blank(text))
        return err_set(e, ERR_CONFIG, "%s is not set", option);
    char *why = NULL;
    PQconninfoOption *parsed = PQconninfoParse(text, &why);
    if (parsed) {
        PQconninfoFree(parsed);
        return 0;
    }
    /* what libpq says may quote a piece of the text, and the text may hold a password */
    PQfreemem(why);
    return err_set(e, ERR_CONFIG,
                   "%s is not a libpq connection string or URI: check quotes and escapes", option);
}

static int db_init(struct db *db, const struct config *cfg, const char *connection, struct err *e)
{
    db->max = (size_t)(cfg->database_pool_size > 0 ? cfg->database_pool_size : 1);
    db->idle = calloc(db->max, sizeof(struct conn *));
    db->conninfo = str_dup(connection);
    if (!db->idle || !db->conninfo)
        return err_nomem(e);
    db->watch = watch_new(cfg);
    if (!db->watch)
        return err_nomem(e);
    db->wait_ms = cfg->database_pool_wait_ms;
    db->settings = (struct conn_settings){
        .conninfo = db->conninfo,
        .connect_timeout_ms = cfg->database_connect_timeout_ms,
        .statement_timeout_ms = cfg->database_statement_timeout_ms,
        .no_session = cfg->database_transaction_pooling,
    };
    return 0;
}

/* A pool without connections. */
static int make_pool(const struct config *cfg, const char *connection, const char *option,
                     struct db **ret, struct err *e)
{
    int rc = check_conninfo(connection, option, e);
    if (rc)
        return rc;
    struct db *db = calloc(1, sizeof *db);
    if (!db)
        return err_nomem(e);
    for (size_t i = 0; i < QUOTA_RESOURCES; i++)
        atomic_init(&db->limits[i], -1);
    pthread_mutex_init(&db->lock, NULL);
    cond_init(&db->freed);
    rc = db_init(db, cfg, connection, e);
    if (rc) {
        db_close(&db);
        return rc;
    }
    *ret = db;
    return 0;
}

/* It may be away: then lists are the primary's. */
static int add_replica(struct db *db, const struct config *cfg, struct err *e)
{
    if (str_blank(cfg->database_replica_connection))
        return 0;
    int rc = make_pool(cfg, cfg->database_replica_connection, "database.replica_connection",
                       &db->lists, e);
    if (rc)
        return rc;
    db->lists->settings.connect_timeout_ms = cfg->database_replica_timeout_ms;
    db->lists->wait_ms = cfg->database_replica_max_lag_ms;
    db->lists->replica = replica_new(cfg, db, db->lists);
    return db->lists->replica ? 0 : err_nomem(e);
}

int db_open(const struct config *cfg, struct db **ret, struct err *e)
{
    struct db *db = NULL;
    int rc = make_pool(cfg, cfg->database_connection, "database.connection", &db, e);
    if (!rc)
        rc = add_replica(db, cfg, e);
    if (!rc)
        rc = db_ping(db, e);
    if (!rc)
        rc = metrics_collect(collect, db, e);
    if (rc) {
        db_close(&db);
        return rc;
    }
    *ret = db;
    return 0;
}

void db_close(struct db **dbp)
{
    struct db *db = *dbp;
    *dbp = NULL;
    if (!db)
        return;
    db_close(&db->lists);
    free(db->replica);
    metrics_uncollect(collect, db);
    watch_stop(db->watch);
    for (size_t i = 0; i < db->n_idle; i++)
        conn_close(&db->idle[i]);
    watch_free(db->watch);
    pthread_cond_destroy(&db->freed);
    pthread_mutex_destroy(&db->lock);
    if (db->conninfo)
        explicit_bzero(db->conninfo, strlen(db->conninfo)); /* may hold a password */
    free(db->conninfo);
    free(db->idle);
    free(db);
}

int db_now(struct db *db, int64_t *ret_us, struct err *e)
{
    static const struct sql_stmt now = {"now", "SELECT clock_timestamp()"};
    _cleanup_result_ PGresult *r = NULL;
    int64_t before = clock_mono_us();
    int rc = sql_read(db, &now, NULL, &r, e);
    if (rc)
        return rc;
    *ret_us = row_time(r, 0, 0);
    watch_clock(db->watch, *ret_us, before);
    return 0;
}

int db_ping(struct db *db, struct err *e)
{
    int64_t us;
    return db_now(db, &us, e);
}
