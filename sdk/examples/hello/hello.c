/* hello: the smallest useful COE driver. One REST resource per cluster, nothing but the SDK
 * headers.
 *
 * The backend (configured as driver_config: com.example.hello: endpoint) knows
 *   PUT    /v1/clusters/<name>   201/200 done, 202 still working, 409 another spec
 *   GET    /v1/clusters/<name>   200 {"status": ...}, 404
 *   DELETE /v1/clusters/<name>   204 gone, 202 still working, 404 was not there
 * PUT and DELETE may be repeated, and the name is a function of the cluster's id, so every step may
 * run twice: no checkpoint is needed. For several resources and checkpoints see ../simulator. */
#include <magnum/lifecycle.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALL_TIMEOUT_MS = 10000, WAIT_MS = 2000 };

struct hello {
    const mag_host *host;
    const mag_host_ledger *ledger; /* NULL on a host without it */
};

static int32_t fail(mag_error *e, int32_t code, uint32_t flags, const char *reason,
                    const char *message)
{
    e->flags = flags;
    snprintf(e->reason, sizeof e->reason, "%s", reason);
    snprintf(e->message, sizeof e->message, "hello: %s", message);
    return code;
}

/* Host services beyond the table come by id, and may be shorter than this header knows. */
static const mag_host_ledger *find_ledger(const mag_host *host)
{
    if (!MAG_HAS(mag_host, host, get_service) || !host->get_service)
        return NULL;
    const mag_host_ledger *l = host->get_service(host->ctx, MAG_HOST_LEDGER);
    return l && MAG_HAS(mag_host_ledger, l, list) ? l : NULL;
}

static void resource_name(const mag_op *op, char *name, size_t size)
{
    snprintf(name, size, "mag-%s", op->cluster_id);
}

/* Seconds of a Retry-After header as milliseconds, 0 when there is none. */
static uint32_t retry_after(const char *headers)
{
    const char *h = strstr(headers, "retry-after: ");
    unsigned long s = h ? strtoul(h + strlen("retry-after: "), NULL, 10) : 0;
    return s > 3600 ? 3600000 : (uint32_t)s * 1000;
}

static int32_t call(const struct hello *h, const mag_op *op, const char *method, mag_bytes body,
                    mag_http_resp *r, mag_error *e)
{
    char name[80], url[512];
    const char *endpoint = h->host->config(h->host->ctx, "endpoint");
    if (!endpoint) {
        int32_t rc =
            fail(e, MAG_E_INTERNAL, MAG_ERR_OPERATOR, "NotConfigured", "no backend is configured");
        snprintf(e->remedy, sizeof e->remedy,
                 "Set endpoint in section driver_config, com.example.hello.");
        return rc;
    }
    resource_name(op, name, sizeof name);
    snprintf(url, sizeof url, "%s/v1/clusters/%s", endpoint, name);
    const mag_http_req q = {.struct_size = sizeof q,
                            .timeout_ms = CALL_TIMEOUT_MS,
                            .method = method,
                            .service = "url",
                            .path = url,
                            .headers = body.len ? "Content-Type: application/json\n" : NULL,
                            .body = body};
    *r = (mag_http_resp){.struct_size = sizeof *r};
    return h->host->http(h->host->ctx, op, &q, r, e);
}

/* What every verb does with an answer it can't use. */
static int32_t refused(const mag_http_resp *r, mag_error *e)
{
    if (r->status == 429) {
        e->retry_after_ms = retry_after(r->headers);
        return fail(e, MAG_E_BUSY, MAG_ERR_RETRYABLE, "BackendBusy", "the backend asks to wait");
    }
    if (r->status == 401 || r->status == 403)
        return fail(e, MAG_E_AUTH, MAG_ERR_OPERATOR, "NotAllowed", "the backend refuses us");
    if (r->status == 409)
        return fail(e, MAG_E_EXISTS, 0, "ExistsDifferently",
                    "a cluster of this name exists with another spec");
    if (r->status >= 500)
        return fail(e, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "BackendDown", "the backend fails");
    return fail(e, MAG_E_INVALID, MAG_ERR_USER, "SpecRejected", "the backend rejects the spec");
}

static int32_t publish(const struct hello *h, const mag_op *op, mag_error *e)
{
    char address[128];
    int n =
        snprintf(address, sizeof address, "\"https://mag-%s.hello.invalid:6443\"", op->cluster_id);
    return h->host->output(h->host->ctx, op, "api_address", (mag_bytes){address, (uint64_t)n}, e);
}

/* create, update and scale are one thing here: the backend shall have this spec. */
static int32_t converge(void *self, const mag_op *op, mag_step *out, mag_error *e)
{
    const struct hello *h = self;
    char name[80];
    mag_http_resp r;
    resource_name(op, name, sizeof name);
    int32_t rc = MAG_OK;
    if (h->ledger) /* before it is made: a crash after the PUT must not leave it unknown */
        rc = h->ledger->declare(h->host->ctx, op, "hello-cluster", name, (mag_bytes){0}, e);
    if (rc == MAG_OK)
        rc = call(h, op, "PUT", op->spec, &r, e);
    if (rc != MAG_OK)
        return rc;
    if (r.status != 200 && r.status != 201 && r.status != 202)
        return refused(&r, e);
    if (r.status == 202) {
        out->wait_ms = WAIT_MS;
        out->percent = 50;
        snprintf(out->message, sizeof out->message, "the backend is working on it");
        return MAG_AGAIN;
    }
    if (h->ledger)
        rc = h->ledger->confirm(h->host->ctx, op, "hello-cluster", name, NULL, e);
    return rc == MAG_OK ? publish(h, op, e) : rc;
}

static int32_t hello_remove(void *self, const mag_op *op, mag_step *out, mag_error *e)
{
    const struct hello *h = self;
    char name[80];
    mag_http_resp r;
    int32_t rc = call(h, op, "DELETE", (mag_bytes){0}, &r, e);
    if (rc != MAG_OK)
        return rc;
    if (r.status == 202) {
        out->wait_ms = WAIT_MS;
        return MAG_AGAIN;
    }
    if (r.status != 404 && r.status != 204 && r.status != 200) /* 404: already gone is success */
        return refused(&r, e);
    resource_name(op, name, sizeof name);
    return h->ledger ? h->ledger->drop(h->host->ctx, op, "hello-cluster", name, e) : MAG_OK;
}

static int32_t hello_health(void *self, const mag_op *op, mag_step *out, mag_error *e)
{
    const struct hello *h = self;
    mag_http_resp r;
    (void)out;
    /* Unreachable is unknown, never unhealthy: we know nothing about the cluster then. */
    const char *status = "\"UNKNOWN\"";
    if (call(h, op, "GET", (mag_bytes){0}, &r, e) == MAG_OK && r.status < 500)
        status = r.status == 200 ? "\"HEALTHY\"" : "\"UNHEALTHY\"";
    return h->host->output(h->host->ctx, op, "health_status",
                           (mag_bytes){status, (uint64_t)strlen(status)}, e);
}

static int32_t hello_validate(void *self, const mag_op *op, mag_error *e)
{
    (void)self;
    return op->spec.len ? MAG_OK
                        : fail(e, MAG_E_INVALID, MAG_ERR_USER, "EmptySpec", "the spec is empty");
}

static int32_t hello_create(const mag_host *host, void **self, mag_error *e)
{
    struct hello *h = calloc(1, sizeof *h);
    if (!h)
        return fail(e, MAG_E_INTERNAL, MAG_ERR_RETRYABLE, "OutOfMemory", "out of memory");
    h->host = host;
    h->ledger = find_ledger(host);
    *self = h;
    return MAG_OK;
}

static void hello_destroy(void *self)
{
    free(self);
}

static int32_t hello_probe(void *self, mag_error *e)
{
    const struct hello *h = self;
    if (h->host->config(h->host->ctx, "endpoint"))
        return MAG_OK;
    int32_t rc =
        fail(e, MAG_E_UNAVAILABLE, MAG_ERR_OPERATOR, "NotConfigured", "no backend is configured");
    snprintf(e->remedy, sizeof e->remedy,
             "Set endpoint in section driver_config, com.example.hello.");
    return rc;
}

static const void *hello_interface(void *self, const char *id)
{
    static const mag_lifecycle lifecycle = {.struct_size = sizeof lifecycle,
                                            .validate = hello_validate,
                                            .create = converge,
                                            .update = converge,
                                            .remove = hello_remove,
                                            .scale = converge,
                                            .health = hello_health};
    (void)self;
    return strcmp(id, MAG_IFACE_LIFECYCLE) == 0 ? &lifecycle : NULL;
}

const mag_plugin *mag_plugin_entry(uint32_t host_major, uint32_t host_minor)
{
    static const mag_plugin plugin = {.magic = MAG_PLUGIN_MAGIC,
                                      .struct_size = sizeof plugin,
                                      .abi_major = MAG_ABI_MAJOR,
                                      .abi_minor = MAG_ABI_MINOR,
                                      .id = "com.example.hello",
                                      .version = "1.0.0",
                                      .vendor = "Example",
                                      .create = hello_create,
                                      .destroy = hello_destroy,
                                      .probe = hello_probe,
                                      .get_interface = hello_interface};
    (void)host_minor; /* every 1.x will do: MAG_HAS is asked before anything newer is used */
    return host_major == MAG_ABI_MAJOR ? &plugin : NULL;
}
