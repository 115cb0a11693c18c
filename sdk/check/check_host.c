/* magnum-check-host: the driver host of the kit. It serves a plugin with the host's own code, but
 * may pretend to be another Magnum: a later or earlier one, one of another major, one without
 * optional services. And it confines nothing, so that sanitizers and valgrind work in it.
 *
 * What to pretend stands in the plugin's configuration, as JSON under "magnum_check": {major,
 * minor, table: bytes of mag_host, services: bool, rounds: instances to make and destroy}. Started
 * by magnum-driver-check only; neighbours: sdk/host/serve.h, cases_hosts.c. With --load it only
 * loads a library, under the kit's eyes (observe.h). */
#include "base/parse.h"
#include "base/str.h"
#include "host/load.h"
#include "host/serve.h"
#include "observe.h"

#include <dirent.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <unistd.h>

extern char **environ;

enum { FD_SOCKET = 3, FD_LIBRARY = 4, EXIT_USAGE = 64, EXIT_ORPHAN = 65, WARM_UP = 100 };
enum { GROWTH_MAX = 16 << 10 }; /* bytes of heap; a lost instance is 32 at least */

static json_t *pretence(const json_t *hello)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(hello, "config"), "magnum_check"));
    return text ? json_loads(text, 0, NULL) : NULL;
}

static const void *no_service(void *ctx, const char *id)
{
    (void)ctx;
    (void)id;
    return NULL;
}

static void adjust(mag_host *host, const json_t *hello)
{
    json_t *p = pretence(hello);
    const json_t *major = json_object_get(p, "major"), *minor = json_object_get(p, "minor");
    json_int_t table = json_integer_value(json_object_get(p, "table"));
    if (major)
        host->abi_major = (uint32_t)json_integer_value(major);
    if (minor)
        host->abi_minor = (uint32_t)json_integer_value(minor);
    if (table > 0)
        host->struct_size = (uint32_t)table;
    if (json_is_false(json_object_get(p, "services")))
        host->get_service = MAG_HAS(mag_host, host, get_service) ? no_service : NULL;
    json_decref(p);
}

static unsigned open_files(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        (void)closedir(d);
    return n;
}

static size_t heap(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static int one_round(const mag_plugin *p, const mag_host *host, char *why, size_t size)
{
    void *self = NULL;
    mag_error err = {.struct_size = sizeof err};
    int32_t rc = p->create(host, &self, &err);
    if (rc != MAG_OK) {
        snprintf(why, size, "a further instance can't be made: %d %.60s", (int)rc, err.reason);
        return -1;
    }
    p->destroy(self);
    return 0;
}

/* Instances come and go; memory and descriptors stay. */
static int tried(const mag_plugin *p, const mag_host *host, const json_t *hello, char *why,
                 size_t size)
{
    json_t *j = pretence(hello);
    json_int_t rounds = json_integer_value(json_object_get(j, "rounds"));
    size_t before = 0;
    unsigned files = 0;
    json_decref(j);
    for (json_int_t i = 0; i < rounds + (rounds ? WARM_UP : 0); i++) {
        if (i == WARM_UP) {
            before = heap();
            files = open_files();
        }
        if (one_round(p, host, why, size) != 0)
            return -1;
    }
    if (rounds && heap() > before + GROWTH_MAX) {
        snprintf(why, size, "%lld times create and destroy leave %zu bytes behind",
                 (long long)rounds, heap() - before);
        return -1;
    }
    if (rounds && open_files() > files) {
        snprintf(why, size, "%lld times create and destroy leave %u descriptors open",
                 (long long)rounds, open_files() - files);
        return -1;
    }
    return 0;
}

/* ---- --load ---- */

static void note_environment(struct str *ret)
{
    for (char **v = environ; v && *v; v++)
        str_printf(ret, "%s\n", *v);
}

/* Ends without its exit handlers: those are the library's, too, and nobody looks any more. */
static void load_and_end(int n, char **files)
{
    struct str before = STR_INIT, after = STR_INIT;
    sigset_t blocked = {0}, now = {0};
    char why[LOAD_WHY];
    for (int i = 1; i < n; i++)
        (void)load_alone(files[i], why); /* one that is found only beside the library comes later */
    note_environment(&before);
    setvbuf(stdout, NULL, _IONBF, 0);
    (void)alarm(OBSERVE_LONGEST_S);
    (void)sigprocmask(SIG_BLOCK, NULL, &blocked);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) != 0)
        _exit(OBSERVE_UNTRACED);
    (void)getsid(OBSERVE_BEGIN);
    int rc = load_alone(files[0], why);
    (void)getsid(OBSERVE_END);
    (void)sigprocmask(SIG_BLOCK, NULL, &now);
    note_environment(&after);
    if (rc != 0)
        fprintf(stderr, "%s\n", why);
    const char *locale = setlocale(LC_ALL, NULL);
    if (rc == 0 && strcmp(str_text(&before), str_text(&after)) != 0)
        rc = OBSERVE_ENVIRONMENT;
    else if (rc == 0 && memcmp(&blocked, &now, sizeof now) != 0)
        rc = OBSERVE_SIGNALS;
    else if (rc == 0 && locale && strcmp(locale, "C") != 0)
        rc = OBSERVE_LOCALE;
    _exit(rc < 0 ? OBSERVE_UNLOADABLE : rc);
}

int main(int argc, char **argv)
{
    int64_t parent;
    if (argc > 2 && strcmp(argv[1], OBSERVE_OPTION) == 0)
        load_and_end(argc - 2, argv + 2);
    if (argc != 3 || !parse_i64(argv[1], 1, INT32_MAX, &parent)) {
        fprintf(stderr, "magnum-check-host is started by magnum-driver-check, not by hand\n");
        return EXIT_USAGE;
    }
    /* 0: in process ids of its own, with its parent outside */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || (getppid() != (pid_t)parent && getppid() != 0))
        return EXIT_ORPHAN;
    setvbuf(stdout, NULL, _IOLBF, 0);
    const struct serve_args a = {.sock = FD_SOCKET,
                                 .lib_fd = FD_LIBRARY,
                                 .adjust = adjust,
                                 .tried = tried,
                                 .own_process = true};
    return host_serve(&a);
}
