/* magnum cluster template ...; option names as `openstack coe` has them. See cli.h. */
#include "cmd/cli/cli.h"

#include <string.h>

static const char collection[] = "/v1/clustertemplates";

enum cli_exit cmd_template_create(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    const char *name = cli_word(a, 0, "name");
    _cleanup_json_ json_t *body = json_pack("{s:s}", "name", name ? name : "");
    if (!name) {
        err_set(&e, ERR_INVALID, "a name is needed; see magnum cluster template create --help");
        return cli_fail(CLI_USAGE, &e);
    }
    if (!cli_has(a, "coe") || !cli_has(a, "image")) {
        err_set(&e, ERR_INVALID,
                "--coe and --image are needed; see magnum cluster template create --help");
        return cli_fail(CLI_USAGE, &e);
    }
    if (!body) {
        err_set(&e, ERR_INVALID, "NAME: not valid UTF-8");
        return cli_fail(CLI_USAGE, &e);
    }
    if (cli_body(a, body, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    return cli_show(c, "POST", strdup(collection), body);
}

enum cli_exit cmd_template_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"uuid", "name", "coe", "server_type", "tags", NULL};
    return cli_list(c, a, strdup(collection), "clustertemplates", columns);
}

enum cli_exit cmd_template_show(struct cli *c, const struct cli_args *a)
{
    return cli_show(c, "GET", cli_path(collection, a->words[0], ""), NULL);
}

enum cli_exit cmd_template_delete(struct cli *c, const struct cli_args *a)
{
    enum cli_exit worst = CLI_OK;
    for (size_t i = 0; i < a->n_words; i++) {
        _cleanup_free_ char *path = cli_path(collection, a->words[i], "");
        enum cli_exit code = cli_request(c, "DELETE", path, NULL, NULL);
        if (code == CLI_OK)
            cli_say(c, "Deleted cluster template %s", a->words[i]);
        else
            worst = code;
    }
    return worst;
}
