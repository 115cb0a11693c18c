/* Counters, gauges and histograms of this process, in Prometheus' text format.
 *
 * metrics.def is the one table of what there is. A metric with labels has a series for every
 * combination of values that occurred, at most metrics.max_series of them: what comes after is
 * counted in one series whose labels are all "other", so that nobody from outside can make a
 * process grow. Series are found without a lock and changed by one atomic addition; they stay for
 * ever.
 *
 *   metrics_inc(METRIC_HTTP_REQUESTS, METRICS_LABELS_OF(route, method, "200"));
 *   metrics_observe_us(METRIC_STEP_DURATION, clock_mono_us() - began, METRICS_LABELS_OF(id, verb));
 *   metrics_set(METRIC_QUEUE_AGE, 1.5, NULL);
 *
 * Everything is thread-safe. Without metrics_setup nothing is kept and every call is a no-op, which
 * is how the command line programs and most tests live. Neighbours: everything; http/metrics.h
 * serves the text. */
#ifndef MAGNUM_BASE_METRICS_H
#define MAGNUM_BASE_METRICS_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

enum metric {
#define METRIC(id, ...) METRIC_##id,
#include "base/metrics.def"
    METRICS_N
};

enum metrics_where { METRICS_API = 1, METRICS_CONDUCTOR = 2, METRICS_BOTH = 3 };
enum { METRICS_LABELS = 4 };

/* The values of a metric's labels in the table's order; none may be NULL. Read until the call
 * returns. NULL for a metric without labels. */
#define METRICS_LABELS_OF(...) ((const char *const[METRICS_LABELS + 1]){__VA_ARGS__})

/* Once, before the first thread: which metrics are shown, and the bound of each one's series.
 * Without it all calls below do nothing. ERR_NOMEM. */
int metrics_setup(enum metrics_where where, unsigned max_series, struct err *e) MUST_CHECK;
/* Forgets everything, collectors too; nobody may use metrics any more. */
void metrics_done(void);
bool metrics_on(void);

/* Counters. */
void metrics_add(enum metric m, uint64_t n, const char *const *labels);
void metrics_inc(enum metric m, const char *const *labels);
/* Histograms; a negative time counts as 0. */
void metrics_observe_us(enum metric m, int64_t us, const char *const *labels);
/* Gauges, and counters that are kept elsewhere: the value. Gauges: what it changes by. */
void metrics_set(enum metric m, double value, const char *const *labels);
void metrics_change(enum metric m, int64_t by, const char *const *labels);

/* What a return value is as the label `result`: ok, timeout, unavailable or error. */
const char *metrics_result(int rc);

/* Around several metrics_set that are to be seen together: nothing is written out meanwhile.
 * Inside, metrics_forget takes away all series of a gauge until they are set again. */
void metrics_update_begin(void);
void metrics_forget(enum metric m);
void metrics_update_end(void);

/* fn is called before the text is written, by the thread that writes it, to set what is only known
 * when asked. It must not wait for anybody. After metrics_uncollect returned it does not run.
 * Collectors stay registered under their ctx. ERR_NOMEM, ERR_EXISTS. */
typedef void (*metrics_collect_fn)(void *ctx);
int metrics_collect(metrics_collect_fn fn, void *ctx, struct err *e) MUST_CHECK;
void metrics_uncollect(metrics_collect_fn fn, void *ctx);

/* Text exposition format 0.0.4 of everything shown here. t->oom when memory is gone. */
void metrics_write(struct str *t);
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* The table, for who describes it. */
/* TOTAL: a counter that is kept elsewhere and set here. */
enum metric_type {
    METRIC_TYPE_COUNTER,
    METRIC_TYPE_GAUGE,
    METRIC_TYPE_HISTOGRAM,
    METRIC_TYPE_TOTAL
};
const char *metrics_type_name(enum metric_type t); /* as Prometheus calls it */
struct metric_about {
    enum metric_type type;
    enum metrics_where where;
    const char *name, *labels, *help;
    const int64_t *buckets_us; /* ascending */
    unsigned n_buckets;
};
const struct metric_about *metrics_about(enum metric m);
struct metric_label {
    const char *name, *values, *meaning;
};
/* The i-th label, NULL after the last one. */
const struct metric_label *metrics_label(unsigned i);

#endif
