/* /v1/federations (api.md 15). Magnum never had anything that acts on federations; here they are
 * records that are kept, so what was accepted is there afterwards. A federation is COMPLETE at
 * once. See api_internal.h. */
#include "api/api_internal.h"
#include "api/text.h"
#include "api/views.h"
#include "base/uuid.h"
#include "db/db_cluster.h"
#include "db/db_federation.h"

#include <string.h>

static const char *own_project(const struct api_call *c)
{
    return c->who.project_id ? c->who.project_id : "";
}

static int list(struct api_call *c, const char *rule, const char *path, enum view v, struct err *e)
{
    struct federation_list l = {NULL, 0};
    struct page p;
    int rc = enforce_self(c, rule, e);
    if (rc == 0)
        rc = page_read(c, false, &p, e);
    if (rc == 0)
        rc = db_federation_list(db_for_lists(c->api->db), own_project(c), &p.db, &l, e);
    if (rc == 0) {
        str_append(&c->rp->body, "{\"federations\":[");
        for (size_t i = 0; i < l.n; i++)
            view_federation(c, &l.v[i], v);
        page_close(c, &p, path, l.n, l.n ? l.v[l.n - 1].uuid : "");
        rc = answer(c, 200, e);
    }
    federation_list_done(&l);
    return rc;
}

int api_federation_list(struct api_call *c, struct err *e)
{
    return list(c, "federation:get_all", "federations", VIEW_SUMMARY, e);
}

int api_federation_detail(struct api_call *c, struct err *e)
{
    return list(c, "federation:detail", "federations/detail", VIEW_FULL, e);
}

static int get(struct api_call *c, const char *rule, struct federation *f, struct err *e)
{
    int rc = db_federation_get(c->api->db, own_project(c), c->arg[0], f, e);
    return rc < 0 ? rc : enforce(c, rule, f->project_id, c->who.user_id, e);
}

int api_federation_show(struct api_call *c, struct err *e)
{
    struct federation f;
    federation_init(&f);
    int rc = get(c, "federation:get", &f, e);
    if (rc == 0) {
        view_federation(c, &f, VIEW_FULL);
        rc = answer(c, 200, e);
    }
    federation_done(&f);
    return rc;
}

int api_federation_delete(struct api_call *c, struct err *e)
{
    struct federation f;
    federation_init(&f);
    int rc = get(c, "federation:delete", &f, e);
    if (rc == 0)
        rc = db_federation_delete(c->api->db, f.uuid, e);
    if (rc == 0)
        rc = answer_nothing(c);
    federation_done(&f);
    return rc;
}

/* ---- create ---- */

static int find_cluster(const struct api_call *c, const char *ident, struct cluster *cl,
                        struct err *e)
{
    struct db_scope scope = scope_own(c);
    return db_cluster_get(c->api->db, &scope, ident, cl, e);
}

static int check_create(struct api_call *c, struct cluster *host, struct err *e)
{
    const char *ident = jsonx_str(c->body, "hostcluster_id");
    const json_t *properties = json_object_get(c->body, "properties");
    int rc = enforce_self(c, "federation:create", e);
    if (rc == 0 && !ident)
        rc = err_set(e, ERR_INVALID, "No hostcluster specified. Please specify a hostcluster_id.");
    if (rc == 0)
        rc = find_cluster(c, ident, host, e);
    if (rc == 0 && json_object_size(properties) == 0)
        rc = err_set(e, ERR_INVALID, "Please specify a `properties` dict for the federation.");
    if (rc == 0 && !jsonx_str(properties, "dns-zone"))
        rc = err_set(e, ERR_INVALID, "No DNS zone specified. Please specify a `dns-zone`.");
    return rc;
}

static int make(const struct api_call *c, const struct cluster *host, struct federation *f,
                struct err *e)
{
    char uuid[UUID_TEXT], name[64];
    const char *given = jsonx_str(c->body, "name");
    json_t *members = json_object_get(c->body, "member_ids");
    bool oom = false;
    uuid_make(uuid);
    text_make_name("federation", name, sizeof name);
    f->uuid = copy(uuid, &oom);
    f->name = copy(given ? given : name, &oom);
    f->project_id = copy(own_project(c), &oom);
    f->hostcluster_id = copy(host->uuid, &oom);
    f->member_ids = json_is_array(members) ? json_incref(members) : json_array();
    f->properties = json_incref(json_object_get(c->body, "properties"));
    f->status = copy("CREATE_COMPLETE", &oom);
    return oom || !f->member_ids ? err_nomem(e) : 0;
}

int api_federation_create(struct api_call *c, struct err *e)
{
    struct cluster host;
    struct federation f;
    cluster_init(&host);
    federation_init(&f);
    int rc = check_create(c, &host, e);
    if (rc == 0)
        rc = make(c, &host, &f, e);
    if (rc == 0)
        rc = db_federation_insert(c->api->db, &f, e);
    if (rc == 0)
        rc = answer_uuid(c, 202, f.uuid, e);
    federation_done(&f);
    cluster_done(&host);
    return rc;
}

/* ---- patch ---- */

static size_t position(const json_t *members, const char *uuid)
{
    size_t i = 0;
    while (i < json_array_size(members) &&
           !str_eq(json_string_value(json_array_get(members, i)), uuid))
        i++;
    return i;
}

static int join(const struct api_call *c, struct federation *f, const char *uuid, struct err *e)
{
    struct cluster cl;
    cluster_init(&cl);
    int rc = find_cluster(c, uuid, &cl, e);
    if (rc == 0 && position(f->member_ids, cl.uuid) < json_array_size(f->member_ids))
        rc = err_set(e, ERR_EXISTS,
                     "A cluster with UUID %s is already a member of the federation %s.", uuid,
                     f->name);
    if (rc == 0 && !f->member_ids)
        f->member_ids = json_array();
    if (rc == 0 && json_array_append_new(f->member_ids, json_string(cl.uuid)) < 0)
        rc = err_nomem(e);
    cluster_done(&cl);
    return rc;
}

static int leave(struct federation *f, const char *uuid, struct err *e)
{
    size_t at = position(f->member_ids, uuid);
    if (at == json_array_size(f->member_ids))
        return err_set(e, ERR_NOT_FOUND, "Cluster %s is not a member of the federation %s.", uuid,
                       f->name);
    return json_array_remove(f->member_ids, at) < 0 ? err_nomem(e) : 0;
}

/* Members come and go one at a time, by the first operation of a patch alone. */
static int move_member(const struct api_call *c, struct federation *f, bool *ret_done,
                       struct err *e)
{
    const json_t *first = json_array_get(c->body, 0);
    const char *value = jsonx_str(first, "value"), *op = jsonx_str(first, "op");
    *ret_done = false;
    if (!str_eq(jsonx_str(first, "path"), "/member_ids") || !value || str_eq(op, "replace"))
        return 0;
    *ret_done = true;
    return str_eq(op, "add") ? join(c, f, value, e) : leave(f, value, e);
}

static json_t *columns(const struct federation *f)
{
    return json_pack("{s:s, s:s?, s:s?, s:O?, s:s?, s:s?, s:O?}", "uuid", f->uuid, "name", f->name,
                     "hostcluster_id", f->hostcluster_id, "member_ids", f->member_ids, "status",
                     f->status, "status_reason", f->status_reason, "properties", f->properties);
}

static int refuse_others(const json_t *delta, struct err *e)
{
    _cleanup_str_ struct str list = STR_INIT;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)delta, key, v)
    {
        if (strcmp(key, "member_ids") != 0 && strcmp(key, "properties") != 0)
            str_printf(&list, "%s%s", list.len ? ", " : "", key);
    }
    if (!list.len)
        return 0;
    return err_set(e, ERR_INVALID, "cannot change federation property(ies) %s.", str_text(&list));
}

static void take(json_t **member, json_t *value)
{
    if (!value)
        return;
    json_decref(*member);
    *member = json_is_null(value) ? NULL : json_incref(value);
}

static int change(struct api_call *c, struct federation *f, struct err *e)
{
    _cleanup_json_ json_t *before = NULL, *after = NULL, *delta = NULL, *now = columns(f);
    bool moved = false;
    int rc = move_member(c, f, &moved, e);
    if (rc < 0 || moved)
        return rc;
    before = now ? attrs_document(&attrs_federation, api_zed(c), now) : NULL;
    if (!before)
        return err_nomem(e);
    rc = patch_apply(before, c->body, &patch_federation, &after, e);
    if (rc == 0)
        rc = attrs_delta(&attrs_federation, api_zed(c), before, after, &delta, e);
    if (rc == 0)
        rc = refuse_others(delta, e);
    if (rc < 0)
        return rc;
    take(&f->member_ids, json_object_get(delta, "member_ids"));
    take(&f->properties, json_object_get(delta, "properties"));
    return 0;
}

int api_federation_patch(struct api_call *c, struct err *e)
{
    struct federation f;
    bool rollback = false, oom = false;
    federation_init(&f);
    int rc = query_bool(&c->query, "rollback", &rollback, e);
    if (rc == 0)
        rc = get(c, "federation:update", &f, e);
    if (rc == 0)
        rc = change(c, &f, e);
    if (rc == 0) {
        free(f.status);
        f.status = copy("UPDATE_COMPLETE", &oom);
        rc = oom ? err_nomem(e) : db_federation_update(c->api->db, &f, e);
    }
    if (rc == 0)
        rc = answer_uuid(c, 202, f.uuid, e);
    federation_done(&f);
    return rc;
}
