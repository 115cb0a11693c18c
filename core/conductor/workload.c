/* Pods, services, replication controllers and containers: what the API asks a conductor to do with
 * one. The row is there before the object is made and after it is gone; whoever dies in between
 * leaves a row whose object is looked up by its name, and known as ours by a label.
 * See workload_internal.h. */
#include "base/clock.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "conductor/workload_internal.h"
#include "db/db_cluster.h"

#include <magnum/host.h>
#include <magnum/workload.h>
#include <stdatomic.h>
#include <string.h>

enum { ANSWER_MS = 500 }; /* what is left of the deadline for rows and the answer */

static const struct db_scope all_rows = {.all_projects = true, .admin = true};

/* Some of these calls last long: the conductor's other callers need its threads, too. */
static _Atomic int64_t in_work;

static void left_work(const bool *entered)
{
    if (*entered)
        atomic_fetch_sub(&in_work, 1);
}

static int enter_work(const struct conductor *c, bool *entered, struct err *e)
{
    *entered = true;
    if (atomic_fetch_add(&in_work, 1) < c->cfg->workload_calls)
        return 0;
    return err_set(e, ERR_BUSY,
                   "The conductor works on as many containers, pods, services and rcs as it may "
                   "(%lld). Try again.",
                   (long long)c->cfg->workload_calls);
}

/* One object and its cluster, while a call works on them. */
struct work {
    struct conductor *c;
    struct coe_object o;
    struct cluster cl;
    json_t *spec;
    int64_t deadline_ms; /* monotonic */
};

static void work_done(struct work *w)
{
    coe_object_done(&w->o);
    cluster_done(&w->cl);
    json_decref(w->spec);
}

static void work_init(struct work *w, struct conductor *c, int64_t deadline)
{
    *w = (struct work){.c = c, .deadline_ms = deadline};
    coe_object_init(&w->o);
    cluster_init(&w->cl);
}

static int load_cluster(struct work *w, const char *uuid, struct err *e)
{
    int rc = db_cluster_get(w->c->db, &all_rows, uuid, &w->cl, e);
    return rc ? rc : db_cluster_spec(w->c->db, w->cl.uuid, &w->spec, e);
}

static int load_object(struct work *w, const json_t *params, struct err *e)
{
    const char *uuid = jsonx_str(params, "object"), *kind = jsonx_str(params, "kind");
    if (!uuid || !kind)
        return err_set(e, ERR_INVALID, "parameter object or kind is missing");
    int rc = db_object_get(w->c->db, &all_rows, kind, uuid, &w->o, e);
    return rc ? rc : load_cluster(w, w->o.cluster_id, e);
}

/* Asks the cluster's driver. args is taken; *ret may be NULL. */
static int ask(struct work *w, const char *verb, json_t *args, json_t **ret, struct err *e)
{
    _cleanup_json_ json_t *owned = args, *answer = NULL;
    int64_t left = w->deadline_ms - clock_mono_ms() - ANSWER_MS;
    if (!args)
        return err_nomem(e);
    if (left <= 0)
        return err_set(e, ERR_TIMEOUT, "no time is left for the cluster's answer");
    struct coe_call call = {
        .driver_id = w->cl.driver_id,
        .driver_version = w->cl.driver_version,
        .interface = MAG_IFACE_WORKLOAD,
        .verb = verb,
        .op_kind = MAG_OP_QUERY,
        .cluster_id = w->cl.uuid,
        .project_id = w->cl.project_id,
        .generation = w->cl.generation,
        .spec = w->spec,
        .args = owned,
        .budget_ms = left < w->c->cfg->workload_timeout_ms ? left : w->c->cfg->workload_timeout_ms,
    };
    int rc = rpc_call_driver(w->c, &call, OP_UPDATE, &answer, e);
    if (rc == 0 && ret)
        *ret = TAKE_PTR(answer);
    return rc;
}

static json_t *named(const struct work *w)
{
    return json_pack("{s:s, s:s}", "kind", w->o.kind, "name", w->o.target);
}

/* The cluster's word is final: nothing was made or changed. */
static bool refused(int rc)
{
    switch (rc) {
    case ERR_INVALID:
    case ERR_NOT_FOUND:
    case ERR_EXISTS:
    case ERR_CONFLICT:
    case ERR_BUSY:
    case ERR_FORBIDDEN:
    case ERR_QUOTA:
    case ERR_UNSUPPORTED:
        return true;
    default:
        return false;
    }
}

/* ---- looking ---- */

/* A row that went away meanwhile has nobody to tell. */
static int store(struct work *w, struct err *e)
{
    struct err why = ERR_INIT;
    int rc = db_object_update(w->c->db, &w->o, &why);
    return rc == 0 || rc == ERR_NOT_FOUND ? 0 : err_set(e, rc, "%s", why.msg);
}

/* Has it been asked for so long ago that whoever asked has given up? */
static bool is_overdue(const struct work *w)
{
    return conductor_now_us(w->c) - w->o.created_at >
           (w->c->cfg->workload_timeout_ms + w->c->cfg->drivers_kill_grace_ms) * 1000;
}

/* doc NULL: the cluster does not know it. */
static int settle(struct work *w, const json_t *doc, struct err *e)
{
    bool changed = false;
    int rc = 0;
    if (doc && facts_are_of(&w->o, doc))
        rc = facts_take(&w->o, doc, &changed, e);
    else if (doc)
        rc = facts_missing(&w->o, "the name belongs to another object in the cluster", &changed, e);
    else if (!str_eq(w->o.phase, "creating"))
        rc = facts_missing(&w->o, "the cluster does not know it any more", &changed, e);
    else if (is_overdue(w))
        rc = facts_missing(&w->o, "it was not made", &changed, e);
    return rc == 0 && changed ? store(w, e) : rc;
}

static int refresh_one(struct work *w, struct err *e)
{
    _cleanup_json_ json_t *doc = NULL;
    struct err why = ERR_INIT;
    int rc = ask(w, "get", named(w), &doc, &why);
    if (rc && rc != ERR_NOT_FOUND)
        return err_set(e, rc, "%s", why.msg);
    return settle(w, rc ? NULL : doc, e);
}

/* Takes the rows out of the list. */
static int settle_rows(struct work *w, const char *kind, struct coe_object_list *rows,
                       const json_t *items, struct err *e)
{
    int rc = 0;
    _cleanup_json_ json_t *by_uuid = json_object();
    size_t n;
    json_t *v;
    json_array_foreach(items, n, v)
    {
        const char *owner = facts_owner(kind, v);
        if (rc == 0 && owner && json_object_set(by_uuid, owner, v) < 0)
            rc = err_nomem(e);
    }
    for (size_t i = 0; rc == 0 && i < rows->n; i++) {
        coe_object_done(&w->o);
        w->o = rows->v[i];
        coe_object_init(&rows->v[i]);
        rc = settle(w, json_object_get(by_uuid, w->o.uuid), e);
    }
    return rc;
}

/* All of a kind by one question. The rows are read before it is asked, so that one made meanwhile
 * is not taken for lost. */
static int refresh_all(struct work *w, const char *kind, struct err *e)
{
    _cleanup_json_ json_t *doc = NULL;
    struct coe_object_list rows = {NULL, 0};
    int rc = db_object_list(w->c->db, &all_rows, kind, w->cl.uuid, NULL, &rows, e);
    if (rc == 0 && rows.n)
        rc = ask(w, "list",
                 json_pack("{s:s, s:{s:s, s:s}}", "kind", kind, "query", "namespace", "*",
                           "label_selector", WORKLOAD_LABEL),
                 &doc, e);
    /* what is not in a list that was cut may be there all the same */
    if (rc == 0 && rows.n && !jsonx_bool(doc, "truncated", false))
        rc = settle_rows(w, kind, &rows, json_object_get(doc, "items"), e);
    coe_object_list_done(&rows);
    return rc;
}

int workload_refresh(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                     struct err *e)
{
    _cleanup_(work_done) struct work w;
    _cleanup_(left_work) bool entered = false;
    const char *cluster = jsonx_str(params, "cluster"), *kind = jsonx_str(params, "kind");
    (void)result;
    work_init(&w, c, deadline);
    int rc = enter_work(c, &entered, e);
    if (rc == 0)
        rc = cluster ? load_cluster(&w, cluster, e) : load_object(&w, params, e);
    if (rc)
        return rc;
    return cluster ? refresh_all(&w, kind ? kind : "", e) : refresh_one(&w, e);
}

/* ---- making ---- */

static int copy_param(const json_t *params, const char *key, char **ret, struct err *e)
{
    *ret = str_dup(jsonx_str(params, key));
    return !*ret && jsonx_str(params, key) ? err_nomem(e) : 0;
}

static int prepare(struct work *w, const json_t *params, json_t **ret_doc, struct err *e)
{
    struct coe_object *o = &w->o;
    int rc = copy_param(params, "kind", &o->kind, e);
    if (rc == 0)
        rc = copy_param(params, "uuid", &o->uuid, e);
    if (rc == 0)
        rc = copy_param(params, "project_id", &o->project_id, e);
    if (rc == 0)
        rc = copy_param(params, "user_id", &o->user_id, e);
    if (rc == 0)
        rc = copy_param(params, "cluster", &o->cluster_id, e);
    if (rc == 0 && !(o->phase = str_dup("creating")))
        rc = err_nomem(e);
    if (rc == 0 && (!o->kind || !o->uuid || !o->cluster_id))
        rc = err_set(e, ERR_INVALID, "parameter kind, uuid or cluster is missing");
    if (rc)
        return rc;
    if (str_eq(o->kind, "container"))
        return facts_of_container(o, params, ret_doc, e);
    rc = manifest_read(w->c, params, ret_doc, e);
    return rc ? rc : facts_of_manifest(o, *ret_doc, e);
}

/* Asked before there is a row: a cluster that can't be reached, or a name that is taken, leaves
 * nothing to clean up. */
static int check_free(struct work *w, struct err *e)
{
    struct err why = ERR_INIT;
    int rc = ask(w, "get", named(w), NULL, &why);
    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc)
        return err_set(e, rc, "%s", why.msg);
    return err_set(e, ERR_EXISTS, "The cluster has a %s named %s already.", w->o.kind, w->o.target);
}

static void drop_row(struct work *w)
{
    struct err ignored = ERR_INIT;
    if (db_object_delete(w->c->db, w->o.uuid, &ignored))
        log_warn("workload.row_kept", "%s %s: %s; ignoring", w->o.kind, w->o.uuid, ignored.msg);
}

/* Nobody knows what came of it: is it there? */
static int look_again(struct work *w, const struct err *why, struct err *e)
{
    _cleanup_json_ json_t *doc = NULL;
    struct err ignored = ERR_INIT;
    int rc = ask(w, "get", named(w), &doc, &ignored);
    if (rc == 0 && settle(w, doc, &ignored) == 0 && str_eq(w->o.phase, "present"))
        return 0;
    if (rc == ERR_NOT_FOUND && why->code == ERR_INTERNAL) { /* an answer: nothing is under way */
        drop_row(w);
        return err_set(e, why->code, "%s", why->msg);
    }
    free(w->o.status_reason);
    w->o.status_reason = str_dup(why->msg);
    if (store(w, &ignored))
        log_warn("workload.not_noted", "%s %s: %s; ignoring", w->o.kind, w->o.uuid, ignored.msg);
    return err_set(e, why->code, "%s (the %s is kept as %s: look at it again, or delete it)",
                   why->msg, w->o.kind, w->o.uuid);
}

static int make(struct work *w, json_t *doc, struct err *e)
{
    _cleanup_json_ json_t *answer = NULL;
    struct err why = ERR_INIT;
    bool changed = false;
    int rc = db_object_insert(w->c->db, &w->o, e);
    if (rc)
        return rc;
    rc = ask(w, "create", json_pack("{s:s, s:O}", "kind", w->o.kind, "doc", doc), &answer, &why);
    if (rc == 0)
        rc = facts_take(&w->o, answer, &changed, e);
    else if (!refused(rc))
        return look_again(w, &why, e);
    else
        drop_row(w);
    if (why.code)
        return err_set(e, rc, "%s", why.msg);
    return rc ? rc : store(w, e);
}

int workload_create(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                    struct err *e)
{
    _cleanup_(work_done) struct work w;
    _cleanup_(left_work) bool entered = false;
    _cleanup_json_ json_t *doc = NULL;
    (void)result;
    work_init(&w, c, deadline);
    int rc = enter_work(c, &entered, e);
    if (rc == 0)
        rc = prepare(&w, params, &doc, e);
    if (rc == 0)
        rc = load_cluster(&w, w.o.cluster_id, e);
    if (rc == 0)
        rc = check_free(&w, e);
    return rc ? rc : make(&w, doc, e);
}

/* ---- changing ---- */

static int replace(struct work *w, const json_t *params, struct err *e)
{
    _cleanup_json_ json_t *doc = NULL, *answer = NULL;
    _cleanup_free_ char *before = str_dup(w->o.target);
    bool changed = false;
    int rc = before ? manifest_read(w->c, params, &doc, e) : err_nomem(e);
    if (rc == 0)
        rc = facts_of_manifest(&w->o, doc, e);
    if (rc == 0 && !str_eq(before, w->o.target))
        rc = err_set(e, ERR_INVALID, "The manifest is of %s, the object is %s.", w->o.target,
                     before);
    if (rc == 0)
        rc = ask(w, "update",
                 json_pack("{s:s, s:s, s:O}", "kind", w->o.kind, "name", w->o.target, "doc", doc),
                 &answer, e);
    if (rc == 0)
        rc = facts_take(&w->o, answer, &changed, e);
    return rc ? rc : store(w, e);
}

int workload_update(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                    struct err *e)
{
    _cleanup_(work_done) struct work w;
    _cleanup_(left_work) bool entered = false;
    (void)result;
    work_init(&w, c, deadline);
    int rc = enter_work(c, &entered, e);
    if (rc == 0)
        rc = load_object(&w, params, e);
    return rc ? rc : replace(&w, params, e);
}

/* Only what is ours is removed: the name may be another's by now. */
static int remove_object(struct work *w, struct err *e)
{
    _cleanup_json_ json_t *doc = NULL;
    struct err why = ERR_INIT;
    int rc = str_blank(w->o.target) ? ERR_NOT_FOUND : ask(w, "get", named(w), &doc, &why);
    if (rc == 0 && facts_are_of(&w->o, doc))
        rc = ask(w, "remove", named(w), NULL, &why);
    return rc == 0 || rc == ERR_NOT_FOUND ? 0 : err_set(e, rc, "%s", why.msg);
}

int workload_delete(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                    struct err *e)
{
    _cleanup_(work_done) struct work w;
    _cleanup_(left_work) bool entered = false;
    (void)result;
    work_init(&w, c, deadline);
    int rc = enter_work(c, &entered, e);
    if (rc == 0)
        rc = load_object(&w, params, e);
    if (rc == 0)
        rc = remove_object(&w, e);
    return rc ? rc : db_object_delete(c->db, w.o.uuid, e);
}

static int act(struct work *w, const json_t *params, json_t **result, struct err *e)
{
    _cleanup_json_ json_t *answer = NULL;
    const char *verb = jsonx_str(params, "verb"), *command = jsonx_str(params, "command");
    bool changed = false;
    if (!verb)
        return err_set(e, ERR_INVALID, "parameter verb is missing");
    int rc = ask(w, "action",
                 json_pack("{s:s, s:s, s:s, s:{s:s*}}", "kind", w->o.kind, "name", w->o.target,
                           "verb", verb, "args", "command", command),
                 &answer, e);
    const json_t *state = json_object_get(answer, "container");
    if (rc == 0 && state)
        rc = facts_take(&w->o, state, &changed, e);
    if (rc == 0 && changed)
        rc = store(w, e);
    if (rc)
        return rc;
    (void)json_object_del(answer, "container");
    *result = TAKE_PTR(answer);
    return 0;
}

int workload_action(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                    struct err *e)
{
    _cleanup_(work_done) struct work w;
    _cleanup_(left_work) bool entered = false;
    work_init(&w, c, deadline);
    int rc = enter_work(c, &entered, e);
    if (rc == 0)
        rc = load_object(&w, params, e);
    return rc ? rc : act(&w, params, result, e);
}
