/* One REST call and its failures in one line for people. See cli.h. */
#include "cmd/cli/cli.h"

#include "base/jsonx.h"

#include <ctype.h>
#include <string.h>

enum { TIMEOUT_MS = 600000, ANSWER_MAX = 64 << 20, DEPTH_MAX = 64, PAGES_MAX = 10000 };

static const char user_agent[] = "User-Agent: magnum/" MAGNUM_VERSION;

void cli_clean(char *s)
{
    for (unsigned char *p = (unsigned char *)s; s && *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
        else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) /* C1 controls in UTF-8 */
            p[0] = p[1] = '?';
}

enum cli_exit cli_fail(enum cli_exit code, const struct err *e)
{
    _cleanup_free_ char *text = strdup(e->msg[0] ? e->msg : "failed");
    cli_clean(text);
    fprintf(stderr, "magnum: %s\n", text ? text : "out of memory");
    return code;
}

enum cli_exit cli_no_memory(void)
{
    struct err e = ERR_INIT;
    err_nomem(&e);
    return cli_fail(CLI_FAILED, &e);
}

char *cli_escape(const char *segment)
{
    struct str t = STR_INIT;
    http_escape(&t, segment);
    return str_take(&t);
}

char *cli_path(const char *prefix, const char *ident, const char *rest)
{
    _cleanup_free_ char *id = cli_escape(ident);
    return id ? str_fmt("%s/%s%s", prefix, id, rest) : NULL;
}

/* The service's own words: errors[0].detail or title, error.message, else the status. */
static int explain(const json_t *doc, int status, const char *path, struct err *e)
{
    const json_t *error = json_array_get(json_object_get(doc, "errors"), 0);
    const json_t *single = json_object_get(doc, "error");
    const char *const texts[] = {jsonx_str(error, "detail"), jsonx_str(error, "title"),
                                 jsonx_str(error, "description"), jsonx_str(single, "message"),
                                 jsonx_str(doc, "message")};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (!str_blank(texts[i]))
            return err_set(e, ERR_PROTOCOL, "%s (HTTP %d)", texts[i], status);
    return err_set(e, ERR_PROTOCOL, "the service answered HTTP %d to %s", status, path);
}

static enum cli_exit exit_of(int status)
{
    return status == 404 ? CLI_NOT_FOUND : status == 503 ? CLI_UNREACHABLE : CLI_FAILED;
}

/* No exchange took place. */
static enum cli_exit not_reached(const struct cli *c, int rc, struct err *e)
{
    if (rc == ERR_INVALID || rc == ERR_NOMEM)
        return rc == ERR_INVALID ? CLI_USAGE : CLI_FAILED;
    err_wrap(e, "cannot reach the service at %s", c->unix_socket ? c->unix_socket : c->endpoint);
    return CLI_UNREACHABLE;
}

static enum cli_exit read_answer(const struct http_answer *answer, const char *path, json_t **ret,
                                 struct err *e)
{
    _cleanup_json_ json_t *doc = NULL;
    struct err bad = ERR_INIT;
    int rc = answer->len ? jsonx_parse(answer->body, answer->len, DEPTH_MAX, &doc, &bad) : 0;
    if (answer->status >= 400) {
        explain(doc, answer->status, path, e);
        return exit_of(answer->status);
    }
    if (rc != 0 || answer->status >= 300 || (doc && !json_is_object(doc))) {
        err_set(e, ERR_PROTOCOL,
                "the answer to %s (HTTP %d) is not Magnum's: is the endpoint right?", path,
                answer->status);
        return CLI_FAILED;
    }
    if (ret)
        *ret = TAKE_PTR(doc);
    return CLI_OK;
}

static enum cli_exit exchange(struct cli *c, const char *method, const char *path,
                              const json_t *body, bool again, json_t **ret, struct err *e)
{
    _cleanup_free_ char *url = str_fmt("%s%s", c->endpoint, path);
    _cleanup_free_ char *text = body ? jsonx_text(body) : NULL;
    const char *headers[8] = {"Accept: application/json",
                              "OpenStack-API-Version: container-infra latest", user_agent};
    size_t n = 3;
    if (body)
        headers[n++] = "Content-Type: application/json";
    for (size_t i = 0; i < c->headers.n && n + 1 < ARRAY_LEN(headers); i++)
        headers[n++] = c->headers.v[i];
    if (!url || (body && !text))
        return err_nomem(e), CLI_FAILED;
    struct http_call call = {
        .method = method,
        .url = url,
        .unix_socket = c->unix_socket,
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
    if (rc == 0 && answer.status == 401 && !again && c->login) { /* the token is over */
        http_answer_done(&answer);
        if (cli_login_open(c, NULL, e) != 0)
            return CLI_FAILED;
        return exchange(c, method, path, body, true, ret, e);
    }
    if (rc != 0)
        return not_reached(c, rc, e);
    if (c->debug)
        fprintf(stderr, "< %d %s\n", answer.status, answer.body);
    enum cli_exit code = read_answer(&answer, path, ret, e);
    http_answer_done(&answer);
    return code;
}

enum cli_exit cli_try(struct cli *c, const char *method, const char *path, const json_t *body,
                      json_t **ret, struct err *e)
{
    return exchange(c, method, path, body, false, ret, e);
}

enum cli_exit cli_request(struct cli *c, const char *method, const char *path, const json_t *body,
                          json_t **ret)
{
    struct err e = ERR_INIT;
    if (!path)
        return cli_no_memory();
    enum cli_exit code = cli_try(c, method, path, body, ret, &e);
    return code == CLI_OK ? CLI_OK : cli_fail(code, &e);
}

enum cli_exit cli_get(struct cli *c, const char *collection, const char *ident, json_t **ret)
{
    _cleanup_free_ char *path = cli_path(collection, ident, "");
    enum cli_exit code = cli_request(c, "GET", path, NULL, ret);
    if (code != CLI_OK || *ret)
        return code;
    struct err e = ERR_INIT;
    err_set(&e, ERR_PROTOCOL, "the service sent nothing for %s", path);
    return cli_fail(CLI_FAILED, &e);
}

/* ---- lists ---- */

/* The path and query of a link; the service may know itself by another name. Caller frees. */
static char *path_of_link(const char *link)
{
    const char *host = link ? strstr(link, "://") : NULL;
    const char *v1 = host ? strstr(host + 3, "/v1/") : NULL;
    return v1 ? strdup(v1) : NULL;
}

/* Moves the items of one page over; false when there is enough. */
static bool take_items(json_t *all, const json_t *page, int64_t limit)
{
    for (size_t i = 0; i < json_array_size(page); i++) {
        if (limit > 0 && json_array_size(all) >= (size_t)limit)
            return false;
        json_array_append(all, json_array_get(page, i));
    }
    return json_array_size(page) > 0 && (limit <= 0 || json_array_size(all) < (size_t)limit);
}

enum cli_exit cli_request_all(struct cli *c, const char *path, const char *member, int64_t limit,
                              json_t **ret)
{
    _cleanup_json_ json_t *all = json_array();
    _cleanup_free_ char *next = str_dup(path);
    if (!all || !next)
        return cli_no_memory();
    for (int pages = 0; next && pages < PAGES_MAX; pages++) {
        _cleanup_json_ json_t *doc = NULL;
        enum cli_exit code = cli_request(c, "GET", next, NULL, &doc);
        if (code != CLI_OK)
            return code;
        bool more = take_items(all, json_object_get(doc, member), limit);
        free(next);
        next = more ? path_of_link(jsonx_str(doc, "next")) : NULL;
    }
    *ret = TAKE_PTR(all);
    return CLI_OK;
}
