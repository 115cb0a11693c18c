/* See conductor_fixture.h. */
#include "component/conductor_fixture.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/uuid.h"
#include "certs/certs.h"
#include "conductor/conductor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>

extern char **environ;
char dir[64];
const char *driver_of_clusters = SIM;
const char *trace_of_creates;

static const char *in_dir(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

int conductors_setup(void)
{
    struct err e = ERR_INIT;
    snprintf(dir, sizeof dir, "/tmp/magnum-conductor-XXXXXX");
    if (!mkdtemp(dir) || certs_key_make(in_dir("seal.key"), &e))
        return 1;
    return fixture_start();
}

static bool remove_tree(const char *path)
{
    char command[160];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    return system(command) == 0;
}

/* A test that failed in its middle has not ended its own. */
static pid_t running[16];

static void note_running(pid_t pid, pid_t instead)
{
    for (size_t i = 0; i < ARRAY_LEN(running); i++)
        if (running[i] == pid) {
            running[i] = instead;
            return;
        }
}

static void kill_leftovers(void)
{
    for (size_t i = 0; i < ARRAY_LEN(running); i++)
        if (running[i]) {
            (void)kill(running[i], SIGKILL);
            (void)waitpid(running[i], NULL, 0);
            running[i] = 0;
        }
}

int conductors_teardown(void)
{
    kill_leftovers();
    bool removed = remove_tree(dir);
    return fixture_stop() || !removed;
}

void fresh_world(void)
{
    struct err e = ERR_INIT;
    kill_leftovers();
    fresh_db();
    CU_ASSERT(remove_tree(in_dir("state")));
    ASSERT_OK(io_mkdirs(in_dir("state"), 0700, &e), &e);
}

/* ---- processes ---- */
enum { ARGS_MAX = 64 };

static void add_option(char **argv, size_t *n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void add_option(char **argv, size_t *n, const char *fmt, ...)
{
    va_list ap;
    CU_ASSERT_FATAL(*n + 2 < ARGS_MAX);
    argv[(*n)++] = strdup("--set");
    va_start(ap, fmt);
    CU_ASSERT_FATAL(vasprintf(&argv[(*n)++], fmt, ap) > 0);
    va_end(ap);
}

static pid_t spawn(char **argv, const char *log)
{
    posix_spawn_file_actions_t files;
    pid_t pid = 0;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 2, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int rc = posix_spawn(&pid, argv[0], &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    CU_ASSERT_EQUAL_FATAL(rc, 0);
    return pid;
}

static void log_path(const char *host, char ret[128])
{
    snprintf(ret, 128, "%s/%s.log", dir, host);
}

char *conductor_log(const struct process *p)
{
    char path[128], *text = NULL;
    struct err e = ERR_INIT;
    size_t len = 0;
    log_path(p->host, path);
    ASSERT_OK(io_read_file(path, 64 << 20, &text, &len, &e), &e);
    return text;
}

/* What failed is a conductor's doing, so its own words stand beside the failure: how it ended, or
 * else what it holds at this moment, and the end of its log. */
static void show_log(const char *name)
{
    enum { TAIL = 6000 };
    char *text = NULL;
    struct err e = ERR_INIT;
    size_t len = 0;
    if (io_read_file(in_dir(name), 64 << 20, &text, &len, &e) == 0)
        fprintf(stderr, "%s, its end:\n%s\n", name, text + (len > TAIL ? len - TAIL : 0));
    free(text);
}

static void show_conductors(void)
{
    int status;
    for (size_t i = 0; i < ARRAY_LEN(running); i++) {
        if (!running[i])
            continue;
        if (waitpid(running[i], &status, WNOHANG) == running[i]) {
            fprintf(stderr, "conductor %d is gone: wait status 0x%x\n", (int)running[i],
                    (unsigned)status);
            running[i] = 0;
        } else {
            (void)kill(running[i], SIGUSR1);
        }
    }
    (void)poll(NULL, 0, 1000); /* for their dumps; nothing hangs on them */
    DIR *d = opendir(dir);
    for (struct dirent *f; d && (f = readdir(d));)
        if (strstr(f->d_name, ".log"))
            show_log(f->d_name);
    if (d)
        (void)closedir(d);
    fprintf(stderr, "operations: %s\n",
            sql("SELECT string_agg(concat_ws(' ', id, kind, status, stage, code, reason, message,"
                " 'attempt', attempt, 'steps', steps, 'due', due_at - now(), 'owner', lease_owner,"
                " 'until', lease_until - now(), 'superseded by', superseded_by), E'\\n  '"
                " ORDER BY created_at) FROM operation"));
}

struct process start_conductor(const char *host, ...)
{
    const char *build = getenv("MAGNUM_BUILD_DIR");
    char *argv[ARGS_MAX] = {NULL}, log[128], query[160];
    struct process p = {.pid = 0};
    size_t n = 0;
    va_list ap;
    CU_ASSERT_PTR_NOT_NULL_FATAL(build);
    snprintf(p.host, sizeof p.host, "%s", host);
    /* it must not outlive a test that is killed */
    argv[n++] = strdup("/usr/bin/setpriv");
    argv[n++] = strdup("--pdeathsig");
    argv[n++] = strdup("KILL");
    CU_ASSERT_FATAL(asprintf(&argv[n++], "%s/bin/magnum-conductor", build) > 0);
    add_option(argv, &n, "conductor.host=%s", host);
    add_option(argv, &n, "database.connection=%s", conninfo);
    add_option(argv, &n, "certificates.key_file=%s/seal.key", dir);
    add_option(argv, &n, "drivers.plugin_dirs=%s/plugins", build);
    add_option(argv, &n, "drivers.check_owner=false");
    add_option(argv, &n, "drivers.require_enable=false");
    add_option(argv, &n, "drivers.kill_grace_ms=300");
    add_option(argv, &n, "drivers.term_grace_ms=200");
    add_option(argv, &n, "drivers.start_timeout_ms=60000"); /* a slow start is no crash */
    add_option(argv, &n, "driver_config." SIM ".state_dir=%s/state", dir);
    add_option(argv, &n, "conductor.heartbeat_ms=300");
    add_option(argv, &n, "conductor.backoff_ms=50");
    add_option(argv, &n, "conductor.scan_interval_ms=50"); /* nobody wakes it */
    va_start(ap, host);
    for (const char *option; (option = va_arg(ap, const char *));)
        add_option(argv, &n, "%s", option);
    va_end(ap);
    log_path(host, log);
    (void)unlink(log);
    p.pid = spawn(argv, log);
    note_running(0, p.pid);
    for (size_t i = 0; i < n; i++)
        free(argv[i]);
    snprintf(query, sizeof query,
             "SELECT count(*) FROM magnum_service WHERE host = '%s' AND endpoint IS NOT NULL",
             host);
    for (int64_t until = clock_mono_ms() + PATIENCE_MS; strcmp(sql(query), "1") != 0;) {
        bool ended = waitpid(p.pid, NULL, WNOHANG) != 0;
        if (ended || clock_mono_ms() > until) {
            _cleanup_free_ char *said = conductor_log(&p);
            fprintf(stderr, "conductor %s did not come up: %s\n", host, said);
            CU_FAIL_FATAL("no conductor");
        }
        (void)poll(NULL, 0, 10);
    }
    return p;
}

int end_conductor(struct process *p, int sig)
{
    int status = 0;
    if (!p->pid)
        return 0;
    CU_ASSERT_EQUAL(kill(p->pid, sig), 0);
    for (int64_t until = clock_mono_ms() + 60000; waitpid(p->pid, &status, WNOHANG) == 0;) {
        CU_ASSERT_FATAL(clock_mono_ms() < until);
        (void)poll(NULL, 0, 5);
    }
    note_running(p->pid, 0);
    p->pid = 0;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- in this process ---- */
struct here here;

static void set_option(const char *name, const char *value)
{
    struct err e = ERR_INIT;
    ASSERT_OK(config_set(here.cfg, name, value, &e), &e);
}

static void set_path(const char *name, const char *base, const char *rest)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", base, rest);
    set_option(name, path);
}

void configure_here(const char *option, const char *value)
{
    const char *build = getenv("MAGNUM_BUILD_DIR");
    struct err e = ERR_INIT;
    CU_ASSERT_PTR_NOT_NULL_FATAL(build);
    fresh_world();
    ASSERT_OK(config_load("/dev/null", &here.cfg, &e), &e);
    set_option("database.connection", conninfo);
    set_path("certificates.key_file", dir, "/seal.key");
    set_path("drivers.plugin_dirs", build, "/plugins");
    set_path("drivers.host_program", build, "/bin/magnum-driver-host");
    set_option("drivers.check_owner", "false");
    set_option("drivers.require_enable", "false");
    set_path("driver_config." SIM ".state_dir", dir, "/state");
    set_option("conductor.scan_interval_ms", "50"); /* nobody wakes it */
    /* what a machine that stands still for seconds would lose or end */
    set_option("conductor.lease_ms", "180000");
    set_option("conductor.validate_budget_ms", "60000");
    set_option("drivers.start_timeout_ms", "60000");
    set_option("rpc.peer_timeout_ms", "60000");
    if (option)
        set_option(option, value);
}

void start_here(const char *option, const char *value)
{
    struct err e = ERR_INIT;
    configure_here(option, value);
    ASSERT_OK(conductor_start(here.cfg, db, &here.conductor, &e), &e);
}

void stop_here(void)
{
    conductor_stop(&here.conductor);
    CU_ASSERT_PTR_NULL(here.conductor);
    config_free(&here.cfg);
}

/* ---- requests ---- */
static json_t *labels_json(const char *labels)
{
    struct strv pairs = STRV_INIT;
    json_t *o = json_object();
    CU_ASSERT_EQUAL(strv_split(&pairs, labels, ','), 0);
    for (size_t i = 0; i < pairs.n; i++) {
        char *eq = strchr(pairs.v[i], '=');
        CU_ASSERT_PTR_NOT_NULL_FATAL(eq);
        *eq = '\0';
        json_object_set_new(o, pairs.v[i], json_string(eq + 1));
    }
    strv_free(&pairs);
    return o;
}

static void group(struct nodegroup *g, const char *name, const char *role, int64_t count)
{
    nodegroup_init(g);
    g->name = str_dup(name);
    g->role = str_dup(role);
    g->node_count = count;
    g->is_default = true;
    g->labels = json_object();
}

void create_until(struct made *m, const char *name, int64_t workers, const char *labels,
                  int64_t deadline_ms)
{
    struct nodegroup ngs[2];
    struct err e = ERR_INIT;
    cluster_init(&m->c);
    operation_init(&m->op);
    m->c.name = str_dup(name);
    m->c.project_id = str_dup("p");
    m->c.user_id = str_dup("u");
    m->c.cluster_template_id = str_dup(template.uuid);
    m->c.labels = labels_json(labels);
    m->c.driver_id = str_dup(driver_of_clusters);
    m->op.driver_id = str_dup(driver_of_clusters);
    m->op.request_id = str_dup("req-test");
    m->op.traceparent = str_dup(trace_of_creates);
    m->op.deadline_at = clock_wall_us() + deadline_ms * 1000;
    group(&ngs[0], "default-master", "master", 1);
    group(&ngs[1], "default-worker", "worker", workers);
    ASSERT_OK(db_accept_create(db, &m->c, &template, ngs, 2, &m->op, NULL, 100000, NULL, &e), &e);
    nodegroup_done(&ngs[0]);
    nodegroup_done(&ngs[1]);
}

void create(struct made *m, const char *name, int64_t workers, const char *labels)
{
    create_until(m, name, workers, labels, 600000);
}

void request_until(const char *cluster, const char *kind, const struct db_change *ch,
                   int64_t deadline_ms, char id[40])
{
    struct operation op;
    struct err e = ERR_INIT;
    operation_init(&op);
    op.kind = str_dup(kind);
    op.user_id = str_dup("u");
    op.deadline_at = clock_wall_us() + deadline_ms * 1000;
    ASSERT_OK(db_accept_change(db, cluster, &op, ch, NULL, &e), &e);
    snprintf(id, 40, "%s", op.id);
    operation_done(&op);
}

void request(const char *cluster, const char *kind, const struct db_change *ch, char id[40])
{
    request_until(cluster, kind, ch, 600000, id);
}

void scale_to(const char *cluster, int64_t workers, char id[40])
{
    char query[160];
    struct db_change ch = DB_CHANGE_INIT;
    snprintf(query, sizeof query,
             "SELECT uuid FROM nodegroup WHERE cluster_id = '%s' AND name = 'default-worker'",
             cluster);
    _cleanup_free_ char *worker = strdup(sql(query));
    ch.nodegroup = worker;
    ch.node_count = workers;
    request(cluster, "scale", &ch, id);
}

/* ---- looking ---- */
void await_sql(const char *query, const char *answer)
{
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    const char *got;
    while (strcmp(got = sql(query), answer) != 0) {
        if (clock_mono_ms() > until) {
            fprintf(stderr, "%s\n  is \"%s\", not \"%s\"\n", query, got, answer);
            show_conductors();
            CU_FAIL_FATAL("waited in vain");
        }
        (void)poll(NULL, 0, 10);
    }
}

const char *op_value(const char *operation, const char *column)
{
    char query[1000];
    snprintf(query, sizeof query, "SELECT %s FROM operation WHERE id = '%s'", column, operation);
    return sql(query);
}

void await(const char *operation, const char *status)
{
    char query[200];
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    snprintf(query, sizeof query, "SELECT status FROM operation WHERE id = '%s'", operation);
    while (strcmp(sql(query), status) != 0) {
        bool ended = op_status_final(sql(query));
        if ((ended && strcmp(sql(query), status) != 0) || clock_mono_ms() > until) {
            fprintf(stderr, "operation %s is %s; expected %s\n", operation, sql(query), status);
            show_conductors();
            CU_FAIL_FATAL("operation did not get there");
        }
        (void)poll(NULL, 0, 10);
    }
}

int node_files(const char *cluster)
{
    char path[160];
    int n = 0;
    snprintf(path, sizeof path, "%s/state/mag-%s", dir, cluster);
    DIR *d = opendir(path);
    if (!d)
        return errno == ENOENT ? -1 : -2;
    for (struct dirent *f; (f = readdir(d));)
        n += strncmp(f->d_name, "mag-", 4) == 0;
    closedir(d);
    return n;
}
