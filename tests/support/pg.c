/* See pg.h. */
#include "support/pg.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "support/pg_internal.h"

#include <glob.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct pg {
    struct pg_setup setup;
    pid_t keeper, pid;
    int fd;
    char *conninfo;
};

/* The newest installed major version. */
static bool find_bin(char *ret, size_t cap)
{
    glob_t g;
    int best = -1;
    if (glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &g) != 0)
        return false;
    for (size_t i = 0; i < g.gl_pathc; i++) {
        int major = 0;
        if (sscanf(g.gl_pathv[i], "/usr/lib/postgresql/%d/", &major) == 1 && major > best) {
            best = major;
            snprintf(ret, cap, "/usr/lib/postgresql/%d/bin", major);
        }
    }
    globfree(&g);
    return best >= 0;
}

static bool make_dir(struct pg_setup *s)
{
    snprintf(s->dir, sizeof s->dir, "/tmp/magnum-pg.XXXXXX");
    if (!mkdtemp(s->dir) || chmod(s->dir, 0755) != 0)
        return false;
    const struct passwd *pw = geteuid() == 0 ? getpwnam("postgres") : NULL;
    return geteuid() != 0 || (pw && chown(s->dir, pw->pw_uid, pw->pw_gid) == 0);
}

static bool ask(struct pg *pg, enum pg_command what)
{
    char command = (char)what;
    struct pg_answer a = {.ok = false, .pid = -1};
    if (send(pg->fd, &command, 1, MSG_NOSIGNAL) != 1 ||
        recv(pg->fd, &a, sizeof a, MSG_WAITALL) != (ssize_t)sizeof a)
        return false;
    pg->pid = a.pid;
    return a.ok;
}

static bool start_keeper(struct pg *pg)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return false;
    fflush(NULL);
    pg->keeper = fork();
    if (pg->keeper == 0) {
        close(fds[0]);
        setpgid(0, 0); /* a signal to the test's group is not for the keeper */
        pg_keep(&pg->setup, fds[1]);
    }
    close(fds[1]);
    pg->fd = fds[0];
    return pg->keeper > 0;
}

struct pg *pg_start(bool durable, const char *extra)
{
    struct pg *pg = calloc(1, sizeof *pg);
    if (!pg)
        return NULL;
    pg->fd = -1;
    pg->setup.durable = durable;
    pg->setup.extra = extra;
    if (!find_bin(pg->setup.bin, sizeof pg->setup.bin) || !make_dir(&pg->setup)) {
        fprintf(stderr, "no PostgreSQL under /usr/lib/postgresql, or no user postgres\n");
        free(pg);
        return NULL;
    }
    _cleanup_free_ char *admin = str_fmt("host=%s user=postgres dbname=postgres", pg->setup.dir);
    pg->conninfo = str_fmt("host=%s user=postgres dbname=magnum", pg->setup.dir);
    if (!start_keeper(pg) || !ask(pg, PG_START) || !admin || !pg->conninfo ||
        !pg_exec(admin, "CREATE DATABASE magnum"))
        pg_stop(&pg);
    return pg;
}

const char *pg_conninfo(const struct pg *pg)
{
    return pg->conninfo;
}

pid_t pg_pid(const struct pg *pg)
{
    return pg->pid;
}

const char *pg_dir(const struct pg *pg)
{
    return pg->setup.dir;
}

char *pg_new_database(struct pg *pg, const char *name)
{
    _cleanup_free_ char *admin = str_fmt("host=%s user=postgres dbname=postgres", pg->setup.dir);
    _cleanup_free_ char *drop = str_fmt("DROP DATABASE IF EXISTS %s WITH (FORCE)", name);
    _cleanup_free_ char *make = str_fmt("CREATE DATABASE %s", name);
    if (!admin || !drop || !make || !pg_exec(admin, drop) || !pg_exec(admin, make))
        return NULL;
    return str_fmt("host=%s user=postgres dbname=%s", pg->setup.dir, name);
}

static void ignore(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

char *pg_query(const char *conninfo, const char *sql)
{
    PGconn *c = PQconnectdb(conninfo);
    PQsetNoticeProcessor(c, ignore, NULL);
    PGresult *r = PQexec(c, sql);
    ExecStatusType st = PQresultStatus(r);
    char *text = NULL;
    if (st == PGRES_TUPLES_OK || st == PGRES_COMMAND_OK)
        text = str_dup(PQntuples(r) ? PQgetvalue(r, 0, 0) : "");
    else
        fprintf(stderr, "%s: %s", sql, PQerrorMessage(c));
    PQclear(r);
    PQfinish(c);
    return text;
}

bool pg_exec(const char *conninfo, const char *sql)
{
    _cleanup_free_ char *text = pg_query(conninfo, sql);
    return text != NULL;
}

struct pg_hold {
    PGconn *session;
};

struct pg_hold *pg_hold(const char *conninfo, const char *statement)
{
    struct pg_hold *h = malloc(sizeof *h);
    _cleanup_free_ char *both = str_fmt("BEGIN; %s", statement);
    if (!h || !both) {
        free(h);
        return NULL;
    }
    h->session = PQconnectdb(conninfo);
    PGresult *r = PQexec(h->session, both);
    ExecStatusType st = PQresultStatus(r);
    PQclear(r);
    if (st != PGRES_TUPLES_OK && st != PGRES_COMMAND_OK) {
        fprintf(stderr, "%s: %s", statement, PQerrorMessage(h->session));
        pg_let_go(&h);
    }
    return h;
}

void pg_let_go(struct pg_hold **hold)
{
    struct pg_hold *h = TAKE_PTR(*hold);
    if (!h)
        return;
    PQfinish(h->session);
    free(h);
}

bool pg_kill(struct pg *pg)
{
    return ask(pg, PG_KILL);
}

bool pg_restart(struct pg *pg)
{
    return ask(pg, PG_KILL) && ask(pg, PG_START);
}

void pg_stop(struct pg **pgp)
{
    struct pg *pg = TAKE_PTR(*pgp);
    if (!pg)
        return;
    if (pg->keeper > 0) {
        (void)ask(pg, PG_END);
        close(pg->fd);
        waitpid(pg->keeper, NULL, 0);
    }
    free(pg->conninfo);
    free(pg);
}
