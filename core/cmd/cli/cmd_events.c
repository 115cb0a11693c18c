/* magnum operation events|retry, magnum cluster events: what happened, also while it happens. With
 * --follow one request waits in the service until there is news; nothing is polled. See cli.h. */
#include "cmd/cli/cli.h"

#include "base/clock.h"
#include "base/jsonx.h"

#include <string.h>

enum { FOLLOW_S = 30, AWAY_MS = 60000, PAUSE_MS = 1000, QUICK_MS = 100 };

static const char *const columns[] = {"created_at", "code",    "stage", "percent",
                                      "actor",      "message", NULL};

/* One line per event: a table can't be drawn before its last row is known. */
static void print_line(const struct cli *c, const json_t *ev)
{
    _cleanup_str_ struct str line = STR_INIT;
    if (c->format == CLI_JSON) {
        _cleanup_free_ char *text = jsonx_text(ev);
        printf("%s\n", text ? text : "");
        return;
    }
    size_t chosen = c->columns.n;
    for (size_t i = 0; chosen ? i < chosen : columns[i] != NULL; i++) {
        const json_t *v = json_object_get(ev, chosen ? c->columns.v[i] : columns[i]);
        const char *between = line.len ? "  " : "";
        if (json_is_integer(v))
            str_printf(&line, "%s%lld", between, (long long)json_integer_value(v));
        else if (json_is_string(v) && *json_string_value(v))
            str_printf(&line, "%s%s", between, json_string_value(v));
    }
    _cleanup_free_ char *text = str_take(&line);
    cli_clean(text);
    printf("%s\n", text ? text : "");
}

static void print_all(const struct cli *c, const json_t *doc)
{
    size_t i;
    json_t *ev;
    json_array_foreach(json_object_get(doc, "events"), i, ev) print_line(c, ev);
    (void)fflush(stdout);
}

/* Until the operation has ended; a cluster is followed until the user stops it. */
static enum cli_exit follow(struct cli *c, const char *path)
{
    int64_t cursor = 0, seen_ms = clock_mono_ms();
    for (;;) {
        _cleanup_free_ char *full =
            str_fmt("%s?after=%lld&follow=%d", path, (long long)cursor, FOLLOW_S);
        _cleanup_json_ json_t *doc = NULL;
        struct err e = ERR_INIT;
        int64_t asked_ms = clock_mono_ms();
        if (!full)
            return cli_no_memory();
        enum cli_exit code = cli_try(c, "GET", full, NULL, &doc, &e);
        int64_t now = clock_mono_ms();
        if (code != CLI_OK && (code != CLI_UNREACHABLE || now - seen_ms > AWAY_MS))
            return cli_fail(code, &e);
        if (code == CLI_OK)
            seen_ms = now;
        print_all(c, doc);
        cursor = jsonx_int(doc, "cursor", cursor);
        bool some = json_array_size(json_object_get(doc, "events")) > 0;
        if (code == CLI_OK && !some && jsonx_bool(doc, "ended", false))
            return CLI_OK;
        if (!some && now - asked_ms < QUICK_MS)
            cli_pause_ms(PAUSE_MS);
    }
}

static enum cli_exit show_events(struct cli *c, const struct cli_args *a, const char *collection)
{
    char *path = cli_path(collection, a->words[0], "/events");
    if (!cli_has(a, "follow"))
        return cli_list(c, a, path, "events", columns);
    _cleanup_free_ char *owned = path;
    return owned ? follow(c, owned) : cli_no_memory();
}

enum cli_exit cmd_operation_events(struct cli *c, const struct cli_args *a)
{
    return show_events(c, a, "/v1/operations");
}

enum cli_exit cmd_cluster_events(struct cli *c, const struct cli_args *a)
{
    return show_events(c, a, "/v1/clusters");
}

/* The operation that is at work then may be a new one: a failed one is repeated. */
enum cli_exit cmd_operation_retry(struct cli *c, const struct cli_args *a)
{
    _cleanup_free_ char *path = cli_path("/v1/operations", a->words[0], "/retry");
    _cleanup_json_ json_t *op = NULL;
    enum cli_exit code = cli_request(c, "POST", path, NULL, &op);
    const char *id = jsonx_str(op, "id");
    if (code != CLI_OK || !cli_has(a, "wait"))
        return code == CLI_OK ? cli_print_item(c, op) : code;
    return cli_wait(c, id ? id : a->words[0], cli_int(a, "wait-timeout", 0));
}
