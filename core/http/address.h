/* Which addresses a URL that a tenant chose may lead to: those a tenant could ask itself. The check
 * is for http_call.may_connect, so that it sees the very address that is connected to, behind every
 * name and redirect. Neighbours: conductor (manifests), api (discovery URLs). */
#ifndef MAGNUM_HTTP_ADDRESS_H
#define MAGNUM_HTTP_ADDRESS_H

#include "base/str.h"

#include <stdbool.h>

struct sockaddr;

/* False for loopback, link-local, private and special addresses, unless one of `networks` (CIDR, or
 * an address) holds it. */
bool http_address_allowed(const struct strv *networks, const struct sockaddr *to);

#endif
