/* magnum-local-node check: does this kernel give what local nodes need? Each part is tried in a
 * child that is thrown away with its namespaces; one line on stdout for each that is missing:
 * "<part><tab><why>". Neighbours: check (reads the lines). */
#include "lib/local/node_spec.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

static int wait_ok(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int missing(const char *part, const char *why)
{
    (void)printf("%s\t%s\n", part, why);
    return 1;
}

/* In the child's own network namespace: nothing it makes is ever seen outside. */
static int try_link(const char *ip, const char *const args[])
{
    const char *argv[12] = {ip, "link", "add"};
    for (size_t i = 0; args[i] && i + 4 < MAG_LEN(argv); i++)
        argv[i + 3] = args[i];
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        (void)dup2(null, 1);
        (void)dup2(null, 2);
        (void)execv(ip, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    return pid < 0 ? -1 : wait_ok(pid);
}

static void try_links(const char *ip)
{
    static const char *const bridge[] = {"trybr", "type", "bridge", NULL};
    static const char *const veth[] = {"tryv0", "type", "veth", "peer", "name", "tryv1", NULL};
    static const char *const vxlan[] = {"tryvx", "type",    "vxlan", "id",
                                        "77",    "dstport", "4789",  NULL};
    if (try_link(ip, bridge) < 0)
        (void)missing("bridge", "the kernel has no network bridges (CONFIG_BRIDGE)");
    if (try_link(ip, veth) < 0)
        (void)missing("veth", "the kernel has no virtual ethernet pairs (CONFIG_VETH)");
    if (try_link(ip, vxlan) < 0)
        (void)missing("vxlan", "the kernel has no VXLAN (CONFIG_VXLAN)");
}

static int try_namespace(int flag, const char *part, const char *what)
{
    char why[160];
    if (unshare(flag) == 0)
        return 0;
    (void)snprintf(why, sizeof why, "%s can't be made: %s", what, strerror(errno));
    return missing(part, why);
}

/* The PID namespace last: once its first process ended, nothing can be started in it any more. */
static void try_all(const char *ip)
{
    (void)try_namespace(CLONE_NEWNS, "mountns", "mount namespaces");
    (void)try_namespace(CLONE_NEWUTS, "utsns", "UTS namespaces (CONFIG_UTS_NS)");
    (void)try_namespace(CLONE_NEWIPC, "ipcns", "IPC namespaces (CONFIG_IPC_NS)");
    if (try_namespace(CLONE_NEWNET, "netns", "network namespaces (CONFIG_NET_NS)") == 0)
        try_links(ip); /* never in the host's own network */
    (void)try_namespace(CLONE_NEWPID, "pidns", "PID namespaces (CONFIG_PID_NS)");
}

int node_check(const char *ip)
{
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        (void)fprintf(stderr, "fork: %s\n", strerror(errno));
        return 1;
    }
    if (pid == 0) {
        try_all(ip);
        (void)fflush(stdout);
        _exit(0);
    }
    return wait_ok(pid) == 0 ? 0 : 1;
}
