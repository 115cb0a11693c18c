/* Housekeeping that any conductor may do at any time: old events and operations are removed in
 * small batches, health that nobody could read for long becomes UNKNOWN, and backends are compared
 * with the ledger (sweep.c). See conductor_internal.h. */
#include "base/log.h"
#include "conductor/conductor_internal.h"
#include "db/db_backend.h"
#include "db/db_discovery.h"
#include "db/db_event.h"

enum { BATCH = 500, BATCHES_MAX = 200, PAUSE_MS = 20, STALE_INTERVALS = 3 };

typedef int (*trim_fn)(struct db *db, int64_t days, int64_t batch, int64_t *ret_n, struct err *e);

/* With pauses, so that the requests of users come in between; the rest waits for the next time. */
static int trim(struct conductor *c, const char *what, trim_fn fn, int64_t days, struct err *e)
{
    int64_t n = BATCH, all = 0;
    int rc = 0;
    for (int i = 0; days > 0 && rc == 0 && n == BATCH && i < BATCHES_MAX; i++) {
        if (i && !sleeper_wait(&c->upkeep, PAUSE_MS))
            break;
        rc = fn(c->db, days, BATCH, &n, e);
        all += rc == 0 ? n : 0;
    }
    if (all)
        log_info("upkeep", "removed %lld %s older than %lld days", (long long)all, what,
                 (long long)days);
    return rc;
}

static int once(struct conductor *c, struct err *e)
{
    const struct config *cfg = c->cfg;
    int64_t interval_s = cfg->conductor_health_interval_s, stale = 0;
    int rc = trim(c, "events", db_events_trim, cfg->conductor_event_days, e);
    if (rc == 0)
        rc = trim(c, "operations", db_operations_trim, cfg->conductor_operation_days, e);
    if (rc == 0 && interval_s)
        rc = db_observe_decay(c->db, STALE_INTERVALS * interval_s, BATCH, &stale, e);
    if (rc == 0 && stale)
        log_info("upkeep", "%lld clusters' health is UNKNOWN: nobody could read it",
                 (long long)stale);
    if (rc == 0)
        rc = db_discovery_trim(c->db, e);
    return rc ? rc : db_backend_trim(c->db, e);
}

void *upkeep_thread(void *conductor)
{
    struct conductor *c = conductor;
    int64_t interval_ms = c->cfg->conductor_upkeep_interval_s * 1000;
    while (sleeper_wait(&c->upkeep, interval_ms)) {
        struct err e = ERR_INIT;
        if (once(c, &e))
            log_warn("upkeep", "%s; trying again later", e.msg);
    }
    return NULL;
}
