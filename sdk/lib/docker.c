/* See docker.h. */
#include "lib/docker.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/http.h"

#include <stdio.h>
#include <string.h>

#define API_PREFIX "/v1.41"
enum { UPDATE_TRIES = 5 };

static int32_t code_of(uint32_t status)
{
    switch (status) {
    case 400:
        return MAG_E_INVALID;
    case 404:
        return MAG_E_NOT_FOUND;
    case 409:
        return MAG_E_BUSY;
    default:
        return MAG_E_UNAVAILABLE;
    }
}

static int32_t refused(const struct mag_docker *d, const char *method, const char *path,
                       const struct mag_http_answer *a, mag_error *err)
{
    _mag_json_ json_t *doc = NULL;
    (void)mag_json_parse(a->body, "answer", &doc, NULL);
    int32_t code = code_of(a->status);
    return mag_fail(err, code, code == MAG_E_INVALID ? 0 : MAG_ERR_RETRYABLE, "DockerRefused", NULL,
                    "%s: %s %.*s answered %u: %s", d->name, method, (int)strcspn(path, "?"), path,
                    a->status, mag_json_text(doc, "message", "no message"));
}

int32_t mag_docker_raw(const struct mag_docker *d, const char *method, const char *path,
                       const json_t *body, struct mag_http_answer *ret, mag_error *err)
{
    char full[512];
    if (snprintf(full, sizeof full, API_PREFIX "%s", path) >= (int)sizeof full)
        return mag_fail(err, MAG_E_INTERNAL, 0, "PathTooLong", NULL, "API path is too long");
    struct mag_http_call c = {.method = method,
                              .service = d->service,
                              .path = full,
                              .json = body,
                              .timeout_ms = d->timeout_ms};
    int32_t rc = mag_http_do(d->host, d->op, &c, ret, err);
    return rc == MAG_OK ? MAG_OK : mag_fail_wrap(err, rc, "%s", d->name);
}

int32_t mag_docker_call(const struct mag_docker *d, const char *method, const char *path,
                        const json_t *body, json_t **ret, uint32_t *status, mag_error *err)
{
    struct mag_http_answer a = {0};
    if (ret)
        *ret = NULL;
    if (status)
        *status = 0;
    int32_t rc = mag_docker_raw(d, method, path, body, &a, err);
    if (rc != MAG_OK)
        return rc;
    if (status)
        *status = a.status;
    if ((a.status < 200 || a.status >= 300) && a.status != 304)
        return refused(d, method, path, &a, err);
    return ret ? mag_json_parse(a.body, path, ret, err) : MAG_OK;
}

int32_t mag_docker_ping(const struct mag_docker *d, mag_error *err)
{
    struct mag_http_call c = {
        .method = "GET", .service = d->service, .path = "/_ping", .timeout_ms = d->timeout_ms};
    struct mag_http_answer a = {0};
    int32_t rc = mag_http_do(d->host, d->op, &c, &a, err);
    if (rc != MAG_OK)
        return rc;
    return a.status == 200 ? MAG_OK : refused(d, "GET", "/_ping", &a, err);
}

/* The daemon says a stale version only in the text of a 500. */
static bool is_stale(uint32_t status, const mag_error *err)
{
    return status == 500 && strstr(err->message, "update out of sequence") != NULL;
}

static int32_t update_once(const struct mag_docker *d, const char *get_path,
                           const char *update_path, mag_docker_change_fn change, void *ctx,
                           bool *ret_stale, mag_error *err)
{
    _mag_json_ json_t *object = NULL, *spec = NULL;
    int32_t rc = mag_docker_call(d, "GET", get_path, NULL, &object, NULL, err);
    if (rc != MAG_OK)
        return rc;
    spec = json_deep_copy(mag_json_at(object, "Spec"));
    int64_t version = mag_json_int(object, "Version.Index", -1);
    if (!spec || version < 0)
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "BadAnswer", NULL,
                        "%s: %s has no Spec or no Version", d->name, get_path);
    rc = change(ctx, object, spec, err);
    if (rc <= 0)
        return rc;
    char path[512];
    if (snprintf(path, sizeof path, "%sversion=%lld", update_path, (long long)version) >=
        (int)sizeof path)
        return mag_fail(err, MAG_E_INTERNAL, 0, "PathTooLong", NULL, "API path is too long");
    uint32_t status;
    rc = mag_docker_call(d, "POST", path, spec, NULL, &status, err);
    *ret_stale = rc != MAG_OK && is_stale(status, err);
    return rc;
}

int32_t mag_docker_update(const struct mag_docker *d, const char *get_path, const char *update_path,
                          mag_docker_change_fn change, void *ctx, mag_error *err)
{
    int32_t rc = MAG_OK;
    bool stale = true;
    for (int i = 0; i < UPDATE_TRIES && stale; i++) {
        stale = false;
        rc = update_once(d, get_path, update_path, change, ctx, &stale, err);
    }
    return rc;
}
