/* The way of a request: request id, authentication, version, route, arguments, handler, error body.
 * See api.h; the order of the steps decides which refusal a wrong request gets (api.md 1, 2). */
#include "api/api.h"

#include "api/admit.h"
#include "api/api_internal.h"
#include "api/body.h"
#include "api/catalog.h"
#include "api/driver_cache.h"
#include "api/errors.h"
#include "api/etcd_discovery.h"
#include "api/follow.h"
#include "api/quota_sizes.h"
#include "api/text.h"
#include "api/traced.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/uuid.h"
#include "db/db_service.h"
#include "http/metrics_server.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *header_of(const void *rq, const char *name)
{
    return http_request_header(rq, name);
}

/* Exactly "/" and "/v1", with any number of slashes behind, and the suffix .json. */
static bool is_public(const char *path)
{
    const char *p = path + strspn(path, "/");
    if (strncmp(p, "v1", 2) == 0)
        p += 2;
    if (strncmp(p, ".json", 5) == 0)
        p += 5;
    return p[strspn(p, "/")] == '\0';
}

/* Links name the host the client asked for; a Host header that is none is not repeated. */
static void set_base(struct api_call *c)
{
    const struct config *cfg = c->api->cfg;
    const char *host = http_request_header(c->rq, "Host");
    size_t n = strlen(cfg->api_public_url);
    if (n) {
        while (n && cfg->api_public_url[n - 1] == '/')
            n--;
        snprintf(c->base, sizeof c->base, "%.*s", (int)n, cfg->api_public_url);
        return;
    }
    if (host && *host && strlen(host) < 256) {
        size_t good = 0;
        while (host[good] && (isalnum((unsigned char)host[good]) || strchr(".-_:[]", host[good])))
            good++;
        if (!host[good]) {
            snprintf(c->base, sizeof c->base, "http://%s", host);
            return;
        }
    }
    snprintf(c->base, sizeof c->base, "http://%.200s:%d", cfg->api_host, api_port(c->api));
}

static int version_headers(struct api_call *c, const struct api_version *v, struct err *e)
{
    const struct api_versions *known = &c->api->versions;
    char text[96];
    int rc = 0;
    snprintf(text, sizeof text, "%s 1.1", known->service);
    rc |= http_response_header(c->rp, "OpenStack-API-Minimum-Version", text);
    snprintf(text, sizeof text, "%s 1.%d", known->service, known->max_minor);
    rc |= http_response_header(c->rp, "OpenStack-API-Maximum-Version", text);
    snprintf(text, sizeof text, "%s %d.%d", known->service, v->major, v->minor);
    rc |= http_response_header(c->rp, "OpenStack-API-Version", text);
    rc |= http_response_header(c->rp, "Vary", "OpenStack-API-Version");
    return rc ? err_nomem(e) : 0;
}

static void route_error(struct api_call *c, int status, const char *detail)
{
    error_routing(c->rp, status, detail, http_request_header(c->rq, "Accept"));
}

static void method_error(struct api_call *c, const char *allow)
{
    /* the listener sends no empty value; a blank is the same to whoever reads it */
    if (allow)
        (void)http_response_header(c->rp, "Allow", *allow ? allow : " ");
    route_error(c, 405, "");
    if (strcmp(c->rq->method, "HEAD") == 0) { /* no chunk of a body, no element */
        str_clear(&c->rp->body);
        str_append(&c->rp->body, "{\"errors\":[]}");
    }
}

/* The path arguments that a route refuses. */
static int refuse(const struct api_call *c, struct err *e)
{
    const struct route *r = c->route;
    const char *arg = c->n_args ? c->arg[c->n_args - 1] : "";
    if (r->missing)
        return err_set(e, ERR_INVALID, "Missing argument: \"%s\"", r->missing);
    if (r->surplus)
        return err_set(e, ERR_INVALID,
                       "Invalid input for field/attribute %s. Value: '%.500s'. unable to convert "
                       "to %s. Error: unexpected path argument",
                       r->surplus->argument, arg, r->surplus->type);
    return err_set(e, ERR_INVALID,
                   "Invalid input for field/attribute marker. Value: '%.500s'. unable to convert "
                   "to uuid. Error: Expected a uuid but received %.500s.",
                   arg, arg);
}

static int serve(struct api_call *c, struct err *e)
{
    int rc = query_check(&c->query, c->route->query, e);
    if (rc < 0)
        return rc;
    if (!c->route->handler)
        return refuse(c, e);
    rc = query_bool(&c->query, "plan", &c->plan, e);
    if (rc == 0)
        rc = body_read(c, e);
    size_t headers = c->rp->n_headers;
    if (rc == 0)
        rc = c->route->handler(c, e);
    if (rc < 0 || !c->plan)
        return rc;
    str_clear(&c->rp->body); /* the same way up to here, another answer */
    while (c->rp->n_headers > headers)
        free(c->rp->headers[--c->rp->n_headers].value);
    return plan_answer(c, e);
}

static void finish(struct api_call *c, int rc, const struct err *e)
{
    if (rc == 0 && !c->rp->body.oom)
        return;
    struct err oom = ERR_INIT;
    if (rc == 0) {
        (void)err_nomem(&oom);
        e = &oom;
    }
    if (e->code == ERR_UNAUTHORIZED) { /* a service did not take the token, which was good before */
        auth_forget(c->api->auth, c->who.token);
        error_unauthorized(c->rp, auth_challenge(c->api->auth));
        return;
    }
    if (err_http_status(e->code) >= 500)
        log_error("api.failed", "%s %s: %s: %s", c->rq->method, c->rq->raw_path, err_token(e->code),
                  e->msg);
    error_from(c->rp, e, c->show_5xx, c->who.request_id);
}

/* Resources that the release played does not have. HEAD of any path is refused as a method. */
static bool absent(const struct api_call *c, const char *resource)
{
    if (strcmp(c->rq->method, "HEAD") == 0)
        return false;
    if (api_zed(c))
        return strcmp(resource, "credentials") == 0;
    return strcmp(resource, "bays") == 0 || strcmp(resource, "baymodels") == 0;
}

/* What the path names, for the log: only ids, a name may belong to many. */
static void note_names(const struct api_call *c)
{
    char id[UUID_TEXT];
    bool known = c->n_args && uuid_like(c->arg[0], id);
    const char *pattern = c->route->pattern;
    if (known && (str_starts(pattern, "clusters/") || str_starts(pattern, "bays/") ||
                  str_starts(pattern, "certificates/")))
        log_context_add(&(struct log_context){.cluster = id});
    else if (known && str_starts(pattern, "operations/"))
        log_context_add(&(struct log_context){.operation = id});
}

/* A request to /v1 whose path is known to have no microversion problem of its own. */
static void route(struct api_call *c, const char *const *seg, size_t n, const struct api_version *v,
                  bool slash)
{
    struct route_match m;
    struct err e = ERR_INIT;
    int rc = 0;
    route_find(api_routes, api_routes_n, c->rq->method, seg, n, &m);
    if (m.outcome == ROUTE_NOT_FOUND || absent(c, seg[0])) {
        route_error(c, 404, "");
        return;
    }
    const char *only = m.outcome == ROUTE_FOUND ? m.route->only_with : NULL;
    if (m.outcome == ROUTE_METHOD || (only && !query_get(&c->query, only))) {
        method_error(c, m.allow);
        return;
    }
    if (strcmp(c->rq->method, "GET") == 0 && query_get(&c->query, "_method")) {
        method_error(c, NULL);
        return;
    }
    if (v->minor < m.route->min_minor) {
        char text[160];
        snprintf(text, sizeof text,
                 "Version 1.%d was requested but the requested API %s is not supported for this "
                 "version.",
                 v->minor, api_zed(c) || m.route->min_minor != 9 ? m.route->name : "delete");
        route_error(c, 406, text);
        return;
    }
    if (!accepts_json(http_request_header(c->rq, "Accept"))) {
        route_error(c, 406, "");
        return;
    }
    c->route = m.route;
    c->rp->route = m.route->pattern;
    c->minor = v->minor;
    c->n_args = m.n_args;
    memcpy(c->arg, m.args, sizeof m.args);
    note_names(c);
    rc = version_headers(c, v, &e);
    if (rc == 0 && slash && strcmp(seg[n - 1], "detail") == 0 && n == 2 &&
        strcmp(c->rq->method, "GET") == 0 && m.n_args == 0)
        rc = err_set(&e, ERR_NOT_FOUND, "The %s resource %s could not be found.", "%(name)s",
                     "%(id)s");
    if (rc == 0)
        rc = serve(c, &e);
    finish(c, rc, &e);
}

static void document(struct api_call *c, void (*fn)(struct api_call *), bool headers,
                     const struct api_version *v)
{
    struct err e = ERR_INIT;
    c->rp->route = headers ? "(version)" : "(root)";
    if (strcmp(c->rq->method, "GET") != 0) {
        method_error(c, "GET");
        return;
    }
    if (!accepts_json(http_request_header(c->rq, "Accept"))) {
        route_error(c, 406, "");
        return;
    }
    int rc = headers ? version_headers(c, v, &e) : 0;
    if (rc == 0)
        rc = query_check(&c->query, NULL, &e);
    if (rc == 0) {
        fn(c);
        rc = answer(c, 200, &e);
    }
    finish(c, rc, &e);
}

static void versioned(struct api_call *c, const char *const *seg, size_t n, bool slash)
{
    struct api_version v;
    struct err e = ERR_INIT;
    const char *accept = http_request_header(c->rq, "Accept");
    int rc = api_version_parse(&c->api->versions,
                               http_request_header(c->rq, "OpenStack-API-Version"), &v, &e);
    if (rc < 0 && v.unsupported) {
        (void)version_headers(c, &v, &e);
        error_version(c->rp, e.msg, c->api->versions.max_minor, accepts_json_only(accept));
    } else if (rc < 0) {
        error_routing(c->rp, 406, e.msg, accept);
    } else if (n == 0) {
        document(c, discovery_v1, true, &v);
    } else {
        route(c, seg, n, &v, slash);
    }
}

static void discover(struct api_call *c, const char *const *seg, size_t n)
{
    struct err e = ERR_INIT;
    c->rp->route = "(discovery)";
    int rc = etcd_discovery(c, seg, n, &e);
    finish(c, rc, &e);
}

static void dispatch(struct api_call *c, char *path)
{
    /* one more than a route can have: longer paths are not found */
    const char *seg[ROUTE_SEGMENTS + 2];
    size_t n = 0;
    char *save = NULL;
    size_t len = strlen(path);
    bool slash = len > 1 && path[len - 1] == '/';
    for (char *s = strtok_r(path, "/", &save); s && n < ARRAY_LEN(seg);
         s = strtok_r(NULL, "/", &save)) {
        if (strcmp(s, "..") == 0)
            n -= n > 0;
        else if (strcmp(s, ".") != 0)
            seg[n++] = s;
    }
    query_read(&c->query, c->rq);
    if (c->query.broken)
        route_error(c, 400, "");
    else if (n == 0)
        document(c, discovery_root, false, NULL);
    else if (strcmp(seg[0], "v1") == 0)
        versioned(c, seg + 1, n - 1, slash);
    else if (c->api->cfg->discovery_enabled && n > 1 && strcmp(seg[0], "discovery") == 0)
        discover(c, seg + 1, n - 1);
    else
        versioned(c, seg, n, slash);
}

static bool waits(void *ctx, const struct http_request *rq);

/* A request has to have its project's turn; see admit.h. */
static void dispatch_in_turn(struct api_call *c, char *path)
{
    struct admit *a = waits(c->api, c->rq) ? c->api->admit : c->api->admit_reads;
    struct admit_tenant *t = NULL;
    admit_forget(a == c->api->admit ? c->api->admit_reads : c->api->admit, c->rq);
    if (!c->who.project_id && a == c->api->admit_reads) { /* what is public belongs to nobody */
        dispatch(c, path);
        return;
    }
    switch (admit_enter(a, c->who.project_id, c->rq, &t)) {
    case ADMIT_GO:
        dispatch(c, path);
        admit_leave(a, t);
        return;
    case ADMIT_PARKED:
        c->parked = true;
        return;
    case ADMIT_FULL:
        c->rp->route = "(too many)";
        error_answer(c->rp, 429, "client", "Too Many Requests",
                     "Too many requests of this project are waiting. Please try again later.");
        (void)http_response_header(c->rp, "Retry-After", "1");
        return;
    }
}

static void authorised(struct api_call *c)
{
    struct err e = ERR_INIT;
    const char *challenge = NULL;
    _cleanup_free_ char *path = str_dup(c->rq->path);
    int rc = 0;
    if (!is_public(c->rq->path) && !etcd_discovery_open(c->api->cfg, c->rq->path))
        rc = auth_check(c->api->auth, header_of, c->rq, c->rq->from_loopback, &c->who, &challenge,
                        &e);
    if (rc == 0 && !path)
        rc = err_nomem(&e);
    if (rc < 0) { /* its token may have run out while it waited */
        admit_forget(c->api->admit, c->rq);
        admit_forget(c->api->admit_reads, c->rq);
    }
    if (rc == ERR_UNAUTHORIZED) {
        c->rp->route = "(unauthorized)";
        error_unauthorized(c->rp, challenge);
        return;
    }
    if (rc < 0) {
        finish(c, rc, &e);
        return;
    }
    if (!text_utf8(path)) {
        route_error(c, 400, "");
        return;
    }
    set_base(c);
    dispatch_in_turn(c, path);
}

static void note(const struct api_call *c, int64_t began_us)
{
    bool reading = strcmp(c->rq->method, "GET") == 0;
    log_write(reading ? LOG_DEBUG : LOG_INFO, "api.request", "%s %s %d %lld us", c->rq->method,
              c->rq->raw_path, c->rp->status, (long long)(clock_mono_us() - began_us));
}

/* Who may read the metrics here: callers on this machine that speak for nobody else. To others
 * there is no such path. */
static bool is_metrics(const struct api *a, const struct http_request *rq)
{
    static const char *const relayed[] = {"Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"};
    if (strcmp(rq->path, "/metrics") != 0 || !rq->from_loopback || !a->cfg->metrics_on_api_port ||
        !metrics_on())
        return false;
    for (size_t i = 0; i < ARRAY_LEN(relayed); i++)
        if (http_request_header(rq, relayed[i]))
            return false;
    return true;
}

/* Methods are understood in small letters too, as the original does. */
static const char *upper_method(const char *method, char buf[16])
{
    size_t n = strlen(method);
    if (!islower((unsigned char)*method) || n >= 16)
        return method;
    for (size_t i = 0; i <= n; i++)
        buf[i] = (char)toupper((unsigned char)method[i]);
    return buf;
}

void api_handle(struct api *a, const struct http_request *raw, struct http_response *rp)
{
    char method[16];
    struct http_request request = *raw, *rq = &request;
    struct api_call c = {.api = a, .rq = rq, .rp = rp, .minor = 1};
    request.method = upper_method(raw->method, method);
    int64_t began = clock_mono_us();
    rp->route = "(none)";
    if (strcmp(rq->path, "/healthcheck") == 0 || strcmp(rq->path, "/healthcheck/") == 0) {
        rp->route = "(healthcheck)";
        healthcheck(a, rq, rp);
        return;
    }
    if (is_metrics(a, rq)) {
        metrics_answer(rq, rp);
        return;
    }
    if (strcmp(rq->method, "OPTIONS") == 0) {
        rp->route = "(options)";
        rp->status = 200;
        return;
    }
    memcpy(c.who.request_id, "req-", 4);
    uuid_make(c.who.request_id + 4);
    struct log_context ctx = {.request = c.who.request_id};
    struct traced traced;
    log_context_set(&ctx);
    traced_begin(&traced, &c);
    (void)http_response_header(rp, "x-openstack-request-id", c.who.request_id);
    authorised(&c);
    if (!c.parked)
        note(&c, began);
    traced_end(&traced, &c);
    log_context_set(NULL);
    query_done(&c.query);
    json_decref(c.body);
    json_decref(c.planned);
    auth_context_done(&c.who);
}

static void handle(void *ctx, const struct http_request *rq, struct http_response *rp)
{
    api_handle(ctx, rq, rp);
}

/* A request refused by the listener: too large, broken. */
static void reject(void *ctx, const struct http_request *rq, const struct err *why,
                   struct http_response *rp)
{
    char id[4 + UUID_TEXT] = "req-";
    (void)ctx;
    uuid_make(id + 4);
    (void)http_response_header(rp, "x-openstack-request-id", id);
    if (why->code == ERR_INVALID)
        error_routing(rp, 400, "", http_request_header(rq, "Accept"));
    else
        error_from(rp, why, false, id);
}

static void collect(void *ctx)
{
    const struct api *a = ctx;
    struct http_server_counts n;
    http_server_count(a->http, &n);
    metrics_set(METRIC_HTTP_IN_FLIGHT, http_server_in_flight(a->http), NULL);
    metrics_set(METRIC_HTTP_CONNECTIONS, (double)n.open, NULL);
    metrics_set(METRIC_HTTP_UNREAD, (double)n.unread, NULL);
    metrics_set(METRIC_HTTP_SET_ASIDE, (double)admit_waiting(a->admit),
                METRICS_LABELS_OF("changes"));
    metrics_set(METRIC_HTTP_SET_ASIDE, (double)admit_waiting(a->admit_reads),
                METRICS_LABELS_OF("reads"));
    metrics_set(METRIC_HTTP_CLOSED, (double)n.pushed_out, METRICS_LABELS_OF("pushed_out"));
    metrics_set(METRIC_HTTP_CLOSED, (double)n.refused, METRICS_LABELS_OF("refused"));
    metrics_set(METRIC_HTTP_CLOSED, (double)n.expired, METRICS_LABELS_OF("expired"));
    metrics_set(METRIC_HTTP_CLOSED, (double)n.cut_off, METRICS_LABELS_OF("cut_off"));
}

static void api_free(struct api **a)
{
    if (!*a)
        return;
    follow_free(&(*a)->follow);
    admit_free((*a)->admit);
    admit_free((*a)->admit_reads);
    catalog_free(&(*a)->catalog);
    driver_cache_free(&(*a)->drivers);
    free(*a);
    *a = NULL;
}

static int write_port(const struct api *a, struct err *e)
{
    char text[16];
    int n = snprintf(text, sizeof text, "%d\n", api_port(a));
    if (!*a->cfg->api_port_file)
        return 0;
    return io_write_file(a->cfg->api_port_file, text, (size_t)n, 0644, e);
}

/* Their answers come from a conductor. */
static bool asks_conductor(const char *path)
{
    static const char *const collections[] = {"certificates", "pods", "services", "rcs",
                                              "containers"};
    path += strspn(path, "/");
    if (str_starts(path, "v1/"))
        path += 3 + strspn(path + 3, "/");
    for (size_t i = 0; i < ARRAY_LEN(collections); i++)
        if (str_starts(path, collections[i]))
            return true;
    return false;
}

/* Changes wait for a durable commit, certificates for a conductor, some credentials for a hash:
 * none of them may hold up those who only read. */
static bool waits(void *ctx, const struct http_request *rq)
{
    const struct api *a = ctx;
    bool reads = strcmp(rq->method, "GET") == 0 || strcmp(rq->method, "HEAD") == 0;
    return !reads || asks_conductor(rq->path) || auth_may_wait(a->auth, header_of, rq);
}

/* Which threads: a read is quick, unless there is no free connection to read with, or other reads
 * are not quick at the moment. */
static bool runs_aside(void *ctx, const struct http_request *rq)
{
    const struct api *a = ctx;
    struct db_pool_counts n;
    if (waits(ctx, rq))
        return true;
    if (is_public(rq->path) || str_starts(rq->path, "/healthcheck"))
        return false;
    db_pool_count(a->db, &n);
    return http_request_crowded(rq) || (!n.idle && n.open >= n.max);
}

int api_start(const struct config *cfg, struct db *db, struct rpc_client *rpc, struct auth *auth,
              struct api **ret, struct err *e)
{
    struct api *a = calloc(1, sizeof *a);
    if (!a)
        return err_nomem(e);
    a->cfg = cfg;
    a->db = db;
    a->rpc = rpc;
    a->auth = auth;
    atomic_init(&a->port, (int)cfg->api_port);
    struct quota_limits limits;
    quota_limits_of(cfg, &limits);
    db_quota_defaults(db, &limits);
    a->admit = admit_new(cfg);
    a->admit_reads = admit_new_reads(cfg);
    int rc = a->admit && a->admit_reads ? api_versions_from(cfg->api_compat, &a->versions, e)
                                        : err_nomem(e);
    if (rc == 0)
        rc = catalog_open(cfg, &a->catalog, e);
    if (rc == 0)
        rc = driver_cache_new(cfg, db, &a->drivers, e);
    if (rc == 0)
        rc = follow_start(cfg, db, rpc != NULL, &a->follow, e);
    if (rc == 0)
        rc = http_server_start_waits(cfg, handle, reject, runs_aside, a, &a->http, e);
    if (rc == 0) {
        atomic_store(&a->port, http_server_port(a->http));
        rc = metrics_collect(collect, a, e);
    }
    if (rc == 0)
        rc = write_port(a, e);
    if (rc < 0) {
        metrics_uncollect(collect, a);
        follow_close(a->follow);
        http_server_stop(&a->http);
        api_free(&a);
        return rc;
    }
    *ret = a;
    return 0;
}

struct api_fresh {
    struct catalog *catalog;
    struct quota_limits limits;
    struct rpc_key *key;
};

int api_read_again(struct api *a, const struct config *cfg, struct api_fresh **ret, struct err *e)
{
    struct api_fresh *f = calloc(1, sizeof *f);
    if (!f)
        return err_nomem(e);
    quota_limits_of(cfg, &f->limits);
    int rc = catalog_read_again(a->catalog, cfg, &f->catalog, e);
    if (rc == 0)
        rc = follow_read_again(a->follow, &f->key, e);
    if (rc < 0)
        api_fresh_free(&f);
    *ret = f;
    return rc;
}

void api_take(struct api *a, struct api_fresh **fresh)
{
    catalog_take(a->catalog, &(*fresh)->catalog);
    db_quota_defaults(a->db, &(*fresh)->limits);
    follow_take(a->follow, &(*fresh)->key);
    api_fresh_free(fresh);
}

void api_fresh_free(struct api_fresh **fresh)
{
    if (!*fresh)
        return;
    catalog_free(&(*fresh)->catalog);
    rpc_key_free(&(*fresh)->key);
    free(*fresh);
    *fresh = NULL;
}

int api_port(const struct api *a)
{
    return atomic_load(&a->port);
}

void api_stop(struct api **a)
{
    if (!*a)
        return;
    follow_close((*a)->follow); /* whoever waits for news is answered now */
    metrics_uncollect(collect, *a);
    http_server_stop(&(*a)->http);
    api_free(a);
}
