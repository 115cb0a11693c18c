/* magnum-db-manage certs migrate: asks a living conductor to move the certificates of cluster after
 * cluster, since conductors have the certificate managers. Neighbours: magnum-db-manage.c. */
#ifndef MAGNUM_CMD_DB_MANAGE_CERTS_H
#define MAGNUM_CMD_DB_MANAGE_CERTS_H

#include "config/config.h"
#include "db/db.h"

/* cluster: uuid, or NULL for all whose certificates `from` keeps (or still has something of). Goes
 * on after a failure, prints one line per cluster, and returns the first failure. */
int certs_migrate_run(const struct config *cfg, struct db *db, const char *from, const char *to,
                      const char *cluster, struct err *e) MUST_CHECK;

#endif
