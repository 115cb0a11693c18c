/* A policy check from a file: it is refused with a text, or it can be decided. */
#include "auth/policy_language.h"
#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static const struct policy_check *no_rule(const void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return NULL;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    _cleanup_free_ char *text = strndup((const char *)data, size);
    struct policy_check *c = NULL, *opposite = NULL;
    struct err e = ERR_INIT;
    if (!text)
        return 0;
    if (policy_parse(text, &c, &e) < 0) {
        if (!e.msg[0] || e.code >= 0 || c)
            abort();
        return 0;
    }
    _cleanup_json_ json_t *target = json_pack("{s:s, s:n}", "project_id", "p1", "a");
    _cleanup_json_ json_t *creds = json_pack("{s:s, s:[s], s:{s:s}}", "project_id", "p1", "roles",
                                             "member", "token", "id", "1");
    struct policy_ask ask = {.target = target, .creds = creds, .rule = no_rule};
    bool yes = policy_holds(c, &ask);
    policy_check_free(c);
    _cleanup_free_ char *inverse = malloc(strlen(text) + 16);
    if (!inverse || !*text)
        return 0;
    strcpy(inverse, "not ( ");
    strcat(inverse, text);
    strcat(inverse, " )");
    if (policy_parse(inverse, &opposite, &e) < 0) /* one level deeper than allowed, at most */
        return strstr(e.msg, "nested deeper") ? 0 : (abort(), 0);
    if (policy_holds(opposite, &ask) == yes)
        abort();
    policy_check_free(opposite);
    return 0;
}
