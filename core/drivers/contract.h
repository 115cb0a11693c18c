/* Does a driver's answer keep the contract of the ABI? What does not is logged as misbehaving and
 * becomes MAG_E_INTERNAL, so that nothing above ever meets a code, text or document it can't use.
 * Pure but for the log. Neighbours: conversation.c. */
#ifndef MAGNUM_DRIVERS_CONTRACT_H
#define MAGNUM_DRIVERS_CONTRACT_H

#include "drivers/child_log.h"
#include "drivers/front_coe.h"
#include "host/verbs.h"

/* Reads a RESULT body into *ret (whose other members are kept). v NULL: the probe. ERR_PROTOCOL
 * when it is no result at all: then the host itself is broken. */
int contract_result(const struct verb *v, const json_t *body, const struct child_log *log,
                    struct coe_result *ret, struct err *e) MUST_CHECK;

#endif
