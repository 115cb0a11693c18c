/* See keystone_internal.h. */
#include "auth/keystone_internal.h"
#include "base/clock.h"
#include "base/jsonx.h"

#include <stdatomic.h>
#include <string.h>

enum { DEPTH_MAX = 32 };

struct identity *identity_ref(struct identity *i)
{
    atomic_fetch_add(&i->refs, 1);
    return i;
}

void identity_unref(struct identity *i)
{
    if (!i || atomic_fetch_sub(&i->refs, 1) != 1)
        return;
    auth_context_done(&i->who);
    json_decref(i->catalog);
    free(i);
}

/* NULL stays NULL. What can't be an identifier is refused by the caller. */
static int copy(char **ret, const char *s, struct err *e)
{
    *ret = str_dup(s);
    return s && !*ret ? err_nomem(e) : 0;
}

static int read_roles(const json_t *token, struct auth_context *who, struct err *e)
{
    const json_t *roles = json_object_get(token, "roles");
    for (size_t i = 0; i < json_array_size(roles); i++) {
        const char *name = jsonx_str(json_array_get(roles, i), "name");
        if (name && strv_add(&who->roles, name) < 0)
            return err_nomem(e);
    }
    return 0;
}

static int read_who(const json_t *token, struct auth_context *who, struct err *e)
{
    const json_t *user = json_object_get(token, "user"), *home = json_object_get(user, "domain");
    const json_t *project = json_object_get(token, "project");
    const struct {
        char **to;
        const char *from;
    } texts[] = {
        {&who->user_id, jsonx_str(user, "id")},
        {&who->user_name, jsonx_str(user, "name")},
        {&who->domain_id, jsonx_str(home, "id")},
        {&who->domain_name, jsonx_str(home, "name")},
        {&who->project_id, jsonx_str(project, "id")},
        {&who->project_name, jsonx_str(project, "name")},
        {&who->project_domain_id, jsonx_str(json_object_get(project, "domain"), "id")},
        {&who->scope_domain_id, jsonx_str(json_object_get(token, "domain"), "id")},
        {&who->trust_id, jsonx_str(json_object_get(token, "OS-TRUST:trust"), "id")},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        int rc = copy(texts[i].to, texts[i].from, e);
        if (rc < 0)
            return rc;
    }
    if (!auth_id_ok(who->user_id) || (project && !auth_id_ok(who->project_id)))
        return err_set(e, ERR_PROTOCOL, "Keystone's token has no usable user or project id");
    who->system_scope = jsonx_bool(json_object_get(token, "system"), "all", false);
    return read_roles(token, who, e);
}

int identity_parse(const char *body, size_t len, struct identity **ret, struct err *e)
{
    _cleanup_json_ json_t *doc = NULL;
    int rc = jsonx_parse(body, len, DEPTH_MAX, &doc, e);
    if (rc < 0)
        return err_set(e, ERR_PROTOCOL, "Keystone's answer is not the JSON of a token");
    const json_t *token = json_object_get(doc, "token");
    const char *expires = jsonx_str(token, "expires_at");
    struct identity *i = calloc(1, sizeof *i);
    if (!i)
        return err_nomem(e);
    atomic_init(&i->refs, 1);
    if (!expires || !clock_parse_iso(expires, &i->expires_us))
        rc = err_set(e, ERR_PROTOCOL, "Keystone's token has no time when it ends");
    else
        rc = read_who(token, &i->who, e);
    i->catalog = json_incref(json_object_get(token, "catalog"));
    if (rc < 0) {
        identity_unref(i);
        return rc;
    }
    *ret = i;
    return 0;
}

int identity_fill(struct identity *i, struct auth_context *ret, struct err *e)
{
    const struct auth_context *w = &i->who;
    const struct {
        char **to;
        const char *from;
    } texts[] = {{&ret->user_id, w->user_id},
                 {&ret->user_name, w->user_name},
                 {&ret->domain_id, w->domain_id},
                 {&ret->domain_name, w->domain_name},
                 {&ret->project_id, w->project_id},
                 {&ret->project_name, w->project_name},
                 {&ret->project_domain_id, w->project_domain_id},
                 {&ret->scope_domain_id, w->scope_domain_id},
                 {&ret->trust_id, w->trust_id}};
    for (size_t n = 0; n < ARRAY_LEN(texts); n++) {
        int rc = copy(texts[n].to, texts[n].from, e);
        if (rc < 0)
            return rc;
    }
    for (size_t n = 0; n < w->roles.n; n++)
        if (strv_add(&ret->roles, w->roles.v[n]) < 0)
            return err_nomem(e);
    ret->system_scope = w->system_scope;
    ret->identity = identity_ref(i);
    ret->catalog = i->catalog;
    return 0;
}
