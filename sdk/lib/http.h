/* HTTP through the host: one call = one exchange, with JSON in and out.
 * A status is never an error here; transport failures are the host's MAG_E_UNAVAILABLE or
 * MAG_E_TIMEOUT. Neighbours: json, docker, plugins. */
#ifndef MAGNUM_SDK_LIB_HTTP_H
#define MAGNUM_SDK_LIB_HTTP_H

#include "lib/json.h"

struct mag_http_call {
    const char *method, *service, *path; /* as in mag_http_req */
    const char *headers;                 /* further "Name: value\n" lines, or NULL */
    const json_t *json;                  /* body, sent as application/json; or NULL */
    mag_bytes raw;                       /* body when json is NULL */
    uint32_t timeout_ms;                 /* 0 = what is left of the budget */
};
struct mag_http_answer {
    uint32_t status;
    mag_bytes body;      /* the host's; until the driver call returns */
    const char *headers; /* the host's */
};

int32_t mag_http_do(const mag_host *host, const mag_op *op, const struct mag_http_call *c,
                    struct mag_http_answer *ret, mag_error *err);

/* Percent-encodes one path segment or query value; false when it does not fit. */
bool mag_http_quote(char *out, size_t cap, const char *text);

#endif
