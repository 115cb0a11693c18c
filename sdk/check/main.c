/* magnum-driver-check: options, the run over all cases, and its reports (TAP on standard output,
 * JUnit and JSON files). See check.h. */
#include "check.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <libgen.h>
#include <regex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PASSED = 0, FAILED = 1, USAGE = 2 };

static const char help[] =
    "usage: magnum-driver-check [options] MANIFEST.yaml\n"
    "\n"
    "Runs the plugin of that manifest as Magnum would, and checks what it does: its file, its "
    "life\n"
    "cycle, repeated calls, kills at every point, failing backends, cancels, fencing, secrets.\n"
    "Prints TAP; exits with 0 when all checks passed, 1 when one failed, 2 when it could not run.\n"
    "\n"
    "  --config KEY=VALUE   the plugin's own configuration; @DIR@ in VALUE is a fresh directory\n"
    "  --backend COMMAND    answers the plugin's HTTP requests and counts what it made: one JSON\n"
    "                       object a line, see the guide; without it documents are kept in memory\n"
    "  --label NAME=VALUE   a label of the cluster\n"
    "  --spec FILE          JSON laid over the wanted state that the kit gives\n"
    "  --include REGEX      only checks whose group.name matches\n"
    "  --exclude REGEX      not those\n"
    "  --seed N             of the random walks (1)\n"
    "  --walks N            how many random walks (25)\n"
    "  --points N           points of an operation that are tried at most (40)\n"
    "  --steps N            steps one operation may take (1000)\n"
    "  --budget MS          time one call may take (20000)\n"
    "  --junit FILE         also write the results as JUnit XML\n"
    "  --json FILE          also write a verdict: kit, plugin, its sha256, every result\n"
    "  --host PROGRAM       magnum-driver-host to use\n"
    "  --list               print the checks, run none\n"
    "  --version            print the version of this program\n"
    "  --help               print this text\n"
    "\n"
    "example:\n"
    "  magnum-driver-check --config state_dir=@DIR@ --json verdict.json simulator.yaml\n";

struct result {
    const struct check_case *c;
    struct verdict v;
};
struct run {
    struct kit kit;
    const char *manifest, *include, *exclude, *junit, *json, *backend, *host;
    struct strv config, labels;
    const char *spec_file;
    struct result *results;
    size_t n;
    bool list;
};

bool verdict_fail(struct verdict *v, const char *fmt, ...)
{
    va_list ap;
    if (v->outcome == CHECK_FAILED)
        return false;
    v->outcome = CHECK_FAILED;
    va_start(ap, fmt);
    vsnprintf(v->why, sizeof v->why, fmt, ap);
    va_end(ap);
    for (char *p = v->why; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = ' ';
    return false;
}

void verdict_skip(struct verdict *v, const char *fmt, ...)
{
    va_list ap;
    if (v->outcome != CHECK_OK)
        return;
    v->outcome = CHECK_SKIPPED;
    va_start(ap, fmt);
    vsnprintf(v->why, sizeof v->why, fmt, ap);
    va_end(ap);
}

/* splitmix64: the same walk for the same seed on every machine. */
unsigned kit_random(struct kit *k, unsigned n)
{
    uint64_t z = k->random += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (unsigned)((z ^ (z >> 31)) % n);
}

static bool has_text(const json_t *list, const char *text)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        if (str_eq(json_string_value(v), text))
            return true;
    }
    return false;
}

bool kit_offers(const struct kit *k, const char *iface, const char *operation)
{
    return has_text(json_object_get(k->plugin->manifest, "interfaces"), iface) &&
           (!operation || has_text(json_object_get(k->plugin->manifest, "operations"), operation));
}

/* ---- set-up ---- */

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
        if (real && str_eq(real, manifest))
            k->plugin = &k->plugins.v[i];
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
    /* whether an operator would want it at its maturity is another question */
    if (rc == 0 && k->plugin && k->plugin->id) {
        rc = strv_add(&k->cfg->drivers_enabled_beta, k->plugin->id);
        rc = rc ? err_nomem(e) : scan(k, path, e);
    }
    if (rc == 0 && !k->plugin)
        return err_set(e, ERR_NOT_FOUND, "%s is no manifest of a plugin", r->manifest);
    if (rc == 0 && k->plugin->problem)
        return err_set(e, ERR_INVALID, "%s: %s", r->manifest, k->plugin->problem);
    return rc;
}

static int set_up(struct run *r, struct err *e)
{
    static const char *const options[][2] = {
        {"drivers.check_owner", "false"},      {"drivers.processes", "1"},
        {"drivers.kill_grace_ms", "2000"},     {"drivers.term_grace_ms", "100"},
        {"drivers.quarantine_deaths", "1000"}, {"drivers.quarantine_minutes", "1"},
        {"drivers.recycle_calls", "1000000"},  {"drivers.log_lines_per_s", "100000"},
        {"drivers.start_timeout_ms", "30000"}};
    struct kit *k = &r->kit;
    snprintf(k->scratch, sizeof k->scratch, "/tmp/magnum-check-XXXXXX");
    if (!mkdtemp(k->scratch))
        return err_errno(e, errno, "cannot make a directory in /tmp");
    int rc = config_load("/dev/null", &k->cfg, e);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(options); i++)
        rc = config_set(k->cfg, options[i][0], options[i][1], e);
    if (rc == 0 && r->host)
        rc = config_set(k->cfg, "drivers.host_program", r->host, e);
    rc = rc ? rc : find_plugin(r, e);
    rc = rc ? rc : set_plugin_config(r, e);
    rc = rc ? rc : read_spec(r, e);
    rc = rc ? rc : backend_open(r->backend, k->scratch, &k->backend, e);
    return rc;
}

/* The plugin's lines go to a file, where the canaries are looked for; errors of the kit itself are
 * printed on the old standard error. */
static int catch_log(const struct kit *k, FILE **ret_err, struct err *e)
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

static void tear_down(struct run *r)
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
    free(r->results);
}

/* ---- the run ---- */

static bool matches(const char *pattern, const char *text)
{
    regex_t re;
    if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return strstr(text, pattern) != NULL;
    bool yes = regexec(&re, text, 0, NULL, 0) == 0;
    regfree(&re);
    return yes;
}

static int add_cases(struct run *r, const struct check_case *cases, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s.%s", cases[i].group, cases[i].name);
        if ((r->include && !matches(r->include, name)) || (r->exclude && matches(r->exclude, name)))
            continue;
        struct result *v = realloc(r->results, (r->n + 1) * sizeof *v);
        if (!v)
            return err_nomem(e);
        r->results = v;
        v[r->n++] = (struct result){.c = &cases[i]};
    }
    return 0;
}

static int choose(struct run *r, struct err *e)
{
    int rc = add_cases(r, cases_static, cases_static_count, e);
    if (rc == 0 && str_eq(r->kit.plugin->kind, "cert-manager"))
        return add_cases(r, cases_cert, cases_cert_count, e);
    rc = rc ? rc : add_cases(r, cases_coe, cases_coe_count, e);
    return rc ? rc : add_cases(r, cases_walks, cases_walks_count, e);
}

static void print_result(size_t number, const struct result *res)
{
    printf("%sok %zu - %s.%s%s%s\n", res->v.outcome == CHECK_FAILED ? "not " : "", number,
           res->c->group, res->c->name, res->v.outcome == CHECK_SKIPPED ? " # SKIP " : "",
           res->v.outcome == CHECK_SKIPPED ? res->v.why : "");
    if (res->v.outcome == CHECK_FAILED)
        printf("# %s\n", res->v.why);
    (void)fflush(stdout);
}

/* Each case gets processes of its own: what one leaves in memory the next doesn't see. */
static int run_cases(struct run *r, struct err *e)
{
    printf("TAP version 13\n1..%zu\n", r->n);
    for (size_t i = 0; i < r->n; i++) {
        struct result *res = &r->results[i];
        int rc = driver_pool_new(r->kit.cfg, &r->kit.plugins, &r->kit.pool, e);
        if (rc != 0)
            return rc;
        int64_t begin = clock_mono_ms();
        res->c->run(&r->kit, &res->v);
        res->v.ms = clock_mono_ms() - begin;
        driver_pool_free(&r->kit.pool);
        print_result(i + 1, res);
    }
    return 0;
}

/* ---- reports ---- */

static void xml_text(FILE *f, const char *text)
{
    for (const char *p = text; *p; p++) {
        static const char special[] = "<>&\"";
        static const char *const names[] = {"&lt;", "&gt;", "&amp;", "&quot;"};
        const char *at = strchr(special, *p);
        if (at)
            (void)fputs(names[at - special], f);
        else
            (void)fputc(*p, f);
    }
}

static size_t count(const struct run *r, enum outcome o)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++)
        n += r->results[i].v.outcome == o;
    return n;
}

static int write_junit(const struct run *r, struct err *e)
{
    FILE *f = fopen(r->junit, "we");
    if (!f)
        return err_errno(e, errno, "%s", r->junit);
    fprintf(f,
            "<?xml version=\"1.0\"?>\n<testsuite name=\"%s\" tests=\"%zu\" failures=\"%zu\" "
            "skipped=\"%zu\">\n",
            r->kit.plugin->id, r->n, count(r, CHECK_FAILED), count(r, CHECK_SKIPPED));
    for (size_t i = 0; i < r->n; i++) {
        const struct result *res = &r->results[i];
        fprintf(f, " <testcase classname=\"%s\" name=\"%s\" time=\"%lld.%03lld\">", res->c->group,
                res->c->name, (long long)res->v.ms / 1000, (long long)res->v.ms % 1000);
        if (res->v.outcome != CHECK_OK) {
            fprintf(f, "<%s message=\"", res->v.outcome == CHECK_FAILED ? "failure" : "skipped");
            xml_text(f, res->v.why);
            fprintf(f, "\"/>");
        }
        fprintf(f, "</testcase>\n");
    }
    fprintf(f, "</testsuite>\n");
    return fclose(f) == 0 ? 0 : err_errno(e, errno, "%s", r->junit);
}

static int write_json(const struct run *r, struct err *e)
{
    static const char *const names[] = {"passed", "failed", "skipped"};
    const struct plugin *p = r->kit.plugin;
    json_t *results = json_array();
    for (size_t i = 0; results && i < r->n; i++) {
        const struct result *res = &r->results[i];
        json_array_append_new(results,
                              json_pack("{s:s,s:s,s:s,s:s,s:I}", "group", res->c->group, "name",
                                        res->c->name, "result", names[res->v.outcome], "detail",
                                        res->v.why, "milliseconds", (json_int_t)res->v.ms));
    }
    _cleanup_json_ json_t *doc = json_pack(
        "{s:i,s:s,s:{s:s,s:s,s:s?,s:s},s:I,s:b,s:I,s:I,s:I,s:o}", "verdict", 1, "kit",
        MAGNUM_VERSION, "plugin", "id", p->id, "version", p->version, "vendor", p->vendor, "sha256",
        p->sha256, "seed", (json_int_t)r->kit.seed, "complete", !r->include && !r->exclude,
        "passed", (json_int_t)count(r, CHECK_OK), "failed", (json_int_t)count(r, CHECK_FAILED),
        "skipped", (json_int_t)count(r, CHECK_SKIPPED), "results", results);
    if (!doc)
        return err_nomem(e);
    return json_dump_file(doc, r->json, JSON_INDENT(1)) == 0
               ? 0
               : err_set(e, ERR_IO, "cannot write %s", r->json);
}

static int report(struct run *r, struct err *e)
{
    printf("# %s %s (%.12s): %zu passed, %zu failed, %zu skipped\n", r->kit.plugin->id,
           r->kit.plugin->version, r->kit.plugin->sha256, count(r, CHECK_OK),
           count(r, CHECK_FAILED), count(r, CHECK_SKIPPED));
    int rc = r->junit ? write_junit(r, e) : 0;
    return rc == 0 && r->json ? write_json(r, e) : rc;
}

/* ---- main ---- */

static int go(struct run *r, FILE **err, struct err *e)
{
    int rc = set_up(r, e);
    rc = rc ? rc : choose(r, e);
    if (rc == 0 && r->list) {
        for (size_t i = 0; i < r->n; i++)
            printf("%s.%s\n", r->results[i].c->group, r->results[i].c->name);
        return 0;
    }
    rc = rc ? rc : catch_log(&r->kit, err, e);
    rc = rc ? rc : run_cases(r, e);
    return rc ? rc : report(r, e);
}

static int usage(const char *problem)
{
    fprintf(stderr, "magnum-driver-check: %s (see magnum-driver-check --help)\n", problem);
    return USAGE;
}

static bool number(const char *text, int64_t *ret)
{
    return parse_i64(text, 0, INT32_MAX, ret);
}

enum {
    O_CONFIG = 256,
    O_BACKEND,
    O_LABEL,
    O_SPEC,
    O_INCLUDE,
    O_EXCLUDE,
    O_SEED,
    O_WALKS,
    O_POINTS,
    O_STEPS,
    O_BUDGET,
    O_JUNIT,
    O_JSON,
    O_HOST,
    O_LIST
};

/* 0, or -1 when the option's value is wrong. */
static int take_option(struct run *r, int c, const char *arg)
{
    int64_t seed = 0;
    const struct {
        int option;
        const char **to;
    } texts[] = {{O_BACKEND, &r->backend}, {O_SPEC, &r->spec_file}, {O_INCLUDE, &r->include},
                 {O_EXCLUDE, &r->exclude}, {O_JUNIT, &r->junit},    {O_JSON, &r->json},
                 {O_HOST, &r->host}};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (texts[i].option == c) {
            *texts[i].to = arg;
            return 0;
        }
    }
    switch (c) {
    case O_CONFIG:
        return strv_add(&r->config, arg);
    case O_LABEL:
        return strv_add(&r->labels, arg);
    case O_WALKS:
        return number(arg, &r->kit.random_walks) ? 0 : -1;
    case O_POINTS:
        return number(arg, &r->kit.max_points) ? 0 : -1;
    case O_STEPS:
        return number(arg, &r->kit.max_steps) ? 0 : -1;
    case O_BUDGET:
        return number(arg, &r->kit.budget_ms) ? 0 : -1;
    case O_SEED:
        if (!number(arg, &seed))
            return -1;
        r->kit.seed = (uint64_t)seed;
        return 0;
    default:
        r->list = true;
        return 0;
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, O_CONFIG},
        {"backend", required_argument, NULL, O_BACKEND},
        {"label", required_argument, NULL, O_LABEL},
        {"spec", required_argument, NULL, O_SPEC},
        {"include", required_argument, NULL, O_INCLUDE},
        {"exclude", required_argument, NULL, O_EXCLUDE},
        {"seed", required_argument, NULL, O_SEED},
        {"walks", required_argument, NULL, O_WALKS},
        {"points", required_argument, NULL, O_POINTS},
        {"steps", required_argument, NULL, O_STEPS},
        {"budget", required_argument, NULL, O_BUDGET},
        {"junit", required_argument, NULL, O_JUNIT},
        {"json", required_argument, NULL, O_JSON},
        {"host", required_argument, NULL, O_HOST},
        {"list", no_argument, NULL, O_LIST},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct run r = {.kit = {.seed = 1,
                            .max_steps = 1000,
                            .max_points = 40,
                            .random_walks = 25,
                            .budget_ms = 20000}};
    struct err e = ERR_INIT;
    FILE *err = NULL;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'h' || c == 'V') {
            (void)fputs(c == 'h' ? help : "magnum-driver-check " MAGNUM_VERSION "\n", stdout);
            return PASSED;
        }
        if (c == '?' || take_option(&r, c, optarg) != 0) {
            tear_down(&r);
            return usage("unknown option, or a value that is no number");
        }
    }
    if (argc - optind != 1) {
        tear_down(&r);
        return usage("one manifest is wanted");
    }
    (void)signal(SIGPIPE, SIG_IGN);
    r.manifest = argv[optind];
    int rc = go(&r, &err, &e);
    size_t failed = count(&r, CHECK_FAILED);
    if (rc != 0)
        fprintf(err ? err : stderr, "magnum-driver-check: %s\n", e.msg);
    tear_down(&r);
    if (err)
        (void)fclose(err);
    return rc != 0 ? USAGE : failed ? FAILED : PASSED;
}
