/* Whose request has its turn. Requests that wait for somebody (a durable commit, a conductor) share
 * api.wait_threads: each project gets its share of them (operation/share.h has the rule). Besides,
 * while others ask as well, a project has few requests at once that use processors and disk
 * (api.project_contended, and api.project_contended_reads for reads). The rest is put aside without
 * a thread until one of the project's own has ended, and more than api.project_requests of it are
 * refused. So a project's flood costs others next to nothing. Neighbours: api.c, http/server.h. */
#ifndef MAGNUM_API_ADMIT_H
#define MAGNUM_API_ADMIT_H

#include "config/config.h"
#include "http/server.h"

struct admit;
struct admit_tenant;
enum admit_answer {
    ADMIT_GO,     /* admit_leave must follow */
    ADMIT_PARKED, /* put aside: it is asked again later */
    ADMIT_FULL    /* too many are waiting, or nobody waits for the answer */
};
struct admit *admit_new(const struct config *cfg);       /* NULL: out of memory */
struct admit *admit_new_reads(const struct config *cfg); /* the same */
void admit_free(struct admit *a);
/* *ret is for admit_leave; it may be NULL. */
enum admit_answer admit_enter(struct admit *a, const char *project, const struct http_request *rq,
                              struct admit_tenant **ret);
void admit_leave(struct admit *a, struct admit_tenant *t);
/* A request that was put aside comes back and has no use for its turn any more. */
void admit_forget(struct admit *a, const struct http_request *rq);
size_t admit_waiting(struct admit *a); /* requests that are put aside */
/* Around a wait for somebody outside (a conductor, a service of the cloud), by the thread that was
 * let in: it keeps its thread, and another request of its project may use what it leaves. Threads
 * that were not let in need no care. Not nested. */
void admit_outside(void);
void admit_inside(void);

#endif
