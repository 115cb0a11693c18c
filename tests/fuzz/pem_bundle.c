/* What a certificate manager gives back: certificate, key and passphrase are outside bytes. The
 * input is cut at its first two NULs. Whatever comes, the pair is whole or refused. */
#include "base/cleanup.h"
#include "certs/certs.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    _cleanup_free_ char *text = calloc(1, size + 3);
    struct cert_pair pair = {0};
    struct cert_info info = {0};
    struct err e = ERR_INIT;
    if (!text)
        return 0;
    memcpy(text, data, size);
    const char *key = text + strlen(text) + 1;
    key = key < text + size ? key : NULL;
    const char *passphrase = key ? key + strlen(key) + 1 : NULL;
    passphrase = passphrase && passphrase < text + size ? passphrase : NULL;
    int rc = certs_pair_open(text, key, passphrase, &pair, &e);
    if ((rc < 0 && (!e.msg[0] || pair.cert_pem || pair.key_pem.data)) ||
        (rc == 0 && (!pair.cert_pem || (key && !pair.key_pem.data))))
        abort();
    if (rc == 0 && certs_info(pair.cert_pem, &info, &e) == 0 && strlen(info.fingerprint) != 64)
        abort();
    if (rc == 0)
        (void)certs_verify(pair.cert_pem, pair.cert_pem, &e);
    cert_info_done(&info);
    cert_pair_done(&pair);
    return 0;
}
