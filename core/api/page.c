/* Links and pages of collections (api.md 5.2, 5.3). See api_internal.h. */
#include "api/api_internal.h"
#include "base/parse.h"
#include "base/uuid.h"

#include <string.h>

static int read_marker(const struct query *q, bool int_marker, struct err *e)
{
    const char *s = query_get(q, "marker");
    int64_t id = 0;
    if (!s)
        return 0;
    if (int_marker)
        return query_int(q, "marker", 0, &id, e);
    if (uuid_like(s, NULL))
        return 0;
    return err_set(e, ERR_INVALID,
                   "Invalid input for field/attribute marker. Value: '%.500s'. unable to convert "
                   "to uuid. Error: Expected a uuid but received %.500s.",
                   s, s);
}

int page_read(const struct api_call *c, bool int_marker, struct page *ret, struct err *e)
{
    const struct query *q = &c->query;
    int64_t most = c->api->cfg->api_max_limit, limit = most;
    const char *dir = query_get(q, "sort_dir");
    int rc = read_marker(q, int_marker, e);
    if (rc < 0)
        return rc;
    rc = query_int(q, "limit", most, &limit, e);
    if (rc < 0)
        return rc;
    if (limit <= 0)
        return err_set(e, ERR_INVALID, "Limit must be positive");
    if (dir && strcmp(dir, "asc") != 0 && strcmp(dir, "desc") != 0)
        return err_set(e, ERR_INVALID,
                       "Invalid sort direction: %.500s. Acceptable values are 'asc' or 'desc'",
                       dir);
    ret->limit = limit < most ? limit : most;
    ret->db.limit = ret->limit;
    ret->db.marker = query_get(q, "marker");
    ret->db.sort_key = query_get(q, "sort_key");
    ret->db.desc = dir && strcmp(dir, "desc") == 0;
    return 0;
}

void page_close(const struct api_call *c, const struct page *p, const char *path, size_t n,
                const char *last)
{
    struct str *o = &c->rp->body;
    str_append_c(o, ']');
    if (n > 0 && (int64_t)n == p->limit) {
        _cleanup_str_ struct str next = STR_INIT;
        str_printf(&next, "%s/v1/%s?sort_key=%s&sort_dir=%s&limit=%lld&marker=%s", c->base, path,
                   p->db.sort_key ? p->db.sort_key : "id", p->db.desc ? "desc" : "asc",
                   (long long)p->limit, last);
        o->oom |= next.oom;
        jw_str(o, "next", str_text(&next));
    }
    str_append_c(o, '}');
}

/* One of the two: all but the path and the id is fixed for a request. */
static void write_link(struct str *o, const struct api_call *c, const char *version,
                       const char *path, const char *id, const char *rel)
{
    str_append_n(o, "{\"href\":\"", 9);
    str_append(o, c->base);
    str_append(o, version);
    str_append(o, path);
    str_append_c(o, '/');
    str_append(o, id);
    str_append_n(o, "\",\"rel\":\"", 9);
    str_append(o, rel);
    str_append_n(o, "\"}", 2);
}

void jw_links(struct str *o, const struct api_call *c, const char *path, const char *id)
{
    jw_key(o, "links");
    str_append_c(o, '[');
    write_link(o, c, "/v1/", path, id, "self");
    str_append_c(o, ',');
    write_link(o, c, "/", path, id, "bookmark");
    str_append_c(o, ']');
}
