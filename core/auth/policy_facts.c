/* What policy checks find of a caller and of the object of a request, without documents of them.
 * What is not known is not there, so that nothing unknown can equal anything. See auth_internal.h.
 */
#include "auth/auth_internal.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* Most asked for first. */
static const struct {
    const char *name;
    size_t at;
} texts[] = {
#define TEXT(name, member)                                                                         \
    {                                                                                              \
        name, offsetof(struct auth_context, member)                                                \
    }
    TEXT("project_id", project_id),
    TEXT("user_id", user_id),
    TEXT("domain_id", domain_id),
    TEXT("user_name", user_name),
    TEXT("project_name", project_name),
    TEXT("domain_name", domain_name),
    TEXT("user_domain_id", domain_id),
    TEXT("user_domain_name", domain_name),
    TEXT("project_domain_id", project_domain_id),
    TEXT("scope_domain_id", scope_domain_id),
    TEXT("trust_id", trust_id),
#undef TEXT
};

static bool is(const char *value, const char *text)
{
    return value && (!text || strcmp(value, text) == 0);
}

static bool has_role_text(const struct auth_context *c, const char *text)
{
    for (size_t i = 0; i < c->roles.n; i++)
        if (is(c->roles.v[i], text))
            return true;
    return false;
}

static bool creds(const void *about, const char *path, const char *text)
{
    const struct auth_context *c = ((const struct policy_case *)about)->who;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (strcmp(texts[i].name, path) == 0)
            return is(*(char *const *)((const char *)c + texts[i].at), text);
    if (strcmp(path, "is_admin") == 0)
        return is(c->is_admin ? "True" : "False", text);
    if (strcmp(path, "roles") == 0)
        return has_role_text(c, text);
    return strcmp(path, "system_scope") == 0 && c->system_scope && is("all", text);
}

static bool role(const void *about, const char *name)
{
    const struct auth_context *c = ((const struct policy_case *)about)->who;
    for (size_t i = 0; i < c->roles.n; i++)
        if (strcasecmp(c->roles.v[i], name) == 0)
            return true;
    return false;
}

/* The id of the trustee users' domain. Where only its name is configured and the caller is of that
 * domain, it is the caller's; for others it matters only that it is another one. */
static const char *trustee_domain(const struct policy_case *p)
{
    const struct policy_trustees *t = p->trustees;
    if (*t->domain_id)
        return t->domain_id;
    if (!*t->domain_name)
        return NULL;
    return is(p->who->domain_name, t->domain_name) ? p->who->domain_id : t->domain_name;
}

static const char *target(const void *about, const char *name)
{
    const struct policy_case *p = about;
    if (strcmp(name, "project_id") == 0)
        return p->target->project_id;
    if (strcmp(name, "user_id") == 0)
        return p->target->user_id;
    if (strcmp(name, "trustee_user_id") == 0)
        return p->target->trustee_user_id;
    return strcmp(name, "trustee_domain_id") == 0 ? trustee_domain(p) : NULL;
}

const struct policy_facts policy_context_facts = {target, creds, role};
