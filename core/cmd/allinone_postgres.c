/* See allinone_postgres.h. */
#include "cmd/allinone_postgres.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/parse.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

enum {
    INITDB_TIMEOUT_MS = 120000,
    START_TIMEOUT_MS = 120000, /* crash recovery after a power cut may take its time */
    LEFTOVER_TIMEOUT_MS = 30000,
    NEEDED_MB = 80, /* a fresh data directory and its first write-ahead log */
};
#define SOCKET_NAME "/.s.PGSQL.5432.lock"
#define DATABASE_USER "magnum"
#define DATABASE_PORT                                                                              \
    "5432" /* only a part of the socket's name; said so that PGPORT can't change it */

static bool has_programs(const char *dir)
{
    _cleanup_free_ char *initdb = str_fmt("%s/initdb", dir);
    _cleanup_free_ char *server = str_fmt("%s/postgres", dir);
    return initdb && server && access(initdb, X_OK) == 0 && access(server, X_OK) == 0;
}

/* Debian keeps each major version in a directory of its own; `major` 0 = the newest. */
static char *find_debian(int major)
{
    static const char base[] = "/usr/lib/postgresql";
    int64_t best = 0;
    DIR *d = opendir(base);
    if (!d)
        return NULL;
    for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
        int64_t v = 0;
        if (!parse_i64(entry->d_name, 1, 999, &v) || v <= best || (major && v != major))
            continue;
        _cleanup_free_ char *bin = str_fmt("%s/%s/bin", base, entry->d_name);
        if (bin && has_programs(bin))
            best = v;
    }
    (void)closedir(d);
    return best ? str_fmt("%s/%lld/bin", base, (long long)best) : NULL;
}

static char *find_on_path(void)
{
    const char *path = getenv("PATH");
    _cleanup_strv_ struct strv dirs = STRV_INIT;
    if (!path || strv_split(&dirs, path, ':') != 0)
        return NULL;
    for (size_t i = 0; i < dirs.n; i++)
        if (has_programs(dirs.v[i]))
            return str_dup(dirs.v[i]);
    return NULL;
}

/* Major version the data directory was made with; 0 = there is none yet. */
static int data_version(const char *data_dir)
{
    _cleanup_free_ char *path = str_fmt("%s/PG_VERSION", data_dir);
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    int64_t v = 0;
    if (!path || io_read_file(path, 64, &text, &len, NULL) != 0)
        return 0;
    text[strcspn(text, "\n")] = '\0';
    return parse_i64(text, 1, 999, &v) ? (int)v : 0;
}

static int find_programs(struct private_pg *pg, const char *bin_dir, struct err *e)
{
    int major = data_version(pg->data_dir);
    if (!str_blank(bin_dir)) {
        if (!has_programs(bin_dir))
            return err_set(e, ERR_CONFIG, "allinone.postgres_bin: no initdb and postgres in %s",
                           bin_dir);
        pg->bin_dir = str_dup(bin_dir);
    } else {
        pg->bin_dir = find_debian(major);
        if (!pg->bin_dir)
            pg->bin_dir = find_on_path();
    }
    if (!pg->bin_dir && major)
        return err_set(e, ERR_CONFIG,
                       "%s was made by PostgreSQL %d, which isn't installed: apt-get install "
                       "postgresql-%d",
                       pg->data_dir, major, major);
    if (!pg->bin_dir)
        return err_set(e, ERR_CONFIG,
                       "PostgreSQL isn't installed: apt-get install postgresql, or set "
                       "allinone.postgres_bin");
    return 0;
}

/* PostgreSQL refuses to run as root. */
static int choose_user(struct private_pg *pg, struct err *e)
{
    if (geteuid() != 0)
        return 0;
    errno = 0;
    const struct passwd *pw = getpwnam("postgres");
    if (!pw)
        return err_set(e, ERR_CONFIG,
                       "PostgreSQL can't run as root and there is no user `postgres`: apt-get "
                       "install postgresql");
    pg->change_user = true;
    pg->uid = pw->pw_uid;
    pg->gid = pw->pw_gid;
    return 0;
}

/* Every directory above the data must let the user postgres through. */
static int check_passage(const struct private_pg *pg, struct err *e)
{
    if (!pg->change_user)
        return 0;
    _cleanup_free_ char *path = str_dup(pg->data_dir);
    if (!path)
        return err_nomem(e);
    for (char *slash = strrchr(path, '/'); slash && slash != path; slash = strrchr(path, '/')) {
        *slash = '\0';
        struct stat st;
        if (stat(path, &st) < 0)
            return err_errno(e, errno, "cannot look at %s", path);
        if (!(st.st_mode & S_IXOTH) && st.st_uid != pg->uid)
            return err_set(e, ERR_CONFIG,
                           "PostgreSQL runs as the user postgres, which may not enter %s: chmod "
                           "o+x it or choose another --state-dir",
                           path);
    }
    return 0;
}

static int make_owned_dir(const struct private_pg *pg, const char *path, struct err *e)
{
    int rc = io_mkdirs(path, 0700, e);
    if (rc != 0)
        return rc;
    if (pg->change_user && chown(path, pg->uid, pg->gid) < 0)
        return err_errno(e, errno, "cannot give %s to the user postgres", path);
    return 0;
}

static bool owned_and_private(const struct private_pg *pg, const char *path)
{
    struct stat st;
    uid_t owner = pg->change_user ? pg->uid : geteuid();
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == owner &&
           (st.st_mode & 07777) == 0700;
}

/* A socket path holds 107 bytes. When the state directory is too deep for that the socket lies in
 * a short directory instead, whose name is kept in the state for the next start. */
static int choose_socket_dir(struct private_pg *pg, const char *state_dir, struct err *e)
{
    struct sockaddr_un sa;
    pg->socket_dir = str_fmt("%s/run", state_dir);
    if (!pg->socket_dir)
        return err_nomem(e);
    if (strlen(pg->socket_dir) + strlen(SOCKET_NAME) < sizeof sa.sun_path)
        return make_owned_dir(pg, pg->socket_dir, e);
    _cleanup_free_ char *record = str_fmt("%s/socket-dir", state_dir);
    _cleanup_free_ char *known = NULL;
    if (!record)
        return err_nomem(e);
    if (io_read_file(record, 200, &known, NULL, NULL) == 0 && owned_and_private(pg, known)) {
        free(pg->socket_dir);
        pg->socket_dir = TAKE_PTR(known);
        return 0;
    }
    free(pg->socket_dir);
    pg->socket_dir = str_dup(geteuid() == 0 ? "/run/magnum-XXXXXX" : "/tmp/magnum-XXXXXX");
    if (!pg->socket_dir)
        return err_nomem(e);
    if (!mkdtemp(pg->socket_dir))
        return err_errno(e, errno, "cannot make a directory for the database's socket");
    int rc = make_owned_dir(pg, pg->socket_dir, e);
    return rc != 0 ? rc : io_write_file(record, pg->socket_dir, strlen(pg->socket_dir), 0600, e);
}

/* A short-lived helper run as the database's user, with its output in the server's log. */
static int tool_init(const struct private_pg *pg, struct child *c, const char *name)
{
    child_init(c, name, SIGKILL);
    c->change_user = pg->change_user;
    c->uid = pg->uid;
    c->gid = pg->gid;
    c->log_path = str_dup(pg->log_path);
    if (!c->log_path || child_setenv(c, "LC_ALL", "C") != 0)
        return ERR_NOMEM;
    return child_arg(c, "%s/%s", pg->bin_dir, name);
}

static int run_initdb(const struct private_pg *pg, const char *dir, int stop_fd, struct err *e)
{
    struct child c;
    int rc = tool_init(pg, &c, "initdb");
    if (rc != 0 || child_arg(&c, "--pgdata=%s", dir) != 0 ||
        child_arg(&c, "--username=" DATABASE_USER) != 0 || child_arg(&c, "--auth=trust") != 0 ||
        child_arg(&c, "--encoding=UTF8") != 0 || child_arg(&c, "--locale=C") != 0)
        rc = err_nomem(e);
    if (rc == 0)
        rc = child_run(&c, stop_fd, INITDB_TIMEOUT_MS, e);
    child_done(&c);
    return rc;
}

static int run_create_database(const struct private_pg *pg, const char *dir, int stop_fd,
                               struct err *e)
{
    struct child c;
    int rc = tool_init(pg, &c, "postgres");
    c.input = str_dup("CREATE DATABASE " DATABASE_USER ";\n");
    if (rc != 0 || !c.input || child_arg(&c, "--single") != 0 || child_arg(&c, "-D") != 0 ||
        child_arg(&c, "%s", dir) != 0 || child_arg(&c, "template1") != 0)
        rc = err_nomem(e);
    if (rc == 0)
        rc = child_run(&c, stop_fd, INITDB_TIMEOUT_MS, e);
    child_done(&c);
    return rc;
}

static int remove_tree(const char *dir, struct err *e);

static int remove_entry(int dirfd_, const char *dir, const char *name, struct err *e)
{
    if (unlinkat(dirfd_, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return err_errno(e, errno, "cannot remove %s/%s", dir, name);
    _cleanup_free_ char *path = str_fmt("%s/%s", dir, name);
    return path ? remove_tree(path, e) : err_nomem(e);
}

static int remove_tree(const char *dir, struct err *e)
{
    DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT ? 0 : err_errno(e, errno, "cannot open %s", dir);
    int rc = 0;
    for (struct dirent *entry = readdir(d); entry && rc == 0; entry = readdir(d))
        if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
            rc = remove_entry(dirfd(d), dir, entry->d_name, e);
    (void)closedir(d);
    if (rc == 0 && rmdir(dir) < 0)
        rc = err_errno(e, errno, "cannot remove %s", dir);
    return rc;
}

static int check_room(const char *state_dir, struct err *e)
{
    struct statvfs fs;
    if (statvfs(state_dir, &fs) < 0)
        return err_errno(e, errno, "cannot look at %s", state_dir);
    unsigned long long free_mb = (unsigned long long)fs.f_bavail * fs.f_frsize >> 20;
    if (free_mb >= NEEDED_MB)
        return 0;
    return err_set(e, ERR_CANT_STORE,
                   "not enough room in %s: the database needs %d MB, %llu MB are free", state_dir,
                   (int)NEEDED_MB, free_mb);
}

/* The rename must outlast a power cut: what is accepted afterwards lies in that directory. */
static int publish_data(const char *fresh, const char *data_dir, const char *state_dir,
                        struct err *e)
{
    if (rename(fresh, data_dir) < 0)
        return err_errno(e, errno, "cannot rename %s", fresh);
    _cleanup_close_ int fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return err_errno(e, errno, "cannot sync directory %s", state_dir);
    return 0;
}

/* The data directory appears under its name only when it is complete: a start that was cut short
 * in the middle begins anew. */
static int make_data(struct private_pg *pg, const char *state_dir, int stop_fd, struct err *e)
{
    _cleanup_free_ char *fresh = str_fmt("%s.new", pg->data_dir);
    if (!fresh)
        return err_nomem(e);
    int rc = check_room(state_dir, e);
    if (rc == 0)
        rc = remove_tree(fresh, e);
    if (rc == 0)
        rc = make_owned_dir(pg, fresh, e);
    if (rc == 0)
        rc = run_initdb(pg, fresh, stop_fd, e);
    if (rc == 0)
        rc = run_create_database(pg, fresh, stop_fd, e);
    if (rc == 0)
        rc = publish_data(fresh, pg->data_dir, state_dir, e);
    if (rc != 0)
        (void)remove_tree(fresh, NULL); /* ignoring: the next start tries again */
    return rc;
}

int private_pg_prepare(struct private_pg *pg, const char *state_dir, const char *bin_dir,
                       int stop_fd, bool *made, struct err *e)
{
    *pg = (struct private_pg){.version = 0};
    child_init(&pg->server, "PostgreSQL", SIGINT);
    pg->data_dir = str_fmt("%s/pg", state_dir);
    pg->log_path = str_fmt("%s/log/postgres.log", state_dir);
    if (!pg->data_dir || !pg->log_path)
        return err_nomem(e);
    int rc = find_programs(pg, bin_dir, e);
    if (rc == 0)
        rc = choose_user(pg, e);
    if (rc == 0)
        rc = check_passage(pg, e);
    if (rc == 0)
        rc = choose_socket_dir(pg, state_dir, e);
    if (rc != 0)
        return rc;
    *made = data_version(pg->data_dir) == 0;
    if (*made)
        rc = make_data(pg, state_dir, stop_fd, e);
    if (rc == 0)
        pg->version = data_version(pg->data_dir);
    return rc;
}

/* ---- starting ---- */

/* PostgreSQL's processes all have the data directory as their working directory. */
static int a_process_in(const char *data_dir)
{
    DIR *d = opendir("/proc");
    if (!d)
        return 0;
    int found = 0;
    for (struct dirent *entry = readdir(d); entry && !found; entry = readdir(d)) {
        int64_t pid = 0;
        char link[64], cwd[4096];
        if (!parse_i64(entry->d_name, 1, INT32_MAX, &pid))
            continue;
        (void)snprintf(link, sizeof link, "/proc/%lld/cwd", (long long)pid);
        ssize_t n = readlink(link, cwd, sizeof cwd - 1);
        if (n < 0)
            continue;
        cwd[n] = '\0';
        if (str_eq(cwd, data_dir))
            found = (int)pid;
    }
    (void)closedir(d);
    return found;
}

static int64_t recorded_pid(const char *pid_file)
{
    _cleanup_free_ char *text = NULL;
    int64_t pid = 0;
    if (io_read_file(pid_file, 4096, &text, NULL, NULL) != 0)
        return 0;
    text[strcspn(text, "\n")] = '\0';
    return parse_i64(text, 1, INT32_MAX, &pid) ? pid : 0;
}

/* After a kill -9 of magnum-allinone its server is still shutting down, and after one of the server
 * its backends may still run: wait for all of them, and push after a while. Only with nobody left
 * in the directory is a postmaster.pid stale for sure (its number may belong to a stranger by now).
 */
static int clear_leftovers(const struct private_pg *pg, int stop_fd, struct err *e)
{
    _cleanup_free_ char *pid_file = str_fmt("%s/postmaster.pid", pg->data_dir);
    _cleanup_free_ char *real = realpath(pg->data_dir, NULL);
    if (!pid_file || !real)
        return err_nomem(e);
    if (access(pid_file, F_OK) < 0)
        return 0;
    int64_t begin = clock_mono_ms(), leader = recorded_pid(pid_file);
    int signal = SIGINT;
    for (int pid = a_process_in(real); pid; pid = a_process_in(real)) {
        int64_t waited = clock_mono_ms() - begin;
        if (waited > LEFTOVER_TIMEOUT_MS)
            return err_set(e, ERR_UNAVAILABLE, "an earlier PostgreSQL (pid %d) doesn't end", pid);
        if (waited > LEFTOVER_TIMEOUT_MS / 2)
            signal = SIGQUIT;
        /* the leader stops the others; without one they are told one by one */
        _cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (fd < 0)
            continue;
        (void)kill(pid, pid == leader ? signal : SIGTERM);
        struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
        (void)poll(fds, 2, 1000);
        if (fds[1].revents)
            return err_set(e, ERR_CANCELLED, "stopped");
    }
    if (unlink(pid_file) < 0 && errno != ENOENT)
        return err_errno(e, errno, "cannot remove %s", pid_file);
    return 0;
}

static int add_settings(struct child *c, const struct private_pg *pg)
{
    static const char *const settings[] = {
        "listen_addresses=", ("port=" DATABASE_PORT), "unix_socket_permissions=0700",
        "shared_buffers=32MB", "max_connections=200", "max_wal_size=256MB", "jit=off",
        "max_parallel_workers_per_gather=0", "log_line_prefix=%m [%p] ",
        /* libpq's own keepalives don't exist on a Unix socket; abandoned transactions must end */
        "idle_in_transaction_session_timeout=60s"};
    if (child_arg(c, "-D") != 0 || child_arg(c, "%s", pg->data_dir) != 0 ||
        child_arg(c, "-c") != 0 || child_arg(c, "unix_socket_directories=%s", pg->socket_dir) != 0)
        return ERR_NOMEM;
    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        if (child_arg(c, "-c") != 0 || child_arg(c, "%s", settings[i]) != 0)
            return ERR_NOMEM;
    return 0;
}

/* The eighth line of postmaster.pid is "ready" once connections are accepted. */
static bool is_ready(const char *pid_file, pid_t pid)
{
    _cleanup_free_ char *text = NULL;
    if (recorded_pid(pid_file) != pid || io_read_file(pid_file, 4096, &text, NULL, NULL) != 0)
        return false;
    const char *line = text;
    for (int i = 1; i < 8 && line; i++) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return line && str_starts(line, "ready");
}

int private_pg_start(struct private_pg *pg, int stop_fd, struct err *e)
{
    int rc = clear_leftovers(pg, stop_fd, e);
    if (rc != 0)
        return rc;
    struct child *c = &pg->server;
    if (c->argv.n == 0 && (tool_init(pg, c, "postgres") != 0 || add_settings(c, pg) != 0))
        return err_nomem(e);
    c->name = "PostgreSQL";
    c->death_signal = SIGINT; /* "fast" shutdown, should magnum-allinone be killed */
    _cleanup_free_ char *pid_file = str_fmt("%s/postmaster.pid", pg->data_dir);
    if (!pid_file)
        return err_nomem(e);
    rc = child_start(c, e);
    if (rc != 0)
        return rc;
    int64_t until = clock_mono_ms() + START_TIMEOUT_MS;
    while (!is_ready(pid_file, c->pid)) {
        struct pollfd stop = {.fd = stop_fd, .events = POLLIN};
        if (child_wait(c, stop_fd, 5)) {
            _cleanup_free_ char *why = child_last_line(c);
            return err_set(e, ERR_UNAVAILABLE, "PostgreSQL did not start: %s", why ? why : "");
        }
        if (poll(&stop, 1, 0) > 0) {
            private_pg_stop(pg, 10000, -1);
            return err_set(e, ERR_CANCELLED, "stopped");
        }
        if (clock_mono_ms() > until) {
            private_pg_stop(pg, 10000, -1);
            return err_set(e, ERR_TIMEOUT, "PostgreSQL was not ready within %d s",
                           START_TIMEOUT_MS / 1000);
        }
    }
    return 0;
}

void private_pg_stop(struct private_pg *pg, int64_t grace_ms, int hurry_fd)
{
    struct child *c = &pg->server;
    if (c->pid == 0)
        return;
    (void)kill(c->pid, SIGINT);
    if (!child_wait(c, hurry_fd, grace_ms))
        (void)child_stop(c, SIGQUIT, 5000, -1);
}

char *private_pg_connection(const struct private_pg *pg)
{
    _cleanup_str_ struct str t = STR_INIT;
    str_append(&t, "host='");
    for (const char *c = pg->socket_dir; *c; c++) {
        if (*c == '\\' || *c == '\'')
            str_append_c(&t, '\\');
        str_append_c(&t, *c);
    }
    str_append(&t, "' port=" DATABASE_PORT " user=" DATABASE_USER " dbname=" DATABASE_USER);
    return str_take(&t);
}

void private_pg_done(struct private_pg *pg)
{
    private_pg_stop(pg, 10000, -1);
    child_done(&pg->server);
    free(TAKE_PTR(pg->bin_dir));
    free(TAKE_PTR(pg->data_dir));
    free(TAKE_PTR(pg->socket_dir));
    free(TAKE_PTR(pg->log_path));
}
