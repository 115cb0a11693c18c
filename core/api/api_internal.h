/* What the files of core/api share: the process-wide state, one request in work, and the helpers
 * every resource uses. Not included from outside. */
#ifndef MAGNUM_API_API_INTERNAL_H
#define MAGNUM_API_API_INTERNAL_H

#include "api/api.h"
#include "api/attrs.h"
#include "api/jw.h"
#include "api/microversions.h"
#include "api/patch.h"
#include "api/router.h"
#include "auth/auth.h"
#include "base/cleanup.h"
#include "base/jsonx.h"
#include "base/str.h"
#include "config/config.h"
#include "db/db.h"
#include "db/db_accept.h"
#include "http/server.h"
#include "model/entity.h"
#include "rpc/rpc.h"

#include <stdatomic.h>

struct admit;
struct catalog;
struct driver_cache;
struct follow;
struct driver_row;

struct api {
    const struct config *cfg; /* borrowed */
    struct db *db;            /* borrowed */
    struct rpc_client *rpc;   /* borrowed, may be NULL */
    struct auth *auth;        /* borrowed */
    struct http_server *http;
    _Atomic int port; /* known before the first request can ask for it, or the configured one */
    struct api_versions versions;
    struct catalog *catalog;
    struct driver_cache *drivers;
    struct follow *follow;
    struct admit *admit, *admit_reads;
};

/* ---- query arguments (query.c) ---- */
enum { QUERY_ARGS = 32 };
struct query {
    struct {
        char *name, *value; /* owned */
    } v[QUERY_ARGS];
    size_t n;
    bool broken;        /* not UTF-8, too many, or no memory */
    bool no_semicolons; /* none was sent as it is: those in values were escaped */
};
void query_read(struct query *q, const struct http_request *rq);
/* One decoded argument: what query_read calls for each. query: a struct query. */
void query_add(void *query, const char *name, const char *value);
void query_done(struct query *q);
/* `Unknown argument: "<name>"` unless every name is in the comma list (NULL: none are); none may be
 * given twice. */
int query_check(const struct query *q, const char *allowed, struct err *e) MUST_CHECK;
const char *query_get(const struct query *q, const char *name); /* NULL when absent */
int query_int(const struct query *q, const char *name, int64_t missing, int64_t *ret,
              struct err *e) MUST_CHECK;
int query_bool(const struct query *q, const char *name, bool *ret, struct err *e) MUST_CHECK;

/* ---- one request ---- */
struct api_call {
    struct api *api;
    const struct http_request *rq;
    struct http_response *rp;
    struct auth_context who;
    int minor; /* microversion 1.minor */
    const struct route *route;
    const char *arg[ROUTE_SEGMENTS]; /* path arguments, borrowed */
    size_t n_args;
    struct query query;
    json_t *body;    /* the parsed document; for BODY_OBJECT after the check of its attributes */
    char base[320];  /* of links: "http://host:port", no slash at the end */
    bool plan;       /* ?plan=true: say what would be done, do nothing */
    json_t *planned; /* the operation that would have been accepted (plan.c); owned */
    bool parked;     /* put aside until its project has its turn */
    bool show_5xx;   /* the text of a server error is meant for the caller */
};

static inline bool api_zed(const struct api_call *c)
{
    return c->api->versions.zed;
}

/* Bays and baymodels: clusters and templates under the names they had until 1.10. */
static inline bool api_old_names(const struct api_call *c)
{
    return str_starts(c->route->pattern, "bay");
}

/* ---- answers ---- */
/* JSON under construction is c->rp->body; this sets the status and the content type. */
int answer(struct api_call *c, int status, struct err *e) MUST_CHECK;
int answer_nothing(struct api_call *c); /* 204 */
/* {"uuid": uuid} with the status. */
int answer_uuid(struct api_call *c, int status, const char *uuid, struct err *e) MUST_CHECK;

/* ---- scopes and rights (call.c) ---- */
struct db_scope scope_own(const struct api_call *c);
/* An admin sees all projects, provided policy lets him (`rule`, such as
 * "cluster:get_all_all_projects"). */
int scope_all(struct api_call *c, const char *rule, struct db_scope *ret, struct err *e) MUST_CHECK;
int enforce(struct api_call *c, const char *rule, const char *project, const char *user,
            struct err *e) MUST_CHECK;
static inline int enforce_self(struct api_call *c, const char *rule, struct err *e)
{
    return enforce(c, rule, c->who.project_id, c->who.user_id, e);
}

/* ---- lists (page.c) ---- */
struct page {
    struct db_page db;
    int64_t limit;
};
/* Reads limit, marker, sort_key, sort_dir. int_marker: quotas. */
int page_read(const struct api_call *c, bool int_marker, struct page *ret,
              struct err *e) MUST_CHECK;
/* Closes the collection: the array, "next" when n fills the page, and the object. path: "clusters",
 * "clusters/detail"; last: uuid or id of the last item. */
void page_close(const struct api_call *c, const struct page *p, const char *path, size_t n,
                const char *last);
/* "links": self and bookmark of base/v1/<path>/<id>. */
void jw_links(struct str *o, const struct api_call *c, const char *path, const char *id);

/* ---- operations (call.c) ---- */
/* The header Idempotency-Key; key NULL when there is none. ERR_INVALID when it is unusable. */
struct idempotency {
    struct db_idempotency db;
    char hash[33];
};
int idempotency_read(const struct api_call *c, struct idempotency *ret, struct err *e) MUST_CHECK;
/* Adds Idempotent-Replayed when the answer is the first one again. */
int idempotency_mark(const struct api_call *c, const struct idempotency *i,
                     struct err *e) MUST_CHECK;
/* An operation of this kind for the cluster, not stored yet. timeout_min 0: the default. */
int operation_prepare(const struct api_call *c, enum op_kind kind, const struct cluster *cl,
                      int64_t timeout_min, struct operation *op, struct err *e) MUST_CHECK;
/* Adds the sealed token of who asked where the cluster gets a trust (seal_token.c). A create
 * without a conductor that seals is refused. */
int operation_seal_token(struct api_call *c, enum op_kind kind, struct operation *op,
                         struct err *e) MUST_CHECK;
/* Accepts it (db_accept_change) and wakes a conductor. */
int operation_accept(struct api_call *c, const struct cluster *cl, enum op_kind kind, bool rollback,
                     const struct db_change *ch, struct idempotency *idem,
                     struct err *e) MUST_CHECK;
/* The operation of the path, visible to an admin everywhere, and the right to it (operations.c). */
int operation_get(struct api_call *c, const char *rule, const char *all_rule, struct operation *op,
                  struct err *e) MUST_CHECK;
void operation_wake(struct api_call *c, const char *method, const char *operation_id);
/* What came of a call to a conductor: its errors are shown to the caller whatever their status, but
 * not which hosts could not be reached, nor what goes wrong after it. Who goes on after an error
 * clears show_5xx. */
int conductor_said(struct api_call *c, int rc, struct err *e) MUST_CHECK;
/* A synchronous call. */
int conductor_call(struct api_call *c, const char *method, const json_t *params, json_t **ret,
                   struct err *e) MUST_CHECK;

/* Copies with one check at the end: `bool oom = false; x = copy(s, &oom); ... if (oom)`. */
char *copy(const char *s, bool *oom);

/* ---- dry runs (plan.c) ---- */
/* Keeps what operation_accept or the create would have stored. */
int plan_note(struct api_call *c, const struct operation *op, struct err *e) MUST_CHECK;
/* The answer instead of the handler's own. */
int plan_answer(struct api_call *c, struct err *e) MUST_CHECK;

/* ---- handlers ---- */
#define HANDLER(name) int name(struct api_call *c, struct err *e)
HANDLER(api_cluster_list);
HANDLER(api_cluster_detail);
HANDLER(api_cluster_show);
HANDLER(api_cluster_create);
HANDLER(api_cluster_patch);
HANDLER(api_cluster_delete);
HANDLER(api_cluster_resize);
HANDLER(api_cluster_upgrade);
HANDLER(api_template_list);
HANDLER(api_template_detail);
HANDLER(api_template_show);
HANDLER(api_template_create);
HANDLER(api_template_patch);
HANDLER(api_template_delete);
HANDLER(api_nodegroup_list);
HANDLER(api_nodegroup_show);
HANDLER(api_nodegroup_create);
HANDLER(api_nodegroup_patch);
HANDLER(api_nodegroup_delete);
HANDLER(api_certificate_list);
HANDLER(api_certificate_show);
HANDLER(api_certificate_sign);
HANDLER(api_certificate_rotate);
HANDLER(api_credential_rotate);
HANDLER(api_quota_list);
HANDLER(api_quota_usage);
HANDLER(api_quota_show);
HANDLER(api_quota_create);
HANDLER(api_quota_update);
HANDLER(api_quota_delete);
HANDLER(api_stats_show);
HANDLER(api_mservice_list);
HANDLER(api_federation_list);
HANDLER(api_federation_detail);
HANDLER(api_federation_show);
HANDLER(api_federation_create);
HANDLER(api_federation_patch);
HANDLER(api_federation_delete);
HANDLER(api_operation_list);
HANDLER(api_operation_show);
HANDLER(api_operation_events);
HANDLER(api_operation_cancel);
HANDLER(api_operation_retry);
HANDLER(api_cluster_events);
HANDLER(api_cluster_operations);
HANDLER(api_driver_list);
HANDLER(api_driver_show);
#undef HANDLER

/* ---- documents outside the table (discovery.c) ---- */
void discovery_root(struct api_call *c);
void discovery_v1(struct api_call *c);
void healthcheck(const struct api *a, const struct http_request *rq, struct http_response *rp);

#endif
