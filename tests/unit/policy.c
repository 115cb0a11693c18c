/* The policy language, the table of defaults, and the operator's file over them. What the original
 * makes of the same texts is component/policy_oracle's business. */
#include "auth/auth_internal.h"
#include "auth/policy_rules.h"
#include "base/io.h"
#include "base/log.h"
#include "component/http_config.h"
#include "support/cunit_main.h"

static const struct policy_check *no_rule(const void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return NULL;
}

static const char target_text[] =
    "{\"project_id\":\"p1\",\"user_id\":\"u1\",\"none\":null,\"yes\":true,\"seven\":7}";
static const char creds_text[] = "{\"project_id\":\"p1\",\"user_id\":\"u2\",\"is_admin\":false,"
                                 "\"roles\":[\"Member\",\"reader\"],"
                                 "\"none\":null,\"token\":{\"user\":{\"id\":\"u1\"},\"groups\":[{"
                                 "\"name\":\"a\"},{\"name\":\"b\"}]}}";

static bool holds(const char *text)
{
    struct policy_check *c = NULL;
    struct err e = ERR_INIT;
    ASSERT_OK(policy_parse(text, &c, &e), &e);
    _cleanup_json_ json_t *target = json_loads(target_text, 0, NULL);
    _cleanup_json_ json_t *creds = json_loads(creds_text, 0, NULL);
    struct policy_ask ask = {.target = target, .creds = creds, .rule = no_rule};
    bool yes = policy_holds(c, &ask);
    policy_check_free(c);
    return yes;
}

static void expect(const char *text, bool want)
{
    bool got = holds(text);
    if (got != want)
        fprintf(stderr, "%s: %d\n", text, got);
    CU_ASSERT_EQUAL(got, want);
}

static void checks_hold_or_not(void)
{
    static const char *const yes[] = {
        "",
        "@",
        "role:member",
        "role:READER",
        "project_id:%(project_id)s",
        "is_admin:False",
        "None:%(none)s",
        "none:None",
        "True:%(yes)s",
        "7:%(seven)s",
        "'u1':%(user_id)s",
        "\"p1\":p1",
        "token.user.id:%(user_id)s",
        "token.groups.name:b",
        "'x%y':x%%y",
        "user_id:u2",
        "-3:-3",
    };
    static const char *const no[] = {
        "!",
        "role:admin",
        "role:%(gone)s",
        "project_id:%(gone)s",
        "user_id:%(user_id)s",
        "is_admin:True",
        "gone:None",
        "token:x",
        "token.user.id.more:u1",
        "token.groups.name:c",
        "rule:unknown",
        ":",
        "project_id:",
        "8:%(seven)s",
    };
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        expect(yes[i], true);
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        expect(no[i], false);
}

static void words_bind_as_they_should(void)
{
    expect("@ or ! and !", true);
    expect("(@ or !) and !", false);
    expect("not ! and @", true);
    expect("not (! or @)", false);
    expect("not not @", true);
    expect("NOT ! aNd @ OR !", true);
    expect("! or ! or @ and @", true);
    expect(" ( @ )\tand\n((@))", true);
    expect("(role:admin) or (role:member and project_id:%(project_id)s)", true);
    expect("! and @ or @", true);
}

static void refused(const char *text, const char *says)
{
    struct policy_check *c = NULL;
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(policy_parse(text, &c, &e), ERR_INVALID);
    CU_ASSERT_PTR_NULL(c);
    if (!strstr(e.msg, says))
        fprintf(stderr, "%s: %s\n", text, e.msg);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, says));
}

static void typing_errors_are_named(void)
{
    refused(" ", "a check is missing");
    refused("(@", "')' is missing");
    refused("@)", "')' too many");
    refused("()", "a check is missing");
    refused("@ and", "a check is missing");
    refused("or @", "a check is missing");
    refused("not", "a check is missing");
    refused("@ @", "`and` or `or` is missing");
    refused("@ not @", "`and` or `or` is missing");
    refused("admin", "\"admin\" is no check");
    refused("'admin'", "a text alone is no check");
    refused("project_id:%(project_id)", "%(name)s");
    refused("project_id:%s", "%(name)s");
    refused("project_id:100%", "%(name)s");
    refused("project_id:%(a)d", "%(name)s");
    refused("http://example.org/%(name)s", "not supported");
    char deep[400];
    memset(deep, '(', 100);
    snprintf(deep + 100, sizeof deep - 100, "%s", "@");
    refused(deep, "nested deeper");
}

static bool list_holds(const char *json)
{
    struct policy_check *c = NULL;
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *list = json_loads(json, JSON_DECODE_ANY, NULL);
    ASSERT_OK(policy_parse_json(list, &c, &e), &e);
    _cleanup_json_ json_t *target = json_loads(target_text, 0, NULL);
    _cleanup_json_ json_t *creds = json_loads(creds_text, 0, NULL);
    struct policy_ask ask = {.target = target, .creds = creds, .rule = no_rule};
    bool yes = policy_holds(c, &ask);
    policy_check_free(c);
    return yes;
}

static void lists_are_alternatives_of_rows(void)
{
    CU_ASSERT_TRUE(list_holds("[]"));
    CU_ASSERT_FALSE(list_holds("[[]]"));
    CU_ASSERT_TRUE(list_holds("[\"!\", [\"role:member\", \"project_id:%(project_id)s\"]]"));
    CU_ASSERT_FALSE(list_holds("[[\"role:member\", \"role:admin\"], \"!\"]"));
    CU_ASSERT_TRUE(list_holds("\"role:member\""));
    static const char *const bad[] = {"null", "7", "[7]", "[[7]]", "[[[\"@\"]]]", "{}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct policy_check *c = NULL;
        struct err e = ERR_INIT;
        _cleanup_json_ json_t *j = json_loads(bad[i], JSON_DECODE_ANY, NULL);
        CU_ASSERT_EQUAL(policy_parse_json(j, &c, &e), ERR_INVALID);
        CU_ASSERT_PTR_NULL(c);
    }
}

/* ---- rules ---- */

static struct policy_rules *rules_of(struct policy_options o, const char *file, struct err *e)
{
    _cleanup_json_ json_t *j = file ? json_loads(file, 0, NULL) : NULL;
    struct policy_rules *r = NULL;
    return policy_rules_new(&o, file ? "f.yaml" : NULL, j, &r, e) == 0 ? r : NULL;
}

static bool ask_rule(const struct policy_rules *r, const char *rule, const char *roles,
                     const char *project)
{
    _cleanup_json_ json_t *target = json_pack("{s:s, s:s}", "project_id", "p1", "user_id", "u1");
    _cleanup_json_ json_t *creds = json_pack("{s:s, s:b, s:s}", "user_id", "u1", "is_admin",
                                             strcmp(roles, "admin") == 0, "domain_id", "default");
    json_object_set_new(creds, "roles", json_pack("[s]", roles));
    if (project)
        json_object_set_new(creds, "project_id", json_string(project));
    return policy_rules_hold(r, rule, target, creds);
}

static const struct policy_options head = {false, true, true}, zed = {true, true, true};

static void zed_lets_every_role_in(void)
{
    struct err e = ERR_INIT;
    struct policy_rules *r = rules_of(zed, NULL, &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    CU_ASSERT_PTR_NULL(policy_rules_missing(r));
    CU_ASSERT_TRUE(ask_rule(r, "cluster:create", "any", "p1"));
    CU_ASSERT_TRUE(ask_rule(r, "bay:create", "any", "p1"));
    CU_ASSERT_TRUE(ask_rule(r, "nodegroup:create", "any", "p1"));
    CU_ASSERT_FALSE(ask_rule(r, "nodegroup:create", "any", "p2"));
    CU_ASSERT_FALSE(ask_rule(r, "quota:create", "any", "p1"));
    CU_ASSERT_TRUE(ask_rule(r, "quota:create", "admin", "p2"));
    CU_ASSERT_FALSE(ask_rule(r, "credential:rotate", "admin", "p1"));
    policy_rules_free(r);
}

static void predecessors_count_on_request(void)
{
    struct err e = ERR_INIT;
    struct policy_options old = {false, false, true};
    struct policy_rules *now = rules_of(head, NULL, &e), *before = rules_of(old, NULL, &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(now);
    CU_ASSERT_PTR_NOT_NULL_FATAL(before);
    CU_ASSERT_FALSE(ask_rule(now, "cluster:create", "any", "p1"));
    CU_ASSERT_TRUE(ask_rule(before, "cluster:create", "any", "p1"));
    CU_ASSERT_FALSE(ask_rule(before, "cluster:create", "any", "p2"));
    CU_ASSERT_FALSE(ask_rule(now, "certificate:create", "any", "p1"));
    CU_ASSERT_TRUE(ask_rule(before, "certificate:create", "any", "p2")); /* its user is enough */
    CU_ASSERT_FALSE(ask_rule(before, "quota:create", "any", "p1"));
    policy_rules_free(now);
    policy_rules_free(before);
}

static void rules_of_projects_want_a_project(void)
{
    struct err e = ERR_INIT;
    struct policy_options lax = {false, true, false};
    struct policy_rules *strict = rules_of(head, NULL, &e), *any = rules_of(lax, NULL, &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(strict);
    CU_ASSERT_PTR_NOT_NULL_FATAL(any);
    CU_ASSERT_FALSE(ask_rule(strict, "cluster:get_all", "admin", NULL));
    CU_ASSERT_TRUE(ask_rule(strict, "quota:get_all", "admin", NULL));
    CU_ASSERT_TRUE(ask_rule(any, "cluster:get_all", "admin", NULL));
    CU_ASSERT_FALSE(ask_rule(any, "cluster:get_all", "reader", NULL));
    policy_rules_free(strict);
    policy_rules_free(any);
}

static void the_file_is_over_the_defaults(void)
{
    struct err e = ERR_INIT;
    struct policy_rules *r = rules_of(
        head,
        "{\"cluster:create\":\"rule:mine\",\"mine\":\"role:boss\",\"default\":\"role:boss\","
        "\"project_reader\":[[\"role:guest\",\"project_id:%(project_id)s\"]]}",
        &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    CU_ASSERT_TRUE(ask_rule(r, "cluster:create", "boss", "p1"));
    CU_ASSERT_FALSE(ask_rule(r, "cluster:create", "admin", "p1"));
    CU_ASSERT_FALSE(ask_rule(r, "cluster:create", "boss", NULL)); /* still a project's rule */
    CU_ASSERT_TRUE(ask_rule(r, "cluster:get", "guest", "p1"));
    CU_ASSERT_FALSE(ask_rule(r, "cluster:get", "reader", "p1"));
    CU_ASSERT_TRUE(ask_rule(r, "no:such", "boss", "p1"));
    CU_ASSERT_FALSE(ask_rule(r, "no:such", "admin", "p1"));
    policy_rules_free(r);
    r = rules_of(head, "{\"cluster:get\":\"rule:gone or role:boss\"}", &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    CU_ASSERT_STRING_EQUAL(policy_rules_missing(r), "gone");
    CU_ASSERT_TRUE(ask_rule(r, "cluster:get", "boss", "p1"));
    CU_ASSERT_FALSE(ask_rule(r, "cluster:get", "admin", "p1"));
    policy_rules_free(r);
}

static void wrong_files_are_one_line(void)
{
    static const struct {
        const char *file, *says;
    } rows[] = {
        {"{\"a\":\"role:x and\"}", "f.yaml: rule a: a check is missing"},
        {"{\"a\":null}", "f.yaml: rule a: must be text or a list"},
        {"{\"a\":\"rule:b\",\"b\":\"@ or not rule:a\"}", "refers to itself"},
        {"{\"a\":\"rule:a\"}", "f.yaml: rule a refers to itself"},
        {"{\"default\":\"rule:gone\"}", "f.yaml: rule default refers to itself"},
        {"{\"context_is_admin\":\"rule:cluster:get\"}", "refers to itself"},
        {"{\"\":\"@\"}", "a rule's name"},
        {"[\"a\"]", "f.yaml: not a mapping"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = ERR_INIT;
        CU_ASSERT_PTR_NULL(rules_of(head, rows[i].file, &e));
        CU_ASSERT_EQUAL(e.code, ERR_CONFIG);
        if (!strstr(e.msg, rows[i].says))
            fprintf(stderr, "%s: %s\n", rows[i].file, e.msg);
        CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, rows[i].says));
        CU_ASSERT_PTR_NULL(strchr(e.msg, '\n'));
    }
}

/* a0 refers twice to a1, that twice to a2 ...: every path alone would take years. */
static void long_chains_are_refused_quickly(void)
{
    struct err e = ERR_INIT;
    for (int length = 20; length <= 60; length += 20) {
        _cleanup_json_ json_t *file = json_object();
        for (int i = 0; i < length; i++) {
            char name[16], text[48];
            snprintf(name, sizeof name, "a%d", i);
            snprintf(text, sizeof text, i + 1 < length ? "rule:a%d or rule:a%d" : "@", i + 1,
                     i + 1);
            json_object_set_new(file, name, json_string(text));
        }
        struct policy_rules *r = NULL;
        int rc = policy_rules_new(&head, "f.yaml", file, &r, &e);
        CU_ASSERT_EQUAL(rc, length == 20 ? 0 : ERR_CONFIG);
        policy_rules_free(r);
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "more than 32 references"));
}

/* ---- the file on disk ---- */

static char path[] = "/tmp/magnum-policy.XXXXXX";

static int setup(void)
{
    log_setup("test", LOG_ERR, false);
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void)
{
    return unlink(path);
}

static void write_policy(const char *text)
{
    struct err e = ERR_INIT;
    ASSERT_OK(io_write_file(path, text, strlen(text), 0640, &e), &e);
}

static void a_bad_reload_keeps_the_rules(void)
{
    struct config cfg = test_config();
    struct err e = ERR_INIT;
    struct auth *a = NULL;
    char user[] = "u1", project[] = "p1", role[] = "boss", *roles[] = {role, NULL};
    struct auth_context c = {.user_id = user, .project_id = project, .roles = {roles, 1}};
    cfg.policy_file = path;
    write_policy("# nothing but a comment\n");
    ASSERT_OK(auth_new(&cfg, &a, &e), &e);
    CU_ASSERT_EQUAL(auth_enforce(a, &c, "cluster:get", NULL, NULL, &e), ERR_FORBIDDEN);
    write_policy("cluster:get: role:boss\n");
    ASSERT_OK(auth_reload(a, &e), &e);
    CU_ASSERT_EQUAL(auth_enforce(a, &c, "cluster:get", NULL, NULL, &e), 0);
    write_policy("cluster:get: role:boss and\n");
    CU_ASSERT_EQUAL(auth_reload(a, &e), ERR_CONFIG);
    CU_ASSERT(str_starts(e.msg, "policy.file: /tmp/magnum-policy."));
    CU_ASSERT_EQUAL(auth_enforce(a, &c, "cluster:get", NULL, NULL, &e), 0);
    write_policy("cluster:get: [");
    CU_ASSERT_EQUAL(auth_reload(a, &e), ERR_CONFIG);
    CU_ASSERT_EQUAL(auth_enforce(a, &c, "cluster:get", NULL, NULL, &e), 0);
    auth_free(&a);
    CU_ASSERT_EQUAL(auth_new(&cfg, &a, &e), ERR_CONFIG);
    char gone[] = "/nonexistent/policy.yaml";
    cfg.policy_file = gone;
    CU_ASSERT_EQUAL(auth_new(&cfg, &a, &e), ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, gone));
}

TEST_MAIN("policy", setup, teardown, TEST(checks_hold_or_not), TEST(words_bind_as_they_should),
          TEST(typing_errors_are_named), TEST(lists_are_alternatives_of_rows),
          TEST(zed_lets_every_role_in), TEST(predecessors_count_on_request),
          TEST(rules_of_projects_want_a_project), TEST(the_file_is_over_the_defaults),
          TEST(wrong_files_are_one_line), TEST(long_chains_are_refused_quickly),
          TEST(a_bad_reload_keeps_the_rules))
