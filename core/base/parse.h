/* Text to number and truth value: the only place integers are parsed. Strict: the whole text
 * must be the number, no blanks, no overflow. Neighbours: everything. */
#ifndef MAGNUM_BASE_PARSE_H
#define MAGNUM_BASE_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/* True and *ret set when `s` is a decimal integer within [min, max]. */
bool parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret);
/* true/false, t/f, yes/no, y/n, on/off, 1/0 in any case (oslo strutils strict mode). */
bool parse_bool(const char *s, bool *ret);

#endif
