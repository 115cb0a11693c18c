/* See secret.h. */
#include "base/secret.h"

#include "base/err.h"

#include <string.h>

int secret_set(struct secret *s, const void *data, size_t len)
{
    char *p = malloc(len + 1);
    if (!p)
        return ERR_NOMEM;
    memcpy(p, data, len);
    p[len] = '\0';
    secret_free(s);
    s->data = p;
    s->len = len;
    return 0;
}

void secret_wipe(void *p, size_t len)
{
    explicit_bzero(p, len);
}

void secret_free(struct secret *s)
{
    if (s->data)
        explicit_bzero(s->data, s->len);
    free(s->data);
    *s = (struct secret)SECRET_INIT;
}
