/* TLS material of outgoing requests, read once from the files that options name. Neighbours: auth,
 * api (catalogue). */
#ifndef MAGNUM_HTTP_TLS_H
#define MAGNUM_HTTP_TLS_H

#include "base/err.h"

struct http_tls { /* PEM text, owned; NULL = the system's CAs, no client certificate */
    char *ca, *cert, *key;
};
/* Paths, "" = none. ERR_CONFIG names the file and the option (section.cafile, ...); *ret is empty
 * then. */
int http_tls_read(struct http_tls *ret, const char *section, const char *cafile,
                  const char *certfile, const char *keyfile, struct err *e) MUST_CHECK;
void http_tls_done(struct http_tls *t); /* wipes the key */

#endif
