/* See yaml.h. libyaml's events are put together with an own stack of bounded depth: no recursion,
 * so a hostile document can't exhaust the thread's stack, and everything refused (aliases above
 * all: they allow documents that expand exponentially) is refused where it stands. */
#include "config/yaml.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "config/yaml_internal.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_DEPTH = 32 };

struct level {
    json_t *node; /* owned until it is put into its parent */
    char *key;    /* mappings: the key whose value comes next; owned */
};
struct loader {
    const char *name;
    json_t *lines; /* borrowed, may be NULL */
    struct level stack[MAX_DEPTH];
    size_t depth;
    json_t *root; /* owned */
};

static void loader_done(struct loader *l)
{
    while (l->depth > 0) {
        l->depth--;
        json_decref(l->stack[l->depth].node);
        free(l->stack[l->depth].key);
    }
    json_decref(l->root);
    l->root = NULL;
}

static int fail(const struct loader *l, const yaml_mark_t *at, struct err *e, const char *what)
{
    return err_set(e, ERR_INVALID, "%s: line %zu, column %zu: %s", l->name, at->line + 1,
                   at->column + 1, what);
}

static const char *skip_digits(const char *s)
{
    while (isdigit((unsigned char)*s))
        s++;
    return s;
}

static bool all_of(const char *s, const char *set)
{
    return *s && s[strspn(s, set)] == '\0';
}

static bool one_of(const char *s, const char *a, const char *b, const char *c)
{
    return strcmp(s, a) == 0 || strcmp(s, b) == 0 || strcmp(s, c) == 0;
}

static bool is_float(const char *s)
{
    bool any = isdigit((unsigned char)*s);
    s = skip_digits(s);
    if (*s == '.') {
        s++;
        any = any || isdigit((unsigned char)*s);
        s = skip_digits(s);
    }
    if (!any)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        if (*s == '+' || *s == '-')
            s++;
        if (!isdigit((unsigned char)*s))
            return false;
        s = skip_digits(s);
    }
    return *s == '\0';
}

enum yaml_kind yaml_kind_of(const char *s)
{
    if (*s == '\0' || strcmp(s, "~") == 0 || one_of(s, "null", "Null", "NULL"))
        return YAML_NULL;
    if (one_of(s, "true", "True", "TRUE"))
        return YAML_TRUE;
    if (one_of(s, "false", "False", "FALSE"))
        return YAML_FALSE;
    if (one_of(s, ".nan", ".NaN", ".NAN"))
        return YAML_NOT_FINITE;
    if (s[0] == '0' && s[1] == 'o' && all_of(s + 2, "01234567"))
        return YAML_INT;
    if (s[0] == '0' && s[1] == 'x' && all_of(s + 2, "0123456789abcdefABCDEF"))
        return YAML_INT;
    const char *p = *s == '+' || *s == '-' ? s + 1 : s;
    if (one_of(p, ".inf", ".Inf", ".INF"))
        return YAML_NOT_FINITE;
    if (all_of(p, "0123456789"))
        return YAML_INT;
    return is_float(p) ? YAML_FLOAT : YAML_TEXT;
}

static json_t *integer(const char *s)
{
    int base = 10;
    if (s[0] == '0' && (s[1] == 'o' || s[1] == 'x')) {
        base = s[1] == 'o' ? 8 : 16;
        s += 2;
    }
    errno = 0;
    long long v = strtoll(s, NULL, base);
    return errno ? NULL : json_integer(v);
}

static json_t *floating(const char *s)
{
    double v = strtod(s, NULL);
    return isfinite(v) ? json_real(v) : NULL;
}

/* *ret stays NULL only together with an error. */
static int scalar(const struct loader *l, const yaml_event_t *ev, json_t **ret, struct err *e)
{
    const char *s = (const char *)ev->data.scalar.value;
    size_t len = ev->data.scalar.length;
    bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (memchr(s, '\0', len))
        return fail(l, &ev->start_mark, e, "a NUL character is not allowed");
    const char *problem = NULL;
    switch (plain ? yaml_kind_of(s) : YAML_TEXT) {
    case YAML_NULL:
        *ret = json_null();
        break;
    case YAML_TRUE:
        *ret = json_true();
        break;
    case YAML_FALSE:
        *ret = json_false();
        break;
    case YAML_INT:
        *ret = integer(s);
        problem = "the number is too large; quote it if it is meant as text";
        break;
    case YAML_FLOAT:
        *ret = floating(s);
        problem = "the number is too large; quote it if it is meant as text";
        break;
    case YAML_NOT_FINITE:
        problem = "infinities and not-a-number are not allowed; quote it if it is meant as text";
        break;
    case YAML_TEXT:
        *ret = json_stringn(s, len);
        problem = "not valid UTF-8";
        break;
    }
    return *ret ? 0 : fail(l, &ev->start_mark, e, problem);
}

/* Takes `node`. */
static int put(struct loader *l, json_t *node, struct err *e)
{
    if (!node)
        return err_nomem(e);
    if (l->depth == 0) {
        l->root = node;
        return 0;
    }
    struct level *top = &l->stack[l->depth - 1];
    if (json_is_array(top->node))
        return json_array_append_new(top->node, node) < 0 ? err_nomem(e) : 0;
    int rc = json_object_set_new(top->node, top->key, node);
    free(top->key);
    top->key = NULL;
    return rc < 0 ? err_nomem(e) : 0;
}

static void note_line(const struct loader *l, const char *key, size_t line)
{
    if (!l->lines || l->depth > 2)
        return;
    char path[256];
    if (l->depth == 2)
        snprintf(path, sizeof path, "%s.%s", l->stack[0].key ? l->stack[0].key : "", key);
    else
        snprintf(path, sizeof path, "%s", key);
    /* Only messages are poorer without it: ignoring. */
    (void)json_object_set_new(l->lines, path, json_integer((json_int_t)line));
}

static int take_key(struct loader *l, const yaml_event_t *ev, struct err *e)
{
    struct level *top = &l->stack[l->depth - 1];
    const char *s = (const char *)ev->data.scalar.value;
    if (memchr(s, '\0', ev->data.scalar.length))
        return fail(l, &ev->start_mark, e, "a NUL character is not allowed");
    if (json_object_get(top->node, s)) {
        char what[128];
        snprintf(what, sizeof what, "duplicate key \"%.64s\"", s);
        return fail(l, &ev->start_mark, e, what);
    }
    if (!(top->key = strdup(s)))
        return err_nomem(e);
    note_line(l, s, ev->start_mark.line + 1);
    return 0;
}

static bool key_is_next(const struct loader *l)
{
    return l->depth > 0 && json_is_object(l->stack[l->depth - 1].node) &&
           !l->stack[l->depth - 1].key;
}

static int open_level(struct loader *l, const yaml_event_t *ev, json_t *node, struct err *e)
{
    if (!node)
        return err_nomem(e);
    if (key_is_next(l) || l->depth == MAX_DEPTH) {
        json_decref(node);
        return fail(l, &ev->start_mark, e,
                    l->depth == MAX_DEPTH ? "nested deeper than 32 levels"
                                          : "a key must be a plain word, not a list or a mapping");
    }
    l->stack[l->depth++] = (struct level){.node = node, .key = NULL};
    return 0;
}

static int close_level(struct loader *l, struct err *e)
{
    l->depth--;
    return put(l, TAKE_PTR(l->stack[l->depth].node), e);
}

static int refuse_decoration(const struct loader *l, const yaml_event_t *ev, const void *anchor,
                             const void *tag, struct err *e)
{
    if (anchor)
        return fail(l, &ev->start_mark, e, "anchors are not allowed");
    if (tag)
        return fail(l, &ev->start_mark, e, "tags are not allowed");
    return 0;
}

static int handle_scalar(struct loader *l, const yaml_event_t *ev, struct err *e)
{
    int rc = refuse_decoration(l, ev, ev->data.scalar.anchor, ev->data.scalar.tag, e);
    if (rc < 0)
        return rc;
    if (key_is_next(l))
        return take_key(l, ev, e);
    json_t *node = NULL;
    rc = scalar(l, ev, &node, e);
    return rc < 0 ? rc : put(l, node, e);
}

static int handle(struct loader *l, const yaml_event_t *ev, int *documents, struct err *e)
{
    int rc = 0;
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++*documents > 1)
            return fail(l, &ev->start_mark, e, "only one document is allowed");
        if (ev->data.document_start.tag_directives.start !=
            ev->data.document_start.tag_directives.end)
            return fail(l, &ev->start_mark, e, "tags are not allowed");
        return 0;
    case YAML_ALIAS_EVENT:
        return fail(l, &ev->start_mark, e, "aliases are not allowed");
    case YAML_SCALAR_EVENT:
        return handle_scalar(l, ev, e);
    case YAML_SEQUENCE_START_EVENT:
        rc = refuse_decoration(l, ev, ev->data.sequence_start.anchor, ev->data.sequence_start.tag,
                               e);
        return rc < 0 ? rc : open_level(l, ev, json_array(), e);
    case YAML_MAPPING_START_EVENT:
        rc = refuse_decoration(l, ev, ev->data.mapping_start.anchor, ev->data.mapping_start.tag, e);
        return rc < 0 ? rc : open_level(l, ev, json_object(), e);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_level(l, e);
    default:
        return 0;
    }
}

static int syntax_error(const struct loader *l, const yaml_parser_t *p, struct err *e)
{
    if (p->error == YAML_MEMORY_ERROR)
        return err_nomem(e);
    const char *what = p->problem ? p->problem : "not valid YAML";
    if (p->error == YAML_READER_ERROR) /* no mark for these, only a byte offset */
        return err_set(e, ERR_INVALID, "%s: byte %zu: %s", l->name, p->problem_offset, what);
    return fail(l, &p->problem_mark, e, what);
}

int yaml_load_lines(const char *name, const char *text, size_t len, json_t *lines, json_t **ret,
                    struct err *e)
{
    yaml_parser_t p;
    if (!yaml_parser_initialize(&p))
        return err_nomem(e);
    yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
    /* Without this a byte order mark could switch the document to UTF-16. */
    yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
    struct loader l = {.name = name, .lines = lines};
    int rc = 0, documents = 0;
    bool end = false;
    while (rc == 0 && !end) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&p, &ev)) {
            rc = syntax_error(&l, &p, e);
            break;
        }
        end = ev.type == YAML_STREAM_END_EVENT;
        rc = handle(&l, &ev, &documents, e);
        yaml_event_delete(&ev);
    }
    if (rc == 0)
        *ret = l.root ? TAKE_PTR(l.root) : json_null();
    loader_done(&l);
    yaml_parser_delete(&p);
    return rc;
}

int yaml_load(const char *name, const char *text, size_t len, json_t **ret, struct err *e)
{
    return yaml_load_lines(name, text, len, NULL, ret, e);
}

int yaml_load_file(const char *path, size_t max, json_t **ret, struct err *e)
{
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    int rc = io_read_file(path, max, &text, &len, e);
    return rc < 0 ? rc : yaml_load(path, text, len, ret, e);
}
