/* Which history is old enough to go, as SQL: what conductors trim by themselves (db_event.c) and
 * what an operator purges or archives (db_purge.c) is chosen by the same words. `limit` is an SQL
 * expression, the time before which something must lie. */
#ifndef MAGNUM_DB_PURGE_INTERNAL_H
#define MAGNUM_DB_PURGE_INTERNAL_H

#define OLD_EVENTS(limit) " FROM operation_event x WHERE x.created_at < " limit

/* A cluster that is gone needs none of its operations; of one that still is the newest stays, and
 * the newest that succeeded. OFFSET 0 keeps the looks at the others a lookup per candidate. */
#define OLD_OPERATIONS(limit)                                                                      \
    " FROM operation x WHERE x.finished_at < " limit                                               \
    " AND (NOT EXISTS (SELECT FROM cluster c WHERE c.uuid = x.cluster_id OFFSET 0)"                \
    " OR (EXISTS (SELECT FROM operation y WHERE y.cluster_id = x.cluster_id"                       \
    " AND y.generation > x.generation OFFSET 0) AND (x.status <> 'SUCCEEDED'"                      \
    " OR EXISTS (SELECT FROM operation z WHERE z.cluster_id = x.cluster_id"                        \
    " AND z.generation > x.generation AND z.status = 'SUCCEEDED' OFFSET 0))))"

#endif
