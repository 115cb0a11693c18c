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

static int find_dynsym(const struct image *f, const Elf64_Ehdr *h, Elf64_Shdr *symbols,
                       Elf64_Shdr *names, char *why)
{
    for (uint16_t i = 0; i < h->e_shnum; i++) {
        if (!take(f, h->e_shoff + (uint64_t)i * sizeof *symbols, symbols, sizeof *symbols))
            break;
        if (symbols->sh_type != SHT_DYNSYM)
            continue;
        if (symbols->sh_entsize == sizeof(Elf64_Sym) && symbols->sh_link < h->e_shnum &&
            take(f, h->e_shoff + (uint64_t)symbols->sh_link * sizeof *names, names, sizeof *names))
            return 1;
        break;
    }
    snprintf(why, ELF_WHY, "no readable dynamic symbol table");
    return 0;
}

/* The symbol's name inside the file, NULL when it is not terminated within its table. */
static const char *symbol_name(const struct image *f, const Elf64_Shdr *names, uint32_t at)
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

long elf_exports(const void *file, size_t size, int (*each)(void *ctx, const char *name), void *ctx,
                 char why[ELF_WHY])
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
        if (!exported(&s))
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
