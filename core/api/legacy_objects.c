/* /v1/pods, /v1/services, /v1/rcs, and what containers have in common with them: rows, answered
 * after a conductor has looked at the cluster. See legacy.h. */
#include "api/legacy.h"

#include "api/admit.h"
#include "base/log.h"
#include "base/uuid.h"
#include "db/db_cluster.h"
#include "db/db_template.h"

#include <string.h>

static const struct legacy_kind kinds[] = {
    {"pods", "pod", "kubernetes"},
    {"services", "service", "kubernetes"},
    {"rcs", "rc", "kubernetes"},
    {"containers", "container", "swarm"},
};

const struct legacy_kind *legacy_kind_of(const struct api_call *c)
{
    for (size_t i = 1; i < ARRAY_LEN(kinds); i++)
        if (str_starts(c->route->pattern, kinds[i].collection))
            return &kinds[i];
    return &kinds[0];
}

const char *legacy_rule(const struct legacy_kind *k, const char *verb, char buf[LEGACY_RULE])
{
    snprintf(buf, LEGACY_RULE, "%s:%s", k->kind, verb);
    return buf;
}

int legacy_call(struct api_call *c, const char *method, json_t *params, bool once, json_t **ret,
                struct err *e)
{
    _cleanup_json_ json_t *owned = params, *result = NULL;
    const struct config *cfg = c->api->cfg;
    /* a driver that hangs is killed before we give up, so that the answer tells of it */
    int64_t timeout = cfg->workload_timeout_ms + cfg->drivers_kill_grace_ms;
    c->show_5xx = true;
    if (!owned)
        return err_nomem(e);
    if (!c->api->rpc)
        return err_set(e, ERR_UNAVAILABLE, "No conductor can be asked at the moment.");
    admit_outside();
    int rc = once ? rpc_client_call_once(c->api->rpc, method, params, timeout, &result, e)
                  : rpc_client_call(c->api->rpc, method, params, timeout, &result, e);
    admit_inside();
    rc = conductor_said(c, rc, e);
    if (rc == 0 && ret)
        *ret = TAKE_PTR(result);
    return rc;
}

/* ---- views ---- */

static void view_kubernetes(struct str *o, const struct legacy_kind *k, const struct coe_object *b)
{
    jw_json(o, "labels", b->labels, "{}");
    if (strcmp(k->kind, "service") == 0) {
        jw_json(o, "selector", b->selector, "{}");
        jw_str(o, "ip", b->ip);
        jw_json(o, "ports", b->ports, "[]");
        return;
    }
    jw_json(o, "images", b->images, "[]");
    if (strcmp(k->kind, "rc") == 0) {
        jw_int(o, "replicas", b->replicas);
        return;
    }
    jw_str(o, "desc", b->description);
    jw_str(o, "status", b->status);
    jw_str(o, "host", b->host);
}

static void view(struct api_call *c, const struct legacy_kind *k, const struct coe_object *b,
                 bool full)
{
    struct str *o = &c->rp->body;
    jw_next(o);
    str_append_c(o, '{');
    jw_str(o, "uuid", b->uuid);
    jw_str(o, "name", b->name);
    jw_str(o, "bay_uuid", b->cluster_id);
    if (strcmp(k->kind, "container") == 0) {
        jw_str(o, "image", b->image);
        jw_str(o, "image_id", b->image);
        jw_str(o, "command", b->command);
        jw_str(o, "memory", b->memory);
        jw_str(o, "status", b->status);
        jw_str(o, "host", b->host);
    } else {
        view_kubernetes(o, k, b);
    }
    if (full || strcmp(b->phase, "present") != 0) /* why it is not what was asked for */
        jw_str(o, "status_reason", b->status_reason);
    if (full) {
        jw_str(o, "project_id", b->project_id);
        jw_str(o, "user_id", b->user_id);
        jw_time(o, "created_at", b->created_at);
        jw_time(o, "updated_at", b->updated_at);
    }
    jw_links(o, c, k->collection, b->uuid);
    str_append_c(o, '}');
}

/* What was stored may be over by now. */
static int mark_unknown(struct coe_object *b, struct err *e)
{
    char *status = str_dup("Unknown");
    if (!status)
        return err_nomem(e);
    free(b->status);
    b->status = status;
    return 0;
}

/* ---- clusters ---- */

static int find_cluster(struct api_call *c, const char *ident, struct cluster *cl, struct err *e)
{
    const struct db_scope own = scope_own(c);
    return db_cluster_get(c->api->db, &own, ident, cl, e);
}

/* The objects of Kubernetes need a cluster of it, containers one of Swarm. */
static int check_coe(struct api_call *c, const struct legacy_kind *k, const struct cluster *cl,
                     struct err *e)
{
    static const struct db_scope everywhere = {.all_projects = true, .admin = true};
    struct template t;
    template_init(&t);
    int rc = db_template_get(c->api->db, &everywhere, cl->cluster_template_id, false, &t, e);
    if (rc == 0 && !str_starts(t.coe, k->expecting))
        rc = err_set(e, ERR_INVALID, "Cannot fulfill request with a %s bay, expecting a %s bay.",
                     t.coe, k->expecting);
    template_done(&t);
    return rc;
}

/* ---- lists ---- */

/* The rows of one cluster follow it before they are read. *stale: it could not be asked. */
static int refresh_cluster(struct api_call *c, const struct legacy_kind *k, struct cluster *cl,
                           bool *stale, struct err *e)
{
    const char *ident = query_get(&c->query, "bay_ident");
    struct err why = ERR_INIT;
    if (!ident)
        return 0;
    int rc = find_cluster(c, ident, cl, e);
    if (rc)
        return rc == ERR_NOT_FOUND ? (e->code = ERR_INVALID) : rc;
    rc = check_coe(c, k, cl, e);
    if (rc)
        return rc;
    *stale = legacy_call(c, "workload.refresh",
                         json_pack("{s:s, s:s}", "cluster", cl->uuid, "kind", k->kind), false, NULL,
                         &why) != 0;
    c->show_5xx = false;
    if (*stale)
        log_warn("workload.stale", "cluster %s: %s; answering what is stored", cl->uuid, why.msg);
    return 0;
}

static int list(struct api_call *c, bool detail, struct err *e)
{
    const struct legacy_kind *k = legacy_kind_of(c);
    const struct db_scope own = scope_own(c);
    struct coe_object_list l = {NULL, 0};
    struct cluster cl;
    struct page p;
    char rule[LEGACY_RULE], path[40];
    bool stale = false;
    cluster_init(&cl);
    int rc = enforce_self(c, legacy_rule(k, detail ? "detail" : "get_all", rule), e);
    if (rc == 0)
        rc = page_read(c, false, &p, e);
    if (rc == 0)
        rc = refresh_cluster(c, k, &cl, &stale, e);
    if (rc == 0)
        rc = db_object_list(c->api->db, &own, k->kind, cl.uuid, &p.db, &l, e);
    str_printf(&c->rp->body, "{\"%s\":[", k->collection);
    for (size_t i = 0; rc == 0 && i < l.n; i++) {
        rc = stale ? mark_unknown(&l.v[i], e) : 0;
        view(c, k, &l.v[i], detail);
    }
    if (rc == 0) {
        snprintf(path, sizeof path, "%s%s", k->collection, detail ? "/detail" : "");
        page_close(c, &p, path, l.n, l.n ? l.v[l.n - 1].uuid : "");
        rc = answer(c, 200, e);
    }
    coe_object_list_done(&l);
    cluster_done(&cl);
    return rc;
}

int api_object_list(struct api_call *c, struct err *e)
{
    return list(c, false, e);
}

int api_object_detail(struct api_call *c, struct err *e)
{
    return list(c, true, e);
}

/* ---- one ---- */

int legacy_get(struct api_call *c, const struct legacy_kind *k, const char *verb,
               struct coe_object *o, struct err *e)
{
    const struct db_scope own = scope_own(c);
    char rule[LEGACY_RULE];
    int rc = db_object_get(c->api->db, &own, k->kind, c->arg[0], o, e);
    return rc ? rc : enforce(c, legacy_rule(k, verb, rule), o->project_id, o->user_id, e);
}

static int read_again(struct api_call *c, const struct legacy_kind *k, const char *uuid,
                      struct coe_object *o, struct err *e)
{
    const struct db_scope own = scope_own(c);
    return db_object_get(c->api->db, &own, k->kind, uuid, o, e);
}

static int show(struct api_call *c, const struct legacy_kind *k, struct coe_object *o,
                struct err *e)
{
    struct err why = ERR_INIT;
    if (legacy_call(c, "workload.refresh",
                    json_pack("{s:s, s:s}", "object", o->uuid, "kind", k->kind), false, NULL,
                    &why) == 0)
        return legacy_answer(c, k, o->uuid, e);
    c->show_5xx = false;
    log_warn("workload.stale", "%s %s: %s; answering what is stored", k->kind, o->uuid, why.msg);
    int rc = mark_unknown(o, e);
    view(c, k, o, true);
    return rc ? rc : answer(c, 200, e);
}

int api_object_show(struct api_call *c, struct err *e)
{
    const struct legacy_kind *k = legacy_kind_of(c);
    struct coe_object o;
    coe_object_init(&o);
    int rc = legacy_get(c, k, "get", &o, e);
    if (rc == 0)
        rc = show(c, k, &o, e);
    coe_object_done(&o);
    return rc;
}

int legacy_answer(struct api_call *c, const struct legacy_kind *k, const char *uuid, struct err *e)
{
    struct coe_object o;
    coe_object_init(&o);
    int rc = read_again(c, k, uuid, &o, e);
    if (rc == 0) {
        view(c, k, &o, true);
        rc = answer(c, 200, e);
    }
    coe_object_done(&o);
    return rc;
}

/* ---- create ---- */

int legacy_created(struct api_call *c, const char *collection, const char *uuid, struct err *e)
{
    _cleanup_free_ char *location = str_fmt("%s/v1/%s/%s", c->base, collection, uuid);
    if (!location || http_response_header(c->rp, "Location", location) < 0)
        return err_nomem(e);
    return answer(c, 201, e);
}

static int find_for_create(struct api_call *c, const struct legacy_kind *k, struct cluster *cl,
                           struct err *e)
{
    const char *ident = jsonx_str(c->body, "bay_uuid");
    if (!ident)
        return attrs_invalid(e, "bay_uuid", NULL, "Mandatory field missing.");
    int rc = find_cluster(c, ident, cl, e);
    if (rc)
        return rc == ERR_NOT_FOUND ? (e->code = ERR_INVALID) : rc;
    return check_coe(c, k, cl, e);
}

static int create(struct api_call *c, const struct legacy_kind *k, const char *uuid, json_t *params,
                  struct err *e)
{
    struct cluster cl;
    char rule[LEGACY_RULE];
    cluster_init(&cl);
    int rc = enforce_self(c, legacy_rule(k, "create", rule), e);
    if (rc == 0)
        rc = find_for_create(c, k, &cl, e);
    if (rc == 0) {
        _cleanup_json_ json_t *own =
            json_pack("{s:s, s:s, s:s, s:s*, s:s*}", "kind", k->kind, "uuid", uuid, "cluster",
                      cl.uuid, "project_id", c->who.project_id, "user_id", c->who.user_id);
        rc = own && json_object_update(params, own) == 0 ? 0 : err_nomem(e);
    }
    if (rc == 0)
        rc = legacy_call(c, "workload.create", json_incref(params), true, NULL, e);
    cluster_done(&cl);
    return rc;
}

int legacy_create(struct api_call *c, const struct legacy_kind *k, json_t *more, struct err *e)
{
    _cleanup_json_ json_t *params = more;
    char uuid[UUID_TEXT];
    uuid_make(uuid);
    int rc = params ? create(c, k, uuid, params, e) : err_nomem(e);
    if (rc == 0)
        rc = legacy_answer(c, k, uuid, e);
    return rc ? rc : legacy_created(c, k->collection, uuid, e);
}

int api_object_create(struct api_call *c, struct err *e)
{
    return legacy_create(c, legacy_kind_of(c),
                         json_pack("{s:s*, s:s*}", "manifest", jsonx_str(c->body, "manifest"),
                                   "manifest_url", jsonx_str(c->body, "manifest_url")),
                         e);
}

/* ---- change ---- */

static int change(struct api_call *c, const struct legacy_kind *k, const struct coe_object *o,
                  struct err *e)
{
    _cleanup_json_ json_t *now =
        json_pack("{s:s, s:s}", "uuid", o->uuid, "bay_uuid", o->cluster_id);
    /* the three kinds have the same attributes */
    _cleanup_json_ json_t *before = now ? attrs_document(&attrs_pod, false, now) : NULL;
    _cleanup_json_ json_t *after = NULL;
    if (!before)
        return err_nomem(e);
    int rc = patch_apply(before, c->body, c->route->patch, &after, e);
    if (rc)
        return rc;
    if (!str_eq(jsonx_str(after, "bay_uuid"), o->cluster_id))
        return err_set(e, ERR_INVALID, "A %s can not move to another bay.", k->kind);
    const char *manifest = jsonx_str(after, "manifest"), *url = jsonx_str(after, "manifest_url");
    if (!manifest && !url)
        return 0;
    return legacy_call(c, "workload.update",
                       json_pack("{s:s, s:s, s:s*, s:s*}", "object", o->uuid, "kind", k->kind,
                                 "manifest", manifest, "manifest_url", url),
                       true, NULL, e);
}

int api_object_patch(struct api_call *c, struct err *e)
{
    const struct legacy_kind *k = legacy_kind_of(c);
    struct coe_object o;
    coe_object_init(&o);
    int rc = legacy_get(c, k, "update", &o, e);
    if (rc == 0)
        rc = change(c, k, &o, e);
    if (rc == 0)
        rc = legacy_answer(c, k, o.uuid, e);
    coe_object_done(&o);
    return rc;
}

int api_object_delete(struct api_call *c, struct err *e)
{
    const struct legacy_kind *k = legacy_kind_of(c);
    struct coe_object o;
    coe_object_init(&o);
    int rc = legacy_get(c, k, "delete", &o, e);
    if (rc == 0)
        rc = legacy_call(c, "workload.delete",
                         json_pack("{s:s, s:s}", "object", o.uuid, "kind", k->kind), true, NULL, e);
    coe_object_done(&o);
    return rc ? rc : answer_nothing(c);
}
