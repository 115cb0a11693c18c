/* Fair shares: who gets how much, and that nobody is left with nothing. */
#include "operation/share.h"

#include "support/cunit_main.h"

static size_t alone(size_t share, size_t most, size_t all)
{
    const struct share_rule r = {share, most};
    size_t has = 0;
    while (share_may_take(&r, has, all - has))
        has++;
    return has;
}

static void one_alone_gets_most_of_it(void)
{
    CU_ASSERT_EQUAL(alone(2, 0, 8), 6);
    CU_ASSERT_EQUAL(alone(2, 0, 256), 171);
    CU_ASSERT_EQUAL(alone(4, 0, 256), 205);
    CU_ASSERT_EQUAL(alone(0, 0, 8), 8); /* no shares */
    CU_ASSERT_EQUAL(alone(2, 3, 8), 3);
    CU_ASSERT_EQUAL(alone(0, 3, 8), 3);
    CU_ASSERT_EQUAL(alone(1, 0, 1), 1); /* a single place is no reason to do nothing */
    CU_ASSERT_EQUAL(alone(2, 0, 2), 2);
    CU_ASSERT_EQUAL(alone(2, 0, 0), 0);
}

static void several_leave_a_part_free(void)
{
    const struct share_rule r = {.share = 2};
    for (size_t n = 1; n <= 10; n++) {
        size_t has[10] = {0}, used = 0;
        for (bool any = true; any;) {
            any = false;
            for (size_t i = 0; i < n; i++)
                if (share_may_take(&r, has[i], 256 - used)) {
                    has[i]++;
                    used++;
                    any = true;
                }
        }
        CU_ASSERT(used < 256);
        CU_ASSERT(256 - used >= 256 / (2 * n + 1) - n);
        for (size_t i = 1; i < n; i++)
            CU_ASSERT(has[i] + 1 >= has[0] && has[i] <= has[0] + 1);
    }
}

static void the_poorest_are_dealt_to_first(void)
{
    const struct share_rule r = {.share = 2};
    struct share_claim v[] = {{.has = 5, .due = 9}, {.has = 0, .due = 1}, {.has = 2, .due = 9}};
    CU_ASSERT_TRUE(share_deal(&r, v, 3, 4, 100));
    CU_ASSERT_EQUAL(v[0].take, 0);
    CU_ASSERT_EQUAL(v[1].take, 1);
    CU_ASSERT_EQUAL(v[2].take, 3);
    CU_ASSERT_TRUE(share_deal(&r, v, 3, 5, 100));
    CU_ASSERT_EQUAL(v[0].take, 1);                   /* equal ones in their order */
    CU_ASSERT_FALSE(share_deal(&r, v, 3, 100, 100)); /* enough for all */
    CU_ASSERT_EQUAL(v[0].take + v[1].take + v[2].take, 19);
    CU_ASSERT_FALSE(share_deal(&r, v, 0, 5, 5));
}

static void who_has_nothing_gets_one_without_room(void)
{
    const struct share_rule r = {.share = 2};
    struct share_claim v[] = {{.has = 200, .due = 16}, {.has = 0, .due = 16}, {.has = 0, .due = 1}};
    CU_ASSERT_TRUE(share_deal(&r, v, 3, 0, 56));
    CU_ASSERT_EQUAL(v[0].take, 0);
    CU_ASSERT_EQUAL(v[1].take, 1);
    CU_ASSERT_EQUAL(v[2].take, 1);
    CU_ASSERT_TRUE(share_deal(&r, v, 3, 0, 1)); /* one place: the one that has waited longer */
    CU_ASSERT_EQUAL(v[1].take, 1);
    CU_ASSERT_EQUAL(v[2].take, 0);
    CU_ASSERT_TRUE(share_deal(&r, v, 3, 10, 0));
    CU_ASSERT_EQUAL(v[0].take + v[1].take + v[2].take, 0);
}

static void no_more_than_the_rule_allows(void)
{
    const struct share_rule r = {.share = 2, .most = 7};
    struct share_claim v[] = {{.has = 6, .due = 9}, {.has = 0, .due = 9}};
    CU_ASSERT_TRUE(share_deal(&r, v, 2, 100, 100));
    CU_ASSERT_EQUAL(v[0].take, 1);
    CU_ASSERT_EQUAL(v[1].take, 7);
}

static void so_many_begin_and_no_more(void)
{
    const struct share_claim v[] = {{.has = 3, .due = 1},
                                    {.has = 0, .due = 1},
                                    {.has = 0, .due = 0},
                                    {.has = 0, .due = 5},
                                    {.has = 1, .due = 5}};
    CU_ASSERT_EQUAL(share_among(v, 5, 0), 1);
    CU_ASSERT_EQUAL(share_among(v, 5, 1), 3);
    CU_ASSERT_EQUAL(share_among(v, 5, 2), 5);
    CU_ASSERT_EQUAL(share_among(v, 0, 2), 0);
}

TEST_MAIN("share", NULL, NULL, TEST(one_alone_gets_most_of_it), TEST(several_leave_a_part_free),
          TEST(the_poorest_are_dealt_to_first), TEST(who_has_nothing_gets_one_without_room),
          TEST(no_more_than_the_rule_allows), TEST(so_many_begin_and_no_more))
