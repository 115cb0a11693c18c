/* See pyliteral.h. A recursive descent over the text; every branch checks for its end. */
#include "api/pyliteral.h"

#include "base/parse.h"

#include <ctype.h>
#include <string.h>

enum { DEPTH_MAX = 32 };

struct lexer {
    const char *start, *p;
    unsigned depth;
    struct err *e;
};

static int bad(struct lexer *l, const char *what)
{
    return err_set(l->e, ERR_INVALID, "invalid literal: %s at position %zu", what,
                   (size_t)(l->p - l->start) + 1);
}

static void blanks(struct lexer *l)
{
    while (*l->p == ' ' || *l->p == '\t' || *l->p == '\n' || *l->p == '\r')
        l->p++;
}

static int value(struct lexer *l, json_t **ret);

static void utf8(struct str *o, unsigned long c)
{
    if (c < 0x80) {
        str_append_c(o, (char)c);
    } else if (c < 0x800) {
        str_append_c(o, (char)(0xc0 | c >> 6));
        str_append_c(o, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        str_append_c(o, (char)(0xe0 | c >> 12));
        str_append_c(o, (char)(0x80 | (c >> 6 & 0x3f)));
        str_append_c(o, (char)(0x80 | (c & 0x3f)));
    } else {
        str_append_c(o, (char)(0xf0 | c >> 18));
        str_append_c(o, (char)(0x80 | (c >> 12 & 0x3f)));
        str_append_c(o, (char)(0x80 | (c >> 6 & 0x3f)));
        str_append_c(o, (char)(0x80 | (c & 0x3f)));
    }
}

static int hex_escape(struct lexer *l, int digits, struct str *o)
{
    unsigned long c = 0;
    for (int i = 0; i < digits; i++, l->p++) {
        if (!isxdigit((unsigned char)*l->p))
            return bad(l, "a broken escape");
        int d = isdigit((unsigned char)*l->p) ? *l->p - '0' : tolower((unsigned char)*l->p) - 87;
        c = c << 4 | (unsigned long)d;
    }
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return bad(l, "a character that can't be stored");
    utf8(o, c);
    return 0;
}

static int escape(struct lexer *l, struct str *o)
{
    static const char source[] = "\\'\"nrtbfav", target[] = "\\'\"\n\r\t\b\f\a\v";
    char c = *l->p++;
    switch (c) {
    case '\0':
        l->p--;
        return bad(l, "an open string");
    case '\n':
        return 0;
    case 'x':
        return hex_escape(l, 2, o);
    case 'u':
        return hex_escape(l, 4, o);
    case 'U':
        return hex_escape(l, 8, o);
    default:
        break;
    }
    const char *at = strchr(source, c);
    if (at) {
        str_append_c(o, target[at - source]);
    } else { /* an unknown escape stays as it is */
        str_append_c(o, '\\');
        str_append_c(o, c);
    }
    return 0;
}

static int string(struct lexer *l, json_t **ret)
{
    _cleanup_str_ struct str o = STR_INIT;
    do { /* neighbouring strings are one */
        char quote = *l->p++;
        while (*l->p != quote) {
            int rc = 0;
            if (*l->p == '\0' || *l->p == '\n')
                return bad(l, "an open string");
            if (*l->p == '\\') {
                l->p++;
                rc = escape(l, &o);
            } else {
                str_append_c(&o, *l->p++);
            }
            if (rc < 0)
                return rc;
        }
        l->p++;
        blanks(l);
    } while (*l->p == '\'' || *l->p == '"');
    if (o.oom)
        return err_nomem(l->e);
    *ret = json_stringn(str_text(&o), o.len);
    return *ret ? 0 : bad(l, "text that is not UTF-8");
}

static int number(struct lexer *l, json_t **ret)
{
    char buf[64];
    size_t n = 0;
    bool real = false;
    while (*l->p && strchr("+-0123456789.eE_", *l->p)) {
        if (n + 1 == sizeof buf)
            return bad(l, "a number that is too long");
        real |= strchr(".eE", *l->p) != NULL;
        if (*l->p != '_')
            buf[n++] = *l->p;
        l->p++;
    }
    buf[n] = '\0';
    int64_t v = 0;
    if (!real) {
        if (!parse_i64(buf[0] == '+' ? buf + 1 : buf, INT64_MIN, INT64_MAX, &v))
            return bad(l, "a broken number");
        *ret = json_integer(v);
    } else {
        char *end = NULL;
        double d = strtod(buf, &end);
        if (*end || end == buf)
            return bad(l, "a broken number");
        *ret = json_real(d);
    }
    return *ret ? 0 : bad(l, "a number out of range");
}

static int word(struct lexer *l, json_t **ret)
{
    static const struct {
        const char *name;
        json_type type;
    } words[] = {{"True", JSON_TRUE}, {"False", JSON_FALSE}, {"None", JSON_NULL}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t n = strlen(words[i].name);
        if (strncmp(l->p, words[i].name, n) != 0 || isalnum((unsigned char)l->p[n]) ||
            l->p[n] == '_')
            continue;
        l->p += n;
        *ret = words[i].type == JSON_TRUE    ? json_true()
               : words[i].type == JSON_FALSE ? json_false()
                                             : json_null();
        return 0;
    }
    return bad(l, *l->p ? "an unexpected character" : "the end");
}

/* Dictionary keys become text, as they are in the objects we compare them with. */
static int key_text(struct lexer *l, const json_t *key, struct str *o)
{
    if (json_is_object(key) || json_is_array(key))
        return bad(l, "a key that is no scalar");
    py_str(key, o);
    return 0;
}

static int dict(struct lexer *l, json_t **ret)
{
    _cleanup_json_ json_t *o = json_object();
    l->p++;
    for (blanks(l); *l->p != '}'; blanks(l)) {
        _cleanup_json_ json_t *k = NULL;
        json_t *v = NULL;
        _cleanup_str_ struct str key = STR_INIT;
        int rc = value(l, &k);
        if (rc < 0)
            return rc;
        rc = key_text(l, k, &key);
        if (rc < 0)
            return rc;
        blanks(l);
        if (*l->p != ':')
            return bad(l, "a missing colon");
        l->p++;
        rc = value(l, &v);
        if (rc < 0)
            return rc;
        if (json_object_set_new(o, str_text(&key), v) < 0)
            return err_nomem(l->e);
        blanks(l);
        if (*l->p == ',')
            l->p++;
        else if (*l->p != '}')
            return bad(l, "a missing comma");
    }
    l->p++;
    *ret = TAKE_PTR(o);
    return *ret ? 0 : err_nomem(l->e);
}

/* A list, or a tuple (read as a list; one element in brackets without a comma is that element). */
static int sequence(struct lexer *l, char close, json_t **ret)
{
    _cleanup_json_ json_t *a = json_array();
    bool comma = false;
    l->p++;
    for (blanks(l); *l->p != close; blanks(l)) {
        json_t *v = NULL;
        int rc = value(l, &v);
        if (rc < 0)
            return rc;
        if (json_array_append_new(a, v) < 0)
            return err_nomem(l->e);
        blanks(l);
        if (*l->p == ',') {
            l->p++;
            comma = true;
        } else if (*l->p != close) {
            return bad(l, "a missing comma");
        }
    }
    l->p++;
    if (close == ')' && !comma && json_array_size(a) == 1)
        *ret = json_incref(json_array_get(a, 0));
    else
        *ret = TAKE_PTR(a);
    return *ret ? 0 : err_nomem(l->e);
}

static int value(struct lexer *l, json_t **ret)
{
    if (++l->depth > DEPTH_MAX)
        return bad(l, "deep nesting");
    blanks(l);
    int rc;
    if (*l->p == '{')
        rc = dict(l, ret);
    else if (*l->p == '[')
        rc = sequence(l, ']', ret);
    else if (*l->p == '(')
        rc = sequence(l, ')', ret);
    else if (*l->p == '\'' || *l->p == '"')
        rc = string(l, ret);
    else if (*l->p && strchr("+-.0123456789", *l->p))
        rc = number(l, ret);
    else
        rc = word(l, ret);
    l->depth--;
    return rc;
}

int py_literal_parse(const char *text, json_t **ret, struct err *e)
{
    struct lexer l = {text, text, 0, e};
    json_t *j = NULL;
    int rc = value(&l, &j);
    if (rc < 0)
        return rc;
    blanks(&l);
    if (*l.p) {
        json_decref(j);
        return bad(&l, "more text");
    }
    *ret = j;
    return 0;
}

static void repr_text(const char *s, struct str *o)
{
    char quote = strchr(s, '\'') && !strchr(s, '"') ? '"' : '\'';
    str_append_c(o, quote);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == (unsigned char)quote || c == '\\') {
            str_append_c(o, '\\');
            str_append_c(o, *s);
        } else if (c == '\n') {
            str_append(o, "\\n");
        } else if (c == '\r') {
            str_append(o, "\\r");
        } else if (c == '\t') {
            str_append(o, "\\t");
        } else if (c < 0x20 || c == 0x7f) {
            str_printf(o, "\\x%02x", c);
        } else {
            str_append_c(o, *s);
        }
    }
    str_append_c(o, quote);
}

static void repr_real(double d, struct str *o)
{
    char buf[40];
    /* the shortest text that reads back the same */
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, d);
        if (strtod(buf, NULL) == d)
            break;
    }
    str_append(o, buf);
    if (!strpbrk(buf, ".ein"))
        str_append(o, ".0");
}

void py_repr(const json_t *j, struct str *o)
{
    const char *key;
    json_t *v;
    size_t i;
    bool first = true;
    switch (j ? json_typeof(j) : JSON_NULL) {
    case JSON_OBJECT:
        str_append_c(o, '{');
        json_object_foreach((json_t *)j, key, v)
        {
            str_append(o, first ? "" : ", ");
            first = false;
            repr_text(key, o);
            str_append(o, ": ");
            py_repr(v, o);
        }
        str_append_c(o, '}');
        break;
    case JSON_ARRAY:
        str_append_c(o, '[');
        json_array_foreach(j, i, v)
        {
            str_append(o, i ? ", " : "");
            py_repr(v, o);
        }
        str_append_c(o, ']');
        break;
    case JSON_STRING:
        repr_text(json_string_value(j), o);
        break;
    case JSON_INTEGER:
        str_printf(o, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
        break;
    case JSON_REAL:
        repr_real(json_real_value(j), o);
        break;
    case JSON_TRUE:
        str_append(o, "True");
        break;
    case JSON_FALSE:
        str_append(o, "False");
        break;
    case JSON_NULL:
        str_append(o, "None");
        break;
    }
}

void py_str(const json_t *j, struct str *o)
{
    if (json_is_string(j))
        str_append(o, json_string_value(j));
    else
        py_repr(j, o);
}
