/* The plugin: mag.cert.store/1 over Barbican. A bundle is a container of type certificate, named by
 * its key, with the roles that Magnum has always used; its secrets are named by the key and the
 * role. The container is made last and deleted last: what has no container is no bundle, and what
 * a crash left of one is found by its name.
 *
 * Containers that the former Magnum made are read and deleted all the same: they are found by URL.
 * Neighbours: barbican.h. */
#include "barbican.h"

#include "lib/driver.h"

#include <magnum/cert.h>

#include <stdio.h>
#include <string.h>

#define BY_KEY "key:"
enum { NAME_MAX_LEN = 255, SECRETS = MAG_CERT_KEY | MAG_CERT_PASSPHRASE };

static const struct part {
    uint32_t part;
    const char *name; /* in a bundle */
    const char *role; /* in a container */
} parts[] = {{MAG_CERT_CERTIFICATE, "certificate", "certificate"},
             {MAG_CERT_CHAIN, "chain", "intermediates"},
             {MAG_CERT_KEY, "private_key", "private_key"},
             {MAG_CERT_PASSPHRASE, "passphrase", "private_key_passphrase"}};

struct manager {
    const mag_host *host;
};

static struct barbican session(const struct manager *m, const mag_op *op)
{
    return (struct barbican){.host = m->host, .op = op};
}

static int32_t secret_name(const char *key, const struct part *p, char ret[NAME_MAX_LEN],
                           mag_error *err)
{
    int n = snprintf(ret, NAME_MAX_LEN, "%s/%s", key, p->role);
    return n < NAME_MAX_LEN ? MAG_OK
                            : mag_fail(err, MAG_E_INVALID, 0, "BadKey", NULL,
                                       "the key of the bundle is too long");
}

static const char *url_of_role(const json_t *container, const char *role)
{
    size_t i;
    json_t *v;
    json_array_foreach(mag_json_at(container, "secret_refs"), i, v)
    {
        if (strcmp(mag_json_text(v, "name", ""), role) == 0)
            return mag_json_text(v, "secret_ref", NULL);
    }
    return NULL;
}

static mag_bytes trimmed(mag_bytes b)
{
    const char *s = b.data ? b.data : "";
    while (b.len && strchr(" \t\r\n", s[b.len - 1]))
        b.len--;
    while (b.len && strchr(" \t\r\n", *s)) {
        s++;
        b.len--;
    }
    b.data = s;
    return b;
}

/* Barbican strips what it is given. */
static bool equal(mag_bytes bytes, const char *text)
{
    const mag_bytes a = trimmed(bytes), b = trimmed(mag_text(text));
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* ---- put ---- */
/* Does the container hold just this bundle? */
static int32_t compare(const struct barbican *b, const json_t *container, const json_t *bundle,
                       bool *ret, mag_error *err)
{
    *ret = true;
    for (size_t i = 0; *ret && i < MAG_LEN(parts); i++) {
        const char *text = mag_json_text(bundle, parts[i].name, NULL);
        const char *url = url_of_role(container, parts[i].role);
        mag_bytes payload = {0};
        if (!text || !url) {
            *ret = !text && !url;
            continue;
        }
        int32_t rc = barbican_payload(b, url, &payload, err);
        if (rc != MAG_OK && rc != MAG_E_NOT_FOUND)
            return rc;
        *ret = rc == MAG_OK && equal(payload, text);
    }
    return MAG_OK;
}

/* Secrets of this name that an earlier try left: one with this text is used, others go away. */
static int32_t adopt(const struct barbican *b, const char *name, const char *text, char **ret_url,
                     mag_error *err)
{
    _mag_json_ json_t *found = NULL;
    size_t i;
    json_t *v;
    int32_t rc = barbican_find(b, "secrets", name, &found, err);
    json_array_foreach(found, i, v)
    {
        const char *url = mag_json_text(v, "secret_ref", "");
        mag_bytes payload = {0};
        if (rc == MAG_OK && !*ret_url) {
            rc = barbican_payload(b, url, &payload, err);
            if (rc == MAG_E_NOT_FOUND)
                rc = MAG_OK; /* gone since */
            if (rc == MAG_OK && equal(payload, text)) {
                *ret_url = strdup(url);
                rc = *ret_url ? MAG_OK : mag_fail_nomem(err);
                continue;
            }
        }
        if (rc == MAG_OK)
            rc = barbican_delete(b, "secrets", url, err);
    }
    return rc;
}

static int32_t put_secret(const struct barbican *b, const char *key, const struct part *p,
                          const char *text, json_t *refs, mag_error *err)
{
    char name[NAME_MAX_LEN];
    _mag_free_ char *url = NULL;
    int32_t rc = secret_name(key, p, name, err);
    if (rc == MAG_OK)
        rc = adopt(b, name, text, &url, err);
    if (rc == MAG_OK && !url) {
        json_t *body = json_pack("{s:s,s:s,s:s}", "name", name, "payload", text,
                                 "payload_content_type", "text/plain");
        rc = body ? barbican_make(b, "secrets", body, &url, err) : mag_fail_nomem(err);
        mag_wipe_json(&body);
    }
    if (rc == MAG_OK &&
        json_array_append_new(refs, json_pack("{s:s,s:s}", "name", p->role, "secret_ref", url)) < 0)
        rc = mag_fail_nomem(err);
    return rc;
}

static int32_t put_all(const struct barbican *b, const char *key, const json_t *bundle,
                       char **ret_url, mag_error *err)
{
    _mag_json_ json_t *refs = json_array();
    int32_t rc = refs ? MAG_OK : mag_fail_nomem(err);
    for (size_t i = 0; rc == MAG_OK && i < MAG_LEN(parts); i++) {
        const char *text = mag_json_text(bundle, parts[i].name, NULL);
        if (text && *text) /* Barbican has no empty secrets */
            rc = put_secret(b, key, &parts[i], text, refs, err);
    }
    if (rc != MAG_OK)
        return rc;
    _mag_json_ json_t *body =
        json_pack("{s:s,s:s,s:O}", "name", key, "type", "certificate", "secret_refs", refs);
    return body ? barbican_make(b, "containers", body, ret_url, err) : mag_fail_nomem(err);
}

static int32_t keep_ref(const char *url, mag_cert_ref *out, mag_error *err)
{
    if (!url || strlen(url) >= sizeof out->ref)
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_OPERATOR, "BadAnswer", NULL,
                        "the URL of Barbican's container is missing or too long");
    memcpy(out->ref, url, strlen(url) + 1);
    return MAG_OK;
}

static int32_t barbican_put(void *self, const mag_op *op, const char *key, mag_bytes bytes,
                            mag_cert_ref *out, mag_error *err)
{
    const struct barbican b = session(self, op);
    json_t *bundle = NULL;
    _mag_json_ json_t *found = NULL;
    _mag_free_ char *url = NULL;
    bool same = false;
    int32_t rc = mag_json_parse(bytes, "the bundle", &bundle, err);
    if (rc == MAG_OK && !mag_json_text(bundle, "certificate", NULL))
        rc = mag_fail(err, MAG_E_INVALID, 0, "NoCertificate", NULL,
                      "a bundle has a certificate at least");
    if (rc == MAG_OK)
        rc = barbican_find(&b, "containers", key, &found, err);
    const json_t *first = json_array_get(found, 0);
    if (rc == MAG_OK && first)
        rc = compare(&b, first, bundle, &same, err);
    if (rc == MAG_OK && first && !same)
        rc = mag_fail(err, MAG_E_EXISTS, 0, "Exists", NULL, "another bundle is stored as %s", key);
    if (rc == MAG_OK && !first)
        rc = put_all(&b, key, bundle, &url, err);
    if (rc == MAG_OK)
        rc = keep_ref(first ? mag_json_text(first, "container_ref", NULL) : url, out, err);
    mag_wipe_json(&bundle);
    return rc;
}

/* ---- get ---- */
/* By URL, or by key. MAG_E_NOT_FOUND. */
static int32_t find_container(const struct barbican *b, const mag_cert_ref *ref, json_t **ret,
                              mag_error *err)
{
    char id[ID_LEN];
    _mag_json_ json_t *found = NULL;
    if (strncmp(ref->ref, BY_KEY, strlen(BY_KEY)) != 0)
        return barbican_id(ref->ref, "containers", id)
                   ? barbican_container(b, id, ret, err)
                   : mag_fail(err, MAG_E_INVALID, 0, "BadReference", NULL,
                              "this is no reference of Barbican's containers");
    int32_t rc = barbican_find(b, "containers", ref->ref + strlen(BY_KEY), &found, err);
    if (rc == MAG_OK && json_array_size(found) == 0)
        rc = mag_fail(err, MAG_E_NOT_FOUND, 0, "NotFound", NULL, "there is no bundle %s",
                      ref->ref + strlen(BY_KEY));
    if (rc == MAG_OK)
        *ret = json_incref(json_array_get(found, 0));
    return rc;
}

static int32_t barbican_get(void *self, const mag_op *op, const mag_cert_ref *ref, uint32_t wanted,
                            mag_cert_sink *sink, mag_error *err)
{
    const struct barbican b = session(self, op);
    _mag_json_ json_t *container = NULL;
    if ((wanted & SECRETS) && !sink->secret)
        return mag_fail(err, MAG_E_DENIED, 0, "NotSecret", NULL,
                        "a key is given to a secret sink only");
    int32_t rc = find_container(&b, ref, &container, err);
    for (size_t i = 0; rc == MAG_OK && i < MAG_LEN(parts); i++) {
        const char *url = url_of_role(container, parts[i].role);
        mag_bytes payload = {0};
        if (!url || !(wanted & parts[i].part))
            continue;
        rc = barbican_payload(&b, url, &payload, err);
        if (rc == MAG_OK && sink->part(sink->ctx, parts[i].part, payload) != MAG_OK)
            rc = mag_fail(err, MAG_E_INTERNAL, 0, "SinkFailed", NULL, "the host took no part");
    }
    return rc;
}

/* ---- del ---- */
static int32_t delete_named(const struct barbican *b, const char *key, mag_error *err)
{
    int32_t rc = MAG_OK;
    for (size_t i = 0; rc == MAG_OK && i < MAG_LEN(parts); i++) {
        char name[NAME_MAX_LEN];
        _mag_json_ json_t *found = NULL;
        size_t k;
        json_t *v;
        rc = secret_name(key, &parts[i], name, err);
        if (rc == MAG_OK)
            rc = barbican_find(b, "secrets", name, &found, err);
        json_array_foreach(found, k, v)
        {
            if (rc == MAG_OK)
                rc = barbican_delete(b, "secrets", mag_json_text(v, "secret_ref", ""), err);
        }
    }
    return rc;
}

/* Secrets first: as long as the container is there a repeated call finds what is left. */
static int32_t delete_container(const struct barbican *b, const json_t *container, mag_error *err)
{
    size_t i;
    json_t *v;
    int32_t rc = MAG_OK;
    json_array_foreach(mag_json_at(container, "secret_refs"), i, v)
    {
        if (rc == MAG_OK)
            rc = barbican_delete(b, "secrets", mag_json_text(v, "secret_ref", ""), err);
    }
    return rc == MAG_OK ? barbican_delete(b, "containers",
                                          mag_json_text(container, "container_ref", ""), err)
                        : rc;
}

static int32_t delete_key(const struct barbican *b, const char *key, mag_error *err)
{
    _mag_json_ json_t *found = NULL;
    size_t i;
    json_t *v;
    int32_t rc = delete_named(b, key, err);
    if (rc == MAG_OK)
        rc = barbican_find(b, "containers", key, &found, err);
    json_array_foreach(found, i, v)
    {
        if (rc == MAG_OK)
            rc = delete_container(b, v, err);
    }
    return rc;
}

/* One of ours has a key for a name, and may have left more than it shows. */
static bool is_key(const char *name)
{
    const char *slash = strchr(name, '/');
    return slash && strchr(slash + 1, '/');
}

static int32_t barbican_del(void *self, const mag_op *op, const mag_cert_ref *ref, mag_error *err)
{
    const struct barbican b = session(self, op);
    _mag_json_ json_t *container = NULL;
    if (strncmp(ref->ref, BY_KEY, strlen(BY_KEY)) == 0)
        return delete_key(&b, ref->ref + strlen(BY_KEY), err);
    int32_t rc = find_container(&b, ref, &container, err);
    if (rc == MAG_E_NOT_FOUND)
        return MAG_OK;
    if (rc != MAG_OK)
        return rc;
    const char *name = mag_json_text(container, "name", "");
    return is_key(name) ? delete_key(&b, name, err) : delete_container(&b, container, err);
}

/* ---- the plugin ---- */
static int32_t barbican_create(const mag_host *host, void **self, mag_error *err)
{
    struct manager *m = calloc(1, sizeof *m);
    if (!m)
        return mag_fail_nomem(err);
    m->host = host;
    *self = m;
    return MAG_OK;
}

static void barbican_destroy(void *self)
{
    free(self);
}

static const void *barbican_interface(void *self, const char *id)
{
    static const mag_cert_store store = {
        .struct_size = sizeof store, .put = barbican_put, .get = barbican_get, .del = barbican_del};
    (void)self;
    return strcmp(id, MAG_IFACE_CERT_STORE) == 0 ? &store : NULL;
}

MAG_PLUGIN_ENTRY(.id = "org.magnum.certs-barbican", .version = "0.1.0", .vendor = "Magnum",
                 .create = barbican_create, .destroy = barbican_destroy,
                 .get_interface = barbican_interface)
