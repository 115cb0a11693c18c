/* What is known only when everything else has run: what sanitizers and valgrind wrote. */
#include "check.h"

#include "base/io.h"

#include <string.h>

static void sanitizers(struct kit *k, struct verdict *v)
{
    static const char *const marks[] = {
        "ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "ERROR: ThreadSanitizer",
        "runtime error: ",         "definitely lost",      "Invalid read of",
        "Invalid write of",        "uninitialised value"};
    struct err e = ERR_INIT;
    _cleanup_free_ char *log = NULL, *path = str_fmt("%s/log", k->scratch);
    size_t len;
    if (!path || io_read_file(path, 256 << 20, &log, &len, &e) != 0) {
        verdict_fail(v, "the log can't be read: %s", e.msg);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        const char *at = strstr(log, marks[i]);
        if (at)
            verdict_fail(v, "a sanitizer says: %.400s", at);
    }
    if (v->outcome == CHECK_OK && !k->foreign_host)
        verdict_skip(v, "build with -fsanitize=address and use --preload, or use --valgrind");
}

const struct check_case cases_end[] = {{"sanitizer", "silent", sanitizers}};
const size_t cases_end_count = ARRAY_LEN(cases_end);
