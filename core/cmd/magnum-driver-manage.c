/* magnum-driver-manage: the drivers of this deployment, from bundle to retirement. `list-drivers`
 * as Magnum's tool of this name; the rest is ours. Looks at the plugin directories of this machine,
 * and at the database when one is configured. Exit status: 0 done, 1 failed (one line says why), 2
 * wrong usage. Neighbours: driver_manage.h. */
#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "cmd/driver_manage.h"
#include "db/db.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { DONE = 0, FAILED = 1, USAGE = 2, EVENTS = 50, ANY = 1000 };

static const char help[] =
    "usage: magnum-driver-manage [--config FILE] [--plugin-dir DIR]... [-f FORMAT] COMMAND\n"
    "\n"
    "  list                     print every version of every driver and how it stands\n"
    "  list-drivers [-d] [-p]   print the drivers, as Magnum does\n"
    "  show ID                  print all that is known of one driver\n"
    "  verify ID                load it in a child: files, exports, handshake, interfaces, probe\n"
    "  check ID [-- OPTIONS]    run magnum-driver-check over it and keep the verdict\n"
    "  explain SERVER_TYPE OS COE | --template T | --cluster C\n"
    "                           which driver it gets, and why not the others\n"
    "  events [ID]              print what was done to drivers, by whom\n"
    "\n"
    "  install BUNDLE           check a bundle and put it beside what is there\n"
    "  uninstall ID VERSION     remove a version that nobody needs any more\n"
    "  enable ID                let new clusters use it, as the file that is there now\n"
    "  disable ID               no new clusters; existing ones can still be deleted\n"
    "  default list|set SERVER_TYPE OS COE ID|unset SERVER_TYPE OS COE\n"
    "                           which of several drivers gets a kind of cluster\n"
    "  upgrade ID [VERSION]     give new clusters another version; the highest one by default\n"
    "  rollback ID              give them the version from before\n"
    "  migrate-clusters ID [CLUSTER]...\n"
    "                           move clusters to the version that new ones get\n"
    "  config get ID [KEY]      print a driver's own section of the configuration\n"
    "  config set ID KEY=VALUE...\n"
    "  config unset ID KEY      as the configuration file says\n"
    "  quarantine list          print what is closed, such as what kept ending its process\n"
    "  quarantine add ID        close it: its operations wait\n"
    "  quarantine clear [ID]    open it again; without ID all of them\n"
    "\n"
    "  keys list|trust FILE [NAME]|distrust NAME\n"
    "                           whose bundles are installed\n"
    "  keys new PATH            make a pair: PATH.key signs, PATH.pem is for those who trust it\n"
    "  bundle MANIFEST          make a bundle of it, its library and its schemas\n"
    "  new NAME                 begin a driver of one's own with the SDK's template\n"
    "\n"
    "  leaks list               print what backends hold and no ledger names\n"
    "  leaks remove [LEAK]      have it removed; without LEAK all that are certain\n"
    "  backends                 print the endpoints that conductors leave alone at present\n"
    "\n";
static const char help_options[] =
    "ID is the id or the name of a driver, or ID@VERSION.\n"
    "  -d, --details          list-drivers: what each provides, its state, and unusable ones too\n"
    "  -p, --paths            list-drivers: the file of each\n"
    "  --any-file             enable: whatever file is found later, not this one alone\n"
    "  --project PROJECT      enable, disable, explain: for this project alone\n"
    "  --beta                 enable, disable: although it is not stable yet; or no more\n"
    "  --as-default           enable: instead of another driver for the same kind of cluster\n"
    "  --beside               enable: the other one goes on getting them\n"
    "  --migrate              upgrade, rollback: existing clusters too\n"
    "  --partial              upgrade, rollback: although some conductors lack the version\n"
    "  --force                upgrade, rollback, migrate-clusters: although the version's "
    "manifest\n"
    "                         says that it can't go on with clusters of theirs (takes_over)\n"
    "  --to VERSION           migrate-clusters: to this version\n"
    "  --allow-unsigned       install: a bundle that nobody has signed\n"
    "  --key FILE             bundle: sign it with this private key\n"
    "  --add PATH             bundle: also this file or directory beside it (repeatable)\n"
    "  -o, --output PATH      bundle, new: where to\n"
    "  --verdict FILE         check: keep this verdict (magnum-driver-check --json), run nothing\n"
    "  --id ID, --vendor NAME, --template DIR\n"
    "                         new: the driver's id, its vendor, another template\n"
    "  --template T, --cluster C\n"
    "                         explain: a cluster template, a cluster, by name or uuid\n"
    "  --limit N              events: how many (50)\n"
    "  -f, --format FORMAT    table (default), json, yaml or value\n"
    "  --json                 the same as -f json\n"
    "  --config FILE          configuration; else $MAGNUM_CONFIG or /etc/magnum/magnum.yaml\n"
    "  --set OPTION=VALUE     override one option (repeatable)\n"
    "  --plugin-dir DIR       look here instead of the configured directories (repeatable)\n"
    "  --connection CONNINFO  database to use instead of the configured one\n"
    "  --version              print the version of this program\n"
    "  --help                 print this text\n"
    "\n"
    "Exit status: 0 done, 1 failed (one line says why; verify, check and explain: also when the\n"
    "answer is no), 2 wrong usage.\n";

static int usage(const char *problem, const char *what)
{
    fprintf(stderr, "magnum-driver-manage: %s%s%s (see magnum-driver-manage --help)\n", problem,
            *what ? ": " : "", what);
    return USAGE;
}

int need_database(const struct request *r, struct err *e)
{
    return r->db ? 0
                 : err_set(e, ERR_CONFIG,
                           "this is kept in the database, and none is configured: "
                           "set database.connection or give --connection");
}

/* ---- verbs ---- */

static int do_versions(struct request *r, struct err *e)
{
    static const char *const columns[] = {
        "id",        "name",     "version",    "vendor", "provides", "state", "verdict",
        "signed_by", "clusters", "conductors", "sha256", "problem",  NULL};
    _cleanup_json_ json_t *rows = NULL;
    struct driver_info info;
    int rc = driver_info_load(r->cfg, r->db, &info, e);
    if (rc != 0)
        return rc;
    rc = driver_info_versions(&info, &rows, e);
    driver_info_done(&info);
    return rc == 0 ? output_list(r->format, rows, columns, e) : rc;
}

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
    {"list", NULL, 0, 0, true, do_versions},
    {"list-drivers", NULL, 0, 0, true, do_list},
    {"show", NULL, 1, 1, true, do_show},
    {"verify", NULL, 1, 1, false, do_verify},
    {"check", NULL, 1, ANY, true, do_check},
    {"explain", NULL, 0, 3, true, do_explain},
    {"events", NULL, 0, 1, true, do_events},
    {"install", NULL, 1, 1, true, do_install},
    {"uninstall", NULL, 1, 2, true, do_uninstall},
    {"enable", NULL, 1, 1, true, do_enable},
    {"disable", NULL, 1, 1, true, do_disable},
    {"default", "list", 0, 0, true, do_default_list},
    {"default", "set", 4, 4, true, do_default_set},
    {"default", "unset", 3, 3, true, do_default_unset},
    {"upgrade", NULL, 1, 2, true, do_upgrade},
    {"rollback", NULL, 1, 1, true, do_rollback},
    {"migrate-clusters", NULL, 1, ANY, true, do_migrate_clusters},
    {"config", "get", 1, 2, true, do_config_get},
    {"config", "set", 2, ANY, true, do_config_set},
    {"config", "unset", 2, 2, true, do_config_unset},
    {"quarantine", "list", 0, 0, true, do_quarantine_list},
    {"quarantine", "add", 1, 1, true, do_quarantine_add},
    {"quarantine", "clear", 0, 1, true, do_quarantine_clear},
    {"keys", "list", 0, 0, false, do_keys_list},
    {"keys", "trust", 1, 2, false, do_keys_trust},
    {"keys", "distrust", 1, 1, false, do_keys_distrust},
    {"keys", "new", 1, 1, false, do_keys_new},
    {"bundle", NULL, 1, 1, false, do_bundle},
    {"new", NULL, 1, 1, false, do_new},
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
    for (size_t i = 0; rc == 0 && i < r->sets.n; i++) {
        char *eq = strchr(r->sets.v[i], '=');
        if (!eq)
            return err_set(e, ERR_INVALID, "--set %s is not OPTION=VALUE", r->sets.v[i]);
        *eq = '\0';
        rc = config_set(r->cfg, r->sets.v[i], eq + 1, e);
    }
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

enum {
    OPT_CONFIG = 256,
    OPT_CONNECTION,
    OPT_PLUGIN_DIR,
    OPT_ADD,
    OPT_LIMIT,
    OPT_JSON,
    OPT_SET,
    OPT_VERSION
};

static const struct option options[] = {
    {"config", required_argument, NULL, OPT_CONFIG},
    {"connection", required_argument, NULL, OPT_CONNECTION},
    {"plugin-dir", required_argument, NULL, OPT_PLUGIN_DIR},
    {"set", required_argument, NULL, OPT_SET},
    {"add", required_argument, NULL, OPT_ADD},
    {"limit", required_argument, NULL, OPT_LIMIT},
    {"format", required_argument, NULL, 'f'},
    {"json", no_argument, NULL, OPT_JSON},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, 'h'},
    {"details", no_argument, NULL, 'd'},
    {"paths", no_argument, NULL, 'p'},
    {"output", required_argument, NULL, 'o'},
    /* the rest just sets a member: see plain below */
    {"any-file", no_argument, NULL, 1},
    {"beta", no_argument, NULL, 1},
    {"as-default", no_argument, NULL, 1},
    {"beside", no_argument, NULL, 1},
    {"migrate", no_argument, NULL, 1},
    {"partial", no_argument, NULL, 1},
    {"allow-unsigned", no_argument, NULL, 1},
    {"force", no_argument, NULL, 1},
    {"project", required_argument, NULL, 1},
    {"key", required_argument, NULL, 1},
    {"to", required_argument, NULL, 1},
    {"template", required_argument, NULL, 1},
    {"cluster", required_argument, NULL, 1},
    {"verdict", required_argument, NULL, 1},
    {"id", required_argument, NULL, 1},
    {"vendor", required_argument, NULL, 1},
    {NULL, 0, NULL, 0},
};

static void set_plain(struct request *r, const char *name)
{
    const struct {
        const char *name;
        bool *flag;
        const char **text;
    } plain[] = {
        {"any-file", &r->any_file, NULL},
        {"beta", &r->beta, NULL},
        {"as-default", &r->as_default, NULL},
        {"beside", &r->beside, NULL},
        {"migrate", &r->migrate, NULL},
        {"partial", &r->partial, NULL},
        {"allow-unsigned", &r->allow_unsigned, NULL},
        {"force", &r->force, NULL},
        {"project", NULL, &r->project},
        {"key", NULL, &r->key},
        {"to", NULL, &r->to},
        {"template", NULL, &r->template},
        {"cluster", NULL, &r->cluster},
        {"verdict", NULL, &r->verdict},
        {"id", NULL, &r->id},
        {"vendor", NULL, &r->vendor},
    };
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        if (strcmp(plain[i].name, name) != 0)
            continue;
        if (plain[i].flag)
            *plain[i].flag = true;
        else
            *plain[i].text = optarg;
    }
}

/* The result to exit with, or -1 to go on. */
static int parse_options(int argc, char **argv, struct request *r)
{
    int which = 0;
    for (int c; (c = getopt_long(argc, argv, "dpf:o:h", options, &which)) != -1;) {
        int bad = 0;
        switch (c) {
        case OPT_CONFIG:
            r->file = optarg;
            break;
        case OPT_CONNECTION:
            r->connection = optarg;
            break;
        case OPT_PLUGIN_DIR:
            bad = strv_add(&r->plugin_dirs, optarg);
            break;
        case OPT_ADD:
            bad = strv_add(&r->add, optarg);
            break;
        case OPT_SET:
            bad = strv_add(&r->sets, optarg);
            break;
        case OPT_LIMIT:
            if (!parse_i64(optarg, 1, 100000, &r->limit))
                return usage("not a number from 1 to 100000", optarg);
            break;
        case 'd':
            r->details = true;
            break;
        case 'p':
            r->paths = true;
            break;
        case 'o':
            r->output = optarg;
            break;
        case OPT_JSON:
            r->format = OUTPUT_JSON;
            break;
        case 'f':
            if (!output_format_parse(optarg, &r->format))
                return usage("unknown format", optarg);
            break;
        case OPT_VERSION:
            printf("magnum-driver-manage %s\n", MAGNUM_VERSION);
            return DONE;
        case 'h':
            fputs(help, stdout);
            fputs(help_options, stdout);
            return DONE;
        case 1:
            set_plain(r, options[which].name);
            break;
        default:
            return USAGE; /* getopt has said what is wrong */
        }
        if (bad)
            return FAILED;
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
        return usage(v->min_args == 1 ? "which one?" : "too few arguments", words[0]);
    if (args > v->max_args)
        return usage("too many arguments", words[n - 1]);
    r->args = words + 1 + (v->second != NULL);
    r->n_args = args;
    r->arg = args ? r->args[0] : NULL;
    return run(r, v);
}

int main(int argc, char **argv)
{
    struct request r = {.format = OUTPUT_TABLE, .limit = EVENTS};
    log_setup("magnum-driver-manage", LOG_WARN, false);
    int code = parse_options(argc, argv, &r);
    if (code < 0)
        code = dispatch(&r, argc - optind, argv + optind);
    strv_free(&r.plugin_dirs);
    strv_free(&r.add);
    strv_free(&r.sets);
    return code;
}
