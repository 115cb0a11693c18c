/* magnum-driver-check: options and the run over all cases. See check.h; set_up.c prepares the run,
 * report.c tells its results. */
#include "report.h"
#include "set_up.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/parse.h"

#include <getopt.h>
#include <openssl/evp.h>
#include <regex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { PASSED = 0, FAILED = 1, USAGE = 2, LIBRARY_MAX = 256 << 20 };

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
    "  --sign KEY.pem       sign the verdict with this Ed25519 key: FILE.sig beside it\n"
    "  --reproduce SEED/N   only point N of each walk, with that seed (a failure tells both)\n"
    "  --preload LIB        load LIB before the plugin: libasan.so for one built with it\n"
    "  --valgrind           run the plugin under valgrind\n"
    "  --host PROGRAM       magnum-driver-host to use\n"
    "  --list               print the checks, run none\n"
    "  --version            print the version of this program\n"
    "  --help               print this text\n"
    "\n"
    "example:\n"
    "  magnum-driver-check --config state_dir=@DIR@ --json verdict.json simulator.yaml\n";

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

int kit_read_library(const struct kit *k, char **ret, size_t *len, struct verdict *v)
{
    struct err e = ERR_INIT;
    if (io_read_file(k->plugin->library_path, LIBRARY_MAX, ret, len, &e) == 0)
        return 0;
    verdict_fail(v, "%s", e.msg);
    return -1;
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

static int add_cases(const struct run *r, struct report *all, const struct check_case *cases,
                     size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s.%s", cases[i].group, cases[i].name);
        if ((r->include && !matches(r->include, name)) || (r->exclude && matches(r->exclude, name)))
            continue;
        struct result *v = realloc(all->results, (all->n + 1) * sizeof *v);
        if (!v)
            return err_nomem(e);
        all->results = v;
        v[all->n++] = (struct result){.c = &cases[i]};
    }
    return 0;
}

static int choose(const struct run *r, struct report *all, struct err *e)
{
    bool cert = str_eq(r->kit.plugin->kind, "cert-manager");
    int rc = add_cases(r, all, cases_static, cases_static_count, e);
    rc = rc ? rc : add_cases(r, all, cases_library, cases_library_count, e);
    rc = rc ? rc : add_cases(r, all, cases_hosts, cases_hosts_count, e);
    if (cert)
        rc = rc ? rc : add_cases(r, all, cases_cert, cases_cert_count, e);
    else
        rc = rc ? rc : add_cases(r, all, cases_coe, cases_coe_count, e);
    if (!cert)
        rc = rc ? rc : add_cases(r, all, cases_walks, cases_walks_count, e);
    return rc ? rc : add_cases(r, all, cases_end, cases_end_count, e);
}

bool kit_skips(const struct kit *k, struct verdict *v, unsigned point)
{
    if (k->only_point && k->only_point != point)
        return true;
    v->point = point;
    return false;
}

/* Each case gets processes of its own: what one leaves in memory the next doesn't see. */
static int run_cases(struct run *r, struct report *all, struct err *e)
{
    report_begin(all);
    for (size_t i = 0; i < all->n; i++) {
        struct result *res = &all->results[i];
        int rc = driver_pool_new(r->kit.cfg, &r->kit.plugins, &r->kit.pool, e);
        if (rc != 0)
            return rc;
        int64_t begin = clock_mono_ms();
        res->c->run(&r->kit, &res->v);
        res->v.ms = clock_mono_ms() - begin;
        driver_pool_free(&r->kit.pool);
        report_result(all, i);
    }
    return 0;
}

/* ---- main ---- */

static int run(struct run *r, struct report *all, FILE **err, struct err *e)
{
    EVP_PKEY *key = NULL;
    int rc = r->sign ? report_key_read(r->sign, &key, e) : 0;
    rc = rc ? rc : catch_log(&r->kit, err, e);
    rc = rc ? rc : run_cases(r, all, e);
    rc = rc ? rc : report_end(all, r->junit, r->json, key, e);
    EVP_PKEY_free(key);
    return rc;
}

static int go(struct run *r, struct report *all, FILE **err, struct err *e)
{
    int rc = set_up(r, e);
    rc = rc ? rc : choose(r, all, e);
    if (rc != 0)
        return rc;
    all->plugin = r->kit.plugin;
    all->seed = r->kit.seed;
    all->complete = !r->include && !r->exclude && !r->reproduce;
    if (!r->list)
        return run(r, all, err, e);
    for (size_t i = 0; i < all->n; i++)
        printf("%s.%s\n", all->results[i].c->group, all->results[i].c->name);
    return 0;
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
    O_PRELOAD,
    O_VALGRIND,
    O_SIGN,
    O_REPRODUCE,
    O_LIST
};

/* 0, or -1 when the option's value is wrong. */
static int take_option(struct run *r, int c, const char *arg)
{
    int64_t seed = 0;
    const struct {
        int option;
        const char **to;
    } texts[] = {{O_BACKEND, &r->backend},    {O_SPEC, &r->spec_file},  {O_INCLUDE, &r->include},
                 {O_EXCLUDE, &r->exclude},    {O_JUNIT, &r->junit},     {O_JSON, &r->json},
                 {O_HOST, &r->host},          {O_PRELOAD, &r->preload}, {O_SIGN, &r->sign},
                 {O_REPRODUCE, &r->reproduce}};
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
    case O_VALGRIND:
        r->valgrind = true;
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
        {"preload", required_argument, NULL, O_PRELOAD},
        {"valgrind", no_argument, NULL, O_VALGRIND},
        {"sign", required_argument, NULL, O_SIGN},
        {"reproduce", required_argument, NULL, O_REPRODUCE},
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
    struct report all = {0};
    int rc = go(&r, &all, &err, &e);
    size_t failed = report_count(&all, CHECK_FAILED);
    free(all.results);
    if (rc != 0)
        fprintf(err ? err : stderr, "magnum-driver-check: %s\n", e.msg);
    tear_down(&r);
    if (err)
        (void)fclose(err);
    return rc != 0 ? USAGE : failed ? FAILED : PASSED;
}
