/* Manifests: accepted ones are complete, refused ones say why and leave nothing behind. */
#include "drivers/manifest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct plugin p = {0};
    struct err e = ERR_INIT;
    if (manifest_parse((const char *)data, size, &p, &e) != 0) {
        if (!e.msg[0] || p.id || p.manifest)
            abort();
        return 0;
    }
    if (!p.id || !p.kind || !p.name || !p.version || !p.vendor || !p.maturity || !p.library_path ||
        strchr(p.library_path, '/'))
        abort();
    plugin_done(&p);
    return 0;
}
