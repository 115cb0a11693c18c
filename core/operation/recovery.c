/* See recovery.h. */
#include "operation/recovery.h"

#include "base/cleanup.h"
#include "operation/engine.h"

static const struct recovery table[] = {
    {RC_INVALID, RECOVER_FAIL, "Invalid", "user",
     "correct the request or the cluster template, then try again"},
    {RC_NOT_FOUND, RECOVER_FAIL, "NotFound", "user",
     "create what is missing or name another one, then try again"},
    {RC_EXISTS, RECOVER_FAIL, "Exists", "operator",
     "remove or rename what holds the name, then try again"},
    {RC_BUSY, RECOVER_RETRY, "Busy", "operator",
     "find out what else works on this cluster's resources"},
    {RC_DENIED, RECOVER_FAIL, "Denied", "operator",
     "grant the missing right to the service, then try again"},
    {RC_AUTH, RECOVER_ONCE, "AuthRefused", "operator",
     "check the service's credentials, then try again"},
    {RC_QUOTA, RECOVER_FAIL, "QuotaExceeded", "user",
     "free resources or have the quota raised, then try again"},
    {RC_UNAVAILABLE, RECOVER_RETRY, "Unavailable", "operator", "check that the backend is running"},
    {RC_TIMEOUT, RECOVER_RETRY, "Timeout", "operator",
     "check the backend's load and the network to it"},
    {RC_CANCELLED, RECOVER_CANCEL, "Cancelled", "user",
     "repeat the operation, or delete the cluster to remove what was made"},
    {RC_UNSUPPORTED, RECOVER_FAIL, "Unsupported", "operator",
     "use a driver that offers this operation"},
    {RC_PRECONDITION, RECOVER_FAIL, "Precondition", "user",
     "bring the cluster into the state the operation needs, then try again"},
    {RC_INTERNAL, RECOVER_COUNTED, "DriverError", "vendor",
     "report it to the driver's vendor with the conductor's log"},
};
static const struct recovery unknown = {
    RC_INTERNAL, RECOVER_FAIL, "UnknownCode", "vendor",
    "report it to the driver's vendor: the driver answered with a code this service does not know"};

const struct recovery *recovery_for(int rc)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].rc == rc)
            return &table[i];
    return &unknown;
}

const struct recovery *recovery_table(size_t *n)
{
    *n = ARRAY_LEN(table);
    return table;
}
