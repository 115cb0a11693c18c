/* See log_writer.h. The queue is a ring of bytes, in which each line lies behind its length. */
#include "base/log_writer.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t more, gone;
    pthread_t thread;
    bool running, ending, ended, mute; /* mute: it ended with a reader who does not read */
    int bell;                          /* ends the writer's wait for the reader */
    char *ring;
    size_t limit, from, used;
    uint64_t untold; /* dropped, and nobody was told yet */
    int64_t since_us;
} w = {.lock = PTHREAD_MUTEX_INITIALIZER,
       .more = PTHREAD_COND_INITIALIZER,
       .gone = PTHREAD_COND_INITIALIZER,
       .bell = -1};

static atomic_uint_fast64_t dropped;

uint64_t log_writer_dropped(void)
{
    return atomic_load(&dropped);
}

/* ---- the ring; under the lock ---- */
static void put_bytes(const void *data, size_t len)
{
    size_t at = (w.from + w.used) % w.limit, first = w.limit - at < len ? w.limit - at : len;
    memcpy(w.ring + at, data, first);
    memcpy(w.ring, (const char *)data + first, len - first);
    w.used += len;
}

static void take_bytes(void *data, size_t len)
{
    size_t first = w.limit - w.from < len ? w.limit - w.from : len;
    memcpy(data, w.ring + w.from, first);
    memcpy((char *)data + first, w.ring, len - first);
    w.from = (w.from + len) % w.limit;
    w.used -= len;
}

static void count_lost(void)
{
    if (w.untold++ == 0)
        w.since_us = clock_wall_us();
    atomic_fetch_add(&dropped, 1);
}

/* ---- the thread ---- */
/* Waits until the reader takes something. False: this is the end, or there is no reader at all. */
static bool writable(void)
{
    struct pollfd p[2] = {{.fd = STDERR_FILENO, .events = POLLOUT},
                          {.fd = w.bell, .events = POLLIN}};
    while (poll(p, 2, -1) < 0)
        if (errno != EINTR)
            return false;
    return p[0].revents & POLLOUT;
}

/* False: it is lost. One write per line, so that lines of several processes don't mix in a pipe;
 * what a pipe takes at once (POLLOUT means a page) is no more than PIPE_BUF, so a longer line goes
 * in pieces, each after a look. */
static bool write_line(const char *line, size_t len)
{
    enum { PIECE = 4096 };
    while (len) {
        if (!writable())
            return false;
        ssize_t n = write(STDERR_FILENO, line, len < PIECE ? len : PIECE);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        if (n > 0) {
            line += n;
            len -= (size_t)n;
        }
    }
    return true;
}

/* Waits for a line. *ret NULL with len > 0: no memory for it. False: the end. */
static bool next_line(char **ret, size_t *ret_len)
{
    pthread_mutex_lock(&w.lock);
    while (w.used == 0 && !w.ending)
        pthread_cond_wait(&w.more, &w.lock);
    bool some = w.used > 0;
    w.running = some; /* at the end: from here on lines are written by who says them */
    if (some) {
        take_bytes(ret_len, sizeof *ret_len);
        *ret = malloc(*ret_len);
        if (*ret)
            take_bytes(*ret, *ret_len);
        else {
            w.from = (w.from + *ret_len) % w.limit;
            w.used -= *ret_len;
        }
    }
    pthread_mutex_unlock(&w.lock);
    return some;
}

/* Once the reader goes on and most of the queue is free again. */
static void tell_dropped(void)
{
    pthread_mutex_lock(&w.lock);
    uint64_t n = w.used <= w.limit / 4 ? w.untold : 0;
    int64_t since_us = w.since_us;
    if (n)
        w.untold = 0;
    pthread_mutex_unlock(&w.lock);
    if (!n)
        return;
    char since[CLOCK_ISO_MAX];
    clock_iso(since_us, since);
    log_error("log.dropped",
              "%llu lines of this log were dropped since %s: nobody read it, or it could not be "
              "written",
              (unsigned long long)n, since);
}

static void *writer_main(void *arg)
{
    (void)arg;
    char *line = NULL;
    for (size_t len = 0; next_line(&line, &len); free(line)) {
        bool written = line && write_line(line, len);
        if (!written) {
            pthread_mutex_lock(&w.lock);
            count_lost();
            pthread_mutex_unlock(&w.lock);
            continue;
        }
        tell_dropped();
    }
    pthread_mutex_lock(&w.lock);
    w.ended = true;
    pthread_cond_signal(&w.gone);
    pthread_mutex_unlock(&w.lock);
    return NULL;
}

/* ---- start, put, stop ---- */
int log_writer_start(size_t limit, struct err *e)
{
    w.ring = malloc(limit);
    w.limit = limit;
    w.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!w.ring || w.bell < 0)
        return err_errno(e, errno, "cannot make the log's queue");
    w.running = true; /* nobody else looks before there is a second thread */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&w.thread, NULL, writer_main, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    w.running = rc == 0;
    return rc == 0 ? 0 : err_errno(e, rc, "cannot start the log's writer");
}

void log_writer_put(const char *line, size_t len)
{
    pthread_mutex_lock(&w.lock);
    bool queued = w.running, lost = w.mute;
    if (lost || (queued && len + sizeof len > w.limit - w.used)) {
        count_lost();
    } else if (queued) {
        put_bytes(&len, sizeof len);
        put_bytes(line, len);
        pthread_cond_signal(&w.more);
    }
    pthread_mutex_unlock(&w.lock);
    if (!queued && !lost) /* a log that can't be written must not stop the program: ignoring */
        (void)!write(STDERR_FILENO, line, len);
}

static void end_by(int64_t wait_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += wait_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    int rc = 0;
    pthread_mutex_lock(&w.lock);
    while (!w.ended && rc == 0)
        rc = pthread_cond_clockwait(&w.gone, &w.lock, CLOCK_MONOTONIC, &until);
    w.mute = !w.ended;
    pthread_mutex_unlock(&w.lock);
    uint64_t one = 1;
    (void)!write(w.bell, &one, sizeof one); /* it may wait for a reader who does not come */
    (void)pthread_join(w.thread, NULL);
}

void log_writer_stop(int64_t wait_ms)
{
    pthread_mutex_lock(&w.lock);
    bool was = w.running;
    w.ending = true;
    pthread_cond_signal(&w.more);
    pthread_mutex_unlock(&w.lock);
    if (!was)
        return;
    end_by(wait_ms);
    (void)close(w.bell);
    free(w.ring);
}
