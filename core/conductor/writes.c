/* See writes.h. */
#include "conductor/writes.h"

static size_t fill_events(const struct engine_state *s, const struct engine_action *a,
                          struct op_event_new ev[ENGINE_NOTES])
{
    const struct engine_stage *stage = &engine_stages(s->kind)[s->stage];
    for (size_t i = 0; i < a->n_notes; i++) {
        const struct engine_note *n = &a->notes[i];
        ev[i] = (struct op_event_new){.code = n->code,
                                      .stage = stage->name,
                                      .message = n->message,
                                      .percent = s->percent,
                                      .retriable = n->retriable};
        if (n->trouble) {
            ev[i].remedy = s->trouble.remedy;
            ev[i].actor = s->trouble.actor;
        }
    }
    return a->n_notes;
}

static const char *or_null(const char *text)
{
    return text[0] ? text : NULL;
}

void write_of_store(const struct engine_state *s, const struct engine_action *a,
                    struct op_event_new events[ENGINE_NOTES], struct op_store *ret)
{
    bool begun = s->status != ENG_PENDING;
    *ret = (struct op_store){.status = begun ? engine_status_name(s->status) : NULL,
                             .stage = begun ? engine_stages(s->kind)[s->stage].name : NULL,
                             .message = or_null(s->message),
                             .attempt = s->attempt,
                             .host_failures = s->host_failures,
                             .steps = s->steps,
                             .percent = s->percent,
                             .set_reason = true,
                             .code = or_null(s->trouble.code),
                             .reason = or_null(s->trouble.reason),
                             .remedy = or_null(s->trouble.remedy),
                             .actor = or_null(s->trouble.actor),
                             .progress = a->progress,
                             .show = a->show,
                             .gave_up_code = a->gave_up ? a->gave_up->code : NULL,
                             .gave_up_reason = a->gave_up ? a->gave_up->reason : NULL,
                             .blocked = s->status == ENG_BLOCKED,
                             .due_in_ms = a->due_in_ms,
                             .release = a->release,
                             .events = events,
                             .n_events = fill_events(s, a, events)};
}

void write_of_finish(const struct engine_state *s, const struct engine_action *a,
                     struct op_event_new events[ENGINE_NOTES], struct op_finish *ret)
{
    *ret = (struct op_finish){.status = engine_status_name(s->status),
                              .cluster_status = a->cluster_status,
                              .nodegroup_status = a->group_status,
                              .status_reason = a->status_reason,
                              .code = or_null(s->trouble.code),
                              .reason = or_null(s->trouble.reason),
                              .remedy = or_null(s->trouble.remedy),
                              .actor = or_null(s->trouble.actor),
                              .attempt = s->attempt,
                              .host_failures = s->host_failures,
                              .steps = s->steps,
                              .percent = s->percent,
                              .refused = a->refused,
                              .gave_up_code = a->gave_up ? a->gave_up->code : NULL,
                              .gave_up_reason = a->gave_up ? a->gave_up->reason : NULL,
                              .remove_cluster = a->remove_cluster,
                              .remove_nodegroup = a->remove_group,
                              .events = events,
                              .n_events = fill_events(s, a, events)};
}
