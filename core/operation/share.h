/* Fair shares: who of many may take the next of something they all need, such as the places of a
 * conductor's table or its workers. Pure, no I/O, as all of this folder.
 *
 * The limit is dynamic: each may have `share` times what nobody has. One alone gets most of it
 * (share / (share + 1)), several split it, and a part always stays free for whoever comes next.
 * Neighbours: conductor/scheduler.c (leases by project), conductor/lanes.c (workers by driver and
 * by endpoint of a backend), tests/simulation. */
#ifndef MAGNUM_OPERATION_SHARE_H
#define MAGNUM_OPERATION_SHARE_H

#include <stdbool.h>
#include <stddef.h>

struct share_rule {
    size_t share; /* times what is free; 0 = all of it */
    size_t most;  /* besides, so many at most; 0 = no such limit */
};
/* May one that has `has` take another one, with `free` left of all? Who has nothing always may, as
 * long as something is left. */
bool share_may_take(const struct share_rule *r, size_t has, size_t free);

struct share_claim {
    size_t has, due; /* what it has, what it could take now */
    size_t take;     /* out: of due */
};
/* How many of the claims, from the first on, come into question when at most `firsts` of those that
 * have nothing may be given something. */
size_t share_among(const struct share_claim *v, size_t n, size_t firsts);
/* Deals out up to `room` of the `free` ones, one by one to whoever then has least, earlier claims
 * first. Room is what the taker can begin with: somebody who has nothing gets a first one even
 * without. Returns whether anything due was left. */
bool share_deal(const struct share_rule *r, struct share_claim *v, size_t n, size_t room,
                size_t free);

#endif
