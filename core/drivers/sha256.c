/* See sha256.h. */
#include "drivers/sha256.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>

static int digest_file(EVP_MD_CTX *ctx, int fd, struct err *e)
{
    unsigned char buf[65536];
    off_t at = 0;
    for (;;) {
        ssize_t n = pread(fd, buf, sizeof buf, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, errno, "cannot read the library");
        if (n == 0)
            return 0;
        if (EVP_DigestUpdate(ctx, buf, (size_t)n) != 1)
            return err_set(e, ERR_INTERNAL, "SHA-256 failed");
        at += n;
    }
}

int sha256_fd(int fd, char hex[SHA256_HEX], struct err *e)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx)
        return err_nomem(e);
    unsigned char sum[32];
    int rc = EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1
                 ? digest_file(ctx, fd, e)
                 : err_set(e, ERR_INTERNAL, "SHA-256 is not available");
    if (rc == 0 && EVP_DigestFinal_ex(ctx, sum, NULL) != 1)
        rc = err_set(e, ERR_INTERNAL, "SHA-256 failed");
    EVP_MD_CTX_free(ctx);
    for (size_t i = 0; rc == 0 && i < sizeof sum; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    return rc;
}
