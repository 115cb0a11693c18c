/* magnum/error.h - result codes and the error record. Part of the stable plugin ABI 1.x.
 * Freestanding C11 (and C++11): needs only <stddef.h> and <stdint.h>.
 *
 * Versioning: fields are only ever appended, numbers are never reused (sdk/abi/POLICY.md).
 * Every struct starts with struct_size: the writer sets it to sizeof, the reader touches no
 * member that lies beyond it (MAG_HAS). */
#ifndef MAGNUM_ERROR_H
#define MAGNUM_ERROR_H

#include <stddef.h>
#include <stdint.h>

#define MAG_HAS(type, p, member) ((p)->struct_size >= offsetof(type, member) + sizeof((p)->member))

/* Return values of every driver call and of every host service. */
enum {
    MAG_OK = 0,    /* finished */
    MAG_AGAIN = 1, /* steps only: call me again after mag_step.wait_ms */

    MAG_E_INVALID = -1,       /* request or spec wrong: no retry */
    MAG_E_NOT_FOUND = -2,     /* a referenced thing is missing: no retry */
    MAG_E_EXISTS = -3,        /* the name is taken by something incompatible: no retry */
    MAG_E_BUSY = -4,          /* another operation holds the object: retried with backoff */
    MAG_E_DENIED = -5,        /* not allowed */
    MAG_E_AUTH = -6,          /* credential refused: refreshed, tried once more */
    MAG_E_QUOTA = -7,         /* capacity or quota: fails unless MAG_ERR_RETRYABLE */
    MAG_E_UNAVAILABLE = -8,   /* backend down: retried until the operation's deadline */
    MAG_E_TIMEOUT = -9,       /* backend slow: as UNAVAILABLE */
    MAG_E_CANCELLED = -10,    /* stopped on request */
    MAG_E_UNSUPPORTED = -11,  /* not offered */
    MAG_E_PRECONDITION = -12, /* wrong state, or you are fenced: return at once, touch nothing */
    MAG_E_INTERNAL = -13      /* driver bug */
};

/* mag_error.flags */
#define MAG_ERR_RETRYABLE (1u << 0) /* trying again may help although the code says no */
#define MAG_ERR_USER (1u << 1)      /* the user must act (change the request, raise a quota) */
#define MAG_ERR_OPERATOR (1u << 2)  /* the operator must act */
#define MAG_ERR_MAY_LEAK (1u << 3)  /* something may be left behind in the backend */

/* Caller-allocated; the callee fills it when it returns a negative code. */
typedef struct mag_error {
    uint32_t struct_size;
    uint32_t flags;          /* MAG_ERR_* */
    uint32_t retry_after_ms; /* 0 = the host's own backoff */
    uint32_t reserved0;      /* zero */
    char reason[64];         /* stable token, e.g. "QuotaExceeded"; never empty on failure */
    char message[448];       /* one line, UTF-8, safe to show to the end user, no secrets */
    char remedy[256];        /* one line: what to do next, and who; may be empty */
} mag_error;

#endif
