/* Reads from a streaming replica that nobody can tell from reads of the primary: each one asks the
 * primary how far its log is on disk, and the replica whether it has replayed that much; both the
 * question and the read are one connection's. A replica that is behind, away or no replica (any
 * more) costs one read its patience, then it is left alone for a while; the primary answers
 * instead. Neighbours: db.c owns it, sql.c reads with it. */
#ifndef MAGNUM_DB_REPLICA_INTERNAL_H
#define MAGNUM_DB_REPLICA_INTERNAL_H

#include "sql_internal.h"

struct replica;
/* pool: connections to the replica. Freed with free(). NULL = no memory. */
struct replica *replica_new(const struct config *cfg, struct db *primary, struct db *pool);
struct replica *db_replica_of(const struct db *db); /* NULL: it is no replica's pool */

/* As sql_read. */
int replica_read(struct replica *r, const struct sql_stmt *s, const struct sql_params *p,
                 PGresult **ret, struct err *e) MUST_CHECK;

#endif
