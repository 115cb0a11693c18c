/* See quarantine.h. */
#include "drivers/quarantine.h"

#include "base/err.h"

#include <stdlib.h>

int death_log_init(struct death_log *d, size_t limit)
{
    *d = (struct death_log){.v = calloc(limit, sizeof *d->v), .limit = limit};
    return d->v ? 0 : ERR_NOMEM;
}

void death_log_done(struct death_log *d)
{
    free(d->v);
    *d = (struct death_log){0};
}

void death_log_clear(struct death_log *d)
{
    d->n = d->next = 0;
}

static uint64_t hash(const char *s) /* FNV-1a: only equality matters */
{
    uint64_t h = 14695981039346656037U;
    for (; s && *s; s++)
        h = (h ^ (unsigned char)*s) * 1099511628211U;
    return h;
}

bool death_log_add(struct death_log *d, int64_t now_ms, int64_t window_ms, const char *op_id)
{
    d->v[d->next] = (struct death){.at_ms = now_ms, .op = hash(op_id)};
    d->next = (d->next + 1) % d->limit;
    if (d->n < d->limit)
        d->n++;
    if (d->n < d->limit)
        return false;
    bool different = false;
    for (size_t i = 0; i < d->n; i++) {
        if (now_ms - d->v[i].at_ms > window_ms)
            return false;
        different = different || d->v[i].op != d->v[0].op;
    }
    return different;
}
