/* Command lines by table, and the help texts made from the same tables. See cli.h. */
#include "cmd/cli/cli.h"

#include "base/parse.h"

#include <string.h>

const struct cli_option cli_global_options[] = {
    {"endpoint", CLI_TEXT, "URL", "the service (MAGNUM_ENDPOINT, OS_ENDPOINT, clouds.yaml)", NULL},
    {"os-endpoint", CLI_TEXT, "URL", "the same, as python-openstackclient names it", NULL},
    {"os-cloud", CLI_TEXT, "NAME", "entry of clouds.yaml (OS_CLOUD)", NULL},
    {"os-auth-type", CLI_TEXT, "TYPE", "none or http_basic (OS_AUTH_TYPE)", NULL},
    {"os-username", CLI_TEXT, "NAME", "user for http_basic (OS_USERNAME; OS_PASSWORD)", NULL},
    {"os-cacert", CLI_TEXT, "FILE", "CA certificates for https (OS_CACERT)", NULL},
    {"insecure", CLI_FLAG, NULL, "do not verify the service's certificate", NULL},
    {"format", CLI_TEXT, "FORMAT", "table, json, yaml or value (-f)", NULL},
    {"column", CLI_MULTI, "COLUMN", "show only this column, may be repeated (-c)", NULL},
    {"debug", CLI_FLAG, NULL, "show requests and answers on stderr", NULL},
    {"help", CLI_FLAG, NULL, "this text (-h)", NULL},
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option *find_in(const struct cli_option *table, const char *name, size_t n)
{
    for (; table && table->name; table++)
        if (strlen(table->name) == n && memcmp(table->name, name, n) == 0)
            return table;
    return NULL;
}

static const char *long_name(const char *arg)
{
    if (strcmp(arg, "-f") == 0)
        return "--format";
    if (strcmp(arg, "-c") == 0)
        return "--column";
    if (strcmp(arg, "-h") == 0)
        return "--help";
    return arg;
}

static int add_value(struct cli_args *a, const struct cli_option *o, const char *text)
{
    struct cli_value *v = realloc(a->values, (a->n_values + 1) * sizeof *v);
    if (!v)
        return ERR_NOMEM;
    a->values = v;
    v[a->n_values++] = (struct cli_value){o, text};
    return 0;
}

static int add_word(struct cli_args *a, const char *word)
{
    const char **w = realloc(a->words, (a->n_words + 1) * sizeof *w);
    if (!w)
        return ERR_NOMEM;
    a->words = w;
    w[a->n_words++] = word;
    return 0;
}

/* "--name value", "--name=value"; *used counts the arguments taken. */
static bool take_option(const struct cli_command *cmd, int left, char **argv, struct cli_args *ret,
                        int *used, struct err *e)
{
    const char *name = long_name(argv[0]) + 2, *eq = strchr(name, '=');
    size_t n = eq ? (size_t)(eq - name) : strlen(name);
    const struct cli_option *o = find_in(cmd->options, name, n);
    if (!o)
        o = find_in(cli_global_options, name, n);
    if (!o) {
        err_set(e, ERR_INVALID, "magnum %s has no option %s; see magnum %s --help", cmd->words,
                argv[0], cmd->words);
        return false;
    }
    *used = 1;
    const char *value = eq ? eq + 1 : "";
    if (o->kind == CLI_FLAG && eq) {
        err_set(e, ERR_INVALID, "--%s takes no value", o->name);
        return false;
    }
    if (o->kind != CLI_FLAG && !eq) {
        if (left < 2) {
            err_set(e, ERR_INVALID, "--%s needs a value: --%s %s", o->name, o->name, o->value);
            return false;
        }
        value = argv[1];
        *used = 2;
    }
    int64_t number;
    if (o->kind == CLI_INT && !parse_i64(value, INT32_MIN, INT32_MAX, &number)) {
        err_set(e, ERR_INVALID, "--%s takes a whole number, not '%s'", o->name, value);
        return false;
    }
    if (add_value(ret, o, value) != 0) {
        err_nomem(e);
        return false;
    }
    return true;
}

bool cli_args_parse(const struct cli_command *cmd, int argc, char **argv, struct cli_args *ret,
                    struct err *e)
{
    bool only_words = false;
    for (int i = 0; i < argc;) {
        const char *arg = long_name(argv[i]);
        if (!only_words && strcmp(arg, "--") == 0) {
            only_words = true;
            i++;
        } else if (!only_words && strncmp(arg, "--", 2) == 0) {
            int used;
            if (!take_option(cmd, argc - i, argv + i, ret, &used, e))
                return false;
            i += used;
        } else if (!only_words && arg[0] == '-' && arg[1]) {
            err_set(e, ERR_INVALID, "magnum has no option %s; see magnum %s --help", arg,
                    cmd->words);
            return false;
        } else if (add_word(ret, argv[i++]) != 0) {
            err_nomem(e);
            return false;
        }
    }
    if (cli_has(ret, "help"))
        return true;
    if (ret->n_words < cmd->min_words || ret->n_words > cmd->max_words) {
        err_set(e, ERR_INVALID, "usage: magnum %s %s [options]; see magnum %s --help", cmd->words,
                cmd->usage, cmd->words);
        return false;
    }
    return true;
}

void cli_args_done(struct cli_args *a)
{
    free(a->values);
    free(a->words);
    *a = (struct cli_args){NULL, 0, NULL, 0};
}

const char *cli_text(const struct cli_args *a, const char *option)
{
    for (size_t i = a->n_values; i-- > 0;)
        if (strcmp(a->values[i].option->name, option) == 0)
            return a->values[i].text;
    return NULL;
}

bool cli_has(const struct cli_args *a, const char *option)
{
    return cli_text(a, option) != NULL;
}

int64_t cli_int(const struct cli_args *a, const char *option, int64_t missing)
{
    int64_t v;
    return parse_i64(cli_text(a, option), INT32_MIN, INT32_MAX, &v) ? v : missing;
}

int cli_fill(const struct cli_args *a, json_t *body, struct err *e)
{
    for (size_t i = 0; i < a->n_values; i++) {
        const struct cli_option *o = a->values[i].option;
        int64_t number = 0;
        json_t *v;
        if (!o->field)
            continue;
        if (o->kind == CLI_FLAG)
            v = json_boolean(!str_ends(o->name, "-disabled") && strcmp(o->name, "visible") != 0);
        else if (o->kind == CLI_INT && parse_i64(a->values[i].text, INT32_MIN, INT32_MAX, &number))
            v = json_integer(number);
        else
            v = json_string(a->values[i].text);
        if (!v)
            return err_set(e, ERR_INVALID, "--%s: not valid UTF-8", o->name);
        if (json_object_set_new(body, o->field, v) < 0)
            return err_nomem(e);
    }
    return 0;
}

static int add_label(json_t *labels, const char *pair, struct err *e)
{
    const char *eq = strchr(pair, '=');
    if (!eq || eq == pair)
        return err_set(e, ERR_INVALID, "labels are KEY=VALUE, not '%s'", pair);
    _cleanup_free_ char *key = strndup(pair, (size_t)(eq - pair));
    if (!key)
        return err_nomem(e);
    const char *before = json_string_value(json_object_get(labels, key));
    _cleanup_free_ char *value = before ? str_fmt("%s,%s", before, eq + 1) : strdup(eq + 1);
    json_t *v = value ? json_string(value) : NULL;
    if (!v || json_object_set_new(labels, key, v) < 0)
        return err_set(e, ERR_INVALID, "label %s: not valid UTF-8", key);
    return 0;
}

int cli_labels(const struct cli_args *a, const char *option, json_t **ret, struct err *e)
{
    _cleanup_json_ json_t *labels = json_object();
    size_t given = 0;
    for (size_t i = 0; i < a->n_values; i++)
        given += strcmp(a->values[i].option->name, option) == 0;
    for (size_t i = 0; i < a->n_values; i++) {
        const char *text = a->values[i].text, *eq = strchr(text, '=');
        if (strcmp(a->values[i].option->name, option) != 0)
            continue;
        /* one option with several "=": a list; several options: one pair each, kept whole */
        bool list = given == 1 && eq && strchr(eq + 1, '=');
        _cleanup_strv_ struct strv pairs = STRV_INIT;
        int rc =
            list ? strv_split(&pairs, text, strchr(text, ';') ? ';' : ',') : strv_add(&pairs, text);
        for (size_t k = 0; rc == 0 && k < pairs.n; k++)
            if ((rc = add_label(labels, pairs.v[k], e)) != 0)
                return rc;
        if (rc != 0)
            return err_nomem(e);
    }
    *ret = TAKE_PTR(labels);
    return 0;
}

static void help_options(FILE *out, const char *title, const struct cli_option *o)
{
    if (!o || !o->name)
        return;
    fprintf(out, "\n%s\n", title);
    for (; o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        fprintf(out, "  %-34s %s\n", left, o->help);
    }
}

static const char exit_codes[] = "\nExit codes: 0 done, 1 the service refused, 2 wrong usage, 3 no "
                                 "such object, 4 the operation\n"
                                 "waited for failed, 5 --timeout is over (the operation goes on), "
                                 "6 the service can't be reached.\n";

void cli_help_command(FILE *out, const struct cli_command *cmd)
{
    fprintf(out, "usage: magnum %s%s%s [options]\n\n%s.\n", cmd->words, *cmd->usage ? " " : "",
            cmd->usage, cmd->summary);
    help_options(out, "Options:", cmd->options);
    help_options(out, "Common options:", cli_global_options);
    fprintf(out, "\nExample:\n  %s\n%s", cmd->example, exit_codes);
}

void cli_help_all(FILE *out)
{
    fprintf(out,
            "usage: magnum COMMAND [arguments] [options]\n\n"
            "Clusters of container orchestration engines, from the command line.\n\nCommands:\n");
    for (const struct cli_command *c = cli_commands; c->words; c++)
        fprintf(out, "  %-28s %s\n", c->words, c->summary);
    help_options(out, "Common options:", cli_global_options);
    fprintf(
        out,
        "\nThe service is http://127.0.0.1:9511 unless an option, the environment or clouds.yaml\n"
        "says otherwise. `magnum COMMAND --help` tells the rest.\n%s",
        exit_codes);
}
