/* ?plan=true: what a change would do, without doing it. The request goes its normal way, checks and
 * accepting transaction included, but the transaction is rolled back; this file turns the operation
 * that would have been stored into an answer: nodes per group now and then, what the request would
 * replace or wait for, the quota, and what the driver says it would make, change and remove when it
 * offers mag.coe.plan/1. See api_internal.h. */
#include "api/api_internal.h"
#include "api/driver_cache.h"
#include "api/driver_select.h"
#include "db/db_cluster.h"
#include "db/db_operation.h"
#include "db/db_service.h"

#include <string.h>

enum { UNFINISHED_MAX = 50 };

int plan_note(struct api_call *c, const struct operation *op, struct err *e)
{
    json_decref(c->planned);
    c->planned = operation_json(op);
    return c->planned ? 0 : err_nomem(e);
}

/* ---- nodes ---- */

static json_t *wanted_group(const json_t *spec, const char *uuid)
{
    size_t i;
    json_t *g;
    json_array_foreach(json_object_get(spec, "nodegroups"), i, g)
    {
        if (str_eq(jsonx_str(g, "uuid"), uuid))
            return g;
    }
    return NULL;
}

static bool is_now(const struct nodegroup_list *now, const char *uuid)
{
    for (size_t i = 0; i < now->n; i++)
        if (str_eq(now->v[i].uuid, uuid))
            return true;
    return false;
}

struct nodes {
    json_t *groups;
    int64_t now, then;
};

static int add_group(struct nodes *s, const char *name, const char *role, int64_t now, int64_t then)
{
    s->now += now;
    s->then += then;
    return json_array_append_new(s->groups, json_pack("{s:s?,s:s?,s:{s:I,s:I}}", "name", name,
                                                      "role", role, "node_count", "now",
                                                      (json_int_t)now, "then", (json_int_t)then));
}

/* The groups there are, and those the spec adds. A group that is wanted no more goes to 0. */
static int count_nodes(const json_t *spec, bool removes, const struct nodegroup_list *now,
                       struct nodes *s)
{
    int rc = s->groups ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < now->n; i++) {
        const json_t *g = removes ? NULL : wanted_group(spec, now->v[i].uuid);
        rc = add_group(s, now->v[i].name, now->v[i].role, now->v[i].node_count,
                       jsonx_int(g, "node_count", 0));
    }
    size_t i;
    json_t *g;
    json_array_foreach(removes ? NULL : json_object_get(spec, "nodegroups"), i, g)
    {
        if (rc == 0 && !is_now(now, jsonx_str(g, "uuid")))
            rc = add_group(s, jsonx_str(g, "name"), jsonx_str(g, "role"), 0,
                           jsonx_int(g, "node_count", 0));
    }
    return rc;
}

/* Without the driver's word: whole numbers of nodes. */
static int core_lists(const struct nodes *s, json_t *plan)
{
    json_t *make = json_array(), *remove = json_array();
    size_t i;
    json_t *g;
    int rc = 0;
    json_array_foreach(s->groups, i, g)
    {
        const json_t *count = json_object_get(g, "node_count");
        int64_t more = jsonx_int(count, "then", 0) - jsonx_int(count, "now", 0);
        json_t *detail = json_sprintf("%lld nodes", (long long)(more < 0 ? -more : more));
        json_t *entry = json_pack("{s:s,s:s?,s:o}", "kind", "nodes", "name", jsonx_str(g, "name"),
                                  "detail", detail);
        if (more == 0)
            json_decref(entry);
        else
            rc |= json_array_append_new(more > 0 ? make : remove, entry);
    }
    rc |= json_object_set_new(plan, "make", make);
    rc |= json_object_set_new(plan, "change", json_array());
    rc |= json_object_set_new(plan, "remove", remove);
    return rc;
}

/* ---- the driver ---- */

static int ask_driver(struct api_call *c, const struct driver_row *d, json_t **ret, struct err *e)
{
    _cleanup_json_ json_t *params =
        json_pack("{s:s,s:O,s:O}", "driver_id", d->id, "kind", json_object_get(c->planned, "kind"),
                  "spec", json_object_get(c->planned, "spec"));
    return conductor_call(c, "driver.plan", params, ret, e);
}

/* A driver that refuses the wish makes the plan fail; one that can't be asked is only missed. */
static int driver_lists(struct api_call *c, json_t *plan, const struct nodes *s, struct err *e)
{
    static const char *const lists[] = {"make", "change", "remove"};
    _cleanup_drivers_ struct driver_set *set = NULL;
    _cleanup_json_ json_t *said = NULL;
    struct err why = ERR_INIT;
    const char *id = jsonx_str(c->planned, "driver_id");
    int rc = driver_cache_get(c->api->drivers, &set, e);
    if (rc < 0)
        return rc;
    const struct driver_row *d = id ? driver_find(&set->rows, id) : NULL;
    bool offers = d && driver_offers(d, "mag.coe.plan/1");
    int bad = json_object_set_new(plan, "driver", id ? json_string(id) : json_null());
    rc = offers ? ask_driver(c, d, &said, &why) : ERR_UNSUPPORTED;
    if (rc == ERR_INVALID || rc == ERR_QUOTA || rc == ERR_FORBIDDEN)
        return err_set(e, rc, "%s", why.msg);
    c->show_5xx = false;
    bad |= json_object_set_new(plan, "by_driver", json_boolean(rc == 0));
    if (rc < 0 && offers)
        bad |= json_object_set_new(
            plan, "note", json_sprintf("the driver could not be asked for details: %s", why.msg));
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(lists); i++) {
        json_t *list = json_object_get(said, lists[i]);
        bad |= json_object_set_new(plan, lists[i],
                                   json_is_array(list) ? json_incref(list) : json_array());
    }
    if (rc < 0)
        bad |= core_lists(s, plan);
    return bad ? err_nomem(e) : 0;
}

/* ---- what stands in the way, what it costs ---- */

static bool replaces(const char *kind, const char *other)
{
    bool both = (str_eq(kind, "update") || str_eq(kind, "scale")) &&
                (str_eq(other, "update") || str_eq(other, "scale"));
    return both || str_eq(kind, op_kind_name(OP_DELETE));
}

static int unfinished(struct api_call *c, const char *cluster, json_t *plan, struct err *e)
{
    const struct db_scope everywhere = {.all_projects = true, .admin = true};
    const struct db_page page = {.limit = UNFINISHED_MAX};
    struct operation_list l = {NULL, 0};
    json_t *gone = json_array(), *first = json_array();
    int bad = 0, rc = db_operation_list(c->api->db, &everywhere, cluster, &page, &l, e);
    for (size_t i = 0; rc == 0 && i < l.n; i++)
        if (!op_status_final(l.v[i].status))
            bad |=
                json_array_append_new(replaces(jsonx_str(plan, "kind"), l.v[i].kind) ? gone : first,
                                      json_string(l.v[i].id));
    operation_list_done(&l);
    bad |= json_object_set_new(plan, "replaces", gone);
    bad |= json_object_set_new(plan, "waits_for", first);
    return bad && rc == 0 ? err_nomem(e) : rc;
}

static int quota_effect(struct api_call *c, const char *project, int change, json_t *plan,
                        struct err *e)
{
    struct quota q;
    struct err missing = ERR_INIT;
    int64_t clusters = 0, nodes = 0, limit = c->api->cfg->quotas_max_clusters_per_project;
    quota_init(&q);
    int rc = db_quota_get(c->api->db, project ? project : "", "Cluster", &q, &missing);
    if (rc == 0)
        limit = q.hard_limit;
    quota_done(&q);
    if (rc < 0 && rc != ERR_NOT_FOUND)
        return err_set(e, rc, "%s", missing.msg);
    rc = db_cluster_stats(c->api->db, project ? project : "", &clusters, &nodes, e);
    if (rc < 0)
        return rc;
    json_t *quota =
        json_pack("{s:s,s:I,s:I,s:I}", "resource", "Cluster", "now", (json_int_t)clusters, "then",
                  (json_int_t)(clusters + change), "limit", (json_int_t)limit);
    return json_object_set_new(plan, "quota", quota) < 0 ? err_nomem(e) : 0;
}

/* ---- the answer ---- */

static int build(struct api_call *c, json_t *plan, struct err *e)
{
    const json_t *op = c->planned, *spec = json_object_get(op, "spec");
    const char *kind = jsonx_str(op, "kind"), *cluster = jsonx_str(op, "cluster_id");
    bool creates = str_eq(kind, op_kind_name(OP_CREATE));
    bool deletes = str_eq(kind, op_kind_name(OP_DELETE));
    struct nodegroup_list now = {NULL, 0};
    struct nodes s = {.groups = json_array()};
    int rc = creates ? 0 : db_nodegroup_list(c->api->db, cluster, NULL, NULL, &now, e);
    if (rc == 0 && count_nodes(spec, deletes, &now, &s) < 0)
        rc = err_nomem(e);
    nodegroup_list_done(&now);
    int bad = json_object_set_new(plan, "kind", json_string(kind));
    bad |= json_object_set_new(plan, "cluster_id", creates ? json_null() : json_string(cluster));
    bad |= json_object_set_new(plan, "cluster_name", json_string(jsonx_str(op, "cluster_name")));
    bad |= json_object_set(plan, "nodegroups", s.groups);
    bad |= json_object_set_new(
        plan, "nodes",
        json_pack("{s:I,s:I}", "now", (json_int_t)s.now, "then", (json_int_t)s.then));
    if (rc == 0 && bad)
        rc = err_nomem(e);
    if (rc == 0)
        rc = driver_lists(c, plan, &s, e);
    if (rc == 0)
        rc = unfinished(c, cluster, plan, e);
    if (rc == 0)
        rc = quota_effect(c, jsonx_str(op, "project_id"), creates - deletes, plan, e);
    json_decref(s.groups);
    return rc;
}

int plan_answer(struct api_call *c, struct err *e)
{
    _cleanup_json_ json_t *plan = json_object();
    if (!plan)
        return err_nomem(e);
    int rc = c->planned ? build(c, plan, e) : 0;
    if (rc < 0)
        return rc;
    str_append_c(&c->rp->body, '{');
    jw_json(&c->rp->body, "plan", c->planned ? plan : NULL, "null");
    str_append_c(&c->rp->body, '}');
    return answer(c, 200, e);
}
