/* Which handler serves a method and path (api.md 1.4, 5, 6 to 15): a table of patterns, and the
 * answers of Magnum's routing to everything else: 404, 405 with Allow, missing and surplus path
 * arguments. Pure. Neighbours: routes.c holds the table; api.c dispatches. */
#ifndef MAGNUM_API_ROUTER_H
#define MAGNUM_API_ROUTER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct api_call;
struct attr_table;
struct patch_rules;
typedef int (*api_handler)(struct api_call *c, struct err *e);

enum body_kind {
    BODY_NONE,   /* no argument; {} and nothing pass */
    BODY_OBJECT, /* checked against attrs */
    BODY_NAMES,  /* only the names are checked; the handler does the rest */
    BODY_PATCH,  /* checked against patch */
};

enum { ROUTE_SEGMENTS = 8 };

struct route {
    const char *method;  /* NULL: the path exists, no method does */
    const char *pattern; /* segments after /v1; a star stands for any one */
    api_handler handler; /* NULL: one of the refusals below */
    const char *missing; /* a path argument that the method needs and this path lacks */
    const struct attr_table
        *surplus;      /* whose body argument that the last segment is taken for: POST on an item */
    bool marker;       /* the segment before the last is taken for a page marker */
    int min_minor;     /* first microversion; 0 = all */
    const char *name;  /* how the 406 of an older version calls it */
    const char *query; /* allowed query arguments, comma separated; NULL = none */
    const char *only_with; /* a query argument without which the method is refused; NULL = none */
    enum body_kind body;
    const struct attr_table *attrs;
    const struct patch_rules *patch;
};

enum route_outcome { ROUTE_FOUND, ROUTE_NOT_FOUND, ROUTE_METHOD };
struct route_match {
    enum route_outcome outcome;
    const struct route *route;
    const char *args[ROUTE_SEGMENTS]; /* what the stars stood for, borrowed */
    size_t n_args;
    const char *allow; /* of ROUTE_METHOD, and of a route with only_with */
};

/* seg: the segments after the version prefix. */
void route_find(const struct route *table, size_t n, const char *method, const char *const *seg,
                size_t n_seg, struct route_match *ret);

extern const struct route api_routes[];
extern const size_t api_routes_n;

#endif
