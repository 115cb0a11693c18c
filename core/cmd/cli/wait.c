/* Following an operation to its end. See cli.h. Progress goes to stderr, so that stdout stays
 * what a script wants to read. */
#include "cmd/cli/cli.h"

#include "base/clock.h"
#include "base/jsonx.h"

#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

enum {
    FIRST_MS = 50,
    LONGEST_MS = 1000,
    AWAY_MS = 60000, /* a service that restarts is waited for this long */
    FOLLOW_S = 20,
    FOLLOW_TTY_S = 2, /* percents move without events */
    WIDTH_DEFAULT = 80,
};

struct progress {
    bool tty;
    int64_t started_ms;
    char *last; /* what was shown last, without the time; owned */
};

static double seconds(const struct progress *p)
{
    return (double)(clock_mono_ms() - p->started_ms) / 1000.0;
}

static int width(void)
{
    struct winsize w = {0};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : WIDTH_DEFAULT;
}

/* Takes line. On a terminal it is cut to one row: a wrapped line could not be drawn over. */
static void show(struct progress *p, char *line)
{
    if (!line)
        return;
    cli_clean(line);
    if (p->tty)
        fprintf(stderr, "\r\033[K%.*s (%.1f s)", width() - 12, line, seconds(p));
    else if (!str_eq(p->last, line))
        fprintf(stderr, "%s (%.1f s)\n", line, seconds(p));
    (void)fflush(stderr);
    free(p->last);
    p->last = line;
}

static void add_part(struct str *t, const char *before, const char *text)
{
    if (!str_blank(text))
        str_printf(t, "%s%s", before, text);
}

/* "create 40% nodes: starting worker 2", or who must act when nothing moves. A step that only says
 * the kind again, or stands before the message already, is left out. Caller frees. */
static char *describe(const json_t *op)
{
    const char *kind = jsonx_str(op, "kind"), *stage = jsonx_str(op, "stage");
    const char *actor = jsonx_str(op, "actor"), *message = jsonx_str(op, "message");
    struct str t = STR_INIT;
    str_printf(&t, "%s %lld%%", kind ? kind : "operation", (long long)jsonx_int(op, "percent", 0));
    if (str_eq(jsonx_str(op, "status"), "BLOCKED")) {
        str_printf(&t, " BLOCKED, %s must act", str_blank(actor) ? "somebody" : actor);
        add_part(&t, ": ", jsonx_str(op, "reason"));
        add_part(&t, "; remedy: ", jsonx_str(op, "remedy"));
        return str_take(&t);
    }
    bool step = !str_blank(stage) && !str_eq(stage, kind) && !str_starts(message, stage);
    if (step)
        add_part(&t, " ", stage);
    add_part(&t, step ? ": " : " ", message);
    return str_take(&t);
}

static void end_line(struct progress *p)
{
    if (p->tty && p->last)
        fputs("\r\033[K", stderr);
    free(p->last);
    p->last = NULL;
}

void cli_left_behind(const json_t *op)
{
    const json_t *list = json_object_get(json_object_get(op, "report"), "left_behind");
    size_t i;
    json_t *v;
    if (json_array_size(list) == 0)
        return;
    fputs("left behind, to be removed by hand:\n", stderr);
    json_array_foreach(list, i, v)
    {
        const char *kind = jsonx_str(v, "kind"), *name = jsonx_str(v, "name");
        const char *id = jsonx_str(v, "external_id");
        char *line = str_fmt("  %s %s%s%s", kind ? kind : "resource", name ? name : "",
                             str_blank(id) ? "" : " ", str_blank(id) ? "" : id);
        cli_clean(line);
        if (line)
            fprintf(stderr, "%s\n", line);
        free(line);
    }
}

static bool is_final(const char *status)
{
    return str_eq(status, "SUCCEEDED") || str_eq(status, "FAILED") || str_eq(status, "CANCELLED");
}

static enum cli_exit ended(struct progress *p, const json_t *op)
{
    const char *status = jsonx_str(op, "status"), *kind = jsonx_str(op, "kind");
    const char *reason = jsonx_str(op, "reason"), *code = jsonx_str(op, "code");
    const char *remedy = jsonx_str(op, "remedy");
    end_line(p);
    cli_left_behind(op);
    if (str_eq(status, "SUCCEEDED")) {
        show(p, str_fmt("%s done", kind ? kind : "operation"));
        if (p->tty)
            fputc('\n', stderr);
        return CLI_OK;
    }
    _cleanup_str_ struct str t = STR_INIT;
    str_printf(&t, "%s %s", kind ? kind : "operation", status);
    if (!str_blank(code))
        str_printf(&t, ": %s", code);
    if (!str_blank(reason))
        str_printf(&t, ": %s", reason);
    if (!str_blank(remedy))
        str_printf(&t, "; remedy: %s", remedy);
    struct err e = ERR_INIT;
    err_set(&e, ERR_INTERNAL, "%s", str_text(&t));
    return cli_fail(CLI_OP_FAILED, &e);
}

void cli_pause_ms(int64_t ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&ts, NULL);
}

static enum cli_exit timed_out(struct progress *p, int64_t timeout_s, const char *id)
{
    struct err e = ERR_INIT;
    end_line(p);
    err_set(&e, ERR_TIMEOUT, "not done after %lld s; it goes on: magnum operation show %s",
            (long long)timeout_s, id);
    return cli_fail(CLI_TIMEOUT, &e);
}

/* Whole seconds to wait for news: what is left, and not so long that a terminal seems dead. */
static int64_t follow_s(const struct progress *p, int64_t left_ms)
{
    int64_t most = p->tty ? FOLLOW_TTY_S : FOLLOW_S;
    return left_ms / 1000 + 1 < most ? left_ms / 1000 + 1 : most;
}

/* One request that the service answers when there is news. */
static enum cli_exit ask(struct cli *c, const char *path, int64_t *cursor, int64_t wait_s,
                         json_t **ret, struct err *e)
{
    _cleanup_free_ char *full =
        str_fmt("%s?after=%lld&follow=%lld", path, (long long)*cursor, (long long)wait_s);
    if (!full)
        return err_nomem(e), CLI_FAILED;
    enum cli_exit code = cli_try(c, "GET", full, NULL, ret, e);
    *cursor = jsonx_int(*ret, "cursor", *cursor);
    return code;
}

static enum cli_exit follow(struct cli *c, struct progress *p, const char *path, const char *id,
                            int64_t timeout_s)
{
    int64_t end_ms = timeout_s > 0 ? p->started_ms + timeout_s * 1000 : INT64_MAX;
    int64_t seen_ms = p->started_ms, cursor = 0, now = seen_ms;
    for (int64_t wait = FIRST_MS;; wait = wait * 3 / 2 < LONGEST_MS ? wait * 3 / 2 : LONGEST_MS) {
        _cleanup_json_ json_t *doc = NULL;
        struct err e = ERR_INIT;
        int64_t asked_ms = now;
        enum cli_exit code = ask(c, path, &cursor, follow_s(p, end_ms - now), &doc, &e);
        const json_t *op = json_object_get(doc, "operation");
        now = clock_mono_ms();
        if (code == CLI_OK)
            seen_ms = now;
        else if (code != CLI_UNREACHABLE || now - seen_ms > AWAY_MS)
            return end_line(p), cli_fail(code, &e);
        if (code == CLI_OK && is_final(jsonx_str(op, "status")))
            return ended(p, op);
        show(p, code == CLI_OK ? describe(op) : strdup("the service is away; asking again"));
        if (now >= end_ms)
            return timed_out(p, timeout_s, id);
        if (code == CLI_OK &&
            (json_array_size(json_object_get(doc, "events")) > 0 || now - asked_ms >= FIRST_MS))
            wait = FIRST_MS; /* it did the waiting */
        else
            cli_pause_ms(wait < end_ms - now ? wait : end_ms - now);
        now = clock_mono_ms();
    }
}

enum cli_exit cli_wait(struct cli *c, const char *operation_id, int64_t timeout_s)
{
    _cleanup_free_ char *path = cli_path("/v1/operations", operation_id, "/events");
    struct progress p = {isatty(STDERR_FILENO) == 1, clock_mono_ms(), NULL};
    if (!path)
        return cli_no_memory();
    enum cli_exit code = follow(c, &p, path, operation_id, timeout_s);
    free(p.last);
    return code;
}

enum cli_exit cli_newest_operation(struct cli *c, const char *cluster, char **ret)
{
    _cleanup_free_ char *path = cli_path("/v1/clusters", cluster, "/operations?limit=1");
    _cleanup_json_ json_t *doc = NULL;
    enum cli_exit code = cli_request(c, "GET", path, NULL, &doc);
    if (code != CLI_OK)
        return code;
    const char *id = jsonx_str(json_array_get(json_object_get(doc, "operations"), 0), "id");
    struct err e = ERR_INIT;
    if (!id) {
        err_set(&e, ERR_NOT_FOUND, "there is no operation to wait for");
        return cli_fail(CLI_NOT_FOUND, &e);
    }
    *ret = strdup(id);
    return *ret ? CLI_OK : cli_no_memory();
}

enum cli_exit cli_wait_cluster(struct cli *c, const struct cli_args *a, const char *cluster)
{
    _cleanup_free_ char *id = NULL;
    enum cli_exit code = cli_newest_operation(c, cluster, &id);
    return code == CLI_OK ? cli_wait(c, id, cli_int(a, "wait-timeout", 0)) : code;
}
