/* A certificate manager: what is kept comes back, twice is once, what is gone is gone, and a kill
 * between any two of its calls loses and doubles nothing. */
#include "check.h"

#include "base/jsonx.h"
#include "magnum/cert.h"

#include <string.h>

static struct op op_of(const char *verb)
{
    struct op op = op_create();
    op.iface = MAG_IFACE_CERT_STORE;
    op.verb = verb;
    op.kind = MAG_OP_QUERY;
    return op;
}

static void key_of(const struct world *w, const char *role, char ret[96])
{
    snprintf(ret, 96, "%s/%s/1", w->cluster, role);
}

enum which { PAIR_A, PAIR_B };

static json_t *bundle(const struct world *w, enum which p)
{
    const struct pair *pair = &w->k->pairs[p];
    return json_pack("{s:s,s:s}", "certificate", pair->certificate, "private_key", pair->key);
}

/* PEM says the same with and without a line break at its end. */
static bool same_pem(const char *got, const char *want)
{
    size_t n = strlen(want);
    while (n && want[n - 1] == '\n')
        n--;
    return got && strncmp(got, want, n) == 0 && strspn(got + n, "\n") == strlen(got + n);
}

/* Retryable answers and kills by the kit are repeated, as the conductor does it. */
static struct end insist(struct world *w, const char *verb, json_t *args, json_t **ret)
{
    enum { TRIES = 10 };
    struct op op = op_of(verb);
    _cleanup_json_ json_t *mine = args;
    struct end end = {0};
    for (int i = 0; i < TRIES; i++) {
        if (ret && *ret) {
            json_decref(*ret);
            *ret = NULL;
        }
        end = call_once(w, &op, mine, ret);
        bool killed = end.died_why[0] && end.deaths == 0;
        if (!killed && !(end.rc < 0 && end.flags & MAG_ERR_RETRYABLE) && end.rc != MAG_AGAIN)
            break;
    }
    return end;
}

static bool put(struct world *w, const char *role, enum which p, char ref[256], struct verdict *v,
                const char *what)
{
    char key[96];
    _cleanup_json_ json_t *value = NULL;
    key_of(w, role, key);
    struct end end =
        insist(w, "put", json_pack("{s:s,s:o}", "key", key, "bundle", bundle(w, p)), &value);
    if (!sound(&end, v, what))
        return false;
    const char *got = jsonx_str(value, "ref");
    if (end.rc != MAG_OK || !got || !*got)
        return verdict_fail(v, "%s: put ended with %d %s: %s", what, (int)end.rc, end.reason,
                            end.message);
    snprintf(ref, 256, "%s", got);
    return true;
}

static struct end get(struct world *w, const char *ref, bool with_key, json_t **ret)
{
    json_t *parts = with_key ? json_pack("[s,s]", "certificate", "private_key")
                             : json_pack("[s]", "certificate");
    return insist(w, "get", json_pack("{s:s,s:o}", "ref", ref, "parts", parts), ret);
}

static bool must_get(struct world *w, const char *ref, enum which p, struct verdict *v,
                     const char *what)
{
    _cleanup_json_ json_t *value = NULL;
    bool signs = kit_offers(w->k, MAG_IFACE_CERT_SIGN, NULL);
    struct end end = get(w, ref, !signs, &value);
    if (!sound(&end, v, what))
        return false;
    if (end.rc != MAG_OK || !same_pem(jsonx_str(value, "certificate"), w->k->pairs[p].certificate))
        return verdict_fail(v, "%s: get ended with %d and another certificate: %s", what,
                            (int)end.rc, end.message);
    return signs || same_pem(jsonx_str(value, "private_key"), w->k->pairs[p].key) ||
           verdict_fail(v, "%s: the private key does not come back", what);
}

static bool del(struct world *w, const char *ref, struct verdict *v, const char *what)
{
    struct end end = insist(w, "del", json_pack("{s:s}", "ref", ref), NULL);
    return sound(&end, v, what) &&
           (end.rc == MAG_OK || verdict_fail(v, "%s: del ended with %d %s: %s", what, (int)end.rc,
                                             end.reason, end.message));
}

static bool is_gone(struct world *w, const char *ref, struct verdict *v, const char *what)
{
    _cleanup_json_ json_t *value = NULL;
    struct end end = get(w, ref, false, &value);
    return sound(&end, v, what) &&
           (end.rc == MAG_E_NOT_FOUND ||
            verdict_fail(v, "%s: get answers %d instead of NOT_FOUND", what, (int)end.rc));
}

static void kept(struct kit *k, struct verdict *v)
{
    struct world w;
    char ref[256], again[256], other[256];
    world_init(&w, k);
    bool ok = put(&w, "ca", PAIR_A, ref, v, "put") && must_get(&w, ref, PAIR_A, v, "get") &&
              put(&w, "ca", PAIR_A, again, v, "put again");
    if (ok && !str_eq(ref, again))
        ok = verdict_fail(v, "putting the same twice gives two references");
    ok = ok && put(&w, "client", PAIR_B, other, v, "put another");
    if (ok && str_eq(ref, other))
        ok = verdict_fail(v, "two bundles have one reference");
    ok = ok && must_get(&w, ref, PAIR_A, v, "get the first") &&
         must_get(&w, other, PAIR_B, v, "get the other");
    ok = ok && del(&w, ref, v, "del") && is_gone(&w, ref, v, "after del") &&
         must_get(&w, other, PAIR_B, v, "the other one afterwards") &&
         del(&w, ref, v, "del of what is gone") && del(&w, other, v, "del of the other");
    (void)(ok && world_is_empty(&w, v, "after all dels"));
    world_done(&w);
}

/* The first one wins: nothing is ever overwritten. */
static void conflict(struct kit *k, struct verdict *v)
{
    struct world w;
    char ref[256], key[96];
    world_init(&w, k);
    key_of(&w, "ca", key);
    bool ok = put(&w, "ca", PAIR_A, ref, v, "put");
    struct end end =
        insist(&w, "put", json_pack("{s:s,s:o}", "key", key, "bundle", bundle(&w, PAIR_B)), NULL);
    ok = ok && sound(&end, v, "put of other content under the same key");
    if (ok && end.rc != MAG_E_EXISTS)
        ok = verdict_fail(v, "other content under the same key is answered with %d, not EXISTS",
                          (int)end.rc);
    ok = ok && must_get(&w, ref, PAIR_A, v, "get afterwards") && del(&w, ref, v, "del");
    (void)(ok && world_is_empty(&w, v, "after del"));
    world_done(&w);
}

static void odd_references(struct kit *k, struct verdict *v)
{
    static const char *const refs[] = {"",
                                       "x",
                                       "../../../etc/passwd",
                                       "/etc/passwd",
                                       "http://127.0.0.1:1/v1/secrets/x",
                                       "%2e%2e%2f%00",
                                       "\xc3\xa4\xf0\x9f\x9a\x80",
                                       "a b\nc"};
    struct world w;
    world_init(&w, k);
    for (size_t i = 0; i < ARRAY_LEN(refs) && v->outcome == CHECK_OK; i++) {
        _cleanup_json_ json_t *value = NULL;
        char what[96];
        snprintf(what, sizeof what, "reference '%.60s'", refs[i]);
        struct end end = get(&w, refs[i], true, &value);
        if (sound(&end, v, what) && end.rc == MAG_OK)
            verdict_fail(v, "%s: get answers with something", what);
        end = insist(&w, "del", json_pack("{s:s}", "ref", refs[i]), NULL);
        (void)sound(&end, v, what);
    }
    world_done(&w);
}

static void odd_bundles(struct kit *k, struct verdict *v)
{
    static const char *const keys[] = {"", "..", "a/../../b", "\x01", "x/ca/\xc3\xa4"};
    struct world w;
    world_init(&w, k);
    for (size_t i = 0; i < ARRAY_LEN(keys) && v->outcome == CHECK_OK; i++) {
        _cleanup_json_ json_t *value = NULL;
        struct end end =
            insist(&w, "put", json_pack("{s:s,s:o}", "key", keys[i], "bundle", bundle(&w, PAIR_A)),
                   &value);
        if (sound(&end, v, "put under an odd key") && end.rc == MAG_OK)
            (void)del(&w, jsonx_str(value, "ref") ? jsonx_str(value, "ref") : "", v, "its del");
    }
    world_done(&w);
}

static bool crash_at(struct kit *k, unsigned at, bool after, bool deleting, unsigned *ret_touches,
                     struct verdict *v)
{
    struct world w;
    char ref[256], again[256], what[120];
    snprintf(what, sizeof what, "%s killed %s touch %u", deleting ? "del" : "put",
             after ? "after" : "before", at);
    world_init(&w, k);
    bool ok = !deleting || put(&w, "ca", PAIR_A, ref, v, "put");
    world_plan(&w);
    w.kill_at = at;
    w.kill_after = after;
    if (deleting)
        ok = ok && del(&w, ref, v, what);
    else
        ok = ok && put(&w, "ca", PAIR_A, ref, v, what);
    *ret_touches = w.touches;
    if (!deleting)
        ok = ok && must_get(&w, ref, PAIR_A, v, what) && put(&w, "ca", PAIR_A, again, v, what) &&
             (str_eq(ref, again) || verdict_fail(v, "%s: kept twice", what)) &&
             del(&w, ref, v, what);
    ok = ok && world_is_empty(&w, v, what);
    world_done(&w);
    return ok;
}

static void crash_walk(struct kit *k, struct verdict *v)
{
    bool any = false;
    for (int deleting = 0; deleting < 2; deleting++) {
        unsigned touches = 0, ignored;
        if (!crash_at(k, 0, false, deleting, &touches, v))
            return;
        for (unsigned i = 1; i <= touches && i <= (unsigned)k->max_points; i++) {
            any = true;
            if (kit_skips(k, v, i))
                continue;
            if (!crash_at(k, i, false, deleting, &ignored, v) ||
                !crash_at(k, i, true, deleting, &ignored, v))
                return;
        }
    }
    if (!any)
        verdict_skip(v, "it asks nothing of the host; kill it in its own tests");
}

static void fault_walk(struct kit *k, struct verdict *v)
{
    bool any = false, hit = true;
    for (unsigned i = 1; hit && i <= (unsigned)k->max_points; i++) {
        if (kit_skips(k, v, i))
            continue;
        hit = false;
        for (int f = FAULT_401; f < FAULT_END; f++) {
            struct world w;
            char ref[256] = "", key[96], what[160];
            _cleanup_json_ json_t *value = NULL;
            snprintf(what, sizeof what, "put with %s at request %u", fault_name((enum fault)f), i);
            world_init(&w, k);
            key_of(&w, "ca", key);
            w.fault_at = i;
            w.fault = (enum fault)f;
            struct end end =
                insist(&w, "put", json_pack("{s:s,s:o}", "key", key, "bundle", bundle(&w, PAIR_A)),
                       &value);
            hit |= w.faulted;
            any |= w.faulted;
            world_plan(&w);
            /* whatever became of it: afterwards it can be kept, read and removed, once */
            bool ok = sound(&end, v, what) && put(&w, "ca", PAIR_A, ref, v, what) &&
                      must_get(&w, ref, PAIR_A, v, what) && del(&w, ref, v, what) &&
                      world_is_empty(&w, v, what);
            world_done(&w);
            if (!ok)
                return;
        }
    }
    if (!any)
        verdict_skip(v, "it asks nothing over HTTP");
}

static void secrets(struct kit *k, struct verdict *v)
{
    struct world w;
    char ref[256], where[128];
    world_init(&w, k);
    if (put(&w, "ca", PAIR_A, ref, v, "put") && must_get(&w, ref, PAIR_A, v, "get")) {
        if (world_leaks(&w, k->pairs[PAIR_A].canary, where))
            verdict_fail(v, "the private key stands in %s", where);
        (void)del(&w, ref, v, "del");
    }
    world_done(&w);
}

const struct check_case cases_cert[] = {{"store", "kept", kept},
                                        {"store", "conflict", conflict},
                                        {"input", "references", odd_references},
                                        {"input", "bundles", odd_bundles},
                                        {"crash", "walk", crash_walk},
                                        {"fault", "walk", fault_walk},
                                        {"secrets", "canaries", secrets}};
const size_t cases_cert_count = ARRAY_LEN(cases_cert);
