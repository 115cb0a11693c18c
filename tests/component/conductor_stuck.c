/* Operations that don't go on by themselves, on real conductors: what old clients see, retry,
 * forced delete, refusals, the budgets of a step and of an operation. */
#include "component/conductor_fixture.h"

#include "base/str.h"

#include <signal.h>
#include <string.h>

static void retry(const char *id, char ret_id[40])
{
    struct err e = ERR_INIT;
    struct operation op;
    operation_init(&op);
    op.id = str_dup(id);
    ASSERT_OK(db_accept_retry(db, &op, "somebody", &e), &e);
    snprintf(ret_id, 40, "%s", op.id);
    operation_done(&op);
}

static void force(const char *cluster, char ret_id[40])
{
    struct err e = ERR_INIT;
    struct operation op;
    operation_init(&op);
    op.kind = str_dup("delete");
    op.force = true;
    ASSERT_OK(db_accept_change(db, cluster, &op, NULL, NULL, &e), &e);
    snprintf(ret_id, 40, "%s", op.id);
    operation_done(&op);
}

static void blocked_is_seen_by_old_clients_until_it_goes_on(void)
{
    struct made m;
    fresh_world();
    struct process p =
        start_conductor("one", "conductor.blocked_after_s=1", "conductor.backoff_max_ms=400", NULL);
    create(&m, "c", 1, "sim_fail_at_step=2,sim_fail_code=UNAVAILABLE,sim_fail_times=20");
    await_sql("SELECT status || (status_reason LIKE 'BLOCKED since 20__-__-__T__:__:__Z (%): %;"
              " the operator must act: %')::text FROM cluster",
              "CREATE_IN_PROGRESStrue");
    await(m.op.id, OPS_SUCCEEDED);
    CU_ASSERT_STRING_EQUAL(sql("SELECT status || coalesce(status_reason, '-') FROM cluster"),
                           "CREATE_COMPLETE-");
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&m);
}

/* Left alone it would be tried again in minutes. */
static void a_blocked_operation_is_retried_on_request(void)
{
    struct made m;
    char id[40];
    fresh_world();
    struct process p =
        start_conductor("one", "conductor.blocked_after_s=1", "conductor.backoff_ms=600000",
                        "conductor.backoff_max_ms=600000", NULL);
    create(&m, "c", 1, "sim_fail_at_step=2,sim_fail_code=UNAVAILABLE,sim_fail_times=2");
    await_sql("SELECT status || (due_at > now() + interval '30 seconds') ||"
              " (lease_owner IS NULL)::text FROM operation",
              "BLOCKEDtruetrue");
    retry(m.op.id, id);
    CU_ASSERT_STRING_EQUAL(id, m.op.id);
    await(m.op.id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&m);
}

static void a_failed_create_is_retried_and_makes_the_cluster(void)
{
    struct made m;
    char id[40];
    fresh_world();
    struct process p = start_conductor("one", NULL);
    create(&m, "c", 2, "sim_fail_at_step=2,sim_fail_code=QUOTA,sim_fail_times=1");
    await(m.op.id, OPS_FAILED);
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "CREATE_FAILED");
    retry(m.op.id, id);
    CU_ASSERT_STRING_NOT_EQUAL(id, m.op.id);
    await(id, OPS_SUCCEEDED);
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "CREATE_COMPLETE");
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "status"), OPS_FAILED); /* history stays */
    CU_ASSERT_EQUAL(node_files(m.c.uuid), 3);
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&m);
}

static void a_forced_delete_ends_with_a_report(void)
{
    struct made m;
    char id[40], forced[40];
    fresh_world();
    struct process p = start_conductor("one", NULL);
    create(&m, "c", 2,
           "sim_fail_kind=delete,sim_fail_at_step=1,sim_fail_code=DENIED,sim_fail_times=0");
    await(m.op.id, OPS_SUCCEEDED);
    request(m.c.uuid, "delete", NULL, id);
    await(id, OPS_FAILED);
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "DELETE_FAILED");
    force(m.c.uuid, forced);
    await(forced, OPS_SUCCEEDED);
    CU_ASSERT_STRING_EQUAL(op_value(forced, "code"), "LeftBehind");
    CU_ASSERT_STRING_NOT_EQUAL(op_value(forced, "report->'error'->>'code'"), "");
    CU_ASSERT_STRING_EQUAL(sql("SELECT (SELECT count(*) FROM cluster) + (SELECT count(*) FROM"
                               " ledger) + (SELECT count(*) FROM x509keypair)"),
                           "0");
    /* the report names what is really still there */
    char count[16];
    snprintf(count, sizeof count, "%d", node_files(m.c.uuid));
    CU_ASSERT_STRING_EQUAL(
        op_value(forced, "(SELECT count(*) FROM json_array_elements(report->'left_behind') v WHERE"
                         " v->>'kind' = 'node')"),
        count);
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&m);
}

/* Force reaches a delete that hangs, while its conductor holds the lease. */
static void a_delete_that_blocks_can_be_forced(void)
{
    struct made m;
    char id[40], forced[40];
    fresh_world();
    struct process p =
        start_conductor("one", "conductor.blocked_after_s=2", "conductor.lease_ms=1500", NULL);
    create(&m, "c", 1,
           "sim_fail_kind=delete,sim_fail_at_step=1,sim_fail_code=UNAVAILABLE,sim_fail_times=0");
    await(m.op.id, OPS_SUCCEEDED);
    request(m.c.uuid, "delete", NULL, id);
    await(id, OPS_BLOCKED);
    force(m.c.uuid, forced);
    CU_ASSERT_STRING_EQUAL(forced, id);
    await(id, OPS_SUCCEEDED);
    CU_ASSERT_STRING_NOT_EQUAL(op_value(id, "report->'error'->>'code'"), "");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM cluster"), "0");
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&m);
}

/* The driver can't read a label: it says no before it does anything. */
static void a_refused_resize_leaves_the_size(void)
{
    struct made m;
    char id[40];
    fresh_world();
    struct process p = start_conductor("one", NULL);
    create(&m, "c", 2, "");
    await(m.op.id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    scale_to(m.c.uuid, 9, id);
    const char *count = "SELECT node_count FROM nodegroup WHERE role = 'worker'";
    CU_ASSERT_STRING_EQUAL(sql(count), "9");
    exec("UPDATE operation SET spec = jsonb_set(spec::jsonb, '{cluster,labels}',"
         " '{\"sim_steps\": \"many\"}')::json WHERE kind = 'scale'");
    p = start_conductor("two", NULL);
    await(id, OPS_FAILED);
    CU_ASSERT_STRING_EQUAL(sql(count), "2");
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "UPDATE_FAILED");
    CU_ASSERT_EQUAL(node_files(m.c.uuid), 3);
    retry(id, id);
    await(id, OPS_SUCCEEDED);
    CU_ASSERT_STRING_EQUAL(sql(count), "9");
    CU_ASSERT_EQUAL(node_files(m.c.uuid), 10);
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&m);
}

TEST_MAIN("conductor_stuck", conductors_setup, conductors_teardown,
          TEST(blocked_is_seen_by_old_clients_until_it_goes_on),
          TEST(a_blocked_operation_is_retried_on_request),
          TEST(a_failed_create_is_retried_and_makes_the_cluster),
          TEST(a_forced_delete_ends_with_a_report), TEST(a_delete_that_blocks_can_be_forced),
          TEST(a_refused_resize_leaves_the_size))
