/* Shared by the files of the engine: one call of engine_handle and the ways it can end.
 * Not included from outside. See engine.h. */
#ifndef MAGNUM_OPERATION_ENGINE_INTERNAL_H
#define MAGNUM_OPERATION_ENGINE_INTERNAL_H

#include "model/codes.h"
#include "operation/engine.h"

struct turn {
    struct engine_state *s;
    const struct engine_event *ev;
    const struct engine_env *env;
    struct engine_plan *plan;
    bool store;    /* the row must learn of this turn at once */
    bool progress; /* this event got further */
    bool refused;  /* it was the first answer, and it was no */
    struct engine_note notes[ENGINE_NOTES];
    size_t n_notes;
};

/* text.c: copies what fits, as one line of valid UTF-8 whatever comes: it goes into the database.
 */
void engine_text(char *dst, size_t size, const char *src);
#define SET_TEXT(dst, src) engine_text((dst), sizeof(dst), (src))
/* The same, formatted. */
void engine_textf(char *dst, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* plan.c: actions and the ends of an operation */
const struct engine_stage *turn_stage(const struct engine_state *s);
struct engine_action *turn_add(struct turn *t, enum engine_action_kind kind);
struct engine_action *turn_add_store(struct turn *t);
void turn_note(struct turn *t, enum op_event_code code, const char *message, bool trouble,
               bool retriable);
/* Trouble of the core's own finding: actor and remedy are the code's. */
void turn_set_code(struct turn *t, enum op_code code, const char *reason);
void turn_set_trouble(struct turn *t, const char *code, const char *reason, const char *remedy,
                      const char *actor);
void turn_clear_trouble(struct turn *t);
void turn_finish_failed(struct turn *t);
void turn_finish_succeeded(struct turn *t);
void turn_finish_superseded(struct turn *t);
void turn_finish_cancelled(struct turn *t, const char *reason /* NULL = the usual one */);
/* Says in the trouble that the time is over. */
void turn_set_deadline(struct turn *t);
bool turn_deadline_passed(const struct turn *t);

/* pause.c: how long, and whether the lease is kept meanwhile */
int64_t turn_clip(const struct turn *t, int64_t ms);
int64_t turn_spread(const struct turn *t, int64_t ms);
int64_t turn_backoff(const struct turn *t, int64_t tries);
int64_t turn_slow(const struct turn *t);
int64_t turn_ms_until(const struct turn *t, int64_t us);
void turn_pause(struct turn *t, int64_t ms);

#endif
