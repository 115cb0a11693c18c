/* The filter of system calls: one of those that were made with the program (make_host_filters.c),
 * and who answers for the calls it refuses. See host_confine.h. */
#include "cmd/host_confine.h"
#include "cmd/host_filters.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static volatile char told[HOST_TOLD_MAX]; /* the handler may call next to nothing */

/* The call was not made; it is told once, and looks to the caller like one that was refused. */
static void refused_call(int sig, siginfo_t *si, void *context)
{
    ucontext_t *u = context;
    (void)sig;
    int i = 0;
    while (i < HOST_TOLD_MAX && host_told[i].name[0] && host_told[i].nr != si->si_syscall)
        i++;
    if (i < HOST_TOLD_MAX && host_told[i].name[0] && !told[i]) {
        char line[80] = "isolation: the driver called ";
        told[i] = 1;
        size_t at = strlen(line), len = strlen(host_told[i].name);
        memcpy(line + at, host_told[i].name, len);
        memcpy(line + at + len, ", refused\n", 10);
        (void)!write(STDERR_FILENO, line, at + len + 10);
    }
#if defined(__x86_64__)
    u->uc_mcontext.gregs[REG_RAX] = -EPERM;
#elif defined(__aarch64__)
    u->uc_mcontext.regs[0] = (unsigned long long)-EPERM;
#else
    _exit(128 + SIGSYS);
#endif
}

void host_calls(struct shut_in *s)
{
    const struct sigaction a = {.sa_sigaction = refused_call, .sa_flags = SA_SIGINFO | SA_NODEFER};
    const enum host_sockets sockets = s->network_direct ? HOST_SOCKETS_ALL
                                      : s->unix_sockets ? HOST_SOCKETS_LOCAL
                                                        : HOST_SOCKETS_NONE;
    if (SANITIZED) {
        shut_note(s, "system calls", false, "sanitizers need them all");
        return;
    }
    /* Programs would inherit the filter, but not who answers for it: theirs has no such calls. */
    if ((!s->exec && sigaction(SIGSYS, &a, NULL) < 0) ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &host_filters[s->exec][sockets]) < 0)
        shut_note(s, "system calls", false, "%s", strerror(errno));
    else
        shut_note(s, "system calls", true, "%s, %s", s->exec ? "programs" : "no programs",
                  s->network_direct ? "network sockets"
                  : s->unix_sockets ? "no sockets but local ones"
                                    : "no sockets");
}
