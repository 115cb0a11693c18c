/* Questions to Glance, Nova and Neutron; see catalog_internal.h. Each question is one or more
 * requests: a list comes in pages, a network may be meant by its id or by its name. All questions
 * of a request go round by round, one HTTP request each at the same time. Nothing that a service
 * says is followed as a URL: the next page is asked for with the last id. */
#include "api/admit.h"
#include "api/catalog_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/uuid.h"
#include "config/config.h"
#include "http/client.h"
#include "http/tls.h"

#include <stdatomic.h>
#include <string.h>
#include <strings.h>

enum {
    DEPTH_MAX = 32,
    CODE_OK = 200,
    CODE_BAD = 400,
    CODE_UNAUTHORIZED = 401,
    CODE_FORBIDDEN = 403,
    CODE_NOT_FOUND = 404,
};

enum { IMAGE, COMPUTE, NETWORK, SERVICES };
static const char *const types[SERVICES] = {"image", "compute", "network"}; /* in the catalogue */

struct cat_asker {
    const struct config *cfg;
    struct http_client *http;
    struct box tls; /* a struct http_tls */
    /* A service that does not answer is left alone for a while: callers must not all wait for it,
     * each on a thread of the API. */
    _Atomic int64_t pause_until_ms[SERVICES];
};

/* What differs between the kinds of question. */
struct service {
    int who;             /* IMAGE, ... */
    bool by_name;        /* the list is asked for one name */
    const char *version; /* what its endpoint may end in */
    const char *by_id;   /* path of one thing, NULL: only lists */
    const char *list;    /* path of the list, with its query */
    const char *member;  /* of the list's document */
};
static const struct service services[CAT_KINDS] = {
    [CAT_IMAGE] = {IMAGE, true, "/v2", "/v2/images/", "/v2/images?limit=2", "images"},
    [CAT_FLAVOR] = {COMPUTE, false, "", NULL, "/flavors/detail?limit=1000", "flavors"},
    [CAT_KEYPAIR] = {COMPUTE, false, "", "/os-keypairs/", NULL, NULL},
    [CAT_EXTERNAL_NETWORK] = {NETWORK, true, "/v2.0", NULL,
                              "/v2.0/networks?fields=id&fields=name&router%3Aexternal=True",
                              "networks"},
    [CAT_FIXED_NETWORK] = {NETWORK, true, "/v2.0", NULL, "/v2.0/networks?fields=id&fields=name",
                           "networks"},
    [CAT_COMPUTE_LIMITS] = {COMPUTE, false, "", "/limits", NULL, NULL},
    [CAT_NETWORK_QUOTA] = {NETWORK, false, "/v2.0", "/v2.0/quotas/", NULL, NULL},
    [CAT_FIXED_SUBNET] = {NETWORK, true, "/v2.0", NULL, "/v2.0/subnets?fields=id&fields=name",
                          "subnets"},
};

/* One question while it is asked. */
struct inquiry {
    const struct service *service;
    enum cat_kind kind;
    const char *ident;
    struct cat_answer *to; /* borrowed; filled here */
    char *root;            /* owned: the endpoint without version */
    char uuid[UUID_TEXT];  /* the ident as one, or "" */
    bool by_id;            /* this round asks for the id */
    char *marker;          /* owned: id of the last item of the page before */
    int64_t pages;
    size_t hits, cap;
    bool done;
};

int cat_asker_new(const struct config *cfg, struct cat_asker **ret, struct err *e)
{
    struct cat_asker *k = calloc(1, sizeof *k);
    if (!k)
        return err_nomem(e);
    k->cfg = cfg;
    box_init(&k->tls, NULL);
    const struct http_tls_files files = http_tls_keystone(cfg);
    struct http_tls *tls = NULL;
    int rc = http_client_new(&k->http, e);
    if (rc == 0)
        rc = http_tls_read(&files, &tls, e);
    if (rc == 0)
        (void)box_put(&k->tls, tls);
    if (rc < 0) {
        cat_asker_free(k);
        return rc;
    }
    *ret = k;
    return 0;
}

void cat_asker_free(struct cat_asker *k)
{
    if (!k)
        return;
    http_client_free(&k->http);
    box_done(&k->tls);
    free(k);
}

int cat_asker_read_again(struct cat_asker *k, const struct config *fresh, struct cat_asker **ret,
                         struct err *e)
{
    const struct http_tls_files used = http_tls_keystone(k->cfg), now = http_tls_keystone(fresh);
    struct http_tls *tls = NULL;
    int rc = http_tls_read_again(&k->tls, &used, &now, &tls, e);
    if (rc < 0)
        return rc;
    *ret = calloc(1, sizeof **ret);
    if (!*ret) {
        http_tls_unref(tls);
        return err_nomem(e);
    }
    box_init(&(*ret)->tls, tls);
    return 0;
}

void cat_asker_swap(struct cat_asker *k, struct cat_asker *other)
{
    void *theirs = box_put(&other->tls, NULL);
    (void)box_put(&other->tls, box_put(&k->tls, theirs));
    for (size_t i = 0; i < ARRAY_LEN(k->pause_until_ms); i++)
        atomic_store(&k->pause_until_ms[i], 0); /* what failed may do now */
}

/* ---- ends of a question ---- */

static void end(struct inquiry *q, int rc)
{
    q->to->rc = rc;
    q->done = true;
}

/* The log tells what happened; the caller learns which service it is about. */
static void down(struct inquiry *q, const char *what)
{
    log_warn("catalog.down", "%s service: %s", types[q->service->who], what);
    end(q, err_set(&q->to->e, ERR_SERVICE_DOWN,
                   "The %s service is not available. Please try again later.",
                   types[q->service->who]));
}

static void refused(struct inquiry *q, int status)
{
    struct err *e = &q->to->e;
    char text[64];
    if (status == CODE_UNAUTHORIZED) {
        end(q, err_set(e, ERR_UNAUTHORIZED, "The %s service does not accept the token.",
                       types[q->service->who]));
    } else if (status == CODE_FORBIDDEN && q->kind == CAT_IMAGE) {
        end(q, err_set(e, ERR_FORBIDDEN, "Not authorized for image %s.", q->ident));
    } else if (status == CODE_FORBIDDEN) {
        end(q, err_set(e, ERR_FORBIDDEN, "Not authorized."));
    } else if (status == CODE_BAD || (status == CODE_NOT_FOUND && q->by_id)) {
        /* 400: a name that the service could not have given to anything */
        end(q, catalog_missing(q->kind, q->ident, e));
    } else {
        snprintf(text, sizeof text, "answered %d", status);
        down(q, text);
    }
}

/* ---- documents ---- */

static int take_text(char **to, const char *s)
{
    *to = str_dup(s);
    return s && !*to ? ERR_NOMEM : 0;
}

static int take_image(struct inquiry *q, const json_t *j)
{
    struct cat_image *i = &q->to->image;
    cat_image_done(i);
    if (!jsonx_str(j, "id"))
        return ERR_PROTOCOL;
    int rc = take_text(&i->id, jsonx_str(j, "id"));
    if (rc == 0)
        rc = take_text(&i->name, jsonx_str(j, "name"));
    if (rc == 0)
        rc = take_text(&i->os_distro, jsonx_str(j, "os_distro"));
    if (rc == 0)
        rc = take_text(&i->magnum_driver, jsonx_str(j, "magnum_driver"));
    return rc;
}

static int take_flavor(struct inquiry *q, const json_t *j)
{
    struct cat_answer *a = q->to;
    if (!jsonx_str(j, "id") || !jsonx_str(j, "name"))
        return ERR_PROTOCOL;
    if (a->n_flavors == q->cap) {
        size_t cap = q->cap ? q->cap * 2 : 16;
        struct cat_flavor_row *more = realloc(a->flavors, cap * sizeof *more);
        if (!more)
            return ERR_NOMEM;
        a->flavors = more;
        q->cap = cap;
    }
    struct cat_flavor_row *f = &a->flavors[a->n_flavors++];
    *f = (struct cat_flavor_row){
        .is = {jsonx_int(j, "ram", 0), jsonx_int(j, "vcpus", 0), jsonx_int(j, "disk", 0)}};
    int rc = take_text(&f->id, jsonx_str(j, "id"));
    return rc == 0 ? take_text(&f->name, jsonx_str(j, "name")) : rc;
}

/* -1 for any number. Somebody may have more than his quota, which was lowered since. */
static int64_t room_of(int64_t limit, int64_t used)
{
    return limit < 0 ? -1 : limit > used ? limit - used : 0;
}

static int take_limits(struct inquiry *q, const json_t *doc)
{
    const json_t *a = json_object_get(json_object_get(doc, "limits"), "absolute");
    struct cat_room *r = &q->to->room;
    r->instances =
        room_of(jsonx_int(a, "maxTotalInstances", -1), jsonx_int(a, "totalInstancesUsed", 0));
    r->vcpus = room_of(jsonx_int(a, "maxTotalCores", -1), jsonx_int(a, "totalCoresUsed", 0));
    r->ram_mb = room_of(jsonx_int(a, "maxTotalRAMSize", -1), jsonx_int(a, "totalRAMUsed", 0));
    return json_is_object(a) ? 0 : ERR_PROTOCOL;
}

static int64_t network_room(const json_t *quota, const char *resource)
{
    const json_t *o = json_object_get(quota, resource);
    return room_of(jsonx_int(o, "limit", -1),
                   jsonx_int(o, "used", 0) + jsonx_int(o, "reserved", 0));
}

static int take_network_quota(struct inquiry *q, const json_t *doc)
{
    const json_t *quota = json_object_get(doc, "quota");
    struct cat_room *r = &q->to->room;
    r->ports = network_room(quota, "port");
    r->floating_ips = network_room(quota, "floatingip");
    r->security_groups = network_room(quota, "security_group");
    return json_is_object(quota) ? 0 : ERR_PROTOCOL;
}

static bool same_name(const struct inquiry *q, const json_t *j)
{
    const char *name = jsonx_str(j, "name");
    if (q->by_id)
        return str_eq(jsonx_str(j, "id"), q->uuid);
    return name &&
           (q->kind == CAT_IMAGE ? strcasecmp(name, q->ident) == 0 : strcmp(name, q->ident) == 0);
}

/* One item of a list. Names are compared again: Glance reads operators in them. What its database
 * takes for the same name (in any case) is the same to the original. */
static int take_item(struct inquiry *q, const json_t *j)
{
    if (!jsonx_str(j, "id"))
        return ERR_PROTOCOL;
    if (q->kind == CAT_FLAVOR)
        return take_flavor(q, j);
    if (!same_name(q, j))
        return 0;
    q->hits++;
    return q->kind == CAT_IMAGE && q->hits == 1 ? take_image(q, j) : 0;
}

static bool has_more(const struct inquiry *q, const json_t *doc)
{
    char links[32];
    size_t i;
    json_t *l;
    if (q->kind == CAT_IMAGE)
        return jsonx_str(doc, "next") != NULL;
    snprintf(links, sizeof links, "%s_links", q->service->member);
    json_array_foreach(json_object_get(doc, links), i, l)
    {
        if (str_eq(jsonx_str(l, "rel"), "next"))
            return true;
    }
    return false;
}

/* The end of a list, with what was found. */
static void conclude(struct inquiry *q)
{
    if (q->kind == CAT_FLAVOR || q->hits == 1) {
        end(q, 0);
    } else if (q->hits) {
        end(q, catalog_ambiguous(q->kind, q->ident, &q->to->e));
    } else if (q->by_id) {
        q->by_id = false; /* something may have it as its name */
        q->pages = 0;
    } else {
        end(q, catalog_missing(q->kind, q->ident, &q->to->e));
    }
}

static int read_list(struct inquiry *q, const json_t *doc, int64_t pages_max)
{
    const json_t *list = json_object_get(doc, q->service->member);
    size_t n = json_array_size(list);
    int rc = json_is_array(list) ? 0 : ERR_PROTOCOL;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = take_item(q, json_array_get(list, i));
    if (rc < 0)
        return rc;
    bool more = n && has_more(q, doc) && (q->kind == CAT_FLAVOR || q->hits < 2);
    if (more && ++q->pages >= pages_max)
        return ERR_TOO_LARGE;
    free(TAKE_PTR(q->marker));
    if (!more)
        conclude(q);
    else
        rc = take_text(&q->marker, jsonx_str(json_array_get(list, n - 1), "id"));
    return rc;
}

static int read_one(struct inquiry *q, const json_t *doc)
{
    int rc = json_is_object(doc) ? 0 : ERR_PROTOCOL;
    if (rc == 0 && q->kind == CAT_IMAGE)
        rc = take_image(q, doc);
    else if (rc == 0 && q->kind == CAT_COMPUTE_LIMITS)
        rc = take_limits(q, doc);
    else if (rc == 0 && q->kind == CAT_NETWORK_QUOTA)
        rc = take_network_quota(q, doc);
    if (rc == 0)
        end(q, 0);
    return rc;
}

static void read_answer(struct cat_asker *k, struct inquiry *q, const struct http_task *t)
{
    _cleanup_json_ json_t *doc = NULL;
    struct err e = ERR_INIT;
    int64_t pages_max = k->cfg->catalog_max_pages;
    if (t->rc == ERR_TIMEOUT || t->rc == ERR_UNAVAILABLE)
        atomic_store(&k->pause_until_ms[q->service->who],
                     clock_mono_ms() + k->cfg->catalog_pause_ms);
    if (t->rc < 0) {
        down(q, t->e.msg);
        return;
    }
    if (t->answer.status != CODE_OK) {
        refused(q, t->answer.status);
        return;
    }
    int rc = jsonx_parse(t->answer.body, t->answer.len, DEPTH_MAX, &doc, &e);
    if (rc == 0)
        rc = q->by_id && q->service->by_id ? read_one(q, doc) : read_list(q, doc, pages_max);
    if (rc == ERR_NOMEM)
        end(q, err_nomem(&q->to->e));
    else if (rc == ERR_TOO_LARGE)
        down(q, "its list has too many pages");
    else if (rc < 0)
        down(q, "its answer can't be read");
}

/* ---- requests ---- */

static char *url_of(const struct inquiry *q)
{
    const struct service *s = q->service;
    struct str u = STR_INIT;
    str_append(&u, q->root);
    if (q->by_id && s->by_id) {
        str_append(&u, s->by_id);
        http_escape(&u, s->list ? q->uuid : q->ident);
        str_append(&u, q->kind == CAT_NETWORK_QUOTA ? "/details.json" : "");
        return str_take(&u);
    }
    str_append(&u, s->list);
    if (s->by_name) {
        str_append(&u, q->by_id ? "&id=" : "&name=");
        http_escape(&u, q->by_id ? q->uuid : q->ident);
    }
    if (q->marker) {
        str_append(&u, "&marker=");
        http_escape(&u, q->marker);
    }
    return str_take(&u);
}

static void round_of(struct cat_asker *k, struct inquiry *q, size_t n, const char *const *headers,
                     int64_t left_ms)
{
    _cleanup_tls_ struct http_tls *tls = box_get(&k->tls);
    struct http_task tasks[n];
    struct inquiry *of[n];
    char *urls[n];
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        char *url = q[i].done ? NULL : url_of(&q[i]);
        if (!q[i].done && !url)
            end(&q[i], err_nomem(&q[i].to->e));
        if (q[i].done)
            continue;
        tasks[m] = (struct http_task){.call = {.method = "GET",
                                               .url = url,
                                               .headers = headers,
                                               .timeout_ms = left_ms,
                                               .max_body = (size_t)k->cfg->catalog_max_answer_bytes,
                                               .ca_pem = tls->ca,
                                               .cert_pem = tls->cert,
                                               .key_pem = tls->key,
                                               .insecure = k->cfg->keystone_insecure}};
        of[m] = &q[i];
        urls[m++] = url;
    }
    http_client_do_all(k->http, tasks, m);
    for (size_t i = 0; i < m; i++) {
        read_answer(k, of[i], &tasks[i]);
        http_answer_done(&tasks[i].answer);
        free(urls[i]);
    }
}

static bool any_left(const struct inquiry *q, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!q[i].done)
            return true;
    return false;
}

static void ask_all(struct cat_asker *k, struct inquiry *q, size_t n, const char *const *headers)
{
    int64_t until = clock_mono_ms() + k->cfg->catalog_timeout_ms;
    while (any_left(q, n)) {
        int64_t left = until - clock_mono_ms();
        if (left > 0) {
            round_of(k, q, n, headers, left);
            continue;
        }
        for (size_t i = 0; i < n; i++)
            if (!q[i].done)
                down(&q[i], "its pages take too long");
    }
}

/* Without slashes and version, which endpoints have in some clouds. */
static char *root_of(const char *endpoint, const char *version)
{
    size_t n = strlen(endpoint), v = strlen(version);
    while (n && endpoint[n - 1] == '/')
        n--;
    if (v && n > v && strncmp(endpoint + n - v, version, v) == 0)
        n -= v;
    return strndup(endpoint, n);
}

static void open_inquiry(const struct cat_asker *k, const struct auth_context *who,
                         struct inquiry *q)
{
    const struct config *cfg = k->cfg;
    const struct service *s = q->service;
    const char *endpoint =
        auth_endpoint(who, types[s->who], cfg->keystone_interface, cfg->keystone_region);
    if (!endpoint) {
        down(q, "the caller's service catalogue has no such endpoint");
        return;
    }
    if (clock_mono_ms() < atomic_load(&k->pause_until_ms[s->who])) {
        down(q, "it did not answer a moment ago");
        return;
    }
    q->root = root_of(endpoint, s->version);
    if (!q->root)
        end(q, err_nomem(&q->to->e));
    if (!s->by_name && !s->by_id) /* a whole list */
        return;
    if (!uuid_like(q->ident, q->uuid))
        q->uuid[0] = '\0';
    q->by_id = *q->uuid || !s->list;
}

void cat_ask(struct cat_asker *k, const struct auth_context *who, struct cat_question *q, size_t n)
{
    struct inquiry in[n];
    _cleanup_free_ char *token = str_fmt("X-Auth-Token: %s", who->token ? who->token : "");
    _cleanup_free_ char *id = str_fmt("X-Openstack-Request-Id: %s", who->request_id);
    const char *const headers[] = {token, id, "Accept: application/json", NULL};
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        q[i].answer = token && id ? cat_answer_new() : NULL;
        if (!q[i].answer)
            continue;
        in[m] = (struct inquiry){.service = &services[q[i].kind],
                                 .kind = q[i].kind,
                                 .ident = q[i].ident,
                                 .to = q[i].answer};
        open_inquiry(k, who, &in[m++]);
    }
    admit_outside();
    ask_all(k, in, m, headers);
    admit_inside();
    for (size_t i = 0; i < m; i++) {
        free(in[i].root);
        free(in[i].marker);
    }
    if (token)
        secret_wipe(token, strlen(token));
}
