/* Shared by heat_coe.c (an operation's phases) and heat_coe_masters.c. Not for plugins. */
#ifndef MAGNUM_SDK_LIB_HEAT_COE_INTERNAL_H
#define MAGNUM_SDK_LIB_HEAT_COE_INTERNAL_H

#include "lib/heat_coe.h"

/* Does the request name this node among those that go? */
bool coe_is_named(const struct mag_coe_run *r, const json_t *node);
/* Is there anything about masters in this request? */
bool coe_concerns_masters(const struct mag_coe_run *r, const json_t *group);
/* Adds the masters that go to `leaving`: those that are named come back in their places; when there
 * shall be fewer, the last ones go. Refuses what would leave no majority. */
int32_t coe_choose_masters(struct mag_coe_run *r, const json_t *group, json_t *leaving);
/* How often the server in each place was replaced; a member of the state. */
json_t *coe_lives(struct mag_heat_set *s);

#endif
