/* magnum-driver-manage: the driver plugins of this deployment. `list-drivers` as Magnum's tool of
 * this name; show, verify, enable, disable and quarantine are ours. Looks at the plugin directories
 * of this machine, and at the database when one is configured. Exit status: 0 done, 1 failed (one
 * line says why), 2 wrong usage. Neighbours: driver_manage.h. */
#include "base/log.h"
#include "base/str.h"
#include "cmd/driver_manage.h"
#include "db/db_service.h"

#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

enum { DONE = 0, FAILED = 1, USAGE = 2 };

static const char help[] =
    "usage: magnum-driver-manage [--config FILE] [--plugin-dir DIR]... [-f FORMAT] COMMAND\n"
    "\n"
    "  list-drivers [-d] [-p]   print the drivers\n"
    "  show ID                  print all that is known of one driver\n"
    "  verify ID                load it in a child: files, exports, handshake, interfaces, probe\n"
    "  enable ID [--any-file]   let new clusters use it, as the file that is there now\n"
    "  disable ID               no new clusters; existing ones can still be deleted\n"
    "  quarantine list          print what is closed because it kept ending its process\n"
    "  quarantine clear [ID]    open it again; without ID all of them\n"
    "  leaks list               print what backends hold and no ledger names\n"
    "  leaks remove [LEAK]      have it removed; without LEAK all that are certain\n"
    "  backends                 print the endpoints that conductors leave alone at present\n"
    "\n"
    "ID is the id or the name of a driver.\n"
    "  -d, --details          list-drivers: what each provides, its state, and unusable ones too\n"
    "  -p, --paths            list-drivers: the file of each\n"
    "  --any-file             enable: whatever file is found later, not this one alone\n"
    "  -f, --format FORMAT    table (default), json, yaml or value\n"
    "  --config FILE          configuration; else $MAGNUM_CONFIG or /etc/magnum/magnum.yaml\n"
    "  --plugin-dir DIR       look here instead of the configured directories (repeatable)\n"
    "  --connection CONNINFO  database to use instead of the configured one\n"
    "  --version              print the version of this program\n"
    "  --help                 print this text\n";

struct request {
    const char *file, *connection;
    struct strv plugin_dirs;
    bool details, paths, any_file;
    enum output_format format;
    const char *arg; /* of the command; NULL = none */
    struct config *cfg;
    struct db *db; /* NULL when none is configured */
};

static int usage(const char *problem, const char *what)
{
    fprintf(stderr, "magnum-driver-manage: %s%s%s (see magnum-driver-manage --help)\n", problem,
            *what ? ": " : "", what);
    return USAGE;
}

static int need_database(const struct request *r, struct err *e)
{
    return r->db ? 0
                 : err_set(e, ERR_CONFIG,
                           "this is kept in the database, and none is configured: "
                           "set database.connection or give --connection");
}

/* ---- verbs ---- */

static int do_list(struct request *r, struct err *e)
{
    const char *columns[9] = {"Name"};
    size_t n = 1;
    if (r->details) {
        static const char *const more[] = {"Server_Type", "OS", "COE", "State", "Problem"};
        for (size_t i = 0; i < ARRAY_LEN(more); i++)
            columns[n++] = more[i];
    }
    if (r->paths)
        columns[n++] = "Path";
    struct driver_info info;
    int rc = driver_info_load(r->cfg, r->db, &info, e);
    if (rc != 0)
        return rc;
    _cleanup_json_ json_t *rows = driver_info_rows(&info, r->details);
    rc = rows ? output_list(r->format, rows, columns, e) : err_nomem(e);
    driver_info_done(&info);
    return rc;
}

static int do_show(struct request *r, struct err *e)
{
    struct driver_info info;
    _cleanup_json_ json_t *item = NULL;
    int rc = driver_info_load(r->cfg, r->db, &info, e);
    if (rc != 0)
        return rc;
    rc = driver_info_show(&info, r->arg, &item, e);
    driver_info_done(&info);
    if (rc == 0 && !item)
        rc = err_set(e, ERR_NOT_FOUND, "there is no driver %s", r->arg);
    return rc == 0 ? output_item(r->format, item, e) : rc;
}

static int do_verify(struct request *r, struct err *e)
{
    static const char *const columns[] = {"check", "result", "detail", NULL};
    _cleanup_json_ json_t *rows = NULL;
    bool ok = false;
    int rc = driver_verify(r->cfg, r->arg, &rows, &ok, e);
    if (rc == 0)
        rc = output_list(r->format, rows, columns, e);
    return rc == 0 && !ok ? err_set(e, ERR_INVALID, "driver %s can't be used here", r->arg) : rc;
}

static void who_am_i(char *ret, size_t size)
{
    const struct passwd *pw = getpwuid(getuid());
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    snprintf(ret, size, "%s@%s", pw ? pw->pw_name : "unknown", host);
}

static int decide(struct request *r, bool enable, struct err *e)
{
    struct driver_info info;
    int rc = need_database(r, e);
    if (rc == 0)
        rc = driver_info_load(r->cfg, r->db, &info, e);
    if (rc != 0)
        return rc;
    const struct plugin *p = plugin_find(&info.plugins, r->arg);
    const json_t *row = json_object_get(info.published, r->arg);
    const char *sum = p ? p->sha256 : json_string_value(json_object_get(row, "sha256"));
    const char *id = p ? p->id : r->arg;
    char who[320];
    who_am_i(who, sizeof who);
    if (!p && !row)
        rc = err_set(e, ERR_NOT_FOUND, "there is no driver %s", r->arg);
    else if (enable && p && p->problem)
        rc = err_set(e, ERR_INVALID, "driver %s can't be used: %s", id, p->problem);
    else
        rc = db_driver_enable(r->db, id, enable, enable && !r->any_file ? sum : NULL, who, e);
    if (rc == 0 && enable)
        printf("Driver %s is enabled%s%s\n", id, r->any_file ? "" : " for the file with sha256 ",
               r->any_file ? ", whatever its file" : sum);
    else if (rc == 0)
        printf("Driver %s is disabled: it gets no new clusters; existing clusters can still be "
               "deleted\n",
               id);
    driver_info_done(&info);
    return rc;
}

static int do_enable(struct request *r, struct err *e)
{
    return decide(r, true, e);
}

static int do_disable(struct request *r, struct err *e)
{
    return decide(r, false, e);
}

static int do_quarantine_list(struct request *r, struct err *e)
{
    static const char *const columns[] = {"id", "sha256", "since", "reason", NULL};
    _cleanup_json_ json_t *rows = NULL;
    int rc = need_database(r, e);
    if (rc == 0)
        rc = db_driver_quarantine_list(r->db, &rows, e);
    return rc == 0 ? output_list(r->format, rows, columns, e) : rc;
}

static int do_quarantine_clear(struct request *r, struct err *e)
{
    _cleanup_json_ json_t *rows = NULL;
    struct plugin_list plugins = {0};
    int rc = need_database(r, e);
    if (rc == 0)
        rc = db_driver_quarantine_list(r->db, &rows, e);
    if (rc == 0 && r->arg)
        rc = plugins_scan(r->cfg, &plugins, e);
    if (rc != 0)
        return rc;
    const struct plugin *p = r->arg ? plugin_find(&plugins, r->arg) : NULL;
    const char *id = p ? p->id : r->arg;
    size_t i, n = 0;
    json_t *v;
    json_array_foreach(rows, i, v)
    {
        n += !id || str_eq(json_string_value(json_object_get(v, "id")), id);
    }
    if (id && n == 0)
        rc = err_set(e, ERR_NOT_FOUND, "%s is not quarantined", id);
    else
        rc = db_driver_quarantine_clear(r->db, id, e);
    if (rc == 0)
        printf("Cleared %zu quarantine%s\n", n, n == 1 ? "" : "s");
    plugin_list_done(&plugins);
    return rc;
}

static int do_leaks_list(struct request *r, struct err *e)
{
    int rc = need_database(r, e);
    return rc ? rc : leaks_list(r->cfg, r->db, r->format, e);
}

static int do_leaks_remove(struct request *r, struct err *e)
{
    int rc = need_database(r, e);
    return rc ? rc : leaks_remove(r->cfg, r->db, r->arg, e);
}

static int do_backends(struct request *r, struct err *e)
{
    int rc = need_database(r, e);
    return rc ? rc : backends_list(r->db, r->format, e);
}

static const struct verb {
    const char *name, *second; /* second: the word after it, or NULL */
    int min_args, max_args;
    bool database; /* opens it when one is configured */
    int (*run)(struct request *r, struct err *e);
} verbs[] = {
    {"list-drivers", NULL, 0, 0, true, do_list},
    {"show", NULL, 1, 1, true, do_show},
    {"verify", NULL, 1, 1, false, do_verify},
    {"enable", NULL, 1, 1, true, do_enable},
    {"disable", NULL, 1, 1, true, do_disable},
    {"quarantine", "list", 0, 0, true, do_quarantine_list},
    {"quarantine", "clear", 0, 1, true, do_quarantine_clear},
    {"leaks", "list", 0, 0, true, do_leaks_list},
    {"leaks", "remove", 0, 1, true, do_leaks_remove},
    {"backends", NULL, 0, 0, true, do_backends},
};

static const struct verb *find_verb(int n, char **words)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i].name, words[0]) == 0 &&
            (!verbs[i].second || (n > 1 && strcmp(verbs[i].second, words[1]) == 0)))
            return &verbs[i];
    return NULL;
}

static int configure(struct request *r, struct err *e)
{
    int rc = config_load(r->file, &r->cfg, e);
    if (rc == 0 && r->connection)
        rc = config_set(r->cfg, "database.connection", r->connection, e);
    if (rc == 0 && r->plugin_dirs.n) {
        strv_free(&r->cfg->drivers_plugin_dirs);
        r->cfg->drivers_plugin_dirs = r->plugin_dirs;
        r->plugin_dirs = (struct strv)STRV_INIT;
    }
    return rc;
}

static int run(struct request *r, const struct verb *v)
{
    struct err e = ERR_INIT;
    int rc = configure(r, &e);
    if (rc == 0 && v->database && !str_blank(r->cfg->database_connection))
        rc = db_open(r->cfg, &r->db, &e);
    if (rc == 0)
        rc = v->run(r, &e);
    db_close(&r->db);
    config_free(&r->cfg);
    if (rc == 0 && fflush(stdout) == 0)
        return DONE;
    fprintf(stderr, "magnum-driver-manage: %s\n", rc ? e.msg : "cannot write the output");
    return FAILED;
}

/* The result to exit with, or -1 to go on. */
static int parse_options(int argc, char **argv, struct request *r)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"connection", required_argument, NULL, 'C'},
        {"plugin-dir", required_argument, NULL, 'P'},
        {"details", no_argument, NULL, 'd'},
        {"paths", no_argument, NULL, 'p'},
        {"any-file", no_argument, NULL, 'a'},
        {"format", required_argument, NULL, 'f'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "dpf:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            r->file = optarg;
            break;
        case 'C':
            r->connection = optarg;
            break;
        case 'P':
            if (strv_add(&r->plugin_dirs, optarg) != 0)
                return FAILED;
            break;
        case 'd':
            r->details = true;
            break;
        case 'p':
            r->paths = true;
            break;
        case 'a':
            r->any_file = true;
            break;
        case 'f':
            if (!output_format_parse(optarg, &r->format))
                return usage("unknown format", optarg);
            break;
        case 'V':
            printf("magnum-driver-manage %s\n", MAGNUM_VERSION);
            return DONE;
        case 'h':
            fputs(help, stdout);
            return DONE;
        default:
            return USAGE; /* getopt has said what is wrong */
        }
    }
    return -1;
}

static int dispatch(struct request *r, int n, char **words)
{
    if (n == 0)
        return usage("a command is missing", "");
    const struct verb *v = find_verb(n, words);
    if (!v)
        return usage("unknown command", words[0]);
    int args = n - 1 - (v->second != NULL);
    if (args < v->min_args)
        return usage("which driver?", words[0]);
    if (args > v->max_args)
        return usage("too many arguments", words[n - 1]);
    r->arg = args ? words[n - 1] : NULL;
    return run(r, v);
}

int main(int argc, char **argv)
{
    struct request r = {.format = OUTPUT_TABLE};
    log_setup("magnum-driver-manage", LOG_WARN, false);
    int code = parse_options(argc, argv, &r);
    if (code < 0)
        code = dispatch(&r, argc - optind, argv + optind);
    strv_free(&r.plugin_dirs);
    return code;
}
