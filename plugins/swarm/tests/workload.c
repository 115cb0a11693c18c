/* Containers: what goes to Docker, what its answers become, and Docker's odd ones; command lines
 * and the frames of output. The daemon's answers are scripted. */
#include "../workload.h"
#include "../swarm_internal.h"
#include "support/scripted_api.h"

static mag_error err = {.struct_size = sizeof err};

static const char *config(void *ctx, const char *key)
{
    (void)ctx;
    return strcmp(key, "container_log_lines") == 0 ? "20" : NULL;
}

static const mag_host host = {.struct_size = sizeof host, .http = scripted_http, .config = config};
static struct mag_instance self = {.host = &host};
static const mag_op op = {.struct_size = sizeof op, .budget_ms = 30000};
static struct mag_call call_of_host = {.self = &self, .op = &op, .err = &err};
static json_t *answer;

static int32_t ask(mag_object_verb verb, const struct mag_object *o)
{
    json_decref(answer);
    answer = NULL;
    err = (mag_error){.struct_size = sizeof err};
    return verb(&call_of_host, o, &answer);
}

#define ANSWER_IS(path_, want) CU_ASSERT_STRING_EQUAL(mag_json_text(answer, path_, "absent"), want)

#define C "/v1.41/containers/"
static const char inspected[] = "{\"Name\":\"/u1\",\"State\":{\"Status\":\"created\"},\"Config\":"
                                "{\"Image\":\"i:1\",\"Labels\":{\"magnum.openstack.org/uuid\":"
                                "\"u1\"}}}";

static int32_t create(const char *doc)
{
    return ask(workload_create, &(struct mag_object){.kind = "container", .doc = mag_text(doc)});
}

static int32_t act(const char *action, const char *args)
{
    const struct mag_object o = {
        .kind = "container", .name = "u1", .action = action, .doc = mag_text(args)};
    return ask(workload_act, &o);
}

static int32_t get(const char *name)
{
    return ask(workload_get, &(struct mag_object){.kind = "container", .name = name});
}

static void test_create(void)
{
    PLAY({"GET", "/v1.41/images/i%3A1/json", NULL, 200, "{}"},
         {"POST", C "create?name=u1", "\"Cmd\":[\"sh\",\"-c\",\"echo 'a b'\"]", 201,
          "{\"Id\":\"x\",\"Warnings\":[]}"},
         {"GET", C "u1/json", NULL, 200, inspected},
         /* the image is not there: pulled, by its tag or the latest */
         {"GET", "/v1.41/images/r.example%3A5000%2Fteam%2Fi/json", NULL, 404,
          "{\"message\":\"No such image\"}"},
         {"POST", "/v1.41/images/create?fromImage=r.example%3A5000%2Fteam%2Fi&tag=latest", NULL,
          200, "{\"status\":\"Pulling\"}\n{\"status\":\"done\"}\n"},
         {"POST", C "create?name=u2", "\"Memory\":4194304", 201, "{\"Id\":\"x\"}"},
         {"GET", C "u2/json", NULL, 200, inspected},
         /* the failure of a pull comes behind a 200 */
         {"GET", "/v1.41/images/nope/json", NULL, 404, "{}"},
         {"POST", "/v1.41/images/create?fromImage=nope&tag=latest", NULL, 200,
          "{\"status\":\"Pulling\"}\n{\"error\":\"manifest unknown\"}"},
         /* the name is taken */
         {"GET", "/v1.41/images/i/json", NULL, 200, "{}"},
         {"POST", C "create?name=u3", NULL, 409, "{\"message\":\"Conflict. In use\"}"});
    CU_ASSERT_EQUAL(create("{\"id\":\"u1\",\"name\":\"web\",\"image\":\"i:1\","
                           "\"command\":\"sh -c \\\"echo 'a b'\\\"\","
                           "\"labels\":{\"magnum.openstack.org/uuid\":\"u1\"}}"),
                    MAG_OK);
    ANSWER_IS("status", "Stopped");
    CU_ASSERT_EQUAL(
        create("{\"id\":\"u2\",\"image\":\"r.example:5000/team/i\",\"memory\":4194304}"), MAG_OK);
    CU_ASSERT_EQUAL(create("{\"id\":\"u2\",\"image\":\"nope\"}"), MAG_E_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(err.message, "Docker API Error : manifest unknown");
    CU_ASSERT_EQUAL(create("{\"id\":\"u3\",\"image\":\"i\"}"), MAG_E_PRECONDITION);
    CU_ASSERT_EQUAL(left, 0);
    CU_ASSERT_EQUAL(create("{\"id\":\"u4\",\"image\":\"i\",\"command\":\"a 'b\"}"), MAG_E_INVALID);
    CU_ASSERT_EQUAL(create("{\"id\":\"u4\"}"), MAG_E_INVALID);
    CU_ASSERT_EQUAL(
        ask(workload_create, &(struct mag_object){.kind = "pod", .doc = mag_text("{}")}),
        MAG_E_UNSUPPORTED);
}

static void test_states(void)
{
    static const struct {
        const char *state, *status, *reason;
    } cases[] = {
        {"{\"Status\":\"running\",\"Running\":true}", "Running", "absent"},
        {"{\"Status\":\"paused\",\"Running\":true,\"Paused\":true}", "Paused", "absent"},
        {"{\"Status\":\"exited\",\"ExitCode\":3}", "Stopped", "It ended with exit code 3"},
        {"{\"Status\":\"exited\",\"ExitCode\":137,\"OOMKilled\":true}", "Stopped",
         "It ended with exit code 137, out of memory"},
        {"{\"Status\":\"created\",\"Error\":\"no such file\"}", "Error", "no such file"},
        {"null", "Unknown", "absent"},
    };
    for (size_t i = 0; i < MAG_LEN(cases); i++) {
        char body[256];
        snprintf(body, sizeof body, "{\"State\":%s}", cases[i].state);
        const struct script one[] = {{"GET", C "u1/json", NULL, 200, body}};
        play(one, 1);
        CU_ASSERT_EQUAL(get("u1"), MAG_OK);
        ANSWER_IS("status", cases[i].status);
        ANSWER_IS("status_reason", cases[i].reason);
    }
}

static void test_list_and_remove(void)
{
    PLAY({"GET", C "json?all=true&filters=%7B%22label%22%3A%5B%22k%22%5D%7D", NULL, 200,
          "[{\"State\":\"running\",\"Labels\":{\"k\":\"u1\"}},{\"State\":\"dead\"}]"},
         {"DELETE", C "u1?force=true&v=true", NULL, 204, ""},
         {"DELETE", C "u1?force=true&v=true", NULL, 404, "{\"message\":\"No such container\"}"},
         {"GET", C "u1/json", NULL, 503, "{\"message\":\"starting\"}"},
         {"GET", C "u1/json", NULL, 500, "no JSON"}, {"GET", C "a%2Fb/json", NULL, 400, "{}"});
    const struct mag_object all = {.kind = "container",
                                   .doc = mag_text("{\"label_selector\":\"k\"}")};
    const struct mag_object one = {.kind = "container", .name = "u1"};
    CU_ASSERT_EQUAL(ask(workload_list, &all), MAG_OK);
    const json_t *items = json_object_get(answer, "items");
    CU_ASSERT_EQUAL(json_array_size(items), 2);
    CU_ASSERT_STRING_EQUAL(mag_json_text(json_array_get(items, 1), "status", ""), "Error");
    CU_ASSERT_EQUAL(ask(workload_remove, &one), MAG_OK);
    CU_ASSERT_EQUAL(ask(workload_remove, &one), MAG_E_NOT_FOUND);
    CU_ASSERT_EQUAL(get("u1"), MAG_E_UNAVAILABLE);
    CU_ASSERT_EQUAL(get("u1"), MAG_E_INTERNAL);
    CU_ASSERT_EQUAL(get("a/b"), MAG_E_INVALID);
    CU_ASSERT_EQUAL(left, 0);
}

static void test_actions(void)
{
    PLAY({"POST", C "u1/start", NULL, 204, ""}, {"GET", C "u1/json", NULL, 200, inspected},
         {"POST", C "u1/stop?t=5", NULL, 304, ""}, {"GET", C "u1/json", NULL, 200, inspected},
         {"POST", C "u1/restart?t=5", NULL, 204, ""}, {"GET", C "u1/json", NULL, 200, inspected},
         {"POST", C "u1/pause", NULL, 409, "{\"message\":\"Container u1 is not running\"}"},
         {"POST", C "u1/unpause", NULL, 500, "{\"message\":\"Container u1 is not paused\"}"},
         {"GET", C "u1/logs?stdout=true&stderr=true&tail=20", NULL, 200, "plain"});
    CU_ASSERT_EQUAL(act("start", ""), MAG_OK);
    ANSWER_IS("container.status", "Stopped");
    CU_ASSERT_EQUAL(act("stop", ""), MAG_OK);
    CU_ASSERT_EQUAL(act("reboot", ""), MAG_OK);
    CU_ASSERT_EQUAL(act("pause", ""), MAG_E_PRECONDITION);
    CU_ASSERT_EQUAL(act("unpause", ""), MAG_E_PRECONDITION);
    CU_ASSERT_EQUAL(act("logs", ""), MAG_OK);
    ANSWER_IS("output", "plain");
    CU_ASSERT_EQUAL(left, 0);
    CU_ASSERT_EQUAL(act("explode", ""), MAG_E_UNSUPPORTED);
}

static void test_execute(void)
{
    PLAY({"POST", C "u1/exec", "\"Cmd\":[\"ls\",\"-l\"]", 201, "{\"Id\":\"e1\"}"},
         {"POST", "/v1.41/exec/e1/start", "\"Detach\":false", 200, "total 0\n"},
         {"GET", "/v1.41/exec/e1/json", NULL, 200, "{\"Running\":false,\"ExitCode\":2}"},
         /* one that never ends */
         {"POST", C "u1/exec", NULL, 201, "{\"Id\":\"e2\"}"},
         {"POST", "/v1.41/exec/e2/start", NULL, 0, NULL},
         {"GET", "/v1.41/exec/e2/json", NULL, 200, "{\"Running\":true}"});
    CU_ASSERT_EQUAL(act("execute", "{\"command\":\"ls -l\"}"), MAG_OK);
    ANSWER_IS("output", "total 0\n");
    CU_ASSERT_EQUAL(act("execute", "{\"command\":\"sleep inf\"}"), MAG_E_TIMEOUT);
    CU_ASSERT_STRING_EQUAL(err.message,
                           "The command did not end in time; it still runs in the container");
    CU_ASSERT_EQUAL(left, 0);
    CU_ASSERT_EQUAL(act("execute", "{\"command\":\" \"}"), MAG_E_INVALID);
    CU_ASSERT_EQUAL(act("execute", "{"), MAG_E_INVALID);
}

static void test_words(void)
{
    static const struct {
        const char *line, *words;
    } cases[] = {
        {"ls", "[\"ls\"]"},
        {"  a  b\tc\n", "[\"a\", \"b\", \"c\"]"},
        {"sh -c 'echo \"x y\" \\z'", "[\"sh\", \"-c\", \"echo \\\"x y\\\" \\\\z\"]"},
        {"a\"b c\"d '' e\\ f", "[\"ab cd\", \"\", \"e f\"]"},
        {"\"\\\"\\n\"", "[\"\\\"\\\\n\"]"},
        {"a\\", "[\"a\\\\\"]"},
        {"", NULL},
        {"   ", NULL},
        {"'open", NULL},
        {"bad \xff", NULL},
    };
    for (size_t i = 0; i < MAG_LEN(cases); i++) {
        _mag_json_ json_t *got = workload_words(cases[i].line);
        _mag_json_ json_t *want = cases[i].words ? json_loads(cases[i].words, 0, NULL) : NULL;
        CU_ASSERT(cases[i].words ? json_equal(got, want) : got == NULL);
    }
}

static void output_is(const char *bytes, size_t len, const char *want)
{
    _mag_free_ char *got = workload_output(bytes, len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(got);
    if (strcmp(got, want) != 0)
        fprintf(stderr, "got \"%s\", not \"%s\"\n", got, want);
    CU_ASSERT_STRING_EQUAL(got, want);
}
#define OUTPUT(bytes, want) output_is(bytes, sizeof bytes - 1, want)
#define BAD "\xef\xbf\xbd"

static void test_output(void)
{
    OUTPUT("\1\0\0\0\0\0\0\3out\2\0\0\0\0\0\0\4err\n\1\0\0\0\0\0\0\2ok", "outerr\nok");
    OUTPUT("", "");
    OUTPUT("\1\0\0\0\0\0\0\0", "");               /* an empty frame */
    OUTPUT("\1\0\0\0\0\0\0\11cut", "cut");        /* the stream ended too early */
    OUTPUT("\1\0\0\0\377\377\377\377cut", "cut"); /* a length that lies */
    OUTPUT("a terminal's text\n", "a terminal's text\n");
    OUTPUT("\1\0\0\0\0\0\0\1\303\1\0\0\0\0\0\0\1\244", "\303\244"); /* a character over two */
    OUTPUT("\377\0\355\240\200\300\200ok", BAD BAD BAD BAD BAD BAD BAD "ok");
}

static void test_tags(void)
{
    static const struct {
        const char *image, *tag;
    } cases[] = {{"a", ""},           {"a:1", ":1"},        {"h:5000/a", ""}, {"h:5000/a:b", ":b"},
                 {"a@sha256:00", ""}, {"a:1@sha256:00", ""}};
    for (size_t i = 0; i < MAG_LEN(cases); i++)
        CU_ASSERT_STRING_EQUAL(workload_tag(cases[i].image), cases[i].tag);
}

TEST_MAIN("swarm_workload", NULL, NULL, TEST(test_create), TEST(test_states),
          TEST(test_list_and_remove), TEST(test_actions), TEST(test_execute), TEST(test_words),
          TEST(test_output), TEST(test_tags))
