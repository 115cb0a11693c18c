/* The body of a request: its media type, its JSON, and the checks a route declares for it
 * (api.md 1.5). Neighbours: api.c calls it between routing and the handler. */
#ifndef MAGNUM_API_BODY_H
#define MAGNUM_API_BODY_H

#include "api/api_internal.h"

/* Fills c->body. ERR_INVALID or ERR_MEDIA_TYPE with Magnum's text. */
int body_read(struct api_call *c, struct err *e) MUST_CHECK;
/* The part behind the media type: bytes to a checked document. */
int body_parse(struct api_call *c, struct err *e) MUST_CHECK;

#endif
