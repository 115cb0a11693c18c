/* Tokens of the built-in etcd discovery and the members announced under them. Each token counts its
 * own changes, as etcd's index does. Neighbours: api (etcd_discovery.c), conductor (upkeep). */
#ifndef MAGNUM_DB_DB_DISCOVERY_H
#define MAGNUM_DB_DB_DISCOVERY_H

#include "db/db.h"

struct discovery_limits {
    int64_t tokens, of_project; /* that live at a time, of all projects and of one */
};
/* A new token, written as UUID, for `size` members. ERR_QUOTA when there are so many. */
int db_discovery_create(struct db *db, const char *project_id, const struct discovery_limits *most,
                        int64_t size, int64_t hours, char ret_token[37], struct err *e) MUST_CHECK;

struct discovery_view {
    int64_t size, index; /* index: of the last change, 0 = none yet */
    json_t *members;     /* owned; [{member, value, created, modified}] in order of creation */
};
void discovery_view_done(struct discovery_view *v);
/* ERR_NOT_FOUND: unknown or expired. */
int db_discovery_view(struct db *db, const char *token, struct discovery_view *ret,
                      struct err *e) MUST_CHECK;

struct discovery_put {
    const char *token, *member, *value;
    bool only_new;       /* ERR_EXISTS when the member is there */
    int64_t max_members; /* one more: ERR_QUOTA */
};
/* created: index at which the member first came; index: that of this change. */
int db_discovery_put(struct db *db, const struct discovery_put *put, int64_t *created,
                     int64_t *index, struct err *e) MUST_CHECK;

/* Removes expired tokens with their members. */
int db_discovery_trim(struct db *db, struct err *e) MUST_CHECK;

#endif
