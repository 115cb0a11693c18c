/* Happy calls with real hosts: every verb of the simulator, arguments of every shape, many threads,
 * recycling, the in-process transport. */
#include "base/clock.h"
#include "support/driver_pool.h"

#include "base/io.h"
#include "base/jsonx.h"
#include "magnum/cert.h"
#include "magnum/credentials.h"
#include "magnum/inventory.h"
#include "magnum/nodegroups.h"
#include "magnum/plan.h"
#include "magnum/rotate.h"
#include "magnum/stats.h"
#include "magnum/upgrade.h"
#include "magnum/workload.h"
#include "support/cunit_main.h"

#include <stdatomic.h>

static struct test_pool pool;
static struct record rec;

static void begin(const struct driver_transport *transport)
{
    test_pool_prepare(&pool);
    test_pool_start(&pool, transport);
    record_init(&rec);
}

static void end(void)
{
    record_done(&rec);
    test_pool_end(&pool);
}

/* One operation of the simulator, from first step to last. */
static int32_t operate(const char *iface, const char *verb, const char *op, const json_t *spec)
{
    struct coe_call c = test_call(SIM_ID, verb, spec, "c1", NULL);
    c.interface = iface;
    c.op_id = op;
    return test_walk(pool.pool, c, &rec, NULL, NULL);
}

/* A verb that returns a document. */
static json_t *ask(const char *driver, const char *iface, const char *verb, const json_t *spec,
                   json_t *args, int32_t want)
{
    struct err e = ERR_INIT;
    struct coe_result r = {0};
    struct coe_services svc = record_services(&rec);
    struct coe_call c = test_call(driver, verb, spec, "c1", &svc);
    c.interface = iface;
    c.op_kind = MAG_OP_QUERY;
    c.args = args;
    ASSERT_OK(front_coe_call(pool.pool, &c, &r, &e), &e);
    CU_ASSERT_EQUAL(r.rc, want);
    json_t *v = r.value;
    r.value = NULL;
    coe_result_done(&r);
    json_decref(args);
    return v;
}

static json_t *node_doc(const char *group, int index)
{
    char path[256];
    snprintf(path, sizeof path, "%s/mag-c1/mag-%s-%d.json", pool.dir, group, index);
    return json_load_file(path, 0, NULL);
}

static void life(void)
{
    int steps = 0;
    _cleanup_json_ json_t *s12 = test_spec("c1", 1, 2, "sim_steps=4");
    struct coe_call c = test_call(SIM_ID, "create", s12, "c1", NULL);
    struct coe_result last = {0};
    CU_ASSERT_EQUAL(test_walk(pool.pool, c, &rec, &steps, &last), MAG_OK);
    CU_ASSERT_EQUAL(steps, 4);
    CU_ASSERT_EQUAL(last.percent, 100);
    CU_ASSERT(last.checkpointed);
    coe_result_done(&last);
    CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", "masters"), 1);
    CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", "workers"), 2);
    CU_ASSERT_EQUAL(record_ledger_count(&rec, "node"), 3);
    CU_ASSERT_EQUAL(jsonx_int(rec.outputs, "nodegroup/workers/node_count", -1), 2);
    CU_ASSERT_EQUAL(
        json_array_size(json_object_get(rec.outputs, "nodegroup/workers/node_addresses")), 2);
    CU_ASSERT(str_starts(jsonx_str(rec.outputs, "api_address"), "https://10."));

    /* Scale up; down with a named node; to nothing. */
    _cleanup_json_ json_t *s14 = test_spec("c1", 1, 4, ""), *s12b = test_spec("c1", 1, 2, ""),
                          *s10 = test_spec("c1", 1, 0, "");
    CU_ASSERT_EQUAL(operate(MAG_IFACE_LIFECYCLE, "scale", "op-2", s14), MAG_OK);
    CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", "workers"), 4);
    json_object_set_new(json_object_get(s12b, "params"), "nodes_to_remove",
                        json_pack("[s]", "mag-workers-1"));
    json_object_set_new(json_object_get(s12b, "params"), "nodegroup", json_string("workers"));
    CU_ASSERT_EQUAL(operate(MAG_IFACE_LIFECYCLE, "scale", "op-3", s12b), MAG_OK);
    CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", "workers"), 2);
    CU_ASSERT_PTR_NULL(node_doc("workers", 1));
    CU_ASSERT_EQUAL(operate(MAG_IFACE_LIFECYCLE, "scale", "op-4", s10), MAG_OK);
    CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", "workers"), 0);
    CU_ASSERT_EQUAL(record_ledger_count(&rec, "node"), 1);

    /* Gone, and gone again; without any state. */
    CU_ASSERT_EQUAL(operate(MAG_IFACE_LIFECYCLE, "remove", "op-5", s10), MAG_OK);
    CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", ""), 0);
    CU_ASSERT_EQUAL(record_ledger_count(&rec, "node"), 0);
    free(rec.state);
    rec.state = NULL;
    CU_ASSERT_EQUAL(operate(MAG_IFACE_LIFECYCLE, "remove", "op-6", NULL), MAG_OK);
}

static void test_life(void)
{
    begin(NULL);
    life();
    end();
}

static void test_life_in_process(void)
{
    begin(&transport_inprocess);
    life();
    end();
}

static void test_health(void)
{
    begin(NULL);
    _cleanup_json_ json_t *s = test_spec("c1", 1, 2, ""), *more = test_spec("c1", 1, 3, ""),
                          *told = test_spec("c1", 1, 2, "sim_health=UNKNOWN");
    CU_ASSERT_EQUAL(operate(MAG_IFACE_LIFECYCLE, "create", "op-1", s), MAG_OK);
    CU_ASSERT_EQUAL(operate(MAG_IFACE_LIFECYCLE, "health", "op-2", s), MAG_OK);
    CU_ASSERT_STRING_EQUAL(jsonx_str(rec.outputs, "health_status"), "HEALTHY");
    CU_ASSERT_EQUAL(operate(MAG_IFACE_LIFECYCLE, "health", "op-2", more), MAG_OK);
    CU_ASSERT_STRING_EQUAL(jsonx_str(rec.outputs, "health_status"), "UNHEALTHY");
    CU_ASSERT_STRING_EQUAL(
        jsonx_str(json_object_get(rec.outputs, "health_status_reason"), "default-worker"),
        "2 of 3 nodes");
    CU_ASSERT_EQUAL(operate(MAG_IFACE_LIFECYCLE, "health", "op-2", told), MAG_OK);
    CU_ASSERT_STRING_EQUAL(jsonx_str(rec.outputs, "health_status"), "UNKNOWN");
    end();
}

static void test_validate(void)
{
    begin(NULL);
    _cleanup_json_ json_t *good = test_spec("c1", 1, 1, ""),
                          *bad = test_spec("c1", 1, 1, "sim_steps=many"),
                          *told = test_spec("c1", 1, 1, "sim_validate_fail=not today");
    json_decref(ask(SIM_ID, MAG_IFACE_LIFECYCLE, "validate", good, NULL, MAG_OK));
    json_decref(ask(SIM_ID, MAG_IFACE_LIFECYCLE, "validate", bad, NULL, MAG_E_INVALID));
    json_decref(ask(SIM_ID, MAG_IFACE_LIFECYCLE, "validate", told, NULL, MAG_E_INVALID));
    end();
}

static void test_optional_interfaces(void)
{
    begin(NULL);
    _cleanup_json_ json_t *s = test_spec("c1", 1, 2, "kube_tag=v1.1.0"),
                          *newer = test_spec("c1", 1, 2, "kube_tag=v1.2.0"),
                          *group = test_spec("c1", 1, 2, "kube_tag=v1.2.0");
    json_array_append_new(json_object_get(group, "nodegroups"),
                          json_pack("{s:s,s:s,s:s,s:i}", "uuid", "extra", "name", "extra", "role",
                                    "worker", "node_count", 3));
    CU_ASSERT_EQUAL(operate(MAG_IFACE_LIFECYCLE, "create", "op-1", s), MAG_OK);

    _cleanup_json_ json_t *plan = ask(SIM_ID, MAG_IFACE_UPGRADE, "plan", newer, NULL, MAG_OK);
    CU_ASSERT(jsonx_bool(plan, "allowed", false));
    CU_ASSERT_EQUAL(json_array_size(json_object_get(plan, "replace")), 3);
    CU_ASSERT_EQUAL(operate(MAG_IFACE_UPGRADE, "upgrade", "op-2", newer), MAG_OK);
    _cleanup_json_ json_t *node = node_doc("workers", 1);
    CU_ASSERT_STRING_EQUAL(jsonx_str(node, "version"), "v1.2.0");

    CU_ASSERT_EQUAL(operate(MAG_IFACE_NODEGROUPS, "create", "op-3", group), MAG_OK);
    CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", "extra"), 3);
    CU_ASSERT_EQUAL(operate(MAG_IFACE_NODEGROUPS, "remove", "op-4", newer), MAG_OK);
    CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", "extra"), 0);
    CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", ""), 3);

    CU_ASSERT_EQUAL(operate(MAG_IFACE_ROTATE, "ca_prepare", "op-5", newer), MAG_OK);
    _cleanup_json_ json_t *prepared = node_doc("masters", 0);
    CU_ASSERT_STRING_EQUAL(jsonx_str(prepared, "ca"), "both");
    CU_ASSERT_EQUAL(operate(MAG_IFACE_ROTATE, "ca_complete", "op-6", newer), MAG_OK);
    CU_ASSERT_EQUAL(operate(MAG_IFACE_ROTATE, "credential", "op-7", newer), MAG_OK);
    _cleanup_json_ json_t *rotated = node_doc("masters", 0);
    CU_ASSERT_STRING_EQUAL(jsonx_str(rotated, "ca"), "new");
    CU_ASSERT_STRING_EQUAL(jsonx_str(rotated, "credential"), "op-7");

    _cleanup_json_ json_t *stats = ask(SIM_ID, MAG_IFACE_STATS, "read", newer, NULL, MAG_OK);
    CU_ASSERT_EQUAL(jsonx_int(stats, "nodes", -1), 3);
    CU_ASSERT_EQUAL(jsonx_int(json_object_get(stats, "cpu"), "capacity", -1), 6);

    _cleanup_json_ json_t *todo = ask(SIM_ID, MAG_IFACE_PLAN, "plan", group, NULL, MAG_OK);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(todo, "make")), 3);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(todo, "remove")), 0);

    json_decref(ask(SIM_ID, MAG_IFACE_CREDENTIALS, "client_config", s, NULL, MAG_E_PRECONDITION));
    json_object_set_new(json_object_get(s, "cluster"), "api_address",
                        json_string("https://10.1.2.3:6443"));
    _cleanup_json_ json_t *cc =
        ask(SIM_ID, MAG_IFACE_CREDENTIALS, "client_config", s, NULL, MAG_OK);
    const char *config = jsonx_str(json_object_get(cc, "files"), "config");
    CU_ASSERT_FATAL(config != NULL);
    CU_ASSERT_PTR_NOT_NULL(strstr(config, "https://10.1.2.3:6443"));
    CU_ASSERT_EQUAL(operate(MAG_IFACE_LIFECYCLE, "remove", "op-9", s), MAG_OK);
    end();
}

static size_t entries(const json_t *doc, const char *list)
{
    return json_array_size(json_object_get(doc, list));
}

/* What the backend holds, page by page, and the removal of one of it. */
static void test_inventory(void)
{
    begin(NULL);
    _cleanup_json_ json_t *s = test_spec("c1", 1, 1, "sim_steps=1");
    _cleanup_json_ json_t *first = json_pack("{s:{}}", "params");
    CU_ASSERT_EQUAL(operate(MAG_IFACE_LIFECYCLE, "create", "op-1", s), MAG_OK);
    _cleanup_json_ json_t *page = ask(SIM_ID, MAG_IFACE_INVENTORY, "list", first, NULL, MAG_OK);
    CU_ASSERT_EQUAL(entries(page, "items"), 2);
    const json_t *item = json_array_get(json_object_get(page, "items"), 0);
    CU_ASSERT_STRING_EQUAL(jsonx_str(item, "kind"), "node");
    CU_ASSERT_STRING_EQUAL(jsonx_str(item, "cluster_id"), "c1");
    _cleanup_json_ json_t *next =
        json_pack("{s:{s:s}}", "params", "after", jsonx_str(page, "next"));
    _cleanup_json_ json_t *last = ask(SIM_ID, MAG_IFACE_INVENTORY, "list", next, NULL, MAG_OK);
    CU_ASSERT_EQUAL(entries(last, "items"), 0);
    CU_ASSERT_TRUE(json_is_null(json_object_get(last, "next")));
    for (int i = 0; i < 2; i++) /* absent is fine */
        json_decref(ask(SIM_ID, MAG_IFACE_INVENTORY, "remove", first,
                        json_pack("{s:s,s:s}", "kind", "node", "name", "mag-workers-0"), MAG_OK));
    CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", ""), 1);
    json_decref(ask(SIM_ID, MAG_IFACE_INVENTORY, "remove", first,
                    json_pack("{s:s,s:s}", "kind", "node", "name", "../x"), MAG_E_INVALID));
    end();
}

/* The swarm driver decides as a change would, and makes nothing. */
static void test_swarm_plans(void)
{
    static const char id[] = "org.magnum.swarm";
    static const char uuid[] = "c0ffee00-0000-4000-8000-000000000001";
    test_pool_prepare(&pool);
    test_pool_set(&pool, "driver_config.org.magnum.swarm.state_dir", pool.dir);
    test_pool_start(&pool, NULL);
    record_init(&rec);
    _cleanup_json_ json_t *s = test_spec(uuid, 1, 2, "");
    json_t *params = json_object_get(s, "params");
    json_t *groups = json_object_get(s, "nodegroups");
    json_object_set_new(params, "kind", json_string("create"));
    for (size_t i = 0; i < 2; i++)
        json_object_set_new(json_array_get(groups, i), "uuid",
                            json_sprintf("c0ffee00-0000-4000-8000-00000000001%zu", i));
    struct err e = ERR_INIT;
    struct coe_result r = {0};
    struct coe_services svc = record_services(&rec);
    struct coe_call c = test_call(id, "plan", s, uuid, &svc);
    c.interface = MAG_IFACE_PLAN;
    c.op_kind = MAG_OP_QUERY;
    ASSERT_OK(front_coe_call(pool.pool, &c, &r, &e), &e);
    if (r.rc != MAG_OK)
        fprintf(stderr, "swarm's plan: %s\n", r.err_message);
    CU_ASSERT_EQUAL_FATAL(r.rc, MAG_OK);
    CU_ASSERT_EQUAL_FATAL(entries(r.value, "make"), 3);
    CU_ASSERT_EQUAL(entries(r.value, "remove"), 0);
    const json_t *made = json_array_get(json_object_get(r.value, "make"), 0);
    CU_ASSERT_STRING_EQUAL(jsonx_str(made, "detail"), "manager of default-master");
    coe_result_done(&r);
    /* what a change cannot have, a plan has not either */
    json_object_set_new(json_array_get(groups, 0), "node_count", json_integer(2));
    ASSERT_OK(front_coe_call(pool.pool, &c, &r, &e), &e);
    CU_ASSERT_EQUAL(r.rc, MAG_E_INVALID);
    coe_result_done(&r);
    end();
}

/* Every member of the request arrives as it was sent. */
static void test_echo(void)
{
    begin(NULL);
    struct err e = ERR_INIT;
    struct coe_result r = {0};
    struct coe_services svc = record_services(&rec);
    _cleanup_json_ json_t *spec = json_pack("{s:{s:s,s:s}}", "params", "mode", "echo", "text",
                                            "gr\xc3\xbc\xc3\x9f \"x\" \\ \n"),
                          *prior = json_pack("{s:i}", "old", 1);
    struct coe_call c = test_call(PLAIN_ID, "create", spec, "cluster-7", &svc);
    c.flags = MAG_OPF_RESUMED | MAG_OPF_FORCE;
    c.attempt = 5;
    c.nodegroup_id = "ng";
    c.request_id = "req-1";
    c.generation = 4611686018427387904;
    c.prior = prior;
    c.state = "{\"v\":1}";
    c.deadline_unix_ms = 1893456000123;
    ASSERT_OK(front_coe_call(pool.pool, &c, &r, &e), &e);
    CU_ASSERT_EQUAL(r.rc, MAG_OK);
    coe_result_done(&r);
    const json_t *got = json_object_get(rec.outputs, "echo");
    CU_ASSERT_EQUAL(jsonx_int(got, "kind", -1), MAG_OP_CREATE);
    CU_ASSERT_EQUAL(jsonx_int(got, "flags", -1), MAG_OPF_RESUMED | MAG_OPF_FORCE);
    CU_ASSERT_EQUAL(jsonx_int(got, "attempt", -1), 5);
    CU_ASSERT_EQUAL(jsonx_int(got, "generation", -1), 4611686018427387904);
    CU_ASSERT_EQUAL(jsonx_int(got, "deadline", -1), 1893456000123);
    CU_ASSERT_EQUAL(jsonx_int(got, "budget", -1), 20000);
    CU_ASSERT_STRING_EQUAL(jsonx_str(got, "cluster_id"), "cluster-7");
    CU_ASSERT_STRING_EQUAL(jsonx_str(got, "nodegroup_id"), "ng");
    CU_ASSERT_STRING_EQUAL(jsonx_str(got, "request_id"), "req-1");
    CU_ASSERT_STRING_EQUAL(jsonx_str(got, "prior"), "{\"old\":1}");
    CU_ASSERT_STRING_EQUAL(jsonx_str(got, "state"), "{\"v\":1}");
    _cleanup_json_ json_t *back = json_loads(jsonx_str(got, "spec"), 0, NULL);
    CU_ASSERT(json_equal(back, spec));
    end();
}

static void test_shapes(void)
{
    begin(NULL);
    const char *w = MAG_IFACE_WORKLOAD, *p = PLAIN_ID;
    json_t *doc = json_pack("{s:i}", "x", 1);
    _cleanup_json_ json_t *list =
        ask(p, w, "list", NULL, json_pack("{s:s,s:O}", "kind", "pod", "query", doc), MAG_OK);
    CU_ASSERT_STRING_EQUAL(jsonx_str(list, "called"), "list");
    CU_ASSERT_STRING_EQUAL(jsonx_str(list, "kind"), "pod");
    CU_ASSERT_STRING_EQUAL(jsonx_str(list, "doc"), "{\"x\":1}");
    _cleanup_json_ json_t *get =
        ask(p, w, "get", NULL, json_pack("{s:s,s:s}", "kind", "pod", "name", "a"), MAG_OK);
    CU_ASSERT_STRING_EQUAL(jsonx_str(get, "name"), "a");
    _cleanup_json_ json_t *create =
        ask(p, w, "create", NULL, json_pack("{s:s,s:O}", "kind", "service", "doc", doc), MAG_OK);
    CU_ASSERT_STRING_EQUAL(jsonx_str(create, "doc"), "{\"x\":1}");
    _cleanup_json_ json_t *update =
        ask(p, w, "update", NULL, json_pack("{s:s,s:s,s:o}", "kind", "rc", "name", "b", "doc", doc),
            MAG_OK);
    CU_ASSERT_STRING_EQUAL(jsonx_str(update, "called"), "update");
    _cleanup_json_ json_t *action =
        ask(p, w, "action", NULL,
            json_pack("{s:s,s:s,s:s,s:{s:s}}", "kind", "container", "name", "c", "verb", "execute",
                      "args", "command", "ls"),
            MAG_OK);
    CU_ASSERT_STRING_EQUAL(jsonx_str(action, "verb"), "execute");
    CU_ASSERT_STRING_EQUAL(jsonx_str(action, "doc"), "{\"command\":\"ls\"}");
    CU_ASSERT_PTR_NULL(
        ask(p, w, "remove", NULL, json_pack("{s:s,s:s}", "kind", "pod", "name", "a"), MAG_OK));
    CU_ASSERT_PTR_NULL(ask(p, w, "remove", NULL,
                           json_pack("{s:s,s:s}", "kind", "pod", "name", "absent"),
                           MAG_E_NOT_FOUND));
    CU_ASSERT_PTR_NULL(ask(p, w, "get", NULL, json_pack("{s:s}", "kind", "pod"), MAG_E_INVALID));

    const char *st = MAG_IFACE_CERT_STORE;
    _cleanup_json_ json_t *put =
        ask(p, st, "put", NULL,
            json_pack("{s:s,s:{s:s}}", "key", "c/ca/1", "bundle", "certificate", "PEM"), MAG_OK);
    CU_ASSERT_STRING_EQUAL(jsonx_str(put, "ref"), "ref:c/ca/1:21");
    _cleanup_json_ json_t *both =
        ask(p, st, "get", NULL,
            json_pack("{s:s,s:[s,s]}", "ref", "r1", "parts", "certificate", "private_key"), MAG_OK);
    CU_ASSERT_STRING_EQUAL(jsonx_str(both, "certificate"), "r1");
    CU_ASSERT_STRING_EQUAL(jsonx_str(both, "private_key"), "KEY");
    _cleanup_json_ json_t *one = ask(
        p, st, "get", NULL, json_pack("{s:s,s:[s]}", "ref", "r1", "parts", "certificate"), MAG_OK);
    CU_ASSERT_EQUAL(json_object_size(one), 1);
    CU_ASSERT_PTR_NULL(ask(p, st, "del", NULL, json_pack("{s:s}", "ref", "r1"), MAG_OK));
    CU_ASSERT_PTR_NULL(ask(p, st, "del", NULL, json_pack("{s:s}", "ref", "busy"), MAG_E_BUSY));
    _cleanup_json_ json_t *sign = ask(
        p, MAG_IFACE_CERT_SIGN, "sign_csr", NULL,
        json_pack("{s:s,s:s,s:{s:i}}", "ca", "CA", "csr_pem", "CSR", "profile", "days", 1), MAG_OK);
    CU_ASSERT_STRING_EQUAL(jsonx_str(sign, "certificate"), "CA signed CSR with {\"days\":1}");
    _cleanup_json_ json_t *empty_mode = json_pack("{s:{s:s}}", "params", "mode", "empty");
    CU_ASSERT_PTR_NULL(ask(p, MAG_IFACE_STATS, "read", empty_mode, NULL, MAG_OK));
    end();
}

static void test_not_offered(void)
{
    begin(NULL);
    static const struct {
        const char *driver, *iface, *verb;
        int rc;
    } cases[] = {{"nobody", MAG_IFACE_LIFECYCLE, "create", ERR_NOT_FOUND},
                 {"com.example.hello", MAG_IFACE_WORKLOAD, "list", ERR_UNSUPPORTED},
                 {SIM_ID, MAG_IFACE_LIFECYCLE, "explode", ERR_UNSUPPORTED},
                 {PLAIN_ID, MAG_IFACE_LIFECYCLE, "scale", ERR_UNSUPPORTED}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = ERR_INIT;
        struct coe_result r = {0};
        struct coe_call c = test_call(cases[i].driver, cases[i].verb, NULL, "c", NULL);
        c.interface = cases[i].iface;
        CU_ASSERT_EQUAL(front_coe_call(pool.pool, &c, &r, &e), cases[i].rc);
        CU_ASSERT(e.msg[0] != '\0');
    }
    end();
}

/* ---- many threads ---- */

enum { THREADS = 8, CALLS = 200 };
static atomic_int ok_calls;

static void *caller(void *arg)
{
    char cluster[32];
    snprintf(cluster, sizeof cluster, "t%ld", (long)(intptr_t)arg);
    json_t *spec = test_spec(cluster, 1, 1, "sim_steps=1");
    struct record r;
    record_init(&r);
    struct coe_services svc = record_services(&r);
    for (int i = 0; i < CALLS; i++) {
        struct err e = ERR_INIT;
        struct coe_result res = {0};
        struct coe_call c = test_call(SIM_ID, i % 2 ? "remove" : "create", spec, cluster, &svc);
        c.op_id = i % 2 ? "remove" : "create";
        int rc = front_coe_call(pool.pool, &c, &res, &e);
        int nodes = test_count_nodes(&pool, cluster, "");
        if (rc == 0 && res.rc == MAG_OK && nodes == (i % 2 ? 0 : 2))
            atomic_fetch_add(&ok_calls, 1);
        else
            fprintf(stderr, "%s %d: %d %d %s %s\n", cluster, i, rc, res.rc, e.msg, res.err_message);
        coe_result_done(&res);
    }
    CU_ASSERT_EQUAL(record_ledger_count(&r, "node"), 0);
    record_done(&r);
    json_decref(spec);
    return NULL;
}

/* So many processes served all of them; one that was just replaced may still be on its way out. */
static void at_most(int processes)
{
    int64_t until = clock_mono_ms() + 60000;
    while (test_count_children() - pool.children > processes && clock_mono_ms() < until)
        sched_yield();
    CU_ASSERT(test_count_children() - pool.children <= processes);
}

static void test_threads(void)
{
    begin(NULL);
    pthread_t id[THREADS];
    atomic_store(&ok_calls, 0);
    for (intptr_t i = 0; i < THREADS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&id[i], NULL, caller, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(id[i], NULL);
    CU_ASSERT_EQUAL(atomic_load(&ok_calls), THREADS * CALLS);
    at_most(4);
    end();
}

/* A thread that made the pool's children ends: they live on (their parent-death signal hangs on the
 * keeper, not on the caller). */
static void *one_call(void *arg)
{
    json_decref(ask(SIM_ID, MAG_IFACE_LIFECYCLE, "validate", arg, NULL, MAG_OK));
    return NULL;
}

static int64_t born_seen(void)
{
    _cleanup_json_ json_t *spec = json_pack("{s:{s:s}}", "params", "mode", "look");
    struct coe_call c = test_call(PLAIN_ID, "create", spec, "c", NULL);
    CU_ASSERT_EQUAL(test_walk(pool.pool, c, &rec, NULL, NULL), MAG_OK);
    return jsonx_int(json_object_get(rec.outputs, "look"), "born", -1);
}

static int64_t calls_seen(void)
{
    return jsonx_int(json_object_get(rec.outputs, "look"), "calls", -1);
}

static void *look_in_thread(void *arg)
{
    *(int64_t *)arg = born_seen();
    return NULL;
}

static void test_host_outlives_its_caller(void)
{
    begin(NULL);
    pthread_t id;
    int64_t first = -1;
    _cleanup_json_ json_t *spec = test_spec("c1", 1, 1, "");
    CU_ASSERT_EQUAL_FATAL(pthread_create(&id, NULL, one_call, spec), 0);
    pthread_join(id, NULL);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&id, NULL, look_in_thread, &first), 0);
    pthread_join(id, NULL);
    CU_ASSERT_EQUAL(born_seen(), first);
    CU_ASSERT_EQUAL(calls_seen(), 2);
    end();
}

static void test_recycle_by_calls(void)
{
    test_pool_prepare(&pool);
    test_pool_set(&pool, "drivers.recycle_calls", "3");
    test_pool_start(&pool, NULL);
    record_init(&rec);
    int64_t first = born_seen();
    CU_ASSERT_EQUAL(born_seen(), first);
    CU_ASSERT_EQUAL(born_seen(), first);
    CU_ASSERT_EQUAL(calls_seen(), 3);
    CU_ASSERT_NOT_EQUAL(born_seen(), first);
    CU_ASSERT_EQUAL(calls_seen(), 1);
    end();
}

static void test_recycle_by_memory(void)
{
    test_pool_prepare(&pool);
    test_pool_set(&pool, "drivers.recycle_growth_mb", "8");
    test_pool_start(&pool, NULL);
    record_init(&rec);
    /* 32 MiB leak away in 16 steps of one host at a time: it is replaced on the way, and the next
     * one is no fatter than the limit allows. */
    _cleanup_json_ json_t *spec = test_spec("c1", 1, 0, "sim_leak=2,sim_steps=16,sim_step_ms=0");
    struct coe_services svc = record_services(&rec);
    struct coe_call c = test_call(SIM_ID, "create", spec, "c1", &svc);
    struct coe_result r = {0};
    struct err e = ERR_INIT;
    ASSERT_OK(front_coe_call(pool.pool, &c, &r, &e), &e);
    coe_result_done(&r);
    pid_t first = test_newest_child();
    CU_ASSERT_FATAL(first > 0);
    CU_ASSERT_EQUAL(operate(MAG_IFACE_LIFECYCLE, "create", "op-1", spec), MAG_OK);
    CU_ASSERT_NOT_EQUAL(test_newest_child(), first);
    CU_ASSERT(test_wait_gone(first));
    end();
}

static void test_waiting_list(void)
{
    test_pool_prepare(&pool);
    test_pool_set(&pool, "drivers.processes", "1");
    test_pool_start(&pool, NULL);
    record_init(&rec);
    pthread_t id[THREADS];
    atomic_store(&ok_calls, 0);
    for (intptr_t i = 0; i < THREADS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&id[i], NULL, caller, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(id[i], NULL);
    CU_ASSERT_EQUAL(atomic_load(&ok_calls), THREADS * CALLS);
    at_most(1);
    end();
}

static void test_too_large(void)
{
    test_pool_prepare(&pool);
    test_pool_set(&pool, "drivers.max_frame_bytes", "65536");
    test_pool_start(&pool, NULL);
    record_init(&rec);
    int64_t before = born_seen();
    _cleanup_json_ json_t *spec = test_spec("c1", 1, 1, "");
    _cleanup_free_ char *big = calloc(1, 70000);
    memset(big, 'x', 69999);
    json_object_set_new(spec, "big", json_string(big));
    struct err e = ERR_INIT;
    struct coe_result r = {0};
    struct coe_call c = test_call(PLAIN_ID, "create", spec, "c1", NULL);
    CU_ASSERT_EQUAL(front_coe_call(pool.pool, &c, &r, &e), ERR_TOO_LARGE);
    CU_ASSERT_EQUAL(born_seen(), before); /* nobody was harmed */
    end();
}

/* A process that was frozen with its call in the socket: another conductor may have the operation.
 */
static void test_late_calls_do_not_begin(void)
{
    struct test_pool p;
    struct record r;
    struct err e = ERR_INIT;
    struct coe_result res = {0};
    test_pool_prepare(&p);
    test_pool_start(&p, NULL);
    record_init(&r);
    struct coe_services svc = record_services(&r);
    _cleanup_json_ json_t *spec = test_spec("late", 1, 1, "sim_steps=1");
    struct coe_call c = test_call(SIM_ID, "create", spec, "late", &svc);
    c.begin_before_ms = clock_mono_ms() - 1;
    ASSERT_OK(front_coe_call(p.pool, &c, &res, &e), &e);
    CU_ASSERT_EQUAL(res.rc, MAG_E_UNAVAILABLE);
    CU_ASSERT_STRING_EQUAL(res.reason, "CallTooLate");
    CU_ASSERT(res.err_flags & MAG_ERR_RETRYABLE);
    CU_ASSERT_EQUAL(test_count_nodes(&p, "late", ""), 0);
    coe_result_done(&res);
    c.begin_before_ms = clock_mono_ms() + 60000;
    ASSERT_OK(front_coe_call(p.pool, &c, &res, &e), &e);
    CU_ASSERT_EQUAL(res.rc, MAG_OK);
    CU_ASSERT_EQUAL(test_count_nodes(&p, "late", ""), 2);
    coe_result_done(&res);
    record_done(&r);
    test_pool_end(&p);
}

TEST_MAIN("driver_calls", NULL, NULL, TEST(test_life), TEST(test_life_in_process),
          TEST(test_health), TEST(test_validate), TEST(test_optional_interfaces),
          TEST(test_inventory), TEST(test_swarm_plans), TEST(test_echo), TEST(test_shapes),
          TEST(test_not_offered), TEST(test_threads), TEST(test_host_outlives_its_caller),
          TEST(test_recycle_by_calls), TEST(test_recycle_by_memory), TEST(test_waiting_list),
          TEST(test_too_large), TEST(test_late_calls_do_not_begin))
