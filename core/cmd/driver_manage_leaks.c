/* magnum-driver-manage leaks and backends: what sweeps found, and which endpoints of backends the
 * conductors leave alone at present. See driver_manage.h. */
#include "base/parse.h"
#include "cmd/driver_manage.h"
#include "db/db_backend.h"
#include "db/db_sweep.h"

#include <stdio.h>

int leaks_list(const struct config *cfg, struct db *db, enum output_format f, struct err *e)
{
    static const char *const columns[] = {"id",         "driver_id", "kind",       "name",
                                          "cluster_id", "cluster",   "first_seen", "last_seen",
                                          "certain",    "remove",    NULL};
    _cleanup_json_ json_t *rows = NULL, *sweeps = NULL;
    size_t i;
    json_t *v;
    int rc = db_leak_list(db, cfg->conductor_sweep_grace_s, &rows, e);
    if (rc == 0)
        rc = db_sweep_list(db, &sweeps, e);
    if (rc == 0)
        rc = output_list(f, rows, columns, e);
    json_array_foreach(rc == 0 && f == OUTPUT_TABLE ? sweeps : NULL, i, v)
    {
        const char *at = json_string_value(json_object_get(v, "swept_at"));
        const char *problem = json_string_value(json_object_get(v, "problem"));
        printf("%s: compared %s%s%s\n", json_string_value(json_object_get(v, "driver_id")),
               at ? at : "never", problem ? "; now: " : "", problem ? problem : "");
    }
    return rc;
}

int leaks_remove(const struct config *cfg, struct db *db, const char *id, struct err *e)
{
    int64_t number = 0, n = 0;
    if (id && (!parse_i64(id, 1, INT64_MAX, &number)))
        return err_set(e, ERR_INVALID, "%s is no id of a leak", id);
    int rc = db_leak_ask(db, number, cfg->conductor_sweep_grace_s, &n, e);
    if (rc == 0 && id && n == 0)
        rc = err_set(e, ERR_NOT_FOUND, "there is no leak %s", id);
    if (rc == 0)
        printf("Asked for the removal of %lld leak%s; the next sweep does it\n", (long long)n,
               n == 1 ? "" : "s");
    return rc;
}

int backends_list(struct db *db, enum output_format f, struct err *e)
{
    static const char *const columns[] = {"endpoint", "state", "failures", "reason",
                                          "since",    "host",  NULL};
    _cleanup_json_ json_t *rows = NULL;
    int rc = db_backend_list(db, &rows, e);
    return rc == 0 ? output_list(f, rows, columns, e) : rc;
}
