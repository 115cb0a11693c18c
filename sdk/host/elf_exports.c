/* See elf_exports.h. */
#include "host/elf_exports.h"

#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct image {
    const unsigned char *data;
    size_t size;
};

/* Copies an object out of the file (which may be misaligned); 0 when it lies beyond the end. */
static int take(const struct image *f, uint64_t at, void *to, size_t size)
{
    if (at > f->size || size > f->size - at)
        return 0;
    memcpy(to, f->data + at, size);
    return 1;
}

static int read_header(const struct image *f, Elf64_Ehdr *h, char *why)
{
    if (!take(f, 0, h, sizeof *h) || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
        snprintf(why, ELF_WHY, "not an ELF file");
    else if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB)
        snprintf(why, ELF_WHY, "not a 64-bit little-endian ELF file");
    else if (h->e_type != ET_DYN)
        snprintf(why, ELF_WHY, "not a shared object");
    else if (h->e_shoff == 0 || h->e_shentsize != sizeof(Elf64_Shdr))
        snprintf(why, ELF_WHY, "no section table: the dynamic symbols can't be read");
    else
        return 1;
    return 0;
}

/* The first section of a type, with the section its texts are in. */
static int find_section(const struct image *f, const Elf64_Ehdr *h, uint32_t type, uint64_t entry,
                        Elf64_Shdr *found, Elf64_Shdr *names)
{
    for (uint16_t i = 0; i < h->e_shnum; i++) {
        if (!take(f, h->e_shoff + (uint64_t)i * sizeof *found, found, sizeof *found))
            return 0;
        if (found->sh_type == type)
            return found->sh_entsize == entry && found->sh_link < h->e_shnum &&
                   take(f, h->e_shoff + (uint64_t)found->sh_link * sizeof *names, names,
                        sizeof *names);
    }
    return 0;
}

static int find_dynsym(const struct image *f, const Elf64_Ehdr *h, Elf64_Shdr *symbols,
                       Elf64_Shdr *names, char *why)
{
    if (find_section(f, h, SHT_DYNSYM, sizeof(Elf64_Sym), symbols, names))
        return 1;
    snprintf(why, ELF_WHY, "no readable dynamic symbol table");
    return 0;
}

/* The symbol's name inside the file, NULL when it is not terminated within its table. */
static const char *symbol_name(const struct image *f, const Elf64_Shdr *names, uint64_t at)
{
    if (names->sh_offset > f->size || names->sh_size > f->size - names->sh_offset ||
        at >= names->sh_size)
        return NULL;
    const char *s = (const char *)f->data + names->sh_offset + at;
    return memchr(s, '\0', (size_t)(names->sh_size - at)) ? s : NULL;
}

static int exported(const Elf64_Sym *s)
{
    unsigned bind = ELF64_ST_BIND(s->st_info), visibility = ELF64_ST_VISIBILITY(s->st_other);
    return s->st_shndx != SHN_UNDEF && bind != STB_LOCAL &&
           (visibility == STV_DEFAULT || visibility == STV_PROTECTED);
}

/* Whatever the library leaves to others; the first entry of every table is empty. */
static int imported(const Elf64_Sym *s)
{
    return s->st_shndx == SHN_UNDEF && s->st_name != 0;
}

static long each_symbol(const void *file, size_t size, int (*wanted)(const Elf64_Sym *s),
                        int (*each)(void *ctx, const char *name), void *ctx, char why[ELF_WHY])
{
    const struct image f = {.data = file, .size = size};
    Elf64_Ehdr h;
    Elf64_Shdr symbols, names;
    if (!read_header(&f, &h, why) || !find_dynsym(&f, &h, &symbols, &names, why))
        return -1;
    long count = 0;
    for (uint64_t i = 0; i < symbols.sh_size / sizeof(Elf64_Sym); i++) {
        Elf64_Sym s;
        if (symbols.sh_offset > size || !take(&f, symbols.sh_offset + i * sizeof s, &s, sizeof s)) {
            snprintf(why, ELF_WHY, "the dynamic symbol table is cut off");
            return -1;
        }
        if (!wanted(&s))
            continue;
        const char *name = symbol_name(&f, &names, s.st_name);
        if (!name) {
            snprintf(why, ELF_WHY, "a dynamic symbol has no readable name");
            return -1;
        }
        count++;
        if (each(ctx, name) != 0)
            break;
    }
    return count;
}

long elf_exports(const void *file, size_t size, int (*each)(void *ctx, const char *name), void *ctx,
                 char why[ELF_WHY])
{
    return each_symbol(file, size, exported, each, ctx, why);
}

long elf_imports(const void *file, size_t size, int (*each)(void *ctx, const char *name), void *ctx,
                 char why[ELF_WHY])
{
    return each_symbol(file, size, imported, each, ctx, why);
}

long elf_needed(const void *file, size_t size, int (*each)(void *ctx, const char *name), void *ctx,
                char why[ELF_WHY])
{
    const struct image f = {.data = file, .size = size};
    Elf64_Ehdr h;
    Elf64_Shdr dynamic, names;
    Elf64_Dyn d;
    long count = 0;
    if (!read_header(&f, &h, why))
        return -1;
    if (!find_section(&f, &h, SHT_DYNAMIC, sizeof d, &dynamic, &names)) {
        snprintf(why, ELF_WHY, "no readable dynamic section");
        return -1;
    }
    for (uint64_t i = 0; i < dynamic.sh_size / sizeof d && dynamic.sh_offset <= size; i++) {
        if (!take(&f, dynamic.sh_offset + i * sizeof d, &d, sizeof d) || d.d_tag == DT_NULL)
            break;
        const char *name = d.d_tag == DT_NEEDED ? symbol_name(&f, &names, d.d_un.d_val) : NULL;
        if (!name)
            continue;
        count++;
        if (each(ctx, name) != 0)
            break;
    }
    return count;
}
