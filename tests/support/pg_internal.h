/* Between pg.c (in the test) and pg_keeper.c (in the keeper process): one command byte and its
 * answer over a socket pair. */
#ifndef MAGNUM_TESTS_PG_INTERNAL_H
#define MAGNUM_TESTS_PG_INTERNAL_H

#include <stdbool.h>
#include <sys/types.h>

enum pg_command { PG_START = 's', PG_KILL = 'k', PG_END = 'e' };
struct pg_answer {
    bool ok;
    pid_t pid;
};
struct pg_setup {
    char dir[64]; /* holds data, log, the socket */
    char bin[256];
    const char *extra;
    bool durable;
};

/* The life of the keeper; never returns. `fd`: its end of the socket pair. */
_Noreturn void pg_keep(const struct pg_setup *s, int fd);

#endif
