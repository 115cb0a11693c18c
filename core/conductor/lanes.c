/* Whose run a worker takes next. Ready runs stand in one lane per project, and the lanes take
 * turns, so that a project with one run waits for one step of the others and not for all of them.
 * A run also has to pass gates: that of its driver, and that of the backend's endpoint it called
 * last (before its first call: that its driver called last). Each gate lets in its share of the
 * workers (operation/share.h), so that a slow backend, or a slow driver, never has them all.
 * See conductor_internal.h; everything here is under the queue's mutex but queue_at, which takes
 * it. */
#include "conductor/conductor_internal.h"

#include <string.h>

struct lane {
    char *project; /* owned; "" = none */
    size_t held;   /* its runs, ready or not */
    struct run *first, *last;
    struct lane *before, *after; /* the ring of those with ready runs */
};

struct gate {
    char name[BREAKER_NAME_MAX];
    size_t refs, working;
    struct gate *usual; /* of a driver: the endpoint it called last; a reference */
};

/* ---- gates ---- */
static struct gate *gate_get(struct queue *q, const char *name)
{
    for (size_t i = 0; i < q->n_gates; i++)
        if (strncmp(q->gates[i]->name, name, BREAKER_NAME_MAX - 1) == 0) {
            q->gates[i]->refs++;
            return q->gates[i];
        }
    struct gate **more = realloc(q->gates, (q->n_gates + 1) * sizeof(struct gate *));
    if (more)
        q->gates = more;
    struct gate *g = more ? calloc(1, sizeof *g) : NULL;
    if (!g)
        return NULL;
    (void)snprintf(g->name, sizeof g->name, "%s", name);
    g->refs = 1;
    q->gates[q->n_gates++] = g;
    return g;
}

static void gate_put(struct queue *q, struct gate *g)
{
    if (!g || --g->refs)
        return;
    gate_put(q, g->usual);
    for (size_t i = 0; i < q->n_gates; i++)
        if (q->gates[i] == g) {
            q->gates[i] = q->gates[--q->n_gates];
            break;
        }
    free(g);
}

static bool gate_open(const struct queue *q, const struct gate *g)
{
    size_t busy = q->working + q->looking, free = q->workers > busy ? q->workers - busy : 0;
    return !g || q->workers == 0 || share_may_take(&q->backends, g->working, free);
}

/* By what it has, were a worker free. */
static bool gate_shut(const struct queue *q, const struct gate *g)
{
    size_t busy = q->working + q->looking, free = q->workers > busy ? q->workers - busy : 1;
    return g && !share_may_take(&q->backends, g->working, free);
}

bool lanes_shut(const struct queue *q, const char *driver)
{
    size_t len = strcspn(driver, "@");
    for (size_t i = 0; i < q->n_gates; i++) {
        const struct gate *g = q->gates[i];
        if (strncmp(g->name, driver, len) == 0 && !g->name[len])
            return gate_shut(q, g) || gate_shut(q, g->usual);
    }
    return false;
}

static bool passes(const struct queue *q, const struct run *r)
{
    const struct gate *site = r->site ? r->site : r->driver->usual;
    return q->closed || (gate_open(q, r->driver) && gate_open(q, site));
}

static void begin_work(struct queue *q, struct run *r)
{
    if (!r->site && r->driver->usual) {
        r->site = r->driver->usual;
        r->site->refs++;
    }
    r->driver->working++;
    if (r->site)
        r->site->working++;
    q->working++;
}

/* A gate may have opened: whoever sleeps before one looks again. */
static void look_again(struct queue *q)
{
    if (q->gated)
        pthread_cond_broadcast(&q->work);
    q->gated = false;
}

void lanes_rest(struct queue *q, struct run *r)
{
    r->driver->working--;
    if (r->site)
        r->site->working--;
    q->working--;
    look_again(q);
}

void queue_at(struct queue *q, struct run *r, const char *endpoint)
{
    pthread_mutex_lock(&q->lock);
    struct gate *g = r->place == RUN_WORKING ? gate_get(q, endpoint) : NULL;
    if (g && g != r->site) {
        struct gate *left = r->site, *unusual = r->driver->usual;
        g->refs++;
        g->working++;
        r->site = r->driver->usual = g;
        if (left)
            left->working--;
        gate_put(q, left);
        gate_put(q, unusual);
        look_again(q);
    } else if (g) {
        gate_put(q, g);
    }
    pthread_mutex_unlock(&q->lock);
}

/* ---- lanes ---- */
static struct lane *lane_find(const struct queue *q, const char *project)
{
    for (size_t i = 0; i < q->n_lanes; i++)
        if (strcmp(q->lanes[i]->project, project) == 0)
            return q->lanes[i];
    return NULL;
}

static struct lane *lane_new(struct queue *q, const char *project)
{
    struct lane **more = realloc(q->lanes, (q->n_lanes + 1) * sizeof(struct lane *));
    if (more)
        q->lanes = more;
    struct lane *l = more ? calloc(1, sizeof *l) : NULL;
    if (!l || !(l->project = str_dup(project))) {
        free(l);
        return NULL;
    }
    q->lanes[q->n_lanes++] = l;
    return l;
}

static void lane_drop(struct queue *q, struct lane *l)
{
    for (size_t i = 0; i < q->n_lanes; i++)
        if (q->lanes[i] == l)
            q->lanes[i] = q->lanes[--q->n_lanes];
    free(l->project);
    free(l);
}

bool lanes_join(struct queue *q, struct run *r)
{
    const char *project = r->op.project_id ? r->op.project_id : "";
    struct gate *driver = gate_get(q, r->op.driver_id ? r->op.driver_id : "");
    struct lane *l = lane_find(q, project);
    if (driver && !l)
        l = lane_new(q, project);
    if (!driver || !l) {
        gate_put(q, driver);
        return false;
    }
    l->held++;
    r->lane = l;
    r->driver = driver;
    return true;
}

void lanes_leave(struct queue *q, struct run *r)
{
    if (--r->lane->held == 0)
        lane_drop(q, r->lane);
    gate_put(q, r->site);
    gate_put(q, r->driver);
    r->lane = NULL;
    r->site = r->driver = NULL;
}

void lanes_ready(struct queue *q, struct run *r)
{
    struct lane *l = r->lane;
    r->next = NULL;
    if (l->last) {
        l->last->next = r;
    } else { /* into the ring, as the last to have its turn */
        struct lane *turn = q->turn ? q->turn : l;
        l->first = r;
        l->after = turn;
        l->before = q->turn ? turn->before : l;
        l->before->after = turn->before = l;
        q->turn = turn;
        q->n_ready_lanes++;
    }
    l->last = r;
    q->n_ready++;
}

/* Takes r, which stands behind `before` (NULL: first), out of its lane. */
static void take_out(struct queue *q, struct run *r, struct run *before)
{
    struct lane *l = r->lane;
    if (before)
        before->next = r->next;
    else
        l->first = r->next;
    if (l->last == r)
        l->last = before;
    q->turn = l->after;
    if (!l->first) {
        l->before->after = l->after;
        l->after->before = l->before;
        if (q->turn == l)
            q->turn = NULL;
        q->n_ready_lanes--;
    }
    q->n_ready--;
}

struct run *lanes_next(struct queue *q)
{
    struct lane *l = q->turn;
    while (l) {
        struct run *before = NULL;
        for (struct run *r = l->first; r; before = r, r = r->next) {
            if (!passes(q, r))
                continue;
            take_out(q, r, before);
            begin_work(q, r);
            return r;
        }
        l = l->after == q->turn ? NULL : l->after;
    }
    q->gated = q->n_ready > 0;
    return NULL;
}

size_t lanes_held(const struct queue *q, const char *project)
{
    const struct lane *l = lane_find(q, project);
    return l ? l->held : 0;
}

void lanes_done(struct queue *q)
{
    for (size_t i = 0; i < q->n_lanes; i++) {
        free(q->lanes[i]->project);
        free(q->lanes[i]);
    }
    for (size_t i = 0; i < q->n_gates; i++)
        free(q->gates[i]);
    free(q->lanes);
    free(q->gates);
}
