/* Python literals: what old clients put as text into the value of a JSON patch ({'a': 'b'},
 * [{'key': 'k'}]), and how Python prints a value, because Magnum's messages show values that way.
 * Pure. Neighbours: patch, attrs. */
#ifndef MAGNUM_API_PYLITERAL_H
#define MAGNUM_API_PYLITERAL_H

#include "base/err.h"
#include "base/str.h"

#include <jansson.h>

/* A dictionary, list, tuple, string, number, True, False or None; nesting at most 32. The text of
 * `e` says what was found where. Caller owns *ret. ERR_INVALID. */
int py_literal_parse(const char *text, json_t **ret, struct err *e) MUST_CHECK;
/* As repr() and str() print it; NULL prints None. */
void py_repr(const json_t *j, struct str *o);
void py_str(const json_t *j, struct str *o);

#endif
