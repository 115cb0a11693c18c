/* See views.h. */
#include "api/views.h"

#include "api/driver_select.h"
#include "api/labels.h"
#include "model/status.h"

#include <string.h>

/* Magnum's own objects show their times in whole seconds, as its databases keep them; only the
 * answer that tells of a new object has the fraction. */
static void stored_time(const struct api_call *c, const char *key, int64_t us)
{
    enum { SECOND = 1000000 };
    bool exact = us == TIME_UNSET || strcmp(c->rq->method, "POST") == 0;
    jw_time(&c->rp->body, key, exact ? us : us - us % SECOND);
}

static void diffs(struct str *o, const json_t *base, const json_t *own)
{
    jw_key(o, "labels_overridden");
    labels_diff(o, LABELS_OVERRIDDEN, base, own);
    jw_key(o, "labels_added");
    labels_diff(o, LABELS_ADDED, base, own);
    jw_key(o, "labels_skipped");
    labels_diff(o, LABELS_SKIPPED, base, own);
}

/* Labels that are the template's, or none at all, are the rule: then there is nothing to compare.
 */
static void text_diffs(struct str *o, const char *base, const char *own)
{
    _cleanup_json_ json_t *b = NULL, *w = NULL;
    base = base ? base : "{}";
    own = own ? own : "{}";
    if (strcmp(base, own) != 0) {
        b = json_loads(base, JSON_DECODE_ANY, NULL);
        w = json_loads(own, JSON_DECODE_ANY, NULL);
        o->oom |= !b || !w;
    }
    diffs(o, b, w);
}

static void cluster_rest(const struct api_call *c, const struct cluster_shown *cl, enum view v)
{
    struct str *o = &c->rp->body;
    jw_str(o, "status", cl->status);
    jw_str(o, "status_reason", cl->status_reason);
    jw_str(o, "health_status", cl->health_status);
    jw_raw(o, "health_status_reason", cl->health_status_reason, "{}");
    jw_str(o, "discovery_url", cl->discovery_url);
    jw_str(o, "api_address", cl->api_address);
    jw_str(o, "coe_version", cl->coe_version);
    jw_str(o, "container_version", cl->container_version);
    jw_str(o, "project_id", cl->project_id);
    jw_str(o, "user_id", cl->user_id);
    jw_items(o, "node_addresses", cl->node_addresses);
    jw_items(o, "master_addresses", cl->master_addresses);
    if (v == VIEW_SHOW && status_failed(cl->status))
        jw_raw(o, "faults", cl->faults, "{}");
    jw_str(o, "fixed_network", cl->fixed_network);
    jw_str(o, "fixed_subnet", cl->fixed_subnet);
    jw_bool(o, "floating_ip_enabled", cl->floating_ip_enabled);
    jw_bool(o, "merge_labels", false);
    text_diffs(o, cl->template_labels, cl->labels);
    jw_bool(o, "master_lb_enabled", cl->master_lb_enabled);
    stored_time(c, "created_at", cl->created_at);
    stored_time(c, "updated_at", cl->updated_at);
}

void view_cluster(const struct api_call *c, const struct cluster_shown *cl, enum view v)
{
    struct str *o = &c->rp->body;
    jw_next(o);
    str_append_c(o, '{');
    jw_str(o, "uuid", cl->uuid);
    jw_str(o, "name", cl->name);
    jw_str(o, "cluster_template_id", cl->cluster_template_id);
    jw_str(o, "keypair", cl->keypair);
    jw_int(o, "node_count", cl->node_count);
    jw_int(o, "master_count", cl->master_count);
    jw_int(o, "docker_volume_size", cl->docker_volume_size);
    jw_raw(o, "labels", cl->labels, "{}");
    jw_str(o, "master_flavor_id", cl->master_flavor_id);
    jw_str(o, "flavor_id", cl->flavor_id);
    jw_int(o, "create_timeout", cl->create_timeout);
    jw_links(o, c, "clusters", cl->uuid);
    jw_str(o, c->minor >= 13 ? "cluster_id" : "stack_id", cl->stack_id);
    if (v == VIEW_SUMMARY) {
        jw_str(o, "status", cl->status);
        jw_str(o, "health_status", cl->health_status);
        jw_bool(o, "merge_labels", false);
    } else {
        cluster_rest(c, cl, v);
    }
    str_append_c(o, '}');
}

void view_bay(const struct api_call *c, const struct cluster_shown *cl, enum view v)
{
    struct str *o = &c->rp->body;
    jw_next(o);
    str_append_c(o, '{');
    jw_str(o, "uuid", cl->uuid);
    jw_str(o, "name", cl->name);
    jw_str(o, "baymodel_id", cl->cluster_template_id);
    jw_int(o, "node_count", cl->node_count);
    jw_int(o, "master_count", cl->master_count);
    jw_int(o, "docker_volume_size", cl->docker_volume_size);
    jw_raw(o, "labels", cl->labels, "{}");
    jw_str(o, "master_flavor_id", cl->master_flavor_id);
    jw_str(o, "flavor_id", cl->flavor_id);
    jw_int(o, "bay_create_timeout", cl->create_timeout);
    jw_links(o, c, "bays", cl->uuid);
    jw_str(o, "stack_id", cl->stack_id);
    jw_str(o, "status", cl->status);
    if (v == VIEW_SUMMARY) {
        jw_bool(o, "floating_ip_enabled", cl->floating_ip_enabled);
        str_append_c(o, '}');
        return;
    }
    jw_str(o, "status_reason", cl->status_reason);
    jw_str(o, "discovery_url", cl->discovery_url);
    jw_str(o, "api_address", cl->api_address);
    jw_str(o, "coe_version", cl->coe_version);
    jw_str(o, "container_version", cl->container_version);
    jw_items(o, "node_addresses", cl->node_addresses);
    jw_items(o, "master_addresses", cl->master_addresses);
    if (v == VIEW_SHOW && status_failed(cl->status))
        jw_raw(o, "bay_faults", cl->faults, "{}");
    jw_str(o, "fixed_network", cl->fixed_network);
    jw_str(o, "fixed_subnet", cl->fixed_subnet);
    jw_bool(o, "floating_ip_enabled", cl->floating_ip_enabled);
    jw_bool(o, "master_lb_enabled", cl->master_lb_enabled);
    stored_time(c, "created_at", cl->created_at);
    stored_time(c, "updated_at", cl->updated_at);
    str_append_c(o, '}');
}

void view_template(const struct api_call *c, const struct template *t, const char *no_labels)
{
    struct str *o = &c->rp->body;
    bool old = api_old_names(c);
    jw_next(o);
    str_append_c(o, '{');
    jw_str(o, "uuid", t->uuid);
    jw_str(o, "name", t->name);
    jw_str(o, "coe", t->coe);
    jw_str(o, "image_id", t->image_id);
    jw_str(o, "flavor_id", t->flavor_id);
    jw_str(o, "master_flavor_id", t->master_flavor_id);
    jw_str(o, "dns_nameserver", t->dns_nameserver);
    jw_str(o, "keypair_id", t->keypair_id);
    jw_str(o, "external_network_id", t->external_network_id);
    jw_str(o, "fixed_network", t->fixed_network);
    jw_str(o, "fixed_subnet", t->fixed_subnet);
    jw_str(o, "network_driver", t->network_driver);
    jw_int(o, "apiserver_port", t->apiserver_port);
    jw_int(o, "docker_volume_size", t->docker_volume_size);
    jw_str(o, "cluster_distro", t->cluster_distro);
    jw_links(o, c, old ? "baymodels" : "clustertemplates", t->uuid);
    jw_str(o, "http_proxy", t->http_proxy);
    jw_str(o, "https_proxy", t->https_proxy);
    jw_str(o, "no_proxy", t->no_proxy);
    jw_str(o, "volume_driver", t->volume_driver);
    jw_bool(o, "registry_enabled", t->registry_enabled);
    jw_json(o, "labels", t->labels, no_labels);
    jw_bool(o, "tls_disabled", t->tls_disabled);
    jw_bool(o, "public", t->public);
    jw_str(o, "server_type", t->server_type);
    jw_str(o, "insecure_registry", t->insecure_registry);
    jw_str(o, "docker_storage_driver", t->docker_storage_driver);
    jw_bool(o, "master_lb_enabled", t->master_lb_enabled);
    jw_bool(o, "floating_ip_enabled", t->floating_ip_enabled);
    if (!old) {
        jw_str(o, "project_id", t->project_id);
        jw_str(o, "user_id", t->user_id);
    }
    jw_bool(o, "hidden", t->hidden);
    jw_str(o, "tags", t->tags);
    if (!api_zed(c))
        jw_str(o, "driver", t->driver);
    stored_time(c, "created_at", t->created_at);
    stored_time(c, "updated_at", t->updated_at);
    str_append_c(o, '}');
}

static void nodegroup_summary(struct str *o, const struct nodegroup *n)
{
    jw_str(o, "uuid", n->uuid);
    jw_str(o, "name", n->name);
    jw_str(o, "flavor_id", n->flavor_id);
    jw_str(o, "image_id", n->image_id);
    jw_int(o, "node_count", n->node_count);
    jw_str(o, "role", n->role);
    /* the defaults, whatever is stored: so the original answers */
    jw_int(o, "min_node_count", 0);
    jw_int(o, "max_node_count", MODEL_UNSET);
    jw_bool(o, "is_default", n->is_default);
    jw_str(o, "stack_id", n->stack_id);
    jw_str(o, "status", n->status);
    jw_bool(o, "merge_labels", false);
}

static void nodegroup_full(const struct api_call *c, const struct nodegroup *n, bool made)
{
    struct str *o = &c->rp->body;
    char path[64];
    snprintf(path, sizeof path, "clusters/%.40s/nodegroups", n->cluster_id);
    if (!made)
        jw_int(o, "id", n->id);
    jw_str(o, "uuid", n->uuid);
    jw_str(o, "name", n->name);
    jw_str(o, "cluster_id", n->cluster_id);
    jw_str(o, "project_id", n->project_id);
    if (!made || n->docker_volume_size != MODEL_UNSET)
        jw_int(o, "docker_volume_size", n->docker_volume_size);
    jw_json(o, "labels", n->labels, "{}");
    jw_links(o, c, path, n->uuid);
    jw_str(o, "flavor_id", n->flavor_id);
    jw_str(o, "image_id", n->image_id);
    if (!made)
        jw_json(o, "node_addresses", n->node_addresses, "[]");
    jw_int(o, "node_count", n->node_count);
    jw_str(o, "role", n->role);
    jw_int(o, "min_node_count", n->min_node_count);
    jw_int(o, "max_node_count", n->max_node_count);
    if (!made) {
        jw_bool(o, "is_default", n->is_default);
        jw_str(o, "stack_id", n->stack_id);
        jw_str(o, "status", n->status);
        jw_str(o, "status_reason", n->status_reason);
        jw_str(o, "version", n->version);
    }
    jw_bool(o, "merge_labels", false);
    diffs(o, n->cluster_labels, n->labels);
    if (!api_zed(c) && (!made || n->node_labels))
        jw_json(o, "node_labels", n->node_labels, json_is_null(n->node_labels) ? "null" : "{}");
    if (!api_zed(c) && (!made || n->node_taints))
        jw_json(o, "node_taints", n->node_taints, json_is_null(n->node_taints) ? "null" : "[]");
    if (made)
        return;
    stored_time(c, "created_at", n->created_at);
    stored_time(c, "updated_at", n->updated_at);
}

void view_nodegroup(const struct api_call *c, const struct nodegroup *n, enum view v, bool made)
{
    struct str *o = &c->rp->body;
    jw_next(o);
    str_append_c(o, '{');
    if (v == VIEW_SUMMARY)
        nodegroup_summary(o, n);
    else
        nodegroup_full(c, n, made);
    str_append_c(o, '}');
}

void view_operation(const struct api_call *c, const struct operation *op)
{
    struct str *o = &c->rp->body;
    jw_next(o);
    str_append_c(o, '{');
    jw_str(o, "id", op->id);
    jw_str(o, "kind", op->kind);
    jw_str(o, "status", op->status);
    jw_str(o, "cluster_id", op->cluster_id);
    jw_str(o, "cluster_name", op->cluster_name);
    jw_str(o, "nodegroup_id", op->nodegroup_id);
    jw_str(o, "project_id", op->project_id);
    jw_str(o, "user_id", op->user_id);
    jw_str(o, "driver", op->driver_id);
    jw_int(o, "generation", op->generation);
    jw_str(o, "stage", op->stage);
    jw_int(o, "percent", op->percent);
    jw_str(o, "message", op->message);
    jw_int(o, "attempt", op->attempt);
    jw_str(o, "code", op->code);
    jw_str(o, "reason", op->reason);
    jw_str(o, "remedy", op->remedy);
    jw_str(o, "actor", op->actor);
    jw_bool(o, "cancel_requested", op->cancel_requested);
    jw_str(o, "superseded_by", op->superseded_by);
    jw_bool(o, "rollback", op->rollback);
    jw_bool(o, "force", op->force);
    jw_str(o, "retry_of", op->retry_of);
    jw_json(o, "report", op->report, "null");
    jw_str(o, "request_id", op->request_id);
    jw_links(o, c, "operations", op->id);
    jw_time(o, "created_at", op->created_at);
    jw_time(o, "started_at", op->started_at);
    jw_time(o, "progress_at", op->progress_at);
    jw_time(o, "blocked_since", op->blocked_since);
    jw_time(o, "deadline_at", op->deadline_at);
    jw_time(o, "finished_at", op->finished_at);
    jw_time(o, "updated_at", op->updated_at);
    str_append_c(o, '}');
}

void view_operation_event(const struct api_call *c, const struct operation_event *ev)
{
    struct str *o = &c->rp->body;
    jw_next(o);
    str_append_c(o, '{');
    jw_int(o, "id", ev->id);
    jw_time(o, "created_at", ev->created_at);
    jw_str(o, "operation_id", ev->operation_id);
    jw_str(o, "cluster_id", ev->cluster_id);
    jw_str(o, "code", ev->code);
    jw_str(o, "stage", ev->stage);
    jw_int(o, "percent", ev->percent);
    jw_str(o, "actor", ev->actor);
    jw_str(o, "message", ev->message);
    jw_str(o, "remedy", ev->remedy);
    jw_bool(o, "retriable", ev->retriable);
    jw_str(o, "request_id", ev->request_id);
    jw_str(o, "backend_request_id", ev->backend_request_id);
    str_append_c(o, '}');
}

void view_federation(const struct api_call *c, const struct federation *f, enum view v)
{
    struct str *o = &c->rp->body;
    jw_next(o);
    str_append_c(o, '{');
    jw_str(o, "uuid", f->uuid);
    jw_str(o, "name", f->name);
    jw_str(o, "hostcluster_id", f->hostcluster_id);
    jw_json(o, "member_ids", f->member_ids, "[]");
    jw_str(o, "status", f->status);
    if (v != VIEW_SUMMARY)
        jw_str(o, "status_reason", f->status_reason);
    jw_json(o, "properties", f->properties, "{}");
    jw_links(o, c, "federations", f->uuid);
    if (v != VIEW_SUMMARY) {
        stored_time(c, "created_at", f->created_at);
        stored_time(c, "updated_at", f->updated_at);
    }
    str_append_c(o, '}');
}

void view_quota(const struct api_call *c, const struct quota *q)
{
    struct str *o = &c->rp->body;
    bool stored = q->id != MODEL_UNSET;
    jw_next(o);
    str_append_c(o, '{');
    if (stored)
        jw_int(o, "id", q->id);
    jw_int(o, "hard_limit", q->hard_limit);
    jw_str(o, "project_id", q->project_id);
    jw_str(o, "resource", q->resource);
    if (stored) {
        stored_time(c, "created_at", q->created_at);
        if (strcmp(c->rq->method, "GET") == 0)
            stored_time(c, "updated_at", q->updated_at);
        else
            jw_time(o, "updated_at", q->updated_at);
    }
    str_append_c(o, '}');
}

static bool is_up(const struct api_call *c, const struct mservice *m, int64_t now_us)
{
    int64_t seen = m->last_seen_up != TIME_UNSET ? m->last_seen_up
                   : m->updated_at != TIME_UNSET ? m->updated_at
                                                 : m->created_at;
    int64_t age = now_us > seen ? now_us - seen : seen - now_us;
    return !m->forced_down && seen != TIME_UNSET &&
           age <= c->api->cfg->conductor_service_down_time_s * 1000000;
}

void view_mservice(const struct api_call *c, const struct mservice *m, int64_t now_us)
{
    struct str *o = &c->rp->body;
    jw_next(o);
    str_append_c(o, '{');
    jw_str(o, "host", m->host);
    jw_str(o, "binary", m->binary);
    jw_str(o, "state", is_up(c, m, now_us) ? "up" : "down");
    jw_int(o, "id", m->id);
    jw_int(o, "report_count", m->report_count);
    jw_bool(o, "disabled", m->disabled);
    jw_str(o, "disabled_reason", m->disabled_reason);
    stored_time(c, "created_at", m->created_at);
    stored_time(c, "updated_at", m->updated_at);
    str_append_c(o, '}');
}

void view_driver(const struct api_call *c, const struct driver_row *d, bool detail)
{
    struct str *o = &c->rp->body;
    _cleanup_str_ struct str why = STR_INIT;
    bool usable = driver_usable(c->api->cfg, c->who.project_id, d, &why);
    jw_next(o);
    str_append_c(o, '{');
    jw_str(o, "id", d->id);
    jw_str(o, "name", d->name);
    jw_str(o, "kind", d->kind);
    jw_str(o, "version", d->version);
    jw_str(o, "vendor", d->vendor);
    jw_str(o, "maturity", jsonx_str(d->manifest, "maturity"));
    jw_bool(o, "enabled", driver_enabled(c->api->cfg, c->who.project_id, d));
    jw_bool(o, "ready", d->ready);
    jw_bool(o, "usable", usable);
    jw_str(o, "reason", usable ? NULL : str_text(&why));
    jw_json(o, "provides", json_object_get(d->manifest, "provides"), "[]");
    jw_json(o, "interfaces", json_object_get(d->manifest, "interfaces"), "[]");
    jw_json(o, "operations", json_object_get(d->manifest, "operations"), "[]");
    if (detail)
        jw_json(o, "labels", d->label_schema, "{}");
    jw_links(o, c, "drivers", d->id);
    jw_time(o, "updated_at", d->updated_at);
    str_append_c(o, '}');
}
