/* The stable codes of operations and of their events (codes.def). Nobody writes one as text: SQL
 * gets them as parameters. Pure. Neighbours: operation, db, conductor; docs/operations.md. */
#ifndef MAGNUM_MODEL_CODES_H
#define MAGNUM_MODEL_CODES_H

#include <stddef.h>

enum op_code {
#define CODE(name, text, actor, meaning, remedy) CODE_##name,
#include "model/codes.def"
    OP_CODES
};
enum op_event_code {
#define EVENT(name, text, meaning) EVENT_##name,
#include "model/codes.def"
    OP_EVENT_CODES
};

struct code_info {
    const char *text, *actor, *meaning, *remedy;
};
/* Never NULL. */
const struct code_info *code_info(enum op_code c);
const char *code_text(enum op_code c);
/* The row of operation.code as stored; NULL: a driver's own token. */
const struct code_info *code_find(const char *text);
const char *event_text(enum op_event_code c);
const char *event_meaning(enum op_event_code c);

#endif
