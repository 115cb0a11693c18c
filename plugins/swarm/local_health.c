/* The periodic look: processes of this machine and the managers' own list, never a worker's word
 * about itself. Reasons are "<node>.Ready" and "api", as Magnum's clients know them.
 * Neighbours: local_run.h. */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdio.h>
#include <string.h>

static void judge_node(const struct mag_local_run *r, size_t at, struct mag_verdict *v)
{
    const struct mag_roster_node *n = &r->st.v[at];
    const struct mag_local_seen *s = &r->seen[at];
    char text[160];
    if (s->run <= MAG_NODE_STOPPED) {
        mag_verdict_sick(v, n->name, NULL, "False: the node is powered off (its process is gone)");
    } else if (!r->list) {
        mag_verdict_node(v, n->name, "Unknown: no manager answers");
    } else if (!s->entry) {
        mag_verdict_sick(v, n->name, NULL, "False: not a member of the swarm");
    } else if (strcmp(swarm_node_state(s->entry), "unknown") == 0) {
        v->unknown = true;
        mag_verdict_node(v, n->name,
                         "Unknown: the managers have not heard of it since they were restarted");
    } else if (!local_listed_ready(r, at)) {
        const char *why = mag_json_text(s->entry, "Status.Message", "");
        (void)snprintf(text, sizeof text, "False: %s%s%.100s", swarm_node_state(s->entry),
                       *why ? ", " : "", why);
        mag_verdict_sick(v, n->name, NULL, text);
    } else {
        mag_verdict_node(v, n->name, "True");
    }
}

/* No manager that answers is a finding, not a failure. */
static int32_t judge(struct mag_local_run *r, struct mag_verdict *v, bool *ret_whole)
{
    char text[160];
    int32_t rc = local_list(r);
    if (rc < 0)
        return rc;
    /* a manager without majority goes on telling old news */
    bool quorum = mag_local_quorum(r, "managers", text, sizeof text);
    v->bad |= !quorum;
    v->unknown |= quorum && !r->list;
    mag_verdict_api(v, !quorum ? text : r->list ? "ok" : "no manager answers");
    for (size_t i = 0; i < r->st.n; i++)
        if (!r->st.v[i].leaving)
            judge_node(r, i, v);
    *ret_whole = false; /* nodes of a swarm are not replaced by themselves */
    return MAG_OK;
}

int32_t local_health(struct mag_call *c)
{
    struct swarm_run r = swarm_run_of(c);
    int32_t rc = mag_local_health(&r.m, judge);
    swarm_run_done(&r);
    return rc;
}
