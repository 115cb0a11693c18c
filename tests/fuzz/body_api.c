/* See body.h. */
#include "fuzz/body.h"

#include "api/catalog.h"
#include "api/errors.h"

#include <stdlib.h>
#include <string.h>

struct api *fuzz_api(int zed)
{
    static struct api apis[2];
    static struct config *cfg[2];
    struct err e = ERR_INIT;
    struct api *a = &apis[zed];
    if (a->cfg)
        return a;
    if (config_load("/dev/null", &cfg[zed], &e) < 0 ||
        api_versions_from(zed ? "zed" : "head", &a->versions, &e) < 0 ||
        catalog_open(cfg[zed], &a->catalog, &e) < 0)
        abort();
    a->cfg = cfg[zed];
    return a;
}

void fuzz_outcome(int rc, const struct err *e)
{
    if (rc == 0) {
        if (e->code != 0 || e->msg[0])
            abort();
        return;
    }
    int status = err_http_status(rc);
    struct http_response rp = {.status = 0};
    if (rc != e->code || status < 400 || status >= 500 || !e->msg[0])
        abort();
    error_from(&rp, e, false, "req-fuzz");
    _cleanup_json_ json_t *body = json_loadb(rp.body.s, rp.body.len, 0, NULL);
    const json_t *first = json_array_get(json_object_get(body, "errors"), 0);
    if (!first || jsonx_int(first, "status", 0) != status || !jsonx_str(first, "detail"))
        abort();
    http_response_done(&rp);
}
