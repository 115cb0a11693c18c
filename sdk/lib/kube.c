/* See kube.h. */
#include "lib/kube.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/http.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { PAGE = 100, LIST_TRIES = 3, PATH_MAX_LEN = 8000 };

static int32_t code_of(uint32_t status, const char *reason)
{
    switch (status) {
    case 400:
    case 405:
    case 415:
    case 422:
        return MAG_E_INVALID;
    case 401:
        return MAG_E_AUTH;
    case 403:
        return MAG_E_DENIED;
    case 404:
    case 410:
        return MAG_E_NOT_FOUND;
    case 409:
        return strcmp(reason, "AlreadyExists") == 0 ? MAG_E_EXISTS : MAG_E_BUSY;
    case 429:
        return MAG_E_BUSY;
    case 504:
        return MAG_E_TIMEOUT;
    default:
        return MAG_E_UNAVAILABLE;
    }
}

/* "retry-after: 10" among lower-case header lines; 0 when there is none. */
static uint32_t retry_after_ms(const char *headers)
{
    static const char name[] = "retry-after:";
    for (const char *p = headers; p && *p; p += strcspn(p, "\n")) {
        p += *p == '\n';
        if (strncasecmp(p, name, sizeof name - 1) != 0)
            continue;
        unsigned long s = strtoul(p + sizeof name - 1, NULL, 10);
        return s > 3600 ? 3600000 : (uint32_t)s * 1000;
    }
    return 0;
}

static int32_t refused(const char *method, const char *path, const struct mag_http_answer *a,
                       mag_error *err)
{
    _mag_json_ json_t *doc = NULL;
    char line[300];
    (void)mag_json_parse(a->body, "answer", &doc, NULL);
    const char *reason = mag_json_text(doc, "reason", ""), *message;
    (void)snprintf(line, sizeof line, "%.*s", (int)(a->body.len < 250 ? a->body.len : 250),
                   a->body.data ? (const char *)a->body.data : "");
    message = mag_json_text(doc, "message", doc ? "no message" : line);
    int32_t code = code_of(a->status, reason);
    bool again = code == MAG_E_BUSY || code == MAG_E_UNAVAILABLE || code == MAG_E_TIMEOUT;
    (void)mag_fail(err, code, again ? MAG_ERR_RETRYABLE : 0, *reason ? reason : "KubernetesRefused",
                   NULL, "%s %.*s answered %u: %s", method, (int)strcspn(path, "?"), path,
                   a->status, message);
    if (err)
        err->retry_after_ms = retry_after_ms(a->headers);
    return code;
}

int32_t mag_kube_call(const struct mag_kube *k, const char *method, const char *path,
                      const char *type, const json_t *body, json_t **ret, uint32_t *status,
                      mag_error *err)
{
    if (ret)
        *ret = NULL;
    if (status)
        *status = 0;
    char headers[160] = "Accept: application/json\n";
    _mag_free_ char *text = body ? mag_json_dump(body) : NULL;
    if (body && !text)
        return mag_fail_nomem(err);
    if (body)
        (void)snprintf(headers, sizeof headers, "Accept: application/json\nContent-Type: %s\n",
                       type ? type : "application/json");
    struct mag_http_call c = {.method = method,
                              .service = k->service,
                              .path = path,
                              .headers = headers,
                              .raw = mag_text(text),
                              .timeout_ms = k->timeout_ms};
    struct mag_http_answer a = {0};
    int32_t rc = mag_http_do(k->host, k->op, &c, &a, err);
    if (rc != MAG_OK)
        return rc;
    if (status)
        *status = a.status;
    if (a.status < 200 || a.status >= 300)
        return refused(method, path, &a, err);
    if (ret)
        (void)mag_json_parse(a.body, path, ret, NULL);
    return MAG_OK;
}

/* What one reading of a list works with. */
struct reading {
    const struct mag_kube *k;
    const char *path;
    mag_kube_item_fn fn;
    void *ctx;
    char *token;       /* of the next page; owned */
    bool enough, more; /* more: something is left that was not read */
    uint32_t status;   /* of the last answer */
};

static int32_t page_path(const struct reading *r, char **ret, mag_error *err)
{
    _mag_free_ char *quoted = NULL;
    const char *glue = strchr(r->path, '?') ? "&" : "?";
    if (r->token) {
        quoted = malloc(PATH_MAX_LEN);
        if (!quoted)
            return mag_fail_nomem(err);
        if (!mag_http_quote(quoted, PATH_MAX_LEN, r->token))
            return mag_fail(err, MAG_E_UNAVAILABLE, 0, "BadAnswer", NULL,
                            "GET %s: the token of the next page is too long", r->path);
    }
    return asprintf(ret, "%s%slimit=%d%s%s", r->path, glue, PAGE, quoted ? "&continue=" : "",
                    quoted ? quoted : "") < 0
               ? mag_fail_nomem(err)
               : MAG_OK;
}

static int32_t one_page(struct reading *r, mag_error *err)
{
    _mag_free_ char *full = NULL;
    _mag_json_ json_t *doc = NULL;
    size_t i;
    json_t *item;
    int32_t rc = page_path(r, &full, err);
    if (rc == MAG_OK)
        rc = mag_kube_call(r->k, "GET", full, NULL, NULL, &doc, &r->status, err);
    if (rc != MAG_OK)
        return rc;
    const char *next = mag_json_text(doc, "metadata.continue", "");
    const json_t *items = mag_json_at(doc, "items");
    if (!json_is_array(items))
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "BadAnswer", NULL,
                        "GET %s: the answer is no list", r->path);
    json_array_foreach(items, i, item)
    {
        rc = r->fn(r->ctx, item, err);
        r->enough = rc == MAG_AGAIN;
        r->more = r->enough && (i + 1 < json_array_size(items) || *next);
        if (rc != MAG_OK)
            return r->enough ? MAG_OK : rc;
    }
    free(r->token);
    r->token = *next ? strdup(next) : NULL;
    return *next && !r->token ? mag_fail_nomem(err) : MAG_OK;
}

static int32_t each(const struct mag_kube *k, const char *path, mag_kube_item_fn fn, void *ctx,
                    bool *ret_more, mag_error *err)
{
    int32_t rc = MAG_OK;
    for (int tries = 0; tries < LIST_TRIES; tries++) {
        struct reading r = {.k = k, .path = path, .fn = fn, .ctx = ctx};
        rc = fn(ctx, NULL, err);
        do {
            rc = rc == MAG_OK ? one_page(&r, err) : rc;
        } while (rc == MAG_OK && r.token && !r.enough);
        free(r.token);
        *ret_more = r.more;
        if (rc == MAG_OK || r.status != 410)
            return rc;
    }
    return rc;
}

int32_t mag_kube_each(const struct mag_kube *k, const char *path, mag_kube_item_fn fn, void *ctx,
                      mag_error *err)
{
    bool ignored = false;
    return each(k, path, fn, ctx, &ignored, err);
}

struct collection {
    json_t *all;
    size_t max;
};

static int32_t collect(void *ctx, const json_t *item, mag_error *err)
{
    struct collection *c = ctx;
    if (!item) {
        json_decref(c->all);
        c->all = json_array();
        return c->all ? MAG_OK : mag_fail_nomem(err);
    }
    if (json_array_append(c->all, (json_t *)(uintptr_t)item) < 0)
        return mag_fail_nomem(err);
    return c->max && json_array_size(c->all) >= c->max ? MAG_AGAIN : MAG_OK;
}

int32_t mag_kube_list(const struct mag_kube *k, const char *path, size_t max, json_t **ret,
                      bool *ret_more, mag_error *err)
{
    struct collection c = {.max = max};
    bool more = false;
    int32_t rc = each(k, path, collect, &c, &more, err);
    *ret = rc == MAG_OK ? MAG_TAKE(c.all) : NULL;
    if (ret_more)
        *ret_more = rc == MAG_OK && more;
    json_decref(c.all);
    return rc;
}

/* "[-]etcd failed: reason withheld" among lines that begin with [+]: the names of those that fail.
 */
static void failed_checks(const struct mag_http_answer *a, char *why, size_t cap)
{
    size_t used = 0;
    const char *p = a->body.data, *end = p ? p + a->body.len : NULL;
    why[0] = '\0';
    while (p && p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        const char *stop = nl ? nl : end;
        if (stop - p > 3 && memcmp(p, "[-]", 3) == 0 && used < cap) {
            size_t n = 0;
            while (p + 3 + n < stop && p[3 + n] != ' ')
                n++;
            int m = snprintf(why + used, cap - used, "%s%.*s", used ? ", " : "", (int)n, p + 3);
            used += m > 0 ? (size_t)m : 0;
        }
        p = stop + 1;
    }
    if (!why[0])
        (void)snprintf(why, cap, "answered %u", a->status);
}

int32_t mag_kube_ready(const struct mag_kube *k, char *why, size_t cap, mag_error *err)
{
    struct mag_http_call c = {
        .method = "GET", .service = k->service, .path = "/readyz", .timeout_ms = k->timeout_ms};
    struct mag_http_answer a = {0};
    why[0] = '\0';
    int32_t rc = mag_http_do(k->host, k->op, &c, &a, err);
    if (rc != MAG_OK)
        return rc;
    if (a.status == 200 && a.body.len == 2 && memcmp(a.body.data, "ok", 2) == 0)
        return MAG_OK;
    if (a.status == 401 || a.status == 403)
        return refused("GET", "/readyz", &a, err);
    failed_checks(&a, why, cap);
    return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "ApiNotReady", NULL,
                    "The Kubernetes API is not ready: %s", why);
}

bool mag_kube_parse_version(const char *text, unsigned ret[3])
{
    ret[0] = ret[1] = ret[2] = 0;
    const char *p = text + (*text == 'v');
    for (int i = 0; i < 3; i++) {
        char *end;
        if (!isdigit((unsigned char)*p))
            return false;
        unsigned long v = strtoul(p, &end, 10);
        if (v > 9999)
            return false;
        ret[i] = (unsigned)v;
        p = end;
        if (*p != '.')
            return i >= 1 && strchr("+-~", *p) != NULL; /* also the end of the text */
        p++;
    }
    return false;
}

int32_t mag_kube_version(const struct mag_kube *k, char ret[24], mag_error *err)
{
    _mag_json_ json_t *doc = NULL;
    unsigned v[3];
    int32_t rc = mag_kube_call(k, "GET", "/version", NULL, NULL, &doc, NULL, err);
    if (rc != MAG_OK)
        return rc;
    const char *text = mag_json_text(doc, "gitVersion", "");
    if (!mag_kube_parse_version(text, v))
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "BadAnswer", NULL,
                        "The Kubernetes API does not say its version ('%.40s')", text);
    (void)snprintf(ret, 24, "%u.%u.%u", v[0], v[1], v[2]);
    return MAG_OK;
}

bool mag_kube_quantity(const char *text, double *ret)
{
    static const struct {
        const char *suffix;
        double factor;
    } units[] = {{"", 1},
                 {"m", 1e-3},
                 {"k", 1e3},
                 {"M", 1e6},
                 {"G", 1e9},
                 {"T", 1e12},
                 {"P", 1e15},
                 {"E", 1e18},
                 {"Ki", 1024.0},
                 {"Mi", 1048576.0},
                 {"u", 1e-6},
                 {"n", 1e-9},
                 {"Gi", 1073741824.0},
                 {"Ti", 1099511627776.0},
                 {"Pi", 1125899906842624.0},
                 {"Ei", 1152921504606846976.0}};
    char *end;
    if (!text || !isdigit((unsigned char)text[text[0] == '-' || text[0] == '+']))
        return false;
    double v = strtod(text, &end);
    for (size_t i = 0; i < MAG_LEN(units); i++) {
        if (strcmp(end, units[i].suffix) != 0)
            continue;
        *ret = v * units[i].factor;
        return true;
    }
    return false;
}
