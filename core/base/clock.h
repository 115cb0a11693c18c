/* Time. Wall times are int64_t microseconds since the Unix epoch, UTC (suffix _us);
 * TIME_UNSET is "no time". Durations and the monotonic clock are milliseconds (_ms).
 * Neighbours: everything; the pure engine gets its clock injected and must not call this. */
#ifndef MAGNUM_BASE_CLOCK_H
#define MAGNUM_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIME_UNSET INT64_MIN

int64_t clock_wall_us(void);
int64_t clock_wall_ms(void);
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);

enum { CLOCK_ISO_MAX = 40 };
/* "2026-11-22T00:40:40.295333+00:00" into `buf`; no fraction when the microseconds are zero,
 * as Magnum prints its times (api.md 5.4). */
void clock_iso(int64_t us, char buf[CLOCK_ISO_MAX]);
/* Parses what clock_iso writes (also with 'Z', and a blank for the 'T'). False when malformed. */
bool clock_parse_iso(const char *s, int64_t *ret_us);

#endif
