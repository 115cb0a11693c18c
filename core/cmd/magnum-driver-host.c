/* magnum-driver-host: the process one plugin runs in. Started by a conductor, never by hand:
 *   fd 0 /dev/null, fds 1 and 2 a pipe the conductor logs, fd 3 the connection, fd 4 the library.
 * It ties its life to the conductor's, gives up what a driver does not need, and serves calls.
 * The calls themselves are sdk/host; neighbours: core/drivers/transport_process.c. */
#include "base/parse.h"
#include "host/serve.h"

#include <errno.h>
#include <jansson.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FD_SOCKET = 3, FD_LIBRARY = 4, FD_FIRST_UNKNOWN = 5, EXIT_USAGE = 64, EXIT_ORPHAN = 65 };

/* Sanitizers map terabytes, trace their own process and start a symbolizer. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif

/* Nothing may act without its conductor. The signal is asked for first, then the parent is looked
 * at: one of the two sees a conductor that died in between. */
static void die_with_parent(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        exit(EXIT_ORPHAN);
}

static void set_soft_limit(int what, rlim_t value)
{
    struct rlimit l;
    if (getrlimit((__rlimit_resource_t)what, &l) < 0)
        return;
    l.rlim_cur = l.rlim_max != RLIM_INFINITY && value > l.rlim_max ? l.rlim_max : value;
    (void)setrlimit((__rlimit_resource_t)what, &l); /* lowering can't fail */
}

static int refuse(char *why, size_t size, const char *what)
{
    snprintf(why, size, "%s: %s", what, strerror(errno));
    return -1;
}

#ifdef THIS_ARCH
/* A driver without `exec: true` starts no program; one without `network: direct` opens no network
 * socket. They see EPERM. Programs that an exec driver starts would inherit the filter (a container
 * engine would not run), so those drivers get none. */
static int filter_calls(int network, char *why, size_t size)
{
#define DENY BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define IF_EQ(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        IF_EQ(THIS_ARCH, 1, 0),
        DENY,
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        IF_EQ(__NR_execve, 6, 0),
        IF_EQ(__NR_execveat, 5, 0),
        IF_EQ(network ? (unsigned)-1 : __NR_socket, 1, 0),
        ALLOW,
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        IF_EQ(AF_INET, 1, 0),
        IF_EQ(AF_INET6, 0, 1),
        DENY,
        ALLOW,
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        return refuse(why, size, "cannot restrict system calls");
    return 0;
}
#endif

/* Limits from the manifest. Soft ones only: a program started by an exec driver raises them. */
static int prepare(const json_t *hello, char *why, size_t size)
{
    json_int_t memory_mb = json_integer_value(json_object_get(hello, "memory_mb"));
    json_int_t files = json_integer_value(json_object_get(hello, "open_files"));
    int exec = json_is_true(json_object_get(hello, "exec"));
    if (memory_mb > 0 && !SANITIZED)
        set_soft_limit(RLIMIT_DATA, (rlim_t)memory_mb << 20);
    if (files > 0)
        set_soft_limit(RLIMIT_NOFILE, (rlim_t)files);
    if (exec)
        return 0;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return refuse(why, size, "cannot give up new privileges");
#ifdef THIS_ARCH
    if (!SANITIZED)
        return filter_calls(json_is_true(json_object_get(hello, "network_direct")), why, size);
#endif
    return 0;
}

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
    die_with_parent((pid_t)parent);
    (void)close_range(FD_FIRST_UNKNOWN, ~0U, 0);
    /* A program that an exec driver starts, and that may outlive us, shall not hold these. */
    (void)close_range(FD_SOCKET, FD_LIBRARY, CLOSE_RANGE_CLOEXEC);
    (void)prctl(PR_SET_DUMPABLE, SANITIZED);
    set_soft_limit(RLIMIT_CORE, 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    json_set_alloc_funcs(malloc, wiping_free);
    if (chdir("/") < 0) {
        perror("magnum-driver-host: cannot go to /");
        return EXIT_USAGE;
    }
    const struct serve_args a = {
        .sock = FD_SOCKET, .lib_fd = FD_LIBRARY, .prepare = prepare, .own_process = true};
    return host_serve(&a);
}
