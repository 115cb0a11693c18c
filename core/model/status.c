/* See status.h; the table itself is status.def. */
#include "model/status.h"

#include "base/cleanup.h"

#include <string.h>

static const struct {
    const char *from, *to;
} transitions[] = {
#define T(a, b) {a, b},
#include "model/status.def"
#undef T
};

static const struct {
    enum op_kind kind;
    const char *name, *accept, *success, *failure;
} kinds[] = {
    {OP_CREATE, "create", "CREATE_IN_PROGRESS", "CREATE_COMPLETE", "CREATE_FAILED"},
    {OP_UPDATE, "update", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE", "UPDATE_FAILED"},
    {OP_DELETE, "delete", "DELETE_IN_PROGRESS", "DELETE_COMPLETE", "DELETE_FAILED"},
    {OP_SCALE, "scale", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE", "UPDATE_FAILED"},
    {OP_HEALTH, "health", NULL, NULL, NULL},
    {OP_UPGRADE, "upgrade", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE", "UPDATE_FAILED"},
    {OP_ROTATE_CA, "rotate_ca", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE", "UPDATE_FAILED"},
    {OP_ROTATE_CREDENTIAL, "rotate_credential", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE",
     "UPDATE_FAILED"},
    {OP_NODEGROUP_CREATE, "nodegroup_create", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE",
     "UPDATE_FAILED"},
    {OP_NODEGROUP_UPDATE, "nodegroup_update", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE",
     "UPDATE_FAILED"},
    {OP_NODEGROUP_DELETE, "nodegroup_delete", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE",
     "UPDATE_FAILED"},
};

static const char *const all[] = {
    "CREATE_IN_PROGRESS",   "CREATE_FAILED",   "CREATE_COMPLETE",    "UPDATE_IN_PROGRESS",
    "UPDATE_FAILED",        "UPDATE_COMPLETE", "DELETE_IN_PROGRESS", "DELETE_FAILED",
    "DELETE_COMPLETE",      "RESUME_COMPLETE", "RESUME_FAILED",      "RESTORE_COMPLETE",
    "ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED", "ROLLBACK_COMPLETE",  "SNAPSHOT_COMPLETE",
    "CHECK_COMPLETE",       "ADOPT_COMPLETE",
};
static const char *const updatable[] = {
    "CREATE_COMPLETE",   "UPDATE_COMPLETE",   "RESUME_COMPLETE", "RESTORE_COMPLETE",
    "ROLLBACK_COMPLETE", "SNAPSHOT_COMPLETE", "CHECK_COMPLETE",  "ADOPT_COMPLETE",
};
static const char *const failed[] = {
    "CREATE_FAILED", "UPDATE_FAILED", "DELETE_FAILED", "ROLLBACK_FAILED", "RESUME_FAILED",
};

static bool in(const char *s, const char *const *set, size_t n)
{
    for (size_t i = 0; s && i < n; i++)
        if (strcmp(s, set[i]) == 0)
            return true;
    return false;
}

const char *op_kind_name(enum op_kind k)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].kind == k)
            return kinds[i].name;
    return "unknown";
}

bool op_kind_parse(const char *name, enum op_kind *ret)
{
    for (size_t i = 0; name && i < ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0) {
            *ret = kinds[i].kind;
            return true;
        }
    return false;
}

bool op_status_final(const char *s)
{
    static const char *const final[] = {OPS_SUCCEEDED, OPS_FAILED, OPS_CANCELLED};
    return in(s, final, ARRAY_LEN(final));
}

bool status_updatable(const char *s)
{
    return in(s, updatable, ARRAY_LEN(updatable));
}

bool status_resizable(const char *s)
{
    static const char *const more[] = {"UPDATE_FAILED", "UPDATE_IN_PROGRESS"};
    return status_updatable(s) || in(s, more, ARRAY_LEN(more));
}

bool status_in_progress(const char *s)
{
    static const char *const busy[] = {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS",
                                       "DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"};
    return in(s, busy, ARRAY_LEN(busy));
}

bool status_failed(const char *s)
{
    return in(s, failed, ARRAY_LEN(failed));
}

bool status_known(const char *s)
{
    return in(s, all, ARRAY_LEN(all));
}

#define KIND_COLUMN(fn, column)                                                                    \
    const char *fn(enum op_kind k)                                                                 \
    {                                                                                              \
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)                                              \
            if (kinds[i].kind == k)                                                                \
                return kinds[i].column;                                                            \
        return NULL;                                                                               \
    }
KIND_COLUMN(status_on_accept, accept)
KIND_COLUMN(status_on_success, success)
KIND_COLUMN(status_on_failure, failure)

/* Groups share the cluster's status but for those an operation makes or takes away. */
static enum op_kind group_kind(enum op_kind k)
{
    return k == OP_NODEGROUP_CREATE ? OP_CREATE : k == OP_NODEGROUP_DELETE ? OP_DELETE : k;
}

const char *status_group_on_accept(enum op_kind k)
{
    return status_on_accept(group_kind(k));
}

const char *status_group_on_success(enum op_kind k)
{
    return status_on_success(group_kind(k));
}

const char *status_group_on_failure(enum op_kind k)
{
    return status_on_failure(group_kind(k));
}

const char *status_from_groups(const char *ended, const char *const *groups, size_t n)
{
    bool failed_one = false;
    if (ended && strcmp(ended, "DELETE_COMPLETE") == 0)
        return ended;
    for (size_t i = 0; i < n; i++) {
        if (status_in_progress(groups[i]))
            return "UPDATE_IN_PROGRESS";
        failed_one |= status_failed(groups[i]);
    }
    return failed_one ? "UPDATE_FAILED" : ended;
}

bool status_transition_allowed(const char *from, const char *to)
{
    for (size_t i = 0; to && i < ARRAY_LEN(transitions); i++)
        if (strcmp(transitions[i].from, from ? from : "") == 0 &&
            strcmp(transitions[i].to, to) == 0)
            return true;
    return false;
}

const char *const *status_allowed_from(const char *to)
{
    enum { STATUSES = ARRAY_LEN(all) };
    /* one list per status, built from the constants: no shared mutable state */
    static _Thread_local const char *lists[STATUSES][ARRAY_LEN(transitions) + 1];
    static const char *const none[] = {NULL};
    for (size_t s = 0; s < STATUSES; s++) {
        if (!to || strcmp(all[s], to) != 0)
            continue;
        size_t n = 0;
        for (size_t i = 0; i < ARRAY_LEN(transitions); i++)
            if (strcmp(transitions[i].to, to) == 0 && transitions[i].from[0])
                lists[s][n++] = transitions[i].from;
        lists[s][n] = NULL;
        return lists[s];
    }
    return none;
}
