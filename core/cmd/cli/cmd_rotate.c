/* Commands that rotate what a cluster's parts identify themselves with. See cli.h. */
#include "cmd/cli/cli.h"

#include "base/jsonx.h"

static enum cli_exit rotate(struct cli *c, const struct cli_args *a, const char *collection,
                            const char *what)
{
    _cleanup_json_ json_t *cluster = NULL;
    const char *ident = cli_word(a, 0, "cluster");
    if (!ident) {
        struct err e = ERR_INIT;
        err_set(&e, ERR_INVALID, "a cluster is needed; see magnum --help");
        return cli_fail(CLI_USAGE, &e);
    }
    enum cli_exit code = cli_get(c, "/v1/clusters", ident, &cluster);
    const char *uuid = jsonx_str(cluster, "uuid");
    _cleanup_free_ char *path = uuid ? cli_path(collection, uuid, "") : NULL;
    if (code == CLI_OK)
        code = cli_request(c, "PATCH", path, NULL, NULL);
    if (code != CLI_OK)
        return code;
    cli_say(c, "Request to rotate the %s of cluster %s has been accepted.", what, ident);
    return cli_has(a, "wait") ? cli_wait_cluster(c, a, uuid) : CLI_OK;
}

enum cli_exit cmd_ca_rotate(struct cli *c, const struct cli_args *a)
{
    return rotate(c, a, "/v1/certificates", "CA");
}

enum cli_exit cmd_credential_rotate(struct cli *c, const struct cli_args *a)
{
    return rotate(c, a, "/v1/credentials", "credential");
}
