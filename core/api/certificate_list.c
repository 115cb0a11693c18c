/* GET /v1/certificates?expiring=30d: the certificates that the service keeps, soonest end first.
 * Ours: without `expiring` Magnum has no such method (api.md 10), and so it stays.
 * See api_internal.h. */
#include "api/api_internal.h"
#include "base/parse.h"
#include "db/db_certificate.h"

#include <string.h>

enum { DURATION_MAX_DAYS = 36500 };

/* "30d", "12h", "90m", "3600s" or "3600"; "all" = MODEL_UNSET. */
static int read_duration(const char *text, int64_t *ret_s, struct err *e)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
    char number[24];
    size_t n = strlen(text);
    int64_t per = 1, value = 0;
    if (strcmp(text, "all") == 0) {
        *ret_s = MODEL_UNSET;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(units) && n; i++)
        if (text[n - 1] == units[i].unit) {
            per = units[i].seconds;
            n--;
            break;
        }
    snprintf(number, sizeof number, "%.*s", (int)n, text);
    if (n >= sizeof number ||
        !parse_i64(number, 0, DURATION_MAX_DAYS * INT64_C(86400) / per, &value))
        return err_set(e, ERR_INVALID,
                       "expiring is a time such as 30d, 12h or 3600s, or all, not '%.100s'", text);
    *ret_s = value * per;
    return 0;
}

static const char *type_of(const char *role)
{
    return str_eq(role, "ca")               ? "kubernetes"
           : str_eq(role, "etcd-ca")        ? "etcd"
           : str_eq(role, "front-proxy-ca") ? "front-proxy"
                                            : NULL;
}

static void view(struct api_call *c, const struct certificate_view *v)
{
    struct str *o = &c->rp->body;
    jw_next(o);
    str_append_c(o, '{');
    jw_int(o, "id", v->row.id);
    jw_str(o, "cluster_uuid", v->row.cluster_id);
    jw_str(o, "cluster_name", v->cluster_name);
    jw_str(o, "project_id", v->row.project_id);
    jw_str(o, "role", v->row.role);
    jw_str(o, "ca_cert_type", type_of(v->row.role));
    jw_int(o, "serial", v->row.serial);
    jw_bool(o, "in_use", v->in_use);
    jw_str(o, "subject", v->row.subject);
    jw_str(o, "fingerprint", v->row.fingerprint);
    jw_str(o, "manager", v->row.manager);
    jw_time(o, "not_before", v->row.not_before);
    jw_time(o, "not_after", v->row.not_after);
    str_append_c(o, '}');
}

static void write_list(struct api_call *c, const struct certificate_view_list *l,
                       const struct page *p)
{
    struct str *o = &c->rp->body;
    str_append(o, "{\"certificates\":[");
    for (size_t i = 0; i < l->n; i++)
        view(c, &l->v[i]);
    str_append_c(o, ']');
    if (l->n > 0 && (int64_t)l->n == p->limit) {
        _cleanup_str_ struct str next = STR_INIT;
        str_printf(&next, "%s/v1/certificates?expiring=%s&limit=%lld&marker=%lld", c->base,
                   query_get(&c->query, "expiring"), (long long)p->limit,
                   (long long)l->v[l->n - 1].row.id);
        o->oom |= next.oom;
        jw_str(o, "next", str_text(&next));
    }
    str_append_c(o, '}');
}

int api_certificate_list(struct api_call *c, struct err *e)
{
    const char *expiring = query_get(&c->query, "expiring");
    struct certificate_view_list l = {0};
    struct db_scope scope;
    struct page p;
    int64_t within_s = 0, after = 0;
    int rc = enforce_self(c, "certificate:get", e);
    if (rc == 0)
        rc = scope_all(c, "cluster:get_all_all_projects", &scope, e);
    if (rc == 0)
        rc = read_duration(expiring, &within_s, e);
    if (rc == 0)
        rc = page_read(c, true, &p, e);
    if (rc == 0)
        rc = query_int(&c->query, "marker", 0, &after, e);
    if (rc == 0)
        rc = db_certificate_inventory(c->api->db, &scope, within_s, after, p.limit, &l, e);
    if (rc == 0) {
        write_list(c, &l, &p);
        rc = answer(c, 200, e);
    }
    certificate_view_list_done(&l);
    return rc;
}
