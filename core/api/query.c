/* The query arguments of a request (api.md 1.4, 5.2). See api_internal.h. */
#include "api/api_internal.h"
#include "api/text.h"
#include "base/parse.h"

#include <string.h>

static void add(struct query *q, char *name, char *value)
{
    if (!name || !value || q->n == QUERY_ARGS) {
        q->broken = true;
        free(name);
        free(value);
        return;
    }
    q->v[q->n].name = name;
    q->v[q->n].value = value;
    q->n++;
}

/* "a=1;b=2" are two arguments, too. */
void query_add(void *query, const char *name, const char *value)
{
    struct query *q = query;
    const char *semi = q->no_semicolons ? NULL : strchr(value, ';');
    if (!*name && !*value) /* "?&&" */
        return;
    if (!text_utf8(name) || !text_utf8(value)) {
        q->broken = true;
        return;
    }
    add(q, str_dup(name), semi ? strndup(value, (size_t)(semi - value)) : str_dup(value));
    while (semi && !q->broken) {
        const char *p = semi + 1;
        semi = strchr(p, ';');
        size_t n = semi ? (size_t)(semi - p) : strlen(p), key = strcspn(p, "=;");
        if (n > 0)
            add(q, strndup(p, key), key < n ? strndup(p + key + 1, n - key - 1) : str_dup(""));
    }
}

void query_read(struct query *q, const struct http_request *rq)
{
    *q = (struct query){.n = 0, .no_semicolons = !rq->semicolons};
    http_request_query(rq, query_add, q);
}

void query_done(struct query *q)
{
    for (size_t i = 0; i < q->n; i++) {
        free(q->v[i].name);
        free(q->v[i].value);
    }
    q->n = 0;
}

static bool listed(const char *names, const char *name)
{
    size_t len = strlen(name);
    for (const char *p = names; p && *p;) {
        size_t n = strcspn(p, ",");
        if (n == len && strncmp(p, name, n) == 0)
            return true;
        p += n + (p[n] == ',');
    }
    return false;
}

static bool repeated(const struct query *q, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < q->n; i++)
        n += strcmp(q->v[i].name, name) == 0;
    return n > 1;
}

/* No argument of this API is a list. */
static int refuse_repeated(const struct query *q, struct err *e)
{
    for (size_t i = 0; i < q->n; i++)
        if (repeated(q, q->v[i].name))
            return err_set(e, ERR_INVALID,
                           "Invalid input for field/attribute %s. Value: '%.500s'. Wrong type. "
                           "Expected one value, got several",
                           q->v[i].name, q->v[i].value);
    return 0;
}

int query_check(const struct query *q, const char *allowed, struct err *e)
{
    const char *unknown[QUERY_ARGS];
    size_t n = 0;
    for (size_t i = 0; i < q->n; i++)
        if (!listed(allowed, q->v[i].name))
            unknown[n++] = q->v[i].name;
    if (n == 0)
        return refuse_repeated(q, e);
    text_sort(unknown, n);
    _cleanup_str_ struct str names = STR_INIT;
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(unknown[i], unknown[i - 1]) != 0)
            str_printf(&names, "%s%s", i ? ", " : "", unknown[i]);
    return err_set(e, ERR_INVALID, "Unknown argument: \"%s\"", str_text(&names));
}

const char *query_get(const struct query *q, const char *name)
{
    for (size_t i = 0; i < q->n; i++)
        if (strcmp(q->v[i].name, name) == 0)
            return q->v[i].value;
    return NULL;
}

int query_int(const struct query *q, const char *name, int64_t missing, int64_t *ret, struct err *e)
{
    const char *s = query_get(q, name);
    int64_t v = missing;
    if (s && !parse_i64(s + (*s == '+'), INT64_MIN + 1, INT64_MAX, &v))
        return err_set(e, ERR_INVALID,
                       "Invalid input for field/attribute %s. Value: '%.500s'. unable to convert "
                       "to int. Error: invalid literal for int() with base 10: '%.500s'",
                       name, s, s);
    *ret = v;
    return 0;
}

int query_bool(const struct query *q, const char *name, bool *ret, struct err *e)
{
    const char *s = query_get(q, name);
    if (s && !parse_bool(s, ret))
        return err_set(e, ERR_INVALID,
                       "Invalid input for field/attribute %s. Value: '%.500s'. unable to convert "
                       "to boolean. Error: Unrecognized value '%.500s', acceptable values are: "
                       "'0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'",
                       name, s, s);
    return 0;
}
