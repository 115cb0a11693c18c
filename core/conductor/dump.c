/* What a conductor holds at this moment, for people: SIGUSR1 writes it into the log. Reads only
 * what does not change while a run lives, so that nobody is held up. Neighbours: queue.c, cmd. */
#include "base/clock.h"
#include "base/log.h"
#include "conductor/conductor_internal.h"
#include "db/db.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lines {
    struct strv runs;
    size_t at[RUN_PARKED + 1];
    int64_t now_ms;
};

static const char *const places[] = {[RUN_READY] = "ready",
                                     [RUN_WORKING] = "working",
                                     [RUN_WAITING] = "waiting",
                                     [RUN_PARKED] = "parked"};

static bool note_run(struct run *r, void *ctx)
{
    struct lines *l = ctx;
    _cleanup_str_ struct str s = STR_INIT;
    l->at[r->place]++;
    str_printf(&s, "operation %s %s of cluster %s: %s, lease for %lld ms", r->id, r->kind,
               r->cluster_id, places[r->place],
               (long long)(atomic_load(&r->held_until_ms) - l->now_ms));
    if (r->place == RUN_WAITING)
        str_printf(&s, ", due in %lld ms", (long long)(r->due_ms - l->now_ms));
    if (atomic_load(&r->cancel))
        str_append(&s, ", cancel asked");
    if (atomic_load(&r->lost))
        str_append(&s, ", lease lost");
    if (!s.oom)
        (void)strv_add(&l->runs, str_text(&s));
    return false; /* nobody is woken */
}

/* Fields 2 to 4 of /proc/PID/stat; the name may hold anything but ends with the last parenthesis.
 */
static void note_child(const char *pid)
{
    char path[64], line[512], *name, *end;
    int parent = 0;
    (void)snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    FILE *f = fopen(path, "re");
    bool got = f && fgets(line, sizeof line, f);
    if (f)
        (void)fclose(f);
    name = got ? strchr(line, '(') : NULL;
    end = got ? strrchr(line, ')') : NULL;
    if (!name || !end || sscanf(end + 1, " %*c %d", &parent) != 1 || parent != getpid())
        return;
    *end = '\0';
    log_info("dump.child", "pid %s %s", pid, name + 1);
}

static void dump_children(void)
{
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
            note_child(e->d_name);
    if (d)
        (void)closedir(d);
}

void conductor_dump(struct conductor *c)
{
    struct lines l = {.now_ms = clock_mono_ms()};
    struct db_pool_counts pool;
    queue_each(&c->queue, note_run, &l);
    db_pool_count(c->db, &pool);
    log_info("dump", "instance %s: %zu ready, %zu working, %zu waiting, %zu parked; room for %zu",
             c->instance, l.at[RUN_READY], l.at[RUN_WORKING], l.at[RUN_WAITING], l.at[RUN_PARKED],
             queue_room(&c->queue, c->n_workers));
    log_info("dump", "%zu worker threads, %zu others, last heartbeat %lld ms ago; %s", c->n_workers,
             c->n_roles, (long long)(l.now_ms - atomic_load(&c->turned_ms)),
             atomic_load(&c->announced) ? "takes calls" : "takes no calls");
    log_info("dump", "database connections: %zu open, %zu idle, %zu at most", pool.open, pool.idle,
             pool.max);
    for (size_t i = 0; i < l.runs.n; i++)
        log_info("dump.run", "%s", l.runs.v[i]);
    strv_free(&l.runs);
    dump_children();
}
