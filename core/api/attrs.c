/* See attrs.h. */
#include "api/attrs.h"

#include "api/pyliteral.h"
#include "base/cleanup.h"
#include "base/parse.h"
#include "base/uuid.h"

#include <arpa/inet.h>
#include <math.h>
#include <string.h>

/* One check in progress. */
struct check {
    const struct attr_table *t;
    const struct attr *a;
    bool zed;
    const json_t *body; /* NULL: a patched document, of which messages name the attribute */
    struct err *e;
};

int attrs_invalid(struct err *e, const char *field, const json_t *value, const char *why)
{
    _cleanup_str_ struct str v = STR_INIT;
    py_str(value, &v);
    /* the reason must survive the limit of a message: a huge value is shown in part */
    return err_set(e, ERR_INVALID, "Invalid input for field/attribute %s. Value: '%.1500s'. %s",
                   field, str_text(&v), why);
}

static int invalid(const struct check *c, const json_t *v, const char *why)
{
    return attrs_invalid(c->e, c->a->name, v, why);
}

/* A value that can't even be converted: Magnum then names the whole body, or, for a patched
 * document, the attribute. */
static int unconvertible(const struct check *c, const json_t *v, const char *why)
{
    if (!c->body)
        return invalid(c, v, why);
    return attrs_invalid(c->e, c->t->argument, c->body, why);
}

static int wrong_type(const struct check *c, const json_t *v, const char *expected)
{
    static const char *const names[] = {"dict",  "list", "str",  "int",
                                        "float", "bool", "bool", "NoneType"};
    char why[96];
    snprintf(why, sizeof why, "Wrong type. Expected '<class '%s'>', got '<class '%s'>'", expected,
             names[json_typeof(v)]);
    return invalid(c, v, why);
}

static size_t characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static int too_long(const struct check *c, const json_t *v)
{
    char why[128];
    snprintf(why, sizeof why, "Value should have a maximum character requirement of %lld",
             (long long)c->a->max);
    return invalid(c, v, why);
}

/* Where the original's column has a limit and its type has none, the table has a maximum. */
static int check_text(const struct check *c, const json_t *v, json_t **ret)
{
    if (!json_is_string(v))
        return wrong_type(c, v, "str");
    if (c->a->max > 0 && (int64_t)characters(json_string_value(v)) > c->a->max)
        return too_long(c, v);
    *ret = json_incref((json_t *)v);
    return 0;
}

static int check_string(const struct check *c, const json_t *v, json_t **ret)
{
    const struct attr *a = c->a;
    char why[128];
    if (!json_is_string(v))
        return invalid(c, v, "Value should be string");
    const char *s = json_string_value(v);
    int64_t n = (int64_t)characters(s);
    if (a->min != ATTR_NO_LIMIT && n < a->min) {
        snprintf(why, sizeof why, "Value should have a minimum character requirement of %lld",
                 (long long)a->min);
        return invalid(c, v, why);
    }
    if (a->max != ATTR_NO_LIMIT && n > a->max)
        return too_long(c, v);
    if (a->matches && !a->matches(s)) {
        snprintf(why, sizeof why, "Value should match the pattern %s", a->pattern);
        return invalid(c, v, why);
    }
    *ret = json_string(s);
    return 0;
}

/* As int() of Python reads a text: blanks around it, a sign. */
static bool int_text(const char *s, int64_t *ret)
{
    char buf[32];
    size_t n = strspn(s, " \t\r\n");
    s += n;
    n = strcspn(s, " \t\r\n");
    if (n == 0 || n >= sizeof buf || s[n + strspn(s + n, " \t\r\n")])
        return false;
    memcpy(buf, s, n);
    buf[n] = '\0';
    return parse_i64(buf[0] == '+' ? buf + 1 : buf, INT64_MIN + 1, INT64_MAX, ret);
}

static int check_int(const struct check *c, const json_t *v, json_t **ret)
{
    const struct attr *a = c->a;
    int64_t n = 0;
    char why[160];
    /* a patched text is no number to 15.0.1; taking it helps older clients and hurts none */
    if (json_is_string(v) && !c->body && c->zed)
        return invalid(c, v, "'<' not supported between instances of 'str' and 'int'");
    if (json_is_integer(v)) {
        n = json_integer_value(v);
    } else if (json_is_boolean(v)) {
        n = json_is_true(v);
    } else if (json_is_real(v) && fabs(json_real_value(v)) < 9e15) {
        n = (int64_t)json_real_value(v);
    } else if (!json_is_string(v) || !int_text(json_string_value(v), &n)) {
        _cleanup_str_ struct str r = STR_INIT;
        py_repr(v, &r);
        snprintf(why, sizeof why, "invalid literal for int() with base 10: %.100s", str_text(&r));
        return unconvertible(c, v, why);
    }
    _cleanup_json_ json_t *number = json_integer(n);
    if (a->min != ATTR_NO_LIMIT && n < a->min) {
        snprintf(why, sizeof why, "Value should be greater or equal to %lld", (long long)a->min);
        return invalid(c, number, why);
    }
    /* what the column can't hold is refused here and not by the database */
    int64_t max = a->max == ATTR_NO_LIMIT ? INT32_MAX : a->max;
    if (n > max) {
        snprintf(why, sizeof why, "Value should be lower or equal to %lld", (long long)max);
        return invalid(c, number, why);
    }
    *ret = TAKE_PTR(number);
    return 0;
}

static int check_bool(const struct check *c, const json_t *v, json_t **ret)
{
    bool b = false;
    if (json_is_boolean(v)) {
        b = json_is_true(v);
    } else {
        _cleanup_str_ struct str s = STR_INIT;
        py_str(v, &s);
        if (!parse_bool(str_text(&s), &b)) {
            _cleanup_str_ struct str why = STR_INIT;
            str_printf(&why,
                       "Unrecognized value '%.300s', acceptable values are: '0', '1', 'f', "
                       "'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'",
                       str_text(&s));
            return invalid(c, v, str_text(&why));
        }
    }
    *ret = json_boolean(b);
    return 0;
}

static bool among(const char *s, const char *const *choices)
{
    for (; choices && *choices; choices++)
        if (strcmp(s, *choices) == 0)
            return true;
    return false;
}

static int check_enum(const struct check *c, const json_t *v, json_t **ret)
{
    const struct attr *a = c->a;
    const char *const *shown = c->zed && a->choices_zed ? a->choices_zed : a->choices;
    const char *s = json_string_value(v);
    /* what either release knows is accepted; the message names what this one documents */
    if (s && (among(s, a->choices) || among(s, a->choices_more) ||
              (c->zed && among(s, a->choices_zed)))) {
        *ret = json_string(s);
        return 0;
    }
    _cleanup_str_ struct str why = STR_INIT;
    if (json_is_array(v) || json_is_object(v)) {
        str_printf(&why, "unhashable type: '%s'", json_is_array(v) ? "list" : "dict");
        return invalid(c, v, str_text(&why));
    }
    str_append(&why, "Value should be one of: ");
    for (size_t i = 0; shown[i]; i++)
        str_printf(&why, "%s%s", i ? ", " : "", shown[i]);
    return invalid(c, v, str_text(&why));
}

static int not_a(const struct check *c, const json_t *v, const char *what)
{
    _cleanup_str_ struct str why = STR_INIT, shown = STR_INIT;
    py_str(v, &shown);
    str_printf(&why, "Value not a valid %s: %.300s", what, str_text(&shown));
    return unconvertible(c, v, str_text(&why));
}

static int check_dict(const struct check *c, const json_t *v, json_t **ret)
{
    const char *key;
    json_t *m;
    if (!json_is_object(v))
        return not_a(c, v, "dict");
    _cleanup_json_ json_t *o = json_object();
    json_object_foreach((json_t *)v, key, m)
    {
        bool scalar = !json_is_object(m) && !json_is_array(m);
        bool text = json_is_string(m) || json_is_null(m);
        json_t *copy;
        if (c->a->type == ATTR_TEXT_DICT && !text)
            return wrong_type(c, m, "str");
        if (c->a->type == ATTR_LABELS && !scalar)
            return wrong_type(c, m, "str, int, bool, float");
        if (c->a->type == ATTR_LABELS && !text) {
            _cleanup_str_ struct str s = STR_INIT;
            py_str(m, &s);
            copy = json_string(str_text(&s));
        } else {
            copy = json_incref(m);
        }
        if (json_object_set_new(o, key, copy) < 0)
            return err_nomem(c->e);
    }
    *ret = TAKE_PTR(o);
    return 0;
}

static int check_list(const struct check *c, const json_t *v, json_t **ret)
{
    size_t i;
    json_t *m, *x;
    const char *key;
    if (!json_is_array(v))
        return not_a(c, v, "list");
    json_array_foreach(v, i, m)
    {
        if (c->a->type == ATTR_TEXT_LIST && !json_is_string(m))
            return wrong_type(c, m, "str");
        if (c->a->type == ATTR_TEXT_LIST)
            continue;
        if (!json_is_object(m))
            return not_a(c, m, "dict");
        json_object_foreach(m, key, x)
        {
            if (!json_is_string(x) && !json_is_null(x))
                return wrong_type(c, x, "str");
        }
    }
    *ret = json_incref((json_t *)v);
    return 0;
}

static int check_uuid(const struct check *c, const json_t *v, json_t **ret)
{
    char uuid[UUID_TEXT];
    if (!uuid_like(json_string_value(v), uuid)) {
        _cleanup_str_ struct str s = STR_INIT;
        py_str(v, &s);
        return err_set(c->e, ERR_INVALID, "Expected a uuid but received %.1500s.", str_text(&s));
    }
    *ret = json_string(uuid);
    return 0;
}

static int check_dns(const struct check *c, const json_t *v, json_t **ret)
{
    const char *s = json_string_value(v);
    bool good = s != NULL;
    while (good && s) {
        char part[INET_ADDRSTRLEN];
        struct in_addr in;
        const char *comma = strchr(s, ',');
        s += strspn(s, " \t\r\n");
        size_t n = comma ? (size_t)(comma - s) : strlen(s);
        while (n && strchr(" \t\r\n", s[n - 1]))
            n--;
        good = n < sizeof part && (!comma || s <= comma);
        if (!good)
            break;
        memcpy(part, s, n);
        part[n] = '\0';
        good = inet_pton(AF_INET, part, &in) == 1;
        s = comma ? comma + 1 : NULL;
    }
    if (!good) {
        _cleanup_str_ struct str shown = STR_INIT;
        py_str(v, &shown);
        return err_set(c->e, ERR_INVALID,
                       "Expected a single dns address or comma separated dns list, but received "
                       "%.1500s.",
                       str_text(&shown));
    }
    *ret = json_incref((json_t *)v);
    return 0;
}

static int check_ipv4(const struct check *c, const json_t *v, json_t **ret)
{
    struct in_addr in;
    const char *s = json_string_value(v);
    if (!s || inet_pton(AF_INET, s, &in) != 1)
        return invalid(c, v, "Value should be IPv4 format");
    *ret = json_incref((json_t *)v);
    return 0;
}

static int check_value(const struct check *c, const json_t *v, json_t **ret)
{
    switch (c->a->type) {
    case ATTR_STRING:
        return check_string(c, v, ret);
    case ATTR_TEXT:
        return check_text(c, v, ret);
    case ATTR_INT:
        return check_int(c, v, ret);
    case ATTR_BOOL:
        return check_bool(c, v, ret);
    case ATTR_ENUM:
        return check_enum(c, v, ret);
    case ATTR_LABELS:
    case ATTR_TEXT_DICT:
    case ATTR_DICT:
        return check_dict(c, v, ret);
    case ATTR_DICT_LIST:
    case ATTR_TEXT_LIST:
        return check_list(c, v, ret);
    case ATTR_UUID:
        return check_uuid(c, v, ret);
    case ATTR_DNS:
        return check_dns(c, v, ret);
    case ATTR_IPV4:
        return check_ipv4(c, v, ret);
    case ATTR_TEXT_OR_INT:
        if (!json_is_string(v) && !json_is_integer(v) && !json_is_boolean(v))
            return wrong_type(c, v, "str, int");
        break;
    case ATTR_TIME:
    case ATTR_ANY:
        break;
    }
    *ret = json_incref((json_t *)v);
    return 0;
}

static int read_only(const struct check *c, const json_t *v)
{
    const char *s = json_string_value(v);
    _cleanup_json_ json_t *shown = NULL;
    if (c->a->type == ATTR_TIME && s && strlen(s) > 10 && s[10] == 'T') {
        shown = json_string(s);
        _cleanup_free_ char *copy = str_dup(s);
        if (copy && shown) {
            copy[10] = ' ';
            (void)json_string_set(shown, copy);
        }
    }
    return invalid(c, shown ? shown : v, "Cannot set read only field.");
}

static bool hidden(const struct attr *a, bool zed)
{
    return zed ? (a->flags & ATTR_HEAD) != 0 : (a->flags & ATTR_ZED) != 0;
}

static const struct attr *find(const struct attr_table *t, bool zed, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->v[i].name, name) == 0 && !hidden(&t->v[i], zed))
            return &t->v[i];
    return NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int attrs_check_names(const struct attr_table *t, bool zed, const json_t *body, struct err *e)
{
    _cleanup_free_ const char **unknown = NULL;
    size_t n = 0;
    const char *key;
    json_t *v;
    if (!json_is_object(body)) {
        _cleanup_str_ struct str why = STR_INIT;
        py_str(body, &why);
        return err_set(e, ERR_INVALID,
                       "Invalid input for field/attribute %s. Value: '%.500s'. Value not a valid "
                       "dict: %.500s",
                       t->argument, str_text(&why), str_text(&why));
    }
    unknown = calloc(json_object_size(body) + 1, sizeof *unknown);
    if (!unknown)
        return err_nomem(e);
    json_object_foreach((json_t *)body, key, v)
    {
        if (find(t, zed, key))
            continue;
        if (strcmp(key, t->argument) == 0) {
            char why[160];
            snprintf(why, sizeof why, "unable to convert to %s. Error: unexpected object", t->type);
            return attrs_invalid(e, t->argument, v, why);
        }
        unknown[n++] = key;
    }
    if (n == 0)
        return 0;
    qsort(unknown, n, sizeof *unknown, by_text);
    _cleanup_str_ struct str names = STR_INIT;
    for (size_t i = 0; i < n; i++)
        str_printf(&names, "%s%s", i ? ", " : "", unknown[i]);
    return err_set(e, ERR_INVALID, "Unknown attribute%s for argument %s: %s", n > 1 ? "s" : "",
                   t->argument, str_text(&names));
}

/* Present and not null: the checked value. Otherwise the default, or null, or nothing. */
static int check_member(const struct check *c, const json_t *v, json_t **ret)
{
    const struct attr *a = c->a;
    if (v && (a->flags & ATTR_READONLY))
        return read_only(c, v);
    if (v && !json_is_null(v))
        return check_value(c, v, ret);
    if (!v && (a->flags & ATTR_MANDATORY))
        return invalid(c, NULL, "Mandatory field missing.");
    if (a->dflt)
        *ret = json_loads(a->dflt, JSON_DECODE_ANY, NULL);
    else if (v)
        *ret = json_null();
    else
        return 0;
    return *ret ? 0 : err_nomem(c->e);
}

int attrs_check(const struct attr_table *t, bool zed, const json_t *body, json_t **ret,
                struct err *e)
{
    struct check c = {t, NULL, zed, body, e};
    int rc = attrs_check_names(t, zed, body, e);
    if (rc < 0)
        return rc;
    _cleanup_json_ json_t *o = json_object();
    for (size_t i = 0; i < t->n; i++) {
        json_t *value = NULL;
        c.a = &t->v[i];
        if (hidden(c.a, zed))
            continue;
        rc = check_member(&c, json_object_get(body, c.a->name), &value);
        if (rc < 0)
            return rc;
        if (value && json_object_set_new(o, c.a->name, value) < 0)
            return err_nomem(e);
    }
    *ret = TAKE_PTR(o);
    return *ret ? 0 : err_nomem(e);
}

/* A map or list that is stored as nothing is an empty one to whoever adds to it. */
static json_t *stored(const struct attr *a, const json_t *v)
{
    if (!v || !json_is_null(v))
        return v ? json_deep_copy(v) : json_null();
    switch (a->type) {
    case ATTR_LABELS:
    case ATTR_TEXT_DICT:
    case ATTR_DICT:
        return json_object();
    case ATTR_DICT_LIST:
    case ATTR_TEXT_LIST:
        return json_array();
    default:
        return json_null();
    }
}

json_t *attrs_document(const struct attr_table *t, bool zed, const json_t *columns)
{
    _cleanup_json_ json_t *o = json_object();
    for (size_t i = 0; i < t->n; i++) {
        const struct attr *a = &t->v[i];
        json_t *v = json_object_get(columns, a->name);
        if (!hidden(a, zed) && json_object_set_new(o, a->name, stored(a, v)) < 0)
            return NULL;
    }
    return TAKE_PTR(o);
}

int attrs_delta(const struct attr_table *t, bool zed, const json_t *before, const json_t *after,
                json_t **ret, struct err *e)
{
    struct check c = {t, NULL, zed, NULL, e};
    _cleanup_json_ json_t *delta = json_object();
    for (size_t i = 0; i < t->n; i++) {
        c.a = &t->v[i];
        const json_t *was = json_object_get(before, c.a->name);
        const json_t *is = json_object_get(after, c.a->name);
        _cleanup_json_ json_t *value = NULL;
        if (hidden(c.a, zed) || (is && json_equal(was, is)))
            continue;
        int rc = check_member(&c, is ? is : json_null(), &value);
        if (rc < 0)
            return rc;
        if (!json_equal(was, value) && json_object_set(delta, c.a->name, value) < 0)
            return err_nomem(e);
    }
    *ret = TAKE_PTR(delta);
    return *ret ? 0 : err_nomem(e);
}
