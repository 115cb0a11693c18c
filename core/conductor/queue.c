/* The runs of this conductor: which are ready for a worker (in which order: lanes.c), which wait
 * for a time, and the heap of those times. See conductor_internal.h. Everything here is under one
 * mutex and does no I/O. */
#include "base/clock.h"
#include "base/cond.h"
#include "conductor/conductor_internal.h"

#include <string.h>

enum { AHEAD_MS = 200, PACE_MS = AHEAD_MS, PROJECTS_MIN = 16, PROJECTS_MAX = 64 };

int queue_init(struct queue *q, size_t max_runs, size_t max_looking, struct err *e)
{
    *q = (struct queue){.cap = max_runs, .max_looking = max_looking};
    int rc = pthread_mutex_init(&q->lock, NULL);
    if (rc)
        return err_errno(e, rc, "mutex");
    q->table = calloc(max_runs, sizeof(struct run *));
    q->heap = calloc(max_runs, sizeof(struct run *));
    if (!q->table || !q->heap)
        return err_nomem(e);
    cond_init(&q->work);
    cond_init(&q->timer);
    cond_init(&q->ended);
    return 0;
}

void queue_limit(struct queue *q, size_t workers, const struct share_rule *projects,
                 const struct share_rule *backends)
{
    q->workers = workers;
    q->projects = *projects;
    q->backends = *backends;
}

static void observation_free(struct observation *o)
{
    cluster_done(&o->cluster);
    free(o);
}

static void run_free(struct run *r)
{
    coe_result_done(&r->result);
    json_decref(r->outputs);
    operation_done(&r->op);
    free(r->id);
    free(r->kind);
    free(r->cluster_id);
    free(r);
}

void queue_done(struct queue *q)
{
    for (size_t i = 0; i < q->n_runs; i++)
        run_free(q->table[i]);
    for (struct observation *o = q->looks, *next; o; o = next) {
        next = o->next;
        observation_free(o);
    }
    lanes_done(q);
    free(q->table);
    free(q->heap);
    (void)pthread_cond_destroy(&q->work);
    (void)pthread_cond_destroy(&q->timer);
    (void)pthread_cond_destroy(&q->ended);
    (void)pthread_mutex_destroy(&q->lock);
}

/* ---- the heap of waiting runs ---- */
static void heap_put(struct queue *q, size_t i, struct run *r)
{
    q->heap[i] = r;
    r->heap_index = i;
}

static void heap_up(struct queue *q, size_t i, struct run *r)
{
    for (; i > 0 && r->due_ms < q->heap[(i - 1) / 2]->due_ms; i = (i - 1) / 2)
        heap_put(q, i, q->heap[(i - 1) / 2]);
    heap_put(q, i, r);
}

static void heap_remove(struct queue *q, struct run *r)
{
    size_t i = r->heap_index;
    struct run *moved = q->heap[--q->n_heap];
    if (moved == r)
        return;
    for (size_t child; (child = 2 * i + 1) < q->n_heap; i = child) {
        if (child + 1 < q->n_heap && q->heap[child + 1]->due_ms < q->heap[child]->due_ms)
            child++;
        if (moved->due_ms <= q->heap[child]->due_ms)
            break;
        heap_put(q, i, q->heap[child]);
    }
    heap_up(q, i, moved);
}

/* ---- what is ready ---- */
static void make_ready(struct queue *q, struct run *r)
{
    r->place = RUN_READY;
    lanes_ready(q, r);
    pthread_cond_signal(&q->work);
}

static struct run *find(struct queue *q, const char *id)
{
    for (size_t i = 0; i < q->n_runs; i++)
        if (!q->table[i]->successor && str_eq(q->table[i]->id, id))
            return q->table[i];
    return NULL;
}

static void poke(struct queue *q, struct run *r)
{
    r->poked = true;
    if (r->place != RUN_WAITING)
        return;
    heap_remove(q, r);
    make_ready(q, r);
}

static char *copy(const char *text)
{
    return str_dup(text ? text : "");
}

struct run *queue_add(struct queue *q, struct conductor *c, struct operation *op,
                      int64_t held_until_ms)
{
    struct run *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->c = c;
    r->id = copy(op->id);
    r->kind = copy(op->kind);
    r->cluster_id = copy(op->cluster_id);
    r->op = *op;
    r->guard = (struct op_guard){r->id, c->instance, op->lease_fence};
    r->fresh = true;
    r->since_ms = clock_mono_ms();
    r->renewal = NOT_RENEWED;
    atomic_store(&r->held_until_ms, held_until_ms);
    pthread_mutex_lock(&q->lock);
    if (!r->id || !r->kind || !r->cluster_id || q->n_runs == q->cap || !lanes_join(q, r)) {
        pthread_mutex_unlock(&q->lock);
        operation_init(&r->op); /* it stays the caller's */
        run_free(r);
        return NULL;
    }
    operation_init(op);
    struct run *before = find(q, r->id);
    r->table_index = q->n_runs;
    q->table[q->n_runs++] = r;
    if (before) { /* leased a second time: the first lease had run out */
        before->successor = r;
        r->place = RUN_PARKED;
        atomic_store(&before->lost, true);
        poke(q, before);
    } else {
        make_ready(q, r);
    }
    pthread_mutex_unlock(&q->lock);
    return r;
}

/* Under the lock: how many may stand ready. */
static size_t ahead(const struct queue *q, size_t workers)
{
    return q->pace > 2 * workers ? q->pace : 2 * workers;
}

static size_t room_for(const struct queue *q, size_t workers)
{
    size_t left = q->cap - q->n_runs, most = ahead(q, workers);
    size_t wanted = q->n_ready < most ? most - q->n_ready : 0;
    return wanted < left ? wanted : left;
}

/* How many projects that have nothing here may be given a first place. Beyond the room it is only
 * so that they get their turn; when as many as may stand ready have theirs already, the others wait
 * in the database just as well, where no lease of ours must run out first if we die. */
static size_t firsts(const struct queue *q, size_t room)
{
    size_t most = ahead(q, q->workers);
    size_t more = q->n_ready_lanes < most ? most - q->n_ready_lanes : 0;
    return more > room ? more : room;
}

size_t queue_room(struct queue *q, size_t workers)
{
    pthread_mutex_lock(&q->lock);
    size_t room = room_for(q, workers);
    pthread_mutex_unlock(&q->lock);
    return room;
}

bool queue_low(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool low = room_for(q, q->workers) >= ahead(q, q->workers) / 2;
    pthread_mutex_unlock(&q->lock);
    return low;
}

void queue_pace(struct queue *q, int64_t now_ms)
{
    pthread_mutex_lock(&q->lock);
    int64_t passed = now_ms - q->paced_ms;
    if (passed >= PACE_MS) {
        q->pace = (size_t)((int64_t)q->begun * AHEAD_MS / passed);
        q->begun = 0;
        q->paced_ms = now_ms;
    }
    pthread_mutex_unlock(&q->lock);
}

bool queue_open(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool open = q->n_runs == q->cap || firsts(q, room_for(q, q->workers)) > 0;
    pthread_mutex_unlock(&q->lock);
    return open;
}

/* As many projects again, because some of them may have their share already. */
void queue_want(struct queue *q, size_t *ret_projects, size_t *ret_each)
{
    pthread_mutex_lock(&q->lock);
    size_t room = room_for(q, q->workers), projects = 2 * firsts(q, room);
    pthread_mutex_unlock(&q->lock);
    *ret_projects = projects < PROJECTS_MIN   ? PROJECTS_MIN
                    : projects > PROJECTS_MAX ? PROJECTS_MAX
                                              : projects;
    *ret_each = room ? room : 1;
}

bool queue_gated(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool gated = q->gated;
    pthread_mutex_unlock(&q->lock);
    return gated;
}

bool queue_shut(struct queue *q, const char *driver)
{
    pthread_mutex_lock(&q->lock);
    bool shut = lanes_shut(q, driver);
    pthread_mutex_unlock(&q->lock);
    return shut;
}

bool queue_deal(struct queue *q, const struct op_due_list *due, bool aside,
                struct share_claim *claims, size_t *ret_asked)
{
    size_t taken = 0;
    pthread_mutex_lock(&q->lock);
    for (size_t i = 0; i < due->n; i++)
        claims[i] =
            (struct share_claim){.has = lanes_held(q, due->v[i].project), .due = due->v[i].n};
    size_t room = room_for(q, q->workers), free = q->cap - q->n_runs;
    *ret_asked = aside ? due->n : share_among(claims, due->n, firsts(q, room));
    bool left = share_deal(&q->projects, claims, *ret_asked, room, free) || *ret_asked < due->n;
    for (size_t i = 0; i < *ret_asked; i++)
        taken += claims[i].take;
    /* workers would have room for more, or nobody can come in: it is the places that are wanting */
    atomic_store(&q->crowded, left && (taken < room || taken == free));
    pthread_mutex_unlock(&q->lock);
    return left;
}

bool queue_gives_way(struct queue *q, const struct run *r, int64_t hold_ms)
{
    return atomic_load(&q->crowded) && clock_mono_ms() - r->since_ms >= hold_ms;
}

static bool may_look(const struct queue *q)
{
    return q->looks && q->looking < q->max_looking;
}

bool queue_take(struct queue *q, struct run **run, struct observation **look)
{
    *run = NULL;
    *look = NULL;
    pthread_mutex_lock(&q->lock);
    while (!(*run = lanes_next(q)) && !may_look(q) && !q->closed)
        cond_wait_shared(&q->work, &q->lock, INT64_MAX);
    if (*run) { /* operations come first; looking may wait */
        (*run)->place = RUN_WORKING;
        (*run)->poked = false;
        q->begun++;
    } else if (!q->closed) {
        *look = q->looks;
        q->looks = (*look)->next;
        if (!q->looks)
            q->looks_last = NULL;
        q->n_looks--;
        q->looking++;
    }
    bool took = *run || *look;
    pthread_mutex_unlock(&q->lock);
    return took;
}

void queue_wait(struct queue *q, struct run *r, int64_t ms)
{
    pthread_mutex_lock(&q->lock);
    lanes_rest(q, r);
    r->due_ms = clock_mono_ms() + ms;
    if (r->poked || ms <= 0) {
        make_ready(q, r);
    } else {
        r->place = RUN_WAITING;
        heap_up(q, q->n_heap++, r);
        if (r->heap_index == 0)
            pthread_cond_signal(&q->timer);
    }
    pthread_mutex_unlock(&q->lock);
}

void queue_end(struct queue *q, struct run *r)
{
    pthread_mutex_lock(&q->lock);
    struct run *moved = q->table[--q->n_runs];
    q->table[r->table_index] = moved;
    moved->table_index = r->table_index;
    lanes_rest(q, r);
    lanes_leave(q, r);
    if (r->successor)
        make_ready(q, r->successor);
    pthread_cond_broadcast(&q->ended);
    pthread_mutex_unlock(&q->lock);
    run_free(r);
}

bool queue_look(struct queue *q, struct observation *o)
{
    pthread_mutex_lock(&q->lock);
    bool taken = !q->closed;
    if (taken) {
        o->next = NULL;
        if (q->looks_last)
            q->looks_last->next = o;
        else
            q->looks = o;
        q->looks_last = o;
        q->n_looks++;
        pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->lock);
    if (!taken)
        observation_free(o);
    return taken;
}

void queue_look_done(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->looking--;
    if (may_look(q))
        pthread_cond_signal(&q->work);
    pthread_mutex_unlock(&q->lock);
}

size_t queue_look_room(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t ahead = 4 * q->max_looking, room = q->n_looks < ahead ? ahead - q->n_looks : 0;
    pthread_mutex_unlock(&q->lock);
    return room;
}

void queue_run_clock(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    while (!q->closed) {
        int64_t now = clock_mono_ms();
        while (q->n_heap && q->heap[0]->due_ms <= now) {
            struct run *r = q->heap[0];
            heap_remove(q, r);
            make_ready(q, r);
        }
        cond_wait_until(&q->timer, &q->lock, q->n_heap ? q->heap[0]->due_ms : INT64_MAX);
    }
    pthread_mutex_unlock(&q->lock);
}

bool queue_drain(struct queue *q, int64_t mono_ms)
{
    pthread_mutex_lock(&q->lock);
    while (q->n_runs && clock_mono_ms() < mono_ms)
        cond_wait_until(&q->ended, &q->lock, mono_ms);
    bool empty = q->n_runs == 0;
    pthread_mutex_unlock(&q->lock);
    return empty;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->work);
    pthread_cond_broadcast(&q->timer);
    pthread_mutex_unlock(&q->lock);
}

void queue_each(struct queue *q, bool (*fn)(struct run *r, void *ctx), void *ctx)
{
    pthread_mutex_lock(&q->lock);
    for (size_t i = 0; i < q->n_runs; i++)
        if (fn(q->table[i], ctx))
            poke(q, q->table[i]);
    pthread_mutex_unlock(&q->lock);
}
