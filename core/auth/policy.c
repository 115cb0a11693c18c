/* Who may do what: Magnum's rule names with their defaults. The checks are the handful of shapes
 * those defaults have; the table is the policy. A rule that is not here is forbidden.
 * Neighbours: auth_internal.h. */
#include "auth/auth_internal.h"

#include <string.h>
#include <strings.h>

enum shape {
    ADMIN,       /* role admin */
    MEMBER,      /* admin, or member of the object's project */
    READER,      /* admin, or reader of the object's project */
    MEMBER_USER, /* admin, or a member of the project who owns the object */
    READER_USER, /* admin, or a reader of the project who owns the object */
    ONLY_MEMBER, /* member of the project; admin alone is not enough */
};

struct rule {
    const char *name;
    enum shape shape;
};

/* Sorted by name: it is searched by halves. */
static const struct rule rules[] = {
    {"certificate:create", MEMBER_USER},
    {"certificate:get", READER_USER},
    {"certificate:rotate_ca", MEMBER},
    {"cluster:create", MEMBER},
    {"cluster:delete", MEMBER},
    {"cluster:delete_all_projects", ADMIN},
    {"cluster:detail", READER},
    {"cluster:detail_all_projects", ADMIN},
    {"cluster:get", READER},
    {"cluster:get_all", READER},
    {"cluster:get_all_all_projects", ADMIN},
    {"cluster:get_one_all_projects", ADMIN},
    {"cluster:resize", MEMBER},
    {"cluster:update", MEMBER},
    {"cluster:update_all_projects", ADMIN},
    {"cluster:update_health_status", MEMBER_USER},
    {"cluster:upgrade", MEMBER},
    {"cluster:upgrade_all_projects", ADMIN},
    {"clustertemplate:create", MEMBER},
    {"clustertemplate:delete", MEMBER},
    {"clustertemplate:delete_all_projects", ADMIN},
    {"clustertemplate:detail", READER},
    {"clustertemplate:detail_all_projects", ADMIN},
    {"clustertemplate:get", READER},
    {"clustertemplate:get_all", READER},
    {"clustertemplate:get_all_all_projects", ADMIN},
    {"clustertemplate:get_one_all_projects", ADMIN},
    {"clustertemplate:publish", ADMIN},
    {"clustertemplate:update", MEMBER},
    {"clustertemplate:update_all_projects", ADMIN},
    {"context_is_admin", ADMIN},
    {"credential:rotate", ONLY_MEMBER},
    {"driver:get", READER},
    {"driver:get_all", READER},
    {"federation:create", MEMBER},
    {"federation:delete", MEMBER},
    {"federation:detail", READER},
    {"federation:get", READER},
    {"federation:get_all", READER},
    {"federation:update", MEMBER},
    {"magnum-service:get_all", ADMIN},
    {"nodegroup:create", MEMBER},
    {"nodegroup:delete", MEMBER},
    {"nodegroup:get", READER},
    {"nodegroup:get_all", READER},
    {"nodegroup:get_all_all_projects", ADMIN},
    {"nodegroup:get_one_all_projects", ADMIN},
    {"nodegroup:update", MEMBER},
    {"operation:cancel", MEMBER},
    {"operation:cancel_all_projects", ADMIN},
    {"operation:get", READER},
    {"operation:get_all", READER},
    {"operation:get_all_all_projects", ADMIN},
    {"operation:get_one_all_projects", ADMIN},
    {"quota:create", ADMIN},
    {"quota:delete", ADMIN},
    {"quota:get", READER},
    {"quota:get_all", ADMIN},
    {"quota:update", ADMIN},
    {"stats:get_all", READER},
};

/* Role names are compared as the policy library of OpenStack does: in any case. */
static bool has_role(const struct strv *roles, const char *role)
{
    for (size_t i = 0; i < roles->n; i++)
        if (strcasecmp(roles->v[i], role) == 0)
            return true;
    return false;
}

bool policy_is_admin(const struct strv *roles)
{
    return has_role(roles, "admin");
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static const char *role_of(enum shape s)
{
    return s == READER || s == READER_USER ? "reader" : "member";
}

static bool shape_allows(enum shape s, const struct auth_context *c, const char *project,
                         const char *user)
{
    if (s != ONLY_MEMBER && policy_is_admin(&c->roles))
        return true;
    if (s == ADMIN || !has_role(&c->roles, role_of(s)) || !same(c->project_id, project))
        return false;
    bool owner_only = s == MEMBER_USER || s == READER_USER;
    return !owner_only || same(c->user_id, user);
}

static int by_name(const void *key, const void *rule)
{
    return strcmp(key, ((const struct rule *)rule)->name);
}

bool policy_allows(const struct auth_context *c, const char *rule, const char *project,
                   const char *user)
{
    const struct rule *r = bsearch(rule, rules, ARRAY_LEN(rules), sizeof rules[0], by_name);
    return r && shape_allows(r->shape, c, project, user);
}
