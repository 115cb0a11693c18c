/* What conductors do unasked: looks at clusters shared out, circuit breakers, decay, trimming, the
 * sweeper; what they tell the world; a quarantined driver; deletes that can rely on nothing. */
#include "component/conductor_fixture.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/jsonx.h"
#include "conductor/conductor_internal.h"
#include "db/db_backend.h"
#include "db/db_event.h"
#include "db/db_sweep.h"
#include "rpc/rpc.h"

#include <czmq.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

static int64_t count(const char *query)
{
    return strtoll(sql(query), NULL, 10);
}

static int driver_manage(const char *words)
{
    const char *build = getenv("MAGNUM_BUILD_DIR");
    char command[700];
    snprintf(command, sizeof command,
             "MAGNUM_DRIVERS_CHECK_OWNER=false %s/bin/magnum-driver-manage --config /dev/null"
             " --connection '%s' --plugin-dir %s/plugins %s >%s/out 2>&1",
             build, conninfo, build, words, dir);
    return system(command);
}

static bool output_has(const char *text)
{
    char path[100];
    _cleanup_free_ char *said = NULL;
    struct err e = ERR_INIT;
    snprintf(path, sizeof path, "%s/out", dir);
    ASSERT_OK(io_read_file(path, 1 << 20, &said, NULL, &e), &e);
    if (!strstr(said, text))
        fprintf(stderr, "no \"%s\" in: %s\n", text, said);
    return strstr(said, text) != NULL;
}

/* ---- looks ---- */

/* Many copies of a finished cluster, due within one interval. */
static void multiply(const char *uuid, int n, int interval_s)
{
    char query[1200];
    snprintf(query, sizeof query,
             "WITH made AS (INSERT INTO cluster (uuid, project_id, user_id, name,"
             " cluster_template_id, labels, status, driver_id, health_status, health_at)"
             " SELECT gen_random_uuid()::text, project_id, user_id, name || g,"
             " cluster_template_id, labels, status, driver_id, 'HEALTHY', now() FROM cluster,"
             " generate_series(1, %d) g WHERE uuid = '%s' RETURNING uuid)"
             " INSERT INTO observation (cluster_id, due_at) SELECT uuid, now() + random() * %d *"
             " interval '1 second' FROM made",
             n, uuid, interval_s);
    exec(query);
}

/* Of two conductors each cluster is seen by one, once per interval. MAGNUM_IDLE_CLUSTERS and
 * MAGNUM_IDLE_INTERVAL_S make it the real size. */
static void looks_are_shared_out(void)
{
    const char *many = getenv("MAGNUM_IDLE_CLUSTERS"), *slow = getenv("MAGNUM_IDLE_INTERVAL_S");
    int n = many ? atoi(many) : 200, interval_s = slow ? atoi(slow) : 4;
    char option[80], query[600];
    struct made m;
    fresh_world();
    snprintf(option, sizeof option, "conductor.health_interval_s=%d", interval_s);
    struct process one = start_conductor("one", option, NULL);
    create(&m, "idle", 1, "sim_steps=1,sim_health=HEALTHY");
    await(m.op.id, OPS_SUCCEEDED);
    /* each end of a look is written down */
    exec("CREATE TABLE seen (cluster_id text, owner text, at timestamptz)");
    exec("CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
         " INSERT INTO seen VALUES (old.cluster_id, old.lease_owner, now());" /* as for due_at */
         " RETURN new; END $$");
    exec("CREATE TRIGGER note AFTER UPDATE ON observation FOR EACH ROW"
         " WHEN (old.lease_owner IS NOT NULL AND new.lease_owner IS NULL) EXECUTE FUNCTION note()");
    struct process two = start_conductor("two", option, NULL);
    multiply(m.c.uuid, n, interval_s);
    snprintf(query, sizeof query,
             "SELECT count(*) >= 3 * %d FROM seen JOIN cluster c ON c.uuid = seen.cluster_id"
             " WHERE c.uuid <> '%s'",
             n, m.c.uuid);
    for (int64_t until = clock_mono_ms() + (10 * interval_s + 60) * 1000;
         strcmp(sql(query), "t") != 0 && clock_mono_ms() < until;)
        (void)poll(NULL, 0, 200);
    CU_ASSERT_STRING_EQUAL(sql(query), "t");
    /* none was seen again before its time (5 % jitter), none was left out */
    snprintf(query, sizeof query,
             "SELECT count(*) FROM (SELECT at - lag(at) OVER (PARTITION BY cluster_id ORDER BY at)"
             " AS gap FROM seen WHERE cluster_id <> '%s') g WHERE gap < 0.85 * %d *"
             " interval '1 second'",
             m.c.uuid, interval_s);
    CU_ASSERT_EQUAL(count(query), 0);
    snprintf(query, sizeof query,
             "SELECT count(*) FROM cluster c WHERE c.uuid <> '%s' AND NOT EXISTS"
             " (SELECT FROM seen WHERE cluster_id = c.uuid)",
             m.c.uuid);
    CU_ASSERT_EQUAL(count(query), 0);
    CU_ASSERT_EQUAL(count("SELECT count(DISTINCT owner) FROM seen"), 2);
    fprintf(stderr, "looks: %s\n",
            sql("SELECT (SELECT count(*) FROM cluster) || ' clusters, looks by conductor: ' ||"
                " string_agg(n::text, ' ') FROM (SELECT count(*) n FROM seen GROUP BY owner) o"));
    end_conductor(&one, SIGTERM);
    end_conductor(&two, SIGTERM);
    made_done(&m);
}

static void unread_health_decays_with_its_age(void)
{
    struct made m;
    struct err e = ERR_INIT;
    int64_t n = 0;
    fresh_world();
    struct process p = start_conductor("one", "conductor.health_interval_s=1", NULL);
    create(&m, "old", 1, "sim_steps=1,sim_health=HEALTHY");
    await(m.op.id, OPS_SUCCEEDED);
    await_sql("SELECT health_status FROM cluster", "HEALTHY");
    end_conductor(&p, SIGTERM); /* nobody is left to look */
    ASSERT_OK(db_observe_decay(db, 3600, 10, &n, &e), &e);
    CU_ASSERT_EQUAL(n, 0);
    exec("UPDATE observation SET due_at = now() - interval '2 hours'");
    exec("UPDATE cluster SET health_at = now() - interval '7200 seconds'");
    ASSERT_OK(db_observe_decay(db, 3600, 10, &n, &e), &e);
    CU_ASSERT_EQUAL(n, 1);
    CU_ASSERT_STRING_EQUAL(sql("SELECT health_status FROM cluster"), "UNKNOWN");
    CU_ASSERT_PTR_NOT_NULL(
        strstr(sql("SELECT health_status_reason->>'last_read' FROM cluster"), "720"));
    ASSERT_OK(db_observe_decay(db, 3600, 10, &n, &e), &e);
    CU_ASSERT_EQUAL(n, 0);
    made_done(&m);
}

static void breakers_open_probe_and_close(void)
{
    struct config cfg = {.conductor_backend_budget = 2,
                         .conductor_backend_failures = 3,
                         .conductor_backend_open_s = 600};
    struct conductor c = {.cfg = &cfg};
    struct err e = ERR_INIT;
    char name[BREAKER_NAME_MAX];
    _cleanup_json_ json_t *list = NULL;
    fresh_world();
    exec("INSERT INTO magnum_service (host, \"binary\", instance) VALUES ('h', 'b', 'me')");
    c.db = db;
    snprintf(c.instance, sizeof c.instance, "me");
    breakers_init(&c.breakers);
    breaker_name("https://heat.example:8004/v1/x?y=1", NULL, name);
    CU_ASSERT_STRING_EQUAL(name, "https://heat.example:8004");
    /* the budget */
    ASSERT_OK(breaker_enter(&c, name, &e), &e);
    ASSERT_OK(breaker_enter(&c, name, &e), &e);
    CU_ASSERT_EQUAL(breaker_enter(&c, name, &e), ERR_BUSY);
    CU_ASSERT_EQUAL(breaker_enter(&c, "https://other", &e), 0);
    breaker_leave(&c, "https://other", true, 0, 200, NULL);
    breaker_leave(&c, name, true, 0, 200, NULL);
    breaker_leave(&c, name, true, 0, 500, NULL); /* an answer, if a bad one */
    /* failures in a row, whoever meets them; one success starts again */
    breaker_leave(&c, name, false, ERR_UNAVAILABLE, 0, "no route");
    breaker_leave(&c, name, false, 0, 503, NULL);
    breaker_leave(&c, name, false, 0, 200, NULL);
    breaker_leave(&c, name, false, ERR_TIMEOUT, 0, "slow");
    breaker_leave(&c, name, false, ERR_TIMEOUT, 0, "slow");
    breaker_leave(&c, name, false, ERR_CANCELLED, 0, "ours");
    ASSERT_OK(breaker_enter(&c, name, &e), &e);
    breaker_leave(&c, name, true, ERR_UNAVAILABLE, 0, "no route");
    CU_ASSERT_EQUAL(breaker_enter(&c, name, &e), ERR_UNAVAILABLE);
    ASSERT_OK(db_backend_list(db, &list, &e), &e);
    const json_t *row = json_array_get(list, 0);
    CU_ASSERT_STRING_EQUAL(jsonx_str(row, "state"), "open");
    CU_ASSERT_STRING_EQUAL(jsonx_str(row, "endpoint"), name);
    CU_ASSERT_STRING_EQUAL(jsonx_str(row, "reason"), "no route");
    CU_ASSERT_EQUAL(jsonx_int(row, "failures", 0), 3);
    /* half open: one may try, and fails; then one may try, and succeeds; of an endpoint that is
     * left alone for a moment only */
    static const char soon[] = "https://soon.example";
    exec("DELETE FROM backend_state");
    cfg.conductor_backend_open_s = 1;
    for (int i = 0; i < 3; i++)
        breaker_leave(&c, soon, false, ERR_UNAVAILABLE, 0, "no route");
    for (int round = 0; round < 2; round++) {
        int rc;
        while ((rc = breaker_enter(&c, soon, &e)) == ERR_UNAVAILABLE)
            (void)poll(NULL, 0, 50);
        CU_ASSERT_EQUAL(rc, 0);
        CU_ASSERT_EQUAL(breaker_enter(&c, soon, &e), ERR_UNAVAILABLE);
        CU_ASSERT_STRING_EQUAL(sql("SELECT state FROM backend_state"), "half-open");
        breaker_leave(&c, soon, true, 0, round ? 200 : 502, NULL);
    }
    CU_ASSERT_EQUAL(count("SELECT count(*) FROM backend_state"), 0);
    ASSERT_OK(breaker_enter(&c, soon, &e), &e);
    breakers_done(&c.breakers);
}

/* ---- upkeep ---- */

static void old_rows_go_but_not_what_is_needed(void)
{
    struct made m;
    struct err e = ERR_INIT;
    char op2[40];
    int64_t n = 0;
    fresh_world();
    struct process p =
        start_conductor("one", "conductor.upkeep_interval_s=1", "conductor.event_days=10",
                        "conductor.operation_days=20", NULL);
    create(&m, "kept", 1, "sim_steps=1");
    await(m.op.id, OPS_SUCCEEDED);
    scale_to(m.c.uuid, 2, op2);
    await(op2, OPS_SUCCEEDED);
    exec("INSERT INTO operation_event (operation_id, code, created_at) SELECT 'x', 'old',"
         " now() - interval '11 days' FROM generate_series(1, 1200)");
    exec("INSERT INTO operation (id, cluster_id, kind, status, generation, spec, finished_at)"
         " VALUES ('gone', 'nobody', 'delete', 'SUCCEEDED', 9, '{}', now() - interval '21 days')");
    exec("UPDATE operation SET finished_at = now() - interval '30 days' WHERE finished_at"
         " IS NOT NULL");
    await_sql("SELECT count(*) FROM operation_event WHERE code = 'old'", "0");
    /* of the cluster that is still there the newest operation stays, it holds what was reached */
    await_sql("SELECT string_agg(kind, ' ') FROM operation", "scale");
    CU_ASSERT_TRUE(count("SELECT count(*) FROM operation_event") > 0);
    end_conductor(&p, SIGTERM);
    /* a failed newest one does not push out the last success */
    exec("INSERT INTO operation (id, cluster_id, kind, status, generation, spec, finished_at)"
         " SELECT 'bad', uuid, 'update', 'FAILED', 99, '{}', now() - interval '40 days'"
         " FROM cluster");
    ASSERT_OK(db_operations_trim(db, 20, 100, &n, &e), &e);
    CU_ASSERT_EQUAL(n, 0);
    ASSERT_OK(db_events_trim(db, 10, 100, &n, &e), &e);
    CU_ASSERT_EQUAL(n, 0);
    made_done(&m);
}

/* ---- leaks ---- */

static void plant(const char *cluster, const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/state/mag-%s", dir, cluster);
    CU_ASSERT_TRUE(mkdir(path, 0700) == 0 || errno == EEXIST);
    snprintf(path, sizeof path, "%s/state/mag-%s/%s.json", dir, cluster, name);
    FILE *f = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fputs("{}", f);
    fclose(f);
}

static void leaks_are_found_and_reported(void)
{
    struct made m, live;
    struct err e = ERR_INIT;
    char id[40], query[200], words[60];
    fresh_world();
    struct process p =
        start_conductor("one", "conductor.sweep_interval_s=1", "conductor.sweep_grace_s=1", NULL);
    create(&m, "leaky", 2, "sim_steps=1,sim_leave=2");
    create(&live, "live", 2, "sim_steps=1");
    await(m.op.id, OPS_SUCCEEDED);
    await(live.op.id, OPS_SUCCEEDED);
    request(m.c.uuid, "delete", NULL, id);
    await(id, OPS_SUCCEEDED);
    plant(live.c.uuid, "mag-stray-0");
    await_sql("SELECT count(*) FROM leak", "3");
    await_sql("SELECT count(*) FROM leak WHERE last_seen - first_seen >= interval '1 second'", "3");
    _cleanup_json_ json_t *list = NULL;
    ASSERT_OK(db_leak_list(db, 1, &list, &e), &e);
    const json_t *first = json_array_get(list, 0);
    CU_ASSERT_STRING_EQUAL(jsonx_str(first, "kind"), "node");
    CU_ASSERT_TRUE(jsonx_bool(first, "certain", false));
    CU_ASSERT_EQUAL(node_files(m.c.uuid), 2); /* only reported so far */
    CU_ASSERT_EQUAL(node_files(live.c.uuid), 4);
    /* removed when asked to, one by one */
    snprintf(query, sizeof query, "SELECT id FROM leak WHERE cluster_id = '%s'", live.c.uuid);
    snprintf(words, sizeof words, "leaks remove %s", sql(query));
    CU_ASSERT_EQUAL(driver_manage("leaks list"), 0);
    CU_ASSERT_TRUE(output_has("mag-stray-0") && output_has(m.c.uuid) && output_has("compared"));
    CU_ASSERT_EQUAL(driver_manage(words), 0);
    CU_ASSERT_TRUE(output_has("removal of 1 leak;"));
    await_sql("SELECT count(*) FROM leak", "2");
    CU_ASSERT_EQUAL(node_files(live.c.uuid), 3);
    end_conductor(&p, SIGTERM);
    /* or by option, which leaves alone what belongs to a cluster that is there */
    plant(live.c.uuid, "mag-stray-1");
    p = start_conductor("two", "conductor.sweep_interval_s=1", "conductor.sweep_grace_s=1",
                        "conductor.sweep_remove=true", NULL);
    char want[120];
    snprintf(want, sizeof want, "%smag-stray-1", live.c.uuid);
    await_sql("SELECT string_agg(cluster_id || name, ' ') FROM leak", want);
    CU_ASSERT_EQUAL(node_files(m.c.uuid), -1);
    CU_ASSERT_EQUAL(node_files(live.c.uuid), 4);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM sweep WHERE problem IS NULL"), "1");
    end_conductor(&p, SIGTERM);
    made_done(&m);
    made_done(&live);
}

/* No template, no user, labels that are none, and a backend that has lost everything. */
static void a_delete_relies_on_nothing(void)
{
    struct made m;
    char id[40], command[200];
    fresh_world();
    struct process p = start_conductor("one", NULL);
    create(&m, "poor", 2, "sim_steps=2");
    await(m.op.id, OPS_SUCCEEDED);
    exec("DELETE FROM cluster_template");
    exec("UPDATE cluster SET labels = '{\"sim_steps\": \"garbage\", \"nonsense\": \"\"}',"
         " user_id = NULL, keypair = 'gone', ca_cert_ref = 'nowhere'");
    exec("UPDATE nodegroup SET image_id = 'gone', flavor_id = NULL, labels = NULL");
    snprintf(command, sizeof command, "rm -rf %s/state/mag-%s", dir, m.c.uuid);
    CU_ASSERT_EQUAL(system(command), 0);
    request(m.c.uuid, "delete", NULL, id);
    await(id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(count("SELECT (SELECT count(*) FROM cluster) + (SELECT count(*) FROM"
                          " nodegroup) + (SELECT count(*) FROM ledger)"),
                    0);
    CU_ASSERT_STRING_EQUAL(op_value(id, "coalesce(code, '')"), "");
    end_conductor(&p, SIGTERM);
    made_done(&m);
}

/* ---- what the world is told ---- */

static zsock_t *subscribe(const char *endpoint, const char *topic)
{
    zsys_handler_set(NULL);
    zsock_t *s = zsock_new_sub(endpoint, topic);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    zsock_set_rcvtimeo(s, 100);
    return s;
}

/* The next message about this cluster (NULL = any), or NULL; caller owns. */
static json_t *next_notice(zsock_t *s, const char *cluster, int64_t wait_ms)
{
    for (int64_t until = clock_mono_ms() + wait_ms; clock_mono_ms() < until;) {
        char *topic = NULL, *text = NULL;
        if (zstr_recvx(s, &topic, &text, NULL) < 2)
            continue;
        json_t *doc = json_loads(text, 0, NULL);
        CU_ASSERT_STRING_EQUAL(topic, jsonx_str(doc, "event_type"));
        const json_t *target = json_object_get(json_object_get(doc, "payload"), "target");
        bool meant = !cluster || str_eq(jsonx_str(target, "id"), cluster);
        zstr_free(&topic);
        zstr_free(&text);
        if (meant)
            return doc;
        json_decref(doc);
    }
    return NULL;
}

static void expect_notice(zsock_t *s, const char *cluster, const char *action, const char *outcome,
                          const char *status)
{
    _cleanup_json_ json_t *doc = next_notice(s, cluster, PATIENCE_MS);
    const json_t *payload = json_object_get(doc, "payload");
    const json_t *target = json_object_get(payload, "target");
    const json_t *content =
        json_object_get(json_array_get(json_object_get(target, "attachments"), 0), "content");
    CU_ASSERT_PTR_NOT_NULL_FATAL(doc);
    CU_ASSERT_STRING_EQUAL(jsonx_str(payload, "action"), action);
    CU_ASSERT_STRING_EQUAL(jsonx_str(payload, "outcome"), outcome);
    CU_ASSERT_STRING_EQUAL(jsonx_str(payload, "eventType"), "activity");
    CU_ASSERT_STRING_EQUAL(jsonx_str(payload, "typeURI"),
                           "http://schemas.dmtf.org/cloud/audit/1.0/event");
    CU_ASSERT_STRING_EQUAL(jsonx_str(doc, "publisher_id"), "container-infra.teller");
    CU_ASSERT_STRING_EQUAL(jsonx_str(doc, "priority"),
                           strcmp(outcome, "failure") == 0 ? "error" : "info");
    CU_ASSERT_STRING_EQUAL(jsonx_str(target, "typeURI"), "service/magnum/cluster");
    CU_ASSERT_STRING_EQUAL(jsonx_str(content, "status"), status);
    CU_ASSERT_PTR_NOT_NULL(json_object_get(content, "docker_volume_size:"));
    CU_ASSERT_STRING_EQUAL(jsonx_str(json_object_get(payload, "initiator"), "project_id"), "p");
}

static void notifications_are_published(void)
{
    struct made m, warm;
    char id[40], endpoint[120], option[160];
    fresh_world();
    snprintf(endpoint, sizeof endpoint, "ipc://%s/notices", dir);
    snprintf(option, sizeof option, "notifications.endpoint=%s", endpoint);
    struct process p = start_conductor("teller", option, NULL);
    zsock_t *s = subscribe(endpoint, "magnum.cluster.");
    /* a subscription takes a moment to arrive: until then what is said is lost */
    for (int i = 0; i < 50; i++) {
        create(&warm, "warm", 1, "sim_steps=1");
        await(warm.op.id, OPS_SUCCEEDED);
        made_done(&warm);
        json_t *heard = next_notice(s, NULL, 300);
        bool connected = heard != NULL;
        json_decref(heard);
        if (connected)
            break;
    }
    create(&m, "told", 1, "sim_steps=1");
    await(m.op.id, OPS_SUCCEEDED);
    expect_notice(s, m.c.uuid, "create", "pending", "CREATE_IN_PROGRESS");
    expect_notice(s, m.c.uuid, "create", "success", "CREATE_COMPLETE");
    scale_to(m.c.uuid, 2, id);
    await(id, OPS_SUCCEEDED);
    expect_notice(s, m.c.uuid, "update", "pending", "UPDATE_IN_PROGRESS");
    expect_notice(s, m.c.uuid, "update", "success", "UPDATE_COMPLETE");
    request(m.c.uuid, "delete", NULL, id);
    await(id, OPS_SUCCEEDED);
    expect_notice(s, m.c.uuid, "delete", "pending", "DELETE_IN_PROGRESS");
    expect_notice(s, m.c.uuid, "delete", "success", "DELETE_COMPLETE");
    made_done(&m);
    create(&m, "sad", 1, "sim_steps=1,sim_fail_at_step=1,sim_fail_times=99,sim_fail_code=INVALID");
    await(m.op.id, OPS_FAILED);
    expect_notice(s, m.c.uuid, "create", "pending", "CREATE_IN_PROGRESS");
    expect_notice(s, m.c.uuid, "create", "failure", "CREATE_FAILED");
    zsock_destroy(&s);
    end_conductor(&p, SIGTERM);
    made_done(&m);
}

static void news_are_published(void)
{
    struct made m;
    char endpoint[160], topic[80];
    fresh_world();
    struct process p = start_conductor("one", NULL);
    snprintf(endpoint, sizeof endpoint, "%s", sql("SELECT news_endpoint FROM magnum_service"));
    CU_ASSERT_PTR_NOT_NULL(strstr(endpoint, "tcp://127.0.0.1:"));
    zsock_t *s = subscribe(endpoint, "op/");
    bool heard = false;
    for (int i = 0; i < 50 && !heard; i++) {
        create(&m, "new", 1, "sim_steps=1");
        await(m.op.id, OPS_SUCCEEDED);
        char *what = NULL, *text = NULL;
        if (zstr_recvx(s, &what, &text, NULL) >= 1) {
            heard = true;
            snprintf(topic, sizeof topic, "op/%s", m.op.id);
            CU_ASSERT_STRING_EQUAL(what, topic);
        }
        zstr_free(&what);
        zstr_free(&text);
        made_done(&m);
    }
    CU_ASSERT_TRUE(heard);
    zsock_destroy(&s);
    end_conductor(&p, SIGTERM);
    CU_ASSERT_EQUAL(count("SELECT count(*) FROM magnum_service WHERE news_endpoint IS NOT NULL"),
                    0);
}

/* ---- quarantine ---- */

static void a_quarantined_driver_s_operations_wait_in_sight(void)
{
    struct made m;
    fresh_world();
    struct process p = start_conductor("one", "conductor.heartbeat_ms=200", NULL);
    exec("INSERT INTO driver_quarantine (sha256, id, reason) SELECT DISTINCT sha256, id,"
         " 'it ended 5 times' FROM driver WHERE id = '" SIM "'");
    CU_ASSERT_EQUAL(driver_manage("quarantine list"), 0);
    CU_ASSERT_TRUE(output_has(SIM) && output_has("it ended 5 times"));
    /* the conductor reads it behind its heartbeat: the next but one tells that it has */
    char query[80];
    snprintf(query, sizeof query, "SELECT report_count >= %lld FROM magnum_service",
             (long long)count("SELECT report_count FROM magnum_service") + 2);
    await_sql(query, "t");
    create(&m, "waits", 1, "sim_steps=1");
    await(m.op.id, OPS_BLOCKED);
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "code"), "DriverUnavailable");
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "actor"), "operator");
    CU_ASSERT_PTR_NOT_NULL(strstr(op_value(m.op.id, "reason"), "quarantine"));
    CU_ASSERT_PTR_NOT_NULL(strstr(op_value(m.op.id, "remedy"), "quarantine clear"));
    CU_ASSERT_PTR_NOT_NULL(strstr(sql("SELECT status_reason FROM cluster"), "quarantine"));
    CU_ASSERT_STRING_EQUAL(sql("SELECT status FROM cluster"), "CREATE_IN_PROGRESS");
    CU_ASSERT_EQUAL(driver_manage("quarantine clear " SIM), 0);
    await_sql("SELECT count(*) FROM driver_quarantine", "0");
    exec("UPDATE operation SET due_at = now()"); /* it is retried slowly by itself */
    await(m.op.id, OPS_SUCCEEDED);
    end_conductor(&p, SIGTERM);
    made_done(&m);
}

TEST_MAIN("conductor_periodic", conductors_setup, conductors_teardown, TEST(looks_are_shared_out),
          TEST(unread_health_decays_with_its_age), TEST(breakers_open_probe_and_close),
          TEST(old_rows_go_but_not_what_is_needed), TEST(leaks_are_found_and_reported),
          TEST(a_delete_relies_on_nothing), TEST(notifications_are_published),
          TEST(news_are_published), TEST(a_quarantined_driver_s_operations_wait_in_sight))
