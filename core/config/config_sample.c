/* See config.h: the sample file. Every option stands there commented out with its default, so that
 * uncommenting a line changes nothing until its value is edited. */
#include "config/config_internal.h"

#include <inttypes.h>
#include <string.h>

static void add_list(struct str *out, const char *def)
{
    _cleanup_strv_ struct strv items = STRV_INIT;
    if (strv_split(&items, def, ',') < 0)
        out->oom = true;
    str_append_c(out, '[');
    for (size_t i = 0; i < items.n; i++)
        str_printf(out, "%s\"%s\"", i ? ", " : "", items.v[i]);
    str_append_c(out, ']');
}

static void add_option(struct str *out, const struct option *o)
{
    str_printf(out, "  # %s", o->help);
    if (o->kind == OPTION_INT)
        str_printf(out, " (%" PRId64 " to %" PRId64 ")", o->min, o->max);
    str_printf(out, "\n  #%s: ", o->name);
    if (o->kind == OPTION_LIST)
        add_list(out, o->def);
    else
        str_printf(out, o->kind == OPTION_STR ? "\"%s\"" : "%s", o->def);
    str_append(out, "\n\n");
}

char *config_sample(void)
{
    struct str out = STR_INIT;
    str_append(&out,
               "# Magnum configuration. Every option is listed with its default; remove the '#'\n"
               "# in front of one to change it. The environment variable MAGNUM_<SECTION>_<NAME>\n"
               "# overrides an option, MAGNUM_CONFIG names another file than\n"
               "# /etc/magnum/magnum.yaml.\n\n");
    const char *section = "";
    for (size_t i = 0; i < config_options_len; i++) {
        if (strcmp(section, config_options[i].section) != 0) {
            section = config_options[i].section;
            str_printf(&out, "%s:\n", section);
        }
        add_option(&out, &config_options[i]);
    }
    str_append(&out, "# Options that single drivers define, by the driver's id.\n"
                     "driver_config:\n"
                     "  #<driver id>:\n"
                     "  #  <key>: \"<text>\"\n");
    return str_take(&out);
}
