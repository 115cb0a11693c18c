/* YAML from outside: whatever is accepted can be written and read back as the same document. */
#include "config/yaml.h"
#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    _cleanup_json_ json_t *doc = NULL, *again = NULL;
    struct err e = ERR_INIT;
    if (yaml_load("fuzz", (const char *)data, size, &doc, &e) < 0) {
        if (!e.msg[0] || e.code >= 0)
            abort();
        return 0;
    }
    _cleanup_free_ char *text = yaml_dump(doc);
    if (!text || yaml_load("dump", text, strlen(text), &again, &e) < 0 || !json_equal(doc, again))
        abort();
    return 0;
}
