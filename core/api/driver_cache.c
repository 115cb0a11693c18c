/* See driver_cache.h. */
#include "api/driver_cache.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "db/db_service.h"

#include <pthread.h>

enum { KEEP_MS = 1000 };

struct driver_cache {
    const struct config *cfg;
    struct db *db;
    pthread_mutex_t lock;
    struct driver_set *now; /* holds one reference */
    int64_t read_at_ms;
    bool reading; /* one thread reads, the others use what is there */
};

int driver_cache_new(const struct config *cfg, struct db *db, struct driver_cache **ret,
                     struct err *e)
{
    struct driver_cache *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    c->cfg = cfg;
    c->db = db;
    pthread_mutex_init(&c->lock, NULL);
    *ret = c;
    return 0;
}

static void set_free(struct driver_set *s)
{
    driver_row_list_done(&s->rows);
    free(s);
}

void driver_set_put(struct driver_set **s)
{
    struct driver_set *d = *s;
    *s = NULL;
    if (!d)
        return;
    struct driver_cache *c = d->cache;
    pthread_mutex_lock(&c->lock);
    bool last = --d->refs == 0;
    pthread_mutex_unlock(&c->lock);
    if (last)
        set_free(d);
}

void driver_cache_free(struct driver_cache **c)
{
    if (!*c)
        return;
    if ((*c)->now)
        set_free((*c)->now);
    pthread_mutex_destroy(&(*c)->lock);
    free(*c);
    *c = NULL;
}

static int read_set(struct driver_cache *c, struct driver_set **ret, struct err *e)
{
    struct driver_set *s = calloc(1, sizeof *s);
    if (!s)
        return err_nomem(e);
    s->cache = c;
    s->refs = 1;
    int64_t age_ms = c->cfg->conductor_service_down_time_s * 1000;
    int rc = db_driver_list(c->db, age_ms, &s->rows, e);
    /* with every conductor away for the moment, what they last published still says what a
     * request may ask for; the work waits for them */
    if (rc == 0 && s->rows.n == 0)
        rc = db_driver_list(c->db, 0, &s->rows, e);
    if (rc < 0)
        set_free(s);
    else
        *ret = s;
    return rc;
}

int driver_cache_get(struct driver_cache *c, struct driver_set **ret, struct err *e)
{
    struct driver_set *fresh = NULL, *old = NULL;
    struct err why = ERR_INIT;
    int rc = 0;
    pthread_mutex_lock(&c->lock);
    bool stale = !c->now || clock_mono_ms() - c->read_at_ms >= KEEP_MS;
    bool mine = stale && (!c->reading || !c->now);
    if (mine) {
        c->reading = true;
        pthread_mutex_unlock(&c->lock);
        rc = read_set(c, &fresh, &why);
        pthread_mutex_lock(&c->lock);
        c->reading = false;
        c->read_at_ms = clock_mono_ms();
        if (fresh) {
            old = c->now;
            c->now = fresh;
        }
    }
    *ret = c->now;
    if (c->now)
        c->now->refs++;
    bool drop = old && --old->refs == 0;
    pthread_mutex_unlock(&c->lock);
    if (drop)
        set_free(old);
    if (rc < 0 && *ret)
        log_warn("api.drivers", "list of drivers can't be read, using the last one: %s", why.msg);
    if (*ret)
        return 0;
    return err_set(e, why.code, "%s", why.msg);
}
