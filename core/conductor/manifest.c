/* Manifests: a text in JSON or YAML, given or fetched. What is fetched is chosen by a tenant, so
 * the conductor asks only addresses that a tenant could ask itself: the check sees the very address
 * that is connected to, behind every name and redirect. Neighbours: workload.c, http/client. */
#include "base/jsonx.h"
#include "base/parse.h"
#include "conductor/workload_internal.h"
#include "config/yaml.h"
#include "http/address.h"

#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum { DEPTH_MAX = 32 };

static bool may_connect(void *ctx, const struct sockaddr *to)
{
    const struct conductor *c = ctx;
    return http_address_allowed(&c->cfg->workload_manifest_networks, to);
}

/* ---- fetching ---- */

static int too_large(const struct conductor *c, struct err *e)
{
    return err_set(e, ERR_INVALID, "Manifest exceeds maximum allowed size (%lld bytes)",
                   (long long)c->cfg->workload_max_manifest_size);
}

static int check_scheme(const struct conductor *c, const char *url, struct err *e)
{
    size_t n = strcspn(url, ":");
    for (size_t i = 0; i < c->cfg->workload_manifest_schemes.n; i++) {
        const char *allowed = c->cfg->workload_manifest_schemes.v[i];
        if (strlen(allowed) == n && strncasecmp(allowed, url, n) == 0)
            return 0;
    }
    return err_set(e, ERR_INVALID, "Invalid URL scheme %.*s", (int)(n < 40 ? n : 40), url);
}

static int fetch(struct conductor *c, const char *url, struct http_answer *ret, struct err *e)
{
    static const char *const headers[] = {"Accept: application/json, application/yaml, */*", NULL};
    struct err why = ERR_INIT;
    const struct http_call call = {
        .method = "GET",
        .url = url,
        .headers = headers,
        .timeout_ms = c->cfg->workload_manifest_timeout_ms,
        .max_body = (size_t)c->cfg->workload_max_manifest_size,
        .max_redirects = (int)c->cfg->workload_manifest_redirects,
        .may_connect = may_connect,
        .may_connect_ctx = c,
    };
    int rc = check_scheme(c, url, e);
    if (rc)
        return rc;
    rc = http_client_do(c->http, &call, ret, &why);
    if (rc == ERR_TOO_LARGE)
        return too_large(c, e);
    if (rc)
        return err_set(e, rc == ERR_NOMEM ? rc : ERR_INVALID, "Failed to retrieve manifest: %s",
                       why.msg);
    if (ret->status == 200)
        return 0;
    int status = ret->status;
    http_answer_done(ret);
    return err_set(e, ERR_INVALID, "Failed to retrieve manifest: the server answered HTTP %d",
                   status);
}

/* ---- reading ---- */

static int parse(const char *text, size_t len, json_t **ret, struct err *e)
{
    _cleanup_json_ json_t *doc = NULL;
    struct err why = ERR_INIT;
    size_t blank = strspn(text, " \t\r\n");
    if (blank == len)
        return err_set(e, ERR_INVALID, "'manifest' can't be empty");
    int rc = text[blank] == '{' ? jsonx_parse(text, len, DEPTH_MAX, &doc, &why)
                                : yaml_load("manifest", text, len, &doc, &why);
    if (rc == ERR_NOMEM)
        return err_nomem(e);
    if (rc)
        return err_set(e, ERR_INVALID, "Error parsing manifest: %s", why.msg);
    if (!json_is_object(doc))
        return err_set(
            e, ERR_INVALID,
            "Error parsing manifest: The manifest is not a JSON object or YAML mapping.");
    *ret = TAKE_PTR(doc);
    return 0;
}

int manifest_read(struct conductor *c, const json_t *params, json_t **ret, struct err *e)
{
    const char *text = jsonx_str(params, "manifest"), *url = jsonx_str(params, "manifest_url");
    struct http_answer answer = {0};
    if (str_blank(text) && str_blank(url))
        return err_set(e, ERR_INVALID, "'manifest' can't be empty");
    if (!str_blank(text))
        return strlen(text) > (size_t)c->cfg->workload_max_manifest_size
                   ? too_large(c, e)
                   : parse(text, strlen(text), ret, e);
    int rc = fetch(c, url, &answer, e);
    if (rc == 0) /* strspn must not run past a NUL the server sent */
        rc = strlen(answer.body) == answer.len
                 ? parse(answer.body, answer.len, ret, e)
                 : err_set(e, ERR_INVALID, "Error parsing manifest: it is no text");
    http_answer_done(&answer);
    return rc;
}
