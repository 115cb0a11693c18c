/* A cluster's set of stacks against a scripted Heat of several: names, what was begun, the order of
 * a removal, one list for many clusters. The single stack's steps are sdk_heat.c's. */
#include "support/cunit_main.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/heat_cluster.h"
#include "lib/heat_params.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CLUSTER "11111111-1111-1111-1111-111111111111"
#define GROUP "22222222-2222-2222-2222-222222222222"
#define OWN "mag-" CLUSTER
#define OTHER OWN "-" GROUP

static struct {     /* Heat, the ledger, and what the driver said */
    json_t *stacks; /* {name: status} */
    json_t *ledger; /* {name: true} */
    json_t *outputs;
    char state[1024], deleted[512], body[4096];
    const char *subnets, *subnet; /* Neutron's list; what the stack's output says, or NULL */
    const char *policy;           /* of the stacks' server groups, or NULL */
    unsigned lists, calls;
} world;

static int32_t answer(mag_http_resp *rp, uint32_t status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int32_t answer(mag_http_resp *rp, uint32_t status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(world.body, sizeof world.body, fmt, ap);
    va_end(ap);
    rp->status = status;
    rp->body = mag_text(world.body);
    return MAG_OK;
}

static int32_t posted(const mag_http_req *rq, mag_http_resp *rp, mag_error *err)
{
    _mag_json_ json_t *body = NULL;
    CU_ASSERT_EQUAL(mag_json_parse(rq->body, "body", &body, err), MAG_OK);
    const char *name = mag_json_text(body, "stack_name", "?");
    json_object_set_new(world.stacks, name,
                        json_pack("{s:s,s:s}", "status", "CREATE_IN_PROGRESS", "tags",
                                  mag_json_text(body, "tags", "")));
    return answer(rp, 201, "{\"stack\": {\"id\": \"id-%zu\"}}", strlen(name));
}

static int32_t removed(const mag_http_req *rq, mag_http_resp *rp)
{
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(rq->path + 8, "/"), rq->path + 8);
    size_t used = strlen(world.deleted);
    snprintf(world.deleted + used, sizeof world.deleted - used, "%s;", name);
    json_object_del(world.stacks, name);
    return answer(rp, 204, "%s", "");
}

static int32_t listed(const mag_http_req *rq, mag_http_resp *rp)
{
    const char *only = strstr(rq->path, "name="), *name;
    json_t *s, *list = json_array();
    json_object_foreach(world.stacks, name, s)
    {
        const char *tags = mag_json_text(s, "tags", "");
        const char *want = strchr(tags, ',') ? strchr(tags, ',') + 1 : tags;
        char id[32];
        snprintf(id, sizeof id, "id-%zu", strlen(name));
        if (!only || strcmp(only + 5, name) == 0)
            json_array_append_new(list,
                                  json_pack("{s:s,s:s,s:s,s:[s,s]}", "stack_name", name, "id", id,
                                            "stack_status", mag_json_text(s, "status", ""), "tags",
                                            "magnum", want));
    }
    _mag_free_ char *text = mag_json_dump(list);
    json_decref(list);
    world.lists += !only;
    return answer(rp, 200, "{\"stacks\": %s}", text);
}

static int32_t http(void *ctx, const mag_op *op, const mag_http_req *rq, mag_http_resp *rp,
                    mag_error *err)
{
    (void)ctx, (void)op;
    world.calls++;
    if (strcmp(rq->method, "POST") == 0)
        return posted(rq, rp, err);
    if (strcmp(rq->method, "DELETE") == 0)
        return removed(rq, rp);
    if (strncmp(rq->path, "/stacks?", 8) == 0)
        return listed(rq, rp);
    if (strcmp(rq->service, "network") == 0)
        return answer(rp, 200, "{\"networks\": [{\"subnets\": [%s]}]}", world.subnets);
    return answer(
        rp, 200,
        "{\"stack\": {\"id\": \"x\", \"stack_status\": \"CREATE_COMPLETE\","
        " \"parameters\": {\"affinity_policy\": \"%s\"},"
        " \"outputs\": [{\"output_key\": \"api\", \"output_value\": \"10.0.0.1\"}%s%s%s]}}",
        world.policy ? world.policy : "",
        world.subnet ? ", {\"output_key\": \"subnet\", \"output_value\": \"" : "",
        world.subnet ? world.subnet : "", world.subnet ? "\"}" : "");
}

static int32_t declare(void *ctx, const mag_op *op, const char *kind, const char *name,
                       mag_bytes data, mag_error *err)
{
    (void)ctx, (void)op, (void)kind, (void)data, (void)err;
    json_object_set_new(world.ledger, name, json_true());
    return MAG_OK;
}
static int32_t confirm(void *ctx, const mag_op *op, const char *kind, const char *name,
                       const char *id, mag_error *err)
{
    (void)ctx, (void)op, (void)kind, (void)err, (void)id;
    CU_ASSERT_PTR_NOT_NULL(json_object_get(world.ledger, name));
    return MAG_OK;
}
static int32_t drop(void *ctx, const mag_op *op, const char *kind, const char *name, mag_error *err)
{
    (void)ctx, (void)op, (void)kind, (void)err;
    json_object_del(world.ledger, name);
    return MAG_OK;
}
static int32_t ledger_list(void *ctx, const mag_op *op, const char *kind, mag_bytes *ret,
                           mag_error *err)
{
    static char text[1024];
    const char *name;
    json_t *v, *list = json_array();
    (void)ctx, (void)op, (void)err;
    CU_ASSERT_STRING_EQUAL(kind, "stack");
    json_object_foreach(world.ledger, name, v)
    {
        json_array_append_new(list, json_pack("{s:s}", "name", name));
    }
    _mag_free_ char *all = mag_json_dump(list);
    snprintf(text, sizeof text, "%s", all);
    json_decref(list);
    *ret = mag_text(text);
    return MAG_OK;
}

static int32_t checkpoint(void *ctx, const mag_op *op, mag_bytes state, mag_error *err)
{
    (void)ctx, (void)op, (void)err;
    snprintf(world.state, sizeof world.state, "%.*s", (int)state.len, (const char *)state.data);
    return MAG_OK;
}

static int32_t output(void *ctx, const mag_op *op, const char *key, mag_bytes json, mag_error *err)
{
    json_t *v = NULL;
    (void)ctx, (void)op;
    CU_ASSERT_EQUAL(mag_json_parse(json, key, &v, err), MAG_OK);
    json_object_set_new(world.outputs, key, v);
    return MAG_OK;
}

static const mag_host_ledger ledger = {.struct_size = sizeof ledger,
                                       .declare = declare,
                                       .confirm = confirm,
                                       .drop = drop,
                                       .list = ledger_list};
static const mag_host host = {
    .struct_size = sizeof host, .http = http, .checkpoint = checkpoint, .output = output};
static const struct mag_services services = {.host = &host, .ledger = &ledger};
static mag_op op;
static struct mag_heat_set set;
static const struct mag_heat_want want = {.template = "heat_template_version: x"};
static mag_error err;
static mag_step out;

static void forget(void)
{
    json_decref(world.stacks);
    json_decref(world.ledger);
    json_decref(world.outputs);
    memset(&world, 0, sizeof world);
}

static void fresh(void)
{
    forget();
    world.stacks = json_object();
    world.ledger = json_object();
    world.outputs = json_object();
}

static void open_as(const char *op_id)
{
    static char kept[sizeof world.state];
    memcpy(kept, world.state, sizeof kept);
    op = (mag_op){.struct_size = sizeof op,
                  .op_id = op_id,
                  .cluster_id = CLUSTER,
                  .project_id = "p",
                  .state = mag_text(kept)};
    err = (mag_error){.struct_size = sizeof err};
    out = (mag_step){.struct_size = sizeof out};
    CU_ASSERT_EQUAL(mag_heat_set_open(&set, &services, &op, 0, &err), MAG_OK);
}

static int32_t step(const char *op_id, const char *group)
{
    struct mag_heat_stack s;
    open_as(op_id);
    int32_t rc = mag_heat_set_converge(&set, group, &want, &s, &out, &err);
    if (rc == MAG_OK)
        CU_ASSERT_STRING_EQUAL(mag_json_text(s.outputs, "api", ""), "10.0.0.1");
    mag_heat_stack_done(&s);
    mag_heat_set_done(&set);
    return rc;
}

static void becomes(const char *name, const char *status)
{
    json_object_set_new(json_object_get(world.stacks, name), "status", json_string(status));
}

static void test_each_has_its_name_and_its_id_is_told(void)
{
    fresh();
    CU_ASSERT_EQUAL(step("o1", NULL), MAG_AGAIN);
    CU_ASSERT_EQUAL(step("o1", GROUP), MAG_AGAIN);
    CU_ASSERT_PTR_NOT_NULL(json_object_get(world.stacks, OWN));
    CU_ASSERT_PTR_NOT_NULL(json_object_get(world.stacks, OTHER));
    CU_ASSERT_STRING_EQUAL(mag_json_text(world.outputs, "stack_id", ""), "id-40");
    CU_ASSERT_STRING_EQUAL(
        json_string_value(json_object_get(world.outputs, "nodegroup/" GROUP "/stack_id")), "id-77");
    CU_ASSERT_PTR_NOT_NULL(strstr(world.state, "\"v\":1"));
    forget();
}

static void test_a_poll_is_one_exchange(void)
{
    fresh();
    (void)step("o1", NULL);
    CU_ASSERT_EQUAL(world.calls, 2); /* a look and a create */
    (void)step("o1", NULL);
    (void)step("o1", NULL);
    CU_ASSERT_EQUAL(world.calls, 4);
    becomes(OWN, "CREATE_COMPLETE");
    CU_ASSERT_EQUAL(step("o1", NULL), MAG_OK);
    CU_ASSERT_EQUAL(world.calls, 6); /* and once the outputs */
    forget();
}

static void test_what_was_begun_ends_with_its_operation(void)
{
    fresh();
    (void)step("o1", NULL);
    open_as("o1");
    CU_ASSERT(mag_heat_set_begun(&set, NULL));
    CU_ASSERT_FALSE(mag_heat_set_begun(&set, GROUP));
    mag_heat_set_done(&set);
    json_object_clear(world.stacks); /* deleted by hand */
    CU_ASSERT_EQUAL(step("o1", NULL), MAG_E_PRECONDITION);
    open_as("o2");
    CU_ASSERT_FALSE(mag_heat_set_begun(&set, NULL));
    mag_heat_set_done(&set);
    CU_ASSERT_EQUAL(step("o2", NULL), MAG_AGAIN); /* made again */
    forget();
}

static void test_a_drivers_own_state_is_kept(void)
{
    fresh();
    open_as("o1");
    json_object_set_new(set.state, "mine", json_integer(7));
    CU_ASSERT_EQUAL(mag_heat_set_save(&set, &err), MAG_OK);
    mag_heat_set_done(&set);
    (void)step("o2", NULL);
    open_as("o2");
    CU_ASSERT_EQUAL(mag_json_int(set.state, "mine", 0), 7);
    mag_heat_set_done(&set);
    forget();
}

static int32_t remove_step(const json_t *groups)
{
    open_as("o9");
    int32_t rc = mag_heat_set_remove_all(&set, groups, &out, &err);
    mag_heat_set_done(&set);
    return rc;
}

static void test_nodegroups_go_before_the_cluster(void)
{
    fresh();
    (void)step("o1", NULL);
    (void)step("o1", GROUP);
    CU_ASSERT_EQUAL(remove_step(NULL), MAG_AGAIN); /* found in the ledger alone */
    CU_ASSERT_STRING_EQUAL(world.deleted, OTHER ";");
    CU_ASSERT_EQUAL(remove_step(NULL), MAG_AGAIN);
    CU_ASSERT_STRING_EQUAL(world.deleted, OTHER ";" OWN ";");
    CU_ASSERT_EQUAL(remove_step(NULL), MAG_OK);
    CU_ASSERT_EQUAL(json_object_size(world.ledger), 0);
    CU_ASSERT_EQUAL(remove_step(NULL), MAG_OK);
    forget();
}

static void test_names_suffice_when_the_ledger_is_lost(void)
{
    _mag_json_ json_t *groups = json_pack("[{s:s,s:b}]", "uuid", GROUP, "is_default", 0);
    fresh();
    (void)step("o1", NULL);
    (void)step("o1", GROUP);
    json_object_clear(world.ledger);
    CU_ASSERT_EQUAL(remove_step(groups), MAG_AGAIN);
    CU_ASSERT_EQUAL(remove_step(groups), MAG_AGAIN);
    CU_ASSERT_EQUAL(remove_step(groups), MAG_OK);
    CU_ASSERT_STRING_EQUAL(world.deleted, OTHER ";" OWN ";");
    forget();
}

static void test_one_list_serves_many_looks(void)
{
    struct mag_heat_cache cache = {.n = 0};
    const json_t *list = NULL;
    fresh();
    (void)step("o1", NULL);
    open_as("o1");
    for (int i = 0; i < 1000; i++)
        CU_ASSERT_EQUAL(mag_heat_cache_list(&cache, &set.heat, 60000, &list, &err), MAG_OK);
    CU_ASSERT_EQUAL(world.lists, 1);
    CU_ASSERT_STRING_EQUAL(mag_json_text(json_object_get(list, OWN), "action", ""), "CREATE");
    CU_ASSERT_EQUAL(mag_heat_cache_list(&cache, &set.heat, 0, &list, &err), MAG_OK);
    CU_ASSERT_EQUAL(world.lists, 2);
    op.project_id = "another";
    CU_ASSERT_EQUAL(mag_heat_cache_list(&cache, &set.heat, 60000, &list, &err), MAG_OK);
    CU_ASSERT_EQUAL(world.lists, 3);
    mag_heat_cache_done(&cache);
    mag_heat_set_done(&set);
    forget();
}

static void test_nodes_are_published_without_blanks(void)
{
    _mag_json_ json_t *addresses = json_pack("[s,s,n]", "10.0.0.4", "");
    fresh();
    open_as("o1");
    CU_ASSERT_EQUAL(mag_heat_publish_nodes(&set, GROUP, addresses, 2, &err), MAG_OK);
    const json_t *list = json_object_get(world.outputs, "nodegroup/" GROUP "/node_addresses");
    CU_ASSERT_EQUAL(json_array_size(list), 1);
    CU_ASSERT_EQUAL(
        json_integer_value(json_object_get(world.outputs, "nodegroup/" GROUP "/node_count")), 2);
    mag_heat_set_done(&set);
    forget();
}

/* Parameters are wiped when they were sent; what the state keeps of them is not. */
static void wipe(json_t **p)
{
    mag_wipe_json(p);
    _mag_free_ char *text = mag_json_dump(set.state);
    CU_ASSERT(text && !strstr(text, "\\u0000"));
}

/* The subnet of a cluster in a given network, in one step of an operation. */
static void subnet_is(const char *op_id, bool balancer, const char *wanted)
{
    _mag_json_ json_t *p = json_pack("{s:s, s:s, s:b}", "fixed_network", "net", "fixed_subnet", "",
                                     "load_balancer", (int)balancer);
    open_as(op_id);
    CU_ASSERT_EQUAL(mag_params_subnet(&set, p, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(mag_json_text(p, "fixed_subnet", "absent"), wanted);
    wipe(&p);
    mag_heat_set_done(&set);
}

static void test_a_cluster_stays_in_its_subnet(void)
{
    fresh();
    world.subnets = "\"one\"";
    subnet_is("o1", true, "one");
    world.subnets = "\"another\", \"one\""; /* before the stack is made, and while it is */
    subnet_is("o1", true, "one");
    CU_ASSERT_EQUAL(step("o1", NULL), MAG_AGAIN);
    world.state[0] = '\0'; /* an operation begins with nothing */
    world.subnet = "one";
    subnet_is("o2", true, "one");
    world.state[0] = '\0';
    world.subnet = "";
    subnet_is("o3", false, "");
    world.state[0] = '\0';
    subnet_is("o4", true, "another"); /* a balancer can't be without */
    forget();
}

/* The affinity policy of a stack, in one step of an operation while the options say `now`. */
static void policy_is(const char *op_id, const char *group, const char *now, const char *wanted)
{
    _mag_json_ json_t *p = json_pack("{s:s}", "affinity_policy", now);
    open_as(op_id);
    CU_ASSERT_EQUAL(mag_params_keep(&set, group, p, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(mag_json_text(p, "affinity_policy", "absent"), wanted);
    wipe(&p);
    mag_heat_set_done(&set);
}

static void test_an_option_for_new_stacks_leaves_old_ones_alone(void)
{
    fresh();
    policy_is("o1", NULL, "soft-anti-affinity", "soft-anti-affinity");
    policy_is("o1", NULL, "anti-affinity", "soft-anti-affinity"); /* not in its middle either */
    CU_ASSERT_EQUAL(step("o1", NULL), MAG_AGAIN);
    world.state[0] = '\0';
    world.policy = "soft-anti-affinity";
    policy_is("o2", NULL, "anti-affinity", "soft-anti-affinity");
    policy_is("o2", GROUP, "anti-affinity", "anti-affinity"); /* its stack is yet to be made */
    policy_is("o2", NULL, "affinity", "soft-anti-affinity");
    forget();
}

TEST_MAIN("sdk_heat_cluster", NULL, NULL, TEST(test_each_has_its_name_and_its_id_is_told),
          TEST(test_a_poll_is_one_exchange), TEST(test_what_was_begun_ends_with_its_operation),
          TEST(test_a_drivers_own_state_is_kept), TEST(test_nodegroups_go_before_the_cluster),
          TEST(test_names_suffice_when_the_ledger_is_lost), TEST(test_one_list_serves_many_looks),
          TEST(test_nodes_are_published_without_blanks), TEST(test_a_cluster_stays_in_its_subnet),
          TEST(test_an_option_for_new_stacks_leaves_old_ones_alone))
