/* See allinone_run.h. */
#include "cmd/allinone_run.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "certs/certs.h"
#include "cmd/allinone_internal.h"
#include "db/db_migrate.h"
#include "db/db_service.h"
#include "drivers/manifest.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
    READY_TIMEOUT_MS = 30000,
    PORT_WAIT_MS = 2000, /* a killed API of an earlier start may still hold the port */
};

static double seconds_since(int64_t begin_ms)
{
    return (double)(clock_mono_ms() - begin_ms) / 1000.0;
}

/* Sets an option here and in the children: through the environment, or, since ids of drivers can't
 * stand in a variable's name, on the conductor's command line. */
static int set_option(struct allinone *a, const char *name, const char *value, struct err *e)
{
    int rc = config_set(a->cfg, name, value, e);
    if (rc != 0)
        return rc;
    if (str_starts(name, "driver_config.")) {
        _cleanup_free_ char *set = str_fmt("%s=%s", name, value);
        return set && strv_add(&a->driver_sets, set) == 0 ? 0 : err_nomem(e);
    }
    _cleanup_free_ char *line = str_fmt("MAGNUM_%s=%s", name, value);
    if (!line)
        return err_nomem(e);
    for (char *c = line; *c != '='; c++)
        *c = *c == '.' ? '_' : (char)toupper((unsigned char)*c);
    return strv_add(&a->env, line) == 0 ? 0 : err_nomem(e);
}

static int apply_options(struct allinone *a, const struct allinone_options *o, struct err *e)
{
    int rc = config_load(o->config, &a->cfg, e);
    for (size_t i = 0; rc == 0 && i < o->sets->n; i++) {
        _cleanup_free_ char *name = str_dup(o->sets->v[i]);
        if (!name)
            return err_nomem(e);
        char *eq = strchr(name, '=');
        *eq = '\0';
        rc = set_option(a, name, eq + 1, e);
    }
    if (rc == 0 && o->port)
        rc = set_option(a, "api.port", o->port, e);
    if (rc == 0 && !str_blank(a->cfg->source)) {
        _cleanup_free_ char *path = realpath(a->cfg->source, NULL);
        _cleanup_free_ char *line = path ? str_fmt("MAGNUM_CONFIG=%s", path) : NULL;
        if (!line || strv_add(&a->env, line) != 0)
            rc = err_nomem(e);
    }
    return rc;
}

static char *default_state_dir(void)
{
    if (geteuid() == 0)
        return str_dup("/var/lib/magnum");
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (!str_blank(state))
        return str_fmt("%s/magnum", state);
    return str_blank(home) ? NULL : str_fmt("%s/.local/state/magnum", home);
}

static int open_state_dir(struct allinone *a, const char *option, struct err *e)
{
    _cleanup_free_ char *dir = option ? str_dup(option)
                               : !str_blank(a->cfg->allinone_state_dir)
                                   ? str_dup(a->cfg->allinone_state_dir)
                                   : default_state_dir();
    if (str_blank(dir))
        return err_set(e, ERR_CONFIG, "no state directory: give --state-dir");
    int rc = io_mkdirs(dir, 0711, e); /* the user postgres passes through it */
    if (rc != 0)
        return rc;
    a->state_dir = realpath(dir, NULL);
    if (!a->state_dir)
        return err_errno(e, errno, "cannot look at %s", dir);
    _cleanup_free_ char *log = str_fmt("%s/log", a->state_dir);
    a->port_file = str_fmt("%s/api.port", a->state_dir);
    return log && a->port_file ? io_mkdirs(log, 0750, e) : err_nomem(e);
}

/* One instance per state directory. The lock goes with the process, however it ends. */
static int take_lock(struct allinone *a, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("%s/lock", a->state_dir);
    if (!path)
        return err_nomem(e);
    a->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (a->lock_fd < 0)
        return err_errno(e, errno, "cannot open %s", path);
    char text[32] = "";
    if (flock(a->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t n = pread(a->lock_fd, text, sizeof text - 1, 0);
        text[n > 0 ? strcspn(text, "\n") : 0] = '\0';
        return err_set(e, ERR_BUSY, "magnum-allinone already runs on %s (pid %s)", a->state_dir,
                       text);
    }
    (void)snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(a->lock_fd, 0) < 0 ||
        pwrite(a->lock_fd, text, strlen(text), 0) != (ssize_t)strlen(text))
        return err_errno(e, errno, "cannot write %s", path);
    return 0;
}

/* Programs lie beside this one; plugins in ../plugins of a build tree or where they are installed.
 */
static int find_own_files(struct allinone *a, struct err *e)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return err_errno(e, errno, "cannot read /proc/self/exe");
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    a->exe_dir = str_dup(self);
    static const char *const programs[] = {"magnum-api", "magnum-conductor"};
    for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
        _cleanup_free_ char *path = str_fmt("%s/%s", self, programs[i]);
        if (path && access(path, X_OK) < 0)
            return err_errno(e, errno, "cannot run %s, which belongs beside magnum-allinone", path);
    }
    static const char *const places[] = {"../plugins", MAGNUM_PLUGINS_FROM_BIN};
    for (size_t i = 0; i < ARRAY_LEN(places) && !a->plugin_dir; i++) {
        _cleanup_free_ char *path = str_fmt("%s/%s", self, places[i]);
        a->plugin_dir = path ? realpath(path, NULL) : NULL;
    }
    if (!a->plugin_dir)
        return err_set(e, ERR_CONFIG, "no plugins beside %s", self);
    return a->cfg->drivers_plugin_dirs.n ? 0
                                         : set_option(a, "drivers.plugin_dirs", a->plugin_dir, e);
}

/* A taken port is found before anything is started. */
static int check_port(const struct allinone *a, struct err *e)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)a->cfg->api_port)};
    if (!str_blank(a->cfg->api_unix_socket) || a->cfg->api_port == 0 ||
        inet_pton(AF_INET, a->cfg->api_host, &sa.sin_addr) != 1)
        return 0; /* the API itself judges other addresses */
    int64_t until = clock_mono_ms() + PORT_WAIT_MS;
    for (;;) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int on = 1;
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
            return err_errno(e, errno, "cannot make a socket");
        if (bind(fd, (const struct sockaddr *)&sa, sizeof sa) == 0)
            return 0;
        int why = errno;
        struct pollfd stop = {.fd = a->sig_fd, .events = POLLIN};
        if (why != EADDRINUSE || clock_mono_ms() > until || poll(&stop, 1, 20) > 0)
            return err_errno(e, why, "port %lld of %s is not free (choose another with --port)",
                             (long long)a->cfg->api_port, a->cfg->api_host);
    }
}

static int block_signals(struct allinone *a, struct err *e)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
        (a->sig_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        return err_errno(e, errno, "cannot watch signals");
    return 0;
}

/* ---- database ---- */

static int start_database(struct allinone *a, struct err *e)
{
    bool made = false;
    int64_t begin = clock_mono_ms();
    int rc = private_pg_prepare(&a->pg, a->state_dir, a->cfg->allinone_postgres_bin, a->sig_fd,
                                &made, e);
    if (rc != 0)
        return rc;
    if (made)
        allinone_say(a, "Made a private PostgreSQL %d in %s (%.1f s)", a->pg.version,
                     a->pg.data_dir, seconds_since(begin));
    rc = private_pg_start(&a->pg, a->sig_fd, e);
    if (rc != 0)
        return rc;
    allinone_say(a, "PostgreSQL %d runs", a->pg.version);
    _cleanup_free_ char *conn = private_pg_connection(&a->pg);
    return conn ? set_option(a, "database.connection", conn, e) : err_nomem(e);
}

static int migrate(const struct allinone *a, struct db *db, struct err *e)
{
    int applied = 0, version = 0;
    int rc = db_migrate_upgrade(db, 0, &applied, e);
    if (rc == 0)
        rc = db_migrate_version(db, &version, e);
    if (rc == 0 && applied)
        allinone_say(a, "Database schema is at revision %d (%d applied)", version, applied);
    return rc;
}

/* Drivers that keep something on this machine keep it here, in a directory named like their
 * library, unless they were told otherwise. */
static int give_state_dir(struct allinone *a, const struct plugin *p, struct err *e)
{
    if (json_object_get(json_object_get(a->cfg->driver_config, p->id), "state_dir"))
        return 0;
    _cleanup_free_ char *name = str_fmt("driver_config.%s.state_dir", p->id);
    const char *slash = strrchr(p->library_path, '/'), *library = slash ? slash + 1 : "";
    _cleanup_free_ char *dir =
        str_fmt("%s/%.*s", a->state_dir, (int)strcspn(library, "."), library);
    return name && dir ? set_option(a, name, dir, e) : err_nomem(e);
}

/* A bundled driver is enabled once, the first time it is seen: `magnum-driver-manage disable` is
 * respected ever after. */
static int enable_bundled(struct allinone *a, struct db *db, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("%s/bundled-drivers", a->state_dir);
    _cleanup_free_ char *text = NULL;
    _cleanup_strv_ struct strv known = STRV_INIT;
    if (!path)
        return err_nomem(e);
    if (io_read_file(path, 65536, &text, NULL, NULL) == 0 && strv_split(&known, text, '\n') != 0)
        return err_nomem(e);
    struct plugin_list found = {NULL, 0};
    int rc = plugins_scan(a->cfg, &found, e);
    _cleanup_str_ struct str names = STR_INIT, record = STR_INIT;
    for (size_t i = 0; i < known.n; i++)
        str_printf(&record, "%s\n", known.v[i]);
    for (size_t i = 0; rc == 0 && i < found.n; i++) {
        const struct plugin *p = &found.v[i];
        if (p->problem) {
            allinone_say(a, "Driver %s can't be used: %s", p->id ? p->id : p->library_path,
                         p->problem);
            continue;
        }
        str_printf(&names, "%s%s", names.len ? ", " : "", p->name);
        rc = give_state_dir(a, p, e);
        if (rc != 0 || strv_has(&known, p->id))
            continue;
        rc = db_driver_enable(db, p->id, true, NULL, "magnum-allinone", e);
        str_printf(&record, "%s\n", p->id);
    }
    plugin_list_done(&found);
    if (rc == 0 && record.oom)
        rc = err_nomem(e);
    if (rc == 0)
        rc = io_write_file(path, str_text(&record), record.len, 0644, e);
    if (rc == 0)
        allinone_say(a, "Drivers: %s", str_text(&names));
    return rc;
}

/* ---- conductor and API ---- */

static int prepare_child(const struct allinone *a, struct child *c, const char *name, struct err *e)
{
    child_init(c, name, SIGKILL);
    c->log_path = str_fmt("%s/log/%s.log", a->state_dir, name);
    if (!c->log_path || child_arg(c, "%s/%s", a->exe_dir, name) != 0)
        return err_nomem(e);
    for (size_t i = 0; i < a->env.n; i++) {
        _cleanup_free_ char *variable = str_dup(a->env.v[i]);
        char *eq = variable ? strchr(variable, '=') : NULL;
        if (!eq)
            return err_nomem(e);
        *eq = '\0';
        if (child_setenv(c, variable, eq + 1) != 0) /* the last one counts */
            return err_nomem(e);
    }
    return 0;
}

static bool conductor_is_live(struct db *db, int64_t since_us)
{
    struct mservice_list live = {NULL, 0};
    bool yes = false;
    if (db_service_live(db, "magnum-conductor", READY_TIMEOUT_MS, &live, NULL) == 0)
        for (size_t i = 0; i < live.n && !yes; i++)
            yes = live.v[i].last_seen_up >= since_us;
    mservice_list_done(&live);
    return yes;
}

/* The child ended, or a signal came, before everything was ready. */
static int check_alive(const struct allinone *a, struct child *c, struct err *e)
{
    struct pollfd stop = {.fd = a->sig_fd, .events = POLLIN};
    if (poll(&stop, 1, 0) > 0)
        return err_set(e, ERR_CANCELLED, "stopped");
    if (!child_wait(c, -1, 0))
        return 0;
    _cleanup_free_ char *why = child_last_line(c);
    return err_set(e, ERR_UNAVAILABLE, "%s did not start: %s", c->name,
                   str_blank(why) ? "see its log" : why);
}

static bool api_is_ready(const struct allinone *a)
{
    return access(a->port_file, F_OK) == 0;
}

static int not_ready(const struct child *c, struct err *e)
{
    return err_set(e, ERR_TIMEOUT, "%s was not ready within %d s; see %s", c->name,
                   READY_TIMEOUT_MS / 1000, c->log_path);
}

/* The API starts when the conductor is there to be found, so that the first request's wake-up has
 * somewhere to go. */
static int wait_until_ready(struct allinone *a, struct db *db, int64_t since_us, struct err *e)
{
    struct pollfd stop = {.fd = a->sig_fd, .events = POLLIN};
    int64_t until = clock_mono_ms() + READY_TIMEOUT_MS;
    while (!conductor_is_live(db, since_us)) {
        if (check_alive(a, &a->conductor, e) != 0)
            return e->code;
        if (clock_mono_ms() > until)
            return not_ready(&a->conductor, e);
        (void)poll(&stop, 1, 5);
    }
    if (child_start(&a->api, e) != 0)
        return e->code;
    while (!api_is_ready(a)) {
        if (check_alive(a, &a->conductor, e) != 0 || check_alive(a, &a->api, e) != 0)
            return e->code;
        if (clock_mono_ms() > until)
            return not_ready(&a->api, e);
        (void)poll(&stop, 1, 5);
    }
    return 0;
}

static int read_url(struct allinone *a, struct err *e)
{
    if (!str_blank(a->cfg->api_unix_socket)) {
        a->url = str_fmt("unix:%s", a->cfg->api_unix_socket);
        return a->url ? 0 : err_nomem(e);
    }
    _cleanup_free_ char *text = NULL;
    int rc = io_read_file(a->port_file, 64, &text, NULL, e);
    if (rc != 0)
        return rc;
    text[strcspn(text, "\n")] = '\0';
    const char *host = a->cfg->api_host;
    bool any = str_eq(host, "0.0.0.0") || str_eq(host, "::");
    a->url = str_fmt(strchr(any ? "" : host, ':') ? "http://[%s]:%s" : "http://%s:%s",
                     any ? "127.0.0.1" : host, text);
    /* a port the kernel chose is kept when the API has to be started again */
    return a->url && child_setenv(&a->api, "MAGNUM_API_PORT", text) == 0 ? 0 : err_nomem(e);
}

static void append_quoted(struct str *t, const char *name, const char *value)
{
    str_printf(t, "export %s='", name);
    for (const char *c = value; *c; c++)
        if (*c == '\'')
            str_append(t, "'\\''");
        else
            str_append_c(t, *c);
    str_append(t, "'\n");
}

/* What a shell needs to talk to this Magnum: our CLI, `openstack coe` and the admin tools. */
static int write_env_file(const struct allinone *a, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("%s/env.sh", a->state_dir);
    _cleanup_str_ struct str t = STR_INIT;
    str_append(&t, "# Written by magnum-allinone at each start; for use in a shell: `. env.sh`\n");
    append_quoted(&t, "MAGNUM_ENDPOINT", a->url);
    append_quoted(&t, "OS_AUTH_TYPE", "none");
    _cleanup_free_ char *v1 = str_fmt("%s/v1", a->url);
    append_quoted(&t, "OS_ENDPOINT", v1 ? v1 : "");
    append_quoted(&t, "MAGNUM_DATABASE_CONNECTION", a->cfg->database_connection);
    append_quoted(&t, "MAGNUM_DRIVERS_PLUGIN_DIRS", a->plugin_dir);
    str_printf(&t, "PATH='%s':\"$PATH\"\n", a->exe_dir);
    if (!path || !v1 || t.oom)
        return err_nomem(e);
    return io_write_file(path, t.s, t.len, 0644, e);
}

static int make_key(struct allinone *a, struct err *e)
{
    if (!str_blank(a->cfg->certificates_key_file))
        return 0;
    _cleanup_free_ char *key = str_fmt("%s/certs.key", a->state_dir);
    if (!key)
        return err_nomem(e);
    int rc = certs_key_make(key, e);
    return rc == 0 ? set_option(a, "certificates.key_file", key, e) : rc;
}

/* Versions of drivers that are installed for this one are nobody else's. */
static int keep_drivers_here(struct allinone *a, struct err *e)
{
    if (!str_eq(a->cfg->drivers_install_dir, "/var/lib/magnum/drivers"))
        return 0; /* told otherwise */
    _cleanup_free_ char *dir = str_fmt("%s/drivers", a->state_dir);
    return dir ? set_option(a, "drivers.install_dir", dir, e) : err_nomem(e);
}

static int start_services(struct allinone *a, struct err *e)
{
    int rc = make_key(a, e);
    if (rc == 0)
        rc = set_option(a, "api.port_file", a->port_file, e);
    if (rc == 0 && unlink(a->port_file) < 0 && errno != ENOENT)
        rc = err_errno(e, errno, "cannot remove %s", a->port_file);
    if (rc == 0)
        rc = prepare_child(a, &a->conductor, "magnum-conductor", e);
    for (size_t i = 0; rc == 0 && i < a->driver_sets.n; i++)
        if (child_arg(&a->conductor, "--set") != 0 ||
            child_arg(&a->conductor, "%s", a->driver_sets.v[i]) != 0)
            rc = err_nomem(e);
    if (rc == 0)
        rc = prepare_child(a, &a->api, "magnum-api", e);
    return rc == 0 ? child_start(&a->conductor, e) : rc;
}

static int start_all(struct allinone *a, struct err *e)
{
    int rc = keep_drivers_here(a, e);
    if (rc == 0)
        rc = start_database(a, e);
    if (rc != 0)
        return rc;
    struct db *db = NULL;
    int64_t since_us = 0;
    rc = db_open(a->cfg, &db, e);
    if (rc == 0)
        rc = migrate(a, db, e);
    if (rc == 0)
        rc = enable_bundled(a, db, e);
    if (rc == 0)
        rc = db_now(db, &since_us, e);
    if (rc == 0)
        rc = start_services(a, e);
    if (rc == 0)
        rc = wait_until_ready(a, db, since_us, e);
    db_close(&db);
    if (rc == 0)
        rc = read_url(a, e);
    return rc == 0 ? write_env_file(a, e) : rc;
}

static void greet(const struct allinone *a)
{
    allinone_say(
        a,
        "Ready in %.1f s: %s\n"
        "\n"
        "In another shell:\n"
        "  . %s/env.sh\n"
        "  magnum cluster template create first --coe swarm --server-type local --image linux\n"
        "  magnum cluster create hello --cluster-template first --node-count 2 --wait\n"
        "  magnum cluster list\n"
        "\n"
        "Logs are in %s/log. Ctrl-C stops Magnum; clusters go on running.",
        seconds_since(a->begin_ms), a->url, a->state_dir, a->state_dir);
}

static void allinone_done(struct allinone *a)
{
    child_done(&a->api);
    child_done(&a->conductor);
    private_pg_done(&a->pg);
    strv_free(&a->env);
    strv_free(&a->driver_sets);
    free(TAKE_PTR(a->state_dir));
    free(TAKE_PTR(a->exe_dir));
    free(TAKE_PTR(a->plugin_dir));
    free(TAKE_PTR(a->port_file));
    free(TAKE_PTR(a->url));
    cleanup_closep(&a->sig_fd);
    cleanup_closep(&a->lock_fd);
    config_free(&a->cfg);
}

int allinone_run(const struct allinone_options *o)
{
    struct allinone a = {.quiet = o->quiet, .lock_fd = -1, .sig_fd = -1};
    struct err e = ERR_INIT;
    a.begin_ms = clock_mono_ms();
    child_init(&a.pg.server, "PostgreSQL", SIGINT);
    child_init(&a.conductor, "magnum-conductor", SIGKILL);
    child_init(&a.api, "magnum-api", SIGKILL);
    log_setup("magnum-allinone", LOG_WARN, false);
    (void)umask(022);
    int rc = apply_options(&a, o, &e);
    if (rc == 0)
        rc = block_signals(&a, &e);
    if (rc == 0)
        rc = open_state_dir(&a, o->state_dir, &e);
    if (rc == 0)
        rc = take_lock(&a, &e);
    if (rc == 0)
        rc = find_own_files(&a, &e);
    if (rc == 0)
        rc = check_port(&a, &e);
    if (rc == 0)
        rc = start_all(&a, &e);
    if (rc == 0) {
        greet(&a);
        allinone_supervise(&a);
    }
    if (a.cfg && a.sig_fd >= 0)
        allinone_stop(&a);
    if (rc != 0 && rc != ERR_CANCELLED)
        fprintf(stderr, "magnum-allinone: %s\n", e.msg);
    else
        allinone_say(&a, "Stopped");
    allinone_done(&a);
    return rc == 0 || rc == ERR_CANCELLED ? 0 : 1;
}
