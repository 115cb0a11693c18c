/* Requests that wait for events: woken by news, by a look at the tables when news are lost, by the
 * end of their time; bounded, without a thread each, and out of the way when the client or the
 * process goes. */
#include "component/api_fixture.h"

#include "api/follow.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/uuid.h"
#include "config/config.h"
#include "http/client.h"
#include "http/server.h"
#include "rpc/rpc.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HANG_MS = 90000, CROWD = 60 };

/* One request on a thread of its own. */
struct asked {
    pthread_t thread;
    atomic_bool done;
    char path[200];
    int status;
    int64_t took_ms;
    bool one_aside; /* it is the metrics, and one read is set aside */
    json_t *doc;
};

static void *ask_main(void *arg)
{
    struct asked *a = arg;
    struct http_client *client = NULL;
    struct http_answer answer = {0};
    struct err e = ERR_INIT;
    const char *headers[] = {"Accept: application/json", NULL};
    _cleanup_free_ char *url = str_fmt("http://127.0.0.1:%d%s", api_listens_on, a->path);
    struct http_call call = {
        .method = "GET", .url = url, .headers = headers, .timeout_ms = HANG_MS};
    int64_t began = clock_mono_ms();
    a->status = -1;
    if (http_client_new(&client, &e) == 0 && http_client_do(client, &call, &answer, &e) == 0)
        a->status = answer.status;
    else
        fprintf(stderr, "%s: %s\n", a->path, e.msg);
    a->took_ms = clock_mono_ms() - began;
    a->one_aside = answer.body && strstr(answer.body, "set_aside{what=\"reads\"} 1\n");
    a->doc = answer.body ? json_loadb(answer.body, answer.len, 0, NULL) : NULL;
    http_answer_done(&answer);
    http_client_free(&client);
    atomic_store(&a->done, true);
    return NULL;
}

static void begin_path(struct asked *a, const char *path)
{
    *a = (struct asked){.status = 0};
    snprintf(a->path, sizeof a->path, "%s", path);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&a->thread, NULL, ask_main, a), 0);
}

static void begin(struct asked *a, const char *what, const char *id, const char *query)
{
    char path[sizeof a->path];
    snprintf(path, sizeof path, "/v1/%s/%s/events?%s", what, id, query);
    begin_path(a, path);
}

static void end(struct asked *a)
{
    CU_ASSERT_EQUAL(pthread_join(a->thread, NULL), 0);
}

static size_t n_events(const struct asked *a)
{
    return json_array_size(json_object_get(a->doc, "events"));
}

/* The operation of a new cluster, and the cursor behind its first event. */
static void accepted(char op[40], char cluster[40], int64_t *ret_cursor)
{
    char path[120];
    static char template[40];
    if (!*template)
        snprintf(template, sizeof template, "%s", make_template(NULL));
    snprintf(cluster, 40, "%s", make_cluster(template, NULL));
    snprintf(path, sizeof path, "/v1/clusters/%s/operations", cluster);
    ASK("GET", path, NULL, 200);
    const json_t *first = json_array_get(json_object_get(answer_json(), "operations"), 0);
    snprintf(op, 40, "%s", jsonx_str(first, "id"));
    snprintf(path, sizeof path, "/v1/operations/%s/events", op);
    ASK("GET", path, NULL, 200);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(answer_json(), "events")), 1);
    *ret_cursor = int_of("cursor");
}

static void happen(const char *op, const char *code)
{
    char query[300];
    snprintf(query, sizeof query,
             "INSERT INTO operation_event (operation_id, cluster_id, project_id, code)"
             " SELECT id, cluster_id, project_id, '%s' FROM operation WHERE id = '%s'",
             code, op);
    (void)sql(query);
}

static void query_of(char q[80], int64_t after, int follow)
{
    snprintf(q, 80, "after=%lld&follow=%d", (long long)after, follow);
}

static void pages_and_cursors(void)
{
    char op[40], cluster[40], path[160];
    int64_t cursor;
    accepted(op, cluster, &cursor);
    happen(op, "one");
    happen(op, "two");
    snprintf(path, sizeof path, "/v1/operations/%s/events?limit=2", op);
    ASK("GET", path, NULL, 200);
    const char *next = text_of("next");
    CU_ASSERT_PTR_NOT_NULL_FATAL(strstr(next, "/v1/operations/"));
    snprintf(path, sizeof path, "%s", strstr(next, "/v1/operations/"));
    ASK("GET", path, NULL, 200);
    const json_t *events = json_object_get(answer_json(), "events");
    CU_ASSERT_EQUAL(json_array_size(events), 1);
    CU_ASSERT_STRING_EQUAL(jsonx_str(json_array_get(events, 0), "code"), "two");
    CU_ASSERT_PTR_NULL(json_object_get(answer_json(), "next"));
    CU_ASSERT_STRING_EQUAL(jsonx_str(json_object_get(answer_json(), "operation"), "id"), op);
    snprintf(path, sizeof path, "/v1/clusters/%s/events", cluster);
    ASK("GET", path, NULL, 200);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(answer_json(), "events")), 3);
    ASK("GET", "/v1/operations/nobody/events?follow=5", NULL, 404);
    ASK("GET", "/v1/clusters/nobody/events", NULL, 404);
    snprintf(path, sizeof path, "/v1/operations/%s/events?follow=x", op);
    ASK("GET", path, NULL, 400);
    snprintf(path, sizeof path, "/v1/operations/%s/events?follow=-1", op);
    ASK("GET", path, NULL, 400);
    as("stranger", "elsewhere", "member,reader");
    snprintf(path, sizeof path, "/v1/clusters/%s/events", cluster);
    ASK("GET", path, NULL, 404);
    as(NULL, NULL, NULL);
    /* the history of a cluster outlives it */
    snprintf(path, sizeof path, "DELETE FROM cluster WHERE uuid = '%s'", cluster);
    (void)sql(path);
    snprintf(path, sizeof path, "/v1/clusters/%s/events?after=%lld", cluster, (long long)cursor);
    ASK("GET", path, NULL, 200);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(answer_json(), "events")), 2);
}

/* Nobody publishes here: the look at the tables finds it. */
static void lost_news_cost_latency_only(void)
{
    static const char *const options[] = {"api.follow_look_ms=100", NULL};
    char op[40], cluster[40], q[80];
    int64_t cursor;
    struct asked a, b;
    accepted(op, cluster, &cursor);
    api_fixture_with(options);
    query_of(q, cursor, 50);
    begin(&a, "operations", op, q);
    begin(&b, "clusters", cluster, q);
    (void)poll(NULL, 0, 300); /* both wait by then, or see it at once: either is right */
    happen(op, "late");
    end(&a);
    end(&b);
    CU_ASSERT_EQUAL(a.status, 200);
    CU_ASSERT_EQUAL(n_events(&a), 1);
    CU_ASSERT_EQUAL(n_events(&b), 1);
    CU_ASSERT_TRUE(jsonx_int(a.doc, "cursor", 0) > cursor);
    CU_ASSERT_TRUE(a.took_ms < 45000 && b.took_ms < 45000);
    json_decref(a.doc);
    json_decref(b.doc);
    /* an operation that has ended is no reason to wait, nor to go on waiting */
    query_of(q, INT32_MAX, 50);
    begin(&a, "operations", op, q);
    (void)poll(NULL, 0, 300);
    conduct();
    end(&a);
    CU_ASSERT_TRUE(jsonx_bool(a.doc, "ended", false));
    CU_ASSERT_EQUAL(n_events(&a), 0);
    CU_ASSERT_TRUE(a.took_ms < 45000);
    json_decref(a.doc);
    api_fixture_back();
}

static void news_wake_at_once(void)
{
    static const char *const options[] = {"api.follow_look_ms=60000", NULL};
    char op[40], cluster[40], q[80], topic[64], query[200];
    struct config *cfg = NULL;
    struct rpc_publisher *p = NULL;
    struct err e = ERR_INIT;
    int64_t cursor;
    struct asked a;
    ASSERT_OK(config_load("/dev/null", &cfg, &e), &e);
    ASSERT_OK(rpc_publisher_start(cfg, "tcp://127.0.0.1:*", "", &p, &e), &e);
    snprintf(query, sizeof query,
             "UPDATE magnum_service SET news_endpoint = '%s', last_seen_up = now() + '1 hour'",
             rpc_publisher_endpoint(p));
    (void)sql(query);
    accepted(op, cluster, &cursor);
    api_fixture_with(options);
    query_of(q, cursor, 50);
    begin(&a, "operations", op, q);
    (void)poll(NULL, 0, 500);
    happen(op, "pushed");
    /* the subscription may need a moment on a slow machine, so it is said until it is heard */
    snprintf(topic, sizeof topic, "op/%s", op);
    while (!atomic_load(&a.done)) {
        rpc_publish(p, topic, NULL);
        (void)poll(NULL, 0, 200);
    }
    end(&a);
    CU_ASSERT_EQUAL(n_events(&a), 1);
    CU_ASSERT_TRUE(a.took_ms < 45000); /* the next look was a minute away */
    json_decref(a.doc);
    api_fixture_back();
    rpc_publisher_stop(&p);
    config_free(&cfg);
    (void)sql("UPDATE magnum_service SET news_endpoint = NULL");
}

static void time_runs_out(void)
{
    static const char *const options[] = {"api.follow_max_s=1", NULL};
    char op[40], cluster[40], q[80];
    int64_t cursor;
    struct asked a;
    accepted(op, cluster, &cursor);
    api_fixture_with(options);
    query_of(q, cursor, 60); /* longer than allowed: cut */
    begin(&a, "operations", op, q);
    end(&a);
    CU_ASSERT_EQUAL(a.status, 200);
    CU_ASSERT_EQUAL(n_events(&a), 0);
    CU_ASSERT_EQUAL(jsonx_int(a.doc, "cursor", 0), cursor);
    CU_ASSERT_TRUE(a.took_ms >= 900 && a.took_ms < 45000);
    json_decref(a.doc);
    api_fixture_back();
}

/* Far more waiting requests than threads, and the others are served all the same. */
static void waiting_costs_no_thread(void)
{
    static const char *const options[] = {"api.follow_look_ms=200", "api.threads=2", NULL};
    static struct asked crowd[CROWD];
    char op[40], cluster[40], q[80];
    int64_t cursor;
    accepted(op, cluster, &cursor);
    api_fixture_with(options);
    query_of(q, cursor, 50);
    for (size_t i = 0; i < CROWD; i++)
        begin(&crowd[i], "operations", op, q);
    (void)poll(NULL, 0, 300);
    int64_t began = clock_mono_ms();
    for (int i = 0; i < 50; i++)
        ASK("GET", "/v1/clusters?limit=1", NULL, 200);
    CU_ASSERT_TRUE(clock_mono_ms() - began < 45000);
    happen(op, "for-all");
    for (size_t i = 0; i < CROWD; i++) {
        end(&crowd[i]);
        CU_ASSERT_EQUAL(n_events(&crowd[i]), 1);
        CU_ASSERT_TRUE(crowd[i].took_ms < 50000);
        json_decref(crowd[i].doc);
    }
    api_fixture_back();
}

/* Sends a request and goes away without reading the answer. */
static void vanish(const char *op, int64_t cursor)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)api_listens_on)};
    _cleanup_free_ char *text =
        str_fmt("GET /v1/operations/%s/events?after=%lld&follow=60 HTTP/1.1\r\nHost: x\r\n"
                "Accept: application/json\r\n\r\n",
                op, (long long)cursor);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    CU_ASSERT_EQUAL((size_t)send(fd, text, strlen(text), 0), strlen(text));
    (void)poll(NULL, 0, 500);
    close(fd);
}

/* Two for one place: whoever comes second is refused. */
static struct asked *one_gets_in(struct asked *a, struct asked *b, const char *op, int64_t cursor)
{
    char q[80];
    query_of(q, cursor, 60);
    begin(a, "operations", op, q);
    begin(b, "operations", op, q);
    while (!atomic_load(&a->done) && !atomic_load(&b->done))
        (void)poll(NULL, 0, 10);
    struct asked *in = atomic_load(&a->done) ? b : a, *out = in == a ? b : a;
    end(out);
    CU_ASSERT_EQUAL(out->status, 503);
    json_decref(out->doc);
    return in;
}

static void places_are_limited(void)
{
    static const char *const options[] = {"api.follow_waiters=1", "api.request_timeout_s=4", NULL};
    char op[40], cluster[40], q[80];
    int64_t cursor;
    struct asked a, b;
    accepted(op, cluster, &cursor);
    api_fixture_with(options);
    query_of(q, cursor, 3);
    vanish(op, cursor);
    /* the place of a client that is gone is free again, long before its 60 s are over */
    for (int64_t until = clock_mono_ms() + 45000;;) {
        begin(&a, "operations", op, q);
        end(&a);
        json_decref(a.doc);
        if (a.status == 200 || clock_mono_ms() > until)
            break;
        (void)poll(NULL, 0, 50);
    }
    CU_ASSERT_EQUAL(a.status, 200);
    struct asked *in = one_gets_in(&a, &b, op, cursor);
    /* a stop does not wait for those who wait */
    int64_t began = clock_mono_ms();
    api_fixture_back();
    CU_ASSERT_TRUE(clock_mono_ms() - began < 45000);
    end(in);
    CU_ASSERT_EQUAL(in->status, 200);
    CU_ASSERT_EQUAL(n_events(in), 0);
    json_decref(in->doc);
}

/* ---- a request that waits for its turn first ---- */

static void await_sql(const char *query)
{
    int64_t until = clock_mono_ms() + HANG_MS;
    while (strcmp(sql(query), "t") != 0 && clock_mono_ms() < until)
        (void)poll(NULL, 0, 10);
    CU_ASSERT_STRING_EQUAL_FATAL(sql(query), "t");
}

/* Each time over a new connection: an old one may be that of a thread that hangs. */
static void await_one_aside(void)
{
    struct asked a;
    int64_t until = clock_mono_ms() + HANG_MS;
    do {
        begin_path(&a, "/metrics");
        end(&a);
    } while (!a.one_aside && clock_mono_ms() < until);
    CU_ASSERT_FATAL(a.one_aside);
}

/* It has not waited for events yet when it finds all places taken. */
static void who_had_to_wait_for_its_turn_is_refused_too(void)
{
    static const char *const options[] = {"api.follow_waiters=1", "api.project_contended_reads=1",
                                          "api.project_contended_ms=3600000",
                                          "metrics.on_api_port=true", NULL};
    char op[40], cluster[40], q[80];
    int64_t cursor;
    struct asked a, b, reads, late;
    struct err e = ERR_INIT;
    accepted(op, cluster, &cursor);
    ASSERT_OK(metrics_setup(METRICS_API, 100, &e), &e);
    api_fixture_with(options);
    query_of(q, cursor, 60);
    struct asked *in = one_gets_in(&a, &b, op, cursor);
    as("else", "beside", "member,reader");
    ASK("GET", "/v1/clusters?limit=1", NULL, 200);
    as(NULL, NULL, NULL);
    struct pg_hold *hold = pg_hold(conninfo, "LOCK TABLE cluster_template");
    CU_ASSERT_PTR_NOT_NULL_FATAL(hold);
    begin_path(&reads, "/v1/clustertemplates");
    await_sql("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted"
              " AND relation = 'cluster_template'::regclass)");
    begin(&late, "operations", op, q);
    await_one_aside();
    pg_let_go(&hold);
    end(&late);
    CU_ASSERT_EQUAL(late.status, 503);
    json_decref(late.doc);
    end(&reads);
    CU_ASSERT_EQUAL(reads.status, 200);
    json_decref(reads.doc);
    api_fixture_back();
    end(in);
    CU_ASSERT_EQUAL(in->status, 200);
    json_decref(in->doc);
}

/* ---- a connection that ends without its request being asked again ---- */

static struct follow *one_place;
static char waits_for[40];
static struct http_ticket *_Atomic forgotten;

/* /forget takes the place and, once rung, answers without a word to whoever keeps places: all that
 * they can notice is that the connection has ended. Others take the place for a moment. */
static void forgetful(void *ctx, const struct http_request *rq, struct http_response *rp)
{
    struct err e = ERR_INIT;
    (void)ctx;
    rp->status = 200;
    if (rq->parked_ms)
        return;
    struct http_ticket *t = http_request_park(rq);
    int rc = follow_add(one_place, waits_for, false, INT32_MAX, clock_mono_ms() + 3600000, t, &e);
    if (rc == 0 && strcmp(rq->path, "/forget") == 0) {
        atomic_store(&forgotten, http_request_park(rq));
        return;
    }
    if (rc == 0)
        follow_drop(one_place, t);
    http_request_unpark(rq);
    rp->status = rc ? 503 : 200;
}

static void rejects(void *ctx, const struct http_request *rq, const struct err *why,
                    struct http_response *rp)
{
    (void)ctx;
    (void)rq;
    (void)why;
    rp->status = 400;
}

static int status_of(const char *path)
{
    struct asked a;
    begin_path(&a, path);
    end(&a);
    json_decref(a.doc);
    return a.status;
}

static void a_place_is_not_kept_for_a_closed_connection(void)
{
    struct config *cfg = NULL;
    struct http_server *served = NULL;
    struct err e = ERR_INIT;
    char cluster[40];
    int64_t cursor;
    struct asked a;
    accepted(waits_for, cluster, &cursor);
    ASSERT_OK(config_load("/dev/null", &cfg, &e), &e);
    ASSERT_OK(config_set(cfg, "api.port", "0", &e), &e);
    ASSERT_OK(config_set(cfg, "api.follow_waiters", "1", &e), &e);
    ASSERT_OK(follow_start(cfg, db, false, &one_place, &e), &e);
    ASSERT_OK(http_server_start(cfg, forgetful, rejects, NULL, &served, &e), &e);
    api_listens_on = http_server_port(served);
    CU_ASSERT_EQUAL(status_of("/"), 200); /* there is a place */
    begin_path(&a, "/forget");
    while (!atomic_load(&forgotten) && !atomic_load(&a.done))
        (void)poll(NULL, 0, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(atomic_load(&forgotten));
    CU_ASSERT_EQUAL(status_of("/"), 503);
    http_ticket_ring(atomic_load(&forgotten));
    end(&a); /* its connection with it */
    CU_ASSERT_EQUAL(a.status, 200);
    for (int64_t until = clock_mono_ms() + HANG_MS;
         !http_ticket_closed(atomic_load(&forgotten)) && clock_mono_ms() < until;)
        (void)poll(NULL, 0, 1);
    CU_ASSERT_EQUAL(status_of("/"), 200);
    http_ticket_done(atomic_load(&forgotten));
    api_fixture_back();
    follow_close(one_place);
    http_server_stop(&served);
    follow_free(&one_place);
    config_free(&cfg);
}

TEST_MAIN("api_events", api_fixture_start, api_fixture_stop, TEST(pages_and_cursors),
          TEST(lost_news_cost_latency_only), TEST(news_wake_at_once), TEST(time_runs_out),
          TEST(waiting_costs_no_thread), TEST(places_are_limited),
          TEST(who_had_to_wait_for_its_turn_is_refused_too),
          TEST(a_place_is_not_kept_for_a_closed_connection))
