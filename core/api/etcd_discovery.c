/* See etcd_discovery.h. Waiting members (?wait=true) are put aside and look again once a second:
 * another API process may have taken the announcement they wait for. */
#include "api/etcd_discovery.h"

#include "api/admit.h"
#include "api/api_internal.h"
#include "api/follow.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/uuid.h"
#include "db/db_discovery.h"
#include "http/address.h"
#include "http/client.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

enum { LOOK_MS = 1000, MEMBER_MAX = 128 };
/* etcd's own numbers for errors. */
enum { E_KEY_NOT_FOUND = 100, E_NODE_EXIST = 105, E_INVALID_FIELD = 209, E_INTERNAL = 300 };

struct ask {
    struct api_call *c;
    const char *token, *member; /* member NULL: the directory */
    struct discovery_view view;
};

/* ---- answers ---- */

static void finish(struct api_call *c, int status, int64_t index)
{
    char text[24];
    c->rp->status = status;
    snprintf(text, sizeof text, "%" PRId64, index);
    if (http_response_header(c->rp, "Content-Type", "application/json") < 0 ||
        http_response_header(c->rp, "X-Etcd-Index", text) < 0)
        c->rp->status = 500;
}

static void fail(struct api_call *c, int status, int code, const char *message, const char *cause,
                 int64_t index)
{
    struct str *o = &c->rp->body;
    str_clear(o);
    str_append_c(o, '{');
    jw_int(o, "errorCode", code);
    jw_str(o, "message", message);
    jw_str(o, "cause", cause);
    jw_int(o, "index", index);
    str_append_c(o, '}');
    finish(c, status, index);
}

static void fail_from(struct api_call *c, const struct err *e)
{
    if (e->code == ERR_NOT_FOUND)
        fail(c, 404, E_KEY_NOT_FOUND, "Key not found", e->msg, 0);
    else if (e->code == ERR_EXISTS)
        fail(c, 412, E_NODE_EXIST, "Key already exists", e->msg, 0);
    else if (e->code == ERR_QUOTA)
        fail(c, 403, E_INVALID_FIELD, "Too many members", e->msg, 0);
    else
        fail(c, err_http_status(e->code), E_INTERNAL, "Internal error", err_token(e->code), 0);
}

static void node(struct str *o, const struct ask *a, const char *member, const char *value,
                 int64_t created, int64_t modified)
{
    char key[UUID_TEXT + MEMBER_MAX + 32];
    snprintf(key, sizeof key, "/discovery/%s/%s", a->token, member);
    jw_next(o);
    str_append_c(o, '{');
    jw_str(o, "key", key);
    jw_str(o, "value", value);
    jw_int(o, "modifiedIndex", modified);
    jw_int(o, "createdIndex", created);
    str_append_c(o, '}');
}

static void node_of(struct str *o, const struct ask *a, const json_t *m)
{
    node(o, a, jsonx_str(m, "member"), jsonx_str(m, "value"), jsonx_int(m, "created", 0),
         jsonx_int(m, "modified", 0));
}

static void begin(struct str *o, const char *action)
{
    str_append_c(o, '{');
    jw_str(o, "action", action);
    jw_key(o, "node");
}

static void directory(const struct ask *a)
{
    struct str *o = &a->c->rp->body;
    const json_t *m;
    size_t i;
    char key[UUID_TEXT + 16];
    snprintf(key, sizeof key, "/discovery/%s", a->token);
    begin(o, "get");
    str_append_c(o, '{');
    jw_str(o, "key", key);
    jw_bool(o, "dir", true);
    jw_key(o, "nodes");
    str_append_c(o, '[');
    json_array_foreach(a->view.members, i, m) node_of(o, a, m);
    str_append(o, "]}}");
    finish(a->c, 200, a->view.index);
}

static void one(const struct ask *a, const char *action, const json_t *m)
{
    struct str *o = &a->c->rp->body;
    begin(o, action);
    node_of(o, a, m);
    str_append_c(o, '}');
    finish(a->c, 200, a->view.index);
}

static const json_t *member_named(const struct ask *a)
{
    const json_t *m;
    size_t i;
    json_array_foreach(a->view.members, i, m)
    {
        if (str_eq(jsonx_str(m, "member"), a->member))
            return m;
    }
    return NULL;
}

static void read_one(const struct ask *a)
{
    const json_t *m = member_named(a);
    if (m)
        one(a, "get", m);
    else
        fail(a->c, 404, E_KEY_NOT_FOUND, "Key not found", a->member, a->view.index);
}

static void read_size(const struct ask *a)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, a->view.size);
    struct str *o = &a->c->rp->body;
    begin(o, "get");
    node(o, a, "_config/size", text, 0, 0);
    str_append_c(o, '}');
    finish(a->c, 200, a->view.index);
}

/* ---- waiting ---- */

/* The first change from `from` on that is still to be seen. */
static const json_t *change_since(const struct ask *a, int64_t from)
{
    const json_t *m, *first = NULL;
    size_t i;
    json_array_foreach(a->view.members, i, m)
    {
        int64_t at = jsonx_int(m, "modified", 0);
        if (a->member && !str_eq(jsonx_str(m, "member"), a->member))
            continue;
        if (at >= from && (!first || at < jsonx_int(first, "modified", 0)))
            first = m;
    }
    return first;
}

/* True when the request was put aside. */
static bool put_aside(const struct ask *a)
{
    struct api_call *c = a->c;
    struct err full = ERR_INIT;
    int64_t now = clock_mono_ms(), began = c->rq->parked_ms ? c->rq->parked_ms : now;
    struct http_ticket *t = http_request_park(c->rq);
    if (!t)
        return false;
    if (c->rq->parked_ms)
        follow_drop(c->api->follow, t);
    if (c->rq->gone || now >= began + c->api->cfg->api_follow_max_s * 1000) {
        http_ticket_done(t);
        http_request_unpark(c->rq);
        return false;
    }
    if (follow_add(c->api->follow, a->token, true, INT64_MAX, now + LOOK_MS, t, &full) == 0)
        return true;
    http_request_unpark(c->rq);
    return false;
}

/* An answer without a body tells a member that its time is over: it asks again. */
static void watch(const struct ask *a)
{
    const char *text = query_get(&a->c->query, "waitIndex");
    int64_t from = a->view.index + 1;
    a->c->rp->waited = a->c->rq->parked_ms != 0;
    if (text && !parse_i64(text, 0, INT64_MAX, &from)) {
        fail(a->c, 400, E_INVALID_FIELD, "Invalid field", "waitIndex is no number", a->view.index);
        return;
    }
    const json_t *m = change_since(a, from);
    if (m)
        one(a, "set", m);
    else if (!put_aside(a))
        finish(a->c, 200, a->view.index);
}

/* ---- announcing ---- */

static bool member_name_ok(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("._:-", s[i]))
            return false;
    return n > 0 && n <= MEMBER_MAX && s[0] != '_' && s[0] != '.';
}

static void announce(const struct ask *a)
{
    struct api_call *c = a->c;
    struct err e = ERR_INIT;
    const struct config *cfg = c->api->cfg;
    _cleanup_free_ char *value = http_form_value(c->rq->body, "value");
    const char *exist = query_get(&c->query, "prevExist");
    int64_t created = 0, index = 0;
    if (!member_name_ok(a->member)) {
        fail(c, 400, E_INVALID_FIELD, "Invalid field",
             "a member's name has letters, digits and . _ : -, and does not begin with _ or .", 0);
        return;
    }
    if (!value || !*value || strlen(value) > (size_t)cfg->discovery_max_value_bytes) {
        char cause[160];
        snprintf(cause, sizeof cause,
                 "the body must be the form value=NAME=URL with at most %lld bytes "
                 "(discovery.max_value_bytes)",
                 (long long)cfg->discovery_max_value_bytes);
        fail(c, 400, E_INVALID_FIELD, "Invalid field", cause, 0);
        return;
    }
    const struct discovery_put put = {a->token, a->member, value,
                                      exist && strcmp(exist, "false") == 0,
                                      cfg->discovery_max_members};
    if (db_discovery_put(c->api->db, &put, &created, &index, &e) < 0) {
        fail_from(c, &e);
        return;
    }
    struct str *o = &c->rp->body;
    begin(o, put.only_new ? "create" : "set");
    node(o, a, a->member, value, created, index);
    str_append_c(o, '}');
    finish(c, created == index ? 201 : 200, index);
}

/* ---- tokens ---- */

static int own_url(const struct api_call *c, const char *token, struct str *ret)
{
    const char *base = c->api->cfg->discovery_url;
    size_t n = strlen(base);
    while (n && base[n - 1] == '/')
        n--;
    if (n)
        str_append_n(ret, base, n);
    else
        str_append(ret, c->base);
    str_printf(ret, "/discovery/%s", token);
    return ret->oom ? ERR_NOMEM : 0;
}

static int token_new(struct api_call *c, int64_t size, struct str *url, struct err *e)
{
    const struct config *cfg = c->api->cfg;
    const struct discovery_limits most = {cfg->discovery_max_tokens,
                                          cfg->discovery_max_tokens_per_project};
    char token[UUID_TEXT];
    int rc = db_discovery_create(c->api->db, c->who.project_id, &most, size,
                                 cfg->discovery_token_hours, token, e);
    if (rc == 0 && own_url(c, token, url) < 0)
        rc = err_nomem(e);
    return rc;
}

/* As discovery.etcd.io answers: the URL as plain text. */
static int serve_new(struct api_call *c, struct err *e)
{
    int64_t size = 3;
    int rc = query_check(&c->query, "size", e);
    if (rc == 0)
        rc = enforce_self(c, "cluster:create", e);
    if (rc == 0)
        rc = query_int(&c->query, "size", 3, &size, e);
    if (rc == 0 && (size < 1 || size > c->api->cfg->discovery_max_size))
        rc = err_set(e, ERR_INVALID, "size must be between 1 and %lld (discovery.max_size)",
                     (long long)c->api->cfg->discovery_max_size);
    if (rc == 0)
        rc = token_new(c, size, &c->rp->body, e);
    if (rc < 0)
        return rc;
    c->rp->status = 200;
    return http_response_header(c->rp, "Content-Type", "text/plain") < 0 ? err_nomem(e) : 0;
}

static void serve_token(struct api_call *c, const char *const *seg, size_t n)
{
    struct err e = ERR_INIT;
    char token[UUID_TEXT];
    bool get = strcmp(c->rq->method, "GET") == 0, put = strcmp(c->rq->method, "PUT") == 0;
    bool size = n == 3 && strcmp(seg[1], "_config") == 0 && strcmp(seg[2], "size") == 0;
    struct ask a = {.c = c, .token = token, .member = n > 1 ? seg[1] : NULL};
    if ((n > 2 && !size) || !uuid_like(seg[0], token)) {
        fail(c, 404, E_KEY_NOT_FOUND, "Key not found", c->rq->path, 0);
        return;
    }
    if (!get && !(put && n == 2)) {
        (void)http_response_header(c->rp, "Allow", n == 2 ? "GET, PUT" : "GET");
        fail(c, 405, E_INVALID_FIELD, "Method not allowed", c->rq->method, 0);
        return;
    }
    if (put) {
        announce(&a);
        return;
    }
    const char *wait = query_get(&c->query, "wait");
    if (db_discovery_view(c->api->db, token, &a.view, &e) < 0)
        fail_from(c, &e);
    else if (size)
        read_size(&a);
    else if (wait && strcmp(wait, "true") == 0)
        watch(&a);
    else if (a.member)
        read_one(&a);
    else
        directory(&a);
    discovery_view_done(&a.view);
}

/* A path with dot segments is nobody's: what it leads to is decided after this. */
bool etcd_discovery_open(const struct config *cfg, const char *path)
{
    const char *p = path + strspn(path, "/");
    if (!cfg->discovery_enabled || !str_starts(p, "discovery/") || strstr(p, "/."))
        return false;
    p += strlen("discovery/");
    p += strspn(p, "/");
    size_t n = strcspn(p, "/");
    return n > 0 && !(n == 3 && strncmp(p, "new", 3) == 0);
}

int etcd_discovery(struct api_call *c, const char *const *seg, size_t n, struct err *e)
{
    if (n == 1 && strcmp(seg[0], "new") == 0 && strcmp(c->rq->method, "GET") == 0)
        return serve_new(c, e);
    serve_token(c, seg, n);
    return 0;
}

/* ---- URLs of clusters ---- */

static bool may_connect(void *ctx, const struct sockaddr *to)
{
    const struct config *cfg = ctx;
    return http_address_allowed(&cfg->discovery_networks, to);
}

/* by_tenant: the URL is a tenant's choice, which may not lead into the cloud's own networks. */
static int fetch(const struct api_call *c, const char *url, bool by_tenant, struct http_answer *ret,
                 struct err *e)
{
    struct http_client *http = NULL;
    const struct http_call call = {.method = "GET",
                                   .url = url,
                                   .timeout_ms = c->api->cfg->discovery_timeout_ms,
                                   .max_body = 64 * 1024,
                                   .may_connect = by_tenant ? may_connect : NULL,
                                   .may_connect_ctx = (void *)(uintptr_t)c->api->cfg};
    int rc = http_client_new(&http, e);
    admit_outside();
    if (rc == 0)
        rc = http_client_do(http, &call, ret, e);
    admit_inside();
    http_client_free(&http);
    return rc;
}

static int check_size(int64_t size, int64_t masters, const char *url, struct err *e)
{
    if (size == masters)
        return 0;
    return err_set(e, ERR_INVALID,
                   "Expected cluster size %lld but get cluster size %lld from '%.500s'.",
                   (long long)masters, (long long)size, url);
}

/* A token of this service: no request to itself. */
static bool own_token(const struct api_call *c, const char *url, char token[UUID_TEXT])
{
    _cleanup_str_ struct str base = STR_INIT;
    if (!c->api->cfg->discovery_enabled || own_url(c, "", &base) < 0)
        return false;
    return str_starts(url, str_text(&base)) && uuid_like(url + base.len, token);
}

static int check_own(struct api_call *c, const char *token, int64_t masters, const char *url,
                     struct err *e)
{
    struct discovery_view v = {0};
    int rc = db_discovery_view(c->api->db, token, &v, e);
    if (rc == ERR_NOT_FOUND)
        rc = err_set(e, ERR_INVALID, "Invalid discovery URL '%.500s'.", url);
    else if (rc == 0)
        rc = check_size(v.size, masters, url, e);
    discovery_view_done(&v);
    return rc;
}

/* {"node": {"value": "3"}} */
static int check_foreign(struct api_call *c, int64_t masters, const char *url, struct err *e)
{
    struct err why = ERR_INIT;
    struct http_answer answer = {0};
    _cleanup_json_ json_t *doc = NULL;
    int64_t size = 0;
    _cleanup_free_ char *where = str_fmt("%s/_config/size", url);
    if (!where)
        return err_nomem(e);
    int rc = fetch(c, where, true, &answer, &why);
    if (rc < 0)
        rc = err_set(e, ERR_INVALID, "Failed to get the size of cluster from '%.500s'. %s", url,
                     why.msg);
    else if (jsonx_parse(answer.body, answer.len, 16, &doc, &why) < 0 ||
             !jsonx_str(json_object_get(doc, "node"), "value") ||
             !parse_i64(jsonx_str(json_object_get(doc, "node"), "value"), 1, INT32_MAX, &size))
        rc = err_set(e, ERR_INVALID, "Invalid discovery URL '%.500s'.", url);
    else
        rc = check_size(size, masters, url, e);
    http_answer_done(&answer);
    return rc;
}

/* The operator's format with the number of masters in it. */
static int ask_service(struct api_call *c, const char *format, int64_t masters, struct str *ret,
                       struct err *e)
{
    static const char mark[] = "%(size)d";
    struct err why = ERR_INIT;
    struct http_answer answer = {0};
    _cleanup_str_ struct str url = STR_INIT;
    const char *at = strstr(format, mark);
    str_append_n(&url, format, at ? (size_t)(at - format) : strlen(format));
    if (at)
        str_printf(&url, "%lld%s", (long long)masters, at + strlen(mark));
    if (url.oom)
        return err_nomem(e);
    int rc = fetch(c, str_text(&url), false, &answer, &why);
    if (rc < 0 || answer.status != 200)
        rc = err_set(e, ERR_UNAVAILABLE, "Failed to get discovery url from '%.300s'.",
                     str_text(&url));
    else if (str_blank(answer.body) || strlen(answer.body) > 255 ||
             strcspn(answer.body, " \r\n\t") != strlen(answer.body))
        rc = err_set(e, ERR_UNAVAILABLE,
                     "Received invalid discovery URL '%.255s' for discovery endpoint '%.300s'.",
                     answer.body, format);
    else
        str_append(ret, answer.body);
    c->show_5xx = rc < 0; /* the discovery service's failure is for the caller to read */
    http_answer_done(&answer);
    return rc;
}

static int make(struct api_call *c, const struct driver_row *d, struct cluster *cl, int64_t masters,
                bool required, struct err *e)
{
    const struct config *cfg = c->api->cfg;
    const char *format = cfg->cluster_etcd_discovery_service_endpoint_format;
    _cleanup_str_ struct str url = STR_INIT;
    int rc;
    if (*format)
        rc = ask_service(c, format, masters, &url, e);
    else if (cfg->discovery_enabled)
        rc = token_new(c, masters, &url, e);
    else if (!required)
        return 0;
    else
        return err_set(e, ERR_INVALID,
                       "Driver %s needs a discovery_url, and this service makes none "
                       "(discovery.enabled, cluster.etcd_discovery_service_endpoint_format). Give "
                       "one with the request.",
                       d->name);
    if (rc < 0)
        return rc;
    cl->discovery_url = str_take(&url);
    return cl->discovery_url ? 0 : err_nomem(e);
}

int etcd_discovery_for(struct api_call *c, const struct driver_row *d, struct cluster *cl,
                       int64_t masters, struct err *e)
{
    char token[UUID_TEXT];
    const char *use = jsonx_str(d->manifest, "etcd_discovery");
    if (!use || strcmp(use, "none") == 0)
        return 0;
    if (str_blank(cl->discovery_url)) {
        free(cl->discovery_url);
        cl->discovery_url = NULL;
        return c->plan ? 0 : make(c, d, cl, masters, strcmp(use, "required") == 0, e);
    }
    if (own_token(c, cl->discovery_url, token))
        return check_own(c, token, masters, cl->discovery_url, e);
    return check_foreign(c, masters, cl->discovery_url, e);
}
