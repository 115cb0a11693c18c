/* magnum top: what goes on at this moment, as a live view.
 *   cmd_top.c   the command: asks the service (on a thread of its own, so that keys are never
 *               behind a slow answer), draws
 *   top_frame.c one frame as text; pure
 *   top_term.c  the terminal: alternate screen, keys, size; given back as it was on every way out
 */
#ifndef MAGNUM_CMD_CLI_TOP_H
#define MAGNUM_CMD_CLI_TOP_H

#include "base/err.h"
#include "base/str.h"

#include <jansson.h>
#include <stdint.h>

/* ---- top_frame.c ---- */
struct top_view { /* borrowed; lists as the API gives them, NULL = could not be had */
    const char *endpoint, *problem; /* problem NULL: the service answers */
    const json_t *operations, *services, *drivers;
    int64_t now_us;
    int rows, columns; /* of the terminal; 0 = as many as it takes */
    bool colors;
};
/* Lines ended by "\n", none longer than columns, at most rows of them. */
void top_frame(const struct top_view *v, struct str *ret);

/* ---- top_term.c ---- */
enum { TOP_QUIT = 1, TOP_RESIZED = 2, TOP_NOW = 4, TOP_NEWS = 8 };
/* Takes the terminal of stdout (and stdin for keys, when it is one). One at a time. */
int top_term_open(struct err *e) MUST_CHECK;
void top_term_close(void); /* as it was; without open nothing */
void top_term_size(int *rows, int *columns);
/* Draws over what is there; false when the terminal is gone. */
bool top_term_draw(const struct str *frame);
/* Waits at most ms for a key, another size or something to read from news_fd (which is emptied):
 * TOP_* together, 0 = the time is over. */
int top_term_wait(int64_t ms, int news_fd);

#endif
