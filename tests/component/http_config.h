/* A config with every declared default, without a file: what the http and auth tests change and
 * hand to the servers they start. */
#ifndef MAGNUM_TESTS_HTTP_CONFIG_H
#define MAGNUM_TESTS_HTTP_CONFIG_H

#include "config/config.h"

static inline struct config test_config(void)
{
    return (struct config){
#define OPT_STR(section, name, def, help) .section##_##name = (char *)(uintptr_t)def,
#define OPT_INT(section, name, def, min, max, help) .section##_##name = def,
#define OPT_BOOL(section, name, def, help) .section##_##name = def,
#define OPT_LIST(section, name, def, help) .section##_##name = STRV_INIT,
#include "config/options.def"
#undef OPT_STR
#undef OPT_INT
#undef OPT_BOOL
#undef OPT_LIST
    };
}

#endif
