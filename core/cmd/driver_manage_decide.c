/* Who may use which driver: enable and disable (for all or for one project), the default of several
 * drivers for one kind of cluster, quarantine. See driver_manage.h. */
#include "cmd/driver_manage.h"

#include "base/jsonx.h"
#include "db/db_driver.h"
#include "db/db_service.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void who_am_i(char *ret, size_t size)
{
    const struct passwd *pw = getpwuid(getuid());
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    snprintf(ret, size, "%.60s@%s", pw ? pw->pw_name : "unknown", host);
}

/* ---- conflicts ---- */
static bool provides(const json_t *manifest, const json_t *triple)
{
    static const char *const keys[] = {"server_type", "os", "coe"};
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(manifest, "provides"), i, p)
    {
        bool same = true;
        for (size_t k = 0; k < ARRAY_LEN(keys); k++)
            same = same && str_eq(jsonx_str(p, keys[k]), jsonx_str(triple, keys[k]));
        if (same)
            return true;
    }
    return false;
}

static bool decided_default(const json_t *defaults, const json_t *triple)
{
    size_t i;
    json_t *d;
    json_array_foreach(defaults, i, d)
    {
        if (str_eq(jsonx_str(d, "server_type"), jsonx_str(triple, "server_type")) &&
            str_eq(jsonx_str(d, "os"), jsonx_str(triple, "os")) &&
            str_eq(jsonx_str(d, "coe"), jsonx_str(triple, "coe")))
            return true;
    }
    return false;
}

static bool is_enabled(const json_t *decided, const char *project)
{
    const json_t *own =
        project ? json_object_get(json_object_get(decided, "projects"), project) : NULL;
    return own ? json_is_true(own) : jsonx_bool(decided, "enabled", false);
}

static const json_t *manifest_of(const struct driver_info *info, const char *id)
{
    const struct plugin *p = driver_info_plugin(info, id);
    return p ? p->manifest : json_object_get(driver_info_release(info, id), "manifest");
}

/* The enabled driver that makes the same kind of cluster; NULL = none. */
static const char *rival(const struct driver_info *info, const char *id, const char *project,
                         const json_t *triple)
{
    const char *other;
    json_t *decided;
    json_object_foreach(info->enabled, other, decided)
    {
        if (!str_eq(other, id) && is_enabled(decided, project) &&
            provides(manifest_of(info, other), triple))
            return other;
    }
    return NULL;
}

/* Two drivers for one kind of cluster: somebody must say which one gets it. */
static int settle(struct request *r, const struct driver_info *info, const char *id,
                  const char *who, struct err *e)
{
    _cleanup_json_ json_t *defaults = NULL;
    size_t i;
    json_t *triple;
    int rc = db_driver_defaults(r->db, &defaults, e);
    json_array_foreach(rc ? NULL : json_object_get(manifest_of(info, id), "provides"), i, triple)
    {
        const char *other = rival(info, id, r->project, triple);
        const char *st = jsonx_str(triple, "server_type"), *os = jsonx_str(triple, "os"),
                   *coe = jsonx_str(triple, "coe");
        if (rc || !other || (decided_default(defaults, triple) && !r->as_default && !r->beside))
            continue;
        if (r->as_default || r->beside)
            rc = db_driver_default(r->db, st, os, coe, r->as_default ? id : other, who, e);
        else
            rc =
                err_set(e, ERR_CONFLICT,
                        "driver %s is enabled and makes (%s, %s, %s) too: choose with --as-default "
                        "(%s gets new ones) or --beside (%s goes on getting them)",
                        other, st, os, coe, id, other);
    }
    return rc;
}

/* ---- enable, disable ---- */
static int check_usable(const struct request *r, const struct driver_info *info, const char *id,
                        struct err *e)
{
    const struct plugin *p = driver_info_plugin(info, r->arg);
    const char *why = NULL;
    if (p && p->problem)
        return err_set(e, ERR_INVALID, "driver %s can't be used: %s", id, p->problem);
    const char *state = driver_info_state(info, p, driver_info_release(info, r->arg), &why);
    if (str_eq(state, "beta") && !r->beta)
        return err_set(e, ERR_INVALID, "driver %s can't be used: %s", id, why);
    return 0;
}

static int store(struct request *r, const struct driver_info *info, const char *id, const char *sum,
                 const char *who, struct err *e)
{
    int rc = r->beta ? db_driver_beta(r->db, id, true, who, e) : 0;
    if (rc == 0 && !r->project)
        return db_driver_enable(r->db, id, true, r->any_file ? NULL : sum, who, e);
    /* for one project: the file is pinned all the same */
    if (rc == 0 && !json_object_get(json_object_get(info->enabled, id), "sha256"))
        rc = db_driver_enable(r->db, id, false, r->any_file ? NULL : sum, who, e);
    return rc ? rc : db_driver_project(r->db, id, r->project, true, who, e);
}

static void say_enabled(const struct request *r, const char *id, const char *sum)
{
    printf("Driver %s is enabled%s%s%s%s\n", id, r->project ? " for project " : "",
           r->project ? r->project : "",
           r->any_file ? ", whatever its file" : " for the file with sha256 ",
           r->any_file ? "" : sum);
}

static int enable(struct request *r, const struct driver_info *info, struct err *e)
{
    const struct plugin *p = driver_info_plugin(info, r->arg);
    const json_t *row = driver_info_release(info, r->arg);
    const char *id = driver_info_id(info, r->arg);
    const char *sum = p ? p->sha256 : jsonx_str(row, "sha256");
    char who[WHO];
    who_am_i(who, sizeof who);
    if (!id)
        return err_set(e, ERR_NOT_FOUND, "there is no driver %s", r->arg);
    int rc = check_usable(r, info, id, e);
    if (rc == 0)
        rc = settle(r, info, id, who, e);
    if (rc == 0)
        rc = store(r, info, id, sum, who, e);
    if (rc == 0)
        say_enabled(r, id, sum ? sum : "");
    return rc;
}

static int disable(struct request *r, const struct driver_info *info, struct err *e)
{
    const char *known = driver_info_id(info, r->arg), *id = known ? known : r->arg;
    const json_t *decided = json_object_get(info->enabled, id);
    char who[WHO];
    who_am_i(who, sizeof who);
    if (!known && !decided) /* it may be gone since it was enabled */
        return err_set(e, ERR_NOT_FOUND, "there is no driver %s", r->arg);
    int rc = r->project ? db_driver_project(r->db, id, r->project, false, who, e)
                        : db_driver_enable(r->db, id, false, jsonx_str(decided, "sha256"), who, e);
    if (rc == 0 && r->beta)
        rc = db_driver_beta(r->db, id, false, who, e);
    if (rc == 0)
        printf("Driver %s is disabled%s%s: it gets no new clusters; existing clusters can still be "
               "deleted\n",
               id, r->project ? " for project " : "", r->project ? r->project : "");
    return rc;
}

static int with_info(struct request *r,
                     int (*fn)(struct request *, const struct driver_info *, struct err *),
                     struct err *e)
{
    struct driver_info info;
    int rc = need_database(r, e);
    if (rc == 0)
        rc = driver_info_load(r->cfg, r->db, &info, e);
    if (rc != 0)
        return rc;
    rc = fn(r, &info, e);
    driver_info_done(&info);
    return rc;
}

int do_enable(struct request *r, struct err *e)
{
    return with_info(r, enable, e);
}

int do_disable(struct request *r, struct err *e)
{
    return with_info(r, disable, e);
}

/* ---- defaults ---- */
int do_default_list(struct request *r, struct err *e)
{
    static const char *const columns[] = {"server_type", "os", "coe", "id", "by", "at", NULL};
    _cleanup_json_ json_t *rows = NULL;
    int rc = need_database(r, e);
    if (rc == 0)
        rc = db_driver_defaults(r->db, &rows, e);
    return rc == 0 ? output_list(r->format, rows, columns, e) : rc;
}

static int set_default(struct request *r, const struct driver_info *info, struct err *e)
{
    const char *st = r->args[0], *os = r->args[1], *coe = r->args[2], *text = r->args[3];
    const char *id = driver_info_id(info, text);
    char who[WHO];
    who_am_i(who, sizeof who);
    if (!id)
        return err_set(e, ERR_NOT_FOUND, "there is no driver %s", text);
    _cleanup_json_ json_t *triple =
        json_pack("{s:s,s:s,s:s}", "server_type", st, "os", os, "coe", coe);
    if (!provides(manifest_of(info, id), triple))
        return err_set(e, ERR_INVALID, "driver %s does not make (%s, %s, %s)", id, st, os, coe);
    int rc = db_driver_default(r->db, st, os, coe, id, who, e);
    if (rc == 0)
        printf("Driver %s gets new clusters of (%s, %s, %s)\n", id, st, os, coe);
    return rc;
}

int do_default_set(struct request *r, struct err *e)
{
    return with_info(r, set_default, e);
}

int do_default_unset(struct request *r, struct err *e)
{
    char who[WHO];
    who_am_i(who, sizeof who);
    int rc = need_database(r, e);
    if (rc == 0)
        rc = db_driver_default(r->db, r->args[0], r->args[1], r->args[2], NULL, who, e);
    if (rc == 0)
        printf("No driver is chosen for (%s, %s, %s)\n", r->args[0], r->args[1], r->args[2]);
    return rc;
}

/* ---- quarantine ---- */
int do_quarantine_list(struct request *r, struct err *e)
{
    static const char *const columns[] = {"id", "sha256", "since", "reason", NULL};
    _cleanup_json_ json_t *rows = NULL;
    int rc = need_database(r, e);
    if (rc == 0)
        rc = db_driver_quarantine_list(r->db, &rows, e);
    return rc == 0 ? output_list(r->format, rows, columns, e) : rc;
}

static int quarantine(struct request *r, const struct driver_info *info, struct err *e)
{
    const struct plugin *p = driver_info_plugin(info, r->arg);
    const json_t *row = driver_info_release(info, r->arg);
    const char *id = driver_info_id(info, r->arg);
    const char *sum = row ? jsonx_str(row, "sha256") : p ? p->sha256 : NULL;
    char who[WHO];
    who_am_i(who, sizeof who);
    if (!id || str_blank(sum))
        return err_set(e, ERR_NOT_FOUND, "there is no driver %s", r->arg);
    _cleanup_free_ char *reason = str_fmt("by %s", who);
    int rc = db_driver_quarantine(r->db, id, sum, reason ? reason : who, e);
    if (rc == 0)
        printf("Driver %s is quarantined: its operations wait until it is cleared\n", r->arg);
    return rc;
}

int do_quarantine_add(struct request *r, struct err *e)
{
    return with_info(r, quarantine, e);
}

static int clear(struct request *r, const struct driver_info *info, struct err *e)
{
    _cleanup_json_ json_t *rows = NULL;
    const char *known = r->arg ? driver_info_id(info, r->arg) : NULL;
    const char *id = known ? known : r->arg;
    size_t i, n = 0;
    json_t *v;
    int rc = db_driver_quarantine_list(r->db, &rows, e);
    json_array_foreach(rows, i, v)
    {
        n += !id || str_eq(jsonx_str(v, "id"), id);
    }
    if (rc == 0 && id && n == 0)
        rc = err_set(e, ERR_NOT_FOUND, "%s is not quarantined", id);
    if (rc == 0)
        rc = db_driver_quarantine_clear(r->db, id, e);
    if (rc == 0)
        printf("Cleared %zu quarantine%s\n", n, n == 1 ? "" : "s");
    return rc;
}

int do_quarantine_clear(struct request *r, struct err *e)
{
    return with_info(r, clear, e);
}
