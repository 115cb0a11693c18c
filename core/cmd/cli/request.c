/* One REST call and its failures in one line for people. See cli.h. */
#include "cmd/cli/cli.h"

#include "base/jsonx.h"

#include <ctype.h>
#include <string.h>

enum { TIMEOUT_MS = 600000, ANSWER_MAX = 64 << 20, DEPTH_MAX = 64 };

enum cli_exit cli_fail(enum cli_exit code, const struct err *e)
{
    fprintf(stderr, "magnum: %s\n", e->msg[0] ? e->msg : "failed");
    return code;
}

char *cli_escape(const char *segment)
{
    struct str t = STR_INIT;
    for (const char *p = segment; *p; p++)
        if (isalnum((unsigned char)*p) || strchr("-._~", *p))
            str_append_c(&t, *p);
        else
            str_printf(&t, "%%%02X", (unsigned char)*p);
    return str_take(&t);
}

/* The service's own words: errors[0].detail or title, error.message, else the status. */
static void explain(const json_t *doc, int status, const char *url, struct err *e)
{
    const json_t *error = json_array_get(json_object_get(doc, "errors"), 0);
    const char *text = jsonx_str(error, "detail");
    if (str_blank(text))
        text = jsonx_str(error, "title");
    if (str_blank(text))
        text = jsonx_str(error, "description");
    if (str_blank(text))
        text = jsonx_str(json_object_get(doc, "error"), "message");
    if (str_blank(text))
        text = jsonx_str(doc, "message");
    if (str_blank(text))
        err_set(e, ERR_PROTOCOL, "%s answered HTTP %d", url, status);
    else
        err_set(e, ERR_PROTOCOL, "%s (HTTP %d)", text, status);
}

static enum cli_exit exit_of(int status)
{
    return status == 404 ? CLI_NOT_FOUND : status == 503 ? CLI_UNREACHABLE : CLI_FAILED;
}

static enum cli_exit exchange(struct cli *c, const char *method, const char *path,
                              const json_t *body, json_t **ret, struct err *e)
{
    _cleanup_free_ char *url = str_fmt("%s%s", c->endpoint, path);
    _cleanup_free_ char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    const char *headers[16] = {"Accept: application/json",
                               "OpenStack-API-Version: container-infra latest",
                               "User-Agent: magnum/" MAGNUM_VERSION};
    size_t n = 3;
    if (body)
        headers[n++] = "Content-Type: application/json";
    for (size_t i = 0; i < c->headers.n && n + 1 < ARRAY_LEN(headers); i++)
        headers[n++] = c->headers.v[i];
    if (!url || (body && !text)) {
        err_nomem(e);
        return CLI_FAILED;
    }
    struct http_call call = {
        .method = method,
        .url = url,
        .headers = headers,
        .body = text,
        .body_len = text ? strlen(text) : 0,
        .timeout_ms = TIMEOUT_MS,
        .max_body = ANSWER_MAX,
        .ca_pem = c->ca_pem,
        .insecure = c->insecure,
    };
    struct http_answer answer = {0};
    if (c->debug)
        fprintf(stderr, "> %s %s %s\n", method, url, text ? text : "");
    int rc = http_client_do(c->http, &call, &answer, e);
    if (rc != 0) {
        err_wrap(e, "cannot reach the service at %s", c->endpoint);
        return CLI_UNREACHABLE;
    }
    if (c->debug)
        fprintf(stderr, "< %d %s\n", answer.status, answer.body ? answer.body : "");
    _cleanup_json_ json_t *doc = NULL;
    struct err bad = ERR_INIT;
    if (answer.len)
        rc = jsonx_parse(answer.body, answer.len, DEPTH_MAX, &doc, &bad);
    enum cli_exit code = CLI_OK;
    if (answer.status >= 400) {
        explain(doc, answer.status, url, e);
        code = exit_of(answer.status);
    } else if (rc != 0) {
        err_set(e, ERR_PROTOCOL, "%s did not answer with JSON: is this Magnum's endpoint?", url);
        code = CLI_FAILED;
    } else if (ret) {
        *ret = TAKE_PTR(doc);
    }
    http_answer_done(&answer);
    return code;
}

enum cli_exit cli_request(struct cli *c, const char *method, const char *path, const json_t *body,
                          json_t **ret)
{
    struct err e = ERR_INIT;
    enum cli_exit code = exchange(c, method, path, body, ret, &e);
    return code == CLI_OK ? CLI_OK : cli_fail(code, &e);
}

enum cli_exit cli_request_quiet(struct cli *c, const char *method, const char *path, json_t **ret)
{
    struct err e = ERR_INIT;
    enum cli_exit code = exchange(c, method, path, NULL, ret, &e);
    return code == CLI_OK || code == CLI_NOT_FOUND ? code : cli_fail(code, &e);
}

enum cli_exit cli_get(struct cli *c, const char *collection, const char *ident, json_t **ret)
{
    _cleanup_free_ char *id = cli_escape(ident);
    _cleanup_free_ char *path = id ? str_fmt("%s/%s", collection, id) : NULL;
    if (!path) {
        struct err e = ERR_INIT;
        err_nomem(&e);
        return cli_fail(CLI_FAILED, &e);
    }
    return cli_request(c, "GET", path, NULL, ret);
}
