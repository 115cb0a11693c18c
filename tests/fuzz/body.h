/* What the body_* and query targets share: an API without listener, database and identity service,
 * for both releases, and the demand on every refusal: a client error whose answer is Magnum's JSON.
 * Neighbours: body.c, query.c. */
#ifndef MAGNUM_TESTS_FUZZ_BODY_H
#define MAGNUM_TESTS_FUZZ_BODY_H

#include "api/api_internal.h"

/* zed 0 or 1; made on first use and kept. */
struct api *fuzz_api(int zed);
/* Aborts unless a refusal is a 4xx with a readable body, and success has touched no error. */
void fuzz_outcome(int rc, const struct err *e);

#endif
