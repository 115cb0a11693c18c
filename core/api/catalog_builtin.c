/* The built-in catalogue. See catalog.h, catalog_internal.h. Entries keep the shape of the file:
 * each list is an array of objects that was checked when it was read. */
#include "api/catalog_internal.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/jsonx.h"
#include "base/str.h"
#include "config/config.h"
#include "config/yaml.h"

#include <pthread.h>
#include <string.h>

/* Enough to try everything on one machine; disks are not zero, so that the root volume rule of
 * Magnum is met. */
static const char defaults[] =
    "images:\n"
    "- {id: 00000000-0000-4000-8000-00000000a001, name: linux, os_distro: linux}\n"
    "- {id: 00000000-0000-4000-8000-00000000a002, name: simulated, os_distro: simulated}\n"
    "- {id: 00000000-0000-4000-8000-00000000a003, name: fedora-coreos, os_distro: fedora-coreos}\n"
    "- {id: 00000000-0000-4000-8000-00000000a004, name: ubuntu, os_distro: ubuntu}\n"
    "flavors:\n"
    "- {id: '1', name: m1.tiny, ram_mb: 512, vcpus: 1, disk_gb: 1}\n"
    "- {id: '2', name: m1.small, ram_mb: 2048, vcpus: 1, disk_gb: 20}\n"
    "- {id: '3', name: m1.medium, ram_mb: 4096, vcpus: 2, disk_gb: 40}\n"
    "- {id: '4', name: m1.large, ram_mb: 8192, vcpus: 4, disk_gb: 80}\n"
    "networks:\n"
    "- {id: 00000000-0000-4000-8000-00000000b001, name: public, external: true}\n"
    "- {id: 00000000-0000-4000-8000-00000000b002, name: private}\n"
    "subnets:\n"
    "- {id: 00000000-0000-4000-8000-00000000c001, name: private-subnet}\n";

enum { FILE_MAX = 4 * 1024 * 1024 };

struct builtin {
    pthread_rwlock_t lock; /* doc: replaced as a whole */
    json_t *doc;
};

static const struct {
    const char *list;
    const char *keys; /* members an entry may have: s text, i integer, b boolean, p project or bool
                       */
} shapes[] = {
    {"images", "s:id s:name s:os_distro s:magnum_driver p:private"},
    {"flavors", "s:id s:name i:ram_mb i:vcpus i:disk_gb"},
    {"keypairs", "s:name s:user"},
    {"networks", "s:id s:name b:external"},
    {"subnets", "s:id s:name"},
};

static char kind_of(const char *keys, const char *key)
{
    size_t n = strlen(key);
    for (const char *p = keys; *p;) {
        size_t len = strcspn(p, " ");
        if (len == n + 2 && strncmp(p + 2, key, n) == 0)
            return *p;
        p += len + (p[len] == ' ');
    }
    return '\0';
}

static bool fits(char kind, const json_t *v)
{
    switch (kind) {
    case 's':
        return json_is_string(v);
    case 'i':
        return json_is_integer(v) && json_integer_value(v) >= 0;
    case 'b':
        return json_is_boolean(v);
    case 'p':
        return json_is_boolean(v) || json_is_string(v);
    default:
        return false;
    }
}

static int check_list(const char *file, const char *list, const char *keys, const json_t *entries,
                      struct err *e)
{
    size_t i;
    json_t *entry, *v;
    const char *key;
    if (entries && !json_is_null(entries) && !json_is_array(entries))
        return err_set(e, ERR_CONFIG, "%s: %s must be a list", file, list);
    json_array_foreach(entries, i, entry)
    {
        if (!json_is_object(entry) || !jsonx_str(entry, "name"))
            return err_set(e, ERR_CONFIG, "%s: %s[%zu] must be a mapping with a name", file, list,
                           i);
        json_object_foreach(entry, key, v) if (!fits(kind_of(keys, key), v)) return err_set(
            e, ERR_CONFIG, "%s: %s[%zu].%s is not known or of the wrong type", file, list, i, key);
    }
    return 0;
}

static int check_document(const char *file, const json_t *doc, struct err *e)
{
    const char *key;
    json_t *v;
    if (!json_is_object(doc))
        return err_set(e, ERR_CONFIG, "%s: must be a mapping of lists", file);
    json_object_foreach((json_t *)doc, key, v)
    {
        size_t i = 0;
        while (i < ARRAY_LEN(shapes) && strcmp(shapes[i].list, key) != 0)
            i++;
        if (i == ARRAY_LEN(shapes))
            return err_set(e, ERR_CONFIG,
                           "%s: %s is not known; use images, flavors, keypairs, "
                           "networks or subnets",
                           file, key);
        int rc = check_list(file, key, shapes[i].keys, v, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* An id wins over names. *ret_n: how many fit. */
static const json_t *find(const json_t *doc, const char *list, const char *ident, size_t *ret_n)
{
    const json_t *hit = NULL;
    size_t i, n = 0;
    json_t *entry;
    json_array_foreach(json_object_get(doc, list), i, entry)
    {
        if (ident && str_eq(jsonx_str(entry, "id"), ident)) {
            *ret_n = 1;
            return entry;
        }
        if (ident && str_eq(jsonx_str(entry, "name"), ident)) {
            hit = entry;
            n++;
        }
    }
    *ret_n = n;
    return hit;
}

static bool visible(const json_t *image, const struct auth_context *who)
{
    const json_t *owner = json_object_get(image, "private");
    if (json_is_string(owner))
        return who->is_admin || str_eq(json_string_value(owner), who->project_id);
    return !json_is_true(owner) || who->is_admin;
}

static int image(const json_t *doc, const struct auth_context *who, const char *ident,
                 struct cat_image *ret, struct err *e)
{
    size_t n = 0;
    const json_t *i = find(doc, "images", ident, &n);
    if (n == 0)
        return catalog_missing(CAT_IMAGE, ident, e);
    if (n > 1)
        return catalog_ambiguous(CAT_IMAGE, ident, e);
    if (!visible(i, who))
        return err_set(e, ERR_FORBIDDEN, "Not authorized for image %s.", ident);
    const char *id = jsonx_str(i, "id"), *distro = jsonx_str(i, "os_distro");
    const char *driver = jsonx_str(i, "magnum_driver");
    struct cat_image got = {str_dup(id), str_dup(jsonx_str(i, "name")), str_dup(distro),
                            str_dup(driver)};
    if ((id && !got.id) || !got.name || (distro && !got.os_distro) ||
        (driver && !got.magnum_driver)) {
        cat_image_done(&got);
        return err_nomem(e);
    }
    *ret = got;
    return 0;
}

static int flavor(const json_t *doc, const struct auth_context *who, const char *ident,
                  struct cat_flavor *ret, struct err *e)
{
    size_t n = 0;
    const json_t *f = find(doc, "flavors", ident, &n);
    (void)who;
    if (n == 0)
        return catalog_missing(CAT_FLAVOR, ident, e);
    ret->ram_mb = jsonx_int(f, "ram_mb", 0);
    ret->vcpus = jsonx_int(f, "vcpus", 0);
    ret->disk_gb = jsonx_int(f, "disk_gb", 0);
    return 0;
}

/* A catalogue without keypairs accepts any name: there is nowhere to look. */
static int keypair(const json_t *doc, const struct auth_context *who, const char *name,
                   struct err *e)
{
    const json_t *list = json_object_get(doc, "keypairs");
    size_t i;
    json_t *k;
    if (!json_is_array(list))
        return 0;
    json_array_foreach(list, i, k)
    {
        const char *user = jsonx_str(k, "user");
        if (str_eq(jsonx_str(k, "name"), name) && (!user || str_eq(user, who->user_id)))
            return 0;
    }
    return catalog_missing(CAT_KEYPAIR, name, e);
}

static int network(const json_t *doc, const char *list, enum cat_kind kind, const char *ident,
                   struct err *e)
{
    size_t n = 0;
    const json_t *found = find(doc, list, ident, &n);
    if (n > 1)
        return catalog_ambiguous(kind, ident, e);
    if (n == 0 || (kind == CAT_EXTERNAL_NETWORK && !jsonx_bool(found, "external", false)))
        return catalog_missing(kind, ident, e);
    return 0;
}

/* Each lookup sees one file's content from begin to end. */
#define LOOK(call)                                                                                 \
    struct builtin *b = self;                                                                      \
    pthread_rwlock_rdlock(&b->lock);                                                               \
    int rc = call;                                                                                 \
    pthread_rwlock_unlock(&b->lock);                                                               \
    return rc

static int builtin_image(void *self, const struct auth_context *who, const char *ident,
                         struct cat_image *ret, struct err *e)
{
    LOOK(image(b->doc, who, ident, ret, e));
}
static int builtin_flavor(void *self, const struct auth_context *who, const char *ident,
                          struct cat_flavor *ret, struct err *e)
{
    LOOK(flavor(b->doc, who, ident, ret, e));
}
static int builtin_keypair(void *self, const struct auth_context *who, const char *name,
                           struct err *e)
{
    LOOK(keypair(b->doc, who, name, e));
}
static int builtin_external(void *self, const struct auth_context *who, const char *ident,
                            struct err *e)
{
    (void)who;
    LOOK(network(b->doc, "networks", CAT_EXTERNAL_NETWORK, ident, e));
}
static int builtin_fixed(void *self, const struct auth_context *who, const char *ident,
                         struct err *e)
{
    (void)who;
    LOOK(network(b->doc, "networks", CAT_FIXED_NETWORK, ident, e));
}
static int builtin_subnet(void *self, const struct auth_context *who, const char *ident,
                          struct err *e)
{
    (void)who;
    LOOK(network(b->doc, "subnets", CAT_FIXED_SUBNET, ident, e));
}
static int builtin_read_again(void *self, const struct config *cfg, struct catalog **ret,
                              struct err *e)
{
    (void)self;
    return catalog_builtin_open(cfg, ret, e);
}
static void builtin_swap(void *self, void *other)
{
    struct builtin *b = self, *o = other;
    pthread_rwlock_wrlock(&b->lock);
    json_t *old = b->doc;
    b->doc = o->doc;
    pthread_rwlock_unlock(&b->lock);
    o->doc = old;
}
static void builtin_free(void *self)
{
    struct builtin *b = self;
    pthread_rwlock_destroy(&b->lock);
    json_decref(b->doc);
    free(b);
}

static const struct catalog_ops builtin_ops = {
    .image = builtin_image,
    .flavor = builtin_flavor,
    .keypair = builtin_keypair,
    .external_network = builtin_external,
    .fixed_network = builtin_fixed,
    .fixed_subnet = builtin_subnet,
    .read_again = builtin_read_again,
    .swap = builtin_swap,
    .free = builtin_free,
};

int catalog_builtin(const char *name, const char *text, size_t len, struct catalog **ret,
                    struct err *e)
{
    _cleanup_json_ json_t *doc = NULL;
    int rc = yaml_load(name, text, len, &doc, e);
    if (rc < 0) {
        e->code = ERR_CONFIG;
        return ERR_CONFIG;
    }
    rc = check_document(name, doc, e);
    if (rc < 0)
        return rc;
    struct catalog *c = calloc(1, sizeof *c);
    struct builtin *b = calloc(1, sizeof *b);
    if (!c || !b) {
        free(c);
        free(b);
        return err_nomem(e);
    }
    pthread_rwlock_init(&b->lock, NULL);
    b->doc = TAKE_PTR(doc);
    c->ops = &builtin_ops;
    c->self = b;
    *ret = c;
    return 0;
}

int catalog_builtin_open(const struct config *cfg, struct catalog **ret, struct err *e)
{
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    if (!*cfg->catalog_file)
        return catalog_builtin("built-in catalogue", defaults, sizeof defaults - 1, ret, e);
    int rc = io_read_file(cfg->catalog_file, FILE_MAX, &text, &len, e);
    if (rc < 0) {
        (void)err_wrap(e, "catalog.file");
        e->code = ERR_CONFIG;
        return ERR_CONFIG;
    }
    return catalog_builtin(cfg->catalog_file, text, len, ret, e);
}
