/* Commands about templates, quotas, federations and upgrades that `openstack coe` has, too. See
 * cli.h. */
#include "cmd/cli/cli.h"

#include "base/jsonx.h"

#include <string.h>

static enum cli_exit need(const char *option, const char *command)
{
    struct err e = ERR_INIT;
    err_set(&e, ERR_INVALID, "--%s is needed; see magnum %s --help", option, command);
    return cli_fail(CLI_USAGE, &e);
}

/* PATCH of OP PATH=VALUE... behind the words that name the object. Takes path. */
static enum cli_exit update(struct cli *c, const struct cli_args *a, size_t at, char *path)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *owned = path;
    _cleanup_json_ json_t *patch = NULL;
    if (!owned)
        return cli_no_memory();
    if (cli_patch(a->words[at], a->words + at + 1, a->n_words - at - 1, NULL, &patch, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    return cli_show(c, "PATCH", TAKE_PTR(owned), patch);
}

enum cli_exit cmd_template_update(struct cli *c, const struct cli_args *a)
{
    return update(c, a, 1, cli_path("/v1/clustertemplates", a->words[0], ""));
}

enum cli_exit cmd_nodegroup_update(struct cli *c, const struct cli_args *a)
{
    _cleanup_free_ char *rest = cli_path("/nodegroups", a->words[1], "");
    char *path = rest ? cli_path("/v1/clusters", a->words[0], rest) : NULL;
    enum cli_exit code = update(c, a, 2, path);
    return code == CLI_OK && cli_has(a, "wait") ? cli_wait_cluster(c, a, a->words[0]) : code;
}

enum cli_exit cmd_cluster_upgrade(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *body = json_pack("{s:s}", "cluster_template", a->words[1]);
    if (!body) {
        err_set(&e, ERR_INVALID, "TEMPLATE: not valid UTF-8");
        return cli_fail(CLI_USAGE, &e);
    }
    if (cli_body(a, body, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    _cleanup_free_ char *path = cli_path("/v1/clusters", a->words[0], "/actions/upgrade");
    if (cli_has(a, "plan"))
        return cli_plan(c, "POST", path, body);
    enum cli_exit code = cli_request(c, "POST", path, body, NULL);
    if (code != CLI_OK)
        return code;
    cli_say(c, "Request to upgrade cluster %s has been accepted.", a->words[0]);
    (void)fflush(stdout);
    return cli_has(a, "wait") ? cli_wait_cluster(c, a, a->words[0]) : CLI_OK;
}

/* ---- quotas ---- */

/* PROJECT [RESOURCE], or --project-id and --resource as the old shell has them. */
static const char *project_of(const struct cli_args *a)
{
    return cli_has(a, "project-id") ? cli_text(a, "project-id") : a->n_words ? a->words[0] : NULL;
}

static const char *resource_of(const struct cli_args *a)
{
    return cli_has(a, "resource") ? cli_text(a, "resource")
           : a->n_words > 1       ? a->words[1]
                                  : "Cluster";
}

static char *quota_path(const struct cli_args *a)
{
    _cleanup_free_ char *rest = cli_path("", resource_of(a), "");
    return rest ? cli_path("/v1/quotas", project_of(a), rest) : NULL;
}

static enum cli_exit set_quota(struct cli *c, const struct cli_args *a, const char *method,
                               char *path)
{
    _cleanup_free_ char *owned = path;
    _cleanup_json_ json_t *body =
        json_pack("{s:s, s:s, s:I}", "project_id", project_of(a), "resource", resource_of(a),
                  "hard_limit", (json_int_t)cli_int(a, "hard-limit", 1));
    return body && owned ? cli_show(c, method, TAKE_PTR(owned), body) : cli_no_memory();
}

enum cli_exit cmd_quota_create(struct cli *c, const struct cli_args *a)
{
    return project_of(a) ? set_quota(c, a, "POST", strdup("/v1/quotas"))
                         : need("project-id", "quota create");
}

enum cli_exit cmd_quota_update(struct cli *c, const struct cli_args *a)
{
    return project_of(a) ? set_quota(c, a, "PATCH", quota_path(a))
                         : need("project-id", "quota update");
}

enum cli_exit cmd_quota_show(struct cli *c, const struct cli_args *a)
{
    return project_of(a) ? cli_show(c, "GET", quota_path(a), NULL)
                         : need("project-id", "quota show");
}

enum cli_exit cmd_quota_delete(struct cli *c, const struct cli_args *a)
{
    if (!project_of(a))
        return need("project-id", "quota delete");
    _cleanup_free_ char *path = quota_path(a);
    enum cli_exit code = cli_request(c, "DELETE", path, NULL, NULL);
    if (code == CLI_OK)
        cli_say(c, "Deleted the quota of project %s", project_of(a));
    return code;
}

/* ---- federations ---- */

enum cli_exit cmd_federation_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"uuid",       "name",   "hostcluster_id",
                                          "member_ids", "status", NULL};
    return cli_list(c, a, strdup("/v1/federations"), "federations", columns);
}

enum cli_exit cmd_federation_show(struct cli *c, const struct cli_args *a)
{
    return cli_show(c, "GET", cli_path("/v1/federations", a->words[0], ""), NULL);
}

enum cli_exit cmd_federation_create(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *properties = NULL;
    if (!cli_has(a, "hostcluster"))
        return need("hostcluster", "federation create");
    if (cli_labels(a, "properties", &properties, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    _cleanup_json_ json_t *body =
        json_pack("{s:s, s:O}", "name", a->words[0], "properties", properties);
    if (!body || cli_fill(a, body, &e) != 0)
        return body ? cli_fail(CLI_USAGE, &e) : cli_no_memory();
    return cli_show(c, "POST", strdup("/v1/federations"), body);
}

static enum cli_exit move_member(struct cli *c, const struct cli_args *a, const char *op)
{
    _cleanup_json_ json_t *cluster = NULL;
    enum cli_exit code = cli_get(c, "/v1/clusters", a->words[1], &cluster);
    const char *uuid = jsonx_str(cluster, "uuid");
    if (code != CLI_OK)
        return code;
    _cleanup_json_ json_t *patch =
        json_pack("[{s:s, s:s, s:s}]", "op", op, "path", "/member_ids", "value", uuid ? uuid : "");
    return patch ? cli_show(c, "PATCH", cli_path("/v1/federations", a->words[0], ""), patch)
                 : cli_no_memory();
}

enum cli_exit cmd_federation_join(struct cli *c, const struct cli_args *a)
{
    return move_member(c, a, "add");
}

enum cli_exit cmd_federation_unjoin(struct cli *c, const struct cli_args *a)
{
    return move_member(c, a, "remove");
}

enum cli_exit cmd_federation_delete(struct cli *c, const struct cli_args *a)
{
    enum cli_exit worst = CLI_OK;
    for (size_t i = 0; i < a->n_words; i++) {
        _cleanup_free_ char *path = cli_path("/v1/federations", a->words[i], "");
        enum cli_exit code = cli_request(c, "DELETE", path, NULL, NULL);
        if (code == CLI_OK)
            cli_say(c, "Deleted federation %s", a->words[i]);
        worst = code == CLI_OK ? worst : code;
    }
    return worst;
}
