/* Which nodes come and which go: the list of nodes that local drivers keep. */
#include "lib/local/roster.h"
#include "support/cunit_main.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#define M "11111111-1111-4111-8111-111111111111"
#define W "22222222-2222-4222-8222-222222222222"
#define X "33333333-3333-4333-8333-333333333333"

static mag_error err = {.struct_size = sizeof err};

static json_t *spec(int masters, int workers, int extra)
{
    json_t *j = json_pack("{s:[{s:s,s:s,s:s,s:i,s:b}, {s:s,s:s,s:s,s:i,s:b}]}", "nodegroups",
                          "uuid", M, "name", "default-master", "role", "master", "node_count",
                          masters, "is_default", 1, "uuid", W, "name", "default-worker", "role",
                          "worker", "node_count", workers, "is_default", 1);
    if (extra >= 0)
        json_array_append_new(json_object_get(j, "nodegroups"),
                              json_pack("{s:s,s:s,s:s,s:i}", "uuid", X, "name", "GPU nodes", "role",
                                        "worker", "node_count", extra));
    return j;
}

static int32_t plan(struct mag_roster *st, json_t *wanted, const char *gone, const char *remove,
                    bool *changed)
{
    struct mag_roster_group g[MAG_ROSTER_GROUPS_MAX];
    size_t n;
    _mag_json_ json_t *list = remove ? json_loads(remove, 0, NULL) : NULL;
    int32_t rc = mag_roster_groups(wanted, gone, g, &n, &err);
    if (rc == MAG_OK)
        rc = mag_roster_plan(st, "My Cluster", g, n, list, changed, &err);
    json_decref(wanted);
    return rc;
}

static size_t staying(const struct mag_roster *st)
{
    size_t n = 0;
    for (size_t i = 0; i < st->n; i++)
        n += !st->v[i].leaving;
    return n;
}

static void drop_leaving(struct mag_roster *st)
{
    for (size_t i = st->n; i-- > 0;)
        if (st->v[i].leaving)
            mag_roster_drop(st, st->v[i].index);
}

static void test_allocate(void)
{
    struct mag_roster st = {0};
    bool changed;
    CU_ASSERT_EQUAL(plan(&st, spec(1, 2, 1), NULL, NULL, &changed), MAG_OK);
    CU_ASSERT(changed);
    CU_ASSERT_EQUAL_FATAL(st.n, 4);
    CU_ASSERT_STRING_EQUAL(st.v[0].name, "my-cluster-master-1");
    CU_ASSERT_STRING_EQUAL(st.v[2].name, "my-cluster-worker-3");
    CU_ASSERT_STRING_EQUAL(st.v[3].name, "my-cluster-gpu-nodes-4");
    CU_ASSERT(st.v[0].master && !st.v[1].master);
    CU_ASSERT_PTR_EQUAL(mag_roster_first_master(&st), &st.v[0]);
    CU_ASSERT_EQUAL(plan(&st, spec(1, 2, 1), NULL, NULL, &changed), MAG_OK);
    CU_ASSERT(!changed);
    mag_roster_done(&st);
}

static void test_newest_goes_first(void)
{
    struct mag_roster st = {0};
    bool changed;
    CU_ASSERT_EQUAL(plan(&st, spec(1, 3, -1), NULL, NULL, &changed), MAG_OK);
    CU_ASSERT_EQUAL(plan(&st, spec(1, 1, -1), NULL, NULL, &changed), MAG_OK);
    CU_ASSERT(changed && st.v[3].leaving && st.v[2].leaving && !st.v[1].leaving);
    /* Asked for again before they went: those that leave are not called back. */
    CU_ASSERT_EQUAL(plan(&st, spec(1, 2, -1), NULL, NULL, &changed), MAG_OK);
    CU_ASSERT_EQUAL(st.n, 5);
    CU_ASSERT_EQUAL(st.v[4].index, 5);
    CU_ASSERT_EQUAL(staying(&st), 3);
    mag_roster_done(&st);
}

static void test_named_nodes(void)
{
    struct mag_roster st = {0};
    bool changed;
    CU_ASSERT_EQUAL(plan(&st, spec(1, 4, -1), NULL, NULL, &changed), MAG_OK);
    const char *remove = "[\"my-cluster-worker-2\", \"10.77.0.13\", \"4\", \"nobody\", 7]";
    CU_ASSERT_EQUAL(plan(&st, spec(1, 1, -1), NULL, remove, &changed), MAG_OK);
    CU_ASSERT(st.v[1].leaving && st.v[2].leaving && st.v[3].leaving && !st.v[4].leaving);
    drop_leaving(&st);
    CU_ASSERT_EQUAL(plan(&st, spec(1, 1, -1), NULL, remove, &changed), MAG_OK);
    CU_ASSERT(!changed); /* the same step once more does nothing */
    mag_roster_done(&st);
}

/* Masters are named only where the driver says so, and in the group that is meant. */
static void test_named_masters(void)
{
    static const struct {
        const char *meant;
        bool by_name, goes;
    } rows[] = {{NULL, false, false},
                {M, false, false},
                {NULL, true, true},
                {M, true, true},
                {W, true, false}};
    for (size_t i = 0; i < MAG_LEN(rows); i++) {
        struct mag_roster st = {0};
        struct mag_roster_group g[MAG_ROSTER_GROUPS_MAX];
        size_t n;
        bool changed;
        _mag_json_ json_t *wanted = spec(3, 1, -1), *list = json_pack("[s]", "my-cluster-master-2");
        CU_ASSERT_EQUAL(plan(&st, json_incref(wanted), NULL, NULL, &changed), MAG_OK);
        if (rows[i].meant)
            (void)json_object_set_new(wanted, "params",
                                      json_pack("{s:s}", "nodegroup", rows[i].meant));
        CU_ASSERT_EQUAL(mag_roster_groups(wanted, NULL, g, &n, &err), MAG_OK);
        if (rows[i].by_name)
            mag_roster_masters_by_name(g, n, wanted);
        CU_ASSERT_EQUAL(mag_roster_plan(&st, "My Cluster", g, n, list, &changed, &err), MAG_OK);
        CU_ASSERT_EQUAL(st.v[1].leaving, rows[i].goes);
        CU_ASSERT_EQUAL(st.n, rows[i].goes ? 5 : 4);
        if (rows[i].goes)
            CU_ASSERT(st.v[4].master && strcmp(st.v[4].name, "my-cluster-master-5") == 0);
        mag_roster_done(&st);
    }
}

/* More named than the count asks for: they go, new ones come, and the repeated step does not take
 * the new ones for the old, even when all indexes are used up once. */
static void test_named_and_replaced(void)
{
    struct mag_roster st = {.last_index = 199};
    bool changed;
    CU_ASSERT_EQUAL(plan(&st, spec(1, 1, -1), NULL, NULL, &changed), MAG_OK);
    CU_ASSERT_EQUAL_FATAL(st.n, 2);
    CU_ASSERT_EQUAL(st.v[0].index, 200);
    CU_ASSERT_EQUAL(st.v[1].index, 1);
    st.last_index = 200;
    const char *remove = "[\"1\"]";
    CU_ASSERT_EQUAL(plan(&st, spec(1, 1, -1), NULL, remove, &changed), MAG_OK);
    drop_leaving(&st);
    CU_ASSERT_EQUAL_FATAL(st.n, 2);
    CU_ASSERT_EQUAL(st.v[1].index, 2);
    CU_ASSERT_EQUAL(plan(&st, spec(1, 1, -1), NULL, remove, &changed), MAG_OK);
    CU_ASSERT(!changed);
    mag_roster_done(&st);
}

static void test_groups_go(void)
{
    struct mag_roster st = {0};
    bool changed;
    CU_ASSERT_EQUAL(plan(&st, spec(1, 1, 2), NULL, NULL, &changed), MAG_OK);
    CU_ASSERT_EQUAL(plan(&st, spec(1, 1, 2), X, NULL, &changed), MAG_OK); /* its removal asked */
    CU_ASSERT_EQUAL(staying(&st), 2);
    drop_leaving(&st);
    CU_ASSERT_EQUAL(plan(&st, spec(1, 1, 1), NULL, NULL, &changed), MAG_OK);
    CU_ASSERT_EQUAL(plan(&st, spec(1, 1, -1), NULL, NULL, &changed), MAG_OK); /* not in the spec */
    CU_ASSERT_EQUAL(staying(&st), 2);
    mag_roster_done(&st);
}

static void test_counts(void)
{
    static const struct {
        int masters, workers;
        bool good;
    } cases[] = {{0, 1, false},  {1, 0, true},   {2, 1, false},      {3, 0, true},
                 {4, 0, false},  {7, 193, true}, {9, 0, false},      {1, 200, false},
                 {1, -1, false}, {1, 199, true}, {1, 1 << 30, false}};
    for (size_t i = 0; i < MAG_LEN(cases); i++) {
        struct mag_roster st = {0};
        bool changed;
        int32_t rc = plan(&st, spec(cases[i].masters, cases[i].workers, -1), NULL, NULL, &changed);
        CU_ASSERT_EQUAL(rc, cases[i].good ? MAG_OK : MAG_E_INVALID);
        CU_ASSERT(cases[i].good || (err.reason[0] && err.message[0]));
        mag_roster_done(&st);
    }
}

static void test_store(void)
{
    struct mag_roster st = {.rev = 7, .machine = "m", .host = "h"}, again;
    st.facts = json_pack("{s:b}", "made", 1);
    bool changed;
    CU_ASSERT_EQUAL(plan(&st, spec(3, 197, -1), NULL, NULL, &changed), MAG_OK);
    st.v[5].leaving = true;
    st.v[5].drain_ms = 1234567890123;
    _mag_json_ json_t *j = mag_roster_write(&st);
    _mag_free_ char *text = mag_json_dump(j);
    CU_ASSERT(text && strlen(text) < 65536); /* what the host stores at most */
    CU_ASSERT_EQUAL_FATAL(mag_roster_read(j, &again, &err), MAG_OK);
    CU_ASSERT_EQUAL(again.n, 200);
    CU_ASSERT_EQUAL(again.rev, 7);
    CU_ASSERT(mag_json_bool(again.facts, "made", false) && again.v[0].master && again.v[5].leaving);
    CU_ASSERT_EQUAL(again.v[5].drain_ms, 1234567890123);
    CU_ASSERT_STRING_EQUAL(again.v[199].name, st.v[199].name);
    CU_ASSERT_STRING_EQUAL(again.machine, "m");
    mag_roster_done(&again);
    mag_roster_done(&st);
}

static void test_hostile_store(void)
{
    static const char *const texts[] = {
        "[]",
        "{\"nodes\": 1}",
        "{\"nodes\": [1, null, {}]}",
        "{\"rev\": \"x\", \"last\": -9}",
        "{\"nodes\": [{\"i\": 0}, {\"i\": 201}, {\"i\": -1}, {\"i\": 99999999999}]}",
        "{\"nodes\": [{\"i\": 1, \"ng\": \"much longer than any uuid that was ever written\"}]}"};
    for (size_t i = 0; i < MAG_LEN(texts); i++) {
        struct mag_roster st;
        _mag_json_ json_t *j = json_loads(texts[i], 0, NULL);
        CU_ASSERT_EQUAL_FATAL(mag_roster_read(j, &st, &err), MAG_OK);
        CU_ASSERT_EQUAL(st.n, 0);
        CU_ASSERT(st.last_index <= 200);
        mag_roster_done(&st);
    }
    struct mag_roster st;
    _mag_json_ json_t *twice = json_loads("{\"nodes\": [{\"i\": 3}, {\"i\": 3}]}", 0, NULL);
    CU_ASSERT_EQUAL(mag_roster_read(twice, &st, &err), MAG_OK);
    CU_ASSERT_EQUAL(st.n, 1);
    mag_roster_done(&st);
}

TEST_MAIN("roster", NULL, NULL, TEST(test_allocate), TEST(test_newest_goes_first),
          TEST(test_named_nodes), TEST(test_named_masters), TEST(test_named_and_replaced),
          TEST(test_groups_go), TEST(test_counts), TEST(test_store), TEST(test_hostile_store))
