/* The option table, generated from options.def, and the typed setters with their messages.
 * See config_internal.h. */
#include "base/parse.h"
#include "config/config_internal.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#define AT(section, name) offsetof(struct config, section##_##name)
const struct option config_options[] = {
#define OPT_STR(section, name, def, help)                                                          \
    {#section, #name, OPTION_STR, AT(section, name), def, 0, 0, help, false},
#define OPT_INT(section, name, def, min, max, help)                                                \
    {#section, #name, OPTION_INT, AT(section, name), #def, min, max, help, false},
#define OPT_LIVE(section, name, def, min, max, help)                                               \
    {#section, #name, OPTION_INT, AT(section, name), #def, min, max, help, true},
#define OPT_BOOL(section, name, def, help)                                                         \
    {#section, #name, OPTION_BOOL, AT(section, name), #def, 0, 0, help, false},
#define OPT_LIST(section, name, def, help)                                                         \
    {#section, #name, OPTION_LIST, AT(section, name), def, 0, 0, help, false},
#include "config/options.def"
#undef OPT_STR
#undef OPT_INT
#undef OPT_BOOL
#undef OPT_LIST
};
const size_t config_options_len = ARRAY_LEN(config_options);

/* Options whose text is one of a few words; each list starts and ends with a blank. */
static const struct {
    const char *section, *name, *words;
} choices[] = {
    {"log", "level", " error warning info debug "},
    {"log", "format", " text json "},
    {"api", "compat", " head zed "},
    {"api", "unknown_labels", " accept warn refuse "},
    {"drivers", "isolation", " best-effort strict off "},
    {"auth", "strategy", " noauth http_basic keystone "},
    {"certificates", "ca_key_type", " ec-p256 ec-p384 rsa-2048 rsa-4096 "},
};

const struct option *option_find(const char *section, const char *name)
{
    for (size_t i = 0; i < config_options_len; i++)
        if (strcmp(config_options[i].section, section) == 0 &&
            strcmp(config_options[i].name, name) == 0)
            return &config_options[i];
    return NULL;
}

const char *option_choices(const struct option *o)
{
    for (size_t i = 0; i < ARRAY_LEN(choices); i++)
        if (strcmp(choices[i].section, o->section) == 0 && strcmp(choices[i].name, o->name) == 0)
            return choices[i].words;
    return NULL;
}

static void *member(struct config *c, const struct option *o)
{
    return (char *)c + o->offset;
}

void option_clear(struct config *c, const struct option *o)
{
    if (o->kind == OPTION_STR)
        cleanup_freep(member(c, o));
    else if (o->kind == OPTION_LIST)
        strv_free(member(c, o));
}

static int wrong(const struct option *o, struct err *e, const char *must)
{
    return err_set(e, ERR_CONFIG, "%s.%s must be %s", o->section, o->name, must);
}

static bool is_choice(const char *words, const char *text)
{
    size_t n = strlen(text);
    for (const char *p = words + 1; *p; p = strchr(p, ' ') + 1)
        if (strcspn(p, " ") == n && strncmp(p, text, n) == 0)
            return true;
    return false;
}

static int wrong_choice(const struct option *o, const char *words, const char *text, struct err *e)
{
    _cleanup_str_ struct str list = STR_INIT;
    for (const char *p = words + 1; *p; p = strchr(p, ' ') + 1) {
        if (p != words + 1)
            str_append(&list, ", ");
        str_append_n(&list, p, strcspn(p, " "));
    }
    return err_set(e, ERR_CONFIG, "%s.%s must be one of %s, not \"%.64s\"", o->section, o->name,
                   str_text(&list), text);
}

static int set_str(struct config *c, const struct option *o, const char *text, struct err *e)
{
    const char *words = option_choices(o);
    if (words && !is_choice(words, text))
        return wrong_choice(o, words, text, e);
    char *copy = strdup(text);
    if (!copy)
        return err_nomem(e);
    char **slot = member(c, o);
    free(*slot);
    *slot = copy;
    return 0;
}

static void set_int(struct config *c, const struct option *o, int64_t number)
{
    if (o->live)
        atomic_store((_Atomic int64_t *)member(c, o), number);
    else
        *(int64_t *)member(c, o) = number;
}

static int out_of_range(const struct option *o, struct err *e)
{
    return err_set(e, ERR_CONFIG, "%s.%s must be a whole number from %" PRId64 " to %" PRId64,
                   o->section, o->name, o->min, o->max);
}

static int set_list(struct config *c, const struct option *o, struct strv *list)
{
    struct strv *slot = member(c, o);
    strv_free(slot);
    *slot = *list;
    *list = (struct strv)STRV_INIT;
    return 0;
}

int option_set_text(struct config *c, const struct option *o, const char *text, struct err *e)
{
    int64_t number = 0;
    bool flag = false;
    _cleanup_strv_ struct strv list = STRV_INIT;
    switch (o->kind) {
    case OPTION_STR:
        return set_str(c, o, text, e);
    case OPTION_INT:
        if (!parse_i64(text, o->min, o->max, &number))
            return out_of_range(o, e);
        set_int(c, o, number);
        return 0;
    case OPTION_BOOL:
        if (!parse_bool(text, &flag))
            return wrong(o, e, "true or false");
        *(bool *)member(c, o) = flag;
        return 0;
    case OPTION_LIST:
        if (strv_split(&list, text, ',') < 0)
            return err_nomem(e);
        return set_list(c, o, &list);
    }
    return err_set(e, ERR_INTERNAL, "%s.%s has no known kind", o->section, o->name);
}

static int set_array(struct config *c, const struct option *o, const json_t *value, struct err *e)
{
    _cleanup_strv_ struct strv list = STRV_INIT;
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *s = json_string_value(json_array_get(value, i));
        if (!s)
            return wrong(o, e, "a list of texts; quote numbers and true/false");
        if (strv_add(&list, s) < 0)
            return err_nomem(e);
    }
    return set_list(c, o, &list);
}

int option_set_value(struct config *c, const struct option *o, const json_t *value, struct err *e)
{
    switch (o->kind) {
    case OPTION_STR:
        if (!json_is_string(value))
            return wrong(o, e, "text; quote it if it looks like a number");
        return set_str(c, o, json_string_value(value), e);
    case OPTION_INT:
        if (!json_is_integer(value) || json_integer_value(value) < o->min ||
            json_integer_value(value) > o->max)
            return out_of_range(o, e);
        set_int(c, o, json_integer_value(value));
        return 0;
    case OPTION_BOOL:
        if (!json_is_boolean(value))
            return wrong(o, e, "true or false");
        *(bool *)member(c, o) = json_is_true(value);
        return 0;
    case OPTION_LIST:
        if (json_is_array(value))
            return set_array(c, o, value, e);
        if (!json_is_string(value))
            return wrong(o, e, "a list, or text with commas");
        return option_set_text(c, o, json_string_value(value), e);
    }
    return err_set(e, ERR_INTERNAL, "%s.%s has no known kind", o->section, o->name);
}
