/* Writes the filters of system calls that magnum-driver-host takes on, as C (host_filters.h). Run
 * while Magnum is built: making one takes libseccomp a good part of what a driver's process may
 * take for its whole start, and the same six serve all drivers.
 *
 * Whatever no driver has a use for fails with EPERM and is told by name in the conductor's log;
 * starting programs and opening sockets fails with EPERM alone, for decent libraries try it too. */
#include "cmd/host_filters.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKET_TYPE = 0xF };

struct kind {
    bool exec;
    bool inet, local; /* sockets */
};

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
_Static_assert(sizeof never / sizeof *never <= HOST_TOLD_MAX, "each has its place");
static const char *const new_processes[] = {"execve", "execveat", "fork", "vfork"};

static int deny(scmp_filter_ctx f, uint32_t action, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int nr = seccomp_syscall_resolve_name(list[i]);
        if (nr < 0)
            continue; /* not on this machine */
        int rc = seccomp_rule_add(f, action, nr, 0);
        if (rc < 0)
            return rc;
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
static int deny_sockets(scmp_filter_ctx f, const struct kind *k)
{
    int rc = deny_family(f, SCMP_CMP_EQ, AF_UNSPEC);
    for (int family = AF_UNIX; !rc && family < AF_NETLINK; family++)
        if (!(family == AF_UNIX && k->local) &&
            !((family == AF_INET || family == AF_INET6) && k->inet))
            rc = deny_family(f, SCMP_CMP_EQ, family);
    if (!rc && !k->inet)
        rc = deny_family(f, SCMP_CMP_EQ, AF_NETLINK);
    /* One half of a pair of datagram sockets reaches any local socket with an address; the kernel
     * makes such of raw ones, too. */
    static const int types[] = {SOCK_DGRAM, SOCK_RAW};
    for (size_t i = 0; !rc && !k->local && i < sizeof types / sizeof *types; i++)
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socketpair), 1,
                              SCMP_A1(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, (scmp_datum_t)types[i]));
    return rc ? rc : deny_family(f, SCMP_CMP_GT, AF_NETLINK);
}

static int fill(scmp_filter_ctx f, const struct kind *k)
{
    /* Programs would inherit the filter, but not who answers for it. */
    uint32_t act = k->exec ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_TRAP;
    int rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (!rc)
        rc = deny(f, act, never, sizeof never / sizeof *never);
    if (!rc)
        rc = deny_processes(f, k->exec);
    if (!rc)
        rc = deny_sockets(f, k);
    if (!rc) /* limits of others */
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 1,
                              SCMP_A0(SCMP_CMP_NE, 0, 0));
    return rc;
}

static int print(scmp_filter_ctx f, enum host_sockets sockets, bool exec, FILE *out)
{
    static struct sock_filter code[BPF_MAXINSNS];
    int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0 || seccomp_export_bpf(f, fd) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return -1;
    ssize_t size = read(fd, code, sizeof code);
    (void)close(fd);
    if (size <= 0)
        return -1;
    fprintf(out, "static struct sock_filter code_%d_%d[] = {\n", exec, sockets);
    for (size_t i = 0; i < (size_t)size / sizeof *code; i++)
        fprintf(out, "    {0x%x, %u, %u, 0x%x},\n", code[i].code, code[i].jt, code[i].jf,
                code[i].k);
    fprintf(out, "};\n");
    return 0;
}

static int make(bool exec, enum host_sockets sockets, FILE *out)
{
    const struct kind k = {
        .exec = exec, .inet = sockets == HOST_SOCKETS_ALL, .local = sockets != HOST_SOCKETS_NONE};
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    int rc = f ? fill(f, &k) : -ENOMEM;
    if (!rc)
        rc = print(f, sockets, exec, out);
    if (f)
        seccomp_release(f);
    return rc;
}

static void print_tables(FILE *out)
{
    fprintf(out, "const struct sock_fprog host_filters[2][HOST_SOCKETS_KINDS] = {\n");
    for (int exec = 0; exec < 2; exec++)
        for (int k = 0; k < HOST_SOCKETS_KINDS; k++)
            fprintf(out, "    [%d][%d] = {sizeof code_%d_%d / sizeof *code_%d_%d, code_%d_%d},\n",
                    exec, k, exec, k, exec, k, exec, k);
    fprintf(out, "};\nconst struct host_told host_told[HOST_TOLD_MAX] = {\n");
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (seccomp_syscall_resolve_name(never[i]) >= 0)
            fprintf(out, "    {%d, \"%s\"},\n", seccomp_syscall_resolve_name(never[i]), never[i]);
    fprintf(out, "};\n");
}

int main(int argc, char **argv)
{
    FILE *out = argc == 2 ? fopen(argv[1], "w") : NULL;
    int rc = out ? 0 : -1;
    if (out)
        fprintf(out, "/* Made by make_host_filters.c. */\n#include \"cmd/host_filters.h\"\n");
    for (int exec = 0; !rc && exec < 2; exec++)
        for (int k = 0; !rc && k < HOST_SOCKETS_KINDS; k++)
            rc = make(exec, (enum host_sockets)k, out);
    if (!rc)
        print_tables(out);
    if (out && fclose(out) != 0)
        rc = -1;
    if (rc)
        fprintf(stderr, "make_host_filters: cannot write the filters (%d)\n", rc);
    return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
