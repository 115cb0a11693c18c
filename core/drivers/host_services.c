/* See host_services.h. */
#include "drivers/host_services.h"

#include "base/jsonx.h"
#include "host/wire.h"
#include "magnum/host.h"

#include <string.h>

enum { DOC_DEPTH = 32 };

static const struct {
    int code;
    int32_t mag;
    uint32_t flags;
    const char *reason;
} error_map[] = {
    {ERR_INVALID, MAG_E_INVALID, 0, "Invalid"},
    {ERR_NOT_FOUND, MAG_E_NOT_FOUND, 0, "NotFound"},
    {ERR_EXISTS, MAG_E_EXISTS, 0, "Exists"},
    {ERR_CONFLICT, MAG_E_BUSY, MAG_ERR_RETRYABLE, "Conflict"},
    {ERR_STALE, MAG_E_BUSY, MAG_ERR_RETRYABLE, "Stale"},
    {ERR_FORBIDDEN, MAG_E_DENIED, 0, "Forbidden"},
    {ERR_UNAUTHORIZED, MAG_E_AUTH, 0, "Unauthorized"},
    {ERR_UNSUPPORTED, MAG_E_UNSUPPORTED, 0, "Unsupported"},
    {ERR_TOO_LARGE, MAG_E_INVALID, 0, "TooLarge"},
    {ERR_QUOTA, MAG_E_QUOTA, MAG_ERR_USER, "QuotaExceeded"},
    {ERR_BUSY, MAG_E_BUSY, MAG_ERR_RETRYABLE, "Busy"},
    {ERR_UNAVAILABLE, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "Unavailable"},
    {ERR_TIMEOUT, MAG_E_TIMEOUT, MAG_ERR_RETRYABLE, "Timeout"},
    {ERR_PROTOCOL, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "BadAnswer"},
    {ERR_FENCED, MAG_E_PRECONDITION, 0, "Fenced"},
    {ERR_CANCELLED, MAG_E_CANCELLED, 0, "Cancelled"},
    {ERR_NOMEM, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "OutOfMemory"},
    {ERR_IO, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "Io"},
    {ERR_CANT_STORE, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE | MAG_ERR_OPERATOR, "StorageFull"},
    {ERR_CONFIG, MAG_E_INTERNAL, MAG_ERR_OPERATOR, "Configuration"},
};

static json_t *failure(int code, const char *message)
{
    mag_error err = {.struct_size = sizeof err};
    int32_t mag = MAG_E_INTERNAL;
    const char *reason = "HostError";
    for (size_t i = 0; i < ARRAY_LEN(error_map); i++)
        if (error_map[i].code == code) {
            mag = error_map[i].mag;
            reason = error_map[i].reason;
            err.flags = error_map[i].flags;
        }
    wire_text_copy(err.reason, sizeof err.reason, reason);
    wire_text_copy(err.message, sizeof err.message, message);
    return json_pack("{s:i,s:o}", "rc", (int)mag, "error", wire_error(&err));
}

/* value: taken; NULL = nothing. */
static json_t *success(json_t *value)
{
    return json_pack("{s:i,s:o*}", "rc", MAG_OK, "value", value);
}

/* The bytes of a member, as a text; *ret NULL when it is absent. */
static int get_bytes(const json_t *args, const char *key, char **ret, size_t *len, struct err *e)
{
    if (wire_bytes_get(json_object_get(args, key), ret, len))
        return 0;
    return err_set(e, ERR_INVALID, "%s can't be read", key);
}

/* A member with JSON text in it; absent or empty gives NULL. */
static int get_document(const json_t *args, const char *key, json_t **ret, struct err *e)
{
    _cleanup_free_ char *text = NULL;
    size_t len;
    *ret = NULL;
    int rc = get_bytes(args, key, &text, &len, e);
    if (rc != 0 || len == 0)
        return rc;
    rc = jsonx_parse(text, len, DOC_DEPTH, ret, e);
    return rc == 0 ? 0 : err_wrap(e, "%s", key);
}

static int not_offered(struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "this host does not offer the service in this call");
}

static int do_checkpoint(struct service_call *s, const json_t *args, json_t **ret, struct err *e)
{
    const struct coe_services *svc = s->call->services;
    _cleanup_free_ char *state = NULL;
    _cleanup_json_ json_t *doc = NULL;
    size_t len;
    (void)ret;
    if (!svc->checkpoint)
        return not_offered(e);
    int rc = get_bytes(args, "state", &state, &len, e);
    if (rc == 0 && len > (size_t)s->cfg->drivers_max_state_bytes)
        rc = err_set(e, ERR_TOO_LARGE, "a checkpoint may have %lld bytes, this one has %zu",
                     (long long)s->cfg->drivers_max_state_bytes, len);
    if (rc == 0)
        rc = jsonx_parse(state ? state : "", len, DOC_DEPTH, &doc, e);
    if (rc == 0 && !json_object_get(doc, "v"))
        rc = err_set(e, ERR_INVALID, "a checkpoint is a JSON object with a member v");
    if (rc == 0)
        rc = svc->checkpoint(svc->ctx, state, len, e);
    if (rc == 0)
        s->result->checkpointed = true;
    return rc;
}

static int do_output(struct service_call *s, const json_t *args, json_t **ret, struct err *e)
{
    const struct coe_services *svc = s->call->services;
    const char *key = jsonx_str(args, "key");
    _cleanup_json_ json_t *value = NULL;
    (void)ret;
    if (!svc->output)
        return not_offered(e);
    int rc = get_document(args, "json", &value, e);
    if (rc == 0 && (str_blank(key) || !value))
        rc = err_set(e, ERR_INVALID, "an output needs a key and a JSON value");
    return rc == 0 ? svc->output(svc->ctx, key, value, e) : rc;
}

static int do_cancelled(struct service_call *s, const json_t *args, json_t **ret, struct err *e)
{
    const struct coe_services *svc = s->call->services;
    (void)args;
    (void)e;
    *ret = json_boolean(s->cancelled || (svc->cancelled && svc->cancelled(svc->ctx)));
    return 0;
}

static int check_http(const struct service_call *s, const struct http_call_spec *rq, struct err *e)
{
    if (str_blank(rq->method) || str_blank(rq->service) || !rq->path)
        return err_set(e, ERR_INVALID, "an HTTP request needs method, service and path");
    if (str_starts(rq->service, "unix:") && !s->plugin->unix_sockets)
        return err_set(e, ERR_FORBIDDEN,
                       "the manifest of %s does not say unix_sockets: true, so %s is refused",
                       s->plugin->id, rq->service);
    if (s->left_ms <= 0)
        return err_set(e, ERR_TIMEOUT, "the budget of the call is used up");
    return 0;
}

static int do_http(struct service_call *s, const json_t *args, json_t **ret, struct err *e)
{
    const struct coe_services *svc = s->call->services;
    _cleanup_free_ char *body = NULL;
    int64_t timeout = jsonx_int(args, "timeout_ms", 0);
    struct http_call_spec rq = {.method = jsonx_str(args, "method"),
                                .service = jsonx_str(args, "service"),
                                .path = jsonx_str(args, "path"),
                                .headers = jsonx_str(args, "headers"),
                                .timeout_ms = s->left_ms};
    if (!svc->http)
        return not_offered(e);
    if (timeout > 0 && timeout < rq.timeout_ms)
        rq.timeout_ms = timeout;
    int rc = get_bytes(args, "body", &body, &rq.body_len, e);
    rq.body = body;
    if (rc == 0)
        rc = check_http(s, &rq, e);
    if (rc != 0)
        return rc;
    struct http_reply rp = {0};
    rc = svc->http(svc->ctx, &rq, &rp, e);
    if (rc == 0) {
        *ret = json_pack("{s:i,s:o,s:o}", "status", rp.status, "body",
                         wire_bytes(rp.body, rp.body_len), "headers",
                         wire_bytes(rp.headers, rp.headers ? strlen(rp.headers) : 0));
        rc = *ret ? 0 : err_nomem(e);
    }
    free(rp.body);
    free(rp.headers);
    return rc;
}

/* declare's data travels as bytes; services get it as the object it is. */
static int do_ledger(struct service_call *s, const json_t *args, json_t **ret, struct err *e)
{
    const struct coe_services *svc = s->call->services;
    const char *verb = jsonx_str(args, "verb");
    const json_t *given = json_object_get(args, "args");
    _cleanup_json_ json_t *data = NULL, *copy = NULL;
    if (!svc->ledger)
        return not_offered(e);
    bool list = str_eq(verb, "list"), declare = str_eq(verb, "declare");
    if (!list && !declare && !str_eq(verb, "confirm") && !str_eq(verb, "drop"))
        return err_set(e, ERR_INVALID, "the ledger has no such verb");
    if (!list && (str_blank(jsonx_str(given, "kind")) || str_blank(jsonx_str(given, "name"))))
        return err_set(e, ERR_INVALID, "a ledger entry needs kind and name");
    int rc = declare ? get_document(given, "data", &data, e) : 0;
    if (rc == 0 && data && !json_is_object(data))
        rc = err_set(e, ERR_INVALID, "the data of a ledger entry is a JSON object");
    if (rc != 0)
        return rc;
    copy = json_copy((json_t *)given);
    if (!copy ||
        (declare && json_object_set(copy, "data", data ? data : json_null()) < 0)) /* borrows */
        return err_nomem(e);
    return svc->ledger(svc->ctx, verb, copy, ret, e);
}

static int do_cert(struct service_call *s, const json_t *args, json_t **ret, struct err *e)
{
    const struct coe_services *svc = s->call->services;
    const char *verb = jsonx_str(args, "verb");
    const json_t *given = json_object_get(args, "args");
    _cleanup_json_ json_t *sent = NULL;
    int rc = 0;
    if (!svc->cert)
        return not_offered(e);
    if (str_eq(verb, "issue")) {
        rc = get_document(given, "request", &sent, e);
    } else if (str_eq(verb, "sign")) {
        json_t *profile = NULL;
        rc = get_document(given, "profile", &profile, e);
        if (rc == 0)
            sent = json_pack("{s:s?,s:O?,s:o}", "ca", jsonx_str(given, "ca"), "csr",
                             json_object_get(given, "csr"), "profile",
                             profile ? profile : json_object());
    } else if (str_eq(verb, "ca")) {
        sent = json_pack("{s:s?}", "ca", jsonx_str(given, "ca"));
    }
    if (rc == 0 && !json_is_object(sent))
        rc = err_set(e, ERR_INVALID, "not a certificate request");
    if (rc == 0)
        rc = svc->cert(svc->ctx, verb, sent, ret, e);
    const char *key = rc == 0 ? jsonx_str(*ret, "private_key") : NULL;
    if (key)
        child_log_hide(s->log, key, strlen(key));
    return rc;
}

static int do_secret(struct service_call *s, const json_t *args, json_t **ret, struct err *e)
{
    const struct coe_services *svc = s->call->services;
    const char *handle = jsonx_str(args, "handle");
    char *value = NULL;
    size_t len = 0;
    if (!svc->secret)
        return not_offered(e);
    if (str_blank(handle))
        return err_set(e, ERR_INVALID, "a secret is named by its handle");
    int rc = svc->secret(svc->ctx, handle, e, &value, &len);
    if (rc != 0)
        return rc;
    child_log_hide(s->log, value, len);
    *ret = wire_bytes(value, len);
    secret_wipe(value, len);
    free(value);
    return *ret ? 0 : err_nomem(e);
}

static const struct {
    const char *name;
    int (*fn)(struct service_call *s, const json_t *args, json_t **ret, struct err *e);
} services[] = {{"checkpoint", do_checkpoint}, {"output", do_output},
                {"cancelled", do_cancelled},   {"http", do_http},
                {"ledger", do_ledger},         {"cert", do_cert},
                {"secret", do_secret}};

json_t *services_answer(struct service_call *s, const json_t *body)
{
    static const struct coe_services none = {0};
    const char *name = jsonx_str(body, "service");
    const json_t *args = json_object_get(body, "args");
    for (size_t i = 0; name && i < ARRAY_LEN(services); i++) {
        if (strcmp(name, services[i].name) != 0)
            continue;
        if (!json_is_object(args))
            return NULL;
        if (s->fenced)
            return failure(ERR_FENCED, "another conductor owns the operation");
        struct coe_call call = *s->call;
        const struct coe_call *given = s->call;
        if (!call.services)
            call.services = &none;
        s->call = &call;
        struct err e = ERR_INIT;
        json_t *value = NULL;
        int rc = services[i].fn(s, args, &value, &e);
        s->call = given;
        s->fenced = rc == ERR_FENCED;
        if (rc == 0)
            return success(value);
        json_decref(value);
        return failure(rc, e.msg);
    }
    return NULL;
}
