/* See api_fixture.h. */
#include "component/api_fixture.h"

#include "api/api.h"
#include "auth/auth.h"
#include "base/log.h"
#include "config/config.h"
#include "db/db_migrate.h"
#include "db/db_service.h"
#include "http/client.h"
#include "rpc/rpc.h"

#include <unistd.h>

struct pg *server;
struct db *db;
char *conninfo;
int api_listens_on;
_Atomic int conductor_due, validate_code;
_Atomic bool conductors_gone;
int (*conductor_extra)(const char *method, const json_t *params, json_t **result, struct err *e);

static struct config *cfg, *cfg2;
static struct auth *auth, *auth2;
static struct api *api, *api2;
static struct rpc_server *conductor;
static struct rpc_client *rpc;
static struct http_client *client;
static struct http_answer last;
static json_t *last_json;
static char *user, *project, *roles, *version;

/* ---- the conductors' side ---- */

static int conductor_handle(void *ctx, const char *method, const json_t *params,
                            int64_t deadline_mono_ms, json_t **result, struct err *e)
{
    (void)ctx;
    (void)deadline_mono_ms;
    if (strcmp(method, "op.due") == 0) {
        atomic_fetch_add(&conductor_due, 1);
        return 0;
    }
    if (strcmp(method, "driver.plan") == 0 && !validate_code)
        *result = json_pack("{s:[{s:s,s:s+}]}", "make", "kind", "thing", "name", "of ",
                            jsonx_str(params, "kind"));
    if ((strcmp(method, "driver.validate") == 0 || strcmp(method, "driver.plan") == 0) &&
        validate_code)
        return err_set(e, validate_code, "the driver refuses the step from %s",
                       jsonx_str(params, "driver_id"));
    if (strcmp(method, "cert.ca") == 0)
        *result = json_pack("{s:s+}", "pem", "CA of type ", jsonx_str(params, "type"));
    if (strcmp(method, "cert.sign") == 0 && strcmp(jsonx_str(params, "csr"), "hello") == 0)
        return err_set(e, ERR_INVALID, "Received invalid csr hello.");
    if (strcmp(method, "cert.sign") == 0)
        *result = json_pack("{s:s++}", "pem", "signed ", jsonx_str(params, "type"), "\n\n");
    if (conductor_extra)
        return conductor_extra(method, params, result, e);
    return 0;
}

static int peers(void *ctx, struct rpc_peer_list *ret, struct err *e)
{
    const char *at =
        atomic_load(&conductors_gone) ? "tcp://127.0.0.1:1" : rpc_server_endpoint(conductor);
    (void)ctx;
    return rpc_peer_list_add(ret, "fixture", at, "") ? 0 : err_nomem(e);
}

static int publish_driver(struct err *e)
{
    static const char manifest[] =
        "{\"provides\":[{\"server_type\":\"vm\",\"os\":\"simulated\",\"coe\":\"kubernetes\"},"
        "{\"server_type\":\"vm\",\"os\":\"simulated\",\"coe\":\"swarm\"},"
        "{\"server_type\":\"local\",\"os\":\"linux\",\"coe\":\"swarm\"}],\"maturity\":\"stable\","
        "\"interfaces\":[\"mag.coe.lifecycle/1\",\"mag.coe.nodegroups/1\",\"mag.coe.upgrade/1\"]}";
    static const char schema[] =
        "{\"properties\":{\"delay_ms\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":1000},"
        "\"mode\":{\"enum\":[\"fast\",\"slow\"]},\"dry\":{\"type\":\"boolean\"},"
        "\"tag\":{\"type\":\"string\",\"pattern\":\"^v\\\\d+$\"},"
        "\"place\":{\"type\":\"string\",\"default\":\"here\",\"mutable\":\"never\"},"
        "\"size\":{\"type\":\"integer\",\"mutable\":\"never\"},"
        "\"past\":{\"type\":\"string\",\"deprecated\":true}}}";
    struct driver_row_list l = {NULL, 0};
    struct driver_row *d = driver_row_list_add(&l);
    d->id = str_dup("org.test.sim");
    d->name = str_dup("sim_v1");
    d->kind = str_dup("coe-driver");
    d->version = str_dup("1.0.0");
    d->sha256 = str_dup("00");
    d->manifest = json_loads(manifest, 0, NULL);
    d->label_schema = json_loads(schema, 0, NULL);
    d->ready = true;
    int rc = db_driver_publish(db, "fixture", &l, e);
    driver_row_list_done(&l);
    return rc == 0 ? db_driver_enable(db, "org.test.sim", true, NULL, "test", e) : rc;
}

static int beat(struct err *e)
{
    struct mservice m;
    mservice_init(&m);
    m.host = str_dup("here");
    m.binary = str_dup("magnum-conductor");
    m.instance = str_dup("fixture");
    m.endpoint = str_dup(rpc_server_endpoint(conductor));
    m.public_key = str_dup("");
    m.version = str_dup("1");
    int rc = db_service_beat(db, &m, e);
    mservice_done(&m);
    return rc;
}

/* ---- start and stop ---- */

static int configure(struct config **ret, const char *const *options, struct err *e)
{
    int rc = config_load("/dev/null", ret, e);
    static const char *const common[] = {"api.port=0", "api.threads=2", "log.level=error",
                                         "api.healthcheck_disable_file=",
                                         /* its conductor beats once, a slow run takes minutes */
                                         "conductor.service_down_time_s=3000", NULL};
    for (size_t k = 0; rc == 0 && k < 2; k++)
        for (const char *const *o = k ? options : common; rc == 0 && o && *o; o++) {
            char name[128];
            const char *eq = strchr(*o, '=');
            snprintf(name, sizeof name, "%.*s", (int)(eq - *o), *o);
            rc = config_set(*ret, name, eq + 1, e);
        }
    return rc == 0 ? config_set(*ret, "database.connection", conninfo, e) : rc;
}

static int start(struct err *e)
{
    int applied = 0;
    int rc = configure(&cfg, NULL, e);
    if (rc == 0)
        rc = db_open(cfg, &db, e);
    if (rc == 0)
        rc = db_migrate_upgrade(db, 0, &applied, e);
    if (rc == 0)
        rc = auth_new(cfg, &auth, e);
    if (rc == 0)
        rc = rpc_server_start(cfg, conductor_handle, NULL, &conductor, e);
    if (rc == 0)
        rpc_server_open(conductor);
    if (rc == 0)
        rc = publish_driver(e);
    if (rc == 0)
        rc = beat(e);
    if (rc == 0)
        rc = rpc_client_start(cfg, peers, NULL, &rpc, e);
    if (rc == 0)
        rc = api_start(cfg, db, rpc, auth, &api, e);
    if (rc == 0)
        rc = http_client_new(&client, e);
    if (rc == 0)
        api_listens_on = api_port(api);
    return rc;
}

int api_fixture_start(void)
{
    struct err e = ERR_INIT;
    log_setup("test", LOG_ERR, false);
    server = pg_start(false, NULL);
    if (!server)
        return 1;
    conninfo = str_dup(pg_conninfo(server));
    int rc = start(&e);
    if (rc != 0)
        fprintf(stderr, "fixture: %s\n", e.msg);
    return rc ? 1 : 0;
}

void api_fixture_back(void)
{
    api_stop(&api2);
    auth_free(&auth2);
    config_free(&cfg2);
    api_listens_on = api_port(api);
}

void api_fixture_with(const char *const *options)
{
    struct err e = ERR_INIT;
    ASSERT_OK(configure(&cfg2, options, &e), &e);
    ASSERT_OK(auth_new(cfg2, &auth2, &e), &e);
    ASSERT_OK(api_start(cfg2, db, rpc, auth2, &api2, &e), &e);
    api_listens_on = api_port(api2);
}

int api_fixture_stop(void)
{
    api_stop(&api);
    rpc_client_stop(&rpc);
    rpc_server_stop(&conductor, 0);
    auth_free(&auth);
    http_client_free(&client);
    http_answer_done(&last);
    json_decref(last_json);
    last_json = NULL;
    as(NULL, NULL, NULL);
    microversion(NULL);
    db_close(&db);
    config_free(&cfg);
    free(TAKE_PTR(conninfo));
    pg_stop(&server);
    return 0;
}

/* ---- requests ---- */

void as(const char *u, const char *p, const char *r)
{
    free(user);
    free(project);
    free(roles);
    user = str_dup(u);
    project = str_dup(p);
    roles = str_dup(r);
}

void microversion(const char *v)
{
    free(version);
    version = v ? str_fmt("OpenStack-API-Version: container-infra %s", v) : NULL;
}

int ask_with(const char *method, const char *path, const char *body, const char *headers)
{
    return ask_bytes(method, path, body, body ? strlen(body) : 0, headers);
}

int ask_bytes(const char *method, const char *path, const char *body, size_t body_len,
              const char *headers)
{
    enum { LINES = 16 };
    const char *list[LINES + 1];
    size_t n = 0;
    struct err e = ERR_INIT;
    _cleanup_strv_ struct strv extra = STRV_INIT;
    _cleanup_free_ char *url = str_fmt("http://127.0.0.1:%d%s", api_listens_on, path);
    _cleanup_free_ char *u = user ? str_fmt("X-User-Id: %s", user) : NULL;
    _cleanup_free_ char *p = project ? str_fmt("X-Project-Id: %s", project) : NULL;
    _cleanup_free_ char *r = roles ? str_fmt("X-Roles: %s", roles) : NULL;
    bool typed = headers && strstr(headers, "Content-Type:");
    if (u)
        list[n++] = u;
    if (p)
        list[n++] = p;
    if (r)
        list[n++] = r;
    if (version)
        list[n++] = version;
    if (!headers || !strstr(headers, "Accept:"))
        list[n++] = "Accept: application/json";
    if (body && !typed)
        list[n++] = "Content-Type: application/json";
    (void)strv_split(&extra, headers ? headers : "", '\n');
    for (size_t i = 0; i < extra.n && n < LINES; i++)
        list[n++] = extra.v[i];
    list[n] = NULL;
    http_answer_done(&last);
    json_decref(last_json);
    last_json = NULL;
    struct http_call call = {.method = method,
                             .url = url,
                             .headers = list,
                             .body = body,
                             .body_len = body_len,
                             .timeout_ms = 60000};
    if (http_client_do(client, &call, &last, &e) < 0) {
        fprintf(stderr, "%s %s: %s\n", method, path, e.msg);
        return -1;
    }
    last_json = last.body ? json_loadb(last.body, last.len, JSON_ALLOW_NUL, NULL) : NULL;
    return last.status;
}

int ask(const char *method, const char *path, const char *body)
{
    return ask_with(method, path, body, NULL);
}

const json_t *answer_json(void)
{
    return last_json;
}

const char *answer_text(void)
{
    return last.body ? last.body : "";
}

const char *answer_header(const char *name)
{
    static char value[1024];
    size_t n = strlen(name);
    for (const char *p = last.headers; p && *p; p = strchr(p, '\n') + 1) {
        if (strncasecmp(p, name, n) != 0 || p[n] != ':')
            continue;
        p += n + 1;
        p += strspn(p, " ");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(p, "\n"), p);
        return value;
    }
    return NULL;
}

const char *detail(void)
{
    const char *s = jsonx_str(json_array_get(json_object_get(last_json, "errors"), 0), "detail");
    return s ? s : "";
}

const char *text_of(const char *key)
{
    const char *s = jsonx_str(last_json, key);
    return s ? s : "";
}

int64_t int_of(const char *key)
{
    return jsonx_int(last_json, key, -999);
}

bool error_body_good(void)
{
    static const char *const keys[] = {"request_id", "code", "status", "title", "detail", "links"};
    const json_t *e = json_array_get(json_object_get(last_json, "errors"), 0);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (!json_object_get(e, keys[i]))
            return false;
    const char *type = answer_header("Content-Type");
    bool good = type && str_starts(type, "application/json");
    const char *id = answer_header("x-openstack-request-id");
    good &= id && str_starts(id, "req-");
    return good && jsonx_int(e, "status", 0) == last.status && json_object_size(e) == 6;
}

/* ---- rows ---- */

const char *sql(const char *query)
{
    static char *text;
    free(text);
    text = pg_query(conninfo, query);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    return text;
}

const char *make_template(const char *more)
{
    static char uuid[40];
    static int n;
    _cleanup_free_ char *body = str_fmt(
        "{\"name\":\"t%d\",\"coe\":\"kubernetes\",\"image_id\":\"simulated\",\"flavor_id\":"
        "\"m1.small\",\"master_flavor_id\":\"m1.small\",\"external_network_id\":\"public\"%s%s}",
        ++n, more ? "," : "", more ? more : "");
    ASK("POST", "/v1/clustertemplates", body, 201);
    snprintf(uuid, sizeof uuid, "%s", text_of("uuid"));
    return uuid;
}

const char *make_cluster(const char *template_uuid, const char *more)
{
    static char uuid[40];
    static int n;
    _cleanup_free_ char *body = str_fmt("{\"name\":\"c%d\",\"cluster_template_id\":\"%s\"%s%s}",
                                        ++n, template_uuid, more ? "," : "", more ? more : "");
    ASK("POST", "/v1/clusters", body, 202);
    snprintf(uuid, sizeof uuid, "%s", text_of("uuid"));
    return uuid;
}

void conduct(void)
{
    (void)sql("UPDATE operation SET status = 'SUCCEEDED', finished_at = now()"
              " WHERE status IN ('PENDING', 'RUNNING')");
    (void)sql("UPDATE nodegroup SET status = replace(status, 'IN_PROGRESS', 'COMPLETE')");
    (void)sql("UPDATE cluster SET status = replace(status, 'IN_PROGRESS', 'COMPLETE'),"
              " api_address = 'https://192.0.2.1:6443'");
}
