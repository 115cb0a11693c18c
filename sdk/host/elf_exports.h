/* host/elf_exports.h - reads a shared object as data, without running any of it: which dynamic
 * symbols it defines, and which it wants from others. For `magnum-driver-manage verify` and the
 * check kit. 64-bit little-endian ELF with a section table; every offset is checked.
 * Pure; neighbours: core/cmd, the check kit, the fuzzer. */
#ifndef MAGNUM_HOST_ELF_EXPORTS_H
#define MAGNUM_HOST_ELF_EXPORTS_H

#include <stddef.h>

enum { ELF_WHY = 160 };

/* Calls `each` for every symbol the file exports; stops when it returns non-zero. The number of
 * exports, or -1 with `why` when the file is not such a library. */
long elf_exports(const void *file, size_t size, int (*each)(void *ctx, const char *name), void *ctx,
                 char why[ELF_WHY]);
/* The same of what it imports. */
long elf_imports(const void *file, size_t size, int (*each)(void *ctx, const char *name), void *ctx,
                 char why[ELF_WHY]);
/* And of the libraries it names (DT_NEEDED). */
long elf_needed(const void *file, size_t size, int (*each)(void *ctx, const char *name), void *ctx,
                char why[ELF_WHY]);

#endif
