/* Bodies of POST requests: each table refuses with a reason, or gives an object that it accepts
 * again unchanged. Labels go on to a driver's schema and to the label rules of 15.0.1. */
#include "api/attrs.h"
#include "api/labels.h"
#include "api/labels_zed.h"
#include "base/jsonx.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static const struct attr_table *const tables[] = {
    &attrs_cluster,     &attrs_template, &attrs_nodegroup,  &attrs_resize,         &attrs_upgrade,
    &attrs_certificate, &attrs_quota,    &attrs_federation, &attrs_patch_operation};

static const char schema_text[] =
    "{\"properties\":{\"a\":{\"type\":\"integer\",\"maximum\":9},\"b\":{\"type\":\"boolean\"},"
    "\"c\":{\"enum\":[\"x\",1]},\"d\":{\"type\":\"string\",\"pattern\":\"^v\\\\d+$\"},"
    "\"e\":{\"type\":\"number\",\"minimum\":0}}}";

static void labels(const json_t *body)
{
    static json_t *schema;
    struct err e = ERR_INIT;
    const json_t *given = json_object_get(body, "labels");
    if (!schema)
        schema = json_loads(schema_text, 0, NULL);
    if (labels_check(schema, "fuzz", given, &e) < 0 && !e.msg[0])
        abort();
    if (labels_zed_check(given, &e) < 0 && !e.msg[0])
        abort();
}

static void check(const struct attr_table *t, bool zed, const json_t *body)
{
    _cleanup_json_ json_t *once = NULL, *twice = NULL;
    struct err e = ERR_INIT;
    int rc = attrs_check(t, zed, body, &once, &e);
    if ((rc < 0) != (once == NULL) || (rc < 0 && (rc != ERR_INVALID || !e.msg[0])))
        abort();
    if (rc < 0)
        return;
    if (attrs_check(t, zed, once, &twice, &e) < 0 || !json_equal(once, twice))
        abort();
    labels(once);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    _cleanup_json_ json_t *body = NULL;
    if (jsonx_parse((const char *)data, size, 32, &body, NULL) < 0)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        check(tables[i], false, body);
        check(tables[i], true, body);
    }
    return 0;
}
