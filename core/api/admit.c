/* See admit.h. One lock; nothing under it waits. */
#include "api/admit.h"

#include "base/clock.h"
#include "base/str.h"
#include "operation/share.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct entry {                  /* a request that was put aside */
    struct http_ticket *ticket; /* a reference, which keeps the pointer one of its kind */
    bool rung;                  /* a thread is kept for it */
    struct entry *next;
};

struct admit_tenant {
    char *project;
    size_t working; /* requests at work, or with a thread kept for them */
    size_t busy;    /* of them: not waiting for somebody outside */
    size_t waiting;
    struct entry *first;
    struct admit_tenant *next;
};

/* Two projects are enough to tell whether anybody else than a given one came lately. */
enum { SEEN = 2 };
struct seen {
    char *project; /* owned */
    int64_t at_ms;
};

struct admit {
    pthread_mutex_t lock;
    struct share_rule rule;
    size_t threads, working, most;
    size_t contended; /* api.project_contended */
    int64_t contended_ms;
    struct seen seen[SEEN];       /* the one that came last comes first */
    struct admit_tenant *tenants; /* the one that was given a thread last comes last */
};

/* The request that this thread works on. */
static _Thread_local struct {
    struct admit *a;
    struct admit_tenant *t;
} at_work;

static struct admit *new_admit(const struct config *cfg, int64_t contended)
{
    struct admit *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    pthread_mutex_init(&a->lock, NULL);
    a->threads = SIZE_MAX;
    a->contended = (size_t)contended;
    a->contended_ms = cfg->api_project_contended_ms;
    return a;
}

struct admit *admit_new(const struct config *cfg)
{
    struct admit *a = new_admit(cfg, cfg->api_project_contended);
    if (a) {
        a->rule.share = (size_t)cfg->api_project_share;
        a->threads = (size_t)cfg->api_wait_threads;
        a->most = (size_t)cfg->api_project_requests;
    }
    return a;
}

struct admit *admit_new_reads(const struct config *cfg)
{
    return new_admit(cfg, cfg->api_project_contended_reads);
}

static void tenant_free(struct admit_tenant *t)
{
    while (t->first) {
        struct entry *en = t->first;
        t->first = en->next;
        http_ticket_done(en->ticket);
        free(en);
    }
    free(t->project);
    free(t);
}

void admit_free(struct admit *a)
{
    if (!a)
        return;
    while (a->tenants) {
        struct admit_tenant *t = a->tenants;
        a->tenants = t->next;
        tenant_free(t);
    }
    for (int i = 0; i < SEEN; i++)
        free(a->seen[i].project);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

static struct admit_tenant *tenant_of(struct admit *a, const char *project)
{
    struct admit_tenant **end = &a->tenants;
    for (; *end; end = &(*end)->next)
        if (strcmp((*end)->project, project) == 0)
            return *end;
    struct admit_tenant *t = calloc(1, sizeof *t);
    if (!t || !(t->project = str_dup(project))) {
        free(t);
        return NULL;
    }
    return *end = t;
}

static void drop_if_idle(struct admit *a, struct admit_tenant *t)
{
    if (t->working || t->first)
        return;
    struct admit_tenant **at = &a->tenants;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    tenant_free(t);
}

/* Out of memory, an older visit stays the last one known: the limit is the milder one then. */
static void note_visit(struct admit *a, const char *project)
{
    struct seen *v = a->seen;
    if (!v[0].project || strcmp(v[0].project, project) != 0) {
        char *name = v[1].project;
        if (!name || strcmp(name, project) != 0) {
            if (!(name = str_dup(project)))
                return;
            free(v[1].project);
        }
        v[1] = v[0];
        v[0].project = name;
    }
    v[0].at_ms = clock_mono_ms();
}

static bool others_came_lately(const struct admit *a, const char *project)
{
    const struct seen *v = a->seen;
    const struct seen *other = v[0].project && strcmp(v[0].project, project) == 0 ? &v[1] : &v[0];
    return other->project && clock_mono_ms() - other->at_ms < a->contended_ms;
}

/* What is free says nothing of processors and disk, which the requests at work wait for together:
 * somebody who comes now and then finds a thread, and would be slow all the same. So a project that
 * isn't alone has few at work. */
static bool may_take(const struct admit *a, const struct admit_tenant *t)
{
    size_t free = a->working < a->threads ? a->threads - a->working : 0;
    if (a->contended && t->busy >= a->contended && others_came_lately(a, t->project))
        return false;
    return share_may_take(&a->rule, t->working, free);
}

static void take(struct admit *a, struct admit_tenant *t)
{
    t->working++;
    t->busy++;
    a->working++;
}

static void to_the_end(struct admit *a, struct admit_tenant *t)
{
    struct admit_tenant **at = &a->tenants;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    t->next = NULL;
    while (*at)
        at = &(*at)->next;
    *at = t;
}

/* Threads that became free go to those that wait, in turns. */
static void pass_on(struct admit *a)
{
    struct admit_tenant *t = a->tenants;
    while (t) {
        struct admit_tenant *next = t->next;
        if (t->waiting && may_take(a, t)) {
            struct entry *en = t->first;
            while (en->rung)
                en = en->next;
            take(a, t);
            en->rung = true;
            t->waiting--;
            to_the_end(a, t);
            http_ticket_ring(en->ticket);
            next = a->tenants;
        }
        t = next;
    }
}

/* Takes a request's entry out. *ret_rung: it had a thread kept. False: it has none. */
static bool take_entry(struct admit_tenant *t, const struct http_ticket *mine, bool *ret_rung)
{
    struct entry **at = &t->first;
    while (*at && (*at)->ticket != mine)
        at = &(*at)->next;
    struct entry *en = *at;
    if (!en)
        return false;
    *at = en->next;
    *ret_rung = en->rung;
    t->waiting -= !en->rung;
    http_ticket_done(en->ticket);
    free(en);
    return true;
}

/* A thread that was kept for nothing is somebody else's. */
static void give_back(struct admit *a, struct admit_tenant *t, bool kept)
{
    t->working -= kept;
    t->busy -= kept;
    a->working -= kept;
    pass_on(a);
}

/* Under all projects but one (NULL: under all). A request waits once at most. */
static void forget(struct admit *a, const struct http_ticket *ticket,
                   const struct admit_tenant *but)
{
    for (struct admit_tenant *t = a->tenants; ticket && t; t = t->next) {
        bool kept = false;
        if (t == but || !take_entry(t, ticket, &kept))
            continue;
        give_back(a, t, kept);
        drop_if_idle(a, t);
        return;
    }
}

static void lost(void *ctx, const struct http_ticket *ticket)
{
    struct admit *a = ctx;
    pthread_mutex_lock(&a->lock);
    forget(a, ticket, NULL);
    pthread_mutex_unlock(&a->lock);
}

static enum admit_answer put_aside(struct admit *a, struct admit_tenant *t,
                                   const struct http_request *rq)
{
    struct entry *en = a->most && t->waiting >= a->most ? NULL : calloc(1, sizeof *en);
    struct entry **end = &t->first;
    if (!en || !(en->ticket = http_request_park(rq))) {
        free(en);
        return ADMIT_FULL;
    }
    http_ticket_tell(en->ticket, lost, a);
    while (*end)
        end = &(*end)->next;
    *end = en;
    t->waiting++;
    return ADMIT_PARKED;
}

static enum admit_answer decide(struct admit *a, struct admit_tenant *t,
                                const struct http_request *rq)
{
    bool kept = false;
    if (take_entry(t, http_request_ticket(rq), &kept) && rq->gone) {
        give_back(a, t, kept);
        return ADMIT_FULL;
    }
    if (kept)
        return ADMIT_GO;
    if (t->waiting || !may_take(a, t))
        return put_aside(a, t, rq);
    take(a, t);
    return ADMIT_GO;
}

enum admit_answer admit_enter(struct admit *a, const char *project, const struct http_request *rq,
                              struct admit_tenant **ret)
{
    pthread_mutex_lock(&a->lock);
    note_visit(a, project ? project : "");
    struct admit_tenant *t = tenant_of(a, project ? project : "");
    if (rq->parked_ms) /* credentials may be another project's by now */
        forget(a, http_request_ticket(rq), t);
    enum admit_answer answer = t ? decide(a, t, rq) : ADMIT_GO;
    *ret = answer == ADMIT_GO ? t : NULL;
    at_work.a = a;
    at_work.t = *ret;
    if (t)
        drop_if_idle(a, t);
    pthread_mutex_unlock(&a->lock);
    return answer;
}

void admit_forget(struct admit *a, const struct http_request *rq)
{
    if (rq->parked_ms)
        lost(a, http_request_ticket(rq));
}

void admit_leave(struct admit *a, struct admit_tenant *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&a->lock);
    at_work.t = NULL;
    t->working--;
    t->busy--;
    a->working--;
    pass_on(a);
    drop_if_idle(a, t);
    pthread_mutex_unlock(&a->lock);
}

size_t admit_waiting(struct admit *a)
{
    size_t n = 0;
    pthread_mutex_lock(&a->lock);
    for (const struct admit_tenant *t = a->tenants; t; t = t->next)
        n += t->waiting;
    pthread_mutex_unlock(&a->lock);
    return n;
}

void admit_outside(void)
{
    struct admit *a = at_work.a;
    if (!at_work.t)
        return;
    pthread_mutex_lock(&a->lock);
    at_work.t->busy--;
    pass_on(a);
    pthread_mutex_unlock(&a->lock);
}

void admit_inside(void)
{
    if (!at_work.t)
        return;
    pthread_mutex_lock(&at_work.a->lock);
    at_work.t->busy++;
    pthread_mutex_unlock(&at_work.a->lock);
}
