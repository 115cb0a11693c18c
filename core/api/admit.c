/* See admit.h. One lock; nothing under it waits. */
#include "api/admit.h"

#include "base/str.h"
#include "operation/share.h"

#include <pthread.h>
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
    size_t waiting;
    struct entry *first;
    struct admit_tenant *next;
};

struct admit {
    pthread_mutex_t lock;
    struct share_rule rule;
    size_t threads, working, most;
    struct admit_tenant *tenants; /* the one that was given a thread last comes last */
};

struct admit *admit_new(const struct config *cfg)
{
    struct admit *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    pthread_mutex_init(&a->lock, NULL);
    a->rule.share = (size_t)cfg->api_project_share;
    a->threads = (size_t)cfg->api_wait_threads;
    a->most = (size_t)cfg->api_project_requests;
    return a;
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

static bool may_take(const struct admit *a, const struct admit_tenant *t)
{
    size_t free = a->working < a->threads ? a->threads - a->working : 0;
    return share_may_take(&a->rule, t->working, free);
}

static void take(struct admit *a, struct admit_tenant *t)
{
    t->working++;
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

/* Takes this request's entry out. *ret_rung: it had a thread kept. False: it has none. */
static bool take_entry(struct admit_tenant *t, const struct http_request *rq, bool *ret_rung)
{
    struct http_ticket *mine = t->first ? http_request_park(rq) : NULL;
    if (!mine)
        return false;
    http_request_unpark(rq);
    struct entry **at = &t->first;
    while (*at && (*at)->ticket != mine)
        at = &(*at)->next;
    http_ticket_done(mine);
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

static enum admit_answer put_aside(struct admit *a, struct admit_tenant *t,
                                   const struct http_request *rq)
{
    struct entry *en = a->most && t->waiting >= a->most ? NULL : calloc(1, sizeof *en);
    struct entry **end = &t->first;
    if (!en || !(en->ticket = http_request_park(rq))) {
        free(en);
        return ADMIT_FULL;
    }
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
    if (take_entry(t, rq, &kept) && rq->gone) {
        t->working -= kept;
        a->working -= kept;
        pass_on(a);
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
    struct admit_tenant *t = tenant_of(a, project ? project : "");
    enum admit_answer answer = t ? decide(a, t, rq) : ADMIT_GO;
    *ret = answer == ADMIT_GO ? t : NULL;
    if (t)
        drop_if_idle(a, t);
    pthread_mutex_unlock(&a->lock);
    return answer;
}

void admit_leave(struct admit *a, struct admit_tenant *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&a->lock);
    t->working--;
    a->working--;
    pass_on(a);
    drop_if_idle(a, t);
    pthread_mutex_unlock(&a->lock);
}
