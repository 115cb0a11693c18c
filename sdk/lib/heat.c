/* See heat.h. What Heat answers is read here; what to do about it is in heat_steps.c. */
#include "lib/heat.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/heat_internal.h"
#include "lib/http.h"
#include "lib/names.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SERVICE "orchestration"
#define WANT_TAG "want-"
enum { LIST_PAGE = 1000, LIST_MAX = 100, NESTED_DEPTH = 5 };

void mag_heat_stack_done(struct mag_heat_stack *s)
{
    json_decref(s->outputs);
    *s = (struct mag_heat_stack){.outputs = NULL};
}

static int32_t refused(const char *method, const char *path, const struct mag_http_answer *a,
                       mag_error *err)
{
    _mag_json_ json_t *doc = NULL;
    (void)mag_json_parse(a->body, "answer", &doc, NULL);
    const char *text = mag_json_text(doc, "error.message", mag_json_text(doc, "message", ""));
    int len = (int)strcspn(path, "?");
    switch (a->status) {
    case 400:
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "HeatRefused", NULL,
                        "Heat does not take the stack: %s", text);
    case 401:
        return mag_fail(err, MAG_E_AUTH, MAG_ERR_OPERATOR, "HeatUnauthorized",
                        "look at the cluster's trust and the service's credentials",
                        "Heat does not accept the token");
    case 403:
        return mag_fail(
            err, strstr(text, "uota") || strstr(text, "aximum") ? MAG_E_QUOTA : MAG_E_DENIED,
            MAG_ERR_USER, "HeatForbidden",
            "ask for the role heat_stack_owner, or for a larger quota", "Heat refuses: %s", text);
    case 404:
        return mag_fail(err, MAG_E_NOT_FOUND, 0, "StackNotFound", NULL, "%s", text);
    case 409:
        return mag_fail(err, MAG_E_BUSY, MAG_ERR_RETRYABLE, "StackBusy", NULL, "%s", text);
    default:
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE | MAG_ERR_OPERATOR,
                        "HeatUnavailable", "look at Heat's log", "%s %.*s: Heat answered %u %s",
                        method, len, path, a->status, text);
    }
}

int32_t heat_call(const struct mag_heat *h, const char *method, const char *path,
                  const json_t *body, json_t **ret, mag_error *err)
{
    if (ret)
        *ret = NULL;
    struct mag_http_call c = {.method = method,
                              .service = SERVICE,
                              .path = path,
                              .headers = "Accept: application/json\n",
                              .json = body,
                              .timeout_ms = h->timeout_ms};
    struct mag_http_answer a = {0};
    int32_t rc = mag_http_do(h->services->host, h->op, &c, &a, err);
    if (rc != MAG_OK)
        return mag_fail_wrap(err, rc, "Heat");
    if (a.status < 200 || a.status >= 300)
        return refused(method, path, &a, err);
    return ret ? mag_json_parse(a.body, "Heat's answer", ret, err) : MAG_OK;
}

/* "/stacks/<name>/<id><rest>", with the name quoted. */
int32_t heat_path(char ret[HEAT_PATH], const char *name, const char *id, const char *rest,
                  mag_error *err)
{
    char quoted[3 * MAG_NAME_MAX];
    int n = mag_http_quote(quoted, sizeof quoted, name)
                ? snprintf(ret, HEAT_PATH, "/stacks/%s/%s%s", quoted, id, rest)
                : -1;
    return n > 0 && n < HEAT_PATH ? MAG_OK
                                  : mag_fail(err, MAG_E_INTERNAL, 0, "PathTooLong", NULL,
                                             "a stack's name is too long");
}

static void copy(char *out, size_t cap, const json_t *stack, const char *member)
{
    mag_line(out, cap, mag_json_text(stack, member, ""));
}

/* Status "CREATE_IN_PROGRESS" is action and status in one; the list may give both apart. */
static void read_status(const json_t *stack, struct mag_heat_stack *ret)
{
    const char *both = mag_json_text(stack, "stack_status", "");
    const char *cut = strchr(both, '_');
    if (!cut)
        return;
    snprintf(ret->action, sizeof ret->action, "%.*s", (int)(cut - both), both);
    snprintf(ret->status, sizeof ret->status, "%s", cut + 1);
}

static void read_stack(const json_t *stack, struct mag_heat_stack *ret)
{
    copy(ret->id, sizeof ret->id, stack, "id");
    copy(ret->reason, sizeof ret->reason, stack, "stack_status_reason");
    read_status(stack, ret);
    size_t i;
    const json_t *tag;
    json_array_foreach(mag_json_at(stack, "tags"), i, tag)
    {
        const char *t = json_string_value(tag);
        if (t && strncmp(t, WANT_TAG, strlen(WANT_TAG)) == 0)
            snprintf(ret->want, sizeof ret->want, "%s", t + strlen(WANT_TAG));
    }
}

int32_t mag_heat_find(const struct mag_heat *h, const char *name, struct mag_heat_stack *ret,
                      mag_error *err)
{
    *ret = (struct mag_heat_stack){.outputs = NULL};
    char quoted[3 * MAG_NAME_MAX], path[HEAT_PATH];
    if (!mag_http_quote(quoted, sizeof quoted, name) ||
        snprintf(path, sizeof path, "/stacks?name=%s", quoted) >= (int)sizeof path)
        return mag_fail(err, MAG_E_INTERNAL, 0, "PathTooLong", NULL, "a stack's name is too long");
    _mag_json_ json_t *doc = NULL;
    int32_t rc = heat_call(h, "GET", path, NULL, &doc, err);
    if (rc != MAG_OK)
        return rc;
    const json_t *list = mag_json_at(doc, "stacks");
    if (!json_is_array(list))
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "HeatAnswer", NULL,
                        "Heat's answer to a list has no stacks");
    size_t i;
    const json_t *stack;
    json_array_foreach(list, i, stack)
    {
        if (strcmp(mag_json_text(stack, "stack_name", ""), name) == 0)
            read_stack(stack, ret);
    }
    return MAG_OK;
}

static json_t *outputs_of(const json_t *stack)
{
    json_t *all = json_object();
    size_t i;
    json_t *o;
    json_array_foreach(mag_json_at(stack, "outputs"), i, o)
    {
        const char *key = mag_json_text(o, "output_key", NULL);
        json_t *value = mag_json_at(o, "output_value");
        if (all && key && value && json_object_set(all, key, value) < 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

int32_t mag_heat_show(const struct mag_heat *h, const char *name, const char *id,
                      struct mag_heat_stack *ret, mag_error *err)
{
    *ret = (struct mag_heat_stack){.outputs = NULL};
    char path[HEAT_PATH];
    _mag_json_ json_t *doc = NULL;
    int32_t rc = heat_path(path, name, id, "", err);
    if (rc == MAG_OK)
        rc = heat_call(h, "GET", path, NULL, &doc, err);
    if (rc == MAG_E_NOT_FOUND)
        return MAG_OK;
    if (rc != MAG_OK)
        return rc;
    const json_t *stack = mag_json_at(doc, "stack");
    read_stack(stack, ret);
    copy(ret->affinity, sizeof ret->affinity, mag_json_at(stack, "parameters"), "affinity_policy");
    ret->outputs = outputs_of(stack);
    if (!ret->outputs)
        return mag_fail_nomem(err);
    /* a stack that was deleted is still shown by its id for a while */
    if (strcmp(ret->action, "DELETE") == 0 && strcmp(ret->status, "COMPLETE") == 0)
        ret->id[0] = '\0';
    return MAG_OK;
}

/* How deep a resource lies: Heat links each nested one to its parent. */
static bool is_leaf(const json_t *all, const json_t *resource)
{
    const char *name = mag_json_text(resource, "resource_name", "");
    size_t i;
    const json_t *other;
    json_array_foreach(all, i, other)
    {
        if (strcmp(mag_json_text(other, "parent_resource", ""), name) == 0 && other != resource)
            return false;
    }
    return true;
}

int32_t mag_heat_failure(const struct mag_heat *h, const struct mag_heat_stack *s, const char *name,
                         char *ret, size_t cap, mag_error *err)
{
    char path[HEAT_PATH], rest[64];
    _mag_json_ json_t *doc = NULL;
    snprintf(rest, sizeof rest, "/resources?nested_depth=%d&status=FAILED", NESTED_DEPTH);
    int32_t rc = heat_path(path, name, s->id, rest, err);
    if (rc == MAG_OK)
        rc = heat_call(h, "GET", path, NULL, &doc, err);
    if (rc != MAG_OK)
        return rc;
    mag_line(ret, cap, s->reason);
    const json_t *all = mag_json_at(doc, "resources"), *r;
    size_t i;
    json_array_foreach(all, i, r)
    {
        const char *why = mag_json_text(r, "resource_status_reason", "");
        if (strcmp(mag_json_text(r, "resource_status", ""), "CREATE_FAILED") != 0 &&
            !strstr(mag_json_text(r, "resource_status", ""), "_FAILED"))
            continue;
        /* one that was given up because a sibling failed explains nothing */
        if (!is_leaf(all, r) || strstr(why, "aborted") || !*why)
            continue;
        char text[768];
        snprintf(text, sizeof text, "%s (%s): %s", mag_json_text(r, "resource_name", "?"),
                 mag_json_text(r, "resource_type", "?"), why);
        mag_line(ret, cap, text);
        break;
    }
    return MAG_OK;
}

static int32_t add_stacks(json_t *all, const json_t *page, char marker[64], mag_error *err)
{
    size_t i;
    const json_t *stack;
    json_array_foreach(page, i, stack)
    {
        struct mag_heat_stack s = {.outputs = NULL};
        read_stack(stack, &s);
        snprintf(marker, 64, "%s", s.id);
        json_t *entry = json_pack("{s:s,s:s,s:s,s:s}", "id", s.id, "action", s.action, "status",
                                  s.status, "reason", s.reason);
        if (!entry || json_object_set_new(all, mag_json_text(stack, "stack_name", ""), entry) < 0)
            return mag_fail_nomem(err);
    }
    return MAG_OK;
}

int32_t mag_heat_list(const struct mag_heat *h, json_t **ret, mag_error *err)
{
    *ret = NULL;
    _mag_json_ json_t *all = json_object();
    if (!all)
        return mag_fail_nomem(err);
    char marker[64] = "";
    for (int page = 0; page < LIST_MAX; page++) {
        char path[HEAT_PATH];
        snprintf(path, sizeof path, "/stacks?tags=" MAG_HEAT_TAG "&limit=%d%s%s", LIST_PAGE,
                 marker[0] ? "&marker=" : "", marker);
        _mag_json_ json_t *doc = NULL;
        int32_t rc = heat_call(h, "GET", path, NULL, &doc, err);
        if (rc != MAG_OK)
            return rc;
        const json_t *list = mag_json_at(doc, "stacks");
        rc = add_stacks(all, list, marker, err);
        if (rc != MAG_OK)
            return rc;
        if (json_array_size(list) < LIST_PAGE)
            break;
    }
    *ret = MAG_TAKE(all);
    return MAG_OK;
}

static uint64_t fnv(uint64_t h, const char *text)
{
    for (const char *p = text ? text : ""; *p; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211U;
    return (h ^ 0xff) * 1099511628211U; /* so that "ab","c" differs from "a","bc" */
}

bool mag_heat_hash(const struct mag_heat_want *want, char ret[17])
{
    _mag_free_ char *parameters =
        want->parameters ? json_dumps(want->parameters, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    _mag_free_ char *files =
        want->files ? json_dumps(want->files, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if ((want->parameters && !parameters) || (want->files && !files))
        return false;
    uint64_t h = fnv(fnv(fnv(14695981039346656037U, want->template), parameters), files);
    snprintf(ret, 17, "%016" PRIx64, h);
    return true;
}
