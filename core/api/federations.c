/* /v1/federations (api.md 15). Magnum never implemented what stands behind it: a create is checked
 * and accepted but stores nothing, so no federation is ever found. See api_internal.h. */
#include "api/api_internal.h"
#include "base/uuid.h"
#include "db/db_cluster.h"

#include <string.h>

static int list(struct api_call *c, const char *rule, const char *path, struct err *e)
{
    static const char *const columns[] = {
        "id",     "project_id",    "uuid",       "name",       "hostcluster_id", "member_ids",
        "status", "status_reason", "properties", "created_at", "updated_at"};
    struct page p;
    bool known = false;
    int rc = enforce_self(c, rule, e);
    if (rc == 0)
        rc = page_read(c, false, &p, e);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        known |= str_eq(p.db.sort_key ? p.db.sort_key : "id", columns[i]);
    if (p.db.marker)
        return err_set(e, ERR_NOT_FOUND, "Federation %s could not be found.", p.db.marker);
    if (!known)
        return err_set(e, ERR_INVALID, "The sort_key value \"%s\" is an invalid field for sorting",
                       p.db.sort_key);
    str_append(&c->rp->body, "{\"federations\":[");
    page_close(c, &p, path, 0, "");
    return answer(c, 200, e);
}

int api_federation_list(struct api_call *c, struct err *e)
{
    return list(c, "federation:get_all", "federations", e);
}

int api_federation_detail(struct api_call *c, struct err *e)
{
    return list(c, "federation:detail", "federations/detail", e);
}

static int not_found(const struct api_call *c, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "Federation %s could not be found.", c->arg[0]);
}

int api_federation_show(struct api_call *c, struct err *e)
{
    return not_found(c, e);
}
int api_federation_patch(struct api_call *c, struct err *e)
{
    bool rollback = false;
    int rc = query_bool(&c->query, "rollback", &rollback, e);
    return rc < 0 ? rc : not_found(c, e);
}
int api_federation_delete(struct api_call *c, struct err *e)
{
    return not_found(c, e);
}

int api_federation_create(struct api_call *c, struct err *e)
{
    struct db_scope scope = scope_own(c);
    const char *host = jsonx_str(c->body, "hostcluster_id");
    const json_t *properties = json_object_get(c->body, "properties");
    char uuid[UUID_TEXT];
    struct cluster cl;
    cluster_init(&cl);
    int rc = enforce_self(c, "federation:create", e);
    if (rc == 0 && !host)
        rc = err_set(e, ERR_INVALID, "No hostcluster specified. Please specify a hostcluster_id.");
    if (rc == 0)
        rc = db_cluster_get(c->api->db, &scope, host, &cl, e);
    if (rc == 0 && json_object_size(properties) == 0)
        rc = err_set(e, ERR_INVALID, "Please specify a `properties` dict for the federation.");
    if (rc == 0 && !jsonx_str(properties, "dns-zone"))
        rc = err_set(e, ERR_INVALID, "No DNS zone specified. Please specify a `dns-zone`.");
    cluster_done(&cl);
    if (rc < 0)
        return rc;
    uuid_make(uuid);
    return answer_uuid(c, 202, uuid, e);
}
