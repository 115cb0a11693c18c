/* http_basic with a real file and real bcrypt: right and wrong credentials, headers nobody should
 * send, the file changing under the running service, and many threads at once. */
#include "auth/auth.h"
#include "base/io.h"
#include "base/log.h"
#include "component/http_config.h"
#include "support/cunit_main.h"

#include <crypt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

static char dir[] = "/tmp/magnum-auth.XXXXXX";
static char *path;
static struct auth *auth;

static int setup(void)
{
    log_setup("test", LOG_ERR, false);
    if (!mkdtemp(dir))
        return -1;
    path = str_fmt("%s/htpasswd", dir);
    return path ? 0 : -1;
}

static int teardown(void)
{
    (void)unlink(path);
    free(path);
    return rmdir(dir);
}

/* A line for the file; cost 4 is bcrypt's least. Caller frees. */
static char *line_of(const char *user, const char *password, const char *rest)
{
    struct crypt_data d = {0};
    const char *hash = crypt_r(password, "$2b$04$abcdefghijklmnopqrstuu", &d);
    return str_fmt("%s:%s%s\n", user, hash, rest);
}

static void write_file(const char *text)
{
    struct err e = ERR_INIT;
    ASSERT_OK(io_write_file(path, text, strlen(text), 0640, &e), &e);
}

static void write_user(const char *user, const char *password, const char *rest)
{
    _cleanup_free_ char *line = line_of(user, password, rest);
    write_file(line);
}

static int start(struct err *e)
{
    struct config cfg = test_config();
    char strategy[] = "http_basic", any[] = "0.0.0.0";
    cfg.auth_strategy = strategy;
    cfg.auth_http_basic_file = path;
    cfg.api_host = any; /* not bound to loopback, unlike noauth */
    return auth_new(&cfg, &auth, e);
}

static const char *authorization(const void *req, const char *name)
{
    return strcmp(name, "Authorization") == 0 ? req : "forged";
}

static int try_header(const char *value, struct auth_context *ret)
{
    const char *challenge = NULL;
    struct err e = ERR_INIT;
    struct auth_context c = {0};
    int rc = auth_check(auth, authorization, value, false, ret ? ret : &c, &challenge, &e);
    CU_ASSERT_STRING_EQUAL(challenge, "Basic realm=\"magnum\"");
    if (rc == ERR_UNAUTHORIZED)
        CU_ASSERT_STRING_EQUAL(e.msg, "The request you have made requires authentication.");
    auth_context_done(&c);
    return rc;
}

/* "Basic " + base64; a plain encoder is enough for short texts. Caller frees. */
static char *header_for(const char *text, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct str t = STR_INIT;
    str_append(&t, "Basic ");
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (i + k < n ? (unsigned char)text[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            str_append_c(&t, i + k > n ? '=' : digits[v >> (18 - 6 * k) & 63]);
    }
    return str_take(&t);
}

static int try_user(const char *credentials, struct auth_context *ret)
{
    _cleanup_free_ char *h = header_for(credentials, strlen(credentials));
    return try_header(h, ret);
}

static void knows_users_by_password(void)
{
    write_user("ann", "pass:word", ":proj:member");
    struct err e = ERR_INIT;
    ASSERT_OK(start(&e), &e);
    struct auth_context c = {0};
    for (int i = 0; i < 2; i++) { /* by bcrypt, then from the cache */
        CU_ASSERT_EQUAL(try_user("ann:pass:word", &c), 0);
        CU_ASSERT_STRING_EQUAL(c.user_id, "ann");
        CU_ASSERT_STRING_EQUAL(c.project_id, "proj"); /* X-Project-Id does not count */
        CU_ASSERT_FALSE(c.is_admin);
        CU_ASSERT_EQUAL(c.roles.n, 2);
        auth_context_done(&c);
    }
    static const char *const wrong[] = {
        "ann:pass", "ann:", "ann:pass:wordx", "bob:pass:word", "Ann:pass:word", ":pass:word",
        "ann",      ""};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        CU_ASSERT_EQUAL(try_user(wrong[i], NULL), ERR_UNAUTHORIZED);
    auth_free(&auth);
}

static void refuses_odd_headers(void)
{
    write_user("ann", "pw", "");
    struct err e = ERR_INIT;
    ASSERT_OK(start(&e), &e);
    _cleanup_free_ char *good = header_for("ann:pw", 6);
    CU_ASSERT_EQUAL(try_header(good, NULL), 0);
    good[0] = 'b'; /* the scheme in any case */
    CU_ASSERT_EQUAL(try_header(good, NULL), 0);
    static const char *const bad[] = {"Basic",         "Basic ",
                                      "Basic !!!!",    "Basic YW5uOnB3=",
                                      "Basic YW5uOnB", "Bearer YW5uOnB3",
                                      "YW5uOnB3",      "Basic YW5u OnB3",
                                      "Basic ====",    "Basic YW5uOnB3YW5uOnB3===="};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CU_ASSERT_EQUAL(try_header(bad[i], NULL), ERR_UNAUTHORIZED);
    CU_ASSERT_EQUAL(try_header(NULL, NULL), ERR_UNAUTHORIZED);
    _cleanup_free_ char *nul = header_for("ann:pw\0x", 8); /* crypt would stop at the NUL */
    CU_ASSERT_EQUAL(try_header(nul, NULL), ERR_UNAUTHORIZED);
    char huge[8000];
    memset(huge, 'A', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    memcpy(huge, "Basic ", 6);
    CU_ASSERT_EQUAL(try_header(huge, NULL), ERR_UNAUTHORIZED);
    auth_free(&auth);
}

static void says_when_a_check_takes_long(void)
{
    write_user("ann", "pw", "");
    struct err e = ERR_INIT;
    ASSERT_OK(start(&e), &e);
    _cleanup_free_ char *h = header_for("ann:pw", 6);
    CU_ASSERT_TRUE(auth_may_wait(auth, authorization, h));
    CU_ASSERT_EQUAL(try_header(h, NULL), 0);
    CU_ASSERT_FALSE(auth_may_wait(auth, authorization, h));
    CU_ASSERT_FALSE(auth_may_wait(auth, authorization, NULL));
    auth_free(&auth);
}

static void follows_the_file(void)
{
    write_user("ann", "old", "");
    struct err e = ERR_INIT;
    ASSERT_OK(start(&e), &e);
    CU_ASSERT_EQUAL(try_user("ann:old", NULL), 0);
    write_user("ann", "new", "::admin"); /* the remembered password goes with the old file */
    CU_ASSERT_EQUAL(try_user("ann:old", NULL), ERR_UNAUTHORIZED);
    struct auth_context c = {0};
    CU_ASSERT_EQUAL(try_user("ann:new", &c), 0);
    CU_ASSERT_TRUE(c.is_admin);
    CU_ASSERT_STRING_EQUAL(c.project_id, "default");
    auth_context_done(&c);
    write_user("bob", "pw", "");
    CU_ASSERT_EQUAL(try_user("ann:new", NULL), ERR_UNAUTHORIZED);
    CU_ASSERT_EQUAL(try_user("bob:pw", NULL), 0);

    write_file("half a li"); /* a broken or missing file changes nobody's rights */
    CU_ASSERT_EQUAL(try_user("bob:pw", NULL), 0);
    (void)unlink(path);
    CU_ASSERT_EQUAL(try_user("bob:pw", NULL), 0);
    CU_ASSERT_EQUAL(try_user("ann:new", NULL), ERR_UNAUTHORIZED);
    write_user("eve", "pw", "");
    CU_ASSERT_EQUAL(try_user("bob:pw", NULL), ERR_UNAUTHORIZED);
    CU_ASSERT_EQUAL(try_user("eve:pw", NULL), 0);
    auth_free(&auth);
}

static void starts_only_with_users(void)
{
    struct err e = ERR_INIT;
    (void)unlink(path);
    CU_ASSERT_NOT_EQUAL(start(&e), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, path));
    write_file("# nobody yet\n");
    CU_ASSERT_EQUAL(start(&e), ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "htpasswd"));
    write_file("ann:plain\n");
    CU_ASSERT_EQUAL(start(&e), ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "line 1"));
    CU_ASSERT_PTR_NULL(strstr(e.msg, "plain"));
}

static atomic_int wrong_answers;

static void *log_in_often(void *arg)
{
    for (int i = 0; i < 60; i++) {
        const char *challenge;
        struct err e = ERR_INIT;
        struct auth_context c = {0};
        int rc = auth_check(auth, authorization, arg, false, &c, &challenge, &e);
        if (rc != 0 || !str_eq(c.user_id, "ann"))
            atomic_fetch_add(&wrong_answers, 1);
        auth_context_done(&c);
    }
    return NULL;
}

static void serves_threads_while_the_file_changes(void)
{
    write_user("ann", "pw", "");
    struct err e = ERR_INIT;
    ASSERT_OK(start(&e), &e);
    _cleanup_free_ char *h = header_for("ann:pw", 6);
    pthread_t threads[6];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_create(&threads[i], NULL, log_in_often, h);
    for (int i = 0; i < 20; i++)
        write_user("ann", "pw", i % 2 ? ":p:admin" : "");
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT_EQUAL(atomic_load(&wrong_answers), 0);
    auth_free(&auth);
}

TEST_MAIN("auth_basic", setup, teardown, TEST(knows_users_by_password), TEST(refuses_odd_headers),
          TEST(says_when_a_check_takes_long), TEST(follows_the_file), TEST(starts_only_with_users),
          TEST(serves_threads_while_the_file_changes))
