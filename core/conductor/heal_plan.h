/* Which nodes are replaced, or why none is: the decision of healing, pure.
 * Neighbours: heal.c brings the facts and carries it out. */
#ifndef MAGNUM_CONDUCTOR_HEAL_PLAN_H
#define MAGNUM_CONDUCTOR_HEAL_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct config;

struct heal_limits {
    int64_t after_s, window_s, max_nodes, max_percent, cool_down_s;
};
struct heal_choice {
    json_t *nodes;         /* of the facts' "sick", all of one group; owned; NULL = none now */
    const char *nodegroup; /* borrowed from nodes */
    int64_t node_count;    /* of that group */
    bool masters;          /* it is theirs */
    char why[200];         /* stable while nothing changes; "" = nothing to say */
};
void heal_choice_done(struct heal_choice *c);
struct heal_limits heal_limits_of(const struct config *cfg);
/* Does the cluster want it: label auto_healing_enabled, and no agent of its own that does it. */
int heal_wanted(const json_t *labels);
/* facts: as of db_heal_note. Of the group with the oldest sick node all that are old enough go, the
 * oldest first, as far as the limit allows; of masters one, and while the others are a majority. */
void heal_choose(const struct heal_limits *l, const json_t *facts, struct heal_choice *ret);

#endif
