/* A file of the local certificate manager that somebody may have written to: it is opened as it was
 * sealed, or refused. */
#include "../../plugins/certs-local/store.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const struct keyring keys = {.keys = {{.id = "0123456789abcdef", .key = {7}}}, .n = 1};
    const struct keyring *with[] = {&keys, NULL};
    for (size_t i = 0; i < MAG_LEN(with); i++) {
        mag_error err = {.struct_size = sizeof err};
        json_t *bundle = NULL;
        int32_t rc = bundle_parse((const char *)data, size, "c/ca/1", with[i], &bundle, &err);
        if ((rc == MAG_OK) != (bundle != NULL) || (rc != MAG_OK && !err.reason[0]))
            __builtin_trap();
        json_decref(bundle);
    }
    return 0;
}
