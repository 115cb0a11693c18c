/* magnum-driver-host: the process one plugin runs in. Started by a conductor, never by hand:
 *   fd 0 /dev/null, fds 1 and 2 a pipe the conductor logs, fd 3 the connection, fd 4 the library,
 *   fd 5 the users its own files are shown as (/dev/null: none).
 * It ties its life to the conductor's, gives up what a driver does not need (host_confine.h), and
 * serves calls. The calls themselves are sdk/host; neighbours: core/drivers/transport_process.c. */
#include "base/parse.h"
#include "cmd/host_confine.h"
#include "host/serve.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { FD_SOCKET = 3, FD_LIBRARY = 4, FD_FIRST_UNKNOWN = 6, EXIT_USAGE = 64, EXIT_ORPHAN = 65 };

/* JSON texts here may hold secrets: wiped before the memory is used again. */
static void wiping_free(void *p)
{
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

int main(int argc, char **argv)
{
    int64_t parent;
    if (argc != 3 || !parse_i64(argv[1], 1, INT32_MAX, &parent)) {
        fprintf(stderr, "magnum-driver-host is started by magnum-conductor, not by hand\n");
        return EXIT_USAGE;
    }
    host_signals();
    /* Asked for first, then the parent is looked at: one of the two sees a conductor that died in
     * between. One outside of our process ids can't be seen (0); then the connection is closed. */
    host_die_with_parent();
    if (getppid() != (pid_t)parent && getppid() != 0)
        exit(EXIT_ORPHAN);
    (void)close_range(FD_FIRST_UNKNOWN, ~0U, 0);
    /* A program that an exec driver starts, and that may outlive us, shall not hold these. */
    (void)close_range(FD_SOCKET, FD_MAPPING, CLOSE_RANGE_CLOEXEC);
    (void)prctl(PR_SET_DUMPABLE, SANITIZED);
    setvbuf(stdout, NULL, _IOLBF, 0);
    json_set_alloc_funcs(malloc, wiping_free);
    if (chdir("/") < 0) {
        perror("magnum-driver-host: cannot go to /");
        return EXIT_USAGE;
    }
    const struct serve_args a = {
        .sock = FD_SOCKET, .lib_fd = FD_LIBRARY, .prepare = host_confine, .own_process = true};
    return host_serve(&a);
}
