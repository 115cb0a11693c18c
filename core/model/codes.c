/* See codes.h; the list itself is codes.def. */
#include "model/codes.h"

#include "base/cleanup.h"

#include <string.h>

static const struct code_info codes[] = {
#define CODE(name, text, actor, meaning, remedy) [CODE_##name] = {text, actor, meaning, remedy},
#include "model/codes.def"
};
static const struct {
    const char *text, *meaning;
} events[] = {
#define EVENT(name, text, meaning) [EVENT_##name] = {text, meaning},
#include "model/codes.def"
};

const struct code_info *code_info(enum op_code c)
{
    return &codes[(size_t)c < ARRAY_LEN(codes) ? (size_t)c : CODE_DRIVER_ERROR];
}

const char *code_text(enum op_code c)
{
    return code_info(c)->text;
}

const struct code_info *code_find(const char *text)
{
    for (size_t i = 0; text && i < ARRAY_LEN(codes); i++)
        if (strcmp(codes[i].text, text) == 0)
            return &codes[i];
    return NULL;
}

const char *event_text(enum op_event_code c)
{
    return (size_t)c < ARRAY_LEN(events) ? events[c].text : "";
}

const char *event_meaning(enum op_event_code c)
{
    return (size_t)c < ARRAY_LEN(events) ? events[c].meaning : "";
}
