/* Nodes on their way out are cordoned and drained through the cluster's API before Heat takes their
 * servers, for at most the label drain_timeout_seconds. A cluster whose API does not answer still
 * loses its nodes. See heat_run.h. */
#include "heat_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ASK_MS = 5000, SECONDS_MAX = 3600 };

static int64_t now_s(void)
{
    return (int64_t)time(NULL);
}

/* Until when: decided once for each operation, so that a new conductor does not begin anew. */
static int32_t deadline(struct heat_run *r, const json_t *group, int64_t *ret)
{
    int64_t seconds;
    const char *op = r->c->op->op_id ? r->c->op->op_id : "";
    json_t *mine = mag_json_at(r->set.state, "kubernetes");
    int32_t rc = mag_label_int(mag_labels_of(r->c->spec, group), "drain_timeout_seconds", 0,
                               SECONDS_MAX, 60, &seconds, r->c->err);
    if (rc != MAG_OK)
        return rc;
    if (strcmp(mag_json_text(mine, "leave.op", ""), op) == 0) {
        *ret = mag_json_int(mine, "leave.until", 0);
        return MAG_OK;
    }
    *ret = now_s() + seconds;
    if (json_object_set_new(mine, "leave",
                            json_pack("{s:s, s:I}", "op", op, "until", (json_int_t)*ret)) < 0)
        return mag_fail_nomem(r->c->err);
    return mag_heat_set_save(&r->set, r->c->err);
}

/* The call is over, whatever the cluster says. */
static bool is_final(int32_t rc)
{
    return rc == MAG_E_PRECONDITION || rc == MAG_E_CANCELLED;
}

static int32_t empty_one(struct heat_run *r, const json_t *nodes, const char *name, bool hurry,
                         size_t *left, mag_error *err)
{
    struct mag_kube k = kube_api(r->c, ASK_MS);
    const struct mag_kube_wanted shut = {.unschedulable = 1};
    const json_t *node = mag_kube_named(nodes, name);
    char blocked[192];
    size_t pods = 0;
    if (!node)
        return MAG_OK; /* it never joined */
    int32_t rc = mag_kube_node_set(&k, node, &shut, err);
    if (rc == MAG_OK)
        rc = mag_kube_drain(&k, name, hurry, &pods, blocked, sizeof blocked, err);
    *left += pods;
    return rc;
}

int32_t heat_leave(struct heat_run *r, const json_t *group, const json_t *names)
{
    struct mag_kube k = kube_api(r->c, ASK_MS);
    _mag_json_ json_t *nodes = NULL;
    mag_error e = {.struct_size = sizeof e};
    int64_t until;
    size_t left = 0, i;
    const json_t *name;
    int32_t rc = deadline(r, group, &until);
    if (rc != MAG_OK)
        return rc;
    bool hurry = now_s() >= until;
    rc = mag_kube_list(&k, "/api/v1/nodes", 0, &nodes, NULL, &e);
    json_array_foreach(names, i, name)
    {
        if (rc == MAG_OK)
            rc = empty_one(r, nodes, json_string_value(name), hurry, &left, &e);
    }
    if (is_final(rc)) {
        *r->c->err = e;
        return rc;
    }
    if (rc != MAG_OK) {
        mag_log(r->c->self->host, MAG_LOG_WARNING, "nodes go without being drained: %s", e.message);
        return MAG_OK;
    }
    if (left == 0 || hurry)
        return MAG_OK;
    return mag_again(r->c->out, 1000, 5, "%zu pods are still on the nodes that go", left);
}
