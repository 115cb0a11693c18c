/* The documents at / and /v1, and /healthcheck (api.md 1.1, 4). See api_internal.h. */
#include "api/api_internal.h"
#include "api/errors.h"

#include <string.h>
#include <unistd.h>

static void href(struct str *o, const struct api_call *c, const char *version, const char *rest,
                 const char *rel)
{
    jw_next(o);
    str_append(o, "{\"href\":\"");
    str_append(o, c->base);
    str_append(o, version);
    str_append(o, rest);
    str_append(o, "\",\"rel\":\"");
    str_append(o, rel);
    str_append(o, "\"}");
}

void discovery_root(struct api_call *c)
{
    struct str *o = &c->rp->body;
    str_append_c(o, '{');
    jw_str(o, "name", "OpenStack Magnum API");
    jw_str(o, "description",
           "Magnum is an OpenStack project which aims to provide container cluster management.");
    jw_key(o, "versions");
    str_append(o, "[{\"id\":\"v1\",\"links\":[");
    href(o, c, "/v1", "/", "self");
    str_printf(o, "],\"status\":\"CURRENT\",\"max_version\":\"1.%d\",\"min_version\":\"1.1\"}]}",
               c->api->versions.max_minor);
}

void discovery_v1(struct api_call *c)
{
    static const char *const names[] = {"clustertemplates", "clusters",  "quotas",
                                        "certificates",     "mservices", "stats",
                                        "federations",      "baymodels", "bays"};
    struct str *o = &c->rp->body;
    str_append(o, "{\"id\":\"v1\",\"media_types\":[{\"base\":\"application/json\",\"type\":"
                  "\"application/vnd.openstack.magnum.v1+json\"}],\"links\":[");
    href(o, c, "/v1", "/", "self");
    str_append(o, ",{\"href\":\"http://docs.openstack.org/developer/magnum/dev/api-spec-v1.html\","
                  "\"rel\":\"describedby\",\"type\":\"text/html\"}]");
    size_t n = ARRAY_LEN(names) - (api_zed(c) ? 0 : 2);
    for (size_t i = 0; i < n + 2; i++) {
        char rest[64];
        const char *name = i < n ? names[i] : i == n ? "nodegroups" : "credentials";
        if (i == n + 1 && api_zed(c))
            break;
        snprintf(rest, sizeof rest, i == n ? "/clusters/{cluster_id}/%s" : "/%s/", name);
        jw_key(o, name);
        str_append_c(o, '[');
        href(o, c, "/v1", rest, "self");
        href(o, c, "", rest, "bookmark");
        str_append_c(o, ']');
    }
    str_append_c(o, '}');
}

void healthcheck(const struct api *a, const struct http_request *rq, struct http_response *rp)
{
    const char *file = a->cfg->api_healthcheck_disable_file, *type = "text/plain; charset=UTF-8";
    const char *accept = http_request_header(rq, "Accept");
    char why[DB_WHY_MAX];
    bool disabled = *file && access(file, F_OK) == 0, off = disabled || !db_healthy(a->db, why);
    const char *text = disabled ? "DISABLED BY FILE" : off ? why : "OK";
    rp->status = off ? 503 : 200;
    if (strcmp(rq->method, "HEAD") == 0) {
        rp->status = off ? 503 : 204;
    } else if (accept && strstr(accept, "application/json")) {
        type = "application/json";
        str_printf(&rp->body,
                   "{\n    \"detailed\": false,\n    \"reasons\": [\n        \"%s\"\n    ]\n}",
                   text);
    } else if (accept && strstr(accept, "text/html")) {
        type = "text/html; charset=UTF-8";
        str_printf(&rp->body,
                   "<html><head><title>Healthcheck Status</title></head><body><h2>Result of 1 "
                   "checks:</h2><ul><li>%s</li></ul></body></html>\n",
                   text);
    } else {
        str_append(&rp->body, text);
    }
    (void)http_response_header(rp, "Content-Type", type);
}
