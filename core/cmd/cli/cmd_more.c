/* The smaller commands: nodegroups, operations, drivers, ca, services, stats, quotas. See cli.h. */
#include "cmd/cli/cli.h"

#include "base/io.h"
#include "base/jsonx.h"

#include <string.h>

enum { CSR_MAX = 65536 };

static char *group_path(const struct cli_args *a)
{
    _cleanup_free_ char *rest = cli_path("/nodegroups", a->words[1], "");
    return rest ? cli_path("/v1/clusters", a->words[0], rest) : NULL;
}

enum cli_exit cmd_nodegroup_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"uuid",       "name",   "flavor_id", "image_id",
                                          "node_count", "status", "role",      NULL};
    return cli_list(c, a, cli_path("/v1/clusters", a->words[0], "/nodegroups"), "nodegroups",
                    columns);
}

enum cli_exit cmd_nodegroup_show(struct cli *c, const struct cli_args *a)
{
    return cli_show(c, "GET", group_path(a), NULL);
}

enum cli_exit cmd_nodegroup_create(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *body = json_pack("{s:s}", "name", a->words[1]);
    if (!body) {
        err_set(&e, ERR_INVALID, "NAME: not valid UTF-8");
        return cli_fail(CLI_USAGE, &e);
    }
    if (cli_body(a, body, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    char *path = cli_path("/v1/clusters", a->words[0], "/nodegroups");
    if (!cli_has(a, "wait"))
        return cli_show(c, "POST", path, body);
    _cleanup_free_ char *owned = path, *group = group_path(a);
    enum cli_exit code = cli_request(c, "POST", owned, body, NULL);
    if (code == CLI_OK)
        code = cli_wait_cluster(c, a, a->words[0]);
    return code == CLI_OK ? cli_show(c, "GET", TAKE_PTR(group), NULL) : code;
}

enum cli_exit cmd_nodegroup_delete(struct cli *c, const struct cli_args *a)
{
    _cleanup_free_ char *path = group_path(a);
    enum cli_exit code = cli_request(c, "DELETE", path, NULL, NULL);
    if (code != CLI_OK)
        return code;
    cli_say(c, "Request to delete nodegroup %s has been accepted.", a->words[1]);
    (void)fflush(stdout);
    return cli_has(a, "wait") ? cli_wait_cluster(c, a, a->words[0]) : CLI_OK;
}

enum cli_exit cmd_operation_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"id",      "cluster_name", "kind",       "status",
                                          "percent", "code",         "created_at", NULL};
    return cli_list(c, a,
                    a->n_words ? cli_path("/v1/clusters", a->words[0], "/operations")
                               : strdup("/v1/operations"),
                    "operations", columns);
}

enum cli_exit cmd_operation_show(struct cli *c, const struct cli_args *a)
{
    return cli_show(c, "GET", cli_path("/v1/operations", a->words[0], ""), NULL);
}

enum cli_exit cmd_operation_cancel(struct cli *c, const struct cli_args *a)
{
    return cli_show(c, "POST", cli_path("/v1/operations", a->words[0], "/cancel"), NULL);
}

enum cli_exit cmd_driver_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"id",      "name",  "version", "kind", "vendor",
                                          "enabled", "ready", "reason",  NULL};
    return cli_list(c, a, strdup("/v1/drivers"), "drivers", columns);
}

enum cli_exit cmd_driver_show(struct cli *c, const struct cli_args *a)
{
    return cli_show(c, "GET", cli_path("/v1/drivers", a->words[0], ""), NULL);
}

static enum cli_exit print_pem(struct cli *c, const json_t *doc)
{
    const char *pem = jsonx_str(doc, "pem");
    if (c->format != CLI_TABLE)
        return cli_print_item(c, doc);
    fputs(pem ? pem : "", stdout);
    if (pem && !str_ends(pem, "\n"))
        putchar('\n');
    return CLI_OK;
}

static enum cli_exit no_cluster(const char *command)
{
    struct err e = ERR_INIT;
    err_set(&e, ERR_INVALID, "not all that is needed was given; see magnum %s --help", command);
    return cli_fail(CLI_USAGE, &e);
}

enum cli_exit cmd_ca_show(struct cli *c, const struct cli_args *a)
{
    _cleanup_json_ json_t *doc = NULL;
    const char *cluster = cli_word(a, 0, "cluster");
    if (!cluster)
        return no_cluster("ca show");
    const char *type = cli_text(a, "type");
    _cleanup_free_ char *t = type ? cli_escape(type) : NULL;
    _cleanup_free_ char *query = t ? str_fmt("?ca_cert_type=%s", t) : strdup("");
    _cleanup_free_ char *path = query ? cli_path("/v1/certificates", cluster, query) : NULL;
    enum cli_exit code = cli_request(c, "GET", path, NULL, &doc);
    return code == CLI_OK ? print_pem(c, doc) : code;
}

enum cli_exit cmd_cert_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"cluster_uuid", "cluster_name", "role",      "in_use",
                                          "manager",      "subject",      "not_after", NULL};
    const char *within = cli_text(a, "expiring");
    _cleanup_free_ char *w = cli_escape(within ? within : "all");
    return cli_list(c, a, w ? str_fmt("/v1/certificates?expiring=%s", w) : NULL, "certificates",
                    columns);
}

enum cli_exit cmd_ca_sign(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *csr = NULL;
    _cleanup_json_ json_t *doc = NULL;
    const char *name = cli_word(a, 0, "cluster"),
               *file = cli_word(a, cli_has(a, "cluster") ? 0 : 1, "csr");
    if (!name || !file)
        return no_cluster("ca sign");
    if (io_read_file(file, CSR_MAX, &csr, NULL, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    _cleanup_json_ json_t *cluster = NULL; /* a request is signed by uuid, not by name */
    enum cli_exit code = cli_get(c, "/v1/clusters", name, &cluster);
    if (code != CLI_OK)
        return code;
    _cleanup_json_ json_t *body =
        json_pack("{s:s, s:s}", "cluster_uuid", jsonx_str(cluster, "uuid"), "csr", csr);
    if (!body) {
        err_set(&e, ERR_INVALID, "%s is not text", file);
        return cli_fail(CLI_USAGE, &e);
    }
    code = cli_request(c, "POST", "/v1/certificates", body, &doc);
    return code == CLI_OK ? print_pem(c, doc) : code;
}

enum cli_exit cmd_service_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"id",         "host",       "binary",
                                          "state",      "disabled",   "disabled_reason",
                                          "created_at", "updated_at", NULL};
    return cli_list(c, a, strdup("/v1/mservices"), "mservices", columns);
}

enum cli_exit cmd_stats(struct cli *c, const struct cli_args *a)
{
    const char *project = cli_text(a, "project-id");
    _cleanup_free_ char *p = project ? cli_escape(project) : NULL;
    return cli_show(c, "GET", p ? str_fmt("/v1/stats?project_id=%s", p) : strdup("/v1/stats"),
                    NULL);
}

enum cli_exit cmd_quota_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"project_id", "resource", "hard_limit", NULL};
    return cli_list(c, a, strdup("/v1/quotas"), "quotas", columns);
}

enum cli_exit cmd_quota_usage(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"resource", "in_use", "hard_limit", NULL};
    char *path =
        a->n_words ? cli_path("/v1/quota_usage", a->words[0], "") : strdup("/v1/quota_usage");
    return cli_list(c, a, path, "quota_usage", columns);
}
