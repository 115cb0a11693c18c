/* Why a peer's certificate is refused: libcurl says what is wrong, not with which certificate of
 * the chain. Here it is looked at while it is verified; the verdict stays OpenSSL's. Neighbours:
 * client.c. */
#include "http/client_internal.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum { NAME_LEN = 128, DATE_LEN = 32 };

static void name_of(const X509 *cert, char ret[NAME_LEN])
{
    if (X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, ret, NAME_LEN) <= 0)
        snprintf(ret, NAME_LEN, "without a name");
    for (char *p = ret; *p; p++)
        if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
            *p = '?'; /* the peer chose it */
}

static void date_of(const ASN1_TIME *at, char ret[DATE_LEN])
{
    struct tm t;
    if (!at || ASN1_TIME_to_tm(at, &t) != 1 || strftime(ret, DATE_LEN, "%F %H:%M UTC", &t) == 0)
        snprintf(ret, DATE_LEN, "an unreadable date");
}

static int look(int ok, X509_STORE_CTX *store)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct exchange *x = ssl ? SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)) : NULL;
    X509 *cert = X509_STORE_CTX_get_current_cert(store);
    int why = X509_STORE_CTX_get_error(store);
    char name[NAME_LEN], date[DATE_LEN];
    bool late = why == X509_V_ERR_CERT_HAS_EXPIRED, early = why == X509_V_ERR_CERT_NOT_YET_VALID;
    if (ok || !x || !cert || !(late || early))
        return ok;
    name_of(cert, name);
    date_of(late ? X509_get0_notAfter(cert) : X509_get0_notBefore(cert), date);
    snprintf(x->refused, sizeof x->refused, "the %scertificate '%s' %s %s",
             X509_check_ca(cert) > 0 ? "CA " : "", name,
             late ? "expired on" : "is not valid before", date);
    return ok;
}

/* The exchange ends before its connection, which is kept: a server that asks for another handshake
 * later must not find it. */
static void shaken(const SSL *ssl, int where, int value)
{
    (void)value;
    if (where & SSL_CB_HANDSHAKE_DONE)
        SSL_CTX_set_app_data(SSL_get_SSL_CTX(ssl), NULL);
}

static CURLcode watch(CURL *curl, void *ctx, void *exchange)
{
    (void)curl;
    SSL_CTX_set_app_data((SSL_CTX *)ctx, exchange);
    SSL_CTX_set_info_callback(ctx, shaken);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, look);
    return CURLE_OK;
}

CURLcode client_tls_watch(struct exchange *x)
{
    CURLcode rc = curl_easy_setopt(x->curl, CURLOPT_SSL_CTX_FUNCTION, watch);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(x->curl, CURLOPT_SSL_CTX_DATA, x);
    /* a libcurl over another library says less, and works as well */
    return rc == CURLE_NOT_BUILT_IN || rc == CURLE_UNKNOWN_OPTION ? CURLE_OK : rc;
}
