/* See config.h: defaults, then the file, then the environment, then the checks between options.
 * Every message is one line that says where, what and (for a typo) what was probably meant. */
#include "config/config.h"

#include "base/io.h"
#include "config/config_internal.h"
#include "config/yaml_internal.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { FILE_MAX = 1 << 20 };
static const char default_path[] = "/etc/magnum/magnum.yaml";

void config_free(struct config **c)
{
    if (!c || !*c)
        return;
    for (size_t i = 0; i < config_options_len; i++)
        option_clear(*c, &config_options[i]);
    json_decref((*c)->driver_config);
    free((*c)->source);
    free(*c);
    *c = NULL;
}

static int new_with_defaults(struct config **ret, struct err *e)
{
    _cleanup_config_ struct config *c = calloc(1, sizeof *c);
    if (!c || !(c->driver_config = json_object()) || !(c->source = strdup("")))
        return err_nomem(e);
    for (size_t i = 0; i < config_options_len; i++) {
        int rc = option_set_text(c, &config_options[i], config_options[i].def, e);
        if (rc < 0)
            return rc;
    }
    *ret = TAKE_PTR(c);
    return 0;
}

/* ---- did you mean ---- */
static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Edit distance; texts beyond 63 characters are never alike. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);
    if (strlen(a) > 63 || n > 63)
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t up = row[j + 1];
            row[j + 1] = min3(row[j] + 1, up + 1, diagonal + (a[i] != b[j]));
            diagonal = up;
        }
    }
    return row[n];
}

static void keep_nearer(const char *wrong, const char *candidate, const char **best, size_t *score)
{
    size_t d = distance(wrong, candidate);
    if (d < *score) {
        *score = d;
        *best = candidate;
    }
}

static size_t tolerance(const char *wrong)
{
    return strlen(wrong) / 3 + 2; /* exclusive: 1 edit in a short word, 4 in a dozen letters */
}

static int unknown_section(const char *where, const char *section, struct err *e)
{
    const char *best = NULL;
    size_t score = tolerance(section);
    for (size_t i = 0; i < config_options_len; i++)
        keep_nearer(section, config_options[i].section, &best, &score);
    keep_nearer(section, "driver_config", &best, &score);
    return err_set(e, ERR_CONFIG, "%sunknown section \"%.64s\"%s%s%s", where, section,
                   best ? "; did you mean \"" : "", best ? best : "", best ? "\"?" : "");
}

static int unknown_option(const char *where, const char *section, const char *name, struct err *e)
{
    const char *best = NULL, *elsewhere = NULL;
    size_t score = tolerance(name);
    for (size_t i = 0; i < config_options_len; i++) {
        if (strcmp(config_options[i].section, section) == 0)
            keep_nearer(name, config_options[i].name, &best, &score);
        else if (strcmp(config_options[i].name, name) == 0)
            elsewhere = config_options[i].section;
    }
    if (!best && elsewhere)
        return err_set(e, ERR_CONFIG, "%sunknown option %s.%.64s; did you mean %s.%s?", where,
                       section, name, elsewhere, name);
    if (best)
        return err_set(e, ERR_CONFIG, "%sunknown option %s.%.64s; did you mean %s.%s?", where,
                       section, name, section, best);
    return err_set(e, ERR_CONFIG, "%sunknown option %s.%.64s", where, section, name);
}

static bool is_section(const char *name)
{
    for (size_t i = 0; i < config_options_len; i++)
        if (strcmp(config_options[i].section, name) == 0)
            return true;
    return false;
}

/* ---- driver_config ---- */
static json_t *as_text(const json_t *value)
{
    if (json_is_string(value))
        return json_string(json_string_value(value));
    if (!json_is_number(value) && !json_is_boolean(value))
        return NULL;
    _cleanup_free_ char *text = json_dumps(value, JSON_ENCODE_ANY);
    return text ? json_string(text) : NULL;
}

static int read_driver_config(struct config *c, const char *where, json_t *section, struct err *e)
{
    const char *id, *key;
    json_t *options, *value;
    json_object_foreach(section, id, options)
    {
        if (json_is_null(options))
            continue;
        if (!json_is_object(options))
            return err_set(e, ERR_CONFIG, "%sdriver_config.%.64s must be a mapping", where, id);
        json_t *mine = json_object();
        if (json_object_set_new(c->driver_config, id, mine) < 0)
            return err_nomem(e);
        json_object_foreach(options, key, value)
        {
            json_t *text = as_text(value);
            if (!text)
                return err_set(e, ERR_CONFIG, "%sdriver_config.%.64s.%.64s must be one value",
                               where, id, key);
            if (json_object_set_new(mine, key, text) < 0)
                return err_nomem(e);
        }
    }
    return 0;
}

/* ---- the file ---- */
struct place { /* "file:line: " */
    char text[512];
};

static struct place place_of(const char *file, const json_t *lines, const char *section,
                             const char *name)
{
    struct place p;
    char path[256];
    snprintf(path, sizeof path, name ? "%s.%s" : "%s", section, name);
    json_int_t line = json_integer_value(json_object_get(lines, path));
    if (line > 0)
        snprintf(p.text, sizeof p.text, "%s:%lld: ", file, (long long)line);
    else
        snprintf(p.text, sizeof p.text, "%s: ", file);
    return p;
}

static int read_option(struct config *c, const char *where, const char *section, const char *name,
                       const json_t *value, struct err *e)
{
    const struct option *o = option_find(section, name);
    if (!o)
        return unknown_option(where, section, name, e);
    if (json_is_null(value)) /* "name:" with nothing behind it: the default stays */
        return 0;
    struct err inner = ERR_INIT;
    int rc = option_set_value(c, o, value, &inner);
    return rc < 0 ? err_set(e, rc, "%s%s", where, inner.msg) : 0;
}

static int read_section(struct config *c, const char *file, const json_t *lines,
                        const char *section, json_t *content, struct err *e)
{
    struct place at = place_of(file, lines, section, NULL);
    bool drivers = strcmp(section, "driver_config") == 0;
    if (!drivers && !is_section(section))
        return unknown_section(at.text, section, e);
    if (json_is_null(content)) /* every option below it is commented out */
        return 0;
    if (!json_is_object(content))
        return err_set(e, ERR_CONFIG, "%ssection %s must be a mapping of options", at.text,
                       section);
    if (drivers)
        return read_driver_config(c, at.text, content, e);
    const char *name;
    json_t *value;
    json_object_foreach(content, name, value)
    {
        struct place here = place_of(file, lines, section, name);
        int rc = read_option(c, here.text, section, name, value, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_file(struct config *c, const char *path, struct err *e)
{
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    int rc = io_read_file(path, FILE_MAX, &text, &len, e);
    if (rc < 0)
        return rc;
    _cleanup_json_ json_t *lines = json_object(), *doc = NULL;
    rc = yaml_load_lines(path, text, len, lines, &doc, e);
    if (rc < 0)
        return rc;
    free(c->source);
    if (!(c->source = strdup(path)))
        return err_nomem(e);
    if (json_is_null(doc))
        return 0;
    if (!json_is_object(doc))
        return err_set(e, ERR_CONFIG, "%s: must be a mapping of sections", path);
    const char *section;
    json_t *content;
    json_object_foreach(doc, section, content)
    {
        rc = read_section(c, path, lines, section, content, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- the environment ---- */
static int read_environment(struct config *c, struct err *e)
{
    for (size_t i = 0; i < config_options_len; i++) {
        const struct option *o = &config_options[i];
        char name[128];
        int n = snprintf(name, sizeof name, "MAGNUM_%s_%s", o->section, o->name);
        for (int k = 0; k < n && k < (int)sizeof name; k++)
            name[k] = (char)toupper((unsigned char)name[k]);
        const char *value = getenv(name);
        if (!value)
            continue;
        struct err inner = ERR_INIT;
        int rc = option_set_text(c, o, value, &inner);
        if (rc < 0)
            return err_set(e, rc, "environment variable %s: %s", name, inner.msg);
    }
    return 0;
}

/* ---- checks between options ---- */
static int check_default_driver(const char *coe, const char *name, const struct strv *allowed,
                                struct err *e)
{
    if (strv_has(allowed, "all") || strv_has(allowed, name))
        return 0;
    return err_set(e, ERR_CONFIG,
                   "cluster_template.%s_default_network_driver (%.64s) is not among "
                   "cluster_template.%s_allowed_network_drivers",
                   coe, name, coe);
}

int config_check(const struct config *c, struct err *e)
{
    const struct {
        const char *small_name, *large_name;
        int64_t small, factor, large, scale; /* small * factor <= large * scale */
    } pairs[] = {
        {"conductor.min_wait_ms", "conductor.max_wait_ms", c->conductor_min_wait_ms, 1,
         c->conductor_max_wait_ms, 1},
        {"conductor.backoff_ms", "conductor.backoff_max_ms", c->conductor_backoff_ms, 1,
         c->conductor_backoff_max_ms, 1},
        {"conductor.heartbeat_ms", "conductor.service_down_time_s", c->conductor_heartbeat_ms, 2,
         c->conductor_service_down_time_s, 1000},
        {"conductor.heartbeat_ms", "rpc.peer_timeout_ms", c->conductor_heartbeat_ms, 2,
         c->rpc_peer_timeout_ms, 1},
        {"rpc.heartbeat_ms", "rpc.peer_timeout_ms", c->rpc_heartbeat_ms, 2, c->rpc_peer_timeout_ms,
         1},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        if (pairs[i].small * pairs[i].factor > pairs[i].large * pairs[i].scale)
            return err_set(e, ERR_CONFIG, "%s (%" PRId64 ") must be at least %s%s (%" PRId64 ")",
                           pairs[i].large_name, pairs[i].large,
                           pairs[i].factor == 2 ? "twice " : "", pairs[i].small_name,
                           pairs[i].small);
    int rc =
        check_default_driver("kubernetes", c->cluster_template_kubernetes_default_network_driver,
                             &c->cluster_template_kubernetes_allowed_network_drivers, e);
    if (rc == 0)
        rc = check_default_driver("swarm", c->cluster_template_swarm_default_network_driver,
                                  &c->cluster_template_swarm_allowed_network_drivers, e);
    if (rc == 0)
        rc = check_default_driver("mesos", c->cluster_template_mesos_default_network_driver,
                                  &c->cluster_template_mesos_allowed_network_drivers, e);
    return rc;
}

static const char *path_to_read(const char *path)
{
    if (!path)
        path = getenv("MAGNUM_CONFIG");
    if (!str_blank(path))
        return path;
    /* Anything but "it is not there" (say, no right to read it) must be reported, not skipped. */
    return access(default_path, F_OK) == 0 || errno != ENOENT ? default_path : NULL;
}

int config_load(const char *path, struct config **ret, struct err *e)
{
    _cleanup_config_ struct config *c = NULL;
    struct err inner = ERR_INIT;
    const char *file = path_to_read(path);
    int rc = new_with_defaults(&c, &inner);
    if (rc == 0 && file)
        rc = read_file(c, file, &inner);
    if (rc == 0)
        rc = read_environment(c, &inner);
    if (rc == 0)
        rc = config_check(c, &inner);
    if (rc == ERR_NOMEM)
        return err_nomem(e);
    if (rc < 0)
        return err_set(e, ERR_CONFIG, "%s", inner.msg);
    *ret = TAKE_PTR(c);
    return 0;
}

static int set_driver_option(struct config *c, const char *rest, const char *value, struct err *e)
{
    const char *dot = strrchr(rest, '.'); /* ids have dots, keys have none */
    if (!dot || dot == rest || !dot[1])
        return err_set(e, ERR_CONFIG, "driver_config.%.64s: expected driver_config.<id>.<key>",
                       rest);
    _cleanup_free_ char *id = strndup(rest, (size_t)(dot - rest));
    if (!id)
        return err_nomem(e);
    json_t *mine = json_object_get(c->driver_config, id);
    if (!mine) {
        mine = json_object();
        if (json_object_set_new(c->driver_config, id, mine) < 0)
            return err_nomem(e);
    }
    json_t *text = json_string(value);
    if (!text)
        return err_set(e, ERR_CONFIG, "driver_config.%.64s must be valid UTF-8", rest);
    return json_object_set_new(mine, dot + 1, text) < 0 ? err_nomem(e) : 0;
}

int config_set(struct config *c, const char *name, const char *value, struct err *e)
{
    const char *dot = strchr(name, '.');
    if (!dot || dot == name || !dot[1])
        return err_set(e, ERR_CONFIG, "\"%.64s\" is not an option; expected <section>.<name>",
                       name);
    _cleanup_free_ char *section = strndup(name, (size_t)(dot - name));
    if (!section)
        return err_nomem(e);
    if (strcmp(section, "driver_config") == 0)
        return set_driver_option(c, dot + 1, value, e);
    if (!is_section(section))
        return unknown_section("", section, e);
    const struct option *o = option_find(section, dot + 1);
    return o ? option_set_text(c, o, value, e) : unknown_option("", section, dot + 1, e);
}
