/* Where the service is and who we are: options first, then OS_* variables, then clouds.yaml.
 * See cli.h. Strategies: none, http_basic, a token given as it is (OS_TOKEN), and Keystone
 * (keystone.c), whose catalogue also says where the service is. */
#include "cmd/cli/cli.h"

#include "base/io.h"
#include "base/jsonx.h"
#include "base/secret.h"
#include "config/yaml.h"

#include <string.h>

enum { CLOUDS_MAX = 1 << 20, CA_MAX = 1 << 20 };

static const char default_endpoint[] = "http://127.0.0.1:9511";

static const char *env(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

static const char *first(const char *a, const char *b)
{
    return str_blank(a) ? b : a;
}

/* The entry of clouds.yaml, from the places openstackclient reads. */
static int load_cloud(const char *name, json_t **ret, struct err *e)
{
    const char *home = env("HOME"), *given = env("OS_CLIENT_CONFIG_FILE");
    _cleanup_free_ char *own = str_fmt("%s/.config/openstack/clouds.yaml", home ? home : "");
    const char *const paths[] = {given, "clouds.yaml", own, "/etc/openstack/clouds.yaml"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        if (!paths[i] || access(paths[i], R_OK) != 0)
            continue;
        _cleanup_json_ json_t *doc = NULL;
        int rc = yaml_load_file(paths[i], CLOUDS_MAX, &doc, e);
        if (rc != 0)
            return rc;
        json_t *cloud = json_object_get(json_object_get(doc, "clouds"), name);
        if (!json_is_object(cloud))
            return err_set(e, ERR_NOT_FOUND, "%s has no cloud named '%s'", paths[i], name);
        *ret = json_incref(cloud);
        return 0;
    }
    return err_set(e, ERR_NOT_FOUND,
                   "cloud '%s' was asked for, but there is no clouds.yaml here, in "
                   "~/.config/openstack or in /etc/openstack",
                   name);
}

static void base64(struct str *out, const char *in, size_t n)
{
    static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)(unsigned char)in[i] << 16;
        if (i + 1 < n)
            v |= (unsigned)(unsigned char)in[i + 1] << 8;
        if (i + 2 < n)
            v |= (unsigned char)in[i + 2];
        str_append_c(out, abc[v >> 18]);
        str_append_c(out, abc[v >> 12 & 63]);
        str_append_c(out, i + 1 < n ? abc[v >> 6 & 63] : '=');
        str_append_c(out, i + 2 < n ? abc[v & 63] : '=');
    }
}

static int add_header(struct cli *c, const char *name, const char *value, struct err *e)
{
    _cleanup_free_ char *line = str_fmt("%s: %s", name, value);
    if (!line || strv_add(&c->headers, line) != 0)
        return err_nomem(e);
    return 0;
}

static int add_basic(struct cli *c, const char *user, const char *password, struct err *e)
{
    if (str_blank(user) || str_blank(password))
        return err_set(e, ERR_INVALID, "http_basic needs OS_USERNAME and OS_PASSWORD");
    _cleanup_free_ char *pair = str_fmt("%s:%s", user, password);
    if (!pair)
        return err_nomem(e);
    _cleanup_str_ struct str value = STR_INIT;
    str_append(&value, "Basic ");
    base64(&value, pair, strlen(pair));
    secret_wipe(pair, strlen(pair));
    return add_header(c, "Authorization", str_text(&value), e);
}

/* Headers, or how to log in at Keystone. */
static int set_credentials(struct cli *c, const struct cli_args *a, const json_t *cloud,
                           bool endpoint_known, struct err *e)
{
    const json_t *auth = json_object_get(cloud, "auth");
    const char *token = cli_setting(a, cloud, "os-token", "OS_TOKEN", "token");
    const char *type = first(cli_text(a, "os-auth-type"), env("OS_AUTH_TYPE"));
    type = first(type, jsonx_str(cloud, "auth_type"));
    bool token_type = str_blank(type) || str_ends(type, "token");
    if (!str_blank(type) && strcmp(type, "none") == 0)
        return 0;
    if (!str_blank(type) && strcmp(type, "http_basic") == 0) {
        const char *user = first(cli_text(a, "os-username"), env("OS_USERNAME"));
        const char *password = cli_setting(a, NULL, "os-password", "OS_PASSWORD", NULL);
        return add_basic(c, first(user, jsonx_str(auth, "username")),
                         first(password, jsonx_str(auth, "password")), e);
    }
    if (token && token_type && endpoint_known)
        return add_header(c, "X-Auth-Token", token, e);
    int rc = cli_login_read(a, cloud, str_blank(type) ? NULL : type, &c->login, e);
    if (rc || c->login || str_blank(type))
        return rc == 0 && !c->login && token ? add_header(c, "X-Auth-Token", token, e) : rc;
    return err_set(e, ERR_INVALID, "auth type '%s' needs OS_AUTH_URL", type);
}

/* Cuts "/v1" and slashes off: paths bring their own. */
static char *base_of(const char *url)
{
    size_t n = strlen(url);
    while (n && url[n - 1] == '/')
        n--;
    if (n > 3 && memcmp(url + n - 3, "/v1", 3) == 0)
        n -= 3;
    return strndup(url, n);
}

static int use_endpoint(struct cli *c, const char *url, struct err *e)
{
    if (str_starts(url, "unix:")) {
        const char *path = url + strlen("unix:");
        while (path[0] == '/' && path[1] == '/')
            path++;
        c->unix_socket = strdup(path);
        url = "http://localhost";
        if (*path != '/')
            return err_set(e, ERR_INVALID, "unix: takes the absolute path of a socket");
    } else if (!str_starts(url, "http://") && !str_starts(url, "https://")) {
        return err_set(e, ERR_INVALID,
                       "the endpoint must start with http://, https:// or unix:, not '%s'", url);
    }
    c->endpoint = base_of(url);
    return c->endpoint ? 0 : err_nomem(e);
}

static const char *cloud_endpoint(const json_t *cloud)
{
    return first(jsonx_str(cloud, "container_infra_endpoint_override"),
                 jsonx_str(json_object_get(cloud, "auth"), "endpoint"));
}

/* Options, then the cloud when it was named by an option, then the environment, then OS_CLOUD;
 * NULL: not said. */
static const char *said_endpoint(const struct cli_args *a, const json_t *cloud)
{
    const char *url = cli_text(a, "endpoint");
    if (cli_has(a, "os-cloud"))
        url = first(url, cloud_endpoint(cloud));
    url = first(url, env("MAGNUM_ENDPOINT"));
    url = first(url, env("OS_ENDPOINT_OVERRIDE"));
    url = first(url, env("OS_ENDPOINT"));
    url = first(url, cloud_endpoint(cloud));
    return str_blank(url) ? NULL : url;
}

/* The catalogue's, unless one was named; without Keystone the one of this machine. */
static int find_service(struct cli *c, const struct cli_args *a, const json_t *cloud,
                        const char *url, struct err *e)
{
    _cleanup_free_ char *found = NULL;
    int rc = c->login ? cli_login_open(c, url ? NULL : &found, e) : 0;
    if (rc == 0 && !url && !c->login &&
        cli_setting(a, cloud, "os-auth-url", "OS_AUTH_URL", "auth_url"))
        return err_set(
            e, ERR_INVALID,
            "Keystone is named, but not who you are: set OS_USERNAME and OS_PASSWORD, an "
            "application credential or OS_TOKEN");
    return rc ? rc : use_endpoint(c, url ? url : found ? found : default_endpoint, e);
}

/* "a,b" are two columns, as --fields of the old shell had them. */
static int add_columns(struct cli *c, const char *text, struct err *e)
{
    return strv_split(&c->columns, text, ',') ? err_nomem(e) : 0;
}

static int set_format(struct cli *c, const struct cli_args *a, struct err *e)
{
    static const char *const names[] = {"table", "json", "yaml", "value"};
    const char *f = cli_text(a, "format");
    for (size_t i = 0; i < a->n_values; i++)
        if (strcmp(a->values[i].option->name, "column") == 0 &&
            add_columns(c, a->values[i].text, e) != 0)
            return e->code;
    for (int i = 0; f && i < 4; i++)
        if (strcmp(f, names[i]) == 0) {
            c->format = (enum cli_format)i;
            return 0;
        }
    return f ? err_set(e, ERR_INVALID, "--format is table, json, yaml or value, not '%s'", f) : 0;
}

int cli_session(struct cli *c, const struct cli_args *a, struct err *e)
{
    _cleanup_json_ json_t *cloud = NULL;
    const char *name = first(cli_text(a, "os-cloud"), env("OS_CLOUD"));
    int rc = set_format(c, a, e);
    if (rc == 0 && name)
        rc = load_cloud(name, &cloud, e);
    const char *url = said_endpoint(a, cloud);
    if (rc == 0)
        rc = set_credentials(c, a, cloud, url != NULL, e);
    if (rc != 0)
        return rc;
    const char *ca = first(cli_text(a, "os-cacert"), env("OS_CACERT"));
    ca = first(ca, jsonx_str(cloud, "cacert"));
    if (ca && (rc = io_read_file(ca, CA_MAX, &c->ca_pem, NULL, e)) != 0)
        return rc;
    c->insecure = cli_has(a, "insecure") || !jsonx_bool(cloud, "verify", true);
    c->debug = cli_has(a, "debug");
    rc = http_client_new(&c->http, e);
    return rc ? rc : find_service(c, a, cloud, url, e);
}

void cli_done(struct cli *c)
{
    free(c->endpoint);
    free(c->unix_socket);
    free(c->ca_pem);
    for (size_t i = 0; i < c->headers.n; i++) /* credentials */
        secret_wipe(c->headers.v[i], strlen(c->headers.v[i]));
    strv_free(&c->headers);
    strv_free(&c->columns);
    cli_login_free(&c->login);
    http_client_free(&c->http);
}
