/* See status_health.h. */
#include "cmd/status_health.h"

#include "base/clock.h"
#include "base/parse.h"
#include "base/str.h"
#include "config/config.h"
#include "db/db_certificate.h"
#include "db/db_counts.h"
#include "db/db_health.h"
#include "db/db_migrate.h"
#include "db/db_service.h"
#include "http/client.h"
#include "http/tls.h"
#include "rpc/rpc.h"

#include <inttypes.h>
#include <string.h>

enum { PING_TIMEOUT_MS = 3000, LAG_WARN_MS = 10000, CERTIFICATES_SHOWN = 1000, DAY_S = 86400 };

__attribute__((format(printf, 4, 5))) static void
add(struct health *h, const char *name, enum check_result result, const char *fmt, ...)
{
    struct str text = STR_INIT;
    va_list ap;
    if (h->n == ARRAY_LEN(h->v))
        return;
    va_start(ap, fmt);
    str_vprintf(&text, fmt, ap);
    va_end(ap);
    h->v[h->n++] = (struct finding){name, result, str_take(&text)};
}

/* ---- the database ---- */
static void look_at_server(struct health *h, struct db *db)
{
    struct db_server s;
    struct err e = ERR_INIT;
    if (db_health_server(db, &s, &e) < 0) {
        add(h, "Database", CHECK_FAILURE, "%s", e.msg);
        return;
    }
    if (!s.replica) {
        add(h, "Database", CHECK_SUCCESS, "PostgreSQL %s answers", s.version);
        if (s.standbys)
            add(h, "Replication", s.standby_lag_ms > LAG_WARN_MS ? CHECK_WARNING : CHECK_SUCCESS,
                "%" PRId64 " standbys, %" PRId64 " ms behind at most", s.standbys,
                s.standby_lag_ms < 0 ? 0 : s.standby_lag_ms);
        return;
    }
    add(h, "Database", CHECK_WARNING,
        "PostgreSQL %s answers, but is a replica: nothing can be written", s.version);
    if (s.lag_ms < 0)
        add(h, "Replication", CHECK_WARNING, "the replica has replayed nothing yet");
    else
        add(h, "Replication", s.lag_ms > LAG_WARN_MS ? CHECK_WARNING : CHECK_SUCCESS,
            "the replica is %" PRId64 " ms behind", s.lag_ms);
}

static void look_at_schema(struct health *h, struct db *db)
{
    struct err e = ERR_INIT;
    int revision = 0;
    int rc = db_migrate_version(db, &revision, &e);
    if (rc == 0)
        rc = db_schema_check(db, &e);
    if (rc < 0)
        add(h, "Schema", CHECK_FAILURE, "%s", e.msg);
    else
        add(h, "Schema", CHECK_SUCCESS, "revision %d", revision);
}

/* ---- the conductors ---- */
struct one_peer {
    const struct mservice *row;
};

static int only_peer(void *ctx, struct rpc_peer_list *ret, struct err *e)
{
    const struct mservice *s = ((const struct one_peer *)ctx)->row;
    return rpc_peer_list_add(ret, s->instance, s->endpoint, s->public_key) ? 0 : err_nomem(e);
}

static bool ping(struct health *h, const struct config *cfg, const struct mservice *s)
{
    struct one_peer peer = {s};
    struct rpc_client *client = NULL;
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *result = NULL;
    int64_t begun = clock_mono_ms();
    int rc = rpc_client_start(cfg, only_peer, &peer, &client, &e);
    if (rc == 0)
        rc = rpc_client_call(client, "ping", NULL, PING_TIMEOUT_MS, &result, &e);
    rpc_client_stop(&client);
    if (rc < 0)
        add(h, "Conductor answers", CHECK_WARNING, "%s at %s: %s", s->host, s->endpoint, e.msg);
    else
        add(h, "Conductor answers", CHECK_SUCCESS, "%s at %s: within %" PRId64 " ms", s->host,
            s->endpoint, clock_mono_ms() - begun);
    return rc == 0;
}

static void look_at_conductors(struct health *h, const struct config *cfg, int64_t now_us)
{
    size_t live = 0, answered = 0;
    for (size_t i = 0; i < h->services.n; i++) {
        const struct mservice *s = &h->services.v[i];
        if (!str_eq(s->binary, "magnum-conductor") || s->disabled)
            continue;
        int64_t age_s = s->last_seen_up == TIME_UNSET ? -1 : (now_us - s->last_seen_up) / 1000000;
        if (s->forced_down && s->last_seen_up > 0) /* 0: it was stopped in order */
            add(h, "Conductor", CHECK_WARNING, "%s has been silent for %" PRId64 " s", s->host,
                age_s);
        if (s->forced_down)
            continue;
        live++;
        add(h, "Conductor", CHECK_SUCCESS, "%s, heartbeat %" PRId64 " s ago", s->host,
            age_s > 0 ? age_s : 0);
        if (s->endpoint)
            answered += ping(h, cfg, s);
    }
    if (!h->services.n)
        add(h, "Services", CHECK_WARNING, "none has reported yet");
    else if (!live)
        add(h, "Conductors", CHECK_FAILURE, "none is alive: accepted operations wait");
    else if (!answered)
        add(h, "Conductors", CHECK_FAILURE, "none answers: certificates and checks fail");
}

/* ---- work ---- */
static void look_at_operations(struct health *h, const struct config *cfg, struct db *db)
{
    struct err e = ERR_INIT;
    struct db_blocked b;
    int64_t n = 0, age_ms = 0;
    if (db_count_due(db, &n, &age_ms, &e) < 0)
        add(h, "Operations due", CHECK_FAILURE, "%s", e.msg);
    else if (n == 0)
        add(h, "Operations due", CHECK_SUCCESS, "none waits for a conductor");
    else
        add(h, "Operations due",
            age_ms > cfg->conductor_blocked_after_s * 1000 ? CHECK_WARNING : CHECK_SUCCESS,
            "%" PRId64 " wait for a conductor, the first for %" PRId64 " s", n, age_ms / 1000);
    if (db_health_blocked(db, &b, &e) < 0)
        add(h, "Operations blocked", CHECK_FAILURE, "%s", e.msg);
    else if (b.n == 0)
        add(h, "Operations blocked", CHECK_SUCCESS, "none");
    else
        add(h, "Operations blocked", CHECK_WARNING,
            "%" PRId64 ", the first (%s) for %" PRId64 " s: %s, %s must act", b.n, b.id, b.oldest_s,
            b.code, b.actor);
}

static void look_at_drivers(struct health *h, const struct config *cfg, struct db *db)
{
    struct driver_row_list l = {NULL, 0};
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *quarantined = NULL;
    size_t ready = 0, i;
    int rc = db_driver_list(db, cfg->rpc_peer_timeout_ms, &l, &e);
    if (rc == 0)
        rc = db_driver_quarantine_list(db, &quarantined, &e);
    if (rc < 0)
        add(h, "Drivers", CHECK_FAILURE, "%s", e.msg);
    for (i = 0; rc == 0 && i < l.n; i++) {
        const struct driver_row *d = &l.v[i];
        bool wanted = d->enabled || !cfg->drivers_require_enable;
        ready += wanted && d->ready;
        if (wanted && !d->ready)
            add(h, "Driver not ready", CHECK_WARNING, "%s %s: %s", d->id,
                d->version ? d->version : "",
                d->not_ready_reason ? d->not_ready_reason : "no reason given");
    }
    json_t *q;
    json_array_foreach(quarantined, i, q)
    {
        const char *why = json_string_value(json_object_get(q, "reason"));
        add(h, "Driver quarantined", CHECK_WARNING,
            "%s: %s (magnum-driver-manage quarantine clear)",
            json_string_value(json_object_get(q, "id")), why ? why : "no reason given");
    }
    if (rc == 0)
        add(h, "Drivers", ready ? CHECK_SUCCESS : CHECK_WARNING, "%zu ready of %zu", ready, l.n);
    driver_row_list_done(&l);
}

/* The first warning that certificates.warn_days asks for. */
static int64_t warn_s(const struct config *cfg)
{
    int64_t most = 0, days;
    for (size_t i = 0; i < cfg->certificates_warn_days.n; i++)
        if (parse_i64(cfg->certificates_warn_days.v[i], 0, 36500, &days) && days > most)
            most = days;
    return most * DAY_S;
}

static void look_at_certificates(struct health *h, const struct config *cfg, struct db *db,
                                 int64_t now_us)
{
    const struct db_scope all = {.all_projects = true, .admin = true};
    struct certificate_view_list l = {NULL, 0};
    struct err e = ERR_INIT;
    int rc = db_certificate_inventory(db, &all, warn_s(cfg), 0, CERTIFICATES_SHOWN, &l, &e);
    if (rc < 0) {
        add(h, "Certificates", CHECK_FAILURE, "%s", e.msg);
    } else if (l.n == 0) {
        add(h, "Certificates", CHECK_SUCCESS, "none ends within %" PRId64 " days",
            warn_s(cfg) / DAY_S);
    } else {
        const struct certificate *first = &l.v[0].row;
        int64_t days = (first->not_after - now_us) / 1000000 / DAY_S;
        add(h, "Certificates", CHECK_WARNING,
            "%zu%s end within %" PRId64 " days; the first, %s of cluster %s, in %" PRId64 " days",
            l.n, l.n == CERTIFICATES_SHOWN ? " or more" : "", warn_s(cfg) / DAY_S, first->role,
            first->cluster_id, days);
    }
    certificate_view_list_done(&l);
}

/* ---- Keystone ---- */
static void look_at_keystone(struct health *h, const struct config *cfg)
{
    const char *url = cfg->keystone_auth_url;
    struct http_client *client = NULL;
    const struct http_tls_files files = http_tls_keystone(cfg);
    _cleanup_tls_ struct http_tls *tls = NULL;
    struct http_answer answer = {.status = 0};
    struct err e = ERR_INIT;
    if (strcmp(cfg->auth_strategy, "keystone") != 0)
        return;
    int rc = http_client_new(&client, &e);
    if (rc == 0)
        rc = http_tls_read(&files, &tls, &e);
    const struct http_call call = {.method = "GET",
                                   .url = url,
                                   .timeout_ms = cfg->keystone_timeout_ms,
                                   .max_body = 65536,
                                   .ca_pem = tls ? tls->ca : NULL,
                                   .cert_pem = tls ? tls->cert : NULL,
                                   .key_pem = tls ? tls->key : NULL,
                                   .insecure = cfg->keystone_insecure};
    if (rc == 0)
        rc = http_client_do(client, &call, &answer, &e);
    if (rc < 0)
        add(h, "Keystone", CHECK_FAILURE, "%s", e.msg);
    else /* the list of versions comes with 300 */
        add(h, "Keystone", answer.status < 400 ? CHECK_SUCCESS : CHECK_FAILURE, "%s: %d", url,
            answer.status);
    http_answer_done(&answer);
    http_client_free(&client);
}

/* ---- all of it ---- */
static void db_closep(struct db **db)
{
    db_close(db);
}

void health_look(const struct config *cfg, const char *endpoint, struct health *ret)
{
    __attribute__((cleanup(db_closep))) struct db *db = NULL;
    struct err api = ERR_INIT, e = ERR_INIT;
    int64_t now = 0;
    int down = 0;
    *ret = (struct health){.n = 0};
    enum check_result answers = check_api(cfg, endpoint, &api);
    add(ret, "API", answers, "%s", api.msg);
    look_at_keystone(ret, cfg);
    if (db_open(cfg, &db, &e) < 0 || db_now(db, &now, &e) < 0) {
        add(ret, "Database", CHECK_FAILURE, "%s", e.msg);
        return;
    }
    look_at_server(ret, db);
    look_at_schema(ret, db);
    if (check_services(cfg, &ret->services, &down, &e) < 0) {
        add(ret, "Services", CHECK_FAILURE, "%s", e.msg);
        return;
    }
    look_at_conductors(ret, cfg, now);
    look_at_operations(ret, cfg, db);
    look_at_drivers(ret, cfg, db);
    look_at_certificates(ret, cfg, db, now);
}

enum check_result health_worst(const struct health *h)
{
    enum check_result worst = CHECK_SUCCESS;
    for (size_t i = 0; i < h->n; i++)
        worst = h->v[i].result > worst ? h->v[i].result : worst;
    return worst;
}

void health_done(struct health *h)
{
    for (size_t i = 0; i < h->n; i++)
        free(h->v[i].details);
    mservice_list_done(&h->services);
    h->n = 0;
}
