/* magnum cluster create|list|show|update|resize|delete. See cli.h. */
#include "cmd/cli/cli.h"

#include "base/jsonx.h"
#include "base/parse.h"

#include <string.h>

static const char collection[] = "/v1/clusters";

/* The request was accepted: says so, then waits when asked to and shows the cluster. */
static enum cli_exit accepted(struct cli *c, const struct cli_args *a, const char *cluster,
                              const char *what)
{
    cli_say(c, "Request to %s cluster %s accepted", what, cluster);
    if (cli_has(a, "wait")) {
        (void)fflush(stdout);
        enum cli_exit code = cli_wait_cluster(c, a, cluster);
        if (code != CLI_OK)
            return code;
    } else if (c->format == CLI_TABLE) {
        return CLI_OK;
    }
    _cleanup_json_ json_t *doc = NULL;
    enum cli_exit code = cli_get(c, collection, cluster, &doc);
    return code == CLI_OK ? cli_print_item(c, doc) : code;
}

/* Sends a change; the answer names the cluster by uuid. */
static enum cli_exit change(struct cli *c, const struct cli_args *a, const char *method,
                            const char *path, const json_t *body, const char *what)
{
    _cleanup_json_ json_t *answer = NULL;
    if (cli_has(a, "plan"))
        return cli_plan(c, method, path, body);
    enum cli_exit code = cli_request(c, method, path, body, &answer);
    const char *uuid = jsonx_str(answer, "uuid");
    if (code != CLI_OK)
        return code;
    return accepted(c, a, uuid ? uuid : a->words[0], what);
}

enum cli_exit cmd_cluster_create(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *body = json_object();
    if (!cli_has(a, "cluster-template")) {
        err_set(&e, ERR_INVALID, "--cluster-template is needed; see magnum cluster create --help");
        return cli_fail(CLI_USAGE, &e);
    }
    if (a->n_words && json_object_set_new(body, "name", json_string(a->words[0])) < 0) {
        err_set(&e, ERR_INVALID, "NAME: not valid UTF-8");
        return cli_fail(CLI_USAGE, &e);
    }
    if (cli_body(a, body, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    if (cli_has(a, "plan"))
        return cli_plan(c, "POST", collection, body);
    _cleanup_json_ json_t *made = NULL;
    enum cli_exit code = cli_request(c, "POST", collection, body, &made);
    if (code != CLI_OK)
        return code;
    const char *uuid = jsonx_str(made, "uuid");
    if (uuid)
        return accepted(c, a, uuid, "create");
    err_set(&e, ERR_PROTOCOL, "the service did not say the new cluster's uuid");
    return cli_fail(CLI_FAILED, &e);
}

enum cli_exit cmd_cluster_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"uuid",         "name",   "keypair",       "node_count",
                                          "master_count", "status", "health_status", NULL};
    return cli_list(c, a, strdup(collection), "clusters", columns);
}

enum cli_exit cmd_cluster_show(struct cli *c, const struct cli_args *a)
{
    return cli_show(c, "GET", cli_path(collection, a->words[0], ""), NULL);
}

enum cli_exit cmd_cluster_update(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *patch = NULL;
    if (cli_patch(a->words[1], a->words + 2, a->n_words - 2, NULL, &patch, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    _cleanup_free_ char *path =
        cli_path(collection, a->words[0], cli_has(a, "rollback") ? "?rollback=True" : "");
    return change(c, a, "PATCH", path, patch, "update");
}

enum cli_exit cmd_cluster_resize(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    int64_t count = 0;
    _cleanup_json_ json_t *nodes = json_array();
    if (!parse_i64(a->words[1], 0, INT32_MAX, &count)) {
        err_set(&e, ERR_INVALID, "NODE_COUNT is a whole number from 0 on, not '%s'", a->words[1]);
        return cli_fail(CLI_USAGE, &e);
    }
    for (size_t i = 0; i < a->n_values; i++)
        if (str_eq(a->values[i].option->name, "nodes-to-remove"))
            json_array_append_new(nodes, json_string(a->values[i].text));
    _cleanup_json_ json_t *body = json_pack("{s:I}", "node_count", (json_int_t)count);
    if (json_array_size(nodes))
        json_object_set(body, "nodes_to_remove", nodes);
    if (cli_body(a, body, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    _cleanup_free_ char *path = cli_path(collection, a->words[0], "/actions/resize");
    return change(c, a, "POST", path, body, "resize");
}

/* Asks for the deletion; *ret_uuid (caller frees) when it was accepted. */
static enum cli_exit delete_one(struct cli *c, const char *ident, bool force, char **ret_uuid)
{
    _cleanup_json_ json_t *cluster = NULL;
    _cleanup_free_ char *path = cli_path(collection, ident, force ? "?force=true" : "");
    enum cli_exit code = cli_get(c, collection, ident, &cluster);
    if (code == CLI_OK)
        code = cli_request(c, "DELETE", path, NULL, NULL);
    if (code != CLI_OK)
        return code;
    cli_say(c, "Request to delete cluster %s has been accepted.", ident);
    const char *uuid = jsonx_str(cluster, "uuid");
    *ret_uuid = strdup(uuid ? uuid : ident);
    return *ret_uuid ? CLI_OK : cli_no_memory();
}

/* All are asked for before the first is waited for: they go on at the same time. */
enum cli_exit cmd_cluster_delete(struct cli *c, const struct cli_args *a)
{
    enum cli_exit worst = CLI_OK;
    _cleanup_strv_ struct strv going = STRV_INIT;
    for (size_t i = 0; cli_has(a, "plan") && i < a->n_words; i++) {
        _cleanup_free_ char *path = cli_path(collection, a->words[i], "");
        enum cli_exit code = cli_plan(c, "DELETE", path, NULL);
        worst = code == CLI_OK ? worst : code;
    }
    if (cli_has(a, "plan"))
        return worst;
    for (size_t i = 0; i < a->n_words; i++) {
        _cleanup_free_ char *uuid = NULL;
        enum cli_exit code = delete_one(c, a->words[i], cli_has(a, "force"), &uuid);
        if (code == CLI_OK && strv_add(&going, uuid) != 0)
            code = cli_no_memory();
        worst = code == CLI_OK ? worst : code;
    }
    (void)fflush(stdout);
    for (size_t i = 0; cli_has(a, "wait") && i < going.n; i++) {
        enum cli_exit code = cli_wait_cluster(c, a, going.v[i]);
        worst = code == CLI_OK ? worst : code;
    }
    return worst;
}
