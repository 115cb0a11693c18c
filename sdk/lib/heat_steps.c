/* See heat.h: one step towards a stack, or towards none. The order is always look, declare, ask,
 * confirm: a step that is cut off anywhere is repeated and finds what it did. */
#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/heat_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { WAIT_MS = 5000, SOON_MS = 1000 };

static bool is(const struct mag_heat_stack *s, const char *action, const char *status)
{
    return (!action || strcmp(s->action, action) == 0) && strcmp(s->status, status) == 0;
}

static int32_t again(mag_step *out, uint32_t wait_ms, const char *what, const char *name)
{
    out->wait_ms = wait_ms;
    snprintf(out->message, sizeof out->message, "Heat %s stack %.120s", what, name);
    return MAG_AGAIN;
}

static json_t *body_of(const struct mag_heat_want *w, const char hash[17], bool named)
{
    char tags[64];
    snprintf(tags, sizeof tags, MAG_HEAT_TAG ",want-%s", hash);
    json_t *body = json_pack("{s:s,s:s,s:b,s:O?,s:O?}", "template", w->template, "tags", tags,
                             "disable_rollback", 1, "parameters", w->parameters, "files", w->files);
    if (!body)
        return NULL;
    if ((named && json_object_set_new(body, "stack_name", json_string(w->name)) < 0) ||
        (w->timeout_min > 0 &&
         json_object_set_new(body, "timeout_mins", json_integer(w->timeout_min)) < 0)) {
        json_decref(body);
        return NULL;
    }
    /* Heat takes no null */
    if (!w->parameters)
        json_object_del(body, "parameters");
    if (!w->files)
        json_object_del(body, "files");
    return body;
}

static int32_t make(const struct mag_heat *h, const struct mag_heat_want *w, const char hash[17],
                    struct mag_heat_stack *ret, mag_step *out, mag_error *err)
{
    _mag_json_ json_t *body = body_of(w, hash, true), *answer = NULL;
    if (!body)
        return mag_fail_nomem(err);
    int32_t rc = mag_ledger_declare(h->services, h->op, MAG_HEAT_LEDGER_KIND, w->name, NULL, err);
    if (rc == MAG_OK)
        rc = heat_call(h, "POST", "/stacks", body, &answer, err);
    /* somebody was faster, or an earlier attempt's request came through late: look again */
    if (rc == MAG_E_BUSY)
        return again(out, SOON_MS, "has", w->name);
    if (rc != MAG_OK)
        return rc;
    mag_line(ret->id, sizeof ret->id, mag_json_text(answer, "stack.id", ""));
    rc = mag_ledger_confirm(h->services, h->op, MAG_HEAT_LEDGER_KIND, w->name, ret->id, err);
    return rc == MAG_OK ? again(out, WAIT_MS, "makes", w->name) : rc;
}

static int32_t change(const struct mag_heat *h, const struct mag_heat_want *w, const char hash[17],
                      const struct mag_heat_stack *s, mag_step *out, mag_error *err)
{
    char path[HEAT_PATH];
    _mag_json_ json_t *body = body_of(w, hash, false);
    if (!body)
        return mag_fail_nomem(err);
    /* adopted: it is ours from here on, and delete shall find it */
    int32_t rc = mag_ledger_declare(h->services, h->op, MAG_HEAT_LEDGER_KIND, w->name, NULL, err);
    if (rc == MAG_OK)
        rc = mag_ledger_confirm(h->services, h->op, MAG_HEAT_LEDGER_KIND, w->name, s->id, err);
    if (rc == MAG_OK)
        rc = heat_path(path, w->name, s->id, "", err);
    if (rc == MAG_OK)
        rc = heat_call(h, "PUT", path, body, NULL, err);
    if (rc == MAG_E_BUSY)
        return again(out, WAIT_MS, "is busy with", w->name);
    return rc == MAG_OK ? again(out, WAIT_MS, "changes", w->name) : rc;
}

static int32_t failed(const struct mag_heat *h, const char *name, const struct mag_heat_stack *s,
                      uint32_t flags, mag_error *err)
{
    char why[768];
    int32_t rc = mag_heat_failure(h, s, name, why, sizeof why, err);
    if (rc != MAG_OK)
        return rc;
    bool quota = strstr(why, "uota") != NULL;
    return mag_fail(err, quota ? MAG_E_QUOTA : MAG_E_INTERNAL, flags | (quota ? MAG_ERR_USER : 0),
                    quota ? "StackQuota" : "StackFailed",
                    quota ? "free resources or ask for a larger quota, then retry"
                          : "mend what the reason names, then retry the operation or delete",
                    "%s_%s: %s", s->action, s->status, why);
}

static int32_t gone_by_hand(const char *name, mag_error *err)
{
    return mag_fail(err, MAG_E_PRECONDITION, MAG_ERR_USER, "StackGone",
                    "delete the cluster; its stack was deleted outside of Magnum",
                    "stack %s does not exist any more", name);
}

int32_t mag_heat_converge(const struct mag_heat *h, const struct mag_heat_want *want, bool *begun,
                          struct mag_heat_stack *ret, mag_step *out, mag_error *err)
{
    char hash[17];
    if (!mag_heat_hash(want, hash))
        return mag_fail_nomem(err);
    int32_t rc = mag_heat_find(h, want->name, ret, err);
    if (rc != MAG_OK)
        return rc;
    bool first = !*begun;
    if (!ret->id[0]) {
        if (want->must_exist || !first)
            return gone_by_hand(want->name, err);
        rc = make(h, want, hash, ret, out, err);
        *begun = ret->id[0] != '\0';
        return rc;
    }
    if (is(ret, "DELETE", "IN_PROGRESS"))
        return mag_fail(err, MAG_E_BUSY, MAG_ERR_RETRYABLE, "StackDeleting", NULL,
                        "stack %s is being deleted", want->name);
    if (strcmp(ret->want, hash) != 0 || (first && is(ret, NULL, "FAILED"))) {
        rc = change(h, want, hash, ret, out, err);
        *begun |= rc == MAG_AGAIN;
        return rc;
    }
    *begun = true;
    if (is(ret, NULL, "IN_PROGRESS"))
        return again(out, WAIT_MS, strcmp(ret->action, "CREATE") == 0 ? "makes" : "changes",
                     want->name);
    if (is(ret, NULL, "FAILED"))
        return failed(h, want->name, ret, 0, err);
    char id[sizeof ret->id];
    memcpy(id, ret->id, sizeof id);
    /* a crash between asking and confirming leaves an intent: say what is known now */
    rc = mag_ledger_declare(h->services, h->op, MAG_HEAT_LEDGER_KIND, want->name, NULL, err);
    if (rc == MAG_OK)
        rc = mag_ledger_confirm(h->services, h->op, MAG_HEAT_LEDGER_KIND, want->name, id, err);
    if (rc == MAG_OK)
        rc = mag_heat_show(h, want->name, id, ret, err);
    if (rc == MAG_OK && !ret->id[0])
        return gone_by_hand(want->name, err);
    return rc;
}

int32_t mag_heat_remove(const struct mag_heat *h, const char *name, mag_step *out, mag_error *err)
{
    struct mag_heat_stack s = {.outputs = NULL};
    char path[HEAT_PATH], why[768] = "";
    int32_t rc = mag_heat_find(h, name, &s, err);
    if (rc != MAG_OK)
        return rc;
    if (!s.id[0])
        return mag_ledger_drop(h->services, h->op, MAG_HEAT_LEDGER_KIND, name, err);
    if (is(&s, "DELETE", "IN_PROGRESS"))
        return again(out, WAIT_MS, "deletes", name);
    bool again_after_failure = is(&s, "DELETE", "FAILED");
    if (again_after_failure)
        rc = mag_heat_failure(h, &s, name, why, sizeof why, err);
    if (rc == MAG_OK)
        rc = heat_path(path, name, s.id, "", err);
    if (rc == MAG_OK)
        rc = heat_call(h, "DELETE", path, NULL, NULL, err);
    if (rc != MAG_OK && rc != MAG_E_NOT_FOUND)
        return rc;
    if (again_after_failure)
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE | MAG_ERR_OPERATOR,
                        "StackDeleteFailed", "remove what the reason names, or delete by force",
                        "DELETE_FAILED: %s", why);
    return again(out, SOON_MS, "deletes", name);
}
