/* See set_up.h. */
#include "set_up.h"

#include "base/io.h"
#include "base/jsonx.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOOLS_MEMORY_MB = 8192 };

static int set_plugin_config(struct run *r, struct err *e)
{
    for (size_t i = 0; i < r->config.n; i++) {
        _cleanup_str_ struct str value = STR_INIT;
        char *eq = strchr(r->config.v[i], '=');
        if (!eq)
            return err_set(e, ERR_INVALID, "--config %s is not KEY=VALUE", r->config.v[i]);
        _cleanup_free_ char *name = str_fmt("driver_config.%s.%.*s", r->kit.plugin->id,
                                            (int)(eq - r->config.v[i]), r->config.v[i]);
        const char *from = eq + 1;
        for (const char *at; (at = strstr(from, "@DIR@")); from = at + strlen("@DIR@")) {
            str_append_n(&value, from, (size_t)(at - from));
            str_append(&value, r->kit.scratch);
        }
        str_append(&value, from);
        int rc = name ? config_set(r->kit.cfg, name, str_text(&value), e) : err_nomem(e);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int read_spec(struct run *r, struct err *e)
{
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    r->kit.spec = json_object();
    if (r->spec_file) {
        int rc = io_read_file(r->spec_file, 1 << 20, &text, &len, e);
        json_decref(r->kit.spec);
        r->kit.spec = NULL;
        rc = rc ? rc : jsonx_parse(text, len, 32, &r->kit.spec, e);
        if (rc != 0)
            return rc;
    }
    for (size_t i = 0; i < r->labels.n; i++) {
        char *eq = strchr(r->labels.v[i], '=');
        if (!eq)
            return err_set(e, ERR_INVALID, "--label %s is not NAME=VALUE", r->labels.v[i]);
        *eq = '\0';
        json_t *cluster = json_object_get(r->kit.spec, "cluster");
        if (!cluster)
            json_object_set_new(r->kit.spec, "cluster", cluster = json_object());
        json_t *labels = json_object_get(cluster, "labels");
        if (!labels)
            json_object_set_new(cluster, "labels", labels = json_object());
        json_object_set_new(labels, r->labels.v[i], json_string(eq + 1));
    }
    return 0;
}

static int scan(struct kit *k, const char *manifest, struct err *e)
{
    plugin_list_done(&k->plugins);
    k->plugin = NULL;
    int rc = plugins_scan(k->cfg, &k->plugins, e);
    for (size_t i = 0; rc == 0 && i < k->plugins.n; i++) {
        _cleanup_free_ char *real = realpath(k->plugins.v[i].manifest_path, NULL);
        if (!real || !str_eq(real, manifest))
            continue;
        k->plugin = &k->plugins.v[i];
        if (k->foreign_host) /* the tools need more than the plugin */
            k->plugins.v[i].memory_mb = TOOLS_MEMORY_MB;
    }
    return rc;
}

static int find_plugin(struct run *r, struct err *e)
{
    struct kit *k = &r->kit;
    _cleanup_free_ char *path = realpath(r->manifest, NULL);
    if (!path)
        return err_errno(e, errno, "%s", r->manifest);
    _cleanup_free_ char *copy = str_dup(path);
    int rc = copy ? config_set(k->cfg, "drivers.plugin_dirs", dirname(copy), e) : err_nomem(e);
    rc = rc ? rc : scan(k, path, e);
    /* whether an operator would want it at its maturity, with its rights, is another question */
    if (rc == 0 && k->plugin && k->plugin->id) {
        rc = strv_add(&k->cfg->drivers_enabled_beta, k->plugin->id) ||
             strv_add(&k->cfg->drivers_privileged, k->plugin->id);
        rc = rc ? err_nomem(e) : scan(k, path, e);
    }
    if (rc == 0 && !k->plugin)
        return err_set(e, ERR_NOT_FOUND, "%s is no manifest of a plugin", r->manifest);
    if (rc == 0 && k->plugin->problem)
        return err_set(e, ERR_INVALID, "%s: %s", r->manifest, k->plugin->problem);
    return rc;
}

/* ---- the hosts ---- */

/* A program of the SDK: beside this one in a build tree, else where the SDK keeps its own. */
static int find_own(const char *name, char **ret, struct err *e)
{
    static const char *const places[] = {".", MAGNUM_SDK_LIBEXEC_FROM_BIN};
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        char copy[sizeof exe];
        memcpy(copy, exe, sizeof exe);
        _cleanup_free_ char *path = str_fmt("%s/%s/%s", dirname(copy), places[i], name);
        if (!path)
            return err_nomem(e);
        if (access(path, X_OK) == 0) {
            *ret = TAKE_PTR(path);
            return 0;
        }
    }
    return err_set(e, ERR_CONFIG, "%s is not beside magnum-driver-check", name);
}

/* The kit's host under another program or with a library before the plugin's: a script. */
static int wrap_host(struct run *r, struct err *e)
{
    struct kit *k = &r->kit;
    _cleanup_free_ char *path = str_fmt("%s/host", k->scratch);
    FILE *f = path ? fopen(path, "we") : NULL;
    if (!f)
        return err_errno(e, errno, "cannot write the script that starts the host");
    fprintf(f, "#!/bin/sh\n");
    if (r->preload)
        fprintf(f,
                "LD_PRELOAD='%s'\nASAN_OPTIONS=abort_on_error=1:symbolize=0\n"
                "UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1\n"
                "export LD_PRELOAD ASAN_OPTIONS UBSAN_OPTIONS\n",
                r->preload);
    fprintf(f, "exec %s'%s' \"$@\"\n",
            r->valgrind ? "valgrind -q --leak-check=full --errors-for-leak-kinds=definite "
                          "--error-exitcode=99 "
                        : "",
            k->check_host);
    if (fclose(f) != 0 || chmod(path, 0700) < 0)
        return err_errno(e, errno, "%s", path);
    k->foreign_host = true;
    k->host = TAKE_PTR(path);
    return config_set(k->cfg, "drivers.term_grace_ms", "10000", e);
}

static int find_hosts(struct run *r, struct err *e)
{
    struct kit *k = &r->kit;
    int rc = find_own("magnum-check-host", &k->check_host, e);
    if (rc == 0 && (r->preload || r->valgrind))
        rc = wrap_host(r, e);
    else if (rc == 0 && r->host)
        rc = (k->host = str_dup(r->host)) ? 0 : err_nomem(e);
    else if (rc == 0)
        rc = find_own("magnum-driver-host", &k->host, e);
#ifdef MAGNUM_SANITIZED
    k->foreign_host = true;
#endif
    return rc ? rc : config_set(k->cfg, "drivers.host_program", k->host, e);
}

int kit_reset_config(struct kit *k, struct err *e)
{
    _cleanup_free_ char *name = str_fmt("driver_config.%s.magnum_check", k->plugin->id);
    int rc = name ? config_set(k->cfg, name, "{}", e) : err_nomem(e);
    return rc ? rc : config_set(k->cfg, "drivers.host_program", k->host, e);
}

/* ---- all of it ---- */

/* SEED/POINT */
static int read_reproduce(struct run *r, struct err *e)
{
    char *end = NULL;
    if (!r->reproduce)
        return 0;
    errno = 0;
    r->kit.seed = strtoull(r->reproduce, &end, 10);
    unsigned long point = *end == '/' ? strtoul(end + 1, &end, 10) : 0;
    if (errno || *end || point == 0 || point > INT32_MAX)
        return err_set(e, ERR_INVALID, "--reproduce wants SEED/POINT, such as 1/7");
    r->kit.only_point = (unsigned)point;
    return 0;
}

int set_up(struct run *r, struct err *e)
{
    static const char *const options[][2] = {
        {"drivers.check_owner", "false"},      {"drivers.processes", "1"},
        {"drivers.kill_grace_ms", "2000"},     {"drivers.term_grace_ms", "100"},
        {"drivers.quarantine_deaths", "1000"}, {"drivers.quarantine_minutes", "1"},
        {"drivers.recycle_calls", "1000000"},  {"drivers.log_lines_per_s", "100000"},
        {"drivers.start_timeout_ms", "30000"}, {"drivers.recycle_growth_mb", "65536"}};
    struct kit *k = &r->kit;
    snprintf(k->scratch, sizeof k->scratch, "/tmp/magnum-check-XXXXXX");
    if (!mkdtemp(k->scratch))
        return err_errno(e, errno, "cannot make a directory in /tmp");
    int rc = config_load("/dev/null", &k->cfg, e);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(options); i++)
        rc = config_set(k->cfg, options[i][0], options[i][1], e);
    rc = rc ? rc : read_reproduce(r, e);
    rc = rc ? rc : find_hosts(r, e);
    rc = rc ? rc : find_plugin(r, e);
    rc = rc ? rc : set_plugin_config(r, e);
    rc = rc ? rc : read_spec(r, e);
    rc = rc ? rc : pair_make(&k->pairs[0], "check-a", e);
    rc = rc ? rc : pair_make(&k->pairs[1], "check-b", e);
    rc = rc ? rc : backend_open(r->backend, k->scratch, &k->backend, e);
    return rc;
}

int catch_log(const struct kit *k, FILE **ret_err, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("%s/log", k->scratch);
    int old = dup(2);
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (old < 0 || fd < 0 || dup2(fd, 2) < 0)
        return err_errno(e, errno, "cannot open the log");
    (void)close(fd);
    *ret_err = fdopen(old, "w");
    log_setup("magnum-driver-check", LOG_DEBUG, false);
    return *ret_err ? 0 : err_nomem(e);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *f)
{
    (void)st;
    (void)flag;
    (void)f;
    return remove(path);
}

void tear_down(struct run *r)
{
    driver_pool_free(&r->kit.pool);
    backend_close(&r->kit.backend);
    plugin_list_done(&r->kit.plugins);
    config_free(&r->kit.cfg);
    json_decref(r->kit.spec);
    if (r->kit.scratch[0])
        (void)nftw(r->kit.scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    strv_free(&r->config);
    strv_free(&r->labels);
    pair_done(&r->kit.pairs[0]);
    pair_done(&r->kit.pairs[1]);
    free(r->kit.host);
    free(r->kit.check_host);
}
