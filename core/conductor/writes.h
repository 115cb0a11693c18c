/* What the engine's actions are to the store: the write of a step and the write of an end, filled
 * from the engine's state alone. Pure, so that the simulator writes exactly what the conductor
 * writes. Neighbours: runner, db/db_operation.h, tests/simulation. */
#ifndef MAGNUM_CONDUCTOR_WRITES_H
#define MAGNUM_CONDUCTOR_WRITES_H

#include "db/db_operation.h"
#include "operation/engine.h"

/* Texts in *ret borrow from the state and the action. Outputs are left to the caller. */
void write_of_store(const struct engine_state *s, const struct engine_action *a,
                    struct op_event_new events[ENGINE_NOTES], struct op_store *ret);
void write_of_finish(const struct engine_state *s, const struct engine_action *a,
                     struct op_event_new events[ENGINE_NOTES], struct op_finish *ret);

#endif
