/* Percent-decoding of request URIs. Neighbours: server_request.c, its unit test. */
#ifndef MAGNUM_HTTP_URI_INTERNAL_H
#define MAGNUM_HTTP_URI_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

/* Decodes in place and returns the new length. An escape that is malformed or means NUL is left as
 * it stands and makes *bad true (*bad is not reset). */
size_t uri_decode(char *s, bool *bad);
/* Well-formed UTF-8: no overlong forms, no surrogates, nothing beyond U+10FFFF. */
bool uri_is_utf8(const char *s);

#endif
