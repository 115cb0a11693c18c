/* What the kernel knows of this process, under the names that Prometheus' own libraries give it.
 * What can't be read is left as it was. See metrics.h. */
#include "base/metrics_internal.h"

#include <dirent.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

enum { FIELDS = 22 };

/* Fields 3... of /proc/self/stat as numbers; the name before them may hold anything but ends with
 * the last parenthesis. */
static bool read_stat(unsigned long long ret[FIELDS])
{
    char line[1024];
    _cleanup_fclose_ FILE *f = fopen("/proc/self/stat", "re");
    char *p = f && fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
    if (!p || strlen(p) < 4)
        return false;
    p += 4; /* ") S" */
    for (int i = 0; i < FIELDS; i++)
        ret[i] = strtoull(p, &p, 10);
    return true;
}

/* Newer kernels say the number; else they are counted. */
static double open_files(void)
{
    struct stat st;
    double n = 0;
    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
        return (double)st.st_size;
    DIR *d = opendir("/proc/self/fd");
    for (const struct dirent *x; d && (x = readdir(d));)
        n += x->d_name[0] != '.';
    if (d)
        (void)closedir(d);
    return n > 0 ? n - 1 : 0; /* the one that was looked with */
}

static double boot_time(void)
{
    struct timespec boot, wall;
    clock_gettime(CLOCK_BOOTTIME, &boot);
    clock_gettime(CLOCK_REALTIME, &wall);
    return (double)(wall.tv_sec - boot.tv_sec) + (double)(wall.tv_nsec - boot.tv_nsec) / 1e9;
}

void metrics_process(void)
{
    /* counted from field 4: 20 threads, 22 start, 23 virtual, 24 resident */
    enum { THREADS = 20 - 4, START = 22 - 4, VIRTUAL = 23 - 4, RESIDENT = 24 - 4 };
    unsigned long long v[FIELDS];
    struct rusage use;
    struct rlimit files;
    if (getrusage(RUSAGE_SELF, &use) == 0)
        metrics_set(METRIC_PROCESS_CPU,
                    (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                        (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6,
                    NULL);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        metrics_set(METRIC_PROCESS_MAX_FDS, (double)files.rlim_cur, NULL);
    metrics_set(METRIC_PROCESS_OPEN_FDS, open_files(), NULL);
    if (!read_stat(v))
        return;
    metrics_set(METRIC_PROCESS_THREADS, (double)v[THREADS], NULL);
    metrics_set(METRIC_PROCESS_VIRTUAL, (double)v[VIRTUAL], NULL);
    metrics_set(METRIC_PROCESS_RESIDENT, (double)v[RESIDENT] * (double)sysconf(_SC_PAGESIZE), NULL);
    static _Atomic double started; /* worked out once, for clocks are set */
    if (atomic_load(&started) == 0)
        atomic_store(&started, boot_time() + (double)v[START] / (double)sysconf(_SC_CLK_TCK));
    metrics_set(METRIC_PROCESS_START, atomic_load(&started), NULL);
}
