/* See replica_internal.h. */
#include "replica_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { LOOK_MS = 2 }; /* between two looks at how far it is */

struct replica {
    struct db *primary, *pool;
    int64_t max_lag_ms, timeout_ms, retry_ms;
    atomic_int_fast64_t not_before_ms; /* not asked before this time */
    atomic_bool left_alone;
};

struct replica *replica_new(const struct config *cfg, struct db *primary, struct db *pool)
{
    struct replica *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->primary = primary;
    r->pool = pool;
    r->max_lag_ms = cfg->database_replica_max_lag_ms;
    r->timeout_ms = cfg->database_replica_timeout_ms;
    r->retry_ms = cfg->database_replica_retry_ms;
    return r;
}

/* False while it is left alone. When that time is over one thread tries it again, the others go on
 * with the primary meanwhile. */
static bool worth_a_try(struct replica *r)
{
    int64_t now = clock_mono_ms(), not_before = atomic_load(&r->not_before_ms);
    if (!atomic_load(&r->left_alone))
        return true;
    return now >= not_before &&
           atomic_compare_exchange_strong(&r->not_before_ms, &not_before,
                                          now + r->retry_ms + r->timeout_ms + r->max_lag_ms);
}

static void leave_alone(struct replica *r, const struct err *why)
{
    atomic_store(&r->not_before_ms, clock_mono_ms() + r->retry_ms);
    if (!atomic_exchange(&r->left_alone, true))
        log_warn("db.replica", "lists come from the primary: %s", why->msg);
}

static void well(struct replica *r)
{
    if (atomic_load(&r->left_alone) && atomic_exchange(&r->left_alone, false))
        log_info("db.replica", "lists come from the replica again");
}

/* Whether this server has replayed everything up to `position`, waiting for it a little. */
static int caught_up(struct replica *r, struct conn *c, const char *position, struct err *e)
{
    static const struct sql_stmt is_it = {"replica_position",
                                          "SELECT CASE WHEN pg_is_in_recovery()"
                                          " THEN pg_last_wal_replay_lsn() >= $1::pg_lsn END"};
    int64_t until = clock_mono_ms() + r->max_lag_ms;
    for (;;) {
        _cleanup_params_ struct sql_params p = {.n = 0};
        _cleanup_result_ PGresult *said = NULL;
        param_str(&p, position);
        int rc = conn_run(c, &is_it, &p, &said, e);
        if (rc)
            return rc;
        if (PQgetisnull(said, 0, 0)) {
            c->broken = true; /* it was promoted: the next connection may find another one */
            return err_set(e, ERR_UNAVAILABLE, "the server it names is no replica");
        }
        if (row_bool(said, 0, 0))
            return 0;
        if (clock_mono_ms() >= until)
            return err_set(e, ERR_TIMEOUT, "the replica is more than %lld ms behind",
                           (long long)r->max_lag_ms);
        (void)poll(NULL, 0, LOOK_MS);
    }
}

/* On one connection: the server that was asked is the one that is read from. */
static int read_here(struct replica *r, const char *position, const struct sql_stmt *s,
                     const struct sql_params *p, PGresult **ret, struct err *e)
{
    struct conn *c = NULL;
    int rc = pool_take(r->pool, &c, e);
    if (rc)
        return rc;
    int64_t usual_ms = c->timeout_ms;
    c->timeout_ms = r->timeout_ms;
    rc = caught_up(r, c, position, e);
    c->timeout_ms = usual_ms;
    if (rc)
        leave_alone(r, e);
    else
        rc = conn_run(c, s, p, ret, e);
    pool_give(r->pool, c);
    return rc;
}

/* What is on the primary's disk by now: everything that anybody was told is done. */
static int position_of(struct replica *r, PGresult **ret, struct err *e)
{
    static const struct sql_stmt position = {"primary_position",
                                             "SELECT pg_current_wal_flush_lsn()::text"};
    return sql_read(r->primary, &position, NULL, ret, e);
}

int replica_read(struct replica *r, const struct sql_stmt *s, const struct sql_params *p,
                 PGresult **ret, struct err *e)
{
    _cleanup_result_ PGresult *position = NULL;
    struct err why = ERR_INIT;
    if (worth_a_try(r)) {
        int rc = position_of(r, &position, e);
        if (rc)
            return rc;
        rc = read_here(r, row_str(position, 0, 0), s, p, ret, &why);
        if (rc == 0) {
            well(r);
            return 0;
        }
        if (rc == ERR_UNAVAILABLE)
            leave_alone(r, &why);
    }
    return sql_read(r->primary, s, p, ret, e);
}
