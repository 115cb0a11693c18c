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

enum { NOTHING_TAKEN_MS = 100, PROJECTS_PAGE = 64 };

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
struct turns {
    char *after;       /* owned; NULL: from the first project on */
    int64_t looked_ms; /* when there was last looked without room */
};

static int append(struct op_due_list *to, struct op_due_list *from, const char *up_to,
                  struct err *e)
{
    struct op_due *more = realloc(to->v, (to->n + from->n + 1) * sizeof *more);
    if (!more)
        return err_nomem(e);
    to->v = more;
    for (size_t i = 0; i < from->n && strcmp(from->v[i].project, up_to) <= 0; i++) {
        to->v[to->n++] = from->v[i];
        from->v[i].project = NULL;
    }
    return 0;
}

/* Who has something due, in this turn's order. */
static int who_is_due(struct conductor *c, const struct turns *t, const struct strv *drivers,
                      struct op_due_list *ret, struct err *e)
{
    struct op_due_list begin = {0};
    size_t each = 2 * c->n_workers;
    int rc = db_op_due(c->db, t->after, PROJECTS_PAGE, each, drivers, ret, e);
    if (rc || !t->after || ret->n == PROJECTS_PAGE)
        return rc;
    rc = db_op_due(c->db, NULL, PROJECTS_PAGE - ret->n, each, drivers, &begin, e);
    if (rc == 0)
        rc = append(ret, &begin, t->after, e);
    db_op_due_done(&begin);
    return rc;
}

static int next_turn(struct turns *t, const struct op_due_list *due,
                     const struct share_claim *claims, bool left, struct err *e)
{
    size_t last = due->n ? due->n - 1 : 0;
    for (size_t i = 0; i < due->n; i++)
        if (claims[i].take)
            last = i;
    const char *id = left && due->n ? due->v[last].project : NULL;
    char *after = str_dup(id);
    if (id && !after)
        return err_nomem(e);
    free(t->after);
    t->after = after;
    return 0;
}

/* Deals out what is due; see operation/share.h. */
static int lease_dealt(struct conductor *c, struct turns *t, const struct strv *drivers,
                       const struct op_due_list *due, struct operation_list *ret,
                       int64_t *ret_next_ms, struct err *e)
{
    struct share_claim *claims = calloc(due->n + 1, sizeof *claims);
    struct op_take *takes = calloc(due->n + 1, sizeof *takes);
    size_t n = 0;
    int rc = claims && takes ? 0 : err_nomem(e);
    bool left = rc == 0 && queue_deal(&c->queue, due, claims);
    if (rc == 0)
        rc = next_turn(t, due, claims, left || due->n == PROJECTS_PAGE, e);
    for (size_t i = 0; rc == 0 && i < due->n; i++)
        if (claims[i].take)
            takes[n++] = (struct op_take){due->v[i].project, claims[i].take};
    *ret_next_ms = 0; /* there may be more right now */
    if (rc == 0)
        rc = db_op_lease(c->db, c->instance, c->cfg->conductor_lease_ms, drivers, takes, n, ret,
                         t->after ? NULL : ret_next_ms, e);
    free(claims);
    free(takes);
    return rc;
}

/* Leases once. *ret_next_ms: when to look again, -1 = nobody knows. */
static int lease(struct conductor *c, struct turns *t, int64_t *ret_next_ms, struct err *e)
{
    _cleanup_strv_ struct strv drivers = STRV_INIT;
    struct op_due_list due = {0};
    struct operation_list list = {0};
    int rc = drivers_leased(c, &drivers, e);
    if (rc == 0)
        rc = who_is_due(c, t, &drivers, &due, e);
    int64_t asked = clock_mono_ms();
    if (rc == 0)
        rc = lease_dealt(c, t, &drivers, &due, &list, ret_next_ms, e);
    for (size_t i = 0; rc == 0 && i < list.n; i++)
        if (!queue_add(&c->queue, c, &list.v[i],
                       lease_believed_until(asked, c->cfg->conductor_lease_ms)))
            log_warn("op.not_taken", "%s: out of memory, its lease will run out", list.v[i].id);
    /* what is due but not for us (locked by another conductor, or its project has its share) must
     * not make us look all the time */
    if (rc == 0 && list.n == 0 && *ret_next_ms >= 0 && *ret_next_ms < NOTHING_TAKEN_MS)
        *ret_next_ms = NOTHING_TAKEN_MS;
    operation_list_done(&list);
    db_op_due_done(&due);
    return rc;
}

/* Without room only who has nothing here yet may begin: that can wait for a moment, however often
 * we are woken. 0: look now. */
static int64_t put_off(struct conductor *c, struct turns *t)
{
    bool full = queue_room(&c->queue, c->n_workers) == 0;
    int64_t now = clock_mono_ms(), next = t->looked_ms + NOTHING_TAKEN_MS;
    atomic_store(&c->hungry, full);
    if (full && now < next)
        return next - now;
    if (full)
        t->looked_ms = now;
    return 0;
}

void *scheduler_thread(void *conductor)
{
    struct conductor *c = conductor;
    const int64_t scan_ms = c->cfg->conductor_scan_interval_ms;
    struct turns turns = {.looked_ms = -NOTHING_TAKEN_MS};
    int64_t sleep_ms = 0;
    bool down = false;
    while (sleeper_wait(&c->scheduler, sleep_ms)) {
        struct err e = ERR_INIT;
        int64_t next_ms = -1;
        sleep_ms = put_off(c, &turns);
        if (sleep_ms)
            continue;
        sleep_ms = scan_ms;
        int rc = lease(c, &turns, &next_ms, &e);
        if (rc && !down)
            log_warn("scheduler.lease", "%s; trying again", e.msg);
        down = rc != 0;
        if (rc == 0 && next_ms >= 0)
            sleep_ms = min64(scan_ms, next_ms);
    }
    free(turns.after);
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
    char *id = atomic_load(&r->lost) || b->n == b->cap ? NULL : str_dup(r->op.id);
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
