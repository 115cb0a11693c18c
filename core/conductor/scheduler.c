/* Which operations this conductor works on: leasing due ones, prolonging their leases, learning of
 * cancels. See conductor_internal.h.
 *
 * Nothing is polled busily: the scheduler sleeps until the next known due time, a wake-up message,
 * or the scan interval, which is what makes lost messages harmless. */
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "conductor/conductor_internal.h"

#include <string.h>

enum { NOTHING_TAKEN_MS = 100, LOOK_SELDOM_MS = 250, FREED_PAGE = 64 };

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A lease is believed for less time than the database keeps it: its clock may be set a little ahead
 * while ours, which knows no such thing, goes on. */
int64_t lease_believed_until(int64_t asked_ms, int64_t lease_ms)
{
    return asked_ms + lease_ms - lease_ms / 4;
}

/* ---- leasing ---- */
/* Projects have their turns in the order of their ids, each turn beginning behind the one that was
 * given something last: so none is passed over, however many others there are. */
struct turn {
    char *after; /* owned; NULL: from the first project on */
    /* Whose leases had run out. They have waited for a lease already and come first, as many as
     * there were: nobody can make himself more of them than conductors die. */
    struct op_due_list freed;
};
struct turns {
    struct turn all;
    struct turn aside; /* of drivers whose gates are open, while others' are shut */
    int64_t looked_ms; /* when there was last looked without room */
    int64_t freed_ms;  /* when there was last looked for leases that have run out */
};
struct offer { /* what is due, in the order of this turn */
    struct op_due_list due;
    size_t first; /* so many of them for leases that had run out */
    size_t each;  /* counted so far */
    bool more;    /* there may be projects behind these */
    bool aside;
};

static size_t place_of(const struct op_due_list *l, size_t n, const char *project)
{
    size_t i = 0;
    while (i < n && strcmp(l->v[i].project, project) != 0)
        i++;
    return i;
}

/* Moves d. */
static int put(struct op_due_list *to, struct op_due *d, struct err *e)
{
    struct op_due *more = realloc(to->v, (to->n + 1) * sizeof *more);
    if (!more)
        return err_nomem(e);
    to->v = more;
    to->v[to->n++] = *d;
    d->project = NULL;
    return 0;
}

static void drop(struct op_due_list *l, size_t i)
{
    free(l->v[i].project);
    memmove(&l->v[i], &l->v[i + 1], (--l->n - i) * sizeof *l->v);
}

/* Those up to a project (NULL: all) that are not there yet. */
static int append(struct op_due_list *to, struct op_due_list *from, const char *up_to,
                  struct err *e)
{
    const size_t had = to->n;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < from->n; i++) {
        struct op_due *d = &from->v[i];
        if (up_to && strcmp(d->project, up_to) > 0)
            break;
        if (place_of(to, had, d->project) == had)
            rc = put(to, d, e);
    }
    return rc;
}

/* What nobody prolongs any more, of whomever, is given back for whoever has room, all of it at once
 * and however little room there is here. Nobody else may have touched it before its lease was over,
 * so this is what a conductor's death costs. */
static int free_expired(struct conductor *c, struct turns *t, struct err *e)
{
    struct op_due_list freed = {0};
    int64_t now = clock_mono_ms();
    size_t n = 0;
    if (now < t->freed_ms + LOOK_SELDOM_MS)
        return 0;
    t->freed_ms = now;
    int rc = db_op_release_expired(c->db, &freed, e);
    for (size_t i = 0; rc == 0 && i < freed.n; i++) {
        struct op_due_list *first = &t->all.freed;
        size_t k = place_of(first, first->n, freed.v[i].project);
        n += freed.v[i].n;
        if (k < first->n)
            first->v[k].n += freed.v[i].n;
        else
            rc = put(first, &freed.v[i], e);
    }
    if (n)
        log_info("leases.expired", "%zu leases that nobody prolonged were given back", n);
    db_op_due_done(&freed);
    return rc;
}

static size_t asked_first(const struct turn *t)
{
    return t->freed.n < FREED_PAGE ? t->freed.n : FREED_PAGE;
}

static int first_ones(struct conductor *c, const struct turn *t, const struct strv *drivers,
                      struct offer *ret, struct err *e)
{
    const char *projects[FREED_PAGE];
    size_t n = asked_first(t);
    for (size_t i = 0; i < n; i++)
        projects[i] = t->freed.v[i].project;
    int rc = n ? db_op_due_of(c->db, projects, n, ret->each, drivers, &ret->due, e) : 0;
    ret->first = ret->due.n;
    return rc;
}

/* Who has something due, in this turn's order. */
static int who_is_due(struct conductor *c, const struct turn *t, const struct strv *drivers,
                      struct offer *ret, struct err *e)
{
    struct op_due_list page = {0}, begin = {0};
    size_t projects;
    queue_want(&c->queue, &projects, &ret->each);
    int rc = first_ones(c, t, drivers, ret, e);
    if (rc == 0)
        rc = db_op_due(c->db, t->after, projects, ret->each, drivers, &page, e);
    if (rc == 0 && t->after && page.n < projects)
        rc = db_op_due(c->db, NULL, projects - page.n, ret->each, drivers, &begin, e);
    ret->more = page.n + begin.n == projects;
    if (rc == 0)
        rc = append(&ret->due, &page, NULL, e);
    if (rc == 0)
        rc = append(&ret->due, &begin, t->after, e);
    db_op_due_done(&page);
    db_op_due_done(&begin);
    return rc;
}

static bool first_was_given(const struct offer *o, const struct share_claim *claims)
{
    for (size_t i = 0; i < o->first; i++)
        if (claims[i].take)
            return true;
    return false;
}

/* left: there is more that is due; asked: so many came into question at all. */
static int next_turn(struct turn *t, const struct offer *o, const struct share_claim *claims,
                     size_t asked, bool left, struct err *e)
{
    size_t last = SIZE_MAX;
    for (size_t i = o->first; i < asked; i++)
        if (claims[i].take)
            last = i;
    if (last == SIZE_MAX && asked > o->first && !first_was_given(o, claims))
        last = asked - 1; /* none of these could be given anything: on to the others */
    if (left && last == SIZE_MAX)
        return 0; /* whose turn it was had none yet */
    const char *id = left ? o->due.v[last].project : NULL;
    char *after = str_dup(id);
    if (id && !after)
        return err_nomem(e);
    free(t->after);
    t->after = after;
    return 0;
}

/* Who was given as many as had run out has no more of them; of whom nothing is due for us any more,
 * another conductor has it. */
static void came_first(struct turn *t, const struct offer *o, const struct share_claim *claims)
{
    for (size_t i = asked_first(t); i-- > 0;) {
        struct op_due *f = &t->freed.v[i];
        size_t k = place_of(&o->due, o->first, f->project);
        if (k == o->first || claims[k].take >= f->n)
            drop(&t->freed, i);
        else
            f->n -= claims[k].take;
    }
}

/* Deals out what is due; see operation/share.h. */
static int lease_dealt(struct conductor *c, struct turn *t, const struct strv *drivers,
                       const struct offer *o, struct operation_list *ret, int64_t *ret_next_ms,
                       struct err *e)
{
    const struct op_due_list *due = &o->due;
    struct share_claim *claims = calloc(due->n + 1, sizeof *claims);
    struct op_take *takes = calloc(due->n + 1, sizeof *takes);
    size_t n = 0, asked = 0;
    int rc = claims && takes ? 0 : err_nomem(e);
    bool left = rc == 0 && queue_deal(&c->queue, due, o->aside, claims, &asked);
    left |= o->more;
    for (size_t i = 0; rc == 0 && i < due->n; i++) {
        left |= claims[i].take == o->each; /* as far as was counted: there may be more */
        if (claims[i].take)
            takes[n++] = (struct op_take){due->v[i].project, claims[i].take};
    }
    if (rc == 0)
        rc = next_turn(t, o, claims, asked, left, e);
    if (rc == 0)
        came_first(t, o, claims);
    *ret_next_ms = 0; /* there may be more right now */
    if (rc == 0)
        rc = db_op_lease(c->db, c->instance, c->cfg->conductor_lease_ms, drivers, takes, n, ret,
                         left ? NULL : ret_next_ms, e);
    free(claims);
    free(takes);
    return rc;
}

/* With as many projects ready as is good, but kept back by gates: what idle workers could begin is
 * only what other drivers have. Leaves these; true when there was anything else. */
static bool keep_open(struct conductor *c, struct strv *drivers)
{
    size_t n = 0;
    if (queue_open(&c->queue) || !queue_gated(&c->queue))
        return false;
    for (size_t i = 0; i < drivers->n; i++)
        if (queue_shut(&c->queue, drivers->v[i]))
            free(drivers->v[i]);
        else
            drivers->v[n++] = drivers->v[i];
    bool any = n < drivers->n;
    drivers->n = n;
    return any;
}

/* Leases once. *ret_next_ms: when to look again, -1 = nobody knows. */
static int lease(struct conductor *c, struct turns *turns, int64_t *ret_next_ms, struct err *e)
{
    _cleanup_strv_ struct strv drivers = STRV_INIT;
    struct offer offer = {0};
    struct operation_list list = {0};
    int rc = drivers_leased(c, &drivers, e);
    if (rc == 0)
        offer.aside = keep_open(c, &drivers);
    struct turn *t = offer.aside ? &turns->aside : &turns->all;
    if (rc == 0)
        rc = who_is_due(c, t, &drivers, &offer, e);
    int64_t asked = clock_mono_ms();
    if (rc == 0)
        rc = lease_dealt(c, t, &drivers, &offer, &list, ret_next_ms, e);
    for (size_t i = 0; rc == 0 && i < list.n; i++)
        if (!queue_add(&c->queue, c, &list.v[i],
                       lease_believed_until(asked, c->cfg->conductor_lease_ms)))
            log_warn("op.not_taken", "%s: out of memory, its lease will run out", list.v[i].id);
    /* what is due but not for us (locked by another conductor, or its project has its share) must
     * not make us look all the time */
    if (rc == 0 && list.n == 0 && *ret_next_ms >= 0 && *ret_next_ms < NOTHING_TAKEN_MS)
        *ret_next_ms = NOTHING_TAKEN_MS;
    operation_list_done(&list);
    db_op_due_done(&offer.due);
    return rc;
}

/* Without room only who has nothing here yet may begin, or what is aside: that can wait for a
 * moment, however often we are woken. 0: look now. */
static int64_t put_off(struct conductor *c, struct turns *t)
{
    int64_t now = clock_mono_ms(), pause = NOTHING_TAKEN_MS;
    queue_pace(&c->queue, now);
    bool full = queue_room(&c->queue, c->n_workers) == 0, open = queue_open(&c->queue);
    atomic_store(&c->hungry, full);
    if (full && !open && !queue_gated(&c->queue))
        return NOTHING_TAKEN_MS;
    if (!open)
        pause = LOOK_SELDOM_MS;
    if (full && now < t->looked_ms + pause)
        return t->looked_ms + pause - now;
    if (full)
        t->looked_ms = now;
    return 0;
}

void *scheduler_thread(void *conductor)
{
    struct conductor *c = conductor;
    const int64_t scan_ms = c->cfg->conductor_scan_interval_ms;
    struct turns turns = {.looked_ms = -LOOK_SELDOM_MS, .freed_ms = -LOOK_SELDOM_MS};
    int64_t sleep_ms = 0;
    bool down = false;
    while (sleeper_wait(&c->scheduler, sleep_ms)) {
        struct err e = ERR_INIT;
        int64_t next_ms = -1;
        int rc = free_expired(c, &turns, &e);
        sleep_ms = rc ? 0 : put_off(c, &turns);
        if (sleep_ms)
            continue;
        sleep_ms = scan_ms;
        if (rc == 0)
            rc = lease(c, &turns, &next_ms, &e);
        if (rc && !down)
            log_warn("scheduler.lease", "%s; trying again", e.msg);
        down = rc != 0;
        if (rc == 0 && next_ms >= 0)
            sleep_ms = min64(scan_ms, next_ms);
    }
    db_op_due_done(&turns.all.freed);
    free(turns.all.after);
    free(turns.aside.after);
    return NULL;
}

/* ---- renewing ---- */
struct batch {
    size_t n, cap;
    const char **ids; /* owned copies */
    bool *held;
    unsigned char *news; /* OP_NEWS_* */
};

static void batch_done(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        free((char *)b->ids[i]);
    free(b->ids);
    free(b->held);
    free(b->news);
}

static bool collect(struct run *r, void *ctx)
{
    struct batch *b = ctx;
    r->renewal = NOT_RENEWED;
    char *id = atomic_load(&r->lost) || b->n == b->cap ? NULL : str_dup(r->id);
    if (id) {
        r->renewal = b->n;
        b->ids[b->n++] = id;
    }
    return false;
}

struct verdict {
    const struct batch *b;
    int64_t held_until_ms;
};

/* True: that is new, and the run should hear of it at once. */
static bool note(atomic_bool *flag, bool asked)
{
    return asked && !atomic_exchange(flag, true);
}

/* Under the queue's lock. Runs that came since are not in the batch. */
static bool apply(struct run *r, void *ctx)
{
    const struct verdict *v = ctx;
    size_t i = r->renewal;
    r->renewal = NOT_RENEWED;
    if (i == NOT_RENEWED)
        return false;
    if (!v->b->held[i]) {
        atomic_store(&r->lost, true);
        metrics_inc(METRIC_LEASES_LOST, NULL);
        return true;
    }
    atomic_store(&r->held_until_ms, v->held_until_ms);
    unsigned char news = v->b->news[i];
    bool wake = note(&r->superseded, news & OP_NEWS_SUPERSEDED);
    wake |= note(&r->cancel, (news & OP_NEWS_CANCEL) && !(news & OP_NEWS_SUPERSEDED));
    return note(&r->forced, news & OP_NEWS_FORCE) || wake;
}

static int renew(struct conductor *c, struct err *e)
{
    struct batch b = {.cap = c->queue.cap};
    b.ids = calloc(b.cap, sizeof *b.ids);
    b.held = calloc(b.cap, sizeof *b.held);
    b.news = calloc(b.cap, sizeof *b.news);
    int rc = b.ids && b.held && b.news ? 0 : err_nomem(e);
    if (rc == 0)
        queue_each(&c->queue, collect, &b);
    if (rc == 0 && b.n) {
        int64_t lease_ms = c->cfg->conductor_lease_ms, asked = clock_mono_ms();
        rc = db_op_renew(c->db, c->instance, lease_ms, b.ids, b.n, b.held, b.news, e);
        struct verdict v = {&b, lease_believed_until(asked, lease_ms)};
        if (rc == 0)
            queue_each(&c->queue, apply, &v);
    }
    batch_done(&b);
    return rc;
}

void *renewer_thread(void *conductor)
{
    struct conductor *c = conductor;
    int64_t every_ms = c->cfg->conductor_lease_ms / 3, sleep_ms = every_ms;
    bool down = false;
    while (sleeper_wait(&c->renewer, sleep_ms)) {
        struct err e = ERR_INIT;
        int rc = renew(c, &e);
        if (rc && !down)
            log_warn("leases.renew", "%s; trying again", e.msg);
        down = rc != 0;
        sleep_ms = rc ? min64(every_ms, 500) : every_ms;
    }
    return NULL;
}
