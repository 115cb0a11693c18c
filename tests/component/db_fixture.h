/* What the database tests share: a private server, a fresh migrated database per test, and rows to
 * begin with. Neighbours: tests/component/db*.c. */
#ifndef MAGNUM_TESTS_DB_FIXTURE_H
#define MAGNUM_TESTS_DB_FIXTURE_H

#include "config/config.h"
#include "db/db_accept.h"
#include "db/db_cluster.h"
#include "db/db_ledger.h"
#include "db/db_migrate.h"
#include "db/db_operation.h"
#include "db/db_service.h"
#include "db/db_template.h"
#include "support/cunit_main.h"
#include "support/pg.h"

extern struct pg *server;
extern struct db *db;            /* of the current test's database */
extern char *conninfo;           /* of the same */
extern struct template template; /* stored, public, of project "p" */

int fixture_start(void); /* CUnit suite setup and teardown */
int fixture_stop(void);

/* A fresh migrated database behind `db`; the last one is closed. */
void fresh_db(void);
/* Opens the current database with these settings; pool 0 = 8. Caller closes. */
struct db *open_db(const char *info, int64_t pool, int64_t statement_ms);

/* Text of the first column of the first row, valid until the next call. */
const char *sql(const char *query);
void exec(const char *query);

/* A cluster with default-master (1) and default-worker (node_count), accepted; the operation is
 * filled. Fatal assertion when that fails. */
struct made {
    struct cluster c;
    struct operation op;
};
void make_cluster(struct made *m, const char *project, const char *name, int64_t node_count);
void made_done(struct made *m);
int accept_cluster(struct made *m, const char *project, const char *name, int64_t node_count,
                   int64_t quota, struct db_idempotency *idem, struct err *e);
/* Accepts a change of this kind; op is initialised here. */
int change(const char *cluster_uuid, const char *kind, const struct db_change *ch,
           struct operation *op, struct err *e);
/* Leases up to `max` due operations, of the projects in the order of their ids. */
int lease_any(struct db *from, const char *owner, size_t max, int64_t lease_ms,
              const struct strv *drivers, struct operation_list *ret, int64_t *ret_next_due_ms,
              struct err *e) MUST_CHECK;
/* Leases everything that is due (at most one expected) and returns the guard; strings are borrowed
 * from *op. False when nothing is due. */
bool lease_one(const char *owner, int64_t lease_ms, struct operation *op, struct op_guard *g);
/* Ends it with the statuses of the kind. */
int finish(const struct op_guard *g, const struct operation *op, bool success, struct err *e);
/* Create done: the cluster is CREATE_COMPLETE. */
void make_complete(struct made *m, const char *project, const char *name, int64_t node_count);

const char *cluster_status(const char *uuid);
extern const struct db_scope everything;

#endif
