/* /v1/nodes of the first Magnum: records that nothing acts on. See legacy.h. */
#include "api/legacy.h"
#include "base/uuid.h"

static void view(struct api_call *c, const struct node *n, bool full)
{
    struct str *o = &c->rp->body;
    jw_next(o);
    str_append_c(o, '{');
    jw_str(o, "uuid", n->uuid);
    jw_str(o, "type", n->type);
    jw_str(o, "image_id", n->image_id);
    jw_str(o, "ironic_node_id", n->ironic_node_id);
    if (full) {
        jw_str(o, "project_id", n->project_id);
        jw_str(o, "user_id", n->user_id);
        jw_time(o, "created_at", n->created_at);
        jw_time(o, "updated_at", n->updated_at);
    }
    jw_links(o, c, "nodes", n->uuid);
    str_append_c(o, '}');
}

static int list(struct api_call *c, const char *rule, const char *path, bool detail, struct err *e)
{
    const struct db_scope own = scope_own(c);
    struct node_list l = {NULL, 0};
    struct page p;
    int rc = enforce_self(c, rule, e);
    if (rc == 0)
        rc = page_read(c, false, &p, e);
    if (rc == 0)
        rc = db_node_list(c->api->db, &own, &p.db, &l, e);
    if (rc == 0) {
        str_append(&c->rp->body, "{\"nodes\":[");
        for (size_t i = 0; i < l.n; i++)
            view(c, &l.v[i], detail);
        page_close(c, &p, path, l.n, l.n ? l.v[l.n - 1].uuid : "");
        rc = answer(c, 200, e);
    }
    node_list_done(&l);
    return rc;
}

int api_node_list(struct api_call *c, struct err *e)
{
    return list(c, "node:get_all", "nodes", false, e);
}

int api_node_detail(struct api_call *c, struct err *e)
{
    return list(c, "node:detail", "nodes/detail", true, e);
}

static int get(struct api_call *c, const char *rule, struct node *n, struct err *e)
{
    const struct db_scope own = scope_own(c);
    int rc = db_node_get(c->api->db, &own, c->arg[0], n, e);
    return rc ? rc : enforce(c, rule, n->project_id, n->user_id, e);
}

int api_node_show(struct api_call *c, struct err *e)
{
    struct node n;
    node_init(&n);
    int rc = get(c, "node:get", &n, e);
    if (rc == 0) {
        view(c, &n, true);
        rc = answer(c, 200, e);
    }
    node_done(&n);
    return rc;
}

static int make(struct api_call *c, struct node *n, struct err *e)
{
    char uuid[UUID_TEXT];
    bool oom = false;
    uuid_make(uuid);
    n->uuid = copy(uuid, &oom);
    n->project_id = copy(c->who.project_id, &oom);
    n->user_id = copy(c->who.user_id, &oom);
    n->type = copy(jsonx_str(c->body, "type"), &oom);
    n->image_id = copy(jsonx_str(c->body, "image_id"), &oom);
    n->ironic_node_id = copy(jsonx_str(c->body, "ironic_node_id"), &oom);
    return oom ? err_nomem(e) : db_node_insert(c->api->db, n, e);
}

int api_node_create(struct api_call *c, struct err *e)
{
    struct node n;
    node_init(&n);
    int rc = enforce_self(c, "node:create", e);
    if (rc == 0)
        rc = make(c, &n, e);
    if (rc == 0) {
        view(c, &n, true);
        rc = legacy_created(c, "nodes", n.uuid, e);
    }
    node_done(&n);
    return rc;
}

static int take(char **column, const json_t *delta, const char *key, struct err *e)
{
    const json_t *value = json_object_get(delta, key);
    char *text = str_dup(json_string_value(value));
    if (!value)
        return 0;
    if (json_is_string(value) && !text)
        return err_nomem(e);
    free(*column);
    *column = text;
    return 0;
}

static int change(struct api_call *c, struct node *n, struct err *e)
{
    _cleanup_json_ json_t *now =
        json_pack("{s:s, s:s?, s:s?, s:s?}", "uuid", n->uuid, "type", n->type, "image_id",
                  n->image_id, "ironic_node_id", n->ironic_node_id);
    _cleanup_json_ json_t *before = now ? attrs_document(&attrs_node, false, now) : NULL;
    _cleanup_json_ json_t *after = NULL, *delta = NULL;
    if (!before)
        return err_nomem(e);
    int rc = patch_apply(before, c->body, &patch_node, &after, e);
    if (rc == 0)
        rc = attrs_delta(&attrs_node, false, before, after, &delta, e);
    if (rc == 0)
        rc = take(&n->type, delta, "type", e);
    if (rc == 0)
        rc = take(&n->image_id, delta, "image_id", e);
    if (rc == 0)
        rc = take(&n->ironic_node_id, delta, "ironic_node_id", e);
    return rc ? rc : db_node_update(c->api->db, n, e);
}

int api_node_patch(struct api_call *c, struct err *e)
{
    struct node n;
    node_init(&n);
    int rc = get(c, "node:update", &n, e);
    if (rc == 0)
        rc = change(c, &n, e);
    if (rc == 0) {
        view(c, &n, true);
        rc = answer(c, 200, e);
    }
    node_done(&n);
    return rc;
}

int api_node_delete(struct api_call *c, struct err *e)
{
    struct node n;
    node_init(&n);
    int rc = get(c, "node:delete", &n, e);
    if (rc == 0)
        rc = db_node_delete(c->api->db, n.uuid, e);
    node_done(&n);
    return rc ? rc : answer_nothing(c);
}
