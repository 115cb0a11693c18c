/* Counting and its text: what Prometheus reads must be exact, bounded and never go backwards, with
 * many threads at it. Neighbours: core/base/metrics.h. */
#include "base/metrics.h"
#include "support/cunit_main.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 8, ROUNDS = 20000, CAP = 40 };

static void begin(enum metrics_where where, unsigned max_series)
{
    struct err e = ERR_INIT;
    ASSERT_OK(metrics_setup(where, max_series, &e), &e);
}

static char *text(void)
{
    struct str t = STR_INIT;
    metrics_write(&t);
    return str_take(&t);
}

/* True when this is one of the lines. */
static bool has_line(const char *all, const char *line)
{
    size_t n = strlen(line);
    for (const char *p = all; (p = strstr(p, line)); p++)
        if ((p == all || p[-1] == '\n') && p[n] == '\n')
            return true;
    return false;
}

static unsigned lines_with(const char *all, const char *part)
{
    unsigned n = 0;
    for (const char *p = all; (p = strstr(p, part)); p++)
        n++;
    return n;
}

#define SHOWS(line)                                                                                \
    do {                                                                                           \
        _cleanup_free_ char *text_ = text();                                                       \
        CU_ASSERT_PTR_NOT_NULL_FATAL(text_);                                                       \
        if (!has_line(text_, line))                                                                \
            fprintf(stderr, "no line %s in\n%s", line, text_);                                     \
        CU_ASSERT(has_line(text_, line));                                                          \
    } while (0)

static void nothing_is_kept_unless_asked(void)
{
    metrics_inc(METRIC_DB_WAITS, NULL);
    metrics_set(METRIC_QUEUE_AGE, 3, NULL);
    _cleanup_free_ char *t = text();
    CU_ASSERT_STRING_EQUAL(t, "");
    CU_ASSERT_FALSE(metrics_on());
}

static void counters_gauges_and_help_are_written(void)
{
    begin(METRICS_BOTH, CAP);
    SHOWS("magnum_database_pool_waits_total 0"); /* what has not happened yet is known as well */
    metrics_inc(METRIC_DB_WAITS, NULL);
    metrics_add(METRIC_DB_WAITS, 41, NULL);
    SHOWS("magnum_database_pool_waits_total 42");
    SHOWS("# TYPE magnum_database_pool_waits_total counter");
    metrics_set(METRIC_QUEUE_AGE, 1.5, NULL);
    SHOWS("magnum_queue_age_seconds 1.5");
    SHOWS("# TYPE magnum_queue_age_seconds gauge");
    metrics_change(METRIC_HOSTS, 3, METRICS_LABELS_OF("a"));
    metrics_change(METRIC_HOSTS, -2, METRICS_LABELS_OF("a"));
    SHOWS("magnum_driver_hosts{driver=\"a\"} 1");
    metrics_inc(METRIC_HTTP_REQUESTS, METRICS_LABELS_OF("clusters", "GET", "200"));
    SHOWS("magnum_http_requests_total{route=\"clusters\",method=\"GET\",code=\"200\"} 1");
    _cleanup_free_ char *t = text();
    CU_ASSERT_EQUAL(lines_with(t, "# HELP magnum_database_pool_waits_total "), 1);
    CU_ASSERT_EQUAL(t[strlen(t) - 1], '\n');
    metrics_done();
}

static void a_process_shows_only_its_own(void)
{
    begin(METRICS_API, CAP);
    metrics_inc(METRIC_HTTP_REQUESTS, METRICS_LABELS_OF("clusters", "GET", "200"));
    metrics_inc(METRIC_STEPS, METRICS_LABELS_OF("a", "create", "ok"));
    _cleanup_free_ char *t = text();
    CU_ASSERT_PTR_NOT_NULL(strstr(t, "magnum_http_requests_total{"));
    CU_ASSERT_PTR_NULL(strstr(t, "magnum_steps_total"));
    CU_ASSERT_PTR_NULL(strstr(t, "magnum_leases_lost_total"));
    metrics_done();
}

static void label_values_are_escaped(void)
{
    begin(METRICS_BOTH, CAP);
    metrics_set(METRIC_BREAKER, 1, METRICS_LABELS_OF("a\"b\\c\nd"));
    SHOWS("magnum_backend_breaker_open{endpoint=\"a\\\"b\\\\c\\nd\"} 1");
    metrics_set(METRIC_BREAKER, 1, METRICS_LABELS_OF("\xff\xc3\xa4\x01\x7f."));
    SHOWS("magnum_backend_breaker_open{endpoint=\"?????.\"} 1");
    metrics_set(METRIC_BREAKER, 1, METRICS_LABELS_OF(NULL));
    SHOWS("magnum_backend_breaker_open{endpoint=\"other\"} 1");
    metrics_set(METRIC_BREAKER, 0, METRICS_LABELS_OF(""));
    SHOWS("magnum_backend_breaker_open{endpoint=\"\"} 0");
    metrics_done();
}

static void unknown_values_of_a_closed_label_are_other(void)
{
    begin(METRICS_BOTH, CAP);
    metrics_inc(METRIC_HTTP_REQUESTS, METRICS_LABELS_OF("clusters", "BREW", "405"));
    metrics_inc(METRIC_HTTP_REQUESTS, METRICS_LABELS_OF("clusters", "GE", "405"));
    metrics_inc(METRIC_HTTP_REQUESTS, METRICS_LABELS_OF("clusters", "", "405"));
    SHOWS("magnum_http_requests_total{route=\"clusters\",method=\"other\",code=\"405\"} 3");
    metrics_done();
}

static void odd_numbers_are_written_as_the_format_wants(void)
{
    begin(METRICS_BOTH, CAP);
    metrics_set(METRIC_QUEUE_AGE, INFINITY, NULL);
    SHOWS("magnum_queue_age_seconds +Inf");
    metrics_set(METRIC_QUEUE_AGE, -INFINITY, NULL);
    SHOWS("magnum_queue_age_seconds -Inf");
    metrics_set(METRIC_QUEUE_AGE, 0.1, NULL);
    SHOWS("magnum_queue_age_seconds 0.1");
    metrics_set(METRIC_COUNTED, 1790000000.25, NULL);
    SHOWS("magnum_database_counted_timestamp_seconds 1790000000.25");
    metrics_add(METRIC_DB_WAITS, UINT64_MAX / 2, NULL);
    SHOWS("magnum_database_pool_waits_total 9223372036854775807");
    metrics_done();
}

static void a_histogram_has_cumulative_buckets(void)
{
    begin(METRICS_BOTH, CAP);
    metrics_observe_us(METRIC_DB_STATEMENTS, 100,
                       METRICS_LABELS_OF("ok")); /* at a bound: below it */
    metrics_observe_us(METRIC_DB_STATEMENTS, 101, METRICS_LABELS_OF("ok"));
    metrics_observe_us(METRIC_DB_STATEMENTS, 0, METRICS_LABELS_OF("ok"));
    metrics_observe_us(METRIC_DB_STATEMENTS, -5, METRICS_LABELS_OF("ok"));
    metrics_observe_us(METRIC_DB_STATEMENTS, 3600000000, METRICS_LABELS_OF("ok"));
    static const char *const lines[] = {
        "# TYPE magnum_database_statement_duration_seconds histogram",
        "magnum_database_statement_duration_seconds_bucket{result=\"ok\",le=\"0.0001\"} 3",
        "magnum_database_statement_duration_seconds_bucket{result=\"ok\",le=\"0.00025\"} 4",
        "magnum_database_statement_duration_seconds_bucket{result=\"ok\",le=\"10\"} 4",
        "magnum_database_statement_duration_seconds_bucket{result=\"ok\",le=\"+Inf\"} 5",
        "magnum_database_statement_duration_seconds_count{result=\"ok\"} 5",
        "magnum_database_statement_duration_seconds_sum{result=\"ok\"} 3600.000201"};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        SHOWS(lines[i]);
    metrics_done();
}

static void beyond_the_cap_all_is_other(void)
{
    begin(METRICS_BOTH, CAP);
    for (int i = 0; i < 10000; i++) {
        char route[32];
        snprintf(route, sizeof route, "%d", i);
        metrics_inc(METRIC_HTTP_REQUESTS, METRICS_LABELS_OF(route, "GET", "200"));
    }
    metrics_inc(METRIC_HTTP_REQUESTS, METRICS_LABELS_OF("7", "GET", "200")); /* was there in time */
    _cleanup_free_ char *t = text();
    CU_ASSERT_EQUAL(lines_with(t, "magnum_http_requests_total{"), CAP + 1);
    SHOWS("magnum_http_requests_total{route=\"7\",method=\"GET\",code=\"200\"} 2");
    SHOWS("magnum_http_requests_total{route=\"other\",method=\"other\",code=\"other\"} 9960");
    SHOWS("magnum_metrics_overflow_total{metric=\"magnum_http_requests_total\"} 9960");
    metrics_done();
}

static void the_smallest_cap_holds_too(void)
{
    begin(METRICS_BOTH, 1);
    for (int i = 0; i < 100; i++) {
        char id[32];
        snprintf(id, sizeof id, "%d", i);
        metrics_observe_us(METRIC_STEP_DURATION, i, METRICS_LABELS_OF(id, "create"));
        metrics_inc(METRIC_HOST_DEATHS, METRICS_LABELS_OF(id));
    }
    SHOWS("magnum_driver_host_deaths_total{driver=\"0\"} 1");
    SHOWS("magnum_driver_host_deaths_total{driver=\"other\"} 99");
    SHOWS("magnum_step_duration_seconds_count{driver=\"other\",verb=\"other\"} 99");
    SHOWS("magnum_metrics_overflow_total{metric=\"other\"} 99");
    metrics_done();
}

static void what_is_set_together_is_seen_together(void)
{
    begin(METRICS_BOTH, CAP);
    metrics_set(METRIC_CLUSTERS, 3, METRICS_LABELS_OF("CREATE_COMPLETE", "HEALTHY"));
    metrics_set(METRIC_CLUSTERS, 2, METRICS_LABELS_OF("CREATE_FAILED", "UNKNOWN"));
    metrics_update_begin();
    metrics_forget(METRIC_CLUSTERS);
    metrics_set(METRIC_CLUSTERS, 5, METRICS_LABELS_OF("CREATE_COMPLETE", "HEALTHY"));
    metrics_update_end();
    SHOWS("magnum_clusters{status=\"CREATE_COMPLETE\",health=\"HEALTHY\"} 5");
    _cleanup_free_ char *t = text();
    CU_ASSERT_EQUAL(lines_with(t, "magnum_clusters{"), 1);
    metrics_done();
}

static void count_calls(void *ctx)
{
    int *n = ctx;
    metrics_set(METRIC_QUEUE_DUE, ++*n, NULL);
}

static void collectors_run_for_every_text(void)
{
    struct err e = ERR_INIT;
    int calls = 0;
    begin(METRICS_BOTH, CAP);
    ASSERT_OK(metrics_collect(count_calls, &calls, &e), &e);
    CU_ASSERT_EQUAL(metrics_collect(count_calls, &calls, &e), ERR_EXISTS);
    SHOWS("magnum_queue_due 1");
    SHOWS("magnum_queue_due 2");
    metrics_uncollect(count_calls, &calls);
    metrics_uncollect(count_calls, &calls); /* no harm */
    SHOWS("magnum_queue_due 2");
    CU_ASSERT_EQUAL(calls, 2);
    metrics_done();
}

static void the_process_is_described(void)
{
    begin(METRICS_BOTH, CAP);
    static const char *const names[] = {"process_cpu_seconds_total",     "process_open_fds",
                                        "process_resident_memory_bytes", "process_max_fds",
                                        "process_virtual_memory_bytes",  "process_threads",
                                        "process_start_time_seconds"};
    _cleanup_free_ char *t = text();
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        _cleanup_free_ char *begins = str_fmt("\n%s ", names[i]);
        const char *at = strstr(t, begins);
        CU_ASSERT_PTR_NOT_NULL_FATAL(at);
        CU_ASSERT(strtod(at + strlen(begins), NULL) >= 0);
    }
    double resident = strtod(strstr(t, "\nprocess_resident_memory_bytes ") + 31, NULL);
    double started = strtod(strstr(t, "\nprocess_start_time_seconds ") + 28, NULL);
    CU_ASSERT(resident > 100e3 && resident < 10e9);
    CU_ASSERT(started > 1.5e9);
    metrics_done();
}

/* ---- many at it ---- */

static atomic_bool over;

static void *hammer(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        char some[16];
        snprintf(some, sizeof some, "%d",
                 i % (2 * CAP)); /* all make the same ones, beyond the cap */
        metrics_inc(METRIC_DB_WAITS, NULL);
        metrics_inc(METRIC_HOST_DEATHS, METRICS_LABELS_OF(some));
        metrics_observe_us(METRIC_STEP_DURATION, i % 7, METRICS_LABELS_OF("a", "create"));
        metrics_change(METRIC_HOSTS, i % 2 ? -1 : 1, METRICS_LABELS_OF("a"));
    }
    return NULL;
}

static uint64_t number_after(const char *all, const char *start)
{
    const char *at = strstr(all, start);
    return at ? strtoull(at + strlen(start), NULL, 10) : 0;
}

/* A counter never goes down, and count and buckets of a histogram always agree. */
static void *read_on(void *arg)
{
    int *wrong = arg;
    uint64_t before = 0, before_count = 0;
    while (!atomic_load(&over)) {
        _cleanup_free_ char *t = text();
        uint64_t waits = number_after(t, "\nmagnum_database_pool_waits_total ");
        uint64_t count =
            number_after(t, "\nmagnum_step_duration_seconds_count{driver=\"a\",verb=\"create\"} ");
        uint64_t last = number_after(
            t, "\nmagnum_step_duration_seconds_bucket{driver=\"a\",verb=\"create\",le=\"+Inf\"} ");
        *wrong += waits < before || count < before_count || count != last;
        before = waits;
        before_count = count;
    }
    return NULL;
}

static void threads_lose_nothing(void)
{
    pthread_t t[THREADS], reader;
    int wrong = 0;
    begin(METRICS_BOTH, CAP);
    atomic_store(&over, false);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&reader, NULL, read_on, &wrong), 0);
    for (int i = 0; i < THREADS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&t[i], NULL, hammer, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    atomic_store(&over, true);
    pthread_join(reader, NULL);
    CU_ASSERT_EQUAL(wrong, 0);
    SHOWS("magnum_database_pool_waits_total 160000");
    SHOWS("magnum_step_duration_seconds_count{driver=\"a\",verb=\"create\"} 160000");
    SHOWS("magnum_driver_hosts{driver=\"a\"} 0");
    uint64_t sum = 0;
    _cleanup_free_ char *all = text();
    unsigned n = 0;
    for (const char *p = all; (p = strstr(p, "\nmagnum_driver_host_deaths_total{")); n++) {
        p = strstr(p, "} ") + 2;
        sum += strtoull(p, NULL, 10);
        p--;
    }
    CU_ASSERT_EQUAL(n, CAP + 1);
    CU_ASSERT_EQUAL(sum, (uint64_t)THREADS * ROUNDS);
    metrics_done();
}

static pthread_barrier_t together;

static void *make_one(void *arg)
{
    (void)pthread_barrier_wait(&together);
    metrics_inc(METRIC_HOST_DEATHS, METRICS_LABELS_OF(arg));
    return NULL;
}

/* All of them see room for one more: one gets it. */
static void threads_do_not_pass_the_cap(void)
{
    static char ids[THREADS][2] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    CU_ASSERT_EQUAL_FATAL(pthread_barrier_init(&together, NULL, THREADS), 0);
    for (int round = 0; round < 200; round++) {
        pthread_t t[THREADS];
        begin(METRICS_BOTH, 1);
        for (int i = 0; i < THREADS; i++)
            CU_ASSERT_EQUAL_FATAL(pthread_create(&t[i], NULL, make_one, ids[i]), 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(t[i], NULL);
        _cleanup_free_ char *all = text();
        CU_ASSERT_EQUAL(lines_with(all, "magnum_driver_host_deaths_total{"), 2);
        SHOWS("magnum_driver_host_deaths_total{driver=\"other\"} 7");
        metrics_done();
    }
    pthread_barrier_destroy(&together);
}

static void results_have_names(void)
{
    CU_ASSERT_STRING_EQUAL(metrics_result(0), "ok");
    CU_ASSERT_STRING_EQUAL(metrics_result(ERR_TIMEOUT), "timeout");
    CU_ASSERT_STRING_EQUAL(metrics_result(ERR_UNAVAILABLE), "unavailable");
    CU_ASSERT_STRING_EQUAL(metrics_result(ERR_INVALID), "error");
}

TEST_MAIN("metrics", NULL, NULL, TEST(nothing_is_kept_unless_asked),
          TEST(counters_gauges_and_help_are_written), TEST(a_process_shows_only_its_own),
          TEST(label_values_are_escaped), TEST(unknown_values_of_a_closed_label_are_other),
          TEST(odd_numbers_are_written_as_the_format_wants),
          TEST(a_histogram_has_cumulative_buckets), TEST(beyond_the_cap_all_is_other),
          TEST(the_smallest_cap_holds_too), TEST(what_is_set_together_is_seen_together),
          TEST(collectors_run_for_every_text), TEST(the_process_is_described),
          TEST(threads_lose_nothing), TEST(threads_do_not_pass_the_cap), TEST(results_have_names))
