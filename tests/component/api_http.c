/* The API as HTTP: discovery, version negotiation, routing, content negotiation, headers, query
 * arguments, pages, authentication, and what happens when the database goes away. */
#include "component/api_fixture.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static bool has_version_headers(const char *version)
{
    char want[96];
    const char *h = answer_header("OpenStack-API-Version");
    snprintf(want, sizeof want, "container-infrastructure-management %s", version);
    return h && strcmp(h, want) == 0 && answer_header("OpenStack-API-Minimum-Version") &&
           answer_header("OpenStack-API-Maximum-Version") && answer_header("Vary");
}

static void documents_are_served(void)
{
    ASK("GET", "/", NULL, 200);
    CU_ASSERT_PTR_NULL(answer_header("OpenStack-API-Version"));
    CU_ASSERT_PTR_NOT_NULL(answer_header("x-openstack-request-id"));
    const json_t *v = json_array_get(json_object_get(answer_json(), "versions"), 0);
    CU_ASSERT_STRING_EQUAL(jsonx_str(v, "max_version"), "1.14");
    ASK("GET", "/v1/", NULL, 200);
    CU_ASSERT(has_version_headers("1.1"));
    CU_ASSERT(json_is_array(json_object_get(answer_json(), "credentials")));
    CU_ASSERT_EQUAL(ask_with("GET", "/v1", NULL, "Host: magnum.example.org:1\n"), 200);
    CU_ASSERT_PTR_NOT_NULL(strstr(answer_text(), "http://magnum.example.org:1/v1/clusters/"));
    CU_ASSERT_EQUAL(ask_with("GET", "/v1", NULL, "Host: a\"b<c\n"), 200);
    CU_ASSERT_PTR_NULL(strstr(answer_text(), "b<c"));
    ASK("GET", "/healthcheck", NULL, 200);
    CU_ASSERT_PTR_NULL(answer_header("x-openstack-request-id"));
    CU_ASSERT_EQUAL(ask_with("GET", "/healthcheck/", NULL, "Accept: text/plain\n"), 200);
    CU_ASSERT_STRING_EQUAL(answer_text(), "OK");
    ASK("GET", "/?limit=1", NULL, 400);
    SAYS("Unknown argument: \"limit\"");
}

static void versions_are_negotiated(void)
{
    static const struct {
        const char *header, *text;
        bool headers;
    } refused[] = {
        {"1.3", "Invalid service type for OpenStack-API-Version header", false},
        {"compute 1.3", "Invalid service type for OpenStack-API-Version header", false},
        {"container-infra a.b", "Invalid value for OpenStack-API-Version header", false},
        {"container-infra 1.2.3", "Invalid value for OpenStack-API-Version header", false},
        {"container-infra 1.15", "", true},
        {"container-infra 2.1", "", true},
        {"container-infra 1.0", "", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        char line[128];
        snprintf(line, sizeof line, "OpenStack-API-Version: %s\n", refused[i].header);
        CU_ASSERT_EQUAL(ask_with("GET", "/v1/clusters", NULL, line), 406);
        CU_ASSERT_STRING_EQUAL(detail(), refused[i].text);
        CU_ASSERT_EQUAL(answer_header("OpenStack-API-Version") != NULL, refused[i].headers);
        if (refused[i].headers) {
            const json_t *e = json_array_get(json_object_get(answer_json(), "errors"), 0);
            CU_ASSERT_STRING_EQUAL(jsonx_str(e, "code"), "magnum.microversion-unsupported");
            CU_ASSERT_STRING_EQUAL(jsonx_str(e, "max_version"), "1.14");
        }
    }
    CU_ASSERT_EQUAL(ask_with("GET", "/v1/clusters", NULL, "openstack-api-version: bogus LATEST\n"),
                    200);
    CU_ASSERT(has_version_headers("1.14"));
    microversion("1.8");
    ASK("GET", "/v1/clusters/x/nodegroups", NULL, 406);
    CU_ASSERT(error_body_good());
    microversion("1.6");
    ASK("POST", "/v1/clusters/x/actions/resize", "{\"node_count\":1}", 406);
    SAYS("Version 1.6 was requested but the requested API resize is not supported for this "
         "version.");
    microversion("1.7");
    ASK("POST", "/v1/clusters/x/actions/upgrade", "{\"cluster_template\":\"x\"}", 400);
    SAYS("Cluster upgrade is not supported in the provided microversion.");
    ASK("GET", "/v1/clusters/x", NULL, 404);
    CU_ASSERT(has_version_headers("1.7"));
    microversion(NULL);
}

static void zed_is_spoken(void)
{
    api_fixture_with((const char *const[]){"api.compat=zed", NULL});
    ASK("GET", "/v1", NULL, 200);
    CU_ASSERT_STRING_EQUAL(answer_header("OpenStack-API-Maximum-Version"), "container-infra 1.10");
    CU_ASSERT_PTR_NULL(json_object_get(answer_json(), "credentials"));
    ASK("PATCH", "/v1/credentials/x", NULL, 404);
    CU_ASSERT_EQUAL(ask_with("GET", "/v1/clusters", NULL,
                             "OpenStack-API-Version: container-infrastructure 1.1\n"),
                    406);
    api_fixture_back();
}

static void routing_refuses_as_magnum_does(void)
{
    static const struct {
        const char *method, *path;
        int status;
        const char *allow, *detail;
    } rows[] = {
        {"GET", "/v2", 404, NULL, ""},
        {"GET", "/v1/nosuch", 404, NULL, ""},
        {"GET", "/v1/clusters.json", 404, NULL, ""},
        {"GET", "/v1/clustertemplates/a/b", 404, NULL, ""},
        {"GET", "/v1/a/b/c/d/e/f/g/h/i/j", 404, NULL, ""},
        {"PUT", "/v1/clusters", 405, "DELETE, GET, PATCH, POST", ""},
        {"BREW", "/v1/clusters/x", 405, "DELETE, GET, PATCH, POST", ""},
        {"PUT", "/v1/certificates/x", 405, "GET, PATCH, POST", ""},
        {"DELETE", "/v1/stats", 405, "GET", ""},
        {"GET", "/v1/mservices/1", 405, "GET", ""},
        {"GET", "/v1/clusters/x/actions/resize", 405, "", ""},
        {"PUT", "/", 405, "GET", ""},
        {"POST", "/v1/operations", 405, "GET", ""},
        {"DELETE", "/v1/clusters", 400, NULL, "Missing argument: \"cluster_ident\""},
        {"PATCH", "/v1/quotas", 400, NULL, "Missing argument: \"project_id\""},
        {"GET", "/v1/quotas/p", 400, NULL, "Missing argument: \"resource\""},
        {"GET", "/v1/clusters/detail/", 404, NULL,
         "The %(name)s resource %(id)s could not be found."},
        {"GET", "/v1/clusters/c1/detail", 400, NULL,
         "Invalid input for field/attribute marker. Value: 'c1'. unable to convert to uuid. Error: "
         "Expected a uuid but received c1."},
        {"GET", "/clusters/nope", 404, NULL, "Cluster nope could not be found."},
        {"GET", "//v1//clusters///nope//", 404, NULL, "Cluster nope could not be found."},
        {"GET", "/v1/clusters/a.b", 404, NULL, "Cluster a.b could not be found."},
        {"GET", "/v1/certificates", 405, "GET, PATCH, POST", ""},
        {"GET", "/v1/certificates?limit=1", 405, "GET, PATCH, POST", ""},
        {"GET", "/v1/certificates/detail", 404, NULL, "Cluster detail could not be found."},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ASK(rows[i].method, rows[i].path, NULL, rows[i].status);
        SAYS(rows[i].detail);
        CU_ASSERT(error_body_good());
        if (rows[i].allow) {
            const char *allow = answer_header("Allow");
            CU_ASSERT_PTR_NOT_NULL_FATAL(allow);
            CU_ASSERT_STRING_EQUAL(allow, rows[i].allow);
        }
    }
    ASK("OPTIONS", "/v1/clusters", NULL, 200);
    CU_ASSERT_STRING_EQUAL(answer_text(), "");
    CU_ASSERT_PTR_NULL(answer_header("x-openstack-request-id"));
}

/* The body of a HEAD is never sent; its length tells which one it would have been. */
static void head_is_refused(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)api_listens_on),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static const char rq[] = "HEAD /v1/clusters HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    char buf[4096];
    size_t n = 0;
    CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    CU_ASSERT_EQUAL(write(fd, rq, sizeof rq - 1), (ssize_t)sizeof rq - 1);
    for (ssize_t r; n < sizeof buf - 1 && (r = read(fd, buf + n, sizeof buf - 1 - n)) > 0;)
        n += (size_t)r;
    buf[n] = '\0';
    close(fd);
    CU_ASSERT(str_starts(buf, "HTTP/1.1 405"));
    CU_ASSERT_PTR_NOT_NULL(strstr(buf, "Content-Length: 13\r\n"));
    CU_ASSERT(str_ends(buf, "\r\n\r\n"));
}

static void content_is_negotiated(void)
{
    CU_ASSERT_EQUAL(ask_with("GET", "/v1/clusters", NULL, "Accept: text/html\n"), 406);
    CU_ASSERT(error_body_good());
    CU_ASSERT_EQUAL(ask_with("GET", "/v1/clusters", NULL, "Accept: text/html, */*;q=0.1\n"), 200);
    CU_ASSERT_EQUAL(ask_with("GET", "/v1/clusters", NULL, "Accept: application/json;q=0\n"), 406);
    /* only pure JSON clients are told titles of routing errors */
    CU_ASSERT_EQUAL(ask_with("GET", "/v1/nosuch", NULL, "Accept: */*\n"), 404);
    CU_ASSERT_PTR_NOT_NULL(strstr(answer_text(), "\"title\":\"\""));
    ASK("GET", "/v1/nosuch", NULL, 404);
    CU_ASSERT_PTR_NOT_NULL(strstr(answer_text(), "\"title\":\"Not Found\""));

    static const struct {
        const char *type, *body;
        int status;
        const char *detail;
    } rows[] = {
        {"text/plain", "{}", 415, "Unknown mimetype: text/plain"},
        {"application/json-patch+json", "[]", 415, "Unknown mimetype: application/json-patch+json"},
        {"application/x-www-form-urlencoded", "coe=x&b=1", 400, "Unknown argument: \"b, coe\""},
        {"application/json; charset=utf-8", "{", 400, "Request is not in valid JSON format"},
        {"application/json", "{\"coe\": \"kubernetes\"} x", 400,
         "Request is not in valid JSON format"},
        {"application/json", "{\"b\":1,\"a\":2}", 400,
         "Unknown attributes for argument cluster_template: a, b"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char line[128];
        snprintf(line, sizeof line, "Content-Type: %s\n", rows[i].type);
        CU_ASSERT_EQUAL(ask_with("POST", "/v1/clustertemplates", rows[i].body, line),
                        rows[i].status);
        SAYS(rows[i].detail);
        CU_ASSERT(error_body_good());
    }
    ASK("POST", "/v1/clustertemplates", NULL, 400);
    SAYS("Missing argument: \"cluster_template\"");
    ASK("PATCH", "/v1/clusters/x", NULL, 400);
    SAYS("Missing argument: \"patch\"");
    ASK("PATCH", "/v1/certificates/x", "[]", 400);
    SAYS("Request must be a JSON dict");
    ASK("PATCH", "/v1/certificates/x", "{}", 404);
    CU_ASSERT_EQUAL(
        ask_with("PATCH", "/v1/certificates/x", NULL, "Content-Type: application/octet-stream\n"),
        404);
}

static void arguments_are_checked(void)
{
    static const struct {
        const char *path, *detail;
    } rows[] = {
        {"/v1/clusters?flavour=x&limit=1", "Unknown argument: \"flavour\""},
        {"/v1/clusters/x?fields=name", "Unknown argument: \"fields\""},
        {"/v1/clusters?limit=0", "Limit must be positive"},
        {"/v1/clusters?limit=-3", "Limit must be positive"},
        {"/v1/clusters?sort_dir=up",
         "Invalid sort direction: up. Acceptable values are 'asc' or 'desc'"},
        {"/v1/clusters?sort_key=node_count",
         "The sort_key value \"node_count\" is an invalid field for sorting"},
        {"/v1/clusters?sort_key=id;drop table cluster", "Unknown argument: \"drop table cluster\""},
        {"/v1/clusters?marker=xyz",
         "Invalid input for field/attribute marker. Value: 'xyz'. unable to convert to uuid. "
         "Error: Expected a uuid but received xyz."},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_free_ char *path = str_dup(rows[i].path);
        for (char *blank; (blank = strchr(path, ' '));)
            *blank = '+';
        ASK("GET", path, NULL, 400);
        SAYS(rows[i].detail);
    }
    ASK("GET", "/v1/clusters?limit=1&limit=2", NULL, 400);
    ASK("GET", "/v1/clusters?marker=99999999-2222-4333-8444-555555555555", NULL, 404);
    ASK("GET", "/v1/clusters?&&&", NULL, 200);
    ASK("GET", "/v1/clusters?limit=99999999999", NULL, 200);
    microversion("1.2");
    ASK("PATCH", "/v1/clusters/x?rollback=True", "[]", 400);
    SAYS("Unknown argument: \"rollback\"");
    microversion("1.3");
    ASK("PATCH", "/v1/clusters/x/?rollback=True", "[]", 404);
    ASK("PATCH", "/v1/clusters/x?rollback=perhaps", "[]", 400);
    microversion(NULL);
}

static void pages_follow_each_other(void)
{
    enum { TOTAL = 7 };
    as("u", "pages", "member,reader");
    for (int i = 0; i < TOTAL; i++)
        make_template(NULL);
    static const char *const starts[] = {
        "/v1/clustertemplates?limit=3", "/v1/clustertemplates/detail?limit=3&sort_dir=desc",
        "/v1/clustertemplates?limit=2&sort_key=name", "/v1/clustertemplates?limit=7",
        "/v1/clustertemplates?limit=3&sort_key=flavor_id"};
    for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
        _cleanup_strv_ struct strv seen = STRV_INIT;
        char path[400];
        snprintf(path, sizeof path, "%s", starts[i]);
        for (int pages = 0; pages < 10 && *path; pages++) {
            ASK("GET", path, NULL, 200);
            size_t k;
            json_t *t;
            json_array_foreach(json_object_get(answer_json(), "clustertemplates"), k, t)
            {
                CU_ASSERT_FALSE(strv_has(&seen, jsonx_str(t, "uuid")));
                strv_add(&seen, jsonx_str(t, "uuid"));
            }
            const char *next = text_of("next");
            CU_ASSERT(!*next || strstr(next, "?sort_key=") != NULL);
            const char *rest = *next ? strstr(next, "/v1/") : "";
            snprintf(path, sizeof path, "%s", rest);
            if (strstr(starts[i], "detail") && *rest)
                CU_ASSERT_PTR_NOT_NULL(strstr(rest, "clustertemplates/detail?"));
        }
        CU_ASSERT_EQUAL(seen.n, TOTAL);
        CU_ASSERT_STRING_EQUAL(path, "");
    }
    as(NULL, NULL, NULL);
}

static void basic_authentication_guards(void)
{
    char file[] = "/tmp/magnum-api-users-XXXXXX", option[64];
    /* bcrypt of "secret" with the least cost */
    static const char users[] =
        "ann:$2b$04$UrAwEYWCqhFyodfMIC/9Ue8T9rqTIo4fLow4znNjmH7sT7hbB5jRK:one:member,reader\n";
    int fd = mkstemp(file);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(write(fd, users, sizeof users - 1), (ssize_t)sizeof users - 1);
    close(fd);
    snprintf(option, sizeof option, "auth.http_basic_file=%s", file);
    api_fixture_with((const char *const[]){"auth.strategy=http_basic", option, NULL});
    ASK("GET", "/v1/clusters", NULL, 401);
    CU_ASSERT_PTR_NOT_NULL(answer_header("WWW-Authenticate"));
    CU_ASSERT_PTR_NOT_NULL(answer_header("x-openstack-request-id"));
    CU_ASSERT_PTR_NULL(answer_header("OpenStack-API-Version"));
    CU_ASSERT_EQUAL(jsonx_int(json_object_get(answer_json(), "error"), "code", 0), 401);
    ASK("GET", "/v1/nosuch", NULL, 401);
    as("root", "x", "admin"); /* identities of the client are not believed */
    ASK("GET", "/v1/mservices", NULL, 401);
    CU_ASSERT_EQUAL(ask_with("GET", "/v1/clusters", NULL, "Authorization: Basic !!!\n"), 401);
    CU_ASSERT_EQUAL(ask_with("GET", "/v1/clusters", NULL, "X-Auth-Token: x\n"), 401);
    CU_ASSERT_EQUAL(ask_with("GET", "/v1/clusters", NULL, "Authorization: Basic YW5uOndyb25n\n"),
                    401);
    static const char right[] = "Authorization: Basic YW5uOnNlY3JldA==\n";
    CU_ASSERT_EQUAL(ask_with("GET", "/v1/mservices", NULL, right), 403);
    CU_ASSERT_EQUAL(ask_with("GET", "/v1/clusters", NULL, right), 200);
    as(NULL, NULL, NULL);
    ASK("GET", "/", NULL, 200);
    ASK("GET", "/v1/", NULL, 200);
    ASK("GET", "/v1.json", NULL, 404);
    api_fixture_back();
    unlink(file);
}

static void a_lost_database_is_survived(void)
{
    CU_ASSERT(pg_kill(server));
    /* backends may outlive the killed postmaster for a moment and answer once more */
    int away = 0;
    for (int64_t until = clock_mono_ms() + 60000; away < 5 && clock_mono_ms() < until;)
        away = ask("GET", "/v1/clusters", NULL) == 200 ? 0 : away + 1;
    ASK("GET", "/v1/clusters", NULL, 503);
    CU_ASSERT(error_body_good());
    SAYS("The service is temporarily unavailable.");
    CU_ASSERT_STRING_EQUAL(answer_header("Retry-After"), "1");
    ASK("GET", "/v1", NULL, 200);
    CU_ASSERT(pg_restart(server));
    ASK("GET", "/v1/clusters", NULL, 200);
}

TEST_MAIN("api_http", api_fixture_start, api_fixture_stop, TEST(documents_are_served),
          TEST(versions_are_negotiated), TEST(zed_is_spoken), TEST(routing_refuses_as_magnum_does),
          TEST(head_is_refused), TEST(content_is_negotiated), TEST(arguments_are_checked),
          TEST(pages_follow_each_other), TEST(basic_authentication_guards),
          TEST(a_lost_database_is_survived))
