/* Query arguments that must be refused, for every route that has any: each argument of the route
 * table with each value its type does not have, doubled, unknown, broken, endless. */
#include "component/api_bad.h"

#include "api/router.h"

static char cluster[40], cluster_template[40];
static bool zed;

/* What the arguments mean; the test fails when the route table has one that is not here. */
enum kind { KIND_TEXT, KIND_COUNT, KIND_INT, KIND_BOOL, KIND_MARKER, KIND_CHOICE };
static const struct {
    const char *name;
    enum kind kind;
    const char *said; /* in the refusal */
} arguments[] = {
    {"limit", KIND_COUNT, "imit"},
    {"marker", KIND_MARKER, "marker"},
    {"sort_key", KIND_CHOICE, "sort_key"},
    {"sort_dir", KIND_CHOICE, "sort"},
    {"role", KIND_TEXT, NULL},
    {"ca_cert_type", KIND_TEXT, NULL},
    {"all_tenants", KIND_BOOL, "all_tenants"},
    {"project_id", KIND_TEXT, NULL},
    {"type", KIND_CHOICE, "type"},
    {"rollback", KIND_BOOL, "rollback"},
    {"after", KIND_INT, "after"},
    {"plan", KIND_BOOL, "plan"},
    {"force", KIND_BOOL, "force"},
    {"open", KIND_BOOL, "open"},
    {"follow", KIND_INT, "follow"},
    {"expiring", KIND_CHOICE, "expiring"},
    {"bay_ident", KIND_TEXT, NULL},
    {"command", KIND_TEXT, NULL},
};

static const char *const no_numbers[] = {"",     "x",   "1x",    "0x10",
                                         "1e3",  "1.5", "%20",   "--1",
                                         "None", "%27", "1%202", "9223372036854775808",
                                         "true"};
static const char *const no_counts[] = {"0", "-1", "-9223372036854775808"};
static const char *const no_bools[] = {"", "x", "2", "tru", "None", "%27", "1.5", "[]"};
static const char *const no_choices[] = {"x", "%27%20OR%201=1", "id)%20DESC%20--", "%25s%25n",
                                         "uuid%00x"};
static const char *const no_markers[] = {
    "x", "", "-1", "%27%20OR%201=1", "%25s%25n", "1212121234344565878790909090909"};

/* A path that has this pattern and, apart from its query, is fine. */
static char *path_of(const struct route *r)
{
    struct str s = STR_INIT;
    str_append(&s, "/v1/");
    for (const char *p = r->pattern; *p; p++) {
        if (*p == '*')
            str_append(&s, cluster);
        else
            str_append_c(&s, *p);
    }
    return str_take(&s);
}

/* A body that would do without the query. Caller frees; NULL: none is needed. */
static char *body_of(const struct route *r)
{
    if (r->body == BODY_PATCH)
        return str_dup("[]");
    if (r->attrs == &attrs_cluster)
        return str_fmt("{\"name\":\"x\",\"cluster_template_id\":\"%s\"}", cluster_template);
    if (r->attrs == &attrs_nodegroup)
        return str_dup("{\"name\":\"x\"}");
    if (r->attrs == &attrs_resize)
        return str_dup("{\"node_count\":2}");
    if (r->attrs == &attrs_upgrade)
        return str_fmt("{\"cluster_template\":\"%s\"}", cluster_template);
    return NULL;
}

/* Bays and baymodels are 15.0.1's, which has everything else as well, but for what came later. */
static bool served(const struct route *r)
{
    bool bay = str_starts(r->pattern, "bays") || str_starts(r->pattern, "baymodels");
    return r->method && bay == zed;
}

static void refused_query(const struct route *r, const char *query, const char *said)
{
    _cleanup_free_ char *path = path_of(r), *body = body_of(r);
    /* a route that is one with an argument only has it */
    bool more = r->only_with && !str_starts(query, r->only_with);
    _cleanup_free_ char *url =
        str_fmt("%s?%s%s%s", path, more ? r->only_with : "", more ? "=all&" : "", query);
    refused(r->method, url, body, 0, said, NULL);
}

static void refused_all(const struct route *r, const char *name, const char *const *v, size_t n,
                        const char *said)
{
    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ char *query = str_fmt("%s=%s", name, v[i]);
        /* what is no text at all is refused before anybody asks what it is for */
        refused_query(r, query, strstr(v[i], "%00") ? NULL : said);
    }
}

static void one_argument(const struct route *r, const char *name)
{
    size_t i = 0;
    while (i < ARRAY_LEN(arguments) && strcmp(arguments[i].name, name) != 0)
        i++;
    if (i == ARRAY_LEN(arguments))
        fprintf(stderr, "%s has the unknown argument %s\n", r->pattern, name);
    CU_ASSERT_FATAL(i < ARRAY_LEN(arguments));
    const char *said = arguments[i].said;
    enum kind kind = arguments[i].kind;
    if (kind == KIND_COUNT || kind == KIND_INT)
        refused_all(r, name, no_numbers, ARRAY_LEN(no_numbers), said);
    if (kind == KIND_COUNT)
        refused_all(r, name, no_counts, ARRAY_LEN(no_counts), said);
    if (kind == KIND_BOOL)
        refused_all(r, name, no_bools, ARRAY_LEN(no_bools), said);
    if (kind == KIND_CHOICE)
        refused_all(r, name, no_choices, ARRAY_LEN(no_choices), said);
    /* of these it is a number */
    bool numbers = strstr(r->pattern, "quotas") || strstr(r->pattern, "events") ||
                   strstr(r->pattern, "certificates");
    if (kind == KIND_MARKER && numbers)
        refused_all(r, name, no_numbers, ARRAY_LEN(no_numbers), said);
    else if (kind == KIND_MARKER)
        refused_all(r, name, no_markers, ARRAY_LEN(no_markers), said);
    _cleanup_free_ char *twice = str_fmt("%s=1&%s=1", name, name);
    _cleanup_free_ char *different = str_fmt("%s=1&%s=2", name, name);
    refused_query(r, twice, said ? said : name);
    refused_query(r, different, said ? said : name);
}

static void every_argument(void)
{
    struct stored before = stored_now();
    size_t tried = 0;
    for (size_t k = 0; k < api_routes_n; k++) {
        const struct route *r = &api_routes[k];
        _cleanup_strv_ struct strv names = STRV_INIT;
        CU_ASSERT_EQUAL_FATAL(strv_split(&names, r->query ? r->query : "", ','), 0);
        for (size_t i = 0; served(r) && i < names.n; i++, tried++)
            one_argument(r, names.v[i]);
    }
    CU_ASSERT(tried > 10);
    check_untouched(&before, "arguments");
}

/* Every route with a handler, whether it has arguments or not. */
static void unknown_arguments(void)
{
    struct stored before = stored_now();
    for (size_t k = 0; k < api_routes_n; k++) {
        const struct route *r = &api_routes[k];
        if (!r->handler || !served(r))
            continue;
        refused_query(r, "zz=1", "zz");
        refused_query(r, "zz=1&aa=2", "aa, zz");
        refused_query(r, "zz", "zz");
        refused_query(r, "fields=uuid", "fields");
        refused_query(r, "%27%20OR%201=1", "' OR 1");
        refused_query(r, "%25s%25n=1", "%s%n");
        refused_query(r, "Limit=1", "Limit");
        refused_query(r, "limit%5B%5D=1", "limit[]");
    }
    check_untouched(&before, "unknown arguments");
}

/* Not text: refused before the route is asked. */
static void broken_queries(void)
{
    static const char *const queries[] = {"limit=%ff",       "%c0%80=1", "marker=%ed%a0%80",
                                          "sort_key=%f5%80", "a=%00",    "limit=%zz",
                                          "limit=%",         "limit=%1"};
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        _cleanup_free_ char *url = str_fmt("/v1/clusters?%s", queries[i]);
        refused("GET", url, NULL, 0, NULL, NULL);
    }
    _cleanup_str_ struct str many = STR_INIT;
    str_append(&many, "/v1/clusters?a=1");
    for (int i = 0; i < 200; i++)
        str_printf(&many, "&limit=%d", i + 1);
    refused("GET", str_text(&many), NULL, 0, NULL, NULL);
}

/* Too long for the head of a request: an answer of its own, and the service goes on. */
static void endless_queries(void)
{
    enum { LONG = 100 * 1000 };
    _cleanup_free_ char *name = long_text(LONG);
    name[LONG + 1] = '\0';
    _cleanup_free_ char *url = str_fmt("/v1/clusters?sort_key=%s", name + 1);
    int status = ask("GET", url, NULL);
    CU_ASSERT(status == 414 || status == 431 || status == -1);
    name[20000] = '\0';
    _cleanup_free_ char *shorter = str_fmt("/v1/clusters?sort_key=%s", name + 1);
    refused("GET", shorter, NULL, 0, "sort_key", NULL);
    _cleanup_free_ char *ident = str_fmt("/v1/clusters/%s", name + 1);
    ASK("GET", ident, NULL, 404);
    CU_ASSERT(error_body_good());
}

/* The older release, for the resources that only it has. */
static void other_release(void)
{
    static const char *const options[] = {"api.compat=zed", NULL};
    api_fixture_with(options);
    zed = true;
    every_argument();
    unknown_arguments();
    zed = false;
    api_fixture_back();
}

/* The first test: what the others need. */
static void resources(void)
{
    microversion("latest");
    snprintf(cluster_template, sizeof cluster_template, "%s", make_template(NULL));
    snprintf(cluster, sizeof cluster, "%s", make_cluster(cluster_template, NULL));
    conduct();
}

TEST_MAIN("api_bad_queries", api_fixture_start, api_fixture_stop, TEST(resources),
          TEST(every_argument), TEST(unknown_arguments), TEST(other_release), TEST(broken_queries),
          TEST(endless_queries))
