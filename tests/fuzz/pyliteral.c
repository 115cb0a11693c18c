/* Python literals as old clients send them: what is accepted prints as a literal that reads as the
 * same value, and any text is refused with a reason or accepted. */
#include "api/pyliteral.h"
#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    _cleanup_free_ char *text = strndup((const char *)data, size);
    _cleanup_json_ json_t *once = NULL, *twice = NULL;
    _cleanup_str_ struct str shown = STR_INIT;
    struct err e = ERR_INIT;
    if (!text)
        return 0;
    int rc = py_literal_parse(text, &once, &e);
    if ((rc < 0) != (once == NULL) || (rc < 0 && (rc != ERR_INVALID || !e.msg[0])))
        abort();
    if (rc < 0)
        return 0;
    py_repr(once, &shown);
    if (py_literal_parse(str_text(&shown), &twice, &e) < 0 || !json_equal(once, twice))
        abort();
    return 0;
}
