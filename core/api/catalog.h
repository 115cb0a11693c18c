/* What requests may refer to: images, flavors, keypairs, networks, subnets. Two catalogues stand
 * behind one table of functions: Glance, Nova and Neutron, asked with the caller's token
 * (catalog_cloud.c), and the built-in one, which is read from catalog.file (YAML) or has the
 * defaults of catalog_builtin.c. Texts of errors are Magnum's (validation.md 4, 6); a service that
 * does not answer is ERR_SERVICE_DOWN, one that does not take the token ERR_UNAUTHORIZED.
 * Thread-safe. Neighbours: rules.c asks. */
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
/* What the caller's project may still have in Nova and Neutron; -1: any number, or not known. */
struct cat_room {
    int64_t instances, vcpus, ram_mb, ports, floating_ips, security_groups;
};

enum cat_kind {
    CAT_IMAGE,
    CAT_FLAVOR,
    CAT_KEYPAIR,
    CAT_EXTERNAL_NETWORK,
    CAT_FIXED_NETWORK,
    CAT_FIXED_SUBNET,
    CAT_COMPUTE_LIMITS, /* of the caller's project; for `room` alone */
    CAT_NETWORK_QUOTA,  /* the same; ident: the project */
    CAT_KINDS
};
struct catalog;
struct cat_name { /* ident NULL: nothing */
    enum cat_kind kind;
    const char *ident;
};

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
    /* NULL: there is nothing to ask. Who does not answer leaves its part unknown: no error. */
    void (*room)(void *self, const struct auth_context *who, struct cat_room *ret);
    /* NULL: nothing is gained by knowing in advance */
    void (*expect)(void *self, const struct auth_context *who, const struct cat_name *names,
                   size_t n);
    /* The files that it has read, again: what cfg says, in another one of the same kind, good for
     * nothing but the swap: going on with what it has read. It gets the old. */
    int (*read_again)(void *self, const struct config *cfg, struct catalog **ret, struct err *e);
    void (*swap)(void *self, void *other);
    void (*free)(void *self);
};
struct catalog {
    const struct catalog_ops *ops;
    void *self;
};

/* An image must say its distribution: ERR_INVALID with Magnum's text, and *i is freed. */
int catalog_check_distro(struct cat_image *i, const char *ident, struct err *e) MUST_CHECK;

/* What this request will ask for: all of it is looked up at the same time, so that the single
 * questions after it wait for nothing. Errors are kept for them. */
void catalog_expect(struct catalog *c, const struct auth_context *who, const struct cat_name *names,
                    size_t n);

/* The one that catalog.source says. ERR_CONFIG. */
int catalog_open(const struct config *cfg, struct catalog **ret, struct err *e) MUST_CHECK;
void catalog_free(struct catalog **c); /* NULL is fine */
/* What it has from files (the built-in one its content, the cloud's keystone.cafile, certfile and
 * keyfile) again, in two steps: read beside the one in use, then in its place. */
int catalog_read_again(struct catalog *c, const struct config *cfg, struct catalog **ret,
                       struct err *e) MUST_CHECK;
void catalog_take(struct catalog *c, struct catalog **fresh);
/* The built-in one from YAML text; name for messages. */
int catalog_builtin(const char *name, const char *text, size_t len, struct catalog **ret,
                    struct err *e) MUST_CHECK;

#endif
