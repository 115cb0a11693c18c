/* Versions of a driver: upgrade, rollback, and moving clusters from one to the other. Nothing is
 * restarted: conductors give new clusters to the new version within a second, and the old one goes
 * on serving the clusters that belong to it until they are moved. See driver_manage.h. */
#include "cmd/driver_manage.h"

#include "base/jsonx.h"
#include "db/db_driver.h"

#include <stdio.h>
#include <string.h>

/* One version in the database; NOT_FOUND. */
static int find(const struct driver_info *i, const char *id, const char *version,
                const json_t **ret, struct err *e)
{
    _cleanup_free_ char *ref = str_fmt("%s@%s", id, version);
    *ret = ref ? driver_info_release(i, ref) : NULL;
    if (*ret && json_array_size(json_object_get(*ret, "conductors")) > 0)
        return 0;
    *ret = NULL;
    return ref ? err_set(e, ERR_NOT_FOUND,
                         "no conductor has version %s of driver %s: install it on their machines",
                         version, id)
               : err_nomem(e);
}

static bool has_text(const json_t *list, const char *text)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        if (str_eq(json_string_value(v), text))
            return true;
    }
    return false;
}

/* Every conductor that has the present version must have the new one, or the work would pile up on
 * the others. */
static int check_everywhere(const json_t *now, const json_t *to, struct err *e)
{
    _cleanup_str_ struct str lacking = STR_INIT;
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(now, "conductors"), i, v)
    {
        if (!has_text(json_object_get(to, "conductors"), json_string_value(v)))
            str_printf(&lacking, "%s%s", lacking.len ? ", " : "", json_string_value(v));
    }
    return lacking.len ? err_set(e, ERR_CONFLICT,
                                 "version %s is not on these conductors yet: %s (install it there, "
                                 "or give --partial)",
                                 jsonx_str(to, "version"), str_text(&lacking))
                       : 0;
}

/* Can this version take over? */
static int check_fit(const struct request *r, const struct driver_info *i, const json_t *to,
                     struct err *e)
{
    const char *id = jsonx_str(to, "id"), *version = jsonx_str(to, "version");
    const char *sha256 = jsonx_str(to, "sha256"), *why = jsonx_str(to, "not_ready_reason");
    if (sha256 && json_object_get(i->quarantined, sha256))
        return err_set(e, ERR_CONFLICT, "version %s of %s is quarantined", version, id);
    if (jsonx_int(to, "files", 1) > 1)
        return err_set(e, ERR_CONFLICT,
                       "version %s of %s is not the same file on all conductors: look at show",
                       version, id);
    if (!jsonx_bool(to, "ready", false))
        return err_set(e, ERR_UNAVAILABLE, "version %s of %s is not ready: %s", version, id,
                       why ? why : "no reason given");
    return r->partial ? 0 : check_everywhere(json_object_get(i->published, id), to, e);
}

static bool is_older(const char *version, const char *than)
{
    _cleanup_free_ char *a = db_driver_version_key(version), *b = db_driver_version_key(than);
    return !a || !b || strcmp(a, b) < 0;
}

/* Does the new version know what older ones have left: states, ledgers, names? Its manifest says
 * from which version on (takes_over). */
static int check_takes_over(struct request *r, const json_t *to, const struct strv *clusters,
                            struct err *e)
{
    const char *id = jsonx_str(to, "id"), *version = jsonx_str(to, "version");
    const char *oldest = jsonx_str(json_object_get(to, "manifest"), "takes_over");
    _cleanup_json_ json_t *versions = NULL;
    size_t i;
    json_t *v;
    if (r->force || str_blank(oldest))
        return 0;
    int rc = db_driver_movable(r->db, id, version, clusters, &versions, e);
    if (rc != 0)
        return rc;
    json_array_foreach(versions, i, v)
    {
        const char *now = jsonx_str(v, "version");
        if (is_older(now, oldest))
            return err_set(
                e, ERR_CONFLICT,
                "version %s of %s takes over clusters from version %s on, and %lld belong%s "
                "to %s (such as %s): move them to a version in between first, or give "
                "--force",
                version, id, oldest, (long long)jsonx_int(v, "clusters", 0),
                jsonx_int(v, "clusters", 0) == 1 ? "s" : "", now, jsonx_str(v, "example"));
    }
    return 0;
}

static int move(struct request *r, const char *id, const char *version, const struct strv *clusters,
                const char *who, struct err *e)
{
    int64_t n = 0;
    int rc = db_driver_move(r->db, id, version, clusters, who, &n, e);
    if (rc == 0)
        printf("%lld cluster%s of driver %s belong%s to version %s from the next operation on\n",
               (long long)n, n == 1 ? "" : "s", id, n == 1 ? "s" : "", version);
    return rc;
}

static int switch_to(struct request *r, const struct driver_info *i, const char *id,
                     const char *version, const char *event, struct err *e)
{
    const json_t *to = NULL, *now = json_object_get(i->published, id);
    char who[WHO];
    who_am_i(who, sizeof who);
    int rc = find(i, id, version, &to, e);
    if (rc == 0)
        rc = check_fit(r, i, to, e);
    if (rc == 0 && r->migrate)
        rc = check_takes_over(r, to, NULL, e);
    if (rc == 0)
        rc = db_driver_choose(r->db, id, version, jsonx_str(to, "sha256"), event, who, e);
    if (rc != 0)
        return rc;
    printf("Driver %s: new clusters get version %s (before: %s)\n", id, version,
           now ? jsonx_str(now, "version") : "none");
    if (r->migrate)
        return move(r, id, version, NULL, who, e);
    if (jsonx_int(now, "clusters", 0))
        printf("%lld clusters stay with version %s: magnum-driver-manage migrate-clusters %s\n",
               (long long)jsonx_int(now, "clusters", 0), jsonx_str(now, "version"), id);
    return 0;
}

/* The highest version that can take over. */
static const char *highest(const struct driver_info *i, const char *id)
{
    size_t k;
    json_t *v;
    json_array_foreach(i->releases, k, v)
    {
        const char *sha256 = jsonx_str(v, "sha256");
        if (str_eq(jsonx_str(v, "id"), id) && jsonx_bool(v, "ready", false) &&
            !(sha256 && json_object_get(i->quarantined, sha256)))
            return jsonx_str(v, "version");
    }
    return NULL;
}

static int load(struct request *r, struct driver_info *i, const char **id, struct err *e)
{
    int rc = need_database(r, e);
    if (rc == 0)
        rc = driver_info_load(r->cfg, r->db, i, e);
    if (rc != 0)
        return rc;
    *id = driver_info_id(i, r->arg);
    if (*id)
        return 0;
    driver_info_done(i);
    return err_set(e, ERR_NOT_FOUND, "there is no driver %s", r->arg);
}

int do_upgrade(struct request *r, struct err *e)
{
    struct driver_info i;
    const char *id = NULL, *at = strchr(r->arg, '@');
    int rc = load(r, &i, &id, e);
    if (rc != 0)
        return rc;
    const char *version = r->n_args > 1 ? r->args[1] : at ? at + 1 : highest(&i, id);
    rc = version ? switch_to(r, &i, id, version, "upgraded", e)
                 : err_set(e, ERR_UNAVAILABLE, "no version of %s is ready on any conductor", id);
    driver_info_done(&i);
    return rc;
}

int do_rollback(struct request *r, struct err *e)
{
    struct driver_info i;
    const char *id = NULL;
    int rc = load(r, &i, &id, e);
    if (rc != 0)
        return rc;
    const char *version = jsonx_str(json_object_get(i.enabled, id), "previous_version");
    rc = version ? switch_to(r, &i, id, version, "rolled back", e)
                 : err_set(e, ERR_CONFLICT, "driver %s had no other version before", id);
    driver_info_done(&i);
    return rc;
}

int do_migrate_clusters(struct request *r, struct err *e)
{
    struct driver_info i;
    const char *id = NULL;
    char who[WHO];
    who_am_i(who, sizeof who);
    int rc = load(r, &i, &id, e);
    if (rc != 0)
        return rc;
    const json_t *to = NULL;
    const char *now = jsonx_str(json_object_get(i.published, id), "version");
    const char *version = r->to ? r->to : now;
    _cleanup_strv_ struct strv clusters = STRV_INIT;
    for (int k = 1; rc == 0 && k < r->n_args; k++)
        rc = strv_add(&clusters, r->args[k]) ? err_nomem(e) : 0;
    if (rc == 0 && !version)
        rc = err_set(e, ERR_NOT_FOUND, "no conductor has driver %s", id);
    if (rc == 0)
        rc = find(&i, id, version, &to, e);
    if (rc == 0 && !jsonx_bool(to, "ready", false))
        rc = err_set(e, ERR_UNAVAILABLE, "version %s of %s is not ready on any conductor", version,
                     id);
    if (rc == 0)
        rc = check_takes_over(r, to, &clusters, e);
    if (rc == 0)
        rc = move(r, id, version, &clusters, who, e);
    driver_info_done(&i);
    return rc;
}
