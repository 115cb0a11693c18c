/* Shared inside core/config only: the option table made from options.def, and setting one option
 * from a YAML value or from text. Neighbours: config.c, config_options.c, config_sample.c. */
#ifndef MAGNUM_CONFIG_CONFIG_INTERNAL_H
#define MAGNUM_CONFIG_CONFIG_INTERNAL_H

#include "config/config.h"

#include <stddef.h>

enum option_kind { OPTION_STR, OPTION_INT, OPTION_BOOL, OPTION_LIST };
struct option {
    const char *section, *name;
    enum option_kind kind;
    size_t offset;    /* of the member in struct config */
    const char *def;  /* as text, for every kind */
    int64_t min, max; /* OPTION_INT */
    const char *help;
    bool live; /* OPT_LIVE */
};
extern const struct option config_options[];
extern const size_t config_options_len;

const struct option *option_find(const char *section, const char *name);
/* The words an option is limited to (" a b c "), or NULL. */
const char *option_choices(const struct option *o);
/* Text as in the environment, --set and the defaults; value: as in the file. Messages start with
 * "<section>.<name> ". Old values are freed. ERR_CONFIG or ERR_NOMEM. */
int option_set_text(struct config *c, const struct option *o, const char *text,
                    struct err *e) MUST_CHECK;
int option_set_value(struct config *c, const struct option *o, const json_t *value,
                     struct err *e) MUST_CHECK;
void option_clear(struct config *c, const struct option *o);

#endif
