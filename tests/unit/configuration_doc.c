/* docs/configuration.md is generated from the option tables: this program compares it, and with
 * `--write` writes it. Neighbours: core/config/options.def. */
#include "base/io.h"
#include "base/str.h"
#include "config/config.h"
#include "support/cunit_main.h"

#include <inttypes.h>

struct row {
    const char *section, *name, *type, *def, *help;
    int64_t min, max;
    bool live;
};
static const struct row rows[] = {
#define OPT_STR(s, n, def, help) {#s, #n, "text", def, help, 0, 0, false},
#define OPT_INT(s, n, def, min, max, help) {#s, #n, "integer", #def, help, min, max, false},
#define OPT_LIVE(s, n, def, min, max, help) {#s, #n, "integer", #def, help, min, max, true},
#define OPT_BOOL(s, n, def, help) {#s, #n, "boolean", #def, help, 0, 0, false},
#define OPT_LIST(s, n, def, help) {#s, #n, "list", def, help, 0, 0, false},
#include "config/options.def"
#undef OPT_STR
#undef OPT_INT
#undef OPT_BOOL
#undef OPT_LIST
};

/* A table cell: '|' would end it. */
static void cell(struct str *t, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            str_append_c(t, '\\');
        str_append_c(t, *text);
    }
    str_append(t, " | ");
}

static void add_default(struct str *t, const struct row *r)
{
    if (r->def[0] == '\0')
        str_append(t, "empty | ");
    else
        str_printf(t, "`%s` | ", r->def);
}

static char *generate(void)
{
    _cleanup_str_ struct str t = STR_INIT;
    str_append(
        &t,
        "# Configuration\n\n"
        "Generated from `core/config/options.def`; don't edit it here\n"
        "(`build/dev/tests/test_unit_configuration_doc --write` writes it anew).\n\n"
        "All programs read one YAML file: `--config FILE`, else `$MAGNUM_CONFIG`, else\n"
        "`/etc/magnum/magnum.yaml` when it exists. Each section below is a mapping in it:\n\n"
        "```yaml\n"
        "api:\n"
        "  host: 192.0.2.10\n"
        "  port: 9511\n"
        "drivers:\n"
        "  disabled: [simulator]\n"
        "```\n\n"
        "The environment variable `MAGNUM_<SECTION>_<NAME>` overrides one option, `--set\n"
        "section.name=value` on a command line as well. Lists are YAML lists or comma separated\n"
        "text. Unknown names, wrong types and values out of range are errors that name the\n"
        "line.\n\n"
        "What is marked *live* a running program takes over from the file on `SIGHUP`, as well as\n"
        "`log.level`, `policy.file` and `catalog.file` with what is in these files; everything "
        "else\n"
        "needs a restart. A new configuration is taken as a whole or not at all "
        "(operations.md).\n");
    const char *section = "";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        if (!str_eq(section, r->section)) {
            section = r->section;
            str_printf(&t, "\n## %s\n\n| option | type | default | meaning |\n|---|---|---|---|\n",
                       section);
        }
        str_printf(&t, "| `%s` | %s", r->name, r->type);
        if (str_eq(r->type, "integer"))
            str_printf(&t, ", %" PRId64 " to %" PRId64, r->min, r->max);
        if (r->live)
            str_append(&t, ", *live*");
        str_append(&t, " | ");
        add_default(&t, r);
        cell(&t, r->help);
        t.s[--t.len] = '\0'; /* the blank that cell() left at the end */
        str_append_c(&t, '\n');
    }
    str_append(&t, "\n## driver_config\n\nOptions that single drivers define: one mapping per "
                   "driver id. Their names are in the driver's manifest.\n");
    return str_take(&t);
}

static char *doc_path(void)
{
    const char *top = getenv("MAGNUM_SOURCE_DIR");
    return str_fmt("%s/docs/configuration.md", top ? top : ".");
}

static void configuration_md_is_current(void)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *want = generate();
    _cleanup_free_ char *path = doc_path();
    _cleanup_free_ char *have = NULL;
    CU_ASSERT_PTR_NOT_NULL_FATAL(want);
    ASSERT_OK(io_read_file(path, 1 << 20, &have, NULL, &e), &e);
    CU_ASSERT_STRING_EQUAL(have, want);
}

static void every_option_says_what_it_is(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CU_ASSERT(strlen(rows[i].help) > 5);
}

static int write_doc(void)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *text = generate();
    _cleanup_free_ char *path = doc_path();
    if (!text || !path || io_write_file(path, text, strlen(text), 0644, &e) != 0) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(configuration_md_is_current),
                                             TEST(every_option_says_what_it_is)};
    if (argc == 2 && str_eq(argv[1], "--write"))
        return write_doc();
    return test_main(argc, argv, "configuration_doc", NULL, NULL, cases,
                     sizeof cases / sizeof cases[0]);
}
