/* Wrong, huge and hostile values in every attribute, patch, identifier and argument: each answer is
 * a 4xx of Magnum's form or a legal acceptance, never a 5xx, and the service goes on. */
#include "component/api_fixture.h"

#include "api/attrs.h"

#include <pthread.h>

static char *huge, *deep;

static int start(void)
{
    _cleanup_str_ struct str h = STR_INIT, d = STR_INIT;
    str_append_c(&h, '"');
    for (int i = 0; i < 20000; i++)
        str_append(&h, "\xe2\x98\x83"); /* three bytes each */
    str_append_c(&h, '"');
    for (int i = 0; i < 25; i++)
        str_append(&d, "{\"a\":[");
    for (int i = 0; i < 25; i++)
        str_append(&d, "]}");
    huge = str_take(&h);
    deep = str_take(&d);
    return api_fixture_start();
}

static int stop(void)
{
    free(huge);
    free(deep);
    return api_fixture_stop();
}

static const char *const values[] = {
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1.5",
    "-0.0",
    "1e308",
    "9223372036854775807",
    "-9223372036854775808",
    "2147483648",
    "\"\"",
    "\" \"",
    "\"-\"",
    "\"0\"",
    "\"99999999999999999999\"",
    "\"None\"",
    "\"%s%n%x%99999d\"",
    "\"'; DROP TABLE cluster; --\"",
    "\"../../../etc/passwd\"",
    "\"a\\u0007\\u001b[31m\\n\\r\\t\"",
    "\"\\ud83d\\udc33 \\u202e gr\\u00fc\\u00dfe\"",
    "\"<script>alert(1)</script>\"",
    "\"${jndi:ldap://x}\"",
    "[]",
    "[null]",
    "[[[]]]",
    "[1, \"a\", {}]",
    "[{\"key\": \"a\"}]",
    "{}",
    "{\"a\": null}",
    "{\"a\": 1}",
    "{\"a\": {\"b\": []}}",
    "{\"\": \"\"}",
    "\"12121212-3434-4565-8787-909090909090\"",
    NULL, /* huge */
    NULL, /* deep */
};

static const char *value(size_t i)
{
    return values[i] ? values[i] : i + 2 == ARRAY_LEN(values) ? huge : deep;
}

static void one(const char *method, const char *path, const char *body, const char *what)
{
    int status = ask(method, path, body);
    bool accepted = status >= 200 && status < 300;
    bool good = accepted || (status >= 400 && status < 500 && error_body_good());
    if (!good)
        fprintf(stderr, "%s %s %s: %d %.300s\n", method, path, what, status, answer_text());
    CU_ASSERT(good);
}

/* Every attribute of the table with every value, beside a body that is fine without it. */
static void walk(const struct attr_table *t, const char *path, const char *fine)
{
    _cleanup_json_ json_t *body = json_loads(fine, 0, NULL);
    for (size_t a = 0; a < t->n; a++) {
        for (size_t i = 0; i < ARRAY_LEN(values); i++) {
            _cleanup_json_ json_t *copy = json_deep_copy(body);
            json_t *v = json_loads(value(i), JSON_DECODE_ANY, NULL);
            if (!v)
                continue; /* no JSON at all: see broken_documents */
            json_object_set_new(copy, t->v[a].name, v);
            _cleanup_free_ char *text = jsonx_text(copy);
            one("POST", path, text, t->v[a].name);
        }
    }
}

static void template_bodies(void)
{
    walk(&attrs_template, "/v1/clustertemplates",
         "{\"name\":\"t\",\"coe\":\"kubernetes\",\"image_id\":\"simulated\"}");
}

static void cluster_bodies(void)
{
    microversion("latest");
    _cleanup_free_ char *fine =
        str_fmt("{\"name\":\"c\",\"cluster_template_id\":\"%s\"}", make_template(NULL));
    (void)ask("POST", "/v1/quotas", "{\"project_id\":\"default\",\"hard_limit\":100000}");
    walk(&attrs_cluster, "/v1/clusters", fine);
}

static void action_bodies(void)
{
    const char *t = make_template(NULL);
    const char *c = make_cluster(t, NULL);
    conduct();
    _cleanup_free_ char *ng = str_fmt("/v1/clusters/%s/nodegroups", c);
    _cleanup_free_ char *resize = str_fmt("/v1/clusters/%s/actions/resize", c);
    _cleanup_free_ char *upgrade = str_fmt("/v1/clusters/%s/actions/upgrade", c);
    _cleanup_free_ char *to = str_fmt("{\"cluster_template\":\"%s\"}", t);
    _cleanup_free_ char *cert = str_fmt("{\"cluster_uuid\":\"%s\",\"csr\":\"x\"}", c);
    walk(&attrs_nodegroup, ng, "{\"name\":\"n\"}");
    walk(&attrs_resize, resize, "{\"node_count\":1}");
    walk(&attrs_upgrade, upgrade, to);
    walk(&attrs_certificate, "/v1/certificates", cert);
    walk(&attrs_quota, "/v1/quotas", "{\"project_id\":\"z\"}");
    walk(&attrs_federation, "/v1/federations", "{\"name\":\"f\"}");
}

static void patches(void)
{
    _cleanup_free_ char *t = str_fmt("/v1/clustertemplates/%s", make_template("\"labels\":{\"a\":"
                                                                              "\"1\"}"));
    _cleanup_free_ char *c = str_fmt("/v1/clusters/%s", make_cluster(make_template(NULL), NULL));
    _cleanup_free_ char *ng = str_fmt("%s/nodegroups/default-worker", c);
    conduct();
    const char *const targets[] = {t, c, ng};
    static const char *const paths[] = {"/name",
                                        "/labels",
                                        "/labels/a",
                                        "/node_count",
                                        "/node_labels",
                                        "/node_taints",
                                        "/node_taints/0",
                                        "/links/0",
                                        "/health_status_reason",
                                        "/public",
                                        "/docker_volume_size",
                                        "/faults/x/y",
                                        "/created_at/x"};
    static const char *const ops[] = {"add", "replace", "remove"};
    for (size_t k = 0; k < ARRAY_LEN(targets); k++)
        for (size_t p = 0; p < ARRAY_LEN(paths); p++)
            for (size_t o = 0; o < ARRAY_LEN(ops); o++)
                for (size_t i = 0; i < ARRAY_LEN(values); i++) {
                    _cleanup_free_ char *body =
                        str_fmt("[{\"op\":\"%s\",\"path\":\"%s\",\"value\":%s}]", ops[o], paths[p],
                                value(i));
                    one("PATCH", targets[k], body, paths[p]);
                }
    for (size_t k = 0; k < ARRAY_LEN(targets); k++)
        for (size_t i = 0; i < ARRAY_LEN(values); i++) {
            _cleanup_free_ char *list = str_fmt("[%s]", value(i));
            _cleanup_free_ char *op =
                str_fmt("[{\"op\":%s,\"path\":%s,\"value\":1}]", value(i), value(i));
            one("PATCH", targets[k], value(i), "the whole");
            one("PATCH", targets[k], list, "an operation");
            one("PATCH", targets[k], op, "op and path");
        }
}

static void broken_documents(void)
{
    static const char *const bodies[] = {"{",
                                         "[",
                                         "\"",
                                         "nul",
                                         "{\"a\":1,}",
                                         "{'a': 1}",
                                         "{\"a\":1}{\"b\":2}",
                                         "\xff\xfe",
                                         "{\"a\":\"\xc0\x80\"}",
                                         "{\"name\":\"\\ud800\"}",
                                         "{\"name\":\"\\u0000\"}",
                                         "{\"name\":1,\"name\":2}",
                                         "{\"node_count\":1e999}",
                                         "{\"node_count\":99999999999999999999999999}",
                                         "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
                                         "\xef\xbb\xbf{}",
                                         "  ",
                                         "/**/{}"};
    static const char *const paths[] = {"/v1/clusters", "/v1/clustertemplates", "/v1/quotas",
                                        "/v1/certificates"};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        for (size_t p = 0; p < ARRAY_LEN(paths); p++) {
            ASK("POST", paths[p], bodies[i], 400);
            CU_ASSERT(error_body_good());
        }
}

static void oversized_bodies(void)
{
    enum { SIZE = 2 * 1024 * 1024 };
    _cleanup_free_ char *body = malloc(SIZE + 1);
    memset(body, ' ', SIZE);
    body[SIZE] = '\0';
    int status = ask("POST", "/v1/clusters", body);
    CU_ASSERT(status == 413 || status == -1); /* -1: closed before all was sent */
    ASK("GET", "/v1/clusters", NULL, 200);
}

static void identifiers_and_arguments(void)
{
    static const char *const idents[] = {"%27%20OR%201=1",
                                         "%25",
                                         "%2e%2e",
                                         "..",
                                         "%00",
                                         "a%00b",
                                         "%ff%fe",
                                         "%F0%9F%90%B3",
                                         "+",
                                         "a;b=c",
                                         "%3Cscript%3E",
                                         "{0}",
                                         "-1",
                                         "0",
                                         "9223372036854775808",
                                         "null",
                                         "_route",
                                         "12121212-3434-4565-8787-909090909090",
                                         "urn:uuid:12121212343445658787909090909090"};
    static const char *const paths[] = {"/v1/clusters/%s",
                                        "/v1/clustertemplates/%s",
                                        "/v1/clusters/%s/nodegroups/%s",
                                        "/v1/certificates/%s",
                                        "/v1/quotas/%s/%s",
                                        "/v1/federations/%s",
                                        "/v1/operations/%s",
                                        "/v1/operations/%s/events",
                                        "/v1/drivers/%s",
                                        "/v1/clusters?marker=%s",
                                        "/v1/clusters?sort_key=%s",
                                        "/v1/clusters?sort_dir=%s",
                                        "/v1/clusters?limit=%s",
                                        "/v1/quotas?marker=%s",
                                        "/v1/quotas?all_tenants=%s",
                                        "/v1/stats?type=%s",
                                        "/v1/stats?project_id=%s",
                                        "/v1/certificates/x?ca_cert_type=%s",
                                        "/v1/clusters?%s",
                                        "/%s",
                                        "/v1/%s"};
    static const char *const methods[] = {"GET", "DELETE"};
    for (size_t m = 0; m < ARRAY_LEN(methods); m++)
        for (size_t p = 0; p < ARRAY_LEN(paths); p++)
            for (size_t i = 0; i < ARRAY_LEN(idents); i++) {
                _cleanup_str_ struct str path = STR_INIT;
                for (const char *s = paths[p]; *s; s++) {
                    if (s[0] == '%' && s[1] == 's') {
                        str_append(&path, idents[i]);
                        s++;
                    } else {
                        str_append_c(&path, *s);
                    }
                }
                one(methods[m], str_text(&path), NULL, "identifier");
            }
}

static void nothing_was_lost(void)
{
    CU_ASSERT(atoi(sql("SELECT count(*) FROM cluster")) > 0);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation o WHERE NOT EXISTS (SELECT FROM"
                               " operation_event e WHERE e.operation_id = o.id)"),
                           "0");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM cluster c WHERE 2 > (SELECT count(*) FROM"
                               " nodegroup n WHERE n.cluster_id = c.uuid)"),
                           "0");
}

TEST_MAIN("api_hostile", start, stop, TEST(template_bodies), TEST(cluster_bodies),
          TEST(action_bodies), TEST(patches), TEST(broken_documents), TEST(oversized_bodies),
          TEST(identifiers_and_arguments), TEST(nothing_was_lost))
