/* The wire format of rpc_internal.h: frames in and out, errors as JSON. Nothing here waits. */
#include "base/jsonx.h"
#include "rpc/rpc_internal.h"

#include <string.h>

bool rpc_frames_recv(zsock_t *sock, struct rpc_frames *f)
{
    *f = (struct rpc_frames){.n = 0};
    bool more = true;
    while (more) {
        zframe_t *frame = zframe_recv(sock);
        if (!frame) /* only before the first one: a message arrives whole */
            return f->n > 0;
        more = zframe_more(frame) != 0;
        if (f->n < RPC_FRAMES_MAX)
            f->v[f->n] = frame;
        else
            zframe_destroy(&frame);
        f->n++;
    }
    return true;
}

void rpc_frames_done(struct rpc_frames *f)
{
    for (size_t i = 0; i < RPC_FRAMES_MAX; i++)
        zframe_destroy(&f->v[i]);
}

bool rpc_frame_is(const struct rpc_frames *f, size_t i, const char *text)
{
    return zframe_size(f->v[i]) == strlen(text) &&
           memcmp(zframe_data(f->v[i]), text, strlen(text)) == 0;
}

bool rpc_frame_text(const struct rpc_frames *f, size_t i, char *buf, size_t size)
{
    size_t n = zframe_size(f->v[i]);
    const byte *p = zframe_data(f->v[i]);
    if (n >= size)
        return false;
    for (size_t k = 0; k < n; k++)
        if (p[k] < 0x20 || p[k] > 0x7E)
            return false;
    memcpy(buf, p, n);
    buf[n] = '\0';
    return true;
}

bool rpc_parts_send(zsock_t *sock, const struct rpc_part *parts, size_t n)
{
    void *handle = zsock_resolve(sock);
    for (size_t i = 0; i < n; i++) {
        int flags = ZMQ_DONTWAIT | (i + 1 < n ? ZMQ_SNDMORE : 0);
        /* Only the first frame can be refused: ZeroMQ takes messages whole. */
        if (zmq_send(handle, parts[i].data, parts[i].size, flags) < 0)
            return false;
    }
    return true;
}

char *rpc_error_body(const struct err *e)
{
    _cleanup_json_ json_t *o = json_object();
    /* A text that is not UTF-8 (an outside library's) must not lose the code. */
    json_t *message = json_string(e->msg);
    if (!message)
        message = json_string("the error text can't be shown");
    if (json_object_set_new(o, "code", json_string(err_token(e->code))) < 0 ||
        json_object_set_new(o, "message", message) < 0)
        return NULL;
    return jsonx_text(o);
}

int rpc_error_parse(const char *body, size_t len, struct err *e)
{
    _cleanup_json_ json_t *o = NULL;
    int rc = jsonx_parse(body, len, RPC_JSON_DEPTH, &o, NULL);
    const char *code = rc == 0 ? jsonx_str(o, "code") : NULL;
    const char *message = rc == 0 ? jsonx_str(o, "message") : NULL;
    if (!code || !message)
        return err_set(e, ERR_PROTOCOL, "a conductor's error can't be read");
    return err_set(e, err_from_token(code), "%s", message);
}
