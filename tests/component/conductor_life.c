/* Operations from acceptance to their end, carried out by a real conductor with real driver
 * processes: success, every kind of failure, retries, deadlines, cancel, supersede, certificates.
 */
#include "component/conductor_fixture.h"

#include "base/clock.h"

#include <poll.h>
#include <signal.h>

static void group_named(const char *cluster, const char *name, char ret[40])
{
    char query[200];
    snprintf(query, sizeof query,
             "SELECT uuid FROM nodegroup WHERE cluster_id = '%s' AND name = '%s'", cluster, name);
    snprintf(ret, 40, "%s", sql(query));
}

static const char *events(const char *operation)
{
    char query[200];
    snprintf(
        query, sizeof query,
        "SELECT string_agg(code, ' ' ORDER BY id) FROM operation_event WHERE operation_id = '%s'",
        operation);
    return sql(query);
}

/* A driver that a conductor had which is gone: its file is on no machine any more. */
static void publish_lost_driver(void)
{
    exec("INSERT INTO driver (instance, id, name, kind, version, ready) VALUES ('gone',"
         " 'org.nobody.has', 'nobody', 'coe-driver', '1', true)");
}

static const char *ledger_rows(const char *cluster)
{
    char query[160];
    snprintf(query, sizeof query, "SELECT count(*) FROM ledger WHERE cluster_id = '%s'", cluster);
    return sql(query);
}

static void a_cluster_lives_from_create_to_delete(void)
{
    struct made m;
    char id[40], group[40];
    fresh_world();
    struct process p = start_conductor("one", NULL);
    create(&m, "c", 2, "sim_steps=4,sim_step_ms=10");
    await(m.op.id, OPS_SUCCEEDED);
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "CREATE_COMPLETE");
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(DISTINCT status, ',') FROM nodegroup"),
                           "CREATE_COMPLETE");
    CU_ASSERT_EQUAL(node_files(m.c.uuid), 3);
    CU_ASSERT_STRING_EQUAL(ledger_rows(m.c.uuid), "3");
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "percent"), "100");
    CU_ASSERT_STRING_NOT_EQUAL(sql("SELECT coalesce(api_address, '') FROM cluster"), "");
    CU_ASSERT_PTR_NOT_NULL(strstr(events(m.op.id), "started stage succeeded"));

    scale_to(m.c.uuid, 5, id);
    await(id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(node_files(m.c.uuid), 6);
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "UPDATE_COMPLETE");
    scale_to(m.c.uuid, 0, id);
    await(id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(node_files(m.c.uuid), 1);

    struct db_change ch = DB_CHANGE_INIT;
    struct nodegroup extra;
    nodegroup_init(&extra);
    extra.name = str_dup("extra");
    extra.role = str_dup("worker");
    extra.node_count = 2;
    extra.labels = json_object();
    ch.add = &extra;
    request(m.c.uuid, "nodegroup_create", &ch, id);
    nodegroup_done(&extra);
    await(id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(node_files(m.c.uuid), 3);
    CU_ASSERT_STRING_EQUAL(sql("SELECT status FROM nodegroup WHERE name = 'extra'"),
                           "CREATE_COMPLETE");
    group_named(m.c.uuid, "extra", group);
    ch = (struct db_change)DB_CHANGE_INIT;
    ch.nodegroup = group;
    request(m.c.uuid, "nodegroup_delete", &ch, id);
    await(id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(node_files(m.c.uuid), 1);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM nodegroup"), "2");

    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM x509keypair"), "4");
    request(m.c.uuid, "delete", NULL, id);
    await(id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(node_files(m.c.uuid), -1);
    CU_ASSERT_STRING_EQUAL(sql("SELECT (SELECT count(*) FROM cluster) + (SELECT count(*) FROM"
                               " nodegroup) + (SELECT count(*) FROM ledger) + (SELECT count(*) FROM"
                               " x509keypair)"),
                           "0");
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&m);
}

static void private_keys_are_sealed(void)
{
    struct made m;
    fresh_world();
    struct process p = start_conductor("one", NULL);
    create(&m, "named", 1, "");
    await(m.op.id, OPS_SUCCEEDED);
    CU_ASSERT_STRING_EQUAL(
        sql("SELECT count(*) FROM x509keypair WHERE private_key LIKE 'v1:%' AND certificate LIKE"
            " '-----BEGIN CERTIFICATE-----%' AND private_key NOT LIKE '%PRIVATE KEY%'"),
        "4");
    CU_ASSERT_STRING_EQUAL(
        sql("SELECT count(*) FROM cluster c JOIN x509keypair a ON a.uuid = c.ca_cert_ref JOIN"
            " x509keypair b ON b.uuid = c.magnum_cert_ref JOIN x509keypair d ON d.uuid ="
            " c.etcd_ca_cert_ref JOIN x509keypair e ON e.uuid = c.front_proxy_ca_cert_ref"),
        "1");
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(split_part(derived_key, '/', 2), ' ' ORDER BY id)"
                               " FROM x509keypair"),
                           "ca etcd-ca front-proxy-ca client");
    _cleanup_free_ char *log = conductor_log(&p);
    CU_ASSERT_PTR_NULL(strstr(log, "PRIVATE KEY"));
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&m);
}

/* X.509 has 64 characters for a common name: the uuid stands in for a longer one. */
static void a_name_too_long_for_a_certificate_gives_way_to_the_uuid(void)
{
    struct made m;
    char id[40], subject[64];
    fresh_world();
    struct process p = start_conductor("one", NULL);
    create(&m, "a-name-that-is-longer-than-the-sixty-four-characters-that-x509-has-for-it", 1, "");
    await(m.op.id, OPS_SUCCEEDED);
    snprintf(subject, sizeof subject, "CN=%s", m.c.uuid);
    CU_ASSERT_PTR_NOT_NULL(strstr(sql("SELECT status FROM cluster"), "CREATE_COMPLETE"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(sql("SELECT string_agg(subject, ' ') FROM certificate"), subject));
    request(m.c.uuid, "delete", NULL, id);
    await(id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&m);
}

static void a_crash_costs_the_attempt_only(void)
{
    struct made bad, good;
    fresh_world();
    struct process p = start_conductor("one", NULL);
    create(&bad, "bad", 3, "sim_steps=3,sim_crash_at_step=2,sim_crash_times=2");
    create(&good, "good", 3, "sim_steps=3");
    await(good.op.id, OPS_SUCCEEDED);
    await(bad.op.id, OPS_SUCCEEDED);
    CU_ASSERT_STRING_EQUAL(op_value(good.op.id, "attempt"), "0");
    CU_ASSERT_EQUAL(node_files(bad.c.uuid), 4);
    CU_ASSERT_PTR_NOT_NULL(strstr(events(bad.op.id), "retry"));
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&bad);
    made_done(&good);
}

static void crashing_every_time_fails_and_names_the_driver(void)
{
    struct made m;
    char id[40];
    fresh_world();
    struct process p = start_conductor("one", NULL);
    create(&m, "c", 1, "sim_crash_at_step=1,sim_crash_times=0");
    await(m.op.id, OPS_FAILED);
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "code"), "DriverCrashed");
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "actor"), "vendor");
    CU_ASSERT_STRING_EQUAL(events(m.op.id), "accepted started stage retry retry failed");
    CU_ASSERT_PTR_NOT_NULL(strstr(op_value(m.op.id, "reason"), "the driver crashed"));
    CU_ASSERT_STRING_NOT_EQUAL(op_value(m.op.id, "coalesce(remedy, '')"), "");
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "CREATE_FAILED");
    request(m.c.uuid, "delete", NULL, id); /* and it can be cleaned up */
    await(id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(node_files(m.c.uuid), -1);
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&m);
}

static void a_hang_costs_the_attempt_and_others_go_on(void)
{
    struct made bad, good;
    fresh_world();
    struct process p = start_conductor("one", "conductor.step_budget_ms=5000", NULL);
    create(&bad, "bad", 1, "sim_hang_at_step=2,sim_hang_times=1");
    create(&good, "good", 1, "sim_steps=3");
    await(good.op.id, OPS_SUCCEEDED);
    await(bad.op.id, OPS_SUCCEEDED);
    CU_ASSERT_STRING_EQUAL(
        sql("SELECT count(*) FROM operation_event WHERE code = 'retry' AND message LIKE"
            " 'the driver did not answer in time%'"),
        "1");
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&bad);
    made_done(&good);
}

static void retryable_errors_are_retried_others_fail_at_once(void)
{
    struct made again, final;
    fresh_world();
    struct process p = start_conductor("one", NULL);
    create(&again, "again", 1, "sim_fail_at_step=2,sim_fail_code=UNAVAILABLE,sim_fail_times=4");
    create(&final, "final", 1, "sim_fail_at_step=2,sim_fail_code=QUOTA,sim_fail_times=0");
    await(again.op.id, OPS_SUCCEEDED);
    await(final.op.id, OPS_FAILED);
    CU_ASSERT_STRING_EQUAL(op_value(final.op.id, "attempt"), "1");
    CU_ASSERT_STRING_EQUAL(op_value(final.op.id, "actor"), "user");
    CU_ASSERT_STRING_EQUAL(cluster_status(final.c.uuid), "CREATE_FAILED");
    CU_ASSERT_STRING_NOT_EQUAL(sql("SELECT status_reason FROM cluster WHERE name = 'final'"), "");
    CU_ASSERT_STRING_EQUAL(
        sql("SELECT DISTINCT g.status FROM nodegroup g JOIN cluster c ON c.uuid ="
            " g.cluster_id WHERE c.name = 'final'"),
        "CREATE_FAILED");
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&again);
    made_done(&final);
}

static void the_deadline_is_the_core_s(void)
{
    struct made endless, hung;
    fresh_world();
    struct process p = start_conductor("one", "conductor.step_budget_ms=60000", NULL);
    create_until(&endless, "endless", 1, "sim_steps=1000,sim_step_ms=50", 2000);
    create_until(&hung, "hung", 1, "sim_hang_at_step=1,sim_hang_times=0", 6000);
    await(endless.op.id, OPS_FAILED);
    await(hung.op.id, OPS_FAILED);
    CU_ASSERT_STRING_EQUAL(op_value(endless.op.id, "code"), "DeadlineExceeded");
    CU_ASSERT_STRING_EQUAL(op_value(hung.op.id, "code"), "DeadlineExceeded");
    CU_ASSERT_PTR_NOT_NULL(strstr(op_value(hung.op.id, "reason"), "did not answer"));
    CU_ASSERT_STRING_EQUAL(cluster_status(endless.c.uuid), "CREATE_FAILED");
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&endless);
    made_done(&hung);
}

static void a_delete_that_cannot_be_done_ends_too(void)
{
    struct made m;
    char id[40];
    fresh_world();
    struct process p = start_conductor("one", NULL);
    create(&m, "c", 1,
           "sim_fail_kind=delete,sim_fail_at_step=1,sim_fail_code=UNAVAILABLE,"
           "sim_fail_times=0");
    await(m.op.id, OPS_SUCCEEDED);
    request_until(m.c.uuid, "delete", NULL, 1000, id);
    await(id, OPS_FAILED);
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "DELETE_FAILED");
    CU_ASSERT_STRING_EQUAL(op_value(id, "code"), "DeadlineExceeded");
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&m);
}

static void no_progress_is_shown_as_blocked_and_progress_ends_it(void)
{
    struct made m;
    fresh_world();
    struct process p =
        start_conductor("one", "conductor.blocked_after_s=1", "conductor.backoff_max_ms=400", NULL);
    create(&m, "c", 1, "sim_fail_at_step=2,sim_fail_code=UNAVAILABLE,sim_fail_times=20");
    await(m.op.id, OPS_BLOCKED);
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "actor"), "operator");
    CU_ASSERT_STRING_NOT_EQUAL(op_value(m.op.id, "code"), "");
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "CREATE_IN_PROGRESS");
    await(m.op.id, OPS_SUCCEEDED);
    CU_ASSERT_PTR_NOT_NULL(strstr(events(m.op.id), "blocked"));
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "coalesce(code, '')"), "");
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&m);
}

static void cancel_stops_a_running_operation(void)
{
    struct made m;
    struct err e = ERR_INIT;
    char id[40];
    fresh_world();
    struct process p = start_conductor("one", "conductor.lease_ms=1500", NULL);
    create(&m, "c", 5, "sim_steps=1000,sim_step_ms=30");
    await_sql("SELECT percent >= 0 AND steps > 2 FROM operation", "t");
    ASSERT_OK(db_accept_cancel(db, m.op.id, "u", &e), &e);
    await(m.op.id, OPS_CANCELLED);
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "code"), "Cancelled");
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "CREATE_FAILED");
    exec("UPDATE cluster SET labels = '{\"sim_steps\": \"5\"}'"); /* the delete is shorter */
    request(m.c.uuid, "delete", NULL, id);
    await(id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(node_files(m.c.uuid), -1);
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&m);
}

static void a_delete_takes_the_place_of_a_create_that_is_stepping(void)
{
    struct made m;
    char id[40];
    fresh_world();
    struct process p = start_conductor("one", "conductor.lease_ms=1500", NULL);
    create(&m, "c", 5, "sim_steps=30,sim_step_ms=400");
    await_sql("SELECT count(*) > 1 FROM ledger", "t");
    exec("UPDATE cluster SET labels = '{\"sim_steps\": \"5\"}'"); /* the delete is shorter */
    request(m.c.uuid, "delete", NULL, id);
    await(id, OPS_SUCCEEDED);
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "status"), OPS_CANCELLED);
    CU_ASSERT_EQUAL(node_files(m.c.uuid), -1);
    CU_ASSERT_STRING_EQUAL(
        sql("SELECT (SELECT count(*) FROM cluster) + (SELECT count(*) FROM ledger)"), "0");
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&m);
}

static void health_is_looked_at_and_decays(void)
{
    struct made well, ill;
    fresh_world();
    struct process p = start_conductor("one", "conductor.health_interval_s=1", NULL);
    create(&well, "well", 1, "");
    create(&ill, "ill", 1, "sim_health=UNHEALTHY");
    await_sql("SELECT health_status FROM cluster WHERE name = 'well'", "HEALTHY");
    await_sql("SELECT health_status FROM cluster WHERE name = 'ill'", "UNHEALTHY");
    CU_ASSERT_STRING_EQUAL(
        sql("SELECT health_status_reason->>'simulator' FROM cluster WHERE name = 'ill'"),
        "as label sim_health asks");
    publish_lost_driver();
    exec("UPDATE cluster SET driver_id = 'org.nobody.has'"); /* can't be read any more */
    await_sql("SELECT string_agg(DISTINCT health_status, ' ') FROM cluster", "UNKNOWN");
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&well);
    made_done(&ill);
}

static void a_driver_nobody_has_blocks_its_operations_and_says_so(void)
{
    struct made m;
    struct err e = ERR_INIT;
    fresh_world();
    publish_lost_driver();
    struct process p = start_conductor("one", "conductor.backoff_max_ms=400", NULL);
    driver_of_clusters = "org.nobody.has";
    create(&m, "c", 1, "");
    driver_of_clusters = SIM;
    await(m.op.id, OPS_BLOCKED);
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "code"), "DriverUnavailable");
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "actor"), "operator");
    CU_ASSERT_PTR_NOT_NULL(strstr(op_value(m.op.id, "reason"), "org.nobody.has"));
    ASSERT_OK(db_accept_cancel(db, m.op.id, "u", &e), &e); /* and it can be given up */
    await(m.op.id, OPS_CANCELLED);
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&m);
}

TEST_MAIN("conductor_life", conductors_setup, conductors_teardown,
          TEST(a_cluster_lives_from_create_to_delete), TEST(private_keys_are_sealed),
          TEST(a_name_too_long_for_a_certificate_gives_way_to_the_uuid),
          TEST(a_crash_costs_the_attempt_only),
          TEST(crashing_every_time_fails_and_names_the_driver),
          TEST(a_hang_costs_the_attempt_and_others_go_on),
          TEST(retryable_errors_are_retried_others_fail_at_once), TEST(the_deadline_is_the_core_s),
          TEST(a_delete_that_cannot_be_done_ends_too),
          TEST(no_progress_is_shown_as_blocked_and_progress_ends_it),
          TEST(cancel_stops_a_running_operation),
          TEST(a_delete_takes_the_place_of_a_create_that_is_stepping),
          TEST(health_is_looked_at_and_decays),
          TEST(a_driver_nobody_has_blocks_its_operations_and_says_so))
