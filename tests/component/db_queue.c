/* The operation queue against a real PostgreSQL: leases, fencing, storing, finishing, the ledger.
 */
#include "component/db_fixture.h"

#include "base/clock.h"
#include "base/str.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <string.h>

/* --- leases --- */

static void a_lease_is_exclusive_and_counts(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op, none;
    struct op_guard g, g2;
    fresh_db();
    make_cluster(&m, "p", "c", 1);
    CU_ASSERT_TRUE_FATAL(lease_one("a", 60000, &op, &g));
    CU_ASSERT_STRING_EQUAL(op.status, "RUNNING");
    CU_ASSERT_STRING_EQUAL(op.lease_owner, "a");
    CU_ASSERT_EQUAL(op.lease_fence, 1);
    CU_ASSERT_TRUE(op.started_at != TIME_UNSET);
    CU_ASSERT_PTR_NOT_NULL(op.spec);
    CU_ASSERT_FALSE_FATAL(lease_one("b", 60000, &none, &g2));
    int64_t started = op.started_at;
    operation_done(&op);
    exec("UPDATE operation SET lease_until = now() - interval '1 second'");
    CU_ASSERT_TRUE_FATAL(lease_one("b", 60000, &op, &g2));
    CU_ASSERT_EQUAL(op.lease_fence, 2);
    CU_ASSERT_EQUAL(op.started_at, started);
    operation_done(&op);
    /* given back by a graceful stop: due now, for anybody */
    exec("UPDATE operation SET due_at = now() + interval '1 hour'");
    ASSERT_OK(db_op_release_all(db, "b", &e), &e);
    CU_ASSERT_TRUE_FATAL(lease_one("c", 60000, &op, &g));
    CU_ASSERT_EQUAL(op.lease_fence, 3);
    operation_done(&op);
    made_done(&m);
}

enum { OPS = 120, WORKERS = 8 };

struct worker {
    pthread_t t;
    int leased, bad;
};

/* Each drains the queue; every operation must come to exactly one of them. */
static void *drain(void *arg)
{
    struct worker *w = arg;
    char owner[32];
    snprintf(owner, sizeof owner, "w%p", arg);
    for (int idle = 0; idle < 3;) {
        struct err e = ERR_INIT;
        struct operation_list l = {NULL, 0};
        if (lease_any(db, owner, 3, 60000, NULL, &l, NULL, &e) != 0)
            w->bad++;
        idle = l.n ? 0 : idle + 1;
        for (size_t i = 0; i < l.n; i++) {
            w->bad += l.v[i].lease_fence != 1 || strcmp(l.v[i].lease_owner, owner) != 0;
            w->leased++;
        }
        w->bad += l.n > 3;
        operation_list_done(&l);
    }
    return NULL;
}

static size_t freed(struct op_due_list *ret)
{
    struct err e = ERR_INIT;
    size_t n = 0;
    db_op_due_done(ret);
    ASSERT_OK(db_op_release_expired(db, ret, &e), &e);
    for (size_t i = 0; i < ret->n; i++)
        n += ret->v[i].n;
    return n;
}

/* What a dead conductor held is nobody's as soon as anybody notices; its writes, should it only
 * have slept, are refused, and the next owner has the next fence. */
static void leases_that_have_run_out_are_given_back(void)
{
    struct made m[4];
    struct operation_list l = {NULL, 0};
    struct op_due_list due = {0}, of = {0};
    struct err e = ERR_INIT;
    fresh_db();
    for (int i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof name, "c%d", i);
        make_cluster(&m[i], i < 2 ? "p" : "q", name, 1);
    }
    ASSERT_OK(lease_any(db, "dead", 3, 60000, NULL, &l, NULL, &e), &e);
    ASSERT_OK(lease_any(db, "alive", 3, 60000, NULL, &l, NULL, &e), &e);
    CU_ASSERT_EQUAL(l.n, 1);
    CU_ASSERT_EQUAL(freed(&due), 0); /* not before its time, whatever is known of the owner */
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE lease_owner IS NOT NULL"),
                           "4");
    exec("UPDATE operation SET due_at = '2001-01-01', lease_until = now() - interval '1 ms'"
         " WHERE lease_owner = 'dead'");
    struct op_guard late = {m[0].op.id, "dead", 1};
    CU_ASSERT_EQUAL(freed(&due), 3);
    CU_ASSERT_EQUAL_FATAL(due.n, 2);
    CU_ASSERT(str_eq(due.v[0].project, "p") && due.v[0].n == 2);
    CU_ASSERT(str_eq(due.v[1].project, "q") && due.v[1].n == 1);
    CU_ASSERT_STRING_EQUAL(
        sql("SELECT string_agg(DISTINCT concat_ws(' ', status, lease_fence, lease_until,"
            " due_at::date), ',') FROM operation WHERE lease_owner IS NULL"),
        "RUNNING 1 2001-01-01"); /* due as it was: it has waited */
    CU_ASSERT_STRING_EQUAL(sql("SELECT lease_owner FROM operation WHERE lease_owner IS NOT NULL"),
                           "alive");
    CU_ASSERT_EQUAL(freed(&due), 0);
    CU_ASSERT_EQUAL(db_op_checkpoint(db, &late, "too late", -1, NULL, &e), ERR_FENCED);
    const char *const named[] = {m[0].op.id};
    bool held[1];
    unsigned char news[1];
    ASSERT_OK(db_op_renew(db, "dead", 60000, named, 1, held, news, &e), &e);
    CU_ASSERT_FALSE(held[0]);
    const char *const projects[] = {"q", "nobody", "p"};
    ASSERT_OK(db_op_due_of(db, projects, 3, 10, NULL, &of, &e), &e);
    CU_ASSERT_EQUAL_FATAL(of.n, 2); /* as they were named */
    CU_ASSERT(str_eq(of.v[0].project, "q") && of.v[0].n == 1);
    CU_ASSERT(str_eq(of.v[1].project, "p") && of.v[1].n == 2);
    db_op_due_done(&of);
    ASSERT_OK(db_op_due_of(db, projects, 3, 1, &(struct strv)STRV_INIT, &of, &e), &e);
    CU_ASSERT_EQUAL(of.n, 0); /* due, but not for who has no such driver */
    ASSERT_OK(lease_any(db, "heir", 10, 60000, NULL, &l, NULL, &e), &e);
    CU_ASSERT_EQUAL(l.n, 3);
    for (size_t i = 0; i < l.n; i++)
        CU_ASSERT_EQUAL(l.v[i].lease_fence, 2);
    operation_list_done(&l);
    db_op_due_done(&due);
    db_op_due_done(&of);
    for (int i = 0; i < 4; i++)
        made_done(&m[i]);
}

static void same_due(const struct op_due_list *l, const char *expected)
{
    char got[200] = "";
    for (size_t i = 0; i < l->n; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%zu ", l->v[i].project, l->v[i].n);
    if (strcmp(got, expected) != 0)
        fprintf(stderr, "due: \"%s\", not \"%s\"\n", got, expected);
    CU_ASSERT_STRING_EQUAL(got, expected);
}

static void check_due(const char *after, size_t projects, size_t each, const char *expected)
{
    struct op_due_list l = {0};
    struct err e = ERR_INIT;
    ASSERT_OK(db_op_due(db, after, projects, each, NULL, &l, &e), &e);
    same_due(&l, expected);
    db_op_due_done(&l);
}

/* Little is read by time, much by a walk from project to project: the answer is the same. */
static void who_has_something_due(void)
{
    static const int counts[] = {3, 1, 0, 4, 2}; /* of the projects a to e; c has it for later */
    fresh_db();
    for (int p = 0; p < 5; p++)
        for (int i = 0; i < (counts[p] ? counts[p] : 2); i++) {
            char project[2] = {(char)('a' + p), '\0'}, name[16];
            struct made m;
            snprintf(name, sizeof name, "%s%d", project, i);
            make_cluster(&m, project, name, 1);
            made_done(&m);
        }
    exec("UPDATE operation SET due_at = now() + interval '1 hour' WHERE project_id = 'c'");
    check_due(NULL, 64, 64, "a3 b1 d4 e2 ");
    check_due("a", 64, 64, "b1 d4 e2 ");
    check_due("b", 64, 2, "d2 e2 ");
    check_due(NULL, 5, 2, "a2 b1 d2 e2 "); /* ten, all that is due: so much is much */
    check_due(NULL, 3, 3, "a3 b1 d3 ");
    check_due("a", 2, 3, "b1 d3 ");
    check_due("d", 2, 1, "e1 ");
    check_due("e", 2, 1, "");
    exec("UPDATE operation SET due_at = now() + interval '1 hour'");
    check_due(NULL, 64, 64, "");
    check_due(NULL, 1, 1, "");
}

/* A write under way holds the row: it had its lease when it began, and decides what becomes of it.
 */
static void a_row_that_is_being_written_is_not_given_back(void)
{
    struct made m;
    struct operation op;
    struct op_guard g;
    struct op_due_list due = {0};
    fresh_db();
    make_cluster(&m, "p", "c", 1);
    CU_ASSERT_TRUE_FATAL(lease_one("a", 60000, &op, &g));
    exec("UPDATE operation SET lease_until = now() - interval '1 second'");
    PGconn *writer = PQconnectdb(conninfo);
    PQclear(PQexec(writer, "BEGIN; SELECT FROM operation FOR UPDATE"));
    CU_ASSERT_EQUAL(freed(&due), 0); /* and does not wait for it either */
    PQclear(
        PQexec(writer, "UPDATE operation SET lease_until = now() + interval '1 minute'; COMMIT"));
    CU_ASSERT_EQUAL(freed(&due), 0);
    PQfinish(writer);
    exec("UPDATE operation SET lease_until = now() - interval '1 second'");
    CU_ASSERT_EQUAL(freed(&due), 1);
    db_op_due_done(&due);
    operation_done(&op);
    made_done(&m);
}

static void every_operation_is_leased_once(void)
{
    struct worker w[WORKERS] = {0};
    int total = 0;
    fresh_db();
    for (int i = 0; i < OPS; i++) {
        struct made m;
        make_cluster(&m, "p", "c", 1);
        made_done(&m);
    }
    for (int i = 0; i < WORKERS; i++)
        pthread_create(&w[i].t, NULL, drain, &w[i]);
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(w[i].t, NULL);
        total += w[i].leased;
        CU_ASSERT_EQUAL(w[i].bad, 0);
    }
    CU_ASSERT_EQUAL(total, OPS);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE lease_fence = 1"), "120");
}

static void only_due_work_of_known_drivers(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation_list l = {NULL, 0};
    struct strv drivers = STRV_INIT, empty = STRV_INIT;
    int64_t next = -7;
    fresh_db();
    ASSERT_OK(lease_any(db, "a", 10, 60000, NULL, &l, &next, &e), &e);
    CU_ASSERT_EQUAL(next, -1);
    make_cluster(&m, "p", "c", 1);
    exec("UPDATE operation SET due_at = now() + interval '100 seconds'");
    ASSERT_OK(lease_any(db, "a", 10, 60000, NULL, &l, &next, &e), &e);
    CU_ASSERT_EQUAL(l.n, 0);
    CU_ASSERT_TRUE(next > 0 && next <= 100000);
    exec("UPDATE operation SET due_at = now()");
    CU_ASSERT_EQUAL(strv_add(&drivers, "it\"s, a {\\other}"), 0);
    ASSERT_OK(lease_any(db, "a", 10, 60000, &drivers, &l, NULL, &e), &e);
    CU_ASSERT_EQUAL(l.n, 0);
    ASSERT_OK(lease_any(db, "a", 10, 60000, &empty, &l, NULL, &e), &e);
    CU_ASSERT_EQUAL(l.n, 0);
    CU_ASSERT_EQUAL(strv_add(&drivers, "drv"), 0);
    ASSERT_OK(lease_any(db, "a", 10, 60000, &drivers, &l, &next, &e), &e);
    CU_ASSERT_EQUAL(l.n, 1);
    CU_ASSERT_EQUAL(next, -1); /* what I hold is no news for me */
    ASSERT_OK(lease_any(db, "b", 10, 60000, &drivers, &l, &next, &e), &e);
    CU_ASSERT_EQUAL(l.n, 0);
    CU_ASSERT_TRUE(next > 0 && next <= 60000); /* then a's lease may be lost */
    exec("UPDATE operation SET driver_id = NULL, lease_owner = NULL, lease_until = NULL");
    ASSERT_OK(lease_any(db, "b", 1, 60000, &empty, &l, &next, &e), &e);
    CU_ASSERT_EQUAL(l.n, 1);
    CU_ASSERT_EQUAL(next, 0); /* as many as asked for: there may be more */
    operation_list_done(&l);
    strv_free(&drivers);
    made_done(&m);
}

static void renewing_says_what_is_held(void)
{
    struct err e = ERR_INIT;
    struct made m[3];
    struct operation_list l = {NULL, 0};
    const char *ids[4];
    bool held[4];
    unsigned char news[4];
    fresh_db();
    for (int i = 0; i < 3; i++)
        make_cluster(&m[i], "p", "c", 1);
    ASSERT_OK(lease_any(db, "a", 10, 60000, NULL, &l, NULL, &e), &e);
    CU_ASSERT_EQUAL_FATAL(l.n, 3);
    for (int i = 0; i < 3; i++)
        ids[i] = m[i].op.id;
    ids[3] = "never seen";
    char query[256];
    snprintf(query, sizeof query,
             "UPDATE operation SET lease_until = now() - interval '1 second' WHERE id = '%s'",
             ids[1]);
    exec(query);
    ASSERT_OK(db_accept_cancel(db, ids[2], "x", &e), &e);
    ASSERT_OK(db_op_renew(db, "a", 100000, ids, 4, held, news, &e), &e);
    CU_ASSERT_TRUE(held[0] && !news[0]);
    CU_ASSERT_TRUE(!held[1] && !news[1]);
    CU_ASSERT_TRUE(held[2] && news[2] == OP_NEWS_CANCEL);
    CU_ASSERT_TRUE(!held[3] && !news[3]);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE lease_until > now() +"
                               " interval '90 seconds'"),
                           "2");
    ASSERT_OK(db_op_renew(db, "b", 100000, ids, 4, held, news, &e), &e);
    CU_ASSERT_FALSE(held[0] || held[1] || held[2]);
    operation_list_done(&l);
    for (int i = 0; i < 3; i++)
        made_done(&m[i]);
}

/* --- fencing --- */

static void expect_fenced(const struct op_guard *g, const struct operation *op)
{
    struct err e = ERR_INIT;
    struct op_store s = {.status = "BLOCKED",
                         .attempt = MODEL_UNSET,
                         .host_failures = MODEL_UNSET,
                         .steps = MODEL_UNSET,
                         .percent = MODEL_UNSET,
                         .release = true};
    _cleanup_json_ json_t *outputs = json_pack("{s:s}", "api_address", "http://stolen");
    CU_ASSERT_EQUAL(db_op_checkpoint(db, g, "{\"v\":1}", 10, "x", &e), ERR_FENCED);
    CU_ASSERT_EQUAL(db_op_store(db, g, &s, &e), ERR_FENCED);
    s.outputs = outputs;
    CU_ASSERT_EQUAL(db_op_store(db, g, &s, &e), ERR_FENCED);
    CU_ASSERT_EQUAL(finish(g, op, true, &e), ERR_FENCED);
    CU_ASSERT_EQUAL(db_ledger_declare(db, g, "node", "n", NULL, &e), ERR_FENCED);
    CU_ASSERT_EQUAL(db_ledger_confirm(db, g, "node", "n", NULL, &e), ERR_FENCED);
    CU_ASSERT_EQUAL(db_ledger_drop(db, g, "node", "n", &e), ERR_FENCED);
    CU_ASSERT_EQUAL(db_cluster_set_certs(db, g, "m", "ca", NULL, NULL, NULL, &e), ERR_FENCED);
}

static void without_the_lease_nothing_is_written(void)
{
    struct made m;
    struct operation op, op2;
    struct op_guard g, g2;
    fresh_db();
    make_cluster(&m, "p", "c", 1);
    CU_ASSERT_TRUE_FATAL(lease_one("a", 60000, &op, &g));
    struct op_guard wrong_fence = g, wrong_owner = g, wrong_id = g;
    wrong_fence.fence = 7;
    wrong_owner.owner = "b";
    wrong_id.id = "nope";
    expect_fenced(&wrong_fence, &op);
    expect_fenced(&wrong_owner, &op);
    expect_fenced(&wrong_id, &op);
    exec("UPDATE operation SET lease_until = now() - interval '1 millisecond'");
    char before[64];
    const char *all = "SELECT md5((SELECT string_agg(o::text, '') FROM operation o) || (SELECT"
                      " string_agg(c::text, '') FROM cluster c) || (SELECT count(*) FROM ledger))";
    snprintf(before, sizeof before, "%s", sql(all));
    expect_fenced(&g, &op);
    CU_ASSERT_STRING_EQUAL(before, sql(all));
    CU_ASSERT_TRUE_FATAL(lease_one("b", 60000, &op2, &g2));
    expect_fenced(&g, &op); /* the old holder, while the new one works */
    struct err e = ERR_INIT;
    ASSERT_OK(finish(&g2, &op2, true, &e), &e);
    expect_fenced(&g2, &op2); /* and after the end nobody */
    operation_done(&op);
    operation_done(&op2);
    made_done(&m);
}

/* Holds the cluster's row until the lease is over. */
static void *hold_cluster(void *arg)
{
    (void)arg;
    exec("BEGIN; SELECT FROM cluster FOR UPDATE; SELECT pg_sleep_until(lease_until + interval"
         " '10 ms') FROM operation; COMMIT");
    return NULL;
}

static void waiting_for_a_lock_does_not_save_a_lease(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op;
    struct op_guard g;
    pthread_t t;
    fresh_db();
    make_cluster(&m, "p", "c", 1);
    CU_ASSERT_TRUE_FATAL(lease_one("a", 1500, &op, &g));
    pthread_create(&t, NULL, hold_cluster, NULL);
    int64_t until = clock_mono_ms() + 10000;
    const char *waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    while (clock_mono_ms() < until) {
        char *n = pg_query(conninfo, waiting);
        bool held = n && *n == '1';
        free(n);
        if (held)
            break;
    }
    /* alive when it is asked for, over when the lock comes */
    CU_ASSERT_EQUAL(finish(&g, &op, true, &e), ERR_FENCED);
    pthread_join(t, NULL);
    CU_ASSERT_STRING_EQUAL(sql("SELECT status FROM operation"), "RUNNING");
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "CREATE_IN_PROGRESS");
    operation_done(&op);
    made_done(&m);
}

/* --- steps --- */

static void checkpoint_and_store(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op, leased;
    struct op_guard g;
    struct operation_event_list ev = {NULL, 0};
    struct cluster c;
    fresh_db();
    cluster_init(&c);
    make_cluster(&m, "p", "c", 2);
    CU_ASSERT_TRUE_FATAL(lease_one("a", 60000, &leased, &g));
    ASSERT_OK(db_op_checkpoint(db, &g, "{\"v\":1}", 30, "half way", &e), &e);
    ASSERT_OK(db_op_checkpoint(db, &g, "{\"v\":2}", -1, NULL, &e), &e);
    struct op_event_new events[] = {
        {.code = "one", .message = "first", .percent = 31, .retriable = true, .actor = "user"},
        {.code = "two", .remedy = "do it", .percent = MODEL_UNSET, .backend_request_id = "req-b"},
    };
    char uuid[40], key[80], key2[80];
    snprintf(uuid, sizeof uuid, "%s", sql("SELECT uuid FROM nodegroup WHERE role = 'worker'"));
    snprintf(key, sizeof key, "nodegroup/%s/node_addresses", uuid);
    snprintf(key2, sizeof key2, "nodegroup/%s/node_count", uuid);
    _cleanup_json_ json_t *outputs = json_pack(
        "{s:s,s:s,s:n,s:s,s:[s,s],s:i,s:s,s:{s:s},s:i,s:s,s:[]}", "api_address", "https://x:6443",
        "stack_id", "st-1", "discovery_url", "coe_version", "v1.2", key, "10.0.0.1", "10.0.0.2",
        key2, 2, "health_status", "HEALTHY", "health_status_reason", "api", "ok",
        "container_version", 7, "nodegroup/zzz/status", "x", "nodegroup/zzz/node_addresses");
    struct op_store s = {.status = OPS_BLOCKED,
                         .stage = "certs",
                         .attempt = 3,
                         .host_failures = MODEL_UNSET,
                         .steps = 9,
                         .percent = MODEL_UNSET,
                         .set_reason = true,
                         .code = "QUOTA",
                         .reason = "no cores",
                         .blocked = true,
                         .due_in_ms = 5000,
                         .outputs = outputs,
                         .events = events,
                         .n_events = 2};
    ASSERT_OK(db_op_store(db, &g, &s, &e), &e);
    operation_init(&op);
    ASSERT_OK(db_operation_get(db, &everything, m.op.id, &op, &e), &e);
    CU_ASSERT_STRING_EQUAL(op.state, "{\"v\":2}");
    CU_ASSERT_STRING_EQUAL(op.message, "half way");
    CU_ASSERT_EQUAL(op.percent, 30);
    CU_ASSERT_STRING_EQUAL(op.status, "BLOCKED");
    CU_ASSERT_STRING_EQUAL(op.stage, "certs");
    CU_ASSERT_EQUAL(op.attempt, 3);
    CU_ASSERT_EQUAL(op.host_failures, 0);
    CU_ASSERT_EQUAL(op.steps, 9);
    CU_ASSERT_STRING_EQUAL(op.code, "QUOTA");
    CU_ASSERT_PTR_NULL(op.remedy);
    CU_ASSERT_TRUE(op.blocked_since != TIME_UNSET);
    CU_ASSERT_TRUE(op.due_at > op.updated_at + 4000000);
    CU_ASSERT_STRING_EQUAL(op.lease_owner, "a");
    ASSERT_OK(db_operation_events(db, m.op.id, 0, 10, &ev, &e), &e);
    CU_ASSERT_EQUAL_FATAL(ev.n, 3);
    CU_ASSERT_STRING_EQUAL(ev.v[1].code, "one");
    CU_ASSERT_STRING_EQUAL(ev.v[1].stage, "certs");
    CU_ASSERT_EQUAL(ev.v[1].percent, 31);
    CU_ASSERT_TRUE(ev.v[1].retriable);
    CU_ASSERT_STRING_EQUAL(ev.v[2].code, "two");
    CU_ASSERT_EQUAL(ev.v[2].percent, 30);
    CU_ASSERT_STRING_EQUAL(ev.v[2].remedy, "do it");
    CU_ASSERT_FALSE(ev.v[2].retriable);
    int64_t last = ev.v[2].id;
    ASSERT_OK(db_operation_events(db, m.op.id, ev.v[0].id, 1, &ev, &e), &e);
    CU_ASSERT_EQUAL(ev.n, 1);
    ASSERT_OK(db_operation_events(db, m.op.id, last, 10, &ev, &e), &e);
    CU_ASSERT_EQUAL(ev.n, 0);
    ASSERT_OK(db_cluster_get(db, &everything, m.c.uuid, &c, &e), &e);
    CU_ASSERT_STRING_EQUAL(c.api_address, "https://x:6443");
    CU_ASSERT_STRING_EQUAL(c.coe_version, "v1.2");
    CU_ASSERT_PTR_NULL(c.container_version); /* wrong type: passed over */
    CU_ASSERT_STRING_EQUAL(c.health_status, "HEALTHY");
    CU_ASSERT_TRUE(c.health_at != TIME_UNSET);
    CU_ASSERT_EQUAL(json_array_size(c.node_addresses), 2);
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(DISTINCT stack_id, ',') FROM nodegroup"), "st-1");
    /* the same again moves nothing; null clears */
    int64_t updated = c.updated_at;
    s.release = true;
    s.blocked = s.set_reason = false;
    s.status = NULL;
    s.n_events = 0;
    ASSERT_OK(db_op_store(db, &g, &s, &e), &e);
    ASSERT_OK(db_cluster_get(db, &everything, m.c.uuid, &c, &e), &e);
    CU_ASSERT_EQUAL(c.updated_at, updated);
    ASSERT_OK(db_operation_get(db, &everything, m.op.id, &op, &e), &e);
    CU_ASSERT_PTR_NULL(op.lease_owner);
    CU_ASSERT_EQUAL(op.blocked_since, TIME_UNSET);
    CU_ASSERT_STRING_EQUAL(op.code, "QUOTA");
    expect_fenced(&g, &op);
    cluster_done(&c);
    operation_event_list_done(&ev);
    operation_done(&op);
    operation_done(&leased);
    made_done(&m);
}

static void certificates_are_referenced(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op;
    struct op_guard g;
    struct cluster c;
    fresh_db();
    cluster_init(&c);
    make_cluster(&m, "p", "c", 1);
    CU_ASSERT_TRUE_FATAL(lease_one("a", 60000, &op, &g));
    ASSERT_OK(db_cluster_set_certs(db, &g, "x509keypair", "ca", "client", NULL, NULL, &e), &e);
    ASSERT_OK(db_cluster_set_certs(db, &g, NULL, NULL, NULL, "etcd", "front", &e), &e);
    ASSERT_OK(db_cluster_get(db, &everything, m.c.uuid, &c, &e), &e);
    CU_ASSERT_STRING_EQUAL(c.cert_manager, "x509keypair");
    CU_ASSERT_STRING_EQUAL(c.ca_cert_ref, "ca");
    CU_ASSERT_STRING_EQUAL(c.magnum_cert_ref, "client");
    CU_ASSERT_STRING_EQUAL(c.etcd_ca_cert_ref, "etcd");
    CU_ASSERT_STRING_EQUAL(c.front_proxy_ca_cert_ref, "front");
    cluster_done(&c);
    operation_done(&op);
    made_done(&m);
}

/* --- ends --- */

static void success_and_failure_show(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op, scale;
    struct op_guard g;
    struct cluster c;
    fresh_db();
    cluster_init(&c);
    make_cluster(&m, "p", "c", 1);
    CU_ASSERT_TRUE_FATAL(lease_one("a", 60000, &op, &g));
    _cleanup_json_ json_t *outputs = json_pack("{s:s}", "api_address", "https://a");
    struct op_event_new done = {.code = "succeeded", .percent = MODEL_UNSET};
    struct op_finish f = {.status = OPS_SUCCEEDED,
                          .cluster_status = "CREATE_COMPLETE",
                          .nodegroup_status = "CREATE_COMPLETE",
                          .outputs = outputs,
                          .events = &done,
                          .n_events = 1};
    f.status = OPS_RUNNING;
    CU_ASSERT_EQUAL(db_op_finish(db, &g, &f, &e), ERR_INTERNAL);
    f.status = OPS_SUCCEEDED;
    ASSERT_OK(db_op_finish(db, &g, &f, &e), &e);
    operation_done(&op);
    ASSERT_OK(db_operation_get(db, &everything, m.op.id, &op, &e), &e);
    CU_ASSERT_STRING_EQUAL(op.status, "SUCCEEDED");
    CU_ASSERT_EQUAL(op.percent, 100);
    CU_ASSERT_PTR_NULL(op.lease_owner);
    CU_ASSERT_TRUE(op.finished_at != TIME_UNSET);
    CU_ASSERT_STRING_EQUAL(sql("SELECT code || percent FROM operation_event ORDER BY id DESC"),
                           "succeeded100");
    ASSERT_OK(db_cluster_get(db, &everything, m.c.uuid, &c, &e), &e);
    CU_ASSERT_STRING_EQUAL(c.status, "CREATE_COMPLETE");
    CU_ASSERT_STRING_EQUAL(c.api_address, "https://a");
    struct db_change ch = DB_CHANGE_INIT;
    ch.node_count = 2;
    ASSERT_OK(change(m.c.uuid, "scale", &ch, &scale, &e), &e);
    operation_done(&op);
    CU_ASSERT_TRUE_FATAL(lease_one("a", 60000, &op, &g));
    ASSERT_OK(finish(&g, &op, false, &e), &e);
    ASSERT_OK(db_cluster_get(db, &everything, m.c.uuid, &c, &e), &e);
    CU_ASSERT_STRING_EQUAL(c.status, "UPDATE_FAILED");
    CU_ASSERT_STRING_EQUAL(c.status_reason, "it broke");
    CU_ASSERT_EQUAL(json_object_size(c.faults), 1);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(c.faults, "default-worker")),
                           "it broke");
    operation_done(&scale);
    operation_done(&op);
    cluster_done(&c);
    made_done(&m);
}

static void status_moves_along_the_table_only(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op;
    struct op_guard g;
    fresh_db();
    make_cluster(&m, "p", "c", 1);
    CU_ASSERT_TRUE_FATAL(lease_one("a", 60000, &op, &g));
    struct op_finish f = {.status = OPS_FAILED, .cluster_status = "UPDATE_COMPLETE"};
    ASSERT_OK(db_op_finish(db, &g, &f, &e), &e);
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "CREATE_IN_PROGRESS");
    CU_ASSERT_STRING_EQUAL(sql("SELECT status FROM operation"), "FAILED");
    operation_done(&op);
    made_done(&m);
}

static void a_rollback_ends(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op, scale;
    struct op_guard g;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    struct db_change ch = DB_CHANGE_INIT;
    ch.node_count = 2;
    ASSERT_OK(change(m.c.uuid, "update", &ch, &scale, &e), &e);
    CU_ASSERT_TRUE_FATAL(lease_one("a", 60000, &op, &g));
    struct op_finish f = {.status = OPS_FAILED,
                          .cluster_status = "ROLLBACK_COMPLETE",
                          .nodegroup_status = "ROLLBACK_COMPLETE"};
    ASSERT_OK(db_op_finish(db, &g, &f, &e), &e);
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "ROLLBACK_COMPLETE");
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(status, ' ' ORDER BY id) FROM nodegroup"),
                           "CREATE_COMPLETE ROLLBACK_COMPLETE");
    operation_done(&op);
    operation_done(&scale);
    made_done(&m);
}

static void put_key(const char *derived, const char *uuid)
{
    struct err e = ERR_INIT;
    struct x509keypair k;
    x509keypair_init(&k);
    k.uuid = str_dup(uuid);
    k.derived_key = str_dup(derived);
    k.private_key = str_dup("sealed");
    ASSERT_OK(db_x509_put(db, NULL, &k, &e), &e);
    x509keypair_done(&k);
}

static void a_delete_leaves_only_its_history(void)
{
    struct err e = ERR_INIT;
    struct made m, other;
    struct operation op, del;
    struct op_guard g;
    struct cluster c;
    struct operation_list ops = {NULL, 0};
    struct operation_event_list ev = {NULL, 0};
    char key[64];
    fresh_db();
    cluster_init(&c);
    make_complete(&m, "p", "c", 1);
    make_complete(&other, "p", "other", 1);
    snprintf(key, sizeof key, "%s/ca/1", m.c.uuid);
    put_key(key, "by-derived-key");
    put_key("x/ca/1", "of-somebody-else");
    put_key("y/ca/1", "by-reference");
    ASSERT_OK(change(m.c.uuid, "delete", NULL, &del, &e), &e);
    CU_ASSERT_TRUE_FATAL(lease_one("a", 60000, &op, &g));
    ASSERT_OK(db_cluster_set_certs(db, &g, NULL, "by-reference", NULL, NULL, NULL, &e), &e);
    ASSERT_OK(db_ledger_declare(db, &g, "node", "n", NULL, &e), &e);
    ASSERT_OK(finish(&g, &op, true, &e), &e);
    CU_ASSERT_EQUAL(db_cluster_get(db, &everything, m.c.uuid, &c, &e), ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(name, ',') FROM cluster"), "other");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM nodegroup"), "2");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM observation"), "1");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM ledger"), "0");
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(uuid, ',') FROM x509keypair"),
                           "of-somebody-else");
    struct db_scope p = {.project_id = "p"};
    ASSERT_OK(db_operation_list(db, &p, m.c.uuid, NULL, &ops, &e), &e);
    CU_ASSERT_EQUAL_FATAL(ops.n, 2);
    CU_ASSERT_STRING_EQUAL(ops.v[0].kind, "delete");
    CU_ASSERT_STRING_EQUAL(ops.v[0].cluster_name, "c");
    CU_ASSERT_STRING_EQUAL(ops.v[1].kind, "create");
    ASSERT_OK(db_operation_events(db, ops.v[0].id, 0, 10, &ev, &e), &e);
    CU_ASSERT_TRUE(ev.n >= 1);
    operation_list_done(&ops);
    operation_event_list_done(&ev);
    operation_done(&op);
    operation_done(&del);
    cluster_done(&c);
    made_done(&m);
    made_done(&other);
}

/* Accepting, stepping and ending at once, from many threads: no deadlock, no half state. */
struct storm {
    pthread_t t;
    const char *uuid;
    int bad;
};

static void *storm_accept(void *arg)
{
    struct storm *s = arg;
    for (int i = 0; i < 40; i++) {
        struct err e = ERR_INIT;
        struct operation op;
        struct db_change ch = DB_CHANGE_INIT;
        ch.node_count = i % 5;
        int rc = change(s->uuid, "scale", &ch, &op, &e);
        if (rc) {
            fprintf(stderr, "accept: %s\n", e.msg);
            s->bad++;
        }
        operation_done(&op);
    }
    return NULL;
}

static void *storm_work(void *arg)
{
    struct storm *s = arg;
    char owner[32];
    snprintf(owner, sizeof owner, "w%p", arg);
    for (int i = 0; i < 80; i++) {
        struct err e = ERR_INIT;
        struct operation_list l = {NULL, 0};
        int rc = lease_any(db, owner, 4, 60000, NULL, &l, NULL, &e);
        for (size_t k = 0; !rc && k < l.n; k++) {
            struct op_guard g = {l.v[k].id, owner, l.v[k].lease_fence};
            _cleanup_json_ json_t *outputs = json_pack("{s:s}", "api_address", owner);
            struct op_store st = {.attempt = i,
                                  .host_failures = MODEL_UNSET,
                                  .steps = MODEL_UNSET,
                                  .percent = MODEL_UNSET,
                                  .outputs = outputs};
            rc = db_op_checkpoint(db, &g, "{}", 1, NULL, &e);
            rc = rc && rc != ERR_FENCED ? rc : db_op_store(db, &g, &st, &e);
            rc = rc && rc != ERR_FENCED ? rc : finish(&g, &l.v[k], i % 3, &e);
        }
        operation_list_done(&l);
        if (rc) {
            fprintf(stderr, "work: %s\n", e.msg);
            s->bad++;
        }
    }
    return NULL;
}

static void a_storm_of_requests_and_workers(void)
{
    enum { N = 4 };
    struct storm a[N] = {0}, w[N] = {0};
    struct made m;
    struct operation op;
    struct op_guard g;
    struct err e = ERR_INIT;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    for (int i = 0; i < N; i++) {
        a[i].uuid = w[i].uuid = m.c.uuid;
        pthread_create(&a[i].t, NULL, storm_accept, &a[i]);
        pthread_create(&w[i].t, NULL, storm_work, &w[i]);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(a[i].t, NULL);
        pthread_join(w[i].t, NULL);
        CU_ASSERT_EQUAL(a[i].bad, 0);
        CU_ASSERT_EQUAL(w[i].bad, 0);
    }
    if (lease_one("last", 60000, &op, &g)) {
        ASSERT_OK(finish(&g, &op, true, &e), &e);
        operation_done(&op);
    }
    CU_ASSERT_STRING_EQUAL(sql("SELECT generation FROM cluster"), "161");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE finished_at IS NULL"), "0");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE status IN ('SUCCEEDED',"
                               " 'FAILED') AND superseded_by IS NOT NULL"),
                           "0");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM nodegroup WHERE status LIKE '%IN_PROGRESS'"),
                           "0");
    made_done(&m);
}

/* --- ledger --- */

static void the_ledger(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op;
    struct op_guard g;
    struct ledger_entry_list l = {NULL, 0};
    fresh_db();
    make_cluster(&m, "p", "c", 1);
    CU_ASSERT_TRUE_FATAL(lease_one("a", 60000, &op, &g));
    _cleanup_json_ json_t *data = json_pack("{s:i}", "n", 1);
    ASSERT_OK(db_ledger_declare(db, &g, "node", "n1", data, &e), &e);
    ASSERT_OK(db_ledger_declare(db, &g, "node", "n1", NULL, &e), &e); /* keeps the data */
    ASSERT_OK(db_ledger_declare(db, &g, "net", "n1", NULL, &e), &e);
    ASSERT_OK(db_ledger_list(db, m.c.uuid, "node", &l, &e), &e);
    CU_ASSERT_EQUAL_FATAL(l.n, 1);
    CU_ASSERT_STRING_EQUAL(l.v[0].state, "intent");
    CU_ASSERT_TRUE(json_equal(l.v[0].data, data));
    CU_ASSERT_STRING_EQUAL(l.v[0].operation_id, m.op.id);
    ASSERT_OK(db_ledger_confirm(db, &g, "node", "n1", "ext", &e), &e);
    ASSERT_OK(db_ledger_confirm(db, &g, "node", "n1", NULL, &e), &e);
    ASSERT_OK(db_ledger_declare(db, &g, "node", "n1", NULL, &e), &e);
    ASSERT_OK(db_ledger_confirm(db, &g, "node", "surprise", "ext2", &e), &e);
    ASSERT_OK(db_ledger_list(db, m.c.uuid, NULL, &l, &e), &e);
    CU_ASSERT_EQUAL_FATAL(l.n, 3);
    CU_ASSERT_STRING_EQUAL(l.v[0].state, "confirmed");
    CU_ASSERT_STRING_EQUAL(l.v[0].external_id, "ext");
    CU_ASSERT_STRING_EQUAL(l.v[2].state, "confirmed");
    ASSERT_OK(db_ledger_drop(db, &g, "node", "n1", &e), &e);
    ASSERT_OK(db_ledger_drop(db, &g, "node", "n1", &e), &e);
    ASSERT_OK(db_ledger_list(db, m.c.uuid, NULL, &l, &e), &e);
    CU_ASSERT_EQUAL(l.n, 2);
    ledger_entry_list_done(&l);
    operation_done(&op);
    made_done(&m);
}

TEST_MAIN("db_queue", fixture_start, fixture_stop, TEST(a_lease_is_exclusive_and_counts),
          TEST(leases_that_have_run_out_are_given_back), TEST(who_has_something_due),
          TEST(a_row_that_is_being_written_is_not_given_back), TEST(every_operation_is_leased_once),
          TEST(only_due_work_of_known_drivers), TEST(renewing_says_what_is_held),
          TEST(without_the_lease_nothing_is_written),
          TEST(waiting_for_a_lock_does_not_save_a_lease), TEST(checkpoint_and_store),
          TEST(certificates_are_referenced), TEST(success_and_failure_show),
          TEST(status_moves_along_the_table_only), TEST(a_rollback_ends),
          TEST(a_delete_leaves_only_its_history), TEST(a_storm_of_requests_and_workers),
          TEST(the_ledger))
