/* Reads one manifest. Members this version does not know are kept in `manifest` and otherwise
 * ignored, so that a manifest of a later minor ABI still works here. See manifest.h. */
#include "drivers/manifest.h"

#include "base/jsonx.h"
#include "config/yaml.h"
#include "magnum/cert.h"
#include "magnum/lifecycle.h"

#include <ctype.h>
#include <string.h>

enum { MANIFEST_VERSION = 1, NAME_MAX_LEN = 128, LIST_MAX = 64 };

void plugin_done(struct plugin *p)
{
    free(p->id);
    free(p->kind);
    free(p->name);
    free(p->version);
    free(p->ref);
    free(p->vendor);
    free(p->maturity);
    free(p->manifest_path);
    free(p->library_path);
    json_decref(p->manifest);
    json_decref(p->label_schema);
    json_decref(p->config_schema);
    json_decref(p->settings);
    free(p->problem);
    free(p->unwanted);
    *p = (struct plugin){0};
}

/* A text member; missing NULL = it must be there. */
static int get_text(const json_t *m, const char *key, const char *missing, char **ret,
                    struct err *e)
{
    const json_t *v = json_object_get(m, key);
    const char *s = json_string_value(v);
    if (json_is_number(v))
        return err_set(e, ERR_INVALID, "%s must be text: put quotes around the number", key);
    if (v && !s && !json_is_null(v))
        return err_set(e, ERR_INVALID, "%s must be text", key);
    if (!s)
        s = missing;
    if (!s || (!missing && !*s))
        return err_set(e, ERR_INVALID, "%s is missing", key);
    if (strlen(s) > NAME_MAX_LEN)
        return err_set(e, ERR_INVALID, "%s is longer than %d characters", key, NAME_MAX_LEN);
    *ret = str_dup(s);
    return *ret ? 0 : err_nomem(e);
}

static int get_bool(const json_t *m, const char *key, bool *ret, struct err *e)
{
    const json_t *v = json_object_get(m, key);
    if (v && !json_is_boolean(v))
        return err_set(e, ERR_INVALID, "%s must be true or false", key);
    *ret = json_is_true(v);
    return 0;
}

static int get_int(const json_t *m, const char *key, int64_t min, int64_t max, int64_t *ret,
                   struct err *e)
{
    const json_t *v = json_object_get(m, key);
    int64_t n = jsonx_int(m, key, min - 1);
    if (!v)
        return 0;
    if (n < min || n > max)
        return err_set(e, ERR_INVALID, "%s must be a whole number from %lld to %lld", key,
                       (long long)min, (long long)max);
    *ret = n;
    return 0;
}

static int get_choice(const json_t *m, const char *key, const char *const *choices,
                      const char *missing, char **ret, struct err *e)
{
    int rc = get_text(m, key, missing, ret, e);
    if (rc != 0)
        return rc;
    for (const char *const *c = choices; *c; c++)
        if (str_eq(*c, *ret))
            return 0;
    _cleanup_str_ struct str all = STR_INIT;
    for (const char *const *c = choices; *c; c++)
        str_printf(&all, "%s%s", all.len ? ", " : "", *c);
    return err_set(e, ERR_INVALID, "%s is '%s', not one of: %s", key, *ret, str_text(&all));
}

static bool only_chars(const char *s, const char *extra)
{
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr(extra, *s))
            return false;
    return true;
}

/* A file in the manifest's own directory. */
static int check_file_name(const char *key, const char *s, struct err *e)
{
    if (strchr(s, '/') || s[0] == '.')
        return err_set(e, ERR_INVALID,
                       "%s must be the name of a file in the manifest's directory, without slashes",
                       key);
    return 0;
}

static int check_strings(const json_t *m, const char *key, struct err *e)
{
    const json_t *list = json_object_get(m, key);
    if (list && !json_is_array(list))
        return err_set(e, ERR_INVALID, "%s must be a list of texts", key);
    if (json_array_size(list) > LIST_MAX)
        return err_set(e, ERR_INVALID, "%s has more than %d entries", key, LIST_MAX);
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        if (!json_is_string(v) || json_string_length(v) > NAME_MAX_LEN)
            return err_set(e, ERR_INVALID, "%s must be a list of texts", key);
    }
    return 0;
}

static bool list_has(const json_t *list, const char *s)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        if (str_eq(json_string_value(v), s))
            return true;
    }
    return false;
}

static int check_provides(const json_t *m, struct err *e)
{
    static const char *const keys[] = {"server_type", "os", "coe"};
    const json_t *list = json_object_get(m, "provides");
    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > LIST_MAX)
        return err_set(e, ERR_INVALID,
                       "provides must list what the driver makes: at least one "
                       "{server_type, os, coe}");
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        for (size_t k = 0; k < ARRAY_LEN(keys); k++)
            if (str_blank(jsonx_str(v, keys[k])))
                return err_set(e, ERR_INVALID, "provides[%zu] lacks %s", i, keys[k]);
    }
    return 0;
}

static int check_abi(const json_t *m, struct err *e)
{
    const json_t *abi = json_object_get(m, "abi");
    int64_t major = jsonx_int(abi, "major", -1), minor = jsonx_int(abi, "min_minor", -1);
    if (major < 0 || minor < 0)
        return err_set(e, ERR_INVALID, "abi must be {major: n, min_minor: n}");
    if (major != MAG_ABI_MAJOR || minor > MAG_ABI_MINOR)
        return err_set(e, ERR_UNSUPPORTED, "needs plugin ABI %lld.%lld, this Magnum offers %u.%u",
                       (long long)major, (long long)minor, MAG_ABI_MAJOR, MAG_ABI_MINOR);
    return 0;
}

static int check_identity(const json_t *m, struct plugin *p, struct err *e)
{
    static const char *const kinds[] = {"coe-driver", "cert-manager", NULL};
    static const char *const maturities[] = {"stable", "beta", "experimental", NULL};
    int rc;
    if (jsonx_int(m, "manifest", -1) != MANIFEST_VERSION)
        return err_set(e, ERR_INVALID, "manifest must be %d: no other version is known here",
                       MANIFEST_VERSION);
    if ((rc = get_text(m, "id", NULL, &p->id, e)) != 0 ||
        (rc = get_choice(m, "kind", kinds, NULL, &p->kind, e)) != 0 ||
        (rc = get_text(m, "name", NULL, &p->name, e)) != 0 ||
        (rc = get_text(m, "version", NULL, &p->version, e)) != 0 ||
        (rc = get_text(m, "vendor", "", &p->vendor, e)) != 0 ||
        (rc = get_choice(m, "maturity", maturities, "stable", &p->maturity, e)) != 0)
        return rc;
    if (!strchr(p->id, '.') || !only_chars(p->id, ".-_") || p->id[0] == '.')
        return err_set(e, ERR_INVALID, "id must be a reverse domain name such as com.example.name");
    if (!only_chars(p->version, ".-_+~") || p->version[0] == '.')
        return err_set(e, ERR_INVALID, "version may hold letters, digits and . - _ + ~ only");
    _cleanup_free_ char *from = NULL;
    if ((rc = get_text(m, "takes_over", "", &from, e)) != 0)
        return rc;
    if (!only_chars(from, ".-_+~"))
        return err_set(e, ERR_INVALID,
                       "takes_over must be a version: the oldest whose clusters it can go on with");
    if (!only_chars(p->name, ".-_"))
        return err_set(e, ERR_INVALID,
                       "name may hold letters, digits, dots, dashes and underscores only");
    return 0;
}

/* Directories it keeps things in: the option that names each, and where it is without the option.
 * A manifest opens only what lies in Magnum's own place; operators open what they like. */
static int check_directories(const json_t *m, struct plugin *p, struct err *e)
{
    static const char place[] = "/var/lib/magnum/";
    json_t *dirs = json_object_get(m, "directories");
    const char *option;
    json_t *v;
    if (dirs && (!json_is_object(dirs) || json_object_size(dirs) > LIST_MAX))
        return err_set(e, ERR_INVALID, "directories must be {option: default, ...}");
    json_object_foreach(dirs, option, v)
    {
        const char *path = json_string_value(v);
        if (!path || (*path && !str_starts(path, place)) || strstr(path, ".."))
            return err_set(e, ERR_INVALID, "directories: the default of %s must be '' or below %s",
                           option, place);
    }
    p->dirs = dirs;
    return 0;
}

static int check_rights(const json_t *m, struct plugin *p, struct err *e)
{
    static const char *const networks[] = {"brokered", "direct", NULL};
    static const char *const discovery[] = {"none", "optional", "required", NULL};
    _cleanup_free_ char *network = NULL, *etcd = NULL;
    bool resize = false, replace = false; /* others read them, from the manifest */
    const json_t *limits = json_object_get(m, "limits");
    int rc;
    if (limits && !json_is_object(limits))
        return err_set(e, ERR_INVALID,
                       "limits must be {memory_mb: n, open_files: n, processes: n, "
                       "file_mb: n}");
    if ((rc = get_choice(m, "network", networks, "brokered", &network, e)) != 0 ||
        (rc = get_bool(m, "exec", &p->exec, e)) != 0 ||
        (rc = get_bool(m, "unix_sockets", &p->unix_sockets, e)) != 0 ||
        (rc = get_bool(m, "service_token", &p->service_token, e)) != 0 ||
        (rc = get_int(limits, "memory_mb", 16, 1048576, &p->memory_mb, e)) != 0 ||
        (rc = get_int(limits, "open_files", 16, 1048576, &p->open_files, e)) != 0 ||
        (rc = get_int(limits, "processes", 1, 1048576, &p->processes, e)) != 0 ||
        (rc = get_int(limits, "file_mb", 1, 1048576, &p->file_mb, e)) != 0 ||
        (rc = get_bool(m, "privileged", &p->privileged, e)) != 0 ||
        (rc = get_bool(m, "resize_master", &resize, e)) != 0 ||
        (rc = get_bool(m, "replace_master", &replace, e)) != 0 ||
        (rc = get_choice(m, "etcd_discovery", discovery, "none", &etcd, e)) != 0 ||
        (rc = check_directories(m, p, e)) != 0)
        return rc;
    p->network_direct = str_eq(network, "direct");
    return 0;
}

static int check_files(const json_t *m, struct plugin *p, struct err *e)
{
    _cleanup_free_ char *labels = NULL, *config = NULL;
    int rc = get_text(m, "library", NULL, &p->library_path, e);
    if (rc == 0)
        rc = check_file_name("library", p->library_path, e);
    if (rc == 0)
        rc = get_text(m, "labels", "", &labels, e);
    if (rc == 0 && *labels)
        rc = check_file_name("labels", labels, e);
    if (rc == 0)
        rc = get_text(m, "config", "", &config, e);
    if (rc == 0 && *config)
        rc = check_file_name("config", config, e);
    return rc;
}

static int check_interfaces(const json_t *m, const struct plugin *p, struct err *e)
{
    bool coe = str_eq(p->kind, "coe-driver");
    const char *needed = coe ? MAG_IFACE_LIFECYCLE : MAG_IFACE_CERT_STORE;
    int rc = check_strings(m, "interfaces", e);
    if (rc == 0)
        rc = check_strings(m, "operations", e);
    if (rc == 0 && !list_has(json_object_get(m, "interfaces"), needed))
        rc = err_set(e, ERR_INVALID, "interfaces must list %s for a %s", needed, p->kind);
    if (rc == 0 && coe)
        rc = check_provides(m, e);
    return rc;
}

int manifest_parse(const char *text, size_t len, struct plugin *ret, struct err *e)
{
    struct plugin p = {0};
    int rc = yaml_load("manifest", text, len, &p.manifest, e);
    if (rc == 0 && !json_is_object(p.manifest))
        rc = err_set(e, ERR_INVALID, "a manifest is a mapping of names to values");
    if (rc == 0)
        rc = check_identity(p.manifest, &p, e);
    if (rc == 0)
        rc = check_abi(p.manifest, e);
    if (rc == 0)
        rc = check_files(p.manifest, &p, e);
    if (rc == 0)
        rc = check_rights(p.manifest, &p, e);
    if (rc == 0)
        rc = check_interfaces(p.manifest, &p, e);
    if (rc != 0) {
        plugin_done(&p);
        return rc;
    }
    *ret = p;
    return 0;
}

int manifest_unknown(const json_t *manifest, struct strv *ret, struct err *e)
{
    static const char *const known[] = {"manifest",      "id",
                                        "kind",          "name",
                                        "version",       "vendor",
                                        "library",       "abi",
                                        "provides",      "interfaces",
                                        "operations",    "maturity",
                                        "network",       "exec",
                                        "unix_sockets",  "service_token",
                                        "limits",        "labels",
                                        "privileged",    "directories",
                                        "config",        "etcd_discovery",
                                        "resize_master", "replace_master",
                                        "takes_over"};
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)manifest, key, v)
    {
        bool found = false;
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            found = found || strcmp(known[i], key) == 0;
        if (!found && strv_add(ret, key) != 0)
            return err_nomem(e);
    }
    return 0;
}
