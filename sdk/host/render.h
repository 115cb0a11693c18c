/* host/render.h - ${name} templates (mag.host.render/1). Pure.
 * ${name} is replaced by the member of that name: texts as they are, numbers and booleans as JSON,
 * null as nothing; name is letters, digits, '_', '.' and '-', where a '.' descends into an object.
 * $${ gives ${ and any other $ stays. Undefined names, and values that are lists or objects, fail.
 * Neighbours: upcalls.c. */
#ifndef MAGNUM_HOST_RENDER_H
#define MAGNUM_HOST_RENDER_H

#include <jansson.h>
#include <stddef.h>

enum { RENDER_WHY = 256, RENDER_MAX = 4194304 };

/* Caller frees; NULL with one line in `why`. */
char *render_text(const char *text, size_t len, const json_t *values, size_t *ret_len,
                  char why[RENDER_WHY]);

#endif
