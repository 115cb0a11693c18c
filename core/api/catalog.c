/* What all catalogues share, and which one is used. See catalog.h. */
#include "api/catalog_internal.h"

#include "base/str.h"
#include "config/config.h"

#include <string.h>

void cat_image_done(struct cat_image *i)
{
    free(i->id);
    free(i->name);
    free(i->os_distro);
    free(i->magnum_driver);
    *i = (struct cat_image){NULL, NULL, NULL, NULL};
}

/* As Magnum says them (validation.md 4 and 6, api.md 19). */
static const struct {
    int code;
    const char *missing, *many, *id;
} texts[CAT_KINDS] = {
    [CAT_IMAGE] = {ERR_INVALID, "Image %s could not be found.", "images", "image"},
    [CAT_FLAVOR] = {ERR_INVALID, "Unable to find flavor %s.", "flavors", "flavor"},
    [CAT_KEYPAIR] = {ERR_NOT_FOUND, "Unable to find keypair %s.", "keypairs", "keypair"},
    [CAT_EXTERNAL_NETWORK] = {ERR_INVALID, "Unable to find external network %s.",
                              "external networks", "external network"},
    [CAT_FIXED_NETWORK] = {ERR_INVALID, "Unable to find fixed network %s.", "networks", "network"},
    [CAT_FIXED_SUBNET] = {ERR_INVALID, "Unable to find fixed subnet %s.", "subnets", "subnet"},
    [CAT_COMPUTE_LIMITS] = {ERR_NOT_FOUND, "Unable to find limits %s.", "limits", "limit"},
    [CAT_NETWORK_QUOTA] = {ERR_NOT_FOUND, "Unable to find quota of %s.", "quotas", "quota"},
};

int catalog_missing(enum cat_kind kind, const char *ident, struct err *e)
{
    const char *format = texts[kind].missing, *at = strstr(format, "%s");
    return err_set(e, texts[kind].code, "%.*s%s%s", (int)(at - format), format,
                   ident ? ident : "None", at + 2);
}

int catalog_ambiguous(enum cat_kind kind, const char *ident, struct err *e)
{
    return err_set(e, ERR_CONFLICT,
                   "Multiple %s exist with same name '%s'. Please use the %s ID instead.",
                   texts[kind].many, ident, texts[kind].id);
}

int catalog_check_distro(struct cat_image *i, const char *ident, struct err *e)
{
    if (i->os_distro)
        return 0;
    cat_image_done(i);
    return err_set(e, ERR_INVALID, "Image %s doesn't contain os_distro field.", ident);
}

void catalog_expect(struct catalog *c, const struct auth_context *who, const struct cat_name *names,
                    size_t n)
{
    if (c->ops->expect)
        c->ops->expect(c->self, who, names, n);
}

/* auto: a file that the operator names says enough, whoever checks the tokens. */
static bool from_cloud(const struct config *cfg)
{
    if (strcmp(cfg->catalog_source, "auto") == 0)
        return strcmp(cfg->auth_strategy, "keystone") == 0 && !*cfg->catalog_file;
    return strcmp(cfg->catalog_source, "openstack") == 0;
}

int catalog_open(const struct config *cfg, struct catalog **ret, struct err *e)
{
    static const char *const sources[] = {"auto", "openstack", "builtin"};
    size_t i = 0;
    while (i < ARRAY_LEN(sources) && strcmp(sources[i], cfg->catalog_source) != 0)
        i++;
    if (i == ARRAY_LEN(sources))
        return err_set(e, ERR_CONFIG,
                       "catalog.source must be auto, openstack or builtin, not \"%s\"",
                       cfg->catalog_source);
    if (!from_cloud(cfg))
        return catalog_builtin_open(cfg, ret, e);
    if (strcmp(cfg->auth_strategy, "keystone") != 0)
        return err_set(e, ERR_CONFIG, "catalog.source openstack needs auth.strategy keystone");
    return catalog_cloud_open(cfg, ret, e);
}

int catalog_read_again(struct catalog *c, const struct config *cfg, struct catalog **ret,
                       struct err *e)
{
    *ret = NULL;
    return c->ops->read_again(c->self, cfg, ret, e);
}

void catalog_take(struct catalog *c, struct catalog **fresh)
{
    c->ops->swap(c->self, (*fresh)->self);
    catalog_free(fresh);
}

void catalog_free(struct catalog **c)
{
    if (!*c)
        return;
    (*c)->ops->free((*c)->self);
    free(*c);
    *c = NULL;
}
