/* See barbican.h. */
#include "barbican.h"

#include "lib/http.h"
#include "lib/names.h"

#include <stdio.h>
#include <string.h>

enum { PATH_MAX_LEN = 1024, RETRY_MS = 5000, PAGE = 100 };

/* ---- answers ---- */
static const char *words_of(const struct mag_http_answer *a, json_t **doc)
{
    mag_error ignored = {.struct_size = sizeof ignored};
    if (mag_json_parse(a->body, "the answer", doc, &ignored) != MAG_OK)
        return "no reason given";
    return mag_json_text(*doc, "description", mag_json_text(*doc, "title", "no reason given"));
}

static int32_t refused(const struct mag_http_answer *a, const char *what, mag_error *err)
{
    static const struct {
        uint32_t status;
        int32_t code;
        const char *reason;
    } map[] = {{400, MAG_E_INVALID, "BarbicanRefused"},  {401, MAG_E_AUTH, "BarbicanToken"},
               {403, MAG_E_DENIED, "BarbicanForbidden"}, {404, MAG_E_NOT_FOUND, "NotFound"},
               {409, MAG_E_BUSY, "BarbicanConflict"},    {413, MAG_E_INVALID, "BarbicanTooLarge"}};
    _mag_json_ json_t *doc = NULL;
    const char *words = words_of(a, &doc);
    for (size_t i = 0; i < MAG_LEN(map); i++)
        if (map[i].status == a->status)
            return mag_fail(
                err, map[i].code, MAG_ERR_OPERATOR, map[i].reason,
                a->status == 403
                    ? "give the role that Barbican asks for (creator), or raise the quota"
                    : NULL,
                "Barbican refuses to %s: %s", what, words);
    mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE | MAG_ERR_OPERATOR, "BarbicanUnavailable",
             "check that Barbican works", "Barbican answers %u to %s: %s", a->status, what, words);
    err->retry_after_ms = a->status == 429 ? RETRY_MS : 0;
    return MAG_E_UNAVAILABLE;
}

static int32_t exchange(const struct barbican *b, const struct mag_http_call *c, const char *what,
                        struct mag_http_answer *ret, mag_error *err)
{
    int32_t rc = mag_http_do(b->host, b->op, c, ret, err);
    if (rc != MAG_OK)
        return mag_fail_wrap(err, rc, "Barbican");
    return ret->status / 100 == 2 ? MAG_OK : refused(ret, what, err);
}

static int32_t get_json(const struct barbican *b, const char *path, const char *what, json_t **ret,
                        mag_error *err)
{
    struct mag_http_answer a;
    const struct mag_http_call c = {.method = "GET",
                                    .service = "key-manager",
                                    .path = path,
                                    .headers = "Accept: application/json\n"};
    int32_t rc = exchange(b, &c, what, &a, err);
    if (rc == MAG_OK)
        rc = mag_json_parse(a.body, "Barbican's answer", ret, err);
    if (rc == MAG_OK && !json_is_object(*ret))
        rc = mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "BadAnswer", NULL,
                      "Barbican answers nonsense to %s", what);
    return rc;
}

/* ---- ids ---- */
bool barbican_id(const char *url, const char *kind, char ret[ID_LEN])
{
    char mark[32];
    int n = snprintf(mark, sizeof mark, "/%s/", kind);
    const char *at = url ? strstr(url, mark) : NULL;
    if (!at || strlen(at + n) < ID_LEN - 1)
        return false;
    memcpy(ret, at + n, ID_LEN - 1);
    ret[ID_LEN - 1] = '\0';
    return mag_is_uuid(ret) && strspn(at + n + ID_LEN - 1, "/") == strlen(at + n + ID_LEN - 1);
}

static int32_t object_path(const char *kind, const char *url, const char *tail,
                           char ret[PATH_MAX_LEN], mag_error *err)
{
    char id[ID_LEN];
    if (!barbican_id(url, kind, id))
        return mag_fail(err, MAG_E_INVALID, 0, "BadReference", NULL,
                        "this is no reference of Barbican's %s", kind);
    (void)snprintf(ret, PATH_MAX_LEN, "/v1/%s/%s%s", kind, id, tail);
    return MAG_OK;
}

/* ---- the calls ---- */
static int older_first(const void *a, const void *b)
{
    json_t *const *x = a, *const *y = b;
    return strcmp(mag_json_text(*x, "created", ""), mag_json_text(*y, "created", ""));
}

/* Those that really have the name: a server may match otherwise. */
static int32_t take_named(const json_t *found, const char *name, json_t **ret, mag_error *err)
{
    size_t n = 0, i, cap = json_array_size(found);
    json_t *v;
    _mag_json_ json_t *list = json_array();
    _mag_free_ json_t **sorted = calloc(cap + 1, sizeof *sorted);
    if (!list || !sorted)
        return mag_fail_nomem(err);
    json_array_foreach(found, i, v)
    {
        if (strcmp(mag_json_text(v, "name", ""), name) == 0)
            sorted[n++] = v;
    }
    qsort(sorted, n, sizeof *sorted, older_first);
    for (i = 0; i < n; i++)
        if (json_array_append(list, sorted[i]) < 0)
            return mag_fail_nomem(err);
    *ret = MAG_TAKE(list);
    return MAG_OK;
}

int32_t barbican_find(const struct barbican *b, const char *kind, const char *name, json_t **ret,
                      mag_error *err)
{
    char path[PATH_MAX_LEN], quoted[PATH_MAX_LEN / 2];
    _mag_json_ json_t *doc = NULL;
    if (!mag_http_quote(quoted, sizeof quoted, name))
        return mag_fail(err, MAG_E_INVALID, 0, "BadKey", NULL, "the name is too long");
    (void)snprintf(path, sizeof path, "/v1/%s?name=%s&limit=%d", kind, quoted, PAGE);
    int32_t rc = get_json(b, path, "look a certificate up", &doc, err);
    return rc == MAG_OK ? take_named(mag_json_at(doc, kind), name, ret, err) : rc;
}

int32_t barbican_container(const struct barbican *b, const char *id, json_t **ret, mag_error *err)
{
    char path[PATH_MAX_LEN];
    (void)snprintf(path, sizeof path, "/v1/containers/%s", id);
    return get_json(b, path, "show a certificate container", ret, err);
}

int32_t barbican_payload(const struct barbican *b, const char *secret_url, mag_bytes *ret,
                         mag_error *err)
{
    char path[PATH_MAX_LEN];
    struct mag_http_answer a;
    int32_t rc = object_path("secrets", secret_url, "/payload", path, err);
    const struct mag_http_call c = {
        .method = "GET", .service = "key-manager", .path = path, .headers = "Accept: text/plain\n"};
    if (rc == MAG_OK)
        rc = exchange(b, &c, "show a secret", &a, err);
    if (rc == MAG_OK)
        *ret = a.body;
    return rc;
}

int32_t barbican_make(const struct barbican *b, const char *kind, const json_t *body,
                      char **ret_url, mag_error *err)
{
    char path[64], id[ID_LEN];
    struct mag_http_answer a;
    bool secret = strcmp(kind, "secrets") == 0;
    _mag_json_ json_t *doc = NULL;
    (void)snprintf(path, sizeof path, "/v1/%s", kind);
    const struct mag_http_call c = {
        .method = "POST", .service = "key-manager", .path = path, .json = body};
    int32_t rc =
        exchange(b, &c, secret ? "store a secret" : "store a certificate container", &a, err);
    if (rc == MAG_OK)
        rc = mag_json_parse(a.body, "Barbican's answer", &doc, err);
    if (rc != MAG_OK)
        return rc;
    const char *url = mag_json_text(doc, secret ? "secret_ref" : "container_ref", NULL);
    if (!barbican_id(url, kind, id))
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "BadAnswer", NULL,
                        "Barbican does not say where it stored what it was given");
    *ret_url = strdup(url);
    return *ret_url ? MAG_OK : mag_fail_nomem(err);
}

int32_t barbican_delete(const struct barbican *b, const char *kind, const char *url, mag_error *err)
{
    char path[PATH_MAX_LEN];
    struct mag_http_answer a;
    int32_t rc = object_path(kind, url, "", path, err);
    const struct mag_http_call c = {.method = "DELETE", .service = "key-manager", .path = path};
    if (rc == MAG_OK)
        rc = exchange(b, &c, "delete a secret", &a, err);
    return rc == MAG_E_NOT_FOUND ? MAG_OK : rc;
}
