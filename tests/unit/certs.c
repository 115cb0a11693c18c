/* core/certs: what is made verifies with openssl(1), CSR rules of validation.md 11, sealing. */
#include "certs/certs.h"

#include "base/io.h"
#include "support/cunit_main.h"

#include <sys/stat.h>

static struct strv extensions, key_usage;
static struct cert_policy policy;
static char dir[] = "/tmp/magnum-certs-XXXXXX";

static int setup(void)
{
    policy = (struct cert_policy){"ec-p256", 1825, false, &extensions, &key_usage};
    return !mkdtemp(dir) ||
           strv_split(&extensions,
                      "keyUsage,extendedKeyUsage,subjectAltName,basicConstraints,"
                      "subjectKeyIdentifier",
                      ',') ||
           strv_split(&key_usage, "Digital Signature,Key Encipherment,Non Repudiation", ',');
}

static int teardown(void)
{
    strv_free(&extensions);
    strv_free(&key_usage);
    _cleanup_free_ char *cmd = str_fmt("rm -rf %s", dir);
    return system(cmd);
}

static void put(const char *name, const char *text)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *path = str_fmt("%s/%s", dir, name);
    _cleanup_free_ char *line = str_fmt("%s\n", text);
    ASSERT_OK(io_write_file(path, line, strlen(line), 0600, &e), &e);
}

/* Runs openssl(1) in the test's directory; true when it succeeds. */
static bool openssl(const char *args)
{
    _cleanup_free_ char *cmd = str_fmt("cd %s && openssl %s >out.txt 2>&1", dir, args);
    return system(cmd) == 0;
}

static bool output_has(const char *text)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *path = str_fmt("%s/out.txt", dir), *all = NULL;
    return io_read_file(path, 1 << 20, &all, NULL, &e) == 0 && strstr(all, text) != NULL;
}

static char *csr_from(const char *key_args, const char *req_args)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *cmd =
        str_fmt("req -new -nodes -newkey %s -keyout k.pem -out c.pem %s", key_args, req_args);
    _cleanup_free_ char *path = str_fmt("%s/c.pem", dir);
    char *text = NULL;
    CU_ASSERT_FATAL(openssl(cmd));
    ASSERT_OK(io_read_file(path, 1 << 20, &text, NULL, &e), &e);
    return text;
}

static void ca(struct cert_pair *ret)
{
    struct err e = ERR_INIT;
    ASSERT_OK(certs_ca_make("demo", &policy, ret, &e), &e);
    put("ca.pem", ret->cert_pem);
}

static void every_key_type_makes_a_ca_that_openssl_accepts(void)
{
    static const char *const types[] = {"ec-p256", "ec-p384", "rsa-2048", "rsa-4096"};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct err e = ERR_INIT;
        struct cert_pair p = {NULL, SECRET_INIT};
        struct cert_policy other = policy;
        other.key_type = types[i];
        ASSERT_OK(certs_ca_make("demo", &other, &p, &e), &e);
        put("ca.pem", p.cert_pem);
        CU_ASSERT(openssl("verify -CAfile ca.pem ca.pem"));
        CU_ASSERT(openssl("x509 -in ca.pem -noout -text"));
        CU_ASSERT(output_has("X509v3 Basic Constraints: critical"));
        CU_ASSERT(output_has("CA:TRUE, pathlen:0"));
        CU_ASSERT(output_has("Certificate Sign"));
        CU_ASSERT_FALSE(output_has("CRL Sign"));
        cert_pair_done(&p);
    }
    struct err e = ERR_INIT;
    struct cert_pair p = {NULL, SECRET_INIT};
    struct cert_policy bad = policy;
    bad.key_type = "rsa-512";
    CU_ASSERT_EQUAL(certs_ca_make("demo", &bad, &p, &e), ERR_CONFIG);
    CU_ASSERT_PTR_NULL(p.cert_pem);
}

static void common_names_end_at_64_characters(void)
{
    struct err e = ERR_INIT;
    struct cert_pair p = {NULL, SECRET_INIT};
    char name[66];
    memset(name, 'x', 65);
    name[65] = '\0';
    CU_ASSERT_EQUAL(certs_ca_make(name, &policy, &p, &e), ERR_INVALID);
    ASSERT_OK(certs_ca_make(name + 1, &policy, &p, &e), &e);
    cert_pair_done(&p);
}

static void node_certificates_carry_names_and_usages(void)
{
    struct err e = ERR_INIT;
    struct cert_pair root = {NULL, SECRET_INIT}, node = {NULL, SECRET_INIT};
    _cleanup_strv_ struct strv dns = STRV_INIT, ip = STRV_INIT;
    ca(&root);
    CU_ASSERT_EQUAL(strv_add(&dns, "n1") | strv_add(&ip, "10.77.0.11") | strv_add(&ip, "::1"), 0);
    struct cert_request rq = {"n1", NULL, &dns, &ip, true, true, 30};
    ASSERT_OK(certs_issue(&root, &rq, &policy, &node, &e), &e);
    put("n.pem", node.cert_pem);
    CU_ASSERT(openssl("verify -CAfile ca.pem -purpose sslserver -verify_ip 10.77.0.11 n.pem"));
    CU_ASSERT(openssl("verify -CAfile ca.pem -purpose sslclient -verify_hostname n1 n.pem"));
    CU_ASSERT_FALSE(openssl("verify -CAfile ca.pem -verify_hostname n2 n.pem"));
    cert_pair_done(&node);
    /* names are data, not OpenSSL's extension language */
    CU_ASSERT_EQUAL(strv_add(&dns, "a,IP:1.2.3.4"), 0);
    CU_ASSERT_EQUAL(certs_issue(&root, &rq, &policy, &node, &e), ERR_INVALID);
    cert_pair_done(&root);
}

static void a_plain_csr_is_signed(void)
{
    struct err e = ERR_INIT;
    struct cert_pair root = {NULL, SECRET_INIT};
    _cleanup_free_ char *pem = NULL;
    ca(&root);
    _cleanup_free_ char *csr = csr_from("rsa:2048", "-subj /O=system:masters/CN=admin");
    ASSERT_OK(certs_sign_csr(&root, csr, &policy, &pem, &e), &e);
    put("s.pem", pem);
    CU_ASSERT(openssl("verify -CAfile ca.pem s.pem"));
    CU_ASSERT(openssl("x509 -in s.pem -noout -subject -issuer -ext subjectKeyIdentifier"));
    CU_ASSERT(output_has("system:masters"));
    CU_ASSERT(output_has("CN = demo"));
    cert_pair_done(&root);
}

/* Signs a CSR with extensions; the code, and the certificate's text in out.txt when 0. */
static int sign_with(const char *addext, struct err *e)
{
    struct cert_pair root = {NULL, SECRET_INIT};
    _cleanup_free_ char *pem = NULL;
    ca(&root);
    _cleanup_free_ char *args = str_fmt("-subj /CN=x %s", addext);
    _cleanup_free_ char *csr = csr_from("ec -pkeyopt ec_paramgen_curve:P-256", args);
    int rc = certs_sign_csr(&root, csr, &policy, &pem, e);
    if (rc == 0) {
        put("s.pem", pem);
        CU_ASSERT(openssl("x509 -in s.pem -noout -text"));
    }
    cert_pair_done(&root);
    return rc;
}

static void extensions_follow_the_rules(void)
{
    struct err e = ERR_INIT;
    ASSERT_OK(
        sign_with("-addext subjectAltName=DNS:a.example -addext extendedKeyUsage=clientAuth", &e),
        &e);
    CU_ASSERT(output_has("DNS:a.example"));
    CU_ASSERT(output_has("TLS Web Client Authentication"));
    /* not allowed: dropped when not critical, refused when critical */
    ASSERT_OK(sign_with("-addext tlsfeature=status_request", &e), &e);
    CU_ASSERT_FALSE(output_has("TLS Feature"));
    CU_ASSERT_EQUAL(sign_with("-addext tlsfeature=critical,status_request", &e), ERR_INVALID);
    CU_ASSERT_STRING_EQUAL(e.msg, "Extension 'tlsfeature' not allowed");
    /* CA rights: replaced when not critical, refused when critical */
    ASSERT_OK(sign_with("-addext basicConstraints=CA:TRUE", &e), &e);
    CU_ASSERT(output_has("CA:FALSE"));
    CU_ASSERT_FALSE(output_has("CA:TRUE"));
    CU_ASSERT_EQUAL(sign_with("-addext basicConstraints=critical,CA:TRUE", &e), ERR_INVALID);
    /* key usage bits: cleared when not critical, refused when critical, kept when allowed */
    ASSERT_OK(sign_with("-addext keyUsage=digitalSignature,keyCertSign,cRLSign", &e), &e);
    CU_ASSERT(output_has("Digital Signature"));
    CU_ASSERT_FALSE(output_has("Certificate Sign"));
    CU_ASSERT_FALSE(output_has("CRL Sign"));
    CU_ASSERT_EQUAL(sign_with("-addext keyUsage=critical,keyCertSign", &e), ERR_INVALID);
    CU_ASSERT_STRING_EQUAL(e.msg, "Extension 'keyUsage' not allowed");
    ASSERT_OK(sign_with("-addext keyUsage=critical,digitalSignature,keyEncipherment", &e), &e);
    CU_ASSERT(output_has("X509v3 Key Usage: critical"));
    CU_ASSERT(output_has("Digital Signature, Key Encipherment"));
    policy.allow_ca = true;
    ASSERT_OK(sign_with("-addext basicConstraints=critical,CA:TRUE "
                        "-addext keyUsage=critical,keyCertSign",
                        &e),
              &e);
    policy.allow_ca = false;
    CU_ASSERT(output_has("CA:TRUE"));
    CU_ASSERT(output_has("Certificate Sign"));
}

static void bad_requests_are_refused(void)
{
    struct cert_pair root = {NULL, SECRET_INIT};
    _cleanup_free_ char *pem = NULL;
    ca(&root);
    _cleanup_free_ char *good = csr_from("rsa:2048", "-subj /CN=x");
    _cleanup_free_ char *twice = str_fmt("%s%s", good, good);
    _cleanup_free_ char *weak = csr_from("rsa:1024", "-subj /CN=x");
    _cleanup_free_ char *cut = strndup(good, strlen(good) / 2);
    _cleanup_free_ char *tampered = strdup(good);
    /* one changed character in the middle of the base64 breaks the CSR's own signature */
    char *mid = tampered + strlen(tampered) / 2;
    *mid = *mid == 'A' ? 'B' : 'A';
    const char *const bad[] = {"",
                               "garbage",
                               twice,
                               weak,
                               cut,
                               tampered,
                               "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"
                               "-----END CERTIFICATE REQUEST-----\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = ERR_INIT;
        CU_ASSERT_EQUAL(certs_sign_csr(&root, bad[i], &policy, &pem, &e), ERR_INVALID);
        CU_ASSERT_EQUAL(strncmp(e.msg, "Received invalid csr", 20), 0);
        CU_ASSERT_PTR_NULL(pem);
    }
    struct err e = ERR_INIT;
    _cleanup_free_ char *key = str_fmt("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n%s", good);
    CU_ASSERT_EQUAL(certs_sign_csr(&root, key, &policy, &pem, &e), ERR_INVALID);
    CU_ASSERT_PTR_NULL(strstr(e.msg, "c2VjcmV0")); /* never echoed */
    cert_pair_done(&root);
}

static void sealed_values_open_only_where_they_belong(void)
{
    struct err e = ERR_INIT;
    _cleanup_secret_ struct secret key = SECRET_INIT, other = SECRET_INIT, plain = SECRET_INIT;
    _cleanup_free_ char *a = NULL, *b = NULL;
    CU_ASSERT_EQUAL(secret_set(&key, "0123456789abcdef0123456789abcdef", 32), 0);
    CU_ASSERT_EQUAL(secret_set(&other, "1123456789abcdef0123456789abcdef", 32), 0);
    ASSERT_OK(certs_seal(&key, "row-1", "hello", 5, &a, &e), &e);
    ASSERT_OK(certs_seal(&key, "row-1", "hello", 5, &b, &e), &e);
    CU_ASSERT_STRING_NOT_EQUAL(a, b); /* a fresh nonce each time */
    ASSERT_OK(certs_unseal(&key, "row-1", a, &plain, &e), &e);
    CU_ASSERT_STRING_EQUAL(plain.data, "hello");
    CU_ASSERT_EQUAL(certs_unseal(&key, "row-2", a, &plain, &e), ERR_INVALID);
    CU_ASSERT_EQUAL(certs_unseal(&other, "row-1", a, &plain, &e), ERR_INVALID);
    CU_ASSERT_STRING_EQUAL(plain.data, "hello"); /* untouched by failures */
    for (size_t i = 3; i < strlen(a); i++) {     /* every single character counts */
        char was = a[i];
        a[i] = was == 'A' ? 'B' : 'A';
        _cleanup_secret_ struct secret out = SECRET_INIT;
        CU_ASSERT_NOT_EQUAL(certs_unseal(&key, "row-1", a, &out, &e), 0);
        a[i] = was;
    }
    static const char *const bad[] = {"", "v1:", "v2:AAAA", "v1:AAAA", "v1:????", "hello"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CU_ASSERT_EQUAL(certs_unseal(&key, "row-1", bad[i], &plain, &e), ERR_INVALID);
}

static void key_files_must_be_private(void)
{
    struct err e = ERR_INIT;
    _cleanup_secret_ struct secret key = SECRET_INIT, again = SECRET_INIT;
    _cleanup_free_ char *path = str_fmt("%s/key", dir);
    CU_ASSERT_EQUAL(certs_key_load(path, &key, &e), ERR_NOT_FOUND);
    ASSERT_OK(certs_key_make(path, &e), &e);
    ASSERT_OK(certs_key_load(path, &key, &e), &e);
    CU_ASSERT_EQUAL(key.len, 32);
    ASSERT_OK(certs_key_make(path, &e), &e); /* an existing key stays */
    ASSERT_OK(certs_key_load(path, &again, &e), &e);
    CU_ASSERT_EQUAL(memcmp(key.data, again.data, 32), 0);
    CU_ASSERT_EQUAL(chmod(path, 0640), 0);
    CU_ASSERT_EQUAL(certs_key_load(path, &key, &e), ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "chmod 600"));
    put("short", "abcdef");
    _cleanup_free_ char *short_path = str_fmt("%s/short", dir);
    CU_ASSERT_EQUAL(certs_key_load(short_path, &key, &e), ERR_CONFIG);
}

TEST_MAIN("certs", setup, teardown, TEST(every_key_type_makes_a_ca_that_openssl_accepts),
          TEST(common_names_end_at_64_characters), TEST(node_certificates_carry_names_and_usages),
          TEST(a_plain_csr_is_signed), TEST(extensions_follow_the_rules),
          TEST(bad_requests_are_refused), TEST(sealed_values_open_only_where_they_belong),
          TEST(key_files_must_be_private))
