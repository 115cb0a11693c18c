/* Heat stacks for drivers: one step of "make this stack so" that may be repeated after any crash,
 * and its counterpart for delete. A stack has a derived name and two tags, "magnum" and
 * "want-<hash of template, parameters and files>", so that what is there can be told from what is
 * wanted without a record of one's own; an existing stack of that name is adopted.
 * Service "orchestration" through the host, Heat's API v1 as of Zed.
 * Neighbours: services (ledger), http, drivers. */
#ifndef MAGNUM_SDK_LIB_HEAT_H
#define MAGNUM_SDK_LIB_HEAT_H

#include "lib/services.h"

#define MAG_HEAT_LEDGER_KIND "stack"
#define MAG_HEAT_TAG "magnum"

struct mag_heat { /* one call's way to Heat; copy freely; borrows */
    const struct mag_services *services;
    const mag_op *op;
    uint32_t timeout_ms; /* per exchange; 0 = the budget */
};

/* What a stack shall be. Borrows everything. */
struct mag_heat_want {
    const char *name;         /* derived (mag_name), at most 255 characters */
    const char *template;     /* HOT as YAML or JSON text */
    const json_t *parameters; /* object; secrets are fine, they go to Heat alone */
    const json_t *files;      /* {path as the template names it: text}, or NULL */
    int64_t timeout_min;      /* Heat's own limit for one action; 0 = Heat's default */
    bool must_exist;          /* an update: a stack that is gone is an error, not made anew */
};

/* What is there. */
struct mag_heat_stack {
    char id[64];       /* "" = there is none */
    char action[24];   /* CREATE, UPDATE, DELETE, ... */
    char status[24];   /* IN_PROGRESS, COMPLETE, FAILED */
    char reason[512];  /* one line */
    char want[32];     /* the hash in its tags, "" = not ours */
    char affinity[32]; /* parameter affinity_policy; only from mag_heat_show */
    json_t *outputs;   /* {output_key: output_value}, owned; only from mag_heat_show */
};
void mag_heat_stack_done(struct mag_heat_stack *s);

/* By name, in one exchange and without outputs. MAG_OK with id "" when there is none. */
int32_t mag_heat_find(const struct mag_heat *h, const char *name, struct mag_heat_stack *ret,
                      mag_error *err);
/* By name and id (from find, converge or the ledger), with outputs. id "" when it is gone. */
int32_t mag_heat_show(const struct mag_heat *h, const char *name, const char *id,
                      struct mag_heat_stack *ret, mag_error *err);

/* One step towards `want`: MAG_OK when the stack is COMPLETE as wanted (*ret with outputs),
 * MAG_AGAIN while Heat works (out->wait_ms, percent and message filled), else an error with the
 * failed resource's own reason.
 *
 * *begun tells whether this operation has asked Heat already: it comes from the driver's
 * checkpoint, and the driver stores it when it changed, before it returns. While it is false a
 * FAILED stack is updated once more; afterwards its failure is the operation's. */
int32_t mag_heat_converge(const struct mag_heat *h, const struct mag_heat_want *want, bool *begun,
                          struct mag_heat_stack *ret, mag_step *out, mag_error *err);
/* One step towards no stack of that name. MAG_OK: it is gone, and so is its entry in the ledger. A
 * delete that failed is asked for again, with a retryable error that tells why it failed. */
int32_t mag_heat_remove(const struct mag_heat *h, const char *name, mag_step *out, mag_error *err);

/* Why a stack FAILED: the deepest failed resource and its reason, "<name> (<type>): <reason>". */
int32_t mag_heat_failure(const struct mag_heat *h, const struct mag_heat_stack *s, const char *name,
                         char *ret, size_t cap, mag_error *err);

/* All stacks that carry MAG_HEAT_TAG in this project, as {name: {"id", "action", "status",
 * "reason"}}: one exchange for each thousand. The caller decrefs *ret. */
int32_t mag_heat_list(const struct mag_heat *h, json_t **ret, mag_error *err);

/* The hash that stands in the tag; 16 hex digits and NUL. false: no memory. */
bool mag_heat_hash(const struct mag_heat_want *want, char ret[17]);

#endif
