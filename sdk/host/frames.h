/* host/frames.h - the frames between the core and a driver's process, over one stream socket.
 *
 *   4 bytes  length of the payload, big endian, at most the agreed cap
 *   1 byte   type (enum frame_type)
 *   4 bytes  call id, big endian: every frame of one call carries the same id
 *   payload  one JSON object; in a call, texts may follow it: as many as its `texts` has lengths,
 *            each with a zero byte behind it
 *
 * Neither end trusts the other: the length is checked before anything is allocated, JSON is
 * nested at most FRAME_MAX_DEPTH deep and has no duplicate keys. After a broken frame the stream
 * is lost and must be closed.
 * Neighbours: core/drivers (parent), serve.c (child), the check kit. Needs jansson, nothing of
 * the core. No function here is thread-safe on one object. */
#ifndef MAGNUM_HOST_FRAMES_H
#define MAGNUM_HOST_FRAMES_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum { FRAME_PROTOCOL = 1, FRAME_HEADER = 9, FRAME_MAX_DEPTH = 64, FRAME_AHEAD = 8192 };

enum frame_type {
    FRAME_HELLO = 1,   /* parent: what it expects and the configuration; child: what it is */
    FRAME_CALL = 2,    /* parent to child: one driver call */
    FRAME_RESULT = 3,  /* child: its end */
    FRAME_UPCALL = 4,  /* child: a host service is wanted */
    FRAME_UPREPLY = 5, /* parent: its answer */
    FRAME_LOG = 6      /* child, any time: one line */
};

enum {
    FRAME_OK = 0,
    FRAME_MORE = 1,         /* nothing wrong, but no whole frame yet */
    FRAME_E_CLOSED = -1,    /* the other end is gone */
    FRAME_E_TIMEOUT = -2,   /* the deadline passed */
    FRAME_E_TRUNCATED = -3, /* the stream ended inside a frame */
    FRAME_E_TOO_LARGE = -4, /* payload above the cap */
    FRAME_E_BAD_TYPE = -5,  /* unknown type byte */
    FRAME_E_BAD_JSON = -6,  /* payload is not one acceptable JSON object */
    FRAME_E_IO = -7,        /* errno says why */
    FRAME_E_NO_MEMORY = -8
};
/* A few words for messages. */
const char *frame_error(int rc);

#define FRAME_FOREVER INT64_MAX
/* The clock of all deadlines here: CLOCK_MONOTONIC in milliseconds. */
int64_t frame_now_ms(void);

struct frame {
    uint8_t type;
    uint32_t call;
    json_t *body; /* an object; owned */
    char *text;   /* of a call with texts: the payload; owned */
    size_t text_at, text_len;
};
void frame_done(struct frame *f);
/* The text at `index` of its `texts`, with a zero behind it; NULL when the frame has none there. */
const char *frame_text(const struct frame *f, size_t index, size_t *ret_len);

/* Puts a byte stream together again. What it has read of the socket beyond a frame (frames are
 * small, and each recv costs) waits in `ahead` for the next look: look before you poll the socket.
 */
struct frame_reader {
    size_t max; /* cap of a payload */
    unsigned char ahead[FRAME_AHEAD];
    size_t ahead_at, ahead_len;
    unsigned char head[FRAME_HEADER];
    size_t head_len;
    char *body; /* owned; NULL until the header is whole */
    size_t body_len, body_size;
};
void frame_reader_init(struct frame_reader *r, size_t max);
void frame_reader_done(struct frame_reader *r);
/* Takes up to `len` bytes, tells in *ret_used how many, and stops after one frame: FRAME_OK with
 * *ret filled, FRAME_MORE when all bytes are used, or an error. */
int frame_reader_feed(struct frame_reader *r, const void *data, size_t len, size_t *ret_used,
                      struct frame *ret);
/* Reads what the socket has, without waiting: FRAME_OK, FRAME_MORE (nothing is left, here or there)
 * or an error. */
int frame_reader_poll(struct frame_reader *r, int fd, struct frame *ret);
/* Are there bytes that the socket does not have any more? */
static inline int frame_reader_has(const struct frame_reader *r)
{
    return r->ahead_at < r->ahead_len;
}
/* Waits for one whole frame. */
int frame_read(struct frame_reader *r, int fd, int64_t deadline_ms, struct frame *ret);

/* Writes one frame; FRAME_E_TOO_LARGE before a byte is sent, so that the caller can say so with a
 * smaller frame. body: an object, borrowed. Never raises SIGPIPE. */
int frame_write(int fd, size_t max, uint8_t type, uint32_t call, const json_t *body,
                int64_t deadline_ms);
enum { FRAME_TEXT_SPEC, FRAME_TEXT_PRIOR, FRAME_TEXTS }; /* what stands where */
/* A call with the first n of FRAME_TEXTS texts behind the object, which names their lengths in
 * `texts`: they are neither parsed nor written again on their way. */
int frame_write_texts(int fd, size_t max, uint32_t call, const json_t *body,
                      const char *const *texts, size_t n, int64_t deadline_ms);

#endif
