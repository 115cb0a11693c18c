/* /v1/clustertemplates (api.md 9), and /v1/baymodels, their name until 1.10 (api.md 16): the same
 * rows with two attributes less. See api_internal.h for what the handlers share; the semantic
 * checks are in rules.c. */
#include "api/api_internal.h"
#include "api/catalog.h"
#include "api/driver_cache.h"
#include "api/driver_select.h"
#include "api/label_rules.h"
#include "api/labels.h"
#include "api/rules.h"
#include "api/text.h"
#include "api/views.h"
#include "base/uuid.h"
#include "db/db_template.h"

#include <string.h>

/* What depends on the name that the path uses. */
struct naming {
    const char *collection, *policy, *suffix;
    const struct attr_table *attrs;
    const struct patch_rules *patch;
    bool everywhere; /* an admin may reach other projects' */
};

static const struct naming *naming(const struct api_call *c)
{
    static const struct naming names[] = {
        {"clustertemplates", "clustertemplate", "template", &attrs_template, &patch_template, true},
        {"baymodels", "baymodel", "model", &attrs_baymodel, &patch_baymodel, false},
    };
    return &names[api_old_names(c)];
}

enum { RULE_MAX = 64 };
static const char *rule_of(const struct api_call *c, const char *verb, char buf[RULE_MAX])
{
    snprintf(buf, RULE_MAX, "%s:%s", naming(c)->policy, verb);
    return buf;
}

static int scope_of(struct api_call *c, const char *verb, struct db_scope *ret, struct err *e)
{
    char rule[RULE_MAX];
    *ret = scope_own(c);
    if (!naming(c)->everywhere)
        return 0;
    snprintf(rule, sizeof rule, "%s:%s_all_projects", naming(c)->policy, verb);
    return scope_all(c, rule, ret, e);
}

static int list(struct api_call *c, const char *verb, const char *rest, struct err *e)
{
    struct template_list l = {NULL, 0};
    struct db_scope scope;
    struct page p;
    char rule[RULE_MAX], path[RULE_MAX];
    snprintf(path, sizeof path, "%s%s", naming(c)->collection, rest);
    int rc = enforce_self(c, rule_of(c, verb, rule), e);
    if (rc == 0)
        rc = scope_of(c, verb, &scope, e);
    if (rc == 0)
        rc = page_read(c, false, &p, e);
    if (rc == 0)
        rc = db_template_list(db_for_lists(c->api->db), &scope, &p.db, &l, e);
    if (rc == 0) {
        str_printf(&c->rp->body, "{\"%s\":[", naming(c)->collection);
        for (size_t i = 0; i < l.n; i++)
            view_template(c, &l.v[i], "{}");
        page_close(c, &p, path, l.n, l.n ? l.v[l.n - 1].uuid : "");
        rc = answer(c, 200, e);
    }
    template_list_done(&l);
    return rc;
}

int api_template_list(struct api_call *c, struct err *e)
{
    return list(c, "get_all", "", e);
}

int api_template_detail(struct api_call *c, struct err *e)
{
    return list(c, "detail", "/detail", e);
}

/* The template of the path, in the caller's scope or, with a verb, in an admin's. */
static int get(struct api_call *c, const char *verb, struct template *t, struct err *e)
{
    struct db_scope scope = scope_own(c);
    int rc = verb ? scope_of(c, verb, &scope, e) : 0;
    scope.admin |= api_zed(c); /* 15.0.1 hides public templates from lists only */
    if (rc < 0)
        return rc;
    return db_template_get(c->api->db, &scope, c->arg[0], false, t, e);
}

int api_template_show(struct api_call *c, struct err *e)
{
    struct template t;
    char rule[RULE_MAX];
    template_init(&t);
    int rc = get(c, "get_one", &t, e);
    if (rc == 0 && !t.public)
        rc = enforce(c, rule_of(c, "get", rule), t.project_id, t.user_id, e);
    if (rc == 0 && t.hidden && !api_zed(c) && !c->who.is_admin &&
        !str_eq(t.project_id, c->who.project_id))
        rc = err_set(e, ERR_NOT_FOUND, "ClusterTemplate %s could not be found.", c->arg[0]);
    if (rc == 0) {
        view_template(c, &t, "{}");
        rc = answer(c, 200, e);
    }
    template_done(&t);
    return rc;
}

/* ---- documents and structs ---- */

#define SET_STR(name) set_str(&t->name, v);
#define SET_INT(name) t->name = json_is_integer(v) ? json_integer_value(v) : MODEL_UNSET;
#define SET_BOOL(name) t->name = json_is_true(v);
#define SET_TIME(name)
#define SET_JSON(name) set_json(&t->name, v);

static void set_str(char **at, const json_t *v)
{
    free(*at);
    *at = str_dup(json_string_value(v));
}

static void set_json(json_t **at, json_t *v)
{
    json_decref(*at);
    *at = json_is_null(v) ? NULL : json_incref(v);
}

/* Takes over the attributes that `values` has. */
static void fill(struct template *t, const json_t *values)
{
#define F(kind, name)                                                                              \
    {                                                                                              \
        json_t *v = json_object_get(values, #name);                                                \
        if (v) {                                                                                   \
            SET_##kind(name)                                                                       \
        }                                                                                          \
    }
#include "model/template.def"
#undef F
}

/* An allocation that failed in fill left a text out. */
static int filled(const struct template *t, const json_t *values, struct err *e)
{
#define CHECK_STR(name)                                                                            \
    if (!t->name && json_is_string(json_object_get(values, #name)))                                \
        return err_nomem(e);
#define CHECK_INT(name)
#define CHECK_BOOL(name)
#define CHECK_TIME(name)
#define CHECK_JSON(name)
#define F(kind, name) CHECK_##kind(name)
#include "model/template.def"
#undef F
    return 0;
}

/* A template without a name, or whose name was removed, gets one. */
static int name_template(const struct api_call *c, struct template *t, struct err *e)
{
    char name[64];
    if (t->name)
        return 0;
    text_make_name(naming(c)->suffix, name, sizeof name);
    t->name = str_dup(name);
    return t->name ? 0 : err_nomem(e);
}

/* ---- checks ---- */

static int support(struct api_call *c, struct template *t, const char *image_driver, struct err *e)
{
    _cleanup_drivers_ struct driver_set *set = NULL;
    const struct driver_row *d = NULL;
    const struct driver_triple triple = {t->server_type, t->cluster_distro, t->coe};
    const char *name = t->driver && *t->driver ? t->driver : image_driver;
    int rc = driver_cache_get(c->api->drivers, &set, e);
    if (rc < 0)
        return rc;
    if (name)
        rc = driver_named(c->api->cfg, c->who.project_id, &set->rows, name, &d, e);
    else
        rc = driver_for_triple(c->api->cfg, c->who.project_id, &set->rows, &triple, &d, e);
    if (rc == 0 && name && !driver_provides(d, &triple))
        rc = err_set(e, ERR_INVALID,
                     "Cluster type (%s, %s, %s) not supported. Driver %s does not provide it.",
                     triple.server_type, triple.distro, triple.coe, name);
    if (rc == 0)
        rc = label_rules_check(c, d, t->labels, e);
    if (rc < 0)
        return rc;
    set_str(&t->driver, NULL);
    t->driver = str_dup(d->name);
    return d->name && !t->driver ? err_nomem(e) : 0;
}

/* 15.0.1 asks for the driver first and says so when the image tells no distribution. */
static int support_zed(struct api_call *c, struct template *t, struct err *e)
{
    const struct catalog *cat = c->api->catalog;
    struct cat_image i = {NULL, NULL, NULL, NULL};
    struct err why = ERR_INIT;
    bool oom = false;
    int rc = t->cluster_distro ? 0 : cat->ops->image(cat->self, &c->who, t->image_id, &i, &why);
    if (rc == ERR_SERVICE_DOWN || rc == ERR_UNAUTHORIZED)
        return err_set(e, rc, "%s", why.msg);
    if (!t->cluster_distro)
        t->cluster_distro = copy(rc == 0 ? i.os_distro : "Unset", &oom); /* NULL shows None */
    rc = oom ? err_nomem(e) : support(c, t, i.magnum_driver, e);
    cat_image_done(&i);
    return rc;
}

static int support_head(struct api_call *c, struct template *t, struct err *e)
{
    const struct catalog *cat = c->api->catalog;
    struct cat_image i;
    int rc = cat->ops->image(cat->self, &c->who, t->image_id, &i, e);
    if (rc == 0)
        rc = catalog_check_distro(&i, t->image_id, e);
    if (rc < 0)
        return rc;
    free(t->cluster_distro);
    t->cluster_distro = TAKE_PTR(i.os_distro);
    rc = support(c, t, i.magnum_driver, e);
    cat_image_done(&i);
    return rc;
}

static struct resource_names names_of(const struct template *t)
{
    return (struct resource_names){t->image_id,
                                   t->flavor_id,
                                   t->master_flavor_id,
                                   t->external_network_id,
                                   t->fixed_network,
                                   t->fixed_subnet,
                                   t->labels};
}

static void expect(struct api_call *c, const struct template *t)
{
    const struct resource_names r = names_of(t);
    rule_expect(c, &r, NULL);
}

static int resources(struct api_call *c, const struct template *t, struct err *e)
{
    const struct resource_names r = names_of(t);
    return rule_resources(c, &r, e);
}

static int root_volume(struct api_call *c, const struct template *t, struct err *e)
{
    const char *flavors[] = {t->flavor_id, t->master_flavor_id};
    return rule_root_volume(c, t->server_type, t->labels, flavors, ARRAY_LEN(flavors), e);
}

static int publish(struct api_call *c, struct err *e)
{
    struct err unused = ERR_INIT;
    char rule[RULE_MAX];
    int rc = enforce_self(c, rule_of(c, "publish", rule), &unused);
    if (rc == ERR_FORBIDDEN)
        return err_set(e, ERR_FORBIDDEN,
                       "Not authorized to set public or hidden flag for cluster template.");
    return rc < 0 ? err_set(e, rc, "%s", unused.msg) : 0;
}

/* ---- create ---- */

static int complete(struct api_call *c, struct template *t, struct err *e)
{
    char uuid[UUID_TEXT];
    bool oom = false;
    if (!t->uuid) {
        uuid_make(uuid);
        t->uuid = copy(uuid, &oom);
    }
    if (!t->network_driver)
        t->network_driver = copy(rule_default_network_driver(c, t->coe), &oom);
    if (!t->labels) {
        t->labels = json_object();
        oom |= !t->labels;
    }
    t->project_id = copy(c->who.project_id, &oom);
    t->user_id = copy(c->who.user_id, &oom);
    return oom ? err_nomem(e) : name_template(c, t, e);
}

static int check_create(struct api_call *c, struct template *t, struct err *e)
{
    char rule[RULE_MAX];
    if (!t->coe)
        return err_set(e, ERR_INVALID, "Requested COE type %s is not supported.",
                       json_object_get(c->body, "coe") ? "None" : "Unset");
    int rc = rule_network_driver(c, t->coe, t->network_driver, e);
    if (rc == 0)
        rc = rule_volume_driver(t->coe, t->volume_driver, e);
    if (rc == 0)
        rc = rule_storage_size(t->docker_storage_driver, t->docker_volume_size, e);
    if (rc == 0)
        rc = labels_no_null(t->labels, e);
    if (rc == 0) {
        expect(c, t);
        rc = api_zed(c) ? support_zed(c, t, e) : support_head(c, t, e);
    }
    if (rc == 0)
        rc = enforce_self(c, rule_of(c, "create", rule), e);
    if (rc == 0)
        rc = resources(c, t, e);
    if (rc == 0 && (t->public || t->hidden))
        rc = publish(c, e);
    if (rc == 0)
        rc = root_volume(c, t, e);
    return rc;
}

static int created(struct api_call *c, const struct template *t, struct err *e)
{
    char location[400];
    bool bare = api_zed(c) && !json_is_object(json_object_get(c->body, "labels"));
    snprintf(location, sizeof location, "%s/v1/%s/%s", c->base, naming(c)->collection, t->uuid);
    if (http_response_header(c->rp, "Location", location) < 0)
        return err_nomem(e);
    if (bare && labels_empty(t->labels)) { /* 15.0.1 shows what was sent */
        struct template shown = *t;
        shown.labels = NULL;
        view_template(c, &shown, "null");
    } else {
        view_template(c, t, "{}");
    }
    return answer(c, 201, e);
}

int api_template_create(struct api_call *c, struct err *e)
{
    struct template t;
    template_init(&t);
    fill(&t, c->body);
    int rc = filled(&t, c->body, e);
    if (rc == 0)
        rc = check_create(c, &t, e);
    if (rc == 0)
        rc = complete(c, &t, e);
    if (rc == 0)
        rc = db_template_insert(c->api->db, &t, e);
    if (rc == 0)
        rc = created(c, &t, e);
    template_done(&t);
    return rc;
}

/* ---- patch ---- */

/* Of a template that clusters use, exactly one of these may change. */
static int check_referenced(struct api_call *c, const struct template *t, const json_t *delta,
                            struct err *e)
{
    bool referenced = false;
    int rc = db_template_referenced(c->api->db, t->uuid, &referenced, e);
    if (rc < 0 || !referenced)
        return rc;
    bool one = json_object_size(delta) == 1;
    bool harmless = json_object_get(delta, "name") || json_object_get(delta, "hidden") ||
                    json_is_true(json_object_get(delta, "public")) ||
                    json_is_string(json_object_get(delta, "tags"));
    if (one && harmless)
        return 0;
    return err_set(e, ERR_INVALID, "ClusterTemplate %s is referenced by one or multiple clusters.",
                   t->uuid);
}

/* What decides about the driver. A new image brings its own distribution; a driver that nobody
 * named is looked up anew. */
static int check_support(struct api_call *c, struct template *t, const json_t *delta, struct err *e)
{
    bool image = json_object_get(delta, "image_id") && !json_object_get(delta, "cluster_distro");
    bool kind = image || json_object_get(delta, "coe") || json_object_get(delta, "server_type") ||
                json_object_get(delta, "cluster_distro");
    if (kind && !json_object_get(delta, "driver"))
        set_str(&t->driver, NULL);
    if (image)
        return support_head(c, t, e);
    if (kind || json_object_get(delta, "driver") || json_object_get(delta, "labels"))
        return support(c, t, NULL, e);
    return 0;
}

static int check_patch(struct api_call *c, struct template *t, const json_t *delta, struct err *e)
{
    int rc = rule_network_driver(c, t->coe, t->network_driver, e);
    if (rc == 0)
        rc = rule_volume_driver(t->coe, t->volume_driver, e);
    if (rc == 0)
        rc = labels_no_null(t->labels, e);
    if (rc == 0) {
        expect(c, t);
        rc = resources(c, t, e);
    }
    if (rc == 0)
        rc = check_support(c, t, delta, e);
    if (rc == 0 && (json_object_get(delta, "public") || json_object_get(delta, "hidden")))
        rc = publish(c, e);
    if (rc == 0)
        rc = root_volume(c, t, e);
    return rc;
}

static int patch(struct api_call *c, struct template *t, json_t **ret_delta, struct err *e)
{
    _cleanup_json_ json_t *columns = template_json(t), *before = NULL, *after = NULL;
    before = attrs_document(naming(c)->attrs, api_zed(c), columns);
    if (!before)
        return err_nomem(e);
    int rc = patch_apply(before, c->body, naming(c)->patch, &after, e);
    if (rc == 0)
        rc = attrs_delta(naming(c)->attrs, api_zed(c), before, after, ret_delta, e);
    if (rc < 0)
        return rc;
    fill(t, *ret_delta);
    rc = filled(t, *ret_delta, e);
    return rc == 0 ? name_template(c, t, e) : rc;
}

int api_template_patch(struct api_call *c, struct err *e)
{
    _cleanup_json_ json_t *delta = NULL;
    struct template t;
    char rule[RULE_MAX];
    template_init(&t);
    int rc = get(c, NULL, &t, e);
    if (rc == 0)
        rc = enforce(c, rule_of(c, "update", rule), t.project_id, t.user_id, e);
    if (rc == 0)
        rc = patch(c, &t, &delta, e);
    if (rc == 0)
        rc = check_patch(c, &t, delta, e);
    if (rc == 0)
        rc = check_referenced(c, &t, delta, e);
    int64_t updated_at = t.updated_at;
    if (rc == 0 && json_object_size(delta) > 0)
        rc = db_template_update(c->api->db, &t, e);
    if (rc == 0) {
        t.updated_at = updated_at; /* the answer shows when it was changed before */
        view_template(c, &t, json_is_null(json_object_get(delta, "labels")) ? "null" : "{}");
        rc = answer(c, 200, e);
    }
    template_done(&t);
    return rc;
}

int api_template_delete(struct api_call *c, struct err *e)
{
    struct template t;
    char rule[RULE_MAX];
    template_init(&t);
    int rc = get(c, "delete", &t, e);
    if (rc == 0)
        rc = enforce(c, rule_of(c, "delete", rule), t.project_id, t.user_id, e);
    if (rc == 0)
        rc = db_template_delete(c->api->db, t.uuid, e);
    if (rc == 0)
        rc = answer_nothing(c);
    template_done(&t);
    return rc;
}
