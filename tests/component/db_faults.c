/* The store when things break: lost connections, a dead or silent server, timeouts, a used-up pool,
 * a full disk, a missing schema. Every one has its own code, and reads repeat themselves. */
#include "component/db_fixture.h"

#include "base/clock.h"
#include "base/str.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

enum { PATIENCE_MS = 60000 };

/* --- a session that holds locks, and one that looks at the others --- */

static struct pg_hold *holder;
static char *admin;

static void hold(const char *statement)
{
    holder = pg_hold(conninfo, statement);
    CU_ASSERT_PTR_NOT_NULL_FATAL(holder);
}

static void let_go(void)
{
    pg_let_go(&holder);
}

/* The backend that waits for a lock in the test's database, other than `not_this`; 0 = none came.
 */
static int waiting_backend(int not_this)
{
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    while (clock_mono_ms() < until) {
        char *text = pg_query(admin, "SELECT coalesce(min(pid), 0) FROM pg_stat_activity WHERE"
                                     " datname = 'fresh' AND wait_event_type = 'Lock'");
        int pid = text ? atoi(text) : 0;
        free(text);
        if (pid && pid != not_this)
            return pid;
    }
    return 0;
}

static void terminate(int pid)
{
    char query[80];
    snprintf(query, sizeof query, "SELECT pg_terminate_backend(%d)", pid);
    CU_ASSERT_TRUE(pg_exec(admin, query));
}

static void terminate_all(void)
{
    CU_ASSERT_TRUE(pg_exec(admin,
                           "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE"
                           " datname = 'fresh'"));
}

/* --- what is interrupted --- */

struct call {
    pthread_t t;
    struct db *db;
    const char *uuid;
    int rc;
    struct err e;
};

static void *do_read(void *arg)
{
    struct call *x = arg;
    struct cluster c;
    cluster_init(&c);
    x->rc = db_cluster_get(x->db, &everything, x->uuid, &c, &x->e);
    cluster_done(&c);
    return NULL;
}

static void *do_create(void *arg)
{
    struct call *x = arg;
    struct made m;
    x->rc = accept_cluster(&m, "p", "late", 1, 1000000, NULL, &x->e);
    made_done(&m);
    return NULL;
}

static void *do_write(void *arg)
{
    struct call *x = arg;
    x->rc = db_accept_health(x->db, x->uuid, "HEALTHY", NULL, &x->e);
    return NULL;
}

static void idle_connections_are_replaced(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct cluster c;
    fresh_db();
    cluster_init(&c);
    make_complete(&m, "p", "c", 1);
    terminate_all();
    ASSERT_OK(db_cluster_get(db, &everything, m.c.uuid, &c, &e), &e);
    /* writes and transactions too: nothing was sent on the dead ones */
    terminate_all();
    ASSERT_OK(db_accept_health(db, m.c.uuid, "HEALTHY", NULL, &e), &e);
    terminate_all();
    ASSERT_OK(db_driver_enable(db, "d", true, NULL, "me", &e), &e);
    cluster_done(&c);
    made_done(&m);
}

static void a_read_is_repeated_once(void)
{
    struct made m;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    struct call x = {.db = db, .uuid = m.c.uuid};
    hold("LOCK TABLE cluster IN ACCESS EXCLUSIVE MODE");
    pthread_create(&x.t, NULL, do_read, &x);
    int first = waiting_backend(0);
    CU_ASSERT_TRUE(first);
    terminate(first);
    CU_ASSERT_TRUE(waiting_backend(first)); /* it came back on another connection */
    let_go();
    pthread_join(x.t, NULL);
    CU_ASSERT_EQUAL(x.rc, 0);
    /* lost twice in a row: that is an outage */
    hold("LOCK TABLE cluster IN ACCESS EXCLUSIVE MODE");
    pthread_create(&x.t, NULL, do_read, &x);
    first = waiting_backend(0);
    terminate(first);
    terminate(waiting_backend(first));
    pthread_join(x.t, NULL);
    let_go();
    CU_ASSERT_EQUAL(x.rc, ERR_UNAVAILABLE);
    made_done(&m);
}

/* A create sends BEGIN, locks and rows at once: losing that is no doubtful commit. */
static void a_create_is_repeated_once(void)
{
    fresh_db();
    struct call x = {.db = db};
    hold("LOCK TABLE nodegroup IN ACCESS EXCLUSIVE MODE");
    pthread_create(&x.t, NULL, do_create, &x);
    int first = waiting_backend(0);
    CU_ASSERT_TRUE(first);
    terminate(first);
    CU_ASSERT_TRUE(waiting_backend(first));
    let_go();
    pthread_join(x.t, NULL);
    CU_ASSERT_EQUAL(x.rc, 0);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM cluster"), "1");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM nodegroup"), "2");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation"), "1");
}

static void a_lost_write_is_reported(void)
{
    struct err e = ERR_INIT;
    struct made m;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    struct call x = {.db = db, .uuid = m.c.uuid};
    hold("SELECT FROM cluster FOR UPDATE");
    pthread_create(&x.t, NULL, do_write, &x);
    int pid = waiting_backend(0);
    CU_ASSERT_TRUE(pid);
    terminate(pid);
    pthread_join(x.t, NULL);
    let_go();
    CU_ASSERT_EQUAL(x.rc, ERR_UNAVAILABLE);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM cluster WHERE health_status IS NOT NULL"),
                           "0");
    ASSERT_OK(db_accept_health(db, m.c.uuid, "HEALTHY", NULL, &e), &e);
    made_done(&m);
}

/* --- timeouts --- */

/* A machine that stands still for longer than it waits: then once more. */
static int read_in_time(struct db *hasty, const char *uuid, struct cluster *ret, struct err *e)
{
    int rc = ERR_TIMEOUT;
    for (int64_t until = clock_mono_ms() + PATIENCE_MS;
         rc == ERR_TIMEOUT && clock_mono_ms() < until;)
        rc = db_cluster_get(hasty, &everything, uuid, ret, e);
    return rc;
}

static void a_slow_statement_times_out(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct cluster c;
    fresh_db();
    cluster_init(&c);
    make_complete(&m, "p", "c", 1);
    struct db *hasty = open_db(conninfo, 2, 200);
    hold("LOCK TABLE cluster IN ACCESS EXCLUSIVE MODE");
    CU_ASSERT_EQUAL(db_cluster_get(hasty, &everything, m.c.uuid, &c, &e), ERR_TIMEOUT);
    CU_ASSERT_EQUAL(db_accept_health(hasty, m.c.uuid, "HEALTHY", NULL, &e), ERR_TIMEOUT);
    let_go();
    ASSERT_OK(read_in_time(hasty, m.c.uuid, &c, &e), &e); /* still usable */
    db_close(&hasty);
    cluster_done(&c);
    made_done(&m);
}

static atomic_bool silent;

/* Until the one that is sent to a server which says nothing any more. */
static void *read_until_silent(void *arg)
{
    struct call *x = arg;
    bool last;
    do {
        last = atomic_load(&silent);
        do_read(x);
    } while (!last && x->rc == ERR_TIMEOUT);
    return NULL;
}

static void a_silent_server_times_out(void)
{
    struct made m;
    struct cluster c;
    struct err e = ERR_INIT;
    fresh_db();
    cluster_init(&c);
    atomic_store(&silent, false);
    make_complete(&m, "p", "c", 1);
    struct db *hasty = open_db(conninfo, 1, 200);
    struct call x = {.db = hasty, .uuid = m.c.uuid};
    hold("LOCK TABLE cluster IN ACCESS EXCLUSIVE MODE");
    pthread_create(&x.t, NULL, read_until_silent, &x);
    int pid = waiting_backend(0);
    CU_ASSERT_TRUE_FATAL(pid);
    CU_ASSERT_EQUAL(kill(pid, SIGSTOP), 0); /* no statement_timeout of its own any more */
    atomic_store(&silent, true);
    pthread_join(x.t, NULL);
    CU_ASSERT_EQUAL(x.rc, ERR_TIMEOUT);
    kill(pid, SIGCONT);
    let_go();
    ASSERT_OK(read_in_time(hasty, m.c.uuid, &c, &e), &e);
    db_close(&hasty);
    cluster_done(&c);
    made_done(&m);
}

static void a_used_up_pool_times_out(void)
{
    struct err e = ERR_INIT;
    struct made m;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    struct config cfg = {.database_connection = conninfo,
                         .database_pool_size = 1,
                         .database_connect_timeout_ms = 60000,
                         .database_statement_timeout_ms = 60000,
                         .database_pool_wait_ms = 100};
    struct db *small = NULL;
    ASSERT_OK(db_open(&cfg, &small, &e), &e);
    struct call x = {.db = small, .uuid = m.c.uuid};
    hold("LOCK TABLE cluster IN ACCESS EXCLUSIVE MODE");
    pthread_create(&x.t, NULL, do_read, &x);
    CU_ASSERT_TRUE(waiting_backend(0));
    CU_ASSERT_EQUAL(db_ping(small, &e), ERR_SERVICE_DOWN);
    CU_ASSERT_STRING_EQUAL(e.msg, "no database connection became free within 100 ms");
    let_go();
    pthread_join(x.t, NULL);
    CU_ASSERT_EQUAL(x.rc, 0);
    ASSERT_OK(db_ping(small, &e), &e);
    db_close(&small);
    made_done(&m);
}

static void *many_reads(void *arg)
{
    struct call *x = arg;
    for (int i = 0; i < 50 && !x->rc; i++)
        do_read(x);
    return NULL;
}

static void a_small_pool_serves_many_threads(void)
{
    enum { N = 24 };
    struct call x[N];
    struct made m;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    struct db *small = open_db(conninfo, 2, 0);
    for (int i = 0; i < N; i++) {
        x[i] = (struct call){.db = small, .uuid = m.c.uuid};
        pthread_create(&x[i].t, NULL, many_reads, &x[i]);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(x[i].t, NULL);
        CU_ASSERT_EQUAL(x[i].rc, 0);
    }
    CU_ASSERT_TRUE(atoi(sql("SELECT count(*) FROM pg_stat_activity WHERE application_name ="
                            " 'magnum' AND datname = current_database()")) <= 2 + 8);
    db_close(&small);
    made_done(&m);
}

/* --- what the server says --- */

/* Lets every insert into quotas fail with this SQLSTATE, as the server itself would. */
static int insert_failing_with(const char *state, struct err *e)
{
    char query[512];
    snprintf(query, sizeof query,
             "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE"
             " EXCEPTION 'secret detail of the server' USING ERRCODE = '%s'; END $$;"
             "DROP TRIGGER IF EXISTS fail ON quotas;"
             "CREATE TRIGGER fail BEFORE INSERT ON quotas EXECUTE FUNCTION fail()",
             state);
    exec(query);
    struct quota q;
    quota_init(&q);
    q.project_id = str_dup("p");
    q.resource = str_dup("Cluster");
    q.hard_limit = 1;
    int rc = db_quota_insert(db, &q, e);
    quota_done(&q);
    return rc;
}

static void every_state_has_its_code(void)
{
    static const struct {
        const char *state;
        int code;
    } cases[] = {
        {"53100", ERR_CANT_STORE}, {"53200", ERR_UNAVAILABLE}, {"57P01", ERR_UNAVAILABLE},
        {"40001", ERR_BUSY},       {"40P01", ERR_BUSY},        {"58030", ERR_IO},
        {"57014", ERR_TIMEOUT},    {"55P03", ERR_TIMEOUT},     {"25006", ERR_UNAVAILABLE},
        {"42501", ERR_CONFIG},     {"22012", ERR_INTERNAL},    {"XX000", ERR_INTERNAL},
    };
    fresh_db();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = ERR_INIT;
        int rc = insert_failing_with(cases[i].state, &e);
        if (rc != cases[i].code)
            fprintf(stderr, "%s: %d %s\n", cases[i].state, rc, e.msg);
        CU_ASSERT_EQUAL(rc, cases[i].code);
        CU_ASSERT_EQUAL(e.code, cases[i].code);
        CU_ASSERT_PTR_NULL(strstr(e.msg, "secret"));
        CU_ASSERT_PTR_NULL(strstr(e.msg, "INSERT"));
    }
}

/* A real full disk: the database lies in a tablespace on a tiny file system. Needs root. */
static void a_full_disk_is_named(void)
{
    struct err e = ERR_INIT;
    char query[256], command[256];
    const char *dir = pg_dir(server);
    if (geteuid() != 0)
        return;
    snprintf(command, sizeof command,
             "mkdir %s/tiny && mount -t tmpfs -o size=12m,mode=0777 tmpfs %s/tiny && mkdir -m 0700"
             " %s/tiny/ts && chown postgres %s/tiny/ts",
             dir, dir, dir, dir);
    int status = system(command);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "no tmpfs here: the full disk is not tested\n");
        return;
    }
    fresh_db();
    snprintf(query, sizeof query, "CREATE TABLESPACE tiny LOCATION '%s/tiny/ts'", dir);
    exec(query);
    exec("ALTER TABLE ledger SET TABLESPACE tiny");
    struct made m;
    struct operation op;
    struct op_guard g;
    make_cluster(&m, "p", "c", 1);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 600000, &op, &g));
    int rc = 0;
    char name[32];
    struct str noise = STR_INIT; /* so that it does not compress */
    for (unsigned i = 0, x = 1; i < 60000; i++, x = x * 1103515245 + 12345)
        str_append_c(&noise, (char)('!' + (x >> 16) % 90));
    _cleanup_json_ json_t *data = json_pack("{s:s}", "x", str_text(&noise));
    for (int i = 0; i < 1000 && !rc; i++) {
        snprintf(name, sizeof name, "n%d", i);
        rc = db_ledger_declare(db, &g, "node", name, data, &e);
    }
    CU_ASSERT_EQUAL(rc, ERR_CANT_STORE);
    CU_ASSERT_STRING_EQUAL(e.msg, "the database server's disk is full");
    exec("ALTER TABLE ledger SET TABLESPACE pg_default");
    exec("DROP TABLESPACE tiny");
    ASSERT_OK(db_ledger_declare(db, &g, "node", "again", data, &e), &e);
    str_free(&noise);
    operation_done(&op);
    made_done(&m);
}

static void without_a_schema(void)
{
    struct err e = ERR_INIT;
    struct cluster c;
    cluster_init(&c);
    char *info = pg_new_database(server, "fresh");
    struct db *empty = open_db(info, 1, 0);
    CU_ASSERT_EQUAL(db_cluster_get(empty, &everything, "x", &c, &e), ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "magnum-db-manage upgrade"));
    db_close(&empty);
    free(info);
}

static void bad_connection_strings(void)
{
    struct err e = ERR_INIT;
    struct db *d = NULL;
    struct config cfg = {.database_pool_size = 1,
                         .database_connect_timeout_ms = 1000,
                         .database_statement_timeout_ms = 1000,
                         .database_pool_wait_ms = 100};
    cfg.database_connection = "";
    CU_ASSERT_EQUAL(db_open(&cfg, &d, &e), ERR_CONFIG);
    cfg.database_connection = "postgresql://u:hunter2@[broken";
    CU_ASSERT_EQUAL(db_open(&cfg, &d, &e), ERR_CONFIG);
    CU_ASSERT_PTR_NULL(strstr(e.msg, "hunter2"));
    cfg.database_connection = "host=/nonexistent dbname=x password=hunter2";
    CU_ASSERT_EQUAL(db_open(&cfg, &d, &e), ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "/nonexistent"));
    CU_ASSERT_PTR_NULL(strstr(e.msg, "hunter2"));
    CU_ASSERT_PTR_NULL(d);
}

/* --- the server dies --- */

static void a_restarted_server_is_found_again(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct cluster c;
    fresh_db();
    cluster_init(&c);
    make_complete(&m, "p", "c", 1);
    CU_ASSERT_TRUE_FATAL(pg_restart(server));
    ASSERT_OK(db_accept_health(db, m.c.uuid, "UNHEALTHY", NULL, &e), &e);
    ASSERT_OK(db_cluster_get(db, &everything, m.c.uuid, &c, &e), &e);
    CU_ASSERT_STRING_EQUAL(c.health_status, "UNHEALTHY");
    CU_ASSERT_TRUE_FATAL(pg_kill(server));
    /* sessions outlive a killed postmaster until they notice */
    int rc = 0;
    for (int64_t until = clock_mono_ms() + PATIENCE_MS; !rc && clock_mono_ms() < until;)
        rc = db_cluster_get(db, &everything, m.c.uuid, &c, &e);
    CU_ASSERT_EQUAL(rc, ERR_UNAVAILABLE);
    CU_ASSERT_EQUAL(db_accept_health(db, m.c.uuid, "HEALTHY", NULL, &e), ERR_UNAVAILABLE);
    CU_ASSERT_TRUE_FATAL(pg_restart(server));
    ASSERT_OK(db_cluster_get(db, &everything, m.c.uuid, &c, &e), &e);
    CU_ASSERT_STRING_EQUAL(c.health_status, "UNHEALTHY");
    cluster_done(&c);
    made_done(&m);
}

static int start(void)
{
    if (fixture_start() != 0)
        return 1;
    admin = str_fmt("host=%s user=postgres dbname=postgres", pg_dir(server));
    return admin ? 0 : 1;
}

static int stop(void)
{
    char tiny[128];
    snprintf(tiny, sizeof tiny, "%s/tiny", pg_dir(server));
    (void)umount2(tiny, MNT_DETACH); /* fails when a_full_disk_is_named made none */
    free(admin);
    return fixture_stop();
}

TEST_MAIN("db_faults", start, stop, TEST(idle_connections_are_replaced),
          TEST(a_read_is_repeated_once), TEST(a_create_is_repeated_once),
          TEST(a_lost_write_is_reported), TEST(a_slow_statement_times_out),
          TEST(a_silent_server_times_out), TEST(a_used_up_pool_times_out),
          TEST(a_small_pool_serves_many_threads), TEST(every_state_has_its_code),
          TEST(a_full_disk_is_named), TEST(without_a_schema), TEST(bad_connection_strings),
          TEST(a_restarted_server_is_found_again))
