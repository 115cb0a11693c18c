/* Inside the metrics: one family per metric with its series (metrics.c), and their way into text
 * (metrics_text.c). */
#ifndef MAGNUM_BASE_METRICS_INTERNAL_H
#define MAGNUM_BASE_METRICS_INTERNAL_H

#include "base/metrics.h"

#include <stdatomic.h>

#define METRICS_OTHER "other"

struct series {
    uint64_t hash;
    char *values; /* of its labels, each with its NUL; owned */
    char *text;   /* the same as a scrape has them, without braces; owned */
    atomic_bool shown;
    atomic_uint_fast64_t value;   /* count; bits of a double; sum of a histogram in microseconds */
    atomic_uint_fast64_t cells[]; /* of a histogram: how many fell into each bucket alone */
};

struct family {
    const struct metric_label *label[METRICS_LABELS];
    unsigned n_labels, n_cells;
    char **le;                       /* texts of the upper bounds, n_cells; owned */
    size_t mask;                     /* slots - 1 */
    _Atomic(struct series *) *slots; /* NULL: not shown by this process */
    atomic_uint n;
};

struct family *metrics_family(enum metric m);
void metrics_text_done(void);
/* a="b",c="d" of a series' values; NULL: no memory. Caller frees. */
char *metrics_label_text(const struct family *f, const char *values);
/* The texts of family.le; false: no memory. */
bool metrics_bounds_text(const struct metric_about *a, char **ret);
/* Sets what the kernel knows of this process. */
void metrics_process(void);

#endif
