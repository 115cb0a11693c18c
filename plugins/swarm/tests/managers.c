/* Managers that leave a cluster of Heat's: what is asked of the swarm, what is waited for, and what
 * is taken off its list afterwards. The managers' answers are scripted. */
#include "../heat_swarm.h"
#include "support/scripted_api.h"

static mag_error err = {.struct_size = sizeof err};
static mag_step out = {.struct_size = sizeof out};

static int32_t checkpoint(void *ctx, const mag_op *op, mag_bytes state, mag_error *e)
{
    (void)ctx;
    (void)op;
    (void)state;
    (void)e;
    return MAG_OK;
}

static void keep_quiet(void *ctx, uint32_t level, const char *line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

static const mag_host host = {
    .struct_size = sizeof host, .http = scripted_http, .checkpoint = checkpoint, .log = keep_quiet};
static const mag_op op = {.struct_size = sizeof op, .op_id = "o1", .budget_ms = 30000};
static struct mag_instance self = {.host = &host, .services = {.host = &host}};
static struct mag_call call = {.self = &self, .op = &op, .out = &out, .err = &err};
static const struct mag_coe coe = {.masters_resize = true};
static struct mag_coe_run run;

/* Another operation, for so many managers, that waits for so long. */
static void begin(int managers, const char *seconds)
{
    json_decref((json_t *)(uintptr_t)call.spec);
    json_decref(run.set.state);
    call.spec =
        json_pack("{s:{s:{s:s}}, s:[{s:s, s:i}]}", "cluster", "labels", "drain_timeout_seconds",
                  seconds, "nodegroups", "role", "master", "node_count", managers);
    run = (struct mag_coe_run){.c = &call, .coe = &coe};
    run.set = (struct mag_heat_set){.services = &self.services, .op = &op};
    run.set.state = json_pack("{s:{}}", "plan");
    CU_ASSERT_FATAL(call.spec && run.set.state);
}

typedef int32_t (*nodes_fn)(struct mag_coe_run *r, const json_t *nodes);

static int32_t step(nodes_fn fn, int first, int last)
{
    _mag_json_ json_t *nodes = json_array();
    char name[16];
    for (int i = first; i <= last; i++) {
        snprintf(name, sizeof name, "m-%d", i);
        (void)json_array_append_new(nodes, json_pack("{s:i, s:s}", "n", i, "name", name));
    }
    err = (mag_error){.struct_size = sizeof err};
    return fn(&run, nodes);
}

#define SPEC(role, availability)                                                                   \
    "\"Version\":{\"Index\":1},\"Spec\":{\"Role\":\"" role "\",\"Availability\":\"" availability   \
    "\"}"
#define NODE(id, host, spec, state, more)                                                          \
    "{\"ID\":\"" id "\",\"Description\":{\"Hostname\":\"" host                                     \
    "\"},\"Status\":{\"State\":\"" state "\"}," spec more "}"
#define ACTIVE SPEC("manager", "active")
#define DRAINED SPEC("worker", "drain")
#define REACHED ",\"ManagerStatus\":{\"Reachability\":\"reachable\"}"
#define UP(n) NODE("i" n, "m-" n, ACTIVE, "ready", REACHED)
#define NODES "/v1.41/nodes"
#define THREE "[" UP("0") "," UP("1") "," UP("2") "]"

/* The label says not to wait: they are asked all the same, and then their servers go. */
static void who_may_not_be_waited_for_goes_when_asked(void)
{
    begin(3, "0");
    PLAY({"GET", NODES, NULL, 200, THREE}, {"GET", NODES "/i1", NULL, 200, UP("1")},
         {"POST", NODES "/i1/update?version=1", "\"Role\":\"worker\"", 200, ""});
    CU_ASSERT_EQUAL(step(heat_managers_leave, 1, 1), MAG_OK);
    CU_ASSERT_EQUAL(left, 0);
}

/* Nobody is asked when the rest would be no majority, nor when nobody knows. */
static void without_a_majority_nobody_is_asked(void)
{
    begin(3, "0");
    PLAY({"GET", NODES, NULL, 200,
          "[" UP("0") "," UP("1") "," NODE(
              "i2", "m-2", ACTIVE, "down",
              ",\"ManagerStatus\":{\"Reachability\":\"unreachable\"}") "]"},
         {"GET", NODES, NULL, 0, NULL});
    CU_ASSERT_EQUAL(step(heat_managers_leave, 1, 1), MAG_E_INVALID);
    CU_ASSERT_STRING_EQUAL(err.reason, "QuorumWouldBeLost");
    CU_ASSERT_EQUAL(step(heat_managers_leave, 1, 1), MAG_E_INVALID);
    CU_ASSERT_STRING_EQUAL(err.reason, "QuorumUnknown");
    CU_ASSERT_EQUAL(left, 0);
}

/* One was demoted by an operation that failed then: this one goes on with it. */
static void what_was_asked_before_counts(void)
{
    begin(3, "60");
    PLAY({"GET", NODES, NULL, 200,
          "[" UP("0") "," NODE("i1", "m-1", DRAINED, "ready", "") "," UP("2") "]"},
         {"DELETE", NODES "/i1?force=true", NULL, 200, ""},
         {"GET", NODES, NULL, 200, "[" UP("0") "," UP("2") "]"});
    CU_ASSERT_EQUAL(step(heat_managers_leave, 1, 1), MAG_AGAIN);
    CU_ASSERT_EQUAL(step(heat_managers_leave, 1, 1), MAG_OK);
    CU_ASSERT_EQUAL(left, 0);
}

/* Of five three stay. One of the others could not be taken off the list in time. */
static void nothing_stays_of_those_that_have_no_successor(void)
{
    begin(3, "60");
    PLAY({"GET", NODES, NULL, 200,
          "[" UP("0") "," NODE("i3", "m-3", DRAINED, "down", "") "," NODE("i4", "m-4", DRAINED,
                                                                          "ready", "") "]"},
         {"DELETE", NODES "/i3?force=true", NULL, 200, ""},
         {"DELETE", NODES "/i4?force=true", NULL, 200, ""}, {"GET", NODES, NULL, 200, THREE});
    CU_ASSERT_EQUAL(step(heat_managers_left, 3, 4), MAG_AGAIN);
    CU_ASSERT_EQUAL(step(heat_managers_left, 3, 4), MAG_OK);
    CU_ASSERT_EQUAL(left, 0);
}

/* A successor has the name too, and stays. */
static void of_two_lives_the_former_goes(void)
{
    begin(3, "60");
    PLAY({"GET", NODES, NULL, 200,
          "[" NODE("old", "m-1", DRAINED, "down", "") "," UP("0") "," UP("1") "," UP("2") "]"},
         {"DELETE", NODES "/old?force=true", NULL, 200, ""}, {"GET", NODES, NULL, 200, THREE});
    CU_ASSERT_EQUAL(step(heat_managers_left, 1, 1), MAG_AGAIN);
    CU_ASSERT_EQUAL(step(heat_managers_left, 1, 1), MAG_OK);
    CU_ASSERT_EQUAL(left, 0);
    begin(0, "0"); /* the last of them is given back */
    json_decref((json_t *)(uintptr_t)call.spec);
    json_decref(run.set.state);
    call.spec = run.set.state = NULL;
}

TEST_MAIN("swarm_managers", NULL, NULL, TEST(who_may_not_be_waited_for_goes_when_asked),
          TEST(without_a_majority_nobody_is_asked), TEST(what_was_asked_before_counts),
          TEST(nothing_stays_of_those_that_have_no_successor), TEST(of_two_lives_the_former_goes))
