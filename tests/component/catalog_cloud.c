/* Lookups in Glance, Nova and Neutron against services of our own over real HTTP: what is asked and
 * with what, pages, Magnum's texts, what is remembered and for whom, and what services that are
 * slow, broken, hostile or away lead to. */
#include "api/catalog_internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "component/http_config.h"
#include "component/http_tls.h"
#include "http/server.h"
#include "support/cunit_main.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define ID1 "3f1c4f0e-5a5e-4d0a-9a53-000000000001"
#define ID2 "3f1c4f0e-5a5e-4d0a-9a53-000000000002"

enum { THREADS = 12, GATE_S = 60 };

static struct http_server *fake;
static struct config fake_cfg, cfg;
static struct catalog *cat;
static struct auth_context who;
static json_t *endpoints;

/* One answer of the services; the first whose target is the one asked for. */
static struct script {
    const char *target; /* path, and the query's arguments in order: "/x?a=b&c=d" */
    int status;         /* 0 = 200 */
    const char *body;
} script[12];
static _Atomic int generation, inside, asked, strangers, expected_together, together, meeting;
static atomic_bool closed_gate;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;

/* ---- the services ---- */

static void add_argument(void *ctx, const char *name, const char *value)
{
    struct str *t = ctx;
    str_printf(t, "%s%s=%s", strchr(str_text(t), '?') ? "&" : "?", name, value);
}

/* Waits until as many requests as expected_together are here. */
static void meet(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += GATE_S;
    pthread_mutex_lock(&lock);
    together++;
    if (together > meeting)
        meeting = together;
    pthread_cond_broadcast(&moved);
    while (meeting < expected_together || closed_gate)
        if (pthread_cond_timedwait(&moved, &lock, &until) != 0)
            break;
    together--;
    pthread_mutex_unlock(&lock);
}

static void open_gate(void)
{
    pthread_mutex_lock(&lock);
    closed_gate = false;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
}

static void serve(const struct http_request *rq, struct http_response *rp)
{
    _cleanup_str_ struct str target = STR_INIT;
    const char *token = http_request_header(rq, "X-Auth-Token");
    const char *id = http_request_header(rq, "X-Openstack-Request-Id");
    rp->status = 404;
    if (token && str_starts(token, "tok-") && atoi(token + 4) != generation)
        return; /* of a test before, which has given up */
    atomic_fetch_add(&asked, 1);
    if (!token || !str_starts(token, "tok-") || !id || !str_starts(id, "req-") ||
        strcmp(rq->method, "GET") != 0)
        atomic_fetch_add(&strangers, 1);
    str_append(&target, rq->path);
    http_request_query(rq, add_argument, &target);
    meet();
    for (size_t i = 0; i < ARRAY_LEN(script) && script[i].target; i++) {
        if (strcmp(script[i].target, str_text(&target)) != 0)
            continue;
        rp->status = script[i].status ? script[i].status : 200;
        str_append(&rp->body, script[i].body);
        return;
    }
    fprintf(stderr, "not in the script: %s\n", str_text(&target));
}

static void handle(void *ctx, const struct http_request *rq, struct http_response *rp)
{
    (void)ctx;
    atomic_fetch_add(&inside, 1);
    serve(rq, rp);
    atomic_fetch_sub(&inside, 1);
}

static void reject(void *ctx, const struct http_request *rq, const struct err *why,
                   struct http_response *rp)
{
    (void)ctx;
    (void)rq;
    (void)why;
    rp->status = 400;
}

/* A thread of its own for each request, so that they can meet. */
static bool waits(void *ctx, const struct http_request *rq)
{
    (void)ctx;
    (void)rq;
    return true;
}

static int setup(void)
{
    static char host[] = "127.0.0.1";
    struct err e = ERR_INIT;
    log_setup("test", LOG_ERR, false);
    fake_cfg = test_config();
    fake_cfg.api_host = host;
    fake_cfg.api_port = 0;
    fake_cfg.api_wait_threads = THREADS;
    int rc = http_server_start_waits(&fake_cfg, handle, reject, waits, NULL, &fake, &e);
    if (rc != 0)
        fprintf(stderr, "%s\n", e.msg);
    return rc;
}

static int teardown(void)
{
    http_server_stop(&fake);
    json_decref(endpoints);
    return 0;
}

/* ---- the one who asks ---- */

static void add_service(const char *type, const char *interface, const char *region,
                        const char *path, int port)
{
    char url[96];
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", port, path);
    json_array_append_new(endpoints,
                          json_pack("{s:s,s:[{s:s,s:s,s:s}]}", "type", type, "endpoints",
                                    "interface", interface, "region_id", region, "url", url));
}

static void services_at(int port)
{
    json_decref(endpoints);
    endpoints = json_array();
    add_service("image", "public", "R1", "/image/v2/", port);
    add_service("compute", "public", "R1", "/compute/v2.1", port);
    add_service("network", "public", "R1", "/network", port);
    who.catalog = endpoints;
}

/* Options may be changed between this and start(). */
static void prepare(void)
{
    static char strategy[] = "keystone", token[16];
    snprintf(token, sizeof token, "tok-%d", ++generation);
    for (int64_t until = clock_mono_ms() + 60000; inside && clock_mono_ms() < until;)
        usleep(1000); /* for requests that a test has given up */
    CU_ASSERT_EQUAL_FATAL(inside, 0);
    memset(script, 0, sizeof script);
    asked = strangers = expected_together = together = meeting = 0;
    cfg = test_config();
    cfg.catalog_timeout_ms = 60000;
    cfg.auth_strategy = strategy;
    who = (struct auth_context){.user_id = (char *)(uintptr_t) "u1",
                                .project_id = (char *)(uintptr_t) "p1",
                                .token = token,
                                .request_id = "req-1"};
    services_at(http_server_port(fake));
}

static void start(void)
{
    struct err e = ERR_INIT;
    ASSERT_OK(catalog_open(&cfg, &cat, &e), &e);
}

static void stop(void)
{
    CU_ASSERT_EQUAL(strangers, 0);
    catalog_free(&cat);
}

static void next_request(void)
{
    static int n = 1;
    snprintf(who.request_id, sizeof who.request_id, "req-%d", ++n);
}

/* The code, after the text was compared. */
static int image(const char *ident, const char *id, const char *text)
{
    struct cat_image i = {NULL, NULL, NULL, NULL};
    struct err e = ERR_INIT;
    int rc = cat->ops->image(cat->self, &who, ident, &i, &e);
    CU_ASSERT_STRING_EQUAL(rc == 0 ? i.id : e.msg, rc == 0 ? id : text);
    cat_image_done(&i);
    return rc;
}

static int flavor(const char *ident, int64_t disk, const char *text)
{
    struct cat_flavor f = {0, 0, -1};
    struct err e = ERR_INIT;
    int rc = cat->ops->flavor(cat->self, &who, ident, &f, &e);
    CU_ASSERT(rc == 0 ? f.disk_gb == disk : strcmp(e.msg, text) == 0);
    return rc;
}

typedef int (*plain_fn)(void *self, const struct auth_context *w, const char *ident, struct err *e);
static int plain(plain_fn fn, const char *ident, const char *text)
{
    struct err e = ERR_INIT;
    int rc = fn(cat->self, &who, ident, &e);
    CU_ASSERT_STRING_EQUAL(rc == 0 ? "" : e.msg, text);
    return rc;
}

#define IMAGE_DOWN "The image service is not available. Please try again later."
#define COMPUTE_DOWN "The compute service is not available. Please try again later."
#define NETWORK_DOWN "The network service is not available. Please try again later."

/* ---- images ---- */

static void images_by_name_and_id(void)
{
    struct cat_image i = {NULL, NULL, NULL, NULL};
    struct err e = ERR_INIT;
    prepare();
    script[0] = (struct script){"/image/v2/images/" ID1, 0,
                                "{\"id\":\"" ID1 "\",\"name\":\"fcos\",\"os_distro\":"
                                "\"fedora-coreos\",\"magnum_driver\":\"k8s\",\"tags\":[\"a\"]}"};
    script[1] = (struct script){"/image/v2/images?limit=2&name=F & \xc3\xb6?/#", 0,
                                "{\"images\":[{\"id\":\"" ID2 "\",\"name\":\"F & \xc3\xb6?/#\","
                                "\"os_distro\":null}]}"};
    script[2] = (struct script){"/image/v2/images?limit=2&name=FCOS", 0,
                                "{\"images\":[{\"id\":\"" ID1 "\",\"name\":\"fcos\"}]}"};
    start();
    ASSERT_OK(cat->ops->image(cat->self, &who, ID1, &i, &e), &e);
    CU_ASSERT_STRING_EQUAL(i.id, ID1);
    CU_ASSERT_STRING_EQUAL(i.name, "fcos");
    CU_ASSERT_STRING_EQUAL(i.os_distro, "fedora-coreos");
    CU_ASSERT_STRING_EQUAL(i.magnum_driver, "k8s");
    cat_image_done(&i);
    ASSERT_OK(cat->ops->image(cat->self, &who, "F & \xc3\xb6?/#", &i, &e), &e);
    CU_ASSERT_STRING_EQUAL(i.id, ID2);
    CU_ASSERT_EQUAL(catalog_check_distro(&i, "x", &e), ERR_INVALID);
    CU_ASSERT_STRING_EQUAL(e.msg, "Image x doesn't contain os_distro field.");
    CU_ASSERT_EQUAL(image("FCOS", ID1, ""), 0); /* the database of Glance finds it */
    stop();
}

static void images_that_are_not_there(void)
{
    static const char two[] = "{\"images\":[{\"id\":\"" ID1 "\",\"name\":\"two\"},{\"id\":\"" ID2
                              "\",\"name\":\"two\"}],\"next\":\"/v2/images?marker=x\"}";
    static char zed[] = "zed";
    prepare();
    script[0] = (struct script){"/image/v2/images/" ID1, 404, ""};
    script[1] = (struct script){"/image/v2/images/" ID2, 403, ""};
    script[2] = (struct script){"/image/v2/images?limit=2&name=none", 0, "{\"images\":[]}"};
    script[3] = (struct script){"/image/v2/images?limit=2&name=two", 0, two};
    script[4] = (struct script){"/image/v2/images?limit=2&name=odd", 400, "what?"};
    /* Glance reads this one as a list of names */
    script[5] = (struct script){"/image/v2/images?limit=2&name=in:a,b", 0,
                                "{\"images\":[{\"id\":\"" ID1 "\",\"name\":\"a\"}]}"};
    start();
    CU_ASSERT_EQUAL(image(ID1, "", "Image " ID1 " could not be found."), ERR_INVALID);
    CU_ASSERT_EQUAL(image(ID2, "", "Not authorized for image " ID2 "."), ERR_FORBIDDEN);
    CU_ASSERT_EQUAL(image("none", "", "Image none could not be found."), ERR_INVALID);
    CU_ASSERT_EQUAL(image("odd", "", "Image odd could not be found."), ERR_INVALID);
    CU_ASSERT_EQUAL(image("in:a,b", "", "Image in:a,b could not be found."), ERR_INVALID);
    CU_ASSERT_EQUAL(image(NULL, "", "Image None could not be found."), ERR_INVALID);
    CU_ASSERT_EQUAL(image("two", "",
                          "Multiple images exist with same name 'two'. Please use the "
                          "image ID instead."),
                    ERR_CONFLICT);
    CU_ASSERT_EQUAL(asked, 6);
    stop();
    cfg.api_compat = zed;
    start();
    CU_ASSERT_EQUAL(image("two", "",
                          "Multiple images exist with same name two. Please use the "
                          "resource id instead."),
                    ERR_CONFLICT);
    stop();
}

/* ---- pages ---- */

/* The next page is asked for with the last id, at the same endpoint, whatever the links say. */
static void lists_come_in_pages(void)
{
    static const char away[] = "\"flavors_links\":[{\"rel\":\"next\",\"href\":"
                               "\"http://192.0.2.1:1/compute/flavors\"}]";
    char first[512], second[512];
    prepare();
    snprintf(first, sizeof first,
             "{\"flavors\":[{\"id\":\"1\",\"name\":\"tiny\",\"disk\":1},"
             "{\"id\":\"a b\",\"name\":\"small\",\"disk\":2}],%s}",
             away);
    snprintf(second, sizeof second,
             "{\"flavors\":[{\"id\":\"3\",\"name\":\"medium\",\"disk\":0}],%s}", away);
    script[0] = (struct script){"/compute/v2.1/flavors/detail?limit=1000", 0, first};
    script[1] = (struct script){"/compute/v2.1/flavors/detail?limit=1000&marker=a b", 0, second};
    script[2] = (struct script){"/compute/v2.1/flavors/detail?limit=1000&marker=3", 0,
                                "{\"flavors\":[{\"id\":\"4\",\"name\":\"large\",\"disk\":80}]}"};
    script[3] = (struct script){"/image/v2/images?limit=2&name=late", 0,
                                "{\"images\":[{\"id\":\"7\",\"name\":\"no\"}],\"next\":\"x\"}"};
    script[4] = (struct script){"/image/v2/images?limit=2&name=late&marker=7", 0,
                                "{\"images\":[{\"id\":\"8\",\"name\":\"late\"}],\"next\":\"x\"}"};
    script[5] = (struct script){"/image/v2/images?limit=2&name=late&marker=8", 0,
                                "{\"images\":[],\"next\":\"x\"}"};
    start();
    CU_ASSERT_EQUAL(flavor("large", 80, ""), 0);
    CU_ASSERT_EQUAL(flavor("3", 0, ""), 0);
    CU_ASSERT_EQUAL(flavor("a b", 2, ""), 0);
    CU_ASSERT_EQUAL(flavor("huge", 0, "Unable to find flavor huge."), ERR_INVALID);
    CU_ASSERT_EQUAL(asked, 3); /* one list for all */
    CU_ASSERT_EQUAL(image("late", "8", ""), 0);
    CU_ASSERT_EQUAL(asked, 6);
    stop();
    cfg.catalog_max_pages = 2;
    start();
    CU_ASSERT_EQUAL(flavor("tiny", 0, COMPUTE_DOWN), ERR_SERVICE_DOWN);
    CU_ASSERT_EQUAL(asked, 8);
    stop();
}

/* ---- networks and keypairs ---- */

static void networks_by_name_and_id(void)
{
#define NET "/network/v2.0/networks?fields=id&fields=name"
    prepare();
    script[0] = (struct script){NET "&router:external=True&name=public", 0,
                                "{\"networks\":[{\"id\":\"n1\",\"name\":\"public\"}]}"};
    script[1] = (struct script){NET "&router:external=True&name=inner", 0, "{\"networks\":[]}"};
    script[2] =
        (struct script){NET "&id=" ID1, 0, "{\"networks\":[{\"id\":\"" ID1 "\",\"name\":\"x\"}]}"};
    script[3] = (struct script){NET "&id=" ID2, 0, "{\"networks\":[]}"};
    script[4] = (struct script){NET "&name=" ID2, 0,
                                "{\"networks\":[{\"id\":\"n3\",\"name\":\"" ID2 "\"}]}"};
    script[5] = (struct script){NET "&name=twin", 0,
                                "{\"networks\":[{\"id\":\"n4\",\"name\":\"twin\"},"
                                "{\"id\":\"n5\",\"name\":\"twin\"}]}"};
    script[6] = (struct script){NET "&router:external=True&name=twin", 0,
                                "{\"networks\":[{\"id\":\"n4\",\"name\":\"twin\"},"
                                "{\"id\":\"n5\",\"name\":\"twin\"}]}"};
    script[7] = (struct script){"/network/v2.0/subnets?fields=id&fields=name&name=sub", 0,
                                "{\"subnets\":[{\"id\":\"s1\",\"name\":\"sub\"}]}"};
    script[8] = (struct script){"/network/v2.0/subnets?fields=id&fields=name&name=none", 0,
                                "{\"subnets\":[]}"};
    start();
    const struct catalog_ops *o = cat->ops;
    CU_ASSERT_EQUAL(plain(o->external_network, "public", ""), 0);
    CU_ASSERT_EQUAL(plain(o->external_network, "inner", "Unable to find external network inner."),
                    ERR_INVALID);
    CU_ASSERT_EQUAL(plain(o->fixed_network, ID1, ""), 0);
    CU_ASSERT_EQUAL(plain(o->fixed_network, ID2, ""), 0); /* a network of that name */
    CU_ASSERT_EQUAL(plain(o->fixed_network, "twin",
                          "Multiple networks exist with same name 'twin'. Please use the network "
                          "ID instead."),
                    ERR_CONFLICT);
    CU_ASSERT_EQUAL(plain(o->external_network, "twin",
                          "Multiple external networks exist with same name 'twin'. Please use the "
                          "external network ID instead."),
                    ERR_CONFLICT);
    CU_ASSERT_EQUAL(plain(o->fixed_subnet, "sub", ""), 0);
    CU_ASSERT_EQUAL(plain(o->fixed_subnet, "none", "Unable to find fixed subnet none."),
                    ERR_INVALID);
    stop();
}

static void keypairs(void)
{
    prepare();
    script[0] = (struct script){"/compute/v2.1/os-keypairs/my key", 0, "{\"keypair\":{}}"};
    script[1] = (struct script){"/compute/v2.1/os-keypairs/" ID1, 404, ""};
    script[2] = (struct script){"/compute/v2.1/os-keypairs/mine", 403, ""};
    start();
    CU_ASSERT_EQUAL(plain(cat->ops->keypair, "my key", ""), 0);
    CU_ASSERT_EQUAL(plain(cat->ops->keypair, ID1, "Unable to find keypair " ID1 "."),
                    ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(plain(cat->ops->keypair, "mine", "Not authorized."), ERR_FORBIDDEN);
    stop();
}

/* ---- all of a request at the same time ---- */

static void script_of_a_cluster(void)
{
    script[0] = (struct script){"/image/v2/images?limit=2&name=fcos", 0,
                                "{\"images\":[{\"id\":\"i1\",\"name\":\"fcos\"}]}"};
    script[1] = (struct script){"/compute/v2.1/flavors/detail?limit=1000", 0,
                                "{\"flavors\":[{\"id\":\"1\",\"name\":\"tiny\",\"disk\":1},"
                                "{\"id\":\"2\",\"name\":\"small\",\"disk\":9}]}"};
    script[2] = (struct script){"/compute/v2.1/os-keypairs/key", 0, "{\"keypair\":{}}"};
    script[3] = (struct script){NET "&router:external=True&name=public", 0,
                                "{\"networks\":[{\"id\":\"n1\",\"name\":\"public\"}]}"};
    script[4] = (struct script){NET "&name=net", 0, "{\"networks\":[]}"};
    script[5] = (struct script){"/network/v2.0/subnets?fields=id&fields=name&name=sub", 500, ""};
}

static void expect_a_cluster(void)
{
    static const struct cat_name names[] = {
        {CAT_IMAGE, "fcos"},        {CAT_FLAVOR, "tiny"},     {CAT_FLAVOR, "small"},
        {CAT_KEYPAIR, "key"},       {CAT_KEYPAIR, NULL},      {CAT_EXTERNAL_NETWORK, "public"},
        {CAT_FIXED_NETWORK, "net"}, {CAT_FIXED_SUBNET, "sub"}};
    catalog_expect(cat, &who, names, ARRAY_LEN(names));
}

static void check_a_cluster(void)
{
    CU_ASSERT_EQUAL(image("fcos", "i1", ""), 0);
    CU_ASSERT_EQUAL(flavor("tiny", 1, ""), 0);
    CU_ASSERT_EQUAL(flavor("small", 9, ""), 0);
    CU_ASSERT_EQUAL(plain(cat->ops->keypair, "key", ""), 0);
    CU_ASSERT_EQUAL(plain(cat->ops->external_network, "public", ""), 0);
    CU_ASSERT_EQUAL(plain(cat->ops->fixed_network, "net", "Unable to find fixed network net."),
                    ERR_INVALID);
    CU_ASSERT_EQUAL(plain(cat->ops->fixed_subnet, "sub", NETWORK_DOWN), ERR_SERVICE_DOWN);
}

static void a_request_waits_once(void)
{
    prepare();
    script_of_a_cluster();
    expected_together = 6; /* nobody is answered before all six are there */
    start();
    expect_a_cluster();
    CU_ASSERT_EQUAL(meeting, 6);
    CU_ASSERT_EQUAL(asked, 6);
    check_a_cluster();
    CU_ASSERT_EQUAL(asked, 6);
    stop();
}

/* ---- what is remembered ---- */

static void answers_are_remembered_for_a_while(void)
{
    prepare();
    script_of_a_cluster();
    start();
    expect_a_cluster();
    next_request();
    expect_a_cluster();
    CU_ASSERT_EQUAL(asked, 8); /* what was missing or failed is asked for again */
    next_request();
    script[4].body = "{\"networks\":[{\"id\":\"n2\",\"name\":\"net\"}]}";
    CU_ASSERT_EQUAL(plain(cat->ops->fixed_network, "net", ""), 0);
    CU_ASSERT_EQUAL(asked, 9);
    CU_ASSERT_EQUAL(image("fcos", "i1", ""), 0);
    CU_ASSERT_EQUAL(asked, 9);
    who.user_id = (char *)(uintptr_t) "u2"; /* what another sees is another matter */
    CU_ASSERT_EQUAL(image("fcos", "i1", ""), 0);
    CU_ASSERT_EQUAL(asked, 10);
    who.user_id = (char *)(uintptr_t) "u1";
    who.project_id = (char *)(uintptr_t) "p2";
    CU_ASSERT_EQUAL(image("fcos", "i1", ""), 0);
    CU_ASSERT_EQUAL(asked, 11);
    stop();
}

static void nothing_is_remembered_when_told_so(void)
{
    prepare();
    script_of_a_cluster();
    cfg.catalog_cache_seconds = 0;
    start();
    expect_a_cluster();
    check_a_cluster();
    CU_ASSERT_EQUAL(asked, 6); /* this request */
    next_request();
    CU_ASSERT_EQUAL(image("fcos", "i1", ""), 0);
    CU_ASSERT_EQUAL(asked, 7);
    stop();
    cfg.catalog_cache_entries = 0;
    start();
    CU_ASSERT_EQUAL(image("fcos", "i1", ""), 0);
    CU_ASSERT_EQUAL(image("fcos", "i1", ""), 0);
    CU_ASSERT_EQUAL(asked, 9);
    stop();
}

static void many_names_push_each_other_out(void)
{
    char name[32];
    prepare();
    script_of_a_cluster();
    cfg.catalog_cache_entries = 64;
    start();
    for (int i = 0; i < 1000; i++) {
        struct err e = ERR_INIT;
        snprintf(name, sizeof name, "key-%d", i);
        script[2].target = "/compute/v2.1/os-keypairs/none";
        script[6] = (struct script){"/compute/v2.1/os-keypairs/none", 404, ""};
        static char path[64];
        snprintf(path, sizeof path, "/compute/v2.1/os-keypairs/%s", name);
        script[7] = (struct script){path, 0, "{}"};
        ASSERT_OK(cat->ops->keypair(cat->self, &who, name, &e), &e);
    }
    CU_ASSERT_EQUAL(asked, 1000);
    next_request();
    CU_ASSERT_EQUAL(plain(cat->ops->keypair, name, ""), 0); /* the last one is still there */
    CU_ASSERT_EQUAL(asked, 1000);
    stop();
}

/* ---- services in trouble ---- */

static void services_that_refuse(void)
{
    static const int broken[] = {204, 302, 404, 413, 429, 500, 502, 503};
    prepare();
    cfg.catalog_cache_seconds = 0;
    start();
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        next_request();
        script[0] = (struct script){"/image/v2/images?limit=2&name=x", broken[i], ""};
        CU_ASSERT_EQUAL(image("x", "", IMAGE_DOWN), ERR_SERVICE_DOWN);
        CU_ASSERT_EQUAL(image("x", "", IMAGE_DOWN), ERR_SERVICE_DOWN); /* known by now */
    }
    CU_ASSERT_EQUAL(asked, (int)ARRAY_LEN(broken));
    next_request();
    script[0].status = 401;
    CU_ASSERT_EQUAL(image("x", "", "The image service does not accept the token."),
                    ERR_UNAUTHORIZED);
    stop();
}

static void answers_that_make_no_sense(void)
{
    static const char *const bodies[] = {
        "",
        "<html>",
        "{",
        "[]",
        "7",
        "null",
        "{}",
        "{\"images\":{}}",
        "{\"images\":[7]}",
        "{\"images\":[{}]}",
        "{\"images\":[{\"id\":7,\"name\":\"x\"}]}",
        "{\"images\":[{\"id\":\"1\",\"name\":\"x\"}],\"images\":[]}",
        "{\"images\":[\xff]}"};
    static const char *const flavors[] = {"{\"flavors\":[{\"id\":\"1\"}]}",
                                          "{\"flavors\":[{\"id\":1,\"name\":\"a\"}]}",
                                          "{\"flavors\":[[]]}"};
    _cleanup_str_ struct str deep = STR_INIT, big = STR_INIT;
    prepare();
    cfg.catalog_cache_seconds = 0;
    cfg.catalog_max_answer_bytes = 65536;
    start();
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        next_request();
        script[0] = (struct script){"/image/v2/images?limit=2&name=x", 200, bodies[i]};
        CU_ASSERT_EQUAL(image("x", "", IMAGE_DOWN), ERR_SERVICE_DOWN);
        script[0] = (struct script){"/image/v2/images/" ID1, 200, bodies[i]};
        CU_ASSERT_EQUAL(image(ID1, "", IMAGE_DOWN), ERR_SERVICE_DOWN);
    }
    for (size_t i = 0; i < ARRAY_LEN(flavors); i++) {
        next_request();
        script[0] = (struct script){"/compute/v2.1/flavors/detail?limit=1000", 200, flavors[i]};
        CU_ASSERT_EQUAL(flavor("x", 0, COMPUTE_DOWN), ERR_SERVICE_DOWN);
    }
    str_append(&deep, "{\"images\":");
    for (int i = 0; i < 10000; i++)
        str_append_c(&deep, '[');
    next_request();
    script[0] = (struct script){"/image/v2/images?limit=2&name=x", 200, str_text(&deep)};
    CU_ASSERT_EQUAL(image("x", "", IMAGE_DOWN), ERR_SERVICE_DOWN);
    str_append(&big, "{\"images\":[]");
    for (int i = 0; i < 65536; i++)
        str_append_c(&big, ' ');
    str_append(&big, "}");
    next_request();
    script[0].body = str_text(&big);
    CU_ASSERT_EQUAL(image("x", "", IMAGE_DOWN), ERR_SERVICE_DOWN);
    stop();
}

static void slow_services_are_given_up(void)
{
    prepare();
    script_of_a_cluster();
    cfg.catalog_timeout_ms = 300;
    closed_gate = true;
    start();
    int64_t begin = clock_mono_ms();
    expect_a_cluster();
    CU_ASSERT(clock_mono_ms() - begin < GATE_S * 1000 / 2);
    open_gate();
    CU_ASSERT_EQUAL(image("fcos", "", IMAGE_DOWN), ERR_SERVICE_DOWN);
    CU_ASSERT_EQUAL(flavor("tiny", 0, COMPUTE_DOWN), ERR_SERVICE_DOWN);
    CU_ASSERT_EQUAL(plain(cat->ops->fixed_network, "net", NETWORK_DOWN), ERR_SERVICE_DOWN);
    stop();
}

/* Pages are followed as long as the time lasts, not longer. */
static void lists_without_end_are_given_up(void)
{
    prepare();
    cfg.catalog_timeout_ms = 300;
    script[0] = (struct script){"/image/v2/images?limit=2&name=for ever", 0,
                                "{\"images\":[{\"id\":\"1\",\"name\":\"no\"}],\"next\":\"x\"}"};
    script[1] = (struct script){"/image/v2/images?limit=2&name=for ever&marker=1", 0,
                                "{\"images\":[{\"id\":\"1\",\"name\":\"no\"}],\"next\":\"x\"}"};
    cfg.catalog_max_pages = 100000;
    start();
    int64_t begin = clock_mono_ms();
    CU_ASSERT_EQUAL(image("for ever", "", IMAGE_DOWN), ERR_SERVICE_DOWN);
    CU_ASSERT(clock_mono_ms() - begin < GATE_S * 1000 / 2);
    stop();
}

static void services_that_are_away(void)
{
    prepare();
    services_at(1); /* nobody listens there */
    start();
    expect_a_cluster();
    CU_ASSERT_EQUAL(image("fcos", "", IMAGE_DOWN), ERR_SERVICE_DOWN);
    CU_ASSERT_EQUAL(plain(cat->ops->keypair, "key", COMPUTE_DOWN), ERR_SERVICE_DOWN);
    CU_ASSERT_EQUAL(asked, 0);
    stop();
}

/* Whoever comes next does not wait as well; other services are asked as before. */
static void a_silent_service_is_left_alone_for_a_while(void)
{
    prepare();
    script_of_a_cluster();
    cfg.catalog_timeout_ms = 2000;
    cfg.catalog_pause_ms = 600000;
    closed_gate = true;
    start();
    CU_ASSERT_EQUAL(image("fcos", "", IMAGE_DOWN), ERR_SERVICE_DOWN);
    for (int64_t until = clock_mono_ms() + 60000; asked == 0 && clock_mono_ms() < until;)
        usleep(1000); /* it may have been heard later than it was given up */
    open_gate();
    cfg.catalog_timeout_ms = 60000;
    CU_ASSERT_EQUAL(asked, 1);
    next_request();
    CU_ASSERT_EQUAL(image("fcos", "", IMAGE_DOWN), ERR_SERVICE_DOWN);
    CU_ASSERT_EQUAL(asked, 1);
    CU_ASSERT_EQUAL(flavor("tiny", 1, ""), 0);
    CU_ASSERT_EQUAL(asked, 2);
    stop();
    cfg.catalog_timeout_ms = 300;
    cfg.catalog_pause_ms = 50;
    closed_gate = true;
    start();
    CU_ASSERT_EQUAL(image("fcos", "", IMAGE_DOWN), ERR_SERVICE_DOWN);
    open_gate();
    int64_t until = clock_mono_ms() + 60000;
    struct cat_image i = {NULL, NULL, NULL, NULL};
    struct err e = ERR_INIT;
    int rc = ERR_SERVICE_DOWN;
    while (rc == ERR_SERVICE_DOWN && clock_mono_ms() < until) {
        next_request();
        rc = cat->ops->image(cat->self, &who, "fcos", &i, &e);
    }
    ASSERT_OK(rc, &e); /* it is asked again, and answers */
    cat_image_done(&i);
    stop();
}

/* ---- the service catalogue ---- */

static void the_endpoint_of_interface_and_region(void)
{
    static char region[] = "R2", other[] = "R3", internal[] = "internal", wrong[] = "outer";
    struct err e = ERR_INIT;
    prepare();
    add_service("image", "public", "R2", "/two", http_server_port(fake));
    add_service("image", "internal", "R2", "/inside", http_server_port(fake));
    script[0] = (struct script){"/two/v2/images?limit=2&name=x", 0,
                                "{\"images\":[{\"id\":\"i2\",\"name\":\"x\"}]}"};
    script[1] = (struct script){"/inside/v2/images?limit=2&name=x", 0,
                                "{\"images\":[{\"id\":\"i3\",\"name\":\"x\"}]}"};
    cfg.keystone_region = region;
    start();
    CU_ASSERT_EQUAL(image("x", "i2", ""), 0);
    stop();
    cfg.keystone_interface = internal;
    start();
    CU_ASSERT_EQUAL(image("x", "i3", ""), 0);
    stop();
    cfg.keystone_region = other;
    start();
    CU_ASSERT_EQUAL(image("x", "", IMAGE_DOWN), ERR_SERVICE_DOWN);
    who.catalog = NULL; /* of an unscoped token */
    next_request();
    CU_ASSERT_EQUAL(image("x", "", IMAGE_DOWN), ERR_SERVICE_DOWN);
    stop();
    cfg.keystone_interface = wrong;
    CU_ASSERT_EQUAL(catalog_open(&cfg, &cat, &e), ERR_CONFIG);
    CU_ASSERT_STRING_EQUAL(e.msg, "keystone.interface must be public, internal or admin");
}

/* ---- TLS ---- */

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT(fputs(text, f) >= 0 && fclose(f) == 0);
}

static int reload(const struct config *now, struct err *e)
{
    struct catalog *fresh = NULL;
    int rc = catalog_read_again(cat, now, &fresh, e);
    if (rc == 0)
        catalog_take(cat, &fresh);
    CU_ASSERT_PTR_NULL(fresh);
    return rc;
}

/* SIGHUP: keystone.cafile and its companions are these services', too. */
static void what_files_hold_is_taken_over(void)
{
    static char paths[4][64];
    struct tls_pair ca, srv, user, other;
    struct err e = ERR_INIT;
    char dir[] = "/tmp/mgc-tls-XXXXXX", url[64];
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
    for (int i = 0; i < 4; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%d", dir, i);
    tls_pair_make(&ca, NULL, "test ca");
    tls_pair_make(&srv, &ca, "server");
    tls_pair_make(&user, &ca, "user");
    tls_pair_make(&other, NULL, "other ca");
    put(paths[0], other.cert);
    put(paths[1], other.cert);
    put(paths[2], other.key);
    struct tls_server t = {.backend = http_server_port(fake)};
    tls_server_start(&t, &ca, &srv);
    prepare();
    script[0] = (struct script){"/v2/images/" ID1, 0,
                                "{\"id\":\"" ID1 "\",\"os_distro\":\"fedora-coreos\"}"};
    snprintf(url, sizeof url, "https://127.0.0.1:%d", t.port);
    json_decref(endpoints);
    endpoints = json_pack("[{s:s,s:[{s:s,s:s,s:s}]}]", "type", "image", "endpoints", "interface",
                          "public", "region_id", "R1", "url", url);
    who.catalog = endpoints;
    cfg.keystone_cafile = paths[0];
    cfg.keystone_certfile = paths[1];
    cfg.keystone_keyfile = paths[2];
    cfg.catalog_cache_entries = 0;
    start();
    CU_ASSERT_EQUAL(image(ID1, NULL, IMAGE_DOWN), ERR_SERVICE_DOWN);
    put(paths[0], ca.cert);
    put(paths[1], user.cert);
    CU_ASSERT_EQUAL(reload(&cfg, &e), ERR_CONFIG); /* the key is still the other one's */
    CU_ASSERT(str_starts(e.msg, "keystone.keyfile: ") && strstr(e.msg, paths[2]));
    CU_ASSERT_EQUAL(image(ID1, NULL, IMAGE_DOWN), ERR_SERVICE_DOWN);
    put(paths[2], user.key);
    ASSERT_OK(reload(&cfg, &e), &e);
    CU_ASSERT_EQUAL(image(ID1, ID1, NULL), 0);
    CU_ASSERT_EQUAL(remove(paths[0]), 0);
    CU_ASSERT_EQUAL(reload(&cfg, &e), ERR_CONFIG);
    struct config renamed = cfg; /* another name needs a restart: what is in use stays */
    renamed.keystone_cafile = paths[3];
    ASSERT_OK(reload(&renamed, &e), &e);
    next_request();
    CU_ASSERT_EQUAL(image(ID1, ID1, NULL), 0);
    stop();
    tls_server_stop(&t);
    CU_ASSERT(remove(paths[1]) == 0 && remove(paths[2]) == 0 && remove(dir) == 0);
}

static void the_source_is_chosen(void)
{
    static char noauth[] = "noauth", cloud[] = "openstack", builtin[] = "builtin", bad[] = "nova";
    struct err e = ERR_INIT;
    prepare();
    cfg.catalog_source = builtin;
    start();
    CU_ASSERT_EQUAL(image("fedora-coreos", "00000000-0000-4000-8000-00000000a003", ""), 0);
    CU_ASSERT_EQUAL(asked, 0);
    stop();
    cfg.auth_strategy = noauth;
    cfg.catalog_source = cloud;
    CU_ASSERT_EQUAL(catalog_open(&cfg, &cat, &e), ERR_CONFIG);
    CU_ASSERT_STRING_EQUAL(e.msg, "catalog.source openstack needs auth.strategy keystone");
    cfg.catalog_source = bad;
    CU_ASSERT_EQUAL(catalog_open(&cfg, &cat, &e), ERR_CONFIG);
}

TEST_MAIN("catalog_cloud", setup, teardown, TEST(images_by_name_and_id),
          TEST(images_that_are_not_there), TEST(lists_come_in_pages), TEST(networks_by_name_and_id),
          TEST(keypairs), TEST(a_request_waits_once), TEST(answers_are_remembered_for_a_while),
          TEST(nothing_is_remembered_when_told_so), TEST(many_names_push_each_other_out),
          TEST(services_that_refuse), TEST(answers_that_make_no_sense),
          TEST(slow_services_are_given_up), TEST(lists_without_end_are_given_up),
          TEST(services_that_are_away), TEST(a_silent_service_is_left_alone_for_a_while),
          TEST(the_endpoint_of_interface_and_region), TEST(what_files_hold_is_taken_over),
          TEST(the_source_is_chosen))
