/* docs/metrics.md is generated from the table of metrics: this program compares it, and with
 * `--write` writes it; with `--names` it prints every name that a scrape can have, for the tests of
 * the dashboard and the rules. It also holds the table to Prometheus' rules for names. Neighbours:
 * core/base/metrics.def. */
#include "base/io.h"
#include "base/metrics.h"
#include "support/cunit_main.h"

#include <ctype.h>

/* A table cell: '|' would end it. */
static void cell(struct str *t, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            str_append_c(t, '\\');
        str_append_c(t, *text);
    }
    str_append(t, " |");
}

static void add_labels(struct str *t, const char *labels)
{
    for (const char *p = labels; *p; p += strcspn(p, " "), p += strspn(p, " "))
        str_printf(t, "%s`%.*s`", p == labels ? "" : ", ", (int)strcspn(p, " "), p);
    str_append(t, " | ");
}

static void add_metrics(struct str *t, enum metrics_where where, const char *title)
{
    str_printf(t, "\n## %s\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n", title);
    for (enum metric m = 0; m < METRICS_N; m++) {
        const struct metric_about *a = metrics_about(m);
        if (a->where != where)
            continue;
        str_printf(t, "| `%s` | %s | ", a->name, metrics_type_name(a->type));
        add_labels(t, a->labels);
        cell(t, a->help);
        str_append_c(t, '\n');
    }
}

static void add_label_table(struct str *t)
{
    str_append(t, "\n## Labels\n\n| label | values | meaning |\n|---|---|---|\n");
    const struct metric_label *l;
    for (unsigned i = 0; (l = metrics_label(i)); i++) {
        str_printf(t, "| `%s` | ", l->name);
        add_labels(t, l->values);
        cell(t, l->meaning);
        str_append_c(t, '\n');
    }
}

static void add_buckets(struct str *t)
{
    str_append(t, "\n## Buckets\n\nUpper bounds in seconds; above the last one there is `+Inf`.\n\n"
                  "| metrics | bounds |\n|---|---|\n");
    for (enum metric m = 0; m < METRICS_N; m++) {
        const struct metric_about *a = metrics_about(m);
        bool seen = !a->n_buckets;
        for (enum metric k = 0; k < m && !seen; k++)
            seen = metrics_about(k)->buckets_us == a->buckets_us;
        if (seen)
            continue;
        for (enum metric k = m; k < METRICS_N; k++)
            if (metrics_about(k)->buckets_us == a->buckets_us)
                str_printf(t, "%s`%s`", k == m ? "| " : ", ", metrics_about(k)->name);
        for (unsigned i = 0; i < a->n_buckets; i++)
            str_printf(t, "%s%g", i ? ", " : " | ", (double)a->buckets_us[i] / 1e6);
        str_append(t, " |\n");
    }
}

static const char head[] =
    "# Metrics\n\n"
    "Generated from `core/base/metrics.def`; don't edit it here\n"
    "(`build/dev/tests/test_unit_metrics_doc --write` writes it anew).\n\n"
    "magnum-api and magnum-conductor count what they do and serve it at `/metrics` in Prometheus'\n"
    "text format. `metrics.enabled: false` turns it off.\n\n"
    "## Where, and who may read it\n\n"
    "| process | where | who |\n|---|---|---|\n"
    "| magnum-conductor | `metrics.conductor_listen`, `127.0.0.1:9513` | whoever reaches that "
    "address |\n"
    "| magnum-api | `metrics.api_listen`, none unless set | whoever reaches that address |\n"
    "| magnum-api | `/metrics` on its own port or Unix socket | callers on the same machine; to "
    "all others there is no such path |\n\n"
    "The listeners serve nothing else and ask for no credentials: give them an address of the\n"
    "management network, or let a firewall decide. When a port is taken the process says so in "
    "its\n"
    "log (`metrics.listen`) and works without: a second conductor on one machine wants another "
    "port.\n"
    "Port 0 lets the kernel choose; the log tells which (`metrics.ready`).\n\n"
    "On the API's own port callers on the same machine are those whose connection comes from a\n"
    "loopback address or through the Unix socket, and who bring none of the headers a proxy adds\n"
    "(`Forwarded`, `X-Forwarded-For`, `X-Real-IP`, `Via`). **A proxy on the same machine that adds "
    "none\n"
    "of them (haproxy in TCP mode, or without `option forwardfor`) makes everybody such a caller:\n"
    "behind it set `metrics.on_api_port: false`** and use `metrics.api_listen`.\n\n"
    "magnum-allinone starts both with these same options: `curl http://127.0.0.1:9511/metrics` "
    "and\n"
    "`curl http://127.0.0.1:9513/metrics`.\n\n"
    "```yaml\n"
    "scrape_configs:\n"
    "  - job_name: magnum-api\n"
    "    static_configs: [{targets: ['api1:9512', 'api2:9512']}] # metrics.api_listen\n"
    "  - job_name: magnum-conductor\n"
    "    static_configs: [{targets: ['conductor1:9513', 'conductor2:9513']}]\n"
    "rule_files: [/usr/share/magnum/prometheus/magnum.rules.yml]\n"
    "```\n\n"
    "The alert rules (`prometheus/magnum.rules.yml`) and the Grafana dashboard\n"
    "(`grafana/magnum.json`) in `/usr/share/magnum` expect these two job names.\n\n"
    "## What to know\n\n"
    "- Label values come from tables of ours, from installed drivers or from configured services,\n"
    "  never from a request: paths and ids of clients make no series. A metric has\n"
    "  `metrics.max_series` series at most; the rest is counted in one whose labels are all "
    "`other`,\n"
    "  and in `magnum_metrics_overflow_total`.\n"
    "- A process counts from its own start. Metrics *of the whole deployment* are read from the\n"
    "  database by every conductor, each `metrics.queue_interval_s` (clusters:\n"
    "  `metrics.clusters_interval_s`) and not when it is scraped: take `max` over the conductors, "
    "not\n"
    "  `sum`. `magnum_database_counted_timestamp_seconds` tells how old they are.\n"
    "- A series appears when something was counted in it first; counters without labels are there\n"
    "  from the start.\n";

static char *generate(void)
{
    _cleanup_str_ struct str t = STR_INIT;
    str_append(&t, head);
    add_metrics(&t, METRICS_API, "magnum-api");
    add_metrics(&t, METRICS_CONDUCTOR, "magnum-conductor");
    add_metrics(&t, METRICS_BOTH, "Both");
    add_label_table(&t);
    add_buckets(&t);
    return str_take(&t);
}

static char *doc_path(void)
{
    const char *top = getenv("MAGNUM_SOURCE_DIR");
    return str_fmt("%s/docs/metrics.md", top ? top : ".");
}

static void metrics_md_is_current(void)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *want = generate(), *path = doc_path(), *have = NULL;
    CU_ASSERT_PTR_NOT_NULL_FATAL(want);
    ASSERT_OK(io_read_file(path, 1 << 20, &have, NULL, &e), &e);
    CU_ASSERT_STRING_EQUAL(have, want);
}

static void names_follow_the_rules(void)
{
    for (enum metric m = 0; m < METRICS_N; m++) {
        const struct metric_about *a = metrics_about(m);
        bool total = str_ends(a->name, "_total");
        CU_ASSERT(str_starts(a->name, "magnum_") || str_starts(a->name, "process_"));
        CU_ASSERT_EQUAL(total, str_eq(metrics_type_name(a->type), "counter"));
        if (a->type == METRIC_TYPE_HISTOGRAM)
            CU_ASSERT(str_ends(a->name, "_seconds"));
        for (const char *p = a->name; *p; p++)
            CU_ASSERT(islower((unsigned char)*p) || *p == '_');
        CU_ASSERT(strlen(a->help) > 10 && str_ends(a->help, "."));
        for (enum metric k = 0; k < m; k++)
            CU_ASSERT_STRING_NOT_EQUAL(metrics_about(k)->name, a->name);
    }
}

static void buckets_ascend(void)
{
    for (enum metric m = 0; m < METRICS_N; m++)
        for (unsigned i = 1; i < metrics_about(m)->n_buckets; i++)
            CU_ASSERT(metrics_about(m)->buckets_us[i - 1] < metrics_about(m)->buckets_us[i]);
}

static bool word_in(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; *p; p += strcspn(p, " "), p += strspn(p, " "))
        if (strcspn(p, " ") == n && memcmp(p, word, n) == 0)
            return true;
    return false;
}

/* And setting all of them up works, which refuses a label that is not in the table. */
static void every_label_is_used_and_described(void)
{
    struct err e = ERR_INIT;
    const struct metric_label *l;
    for (unsigned i = 0; (l = metrics_label(i)); i++) {
        bool used = false;
        for (enum metric m = 0; m < METRICS_N && !used; m++)
            used = word_in(metrics_about(m)->labels, l->name);
        if (!used)
            fprintf(stderr, "nobody has the label %s\n", l->name);
        CU_ASSERT(used);
        CU_ASSERT(strlen(l->meaning) > 5);
    }
    ASSERT_OK(metrics_setup(METRICS_BOTH, 10, &e), &e);
    metrics_done();
}

static int write_doc(void)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *text = generate(), *path = doc_path();
    if (!text || !path || io_write_file(path, text, strlen(text), 0644, &e) != 0) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    return 0;
}

/* NAME LABEL... */
static int print_names(void)
{
    static const char *const parts[] = {"_bucket", "_sum", "_count"};
    for (enum metric m = 0; m < METRICS_N; m++) {
        const struct metric_about *a = metrics_about(m);
        bool histogram = a->type == METRIC_TYPE_HISTOGRAM;
        for (size_t i = 0; i < (histogram ? ARRAY_LEN(parts) : 1); i++)
            printf("%s%s %s\n", a->name, histogram ? parts[i] : "", a->labels);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(metrics_md_is_current),
                                             TEST(names_follow_the_rules), TEST(buckets_ascend),
                                             TEST(every_label_is_used_and_described)};
    if (argc == 2 && str_eq(argv[1], "--write"))
        return write_doc();
    if (argc == 2 && str_eq(argv[1], "--names"))
        return print_names();
    return test_main(argc, argv, "metrics_doc", NULL, NULL, cases, ARRAY_LEN(cases));
}
