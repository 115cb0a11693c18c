/* See db_manage_history.h. Between two batches there is a pause, so that whoever waits for the rows
 * comes first; a signal or a lost connection ends the run between two batches, and the next one
 * goes on where it was. */
#include "cmd/db_manage_history.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cmd/db_manage_archive.h"
#include "db/db_migrate.h"
#include "db/db_online.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { DAY_S = 86400 };

static bool parse_day(const char *text, int64_t *ret_us)
{
    char full[32];
    snprintf(full, sizeof full, "%sT00:00:00Z", text);
    return strlen(text) == strlen("2026-01-31") && clock_parse_iso(full, ret_us);
}

/* By the database's clock. */
static int limit_of(struct db *db, const struct history *h, int64_t *ret_us, struct err *e)
{
    int64_t now_us = 0;
    if (!h->before == (h->days < 0))
        return err_set(e, ERR_INVALID, "say how old: either --days or --before");
    int rc = db_now(db, &now_us, e);
    if (rc)
        return rc;
    if (h->days >= 0)
        *ret_us = now_us - h->days * DAY_S * 1000000;
    else if (!parse_day(h->before, ret_us) && !clock_parse_iso(h->before, ret_us))
        return err_set(e, ERR_INVALID, "\"%s\" is no time: 2026-01-31 or 2026-01-31T12:00:00Z",
                       h->before);
    if (*ret_us > now_us)
        return err_set(e, ERR_INVALID, "--before lies in the future");
    return 0;
}

static void pause_after(const struct history *h, int64_t n)
{
    if (n == h->batch && h->pause_ms)
        (void)poll(NULL, 0, (int)h->pause_ms);
}

/* One kind, batch by batch. sink NULL: the rows just go. */
static int remove_all(struct db *db, const struct db_purge_kind *k, const struct history *h,
                      int64_t before_us, const struct db_archive *sink, struct err *e)
{
    int64_t n = h->batch, all = 0;
    int rc = 0;
    while (!rc && n == h->batch) {
        rc = sink ? db_archive(db, k, before_us, h->batch, sink, &n, e)
                  : db_purge(db, k, before_us, h->batch, &n, e);
        if (rc)
            break;
        all += n;
        pause_after(h, n);
    }
    printf("%-14s %lld %s\n", k->name, (long long)all, sink ? "archived" : "removed");
    fflush(stdout);
    return rc;
}

static int count_all(struct db *db, const struct db_purge_kind *k, int64_t before_us, struct err *e)
{
    int64_t n = 0;
    int rc = db_purge_count(db, k, before_us, &n, e);
    if (!rc)
        printf("%-14s %lld %s\n", k->name, (long long)n, k->about);
    return rc;
}

static int each_kind(struct db *db, const struct history *h, int64_t before_us, bool archive,
                     const struct db_archive *sink, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < db_purge_kinds_n; i++) {
        const struct db_purge_kind *k = &db_purge_kinds[i];
        if (archive && !k->archived)
            continue;
        rc = h->dry_run ? count_all(db, k, before_us, e) : remove_all(db, k, h, before_us, sink, e);
    }
    return rc;
}

int history_purge(struct db *db, const struct history *h, struct err *e)
{
    int64_t before_us = 0;
    int rc = db_schema_check(db, e);
    if (!rc)
        rc = limit_of(db, h, &before_us, e);
    return rc ? rc : each_kind(db, h, before_us, false, NULL, e);
}

int history_archive(struct db *db, const struct history *h, struct err *e)
{
    _cleanup_(archive_close) struct archive_file *file = NULL;
    int64_t before_us = 0;
    if (!h->file && !h->dry_run)
        return err_set(e, ERR_INVALID, "archive needs --file");
    int rc = db_schema_check(db, e);
    if (!rc)
        rc = limit_of(db, h, &before_us, e);
    if (!rc && !h->dry_run)
        rc = archive_open(h->file, db, &file, e);
    if (rc)
        return rc;
    struct db_archive sink = {.id = NULL};
    if (file)
        sink = archive_sink(file);
    return each_kind(db, h, before_us, true, &sink, e);
}

/* --- online data migrations --- */

/* Up to *left rows of one (left 0: all); what it did is taken off. */
static int migrate_one(struct db *db, const struct db_online *m, const struct history *h,
                       int64_t *left, bool *ret_more, struct err *e)
{
    int64_t needed = 0, waiting = 0, done = 0, n = 1;
    int rc = db_online_count(db, m, &needed, &waiting, e);
    while (!rc && n && !(h->max_count && *left == 0)) {
        int64_t batch = h->max_count && *left < h->batch ? *left : h->batch;
        rc = db_online_run(db, m, batch, &n, e);
        if (rc)
            break;
        done += n;
        *left -= h->max_count ? n : 0;
        pause_after(h, n);
    }
    if (rc)
        return rc;
    *ret_more |= done < needed && n;
    printf("%-18s %10lld %10lld\n", m->name, (long long)needed, (long long)done);
    if (waiting)
        printf("  %lld more wait for %s\n", (long long)waiting, m->waits);
    fflush(stdout);
    return 0;
}

int history_migrate(struct db *db, const struct history *h, bool *ret_more, struct err *e)
{
    int64_t left = h->max_count;
    int rc = db_schema_check(db, e);
    *ret_more = false;
    if (!rc)
        printf("%-18s %10s %10s\n", "migration", "needed", "done");
    for (size_t i = 0; !rc && i < db_online_n; i++)
        rc = migrate_one(db, &db_online[i], h, &left, ret_more, e);
    return rc;
}
