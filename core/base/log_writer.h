/* Log lines on their way to stderr without making anybody wait for its reader: a bounded queue and
 * one thread that writes. A line that finds the queue full is dropped and counted; the count is
 * told by a line of its own as soon as the reader goes on. Without a writer (tools, tests, before
 * start and after stop) a line is written at once by who says it. Neighbours: log.c, cmd/service.c.
 */
#ifndef MAGNUM_BASE_LOG_WRITER_H
#define MAGNUM_BASE_LOG_WRITER_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* limit: bytes that wait at most. Once per process; the thread takes no signals. */
int log_writer_start(size_t limit, struct err *e) MUST_CHECK;
/* One whole line with its end. Any thread; never waits while a writer runs. */
void log_writer_put(const char *line, size_t len);
/* Writes what waits, for as long as the reader keeps reading and wait_ms at most; what it did not
 * take by then is lost. */
void log_writer_stop(int64_t wait_ms);
/* Lines lost since the start. Any thread. */
uint64_t log_writer_dropped(void);

#endif
