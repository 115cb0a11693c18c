/* Circuit breakers: one per endpoint of a backend, over the HTTP calls the conductor makes for
 * drivers. Looks at clusters share a budget of calls at a time, and leave an endpoint alone after
 * several failures in a row; after a pause one of them tries it again (half open). Operations are
 * never held back (they have their own retries), but what they meet counts as well. A change of
 * state is written to a row, for operators. See conductor_internal.h; broker.c calls this. */
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "conductor/conductor_internal.h"
#include "db/db_backend.h"

#include <string.h>

enum { BREAKERS_MAX = 512, BAD_GATEWAY = 502, GATEWAY_TIMEOUT = 504 };

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
static const char *const names[] = {"closed", "open", "half-open"};

struct breaker {
    char endpoint[BREAKER_NAME_MAX];
    enum breaker_state state;
    int64_t failures, in_flight, retry_ms, used_ms;
};

void breakers_init(struct breakers *b)
{
    *b = (struct breakers){.v = NULL};
    (void)pthread_mutex_init(&b->lock, NULL);
}

void breakers_done(struct breakers *b)
{
    free(b->v);
    b->v = NULL;
    (void)pthread_mutex_destroy(&b->lock);
}

void breaker_name(const char *url, const char *unix_socket, char ret[BREAKER_NAME_MAX])
{
    const char *host = strstr(url ? url : "", "://");
    size_t n = host ? (size_t)(host + 3 - url) + strcspn(host + 3, "/?#") : 0;
    if (unix_socket)
        snprintf(ret, BREAKER_NAME_MAX, "unix:%.120s", unix_socket);
    else /* what stands before an @ may be a secret */
        snprintf(ret, BREAKER_NAME_MAX, "%.*s", (int)(memchr(url, '@', n) ? 0 : n), url);
}

/* Under the lock. With all places taken the one unused for longest makes room, unless it is at
 * work. NULL: no breaker then. */
static struct breaker *find(struct breakers *b, const char *endpoint)
{
    struct breaker *oldest = NULL;
    for (size_t i = 0; i < b->n; i++) {
        struct breaker *k = &b->v[i];
        if (strcmp(k->endpoint, endpoint) == 0)
            return k;
        if (k->in_flight == 0 && k->state == BREAKER_CLOSED &&
            (!oldest || k->used_ms < oldest->used_ms))
            oldest = k;
    }
    if (!b->v && !(b->v = calloc(BREAKERS_MAX, sizeof *b->v)))
        return NULL;
    struct breaker *k = b->n < BREAKERS_MAX ? &b->v[b->n++] : oldest;
    if (k) {
        *k = (struct breaker){.state = BREAKER_CLOSED};
        snprintf(k->endpoint, sizeof k->endpoint, "%s", endpoint);
    }
    return k;
}

static void tell(struct conductor *c, const struct breaker *k, const char *reason)
{
    struct err e = ERR_INIT;
    metrics_set(METRIC_BREAKER, k->state != BREAKER_CLOSED, METRICS_LABELS_OF(k->endpoint));
    log_write(k->state == BREAKER_OPEN ? LOG_WARN : LOG_INFO, "backend", "%s is %s%s%s",
              k->endpoint, names[k->state], reason ? ": " : "", reason ? reason : "");
    if (db_backend_set(c->db, c->instance, k->endpoint, names[k->state], k->failures, reason, &e))
        log_warn("backend", "%s, ignoring: only the log tells", e.msg);
}

int breaker_enter(struct conductor *c, const char *endpoint, struct err *e)
{
    struct breaker seen = {.state = BREAKER_CLOSED};
    int64_t now = clock_mono_ms(), most = c->cfg->conductor_backend_budget;
    int rc = 0;
    pthread_mutex_lock(&c->breakers.lock);
    struct breaker *k = find(&c->breakers, endpoint);
    bool opens = k && k->state == BREAKER_OPEN && now >= k->retry_ms;
    if (!k) {
        rc = 0;
    } else if (k->state != BREAKER_CLOSED && !opens) {
        rc = err_set(e, ERR_UNAVAILABLE, "%s is left alone after %lld failures in a row", endpoint,
                     (long long)k->failures);
    } else if (most > 0 && k->in_flight >= most) {
        rc = err_set(e, ERR_BUSY, "%s has enough to do", endpoint);
    } else {
        k->in_flight++;
        k->used_ms = now;
        if (opens)
            k->state = BREAKER_HALF_OPEN;
        seen = *k;
    }
    pthread_mutex_unlock(&c->breakers.lock);
    if (rc == 0 && opens)
        tell(c, &seen, "trying it again");
    return rc;
}

void breaker_leave(struct conductor *c, const char *endpoint, bool entered, int rc, int status,
                   const char *why)
{
    bool told = rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT, changed = false;
    bool failed = told || (rc == 0 && status >= BAD_GATEWAY && status <= GATEWAY_TIMEOUT);
    bool counts = failed || rc == 0; /* a call we gave up ourselves says nothing */
    struct breaker seen;
    pthread_mutex_lock(&c->breakers.lock);
    struct breaker *k = find(&c->breakers, endpoint);
    if (k) {
        enum breaker_state before = k->state;
        if (entered && k->in_flight > 0)
            k->in_flight--;
        if (counts)
            k->failures = failed ? k->failures + 1 : 0;
        bool opens = failed && (before == BREAKER_HALF_OPEN ||
                                k->failures >= c->cfg->conductor_backend_failures);
        if (opens) {
            k->state = BREAKER_OPEN;
            k->retry_ms = clock_mono_ms() + c->cfg->conductor_backend_open_s * 1000;
        } else if (counts && !failed) {
            k->state = BREAKER_CLOSED;
        } else if (before == BREAKER_HALF_OPEN && entered) {
            k->state = BREAKER_OPEN; /* the trial told nothing: another one, at once */
        }
        changed = k->state != before;
        seen = *k;
    }
    pthread_mutex_unlock(&c->breakers.lock);
    if (changed)
        tell(c, &seen, failed ? (told ? why : "it answers with gateway errors") : NULL);
}
