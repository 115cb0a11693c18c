/* See heat_coe.h: masters that are replaced or become fewer. Their numbers are places: whoever is
 * made in one has the name, the port and the address of the one before. Neighbours: heat_coe.c. */
#include "lib/heat_coe_internal.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

int32_t mag_masters_quorum(size_t usable, size_t all, mag_error *err)
{
    if (usable * 2 > all)
        return MAG_OK;
    return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "QuorumWouldBeLost",
                    all == 1 ? "make a cluster with three masters"
                             : "name fewer masters, or mend those that are down first",
                    "Of %zu masters %zu would be left to decide, and %zu are needed", all, usable,
                    all / 2 + 1);
}

int32_t mag_coe_quorum(const struct mag_coe_run *r, size_t usable, size_t all)
{
    return mag_masters_quorum(usable, all, r->c->err);
}

/* How often the place was filled anew; the list grows as needed. */
static void live_again(json_t *lives, size_t place)
{
    while (json_array_size(lives) <= place)
        (void)json_array_append_new(lives, json_integer(0));
    json_int_t n = json_integer_value(json_array_get(lives, place));
    (void)json_array_set_new(lives, place, json_integer(n + 1));
}

json_t *coe_lives(struct mag_heat_set *s)
{
    json_t *lives = json_object_get(s->state, "lives");
    if (!lives)
        (void)json_object_set_new(s->state, "lives", lives = json_array());
    return lives;
}

int32_t mag_masters_movable(const json_t *spec, const json_t *group, mag_error *err)
{
    struct mag_labels l = mag_labels_of(spec, group);
    int64_t boot = 0, etcd = 0, docker = mag_json_int(group, "docker_volume_size", 0);
    int32_t rc = mag_label_int(l, "boot_volume_size", 0, 1 << 16, 0, &boot, err);
    if (rc == MAG_OK)
        rc = mag_label_int(l, "etcd_volume_size", 0, 1 << 16, 0, &etcd, err);
    if (rc == MAG_OK && boot + docker + etcd > 0)
        rc = mag_fail(err, MAG_E_UNSUPPORTED, MAG_ERR_USER, "MasterHasVolumes",
                      "make a new cluster, without docker_volume_size, boot_volume_size and "
                      "etcd_volume_size",
                      "Masters with volumes can't be replaced in their place");
    return rc;
}

static int32_t refuse_masters(struct mag_coe_run *r, size_t named, size_t have, size_t want)
{
    mag_error *err = r->c->err;
    if (!r->coe->masters_leave || (have != want && !r->coe->masters_resize))
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "MastersNotResizable",
                        "make a new cluster with another master_count",
                        "The cluster has %zu masters; their number can't be changed to %zu", have,
                        want);
    if (named && have != want)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "BadRemoval",
                        "name masters with the count they have now, or none",
                        "Named masters are replaced, so that their number stays at %zu", have);
    return MAG_OK;
}

int32_t coe_choose_masters(struct mag_coe_run *r, const json_t *group, json_t *leaving)
{
    struct mag_heat_stack stack;
    _mag_json_ json_t *nodes = NULL;
    size_t i, named = 0, gone = 0, want = (size_t)mag_json_int(group, "node_count", 1);
    json_t *node;
    int32_t rc = mag_heat_set_show(&r->set, NULL, &stack, r->c->err);
    if (rc == MAG_OK)
        nodes = mag_coe_masters(stack.outputs, mag_json_text(group, "uuid", ""));
    mag_heat_stack_done(&stack);
    json_array_foreach(nodes, i, node)
    {
        bool is = coe_is_named(r, node);
        named += is;
        gone += is || i >= want;
        if (!is && i < want)
            continue;
        (void)json_object_set_new(node, "master", json_true());
        (void)json_array_append(leaving, node);
        if (is)
            live_again(coe_lives(&r->set), (size_t)mag_json_int(node, "n", 0));
    }
    size_t have = json_array_size(nodes);
    if (rc != MAG_OK || (named == 0 && have == want))
        return rc;
    rc = refuse_masters(r, named, have, want);
    if (rc == MAG_OK && named)
        rc = mag_masters_movable(r->c->spec, group, r->c->err);
    return rc == MAG_OK && gone ? mag_coe_quorum(r, have - gone, have) : rc;
}

bool coe_concerns_masters(const struct mag_coe_run *r, const json_t *group)
{
    size_t have = json_array_size(mag_json_at(group, "node_addresses"));
    bool named = r->c->op->kind == MAG_OP_SCALE &&
                 json_array_size(mag_json_at(r->c->spec, "params.nodes_to_remove")) > 0;
    return named || (have && (int64_t)have != mag_json_int(group, "node_count", 1));
}
