/* Actions of a plan and the ends of an operation. See engine_internal.h. */
#include "base/str.h"
#include "operation/engine_internal.h"

#include <stdio.h>
#include <string.h>

const struct engine_stage *turn_stage(const struct engine_state *s)
{
    return &engine_stages(s->kind)[s->stage];
}

struct engine_action *turn_add(struct turn *t, enum engine_action_kind kind)
{
    struct engine_action *a = &t->plan->v[t->plan->n++];
    *a = (struct engine_action){.kind = kind};
    return a;
}

void turn_note(struct turn *t, enum op_event_code code, const char *message, bool trouble,
               bool retriable)
{
    if (t->n_notes < ENGINE_NOTES)
        t->notes[t->n_notes++] =
            (struct engine_note){event_text(code), message, trouble, retriable};
}

static void put_notes(const struct turn *t, struct engine_action *a)
{
    memcpy(a->notes, t->notes, sizeof a->notes);
    a->n_notes = t->n_notes;
    a->gave_up = t->s->given_up.code[0] ? &t->s->given_up : NULL;
}

struct engine_action *turn_add_store(struct turn *t)
{
    struct engine_action *a = turn_add(t, ACT_STORE);
    put_notes(t, a);
    a->progress = t->s->progressed;
    a->show = t->s->shown || t->s->status == ENG_BLOCKED;
    t->s->shown = t->s->status == ENG_BLOCKED;
    t->s->progressed = t->s->dirty = false;
    t->s->stored_us = t->env->now_us;
    t->s->stored_steps = t->s->steps;
    return a;
}

void turn_set_trouble(struct turn *t, const char *code, const char *reason, const char *remedy,
                      const char *actor)
{
    struct engine_trouble *w = &t->s->trouble;
    SET_TEXT(w->code, code);
    SET_TEXT(w->reason, reason);
    SET_TEXT(w->remedy, remedy);
    SET_TEXT(w->actor, actor);
}

void turn_set_code(struct turn *t, enum op_code code, const char *reason)
{
    const struct code_info *c = code_info(code);
    turn_set_trouble(t, c->text, reason, c->remedy, c->actor);
}

void turn_clear_trouble(struct turn *t)
{
    if (!t->s->trouble.code[0])
        return;
    t->s->trouble = (struct engine_trouble){.code = ""};
    t->store = true;
}

/* ---- the ends ---- */
static void finish(struct turn *t, enum engine_status status, const char *cluster_status,
                   const char *group_status)
{
    struct engine_state *s = t->s;
    s->status = status;
    if (status == ENG_SUCCEEDED) {
        s->percent = 100;
        s->trouble = (struct engine_trouble){.code = ""};
        turn_note(t, EVENT_SUCCEEDED, NULL, false, false);
    } else {
        turn_note(t, status == ENG_FAILED ? EVENT_FAILED : EVENT_ENDED_CANCELLED, s->trouble.reason,
                  true, false);
    }
    struct engine_action *a = turn_add(t, ACT_FINISH);
    put_notes(t, a);
    a->cluster_status = cluster_status;
    a->group_status = group_status;
    a->status_reason = status == ENG_SUCCEEDED ? NULL : s->trouble.reason;
    a->remove_cluster = status == ENG_SUCCEEDED && s->kind == OP_DELETE;
    a->remove_group = status == ENG_SUCCEEDED && s->kind == OP_NODEGROUP_DELETE;
}

/* A driver that refuses an upgrade leaves the cluster as good as it was. */
void turn_finish_failed(struct turn *t)
{
    bool as_before = t->refused && t->s->kind == OP_UPGRADE;
    if (as_before)
        finish(t, ENG_FAILED, status_on_success(OP_UPGRADE), status_group_on_success(OP_UPGRADE));
    else
        finish(t, ENG_FAILED, status_on_failure(t->s->kind), status_group_on_failure(t->s->kind));
    t->plan->v[t->plan->n - 1].refused = t->refused;
}

void turn_finish_succeeded(struct turn *t)
{
    finish(t, ENG_SUCCEEDED, status_on_success(t->s->kind), status_group_on_success(t->s->kind));
}

/* The newer operation owns the cluster's status by now: leave it alone. */
void turn_finish_superseded(struct turn *t)
{
    turn_set_code(t, CODE_SUPERSEDED, "a newer operation on the cluster took its place");
    finish(t, ENG_CANCELLED, NULL, NULL);
}

void turn_finish_cancelled(struct turn *t, const char *reason)
{
    turn_set_code(t, CODE_CANCELLED,
                  str_blank(reason) ? "the operation was cancelled on request" : reason);
    finish(t, ENG_CANCELLED, status_on_failure(t->s->kind), status_group_on_failure(t->s->kind));
}

bool turn_deadline_passed(const struct turn *t)
{
    return t->s->deadline_us != TIME_UNSET && t->env->now_us >= t->s->deadline_us;
}

void turn_set_deadline(struct turn *t)
{
    struct engine_state *s = t->s;
    const struct engine_trouble last = s->trouble;
    const char *what = last.code[0] ? last.reason : s->message;
    char allowed[64] = "its deadline";
    if (s->accepted_us != TIME_UNSET && s->deadline_us > s->accepted_us) {
        long long seconds = (long long)((s->deadline_us - s->accepted_us) / 1000000);
        bool minutes = seconds >= 120;
        (void)snprintf(allowed, sizeof allowed, "%lld %s", minutes ? seconds / 60 : seconds,
                       minutes ? "minutes" : "seconds");
    }
    const struct code_info *c = code_info(CODE_DEADLINE_EXCEEDED);
    turn_set_trouble(t, c->text, "", last.remedy[0] ? last.remedy : c->remedy,
                     last.actor[0] ? last.actor : c->actor);
    engine_textf(s->trouble.reason, sizeof s->trouble.reason, "%s was not done within %s%s%s",
                 op_kind_name(s->kind), allowed, what[0] ? "; last: " : "", what);
}
