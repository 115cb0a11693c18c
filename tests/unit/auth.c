/* The pure parts of auth: policy, the htpasswd format, the credential cache with a clock of its
 * own, and noauth with headers from a table. */
#include "auth/auth_internal.h"
#include "component/http_config.h"
#include "support/cunit_main.h"

#include <crypt.h>

static struct auth_context caller(const char *project, const char *user, const char *roles)
{
    struct auth_context c = {.project_id = str_dup(project), .user_id = str_dup(user)};
    CU_ASSERT_EQUAL_FATAL(strv_split(&c.roles, roles, ','), 0);
    return c;
}

static struct policy *defaults;

static bool may(const char *roles, const char *rule, const char *project, const char *user)
{
    struct auth_context c = caller("p1", "u1", roles);
    bool yes = policy_allows(defaults, &c, rule, &(struct auth_target){project, user, NULL});
    auth_context_done(&c);
    return yes;
}

/* policy.md section 3: the effect by role. */
static void policy_by_role(void)
{
    static const struct {
        const char *rule;
        bool none, reader, member, admin;
    } rows[] = {
        {"cluster:get_all", false, true, false, true},
        {"cluster:get", false, true, false, true},
        {"nodegroup:get_all", false, true, false, true},
        {"stats:get_all", false, true, false, true},
        {"quota:get", false, true, false, true},
        {"cluster:create", false, false, true, true},
        {"cluster:resize", false, false, true, true},
        {"cluster:update_health_status", false, false, true, true},
        {"nodegroup:create", false, false, true, true},
        {"certificate:create", false, false, true, true},
        {"certificate:get", false, true, false, true},
        {"certificate:rotate_ca", false, false, true, true},
        {"credential:rotate", false, false, true, false},
        {"cluster:get_one_all_projects", false, false, false, true},
        {"clustertemplate:publish", false, false, false, true},
        {"magnum-service:get_all", false, false, false, true},
        {"quota:get_all", false, false, false, true},
        {"context_is_admin", false, false, false, true},
        {"cluster:no_such_rule", false, false, false, false},
        {"", false, false, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CU_ASSERT_EQUAL(may("", rows[i].rule, "p1", "u1"), rows[i].none);
        CU_ASSERT_EQUAL(may("reader", rows[i].rule, "p1", "u1"), rows[i].reader);
        CU_ASSERT_EQUAL(may("member", rows[i].rule, "p1", "u1"), rows[i].member);
        CU_ASSERT_EQUAL(may("admin", rows[i].rule, "p1", "u1"), rows[i].admin);
        CU_ASSERT_EQUAL(may("Admin", rows[i].rule, "p1", "u1"), rows[i].admin);
    }
}

static void policy_by_project_and_user(void)
{
    CU_ASSERT_FALSE(may("member,reader", "cluster:get", "p2", "u1"));
    CU_ASSERT_FALSE(may("member,reader", "cluster:delete", "p2", "u1"));
    CU_ASSERT_TRUE(may("admin", "cluster:delete", "p2", "u2"));
    CU_ASSERT_TRUE(may("member,reader", "cluster:delete", "p1", "u2"));
    CU_ASSERT_FALSE(may("member,reader", "certificate:get", "p1", "u2"));
    CU_ASSERT_FALSE(may("member,reader", "certificate:create", "p1", "u2"));
    CU_ASSERT_TRUE(may("member,reader", "certificate:rotate_ca", "p1", "u2"));
    CU_ASSERT_FALSE(may("admin", "credential:rotate", "p1", "u1"));
    CU_ASSERT_TRUE(may("admin,member", "credential:rotate", "p1", "u1"));
    struct auth_context nobody = caller(NULL, NULL, "member,reader");
    const struct auth_target nothing = {NULL, NULL, NULL};
    CU_ASSERT_FALSE(policy_allows(defaults, &nobody, "cluster:get", &nothing));
    auth_context_done(&nobody);
}

/* 15.0.1: the trustee users of clusters may ask for their own certificates and nothing else. */
static bool trustee_may(struct config *cfg, const char *domain_id, const char *domain_name,
                        const char *rule, const char *trustee)
{
    struct policy *p = NULL;
    struct err e = ERR_INIT;
    struct auth_context c = caller("p1", "t1", "member");
    c.domain_id = str_dup(domain_id);
    c.domain_name = str_dup(domain_name);
    ASSERT_OK(policy_new(cfg, &p, &e), &e);
    bool yes = policy_allows(p, &c, rule, &(struct auth_target){"p1", "u1", trustee});
    policy_free(p);
    auth_context_done(&c);
    return yes;
}

static void trustee_users_get_certificates_only(void)
{
    static char compat[] = "zed", id[] = "td", name[] = "magnum", none[] = "";
    struct config cfg = test_config();
    cfg.api_compat = compat;
    CU_ASSERT_TRUE(trustee_may(&cfg, "td", "magnum", "cluster:create", NULL)); /* no such domain */
    for (int by_name = 0; by_name < 2; by_name++) {
        cfg.trust_trustee_domain_id = by_name ? none : id;
        cfg.trust_trustee_domain_name = by_name ? name : none;
        CU_ASSERT_FALSE(trustee_may(&cfg, "td", "magnum", "cluster:create", NULL));
        CU_ASSERT_FALSE(trustee_may(&cfg, "td", "magnum", "cluster:get", "t1"));
        CU_ASSERT_TRUE(trustee_may(&cfg, "default", "Default", "cluster:create", NULL));
        CU_ASSERT_TRUE(trustee_may(&cfg, "td", "magnum", "certificate:get", "t1"));
        CU_ASSERT_TRUE(trustee_may(&cfg, "td", "magnum", "certificate:create", "t1"));
        CU_ASSERT_FALSE(trustee_may(&cfg, "td", "magnum", "certificate:get", "t2"));
        CU_ASSERT_FALSE(trustee_may(&cfg, "td", "magnum", "certificate:get", NULL));
    }
}

/* Every rule name of policy.md is known: an admin who is a member too passes all of them. */
static void policy_knows_every_rule(void)
{
    static const char *const names[] = {
        "cluster:create",
        "cluster:delete",
        "cluster:delete_all_projects",
        "cluster:detail",
        "cluster:detail_all_projects",
        "cluster:get",
        "cluster:get_one_all_projects",
        "cluster:get_all",
        "cluster:get_all_all_projects",
        "cluster:update",
        "cluster:update_health_status",
        "cluster:update_all_projects",
        "cluster:resize",
        "cluster:upgrade",
        "cluster:upgrade_all_projects",
        "clustertemplate:create",
        "clustertemplate:delete",
        "clustertemplate:delete_all_projects",
        "clustertemplate:detail",
        "clustertemplate:detail_all_projects",
        "clustertemplate:get",
        "clustertemplate:get_one_all_projects",
        "clustertemplate:get_all",
        "clustertemplate:get_all_all_projects",
        "clustertemplate:update",
        "clustertemplate:update_all_projects",
        "clustertemplate:publish",
        "nodegroup:get",
        "nodegroup:get_one_all_projects",
        "nodegroup:get_all",
        "nodegroup:get_all_all_projects",
        "nodegroup:create",
        "nodegroup:update",
        "nodegroup:delete",
        "certificate:create",
        "certificate:get",
        "certificate:rotate_ca",
        "credential:rotate",
        "federation:create",
        "federation:delete",
        "federation:update",
        "federation:detail",
        "federation:get",
        "federation:get_all",
        "magnum-service:get_all",
        "quota:create",
        "quota:delete",
        "quota:update",
        "quota:get_all",
        "quota:get",
        "stats:get_all",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        bool known = may("admin,member,reader", names[i], "p1", "u1");
        if (!known)
            fprintf(stderr, "unknown rule %s\n", names[i]);
        CU_ASSERT_TRUE(known);
    }
}

/* ---- htpasswd ---- */

/* Cost 4, the cheapest: "secret" and "other". */
static char hash_secret[CRYPT_OUTPUT_SIZE], hash_other[CRYPT_OUTPUT_SIZE];

static int make_hash(const char *password, const char *salt, char *ret)
{
    struct crypt_data d = {0};
    const char *h = crypt_r(password, salt, &d);
    if (!h || strlen(h) != 60)
        return -1;
    memcpy(ret, h, 61);
    return 0;
}

static int setup(void)
{
    struct config cfg = test_config();
    struct err e = ERR_INIT;
    if (policy_new(&cfg, &defaults, &e) != 0)
        return -1;
    return make_hash("secret", "$2b$04$abcdefghijklmnopqrstuu", hash_secret) ||
           make_hash("other", "$2y$04$uvwxyzabcdefghijklmnou", hash_other);
}

static int teardown(void)
{
    policy_free(defaults);
    return 0;
}

static void htpasswd_reads_users(void)
{
    _cleanup_free_ char *text = str_fmt(
        "# people\n\nbob:%s:proj:admin\r\nalice:%s\ncarol:%s::reader\ndave:%s:p:", hash_secret,
        hash_other, hash_secret, hash_secret);
    struct htpasswd *h = NULL;
    struct err e = ERR_INIT;
    ASSERT_OK(htpasswd_parse("f", text, &h, &e), &e);
    CU_ASSERT_EQUAL(h->n, 4);
    const struct htpasswd_user *bob = htpasswd_find(h, "bob"), *alice = htpasswd_find(h, "alice");
    const struct htpasswd_user *carol = htpasswd_find(h, "carol");
    CU_ASSERT_PTR_NOT_NULL_FATAL(bob);
    CU_ASSERT_PTR_NOT_NULL_FATAL(alice);
    CU_ASSERT_PTR_NOT_NULL_FATAL(carol);
    CU_ASSERT_STRING_EQUAL(bob->project, "proj");
    CU_ASSERT(strv_has(&bob->roles, "admin") && strv_has(&bob->roles, "member") &&
              strv_has(&bob->roles, "reader"));
    CU_ASSERT_PTR_NULL(alice->project);
    CU_ASSERT(!strv_has(&alice->roles, "admin") && strv_has(&alice->roles, "member") &&
              strv_has(&alice->roles, "reader"));
    CU_ASSERT_PTR_NULL(carol->project);
    CU_ASSERT(!strv_has(&carol->roles, "member") && strv_has(&carol->roles, "reader"));
    CU_ASSERT_PTR_NULL(htpasswd_find(h, "nobody"));

    CU_ASSERT_TRUE(htpasswd_verify(h, bob, "secret"));
    CU_ASSERT_TRUE(htpasswd_verify(h, alice, "other"));
    CU_ASSERT_FALSE(htpasswd_verify(h, bob, "other"));
    CU_ASSERT_FALSE(htpasswd_verify(h, bob, ""));
    CU_ASSERT_FALSE(htpasswd_verify(h, NULL, "secret"));
    CU_ASSERT(strncmp(h->dummy_salt, "$2b$04$", 7) == 0); /* costs what the users cost */
    htpasswd_free(h);
}

static void htpasswd_refuses(void)
{
    static const char *const bad[] = {
        "bob",
        ":x",
        "bob:",
        "bob:plain",
        "bob:$apr1$salt$hash",
        "bob:{SHA}abc",
        "bob:$2b$04$tooshort",
        "b\tob:$2b$04$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyz01234"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        _cleanup_free_ char *text = str_fmt("ok:%s\n%s\n", hash_secret, bad[i]);
        struct htpasswd *h = NULL;
        struct err e = ERR_INIT;
        CU_ASSERT_EQUAL(htpasswd_parse("file", text, &h, &e), ERR_CONFIG);
        CU_ASSERT(str_starts(e.msg, "file: line 2: "));
        CU_ASSERT_PTR_NULL(h);
    }
    _cleanup_free_ char *twice = str_fmt("a:%s\na:%s\n", hash_secret, hash_other);
    struct htpasswd *h = NULL;
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(htpasswd_parse("file", twice, &h, &e), ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "twice"));
}

/* ---- cache ---- */

static void cache_remembers_for_a_while(void)
{
    struct cred_cache *c = NULL;
    struct err e = ERR_INIT;
    ASSERT_OK(cred_cache_new(16, 1000, &c, &e), &e);
    CU_ASSERT_FALSE(cred_cache_has(c, "a", "b", 5000));
    cred_cache_add(c, "a", "b", 5000);
    CU_ASSERT_TRUE(cred_cache_has(c, "a", "b", 5999));
    CU_ASSERT_FALSE(cred_cache_has(c, "a", "b", 6000));
    CU_ASSERT_FALSE(cred_cache_has(c, "a", "c", 5000));
    CU_ASSERT_FALSE(cred_cache_has(c, "ab", "", 5000));
    cred_cache_add(c, "a", "b", 6000);
    CU_ASSERT_TRUE(cred_cache_has(c, "a", "b", 6500));
    cred_cache_clear(c);
    CU_ASSERT_FALSE(cred_cache_has(c, "a", "b", 6500));
    cred_cache_free(c);
}

static void cache_is_bounded(void)
{
    struct cred_cache *c = NULL;
    struct err e = ERR_INIT;
    ASSERT_OK(cred_cache_new(16, 100000, &c, &e), &e);
    for (int i = 0; i < 1000; i++) {
        _cleanup_free_ char *user = str_fmt("u%d", i);
        cred_cache_add(c, user, "p", i);
        CU_ASSERT_TRUE(cred_cache_has(c, user, "p", i)); /* the newest is always in */
    }
    int held = 0;
    for (int i = 0; i < 1000; i++) {
        _cleanup_free_ char *user = str_fmt("u%d", i);
        held += cred_cache_has(c, user, "p", 1000);
    }
    CU_ASSERT(held > 0 && held <= 16);
    cred_cache_free(c);
    ASSERT_OK(cred_cache_new(0, 1000, &c, &e), &e);
    cred_cache_add(c, "a", "b", 0);
    CU_ASSERT_FALSE(cred_cache_has(c, "a", "b", 0));
    cred_cache_free(c);
}

/* ---- noauth and the choice of a strategy ---- */

static const char *const no_headers[] = {NULL};

static const char *header_of(const void *req, const char *name)
{
    for (const char *const *h = req; *h; h += 2)
        if (strcmp(h[0], name) == 0)
            return h[1];
    return NULL;
}

static struct auth *noauth_on(char *host, char *socket, struct err *e)
{
    struct config cfg = test_config();
    struct auth *a = NULL;
    cfg.api_host = host;
    cfg.api_unix_socket = socket;
    return auth_new(&cfg, &a, e) == 0 ? a : NULL;
}

static void noauth_only_on_loopback(void)
{
    char none[] = "", sock[] = "/run/x.sock";
    char yes[][16] = {"127.0.0.1", "127.8.8.8", "::1", "localhost"};
    char no[][16] = {"0.0.0.0", "::", "10.1.2.3", "::ffff:10.1.2.3", ""};
    struct err e = ERR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        struct auth *a = noauth_on(yes[i], none, &e);
        CU_ASSERT_PTR_NOT_NULL(a);
        auth_free(&a);
    }
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        CU_ASSERT_PTR_NULL(noauth_on(no[i], none, &e));
        CU_ASSERT_EQUAL(e.code, ERR_CONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "http_basic"));
    }
    struct auth *a = noauth_on(no[0], sock, &e); /* the socket is what is listened on */
    CU_ASSERT_PTR_NOT_NULL(a);
    auth_free(&a);
}

static void unknown_strategies_are_named(void)
{
    char other[] = "other";
    struct config cfg = test_config();
    cfg.auth_strategy = other;
    struct auth *a = NULL;
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(auth_new(&cfg, &a, &e), ERR_CONFIG);
    CU_ASSERT_STRING_EQUAL(
        e.msg, "auth.strategy is \"other\"; this build has noauth, http_basic, keystone");
}

static void noauth_knows_everybody(void)
{
    char host[] = "127.0.0.1", none[] = "";
    struct err e = ERR_INIT;
    struct auth *a = noauth_on(host, none, &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    struct auth_context c = {.request_id = "req-1"};
    const char *challenge = "unset";
    ASSERT_OK(auth_check(a, header_of, no_headers, true, &c, &challenge, &e), &e);
    CU_ASSERT_STRING_EQUAL(c.user_id, "admin");
    CU_ASSERT_STRING_EQUAL(c.project_id, "default");
    CU_ASSERT_TRUE(c.is_admin);
    CU_ASSERT_EQUAL(c.roles.n, 3);
    CU_ASSERT_STRING_EQUAL(c.request_id, "req-1");
    CU_ASSERT_PTR_NULL(challenge);
    CU_ASSERT_EQUAL(auth_enforce(a, &c, "cluster:create", NULL, NULL, &e), 0);
    auth_context_done(&c);

    static const char *const other[] = {"X-User-Id",      "u7", "X-Project-Id", "p7", "X-Roles",
                                        "member, reader", NULL};
    ASSERT_OK(auth_check(a, header_of, other, true, &c, &challenge, &e), &e);
    CU_ASSERT_STRING_EQUAL(c.user_id, "u7");
    CU_ASSERT_STRING_EQUAL(c.project_id, "p7");
    CU_ASSERT_FALSE(c.is_admin);
    CU_ASSERT_EQUAL(auth_enforce(a, &c, "cluster:create", NULL, NULL, &e), 0);
    CU_ASSERT_EQUAL(auth_enforce(a, &c, "cluster:get", "p8", NULL, &e), ERR_FORBIDDEN);
    CU_ASSERT_STRING_EQUAL(e.msg, "Policy doesn't allow cluster:get to be performed.");
    auth_context_done(&c);

    CU_ASSERT_EQUAL(auth_check(a, header_of, other, false, &c, &challenge, &e), ERR_UNAUTHORIZED);
    CU_ASSERT_PTR_NULL(c.user_id);
    static const char *const odd[] = {"X-Project-Id", "p\x01", NULL};
    CU_ASSERT_EQUAL(auth_check(a, header_of, odd, true, &c, &challenge, &e), ERR_INVALID);
    CU_ASSERT_FALSE(auth_may_wait(a, header_of, other));
    auth_free(&a);
    CU_ASSERT_PTR_NULL(a);
}

TEST_MAIN("auth", setup, teardown, TEST(policy_by_role), TEST(policy_by_project_and_user),
          TEST(trustee_users_get_certificates_only), TEST(policy_knows_every_rule),
          TEST(htpasswd_reads_users), TEST(htpasswd_refuses), TEST(cache_remembers_for_a_while),
          TEST(cache_is_bounded), TEST(noauth_only_on_loopback), TEST(unknown_strategies_are_named),
          TEST(noauth_knows_everybody))
