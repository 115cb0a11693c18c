/* Reads, writes and ends what is not its own. See hostile.h. */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { SIBLINGS = 4096 };

static const char *text(const json_t *p, const char *key)
{
    const char *s = json_string_value(json_object_get(p, key));
    return s ? s : "";
}

json_t *harm_memory(const json_t *p)
{
    pid_t victim = (pid_t)json_integer_value(json_object_get(p, "pid"));
    void *address = (void *)(intptr_t)json_integer_value(json_object_get(p, "address"));
    char path[64], got[64] = "";
    const struct iovec here = {got, sizeof got - 1}, there = {address, sizeof got - 1};
    snprintf(path, sizeof path, "/proc/%d/mem", (int)victim);
    int fd = open(path, O_RDWR), open_errno = fd < 0 ? errno : 0;
    if (fd >= 0 && pread(fd, got, sizeof got - 1, (off_t)(intptr_t)address) < 0)
        open_errno = errno;
    int vm = TRY(process_vm_readv(victim, &here, 1, &there, 1, 0));
    int trace = TRY(ptrace(PTRACE_ATTACH, victim, NULL, NULL));
    int parent = TRY(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
    snprintf(path, sizeof path, "/proc/%d/environ", (int)victim);
    int environment = TRY(open(path, O_RDONLY));
    return json_pack("{s:i,s:i,s:i,s:i,s:i,s:b}", "mem", open_errno, "vm", vm, "trace", trace,
                     "parent", parent, "environ", environment, "found",
                     strstr(got, text(p, "secret")) != NULL && *got);
}

json_t *harm_files(const json_t *p)
{
    char got[256] = "";
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", text(p, "socket"));
    int fd = open(text(p, "config"), O_RDONLY), config = fd < 0 ? errno : 0;
    if (fd >= 0 && read(fd, got, sizeof got - 1) < 0)
        config = errno;
    int s = socket(AF_UNIX, SOCK_STREAM, 0), opened = s < 0 ? errno : 0;
    /* a socket that needs no socket(2) of its own */
    int pair[2] = {-1, -1};
    int paired = TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    int connected = TRY(connect(s >= 0 ? s : pair[0], (const struct sockaddr *)&sa, sizeof sa));
    int datagrams[2] = {-1, -1};
    int raw = TRY(socketpair(AF_UNIX, SOCK_RAW, 0, datagrams)); /* the kernel takes it for these */
    int datagram = TRY(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams));
    int sent = TRY(sendto(datagrams[0], "x", 1, 0, (const struct sockaddr *)&sa, sizeof sa));
    int reconnected = TRY(connect(datagrams[1], (const struct sockaddr *)&sa, sizeof sa));
    return json_pack("{s:i,s:b,s:i,s:i,s:i,s:i,s:i,s:i,s:i}", "config", config, "password",
                     strstr(got, "password") != NULL, "socket", opened, "pair", paired, "connect",
                     connected, "raw", raw, "datagram", datagram, "send", sent, "reconnect",
                     reconnected);
}

json_t *harm_kill(const json_t *p)
{
    pid_t victim = (pid_t)json_integer_value(json_object_get(p, "pid"));
    int direct = TRY(kill(victim, SIGKILL)), group = TRY(kill(-victim, SIGKILL));
    int reached = 0;
    (void)kill(getppid(), SIGKILL);
    (void)kill(0, SIGCONT);
    (void)kill(-1, SIGKILL);
    for (pid_t other = 2; other < SIBLINGS; other++)
        reached += kill(other, SIGKILL) == 0;
    int handle = (int)syscall(SYS_pidfd_open, victim, 0);
    return json_pack("{s:i,s:i,s:i,s:b}", "direct", direct, "group", group, "reached", reached,
                     "handle", handle >= 0);
}

json_t *harm_state(const json_t *p)
{
    char path[512];
    snprintf(path, sizeof path, "%s/planted", text(p, "other"));
    int write_other = TRY(open(path, O_CREAT | O_WRONLY, 0644));
    snprintf(path, sizeof path, "/proc/1/root%s/planted", text(p, "other"));
    int through_proc = TRY(open(path, O_CREAT | O_WRONLY, 0644));
    int list = TRY(open(text(p, "other"), O_RDONLY | O_DIRECTORY));
    int system = TRY(open("/usr/lib/planted", O_CREAT | O_WRONLY, 0644));
    int passwd = TRY(open("/etc/passwd", O_WRONLY));
    int uncover = TRY(umount2("/tmp", MNT_DETACH));
    int remount = TRY(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
    int escape = TRY(unshare(CLONE_NEWUSER));
    int root = TRY(chroot("/tmp"));
    int tmp = TRY(open("/tmp/planted-by-hostile", O_CREAT | O_WRONLY, 0600));
    return json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i}", "other", write_other, "proc",
                     through_proc, "list", list, "system", system, "passwd", passwd, "uncover",
                     uncover, "remount", remount, "escape", escape, "chroot", root, "tmp", tmp);
}

json_t *harm_rights(const json_t *p)
{
    (void)p;
    const struct rlimit much = {1 << 20, 1 << 20};
    struct rlimit now = {0};
    int files = TRY(setrlimit(RLIMIT_NOFILE, &much));
    int memory = TRY(setrlimit(RLIMIT_DATA, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}));
    int core = TRY(setrlimit(RLIMIT_CORE, &much));
    int others = TRY(prlimit(getppid() ? getppid() : 2, RLIMIT_NOFILE, &much, NULL));
    int user = TRY(setresuid(0, 0, 0)) | (geteuid() == 0 ? 0 : EPERM);
    int nice_up = TRY(setpriority(PRIO_PROCESS, 0, -20));
    (void)getrlimit(RLIMIT_NOFILE, &now);
    int keys = TRY((int)syscall(SYS_keyctl, 0, 0, 0, 0, 0));
    int bpf = TRY((int)syscall(SYS_bpf, 0, NULL, 0));
    int ring = TRY((int)syscall(SYS_io_uring_setup, 1, NULL));
    return json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:I,s:i,s:i,s:i,s:i,s:i}", "files", files, "memory",
                     memory, "core", core, "others", others, "user", user, "nice", nice_up, "now",
                     (json_int_t)now.rlim_cur, "keys", keys, "bpf", bpf, "ring", ring,
                     "no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), "uid",
                     (int)(geteuid() & 0x7FFFFFFF));
}

json_t *harm_network(const json_t *p)
{
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK, AF_PACKET, AF_VSOCK};
    json_t *errors = json_array();
    (void)p;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        json_array_append_new(errors, json_integer(TRY(socket(families[i], SOCK_DGRAM, 0))));
    return json_pack("{s:o}", "errors", errors);
}
