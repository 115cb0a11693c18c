/* What requests may refer to: images, flavors, keypairs, networks, subnets. Behind a table of
 * functions, so that Glance, Nova and Neutron can stand where the built-in catalogue stands; that
 * one is read from catalog_file (YAML) or has the defaults of catalog_builtin.c. Texts of errors
 * are Magnum's (validation.md 4, 6). Thread-safe. Neighbours: rules.c asks. */
#ifndef MAGNUM_API_CATALOG_H
#define MAGNUM_API_CATALOG_H

#include "auth/auth.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct config;

struct cat_image { /* owned members; NULL = not set */
    char *id, *name, *os_distro, *magnum_driver;
};
struct cat_flavor {
    int64_t ram_mb, vcpus, disk_gb;
};
void cat_image_done(struct cat_image *i);

/* who: the caller, whose visibility counts. ident: name or id; NULL shows as None and is missing.
 */
struct catalog_ops {
    int (*image)(void *self, const struct auth_context *who, const char *ident,
                 struct cat_image *ret, struct err *e);
    int (*flavor)(void *self, const struct auth_context *who, const char *ident,
                  struct cat_flavor *ret, struct err *e);
    int (*keypair)(void *self, const struct auth_context *who, const char *name, struct err *e);
    int (*external_network)(void *self, const struct auth_context *who, const char *ident,
                            struct err *e);
    int (*fixed_network)(void *self, const struct auth_context *who, const char *ident,
                         struct err *e);
    int (*fixed_subnet)(void *self, const struct auth_context *who, const char *ident,
                        struct err *e);
    void (*free)(void *self);
};
struct catalog {
    const struct catalog_ops *ops;
    void *self;
};

/* An image must say its distribution: ERR_INVALID with Magnum's text, and *i is freed. */
int catalog_check_distro(struct cat_image *i, const char *ident, struct err *e) MUST_CHECK;

int catalog_open(const struct config *cfg, struct catalog **ret, struct err *e) MUST_CHECK;
void catalog_free(struct catalog **c); /* NULL is fine */
/* The built-in one from YAML text; name for messages. */
int catalog_builtin(const char *name, const char *text, size_t len, struct catalog **ret,
                    struct err *e) MUST_CHECK;

#endif
