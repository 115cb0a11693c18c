/* A small driver with two REST resources, right in everything but the one fault it is compiled
 * with: the set that shows what magnum-driver-check finds. WRONG_NOTHING is right. Those that are
 * wrong as files, before anything is called, have rude.c too. */
#include <magnum/lifecycle.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum fault {
    WRONG_NOTHING,
    WRONG_LEAK,          /* delete forgets the second resource */
    WRONG_LEDGER,        /* delete forgets the ledger */
    WRONG_NAMES,         /* a name that another process makes differently */
    WRONG_CANCEL,        /* told to stop, it never ends */
    WRONG_FENCE,         /* goes on after it was told that it is fenced */
    WRONG_SECRET,        /* a private key in its checkpoint */
    WRONG_TRUST,         /* takes a checkpoint for the deed */
    WRONG_STATE,         /* falls over a state it did not write */
    WRONG_SPEC,          /* falls over a spec without a name */
    WRONG_DELETE_TWICE,  /* what is gone already is an error */
    WRONG_DELETE_LABELS, /* delete wants valid labels */
    WRONG_VALIDATE,      /* validate asks the outside */
    WRONG_FINAL,         /* a backend that is down ends the operation */
    WRONG_GARBAGE,       /* falls over an answer that is no JSON */
    WRONG_SILENT,        /* an error without a reason */
    WRONG_HANGS,         /* a call that does not return */
    WRONG_ENDLESS,       /* AGAIN for ever */
    WRONG_HEALTH,        /* a health that nobody knows */
    WRONG_SECOND,        /* create again is refused */
    WRONG_LOG,           /* a private key in its log */
    WRONG_EMPTY,         /* falls over an empty state */
    WRONG_GROWS,         /* every call leaves memory behind */
    WRONG_FILES,         /* every call leaves a descriptor open */
    WRONG_INSTANCES,     /* destroy frees nothing */
    WRONG_MAJOR,         /* claims whatever version it is asked for */
    WRONG_SERVICES       /* takes every service for granted */
};
static const enum fault fault = FAULT;

struct self {
    const mag_host *host;
    const mag_host_ledger *ledger;
    const mag_host_cert *cert;
};

#ifdef WRONG_TWO_EXPORTS
MAG_EXPORT int mag_plugin_second(void);
MAG_EXPORT int mag_plugin_second(void)
{
    return 0;
}
#endif

static int32_t fail(mag_error *e, int32_t code, uint32_t flags, const char *reason)
{
    if (fault == WRONG_SILENT)
        return code;
    e->flags = flags;
    snprintf(e->reason, sizeof e->reason, "%s", reason);
    snprintf(e->message, sizeof e->message, "wrong: %s", reason);
    return code;
}

static void path_of(const mag_op *op, const char *kind, char path[128])
{
    if (fault == WRONG_NAMES && op->kind != MAG_OP_DELETE)
        snprintf(path, 128, "/%s/%s-%d", kind, op->cluster_id, (int)getpid());
    else
        snprintf(path, 128, "/%s/%s", kind, op->cluster_id);
}

static int32_t send(const struct self *s, const mag_op *op, const char *method, const char *path,
                    uint32_t *status, mag_error *e)
{
    mag_http_req rq = {.struct_size = sizeof rq,
                       .timeout_ms = 5000,
                       .method = method,
                       .service = "things",
                       .path = path,
                       .body = {"{}", *method == 'P' ? 2 : 0}};
    mag_http_resp rp = {.struct_size = sizeof rp};
    int32_t rc = s->host->http(s->host->ctx, op, &rq, &rp, e);
    *status = rp.status;
    if (rc != MAG_OK)
        return fault == WRONG_FINAL && rc == MAG_E_UNAVAILABLE ? fail(e, MAG_E_INVALID, 0, "Down")
                                                               : rc;
    if (fault == WRONG_GARBAGE && rp.body.len && *(const char *)rp.body.data == '{' &&
        ((const char *)rp.body.data)[1] == ']')
        __builtin_trap();
    if (rp.status == 401)
        return fail(e, MAG_E_AUTH, 0, "Unauthorized");
    if (rp.status == 409 || rp.status == 429)
        return fail(e, MAG_E_BUSY, MAG_ERR_RETRYABLE, "Busy");
    if (rp.status >= 500)
        return fault == WRONG_FINAL
                   ? fail(e, MAG_E_INVALID, 0, "BackendFailed")
                   : fail(e, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "BackendFailed");
    return MAG_OK;
}

static int32_t make(const struct self *s, const mag_op *op, const char *kind, mag_error *e)
{
    char path[128];
    uint32_t status;
    path_of(op, kind, path);
    int32_t rc = s->ledger->declare(s->host->ctx, op, "thing", path, (mag_bytes){0}, e);
    if (rc == MAG_OK)
        rc = send(s, op, "PUT", path, &status, e);
    if (rc == MAG_OK && status >= 400)
        return fail(e, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "NotMade");
    return rc == MAG_OK ? s->ledger->confirm(s->host->ctx, op, "thing", path, path, e) : rc;
}

static int32_t unmake(const struct self *s, const mag_op *op, const char *kind, mag_error *e)
{
    char path[128];
    uint32_t status = 0;
    path_of(op, kind, path);
    int32_t rc = send(s, op, "DELETE", path, &status, e);
    if (rc == MAG_OK && status == 404 && fault == WRONG_DELETE_TWICE)
        return fail(e, MAG_E_NOT_FOUND, 0, "NotThere");
    if (rc != MAG_OK || fault == WRONG_LEDGER)
        return rc;
    return s->ledger->drop(s->host->ctx, op, "thing", path, e);
}

static bool state_says(const mag_op *op, const char *what)
{
    return op->state.len && strstr(op->state.data, what) != NULL;
}

static int32_t keep(const struct self *s, const mag_op *op, const char *what, mag_error *e)
{
    char text[256] = "";
    mag_bytes doc = {NULL, 0};
    if ((fault == WRONG_SECRET || fault == WRONG_LOG) &&
        s->cert->issue(s->host->ctx, op, (mag_bytes){"{\"ca\": \"kubernetes\", \"cn\": \"x\"}", 32},
                       &doc, e) != MAG_OK)
        return MAG_E_INTERNAL;
    const char *key = doc.len ? strstr(doc.data, "CANARY") : NULL;
    if (fault == WRONG_LOG && key) {
        snprintf(text, sizeof text, "the key is %.24s", key);
        s->host->log(s->host->ctx, MAG_LOG_INFO, text);
        key = NULL;
    }
    snprintf(text, sizeof text, "{\"v\": 1, \"made\": \"%s\", \"key\": \"%.24s\"}", what,
             key ? key : "");
    return s->host->checkpoint(s->host->ctx, op, (mag_bytes){text, strlen(text)}, e);
}

static int32_t create(void *self, const mag_op *op, mag_step *out, mag_error *e)
{
    const struct self *s = self;
    out->wait_ms = 1;
    if (fault == WRONG_HANGS)
        for (;;)
            pause();
    if (fault == WRONG_STATE && op->state.len && !strstr(op->state.data, "made"))
        __builtin_trap();
    if (fault == WRONG_SPEC && !strstr(op->spec.data, "\"name\""))
        __builtin_trap();
    if (op->kind != MAG_OP_CREATE && op->kind != MAG_OP_UPDATE && op->kind != MAG_OP_SCALE)
        return fail(e, MAG_E_UNSUPPORTED, 0, "Unsupported");
    if (!s->ledger && fault != WRONG_SERVICES)
        return fail(e, MAG_E_UNSUPPORTED, MAG_ERR_OPERATOR, "NoLedger");
    if (op->flags & MAG_OPF_CANCEL)
        return fault == WRONG_CANCEL ? MAG_AGAIN : fail(e, MAG_E_CANCELLED, 0, "Cancelled");
    if (fault == WRONG_ENDLESS)
        return MAG_AGAIN;
    if (fault == WRONG_SECOND && state_says(op, "app") && op->flags == 0)
        return fail(e, MAG_E_EXISTS, 0, "Exists");
    int32_t rc = MAG_OK;
    if (fault == WRONG_TRUST) {
        if (!state_says(op, "app"))
            rc = keep(s, op, "app", e); /* not yet! */
        else if (op->flags & MAG_OPF_RESUMED)
            return MAG_OK;
    }
    if (rc == MAG_OK)
        rc = make(s, op, "net", e);
    if (rc == MAG_OK && !state_says(op, "net"))
        rc = keep(s, op, "net", e);
    if (rc == MAG_OK)
        rc = make(s, op, "app", e);
    if (rc == MAG_OK)
        rc = keep(s, op, "net and app", e);
    if (fault == WRONG_FENCE && rc == MAG_E_PRECONDITION)
        return MAG_OK;
    return rc;
}

static int32_t gone(void *self, const mag_op *op, mag_step *out, mag_error *e)
{
    const struct self *s = self;
    (void)out;
    if (fault == WRONG_DELETE_LABELS && strstr(op->spec.data, "nonsense"))
        return fail(e, MAG_E_INVALID, MAG_ERR_USER, "BadLabel");
    if (fault == WRONG_EMPTY && !op->state.len)
        __builtin_trap();
    if (!s->ledger)
        return fail(e, MAG_E_UNSUPPORTED, MAG_ERR_OPERATOR, "NoLedger");
    int32_t rc = unmake(s, op, "net", e);
    return rc == MAG_OK && fault != WRONG_LEAK ? unmake(s, op, "app", e) : rc;
}

static int32_t validate(void *self, const mag_op *op, mag_error *e)
{
    uint32_t status;
    if (fault == WRONG_VALIDATE)
        (void)send(self, op, "GET", "/quota", &status, e);
    return MAG_OK;
}

/* Kept so that no compiler leaves the allocation out. */
static void *volatile lost;
static volatile int last;
enum { LOST_BYTES = 4096 };

static int32_t health(void *self, const mag_op *op, mag_step *out, mag_error *e)
{
    const struct self *s = self;
    const char *status = fault == WRONG_HEALTH ? "\"SO-SO\"" : "\"HEALTHY\"";
    (void)out;
    if (fault == WRONG_GROWS)
        lost = memset(malloc(LOST_BYTES), 1, LOST_BYTES);
    if (fault == WRONG_FILES)
        last = dup(0);
    return s->host->output(s->host->ctx, op, "health_status", (mag_bytes){status, strlen(status)},
                           e);
}

static int32_t make_self(const mag_host *host, void **self, mag_error *e)
{
    struct self *s = calloc(1, sizeof *s);
    if (!s)
        return fail(e, MAG_E_INTERNAL, MAG_ERR_RETRYABLE, "OutOfMemory");
    s->host = host;
    if (fault == WRONG_SERVICES || (MAG_HAS(mag_host, host, get_service) && host->get_service)) {
        s->ledger = host->get_service(host->ctx, MAG_HOST_LEDGER);
        s->cert = host->get_service(host->ctx, MAG_HOST_CERT);
    }
    *self = s;
    return MAG_OK;
}

static void drop_self(void *self)
{
    if (fault != WRONG_INSTANCES)
        free(self);
}

static const void *interface(void *self, const char *id)
{
    static const mag_lifecycle lifecycle = {.struct_size = sizeof lifecycle,
                                            .validate = validate,
                                            .create = create,
                                            .update = create,
                                            .remove = gone,
                                            .scale = create,
                                            .health = health};
    (void)self;
    return strcmp(id, MAG_IFACE_LIFECYCLE) == 0 ? &lifecycle : NULL;
}

const mag_plugin *mag_plugin_entry(uint32_t major, uint32_t minor)
{
    static mag_plugin plugin = {.magic = MAG_PLUGIN_MAGIC,
                                .struct_size = sizeof plugin,
                                .abi_major = MAG_ABI_MAJOR,
                                .abi_minor = MAG_ABI_MINOR,
                                .id = PLUGIN_ID,
                                .version = "1.0.0",
                                .vendor = "Tests",
                                .create = make_self,
                                .destroy = drop_self,
                                .get_interface = interface};
    (void)minor;
    if (fault == WRONG_MAJOR)
        plugin.abi_major = major;
    return fault == WRONG_MAJOR || major == MAG_ABI_MAJOR ? &plugin : NULL;
}
