/* The Heat helper against a scripted Heat of one stack: made, adopted, changed, failed, removed,
 * with every step repeated and the answers lost that a crash would lose. */
#include "support/cunit_main.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/heat.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct { /* the one stack, and what was asked */
    bool there;
    char status[32], tags[64];
    unsigned posts, puts, deletes, gets;
    uint32_t answer; /* every exchange is answered with this status, unless 0 */
    bool lose;       /* the next change happens, but its answer is lost */
    char ledger[16];
    char body[4096];
} heat;

static int32_t answer(mag_http_resp *rp, uint32_t status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int32_t answer(mag_http_resp *rp, uint32_t status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(heat.body, sizeof heat.body, fmt, ap);
    va_end(ap);
    rp->status = status;
    rp->body = mag_text(heat.body);
    return MAG_OK;
}

static const char *tag(void)
{
    const char *cut = strchr(heat.tags, ',');
    return cut ? cut + 1 : "";
}

static int32_t changed(const mag_http_req *rq, mag_http_resp *rp, const char *status,
                       mag_error *err)
{
    _mag_json_ json_t *body = NULL;
    CU_ASSERT_EQUAL(mag_json_parse(rq->body, "body", &body, err), MAG_OK);
    CU_ASSERT_PTR_NULL(json_object_get(body, "files"));
    CU_ASSERT_STRING_EQUAL(mag_json_text(body, "template", ""), "heat_template_version: x");
    heat.there = true;
    snprintf(heat.tags, sizeof heat.tags, "%s", mag_json_text(body, "tags", ""));
    snprintf(heat.status, sizeof heat.status, "%s", status);
    if (heat.lose) {
        heat.lose = false;
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "Lost", NULL, "lost");
    }
    return answer(rp, rq->method[1] == 'O' ? 201 : 202, "{\"stack\": {\"id\": \"s1\"}}");
}

static int32_t http(void *ctx, const mag_op *op, const mag_http_req *rq, mag_http_resp *rp,
                    mag_error *err)
{
    (void)ctx, (void)op;
    CU_ASSERT_STRING_EQUAL(rq->service, "orchestration");
    if (heat.answer)
        return answer(rp, heat.answer, "{\"error\": {\"message\": \"because\"}}");
    if (strcmp(rq->method, "POST") == 0) {
        heat.posts++;
        CU_ASSERT_STRING_EQUAL(heat.ledger, "intent");
        return heat.there ? answer(rp, 409, "{}") : changed(rq, rp, "CREATE_IN_PROGRESS", err);
    }
    if (strcmp(rq->method, "PUT") == 0) {
        heat.puts++;
        return changed(rq, rp, "UPDATE_IN_PROGRESS", err);
    }
    if (strcmp(rq->method, "DELETE") == 0) {
        heat.deletes++;
        snprintf(heat.status, sizeof heat.status, "DELETE_IN_PROGRESS");
        return answer(rp, 204, "%s", "");
    }
    heat.gets++;
    if (strstr(rq->path, "/resources"))
        return answer(rp, 200,
                      "{\"resources\": ["
                      "{\"resource_name\": \"masters\", \"resource_status\": \"CREATE_FAILED\","
                      " \"resource_type\": \"OS::Heat::ResourceGroup\","
                      " \"resource_status_reason\": \"resources.masters: it failed\"},"
                      "{\"resource_name\": \"lb\", \"resource_status\": \"CREATE_FAILED\","
                      " \"resource_type\": \"OS::Octavia::LoadBalancer\","
                      " \"resource_status_reason\": \"CREATE aborted\"},"
                      "{\"resource_name\": \"server\", \"resource_status\": \"CREATE_FAILED\","
                      " \"parent_resource\": \"masters\", \"resource_type\": \"OS::Nova::Server\","
                      " \"resource_status_reason\": \"No valid host was found\"}]}");
    if (strncmp(rq->path, "/stacks?name=", 13) == 0)
        return heat.there ? answer(rp, 200,
                                   "{\"stacks\": [{\"stack_name\": \"mag-1\", \"id\": \"s1\","
                                   " \"stack_status\": \"%s\", \"tags\": [\"magnum\", \"%s\"]}]}",
                                   heat.status, tag())
                          : answer(rp, 200, "{\"stacks\": []}");
    return answer(rp, 200,
                  "{\"stack\": {\"id\": \"s1\", \"stack_status\": \"%s\", \"outputs\": "
                  "[{\"output_key\": \"api\", \"output_value\": \"10.0.0.1\"}]}}",
                  heat.status);
}

static int32_t declare(void *ctx, const mag_op *op, const char *kind, const char *name,
                       mag_bytes data, mag_error *err)
{
    (void)ctx, (void)op, (void)kind, (void)name, (void)data, (void)err;
    if (!heat.ledger[0])
        snprintf(heat.ledger, sizeof heat.ledger, "intent");
    return MAG_OK;
}
static int32_t confirm(void *ctx, const mag_op *op, const char *kind, const char *name,
                       const char *id, mag_error *err)
{
    (void)ctx, (void)op, (void)kind, (void)name, (void)err;
    CU_ASSERT_STRING_EQUAL(id, "s1");
    snprintf(heat.ledger, sizeof heat.ledger, "confirmed");
    return MAG_OK;
}
static int32_t drop(void *ctx, const mag_op *op, const char *kind, const char *name, mag_error *err)
{
    (void)ctx, (void)op, (void)kind, (void)name, (void)err;
    heat.ledger[0] = '\0';
    return MAG_OK;
}

static const mag_host_ledger ledger = {
    .struct_size = sizeof ledger, .declare = declare, .confirm = confirm, .drop = drop};
static const mag_host host = {.struct_size = sizeof host, .http = http};
static const struct mag_services services = {.host = &host, .ledger = &ledger};
static const mag_op op = {.struct_size = sizeof op};
static const struct mag_heat h = {.services = &services, .op = &op};
static struct mag_heat_want want;
static mag_error err;
static mag_step out;
static bool begun;

static void fresh(void)
{
    memset(&heat, 0, sizeof heat);
    want = (struct mag_heat_want){.name = "mag-1", .template = "heat_template_version: x"};
    begun = false;
}

static int32_t step(void)
{
    struct mag_heat_stack s;
    err = (mag_error){.struct_size = sizeof err};
    out = (mag_step){.struct_size = sizeof out};
    int32_t rc = mag_heat_converge(&h, &want, &begun, &s, &out, &err);
    if (rc == MAG_OK)
        CU_ASSERT_STRING_EQUAL(mag_json_text(s.outputs, "api", ""), "10.0.0.1");
    mag_heat_stack_done(&s);
    return rc;
}

static int32_t remove_step(void)
{
    err = (mag_error){.struct_size = sizeof err};
    out = (mag_step){.struct_size = sizeof out};
    return mag_heat_remove(&h, "mag-1", &out, &err);
}

static void becomes(const char *status)
{
    snprintf(heat.status, sizeof heat.status, "%s", status);
}

static void test_made_and_polled(void)
{
    fresh();
    CU_ASSERT_EQUAL(step(), MAG_AGAIN);
    CU_ASSERT(begun);
    CU_ASSERT_STRING_EQUAL(heat.ledger, "confirmed");
    unsigned before = heat.gets;
    CU_ASSERT_EQUAL(step(), MAG_AGAIN);
    CU_ASSERT_EQUAL(heat.gets, before + 1); /* a poll is one exchange */
    CU_ASSERT(out.wait_ms > 0 && strstr(out.message, "mag-1"));
    becomes("CREATE_COMPLETE");
    CU_ASSERT_EQUAL(step(), MAG_OK);
    CU_ASSERT_EQUAL(step(), MAG_OK);
    CU_ASSERT_EQUAL(heat.posts, 1);
    CU_ASSERT_EQUAL(heat.puts, 0);
}

static void test_a_lost_answer_makes_no_second_stack(void)
{
    fresh();
    heat.lose = true;
    CU_ASSERT_EQUAL(step(), MAG_E_UNAVAILABLE);
    CU_ASSERT_FALSE(begun);
    CU_ASSERT_STRING_EQUAL(heat.ledger, "intent");
    CU_ASSERT_EQUAL(step(), MAG_AGAIN);
    becomes("CREATE_COMPLETE");
    CU_ASSERT_EQUAL(step(), MAG_OK);
    CU_ASSERT_EQUAL(heat.posts, 1);
    CU_ASSERT_STRING_EQUAL(heat.ledger, "confirmed");
}

static void test_changed_when_wanted_otherwise(void)
{
    _mag_json_ json_t *parameters = json_pack("{s:i}", "count", 2);
    fresh();
    (void)step();
    becomes("CREATE_COMPLETE");
    want.parameters = parameters;
    begun = false;
    CU_ASSERT_EQUAL(step(), MAG_AGAIN);
    CU_ASSERT_EQUAL(heat.puts, 1);
    CU_ASSERT_EQUAL(step(), MAG_AGAIN);
    becomes("UPDATE_COMPLETE");
    CU_ASSERT_EQUAL(step(), MAG_OK);
    CU_ASSERT_EQUAL(heat.puts, 1);
}

static void test_failure_names_the_resource(void)
{
    fresh();
    (void)step();
    becomes("CREATE_FAILED");
    CU_ASSERT_EQUAL(step(), MAG_E_INTERNAL);
    CU_ASSERT_STRING_EQUAL(err.message,
                           "CREATE_FAILED: server (OS::Nova::Server): No valid host was found");
    CU_ASSERT_STRING_EQUAL(err.reason, "StackFailed");
    /* a new operation asks once more */
    begun = false;
    CU_ASSERT_EQUAL(step(), MAG_AGAIN);
    CU_ASSERT_EQUAL(heat.puts, 1);
    becomes("UPDATE_FAILED");
    CU_ASSERT_EQUAL(step(), MAG_E_INTERNAL);
}

static void test_gone_by_hand(void)
{
    fresh();
    want.must_exist = true;
    CU_ASSERT_EQUAL(step(), MAG_E_PRECONDITION);
    CU_ASSERT_EQUAL(heat.posts, 0);
    fresh();
    (void)step();
    heat.there = false;
    CU_ASSERT_EQUAL(step(), MAG_E_PRECONDITION);
    CU_ASSERT_STRING_EQUAL(err.reason, "StackGone");
}

static void test_refusals_have_codes(void)
{
    static const struct {
        uint32_t status;
        int32_t code;
    } table[] = {{400, MAG_E_INVALID}, {401, MAG_E_AUTH},        {403, MAG_E_DENIED},
                 {409, MAG_E_BUSY},    {500, MAG_E_UNAVAILABLE}, {503, MAG_E_UNAVAILABLE}};
    for (size_t i = 0; i < MAG_LEN(table); i++) {
        fresh();
        heat.answer = table[i].status;
        CU_ASSERT_EQUAL(step(), table[i].code);
        CU_ASSERT_FALSE(begun);
    }
}

static void test_removed(void)
{
    fresh();
    CU_ASSERT_EQUAL(remove_step(), MAG_OK);
    (void)step();
    CU_ASSERT_EQUAL(remove_step(), MAG_AGAIN);
    CU_ASSERT_EQUAL(remove_step(), MAG_AGAIN);
    CU_ASSERT_EQUAL(heat.deletes, 1);
    becomes("DELETE_FAILED");
    CU_ASSERT_EQUAL(remove_step(), MAG_E_UNAVAILABLE);
    CU_ASSERT(err.flags & MAG_ERR_RETRYABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.message, "No valid host"));
    CU_ASSERT_EQUAL(heat.deletes, 2);
    CU_ASSERT_STRING_EQUAL(heat.ledger, "confirmed");
    heat.there = false;
    CU_ASSERT_EQUAL(remove_step(), MAG_OK);
    CU_ASSERT_STRING_EQUAL(heat.ledger, "");
}

static void test_hash(void)
{
    _mag_json_ json_t *a = json_pack("{s:i,s:i}", "x", 1, "y", 2);
    _mag_json_ json_t *b = json_pack("{s:i,s:i}", "y", 2, "x", 1);
    char one[17], two[17], three[17];
    struct mag_heat_want w = {.template = "t", .parameters = a};
    CU_ASSERT(mag_heat_hash(&w, one));
    w.parameters = b;
    CU_ASSERT(mag_heat_hash(&w, two));
    CU_ASSERT_STRING_EQUAL(one, two);
    w.files = b;
    CU_ASSERT(mag_heat_hash(&w, three));
    CU_ASSERT_STRING_NOT_EQUAL(two, three);
}

TEST_MAIN("sdk_heat", NULL, NULL, TEST(test_made_and_polled),
          TEST(test_a_lost_answer_makes_no_second_stack), TEST(test_changed_when_wanted_otherwise),
          TEST(test_failure_names_the_resource), TEST(test_gone_by_hand),
          TEST(test_refusals_have_codes), TEST(test_removed), TEST(test_hash))
