/* See swarm_api.h. */
#include "swarm_api.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/http.h"

#include <stdio.h>
#include <string.h>

#define SWARM_PORT "2377"
/* Overlay networks of the swarm; with its own SubnetSize, since Docker's default for a given pool
 * is none at all and leaves every task waiting for ever. */
#define OVERLAY_POOL "10.90.0.0/16"
enum { OVERLAY_SUBNET = 24 };

static void copy(char *out, size_t cap, const char *text)
{
    (void)snprintf(out, cap, "%s", text);
}

int32_t swarm_info(const struct mag_docker *d, struct swarm_info *ret, mag_error *err)
{
    _mag_json_ json_t *j = NULL;
    int32_t rc = mag_docker_call(d, "GET", "/info", NULL, &j, NULL, err);
    if (rc != MAG_OK)
        return rc;
    copy(ret->state, sizeof ret->state, mag_json_text(j, "Swarm.LocalNodeState", ""));
    copy(ret->id, sizeof ret->id, mag_json_text(j, "Swarm.NodeID", ""));
    copy(ret->version, sizeof ret->version, mag_json_text(j, "ServerVersion", ""));
    ret->control = mag_json_bool(j, "Swarm.ControlAvailable", false);
    ret->cpus = mag_json_int(j, "NCPU", 0);
    ret->memory = mag_json_int(j, "MemTotal", 0);
    return MAG_OK;
}

int32_t swarm_init(const struct mag_docker *d, const struct swarm_init *in, mag_error *err)
{
    char at[64];
    uint32_t status;
    (void)snprintf(at, sizeof at, "%s:" SWARM_PORT, in->address);
    _mag_json_ json_t *body = json_pack(
        "{s:s, s:s, s:s, s:[s], s:i, s:{s:{s:I}}}", "ListenAddr", at, "AdvertiseAddr", at,
        "DataPathAddr", in->address, "DefaultAddrPool", OVERLAY_POOL, "SubnetSize", OVERLAY_SUBNET,
        "Spec", "Dispatcher", "HeartbeatPeriod", (json_int_t)in->heartbeat_ns);
    if (!body)
        return mag_fail_nomem(err);
    int32_t rc = mag_docker_call(d, "POST", "/swarm/init", body, NULL, &status, err);
    return status == 503 && err && strstr(err->message, "already part of a swarm") ? MAG_OK : rc;
}

int32_t swarm_tokens(const struct mag_docker *d, struct swarm_tokens *ret, mag_error *err)
{
    _mag_json_ json_t *j = NULL;
    int32_t rc = mag_docker_call(d, "GET", "/swarm", NULL, &j, NULL, err);
    if (rc != MAG_OK)
        return rc;
    copy(ret->worker, sizeof ret->worker, mag_json_text(j, "JoinTokens.Worker", ""));
    copy(ret->manager, sizeof ret->manager, mag_json_text(j, "JoinTokens.Manager", ""));
    return MAG_OK;
}

int32_t swarm_join(const struct mag_docker *d, const char *address, const json_t *remotes,
                   const char *token, mag_error *err)
{
    char at[64];
    (void)snprintf(at, sizeof at, "%s:" SWARM_PORT, address);
    _mag_json_ json_t *body =
        json_pack("{s:s, s:s, s:s, s:O, s:s}", "ListenAddr", at, "AdvertiseAddr", at,
                  "DataPathAddr", address, "RemoteAddrs", remotes, "JoinToken", token);
    if (!body)
        return mag_fail_nomem(err);
    return mag_docker_call(d, "POST", "/swarm/join", body, NULL, NULL, err);
}

int32_t swarm_leave(const struct mag_docker *d, mag_error *err)
{
    uint32_t status;
    int32_t rc = mag_docker_call(d, "POST", "/swarm/leave?force=true", NULL, NULL, &status, err);
    return status == 503 && err && strstr(err->message, "not part of a swarm") ? MAG_OK : rc;
}

int32_t swarm_nodes(const struct mag_docker *d, json_t **ret, uint32_t *status, mag_error *err)
{
    int32_t rc = mag_docker_call(d, "GET", "/nodes", NULL, ret, status, err);
    if (rc == MAG_OK && !json_is_array(*ret)) {
        json_decref(*ret);
        *ret = NULL;
        rc = mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "BadAnswer", NULL,
                      "%s: the list of nodes is no list", d->name);
    }
    return rc;
}

bool swarm_node_matches(const json_t *entry, const struct swarm_wanted *w)
{
    const char *key;
    json_t *v;
    if (w->role && strcmp(mag_json_text(entry, "Spec.Role", ""), w->role) != 0)
        return false;
    if (w->availability &&
        strcmp(mag_json_text(entry, "Spec.Availability", ""), w->availability) != 0)
        return false;
    const json_t *labels = mag_json_at(entry, "Spec.Labels");
    json_object_foreach((json_t *)(uintptr_t)w->labels, key, v)
    {
        if (!json_equal(json_object_get(labels, key), v))
            return false;
    }
    return true;
}

static int32_t change_node(void *ctx, const json_t *object, json_t *spec, mag_error *err)
{
    const struct swarm_wanted *w = ctx;
    if (swarm_node_matches(object, w))
        return 0;
    int bad = 0;
    if (w->role)
        bad |= json_object_set_new(spec, "Role", json_string(w->role));
    if (w->availability)
        bad |= json_object_set_new(spec, "Availability", json_string(w->availability));
    if (w->labels) {
        if (!json_is_object(json_object_get(spec, "Labels")))
            bad |= json_object_set_new(spec, "Labels", json_object());
        bad |= json_object_update(json_object_get(spec, "Labels"), (json_t *)(uintptr_t)w->labels);
    }
    return bad ? mag_fail_nomem(err) : 1;
}

int32_t swarm_node_update(const struct mag_docker *d, const char *id, const struct swarm_wanted *w,
                          mag_error *err)
{
    char get[96], post[96];
    struct swarm_wanted copy_of = *w;
    (void)snprintf(get, sizeof get, "/nodes/%s", id);
    (void)snprintf(post, sizeof post, "/nodes/%s/update?", id);
    return mag_docker_update(d, get, post, change_node, &copy_of, err);
}

int32_t swarm_node_delete(const struct mag_docker *d, const char *id, mag_error *err)
{
    char path[96];
    (void)snprintf(path, sizeof path, "/nodes/%s?force=true", id);
    int32_t rc = mag_docker_call(d, "DELETE", path, NULL, NULL, NULL, err);
    return rc == MAG_E_NOT_FOUND ? MAG_OK : rc;
}

int32_t swarm_containers(const struct mag_docker *d, bool tasks_only, size_t *ret, mag_error *err)
{
    char filter[128] = "", path[256];
    _mag_json_ json_t *j = NULL;
    if (tasks_only &&
        !mag_http_quote(filter, sizeof filter, "{\"label\":[\"com.docker.swarm.task.id\"]}"))
        return mag_fail_nomem(err);
    (void)snprintf(path, sizeof path, "/containers/json%s%s", filter[0] ? "?filters=" : "", filter);
    int32_t rc = mag_docker_call(d, "GET", path, NULL, &j, NULL, err);
    if (rc == MAG_OK)
        *ret = json_array_size(j);
    return rc;
}

int32_t swarm_reserved(const struct mag_docker *d, struct swarm_reserved *ret, mag_error *err)
{
    char filter[96], path[160];
    _mag_json_ json_t *tasks = NULL;
    if (!mag_http_quote(filter, sizeof filter, "{\"desired-state\":[\"running\"]}"))
        return mag_fail_nomem(err);
    (void)snprintf(path, sizeof path, "/tasks?filters=%s", filter);
    int32_t rc = mag_docker_call(d, "GET", path, NULL, &tasks, NULL, err);
    size_t i;
    json_t *t;
    json_array_foreach(tasks, i, t)
    {
        ret->nano_cpus += mag_json_int(t, "Spec.Resources.Reservations.NanoCPUs", 0);
        ret->bytes += mag_json_int(t, "Spec.Resources.Reservations.MemoryBytes", 0);
    }
    return rc;
}
