/* UUIDs as lower-case text with dashes. Neighbours: everything. */
#ifndef MAGNUM_BASE_UUID_H
#define MAGNUM_BASE_UUID_H

#include <stdbool.h>

enum { UUID_TEXT = 37 };
void uuid_make(char buf[UUID_TEXT]);
/* True when `s` is UUID-like as oslo accepts it (dashes, braces, "urn:uuid:" optional, any case);
 * writes the normal form into `ret` when `ret` is not NULL. */
bool uuid_like(const char *s, char ret[UUID_TEXT]);

#endif
