/* What happened on the way: /v1/operations/{id}/events and /v1/clusters/{id}/events. With `after`
 * a reader goes on where it stopped; with `follow` the request waits until there is something to
 * say, so that waiting is one request and no polling (follow.h). See api_internal.h. */
#include "api/api_internal.h"
#include "api/follow.h"
#include "api/views.h"
#include "base/clock.h"
#include "base/uuid.h"
#include "db/db_cluster.h"
#include "db/db_event.h"
#include "db/db_operation.h"

/* One request for events. */
struct events {
    int64_t after, limit, follow_s;
    const char *id; /* of the operation or cluster */
    bool cluster;
    struct operation op; /* unless cluster */
    struct operation_event_list l;
};

static int read_query(const struct api_call *c, struct events *q, struct err *e)
{
    int64_t most = c->api->cfg->api_max_limit, longest = c->api->cfg->api_follow_max_s;
    int rc = query_int(&c->query, "after", 0, &q->after, e);
    if (rc == 0)
        rc = query_int(&c->query, "limit", most, &q->limit, e);
    if (rc == 0)
        rc = query_int(&c->query, "follow", 0, &q->follow_s, e);
    if (rc == 0 && q->limit <= 0)
        rc = err_set(e, ERR_INVALID, "Limit must be positive");
    if (rc == 0 && (q->follow_s < 0 || q->after < 0))
        rc = err_set(e, ERR_INVALID, "after and follow must not be negative");
    if (q->limit > most)
        q->limit = most;
    if (q->follow_s > longest)
        q->follow_s = longest;
    return rc;
}

static int load(struct api_call *c, struct events *q, struct err *e)
{
    if (q->cluster)
        return db_cluster_events(c->api->db, q->id, q->after, q->limit, &q->l, e);
    return db_operation_events(c->api->db, q->id, q->after, q->limit, &q->l, e);
}

/* True when the request was put aside. The first time one is that many too many it is refused; when
 * its place is lost later, it is answered with what there is. */
static bool wait_on(struct api_call *c, const struct events *q, int *rc, struct err *e)
{
    struct err full = ERR_INIT;
    int64_t began = c->rq->parked_ms ? c->rq->parked_ms : clock_mono_ms();
    int64_t until = began + q->follow_s * 1000;
    bool first = !c->rq->follows;
    struct http_ticket *t = http_request_park(c->rq);
    if (!t) {
        *rc = err_nomem(e);
        return false;
    }
    if (!first)
        follow_drop(c->api->follow, t);
    if (clock_mono_ms() >= until || c->rq->gone) {
        http_ticket_done(t);
        http_request_unpark(c->rq);
        return false;
    }
    int added = follow_add(c->api->follow, q->id, q->cluster, q->after, until, t, &full);
    if (added == 0) {
        http_request_follow(c->rq);
        return true;
    }
    http_request_unpark(c->rq);
    if (added == ERR_UNAVAILABLE && first) {
        c->show_5xx = true;
        *rc = err_set(e, added, "%s", full.msg);
    }
    return false;
}

static int write_events(struct api_call *c, const struct events *q, struct err *e)
{
    struct str *o = &c->rp->body;
    int64_t cursor = q->l.n ? q->l.v[q->l.n - 1].id : q->after;
    str_append(o, "{\"events\":[");
    for (size_t i = 0; i < q->l.n; i++)
        view_operation_event(c, &q->l.v[i]);
    str_append_c(o, ']');
    jw_int(o, "cursor", cursor);
    if (!q->cluster) {
        jw_bool(o, "ended", op_status_final(q->op.status));
        jw_key(o, "operation");
        view_operation(c, &q->op);
    }
    if (q->l.n > 0 && (int64_t)q->l.n == q->limit) {
        _cleanup_str_ struct str next = STR_INIT;
        str_printf(&next, "%s/v1/%s/%s/events?after=%lld&limit=%lld", c->base,
                   q->cluster ? "clusters" : "operations", q->id, (long long)cursor,
                   (long long)q->limit);
        jw_str(o, "next", str_text(&next));
    }
    str_append_c(o, '}');
    return answer(c, 200, e);
}

static int answer_events(struct api_call *c, struct events *q, struct err *e)
{
    int rc = load(c, q, e);
    c->rp->waited = c->rq->parked_ms && q->follow_s > 0;
    bool ended = !q->cluster && op_status_final(q->op.status);
    if (rc == 0 && q->l.n == 0 && !ended && q->follow_s > 0 && wait_on(c, q, &rc, e))
        return 0;
    return rc ? rc : write_events(c, q, e);
}

static void events_done(struct events *q)
{
    operation_event_list_done(&q->l);
    operation_done(&q->op);
}

int api_operation_events(struct api_call *c, struct err *e)
{
    struct events q = {.l = {NULL, 0}};
    operation_init(&q.op);
    int rc = read_query(c, &q, e);
    /* the operation before its events: one that has ended then has all of them */
    if (rc == 0)
        rc = operation_get(c, "operation:get", "operation:get_one_all_projects", &q.op, e);
    q.id = q.op.id;
    if (rc == 0)
        rc = answer_events(c, &q, e);
    events_done(&q);
    return rc;
}

/* A cluster that is gone has left its history behind: it is found by its uuid. */
int api_cluster_events(struct api_call *c, struct err *e)
{
    struct events q = {.cluster = true, .l = {NULL, 0}};
    struct db_scope scope;
    struct cluster cl;
    struct err gone = ERR_INIT;
    char uuid[UUID_TEXT] = "";
    operation_init(&q.op);
    cluster_init(&cl);
    int rc = read_query(c, &q, e);
    if (rc == 0)
        rc = enforce_self(c, "operation:get_all", e);
    if (rc == 0)
        rc = scope_all(c, "operation:get_all_all_projects", &scope, e);
    if (rc == 0) {
        rc = db_cluster_get(c->api->db, &scope, c->arg[0], &cl, &gone);
        if (rc == 0)
            snprintf(uuid, sizeof uuid, "%s", cl.uuid);
        else if (rc == ERR_NOT_FOUND && uuid_like(c->arg[0], uuid))
            rc = db_cluster_had_operations(c->api->db, &scope, uuid, e);
        else
            rc = err_set(e, rc, "%s", gone.msg);
    }
    q.id = uuid;
    if (rc == 0)
        rc = answer_events(c, &q, e);
    cluster_done(&cl);
    events_done(&q);
    return rc;
}
