/* The objects of the first Magnum: magnum pod|coe-service|rc|container|node ..., and under the old
 * shell's words (commands_old.c). A bay is a cluster. See cli.h. */
#include "cmd/cli/commands_objects.h"

#include "base/io.h"
#include "base/jsonx.h"

#include <string.h>

enum { MANIFEST_MAX = 8 << 20 };

static const char *cluster_option(const struct cli_args *a)
{
    return cli_has(a, "cluster") ? cli_text(a, "cluster") : cli_text(a, "bay");
}

static enum cli_exit usage(const char *text)
{
    struct err e = ERR_INIT;
    err_set(&e, ERR_INVALID, "%s", text);
    return cli_fail(CLI_USAGE, &e);
}

/* ---- what all kinds share ---- */

static enum cli_exit list(struct cli *c, const struct cli_args *a, const char *collection,
                          const char *const *columns)
{
    const char *cluster = a->n_words ? a->words[0] : cluster_option(a);
    _cleanup_free_ char *ident = cluster ? cli_escape(cluster) : NULL;
    char *path =
        ident ? str_fmt("/v1/%s?bay_ident=%s", collection, ident) : str_fmt("/v1/%s", collection);
    return cli_list(c, a, path, collection, columns);
}

/* [BAY] OBJECT: the old shell of 1.1.0 names the bay before it; the service needs it not. */
static const char *last_word(const struct cli_args *a)
{
    return a->words[a->n_words - 1];
}

static enum cli_exit show(struct cli *c, const struct cli_args *a, const char *collection)
{
    return cli_show(c, "GET", cli_path(collection, last_word(a), ""), NULL);
}

static enum cli_exit delete_one(struct cli *c, const char *collection, const char *what,
                                const char *ident)
{
    _cleanup_free_ char *path = cli_path(collection, ident, "");
    enum cli_exit code = cli_request(c, "DELETE", path, NULL, NULL);
    if (code == CLI_OK)
        cli_say(c, "Deleted %s %s", what, ident);
    return code;
}

/* ---- pods, services, replication controllers ---- */

static enum cli_exit create(struct cli *c, const struct cli_args *a, const char *collection)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *text = NULL;
    const char *cluster = cluster_option(a), *file = cli_text(a, "manifest");
    const char *url = cli_text(a, "manifest-url");
    if (!cluster || !file == !url)
        return usage("--cluster and one of --manifest and --manifest-url are needed");
    if (file && io_read_file(file, MANIFEST_MAX, &text, NULL, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    _cleanup_json_ json_t *body =
        json_pack("{s:s, s:s*, s:s*}", "bay_uuid", cluster, "manifest", text, "manifest_url", url);
    if (!body)
        return usage("the manifest is not valid UTF-8");
    return cli_show(c, "POST", strdup(collection), body);
}

/* [BAY] OBJECT OP PATH=VALUE...; manifest=FILE is read. */
static enum cli_exit update(struct cli *c, const struct cli_args *a, const char *collection)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *patch = NULL;
    bool second = str_eq(a->words[1], "add") || str_eq(a->words[1], "replace") ||
                  str_eq(a->words[1], "remove");
    size_t at = second ? 1 : 2;
    if (a->n_words < at + 2)
        return usage("usage: [CLUSTER] OBJECT OP PATH=VALUE...");
    if (cli_patch(a->words[at], a->words + at + 1, a->n_words - at - 1, "manifest", &patch, &e) !=
        0)
        return cli_fail(CLI_USAGE, &e);
    return cli_show(c, "PATCH", cli_path(collection, a->words[at - 1], ""), patch);
}

#define OBJECT_COMMANDS(name, collection, ...)                                                     \
    enum cli_exit cmd_##name##_list(struct cli *c, const struct cli_args *a)                       \
    {                                                                                              \
        static const char *const columns[] = {"uuid", "name", "bay_uuid", __VA_ARGS__, NULL};      \
        return list(c, a, collection, columns);                                                    \
    }                                                                                              \
    enum cli_exit cmd_##name##_show(struct cli *c, const struct cli_args *a)                       \
    {                                                                                              \
        return show(c, a, "/v1/" collection);                                                      \
    }                                                                                              \
    enum cli_exit cmd_##name##_create(struct cli *c, const struct cli_args *a)                     \
    {                                                                                              \
        return create(c, a, "/v1/" collection);                                                    \
    }                                                                                              \
    enum cli_exit cmd_##name##_update(struct cli *c, const struct cli_args *a)                     \
    {                                                                                              \
        return update(c, a, "/v1/" collection);                                                    \
    }                                                                                              \
    enum cli_exit cmd_##name##_delete(struct cli *c, const struct cli_args *a)                     \
    {                                                                                              \
        return delete_one(c, "/v1/" collection, #name, last_word(a));                              \
    }

OBJECT_COMMANDS(pod, "pods", "status", "host")
OBJECT_COMMANDS(coe_service, "services", "ip", "ports")
OBJECT_COMMANDS(rc, "rcs", "images", "replicas")

/* ---- containers ---- */

enum cli_exit cmd_container_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"uuid", "name", "status", "bay_uuid", "image", NULL};
    return list(c, a, "containers", columns);
}

/* The old shell of 2015.1.0 hands the document over as it is. */
static enum cli_exit from_json(struct cli *c, const char *file)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *text = NULL;
    _cleanup_json_ json_t *body = NULL;
    size_t len = 0;
    int rc =
        io_read_file(strcmp(file, "-") == 0 ? "/dev/stdin" : file, MANIFEST_MAX, &text, &len, &e);
    if (rc == 0)
        rc = jsonx_parse(text, len, 16, &body, &e);
    return rc ? cli_fail(CLI_USAGE, &e) : cli_show(c, "POST", strdup("/v1/containers"), body);
}

enum cli_exit cmd_container_create(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    const char *cluster = cluster_option(a);
    if (cli_has(a, "json"))
        return from_json(c, cli_text(a, "json"));
    if (!cluster || !cli_has(a, "image"))
        return usage("--cluster and --image are needed; see magnum container create --help");
    _cleanup_json_ json_t *body = json_pack("{s:s}", "bay_uuid", cluster);
    if (!body)
        return usage("--cluster: not valid UTF-8");
    if (cli_fill(a, body, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    return cli_show(c, "POST", strdup("/v1/containers"), body);
}

enum cli_exit cmd_container_show(struct cli *c, const struct cli_args *a)
{
    return show(c, a, "/v1/containers");
}

enum cli_exit cmd_container_update(struct cli *c, const struct cli_args *a)
{
    return update(c, a, "/v1/containers");
}

enum cli_exit cmd_container_delete(struct cli *c, const struct cli_args *a)
{
    enum cli_exit worst = CLI_OK;
    for (size_t i = 0; i < a->n_words; i++) {
        enum cli_exit code = delete_one(c, "/v1/containers", "container", a->words[i]);
        worst = code == CLI_OK ? worst : code;
    }
    return worst;
}

static enum cli_exit act(struct cli *c, const struct cli_args *a, const char *verb)
{
    enum cli_exit worst = CLI_OK;
    for (size_t i = 0; i < a->n_words; i++) {
        _cleanup_free_ char *prefix = str_fmt("/v1/containers/%s", verb);
        _cleanup_free_ char *path = prefix ? cli_path(prefix, a->words[i], "") : NULL;
        _cleanup_json_ json_t *doc = NULL;
        enum cli_exit code = cli_request(c, "PUT", path, NULL, &doc);
        const char *status = jsonx_str(doc, "status");
        if (code == CLI_OK)
            cli_say(c, "Container %s: %s", a->words[i], status ? status : "done");
        worst = code == CLI_OK ? worst : code;
    }
    return worst;
}

enum cli_exit cmd_container_start(struct cli *c, const struct cli_args *a)
{
    return act(c, a, "start");
}

enum cli_exit cmd_container_stop(struct cli *c, const struct cli_args *a)
{
    return act(c, a, "stop");
}

enum cli_exit cmd_container_reboot(struct cli *c, const struct cli_args *a)
{
    return act(c, a, "reboot");
}

enum cli_exit cmd_container_pause(struct cli *c, const struct cli_args *a)
{
    return act(c, a, "pause");
}

enum cli_exit cmd_container_unpause(struct cli *c, const struct cli_args *a)
{
    return act(c, a, "unpause");
}

/* The text itself, unless another format is asked for; lines stay, what drives a terminal does not.
 */
static enum cli_exit print_output(struct cli *c, const json_t *doc)
{
    const char *output = jsonx_str(doc, "output");
    if (c->format != CLI_TABLE)
        return cli_print_item(c, doc);
    _cleanup_free_ char *text = str_dup(output ? output : "");
    if (!text)
        return cli_no_memory();
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (isatty(STDOUT_FILENO))
            cli_clean(line);
        if (next || *line)
            puts(line);
    }
    return CLI_OK;
}

enum cli_exit cmd_container_logs(struct cli *c, const struct cli_args *a)
{
    _cleanup_json_ json_t *doc = NULL;
    _cleanup_free_ char *path = cli_path("/v1/containers/logs", a->words[0], "");
    enum cli_exit code = cli_request(c, "GET", path, NULL, &doc);
    return code == CLI_OK ? print_output(c, doc) : code;
}

enum cli_exit cmd_container_exec(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *doc = NULL;
    const char *command = cli_has(a, "command") ? cli_text(a, "command")
                          : a->n_words > 1      ? a->words[1]
                                                : NULL;
    if (!command)
        return usage("--command is needed; see magnum container exec --help");
    _cleanup_free_ char *escaped = cli_escape(command);
    _cleanup_free_ char *query = escaped ? str_fmt("?command=%s", escaped) : NULL;
    _cleanup_free_ char *path =
        query ? cli_path("/v1/containers/execute", a->words[0], query) : NULL;
    enum cli_exit code = cli_request(c, "PUT", path, NULL, &doc);
    if (code == CLI_OK)
        code = print_output(c, doc);
    int64_t status = jsonx_int(doc, "exit_code", 0);
    if (code != CLI_OK || status == 0)
        return code;
    err_set(&e, ERR_INVALID, "the command ended with exit code %lld", (long long)status);
    return cli_fail(CLI_FAILED, &e);
}

/* ---- nodes ---- */

enum cli_exit cmd_node_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"uuid", "type", "image_id", "ironic_node_id", NULL};
    return cli_list(c, a, strdup("/v1/nodes"), "nodes", columns);
}

enum cli_exit cmd_node_show(struct cli *c, const struct cli_args *a)
{
    return show(c, a, "/v1/nodes");
}

enum cli_exit cmd_node_create(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *body = json_object();
    if (!body || cli_fill(a, body, &e) != 0)
        return body ? cli_fail(CLI_USAGE, &e) : cli_no_memory();
    return cli_show(c, "POST", strdup("/v1/nodes"), body);
}

enum cli_exit cmd_node_update(struct cli *c, const struct cli_args *a)
{
    return update(c, a, "/v1/nodes");
}

enum cli_exit cmd_node_delete(struct cli *c, const struct cli_args *a)
{
    return delete_one(c, "/v1/nodes", "node", a->words[0]);
}
