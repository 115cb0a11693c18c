/* The labels of a local cluster as numbers and texts, each checked before anything is made of it.
 * Neighbours: local_run.h, kubernetes.labels.schema.json (what the API checks by itself). */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { FABRIC_BASE = 0x0a4d0000 }; /* 10.77.0.0/24, the nodes' own network */

void local_ipv4(uint32_t address, char ret[16])
{
    (void)snprintf(ret, 16, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
                   address & 255);
}

static int32_t bad(mag_error *err, const char *name, const char *value, const char *want)
{
    char remedy[160];
    (void)snprintf(remedy, sizeof remedy, "set the label to %s, or leave it away", want);
    return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "BadLabel", remedy,
                    "Label %s has the value '%.60s', but %s is needed", name, value, want);
}

struct range {
    const char *name, *def;
    unsigned min_len, max_len; /* of its mask */
};

static int32_t read_range(struct mag_labels l, const struct range *want, char text[32],
                          uint32_t *ret, unsigned *ret_len, mag_error *err)
{
    char host[32], need[64];
    struct in_addr a;
    int32_t rc = mag_label_text(l, want->name, want->def, text, 32, err);
    if (rc != MAG_OK)
        return rc;
    (void)snprintf(need, sizeof need, "an IPv4 network of /%u to /%u", want->min_len,
                   want->max_len);
    const char *slash = strchr(text, '/');
    char *end = NULL;
    unsigned long len = slash ? strtoul(slash + 1, &end, 10) : 0;
    (void)snprintf(host, sizeof host, "%.*s", slash ? (int)(slash - text) : 0, text);
    if (!slash || !isdigit((unsigned char)slash[1]) || *end || len < want->min_len ||
        len > want->max_len || inet_pton(AF_INET, host, &a) != 1 ||
        (ntohl(a.s_addr) & (0xffffffffU >> len)) != 0)
        return bad(err, want->name, text, need);
    *ret = ntohl(a.s_addr);
    *ret_len = (unsigned)len;
    return MAG_OK;
}

static bool overlap(uint32_t a, unsigned a_len, uint32_t b, unsigned b_len)
{
    unsigned len = a_len < b_len ? a_len : b_len;
    return (a ^ b) >> (32 - len) == 0;
}

/* A node has a /24 of the pods' range, at its index: 200 of them need a /16. */
static int32_t read_ranges(struct mag_labels l, struct settings *s, mag_error *err)
{
    static const struct range pods = {"flannel_network_cidr", "10.100.0.0/16", 8, 16};
    static const struct range services = {"service_cluster_ip_range", "10.254.0.0/16", 12, 24};
    unsigned pods_len = 0, services_len = 0;
    int32_t rc = read_range(l, &pods, s->pods, &s->pods_base, &pods_len, err);
    if (rc == MAG_OK)
        rc = read_range(l, &services, s->services, &s->services_base, &services_len, err);
    if (rc != MAG_OK)
        return rc;
    if (overlap(s->pods_base, pods_len, s->services_base, services_len))
        return bad(err, services.name, s->services, "a network outside of flannel_network_cidr");
    if (overlap(s->pods_base, pods_len, FABRIC_BASE, 24))
        return bad(err, pods.name, s->pods, "a network outside of 10.77.0.0/24, the nodes' own");
    if (overlap(s->services_base, services_len, FABRIC_BASE, 24))
        return bad(err, services.name, s->services,
                   "a network outside of 10.77.0.0/24, the nodes' own");
    return MAG_OK;
}

static int32_t read_words(struct mag_labels l, const char *name, struct words *ret, mag_error *err)
{
    int32_t rc = mag_label_text(l, name, "", ret->text, sizeof ret->text, err);
    size_t n = 0;
    char *save = NULL;
    if (rc != MAG_OK)
        return rc;
    for (char *w = strtok_r(ret->text, " \t\n", &save); w; w = strtok_r(NULL, " \t\n", &save)) {
        if (n == WORDS_MAX || strncmp(w, "--", 2) != 0)
            return bad(err, name, w, "a list of at most 24 flags, each as --flag=value");
        ret->v[n++] = w;
    }
    return MAG_OK;
}

static int32_t one_of(struct mag_labels l, const char *name, const char *only, mag_error *err)
{
    char text[64];
    int32_t rc = mag_label_text(l, name, "", text, sizeof text, err);
    return rc != MAG_OK || !text[0] || strcmp(text, only) == 0 ? rc : bad(err, name, text, only);
}

int32_t local_settings(const json_t *spec, struct settings *s, mag_error *err)
{
    struct mag_labels l = mag_labels_of(spec, NULL);
    memset(s, 0, sizeof *s);
    unsigned v[3];
    int32_t rc = mag_label_text(l, "kube_tag", "", s->version, sizeof s->version, err);
    if (rc == MAG_OK && s->version[0] && !mag_kube_parse_version(s->version, v))
        rc = bad(err, "kube_tag", s->version, "a version such as v1.20.2");
    if (rc == MAG_OK)
        rc = read_ranges(l, s, err);
    if (rc == MAG_OK)
        rc = mag_label_text(l, "dns_cluster_domain", "cluster.local", s->domain, sizeof s->domain,
                            err);
    if (rc == MAG_OK)
        rc =
            mag_label_text(l, "admission_control_list", "", s->admission, sizeof s->admission, err);
    if (rc == MAG_OK)
        rc = one_of(l, "container_runtime", "containerd", err);
    if (rc == MAG_OK)
        rc = one_of(l, "cgroup_driver", "cgroupfs", err);
    if (rc == MAG_OK)
        rc = read_words(l, "kubeapi_options", &s->apiserver, err);
    if (rc == MAG_OK)
        rc = read_words(l, "kubecontroller_options", &s->controllers, err);
    if (rc == MAG_OK)
        rc = read_words(l, "kubescheduler_options", &s->scheduler, err);
    if (rc == MAG_OK)
        rc = read_words(l, "kubelet_options", &s->kubelet, err);
    if (rc == MAG_OK)
        rc = read_words(l, "kubeproxy_options", &s->proxy, err);
    return rc;
}

int32_t local_group_labels(const json_t *spec, const struct mag_roster_group *g,
                           int64_t *ret_memory_mb, int64_t *ret_drain_ms, mag_error *err)
{
    struct mag_labels l = mag_labels_of(spec, g ? g->json : NULL);
    int64_t seconds = 0;
    int32_t rc = mag_label_int(l, "node_memory_mb", 256, 1 << 22, 0, ret_memory_mb, err);
    if (rc == MAG_OK)
        rc = mag_label_int(l, "drain_timeout_seconds", 0, 3600, 60, &seconds, err);
    *ret_drain_ms = seconds * 1000;
    return rc;
}
