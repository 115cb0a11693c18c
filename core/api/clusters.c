/* /v1/clusters: list, show, patch, delete (api.md 6), and /v1/bays, their name until 1.10 (api.md
 * 16): the same rows under fewer attributes, two of which are called otherwise. Creating is in
 * cluster_create.c, the actions in cluster_actions.c. See api_internal.h. */
#include "api/clusters.h"
#include "api/api_internal.h"
#include "api/rules.h"
#include "api/text.h"
#include "api/views.h"
#include "db/db_cluster.h"
#include "db/db_template.h"

#include <string.h>

/* What depends on the name that the path uses. */
struct naming {
    const char *collection, *policy;
    const struct attr_table *attrs;
    const struct patch_rules *patch;
    void (*view)(const struct api_call *c, const struct cluster_shown *cl, enum view v);
    bool everywhere; /* an admin may reach other projects' */
};

static const struct naming *naming(const struct api_call *c)
{
    static const struct naming names[] = {
        {"clusters", "cluster", &attrs_cluster, &patch_cluster, view_cluster, true},
        {"bays", "bay", &attrs_bay, &patch_bay, view_bay, false},
    };
    return &names[api_old_names(c)];
}

enum { RULE_MAX = 64 };
static const char *rule_of(const struct api_call *c, const char *verb, char buf[RULE_MAX])
{
    snprintf(buf, RULE_MAX, "%s:%s", naming(c)->policy, verb);
    return buf;
}

static int scope_of(struct api_call *c, const char *verb, struct db_scope *ret, struct err *e)
{
    char rule[RULE_MAX];
    *ret = scope_own(c);
    if (!naming(c)->everywhere)
        return 0;
    snprintf(rule, sizeof rule, "%s:%s_all_projects", naming(c)->policy, verb);
    return scope_all(c, rule, ret, e);
}

static int list(struct api_call *c, const char *verb, const char *rest, enum view v, struct err *e)
{
    struct cluster_page l = CLUSTER_PAGE_INIT;
    struct db_scope scope;
    struct page p;
    char rule[RULE_MAX], path[RULE_MAX];
    snprintf(path, sizeof path, "%s%s", naming(c)->collection, rest);
    int rc = enforce_self(c, rule_of(c, verb, rule), e);
    if (rc == 0)
        rc = scope_of(c, verb, &scope, e);
    if (rc == 0)
        rc = page_read(c, false, &p, e);
    if (rc == 0)
        rc = db_cluster_list(db_for_lists(c->api->db), &scope, &p.db, v != VIEW_SUMMARY, &l, e);
    if (rc == 0) {
        str_printf(&c->rp->body, "{\"%s\":[", naming(c)->collection);
        for (size_t i = 0; i < l.n; i++)
            naming(c)->view(c, &l.v[i], v);
        page_close(c, &p, path, l.n, l.n ? l.v[l.n - 1].uuid : "");
        rc = answer(c, 200, e);
    }
    cluster_page_done(&l);
    return rc;
}

int api_cluster_list(struct api_call *c, struct err *e)
{
    return list(c, "get_all", "", VIEW_SUMMARY, e);
}

int api_cluster_detail(struct api_call *c, struct err *e)
{
    return list(c, "detail", "/detail", VIEW_FULL, e);
}

/* The cluster of the path, visible to an admin everywhere, and the right to change it. */
static int get(struct api_call *c, const char *verb, struct cluster *cl, struct err *e)
{
    struct db_scope scope;
    char rule[RULE_MAX];
    int rc = scope_of(c, verb, &scope, e);
    if (rc == 0)
        rc = db_cluster_get(c->api->db, &scope, c->arg[0], cl, e);
    if (rc == 0)
        rc = enforce(c, rule_of(c, verb, rule), cl->project_id, cl->user_id, e);
    return rc;
}

int api_cluster_show(struct api_call *c, struct err *e)
{
    struct cluster_page one = CLUSTER_PAGE_INIT;
    struct db_scope scope;
    char rule[RULE_MAX];
    int rc = scope_of(c, "get_one", &scope, e);
    if (rc == 0)
        rc = db_cluster_show(c->api->db, &scope, c->arg[0], &one, e);
    if (rc == 0)
        rc = enforce(c, rule_of(c, "get", rule), one.v->project_id, one.v->user_id, e);
    if (rc == 0) {
        naming(c)->view(c, one.v, VIEW_SHOW);
        rc = answer(c, 200, e);
    }
    cluster_page_done(&one);
    return rc;
}

int api_cluster_delete(struct api_call *c, struct err *e)
{
    struct db_change ch = DB_CHANGE_INIT;
    struct cluster cl;
    cluster_init(&cl);
    int rc = get(c, "delete", &cl, e);
    if (rc == 0)
        rc = operation_accept(c, &cl, OP_DELETE, false, &ch, NULL, e);
    if (rc == 0)
        rc = answer_nothing(c);
    cluster_done(&cl);
    return rc;
}

int cluster_changed(struct api_call *c, int status, const char *uuid, struct err *e)
{
    struct db_scope everywhere = {.all_projects = true};
    struct cluster_page one = CLUSTER_PAGE_INIT;
    if (!api_old_names(c) || c->minor > 1)
        return answer_uuid(c, 202, uuid, e);
    int rc = db_cluster_show(c->api->db, &everywhere, uuid, &one, e);
    if (rc == 0) {
        view_bay(c, one.v, VIEW_FULL);
        rc = answer(c, status, e);
    }
    cluster_page_done(&one);
    return rc;
}

/* ---- patch ---- */

/* One PATCH in work: the cluster, its default worker group, what the patch changes. */
struct change {
    struct cluster cl;
    struct nodegroup worker;
    json_t *delta;
};

int cluster_rename(json_t *o, bool to_new)
{
    static const char *const names[][2] = {{"baymodel_id", "cluster_template_id"},
                                           {"bay_create_timeout", "create_timeout"}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *from = names[i][!to_new], *to = names[i][to_new];
        json_t *v = json_object_get(o, from);
        if (v && (json_object_set(o, to, v) < 0 || json_object_del(o, from) < 0))
            return ERR_NOMEM;
    }
    return 0;
}

static int apply(struct api_call *c, struct change *ch, struct err *e)
{
    _cleanup_json_ json_t *columns = cluster_json(&ch->cl), *before = NULL, *after = NULL;
    /* in a patch node_count is the size of the default worker group, not the sum */
    int64_t workers =
        ch->worker.node_count == MODEL_UNSET ? ch->cl.node_count : ch->worker.node_count;
    if (json_object_set_new(columns, "node_count", json_integer(workers)) < 0 ||
        json_object_set_new(columns, "master_count", json_integer(ch->cl.master_count)) < 0 ||
        (api_old_names(c) && cluster_rename(columns, false) < 0))
        return err_nomem(e);
    before = attrs_document(naming(c)->attrs, api_zed(c), columns);
    if (!before)
        return err_nomem(e);
    int rc = patch_apply(before, c->body, naming(c)->patch, &after, e);
    if (rc == 0)
        rc = attrs_delta(naming(c)->attrs, api_zed(c), before, after, &ch->delta, e);
    if (rc == 0 && api_old_names(c) && cluster_rename(ch->delta, true) < 0)
        rc = err_nomem(e);
    return rc;
}

static int refuse_others(const json_t *delta, struct err *e)
{
    static const char *const free_ones[] = {"node_count", "health_status", "health_status_reason"};
    const char *names[64], *key;
    json_t *v;
    size_t n = 0;
    _cleanup_str_ struct str list = STR_INIT;
    json_object_foreach((json_t *)delta, key, v)
    {
        bool may = false;
        for (size_t i = 0; i < ARRAY_LEN(free_ones); i++)
            may |= strcmp(key, free_ones[i]) == 0;
        if (!may && n < ARRAY_LEN(names))
            names[n++] = key;
    }
    if (n == 0)
        return 0;
    text_sort(names, n);
    for (size_t i = 0; i < n; i++)
        str_printf(&list, "%s%s", i ? ", " : "", names[i]);
    return err_set(e, ERR_INVALID, "cannot change cluster property(ies) %s.", str_text(&list));
}

int cluster_check_bay(const struct api_call *c, int64_t node_count, struct err *e)
{
    _cleanup_json_ json_t *shown = json_integer(node_count);
    if (!api_old_names(c) || node_count > 0)
        return 0;
    return attrs_invalid(e, "node_count", shown, "Value should be greater or equal to 1");
}

static int check_count(const struct api_call *c, const struct change *ch, struct err *e)
{
    int64_t wanted = jsonx_int(ch->delta, "node_count", ch->worker.node_count);
    int rc = cluster_check_bay(c, jsonx_int(ch->delta, "node_count", 1), e);
    if (rc < 0)
        return rc;
    if (c->minor < 10 && wanted == 0)
        return err_set(e, ERR_INVALID,
                       "Resizing a nodegroup to zero is not supported in the provided "
                       "microversion.");
    return 0;
}

/* Nodes that are to be made need flavors that exist. */
static int check_flavors(struct api_call *c, const struct change *ch, struct err *e)
{
    const struct db_scope everywhere = {.all_projects = true, .admin = true};
    const char *flavors[] = {ch->cl.flavor_id, ch->cl.master_flavor_id};
    struct template t;
    template_init(&t);
    int rc = db_template_get(c->api->db, &everywhere, ch->cl.cluster_template_id, false, &t, e);
    if (rc == 0)
        rc = rule_root_volume(c, t.server_type, ch->cl.labels, flavors, ARRAY_LEN(flavors), e);
    template_done(&t);
    return rc;
}

static int accept_health(struct api_call *c, const struct change *ch, struct err *e)
{
    const json_t *status = json_object_get(ch->delta, "health_status");
    const json_t *reason = json_object_get(ch->delta, "health_status_reason");
    if ((!status && !reason) || c->plan)
        return 0;
    if (!reason)
        reason = ch->cl.health_status_reason;
    return db_accept_health(c->api->db, ch->cl.uuid,
                            status ? json_string_value(status) : ch->cl.health_status,
                            json_is_null(reason) ? NULL : reason, e);
}

static int accept_count(struct api_call *c, const struct change *ch, bool rollback, struct err *e)
{
    struct db_change dc = DB_CHANGE_INIT;
    int64_t wanted = jsonx_int(ch->delta, "node_count", MODEL_UNSET);
    if (wanted == MODEL_UNSET)
        return 0;
    int rc = check_flavors(c, ch, e);
    if (rc < 0)
        return rc;
    _cleanup_json_ json_t *params =
        json_pack("{s:s, s:I}", "nodegroup", ch->worker.uuid, "node_count", (json_int_t)wanted);
    if (!params)
        return err_nomem(e);
    dc.nodegroup = ch->worker.uuid;
    dc.node_count = wanted;
    dc.params = params;
    return operation_accept(c, &ch->cl, OP_UPDATE, rollback, &dc, NULL, e);
}

static int change(struct api_call *c, struct change *ch, bool rollback, struct err *e)
{
    int rc = get(c, "update", &ch->cl, e);
    if (rc == 0 && !api_old_names(c))
        rc = enforce_self(c, "cluster:update_health_status", e);
    if (rc == 0 && (c->minor < 10 || patch_touches(c->body, "/node_count")))
        rc = db_nodegroup_get(c->api->db, ch->cl.uuid, NULL, &ch->worker, e);
    if (rc == 0)
        rc = apply(c, ch, e);
    if (rc == 0)
        rc = check_count(c, ch, e);
    if (rc == 0)
        rc = refuse_others(ch->delta, e);
    if (rc == 0)
        rc = accept_health(c, ch, e);
    if (rc == 0)
        rc = accept_count(c, ch, rollback, e);
    return rc;
}

int api_cluster_patch(struct api_call *c, struct err *e)
{
    struct change ch = {.delta = NULL};
    bool rollback = false;
    cluster_init(&ch.cl);
    nodegroup_init(&ch.worker);
    int rc = 0;
    if (c->minor < 3 && query_get(&c->query, "rollback"))
        rc = err_set(e, ERR_INVALID, "Unknown argument: \"rollback\"");
    if (rc == 0)
        rc = query_bool(&c->query, "rollback", &rollback, e);
    if (rc == 0)
        rc = change(c, &ch, rollback, e);
    if (rc == 0)
        rc = cluster_changed(c, 200, ch.cl.uuid, e);
    json_decref(ch.delta);
    nodegroup_done(&ch.worker);
    cluster_done(&ch.cl);
    return rc;
}
