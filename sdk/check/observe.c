/* See observe.h. The dynamic loader makes its system calls from its own text; whatever comes from
 * elsewhere (libc, the library) between the two marks is a constructor's, an initialiser's of C++,
 * or an IFUNC resolver's. Memory for small things is theirs to take. */
#include "observe.h"

#include "base/str.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
enum { MEMORY_MAX = 256 << 10, TEXT = 160 };

struct observation {
    pid_t pid;
    bool counting, gone; /* gone: its end was collected */
    uint64_t memory, heap_end;
    char *why;
    size_t size;
};

static bool work(struct observation *o, const char *what, const char *detail)
{
    snprintf(o->why, o->size, "its constructors %s%s", what, detail);
    return true;
}

/* Whose text an address is in, and where the heap ends; "" = nobody's that is known. */
static void whose(struct observation *o, uint64_t ip, char name[TEXT])
{
    char path[48], line[512];
    unsigned long begin, end;
    snprintf(path, sizeof path, "/proc/%ld/maps", (long)o->pid);
    FILE *f = fopen(path, "re");
    *name = '\0';
    while (f && fgets(line, sizeof line, f)) {
        int at = 0;
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &begin, &end, &at) != 2 || at == 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line + at, "[heap]") == 0 && !o->heap_end)
            o->heap_end = end;
        if (ip >= begin && ip < end)
            snprintf(name, TEXT, "%.*s", TEXT - 1, line + at);
    }
    if (f)
        (void)fclose(f);
}

static bool is_loader(struct observation *o, uint64_t ip)
{
    char name[TEXT];
    whose(o, ip, name);
    const char *base = strrchr(name, '/');
    return base && str_starts(base + 1, "ld") && strstr(base, ".so");
}

/* A text of the other process; "" when it can't be read. */
static void text_of(const struct observation *o, uint64_t address, char text[TEXT])
{
    struct iovec here = {text, TEXT - 1}, there = {(void *)(uintptr_t)address, TEXT - 1};
    memset(text, 0, TEXT);
    if (process_vm_readv(o->pid, &here, 1, &there, 1, 0) < 0)
        *text = '\0';
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = '?';
}

/* True: they take more than an initialiser has a reason to. */
static bool takes_memory(struct observation *o, const struct __ptrace_syscall_info *i)
{
    const uint64_t *a = i->entry.args;
    if (i->entry.nr == SYS_mmap && a[3] & MAP_ANONYMOUS && a[2] != PROT_NONE) /* a stack is */
        o->memory += a[1];
    else if (i->entry.nr == SYS_brk && a[0] > o->heap_end) {
        o->memory += o->heap_end ? a[0] - o->heap_end : 0;
        o->heap_end = a[0];
    }
    return o->memory > MEMORY_MAX;
}

static bool harmless(uint64_t nr)
{
    static const long calls[] = {SYS_mmap,         SYS_brk,
                                 SYS_munmap,       SYS_mprotect,
                                 SYS_mremap,       SYS_futex,
                                 SYS_madvise,      SYS_getpid,
                                 SYS_gettid,       SYS_clock_gettime,
                                 SYS_getuid,       SYS_getrandom,
                                 SYS_clock_getres, SYS_sched_getaffinity,
                                 SYS_geteuid,      SYS_uname,
                                 SYS_sysinfo,      SYS_restart_syscall};
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        if (nr == (uint64_t)calls[i])
            return true;
    return false;
}

/* The first thread of a process makes libc take the two signals that are its own. */
static bool libc_s_own(const struct __ptrace_syscall_info *i)
{
    enum { CANCEL = 32, SETXID = 33 };
    return i->entry.nr == SYS_rt_sigprocmask ||
           (i->entry.nr == SYS_rt_sigaction &&
            (i->entry.args[0] == CANCEL || i->entry.args[0] == SETXID));
}

static bool opens(struct observation *o, const struct __ptrace_syscall_info *i)
{
    char text[TEXT];
    int path = i->entry.nr == SYS_openat ? 1 : -1;
#ifdef SYS_open
    if (i->entry.nr == SYS_open)
        path = 0;
#endif
    if (path < 0)
        return false;
    text_of(o, i->entry.args[path], text);
    return work(o, "open ", text);
}

static bool does_work(struct observation *o, const struct __ptrace_syscall_info *i)
{
    static const struct {
        long nr;
        const char *what;
    } known[] = {{SYS_write, "write something"},
                 {SYS_writev, "write something"},
                 {SYS_read, "read something"},
                 {SYS_socket, "open a socket"},
                 {SYS_connect, "connect to something"},
                 {SYS_clone, "start a thread or a process"},
                 {SYS_clone3, "start a thread or a process"},
                 {SYS_execve, "run a program"},
                 {SYS_rt_sigaction, "change what a signal does"},
                 {SYS_chdir, "change the directory"},
                 {SYS_umask, "change the umask"},
                 {SYS_prlimit64, "look at or change limits"},
                 {SYS_clock_nanosleep, "sleep"},
                 {SYS_exit_group, "end the process"}};
    char text[32];
    if (harmless(i->entry.nr))
        return takes_memory(o, i) && work(o, "take more than 256 KiB of memory", "");
    if (libc_s_own(i) || is_loader(o, i->instruction_pointer))
        return false;
    if (opens(o, i))
        return true;
    for (size_t k = 0; k < ARRAY_LEN(known); k++)
        if (i->entry.nr == (uint64_t)known[k].nr)
            return work(o, known[k].what, "");
    snprintf(text, sizeof text, "%llu", (unsigned long long)i->entry.nr);
    return work(o, "make system call ", text);
}

/* One stop at a system call. True: that is enough. */
static bool look(struct observation *o)
{
    struct __ptrace_syscall_info i;
    char name[TEXT];
    if (ptrace(PTRACE_GET_SYSCALL_INFO, o->pid, sizeof i, &i) <= 0 ||
        i.op != PTRACE_SYSCALL_INFO_ENTRY)
        return false;
    if (i.entry.nr == SYS_getsid && i.entry.args[0] == OBSERVE_BEGIN) {
        whose(o, 0, name); /* where the heap ends now */
        o->counting = true;
    } else if (i.entry.nr == SYS_getsid && i.entry.args[0] == OBSERVE_END) {
        o->counting = false;
    } else if (o->counting) {
        return does_work(o, &i);
    }
    return false;
}

static enum observed ended(const struct observation *o, int status)
{
    static const struct {
        int code;
        enum observed what;
        const char *why;
    } ends[] = {{OBSERVE_ENVIRONMENT, OBSERVED_WORK, "its constructors change the environment"},
                {OBSERVE_SIGNALS, OBSERVED_WORK, "its constructors block signals"},
                {OBSERVE_LOCALE, OBSERVED_WORK, "its constructors change the locale"},
                {OBSERVE_UNLOADABLE, OBSERVED_WORK, "it can't be loaded alone"},
                {OBSERVE_UNTRACED, OBSERVED_CANNOT, "no process may be traced on this machine"}};
    if (WIFEXITED(status) && WEXITSTATUS(status) == OBSERVE_QUIET)
        return OBSERVED_NOTHING;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
        snprintf(o->why, o->size, "its constructors do not end");
        return OBSERVED_WORK;
    }
    for (size_t i = 0; WIFEXITED(status) && i < ARRAY_LEN(ends); i++)
        if (WEXITSTATUS(status) == ends[i].code) {
            snprintf(o->why, o->size, "%s", ends[i].why);
            return ends[i].what;
        }
    snprintf(o->why, o->size,
             WIFSIGNALED(status) ? "signal %d while it is loaded"
                                 : "exit with %d while it is loaded",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return OBSERVED_WORK;
}

static enum observed follow(struct observation *o)
{
    int status = 0;
    bool begun = false;
    for (;;) {
        pid_t got = waitpid(o->pid, &status, __WALL);
        if (got < 0 && errno == EINTR)
            continue;
        o->gone = got < 0 || !WIFSTOPPED(status);
        if (o->gone)
            return ended(o, status);
        int sig = WSTOPSIG(status);
        if (!begun && sig == SIGSTOP) {
            begun = true;
            (void)ptrace(PTRACE_SETOPTIONS, o->pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
            sig = 0;
        } else if (sig == (SIGTRAP | 0x80)) {
            if (look(o))
                return OBSERVED_WORK;
            sig = 0;
        }
        (void)ptrace(PTRACE_SYSCALL, o->pid, 0, sig);
    }
}

enum observed observe_load(const char *program, char *const args[], char *why, size_t size)
{
    struct observation o = {.why = why, .size = size};
    int status, bad = posix_spawn(&o.pid, program, NULL, NULL, args, environ);
    if (bad) {
        snprintf(why, size, "%s: %s", program, strerror(bad));
        return OBSERVED_CANNOT;
    }
    enum observed found = follow(&o);
    if (!o.gone && kill(o.pid, SIGKILL) == 0)
        (void)waitpid(o.pid, &status, __WALL);
    return found;
}
