/* See microversions.h. */
#include "api/microversions.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <string.h>
#include <strings.h>

int api_versions_from(const char *compat, struct api_versions *ret, struct err *e)
{
    if (strcmp(compat, "head") == 0)
        *ret = (struct api_versions){"container-infrastructure-management", 14, false};
    else if (strcmp(compat, "zed") == 0)
        *ret = (struct api_versions){"container-infra", 10, true};
    else
        return err_set(e, ERR_CONFIG, "api.compat: \"%s\" is not known; use head or zed", compat);
    return 0;
}

static bool known_service(const struct api_versions *v, const char *word)
{
    static const char *const names[] = {"container-infra", "container-infrastructure",
                                        "container-infrastructure-management"};
    for (size_t i = 0; i < (v->zed ? 1 : ARRAY_LEN(names)); i++)
        if (strcmp(word, names[i]) == 0)
            return true;
    return false;
}

/* "1.10" -> 1, 10. Leading zeros are fine, signs are not. */
static bool numbers(const char *s, struct api_version *ret)
{
    char buf[2][12];
    int64_t n[2];
    const char *dot = strchr(s, '.');
    if (!dot)
        return false;
    size_t len[2] = {(size_t)(dot - s), strlen(dot + 1)};
    const char *part[2] = {s, dot + 1};
    for (int i = 0; i < 2; i++) {
        if (len[i] == 0 || len[i] >= sizeof buf[i] || strspn(part[i], "0123456789") < len[i])
            return false;
        memcpy(buf[i], part[i], len[i]);
        buf[i][len[i]] = '\0';
        if (!parse_i64(buf[i], 0, 999999999, &n[i]))
            return false;
    }
    ret->major = (int)n[0];
    ret->minor = (int)n[1];
    return true;
}

int api_version_parse(const struct api_versions *v, const char *header, struct api_version *ret,
                      struct err *e)
{
    static const char *const blanks = " \t\r\n\v\f";
    char words[2][64];
    size_t n = 0;
    *ret = (struct api_version){1, 1, false};
    if (!header)
        return 0;
    for (const char *p = header + strspn(header, blanks); *p; n++) {
        size_t len = strcspn(p, blanks);
        if (n >= 2 || len >= sizeof words[0])
            return err_set(e, ERR_NOT_ACCEPTABLE,
                           "Invalid service type for OpenStack-API-Version header");
        memcpy(words[n], p, len);
        words[n][len] = '\0';
        p += len;
        p += strspn(p, blanks);
    }
    if (n == 2 && strcasecmp(words[1], "latest") == 0) { /* the service is not looked at then */
        ret->minor = v->max_minor;
        return 0;
    }
    if (n != 2 || !known_service(v, words[0]))
        return err_set(e, ERR_NOT_ACCEPTABLE,
                       "Invalid service type for OpenStack-API-Version header");
    if (!numbers(words[1], ret))
        return err_set(e, ERR_NOT_ACCEPTABLE, "Invalid value for OpenStack-API-Version header");
    ret->unsupported = true;
    if (ret->major != 1)
        return err_set(e, ERR_NOT_ACCEPTABLE,
                       "Mutually exclusive versions requested. Version %d.%d requested but not "
                       "supported by this service.The supported version range is: [%s 1.1, %s "
                       "1.%d].",
                       ret->major, ret->minor, v->service, v->service, v->max_minor);
    if (ret->minor < 1 || ret->minor > v->max_minor)
        return err_set(e, ERR_NOT_ACCEPTABLE,
                       "Version %d.%d was requested but the minor version is not supported by "
                       "this service. The supported version range is: [%s 1.1, %s 1.%d].",
                       ret->major, ret->minor, v->service, v->service, v->max_minor);
    ret->unsupported = false;
    return 0;
}
