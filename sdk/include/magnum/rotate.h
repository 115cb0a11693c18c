/* magnum/rotate.h - "mag.coe.rotate/1": CA in two phases, credentials. Optional.
 *
 * Both phases converge to what mag.host.cert/1 answers at the time: `ca` is the bundle of all CAs
 * to trust, the one that signs first; `issue` and `sign` use that one.
 *
 * ca_prepare: the bundle holds new and old CA. In the end every part of the cluster trusts all of
 * it. Parts may carry new certificates from then on, except where clients of the cluster look: the
 * certificate its API shows must stay one of the old CA, for clients that know no other.
 *
 * ca_complete: the bundle holds the new CA alone. In the end everything, the API too, carries
 * certificates of it, and what the old CA signed is refused.
 *
 * Between them the host waits, so that clients can fetch new certificates. An error of ca_prepare
 * ends the rotation with the old CA as before; one of ca_complete leaves both trusted, and the next
 * request calls both again. Any of them may be called again after a crash, and a cluster works at
 * every moment in between.
 *
 * credential: the cluster's trustee has a new password already (mag_host.secret_read); bring it,
 * and credentials of the driver's own, to where they are used. A member that is NULL is not
 * offered. */
#ifndef MAGNUM_ROTATE_H
#define MAGNUM_ROTATE_H

#include "magnum/lifecycle.h"

#define MAG_IFACE_ROTATE "mag.coe.rotate/1"

typedef struct mag_rotate {
    uint32_t struct_size;
    uint32_t reserved0;
    mag_step_fn ca_prepare;
    mag_step_fn ca_complete;
    mag_step_fn credential;
} mag_rotate;

#endif
