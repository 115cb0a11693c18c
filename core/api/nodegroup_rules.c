/* See nodegroup_rules.h. */
#include "api/nodegroup_rules.h"

#include "api/text.h"
#include "base/jsonx.h"
#include "base/str.h"

#include <string.h>

static int refuse(const struct nodegroup *n, const char *attribute, const char *why, struct err *e)
{
    return err_set(e, ERR_CONFLICT, "%s for %s is invalid (%s).", attribute, n->name, why);
}

int nodegroup_check_counts(const struct nodegroup *n, struct err *e)
{
    char why[160];
    int64_t least = n->min_node_count == MODEL_UNSET ? 0 : n->min_node_count;
    int64_t most = n->max_node_count == 0 ? MODEL_UNSET : n->max_node_count; /* 0: no limit */
    if (most != MODEL_UNSET && most < least) {
        snprintf(why, sizeof why,
                 "min_node_count (%lld) should be less or equal to max_node_count (%lld)",
                 (long long)least, (long long)most);
        return refuse(n, "max_node_count", why, e);
    }
    if (most != MODEL_UNSET && n->node_count > most) {
        snprintf(why, sizeof why,
                 "node_count (%lld) should be less or equal to max_node_count (%lld)",
                 (long long)n->node_count, (long long)most);
        return refuse(n, "max_node_count", why, e);
    }
    if (least > n->node_count) {
        snprintf(why, sizeof why,
                 "min_node_count (%lld) should be less or equal to node_count (%lld)",
                 (long long)least, (long long)n->node_count);
        return refuse(n, "min_node_count", why, e);
    }
    return 0;
}

static const char *const open_prefixes[] = {"kubelet.kubernetes.io", "node.kubernetes.io"};
static const char *const open_labels[] = {"beta.kubernetes.io/arch",
                                          "beta.kubernetes.io/instance-type",
                                          "beta.kubernetes.io/os",
                                          "failure-domain.beta.kubernetes.io/region",
                                          "failure-domain.beta.kubernetes.io/zone",
                                          "kubernetes.io/arch",
                                          "kubernetes.io/hostname",
                                          "kubernetes.io/os",
                                          "node.kubernetes.io/instance-type",
                                          "node.kubernetes.io/windows-build",
                                          "topology.kubernetes.io/region",
                                          "topology.kubernetes.io/zone"};

static bool in_domain(const char *prefix, const char *domain)
{
    size_t n = strlen(prefix), d = strlen(domain);
    if (n < d || strcmp(prefix + n - d, domain) != 0)
        return false;
    return n == d || prefix[n - d - 1] == '.';
}

static bool label_open(const char *key)
{
    char prefix[512];
    const char *slash = strchr(key, '/');
    size_t n = slash ? (size_t)(slash - key) : 0;
    if (!slash)
        return true;
    if (n >= sizeof prefix)
        return false;
    memcpy(prefix, key, n);
    prefix[n] = '\0';
    if (!in_domain(prefix, "kubernetes.io") && !in_domain(prefix, "k8s.io"))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(open_prefixes); i++)
        if (strcmp(prefix, open_prefixes[i]) == 0)
            return true;
    for (size_t i = 0; i < ARRAY_LEN(open_labels); i++)
        if (strcmp(key, open_labels[i]) == 0)
            return true;
    return false;
}

static void join(struct str *o, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        str_printf(o, "%s%s", i ? ", " : "", list[i]);
}

static int check_labels(const struct nodegroup *n, struct err *e)
{
    const char *key;
    json_t *v;
    json_object_foreach(n->node_labels, key, v)
    {
        if (label_open(key))
            continue;
        _cleanup_str_ struct str why = STR_INIT;
        str_printf(&why,
                   "node label '%.300s' is in a restricted Kubernetes namespace; the kubelet will "
                   "refuse to start. Labels in the kubernetes.io/ and k8s.io/ namespaces must use "
                   "one of the allowed prefixes (",
                   key);
        join(&why, open_prefixes, ARRAY_LEN(open_prefixes));
        str_append(&why, ") or be one of the allowed labels (");
        join(&why, open_labels, ARRAY_LEN(open_labels));
        str_append(&why, ").");
        return refuse(n, "node_labels", str_text(&why), e);
    }
    return 0;
}

static int check_fields(const struct nodegroup *n, size_t i, const json_t *taint, struct err *e)
{
    enum { SHOWN = 16 };
    const char *unknown[SHOWN], *key;
    size_t count = 0;
    json_t *v;
    _cleanup_str_ struct str why = STR_INIT;
    json_object_foreach((json_t *)taint, key,
                        v) if (strcmp(key, "key") != 0 && strcmp(key, "value") != 0 &&
                               strcmp(key, "effect") != 0 && count < SHOWN) unknown[count++] = key;
    if (count == 0)
        return 0;
    text_sort(unknown, count);
    str_printf(&why, "node_taints[%zu] contains unrecognised field(s) ", i);
    join(&why, unknown, count);
    str_append(&why, "; allowed fields are key, value, effect");
    return refuse(n, "node_taints", str_text(&why), e);
}

static int check_taint(const struct nodegroup *n, size_t i, const json_t *taint, struct err *e)
{
    static const char *const effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute"};
    char why[160];
    const char *effect = jsonx_str(taint, "effect");
    if (!json_is_object(taint)) {
        snprintf(why, sizeof why,
                 "node_taints[%zu] must be an object with key, effect and optional value", i);
        return refuse(n, "node_taints", why, e);
    }
    int rc = check_fields(n, i, taint, e);
    if (rc < 0)
        return rc;
    if (str_blank(jsonx_str(taint, "key"))) {
        snprintf(why, sizeof why, "node_taints[%zu].key is required", i);
        return refuse(n, "node_taints", why, e);
    }
    for (size_t k = 0; effect && k < ARRAY_LEN(effects); k++)
        if (strcmp(effect, effects[k]) == 0)
            return 0;
    snprintf(why, sizeof why,
             "node_taints[%zu].effect must be one of NoSchedule, PreferNoSchedule, NoExecute", i);
    return refuse(n, "node_taints", why, e);
}

int nodegroup_check_node_attributes(const struct nodegroup *n, struct err *e)
{
    bool master = str_eq(n->role, "master");
    size_t i;
    json_t *taint;
    if (master && json_object_size(n->node_labels) > 0)
        return refuse(n, "node_labels", "node_labels may not be set on master nodegroups", e);
    if (master && json_array_size(n->node_taints) > 0)
        return refuse(n, "node_taints", "node_taints may not be set on master nodegroups", e);
    int rc = n->node_labels ? check_labels(n, e) : 0;
    if (rc < 0)
        return rc;
    json_array_foreach(n->node_taints, i, taint)
    {
        rc = check_taint(n, i, taint, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}
