/* The catalogue of a cloud. See catalog_internal.h: answers of a moment ago, else questions with
 * the caller's token. */
#include "api/catalog_internal.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "config/config.h"

enum { NAMES_MAX = 16 };

struct cloud {
    struct cat_asker *asker;
    struct cat_cache *cache;
    bool zed;
};

static void cloud_free(void *self)
{
    struct cloud *c = self;
    cat_asker_free(c->asker);
    cat_cache_free(c->cache);
    free(c);
}

static void put_back(struct cat_answer **a)
{
    cat_answer_unref(*a);
}

/* The answer, of which the caller gets a reference, or its error. */
static int find(struct cloud *c, const struct auth_context *who, enum cat_kind kind,
                const char *ident, struct cat_answer **ret, struct err *e)
{
    struct cat_question q = {.kind = kind, .ident = ident};
    if (!ident)
        return catalog_missing(kind, NULL, e);
    q.answer = cat_cache_get(c->cache, who, &q);
    if (!q.answer) {
        cat_ask(c->asker, who, &q, 1);
        cat_cache_put(c->cache, who, &q);
    }
    if (!q.answer)
        return err_nomem(e);
    int rc = q.answer->rc;
    if (rc < 0)
        *e = q.answer->e;
    if (rc < 0 || !ret)
        cat_answer_unref(q.answer);
    else
        *ret = q.answer;
    return rc;
}

static int cloud_image(void *self, const struct auth_context *who, const char *ident,
                       struct cat_image *ret, struct err *e)
{
    _cleanup_(put_back) struct cat_answer *a = NULL;
    struct cloud *c = self;
    int rc = find(c, who, CAT_IMAGE, ident, &a, e);
    if (rc == ERR_CONFLICT && c->zed)
        return err_set(e, ERR_CONFLICT,
                       "Multiple images exist with same name %s. Please use the resource id "
                       "instead.",
                       ident);
    if (rc < 0)
        return rc;
    const struct cat_image *i = &a->image;
    struct cat_image got = {str_dup(i->id), str_dup(i->name), str_dup(i->os_distro),
                            str_dup(i->magnum_driver)};
    if (!got.id || (i->name && !got.name) || (i->os_distro && !got.os_distro) ||
        (i->magnum_driver && !got.magnum_driver)) {
        cat_image_done(&got);
        return err_nomem(e);
    }
    *ret = got;
    return 0;
}

static int cloud_flavor(void *self, const struct auth_context *who, const char *ident,
                        struct cat_flavor *ret, struct err *e)
{
    _cleanup_(put_back) struct cat_answer *a = NULL;
    int rc = find(self, who, CAT_FLAVOR, ident, &a, e);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < a->n_flavors; i++)
        if (str_eq(a->flavors[i].id, ident) || str_eq(a->flavors[i].name, ident)) {
            *ret = a->flavors[i].is;
            return 0;
        }
    return catalog_missing(CAT_FLAVOR, ident, e);
}

static int cloud_keypair(void *self, const struct auth_context *who, const char *name,
                         struct err *e)
{
    return find(self, who, CAT_KEYPAIR, name, NULL, e);
}
static int cloud_external(void *self, const struct auth_context *who, const char *ident,
                          struct err *e)
{
    return find(self, who, CAT_EXTERNAL_NETWORK, ident, NULL, e);
}
static int cloud_fixed(void *self, const struct auth_context *who, const char *ident, struct err *e)
{
    return find(self, who, CAT_FIXED_NETWORK, ident, NULL, e);
}
static int cloud_subnet(void *self, const struct auth_context *who, const char *ident,
                        struct err *e)
{
    return find(self, who, CAT_FIXED_SUBNET, ident, NULL, e);
}

/* Never from memory: what is free changes with every create. */
static void cloud_room(void *self, const struct auth_context *who, struct cat_room *ret)
{
    struct cloud *c = self;
    struct cat_question q[] = {{.kind = CAT_COMPUTE_LIMITS, .ident = ""},
                               {.kind = CAT_NETWORK_QUOTA, .ident = who->project_id}};
    *ret = (struct cat_room){-1, -1, -1, -1, -1, -1};
    cat_ask(c->asker, who, q, who->project_id ? ARRAY_LEN(q) : 1);
    for (size_t i = 0; i < ARRAY_LEN(q); i++) {
        const struct cat_answer *a = q[i].answer;
        if (a && a->rc < 0)
            log_warn("preflight.unknown", "not checked: %s", a->e.msg);
        else if (a && q[i].kind == CAT_COMPUTE_LIMITS) {
            ret->instances = a->room.instances;
            ret->vcpus = a->room.vcpus;
            ret->ram_mb = a->room.ram_mb;
        } else if (a) {
            ret->ports = a->room.ports;
            ret->floating_ips = a->room.floating_ips;
            ret->security_groups = a->room.security_groups;
        }
        cat_answer_unref(q[i].answer);
    }
}

/* The flavors of a caller are one question, however many names there are. */
static bool asked_already(const struct cat_question *q, size_t n, const struct cat_name *name)
{
    for (size_t i = 0; i < n; i++)
        if (q[i].kind == name->kind &&
            (name->kind == CAT_FLAVOR || str_eq(q[i].ident, name->ident)))
            return true;
    return false;
}

static void cloud_expect(void *self, const struct auth_context *who, const struct cat_name *names,
                         size_t n)
{
    struct cloud *c = self;
    struct cat_question q[NAMES_MAX];
    size_t m = 0;
    for (size_t i = 0; i < n && m < NAMES_MAX; i++) {
        if (!names[i].ident || asked_already(q, m, &names[i]))
            continue;
        q[m] = (struct cat_question){.kind = names[i].kind, .ident = names[i].ident};
        struct cat_answer *known = cat_cache_get(c->cache, who, &q[m]);
        m += known == NULL;
        cat_answer_unref(known);
    }
    if (m == 0)
        return;
    cat_ask(c->asker, who, q, m);
    for (size_t i = 0; i < m; i++) {
        cat_cache_put(c->cache, who, &q[i]);
        cat_answer_unref(q[i].answer);
    }
}

static const struct catalog_ops cloud;

static int cloud_read_again(void *self, const struct config *cfg, struct catalog **ret,
                            struct err *e)
{
    struct cloud *c = self, *fresh = calloc(1, sizeof *fresh);
    struct catalog *made = calloc(1, sizeof *made);
    int rc = fresh && made ? cat_asker_read_again(c->asker, cfg, &fresh->asker, e) : err_nomem(e);
    if (rc < 0) {
        free(fresh);
        free(made);
        return rc;
    }
    *made = (struct catalog){&cloud, fresh};
    *ret = made;
    return 0;
}

static void cloud_swap(void *self, void *other)
{
    cat_asker_swap(((struct cloud *)self)->asker, ((struct cloud *)other)->asker);
}

static const struct catalog_ops cloud = {
    .image = cloud_image,
    .flavor = cloud_flavor,
    .keypair = cloud_keypair,
    .external_network = cloud_external,
    .fixed_network = cloud_fixed,
    .fixed_subnet = cloud_subnet,
    .room = cloud_room,
    .expect = cloud_expect,
    .read_again = cloud_read_again,
    .swap = cloud_swap,
    .free = cloud_free,
};

static int check_config(const struct config *cfg, struct err *e)
{
    static const char *const interfaces[] = {"public", "internal", "admin"};
    for (size_t i = 0; i < ARRAY_LEN(interfaces); i++)
        if (str_eq(cfg->keystone_interface, interfaces[i]))
            return 0;
    return err_set(e, ERR_CONFIG, "keystone.interface must be public, internal or admin");
}

int catalog_cloud_open(const struct config *cfg, struct catalog **ret, struct err *e)
{
    int rc = check_config(cfg, e);
    if (rc < 0)
        return rc;
    struct cloud *self = calloc(1, sizeof *self);
    struct catalog *c = calloc(1, sizeof *c);
    if (!self || !c) {
        free(self);
        free(c);
        return err_nomem(e);
    }
    self->zed = str_eq(cfg->api_compat, "zed");
    rc = cat_asker_new(cfg, &self->asker, e);
    if (rc == 0)
        rc = cat_cache_new((size_t)cfg->catalog_cache_entries, cfg->catalog_cache_seconds * 1000,
                           &self->cache, e);
    if (rc < 0) {
        cloud_free(self);
        free(c);
        return rc;
    }
    c->ops = &cloud;
    c->self = self;
    *ret = c;
    return 0;
}
