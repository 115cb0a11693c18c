/* See errors.h. */
#include "api/errors.h"

#include "api/jw.h"
#include "api/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static void set_json(struct http_response *rp, int status)
{
    rp->status = status;
    str_clear(&rp->body);
    for (size_t i = 0; i < rp->n_headers; i++)
        if (strcasecmp(rp->headers[i].name, "Content-Type") == 0)
            return;
    (void)http_response_header(rp, "Content-Type", "application/json");
}

void error_answer(struct http_response *rp, int status, const char *code, const char *title,
                  const char *detail)
{
    set_json(rp, status);
    struct str *o = &rp->body;
    str_append(o, "{\"errors\":[{");
    jw_str(o, "request_id", "");
    jw_str(o, "code", code);
    jw_int(o, "status", status);
    jw_str(o, "title", title);
    jw_str(o, "detail", detail);
    str_append(o, ",\"links\":[]}]}");
}

void error_from(struct http_response *rp, const struct err *e, bool show_5xx,
                const char *request_id)
{
    int status = err_http_status(e->code);
    char text[ERR_MSG_MAX], title[ERR_MSG_MAX];
    if (status < 500 || show_5xx || e->code == ERR_SERVICE_DOWN)
        snprintf(text, sizeof text, "%s", e->msg);
    else if (status == 503)
        snprintf(text, sizeof text, "The service is temporarily unavailable.");
    else if (status == 504)
        snprintf(text, sizeof text,
                 "No answer came in time; a change may or may not have been made.");
    else if (status == 507)
        snprintf(text, sizeof text, "The service has no space left to store anything.");
    else
        snprintf(text, sizeof text, "The request failed inside the service: see its log for %s.",
                 request_id);
    text_drop_broken(text); /* long values are shown in part */
    memcpy(title, text, sizeof title);
    title[strcspn(title, ".")] = '\0';
    error_answer(rp, status, status < 500 ? "client" : "server", title, text);
    if (status == 503)
        (void)http_response_header(rp, "Retry-After", "1");
}

static const char *reason(int status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    default:
        return "Error";
    }
}

/* Calls fn for each media type of an Accept header with a quality above zero. */
static bool any_type(const char *accept, bool (*fn)(const char *type, size_t len))
{
    for (const char *p = accept; *p;) {
        p += strspn(p, " \t,");
        size_t item = strcspn(p, ","), len = strcspn(p, "; \t,");
        const char *q = memmem(p, item, "q=", 2);
        bool refused = q && strtod(q + 2, NULL) == 0.0;
        if (len && !refused && fn(p, len))
            return true;
        p += item;
    }
    return false;
}

static bool is(const char *type, size_t len, const char *name)
{
    return strlen(name) == len && strncasecmp(type, name, len) == 0;
}
static bool is_json(const char *type, size_t len)
{
    return is(type, len, "application/json");
}
static bool is_not_json(const char *type, size_t len)
{
    return !is_json(type, len);
}
static bool covers_json(const char *type, size_t len)
{
    return is_json(type, len) || is(type, len, "*/*") || is(type, len, "application/*") ||
           is(type, len, "*");
}

bool accepts_json_only(const char *accept)
{
    return accept && any_type(accept, is_json) && !any_type(accept, is_not_json);
}

bool accepts_json(const char *accept)
{
    return !accept || !accept[strspn(accept, " \t")] || any_type(accept, covers_json);
}

void error_routing(struct http_response *rp, int status, const char *detail, const char *accept)
{
    bool told = accepts_json_only(accept);
    error_answer(rp, status, "", told ? reason(status) : "", told ? detail : "");
}

void error_version(struct http_response *rp, const char *text, int max_minor, bool with_text)
{
    set_json(rp, 406);
    struct str *o = &rp->body;
    str_append(o, "{\"errors\":[{");
    jw_str(o, "code", "magnum.microversion-unsupported");
    jw_str(o, "title", "Requested microversion is unsupported");
    if (with_text)
        jw_str(o, "description", text);
    str_printf(o, ",\"max_version\":\"1.%d\",\"min_version\":\"1.1\",\"links\":[{", max_minor);
    jw_str(o, "rel", "help");
    jw_str(o, "href", "http://docs.openstack.org/api-guide/compute/microversions.html");
    str_append(o, "}]}]}");
}

void error_unauthorized(struct http_response *rp, const char *challenge)
{
    set_json(rp, 401);
    str_append(&rp->body, "{\"error\":{\"code\":401,\"title\":\"Unauthorized\",\"message\":"
                          "\"The request you have made requires authentication.\"}}");
    if (challenge)
        (void)http_response_header(rp, "WWW-Authenticate", challenge);
}
