/* See uuid.h. */
#include "base/uuid.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <uuid/uuid.h>

void uuid_make(char buf[UUID_TEXT])
{
    uuid_t u;
    uuid_generate_random(u);
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
