/* A configuration file: refused with one line that names the file, or a configuration in which
 * every option has a value and every text can be set again. */
#include "config/config.h"
#include "base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static int fd = -1;
static char path[64];

static void put(const unsigned char *data, size_t size)
{
    if (fd < 0) {
        fd = memfd_create("magnum.yaml", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
}

static void set_again(struct config *c)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *text = c->api_host ? strdup(c->api_host) : NULL;
    if (!text || config_set(c, "api.host", text, &e) < 0 || strcmp(text, c->api_host) != 0)
        abort();
    if (config_check(c, &e) < 0 || !json_is_object(c->driver_config))
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct config *c = NULL;
    struct err e = ERR_INIT;
    put(data, size);
    int rc = config_load(path, &c, &e);
    if ((rc < 0) != (c == NULL) || (rc < 0 && (!e.msg[0] || strchr(e.msg, '\n'))))
        abort();
    if (rc == 0)
        set_again(c);
    config_free(&c);
    return 0;
}
