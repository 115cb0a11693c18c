/* See frames.h. */
#include "host/frames.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

const char *frame_error(int rc)
{
    switch (rc) {
    case FRAME_OK:
        return "no error";
    case FRAME_MORE:
        return "frame not complete";
    case FRAME_E_CLOSED:
        return "connection closed";
    case FRAME_E_TIMEOUT:
        return "timed out";
    case FRAME_E_TRUNCATED:
        return "connection closed inside a frame";
    case FRAME_E_TOO_LARGE:
        return "frame too large";
    case FRAME_E_BAD_TYPE:
        return "unknown frame type";
    case FRAME_E_BAD_JSON:
        return "frame is not an acceptable JSON object";
    case FRAME_E_NO_MEMORY:
        return "out of memory";
    default:
        return "connection failed";
    }
}

int64_t frame_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void frame_done(struct frame *f)
{
    json_decref(f->body);
    if (f->text)
        explicit_bzero(f->text, f->text_len);
    free(f->text);
    *f = (struct frame){0};
}

void frame_reader_init(struct frame_reader *r, size_t max)
{
    *r = (struct frame_reader){.max = max};
}

/* Payloads may carry secrets on their way to a driver: none stays behind in freed memory. */
static void drop_body(struct frame_reader *r)
{
    if (r->body)
        explicit_bzero(r->body, r->body_size);
    free(r->body);
    r->body = NULL;
    r->body_len = r->body_size = 0;
    r->head_len = 0;
}

void frame_reader_done(struct frame_reader *r)
{
    drop_body(r);
    explicit_bzero(r->ahead, sizeof r->ahead);
    r->ahead_at = r->ahead_len = 0;
}

static uint32_t get32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(unsigned char *p, uint32_t v)
{
    p[0] = (unsigned char)(v >> 24);
    p[1] = (unsigned char)(v >> 16);
    p[2] = (unsigned char)(v >> 8);
    p[3] = (unsigned char)v;
}

/* The whole header is there: check it, then allocate. */
static int begin_body(struct frame_reader *r)
{
    uint32_t size = get32(r->head);
    uint8_t type = r->head[4];
    if (type < FRAME_HELLO || type > FRAME_LOG)
        return FRAME_E_BAD_TYPE;
    if (size > r->max)
        return FRAME_E_TOO_LARGE;
    r->body = malloc((size_t)size + 1);
    if (!r->body)
        return FRAME_E_NO_MEMORY;
    r->body_size = size;
    r->body_len = 0;
    return FRAME_OK;
}

/* jansson's own limit of nesting is 2048, too much for what is stored and printed later. */
static bool too_deep(const char *text, size_t len)
{
    unsigned depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > FRAME_MAX_DEPTH)
                return true;
        } else if ((c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return false;
}

/* Each text must lie within the payload and end with its zero, and nothing may follow them. */
static bool texts_fit(const struct frame *f)
{
    const json_t *lengths = json_object_get(f->body, "texts");
    size_t i, at = f->text_at, n = json_array_size(lengths);
    json_t *v;
    if (n > FRAME_TEXTS)
        return false;
    json_array_foreach(lengths, i, v)
    {
        json_int_t len = json_integer_value(v);
        if (!json_is_integer(v) || len < 0 || (uint64_t)len >= f->text_len - at ||
            f->text[at + (size_t)len] != '\0')
            return false;
        at += (size_t)len + 1;
    }
    return at == f->text_len;
}

const char *frame_text(const struct frame *f, size_t index, size_t *ret_len)
{
    const json_t *lengths = json_object_get(f->body, "texts");
    size_t i, at = f->text_at;
    json_t *v;
    json_array_foreach(f->text ? lengths : NULL, i, v)
    {
        size_t len = (size_t)json_integer_value(v);
        if (i == index) {
            *ret_len = len;
            return f->text + at;
        }
        at += len + 1;
    }
    return NULL;
}

/* A call keeps its payload when texts follow the object. */
static bool take_texts(struct frame_reader *r, struct frame *f, size_t at)
{
    f->text = r->body;
    f->text_at = at;
    f->text_len = r->body_size;
    r->body = NULL;
    return texts_fit(f);
}

static int finish(struct frame_reader *r, struct frame *ret)
{
    struct frame f = {.type = r->head[4], .call = get32(r->head + 5)};
    int rc = FRAME_E_BAD_JSON;
    if (!too_deep(r->body, r->body_size)) {
        json_error_t je;
        size_t flags = JSON_REJECT_DUPLICATES;
        flags |= f.type == FRAME_CALL ? JSON_DISABLE_EOF_CHECK : 0;
        f.body = json_loadb(r->body, r->body_size, flags, &je);
        bool more =
            json_is_object(f.body) && f.type == FRAME_CALL && (size_t)je.position < r->body_size;
        if (json_is_object(f.body) && (!more || take_texts(r, &f, (size_t)je.position)))
            rc = FRAME_OK;
        else if (!f.body && json_error_code(&je) == json_error_out_of_memory)
            rc = FRAME_E_NO_MEMORY;
    }
    drop_body(r);
    if (rc == FRAME_OK)
        *ret = f;
    else
        frame_done(&f);
    return rc;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

int frame_reader_feed(struct frame_reader *r, const void *data, size_t len, size_t *ret_used,
                      struct frame *ret)
{
    const unsigned char *p = data;
    size_t used = 0;
    int rc = FRAME_MORE;
    if (!r->body) {
        used = min_size(len, FRAME_HEADER - r->head_len);
        memcpy(r->head + r->head_len, p, used);
        r->head_len += used;
        if (r->head_len == FRAME_HEADER) {
            int bad = begin_body(r);
            rc = bad == FRAME_OK ? FRAME_MORE : bad;
        }
    }
    if (rc == FRAME_MORE && r->body) {
        size_t n = min_size(len - used, r->body_size - r->body_len);
        memcpy(r->body + r->body_len, p + used, n);
        r->body_len += n;
        used += n;
        if (r->body_len == r->body_size)
            rc = finish(r, ret);
    }
    *ret_used = used;
    return rc;
}

/* One recv: FRAME_MORE, with *ret_got 0 when there is nothing yet. */
static int receive(const struct frame_reader *r, int fd, int flags, void *into, size_t want,
                   size_t *ret_got)
{
    for (;;) {
        ssize_t n = recv(fd, into, want, flags);
        if (n > 0) {
            *ret_got = (size_t)n;
            return FRAME_MORE;
        }
        if (n == 0 || errno == ECONNRESET)
            return r->head_len || r->body ? FRAME_E_TRUNCATED : FRAME_E_CLOSED;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            *ret_got = 0;
            return FRAME_MORE;
        }
        if (errno != EINTR)
            return FRAME_E_IO;
    }
}

/* From what was read ahead, which is wiped behind it. */
static int take_ahead(struct frame_reader *r, struct frame *ret)
{
    size_t used = 0;
    unsigned char *from = r->ahead + r->ahead_at;
    int rc = frame_reader_feed(r, from, r->ahead_len - r->ahead_at, &used, ret);
    explicit_bzero(from, used);
    r->ahead_at += used;
    return rc;
}

/* flags: of recv. What is still missing of a large frame goes straight to where it belongs. */
static int advance(struct frame_reader *r, int fd, int flags, struct frame *ret)
{
    for (;;) {
        size_t got = 0, missing = r->body ? r->body_size - r->body_len : 0;
        bool large = missing > sizeof r->ahead;
        int rc = FRAME_MORE;
        if (frame_reader_has(r)) {
            rc = take_ahead(r, ret);
            if (rc != FRAME_MORE)
                return rc;
            continue;
        }
        rc = large ? receive(r, fd, flags, r->body + r->body_len, missing, &got)
                   : receive(r, fd, flags, r->ahead, sizeof r->ahead, &got);
        if (rc != FRAME_MORE || got == 0)
            return rc;
        if (!large) {
            r->ahead_at = 0;
            r->ahead_len = got;
        } else if ((r->body_len += got) == r->body_size) {
            return finish(r, ret);
        }
    }
}

int frame_reader_poll(struct frame_reader *r, int fd, struct frame *ret)
{
    return advance(r, fd, MSG_DONTWAIT, ret);
}

/* Waits until fd is ready for `events` (or has failed, which the next call on it will tell). */
static int wait_for(int fd, short events, int64_t deadline_ms)
{
    for (;;) {
        int timeout = -1;
        if (deadline_ms != FRAME_FOREVER) {
            int64_t left = deadline_ms - frame_now_ms();
            if (left < 0)
                return FRAME_E_TIMEOUT;
            timeout = left > INT_MAX ? INT_MAX : (int)left;
        }
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, timeout);
        if (n > 0)
            return FRAME_OK;
        if (n == 0)
            return FRAME_E_TIMEOUT;
        if (errno != EINTR)
            return FRAME_E_IO;
    }
}

int frame_read(struct frame_reader *r, int fd, int64_t deadline_ms, struct frame *ret)
{
    for (;;) {
        int rc = advance(r, fd, deadline_ms == FRAME_FOREVER ? 0 : MSG_DONTWAIT, ret);
        if (rc != FRAME_MORE)
            return rc;
        rc = wait_for(fd, POLLIN, deadline_ms);
        if (rc != FRAME_OK)
            return rc;
    }
}

static int send_all(int fd, struct iovec *iov, size_t n, int64_t deadline_ms)
{
    while (n) {
        struct msghdr m = {.msg_iov = iov, .msg_iovlen = n};
        ssize_t sent = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            int rc = wait_for(fd, POLLOUT, deadline_ms);
            if (rc != FRAME_OK)
                return rc;
            continue;
        }
        if (sent < 0)
            return errno == EPIPE || errno == ECONNRESET ? FRAME_E_CLOSED : FRAME_E_IO;
        size_t left = (size_t)sent;
        while (n && left >= iov->iov_len) {
            left -= iov->iov_len;
            iov++;
            n--;
        }
        if (n) {
            iov->iov_base = (char *)iov->iov_base + left;
            iov->iov_len -= left;
        }
    }
    return FRAME_OK;
}

static int write_frame(int fd, size_t max, uint8_t type, uint32_t call, const json_t *body,
                       const char *const *texts, size_t n, int64_t deadline_ms)
{
    char *text = json_dumps(body, JSON_COMPACT);
    if (!text)
        return FRAME_E_NO_MEMORY;
    size_t own = strlen(text), len = own;
    unsigned char head[FRAME_HEADER];
    struct iovec iov[2 + FRAME_TEXTS] = {{.iov_base = head, .iov_len = sizeof head},
                                         {.iov_base = text, .iov_len = own}};
    for (size_t i = 0; i < n; i++) {
        iov[2 + i] = (struct iovec){.iov_base = (void *)(uintptr_t)texts[i],
                                    .iov_len = strlen(texts[i]) + 1};
        len += iov[2 + i].iov_len;
    }
    int rc = FRAME_E_TOO_LARGE;
    if (len <= max && len <= UINT32_MAX) {
        put32(head, (uint32_t)len);
        head[4] = type;
        put32(head + 5, call);
        rc = send_all(fd, iov, 2 + n, deadline_ms);
    }
    explicit_bzero(text, own);
    free(text);
    return rc;
}

int frame_write(int fd, size_t max, uint8_t type, uint32_t call, const json_t *body,
                int64_t deadline_ms)
{
    return write_frame(fd, max, type, call, body, NULL, 0, deadline_ms);
}

int frame_write_texts(int fd, size_t max, uint32_t call, const json_t *body,
                      const char *const *texts, size_t n, int64_t deadline_ms)
{
    return n > FRAME_TEXTS ? FRAME_E_TOO_LARGE
                           : write_frame(fd, max, FRAME_CALL, call, body, texts, n, deadline_ms);
}
