/* See metrics_server.h. */
#include "http/metrics_server.h"

#include "base/log.h"
#include "base/metrics.h"
#include "base/parse.h"
#include "config/config.h"

#include <string.h>

enum { CONNECTIONS = 16, OK = 200, NOT_FOUND = 404, NO_METHOD = 405 };

static void say(struct http_response *rp, int status, const char *text)
{
    rp->status = status;
    str_append(&rp->body, text);
    (void)http_response_header(rp, "Content-Type", "text/plain; charset=utf-8");
}

void metrics_answer(const struct http_request *rq, struct http_response *rp)
{
    rp->route = "(metrics)";
    if (strcmp(rq->method, "GET") != 0 && strcmp(rq->method, "HEAD") != 0) {
        (void)http_response_header(rp, "Allow", "GET, HEAD");
        say(rp, NO_METHOD, "metrics are only read\n");
        return;
    }
    rp->status = OK;
    (void)http_response_header(rp, "Content-Type", METRICS_CONTENT_TYPE);
    (void)http_response_header(rp, "Cache-Control", "no-store");
    metrics_write(&rp->body);
}

static void handle(void *ctx, const struct http_request *rq, struct http_response *rp)
{
    (void)ctx;
    if (strcmp(rq->path, "/metrics") == 0)
        metrics_answer(rq, rp);
    else
        say(rp, NOT_FOUND, "there is only /metrics\n");
}

static void reject(void *ctx, const struct http_request *rq, const struct err *why,
                   struct http_response *rp)
{
    (void)ctx;
    (void)rq;
    say(rp, err_http_status(why->code), why->msg);
    str_append_c(&rp->body, '\n');
}

/* The last colon parts host and port; an IPv6 address stands in brackets. */
static int split(const char *where, char **ret_host, int64_t *ret_port, struct err *e)
{
    const char *colon = strrchr(where, ':');
    size_t len = colon ? (size_t)(colon - where) : 0;
    bool bracket = len > 2 && where[0] == '[' && where[len - 1] == ']';
    if (len == 0 || !parse_i64(colon + 1, 0, UINT16_MAX, ret_port) ||
        (!bracket && memchr(where, ':', len)))
        return err_set(e, ERR_CONFIG, "\"%s\" is not HOST:PORT", where);
    *ret_host = bracket ? strndup(where + 1, len - 2) : strndup(where, len);
    return *ret_host ? 0 : err_nomem(e);
}

int metrics_server_start(const struct config *cfg, const char *where, struct http_server **ret,
                         struct err *e)
{
    _cleanup_free_ char *host = NULL;
    char nowhere[] = "";
    struct config mine = *cfg; /* the texts are borrowed, and only until the server has started */
    int rc = split(where, &host, &mine.api_port, e);
    if (rc < 0)
        return rc;
    mine.api_host = host;
    mine.api_unix_socket = nowhere;
    mine.api_threads = 1;
    mine.api_max_connections = CONNECTIONS;
    mine.api_max_connections_per_ip = 0;
    return http_server_start(&mine, handle, reject, NULL, ret, e);
}

int metrics_begin(const struct config *cfg, const char *program, struct err *e)
{
    bool api = strcmp(program, "magnum-api") == 0;
    if (!cfg->metrics_enabled)
        return 0;
    int rc =
        metrics_setup(api ? METRICS_API : METRICS_CONDUCTOR, (unsigned)cfg->metrics_max_series, e);
    if (rc == 0)
        metrics_set(METRIC_BUILD_INFO, 1, METRICS_LABELS_OF(program, MAGNUM_VERSION));
    return rc;
}

int metrics_serve(const struct config *cfg, const char *where, struct http_server **ret,
                  struct err *e)
{
    struct err why = ERR_INIT;
    if (!metrics_on() || !*where)
        return 0;
    int rc = metrics_server_start(cfg, where, ret, &why);
    if (rc == ERR_BUSY) {
        log_warn("metrics.listen", "%s is taken; going on without a listener for metrics", where);
        return 0;
    }
    if (rc < 0)
        return err_set(e, rc, "metrics: %s", why.msg);
    log_info("metrics.ready", "listening on %s port %d", where, http_server_port(*ret));
    return 0;
}
