/* See heat_swarm.h. What the stacks of a Swarm cluster are made of: parameters, the nodes' values,
 * outputs; their life is lib/heat_coe's. */
#include "heat_swarm.h"

#include "lib/boot.h"
#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/userdata.h"

#include <stdio.h>
#include <string.h>

enum { API_PORT = 2375, OLD_API_PORT = 2376, ASK_MS = 3000 };

/* The first Magnum had its standalone Swarm at one port, and swarm mode at another. */
static int api_port(const json_t *spec)
{
    return strcmp(mag_json_text(spec, "template.coe", ""), "swarm") == 0 ? OLD_API_PORT : API_PORT;
}

static int32_t parameters(struct mag_coe_run *r, json_t *p)
{
    return json_object_set_new(p, "api_port", json_integer(api_port(r->c->spec))) == 0
               ? MAG_OK
               : mag_fail_nomem(r->c->err);
}

/* Only while the cluster is made may a node begin a swarm: one that replaces the first manager
 * later must not, even if it finds nobody. */
static int32_t user_data(struct mag_coe_run *r, const json_t *group, char **ret)
{
    json_t *own = json_pack("{s:i, s:b}", "API_PORT", api_port(r->c->spec), "SWARM_INIT",
                            r->c->op->kind == MAG_OP_CREATE);
    return mag_boot_node(r->c, "swarm", group, own, ret);
}

int32_t heat_validate(struct mag_call *c)
{
    enum mag_userdata_format format;
    const json_t *masters = mag_params_group(c->spec, true);
    int64_t managers = mag_json_int(masters, "node_count", 1), number;
    struct mag_labels l = mag_labels_of(c->spec, NULL);
    int32_t rc = mag_userdata_format_of(mag_json_text(c->spec, "template.cluster_distro", ""),
                                        &format, c->err);
    if (rc == MAG_OK)
        rc = mag_label_int(l, "heartbeat_seconds", 1, 60, 5, &number, c->err);
    if (rc == MAG_OK)
        rc = mag_label_int(l, "drain_timeout_seconds", 0, 3600, 60, &number, c->err);
    if (rc != MAG_OK)
        return rc;
    if (managers < 1 || managers > 7 || managers % 2 == 0)
        return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_USER, "BadManagers",
                        "set master_count to 1, 3, 5 or 7",
                        "A swarm has an odd number of managers up to 7, not %d", (int)managers);
    if (mag_json_bool(c->spec, "template.tls_disabled", false))
        return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_USER, "TlsNeeded",
                        "take a template without tls_disabled",
                        "A Docker API without TLS makes everybody root on the nodes");
    if (!*mag_config(c->self->host, "magnum_url", ""))
        return mag_fail(c->err, MAG_E_PRECONDITION, MAG_ERR_OPERATOR, "NoPublicUrl",
                        "set api.public_url",
                        "Nodes can't fetch their certificates: they are not told where Magnum is");
    return MAG_OK;
}

/* ---- what came of it ---- */

static int32_t publish_version(struct mag_call *c)
{
    mag_error why = {.struct_size = sizeof why};
    struct swarm_info info = {0};
    struct mag_docker d = heat_docker(c, ASK_MS);
    int32_t rc = swarm_info(&d, &info, &why);
    if (rc == MAG_E_PRECONDITION || rc == MAG_E_CANCELLED)
        *c->err = why;
    else if (rc != MAG_OK || !info.version[0])
        rc = MAG_E_NOT_FOUND;
    if (rc != MAG_OK) /* the conductor may have no way to the cluster's network: no version then */
        return rc == MAG_E_NOT_FOUND ? MAG_OK : rc;
    rc = mag_output_new(c->self->host, c->op, "coe_version", json_string(info.version), c->err);
    return rc == MAG_OK ? mag_output_new(c->self->host, c->op, "container_version",
                                         json_string(info.version), c->err)
                        : rc;
}

static int32_t publish(struct mag_coe_run *r, const json_t *outputs)
{
    struct mag_call *c = r->c;
    char address[160];
    const char *outside = mag_json_text(outputs, "api_public", "");
    (void)snprintf(address, sizeof address, "tcp://%.120s:%d",
                   *outside ? outside : mag_json_text(outputs, "api_private", ""),
                   api_port(c->spec));
    int32_t rc = mag_output_new(c->self->host, c->op, "api_address", json_string(address), c->err);
    return rc == MAG_OK ? publish_version(c) : rc;
}

static const struct mag_coe coe = {.templates = "swarm",
                                   .parameters = parameters,
                                   .user_data = user_data,
                                   .publish = publish,
                                   .leave = heat_leave,
                                   .left = heat_left,
                                   .masters_leave = heat_managers_leave,
                                   .masters_left = heat_managers_left,
                                   .masters_resize = true};

int32_t heat_converge(struct mag_call *c)
{
    return mag_coe_converge(c, &coe);
}

int32_t heat_ca_prepare(struct mag_call *c)
{
    return mag_coe_change(c, &coe, "ca-prepare");
}

int32_t heat_ca_complete(struct mag_call *c)
{
    return mag_coe_change(c, &coe, "ca-complete");
}
