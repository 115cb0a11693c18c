/* See run.h: nodes that come up and nodes that go, whatever runs in them. */
#include "lib/local/run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/files.h"
#include "lib/local/net.h"

#include <stdio.h>
#include <string.h>

enum { ATTEMPTS_MAX = 3 };

int32_t mag_local_network(struct mag_local_run *r, const size_t *which, size_t n)
{
    struct mag_call *c = r->c;
    struct mag_purge p = mag_local_purge(r);
    unsigned index[MAG_LOCAL_NODES_MAX];
    size_t k = 0;
    bool fabric_lost = !mag_net_exists(&r->cl, 0);
    int32_t rc = fabric_lost ? mag_purge_declare(&p, 0, "", c->err) : MAG_OK;
    for (size_t i = 0; i < n && rc == MAG_OK; i++) {
        const struct mag_roster_node *node = &r->st.v[which[i]];
        index[k++] = node->index;
        if (r->seen[which[i]].run == MAG_NODE_ABSENT || !mag_net_exists(&r->cl, node->index))
            rc = mag_purge_declare(&p, node->index, node->name, c->err);
        else /* a life of it that is not on record must not meet the new one */
            rc = mag_net_kill_all(&r->cl, node->index, 2000, c->err);
    }
    /* The ends of all links went with a lost fabric: those of running nodes too. */
    for (size_t i = 0; i < r->st.n && fabric_lost; i++)
        if (r->seen[i].run == MAG_NODE_RUNNING && !r->st.v[i].leaving && k < MAG_LEN(index))
            index[k++] = r->st.v[i].index;
    if (rc == MAG_OK)
        rc = mag_net_fabric_up(&r->cl, c->err);
    return rc == MAG_OK ? mag_net_nodes_up(&r->cl, index, k, c->err) : rc;
}

/* Counted per operation on disk, since no process of ours lives long enough. */
int32_t mag_local_attempt(struct mag_local_run *r, const struct mag_roster_node *n,
                          const char *base, const char *what)
{
    struct mag_call *c = r->c;
    char path[MAG_LOCAL_BASE_MAX + 32], text[128], words[256], remedy[200];
    _mag_free_ char *was = NULL;
    unsigned count = 0;
    size_t id_len = strlen(c->op->op_id);
    (void)snprintf(path, sizeof path, "%s/attempts", base);
    if (mag_read_file(path, sizeof text, &was, NULL) == MAG_OK &&
        strncmp(was, c->op->op_id, id_len) == 0 && was[id_len] == ' ')
        count = (unsigned)strtoul(was + id_len, NULL, 10);
    if (count >= ATTEMPTS_MAX) {
        mag_node_last_words(base, words, sizeof words);
        (void)snprintf(remedy, sizeof remedy, "look into %s/log on the conductor's machine", base);
        return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_OPERATOR, "DaemonFailed", remedy,
                        "%s %s ended %u times: %s", what, n->name, count, words);
    }
    (void)snprintf(text, sizeof text, "%.100s %u", c->op->op_id, count + 1);
    return mag_write_file(path, mag_text(text), 0600, c->err);
}

int32_t mag_local_start(struct mag_local_run *r, const struct mag_local_starter *s)
{
    size_t which[MAG_LOCAL_AT_ONCE], n = 0, running = 0, changing = 0;
    for (size_t i = 0; i < r->st.n; i++) {
        bool may = true;
        if (r->st.v[i].leaving)
            continue;
        running += r->seen[i].run == MAG_NODE_RUNNING;
        changing += r->seen[i].run == MAG_NODE_CHANGING;
        if (r->seen[i].run > MAG_NODE_STOPPED || n == MAG_LEN(which))
            continue;
        int32_t rc = s->may ? s->may(r, which, n, i, &may) : MAG_OK;
        if (rc != MAG_OK)
            return rc;
        if (may)
            which[n++] = i;
    }
    size_t all = mag_local_staying(r);
    if (n == 0 && changing == 0)
        return mag_net_exists(&r->cl, 0) ? MAG_OK : mag_local_network(r, NULL, 0);
    int32_t rc = n ? s->start(r, which, n) : MAG_OK;
    if (rc != MAG_OK)
        return rc;
    return mag_again(r->c->out, changing || running + n == all ? 30 : 0,
                     (uint32_t)(5 + 20 * (running + n) / all), "%zu of %zu nodes are started",
                     running + n, all);
}

int32_t mag_local_take_away(struct mag_local_run *r, const unsigned *index, size_t n,
                            int64_t grace_ms)
{
    struct mag_purge p = mag_local_purge(r);
    int32_t rc = mag_purge_nodes(&p, index, n, grace_ms, r->c->err);
    if (rc == MAG_AGAIN)
        return mag_again(r->c->out, 50, 94, "%zu nodes are being powered off", n);
    if (rc != MAG_OK)
        return rc;
    for (size_t i = 0; i < n; i++)
        mag_roster_drop(&r->st, index[i]);
    rc = mag_local_save(r);
    return rc == MAG_OK ? mag_local_look(r) : rc;
}
