/* What the unit tests of the engine share: an operation in some state, an event handed to it, and
 * the plan that comes of it as text. Neighbours: engine.c, engine_trouble.c. */
#ifndef MAGNUM_TESTS_UNIT_ENGINE_H
#define MAGNUM_TESTS_UNIT_ENGINE_H

#include "operation/engine.h"

#include "operation/recovery.h"
#include "support/cunit_main.h"

#include <string.h>

#define SECOND 1000000LL
#define MINUTE (60 * SECOND)
#define T0 (1000 * MINUTE) /* the tests' "now" */

/* Half of the range, so that pauses can be told exactly. */
static inline int64_t half(void *ctx, int64_t n)
{
    (void)ctx;
    return n / 2;
}

struct bench {
    struct engine_config cfg;
    struct engine_env env;
    struct engine_state s;
    struct engine_plan plan;
};

/* A running operation of a kind, in its driver stage, under a fresh lease, with an hour left. */
static inline struct bench running(enum op_kind kind)
{
    struct bench b = {.cfg = ENGINE_CONFIG_DEFAULT};
    b.env = (struct engine_env){.now_us = T0, .random = half};
    b.s = (struct engine_state){.kind = kind,
                                .status = ENG_RUNNING,
                                .accepted_us = T0,
                                .progress_us = T0,
                                .stored_us = T0,
                                .deadline_us = T0 + 60 * MINUTE};
    while (engine_stages(kind)[b.s.stage].name && !engine_stages(kind)[b.s.stage].interface)
        b.s.stage++;
    return b;
}

static inline struct bench pending(enum op_kind kind)
{
    struct bench b = running(kind);
    b.s.status = ENG_PENDING;
    b.s.stage = 0;
    b.s.progress_us = b.s.stored_us = TIME_UNSET;
    return b;
}

static inline const struct engine_plan *handle(struct bench *b, struct engine_event ev)
{
    b->env.cfg = &b->cfg;
    engine_handle(&b->s, &ev, &b->env, &b->plan);
    return &b->plan;
}
#define HANDLE(b, ...) handle(&(b), (struct engine_event){.kind = __VA_ARGS__})

/* The core's own stages that follow a driver's last one, all well. */
static inline const struct engine_plan *through_stages(struct bench *b, const struct engine_plan *p)
{
    while (p->n && p->v[p->n - 1].kind == ACT_STAGE)
        p = handle(b, (struct engine_event){.kind = EV_STAGE, .rc = RC_OK});
    return p;
}

/* The plan as text: "store wait", ... */
static inline const char *shape(const struct engine_plan *p)
{
    static char text[128];
    text[0] = '\0';
    for (size_t i = 0; i < p->n; i++) {
        if (i)
            strcat(text, " ");
        strcat(text, engine_action_name(p->v[i].kind));
        if (p->v[i].kind == ACT_STORE && p->v[i].release)
            strcat(text, "+release");
    }
    return text;
}
#define ASSERT_SHAPE(p, expected)                                                                  \
    do {                                                                                           \
        const char *got_ = shape(p);                                                               \
        if (strcmp(got_, (expected)) != 0)                                                         \
            fprintf(stderr, "%s:%d: plan is \"%s\", expected \"%s\"\n", __FILE__, __LINE__, got_,  \
                    (expected));                                                                   \
        CU_ASSERT_STRING_EQUAL_FATAL(got_, (expected));                                            \
    } while (0)

static inline const struct engine_action *last(const struct engine_plan *p)
{
    return &p->v[p->n - 1];
}

static inline bool told(const struct engine_plan *p, const char *code)
{
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < p->v[i].n_notes; k++)
            if (strcmp(p->v[i].notes[k].code, code) == 0)
                return true;
    return false;
}

#endif
