/* host/verbs.h - every interface and verb this host knows, as a table: one line per verb, with
 * where its function pointer stands and what its arguments look like.
 * Neighbours: load.c (are manifest and library of one mind?), call.c (the call itself),
 * core/drivers (what a driver offers), the check kit. */
#ifndef MAGNUM_HOST_VERBS_H
#define MAGNUM_HOST_VERBS_H

#include <stdbool.h>
#include <stddef.h>

/* The arguments between (self, op) and err. */
enum verb_shape {
    SHAPE_CHECK,    /* none */
    SHAPE_STEP,     /* mag_step *out */
    SHAPE_DOC,      /* mag_bytes *ret_json */
    SHAPE_LIST,     /* kind, query, ret_json */
    SHAPE_GET,      /* kind, name, ret_json */
    SHAPE_CREATE,   /* kind, doc, ret_json */
    SHAPE_UPDATE,   /* kind, name, doc, ret_json */
    SHAPE_REMOVE,   /* kind, name */
    SHAPE_ACTION,   /* kind, name, verb, args, ret_json */
    SHAPE_CERT_PUT, /* key, bundle, mag_cert_ref *out */
    SHAPE_CERT_GET, /* ref, parts, sink */
    SHAPE_CERT_DEL, /* ref */
    SHAPE_CERT_SIGN /* ca ref, csr_pem, profile, ret_pem */
};

typedef void (*verb_fn)(void); /* cast back by shape */

struct verb {
    const char *iface, *name;
    size_t offset;
    enum verb_shape shape;
    const char *operation; /* its name in the manifest's `operations`, or NULL: not listed there */
};
extern const struct verb verb_table[];
extern const size_t verb_count;

/* NULL when this host does not know it. */
const struct verb *verb_find(const char *iface, const char *name);
bool verb_iface_known(const char *iface);
/* The function in an interface struct, NULL when the struct is too short or the member is NULL. */
verb_fn verb_function(const struct verb *v, const void *iface_struct);

#endif
