/* The second bundle of certificates of a cluster while its CA is rotated, and the serial of the
 * first. Changes are guarded by the operation's lease. Neighbours: conductor/rotate*.c. */
#ifndef MAGNUM_DB_DB_ROTATION_H
#define MAGNUM_DB_DB_ROTATION_H

#include "db/db_operation.h"

enum rotation_phase {
    ROTATION_NONE, /* there is one CA */
    ROTATION_NEW,  /* the other one is new: its driver has not agreed yet */
    ROTATION_OLD,  /* the cluster's references are the new ones; the other one is still trusted */
};
struct rotation_refs { /* borrowed where passed in, owned in struct rotation */
    char *ca, *client, *etcd, *front_proxy;
};
struct rotation {
    enum rotation_phase phase;
    char *operation_id;           /* that made the other bundle */
    int64_t serial, other_serial; /* of the cluster's references; of the other bundle, or UNSET */
    struct rotation_refs other;
    int64_t grace_until; /* TIME_UNSET = not running */
    char *given_up;      /* CAs that nodes may trust beside, as rotate.c writes it; NULL = none */
};
void rotation_done(struct rotation *r);

/* A cluster that was never rotated has phase NONE and serial 1. *ret is overwritten. */
int db_rotation_get(struct db *db, const char *cluster_uuid, struct rotation *ret,
                    struct err *e) MUST_CHECK;
/* NONE -> NEW, with the bundle that was just kept. */
int db_rotation_begin(struct db *db, const struct op_guard *g, int64_t serial,
                      const struct rotation_refs *refs, struct err *e) MUST_CHECK;
/* NEW -> OLD: cluster and other bundle change places in one transaction. */
int db_rotation_switch(struct db *db, const struct op_guard *g, int64_t grace_ms,
                       struct err *e) MUST_CHECK;
/* OLD -> NONE: nobody trusts the former CA any more. */
int db_rotation_end(struct db *db, const struct op_guard *g, struct err *e) MUST_CHECK;
/* NEW -> NONE: the new CA is not used after all; given_up replaces what is stored. other_serial
 * stays until its bundle is gone (db_rotation_forget). Not guarded: the operation named is over, or
 * is the caller's own. Another phase or operation changes nothing. */
int db_rotation_give_up(struct db *db, const char *cluster_uuid, const char *operation_id,
                        const char *given_up, struct err *e) MUST_CHECK;
int db_rotation_forget(struct db *db, const char *cluster_uuid, int64_t other_serial,
                       struct err *e) MUST_CHECK;

#endif
