/* See confine.h. */
#include "drivers/confine.h"

#include "base/jsonx.h"

#include <string.h>
#include <unistd.h>

enum { TMP_MB = 16, PATH_LONGEST = 4096 };

/* ---- user ids ---- */

/* FNV-1a: a driver keeps its number when others come and go, on every conductor. */
static uint32_t hash_id(const char *id)
{
    uint32_t h = 2166136261U;
    for (; *id; id++)
        h = (h ^ (unsigned char)*id) * 16777619U;
    return h;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Two with one number: the later one in the order of ids takes the next that is free. */
static uint32_t place_of(const struct plugin_list *l, const char *id, uint32_t count)
{
    _cleanup_free_ const char **ids = calloc(l->n + 1, sizeof *ids);
    _cleanup_free_ uint32_t *taken = calloc(l->n + 1, sizeof *taken);
    size_t n = 0, seen = 0;
    for (size_t i = 0; ids && i < l->n; i++)
        if (l->v[i].id)
            ids[n++] = l->v[i].id;
    if (!ids || !taken)
        return hash_id(id) % count;
    qsort(ids, n, sizeof *ids, by_text);
    for (size_t i = 0; i < n && seen < count; i++) {
        if (i > 0 && strcmp(ids[i], ids[i - 1]) == 0)
            continue; /* another version of it */
        uint32_t at = hash_id(ids[i]) % count;
        for (size_t k = 0; k < seen; k++)
            if (taken[k] == at) {
                at = (at + 1) % count;
                k = (size_t)-1; /* look at all of them again */
            }
        taken[seen++] = at;
        if (strcmp(ids[i], id) == 0)
            return at;
    }
    return hash_id(id) % count; /* more drivers than numbers */
}

struct confine confine_decide(const struct config *cfg, const struct plugin_list *plugins,
                              const struct plugin *p)
{
    struct confine c = {.on = !str_eq(cfg->drivers_isolation, "off"),
                        .strict = str_eq(cfg->drivers_isolation, "strict"),
                        .privileged = p->privileged && strv_has(&cfg->drivers_privileged, p->id),
                        .exec = p->exec,
                        .memory_mb = p->memory_mb ? p->memory_mb : cfg->drivers_memory_mb,
                        .tasks = p->processes ? p->processes : cfg->drivers_tasks};
    if (c.on && !c.privileged && geteuid() == 0 && cfg->drivers_uid_first > 0)
        c.uid = (uint32_t)cfg->drivers_uid_first +
                place_of(plugins, p->id, (uint32_t)cfg->drivers_uid_count);
    return c;
}

/* ---- paths ---- */

static int add_path(json_t *list, const char *path, bool create)
{
    if (str_blank(path) || path[0] != '/' || strlen(path) >= PATH_LONGEST)
        return 0;
    return json_array_append_new(list, json_pack("{s:s,s:b}", "path", path, "create", (int)create));
}

/* What operators set for the driver is its to use: there they give it paths. */
static int own_paths(const struct config *cfg, const struct plugin *p, json_t *list)
{
    const json_t *given[] = {json_object_get(cfg->driver_config, p->id), p->settings};
    const char *option;
    json_t *v;
    int bad = 0;
    for (size_t i = 0; i < ARRAY_LEN(given); i++)
        json_object_foreach((json_t *)(uintptr_t)given[i], option, v)
        {
            bad |= add_path(list, json_string_value(v), json_object_get(p->dirs, option) != NULL);
        }
    json_object_foreach((json_t *)(uintptr_t)p->dirs, option, v)
    {
        if (!json_object_get(given[0], option) && !json_object_get(given[1], option))
            bad |= add_path(list, json_string_value(v), true);
    }
    return bad;
}

/* The directories among the hosts of a connection string, where servers' sockets are. */
static int database_sockets(const char *connection, json_t *hide)
{
    static const char key[] = "host=", ends[] = " &'";
    int bad = 0;
    for (const char *at = connection; at && (at = strstr(at, key));) {
        at += strlen(key);
        at += *at == '\'';
        for (size_t len; (len = strcspn(at, ", &'")) > 0 || *at == ','; at += *at == ',') {
            _cleanup_free_ char *dir = str_fmt("%.*s", (int)len, at);
            bad |= !dir || (*dir == '/' && json_array_append_new(hide, json_string(dir)));
            at += len;
        }
        at += strcspn(at, ends);
    }
    return bad;
}

static int hidden_paths(const struct config *cfg, json_t *hide)
{
    const char *const ours[] = {cfg->source,
                                cfg->certificates_key_file,
                                cfg->keystone_keyfile,
                                cfg->auth_http_basic_file,
                                cfg->api_unix_socket,
                                cfg->rpc_keys_dir,
                                cfg->allinone_state_dir};
    int bad = database_sockets(cfg->database_connection, hide) |
              database_sockets(cfg->database_replica_connection, hide);
    for (size_t i = 0; i < cfg->drivers_hidden_paths.n; i++)
        bad |= json_array_append_new(hide, json_string(cfg->drivers_hidden_paths.v[i]));
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (!str_blank(ours[i]) && ours[i][0] == '/')
            bad |= json_array_append_new(hide, json_string(ours[i]));
    return bad;
}

int confine_tell(const struct config *cfg, const struct plugin *p, const struct confine *c,
                 json_t *hello, struct err *e)
{
    json_t *hide = json_array(), *own = json_array();
    int bad = hide && own ? hidden_paths(cfg, hide) | own_paths(cfg, p, own) : -1;
    json_t *o =
        bad ? NULL
            : json_pack("{s:b,s:b,s:b,s:b,s:I,s:I,s:I,s:I,s:i,s:O,s:O}", "on", (int)c->on, "strict",
                        (int)c->strict, "privileged", (int)c->privileged, "unix_sockets",
                        (int)p->unix_sockets, "uid", (json_int_t)c->uid, "tasks",
                        (json_int_t)c->tasks, "same_user", (json_int_t)(cfg->drivers_processes * 2),
                        "file_mb", (json_int_t)(p->file_mb ? p->file_mb : cfg->drivers_file_mb),
                        "tmp_mb", TMP_MB, "hide", hide, "own", own);
    json_decref(hide);
    json_decref(own);
    return o && json_object_set_new(hello, "confine", o) == 0 ? 0 : err_nomem(e);
}
