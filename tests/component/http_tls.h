/* A TLS server on loopback that demands a client certificate, with key pairs made on the spot.
 * It answers every connection with "hello <common name of the client>", or hands it on to a server
 * without TLS. */
#ifndef MAGNUM_TESTS_HTTP_TLS_H
#define MAGNUM_TESTS_HTTP_TLS_H

#include "component/http_peer.h"

#include <CUnit/Basic.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>

struct tls_pair {
    char cert[4096], key[4096]; /* PEM */
};

static inline EVP_PKEY *tls_key_of(const struct tls_pair *p)
{
    BIO *b = BIO_new_mem_buf(p->key, -1);
    EVP_PKEY *k = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
    BIO_free(b);
    return k;
}
static inline X509 *tls_cert_of(const struct tls_pair *p)
{
    BIO *b = BIO_new_mem_buf(p->cert, -1);
    X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
    BIO_free(b);
    return x;
}
static inline void tls_text_of(BIO *b, char *buf, size_t cap)
{
    int n = BIO_read(b, buf, (int)cap - 1);
    buf[n > 0 ? n : 0] = '\0';
    BIO_free(b);
}

static inline void tls_extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CU_ASSERT_PTR_NOT_NULL_FATAL(ext);
    X509_add_ext(x, ext, -1);
    X509_EXTENSION_free(ext);
}

/* ca NULL: a self-signed CA. Valid from and to so many seconds from now. */
static inline void tls_pair_make_for(struct tls_pair *p, const struct tls_pair *ca,
                                     const char *name, long from_s, long to_s)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    EVP_PKEY *ca_key = ca ? tls_key_of(ca) : NULL;
    X509 *ca_cert = ca ? tls_cert_of(ca) : NULL;
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1 + (long)strlen(name));
    X509_gmtime_adj(X509_getm_notBefore(x), from_s);
    X509_gmtime_adj(X509_getm_notAfter(x), to_s);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(ca ? ca_cert : x));
    tls_extend(x, ca ? ca_cert : x, NID_basic_constraints, ca ? "CA:FALSE" : "critical,CA:TRUE");
    if (ca)
        tls_extend(x, ca_cert, NID_subject_alt_name, "IP:127.0.0.1");
    CU_ASSERT_FATAL(X509_sign(x, ca ? ca_key : key, EVP_sha256()) > 0);
    BIO *b = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(b, x);
    tls_text_of(b, p->cert, sizeof p->cert);
    b = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL);
    tls_text_of(b, p->key, sizeof p->key);
    X509_free(x);
    X509_free(ca_cert);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
}

static inline void tls_pair_make(struct tls_pair *p, const struct tls_pair *ca, const char *name)
{
    tls_pair_make_for(p, ca, name, -60, 3600);
}

struct tls_server {
    int fd, port;
    int backend; /* port of the server without TLS; 0 = hello */
    SSL_CTX *ctx;
    pthread_t thread;
};

/* Both ways until one side closes. */
static inline void tls_pump(SSL *ssl, int fd, int port)
{
    _cleanup_close_ int to = peer_connect(port);
    char buf[16384];
    for (bool open = to >= 0; open;) {
        struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = to, .events = POLLIN}};
        if (!SSL_pending(ssl) && poll(p, 2, -1) < 0)
            return;
        if (SSL_pending(ssl) || p[0].revents) {
            int n = SSL_read(ssl, buf, sizeof buf);
            open = n > 0 && peer_send_n(to, buf, (size_t)n);
        } else if (p[1].revents) {
            ssize_t n = recv(to, buf, sizeof buf, 0);
            open = n > 0 && SSL_write(ssl, buf, (int)n) == n;
        }
    }
}

static inline void tls_serve(const struct tls_server *t, int fd)
{
    SSL *ssl = SSL_new(t->ctx);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1 && t->backend) {
        tls_pump(ssl, fd, t->backend);
        (void)SSL_shutdown(ssl);
    } else if (SSL_is_init_finished(ssl)) {
        char buf[4096], name[64] = "";
        (void)SSL_read(ssl, buf, sizeof buf);
        X509 *peer = SSL_get1_peer_certificate(ssl);
        if (peer)
            X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, name,
                                      sizeof name);
        X509_free(peer);
        char out[256];
        int n =
            snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello %s", name);
        (void)SSL_write(ssl, out, n);
        (void)SSL_shutdown(ssl);
    }
    SSL_free(ssl);
}

static inline void *tls_server_main(void *arg)
{
    struct tls_server *t = arg;
    for (;;) {
        _cleanup_close_ int fd = accept(t->fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        tls_serve(t, fd);
    }
}

static inline void tls_server_start(struct tls_server *t, const struct tls_pair *ca,
                                    const struct tls_pair *own)
{
    t->ctx = SSL_CTX_new(TLS_server_method());
    X509 *cert = tls_cert_of(own), *ca_cert = tls_cert_of(ca);
    EVP_PKEY *key = tls_key_of(own);
    CU_ASSERT_FATAL(SSL_CTX_use_certificate(t->ctx, cert) == 1);
    CU_ASSERT_FATAL(SSL_CTX_use_PrivateKey(t->ctx, key) == 1);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(t->ctx), ca_cert);
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    X509_free(cert);
    X509_free(ca_cert);
    EVP_PKEY_free(key);
    t->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    CU_ASSERT_FATAL(bind(t->fd, (struct sockaddr *)&sin, sizeof sin) == 0 && listen(t->fd, 8) == 0);
    CU_ASSERT_FATAL(getsockname(t->fd, (struct sockaddr *)&sin, &len) == 0);
    t->port = ntohs(sin.sin_port);
    signal(SIGPIPE, SIG_IGN); /* the server side writes by SSL_write */
    pthread_create(&t->thread, NULL, tls_server_main, t);
}

static inline void tls_server_stop(struct tls_server *t)
{
    (void)shutdown(t->fd, SHUT_RDWR);
    pthread_join(t->thread, NULL);
    (void)close(t->fd);
    SSL_CTX_free(t->ctx);
}

#endif
