/* What the world is told about operations: news for requests that wait (the API hears them, see
 * rpc.h), and the CADF notifications Magnum sends on its message bus (conductor.md 7), published on
 * a PUB socket when notifications.endpoint names one. Both may get lost and delay nobody; the
 * tables are what counts. Called by the runner, around its writes. See conductor_internal.h. */
#include "base/clock.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "base/uuid.h"
#include "conductor/conductor_internal.h"
#include "db/db_cluster.h"
#include "model/codes.h"
#include "rpc/rpc.h"

#include <string.h>

#define CADF_EVENT "http://schemas.dmtf.org/cloud/audit/1.0/event"
#define CLUSTER_TYPE "service/magnum/cluster"

int notify_start(struct conductor *c, struct err *e)
{
    _cleanup_free_ char *bind = rpc_news_bind(c->cfg);
    if (!bind)
        return err_nomem(e);
    int rc = rpc_publisher_start(c->cfg, bind, c->cfg->rpc_advertise, &c->news, e);
    if (rc)
        return err_wrap(e, "%s", str_blank(c->cfg->rpc_news_bind) ? "rpc.bind" : "rpc.news_bind");
    if (str_blank(c->cfg->notifications_endpoint))
        return 0;
    rc = rpc_publisher_start(c->cfg, c->cfg->notifications_endpoint, "", &c->notices, e);
    if (rc)
        return err_wrap(e, "notifications.endpoint");
    log_info("notifications", "published on %s", rpc_publisher_endpoint(c->notices));
    return 0;
}

void notify_stop(struct conductor *c)
{
    rpc_publisher_stop(&c->news);
    rpc_publisher_stop(&c->notices);
}

void news_tell(struct conductor *c, const char *operation_id, const char *cluster_id)
{
    char topic[64];
    snprintf(topic, sizeof topic, "op/%.40s", operation_id);
    rpc_publish(c->news, topic, NULL);
    if (!cluster_id)
        return;
    snprintf(topic, sizeof topic, "cl/%.40s", cluster_id);
    rpc_publish(c->news, topic, NULL);
}

/* ---- notifications ---- */

/* Magnum's word for what is done, and whether it says so at the start. NULL: says nothing. */
static const char *action_of(enum op_kind k, bool *ret_pending)
{
    *ret_pending = true;
    switch (k) {
    case OP_CREATE:
        return "create";
    case OP_DELETE:
        return "delete";
    case OP_UPDATE:
    case OP_SCALE:
    case OP_UPGRADE:
        return "update";
    case OP_ROTATE_CA:
    case OP_NODEGROUP_CREATE:
    case OP_NODEGROUP_UPDATE:
    case OP_NODEGROUP_DELETE:
        *ret_pending = false; /* only the cluster's status, when it changes, is told */
        return "update";
    case OP_ROTATE_CREDENTIAL:
    case OP_HEALTH:
    case OP_KIND_END:
        break;
    }
    return NULL;
}

static json_t *or_none(int64_t v)
{
    return v == MODEL_UNSET ? json_null() : json_integer(v);
}

static json_t *time_json(int64_t us)
{
    char text[CLOCK_ISO_MAX];
    if (us == TIME_UNSET)
        return json_null();
    clock_iso(us, text);
    return json_string(text);
}

/* The key with the colon is Magnum's own. */
static json_t *content_of(const struct cluster *c)
{
    return json_pack(
        "{s:s?,s:s?,s:s?,s:o,s:o,s:s?,s:s?,s:o,s:O?,s:s?,s:s?,s:s?,s:s?,s:o,s:s?,s:s?,s:O?,s:O?,"
        "s:o,s:o}",
        "status", c->status, "status_reason", c->status_reason, "project_id", c->project_id,
        "created_at", time_json(c->created_at), "updated_at", time_json(c->updated_at),
        "cluster_template_id", c->cluster_template_id, "keypair", c->keypair,
        "docker_volume_size:", or_none(c->docker_volume_size), "labels", c->labels,
        "master_flavor_id", c->master_flavor_id, "flavor_id", c->flavor_id, "stack_id", c->stack_id,
        "health_status", c->health_status, "create_timeout", or_none(c->create_timeout),
        "api_address", c->api_address, "discovery_url", c->discovery_url, "node_addresses",
        c->node_addresses, "master_addresses", c->master_addresses, "node_count",
        or_none(c->node_count), "master_count", or_none(c->master_count));
}

static json_t *initiator_of(const struct operation *op)
{
    json_t *o = json_pack("{s:s,s:s}", "typeURI", "service/security/account/user", "id",
                          op->user_id ? op->user_id : "");
    if (op->user_id)
        (void)json_object_set_new(o, "user_id", json_string(op->user_id));
    if (op->project_id)
        (void)json_object_set_new(o, "project_id", json_string(op->project_id));
    return o;
}

static json_t *payload_of(const struct run *r, const struct cluster *cl, const char *action,
                          const char *outcome)
{
    char id[UUID_TEXT], now[CLOCK_ISO_MAX];
    uuid_make(id);
    clock_iso(clock_wall_us(), now);
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:{s:s,s:s,s:s?,s:[{s:s,s:s,s:o}]},"
                     "s:{s:s,s:s,s:s}}",
                     "typeURI", CADF_EVENT, "eventType", "activity", "eventTime", now, "id", id,
                     "action", action, "outcome", outcome, "initiator", initiator_of(&r->op),
                     "target", "typeURI", CLUSTER_TYPE, "id", cl->uuid, "name", cl->name,
                     "attachments", "name", "cluster_data", "typeURI", CLUSTER_TYPE, "content",
                     content_of(cl), "observer", "typeURI", CLUSTER_TYPE, "id", r->c->instance,
                     "name", r->c->host);
}

static void publish(const struct run *r, const struct cluster *cl, const char *action,
                    const char *outcome)
{
    char id[UUID_TEXT], topic[48], publisher[300], now[CLOCK_ISO_MAX];
    uuid_make(id);
    clock_iso(clock_wall_us(), now);
    now[10] = ' ';                 /* the bus writes its times so */
    now[strcspn(now, "+")] = '\0'; /* in UTC */
    snprintf(topic, sizeof topic, "magnum.cluster.%s", action);
    snprintf(publisher, sizeof publisher, "container-infra.%s", r->c->host);
    const char *priority = strcmp(outcome, "failure") == 0 ? "error" : "info";
    _cleanup_json_ json_t *doc =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:o}", "event_type", topic, "publisher_id", publisher,
                  "priority", priority, "message_id", id, "timestamp", now, "payload",
                  payload_of(r, cl, action, outcome));
    _cleanup_free_ char *text = doc ? jsonx_text(doc) : NULL;
    if (text)
        rpc_publish(r->c->notices, topic, text);
    else
        log_warn("notifications", "out of memory, ignoring: %s %s is not told", action, outcome);
}

static bool read_cluster(const struct run *r, struct cluster *cl)
{
    static const struct db_scope all = {.all_projects = true, .admin = true};
    struct err e = ERR_INIT;
    return db_cluster_get(r->c->db, &all, r->op.cluster_id, cl, &e) == 0;
}

void notify_stored(const struct run *r, const struct engine_action *a)
{
    bool pending = false;
    const char *action = action_of(r->s.kind, &pending);
    news_tell(r->c, r->op.id, r->op.cluster_id);
    for (size_t i = 0; r->c->notices && action && pending && i < a->n_notes; i++) {
        struct cluster cl;
        if (strcmp(a->notes[i].code, event_text(EVENT_STARTED)) != 0)
            continue;
        cluster_init(&cl);
        if (read_cluster(r, &cl))
            publish(r, &cl, action, "pending");
        cluster_done(&cl);
    }
}

/* The cluster is read before the end, since a delete takes it away. */
void notice_begin(const struct run *r, struct notice *n)
{
    bool pending = false;
    *n = (struct notice){.action = r->c->notices ? action_of(r->s.kind, &pending) : NULL};
    cluster_init(&n->cluster);
    if (n->action && !read_cluster(r, &n->cluster))
        n->action = NULL;
}

static void replace(char **member, const char *value)
{
    free(*member);
    *member = str_dup(value);
}

void notice_end(const struct run *r, const struct engine_action *a, bool written, struct notice *n)
{
    if (written)
        news_tell(r->c, r->op.id, r->op.cluster_id);
    if (written && n->action && !r->s.superseded) {
        if (a->remove_cluster)
            replace(&n->cluster.status, "DELETE_COMPLETE");
        else if (a->cluster_status)
            replace(&n->cluster.status, a->cluster_status);
        replace(&n->cluster.status_reason, a->status_reason);
        publish(r, &n->cluster, n->action, r->s.status == ENG_SUCCEEDED ? "success" : "failure");
    }
    cluster_done(&n->cluster);
}
