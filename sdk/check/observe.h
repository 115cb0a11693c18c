/* observe.h: what a library does by merely being loaded. magnum-check-host loads it alone, and this
 * file, its tracer, sees every system call that isn't the dynamic loader's own.
 * Neighbours: cases_static.c, check_host.c. */
#ifndef MAGNUM_CHECK_OBSERVE_H
#define MAGNUM_CHECK_OBSERVE_H

#include <stddef.h>
#include <sys/types.h>

/* magnum-check-host --load LIBRARY [what it needs, loaded before anybody looks]. Between these two
 * getsid() calls, which answer ESRCH, is what counts. */
#define OBSERVE_OPTION "--load"
enum { OBSERVE_BEGIN = 0x4d41474e, OBSERVE_END = 0x4d41474f };
enum { OBSERVE_LONGEST_S = 10 }; /* then SIGALRM ends it */
/* How that program ends. */
enum {
    OBSERVE_QUIET = 0,
    OBSERVE_UNLOADABLE = 70,
    OBSERVE_UNTRACED = 71,
    OBSERVE_ENVIRONMENT = 72,
    OBSERVE_LOCALE = 73,
    OBSERVE_SIGNALS = 74
};

enum observed { OBSERVED_NOTHING, OBSERVED_WORK, OBSERVED_CANNOT };
/* program: magnum-check-host; args: its arguments, NULL-terminated, program first. `why` says what
 * it does, or why nobody can look. */
enum observed observe_load(const char *program, char *const args[], char *why, size_t size);

#endif
