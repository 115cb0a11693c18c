/* A JSON patch of a tenant: the first line is the document it is applied to, the rest the patch
 * (or, when it is no JSON, a Python literal). Refused with a reason or applied; the document stays.
 */
#include "api/attrs.h"
#include "api/patch.h"
#include "api/pyliteral.h"
#include "base/cleanup.h"
#include "base/jsonx.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void literal(const char *text)
{
    _cleanup_json_ json_t *j = NULL;
    struct err e = ERR_INIT;
    int rc = py_literal_parse(text, &j, &e);
    if ((rc < 0) != (j == NULL) || (rc < 0 && !e.msg[0]))
        abort();
    _cleanup_str_ struct str o = STR_INIT;
    py_repr(j, &o);
}

static void apply(const json_t *doc, const json_t *patch, const struct patch_rules *r,
                  const struct attr_table *t)
{
    _cleanup_json_ json_t *before = attrs_document(t, false, doc), *after = NULL, *delta = NULL;
    _cleanup_json_ json_t *kept = json_deep_copy(before);
    struct err e = ERR_INIT;
    int rc = patch_check(patch, r, false, &e);
    if (rc == 0)
        rc = patch_apply(before, patch, r, &after, &e);
    if (rc == 0)
        rc = attrs_delta(t, false, before, after, &delta, &e);
    if (!json_equal(before, kept) || (rc < 0 && (!e.msg[0] || rc != ERR_INVALID)))
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    _cleanup_json_ json_t *doc = NULL, *patch = NULL;
    const unsigned char *line = memchr(data, '\n', size);
    size_t n = line ? (size_t)(line - data) : 0, rest = size - n - (line ? 1 : 0);
    const char *text = (const char *)data + (size - rest);
    if (jsonx_parse(text, rest, 32, &patch, NULL) < 0) {
        _cleanup_free_ char *copy = strndup(text, rest);
        if (copy)
            literal(copy);
        return 0;
    }
    if (n == 0 || jsonx_parse((const char *)data, n, 32, &doc, NULL) < 0)
        doc = json_object();
    apply(doc, patch, &patch_template, &attrs_template);
    apply(doc, patch, &patch_cluster, &attrs_cluster);
    apply(doc, patch, &patch_nodegroup, &attrs_nodegroup);
    return 0;
}
