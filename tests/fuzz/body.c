/* Bodies of requests, by resource: FUZZ_RESOURCE is the beginning of the routes that get the bytes.
 * Each takes the way of the service from the text to the checked document, for both releases, and
 * what is accepted goes on to the rules behind the types. What the tables accept they accept again
 * unchanged. */
#include "fuzz/body.h"

#include "api/body.h"
#include "api/labels.h"
#include "api/labels_zed.h"
#include "api/nodegroup_rules.h"
#include "api/pyliteral.h"
#include "api/rules.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static const char schema_text[] =
    "{\"properties\":{\"a\":{\"type\":\"integer\",\"maximum\":9},\"b\":{\"type\":\"boolean\"},"
    "\"c\":{\"enum\":[\"x\",1]},\"d\":{\"type\":\"string\",\"pattern\":\"^v\\\\d+$\"},"
    "\"e\":{\"type\":\"number\",\"minimum\":0}}}";

#define TRY(call)                                                                                  \
    do {                                                                                           \
        struct err e_ = ERR_INIT, *e = &e_;                                                        \
        fuzz_outcome(call, e);                                                                     \
    } while (0)

static void labels_rules(const json_t *given)
{
    static json_t *schema;
    if (!schema)
        schema = json_loads(schema_text, 0, NULL);
    TRY(labels_no_null(given, e));
    TRY(labels_check(schema, "fuzz", given, e));
    TRY(labels_zed_check(given, e));
    _cleanup_json_ json_t *base = json_pack("{s:s, s:s}", "a", "1", "b", "x");
    _cleanup_json_ json_t *both = labels_merge(base, given);
    _cleanup_str_ struct str o = STR_INIT;
    for (int part = LABELS_OVERRIDDEN; part <= LABELS_SKIPPED; part++) {
        str_clear(&o);
        labels_diff(&o, (enum labels_part)part, base, both);
        _cleanup_json_ json_t *diff = json_loadb(o.s, o.len, 0, NULL);
        if (!json_is_object(diff))
            abort();
    }
}

static void template_rules(const struct api_call *c)
{
    const json_t *b = c->body;
    const char *flavors[] = {jsonx_str(b, "flavor_id"), jsonx_str(b, "master_flavor_id")};
    TRY(rule_network_driver(c, jsonx_str(b, "coe"), jsonx_str(b, "network_driver"), e));
    TRY(rule_volume_driver(jsonx_str(b, "coe"), jsonx_str(b, "volume_driver"), e));
    TRY(rule_storage_size(jsonx_str(b, "docker_storage_driver"),
                          jsonx_int(b, "docker_volume_size", MODEL_UNSET), e));
    TRY(rule_root_volume(c, jsonx_str(b, "server_type"), json_object_get(b, "labels"), flavors, 2,
                         e));
    struct resource_names names = {.image = jsonx_str(b, "image_id"),
                                   .flavor = flavors[0],
                                   .master_flavor = flavors[1],
                                   .external_network = jsonx_str(b, "external_network_id"),
                                   .fixed_network = jsonx_str(b, "fixed_network"),
                                   .fixed_subnet = jsonx_str(b, "fixed_subnet"),
                                   .labels = json_object_get(b, "labels")};
    TRY(rule_resources(c, &names, e));
}

static char *text_of(const char *s)
{
    return (char *)(uintptr_t)s; /* borrowed for the length of a check */
}

static void nodegroup_rules(const json_t *b)
{
    struct nodegroup n;
    nodegroup_init(&n);
    n.name = text_of(jsonx_str(b, "name") ? jsonx_str(b, "name") : "");
    n.role = text_of(jsonx_str(b, "role"));
    n.node_count = jsonx_int(b, "node_count", 1);
    n.min_node_count = jsonx_int(b, "min_node_count", 0);
    n.max_node_count = jsonx_int(b, "max_node_count", MODEL_UNSET);
    n.node_labels = json_object_get(b, "node_labels");
    n.node_taints = json_object_get(b, "node_taints");
    TRY(nodegroup_check_counts(&n, e));
    TRY(nodegroup_check_node_attributes(&n, e));
}

static void accepted(const struct api_call *c)
{
    const struct attr_table *t = c->route->attrs;
    _cleanup_json_ json_t *twice = NULL;
    _cleanup_str_ struct str shown = STR_INIT;
    struct err e = ERR_INIT;
    py_repr(c->body, &shown);
    if (c->route->body != BODY_OBJECT)
        return;
    if (attrs_check(t, api_zed(c), c->body, &twice, &e) < 0 || !json_equal(c->body, twice))
        abort();
    labels_rules(json_object_get(c->body, "labels"));
    if (t == &attrs_template)
        template_rules(c);
    if (t == &attrs_nodegroup)
        nodegroup_rules(c->body);
}

static void one(const struct route *r, int zed, const struct http_request *rq)
{
    struct http_response rp = {.status = 0};
    struct err e = ERR_INIT;
    struct api_call c = {.api = fuzz_api(zed), .rq = rq, .rp = &rp, .route = r, .minor = 10};
    int rc = body_parse(&c, &e);
    fuzz_outcome(rc, &e);
    if (rc == 0)
        accepted(&c);
    json_decref(c.body);
    http_response_done(&rp);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    _cleanup_free_ char *text = malloc(size + 1); /* the listener's bodies end in NUL, too */
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    struct http_request rq = {
        .method = "POST", .path = "", .raw_path = "", .body = text, .body_len = size};
    for (size_t i = 0; i < api_routes_n; i++) {
        const struct route *r = &api_routes[i];
        if (!str_starts(r->pattern, FUZZ_RESOURCE) || (r->body == BODY_NONE && !r->handler) ||
            (r->method && strcmp(r->method, "GET") == 0))
            continue;
        for (int zed = 0; zed < 2; zed++)
            one(r, zed, &rq);
    }
    return 0;
}
