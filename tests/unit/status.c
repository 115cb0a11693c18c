/* Unit tests of core/model/status: every cell of the transition table, every set, every kind. The
 * allowed cells are written down here a second time, in another form. */
#include "model/status.h"

#include "support/cunit_main.h"

#include <stdlib.h>

static const char *const all[] = {
    "CREATE_IN_PROGRESS",   "CREATE_FAILED",   "CREATE_COMPLETE",    "UPDATE_IN_PROGRESS",
    "UPDATE_FAILED",        "UPDATE_COMPLETE", "DELETE_IN_PROGRESS", "DELETE_FAILED",
    "DELETE_COMPLETE",      "RESUME_COMPLETE", "RESUME_FAILED",      "RESTORE_COMPLETE",
    "ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED", "ROLLBACK_COMPLETE",  "SNAPSHOT_COMPLETE",
    "CHECK_COMPLETE",       "ADOPT_COMPLETE",
};
enum { STATUSES = sizeof all / sizeof all[0] };

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static bool ends(const char *s, const char *with)
{
    size_t n = strlen(s), m = strlen(with);
    return n >= m && is(s + n - m, with);
}

static bool begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* The rules of DESIGN and of the reference, as code. */
static bool expected(const char *from, const char *to)
{
    if (!from)
        return is(to, "CREATE_IN_PROGRESS");
    bool gone = is(from, "DELETE_COMPLETE");
    if (is(to, "DELETE_IN_PROGRESS")) /* a delete is accepted in every status */
        return !gone;
    if (is(to, "UPDATE_IN_PROGRESS"))
        return !gone && (status_updatable(from) || begins(from, "UPDATE_"));
    if (is(to, "CREATE_IN_PROGRESS")) /* a failed create is tried again */
        return is(from, "CREATE_FAILED");
    if (is(to, "ROLLBACK_IN_PROGRESS"))
        return is(from, "UPDATE_IN_PROGRESS");
    /* an operation's end: from its own IN_PROGRESS only */
    if (!ends(to, "_COMPLETE") && !ends(to, "_FAILED"))
        return false;
    char progress[40];
    (void)snprintf(progress, sizeof progress, "%.*s_IN_PROGRESS", (int)strcspn(to, "_"), to);
    return status_known(progress) && is(from, progress);
}

static void every_cell_of_the_table(void)
{
    for (int to = 0; to < STATUSES; to++)
        for (int from = -1; from < STATUSES; from++) {
            const char *f = from < 0 ? NULL : all[from];
            bool want = expected(f, all[to]), got = status_transition_allowed(f, all[to]);
            if (want != got)
                fprintf(stderr, "%s -> %s: allowed %d, expected %d\n", f ? f : "(new)", all[to],
                        got, want);
            CU_ASSERT_EQUAL(got, want);
        }
    CU_ASSERT_FALSE(status_transition_allowed("CREATE_COMPLETE", NULL));
    CU_ASSERT_FALSE(status_transition_allowed("nonsense", "DELETE_IN_PROGRESS"));
    CU_ASSERT_FALSE(status_transition_allowed("CREATE_COMPLETE", "nonsense"));
}

static void the_where_lists_say_the_same(void)
{
    for (int to = 0; to < STATUSES; to++) {
        const char *const *from = status_allowed_from(all[to]);
        size_t n = 0;
        for (int i = 0; i < STATUSES; i++)
            n += status_transition_allowed(all[i], all[to]);
        for (; *from; from++, n--)
            CU_ASSERT(status_transition_allowed(*from, all[to]));
        CU_ASSERT_EQUAL(n, 0);
    }
    CU_ASSERT_PTR_NULL(*status_allowed_from("nonsense"));
    CU_ASSERT_PTR_NULL(*status_allowed_from(NULL));
}

static void the_sets(void)
{
    for (int i = 0; i < STATUSES; i++) {
        const char *s = all[i];
        CU_ASSERT(status_known(s));
        CU_ASSERT_EQUAL(status_in_progress(s), ends(s, "_IN_PROGRESS"));
        CU_ASSERT_EQUAL(status_failed(s), ends(s, "_FAILED"));
        CU_ASSERT_EQUAL(status_updatable(s), ends(s, "_COMPLETE") && !is(s, "DELETE_COMPLETE"));
        CU_ASSERT_EQUAL(status_resizable(s),
                        status_updatable(s) || (begins(s, "UPDATE_") && !ends(s, "_COMPLETE")));
    }
    CU_ASSERT_FALSE(status_known("UP") || status_known("") || status_known(NULL));
    CU_ASSERT_FALSE(status_updatable(NULL) || status_failed(NULL) || status_in_progress(NULL));
    CU_ASSERT(op_status_final(OPS_SUCCEEDED) && op_status_final(OPS_FAILED) &&
              op_status_final(OPS_CANCELLED));
    CU_ASSERT_FALSE(op_status_final(OPS_PENDING) || op_status_final(OPS_RUNNING) ||
                    op_status_final(OPS_BLOCKED) || op_status_final(NULL));
}

/* What an operation does to a status must be allowed by the table from where it was accepted. */
static void kinds_move_along_the_table(void)
{
    for (enum op_kind k = OP_CREATE; k < OP_KIND_END; k++) {
        enum op_kind parsed = OP_KIND_END;
        CU_ASSERT(op_kind_parse(op_kind_name(k), &parsed));
        CU_ASSERT_EQUAL(parsed, k);
        if (k == OP_HEALTH) {
            CU_ASSERT_PTR_NULL(status_on_accept(k));
            CU_ASSERT_PTR_NULL(status_group_on_success(k));
            continue;
        }
        CU_ASSERT(status_transition_allowed(status_on_accept(k), status_on_success(k)));
        CU_ASSERT(status_transition_allowed(status_on_accept(k), status_on_failure(k)));
        CU_ASSERT(status_transition_allowed(status_group_on_accept(k), status_group_on_success(k)));
        CU_ASSERT(status_transition_allowed(status_group_on_accept(k), status_group_on_failure(k)));
    }
    CU_ASSERT_STRING_EQUAL(status_group_on_accept(OP_NODEGROUP_CREATE), "CREATE_IN_PROGRESS");
    CU_ASSERT_STRING_EQUAL(status_on_accept(OP_NODEGROUP_CREATE), "UPDATE_IN_PROGRESS");
    CU_ASSERT_STRING_EQUAL(status_group_on_failure(OP_NODEGROUP_DELETE), "DELETE_FAILED");
    enum op_kind k = OP_SCALE;
    CU_ASSERT_FALSE(op_kind_parse("dance", &k) || op_kind_parse(NULL, &k));
    CU_ASSERT_EQUAL(k, OP_SCALE);
    CU_ASSERT_STRING_EQUAL(op_kind_name(OP_KIND_END), "unknown");
}

/* data-model.md 4, as a table: groups, how the operation ended, what the cluster is. */
static void the_cluster_follows_from_its_groups(void)
{
    static const struct {
        const char *groups[4], *ended, *cluster;
    } rows[] = {
        {{"CREATE_COMPLETE", "CREATE_COMPLETE"}, "CREATE_COMPLETE", "CREATE_COMPLETE"},
        {{"CREATE_COMPLETE", "UPDATE_COMPLETE"}, "UPDATE_COMPLETE", "UPDATE_COMPLETE"},
        {{"CREATE_COMPLETE", "CREATE_COMPLETE", "CREATE_COMPLETE"},
         "UPDATE_COMPLETE",
         "UPDATE_COMPLETE"},
        {{"CREATE_COMPLETE", "UPDATE_COMPLETE", "CREATE_FAILED"},
         "UPDATE_COMPLETE",
         "UPDATE_FAILED"},
        {{"CREATE_COMPLETE", "UPDATE_FAILED"}, "UPDATE_COMPLETE", "UPDATE_FAILED"},
        {{"CREATE_COMPLETE", "CREATE_COMPLETE", "DELETE_FAILED"},
         "UPDATE_COMPLETE",
         "UPDATE_FAILED"},
        {{"CREATE_COMPLETE", "CREATE_COMPLETE", "CREATE_IN_PROGRESS"},
         "UPDATE_COMPLETE",
         "UPDATE_IN_PROGRESS"},
        {{"CREATE_COMPLETE", "CREATE_FAILED", "DELETE_IN_PROGRESS"},
         "UPDATE_COMPLETE",
         "UPDATE_IN_PROGRESS"},
        {{"ROLLBACK_COMPLETE", "CREATE_COMPLETE"}, "UPDATE_COMPLETE", "UPDATE_COMPLETE"},
        {{"ROLLBACK_FAILED", "CREATE_COMPLETE"}, "UPDATE_COMPLETE", "UPDATE_FAILED"},
        {{"DELETE_FAILED", "DELETE_FAILED"}, "DELETE_COMPLETE", "DELETE_COMPLETE"},
        {{NULL}, "UPDATE_COMPLETE", "UPDATE_COMPLETE"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t n = 0;
        while (n < 4 && rows[i].groups[n])
            n++;
        CU_ASSERT_STRING_EQUAL(status_from_groups(rows[i].ended, rows[i].groups, n),
                               rows[i].cluster);
    }
}

TEST_MAIN("status", NULL, NULL, TEST(every_cell_of_the_table), TEST(the_where_lists_say_the_same),
          TEST(the_sets), TEST(kinds_move_along_the_table),
          TEST(the_cluster_follows_from_its_groups))
