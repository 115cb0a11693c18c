/* magnum cluster config: what docker or kubectl needs to reach a cluster (clients.md 4). The
 * private key is made here and never leaves this machine. See cli.h. */
#include "cmd/cli/cli.h"

#include "base/io.h"
#include "base/jsonx.h"
#include "base/secret.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

static char *bio_text(BIO *b)
{
    char *p = NULL;
    long n = BIO_get_mem_data(b, &p);
    /* not strndup: what the BIO holds has no NUL at its end */
    char *text = n > 0 ? malloc((size_t)n + 1) : NULL;
    if (text) {
        memcpy(text, p, (size_t)n);
        text[n] = '\0';
    }
    return text;
}

int cli_make_csr(const char *cn, const char *o, char **ret_key, char **ret_csr, struct err *e)
{
    int rc = ERR_INTERNAL;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_REQ *req = X509_REQ_new();
    BIO *key_bio = BIO_new(BIO_s_mem()), *csr_bio = BIO_new(BIO_s_mem());
    X509_NAME *name = req ? X509_REQ_get_subject_name(req) : NULL;
    if (key && name && key_bio && csr_bio &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1,
                                   0) &&
        X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)o, -1, -1, 0) &&
        X509_REQ_set_pubkey(req, key) && X509_REQ_sign(req, key, EVP_sha256()) > 0 &&
        PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) &&
        PEM_write_bio_X509_REQ(csr_bio, req)) {
        *ret_key = bio_text(key_bio);
        *ret_csr = bio_text(csr_bio);
        rc = *ret_key && *ret_csr ? 0 : err_nomem(e);
    } else {
        err_set(e, rc, "OpenSSL could not make a key and a certificate request");
    }
    BIO_free(key_bio);
    BIO_free(csr_bio);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    return rc;
}

struct material {
    char *ca, *cert, *key; /* PEM, owned; NULL without TLS */
};

static void material_done(struct material *m)
{
    if (m->key)
        secret_wipe(m->key, strlen(m->key));
    free(m->key);
    free(m->ca);
    free(m->cert);
}

static enum cli_exit fetch_material(struct cli *c, const char *uuid, struct material *m)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *csr = NULL;
    _cleanup_json_ json_t *ca = NULL;
    _cleanup_json_ json_t *cert = NULL;
    enum cli_exit code = cli_get(c, "/v1/certificates", uuid, &ca);
    if (code != CLI_OK)
        return code;
    if (cli_make_csr("admin", "system:masters", &m->key, &csr, &e) != 0)
        return cli_fail(CLI_FAILED, &e);
    _cleanup_json_ json_t *body = json_pack("{s:s, s:s}", "cluster_uuid", uuid, "csr", csr);
    if ((code = cli_request(c, "POST", "/v1/certificates", body, &cert)) != CLI_OK)
        return code;
    m->ca = str_dup(jsonx_str(ca, "pem"));
    m->cert = str_dup(jsonx_str(cert, "pem"));
    if (m->ca && m->cert)
        return CLI_OK;
    err_set(&e, ERR_PROTOCOL, "the service sent no certificate");
    return cli_fail(CLI_FAILED, &e);
}

static int put_file(const char *dir, const char *name, const char *text, mode_t mode, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("%s/%s", dir, name);
    return path ? io_write_file(path, text, strlen(text), mode, e) : err_nomem(e);
}

static int put_material(const char *dir, const struct material *m, struct err *e)
{
    int rc = put_file(dir, "key.pem", m->key, 0600, e);
    if (rc == 0)
        rc = put_file(dir, "cert.pem", m->cert, 0644, e);
    return rc == 0 ? put_file(dir, "ca.pem", m->ca, 0644, e) : rc;
}

static char *base64_of(const char *text)
{
    size_t n = strlen(text);
    unsigned char *out = malloc(4 * ((n + 2) / 3) + 1);
    if (out)
        (void)EVP_EncodeBlock(out, (const unsigned char *)text, (int)n);
    return (char *)out;
}

static int put_kubeconfig(const char *dir, const json_t *cluster, const struct material *m,
                          struct err *e)
{
    const char *name = jsonx_str(cluster, "name"), *server = jsonx_str(cluster, "api_address");
    _cleanup_free_ char *ca = m->ca ? base64_of(m->ca) : NULL;
    _cleanup_free_ char *cert = m->cert ? base64_of(m->cert) : NULL;
    _cleanup_free_ char *key = m->key ? base64_of(m->key) : NULL;
    _cleanup_json_ json_t *doc = json_pack(
        "{s:s, s:s, s:[{s:s, s:{s:s, s:s*}}], s:[{s:s, s:{s:s, s:s}}], s:s,"
        " s:[{s:s, s:{s:s*, s:s*}}]}",
        "apiVersion", "v1", "kind", "Config", "clusters", "name", name, "cluster", "server",
        server ? server : "", "certificate-authority-data", ca, "contexts", "name", "default",
        "context", "cluster", name, "user", "admin", "current-context", "default", "users", "name",
        "admin", "user", "client-certificate-data", cert, "client-key-data", key);
    /* JSON is YAML: kubectl reads it as it is */
    _cleanup_free_ char *text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;
    if (!text)
        return err_nomem(e);
    int rc = put_file(dir, "config", text, 0600, e);
    if (key)
        secret_wipe(key, strlen(key));
    secret_wipe(text, strlen(text));
    return rc;
}

/* ---- the user's shell ---- */

void cli_shell_quote(struct str *out, const char *value)
{
    str_append_c(out, '\'');
    for (const char *p = value; *p; p++)
        if (*p == '\'')
            str_append(out, "'\\''");
        else
            str_append_c(out, *p);
    str_append_c(out, '\'');
}

char *cli_export_line(const char *shell, const char *name, const char *value)
{
    bool csh = shell && str_ends(shell, "csh");
    struct str t = STR_INIT;
    str_printf(&t, csh ? "setenv %s " : "export %s=", name);
    cli_shell_quote(&t, value);
    return str_take(&t);
}

/* What is printed is meant for eval: nothing the service says may become a command. */
static void print_export(const char *name, const char *value)
{
    _cleanup_free_ char *line = cli_export_line(getenv("SHELL"), name, value);
    if (line)
        puts(line);
}

/* ---- the command ---- */

struct plan {
    char dir[PATH_MAX]; /* absolute */
    const char *coe;
    bool tls, certs, kubeconfig; /* which files there will be */
};

/* Before anything is asked for or written: no half a set of files, no certificate for nothing. */
static int refuse_existing(const struct plan *p, struct err *e)
{
    static const char *const names[] = {"ca.pem", "cert.pem", "key.pem", "config"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        bool wanted = i == 3 ? p->kubeconfig : p->certs;
        _cleanup_free_ char *path = str_fmt("%s/%s", p->dir, names[i]);
        if (!path)
            return err_nomem(e);
        if (wanted && access(path, F_OK) == 0)
            return err_set(e, ERR_EXISTS, "File %s exists, aborting. (--force replaces it)", path);
    }
    return 0;
}

static int make_plan(const struct cli_args *a, const json_t *template, struct plan *p,
                     struct err *e)
{
    const char *dir = cli_text(a, "dir") ? cli_text(a, "dir") : ".";
    p->coe = jsonx_str(template, "coe");
    p->tls = !jsonx_bool(template, "tls_disabled", false);
    p->kubeconfig = str_eq(p->coe, "kubernetes");
    p->certs = p->tls && (!p->kubeconfig || cli_has(a, "output-certs"));
    int rc = io_mkdirs(dir, 0700, e);
    if (rc == 0 && !realpath(dir, p->dir))
        rc = err_errno(e, errno, "%s", dir);
    return rc == 0 && !cli_has(a, "force") ? refuse_existing(p, e) : rc;
}

static enum cli_exit write_all(const struct plan *p, const json_t *cluster,
                               const struct material *m)
{
    struct err e = ERR_INIT;
    const char *address = jsonx_str(cluster, "api_address");
    int rc = p->certs ? put_material(p->dir, m, &e) : 0;
    if (rc == 0 && p->kubeconfig)
        rc = put_kubeconfig(p->dir, cluster, m, &e);
    if (rc != 0)
        return cli_fail(CLI_FAILED, &e);
    if (p->kubeconfig) {
        _cleanup_free_ char *file = str_fmt("%s/config", p->dir);
        print_export("KUBECONFIG", file ? file : "");
    } else if (str_starts(p->coe, "swarm")) {
        print_export("DOCKER_HOST", address ? address : "");
        print_export("DOCKER_CERT_PATH", p->dir);
        print_export("DOCKER_TLS_VERIFY", p->tls ? "1" : "");
    }
    return CLI_OK;
}

static enum cli_exit config(struct cli *c, const struct cli_args *a, const json_t *cluster,
                            const json_t *template, struct material *m)
{
    struct plan p = {.dir = ""};
    struct err e = ERR_INIT;
    const char *uuid = jsonx_str(cluster, "uuid");
    int rc = uuid ? make_plan(a, template, &p, &e)
                  : err_set(&e, ERR_PROTOCOL, "the service did not say the cluster's uuid");
    if (rc != 0)
        return cli_fail(rc == ERR_EXISTS ? CLI_USAGE : CLI_FAILED, &e);
    if (!jsonx_str(cluster, "api_address"))
        fprintf(stderr, "magnum: warning: the cluster has no API address yet\n");
    enum cli_exit code = p.tls ? fetch_material(c, uuid, m) : CLI_OK;
    return code == CLI_OK ? write_all(&p, cluster, m) : code;
}

enum cli_exit cmd_cluster_config(struct cli *c, const struct cli_args *a)
{
    _cleanup_json_ json_t *cluster = NULL;
    _cleanup_json_ json_t *template = NULL;
    struct material m = {NULL, NULL, NULL};
    enum cli_exit code = cli_get(c, "/v1/clusters", a->words[0], &cluster);
    if (code != CLI_OK)
        return code;
    const char *template_id = jsonx_str(cluster, "cluster_template_id");
    code = cli_get(c, "/v1/clustertemplates", template_id ? template_id : "", &template);
    if (code == CLI_OK)
        code = config(c, a, cluster, template, &m);
    material_done(&m);
    return code;
}
