/* Command lines by table. See cli.h. Global options may stand before the command's words too, as
 * users of python-openstackclient are used to. */
#include "cmd/cli/cli.h"

#include "base/parse.h"

#include <string.h>

const struct cli_option cli_global_options[] = {
    {"endpoint", CLI_TEXT, "URL",
     "the service: http://, https:// or unix:/path (MAGNUM_ENDPOINT, OS_ENDPOINT)", NULL},
    {"os-cloud", CLI_TEXT, "NAME", "entry of clouds.yaml (OS_CLOUD)", NULL},
    {"os-cacert", CLI_TEXT, "FILE", "CA certificates for https (OS_CACERT)", NULL},
    {"insecure", CLI_FLAG, NULL, "do not verify the service's certificate", NULL},
    {"format", CLI_TEXT, "FORMAT", "table, json, yaml or value (-f)", NULL},
    {"column", CLI_MULTI, "COLUMN", "show only this column, may be repeated (-c)", NULL},
    {"debug", CLI_FLAG, NULL, "show requests and answers on stderr", NULL},
    {"help", CLI_FLAG, NULL, "this text (-h)", NULL},
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

const struct cli_option cli_login_options[] = {
    {"os-auth-type", CLI_TEXT, "TYPE",
     "none, http_basic, password, v3applicationcredential or token (OS_AUTH_TYPE)", NULL},
    {"os-auth-url", CLI_TEXT, "URL", "Keystone (OS_AUTH_URL)", NULL},
    {"os-username", CLI_TEXT, "NAME", "the user (OS_USERNAME)", NULL},
    {"os-user-id", CLI_TEXT, "ID", "the user by id (OS_USER_ID)", NULL},
    {"os-password", CLI_TEXT, "PASSWORD", "better given as OS_PASSWORD", NULL},
    {"os-user-domain-name", CLI_TEXT, "NAME", "the user's domain (OS_USER_DOMAIN_NAME)", NULL},
    {"os-user-domain-id", CLI_TEXT, "ID", "the same by id (OS_USER_DOMAIN_ID)", NULL},
    {"os-project-name", CLI_TEXT, "NAME", "the project (OS_PROJECT_NAME)", NULL},
    {"os-project-id", CLI_TEXT, "ID", "the same by id (OS_PROJECT_ID)", NULL},
    {"os-project-domain-name", CLI_TEXT, "NAME", "its domain (OS_PROJECT_DOMAIN_NAME)", NULL},
    {"os-project-domain-id", CLI_TEXT, "ID", "the same by id (OS_PROJECT_DOMAIN_ID)", NULL},
    {"os-application-credential-id", CLI_TEXT, "ID", "(OS_APPLICATION_CREDENTIAL_ID)", NULL},
    {"os-application-credential-name", CLI_TEXT, "NAME",
     "with a user (OS_APPLICATION_CREDENTIAL_NAME)", NULL},
    {"os-application-credential-secret", CLI_TEXT, "SECRET",
     "better given as OS_APPLICATION_CREDENTIAL_SECRET", NULL},
    {"os-token", CLI_TEXT, "TOKEN", "better given as OS_TOKEN", NULL},
    {"os-region-name", CLI_TEXT, "REGION", "of the service in the catalogue (OS_REGION_NAME)",
     NULL},
    {"os-interface", CLI_TEXT, "INTERFACE", "public, internal or admin (OS_INTERFACE)", NULL},
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

/* How earlier clients called an option. */
static const char *const renamed[][2] = {
    {"os-endpoint", "endpoint"},
    {"os-endpoint-override", "endpoint"},
    {"bypass-url", "endpoint"},
    {"magnum-url", "endpoint"},
    {"os-endpoint-type", "os-interface"},
    {"os-tenant-id", "os-project-id"},
    {"os-tenant-name", "os-project-name"},
    {"fields", "column"},
    {"bay", "cluster"},
    {"baymodel", "cluster-template"},
    {"external-network-id", "external-network"},
    {"flavor-id", "flavor"},
    {"image-id", "image"},
    {"keypair-id", "keypair"},
    {"master-flavor-id", "master-flavor"},
};

static const struct cli_option *find_in(const struct cli_option *table, const char *name, size_t n)
{
    for (; table && table->name; table++)
        if (strlen(table->name) == n && memcmp(table->name, name, n) == 0)
            return table;
    return NULL;
}

/* Of the command, or of all. */
static const struct cli_option *find_option(const struct cli_command *cmd, const char *name,
                                            size_t n)
{
    const struct cli_option *o = cmd ? find_in(cmd->options, name, n) : NULL;
    if (!o)
        o = find_in(cli_global_options, name, n);
    if (!o)
        o = find_in(cli_login_options, name, n);
    for (size_t i = 0; !o && i < ARRAY_LEN(renamed); i++)
        if (strlen(renamed[i][0]) == n && memcmp(renamed[i][0], name, n) == 0)
            return find_option(cmd, renamed[i][1], strlen(renamed[i][1]));
    return o;
}

/* One option as written: "--name", "--name=value", "-f", "-fvalue". */
struct written {
    const char *name; /* not terminated */
    size_t len;
    const char *value; /* NULL = not in the same argument */
};

static bool read_short(const char *arg, struct written *w)
{
    static const char *const names[] = {"format", "column", "help"};
    const char *at = strchr("fch", arg[1]);
    if (!at || (arg[1] == 'h' && arg[2]))
        return false;
    w->name = names[at - "fch"];
    w->len = strlen(w->name);
    w->value = arg[2] ? arg + 2 : NULL;
    return true;
}

/* False: no option (a word, or "-" alone). *ok false: looks like one but has no such form. */
static bool read_written(const char *arg, struct written *w, bool *ok)
{
    *ok = true;
    if (arg[0] != '-' || !arg[1])
        return false;
    if (arg[1] != '-') {
        *ok = read_short(arg, w);
        return true;
    }
    const char *eq = strchr(arg, '=');
    w->name = arg + 2;
    w->len = eq ? (size_t)(eq - w->name) : strlen(w->name);
    w->value = eq ? eq + 1 : NULL;
    return true;
}

static int words_match(const char *words, int argc, char **argv)
{
    int n = 0;
    while (*words) {
        size_t len = strcspn(words, " ");
        if (n == argc || strlen(argv[n]) != len || memcmp(argv[n], words, len) != 0)
            return 0;
        n++;
        words += len + (words[len] == ' ');
    }
    return n;
}

/* How many arguments are global options before the command. */
static int leading_options(int argc, char **argv)
{
    int i = 0;
    while (i < argc) {
        struct written w;
        bool ok;
        if (!read_written(argv[i], &w, &ok) || !ok)
            break;
        const struct cli_option *o = find_option(NULL, w.name, w.len);
        if (!o)
            break;
        i += o->kind != CLI_FLAG && !w.value ? 2 : 1;
    }
    return i < argc ? i : argc;
}

/* The old shell's commands are one word. */
static const struct cli_command *find_old(int argc, char **argv, int *ret_words)
{
    for (const struct cli_old_words *o = cli_old_words; argc && o->old; o++)
        for (const struct cli_command *c = cli_commands; strcmp(argv[0], o->old) == 0 && c->words;
             c++)
            if (strcmp(c->words, o->words) == 0) {
                *ret_words = 1;
                return c;
            }
    return NULL;
}

const struct cli_command *cli_find(int argc, char **argv, int *ret_skip, int *ret_words)
{
    const struct cli_command *best = NULL;
    *ret_skip = leading_options(argc, argv);
    *ret_words = 0;
    for (const struct cli_command *c = cli_commands; c->words; c++) {
        int n = words_match(c->words, argc - *ret_skip, argv + *ret_skip);
        if (n > *ret_words) {
            *ret_words = n;
            best = c;
        }
    }
    return best ? best : find_old(argc - *ret_skip, argv + *ret_skip, ret_words);
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

/* The option's value, from the same or the next argument; *used counts the arguments taken. */
static int take_value(const struct cli_option *o, const struct written *w, int left, char **argv,
                      const char **ret, int *used, struct err *e)
{
    *used = 1;
    *ret = w->value ? w->value : "";
    if (o->kind == CLI_FLAG)
        return w->value ? err_set(e, ERR_INVALID, "--%s takes no value", o->name) : 0;
    if (!w->value) {
        if (left < 2)
            return err_set(e, ERR_INVALID, "--%s needs a value: --%s %s", o->name, o->name,
                           o->value);
        *ret = argv[1];
        *used = 2;
    }
    int64_t number;
    if (o->kind == CLI_INT && !parse_i64(*ret, INT32_MIN, INT32_MAX, &number))
        return err_set(e, ERR_INVALID, "--%s takes a whole number, not '%s'", o->name, *ret);
    return 0;
}

/* "-f" means --follow for the commands that have it, unless a format comes behind it. */
static bool means_follow(const struct cli_command *cmd, const struct written *w, int left,
                         char **argv)
{
    static const char *const formats[] = {"table", "json", "yaml", "value"};
    bool format = w->value != NULL;
    for (size_t i = 0; left > 1 && i < ARRAY_LEN(formats); i++)
        format |= strcmp(argv[1], formats[i]) == 0;
    return argv[0][1] == 'f' && !format && find_in(cmd->options, "follow", strlen("follow"));
}

static int take_option(const struct cli_command *cmd, const struct written *w, int left,
                       char **argv, struct cli_args *ret, int *used, struct err *e)
{
    const struct cli_option *o = find_in(cmd->options, w->name, w->len);
    const char *value;
    if (!o && means_follow(cmd, w, left, argv))
        o = find_in(cmd->options, "follow", strlen("follow"));
    if (!o)
        o = find_option(cmd, w->name, w->len);
    if (!o)
        return err_set(e, ERR_INVALID, "magnum %s has no option --%.*s; see magnum %s --help",
                       cmd->words, (int)w->len, w->name, cmd->words);
    int rc = take_value(o, w, left, argv, &value, used, e);
    if (rc != 0)
        return rc;
    return add_value(ret, o, value) == 0 ? 0 : err_nomem(e);
}

static int parse_all(const struct cli_command *cmd, int argc, char **argv, struct cli_args *ret,
                     struct err *e)
{
    bool only_words = false;
    for (int i = 0, used = 1; i < argc; i += used) {
        struct written w;
        bool ok = true;
        int rc = 0;
        used = 1;
        if (!only_words && strcmp(argv[i], "--") == 0)
            only_words = true;
        else if (!only_words && read_written(argv[i], &w, &ok))
            rc = ok ? take_option(cmd, &w, argc - i, argv + i, ret, &used, e)
                    : err_set(e, ERR_INVALID, "magnum has no option %s; see magnum %s --help",
                              argv[i], cmd->words);
        else if (add_word(ret, argv[i]) != 0)
            rc = err_nomem(e);
        if (rc != 0)
            return rc;
    }
    return 0;
}

bool cli_args_parse(const struct cli_command *cmd, int argc, char **argv, struct cli_args *ret,
                    struct err *e)
{
    if (parse_all(cmd, argc, argv, ret, e) != 0)
        return false;
    if (cli_has(ret, "help"))
        return true;
    if (ret->n_words < cmd->min_words || ret->n_words > cmd->max_words) {
        err_set(e, ERR_INVALID, "usage: magnum %s%s%s [options]; see magnum %s --help", cmd->words,
                *cmd->usage ? " " : "", cmd->usage, cmd->words);
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

const char *cli_word(const struct cli_args *a, size_t at, const char *option)
{
    return at < a->n_words ? a->words[at] : cli_text(a, option);
}

int64_t cli_int(const struct cli_args *a, const char *option, int64_t missing)
{
    int64_t v;
    return parse_i64(cli_text(a, option), INT32_MIN, INT32_MAX, &v) ? v : missing;
}

static json_t *joined(const json_t *before, const char *text)
{
    const char *old = json_string_value(before);
    _cleanup_free_ char *both = old ? str_fmt("%s,%s", old, text) : NULL;
    return json_string(old ? both : text);
}

/* --floating-ip-disabled clears floating_ip_enabled; --tls-disabled sets tls_disabled. */
static bool flag_value(const struct cli_option *o)
{
    return !(str_ends(o->name, "-disabled") && str_ends(o->field, "_enabled")) &&
           strcmp(o->name, "visible") != 0;
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
            v = json_boolean(flag_value(o));
        else if (o->kind == CLI_INT && parse_i64(a->values[i].text, INT32_MIN, INT32_MAX, &number))
            v = json_integer(number);
        else if (o->kind == CLI_MULTI)
            v = joined(json_object_get(body, o->field), a->values[i].text);
        else
            v = json_string(a->values[i].text);
        if (!v || json_object_set_new(body, o->field, v) < 0)
            return err_set(e, ERR_INVALID, "--%s: not valid UTF-8", o->name);
    }
    return 0;
}
