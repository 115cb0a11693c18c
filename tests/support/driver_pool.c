/* See driver_pool.h. */
#include "support/driver_pool.h"

#include "base/io.h"
#include "base/jsonx.h"
#include "base/parse.h"
#include "drivers/supervisor.h"
#include "support/cunit_main.h"

#include <dirent.h>
#include <ftw.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

int test_count_fds(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

int test_count_children(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[300];
        snprintf(path, sizeof path, "/proc/self/task/%s/children", e->d_name);
        _cleanup_free_ char *text = NULL;
        if (e->d_name[0] == '.' || io_read_file(path, 65536, &text, NULL, NULL) != 0)
            continue;
        for (const char *p = text; *p; p++)
            n += *p == ' ';
    }
    if (d)
        closedir(d);
    return n;
}

/* When a process began, in clock ticks since boot: field 22 of its stat, the 20th after the name in
 * parentheses; -1 = it is gone. */
static int64_t began(int64_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
    _cleanup_free_ char *text = NULL;
    if (io_read_file(path, 4096, &text, NULL, NULL) != 0)
        return -1;
    const char *p = strrchr(text, ')');
    long long ticks = -1;
    if (!p || sscanf(p + 1,
                     " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                     "%*s %*s %lld",
                     &ticks) != 1)
        return -1;
    return ticks;
}

pid_t test_newest_child(void)
{
    int64_t newest = 0, when = -1;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[300];
        snprintf(path, sizeof path, "/proc/self/task/%s/children", e->d_name);
        _cleanup_free_ char *text = NULL;
        if (e->d_name[0] == '.' || io_read_file(path, 65536, &text, NULL, NULL) != 0)
            continue;
        char *save = NULL;
        for (char *p = strtok_r(text, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
            int64_t pid;
            if (!parse_i64(p, 1, INT32_MAX, &pid))
                continue;
            int64_t t = began(pid);
            if (t > when || (t == when && pid > newest)) {
                newest = pid;
                when = t;
            }
        }
    }
    if (d)
        closedir(d);
    return (pid_t)newest;
}

bool test_wait_gone(pid_t pid)
{
    for (int i = 0; i < 6000; i++) {
        if (kill(pid, 0) < 0)
            return true;
        (void)poll(NULL, 0, 10);
    }
    return false;
}

void test_pool_set(struct test_pool *t, const char *option, const char *value)
{
    struct err e = ERR_INIT;
    ASSERT_OK(config_set(t->cfg, option, value, &e), &e);
}

void test_pool_prepare(struct test_pool *t)
{
    struct err e = ERR_INIT;
    const char *build = getenv("MAGNUM_BUILD_DIR");
    CU_ASSERT_FATAL(build != NULL);
    *t = (struct test_pool){.fds = test_count_fds(), .children = test_count_children()};
    snprintf(t->dir, sizeof t->dir, "/tmp/magnum-test-XXXXXX");
    CU_ASSERT_FATAL(mkdtemp(t->dir) != NULL);
    ASSERT_OK(config_load("/dev/null", &t->cfg, &e), &e);
    _cleanup_free_ char *dirs = str_fmt("%s/plugins,%s/tests/driver_plugins", build, build);
    _cleanup_free_ char *host = str_fmt("%s/bin/magnum-driver-host", build);
    test_pool_set(t, "drivers.plugin_dirs", dirs);
    test_pool_set(t, "drivers.host_program", host);
    test_pool_set(t, "drivers.spare", "false"); /* tests look at each process by itself */
    test_pool_set(t, "drivers.kill_grace_ms", "100");
    test_pool_set(t, "drivers.term_grace_ms", "100");
    test_pool_set(t, "drivers.start_timeout_ms", "30000");
    test_pool_set(t, "drivers.quarantine_deaths", "1000");
    test_pool_set(t, "drivers.log_lines_per_s", "5");
    test_pool_set(t, "driver_config." SIM_ID ".state_dir", t->dir);
}

void test_pool_start(struct test_pool *t, const struct driver_transport *transport)
{
    struct err e = ERR_INIT;
    ASSERT_OK(plugins_scan(t->cfg, &t->plugins, &e), &e);
    if (transport)
        ASSERT_OK(driver_pool_new_with(t->cfg, &t->plugins, transport, &t->pool, &e), &e);
    else
        ASSERT_OK(driver_pool_new(t->cfg, &t->plugins, &t->pool, &e), &e);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *f)
{
    (void)st;
    (void)flag;
    (void)f;
    return remove(path);
}

void test_pool_end(struct test_pool *t)
{
    driver_pool_free(&t->pool);
    plugin_list_done(&t->plugins);
    config_free(&t->cfg);
    nftw(t->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    CU_ASSERT_EQUAL(test_count_children(), t->children);
    CU_ASSERT_EQUAL(test_count_fds(), t->fds);
}

/* ---- the recording services ---- */

void record_init(struct record *r)
{
    *r =
        (struct record){.outputs = json_object(), .ledger = json_array(), .http_log = json_array()};
    pthread_mutex_init(&r->lock, NULL);
}

void record_done(struct record *r)
{
    json_decref(r->outputs);
    json_decref(r->ledger);
    json_decref(r->http_log);
    free(r->state);
    pthread_mutex_destroy(&r->lock);
}

static int refuse(const struct record *r, struct err *e)
{
    if (r->fenced)
        return err_set(e, ERR_FENCED, "another conductor has it");
    return r->fail_code ? err_set(e, r->fail_code, "as the test wants") : 0;
}

static int rec_checkpoint(void *ctx, const char *state, size_t len, struct err *e)
{
    struct record *r = ctx;
    int rc = refuse(r, e);
    if (rc != 0)
        return rc;
    free(r->state);
    r->state = strndup(state, len);
    r->checkpoints++;
    return 0;
}

static int rec_output(void *ctx, const char *key, const json_t *value, struct err *e)
{
    struct record *r = ctx;
    int rc = r->fenced ? refuse(r, e) : 0;
    if (rc == 0)
        json_object_set(r->outputs, key, (json_t *)value);
    return rc;
}

static bool rec_cancelled(void *ctx)
{
    return ((struct record *)ctx)->cancel;
}

/* "down" can't be reached, "huge" answers more than a frame holds, "binary" answers what came. */
static int rec_http(void *ctx, const struct http_call_spec *rq, struct http_reply *rp,
                    struct err *e)
{
    struct record *r = ctx;
    json_array_append_new(
        r->http_log, json_pack("{s:s,s:s,s:s,s:s?,s:I,s:I}", "method", rq->method, "service",
                               rq->service, "path", rq->path, "headers", rq->headers, "body_len",
                               (json_int_t)rq->body_len, "timeout_ms", (json_int_t)rq->timeout_ms));
    if (str_eq(rq->service, "down"))
        return err_set(e, ERR_UNAVAILABLE, "connection refused");
    size_t n = str_eq(rq->service, "huge") ? 5U << 20 : rq->body_len;
    rp->status = 201;
    rp->body = calloc(1, n + 1);
    rp->headers = strdup("content-type: text/plain\n");
    rp->body_len = n;
    if (str_eq(rq->service, "huge"))
        memset(rp->body, 'x', n);
    else
        memcpy(rp->body, rq->body, n);
    return 0;
}

static json_t *find_entry(const struct record *r, const json_t *args, size_t *ret_at)
{
    size_t i;
    json_t *v;
    json_array_foreach(r->ledger, i, v)
    {
        if (str_eq(jsonx_str(v, "kind"), jsonx_str(args, "kind")) &&
            str_eq(jsonx_str(v, "name"), jsonx_str(args, "name"))) {
            *ret_at = i;
            return v;
        }
    }
    return NULL;
}

static int rec_ledger(void *ctx, const char *verb, const json_t *args, json_t **ret, struct err *e)
{
    struct record *r = ctx;
    size_t at = 0;
    int rc = refuse(r, e);
    if (rc != 0)
        return rc;
    if (str_eq(verb, "list")) {
        *ret = json_deep_copy(r->ledger);
        return 0;
    }
    json_t *have = find_entry(r, args, &at);
    if (str_eq(verb, "declare") && !have)
        json_array_append_new(r->ledger,
                              json_pack("{s:O,s:O,s:s,s:O}", "kind", json_object_get(args, "kind"),
                                        "name", json_object_get(args, "name"), "state", "intent",
                                        "data", json_object_get(args, "data")));
    else if (str_eq(verb, "confirm") && have) {
        json_object_set_new(have, "state", json_string("confirmed"));
        json_object_set(have, "external_id", json_object_get(args, "external_id"));
    } else if (str_eq(verb, "drop") && have)
        json_array_remove(r->ledger, at);
    return 0;
}

static int rec_cert(void *ctx, const char *verb, const json_t *args, json_t **ret, struct err *e)
{
    int rc = refuse(ctx, e);
    if (rc != 0)
        return rc;
    if (str_eq(verb, "ca"))
        *ret = json_sprintf("CA %s", jsonx_str(args, "ca"));
    else if (str_eq(verb, "sign"))
        *ret =
            json_sprintf("%s signs %s for %lld days", jsonx_str(args, "ca"), jsonx_str(args, "csr"),
                         (long long)jsonx_int(json_object_get(args, "profile"), "days", 0));
    else
        *ret = json_pack("{s:s,s:s,s:s}", "certificate", jsonx_str(args, "cn"), "private_key",
                         "PRIVATEKEYTEXT", "ca", "CA");
    return 0;
}

static int rec_secret(void *ctx, const char *handle, struct err *e, char **ret, size_t *len)
{
    int rc = refuse(ctx, e);
    if (rc != 0)
        return rc;
    if (!str_eq(handle, "secret:one"))
        return err_set(e, ERR_NOT_FOUND, "no such secret");
    *ret = strdup("correct horse");
    *len = strlen(*ret);
    return 0;
}

struct coe_services record_services(struct record *r)
{
    return (struct coe_services){.ctx = r,
                                 .checkpoint = rec_checkpoint,
                                 .output = rec_output,
                                 .cancelled = rec_cancelled,
                                 .http = rec_http,
                                 .ledger = rec_ledger,
                                 .cert = rec_cert,
                                 .secret = rec_secret};
}

size_t record_ledger_count(const struct record *r, const char *kind)
{
    size_t n = 0, i;
    json_t *v;
    json_array_foreach(r->ledger, i, v)
    {
        n += str_eq(jsonx_str(v, "kind"), kind);
    }
    return n;
}

/* ---- calls ---- */

json_t *test_spec(const char *cluster, int masters, int workers, const char *labels)
{
    _cleanup_strv_ struct strv parts = STRV_INIT;
    json_t *l = json_object();
    CU_ASSERT_EQUAL_FATAL(strv_split(&parts, labels, ','), 0);
    for (size_t i = 0; i < parts.n; i++) {
        char *eq = strchr(parts.v[i], '=');
        *eq = '\0';
        json_object_set_new(l, parts.v[i], json_string(eq + 1));
    }
    return json_pack("{s:{s:s,s:s,s:o},s:{s:s},s:[{s:s,s:s,s:s,s:i},{s:s,s:s,s:s,s:i}],s:{}}",
                     "cluster", "uuid", cluster, "name", "c1", "labels", l, "template", "coe",
                     "kubernetes", "nodegroups", "uuid", "masters", "name", "default-master",
                     "role", "master", "node_count", masters, "uuid", "workers", "name",
                     "default-worker", "role", "worker", "node_count", workers, "params");
}

struct coe_call test_call(const char *driver, const char *verb, const json_t *spec,
                          const char *cluster, const struct coe_services *svc)
{
    return (struct coe_call){.driver_id = driver,
                             .interface = MAG_IFACE_LIFECYCLE,
                             .verb = verb,
                             .op_kind = MAG_OP_CREATE,
                             .attempt = 1,
                             .op_id = "op-1",
                             .cluster_id = cluster,
                             .project_id = "project",
                             .generation = 1,
                             .spec = spec,
                             .budget_ms = 20000,
                             .services = svc};
}

int32_t test_walk(struct driver_pool *p, struct coe_call c, struct record *r, int *ret_steps,
                  struct coe_result *last)
{
    int steps = 0, deaths = 0;
    struct coe_services svc = record_services(r);
    c.services = &svc;
    for (;;) {
        struct err e = ERR_INIT;
        struct coe_result res = {0};
        c.state = r->state;
        ASSERT_OK(front_coe_call(p, &c, &res, &e), &e);
        steps++;
        bool again = res.rc == MAG_AGAIN || (res.host_died && ++deaths <= 5);
        if (again && res.wait_ms)
            (void)poll(NULL, 0, (int)(res.wait_ms > 5 ? 5 : res.wait_ms));
        if (!again) {
            if (ret_steps)
                *ret_steps = steps;
            int32_t rc = res.rc;
            if (last)
                *last = res;
            else
                coe_result_done(&res);
            return rc;
        }
        coe_result_done(&res);
        CU_ASSERT_FATAL(steps < 1000);
    }
}

int test_count_nodes(const struct test_pool *t, const char *cluster, const char *group)
{
    char path[256], prefix[128];
    int n = 0;
    snprintf(path, sizeof path, "%s/mag-%s", t->dir, cluster);
    snprintf(prefix, sizeof prefix, "mag-%s%s", group, *group ? "-" : "");
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        n += str_starts(e->d_name, prefix);
    if (d)
        closedir(d);
    return n;
}
