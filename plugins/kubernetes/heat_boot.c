/* What a node gets at its first boot: the files of boot/ and the values of its cluster and
 * nodegroup. Values that only Heat knows are placeholders. See heat_run.h, lib/boot. */
#include "heat_run.h"

#include "lib/boot.h"
#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/heat_params.h"

#include <stdio.h>
#include <string.h>

/* "key=value,key=value" of an object, or "key=value:Effect,..." of a list of taints. */
static json_t *words_of(const json_t *from)
{
    char text[2048];
    size_t used = 0, i;
    const char *key;
    json_t *v;
    text[0] = '\0';
    json_object_foreach((json_t *)(uintptr_t)from, key, v)
    {
        if (json_is_string(v) && used < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s=%s", used ? "," : "",
                                     key, json_string_value(v));
    }
    json_array_foreach(from, i, v)
    {
        const char *value = mag_json_text(v, "value", "");
        if (used < sizeof text)
            used +=
                (size_t)snprintf(text + used, sizeof text - used, "%s%s%s%s:%s", used ? "," : "",
                                 mag_json_text(v, "key", ""), *value ? "=" : "", value,
                                 mag_json_text(v, "effect", "NoSchedule"));
    }
    return used < sizeof text ? json_string(text) : NULL;
}

static int32_t own_values(struct heat_run *r, const json_t *group, json_t **ret)
{
    const struct mag_call *c = r->c;
    struct mag_labels l = mag_labels_of(c->spec, group);
    char pods[64], services[64], domain[128];
    int64_t etcd = 0;
    int32_t rc = heat_pod_range(c, pods);
    if (rc == MAG_OK)
        rc = mag_label_text(l, "service_cluster_ip_range", "10.254.0.0/16", services,
                            sizeof services, c->err);
    if (rc == MAG_OK)
        rc =
            mag_label_text(l, "dns_cluster_domain", "cluster.local", domain, sizeof domain, c->err);
    if (rc == MAG_OK)
        rc = mag_label_int(l, "etcd_volume_size", 0, 1 << 16, 0, &etcd, c->err);
    if (rc != MAG_OK)
        return rc;
    *ret =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:s, s:b}", "KUBE_VERSION",
                  heat_version(r, group), "POD_CIDR", pods, "SERVICE_CIDR", services, "DNS_DOMAIN",
                  domain, "NETWORK_DRIVER",
                  mag_json_text(c->spec, "template.network_driver", "flannel"), "ETCD_VOLUME_SIZE",
                  (json_int_t)etcd, "NODE_LABELS", words_of(mag_json_at(group, "node_labels")),
                  "NODE_TAINTS", words_of(mag_json_at(group, "node_taints")), "EXTERNAL_NETWORK",
                  mag_json_text(c->spec, "template.external_network_id", ""), "OCTAVIA_ENABLED", 1);
    return *ret ? MAG_OK
                : mag_fail(c->err, MAG_E_INVALID, MAG_ERR_USER, "TooManyLabels",
                           "take fewer or shorter ones",
                           "The labels or taints of nodegroup %.60s do not fit",
                           mag_json_text(group, "name", "?"));
}

int32_t heat_user_data(struct heat_run *r, const json_t *group, char **ret)
{
    json_t *own = NULL;
    int32_t rc = own_values(r, group, &own);
    return rc == MAG_OK ? mag_boot_node(r->c, "kubernetes", group, own, ret) : rc;
}
