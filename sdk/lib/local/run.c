/* See run.h: the step itself, what it publishes, and verbs that are the same for all engines.
 * Neighbours: run_nodes.c. */
#include "lib/local/run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/spawn.h"

#include <stdio.h>
#include <string.h>

/* ---- this machine ---- */

void mag_local_site_init(struct mag_local_site *s, const mag_host *host, const char *default_dir)
{
    s->state_dir = mag_config(host, "state_dir", default_dir);
    s->path = mag_config(host, "program_path", MAG_LOCAL_PATH);
}

int32_t mag_local_site_check(struct mag_local_site *s, const mag_host *host,
                             const struct mag_local_program *programs, size_t n, mag_error *err)
{
    const struct mag_local_wants wants = {
        .state_dir = s->state_dir,
        .path = s->path,
        .helper = mag_config(host, "local_node_program", NULL),
        .programs = programs,
        .n_programs = n,
    };
    return s->fit ? MAG_OK : mag_local_check(&wants, &s->machine, err);
}

int32_t mag_local_beside(const struct mag_local_site *s, const char *name, char *ret, size_t cap,
                         mag_error *err)
{
    const char *helper = s->machine.helper, *slash = strrchr(helper, '/');
    int n = snprintf(ret, cap, "%.*s/%s", (int)(slash ? slash - helper : 0), helper, name);
    if (n > 0 && (size_t)n < cap && access(ret, X_OK) == 0)
        return MAG_OK;
    return mag_fail(err, MAG_E_NOT_FOUND, MAG_ERR_OPERATOR, "ProgramMissing",
                    "install all of Magnum's programs",
                    "Magnum's own program %s is not beside %.200s", name, helper);
}

/* ---- one step ---- */

void mag_local_run_init(struct mag_local_run *r, struct mag_call *c, struct mag_local_site *site)
{
    *r = (struct mag_local_run){.c = c, .site = site, .cl = MAG_LOCAL_CLUSTER_INIT};
}

void mag_local_run_done(struct mag_local_run *r)
{
    json_decref(r->list);
    r->list = NULL;
    free(r->seen);
    r->seen = NULL;
    mag_roster_done(&r->st);
    mag_local_close(&r->cl);
}

int32_t mag_local_run_open(struct mag_local_run *r)
{
    struct mag_call *c = r->c;
    const struct mag_local_machine *m = &r->site->machine;
    int32_t rc = mag_roster_here(c->op, r->site->state_dir, c->err);
    if (rc == MAG_OK)
        rc = mag_local_open(r->site->state_dir, c->op->cluster_id, m->helper, m->ip, true, &r->cl,
                            c->err);
    if (rc == MAG_AGAIN)
        return mag_again(c->out, 50, 0, "Waiting for an earlier step of this cluster to end");
    return rc == MAG_OK ? mag_roster_load(c->self->host, c->op, r->cl.dir, &r->st, c->err) : rc;
}

int32_t mag_local_run_peek(struct mag_local_run *r)
{
    struct mag_call *c = r->c;
    (void)snprintf(r->cl.uuid, sizeof r->cl.uuid, "%.36s", c->op->cluster_id);
    int32_t rc = mag_roster_here(c->op, r->site->state_dir, c->err);
    if (rc == MAG_OK)
        rc = mag_local_find(r->site->state_dir, c->op->cluster_id, r->cl.dir, c->err);
    if (rc == MAG_OK)
        rc = mag_roster_load(c->self->host, c->op, r->cl.dir, &r->st, c->err);
    return rc == MAG_OK ? mag_local_look(r) : rc;
}

int32_t mag_local_save(struct mag_local_run *r)
{
    return mag_roster_save(r->c->self->host, r->c->op, &r->cl, &r->st, r->c->err);
}

int32_t mag_local_look(struct mag_local_run *r)
{
    free(r->seen);
    r->seen = calloc(r->st.n ? r->st.n : 1, sizeof *r->seen);
    if (!r->seen)
        return mag_fail_nomem(r->c->err);
    for (size_t i = 0; i < r->st.n; i++) {
        char base[MAG_LOCAL_BASE_MAX + 8];
        mag_local_base(&r->cl, r->st.v[i].index, base);
        r->seen[i].run = mag_node_look(base, &r->seen[i].record);
    }
    return r->looked ? r->looked(r) : MAG_OK;
}

static int32_t run_phases(struct mag_local_run *r, const mag_local_phase *phases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i && mag_out_of_time(r->c))
            return mag_again(r->c->out, 0, (uint32_t)(i * 100 / n), "Working");
        int32_t rc = phases[i](r);
        if (rc != MAG_OK)
            return rc;
    }
    r->c->out->percent = 100;
    return MAG_OK;
}

int32_t mag_local_converge(struct mag_local_run *r, mag_local_phase plan,
                           const mag_local_phase *phases, size_t n)
{
    int32_t rc = mag_local_run_open(r);
    if (rc == MAG_OK)
        rc = plan(r);
    return rc == MAG_OK ? run_phases(r, phases, n) : rc;
}

const struct mag_roster_group *mag_local_group_of(const struct mag_local_run *r,
                                                  const struct mag_roster_node *n)
{
    for (size_t i = 0; i < r->n_groups; i++)
        if (strcmp(r->groups[i].uuid, n->group) == 0)
            return &r->groups[i];
    return NULL;
}

size_t mag_local_staying(const struct mag_local_run *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->st.n; i++)
        n += !r->st.v[i].leaving;
    return n;
}

bool mag_local_any_leaving(const struct mag_local_run *r)
{
    return mag_local_staying(r) < r->st.n;
}

struct mag_purge mag_local_purge(struct mag_local_run *r)
{
    return (struct mag_purge){&r->c->self->services, r->c->op, &r->cl};
}

const char *mag_local_gone_group(const mag_op *op)
{
    return op->kind == MAG_OP_NODEGROUP_DELETE ? op->nodegroup_id : NULL;
}

/* ---- what came of it ---- */

int32_t mag_local_settle_ledger(struct mag_local_run *r)
{
    struct mag_purge p = mag_local_purge(r);
    int32_t rc = mag_purge_settle(&p, &r->st, r->c->err);
    return rc == MAG_AGAIN ? mag_again(r->c->out, 50, 95, "Removing what an earlier attempt left")
                           : rc;
}

static int32_t publish_group(struct mag_local_run *r, const struct mag_roster_group *g)
{
    struct mag_call *c = r->c;
    char key[96], address[16];
    _mag_json_ json_t *list = json_array();
    for (size_t i = 0; i < r->st.n; i++) {
        if (strcmp(r->st.v[i].group, g->uuid) != 0)
            continue;
        mag_local_address(r->st.v[i].index, address);
        if (json_array_append_new(list, json_string(address)) < 0)
            return mag_fail_nomem(c->err);
    }
    (void)snprintf(key, sizeof key, "nodegroup/%s/node_count", g->uuid);
    int32_t rc = mag_output_new(c->self->host, c->op, key,
                                json_integer((json_int_t)json_array_size(list)), c->err);
    (void)snprintf(key, sizeof key, "nodegroup/%s/node_addresses", g->uuid);
    return rc == MAG_OK ? mag_output_new(c->self->host, c->op, key, json_incref(list), c->err) : rc;
}

int32_t mag_local_publish_groups(struct mag_local_run *r)
{
    const char *gone = mag_local_gone_group(r->c->op);
    int32_t rc = MAG_OK;
    for (size_t i = 0; i < r->n_groups && rc == MAG_OK; i++)
        if (!gone || strcmp(gone, r->groups[i].uuid) != 0)
            rc = publish_group(r, &r->groups[i]);
    return rc;
}

int32_t mag_local_remove(struct mag_call *c, struct mag_local_site *site)
{
    struct mag_local_cluster cl = MAG_LOCAL_CLUSTER_INIT;
    struct mag_purge p = {&c->self->services, c->op, &cl};
    char ip[128] = "";
    bool force = c->op->flags & MAG_OPF_FORCE;
    (void)mag_find_program(site->path, "ip", ip, sizeof ip); /* only makes it tidier */
    int32_t rc = mag_roster_here(c->op, site->state_dir, c->err);
    if (rc == MAG_OK || force)
        rc = mag_local_open(site->state_dir, c->op->cluster_id, "", ip, false, &cl, c->err);
    if (rc == MAG_OK)
        rc = mag_purge_cluster(&p, c->err);
    mag_local_close(&cl);
    if (rc == MAG_AGAIN)
        return mag_again(c->out, 50, 50, "Nodes are being powered off");
    if (rc < 0 && rc != MAG_E_PRECONDITION)
        c->err->flags |= MAG_ERR_MAY_LEAK;
    else
        c->out->percent = 100;
    return rc;
}

/* ---- how it is ---- */

bool mag_local_quorum(const struct mag_local_run *r, const char *masters, char *why, size_t cap)
{
    size_t all = 0, alive = 0;
    for (size_t i = 0; i < r->st.n; i++) {
        all += r->st.v[i].master && !r->st.v[i].leaving;
        alive += r->st.v[i].master && !r->st.v[i].leaving && r->seen[i].run == MAG_NODE_RUNNING;
    }
    (void)snprintf(why, cap, "no quorum: %zu of %zu %s are alive, %zu are needed", alive, all,
                   masters, all / 2 + 1);
    return alive * 2 > all;
}

static void not_known(struct mag_verdict *v, const char *why)
{
    v->unknown = true;
    mag_verdict_api(v, why);
}

int32_t mag_local_health(struct mag_local_run *r, mag_local_judge judge)
{
    struct mag_call *c = r->c;
    struct mag_verdict v = mag_verdict_new();
    bool whole = false;
    int32_t rc = mag_local_run_peek(r);
    if (rc == MAG_OK && r->st.n == 0)
        not_known(&v, "no node of this cluster is known on this machine");
    else if (rc == MAG_OK)
        rc = judge(r, &v, &whole);
    else if (rc == MAG_E_UNAVAILABLE) { /* on another machine, whose conductor can tell */
        not_known(&v, c->err->message);
        rc = MAG_OK;
    }
    if (rc == MAG_OK)
        rc = mag_verdict_publish(&v, c->self->host, c->op, whole, c->err);
    mag_verdict_done(&v);
    return rc;
}
