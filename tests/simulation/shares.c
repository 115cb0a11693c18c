/* Fair shares under random schedules: a few conductors deal with operation/share.h, as scheduler.c
 * does (a page of projects in a turn, what somebody dead had before them), while projects come with
 * one operation or with a thousand, steps take as long as they like and conductors die. One seed is
 * one schedule. Checked after every turn:
 *  - what is dealt is due, and there is a place for it;
 *  - no project waits for ever: while it has work that is due and nothing at any conductor, at most
 *    BOUND turns pass in which somebody else was given a place it could have had;
 *  - one project alone leaves a part of each conductor free.
 * The argument `due-first` (places go to what has waited longest, as without shares) must be
 * noticed.
 */
#include "operation/share.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONDUCTORS = 3,
    PLACES = 24,
    WORKERS = 4,
    PROJECTS = 40,
    PAGE = 16,
    TURNS = 3000,
    /* A turn serves who is next of those that have nothing, and the following turn begins behind
     * it: each conductor comes to everybody. */
    BOUND = CONDUCTORS * PROJECTS
};

struct project {
    size_t due;
    uint64_t since; /* the turn in which it came, for due-first */
    size_t held[CONDUCTORS];
    int passed_over;
};
struct conductor {
    size_t used, ready;
    int after;              /* the last project that was given something, -1 = none */
    size_t freed[PROJECTS]; /* of somebody who died: these come first */
};
struct world {
    uint64_t rng, turn;
    struct project p[PROJECTS];
    struct conductor c[CONDUCTORS];
    bool due_first;
    char violation[160];
};

static uint64_t roll(struct world *w, uint64_t n)
{
    w->rng ^= w->rng << 13; /* xorshift64 */
    w->rng ^= w->rng >> 7;
    w->rng ^= w->rng << 17;
    return w->rng % n;
}

static size_t held(const struct project *p)
{
    size_t n = 0;
    for (int i = 0; i < CONDUCTORS; i++)
        n += p->held[i];
    return n;
}

static void arrive(struct world *w, struct project *p, size_t n)
{
    if (p->due == 0)
        p->since = w->turn;
    p->due += n;
}

/* Who has something due: what was given back for somebody dead first, then from behind the last
 * turn's end on. */
static size_t page(struct world *w, struct conductor *c, int ret[2 * PAGE], size_t *ret_first)
{
    size_t n = 0, behind = 0;
    for (int i = 0; i < PROJECTS; i++) {
        if (!w->p[i].due)
            c->freed[i] = 0;
        if (c->freed[i] && n < PAGE)
            ret[n++] = i;
    }
    *ret_first = n;
    for (int k = 1; k <= PROJECTS && behind < PAGE; k++) {
        int i = (c->after + k) % PROJECTS;
        bool there = false;
        for (size_t j = 0; j < *ret_first; j++)
            there |= ret[j] == i;
        behind += w->p[i].due > 0;
        if (w->p[i].due && !there)
            ret[n++] = i;
    }
    for (size_t i = 1; w->due_first && i < n; i++)
        for (size_t k = i; k > 0 && w->p[ret[k]].since < w->p[ret[k - 1]].since; k--) {
            int swap = ret[k];
            ret[k] = ret[k - 1];
            ret[k - 1] = swap;
        }
    return n;
}

static void next_turn(struct conductor *c, const int *who, const struct share_claim *v, size_t n,
                      size_t first)
{
    int after = n > first ? who[n - 1] : c->after;
    for (size_t i = 0; i < first; i++) {
        if (v[i].take)
            after = c->after;
        c->freed[who[i]] -= v[i].take < c->freed[who[i]] ? v[i].take : c->freed[who[i]];
    }
    for (size_t i = first; i < n; i++)
        if (v[i].take)
            after = who[i];
    c->after = after;
}

/* How many projects may come in with a first one, as in conductor/queue.c. */
static size_t firsts(const struct world *w, int ci, size_t room)
{
    size_t lanes = 0, ahead = 2 * WORKERS;
    for (int i = 0; i < PROJECTS; i++)
        lanes += w->p[i].held[ci] > 0;
    if (lanes > w->c[ci].ready)
        lanes = w->c[ci].ready;
    return lanes < ahead && ahead - lanes > room ? ahead - lanes : room;
}

/* Without shares: the oldest, as far as there is room. */
static void deal_due_first(struct share_claim *v, size_t n, size_t room)
{
    for (size_t i = 0; i < n; i++) {
        v[i].take = v[i].due < room ? v[i].due : room;
        room -= v[i].take;
    }
}

static void account(struct world *w, int ci, const int *who, const struct share_claim *v, size_t n,
                    size_t free)
{
    size_t taken = 0;
    for (size_t i = 0; i < n; i++) {
        if (v[i].take > v[i].due)
            snprintf(w->violation, sizeof w->violation, "more was dealt than is due");
        taken += v[i].take;
    }
    if (taken > free)
        snprintf(w->violation, sizeof w->violation, "%zu places of %zu were dealt", taken, free);
    for (size_t i = 0; i < n; i++) {
        struct project *p = &w->p[who[i]];
        p->due -= v[i].take;
        p->held[ci] += v[i].take;
    }
    w->c[ci].used += taken;
    w->c[ci].ready += taken;
    for (int i = 0; i < PROJECTS; i++) {
        struct project *p = &w->p[i];
        if (!p->due || held(p))
            p->passed_over = 0;
        else if (taken && ++p->passed_over > BOUND)
            snprintf(w->violation, sizeof w->violation,
                     "project %d has nothing and was passed over in %d turns", i, p->passed_over);
    }
}

static void lease(struct world *w, int ci)
{
    static const struct share_rule rule = {.share = 2};
    struct conductor *c = &w->c[ci];
    int who[2 * PAGE];
    struct share_claim v[2 * PAGE];
    size_t first, n = page(w, c, who, &first), free = PLACES - c->used;
    size_t room = c->ready < 2 * WORKERS ? 2 * WORKERS - c->ready : 0;
    for (size_t i = 0; i < n; i++) {
        size_t due = w->p[who[i]].due;
        v[i] = (struct share_claim){.has = w->p[who[i]].held[ci],
                                    .due = due < 2 * WORKERS ? due : 2 * WORKERS};
    }
    room = room < free ? room : free;
    size_t asked = share_among(v, n, firsts(w, ci, room));
    if (w->due_first)
        deal_due_first(v, asked = n, room);
    else
        (void)share_deal(&rule, v, asked, room, free);
    next_turn(c, who, v, asked, first < asked ? first : asked);
    account(w, ci, who, v, asked, free);
}

/* Something ends, or a conductor dies and what it had is due again. */
static void progress(struct world *w, int ci)
{
    struct conductor *c = &w->c[ci];
    bool dies = roll(w, 500) == 0;
    uint64_t heir = roll(w, CONDUCTORS);
    for (int i = 0; i < PROJECTS; i++) {
        struct project *p = &w->p[i];
        size_t gone = dies ? p->held[ci] : p->held[ci] && roll(w, 12) == 0;
        p->held[ci] -= gone;
        c->used -= gone;
        if (dies && gone)
            arrive(w, p, gone);
        if (dies)
            w->c[heir].freed[i] += gone;
    }
    c->ready = c->ready > 2 ? c->ready - roll(w, 3) : c->ready / 2;
    if (c->ready > c->used)
        c->ready = c->used;
}

/* Where work of a flood never ends, another project must find a place all the same. */
static void flood_alone(struct world *w)
{
    memset(w->p, 0, sizeof w->p);
    memset(w->c, 0, sizeof w->c);
    arrive(w, &w->p[0], 100000);
    for (int i = 0; i < 100; i++)
        for (int ci = 0; ci < CONDUCTORS; ci++) {
            w->c[ci].ready = 0;
            w->c[ci].after = -1;
            lease(w, ci);
        }
    for (int ci = 0; ci < CONDUCTORS; ci++)
        if (w->c[ci].used == PLACES)
            snprintf(w->violation, sizeof w->violation, "a single project has every place");
}

static bool run(uint64_t seed, bool due_first, char violation[160])
{
    struct world *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    w->rng = seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
    w->due_first = due_first;
    for (int i = 0; i < CONDUCTORS; i++)
        w->c[i].after = -1;
    for (w->turn = 0; w->turn < TURNS && !w->violation[0]; w->turn++) {
        int ci = (int)roll(w, CONDUCTORS);
        if (roll(w, 4) == 0)
            arrive(w, &w->p[roll(w, PROJECTS)], roll(w, 20) ? 1 + roll(w, 3) : 1000);
        progress(w, ci);
        lease(w, ci);
    }
    if (!w->violation[0])
        flood_alone(w);
    snprintf(violation, 160, "%s", w->violation);
    free(w);
    return !violation[0];
}

int main(int argc, char **argv)
{
    bool due_first = argc > 2 && strcmp(argv[2], "due-first") == 0;
    long seeds = argc > 1 ? strtol(argv[1], NULL, 10) : 200, bad = 0;
    char violation[160], first[160] = "";
    for (long s = 1; s <= seeds; s++)
        if (!run((uint64_t)s, due_first, violation) && bad++ == 0)
            snprintf(first, sizeof first, "%.120s (seed %ld)", violation, s);
    if (due_first) {
        printf("without shares %ld of %ld schedules are unfair: %s\n", bad, seeds, first);
        return bad > 0 ? 0 : 1;
    }
    printf("%ld schedules, %ld unfair%s%s\n", seeds, bad, bad ? ": " : "", first);
    return bad ? 1 : 0;
}
