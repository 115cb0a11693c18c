/* The smaller commands: nodegroups, operations, drivers, ca, services, stats, quotas. See cli.h. */
#include "cmd/cli/cli.h"

#include "base/io.h"
#include "base/jsonx.h"

#include <string.h>

enum { CSR_MAX = 65536 };

static enum cli_exit out_of_memory(void)
{
    struct err e = ERR_INIT;
    err_nomem(&e);
    return cli_fail(CLI_FAILED, &e);
}

/* GET path, then a list of doc[member]. Frees path; NULL = no memory. */
static enum cli_exit list_at(struct cli *c, char *path, const char *member,
                             const char *const *columns)
{
    _cleanup_free_ char *owned = path;
    _cleanup_json_ json_t *doc = NULL;
    if (!owned)
        return out_of_memory();
    enum cli_exit code = cli_request(c, "GET", owned, NULL, &doc);
    return code == CLI_OK ? cli_print_list(c, json_object_get(doc, member), columns) : code;
}

static enum cli_exit show_at(struct cli *c, const char *method, char *path, const json_t *body)
{
    _cleanup_free_ char *owned = path;
    _cleanup_json_ json_t *doc = NULL;
    if (!owned)
        return out_of_memory();
    enum cli_exit code = cli_request(c, method, owned, body, &doc);
    return code == CLI_OK ? cli_print_item(c, doc) : code;
}

static char *under(const char *prefix, const char *ident, const char *rest)
{
    _cleanup_free_ char *id = cli_escape(ident);
    return id ? str_fmt("%s/%s%s", prefix, id, rest) : NULL;
}

static char *group_path(const struct cli_args *a)
{
    _cleanup_free_ char *group = cli_escape(a->words[1]);
    _cleanup_free_ char *rest = group ? str_fmt("/nodegroups/%s", group) : NULL;
    return rest ? under("/v1/clusters", a->words[0], rest) : NULL;
}

enum cli_exit cmd_nodegroup_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"uuid",       "name",   "flavor_id", "image_id",
                                          "node_count", "status", "role",      NULL};
    return list_at(c, under("/v1/clusters", a->words[0], "/nodegroups"), "nodegroups", columns);
}

enum cli_exit cmd_nodegroup_show(struct cli *c, const struct cli_args *a)
{
    return show_at(c, "GET", group_path(a), NULL);
}

enum cli_exit cmd_nodegroup_create(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *body = json_pack("{s:s}", "name", a->words[1]);
    _cleanup_json_ json_t *labels = NULL;
    if (!body || cli_fill(a, body, &e) != 0 || cli_labels(a, "labels", &labels, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    if (json_object_size(labels))
        json_object_set(body, "labels", labels);
    enum cli_exit code =
        show_at(c, "POST", under("/v1/clusters", a->words[0], "/nodegroups"), body);
    if (code != CLI_OK || !cli_has(a, "wait"))
        return code;
    return cli_wait(c, a->words[0], NULL, cli_int(a, "timeout-wait", 0));
}

enum cli_exit cmd_nodegroup_delete(struct cli *c, const struct cli_args *a)
{
    _cleanup_free_ char *path = group_path(a);
    if (!path)
        return out_of_memory();
    enum cli_exit code = cli_request(c, "DELETE", path, NULL, NULL);
    if (code != CLI_OK)
        return code;
    cli_say(c, "Request to delete nodegroup %s has been accepted.", a->words[1]);
    return cli_has(a, "wait") ? cli_wait(c, a->words[0], NULL, cli_int(a, "timeout-wait", 0))
                              : CLI_OK;
}

enum cli_exit cmd_operation_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"id",      "cluster_name", "kind",       "status",
                                          "percent", "code",         "created_at", NULL};
    return list_at(c,
                   a->n_words ? under("/v1/clusters", a->words[0], "/operations")
                              : strdup("/v1/operations"),
                   "operations", columns);
}

enum cli_exit cmd_operation_show(struct cli *c, const struct cli_args *a)
{
    return show_at(c, "GET", under("/v1/operations", a->words[0], ""), NULL);
}

enum cli_exit cmd_operation_events(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"created_at", "code",    "stage", "percent",
                                          "actor",      "message", NULL};
    return list_at(c, under("/v1/operations", a->words[0], "/events"), "events", columns);
}

enum cli_exit cmd_operation_cancel(struct cli *c, const struct cli_args *a)
{
    return show_at(c, "POST", under("/v1/operations", a->words[0], "/cancel"), NULL);
}

enum cli_exit cmd_driver_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"id",      "name",  "version", "kind",
                                          "enabled", "ready", "vendor",  NULL};
    (void)a;
    return list_at(c, strdup("/v1/drivers"), "drivers", columns);
}

enum cli_exit cmd_driver_show(struct cli *c, const struct cli_args *a)
{
    return show_at(c, "GET", under("/v1/drivers", a->words[0], ""), NULL);
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

enum cli_exit cmd_ca_show(struct cli *c, const struct cli_args *a)
{
    _cleanup_json_ json_t *doc = NULL;
    const char *type = cli_text(a, "type");
    _cleanup_free_ char *t = type ? cli_escape(type) : NULL;
    _cleanup_free_ char *query = t ? str_fmt("?ca_cert_type=%s", t) : strdup("");
    _cleanup_free_ char *path = query ? under("/v1/certificates", a->words[0], query) : NULL;
    if (!path)
        return out_of_memory();
    enum cli_exit code = cli_request(c, "GET", path, NULL, &doc);
    return code == CLI_OK ? print_pem(c, doc) : code;
}

enum cli_exit cmd_ca_sign(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *csr = NULL;
    _cleanup_json_ json_t *doc = NULL;
    if (io_read_file(a->words[1], CSR_MAX, &csr, NULL, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    _cleanup_json_ json_t *body = json_pack("{s:s, s:s}", "cluster_uuid", a->words[0], "csr", csr);
    if (!body) {
        err_set(&e, ERR_INVALID, "%s is not text", a->words[1]);
        return cli_fail(CLI_USAGE, &e);
    }
    enum cli_exit code = cli_request(c, "POST", "/v1/certificates", body, &doc);
    return code == CLI_OK ? print_pem(c, doc) : code;
}

enum cli_exit cmd_service_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"id",         "host",       "binary",
                                          "state",      "disabled",   "disabled_reason",
                                          "created_at", "updated_at", NULL};
    (void)a;
    return list_at(c, strdup("/v1/mservices"), "mservices", columns);
}

enum cli_exit cmd_stats(struct cli *c, const struct cli_args *a)
{
    const char *project = cli_text(a, "project-id");
    _cleanup_free_ char *p = project ? cli_escape(project) : NULL;
    return show_at(c, "GET", p ? str_fmt("/v1/stats?project_id=%s", p) : strdup("/v1/stats"), NULL);
}

enum cli_exit cmd_quota_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"project_id", "resource", "hard_limit", NULL};
    return list_at(c,
                   strdup(cli_has(a, "all-tenants") ? "/v1/quotas?all_tenants=true" : "/v1/quotas"),
                   "quotas", columns);
}
