/* One CALL frame: makes the mag_op and the other arguments, calls the verb, packs its answer. What
 * the driver wrote is passed on as it is; the parent judges it (core/drivers/contract.c).
 * Neighbours: session_internal.h, verbs.h. */
#include "host/session_internal.h"
#include "host/verbs.h"
#include "host/wire.h"

#include "magnum/cert.h"
#include "magnum/lifecycle.h"
#include "magnum/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct args { /* everything between self and err, for any verb; borrowed from frame and session */
    mag_op op;
    const char *kind, *name, *verb, *key;
    mag_bytes doc, profile;
    mag_cert_ref ref;
    uint32_t parts;
};

struct answer {
    mag_step step;
    mag_bytes doc;
    bool has_doc;
    json_t *parts;  /* name to bytes; owned */
    uint32_t asked; /* the parts a sink takes */
};

static const char *text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static json_int_t number(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

/* A JSON member as text that lives until the call ends; absent or null is empty. */
static bool json_text(struct session *s, const json_t *v, mag_bytes *ret)
{
    *ret = (mag_bytes){0};
    if (!v || json_is_null(v))
        return true;
    char *t = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!t || !session_keep(s, t, strlen(t)))
        return false;
    *ret = (mag_bytes){.data = t, .len = strlen(t)};
    return true;
}

static bool bytes(struct session *s, const json_t *v, mag_bytes *ret)
{
    char *data;
    size_t len;
    if (!wire_bytes_get(v, &data, &len) || (data && !session_keep(s, data, len)))
        return false;
    *ret = (mag_bytes){.data = data, .len = len};
    return true;
}

/* A document of the call: behind the frame's object as it is, else a member of it. */
static bool document(struct session *s, const struct frame *f, size_t index, const char *member,
                     mag_bytes *ret)
{
    size_t len = 0;
    const char *t = frame_text(f, index, &len);
    if (!t)
        return json_text(s, json_object_get(f->body, member), ret);
    *ret = len ? (mag_bytes){.data = t, .len = len} : (mag_bytes){0};
    return true;
}

static bool read_op(struct session *s, const struct frame *f, mag_op *op)
{
    const json_t *body = f->body;
    const json_t *o = json_object_get(body, "op");
    const char *op_id = text(o, "op_id"), *cluster = text(o, "cluster_id");
    const char *project = text(o, "project_id");
    *op = (mag_op){.struct_size = sizeof *op,
                   .kind = (uint32_t)number(o, "kind"),
                   .flags = (uint32_t)number(o, "flags"),
                   .attempt = (uint32_t)number(o, "attempt"),
                   .op_id = op_id ? op_id : "",
                   .cluster_id = cluster ? cluster : "",
                   .project_id = project ? project : "",
                   .nodegroup_id = text(o, "nodegroup_id"),
                   .request_id = text(o, "request_id"),
                   .generation = (uint64_t)number(o, "generation"),
                   .deadline_unix_ms = (int64_t)number(o, "deadline_unix_ms"),
                   .budget_ms = (uint32_t)number(o, "budget_ms"),
                   .host_op = s};
    return document(s, f, FRAME_TEXT_SPEC, "spec", &op->spec) &&
           document(s, f, FRAME_TEXT_PRIOR, "prior", &op->prior) &&
           bytes(s, json_object_get(body, "state"), &op->state);
}

static const struct {
    const char *name;
    uint32_t part;
} part_names[] = {{"certificate", MAG_CERT_CERTIFICATE},
                  {"chain", MAG_CERT_CHAIN},
                  {"private_key", MAG_CERT_KEY},
                  {"passphrase", MAG_CERT_PASSPHRASE}};
enum { PART_COUNT = sizeof part_names / sizeof part_names[0] };

static uint32_t read_parts(const json_t *list)
{
    uint32_t mask = 0;
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        for (size_t k = 0; k < PART_COUNT; k++)
            if (json_is_string(v) && strcmp(json_string_value(v), part_names[k].name) == 0)
                mask |= part_names[k].part;
    }
    return mask;
}

static bool read_ref(const char *from, mag_cert_ref *ref)
{
    *ref = (mag_cert_ref){.struct_size = sizeof *ref};
    if (!from || strlen(from) >= sizeof ref->ref)
        return false;
    memcpy(ref->ref, from, strlen(from) + 1);
    return true;
}

/* The verb's own arguments; false when one that it needs is missing. */
static bool read_verb_args(struct session *s, enum verb_shape shape, const json_t *j,
                           struct args *a)
{
    a->kind = text(j, "kind");
    a->name = text(j, "name");
    a->verb = text(j, "verb");
    a->key = text(j, "key");
    a->parts = read_parts(json_object_get(j, "parts"));
    switch (shape) {
    case SHAPE_LIST:
        return a->kind && json_text(s, json_object_get(j, "query"), &a->doc);
    case SHAPE_GET:
    case SHAPE_REMOVE:
        return a->kind && a->name;
    case SHAPE_CREATE:
        return a->kind && json_text(s, json_object_get(j, "doc"), &a->doc);
    case SHAPE_UPDATE:
        return a->kind && a->name && json_text(s, json_object_get(j, "doc"), &a->doc);
    case SHAPE_ACTION:
        return a->kind && a->name && a->verb && json_text(s, json_object_get(j, "args"), &a->doc);
    case SHAPE_CERT_PUT:
        return a->key && json_text(s, json_object_get(j, "bundle"), &a->doc);
    case SHAPE_CERT_GET:
    case SHAPE_CERT_DEL:
        return read_ref(text(j, "ref"), &a->ref);
    case SHAPE_CERT_SIGN:
        return read_ref(text(j, "ca"), &a->ref) &&
               bytes(s, json_object_get(j, "csr_pem"), &a->doc) &&
               json_text(s, json_object_get(j, "profile"), &a->profile);
    case SHAPE_CHECK:
    case SHAPE_STEP:
    case SHAPE_DOC:
        return true;
    }
    return false;
}

static int32_t take_part(void *ctx, uint32_t which, mag_bytes pem)
{
    struct answer *out = ctx;
    for (size_t k = 0; k < PART_COUNT; k++)
        if (part_names[k].part == which && (out->asked & which))
            return json_object_set_new(out->parts, part_names[k].name,
                                       wire_bytes(pem.data, (size_t)pem.len)) < 0
                       ? MAG_E_INTERNAL
                       : MAG_OK;
    return MAG_E_INVALID;
}

static int32_t put_bundle(verb_fn fn, struct session *s, struct args *a, struct answer *out,
                          mag_error *err)
{
    mag_cert_ref ref = {.struct_size = sizeof ref};
    int32_t rc = ((int32_t(*)(void *, const mag_op *, const char *, mag_bytes, mag_cert_ref *,
                              mag_error *))fn)(s->self, &a->op, a->key, a->doc, &ref, err);
    out->parts = json_pack("{s:o}", "ref", wire_bytes(ref.ref, strnlen(ref.ref, sizeof ref.ref)));
    return rc;
}

static int32_t get_bundle(verb_fn fn, struct session *s, struct args *a, struct answer *out,
                          mag_error *err)
{
    const uint32_t secret = MAG_CERT_KEY | MAG_CERT_PASSPHRASE;
    out->parts = json_object();
    out->asked = a->parts;
    mag_cert_sink sink = {.struct_size = sizeof sink,
                          .secret = (a->parts & secret) != 0,
                          .ctx = out,
                          .part = take_part};
    return ((int32_t(*)(void *, const mag_op *, const mag_cert_ref *, uint32_t, mag_cert_sink *,
                        mag_error *))fn)(s->self, &a->op, &a->ref, a->parts, &sink, err);
}

static int32_t sign(verb_fn fn, struct session *s, struct args *a, struct answer *out,
                    mag_error *err)
{
    mag_bytes pem = {0};
    int32_t rc = ((int32_t(*)(void *, const mag_op *, const mag_cert_ref *, mag_bytes, mag_bytes,
                              mag_bytes *, mag_error *))fn)(s->self, &a->op, &a->ref, a->doc,
                                                            a->profile, &pem, err);
    if (rc == MAG_OK)
        out->parts = json_pack("{s:o}", "certificate", wire_bytes(pem.data, (size_t)pem.len));
    return rc;
}

#define CALL(...) ((int32_t(*)(void *, const mag_op *, __VA_ARGS__))fn)

static int32_t dispatch(const struct verb *v, verb_fn fn, struct session *s, struct args *a,
                        struct answer *out, mag_error *err)
{
    const mag_op *op = &a->op;
    void *self = s->self;
    mag_bytes *doc = &out->doc;
    out->has_doc = true;
    switch (v->shape) {
    case SHAPE_DOC:
        return CALL(mag_bytes *, mag_error *)(self, op, doc, err);
    case SHAPE_LIST:
    case SHAPE_CREATE:
        return CALL(const char *, mag_bytes, mag_bytes *, mag_error *)(self, op, a->kind, a->doc,
                                                                       doc, err);
    case SHAPE_GET:
        return CALL(const char *, const char *, mag_bytes *, mag_error *)(self, op, a->kind,
                                                                          a->name, doc, err);
    case SHAPE_UPDATE:
        return CALL(const char *, const char *, mag_bytes, mag_bytes *,
                    mag_error *)(self, op, a->kind, a->name, a->doc, doc, err);
    case SHAPE_ACTION:
        return CALL(const char *, const char *, const char *, mag_bytes, mag_bytes *,
                    mag_error *)(self, op, a->kind, a->name, a->verb, a->doc, doc, err);
    default:
        break;
    }
    out->has_doc = false;
    switch (v->shape) {
    case SHAPE_CHECK:
        return CALL(mag_error *)(self, op, err);
    case SHAPE_STEP:
        return CALL(mag_step *, mag_error *)(self, op, &out->step, err);
    case SHAPE_REMOVE:
        return CALL(const char *, const char *, mag_error *)(self, op, a->kind, a->name, err);
    case SHAPE_CERT_PUT:
        return put_bundle(fn, s, a, out, err);
    case SHAPE_CERT_GET:
        return get_bundle(fn, s, a, out, err);
    case SHAPE_CERT_DEL:
        return CALL(const mag_cert_ref *, mag_error *)(self, op, &a->ref, err);
    case SHAPE_CERT_SIGN:
        return sign(fn, s, a, out, err);
    default:
        return session_fail(err, MAG_E_UNSUPPORTED, 0, "NotOffered", "the verb is not known here");
    }
}

static json_t *pack(int32_t rc, const struct answer *a, const mag_error *err)
{
    json_t *j = json_pack("{s:I}", "rc", (json_int_t)rc);
    json_t *step =
        json_pack("{s:I,s:I,s:o}", "wait_ms", (json_int_t)a->step.wait_ms, "percent",
                  (json_int_t)a->step.percent, "message",
                  wire_bytes(a->step.message, strnlen(a->step.message, sizeof a->step.message)));
    int bad = json_object_set_new(j, "step", step);
    if (rc < 0)
        bad |= json_object_set_new(j, "error", wire_error(err));
    else if (a->has_doc)
        bad |= json_object_set_new(
            j, "doc",
            a->doc.data || !a->doc.len ? wire_bytes(a->doc.data, (size_t)a->doc.len) : NULL);
    else if (a->parts)
        bad |= json_object_set(j, "parts", a->parts);
    if (bad) {
        json_decref(j);
        return NULL;
    }
    return j;
}

/* The call proper: with services open to this thread and this op. */
static int32_t run(struct session *s, const struct frame *f, struct args *a, struct answer *out,
                   mag_error *err)
{
    const json_t *body = f->body;
    const char *iface = text(body, "interface"), *name = text(body, "verb");
    if (!iface || !name)
        return session_fail(err, MAG_E_INVALID, 0, "BadCall", "interface or verb is missing");
    if (!*iface && strcmp(name, "probe") == 0)
        return s->plugin->probe ? s->plugin->probe(s->self, err) : MAG_OK;
    const struct verb *v = verb_find(iface, name);
    const void *table = v ? s->plugin->get_interface(s->self, iface) : NULL;
    verb_fn fn = table ? verb_function(v, table) : NULL;
    if (!fn)
        return session_fail(err, MAG_E_UNSUPPORTED, 0, "NotOffered",
                            "the driver does not offer this call");
    if (!read_op(s, f, &a->op) || !read_verb_args(s, v->shape, json_object_get(body, "args"), a))
        return session_fail(err, MAG_E_INVALID, 0, "BadCall",
                            "an argument of the call is missing or malformed");
    /* Host services are fenced; what a driver does by itself is not, so it must not begin late. */
    json_int_t before = json_integer_value(json_object_get(body, "begin_before_ms"));
    if (before > 0 && frame_now_ms() > before)
        return session_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "CallTooLate",
                            "the driver's process was held up for longer than the lease lasts");
    s->call_thread = pthread_self();
    s->op = &a->op;
    int32_t rc = dispatch(v, fn, s, a, out, err);
    s->op = NULL;
    return rc;
}

json_t *session_call(struct session *s, const struct frame *f)
{
    struct args a = {0};
    struct answer out = {.step = {.struct_size = sizeof out.step}};
    mag_error err = {.struct_size = sizeof err};
    s->fenced = s->cancelled = false;
    s->cancel_asked_ms = INT64_MIN / 2;
    int32_t rc = run(s, f, &a, &out, &err);
    json_t *answer = pack(rc, &out, &err);
    json_decref(out.parts);
    session_drop_kept(s);
    fflush(stdout);
    return answer;
}
