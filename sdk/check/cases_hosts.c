/* The same plugin in other Magnums: of another major, earlier, later, with fewer services; and many
 * calls and instances in one process. The host pretends (check_host.c), the plugin must cope. */
#include "check.h"

#include "base/jsonx.h"
#include "magnum/cert.h"
#include "magnum/lifecycle.h"

#include <dirent.h>
#include <string.h>

enum { ROUNDS = 1000, CALLS = 1000, CALL_WARM_UP = 200, FILES_WARM_UP = 5, GROWTH_MAX_KB = 1024 };

/* A pool whose hosts pretend what the JSON text says. The kit's own comes back with settle(). */
static bool pretend(struct kit *k, const char *what, struct verdict *v)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *name = str_fmt("driver_config.%s.magnum_check", k->plugin->id);
    driver_pool_free(&k->pool);
    int rc = name ? config_set(k->cfg, name, what, &e) : err_nomem(&e);
    rc = rc ? rc : config_set(k->cfg, "drivers.host_program", k->check_host, &e);
    rc = rc ? rc : driver_pool_new(k->cfg, &k->plugins, &k->pool, &e);
    return rc == 0 || verdict_fail(v, "%s", e.msg);
}

static void settle(struct kit *k, struct verdict *v)
{
    struct err e = ERR_INIT;
    driver_pool_free(&k->pool);
    if (kit_reset_config(k, &e) != 0 || driver_pool_new(k->cfg, &k->plugins, &k->pool, &e) != 0)
        verdict_fail(v, "%s", e.msg);
}

/* Loads it: NULL, or why not. */
static const char *load_problem(struct kit *k, char why[512])
{
    struct err e = ERR_INIT;
    bool ready = false;
    if (front_coe_probe(k->pool, k->plugin->id, &ready, why, &e) == 0)
        return NULL;
    snprintf(why, 512, "%.511s", e.msg);
    return why;
}

/* Refused by whoever sees it first, and nobody dies of it. */
static void other_major(struct kit *k, struct verdict *v)
{
    static const char *const majors[] = {"{\"major\": 0}", "{\"major\": 2}",
                                         "{\"major\": 4294967295, \"minor\": 4294967295}"};
    char why[512];
    for (size_t i = 0; i < ARRAY_LEN(majors); i++) {
        if (!pretend(k, majors[i], v))
            break;
        const char *problem = load_problem(k, why);
        if (!problem)
            verdict_fail(v, "a host of another major is told that all is well: %s", majors[i]);
        else if (!strstr(problem, "refuses ABI") && !strstr(problem, "plugin ABI is"))
            verdict_fail(v, "a host of another major (%s) makes it fail: %s", majors[i], problem);
    }
    settle(k, v);
}

/* An answer to every call, whatever it is, and a world that can be cleaned up afterwards. */
static bool lives(struct kit *k, const char *what, struct verdict *v)
{
    struct world w;
    if (str_eq(k->plugin->kind, "cert-manager"))
        return true;
    struct op create = op_create(), gone = op_remove();
    create.stop_on_error = gone.stop_on_error = true;
    world_init(&w, k);
    struct end end = walk(&w, &create);
    bool ok = sound(&end, v, what);
    world_plan(&w);
    end = walk(&w, &gone);
    ok = ok && sound(&end, v, what);
    world_done(&w);
    return ok;
}

static void other_hosts(struct kit *k, struct verdict *v)
{
    char larger[96], smaller[96], why[512];
    snprintf(larger, sizeof larger, "{\"minor\": %u, \"table\": %zu}", MAG_ABI_MINOR + 1000,
             sizeof(mag_host) + 256);
    snprintf(smaller, sizeof smaller, "{\"minor\": 0, \"services\": false, \"table\": %zu}",
             offsetof(mag_host, get_service));
    const struct {
        const char *what, *pretence;
    } hosts[] = {{"a later Magnum", larger},
                 {"a Magnum without optional services", "{\"services\": false}"},
                 {"the first Magnum, with a shorter table", smaller}};
    for (size_t i = 0; i < ARRAY_LEN(hosts) && v->outcome == CHECK_OK; i++) {
        if (!pretend(k, hosts[i].pretence, v))
            break;
        const char *problem = load_problem(k, why);
        if (problem)
            verdict_fail(v, "%s does not get it loaded: %s", hosts[i].what, problem);
        else
            (void)lives(k, hosts[i].what, v);
    }
    settle(k, v);
}

static void instances(struct kit *k, struct verdict *v)
{
    char rounds[48], why[512];
    snprintf(rounds, sizeof rounds, "{\"rounds\": %d}", ROUNDS);
    if (k->foreign_host) {
        verdict_skip(v, "memory is another's business under --preload and --valgrind");
        return;
    }
    if (pretend(k, rounds, v) && load_problem(k, why))
        verdict_fail(v, "%s", why);
    settle(k, v);
}

/* ---- calls ---- */

/* Anonymous memory of a process in KiB, -1 when it can't be told. */
static long memory_of(pid_t pid)
{
    char path[48], line[128];
    long kb = -1;
    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    FILE *f = fopen(path, "re");
    while (f && kb < 0 && fgets(line, sizeof line, f))
        if (sscanf(line, "RssAnon: %ld", &kb) != 1)
            kb = -1;
    if (f)
        (void)fclose(f);
    return kb;
}

static unsigned files_of(pid_t pid)
{
    char path[48];
    unsigned n = 0;
    snprintf(path, sizeof path, "/proc/%ld/fd", (long)pid);
    DIR *d = opendir(path);
    while (d && readdir(d))
        n++;
    if (d)
        (void)closedir(d);
    return n;
}

/* A read-only call that both kinds of plugin have. */
static struct end small_call(struct world *w)
{
    struct op op = op_create();
    _cleanup_json_ json_t *args = NULL;
    op.verb = kit_offers(w->k, MAG_IFACE_LIFECYCLE, "health") ? "health" : "validate";
    op.kind = MAG_OP_HEALTH;
    if (str_eq(w->k->plugin->kind, "cert-manager")) {
        op.iface = MAG_IFACE_CERT_STORE;
        op.verb = "get";
        op.kind = MAG_OP_QUERY;
        args = json_pack("{s:s,s:[s]}", "ref", "none", "parts", "certificate");
    }
    return call_once(w, &op, args, NULL);
}

static void calls(struct kit *k, struct verdict *v)
{
    struct world w;
    long before = -1;
    unsigned files = 0;
    if (k->foreign_host) {
        verdict_skip(v, "memory is another's business under --preload and --valgrind");
        return;
    }
    world_init(&w, k);
    for (int i = 0; i < CALL_WARM_UP + CALLS && v->outcome == CHECK_OK; i++) {
        struct end end = small_call(&w);
        if (end.refused_to_start)
            verdict_skip(v, "neither health nor validate is offered");
        else
            (void)sound(&end, v, "one of many calls");
        if (i == CALL_WARM_UP)
            before = memory_of(w.pid);
        if (i == FILES_WARM_UP) /* early: a limit of the manifest hides what comes later */
            files = files_of(w.pid);
    }
    long after = memory_of(w.pid);
    if (v->outcome == CHECK_OK && before >= 0 && after > before + GROWTH_MAX_KB)
        verdict_fail(v, "%d calls make it grow by %ld KiB", CALLS, after - before);
    if (v->outcome == CHECK_OK && files_of(w.pid) > files)
        verdict_fail(v, "%d calls leave %u descriptors open", CALLS, files_of(w.pid) - files);
    world_done(&w);
}

const struct check_case cases_hosts[] = {{"handshake", "other_major", other_major},
                                         {"handshake", "other_hosts", other_hosts},
                                         {"memory", "instances", instances},
                                         {"memory", "calls", calls}};
const size_t cases_hosts_count = ARRAY_LEN(cases_hosts);
