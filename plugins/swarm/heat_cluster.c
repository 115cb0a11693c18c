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

static int32_t parameters(void *ctx, json_t *p, mag_error *err)
{
    const struct heat_run *r = ctx;
    return json_object_set_new(p, "api_port", json_integer(api_port(r->c->spec))) == 0
               ? MAG_OK
               : mag_fail_nomem(err);
}

/* Only while the cluster is made may a node begin a swarm: one that replaces the first manager
 * later must not, even if it finds nobody. */
static int32_t user_data(void *ctx, const json_t *group, char **ret, mag_error *err)
{
    const struct heat_run *r = ctx;
    const mag_host *host = r->c->self->host;
    json_t *p = NULL;
    int32_t rc = mag_params_node(host, r->c->op, r->c->spec, group, &p, err);
    if (rc != MAG_OK)
        return rc;
    if (json_object_set_new(p, "API_PORT", json_integer(api_port(r->c->spec))) < 0 ||
        json_object_set_new(p, "SWARM_INIT", json_boolean(r->c->op->kind == MAG_OP_CREATE)) < 0)
        rc = mag_fail_nomem(err);
    if (rc == MAG_OK)
        rc = mag_boot_user_data(host, "swarm", p,
                                mag_json_text(r->c->spec, "template.cluster_distro", ""), ret, err);
    mag_wipe_json(&p);
    return rc;
}

static struct mag_coe coe_of(struct heat_run *r)
{
    return (struct mag_coe){.templates = "swarm",
                            .ctx = r,
                            .parameters = parameters,
                            .user_data = user_data,
                            .leave = heat_leave,
                            .left = heat_left};
}

int32_t heat_validate(struct swarm_call *c)
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

static int32_t publish_version(struct swarm_call *c)
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

static int32_t publish(struct heat_run *r, const json_t *outputs)
{
    struct swarm_call *c = r->c;
    char address[160];
    const char *outside = mag_json_text(outputs, "api_public", "");
    (void)snprintf(address, sizeof address, "tcp://%.120s:%d",
                   *outside ? outside : mag_json_text(outputs, "api_private", ""),
                   api_port(c->spec));
    int32_t rc = mag_output_new(c->self->host, c->op, "api_address", json_string(address), c->err);
    return rc == MAG_OK ? publish_version(c) : rc;
}

/* word: NULL, or the change that all nodes are to make. */
static int32_t step(struct swarm_call *c, const char *word)
{
    struct heat_run r = {.c = c};
    _mag_json_ json_t *outputs = NULL;
    int32_t rc = mag_heat_set_open(&r.set, &c->self->services, c->op, 0, c->err);
    if (rc != MAG_OK)
        return rc;
    struct mag_coe coe = coe_of(&r);
    if (word)
        rc = mag_coe_change(&r.set, &coe, c->spec, word, c->out, c->err);
    else
        rc = mag_coe_converge(&r.set, &coe, c->spec, &outputs, c->out, c->err);
    if (rc == MAG_OK && !word)
        rc = publish(&r, outputs);
    if (rc == MAG_OK)
        c->out->percent = 100;
    mag_heat_set_done(&r.set);
    return rc;
}

int32_t heat_converge(struct swarm_call *c)
{
    return step(c, NULL);
}

int32_t heat_ca_prepare(struct swarm_call *c)
{
    return step(c, "ca-prepare");
}

int32_t heat_ca_complete(struct swarm_call *c)
{
    return step(c, "ca-complete");
}

int32_t heat_remove(struct swarm_call *c)
{
    struct mag_heat_set set;
    int32_t rc = mag_heat_set_open(&set, &c->self->services, c->op, 0, c->err);
    if (rc == MAG_OK)
        rc = mag_heat_set_remove_all(&set, mag_json_at(c->spec, "nodegroups"), c->out, c->err);
    mag_heat_set_done(&set);
    if (rc == MAG_OK)
        c->out->percent = 100;
    return rc;
}

int32_t heat_plan(struct swarm_call *c, json_t **ret)
{
    *ret = mag_coe_plan(c->op, c->spec);
    return *ret ? MAG_OK : mag_fail_nomem(c->err);
}
