/* core/certs: what is made verifies with openssl(1), CSR rules of validation.md 11, sealing. */
#include "certs/certs.h"

#include "base/io.h"
#include "support/cunit_main.h"

#include <sys/stat.h>
#include <sys/wait.h>

static struct strv extensions, key_usage;
static struct cert_policy policy;
static char dir[] = "/tmp/magnum-certs-XXXXXX";

static int setup(void)
{
    policy = (struct cert_policy){.key_type = "ec-p256",
                                  .days = 1825,
                                  .allowed_extensions = &extensions,
                                  .allowed_key_usage = &key_usage};
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

/* 15.0.1 had none: neither CAs nor what they sign. */
static void key_identifiers_can_be_left_out(void)
{
    static const bool rows[] = {false, true};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cert_policy p = policy;
        struct cert_pair root = {NULL, SECRET_INIT};
        struct err e = ERR_INIT;
        _cleanup_free_ char *csr = csr_from("rsa:2048", "-subj /CN=x"), *pem = NULL;
        p.no_key_identifier = rows[i];
        ASSERT_OK(certs_ca_make("demo", &p, &root, &e), &e);
        ASSERT_OK(certs_sign_csr(&root, csr, &p, &pem, &e), &e);
        put("ca.pem", root.cert_pem);
        put("x.pem", pem);
        CU_ASSERT(openssl("x509 -in ca.pem -noout -text"));
        CU_ASSERT_EQUAL(output_has("Subject Key Identifier"), !rows[i]);
        CU_ASSERT(openssl("x509 -in x.pem -noout -text"));
        CU_ASSERT_EQUAL(output_has("Subject Key Identifier"), !rows[i]);
        CU_ASSERT(openssl("verify -CAfile ca.pem x.pem"));
        cert_pair_done(&root);
    }
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
    strv_free(&dns);
    CU_ASSERT_EQUAL(strv_add(&ip, "10.0.0.1/8"), 0);
    CU_ASSERT_EQUAL(certs_issue(&root, &rq, &policy, &node, &e), ERR_INVALID);
    CU_ASSERT_STRING_EQUAL(e.msg, "'10.0.0.1/8' can't be a certificate's IP name");
    CU_ASSERT_PTR_NULL(node.cert_pem);
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

/* A key identifier in the CSR (wrong on purpose) gives way to the true one. */
static void the_key_identifier_is_ours(void)
{
    struct err e = ERR_INIT;
    ASSERT_OK(sign_with("-addext subjectKeyIdentifier=01:02:03", &e), &e);
    CU_ASSERT_FALSE(output_has("01:02:03\n"));
    CU_ASSERT(output_has("X509v3 Subject Key Identifier"));
    CU_ASSERT_EQUAL(sign_with("-addext subjectAltName=DER:0404deadbeef", &e), ERR_INVALID);
    CU_ASSERT_STRING_EQUAL(e.msg, "Received invalid csr: its subjectAltName is malformed.");
    CU_ASSERT_EQUAL(sign_with("-addext 1.2.3.4.5=critical,ASN1:NULL", &e), ERR_INVALID);
    CU_ASSERT_STRING_EQUAL(e.msg, "Extension '1.2.3.4.5' not allowed");
}

static void key_kinds(void)
{
    static const struct {
        const char *args, *problem; /* NULL = signed */
    } kinds[] = {
        {"rsa:3072", NULL},
        {"rsa-pss -pkeyopt rsa_keygen_bits:2048", NULL},
        {"ec -pkeyopt ec_paramgen_curve:P-521", NULL},
        {"ed25519", NULL},
        {"ed448", NULL},
        {"rsa:1024", "its 1024 bit RSA key is too weak."},
        {"ec -pkeyopt ec_paramgen_curve:secp160r1", "key is too weak."},
    };
    struct cert_pair root = {NULL, SECRET_INIT};
    ca(&root);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct err e = ERR_INIT;
        _cleanup_free_ char *pem = NULL, *csr = csr_from(kinds[i].args, "-subj /CN=x");
        int rc = certs_sign_csr(&root, csr, &policy, &pem, &e);
        CU_ASSERT_EQUAL(rc, kinds[i].problem ? ERR_INVALID : 0);
        CU_ASSERT_EQUAL(pem == NULL, rc < 0);
        CU_ASSERT(!kinds[i].problem || strstr(e.msg, kinds[i].problem));
        if (rc == 0) {
            put("s.pem", pem);
            CU_ASSERT(openssl("verify -CAfile ca.pem s.pem"));
        }
    }
    CU_ASSERT_FATAL(openssl("dsaparam -genkey -out d.pem 2048"));
    CU_ASSERT_FATAL(openssl("req -new -key d.pem -subj /CN=x -out c.pem"));
    struct err e = ERR_INIT;
    _cleanup_free_ char *path = str_fmt("%s/c.pem", dir), *csr = NULL, *pem = NULL;
    ASSERT_OK(io_read_file(path, 1 << 20, &csr, NULL, &e), &e);
    CU_ASSERT_EQUAL(certs_sign_csr(&root, csr, &policy, &pem, &e), ERR_INVALID);
    CU_ASSERT_STRING_EQUAL(e.msg, "Received invalid csr: its 2048 bit DSA key is not supported.");
    cert_pair_done(&root);
}

/* A key sent by mistake, in any dress, is not in the message. */
static void keys_are_never_echoed(void)
{
    struct cert_pair root = {NULL, SECRET_INIT};
    ca(&root);
    static const char *const makers[] = {
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out k.pem",
        "ecparam -name prime256v1 -genkey -noout -out k.pem",
        "genrsa -out k.pem 2048",
        "genpkey -algorithm ed25519 -out k.pem",
        "genpkey -algorithm ed25519 -aes256 -pass pass:x -out k.pem",
    };
    for (size_t i = 0; i < ARRAY_LEN(makers); i++) {
        struct err e = ERR_INIT;
        _cleanup_free_ char *path = str_fmt("%s/k.pem", dir), *text = NULL, *pem = NULL;
        CU_ASSERT_FATAL(openssl(makers[i]));
        ASSERT_OK(io_read_file(path, 1 << 20, &text, NULL, &e), &e);
        char *body = strchr(text, '\n') + 1;
        _cleanup_free_ char *secret = strndup(body, 40);
        _cleanup_free_ char *bare = strndup(body, strlen(body) - strlen(strstr(body, "-----END")));
        const char *const dresses[] = {text, bare};
        for (size_t k = 0; k < 2; k++) {
            if (k == 1 && strstr(text, "ENCRYPTED")) /* of no use to anybody */
                continue;
            CU_ASSERT_EQUAL(certs_sign_csr(&root, dresses[k], &policy, &pem, &e), ERR_INVALID);
            CU_ASSERT_PTR_NULL(strstr(e.msg, secret));
            CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "it contains a private key"));
        }
        for (char *p = text; *p; p++)
            *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
        CU_ASSERT_EQUAL(certs_sign_csr(&root, text, &policy, &pem, &e), ERR_INVALID);
        CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "it contains a private key"));
    }
    cert_pair_done(&root);
}

static void long_and_odd_texts(void)
{
    struct cert_pair root = {NULL, SECRET_INIT};
    ca(&root);
    struct err e = ERR_INIT;
    _cleanup_free_ char *pem = NULL, *big = malloc(70001);
    memset(big, 'x', 70000);
    big[70000] = '\0';
    CU_ASSERT_EQUAL(certs_sign_csr(&root, big, &policy, &pem, &e), ERR_INVALID);
    CU_ASSERT_STRING_EQUAL(e.msg, "Received invalid csr: it is larger than 65536 bytes.");
    /* the echo ends between characters: the message goes into JSON */
    for (size_t shift = 0; shift < 3; shift++) {
        memset(big, 'x', shift);
        for (size_t i = 0; i < 3000; i += 3)
            memcpy(big + shift + i, "\xe2\x82\xac", 3);
        big[shift + 3000] = '\0';
        CU_ASSERT_EQUAL(certs_sign_csr(&root, big, &policy, &pem, &e), ERR_INVALID);
        _cleanup_json_ json_t *text = json_string(e.msg);
        CU_ASSERT_PTR_NOT_NULL(text);
        CU_ASSERT_EQUAL(strncmp(e.msg, "Received invalid csr ", 21), 0);
        CU_ASSERT_EQUAL(e.msg[strlen(e.msg) - 1], '.');
    }
    /* what openssl prints in front of the block does not matter, nor do the line ends */
    _cleanup_free_ char *csr = csr_from("ed25519", "-subj /CN=x -text");
    ASSERT_OK(certs_sign_csr(&root, csr, &policy, &pem, &e), &e);
    free(pem);
    pem = NULL;
    _cleanup_str_ struct str crlf = STR_INIT;
    for (const char *p = strstr(csr, "-----BEGIN"); *p; p++) {
        if (*p == '\n')
            str_append_c(&crlf, '\r');
        str_append_c(&crlf, *p);
    }
    ASSERT_OK(certs_sign_csr(&root, str_text(&crlf), &policy, &pem, &e), &e);
    cert_pair_done(&root);
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

/* Conductors that start at the same time agree on one key. */
static void a_key_file_is_made_once(void)
{
    _cleanup_free_ char *path = str_fmt("%s/raced", dir);
    pid_t pids[8];
    for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            struct err e = ERR_INIT;
            struct secret key = SECRET_INIT;
            if (certs_key_make(path, &e) < 0 || certs_key_load(path, &key, &e) < 0)
                _exit(255);
            int sum = 0;
            for (size_t k = 0; k < key.len; k++)
                sum = (sum * 31 + (unsigned char)key.data[k]) % 251;
            _exit(sum);
        }
    }
    int first = -1;
    for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
        int status = 0;
        CU_ASSERT_EQUAL(waitpid(pids[i], &status, 0), pids[i]);
        CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) != 255);
        first = first < 0 ? WEXITSTATUS(status) : first;
        CU_ASSERT_EQUAL(WEXITSTATUS(status), first);
    }
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

/* A file in `dir` with these lines. */
static struct seal_keys *keys_of(const char *text)
{
    struct seal_keys *k = NULL;
    struct err e = ERR_INIT;
    _cleanup_free_ char *path = str_fmt("%s/keys", dir);
    ASSERT_OK(io_write_file(path, text, strlen(text), 0600, &e), &e);
    int rc = seal_keys_load(path, &k, &e);
    CU_ASSERT(rc == 0 || (rc == ERR_CONFIG && !k && strstr(e.msg, path)));
    return k;
}

static bool opens(const struct seal_keys *k, const char *sealed)
{
    _cleanup_secret_ struct secret out = SECRET_INIT;
    struct err e = ERR_INIT;
    return seal_keys_open(k, "row-1", sealed, &out, &e) == 0 && strcmp(out.data, "hello") == 0;
}

#define KEY_A "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KEY_B "FEDCBA9876543210FEDCBA9876543210FEDCBA9876543210FEDCBA9876543210"
#define KEY_C "00000000000000000000000000000000000000000000000000000000000000ff"

/* Rotation: the first key seals, those below it still open. */
static void former_keys_open_what_they_sealed(void)
{
    struct err e = ERR_INIT;
    bool all = false;
    _cleanup_free_ char *sealed_a = NULL, *sealed_b = NULL;
    _cleanup_seal_keys_ struct seal_keys *a = keys_of(KEY_A), *b = keys_of(KEY_B "\n");
    _cleanup_seal_keys_ struct seal_keys *ab = keys_of(KEY_A "\n" KEY_B "\n"),
                                         *ba = keys_of("\n" KEY_B "\r\n\r\n" KEY_A),
                                         *c = keys_of(KEY_C "\n\n\n");
    CU_ASSERT_FATAL(a && b && ab && ba && c);
    ASSERT_OK(seal_keys_seal(ab, "row-1", "hello", 5, &sealed_a, &e), &e);
    ASSERT_OK(seal_keys_seal(ba, "row-1", "hello", 5, &sealed_b, &e), &e);
    CU_ASSERT(opens(a, sealed_a) && !opens(b, sealed_a) && opens(ab, sealed_a));
    CU_ASSERT(opens(b, sealed_b) && !opens(a, sealed_b) && opens(ab, sealed_b));
    CU_ASSERT(opens(ba, sealed_a) && opens(ba, sealed_b) && !opens(c, sealed_a));
    CU_ASSERT(seal_keys_succeed(ba, a, &all) && all);
    CU_ASSERT(seal_keys_succeed(ba, ab, &all) && all);
    CU_ASSERT(seal_keys_succeed(b, ba, &all) && !all); /* a former one is gone */
    CU_ASSERT_FALSE(seal_keys_succeed(a, ba, &all));
    CU_ASSERT_FALSE(seal_keys_succeed(c, a, &all));
    _cleanup_secret_ struct secret first = SECRET_INIT;
    _cleanup_free_ char *path = str_fmt("%s/keys", dir);
    put("keys", KEY_B "\n" KEY_A "\n");
    ASSERT_OK(certs_key_load(path, &first, &e), &e);
    CU_ASSERT_EQUAL((unsigned char)first.data[0], 0xfe);
}

static void odd_key_files_are_refused(void)
{
    static const char *const bad[] = {"",
                                      "\n\n",
                                      KEY_A "0",
                                      KEY_A " ",
                                      KEY_A "\nshort\n",
                                      (KEY_A "\n# " KEY_B),
                                      (KEY_A KEY_B),
                                      "g" KEY_A};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CU_ASSERT_PTR_NULL(keys_of(bad[i]));
    _cleanup_str_ struct str many = STR_INIT;
    for (int i = 0; i < 16; i++)
        str_append(&many, KEY_A "\n");
    _cleanup_seal_keys_ struct seal_keys *most = keys_of(str_text(&many));
    CU_ASSERT_PTR_NOT_NULL(most);
    str_append(&many, KEY_A "\n");
    CU_ASSERT_PTR_NULL(keys_of(str_text(&many)));
    _cleanup_seal_keys_ struct seal_keys *raw = keys_of("exactly thirty-two bytes it is!!");
    CU_ASSERT_PTR_NOT_NULL(raw);
}

TEST_MAIN("certs", setup, teardown, TEST(every_key_type_makes_a_ca_that_openssl_accepts),
          TEST(key_identifiers_can_be_left_out), TEST(common_names_end_at_64_characters),
          TEST(node_certificates_carry_names_and_usages), TEST(a_plain_csr_is_signed),
          TEST(extensions_follow_the_rules), TEST(the_key_identifier_is_ours), TEST(key_kinds),
          TEST(keys_are_never_echoed), TEST(long_and_odd_texts), TEST(bad_requests_are_refused),
          TEST(a_key_file_is_made_once), TEST(sealed_values_open_only_where_they_belong),
          TEST(key_files_must_be_private), TEST(former_keys_open_what_they_sealed),
          TEST(odd_key_files_are_refused))
