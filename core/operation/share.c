/* See share.h. Dealing one at a time to who has least is max-min fairness; with as few claims and
 * places as a conductor has, nothing cleverer is needed. */
#include "operation/share.h"

bool share_may_take(const struct share_rule *r, size_t has, size_t free)
{
    if (free == 0)
        return false;
    if (has == 0)
        return true;
    if (r->most && has >= r->most)
        return false;
    return r->share == 0 || has / r->share < free;
}

size_t share_among(const struct share_claim *v, size_t n, size_t firsts)
{
    size_t i = 0;
    for (; i < n; i++)
        if (v[i].has == 0 && v[i].due && firsts-- == 0)
            break;
    return i;
}

static size_t next_one(const struct share_rule *r, const struct share_claim *v, size_t n,
                       size_t room, size_t free)
{
    size_t best = n;
    for (size_t i = 0; i < n; i++) {
        size_t has = v[i].has + v[i].take;
        if (v[i].take == v[i].due || (room == 0 && has) || !share_may_take(r, has, free))
            continue;
        if (best == n || has < v[best].has + v[best].take)
            best = i;
    }
    return best;
}

bool share_deal(const struct share_rule *r, struct share_claim *v, size_t n, size_t room,
                size_t free)
{
    for (size_t i = 0; i < n; i++)
        v[i].take = 0;
    for (size_t i; (i = next_one(r, v, n, room, free)) < n;) {
        v[i].take++;
        free--;
        room -= room > 0;
    }
    for (size_t i = 0; i < n; i++)
        if (v[i].take < v[i].due)
            return true;
    return false;
}
