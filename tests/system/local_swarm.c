/* A swarm on local nodes from its creation to its end, through the plugin's ABI alone, with real
 * Docker daemons, looked at with Debian's docker client. Needs root and the packages.
 * Neighbours: local_swarm_host (the host), local_swarm_look (the eyes). */
#include "support/cunit_main.h"
#include "system/local_swarm_look.h"

#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/local/spawn.h"

#include <poll.h>
#include <unistd.h>

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

static struct driven go(const char *verb, uint32_t kind, const char *op_id, json_t *spec)
{
    struct driven r;
    struct drive d = {.verb = verb, .kind = kind, .op_id = op_id, .spec = spec};
    memset(&r, 0, sizeof r);
    CU_ASSERT_EQUAL_FATAL(drive(&w, &d, &r), 0);
    fprintf(stderr, "  %s %s: %d in %lld ms, %d steps, %d upcalls %s\n", verb, op_id, r.rc, r.ms,
            r.steps, r.upcalls, r.message);
    json_decref(spec);
    return r;
}

static bool output_is(const char *key, const char *text)
{
    _mag_json_ json_t *s = world_store(&w);
    const char *v = json_string_value(json_object_get(json_object_get(s, "outputs"), key));
    if (!v || strcmp(v, text) != 0)
        fprintf(stderr, "  %s is %s\n", key, v ? v : "unset");
    return v && strcmp(v, text) == 0;
}

static bool reason_has(const char *text)
{
    _mag_json_ json_t *s = world_store(&w);
    _mag_free_ char *all =
        json_dumps(json_object_get(json_object_get(s, "outputs"), "health_status_reason"), 0);
    bool has = all && strstr(all, text);
    if (!has)
        fprintf(stderr, "  reasons: %s\n", all ? all : "none");
    return has;
}

static size_t addresses(const char *group)
{
    char key[96];
    _mag_json_ json_t *s = world_store(&w);
    snprintf(key, sizeof key, "nodegroup/%s/node_addresses", group);
    return json_array_size(json_object_get(json_object_get(s, "outputs"), key));
}

static bool ledger_confirmed(size_t n)
{
    _mag_json_ json_t *s = world_store(&w);
    size_t i, good = 0;
    json_t *e;
    json_array_foreach(json_object_get(s, "ledger"), i, e)
    {
        good += strcmp(mag_json_text(e, "state", ""), "confirmed") == 0;
    }
    return good == n && json_array_size(json_object_get(s, "ledger")) == n;
}

static void health_is(const char *status, const char *reason)
{
    struct driven r = go("health", MAG_OP_HEALTH, "h", spec_of(1, 2, NULL));
    CU_ASSERT_EQUAL(r.rc, MAG_OK);
    CU_ASSERT(output_is("health_status", status));
    CU_ASSERT(reason_has(reason));
}

/* A cluster that just changed may show a node as down for a heartbeat or two. */
static void becomes_healthy(void)
{
    int64_t until = mag_now_ms() + 40000;
    bool good = false;
    while (!good && mag_now_ms() < until) {
        (void)go("health", MAG_OP_HEALTH, "h", spec_of(1, 2, NULL));
        good = output_is("health_status", "HEALTHY");
        if (!good)
            (void)poll(NULL, 0, 300);
    }
    CU_ASSERT(good);
}

static void ends_clean(void)
{
    struct driven r = go("remove", MAG_OP_DELETE, "del", json_object());
    CU_ASSERT_EQUAL(r.rc, MAG_OK);
    CU_ASSERT_EQUAL(look_leftovers(&w), 0);
    r = go("remove", MAG_OP_DELETE, "again", json_object());
    CU_ASSERT_EQUAL(r.rc, MAG_OK);
    world_done(&w);
}

static const char workers[] = "22222222-2222-4222-8222-222222222222";
static const char masters[] = "11111111-1111-4111-8111-111111111111";

static void test_life(void)
{
    CU_ASSERT_EQUAL_FATAL(world_init(&w), 0);
    CU_ASSERT_EQUAL(go("validate", MAG_OP_VALIDATE, "v", spec_of(1, 2, NULL)).rc, MAG_OK);
    CU_ASSERT_EQUAL(go("create", MAG_OP_CREATE, "op1", spec_of(1, 2, NULL)).rc, MAG_OK);
    CU_ASSERT_EQUAL(look_daemons(&w), 3);
    CU_ASSERT_EQUAL(docker_ready(&w), 3);
    CU_ASSERT(ledger_confirmed(7));
    CU_ASSERT_EQUAL(look_pinned(&w, 1) + look_pinned(&w, 3), 0);
    CU_ASSERT_EQUAL(addresses(workers), 2);
    CU_ASSERT_EQUAL(addresses(masters), 1);
    health_is("HEALTHY", "\"api\": \"ok\"");
    CU_ASSERT(reason_has("c-master-1.Ready\": \"True"));

    struct driven r = go("create", MAG_OP_CREATE, "op1", spec_of(1, 2, NULL)); /* twice */
    CU_ASSERT_EQUAL(r.rc, MAG_OK);
    CU_ASSERT_EQUAL(look_daemons(&w), 3);

    CU_ASSERT_EQUAL(go("scale", MAG_OP_SCALE, "op2", spec_of(1, 3, NULL)).rc, MAG_OK);
    CU_ASSERT_EQUAL(docker_ready(&w), 4);
    CU_ASSERT_EQUAL(addresses(workers), 3);

    json_t *params = json_pack("{s:[s,s]}", "nodes_to_remove", "c-worker-2", "10.77.0.13");
    CU_ASSERT_EQUAL(go("scale", MAG_OP_SCALE, "op3", spec_of(1, 1, params)).rc, MAG_OK);
    CU_ASSERT_EQUAL(docker_ready(&w), 2);
    CU_ASSERT_EQUAL(look_daemons(&w), 2);
    CU_ASSERT(ledger_confirmed(5));
    health_is("HEALTHY", "c-worker-4.Ready");

    CU_ASSERT_EQUAL(go("client_config", MAG_OP_QUERY, "q", spec_of(1, 1, NULL)).rc, MAG_OK);
    CU_ASSERT_EQUAL(go("stats", MAG_OP_QUERY, "q", spec_of(1, 1, NULL)).rc, MAG_OK);
    CU_ASSERT_EQUAL(go("scale", MAG_OP_SCALE, "op4", spec_of(1, 0, NULL)).rc, MAG_OK);
    CU_ASSERT_EQUAL(docker_ready(&w), 1);
    ends_clean();
}

static void test_heal(void)
{
    CU_ASSERT_EQUAL_FATAL(world_init(&w), 0);
    CU_ASSERT_EQUAL(go("create", MAG_OP_CREATE, "op1", spec_of(1, 2, NULL)).rc, MAG_OK);
    CU_ASSERT_EQUAL(kill_node(&w, 2), 0);
    health_is("UNHEALTHY", "c-worker-2.Ready\": \"False: the node is powered off");
    CU_ASSERT_EQUAL(go("update", MAG_OP_UPDATE, "op2", spec_of(1, 2, NULL)).rc, MAG_OK);
    CU_ASSERT_EQUAL(docker_ready(&w), 3);
    static const char *const ls[] = {"node", "ls", "-q", NULL};
    _mag_free_ char *ids = docker(&w, ls);
    CU_ASSERT(ids && strlen(ids) < 3 * 27); /* the node came back as itself, with no twin */
    becomes_healthy();

    CU_ASSERT_EQUAL(kill_node(&w, 1), 0); /* the only manager */
    health_is("UNHEALTHY", "no quorum");
    CU_ASSERT_EQUAL(go("update", MAG_OP_UPDATE, "op3", spec_of(1, 2, NULL)).rc, MAG_OK);
    CU_ASSERT_EQUAL(docker_ready(&w), 3);

    for (unsigned i = 1; i <= 3; i++)
        CU_ASSERT_EQUAL(kill_node(&w, i), 0);
    ends_clean(); /* with every daemon dead */
}

/* Is that node a manager in the list that the managers keep? */
static bool manager_listed(const char *name, bool want)
{
    static const char *const ls[] = {"node",          "ls", "--filter", "role=manager", "--format",
                                     "{{.Hostname}}", NULL};
    _mag_free_ char *names = docker(&w, ls);
    bool found = names && strstr(names, name);
    if (found != want)
        fprintf(stderr, "  managers: %s\n", names ? names : "none");
    return found == want;
}

/* Three managers and a worker (node 4): one that serves and one that is dead give their places to
 * new ones, named in a scale that leaves the count as it is. */
static void replace_managers(void)
{
    json_t *first = json_pack("{s:[s]}", "nodes_to_remove", "c-master-1");
    CU_ASSERT_EQUAL(go("scale", MAG_OP_SCALE, "op2b", spec_of(3, 1, first)).rc, MAG_OK);
    CU_ASSERT_EQUAL(docker_ready(&w), 4);
    CU_ASSERT(manager_listed("c-master-1", false) && manager_listed("c-master-5", true));
    CU_ASSERT_EQUAL(kill_node(&w, 3), 0);
    json_t *dead = json_pack("{s:[s]}", "nodes_to_remove", "c-master-3");
    CU_ASSERT_EQUAL(go("scale", MAG_OP_SCALE, "op2c", spec_of(3, 1, dead)).rc, MAG_OK);
    CU_ASSERT_EQUAL(docker_ready(&w), 4);
    CU_ASSERT(manager_listed("c-master-3", false) && manager_listed("c-master-6", true));
    CU_ASSERT_EQUAL(look_daemons(&w), 4);
    becomes_healthy();
}

static void test_managers(void)
{
    CU_ASSERT_EQUAL_FATAL(world_init(&w), 0);
    CU_ASSERT_EQUAL(go("create", MAG_OP_CREATE, "op1", spec_of(3, 0, NULL)).rc, MAG_OK);
    CU_ASSERT_EQUAL(docker_ready(&w), 3);
    CU_ASSERT_EQUAL(kill_node(&w, 1), 0);
    CU_ASSERT_EQUAL(kill_node(&w, 3), 0);
    health_is("UNHEALTHY", "no quorum: 1 of 3 managers are alive, 2 are needed");
    /* the dead ones can't be replaced: nobody could decide it */
    json_t *dead = json_pack("{s:[s,s]}", "nodes_to_remove", "c-master-1", "c-master-3");
    struct driven refused = go("scale", MAG_OP_SCALE, "op1b", spec_of(3, 0, dead));
    CU_ASSERT_EQUAL(refused.rc, MAG_E_INVALID);
    CU_ASSERT_STRING_EQUAL(refused.reason, "QuorumWouldBeLost");
    CU_ASSERT_STRING_EQUAL(refused.message,
                           "Of 3 managers 1 would be left to decide, and 2 are needed");
    CU_ASSERT_EQUAL(go("update", MAG_OP_UPDATE, "op2", spec_of(3, 1, NULL)).rc, MAG_OK);
    CU_ASSERT_EQUAL(docker_ready(&w), 4);
    becomes_healthy();
    replace_managers();
    CU_ASSERT_EQUAL(go("update", MAG_OP_UPDATE, "op3", spec_of(1, 1, NULL)).rc, MAG_OK);
    CU_ASSERT_EQUAL(docker_ready(&w), 2);
    CU_ASSERT_EQUAL(look_daemons(&w), 2);
    struct driven r = go("update", MAG_OP_UPDATE, "op4", spec_of(2, 1, NULL));
    CU_ASSERT_EQUAL(r.rc, MAG_E_INVALID);
    CU_ASSERT(strstr(r.message, "must be odd") != NULL);
    CU_ASSERT_EQUAL(docker_ready(&w), 2);
    ends_clean();
}

static size_t count(const char *text, const char *word)
{
    size_t n = 0;
    for (const char *p = text; p && (p = strstr(p, word)); p++)
        n++;
    return n;
}

/* A service keeps its replicas when nodes go; what it says afterwards comes from other nodes. */
static void test_drain(void)
{
    static const char *const create[] = {"service",
                                         "create",
                                         "--detach=false",
                                         "--no-resolve-image",
                                         "--name",
                                         "web",
                                         "--replicas",
                                         "4",
                                         "--stop-grace-period",
                                         "1s",
                                         "--restart-delay",
                                         "200ms",
                                         "magnum-test:1",
                                         "/bin/busybox",
                                         "sleep",
                                         "10000",
                                         NULL};
    static const char *const ps[] = {"service",
                                     "ps",
                                     "web",
                                     "--filter",
                                     "desired-state=running",
                                     "--format",
                                     "{{.Node}} {{.CurrentState}}",
                                     NULL};
    CU_ASSERT_EQUAL_FATAL(world_init(&w), 0);
    CU_ASSERT_EQUAL(go("create", MAG_OP_CREATE, "op1", spec_of(1, 3, NULL)).rc, MAG_OK);
    CU_ASSERT_EQUAL_FATAL(import_image(&w, 4), 0);
    _mag_free_ char *made = docker(&w, create), *before = docker(&w, ps);
    CU_ASSERT_PTR_NOT_NULL(made);
    CU_ASSERT_EQUAL(count(before, "Running"), 4);
    CU_ASSERT_EQUAL(count(before, "c-worker-4"), 1);
    json_t *params = json_pack("{s:[s]}", "nodes_to_remove", "c-worker-4");
    CU_ASSERT_EQUAL(go("scale", MAG_OP_SCALE, "op2", spec_of(1, 1, params)).rc, MAG_OK);
    size_t running = 0;
    for (int i = 0; i < 50 && running != 4; i++) {
        _mag_free_ char *after = docker(&w, ps);
        running = count(after, "Running");
        CU_ASSERT_EQUAL(count(after, "c-worker-4"), 0);
        CU_ASSERT_EQUAL(count(after, "c-worker-3"), 0);
        if (running != 4)
            (void)poll(NULL, 0, 200);
    }
    CU_ASSERT_EQUAL(running, 4);
    ends_clean(); /* with containers running */
}

static void test_power_failure(void)
{
    CU_ASSERT_EQUAL_FATAL(world_init(&w), 0);
    CU_ASSERT_EQUAL(go("create", MAG_OP_CREATE, "op1", spec_of(1, 2, NULL)).rc, MAG_OK);
    _mag_json_ json_t *store = world_store(&w);
    char address[64];
    snprintf(address, sizeof address, "%s",
             mag_json_text(mag_json_at(store, "outputs"), "api_address", ""));
    CU_ASSERT_EQUAL(lose_power(&w, 3), 0);
    health_is("UNHEALTHY", "powered off");
    CU_ASSERT_EQUAL(go("update", MAG_OP_UPDATE, "op2", spec_of(1, 2, NULL)).rc, MAG_OK);
    CU_ASSERT_EQUAL(docker_ready(&w), 3);
    CU_ASSERT_EQUAL(look_daemons(&w), 3);
    CU_ASSERT(output_is("api_address", address)); /* at its old port */
    CU_ASSERT_EQUAL(lose_power(&w, 3), 0);
    ends_clean();
}

static json_t *with_label(json_t *spec, const char *name, const char *value)
{
    json_object_set_new(json_object_get(json_object_get(spec, "cluster"), "labels"), name,
                        json_string(value));
    return spec;
}

static void test_labels(void)
{
    static const char *const info[] = {"info", "--format", "{{.Driver}}", NULL};
    char path[256], limit[64] = "";
    CU_ASSERT_EQUAL_FATAL(world_init(&w), 0);
    json_t *spec = with_label(spec_of(1, 0, NULL), "storage_driver", "vfs");
    spec = with_label(spec, "node_memory_mb", "700");
    CU_ASSERT_EQUAL(go("create", MAG_OP_CREATE, "op1", spec).rc, MAG_OK);
    _mag_free_ char *driver = docker(&w, info);
    CU_ASSERT(driver && strcmp(driver, "vfs\n") == 0);
    snprintf(path, sizeof path, "/sys/fs/cgroup/memory/magnum/%s/n1/memory.limit_in_bytes", w.uuid);
    FILE *f = fopen(path, "r");
    if (!f) {
        snprintf(path, sizeof path, "/sys/fs/cgroup/magnum/%s/n1/memory.max", w.uuid);
        f = fopen(path, "r");
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT_PTR_NOT_NULL(fgets(limit, sizeof limit, f));
    fclose(f);
    CU_ASSERT_EQUAL(atoll(limit), 700LL << 20);
    ends_clean();
}

/* A cluster whose nodes are on another machine is neither made again here nor called deleted. */
static void test_elsewhere(void)
{
    char path[160];
    CU_ASSERT_EQUAL_FATAL(world_init(&w), 0);
    snprintf(path, sizeof path, "%s/store.json", w.dir);
    _mag_json_ json_t *store = json_pack(
        "{s:s, s:[], s:{}}", "state",
        "{\"v\":1,\"rev\":3,\"machine\":\"other\",\"host\":\"far-away\"}", "ledger", "outputs");
    CU_ASSERT_EQUAL(json_dump_file(store, path, 0), 0);
    struct driven r = go("update", MAG_OP_UPDATE, "op1", spec_of(1, 0, NULL));
    CU_ASSERT_EQUAL(r.rc, MAG_E_UNAVAILABLE);
    CU_ASSERT(strstr(r.message, "far-away") != NULL);
    CU_ASSERT_EQUAL(go("remove", MAG_OP_DELETE, "del", json_object()).rc, MAG_E_UNAVAILABLE);
    health_is("UNKNOWN", "far-away");
    CU_ASSERT_EQUAL(look_leftovers(&w), 0);
    CU_ASSERT_EQUAL(unlink(path), 0);
    ends_clean();
}

static void test_refusals(void)
{
    CU_ASSERT_EQUAL_FATAL(world_init(&w), 0);
    struct driven r = go("validate", MAG_OP_VALIDATE, "v", spec_of(0, 2, NULL));
    CU_ASSERT_EQUAL(r.rc, MAG_E_INVALID);
    CU_ASSERT(r.flags & MAG_ERR_USER);
    CU_ASSERT_EQUAL(go("validate", MAG_OP_VALIDATE, "v", spec_of(1, 200, NULL)).rc, MAG_E_INVALID);
    json_t *spec = spec_of(1, 1, NULL);
    json_object_set_new(json_object_get(json_object_get(spec, "cluster"), "labels"),
                        "heartbeat_seconds", json_string("soon"));
    r = go("validate", MAG_OP_VALIDATE, "v", spec);
    CU_ASSERT_EQUAL(r.rc, MAG_E_INVALID);
    CU_ASSERT(strstr(r.message, "heartbeat_seconds") != NULL);

    w.program_path = "/usr/bin"; /* a machine without dockerd, runc and ip */
    r = go("create", MAG_OP_CREATE, "op1", spec_of(1, 1, NULL));
    CU_ASSERT_EQUAL(r.rc, MAG_E_NOT_FOUND);
    CU_ASSERT(r.flags & MAG_ERR_OPERATOR);
    CU_ASSERT(strstr(r.message, "dockerd") != NULL);
    CU_ASSERT(strstr(r.remedy, "apt-get install docker.io") != NULL);
    CU_ASSERT_EQUAL(go("probe", MAG_OP_QUERY, "p", json_object()).rc, MAG_E_NOT_FOUND);
    CU_ASSERT_EQUAL(look_leftovers(&w), 0);
    CU_ASSERT_EQUAL(go("remove", MAG_OP_DELETE, "del", json_object()).rc, MAG_OK);
    w.program_path = NULL;
    CU_ASSERT_EQUAL(go("probe", MAG_OP_QUERY, "p", json_object()).rc, MAG_OK);
    ends_clean(); /* of a cluster that never was */
}

static void test_unknown_health(void)
{
    CU_ASSERT_EQUAL_FATAL(world_init(&w), 0);
    health_is("UNKNOWN", "no node of this cluster is known");
    ends_clean();
}

/* After the host said "fenced" the driver touches nothing any more. */
static void test_fencing(void)
{
    CU_ASSERT_EQUAL_FATAL(world_init(&w), 0);
    _mag_json_ json_t *spec = spec_of(1, 1, NULL);
    struct drive d = {.verb = "create", .kind = MAG_OP_CREATE, .op_id = "op1", .spec = spec};
    for (int i = 1; i <= 2; i++) {
        struct driven r;
        d.fence_after = i;
        CU_ASSERT_EQUAL_FATAL(drive(&w, &d, &r), 0);
        CU_ASSERT_EQUAL(r.rc, MAG_E_PRECONDITION);
        CU_ASSERT_EQUAL(r.after_fence, 0);
    }
    ends_clean();
}

TEST_MAIN("local_swarm", set_up, tear_down, TEST(test_life), TEST(test_heal), TEST(test_managers),
          TEST(test_drain), TEST(test_power_failure), TEST(test_labels), TEST(test_elsewhere),
          TEST(test_refusals), TEST(test_unknown_health), TEST(test_fencing))
