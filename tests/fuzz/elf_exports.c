/* Shared objects as data: any bytes give an answer. */
#include "host/elf_exports.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static int each(void *ctx, const char *name)
{
    *(size_t *)ctx += strlen(name);
    return 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    size_t total = 0;
    char why[ELF_WHY] = "";
    if (elf_exports(data, size, each, &total, why) < 0 && !why[0])
        abort();
    (void)elf_imports(data, size, each, &total, why);
    (void)elf_needed(data, size, each, &total, why);
    return 0;
}
