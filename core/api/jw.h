/* Writing JSON text straight into a struct str: the answers of the API are built once, in field
 * order, without a document tree. Members are separated by looking at the last byte written, so a
 * writer is only "open, members, close". Neighbours: views, errors, discovery. */
#ifndef MAGNUM_API_JW_H
#define MAGNUM_API_JW_H

#include "base/str.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Values. s NULL gives null; text must be UTF-8. MODEL_UNSET and TIME_UNSET give null. */
void jw_text(struct str *o, const char *s);
void jw_number(struct str *o, int64_t v);
void jw_document(struct str *o, const json_t *j); /* NULL gives null */

/* A comma where one is needed: before an element of an array or a member of an object, not behind a
 * key. */
void jw_next(struct str *o);
void jw_key(struct str *o, const char *key);
void jw_str(struct str *o, const char *key, const char *s);
void jw_int(struct str *o, const char *key, int64_t v);
void jw_bool(struct str *o, const char *key, bool v);
void jw_time(struct str *o, const char *key, int64_t us);
/* missing: text written when j is NULL or null, such as "{}". */
/* Text that is JSON already; missing: what stands for NULL and for a JSON null. */
void jw_raw(struct str *o, const char *key, const char *json, const char *missing);
/* A list of these items, which are JSON separated by commas; NULL: an empty list. */
void jw_items(struct str *o, const char *key, const char *items);
void jw_json(struct str *o, const char *key, const json_t *j, const char *missing);

#endif
