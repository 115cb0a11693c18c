/* Manifests: a text in JSON or YAML, given or fetched. What is fetched is chosen by a tenant, so
 * the conductor asks only addresses that a tenant could ask itself: the check sees the very address
 * that is connected to, behind every name and redirect. Neighbours: workload.c, http/client. */
#include "base/jsonx.h"
#include "base/parse.h"
#include "conductor/workload_internal.h"
#include "config/yaml.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum { DEPTH_MAX = 32, ADDRESS_BYTES = 16 };

/* ---- addresses ---- */

struct network {
    int family;
    unsigned char address[ADDRESS_BYTES];
    int bits;
};

static bool parse_network(const char *text, struct network *ret)
{
    char host[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    int64_t bits;
    if (n >= sizeof host)
        return false;
    memcpy(host, text, n);
    host[n] = '\0';
    ret->family = strchr(host, ':') ? AF_INET6 : AF_INET;
    int all = ret->family == AF_INET6 ? 128 : 32;
    if (inet_pton(ret->family, host, ret->address) != 1)
        return false;
    if (!slash)
        bits = all;
    else if (!parse_i64(slash + 1, 0, all, &bits))
        return false;
    ret->bits = (int)bits;
    return true;
}

static bool within(const struct network *net, int family, const unsigned char *address)
{
    int whole = net->bits / 8, rest = net->bits % 8;
    if (net->family != family || memcmp(net->address, address, (size_t)whole) != 0)
        return false;
    unsigned char mask = (unsigned char)(0xff << (8 - rest));
    return rest == 0 || ((net->address[whole] ^ address[whole]) & mask) == 0;
}

/* This machine, its neighbours, private networks, and what is no host at all. The IPv6 forms that
 * carry an IPv4 address are refused whole: nobody publishes manifests there. */
static const char *const refused_networks[] = {
    "0.0.0.0/8",     "10.0.0.0/8",   "100.64.0.0/10",  "127.0.0.0/8",   "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4",
    "240.0.0.0/4",   "::/96",        "::ffff:0:0/96",  "64:ff9b::/96",  "64:ff9b:1::/48",
    "2002::/16",     "fc00::/7",     "fe80::/10",      "fec0::/10",     "ff00::/8"};

static bool any_within(const char *const *list, size_t n, int family, const unsigned char *address)
{
    for (size_t i = 0; i < n; i++) {
        struct network net;
        if (parse_network(list[i], &net) && within(&net, family, address))
            return true;
    }
    return false;
}

bool manifest_address_allowed(const struct strv *networks, const struct sockaddr *to)
{
    unsigned char address[ADDRESS_BYTES] = {0};
    if (to->sa_family == AF_INET)
        memcpy(address, &((const struct sockaddr_in *)(const void *)to)->sin_addr, 4);
    else if (to->sa_family == AF_INET6)
        memcpy(address, &((const struct sockaddr_in6 *)(const void *)to)->sin6_addr, 16);
    else
        return false;
    if (any_within((const char *const *)networks->v, networks->n, to->sa_family, address))
        return true;
    return !any_within(refused_networks, ARRAY_LEN(refused_networks), to->sa_family, address);
}

static bool may_connect(void *ctx, const struct sockaddr *to)
{
    const struct conductor *c = ctx;
    return manifest_address_allowed(&c->cfg->workload_manifest_networks, to);
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
