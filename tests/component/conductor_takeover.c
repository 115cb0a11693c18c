/* What a conductor held that died or slept: given back as soon as its leases have run out, by
 * whoever notices, and carried on by whoever can, also when that one has few places. Real
 * processes; see conductor_fixture.h. */
#include "component/conductor_fixture.h"

#include <signal.h>

enum { MANY = 12, PLACES = 3, FEW = 4 };

static void create_some(struct made *m, int n, const char *labels)
{
    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        create(&m[i], name, 1, labels);
    }
}

static void await_count(const char *condition, int n)
{
    char query[300], answer[16];
    snprintf(query, sizeof query, "SELECT count(*) FROM operation WHERE %s", condition);
    snprintf(answer, sizeof answer, "%d", n);
    await_sql(query, answer);
}

/* lease_owner = ... of a conductor that is up. */
static void held_by(const struct process *p, char ret[100])
{
    char query[120];
    snprintf(query, sizeof query, "SELECT instance FROM magnum_service WHERE host = '%s'", p->host);
    snprintf(ret, 100, "lease_owner = '%s'", sql(query));
}

/* Their steps are short of each other: each keeps its place between two of them, unless somebody
 * waits for it. */
static void more_than_the_heir_has_places_for_goes_on(void)
{
    struct made m[MANY];
    char by_victim[100], places[40];
    fresh_world();
    snprintf(places, sizeof places, "conductor.held=%d", PLACES);
    struct process victim = start_conductor("victim", "conductor.lease_ms=1500", NULL);
    create_some(m, MANY, "sim_steps=1000,sim_step_ms=300");
    held_by(&victim, by_victim);
    await_count(by_victim, MANY);
    struct process heir = start_conductor("heir", "conductor.lease_ms=1500", places, NULL);
    CU_ASSERT_EQUAL(end_conductor(&victim, SIGKILL), -SIGKILL);
    await_count(by_victim, 0);
    char query[200];
    snprintf(query, sizeof query,
             "SELECT count(*) <= %d FROM operation WHERE lease_owner IS NOT NULL", PLACES);
    CU_ASSERT_STRING_EQUAL(sql(query), "t");
    await_count("lease_fence >= 2 AND steps > 0", MANY); /* every one, not the first few */
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE status <> 'RUNNING'"), "0");
    CU_ASSERT_EQUAL(end_conductor(&heir, SIGTERM), 0);
    for (int i = 0; i < MANY; i++)
        made_done(&m[i]);
}

/* Nobody else can carry on here: the one that notices has no drivers. So the sleeper comes back to
 * leases that are over but not taken, and must begin anew like anybody else. */
static void a_sleeper_has_no_right_to_what_nobody_took(void)
{
    struct made m[FEW];
    char by_sleeper[100], none[100];
    fresh_world();
    struct process sleeper = start_conductor("sleeper", "conductor.lease_ms=1500", NULL);
    snprintf(none, sizeof none, "drivers.plugin_dirs=%s/state", dir);
    struct process watcher = start_conductor("watcher", none, NULL);
    create_some(m, FEW, "sim_steps=60,sim_step_ms=100");
    held_by(&sleeper, by_sleeper);
    await_count(by_sleeper, FEW);
    CU_ASSERT_EQUAL_FATAL(kill(sleeper.pid, SIGSTOP), 0);
    await_count("lease_owner IS NULL AND lease_fence >= 1 AND status = 'RUNNING'", FEW);
    exec("CREATE TABLE slept AS SELECT id, lease_fence FROM operation");
    CU_ASSERT_EQUAL(kill(sleeper.pid, SIGCONT), 0);
    for (int i = 0; i < FEW; i++)
        await(m[i].op.id, OPS_SUCCEEDED);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation o JOIN slept s ON s.id = o.id"
                               " WHERE o.lease_fence <= s.lease_fence"),
                           "0");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation_event WHERE code = 'succeeded'"),
                           "4");
    for (int i = 0; i < FEW; i++)
        CU_ASSERT_EQUAL(node_files(m[i].c.uuid), 2);
    _cleanup_free_ char *said = conductor_log(&watcher);
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "leases.expired"));
    CU_ASSERT_EQUAL(end_conductor(&sleeper, SIGTERM), 0);
    CU_ASSERT_EQUAL(end_conductor(&watcher, SIGTERM), 0);
    for (int i = 0; i < FEW; i++)
        made_done(&m[i]);
}

TEST_MAIN("conductor_takeover", conductors_setup, conductors_teardown,
          TEST(more_than_the_heir_has_places_for_goes_on),
          TEST(a_sleeper_has_no_right_to_what_nobody_took))
