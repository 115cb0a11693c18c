/* Conductors that are killed, paused, stopped, and left without their database: nothing is lost,
 * doubled or leaked. Real processes. */
#include "component/conductor_fixture.h"

#include "base/clock.h"

#include <poll.h>
#include <signal.h>

static bool owns(const struct process *p, const char *operation)
{
    char query[300];
    snprintf(query, sizeof query,
             "SELECT count(*) FROM operation o JOIN magnum_service s ON s.instance = o.lease_owner"
             " WHERE o.id = '%s' AND s.host = '%s'",
             operation, p->host);
    return strcmp(sql(query), "1") == 0;
}

/* Waits until one of the two has the operation. */
static struct process *await_owner(const char *operation, struct process *a, struct process *b)
{
    for (int64_t until = clock_mono_ms() + PATIENCE_MS; clock_mono_ms() < until;) {
        if (owns(a, operation))
            return a;
        if (b && owns(b, operation))
            return b;
        (void)poll(NULL, 0, 5);
    }
    CU_FAIL_FATAL("nobody took the operation");
    return NULL;
}

static void await_steps(const char *operation, const char *condition)
{
    char query[200];
    snprintf(query, sizeof query, "SELECT %s FROM operation WHERE id = '%s'", condition, operation);
    await_sql(query, "t");
}

static void a_killed_conductor_is_replaced(void)
{
    struct made m;
    fresh_world();
    struct process one = start_conductor("one", "conductor.lease_ms=2000", NULL);
    struct process two = start_conductor("two", "conductor.lease_ms=2000", NULL);
    create(&m, "c", 6, "sim_steps=40,sim_step_ms=150");
    await_steps(m.op.id, "percent > 10");
    struct process *owner = await_owner(m.op.id, &one, &two);
    struct process *other = owner == &one ? &two : &one;
    CU_ASSERT_EQUAL(end_conductor(owner, SIGKILL), -SIGKILL);
    CU_ASSERT_PTR_EQUAL(await_owner(m.op.id, other, NULL), other);
    await(m.op.id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(node_files(m.c.uuid), 7);
    /* at least: on a slow machine the other one's lease may run out as well */
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "lease_fence >= 2"), "t");
    CU_ASSERT_EQUAL(end_conductor(other, SIGTERM), 0);
    made_done(&m);
}

static void a_stopping_conductor_hands_over_at_once(void)
{
    struct made m;
    fresh_world(); /* with such a lease only handing back can be the reason */
    struct process one = start_conductor("one", "conductor.lease_ms=600000", NULL);
    create(&m, "c", 6, "sim_steps=30,sim_step_ms=100");
    await_steps(m.op.id, "percent > 5");
    struct process two = start_conductor("two", NULL);
    CU_ASSERT_EQUAL(end_conductor(&one, SIGTERM), 0);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM magnum_service WHERE endpoint IS NOT NULL"),
                           "1");
    await(m.op.id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(node_files(m.c.uuid), 7);
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "host_failures"), "0");
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "attempt"), "0");
    CU_ASSERT_EQUAL(end_conductor(&two, SIGTERM), 0);
    made_done(&m);
}

static void a_stop_does_not_wait_for_ever_for_a_step(void)
{
    struct made m;
    fresh_world();
    struct process one = start_conductor("one", "conductor.shutdown_timeout_s=1",
                                         "conductor.step_budget_ms=600000", NULL);
    create(&m, "c", 1, "sim_hang_at_step=1,sim_hang_times=1");
    await_sql("SELECT count(*) > 0 FROM ledger", "t"); /* its first step is under way */
    CU_ASSERT_EQUAL(end_conductor(&one, SIGTERM), 0);  /* waits for it a minute */
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "coalesce(lease_owner, '')"), "");
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "host_failures"), "0"); /* it was us who killed it */
    struct process two = start_conductor("two", NULL);
    await(m.op.id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(node_files(m.c.uuid), 2);
    CU_ASSERT_EQUAL(end_conductor(&two, SIGTERM), 0);
    made_done(&m);
}

static void a_paused_conductor_touches_nothing_when_it_wakes(void)
{
    struct made m;
    char id[40];
    fresh_world();
    struct process one = start_conductor("one", "conductor.lease_ms=1500", NULL);
    create(&m, "c", 6, "sim_steps=1000,sim_step_ms=50");
    await_steps(m.op.id, "percent > 0");
    struct process two = start_conductor("two", "conductor.lease_ms=1500", NULL);
    /* on a slow machine it may have lost its lease to the other one by now */
    struct process *sleeper = await_owner(m.op.id, &one, &two);
    struct process *other = sleeper == &one ? &two : &one;
    CU_ASSERT_EQUAL_FATAL(kill(sleeper->pid, SIGSTOP), 0);
    exec("UPDATE cluster SET labels = '{\"sim_steps\": \"50\"}'"); /* the delete is shorter */
    request(m.c.uuid, "delete", NULL, id);
    await(id, OPS_SUCCEEDED); /* by the other one, once the lease has run out */
    CU_ASSERT_EQUAL(node_files(m.c.uuid), -1);
    _cleanup_free_ char *before = strdup(sql("SELECT count(*) FROM operation_event"));
    CU_ASSERT_EQUAL(kill(sleeper->pid, SIGCONT), 0);
    /* it proves to be awake by its work on something else */
    CU_ASSERT_EQUAL(end_conductor(other, SIGTERM), 0);
    struct made next;
    create(&next, "next", 1, "");
    await(next.op.id, OPS_SUCCEEDED);
    char query[200];
    snprintf(query, sizeof query, "SELECT count(*) FROM operation_event WHERE operation_id <> '%s'",
             next.op.id);
    CU_ASSERT_STRING_EQUAL(sql(query), before);
    CU_ASSERT_EQUAL(node_files(m.c.uuid), -1);
    CU_ASSERT_STRING_EQUAL(op_value(m.op.id, "status"), OPS_CANCELLED);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM ledger"), "2"); /* next's */
    CU_ASSERT_EQUAL(end_conductor(sleeper, SIGTERM), 0);
    made_done(&m);
    made_done(&next);
}

static void outage(int ms)
{
    CU_ASSERT_TRUE_FATAL(pg_kill(server));
    (void)poll(NULL, 0, ms);
    CU_ASSERT_TRUE_FATAL(pg_restart(server));
    db_close(&db);
    db = open_db(conninfo, 0, 0);
}

static void operations_go_on_after_the_database_was_down(void)
{
    struct made m;
    char id[40];
    fresh_world();
    struct process p = start_conductor("one", "conductor.lease_ms=2000", NULL);
    create(&m, "c", 6, "sim_steps=30,sim_step_ms=50");
    await_steps(m.op.id, "percent > 10");
    outage(3000); /* longer than the lease */
    await(m.op.id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(node_files(m.c.uuid), 7);
    request(m.c.uuid, "delete", NULL, id);
    outage(100);
    await(id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(node_files(m.c.uuid), -1);
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&m);
}

static void a_conductor_stops_without_its_database_too(void)
{
    struct made m;
    fresh_world();
    struct process p = start_conductor("one", "conductor.shutdown_timeout_s=1", NULL);
    create(&m, "c", 1, "sim_steps=100,sim_step_ms=100");
    await_steps(m.op.id, "percent > 2");
    CU_ASSERT_TRUE_FATAL(pg_kill(server));
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    CU_ASSERT_TRUE_FATAL(pg_restart(server));
    db_close(&db);
    db = open_db(conninfo, 0, 0);
    made_done(&m);
}

/* ---- many operations, many kills ---- */
enum { MANY = 24, KILLS = 10 };

static void nothing_is_lost_doubled_or_leaked_by_kills(void)
{
    struct made m[MANY];
    struct process p[2];
    char ids[MANY][40];
    unsigned seed = 7;
    fresh_world();
    for (int i = 0; i < 2; i++)
        p[i] = start_conductor(i ? "two" : "one", "conductor.lease_ms=1000", NULL);
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        create(&m[i], name, 1 + i % 4, "sim_steps=8,sim_step_ms=40");
    }
    for (int i = 0; i < KILLS; i++) {
        (void)poll(NULL, 0, 50 + rand_r(&seed) % 300);
        int k = rand_r(&seed) % 2;
        CU_ASSERT_EQUAL(end_conductor(&p[k], SIGKILL), -SIGKILL);
        p[k] = start_conductor(k ? "two" : "one", "conductor.lease_ms=1000", NULL);
        for (int c = i; c < MANY && i > 4; c += KILLS) /* some are deleted on the way */
            request(m[c].c.uuid, "delete", NULL, ids[c]);
    }
    for (int i = 0; i < MANY; i++) {
        bool deleted = i % KILLS > 4;
        if (deleted)
            await(ids[i], OPS_SUCCEEDED);
        else
            await(m[i].op.id, OPS_SUCCEEDED);
        CU_ASSERT_EQUAL(node_files(m[i].c.uuid), deleted ? -1 : 2 + i % 4);
    }
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE status NOT IN ('SUCCEEDED',"
                               " 'CANCELLED')"),
                           "0");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM ledger l WHERE state <> 'confirmed' OR NOT"
                               " EXISTS (SELECT FROM cluster c WHERE c.uuid = l.cluster_id)"),
                           "0");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM x509keypair k WHERE NOT EXISTS (SELECT FROM"
                               " cluster c WHERE k.uuid IN (c.ca_cert_ref, c.magnum_cert_ref,"
                               " c.etcd_ca_cert_ref, c.front_proxy_ca_cert_ref))"),
                           "0");
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(end_conductor(&p[i], SIGTERM), 0);
    for (int i = 0; i < MANY; i++)
        made_done(&m[i]);
}

/* ---- drivers that keep dying ---- */
static void a_driver_that_keeps_dying_is_quarantined_until_cleared(void)
{
    struct made bad[2], good;
    struct err e = ERR_INIT;
    fresh_world();
    struct process p =
        start_conductor("one", "conductor.backoff_max_ms=300", "drivers.quarantine_deaths=5", NULL);
    create(&bad[0], "bad", 1, "sim_crash_at_step=1,sim_crash_times=0");
    create(&bad[1], "worse", 1, "sim_crash_at_step=1,sim_crash_times=0");
    await_sql("SELECT count(*) FROM driver_quarantine", "1");
    create(&good, "good", 1, "");
    await(good.op.id, OPS_BLOCKED); /* it waits, it does not fail */
    CU_ASSERT_PTR_NOT_NULL(strstr(op_value(good.op.id, "reason"), "quarantined"));
    CU_ASSERT_PTR_NOT_NULL(strstr(op_value(good.op.id, "remedy"), "quarantine clear"));
    ASSERT_OK(db_driver_quarantine_clear(db, NULL, &e), &e);
    await(good.op.id, OPS_SUCCEEDED);
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&bad[0]);
    made_done(&bad[1]);
    made_done(&good);
}

/* While the quarantine is on its way into the database, others read there that there is none. */
static void a_quarantine_is_not_undone_by_older_knowledge(void)
{
    struct made bad[2], good;
    fresh_world();
    struct pg_hold *hold = pg_hold(conninfo, "LOCK TABLE driver_quarantine IN EXCLUSIVE MODE");
    CU_ASSERT_PTR_NOT_NULL_FATAL(hold);
    struct process p =
        start_conductor("one", "conductor.backoff_max_ms=300", "drivers.quarantine_deaths=5",
                        "conductor.heartbeat_ms=100", "database.statement_timeout_ms=600000", NULL);
    create(&bad[0], "bad", 1, "sim_crash_at_step=1,sim_crash_times=0");
    create(&bad[1], "worse", 1, "sim_crash_at_step=1,sim_crash_times=0");
    await_sql("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"
              " AND relation = 'driver_quarantine'::regclass",
              "t");
    (void)poll(NULL, 0, 500); /* time for whoever would do it wrong */
    create(&good, "good", 1, "");
    await(good.op.id, OPS_BLOCKED);
    pg_let_go(&hold);
    await_sql("SELECT count(*) FROM driver_quarantine", "1");
    CU_ASSERT_EQUAL(end_conductor(&p, SIGTERM), 0);
    made_done(&bad[0]);
    made_done(&bad[1]);
    made_done(&good);
}

TEST_MAIN("conductor_faults", conductors_setup, conductors_teardown,
          TEST(a_killed_conductor_is_replaced), TEST(a_stopping_conductor_hands_over_at_once),
          TEST(a_stop_does_not_wait_for_ever_for_a_step),
          TEST(a_paused_conductor_touches_nothing_when_it_wakes),
          TEST(operations_go_on_after_the_database_was_down),
          TEST(a_conductor_stops_without_its_database_too),
          TEST(nothing_is_lost_doubled_or_leaked_by_kills),
          TEST(a_driver_that_keeps_dying_is_quarantined_until_cleared),
          TEST(a_quarantine_is_not_undone_by_older_knowledge))
