/* The plugin's process is killed after each upcall that changes something, and at points in time in
 * between; a new process goes on. In the end there are exactly the nodes that were asked for, and
 * after a delete that is killed the same way there is nothing.
 * By default every few upcalls; MAGNUM_TEST_FULL=1 in the environment: after each one.
 * Neighbours: local_swarm_host, local_swarm_look. */
#include "support/cunit_main.h"
#include "system/local_swarm_look.h"

#include "lib/cleanup.h"
#include "lib/json.h"

#include <unistd.h>

enum { WALK_MAX = 200 };

static struct world w;

static int set_up(void)
{
    if (geteuid() != 0 || access("/usr/sbin/dockerd", X_OK) != 0) {
        printf("skipped: needs root and docker.io\n");
        exit(77);
    }
    return 0;
}

static int tear_down(void)
{
    world_done(&w);
    return 0;
}

static int stride(void)
{
    return getenv("MAGNUM_TEST_FULL") ? 1 : 5;
}

static struct driven go(const char *verb, uint32_t kind, const json_t *spec, int die_after,
                        int kill_after_ms)
{
    struct driven r;
    struct drive d = {.verb = verb,
                      .kind = kind,
                      .op_id = verb,
                      .spec = spec,
                      .die_after = die_after,
                      .kill_after_ms = kill_after_ms};
    memset(&r, 0, sizeof r);
    CU_ASSERT_EQUAL_FATAL(drive(&w, &d, &r), 0);
    return r;
}

static void is_whole(size_t nodes, const char *what, int at)
{
    size_t ready = docker_ready(&w), daemons = look_daemons(&w);
    if (ready != nodes || daemons != nodes)
        fprintf(stderr, "  %s, killed at %d: %zu ready, %zu daemons\n", what, at, ready, daemons);
    CU_ASSERT_EQUAL(ready, nodes);
    CU_ASSERT_EQUAL(daemons, nodes);
    _mag_json_ json_t *store = world_store(&w);
    size_t entries = json_array_size(json_object_get(store, "ledger"));
    CU_ASSERT_EQUAL(entries, 2 * nodes + 1);
}

static void finish(const char *verb, uint32_t kind, const json_t *spec)
{
    struct driven r = go(verb, kind, spec, 0, 0);
    if (r.rc != MAG_OK)
        fprintf(stderr, "  %s: %d %s\n", verb, r.rc, r.message);
    CU_ASSERT_EQUAL(r.rc, MAG_OK);
}

static void remove_all(void)
{
    _mag_json_ json_t *none = json_object();
    finish("remove", MAG_OP_DELETE, none);
    CU_ASSERT_EQUAL(look_leftovers(&w), 0);
}

static void test_create_walk(void)
{
    _mag_json_ json_t *spec = spec_of(1, 2, NULL);
    for (int at = 1; at < WALK_MAX; at += stride()) {
        CU_ASSERT_EQUAL_FATAL(world_init(&w), 0);
        struct driven r = go("create", MAG_OP_CREATE, spec, at, 0);
        if (!r.killed) { /* walked past the end */
            CU_ASSERT_EQUAL(r.rc, MAG_OK);
            CU_ASSERT(at > 20);
            remove_all();
            return;
        }
        finish("create", MAG_OP_CREATE, spec);
        is_whole(3, "create", at);
        remove_all();
    }
    CU_FAIL("the walk does not end");
}

/* A delete after a create that was killed anywhere, without the create ever being finished. */
static void test_delete_half_made(void)
{
    _mag_json_ json_t *spec = spec_of(1, 2, NULL);
    for (int at = 1; at < WALK_MAX; at += stride()) {
        CU_ASSERT_EQUAL_FATAL(world_init(&w), 0);
        struct driven r = go("create", MAG_OP_CREATE, spec, at, 0);
        remove_all();
        if (!r.killed)
            return;
    }
    CU_FAIL("the walk does not end");
}

/* One delete, killed again and again: each new process comes a little further. */
static void test_delete_walk(void)
{
    _mag_json_ json_t *spec = spec_of(1, 2, NULL), *none = json_object();
    CU_ASSERT_EQUAL_FATAL(world_init(&w), 0);
    finish("create", MAG_OP_CREATE, spec);
    struct driven r = {.killed = true};
    for (int i = 0; i < 50 && r.killed; i++)
        r = go("remove", MAG_OP_DELETE, none, 1, 0);
    CU_ASSERT(!r.killed);
    CU_ASSERT_EQUAL(r.rc, MAG_OK);
    remove_all();
}

static void test_scale_walk(void)
{
    _mag_json_ json_t *two = spec_of(1, 2, NULL), *three = spec_of(1, 3, NULL);
    CU_ASSERT_EQUAL_FATAL(world_init(&w), 0);
    finish("create", MAG_OP_CREATE, two);
    bool killed = true;
    for (int at = 1; at < WALK_MAX && killed; at += stride()) {
        killed = go("scale", MAG_OP_SCALE, three, at, 0).killed;
        finish("scale", MAG_OP_SCALE, three);
        is_whole(4, "scale up", at);
        bool down = go("scale", MAG_OP_SCALE, two, at, 0).killed;
        finish("scale", MAG_OP_SCALE, two);
        is_whole(3, "scale down", at);
        killed |= down;
    }
    CU_ASSERT(!killed);
    remove_all();
}

/* Not at an upcall but anywhere: while helper programs run, between a fork and its record. */
static void test_any_time(void)
{
    static const int ms[] = {8, 14, 20, 26, 32, 40, 50, 65, 80, 110, 200, 500, 900, 1200};
    _mag_json_ json_t *spec = spec_of(1, 2, NULL), *none = json_object();
    for (size_t i = 0; i < MAG_LEN(ms); i++) {
        CU_ASSERT_EQUAL_FATAL(world_init(&w), 0);
        (void)go("create", MAG_OP_CREATE, spec, 0, ms[i]);
        if (i % 2) {
            (void)go("create", MAG_OP_CREATE, spec, 0, ms[i]);
            finish("create", MAG_OP_CREATE, spec);
            is_whole(3, "create (ms)", ms[i]);
        }
        (void)go("remove", MAG_OP_DELETE, none, 0, ms[i] / 2 + 1);
        remove_all();
    }
}

/* The stored state may be lost on either side, or be nonsense. */
static void test_lost_state(void)
{
    static const char *const blobs[] = {"", "{\"v\": 1, \"nodes\": \"x\"}", "\x01 garbage"};
    char path[160];
    _mag_json_ json_t *spec = spec_of(1, 1, NULL);
    CU_ASSERT_EQUAL_FATAL(world_init(&w), 0);
    finish("create", MAG_OP_CREATE, spec);
    for (size_t i = 0; i < MAG_LEN(blobs); i++) {
        json_t *store = world_store(&w);
        json_object_set_new(store, "state", json_string(blobs[i]));
        snprintf(path, sizeof path, "%s/store.json", w.dir);
        json_dump_file(store, path, 0);
        json_decref(store);
        finish("update", MAG_OP_UPDATE, spec);
        is_whole(2, "state lost", (int)i);
    }
    snprintf(path, sizeof path, "%s/%.8s/state.json", w.state_dir, w.uuid);
    CU_ASSERT_EQUAL(unlink(path), 0); /* now the database's copy is nonsense and the disk's gone */
    remove_all();
}

TEST_MAIN("local_swarm_crash", set_up, tear_down, TEST(test_create_walk),
          TEST(test_delete_half_made), TEST(test_delete_walk), TEST(test_scale_walk),
          TEST(test_any_time), TEST(test_lost_state))
