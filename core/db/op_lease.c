/* Leasing, the front of the queue (see db_operation.h): first which projects have due work, then,
 * when somebody has decided how many of each, those. Nothing here grows with what one project has
 * queued: the projects are found by a walk from one to the next in operation_project_due. */
#include "op_internal.h"

#include <string.h>

enum { FEW = 256 };

/* The predicate of the queue's partial indexes. */
#define IN_QUEUE "('PENDING', 'RUNNING', 'BLOCKED')"
/* The expression of operation_project_due. */
#define PROJECT "coalesce(o.project_id, '')"
#define DUE_FOR(drivers)                                                                           \
    "o.status IN " IN_QUEUE " AND o.superseded_by IS NULL AND o.due_at <= now()"                   \
    " AND (o.lease_until IS NULL OR o.lease_until <= now())"                                       \
    " AND (" drivers "::text[] IS NULL OR coalesce(o.driver_id, '') = ''"                          \
    " OR coalesce(o.driver_id || '@' || o.driver_version, o.driver_id) = ANY (" drivers            \
    "::text[]) OR o.driver_id || '@*' = ANY (" drivers "::text[]))"

void drivers_param(struct sql_params *p, const struct strv *drivers)
{
    if (drivers)
        param_list(p, (const char *const *)drivers->v, drivers->n);
    else
        param_str(p, NULL);
}

/* ---- who has something due ---- */
void db_op_due_done(struct op_due_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i].project);
    free(l->v);
    *l = (struct op_due_list){NULL, 0};
}

static int read_due(const PGresult *r, struct op_due_list *ret, struct err *e)
{
    size_t n = (size_t)PQntuples(r);
    *ret = (struct op_due_list){n ? calloc(n, sizeof *ret->v) : NULL, 0};
    if (n && !ret->v)
        return err_nomem(e);
    for (; ret->n < n; ret->n++) {
        struct op_due *d = &ret->v[ret->n];
        d->n = (size_t)row_int(r, (int)ret->n, 1, 0);
        d->project = str_dup(row_str(r, (int)ret->n, 0));
        if (!d->project) {
            db_op_due_done(ret);
            return err_nomem(e);
        }
    }
    return 0;
}

int db_op_due(struct db *db, const char *after, size_t projects, size_t each,
              const struct strv *drivers, struct op_due_list *ret, struct err *e)
{
    /* With little due in all, that is read, by time. The walk is for when much is due: between two
     * projects with due work it passes over all that waits for later. */
    static const struct sql_stmt due = {
        "op_due",
        "WITH RECURSIVE few AS MATERIALIZED (SELECT " PROJECT
        " AS id FROM operation o WHERE " DUE_FOR(
            "$4") " ORDER BY o.due_at LIMIT least($2::bigint * $3::bigint, $5::bigint)),"
                  " much AS MATERIALIZED (SELECT count(*) = least($2::bigint * $3::bigint,"
                  " $5::bigint) AS yes FROM few),"
                  " p(id, n) AS ((SELECT " PROJECT ", 1 FROM operation o"
                  " WHERE (SELECT yes FROM much) AND " PROJECT " >= $1 AND " DUE_FOR(
                      "$4") " ORDER BY " PROJECT ", o.due_at LIMIT 1)"
                            " UNION ALL SELECT x.id, p.n + 1 FROM p CROSS JOIN LATERAL"
                            " (SELECT " PROJECT " AS id"
                            " FROM operation o WHERE " PROJECT " > p.id AND " DUE_FOR(
                                "$4") " ORDER BY " PROJECT
                                      ", o.due_at LIMIT 1) x WHERE p.n < $2::bigint)"
                                      " SELECT id, n FROM (SELECT p.id, d.n FROM p"
                                      " CROSS JOIN LATERAL (SELECT count(*) AS n FROM"
                                      " (SELECT o.due_at FROM operation o WHERE " PROJECT
                                      " = p.id AND " DUE_FOR(
                                          "$4") " ORDER BY " PROJECT
                                                ", o.due_at LIMIT $3::bigint) q) d"
                                                " UNION ALL SELECT f.id, least(count(*),"
                                                " $3::bigint) FROM few f WHERE NOT (SELECT yes"
                                                " FROM much) AND f.id >= $1 GROUP BY f.id) found"
                                                " ORDER BY id LIMIT $2::bigint"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    /* ids have no control characters: this is the smallest one behind `after` */
    _cleanup_free_ char *from = after ? str_fmt("%s\x01", after) : str_dup("");
    if (!from)
        return err_nomem(e);
    param_str(&p, from);
    param_int(&p, (int64_t)projects);
    param_int(&p, (int64_t)each);
    drivers_param(&p, drivers);
    param_int(&p, FEW);
    int rc = sql_read(db, &due, &p, &r, e);
    return rc ? rc : read_due(r, ret, e);
}

int db_op_due_of(struct db *db, const char *const *projects, size_t n, size_t each,
                 const struct strv *drivers, struct op_due_list *ret, struct err *e)
{
    static const struct sql_stmt due = {
        "op_due_of",
        "SELECT w.project, d.n FROM unnest($1::text[]) WITH ORDINALITY AS w(project, place)"
        " CROSS JOIN LATERAL (SELECT count(*) AS n FROM (SELECT o.due_at FROM operation o "
        "WHERE " PROJECT " = w.project COLLATE \"C\" AND " DUE_FOR(
            "$3") " ORDER BY " PROJECT
                  ", o.due_at LIMIT $2::bigint) q) d WHERE d.n > 0 ORDER BY w.place"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_list(&p, projects, n);
    param_int(&p, (int64_t)each);
    drivers_param(&p, drivers);
    int rc = sql_read(db, &due, &p, &r, e);
    return rc ? rc : read_due(r, ret, e);
}

/* ---- leases ---- */
int db_op_release_expired(struct db *db, struct op_due_list *ret, struct err *e)
{
    /* a row that somebody is just writing under its lease is passed over; FOR UPDATE looks at the
     * newest version of the others, so that one prolonged in between stays where it is */
    static const struct sql_stmt release = {
        "op_release_expired",
        "WITH gone AS (SELECT id FROM operation WHERE lease_owner IS NOT NULL"
        " AND lease_until <= now() FOR UPDATE SKIP LOCKED),"
        " freed AS (UPDATE operation o SET lease_owner = NULL, lease_until = NULL,"
        " updated_at = now() FROM gone WHERE o.id = gone.id RETURNING " PROJECT " AS project)"
        " SELECT project, count(*), " NOT_FLUSHED " FROM freed GROUP BY project ORDER BY project"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_write(db, &release, &p, &r, e);
    return rc ? rc : read_due(r, ret, e);
}

/* Superseded operations whose runner is gone: nobody else would end them. */
static int end_abandoned(struct db *db, struct err *e)
{
    static const struct sql_stmt end = {
        "op_end_abandoned",
        "WITH gone AS (SELECT id FROM operation WHERE superseded_by IS NOT NULL"
        " AND status IN " IN_QUEUE " AND (lease_until IS NULL OR lease_until <= now())"
        " FOR UPDATE SKIP LOCKED),"
        " ended AS (UPDATE operation o SET status = 'CANCELLED', finished_at = now(),"
        " updated_at = now(), lease_owner = NULL, lease_until = NULL, blocked_since = NULL,"
        " code = $1, reason = 'superseded by operation ' || o.superseded_by, actor = $2,"
        " remedy = $3 FROM gone WHERE o.id = gone.id RETURNING o.*)"
        " INSERT INTO operation_event (operation_id, cluster_id, project_id, code, percent,"
        " request_id, message, actor, remedy) SELECT id, cluster_id, project_id, $4, percent,"
        " request_id, reason, actor, remedy FROM ended"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    code_params(&p, CODE_SUPERSEDED);
    param_str(&p, event_text(EVENT_ENDED_CANCELLED));
    return sql_write(db, &end, &p, NULL, e);
}

/* The next known time something may be due: work that waits, or a lease of somebody else that may
 * run out. */
static int next_due(struct db *db, const char *owner, int64_t *ret_ms, struct err *e)
{
    static const struct sql_stmt next = {
        "op_next_due",
        "SELECT ceil(extract(epoch FROM least("
        "(SELECT due_at FROM operation WHERE status IN " IN_QUEUE " AND superseded_by IS NULL"
        " AND due_at > now() AND lease_until IS NULL ORDER BY due_at LIMIT 1),"
        "(SELECT min(lease_until) FROM operation WHERE lease_owner IS NOT NULL"
        " AND lease_owner <> $1)) - now()) * 1000)::bigint"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, owner);
    int rc = sql_read(db, &next, &p, &r, e);
    if (rc)
        return rc;
    int64_t ms = row_int(r, 0, 0, -1);
    *ret_ms = ms < 0 && !PQgetisnull(r, 0, 0) ? 0 : ms;
    return 0;
}

/* Two lists of the same length: whose, and how many. */
static int take_params(struct sql_params *p, const struct op_take *v, size_t n, struct err *e)
{
    enum { DIGITS = 24 };
    const char **texts = calloc(n, sizeof *texts);
    char(*counts)[DIGITS] = calloc(n, sizeof *counts);
    int rc = texts && counts ? 0 : err_nomem(e);
    for (size_t i = 0; rc == 0 && i < n; i++)
        texts[i] = v[i].project;
    if (rc == 0)
        param_list(p, texts, n);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        snprintf(counts[i], DIGITS, "%zu", v[i].n);
        texts[i] = counts[i];
    }
    if (rc == 0)
        param_list(p, texts, n);
    free(texts);
    free(counts);
    return rc;
}

static int take(struct db *db, const char *owner, int64_t lease_ms, const struct strv *drivers,
                const struct op_take *v, size_t n, struct operation_list *ret, struct err *e)
{
    /* FOR UPDATE looks at the conditions again on the row's newest version, so an operation that
     * was superseded or leased in between is passed over; an elder that could not end yet (queued
     * before, or superseded under a live lease) holds this one back; OFFSET 0 keeps the look at the
     * elders a lookup per candidate, whatever the statistics of an ever-changing queue say */
    static const struct sql_stmt lease = {
        "op_lease",
        "WITH due AS MATERIALIZED (SELECT x.id FROM unnest($3::text[], $4::bigint[]) AS w(project,"
        " n) CROSS JOIN LATERAL (SELECT o.id FROM operation o WHERE " PROJECT " = w.project"
        " COLLATE \"C\" AND " DUE_FOR(
            "$5") " AND NOT EXISTS (SELECT FROM operation x WHERE x.cluster_id = o.cluster_id"
                  " AND x.generation < o.generation AND x.finished_at IS NULL OFFSET 0)"
                  " ORDER BY " PROJECT ", o.due_at LIMIT w.n FOR UPDATE OF o SKIP LOCKED) x)"
                  " UPDATE operation o SET lease_owner = $1, lease_fence = o.lease_fence + 1,"
                  " lease_until = now() + $2::bigint * interval '1 millisecond',"
                  " status = CASE o.status WHEN 'PENDING' THEN 'RUNNING' ELSE o.status END,"
                  " started_at = coalesce(o.started_at, now()), updated_at = now()"
                  " FROM due WHERE o.id = due.id RETURNING {o.operation}, " NOT_FLUSHED};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, owner);
    param_int(&p, lease_ms);
    int rc = take_params(&p, v, n, e);
    if (rc)
        return rc;
    drivers_param(&p, drivers);
    rc = sql_write(db, &lease, &p, &r, e);
    return rc ? rc : ROW_LIST(operation, r, ret, e);
}

int db_op_lease(struct db *db, const char *owner, int64_t lease_ms, const struct strv *drivers,
                const struct op_take *v, size_t n, struct operation_list *ret,
                int64_t *ret_next_due_ms, struct err *e)
{
    operation_list_done(ret);
    int rc = end_abandoned(db, e);
    if (!rc && n)
        rc = take(db, owner, lease_ms, drivers, v, n, ret, e);
    return rc || !ret_next_due_ms ? rc : next_due(db, owner, ret_next_due_ms, e);
}
