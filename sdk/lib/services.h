/* The host's optional services, behind one check each: a host that lacks one (or a member of it)
 * gives MAG_E_UNSUPPORTED with a clear message instead of a crash. Neighbours: plugins. */
#ifndef MAGNUM_SDK_LIB_SERVICES_H
#define MAGNUM_SDK_LIB_SERVICES_H

#include "lib/json.h"

/* Looked up once per instance, in create(). Any may be NULL. */
struct mag_services {
    const mag_host *host;
    const mag_host_ledger *ledger;
    const mag_host_cert *cert;
};
struct mag_services mag_services_of(const mag_host *host);

/* data: JSON object or NULL. */
int32_t mag_ledger_declare(const struct mag_services *s, const mag_op *op, const char *kind,
                           const char *name, const json_t *data, mag_error *err);
int32_t mag_ledger_confirm(const struct mag_services *s, const mag_op *op, const char *kind,
                           const char *name, const char *external_id, mag_error *err);
int32_t mag_ledger_drop(const struct mag_services *s, const mag_op *op, const char *kind,
                        const char *name, mag_error *err);
/* A JSON list (never NULL on MAG_OK); the caller decrefs. kind NULL = all. */
int32_t mag_ledger_list(const struct mag_services *s, const mag_op *op, const char *kind,
                        json_t **ret, mag_error *err);

/* request as mag_host_cert.issue; *ret = {certificate, private_key, ca}; the caller hands it to
 * mag_wipe_json, since it holds a secret. */
int32_t mag_cert_issue(const struct mag_services *s, const mag_op *op, const json_t *request,
                       json_t **ret, mag_error *err);
/* Overwrites the texts of an object before it is freed; sets *j to NULL. */
void mag_wipe_json(json_t **j);

int32_t mag_checkpoint(const mag_host *host, const mag_op *op, const json_t *state, mag_error *err);
/* Publishes value and decrefs it (also on failure). */
int32_t mag_output_new(const mag_host *host, const mag_op *op, const char *key, json_t *value,
                       mag_error *err);
/* Publishes a look's verdict: status HEALTHY, UNHEALTHY or UNKNOWN; reasons: object of texts,
 * borrowed.
 */
int32_t mag_output_health(const mag_host *host, const mag_op *op, const char *status,
                          const json_t *reasons, mag_error *err);
/* "What is going on", for people. Returns MAG_AGAIN. out may be NULL. */
int32_t mag_again(mag_step *out, uint32_t wait_ms, uint32_t percent, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void mag_log(const mag_host *host, uint32_t level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int64_t mag_now_ms(void);  /* monotonic */
int64_t mag_unix_ms(void); /* of the calendar: for what is stored */
/* The plugin's own option, or def when it is not set. Valid until destroy. */
const char *mag_config(const mag_host *host, const char *key, const char *def);

#endif
