/* Verdicts of magnum-driver-check as files: whether one is about this plugin, who signed it, and
 * what is kept of it. Signed ones count only when the operator trusts the signer. See
 * driver_manage.h. */
#include "cmd/driver_manage.h"

#include "base/io.h"
#include "base/jsonx.h"
#include "drivers/trust.h"

#include <string.h>
#include <unistd.h>

enum { VERDICT_MAX = 16 << 20, VERDICT_DEPTH = 16 };

/* What is kept of a verdict: counts, and the names of what failed. */
static json_t *summary(const json_t *doc)
{
    json_t *failed = json_array(), *v;
    size_t i;
    json_array_foreach(json_object_get(doc, "results"), i, v)
    {
        if (str_eq(jsonx_str(v, "result"), "failed"))
            json_array_append_new(
                failed, json_sprintf("%s.%s", jsonx_str(v, "group"), jsonx_str(v, "name")));
    }
    bool whole = jsonx_bool(doc, "complete", true);
    const char *result = jsonx_int(doc, "failed", 1) ? "failed"
                         : whole                     ? "passed"
                                                     : "partly passed";
    return json_pack("{s:s,s:I,s:I,s:I,s:s?,s:O?,s:o}", "result", result, "passed",
                     (json_int_t)jsonx_int(doc, "passed", 0), "failed",
                     (json_int_t)jsonx_int(doc, "failed", 0), "skipped",
                     (json_int_t)jsonx_int(doc, "skipped", 0), "kit", jsonx_str(doc, "kit"), "seed",
                     json_object_get(doc, "seed"), "failures", failed);
}

/* Nobody who is trusted made the signature: is the key unknown, or was the file changed? */
static int refuse(const struct config *cfg, const json_t *doc, const char *file, struct err *e)
{
    const char *dir = cfg->drivers_trusted_keys_dir, *key = jsonx_str(doc, "key");
    _cleanup_free_ char *name = NULL;
    int rc = key ? trust_find(dir, key, &name, e) : 0;
    if (rc != 0)
        return rc;
    if (name)
        return err_set(e, ERR_FORBIDDEN,
                       "its signature (%s.sig) is not that of the key %s: it was changed after it "
                       "was signed, or the signature is another file's",
                       file, name);
    return err_set(e, ERR_FORBIDDEN,
                   "its signature (%s.sig) was made by none of the keys in %s%s%s: trust its "
                   "maker's key with magnum-driver-manage keys trust",
                   file, dir, key ? ", but with " : "", key ? key : "");
}

/* *ret: the trusted key's name; NULL = it is not signed. */
static int find_signer(const struct config *cfg, const char *file, const char *text, size_t len,
                       const json_t *doc, char **ret, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("%s.sig", file), *sig = NULL;
    size_t n = 0;
    *ret = NULL;
    if (!path)
        return err_nomem(e);
    if (access(path, F_OK) < 0)
        return 0;
    int rc = io_read_file(path, SIGNATURE_BYTES + 1, &sig, &n, e);
    if (rc != 0 || n != SIGNATURE_BYTES)
        return err_set(e, ERR_INVALID, "%s is no ed25519 signature: those have %d bytes", path,
                       SIGNATURE_BYTES);
    rc = trust_signer(cfg->drivers_trusted_keys_dir, text, len, (const unsigned char *)sig, ret, e);
    return rc == 0 && !*ret ? refuse(cfg, doc, file, e) : rc;
}

int verdict_read(const struct config *cfg, const struct plugin *p, const char *file, json_t **ret,
                 struct err *e)
{
    _cleanup_free_ char *text = NULL, *signer = NULL;
    _cleanup_json_ json_t *doc = NULL, *kept = NULL;
    size_t len = 0;
    int rc = io_read_file(file, VERDICT_MAX, &text, &len, e);
    if (rc == 0)
        rc = jsonx_parse(text, len, VERDICT_DEPTH, &doc, e);
    if (rc == 0)
        rc = find_signer(cfg, file, text, len, doc, &signer, e);
    if (rc != 0)
        return err_wrap(e, "verdict %s", file);
    const char *sum = jsonx_str(json_object_get(doc, "plugin"), "sha256");
    if (!str_eq(sum, p->sha256))
        return err_set(e, ERR_INVALID, "%s is about another file (sha256 %s)", file,
                       sum ? sum : "missing");
    kept = summary(doc);
    if (!kept || json_object_set_new(kept, "signed_by", json_pack("s?", signer)) < 0)
        return err_set(e, ERR_INVALID, "%s is no verdict of magnum-driver-check", file);
    *ret = TAKE_PTR(kept);
    return 0;
}

char *verdict_beside(const struct plugin *p)
{
    static const char ending[] = ".yaml";
    size_t n = strlen(p->manifest_path);
    if (str_ends(p->manifest_path, ending))
        n -= strlen(ending);
    return str_fmt("%.*s.verdict.json", (int)n, p->manifest_path);
}
