/* Bundles of drivers: whatever the bytes are, they are taken apart or refused. */
#include "drivers/bundle.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct bundle b = {.n = 0};
    struct err e = ERR_INIT;
    char *bytes = malloc(size ? size : 1);
    if (!bytes)
        return 0;
    memcpy(bytes, data, size);
    if (bundle_parse(bytes, size, &b, &e) != 0) /* frees the bytes */
        return 0;
    for (size_t i = 0; i < b.n; i++)
        if (bundle_find(&b, b.v[i].name) != &b.v[i] || strstr(b.v[i].name, "..") ||
            b.v[i].name[0] == '/')
            abort();
    bundle_done(&b);
    return 0;
}
