/* See metrics.h. A metric's series stand in an open hash table of pointers: readers only load them,
 * a new one is made under the lock and published by one store. Nothing is ever taken out. */
#include "base/metrics.h"

#include "base/metrics_internal.h"

#include <pthread.h>
#include <string.h>

#define BUCKETS(name, ...) static const int64_t buckets_##name[] = {__VA_ARGS__};
#include "base/metrics.def"
static const int64_t buckets_NONE[] = {0};

static const struct metric_label label_table[] = {
#define LABEL(name, values, meaning) {#name, values, meaning},
#include "base/metrics.def"
};

static const struct metric_about table[METRICS_N] = {
#define METRIC(id, kind, place, name, labels, buckets, help)                                       \
    {METRIC_TYPE_##kind,                                                                           \
     METRICS_##place,                                                                              \
     name,                                                                                         \
     labels,                                                                                       \
     help,                                                                                         \
     buckets_##buckets,                                                                            \
     METRIC_TYPE_##kind == METRIC_TYPE_HISTOGRAM ? ARRAY_LEN(buckets_##buckets) : 0},
#include "base/metrics.def"
};

static struct {
    atomic_bool on;
    unsigned max_series;
    pthread_mutex_t making; /* new series */
    pthread_mutex_t shown;  /* values that belong together */
    struct family families[METRICS_N];
} all = {.making = PTHREAD_MUTEX_INITIALIZER, .shown = PTHREAD_MUTEX_INITIALIZER};

const struct metric_about *metrics_about(enum metric m)
{
    return &table[m];
}

const struct metric_label *metrics_label(unsigned i)
{
    return i < ARRAY_LEN(label_table) ? &label_table[i] : NULL;
}

const char *metrics_type_name(enum metric_type t)
{
    static const char *const names[] = {[METRIC_TYPE_COUNTER] = "counter",
                                        [METRIC_TYPE_GAUGE] = "gauge",
                                        [METRIC_TYPE_HISTOGRAM] = "histogram",
                                        [METRIC_TYPE_TOTAL] = "counter"};
    return names[t];
}

struct family *metrics_family(enum metric m)
{
    return &all.families[m];
}

bool metrics_on(void)
{
    return atomic_load_explicit(&all.on, memory_order_acquire);
}

/* ---- set-up ---- */

static const struct metric_label *label_named(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(label_table); i++)
        if (strlen(label_table[i].name) == len && memcmp(label_table[i].name, name, len) == 0)
            return &label_table[i];
    return NULL;
}

/* Half empty at the most: all series and the one for the rest. */
static size_t slots_for(unsigned max_series)
{
    size_t n = 4;
    while (n < 2 * ((size_t)max_series + 1))
        n *= 2;
    return n;
}

static int family_init(enum metric m, struct err *e)
{
    struct family *f = &all.families[m];
    for (const char *p = table[m].labels; *p; p += strcspn(p, " "), p += strspn(p, " ")) {
        const struct metric_label *l = label_named(p, strcspn(p, " "));
        if (!l || f->n_labels == METRICS_LABELS)
            return err_set(e, ERR_INTERNAL, "metric %s has a label it can't have", table[m].name);
        f->label[f->n_labels++] = l;
    }
    size_t n = f->n_labels ? slots_for(all.max_series) : 2;
    f->mask = n - 1;
    f->n_cells = table[m].n_buckets ? table[m].n_buckets + 1 : 0;
    f->slots = calloc(n, sizeof *f->slots);
    f->le = calloc(f->n_cells + 1, sizeof *f->le);
    bool whole = f->slots && f->le && (!f->n_cells || metrics_bounds_text(&table[m], f->le));
    return whole ? 0 : err_nomem(e);
}

int metrics_setup(enum metrics_where where, unsigned max_series, struct err *e)
{
    int rc = 0;
    all.max_series = max_series;
    for (enum metric m = 0; rc == 0 && m < METRICS_N; m++)
        if (table[m].where & where)
            rc = family_init(m, e);
    if (rc < 0) {
        metrics_done();
        return rc;
    }
    atomic_store_explicit(&all.on, true, memory_order_release);
    for (enum metric m = 0; m < METRICS_N; m++) /* nothing has happened yet is something to know */
        if (!*table[m].labels && table[m].type == METRIC_TYPE_COUNTER)
            metrics_add(m, 0, NULL);
    return 0;
}

static void series_free(struct series *s)
{
    if (!s)
        return;
    free(s->values);
    free(s->text);
    free(s);
}

void metrics_done(void)
{
    atomic_store(&all.on, false);
    metrics_text_done();
    for (enum metric m = 0; m < METRICS_N; m++) {
        struct family *f = &all.families[m];
        for (size_t i = 0; f->slots && i <= f->mask; i++)
            series_free(atomic_load(&f->slots[i]));
        for (unsigned i = 0; f->le && i < f->n_cells; i++)
            free(f->le[i]);
        free(f->le);
        free(f->slots);
        *f = (struct family){.slots = NULL};
    }
}

/* ---- series ---- */

static bool listed(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *p = list; *p; p += strcspn(p, " "), p += strspn(p, " "))
        if (len == strcspn(p, " ") && memcmp(p, word, len) == 0)
            return true;
    return false;
}

/* What the labels become: NULL and the unexpected are "other". */
static uint64_t settle(const struct family *f, const char *const *given, const char **ret)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (unsigned i = 0; i < f->n_labels; i++) {
        const char *v = given && given[i] ? given[i] : METRICS_OTHER;
        if (*f->label[i]->values && !listed(f->label[i]->values, v))
            v = METRICS_OTHER;
        ret[i] = v;
        for (const char *p = v;; p++) {
            hash = (hash ^ (unsigned char)*p) * UINT64_C(1099511628211);
            if (!*p)
                break;
        }
    }
    return hash;
}

static bool same(const struct family *f, const struct series *s, const char *const *v)
{
    const char *mine = s->values;
    for (unsigned i = 0; i < f->n_labels; i++, mine += strlen(mine) + 1)
        if (strcmp(mine, v[i]) != 0)
            return false;
    return true;
}

/* The series, or NULL and where it would stand. */
static struct series *look(const struct family *f, uint64_t hash, const char *const *v,
                           size_t *ret_slot)
{
    size_t i = (size_t)hash & f->mask;
    for (;; i = (i + 1) & f->mask) {
        struct series *s = atomic_load_explicit(&f->slots[i], memory_order_acquire);
        if (!s || (s->hash == hash && same(f, s, v))) {
            *ret_slot = i;
            return s;
        }
    }
}

static struct series *make(const struct family *f, uint64_t hash, const char *const *v)
{
    size_t len = 0;
    for (unsigned i = 0; i < f->n_labels; i++)
        len += strlen(v[i]) + 1;
    struct series *s = calloc(1, sizeof *s + f->n_cells * sizeof s->cells[0]);
    char *values = s ? malloc(len + 1) : NULL;
    if (!values) {
        free(s);
        return NULL;
    }
    s->values = values;
    s->hash = hash;
    for (unsigned i = 0; i < f->n_labels; i++) {
        memcpy(values, v[i], strlen(v[i]) + 1);
        values += strlen(v[i]) + 1;
    }
    s->text = metrics_label_text(f, s->values);
    if (s->text)
        return s;
    series_free(s);
    return NULL;
}

/* NULL: there are `most` by now (a full table would have no end to look for), or no memory. */
static struct series *add(struct family *f, uint64_t hash, const char *const *v, unsigned most)
{
    size_t slot;
    pthread_mutex_lock(&all.making);
    struct series *s = look(f, hash, v, &slot); /* somebody else may have been quicker */
    if (!s && atomic_load(&f->n) < most && (s = make(f, hash, v))) {
        atomic_store_explicit(&f->slots[slot], s, memory_order_release);
        atomic_fetch_add(&f->n, 1);
    }
    pthread_mutex_unlock(&all.making);
    return s;
}

/* NULL: not shown here, or out of memory. */
static struct series *series_of(enum metric m, const char *const *labels)
{
    struct family *f = &all.families[m];
    const char *v[METRICS_LABELS];
    size_t slot;
    if (!metrics_on() || !f->slots)
        return NULL;
    uint64_t hash = settle(f, labels, v);
    struct series *s = look(f, hash, v, &slot);
    if (s)
        return s;
    if (atomic_load(&f->n) < all.max_series && (s = add(f, hash, v, all.max_series)))
        return s;
    if (m != METRIC_SERIES_OVERFLOW)
        metrics_inc(METRIC_SERIES_OVERFLOW, METRICS_LABELS_OF(table[m].name));
    hash = settle(f, NULL, v);
    s = look(f, hash, v, &slot);
    return s ? s : add(f, hash, v, all.max_series + 1);
}

/* ---- changes ---- */

void metrics_add(enum metric m, uint64_t n, const char *const *labels)
{
    struct series *s = series_of(m, labels);
    if (!s)
        return;
    atomic_fetch_add_explicit(&s->value, n, memory_order_relaxed);
    atomic_store_explicit(&s->shown, true, memory_order_relaxed);
}

void metrics_inc(enum metric m, const char *const *labels)
{
    metrics_add(m, 1, labels);
}

void metrics_observe_us(enum metric m, int64_t us, const char *const *labels)
{
    const struct metric_about *a = &table[m];
    struct series *s = series_of(m, labels);
    if (!s)
        return;
    if (us < 0)
        us = 0;
    unsigned i = 0;
    while (i < a->n_buckets && us > a->buckets_us[i])
        i++;
    atomic_fetch_add_explicit(&s->value, (uint64_t)us, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->cells[i], 1, memory_order_relaxed);
    atomic_store_explicit(&s->shown, true, memory_order_relaxed);
}

void metrics_set(enum metric m, double value, const char *const *labels)
{
    struct series *s = series_of(m, labels);
    uint64_t bits;
    if (!s)
        return;
    memcpy(&bits, &value, sizeof bits);
    atomic_store_explicit(&s->value, bits, memory_order_relaxed);
    atomic_store_explicit(&s->shown, true, memory_order_relaxed);
}

void metrics_change(enum metric m, int64_t by, const char *const *labels)
{
    struct series *s = series_of(m, labels);
    if (!s)
        return;
    uint64_t old = atomic_load(&s->value), new;
    do {
        double value;
        memcpy(&value, &old, sizeof value);
        value += (double)by;
        memcpy(&new, &value, sizeof new);
    } while (!atomic_compare_exchange_weak(&s->value, &old, new));
    atomic_store_explicit(&s->shown, true, memory_order_relaxed);
}

void metrics_update_begin(void)
{
    pthread_mutex_lock(&all.shown);
}

void metrics_update_end(void)
{
    pthread_mutex_unlock(&all.shown);
}

void metrics_forget(enum metric m)
{
    struct family *f = &all.families[m];
    for (size_t i = 0; metrics_on() && f->slots && i <= f->mask; i++) {
        struct series *s = atomic_load_explicit(&f->slots[i], memory_order_acquire);
        if (s)
            atomic_store_explicit(&s->shown, false, memory_order_relaxed);
    }
}

const char *metrics_result(int rc)
{
    if (rc >= 0)
        return "ok";
    if (rc == ERR_TIMEOUT)
        return "timeout";
    return rc == ERR_UNAVAILABLE || rc == ERR_BUSY || rc == ERR_SERVICE_DOWN ? "unavailable"
                                                                             : "error";
}
