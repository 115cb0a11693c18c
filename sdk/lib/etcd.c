/* See etcd.h. */
#include "lib/etcd.h"

#include "lib/fail.h"

#include <stdio.h>
#include <string.h>

/* ---- the list ---- */

/* The next field of a line; NULL: there is none. Empty ones count. */
static const char *field(const char *at, const char *end, char *ret, size_t cap)
{
    const char *comma = at;
    while (comma < end && strncmp(comma, ", ", 2) != 0)
        comma++;
    size_t n = (size_t)(comma - at);
    if (n >= cap)
        return NULL;
    memcpy(ret, at, n);
    ret[n] = '\0';
    return comma < end ? comma + 2 : end;
}

/* "<id>, started|unstarted, <name>, <peer URLs>, <client URLs>, <learner>" */
static bool read_line(const char *at, const char *end, struct mag_etcd_member *ret)
{
    char state[16] = "";
    *ret = (struct mag_etcd_member){.id = ""};
    at = field(at, end, ret->id, sizeof ret->id);
    at = at ? field(at, end, state, sizeof state) : NULL;
    at = at ? field(at, end, ret->name, sizeof ret->name) : NULL;
    at = at ? field(at, end, ret->peer, sizeof ret->peer) : NULL;
    return at && ret->id[0] && strspn(ret->id, "0123456789abcdef") == strlen(ret->id) &&
           ret->peer[0] && (strcmp(state, "started") == 0 || strcmp(state, "unstarted") == 0);
}

int32_t mag_etcd_members(const char *text, struct mag_etcd_member ret[MAG_ETCD_MEMBERS_MAX],
                         size_t *ret_n, mag_error *err)
{
    size_t n = 0;
    for (const char *at = text, *end; *at; at = *end ? end + 1 : end) {
        end = at + strcspn(at, "\n");
        if (end == at)
            continue;
        if (n == MAG_ETCD_MEMBERS_MAX || !read_line(at, end, &ret[n]))
            return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "BadMemberList", NULL,
                            "etcd's list of members can't be read: %.*s", (int)(end - at), at);
        n++;
    }
    *ret_n = n;
    return MAG_OK;
}

/* ---- the next step ---- */

static int host_of(const struct mag_etcd_host *hosts, size_t n, const char *peer)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(hosts[i].peer, peer) == 0)
            return (int)i;
    return MAG_ETCD_NONE;
}

static bool is_member(const struct mag_etcd_member *members, size_t m, const char *peer)
{
    for (size_t i = 0; i < m; i++)
        if (strcmp(members[i].peer, peer) == 0)
            return true;
    return false;
}

/* A member that goes, of those that are well or of those that are not. */
static struct mag_etcd_next goes(const struct mag_etcd_host *hosts, size_t n,
                                 const struct mag_etcd_member *members, size_t m, size_t well,
                                 bool well_one)
{
    for (size_t i = 0; i < m; i++) {
        int h = host_of(hosts, n, members[i].peer);
        bool is_well = h >= 0 && hosts[h].well;
        if ((h >= 0 && !hosts[h].leaving) || is_well != well_one)
            continue;
        bool others_decide = (well - is_well) * 2 > m;
        return (struct mag_etcd_next){others_decide ? MAG_ETCD_REMOVE : MAG_ETCD_LOST, h, (int)i};
    }
    return (struct mag_etcd_next){MAG_ETCD_DONE, MAG_ETCD_NONE, MAG_ETCD_NONE};
}

struct mag_etcd_next mag_etcd_next(const struct mag_etcd_host *hosts, size_t n,
                                   const struct mag_etcd_member *members, size_t m)
{
    size_t well = 0, staying = 0;
    int ill = MAG_ETCD_NONE, new_one = MAG_ETCD_NONE;
    for (size_t i = n; i-- > 0;) {
        bool in = is_member(members, m, hosts[i].peer);
        well += in && hosts[i].well;
        staying += !hosts[i].leaving;
        if (!hosts[i].leaving && in && !hosts[i].well)
            ill = (int)i;
        if (!hosts[i].leaving && !in)
            new_one = (int)i;
    }
    struct mag_etcd_next next = goes(hosts, n, members, m, well, false);
    if (next.action == MAG_ETCD_REMOVE)
        return next;
    if (ill >= 0) /* it may yet be the one that makes the majority */
        return (struct mag_etcd_next){MAG_ETCD_WAIT, ill, MAG_ETCD_NONE};
    if (next.action == MAG_ETCD_LOST)
        return next;
    if (new_one >= 0 && m < staying)
        return (struct mag_etcd_next){MAG_ETCD_ADD, new_one, MAG_ETCD_NONE};
    return goes(hosts, n, members, m, well, true);
}

bool mag_etcd_may_go(size_t members, size_t well, size_t ill_that_go, size_t well_that_go)
{
    if (well * 2 <= members)
        return false;
    /* by the time a well one goes, those that were ill have successors that are not */
    return well_that_go == 0 || (well + ill_that_go - 1) * 2 > members;
}
