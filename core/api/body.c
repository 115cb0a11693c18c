/* See body.h. */
#include "api/body.h"

#include "api/text.h"

#include <string.h>
#include <strings.h>

static const char *argument(const struct route *r)
{
    if (r->body == BODY_PATCH)
        return "patch";
    return r->attrs ? r->attrs->argument : NULL;
}

static bool media(const char *type, size_t len, const char *const *names)
{
    for (; *names; names++)
        if (strlen(*names) == len && strncasecmp(type, *names, len) == 0)
            return true;
    return false;
}

/* The keys of a form, which are arguments no method has. */
static int refuse_form(const struct api_call *c, struct err *e)
{
    enum { KEYS = 32 };
    char *keys[KEYS];
    const char *sorted[KEYS];
    size_t n = 0;
    _cleanup_str_ struct str names = STR_INIT;
    for (const char *p = c->rq->body; *p && n < KEYS;) {
        size_t len = strcspn(p, "&"), key = strcspn(p, "=&");
        keys[n] = strndup(p, key < 500 ? key : 500);
        if (!keys[n])
            break;
        n++;
        p += len + (p[len] == '&');
    }
    memcpy(sorted, keys, n * sizeof *keys);
    text_sort(sorted, n);
    for (size_t i = 0; i < n; i++)
        str_printf(&names, "%s%s", i ? ", " : "", sorted[i]);
    for (size_t i = 0; i < n; i++)
        free(keys[i]);
    if (!text_utf8(str_text(&names)))
        return err_set(e, ERR_INVALID, "Request is not in valid JSON format");
    return err_set(e, ERR_INVALID, "Unknown argument: \"%s\"", str_text(&names));
}

static int check_type(const struct api_call *c, struct err *e)
{
    static const char *const json[] = {"application/json", "text/javascript",
                                       "application/javascript", NULL};
    static const char *const forms[] = {"application/x-www-form-urlencoded", "multipart/form-data",
                                        NULL};
    const char *type = http_request_header(c->rq, "Content-Type");
    size_t len = type ? strcspn(type, "; \t") : 0;
    if (len == 0 || media(type, len, forms))
        return refuse_form(c, e);
    if (media(type, len, json))
        return 0;
    if (!text_utf8(type))
        return err_set(e, ERR_MEDIA_TYPE, "Unknown mimetype");
    return err_set(e, ERR_MEDIA_TYPE, "Unknown mimetype: %.*s", (int)(len < 500 ? len : 500), type);
}

/* A method without a body argument: members of an object are arguments it does not know. */
static int check_none(const json_t *j, struct err *e)
{
    _cleanup_free_ const char **keys = NULL;
    const char *key;
    json_t *v;
    size_t n = 0;
    if (!json_is_object(j))
        return err_set(e, ERR_INVALID, "Request must be a JSON dict");
    if (json_object_size(j) == 0)
        return 0;
    keys = calloc(json_object_size(j), sizeof *keys);
    if (!keys)
        return err_nomem(e);
    json_object_foreach((json_t *)j, key, v) keys[n++] = key;
    text_sort(keys, n);
    _cleanup_str_ struct str names = STR_INIT;
    for (size_t i = 0; i < n; i++)
        str_printf(&names, "%s%s", i ? ", " : "", keys[i]);
    return err_set(e, ERR_INVALID, "Unknown argument: \"%s\"", str_text(&names));
}

static int check(struct api_call *c, struct err *e)
{
    const struct route *r = c->route;
    json_t *checked = NULL;
    int rc = 0;
    switch (r->body) {
    case BODY_NONE:
        return check_none(c->body, e);
    case BODY_PATCH:
        return patch_check(c->body, r->patch, api_zed(c), e);
    case BODY_NAMES:
        return attrs_check_names(r->attrs, api_zed(c), c->body, e);
    case BODY_OBJECT:
        rc = attrs_check(r->attrs, api_zed(c), c->body, &checked, e);
        break;
    }
    if (rc == 0) {
        json_decref(c->body);
        c->body = checked;
    }
    return rc;
}

int body_parse(struct api_call *c, struct err *e)
{
    struct err why = ERR_INIT;
    int rc = jsonx_parse(c->rq->body, c->rq->body_len, (unsigned)c->api->cfg->api_max_json_depth,
                         &c->body, &why);
    if (rc == ERR_NOMEM)
        return err_nomem(e);
    if (rc < 0)
        return err_set(e, ERR_INVALID, "Request is not in valid JSON format");
    return check(c, e);
}

int body_read(struct api_call *c, struct err *e)
{
    if (c->rq->body_len == 0 && c->route->body == BODY_NONE)
        return 0;
    if (c->rq->body_len == 0)
        return err_set(e, ERR_INVALID, "Missing argument: \"%s\"", argument(c->route));
    int rc = check_type(c, e);
    return rc < 0 ? rc : body_parse(c, e);
}
