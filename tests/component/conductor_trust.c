/* Trusts and the tokens of brokered calls, with a Keystone of our own that loses requests and
 * answers: each request of a create and of a delete in turn, before and after it had its effect. */
#include "component/conductor_fixture.h"

#include "base/clock.h"
#include "base/jsonx.h"
#include "base/uuid.h"
#include "component/http_config.h"
#include "conductor/conductor_internal.h"
#include "http/server.h"

#include <pthread.h>

enum { ROOM = 64 };
enum fault { FAULT_NONE, FAULT_BEFORE, FAULT_AFTER };

/* ---- Keystone, and one service of its catalogue ---- */
static struct {
    pthread_mutex_t lock;
    int port, requests, fault_at, next_id, service_life_s;
    enum fault fault;
    bool user_gone;
    struct {
        char id[24], name[128], password[64];
    } users[ROOM];
    struct {
        char id[24], trustee[24];
    } trusts[ROOM];
    size_t n_users, n_trusts;
    char called_with[64], refused[64]; /* the service: token of the last call; one it refuses */
} ks = {.lock = PTHREAD_MUTEX_INITIALIZER, .service_life_s = 3600};
static struct http_server *keystone;

static void answer(struct http_response *rp, int status, json_t *doc)
{
    char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
    rp->status = status;
    if (text)
        str_append(&rp->body, text);
    free(text);
    json_decref(doc);
}

static void answer_token(struct http_response *rp, const char *token, const char *user,
                         const char *scope, const char *scope_id)
{
    char ends[CLOCK_ISO_MAX], url[64];
    clock_iso(clock_wall_us() + ks.service_life_s * INT64_C(1000000), ends);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/svc/", ks.port);
    json_t *t = json_pack("{s:s, s:{s:s}, s:[{s:s}], s:[{s:s, s:[{s:s, s:s, s:s}]}]}", "expires_at",
                          ends, "user", "id", user, "roles", "name", "member", "catalog", "type",
                          "compute", "endpoints", "interface", "public", "region", "R", "url", url);
    if (scope)
        json_object_set_new(t, scope, json_pack("{s:s}", "id", scope_id));
    if (token)
        (void)http_response_header(rp, "X-Subject-Token", token);
    answer(rp, token ? 201 : 200, json_pack("{s:o}", "token", t));
}

static size_t user_at(const char *key, const char *value)
{
    size_t i = 0;
    while (i < ks.n_users &&
           strcmp(strcmp(key, "id") == 0 ? ks.users[i].id : ks.users[i].name, value) != 0)
        i++;
    return i;
}

static void log_in(const json_t *doc, struct http_response *rp)
{
    const json_t *auth = json_object_get(doc, "auth"), *scope = json_object_get(auth, "scope");
    const json_t *who =
        json_object_get(json_object_get(json_object_get(auth, "identity"), "password"), "user");
    const char *id = jsonx_str(who, "id"), *name = jsonx_str(who, "name");
    const char *trust = jsonx_str(json_object_get(scope, "OS-TRUST:trust"), "id");
    char token[64];
    snprintf(token, sizeof token, "%s-%d", trust ? "trust" : name ? name : "trustee", ++ks.next_id);
    if (name) {
        const char *wanted = str_eq(name, "magnum") ? "spw" : "dpw";
        if (!str_eq(jsonx_str(who, "password"), wanted))
            answer(rp, 401, NULL);
        else
            answer_token(rp, token, name, str_eq(name, "magnum") ? "project" : "domain", "td");
        return;
    }
    size_t at = user_at("id", id ? id : ""), k = 0;
    while (trust && k < ks.n_trusts && strcmp(ks.trusts[k].id, trust) != 0)
        k++;
    if (at == ks.n_users || !str_eq(jsonx_str(who, "password"), ks.users[at].password) ||
        (trust && (k == ks.n_trusts || ks.user_gone)))
        answer(rp, 401, NULL);
    else
        answer_token(rp, token, trust ? "u" : id, trust ? "project" : NULL, "p");
}

static void on_query(void *ctx, const char *name, const char *value)
{
    if (strcmp(name, "name") == 0)
        snprintf(ctx, 128, "%s", value);
}

static void on_users(const struct http_request *rq, const json_t *doc, struct http_response *rp)
{
    const char *id = rq->path + strlen("/v3/users");
    const json_t *user = json_object_get(doc, "user");
    if (strcmp(rq->method, "GET") == 0) {
        char name[128] = "";
        json_t *found = json_array();
        http_request_query(rq, on_query, name);
        size_t at = user_at("name", name);
        if (at < ks.n_users)
            json_array_append_new(found, json_pack("{s:s}", "id", ks.users[at].id));
        answer(rp, 200, json_pack("{s:o}", "users", found));
    } else if (strcmp(rq->method, "POST") == 0) {
        if (user_at("name", jsonx_str(user, "name")) < ks.n_users) {
            answer(rp, 409, NULL);
            return;
        }
        snprintf(ks.users[ks.n_users].id, 24, "user%d", ++ks.next_id);
        snprintf(ks.users[ks.n_users].name, 128, "%s", jsonx_str(user, "name"));
        snprintf(ks.users[ks.n_users].password, 64, "%s", jsonx_str(user, "password"));
        answer(rp, 201, json_pack("{s:{s:s}}", "user", "id", ks.users[ks.n_users++].id));
    } else if (strcmp(rq->method, "PATCH") == 0) {
        size_t at = user_at("id", id[0] ? id + 1 : "");
        if (at < ks.n_users)
            snprintf(ks.users[at].password, 64, "%s", jsonx_str(user, "password"));
        answer(rp, at < ks.n_users ? 200 : 404, NULL);
    } else {
        size_t at = user_at("id", id[0] ? id + 1 : "");
        if (at < ks.n_users) { /* Keystone removes its trusts with it */
            for (size_t i = ks.n_trusts; i-- > 0;)
                if (strcmp(ks.trusts[i].trustee, ks.users[at].id) == 0)
                    ks.trusts[i] = ks.trusts[--ks.n_trusts];
            ks.users[at] = ks.users[--ks.n_users];
        }
        answer(rp, 204, NULL);
    }
}

static void on_trusts(const struct http_request *rq, const json_t *doc, struct http_response *rp)
{
    const char *id = rq->path + strlen("/v3/OS-TRUST/trusts"), *mine;
    const json_t *trust = json_object_get(doc, "trust");
    mine = http_request_header(rq, "X-Auth-Token");
    if (strcmp(rq->method, "GET") == 0) {
        json_t *list = json_array();
        for (size_t i = 0; i < ks.n_trusts; i++)
            json_array_append_new(list, json_pack("{s:s, s:s}", "id", ks.trusts[i].id,
                                                  "trustee_user_id", ks.trusts[i].trustee));
        answer(rp, 200, json_pack("{s:o}", "trusts", list));
    } else if (strcmp(rq->method, "POST") == 0) {
        CU_ASSERT_STRING_EQUAL(mine, "user-token"); /* nobody else may */
        CU_ASSERT(json_is_true(json_object_get(trust, "impersonation")));
        snprintf(ks.trusts[ks.n_trusts].id, 24, "trust%d", ++ks.next_id);
        snprintf(ks.trusts[ks.n_trusts].trustee, 24, "%s", jsonx_str(trust, "trustee_user_id"));
        answer(rp, 201, json_pack("{s:{s:s}}", "trust", "id", ks.trusts[ks.n_trusts++].id));
    } else {
        for (size_t i = ks.n_trusts; i-- > 0;)
            if (id[0] && strcmp(ks.trusts[i].id, id + 1) == 0)
                ks.trusts[i] = ks.trusts[--ks.n_trusts];
        answer(rp, 204, NULL);
    }
}

static void dispatch(const struct http_request *rq, struct http_response *rp)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *doc = NULL;
    if (rq->body_len && jsonx_parse(rq->body, rq->body_len, 16, &doc, &e))
        doc = NULL;
    if (strcmp(rq->path, "/v3/auth/tokens") == 0 && strcmp(rq->method, "POST") == 0)
        log_in(doc, rp);
    else if (strcmp(rq->path, "/v3/auth/tokens") == 0)
        answer_token(rp, NULL, "u", "project", "p");
    else if (str_starts(rq->path, "/v3/users"))
        on_users(rq, doc, rp);
    else if (str_starts(rq->path, "/v3/OS-TRUST/trusts"))
        on_trusts(rq, doc, rp);
    else
        answer(rp, 404, NULL);
}

static void on_request(void *ctx, const struct http_request *rq, struct http_response *rp)
{
    (void)ctx;
    pthread_mutex_lock(&ks.lock);
    if (str_starts(rq->path, "/svc/")) {
        const char *token = http_request_header(rq, "X-Auth-Token");
        snprintf(ks.called_with, sizeof ks.called_with, "%s", token ? token : "");
        rp->status = strcmp(ks.called_with, ks.refused) == 0 ? 401 : 200;
    } else {
        bool faulty = ++ks.requests == ks.fault_at;
        if (!faulty || ks.fault == FAULT_AFTER)
            dispatch(rq, rp);
        if (faulty) {
            str_clear(&rp->body);
            rp->status = 503;
        }
    }
    pthread_mutex_unlock(&ks.lock);
}

static void on_reject(void *ctx, const struct http_request *rq, const struct err *why,
                      struct http_response *rp)
{
    (void)ctx;
    (void)rq;
    rp->status = err_http_status(why->code);
}

/* ---- a conductor that makes trusts ---- */
static void option(const char *name, const char *value)
{
    if (setenv(name, value, 1))
        abort();
}

static int setup(void)
{
    static struct config cfg;
    static char host[] = "127.0.0.1";
    struct err e = ERR_INIT;
    char url[64];
    cfg = test_config();
    cfg.api_host = host;
    cfg.api_port = 0;
    if (http_server_start(&cfg, on_request, on_reject, NULL, &keystone, &e))
        return 1;
    ks.port = http_server_port(keystone);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", ks.port);
    option("MAGNUM_AUTH_STRATEGY", "keystone");
    option("MAGNUM_KEYSTONE_AUTH_URL", url);
    option("MAGNUM_KEYSTONE_PASSWORD", "spw");
    option("MAGNUM_TRUST_TRUSTEE_DOMAIN_ID", "td");
    option("MAGNUM_TRUST_TRUSTEE_DOMAIN_ADMIN_NAME", "dadm");
    option("MAGNUM_TRUST_TRUSTEE_DOMAIN_ADMIN_PASSWORD", "dpw");
    option("MAGNUM_CONDUCTOR_BACKOFF_MS", "10");
    return conductors_setup();
}

static int teardown(void)
{
    int rc = conductors_teardown();
    http_server_stop(&keystone);
    return rc;
}

static void fresh_keystone(int fault_at, enum fault fault)
{
    pthread_mutex_lock(&ks.lock);
    ks.n_users = ks.n_trusts = 0;
    ks.requests = 0;
    ks.fault_at = fault_at;
    ks.fault = fault;
    ks.user_gone = false;
    ks.refused[0] = '\0';
    pthread_mutex_unlock(&ks.lock);
}

static void arm(int fault_at, enum fault fault)
{
    pthread_mutex_lock(&ks.lock);
    ks.requests = 0;
    ks.fault_at = fault_at;
    ks.fault = fault;
    pthread_mutex_unlock(&ks.lock);
}

/* As the API does: the token is sealed for the operation that is about to be accepted. */
static void create_for_user(struct made *m, const char *token)
{
    struct nodegroup ng;
    struct err e = ERR_INIT;
    char id[UUID_TEXT];
    cluster_init(&m->c);
    operation_init(&m->op);
    nodegroup_init(&ng);
    uuid_make(id);
    m->op.id = str_dup(id);
    m->c.name = str_dup("c");
    m->c.project_id = str_dup("p");
    m->c.user_id = str_dup("u");
    m->c.cluster_template_id = str_dup(template.uuid);
    m->c.labels = json_pack("{s:s}", "sim_steps", "1");
    m->c.driver_id = str_dup(SIM);
    m->op.deadline_at = clock_wall_us() + 600 * INT64_C(1000000);
    ng.name = str_dup("default-master");
    ng.role = str_dup("master");
    ng.is_default = true;
    ng.labels = json_object();
    if (token)
        ASSERT_OK(trust_seal_token(here.conductor, id, token, &m->op.token_sealed, &e), &e);
    ASSERT_OK(db_accept_create(db, &m->c, &template, &ng, 1, &m->op, NULL, 100000, NULL, &e), &e);
    nodegroup_done(&ng);
}

static void expect_one(const struct made *m)
{
    char name[128];
    snprintf(name, sizeof name, "%s_p", m->c.uuid);
    CU_ASSERT_EQUAL(ks.n_users, 1);
    CU_ASSERT_STRING_EQUAL(ks.users[0].name, name);
    CU_ASSERT_EQUAL(ks.n_trusts, 1);
    CU_ASSERT_STRING_EQUAL(ks.trusts[0].trustee, ks.users[0].id);
    CU_ASSERT_STRING_EQUAL(sql("SELECT trustee_user_id FROM cluster"), ks.users[0].id);
    CU_ASSERT_STRING_EQUAL(sql("SELECT trust_id FROM cluster"), ks.trusts[0].id);
    CU_ASSERT_STRING_EQUAL(sql("SELECT left(trustee_password, 3) FROM cluster"), "v1:");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(token_sealed) FROM operation"), "0");
}

static void remove_it(const struct made *m)
{
    char id[40];
    request(m->c.uuid, "delete", NULL, id);
    await(id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(ks.n_users, 0);
    CU_ASSERT_EQUAL(ks.n_trusts, 0);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM cluster"), "0");
}

/* ---- cases ---- */
static void requests_and_answers_are_lost(void)
{
    int of_create = 0, of_delete = 0;
    start_here(NULL, NULL);
    for (int n = 0; n == 0 || n <= of_create || n <= of_delete; n++) {
        for (enum fault f = FAULT_BEFORE; f <= FAULT_AFTER; f++) {
            struct made m;
            fresh_keystone(n, f);
            create_for_user(&m, "user-token");
            await(m.op.id, OPS_SUCCEEDED);
            expect_one(&m);
            of_create = n ? of_create : ks.requests;
            arm(n, f);
            remove_it(&m);
            of_delete = n ? of_delete : ks.requests;
            made_done(&m);
        }
    }
    CU_ASSERT(of_create >= 4);
    CU_ASSERT(of_delete >= 5);
    stop_here();
}

static void without_a_token_there_is_no_trust(void)
{
    struct made m;
    start_here(NULL, NULL);
    fresh_keystone(0, FAULT_NONE);
    create_for_user(&m, NULL);
    await(m.op.id, OPS_FAILED);
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "code"), "TrustFailed");
    CU_ASSERT_EQUAL(ks.n_users, 0);
    remove_it(&m);
    made_done(&m);
    stop_here();
}

/* A sealed token opens for its own operation alone. */
static void a_token_belongs_to_its_operation(void)
{
    struct made m;
    struct err e = ERR_INIT;
    start_here(NULL, NULL);
    fresh_keystone(0, FAULT_NONE);
    char *sealed = NULL;
    ASSERT_OK(trust_seal_token(here.conductor, "another", "user-token", &sealed, &e), &e);
    CU_ASSERT_PTR_NULL(strstr(sealed, "user-token"));
    create_for_user(&m, NULL);
    await(m.op.id, OPS_FAILED);
    struct run r = {.c = here.conductor, .op = {.id = m.op.id, .token_sealed = sealed}};
    CU_ASSERT_NOT_EQUAL(trust_stage(&r, &e), 0);
    CU_ASSERT_EQUAL(ks.n_users, 0);
    remove_it(&m);
    free(sealed);
    made_done(&m);
    stop_here();
}

static struct http_reply reply;
static int call(struct call_ctx *x, const char *service, struct err *e)
{
    const struct http_call_spec rq = {
        .method = "GET", .service = service, .path = "/servers", .timeout_ms = PATIENCE_MS};
    free(reply.body);
    free(reply.headers);
    reply = (struct http_reply){0};
    return broker_http(x, &rq, &reply, e);
}

static void services_are_called_with_the_trust(void)
{
    static struct plugin plain = {.id = "plain"}, trusted = {.id = "t", .service_token = true};
    struct made m;
    struct err e = ERR_INIT;
    char first[64];
    start_here(NULL, NULL);
    fresh_keystone(0, FAULT_NONE);
    create_for_user(&m, "user-token");
    await(m.op.id, OPS_SUCCEEDED);
    struct call_ctx x = {.c = here.conductor, .plugin = &plain, .cluster_id = m.c.uuid};
    CU_ASSERT_EQUAL(call(&x, "compute", &e), 0);
    CU_ASSERT_EQUAL(reply.status, 200);
    CU_ASSERT(str_starts(ks.called_with, "trust-"));
    snprintf(first, sizeof first, "%s", ks.called_with);
    int logins = ks.requests;
    CU_ASSERT_EQUAL(call(&x, "compute", &e), 0);
    CU_ASSERT_STRING_EQUAL(ks.called_with, first); /* remembered */
    CU_ASSERT_EQUAL(ks.requests, logins);
    snprintf(ks.refused, sizeof ks.refused, "%s", first); /* revoked: a new one, once */
    CU_ASSERT_EQUAL(call(&x, "compute", &e), 0);
    CU_ASSERT_EQUAL(reply.status, 200);
    CU_ASSERT_STRING_NOT_EQUAL(ks.called_with, first);
    CU_ASSERT_EQUAL(call(&x, "object-store", &e), ERR_NOT_FOUND);

    /* the user is gone, and the trust with it */
    ks.user_gone = true;
    snprintf(ks.refused, sizeof ks.refused, "%s", ks.called_with);
    CU_ASSERT_EQUAL(call(&x, "compute", &e), 0);
    CU_ASSERT_EQUAL(reply.status, 401); /* nobody else's token is tried */
    CU_ASSERT_EQUAL(call(&x, "compute", &e), ERR_UNAUTHORIZED);
    x.plugin = &trusted;
    CU_ASSERT_EQUAL(call(&x, "compute", &e), 0);
    CU_ASSERT_EQUAL(reply.status, 200);
    CU_ASSERT(str_starts(ks.called_with, "magnum-"));
    ks.user_gone = false;
    remove_it(&m);
    made_done(&m);
    stop_here();
}

static void passwords_are_renewed(void)
{
    static struct plugin plain = {.id = "plain"};
    struct made m;
    struct err e = ERR_INIT;
    char id[40], before[64];
    start_here(NULL, NULL);
    for (int n = 0; n < 4; n++) {
        fresh_keystone(0, FAULT_NONE);
        create_for_user(&m, "user-token");
        await(m.op.id, OPS_SUCCEEDED);
        struct call_ctx x = {.c = here.conductor, .plugin = &plain, .cluster_id = m.c.uuid};
        CU_ASSERT_EQUAL(call(&x, "compute", &e), 0);
        snprintf(before, sizeof before, "%s", ks.users[0].password);
        snprintf(ks.refused, sizeof ks.refused, "%s", ks.called_with); /* ends with the password */
        arm(n, n % 2 ? FAULT_BEFORE : FAULT_AFTER);
        request(m.c.uuid, "rotate_credential", NULL, id);
        await(id, OPS_SUCCEEDED);
        CU_ASSERT_STRING_NOT_EQUAL(ks.users[0].password, before);
        arm(0, FAULT_NONE);
        CU_ASSERT_EQUAL(call(&x, "compute", &e), 0);
        CU_ASSERT_EQUAL(reply.status, 200);
        remove_it(&m);
        made_done(&m);
    }
    stop_here();
}

static void nodes_may_log_in(void)
{
    static struct plugin plain = {.id = "plain"};
    struct made m;
    struct err e = ERR_INIT;
    char *value = NULL;
    size_t len = 0;
    start_here(NULL, NULL);
    fresh_keystone(0, FAULT_NONE);
    create_for_user(&m, "user-token");
    await(m.op.id, OPS_SUCCEEDED);
    struct call_ctx x = {.c = here.conductor, .plugin = &plain, .cluster_id = m.c.uuid};
    ASSERT_OK(trust_secret(&x, "secret:trustee/password", &e, &value, &len), &e);
    CU_ASSERT_STRING_EQUAL(value, ks.users[0].password);
    CU_ASSERT_EQUAL(len, 32);
    free(value);
    ASSERT_OK(trust_secret(&x, "secret:trustee/trust_id", &e, &value, &len), &e);
    CU_ASSERT_EQUAL(len, 0); /* trust.cluster_user_trust is not set */
    free(value);
    CU_ASSERT_EQUAL(trust_secret(&x, "secret:trustee/colour", &e, &value, &len), ERR_INVALID);
    CU_ASSERT_EQUAL(trust_secret(&x, "/etc/shadow", &e, &value, &len), ERR_INVALID);
    call_ctx_done(&x);
    remove_it(&m);
    made_done(&m);
    stop_here();
}

TEST_MAIN("conductor_trust", setup, teardown, TEST(requests_and_answers_are_lost),
          TEST(without_a_token_there_is_no_trust), TEST(a_token_belongs_to_its_operation),
          TEST(services_are_called_with_the_trust), TEST(passwords_are_renewed),
          TEST(nodes_may_log_in))
