/* Pods and containers through a conductor in this process, its driver hosts and the simulator: rows
 * and objects agree whatever happens while one is made, and nothing of somebody else's is touched.
 */
#include "component/conductor_fixture.h"

#include "base/jsonx.h"
#include "base/uuid.h"
#include "conductor/conductor.h"
#include "conductor/workload_internal.h"
#include "db/db_objects.h"
#include "http/address.h"
#include "rpc/rpc.h"

#include <arpa/inet.h>

static struct rpc_client *client;
static struct made cluster;
static char said[2048]; /* the text of the last error, or of the result's output */

static int peers(void *ctx, struct rpc_peer_list *ret, struct err *e)
{
    struct mservice_list live = {NULL, 0};
    (void)ctx;
    int rc = db_service_live(db, "magnum-conductor", PATIENCE_MS, &live, e);
    for (size_t i = 0; rc == 0 && i < live.n; i++)
        if (!rpc_peer_list_add(ret, live.v[i].instance, live.v[i].endpoint, live.v[i].public_key))
            rc = err_nomem(e);
    mservice_list_done(&live);
    return rc;
}

static void begin(const char *option, const char *value)
{
    struct err e = ERR_INIT;
    start_here(option, value);
    ASSERT_OK(rpc_client_start(here.cfg, peers, NULL, &client, &e), &e);
    create(&cluster, "c", 1, "");
    await(cluster.op.id, OPS_SUCCEEDED);
}

static void end(void)
{
    made_done(&cluster);
    rpc_client_stop(&client);
    stop_here();
}

static int call(const char *method, json_t *params)
{
    struct err e = ERR_INIT;
    json_t *result = NULL;
    int rc = rpc_client_call_once(client, method, params, PATIENCE_MS, &result, &e);
    const char *text = rc ? e.msg : jsonx_str(result, "output");
    snprintf(said, sizeof said, "%s", text ? text : "");
    json_decref(result);
    json_decref(params);
    return rc;
}

/* A pod with this name and fault ("" = none); its row's uuid. */
static int make_pod(const char *name, const char *fault, char uuid[UUID_TEXT])
{
    _cleanup_free_ char *manifest =
        str_fmt("metadata: {name: %s, labels: {a: b}, annotations: {simulate: '%s'}}\n"
                "spec: {containers: [{image: i}]}\n",
                name, fault);
    uuid_make(uuid);
    return call("workload.create",
                json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", "pod", "uuid", uuid, "cluster",
                          cluster.c.uuid, "project_id", "p", "manifest", manifest));
}

static int on_object(const char *method, const char *uuid, const char *kind)
{
    return call(method, json_pack("{s:s, s:s}", "object", uuid, "kind", kind));
}

static const char *value(const char *uuid, const char *column)
{
    char query[200];
    snprintf(query, sizeof query,
             "SELECT coalesce((SELECT %s::text FROM coe_object WHERE uuid = "
             "'%s'), 'none')",
             column, uuid);
    return sql(query);
}

/* How many objects there are in the cluster, rows or not. */
static size_t objects(void)
{
    _cleanup_free_ char *path = str_fmt("%s/state/mag-%s/workload.json", dir, cluster.c.uuid);
    _cleanup_json_ json_t *all = json_load_file(path, 0, NULL);
    return json_object_size(all);
}

static void forget_objects(void)
{
    _cleanup_free_ char *path = str_fmt("%s/state/mag-%s/workload.json", dir, cluster.c.uuid);
    CU_ASSERT_EQUAL(unlink(path), 0);
}

static void a_pod_lives(void)
{
    char uuid[UUID_TEXT];
    begin(NULL, NULL);
    CU_ASSERT_EQUAL_FATAL(make_pod("web", "", uuid), 0);
    CU_ASSERT_STRING_EQUAL(value(uuid, "phase || ' ' || status || ' ' || target"),
                           "present Running default/web");
    CU_ASSERT_STRING_EQUAL(value(uuid, "labels"), "{\"a\":\"b\"}");
    CU_ASSERT_STRING_EQUAL(value(uuid, "images"), "[\"i\"]");
    CU_ASSERT_EQUAL(call("workload.update",
                         json_pack("{s:s, s:s, s:s}", "object", uuid, "kind", "pod", "manifest",
                                   "{\"metadata\":{\"name\":\"web\",\"labels\":{\"a\":\"c\"}},"
                                   "\"spec\":{\"containers\":[{\"image\":\"j\"}]}}")),
                    0);
    CU_ASSERT_STRING_EQUAL(value(uuid, "labels"), "{\"a\":\"c\"}");
    CU_ASSERT_EQUAL(on_object("workload.refresh", uuid, "pod"), 0);
    CU_ASSERT_STRING_EQUAL(value(uuid, "labels"), "{\"a\":\"c\"}");
    CU_ASSERT_EQUAL(on_object("workload.delete", uuid, "pod"), 0);
    CU_ASSERT_STRING_EQUAL(value(uuid, "uuid"), "none");
    CU_ASSERT_EQUAL(objects(), 0);
    CU_ASSERT_EQUAL(on_object("workload.delete", uuid, "pod"), ERR_NOT_FOUND);
    end();
}

static void what_is_refused_leaves_no_row(void)
{
    char uuid[UUID_TEXT], first[UUID_TEXT];
    begin(NULL, NULL);
    CU_ASSERT_EQUAL(make_pod("a", "refuse", uuid), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "It was to be refused"));
    CU_ASSERT_STRING_EQUAL(value(uuid, "uuid"), "none");
    CU_ASSERT_EQUAL(make_pod("a", "error", uuid), ERR_INTERNAL); /* an answer, and not there */
    CU_ASSERT_STRING_EQUAL(value(uuid, "uuid"), "none");
    CU_ASSERT_EQUAL(make_pod("b", "", first), 0);
    CU_ASSERT_EQUAL(make_pod("b", "", uuid), ERR_EXISTS);
    CU_ASSERT_STRING_EQUAL(value(uuid, "uuid"), "none");
    CU_ASSERT_EQUAL(objects(), 1);
    CU_ASSERT_EQUAL(
        call("workload.create",
             json_pack("{s:s, s:s, s:s, s:s}", "kind", "pod", "uuid", uuid, "cluster", "nowhere",
                       "manifest",
                       "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"containers\":[{}]}}")),
        ERR_NOT_FOUND);
    end();
}

/* The driver's process dies, or its answer is lost, behind the making: found again. */
static void what_was_made_is_found(void)
{
    static const char *const faults[] = {"lost", "die"};
    char uuid[UUID_TEXT];
    begin(NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        CU_ASSERT_EQUAL(make_pod(faults[i], faults[i], uuid), 0);
        CU_ASSERT_STRING_EQUAL(value(uuid, "phase"), "present");
        CU_ASSERT_EQUAL(on_object("workload.delete", uuid, "pod"), 0);
    }
    CU_ASSERT_EQUAL(objects(), 0);
    end();
}

/* Nobody knows: the row stays until it is certain, and can be deleted. */
static void what_may_come_keeps_its_row(void)
{
    char uuid[UUID_TEXT], query[200];
    begin(NULL, NULL);
    CU_ASSERT_EQUAL(make_pod("a", "before", uuid), ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(said, uuid));
    CU_ASSERT_STRING_EQUAL(value(uuid, "phase"), "creating");
    CU_ASSERT_EQUAL(on_object("workload.refresh", uuid, "pod"), 0);
    CU_ASSERT_STRING_EQUAL(value(uuid, "phase"), "creating");
    snprintf(query, sizeof query,
             "UPDATE coe_object SET created_at = now() - interval '1 hour' WHERE uuid = '%s'",
             uuid);
    exec(query);
    CU_ASSERT_EQUAL(on_object("workload.refresh", uuid, "pod"), 0);
    CU_ASSERT_STRING_EQUAL(value(uuid, "phase || ' ' || status || ' ' || status_reason"),
                           "missing Failed it was not made");
    CU_ASSERT_EQUAL(on_object("workload.delete", uuid, "pod"), 0);
    CU_ASSERT_STRING_EQUAL(value(uuid, "uuid"), "none");
    end();
}

static void others_objects_are_left_alone(void)
{
    char mine[UUID_TEXT], query[200];
    begin(NULL, NULL);
    CU_ASSERT_EQUAL(make_pod("web", "", mine), 0);
    /* it is made anew by somebody else: here, by a row that is lost afterwards */
    forget_objects();
    char theirs[UUID_TEXT];
    CU_ASSERT_EQUAL(on_object("workload.refresh", mine, "pod"), 0);
    CU_ASSERT_STRING_EQUAL(value(mine, "phase || ' ' || status"), "missing Failed");
    CU_ASSERT_EQUAL(make_pod("web", "", theirs), 0);
    snprintf(query, sizeof query, "DELETE FROM coe_object WHERE uuid = '%s'", theirs);
    exec(query);
    CU_ASSERT_EQUAL(
        call("workload.refresh", json_pack("{s:s, s:s}", "cluster", cluster.c.uuid, "kind", "pod")),
        0);
    CU_ASSERT_STRING_EQUAL(value(mine, "phase"), "missing");
    CU_ASSERT_EQUAL(on_object("workload.refresh", mine, "pod"), 0);
    CU_ASSERT_STRING_EQUAL(value(mine, "status_reason"),
                           "the name belongs to another object in the cluster");
    CU_ASSERT_EQUAL(on_object("workload.delete", mine, "pod"), 0);
    CU_ASSERT_EQUAL(objects(), 1);
    end();
}

static void containers_act(void)
{
    static const char *const verbs[][2] = {
        {"start", "Running"}, {"pause", "Paused"}, {"unpause", "Running"}, {"stop", "Stopped"}};
    char uuid[UUID_TEXT];
    begin(NULL, NULL);
    uuid_make(uuid);
    json_t *wanted = json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", "container", "uuid", uuid,
                               "cluster", cluster.c.uuid, "image", "i", "memory", "4096k");
    CU_ASSERT_EQUAL_FATAL(call("workload.create", wanted), 0);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        CU_ASSERT_EQUAL(call("workload.action", json_pack("{s:s, s:s, s:s}", "object", uuid, "kind",
                                                          "container", "verb", verbs[i][0])),
                        0);
        CU_ASSERT_STRING_EQUAL(value(uuid, "status"), verbs[i][1]);
    }
    CU_ASSERT_EQUAL(
        call("workload.action", json_pack("{s:s, s:s, s:s, s:s}", "object", uuid, "kind",
                                          "container", "verb", "execute", "command", "echo")),
        0);
    CU_ASSERT_STRING_EQUAL(said, "echo");
    static const char *const memory[] = {"10x", "4095k", "", "99999999999g", "-1m", "1.5g", "m"};
    for (size_t i = 0; i < ARRAY_LEN(memory); i++) {
        uuid_make(uuid);
        int rc = call("workload.create",
                      json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", "container", "uuid", uuid,
                                "cluster", cluster.c.uuid, "image", "i", "memory", memory[i]));
        CU_ASSERT_EQUAL(rc, *memory[i] ? ERR_INVALID : 0); /* an empty one is none */
    }
    end();
}

static void rows_go_with_their_cluster(void)
{
    char uuid[UUID_TEXT], id[40];
    struct err e = ERR_INIT;
    begin(NULL, NULL);
    CU_ASSERT_EQUAL(make_pod("web", "", uuid), 0);
    request(cluster.c.uuid, "delete", NULL, id);
    await(id, OPS_SUCCEEDED);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM coe_object"), "0");
    struct coe_object late; /* one that was being made meanwhile */
    coe_object_init(&late);
    late.uuid = str_dup(uuid);
    late.kind = str_dup("pod");
    late.phase = str_dup("creating");
    late.cluster_id = str_dup(cluster.c.uuid);
    CU_ASSERT_EQUAL(db_object_insert(db, &late, &e), ERR_NOT_FOUND);
    coe_object_done(&late);
    end();
}

/* ---- where manifests may come from ---- */

static bool allowed(const char *address, const char *networks)
{
    struct strv list = STRV_INIT;
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    bool v6 = strchr(address, ':') != NULL;
    CU_ASSERT_EQUAL_FATAL(inet_pton(v6 ? AF_INET6 : AF_INET, address,
                                    v6 ? (void *)&six.sin6_addr : (void *)&four.sin_addr),
                          1);
    CU_ASSERT_EQUAL(strv_split(&list, networks, ','), 0);
    bool ok = http_address_allowed(&list, v6 ? (const struct sockaddr *)(const void *)&six
                                             : (const struct sockaddr *)(const void *)&four);
    strv_free(&list);
    return ok;
}

static void addresses_are_judged(void)
{
    static const char *const good[] = {"8.8.8.8",     "172.15.0.1", "172.32.0.1",     "100.128.0.1",
                                       "2001:db8::1", "2a00::1",    "223.255.255.255"};
    static const char *const bad[] = {
        "127.0.0.1",     "127.9.9.9",      "0.0.0.0",         "10.1.2.3",
        "172.16.0.1",    "172.31.255.255", "192.168.0.1",     "169.254.169.254",
        "100.64.0.1",    "224.0.0.1",      "255.255.255.255", "::",
        "::1",           "::127.0.0.1",    "::ffff:8.8.8.8",  "64:ff9b::a00:1",
        "2002:7f00:1::", "fe80::1",        "fd00::1",         "ff02::1"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        CU_ASSERT(allowed(good[i], ""));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CU_ASSERT(!allowed(bad[i], "nonsense,1.2.3.4/33,:::/8"));
    CU_ASSERT(allowed("10.1.2.3", "10.1.0.0/16") && !allowed("10.2.0.1", "10.1.0.0/16"));
    CU_ASSERT(allowed("127.0.0.1", "127.0.0.1") && !allowed("127.0.0.2", "127.0.0.1"));
    CU_ASSERT(allowed("10.1.2.129", "10.1.2.128/25") && !allowed("10.1.2.127", "10.1.2.128/25"));
    CU_ASSERT(allowed("fd00::5", "fd00::/64") && !allowed("fd00:1::5", "fd00::/64"));
    CU_ASSERT(allowed("::1", "::/0") && !allowed("127.0.0.1", "::/0"));
}

TEST_MAIN("conductor_workload", conductors_setup, conductors_teardown, TEST(a_pod_lives),
          TEST(what_is_refused_leaves_no_row), TEST(what_was_made_is_found),
          TEST(what_may_come_keeps_its_row), TEST(others_objects_are_left_alone),
          TEST(containers_act), TEST(rows_go_with_their_cluster), TEST(addresses_are_judged))
