/* The attribute tables: facts of api.md 6.2, 7, 8.1, 9.1, 10, 12, 15 in the order in which Magnum
 * checks them. See attrs.h. */
#include "api/attrs.h"

#include "base/cleanup.h"

#include <ctype.h>

#define NO ATTR_NO_LIMIT
#define STRING(n, lo, hi) .name = (n), .type = ATTR_STRING, .min = (lo), .max = (hi)
#define NAME(n) STRING(n, 1, 255)
#define TEXT(n) .name = (n), .type = ATTR_TEXT
#define INT(n, lo, hi) .name = (n), .type = ATTR_INT, .min = (lo), .max = (hi)
#define BOOL(n) .name = (n), .type = ATTR_BOOL
#define OF(n, t) .name = (n), .type = (t)
#define READONLY(n) .name = (n), .type = ATTR_ANY, .flags = ATTR_READONLY
#define TIMES                                                                                      \
    {.name = "created_at", .type = ATTR_TIME, .flags = ATTR_READONLY},                             \
    {                                                                                              \
        .name = "updated_at", .type = ATTR_TIME, .flags = ATTR_READONLY                            \
    }

static bool is_cluster_name(const char *s)
{
    if (!isalpha((unsigned char)*s))
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '_' && *s != '.' && *s != '-')
            return false;
    return true;
}

/* Letters of any language count as word characters. */
static bool is_patch_path(const char *s)
{
    if (*s != '/')
        return false;
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s, next = (unsigned char)s[1];
        if (c == '/' ? next == '/' || next == '\0'
                     : !isalnum(c) && c != '_' && c != '-' && c < 0x80)
            return false;
    }
    return true;
}

#define CLUSTER_NAME                                                                               \
    STRING("name", 1, 242), .pattern = "^[a-zA-Z][a-zA-Z0-9_.-]*$", .matches = is_cluster_name

static const char *const statuses[] = {"ADOPT_COMPLETE",
                                       "CHECK_COMPLETE",
                                       "CREATE_COMPLETE",
                                       "CREATE_FAILED",
                                       "CREATE_IN_PROGRESS",
                                       "DELETE_COMPLETE",
                                       "DELETE_FAILED",
                                       "DELETE_IN_PROGRESS",
                                       "RESTORE_COMPLETE",
                                       "RESUME_COMPLETE",
                                       "RESUME_FAILED",
                                       "ROLLBACK_COMPLETE",
                                       "ROLLBACK_FAILED",
                                       "ROLLBACK_IN_PROGRESS",
                                       "SNAPSHOT_COMPLETE",
                                       "UPDATE_COMPLETE",
                                       "UPDATE_FAILED",
                                       "UPDATE_IN_PROGRESS",
                                       NULL};
static const char *const health[] = {"HEALTHY", "UNHEALTHY", "UNKNOWN", NULL};
static const char *const coes[] = {"kubernetes", "mesos", "swarm", "swarm-mode", NULL};
static const char *const coes_zed[] = {"dcos", "kubernetes", "mesos", "swarm", "swarm-mode", NULL};
static const char *const server_types[] = {"bm", "local", "vm", NULL};
static const char *const server_types_zed[] = {"bm", "vm", NULL};
static const char *const quota_resources[] = {"Cluster", NULL};
static const char *const quota_resources_more[] = {"LoadBalancers", "Masters", "Nodes", "RAM",
                                                   "VCPUs",         "Volumes", NULL};
static const char *const patch_ops[] = {"add", "remove", "replace", NULL};
static const char *const federation_statuses[] = {"CREATE_COMPLETE",    "CREATE_FAILED",
                                                  "CREATE_IN_PROGRESS", "DELETE_COMPLETE",
                                                  "DELETE_FAILED",      "DELETE_IN_PROGRESS",
                                                  "UPDATE_COMPLETE",    "UPDATE_FAILED",
                                                  "UPDATE_IN_PROGRESS", NULL};

static const struct attr cluster[] = {
    {OF("uuid", ATTR_UUID)},
    {CLUSTER_NAME},
    {TEXT("cluster_template_id"), .flags = ATTR_MANDATORY},
    {NAME("keypair")},
    {INT("node_count", 0, NO), .dflt = "1"},
    {INT("master_count", 1, NO), .dflt = "1"},
    {INT("docker_volume_size", 1, NO)},
    {OF("labels", ATTR_LABELS)},
    {NAME("master_flavor_id")},
    {NAME("flavor_id")},
    {INT("create_timeout", 0, NO), .dflt = "60"},
    {READONLY("links")},
    {READONLY("stack_id")},
    {.name = "cluster_id", .type = ATTR_ANY, .flags = ATTR_READONLY | ATTR_HEAD},
    {OF("status", ATTR_ENUM), .choices = statuses},
    {TEXT("status_reason")},
    {OF("health_status", ATTR_ENUM), .choices = health},
    {OF("health_status_reason", ATTR_TEXT_DICT)},
    {TEXT("discovery_url"), .max = 255},
    {READONLY("api_address")},
    {READONLY("coe_version")},
    {READONLY("container_version")},
    {READONLY("project_id")},
    {READONLY("user_id")},
    {READONLY("node_addresses")},
    {READONLY("master_addresses")},
    {OF("faults", ATTR_TEXT_DICT)},
    {NAME("fixed_network")},
    {NAME("fixed_subnet")},
    {BOOL("floating_ip_enabled")},
    {BOOL("merge_labels"), .dflt = "false"},
    {OF("labels_overridden", ATTR_LABELS)},
    {OF("labels_added", ATTR_LABELS)},
    {OF("labels_skipped", ATTR_LABELS)},
    {BOOL("master_lb_enabled")},
    TIMES,
};

static const struct attr template[] = {
    {OF("uuid", ATTR_UUID)},
    {NAME("name")},
    {OF("coe", ATTR_ENUM), .choices = coes, .choices_zed = coes_zed},
    {NAME("image_id"), .flags = ATTR_MANDATORY},
    {NAME("flavor_id")},
    {NAME("master_flavor_id")},
    {OF("dns_nameserver", ATTR_DNS)},
    {NAME("keypair_id")},
    {NAME("external_network_id")},
    {NAME("fixed_network")},
    {NAME("fixed_subnet")},
    {NAME("network_driver")},
    {INT("apiserver_port", 1024, 65535)},
    {INT("docker_volume_size", 1, NO)},
    {NAME("cluster_distro")},
    {READONLY("links")},
    {NAME("http_proxy")},
    {NAME("https_proxy")},
    {NAME("no_proxy")},
    {NAME("volume_driver")},
    {BOOL("registry_enabled"), .dflt = "false"},
    {OF("labels", ATTR_LABELS)},
    {BOOL("tls_disabled"), .dflt = "false"},
    {BOOL("public"), .dflt = "false"},
    {OF("server_type", ATTR_ENUM), .choices = server_types, .choices_zed = server_types_zed,
     .dflt = "\"vm\""},
    {NAME("insecure_registry")},
    {NAME("docker_storage_driver")},
    {BOOL("master_lb_enabled"), .dflt = "false"},
    {BOOL("floating_ip_enabled"), .dflt = "true"},
    {READONLY("project_id")},
    {READONLY("user_id")},
    {BOOL("hidden"), .dflt = "false"},
    {STRING("tags", 0, 255)},
    {NAME("driver"), .flags = ATTR_HEAD},
    TIMES,
};

static const struct attr bay[] = {
    {OF("uuid", ATTR_UUID)},
    {CLUSTER_NAME},
    {TEXT("baymodel_id"), .flags = ATTR_MANDATORY},
    {INT("node_count", 0, NO), .dflt = "1"}, /* 1, once the model is found */
    {INT("master_count", 1, NO), .dflt = "1"},
    {INT("docker_volume_size", 1, NO)},
    {OF("labels", ATTR_LABELS)},
    {NAME("master_flavor_id")},
    {NAME("flavor_id")},
    {INT("bay_create_timeout", 0, NO), .dflt = "60"},
    {READONLY("links")},
    {READONLY("stack_id")},
    {OF("status", ATTR_ENUM), .choices = statuses},
    {TEXT("status_reason")},
    {TEXT("discovery_url"), .max = 255},
    {READONLY("api_address")},
    {READONLY("coe_version")},
    {READONLY("container_version")},
    {READONLY("node_addresses")},
    {READONLY("master_addresses")},
    {OF("bay_faults", ATTR_TEXT_DICT)},
    {NAME("fixed_network")},
    {NAME("fixed_subnet")},
    {BOOL("floating_ip_enabled"), .dflt = "true"},
    {BOOL("master_lb_enabled")},
    TIMES,
};

static const struct attr baymodel[] = {
    {OF("uuid", ATTR_UUID)},
    {NAME("name")},
    {OF("coe", ATTR_ENUM), .choices = coes, .choices_zed = coes_zed},
    {NAME("image_id"), .flags = ATTR_MANDATORY},
    {NAME("flavor_id")},
    {NAME("master_flavor_id")},
    {OF("dns_nameserver", ATTR_IPV4)},
    {NAME("keypair_id"), .flags = ATTR_MANDATORY},
    {NAME("external_network_id")},
    {NAME("fixed_network")},
    {NAME("fixed_subnet")},
    {NAME("network_driver")},
    {INT("apiserver_port", 1024, 65535)},
    {INT("docker_volume_size", 1, NO)},
    {NAME("cluster_distro")},
    {READONLY("links")},
    {NAME("http_proxy")},
    {NAME("https_proxy")},
    {NAME("no_proxy")},
    {NAME("volume_driver")},
    {BOOL("registry_enabled"), .dflt = "false"},
    {OF("labels", ATTR_TEXT_DICT)},
    {BOOL("tls_disabled"), .dflt = "false"},
    {BOOL("public"), .dflt = "false"},
    {OF("server_type", ATTR_ENUM), .choices = server_types, .choices_zed = server_types_zed,
     .dflt = "\"vm\""},
    {NAME("insecure_registry")},
    {NAME("docker_storage_driver")},
    {BOOL("master_lb_enabled"), .dflt = "false"},
    {BOOL("floating_ip_enabled"), .dflt = "true"},
    {BOOL("hidden"), .dflt = "false"},
    {STRING("tags", 0, 255)},
    TIMES,
};

static const struct attr nodegroup[] = {
    {INT("id", NO, NO)},
    {OF("uuid", ATTR_UUID)},
    {NAME("name")},
    {TEXT("cluster_id")},
    {READONLY("project_id")},
    {INT("docker_volume_size", 1, NO)},
    {OF("labels", ATTR_LABELS)},
    {READONLY("links")},
    {NAME("flavor_id")},
    {NAME("image_id")},
    {READONLY("node_addresses")},
    {INT("node_count", 0, NO), .dflt = "1"},
    {NAME("role"), .dflt = "\"worker\""},
    {INT("min_node_count", 0, NO), .dflt = "0"},
    {INT("max_node_count", 0, NO)},
    {BOOL("is_default")},
    {READONLY("stack_id")},
    {OF("status", ATTR_ENUM), .choices = statuses},
    {TEXT("status_reason")},
    {TEXT("version"), .max = 20},
    {BOOL("merge_labels"), .dflt = "false"},
    {OF("labels_overridden", ATTR_LABELS)},
    {OF("labels_added", ATTR_LABELS)},
    {OF("labels_skipped", ATTR_LABELS)},
    {OF("node_labels", ATTR_TEXT_DICT), .flags = ATTR_HEAD},
    {OF("node_taints", ATTR_DICT_LIST), .flags = ATTR_HEAD},
    TIMES,
};

static const struct attr resize[] = {
    {INT("node_count", 0, NO), .flags = ATTR_MANDATORY},
    {OF("nodes_to_remove", ATTR_TEXT_LIST), .dflt = "[]"},
    {NAME("nodegroup")},
};

static const struct attr upgrade[] = {
    {INT("max_batch_size", 1, NO)},
    {NAME("nodegroup")},
    {NAME("cluster_template")},
};

static const struct attr certificate[] = {
    {TEXT("bay_uuid"), .flags = ATTR_ZED},
    {TEXT("cluster_uuid")},
    {READONLY("links")},
    {STRING("csr", 1, NO)},
    {TEXT("pem")},
    {TEXT("ca_cert_type")},
    TIMES,
};

static const struct attr quota[] = {
    {INT("id", NO, NO)},
    {INT("hard_limit", 0, NO), .dflt = "1"},
    {NAME("project_id")},
    {OF("resource", ATTR_ENUM), .choices = quota_resources, .choices_more = quota_resources_more,
     .dflt = "\"Cluster\""},
    TIMES,
};

static const struct attr federation[] = {
    {OF("uuid", ATTR_UUID)},
    {CLUSTER_NAME},
    {TEXT("hostcluster_id")},
    {OF("member_ids", ATTR_TEXT_LIST)},
    {OF("status", ATTR_ENUM), .choices = federation_statuses},
    {TEXT("status_reason")},
    {OF("properties", ATTR_TEXT_DICT)},
    {READONLY("links")},
    TIMES,
};

static const struct attr patch_operation[] = {
    {STRING("path", NO, NO), .pattern = "^(/[\\w-]+)+$", .matches = is_patch_path,
     .flags = ATTR_MANDATORY},
    {OF("op", ATTR_ENUM), .choices = patch_ops, .flags = ATTR_MANDATORY},
    {OF("value", ATTR_TEXT_OR_INT)},
};

#define TABLE(symbol, arg, what, rows)                                                             \
    const struct attr_table symbol = {                                                             \
        .argument = (arg), .type = (what), .v = (rows), .n = ARRAY_LEN(rows)}

TABLE(attrs_cluster, "cluster", "Cluster", cluster);
TABLE(attrs_template, "cluster_template", "ClusterTemplate", template);
TABLE(attrs_nodegroup, "nodegroup", "NodeGroup", nodegroup);
TABLE(attrs_resize, "cluster_resize_req", "ClusterResizeRequest", resize);
TABLE(attrs_upgrade, "cluster_upgrade_req", "ClusterUpgradeRequest", upgrade);
TABLE(attrs_bay, "bay", "Bay", bay);
TABLE(attrs_baymodel, "baymodel", "BayModel", baymodel);
TABLE(attrs_certificate, "certificate", "Certificate", certificate);
TABLE(attrs_quota, "quota", "Quota", quota);
TABLE(attrs_quota_update, "quotapatch", "Quota", quota);
TABLE(attrs_federation, "federation", "Federation", federation);
TABLE(attrs_patch_operation, "patch", "JsonPatchType", patch_operation);
