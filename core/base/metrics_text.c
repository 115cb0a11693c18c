/* Writes all metrics as text (Prometheus' exposition format 0.0.4): collectors first, then family
 * by family in the table's order. See metrics.h. */
#include "base/metrics_internal.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

struct collector {
    metrics_collect_fn fn;
    void *ctx;
    struct collector *next;
};

static struct {
    pthread_mutex_t lock; /* the list, and while one runs */
    struct collector *first;
} collectors = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- collectors ---- */

static struct collector **find(metrics_collect_fn fn, const void *ctx)
{
    struct collector **at = &collectors.first;
    while (*at && ((*at)->fn != fn || (*at)->ctx != ctx))
        at = &(*at)->next;
    return at;
}

int metrics_collect(metrics_collect_fn fn, void *ctx, struct err *e)
{
    struct collector *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    *c = (struct collector){.fn = fn, .ctx = ctx};
    pthread_mutex_lock(&collectors.lock);
    struct collector **at = find(fn, ctx);
    bool taken = *at != NULL;
    if (!taken)
        *at = c;
    pthread_mutex_unlock(&collectors.lock);
    if (!taken)
        return 0;
    free(c);
    return err_set(e, ERR_EXISTS, "this collector is there already");
}

void metrics_uncollect(metrics_collect_fn fn, void *ctx)
{
    pthread_mutex_lock(&collectors.lock);
    struct collector **at = find(fn, ctx), *c = *at;
    if (c)
        *at = c->next;
    pthread_mutex_unlock(&collectors.lock);
    free(c);
}

void metrics_text_done(void)
{
    while (collectors.first)
        metrics_uncollect(collectors.first->fn, collectors.first->ctx);
}

static void run_collectors(void)
{
    metrics_process();
    pthread_mutex_lock(&collectors.lock);
    for (struct collector *c = collectors.first; c; c = c->next)
        c->fn(c->ctx);
    pthread_mutex_unlock(&collectors.lock);
}

/* ---- text ---- */

/* Text that is not ASCII comes from nobody who names things here; it would have to be valid UTF-8.
 */
static void add_escaped(struct str *t, const char *s, bool quotes)
{
    for (; *s; s++)
        if (*s == '\n')
            str_append(t, "\\n");
        else if (*s == '\\' || (*s == '"' && quotes))
            str_append_n(t, (const char[]){'\\', *s}, 2);
        else
            str_append_c(t, (unsigned char)*s < ' ' || (unsigned char)*s > '~' ? '?' : *s);
}

static void add_number(struct str *t, double v)
{
    if (isnan(v))
        str_append(t, "NaN");
    else if (isinf(v))
        str_append(t, v > 0 ? "+Inf" : "-Inf");
    else
        str_printf(t, "%.15g", v);
}

char *metrics_label_text(const struct family *f, const char *values)
{
    struct str t = STR_INIT;
    for (unsigned i = 0; i < f->n_labels; i++, values += strlen(values) + 1) {
        str_append(&t, i ? "," : "");
        str_append(&t, f->label[i]->name);
        str_append(&t, "=\"");
        add_escaped(&t, values, true);
        str_append_c(&t, '"');
    }
    return str_take(&t);
}

bool metrics_bounds_text(const struct metric_about *a, char **ret)
{
    bool whole = true;
    for (unsigned i = 0; i < a->n_buckets; i++) {
        ret[i] = str_fmt("%.15g", (double)a->buckets_us[i] / 1e6);
        whole &= ret[i] != NULL;
    }
    ret[a->n_buckets] = str_dup("+Inf");
    return whole && ret[a->n_buckets];
}

/* A scrape has thousands of them: ten times as quick as printf. */
static void add_count(struct str *t, uint64_t n)
{
    char digits[24], *p = digits + sizeof digits;
    *--p = '\n';
    do
        *--p = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    str_append_n(t, p, (size_t)(digits + sizeof digits - p));
}

/* NAME{LABELS} and a blank. */
static void add_name(struct str *t, const char *name, const char *part, const struct series *s)
{
    str_append(t, name);
    str_append(t, part);
    if (*s->text) {
        str_append_c(t, '{');
        str_append(t, s->text);
        str_append_c(t, '}');
    }
    str_append_c(t, ' ');
}

/* The buckets are read one after the other while others add to them; what is said of them is made
 * of these readings alone, so that it fits together. */
static void add_histogram(struct str *t, const struct metric_about *a, const struct family *f,
                          const struct series *s)
{
    uint64_t sum = atomic_load_explicit(&s->value, memory_order_relaxed), count = 0;
    for (unsigned i = 0; i <= a->n_buckets; i++) {
        count += atomic_load_explicit(&s->cells[i], memory_order_relaxed);
        str_append(t, a->name);
        str_append(t, "_bucket{");
        str_append(t, s->text);
        str_append(t, *s->text ? ",le=\"" : "le=\"");
        str_append(t, f->le[i]);
        str_append(t, "\"} ");
        add_count(t, count);
    }
    add_name(t, a->name, "_sum", s);
    add_number(t, (double)sum / 1e6);
    str_append_c(t, '\n');
    add_name(t, a->name, "_count", s);
    add_count(t, count);
}

static void add_series(struct str *t, const struct metric_about *a, const struct family *f,
                       const struct series *s)
{
    uint64_t bits = atomic_load_explicit(&s->value, memory_order_relaxed);
    double value;
    if (a->type == METRIC_TYPE_HISTOGRAM) {
        add_histogram(t, a, f, s);
        return;
    }
    add_name(t, a->name, "", s);
    if (a->type == METRIC_TYPE_COUNTER) {
        add_count(t, bits);
        return;
    }
    memcpy(&value, &bits, sizeof value);
    add_number(t, value);
    str_append_c(t, '\n');
}

static void add_family(struct str *t, const struct metric_about *a, const struct family *f)
{
    bool begun = false;
    for (size_t i = 0; f->slots && i <= f->mask; i++) {
        const struct series *s = atomic_load_explicit(&f->slots[i], memory_order_acquire);
        if (!s || !atomic_load_explicit(&s->shown, memory_order_relaxed))
            continue;
        if (!begun) {
            str_printf(t, "# HELP %s ", a->name);
            add_escaped(t, a->help, false);
            str_printf(t, "\n# TYPE %s %s\n", a->name, metrics_type_name(a->type));
            begun = true;
        }
        add_series(t, a, f, s);
    }
}

void metrics_write(struct str *t)
{
    if (!metrics_on())
        return;
    run_collectors();
    metrics_update_begin();
    for (enum metric m = 0; m < METRICS_N; m++)
        add_family(t, metrics_about(m), metrics_family(m));
    metrics_update_end();
}
