/* A driver that makes nothing and says much: lines by the host's log and lines it prints, with
 * bytes that no log should show as they are. For tests/system/test_logs.py. */
#include <magnum/lifecycle.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const mag_host *host;

static int32_t say(const mag_op *op, const char *verb)
{
    char text[256];
    snprintf(text, sizeof text, "told %s %s \"}\\\x01\n\xff\xc3( end", verb, op->op_id);
    host->log(host->ctx, MAG_LOG_WARNING, text);
    snprintf(text, sizeof text, "printed %s %s \x1b[31m\xff\"\\ end\n", verb, op->op_id);
    return write(STDOUT_FILENO, text, strlen(text)) < 0 ? MAG_E_INTERNAL : MAG_OK;
}

static int32_t converge(void *self, const mag_op *op, mag_step *out, mag_error *e)
{
    (void)self;
    (void)out;
    (void)e;
    return say(op, "create");
}

static int32_t talker_remove(void *self, const mag_op *op, mag_step *out, mag_error *e)
{
    (void)self;
    (void)out;
    (void)e;
    return say(op, "delete");
}

static int32_t talker_validate(void *self, const mag_op *op, mag_error *e)
{
    (void)self;
    (void)e;
    return say(op, "validate");
}

static int32_t health(void *self, const mag_op *op, mag_step *out, mag_error *e)
{
    (void)self;
    (void)out;
    return host->output(host->ctx, op, "health_status", (mag_bytes){"\"HEALTHY\"", 9}, e);
}

static int32_t talker_create(const mag_host *h, void **self, mag_error *e)
{
    (void)e;
    host = h;
    *self = &host;
    return MAG_OK;
}

static void talker_destroy(void *self)
{
    (void)self;
}

static int32_t talker_probe(void *self, mag_error *e)
{
    (void)self;
    (void)e;
    return MAG_OK;
}

static const void *talker_interface(void *self, const char *id)
{
    static const mag_lifecycle lifecycle = {.struct_size = sizeof lifecycle,
                                            .validate = talker_validate,
                                            .create = converge,
                                            .update = converge,
                                            .remove = talker_remove,
                                            .scale = converge,
                                            .health = health};
    (void)self;
    return strcmp(id, MAG_IFACE_LIFECYCLE) == 0 ? &lifecycle : NULL;
}

const mag_plugin *mag_plugin_entry(uint32_t host_major, uint32_t host_minor)
{
    static const mag_plugin plugin = {.magic = MAG_PLUGIN_MAGIC,
                                      .struct_size = sizeof plugin,
                                      .abi_major = MAG_ABI_MAJOR,
                                      .abi_minor = MAG_ABI_MINOR,
                                      .id = "test.talker",
                                      .version = "1.0.0",
                                      .vendor = "Tests",
                                      .create = talker_create,
                                      .destroy = talker_destroy,
                                      .probe = talker_probe,
                                      .get_interface = talker_interface};
    (void)host_minor;
    return host_major == MAG_ABI_MAJOR ? &plugin : NULL;
}
