/* What each result code asks of the core: the error table of the plugin ABI, as data.
 * Neighbours: engine (the only user), docs and tests walk it. */
#ifndef MAGNUM_OPERATION_RECOVERY_H
#define MAGNUM_OPERATION_RECOVERY_H

#include "model/codes.h"

#include <stddef.h>

enum recovery_how {
    RECOVER_FAIL,    /* fail at once, unless the error says that trying again may help */
    RECOVER_RETRY,   /* with backoff until the deadline */
    RECOVER_ONCE,    /* one retry, then fail */
    RECOVER_COUNTED, /* a few in a row, then fail */
    RECOVER_CANCEL,  /* stopped on request */
};
struct recovery {
    int rc;
    enum recovery_how how;
    /* its text when the driver gave no token of its own, its actor when the error's flags do not
     * say, its remedy when the driver gave none */
    enum op_code code;
};
/* Never NULL: codes nobody knows count as a driver bug that is not tried again. */
const struct recovery *recovery_for(int rc);
/* All rows, for tests and the generator of the documentation. */
const struct recovery *recovery_table(size_t *n);

#endif
