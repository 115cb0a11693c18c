/* See heat_params.h. What a cluster does not say is left to the templates' defaults. */
#include "lib/heat_params.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/http.h"
#include "lib/names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { WAIT_S = 6000, VOLUME_MAX = 1 << 16, BATCH_MAX = 200 };

/* A label and the parameter it becomes. */
struct label_parameter {
    const char *label, *parameter;
    enum { TEXT, NUMBER, BOOLEAN } type;
};

const json_t *mag_params_group(const json_t *spec, bool master)
{
    size_t i;
    json_t *g;
    json_array_foreach(mag_json_at(spec, "nodegroups"), i, g)
    {
        bool is = strcmp(mag_json_text(g, "role", ""), "master") == 0;
        if (is == master && (master || mag_json_bool(g, "is_default", false)))
            return g;
    }
    return NULL;
}

void mag_params_node_name(const json_t *spec, const json_t *group, char ret[64])
{
    bool is_default = mag_json_bool(group, "is_default", false);
    const char *role = mag_json_text(group, "role", "worker");
    mag_hostname(ret, mag_json_text(spec, "cluster.name", "cluster"),
                 is_default ? role : mag_json_text(group, "name", "nodes"), 0);
    ret[strlen(ret) - 2] = '\0'; /* without "-0" */
}

static void put(json_t *p, const char *key, json_t *value)
{
    (void)json_object_set_new(p, key, value);
}

static void put_text(json_t *p, const char *key, const char *text)
{
    if (text && *text)
        put(p, key, json_string(text));
}

static int32_t put_label(json_t *p, struct mag_labels l, const struct label_parameter *d,
                         const char *prefix, mag_error *err)
{
    char key[64], text[256];
    int64_t number = -1;
    bool yes = false;
    int32_t rc = mag_label_text(l, d->label, "", text, sizeof text, err);
    if (rc != MAG_OK || !text[0])
        return rc;
    (void)snprintf(key, sizeof key, "%s%s", prefix, d->parameter);
    if (d->type == NUMBER)
        rc = mag_label_int(l, d->label, 0, VOLUME_MAX, 0, &number, err);
    else if (d->type == BOOLEAN)
        rc = mag_label_bool(l, d->label, false, &yes, err);
    if (rc == MAG_OK)
        put(p, key,
            d->type == NUMBER    ? json_integer(number)
            : d->type == BOOLEAN ? json_boolean(yes)
                                 : json_string(text));
    return rc;
}

/* What differs between groups; prefix: "master_", "worker_", or "" in a group's own stack. */
static int32_t group_parameters(const json_t *spec, const json_t *group, const char *prefix,
                                json_t *p, mag_error *err)
{
    static const struct label_parameter labels[] = {
        {"boot_volume_size", "boot_volume_size", NUMBER},
        {"boot_volume_type", "boot_volume_type", TEXT},
        {"docker_volume_type", "docker_volume_type", TEXT},
    };
    char key[64], name[64], zone[256];
    struct mag_labels l = mag_labels_of(spec, group);
    mag_params_node_name(spec, group, name);
    (void)snprintf(key, sizeof key, "%sname", prefix);
    put_text(p, key, name);
    (void)snprintf(key, sizeof key, "%simage", prefix);
    put_text(p, key,
             mag_json_text(group, "image_id", mag_json_text(spec, "template.image_id", "")));
    (void)snprintf(key, sizeof key, "%sflavor", prefix);
    put_text(p, key, mag_json_text(group, "flavor_id", ""));
    (void)snprintf(key, sizeof key, "%sfloating_ip", prefix);
    put(p, key, json_boolean(mag_json_bool(spec, "cluster.floating_ip_enabled", false)));
    (void)snprintf(key, sizeof key, "%sdocker_volume_size", prefix);
    int64_t size = mag_json_int(group, "docker_volume_size", 0);
    if (size > 0)
        put(p, key, json_integer(size));
    int32_t rc = mag_label_text(l, "availability_zone", "", zone, sizeof zone, err);
    (void)snprintf(key, sizeof key, "%s%s", prefix, *prefix ? "zone" : "availability_zone");
    if (rc == MAG_OK)
        put_text(p, key, zone);
    for (size_t i = 0; i < MAG_LEN(labels) && rc == MAG_OK; i++)
        rc = put_label(p, l, &labels[i], prefix, err);
    return rc;
}

static int32_t load_balancer(const json_t *spec, json_t *p, mag_error *err)
{
    static const struct label_parameter labels[] = {
        {"master_lb_floating_ip_enabled", "load_balancer_floating_ip", BOOLEAN},
        {"master_lb_allowed_cidrs", "load_balancer_allowed_cidrs", TEXT},
        {"octavia_provider", "load_balancer_provider", TEXT},
        {"octavia_lb_algorithm", "load_balancer_algorithm", TEXT},
        {"octavia_lb_healthcheck", "load_balancer_healthcheck", BOOLEAN},
    };
    int32_t rc = MAG_OK;
    put(p, "load_balancer", json_boolean(mag_json_bool(spec, "cluster.master_lb_enabled", false)));
    put(p, "load_balancer_floating_ip",
        json_boolean(mag_json_bool(spec, "cluster.floating_ip_enabled", false)));
    for (size_t i = 0; i < MAG_LEN(labels) && rc == MAG_OK; i++)
        rc = put_label(p, mag_labels_of(spec, NULL), &labels[i], "", err);
    return rc;
}

/* In both kinds of stack. */
static int32_t common(const mag_host *host, const json_t *spec, json_t *p, mag_error *err)
{
    int64_t minutes = mag_json_int(spec, "cluster.create_timeout", 0);
    int64_t batch = mag_json_int(spec, "params.max_batch_size", 1);
    put_text(
        p, "key_name",
        mag_json_text(spec, "cluster.keypair", mag_json_text(spec, "template.keypair_id", "")));
    put_text(p, "external_network", mag_json_text(spec, "template.external_network_id", ""));
    put_text(p, "affinity_policy", mag_config(host, "nodes_affinity_policy", "soft-anti-affinity"));
    put(p, "wait_timeout", json_integer(minutes > 0 ? minutes * 60 : WAIT_S));
    put(p, "max_batch_size", json_integer(batch < 1 ? 1 : batch > BATCH_MAX ? BATCH_MAX : batch));
    return json_object_size(p) ? MAG_OK : mag_fail_nomem(err);
}

int32_t mag_params_cluster(const mag_host *host, const json_t *spec, json_t **ret, mag_error *err)
{
    const json_t *masters = mag_params_group(spec, true), *workers = mag_params_group(spec, false);
    static const struct label_parameter cidr = {"fixed_subnet_cidr", "fixed_subnet_cidr", TEXT};
    _mag_json_ json_t *p = json_object();
    char name[64], *end;
    *ret = NULL;
    if (!masters || !workers)
        return mag_fail(err, MAG_E_INVALID, 0, "NoNodegroups", NULL,
                        "The cluster has no default nodegroups");
    mag_params_node_name(spec, masters, name);
    end = strrchr(name, '-');
    if (end)
        *end = '\0';
    put_text(p, "name", name);
    put_text(p, "fixed_network", mag_json_text(spec, "cluster.fixed_network", ""));
    put_text(p, "fixed_subnet", mag_json_text(spec, "cluster.fixed_subnet", ""));
    put_text(p, "dns_nameserver", mag_json_text(spec, "template.dns_nameserver", ""));
    int32_t rc = put_label(p, mag_labels_of(spec, NULL), &cidr, "", err);
    if (rc == MAG_OK)
        rc = load_balancer(spec, p, err);
    if (rc == MAG_OK)
        rc = group_parameters(spec, masters, "master_", p, err);
    if (rc == MAG_OK)
        rc = group_parameters(spec, workers, "worker_", p, err);
    if (rc == MAG_OK)
        rc = common(host, spec, p, err);
    if (rc == MAG_OK)
        *ret = MAG_TAKE(p);
    return rc;
}

static int32_t first_subnet(struct mag_heat_set *s, const char *network, json_t **ret,
                            mag_error *err)
{
    char quoted[300], path[400];
    if (!mag_http_quote(quoted, sizeof quoted, network))
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "BadNetwork", NULL,
                        "the name of the fixed network is too long");
    (void)snprintf(path, sizeof path, "/v2.0/networks?fields=subnets&%s=%s",
                   mag_is_uuid(network) ? "id" : "name", quoted);
    struct mag_http_call call = {.method = "GET", .service = "network", .path = path};
    struct mag_http_answer a = {0};
    _mag_json_ json_t *doc = NULL;
    int32_t rc = mag_http_do(s->services->host, s->op, &call, &a, err);
    if (rc == MAG_OK && a.status != 200)
        rc = mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "NetworkService", NULL,
                      "Neutron answers %u to a list of networks", a.status);
    if (rc == MAG_OK)
        rc = mag_json_parse(a.body, "networks", &doc, err);
    if (rc != MAG_OK)
        return mag_fail_wrap(err, rc, "fixed network %.60s", network);
    const json_t *first = json_array_get(mag_json_at(doc, "networks"), 0);
    *ret = json_incref(json_array_get(mag_json_at(first, "subnets"), 0));
    return *ret ? MAG_OK
                : mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "NoSubnet",
                           "make a subnet in the network, or name another one",
                           "The fixed network %.60s does not exist or has no subnet", network);
}

/* A stack that was made without a subnet goes on without, if it has no balancer, which needs one.
 */
static int32_t choose_subnet(struct mag_heat_set *s, const json_t *parameters, json_t **ret,
                             mag_error *err)
{
    struct mag_heat_stack stack = {.outputs = NULL};
    int32_t rc = mag_heat_set_look(s, NULL, &stack, err);
    const char *has = mag_json_text(stack.outputs, "subnet", NULL);
    if (has && (*has || !mag_json_bool(parameters, "load_balancer", false)))
        *ret = json_string(has);
    mag_heat_stack_done(&stack);
    if (rc != MAG_OK || *ret)
        return rc;
    return first_subnet(s, mag_json_text(parameters, "fixed_network", ""), ret, err);
}

/* A copy: parameters are wiped in the end, with every text that is in them. */
static int32_t put_kept(json_t *parameters, const char *key, const json_t *value, mag_error *err)
{
    return json_object_set_new(parameters, key, json_deep_copy(value)) == 0 ? MAG_OK
                                                                            : mag_fail_nomem(err);
}

int32_t mag_params_subnet(struct mag_heat_set *s, json_t *parameters, mag_error *err)
{
    if (!*mag_json_text(parameters, "fixed_network", "") ||
        *mag_json_text(parameters, "fixed_subnet", ""))
        return MAG_OK;
    if (!json_object_get(s->state, "subnet")) {
        json_t *chosen = NULL;
        int32_t rc = choose_subnet(s, parameters, &chosen, err);
        if (rc == MAG_OK && json_object_set_new(s->state, "subnet", chosen) < 0)
            rc = mag_fail_nomem(err);
        if (rc == MAG_OK)
            rc = mag_heat_set_save(s, err);
        if (rc != MAG_OK)
            return rc;
    }
    return put_kept(parameters, "fixed_subnet", json_object_get(s->state, "subnet"), err);
}

static int32_t keep_policy(struct mag_heat_set *s, const char *nodegroup, const char *wanted,
                           json_t *kept, mag_error *err)
{
    struct mag_heat_stack stack = {.outputs = NULL};
    int32_t rc = mag_heat_set_look(s, nodegroup, &stack, err);
    if (rc == MAG_OK &&
        json_object_set_new(kept, nodegroup ? nodegroup : "",
                            json_string(stack.affinity[0] ? stack.affinity : wanted)) < 0)
        rc = mag_fail_nomem(err);
    mag_heat_stack_done(&stack);
    return rc == MAG_OK ? mag_heat_set_save(s, err) : rc;
}

int32_t mag_params_keep(struct mag_heat_set *s, const char *nodegroup, json_t *parameters,
                        mag_error *err)
{
    static const char key[] = "affinity_policy";
    json_t *kept = json_object_get(s->state, key);
    if (!kept && json_object_set_new(s->state, key, kept = json_object()) < 0)
        return mag_fail_nomem(err);
    if (!json_object_get(kept, nodegroup ? nodegroup : "")) {
        int32_t rc = keep_policy(s, nodegroup, mag_json_text(parameters, key, ""), kept, err);
        if (rc != MAG_OK)
            return rc;
    }
    return put_kept(parameters, key, json_object_get(kept, nodegroup ? nodegroup : ""), err);
}

int32_t mag_params_group_stack(const mag_host *host, const json_t *spec, const json_t *group,
                               const json_t *outputs, json_t **ret, mag_error *err)
{
    _mag_json_ json_t *p = json_object();
    *ret = NULL;
    int32_t rc = group_parameters(spec, group, "", p, err);
    if (rc == MAG_OK)
        rc = common(host, spec, p, err);
    if (rc != MAG_OK)
        return rc;
    put_text(p, "network", mag_json_text(outputs, "network", ""));
    put_text(p, "subnet", mag_json_text(outputs, "subnet", ""));
    put_text(p, "api_private", mag_json_text(outputs, "api_private", ""));
    put(p, "api_public", json_string(mag_json_text(outputs, "api_public", "")));
    put(p, "security_groups", json_pack("[s]", mag_json_text(outputs, "node_security_group", "")));
    json_t *masters = mag_json_at(outputs, "master_private_addresses");
    put(p, "master_ips", masters ? json_deep_copy(masters) : json_array());
    *ret = MAG_TAKE(p);
    return MAG_OK;
}

/* ---- on the node ---- */

static bool label_key(const char *name, char ret[80])
{
    int n = snprintf(ret, 80, "LABEL_%s", name);
    if (n < 7 || n >= 80)
        return false;
    for (char *c = ret + 6; *c; c++) {
        if (!isalnum((unsigned char)*c) && *c != '_')
            return false;
        *c = (char)toupper((unsigned char)*c);
    }
    return true;
}

/* From the least to the most particular: each overwrites the one before. */
static void put_labels(const json_t *spec, const json_t *group, json_t *p)
{
    struct mag_labels l = mag_labels_of(spec, group);
    const json_t *from[] = {l.template, l.cluster, l.group};
    char key[80];
    const char *name;
    json_t *value;
    for (size_t i = 0; i < MAG_LEN(from); i++) {
        json_object_foreach((json_t *)(uintptr_t)from[i], name, value)
        {
            if ((json_is_string(value) || json_is_integer(value) || json_is_boolean(value)) &&
                label_key(name, key))
                put(p, key, json_deep_copy(value)); /* the caller wipes its texts */
        }
    }
}

static int32_t put_secret(const mag_host *host, const mag_op *op, const char *handle,
                          const char *key, json_t *p, mag_error *err)
{
    char text[256];
    uint64_t len = 0;
    int32_t rc = host->secret_read(host->ctx, op, handle, text, sizeof text - 1, &len, err);
    if (rc == MAG_E_NOT_FOUND) /* a cluster without a trust: its nodes get no certificates */
        len = 0;
    else if (rc != MAG_OK)
        return rc;
    text[len < sizeof text ? len : 0] = '\0';
    put(p, key, json_string(text));
    explicit_bzero(text, sizeof text);
    return MAG_OK;
}

static int32_t put_trustee(const mag_host *host, const mag_op *op, json_t *p, mag_error *err)
{
    int32_t rc = put_secret(host, op, "secret:trustee/user_id", "TRUSTEE_USER_ID", p, err);
    if (rc == MAG_OK)
        rc = put_secret(host, op, "secret:trustee/password", "TRUSTEE_PASSWORD", p, err);
    return rc == MAG_OK ? put_secret(host, op, "secret:trustee/trust_id", "TRUST_ID", p, err) : rc;
}

static void put_spec(const json_t *spec, const char *path, const char *key, json_t *p)
{
    const json_t *v = mag_json_at(spec, path);
    if (json_is_string(v) || json_is_integer(v) || json_is_boolean(v))
        put(p, key, json_deep_copy(v)); /* the caller wipes its texts */
}

int32_t mag_params_node(const mag_host *host, const mag_op *op, const json_t *spec,
                        const json_t *group, json_t **ret, mag_error *err)
{
    bool master = strcmp(mag_json_text(group, "role", ""), "master") == 0;
    const json_t *masters = mag_params_group(spec, true);
    json_t *p = json_pack("{s:s, s:s, s:s, s:s, s:I}", "CLUSTER_UUID", op->cluster_id,
                          "CLUSTER_NAME", mag_json_text(spec, "cluster.name", ""), "NODEGROUP",
                          mag_json_text(group, "name", ""), "ROLE", master ? "master" : "worker",
                          "MASTER_COUNT", (json_int_t)mag_json_int(masters, "node_count", 1));
    *ret = NULL;
    if (!p)
        return mag_fail_nomem(err);
    put_labels(spec, group, p);
    put(p, "AUTH_URL", json_string(mag_config(host, "auth_url", "")));
    put(p, "MAGNUM_URL", json_string(mag_config(host, "magnum_url", "")));
    put(p, "REGION", json_string(mag_config(host, "region", "")));
    put(p, "VERIFY_CA", json_string(mag_config(host, "verify_ca", "true")));
    put(p, "OPENSTACK_CA", json_string(mag_config(host, "openstack_ca", "")));
    put(p, "PROJECT_ID", json_string(op->project_id ? op->project_id : ""));
    put_spec(spec, "template.tls_disabled", "TLS_DISABLED", p);
    put_spec(spec, "template.http_proxy", "HTTP_PROXY", p);
    put_spec(spec, "template.https_proxy", "HTTPS_PROXY", p);
    put_spec(spec, "template.no_proxy", "NO_PROXY", p);
    put_spec(spec, "template.network_driver", "NETWORK_DRIVER", p);
    put_spec(spec, "template.volume_driver", "VOLUME_DRIVER", p);
    put_spec(spec, "template.insecure_registry", "INSECURE_REGISTRY", p);
    put_spec(spec, "template.registry_enabled", "REGISTRY_ENABLED", p);
    put_spec(spec, "template.docker_storage_driver", "DOCKER_STORAGE_DRIVER", p);
    put_spec(group, "docker_volume_size", "DOCKER_VOLUME_SIZE", p);
    int32_t rc = put_trustee(host, op, p, err);
    if (rc == MAG_OK)
        *ret = p;
    else
        mag_wipe_json(&p);
    return rc;
}
