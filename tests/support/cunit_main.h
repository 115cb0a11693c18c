/* One CUnit executable per module: TEST_MAIN lists the tests, prints "N passed, M failed" and exits
 * non-zero when something failed. An argument selects the tests whose name contains it.
 * Neighbours: every C test. */
#ifndef MAGNUM_TESTS_CUNIT_MAIN_H
#define MAGNUM_TESTS_CUNIT_MAIN_H

#include <CUnit/Basic.h>
#include <stdio.h>
#include <string.h>

struct test_case {
    const char *name;
    void (*fn)(void);
};
#define TEST(fn)                                                                                   \
    {                                                                                              \
#fn, fn                                                                                    \
    }

/* setup/teardown may be NULL; setup returns non-zero to fail the whole suite. */
static inline int test_main(int argc, char **argv, const char *suite_name, int (*setup)(void),
                            int (*teardown)(void), const struct test_case *cases, size_t n)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 2;
    CU_pSuite suite = CU_add_suite(suite_name, setup, teardown);
    size_t added = 0;
    for (size_t i = 0; suite && i < n; i++)
        if (argc < 2 || strstr(cases[i].name, argv[1]))
            added += CU_add_test(suite, cases[i].name, cases[i].fn) != NULL;
    if (!suite || added == 0) {
        fprintf(stderr, "%s: no such test\n", suite_name);
        return 2;
    }
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_tests_failed() + CU_get_number_of_suites_failed();
    unsigned run = CU_get_number_of_tests_run();
    printf("%s: %u passed, %u failed\n", suite_name, run - CU_get_number_of_tests_failed(), failed);
    CU_cleanup_registry();
    return failed ? 1 : 0;
}

#define TEST_MAIN(suite, setup, teardown, ...)                                                     \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        static const struct test_case cases[] = {__VA_ARGS__};                                     \
        return test_main(argc, argv, suite, setup, teardown, cases,                                \
                         sizeof cases / sizeof cases[0]);                                          \
    }

/* An assertion that shows the error text. */
#define ASSERT_OK(rc, e)                                                                           \
    do {                                                                                           \
        int rc_ = (rc);                                                                            \
        if (rc_ != 0)                                                                              \
            fprintf(stderr, "%s:%d: %d: %s\n", __FILE__, __LINE__, rc_, (e)->msg);                 \
        CU_ASSERT_EQUAL_FATAL(rc_, 0);                                                             \
    } while (0)

#endif
