/* Drivers as users see them: what may be created here and which labels each driver takes. Ours,
 * beside the v1 API of Magnum: /v1/drivers[/{name or id}]. See api_internal.h. */
#include "api/api_internal.h"
#include "api/driver_cache.h"
#include "api/driver_select.h"
#include "api/views.h"

int api_driver_list(struct api_call *c, struct err *e)
{
    _cleanup_drivers_ struct driver_set *set = NULL;
    int rc = enforce_self(c, "driver:get_all", e);
    if (rc == 0)
        rc = driver_cache_get(c->api->drivers, &set, e);
    if (rc < 0)
        return rc;
    str_append(&c->rp->body, "{\"drivers\":[");
    for (size_t i = 0; i < set->rows.n; i++)
        view_driver(c, &set->rows.v[i], false);
    str_append(&c->rp->body, "]}");
    return answer(c, 200, e);
}

int api_driver_show(struct api_call *c, struct err *e)
{
    _cleanup_drivers_ struct driver_set *set = NULL;
    int rc = enforce_self(c, "driver:get", e);
    if (rc == 0)
        rc = driver_cache_get(c->api->drivers, &set, e);
    if (rc < 0)
        return rc;
    const struct driver_row *d = driver_find(&set->rows, c->arg[0]);
    if (!d)
        return err_set(e, ERR_NOT_FOUND, "Driver %s could not be found.", c->arg[0]);
    view_driver(c, d, true);
    return answer(c, 200, e);
}
