/* See labels_zed.h. */
#include "api/labels_zed.h"

#include "base/cleanup.h"
#include "base/jsonx.h"
#include "base/str.h"

#include <string.h>
#include <strings.h>

static const char *const isolations[] = {"filesystem/posix",
                                         "filesystem/linux",
                                         "filesystem/shared",
                                         "posix/cpu",
                                         "posix/mem",
                                         "posix/disk",
                                         "cgroups/cpu",
                                         "cgroups/mem",
                                         "docker/runtime",
                                         "namespaces/pid",
                                         NULL};
static const char *const providers[] = {"docker", "appc", NULL};
static const char *const strategies[] = {"spread", "binpack", "random", NULL};

/* A comma list (or one word) whose members must be among `allowed`. */
static int check_list(const json_t *labels, const char *key, const char *const *allowed, bool list,
                      struct err *e)
{
    const char *value = jsonx_str(labels, key);
    _cleanup_strv_ struct strv parts = STRV_INIT;
    _cleanup_str_ struct str all = STR_INIT;
    if (str_blank(value))
        return 0;
    if ((list ? strv_split(&parts, value, ',') : strv_add(&parts, value)) < 0)
        return err_nomem(e);
    for (size_t i = 0; i < parts.n; i++) {
        bool known = false;
        for (size_t k = 0; allowed[k]; k++)
            known |= strcasecmp(parts.v[i], allowed[k]) == 0;
        if (known)
            continue;
        for (size_t k = 0; allowed[k]; k++)
            str_printf(&all, "%s, ", allowed[k]);
        return err_set(e, ERR_INVALID,
                       "property \"labels/%s\" with value \"%.500s\" is not supported, supported "
                       "values are: %sunspecified",
                       key, parts.v[i], str_text(&all));
    }
    return 0;
}

static int check_docker_runtime(const json_t *labels, struct err *e)
{
    const char *images = jsonx_str(labels, "mesos_slave_image_providers");
    const char *isolation = jsonx_str(labels, "mesos_slave_isolation");
    _cleanup_strv_ struct strv parts = STRV_INIT;
    bool docker = false;
    if (!images)
        return 0;
    if (strv_split(&parts, images, ',') < 0)
        return err_nomem(e);
    for (size_t i = 0; i < parts.n; i++)
        docker |= strcasecmp(parts.v[i], "docker") == 0;
    if (!docker || (isolation && strstr(isolation, "docker/runtime")))
        return 0;
    return err_set(e, ERR_INVALID,
                   "Required parameter docker/runtime isolator in mesos_slave_isolation not "
                   "provided.");
}

int labels_zed_check(const json_t *labels, struct err *e)
{
    const char *env = jsonx_str(labels, "mesos_slave_executor_env_variables");
    int rc = check_list(labels, "mesos_slave_isolation", isolations, true, e);
    if (rc == 0)
        rc = check_list(labels, "mesos_slave_image_providers", providers, true, e);
    if (rc == 0)
        rc = check_docker_runtime(labels, e);
    if (rc == 0)
        rc = check_list(labels, "swarm_strategy", strategies, false, e);
    if (rc == 0 && env) {
        json_t *j = json_loads(env, JSON_DECODE_ANY, NULL);
        if (!j)
            rc = err_set(e, ERR_INVALID, "Json format error");
        json_decref(j);
    }
    return rc;
}
