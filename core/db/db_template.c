/* See db_template.h. */
#include "db/db_template.h"

#include "base/parse.h"
#include "base/uuid.h"
#include "page_internal.h"

#include <string.h>

static const char *const not_null[] = {
    "uuid",   "name",   "registry_enabled", "tls_disabled",        "master_lb_enabled",
    "public", "hidden", "created_at",       "floating_ip_enabled", NULL};
static const struct page_source templates = {
    .table = "cluster_template",
    .alias = "t",
    .entity = &row_template,
    .marker = "uuid",
    .missing_before = "ClusterTemplate ",
    .missing_after = " could not be found.",
    .not_null = not_null,
};

static int not_found(const char *ident, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "ClusterTemplate %s could not be found.", ident);
}

/* Own ones, and public ones unless they are hidden; hidden public ones for admins. */
#define VISIBLE                                                                                    \
    "($2::boolean OR t.project_id = $3::text OR ($3::text IS NULL AND t.user_id = $4::text)"       \
    " OR (t.public AND (NOT t.hidden OR $5::boolean)))"

static bool all_digits(const char *s)
{
    return *s && strspn(s, "0123456789") == strlen(s);
}

static int find(struct db *db, const struct sql_stmt *stmt, const struct db_scope *s,
                const char *key, PGresult **ret, struct err *e)
{
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, key);
    param_bool(&p, s->all_projects);
    param_str(&p, s->project_id);
    param_str(&p, s->user_id);
    param_bool(&p, s->admin);
    return sql_read(db, stmt, &p, ret, e);
}

int db_template_get(struct db *db, const struct db_scope *s, const char *ident, bool int_id,
                    struct template *ret, struct err *e)
{
    static const struct sql_stmt by_id = {"template_by_id",
                                          "SELECT {t.template} FROM cluster_template t"
                                          " WHERE t.id = $1::bigint AND " VISIBLE};
    static const struct sql_stmt by_uuid = {"template_by_uuid",
                                            "SELECT {t.template} FROM cluster_template t"
                                            " WHERE t.uuid = $1 AND " VISIBLE};
    static const struct sql_stmt by_name = {"template_by_name",
                                            "SELECT {t.template} FROM cluster_template t"
                                            " WHERE t.name = $1 AND " VISIBLE " LIMIT 2"};
    static const struct sql_stmt by_case = {
        "template_by_case", "SELECT {t.template} FROM cluster_template t"
                            " WHERE lower(t.name) = lower($1::text) AND " VISIBLE " LIMIT 2"};
    char uuid[UUID_TEXT];
    bool is_uuid = uuid_like(ident, uuid);
    int64_t number;
    _cleanup_result_ PGresult *r = NULL;
    int rc = 0;
    if (int_id && all_digits(ident) && parse_i64(ident, 0, INT64_MAX, &number))
        rc = find(db, &by_id, s, ident, &r, e);
    if (!rc && (!r || PQntuples(r) == 0)) {
        result_free(&r);
        rc = find(db, is_uuid ? &by_uuid : &by_name, s, is_uuid ? uuid : ident, &r, e);
    }
    if (!rc && !is_uuid && s->any_case && PQntuples(r) == 0) {
        result_free(&r);
        rc = find(db, &by_case, s, ident, &r, e);
    }
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return not_found(ident, e);
    if (PQntuples(r) > 1)
        return err_set(e, ERR_CONFLICT,
                       "Multiple ClusterTemplates exist with same name. Please use the "
                       "ClusterTemplate uuid instead.");
    return ROW_ONE(template, r, ret, e);
}

int db_template_list(struct db *db, const struct db_scope *s, const struct db_page *p,
                     struct template_list *ret, struct err *e)
{
    _cleanup_(page_query_done) struct page_query q = PAGE_QUERY_INIT;
    _cleanup_result_ PGresult *r = NULL;
    str_append_c(&q.where, '(');
    page_scope(&q, "t", s);
    str_append(&q.where, s->admin ? " OR t.public)" : " OR (t.public AND NOT t.hidden))");
    int rc = page_apply(db, &templates, p, &q, e);
    if (!rc)
        rc = page_run(db, &templates, p, &q, "{t.template}", &r, e);
    return rc ? rc : ROW_LIST(template, r, ret, e);
}

int db_template_insert(struct db *db, struct template *t, struct err *e)
{
    static const struct sql_stmt insert = {
        "template_insert", "INSERT INTO cluster_template ({template}) VALUES ({$template})"
                           " RETURNING id, created_at"};
    if (str_blank(t->uuid)) {
        char uuid[UUID_TEXT];
        uuid_make(uuid);
        free(t->uuid);
        t->uuid = str_dup(uuid);
        if (!t->uuid)
            return err_nomem(e);
    }
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_insert(&p, &row_template, t);
    int rc = sql_write(db, &insert, &p, &r, e);
    if (rc == ERR_EXISTS)
        return err_set(e, rc, "A ClusterTemplate with UUID %s already exists.", t->uuid);
    if (rc)
        return rc;
    t->id = row_int(r, 0, 0, MODEL_UNSET);
    t->created_at = row_time(r, 0, 1);
    return 0;
}

int db_template_update(struct db *db, struct template *t, struct err *e)
{
    static const struct sql_stmt update = {
        "template_update", "UPDATE cluster_template SET {=template:2}, updated_at = now()"
                           " WHERE uuid = $1 RETURNING updated_at"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, t->uuid);
    param_update(&p, &row_template, t);
    int rc = sql_write(db, &update, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return not_found(t->uuid, e);
    t->updated_at = row_time(r, 0, 0);
    return 0;
}

static const struct sql_stmt used = {
    "template_used", "SELECT EXISTS (SELECT FROM cluster WHERE cluster_template_id = $1)"};

int db_template_referenced(struct db *db, const char *uuid, bool *ret, struct err *e)
{
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, uuid);
    int rc = sql_read(db, &used, &p, &r, e);
    if (!rc)
        *ret = row_bool(r, 0, 0);
    return rc;
}

int db_template_delete(struct db *db, const char *uuid, struct err *e)
{
    /* accepting a create holds a share lock on the template: the check comes after it */
    static const struct sql_stmt lock = {"template_lock",
                                         "SELECT FROM cluster_template WHERE uuid = $1 FOR UPDATE"};
    static const struct sql_stmt del = {"template_delete",
                                        "DELETE FROM cluster_template WHERE uuid = $1"};
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *locked = NULL, *in_use = NULL;
    param_str(&p, uuid);
    int rc = tx_begin(db, &tx, e);
    if (!rc)
        rc = tx_run(&tx, &lock, &p, &locked, e);
    if (!rc && PQntuples(locked) == 0)
        return not_found(uuid, e);
    if (!rc)
        rc = tx_run(&tx, &used, &p, &in_use, e);
    if (!rc && row_bool(in_use, 0, 0))
        return err_set(e, ERR_INVALID,
                       "ClusterTemplate %s is referenced by one or multiple clusters.", uuid);
    if (!rc)
        rc = tx_run(&tx, &del, &p, NULL, e);
    return rc ? rc : tx_commit(&tx, e);
}
