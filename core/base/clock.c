/* See clock.h. */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t now_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_wall_us(void)
{
    return now_us(CLOCK_REALTIME);
}
int64_t clock_wall_ms(void)
{
    return now_us(CLOCK_REALTIME) / 1000;
}
int64_t clock_mono_ms(void)
{
    return now_us(CLOCK_MONOTONIC) / 1000;
}
int64_t clock_mono_us(void)
{
    return now_us(CLOCK_MONOTONIC);
}

static void two_digits(char *p, int v)
{
    p[0] = (char)('0' + v / 10);
    p[1] = (char)('0' + v % 10);
}

void clock_iso(int64_t us, char buf[CLOCK_ISO_MAX])
{
    int64_t sec = us / 1000000, frac = us % 1000000;
    if (frac < 0) {
        frac += 1000000;
        sec--;
    }
    time_t t = (time_t)sec;
    struct tm tm;
    if (!gmtime_r(&t, &tm)) {
        buf[0] = '\0';
        return;
    }
    /* an answer may have thousands of times: strftime is too slow for that */
    int year = tm.tm_year + 1900;
    size_t n = 4;
    if (year >= 0 && year <= 9999) {
        two_digits(buf, year / 100);
        two_digits(buf + 2, year % 100);
    } else {
        n = (size_t)snprintf(buf, CLOCK_ISO_MAX, "%d", year);
    }
    const int parts[] = {tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++, n += 3) {
        buf[n] = "--T::"[i];
        two_digits(buf + n + 1, parts[i]);
    }
    if (frac)
        n += (size_t)snprintf(buf + n, CLOCK_ISO_MAX - n, ".%06d", (int)frac);
    memcpy(buf + n, "+00:00", sizeof "+00:00");
}

bool clock_parse_iso(const char *s, int64_t *ret_us)
{
    int y, mo, d, h, mi, sec, n = 0;
    if (sscanf(s, "%4d-%2d-%2d%*1[T ]%2d:%2d:%2d%n", &y, &mo, &d, &h, &mi, &sec, &n) != 6 || !n)
        return false;
    s += n;
    int64_t frac = 0;
    if (*s == '.') {
        int64_t unit = 100000;
        for (s++; *s >= '0' && *s <= '9'; s++, unit /= 10)
            frac += (*s - '0') * unit;
    }
    int64_t off = 0;
    if (*s == '+' || *s == '-') {
        int oh, om = 0;
        if (sscanf(s + 1, "%2d:%2d", &oh, &om) < 1)
            return false;
        off = (oh * 3600 + om * 60) * (*s == '-' ? -1 : 1);
    } else if (*s && *s != 'Z') {
        return false;
    }
    struct tm tm = {.tm_year = y - 1900,
                    .tm_mon = mo - 1,
                    .tm_mday = d,
                    .tm_hour = h,
                    .tm_min = mi,
                    .tm_sec = sec};
    *ret_us = ((int64_t)timegm(&tm) - off) * 1000000 + frac;
    return true;
}
