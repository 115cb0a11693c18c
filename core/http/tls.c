/* See tls.h. */
#include "http/tls.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

enum { PEM_MAX = 1024 * 1024 };

static int read_pem(const char *section, const char *option, const char *path, char **ret,
                    struct err *e)
{
    size_t len;
    if (!*path || io_read_file(path, PEM_MAX, ret, &len, e) == 0)
        return 0;
    e->code = ERR_CONFIG;
    return err_wrap(e, "%s.%s", section, option);
}

int http_tls_read(struct http_tls *ret, const char *section, const char *cafile,
                  const char *certfile, const char *keyfile, struct err *e)
{
    struct http_tls t = {NULL, NULL, NULL};
    int rc = read_pem(section, "cafile", cafile, &t.ca, e);
    if (rc == 0)
        rc = read_pem(section, "certfile", certfile, &t.cert, e);
    if (rc == 0)
        rc = read_pem(section, "keyfile", keyfile, &t.key, e);
    if (rc < 0)
        http_tls_done(&t);
    *ret = t;
    return rc;
}

void http_tls_done(struct http_tls *t)
{
    if (t->key)
        secret_wipe(t->key, strlen(t->key));
    free(t->ca);
    free(t->cert);
    free(t->key);
    *t = (struct http_tls){NULL, NULL, NULL};
}
