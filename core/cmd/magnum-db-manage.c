/* magnum-db-manage: brings the database schema up, says where it stands, and takes old history out
 * of it. Verbs as Magnum's tool of this name has them, or other OpenStack services' tools. Exit
 * status: 0 done, 1 failed (one line says why), 2 wrong usage; online_data_migrations has 1 for
 * "there is more to do" as elsewhere, and 2 for a failure. Neighbours: db/db_migrate,
 * db_manage_*.c. */
#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "cmd/db_manage_certs.h"
#include "cmd/db_manage_history.h"
#include "config/config.h"
#include "db/db_migrate.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { DONE = 0, FAILED = 1, USAGE = 2 };

static const char help[] =
    "usage: magnum-db-manage [--config FILE] [--connection CONNINFO] COMMAND\n"
    "\n"
    "  upgrade [REV]    bring the schema to REV (default: the newest)\n"
    "  version          print the revision the database is at\n"
    "  revision-list    print all revisions this program knows\n"
    "  stamp REV        record REV as reached without running any SQL\n"
    "  check            compare the database with what the migrations make\n"
    "  online_data_migrations\n"
    "                   fill in what newer revisions want of old rows, beside running services\n"
    "  purge            remove old operations, events and services that are gone\n"
    "  archive          move old operations and events into a file\n"
    "  certs migrate    move clusters' certificates to another manager (needs a conductor)\n"
    "\n"
    "  --max-count N          online_data_migrations: at most N rows; exit status 1: there is more "
    "to\n"
    "                         do, 0: nothing is left, 2: it failed\n"
    "  --days N               purge, archive: what is older than N days\n"
    "  --before TIME          or: from before 2026-01-31 or 2026-01-31T12:00:00Z (UTC)\n"
    "  --file FILE            archive: where to; lines of JSON are appended\n"
    "  --dry-run              purge, archive: only count\n"
    "  --batch N              rows per transaction (500)\n"
    "  --pause-ms N           between two transactions (20)\n"
    "\n"
    "  --from MANAGER         certs migrate: who keeps them: x509keypair, local, barbican, ...\n"
    "  --to MANAGER           certs migrate: who shall\n"
    "  --cluster UUID         certs migrate: only those of this cluster\n"
    "\n"
    "REV is a number, a name such as 0001_initial, or \"head\".\n"
    "  --config FILE          configuration; else $MAGNUM_CONFIG or /etc/magnum/magnum.yaml\n"
    "  --connection CONNINFO  database to work on instead of the configured one\n"
    "  --version              print the version of this program\n"
    "  --help                 print this text\n";

static int usage(const char *problem, const char *verb)
{
    fprintf(stderr, "magnum-db-manage: %s%s%s (see magnum-db-manage --help)\n", problem,
            *verb ? ": " : "", verb);
    return USAGE;
}

/* A number, a name of the list, or "head". -1: no such revision. */
static int parse_revision(struct db *db, const char *text, int *ret, struct err *e)
{
    struct db_revision *v = NULL;
    size_t n = 0;
    int64_t number = -1;
    int rc = db_migrate_list(db, &v, &n, e);
    if (rc)
        return rc;
    *ret = -1;
    bool numeric = parse_i64(text, 0, 9999, &number);
    for (size_t i = 0; i < n; i++)
        if (strcmp(text, v[i].name) == 0 || (numeric && v[i].number == number) ||
            (i + 1 == n && strcmp(text, "head") == 0))
            *ret = v[i].number;
    if (numeric && number == 0)
        *ret = 0;
    free(v);
    if (*ret < 0)
        return err_set(e, ERR_INVALID, "there is no revision \"%s\"; see revision-list", text);
    return 0;
}

/* --- verbs --- */

/* Of certs migrate. */
static struct {
    const struct config *cfg;
    const char *from, *to, *cluster;
} move;

static int do_certs(struct db *db, const char *arg, struct err *e)
{
    if (strcmp(arg, "migrate") != 0)
        return err_set(e, ERR_INVALID, "certs has one command: migrate");
    if (str_blank(move.from) || str_blank(move.to))
        return err_set(e, ERR_INVALID, "certs migrate needs --from and --to");
    return certs_migrate_run(move.cfg, db, move.from, move.to, move.cluster, e);
}

static struct history history = {.days = -1, .batch = 500, .pause_ms = 20};
static bool more; /* of online_data_migrations */

static int do_purge(struct db *db, const char *arg, struct err *e)
{
    (void)arg;
    return history_purge(db, &history, e);
}

static int do_archive(struct db *db, const char *arg, struct err *e)
{
    (void)arg;
    return history_archive(db, &history, e);
}

static int do_online(struct db *db, const char *arg, struct err *e)
{
    (void)arg;
    return history_migrate(db, &history, &more, e);
}

static int do_version(struct db *db, const char *arg, struct err *e)
{
    (void)arg;
    struct db_revision *v = NULL;
    size_t n = 0;
    int at = 0;
    int rc = db_migrate_version(db, &at, e);
    if (!rc)
        rc = db_migrate_list(db, &v, &n, e);
    if (rc)
        return rc;
    const char *name = at ? "unknown to this program" : "none";
    for (size_t i = 0; i < n; i++)
        if (v[i].number == at)
            name = v[i].name;
    printf("Current DB revision is %d (%s)\n", at, name);
    free(v);
    return 0;
}

static int do_upgrade(struct db *db, const char *arg, struct err *e)
{
    int to = 0, applied = 0;
    int rc = arg ? parse_revision(db, arg, &to, e) : 0;
    if (!rc && arg && to == 0)
        rc = err_set(e, ERR_INVALID, "revision 0 is the empty database; there is no way back");
    if (!rc)
        rc = db_migrate_upgrade(db, to, &applied, e);
    if (rc)
        return rc;
    if (applied)
        printf("Applied %d revision%s\n", applied, applied == 1 ? "" : "s");
    else
        printf("Nothing to do\n");
    return 0;
}

static int do_list(struct db *db, const char *arg, struct err *e)
{
    (void)arg;
    struct db_revision *v = NULL;
    size_t n = 0;
    int rc = db_migrate_list(db, &v, &n, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        printf("%04d  %-7s  %s\n", v[i].number, v[i].applied ? "applied" : "pending", v[i].name);
    free(v);
    return 0;
}

static int do_stamp(struct db *db, const char *arg, struct err *e)
{
    int number = 0;
    int rc = parse_revision(db, arg, &number, e);
    if (!rc)
        rc = db_migrate_stamp(db, number, e);
    if (!rc)
        printf("Stamped revision %d\n", number);
    return rc;
}

static int do_check(struct db *db, const char *arg, struct err *e)
{
    (void)arg;
    int rc = db_migrate_check(db, e);
    if (!rc)
        printf("The schema is as the migrations make it\n");
    return rc;
}

static const struct verb {
    const char *name;
    int min_args, max_args;
    int (*run)(struct db *db, const char *arg, struct err *e);
    int failed; /* exit status */
} verbs[] = {
    {"upgrade", 0, 1, do_upgrade, FAILED},
    {"version", 0, 0, do_version, FAILED},
    {"revision-list", 0, 0, do_list, FAILED},
    {"stamp", 1, 1, do_stamp, FAILED},
    {"check", 0, 0, do_check, FAILED},
    {"certs", 1, 1, do_certs, FAILED},
    {"purge", 0, 0, do_purge, FAILED},
    {"archive", 0, 0, do_archive, FAILED},
    {"online_data_migrations", 0, 0, do_online, USAGE},
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static int run(const struct verb *verb, const char *arg, const char *file, const char *connection,
               struct err *e)
{
    _cleanup_config_ struct config *cfg = NULL;
    struct db *db = NULL;
    int rc = config_load(file, &cfg, e);
    if (!rc && connection)
        rc = config_set(cfg, "database.connection", connection, e);
    if (!rc)
        rc = db_open(cfg, &db, e);
    move.cfg = cfg;
    if (!rc)
        rc = verb->run(db, arg, e);
    db_close(&db);
    return rc;
}

enum { OPT_NUMBER = 1000 }; /* from here on: an index into `numbers` */
static const struct {
    int64_t *to, min, max;
} numbers[] = {
    {&history.days, 0, 100000},
    {&history.max_count, 1, INT64_MAX},
    {&history.batch, 1, 100000},
    {&history.pause_ms, 0, 60000},
};

static bool number_given(int option, const char *text)
{
    size_t i = (size_t)(option - OPT_NUMBER);
    if (parse_i64(text, numbers[i].min, numbers[i].max, numbers[i].to))
        return true;
    fprintf(stderr, "magnum-db-manage: \"%s\" is no number from %lld to %lld\n", text,
            (long long)numbers[i].min, (long long)numbers[i].max);
    return false;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"connection", required_argument, NULL, 'd'},
        {"from", required_argument, NULL, 'F'},
        {"to", required_argument, NULL, 'T'},
        {"cluster", required_argument, NULL, 'C'},
        {"days", required_argument, NULL, OPT_NUMBER},
        {"max-count", required_argument, NULL, OPT_NUMBER + 1},
        {"batch", required_argument, NULL, OPT_NUMBER + 2},
        {"pause-ms", required_argument, NULL, OPT_NUMBER + 3},
        {"before", required_argument, NULL, 'B'},
        {"file", required_argument, NULL, 'f'},
        {"dry-run", no_argument, NULL, 'n'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *file = NULL, *connection = NULL;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            file = optarg;
            break;
        case 'd':
            connection = optarg;
            break;
        case 'F':
            move.from = optarg;
            break;
        case 'T':
            move.to = optarg;
            break;
        case 'C':
            move.cluster = optarg;
            break;
        case 'B':
            history.before = optarg;
            break;
        case 'f':
            history.file = optarg;
            break;
        case 'n':
            history.dry_run = true;
            break;
        case 'V':
            printf("magnum-db-manage %s\n", MAGNUM_VERSION);
            return DONE;
        case 'h':
            fputs(help, stdout);
            return DONE;
        default:
            if (c < OPT_NUMBER || !number_given(c, optarg))
                return USAGE; /* what is wrong has been said */
        }
    }
    if (optind == argc)
        return usage("a command is missing", "");
    const struct verb *verb = find_verb(argv[optind]);
    if (!verb)
        return usage("unknown command", argv[optind]);
    int args = argc - optind - 1;
    if (args < verb->min_args)
        return usage(verb->run == do_certs ? "the command is missing" : "the revision is missing",
                     verb->name);
    if (args > verb->max_args)
        return usage("too many arguments", verb->name);
    log_setup("magnum-db-manage", LOG_WARN, false);
    struct err e = ERR_INIT;
    if (run(verb, args ? argv[optind + 1] : NULL, file, connection, &e) == 0)
        return more ? FAILED : DONE;
    fprintf(stderr, "magnum-db-manage: %s\n", e.msg);
    return verb->failed;
}
