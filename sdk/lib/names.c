/* See names.h. */
#include "lib/names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

void mag_name(char ret[MAG_NAME_MAX], const char *cluster_id, const char *suffix)
{
    bool with = suffix && *suffix;
    (void)snprintf(ret, MAG_NAME_MAX, "mag-%s%s%s", cluster_id, with ? "-" : "",
                   with ? suffix : "");
}

/* Appends `text` as host name characters: at most `max`, no '-' first, last or doubled. */
static size_t add_label(char *out, size_t used, size_t max, const char *text)
{
    size_t start = used;
    for (; text && *text && used - start < max; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x80 && isalnum(c))
            out[used++] = (char)tolower(c);
        else if (used > start && out[used - 1] != '-')
            out[used++] = '-';
    }
    while (used > start && out[used - 1] == '-')
        used--;
    return used;
}

void mag_hostname(char ret[64], const char *cluster, const char *group, unsigned index)
{
    char tail[64];
    size_t n = add_label(tail, 0, 24, group);
    int m = snprintf(tail + n, sizeof tail - n, "%s%u", n ? "-" : "", index);
    size_t tail_len = n + (size_t)m;
    size_t used = add_label(ret, 0, 63 - tail_len - 1, cluster);
    if (used)
        ret[used++] = '-';
    memcpy(ret + used, tail, tail_len + 1);
}

bool mag_is_uuid(const char *s)
{
    if (!s || strlen(s) != 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f');
        if (dash ? s[i] != '-' : !hex)
            return false;
    }
    return true;
}
