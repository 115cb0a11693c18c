/* The plugin: mag.cert.store/1 over a directory of this machine. Configuration (section
 * driver_config, org.magnum.certs-local): storage_path, key_file or passphrase_file.
 * Neighbours: store.h. */
#include "lib/driver.h"
#include "store.h"

#include <magnum/cert.h>

#include <string.h>

#define DEFAULT_PATH "/var/lib/magnum/certificates"
#define BY_KEY "key:"

static const struct {
    uint32_t part;
    const char *name;
} parts[] = {{MAG_CERT_CERTIFICATE, "certificate"},
             {MAG_CERT_CHAIN, "chain"},
             {MAG_CERT_KEY, "private_key"},
             {MAG_CERT_PASSPHRASE, "passphrase"}};
enum { SECRETS = MAG_CERT_KEY | MAG_CERT_PASSPHRASE };

/* A reference is the key itself. */
static const char *key_of(const char *ref)
{
    return strncmp(ref, BY_KEY, strlen(BY_KEY)) == 0 ? ref + strlen(BY_KEY) : ref;
}

static int32_t local_put(void *self, const mag_op *op, const char *key, mag_bytes bundle,
                         mag_cert_ref *out, mag_error *err)
{
    json_t *doc = NULL;
    (void)op;
    int32_t rc = mag_json_parse(bundle, "the bundle", &doc, err);
    if (rc == MAG_OK && strlen(key) >= sizeof out->ref)
        rc = mag_fail(err, MAG_E_INVALID, 0, "BadKey", NULL, "the key of the bundle is too long");
    if (rc == MAG_OK)
        rc = store_put(self, key, doc, err);
    if (rc == MAG_OK)
        memcpy(out->ref, key, strlen(key) + 1);
    mag_wipe_json(&doc);
    return rc;
}

static int32_t hand_over(const json_t *doc, uint32_t wanted, mag_cert_sink *sink)
{
    int32_t rc = MAG_OK;
    for (size_t i = 0; rc == MAG_OK && i < MAG_LEN(parts); i++) {
        const char *text = mag_json_text(doc, parts[i].name, NULL);
        if (text && (wanted & parts[i].part))
            rc = sink->part(sink->ctx, parts[i].part, mag_text(text));
    }
    return rc;
}

static int32_t local_get(void *self, const mag_op *op, const mag_cert_ref *ref, uint32_t wanted,
                         mag_cert_sink *sink, mag_error *err)
{
    json_t *doc = NULL;
    (void)op;
    if ((wanted & SECRETS) && !sink->secret)
        return mag_fail(err, MAG_E_DENIED, 0, "NotSecret", NULL,
                        "a key is given to a secret sink only");
    int32_t rc = store_get(self, key_of(ref->ref), (wanted & SECRETS) != 0, &doc, err);
    if (rc == MAG_OK && hand_over(doc, wanted, sink) != MAG_OK)
        rc = mag_fail(err, MAG_E_INTERNAL, 0, "SinkFailed", NULL, "the host took no part");
    mag_wipe_json(&doc);
    return rc;
}

static int32_t local_del(void *self, const mag_op *op, const mag_cert_ref *ref, mag_error *err)
{
    (void)op;
    return store_delete(self, key_of(ref->ref), err);
}

static int32_t local_create(const mag_host *host, void **self, mag_error *err)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return mag_fail_nomem(err);
    s->path = mag_config(host, "storage_path", DEFAULT_PATH);
    s->master.key_file = mag_config(host, "key_file", NULL);
    if (!s->master.key_file)
        s->master.passphrase_file = mag_config(host, "passphrase_file", NULL);
    *self = s;
    return MAG_OK;
}

static void local_destroy(void *self)
{
    free(self);
}

static int32_t local_probe(void *self, mag_error *err)
{
    return store_check(self, err);
}

static const void *local_interface(void *self, const char *id)
{
    static const mag_cert_store store = {
        .struct_size = sizeof store, .put = local_put, .get = local_get, .del = local_del};
    (void)self;
    return strcmp(id, MAG_IFACE_CERT_STORE) == 0 ? &store : NULL;
}

MAG_PLUGIN_ENTRY(.id = "org.magnum.certs-local", .version = "0.1.0", .vendor = "Magnum",
                 .create = local_create, .destroy = local_destroy, .probe = local_probe,
                 .get_interface = local_interface)
