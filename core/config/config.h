/* Configuration: every option is declared once in options.def (section, name, type, default,
 * limits, help). From that list come the typed struct below, the YAML reader, the checks, the
 * generated sample file (`magnum-status config sample`) and docs/configuration.md.
 *
 * File format: YAML, one mapping of sections, each a mapping of options. An unknown section or
 * option, a wrong type or a value out of range is an error that names file, line and the fix.
 * Environment: MAGNUM_CONFIG names the file; MAGNUM_<SECTION>_<NAME> overrides one option.
 * Neighbours: cmd loads it and hands it down; everybody else gets `const struct config *`. */
#ifndef MAGNUM_CONFIG_CONFIG_H
#define MAGNUM_CONFIG_CONFIG_H

#include "base/err.h"
#include "base/str.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* OPT_STR: char * (never NULL, "" = unset); OPT_INT: int64_t; OPT_LIVE: the same, and may change
 * while the program runs; OPT_BOOL: bool;
 * OPT_LIST: struct strv (YAML list, or comma separated text). Member name: <section>_<name>. */
struct config {
#define OPT_STR(section, name, def, help) char *section##_##name;
#define OPT_INT(section, name, def, min, max, help) int64_t section##_##name;
#define OPT_LIVE(section, name, def, min, max, help) _Atomic int64_t section##_##name;
#define OPT_BOOL(section, name, def, help) bool section##_##name;
#define OPT_LIST(section, name, def, help) struct strv section##_##name;
#include "config/options.def"
#undef OPT_STR
#undef OPT_INT
#undef OPT_BOOL
#undef OPT_LIST
    /* section `driver_config`: free mappings per plugin id, {id: {key: text}}; owned */
    json_t *driver_config;
    char *source; /* the file read, or "" */
};

/* path NULL: $MAGNUM_CONFIG, else /etc/magnum/magnum.yaml when it exists, else defaults only.
 * Caller frees with config_free. ERR_CONFIG with one clear line when something is wrong. */
int config_load(const char *path, struct config **ret, struct err *e) MUST_CHECK;
void config_free(struct config **c);
static inline void config_freep(struct config **c)
{
    config_free(c);
}
#define _cleanup_config_ _cleanup_(config_freep)

/* Sets one option from text ("section.name", value), as --set on a command line does. */
int config_set(struct config *c, const char *name, const char *value, struct err *e) MUST_CHECK;
/* The checks between options (min <= max and the like), which config_load has already made: to be
 * repeated after the last config_set. ERR_CONFIG names both options. */
int config_check(const struct config *c, struct err *e) MUST_CHECK;
/* The names of the options in which `fresh` differs from a configuration in use and which need a
 * restart: neither OPT_LIVE nor taken over by the programs themselves (log.level, policy.file,
 * catalog.file). */
int config_restart(const struct config *used, const struct config *fresh, struct strv *ret,
                   struct err *e) MUST_CHECK;
/* Takes the OPT_LIVE options over into the configuration in use. */
void config_adopt(struct config *used, const struct config *fresh);
/* The commented sample file with every option and its default. Caller frees; NULL = no memory. */
char *config_sample(void);

#endif
