/* The program `magnum` as users run it, against a small service that answers from a table and
 * remembers what it was asked: output formats, exit codes, waiting, credentials, config files. */
#include "base/io.h"
#include "base/jsonx.h"
#include "component/http_config.h"
#include "http/server.h"
#include "support/cunit_main.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- the service ---- */

struct route {
    const char *method, *path;
    int status;
    const char *answers[6]; /* one after the other; the last one stays */
    int asked;
};
static struct route *routes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct str seen; /* "METHOD path?query body\n" */
static char seen_headers[1024];
static struct http_server *server;
static char dir[] = "/tmp/magnum-cli.XXXXXX";
static char *endpoint, *binary;

static void note_arg(void *ctx, const char *name, const char *value)
{
    str_printf(ctx, "%c%s=%s", strchr(str_text(ctx), '?') ? '&' : '?', name, value);
}

static void note(const struct http_request *q)
{
    _cleanup_str_ struct str line = STR_INIT;
    str_printf(&line, "%s %s", q->method, q->raw_path);
    http_request_query(q, note_arg, &line);
    str_printf(&seen, "%s%s%s\n", str_text(&line), q->body_len ? " " : "", q->body);
    static const char *const names[] = {"OpenStack-API-Version", "Authorization", "X-Auth-Token",
                                        "Content-Type", "Accept"};
    seen_headers[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *v = http_request_header(q, names[i]);
        size_t n = strlen(seen_headers);
        if (v)
            snprintf(seen_headers + n, sizeof seen_headers - n, "%s: %s\n", names[i], v);
    }
}

static void serve(void *ctx, const struct http_request *q, struct http_response *r)
{
    (void)ctx;
    pthread_mutex_lock(&lock);
    note(q);
    r->status = 404;
    const char *body = "{\"errors\": [{\"status\": 404, \"title\": \"Not here\", "
                       "\"detail\": \"Nothing of that name.\"}]}";
    for (struct route *t = routes; t && t->method; t++)
        if (strcmp(t->method, q->method) == 0 && strcmp(t->path, q->path) == 0) {
            r->status = t->status;
            body = t->answers[t->asked];
            if (t->answers[t->asked + 1])
                t->asked++;
            if (body && strncmp(body, "503", 3) == 0) {
                r->status = 503;
                body = "{}";
            }
            break;
        }
    str_append(&r->body, body);
    pthread_mutex_unlock(&lock);
    (void)http_response_header(r, "Content-Type", "application/json");
}

static void refuse(void *ctx, const struct http_request *q, const struct err *why,
                   struct http_response *r)
{
    (void)ctx;
    (void)q;
    r->status = err_http_status(why->code);
}

static int setup(void)
{
    const char *build = getenv("MAGNUM_BUILD_DIR");
    struct config cfg = test_config();
    struct err e = ERR_INIT;
    cfg.api_port = 0;
    if (!build || !mkdtemp(dir) || chdir(dir) != 0 ||
        http_server_start(&cfg, serve, refuse, NULL, &server, &e) != 0)
        return -1;
    binary = str_fmt("%s/bin/magnum", build);
    endpoint = str_fmt("http://127.0.0.1:%d/v1/", http_server_port(server));
    return access(binary, X_OK);
}

static int teardown(void)
{
    http_server_stop(&server);
    str_free(&seen);
    free(binary);
    free(endpoint);
    _cleanup_free_ char *cmd = str_fmt("rm -rf %s", dir);
    return chdir("/") != 0 || system(cmd) != 0;
}

/* ---- the client ---- */

static struct {
    int code;
    char *out, *err;
} got;

static char *slurp(const char *path)
{
    char *text = NULL;
    struct err e = ERR_INIT;
    ASSERT_OK(io_read_file(path, 1 << 20, &text, NULL, &e), &e);
    return text;
}

/* Runs it with the blank separated arguments and environment entries ("A=b C=d"); the endpoint is
 * in the environment unless env names other things. */
static void run_env(const char *env, const char *args)
{
    _cleanup_strv_ struct strv argv = STRV_INIT, envp = STRV_INIT;
    _cleanup_free_ char *where = str_fmt("MAGNUM_ENDPOINT=%s", endpoint);
    CU_ASSERT_FATAL(strv_add(&argv, "magnum") == 0 && strv_split(&argv, args, ' ') == 0);
    CU_ASSERT_FATAL(
        strv_add(&envp, "LC_ALL=C.UTF-8") == 0 && strv_add(&envp, "HOME=/nowhere") == 0 &&
        strv_add(&envp, "SHELL=/bin/sh") == 0 && strv_split(&envp, env ? env : where, ' ') == 0);
    posix_spawn_file_actions_t fa;
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&fa, 1, "out", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&fa, 2, "err", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t pid;
    int status = 0;
    str_clear(&seen);
    CU_ASSERT_FATAL(posix_spawn(&pid, binary, &fa, NULL, argv.v, envp.v) == 0);
    CU_ASSERT_FATAL(waitpid(pid, &status, 0) == pid);
    posix_spawn_file_actions_destroy(&fa);
    free(got.out);
    free(got.err);
    got.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    got.out = slurp("out");
    got.err = slurp("err");
}
static void run(const char *args)
{
    run_env(NULL, args);
}

static void show_run(const char *what)
{
    fprintf(stderr, "expected %s; exit %d, stdout:\n%s\nstderr:\n%s\nasked:\n%s\n", what, got.code,
            got.out, got.err, str_text(&seen));
}
#define EXPECT(cond)                                                                               \
    do {                                                                                           \
        bool ok_ = (cond);                                                                         \
        if (!ok_)                                                                                  \
            show_run(#cond);                                                                       \
        CU_ASSERT_TRUE(ok_);                                                                       \
    } while (0)
static bool out_has(const char *s)
{
    return strstr(got.out, s) != NULL;
}
static bool err_has(const char *s)
{
    return strstr(got.err, s) != NULL;
}
static bool was_asked(const char *s)
{
    return strstr(str_text(&seen), s) != NULL;
}

#define UUID "0b4b766f-1500-44b3-9804-5a6e12fe6df4"
#define CLUSTER                                                                                    \
    "{\"uuid\": \"" UUID "\", \"name\": \"demo\", \"status\": \"CREATE_COMPLETE\", "               \
    "\"node_count\": 2, \"keypair\": null, \"labels\": {\"a\": \"b\"}, "                           \
    "\"cluster_template_id\": \"t1\", \"api_address\": \"tcp://10.0.0.5:2376\", \"links\": []}"
#define OPERATION(status, percent, rest)                                                           \
    "{\"id\": \"op1\", \"kind\": \"create\", \"status\": \"" status "\", \"percent\": " percent    \
    ", \"stage\": \"nodes\"" rest "}"
#define FOLLOWED(status, percent, more)                                                            \
    "{\"events\": [], \"cursor\": 7, \"operation\": " OPERATION(status, percent, more) "}"
#define OPERATIONS "{\"operations\": [" OPERATION("RUNNING", "10", "") "]}"

static void prints_lists(void)
{
    struct route table[] = {{"GET", "/v1/clusters", 200, {"{\"clusters\": [" CLUSTER "]}"}, 0},
                            {0}};
    routes = table;
    run("cluster list");
    EXPECT(got.code == 0 && !*got.err);
    EXPECT(out_has("uuid") && out_has(UUID) && out_has("demo") && out_has("CREATE_COMPLETE"));
    EXPECT(strcmp(str_text(&seen), "GET /v1/clusters\n") == 0);
    EXPECT(strstr(seen_headers, "OpenStack-API-Version: container-infra latest\n") != NULL);
    EXPECT(strstr(seen_headers, "Authorization") == NULL);
    run("cluster list -f value -c name -c node_count -c keypair");
    EXPECT(got.code == 0 && strcmp(got.out, "demo 2 \n") == 0);
    run("--format=json cluster list -c name -c labels");
    _cleanup_json_ json_t *doc = json_loads(got.out, 0, NULL);
    EXPECT(json_array_size(doc) == 1 && json_object_size(json_array_get(doc, 0)) == 2);
    EXPECT(str_eq(jsonx_str(json_array_get(doc, 0), "name"), "demo"));
    run("cluster list -f yaml -c name");
    EXPECT(got.code == 0 && strcmp(got.out, "- name: demo\n") == 0);
    run("cluster list -c no_such");
    EXPECT(got.code == 2 && err_has("no column 'no_such'"));
    run("cluster list -f xml");
    EXPECT(got.code == 2 && err_has("not 'xml'"));
}

static void prints_items(void)
{
    struct route table[] = {{"GET", "/v1/clusters/demo", 200, {CLUSTER}, 0}, {0}};
    routes = table;
    run("cluster show demo");
    EXPECT(got.code == 0 && out_has("status") && out_has("CREATE_COMPLETE"));
    EXPECT(out_has("{\"a\":\"b\"}") && !out_has("links"));
    run("cluster show demo -f value -c status");
    EXPECT(strcmp(got.out, "CREATE_COMPLETE\n") == 0);
    run("cluster show demo -f json");
    _cleanup_json_ json_t *doc = json_loads(got.out, 0, NULL);
    EXPECT(jsonx_int(doc, "node_count", 0) == 2);
    run("cluster show no/where");
    EXPECT(got.code == 3 && was_asked("GET /v1/clusters/no%2Fwhere"));
    EXPECT(strcmp(got.err, "magnum: Nothing of that name. (HTTP 404)\n") == 0);
}

static void follows_pages(void)
{
    struct route table[] = {
        {"GET",
         "/v1/clusters",
         200,
         {"{\"clusters\": [{\"name\": \"a\"}, {\"name\": \"b\"}], "
          "\"next\": \"http://other.example:1/v1/clusters?sort_key=name&limit=2&marker=b\"}",
          "{\"clusters\": [{\"name\": \"c\"}]}"},
         0},
        {0}};
    routes = table;
    run("cluster list -f value -c name --sort-key name");
    EXPECT(got.code == 0 && strcmp(got.out, "a\nb\nc\n") == 0);
    EXPECT(strcmp(str_text(&seen), "GET /v1/clusters?sort_key=name\n"
                                   "GET /v1/clusters?sort_key=name&limit=2&marker=b\n") == 0);
    table[0].asked = 0;
    run("cluster list -f value -c name --limit 2");
    EXPECT(strcmp(got.out, "a\nb\n") == 0);
    EXPECT(strcmp(str_text(&seen), "GET /v1/clusters?limit=2\n") == 0);
    run("cluster list --limit 0");
    EXPECT(got.code == 2);
}

static void tells_failures_by_exit_code(void)
{
    struct route table[] = {
        {"GET", "/v1/clusters", 403, {"{\"errors\": [{\"title\": \"Policy says no\"}]}"}, 0},
        {"GET", "/v1/stats", 401, {"{\"error\": {\"message\": \"Log in\\u001b[2J.\"}}"}, 0},
        {"GET", "/v1/drivers", 503, {"{}"}, 0},
        {"GET", "/v1/mservices", 200, {"<html>a proxy</html>"}, 0},
        {"GET", "/v1/quotas", 302, {""}, 0},
        {0}};
    routes = table;
    run("cluster list");
    EXPECT(got.code == 1 && strcmp(got.err, "magnum: Policy says no (HTTP 403)\n") == 0);
    run("stats");
    EXPECT(got.code == 1 && strcmp(got.err, "magnum: Log in?[2J. (HTTP 401)\n") == 0);
    run("driver list");
    EXPECT(got.code == 6);
    run("service list");
    EXPECT(got.code == 1 && err_has("is the endpoint right?"));
    run("quota list");
    EXPECT(got.code == 1);
    run_env("MAGNUM_ENDPOINT=http://127.0.0.1:1", "cluster list");
    EXPECT(got.code == 6 && err_has("cannot reach the service at http://127.0.0.1:1: "));
    run_env("MAGNUM_ENDPOINT=ftp://x", "cluster list");
    EXPECT(got.code == 2 && err_has("must start with http://"));
    run("cluster");
    EXPECT(got.code == 2 && err_has("cluster create") && !err_has("driver list"));
    run("clutser list");
    EXPECT(got.code == 2 && err_has("there is no command 'clutser list'"));
    run("");
    EXPECT(got.code == 2 && err_has("usage: magnum COMMAND"));
    run("cluster show");
    EXPECT(got.code == 2);
    run("cluster create --help");
    EXPECT(got.code == 0 && out_has("--cluster-template") && out_has("Exit codes"));
    run("help cluster create");
    EXPECT(got.code == 0 && out_has("--cluster-template"));
    run("--version");
    EXPECT(got.code == 0 && strcmp(got.out, "magnum " MAGNUM_VERSION "\n") == 0);
}

static void creates_templates(void)
{
    struct route table[] = {{"POST", "/v1/clustertemplates", 201, {"{\"uuid\": \"t1\"}"}, 0}, {0}};
    routes = table;
    run("cluster template create swarm --coe swarm --image linux --server-type local "
        "--tls-disabled --labels a=b;c=d -f value -c uuid");
    EXPECT(got.code == 0 && strcmp(got.out, "t1\n") == 0);
    EXPECT(was_asked("POST /v1/clustertemplates {\"name\":\"swarm\",\"coe\":\"swarm\","
                     "\"image_id\":\"linux\",\"server_type\":\"local\",\"tls_disabled\":true,"
                     "\"labels\":{\"a\":\"b\",\"c\":\"d\"}}"));
    EXPECT(strstr(seen_headers, "Content-Type: application/json\n") != NULL);
    run("cluster template create swarm --coe swarm");
    EXPECT(got.code == 2 && err_has("--image"));
}

static void waits_with_progress(void)
{
    struct route table[] = {{"POST", "/v1/clusters", 202, {"{\"uuid\": \"" UUID "\"}"}, 0},
                            {"GET", "/v1/clusters/" UUID "/operations", 200, {OPERATIONS}, 0},
                            {"GET",
                             "/v1/operations/op1/events",
                             200,
                             {FOLLOWED("RUNNING", "10", ", \"message\": \"one of two\""), "503",
                              FOLLOWED("RUNNING", "60", ", \"message\": \"two of\\u001b two\""),
                              FOLLOWED("SUCCEEDED", "100", "")},
                             0},
                            {"GET", "/v1/clusters/" UUID, 200, {CLUSTER}, 0},
                            {0}};
    routes = table;
    run("cluster create demo --cluster-template t --wait");
    EXPECT(got.code == 0);
    EXPECT(was_asked("POST /v1/clusters {\"name\":\"demo\",\"cluster_template_id\":\"t\"}"));
    EXPECT(was_asked("GET /v1/clusters/" UUID "/operations?limit=1"));
    EXPECT(was_asked("GET /v1/operations/op1/events?after=0&follow=20\n"));
    EXPECT(was_asked("GET /v1/operations/op1/events?after=7&follow=20\n"));
    EXPECT(err_has("create 10% nodes: one of two (") && err_has("the service is away"));
    EXPECT(err_has("create 60% nodes: two of? two (") && err_has("create done ("));
    EXPECT(out_has("Request to create cluster " UUID " accepted\n") && out_has("CREATE_COMPLETE"));
    table[2].asked = 0;
    run("cluster create demo --cluster-template t --wait -f json");
    _cleanup_json_ json_t *doc = json_loads(got.out, 0, NULL); /* nothing else on stdout */
    EXPECT(str_eq(jsonx_str(doc, "uuid"), UUID));
    run("cluster create demo --cluster-template t");
    EXPECT(got.code == 0 && strcmp(got.out, "Request to create cluster " UUID " accepted\n") == 0);
    EXPECT(!was_asked("operations"));
    run("cluster create demo");
    EXPECT(got.code == 2 && err_has("--cluster-template is needed"));
}

static void waits_for_bad_ends(void)
{
    struct route table[] = {
        {"POST", "/v1/clusters/demo/actions/resize", 202, {"{\"uuid\": \"" UUID "\"}"}, 0},
        {"GET", "/v1/clusters/" UUID "/operations", 200, {OPERATIONS}, 0},
        {"GET",
         "/v1/operations/op1/events",
         200,
         {FOLLOWED("BLOCKED", "30",
                   ", \"actor\": \"operator\", \"reason\": \"no disk\", \"remedy\": \"add one\""),
          FOLLOWED("FAILED", "30",
                   ", \"code\": \"nodes-failed\", \"reason\": \"no disk\", \"remedy\": "
                   "\"add one\"")},
         0},
        {0}};
    routes = table;
    run("cluster resize demo 3 --nodes-to-remove n1 --nodegroup g --wait");
    EXPECT(got.code == 4);
    EXPECT(was_asked("POST /v1/clusters/demo/actions/resize {\"node_count\":3,"
                     "\"nodes_to_remove\":[\"n1\"],\"nodegroup\":\"g\"}"));
    EXPECT(err_has("create 30% BLOCKED, operator must act: no disk; remedy: add one"));
    EXPECT(err_has("magnum: create FAILED: nodes-failed: no disk; remedy: add one\n"));
    table[2].asked = 0;
    table[2].answers[1] = NULL;
    run("cluster resize demo 3 --wait --wait-timeout 1");
    EXPECT(got.code == 5 && err_has("magnum operation show op1"));
    run("cluster resize demo -1");
    EXPECT(got.code == 2);
    run("cluster resize demo x");
    EXPECT(got.code == 2 && err_has("not 'x'"));
}

static void deletes_several(void)
{
    struct route table[] = {
        {"GET", "/v1/clusters/a", 200, {"{\"uuid\": \"ua\"}"}, 0},
        {"GET", "/v1/clusters/b", 200, {"{\"uuid\": \"ub\"}"}, 0},
        {"DELETE", "/v1/clusters/a", 204, {""}, 0},
        {"DELETE", "/v1/clusters/b", 204, {""}, 0},
        {"GET", "/v1/clusters/ua/operations", 200, {OPERATIONS}, 0},
        {"GET", "/v1/clusters/ub/operations", 200, {OPERATIONS}, 0},
        {"GET",
         "/v1/operations/op1/events",
         200,
         {FOLLOWED("SUCCEEDED", "100",
                   ", \"report\": {\"left_behind\": [{\"kind\": \"volume\", \"name\": \"v1\","
                   " \"external_id\": \"x\"}]}")},
         0},
        {0}};
    routes = table;
    run("cluster delete a missing b --wait --force");
    EXPECT(got.code == 3 && err_has("Nothing of that name."));
    EXPECT(was_asked("DELETE /v1/clusters/a?force=true"));
    EXPECT(err_has("left behind, to be removed by hand:\n  volume v1 x\n"));
    EXPECT(out_has("Request to delete cluster a has been accepted.") &&
           out_has("Request to delete cluster b has been accepted."));
    const char *asked = strstr(str_text(&seen), "DELETE /v1/clusters/b");
    EXPECT(asked && strstr(asked, "/v1/clusters/ua/operations")); /* waited for afterwards */
}

static void updates(void)
{
    struct route table[] = {{"PATCH", "/v1/clusters/demo", 202, {"{\"uuid\": \"" UUID "\"}"}, 0},
                            {0}};
    routes = table;
    run("cluster update demo replace node_count=3 /name=n --rollback");
    EXPECT(got.code == 0);
    EXPECT(was_asked("PATCH /v1/clusters/demo?rollback=True "
                     "[{\"op\":\"replace\",\"path\":\"/node_count\",\"value\":3},"
                     "{\"op\":\"replace\",\"path\":\"/name\",\"value\":\"n\"}]"));
    run("cluster update demo remove labels/a");
    EXPECT(was_asked("[{\"op\":\"remove\",\"path\":\"/labels/a\"}]"));
    run("cluster update demo put a=b");
    EXPECT(got.code == 2);
}

static void finds_service_and_credentials(void)
{
    struct route table[] = {{"GET", "/v1/stats", 200, {"{\"clusters\": 1, \"nodes\": 2}"}, 0}, {0}};
    routes = table;
    _cleanup_free_ char *basic = str_fmt("OS_ENDPOINT=%s OS_AUTH_TYPE=http_basic OS_USERNAME=ann "
                                         "OS_PASSWORD=p:w",
                                         endpoint);
    run_env(basic, "stats -f value");
    EXPECT(got.code == 0 && strcmp(got.out, "1\n2\n") == 0);
    EXPECT(strstr(seen_headers, "Authorization: Basic YW5uOnA6dw==\n") != NULL);
    _cleanup_free_ char *token = str_fmt("OS_ENDPOINT_OVERRIDE=%s OS_TOKEN=t0k", endpoint);
    run_env(token, "stats");
    EXPECT(strstr(seen_headers, "X-Auth-Token: t0k\n") != NULL);
    _cleanup_free_ char *other = str_fmt("OS_ENDPOINT=%s OS_AUTH_TYPE=password", endpoint);
    run_env(other, "stats");
    EXPECT(got.code == 2 && err_has("auth type 'password' needs OS_AUTH_URL"));
    _cleanup_free_ char *odd = str_fmt("OS_ENDPOINT=%s OS_AUTH_URL=http://k:5000/v3 "
                                       "OS_AUTH_TYPE=kerberos",
                                       endpoint);
    run_env(odd, "stats");
    EXPECT(got.code == 2 && err_has("auth type 'kerberos' is not known here"));
    run_env("OS_AUTH_URL=http://k:5000", "stats");
    EXPECT(got.code == 2 && err_has("Keystone is named, but not who you are"));
    run_env("OS_AUTH_URL=http://127.0.0.1:1/v3 OS_USERNAME=a OS_PASSWORD=b", "stats");
    EXPECT(got.code == 6 && err_has("cannot reach Keystone"));
    run_env("OS_AUTH_URL=http://127.0.0.1:1 OS_APPLICATION_CREDENTIAL_SECRET=x", "stats");
    EXPECT(got.code == 2 && err_has("OS_APPLICATION_CREDENTIAL_ID"));
    _cleanup_free_ char *no_keystone = /* another service in its place */
        str_fmt("OS_AUTH_URL=%s/v3 OS_USERNAME=a OS_PASSWORD=b OS_PROJECT_NAME=p", endpoint);
    run_env(no_keystone, "stats");
    EXPECT(got.code == 1 && err_has("Keystone does not let us in"));
    EXPECT(was_asked("/v3/auth/tokens {\"auth\":{\"identity\":{\"methods\":[\"password\"],"
                     "\"password\":{\"user\":{\"name\":\"a\",\"domain\":{\"id\":\"default\"},"
                     "\"password\":\"b\"}}},\"scope\":{\"project\":{\"name\":\"p\",\"domain\":"
                     "{\"id\":\"default\"}}}}}"));
    _cleanup_free_ char *half = str_fmt("OS_ENDPOINT=%s OS_AUTH_TYPE=http_basic", endpoint);
    run_env(half, "stats");
    EXPECT(got.code == 2 && err_has("OS_USERNAME and OS_PASSWORD"));
    _cleanup_free_ char *option = str_fmt("stats --endpoint %s", endpoint);
    run_env("MAGNUM_ENDPOINT=http://127.0.0.1:1", option);
    EXPECT(got.code == 0);
}

static void reads_clouds_yaml(void)
{
    struct route table[] = {{"GET", "/v1/stats", 200, {"{\"clusters\": 1}"}, 0}, {0}};
    routes = table;
    _cleanup_free_ char *yaml = str_fmt("clouds:\n"
                                        "  here:\n"
                                        "    auth_type: http_basic\n"
                                        "    auth: {endpoint: \"%s\", username: u, password: p}\n"
                                        "  far:\n"
                                        "    auth: {auth_url: \"http://k\", username: u}\n",
                                        endpoint);
    struct err e = ERR_INIT;
    ASSERT_OK(io_write_file("clouds.yaml", yaml, strlen(yaml), 0600, &e), &e);
    run_env("OS_CLOUD=here", "stats");
    EXPECT(got.code == 0 && strstr(seen_headers, "Authorization: Basic dTpw\n") != NULL);
    run_env("MAGNUM_ENDPOINT=http://127.0.0.1:1", "--os-cloud here stats");
    EXPECT(got.code == 0);
    run_env("OS_CLOUD=far", "stats");
    EXPECT(got.code == 2 && err_has("Keystone"));
    run_env("OS_CLOUD=nowhere", "stats");
    EXPECT(got.code == 2 && err_has("no cloud named 'nowhere'"));
    (void)unlink("clouds.yaml");
    run_env("OS_CLOUD=here", "stats");
    EXPECT(got.code == 2 && err_has("there is no clouds.yaml"));
}

static void speaks_over_unix_sockets(void)
{
    struct route table[] = {{"GET", "/v1/stats", 200, {"{\"clusters\": 1}"}, 0}, {0}};
    routes = table;
    _cleanup_free_ char *path = str_fmt("%s/api.sock", dir);
    struct config cfg = test_config();
    cfg.api_unix_socket = path;
    struct http_server *second = NULL;
    struct err e = ERR_INIT;
    ASSERT_OK(http_server_start(&cfg, serve, refuse, NULL, &second, &e), &e);
    _cleanup_free_ char *env = str_fmt("MAGNUM_ENDPOINT=unix:%s", path);
    run_env(env, "stats");
    EXPECT(got.code == 0 && was_asked("GET /v1/stats"));
    http_server_stop(&second);
    run_env(env, "stats");
    EXPECT(got.code == 6 && err_has(path));
}

/* ---- cluster config ---- */

#define TEMPLATE(coe) "{\"uuid\": \"t1\", \"coe\": \"" coe "\", \"tls_disabled\": false}"

static mode_t mode_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_mode & 0777 : 0;
}

/* Was the CSR that the service got made with the key in this PEM text? */
static bool csr_fits(const char *key_pem)
{
    const char *at = strstr(str_text(&seen), "POST /v1/certificates ");
    _cleanup_json_ json_t *body =
        at ? json_loads(strchr(at, '{'), JSON_DISABLE_EOF_CHECK, NULL) : NULL;
    const char *csr = jsonx_str(body, "csr");
    if (!csr || !str_eq(jsonx_str(body, "cluster_uuid"), UUID))
        return false;
    BIO *kb = BIO_new_mem_buf(key_pem, -1), *cb = BIO_new_mem_buf(csr, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(kb, NULL, NULL, NULL);
    X509_REQ *req = PEM_read_bio_X509_REQ(cb, NULL, NULL, NULL);
    char cn[64] = "", o[64] = "";
    if (req) {
        X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(req), NID_commonName, cn, sizeof cn);
        X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(req), NID_organizationName, o,
                                  sizeof o);
    }
    bool ok = key && req && X509_REQ_verify(req, key) == 1 && strcmp(cn, "admin") == 0 &&
              strcmp(o, "system:masters") == 0;
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    BIO_free(kb);
    BIO_free(cb);
    return ok;
}

static void writes_what_docker_needs(void)
{
    struct route table[] = {{"GET", "/v1/clusters/demo", 200, {CLUSTER}, 0},
                            {"GET", "/v1/clustertemplates/t1", 200, {TEMPLATE("swarm")}, 0},
                            {"GET", "/v1/certificates/" UUID, 200, {"{\"pem\": \"the ca\\n\"}"}, 0},
                            {"POST", "/v1/certificates", 201, {"{\"pem\": \"the cert\\n\"}"}, 0},
                            {0}};
    routes = table;
    run("cluster config demo --dir it's/here");
    EXPECT(got.code == 0);
    _cleanup_free_ char *want =
        str_fmt("export DOCKER_HOST='tcp://10.0.0.5:2376'\n"
                "export DOCKER_CERT_PATH='%s/it'\\''s/here'\nexport DOCKER_TLS_VERIFY='1'\n",
                dir);
    EXPECT(strcmp(got.out, want) == 0);
    _cleanup_free_ char *ca = slurp("it's/here/ca.pem"), *cert = slurp("it's/here/cert.pem");
    _cleanup_free_ char *key = slurp("it's/here/key.pem");
    EXPECT(strcmp(ca, "the ca\n") == 0 && strcmp(cert, "the cert\n") == 0 && csr_fits(key));
    EXPECT(mode_of("it's/here/key.pem") == 0600);
    run("cluster config demo --dir it's/here");
    EXPECT(got.code == 2 && err_has("exists, aborting") && !was_asked("POST"));
    _cleanup_free_ char *kept = slurp("it's/here/key.pem");
    EXPECT(strcmp(kept, key) == 0);
    run("cluster config demo --dir it's/here --force");
    EXPECT(got.code == 0);
    _cleanup_free_ char *fresh = slurp("it's/here/key.pem");
    EXPECT(strcmp(fresh, key) != 0);
}

static void writes_what_kubectl_needs(void)
{
    struct route table[] = {{"GET", "/v1/clusters/demo", 200, {CLUSTER}, 0},
                            {"GET", "/v1/clustertemplates/t1", 200, {TEMPLATE("kubernetes")}, 0},
                            {"GET", "/v1/certificates/" UUID, 200, {"{\"pem\": \"the ca\"}"}, 0},
                            {"POST", "/v1/certificates", 201, {"{\"pem\": \"the cert\"}"}, 0},
                            {0}};
    routes = table;
    run_env(NULL, "cluster config demo --dir k");
    _cleanup_free_ char *want = str_fmt("export KUBECONFIG='%s/k/config'\n", dir);
    EXPECT(got.code == 0 && strcmp(got.out, want) == 0 && mode_of("k/config") == 0600);
    EXPECT(access("k/key.pem", F_OK) != 0);
    _cleanup_free_ char *text = slurp("k/config");
    _cleanup_json_ json_t *doc = json_loads(text, 0, NULL);
    const json_t *cluster = json_array_get(json_object_get(doc, "clusters"), 0);
    EXPECT(str_eq(jsonx_str(cluster, "name"), "demo"));
    cluster = json_object_get(cluster, "cluster");
    EXPECT(str_eq(jsonx_str(cluster, "server"), "tcp://10.0.0.5:2376"));
    EXPECT(str_eq(jsonx_str(cluster, "certificate-authority-data"), "dGhlIGNh"));
    const json_t *user = json_object_get(json_array_get(json_object_get(doc, "users"), 0), "user");
    EXPECT(str_eq(jsonx_str(user, "client-certificate-data"), "dGhlIGNlcnQ="));
    EXPECT(jsonx_str(user, "client-key-data") != NULL);
    run("cluster config demo --dir k");
    EXPECT(got.code == 2);
    run("cluster config demo --dir k2 --output-certs");
    EXPECT(got.code == 0 && access("k2/key.pem", F_OK) == 0 && access("k2/config", F_OK) == 0);
    table[3].status = 409;
    run("cluster config demo --dir k3");
    EXPECT(got.code == 1 && access("k3/config", F_OK) != 0);
}

static void exports_cannot_become_commands(void)
{
    struct route table[] = {
        {"GET",
         "/v1/clusters/demo",
         200,
         {"{\"uuid\": \"" UUID "\", \"name\": \"demo\", \"cluster_template_id\": \"t1\", "
          "\"api_address\": \"tcp://$(touch pwned)';touch pwned;'\"}"},
         0},
        {"GET",
         "/v1/clustertemplates/t1",
         200,
         {"{\"coe\": \"swarm-mode\", \"tls_disabled\": true}"},
         0},
        {0}};
    routes = table;
    run("cluster config demo");
    EXPECT(got.code == 0 && !was_asked("certificates"));
    EXPECT(system("eval \"$(cat out)\" && test \"${DOCKER_HOST#tcp}\" != \"$DOCKER_HOST\"") == 0);
    EXPECT(access("pwned", F_OK) != 0);
}

static void shows_operations_and_drivers(void)
{
    struct route table[] = {
        {"GET", "/v1/operations", 200, {OPERATIONS}, 0},
        {"GET", "/v1/operations/op1", 200, {OPERATION("RUNNING", "10", "")}, 0},
        {"GET", "/v1/clusters/demo/operations", 200, {OPERATIONS}, 0},
        {"GET",
         "/v1/operations/op1/events",
         200,
         {"{\"events\": [{\"id\": 1, \"code\": \"op.accepted\", \"message\": \"hello\"}],"
          " \"cursor\": 1, \"next\": \"http://x/v1/operations/op1/events?after=1&limit=1\"}",
          "{\"events\": [{\"id\": 2, \"code\": \"op.second\"}], \"cursor\": 2}",
          "{\"events\": [{\"id\": 3, \"code\": \"op.third\", \"percent\": 5}], \"cursor\": 3}",
          "{\"events\": [], \"cursor\": 3, \"ended\": true}"},
         0},
        {"POST", "/v1/operations/op1/retry", 202, {OPERATION("PENDING", "0", "")}, 0},
        {"POST", "/v1/operations/op1/cancel", 202, {"{\"id\": \"op1\"}"}, 0},
        {"GET", "/v1/drivers", 200, {"{\"drivers\": [{\"id\": \"d1\", \"ready\": false}]}"}, 0},
        {0}};
    routes = table;
    run("operation list -f value -c id -c status");
    EXPECT(strcmp(got.out, "op1 RUNNING\n") == 0);
    run("operation list demo -f value -c id");
    EXPECT(strcmp(got.out, "op1\n") == 0 && was_asked("GET /v1/clusters/demo/operations\n"));
    run("operation show op1 -f value -c stage");
    EXPECT(strcmp(got.out, "nodes\n") == 0);
    run("operation events op1");
    EXPECT(out_has("op.accepted") && out_has("hello"));
    EXPECT(out_has("op.second")); /* the second page */
    run("operation events op1 -f");
    EXPECT(got.code == 0 && strcmp(got.out, "op.third  5\n") == 0);
    EXPECT(was_asked("events?after=3&follow=30\n"));
    run("operation events op1 -f json");
    EXPECT(got.out[0] == '['); /* -f before a format is the format */
    run("operation retry op1 -f value -c status");
    EXPECT(got.code == 0 && strcmp(got.out, "PENDING\n") == 0);
    run("operation cancel op1 -f value -c id");
    EXPECT(got.code == 0 && strcmp(got.out, "op1\n") == 0);
    run("driver list -f value -c id -c ready");
    EXPECT(strcmp(got.out, "d1 false\n") == 0);
}

static void plans_are_shown(void)
{
    struct route table[] = {
        {"POST",
         "/v1/clusters",
         200,
         {"{\"plan\": {\"kind\": \"create\", \"cluster_name\": \"demo\", \"driver\": \"d\","
          " \"make\": [{\"kind\": \"node\", \"name\": \"n\\u001b1\", \"detail\": \"big\"}],"
          " \"nodes\": {\"now\": 0, \"then\": 2}, \"nodegroups\": [{\"name\": \"w\","
          " \"node_count\": {\"now\": 0, \"then\": 2}}], \"quota\": {\"now\": 1, \"then\": 2,"
          " \"limit\": 20}, \"waits_for\": [\"op9\"]}}"},
         0},
        {"DELETE", "/v1/clusters/demo", 200, {"{\"plan\": null}"}, 0},
        {0}};
    routes = table;
    run("cluster create demo --cluster-template t --plan --wait");
    EXPECT(got.code == 0 && was_asked("POST /v1/clusters?plan=true {"));
    EXPECT(strcmp(got.out, "create of cluster demo by driver d; nothing is done yet\n"
                           "  + node n?1  big\nnodes 0 -> 2: w 0 -> 2\n"
                           "quota clusters 1 -> 2 of 20\nwaits for operation op9\n") == 0);
    run("cluster create demo --cluster-template t --plan -f json");
    _cleanup_json_ json_t *doc = json_loads(got.out, 0, NULL);
    EXPECT(str_eq(jsonx_str(doc, "kind"), "create"));
    run("cluster delete demo --plan");
    EXPECT(was_asked("DELETE /v1/clusters/demo?plan=true\n") && out_has("nothing would be done"));
}

static void full_disks_are_failures(void)
{
    struct route table[] = {{"GET", "/v1/clusters", 200, {"{\"clusters\": [" CLUSTER "]}"}, 0},
                            {0}};
    routes = table;
    _cleanup_free_ char *cmd =
        str_fmt("MAGNUM_ENDPOINT=%s %s cluster list >/dev/full 2>err", endpoint, binary);
    int status = system(cmd);
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    _cleanup_free_ char *text = slurp("err");
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "cannot write the output"));
}

static void ends(void)
{
    free(got.out);
    free(got.err);
}

TEST_MAIN("cli", setup, teardown, TEST(prints_lists), TEST(prints_items), TEST(follows_pages),
          TEST(tells_failures_by_exit_code), TEST(creates_templates), TEST(waits_with_progress),
          TEST(waits_for_bad_ends), TEST(deletes_several), TEST(updates),
          TEST(finds_service_and_credentials), TEST(reads_clouds_yaml),
          TEST(speaks_over_unix_sockets), TEST(writes_what_docker_needs),
          TEST(writes_what_kubectl_needs), TEST(exports_cannot_become_commands),
          TEST(shows_operations_and_drivers), TEST(plans_are_shown), TEST(full_disks_are_failures),
          TEST(ends))
