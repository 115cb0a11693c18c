/* See boot.h. */
#include "lib/boot.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/heat_internal.h"
#include "lib/heat_params.h"
#include "lib/services.h"
#include "lib/userdata.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS_MAX = 96, RESERVE = 4096, WORDS_MAX = 12 };
#define SCRIPT "/opt/magnum/boot.sh"

/* Each placeholder is replaced by Heat in server.yaml. */
static const char heat_values[] = "NODE_NAME='__NODE_NAME__'\n"
                                  "NODE_INDEX='__NODE_INDEX__'\n"
                                  "NODE_IP='__NODE_IP__'\n"
                                  "NODE_PUBLIC_IP='__NODE_PUBLIC_IP__'\n"
                                  "API_PRIVATE='__API_PRIVATE__'\n"
                                  "API_PUBLIC='__API_PUBLIC__'\n"
                                  "MASTER_IPS='__MASTER_IPS__'\n"
                                  "SUBNET_ID='__SUBNET_ID__'\n"
                                  "WAIT_AUTH_URL='__WAIT_AUTH_URL__'\n"
                                  "WAIT_USER_ID='__WAIT_USER_ID__'\n"
                                  "WAIT_PASSWORD='__WAIT_PASSWORD__'\n"
                                  "WAIT_PROJECT_ID='__WAIT_PROJECT_ID__'\n"
                                  "WAIT_URL='__WAIT_URL__'\n"
                                  "WAIT_COUNT='__WAIT_COUNT__'\n"
                                  "DOCKER_VOLUME_ID='__DOCKER_VOLUME_ID__'\n"
                                  "ETCD_VOLUME_ID='__ETCD_VOLUME_ID__'\n";

struct parts { /* what the node gets; owns all texts */
    struct mag_userdata_file files[PARTS_MAX];
    struct mag_userdata_unit units[PARTS_MAX];
    char *texts[2 * PARTS_MAX + 8];
    size_t n_files, n_units, n_texts;
};

static void parts_done(struct parts **pp)
{
    struct parts *p = *pp;
    for (size_t i = 0; p && i < p->n_texts; i++) {
        explicit_bzero(p->texts[i], strlen(p->texts[i]));
        free(p->texts[i]);
    }
    free(p);
}
#define _parts_ _mag_cleanup_(parts_done)

/* Takes the text, also when it is NULL (no memory). */
static const char *keep(struct parts *p, char *text)
{
    if (!text)
        return NULL;
    if (p->n_texts == MAG_LEN(p->texts)) {
        free(text);
        return NULL;
    }
    return p->texts[p->n_texts++] = text;
}

/* "name=value" of the label LABEL_<NAME>; a label that is not set has the value "". */
static bool holds(const json_t *params, const char *condition)
{
    char key[96];
    const char *equals = strchr(condition, '=');
    if (!equals || equals - condition > 80)
        return false;
    (void)snprintf(key, sizeof key, "LABEL_%.*s", (int)(equals - condition), condition);
    for (char *c = key; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    const json_t *v = json_object_get(params, key);
    const char *have = json_is_string(v)    ? json_string_value(v)
                       : json_is_boolean(v) ? (json_is_true(v) ? "true" : "false")
                                            : "";
    return strcmp(have, equals + 1) == 0;
}

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static int32_t add(struct parts *p, const char *path, const char *mode, const char *text,
                   mag_error *err)
{
    bool unit = ends_in(path, ".service") || ends_in(path, ".timer");
    if ((unit ? p->n_units : p->n_files) == PARTS_MAX)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "BadBootFiles", NULL,
                        "More than %d files for the first boot", PARTS_MAX);
    if (unit) {
        const char *slash = strrchr(path, '/');
        p->units[p->n_units++] = (struct mag_userdata_unit){
            .name = slash ? slash + 1 : path, .text = text, .enabled = !strcmp(mode, "enabled")};
    } else {
        p->files[p->n_files++] = (struct mag_userdata_file){
            .path = path, .text = text, .mode = (unsigned)strtoul(mode, NULL, 8)};
    }
    return MAG_OK;
}

static int32_t add_line(struct parts *p, const char *dir, char *line, const json_t *params,
                        mag_error *err)
{
    char *words[WORDS_MAX], *rest = NULL, path[HEAT_PATH], *text = NULL;
    size_t n = 0;
    line[strcspn(line, "#")] = '\0';
    for (char *w = strtok_r(line, " \t", &rest); w && n < WORDS_MAX;
         w = strtok_r(NULL, " \t", &rest))
        words[n++] = w;
    if (n == 0)
        return MAG_OK;
    if (n < 4)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "BadBootFiles",
                        "mend that line of FILES", "%s/FILES: '%s' has no path, mode or role", dir,
                        words[0]);
    const char *role = json_string_value(json_object_get(params, "ROLE"));
    if (strcmp(words[3], "all") != 0 && (!role || strcmp(words[3], role) != 0))
        return MAG_OK;
    for (size_t i = 4; i < n; i++)
        if (!holds(params, words[i]))
            return MAG_OK;
    (void)snprintf(path, sizeof path, "%s/%s", dir, words[0]);
    int32_t rc = heat_read_file(path, &text, err);
    if (rc != MAG_OK)
        return rc;
    const char *kept = keep(p, text), *target = keep(p, strdup(words[1]));
    return kept && target ? add(p, target, words[2], kept, err) : mag_fail_nomem(err);
}

static int32_t add_folder(struct parts *p, const char *dir, const json_t *params, mag_error *err)
{
    char path[HEAT_PATH + 8], *rest = NULL;
    _mag_free_ char *list = NULL;
    (void)snprintf(path, sizeof path, "%s/FILES", dir);
    int32_t rc = heat_read_file(path, &list, err);
    if (rc != MAG_OK)
        return rc;
    for (char *line = strtok_r(list, "\n", &rest); line && rc == MAG_OK;
         line = strtok_r(NULL, "\n", &rest))
        rc = add_line(p, dir, line, params, err);
    return rc;
}

static int32_t add_values(struct parts *p, const json_t *params, mag_error *err)
{
    char *text = NULL;
    int32_t rc = mag_userdata_params(params, &text, err);
    if (rc != MAG_OK)
        return rc;
    const char *kept = keep(p, text), *values = keep(p, strdup(heat_values));
    if (!kept || !values)
        return mag_fail_nomem(err);
    rc = add(p, "/etc/magnum/params.sh", "0600", kept, err);
    if (rc == MAG_OK)
        rc = add(p, "/etc/magnum/heat.sh", "0600", values, err);
    if (rc == MAG_OK)
        p->files[p->n_files - 1].placeholders = true;
    return rc;
}

int32_t mag_boot_user_data(const mag_host *host, const char *engine, const json_t *params,
                           const char *os_distro, char **ret, mag_error *err)
{
    char data[HEAT_PATH], shared[HEAT_PATH + 32], own[HEAT_PATH + 32];
    enum mag_userdata_format format;
    _parts_ struct parts *p = calloc(1, sizeof *p);
    *ret = NULL;
    if (!p)
        return mag_fail_nomem(err);
    heat_data_dir("boot", data);
    (void)snprintf(shared, sizeof shared, "%s/shared", data);
    (void)snprintf(own, sizeof own, "%s/%.30s", data, engine);
    int32_t rc = mag_userdata_format_of(os_distro, &format, err);
    if (rc == MAG_OK)
        rc = add_folder(p, shared, params, err);
    if (rc == MAG_OK)
        rc = add_folder(p, mag_config(host, "boot_dir", own), params, err);
    if (rc == MAG_OK)
        rc = add_values(p, params, err);
    if (rc != MAG_OK)
        return rc;
    const struct mag_userdata want = {.files = p->files,
                                      .n_files = p->n_files,
                                      .units = p->units,
                                      .n_units = p->n_units,
                                      .script = SCRIPT,
                                      .reserve = RESERVE};
    return mag_userdata_render(&want, format, ret, err);
}

int32_t mag_boot_node(const struct mag_call *c, const char *engine, const json_t *group,
                      json_t *own, char **ret)
{
    const mag_host *host = c->self->host;
    json_t *p = NULL;
    int32_t rc = mag_params_node(host, c->op, c->spec, group, &p, c->err);
    if (rc == MAG_OK && (!own || json_object_update(p, own) < 0))
        rc = mag_fail_nomem(c->err);
    if (rc == MAG_OK)
        rc = mag_boot_user_data(host, engine, p,
                                mag_json_text(c->spec, "template.cluster_distro", ""), ret, c->err);
    json_decref(own);
    mag_wipe_json(&p);
    return rc;
}
