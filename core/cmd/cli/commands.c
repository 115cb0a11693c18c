/* The command table: names, options, help. Options are named as `openstack coe` names them. */
#include "cmd/cli/cli.h"
#include "cmd/cli/commands_objects.h"

#define END                                                                                        \
    {                                                                                              \
        NULL, CLI_FLAG, NULL, NULL, NULL                                                           \
    }
#define WAIT_OPTIONS                                                                               \
    {"wait", CLI_FLAG, NULL, "wait until it is done, with progress on stderr", NULL},              \
    {                                                                                              \
        "wait-timeout", CLI_INT, "SECONDS", "give up waiting after this; 0 = never (0)", NULL      \
    }
#define PAGING                                                                                     \
    {"limit", CLI_INT, "N", "at most this many (all)", NULL},                                      \
        {"marker", CLI_TEXT, "UUID", "begin behind this one", NULL},                               \
        {"sort-key", CLI_TEXT, "KEY", "attribute to sort by", NULL},                               \
    {                                                                                              \
        "sort-dir", CLI_TEXT, "DIR", "asc or desc", NULL                                           \
    }
#define LABELS                                                                                     \
    {                                                                                              \
        "labels", CLI_MULTI, "K=V[,K=V]", "labels, may be repeated", NULL                          \
    }

static const struct cli_option template_create[] = {
    {"name", CLI_TEXT, "NAME", "its name, when it is not the argument", "name"},
    {"coe", CLI_TEXT, "COE", "kubernetes, swarm, swarm-mode or mesos (needed)", "coe"},
    {"image", CLI_TEXT, "IMAGE", "image of the nodes, name or id (needed)", "image_id"},
    {"external-network", CLI_TEXT, "NETWORK", "network with the floating IPs",
     "external_network_id"},
    {"server-type", CLI_TEXT, "TYPE", "vm, bm, or local: nodes on this machine", "server_type"},
    {"keypair", CLI_TEXT, "KEYPAIR", "keypair of the nodes", "keypair_id"},
    {"fixed-network", CLI_TEXT, "NETWORK", "private network", "fixed_network"},
    {"fixed-subnet", CLI_TEXT, "SUBNET", "private subnet", "fixed_subnet"},
    {"network-driver", CLI_TEXT, "DRIVER", "network driver of the COE", "network_driver"},
    {"volume-driver", CLI_TEXT, "DRIVER", "volume driver of the COE", "volume_driver"},
    {"driver", CLI_TEXT, "DRIVER", "Magnum driver, name or id", "driver"},
    {"dns-nameserver", CLI_TEXT, "IP[,IP]", "name servers of the nodes", "dns_nameserver"},
    {"flavor", CLI_TEXT, "FLAVOR", "flavor of the workers", "flavor_id"},
    {"master-flavor", CLI_TEXT, "FLAVOR", "flavor of the masters", "master_flavor_id"},
    {"docker-volume-size", CLI_INT, "GB", "volume for images and containers", "docker_volume_size"},
    {"docker-storage-driver", CLI_TEXT, "DRIVER", "storage driver", "docker_storage_driver"},
    {"http-proxy", CLI_TEXT, "URL", "proxy of the nodes", "http_proxy"},
    {"https-proxy", CLI_TEXT, "URL", "proxy of the nodes", "https_proxy"},
    {"no-proxy", CLI_TEXT, "LIST", "addresses reached without proxy", "no_proxy"},
    LABELS,
    {"tags", CLI_MULTI, "TAG[,TAG]", "tags, may be repeated", "tags"},
    {"insecure-registry", CLI_TEXT, "HOST:PORT", "registry without TLS", "insecure_registry"},
    {"tls-disabled", CLI_FLAG, NULL, "no TLS in the cluster", "tls_disabled"},
    {"public", CLI_FLAG, NULL, "usable by every project", "public"},
    {"hidden", CLI_FLAG, NULL, "not listed for others", "hidden"},
    {"visible", CLI_FLAG, NULL, "listed for others", "hidden"},
    {"registry-enabled", CLI_FLAG, NULL, "a registry in the cluster", "registry_enabled"},
    {"master-lb-enabled", CLI_FLAG, NULL, "load balancer before the masters", "master_lb_enabled"},
    {"floating-ip-enabled", CLI_FLAG, NULL, "floating IPs", "floating_ip_enabled"},
    {"floating-ip-disabled", CLI_FLAG, NULL, "no floating IPs", "floating_ip_enabled"},
    END,
};
static const struct cli_option cluster_create[] = {
    {"name", CLI_TEXT, "NAME", "its name, when it is not the argument", "name"},
    {"cluster-template", CLI_TEXT, "TEMPLATE", "name or uuid (needed)", "cluster_template_id"},
    {"node-count", CLI_INT, "N", "workers (1)", "node_count"},
    {"master-count", CLI_INT, "N", "masters: 1, 3, 5 (1)", "master_count"},
    {"keypair", CLI_TEXT, "KEYPAIR", "keypair of the nodes", "keypair"},
    {"timeout", CLI_INT, "MINUTES", "the service gives up after this (60)", "create_timeout"},
    {"flavor", CLI_TEXT, "FLAVOR", "flavor of the workers", "flavor_id"},
    {"master-flavor", CLI_TEXT, "FLAVOR", "flavor of the masters", "master_flavor_id"},
    {"docker-volume-size", CLI_INT, "GB", "volume for images and containers", "docker_volume_size"},
    {"discovery-url", CLI_TEXT, "URL", "etcd discovery", "discovery_url"},
    {"fixed-network", CLI_TEXT, "NETWORK", "private network", "fixed_network"},
    {"fixed-subnet", CLI_TEXT, "SUBNET", "private subnet", "fixed_subnet"},
    LABELS,
    {"merge-labels", CLI_FLAG, NULL, "labels are added to the template's", "merge_labels"},
    {"floating-ip-enabled", CLI_FLAG, NULL, "floating IPs", "floating_ip_enabled"},
    {"floating-ip-disabled", CLI_FLAG, NULL, "no floating IPs", "floating_ip_enabled"},
    {"master-lb-enabled", CLI_FLAG, NULL, "load balancer before the masters", "master_lb_enabled"},
    {"master-lb-disabled", CLI_FLAG, NULL, "no load balancer", "master_lb_enabled"},
    {"plan", CLI_FLAG, NULL, "only show what would be done", NULL},
    WAIT_OPTIONS,
    END,
};
static const struct cli_option paging[] = {
    PAGING,
    END,
};
static const struct cli_option limited[] = {
    {"limit", CLI_INT, "N", "at most this many (all)", NULL},
    END,
};
static const struct cli_option events[] = {
    {"follow", CLI_FLAG, NULL, "show events as they happen, to the end (-f)", NULL},
    {"limit", CLI_INT, "N", "at most this many (all)", NULL},
    END,
};
static const struct cli_option cluster_delete[] = {
    {"force", CLI_FLAG, NULL, "end even if the driver fails; says what is left behind", NULL},
    {"plan", CLI_FLAG, NULL, "only show what would be done", NULL},
    WAIT_OPTIONS,
    END,
};
static const struct cli_option nodegroup_list[] = {
    PAGING,
    {"role", CLI_TEXT, "ROLE", "only groups of this role", NULL},
    END,
};
static const struct cli_option cluster_update[] = {
    {"rollback", CLI_FLAG, NULL, "undo when it fails", NULL},
    {"plan", CLI_FLAG, NULL, "only show what would be done", NULL},
    WAIT_OPTIONS,
    END,
};
static const struct cli_option cluster_upgrade[] = {
    {"max-batch-size", CLI_INT, "N", "nodes replaced at the same time (1)", "max_batch_size"},
    {"nodegroup", CLI_TEXT, "NODEGROUP", "only this group", "nodegroup"},
    {"plan", CLI_FLAG, NULL, "only show what would be done", NULL},
    WAIT_OPTIONS,
    END,
};
static const struct cli_option cluster_resize[] = {
    {"nodegroup", CLI_TEXT, "NODEGROUP", "which group (default-worker)", "nodegroup"},
    {"nodes-to-remove", CLI_MULTI, "NODE", "name or id of a node to remove, may be repeated", NULL},
    {"plan", CLI_FLAG, NULL, "only show what would be done", NULL},
    WAIT_OPTIONS,
    END,
};
static const struct cli_option cert_list[] = {
    {"expiring", CLI_TEXT, "TIME", "only those that end within 30d, 12h, ... (all)", NULL},
    {"limit", CLI_INT, "N", "at most this many (all)", NULL},
    END,
};
static const struct cli_option waiting[] = {
    WAIT_OPTIONS,
    END,
};
static const struct cli_option cluster_config[] = {
    {"dir", CLI_TEXT, "DIR", "where the files go (.)", NULL},
    {"force", CLI_FLAG, NULL, "replace existing files", NULL},
    {"output-certs", CLI_FLAG, NULL, "certificates as files too (kubernetes)", NULL},
    END,
};
static const struct cli_option nodegroup_create[] = {
    {"node-count", CLI_INT, "N", "nodes (1)", "node_count"},
    {"min-nodes", CLI_INT, "N", "never fewer", "min_node_count"},
    {"max-nodes", CLI_INT, "N", "never more", "max_node_count"},
    {"role", CLI_TEXT, "ROLE", "role of the group (worker)", "role"},
    {"image", CLI_TEXT, "IMAGE", "image of the nodes", "image_id"},
    {"flavor", CLI_TEXT, "FLAVOR", "flavor of the nodes", "flavor_id"},
    {"docker-volume-size", CLI_INT, "GB", "volume for images and containers", "docker_volume_size"},
    LABELS,
    {"merge-labels", CLI_FLAG, NULL, "labels are added to the cluster's", "merge_labels"},
    {"node-labels", CLI_MULTI, "K=V[,K=V]", "labels of the nodes in the COE", NULL},
    {"node-taints", CLI_MULTI, "K[=V]:EFFECT", "taints of the nodes, may be repeated", NULL},
    WAIT_OPTIONS,
    END,
};
#define OF_CLUSTER                                                                                 \
    {                                                                                              \
        "cluster", CLI_TEXT, "CLUSTER", "name or uuid, when it is not the argument", NULL          \
    }
static const struct cli_option ca_sign[] = {
    OF_CLUSTER,
    {"csr", CLI_TEXT, "FILE", "the CSR, when it is not the argument", NULL},
    END,
};
static const struct cli_option ca_rotate[] = {
    OF_CLUSTER,
    WAIT_OPTIONS,
    END,
};
static const struct cli_option ca_show[] = {
    OF_CLUSTER,
    {"type", CLI_TEXT, "TYPE", "kubernetes (default), etcd or front-proxy", NULL},
    END,
};
static const struct cli_option stats[] = {
    {"project-id", CLI_TEXT, "PROJECT", "of this project", NULL},
    END,
};
static const struct cli_option quota_list[] = {
    PAGING,
    {"all-tenants", CLI_FLAG, NULL, "of all projects", NULL},
    END,
};

static const struct cli_option quota_of[] = {
    {"project-id", CLI_TEXT, "PROJECT", "id, when it is not the argument", NULL},
    {"resource", CLI_TEXT, "RESOURCE",
     "Cluster (if not given), Masters, Nodes, VCPUs, RAM, Volumes, LoadBalancers", NULL},
    END,
};
static const struct cli_option quota_set[] = {
    {"project-id", CLI_TEXT, "PROJECT", "id, when it is not the argument", NULL},
    {"resource", CLI_TEXT, "RESOURCE",
     "Cluster (if not given), Masters, Nodes, VCPUs, RAM, Volumes, LoadBalancers", NULL},
    {"hard-limit", CLI_INT, "N", "how many it may have (1)", NULL},
    END,
};
static const struct cli_option federation_create[] = {
    {"hostcluster", CLI_TEXT, "CLUSTER", "name or uuid (needed)", "hostcluster_id"},
    {"properties", CLI_MULTI, "K=V[,K=V]", "dns-zone is needed", NULL},
    END,
};

static const struct cli_option top[] = {
    {"once", CLI_FLAG, NULL, "print one frame and end; so it is when no terminal is there", NULL},
    {"interval", CLI_INT, "SECONDS", "between two looks (2)", NULL},
    END,
};

const struct cli_command cli_commands[] = {
    {"cluster template create", "Create a cluster template", "NAME", 0, 1, template_create,
     "magnum cluster template create swarm --coe swarm --image linux --server-type local",
     cmd_template_create},
    {"cluster template list", "List cluster templates", "", 0, 0, paging,
     "magnum cluster template list -f value -c name", cmd_template_list},
    {"cluster template show", "Show a cluster template", "TEMPLATE", 1, 1, NULL,
     "magnum cluster template show swarm", cmd_template_show},
    {"cluster template update", "Change attributes of a cluster template",
     "TEMPLATE OP PATH=VALUE...", 3, 100, NULL,
     "magnum cluster template update swarm replace public=True", cmd_template_update},
    {"cluster template delete", "Delete cluster templates", "TEMPLATE...", 1, 100, NULL,
     "magnum cluster template delete swarm", cmd_template_delete},
    {"cluster create", "Create a cluster", "[NAME]", 0, 1, cluster_create,
     "magnum cluster create demo --cluster-template swarm --node-count 2 --wait",
     cmd_cluster_create},
    {"cluster list", "List clusters", "", 0, 0, paging, "magnum cluster list -f json",
     cmd_cluster_list},
    {"cluster show", "Show a cluster", "CLUSTER", 1, 1, NULL, "magnum cluster show demo -f yaml",
     cmd_cluster_show},
    {"cluster update", "Change attributes of a cluster", "CLUSTER OP PATH=VALUE...", 3, 100,
     cluster_update, "magnum cluster update demo replace node_count=3 --wait", cmd_cluster_update},
    {"cluster resize", "Change the number of nodes", "CLUSTER NODE_COUNT", 2, 2, cluster_resize,
     "magnum cluster resize demo 3 --wait", cmd_cluster_resize},
    {"cluster upgrade", "Give a cluster the versions of another template", "CLUSTER TEMPLATE", 2, 2,
     cluster_upgrade, "magnum cluster upgrade demo newer --wait", cmd_cluster_upgrade},
    {"cluster delete", "Delete clusters", "CLUSTER...", 1, 100, cluster_delete,
     "magnum cluster delete demo --wait", cmd_cluster_delete},
    {"cluster events", "Show what happened to a cluster", "CLUSTER", 1, 1, events,
     "magnum cluster events demo -f", cmd_cluster_events},
    {"cluster config", "Write what docker or kubectl needs", "CLUSTER", 1, 1, cluster_config,
     "eval $(magnum cluster config demo --dir demo-config)", cmd_cluster_config},
    {"nodegroup list", "List the nodegroups of a cluster", "CLUSTER", 1, 1, nodegroup_list,
     "magnum nodegroup list demo", cmd_nodegroup_list},
    {"nodegroup show", "Show a nodegroup", "CLUSTER NODEGROUP", 2, 2, NULL,
     "magnum nodegroup show demo default-worker", cmd_nodegroup_show},
    {"nodegroup create", "Add a nodegroup", "CLUSTER NAME", 2, 2, nodegroup_create,
     "magnum nodegroup create demo extra --node-count 2 --wait", cmd_nodegroup_create},
    {"nodegroup update", "Change attributes of a nodegroup", "CLUSTER NODEGROUP OP PATH=VALUE...",
     4, 100, waiting, "magnum nodegroup update demo extra replace max_node_count=5",
     cmd_nodegroup_update},
    {"nodegroup delete", "Remove a nodegroup", "CLUSTER NODEGROUP", 2, 2, waiting,
     "magnum nodegroup delete demo extra --wait", cmd_nodegroup_delete},
    {"operation list", "List operations, newest first", "[CLUSTER]", 0, 1, limited,
     "magnum operation list demo", cmd_operation_list},
    {"operation show", "Show an operation", "OPERATION", 1, 1, NULL,
     "magnum operation show 5e0c4f9a-...", cmd_operation_show},
    {"operation events", "Show what happened in an operation", "OPERATION", 1, 1, events,
     "magnum operation events 5e0c4f9a-... -f", cmd_operation_events},
    {"operation retry", "Try a failed or blocked operation again", "OPERATION", 1, 1, waiting,
     "magnum operation retry 5e0c4f9a-... --wait", cmd_operation_retry},
    {"operation cancel", "Ask an operation to stop", "OPERATION", 1, 1, NULL,
     "magnum operation cancel 5e0c4f9a-...", cmd_operation_cancel},
    {"driver list", "List the drivers of this deployment", "", 0, 0, NULL, "magnum driver list",
     cmd_driver_list},
    {"driver show", "Show a driver with its labels", "DRIVER", 1, 1, NULL,
     "magnum driver show org.magnum.swarm -f yaml", cmd_driver_show},
    {"ca show", "Print a cluster's CA certificate", "CLUSTER", 0, 1, ca_show, "magnum ca show demo",
     cmd_ca_show},
    {"ca sign", "Have a CSR signed by a cluster's CA", "CLUSTER CSR_FILE", 0, 2, ca_sign,
     "magnum ca sign demo client.csr", cmd_ca_sign},
    {"ca rotate", "Give a cluster a new CA; the old one is trusted for a while", "CLUSTER", 0, 1,
     ca_rotate, "magnum ca rotate demo --wait", cmd_ca_rotate},
    {"cert list", "List the certificates kept for clusters, soonest end first", "", 0, 0, cert_list,
     "magnum cert list --expiring 30d", cmd_cert_list},
    {"credential rotate", "Give a cluster's nodes new credentials", "CLUSTER", 1, 1, waiting,
     "magnum credential rotate demo --wait", cmd_credential_rotate},
    {"service list", "List conductors", "", 0, 0, NULL, "magnum service list", cmd_service_list},
    {"stats", "Count clusters and nodes", "", 0, 0, stats, "magnum stats", cmd_stats},
    {"top", "Watch operations in progress, conductors and drivers; q quits", "", 0, 0, top,
     "magnum top --interval 5", cmd_top},
    {"quota list", "List quotas", "", 0, 0, quota_list, "magnum quota list --all-tenants",
     cmd_quota_list},
    {"quota usage", "Show what a project's clusters use, and its limits", "[PROJECT]", 0, 1, NULL,
     "magnum quota usage", cmd_quota_usage},
    {"quota show", "Show a project's quota", "PROJECT [RESOURCE]", 0, 2, quota_of,
     "magnum quota show 3f1b...", cmd_quota_show},
    {"quota create", "Set a project's quota", "PROJECT [RESOURCE]", 0, 2, quota_set,
     "magnum quota create 3f1b... --hard-limit 10", cmd_quota_create},
    {"quota update", "Change a project's quota", "PROJECT [RESOURCE]", 0, 2, quota_set,
     "magnum quota update 3f1b... --hard-limit 20", cmd_quota_update},
    {"quota delete", "Give a project the default quota again", "PROJECT [RESOURCE]", 0, 2, quota_of,
     "magnum quota delete 3f1b...", cmd_quota_delete},
    {"federation list", "List federations", "", 0, 0, paging, "magnum federation list",
     cmd_federation_list},
    {"federation show", "Show a federation", "FEDERATION", 1, 1, NULL,
     "magnum federation show world", cmd_federation_show},
    {"federation create", "Record a federation of clusters", "NAME", 1, 1, federation_create,
     "magnum federation create world --hostcluster demo --properties dns-zone=example.org",
     cmd_federation_create},
    {"federation join", "Add a cluster to a federation", "FEDERATION CLUSTER", 2, 2, NULL,
     "magnum federation join world demo", cmd_federation_join},
    {"federation unjoin", "Take a cluster out of a federation", "FEDERATION CLUSTER", 2, 2, NULL,
     "magnum federation unjoin world demo", cmd_federation_unjoin},
    {"federation delete", "Delete federations", "FEDERATION...", 1, 100, NULL,
     "magnum federation delete world", cmd_federation_delete},
    {"complete", "Print the completion script of a shell", "bash|zsh", 1, 1, NULL,
     "magnum complete bash > ~/.local/share/bash-completion/completions/magnum", cmd_complete},
    CLI_OBJECT_COMMANDS,
    {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
