/* See recovery.h. */
#include "operation/recovery.h"

#include "base/cleanup.h"
#include "operation/engine.h"

static const struct recovery table[] = {
    {RC_INVALID, RECOVER_FAIL, CODE_INVALID},
    {RC_NOT_FOUND, RECOVER_FAIL, CODE_NOT_FOUND},
    {RC_EXISTS, RECOVER_FAIL, CODE_EXISTS},
    {RC_BUSY, RECOVER_RETRY, CODE_BUSY},
    {RC_DENIED, RECOVER_FAIL, CODE_DENIED},
    {RC_AUTH, RECOVER_ONCE, CODE_AUTH_REFUSED},
    {RC_QUOTA, RECOVER_FAIL, CODE_QUOTA_EXCEEDED},
    {RC_UNAVAILABLE, RECOVER_RETRY, CODE_UNAVAILABLE},
    {RC_TIMEOUT, RECOVER_RETRY, CODE_TIMEOUT},
    {RC_CANCELLED, RECOVER_CANCEL, CODE_CANCELLED},
    {RC_UNSUPPORTED, RECOVER_FAIL, CODE_UNSUPPORTED},
    {RC_PRECONDITION, RECOVER_FAIL, CODE_PRECONDITION},
    {RC_INTERNAL, RECOVER_COUNTED, CODE_DRIVER_ERROR},
};
static const struct recovery unknown = {RC_INTERNAL, RECOVER_FAIL, CODE_UNKNOWN_CODE};

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
