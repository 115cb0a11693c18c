/* See driver.h. The interfaces' functions: each makes the call's struct, finds the table that
 * answers, and hands over to the member of its name. */
#include "lib/driver.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <magnum/credentials.h>
#include <magnum/lifecycle.h>
#include <magnum/nodegroups.h>
#include <magnum/plan.h>
#include <magnum/rotate.h>
#include <magnum/stats.h>
#include <magnum/upgrade.h>
#include <magnum/workload.h>

#include <string.h>

enum { STEP_MAX_MS = 10000 };

static bool asked_to_stop(const struct mag_call *c)
{
    const mag_host *h = c->self->host;
    return (c->op->flags & MAG_OPF_CANCEL) || (h->cancelled && h->cancelled(h->ctx, c->op));
}

bool mag_out_of_time(const struct mag_call *c)
{
    const mag_host *h = c->self->host;
    return mag_now_ms() >= c->until_ms || (h->cancelled && h->cancelled(h->ctx, c->op));
}

/* A step takes half of the budget at most: what it began last may take as long again. */
static int64_t end_of(const mag_op *op)
{
    int64_t half = op->budget_ms / 2;
    return mag_now_ms() + (half > 0 && half < STEP_MAX_MS ? half : STEP_MAX_MS);
}

/* *ret_spec is the caller's to decref, whatever comes of it. */
static int32_t begin(struct mag_call *c, json_t **ret_spec, const struct mag_verbs **ret)
{
    const struct mag_driver *d = c->self->driver;
    int32_t rc = mag_json_parse(c->op->spec, "spec", ret_spec, c->err);
    c->spec = *ret_spec;
    c->until_ms = end_of(c->op);
    if (rc == MAG_OK)
        *ret = d->choose ? d->choose(c) : d->verbs;
    return rc;
}

static int32_t go_on(const struct mag_call *c)
{
    return asked_to_stop(c)
               ? mag_fail(c->err, MAG_E_CANCELLED, MAG_ERR_MAY_LEAK, "Cancelled",
                          "delete the cluster, or update it to go on", "Stopped on request")
               : MAG_OK;
}

/* Documents returned to the host live until the next call, which frees them. */
static int32_t keep(const struct mag_call *c, const json_t *doc, mag_bytes *ret)
{
    free(c->self->answer);
    c->self->answer = doc ? mag_json_dump(doc) : NULL;
    if (!c->self->answer)
        return mag_fail_nomem(c->err);
    *ret = mag_text(c->self->answer);
    return MAG_OK;
}

/* ---- steps ---- */

#define STEP_AFTER(name, member, before)                                                           \
    static int32_t name(void *self, const mag_op *op, mag_step *out, mag_error *err)               \
    {                                                                                              \
        struct mag_call c = {.self = self, .op = op, .out = out, .err = err};                      \
        const struct mag_verbs *v = NULL;                                                          \
        _mag_json_ json_t *spec = NULL;                                                            \
        int32_t rc = begin(&c, &spec, &v);                                                         \
        if (rc == MAG_OK)                                                                          \
            rc = before;                                                                           \
        return rc == MAG_OK ? v->member(&c) : rc;                                                  \
    }
#define CHANGE(name, member) STEP_AFTER(name, member, go_on(&c))

CHANGE(on_create, create)
CHANGE(on_update, update)
CHANGE(on_scale, scale)
STEP_AFTER(on_remove, remove, MAG_OK)
STEP_AFTER(on_health, health, MAG_OK)
CHANGE(on_group_create, group_create)
CHANGE(on_group_update, group_update)
CHANGE(on_group_remove, group_remove)
CHANGE(on_upgrade, upgrade)
CHANGE(on_ca_prepare, ca_prepare)
CHANGE(on_ca_complete, ca_complete)
CHANGE(on_credential, credential)
STEP_AFTER(check, validate, MAG_OK)

static int32_t on_validate(void *self, const mag_op *op, mag_error *err)
{
    return check(self, op, NULL, err);
}

/* ---- documents ---- */

#define QUERY(name, member)                                                                        \
    static int32_t name(void *self, const mag_op *op, mag_bytes *ret, mag_error *err)              \
    {                                                                                              \
        struct mag_call c = {.self = self, .op = op, .err = err};                                  \
        const struct mag_verbs *v = NULL;                                                          \
        _mag_json_ json_t *spec = NULL, *doc = NULL;                                               \
        int32_t rc = begin(&c, &spec, &v);                                                         \
        if (rc == MAG_OK)                                                                          \
            rc = v->member(&c, &doc);                                                              \
        return rc == MAG_OK ? keep(&c, doc, ret) : rc;                                             \
    }

QUERY(on_stats, stats)
QUERY(on_plan, plan)
QUERY(on_upgrade_plan, upgrade_plan)
QUERY(on_client_config, client_config)

/* ---- objects ---- */

enum object_verb { LIST, GET, MAKE, ALTER, DROP, ACT };

static mag_object_verb object_verb_of(const struct mag_verbs *v, enum object_verb which)
{
    const mag_object_verb all[] = {v->list, v->get, v->make, v->change, v->drop, v->act};
    return all[which];
}

static int32_t object(void *self, const mag_op *op, enum object_verb which,
                      const struct mag_object *o, mag_bytes *ret, mag_error *err)
{
    struct mag_call c = {.self = self, .op = op, .err = err};
    const struct mag_verbs *v = NULL;
    _mag_json_ json_t *spec = NULL, *doc = NULL;
    int32_t rc = begin(&c, &spec, &v);
    if (rc == MAG_OK)
        rc = object_verb_of(v, which)(&c, o, &doc);
    return rc == MAG_OK && ret ? keep(&c, doc, ret) : rc;
}

static int32_t on_list(void *self, const mag_op *op, const char *kind, mag_bytes query,
                       mag_bytes *ret, mag_error *err)
{
    return object(self, op, LIST, &(struct mag_object){.kind = kind, .doc = query}, ret, err);
}

static int32_t on_get(void *self, const mag_op *op, const char *kind, const char *name,
                      mag_bytes *ret, mag_error *err)
{
    return object(self, op, GET, &(struct mag_object){.kind = kind, .name = name}, ret, err);
}

static int32_t on_make(void *self, const mag_op *op, const char *kind, mag_bytes doc,
                       mag_bytes *ret, mag_error *err)
{
    return object(self, op, MAKE, &(struct mag_object){.kind = kind, .doc = doc}, ret, err);
}

static int32_t on_alter(void *self, const mag_op *op, const char *kind, const char *name,
                        mag_bytes doc, mag_bytes *ret, mag_error *err)
{
    const struct mag_object o = {.kind = kind, .name = name, .doc = doc};
    return object(self, op, ALTER, &o, ret, err);
}

static int32_t on_drop(void *self, const mag_op *op, const char *kind, const char *name,
                       mag_error *err)
{
    return object(self, op, DROP, &(struct mag_object){.kind = kind, .name = name}, NULL, err);
}

static int32_t on_act(void *self, const mag_op *op, const char *kind, const char *name,
                      const char *verb, mag_bytes args, mag_bytes *ret, mag_error *err)
{
    const struct mag_object o = {.kind = kind, .name = name, .action = verb, .doc = args};
    return object(self, op, ACT, &o, ret, err);
}

/* ---- what is offered ---- */

/* Filled by the first instance, and the same for each: a library holds one driver. */
static struct {
    mag_lifecycle lifecycle;
    mag_nodegroups nodegroups;
    mag_upgrade upgrade;
    mag_rotate rotate;
    mag_credentials credentials;
    mag_stats stats;
    mag_plan plan;
    mag_workload workload;
} offered;

#define IF(v, fn) ((v) ? (fn) : NULL)

static void offer_life(const struct mag_verbs *v)
{
    offered.lifecycle = (mag_lifecycle){
        .struct_size = sizeof offered.lifecycle,
        .validate = IF(v->validate, on_validate),
        .create = IF(v->create, on_create),
        .update = IF(v->update, on_update),
        .remove = IF(v->remove, on_remove),
        .scale = IF(v->scale, on_scale),
        .health = IF(v->health, on_health),
    };
    offered.nodegroups = (mag_nodegroups){
        .struct_size = sizeof offered.nodegroups,
        .create = IF(v->group_create, on_group_create),
        .update = IF(v->group_update, on_group_update),
        .remove = IF(v->group_remove, on_group_remove),
    };
    offered.upgrade = (mag_upgrade){
        .struct_size = sizeof offered.upgrade,
        .plan = IF(v->upgrade_plan, on_upgrade_plan),
        .upgrade = IF(v->upgrade, on_upgrade),
    };
    offered.rotate = (mag_rotate){
        .struct_size = sizeof offered.rotate,
        .ca_prepare = IF(v->ca_prepare, on_ca_prepare),
        .ca_complete = IF(v->ca_complete, on_ca_complete),
        .credential = IF(v->credential, on_credential),
    };
}

static void offer_rest(const struct mag_verbs *v)
{
    offered.credentials = (mag_credentials){.struct_size = sizeof offered.credentials,
                                            .client_config = on_client_config};
    offered.stats = (mag_stats){.struct_size = sizeof offered.stats, .read = on_stats};
    offered.plan = (mag_plan){.struct_size = sizeof offered.plan, .plan = on_plan};
    offered.workload = (mag_workload){
        .struct_size = sizeof offered.workload,
        .list = IF(v->list, on_list),
        .get = IF(v->get, on_get),
        .create = IF(v->make, on_make),
        .update = IF(v->change, on_alter),
        .remove = IF(v->drop, on_drop),
        .action = IF(v->act, on_act),
    };
}

int32_t mag_driver_create(const struct mag_driver *d, const mag_host *host, void **self,
                          mag_error *err)
{
    struct mag_instance *i = calloc(1, d->instance_size);
    if (!i)
        return mag_fail_nomem(err);
    i->host = host;
    i->services = mag_services_of(host);
    i->driver = d;
    offer_life(d->verbs);
    offer_rest(d->verbs);
    int32_t rc = d->start ? d->start(i, err) : MAG_OK;
    if (rc == MAG_OK)
        *self = i;
    else
        free(i);
    return rc;
}

void mag_driver_destroy(void *self)
{
    struct mag_instance *i = self;
    if (!i)
        return;
    if (i->driver->stop)
        i->driver->stop(i);
    free(i->answer);
    free(i);
}

int32_t mag_driver_probe(void *self, mag_error *err)
{
    struct mag_instance *i = self;
    return i->driver->probe ? i->driver->probe(i, err) : MAG_OK;
}

const void *mag_driver_interface(void *self, const char *id)
{
    const struct mag_verbs *v = ((struct mag_instance *)self)->driver->verbs;
    const struct {
        const char *id;
        bool has;
        const void *iface;
    } all[] = {
        {MAG_IFACE_LIFECYCLE, true, &offered.lifecycle},
        {MAG_IFACE_NODEGROUPS, v->group_create != NULL, &offered.nodegroups},
        {MAG_IFACE_UPGRADE, v->upgrade != NULL, &offered.upgrade},
        {MAG_IFACE_ROTATE, v->ca_prepare != NULL || v->credential != NULL, &offered.rotate},
        {MAG_IFACE_CREDENTIALS, v->client_config != NULL, &offered.credentials},
        {MAG_IFACE_STATS, v->stats != NULL, &offered.stats},
        {MAG_IFACE_PLAN, v->plan != NULL, &offered.plan},
        {MAG_IFACE_WORKLOAD, v->list != NULL, &offered.workload},
    };
    for (size_t i = 0; i < MAG_LEN(all); i++)
        if (strcmp(id, all[i].id) == 0)
            return all[i].has ? all[i].iface : NULL;
    return NULL;
}
