/* See contract.h. */
#include "drivers/contract.h"

#include "base/jsonx.h"
#include "host/wire.h"
#include "magnum/lifecycle.h"

#include <string.h>

enum { DOC_DEPTH = 32 };

static void misbehaves(const struct verb *v, const struct child_log *log, struct coe_result *ret,
                       const char *what)
{
    log_warn("driver.misbehaving", "%s[%ld]: %s.%s %s", log->driver, log->pid, v ? v->iface : "",
             v ? v->name : "probe", what);
    json_decref(ret->value);
    ret->value = NULL;
    ret->rc = MAG_E_INTERNAL;
    ret->wait_ms = ret->percent = ret->retry_after_ms = 0;
    ret->err_flags = MAG_ERR_OPERATOR;
    snprintf(ret->reason, sizeof ret->reason, "DriverMisbehaved");
    snprintf(ret->err_message, sizeof ret->err_message, "The driver %s.", what);
    snprintf(ret->remedy, sizeof ret->remedy, "Report it to the driver's vendor.");
}

/* One text of the driver; false when it was not UTF-8. */
static bool get_text(const json_t *o, const char *key, const struct child_log *log, char *to,
                     size_t cap)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_string(v))
        return false;
    _cleanup_free_ char *copy = str_dup(json_string_value(v));
    if (!copy)
        return false;
    child_log_redact(log, copy);
    wire_text_copy(to, cap, copy);
    return true;
}

static bool known_positive(const struct verb *v, int32_t rc)
{
    return rc == MAG_AGAIN && (!v || v->shape == SHAPE_STEP);
}

static void read_failure(const struct verb *v, const json_t *body, const struct child_log *log,
                         struct coe_result *ret)
{
    const json_t *o = json_object_get(body, "error");
    ret->err_flags = (uint32_t)jsonx_int(o, "flags", 0);
    ret->retry_after_ms = (uint32_t)jsonx_int(o, "retry_after_ms", 0);
    if (!get_text(o, "reason", log, ret->reason, sizeof ret->reason) ||
        !get_text(o, "message", log, ret->err_message, sizeof ret->err_message) ||
        !get_text(o, "remedy", log, ret->remedy, sizeof ret->remedy)) {
        ret->reason[0] = ret->err_message[0] = ret->remedy[0] = '\0';
        misbehaves(v, log, ret, "wrote an error text that is not UTF-8");
    } else if (!ret->reason[0]) {
        misbehaves(v, log, ret, "failed without a reason");
    } else if (ret->rc < MAG_E_INTERNAL) {
        log_warn("driver.misbehaving", "%s[%ld]: unknown error code %d, taken as internal",
                 log->driver, log->pid, (int)ret->rc);
        ret->rc = MAG_E_INTERNAL; /* of a later minor, or a mistake: never retried */
        ret->err_flags &= ~MAG_ERR_RETRYABLE;
    }
}

static void read_step(const struct verb *v, const json_t *body, const struct child_log *log,
                      struct coe_result *ret)
{
    const json_t *o = json_object_get(body, "step");
    ret->wait_ms = (uint32_t)jsonx_int(o, "wait_ms", 0);
    int64_t percent = jsonx_int(o, "percent", 0);
    ret->percent = percent > 100 ? 100 : (uint32_t)percent; /* a lie that harms nobody: clipped */
    if (!get_text(o, "message", log, ret->message, sizeof ret->message)) {
        ret->message[0] = '\0';
        misbehaves(v, log, ret, "wrote a progress text that is not UTF-8");
    }
}

static void read_document(const struct verb *v, const json_t *body, const struct child_log *log,
                          struct coe_result *ret)
{
    _cleanup_free_ char *text = NULL;
    size_t len;
    struct err why = ERR_INIT;
    if (!wire_bytes_get(json_object_get(body, "doc"), &text, &len))
        misbehaves(v, log, ret, "returned bytes that can't be read");
    else if (len > 0 && jsonx_parse(text, len, DOC_DEPTH, &ret->value, &why) != 0)
        misbehaves(v, log, ret, "returned a document that is not JSON");
}

/* Named parts of a certificate bundle: all of them texts. */
static void read_parts(const struct verb *v, const json_t *body, const struct child_log *log,
                       struct coe_result *ret)
{
    const json_t *parts = json_object_get(body, "parts");
    const char *key;
    json_t *part;
    json_object_foreach((json_t *)parts, key, part)
    {
        if (!json_is_string(part)) {
            misbehaves(v, log, ret, "returned a certificate part that is not text");
            return;
        }
    }
    if (json_is_object(parts))
        ret->value = json_incref((json_t *)parts);
}

static bool is_cert(const struct verb *v)
{
    return v->shape == SHAPE_CERT_PUT || v->shape == SHAPE_CERT_GET || v->shape == SHAPE_CERT_SIGN;
}

int contract_result(const struct verb *v, const json_t *body, const struct child_log *log,
                    struct coe_result *ret, struct err *e)
{
    const json_t *rc = json_object_get(body, "rc");
    if (!json_is_integer(rc) || json_integer_value(rc) > INT32_MAX ||
        json_integer_value(rc) < INT32_MIN || !json_is_object(json_object_get(body, "step")))
        return err_set(e, ERR_PROTOCOL, "a result without code or step");
    ret->rc = (int32_t)json_integer_value(rc);
    if (ret->rc < 0)
        read_failure(v, body, log, ret);
    else if (ret->rc > 0 && !known_positive(v, ret->rc))
        misbehaves(v, log, ret, "returned a positive code that has no meaning there");
    else if (v && v->shape == SHAPE_STEP)
        read_step(v, body, log, ret);
    else if (v && is_cert(v))
        read_parts(v, body, log, ret);
    else if (v && json_object_get(body, "doc"))
        read_document(v, body, log, ret);
    return 0;
}
