/* HTTP on behalf of drivers: the conductor holds the credentials and the fence, the driver only
 * says what it wants. A request is not begun once the lease is lost or the operation was told to
 * stop. See magnum/host.h for the services a driver may name. Neighbours: step.c, http/client. */
#include "base/clock.h"
#include "conductor/conductor_internal.h"
#include "conductor/measure.h"
#include "http/tls.h"

#include <string.h>

enum { HEADERS_MAX = 64, URL_MAX = 8192 };

struct headers {
    char *text; /* owned copy, cut at line ends */
    const char *v[HEADERS_MAX + 1];
};

static int split_headers(const char *lines, struct headers *h, struct err *e)
{
    size_t n = 0;
    *h = (struct headers){.text = str_dup(lines ? lines : "")};
    if (!h->text)
        return err_nomem(e);
    char *save = NULL;
    for (char *line = strtok_r(h->text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        line[strcspn(line, "\r")] = '\0';
        if (!line[0])
            continue;
        if (n == HEADERS_MAX || !strchr(line, ':'))
            return err_set(e, ERR_INVALID, "the request has a malformed header or too many");
        h->v[n++] = line;
    }
    return 0;
}

/* May this call still touch the world? */
static int permitted(const struct call_ctx *x, struct err *e)
{
    const struct run *r = x->run;
    if (!r)
        return 0;
    if (!run_held(r))
        return err_set(e, ERR_FENCED, "this conductor has lost the operation");
    if (atomic_load(&r->superseded))
        return err_set(e, ERR_CANCELLED, "a newer operation took the place of this one");
    if (atomic_load(&r->cancel) && !x->may_cancel)
        return err_set(e, ERR_CANCELLED, "the operation was cancelled");
    return 0;
}

static int ask(struct call_ctx *x, const struct http_call *call, const struct http_call_spec *rq,
               struct http_answer *answer, struct err *e)
{
    int64_t begun = clock_mono_us();
    int rc = http_client_do(x->c->http, call, answer, e);
    measure_backend(rq->service, false, rc, answer->status, clock_mono_us() - begun);
    return rc;
}

/* Through the endpoint's circuit breaker, unless it is the cluster's own API. */
static int guarded(struct call_ctx *x, const struct http_call *call,
                   const struct http_call_spec *rq, struct http_answer *answer, struct err *e)
{
    char name[BREAKER_NAME_MAX] = "";
    if (strcmp(rq->service, "cluster") != 0)
        breaker_name(call->url, call->unix_socket, name);
    if (!name[0])
        return ask(x, call, rq, answer, e);
    if (x->run)
        queue_at(&x->c->queue, x->run, name);
    int rc = x->looks ? breaker_enter(x->c, name, e) : 0;
    if (rc) {
        x->refused = rc;
        measure_backend(rq->service, true, rc, 0, 0);
        snprintf(x->refused_by, sizeof x->refused_by, "%s", name);
        return err_set(e, ERR_UNAVAILABLE, "%s can't be asked now", name);
    }
    rc = ask(x, call, rq, answer, e);
    breaker_leave(x->c, name, x->looks, rc, answer->status, rc ? e->msg : NULL);
    return rc;
}

static int exchange(struct call_ctx *x, struct http_call *call, const struct http_call_spec *rq,
                    struct http_reply *rp, struct err *e)
{
    struct headers h = {0};
    struct http_answer answer = {0};
    int rc = split_headers(rq->headers, &h, e);
    if (rc == 0) {
        call->method = rq->method;
        call->headers = h.v;
        call->body = rq->body;
        call->body_len = rq->body_len;
        call->timeout_ms = rq->timeout_ms;
        call->max_body = (size_t)x->c->cfg->drivers_max_frame_bytes / 2;
        rc = guarded(x, call, rq, &answer, e);
    }
    if (h.text)
        secret_wipe(h.text, strlen(rq->headers ? rq->headers : "")); /* a token may be in it */
    free(h.text);
    if (rc)
        return rc;
    *rp = (struct http_reply){.status = answer.status,
                              .body = TAKE_PTR(answer.body),
                              .headers = TAKE_PTR(answer.headers),
                              .body_len = answer.len};
    http_answer_done(&answer);
    return 0;
}

static int to_socket(struct call_ctx *x, const struct http_call_spec *rq, struct http_reply *rp,
                     struct err *e)
{
    const char *socket = rq->service + strlen("unix:");
    if (!x->plugin->unix_sockets)
        return err_set(e, ERR_FORBIDDEN, "the manifest of %s does not say unix_sockets: true",
                       x->plugin->id);
    if (socket[0] != '/' || rq->path[0] != '/')
        return err_set(e, ERR_INVALID,
                       "a unix: service needs an absolute path, and so does the URL");
    _cleanup_free_ char *url = str_fmt("http://localhost%s", rq->path);
    if (!url)
        return err_nomem(e);
    return exchange(x, &(struct http_call){.url = url, .unix_socket = socket}, rq, rp, e);
}

static int to_url(struct call_ctx *x, const struct http_call_spec *rq, struct http_reply *rp,
                  struct err *e)
{
    if (!str_starts(rq->path, "http://") && !str_starts(rq->path, "https://"))
        return err_set(e, ERR_INVALID, "the path of a url request is an absolute http(s) URL");
    return exchange(x, &(struct http_call){.url = rq->path}, rq, rp, e);
}

/* The cluster's own API: at the address published last, with its CA and client certificate. Drivers
 * publish tcp:// addresses for Docker; what travels is HTTP all the same. */
static int cluster_url(struct call_ctx *x, const struct cluster *c, const char *path, char **ret,
                       struct err *e)
{
    const char *address = json_string_value(json_object_get(x->outputs, "api_address"));
    if (str_blank(address))
        address = c->api_address;
    if (str_blank(address))
        return err_set(e, ERR_UNAVAILABLE, "the cluster has no api_address yet");
    if (path[0] != '/')
        return err_set(e, ERR_INVALID, "the path of a cluster request begins with a slash");
    const char *host = strstr(address, "://");
    bool plain = str_starts(address, "http://") || str_blank(c->ca_cert_ref);
    size_t len = strlen(address);
    while (len && address[len - 1] == '/')
        len--;
    size_t skip = host ? (size_t)(host + 3 - address) : 0;
    *ret =
        str_fmt("%s://%.*s%s", plain ? "http" : "https", (int)(len - skip), address + skip, path);
    return *ret ? 0 : err_nomem(e);
}

static int to_cluster(struct call_ctx *x, const struct http_call_spec *rq, struct http_reply *rp,
                      struct err *e)
{
    const struct cluster *c = NULL;
    struct cert_pair client = {0};
    _cleanup_free_ char *url = NULL, *trusted = NULL, *signer = NULL;
    int rc = call_cluster(x, &c, e);
    if (rc == 0)
        rc = cluster_url(x, c, rq->path, &url, e);
    struct http_call call = {.url = url};
    if (rc == 0 && !str_blank(c->ca_cert_ref)) {
        /* for no operation in particular: whatever certificate the API shows at the moment */
        rc = rotate_trusted_by_nodes(x->c, c, &(struct rotate_asker){.run = NULL}, "kubernetes",
                                     &trusted, &signer, e);
        if (rc == 0)
            rc = certs_load(x->c, c, "client", true, &client, e);
        call.ca_pem = trusted;
        call.cert_pem = client.cert_pem;
        call.key_pem = client.key_pem.data;
    }
    if (rc == 0)
        rc = exchange(x, &call, rq, rp, e);
    cert_pair_done(&client);
    return rc;
}

/* ---- services of the catalogue ---- */
enum { UNAUTHORIZED = 401 };

static int send_with(struct call_ctx *x, const struct ticket *k, const struct http_call_spec *rq,
                     struct http_reply *rp, struct err *e)
{
    _cleanup_free_ char *url = str_fmt("%s%s", k->url, rq->path);
    char *lines = str_fmt("X-Auth-Token: %s\n%s", k->token, rq->headers ? rq->headers : "");
    struct http_call_spec with_token = *rq;
    with_token.headers = lines;
    struct http_call call = {.url = url};
    _cleanup_tls_ struct http_tls *tls = trust_tls(x->c, &call.insecure);
    call.ca_pem = tls->ca;
    int rc = url && lines ? exchange(x, &call, &with_token, rp, e) : err_nomem(e);
    if (lines)
        secret_wipe(lines, strlen(lines));
    free(lines);
    return rc;
}

static int to_catalog(struct call_ctx *x, const struct http_call_spec *rq, struct http_reply *rp,
                      struct err *e)
{
    const struct trust_site site = {.cluster_id = x->cluster_id,
                                    .run = x->run,
                                    .service_token = x->plugin && x->plugin->service_token};
    struct ticket k = {0}, fresh = {0};
    if (rq->path[0] && rq->path[0] != '/' && rq->path[0] != '?')
        return err_set(e, ERR_INVALID, "the path of a catalog request begins with a slash");
    int rc = trust_ticket(x->c, &site, rq->service, NULL, &k, e);
    if (rc == 0)
        rc = send_with(x, &k, rq, rp, e);
    if (rc == 0 && rp->status == UNAUTHORIZED && /* it was revoked, or the user is gone */
        trust_ticket(x->c, &site, rq->service, k.token, &fresh, e) == 0) {
        free(rp->body);
        free(rp->headers);
        *rp = (struct http_reply){0};
        rc = send_with(x, &fresh, rq, rp, e);
    }
    ticket_done(&k);
    ticket_done(&fresh);
    return rc;
}

int broker_http(void *ctx, const struct http_call_spec *rq, struct http_reply *rp, struct err *e)
{
    struct call_ctx *x = ctx;
    int rc = permitted(x, e);
    if (rc) {
        x->fenced |= rc == ERR_FENCED;
        return rc;
    }
    if (strlen(rq->path) > URL_MAX)
        return err_set(e, ERR_INVALID, "the URL is longer than %d characters", URL_MAX);
    if (str_starts(rq->service, "unix:"))
        return to_socket(x, rq, rp, e);
    if (strcmp(rq->service, "url") == 0)
        return to_url(x, rq, rp, e);
    if (strcmp(rq->service, "cluster") == 0)
        return to_cluster(x, rq, rp, e);
    return to_catalog(x, rq, rp, e);
}
