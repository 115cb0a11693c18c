/* magnum cluster create|list|show|update|resize|delete. See cli.h. */
#include "cmd/cli/cli.h"

#include "base/jsonx.h"

#include <string.h>

static const char collection[] = "/v1/clusters";

static char *path_of(const char *ident, const char *rest)
{
    _cleanup_free_ char *id = cli_escape(ident);
    return id ? str_fmt("%s/%s%s", collection, id, rest) : NULL;
}

static enum cli_exit out_of_memory(void)
{
    struct err e = ERR_INIT;
    err_nomem(&e);
    return cli_fail(CLI_FAILED, &e);
}

/* After an accepted change: waits when asked to, then shows the cluster. */
static enum cli_exit accepted(struct cli *c, const struct cli_args *a, const char *uuid,
                              const char *what)
{
    if (!cli_has(a, "wait")) {
        cli_say(c, "Request to %s cluster %s accepted", what, uuid);
        if (c->format != CLI_TABLE) {
            _cleanup_json_ json_t *o = json_pack("{s:s}", "uuid", uuid);
            return cli_print_item(c, o);
        }
        return CLI_OK;
    }
    enum cli_exit code = cli_wait(c, uuid, NULL, cli_int(a, "timeout-wait", 0));
    if (code != CLI_OK)
        return code;
    _cleanup_json_ json_t *doc = NULL;
    code = cli_get(c, collection, uuid, &doc);
    return code == CLI_OK ? cli_print_item(c, doc) : code;
}

enum cli_exit cmd_cluster_create(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *body = json_object();
    _cleanup_json_ json_t *labels = NULL;
    _cleanup_json_ json_t *made = NULL;
    if (!cli_has(a, "cluster-template")) {
        err_set(&e, ERR_INVALID, "--cluster-template is needed; see magnum cluster create --help");
        return cli_fail(CLI_USAGE, &e);
    }
    if (a->n_words)
        json_object_set_new(body, "name", json_string(a->words[0]));
    if (cli_fill(a, body, &e) != 0 || cli_labels(a, "labels", &labels, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    if (json_object_size(labels))
        json_object_set(body, "labels", labels);
    enum cli_exit code = cli_request(c, "POST", collection, body, &made);
    if (code != CLI_OK)
        return code;
    const char *uuid = jsonx_str(made, "uuid");
    return accepted(c, a, uuid ? uuid : "", "create");
}

enum cli_exit cmd_cluster_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"uuid",         "name",   "keypair",       "node_count",
                                          "master_count", "status", "health_status", NULL};
    _cleanup_json_ json_t *doc = NULL;
    _cleanup_free_ char *path = cli_has(a, "limit")
                                    ? str_fmt("%s?limit=%s", collection, cli_text(a, "limit"))
                                    : str_dup(collection);
    if (!path)
        return out_of_memory();
    enum cli_exit code = cli_request(c, "GET", path, NULL, &doc);
    return code == CLI_OK ? cli_print_list(c, json_object_get(doc, "clusters"), columns) : code;
}

enum cli_exit cmd_cluster_show(struct cli *c, const struct cli_args *a)
{
    _cleanup_json_ json_t *doc = NULL;
    enum cli_exit code = cli_get(c, collection, a->words[0], &doc);
    return code == CLI_OK ? cli_print_item(c, doc) : code;
}

/* "op path=value ...", as the older shells have it: magnum cluster update c replace node_count=3 */
enum cli_exit cmd_cluster_update(struct cli *c, const struct cli_args *a)
{
    _cleanup_json_ json_t *patch = json_array();
    _cleanup_json_ json_t *answer = NULL;
    struct err e = ERR_INIT;
    for (size_t i = 2; i < a->n_words; i++) {
        const char *eq = strchr(a->words[i], '=');
        size_t n = eq ? (size_t)(eq - a->words[i]) : strlen(a->words[i]);
        const char *slash = a->words[i][0] == '/' ? "" : "/";
        _cleanup_free_ char *path = str_fmt("%s%.*s", slash, (int)n, a->words[i]);
        json_t *op = json_pack("{s:s, s:s}", "op", a->words[1], "path", path ? path : "");
        json_t *value = NULL;
        if (eq) { /* a number stays a number */
            json_error_t je;
            value = json_loads(eq + 1, JSON_DECODE_ANY, &je);
            if (!json_is_integer(value)) {
                json_decref(value);
                value = json_string(eq + 1);
            }
            json_object_set_new(op, "value", value);
        }
        if (!op || json_array_append_new(patch, op) < 0) {
            err_set(&e, ERR_INVALID, "'%s' is not valid UTF-8", a->words[i]);
            return cli_fail(CLI_USAGE, &e);
        }
    }
    _cleanup_free_ char *path =
        path_of(a->words[0], cli_has(a, "rollback") ? "?rollback=true" : "");
    if (!path)
        return out_of_memory();
    enum cli_exit code = cli_request(c, "PATCH", path, patch, &answer);
    const char *uuid = jsonx_str(answer, "uuid");
    return code == CLI_OK ? accepted(c, a, uuid ? uuid : a->words[0], "update") : code;
}

enum cli_exit cmd_cluster_resize(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    json_error_t je;
    _cleanup_json_ json_t *count = json_loads(a->words[1], JSON_DECODE_ANY, &je);
    _cleanup_json_ json_t *nodes = json_array();
    _cleanup_json_ json_t *answer = NULL;
    if (!json_is_integer(count)) {
        err_set(&e, ERR_INVALID, "NODE_COUNT is a whole number, not '%s'", a->words[1]);
        return cli_fail(CLI_USAGE, &e);
    }
    for (size_t i = 0; i < a->n_values; i++)
        if (str_eq(a->values[i].option->name, "nodes-to-remove"))
            json_array_append_new(nodes, json_string(a->values[i].text));
    _cleanup_json_ json_t *body = json_pack("{s:O}", "node_count", count);
    if (json_array_size(nodes))
        json_object_set(body, "nodes_to_remove", nodes);
    if (cli_fill(a, body, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    _cleanup_free_ char *path = path_of(a->words[0], "/actions/resize");
    if (!path)
        return out_of_memory();
    enum cli_exit code = cli_request(c, "POST", path, body, &answer);
    const char *uuid = jsonx_str(answer, "uuid");
    return code == CLI_OK ? accepted(c, a, uuid ? uuid : a->words[0], "resize") : code;
}

static enum cli_exit delete_one(struct cli *c, const struct cli_args *a, const char *ident)
{
    _cleanup_json_ json_t *cluster = NULL;
    _cleanup_free_ char *operation = NULL, *path = path_of(ident, "");
    enum cli_exit code = cli_get(c, collection, ident, &cluster);
    if (code != CLI_OK)
        return code;
    const char *uuid = jsonx_str(cluster, "uuid");
    if (!path || !uuid)
        return out_of_memory();
    if ((code = cli_request(c, "DELETE", path, NULL, NULL)) != CLI_OK)
        return code;
    cli_say(c, "Request to delete cluster %s has been accepted.", ident);
    if (!cli_has(a, "wait"))
        return CLI_OK;
    operation = cli_newest_operation(c, uuid);
    if (!operation) /* gone already, with its operations out of sight */
        return CLI_OK;
    code = cli_wait(c, uuid, operation, cli_int(a, "timeout-wait", 0));
    if (code == CLI_OK)
        cli_say(c, "Deleted cluster %s", ident);
    return code;
}

enum cli_exit cmd_cluster_delete(struct cli *c, const struct cli_args *a)
{
    enum cli_exit worst = CLI_OK;
    for (size_t i = 0; i < a->n_words; i++) {
        enum cli_exit code = delete_one(c, a, a->words[i]);
        worst = code == CLI_OK ? worst : code;
    }
    return worst;
}
