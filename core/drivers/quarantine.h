/* When is a driver bad? Counts the ends of its hosts: `limit` of them within `window_ms`, over at
 * least two different operations. One operation that always kills its host fails alone. Pure.
 * Neighbours: supervisor.c. */
#ifndef MAGNUM_DRIVERS_QUARANTINE_H
#define MAGNUM_DRIVERS_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct death {
    int64_t at_ms;
    uint64_t op; /* hash of the operation's id */
};
struct death_log {
    struct death *v; /* a ring of `limit` */
    size_t limit, next, n;
};
int death_log_init(struct death_log *d, size_t limit); /* 0 or ERR_NOMEM */
void death_log_done(struct death_log *d);
void death_log_clear(struct death_log *d);
/* Notes one end; true when the limit is reached by it. */
bool death_log_add(struct death_log *d, int64_t now_ms, int64_t window_ms, const char *op_id);

#endif
