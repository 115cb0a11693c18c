/* See tls.h. The texts go to libcurl as they are; here they are only looked at, so that a file that
 * is none is refused where it is read, by name, and not with the first request. */
#include "http/tls.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/secret.h"
#include "base/str.h"
#include "config/config.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

enum { PEM_MAX = 1024 * 1024 };

static void end(void *self)
{
    struct http_tls *t = self;
    if (t->key)
        secret_wipe(t->key, strlen(t->key));
    if (t->cert) /* a key may lie beside it */
        secret_wipe(t->cert, strlen(t->cert));
    free(t->ca);
    free(t->cert);
    free(t->key);
    free(t);
}

void http_tls_unref(struct http_tls *t)
{
    shared_unref(t);
}

struct http_tls_files http_tls_keystone(const struct config *cfg)
{
    return (struct http_tls_files){"keystone", cfg->keystone_cafile, cfg->keystone_certfile,
                                   cfg->keystone_keyfile};
}

/* ---- what is in a text ---- */

static void bio_freep(BIO **b)
{
    BIO_free(*b);
}
#define _cleanup_bio_ _cleanup_(bio_freep)

static void x509_freep(X509 **x)
{
    X509_free(*x);
}

static void pkey_freep(EVP_PKEY **k)
{
    EVP_PKEY_free(*k);
}

static bool has_certificate(const char *pem)
{
    _cleanup_bio_ BIO *b = BIO_new_mem_buf(pem, -1);
    bool found = false;
    STACK_OF(X509_INFO) *all = b ? PEM_X509_INFO_read_bio(b, NULL, NULL, NULL) : NULL;
    for (int i = 0; all && i < sk_X509_INFO_num(all); i++)
        found |= sk_X509_INFO_value(all, i)->x509 != NULL;
    sk_X509_INFO_pop_free(all, X509_INFO_free);
    return found;
}

static X509 *certificate(const char *pem)
{
    _cleanup_bio_ BIO *b = BIO_new_mem_buf(pem, -1);
    return b ? PEM_read_bio_X509_AUX(b, NULL, NULL, NULL) : NULL;
}

/* A service has nobody to ask for it. */
static int no_passphrase(char *buf, int size, int writing, void *ctx)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

static EVP_PKEY *private_key(const char *pem)
{
    _cleanup_bio_ BIO *b = BIO_new_mem_buf(pem, -1);
    return b ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL) : NULL;
}

static int check(const struct http_tls *t, const struct http_tls_files *f, struct err *e)
{
    /* without a file of its own the key is looked for beside the certificate */
    bool own = t->key != NULL;
    const char *key_option = own ? "keyfile" : "certfile",
               *key_file = own ? f->keyfile : f->certfile;
    const char *key_text = own ? t->key : t->cert;
    _cleanup_(x509_freep) X509 *cert = t->cert ? certificate(t->cert) : NULL;
    _cleanup_(pkey_freep) EVP_PKEY *key = key_text ? private_key(key_text) : NULL;
    if (t->ca && !has_certificate(t->ca))
        return err_set(e, ERR_CONFIG, "%s.cafile: %s holds no certificate (PEM)", f->section,
                       f->cafile);
    if (t->cert && !cert)
        return err_set(e, ERR_CONFIG, "%s.certfile: %s holds no certificate (PEM)", f->section,
                       f->certfile);
    if (key_text && !key)
        return err_set(e, ERR_CONFIG, "%s.%s: %s holds no private key (PEM, without a passphrase)",
                       f->section, key_option, key_file);
    if (cert && key && X509_check_private_key(cert, key) != 1)
        return err_set(e, ERR_CONFIG,
                       "%s.%s: the key in %s does not belong to the certificate in %s", f->section,
                       key_option, key_file, f->certfile);
    return 0;
}

/* ---- files ---- */

static int read_pem(const char *section, const char *option, const char *path, char **ret,
                    struct err *e)
{
    size_t len;
    if (!*path || io_read_file(path, PEM_MAX, ret, &len, e) == 0)
        return 0;
    e->code = ERR_CONFIG;
    return err_wrap(e, "%s.%s", section, option);
}

int http_tls_read(const struct http_tls_files *f, struct http_tls **ret, struct err *e)
{
    struct http_tls *t = calloc(1, sizeof *t);
    if (!t)
        return err_nomem(e);
    shared_init(&t->shared, end);
    int rc = read_pem(f->section, "cafile", f->cafile, &t->ca, e);
    if (rc == 0)
        rc = read_pem(f->section, "certfile", f->certfile, &t->cert, e);
    if (rc == 0)
        rc = read_pem(f->section, "keyfile", f->keyfile, &t->key, e);
    if (rc == 0)
        rc = check(t, f, e);
    ERR_clear_error(); /* what is no PEM leaves something in OpenSSL's queue of this thread */
    if (rc < 0) {
        http_tls_unref(t);
        return rc;
    }
    *ret = t;
    return 0;
}

int http_tls_read_again(struct box *box, const struct http_tls_files *used,
                        const struct http_tls_files *fresh, struct http_tls **ret, struct err *e)
{
    if (str_eq(used->cafile, fresh->cafile) && str_eq(used->certfile, fresh->certfile) &&
        str_eq(used->keyfile, fresh->keyfile))
        return http_tls_read(used, ret, e);
    *ret = box_get(box);
    return 0;
}
