/* /v1/containers: what they have beyond the other objects in clusters. See legacy.h. */
#include "api/legacy.h"

#include <string.h>

int api_container_create(struct api_call *c, struct err *e)
{
    const char *image = jsonx_str(c->body, "image");
    if (!image)
        image = jsonx_str(c->body, "image_id");
    if (str_blank(image))
        return attrs_invalid(e, "image", NULL, "Mandatory field missing.");
    return legacy_create(c, legacy_kind_of(c),
                         json_pack("{s:s*, s:s, s:s*, s:s*}", "name", jsonx_str(c->body, "name"),
                                   "image", image, "command", jsonx_str(c->body, "command"),
                                   "memory", jsonx_str(c->body, "memory")),
                         e);
}

static int take(char **column, const json_t *after, const char *key, struct err *e)
{
    const char *value = jsonx_str(after, key);
    char *text = str_dup(value);
    if (value && !text)
        return err_nomem(e);
    free(*column);
    *column = text;
    return 0;
}

/* The row alone: Docker does not let a container change what it is made from. */
static int change(struct api_call *c, struct coe_object *o, struct err *e)
{
    _cleanup_json_ json_t *now =
        json_pack("{s:s, s:s?, s:s?, s:s, s:s?, s:s?}", "uuid", o->uuid, "name", o->name, "image",
                  o->image, "bay_uuid", o->cluster_id, "command", o->command, "memory", o->memory);
    _cleanup_json_ json_t *before = now ? attrs_document(&attrs_container, false, now) : NULL;
    _cleanup_json_ json_t *after = NULL;
    if (!before)
        return err_nomem(e);
    int rc = patch_apply(before, c->body, c->route->patch, &after, e);
    if (rc == 0 && !str_eq(jsonx_str(after, "bay_uuid"), o->cluster_id))
        rc = err_set(e, ERR_INVALID, "A container can not move to another bay.");
    if (rc == 0)
        rc = take(&o->name, after, "name", e);
    if (rc == 0)
        rc = take(&o->image, after, "image", e);
    if (rc == 0)
        rc = take(&o->command, after, "command", e);
    if (rc == 0)
        rc = take(&o->memory, after, "memory", e);
    return rc ? rc : db_object_update(c->api->db, o, e);
}

int api_container_patch(struct api_call *c, struct err *e)
{
    const struct legacy_kind *k = legacy_kind_of(c);
    struct coe_object o;
    coe_object_init(&o);
    int rc = legacy_get(c, k, "update", &o, e);
    if (rc == 0)
        rc = change(c, &o, e);
    if (rc == 0)
        rc = legacy_answer(c, k, o.uuid, e);
    coe_object_done(&o);
    return rc;
}

/* ---- actions ---- */

static int act(struct api_call *c, const char *rule, const char *verb, const char *command,
               json_t **ret, struct coe_object *o, struct err *e)
{
    int rc = legacy_get(c, legacy_kind_of(c), rule, o, e);
    if (rc)
        return rc;
    return legacy_call(c, "workload.action",
                       json_pack("{s:s, s:s, s:s, s:s*}", "object", o->uuid, "kind", o->kind,
                                 "verb", verb, "command", command),
                       true, ret, e);
}

int api_container_act(struct api_call *c, struct err *e)
{
    /* "containers/start/..." */
    const char *at = strchr(c->route->pattern, '/') + 1;
    char verb[16];
    struct coe_object o;
    snprintf(verb, sizeof verb, "%.*s", (int)strcspn(at, "/"), at);
    coe_object_init(&o);
    int rc = act(c, "update", verb, NULL, NULL, &o, e);
    if (rc == 0)
        rc = legacy_answer(c, legacy_kind_of(c), o.uuid, e);
    coe_object_done(&o);
    return rc;
}

static int answer_output(struct api_call *c, const json_t *result, struct err *e)
{
    struct str *o = &c->rp->body;
    const json_t *code = json_object_get(result, "exit_code");
    str_append_c(o, '{');
    jw_str(o, "output", jsonx_str(result, "output") ? jsonx_str(result, "output") : "");
    if (json_is_integer(code))
        jw_int(o, "exit_code", json_integer_value(code));
    str_append_c(o, '}');
    return answer(c, 200, e);
}

int api_container_logs(struct api_call *c, struct err *e)
{
    _cleanup_json_ json_t *result = NULL;
    struct coe_object o;
    coe_object_init(&o);
    int rc = act(c, "get", "logs", NULL, &result, &o, e);
    coe_object_done(&o);
    return rc ? rc : answer_output(c, result, e);
}

int api_container_execute(struct api_call *c, struct err *e)
{
    _cleanup_json_ json_t *result = NULL;
    const char *command = c->n_args > 1 ? c->arg[1] : query_get(&c->query, "command");
    struct coe_object o;
    if (str_blank(command))
        return err_set(e, ERR_INVALID, "Missing argument: \"command\"");
    coe_object_init(&o);
    int rc = act(c, "update", "execute", command, &result, &o, e);
    coe_object_done(&o);
    return rc ? rc : answer_output(c, result, e);
}
