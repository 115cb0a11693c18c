/* See spec.h. */
#include "model/spec.h"

json_t *spec_build(const struct cluster *c, const struct template *t, const struct nodegroup *ngs,
                   size_t n_ngs, const json_t *params)
{
    static const char *const hidden[] = {
        "trust_id",      "trustee_username",     "trustee_user_id",  "trustee_password",
        "ca_cert_ref",   "magnum_cert_ref",      "etcd_ca_cert_ref", "front_proxy_ca_cert_ref",
        "health_status", "health_status_reason", "health_at",        "status_reason",
    };
    _cleanup_json_ json_t *spec = json_object();
    json_t *cluster = cluster_json(c), *groups = json_array();
    for (size_t i = 0; cluster && i < ARRAY_LEN(hidden); i++)
        (void)json_object_del(cluster, hidden[i]);
    int bad = !spec;
    bad |= json_object_set_new(spec, "cluster", cluster);
    bad |= json_object_set_new(spec, "template", t ? template_json(t) : json_null());
    for (size_t i = 0; i < n_ngs; i++)
        bad |= json_array_append_new(groups, nodegroup_json(&ngs[i]));
    bad |= json_object_set_new(spec, "nodegroups", groups);
    bad |= json_object_set_new(spec, "params", params ? json_deep_copy(params) : json_object());
    return bad ? NULL : TAKE_PTR(spec);
}
