/* magnum-db-manage's work on data, in batches beside running services: purge, archive and
 * online_data_migrations. Neighbours: magnum-db-manage.c reads the command line. */
#ifndef MAGNUM_CMD_DB_MANAGE_HISTORY_H
#define MAGNUM_CMD_DB_MANAGE_HISTORY_H

#include "db/db.h"

struct history {
    const char *before, *file; /* as given, or NULL */
    int64_t days;              /* -1 = not given */
    int64_t batch, pause_ms;
    int64_t max_count; /* 0 = all */
    bool dry_run;
};

int history_purge(struct db *db, const struct history *h, struct err *e) MUST_CHECK;
int history_archive(struct db *db, const struct history *h, struct err *e) MUST_CHECK;
/* *ret_more: max_count was reached and there is more to do. */
int history_migrate(struct db *db, const struct history *h, bool *ret_more,
                    struct err *e) MUST_CHECK;

#endif
