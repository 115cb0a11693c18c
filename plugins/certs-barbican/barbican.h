/* The little of Barbican's API (v1) that is needed, through the host's HTTP: secrets and
 * containers, found by name. Ids only are taken from the URLs it answers with; the host knows the
 * endpoint. Neighbours: certs_barbican.c. */
#ifndef CERTS_BARBICAN_BARBICAN_H
#define CERTS_BARBICAN_BARBICAN_H

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/json.h"

enum { ID_LEN = 37 };

struct barbican { /* of one call; borrowed */
    const mag_host *host;
    const mag_op *op;
};

/* The id in ".../v1/<kind>/<uuid>"; false when there is none. kind: "secrets" or "containers". */
bool barbican_id(const char *url, const char *kind, char ret[ID_LEN]);

/* Objects of that exact name, oldest first: *ret is a list; the caller decrefs. */
int32_t barbican_find(const struct barbican *b, const char *kind, const char *name, json_t **ret,
                      mag_error *err);
/* MAG_E_NOT_FOUND. The caller decrefs. */
int32_t barbican_container(const struct barbican *b, const char *id, json_t **ret, mag_error *err);
/* The text of a secret: lives until the driver call returns. MAG_E_NOT_FOUND. */
int32_t barbican_payload(const struct barbican *b, const char *secret_url, mag_bytes *ret,
                         mag_error *err);
/* *ret_url: where it is; the caller frees. */
int32_t barbican_make(const struct barbican *b, const char *kind, const json_t *body,
                      char **ret_url, mag_error *err);
/* Absent is fine. */
int32_t barbican_delete(const struct barbican *b, const char *kind, const char *url,
                        mag_error *err);

#endif
