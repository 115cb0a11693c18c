/* From an error to an HTTP answer: the one place where a code becomes a status and a body
 * (api.md 3). Neighbours: api.c, call.c. */
#ifndef MAGNUM_API_ERRORS_H
#define MAGNUM_API_ERRORS_H

#include "base/err.h"
#include "http/server.h"

/* The general body. code "client", "server" or "". Replaces what the body holds. */
void error_answer(struct http_response *rp, int status, const char *code, const char *title,
                  const char *detail);
/* An error of a handler: status of its code, title = the text up to its first full stop. The texts
 * of server errors can name hosts and files: unless show_5xx, the caller gets a general one. */
void error_from(struct http_response *rp, const struct err *e, bool show_5xx,
                const char *request_id);
/* An error of routing and negotiation: texts only for clients that accept nothing but JSON. */
void error_routing(struct http_response *rp, int status, const char *detail, const char *accept);
/* A microversion out of range; with_text: the client accepts JSON. */
void error_version(struct http_response *rp, const char *text, int max_minor, bool with_text);
/* 401 (1.2), challenge NULL or the WWW-Authenticate value. */
void error_unauthorized(struct http_response *rp, const char *challenge);
/* True when the Accept header names application/json and nothing wider. */
bool accepts_json_only(const char *accept);
/* False when the header rules JSON out. */
bool accepts_json(const char *accept);

#endif
