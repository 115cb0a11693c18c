/* See db_manage_certs.h. */
#include "cmd/db_manage_certs.h"

#include "base/jsonx.h"
#include "db/db_certificate.h"
#include "db/db_service.h"
#include "rpc/rpc.h"

#include <stdio.h>
#include <string.h>

enum { MOVE_MS = 120000 };

struct source {
    const struct config *cfg;
    struct db *db;
};

static int peers(void *ctx, struct rpc_peer_list *ret, struct err *e)
{
    const struct source *s = ctx;
    struct mservice_list live = {NULL, 0};
    int rc = db_service_live(s->db, "magnum-conductor", s->cfg->rpc_peer_timeout_ms, &live, e);
    for (size_t i = 0; rc == 0 && i < live.n; i++)
        if (!rpc_peer_list_add(ret, live.v[i].instance, live.v[i].endpoint, live.v[i].public_key))
            rc = err_nomem(e);
    mservice_list_done(&live);
    return rc;
}

/* Clusters with a bundle in `from`, each once. */
static int find(struct db *db, const char *from, struct strv *ret, struct err *e)
{
    struct certificate_list l = {0};
    int rc = db_certificate_adopt(db, NULL, e);
    if (rc == 0)
        rc = db_certificate_list(db, NULL, &l, e);
    for (size_t i = 0; rc == 0 && i < l.n; i++)
        if (str_eq(l.v[i].manager, from) && !strv_has(ret, l.v[i].cluster_id) &&
            strv_add(ret, l.v[i].cluster_id))
            rc = err_nomem(e);
    certificate_list_done(&l);
    return rc;
}

static int one(struct rpc_client *rpc, const char *cluster, const char *from, const char *to,
               struct err *e)
{
    _cleanup_json_ json_t *result = NULL;
    _cleanup_json_ json_t *params =
        json_pack("{s:s,s:s,s:s}", "cluster", cluster, "from", from, "to", to);
    if (!params)
        return err_nomem(e);
    int rc = rpc_client_call(rpc, "cert.migrate", params, MOVE_MS, &result, e);
    if (rc == 0)
        printf("%s: %lld bundles moved\n", cluster, (long long)jsonx_int(result, "moved", 0));
    else
        printf("%s: %s\n", cluster, e->msg);
    return rc;
}

int certs_migrate_run(const struct config *cfg, struct db *db, const char *from, const char *to,
                      const char *cluster, struct err *e)
{
    struct source source = {cfg, db};
    struct rpc_client *rpc = NULL;
    _cleanup_strv_ struct strv clusters = STRV_INIT;
    int first = 0, rc = db_schema_check(db, e);
    if (rc == 0 && cluster)
        rc = strv_add(&clusters, cluster) ? err_nomem(e) : 0;
    else if (rc == 0)
        rc = find(db, from, &clusters, e);
    if (rc == 0)
        rc = rpc_client_start(cfg, peers, &source, &rpc, e);
    for (size_t i = 0; rc == 0 && i < clusters.n; i++) {
        struct err why = ERR_INIT;
        int bad = one(rpc, clusters.v[i], from, to, &why);
        if (bad && first == 0) {
            first = bad;
            *e = why;
        }
    }
    rpc_client_stop(&rpc);
    return rc ? rc : first;
}
