/* What a library may not do to the process it shares with the host: imports that end, stop or
 * change the whole process or reach past the host, read from its dynamic symbols; and work before
 * anybody called it (observe.c). */
#include "check.h"

#include "host/elf_exports.h"
#include "observe.h"

#include <string.h>

/* ---- imports ---- */

enum right { NEVER, WITH_EXEC, WITH_NETWORK, WITH_SOCKETS };
static const struct {
    const char *name;
    enum right right;
} forbidden[] = {
    /* they end the process, which is the host's */
    {"exit", NEVER},
    {"_exit", NEVER},
    {"_Exit", NEVER},
    {"quick_exit", NEVER},
    {"abort", NEVER},
    {"__assert_fail", NEVER},
    {"daemon", NEVER},
    /* they change what belongs to the whole process */
    {"signal", NEVER},
    {"bsd_signal", NEVER},
    {"__sysv_signal", NEVER},
    {"sigaction", NEVER},
    {"sigset", NEVER},
    {"alarm", NEVER},
    {"setitimer", NEVER},
    {"setenv", NEVER},
    {"putenv", NEVER},
    {"unsetenv", NEVER},
    {"clearenv", NEVER},
    {"chdir", NEVER},
    {"fchdir", NEVER},
    {"chroot", NEVER},
    {"umask", NEVER},
    {"setlocale", NEVER},
    {"setrlimit", NEVER},
    {"setrlimit64", NEVER},
    {"on_exit", NEVER},
    {"atexit", NEVER},
    {"ptrace", NEVER},
    /* code that nobody checked */
    {"dlopen", NEVER},
    {"dlmopen", NEVER},
    /* other programs */
    {"fork", WITH_EXEC},
    {"vfork", WITH_EXEC},
    {"_Fork", WITH_EXEC},
    {"forkpty", WITH_EXEC},
    {"clone", WITH_EXEC},
    {"kill", WITH_EXEC},
    {"killpg", WITH_EXEC},
    {"system", WITH_EXEC},
    {"popen", WITH_EXEC},
    {"wordexp", WITH_EXEC},
    {"posix_spawn", WITH_EXEC},
    {"posix_spawnp", WITH_EXEC},
    {"execve", WITH_EXEC},
    {"execv", WITH_EXEC},
    {"execvp", WITH_EXEC},
    {"execvpe", WITH_EXEC},
    {"execl", WITH_EXEC},
    {"execle", WITH_EXEC},
    {"execlp", WITH_EXEC},
    {"fexecve", WITH_EXEC},
    {"execveat", WITH_EXEC},
    /* the network, past the host's broker */
    {"getaddrinfo", WITH_NETWORK},
    {"gethostbyname", WITH_NETWORK},
    {"gethostbyname_r", WITH_NETWORK},
    {"socket", WITH_SOCKETS},
    {"connect", WITH_SOCKETS},
    {"bind", WITH_SOCKETS},
    {"listen", WITH_SOCKETS},
    {"accept", WITH_SOCKETS},
    {"accept4", WITH_SOCKETS},
    {"sendto", WITH_SOCKETS},
    {"recvfrom", WITH_SOCKETS},
};

struct imports {
    const struct plugin *plugin;
    const char *bad;
    enum right right;
    bool aborts, unwinds;
};

static bool allowed(const struct plugin *p, enum right right)
{
    switch (right) {
    case WITH_EXEC:
        return p->exec;
    case WITH_NETWORK:
        return p->network_direct;
    case WITH_SOCKETS:
        return p->network_direct || p->unix_sockets;
    default:
        return false;
    }
}

static int note_import(void *ctx, const char *name)
{
    struct imports *i = ctx;
    /* the runtimes of C++ and Rust bring an unwinder along, and it brings abort */
    if (str_starts(name, "_Unwind_") || str_eq(name, "_dl_find_object") ||
        str_eq(name, "dl_iterate_phdr"))
        i->unwinds = true;
    if (str_eq(name, "abort")) {
        i->aborts = true;
        return 0;
    }
    for (size_t k = 0; !i->bad && k < ARRAY_LEN(forbidden); k++)
        if (str_eq(name, forbidden[k].name) && !allowed(i->plugin, forbidden[k].right)) {
            i->bad = forbidden[k].name;
            i->right = forbidden[k].right;
        }
    return 0;
}

static void imports(struct kit *k, struct verdict *v)
{
    static const char *const unless[] = {
        [NEVER] = "no driver may: the process is the host's",
        [WITH_EXEC] = "only a driver whose manifest says exec: true may",
        [WITH_NETWORK] = "only a driver whose manifest says network: direct may",
        [WITH_SOCKETS] =
            "only a driver whose manifest says network: direct or unix_sockets: true may"};
    _cleanup_free_ char *file = NULL;
    struct imports i = {.plugin = k->plugin};
    char why[ELF_WHY];
    size_t len = 0;
    if (kit_read_library(k, &file, &len, v) != 0)
        return;
    if (elf_imports(file, len, note_import, &i, why) < 0) {
        verdict_fail(v, "%s", why);
        return;
    }
    if (!i.bad && i.aborts && !i.unwinds)
        i.bad = "abort";
    if (i.bad)
        verdict_fail(v, "it calls %s, and %s", i.bad, unless[i.right]);
}

/* ---- constructors ---- */

static int note_library(void *ctx, const char *name)
{
    return strv_add(ctx, name);
}

/* What the library needs is loaded before anybody looks: its constructors are others' business. */
static int arguments(const struct kit *k, struct strv *needed, char ***ret, struct verdict *v)
{
    _cleanup_free_ char *file = NULL;
    char why[ELF_WHY];
    size_t len = 0, n = 0;
    if (kit_read_library(k, &file, &len, v) != 0)
        return -1;
    if (elf_needed(file, len, note_library, needed, why) < 0) {
        verdict_fail(v, "%s", why);
        return -1;
    }
    char **args = calloc(needed->n + 4, sizeof *args);
    if (!args) {
        verdict_fail(v, "out of memory");
        return -1;
    }
    args[n++] = k->check_host;
    args[n++] = (char *)(uintptr_t)OBSERVE_OPTION;
    args[n++] = k->plugin->library_path;
    for (size_t i = 0; i < needed->n; i++)
        args[n++] = needed->v[i];
    *ret = args;
    return 0;
}

static void constructors(struct kit *k, struct verdict *v)
{
    _cleanup_strv_ struct strv needed = STRV_INIT;
    char **args = NULL, why[256] = "";
    if (k->foreign_host) {
        verdict_skip(v, "what a sanitizer or valgrind does can't be told from the library's");
        return;
    }
    if (arguments(k, &needed, &args, v) != 0)
        return;
    switch (observe_load(k->check_host, args, why, sizeof why)) {
    case OBSERVED_WORK:
        verdict_fail(v, "%s; work belongs into create()", why);
        break;
    case OBSERVED_CANNOT:
        verdict_skip(v, "%s", why);
        break;
    default:
        break;
    }
    free(args);
}

const struct check_case cases_library[] = {{"static", "imports", imports},
                                           {"static", "constructors", constructors}};
const size_t cases_library_count = ARRAY_LEN(cases_library);
