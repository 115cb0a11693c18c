/* From libmicrohttpd's calls to one call of the handler, and from its answer back. The access
 * handler is called once with the headers, once per piece of body and once at the end; a request
 * that breaks a limit is still read to its end when that is cheap, so that the client sees the
 * refusal and the connection stays usable. Neighbours: server_internal.h. */
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/parse.h"
#include "http/server_internal.h"
#include "http/uri_internal.h"

#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum {
    DRAIN_FACTOR = 4,      /* a body up to this many times the limit is read and dropped */
    KEEP_BODY = 16384,     /* larger buffers are not kept for the next request */
    SLOW_BYTES_PER_MS = 16 /* the slowest reader of an answer that is waited for */
};

const char *http_request_header(const struct http_request *r, const char *name)
{
    struct conn *c = r->impl;
    return c ? MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, name) : NULL;
}

struct header_all {
    const char *name;
    struct str *to;
    bool any;
};

static enum MHD_Result header_one(void *cls, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    (void)kind;
    struct header_all *h = cls;
    if (strcasecmp(name, h->name) == 0) {
        str_append(h->to, h->any ? "," : "");
        str_append(h->to, value);
        h->any = true;
    }
    return MHD_YES;
}

void http_request_header_all(const struct http_request *r, const char *name, struct str *to)
{
    struct conn *c = r->impl;
    struct header_all h = {name, to, false};
    if (c)
        (void)MHD_get_connection_values(c->mhd, MHD_HEADER_KIND, header_one, &h);
}

bool http_request_parked(const struct http_request *r)
{
    const struct conn *c = r->impl;
    return c && c->parked;
}

struct query_call {
    void (*fn)(void *ctx, const char *name, const char *value);
    void *ctx;
};

static enum MHD_Result query_one(void *cls, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    (void)kind;
    const struct query_call *q = cls;
    q->fn(q->ctx, name, value ? value : "");
    return MHD_YES;
}

void http_request_query(const struct http_request *r,
                        void (*fn)(void *ctx, const char *name, const char *value), void *ctx)
{
    struct conn *c = r->impl;
    struct query_call q = {fn, ctx};
    if (c)
        (void)MHD_get_connection_values(c->mhd, MHD_GET_ARGUMENT_KIND, query_one, &q);
}

int http_response_header(struct http_response *r, const char *name, const char *value)
{
    if (r->n_headers == ARRAY_LEN(r->headers))
        return ERR_NOMEM;
    char *copy = strdup(value);
    if (!copy)
        return ERR_NOMEM;
    r->headers[r->n_headers].name = name;
    r->headers[r->n_headers++].value = copy;
    return 0;
}

void http_response_done(struct http_response *r)
{
    str_free(&r->body);
    for (size_t i = 0; i < r->n_headers; i++)
        free(r->headers[i].value);
    r->n_headers = 0;
    r->status = 0;
    r->route = NULL;
    r->waited = false;
}

/* ---- the request line ---- */

static struct conn *conn_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

void *request_line(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    (void)cls;
    struct conn *c = conn_of(mhd);
    if (c) {
        atomic_store(&c->begun, true);
        c->bad_escape = false;
        str_clear(&c->raw);
        str_append_n(&c->raw, uri, strcspn(uri, "?"));
        c->semicolons = strchr(uri + strcspn(uri, "?"), ';') != NULL;
    }
    return NULL;
}

size_t request_unescape(void *cls, struct MHD_Connection *mhd, char *s)
{
    (void)cls;
    bool bad = false;
    size_t len = uri_decode(s, &bad);
    struct conn *c = bad ? conn_of(mhd) : NULL;
    if (c)
        c->bad_escape = true;
    return len;
}

/* ---- limits ---- */

static enum MHD_Result not_utf8(void *cls, enum MHD_ValueKind kind, const char *name,
                                const char *value)
{
    (void)kind;
    bool *bad = cls;
    *bad = *bad || !uri_is_utf8(name) || (value && !uri_is_utf8(value));
    return MHD_YES;
}

static bool refuse(struct conn *c, int code, const char *text, bool at_once)
{
    c->reject = code;
    c->reject_text = text;
    return at_once;
}

/* What the head of a request already rules out. True: answer now and close, for the body must not
 * or cannot be read to its end. */
static bool check_body_head(struct conn *c)
{
    const char *te = MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, "Transfer-Encoding");
    const char *cl = MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, "Content-Length");
    if (te && (cl || strcasecmp(te, "chunked") != 0))
        return refuse(c, ERR_INVALID, "The length of the request body is ambiguous.", true);
    int64_t length = 0;
    if (cl && !parse_i64(cl, 0, INT64_MAX, &length))
        return refuse(c, ERR_INVALID, "Content-Length is not a number.", true);
    c->pub.has_body = te || length > 0;
    if ((uint64_t)length <= c->server->max_body)
        return false;
    bool expects = MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, "Expect") != NULL;
    return refuse(c, ERR_TOO_LARGE, "The request body is too large.",
                  expects || (uint64_t)length / DRAIN_FACTOR > c->server->max_body);
}

static bool check_head(struct conn *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    bool at_once = check_body_head(c);
    if (c->reject)
        return at_once;
    if (info && info->header_size > c->server->max_header)
        return refuse(c, ERR_HEADERS_TOO_LARGE, "The request headers are too large.", false);
    bool bad = c->bad_escape || !uri_is_utf8(c->pub.path);
    (void)MHD_get_connection_values(c->mhd, MHD_GET_ARGUMENT_KIND, not_utf8, &bad);
    if (bad)
        return refuse(c, ERR_INVALID, "The request URI is not valid.", false);
    return false;
}

/* ---- the answer ---- */

static void run_reject(struct conn *c, int code, const char *text)
{
    struct err why = ERR_INIT;
    err_set(&why, code, "%s", text);
    http_response_done(&c->answer);
    c->server->reject(c->server->ctx, &c->pub, &why, &c->answer);
}

static bool answer_ok(const struct conn *c)
{
    return !c->answer.body.oom && c->answer.status >= 200 && c->answer.status <= 599;
}

bool request_run(struct conn *c)
{
    if (c->reject)
        run_reject(c, c->reject, c->reject_text);
    else
        c->server->handler(c->server->ctx, &c->pub, &c->answer);
    if (c->parked)
        return false;
    if (!answer_ok(c))
        run_reject(c, c->answer.body.oom ? ERR_NOMEM : ERR_INTERNAL, "no answer could be built");
    return true;
}

static struct MHD_Response *make_response(struct conn *c)
{
    size_t len = c->answer.body.len;
    _cleanup_free_ char *body = len ? str_take(&c->answer.body) : NULL;
    struct MHD_Response *r = MHD_create_response_from_buffer(
        len, body ? body : (void *)"", body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!r)
        return NULL;
    body = NULL; /* libmicrohttpd frees it */
    bool ok = true;
    for (size_t i = 0; ok && i < c->answer.n_headers; i++)
        ok = MHD_add_response_header(r, c->answer.headers[i].name, c->answer.headers[i].value) ==
             MHD_YES;
    if (ok && atomic_load(&c->server->draining))
        ok = MHD_add_response_header(r, "Connection", "close") == MHD_YES;
    if (ok)
        return r;
    MHD_destroy_response(r);
    return NULL;
}

static void count_answer(const struct conn *c)
{
    const char *route = c->answer.route ? c->answer.route : "(refused)";
    char code[16];
    if (!metrics_on())
        return;
    snprintf(code, sizeof code, "%d", c->answer.status);
    metrics_inc(METRIC_HTTP_REQUESTS, METRICS_LABELS_OF(route, c->pub.method, code));
    if (c->answer.route && !c->answer.waited)
        metrics_observe_us(METRIC_HTTP_DURATION, clock_mono_us() - c->began_us,
                           METRICS_LABELS_OF(route, c->pub.method));
}

/* MHD_NO closes the connection: all that is left when an answer cannot be built. */
static enum MHD_Result send_answer(struct conn *c)
{
    if (!answer_ok(c))
        return MHD_NO;
    size_t len = c->answer.body.len;
    count_answer(c);
    struct MHD_Response *r = make_response(c);
    unsigned status = (unsigned)c->answer.status;
    http_response_done(&c->answer);
    if (!r)
        return MHD_NO;
    int64_t wait_ms = c->server->timeout_ms + (int64_t)(len / SLOW_BYTES_PER_MS);
    enum MHD_Result rc = MHD_NO;
    limit_reading(c, len);
    if (watch_phase(c, PHASE_HANDLING, PHASE_WRITING, wait_ms))
        rc = MHD_queue_response(c->mhd, status, r);
    MHD_destroy_response(r);
    return rc;
}

void request_refuse_raw(struct conn *c, int code, const char *text)
{
    struct http_request blank = {.method = "", .path = "", .raw_path = "", .body = ""};
    struct http_response resp = {0};
    struct err why = ERR_INIT;
    err_set(&why, code, "%s", text);
    c->server->reject(c->server->ctx, &blank, &why, &resp);
    char status[16];
    snprintf(status, sizeof status, "%d", resp.status);
    metrics_inc(METRIC_HTTP_REQUESTS, METRICS_LABELS_OF("(refused)", "", status));
    _cleanup_str_ struct str out = STR_INIT;
    str_printf(&out, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %zu\r\n", resp.status,
               MHD_get_reason_phrase_for((unsigned)resp.status), resp.body.len);
    for (size_t i = 0; i < resp.n_headers; i++)
        str_printf(&out, "%s: %s\r\n", resp.headers[i].name, resp.headers[i].value);
    str_append(&out, "\r\n");
    str_append_n(&out, str_text(&resp.body), resp.body.len);
    if (!out.oom && !resp.body.oom) /* best effort: the client may be gone */
        (void)!send(c->fd, out.s, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    http_response_done(&resp);
}

/* ---- the calls ---- */

bool http_request_crowded(const struct http_request *r)
{
    const struct conn *c = r->impl;
    return c && atomic_load(&c->server->inside) >= c->server->threads;
}

static enum MHD_Result answer_now(struct conn *c)
{
    struct http_server *s = c->server;
    atomic_fetch_add(&s->inside, 1);
    bool done = request_run(c), asleep = false;
    while (!done && !(asleep = park_sleep(c, true)))
        done = request_run(c);
    atomic_fetch_sub(&s->inside, 1);
    return asleep ? MHD_YES : send_answer(c);
}

static enum MHD_Result first_call(struct conn *c, const char *url, const char *method)
{
    c->counted = true;
    atomic_fetch_add(&c->server->in_flight, 1);
    c->pub = (struct http_request){.method = method,
                                   .path = url,
                                   .raw_path = str_text(&c->raw),
                                   .semicolons = c->semicolons,
                                   .body = "",
                                   .from_loopback = c->from_loopback,
                                   .impl = c};
    if (!check_head(c))
        return MHD_YES;
    c->began_us = clock_mono_us();
    return watch_phase(c, PHASE_READING, PHASE_HANDLING, 0) ? answer_now(c) : MHD_NO;
}

static enum MHD_Result take_body(struct conn *c, const char *data, size_t *size)
{
    c->received += *size;
    if (!c->reject && c->received > c->server->max_body)
        (void)refuse(c, ERR_TOO_LARGE, "The request body is too large.", false);
    if (c->received / DRAIN_FACTOR > c->server->max_body) {
        /* A chunked body without end: libmicrohttpd takes no answer in the middle of it. */
        if (watch_phase(c, PHASE_READING, PHASE_EXPIRED, 0))
            request_refuse_raw(c, c->reject, c->reject_text);
        return MHD_NO;
    }
    if (!c->reject)
        str_append_n(&c->body, data, *size);
    if (c->body.oom)
        return MHD_NO;
    *size = 0;
    return MHD_YES;
}

static enum MHD_Result handle_request(struct conn *c)
{
    struct http_server *s = c->server;
    if (c->again)
        park_wake(c);
    c->again = false;
    if (c->reject || !s->waits || !s->waits(s->ctx, &c->pub))
        return answer_now(c);
    return work_add(s, c) ? MHD_YES : MHD_NO;
}

static enum MHD_Result whole_request(struct conn *c)
{
    if (!watch_phase(c, PHASE_READING, PHASE_HANDLING, 0))
        return MHD_NO;
    c->began_us = clock_mono_us();
    c->pub.body = str_text(&c->body);
    c->pub.body_len = c->body.len;
    return handle_request(c);
}

enum MHD_Result request_access(void *cls, struct MHD_Connection *mhd, const char *url,
                               const char *method, const char *version, const char *upload,
                               size_t *upload_size, void **req)
{
    (void)cls;
    (void)version;
    struct conn *c = conn_of(mhd);
    if (!c) {
        *upload_size = 0;
        return tick_is(mhd) ? MHD_YES : MHD_NO;
    }
    if (!*req) {
        *req = c;
        c->mhd = mhd;
        return first_call(c, url, method);
    }
    if (*upload_size)
        return take_body(c, upload, upload_size);
    if (c->answered)
        return send_answer(c);
    return c->again ? handle_request(c) : whole_request(c);
}

static void count_down(struct http_server *s)
{
    if (atomic_fetch_sub(&s->in_flight, 1) != 1 || !atomic_load(&s->draining))
        return;
    pthread_mutex_lock(&s->lock);
    pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
}

void request_completed(void *cls, struct MHD_Connection *mhd, void **req,
                       enum MHD_RequestTerminationCode why)
{
    struct http_server *s = cls;
    struct conn *c = conn_of(mhd);
    *req = NULL;
    if (!c)
        return;
    if (why != MHD_REQUEST_TERMINATED_COMPLETED_OK)
        log_debug("http.aborted", "connection ended within %s (%d)", str_text(&c->raw), (int)why);
    c->reject = 0;
    c->received = 0;
    c->answered = c->again = c->parked = false;
    if (c->body.cap > KEEP_BODY)
        str_free(&c->body);
    str_clear(&c->body);
    http_response_done(&c->answer);
    limit_read(c);
    atomic_store(&c->begun, false);
    if (!watch_phase(c, PHASE_WRITING, PHASE_READING, s->timeout_ms))
        (void)watch_phase(c, PHASE_HANDLING, PHASE_READING, s->timeout_ms);
    if (c->counted)
        count_down(s);
    c->counted = false;
}
