/* One call or notification on its way, and the table of those under way. An id is
 * "<sequence>.<slot>": the slot finds the call, the sequence proves that it is still the same one,
 * so a late answer to a finished call never reaches its successor. See links_internal.h. */
#include "base/clock.h"
#include "base/cond.h"
#include "base/jsonx.h"
#include "base/parse.h"
#include "config/config.h"
#include "rpc/links_internal.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

/* The parameters, and by what ids the caller's log and trace know this. */
static char *body_of(const json_t *params)
{
    _cleanup_free_ char *text = params ? jsonx_text(params) : strdup("{}");
    _cleanup_free_ char *ids = rpc_trace_member();
    if (!text || !ids || !*ids || text[0] != '{')
        return ids ? TAKE_PTR(text) : NULL;
    return str_fmt("{%s%s%s", ids, text[1] == '}' ? "" : ",", text + 1);
}

struct rpc_call *rpc_call_new(const char *method, const json_t *params, size_t max_body,
                              struct err *e)
{
    struct rpc_call *call = calloc(1, sizeof *call);
    if (!call) {
        err_nomem(e);
        return NULL;
    }
    cond_init(&call->done);
    call->body = body_of(params);
    call->body_len = call->body ? strlen(call->body) : 0;
    int n = snprintf(call->method, sizeof call->method, "%s", method);
    if (!call->body)
        err_nomem(e);
    else if (n >= (int)sizeof call->method)
        err_set(e, ERR_INVALID, "the method name %.80s is too long", method);
    else if (call->body_len > max_body) /* ZeroMQ would cut the connection for it */
        err_set(e, ERR_TOO_LARGE, "the request %s is larger than rpc.max_message_bytes (%zu)",
                method, max_body);
    else
        return call;
    rpc_call_free(&call);
    return NULL;
}

void rpc_call_free(struct rpc_call **callp)
{
    struct rpc_call *call = *callp;
    *callp = NULL;
    if (!call)
        return;
    pthread_cond_destroy(&call->done);
    free(call->body);
    free(call->asked);
    free(call->answer);
    free(call);
}

/* ---- the table ---- */
int rpc_calls_add(struct rpc_calls *t, struct rpc_call *call)
{
    size_t i = t->first_free;
    while (i < t->n && t->v[i])
        i++;
    if (i == t->n) {
        size_t bigger = t->n ? t->n * 2 : 64;
        struct rpc_call **grown = reallocarray(t->v, bigger, sizeof *grown);
        if (!grown)
            return ERR_NOMEM;
        memset(grown + t->n, 0, (bigger - t->n) * sizeof *grown);
        t->v = grown;
        t->n = bigger;
    }
    call->slot = i;
    call->seq = ++t->last_seq;
    t->v[i] = call;
    t->used++;
    t->first_free = i + 1;
    return 0;
}

void rpc_calls_remove(struct rpc_calls *t, struct rpc_call *call)
{
    t->v[call->slot] = NULL;
    t->used--;
    if (call->slot < t->first_free)
        t->first_free = call->slot;
}

void rpc_calls_done(struct rpc_calls *t)
{
    free(t->v);
    *t = (struct rpc_calls){.v = NULL};
}

struct rpc_call *rpc_calls_find(const struct rpc_calls *t, const char *id)
{
    char seq_text[24];
    const char *dot = strchr(id, '.');
    if (!dot || (size_t)(dot - id) >= sizeof seq_text)
        return NULL;
    memcpy(seq_text, id, (size_t)(dot - id));
    seq_text[dot - id] = '\0';
    int64_t seq = 0, slot = 0;
    if (!parse_i64(seq_text, 1, INT64_MAX, &seq) || !parse_i64(dot + 1, 0, INT32_MAX, &slot) ||
        (size_t)slot >= t->n)
        return NULL;
    struct rpc_call *call = t->v[slot];
    return call && call->seq == (uint64_t)seq ? call : NULL;
}

/* ---- sending ---- */
static int remember(struct rpc_call *call, uint64_t serial)
{
    uint64_t *grown = reallocarray(call->asked, call->n_asked + 1, sizeof *grown);
    if (!grown)
        return ERR_NOMEM;
    call->asked = grown;
    call->asked[call->n_asked++] = serial;
    return 0;
}

void rpc_call_forget(struct rpc_call *call, uint64_t serial)
{
    for (size_t i = 0; i < call->n_asked; i++)
        if (call->asked[i] == serial)
            call->asked[i] = call->asked[--call->n_asked];
}

bool rpc_call_send(struct rpc_call *call, struct rpc_link *k, int64_t now_ms)
{
    if (remember(call, k->serial) < 0)
        return false;
    char id[RPC_ID_MAX], left[24];
    snprintf(id, sizeof id, "%" PRIu64 ".%zu", call->seq, call->slot);
    snprintf(left, sizeof left, "%" PRId64, call->deadline_ms - now_ms);
    const char *kind = call->notify ? "notify" : "call";
    const struct rpc_part parts[RPC_REQUEST_FRAMES] = {
        {RPC_VERSION, strlen(RPC_VERSION)},   {id, strlen(id)},     {kind, strlen(kind)},
        {call->method, strlen(call->method)}, {left, strlen(left)}, {call->body, call->body_len},
    };
    if (rpc_parts_send(k->dealer, parts, RPC_REQUEST_FRAMES)) {
        call->at = k->serial;
        return true;
    }
    rpc_call_forget(call, k->serial);
    return false;
}
