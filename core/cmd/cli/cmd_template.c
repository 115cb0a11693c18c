/* magnum cluster template ...; option names as `openstack coe` has them. See cli.h. */
#include "cmd/cli/cli.h"

#include "base/jsonx.h"

static const char collection[] = "/v1/clustertemplates";

enum cli_exit cmd_template_create(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *body = json_object();
    _cleanup_json_ json_t *made = NULL;
    _cleanup_json_ json_t *labels = NULL;
    json_object_set_new(body, "name", json_string(a->words[0]));
    if (cli_fill(a, body, &e) != 0 || cli_labels(a, "labels", &labels, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    if (json_object_size(labels))
        json_object_set(body, "labels", labels);
    enum cli_exit code = cli_request(c, "POST", collection, body, &made);
    return code == CLI_OK ? cli_print_item(c, made) : code;
}

enum cli_exit cmd_template_list(struct cli *c, const struct cli_args *a)
{
    static const char *const columns[] = {"uuid", "name", "coe", "server_type", "tags", NULL};
    (void)a;
    _cleanup_json_ json_t *doc = NULL;
    enum cli_exit code = cli_request(c, "GET", collection, NULL, &doc);
    return code == CLI_OK ? cli_print_list(c, json_object_get(doc, "clustertemplates"), columns)
                          : code;
}

enum cli_exit cmd_template_show(struct cli *c, const struct cli_args *a)
{
    _cleanup_json_ json_t *doc = NULL;
    enum cli_exit code = cli_get(c, collection, a->words[0], &doc);
    return code == CLI_OK ? cli_print_item(c, doc) : code;
}

enum cli_exit cmd_template_delete(struct cli *c, const struct cli_args *a)
{
    enum cli_exit worst = CLI_OK;
    for (size_t i = 0; i < a->n_words; i++) {
        _cleanup_free_ char *id = cli_escape(a->words[i]);
        _cleanup_free_ char *path = str_fmt("%s/%s", collection, id ? id : "");
        enum cli_exit code = cli_request(c, "DELETE", path ? path : collection, NULL, NULL);
        if (code == CLI_OK)
            cli_say(c, "Deleted cluster template %s", a->words[i]);
        else
            worst = code;
    }
    return worst;
}
