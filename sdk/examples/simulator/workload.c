/* Objects in a cluster: documents in one file of its directory, so that tests can look at them and
 * take them away. A document's annotation "simulate" (a container's command) makes create
 * misbehave: refuse  says no         lost    makes it, then says the backend is down before  says
 * the backend is down without making it error   says its backend failed    die     makes it, then
 * dies See sim.h. */
#include "sim.h"

#include <magnum/workload.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define FILE_NAME "workload.json"

struct place { /* one object's, while a call works on it */
    char dir[SIM_PATH], key[512];
    json_t *all; /* owned */
};

static void place_done(struct place *p)
{
    json_decref(p->all);
}
#define _place_ __attribute__((cleanup(place_done)))

static int32_t open_place(const struct sim *s, const mag_op *op, const char *kind, const char *name,
                          struct place *ret, mag_error *err)
{
    ret->all = NULL;
    int32_t rc = sim_need_state_dir(s, err);
    if (rc != MAG_OK)
        return rc;
    if (!sim_cluster_dir(s, op->cluster_id, ret->dir) ||
        snprintf(ret->key, sizeof ret->key, "%s %s", kind, name) >= (int)sizeof ret->key)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "BadName", NULL, "The name is too long");
    ret->all = sim_read_file(ret->dir, FILE_NAME);
    if (!json_is_object(ret->all)) {
        json_decref(ret->all);
        ret->all = json_object();
    }
    return ret->all ? MAG_OK : mag_fail_nomem(err);
}

static int32_t find(const struct place *p, json_t **ret, mag_error *err)
{
    *ret = json_object_get(p->all, p->key);
    return *ret ? MAG_OK
                : mag_fail(err, MAG_E_NOT_FOUND, MAG_ERR_USER, "NotFound", NULL,
                           "There is no %.200s", p->key);
}

static int32_t sim_get(void *self, const mag_op *op, const char *kind, const char *name,
                       mag_bytes *ret_json, mag_error *err)
{
    _place_ struct place p;
    json_t *doc = NULL;
    int32_t rc = open_place(self, op, kind, name, &p, err);
    if (rc == MAG_OK)
        rc = find(&p, &doc, err);
    return rc == MAG_OK ? sim_return(self, json_incref(doc), ret_json, err) : rc;
}

static int32_t sim_list(void *self, const mag_op *op, const char *kind, mag_bytes query,
                        mag_bytes *ret_json, mag_error *err)
{
    _place_ struct place p;
    const char *key;
    json_t *v;
    (void)query;
    int32_t rc = open_place(self, op, kind, "", &p, err);
    if (rc != MAG_OK)
        return rc;
    json_t *items = json_array();
    json_object_foreach(p.all, key, v)
    {
        if (strncmp(key, p.key, strlen(p.key)) == 0)
            json_array_append(items, v);
    }
    return sim_return(self, json_pack("{s:o, s:b}", "items", items, "truncated", 0), ret_json, err);
}

static const char *name_of(const char *kind, const json_t *doc, char ret[300])
{
    if (strcmp(kind, "container") == 0)
        return mag_json_text(doc, "id", "");
    (void)snprintf(ret, 300, "%.140s/%.140s", mag_json_text(doc, "metadata.namespace", "default"),
                   mag_json_text(doc, "metadata.name", ""));
    return ret;
}

static int32_t fault_before(const char *fault, mag_error *err)
{
    if (strcmp(fault, "refuse") == 0)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "Refused", NULL, "It was to be refused");
    if (strcmp(fault, "before") == 0)
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "Away", NULL, "It is away");
    if (strcmp(fault, "error") == 0)
        return mag_fail(err, MAG_E_INTERNAL, 0, "Failed", NULL, "It failed");
    return MAG_OK;
}

static int32_t fault_after(const char *fault, mag_error *err)
{
    if (strcmp(fault, "die") == 0)
        (void)raise(SIGKILL);
    if (strcmp(fault, "lost") == 0)
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "Lost", NULL,
                        "The answer was lost");
    return MAG_OK;
}

static int32_t put(struct place *p, json_t *doc, mag_error *err)
{
    if (json_object_set(p->all, p->key, doc) < 0)
        return mag_fail_nomem(err);
    return sim_write_file(p->dir, FILE_NAME, p->all, err);
}

static int32_t sim_make(void *self, const mag_op *op, const char *kind, mag_bytes text,
                        mag_bytes *ret_json, mag_error *err)
{
    _place_ struct place p = {.all = NULL};
    _mag_json_ json_t *doc = NULL;
    char name[300];
    bool container = strcmp(kind, "container") == 0;
    int32_t rc = mag_json_parse(text, "the document", &doc, err);
    if (rc == MAG_OK)
        rc = open_place(self, op, kind, name_of(kind, doc, name), &p, err);
    if (rc == MAG_OK && json_object_get(p.all, p.key))
        rc = mag_fail(err, MAG_E_EXISTS, MAG_ERR_USER, "Exists", NULL, "%.200s is there", p.key);
    const char *fault =
        mag_json_text(doc, container ? "command" : "metadata.annotations.simulate", "");
    if (rc == MAG_OK)
        rc = fault_before(fault, err);
    if (rc == MAG_OK)
        (void)json_object_set_new(doc, "status",
                                  container ? json_string("Stopped")
                                            : json_pack("{s:s}", "phase", "Running"));
    if (rc == MAG_OK)
        rc = put(&p, doc, err);
    if (rc == MAG_OK)
        rc = fault_after(fault, err);
    return rc == MAG_OK ? sim_return(self, json_incref(doc), ret_json, err) : rc;
}

static int32_t sim_replace(void *self, const mag_op *op, const char *kind, const char *name,
                           mag_bytes text, mag_bytes *ret_json, mag_error *err)
{
    _place_ struct place p = {.all = NULL};
    _mag_json_ json_t *doc = NULL;
    json_t *now = NULL;
    int32_t rc = mag_json_parse(text, "the document", &doc, err);
    if (rc == MAG_OK)
        rc = open_place(self, op, kind, name, &p, err);
    if (rc == MAG_OK)
        rc = find(&p, &now, err);
    if (rc == MAG_OK)
        (void)json_object_set(doc, "status", json_object_get(now, "status"));
    if (rc == MAG_OK)
        rc = put(&p, doc, err);
    return rc == MAG_OK ? sim_return(self, json_incref(doc), ret_json, err) : rc;
}

static int32_t sim_remove(void *self, const mag_op *op, const char *kind, const char *name,
                          mag_error *err)
{
    _place_ struct place p;
    json_t *doc = NULL;
    int32_t rc = open_place(self, op, kind, name, &p, err);
    if (rc == MAG_OK)
        rc = find(&p, &doc, err);
    if (rc != MAG_OK)
        return rc;
    (void)json_object_del(p.all, p.key);
    return sim_write_file(p.dir, FILE_NAME, p.all, err);
}

static int32_t sim_action(void *self, const mag_op *op, const char *kind, const char *name,
                          const char *verb, mag_bytes args, mag_bytes *ret_json, mag_error *err)
{
    static const char *const states[][2] = {{"start", "Running"},
                                            {"stop", "Stopped"},
                                            {"reboot", "Running"},
                                            {"pause", "Paused"},
                                            {"unpause", "Running"}};
    _place_ struct place p;
    _mag_json_ json_t *a = NULL;
    json_t *doc = NULL;
    int32_t rc = open_place(self, op, kind, name, &p, err);
    if (rc == MAG_OK)
        rc = find(&p, &doc, err);
    if (rc == MAG_OK)
        rc = mag_json_parse(args, "the arguments", &a, err);
    if (rc != MAG_OK)
        return rc;
    if (strcmp(verb, "logs") == 0 || strcmp(verb, "execute") == 0)
        return sim_return(self,
                          json_pack("{s:s}", "output", mag_json_text(a, "command", "a log\n")),
                          ret_json, err);
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(states[i][0], verb) == 0)
            (void)json_object_set_new(doc, "status", json_string(states[i][1]));
    rc = put(&p, doc, err);
    return rc == MAG_OK ? sim_return(self, json_pack("{s:O}", "container", doc), ret_json, err)
                        : rc;
}

const void *sim_workload_interface(const char *id)
{
    static const mag_workload workload = {.struct_size = sizeof workload,
                                          .list = sim_list,
                                          .get = sim_get,
                                          .create = sim_make,
                                          .update = sim_replace,
                                          .remove = sim_remove,
                                          .action = sim_action};
    return strcmp(id, MAG_IFACE_WORKLOAD) == 0 ? &workload : NULL;
}
