/* The private PostgreSQL of magnum-allinone: made by initdb in the state directory at the first
 * start, reachable through one Unix socket in a directory only its owner and root may enter, never
 * over the network. Started by root it runs as the user postgres. Durable settings stay on.
 * Neighbours: magnum-allinone.c; allinone_child.h runs the processes. No SQL here. */
#ifndef MAGNUM_CMD_ALLINONE_POSTGRES_H
#define MAGNUM_CMD_ALLINONE_POSTGRES_H

#include "cmd/allinone_child.h"

struct private_pg {
    struct child server;
    char *bin_dir, *data_dir, *socket_dir, *log_path; /* owned */
    bool change_user;
    uid_t uid;
    gid_t gid;
    int version; /* major */
};

/* Finds the programs (bin_dir "" = the newest installed, or the one the data was made with), makes
 * the data directory when there is none (*made) and settles where the socket lies. `state_dir`
 * exists. ERR_CONFIG and ERR_CANT_STORE carry one line that says what to do. */
int private_pg_prepare(struct private_pg *pg, const char *state_dir, const char *bin_dir,
                       int stop_fd, bool *made, struct err *e) MUST_CHECK;
/* Starts the server and returns when it accepts connections. Ends what an earlier server of the
 * same directory may have left first. */
int private_pg_start(struct private_pg *pg, int stop_fd, struct err *e) MUST_CHECK;
/* A clean ("fast") shutdown; an immediate one when it takes longer than grace_ms or when hurry_fd
 * (-1 = none) becomes readable. */
void private_pg_stop(struct private_pg *pg, int64_t grace_ms, int hurry_fd);
/* libpq connection string; caller frees; NULL = no memory. */
char *private_pg_connection(const struct private_pg *pg);
void private_pg_done(struct private_pg *pg);

#endif
