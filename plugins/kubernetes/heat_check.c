/* What Heat could only refuse later and less clearly, or what would come up wrong, is refused here:
 * master counts, network drivers, ranges, bare metal without a network. Names of flavors, images
 * and networks were checked by the API. See heat_run.h. */
#include "heat_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/heat_params.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int32_t refuse(const struct mag_call *c, const char *reason, const char *remedy,
                      const char *text)
{
    return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_USER, reason, remedy, "%s", text);
}

static int32_t check_masters(const struct mag_call *c)
{
    int64_t n = mag_json_int(mag_params_group(c->spec, true), "node_count", 1);
    if (n == 1 || n == 3 || n == 5)
        return MAG_OK;
    return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_USER, "BadMasterCount", "take 1, 3 or 5 masters",
                    "%lld masters can't be: etcd needs an odd number, at most 5", (long long)n);
}

static int32_t check_balancer(const struct mag_call *c)
{
    int64_t n = mag_json_int(mag_params_group(c->spec, true), "node_count", 1);
    if (n == 1 || mag_json_bool(c->spec, "cluster.master_lb_enabled", false))
        return MAG_OK;
    return refuse(c, "LoadBalancerNeeded", "set master_lb_enabled",
                  "Several masters need a load balancer in front of their API");
}

static int32_t check_tls(const struct mag_call *c)
{
    if (!mag_json_bool(c->spec, "template.tls_disabled", false))
        return MAG_OK;
    return refuse(c, "TlsNeeded", "take a template without tls_disabled",
                  "Kubernetes has no API without TLS since version 1.20");
}

static int32_t check_bare_metal(const struct mag_call *c)
{
    if (strcmp(mag_json_text(c->spec, "template.server_type", "vm"), "bm") != 0 ||
        *mag_json_text(c->spec, "cluster.fixed_network", ""))
        return MAG_OK;
    return refuse(c, "NetworkNeeded", "name a fixed_network that the machines are connected to",
                  "Bare metal nodes need a fixed_network: they can't be given one of their own");
}

static int32_t check_external(const struct mag_call *c)
{
    bool wanted = mag_json_bool(c->spec, "cluster.floating_ip_enabled", false);
    if (!wanted || *mag_json_text(c->spec, "template.external_network_id", ""))
        return MAG_OK;
    return refuse(c, "ExternalNetworkNeeded", "set external_network_id, or no floating IPs",
                  "Floating IPs need an external network");
}

static int32_t check_version(const struct mag_call *c)
{
    char tag[64];
    unsigned v[3];
    int32_t rc =
        mag_label_text(mag_labels_of(c->spec, NULL), "kube_tag", "", tag, sizeof tag, c->err);
    if (rc != MAG_OK || !tag[0] || mag_kube_parse_version(tag, v))
        return rc;
    return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_USER, "BadLabel",
                    "set the label to a version such as v1.27.4",
                    "Label kube_tag has the value '%.40s', which is no version", tag);
}

int32_t heat_pod_range(const struct mag_call *c, char ret[64])
{
    const char *driver = mag_json_text(c->spec, "template.network_driver", "flannel");
    const char *label = strcmp(driver, "calico") == 0 ? "calico_ipv4pool" : "flannel_network_cidr";
    char address[64];
    struct in_addr a;
    int32_t rc =
        mag_label_text(mag_labels_of(c->spec, NULL), label, "10.100.0.0/16", ret, 64, c->err);
    if (rc != MAG_OK)
        return rc;
    (void)snprintf(address, sizeof address, "%.*s", (int)strcspn(ret, "/"), ret);
    const char *slash = strchr(ret, '/');
    char *end = NULL;
    unsigned long len = slash ? strtoul(slash + 1, &end, 10) : 0;
    if (slash && end != slash + 1 && !*end && len >= 8 && len <= 24 &&
        inet_pton(AF_INET, address, &a) == 1)
        return MAG_OK;
    return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_USER, "BadLabel",
                    "set the label to a network such as 10.100.0.0/16",
                    "Label %s has the value '%.60s', but an IPv4 network of /8 to /24 is needed",
                    label, ret);
}

static int32_t check_network(const struct mag_call *c)
{
    static const char *const known[] = {"flannel", "calico", "cilium"};
    const char *driver = mag_json_text(c->spec, "template.network_driver", "flannel");
    char range[64];
    for (size_t i = 0; i < MAG_LEN(known); i++)
        if (strcmp(driver, known[i]) == 0)
            return heat_pod_range(c, range);
    return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_USER, "BadNetworkDriver",
                    "take flannel, calico or cilium",
                    "Kubernetes clusters have no network driver '%.40s'", driver);
}

/* Nodes fetch their certificates: they have to be told where. */
static int32_t check_site(const struct mag_call *c)
{
    if (*mag_config(c->self->host, "auth_url", "") && *mag_config(c->self->host, "magnum_url", ""))
        return MAG_OK;
    return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_OPERATOR, "SiteNotConfigured",
                    "set keystone.auth_url and api.public_url, as nodes reach them",
                    "Nodes can't be told where Keystone and Magnum are");
}

int32_t heat_check(struct mag_call *c)
{
    static int32_t (*const checks[])(const struct mag_call *) = {
        check_site,       check_masters,  check_balancer, check_tls,
        check_bare_metal, check_external, check_version,  check_network,
    };
    int32_t rc = MAG_OK;
    for (size_t i = 0; i < MAG_LEN(checks) && rc == MAG_OK; i++)
        rc = checks[i](c);
    return rc;
}
