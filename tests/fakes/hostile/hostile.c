/* A driver that does harm: spec.params.mode says which. What it got is its output "report".
 * Neighbours: hostile.h. */
#include "hostile.h"

#include <magnum/lifecycle.h>

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONNECTION = 3 };

static const struct {
    const char *mode;
    json_t *(*harm)(const json_t *p);
} harms[] = {{"memory", harm_memory}, {"files", harm_files},
             {"kill", harm_kill},     {"state", harm_state},
             {"rights", harm_rights}, {"network", harm_network},
             {"forks", harm_forks},   {"threads", harm_threads},
             {"hog", harm_hog},       {"shared_hog", harm_shared_hog},
             {"fds", harm_fds},       {"disk", harm_disk},
             {"log", harm_log},       {"orphans", harm_orphans}};

/* Frames that are none: length (big endian), type, call id, payload. */
static const struct {
    const char *mode, *bytes;
    size_t len;
} frames[] = {{"frame_garbage", "\xde\xad\xbe\xef\xde\xad\xbe\xef\xde\xad\xbe\xef", 12},
              {"frame_oversized", "\xff\xff\xff\xff\x03\x00\x00\x00\x01", 9},
              {"frame_wrong_id", "\x00\x00\x00\x02\x03\x7f\xff\xff\xff{}", 11},
              {"frame_wrong_type", "\x00\x00\x00\x02\x02\x00\x00\x00\x01{}", 11},
              {"frame_bad_json", "\x00\x00\x00\x02\x03\x00\x00\x00\x01{[", 11},
              {"frame_half", "\x00\x00\x10\x00\x03\x00\x00\x00\x01{", 10}};

static int32_t make(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    const mag_host *host = *(const mag_host **)self;
    json_t *spec = json_loadb(op->spec.data, (size_t)op->spec.len, 0, NULL);
    const json_t *params = json_object_get(spec, "params");
    const char *mode = json_string_value(json_object_get(params, "mode"));
    json_t *report = NULL;
    /* Were it not shut in, some of it would end the machine that the test runs on. */
    bool safe = getpid() == 1 || (mode && strcmp(mode, "fds") == 0);
    (void)out;
    for (size_t i = 0; mode && safe && i < sizeof harms / sizeof *harms; i++)
        if (strcmp(harms[i].mode, mode) == 0)
            report = harms[i].harm(params);
    for (size_t i = 0; mode && i < sizeof frames / sizeof *frames; i++)
        if (strcmp(frames[i].mode, mode) == 0) {
            (void)!write(CONNECTION, frames[i].bytes, frames[i].len);
            (void)poll(NULL, 0, -1);
        }
    char *text = json_dumps(report, JSON_COMPACT);
    int32_t rc = MAG_OK;
    if (text)
        rc = host->output(host->ctx, op, "report", (mag_bytes){text, strlen(text)}, err);
    free(text);
    json_decref(report);
    json_decref(spec);
    return rc;
}

static int32_t create(const mag_host *host, void **self, mag_error *err)
{
    const mag_host **kept = malloc(sizeof *kept);
    (void)err;
    *kept = host;
    *self = kept;
    return MAG_OK;
}

static const void *get_interface(void *self, const char *id)
{
    static const mag_lifecycle lifecycle = {
        .struct_size = sizeof lifecycle, .create = make, .remove = make};
    (void)self;
    return strcmp(id, MAG_IFACE_LIFECYCLE) == 0 ? &lifecycle : NULL;
}

const mag_plugin *mag_plugin_entry(uint32_t host_major, uint32_t host_minor)
{
    static const mag_plugin plugin = {.magic = MAG_PLUGIN_MAGIC,
                                      .struct_size = sizeof plugin,
                                      .abi_major = MAG_ABI_MAJOR,
                                      .abi_minor = MAG_ABI_MINOR,
                                      .id = HOSTILE_ID,
                                      .version = "1.0.0",
                                      .vendor = "Nobody",
                                      .create = create,
                                      .destroy = free,
                                      .get_interface = get_interface};
    (void)host_minor;
    return host_major == MAG_ABI_MAJOR ? &plugin : NULL;
}
