/* `list`: one row per version of a driver, of those here and those in the database. See
 * driver_manage.h. */
#include "cmd/driver_manage.h"

#include "base/jsonx.h"

/* "vm/ubuntu/kubernetes bm/ubuntu/kubernetes" */
static json_t *provides_text(const json_t *manifest)
{
    _cleanup_str_ struct str s = STR_INIT;
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(manifest, "provides"), i, p)
    {
        str_printf(&s, "%s%s/%s/%s", i ? " " : "", jsonx_str(p, "server_type"), jsonx_str(p, "os"),
                   jsonx_str(p, "coe"));
    }
    return json_string(str_text(&s));
}

static json_t *verdict_text(const json_t *release)
{
    const json_t *v = json_object_get(release, "verdict");
    if (!json_is_object(v))
        return json_string("");
    return json_sprintf("%s (%lld of %lld)", jsonx_str(v, "result"),
                        (long long)jsonx_int(v, "passed", 0),
                        (long long)(jsonx_int(v, "passed", 0) + jsonx_int(v, "failed", 0)));
}

/* Who answers for the verdict; empty when there is none. */
static const char *signer_text(const json_t *release)
{
    const json_t *v = json_object_get(release, "verdict");
    const char *signer = jsonx_str(v, "signed_by");
    return !json_is_object(v) ? "" : signer ? signer : "unsigned";
}

static int add(const struct driver_info *i, json_t *rows, const struct plugin *p,
               const json_t *release, struct err *e)
{
    const char *why = NULL, *state = driver_info_state(i, p, release, &why);
    const json_t *manifest = p ? p->manifest : json_object_get(release, "manifest");
    const char *sha256 = p ? p->sha256 : jsonx_str(release, "sha256");
    json_t *row = json_pack(
        "{s:s?,s:s?,s:s?,s:s?,s:o,s:s,s:s,s:o,s:s,s:I,s:O?,s:s?}", "id",
        p ? p->id : jsonx_str(release, "id"), "name", p ? p->name : jsonx_str(release, "name"),
        "version", p ? p->version : jsonx_str(release, "version"), "vendor",
        p ? p->vendor : jsonx_str(release, "vendor"), "provides", provides_text(manifest), "state",
        state, "problem", why ? why : "", "verdict", verdict_text(release), "signed_by",
        signer_text(release), "clusters", (json_int_t)jsonx_int(release, "clusters", 0),
        "conductors", json_object_get(release, "conductors"), "sha256", sha256);
    return json_array_append_new(rows, row) < 0 ? err_nomem(e) : 0;
}

int driver_info_versions(const struct driver_info *i, json_t **ret, struct err *e)
{
    _cleanup_json_ json_t *rows = json_array();
    size_t k;
    json_t *v;
    int rc = rows ? 0 : err_nomem(e);
    for (size_t n = 0; rc == 0 && n < i->plugins.n; n++)
        rc = add(i, rows, &i->plugins.v[n], driver_info_release(i, i->plugins.v[n].ref), e);
    json_array_foreach(rc == 0 ? i->releases : NULL, k, v)
    {
        _cleanup_free_ char *ref = str_fmt("%s@%s", jsonx_str(v, "id"), jsonx_str(v, "version"));
        if (ref && !driver_info_plugin(i, ref))
            rc = rc ? rc : add(i, rows, NULL, v, e);
    }
    if (rc == 0)
        *ret = TAKE_PTR(rows);
    return rc;
}
