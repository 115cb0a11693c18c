/* Unit tests of what decides about a request before any row is read: versions, routes, attribute
 * tables, JSON patches, query arguments, pages. */
#include "api/api_internal.h"
#include "support/cunit_main.h"

/* ---- versions ---- */

static void versions_parse(void)
{
    static const struct {
        const char *header;
        int rc, major, minor;
        bool unsupported;
    } rows[] = {
        {NULL, 0, 1, 1, false},
        {"container-infra 1.10", 0, 1, 10, false},
        {"container-infrastructure 1.14", 0, 1, 14, false},
        {"  container-infrastructure-management\t 1.05 ", 0, 1, 5, false},
        {"bogus latest", 0, 1, 14, false},
        {"container-infra LaTest", 0, 1, 14, false},
        {"latest", ERR_NOT_ACCEPTABLE, 1, 1, false},
        {"", ERR_NOT_ACCEPTABLE, 1, 1, false},
        {"1.3", ERR_NOT_ACCEPTABLE, 1, 1, false},
        {"Container-Infra 1.3", ERR_NOT_ACCEPTABLE, 1, 1, false},
        {"container-infra 1.3 x", ERR_NOT_ACCEPTABLE, 1, 1, false},
        {"container-infra 1.", ERR_NOT_ACCEPTABLE, 1, 1, false},
        {"container-infra .1", ERR_NOT_ACCEPTABLE, 1, 1, false},
        {"container-infra +1.1", ERR_NOT_ACCEPTABLE, 1, 1, false},
        {"container-infra 1.1.1", ERR_NOT_ACCEPTABLE, 1, 1, false},
        {"container-infra 1.99999999999", ERR_NOT_ACCEPTABLE, 1, 1, false},
        {"container-infra 1.0", ERR_NOT_ACCEPTABLE, 1, 0, true},
        {"container-infra 1.15", ERR_NOT_ACCEPTABLE, 1, 15, true},
        {"container-infra 0.1", ERR_NOT_ACCEPTABLE, 0, 1, true},
        {"container-infra 2.1", ERR_NOT_ACCEPTABLE, 2, 1, true},
    };
    struct api_versions known;
    struct err e = ERR_INIT;
    ASSERT_OK(api_versions_from("head", &known, &e), &e);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct api_version v;
        CU_ASSERT_EQUAL(api_version_parse(&known, rows[i].header, &v, &e), rows[i].rc);
        CU_ASSERT_EQUAL(v.major, rows[i].major);
        CU_ASSERT_EQUAL(v.minor, rows[i].minor);
        CU_ASSERT_EQUAL(v.unsupported, rows[i].unsupported);
    }
    ASSERT_OK(api_versions_from("zed", &known, &e), &e);
    struct api_version v;
    CU_ASSERT_EQUAL(api_version_parse(&known, "container-infrastructure 1.1", &v, &e),
                    ERR_NOT_ACCEPTABLE);
    CU_ASSERT_EQUAL(api_version_parse(&known, "container-infra 1.11", &v, &e), ERR_NOT_ACCEPTABLE);
    CU_ASSERT_STRING_EQUAL(e.msg,
                           "Version 1.11 was requested but the minor version is not supported by "
                           "this service. The supported version range is: [container-infra 1.1, "
                           "container-infra 1.10].");
    CU_ASSERT_EQUAL(api_versions_from("yoga", &known, &e), ERR_CONFIG);
}

/* ---- routes ---- */

static void find(const char *method, const char *path, struct route_match *m)
{
    static char copied[256];
    const char *seg[ROUTE_SEGMENTS + 4];
    size_t n = 0;
    char *save = NULL;
    snprintf(copied, sizeof copied, "%s", path);
    for (char *s = strtok_r(copied, "/", &save); s; s = strtok_r(NULL, "/", &save))
        seg[n++] = s;
    route_find(api_routes, api_routes_n, method, seg, n, m);
}

static void routes_are_found(void)
{
    struct route_match m;
    find("GET", "clusters/detail", &m);
    CU_ASSERT(m.outcome == ROUTE_FOUND && m.route->handler == api_cluster_detail);
    find("GET", "clusters/details", &m);
    CU_ASSERT(m.outcome == ROUTE_FOUND && m.route->handler == api_cluster_show);
    CU_ASSERT_STRING_EQUAL(m.args[0], "details");
    find("PATCH", "clusters/a/nodegroups/b", &m);
    CU_ASSERT(m.outcome == ROUTE_FOUND && m.n_args == 2);
    CU_ASSERT_STRING_EQUAL(m.args[1], "b");
    find("GET", "certificates/a/etcd", &m);
    CU_ASSERT(m.outcome == ROUTE_FOUND && m.n_args == 2);
    find("DELETE", "clustertemplates/detail", &m);
    CU_ASSERT(m.outcome == ROUTE_FOUND && m.route->handler == api_template_delete);
    find("PUT", "clusters/a", &m);
    CU_ASSERT(m.outcome == ROUTE_METHOD);
    CU_ASSERT_STRING_EQUAL(m.allow, "DELETE, GET, PATCH, POST");
    find("POST", "clusters/a/actions/explode", &m);
    CU_ASSERT(m.outcome == ROUTE_METHOD);
    CU_ASSERT_STRING_EQUAL(m.allow, "");
    find("GET", "credentials/x", &m);
    CU_ASSERT_STRING_EQUAL(m.allow, "PATCH");
    find("HEAD", "nowhere", &m);
    CU_ASSERT(m.outcome == ROUTE_METHOD);
    CU_ASSERT_STRING_EQUAL(m.allow, "GET");
    find("GET", "cluster", &m);
    CU_ASSERT(m.outcome == ROUTE_NOT_FOUND);
    find("GET", "a/b/c/d/e/f/g/h/i", &m);
    CU_ASSERT(m.outcome == ROUTE_NOT_FOUND);
    find("GET", "", &m);
    CU_ASSERT(m.outcome == ROUTE_NOT_FOUND);
}

/* Each row serves or refuses, never both and never nothing; a body has what checks it. */
static void the_table_is_sound(void)
{
    for (size_t i = 0; i < api_routes_n; i++) {
        const struct route *r = &api_routes[i];
        int kinds = (r->handler != NULL) + (r->missing != NULL) + (r->surplus != NULL) + r->marker +
                    (r->method == NULL);
        CU_ASSERT_EQUAL(kinds, 1);
        CU_ASSERT(r->min_minor == 0 || r->name != NULL);
        CU_ASSERT((r->body == BODY_PATCH) == (r->patch != NULL));
        CU_ASSERT((r->body == BODY_OBJECT || r->body == BODY_NAMES) == (r->attrs != NULL));
        struct route_match m;
        char path[128];
        snprintf(path, sizeof path, "%s", r->pattern);
        if (!r->method)
            continue;
        find(r->method, path, &m);
        CU_ASSERT(m.outcome == ROUTE_FOUND);
        CU_ASSERT(m.route == r); /* no earlier row hides it */
    }
}

/* ---- attributes ---- */

static const struct attr_table *const tables[] = {
    &attrs_cluster,    &attrs_template, &attrs_nodegroup,   &attrs_resize,
    &attrs_upgrade,    &attrs_quota,    &attrs_certificate, &attrs_quota_update,
    &attrs_federation, &attrs_bay,      &attrs_baymodel};

static int check(const struct attr_table *t, const char *body, json_t **ret, struct err *e)
{
    _cleanup_json_ json_t *j = json_loads(body, JSON_DECODE_ANY, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(j);
    return attrs_check(t, false, j, ret, e);
}

static void mandatory_and_read_only_hold_in_each_table(void)
{
    for (size_t k = 0; k < ARRAY_LEN(tables); k++) {
        const struct attr_table *t = tables[k];
        for (size_t i = 0; i < t->n; i++) {
            const struct attr *a = &t->v[i];
            _cleanup_json_ json_t *ret = NULL, *body = json_object();
            struct err e = ERR_INIT;
            _cleanup_free_ char *want = NULL;
            for (size_t m = 0; m < t->n; m++)
                if ((t->v[m].flags & ATTR_MANDATORY) && m != i)
                    json_object_set_new(body, t->v[m].name, json_null());
            if (a->flags & ATTR_READONLY)
                json_object_set_new(body, a->name, json_null());
            int rc = attrs_check(t, false, body, &ret, &e);
            if (!(a->flags & (ATTR_MANDATORY | ATTR_READONLY)) || (a->flags & ATTR_ZED))
                continue;
            CU_ASSERT_EQUAL(rc, ERR_INVALID);
            want = str_fmt("Invalid input for field/attribute %s. Value: 'None'. %s", a->name,
                           a->flags & ATTR_READONLY ? "Cannot set read only field."
                                                    : "Mandatory field missing.");
            CU_ASSERT_STRING_EQUAL(e.msg, want);
        }
    }
}

static void values_are_converted(void)
{
    _cleanup_json_ json_t *r = NULL;
    struct err e = ERR_INIT;
    ASSERT_OK(check(&attrs_cluster,
                    "{\"cluster_template_id\":\"t\",\"node_count\":\"5\",\"master_count\":2.7,"
                    "\"create_timeout\":true,\"docker_volume_size\":\" +12 \",\"labels\":"
                    "{\"a\":true,\"b\":1.5,\"c\":null,\"d\":7},\"merge_labels\":\"YES\","
                    "\"floating_ip_enabled\":0,\"keypair\":null,"
                    "\"uuid\":\"{12121212343445658787909090909090}\"}",
                    &r, &e),
              &e);
    CU_ASSERT_EQUAL(jsonx_int(r, "node_count", 0), 5);
    CU_ASSERT_EQUAL(jsonx_int(r, "master_count", 0), 2);
    CU_ASSERT_EQUAL(jsonx_int(r, "create_timeout", 0), 1);
    CU_ASSERT_EQUAL(jsonx_int(r, "docker_volume_size", 0), 12);
    const json_t *labels = json_object_get(r, "labels");
    CU_ASSERT_STRING_EQUAL(jsonx_str(labels, "a"), "True");
    CU_ASSERT_STRING_EQUAL(jsonx_str(labels, "b"), "1.5");
    CU_ASSERT_STRING_EQUAL(jsonx_str(labels, "d"), "7");
    CU_ASSERT(json_is_null(json_object_get(labels, "c")));
    CU_ASSERT(json_is_true(json_object_get(r, "merge_labels")));
    CU_ASSERT(json_is_false(json_object_get(r, "floating_ip_enabled")));
    CU_ASSERT(json_is_null(json_object_get(r, "keypair")));
    CU_ASSERT_PTR_NULL(json_object_get(r, "name"));
    CU_ASSERT_STRING_EQUAL(jsonx_str(r, "uuid"), "12121212-3434-4565-8787-909090909090");
}

static void limits_are_exact(void)
{
    char name[300], body[400];
    static const struct {
        size_t length;
        int rc;
    } rows[] = {{0, ERR_INVALID}, {1, 0}, {242, 0}, {243, ERR_INVALID}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_json_ json_t *r = NULL;
        struct err e = ERR_INIT;
        memset(name, 'n', rows[i].length);
        name[rows[i].length] = '\0';
        snprintf(body, sizeof body, "{\"cluster_template_id\":\"t\",\"name\":\"%s\"}", name);
        CU_ASSERT_EQUAL(check(&attrs_cluster, body, &r, &e), rows[i].rc);
    }
    static const struct {
        const char *value;
        int rc;
    } ports[] = {{"1023", ERR_INVALID},
                 {"1024", 0},
                 {"65535", 0},
                 {"65536", ERR_INVALID},
                 {"[]", ERR_INVALID},
                 {"{}", ERR_INVALID},
                 {"\"\"", ERR_INVALID},
                 {"1e300", ERR_INVALID},
                 {"\"0x500\"", ERR_INVALID}};
    for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
        _cleanup_json_ json_t *r = NULL;
        struct err e = ERR_INIT;
        snprintf(body, sizeof body, "{\"image_id\":\"i\",\"apiserver_port\":%s}", ports[i].value);
        CU_ASSERT_EQUAL(check(&attrs_template, body, &r, &e), ports[i].rc);
    }
    /* characters are counted, not bytes */
    _cleanup_str_ struct str wide = STR_INIT;
    str_append(&wide, "{\"image_id\":\"i\",\"name\":\"");
    for (int i = 0; i < 255; i++)
        str_append(&wide, "\xe2\x98\x83");
    str_append(&wide, "\"}");
    _cleanup_json_ json_t *r = NULL;
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(check(&attrs_template, str_text(&wide), &r, &e), 0);
}

static void releases_know_different_attributes(void)
{
    _cleanup_json_ json_t *r = NULL, *s = NULL, *u = NULL;
    _cleanup_json_ json_t *driver = json_loads("{\"image_id\":\"i\",\"driver\":null}", 0, NULL);
    _cleanup_json_ json_t *bay = json_loads("{\"bay_uuid\":\"x\"}", 0, NULL);
    _cleanup_json_ json_t *dcos = json_loads("{\"image_id\":\"i\",\"coe\":\"dcos\"}", 0, NULL);
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(attrs_check(&attrs_template, false, driver, &r, &e), 0);
    CU_ASSERT_EQUAL(attrs_check(&attrs_template, true, driver, &s, &e), ERR_INVALID);
    CU_ASSERT_STRING_EQUAL(e.msg, "Unknown attribute for argument cluster_template: driver");
    CU_ASSERT_EQUAL(attrs_check(&attrs_certificate, false, bay, &s, &e), ERR_INVALID);
    CU_ASSERT_EQUAL(attrs_check(&attrs_certificate, true, bay, &s, &e), 0);
    CU_ASSERT_EQUAL(attrs_check(&attrs_template, false, dcos, &u, &e), ERR_INVALID);
    CU_ASSERT_EQUAL(attrs_check(&attrs_template, true, dcos, &u, &e), 0);
}

/* ---- patches ---- */

static int patched(const char *doc, const char *patch, json_t **ret, struct err *e)
{
    _cleanup_json_ json_t *d = json_loads(doc, 0, NULL),
                          *p = json_loads(patch, JSON_DECODE_ANY, NULL);
    CU_ASSERT(d != NULL && p != NULL);
    int rc = patch_check(p, &patch_template, false, e);
    return rc == 0 ? patch_apply(d, p, &patch_template, ret, e) : rc;
}

#define OP(op, path, value) "{\"op\":\"" op "\",\"path\":\"" path "\",\"value\":" value "}"
#define REMOVE(path) "{\"op\":\"remove\",\"path\":\"" path "\"}"

static void patches_apply(void)
{
    static const char doc[] = "{\"name\":\"n\",\"tags\":null,\"labels\":{\"a\":\"1\"},"
                              "\"list\":[{\"k\":\"v\"},\"x\"]}";
    static const struct {
        const char *patch, *want; /* NULL = refused */
    } rows[] = {
        {"[]", "{\"name\":\"n\",\"tags\":null,\"labels\":{\"a\":\"1\"},\"list\":[{\"k\":\"v\"},"
               "\"x\"]}"},
        {"[" OP("add", "/tags", "\"t\"") "," REMOVE("/list") "]",
         "{\"name\":\"n\",\"tags\":\"t\",\"labels\":{\"a\":\"1\"}}"},
        {"[" OP("replace", "/name", "\"m\"") "," OP("replace", "/name", "\"o\"") "," REMOVE(
             "/labels") "," REMOVE("/list") "]",
         "{\"name\":\"o\",\"tags\":null}"},
        {"[" REMOVE("/list") "," OP("add", "/labels/b", "2") "," REMOVE("/labels/a") "]",
         "{\"name\":\"n\",\"tags\":null,\"labels\":{\"b\":2}}"},
        {"[" REMOVE("/labels") "," OP("replace", "/list/0/k", "\"w\"") "," OP(
             "add", "/list/-", "\"y\"") "," REMOVE("/list/1") "]",
         "{\"name\":\"n\",\"tags\":null,\"list\":[{\"k\":\"w\"},\"y\"]}"},
        {"[" REMOVE("/list") "," OP("replace", "/labels", "\"{'x': 'y'}\"") "]",
         "{\"name\":\"n\",\"tags\":null,\"labels\":{\"x\":\"y\"}}"},
        {"[" REMOVE("/list") "," OP("replace", "/labels", "\"x=1, y=a=b\"") "]",
         "{\"name\":\"n\",\"tags\":null,\"labels\":{\"x\":\"1\",\"y\":\"a=b\"}}"},
        {"[" OP("replace", "/labels", "\"=1\"") "]", NULL},
        {"[" OP("replace", "/labels", "\"{'x': \"") "]", NULL},
        {"[" OP("replace", "/labels", "5") "]", NULL},
        {"[" OP("add", "/name", "\"x\"") "]", NULL},
        {"[" OP("add", "/colour", "\"x\"") "]", NULL},
        {"[" OP("replace", "/colour", "\"x\"") "]", NULL},
        {"[" REMOVE("/labels/zzz") "]", NULL},
        {"[" OP("add", "/name/first", "\"x\"") "]", NULL},
        {"[" OP("add", "/labels/a/b", "\"x\"") "]", NULL},
        {"[" OP("add", "/list/7", "\"x\"") "]", NULL},
        {"[" OP("replace", "/list/2", "\"x\"") "]", NULL},
        {"[" OP("replace", "/list/x", "\"x\"") "]", NULL},
        {"[" REMOVE("/uuid") "]", NULL},
        {"[" REMOVE("/image_id") "]", NULL},
        {"[{\"op\":\"replace\",\"path\":\"/name\"}]", NULL},
        {"[" OP("replace", "/name", "null") "]", NULL},
        {"[" OP("replace", "/name", "1.5") "]", NULL},
        {"[" OP("replace", "/name", "[]") "]", NULL},
        {"[" OP("move", "/name", "1") "]", NULL},
        {"[" OP("replace", "name", "1") "]", NULL},
        {"[" OP("replace", "/name/", "1") "]", NULL},
        {"[" OP("replace", "//name", "1") "]", NULL},
        {"[" OP("replace", "/a~1b", "1") "]", NULL},
        {"[{\"op\":\"remove\",\"path\":\"/tags\",\"from\":\"/x\"}]", NULL},
        {"[5]", NULL},
        {"[[]]", NULL},
        {"{}", NULL},
        {"null", NULL},
        {"\"x\"", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = ERR_INIT;
        _cleanup_json_ json_t *got = NULL;
        int rc = patched(doc, rows[i].patch, &got, &e);
        CU_ASSERT_EQUAL(rc, rows[i].want ? 0 : ERR_INVALID);
        if (!rows[i].want || rc < 0) {
            CU_ASSERT(e.msg[0] != '\0');
            continue;
        }
        _cleanup_json_ json_t *want = json_loads(rows[i].want, 0, NULL);
        CU_ASSERT(json_equal(got, want));
    }
}

static void patches_leave_the_document_alone(void)
{
    _cleanup_json_ json_t *doc = json_loads("{\"labels\":{\"a\":\"1\"}}", 0, NULL);
    _cleanup_json_ json_t *before = json_deep_copy(doc), *got = NULL;
    _cleanup_json_ json_t *patch = json_loads(
        "[" OP("add", "/labels/b", "1") "," REMOVE("/labels/a") "," REMOVE("/labels/zzz") "]", 0,
        NULL);
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(patch_apply(doc, patch, &patch_template, &got, &e), ERR_INVALID);
    CU_ASSERT(json_equal(doc, before));
    CU_ASSERT_PTR_NULL(got);
}

static void only_changes_are_checked_again(void)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *delta = NULL, *bad = NULL, *text = NULL;
    /* a name of an older release, longer than allowed now, is no obstacle while it stays */
    _cleanup_json_ json_t *columns = json_loads(
        "{\"name\":\"1 odd name\",\"create_timeout\":null,\"labels\":{\"a\":\"1\"}}", 0, NULL);
    _cleanup_json_ json_t *before = attrs_document(&attrs_cluster, false, columns);
    _cleanup_json_ json_t *after = json_deep_copy(before);
    CU_ASSERT(json_is_null(json_object_get(before, "keypair")));
    json_object_set_new(after, "keypair", json_string("k"));
    json_object_del(after, "labels");
    ASSERT_OK(attrs_delta(&attrs_cluster, false, before, after, &delta, &e), &e);
    CU_ASSERT_EQUAL(json_object_size(delta), 2);
    CU_ASSERT(json_is_null(json_object_get(delta, "labels")));
    json_object_set_new(after, "node_count", json_string("7"));
    ASSERT_OK(attrs_delta(&attrs_cluster, false, before, after, &bad, &e), &e);
    CU_ASSERT_EQUAL(jsonx_int(bad, "node_count", 0), 7);
    CU_ASSERT_EQUAL(attrs_delta(&attrs_cluster, true, before, after, &text, &e), ERR_INVALID);
    json_object_set_new(after, "links", json_array());
    CU_ASSERT_EQUAL(attrs_delta(&attrs_cluster, false, before, after, &text, &e), ERR_INVALID);
}

static void nothing_stored_is_empty_to_a_patch(void)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *after = NULL, *delta = NULL,
                          *patch = json_loads("[" OP("add", "/labels/a", "\"b\"") "]", 0, NULL);
    _cleanup_json_ json_t *columns = json_loads("{\"labels\":null,\"tags\":null}", 0, NULL);
    _cleanup_json_ json_t *before = attrs_document(&attrs_template, false, columns);
    CU_ASSERT(json_is_object(json_object_get(before, "labels")));
    CU_ASSERT(json_is_null(json_object_get(before, "tags")));
    ASSERT_OK(patch_apply(before, patch, &patch_template, &after, &e), &e);
    ASSERT_OK(attrs_delta(&attrs_template, false, before, after, &delta, &e), &e);
    CU_ASSERT_STRING_EQUAL(jsonx_str(json_object_get(delta, "labels"), "a"), "b");
    _cleanup_json_ json_t *groups = json_loads("{\"node_taints\":null}", 0, NULL);
    _cleanup_json_ json_t *group = attrs_document(&attrs_nodegroup, false, groups);
    CU_ASSERT(json_is_array(json_object_get(group, "node_taints")));
    CU_ASSERT(json_is_null(json_object_get(group, "labels_added"))); /* no column */
}

/* ---- query and pages ---- */

static void pages_are_read(void)
{
    struct config cfg = {.api_max_limit = 100};
    struct api a = {.cfg = &cfg};
    static const struct {
        const char *limit, *marker, *dir;
        bool ints;
        int rc;
        int64_t want;
    } rows[] = {
        {NULL, NULL, NULL, false, 0, 100},
        {"7", NULL, "desc", false, 0, 7},
        {"+7", NULL, "asc", false, 0, 7},
        {"101", NULL, NULL, false, 0, 100},
        {"0", NULL, NULL, false, ERR_INVALID, 0},
        {"-1", NULL, NULL, false, ERR_INVALID, 0},
        {"", NULL, NULL, false, ERR_INVALID, 0},
        {"7x", NULL, NULL, false, ERR_INVALID, 0},
        {NULL, "x", NULL, false, ERR_INVALID, 0},
        {NULL, "12121212-3434-4565-8787-909090909090", NULL, false, 0, 100},
        {NULL, "5", NULL, true, 0, 100},
        {NULL, "x", NULL, true, ERR_INVALID, 0},
        {NULL, NULL, "", false, ERR_INVALID, 0},
        {NULL, NULL, "DESC", false, ERR_INVALID, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct api_call c = {.api = &a};
        struct page p;
        struct err e = ERR_INIT;
        const char *const names[] = {"limit", "marker", "sort_dir"};
        const char *const given[] = {rows[i].limit, rows[i].marker, rows[i].dir};
        for (size_t k = 0; k < 3; k++)
            if (given[k]) {
                c.query.v[c.query.n].name = str_dup(names[k]);
                c.query.v[c.query.n++].value = str_dup(given[k]);
            }
        CU_ASSERT_EQUAL(page_read(&c, rows[i].ints, &p, &e), rows[i].rc);
        if (rows[i].rc == 0)
            CU_ASSERT_EQUAL(p.db.limit, rows[i].want);
        query_done(&c.query);
    }
}

static void the_next_page_is_linked_when_this_one_is_full(void)
{
    struct http_response rp = {.status = 0};
    struct api_call c = {.rp = &rp, .base = "http://h:1"};
    struct page p = {.db = {.limit = 2, .desc = true}, .limit = 2};
    str_append(&rp.body, "{\"x\":[");
    page_close(&c, &p, "clusters/detail", 1, "u1");
    CU_ASSERT_STRING_EQUAL(str_text(&rp.body), "{\"x\":[]}");
    str_clear(&rp.body);
    str_append(&rp.body, "{\"x\":[");
    page_close(&c, &p, "clusters/detail", 2, "u2");
    CU_ASSERT_STRING_EQUAL(str_text(&rp.body),
                           "{\"x\":[],\"next\":\"http://h:1/v1/clusters/detail?sort_key=id&"
                           "sort_dir=desc&limit=2&marker=u2\"}");
    str_free(&rp.body);
}

TEST_MAIN("api_requests", NULL, NULL, TEST(versions_parse), TEST(routes_are_found),
          TEST(the_table_is_sound), TEST(mandatory_and_read_only_hold_in_each_table),
          TEST(values_are_converted), TEST(limits_are_exact),
          TEST(releases_know_different_attributes), TEST(patches_apply),
          TEST(patches_leave_the_document_alone), TEST(only_changes_are_checked_again),
          TEST(nothing_stored_is_empty_to_a_patch), TEST(pages_are_read),
          TEST(the_next_page_is_linked_when_this_one_is_full))
