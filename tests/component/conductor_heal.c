/* Healing by real conductors with the simulator: a worker whose file says that it is not ready is
 * replaced by an ordinary resize, within the limits; nothing happens without the label, and a
 * restarted conductor goes on counting. */
#include "component/conductor_fixture.h"

#include "base/jsonx.h"

#include <signal.h>
#include <unistd.h>

#define FAST "conductor.health_interval_s=1", "conductor.health_interval_unwell_s=1"

/* The default worker group's uuid; static memory. */
static const char *group_of(const char *cluster)
{
    static char uuid[40];
    char query[200];
    snprintf(query, sizeof query,
             "SELECT uuid FROM nodegroup WHERE cluster_id = '%s' AND role = 'worker'", cluster);
    snprintf(uuid, sizeof uuid, "%s", sql(query));
    return uuid;
}

static void node_path(const char *cluster, int index, char path[400])
{
    snprintf(path, 400, "%s/state/mag-%s/mag-%s-%d.json", dir, cluster, group_of(cluster), index);
}

static void make_ill(const char *cluster, int index)
{
    char path[400];
    node_path(cluster, index, path);
    json_t *doc = json_load_file(path, 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(doc);
    CU_ASSERT_EQUAL(json_object_set_new(doc, "ready", json_false()), 0);
    CU_ASSERT_EQUAL(json_dump_file(doc, path, 0), 0);
    json_decref(doc);
}

static bool there(const char *cluster, int index)
{
    char path[400];
    node_path(cluster, index, path);
    return access(path, F_OK) == 0;
}

static void an_ill_node_is_replaced(void)
{
    struct made m;
    fresh_world();
    struct process p = start_conductor("one", FAST, "conductor.heal_after_s=1",
                                       "conductor.heal_cool_down_s=0", NULL);
    create(&m, "ill", 3, "sim_steps=1,auto_healing_enabled=true");
    await(m.op.id, OPS_SUCCEEDED);
    await_sql("SELECT health_status FROM cluster", "HEALTHY");
    make_ill(m.c.uuid, 1);
    await_sql("SELECT count(*) FROM operation WHERE kind = 'scale' AND status = 'SUCCEEDED'", "1");
    CU_ASSERT(!there(m.c.uuid, 1) && there(m.c.uuid, 0) && there(m.c.uuid, 2) &&
              there(m.c.uuid, 3));
    char name[120];
    snprintf(name, sizeof name, "mag-%s-1", group_of(m.c.uuid));
    CU_ASSERT_STRING_EQUAL(sql("SELECT spec->'params'->'nodes_to_remove'->>0 FROM operation"
                               " WHERE kind = 'scale'"),
                           name);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation_event WHERE code = 'healing'"
                               " AND message LIKE 'healing: %-1 (not ready for % s: as its file"
                               " says)'"),
                           "1");
    CU_ASSERT_STRING_EQUAL(sql("SELECT node_count FROM nodegroup WHERE role = 'worker'"), "3");
    await_sql("SELECT health_status FROM cluster", "HEALTHY");
    await_sql("SELECT status FROM cluster", "UPDATE_COMPLETE");
    await_sql("SELECT count(*) FROM sick_node", "0");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE kind = 'scale'"), "1");
    end_conductor(&p, SIGTERM);
    made_done(&m);
}

static const char reason_sql[] = "SELECT coalesce(health_status_reason->>'auto_healing', '')"
                                 " FROM cluster";

static void limits_hold_it_back(void)
{
    struct made m;
    fresh_world();
    struct process p =
        start_conductor("one", FAST, "conductor.heal_after_s=1", "conductor.heal_cool_down_s=0",
                        "conductor.heal_max_nodes=1", NULL);
    create(&m, "many", 3, "sim_steps=1,auto_healing_enabled=true");
    await(m.op.id, OPS_SUCCEEDED);
    await_sql("SELECT health_status FROM cluster", "HEALTHY");
    /* two of three at once: the fault is elsewhere */
    exec("UPDATE observation SET due_at = now() + interval '1 hour'");
    make_ill(m.c.uuid, 0);
    make_ill(m.c.uuid, 1);
    exec("UPDATE observation SET due_at = now()");
    await_sql(reason_sql, "held back: 2 of 3 worker nodes are not ready, more than 50 %");
    /* one comes back by itself: the other is replaced, and that was all for this hour */
    char path[400];
    node_path(m.c.uuid, 0, path);
    json_t *doc = json_load_file(path, 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(doc);
    (void)json_object_del(doc, "ready");
    CU_ASSERT_EQUAL(json_dump_file(doc, path, 0), 0);
    json_decref(doc);
    await_sql("SELECT count(*) FROM operation WHERE kind = 'scale' AND status = 'SUCCEEDED'", "1");
    CU_ASSERT(there(m.c.uuid, 0) && !there(m.c.uuid, 1) && there(m.c.uuid, 3));
    make_ill(m.c.uuid, 2);
    await_sql(reason_sql, "held back: 1 nodes were replaced within 3600 s, the limit");
    /* another conductor knows it too */
    end_conductor(&p, SIGKILL);
    exec("UPDATE cluster SET health_status_reason = '{}'");
    p = start_conductor("two", FAST, "conductor.heal_after_s=1", "conductor.heal_cool_down_s=0",
                        "conductor.heal_max_nodes=1", NULL);
    await_sql(reason_sql, "held back: 1 nodes were replaced within 3600 s, the limit");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE kind = 'scale'"), "1");
    CU_ASSERT(there(m.c.uuid, 2));
    end_conductor(&p, SIGTERM);
    made_done(&m);
}

static void only_who_asks_is_healed(void)
{
    struct made plain, agent;
    fresh_world();
    struct process p = start_conductor("one", FAST, "conductor.heal_after_s=1",
                                       "conductor.heal_cool_down_s=0", NULL);
    create(&plain, "plain", 2, "sim_steps=1");
    create(&agent, "lying", 2, "sim_steps=1,auto_healing_enabled=true,sim_health=UNKNOWN");
    await(plain.op.id, OPS_SUCCEEDED);
    await(agent.op.id, OPS_SUCCEEDED);
    make_ill(plain.c.uuid, 0);
    make_ill(agent.c.uuid, 0); /* a look that can't tell gives no list */
    await_sql("SELECT count(*) FROM cluster WHERE health_status IN ('UNHEALTHY', 'UNKNOWN')", "2");
    exec("CREATE TABLE looks (n int)");
    exec("CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
         " INSERT INTO looks VALUES (1); RETURN new; END $$");
    exec("CREATE TRIGGER note AFTER UPDATE ON observation FOR EACH ROW"
         " WHEN (old.lease_owner IS NOT NULL AND new.lease_owner IS NULL) EXECUTE FUNCTION note()");
    await_sql("SELECT count(*) >= 8 FROM looks", "t");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE kind = 'scale'"), "0");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM sick_node"), "0");
    CU_ASSERT(there(plain.c.uuid, 0) && there(agent.c.uuid, 0));
    end_conductor(&p, SIGTERM);
    made_done(&plain);
    made_done(&agent);
}

TEST_MAIN("conductor_heal", conductors_setup, conductors_teardown, TEST(an_ill_node_is_replaced),
          TEST(limits_hold_it_back), TEST(only_who_asks_is_healed))
