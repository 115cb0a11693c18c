/* /v1/mservices (api.md 14). See api_internal.h. */
#include "api/api_internal.h"
#include "api/views.h"
#include "db/db_service.h"

int api_mservice_list(struct api_call *c, struct err *e)
{
    struct mservice_list l = {NULL, 0};
    int rc = enforce_self(c, "magnum-service:get_all", e);
    if (rc == 0)
        rc = db_service_list(c->api->db, &l, e);
    if (rc == 0) {
        int64_t now = db_clock_us(c->api->db);
        str_append(&c->rp->body, "{\"mservices\":[");
        for (size_t i = 0; i < l.n; i++)
            view_mservice(c, &l.v[i], now);
        str_append(&c->rp->body, "]}");
        rc = answer(c, 200, e);
    }
    mservice_list_done(&l);
    return rc;
}
