/* The mag_host table: each service becomes one UPCALL frame and waits for its UPREPLY. Rendering
 * and configuration are answered here, without a round trip. See magnum/host.h for the contracts.
 * Neighbours: session_internal.h, core/drivers/host_services.c (the other end). */
#include "host/render.h"
#include "host/session_internal.h"
#include "host/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CANCEL_EVERY_MS = 10, LOG_LINE_MAX = 4096, EXIT_LOST = 2 };

char *session_keep(struct session *s, char *data, size_t len)
{
    struct kept *k = malloc(sizeof *k);
    if (!k) {
        free(data);
        return NULL;
    }
    *k = (struct kept){.next = s->kept, .data = data, .len = len};
    s->kept = k;
    return data;
}

void session_drop_kept(struct session *s)
{
    while (s->kept) {
        struct kept *k = s->kept;
        s->kept = k->next;
        explicit_bzero(k->data, k->len); /* may have been a private key */
        free(k->data);
        free(k);
    }
}

void session_lost(struct session *s)
{
    s->lost = true;
    if (s->own_process)
        _exit(EXIT_LOST);
}

int session_send(struct session *s, uint8_t type, const json_t *body)
{
    pthread_mutex_lock(&s->out_lock);
    uint32_t call = type == FRAME_LOG ? 0 : s->call; /* a log line may come from any thread */
    int rc = body ? frame_write(s->sock, s->max_frame, type, call, body, FRAME_FOREVER)
                  : FRAME_E_NO_MEMORY;
    pthread_mutex_unlock(&s->out_lock);
    return rc;
}

int32_t session_fail(mag_error *err, int32_t code, uint32_t flags, const char *reason,
                     const char *message)
{
    mag_error full = {.flags = flags};
    wire_text_copy(full.reason, sizeof full.reason, reason);
    wire_text_copy(full.message, sizeof full.message, message);
    if (err && err->struct_size > sizeof err->struct_size) {
        full.struct_size = err->struct_size;
        memcpy(err, &full, err->struct_size < sizeof full ? err->struct_size : sizeof full);
    }
    return code;
}

static void send_log(struct session *s, uint32_t level, const char *text, bool about_plugin)
{
    json_t *body =
        json_pack("{s:I,s:o,s:b}", "level", (json_int_t)level, "text",
                  wire_bytes(text, strnlen(text, LOG_LINE_MAX)), "about_plugin", (int)about_plugin);
    (void)session_send(s, FRAME_LOG, body); /* a lost line must not fail the driver: ignoring */
    json_decref(body);
}

void session_complain(struct session *s, const char *text)
{
    send_log(s, MAG_LOG_WARNING, text, true);
}

static void host_log(void *ctx, uint32_t level, const char *message)
{
    send_log(ctx, level, message ? message : "", false);
}

static const char *host_config(void *ctx, const char *key)
{
    const struct session *s = ctx;
    return key ? json_string_value(json_object_get(json_object_get(s->hello, "config"), key))
               : NULL;
}

/* Services belong to the call that runs, on its thread, with its op. */
static bool allowed(struct session *s, const mag_op *op)
{
    if (op && op == s->op && pthread_equal(pthread_self(), s->call_thread))
        return true;
    session_complain(s, "a host service was called outside of a driver call, from another thread "
                        "or with another op: refused");
    return false;
}

/* Copies the reply's error record into what the plugin gave. */
static int32_t reply_error(int32_t code, const json_t *reply, mag_error *err)
{
    mag_error full = {0};
    wire_error_get(json_object_get(reply, "error"), &full);
    if (err && err->struct_size > sizeof err->struct_size) {
        full.struct_size = err->struct_size;
        memcpy(err, &full, err->struct_size < sizeof full ? err->struct_size : sizeof full);
    }
    return code;
}

static int32_t connection_gone(struct session *s, mag_error *err)
{
    session_lost(s);
    return session_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "HostGone",
                        "the host closed the connection");
}

static int32_t exchange(struct session *s, const json_t *body, mag_error *err, json_t **ret)
{
    int rc = session_send(s, FRAME_UPCALL, body);
    if (rc == FRAME_E_TOO_LARGE)
        return session_fail(err, MAG_E_INVALID, 0, "TooLarge",
                            "the request is larger than a frame may be");
    if (rc == FRAME_E_NO_MEMORY)
        return session_fail(err, MAG_E_INTERNAL, MAG_ERR_RETRYABLE, "OutOfMemory", "out of memory");
    struct frame f = {0};
    if (rc == FRAME_OK)
        rc = frame_read(&s->in, s->sock, FRAME_FOREVER, &f);
    if (rc != FRAME_OK || f.type != FRAME_UPREPLY || f.call != s->call) {
        frame_done(&f);
        return connection_gone(s, err);
    }
    int32_t code = (int32_t)json_integer_value(json_object_get(f.body, "rc"));
    s->fenced = code == MAG_E_PRECONDITION; /* the host says that only to the fenced */
    if (code < 0)
        reply_error(code, f.body, err);
    else if (ret)
        *ret = json_incref(json_object_get(f.body, "value"));
    frame_done(&f);
    return code;
}

/* Why a service can't be asked at all; MAG_OK when it can. */
static int32_t check_upcall(struct session *s, const mag_op *op, const json_t *args, mag_error *err)
{
    if (!allowed(s, op))
        return session_fail(err, MAG_E_PRECONDITION, 0, "NotInCall",
                            "host services are for the running call only");
    if (s->fenced)
        return session_fail(err, MAG_E_PRECONDITION, 0, "Fenced",
                            "another conductor owns the operation");
    if (s->lost)
        return connection_gone(s, err);
    if (!args)
        return session_fail(err, MAG_E_INVALID, 0, "BadArgument",
                            "an argument of a host service is missing or is not UTF-8");
    return MAG_OK;
}

/* args: stolen; NULL = they could not be packed. *ret (may be NULL): the reply's value, owned, or
 * NULL. */
static int32_t upcall(struct session *s, const mag_op *op, const char *service, json_t *args,
                      mag_error *err, json_t **ret)
{
    if (ret)
        *ret = NULL;
    int32_t code = check_upcall(s, op, args, err);
    json_t *body = json_pack("{s:s,s:o?}", "service", service, "args", args);
    if (code == MAG_OK)
        code = body ? exchange(s, body, err, ret)
                    : session_fail(err, MAG_E_INTERNAL, MAG_ERR_RETRYABLE, "OutOfMemory",
                                   "out of memory");
    json_decref(body);
    return code;
}

/* The reply's value, or a member of it, as bytes that live until the call ends. */
static int32_t keep_bytes(struct session *s, const json_t *v, mag_bytes *ret, mag_error *err)
{
    char *data;
    size_t len;
    if (!wire_bytes_get(v, &data, &len) || (data && !(data = session_keep(s, data, len))))
        return session_fail(err, MAG_E_INTERNAL, MAG_ERR_RETRYABLE, "BadReply",
                            "the host's answer can't be read");
    *ret = (mag_bytes){.data = data, .len = len};
    return MAG_OK;
}

/* The value as JSON text that lives until the call ends. */
static int32_t keep_json(struct session *s, const json_t *v, mag_bytes *ret, mag_error *err)
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text)
        text = session_keep(s, text, strlen(text));
    if (!text)
        return session_fail(err, MAG_E_INTERNAL, MAG_ERR_RETRYABLE, "OutOfMemory", "out of memory");
    *ret = (mag_bytes){.data = text, .len = strlen(text)};
    return MAG_OK;
}

static json_t *bytes_of(mag_bytes b)
{
    return b.data || b.len == 0 ? wire_bytes(b.data, (size_t)b.len) : NULL;
}

static int32_t host_http(void *ctx, const mag_op *op, const mag_http_req *req, mag_http_resp *resp,
                         mag_error *err)
{
    struct session *s = ctx;
    json_t *args = json_pack("{s:s?,s:s?,s:s?,s:s?,s:o,s:I}", "method", req->method, "service",
                             req->service, "path", req->path, "headers", req->headers, "body",
                             bytes_of(req->body), "timeout_ms", (json_int_t)req->timeout_ms);
    json_t *value;
    int32_t code = upcall(s, op, "http", args, err, &value);
    mag_bytes body = {0}, headers = {0};
    if (code == MAG_OK)
        code = keep_bytes(s, json_object_get(value, "body"), &body, err);
    if (code == MAG_OK)
        code = keep_bytes(s, json_object_get(value, "headers"), &headers, err);
    if (code == MAG_OK) {
        resp->status = (uint32_t)json_integer_value(json_object_get(value, "status"));
        resp->body = body;
        resp->headers = headers.data ? headers.data : "";
    }
    json_decref(value);
    return code;
}

static int32_t host_checkpoint(void *ctx, const mag_op *op, mag_bytes state, mag_error *err)
{
    return upcall(ctx, op, "checkpoint", json_pack("{s:o}", "state", bytes_of(state)), err, NULL);
}

static int32_t host_output(void *ctx, const mag_op *op, const char *key, mag_bytes json,
                           mag_error *err)
{
    return upcall(ctx, op, "output", json_pack("{s:s,s:o}", "key", key, "json", bytes_of(json)),
                  err, NULL);
}

static int32_t host_cancelled(void *ctx, const mag_op *op)
{
    struct session *s = ctx;
    int64_t now = frame_now_ms();
    if (s->cancelled || s->fenced || s->lost)
        return 1;
    if (now - s->cancel_asked_ms < CANCEL_EVERY_MS)
        return 0;
    json_t *value;
    int32_t code = upcall(s, op, "cancelled", json_object(), NULL, &value);
    s->cancel_asked_ms = now;
    s->cancelled = code != MAG_OK || json_is_true(value);
    json_decref(value);
    return s->cancelled;
}

static int32_t host_secret(void *ctx, const mag_op *op, const char *handle, void *buf, uint64_t cap,
                           uint64_t *len, mag_error *err)
{
    json_t *value;
    mag_bytes secret = {0};
    int32_t code = upcall(ctx, op, "secret", json_pack("{s:s}", "handle", handle), err, &value);
    if (code == MAG_OK)
        code = keep_bytes(ctx, value, &secret, err);
    json_decref(value);
    if (code != MAG_OK)
        return code;
    if (secret.len > cap)
        return session_fail(err, MAG_E_INVALID, 0, "BufferTooSmall",
                            "the buffer is too small for the secret");
    if (secret.len)
        memcpy(buf, secret.data, (size_t)secret.len);
    *len = secret.len;
    return MAG_OK;
}

/* ---- mag.host.ledger/1 ---- */

static int32_t ledger(void *ctx, const mag_op *op, const char *verb, json_t *args, mag_error *err,
                      json_t **ret)
{
    return upcall(ctx, op, "ledger", json_pack("{s:s,s:o}", "verb", verb, "args", args), err, ret);
}

static int32_t ledger_declare(void *ctx, const mag_op *op, const char *kind, const char *name,
                              mag_bytes data, mag_error *err)
{
    json_t *args = json_pack("{s:s,s:s,s:o}", "kind", kind, "name", name, "data", bytes_of(data));
    return ledger(ctx, op, "declare", args, err, NULL);
}

static int32_t ledger_confirm(void *ctx, const mag_op *op, const char *kind, const char *name,
                              const char *external_id, mag_error *err)
{
    json_t *args =
        json_pack("{s:s,s:s,s:s?}", "kind", kind, "name", name, "external_id", external_id);
    return ledger(ctx, op, "confirm", args, err, NULL);
}

static int32_t ledger_drop(void *ctx, const mag_op *op, const char *kind, const char *name,
                           mag_error *err)
{
    return ledger(ctx, op, "drop", json_pack("{s:s,s:s}", "kind", kind, "name", name), err, NULL);
}

static int32_t ledger_list(void *ctx, const mag_op *op, const char *kind, mag_bytes *ret_json,
                           mag_error *err)
{
    json_t *value;
    int32_t code = ledger(ctx, op, "list", json_pack("{s:s?}", "kind", kind), err, &value);
    if (code == MAG_OK)
        code = keep_json(ctx, value, ret_json, err);
    json_decref(value);
    return code;
}

static const mag_host_ledger ledger_table = {.struct_size = sizeof ledger_table,
                                             .declare = ledger_declare,
                                             .confirm = ledger_confirm,
                                             .drop = ledger_drop,
                                             .list = ledger_list};

/* ---- mag.host.cert/1 ---- */

static int32_t cert(void *ctx, const mag_op *op, const char *verb, json_t *args, bool document,
                    mag_bytes *ret, mag_error *err)
{
    json_t *value;
    json_t *body = json_pack("{s:s,s:o}", "verb", verb, "args", args);
    int32_t code = upcall(ctx, op, "cert", body, err, &value);
    if (code == MAG_OK)
        code = document ? keep_json(ctx, value, ret, err) : keep_bytes(ctx, value, ret, err);
    json_decref(value);
    return code;
}

static int32_t cert_ca(void *ctx, const mag_op *op, const char *ca, mag_bytes *ret_pem,
                       mag_error *err)
{
    return cert(ctx, op, "ca", json_pack("{s:s}", "ca", ca), false, ret_pem, err);
}

static int32_t cert_sign(void *ctx, const mag_op *op, const char *ca, mag_bytes csr_pem,
                         mag_bytes profile, mag_bytes *ret_pem, mag_error *err)
{
    json_t *args = json_pack("{s:s,s:o,s:o}", "ca", ca, "csr", bytes_of(csr_pem), "profile",
                             bytes_of(profile));
    return cert(ctx, op, "sign", args, false, ret_pem, err);
}

static int32_t cert_issue(void *ctx, const mag_op *op, mag_bytes request, mag_bytes *ret_json,
                          mag_error *err)
{
    json_t *args = json_pack("{s:o}", "request", bytes_of(request));
    return cert(ctx, op, "issue", args, true, ret_json, err);
}

static const mag_host_cert cert_table = {
    .struct_size = sizeof cert_table, .ca = cert_ca, .sign = cert_sign, .issue = cert_issue};

/* ---- mag.host.render/1: no round trip ---- */

static int32_t render(void *ctx, const mag_op *op, mag_bytes text, mag_bytes values,
                      mag_bytes *ret_text, mag_error *err)
{
    struct session *s = ctx;
    if (!allowed(s, op))
        return session_fail(err, MAG_E_PRECONDITION, 0, "NotInCall",
                            "host services are for the running call only");
    json_t *v = json_loadb(values.len ? values.data : "{}", values.len ? (size_t)values.len : 2,
                           JSON_REJECT_DUPLICATES, NULL);
    char why[RENDER_WHY] = "the values are not a JSON object";
    char *out = NULL;
    size_t len = 0;
    if (json_is_object(v))
        out = render_text(text.data, (size_t)text.len, v, &len, why);
    json_decref(v);
    if (out)
        out = session_keep(s, out, len);
    if (!out)
        return session_fail(err, MAG_E_INVALID, 0, "RenderFailed", why);
    *ret_text = (mag_bytes){.data = out, .len = len};
    return MAG_OK;
}

static const mag_host_render render_table = {.struct_size = sizeof render_table, .render = render};

static const void *host_get_service(void *ctx, const char *id)
{
    (void)ctx;
    if (!id)
        return NULL;
    if (strcmp(id, MAG_HOST_LEDGER) == 0)
        return &ledger_table;
    if (strcmp(id, MAG_HOST_CERT) == 0)
        return &cert_table;
    return strcmp(id, MAG_HOST_RENDER) == 0 ? &render_table : NULL;
}

void session_host_init(struct session *s)
{
    s->host = (mag_host){.struct_size = sizeof s->host,
                         .abi_major = MAG_ABI_MAJOR,
                         .abi_minor = MAG_ABI_MINOR,
                         .ctx = s,
                         .log = host_log,
                         .config = host_config,
                         .http = host_http,
                         .checkpoint = host_checkpoint,
                         .output = host_output,
                         .cancelled = host_cancelled,
                         .secret_read = host_secret,
                         .get_service = host_get_service};
}
