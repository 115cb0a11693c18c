/* See conversation.h. */
#include "drivers/conversation.h"

#include "base/clock.h"
#include "drivers/contract.h"
#include "drivers/host_services.h"
#include "magnum/error.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

struct talk {
    struct driver_pool *p;
    struct child *c;
    const struct coe_call *call;
    const struct verb *verb;
    struct coe_result *ret;
    uint32_t id;
    int64_t soft_ms; /* the budget ends: cancelled() says yes */
    int64_t hard_ms; /* the host is ended */
    bool stopping;
    bool fenced;
    int log_fd;
};

/* borrowed values are counted up: json_pack takes one reference of each */
static json_t *share(const json_t *j)
{
    return j ? json_incref((json_t *)j) : json_null();
}

/* What the host need not read itself: each made into text once, here. */
struct documents {
    char *texts[FRAME_TEXTS];
};

static void documents_done(struct documents *d)
{
    for (size_t i = 0; i < FRAME_TEXTS; i++) {
        if (d->texts[i])
            explicit_bzero(d->texts[i], strlen(d->texts[i]));
        free(d->texts[i]);
    }
}

static char *document(const json_t *j)
{
    return !j || json_is_null(j) ? str_dup("") : json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);
}

/* Takes them out of the call's object, which names their lengths in their place. */
static int take_documents(struct documents *d, json_t *body)
{
    static const char *const members[] = {[FRAME_TEXT_SPEC] = "spec", [FRAME_TEXT_PRIOR] = "prior"};
    json_t *lengths = json_array();
    for (size_t i = 0; i < FRAME_TEXTS; i++) {
        d->texts[i] = document(json_object_get(body, members[i]));
        if (!d->texts[i] ||
            json_array_append_new(lengths, json_integer((json_int_t)strlen(d->texts[i]))) < 0) {
            json_decref(lengths);
            return -1;
        }
        (void)json_object_del(body, members[i]);
    }
    return json_object_set_new(body, "texts", lengths);
}

static json_t *pack_call(const struct coe_call *c)
{
    json_t *op = json_pack(
        "{s:I,s:I,s:I,s:s?,s:s?,s:s?,s:s?,s:s?,s:I,s:I,s:I}", "kind", (json_int_t)c->op_kind,
        "flags", (json_int_t)c->flags, "attempt", (json_int_t)c->attempt, "op_id", c->op_id,
        "cluster_id", c->cluster_id, "project_id", c->project_id, "nodegroup_id", c->nodegroup_id,
        "request_id", c->request_id, "generation", (json_int_t)c->generation, "deadline_unix_ms",
        (json_int_t)c->deadline_unix_ms, "budget_ms", (json_int_t)c->budget_ms);
    return json_pack("{s:s,s:s,s:I,s:o,s:o,s:o,s:s?,s:o}", "interface", c->interface, "verb",
                     c->verb, "begin_before_ms", (json_int_t)c->begin_before_ms, "op", op, "spec",
                     share(c->spec), "prior", share(c->prior), "state", c->state, "args",
                     share(c->args));
}

static int broken(struct err *e, const char *why)
{
    return err_set(e, ERR_PROTOCOL, "%s", why);
}

static int answer_upcall(struct talk *t, const struct frame *f, struct err *e)
{
    int64_t now = clock_mono_ms();
    struct service_call s = {.cfg = t->p->cfg,
                             .plugin = t->c->driver->plugin,
                             .call = t->call,
                             .log = &t->c->log,
                             .result = t->ret,
                             .left_ms = t->soft_ms - now,
                             .cancelled = now >= t->soft_ms || atomic_load(&t->p->stopping),
                             .fenced = t->fenced};
    json_t *reply = services_answer(&s, f->body);
    t->fenced = s.fenced;
    if (!reply)
        return broken(e, "the driver's process sent a malformed request");
    size_t max = (size_t)t->p->cfg->drivers_max_frame_bytes;
    /* The host waits for this: it takes in bytes at once or never. */
    int64_t until = clock_mono_ms() + t->p->cfg->drivers_start_timeout_ms;
    int rc = frame_write(t->c->conn.sock, max, FRAME_UPREPLY, t->id, reply, until);
    json_decref(reply);
    if (rc == FRAME_E_TOO_LARGE) {
        json_t *small = json_pack("{s:i,s:{s:s,s:s}}", "rc", MAG_E_UNAVAILABLE, "error", "reason",
                                  "AnswerTooLarge", "message",
                                  "the answer of the backend is larger than a frame may be");
        rc = small ? frame_write(t->c->conn.sock, max, FRAME_UPREPLY, t->id, small, until)
                   : FRAME_E_NO_MEMORY;
        json_decref(small);
    }
    return rc == FRAME_OK ? 0 : broken(e, frame_error(rc));
}

/* *done: the result is there. */
static int take_frame(struct talk *t, const struct frame *f, bool *done, struct err *e)
{
    if (f->type == FRAME_LOG) {
        child_log_frame(&t->c->log, f->body);
        return 0;
    }
    if (f->call != t->id)
        return broken(e, "the driver's process answered another call");
    if (f->type == FRAME_UPCALL)
        return answer_upcall(t, f, e);
    if (f->type != FRAME_RESULT)
        return broken(e, "the driver's process sent a frame of the wrong kind");
    *done = true;
    return contract_result(t->verb, f->body, &t->c->log, t->ret, e);
}

/* Waits for something to happen: a frame, output, the pool's stop, the process's end, the time. */
static int wait_event(struct talk *t, bool *ended, struct err *e)
{
    int64_t left = t->hard_ms - clock_mono_ms();
    if (left <= 0 && t->stopping)
        return err_set(e, ERR_CANCELLED, "the conductor is stopping");
    if (left <= 0)
        return err_set(e, ERR_TIMEOUT, "no answer within %lld ms",
                       (long long)(t->call->budget_ms + t->p->cfg->drivers_kill_grace_ms));
    int64_t pause = child_log_pause_ms(&t->c->log);
    struct pollfd v[4] = {{.fd = pause ? -1 : t->c->conn.sock, .events = POLLIN},
                          {.fd = t->c->conn.end_fd, .events = POLLIN},
                          {.fd = pause ? -1 : t->log_fd, .events = POLLIN},
                          {.fd = t->stopping ? -1 : t->p->stop_fd, .events = POLLIN}};
    if (pause && pause < left)
        left = pause;
    if (poll(v, 4, left > INT_MAX ? INT_MAX : (int)left) < 0 && errno != EINTR)
        return err_errno(e, errno, "cannot wait for a driver host");
    if (v[2].revents && !child_log_pump(&t->c->log, t->log_fd))
        t->log_fd = -1;
    if (v[3].revents) {
        int64_t at = atomic_load(&t->p->stop_at_ms);
        t->stopping = true;
        t->hard_ms = at < t->hard_ms ? at : t->hard_ms;
    }
    *ended = v[1].revents != 0;
    return 0;
}

static int listen_to(struct talk *t, struct err *e)
{
    bool done = false, ended = false;
    /* No driver has answered by now: its first answer is waited for at once. */
    int early = frame_reader_has(&t->c->in) ? 0 : wait_event(t, &ended, e);
    if (early != 0)
        return early;
    for (;;) {
        struct frame f = {0};
        int rc = child_log_pause_ms(&t->c->log) && !ended
                     ? FRAME_MORE
                     : frame_reader_poll(&t->c->in, t->c->conn.sock, &f);
        if (rc == FRAME_MORE && ended)
            return broken(e, "the driver's process ended");
        if (rc == FRAME_MORE) {
            rc = wait_event(t, &ended, e);
            if (rc != 0)
                return rc;
            continue;
        }
        if (rc != FRAME_OK)
            return broken(e, frame_error(rc));
        rc = take_frame(t, &f, &done, e);
        frame_done(&f);
        if (rc != 0 || done)
            return rc;
        if (clock_mono_ms() >= t->hard_ms && (rc = wait_event(t, &ended, e)) != 0)
            return rc; /* a host that never stops asking is out of time as well */
    }
}

/* A driver that stopped because its time was up did well: nobody cancelled the operation. */
static void judge_cancelled(const struct talk *t)
{
    const struct coe_services *svc = t->call->services;
    struct coe_result *r = t->ret;
    if (r->rc != MAG_E_CANCELLED || t->fenced || atomic_load(&t->p->stopping) ||
        clock_mono_ms() < t->soft_ms || (svc && svc->cancelled && svc->cancelled(svc->ctx)))
        return;
    r->rc = MAG_E_TIMEOUT;
    r->err_flags |= MAG_ERR_RETRYABLE;
    snprintf(r->reason, sizeof r->reason, "OverBudget");
    snprintf(r->err_message, sizeof r->err_message, "The step took longer than its %lld ms.",
             (long long)t->call->budget_ms);
}

/* Keys that go to a certificate manager or come from one: its log lines shall not have them. */
static void hide_keys(struct child *c, const json_t *bundle)
{
    static const char *const names[] = {"private_key", "passphrase"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const json_t *v = json_object_get(bundle, names[i]);
        if (json_is_string(v))
            child_log_hide(&c->log, json_string_value(v), json_string_length(v));
    }
}

static int send_call(struct talk *t, json_t *body)
{
    size_t max = (size_t)t->p->cfg->drivers_max_frame_bytes;
    int sock = t->c->conn.sock;
    if (!t->c->texts)
        return frame_write(sock, max, FRAME_CALL, t->id, body, t->hard_ms);
    struct documents d = {{NULL}};
    int rc = FRAME_E_NO_MEMORY;
    if (take_documents(&d, body) == 0)
        rc = frame_write_texts(sock, max, t->id, body, (const char *const *)d.texts, FRAME_TEXTS,
                               t->hard_ms);
    documents_done(&d);
    return rc;
}

int converse(struct driver_pool *p, struct child *c, const struct coe_call *call,
             const struct verb *verb, struct coe_result *ret, struct err *e)
{
    int64_t now = clock_mono_ms();
    struct talk t = {.p = p,
                     .c = c,
                     .call = call,
                     .verb = verb,
                     .ret = ret,
                     .id = ++c->calls,
                     .soft_ms = now + call->budget_ms,
                     .hard_ms = now + call->budget_ms + p->cfg->drivers_kill_grace_ms,
                     .log_fd = c->conn.log_fd};
    _cleanup_json_ json_t *body = pack_call(call);
    hide_keys(c, json_object_get(call->args, "bundle"));
    if (!body)
        return err_nomem(e);
    int rc = send_call(&t, body);
    if (rc == FRAME_E_TOO_LARGE)
        return err_set(e, ERR_TOO_LARGE, "the call is larger than drivers.max_frame_bytes");
    if (rc == FRAME_E_NO_MEMORY)
        return err_nomem(e);
    if (rc != FRAME_OK)
        return broken(e, frame_error(rc));
    rc = listen_to(&t, e);
    hide_keys(c, ret->value);
    if (rc == 0)
        judge_cancelled(&t);
    return rc;
}
