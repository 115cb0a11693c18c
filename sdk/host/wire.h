/* host/wire.h - how values travel inside frames: bytes, the error record, an operation.
 *
 * Bytes (bodies, state blobs, texts a driver wrote) are a JSON string when they are UTF-8 without
 * NUL, else {"base64": "..."}. A member that is absent or null means "none".
 * Neighbours: serve.c and upcalls.c (child), core/drivers/host_services.c and conversation.c
 * (parent), the check kit. */
#ifndef MAGNUM_HOST_WIRE_H
#define MAGNUM_HOST_WIRE_H

#include "magnum/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Caller owns; NULL = no memory. data may be NULL when len is 0. */
json_t *wire_bytes(const void *data, size_t len);
/* The bytes of a value made by wire_bytes: *ret is NUL-terminated beyond *ret_len, caller frees.
 * True also for an absent value (NULL and 0). False when it is neither form, or no memory. */
bool wire_bytes_get(const json_t *v, char **ret, size_t *ret_len);
/* True for UTF-8 without NUL. */
bool wire_is_text(const void *data, size_t len);

/* The three texts of an error record; chars beyond the arrays are never read. */
json_t *wire_error(const mag_error *err);
/* Fills the record from what wire_error or the core wrote; texts are cut at a character when too
 * long. Unknown members are ignored. */
void wire_error_get(const json_t *v, mag_error *err);

/* Copies UTF-8 text into a fixed array, cut at a character, line breaks and other control
 * characters as blanks. */
void wire_text_copy(char *to, size_t cap, const char *from);

#endif
