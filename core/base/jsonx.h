/* Typed reads from JSON documents and canonical writing. Getters never fail: a missing or
 * wrong-typed member gives the default; code that must complain checks types itself.
 * Neighbours: model, api, rpc, drivers, conductor. */
#ifndef MAGNUM_BASE_JSONX_H
#define MAGNUM_BASE_JSONX_H

#include "base/cleanup.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

const char *jsonx_str(const json_t *o, const char *key);              /* NULL when absent */
int64_t jsonx_int(const json_t *o, const char *key, int64_t missing); /* integers only */
bool jsonx_bool(const json_t *o, const char *key, bool missing);
/* Parses within limits: `len` bytes, nesting at most `max_depth`, no duplicate keys, UTF-8.
 * ERR_INVALID with position when malformed. Caller owns *ret. */
int jsonx_parse(const char *text, size_t len, unsigned max_depth, json_t **ret,
                struct err *e) MUST_CHECK;
/* Compact, sorted keys: equal documents give equal text. Caller frees; NULL = no memory. */
char *jsonx_canonical(const json_t *j);
/* Compact in insertion order. Caller frees; NULL = no memory. */
char *jsonx_text(const json_t *j);
/* Sets text or null; 0 or ERR_NOMEM. */
int jsonx_set_str(json_t *o, const char *key, const char *value);

#endif
