/* See conn_internal.h. The waiting is done here with poll, not inside libpq, so that a server that
 * has stopped answering costs a timeout and not a thread. */
#include "conn_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "row_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* How much longer than the server's own statement_timeout the client waits for its answer. */
enum { GRACE_MS = 3000 };

static void clear_result(PGresult **r)
{
    PQclear(*r);
    *r = NULL;
}
#define _cleanup_result_ _cleanup_(clear_result)

/* SQLSTATE (or its class) to our code, most specific first. */
static const struct {
    const char *prefix;
    int code;
    const char *text;
} states[] = {
    {"57014", ERR_TIMEOUT, "a database statement took longer than allowed"},
    {"55P03", ERR_TIMEOUT, "a database lock was not to be had in time"},
    {"57P", ERR_UNAVAILABLE, "the database server is shutting down or starting"},
    {"08", ERR_UNAVAILABLE, "the database connection was lost"},
    {"25006", ERR_UNAVAILABLE, "the database server is read-only"},
    {"25P03", ERR_UNAVAILABLE, "the database server ended an idle transaction"},
    {"53100", ERR_CANT_STORE, "the database server's disk is full"},
    {"53", ERR_UNAVAILABLE, "the database server is out of resources"},
    {"58", ERR_IO, "the database server can't reach its files"},
    {"40", ERR_BUSY, "the transaction collided with another one"},
    {"23505", ERR_EXISTS, "the row exists already"},
    {"23503", ERR_NOT_FOUND, "the row it belongs to does not exist"},
    {"22021", ERR_INVALID, "the text is not valid UTF-8"},
    {"22P05", ERR_INVALID, "the text can't be stored"},
    {"42P01", ERR_CONFIG, "the database schema is not in place: run magnum-db-manage upgrade"},
    {"42703", ERR_CONFIG, "the database schema is another one: run magnum-db-manage check"},
    {"26000", ERR_CONFIG, "a pooler keeps no session: set database.transaction_pooling"},
    {"42P05", ERR_CONFIG, "a pooler keeps no session: set database.transaction_pooling"},
    {"42501", ERR_CONFIG, "the database user may not do this"},
    {"28", ERR_CONFIG, "the database server refuses this user"},
};

static int lost(struct conn *c, struct err *e)
{
    c->broken = true;
    return err_set(e, ERR_UNAVAILABLE, "the database connection was lost");
}

/* The text users may see names no SQL; what the server said goes to the debug log. */
static int from_result(struct conn *c, const PGresult *r, const char *what, struct err *e)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    snprintf(c->detail, sizeof c->detail, "%s", primary ? primary : PQresultErrorMessage(r));
    log_debug("db.error", "%s: %s %s", what, state ? state : "no state", c->detail);
    if (!state)
        return lost(c, e);
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        if (str_starts(state, states[i].prefix)) {
            if (states[i].code == ERR_UNAVAILABLE)
                c->broken = true;
            return err_set(e, states[i].code, "%s", states[i].text);
        }
    return err_set(e, ERR_INTERNAL, "database error (SQLSTATE %s)", state);
}

/* Waits until the socket can be read (or written). False at the deadline or on an error. */
static bool wait_socket(PGconn *pg, short events, int64_t deadline_ms)
{
    for (;;) {
        int64_t left = deadline_ms ? deadline_ms - clock_mono_ms() : -1;
        if (deadline_ms && left <= 0)
            return false;
        struct pollfd p = {.fd = PQsocket(pg), .events = events};
        int n = poll(&p, 1, (int)left);
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
    }
}

/* All results of what was sent; the last one counts, an earlier error wins. */
static int read_results(struct conn *c, const char *what, PGresult **ret, struct err *e)
{
    _cleanup_result_ PGresult *last = NULL;
    int64_t deadline = c->timeout_ms ? clock_mono_ms() + c->timeout_ms : 0;
    for (;;) {
        while (PQisBusy(c->pg)) {
            if (!wait_socket(c->pg, POLLIN, deadline)) {
                c->broken = true;
                return err_set(e, ERR_TIMEOUT, "the database server does not answer");
            }
            if (!PQconsumeInput(c->pg))
                return lost(c, e);
        }
        PGresult *r = PQgetResult(c->pg);
        if (!r)
            break;
        ExecStatusType was = last ? PQresultStatus(last) : PGRES_EMPTY_QUERY;
        if (was == PGRES_FATAL_ERROR) {
            PQclear(r);
            continue;
        }
        PQclear(last);
        last = r;
    }
    if (!last)
        return lost(c, e);
    ExecStatusType st = PQresultStatus(last);
    if (st != PGRES_TUPLES_OK && st != PGRES_COMMAND_OK) {
        int rc = from_result(c, last, what, e);
        if (PQstatus(c->pg) == CONNECTION_BAD)
            c->broken = true;
        return rc;
    }
    *ret = TAKE_PTR(last);
    return 0;
}

static int take_result(struct conn *c, const char *what, PGresult **ret, struct err *e)
{
    int64_t begun = clock_mono_us();
    int rc = read_results(c, what, ret, e);
    metrics_observe_us(METRIC_DB_STATEMENTS, clock_mono_us() - begun,
                       METRICS_LABELS_OF(metrics_result(rc)));
    if (rc == 0)
        c->answered_ms = clock_mono_ms();
    return rc;
}

static unsigned slot_of(const struct conn *c, const struct sql_stmt *s)
{
    unsigned i = (unsigned)(((uintptr_t)s >> 4) % CONN_STMTS);
    while (c->prepared[i] && c->prepared[i] != s)
        i = (i + 1) % CONN_STMTS;
    return i;
}

/* Prepares a named statement on first use. *ret_named false: run it unnamed (the table is full). */
static int prepare(struct conn *c, const struct sql_stmt *s, bool *ret_named, struct err *e)
{
    unsigned slot = slot_of(c, s);
    *ret_named = true;
    if (c->prepared[slot])
        return 0;
    if (c->n_prepared >= CONN_STMTS / 2)
        return *ret_named = false, 0;
    _cleanup_free_ char *sql = row_expand(s->sql);
    if (!sql)
        return err_nomem(e);
    if (!PQsendPrepare(c->pg, s->name, sql, 0, NULL))
        return lost(c, e);
    _cleanup_result_ PGresult *r = NULL;
    int rc = take_result(c, s->name, &r, e);
    if (rc)
        return rc;
    c->prepared[slot] = s;
    c->n_prepared++;
    return 0;
}

/* Hands a statement to libpq; what it answers is still to be taken. */
static int send_statement(struct conn *c, const struct sql_stmt *s, const struct sql_params *p,
                          bool named, struct err *e)
{
    int n = p ? p->n : 0, sent;
    if (named) {
        sent = PQsendQueryPrepared(c->pg, s->name, n, p ? p->value : NULL, p ? p->length : NULL,
                                   p ? p->format : NULL, 1);
    } else {
        _cleanup_free_ char *sql = row_expand(s->sql);
        if (!sql)
            return err_nomem(e);
        sent = PQsendQueryParams(c->pg, sql, n, NULL, p ? p->value : NULL, p ? p->length : NULL,
                                 p ? p->format : NULL, 1);
    }
    return sent ? 0 : lost(c, e);
}

static int make_ready(struct conn *c, const struct sql_stmt *s, const struct sql_params *p,
                      bool *ret_named, struct err *e)
{
    *ret_named = false;
    if (p && p->bad)
        return err_nomem(e);
    return s->name && !c->no_session ? prepare(c, s, ret_named, e) : 0;
}

int conn_run(struct conn *c, const struct sql_stmt *s, const struct sql_params *p, PGresult **ret,
             struct err *e)
{
    bool named = false;
    int rc = make_ready(c, s, p, &named, e);
    if (!rc)
        rc = send_statement(c, s, p, named, e);
    return rc ? rc : take_result(c, s->name ? s->name : "statement", ret, e);
}

/* ---- several statements in one round trip ---- */

enum { STEPS_MAX = 16 };

static int send_many(struct conn *c, const struct conn_step *v, size_t n, const bool *named,
                     struct err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++)
        rc = send_statement(c, v[i].stmt, v[i].params, named[i], e);
    return !rc && !PQpipelineSync(c->pg) ? lost(c, e) : rc;
}

/* Up to the mark that ends the pipeline: what is left of statements that were not run. */
static int drain(struct conn *c, struct err *e)
{
    int64_t deadline = c->timeout_ms ? clock_mono_ms() + c->timeout_ms : 0;
    for (bool end = false; !end;) {
        while (PQisBusy(c->pg))
            if (!wait_socket(c->pg, POLLIN, deadline) || !PQconsumeInput(c->pg))
                return lost(c, e);
        if (PQstatus(c->pg) == CONNECTION_BAD)
            return lost(c, e);
        PGresult *r = PQgetResult(c->pg);
        end = r && PQresultStatus(r) == PGRES_PIPELINE_SYNC;
        PQclear(r);
    }
    return PQexitPipelineMode(c->pg) ? 0 : lost(c, e);
}

int conn_run_many(struct conn *c, const struct conn_step *v, size_t n, size_t *ret_failed,
                  struct err *e)
{
    bool named[STEPS_MAX];
    *ret_failed = n;
    if (n > STEPS_MAX)
        return err_set(e, ERR_INTERNAL, "too many statements at a time");
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++)
        rc = make_ready(c, v[i].stmt, v[i].params, &named[i], e);
    if (rc)
        return rc;
    if (!PQenterPipelineMode(c->pg))
        return lost(c, e);
    rc = send_many(c, v, n, named, e);
    if (rc) { /* half of it may be on its way */
        c->broken = true;
        return rc;
    }
    for (size_t i = 0; !rc && i < n; i++) {
        _cleanup_result_ PGresult *r = NULL;
        rc = take_result(c, v[i].stmt->name ? v[i].stmt->name : "statement", &r, e);
        if (rc)
            *ret_failed = i;
        else if (v[i].ret)
            *v[i].ret = TAKE_PTR(r);
    }
    struct err later = ERR_INIT;
    int ended = c->broken ? 0 : drain(c, rc ? &later : e);
    return rc ? rc : ended;
}

int conn_script(struct conn *c, const char *sql, struct err *e)
{
    if (!PQsendQuery(c->pg, sql))
        return lost(c, e);
    _cleanup_result_ PGresult *r = NULL;
    return take_result(c, "script", &r, e);
}

bool conn_alive(struct conn *c)
{
    if (c->broken || PQstatus(c->pg) != CONNECTION_OK)
        return false;
    /* an idle server sends nothing but its farewell (or a notice, which is consumed) */
    struct pollfd p = {.fd = PQsocket(c->pg), .events = POLLIN};
    if (poll(&p, 1, 0) == 0)
        return true;
    return PQconsumeInput(c->pg) && PQstatus(c->pg) == CONNECTION_OK && !PQisBusy(c->pg) &&
           poll(&p, 1, 0) == 0;
}

void conn_close(struct conn **cp)
{
    struct conn *c = *cp;
    *cp = NULL;
    if (!c)
        return;
    PQfinish(c->pg);
    free(c);
}

static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    log_debug("db.notice", "%s", message);
}

/* libpq says one line per address it tried, and hints on lines that begin with a tab. */
static int refused(const char *text, struct err *e)
{
    _cleanup_str_ struct str why = STR_INIT;
    while (*text) {
        size_t len = strcspn(text, "\n");
        if (*text != '\t' && len) {
            str_append(&why, why.len ? "; " : "");
            str_append_n(&why, text, len);
        }
        text += len + (text[len] == '\n');
    }
    return err_set(e, ERR_UNAVAILABLE, "no connection to the database: %s", str_text(&why));
}

static int connect_within(struct conn *c, const struct conn_settings *s, struct err *e)
{
    static const char *const keys[] = {"dbname", "fallback_application_name", "client_encoding",
                                       NULL};
    const char *const values[] = {s->conninfo, "magnum", "UTF8", NULL};
    int64_t deadline = clock_mono_ms() + s->connect_timeout_ms;
    c->pg = PQconnectStartParams(keys, values, 1);
    if (!c->pg)
        return err_nomem(e);
    PQsetNoticeProcessor(c->pg, ignore_notice, NULL);
    PostgresPollingStatusType st = PGRES_POLLING_WRITING;
    while (PQstatus(c->pg) != CONNECTION_BAD && st != PGRES_POLLING_OK &&
           st != PGRES_POLLING_FAILED) {
        short events = st == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        if (!wait_socket(c->pg, events, deadline))
            return err_set(e, ERR_UNAVAILABLE, "no connection to the database within %lld ms",
                           (long long)s->connect_timeout_ms);
        st = PQconnectPoll(c->pg);
    }
    if (PQstatus(c->pg) == CONNECTION_OK)
        return 0;
    return refused(PQerrorMessage(c->pg), e);
}

int conn_open(const struct conn_settings *s, struct conn **ret, struct err *e)
{
    _cleanup_(conn_close) struct conn *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    int rc = connect_within(c, s, e);
    if (rc)
        return rc;
    c->timeout_ms = s->statement_timeout_ms + GRACE_MS;
    c->no_session = s->no_session;
    if (c->no_session) { /* what is set below is the role's there, see docs/deployment.md */
        *ret = TAKE_PTR(c);
        return 0;
    }
    /* Short statements by indexes are all there is: plans are made once per connection and must
     * stay good while tables grow from empty to large between two ANALYZEs, so sequential scans
     * are the last resort and jit is off. A session that dies or freezes in a transaction must let
     * go: others wait for what it has locked. */
    _cleanup_free_ char *set =
        str_fmt("SET timezone = 'UTC'; SET synchronous_commit = on;"
                "SET default_transaction_isolation = 'read committed';"
                "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off;"
                "SET statement_timeout = %lld; SET idle_in_transaction_session_timeout = %lld",
                (long long)s->statement_timeout_ms, (long long)s->statement_timeout_ms);
    if (!set)
        return err_nomem(e);
    rc = conn_script(c, set, e);
    if (rc)
        return rc;
    *ret = TAKE_PTR(c);
    return 0;
}
