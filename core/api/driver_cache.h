/* The drivers that the conductors have published, read from the database at most once a second per
 * process: validating a request costs no query. A list that was handed out stays valid until it
 * is put back, whatever is read meanwhile. Thread-safe. Neighbours: driver_select, resources. */
#ifndef MAGNUM_API_DRIVER_CACHE_H
#define MAGNUM_API_DRIVER_CACHE_H

#include "base/err.h"
#include "model/entity.h"

struct config;
struct db;
struct driver_cache;

struct driver_set {
    struct driver_row_list rows;
    size_t refs; /* guarded by the cache */
    struct driver_cache *cache;
};

int driver_cache_new(const struct config *cfg, struct db *db, struct driver_cache **ret,
                     struct err *e) MUST_CHECK;
void driver_cache_free(struct driver_cache **c); /* all sets have been put back */
/* While the database can't be read, the last list goes on being used. */
int driver_cache_get(struct driver_cache *c, struct driver_set **ret, struct err *e) MUST_CHECK;
void driver_set_put(struct driver_set **s); /* NULL is fine */
#define _cleanup_drivers_ _cleanup_(driver_set_put)

#endif
