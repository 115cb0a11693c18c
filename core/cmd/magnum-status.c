/* magnum-status: is this installation ready, and how is it? `upgrade check` prints and exits as
 * Magnum's tool of this name does (0 all well, 1 a warning, 2 a failure, 255 unexpected error); the
 * other verbs are ours. Neighbours: status_checks.c looks, this file prints. */
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "config/config.h"
#include "db/db_service.h"
#include "status_checks.h"
#include "status_health.h"

#include <getopt.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>

enum { USAGE = 2, UNEXPECTED = 255, WRAP = 60 };

static const char help[] =
    "usage: magnum-status [--config FILE] [--set SECTION.NAME=VALUE]... COMMAND\n"
    "\n"
    "  upgrade check   look at database, schema, keys and driver plugins\n"
    "  config check    read the configuration and say what is wrong with it\n"
    "  config sample   print a commented configuration with every option\n"
    "  health          look at the whole deployment: API, Keystone, database and replication,\n"
    "                  conductors and their answers, waiting and blocked operations, drivers,\n"
    "                  certificates; then list the services\n"
    "\n"
    "  --config FILE             configuration; else $MAGNUM_CONFIG or /etc/magnum/magnum.yaml\n"
    "  --set SECTION.NAME=VALUE  override one option of the configuration (repeatable)\n"
    "  --endpoint URL            health: the API to ask instead of this host's\n"
    "  --format FORMAT           health: table or json\n"
    "  --version                 print the version of this program\n"
    "  --help                    print this text\n"
    "\n"
    "Exit status: 0 all is well, 1 a warning, 2 a failure or wrong usage, 255 an unexpected "
    "error.\n";

static const char *const results[] = {"Success", "Warning", "Failure"};

struct request {
    const char *file, *endpoint;
    bool json;
    struct strv options;
};

static int usage(const char *problem)
{
    fprintf(stderr, "magnum-status: %s (see magnum-status --help)\n", problem);
    return USAGE;
}

static int failed(const struct err *e)
{
    fprintf(stderr, "magnum-status: %s\n", e->msg);
    return CHECK_FAILURE;
}

/* ---- configuration ---- */
static int set_option(struct config *cfg, const char *text, struct err *e)
{
    const char *eq = strchr(text, '=');
    if (!eq)
        return err_set(e, ERR_CONFIG, "--set %s: write it as SECTION.NAME=VALUE", text);
    _cleanup_free_ char *name = strndup(text, (size_t)(eq - text));
    return name ? config_set(cfg, name, eq + 1, e) : err_nomem(e);
}

static int configure(const struct request *r, struct config **ret, struct err *e)
{
    _cleanup_config_ struct config *cfg = NULL;
    int rc = config_load(r->file, &cfg, e);
    for (size_t i = 0; rc == 0 && i < r->options.n; i++)
        rc = set_option(cfg, r->options.v[i], e);
    if (rc == 0)
        rc = config_check(cfg, e);
    if (rc == 0)
        *ret = TAKE_PTR(cfg);
    return rc;
}

static int config_check_verb(const struct request *r)
{
    _cleanup_config_ struct config *cfg = NULL;
    struct err e = ERR_INIT;
    if (configure(r, &cfg, &e) < 0)
        return failed(&e);
    printf("%s: the configuration is fine\n", *cfg->source ? cfg->source : "defaults");
    return CHECK_SUCCESS;
}

static int config_sample_verb(const struct request *r)
{
    (void)r;
    _cleanup_free_ char *text = config_sample();
    if (!text || fputs(text, stdout) < 0 || fflush(stdout) != 0)
        return UNEXPECTED;
    return CHECK_SUCCESS;
}

/* ---- upgrade check: a framed table, one cell per check ---- */
static void add_line(struct strv *lines, struct str *line)
{
    (void)strv_add(lines, str_text(line)); /* a line that is missing is seen: ignoring */
    str_clear(line);
}

/* "Details: ..." in lines of at most WRAP characters, broken at blanks. */
static void add_details(struct strv *lines, const char *text)
{
    _cleanup_str_ struct str line = STR_INIT;
    str_append(&line, "Details:");
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, " ");
        if (line.len + 1 + n > WRAP && line.len > 8) {
            add_line(lines, &line);
            str_append(&line, " ");
        }
        str_append_c(&line, ' ');
        str_append_n(&line, p, n);
        p += n + strspn(p + n, " ");
    }
    add_line(lines, &line);
}

static size_t characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

static void print_rule(size_t width)
{
    putchar('+');
    for (size_t i = 0; i < width + 2; i++)
        putchar('-');
    puts("+");
}

/* An empty entry is a rule between two cells. */
static void print_frame(const struct strv *lines)
{
    size_t width = 0;
    for (size_t i = 0; i < lines->n; i++)
        width = characters(lines->v[i]) > width ? characters(lines->v[i]) : width;
    print_rule(width);
    for (size_t i = 0; i < lines->n; i++) {
        if (!lines->v[i][0])
            print_rule(width);
        else
            printf("| %s%*s |\n", lines->v[i], (int)(width - characters(lines->v[i])), "");
    }
    print_rule(width);
}

static int upgrade_check_verb(const struct request *r)
{
    _cleanup_config_ struct config *cfg = NULL;
    _cleanup_strv_ struct strv lines = STRV_INIT;
    _cleanup_str_ struct str line = STR_INIT;
    struct err e = ERR_INIT;
    if (configure(r, &cfg, &e) < 0) {
        fprintf(stderr, "magnum-status: %s\n", e.msg);
        return UNEXPECTED;
    }
    int worst = CHECK_SUCCESS;
    (void)strv_add(&lines, "Upgrade Check Results");
    for (int i = 0; i < upgrade_checks_len; i++) {
        struct err details = ERR_INIT;
        enum check_result result = upgrade_checks[i].run(cfg, &details);
        worst = (int)result > worst ? (int)result : worst;
        (void)strv_add(&lines, "");
        str_printf(&line, "Check: %s", upgrade_checks[i].name);
        add_line(&lines, &line);
        str_printf(&line, "Result: %s", results[result]);
        add_line(&lines, &line);
        add_details(&lines, details.msg[0] ? details.msg : "None");
    }
    print_frame(&lines);
    return worst;
}

/* ---- health ---- */
static struct libscols_table *new_table(const char *const *columns, size_t n)
{
    scols_init_debug(0);
    struct libscols_table *t = scols_new_table();
    scols_table_set_termforce(t, SCOLS_TERMFORCE_NEVER); /* a pipe may read it: nothing is cut */
    for (size_t i = 0; t && i < n; i++)
        (void)scols_table_new_column(t, columns[i], 0, 0);
    return t;
}

static const char *state_of(const struct mservice *s)
{
    return s->disabled ? "disabled" : s->forced_down ? "down" : "up";
}

static void print_services(const struct mservice_list *l)
{
    static const char *const columns[] = {"HOST", "BINARY", "STATE", "LAST SEEN", "VERSION"};
    struct libscols_table *t = new_table(columns, ARRAY_LEN(columns));
    for (size_t i = 0; t && i < l->n; i++) {
        const struct mservice *s = &l->v[i];
        struct libscols_line *row = scols_table_new_line(t, NULL);
        char seen[CLOCK_ISO_MAX] = "never";
        if (s->last_seen_up != TIME_UNSET)
            clock_iso(s->last_seen_up, seen);
        const char *cells[] = {s->host, s->binary, state_of(s), seen, s->version};
        for (size_t k = 0; row && k < ARRAY_LEN(cells); k++)
            (void)scols_line_set_data(row, k, cells[k] ? cells[k] : "");
    }
    if (t)
        (void)scols_print_table(t);
    scols_unref_table(t);
}

static void print_findings(const struct health *h)
{
    static const char *const columns[] = {"RESULT", "FOUND"};
    struct libscols_table *t = new_table(columns, ARRAY_LEN(columns));
    for (size_t i = 0; t && i < h->n; i++) {
        const struct finding *f = &h->v[i];
        struct libscols_line *row = scols_table_new_line(t, NULL);
        _cleanup_free_ char *found = str_fmt("%s: %s", f->name, f->details ? f->details : "");
        if (row && found) {
            (void)scols_line_set_data(row, 0, results[f->result]);
            (void)scols_line_set_data(row, 1, found);
        }
    }
    if (t)
        (void)scols_print_table(t);
    scols_unref_table(t);
}

static json_t *services_json(const struct mservice_list *l)
{
    json_t *a = json_array();
    for (size_t i = 0; a && i < l->n; i++) {
        const struct mservice *s = &l->v[i];
        char seen[CLOCK_ISO_MAX] = "";
        if (s->last_seen_up != TIME_UNSET)
            clock_iso(s->last_seen_up, seen);
        (void)json_array_append_new(a, json_pack("{s:s?, s:s?, s:s, s:s?, s:s?}", "host", s->host,
                                                 "binary", s->binary, "state", state_of(s),
                                                 "last_seen_up", *seen ? seen : NULL, "version",
                                                 s->version));
    }
    return a;
}

static int print_json(const struct health *h)
{
    _cleanup_json_ json_t *checks = json_array(), *doc = NULL;
    for (size_t i = 0; checks && i < h->n; i++)
        (void)json_array_append_new(checks,
                                    json_pack("{s:s, s:s, s:s?}", "check", h->v[i].name, "result",
                                              results[h->v[i].result], "details", h->v[i].details));
    doc = json_pack("{s:s, s:O?, s:o?}", "result", results[health_worst(h)], "checks", checks,
                    "services", services_json(&h->services));
    if (!doc || json_dumpf(doc, stdout, JSON_INDENT(2)) < 0)
        return UNEXPECTED;
    putchar('\n');
    return (int)health_worst(h);
}

static int health_verb(const struct request *r)
{
    _cleanup_config_ struct config *cfg = NULL;
    struct err e = ERR_INIT;
    if (configure(r, &cfg, &e) < 0)
        return failed(&e);
    struct health h;
    health_look(cfg, r->endpoint, &h);
    int result = (int)health_worst(&h);
    if (r->json) {
        result = print_json(&h);
    } else {
        if (h.services.n) {
            print_services(&h.services);
            putchar('\n');
        }
        print_findings(&h);
    }
    health_done(&h);
    return result;
}

/* ---- the command line ---- */
static const struct verb {
    const char *first, *second; /* second NULL: one word */
    int (*run)(const struct request *r);
} verbs[] = {
    {"upgrade", "check", upgrade_check_verb},
    {"config", "check", config_check_verb},
    {"config", "sample", config_sample_verb},
    {"health", NULL, health_verb},
};

static int dispatch(const struct request *r, int argc, char **argv)
{
    if (argc == 0)
        return usage("a command is missing");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        int words = verbs[i].second ? 2 : 1;
        if (strcmp(argv[0], verbs[i].first) != 0 || argc < words ||
            (verbs[i].second && strcmp(argv[1], verbs[i].second) != 0))
            continue;
        return argc > words ? usage("too many arguments") : verbs[i].run(r);
    }
    return usage("unknown command");
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"set", required_argument, NULL, 's'},
        {"endpoint", required_argument, NULL, 'e'},
        {"format", required_argument, NULL, 'f'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct request r = {.file = NULL};
    int result = -1;
    log_setup("magnum-status", LOG_ERR, false);
    for (int c; result < 0 && (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            r.file = optarg;
            break;
        case 'e':
            r.endpoint = optarg;
            break;
        case 'f':
            r.json = strcmp(optarg, "json") == 0;
            if (!r.json && strcmp(optarg, "table") != 0)
                result = usage("--format is table or json");
            break;
        case 's':
            if (strv_add(&r.options, optarg) < 0)
                result = UNEXPECTED;
            break;
        case 'V':
            printf("magnum-status %s\n", MAGNUM_VERSION);
            result = CHECK_SUCCESS;
            break;
        case 'h':
            fputs(help, stdout);
            result = CHECK_SUCCESS;
            break;
        default:
            result = USAGE; /* getopt has said what is wrong */
        }
    }
    if (result < 0)
        result = dispatch(&r, argc - optind, argv + optind);
    strv_free(&r.options);
    return result;
}
