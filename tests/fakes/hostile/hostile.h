/* What the hostile driver tries, one function per harm: each returns a report of what it got, for
 * the test to judge. `p` is spec.params of the call: what it is told about its victims.
 * Neighbours: hostile.c (which mode is which), harm_*.c; tests/component/driver_isolation.c. */
#ifndef MAGNUM_TESTS_HOSTILE_H
#define MAGNUM_TESTS_HOSTILE_H

#include <jansson.h>

/* 0, or the errno of an attempt. */
#define TRY(call) ((call) < 0 ? errno : 0)

/* harm_others.c: processes, memory and files of others */
json_t *harm_memory(const json_t *p);
json_t *harm_files(const json_t *p);
json_t *harm_kill(const json_t *p);
json_t *harm_state(const json_t *p);
json_t *harm_rights(const json_t *p);
json_t *harm_network(const json_t *p);
/* harm_machine.c: what there is only so much of */
json_t *harm_forks(const json_t *p);
json_t *harm_threads(const json_t *p);
json_t *harm_hog(const json_t *p);
json_t *harm_shared_hog(const json_t *p);
json_t *harm_fds(const json_t *p);
json_t *harm_disk(const json_t *p);
json_t *harm_log(const json_t *p);
json_t *harm_orphans(const json_t *p);

#endif
