/* @NAME@: a COE driver for Magnum, begun from the template of its SDK.
 *
 * It keeps one REST resource for the cluster and one for each nodegroup in a backend (configured as
 * driver_config: @ID@: endpoint):
 *   PUT     /clusters/<name>, /groups/<name>   200 or 201 done, 202 still working
 *   GET     /clusters/<name>                   200, 404
 *   DELETE  either                             200 or 204 gone, 202 still working, 404 was not
 * there Every step may run twice, in another process, on another machine: names are derived from
 * ids, PUT and DELETE may be repeated, and the ledger knows what was begun. Put your backend in the
 * place of ask_backend(), then run the kit; it says what else is missing. */
#include <magnum/lifecycle.h>

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/http.h"
#include "lib/names.h"
#include "lib/services.h"

#include <stdio.h>
#include <string.h>

enum { WAIT_MS = 2000, PATH_SIZE = 512 };

#define CLUSTERS "clusters"
#define GROUPS "groups"

struct driver {
    struct mag_services services;
    const char *endpoint; /* NULL: not configured */
};

static int32_t need_endpoint(const struct driver *d, mag_error *err)
{
    if (d->endpoint)
        return MAG_OK;
    return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_OPERATOR, "NotConfigured",
                    "Set endpoint in section driver_config, @ID@.", "No backend is configured");
}

/* What an answer means for the operation. MAG_AGAIN: accepted, not finished. */
static int32_t judge(const struct mag_http_answer *a, mag_error *err)
{
    if (a->status == 202)
        return MAG_AGAIN;
    if (a->status >= 200 && a->status < 300)
        return MAG_OK;
    if (a->status == 404)
        return mag_fail(err, MAG_E_NOT_FOUND, 0, "NotThere", NULL, "The backend does not know it");
    if (a->status == 401 || a->status == 403)
        return mag_fail(err, MAG_E_AUTH, MAG_ERR_OPERATOR, "NotAllowed", NULL,
                        "The backend refuses us");
    if (a->status == 409)
        return mag_fail(err, MAG_E_BUSY, MAG_ERR_RETRYABLE, "Busy", NULL,
                        "The backend is busy with it");
    if (a->status == 429 || a->status >= 500)
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "BackendDown", NULL,
                        "The backend answers with %u", a->status);
    return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "Rejected", NULL,
                    "The backend rejects the request (%u)", a->status);
}

/* One call, one answer. collection and name make the path; json may be NULL. */
static int32_t ask_backend(const struct driver *d, const mag_op *op, const char *method,
                           const char *collection, const char *name, const json_t *json,
                           mag_error *err)
{
    char path[PATH_SIZE];
    struct mag_http_answer answer = {0};
    int32_t rc = need_endpoint(d, err);
    if (rc != MAG_OK)
        return rc;
    if ((size_t)snprintf(path, sizeof path, "%s/%s/%s", d->endpoint, collection, name) >=
        sizeof path)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "BadEndpoint", NULL,
                        "The endpoint is too long");
    struct mag_http_call call = {.method = method, .service = "url", .path = path, .json = json};
    rc = mag_http_do(d->services.host, op, &call, &answer, err);
    return rc == MAG_OK ? judge(&answer, err) : rc;
}

/* Declared before it is made and confirmed after: a crash in between leaves nothing unknown. */
static int32_t put(const struct driver *d, const mag_op *op, const char *collection,
                   const char *name, const json_t *json, mag_error *err)
{
    int32_t rc = mag_ledger_declare(&d->services, op, collection, name, NULL, err);
    if (rc == MAG_OK)
        rc = ask_backend(d, op, "PUT", collection, name, json, err);
    if (rc == MAG_OK)
        rc = mag_ledger_confirm(&d->services, op, collection, name, NULL, err);
    return rc;
}

/* Absent means done. */
static int32_t take_away(const struct driver *d, const mag_op *op, const char *collection,
                         const char *name, mag_error *err)
{
    int32_t rc = ask_backend(d, op, "DELETE", collection, name, NULL, err);
    if (rc == MAG_OK || rc == MAG_E_NOT_FOUND)
        rc = mag_ledger_drop(&d->services, op, collection, name, err);
    return rc;
}

static int32_t put_groups(const struct driver *d, const mag_op *op, const json_t *spec,
                          mag_error *err)
{
    char name[MAG_NAME_MAX];
    json_t *group;
    size_t i;
    json_array_foreach(mag_json_at(spec, "nodegroups"), i, group)
    {
        const char *uuid = mag_json_text(group, "uuid", NULL);
        if (!uuid || !mag_is_uuid(uuid))
            return mag_fail(err, MAG_E_INVALID, 0, "BadSpec", NULL, "A nodegroup has no uuid");
        mag_name(name, op->cluster_id, uuid);
        int32_t rc = put(d, op, GROUPS, name, group, err);
        if (rc != MAG_OK)
            return rc;
    }
    return MAG_OK;
}

/* create, update and scale are one thing: the backend shall have this spec. */
static int32_t converge(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    const struct driver *d = self;
    _mag_json_ json_t *spec = NULL;
    char name[MAG_NAME_MAX], address[MAG_NAME_MAX + 32];
    if (op->flags & MAG_OPF_CANCEL)
        return mag_fail(err, MAG_E_CANCELLED, 0, "Cancelled", NULL, "Stopped as asked");
    if (op->kind != MAG_OP_CREATE && op->kind != MAG_OP_UPDATE && op->kind != MAG_OP_SCALE)
        return mag_fail(err, MAG_E_UNSUPPORTED, 0, "Unsupported", NULL,
                        "Operations of kind %u are not offered", op->kind);
    int32_t rc = mag_json_parse(op->spec, "the spec", &spec, err);
    mag_name(name, op->cluster_id, NULL);
    if (rc == MAG_OK)
        rc = put(d, op, CLUSTERS, name, mag_json_at(spec, "cluster"), err);
    if (rc == MAG_OK)
        rc = put_groups(d, op, spec, err);
    if (rc == MAG_AGAIN) {
        out->wait_ms = WAIT_MS;
        out->percent = 50;
        snprintf(out->message, sizeof out->message, "the backend is working on it");
    }
    if (rc != MAG_OK)
        return rc;
    snprintf(address, sizeof address, "https://%s.invalid:6443", name);
    return mag_output_new(d->services.host, op, "api_address", json_string(address), err);
}

/* Those the ledger knows, and those the spec names: a backend may have lied about one. */
static int32_t remove_groups(const struct driver *d, const mag_op *op, mag_error *err)
{
    _mag_json_ json_t *entries = NULL, *spec = NULL;
    char name[MAG_NAME_MAX];
    json_t *v;
    size_t i;
    int32_t rc = mag_ledger_list(&d->services, op, GROUPS, &entries, err);
    if (rc == MAG_OK)
        rc = mag_json_parse(op->spec, "the spec", &spec, err);
    json_array_foreach(entries, i, v)
    {
        if (rc == MAG_OK)
            rc = take_away(d, op, GROUPS, mag_json_text(v, "name", ""), err);
    }
    json_array_foreach(mag_json_at(spec, "nodegroups"), i, v)
    {
        if (rc != MAG_OK || !mag_is_uuid(mag_json_text(v, "uuid", "")))
            continue;
        mag_name(name, op->cluster_id, mag_json_text(v, "uuid", ""));
        rc = take_away(d, op, GROUPS, name, err);
    }
    return rc;
}

/* Works from the ledger and from derived names: labels, template and nodegroups may be gone. */
static int32_t driver_remove(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    const struct driver *d = self;
    char name[MAG_NAME_MAX];
    out->wait_ms = WAIT_MS;
    mag_name(name, op->cluster_id, NULL);
    int32_t rc = remove_groups(d, op, err);
    return rc == MAG_OK ? take_away(d, op, CLUSTERS, name, err) : rc;
}

/* Reads only. Unreachable is unknown, never unhealthy: we know nothing about the cluster then. */
static int32_t driver_health(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    const struct driver *d = self;
    char name[MAG_NAME_MAX];
    (void)out;
    mag_name(name, op->cluster_id, NULL);
    int32_t rc = ask_backend(d, op, "GET", CLUSTERS, name, NULL, err);
    const char *status = rc == MAG_OK ? "HEALTHY" : rc == MAG_E_NOT_FOUND ? "UNHEALTHY" : "UNKNOWN";
    return mag_output_new(d->services.host, op, "health_status", json_string(status), err);
}

/* Before anything is accepted; no side effects, nothing remote. */
static int32_t driver_validate(void *self, const mag_op *op, mag_error *err)
{
    _mag_json_ json_t *spec = NULL;
    (void)self;
    return mag_json_parse(op->spec, "the spec", &spec, err);
}

static int32_t driver_create(const mag_host *host, void **self, mag_error *err)
{
    struct driver *d = calloc(1, sizeof *d);
    if (!d)
        return mag_fail_nomem(err);
    d->services = mag_services_of(host);
    d->endpoint = mag_config(host, "endpoint", NULL);
    *self = d;
    return MAG_OK;
}

static void driver_destroy(void *self)
{
    free(self);
}

/* Can it work on this machine? */
static int32_t driver_probe(void *self, mag_error *err)
{
    return need_endpoint(self, err);
}

static const void *driver_interface(void *self, const char *id)
{
    static const mag_lifecycle lifecycle = {.struct_size = sizeof lifecycle,
                                            .validate = driver_validate,
                                            .create = converge,
                                            .update = converge,
                                            .remove = driver_remove,
                                            .scale = converge,
                                            .health = driver_health};
    (void)self;
    return strcmp(id, MAG_IFACE_LIFECYCLE) == 0 ? &lifecycle : NULL;
}

const mag_plugin *mag_plugin_entry(uint32_t host_major, uint32_t host_minor)
{
    static const mag_plugin plugin = {.magic = MAG_PLUGIN_MAGIC,
                                      .struct_size = sizeof plugin,
                                      .abi_major = MAG_ABI_MAJOR,
                                      .abi_minor = MAG_ABI_MINOR,
                                      .id = "@ID@",
                                      .version = "0.1.0",
                                      .vendor = "@VENDOR@",
                                      .create = driver_create,
                                      .destroy = driver_destroy,
                                      .probe = driver_probe,
                                      .get_interface = driver_interface};
    (void)host_minor; /* every 1.x will do: MAG_HAS is asked before anything newer is used */
    return host_major == MAG_ABI_MAJOR ? &plugin : NULL;
}
