/* The pure parts of the client: finding the command, options, labels and taints, what goes into a
 * request body, shell quoting. */
#include "cmd/cli/cli.h"
#include "base/io.h"
#include "support/cunit_main.h"

/* argv from one text split at blanks. */
struct line {
    char text[512];
    char *argv[40];
    int argc;
};

static struct line *line_of(const char *text)
{
    static struct line l;
    snprintf(l.text, sizeof l.text, "%s", text);
    l.argc = 0;
    for (char *p = strtok(l.text, " "); p; p = strtok(NULL, " "))
        l.argv[l.argc++] = p;
    return &l;
}

/* Finds and parses like main() does. NULL = no such command. */
static const struct cli_command *parse(const char *text, struct cli_args *a, bool *ok,
                                       struct err *e)
{
    struct line *l = line_of(text);
    int skip, words;
    const struct cli_command *cmd = cli_find(l->argc, l->argv, &skip, &words);
    *a = (struct cli_args){NULL, 0, NULL, 0};
    *ok = false;
    if (!cmd)
        return NULL;
    memmove(l->argv + words, l->argv, (size_t)skip * sizeof *l->argv);
    *ok = cli_args_parse(cmd, l->argc - words, l->argv + words, a, e);
    return cmd;
}

static void finds_commands(void)
{
    static const struct {
        const char *line, *words;
    } rows[] = {
        {"cluster list", "cluster list"},
        {"cluster template list", "cluster template list"},
        {"cluster create template", "cluster create"},
        {"-f json cluster list", "cluster list"},
        {"--format=json --insecure -c name cluster list", "cluster list"},
        {"-fjson -cname operation events x", "operation events"},
        {"stats", "stats"},
        {"cluster", NULL},
        {"cluster lis", NULL},
        {"clusters list", NULL},
        {"list", NULL},
        {"-f", NULL},
        {"--unknown cluster list", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cli_args a;
        struct err e = ERR_INIT;
        bool ok;
        const struct cli_command *cmd = parse(rows[i].line, &a, &ok, &e);
        CU_ASSERT(str_eq(cmd ? cmd->words : NULL, rows[i].words));
        cli_args_done(&a);
    }
}

static void parses_options(void)
{
    struct cli_args a;
    struct err e = ERR_INIT;
    bool ok;
    (void)parse("-f value --endpoint http://h cluster create demo --node-count 3 "
                "--cluster-template=t --labels a=b --labels c=d --wait -- ",
                &a, &ok, &e);
    CU_ASSERT_TRUE(ok);
    CU_ASSERT_EQUAL(a.n_words, 1);
    CU_ASSERT_STRING_EQUAL(a.words[0], "demo");
    CU_ASSERT_EQUAL(cli_int(&a, "node-count", 1), 3);
    CU_ASSERT_EQUAL(cli_int(&a, "master-count", 7), 7);
    CU_ASSERT_STRING_EQUAL(cli_text(&a, "cluster-template"), "t");
    CU_ASSERT_STRING_EQUAL(cli_text(&a, "format"), "value");
    CU_ASSERT_STRING_EQUAL(cli_text(&a, "endpoint"), "http://h");
    CU_ASSERT_STRING_EQUAL(cli_text(&a, "labels"), "c=d");
    CU_ASSERT_TRUE(cli_has(&a, "wait"));
    CU_ASSERT_FALSE(cli_has(&a, "merge-labels"));
    cli_args_done(&a);
    (void)parse("cluster delete -- --odd -f", &a, &ok, &e);
    CU_ASSERT_TRUE(ok);
    CU_ASSERT_EQUAL(a.n_words, 2);
    CU_ASSERT_STRING_EQUAL(a.words[1], "-f");
    cli_args_done(&a);
    (void)parse("cluster show --help", &a, &ok, &e); /* help needs no cluster */
    CU_ASSERT_TRUE(ok);
    cli_args_done(&a);
}

static void refuses_wrong_lines(void)
{
    static const struct {
        const char *line, *text;
    } rows[] = {
        {"cluster show", "usage: magnum cluster show CLUSTER [options]"},
        {"cluster show a b", "usage: "},
        {"cluster list extra", "usage: magnum cluster list [options]"},
        {"cluster create x --no-such 1", "magnum cluster create has no option --no-such"},
        {"cluster create x --node-count", "--node-count needs a value: --node-count N"},
        {"cluster create x --node-count many", "--node-count takes a whole number, not 'many'"},
        {"cluster create x --node-count 3.5", "--node-count takes a whole number"},
        {"cluster create x --node-count 99999999999", "--node-count takes a whole number"},
        {"cluster create x --node-count=", "--node-count takes a whole number, not ''"},
        {"cluster create x --wait=yes", "--wait takes no value"},
        {"cluster list -x", "magnum has no option -x"},
        {"cluster list -hx", "magnum has no option -hx"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cli_args a;
        struct err e = ERR_INIT;
        bool ok;
        CU_ASSERT_PTR_NOT_NULL(parse(rows[i].line, &a, &ok, &e));
        CU_ASSERT_FALSE(ok);
        CU_ASSERT(str_starts(e.msg, rows[i].text));
        cli_args_done(&a);
    }
}

/* The JSON body a line makes; caller frees. NULL with *e when it is refused. */
static char *body_of(const char *line, struct err *e)
{
    struct cli_args a;
    bool ok;
    (void)parse(line, &a, &ok, e);
    CU_ASSERT_TRUE_FATAL(ok);
    _cleanup_json_ json_t *body = json_object();
    int rc = cli_body(&a, body, e);
    cli_args_done(&a);
    return rc == 0 ? json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
}

static void expect_body(const char *line, const char *want)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *got = body_of(line, &e);
    if (!str_eq(got, want))
        fprintf(stderr, "%s\n  gives %s (%s)\n  not   %s\n", line, got ? got : "nothing", e.msg,
                want);
    CU_ASSERT(str_eq(got, want));
}

static void makes_bodies(void)
{
    expect_body("cluster create x", "{}");
    expect_body("cluster create x --node-count 0 --flavor 7 --merge-labels --timeout 5",
                "{\"create_timeout\":5,\"flavor_id\":\"7\",\"merge_labels\":true,"
                "\"node_count\":0}");
    expect_body("cluster create x --floating-ip-disabled --master-lb-enabled",
                "{\"floating_ip_enabled\":false,\"master_lb_enabled\":true}");
    expect_body("cluster create x --wait --wait-timeout 9", "{}"); /* ours, not the service's */
    expect_body("cluster template create x --tls-disabled --hidden --public",
                "{\"hidden\":true,\"public\":true,\"tls_disabled\":true}");
    expect_body("cluster template create x --visible --tags a,b --tags c",
                "{\"hidden\":false,\"tags\":\"a,b,c\"}");
}

/* clients.md 1.3 */
static void reads_labels(void)
{
    expect_body("cluster create x --labels a=b", "{\"labels\":{\"a\":\"b\"}}");
    expect_body("cluster create x --labels a=b,c=d", "{\"labels\":{\"a\":\"b\",\"c\":\"d\"}}");
    expect_body("cluster create x --labels a=b;c=d,e=",
                "{\"labels\":{\"a\":\"b\",\"c\":\"d\",\"e\":\"\"}}");
    expect_body("cluster create x --labels a=b,c=d --labels e=f",
                "{\"labels\":{\"a\":\"b,c=d\",\"e\":\"f\"}}"); /* several options: kept whole */
    expect_body("cluster create x --labels a=b,c", "{\"labels\":{\"a\":\"b,c\"}}");
    expect_body("cluster create x --labels a=1 --labels a=2", "{\"labels\":{\"a\":\"1,2\"}}");
    expect_body("cluster create x --labels a=1,a=2", "{\"labels\":{\"a\":\"1,2\"}}");
    static const char *const bad[] = {"cluster create x --labels a", "cluster create x --labels =b",
                                      "cluster create x --labels a=b,=c",
                                      "cluster create x --labels a=b;c,d=e"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = ERR_INIT;
        _cleanup_free_ char *got = body_of(bad[i], &e);
        CU_ASSERT_PTR_NULL(got);
        CU_ASSERT(str_starts(e.msg, "labels are KEY=VALUE, not '"));
    }
}

static void reads_the_env_file_label(void)
{
    char path[] = "/tmp/magnum-cli.XXXXXX";
    int fd = mkstemp(path);
    CU_ASSERT_FATAL(fd >= 0);
    (void)close(fd);
    struct err e = ERR_INIT;
    ASSERT_OK(io_write_file(path, "{ \"A\": \"b\" }", 12, 0600, &e), &e);
    _cleanup_free_ char *line =
        str_fmt("cluster create x --labels mesos_slave_executor_env_file=%s", path);
    _cleanup_free_ char *got = body_of(line, &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(got);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(got, "\"mesos_slave_executor_env_variables\":\"{\\\"A\\\":\\\"b\\\"}\""));
    ASSERT_OK(io_write_file(path, "{", 1, 0600, &e), &e);
    _cleanup_free_ char *broken = body_of(line, &e);
    CU_ASSERT_PTR_NULL(broken);
    (void)unlink(path);
    _cleanup_free_ char *missing = body_of(line, &e);
    CU_ASSERT_PTR_NULL(missing);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, path));
}

static void reads_taints(void)
{
    expect_body("nodegroup create c n --node-taints k=v:NoSchedule,only:NoExecute",
                "{\"node_taints\":[{\"effect\":\"NoSchedule\",\"key\":\"k\",\"value\":\"v\"},"
                "{\"effect\":\"NoExecute\",\"key\":\"only\",\"value\":\"\"}]}");
    expect_body(
        "nodegroup create c n --node-labels a=b --node-taints k=:PreferNoSchedule",
        "{\"node_labels\":{\"a\":\"b\"},"
        "\"node_taints\":[{\"effect\":\"PreferNoSchedule\",\"key\":\"k\",\"value\":\"\"}]}");
    static const char *const bad[] = {"k",           "k=v",           "k=v:Never",
                                      ":NoSchedule", "=v:NoSchedule", "k:noschedule"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = ERR_INIT;
        _cleanup_free_ char *line = str_fmt("nodegroup create c n --node-taints %s", bad[i]);
        _cleanup_free_ char *got = body_of(line, &e);
        CU_ASSERT_PTR_NULL(got);
        CU_ASSERT(str_starts(e.msg, "taints are KEY[=VALUE]:EFFECT"));
    }
}

/* What the table says must be usable: unique names, fields for the service, an example each. */
static void tables_are_sound(void)
{
    for (const struct cli_command *c = cli_commands; c->words; c++) {
        CU_ASSERT(c->run && *c->summary && c->usage && c->min_words <= c->max_words);
        CU_ASSERT(strstr(c->example, "magnum ") != NULL && strstr(c->example, c->words) != NULL);
        for (const struct cli_option *o = c->options; o && o->name; o++) {
            CU_ASSERT_EQUAL(o->value == NULL, o->kind == CLI_FLAG);
            for (const struct cli_option *p = o + 1; p->name; p++)
                CU_ASSERT(strcmp(o->name, p->name) != 0);
            for (const struct cli_option *p = cli_global_options; p->name; p++)
                CU_ASSERT(strcmp(o->name, p->name) != 0);
        }
    }
}

static void helps(void)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    cli_help_all(f);
    for (const struct cli_command *c = cli_commands; c->words; c++)
        cli_help_command(f, c);
    CU_ASSERT_TRUE(cli_help_group(f, "cluster template"));
    CU_ASSERT_FALSE(cli_help_group(f, "cluster templ"));
    CU_ASSERT_FALSE(cli_help_group(f, "nothing"));
    (void)fclose(f);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "--labels K=V[,K=V]"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "Exit codes: 0 done"));
    free(text);
}

static void quotes_for_shells(void)
{
    _cleanup_str_ struct str t = STR_INIT;
    cli_shell_quote(&t, "a b'c$(reboot)`x`\"");
    CU_ASSERT_STRING_EQUAL(str_text(&t), "'a b'\\''c$(reboot)`x`\"'");
    _cleanup_free_ char *sh = cli_export_line("/bin/bash", "A", "b c");
    _cleanup_free_ char *csh = cli_export_line("/usr/bin/tcsh", "A", "b c");
    _cleanup_free_ char *none = cli_export_line(NULL, "A", "");
    CU_ASSERT_STRING_EQUAL(sh, "export A='b c'");
    CU_ASSERT_STRING_EQUAL(csh, "setenv A 'b c'");
    CU_ASSERT_STRING_EQUAL(none, "export A=''");
}

static void cleans_texts_for_terminals(void)
{
    char text[] = "a\033[2Jb\nc\x7f"
                  "d\xc3\xa4\xc2\x9b"
                  "e";
    cli_clean(text);
    CU_ASSERT_STRING_EQUAL(text, "a?[2Jb?c?d\xc3\xa4??e");
}

static void escapes_path_segments(void)
{
    _cleanup_free_ char *p = cli_path("/v1/clusters", "a/b ?c%\xc3\xa4", "/x");
    CU_ASSERT_STRING_EQUAL(p, "/v1/clusters/a%2Fb%20%3Fc%25%C3%A4/x");
}

TEST_MAIN("cli", NULL, NULL, TEST(finds_commands), TEST(parses_options), TEST(refuses_wrong_lines),
          TEST(makes_bodies), TEST(reads_labels), TEST(reads_the_env_file_label),
          TEST(reads_taints), TEST(tables_are_sound), TEST(helps), TEST(quotes_for_shells),
          TEST(cleans_texts_for_terminals), TEST(escapes_path_segments))
