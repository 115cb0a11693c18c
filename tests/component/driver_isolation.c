/* A hostile driver harms nobody: each of its harms is refused or bounded, and meanwhile another
 * driver goes on making clusters. What needs root (own users, cgroups) is asked for as root only.
 * Neighbours: tests/fakes/hostile. */
#include "support/driver_pool.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/jsonx.h"
#include "drivers/confine.h"
#include "drivers/isolation.h"
#include "support/cunit_main.h"

#include <dirent.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define PLAIN "test.hostile.plain"
#define EXEC "test.hostile.exec"
#define GREEDY "test.hostile.greedy"

enum { MEMORY_MB = 64, FILES = 32, TASKS = 16 };

static struct test_pool pool;
static struct record rec;
static char secret[] = "the-conductor's-own-secret-value";
static char aside[128]; /* a directory outside of /tmp, as a real conductor's would be */

/* ---- the neighbour: clusters come and go while harm is tried ---- */

static struct {
    pthread_t id;
    atomic_bool stop;
    atomic_int made;
} neighbour;

static void make_and_remove(const char *cluster)
{
    struct record r;
    record_init(&r);
    _cleanup_json_ json_t *spec = test_spec(cluster, 1, 2, "sim_steps=2,sim_step_ms=0");
    struct coe_call c = test_call(SIM_ID, "create", spec, cluster, NULL);
    CU_ASSERT_EQUAL(test_walk(pool.pool, c, &r, NULL, NULL), MAG_OK);
    CU_ASSERT_EQUAL(test_count_nodes(&pool, cluster, ""), 3);
    c = test_call(SIM_ID, "remove", spec, cluster, NULL);
    CU_ASSERT_EQUAL(test_walk(pool.pool, c, &r, NULL, NULL), MAG_OK);
    CU_ASSERT_EQUAL(test_count_nodes(&pool, cluster, ""), 0);
    record_done(&r);
}

static void *live_next_door(void *arg)
{
    for (int i = 0; !atomic_load(&neighbour.stop) || atomic_load(&neighbour.made) < 2; i++) {
        char cluster[24];
        snprintf(cluster, sizeof cluster, "n%d", i);
        make_and_remove(cluster);
        atomic_fetch_add(&neighbour.made, 1);
    }
    return arg;
}

/* ---- set-up ---- */

static void prepare(void)
{
    const char *build = getenv("MAGNUM_BUILD_DIR");
    test_pool_prepare(&pool);
    _cleanup_free_ char *dirs = str_fmt("%s/plugins,%s/tests/hostile_plugins", build, build);
    test_pool_set(&pool, "drivers.plugin_dirs", dirs);
    snprintf(aside, sizeof aside, "%s/tests/isolation-XXXXXX", build);
    CU_ASSERT_FATAL(mkdtemp(aside) != NULL);
}

static void begin(void)
{
    test_pool_start(&pool, NULL);
    record_init(&rec);
    atomic_store(&neighbour.stop, false);
    atomic_store(&neighbour.made, 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&neighbour.id, NULL, live_next_door, NULL), 0);
}

static void begin_default(void)
{
    prepare();
    begin();
}

static void end(void)
{
    atomic_store(&neighbour.stop, true);
    pthread_join(neighbour.id, NULL);
    CU_ASSERT(atomic_load(&neighbour.made) >= 2);
    make_and_remove("last");
    record_done(&rec);
    test_pool_end(&pool);
    _cleanup_free_ char *config = str_fmt("%s/magnum.yaml", aside);
    (void)unlink(config);
    _cleanup_free_ char *sock = str_fmt("%s/.s.PGSQL.5432", aside);
    (void)unlink(sock);
    CU_ASSERT_EQUAL(rmdir(aside), 0); /* nothing was planted in it */
}

/* One harm. params: taken. The report, or NULL when the host was lost (*r tells). */
static json_t *harm(const char *driver, const char *mode, json_t *params, struct coe_result *r)
{
    static int ops;
    char op[24];
    struct err e = ERR_INIT;
    struct coe_services svc = record_services(&rec);
    json_object_set_new(params, "mode", json_string(mode));
    _cleanup_json_ json_t *spec = json_pack("{s:o}", "params", params);
    struct coe_call c = test_call(driver, "create", spec, "victim", &svc);
    snprintf(op, sizeof op, "harm-%d", ++ops);
    c.op_id = op;
    /* two never answer; whatever else is slow has its time */
    c.budget_ms = str_eq(mode, "log") || str_eq(mode, "frame_half") ? 3000 : 60000;
    *r = (struct coe_result){0};
    json_object_clear(rec.outputs);
    ASSERT_OK(front_coe_call(pool.pool, &c, r, &e), &e);
    return json_incref(json_object_get(rec.outputs, "report"));
}

static json_t *report_of(const char *driver, const char *mode, json_t *params)
{
    struct coe_result r;
    json_t *report = harm(driver, mode, params, &r);
    if (!report)
        fprintf(stderr, "%s %s: rc %d %s %s\n", driver, mode, r.rc, r.err_message, r.died_why);
    CU_ASSERT_EQUAL(r.rc, MAG_OK);
    CU_ASSERT_FALSE(r.host_died);
    coe_result_done(&r);
    CU_ASSERT_FATAL(json_is_object(report));
    return report;
}

static void expect(const json_t *report, const char *key, bool refused)
{
    int64_t got = jsonx_int(report, key, -1);
    if ((got > 0) != refused)
        fprintf(stderr, "%s: %lld\n", key, (long long)got);
    CU_ASSERT_EQUAL(got > 0, refused);
}

/* Processes of this machine that run as the driver's user, or its own threads of them. */
static int tasks_of(const char *driver)
{
    const struct plugin *p = plugin_find(&pool.plugins, driver);
    const struct confine c = confine_decide(pool.cfg, &pool.plugins, p);
    int n = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *entry; d && (entry = readdir(d));) {
        struct stat st;
        char path[300];
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        _cleanup_free_ char *text = NULL;
        snprintf(path, sizeof path, "/proc/%s/status", entry->d_name);
        if (stat(path, &st) < 0 || io_read_file(path, 65536, &text, NULL, NULL) != 0)
            continue;
        const char *uid = strstr(text, "\nUid:"), *threads = strstr(text, "\nThreads:");
        if (uid && threads && strtoul(uid + 5, NULL, 10) == c.uid)
            n += atoi(threads + 9);
    }
    if (d)
        closedir(d);
    return n;
}

static void expect_gone(const char *driver)
{
    int64_t until = clock_mono_ms() + 60000;
    while (tasks_of(driver) > 0 && clock_mono_ms() < until)
        (void)poll(NULL, 0, 10);
    CU_ASSERT_EQUAL(tasks_of(driver), 0);
}

static bool as_root(void)
{
    return geteuid() == 0;
}

/* ---- others ---- */

static void test_memory_of_core(void)
{
    begin_default();
    _cleanup_json_ json_t *r =
        report_of(PLAIN, "memory",
                  json_pack("{s:I,s:I,s:s}", "pid", (json_int_t)getpid(), "address",
                            (json_int_t)(intptr_t)secret, "secret", secret));
    static const char *const ways[] = {"mem", "vm", "trace", "parent", "environ"};
    for (size_t i = 0; i < ARRAY_LEN(ways); i++)
        expect(r, ways[i], true);
    CU_ASSERT_FALSE(jsonx_bool(r, "found", true));
    CU_ASSERT_STRING_EQUAL(secret, "the-conductor's-own-secret-value");
    end();
}

static int listen_as_database(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof sa.sun_path, "%.90s/.s.PGSQL.5432", aside);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 5), 0);
    CU_ASSERT_EQUAL(chmod(sa.sun_path, 0777), 0);
    return fd;
}

static void test_database_and_config(void)
{
    struct err e = ERR_INIT;
    prepare();
    CU_ASSERT_EQUAL(chmod(aside, 0755), 0);
    _cleanup_free_ char *config = str_fmt("%s/magnum.yaml", aside);
    _cleanup_free_ char *sock = str_fmt("%s/.s.PGSQL.5432", aside);
    _cleanup_free_ char *conn = str_fmt("host=%s dbname=magnum", aside);
    ASSERT_OK(io_write_file(config, "password: x", 11, 0644, &e), &e);
    free(pool.cfg->source);
    pool.cfg->source = str_dup(config);
    test_pool_set(&pool, "database.connection", conn);
    int fd = listen_as_database();
    begin();
    for (int i = 0; i < 2; i++) { /* what may start programs may not read the password either */
        _cleanup_json_ json_t *r = report_of(
            i ? EXEC : PLAIN, "files", json_pack("{s:s,s:s}", "config", config, "socket", sock));
        expect(r, "config", true);
        CU_ASSERT_FALSE(jsonx_bool(r, "password", true));
        if (!SANITIZED) {
            expect(r, "socket", true);
            expect(r, "raw", true);
            expect(r, "datagram", true);
        }
        expect(r, "connect", true);
        expect(r, "send", true);
        expect(r, "reconnect", true);
    }
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CU_ASSERT_EQUAL(poll(&p, 1, 0), 0); /* nobody knocked */
    close(fd);
    end();
}

static void test_kill(void)
{
    begin_default();
    _cleanup_json_ json_t *r =
        report_of(PLAIN, "kill", json_pack("{s:I}", "pid", (json_int_t)getpid()));
    expect(r, "direct", true);
    expect(r, "group", true);
    CU_ASSERT_EQUAL(jsonx_int(r, "reached", -1), 0);
    CU_ASSERT_FALSE(jsonx_bool(r, "handle", true));
    json_decref(r);
    r = report_of(EXEC, "kill", json_pack("{s:I}", "pid", (json_int_t)getpid()));
    CU_ASSERT_EQUAL(jsonx_int(r, "reached", -1), 0);
    end();
}

static void test_state_of_others(void)
{
    begin_default();
    for (int i = 0; i < 2; i++) {
        _cleanup_json_ json_t *r =
            report_of(i ? GREEDY : PLAIN, "state", json_pack("{s:s}", "other", pool.dir));
        static const char *const ways[] = {"other",   "proc",    "list",   "system", "passwd",
                                           "uncover", "remount", "chroot", "escape"};
        for (size_t k = 0; k < ARRAY_LEN(ways) - (SANITIZED ? 2 : 0); k++)
            expect(r, ways[k], true);
        if (!SANITIZED)
            expect(r, "tmp", false); /* a place of its own it has */
    }
    struct stat st;
    _cleanup_free_ char *planted = str_fmt("%s/planted", pool.dir);
    CU_ASSERT(stat(planted, &st) < 0);
    CU_ASSERT(stat("/tmp/planted-by-hostile", &st) < 0);
    CU_ASSERT(stat("/usr/lib/planted", &st) < 0);
    end();
}

static void test_rights(void)
{
    static const char *const drivers[] = {PLAIN, EXEC, GREEDY};
    static const char *const ways[] = {"files", "memory", "core", "nice", "others", "user"};
    begin_default();
    for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
        _cleanup_json_ json_t *r = report_of(drivers[i], "rights", json_object());
        for (size_t k = 0; k < (as_root() ? 6 : 5) - (SANITIZED ? 3U : 0); k++)
            expect(r, ways[k == 1 && SANITIZED ? 0 : k], true);
        CU_ASSERT_EQUAL(jsonx_int(r, "now", -1), FILES);
        CU_ASSERT_EQUAL(jsonx_int(r, "no_new_privs", -1), 1);
        if (as_root())
            CU_ASSERT(jsonx_int(r, "uid", 0) >= pool.cfg->drivers_uid_first);
        if (SANITIZED)
            continue;
        expect(r, "keys", true);
        expect(r, "bpf", true);
        expect(r, "ring", true);
    }
    end();
}

static void test_network(void)
{
    begin_default();
    _cleanup_json_ json_t *r = report_of(PLAIN, "network", json_object());
    size_t i;
    json_t *v;
    CU_ASSERT_EQUAL(json_array_size(json_object_get(r, "errors")), 6);
    json_array_foreach(json_object_get(r, "errors"), i, v)
    {
        CU_ASSERT(SANITIZED || json_integer_value(v) == EPERM);
    }
    end();
}

/* ---- the machine ---- */

static void test_forks(void)
{
    begin_default();
    _cleanup_json_ json_t *r = NULL;
    if (!SANITIZED) {
        r = report_of(PLAIN, "forks", json_object());
        CU_ASSERT_EQUAL(jsonx_int(r, "made", -1), 0);
        CU_ASSERT_EQUAL(jsonx_int(r, "errno", -1), EPERM);
        json_decref(r);
    }
    r = report_of(EXEC, "forks", json_object());
    if (as_root() && !SANITIZED) {
        CU_ASSERT(jsonx_int(r, "made", -1) < TASKS);
        CU_ASSERT(tasks_of(EXEC) <= TASKS);
    }
    struct coe_result died;
    CU_ASSERT_PTR_NULL(harm(EXEC, "frame_garbage", json_object(), &died));
    CU_ASSERT(died.host_died);
    coe_result_done(&died);
    if (as_root())
        expect_gone(EXEC);
    end();
}

static void test_threads(void)
{
    begin_default();
    _cleanup_json_ json_t *r = report_of(PLAIN, "threads", json_object());
    /* its cgroup's bound, or at its very start that of its user */
    int64_t bound = TASKS * 2 * pool.cfg->drivers_processes;
    CU_ASSERT(!as_root() || SANITIZED || jsonx_int(r, "made", -1) <= bound);
    end();
}

static void test_memory_hog(void)
{
    struct coe_result res;
    begin_default();
    if (!SANITIZED) {
        _cleanup_json_ json_t *r = report_of(PLAIN, "hog", json_object());
        int64_t mb = jsonx_int(r, "mb", -1);
        CU_ASSERT(mb > 0 && mb <= MEMORY_MB);
    }
    if (as_root() && !SANITIZED) { /* shared memory is the cgroup's to bound: it ends the process */
        _cleanup_json_ json_t *r = harm(PLAIN, "shared_hog", json_object(), &res);
        CU_ASSERT_PTR_NULL(r);
        CU_ASSERT(res.host_died);
        CU_ASSERT_PTR_NOT_NULL(strstr(res.died_why, "signal 9"));
        coe_result_done(&res);
    }
    end();
}

static void test_fd_hog(void)
{
    begin_default();
    _cleanup_json_ json_t *r = report_of(PLAIN, "fds", json_object());
    CU_ASSERT(jsonx_int(r, "opened", -1) < FILES);
    CU_ASSERT_EQUAL(jsonx_int(r, "errno", -1), EMFILE);
    end();
}

static void test_disk_hog(void)
{
    begin_default();
    _cleanup_json_ json_t *r = report_of(PLAIN, "disk", json_object());
    CU_ASSERT(jsonx_int(r, "kb", -1) <= 17 * 1024); /* what a private /tmp holds */
    end();
}

/* It writes as fast as it can until its time is up; the log takes some lines a second of it. */
static void test_log_flood(void)
{
    struct coe_result r;
    begin_default();
    int before = atomic_load(&neighbour.made);
    CU_ASSERT_PTR_NULL(harm(PLAIN, "log", json_object(), &r));
    CU_ASSERT(r.host_died);
    CU_ASSERT_PTR_NOT_NULL(strstr(r.died_why, "no answer within"));
    CU_ASSERT(atomic_load(&neighbour.made) > before);
    coe_result_done(&r);
    end();
}

/* Nobody's children, in a session of their own, end with the driver's process all the same. */
static void test_orphans(void)
{
    begin_default();
    _cleanup_json_ json_t *r = report_of(EXEC, "orphans", json_object());
    CU_ASSERT_EQUAL(jsonx_int(r, "made", -1), 3);
    CU_ASSERT(!as_root() || tasks_of(EXEC) >= 1 + 3);
    struct coe_result died;
    CU_ASSERT_PTR_NULL(harm(EXEC, "frame_garbage", json_object(), &died));
    CU_ASSERT(died.host_died);
    coe_result_done(&died);
    if (as_root())
        expect_gone(EXEC);
    end();
}

/* ---- the conversation ---- */

static atomic_int quarantined;

static void on_quarantine(void *ctx, const char *id, const char *sha256, const char *why)
{
    (void)ctx;
    (void)sha256;
    (void)why;
    if (str_eq(id, PLAIN))
        atomic_fetch_add(&quarantined, 1);
}

static void test_broken_frames(void)
{
    static const struct {
        const char *mode, *why;
    } cases[] = {{"frame_garbage", "unknown frame type"},
                 {"frame_oversized", "large"},
                 {"frame_wrong_id", "another call"},
                 {"frame_wrong_type", "wrong kind"},
                 {"frame_bad_json", "JSON"},
                 {"frame_half", "no answer within"}};
    prepare();
    test_pool_set(&pool, "drivers.quarantine_deaths", "6");
    begin();
    driver_pool_on_quarantine(pool.pool, on_quarantine, NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct coe_result r;
        CU_ASSERT_EQUAL(atomic_load(&quarantined), 0);
        CU_ASSERT_PTR_NULL(harm(PLAIN, cases[i].mode, json_object(), &r));
        CU_ASSERT(r.host_died);
        if (!strstr(r.died_why, cases[i].why))
            fprintf(stderr, "%s: %s\n", cases[i].mode, r.died_why);
        CU_ASSERT_PTR_NOT_NULL(strstr(r.died_why, cases[i].why));
        coe_result_done(&r);
    }
    CU_ASSERT_EQUAL(atomic_load(&quarantined), 1); /* each counted */
    end();
}

/* ---- what is said about it ---- */

static const char *state_of(const json_t *rows, const char *measure)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (str_eq(jsonx_str(row, "measure"), measure))
            return jsonx_str(row, "state");
    }
    return "not said";
}

static json_t *rows_of(const char *driver)
{
    json_decref(report_of(driver, "fds", json_object()));
    json_t *rows = driver_pool_isolation(pool.pool, driver);
    CU_ASSERT_FATAL(json_is_array(rows));
    return rows;
}

static void test_what_is_said(void)
{
    static const char *const measures[] = {"limits",       "process ids",   "file system",
                                           "capabilities", "no new rights", "system calls",
                                           "user",         "cgroup"};
    begin_default();
    _cleanup_json_ json_t *plain = rows_of(PLAIN);
    for (size_t i = 0; i < (as_root() ? 8 : 6) - (SANITIZED ? 3U : 0); i++)
        CU_ASSERT_STRING_EQUAL(state_of(plain, measures[i]), "in force");
    if (SANITIZED)
        CU_ASSERT_STRING_EQUAL(state_of(plain, "system calls"), "not in force");
    CU_ASSERT_PTR_NULL(driver_pool_isolation(pool.pool, "test.nobody"));
    end();

    prepare();
    test_pool_set(&pool, "drivers.isolation", "off");
    test_pool_set(&pool, "drivers.privileged", GREEDY);
    begin();
    _cleanup_json_ json_t *off = rows_of(PLAIN);
    CU_ASSERT_STRING_EQUAL(state_of(off, "all"), "off");
    end();

    prepare();
    test_pool_set(&pool, "drivers.privileged", GREEDY);
    begin();
    _cleanup_json_ json_t *granted = rows_of(GREEDY), *still = rows_of(EXEC);
    CU_ASSERT_STRING_EQUAL(state_of(granted, "all"), "off");
    CU_ASSERT_STRING_EQUAL(state_of(still, "capabilities"), "in force"); /* it did not ask */
    end();
}

/* Strict refuses a driver when a measure can't be taken, and says which. */
static void test_strict(void)
{
    struct err e = ERR_INIT;
    bool ready = false;
    char why[512];
    prepare();
    test_pool_set(&pool, "drivers.isolation", "strict");
    test_pool_set(&pool, "drivers.hidden_paths", "/usr/lib/os-release");
    test_pool_start(&pool, NULL);
    if (as_root() && !SANITIZED)
        ASSERT_OK(front_coe_probe(pool.pool, PLAIN, &ready, why, &e), &e);
    test_pool_end(&pool);
    CU_ASSERT_EQUAL(rmdir(aside), 0);

    prepare();
    test_pool_set(&pool, "drivers.isolation", "strict");
    test_pool_set(&pool, "drivers.uid_first", "0");
    test_pool_start(&pool, NULL);
    CU_ASSERT_EQUAL(front_coe_probe(pool.pool, PLAIN, &ready, why, &e), ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "strict"));
    test_pool_end(&pool);
    CU_ASSERT_EQUAL(rmdir(aside), 0);
}

/* The directory that is made for a driver is its own; through what is made above it others pass to
 * theirs. */
static void test_directories_made_for_a_driver(void)
{
    struct err e = ERR_INIT;
    struct stat st;
    bool ready = false;
    char why[512];
    prepare();
    mode_t mask = umask(022);
    _cleanup_free_ char *above = str_fmt("%s/above", aside);
    _cleanup_free_ char *own = str_fmt("%s/own", above);
    test_pool_set(&pool, "driver_config." SIM_ID ".state_dir", own);
    test_pool_start(&pool, NULL);
    ASSERT_OK(front_coe_probe(pool.pool, SIM_ID, &ready, why, &e), &e);
    test_pool_end(&pool);
    if (as_root()) { /* else the driver makes its own */
        CU_ASSERT(ready);
        CU_ASSERT(stat(own, &st) == 0 && (st.st_mode & 07777) == 0700);
        CU_ASSERT(stat(above, &st) == 0 && (st.st_mode & 07777) == 0711);
    }
    (void)umask(mask);
    (void)rmdir(own);
    (void)rmdir(above);
    CU_ASSERT_EQUAL(rmdir(aside), 0);
}

TEST_MAIN("driver_isolation", NULL, NULL, TEST(test_memory_of_core), TEST(test_database_and_config),
          TEST(test_kill), TEST(test_state_of_others), TEST(test_rights), TEST(test_network),
          TEST(test_forks), TEST(test_threads), TEST(test_memory_hog), TEST(test_fd_hog),
          TEST(test_disk_hog), TEST(test_log_flood), TEST(test_orphans), TEST(test_broken_frames),
          TEST(test_what_is_said), TEST(test_strict), TEST(test_directories_made_for_a_driver))
