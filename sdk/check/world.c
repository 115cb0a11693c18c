/* See check.h: the services a plugin gets from the kit. Every call that changes something or asks
 * the outside is a "touch"; at the planned one the plugin is killed, refused or fenced. */
#include "check.h"

#include "base/io.h"
#include "base/jsonx.h"

#include <poll.h>
#include <signal.h>
#include <string.h>

void world_init(struct world *w, struct kit *k)
{
    *w = (struct world){
        .k = k, .outputs = json_object(), .ledger = json_array(), .said = json_array()};
    snprintf(w->cluster, sizeof w->cluster, "c0000000-0000-4000-8000-%012x", ++k->clusters);
}

void world_done(struct world *w)
{
    json_decref(w->outputs);
    json_decref(w->ledger);
    json_decref(w->said);
    free(w->state);
    free(w->first_state);
    *w = (struct world){.k = NULL};
}

void world_plan(struct world *w)
{
    free(TAKE_PTR(w->state));
    free(TAKE_PTR(w->first_state));
    w->touches = w->http_calls = w->after_fence = 0;
    w->kill_at = w->fault_at = w->fence_at = 0;
    w->fault = FAULT_NONE;
    w->kill_after = w->cancel = w->no_remote = w->went_remote = false;
    w->killed = w->fenced = w->faulted = false;
}

static void kill_plugin(struct world *w)
{
    w->killed = true;
    w->kill_at = 0;
    (void)kill(w->pid, SIGKILL);
}

/* Before the effect of a touch. Non-zero: it must not take place. */
static int touch(struct world *w, struct err *e)
{
    w->touches++;
    w->after_fence += w->fenced;
    if (w->fence_at && w->touches >= w->fence_at)
        w->fenced = true;
    if (w->fenced)
        return err_set(e, ERR_FENCED, "another conductor has the operation");
    if (w->kill_at == w->touches && !w->kill_after) {
        kill_plugin(w);
        return err_set(e, ERR_CANCELLED, "killed by the kit");
    }
    return 0;
}

/* After it. */
static int touched(struct world *w, struct err *e)
{
    if (w->kill_at != w->touches)
        return 0;
    kill_plugin(w);
    return err_set(e, ERR_CANCELLED, "killed by the kit");
}

static int on_checkpoint(void *ctx, const char *state, size_t len, struct err *e)
{
    struct world *w = ctx;
    int rc = touch(w, e);
    if (rc != 0)
        return rc;
    free(w->state);
    w->state = strndup(state, len);
    if (!w->state)
        return err_nomem(e);
    if (!w->first_state)
        w->first_state = str_dup(w->state);
    return touched(w, e);
}

static int on_output(void *ctx, const char *key, const json_t *value, struct err *e)
{
    struct world *w = ctx;
    if (w->fenced) {
        w->after_fence++;
        return err_set(e, ERR_FENCED, "another conductor has the operation");
    }
    return json_object_set(w->outputs, key, (json_t *)value) < 0 ? err_nomem(e) : 0;
}

static bool on_cancelled(void *ctx)
{
    const struct world *w = ctx;
    return w->cancel || w->fenced;
}

/* ---- http ---- */

const char *fault_name(enum fault f)
{
    static const char *const names[] = {"none",
                                        "401",
                                        "404",
                                        "409",
                                        "429 with Retry-After",
                                        "500",
                                        "garbage instead of JSON",
                                        "half an answer",
                                        "a timeout",
                                        "connection refused"};
    return f < FAULT_END ? names[f] : "?";
}

static int replace(struct http_reply *rp, int status, const char *headers, const char *body,
                   struct err *e)
{
    free(rp->body);
    free(rp->headers);
    rp->status = status;
    rp->body = str_dup(body);
    rp->headers = str_dup(headers);
    rp->body_len = rp->body ? strlen(rp->body) : 0;
    return rp->body && rp->headers ? 0 : err_nomem(e);
}

/* Answers that never reached the backend, and those that were spoilt on the way back. */
static int spoil(struct world *w, enum fault f, const struct http_call_spec *rq,
                 struct http_reply *rp, struct err *e)
{
    static const char error[] = "{\"error\": {\"message\": \"as the kit wants\"}}";
    w->faulted = true;
    switch (f) {
    case FAULT_401:
        return replace(rp, 401, "", error, e);
    case FAULT_404:
        return replace(rp, 404, "", error, e);
    case FAULT_409:
        return replace(rp, 409, "", error, e);
    case FAULT_429:
        return replace(rp, 429, "retry-after: 1\n", error, e);
    case FAULT_500:
        return replace(rp, 500, "", error, e);
    case FAULT_TIMEOUT:
        return err_set(e, ERR_TIMEOUT, "no answer in time");
    case FAULT_DOWN:
        return err_set(e, ERR_UNAVAILABLE, "connection refused");
    case FAULT_GARBAGE:
    case FAULT_CUT:
    case FAULT_NONE:
    case FAULT_END:
        break;
    }
    int rc = backend_http(w->k->backend, rq, rp, e);
    if (rc == 0 && f == FAULT_GARBAGE)
        return replace(rp, rp->status, "content-type: application/json\n", "{]\x01 what", e);
    if (rc == 0)
        rp->body_len /= 2;
    return rc;
}

static int on_http(void *ctx, const struct http_call_spec *rq, struct http_reply *rp, struct err *e)
{
    struct world *w = ctx;
    w->went_remote = true;
    if (w->no_remote)
        return err_set(e, ERR_FORBIDDEN, "no remote call is allowed here");
    int rc = touch(w, e);
    if (rc != 0)
        return rc;
    json_array_append_new(w->said, json_string(rq->path));
    w->http_calls++;
    if (w->fault_at == w->http_calls)
        rc = spoil(w, w->fault, rq, rp, e);
    else
        rc = backend_http(w->k->backend, rq, rp, e);
    int after = touched(w, e);
    return rc ? rc : after;
}

/* ---- ledger ---- */

static json_t *find(const struct world *w, const json_t *args, size_t *ret_at)
{
    size_t i;
    json_t *v;
    json_array_foreach(w->ledger, i, v)
    {
        if (str_eq(jsonx_str(v, "kind"), jsonx_str(args, "kind")) &&
            str_eq(jsonx_str(v, "name"), jsonx_str(args, "name"))) {
            *ret_at = i;
            return v;
        }
    }
    return NULL;
}

static int list(const struct world *w, const json_t *args, json_t **ret, struct err *e)
{
    const char *kind = jsonx_str(args, "kind");
    size_t i;
    json_t *v, *all = json_array();
    json_array_foreach(w->ledger, i, v)
    {
        if (all && (!kind || str_eq(jsonx_str(v, "kind"), kind)))
            json_array_append_new(all, json_deep_copy(v));
    }
    *ret = all;
    return all ? 0 : err_nomem(e);
}

static int on_ledger(void *ctx, const char *verb, const json_t *args, json_t **ret, struct err *e)
{
    struct world *w = ctx;
    size_t at = 0;
    if (str_eq(verb, "list") && !w->fenced)
        return list(w, args, ret, e);
    int rc = touch(w, e);
    if (rc != 0)
        return rc;
    json_t *have = find(w, args, &at);
    if (str_eq(verb, "declare") && !have)
        json_array_append_new(w->ledger,
                              json_pack("{s:O,s:O,s:s,s:O?}", "kind", json_object_get(args, "kind"),
                                        "name", json_object_get(args, "name"), "state", "intent",
                                        "data", json_object_get(args, "data")));
    else if (str_eq(verb, "confirm") && have) {
        json_object_set_new(have, "state", json_string("confirmed"));
        json_object_set(have, "external_id", json_object_get(args, "external_id"));
    } else if (str_eq(verb, "drop") && have)
        json_array_remove(w->ledger, at);
    return touched(w, e);
}

/* ---- certificates and secrets: texts that must never be seen again ---- */

/* Text before a key's first line means nothing to who reads it, but is found again. */
static int mark_key(json_t *issued, struct err *e)
{
    const char *key = jsonx_str(issued, "private_key");
    if (!key)
        return 0;
    _cleanup_free_ char *marked = str_fmt(CANARY_KEY "\n%s", key);
    if (!marked || json_object_set_new(issued, "private_key", json_string(marked)) < 0)
        return err_nomem(e);
    return 0;
}

static int on_cert(void *ctx, const char *verb, const json_t *args, json_t **ret, struct err *e)
{
    const struct world *w = ctx;
    if (w->fenced)
        return err_set(e, ERR_FENCED, "another conductor has the operation");
    int rc = backend_cert(w->k->backend, w->cluster, verb, args, ret, e);
    if (rc != 0 || *ret)
        return rc != 0 ? rc : mark_key(*ret, e);
    *ret = str_eq(verb, "issue")
               ? json_pack("{s:s,s:s,s:s}", "certificate", "-----CERTIFICATE-----", "private_key",
                           CANARY_KEY, "ca", "-----CA-----")
               : json_sprintf("-----%s %s-----", verb, jsonx_str(args, "ca"));
    return *ret ? 0 : err_nomem(e);
}

static int on_secret(void *ctx, const char *handle, struct err *e, char **ret, size_t *len)
{
    const struct world *w = ctx;
    (void)handle;
    if (w->fenced)
        return err_set(e, ERR_FENCED, "another conductor has the operation");
    *ret = str_dup(CANARY_SECRET);
    *len = strlen(CANARY_SECRET);
    return *ret ? 0 : err_nomem(e);
}

struct coe_services world_services(struct world *w)
{
    return (struct coe_services){.ctx = w,
                                 .checkpoint = on_checkpoint,
                                 .output = on_output,
                                 .cancelled = on_cancelled,
                                 .http = on_http,
                                 .ledger = on_ledger,
                                 .cert = on_cert,
                                 .secret = on_secret};
}

/* ---- what is there afterwards ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "x<cluster>y" becomes "x${cluster}y", so that two clusters can be compared. */
static char *without_id(const char *text, const char *cluster)
{
    _cleanup_str_ struct str t = STR_INIT;
    for (const char *at; (at = strstr(text, cluster)); text = at + strlen(cluster)) {
        str_append_n(&t, text, (size_t)(at - text));
        str_append(&t, "${cluster}");
    }
    str_append(&t, text);
    return str_take(&t);
}

json_t *world_inventory(struct world *w, struct err *e)
{
    _cleanup_json_ json_t *raw = json_array();
    json_t *v, *sorted = json_array();
    size_t i;
    if (!raw || !sorted || backend_count(w->k->backend, w->cluster, raw, e) != 0) {
        json_decref(sorted);
        return NULL;
    }
    json_array_foreach(w->ledger, i, v)
    {
        json_array_append_new(
            raw, json_sprintf("ledger:%s/%s", jsonx_str(v, "kind"), jsonx_str(v, "name")));
    }
    size_t n = json_array_size(raw);
    char **texts = calloc(n ? n : 1, sizeof *texts);
    for (i = 0; texts && i < n; i++) {
        const char *text = json_string_value(json_array_get(raw, i));
        texts[i] = without_id(text ? text : "?", w->cluster);
    }
    if (texts)
        qsort(texts, n, sizeof *texts, by_text);
    for (i = 0; texts && i < n; i++) {
        json_array_append_new(sorted, json_string(texts[i] ? texts[i] : ""));
        free(texts[i]);
    }
    free(texts);
    return sorted;
}

bool world_is_empty(struct world *w, struct verdict *v, const char *when)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *all = world_inventory(w, &e);
    if (!all)
        return verdict_fail(v, "%s: %s", when, e.msg);
    _cleanup_free_ char *text = jsonx_text(all);
    return json_array_size(all) == 0 ||
           verdict_fail(v, "%s something is left: %.600s", when, text ? text : "?");
}

static bool found_in(const json_t *doc, const char *canary)
{
    _cleanup_free_ char *text = jsonx_text(doc);
    return text && strstr(text, canary);
}

bool world_leaks(struct world *w, const char *canary, char where[128])
{
    const struct {
        const char *name;
        const json_t *doc;
    } places[] = {{"an output", w->outputs}, {"the ledger", w->ledger}, {"a URL", w->said}};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (found_in(places[i].doc, canary)) {
            snprintf(where, 128, "%s", places[i].name);
            return true;
        }
    }
    if (w->state && strstr(w->state, canary)) {
        snprintf(where, 128, "a checkpoint");
        return true;
    }
    char path[128];
    _cleanup_free_ char *log = NULL;
    snprintf(path, sizeof path, "%s/log", w->k->scratch);
    if (io_read_file(path, 64 << 20, &log, NULL, NULL) == 0 && strstr(log, canary)) {
        snprintf(where, 128, "the log");
        return true;
    }
    return false;
}
