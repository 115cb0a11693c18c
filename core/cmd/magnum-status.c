/* magnum-status: is this installation ready, and how is it? `upgrade check` prints and exits as
 * Magnum's tool of this name does (0 all well, 1 a warning, 2 a failure, 255 unexpected error); the
 * other verbs are ours. Neighbours: status_checks.c looks, this file prints. */
#include "base/log.h"
#include "base/str.h"
#include "config/config.h"
#include "db/db_service.h"
#include "status_checks.h"

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
    "  health          ask the API how it is and list the services\n"
    "\n"
    "  --config FILE             configuration; else $MAGNUM_CONFIG or /etc/magnum/magnum.yaml\n"
    "  --set SECTION.NAME=VALUE  override one option of the configuration (repeatable)\n"
    "  --endpoint URL            health: the API to ask instead of this host's\n"
    "  --version                 print the version of this program\n"
    "  --help                    print this text\n"
    "\n"
    "Exit status: 0 all is well, 1 a warning, 2 a failure or wrong usage, 255 an unexpected "
    "error.\n";

struct request {
    const char *file, *endpoint;
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
    static const char *const words[] = {"Success", "Warning", "Failure"};
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
        str_printf(&line, "Result: %s", words[result]);
        add_line(&lines, &line);
        add_details(&lines, details.msg[0] ? details.msg : "None");
    }
    print_frame(&lines);
    return worst;
}

/* ---- health ---- */
static struct libscols_table *new_table(void)
{
    static const char *const columns[] = {"HOST", "BINARY", "STATE", "LAST SEEN", "VERSION"};
    scols_init_debug(0);
    struct libscols_table *t = scols_new_table();
    scols_table_set_termforce(t, SCOLS_TERMFORCE_NEVER); /* a pipe may read it: nothing is cut */
    for (size_t i = 0; t && i < ARRAY_LEN(columns); i++)
        (void)scols_table_new_column(t, columns[i], 0, 0);
    return t;
}

static void print_services(const struct mservice_list *l)
{
    struct libscols_table *t = new_table();
    for (size_t i = 0; t && i < l->n; i++) {
        const struct mservice *s = &l->v[i];
        struct libscols_line *row = scols_table_new_line(t, NULL);
        char seen[CLOCK_ISO_MAX] = "never";
        if (s->last_seen_up != TIME_UNSET)
            clock_iso(s->last_seen_up, seen);
        const char *state = s->disabled ? "disabled" : s->forced_down ? "down" : "up";
        const char *cells[] = {s->host, s->binary, state, seen, s->version};
        for (size_t k = 0; row && k < ARRAY_LEN(cells); k++)
            (void)scols_line_set_data(row, k, cells[k] ? cells[k] : "");
    }
    if (t)
        (void)scols_print_table(t);
    scols_unref_table(t);
}

static int health_verb(const struct request *r)
{
    _cleanup_config_ struct config *cfg = NULL;
    struct err e = ERR_INIT;
    if (configure(r, &cfg, &e) < 0)
        return failed(&e);
    struct err api = ERR_INIT;
    int worst = (int)check_api(cfg, r->endpoint, &api);
    printf("API: %s\n", api.msg);
    struct mservice_list services = {NULL, 0};
    int down = 0;
    if (check_services(cfg, &services, &down, &e) < 0) {
        printf("Database: %s\n", e.msg);
        worst = CHECK_FAILURE;
    } else if (services.n == 0) {
        printf("Services: none has reported yet\n");
        worst = worst > CHECK_WARNING ? worst : CHECK_WARNING;
    } else {
        print_services(&services);
    }
    mservice_list_done(&services);
    return down > 0 && worst < CHECK_WARNING ? CHECK_WARNING : worst;
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
        {"config", required_argument, NULL, 'c'},   {"set", required_argument, NULL, 's'},
        {"endpoint", required_argument, NULL, 'e'}, {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
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
