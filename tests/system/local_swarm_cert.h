/* The test's certificate authority: an EC key and a self-signed certificate, and leaf certificates
 * as the core's mag.host.cert/1 makes them. Neighbours: local_swarm_host.c. */
#ifndef TESTS_LOCAL_SWARM_CERT_H
#define TESTS_LOCAL_SWARM_CERT_H

#include <jansson.h>

/* Writes DIR/ca.key and DIR/ca.crt. 0 or -1. */
int cert_make_ca(const char *dir);
/* request as mag_host_cert.issue; {certificate, private_key, ca} or NULL. */
json_t *cert_issue(const char *dir, const json_t *request);

#endif
