/* What a run found: TAP as it goes, JUnit and the JSON verdict at its end. The verdict can be
 * signed: an operator who trusts the key need not run the kit again. See check.h. */
#include "report.h"

#include "drivers/bundle.h"

#include "base/io.h"
#include "base/jsonx.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>
#include <unistd.h>

size_t report_count(const struct report *r, enum outcome o)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++)
        n += r->results[i].v.outcome == o;
    return n;
}

/* ---- TAP ---- */

void report_begin(const struct report *r)
{
    printf("TAP version 13\n1..%zu\n", r->n);
}

void report_result(const struct report *r, size_t i)
{
    const struct result *res = &r->results[i];
    const struct verdict *v = &res->v;
    printf("%sok %zu - %s.%s%s%s\n", v->outcome == CHECK_FAILED ? "not " : "", i + 1, res->c->group,
           res->c->name, v->outcome == CHECK_SKIPPED ? " # SKIP " : "",
           v->outcome == CHECK_SKIPPED ? v->why : "");
    if (v->outcome == CHECK_FAILED)
        printf("# %s\n", v->why);
    if (v->outcome == CHECK_FAILED && v->point)
        printf("# again: --include '^%s[.]%s$' --reproduce %llu/%u\n", res->c->group, res->c->name,
               (unsigned long long)r->seed, v->point);
    (void)fflush(stdout);
}

/* ---- JUnit ---- */

static void xml_text(FILE *f, const char *text)
{
    for (const char *p = text; *p; p++) {
        static const char special[] = "<>&\"";
        static const char *const names[] = {"&lt;", "&gt;", "&amp;", "&quot;"};
        const char *at = strchr(special, *p);
        if (at)
            (void)fputs(names[at - special], f);
        else
            (void)fputc(*p, f);
    }
}

static int write_junit(const struct report *r, const char *path, struct err *e)
{
    FILE *f = fopen(path, "we");
    if (!f)
        return err_errno(e, errno, "%s", path);
    fprintf(f,
            "<?xml version=\"1.0\"?>\n<testsuite name=\"%s\" tests=\"%zu\" failures=\"%zu\" "
            "skipped=\"%zu\">\n",
            r->plugin->id, r->n, report_count(r, CHECK_FAILED), report_count(r, CHECK_SKIPPED));
    for (size_t i = 0; i < r->n; i++) {
        const struct result *res = &r->results[i];
        fprintf(f, " <testcase classname=\"%s\" name=\"%s\" time=\"%lld.%03lld\">", res->c->group,
                res->c->name, (long long)res->v.ms / 1000, (long long)res->v.ms % 1000);
        if (res->v.outcome != CHECK_OK) {
            fprintf(f, "<%s message=\"", res->v.outcome == CHECK_FAILED ? "failure" : "skipped");
            xml_text(f, res->v.why);
            fprintf(f, "\"/>");
        }
        fprintf(f, "</testcase>\n");
    }
    fprintf(f, "</testsuite>\n");
    return fclose(f) == 0 ? 0 : err_errno(e, errno, "%s", path);
}

/* ---- the verdict ---- */

/* Of the key that signs it, so that a reader can tell an unknown key from a changed file; "" =
 * none.
 */
static void fingerprint_of(EVP_PKEY *key, char ret[65])
{
    struct err e = ERR_INIT;
    char *pem = NULL;
    BIO *b = key ? BIO_new(BIO_s_mem()) : NULL;
    long len = b && PEM_write_bio_PUBKEY(b, key) == 1 ? BIO_get_mem_data(b, &pem) : 0;
    if (len <= 0 || bundle_key_check(pem, (size_t)len, ret, &e) != 0)
        *ret = '\0';
    BIO_free(b);
}

static json_t *verdict_document(const struct report *r, EVP_PKEY *key)
{
    static const char *const names[] = {"passed", "failed", "skipped"};
    const struct plugin *p = r->plugin;
    json_t *results = json_array();
    int64_t ms = 0;
    char fingerprint[65];
    fingerprint_of(key, fingerprint);
    for (size_t i = 0; results && i < r->n; i++) {
        const struct result *res = &r->results[i];
        ms += res->v.ms;
        json_array_append_new(results,
                              json_pack("{s:s,s:s,s:s,s:s,s:I}", "group", res->c->group, "name",
                                        res->c->name, "result", names[res->v.outcome], "detail",
                                        res->v.why, "milliseconds", (json_int_t)res->v.ms));
    }
    return json_pack("{s:i,s:s,s:s*,s:{s:s,s:s,s:s?,s:s},s:I,s:b,s:I,s:I,s:I,s:I,s:o}", "verdict",
                     1, "kit", MAGNUM_VERSION, "key", *fingerprint ? fingerprint : NULL, "plugin",
                     "id", p->id, "version", p->version, "vendor", p->vendor, "sha256", p->sha256,
                     "seed", (json_int_t)r->seed, "complete", r->complete, "passed",
                     (json_int_t)report_count(r, CHECK_OK), "failed",
                     (json_int_t)report_count(r, CHECK_FAILED), "skipped",
                     (json_int_t)report_count(r, CHECK_SKIPPED), "milliseconds", (json_int_t)ms,
                     "results", results);
}

int report_key_read(const char *path, EVP_PKEY **ret, struct err *e)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return err_errno(e, errno, "%s", path);
    *ret = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    (void)fclose(f);
    if (*ret && EVP_PKEY_get_base_id(*ret) == EVP_PKEY_ED25519)
        return 0;
    EVP_PKEY_free(*ret);
    *ret = NULL;
    return err_set(e, ERR_INVALID,
                   "%s is no private Ed25519 key in PEM (openssl genpkey -algorithm ed25519)",
                   path);
}

/* The raw signature of the file's bytes beside it: what openssl pkeyutl -rawin verifies. */
static int write_signature(EVP_PKEY *key, const char *path, const char *text, struct err *e)
{
    unsigned char sig[64];
    size_t len = sizeof sig;
    _cleanup_free_ char *to = str_fmt("%s.sig", path);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = to && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestSign(ctx, sig, &len, (const unsigned char *)text, strlen(text)) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok)
        return err_set(e, ERR_INTERNAL, "cannot sign the verdict");
    FILE *f = fopen(to, "we");
    bool written = f && fwrite(sig, 1, len, f) == len;
    return f && fclose(f) == 0 && written ? 0 : err_errno(e, errno, "%s", to);
}

static int write_verdict(const struct report *r, const char *path, EVP_PKEY *key, struct err *e)
{
    _cleanup_json_ json_t *doc = verdict_document(r, key);
    _cleanup_free_ char *text = doc ? json_dumps(doc, JSON_INDENT(1)) : NULL;
    if (!text)
        return err_nomem(e);
    FILE *f = fopen(path, "we");
    bool written = f && fputs(text, f) >= 0;
    if (!f || fclose(f) != 0 || !written)
        return err_errno(e, errno, "%s", path);
    if (key)
        return write_signature(key, path, text, e);
    _cleanup_free_ char *old = str_fmt("%s.sig", path);
    if (old && unlink(old) < 0 && errno != ENOENT) /* it would be another verdict's */
        return err_errno(e, errno, "%s", old);
    return old ? 0 : err_nomem(e);
}

int report_end(const struct report *r, const char *junit, const char *json, EVP_PKEY *key,
               struct err *e)
{
    printf("# %s %s (%.12s): %zu passed, %zu failed, %zu skipped\n", r->plugin->id,
           r->plugin->version, r->plugin->sha256, report_count(r, CHECK_OK),
           report_count(r, CHECK_FAILED), report_count(r, CHECK_SKIPPED));
    int rc = junit ? write_junit(r, junit, e) : 0;
    return rc == 0 && json ? write_verdict(r, json, key, e) : rc;
}
