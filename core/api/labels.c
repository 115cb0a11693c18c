/* See labels.h. */
#include "api/labels.h"

#include "api/jw.h"
#include "base/cleanup.h"
#include "base/jsonx.h"
#include "base/parse.h"

#include <math.h>
#include <regex.h>
#include <string.h>

bool labels_empty(const json_t *labels)
{
    return json_object_size(labels) == 0;
}

json_t *labels_merge(const json_t *base, const json_t *over)
{
    json_t *o = json_is_object(base) ? json_copy((json_t *)base) : json_object();
    if (o && json_is_object(over) && json_object_update(o, (json_t *)over) < 0) {
        json_decref(o);
        return NULL;
    }
    return o;
}

int labels_no_null(const json_t *labels, struct err *e)
{
    const char *key;
    json_t *v;
    if (!json_is_object(labels))
        return 0;
    json_object_foreach((json_t *)labels, key, v) if (json_is_null(v)) return err_set(
        e, ERR_INVALID,
        "Invalid input for field/attribute labels. Value: 'None'. Label %s has "
        "no value",
        key);
    return 0;
}

static bool integer(const json_t *v, int64_t *ret)
{
    if (json_is_integer(v)) {
        *ret = json_integer_value(v);
        return true;
    }
    return json_is_string(v) && parse_i64(json_string_value(v), INT64_MIN, INT64_MAX, ret);
}

static bool number(const json_t *v, double *ret)
{
    if (json_is_number(v)) {
        *ret = json_number_value(v);
        return true;
    }
    const char *s = json_string_value(v);
    char *end = NULL;
    if (!s || !*s || strspn(s, "+-.0123456789eE") != strlen(s))
        return false;
    *ret = strtod(s, &end);
    return !*end && isfinite(*ret);
}

static bool in_range(const json_t *rule, double v)
{
    const json_t *lo = json_object_get(rule, "minimum"), *hi = json_object_get(rule, "maximum");
    const json_t *above = json_object_get(rule, "exclusiveMinimum");
    const json_t *below = json_object_get(rule, "exclusiveMaximum");
    return !(json_is_number(lo) && v < json_number_value(lo)) &&
           !(json_is_number(hi) && v > json_number_value(hi)) &&
           !(json_is_number(above) && v <= json_number_value(above)) &&
           !(json_is_number(below) && v >= json_number_value(below));
}

/* Schemas use \d, which POSIX does not know. */
static bool pattern_matches(const char *pattern, const char *s)
{
    _cleanup_str_ struct str p = STR_INIT;
    regex_t re;
    for (; *pattern; pattern++) {
        if (pattern[0] == '\\' && pattern[1] == 'd') {
            str_append(&p, "[0-9]");
            pattern++;
        } else {
            str_append_c(&p, *pattern);
        }
    }
    if (p.oom || regcomp(&re, str_text(&p), REG_EXTENDED | REG_NOSUB) != 0)
        return true; /* a schema we can't read refuses nothing */
    bool good = regexec(&re, s, 0, NULL, 0) == 0;
    regfree(&re);
    return good;
}

static bool text_fits(const json_t *rule, const char *s)
{
    const char *pattern = jsonx_str(rule, "pattern");
    int64_t n = (int64_t)strlen(s);
    return n >= jsonx_int(rule, "minLength", 0) && n <= jsonx_int(rule, "maxLength", INT64_MAX) &&
           (!pattern || pattern_matches(pattern, s));
}

static bool of_type(const json_t *rule, const json_t *v)
{
    const char *type = jsonx_str(rule, "type");
    int64_t i = 0;
    double d = 0;
    bool b = false;
    if (str_eq(type, "integer"))
        return integer(v, &i) && in_range(rule, (double)i);
    if (str_eq(type, "number"))
        return number(v, &d) && in_range(rule, d);
    if (str_eq(type, "boolean"))
        return json_is_boolean(v) || (json_is_string(v) && parse_bool(json_string_value(v), &b));
    return !json_is_string(v) || text_fits(rule, json_string_value(v));
}

static void scalar_text(const json_t *v, struct str *o)
{
    if (json_is_string(v))
        str_append(o, json_string_value(v));
    else
        jw_document(o, v);
}

static bool chosen(const json_t *choices, const json_t *v)
{
    size_t i;
    json_t *c;
    _cleanup_str_ struct str given = STR_INIT;
    scalar_text(v, &given);
    json_array_foreach(choices, i, c)
    {
        _cleanup_str_ struct str text = STR_INIT;
        scalar_text(c, &text);
        if (strcmp(str_text(&given), str_text(&text)) == 0)
            return true;
    }
    return false;
}

static void describe(const json_t *rule, struct str *o)
{
    static const char *const limits[][2] = {
        {"minimum", " from "},           {"maximum", " up to "},
        {"exclusiveMinimum", " above "}, {"exclusiveMaximum", " below "},
        {"minLength", " of at least "},  {"maxLength", " of at most "}};
    const json_t *choices = json_object_get(rule, "enum");
    const char *type = jsonx_str(rule, "type"), *pattern = jsonx_str(rule, "pattern");
    size_t i;
    json_t *c;
    if (json_is_array(choices)) {
        str_append(o, "one of ");
        json_array_foreach(choices, i, c)
        {
            str_append(o, i ? ", " : "");
            scalar_text(c, o);
        }
        return;
    }
    str_append(o, type ? type : "string");
    for (size_t k = 0; k < ARRAY_LEN(limits); k++) {
        const json_t *v = json_object_get(rule, limits[k][0]);
        if (!json_is_number(v))
            continue;
        str_append(o, limits[k][1]);
        jw_document(o, v);
        str_append(o, k < 4 ? "" : " bytes");
    }
    if (pattern)
        str_printf(o, " matching %s", pattern);
}

bool labels_same(const json_t *rule, const json_t *a, const json_t *b)
{
    const char *type = jsonx_str(rule, "type");
    _cleanup_str_ struct str s = STR_INIT, t = STR_INIT;
    double x, y;
    bool p, q;
    if (!a || !b)
        return a == b;
    if ((str_eq(type, "integer") || str_eq(type, "number")) && number(a, &x) && number(b, &y))
        return !(x < y) && !(y < x);
    scalar_text(a, &s);
    scalar_text(b, &t);
    if (str_eq(type, "boolean") && parse_bool(str_text(&s), &p) && parse_bool(str_text(&t), &q))
        return p == q;
    return strcmp(str_text(&s), str_text(&t)) == 0;
}

int labels_check(const json_t *schema, const char *driver, const json_t *labels, struct err *e)
{
    const json_t *properties = json_object_get(schema, "properties");
    const char *key;
    json_t *rule;
    if (!json_is_object(properties) || !json_is_object(labels))
        return 0;
    json_object_foreach((json_t *)properties, key, rule)
    {
        const json_t *v = json_object_get(labels, key), *choices = json_object_get(rule, "enum");
        if (!v)
            continue;
        if (of_type(rule, v) && (!json_is_array(choices) || chosen(choices, v)))
            continue;
        _cleanup_str_ struct str value = STR_INIT, allowed = STR_INIT;
        scalar_text(v, &value);
        describe(rule, &allowed);
        return err_set(e, ERR_INVALID,
                       "Label %s has the value '%.300s', which driver %s does not accept; allowed: "
                       "%.800s",
                       key, str_text(&value), driver ? driver : "", str_text(&allowed));
    }
    return 0;
}

static void member(struct str *o, const char *key, const json_t *v)
{
    jw_next(o);
    jw_text(o, key);
    str_append_c(o, ':');
    jw_document(o, v);
}

void labels_diff(struct str *o, enum labels_part part, const json_t *base, const json_t *own)
{
    const char *key;
    json_t *v;
    const json_t *walk = part == LABELS_ADDED ? own : base;
    const json_t *other = part == LABELS_ADDED ? base : own;
    str_append_c(o, '{');
    if (json_is_object(walk))
        json_object_foreach((json_t *)walk, key, v)
        {
            const json_t *w = json_object_get(other, key);
            if (part == LABELS_OVERRIDDEN ? w && !json_equal(v, w) : !w)
                member(o, key, v);
        }
    str_append_c(o, '}');
}
