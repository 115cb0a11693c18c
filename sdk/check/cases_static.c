/* What can be said of the file and its manifest without running any operation. */
#include "check.h"

#include "host/elf_exports.h"

#include <elf.h>
#include <string.h>

static void manifest(struct kit *k, struct verdict *v)
{
    struct err e = ERR_INIT;
    _cleanup_strv_ struct strv unknown = STRV_INIT;
    if (k->plugin->problem) {
        verdict_fail(v, "%s", k->plugin->problem);
        return;
    }
    if (manifest_unknown(k->plugin->manifest, &unknown, &e) != 0)
        verdict_fail(v, "%s", e.msg);
    else if (unknown.n)
        verdict_fail(v, "member '%s' is not known: misspelt, or of a later version", unknown.v[0]);
}

static int only_entry(void *ctx, const char *name)
{
    const char **other = ctx;
    if (strcmp(name, "mag_plugin_entry") == 0)
        return 0;
    *other = name;
    return 1;
}

static void exports(struct kit *k, struct verdict *v)
{
    _cleanup_free_ char *file = NULL;
    size_t len = 0;
    char why[ELF_WHY];
    const char *other = NULL;
    if (kit_read_library(k, &file, &len, v) != 0)
        return;
    long n = elf_exports(file, len, only_entry, &other, why);
    if (n < 0)
        verdict_fail(v, "%s", why);
    else if (other)
        verdict_fail(v, "it exports %.100s as well; build with -fvisibility=hidden", other);
    else if (n != 1)
        verdict_fail(v, "it exports %ld symbols instead of mag_plugin_entry alone", n);
}

/* Offsets are checked: the file may be anything. */
static const void *at(const char *file, size_t len, uint64_t offset, uint64_t size)
{
    return offset <= len && size <= len - offset ? file + offset : NULL;
}

static bool binds_now(const char *file, size_t len, const Elf64_Phdr *dynamic)
{
    for (uint64_t i = 0; i + sizeof(Elf64_Dyn) <= dynamic->p_filesz; i += sizeof(Elf64_Dyn)) {
        const void *p = at(file, len, dynamic->p_offset + i, sizeof(Elf64_Dyn));
        Elf64_Dyn d;
        if (!p)
            return false;
        memcpy(&d, p, sizeof d);
        if (d.d_tag == DT_BIND_NOW || (d.d_tag == DT_FLAGS && d.d_un.d_val & DF_BIND_NOW) ||
            (d.d_tag == DT_FLAGS_1 && d.d_un.d_val & DF_1_NOW))
            return true;
        if (d.d_tag == DT_NULL)
            return false;
    }
    return false;
}

static void hardened(struct kit *k, struct verdict *v)
{
    _cleanup_free_ char *file = NULL;
    size_t len = 0;
    bool relro = false, now = false, exec_stack = false;
    if (kit_read_library(k, &file, &len, v) != 0)
        return;
    const void *head = at(file, len, 0, sizeof(Elf64_Ehdr));
    Elf64_Ehdr eh;
    if (!head) {
        verdict_fail(v, "it is no ELF file");
        return;
    }
    memcpy(&eh, head, sizeof eh);
    for (unsigned i = 0; i < eh.e_phnum; i++) {
        const void *p =
            at(file, len, eh.e_phoff + (uint64_t)i * eh.e_phentsize, sizeof(Elf64_Phdr));
        Elf64_Phdr ph;
        if (!p)
            break;
        memcpy(&ph, p, sizeof ph);
        relro |= ph.p_type == PT_GNU_RELRO;
        exec_stack |= ph.p_type == PT_GNU_STACK && ph.p_flags & PF_X;
        now |= ph.p_type == PT_DYNAMIC && binds_now(file, len, &ph);
    }
    if (!relro || !now)
        verdict_fail(v, "link with -Wl,-z,relro,-z,now");
    else if (exec_stack)
        verdict_fail(v, "its stack is executable; link with -Wl,-z,noexecstack");
}

/* Library, manifest and interfaces are compared by the host when it loads them. */
static void loads(struct kit *k, struct verdict *v)
{
    struct err e = ERR_INIT;
    char why[512];
    bool ready = false;
    if (front_coe_probe(k->pool, k->plugin->id, &ready, why, &e) != 0)
        verdict_fail(v, "%s", e.msg);
    else if (!ready)
        verdict_fail(v, "it says that it can't work on this machine: %s", why);
}

static void loads_often(struct kit *k, struct verdict *v)
{
    enum { TIMES = 50 };
    for (int i = 0; i < TIMES && v->outcome == CHECK_OK; i++)
        loads(k, v);
}

const struct check_case cases_static[] = {{"static", "manifest", manifest},
                                          {"static", "exports", exports},
                                          {"static", "hardened", hardened},
                                          {"handshake", "loads", loads},
                                          {"handshake", "loads_often", loads_often}};
const size_t cases_static_count = ARRAY_LEN(cases_static);
