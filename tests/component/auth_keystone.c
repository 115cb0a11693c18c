/* The strategy keystone against a Keystone of our own over real HTTP: whom it lets in, what it
 * remembers, how often it asks, and what happens while Keystone is away. */
#include "auth/auth.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "component/http_config.h"
#include "component/http_tls.h"
#include "http/server.h"
#include "support/cunit_main.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 8 };

static struct http_server *fake;
static struct config fake_cfg, cfg;
static struct auth *auth;
static char url[64];
static _Atomic int logins, asked, login_status, ask_status, service_life_s, revoked;
static _Atomic int projects_asked, project_status;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* held: validations wait */

/* ---- Keystone ---- */

static void iso_in(int seconds, char buf[CLOCK_ISO_MAX])
{
    clock_iso(clock_wall_us() + seconds * INT64_C(1000000), buf);
}

static void answer_login(const struct http_request *rq, struct http_response *rp)
{
    char ends[CLOCK_ISO_MAX], token[32];
    int n = atomic_fetch_add(&logins, 1) + 1;
    rp->status = login_status;
    if (!strstr(rq->body, "\"password\":\"pw\"") || !strstr(rq->body, "\"name\":\"magnum\"") ||
        !strstr(rq->body, "\"name\":\"service\""))
        rp->status = 401;
    snprintf(token, sizeof token, "svc-%d", n);
    (void)http_response_header(rp, "X-Subject-Token", token);
    iso_in(service_life_s, ends);
    str_printf(&rp->body, "{\"token\":{\"expires_at\":\"%s\",\"user\":{\"id\":\"svc\"}}}", ends);
}

static const char *scope_of(const char *token)
{
    if (str_starts(token, "domain"))
        return "\"domain\":{\"id\":\"d7\"}";
    if (str_starts(token, "system"))
        return "\"system\":{\"all\":true}";
    if (str_starts(token, "trust"))
        return "\"OS-TRUST:trust\":{\"id\":\"t1\"},\"project\":{\"id\":\"p1\",\"name\":\"one\"}";
    return "\"project\":{\"id\":\"p1\",\"name\":\"one\",\"domain\":{\"id\":\"d1\"}}";
}

static void answer_ask(const struct http_request *rq, struct http_response *rp)
{
    char ends[CLOCK_ISO_MAX];
    const char *mine = http_request_header(rq, "X-Auth-Token");
    const char *theirs = http_request_header(rq, "X-Subject-Token");
    atomic_fetch_add(&asked, 1);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    rp->status = ask_status;
    if (!mine || !str_starts(mine, "svc-") || atoi(mine + 4) <= revoked)
        rp->status = 401;
    else if (!theirs || str_starts(theirs, "bad"))
        rp->status = 404;
    if (rp->status != 200)
        return;
    if (str_starts(theirs, "garbage")) {
        str_append(&rp->body, "{\"token\":{\"user\":7}}");
        return;
    }
    iso_in(str_starts(theirs, "expired") ? -1 : str_starts(theirs, "short") ? 4 : 3600, ends);
    str_printf(&rp->body,
               "{\"token\":{\"expires_at\":\"%s\",\"user\":{\"id\":\"u1\",\"name\":\"ann\","
               "\"domain\":{\"id\":\"default\",\"name\":\"Default\"}},%s,\"roles\":[{\"name\":"
               "\"%s\"},{\"name\":\"reader\"}],\"catalog\":[{\"type\":\"image\",\"endpoints\":["
               "{\"interface\":\"public\",\"region_id\":\"R1\",\"url\":\"http://one\"},"
               "{\"interface\":\"public\",\"region_id\":\"R2\",\"url\":\"http://two\"}]}]}}",
               ends, scope_of(theirs), strstr(theirs, "admin") ? "admin" : "member");
}

static void answer_project(const struct http_request *rq, struct http_response *rp)
{
    const char *mine = http_request_header(rq, "X-Auth-Token");
    atomic_fetch_add(&projects_asked, 1);
    rp->status = strcmp(rq->path, "/v3/projects/p 1/?x") == 0 ? project_status : 404;
    if (!mine || !str_starts(mine, "svc-") || atoi(mine + 4) <= revoked)
        rp->status = 401;
}

static void handle(void *ctx, const struct http_request *rq, struct http_response *rp)
{
    (void)ctx;
    rp->status = 404;
    if (str_starts(rq->path, "/v3/projects/"))
        answer_project(rq, rp);
    if (strcmp(rq->path, "/v3/auth/tokens") == 0)
        strcmp(rq->method, "POST") == 0 ? answer_login(rq, rp) : answer_ask(rq, rp);
}

static void reject(void *ctx, const struct http_request *rq, const struct err *why,
                   struct http_response *rp)
{
    (void)ctx;
    (void)rq;
    (void)why;
    rp->status = 400;
}

static int keystone_up(int64_t port)
{
    static char host[] = "127.0.0.1";
    struct err e = ERR_INIT;
    fake_cfg = test_config();
    fake_cfg.api_host = host;
    fake_cfg.api_port = port;
    fake_cfg.api_threads = THREADS + 1;
    int rc = http_server_start(&fake_cfg, handle, reject, NULL, &fake, &e);
    if (rc != 0)
        fprintf(stderr, "%s\n", e.msg);
    return rc;
}

static int setup(void)
{
    log_setup("test", LOG_ERR, false);
    if (keystone_up(0) != 0)
        return -1;
    snprintf(url, sizeof url, "http://127.0.0.1:%d", http_server_port(fake));
    return 0;
}

static int teardown(void)
{
    http_server_stop(&fake);
    return 0;
}

/* ---- the one who asks ---- */

static int configure(struct err *e)
{
    static char strategy[] = "keystone", password[] = "pw";
    logins = asked = revoked = 0;
    login_status = 201;
    ask_status = 200;
    service_life_s = 3600;
    cfg = test_config();
    cfg.auth_strategy = strategy;
    cfg.keystone_auth_url = url;
    cfg.keystone_password = password;
    return auth_new(&cfg, &auth, e);
}

static void begin(void)
{
    struct err e = ERR_INIT;
    ASSERT_OK(configure(&e), &e);
}

static const char *header_of(const void *req, const char *name)
{
    return strcmp(name, "X-Auth-Token") == 0 ? req : "forged";
}

static int try(const char *token, struct auth_context *ret)
{
    const char *challenge = NULL;
    struct auth_context c = {.request_id = "req-1"};
    struct err e = ERR_INIT;
    int rc = auth_check(auth, header_of, token, true, &c, &challenge, &e);
    char want[96];
    snprintf(want, sizeof want, "Keystone uri=\"%s\"", url);
    CU_ASSERT_STRING_EQUAL(challenge, want);
    if (rc != 0)
        CU_ASSERT(e.msg[0] && e.code == rc);
    if (rc == 0 && ret)
        *ret = c;
    else
        auth_context_done(&c);
    return rc;
}

static void a_token_says_who_asks(void)
{
    struct auth_context c = {0};
    begin();
    CU_ASSERT_TRUE(auth_may_wait(auth, header_of, "good"));
    CU_ASSERT_EQUAL_FATAL(try("good", &c), 0);
    CU_ASSERT_STRING_EQUAL(c.user_id, "u1"); /* not the forged X-User-Id */
    CU_ASSERT_STRING_EQUAL(c.user_name, "ann");
    CU_ASSERT_STRING_EQUAL(c.project_id, "p1");
    CU_ASSERT_STRING_EQUAL(c.project_name, "one");
    CU_ASSERT_STRING_EQUAL(c.domain_id, "default");
    CU_ASSERT_STRING_EQUAL(c.domain_name, "Default");
    CU_ASSERT_STRING_EQUAL(c.project_domain_id, "d1");
    CU_ASSERT_STRING_EQUAL(c.token, "good");
    CU_ASSERT_STRING_EQUAL(c.request_id, "req-1");
    CU_ASSERT(c.roles.n == 2 && strv_has(&c.roles, "member") && !c.is_admin);
    CU_ASSERT_STRING_EQUAL(auth_endpoint(&c, "image", "public", ""), "http://one");
    CU_ASSERT_STRING_EQUAL(auth_endpoint(&c, "image", "public", "R2"), "http://two");
    CU_ASSERT_PTR_NULL(auth_endpoint(&c, "image", "admin", ""));
    CU_ASSERT_PTR_NULL(auth_endpoint(&c, "volume", "public", NULL));
    auth_context_done(&c);
    CU_ASSERT_FALSE(auth_may_wait(auth, header_of, "good"));
    for (int i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(try("good", NULL), 0);
    CU_ASSERT_EQUAL(asked, 1); /* a hit costs no question */
    CU_ASSERT_EQUAL(logins, 1);
    auth_free(&auth);
}

static void scopes_and_roles_count(void)
{
    struct auth_context c = {0};
    struct err e = ERR_INIT;
    begin();
    CU_ASSERT_EQUAL_FATAL(try("admin", &c), 0);
    CU_ASSERT_TRUE(c.is_admin);
    auth_context_done(&c);
    CU_ASSERT_EQUAL_FATAL(try("trust", &c), 0);
    CU_ASSERT_STRING_EQUAL(c.trust_id, "t1");
    auth_context_done(&c);
    CU_ASSERT_EQUAL_FATAL(try("domain-admin", &c), 0);
    CU_ASSERT_PTR_NULL(c.project_id);
    CU_ASSERT_STRING_EQUAL(c.scope_domain_id, "d7");
    CU_ASSERT_EQUAL(auth_enforce(auth, &c, "cluster:get_all", NULL, NULL, &e), ERR_FORBIDDEN);
    auth_context_done(&c);
    CU_ASSERT_EQUAL_FATAL(try("system-admin", &c), 0);
    CU_ASSERT_TRUE(c.system_scope);
    CU_ASSERT_EQUAL(auth_enforce(auth, &c, "cluster:get_all", NULL, NULL, &e), ERR_FORBIDDEN);
    CU_ASSERT_EQUAL(auth_enforce(auth, &c, "quota:get_all", NULL, NULL, &e), 0);
    auth_context_done(&c);
    auth_free(&auth);
}

static void wrong_tokens_stay_outside(void)
{
    static const char *const bad[] = {"bad", "expired", "", "to ken", "to\nken", "t\xc3\xb6ken"};
    begin();
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CU_ASSERT_EQUAL(try(bad[i], NULL), ERR_UNAUTHORIZED);
    CU_ASSERT_EQUAL(try(NULL, NULL), ERR_UNAUTHORIZED);
    int before = asked;
    CU_ASSERT_EQUAL(before, 2);
    for (int i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(try("bad", NULL), ERR_UNAUTHORIZED);
    CU_ASSERT_EQUAL(asked, before); /* unknown tokens are remembered too */
    CU_ASSERT_EQUAL(try("garbage", NULL), ERR_UNAVAILABLE);
    static char big[20000];
    memset(big, 'a', sizeof big - 1);
    CU_ASSERT_EQUAL(try(big, NULL), ERR_UNAUTHORIZED);
    auth_free(&auth);
}

static void a_token_ends_in_the_cache_too(void)
{
    begin();
    CU_ASSERT_EQUAL(try("short", NULL), 0);
    int64_t until = clock_mono_ms() + 60000;
    while (asked == 1 && clock_mono_ms() < until) {
        CU_ASSERT_EQUAL(try("short", NULL), 0);
        usleep(20000);
    }
    CU_ASSERT_EQUAL(asked, 2);
    auth_free(&auth);
}

static void *one_thread(void *arg)
{
    (void)arg;
    return try("shared", NULL) == 0 ? NULL : &gate;
}

static void threads_share_a_question(void)
{
    pthread_t t[THREADS];
    begin();
    pthread_mutex_lock(&gate);
    for (int i = 0; i < THREADS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&t[i], NULL, one_thread, NULL), 0);
    int64_t until = clock_mono_ms() + 60000;
    while (asked == 0 && clock_mono_ms() < until)
        usleep(1000);
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < THREADS; i++) {
        void *failed = NULL;
        pthread_join(t[i], &failed);
        CU_ASSERT_PTR_NULL(failed);
    }
    CU_ASSERT_EQUAL(asked, 1);
    CU_ASSERT_EQUAL(logins, 1);
    auth_free(&auth);
}

static void the_service_token_is_renewed(void)
{
    begin();
    CU_ASSERT_EQUAL(try("one", NULL), 0);
    revoked = 1; /* Keystone forgets the first login */
    CU_ASSERT_EQUAL(try("two", NULL), 0);
    CU_ASSERT_EQUAL(logins, 2);
    auth_free(&auth);
    begin();
    service_life_s = 0; /* ends at once: every question needs another */
    CU_ASSERT_EQUAL(try("one", NULL), 0);
    CU_ASSERT_EQUAL(try("two", NULL), 0);
    CU_ASSERT_EQUAL(logins, 2);
    auth_free(&auth);
}

/* A token that ends soon is replaced before it does: no question runs into a refusal. */
static void the_service_token_is_renewed_in_time(void)
{
    char token[32];
    begin();
    service_life_s = 2;
    int64_t until = clock_mono_ms() + 60000;
    for (int i = 0; logins < 3 && clock_mono_ms() < until; i++) {
        snprintf(token, sizeof token, "user-%d", i);
        CU_ASSERT_EQUAL(try(token, NULL), 0);
        usleep(20000);
    }
    CU_ASSERT(logins >= 3);
    auth_free(&auth);
}

static void a_refused_token_is_asked_about_again(void)
{
    begin();
    CU_ASSERT_EQUAL(try("one", NULL), 0);
    auth_forget(auth, NULL);
    auth_forget(auth, "other");
    CU_ASSERT_EQUAL(try("one", NULL), 0);
    CU_ASSERT_EQUAL(asked, 1);
    auth_forget(auth, "one");
    CU_ASSERT_TRUE(auth_may_wait(auth, header_of, "one"));
    CU_ASSERT_EQUAL(try("one", NULL), 0);
    CU_ASSERT_EQUAL(asked, 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(auth_challenge(auth), url));
    auth_free(&auth);
}

static void projects_are_looked_up(void)
{
    static const char *const none[] = {"p2", "", ".", "..", "p 1/../p 1"};
    struct err e = ERR_INIT;
    begin();
    project_status = 200;
    ASSERT_OK(auth_check_project(auth, "p 1/?x", &e), &e);
    revoked = 1;
    ASSERT_OK(auth_check_project(auth, "p 1/?x", &e), &e);
    CU_ASSERT_EQUAL(logins, 2);
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        char text[64];
        snprintf(text, sizeof text, "The project_id %s could not be found.", none[i]);
        CU_ASSERT_EQUAL(auth_check_project(auth, none[i], &e), ERR_NOT_FOUND);
        CU_ASSERT_STRING_EQUAL(e.msg, text);
    }
    project_status = 500;
    CU_ASSERT_EQUAL(auth_check_project(auth, "p 1/?x", &e), ERR_UNAVAILABLE);
    auth_free(&auth);
}

/* ---- TLS ---- */

static char pem_dir[] = "/tmp/mgt-tls-XXXXXX";

static char *pem_file(const char *name, const char *text)
{
    struct err e = ERR_INIT;
    char *path = str_fmt("%s/%s", pem_dir, name);
    ASSERT_OK(io_write_file(path, text, strlen(text), 0600, &e), &e);
    return path;
}

/* One question with this material; "" = none. */
static int try_tls(int port, char *ca, char *cert, char *key, bool insecure)
{
    char own[sizeof url], tls_url[64];
    struct err e = ERR_INIT;
    begin();
    auth_free(&auth);
    memcpy(own, url, sizeof url);
    snprintf(tls_url, sizeof tls_url, "https://127.0.0.1:%d", port);
    memcpy(url, tls_url, sizeof url);
    cfg.keystone_cafile = ca;
    cfg.keystone_certfile = cert;
    cfg.keystone_keyfile = key;
    cfg.keystone_insecure = insecure;
    ASSERT_OK(auth_new(&cfg, &auth, &e), &e);
    int rc = try("good", NULL);
    auth_free(&auth);
    memcpy(url, own, sizeof url);
    return rc;
}

static void keystone_is_reached_by_tls(void)
{
    static char none[] = "";
    struct tls_pair ca, srv, user, other;
    tls_pair_make(&ca, NULL, "test ca");
    tls_pair_make(&srv, &ca, "server");
    tls_pair_make(&user, &ca, "user");
    tls_pair_make(&other, NULL, "other ca");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(pem_dir));
    _cleanup_free_ char *ca_file = pem_file("ca", ca.cert), *cert = pem_file("cert", user.cert);
    _cleanup_free_ char *key = pem_file("key", user.key), *wrong = pem_file("other", other.cert);
    _cleanup_free_ char *other_key = pem_file("other.key", other.key);
    struct tls_server t = {.backend = http_server_port(fake)};
    tls_server_start(&t, &ca, &srv);
    CU_ASSERT_EQUAL(try_tls(t.port, ca_file, cert, key, false), 0);
    CU_ASSERT_EQUAL(logins, 1);
    CU_ASSERT_EQUAL(try_tls(t.port, none, cert, key, false), ERR_UNAVAILABLE); /* unknown CA */
    CU_ASSERT_EQUAL(try_tls(t.port, wrong, cert, key, false), ERR_UNAVAILABLE);
    CU_ASSERT_EQUAL(try_tls(t.port, ca_file, none, none, false), ERR_UNAVAILABLE); /* no user */
    CU_ASSERT_EQUAL(try_tls(t.port, ca_file, wrong, other_key, false), ERR_UNAVAILABLE);
    CU_ASSERT_EQUAL(logins, 0);
    CU_ASSERT_EQUAL(try_tls(t.port, none, cert, key, true), 0); /* as told */
    tls_server_stop(&t);
    char *const files[] = {ca_file, cert, key, wrong, other_key, pem_dir};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        CU_ASSERT_EQUAL(remove(files[i]), 0);
}

/* What SIGHUP does. */
static int reload(const struct config *now, struct err *e)
{
    struct auth_fresh *f = NULL;
    int rc = auth_read_again(auth, now, &f, e);
    if (rc == 0)
        auth_take(auth, &f);
    auth_fresh_free(&f);
    return rc;
}

static void rewrite(const char *path, const char *text)
{
    FILE *f = fopen(path, "w"); /* need not last: nobody reads it meanwhile */
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT(fputs(text, f) >= 0 && fclose(f) == 0);
}

static void refused_by_name(const char *path, const char *text, const char *option,
                            const char *words)
{
    _cleanup_free_ char *was = NULL;
    struct err e = ERR_INIT;
    size_t len = 0;
    ASSERT_OK(io_read_file(path, 65536, &was, &len, &e), &e);
    rewrite(path, text);
    CU_ASSERT_EQUAL(reload(&cfg, &e), ERR_CONFIG);
    if (!str_starts(e.msg, option) || !strstr(e.msg, path) || !strstr(e.msg, words))
        fprintf(stderr, "said: %s\n", e.msg);
    CU_ASSERT(str_starts(e.msg, option) && strstr(e.msg, path) && strstr(e.msg, words));
    rewrite(path, was);
}

/* A file that is bad changes nothing, also not what the others hold. */
static void what_files_hold_is_taken_over(void)
{
    char own[sizeof url];
    struct err e = ERR_INIT;
    struct tls_pair ca, srv, user, other, encrypted;
    tls_pair_make(&ca, NULL, "test ca");
    tls_pair_make(&srv, &ca, "server");
    tls_pair_make(&user, &ca, "user");
    tls_pair_make(&other, NULL, "other ca");
    snprintf(encrypted.key, sizeof encrypted.key, "%s",
             "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    memcpy(pem_dir + strlen(pem_dir) - 6, "XXXXXX", 6);
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(pem_dir));
    _cleanup_free_ char *ca_file = pem_file("ca", other.cert), *cert = pem_file("cert", other.cert);
    _cleanup_free_ char *key = pem_file("key", other.key), *elsewhere = pem_file("new", other.cert);
    struct tls_server t = {.backend = http_server_port(fake)};
    tls_server_start(&t, &ca, &srv);
    begin();
    auth_free(&auth);
    memcpy(own, url, sizeof url);
    snprintf(url, sizeof url, "https://127.0.0.1:%d", t.port);
    cfg.keystone_cafile = ca_file;
    cfg.keystone_certfile = cert;
    cfg.keystone_keyfile = key;
    ASSERT_OK(auth_new(&cfg, &auth, &e), &e);
    CU_ASSERT_EQUAL(try("good-1", NULL), ERR_UNAVAILABLE);

    rewrite(ca_file, ca.cert);
    refused_by_name(cert, "no certificate", "keystone.certfile: ", "holds no certificate");
    refused_by_name(key, user.key, "keystone.keyfile: ", "does not belong to the certificate");
    refused_by_name(key, user.cert, "keystone.keyfile: ", "holds no private key");
    refused_by_name(key, encrypted.key, "keystone.keyfile: ", "holds no private key");
    refused_by_name(ca_file, "", "keystone.cafile: ", "holds no certificate");
    refused_by_name(ca_file, user.key, "keystone.cafile: ", "holds no certificate");
    CU_ASSERT_EQUAL(remove(cert), 0);
    CU_ASSERT_EQUAL(reload(&cfg, &e), ERR_CONFIG);
    CU_ASSERT(str_starts(e.msg, "keystone.certfile: ") && strstr(e.msg, cert));
    CU_ASSERT_EQUAL(try("good-2", NULL), ERR_UNAVAILABLE); /* not the CA either */

    rewrite(cert, user.cert);
    rewrite(key, user.key);
    ASSERT_OK(reload(&cfg, &e), &e);
    CU_ASSERT_EQUAL(try("good-3", NULL), 0); /* at once, though the last try has just failed */
    CU_ASSERT_EQUAL(logins, 1);

    struct config renamed = cfg; /* another name needs a restart: what is in use stays */
    renamed.keystone_cafile = elsewhere;
    rewrite(ca_file, "gone");
    ASSERT_OK(reload(&renamed, &e), &e);
    CU_ASSERT_EQUAL(try("good-4", NULL), 0);

    rewrite(ca_file, other.cert); /* the connection that is open is not used for it */
    ASSERT_OK(reload(&cfg, &e), &e);
    cfg.keystone_timeout_ms = 200; /* the server is still busy with that one */
    CU_ASSERT_EQUAL(try("good-5", NULL), ERR_UNAVAILABLE);
    CU_ASSERT_EQUAL(try("good-3", NULL), 0); /* remembered */

    auth_free(&auth);
    memcpy(url, own, sizeof url);
    tls_server_stop(&t);
    char *const files[] = {ca_file, cert, key, elsewhere, pem_dir};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        CU_ASSERT_EQUAL(remove(files[i]), 0);
}

static atomic_bool swapping;
static _Atomic int served;

static void *keep_asking(void *arg)
{
    char token[32];
    for (int i = 0; atomic_load(&swapping) || i < 20; i++) {
        snprintf(token, sizeof token, "good-%d-%d", *(const int *)arg, i);
        atomic_fetch_add(&served, try(token, NULL) == 0 ? 1 : 1000000);
    }
    return NULL;
}

/* Requests go on with what they began with, while it is replaced again and again. */
static void requests_go_on_during_a_reload(void)
{
    enum { ASKERS = 4, RELOADS = 50 };
    pthread_t threads[ASKERS];
    int ids[ASKERS];
    struct tls_pair a, b;
    struct err e = ERR_INIT;
    tls_pair_make(&a, NULL, "a");
    tls_pair_make(&b, NULL, "b");
    memcpy(pem_dir + strlen(pem_dir) - 6, "XXXXXX", 6);
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(pem_dir));
    _cleanup_free_ char *ca_file = pem_file("ca", a.cert), *cert = pem_file("cert", a.cert),
                        *key = pem_file("key", a.key);
    begin();
    auth_free(&auth);
    cfg.keystone_cafile = ca_file;
    cfg.keystone_certfile = cert;
    cfg.keystone_keyfile = key;
    ASSERT_OK(auth_new(&cfg, &auth, &e), &e);
    served = 0;
    swapping = true;
    for (int i = 0; i < ASKERS; i++) {
        ids[i] = i;
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, keep_asking, &ids[i]), 0);
    }
    for (int i = 0; i < RELOADS; i++) {
        const struct tls_pair *p = i % 2 ? &a : &b;
        rewrite(ca_file, p->cert);
        rewrite(cert, p->cert);
        rewrite(key, p->key);
        ASSERT_OK(reload(&cfg, &e), &e);
    }
    swapping = false;
    for (int i = 0; i < ASKERS; i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT(served >= ASKERS * 20 && served < 1000000);
    auth_free(&auth);
    char *const files[] = {ca_file, cert, key, pem_dir};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        CU_ASSERT_EQUAL(remove(files[i]), 0);
}

static void without_keystone_the_cache_goes_on(void)
{
    begin();
    int port = http_server_port(fake);
    CU_ASSERT_EQUAL(try("known", NULL), 0);
    http_server_stop(&fake);
    CU_ASSERT_EQUAL(try("known", NULL), 0);
    CU_ASSERT_EQUAL(try("stranger", NULL), ERR_UNAVAILABLE);
    CU_ASSERT_EQUAL_FATAL(keystone_up(port), 0);
    CU_ASSERT_EQUAL(try("stranger", NULL), 0); /* a failure is not remembered */
    ask_status = 500;
    CU_ASSERT_EQUAL(try("third", NULL), ERR_UNAVAILABLE);
    CU_ASSERT_EQUAL(try("known", NULL), 0);
    auth_free(&auth);
    begin();
    login_status = 401;
    int64_t began = clock_mono_ms();
    CU_ASSERT_EQUAL(try("known", NULL), ERR_UNAVAILABLE);
    CU_ASSERT_EQUAL(try("known", NULL), ERR_UNAVAILABLE);
    /* the next attempt waits a second */
    CU_ASSERT(logins == 1 || clock_mono_ms() - began >= 1000);
    auth_free(&auth);
}

static void options_are_checked_at_start(void)
{
    struct err e = ERR_INIT;
    static char none[] = "", odd[] = "ftp://x", quoted[] = "http://x\"y",
                gone[] = "/nonexistent.pem";
    begin();
    auth_free(&auth);
    cfg.keystone_password = none;
    CU_ASSERT_EQUAL(auth_new(&cfg, &auth, &e), ERR_CONFIG);
    CU_ASSERT_STRING_EQUAL(e.msg, "auth.strategy keystone needs keystone.password");
    cfg.keystone_password = odd;
    cfg.keystone_auth_url = odd;
    CU_ASSERT_EQUAL(auth_new(&cfg, &auth, &e), ERR_CONFIG);
    cfg.keystone_auth_url = url;
    cfg.keystone_www_authenticate_uri = quoted;
    CU_ASSERT_EQUAL(auth_new(&cfg, &auth, &e), ERR_CONFIG);
    cfg.keystone_www_authenticate_uri = none;
    cfg.keystone_cafile = gone;
    CU_ASSERT_EQUAL(auth_new(&cfg, &auth, &e), ERR_CONFIG);
    CU_ASSERT(str_starts(e.msg, "keystone.cafile: "));
}

TEST_MAIN("auth_keystone", setup, teardown, TEST(a_token_says_who_asks),
          TEST(scopes_and_roles_count), TEST(wrong_tokens_stay_outside),
          TEST(a_token_ends_in_the_cache_too), TEST(threads_share_a_question),
          TEST(the_service_token_is_renewed), TEST(the_service_token_is_renewed_in_time),
          TEST(a_refused_token_is_asked_about_again), TEST(projects_are_looked_up),
          TEST(keystone_is_reached_by_tls), TEST(what_files_hold_is_taken_over),
          TEST(requests_go_on_during_a_reload), TEST(without_keystone_the_cache_goes_on),
          TEST(options_are_checked_at_start))
