/* The stages of each kind of operation, and the names of the engine's enumerations: data only.
 * See engine.h. */
#include "operation/engine.h"

#include "base/cleanup.h"

#define LIFECYCLE "mag.coe.lifecycle/1"
#define NODEGROUPS "mag.coe.nodegroups/1"
#define ROTATE "mag.coe.rotate/1"

static const struct engine_stage none[] = {{.name = NULL}};
/* the trust comes first: a cert manager may be another service of the cloud */
static const struct engine_stage create[] = {
    {.name = "trust", .needs_trust = true},
    {.name = "certificates", .needs_tls = true},
    {.name = "create", .interface = LIFECYCLE, .verb = "create"},
    {.name = NULL}};
static const struct engine_stage update[] = {
    {.name = "update", .interface = LIFECYCLE, .verb = "update"}, {.name = NULL}};
static const struct engine_stage delete[] = {
    {.name = "remove", .interface = LIFECYCLE, .verb = "remove"},
    {.name = "certificates_remove"}, /* before the trust that a cert manager may need */
    {.name = "trust_remove", .needs_trust = true},
    {.name = NULL}};
static const struct engine_stage scale[] = {
    {.name = "scale", .interface = LIFECYCLE, .verb = "scale"}, {.name = NULL}};
static const struct engine_stage upgrade[] = {
    {.name = "upgrade", .interface = "mag.coe.upgrade/1", .verb = "upgrade"}, {.name = NULL}};
/* before the switch everything can be taken back; see conductor/rotate.c */
static const struct engine_stage rotate_ca[] = {
    {.name = "ca_new"},
    {.name = "ca_prepare", .interface = ROTATE, .verb = "ca_prepare"},
    {.name = "ca_switch"},
    {.name = "ca_grace"},
    {.name = "ca_complete", .interface = ROTATE, .verb = "ca_complete"},
    {.name = "ca_drop"},
    {.name = NULL}};
static const struct engine_stage credential[] = {
    {.name = "trust_renew", .needs_trust = true},
    {.name = "credential", .interface = ROTATE, .verb = "credential"},
    {.name = NULL}};
static const struct engine_stage group_create[] = {
    {.name = "nodegroup_create", .interface = NODEGROUPS, .verb = "create"}, {.name = NULL}};
/* limits and labels of a group are Magnum's own: a driver need not care for them */
static const struct engine_stage group_update[] = {
    {.name = "nodegroup_update", .interface = NODEGROUPS, .verb = "update", .optional = true},
    {.name = NULL}};
static const struct engine_stage group_remove[] = {
    {.name = "nodegroup_delete", .interface = NODEGROUPS, .verb = "remove"}, {.name = NULL}};

const struct engine_stage *engine_stages(enum op_kind k)
{
    static const struct engine_stage *const by_kind[OP_KIND_END] = {
        [OP_CREATE] = create,
        [OP_UPDATE] = update,
        [OP_DELETE] = delete,
        [OP_SCALE] = scale,
        [OP_UPGRADE] = upgrade,
        [OP_ROTATE_CA] = rotate_ca,
        [OP_ROTATE_CREDENTIAL] = credential,
        [OP_NODEGROUP_CREATE] = group_create,
        [OP_NODEGROUP_UPDATE] = group_update,
        [OP_NODEGROUP_DELETE] = group_remove,
    };
    unsigned i = (unsigned)k;
    return i < OP_KIND_END && by_kind[i] ? by_kind[i] : none;
}

const char *engine_status_name(enum engine_status s)
{
    static const char *const names[] = {OPS_PENDING,   OPS_RUNNING, OPS_BLOCKED,
                                        OPS_SUCCEEDED, OPS_FAILED,  OPS_CANCELLED};
    return (unsigned)s < ARRAY_LEN(names) ? names[s] : OPS_PENDING;
}

const char *engine_event_name(enum engine_event_kind k)
{
    static const char *const names[] = {"leased",     "stage",     "step",         "died",
                                        "overrun",    "no-driver", "timer",        "cancel",
                                        "superseded", "fenced",    "store-failed", "stopping"};
    return (unsigned)k < ARRAY_LEN(names) ? names[k] : "?";
}

const char *engine_action_name(enum engine_action_kind k)
{
    static const char *const names[] = {"store",  "stage",  "call", "wait",
                                        "reload", "finish", "drop"};
    return (unsigned)k < ARRAY_LEN(names) ? names[k] : "?";
}

int engine_rc_of(int err_code)
{
    switch (err_code) {
    case 0:
        return RC_OK;
    case ERR_INVALID:
    case ERR_TOO_LARGE:
    case ERR_CONFIG:
        return RC_INVALID;
    case ERR_NOT_FOUND:
        return RC_NOT_FOUND;
    case ERR_EXISTS:
        return RC_EXISTS;
    case ERR_CONFLICT:
    case ERR_BUSY:
    case ERR_STALE:
        return RC_BUSY;
    case ERR_FORBIDDEN:
        return RC_DENIED;
    case ERR_UNAUTHORIZED:
        return RC_AUTH;
    case ERR_QUOTA:
        return RC_QUOTA;
    case ERR_UNAVAILABLE:
    case ERR_NOMEM:
    case ERR_IO:
    case ERR_CANT_STORE:
    case ERR_PROTOCOL:
        return RC_UNAVAILABLE;
    case ERR_TIMEOUT:
        return RC_TIMEOUT;
    case ERR_CANCELLED:
        return RC_CANCELLED;
    case ERR_UNSUPPORTED:
        return RC_UNSUPPORTED;
    case ERR_FENCED:
        return RC_PRECONDITION;
    default:
        return RC_INTERNAL;
    }
}
