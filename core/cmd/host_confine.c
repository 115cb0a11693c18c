/* See host_confine.h: limits, user, capabilities, signals. */
#include "cmd/host_confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SIGNALLED = 128, FIRST_PROCESS = 1 };

void shut_note(struct shut_in *s, const char *measure, bool ok, const char *fmt, ...)
{
    char detail[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    json_array_append_new(s->rows, json_pack("{s:s,s:s,s:s}", "measure", measure, "state",
                                             ok ? "in force" : "not in force", "detail", detail));
    if (ok || !s->strict || s->refused)
        return;
    s->refused = true;
    snprintf(s->why, sizeof s->why, "drivers.isolation is strict, and %s is not in force: %.120s",
             measure, detail);
}

/* ---- signals ---- */

/* The conductor reads this as "killed by the signal" (core/drivers/transport_process.c). */
static void end_of(int sig)
{
    _exit(SIGNALLED + sig);
}

void host_signals(void)
{
    static const int signals[] = {SIGTERM, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    struct sigaction a = {.sa_handler = end_of, .sa_flags = SA_NODEFER};
    (void)signal(SIGXFSZ, SIG_IGN); /* a file that grew too large is an error of write() */
    /* The first process of a namespace is spared by signals it has no handler for, even by those
     * it sends itself. */
    for (size_t i = 0; getpid() == FIRST_PROCESS && i < sizeof signals / sizeof *signals; i++)
        if (!SANITIZED || signals[i] == SIGTERM)
            (void)sigaction(signals[i], &a, NULL);
}

void host_die_with_parent(void)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* ---- limits ---- */

/* hard: for good. Otherwise programs that a privileged driver starts may raise it again. */
static void set_limit(int what, rlim_t value, bool hard)
{
    struct rlimit l;
    if (getrlimit((__rlimit_resource_t)what, &l) < 0)
        return;
    l.rlim_cur = l.rlim_max != RLIM_INFINITY && value > l.rlim_max ? l.rlim_max : value;
    if (hard)
        l.rlim_max = l.rlim_cur;
    (void)setrlimit((__rlimit_resource_t)what, &l); /* lowering can't fail */
}

static json_int_t number(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static bool flag(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

static void set_limits(const json_t *hello, const json_t *c, bool hard)
{
    json_int_t memory_mb = number(hello, "memory_mb"), files = number(hello, "open_files");
    if (memory_mb > 0 && !SANITIZED)
        set_limit(RLIMIT_DATA, (rlim_t)memory_mb << 20, hard);
    if (files > 0)
        set_limit(RLIMIT_NOFILE, (rlim_t)files, hard);
    set_limit(RLIMIT_CORE, 0, hard);
    if (!hard)
        return;
    set_limit(RLIMIT_FSIZE, (rlim_t)number(c, "file_mb") << 20, true);
    set_limit(RLIMIT_MEMLOCK, 64 << 10, true);
    set_limit(RLIMIT_MSGQUEUE, 0, true);
    /* The kernel counts a user's processes together: this one's fellows have theirs too. */
    if (number(c, "uid") > 0 && !SANITIZED)
        set_limit(RLIMIT_NPROC, (rlim_t)(number(c, "tasks") * number(c, "same_user")), true);
}

static void note_limits(struct shut_in *s, const json_t *hello, const json_t *c)
{
    shut_note(s, "limits", true, "%lld MiB, %lld open files, %lld MiB a file, no core dumps",
              (long long)number(hello, "memory_mb"), (long long)number(hello, "open_files"),
              (long long)number(c, "file_mb"));
}

/* ---- rights ---- */

static void change_user(struct shut_in *s, uid_t wanted)
{
    if (wanted == 0)
        shut_note(s, "user", false, "only a conductor that is root can give a driver its own");
    else if (s->uid == 0)
        return; /* host_view said why */
    else if (setgroups(0, NULL) < 0 || setresgid((gid_t)s->uid, (gid_t)s->uid, (gid_t)s->uid) < 0 ||
             setresuid(s->uid, s->uid, s->uid) < 0)
        shut_note(s, "user", false, "uid %u: %s", (unsigned)s->uid, strerror(errno));
    else
        shut_note(s, "user", true, "uid %u", (unsigned)s->uid);
}

static void drop_capabilities(struct shut_in *s)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    for (int cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
        continue;
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    bool ok = syscall(SYS_capset, &head, none) == 0;
    shut_note(s, "capabilities", ok, "%s", ok ? "none" : strerror(errno));
}

static void give_up_new_rights(struct shut_in *s)
{
    bool ok = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    shut_note(s, "no new rights", ok, "%s",
              ok ? "set-user-ID programs give none" : strerror(errno));
}

static void note_pids(struct shut_in *s)
{
    bool ok = getpid() == FIRST_PROCESS;
    shut_note(s, "process ids", ok, "%s",
              ok ? "it sees its own processes only, and they end with it"
                 : "the kernel does not allow a namespace here");
}

static int unconfined(const json_t *hello, const json_t *c, struct shut_in *s)
{
    bool privileged = flag(c, "privileged");
    set_limits(hello, c, false);
    json_array_append_new(
        s->rows, json_pack("{s:s,s:s,s:s}", "measure", "all", "state", "off", "detail",
                           privileged ? "privileged: it works with the conductor's own rights"
                                      : "drivers.isolation is off"));
    return 0;
}

int host_confine(const json_t *hello, json_t **ret_rows, char *why, size_t why_size)
{
    const json_t *c = json_object_get(hello, "confine");
    uid_t wanted = (uid_t)number(c, "uid");
    struct shut_in s = {.strict = flag(c, "strict"),
                        .exec = flag(hello, "exec"),
                        .network_direct = flag(hello, "network_direct"),
                        .unix_sockets = flag(c, "unix_sockets"),
                        .uid = wanted,
                        .map_fd = FD_MAPPING,
                        .rows = json_array()};
    *ret_rows = s.rows;
    if (!flag(c, "on") || flag(c, "privileged")) {
        (void)close(FD_MAPPING);
        return unconfined(hello, c, &s);
    }
    set_limits(hello, c, true);
    note_limits(&s, hello, c);
    note_pids(&s);
    host_view(&s, c);
    (void)close(FD_MAPPING);
    change_user(&s, wanted);
    drop_capabilities(&s);
    give_up_new_rights(&s);
    (void)prctl(PR_SET_DUMPABLE, SANITIZED); /* a change of user resets both */
    host_die_with_parent();
    host_calls(&s);
    if (s.refused)
        snprintf(why, why_size, "%s", s.why);
    return s.refused ? -1 : 0;
}
