/* Unit tests of healing's decision: which nodes are replaced, and what speaks against it. */
#include "conductor/heal_plan.h"

#include "base/cleanup.h"
#include "base/jsonx.h"
#include "support/cunit_main.h"

static const struct heal_limits limits = {
    .after_s = 300, .window_s = 3600, .max_nodes = 3, .max_percent = 50, .cool_down_s = 120};

#define N(name, group, age)                                                                        \
    "{\"node\":\"" name "\",\"nodegroup\":\"" group "\",\"node_count\":4,\"reason\":\"r\","        \
    "\"age_s\":" #age "}"
#define M(name, age)                                                                               \
    "{\"node\":\"" name "\",\"nodegroup\":\"m\",\"master\":true,\"node_count\":3,"                 \
    "\"reason\":\"r\",\"age_s\":" #age "}"
#define FACTS(status, busy, quiet, workers, replaced, sick)                                        \
    "{\"status\":\"" status "\",\"busy\":" busy ",\"quiet_s\":" quiet ",\"workers\":" workers      \
    ",\"masters\":3,\"replaced\":" replaced ",\"sick\":[" sick "]}"

/* The chosen nodes' names in a row. */
static void names(const struct heal_choice *h, char ret[100])
{
    size_t i;
    json_t *n;
    ret[0] = '\0';
    json_array_foreach(h->nodes, i, n) strncat(ret, jsonx_str(n, "node"), 20);
}

static void nodes_are_chosen(void)
{
    static const struct {
        const char *facts, *nodes, *group, *why; /* why: part of it */
    } rows[] = {
        {FACTS("CREATE_COMPLETE", "false", "999", "8", "0", ""), "", NULL, ""},
        {FACTS("CREATE_COMPLETE", "false", "999", "8", "0", N("a", "g", 299)), "", NULL,
         "not ready for 300 s"},
        {FACTS("CREATE_COMPLETE", "false", "999", "8", "0", N("a", "g", 300)), "a", "g",
         "1 of 8 worker nodes replaced"},
        {FACTS("UPDATE_COMPLETE", "false", "null", "8", "0", N("a", "g", 300)), "a", "g", ""},
        /* the others of its group too, another group later, the young ones not */
        {FACTS("UPDATE_COMPLETE", "false", "999", "8", "0",
               N("a", "g", 900) "," N("b", "h", 800) "," N("c", "g", 700) "," N("d", "g", 9)),
         "ac", "g", "2 of 8"},
        /* what is left of the limit */
        {FACTS("UPDATE_COMPLETE", "false", "999", "8", "2", N("a", "g", 900) "," N("c", "g", 700)),
         "a", "g", ""},
        {FACTS("UPDATE_COMPLETE", "false", "999", "8", "3", N("a", "g", 900)), "", NULL,
         "held back: 3 nodes were replaced within 3600 s"},
        /* an only worker may go; too many at once are somebody else's fault */
        {FACTS("UPDATE_COMPLETE", "false", "999", "1", "0", N("a", "g", 900)), "a", "g", ""},
        {FACTS("UPDATE_COMPLETE", "false", "999", "4", "0", N("a", "g", 900) "," N("b", "g", 9)),
         "a", "g", ""},
        {FACTS("UPDATE_COMPLETE", "false", "999", "3", "0", N("a", "g", 900) "," N("b", "g", 9)),
         "", NULL, "held back: 2 of 3 worker nodes are not ready, more than 50 %"},
        /* a master while the others are a majority; the workers' share does not count it */
        {FACTS("UPDATE_COMPLETE", "false", "999", "8", "0", M("x", 300)), "x", "m",
         "1 of 3 masters replaced: not ready for 300 s"},
        {FACTS("UPDATE_COMPLETE", "false", "999", "8", "0", M("x", 299)), "", NULL,
         "not ready for 300 s"},
        {FACTS("UPDATE_COMPLETE", "false", "999", "3", "0", M("x", 900) "," N("a", "g", 800)), "x",
         "m", "1 of 3 masters"},
        {FACTS("UPDATE_COMPLETE", "false", "999", "3", "0", N("a", "g", 900) "," M("x", 800)), "a",
         "g", "1 of 3 worker nodes"},
        {FACTS("UPDATE_COMPLETE", "false", "999", "8", "0", M("x", 900) "," M("y", 9)), "", NULL,
         "held back: 2 of 3 masters are not well, the others are no majority"},
        {FACTS("UPDATE_COMPLETE", "false", "999", "8", "0",
               N("a", "g", 900) "," M("x", 900) "," M("y", 9) "," M("z", 9)),
         "", NULL, "held back: 3 of 3 masters"},
        {FACTS("UPDATE_COMPLETE", "false", "999", "8", "3", M("x", 900)), "", NULL,
         "held back: 3 nodes were replaced"},
        {FACTS("UPDATE_FAILED", "false", "999", "8", "0", N("a", "g", 900)), "", NULL,
         "held back: the cluster is UPDATE_FAILED"},
        {FACTS("UPDATE_IN_PROGRESS", "true", "999", "8", "0", N("a", "g", 900)), "", NULL,
         "operation under way"},
        {FACTS("CREATE_COMPLETE", "true", "999", "8", "0", N("a", "g", 900)), "", NULL,
         "operation under way"},
        {FACTS("CREATE_COMPLETE", "false", "119", "8", "0", N("a", "g", 900)), "", NULL,
         "waits for 120 s"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct heal_choice h;
        char got[100];
        _cleanup_json_ json_t *facts = json_loads(rows[i].facts, 0, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(facts);
        heal_choose(&limits, facts, &h);
        names(&h, got);
        bool good = strcmp(got, rows[i].nodes) == 0 && strstr(h.why, rows[i].why) &&
                    (rows[i].group == NULL || strcmp(h.nodegroup, rows[i].group) == 0);
        if (!good)
            fprintf(stderr, "%s: '%s', %s\n", rows[i].facts, got, h.why);
        CU_ASSERT(good);
        CU_ASSERT_EQUAL(h.nodes != NULL, rows[i].nodes[0] != '\0');
        heal_choice_done(&h);
    }
}

/* Two of five: enough are left, and still only one goes at a time. */
static void masters_go_one_by_one(void)
{
    struct heal_choice h;
    char got[100];
    _cleanup_json_ json_t *facts = json_loads(
        FACTS("UPDATE_COMPLETE", "false", "999", "8", "0", M("x", 900) "," M("y", 800)), 0, NULL);
    CU_ASSERT_EQUAL(json_object_set_new(facts, "masters", json_integer(5)), 0);
    heal_choose(&limits, facts, &h);
    names(&h, got);
    CU_ASSERT_STRING_EQUAL(got, "x");
    heal_choice_done(&h);
    /* an only master is all there is */
    CU_ASSERT_EQUAL(json_object_set_new(facts, "masters", json_integer(1)), 0);
    CU_ASSERT_EQUAL(json_array_remove(json_object_get(facts, "sick"), 1), 0);
    heal_choose(&limits, facts, &h);
    CU_ASSERT_PTR_NULL(h.nodes);
    CU_ASSERT_PTR_NOT_NULL(strstr(h.why, "1 of 1 masters"));
    heal_choice_done(&h);
}

static void it_can_be_turned_off(void)
{
    struct heal_limits never = limits;
    struct heal_choice h;
    _cleanup_json_ json_t *facts =
        json_loads(FACTS("UPDATE_COMPLETE", "false", "999", "8", "0", N("a", "g", 900)), 0, NULL);
    never.max_nodes = 0;
    heal_choose(&never, facts, &h);
    CU_ASSERT_PTR_NULL(h.nodes);
    CU_ASSERT_PTR_NOT_NULL(strstr(h.why, "heal_max_nodes"));
}

static void the_label_decides(void)
{
    static const struct {
        const char *labels;
        int wanted;
    } rows[] = {
        {"{}", 0},
        {"{\"auto_healing_enabled\":\"True\"}", 1},
        {"{\"auto_healing_enabled\":true}", 1},
        {"{\"auto_healing_enabled\":\"off\"}", 0},
        {"{\"auto_healing_enabled\":\"maybe\"}", 0},
        {"{\"auto_healing_enabled\":\"yes\",\"auto_healing_controller\":\"draino\"}", 1},
        {"{\"auto_healing_enabled\":\"yes\",\"auto_healing_controller\":\"magnum-auto-healer\"}",
         0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_json_ json_t *labels = json_loads(rows[i].labels, 0, NULL);
        CU_ASSERT_EQUAL(heal_wanted(labels), rows[i].wanted);
    }
    CU_ASSERT_EQUAL(heal_wanted(NULL), 0);
}

TEST_MAIN("heal_plan", NULL, NULL, TEST(nodes_are_chosen), TEST(masters_go_one_by_one),
          TEST(it_can_be_turned_off), TEST(the_label_decides))
