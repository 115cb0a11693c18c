/* See status_checks.h. */
#include "status_checks.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "certs/certs.h"
#include "config/config.h"
#include "db/db_migrate.h"
#include "db/db_online.h"
#include "db/db_service.h"
#include "drivers/manifest.h"
#include "http/client.h"
#include "rpc/rpc.h"

#include <inttypes.h>
#include <string.h>

enum { API_TIMEOUT_MS = 5000 };

static void db_closep(struct db **db)
{
    db_close(db);
}
#define _cleanup_db_ _cleanup_(db_closep)

static enum check_result database_connection(const struct config *cfg, struct err *details)
{
    _cleanup_db_ struct db *db = NULL;
    if (db_open(cfg, &db, details) < 0 || db_ping(db, details) < 0)
        return CHECK_FAILURE;
    return CHECK_SUCCESS;
}

static enum check_result database_schema(const struct config *cfg, struct err *details)
{
    _cleanup_db_ struct db *db = NULL;
    if (db_open(cfg, &db, details) < 0 || db_schema_check(db, details) < 0)
        return CHECK_FAILURE;
    if (db_migrate_check(db, details) < 0) /* it works, but somebody changed it by hand */
        return CHECK_WARNING;
    return CHECK_SUCCESS;
}

/* Rows of before the last upgrade work as they are; the next one may want them filled in. */
static enum check_result data_migrations(const struct config *cfg, struct err *details)
{
    _cleanup_db_ struct db *db = NULL;
    int64_t all = 0, needed = 0, waiting = 0;
    if (db_open(cfg, &db, details) < 0 || db_schema_check(db, details) < 0)
        return CHECK_FAILURE;
    for (size_t i = 0; i < db_online_n; i++) {
        if (db_online_count(db, &db_online[i], &needed, &waiting, details) < 0)
            return CHECK_FAILURE;
        all += needed;
    }
    if (!all)
        return CHECK_SUCCESS;
    err_set(details, ERR_OK, "%" PRId64 " rows: run magnum-db-manage online_data_migrations", all);
    return CHECK_WARNING;
}

static enum check_result certificate_key(const struct config *cfg, struct err *details)
{
    const char *file = cfg->certificates_key_file;
    if (str_blank(file)) {
        err_set(details, ERR_CONFIG,
                "certificates.key_file is not set: a conductor needs it to seal private keys");
        return CHECK_WARNING;
    }
    _cleanup_secret_ struct secret key = SECRET_INIT;
    return certs_key_load(file, &key, details) < 0 ? CHECK_FAILURE : CHECK_SUCCESS;
}

static enum check_result message_keys(const struct config *cfg, struct err *details)
{
    if (str_blank(cfg->rpc_keys_dir)) {
        err_set(details, ERR_OK, "rpc.keys_dir is not set: loopback or ipc endpoints only");
        return CHECK_SUCCESS;
    }
    return rpc_keys_check(cfg->rpc_keys_dir, details) < 0 ? CHECK_FAILURE : CHECK_SUCCESS;
}

static enum check_result driver_plugins(const struct config *cfg, struct err *details)
{
    struct plugin_list found = {.v = NULL};
    if (plugins_scan(cfg, &found, details) < 0)
        return CHECK_FAILURE;
    _cleanup_str_ struct str bad = STR_INIT;
    size_t usable = 0;
    for (size_t i = 0; i < found.n; i++) {
        const struct plugin *p = &found.v[i];
        usable += p->problem == NULL;
        if (p->problem)
            str_printf(&bad, "%s%s: %s", bad.len ? "; " : "", p->id ? p->id : p->manifest_path,
                       p->problem);
    }
    size_t total = found.n;
    plugin_list_done(&found);
    if (bad.len)
        err_set(details, ERR_CONFIG, "%s", str_text(&bad));
    else if (total == 0)
        err_set(details, ERR_CONFIG, "no driver plugin is installed");
    return usable == total && total > 0 ? CHECK_SUCCESS : CHECK_WARNING;
}

const struct check upgrade_checks[] = {
    {"Database Connection", database_connection},
    {"Database Schema", database_schema},
    {"Data Migrations", data_migrations},
    {"Certificate Sealing Key", certificate_key},
    {"Message Keys", message_keys},
    {"Driver Plugins", driver_plugins},
};
const int upgrade_checks_len = (int)ARRAY_LEN(upgrade_checks);

/* The address to ask is not always the one listened on: "any" is no destination. */
static char *api_url(const struct config *cfg)
{
    const char *host = cfg->api_host;
    if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "*") == 0)
        host = "127.0.0.1";
    else if (strcmp(host, "::") == 0)
        host = "::1";
    int64_t port = cfg->api_port;
    _cleanup_free_ char *text = NULL;
    if (port == 0 && !str_blank(cfg->api_port_file) &&
        io_read_file(cfg->api_port_file, 16, &text, NULL, NULL) == 0)
        port = strtoll(text, NULL, 10);
    bool bracket = strchr(host, ':') != NULL;
    return str_fmt("http://%s%s%s:%" PRId64 "/healthcheck", bracket ? "[" : "", host,
                   bracket ? "]" : "", port);
}

static int ask(const struct config *cfg, const char *url, struct http_answer *answer, struct err *e)
{
    struct http_client *client = NULL;
    int rc = http_client_new(&client, e);
    if (rc < 0)
        return rc;
    const struct http_call call = {
        .method = "GET",
        .url = url,
        .unix_socket = str_blank(cfg->api_unix_socket) ? NULL : cfg->api_unix_socket,
        .timeout_ms = API_TIMEOUT_MS,
        .max_body = 65536,
    };
    rc = http_client_do(client, &call, answer, e);
    http_client_free(&client);
    return rc;
}

enum check_result check_api(const struct config *cfg, const char *url, struct err *details)
{
    _cleanup_free_ char *own = url ? str_fmt("%s/healthcheck", url) : api_url(cfg);
    struct http_answer answer = {.status = 0};
    if (!own || ask(cfg, own, &answer, details) < 0)
        return CHECK_FAILURE;
    err_set(details, ERR_OK, "%s: %d %.200s", own, answer.status, answer.body ? answer.body : "");
    bool ok = answer.status == 200;
    http_answer_done(&answer);
    return ok ? CHECK_SUCCESS : CHECK_FAILURE;
}

int check_services(const struct config *cfg, struct mservice_list *ret, int *ret_down,
                   struct err *e)
{
    _cleanup_db_ struct db *db = NULL;
    int64_t now = 0;
    int rc = db_open(cfg, &db, e);
    if (rc == 0)
        rc = db_now(db, &now, e); /* the clock that wrote last_seen_up */
    if (rc == 0)
        rc = db_service_list(db, ret, e);
    for (size_t i = 0; rc == 0 && i < ret->n; i++) {
        struct mservice *s = &ret->v[i];
        bool up = !s->forced_down && s->last_seen_up != TIME_UNSET &&
                  now - s->last_seen_up <= cfg->conductor_service_down_time_s * 1000000;
        s->forced_down = !up; /* the caller prints this one */
        *ret_down += !up && !s->disabled;
    }
    return rc;
}
