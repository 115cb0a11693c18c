/* See record.h. */
#include "lib/local/record.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/json.h"
#include "lib/local/files.h"

#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>

static bool boot_id(char ret[40])
{
    _mag_free_ char *text = NULL;
    if (mag_read_file("/proc/sys/kernel/random/boot_id", 64, &text, NULL) != MAG_OK)
        return false;
    text[strcspn(text, "\n")] = '\0';
    return snprintf(ret, 40, "%s", text) < 40;
}

/* State letter and start time (fields 3 and 22); the command name before may hold anything. */
static bool proc_stat(pid_t pid, char *ret_state, uint64_t *ret_start)
{
    char path[64];
    _mag_free_ char *text = NULL;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (mag_read_file(path, 4096, &text, NULL) != MAG_OK)
        return false;
    const char *p = strrchr(text, ')');
    unsigned long long start;
    if (!p || sscanf(p + 1,
                     " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                     "%*s %llu",
                     ret_state, &start) != 2)
        return false;
    *ret_start = start;
    return true;
}

void mag_record_read(const char *base, struct mag_node_record *ret)
{
    char path[512];
    _mag_free_ char *text = NULL;
    _mag_json_ json_t *j = NULL;
    memset(ret, 0, sizeof *ret);
    (void)snprintf(path, sizeof path, "%s/node.json", base);
    if (mag_read_file(path, 4096, &text, NULL) != MAG_OK ||
        mag_json_parse(mag_text(text), path, &j, NULL) != MAG_OK)
        return;
    int64_t pid = mag_json_int(j, "pid", 0), port = mag_json_int(j, "port", 0);
    ret->pid = pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
    ret->port = port > 0 && port < 65536 ? (unsigned)port : 0;
    ret->start = (uint64_t)mag_json_int(j, "start", 0);
    (void)snprintf(ret->boot, sizeof ret->boot, "%s", mag_json_text(j, "boot", ""));
}

int32_t mag_record_write(const char *base, const struct mag_node_record *r, mag_error *err)
{
    char path[512], text[256];
    int32_t rc = mag_path(path, sizeof path, err, "%s/node.json", base);
    if (rc != MAG_OK)
        return rc;
    (void)snprintf(text, sizeof text,
                   "{\"v\": 1, \"pid\": %d, \"start\": %llu, \"boot\": \"%s\", \"port\": %u}\n",
                   (int)r->pid, (unsigned long long)r->start, r->boot, r->port);
    return mag_write_file(path, mag_text(text), 0600, err);
}

int32_t mag_record_of(pid_t pid, struct mag_node_record *ret, mag_error *err)
{
    char state;
    if (!proc_stat(pid, &state, &ret->start) || !boot_id(ret->boot))
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "NoProcess", NULL,
                        "Process %d can't be looked at", (int)pid);
    ret->pid = pid;
    return MAG_OK;
}

int64_t mag_record_age_ms(const struct mag_node_record *r)
{
    struct timespec t;
    long hz = sysconf(_SC_CLK_TCK);
    if (!r->pid || hz <= 0 || clock_gettime(CLOCK_BOOTTIME, &t) < 0)
        return INT64_MAX;
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 - (int64_t)r->start * 1000 / (int64_t)hz;
}

int mag_record_pidfd(const struct mag_node_record *r)
{
    char boot[40], state;
    uint64_t start;
    if (r->pid <= 1 || !boot_id(boot) || strcmp(boot, r->boot) != 0)
        return -1;
    /* The pidfd first: what is read afterwards belongs to the process it pins. */
    _mag_close_ int fd = pidfd_open(r->pid, 0);
    if (fd < 0 || !proc_stat(r->pid, &state, &start) || start != r->start || state == 'Z' ||
        state == 'X')
        return -1;
    int out = fd;
    fd = -1;
    return out;
}
