/* See api_bad.h. */
#include "component/api_bad.h"

#include <string.h>

enum { MEGABYTE = 1000 * 1000 };

const char *const bad_texts[] = {
    "\"'; DROP TABLE cluster; --\"",
    "\"1 OR 1=1\"",
    "\"$(touch /tmp/magnum_was_here)\"",
    "\"`id`\"",
    "\"; rm -rf /\"",
    "\"%s%n%x%99999d\"",
    "\"{0.__class__}\"",
    "\"${jndi:ldap://x}\"",
    "\"<script>alert(1)</script>\"",
    "\"../../../etc/passwd\"",
    "\"a\\u0007\\u001b[31m\\n\\r\\t\"",
    "\"\\r\\nSet-Cookie: a=b\"",
    "\"\\ud83d\\udc33 \\u202e gr\\u00fc\\u00dfe\"",
    "\"Z\\u0300\\u0301\\u0302\\u0303 a\\u0308\"",
    "\"\xef\xbb\xbf\xef\xbf\xbf\"",
    "\"\xf4\x8f\xbf\xbf\"",
    "\" leading and trailing \"",
    "\"None of these\"",
};
const size_t bad_texts_n = ARRAY_LEN(bad_texts);

const char *const broken_texts[] = {
    "\"a\\u0000b\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\xff\xfe\"",
    "\"\xc0\x80\"",
    "\"\xed\xa0\x80\"",
    "\"\xf5\x80\x80\x80\"",
    "\"\xe2\x82\"",
    "\"tab\there\"",
    "'single'",
    "NaN",
    "0x10",
    "01",
    "1e999",
    "\"unclosed",
    "99999999999999999999999999",
};
const size_t broken_texts_n = ARRAY_LEN(broken_texts);

char *long_text(size_t n)
{
    char *s = malloc(n + 3);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    memset(s + 1, 'x', n);
    s[0] = s[n + 1] = '"';
    s[n + 2] = '\0';
    return s;
}

char *with_member(const char *object, const char *name, const char *value)
{
    _cleanup_json_ json_t *o = json_loads(object, 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    json_object_del(o, name);
    _cleanup_free_ char *rest = jsonx_text(o);
    return str_fmt("{\"%s\":%s%s%s", name, value, json_object_size(o) ? "," : "", rest + 1);
}

/* ---- values by type ---- */

static void add(struct strv *l, const char *text)
{
    CU_ASSERT_EQUAL_FATAL(strv_add(l, text), 0);
}

static void add_all(struct strv *l, const char *const *v)
{
    for (; *v; v++)
        add(l, *v);
}

static const char *const no_text[] = {"true", "false",   "0",    "-1",     "1.5", "1e300",
                                      "[]",   "[\"a\"]", "[[]]", "[null]", "{}",  NULL};
static const char *const no_list[] = {"true",   "7",   "1.5",  "\"x\"",      "\"\"", "{}",
                                      "[null]", "[1]", "[[]]", "[\"a\", 1]", NULL};
static const char *const no_dict[] = {"true", "7",    "1.5",        "\"x\"",   "\"\"",
                                      "[]",   "[{}]", "{\"a\":[]}", "[\"a\"]", "{\"a\":{\"b\":1}}",
                                      NULL};
static const char *const no_int[] = {"\"\"",
                                     "\" \"",
                                     "\"x\"",
                                     "\"1x\"",
                                     "\"0x10\"",
                                     "\"1e3\"",
                                     "\"--1\"",
                                     "\"1 2\"",
                                     "\"\\u0661\"",
                                     "[]",
                                     "[1]",
                                     "{}",
                                     "{\"a\":1}",
                                     "2147483648",
                                     "1e300",
                                     "\"9223372036854775808\"",
                                     "\"2147483648\"",
                                     "9007199254740993e3",
                                     NULL};
static const char *const no_bool[] = {"\"\"", "\" \"",  "\"x\"", "\"tru\"", "\"yess\"",
                                      "2",    "-1",     "1.5",   "[]",      "[true]",
                                      "{}",   "\"01\"", "1e300", NULL};
static const char *const no_uuid[] = {"\"\"",
                                      "\"x\"",
                                      "7",
                                      "true",
                                      "[]",
                                      "{}",
                                      "\"12121212-3434-4565-8787-90909090909\"",
                                      "\"12121212-3434-4565-8787-9090909090900\"",
                                      "\"g2121212-3434-4565-8787-909090909090\"",
                                      "\"12121212-3434-4565-8787-909090909090'\"",
                                      NULL};
static const char *const no_dns[] = {"\"x\"",
                                     "\"8.8.8\"",
                                     "\"8.8.8.8,\"",
                                     "\"8.8.8.8;1.1.1.1\"",
                                     "\"::1\"",
                                     "\"8.8.8.256\"",
                                     "\"8.8.8.8,,1.1.1.1\"",
                                     "7",
                                     "true",
                                     "[]",
                                     "{}",
                                     NULL};

static void add_texts(struct strv *l)
{
    for (size_t i = 0; i < bad_texts_n; i++)
        add(l, bad_texts[i]);
}

static void add_long(struct strv *l, size_t n)
{
    _cleanup_free_ char *s = long_text(n);
    add(l, s);
}

static void add_number(struct strv *l, int64_t n)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)n);
    add(l, text);
    snprintf(text, sizeof text, "\"%lld\"", (long long)n);
    add(l, text);
}

static void add_string_limits(const struct attr *a, struct strv *l)
{
    if (a->min != ATTR_NO_LIMIT && a->min > 0)
        add(l, "\"\"");
    if (a->max == ATTR_NO_LIMIT)
        return;
    add_long(l, (size_t)a->max + 1);
    add_long(l, MEGABYTE);
    if (a->pattern)
        add_texts(l);
}

void bad_values(const struct attr *a, struct strv *l)
{
    if (a->flags & ATTR_READONLY) {
        add_all(l, no_text);
        add_texts(l);
        add(l, "\"\"");
        return;
    }
    switch (a->type) {
    case ATTR_STRING:
        add_string_limits(a, l);
        add_all(l, no_text);
        break;
    case ATTR_TEXT:
        add_all(l, no_text);
        if (a->max > 0)
            add_string_limits(a, l);
        break;
    case ATTR_INT:
        add_all(l, no_int);
        add_texts(l);
        if (a->min != ATTR_NO_LIMIT)
            add_number(l, a->min - 1);
        if (a->max != ATTR_NO_LIMIT)
            add_number(l, a->max + 1);
        break;
    case ATTR_BOOL:
        add_all(l, no_bool);
        add_texts(l);
        break;
    case ATTR_ENUM:
        add_all(l, no_text);
        add_texts(l);
        add(l, "\"\"");
        add_long(l, MEGABYTE);
        break;
    case ATTR_LABELS:
        add_all(l, no_dict);
        break;
    case ATTR_TEXT_DICT:
        add_all(l, no_dict);
        add(l, "{\"a\":1}");
        add(l, "{\"a\":true}");
        break;
    case ATTR_DICT_LIST:
        add_all(l, no_list);
        add(l, "[{\"a\":1}]");
        break;
    case ATTR_TEXT_LIST:
        add_all(l, no_list);
        break;
    case ATTR_UUID:
        add_all(l, no_uuid);
        add_texts(l);
        break;
    case ATTR_DNS:
    case ATTR_IPV4:
        add_all(l, no_dns);
        add_texts(l);
        add(l, "\"\"");
        break;
    case ATTR_DICT:
    case ATTR_TEXT_OR_INT:
    case ATTR_TIME:
    case ATTR_ANY:
        break;
    }
}

/* ---- what a refusal must be ---- */

void refused(const char *method, const char *path, const char *body, int also, const char *name,
             const char *other_name)
{
    int status = ask(method, path, body);
    bool named = !name || strstr(detail(), name) || (other_name && strstr(detail(), other_name));
    bool good = (status == 400 || (also && status == also)) && error_body_good() && named;
    if (!good)
        fprintf(stderr, "%s %s %.300s: %d %.300s (should name %s)\n", method, path,
                body ? body : "", status, answer_text(), name ? name : "anything");
    CU_ASSERT(good);
}

struct stored stored_now(void)
{
    struct stored s;
    const char *text =
        sql("SELECT md5(string_agg(t, '|' ORDER BY t)) FROM (SELECT x::text AS t FROM cluster x"
            " UNION ALL SELECT x::text FROM cluster_template x"
            " UNION ALL SELECT x::text FROM nodegroup x UNION ALL SELECT x::text FROM quotas x"
            " UNION ALL SELECT x::text FROM federation x"
            " UNION ALL SELECT x::text FROM operation x"
            " UNION ALL SELECT x::text FROM operation_event x) AS everything");
    snprintf(s.text, sizeof s.text, "%s", text);
    return s;
}

void check_untouched(const struct stored *before, const char *what)
{
    struct stored now = stored_now();
    bool same = strcmp(before->text, now.text) == 0;
    if (!same)
        fprintf(stderr, "%s: something was stored\n", what);
    CU_ASSERT(same);
    ASK("GET", "/v1", NULL, 200);
}
