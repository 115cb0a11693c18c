/* The OpenStack-API-Version header: a version in range, or 406 with a reason. */
#include "api/microversions.h"
#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const char *const releases[] = {"head", "zed"};
    _cleanup_free_ char *text = strndup((const char *)data, size);
    for (size_t i = 0; text && i < ARRAY_LEN(releases); i++) {
        struct api_versions known;
        struct api_version v;
        struct err e = ERR_INIT;
        if (api_versions_from(releases[i], &known, &e) < 0)
            abort();
        int rc = api_version_parse(&known, text, &v, &e);
        bool inside = v.major == 1 && v.minor >= 1 && v.minor <= known.max_minor;
        if (rc == 0 ? !inside || v.unsupported : rc != ERR_NOT_ACCEPTABLE || !e.msg[0])
            abort();
    }
    return 0;
}
