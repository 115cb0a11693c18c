/* Version negotiation by the OpenStack-API-Version header (api.md 2). Pure.
 * Neighbours: api.c asks once per request to /v1. */
#ifndef MAGNUM_API_MICROVERSIONS_H
#define MAGNUM_API_MICROVERSIONS_H

#include "base/err.h"

#include <stdbool.h>

struct api_versions {
    const char *service; /* how answers name the service */
    int max_minor;       /* 1.14 -> 14; the minimum is 1.1 */
    bool zed;            /* 15.0.1: one service word */
};
/* From option api.compat: "head" or "zed". ERR_CONFIG. */
int api_versions_from(const char *compat, struct api_versions *ret, struct err *e) MUST_CHECK;

struct api_version {
    int major, minor;
    bool unsupported; /* well formed, but out of range: the special 406 body */
};
/* header NULL: 1.1. ERR_NOT_ACCEPTABLE with Magnum's text; *ret is filled for unsupported ones
 * too, since the answer repeats the version. */
int api_version_parse(const struct api_versions *v, const char *header, struct api_version *ret,
                      struct err *e) MUST_CHECK;

#endif
