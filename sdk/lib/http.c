/* See http.h. */
#include "lib/http.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdio.h>
#include <string.h>

int32_t mag_http_do(const mag_host *host, const mag_op *op, const struct mag_http_call *c,
                    struct mag_http_answer *ret, mag_error *err)
{
    _mag_free_ char *body = NULL, *headers = NULL;
    mag_http_req rq = {
        .struct_size = sizeof rq,
        .timeout_ms = c->timeout_ms,
        .method = c->method,
        .service = c->service,
        .path = c->path,
        .headers = c->headers,
        .body = c->raw,
    };
    if (c->json) {
        body = mag_json_dump(c->json);
        if (!body || asprintf(&headers, "Content-Type: application/json\n%s",
                              c->headers ? c->headers : "") < 0)
            return mag_fail_nomem(err);
        rq.body = mag_text(body);
        rq.headers = headers;
    }
    mag_http_resp rp = {.struct_size = sizeof rp};
    int32_t rc = host->http(host->ctx, op, &rq, &rp, err);
    if (rc != MAG_OK)
        return rc;
    *ret = (struct mag_http_answer){rp.status, rp.body, rp.headers};
    return MAG_OK;
}

bool mag_http_quote(char *out, size_t cap, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t used = 0;
    for (; *text; text++) {
        bool keep = strchr(plain, *text) != NULL;
        if (used + (keep ? 1 : 3) + 1 > cap)
            return false;
        if (keep)
            out[used++] = *text;
        else
            used += (size_t)snprintf(out + used, 4, "%%%02X", (unsigned char)*text);
    }
    if (used >= cap)
        return false;
    out[used] = '\0';
    return true;
}
