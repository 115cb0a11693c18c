/* Following an operation to its end. See cli.h. Progress goes to stderr, so that stdout stays
 * what a script wants to read. */
#include "cmd/cli/cli.h"

#include "base/clock.h"
#include "base/jsonx.h"

#include <string.h>
#include <time.h>

enum { FIRST_MS = 50, LONGEST_MS = 1000 };

struct progress {
    bool tty;
    int64_t started_ms;
    char *last; /* what was shown last, without the time; owned */
};

static void show(struct progress *p, const json_t *op)
{
    const char *status = jsonx_str(op, "status"), *message = jsonx_str(op, "message");
    const char *reason = jsonx_str(op, "reason"), *actor = jsonx_str(op, "actor");
    bool blocked = str_eq(status, "BLOCKED");
    _cleanup_free_ char *line = str_fmt(
        "%s %3lld%% %s%s%s%s", jsonx_str(op, "kind"), (long long)jsonx_int(op, "percent", 0),
        blocked ? "BLOCKED, must act: " : "", blocked && actor ? actor : "", blocked ? ": " : "",
        blocked && reason ? reason
        : message         ? message
                          : "");
    if (!line)
        return;
    double s = (double)(clock_mono_ms() - p->started_ms) / 1000.0;
    if (p->tty)
        fprintf(stderr, "\r\033[K%s (%.1f s)", line, s);
    else if (!str_eq(p->last, line))
        fprintf(stderr, "%s (%.1f s)\n", line, s);
    free(p->last);
    p->last = TAKE_PTR(line);
}

static void end_line(struct progress *p)
{
    if (p->tty && p->last)
        fputs("\r\033[K", stderr);
    free(p->last);
    p->last = NULL;
}

char *cli_newest_operation(struct cli *c, const char *cluster_uuid)
{
    _cleanup_free_ char *id = cli_escape(cluster_uuid);
    _cleanup_free_ char *path = str_fmt("/v1/clusters/%s/operations?limit=1", id ? id : "");
    _cleanup_json_ json_t *doc = NULL;
    if (!path || cli_request_quiet(c, "GET", path, &doc) != CLI_OK)
        return NULL;
    return str_dup(jsonx_str(json_array_get(json_object_get(doc, "operations"), 0), "id"));
}

/* The polling interval: the service is asked again, no event is guessed. */
static void pause_ms(int64_t ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&ts, NULL);
}

static enum cli_exit ended(const json_t *op)
{
    const char *status = jsonx_str(op, "status");
    if (str_eq(status, "SUCCEEDED"))
        return CLI_OK;
    struct err e = ERR_INIT;
    const char *reason = jsonx_str(op, "reason"), *code = jsonx_str(op, "code");
    const char *remedy = jsonx_str(op, "remedy");
    err_set(&e, ERR_INTERNAL, "%s %s: %s%s%s%s%s", jsonx_str(op, "kind"), status, code ? code : "",
            code && reason ? ": " : "", reason ? reason : "", remedy && *remedy ? "; remedy: " : "",
            remedy ? remedy : "");
    return cli_fail(CLI_OP_FAILED, &e);
}

enum cli_exit cli_wait(struct cli *c, const char *cluster_uuid, const char *operation_id,
                       int64_t timeout_s)
{
    _cleanup_free_ char *newest =
        operation_id ? strdup(operation_id) : cli_newest_operation(c, cluster_uuid);
    _cleanup_free_ char *path = newest ? str_fmt("/v1/operations/%s", newest) : NULL;
    struct progress p = {isatty(STDERR_FILENO) == 1, clock_mono_ms(), NULL};
    struct err e = ERR_INIT;
    if (!path) {
        err_set(&e, ERR_NOT_FOUND, "there is no operation to wait for");
        return cli_fail(CLI_NOT_FOUND, &e);
    }
    for (int64_t wait = FIRST_MS;; wait = wait * 3 / 2 < LONGEST_MS ? wait * 3 / 2 : LONGEST_MS) {
        _cleanup_json_ json_t *op = NULL;
        enum cli_exit code = cli_request(c, "GET", path, NULL, &op);
        if (code != CLI_OK) {
            end_line(&p);
            return code;
        }
        const char *status = jsonx_str(op, "status");
        if (str_eq(status, "SUCCEEDED") || str_eq(status, "FAILED") ||
            str_eq(status, "CANCELLED")) {
            end_line(&p);
            return ended(op);
        }
        show(&p, op);
        if (timeout_s > 0 && clock_mono_ms() - p.started_ms > timeout_s * 1000) {
            end_line(&p);
            err_set(&e, ERR_TIMEOUT, "not done after %lld s; it goes on: magnum operation show %s",
                    (long long)timeout_s, newest);
            return cli_fail(CLI_TIMEOUT, &e);
        }
        pause_ms(wait);
    }
}
