/* What magnum-status asks about the database server and about work that needs somebody.
 * Neighbours: cmd/status_health.c; db_counts.h counts what the metrics show. */
#ifndef MAGNUM_DB_DB_HEALTH_H
#define MAGNUM_DB_DB_HEALTH_H

#include "db/db.h"

struct db_server {
    char version[64];
    bool replica;
    int64_t lag_ms;         /* how old what it has replayed is, -1: it has replayed nothing yet */
    int64_t standbys;       /* of a primary: connected ones */
    int64_t standby_lag_ms; /* of the one that is farthest behind; -1: none, or not to be seen */
};
int db_health_server(struct db *db, struct db_server *ret, struct err *e) MUST_CHECK;

struct db_blocked { /* texts "" when there is none */
    int64_t n, oldest_s;
    char id[40], code[64], actor[64]; /* of the one that is blocked longest */
};
int db_health_blocked(struct db *db, struct db_blocked *ret, struct err *e) MUST_CHECK;

#endif
