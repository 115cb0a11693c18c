/* What a driver's process costs: a call that has to start it, with a spare process ready and
 * without one, with and without what shuts it in, beside a plain spawn of /bin/true; and a call
 * with a 2 KiB spec, beside an echo of as much over a socket pair. Prints one JSON object; medians.
 * Run by bench.py. */
#include "base/jsonx.h"
#include "config/config.h"
#include "drivers/front_coe.h"
#include "magnum/lifecycle.h"

#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DRIVER "com.example.hello"

enum { STARTS = 100, CALLS = 5000, ECHOES = 20000, SIZE = 2048, IDLE_MS = 40 };

static char *const no_env[] = {NULL};

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_value);
    return v[n / 2];
}

static double plain_spawn(void)
{
    static double took[STARTS];
    char *const argv[] = {(char *)"/bin/true", NULL};
    for (int i = 0; i < STARTS; i++) {
        pid_t pid;
        double begin = now_us();
        if (posix_spawn(&pid, argv[0], NULL, NULL, argv, no_env) != 0)
            return -1;
        (void)waitpid(pid, NULL, 0);
        took[i] = now_us() - begin;
    }
    return median(took, STARTS);
}

static bool pass_on(int from, int to)
{
    char b[SIZE];
    return recv(from, b, sizeof b, MSG_WAITALL) == SIZE &&
           send(to, b, sizeof b, MSG_NOSIGNAL) == SIZE;
}

static double bare_echo(void)
{
    static double took[ECHOES];
    char b[SIZE] = {0};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        while (pass_on(pair[1], pair[1]))
            continue;
        _exit(0);
    }
    close(pair[1]);
    for (int i = 0; i < ECHOES; i++) {
        double begin = now_us();
        if (send(pair[0], b, sizeof b, MSG_NOSIGNAL) != SIZE ||
            recv(pair[0], b, sizeof b, MSG_WAITALL) != SIZE)
            return -1;
        took[i] = now_us() - begin;
    }
    close(pair[0]);
    (void)waitpid(pid, NULL, 0);
    return median(took, ECHOES);
}

struct bench {
    struct config *cfg;
    struct plugin_list plugins;
    struct driver_pool *pool;
};

struct how {
    const char *isolation, *spare, *recycle; /* calls of a process */
};
static const struct how ready = {"best-effort", "true", "1"}, cold = {"best-effort", "false", "1"},
                        open_cold = {"off", "false", "1"},
                        kept = {"best-effort", "false", "1000000"},
                        open_kept = {"off", "false", "1000000"};

static void open_pool(struct bench *b, const char *build, const char *state, const struct how *how,
                      struct err *e)
{
    _cleanup_free_ char *dirs = str_fmt("%s/plugins", build);
    _cleanup_free_ char *host = str_fmt("%s/bin/magnum-driver-host", build);
    const char *const options[][2] = {
        {"drivers.plugin_dirs", dirs},           {"drivers.host_program", host},
        {"drivers.isolation", how->isolation},   {"drivers.spare", how->spare},
        {"drivers.recycle_calls", how->recycle}, {"driver_config." DRIVER ".state_dir", state}};
    *b = (struct bench){.cfg = NULL};
    int rc = config_load("/dev/null", &b->cfg, e);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(options); i++)
        rc = config_set(b->cfg, options[i][0], options[i][1], e);
    if (rc == 0)
        rc = plugins_scan(b->cfg, &b->plugins, e);
    if (rc == 0)
        rc = driver_pool_new(b->cfg, &b->plugins, &b->pool, e);
}

static void close_pool(struct bench *b)
{
    driver_pool_free(&b->pool);
    plugin_list_done(&b->plugins);
    config_free(&b->cfg);
}

static int call(struct bench *b, const json_t *spec, struct err *e)
{
    struct coe_result r = {0};
    const struct coe_call c = {.driver_id = DRIVER,
                               .interface = MAG_IFACE_LIFECYCLE,
                               .verb = "validate",
                               .op_kind = MAG_OP_CREATE,
                               .op_id = "op",
                               .cluster_id = "c1",
                               .project_id = "p",
                               .spec = spec,
                               .budget_ms = 20000};
    int rc = front_coe_call(b->pool, &c, &r, e);
    coe_result_done(&r);
    return rc;
}

/* Median of so many calls, with a pause between them. */
static double calls(struct bench *b, int n, int pause_ms, struct err *e)
{
    static double took[CALLS];
    char pad[SIZE];
    memset(pad, 'x', sizeof pad - 1);
    pad[sizeof pad - 1] = '\0';
    _cleanup_json_ json_t *spec =
        json_pack("{s:{s:s,s:{}},s:{s:s},s:[],s:{s:s}}", "cluster", "uuid", "c1", "labels",
                  "template", "coe", "kubernetes", "nodegroups", "params", "pad", pad);
    for (int i = 0; i < n; i++) {
        double begin = now_us();
        if (call(b, spec, e) != 0)
            return -1;
        took[i] = now_us() - begin;
        if (pause_ms)
            (void)poll(NULL, 0, pause_ms); /* conductors don't start one after the other */
    }
    return median(took, (size_t)n);
}

static double with_pool(char **argv, const struct how *how, int n, int pause_ms, struct err *e)
{
    struct bench b;
    open_pool(&b, argv[1], argv[2], how, e);
    double us = b.pool ? calls(&b, n, pause_ms, e) : -1;
    close_pool(&b);
    return us;
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    if (argc != 3) {
        fprintf(stderr, "usage: bench_driver_host BUILD-DIR STATE-DIR\n");
        return 2;
    }
    double spawn = plain_spawn(), echo = bare_echo();
    double start = with_pool(argv, &ready, STARTS, IDLE_MS, &e);
    double cold_start = with_pool(argv, &cold, STARTS, IDLE_MS, &e);
    double open_start = with_pool(argv, &open_cold, STARTS, IDLE_MS, &e);
    double kept_call = with_pool(argv, &kept, CALLS, 0, &e);
    double open_call = with_pool(argv, &open_kept, CALLS, 0, &e);
    if (start < 0 || cold_start < 0 || open_start < 0 || kept_call < 0 || open_call < 0) {
        fprintf(stderr, "bench_driver_host: %s\n", e.msg);
        return 1;
    }
    printf("{\"start_us\": %.0f, \"start_cold_us\": %.0f, \"start_open_us\": %.0f, \"spawn_us\": "
           "%.0f, "
           "\"call_us\": %.1f, \"call_open_us\": %.1f, \"echo_us\": %.1f}\n",
           start, cold_start, open_start, spawn, kept_call, open_call, echo);
    return 0;
}
