/* TLS material of outgoing requests, read from the files that options name. A reading is shared by
 * count (base/box.h): each request works with one, and a reload puts another in its place.
 * Neighbours: auth, api (catalogue), otlp.c. */
#ifndef MAGNUM_HTTP_TLS_H
#define MAGNUM_HTTP_TLS_H

#include "base/box.h"
#include "base/err.h"

struct config;

struct http_tls {
    struct shared shared;
    /* PEM text; NULL = the system's CAs, no client certificate */
    char *ca, *cert, *key;
};
/* Gives a reference back; the last one wipes the key. NULL is fine. */
void http_tls_unref(struct http_tls *t);
static inline void http_tls_unrefp(struct http_tls **t)
{
    http_tls_unref(*t);
    *t = NULL;
}
#define _cleanup_tls_ _cleanup_(http_tls_unrefp)

/* Where it comes from: section of the options cafile, certfile and keyfile; paths, "" = none. All
 * borrowed. */
struct http_tls_files {
    const char *section, *cafile, *certfile, *keyfile;
};
struct http_tls_files http_tls_keystone(const struct config *cfg); /* section keystone */
/* One reference. ERR_CONFIG names the option (section.cafile, ...) and the file that can't be read,
 * holds nothing of its kind, or does not belong to the other. */
int http_tls_read(const struct http_tls_files *f, struct http_tls **ret, struct err *e) MUST_CHECK;
/* For a reload: what the files in use hold now. Where `fresh` names other files, which needs a
 * restart, what `box` has. */
int http_tls_read_again(struct box *box, const struct http_tls_files *used,
                        const struct http_tls_files *fresh, struct http_tls **ret,
                        struct err *e) MUST_CHECK;

#endif
