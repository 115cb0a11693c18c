/* Which driver serves a cluster: matching of (server_type, distro, coe) and of names against the
 * drivers the conductors have published, and who may be used (enabled, ready, beta). Pure.
 * Neighbours: driver_cache supplies the rows; clusters, clustertemplates and drivers ask. */
#ifndef MAGNUM_API_DRIVER_SELECT_H
#define MAGNUM_API_DRIVER_SELECT_H

#include "base/err.h"
#include "base/str.h"
#include "model/entity.h"

struct config;

struct driver_triple {
    const char *server_type, *distro, *coe; /* NULL shows as None */
};

/* Whether the operator wants it for this project (NULL: for any). */
bool driver_enabled(const struct config *cfg, const char *project, const struct driver_row *d);
/* False with a reason (may be NULL) when new clusters of this project can't be given to it. */
bool driver_usable(const struct config *cfg, const char *project, const struct driver_row *d,
                   struct str *why);
bool driver_provides(const struct driver_row *d, const struct driver_triple *t);
/* Is it the operator's choice among the drivers for this triple? */
bool driver_is_default(const struct driver_row *d, const struct driver_triple *t);
bool driver_offers(const struct driver_row *d, const char *interface);
/* The driver for a triple: of several the default, which another one never stands in for while it
 * is enabled; without one the first by name. ERR_INVALID with Magnum's text, and why a driver that
 * would fit can't be used. The row is borrowed from the list. */
int driver_for_triple(const struct config *cfg, const char *project,
                      const struct driver_row_list *l, const struct driver_triple *t,
                      const struct driver_row **ret, struct err *e) MUST_CHECK;
/* By name or id. ERR_INVALID with Magnum's text. */
int driver_named(const struct config *cfg, const char *project, const struct driver_row_list *l,
                 const char *name, const struct driver_row **ret, struct err *e) MUST_CHECK;
/* Does any usable driver make clusters of this COE? */
bool driver_serves_coe(const struct config *cfg, const char *project,
                       const struct driver_row_list *l, const char *coe);
/* Any row by name or id, usable or not; NULL when there is none. */
const struct driver_row *driver_find(const struct driver_row_list *l, const char *name);

#endif
