/* Frames from the other end of the socket: in two slicings they give the same frames or the same
 * refusal, and what is accepted can be written again. */
#include "host/frames.h"
#include "host/wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { CAP = 4096, FRAMES = 16 };

struct run {
    int end; /* FRAME_MORE or the refusal */
    size_t n;
    struct frame v[FRAMES];
};

static void feed(struct run *r, const unsigned char *data, size_t size, size_t slice)
{
    struct frame_reader in;
    frame_reader_init(&in, CAP);
    *r = (struct run){.end = FRAME_MORE};
    for (size_t at = 0; at < size && r->end == FRAME_MORE && r->n < FRAMES;) {
        size_t used = 0, want = size - at < slice ? size - at : slice;
        int rc = frame_reader_feed(&in, data + at, want, &used, &r->v[r->n]);
        if (rc == FRAME_OK)
            r->n++;
        else
            r->end = rc;
        if (used > want)
            abort();
        at += used;
    }
    frame_reader_done(&in);
}

static void use(const json_t *body)
{
    const char *key;
    json_t *v;
    mag_error err = {.struct_size = sizeof err};
    json_object_foreach((json_t *)body, key, v)
    {
        char *bytes;
        size_t len;
        if (wire_bytes_get(v, &bytes, &len)) {
            json_t *again = wire_bytes(bytes, len);
            if (!again)
                abort();
            json_decref(again);
            free(bytes);
        }
        wire_error_get(v, &err);
    }
}

/* Every text of a call is one: readable to its zero. */
static void use_texts(const struct frame *f)
{
    size_t len = 0;
    for (size_t i = 0; i <= FRAME_TEXTS; i++) {
        const char *t = frame_text(f, i, &len);
        if (t && (t[len] != '\0' || strlen(t) > len))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct run whole, slow;
    feed(&whole, data, size, size ? size : 1);
    feed(&slow, data, size, 1);
    if (whole.n != slow.n || whole.end != slow.end)
        abort();
    for (size_t i = 0; i < whole.n; i++) {
        if (whole.v[i].type != slow.v[i].type || whole.v[i].call != slow.v[i].call ||
            !json_equal(whole.v[i].body, slow.v[i].body))
            abort();
        use(whole.v[i].body);
        use_texts(&whole.v[i]);
        frame_done(&whole.v[i]);
        frame_done(&slow.v[i]);
    }
    return 0;
}
