/* See parse.h. */
#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

bool parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret)
{
    if (!s ||
        !(isdigit((unsigned char)*s) || ((*s == '-' || *s == '+') && isdigit((unsigned char)s[1]))))
        return false;
    char *end = NULL;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (errno || *end || v < min || v > max)
        return false;
    *ret = v;
    return true;
}

bool parse_bool(const char *s, bool *ret)
{
    static const char *const yes[] = {"true", "t", "yes", "y", "on", "1"};
    static const char *const no[] = {"false", "f", "no", "n", "off", "0"};
    if (!s)
        return false;
    for (int i = 0; i < 6; i++) {
        if (strcasecmp(s, yes[i]) == 0)
            return *ret = true, true;
        if (strcasecmp(s, no[i]) == 0)
            return *ret = false, true;
    }
    return false;
}
