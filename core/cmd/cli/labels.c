/* The small languages of option values: labels, node labels, taints (clients.md 1.3). See cli.h. */
#include "cmd/cli/cli.h"

#include "base/io.h"
#include "base/jsonx.h"

#include <string.h>

enum { ENV_FILE_MAX = 1 << 20, ENV_FILE_DEPTH = 32 };

/* python-magnumclient's one special label: it names a file whose content becomes another label. */
static const char env_file[] = "mesos_slave_executor_env_file";
static const char env_variables[] = "mesos_slave_executor_env_variables";

static int set_text(json_t *o, const char *key, const char *value, struct err *e)
{
    if (json_object_set_new(o, key, json_string(value)) < 0)
        return err_set(e, ERR_INVALID, "label %s: not valid UTF-8", key);
    return 0;
}

static int add_label(json_t *labels, const char *pair, struct err *e)
{
    const char *eq = strchr(pair, '=');
    if (!eq || eq == pair)
        return err_set(e, ERR_INVALID, "labels are KEY=VALUE, not '%s'", pair);
    _cleanup_free_ char *key = strndup(pair, (size_t)(eq - pair));
    const char *before = key ? jsonx_str(labels, key) : NULL;
    _cleanup_free_ char *value = before ? str_fmt("%s,%s", before, eq + 1) : strdup(eq + 1);
    if (!key || !value)
        return err_nomem(e);
    return set_text(labels, key, value, e);
}

static int add_env_file(json_t *labels, struct err *e)
{
    const char *path = jsonx_str(labels, env_file);
    if (!path)
        return 0;
    _cleanup_free_ char *text = NULL;
    _cleanup_json_ json_t *doc = NULL;
    size_t len;
    int rc = io_read_file(path, ENV_FILE_MAX, &text, &len, e);
    if (rc == 0)
        rc = jsonx_parse(text, len, ENV_FILE_DEPTH, &doc, e);
    if (rc != 0)
        return err_wrap(e, "label %s", env_file);
    _cleanup_free_ char *compact = jsonx_text(doc);
    return compact ? set_text(labels, env_variables, compact, e) : err_nomem(e);
}

/* One option with several "=" is a list; several options are one pair each and kept whole, so that
 * a value may hold commas. */
static int add_labels(json_t *labels, const char *text, bool alone, struct err *e)
{
    const char *eq = strchr(text, '=');
    if (!alone || !eq || !strchr(eq + 1, '='))
        return add_label(labels, text, e);
    _cleanup_free_ char *commas = strdup(text);
    _cleanup_strv_ struct strv pairs = STRV_INIT;
    for (char *p = commas; p && *p; p++)
        if (*p == ';')
            *p = ',';
    if (!commas || strv_split(&pairs, commas, ',') != 0)
        return err_nomem(e);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < pairs.n; i++)
        rc = add_label(labels, pairs.v[i], e);
    return rc;
}

static size_t times_given(const struct cli_args *a, const char *option)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_values; i++)
        n += strcmp(a->values[i].option->name, option) == 0;
    return n;
}

int cli_labels(const struct cli_args *a, const char *option, json_t **ret, struct err *e)
{
    _cleanup_json_ json_t *labels = json_object();
    bool alone = times_given(a, option) == 1;
    int rc = labels ? 0 : err_nomem(e);
    for (size_t i = 0; rc == 0 && i < a->n_values; i++)
        if (strcmp(a->values[i].option->name, option) == 0)
            rc = add_labels(labels, a->values[i].text, alone, e);
    if (rc == 0)
        rc = add_env_file(labels, e);
    if (rc == 0)
        *ret = TAKE_PTR(labels);
    return rc;
}

static int add_taint(json_t *taints, const char *text, struct err *e)
{
    static const char *const effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute"};
    const char *colon = strrchr(text, ':'), *eq = strchr(text, '=');
    bool known = false;
    for (size_t i = 0; colon && i < ARRAY_LEN(effects); i++)
        known = known || strcmp(colon + 1, effects[i]) == 0;
    size_t key_len = (size_t)((eq && eq < colon ? eq : colon ? colon : text) - text);
    if (!known || key_len == 0)
        return err_set(e, ERR_INVALID,
                       "taints are KEY[=VALUE]:EFFECT with the effect NoSchedule, "
                       "PreferNoSchedule or NoExecute, not '%s'",
                       text);
    const char *value = text + key_len < colon ? text + key_len + 1 : colon;
    json_t *taint = json_pack("{s:s%, s:s%, s:s}", "key", text, key_len, "value", value,
                              (size_t)(colon - value), "effect", colon + 1);
    if (!taint || json_array_append_new(taints, taint) < 0)
        return err_set(e, ERR_INVALID, "taint '%s': not valid UTF-8", text);
    return 0;
}

int cli_taints(const struct cli_args *a, const char *option, json_t **ret, struct err *e)
{
    _cleanup_json_ json_t *taints = json_array();
    _cleanup_strv_ struct strv texts = STRV_INIT;
    int rc = taints ? 0 : err_nomem(e);
    for (size_t i = 0; rc == 0 && i < a->n_values; i++)
        if (strcmp(a->values[i].option->name, option) == 0 &&
            strv_split(&texts, a->values[i].text, ',') != 0)
            rc = err_nomem(e);
    for (size_t i = 0; rc == 0 && i < texts.n; i++)
        rc = add_taint(taints, texts.v[i], e);
    if (rc == 0)
        *ret = TAKE_PTR(taints);
    return rc;
}

/* Sets `field` to what `read` makes of the option, when the option was given. */
static int set_parsed(const struct cli_args *a, const char *option, const char *field,
                      int (*read)(const struct cli_args *, const char *, json_t **, struct err *),
                      json_t *body, struct err *e)
{
    json_t *v = NULL;
    if (!cli_has(a, option))
        return 0;
    int rc = read(a, option, &v, e);
    if (rc != 0)
        return rc;
    return json_object_set_new(body, field, v) < 0 ? err_nomem(e) : 0;
}

int cli_body(const struct cli_args *a, json_t *body, struct err *e)
{
    int rc = cli_fill(a, body, e);
    if (rc == 0)
        rc = set_parsed(a, "labels", "labels", cli_labels, body, e);
    if (rc == 0)
        rc = set_parsed(a, "node-labels", "node_labels", cli_labels, body, e);
    if (rc == 0)
        rc = set_parsed(a, "node-taints", "node_taints", cli_taints, body, e);
    return rc;
}
