/* The filter of system calls. Whatever no driver has a use for fails with EPERM and is told by name
 * in the conductor's log; starting programs and opening sockets fails with EPERM alone, for decent
 * libraries try it too. See host_confine.h. */
#include "cmd/host_confine.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

enum { NAMED_MAX = 1024, SOCKET_TYPE = 0xF };

/* Of other processes' memory, of the kernel, of mounts and namespaces, of the clock. */
static const char *const never[] = {"ptrace",
                                    "process_vm_readv",
                                    "process_vm_writev",
                                    "process_madvise",
                                    "process_mrelease",
                                    "kcmp",
                                    "pidfd_getfd",
                                    "kexec_load",
                                    "kexec_file_load",
                                    "init_module",
                                    "finit_module",
                                    "delete_module",
                                    "bpf",
                                    "perf_event_open",
                                    "userfaultfd",
                                    "io_uring_setup",
                                    "io_uring_enter",
                                    "io_uring_register",
                                    "keyctl",
                                    "add_key",
                                    "request_key",
                                    "mount",
                                    "umount2",
                                    "pivot_root",
                                    "chroot",
                                    "move_mount",
                                    "open_tree",
                                    "fsopen",
                                    "fsconfig",
                                    "fsmount",
                                    "fspick",
                                    "mount_setattr",
                                    "name_to_handle_at",
                                    "open_by_handle_at",
                                    "setns",
                                    "unshare",
                                    "swapon",
                                    "swapoff",
                                    "reboot",
                                    "acct",
                                    "quotactl",
                                    "syslog",
                                    "fanotify_init",
                                    "sethostname",
                                    "setdomainname",
                                    "settimeofday",
                                    "clock_settime",
                                    "clock_adjtime",
                                    "adjtimex",
                                    "iopl",
                                    "ioperm",
                                    "modify_ldt",
                                    "vhangup",
                                    "uselib",
                                    "lookup_dcookie"};
static const char *const new_processes[] = {"execve", "execveat", "fork", "vfork"};

static char names[NAMED_MAX][24]; /* for the handler, which may call next to nothing */
static volatile char told[NAMED_MAX];

/* The call was not made; it is told once, and looks to the caller like one that was refused. */
static void refused_call(int sig, siginfo_t *si, void *context)
{
    ucontext_t *u = context;
    (void)sig;
    int nr = si->si_syscall;
    if (nr >= 0 && nr < NAMED_MAX && names[nr][0] && !told[nr]) {
        char line[80] = "isolation: the driver called ";
        told[nr] = 1;
        size_t at = strlen(line), len = strlen(names[nr]);
        memcpy(line + at, names[nr], len);
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

static int deny(scmp_filter_ctx f, uint32_t action, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int nr = seccomp_syscall_resolve_name(list[i]);
        if (nr < 0)
            continue; /* not on this machine */
        int rc = seccomp_rule_add(f, action, nr, 0);
        if (rc < 0)
            return rc;
        if (nr < NAMED_MAX)
            snprintf(names[nr], sizeof names[nr], "%s", list[i]);
    }
    return 0;
}

/* Threads are made by clone with CLONE_THREAD; clone3 hides its flags from filters, and the C
 * library does without it when it is not there. */
static int deny_processes(scmp_filter_ctx f, bool exec)
{
    static const unsigned namespaces[] = {CLONE_NEWNS,  CLONE_NEWUTS, CLONE_NEWIPC,   CLONE_NEWUSER,
                                          CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP};
    int rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    for (size_t i = 0; !rc && exec && i < sizeof namespaces / sizeof *namespaces; i++)
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces[i], namespaces[i]));
    if (rc || exec)
        return rc;
    rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                          SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    return rc ? rc
              : deny(f, SCMP_ACT_ERRNO(EPERM), new_processes,
                     sizeof new_processes / sizeof *new_processes);
}

static int deny_family(scmp_filter_ctx f, enum scmp_compare how, int family)
{
    return seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1,
                            SCMP_CMP(0, how, (scmp_datum_t)family, 0));
}

/* Families are few and in order: each that may be opened leaves a gap between those that may not.
 */
static int deny_sockets(scmp_filter_ctx f, const struct shut_in *s)
{
    const bool inet = s->network_direct, local = s->unix_sockets || s->network_direct;
    int rc = deny_family(f, SCMP_CMP_EQ, AF_UNSPEC);
    for (int family = AF_UNIX; !rc && family < AF_NETLINK; family++)
        if (!(family == AF_UNIX && local) && !((family == AF_INET || family == AF_INET6) && inet))
            rc = deny_family(f, SCMP_CMP_EQ, family);
    if (!rc && !inet)
        rc = deny_family(f, SCMP_CMP_EQ, AF_NETLINK);
    /* One half of a pair of datagram sockets reaches any local socket with an address. */
    if (!rc && !local)
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socketpair), 1,
                              SCMP_A1(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, SOCK_DGRAM));
    return rc ? rc : deny_family(f, SCMP_CMP_GT, AF_NETLINK);
}

static int fill(scmp_filter_ctx f, const struct shut_in *s)
{
    /* Programs would inherit the filter, but not who answers for it. */
    uint32_t act = s->exec ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_TRAP;
    int rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (!rc)
        rc = deny(f, act, never, sizeof never / sizeof *never);
    if (!rc)
        rc = deny_processes(f, s->exec);
    if (!rc)
        rc = deny_sockets(f, s);
    if (!rc) /* limits of others */
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 1,
                              SCMP_A0(SCMP_CMP_NE, 0, 0));
    return rc;
}

void host_calls(struct shut_in *s)
{
    const struct sigaction a = {.sa_sigaction = refused_call, .sa_flags = SA_SIGINFO | SA_NODEFER};
    if (SANITIZED) {
        shut_note(s, "system calls", false, "sanitizers need them all");
        return;
    }
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    int rc = f ? fill(f, s) : -ENOMEM;
    if (!rc && !s->exec && sigaction(SIGSYS, &a, NULL) < 0)
        rc = -errno;
    if (!rc)
        rc = seccomp_load(f);
    if (f)
        seccomp_release(f);
    if (rc)
        shut_note(s, "system calls", false, "%s", strerror(-rc));
    else
        shut_note(s, "system calls", true, "%s, %s", s->exec ? "programs" : "no programs",
                  s->network_direct ? "network sockets"
                  : s->unix_sockets ? "no sockets but local ones"
                                    : "no sockets");
}
