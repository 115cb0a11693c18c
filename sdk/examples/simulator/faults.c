/* Labels and misbehaviour on demand. How often a fault happened is kept in a file, so that "once"
 * means once even when the process dies of it. See sim.h. */
#include "sim.h"

#include <poll.h>
#include <signal.h>
#include <string.h>

enum { MAX_STEP = 1000000, MAX_MS = 9999999, MIB = 1 << 20 };

int32_t sim_labels_read(const json_t *spec, bool strict, struct sim_labels *r, mag_error *err)
{
    *r = (struct sim_labels){.steps = 3,
                             .step_ms = 20,
                             .faults = {.kind = "create",
                                        .fail_times = 1,
                                        .crash_times = 1,
                                        .hang_times = 1,
                                        .fail_code = "INTERNAL"}};
    struct sim_faults *f = &r->faults;
    struct mag_labels l = mag_labels_of(spec, NULL);
    const struct {
        const char *name;
        int64_t min, max;
        int64_t *to;
    } numbers[] = {{"sim_steps", 1, 1000, &r->steps},
                   {"sim_step_ms", 0, MAX_MS, &r->step_ms},
                   {"sim_leave", 0, 1000, &r->leave},
                   {"sim_fail_at_step", 0, MAX_STEP, &f->fail_at},
                   {"sim_fail_times", 0, MAX_STEP, &f->fail_times},
                   {"sim_crash_at_step", 0, MAX_STEP, &f->crash_at},
                   {"sim_crash_times", 0, MAX_STEP, &f->crash_times},
                   {"sim_hang_at_step", 0, MAX_STEP, &f->hang_at},
                   {"sim_hang_times", 0, MAX_STEP, &f->hang_times},
                   {"sim_leak", 0, 4096, &f->leak_mb}};
    const struct {
        const char *name;
        size_t cap;
        char *to;
    } texts[] = {{"sim_fail_kind", sizeof f->kind, f->kind},
                 {"sim_fail_code", sizeof f->fail_code, f->fail_code},
                 {"sim_health", sizeof r->health, r->health},
                 {"sim_validate_fail", sizeof r->validate_fail, r->validate_fail}};
    for (size_t i = 0; i < MAG_LEN(numbers); i++) {
        int64_t value = *numbers[i].to;
        int32_t rc =
            mag_label_int(l, numbers[i].name, numbers[i].min, numbers[i].max, value, &value, err);
        if (rc == MAG_OK)
            *numbers[i].to = value;
        else if (strict)
            return rc;
    }
    for (size_t i = 0; i < MAG_LEN(texts); i++) {
        char value[256];
        int32_t rc = mag_label_text(l, texts[i].name, texts[i].to, value, texts[i].cap, err);
        if (rc == MAG_OK)
            memcpy(texts[i].to, value, strlen(value) + 1);
        else if (strict)
            return rc;
    }
    int32_t rc = mag_label_bool(l, "sim_lie_progress", false, &r->lie, err);
    return strict ? rc : MAG_OK;
}

static const struct {
    const char *name;
    int32_t code;
    uint32_t flags;
} codes[] = {{"INVALID", MAG_E_INVALID, MAG_ERR_USER},
             {"NOT_FOUND", MAG_E_NOT_FOUND, 0},
             {"EXISTS", MAG_E_EXISTS, MAG_ERR_OPERATOR},
             {"BUSY", MAG_E_BUSY, MAG_ERR_RETRYABLE},
             {"DENIED", MAG_E_DENIED, MAG_ERR_OPERATOR},
             {"AUTH", MAG_E_AUTH, MAG_ERR_RETRYABLE},
             {"QUOTA", MAG_E_QUOTA, MAG_ERR_USER},
             {"UNAVAILABLE", MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE},
             {"TIMEOUT", MAG_E_TIMEOUT, MAG_ERR_RETRYABLE},
             {"CANCELLED", MAG_E_CANCELLED, 0},
             {"UNSUPPORTED", MAG_E_UNSUPPORTED, 0},
             {"PRECONDITION", MAG_E_PRECONDITION, 0},
             {"INTERNAL", MAG_E_INTERNAL, 0}};

static int32_t fail_as(const char *name, int64_t step, mag_error *err)
{
    size_t i = 0;
    while (i + 1 < MAG_LEN(codes) && strcmp(codes[i].name, name) != 0)
        i++;
    return mag_fail(err, codes[i].code, codes[i].flags, "SimulatedFailure",
                    "Remove the label sim_fail_at_step.",
                    "The simulator fails with %s in step %lld, as its labels ask", codes[i].name,
                    (long long)step);
}

/* True when the fault is due: counted before it happens, for a crash can't count itself. */
static int32_t due(const char *dir, const char *what, int64_t at, int64_t step, int64_t times,
                   bool *ret, mag_error *err)
{
    *ret = false;
    if (at == 0 || at != step)
        return MAG_OK;
    _mag_json_ json_t *counts = sim_read_file(dir, "faults.json");
    if (!json_is_object(counts)) {
        json_decref(counts);
        counts = json_object();
    }
    int64_t n = mag_json_int(counts, what, 0);
    if (times != 0 && n >= times)
        return MAG_OK;
    if (json_object_set_new(counts, what, json_integer(n + 1)) < 0)
        return mag_fail_nomem(err);
    int32_t rc = sim_write_file(dir, "faults.json", counts, err);
    *ret = rc == MAG_OK;
    return rc;
}

/* Leaked for good, but still reachable: a leak detector has nothing to say, the RSS has. */
static void leak(int64_t mib)
{
    static void **chain;
    for (int64_t i = 0; i < mib; i++) {
        void **block = malloc(MIB);
        if (!block)
            return;
        memset(block, 1, MIB);
        *block = chain;
        chain = block;
    }
}

/* "rotate" stands for all verbs of mag.coe.rotate/1. */
static bool meant(const char *asked, const char *kind)
{
    static const char *const rotation[] = {"ca_prepare", "ca_complete", "credential"};
    bool meant = strcmp(asked, "any") == 0 || strcmp(asked, kind) == 0;
    for (size_t i = 0; !meant && i < MAG_LEN(rotation); i++)
        meant = strcmp(asked, "rotate") == 0 && strcmp(kind, rotation[i]) == 0;
    return meant;
}

int32_t sim_faults_apply(const struct sim_faults *f, const char *dir, const char *kind,
                         int64_t step, mag_error *err)
{
    bool crash, hang, fail;
    leak(f->leak_mb);
    if (!meant(f->kind, kind))
        return MAG_OK;
    int32_t rc = due(dir, "crash", f->crash_at, step, f->crash_times, &crash, err);
    if (rc == MAG_OK && crash)
        raise(SIGSEGV);
    if (rc == MAG_OK)
        rc = due(dir, "hang", f->hang_at, step, f->hang_times, &hang, err);
    while (rc == MAG_OK && hang)
        (void)poll(NULL, 0, -1);
    if (rc == MAG_OK)
        rc = due(dir, "fail", f->fail_at, step, f->fail_times, &fail, err);
    return rc == MAG_OK && fail ? fail_as(f->fail_code, step, err) : rc;
}
