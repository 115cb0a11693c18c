/* Key pairs: see db_service.h. */
#include "db/db_service.h"

#include "base/uuid.h"
#include "op_internal.h"

static int own_uuid(struct x509keypair *k, struct err *e)
{
    if (!str_blank(k->uuid))
        return 0;
    char uuid[UUID_TEXT];
    uuid_make(uuid);
    free(k->uuid);
    k->uuid = str_dup(uuid);
    return k->uuid ? 0 : err_nomem(e);
}

int db_x509_by_key(struct db *db, const char *derived_key, struct x509keypair *ret, struct err *e)
{
    static const struct sql_stmt get = {
        "x509_by_key", "SELECT {k.x509keypair} FROM x509keypair k WHERE k.derived_key = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, derived_key);
    int rc = sql_read(db, &get, &p, &r, e);
    if (rc)
        return rc;
    return PQntuples(r)
               ? ROW_ONE(x509keypair, r, ret, e)
               : err_set(e, ERR_NOT_FOUND, "A key pair %s could not be found.", derived_key);
}

static int first_of_key(struct db *db, struct x509keypair *k, struct err *e)
{
    struct x509keypair first;
    x509keypair_init(&first);
    int rc = db_x509_by_key(db, k->derived_key, &first, e);
    if (rc == ERR_NOT_FOUND) /* removed in between */
        return err_set(e, ERR_BUSY, "the key pair was just removed; try again");
    if (rc)
        return rc;
    x509keypair_done(k);
    *k = first;
    return 0;
}

/* A conductor that was paused past its lease must not leave a key behind that nobody removes. */
static int put_guarded(struct db *db, const struct op_guard *g, struct x509keypair *k,
                       struct err *e)
{
    static const struct sql_stmt insert = {
        "x509_put_op",
        "WITH g AS (SELECT 1 FROM operation o WHERE " LEASE_ALIVE "),"
        " x AS (INSERT INTO x509keypair ({x509keypair}) SELECT {$x509keypair:4} FROM g"
        " ON CONFLICT (derived_key) DO NOTHING RETURNING id, created_at)"
        " SELECT (SELECT count(*) FROM g), x.id, x.created_at FROM (SELECT 1) d LEFT JOIN x ON "
        "true"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    guard_params(&p, g);
    param_insert(&p, &row_x509keypair, k);
    int rc = sql_write(db, &insert, &p, &r, e);
    if (!rc)
        rc = guarded(r, g, e);
    if (rc)
        return rc;
    if (PQgetisnull(r, 0, 1))
        return first_of_key(db, k, e);
    k->id = row_int(r, 0, 1, MODEL_UNSET);
    k->created_at = row_time(r, 0, 2);
    return 0;
}

int db_x509_put(struct db *db, const struct op_guard *g, struct x509keypair *k, struct err *e)
{
    static const struct sql_stmt insert = {
        "x509_put", "INSERT INTO x509keypair ({x509keypair}) VALUES ({$x509keypair})"
                    " ON CONFLICT (derived_key) DO NOTHING RETURNING id, created_at"};
    int rc = own_uuid(k, e);
    if (rc || g)
        return rc ? rc : put_guarded(db, g, k, e);
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_insert(&p, &row_x509keypair, k);
    rc = sql_write(db, &insert, &p, &r, e);
    if (rc == ERR_EXISTS)
        return err_set(e, rc, "A key pair with UUID %s already exists.", k->uuid);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return first_of_key(db, k, e);
    k->id = row_int(r, 0, 0, MODEL_UNSET);
    k->created_at = row_time(r, 0, 1);
    return 0;
}

static int not_found(const char *uuid, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "A key pair %s could not be found.", uuid);
}

int db_x509_get(struct db *db, const char *uuid, struct x509keypair *ret, struct err *e)
{
    static const struct sql_stmt get = {
        "x509_get", "SELECT {k.x509keypair} FROM x509keypair k WHERE k.uuid = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, uuid);
    int rc = sql_read(db, &get, &p, &r, e);
    if (rc)
        return rc;
    return PQntuples(r) ? ROW_ONE(x509keypair, r, ret, e) : not_found(uuid, e);
}

int db_x509_delete(struct db *db, const char *uuid, struct err *e)
{
    static const struct sql_stmt del = {"x509_delete", "DELETE FROM x509keypair WHERE uuid = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, uuid);
    int rc = sql_write(db, &del, &p, &r, e);
    if (rc)
        return rc;
    return sql_changed(r) ? 0 : not_found(uuid, e);
}
