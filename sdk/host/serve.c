/* See serve.h. */
#include "host/serve.h"

#include "host/load.h"
#include "host/session_internal.h"
#include "host/wire.h"

#include <stdio.h>
#include <string.h>

enum { HELLO_MAX = 1 << 20, SERVE_OK = 0, SERVE_REFUSED = 1, SERVE_BROKEN = 2 };

/* The parent's hello: which protocol, which manifest, which configuration. */
static int read_hello(struct session *s, char why[LOAD_WHY])
{
    struct frame f = {0};
    int rc = frame_read(&s->in, s->sock, FRAME_FOREVER, &f);
    if (rc != FRAME_OK || f.type != FRAME_HELLO) {
        frame_done(&f);
        return SERVE_BROKEN;
    }
    s->hello = json_incref(f.body);
    frame_done(&f);
    json_int_t protocol = json_integer_value(json_object_get(s->hello, "protocol"));
    json_int_t max = json_integer_value(json_object_get(s->hello, "max_frame_bytes"));
    if (protocol != FRAME_PROTOCOL || max <= 0 || max > UINT32_MAX) {
        snprintf(why, LOAD_WHY, "driver host speaks protocol %d, the conductor %lld",
                 FRAME_PROTOCOL, (long long)protocol);
        return SERVE_REFUSED;
    }
    s->max_frame = s->in.max = (size_t)max;
    return SERVE_OK;
}

static int open_plugin(struct session *s, const struct serve_args *a, char why[LOAD_WHY])
{
    if (a->adjust)
        a->adjust(&s->host, s->hello);
    if (a->prepare && a->prepare(s->hello, &s->isolation, why, LOAD_WHY) != 0)
        return SERVE_REFUSED;
    const mag_plugin *p = load_library(a->lib_fd, s->hello, &s->host, why);
    if (!p)
        return SERVE_REFUSED;
    mag_error err = {.struct_size = sizeof err};
    int32_t rc = p->create(&s->host, &s->self, &err);
    if (rc != MAG_OK) {
        char reason[sizeof err.reason], message[sizeof err.message];
        err.reason[sizeof err.reason - 1] = err.message[sizeof err.message - 1] = '\0';
        wire_text_copy(reason, sizeof reason, err.reason);
        wire_text_copy(message, sizeof message, err.message);
        snprintf(why, LOAD_WHY, "create failed (%d %.60s): %.380s", rc, reason, message);
        return SERVE_REFUSED;
    }
    s->plugin = p;
    bool ok = load_interfaces(p, s->self, s->hello, &s->offer, why) == 0 &&
              (!a->tried || a->tried(p, &s->host, s->hello, why, LOAD_WHY) == 0);
    return ok ? SERVE_OK : SERVE_REFUSED;
}

/* The child's hello: what it is, or why it is not. */
static int say_hello(struct session *s, const char *why)
{
    json_t *body = json_pack("{s:i,s:s,s:{s:i,s:i},s:b}", "protocol", FRAME_PROTOCOL,
                             "host_version", MAGNUM_VERSION, "host_abi", "major",
                             (int)MAG_ABI_MAJOR, "minor", (int)MAG_ABI_MINOR, "texts", 1);
    if (s->isolation)
        json_object_set(body, "isolation", s->isolation);
    if (why) {
        json_object_set_new(body, "refused", wire_bytes(why, strlen(why)));
    } else {
        json_object_update(body, s->offer);
        json_object_set_new(body, "id", json_string(s->plugin->id));
        json_object_set_new(body, "version",
                            wire_bytes(s->plugin->version, strlen(s->plugin->version)));
        json_object_set_new(body, "abi",
                            json_pack("{s:I,s:I}", "major", (json_int_t)s->plugin->abi_major,
                                      "minor", (json_int_t)s->plugin->abi_minor));
    }
    int rc = session_send(s, FRAME_HELLO, body);
    json_decref(body);
    return rc == FRAME_OK ? SERVE_OK : SERVE_BROKEN;
}

static int serve_call(struct session *s, const struct frame *f)
{
    s->call = f->call;
    json_t *answer = session_call(s, f);
    int rc = session_send(s, FRAME_RESULT, answer);
    json_decref(answer);
    if (rc == FRAME_E_TOO_LARGE || rc == FRAME_E_NO_MEMORY) {
        mag_error err = {.struct_size = sizeof err};
        session_fail(&err, MAG_E_INTERNAL, 0, "ResultTooLarge",
                     "the driver's answer is larger than a frame may be");
        answer =
            json_pack("{s:i,s:{},s:o}", "rc", MAG_E_INTERNAL, "step", "error", wire_error(&err));
        rc = session_send(s, FRAME_RESULT, answer);
        json_decref(answer);
    }
    s->call = 0;
    return rc == FRAME_OK ? SERVE_OK : SERVE_BROKEN;
}

static int serve_calls(struct session *s)
{
    for (;;) {
        struct frame f = {0};
        int rc = frame_read(&s->in, s->sock, FRAME_FOREVER, &f);
        if (rc == FRAME_E_CLOSED)
            return SERVE_OK;
        rc = rc == FRAME_OK && f.type == FRAME_CALL && f.call != 0 ? serve_call(s, &f)
                                                                   : SERVE_BROKEN;
        frame_done(&f);
        if (rc != SERVE_OK || s->lost)
            return SERVE_BROKEN;
    }
}

int host_serve(const struct serve_args *a)
{
    struct session s = {.sock = a->sock, .max_frame = HELLO_MAX, .own_process = a->own_process};
    char why[LOAD_WHY] = "";
    pthread_mutex_init(&s.out_lock, NULL);
    frame_reader_init(&s.in, HELLO_MAX);
    session_host_init(&s);
    int rc = read_hello(&s, why);
    if (rc == SERVE_OK)
        rc = open_plugin(&s, a, why);
    if (rc != SERVE_BROKEN && say_hello(&s, rc == SERVE_OK ? NULL : why) != SERVE_OK)
        rc = SERVE_BROKEN;
    if (rc == SERVE_OK)
        rc = serve_calls(&s);
    if (s.plugin)
        s.plugin->destroy(s.self);
    json_decref(s.offer);
    json_decref(s.isolation);
    json_decref(s.hello);
    frame_reader_done(&s.in);
    pthread_mutex_destroy(&s.out_lock);
    return rc;
}
