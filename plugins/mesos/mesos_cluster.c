/* See mesos_internal.h. What the stacks of a Mesos cluster are made of; their life is
 * lib/heat_coe's. */
#include "mesos_internal.h"

#include "lib/boot.h"
#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdio.h>
#include <string.h>

static int32_t parameters(struct mag_coe_run *r, json_t *p)
{
    return json_object_set_new(p, "api_port", json_integer(MARATHON_PORT)) == 0 &&
                   json_object_set_new(p, "load_balancer_protocol", json_string("HTTP")) == 0
               ? MAG_OK
               : mag_fail_nomem(r->c->err);
}

static int32_t user_data(struct mag_coe_run *r, const json_t *group, char **ret)
{
    return mag_boot_node(r->c, "mesos", group, json_object(), ret);
}

int32_t mesos_validate(struct mag_call *c)
{
    const json_t *group = mag_params_group(c->spec, true);
    int64_t masters = mag_json_int(group, "node_count", 1), number;
    struct mag_labels l = mag_labels_of(c->spec, NULL);
    char text[1024];
    int32_t rc = mag_label_int(l, "drain_timeout_seconds", 0, 3600, 60, &number, c->err);
    if (rc == MAG_OK)
        rc = mag_label_text(l, "mesos_slave_executor_env_variables", "", text, sizeof text, c->err);
    if (rc != MAG_OK)
        return rc;
    if (masters < 1 || masters > MESOS_MASTERS_MAX || masters % 2 == 0)
        return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_USER, "BadMasters",
                        "set master_count to 1, 3, 5 or 7",
                        "ZooKeeper and Mesos have an odd number of masters up to %d, not %d",
                        (int)MESOS_MASTERS_MAX, (int)masters);
    _mag_json_ json_t *env = *text ? json_loads(text, 0, NULL) : json_object();
    if (!json_is_object(env))
        return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_USER, "BadLabel",
                        "give a JSON object of texts",
                        "Label mesos_slave_executor_env_variables is no JSON object");
    return MAG_OK;
}

struct mesos_masters mesos_masters_of(const struct mag_call *c)
{
    struct mesos_masters m = {.host = c->self->host, .op = c->op, .timeout_ms = 5000};
    const json_t *list = mag_json_at(mag_params_group(c->spec, true), "node_addresses");
    size_t i;
    json_t *e;
    json_array_foreach(list, i, e)
    {
        if (m.n < MESOS_MASTERS_MAX && json_is_string(e))
            m.address[m.n++] = json_string_value(e);
    }
    return m;
}

/* The API's address is bare, as it was in the first Magnum. */
static int32_t publish(struct mag_coe_run *r, const json_t *outputs)
{
    struct mag_call *c = r->c;
    const char *outside = mag_json_text(outputs, "api_public", "");
    const char *address = *outside ? outside : mag_json_text(outputs, "api_private", "");
    struct mesos_masters m = mesos_masters_of(c);
    struct mesos_state state = {0};
    mag_error why = {.struct_size = sizeof why};
    int32_t rc = mag_output_new(c->self->host, c->op, "api_address", json_string(address), c->err);
    if (rc != MAG_OK)
        return rc;
    rc = mesos_state_read(&m, &state, &why);
    if (rc == MAG_OK && state.version[0])
        rc =
            mag_output_new(c->self->host, c->op, "coe_version", json_string(state.version), c->err);
    else if (rc == MAG_E_PRECONDITION || rc == MAG_E_CANCELLED)
        *c->err = why;
    else
        rc = MAG_OK; /* the conductor may have no way to the cluster's network: no version then */
    mesos_state_done(&state);
    return rc;
}

int32_t mesos_converge(struct mag_call *c)
{
    static const struct mag_coe coe = {.templates = "mesos",
                                       .parameters = parameters,
                                       .user_data = user_data,
                                       .publish = publish,
                                       .order = mesos_order,
                                       .leave = mesos_leave,
                                       .left = mesos_left,
                                       .masters_leave = mesos_masters_leave};
    return mag_coe_converge(c, &coe);
}
