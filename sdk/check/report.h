/* Results of a run of the kit and how they are told. Neighbours: main.c. */
#ifndef MAGNUM_CHECK_REPORT_H
#define MAGNUM_CHECK_REPORT_H

#include "check.h"

#include <openssl/types.h>

struct result {
    const struct check_case *c;
    struct verdict v;
};
struct report {
    const struct plugin *plugin;
    uint64_t seed;
    bool complete; /* every check of the kit, at every point */
    struct result *results;
    size_t n;
};
size_t report_count(const struct report *r, enum outcome o);
/* TAP on standard output. */
void report_begin(const struct report *r);
void report_result(const struct report *r, size_t i);
/* A private Ed25519 key in PEM; the caller frees it. */
int report_key_read(const char *path, EVP_PKEY **ret, struct err *e) MUST_CHECK;
/* The closing line, and the files asked for (NULL = not). key: also <json>.sig, the raw signature
 * of the JSON file's bytes. */
int report_end(const struct report *r, const char *junit, const char *json, EVP_PKEY *key,
               struct err *e) MUST_CHECK;

#endif
