/* The operator's policy file over the defaults of either release: refused with a line that names
 * the file, or a set of rules in which every rule can be decided. */
#include "auth/policy_rules.h"
#include "base/cleanup.h"
#include "config/yaml.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void decide_all(const struct policy_rules *rules, const json_t *file)
{
    _cleanup_json_ json_t *target = json_pack("{s:s, s:s}", "project_id", "p1", "user_id", "u1");
    _cleanup_json_ json_t *creds =
        json_pack("{s:s, s:s, s:[s]}", "project_id", "p1", "user_id", "u1", "roles", "member");
    const char *name;
    json_t *check;
    for (size_t i = 0; i < policy_defaults_len; i++)
        (void)policy_rules_hold(rules, policy_defaults[i].name, target, creds);
    json_object_foreach((json_t *)file, name, check)(void)
        policy_rules_hold(rules, name, target, creds);
    (void)policy_rules_hold(rules, "no:such", target, creds);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    _cleanup_json_ json_t *file = NULL;
    struct err e = ERR_INIT;
    if (yaml_load("policy.yaml", (const char *)data, size, &file, &e) < 0)
        return 0;
    for (int bits = 0; bits < 4; bits++) {
        struct policy_rules *rules = NULL;
        struct policy_options o = {
            .zed = bits == 3, .new_defaults = bits & 1, .enforce_scope = bits & 2};
        int rc = policy_rules_new(&o, "policy.yaml", file, &rules, &e);
        if ((rc < 0) != (rules == NULL) || (rc < 0 && !strstr(e.msg, "policy.yaml")))
            abort();
        if (rc == 0)
            decide_all(rules, file);
        policy_rules_free(rules);
    }
    return 0;
}
