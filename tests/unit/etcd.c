/* Unit tests of etcd's members: the list that its tool writes, which change comes next, and what is
 * refused because no majority would be left. */
#include "lib/etcd.h"
#include "support/cunit_main.h"

#include <string.h>

static mag_error err = {.struct_size = sizeof err};

static void the_list_is_read(void)
{
    static const char text[] =
        "29f1d0f64f32698e, started, m1, https://10.77.0.11:2380, https://127.0.0.1:2379, false\n"
        "8e9e05c52164694d, unstarted, , https://10.77.0.14:2380, , false\n";
    struct mag_etcd_member v[MAG_ETCD_MEMBERS_MAX];
    size_t n = 0;
    CU_ASSERT_EQUAL(mag_etcd_members(text, v, &n, &err), MAG_OK);
    CU_ASSERT_EQUAL_FATAL(n, 2);
    CU_ASSERT_STRING_EQUAL(v[0].id, "29f1d0f64f32698e");
    CU_ASSERT_STRING_EQUAL(v[0].name, "m1");
    CU_ASSERT_STRING_EQUAL(v[0].peer, "https://10.77.0.11:2380");
    CU_ASSERT_STRING_EQUAL(v[1].name, "");
    CU_ASSERT_STRING_EQUAL(v[1].peer, "https://10.77.0.14:2380");
    CU_ASSERT_EQUAL(mag_etcd_members("", v, &n, &err), MAG_OK);
    CU_ASSERT_EQUAL(n, 0);
}

static void another_text_is_refused(void)
{
    static const char *const bad[] = {
        "Error: context deadline exceeded",
        "xyz, started, m1, https://10.77.0.11:2380, https://127.0.0.1:2379, false",
        "29f1d0f64f32698e, unborn, m1, https://10.77.0.11:2380, , false",
        "29f1d0f64f32698e, started, m1, , , false",
        "29f1d0f64f32698e, started",
        "29f1d0f64f32698e29f1d0f64f32698e, started, m1, https://10.77.0.11:2380, , false",
    };
    struct mag_etcd_member v[MAG_ETCD_MEMBERS_MAX];
    char many[4096] = "";
    size_t n;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CU_ASSERT_EQUAL(mag_etcd_members(bad[i], v, &n, &err), MAG_E_INVALID);
        CU_ASSERT_STRING_EQUAL(err.reason, "BadMemberList");
    }
    for (int i = 0; i <= MAG_ETCD_MEMBERS_MAX; i++)
        strcat(many, "1, started, m, https://a:1, , false\n");
    CU_ASSERT_EQUAL(mag_etcd_members(many, v, &n, &err), MAG_E_INVALID);
}

/* "1 2! 3- 4-!": hosts by name, ! ill, - leaving; members by name. Answers "add 4" and such. */
static void next_of(const char *hosts, const char *members, char ret[32])
{
    static const char *const words[] = {"done", "wait", "remove", "add", "lost"};
    struct mag_etcd_host h[16] = {0};
    struct mag_etcd_member m[16] = {0};
    size_t n = 0, k = 0;
    for (const char *p = hosts; *p; p++) {
        if (*p == '!')
            h[n - 1].well = false;
        else if (*p == '-')
            h[n - 1].leaving = true;
        else if (*p != ' ')
            h[n++] = (struct mag_etcd_host){.peer = {*p}, .well = true};
    }
    for (const char *p = members; *p; p++)
        if (*p != ' ')
            m[k++] = (struct mag_etcd_member){.id = "1", .peer = {*p}};
    struct mag_etcd_next next = mag_etcd_next(h, n, m, k);
    const char *which = next.member >= 0 ? m[next.member].peer
                        : next.host >= 0 ? h[next.host].peer
                                         : "";
    snprintf(ret, 32, "%s%s%.1s", words[next.action], *which ? " " : "", which);
}

static void one_change_at_a_time(void)
{
    static const struct {
        const char *hosts, *members, *next;
    } rows[] = {
        {"1 2 3", "1 2 3", "done"},
        /* a dead one is replaced */
        {"1 2-! 3 4!", "1 2 3", "remove 2"},
        {"1 2-! 3 4!", "1 3", "add 4"},
        {"1 2-! 3 4!", "1 3 4", "wait 4"},
        {"1 2-! 3 4", "1 3 4", "done"},
        /* one that lives goes only with enough others, and before its successor comes */
        {"1- 2 3 4!", "1 2 3", "remove 1"},
        {"1- 2 3! 4!", "1 2 3", "wait 3"},
        {"1-", "1", "lost 1"},
        {"1-! 2!", "1", "lost 1"},
        /* two: the dead one first, the other when the first successor is well */
        {"1- 2-! 3 4! 5!", "1 2 3", "remove 2"},
        {"1- 2-! 3 4! 5!", "1 3", "add 4"},
        {"1- 2-! 3 4! 5!", "1 3 4", "wait 4"},
        {"1- 2-! 3 4 5!", "1 3 4", "remove 1"},
        {"1-! 2-! 3 4 5!", "3 4", "add 5"},
        /* no majority: nothing goes, and one that may come back is waited for */
        {"1 2-! 3-! 4! 5!", "1 2 3", "lost 2"},
        {"1 2-! 3! 4!", "1 2 3", "wait 3"},
        /* of five, two are lost */
        {"1 2-! 3-! 4 5 6! 7!", "1 2 3 4 5", "remove 2"},
        {"1 2-! 3-! 4 5 6! 7!", "1 3 4 5", "remove 3"},
        {"1 2-! 3-! 4 5 6! 7!", "1 4 5", "add 6"},
        /* what no node has any more */
        {"1 2 3", "1 2 3 9", "remove 9"},
        {"1 2 3!", "1 2 3 9", "wait 3"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char got[32];
        next_of(rows[i].hosts, rows[i].members, got);
        if (strcmp(got, rows[i].next) != 0)
            fprintf(stderr, "%s of %s: %s, not %s\n", rows[i].hosts, rows[i].members, got,
                    rows[i].next);
        CU_ASSERT_STRING_EQUAL(got, rows[i].next);
    }
}

static void a_majority_has_to_stay(void)
{
    static const struct {
        size_t members, well, ill_go, well_go;
        bool may;
    } rows[] = {
        {3, 3, 0, 1, true},  {3, 3, 0, 3, true},  {3, 2, 1, 0, true},  {3, 2, 0, 1, false},
        {3, 2, 1, 1, true},  {3, 1, 1, 0, false}, {3, 1, 2, 0, false}, {1, 1, 0, 1, false},
        {1, 0, 1, 0, false}, {5, 3, 2, 0, true},  {5, 3, 0, 1, false}, {5, 3, 1, 1, true},
        {5, 4, 0, 1, true},  {5, 2, 1, 0, false}, {0, 0, 0, 0, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CU_ASSERT_EQUAL(
            mag_etcd_may_go(rows[i].members, rows[i].well, rows[i].ill_go, rows[i].well_go),
            rows[i].may);
}

TEST_MAIN("etcd", NULL, NULL, TEST(the_list_is_read), TEST(another_text_is_refused),
          TEST(one_change_at_a_time), TEST(a_majority_has_to_stay))
