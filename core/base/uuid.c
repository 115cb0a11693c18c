/* See uuid.h. */
#include "base/uuid.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <uuid/uuid.h>

void uuid_make(char buf[UUID_TEXT])
{
    uuid_t u;
    /* one is made for each request: libuuid's own way seeds a second generator each time */
    if (getrandom(u, sizeof u, 0) == (ssize_t)sizeof u) {
        u[6] = (unsigned char)(0x40 | (u[6] & 0x0f)); /* version 4 */
        u[8] = (unsigned char)(0x80 | (u[8] & 0x3f)); /* of RFC 4122 */
    } else {
        uuid_generate_random(u);
    }
    uuid_unparse_lower(u, buf);
}

bool uuid_like(const char *s, char ret[UUID_TEXT])
{
    char hex[32];
    int n = 0;
    if (!s || strlen(s) > 64)
        return false;
    if (strncasecmp(s, "urn:", 4) == 0)
        s += 4;
    if (strncasecmp(s, "uuid:", 5) == 0)
        s += 5;
    for (; *s; s++) {
        if (*s == '-' || *s == '{' || *s == '}')
            continue;
        if (!isxdigit((unsigned char)*s) || n == 32)
            return false;
        hex[n++] = (char)tolower((unsigned char)*s);
    }
    if (n != 32)
        return false;
    if (ret) {
        int o = 0;
        for (int i = 0; i < 32; i++) {
            if (i == 8 || i == 12 || i == 16 || i == 20)
                ret[o++] = '-';
            ret[o++] = hex[i];
        }
        ret[o] = '\0';
    }
    return true;
}
