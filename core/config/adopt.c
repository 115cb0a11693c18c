/* Taking a new configuration over into the one that is in use: see config.h. Only
 * numbers change in place: texts are borrowed by who knows whom. */
#include "config/config_internal.h"

#include <stdatomic.h>
#include <string.h>

/* What the programs read again themselves: service.c the log's level, the API its files. */
static const char *const reloaded[] = {"log.level", "policy.file", "catalog.file"};

static const void *member(const struct config *c, const struct option *o)
{
    return (const char *)c + o->offset;
}

static bool same_list(const struct strv *a, const struct strv *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->v[i], b->v[i]) != 0)
            return false;
    return true;
}

static int64_t number(const struct config *c, const struct option *o)
{
    if (o->live)
        return atomic_load((const _Atomic int64_t *)member(c, o));
    return *(const int64_t *)member(c, o);
}

static bool same(const struct config *a, const struct config *b, const struct option *o)
{
    switch (o->kind) {
    case OPTION_STR:
        return str_eq(*(char *const *)member(a, o), *(char *const *)member(b, o));
    case OPTION_INT:
        return number(a, o) == number(b, o);
    case OPTION_BOOL:
        return *(const bool *)member(a, o) == *(const bool *)member(b, o);
    case OPTION_LIST:
        return same_list(member(a, o), member(b, o));
    }
    return true;
}

static int note(struct strv *ret, const struct option *o, struct err *e)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", o->section, o->name);
    for (size_t i = 0; i < ARRAY_LEN(reloaded); i++)
        if (strcmp(name, reloaded[i]) == 0)
            return 0;
    return strv_add(ret, name) < 0 ? err_nomem(e) : 0;
}

int config_restart(const struct config *used, const struct config *fresh, struct strv *ret,
                   struct err *e)
{
    for (size_t i = 0; i < config_options_len; i++) {
        const struct option *o = &config_options[i];
        int rc = o->live || same(used, fresh, o) ? 0 : note(ret, o, e);
        if (rc < 0)
            return rc;
    }
    bool drivers = json_equal(used->driver_config, fresh->driver_config);
    return drivers || strv_add(ret, "driver_config") == 0 ? 0 : err_nomem(e);
}

void config_adopt(struct config *used, const struct config *fresh)
{
    for (size_t i = 0; i < config_options_len; i++) {
        const struct option *o = &config_options[i];
        if (o->live)
            atomic_store((_Atomic int64_t *)(void *)((char *)used + o->offset), number(fresh, o));
    }
}
