/* See services.h. */
#include "lib/services.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct mag_services mag_services_of(const mag_host *host)
{
    struct mag_services s = {.host = host};
    if (!MAG_HAS(mag_host, host, get_service) || !host->get_service)
        return s;
    s.ledger = host->get_service(host->ctx, MAG_HOST_LEDGER);
    s.cert = host->get_service(host->ctx, MAG_HOST_CERT);
    return s;
}

static int32_t missing(mag_error *err, const char *what)
{
    return mag_fail(err, MAG_E_UNSUPPORTED, MAG_ERR_OPERATOR, "HostServiceMissing",
                    "run a newer Magnum", "This host does not offer %s", what);
}

#define LEDGER_HAS(s, member)                                                                      \
    ((s)->ledger && MAG_HAS(mag_host_ledger, (s)->ledger, member) && (s)->ledger->member)

int32_t mag_ledger_declare(const struct mag_services *s, const mag_op *op, const char *kind,
                           const char *name, const json_t *data, mag_error *err)
{
    if (!LEDGER_HAS(s, declare))
        return missing(err, MAG_HOST_LEDGER);
    _mag_free_ char *text = data ? mag_json_dump(data) : NULL;
    if (data && !text)
        return mag_fail_nomem(err);
    return s->ledger->declare(s->host->ctx, op, kind, name, mag_text(text), err);
}

int32_t mag_ledger_confirm(const struct mag_services *s, const mag_op *op, const char *kind,
                           const char *name, const char *external_id, mag_error *err)
{
    if (!LEDGER_HAS(s, confirm))
        return missing(err, MAG_HOST_LEDGER);
    return s->ledger->confirm(s->host->ctx, op, kind, name, external_id, err);
}

int32_t mag_ledger_drop(const struct mag_services *s, const mag_op *op, const char *kind,
                        const char *name, mag_error *err)
{
    if (!LEDGER_HAS(s, drop))
        return missing(err, MAG_HOST_LEDGER);
    return s->ledger->drop(s->host->ctx, op, kind, name, err);
}

int32_t mag_ledger_list(const struct mag_services *s, const mag_op *op, const char *kind,
                        json_t **ret, mag_error *err)
{
    *ret = NULL;
    if (!LEDGER_HAS(s, list))
        return missing(err, MAG_HOST_LEDGER);
    mag_bytes doc = {0};
    int32_t rc = s->ledger->list(s->host->ctx, op, kind, &doc, err);
    if (rc == MAG_OK)
        rc = mag_json_parse(doc, "ledger", ret, err);
    if (rc == MAG_OK && !*ret)
        *ret = json_array();
    return rc;
}

int32_t mag_cert_issue(const struct mag_services *s, const mag_op *op, const json_t *request,
                       json_t **ret, mag_error *err)
{
    *ret = NULL;
    if (!s->cert || !MAG_HAS(mag_host_cert, s->cert, issue) || !s->cert->issue)
        return missing(err, MAG_HOST_CERT);
    _mag_free_ char *text = mag_json_dump(request);
    if (!text)
        return mag_fail_nomem(err);
    mag_bytes doc = {0};
    int32_t rc = s->cert->issue(s->host->ctx, op, mag_text(text), &doc, err);
    if (rc == MAG_OK)
        rc = mag_json_parse(doc, "certificate", ret, err);
    if (rc == MAG_OK &&
        (!mag_json_text(*ret, "certificate", NULL) || !mag_json_text(*ret, "private_key", NULL) ||
         !mag_json_text(*ret, "ca", NULL))) {
        mag_wipe_json(ret);
        rc = mag_fail(err, MAG_E_INTERNAL, 0, "BadAnswer", NULL,
                      "The host issued a certificate without all its parts");
    }
    return rc;
}

void mag_wipe_json(json_t **j)
{
    const char *key;
    json_t *v;
    json_object_foreach(*j, key, v)
    {
        if (json_is_string(v)) /* jansson's own copy, which is about to be freed */
            explicit_bzero((char *)(uintptr_t)json_string_value(v), json_string_length(v));
    }
    json_decref(*j);
    *j = NULL;
}

int32_t mag_checkpoint(const mag_host *host, const mag_op *op, const json_t *state, mag_error *err)
{
    _mag_free_ char *text = mag_json_dump(state);
    if (!text)
        return mag_fail_nomem(err);
    return host->checkpoint(host->ctx, op, mag_text(text), err);
}

int32_t mag_output_new(const mag_host *host, const mag_op *op, const char *key, json_t *value,
                       mag_error *err)
{
    _mag_free_ char *text = value ? mag_json_dump(value) : NULL;
    json_decref(value);
    if (!text)
        return mag_fail_nomem(err);
    return host->output(host->ctx, op, key, mag_text(text), err);
}

int32_t mag_output_health(const mag_host *host, const mag_op *op, const char *status,
                          const json_t *reasons, mag_error *err)
{
    int32_t rc = mag_output_new(host, op, "health_status", json_string(status), err);
    return rc == MAG_OK ? mag_output_new(host, op, "health_status_reason",
                                         json_incref((json_t *)(uintptr_t)reasons), err)
                        : rc;
}

int32_t mag_again(mag_step *out, uint32_t wait_ms, uint32_t percent, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (out) {
        out->wait_ms = wait_ms;
        out->percent = percent > 99 ? 99 : percent;
        mag_line(out->message, sizeof out->message, text);
    }
    return MAG_AGAIN;
}

void mag_log(const mag_host *host, uint32_t level, const char *fmt, ...)
{
    char text[1024], line[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    mag_line(line, sizeof line, text);
    if (host->log)
        host->log(host->ctx, level, line);
}

static int64_t read_ms(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t mag_now_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

int64_t mag_unix_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

const char *mag_config(const mag_host *host, const char *key, const char *def)
{
    const char *v = host->config ? host->config(host->ctx, key) : NULL;
    return v && *v ? v : def;
}
