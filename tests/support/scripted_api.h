/* An API behind mag_host.http whose exchanges are written down beforehand: each request has to be
 * the next one of the script. For unit tests of drivers' files; one script at a time.
 * Neighbours: cunit_main.h, plugins/<name>/tests. */
#ifndef TESTS_SUPPORT_SCRIPTED_API_H
#define TESTS_SUPPORT_SCRIPTED_API_H

#include "support/cunit_main.h"

#include "lib/cleanup.h"
#include "lib/json.h"

struct script {                        /* one expected request and its answer */
    const char *method, *path, *sends; /* sends: part of the body, or NULL */
    uint32_t status;                   /* 0: the exchange times out */
    const char *body;
};
static const struct script *next_step;
static size_t left; /* exchanges that are still to come */

static int32_t scripted_http(void *ctx, const mag_op *op, const mag_http_req *rq, mag_http_resp *rp,
                             mag_error *e)
{
    char body[4096];
    (void)ctx;
    (void)op;
    CU_ASSERT_FATAL(left > 0);
    const struct script *s = next_step++;
    left--;
    snprintf(body, sizeof body, "%.*s", (int)rq->body.len,
             rq->body.data ? (const char *)rq->body.data : "");
    CU_ASSERT_STRING_EQUAL(rq->service, "cluster");
    CU_ASSERT_STRING_EQUAL(rq->method, s->method);
    if (strcmp(rq->path, s->path) != 0)
        fprintf(stderr, "asked %s, not %s\n", rq->path, s->path);
    CU_ASSERT_STRING_EQUAL(rq->path, s->path);
    if (s->sends && !strstr(body, s->sends))
        fprintf(stderr, "sent %s, not %s\n", body, s->sends);
    CU_ASSERT(!s->sends || strstr(body, s->sends) != NULL);
    if (!s->status) {
        snprintf(e->message, sizeof e->message, "timeout");
        return MAG_E_TIMEOUT;
    }
    rp->status = s->status;
    rp->body = mag_text(s->body);
    return MAG_OK;
}

static void play(const struct script *v, size_t n)
{
    next_step = v;
    left = n;
}
#define PLAY(...)                                                                                  \
    static const struct script steps[] = {__VA_ARGS__};                                            \
    play(steps, MAG_LEN(steps))

#endif
