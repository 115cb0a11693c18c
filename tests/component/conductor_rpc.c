/* What a conductor answers at once: wake-ups, certificates, a driver's judgement; and what it says
 * when it can't start. The conductor and its caller are in this process, driver hosts are not. */
#include "component/conductor_fixture.h"

#include "base/clock.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "base/trace.h"
#include "conductor/conductor.h"
#include "rpc/rpc.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

static struct rpc_client *client;

static int peers(void *ctx, struct rpc_peer_list *ret, struct err *e)
{
    struct mservice_list live = {NULL, 0};
    (void)ctx;
    int rc = db_service_live(db, "magnum-conductor", PATIENCE_MS, &live, e);
    for (size_t i = 0; rc == 0 && i < live.n; i++)
        if (!rpc_peer_list_add(ret, live.v[i].instance, live.v[i].endpoint, live.v[i].public_key))
            rc = err_nomem(e);
    mservice_list_done(&live);
    return rc;
}

static void begin(const char *option, const char *value)
{
    struct err e = ERR_INIT;
    start_here(option, value);
    ASSERT_OK(rpc_client_start(here.cfg, peers, NULL, &client, &e), &e);
}

static void end(void)
{
    rpc_client_stop(&client);
    stop_here();
}

/* The error code; text or the result's member in `ret`. */
static int call(const char *method, json_t *params, const char *member, char ret[4096])
{
    struct err e = ERR_INIT;
    json_t *result = NULL;
    int rc = rpc_client_call(client, method, params, PATIENCE_MS, &result, &e);
    const char *text = rc ? e.msg : member ? jsonx_str(result, member) : "";
    snprintf(ret, 4096, "%s", text ? text : "");
    json_decref(result);
    json_decref(params);
    return rc;
}

static void make_csr(char ret[4096])
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_REQ *rq = X509_REQ_new();
    BIO *out = BIO_new(BIO_s_mem());
    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(rq), "CN", MBSTRING_ASC,
                               (const unsigned char *)"someone", -1, -1, 0);
    X509_REQ_set_pubkey(rq, key);
    CU_ASSERT(X509_REQ_sign(rq, key, EVP_sha256()) > 0);
    PEM_write_bio_X509_REQ(out, rq);
    int n = BIO_read(out, ret, 4095);
    CU_ASSERT_FATAL(n > 0);
    ret[n] = '\0';
    BIO_free(out);
    X509_REQ_free(rq);
    EVP_PKEY_free(key);
}

static X509 *parse(const char *pem)
{
    BIO *in = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
    BIO_free(in);
    CU_ASSERT_PTR_NOT_NULL_FATAL(cert);
    return cert;
}

static void certificates_are_shown_and_signed(void)
{
    struct made m;
    char ca[4096], etcd[4096], csr[4096], cert[4096], text[4096];
    begin(NULL, NULL);
    create(&m, "c", 1, "");
    await(m.op.id, OPS_SUCCEEDED);
    const char *uuid = m.c.uuid;
    CU_ASSERT_EQUAL(
        call("cert.ca", json_pack("{s:s,s:s}", "cluster", uuid, "type", "kubernetes"), "pem", ca),
        0);
    CU_ASSERT_EQUAL(
        call("cert.ca", json_pack("{s:s,s:s}", "cluster", uuid, "type", "etcd"), "pem", etcd), 0);
    CU_ASSERT_STRING_NOT_EQUAL(ca, etcd);
    make_csr(csr);
    CU_ASSERT_EQUAL_FATAL(
        call("cert.sign", json_pack("{s:s,s:s}", "cluster", uuid, "csr", csr), "pem", cert), 0);
    X509 *issuer = parse(ca), *signed_cert = parse(cert), *other = parse(etcd);
    CU_ASSERT_EQUAL(X509_verify(signed_cert, X509_get0_pubkey(issuer)), 1);
    CU_ASSERT_NOT_EQUAL(X509_verify(signed_cert, X509_get0_pubkey(other)), 1);
    X509_free(issuer);
    X509_free(signed_cert);
    X509_free(other);

    CU_ASSERT_EQUAL(
        call("cert.sign", json_pack("{s:s,s:s}", "cluster", uuid, "csr", "nonsense"), NULL, text),
        ERR_INVALID);
    CU_ASSERT_EQUAL(call("cert.sign", json_pack("{s:s}", "cluster", uuid), NULL, text),
                    ERR_INVALID);
    CU_ASSERT_EQUAL(call("cert.sign",
                         json_pack("{s:s,s:s,s:s}", "cluster", uuid, "type", "client", "csr", csr),
                         NULL, text),
                    ERR_INVALID); /* the client certificate is no CA */
    CU_ASSERT_EQUAL(call("cert.ca", json_pack("{s:s}", "cluster", "nobody"), NULL, text),
                    ERR_NOT_FOUND);
    made_done(&m);
    end();
}

static json_t *spec(const char *label, const char *value)
{
    return json_pack("{s:{s:s,s:{s:s}},s:{},s:[],s:{}}", "cluster", "uuid",
                     "7f5f9b54-0000-4000-8000-000000000001", "labels", label, value, "template",
                     "nodegroups", "params");
}

static json_t *judge(const char *driver, const char *kind, json_t *document)
{
    return json_pack("{s:s,s:s,s:o}", "driver_id", driver, "kind", kind, "spec", document);
}

static void a_driver_judges_before_anything_is_accepted(void)
{
    char text[4096];
    begin(NULL, NULL);
    CU_ASSERT_EQUAL(
        call("driver.validate", judge(SIM, "create", spec("sim_steps", "3")), NULL, text), 0);
    CU_ASSERT_EQUAL(call("driver.validate",
                         judge(SIM, "create", spec("sim_validate_fail", "not today")), NULL, text),
                    ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "not today"));
    CU_ASSERT_EQUAL(call("driver.validate", judge(SIM, "dance", spec("a", "b")), NULL, text),
                    ERR_INVALID);
    CU_ASSERT_EQUAL(call("driver.validate", judge(SIM, "create", json_string("x")), NULL, text),
                    ERR_INVALID);
    CU_ASSERT_EQUAL(
        call("driver.validate", judge("org.nobody", "create", spec("a", "b")), NULL, text),
        ERR_UNAVAILABLE);
    CU_ASSERT_EQUAL(call("driver.validate", json_object(), NULL, text), ERR_INVALID);
    end();
}

static void short_calls_reach_the_driver(void)
{
    struct made m;
    char text[4096];
    begin(NULL, NULL);
    create(&m, "c", 2, "");
    await(m.op.id, OPS_SUCCEEDED);
    struct err e = ERR_INIT;
    json_t *result = NULL, *params = json_pack("{s:s,s:s,s:s}", "cluster", m.c.uuid, "interface",
                                               "mag.coe.stats/1", "verb", "read");
    ASSERT_OK(rpc_client_call(client, "driver.call", params, PATIENCE_MS, &result, &e), &e);
    CU_ASSERT_EQUAL(jsonx_int(result, "nodes", -1), 3);
    json_decref(result);
    json_object_set_new(params, "interface", json_string("mag.coe.nothing/1"));
    CU_ASSERT_EQUAL(call("driver.call", params, NULL, text), ERR_UNSUPPORTED);
    CU_ASSERT_EQUAL(call("ping", json_object(), "instance", text), 0);
    CU_ASSERT_STRING_EQUAL(text, conductor_instance(here.conductor));
    CU_ASSERT_EQUAL(call("no.such", json_object(), NULL, text), ERR_UNSUPPORTED);
    made_done(&m);
    end();
}

/* A notification is dropped by a client that can't send it within a second: then it is sent again.
 */
static void notify_until(const char *method, const json_t *params, const char *condition)
{
    int64_t until = clock_mono_ms() + 50000; /* before the next scan */
    for (int i = 0; strcmp(sql(condition), "t") != 0 && clock_mono_ms() < until; i++) {
        if (i % 500 == 0)
            rpc_client_notify(client, method, params, true);
        (void)poll(NULL, 0, 10);
    }
    CU_ASSERT_STRING_EQUAL_FATAL(sql(condition), "t");
}

/* ---- traces ---- */
static atomic_int whole, broken;

static void look_at_state(void *ctx, struct trace_span *s)
{
    (void)ctx;
    if (str_starts(s->name, "operation create"))
        atomic_fetch_add(
            s->ctx.state && strcmp(s->ctx.state, "vendor=of-the-request") == 0 ? &whole : &broken,
            1);
}

/* A create whose delete has come meanwhile is read again in the middle of its span. */
static void a_trace_outlives_a_second_look(void)
{
    struct made m;
    char id[40], query[120];
    begin(NULL, NULL);
    trace_sink_set(look_at_state, NULL, 0);
    trace_of_creates =
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 vendor=of-the-request";
    create(&m, "c", 1, "sim_steps=1000,sim_step_ms=20");
    trace_of_creates = NULL;
    snprintf(query, sizeof query, "SELECT steps > 1 FROM operation WHERE id = '%s'", m.op.id);
    await_sql(query, "t");
    request(m.c.uuid, "delete", NULL, id);
    await(m.op.id, OPS_CANCELLED);
    await(id, OPS_SUCCEEDED);
    end();
    trace_sink_set(NULL, NULL, 0);
    CU_ASSERT(atomic_load(&whole) > 0);
    CU_ASSERT_EQUAL(atomic_load(&broken), 0);
    made_done(&m);
}

static void *keep_dumping(void *stop)
{
    while (!atomic_load((atomic_bool *)stop)) {
        conductor_dump(here.conductor);
        (void)poll(NULL, 0, 2); /* workers want the lock too */
    }
    return NULL;
}

/* Other threads look through the runs, for dumps and to prolong leases, while one of them is read
 * again by its worker. (That it is shows when both meet; the sanitizers see it whenever.) */
static void runs_are_looked_through_while_one_is_read_again(void)
{
    atomic_bool stop = false;
    pthread_t thread;
    char id[40];
    begin(NULL, NULL);
    log_set_level(LOG_WARN); /* not the dumps are looked at */
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, keep_dumping, &stop), 0);
    for (int i = 0; i < 3; i++) {
        struct made m;
        create(&m, "c", 99, "sim_steps=200,sim_step_ms=20"); /* most steps make a node */
        await_sql("SELECT count(*) > 1 FROM ledger", "t");
        exec("UPDATE cluster SET labels = '{}'"); /* the delete is quick */
        request(m.c.uuid, "delete", NULL, id);
        await(m.op.id, OPS_CANCELLED);
        await(id, OPS_SUCCEEDED);
        made_done(&m);
    }
    atomic_store(&stop, true);
    (void)pthread_join(thread, NULL);
    log_set_level(LOG_INFO);
    end();
}

/* With scans a minute apart only the message can be the reason. */
static void a_wake_up_starts_work_at_once(void)
{
    struct made m;
    struct err e = ERR_INIT;
    begin("conductor.scan_interval_ms", "60000");
    create(&m, "c", 1, "sim_steps=500,sim_step_ms=30");
    json_t *params = json_pack("{s:s}", "operation", m.op.id);
    json_t *pong = NULL; /* connected */
    ASSERT_OK(rpc_client_call(client, "ping", NULL, PATIENCE_MS, &pong, &e), &e);
    json_decref(pong);
    notify_until("op.due", params, "SELECT percent > 0 FROM operation");
    ASSERT_OK(db_accept_cancel(db, m.op.id, "u", &e), &e);
    int64_t asked = clock_mono_ms();
    notify_until("op.cancel", params, "SELECT status = 'CANCELLED' FROM operation");
    CU_ASSERT(clock_mono_ms() - asked < here.cfg->conductor_lease_ms / 3);
    json_decref(params);
    made_done(&m);
    end();
}

/* ---- while it starts ---- */
static char early_endpoint[128];

static int early_peer(void *ctx, struct rpc_peer_list *ret, struct err *e)
{
    (void)ctx;
    return rpc_peer_list_add(ret, "former", early_endpoint, "") ? 0 : err_nomem(e);
}

static void *start_in_thread(void *e)
{
    (void)!conductor_start(here.cfg, db, &here.conductor, e);
    return NULL;
}

/* Who knows the endpoint from a former life does not wait until it is published again, and is asked
 * to come again (or to go elsewhere) until the drivers are known. The start stands still, once the
 * endpoint is there, until its row is allowed. */
static void calls_come_while_it_starts(void)
{
    static const char starting[] = "no conductor can be reached: this conductor is starting";
    struct err e = ERR_INIT, started = ERR_INIT;
    char text[4096];
    pthread_t thread;
    snprintf(early_endpoint, sizeof early_endpoint, "ipc://%s/early", dir);
    configure_here("rpc.bind", early_endpoint);
    struct pg_hold *hold = pg_hold(conninfo, "LOCK TABLE magnum_service IN EXCLUSIVE MODE");
    CU_ASSERT_PTR_NOT_NULL_FATAL(hold);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, start_in_thread, &started), 0);
    ASSERT_OK(rpc_client_start(here.cfg, early_peer, NULL, &client, &e), &e);
    json_t *due = json_pack("{s:s}", "operation", "early"), *pong = NULL;
    int rc = ERR_UNAVAILABLE; /* or, when the answer is on its way at that moment, a timeout */
    for (int64_t until = clock_mono_ms() + PATIENCE_MS / 2;
         rc && strcmp(e.msg, starting) != 0 && clock_mono_ms() < until;) {
        rpc_client_notify(client, "op.due", due, false);
        rc = rpc_client_call(client, "ping", NULL, 500, &pong, &e);
    }
    CU_ASSERT_EQUAL(rc, ERR_UNAVAILABLE);
    CU_ASSERT_STRING_EQUAL(e.msg, starting);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM magnum_service"), "0");
    pg_let_go(&hold);
    CU_ASSERT_EQUAL(
        call("driver.validate", judge(SIM, "create", spec("sim_steps", "3")), NULL, text), 0);
    (void)pthread_join(thread, NULL);
    ASSERT_OK(started.code, &started);
    json_decref(due);
    json_decref(pong);
    end();
}

static void drivers_are_published_with_their_state(void)
{
    begin(NULL, NULL);
    CU_ASSERT_STRING_EQUAL(sql("SELECT ready FROM driver WHERE id = 'org.magnum.simulator'"), "t");
    char query[200];
    snprintf(query, sizeof query, "SELECT count(*) = 0 FROM driver WHERE instance <> '%s'",
             conductor_instance(here.conductor));
    CU_ASSERT_STRING_EQUAL(sql(query), "t");
    exec("DELETE FROM driver");
    conductor_reload(here.conductor); /* SIGHUP */
    await_sql("SELECT count(*) FROM driver WHERE id = 'org.magnum.simulator'", "1");
    end();
}

static void only_enabled_drivers_make_new_clusters(void)
{
    struct made m, next;
    char id[40];
    struct err e = ERR_INIT;
    begin("drivers.require_enable", "true");
    create(&m, "c", 1, "");
    await(m.op.id, OPS_BLOCKED);
    CU_ASSERT_PTR_NOT_NULL(strstr(op_value(m.op.id, "remedy"), "magnum-driver-manage enable"));
    ASSERT_OK(db_driver_enable(db, SIM, true, NULL, "tester", &e), &e);
    await(m.op.id, OPS_SUCCEEDED);
    ASSERT_OK(db_driver_enable(db, SIM, false, NULL, "tester", &e), &e);
    for (bool known = false; !known;) { /* until the conductor has heard of it */
        create(&next, "next", 1, "");
        await_sql("SELECT bool_and(status IN ('BLOCKED', 'SUCCEEDED')) FROM operation", "t");
        known = strcmp(op_value(next.op.id, "status"), OPS_BLOCKED) == 0;
        made_done(&next);
    }
    request(m.c.uuid, "delete", NULL, id); /* what exists can still be deleted */
    await(id, OPS_SUCCEEDED);
    made_done(&m);
    end();
}

/* ---- what it says when it can't start ---- */
static int start_and_fail(const char *connection, const char *more, char said[512])
{
    char command[1024];
    snprintf(command, sizeof command,
             "'%s/bin/magnum-conductor' --set 'database.connection=%s' %s 2>&1 >/dev/null",
             getenv("MAGNUM_BUILD_DIR"), connection, more);
    FILE *f = popen(command, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    size_t n = fread(said, 1, 511, f);
    said[n] = '\0';
    int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool one_line_with(const char *said, const char *words)
{
    const char *end_of_line = strchr(said, '\n');
    bool good = end_of_line && !end_of_line[1] && strstr(said, words);
    if (!good)
        fprintf(stderr, "said \"%s\", expected one line with \"%s\"\n", said, words);
    return good;
}

static void a_bad_start_says_why_in_one_line(void)
{
    char said[512], key[160], bind[200];
    fresh_world();
    snprintf(key, sizeof key, "--set certificates.key_file=%s/seal.key", dir);
    CU_ASSERT_EQUAL(start_and_fail(conninfo, "", said), 1);
    CU_ASSERT(one_line_with(said, "certificates.key_file"));
    CU_ASSERT_EQUAL(start_and_fail("host=/nonexistent", key, said), 1);
    CU_ASSERT(one_line_with(said, "database"));
    CU_ASSERT_EQUAL(start_and_fail(conninfo, "--set conductor.workers=none", said), 1);
    CU_ASSERT(one_line_with(said, "conductor.workers"));
    CU_ASSERT_EQUAL(start_and_fail(conninfo, "--set certificates.key_file=/nonexistent", said), 1);
    CU_ASSERT(one_line_with(said, "/nonexistent"));
    snprintf(bind, sizeof bind, "%s --set rpc.bind=nowhere", key);
    CU_ASSERT_EQUAL(start_and_fail(conninfo, bind, said), 1);
    CU_ASSERT(one_line_with(said, "rpc.bind"));
    CU_ASSERT_EQUAL(start_and_fail(conninfo, "--bogus", said), 2);
    CU_ASSERT_EQUAL(start_and_fail(conninfo, "argument", said), 2);
    char *empty = pg_new_database(server, "empty");
    CU_ASSERT_EQUAL(start_and_fail(empty, key, said), 1);
    CU_ASSERT(one_line_with(said, "magnum-db-manage upgrade"));
    free(empty);
}

TEST_MAIN("conductor_rpc", conductors_setup, conductors_teardown,
          TEST(certificates_are_shown_and_signed),
          TEST(a_driver_judges_before_anything_is_accepted), TEST(short_calls_reach_the_driver),
          TEST(a_trace_outlives_a_second_look),
          TEST(runs_are_looked_through_while_one_is_read_again),
          TEST(a_wake_up_starts_work_at_once), TEST(calls_come_while_it_starts),
          TEST(drivers_are_published_with_their_state),
          TEST(only_enabled_drivers_make_new_clusters), TEST(a_bad_start_says_why_in_one_line))
