/* A cluster as the REST API shows it, made for reading many of them fast: nothing is copied and no
 * JSON is parsed. Texts, and JSON as its text, are borrowed from the page they came with.
 * Neighbours: db_cluster fills pages, api/views prints them. */
#ifndef MAGNUM_MODEL_CLUSTER_SHOWN_H
#define MAGNUM_MODEL_CLUSTER_SHOWN_H

#include "model/entity.h"

#define SHOWN_FIELD_STR(name) const char *name;
#define SHOWN_FIELD_INT(name) int64_t name;
#define SHOWN_FIELD_BOOL(name) bool name;
#define SHOWN_FIELD_TIME(name) int64_t name;
#define SHOWN_FIELD_JSON(name) const char *name;

#define F(kind, name) SHOWN_FIELD_##kind(name)
struct cluster_shown {
#include "model/cluster_shown.def"
    /* derived from the nodegroups; all but the counts are NULL in a list */
    int64_t node_count, master_count;              /* role != master, role == master */
    const char *node_addresses, *master_addresses; /* items of a JSON list, without its brackets */
    const char *template_labels;                   /* JSON */
    const char *faults;                            /* JSON, of failed clusters */
};
#undef F

struct cluster_page {
    void *rows; /* what everything in v is borrowed from */
    struct cluster_shown *v;
    size_t n;
};
#define CLUSTER_PAGE_INIT                                                                          \
    {                                                                                              \
        NULL, NULL, 0                                                                              \
    }

#endif
