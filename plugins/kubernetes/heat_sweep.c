/* Load balancers and volumes that Kubernetes' cloud provider made for services and claims of the
 * cluster. They stand in no stack: found by the cluster's uuid in their names, descriptions and
 * metadata. A cloud without Octavia or Cinder has none. See heat_run.h. */
#include "heat_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/http.h"

#include <stdio.h>
#include <string.h>

#define BALANCER "load-balancer"
#define VOLUME "volumev3"
enum { WAIT_MS = 2000 };

/* A delete by force goes on past what can't be looked at. */
static int32_t pass_over(struct heat_run *r, int32_t rc, const char *service)
{
    bool final = rc == MAG_E_PRECONDITION || rc == MAG_E_CANCELLED;
    if (!(r->c->op->flags & MAG_OPF_FORCE) || final)
        return rc;
    mag_log(r->c->self->host, MAG_LOG_WARNING, "%s can't be searched, what is there is left: %s",
            service, r->c->err->message);
    return MAG_OK;
}

/* *ret NULL: the cloud has no such service. */
static int32_t list(struct heat_run *r, const char *service, const char *path, json_t **ret)
{
    struct mag_http_call call = {.method = "GET", .service = service, .path = path};
    struct mag_http_answer a = {0};
    *ret = NULL;
    int32_t rc = mag_http_do(r->c->self->host, r->c->op, &call, &a, r->c->err);
    if (rc == MAG_E_NOT_FOUND)
        return MAG_OK;
    if (rc == MAG_OK && a.status == 200)
        return mag_json_parse(a.body, service, ret, r->c->err);
    if (rc == MAG_OK && (a.status == 403 || a.status == 404)) {
        mag_log(r->c->self->host, MAG_LOG_WARNING, "%s answers %u: what is there is left", service,
                a.status);
        return MAG_OK;
    }
    if (rc == MAG_OK)
        rc = mag_fail(r->c->err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "SweepFailed",
                      "delete by force to leave what is there", "%s answers %u to a list", service,
                      a.status);
    return pass_over(r, rc, service);
}

/* Gone, going, or never there: all the same. */
static int32_t drop(struct heat_run *r, const char *service, const char *path)
{
    struct mag_http_call call = {.method = "DELETE", .service = service, .path = path};
    struct mag_http_answer a = {0};
    int32_t rc = mag_http_do(r->c->self->host, r->c->op, &call, &a, r->c->err);
    if (rc == MAG_OK && a.status >= 500)
        rc = mag_fail(r->c->err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "SweepFailed", NULL,
                      "%s answers %u to a delete", service, a.status);
    return rc;
}

static bool of_cluster(const json_t *item, const char *cluster)
{
    char prefix[80];
    (void)snprintf(prefix, sizeof prefix, "kube_service_%.40s_", cluster);
    const char *description = mag_json_text(item, "description", "");
    const char *from = strstr(description, "from cluster ");
    return strncmp(mag_json_text(item, "name", ""), prefix, strlen(prefix)) == 0 ||
           (from && strncmp(from + strlen("from cluster "), cluster, strlen(cluster)) == 0);
}

int32_t heat_sweep_balancers(struct heat_run *r)
{
    _mag_json_ json_t *doc = NULL, *outside = NULL;
    char path[200];
    size_t i, left = 0;
    const json_t *b;
    int32_t rc = list(r, BALANCER,
                      "/v2/lbaas/loadbalancers?fields=id&fields=name"
                      "&fields=description&fields=provisioning_status",
                      &doc);
    json_array_foreach(mag_json_at(doc, "loadbalancers"), i, b)
    {
        if (rc != MAG_OK || !of_cluster(b, r->c->op->cluster_id))
            continue;
        left++;
        if (strncmp(mag_json_text(b, "provisioning_status", ""), "PENDING", 7) == 0)
            continue; /* it takes no delete now */
        (void)snprintf(path, sizeof path, "/v2/lbaas/loadbalancers/%.60s?cascade=true",
                       mag_json_text(b, "id", ""));
        rc = drop(r, BALANCER, path);
    }
    if (rc == MAG_OK && left)
        return mag_again(r->c->out, WAIT_MS, 10, "Deleting %zu load balancers of services", left);
    if (rc != MAG_OK || !doc)
        return rc;
    rc = list(r, "network", "/v2.0/floatingips?fields=id&fields=description", &outside);
    json_array_foreach(mag_json_at(outside, "floatingips"), i, b)
    {
        if (rc != MAG_OK || !of_cluster(b, r->c->op->cluster_id))
            continue;
        (void)snprintf(path, sizeof path, "/v2.0/floatingips/%.60s", mag_json_text(b, "id", ""));
        rc = drop(r, "network", path);
    }
    return rc;
}

int32_t heat_sweep_volumes(struct heat_run *r)
{
    _mag_json_ json_t *doc = NULL;
    char path[200];
    size_t i, left = 0;
    const json_t *v;
    int32_t rc = list(r, VOLUME, "/volumes/detail", &doc);
    json_array_foreach(mag_json_at(doc, "volumes"), i, v)
    {
        const json_t *owner =
            json_object_get(mag_json_at(v, "metadata"), "cinder.csi.openstack.org/cluster");
        const char *of = json_string_value(owner);
        if (rc != MAG_OK || !of || strcmp(of, r->c->op->cluster_id) != 0)
            continue;
        left++;
        (void)snprintf(path, sizeof path, "/volumes/%.60s", mag_json_text(v, "id", ""));
        rc = drop(r, VOLUME, path);
    }
    return rc == MAG_OK && left
               ? mag_again(r->c->out, WAIT_MS, 95, "Deleting %zu volumes of claims", left)
               : rc;
}
