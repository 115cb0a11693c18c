/* See router.h. */
#include "api/router.h"

#include "base/cleanup.h"

#include <string.h>

/* What Magnum's routing says in Allow, by the longest matching prefix of a path. */
static const struct {
    const char *prefix, *allow;
} allows[] = {
    {"clusters/*/actions", ""},
    {"clusters/*/operations", "GET"},
    {"clusters", "DELETE, GET, PATCH, POST"},
    {"clustertemplates", "DELETE, GET, PATCH, POST"},
    {"bays", "DELETE, GET, PATCH, POST"},
    {"baymodels", "DELETE, GET, PATCH, POST"},
    {"certificates", "GET, PATCH, POST"},
    {"credentials", "PATCH"},
    {"quotas", "DELETE, GET, PATCH, POST"},
    {"federations", "DELETE, GET, PATCH, POST"},
    {"operations/*/cancel", "POST"},
    {"containers/logs", "GET"},
    {"containers/start", "PUT"},
    {"containers/stop", "PUT"},
    {"containers/reboot", "PUT"},
    {"containers/pause", "PUT"},
    {"containers/unpause", "PUT"},
    {"containers/execute", "PUT"},
    {"containers", "DELETE, GET, PATCH, POST"},
    {"pods", "DELETE, GET, PATCH, POST"},
    {"services", "DELETE, GET, PATCH, POST"},
    {"rcs", "DELETE, GET, PATCH, POST"},
    {"nodes", "DELETE, GET, PATCH, POST"},
};

/* 0: differs; else 1 + the number of pattern segments that matched. With `whole`, all of `seg` must
 * be used. args may be NULL. */
static size_t match(const char *pattern, const char *const *seg, size_t n_seg, bool whole,
                    const char **args, size_t *n_args)
{
    size_t i = 0, stars = 0;
    for (const char *p = pattern; *p; i++) {
        size_t len = strcspn(p, "/");
        if (i >= n_seg)
            return 0;
        if (len == 1 && *p == '*') {
            if (args)
                args[stars++] = seg[i];
        } else if (strncmp(p, seg[i], len) != 0 || seg[i][len]) {
            return 0;
        }
        p += len;
        if (*p == '/')
            p++;
    }
    if (whole && i != n_seg)
        return 0;
    if (n_args)
        *n_args = stars;
    return 1 + i;
}

static const char *allow_of(const char *const *seg, size_t n_seg)
{
    for (size_t i = 0; i < ARRAY_LEN(allows); i++)
        if (match(allows[i].prefix, seg, n_seg, false, NULL, NULL))
            return allows[i].allow;
    return "GET";
}

void route_find(const struct route *table, size_t n, const char *method, const char *const *seg,
                size_t n_seg, struct route_match *ret)
{
    *ret = (struct route_match){.outcome = ROUTE_NOT_FOUND};
    if (n_seg > ROUTE_SEGMENTS)
        return;
    for (size_t i = 0; i < n; i++) {
        if (!match(table[i].pattern, seg, n_seg, true, ret->args, &ret->n_args))
            continue;
        ret->outcome = ROUTE_METHOD;
        if (table[i].method && strcmp(table[i].method, method) == 0) {
            ret->outcome = ROUTE_FOUND;
            ret->route = &table[i];
            if (table[i].only_with)
                ret->allow = allow_of(seg, n_seg);
            return;
        }
    }
    ret->allow = allow_of(seg, n_seg);
    if (strcmp(method, "HEAD") == 0) /* refused before the path is looked at */
        ret->outcome = ROUTE_METHOD;
}
