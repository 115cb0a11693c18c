/* See trace.h. Ids need no secrecy, only to be different in all processes: each thread draws them
 * from its own generator, seeded by the kernel. */
#include "base/trace.h"

#include "base/clock.h"
#include "base/str.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { STATE_MEMBERS = 32, KEY_MAX = 256, TENANT_MAX = 241, SYSTEM_MAX = 14, VALUE_MAX = 256 };

static _Thread_local const struct trace_context *current;
static trace_sink sink_fn;
static void *sink_ctx;
static int64_t sink_per_million;
static atomic_bool sink_set;

/* ---- traceparent ---- */

static bool lower_hex(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(s[i] >= '0' && s[i] <= '9') && !(s[i] >= 'a' && s[i] <= 'f'))
            return false;
    return true;
}

static bool all_zero(const char *s, size_t n)
{
    return strspn(s, "0") >= n;
}

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* version "-" trace-id "-" parent-id "-" flags; later versions may go on after another dash. */
static bool parse_parent(const char *s, struct trace_context *ret)
{
    enum { TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53, LEN = 55 };
    size_t len = strlen(s);
    if (len < LEN || !lower_hex(s, 2) || strncmp(s, "ff", 2) == 0)
        return false;
    if (len > LEN && (strncmp(s, "00", 2) == 0 || s[LEN] != '-'))
        return false;
    if (s[TRACE_AT - 1] != '-' || s[SPAN_AT - 1] != '-' || s[FLAGS_AT - 1] != '-')
        return false;
    if (!lower_hex(s + TRACE_AT, TRACE_ID_TEXT - 1) || !lower_hex(s + SPAN_AT, TRACE_SPAN_TEXT - 1))
        return false;
    if (!lower_hex(s + FLAGS_AT, 2) || all_zero(s + TRACE_AT, TRACE_ID_TEXT - 1) ||
        all_zero(s + SPAN_AT, TRACE_SPAN_TEXT - 1))
        return false;
    *ret = (struct trace_context){.sampled = (digit(s[FLAGS_AT + 1]) & 1) != 0};
    memcpy(ret->trace_id, s + TRACE_AT, TRACE_ID_TEXT - 1);
    memcpy(ret->span_id, s + SPAN_AT, TRACE_SPAN_TEXT - 1);
    return true;
}

/* ---- tracestate ---- */

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool key_part(const char *s, size_t n, bool digit_first)
{
    if (n == 0 || (!is_lower(s[0]) && !(digit_first && s[0] >= '0' && s[0] <= '9')))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_lower(s[i]) && !(s[i] >= '0' && s[i] <= '9') && !memchr("_-*/", s[i], 4))
            return false;
    return true;
}

static bool valid_key(const char *s, size_t n)
{
    const char *at = memchr(s, '@', n);
    if (!at)
        return n <= KEY_MAX && key_part(s, n, false);
    size_t tenant = (size_t)(at - s), system = n - tenant - 1;
    return tenant <= TENANT_MAX && system <= SYSTEM_MAX && key_part(s, tenant, true) &&
           key_part(at + 1, system, false);
}

static bool valid_value(const char *s, size_t n)
{
    if (n == 0 || n > VALUE_MAX || s[n - 1] == ' ')
        return false;
    for (size_t i = 0; i < n; i++)
        if (s[i] < 0x20 || s[i] > 0x7E || s[i] == '=')
            return false; /* a comma can't be here: it ends the member */
    return true;
}

struct key {
    const char *s;
    size_t n;
};

static bool seen_before(const struct key *keys, size_t n, const struct key *k)
{
    for (size_t i = 0; i < n; i++)
        if (keys[i].n == k->n && memcmp(keys[i].s, k->s, k->n) == 0)
            return true;
    return false;
}

static bool valid_state(const char *s)
{
    struct key keys[STATE_MEMBERS];
    size_t n = 0;
    if (strlen(s) > TRACE_STATE_READ)
        return false;
    for (const char *p = s; *p;) {
        size_t len = strcspn(p, ",");
        const char *begin = p, *end = p + len;
        p = *end ? end + 1 : end;
        while (begin < end && (*begin == ' ' || *begin == '\t'))
            begin++;
        while (end > begin && (end[-1] == ' ' || end[-1] == '\t'))
            end--;
        if (begin == end) /* empty members are allowed */
            continue;
        const char *eq = memchr(begin, '=', (size_t)(end - begin));
        if (!eq || n == STATE_MEMBERS)
            return false;
        struct key k = {begin, (size_t)(eq - begin)};
        if (!valid_key(k.s, k.n) || !valid_value(eq + 1, (size_t)(end - eq - 1)) ||
            seen_before(keys, n, &k))
            return false;
        keys[n++] = k;
    }
    return n > 0;
}

bool trace_parse(const char *parent, const char *state, struct trace_context *ret)
{
    struct trace_context c;
    if (!parent || !parse_parent(parent, &c))
        return false;
    c.state = state && valid_state(state) ? state : NULL;
    *ret = c;
    return true;
}

/* Takes `len` characters at `at` out, with the comma that divided them from the others. */
static void cut(char *s, char *at, size_t len)
{
    if (at[len] == ',')
        len++;
    else if (at > s)
        at--, len++;
    memmove(at, at + len, strlen(at + len) + 1);
}

bool trace_state_limit(char *state)
{
    enum { LONG_MEMBER = 128 };
    for (char *p = state; *p && strlen(state) > TRACE_STATE_MAX;) {
        size_t len = strcspn(p, ",");
        bool last = p[len] == '\0'; /* with it the comma before it goes, and p is no member's */
        if (len > LONG_MEMBER)
            cut(state, p, len);
        else
            p += len + (p[len] == ',');
        if (last)
            break;
    }
    while (strlen(state) > TRACE_STATE_MAX) {
        char *last = strrchr(state, ',');
        last = last ? last + 1 : state;
        cut(state, last, strlen(last));
    }
    return *state != '\0';
}

char *trace_store(bool *ret_oom)
{
    char parent[TRACE_PARENT_TEXT];
    if (!current)
        return NULL;
    trace_parent_text(current, parent);
    const char *state = current->state;
    char *text = str_fmt("%s%s%s", parent, state ? " " : "", state ? state : "");
    *ret_oom |= text == NULL;
    return text;
}

bool trace_restore(const char *text, struct trace_context *ret)
{
    char parent[TRACE_PARENT_TEXT];
    const char *state = text ? strchr(text, ' ') : NULL;
    if (!state)
        return trace_parse(text, NULL, ret);
    if ((size_t)(state - text) >= sizeof parent)
        return false;
    snprintf(parent, sizeof parent, "%.*s", (int)(state - text), text);
    return trace_parse(parent, state + 1, ret);
}

void trace_parent_text(const struct trace_context *c, char ret[TRACE_PARENT_TEXT])
{
    snprintf(ret, TRACE_PARENT_TEXT, "00-%.32s-%.16s-%s", c->trace_id, c->span_id,
             c->sampled ? "01" : "00");
}

const struct trace_context *trace_current(void)
{
    return current;
}

const char *trace_text(char buf[TRACE_PARENT_TEXT])
{
    if (!current)
        return NULL;
    trace_parent_text(current, buf);
    return buf;
}

/* ---- ids ---- */

static uint64_t draw(void)
{
    static _Thread_local uint64_t state;
    if (state == 0 && getrandom(&state, sizeof state, 0) != sizeof state)
        state = (uint64_t)clock_mono_us() ^ (uint64_t)(uintptr_t)&state;
    state += UINT64_C(0x9E3779B97F4A7C15); /* splitmix64 */
    uint64_t z = state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static uint64_t draw_some(void)
{
    uint64_t n;
    do
        n = draw();
    while (n == 0); /* all zeros is no id */
    return n;
}

static void hex(uint64_t n, char *to)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 15; i >= 0; i--, n >>= 4)
        to[i] = digits[n & 0xF];
}

/* By the low half of the trace id, so that every process that decided anew would decide alike. */
static bool chosen(uint64_t low)
{
    const uint64_t bits = UINT64_C(1) << 56;
    return (low & (bits - 1)) / (bits / TRACE_MILLION + 1) < (uint64_t)sink_per_million;
}

/* ---- spans ---- */

void trace_span_begin(struct trace_span *s, const struct trace_context *parent,
                      enum trace_kind kind)
{
    bool sink = atomic_load_explicit(&sink_set, memory_order_acquire);
    *s = (struct trace_span){.kind = kind};
    if (parent) {
        s->ctx = *parent;
        memcpy(s->parent, parent->span_id, sizeof s->parent);
    } else {
        uint64_t low = draw_some();
        hex(draw(), s->ctx.trace_id);
        hex(low, s->ctx.trace_id + 16);
        s->ctx.sampled = sink && chosen(low);
    }
    hex(draw_some(), s->ctx.span_id);
    s->recording = sink && s->ctx.sampled;
    if (s->recording) {
        s->begin_us = clock_wall_us();
        s->mono_us = clock_mono_us();
    }
}

void trace_span_enter(struct trace_span *s)
{
    s->before = current;
    s->entered = true;
    current = &s->ctx;
}

/* Paths and header fields are the client's choice, and spans wait in a queue of thousands: at most
 * TRACE_TEXT_MAX bytes, without half a character at the end. */
static size_t kept(const char *text)
{
    size_t n = strnlen(text, TRACE_TEXT_MAX + 1);
    if (n <= TRACE_TEXT_MAX)
        return n;
    for (n = TRACE_TEXT_MAX; n && ((unsigned char)text[n] & 0xC0) == 0x80;)
        n--;
    return n;
}

void trace_span_name(struct trace_span *s, const char *fmt, ...)
{
    if (!s->recording)
        return;
    struct str text = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_vprintf(&text, fmt, ap);
    va_end(ap);
    free(s->name);
    s->name = str_take(&text);
    if (s->name)
        s->name[kept(s->name)] = '\0';
}

static struct trace_attr *add_attr(struct trace_span *s, const char *key)
{
    if (!s->recording || s->n_attrs == TRACE_ATTRS)
        return NULL;
    struct trace_attr *a = &s->attrs[s->n_attrs++];
    *a = (struct trace_attr){.key = key};
    return a;
}

void trace_span_text(struct trace_span *s, const char *key, const char *text)
{
    struct trace_attr *a = text ? add_attr(s, key) : NULL;
    if (a && !(a->text = strndup(text, kept(text))))
        s->n_attrs--; /* no memory: a span without it */
}

void trace_span_number(struct trace_span *s, const char *key, int64_t number)
{
    struct trace_attr *a = add_attr(s, key);
    if (a)
        a->number = number;
}

void trace_span_fail(struct trace_span *s, const char *text)
{
    if (!s->recording)
        return;
    s->failed = true;
    free(s->problem);
    s->problem = str_dup(text);
}

void trace_span_free(struct trace_span *s)
{
    for (size_t i = 0; i < s->n_attrs; i++)
        free(s->attrs[i].text);
    s->n_attrs = 0;
    free(s->name);
    free(s->problem);
    s->name = s->problem = NULL;
}

static void leave(struct trace_span *s)
{
    if (s->entered)
        current = s->before;
    s->entered = false;
}

void trace_span_end(struct trace_span *s)
{
    leave(s);
    if (!s->recording)
        return;
    s->recording = false;
    s->took_us = clock_mono_us() - s->mono_us;
    if (atomic_load_explicit(&sink_set, memory_order_acquire))
        sink_fn(sink_ctx, s);
    trace_span_free(s);
}

void trace_span_drop(struct trace_span *s)
{
    leave(s);
    s->recording = false;
    trace_span_free(s);
}

void trace_sink_set(trace_sink sink, void *ctx, int64_t per_million)
{
    if (!sink)
        atomic_store_explicit(&sink_set, false, memory_order_release);
    sink_fn = sink;
    sink_ctx = ctx;
    sink_per_million = per_million;
    if (sink)
        atomic_store_explicit(&sink_set, true, memory_order_release);
}
