/* docs/operations.md, the page for the night: every code and event of the list has its row with the
 * right actor, no row has a code that does not exist, and the commands it shows are commands. */
#include "base/io.h"
#include "cmd/cli/cli.h"
#include "config/config.h"
#include "model/codes.h"
#include "support/cunit_main.h"

#include <ctype.h>

static char *page;

static int setup(void)
{
    struct err e = ERR_INIT;
    return io_read_file(MAGNUM_DOCS "/operations.md", 1 << 20, &page, NULL, &e);
}

static int teardown(void)
{
    free(page);
    return 0;
}

static size_t times(const char *text)
{
    size_t n = 0;
    for (const char *p = page; (p = strstr(p, text)); p += strlen(text))
        n++;
    return n;
}

static void every_code_has_one_row(void)
{
    for (enum op_code c = 0; c < OP_CODES; c++) {
        char row[160];
        snprintf(row, sizeof row, "\n| `%s` | %s | ", code_text(c), code_info(c)->actor);
        if (times(row) != 1)
            fprintf(stderr, "docs/operations.md has no row, or several: %s", row + 1);
        CU_ASSERT_EQUAL(times(row), 1);
    }
    for (enum op_event_code c = 0; c < OP_EVENT_CODES; c++) {
        char row[160];
        snprintf(row, sizeof row, "\n| `%s` | ", event_text(c));
        if (times(row) != 1)
            fprintf(stderr, "docs/operations.md has no row, or several: %s\n", row + 1);
        CU_ASSERT_EQUAL(times(row), 1);
    }
}

static bool is_event(const char *text)
{
    for (enum op_event_code c = 0; c < OP_EVENT_CODES; c++)
        if (strcmp(event_text(c), text) == 0)
            return true;
    return false;
}

/* Between the heading "Codes" and the next one. */
static void every_row_has_a_code(void)
{
    const char *from = strstr(page, "\n## Codes\n");
    CU_ASSERT_PTR_NOT_NULL_FATAL(from);
    const char *to = strstr(from + 4, "\n## ");
    size_t rows = 0;
    for (const char *p = from; (p = strstr(p, "\n| `")) && p < to; p++) {
        char code[64];
        const char *name = p + strlen("\n| `");
        snprintf(code, sizeof code, "%.*s", (int)strcspn(name, "`"), name);
        if (!code_find(code) && !is_event(code))
            fprintf(stderr, "docs/operations.md explains %s, which does not exist\n", code);
        CU_ASSERT_TRUE(code_find(code) || is_event(code));
        rows++;
    }
    CU_ASSERT_EQUAL(rows, (size_t)OP_CODES + OP_EVENT_CODES);
}

/* A command as it stands at the begin of a line of a block, or between backticks. */
static bool is_command(const char *text, size_t len)
{
    char *words[16], copy[256];
    int n = 0, skip, used;
    snprintf(copy, sizeof copy, "%.*s", (int)len, text);
    for (char *save, *w = strtok_r(copy, " ", &save); w && n < 16; w = strtok_r(NULL, " ", &save)) {
        if (*w == '#')
            break;
        words[n++] = w;
    }
    return cli_find(n - 1, words + 1, &skip, &used) != NULL;
}

static void shown_commands_exist(void)
{
    size_t n = 0;
    for (const char *p = page; (p = strstr(p, "magnum ")); p++) {
        bool shown = p > page && (p[-1] == '\n' || p[-1] == '`');
        if (!shown)
            continue;
        size_t len = strcspn(p, "`\n;");
        if (!is_command(p, len))
            fprintf(stderr, "docs/operations.md shows \"%.*s\", which is no command\n", (int)len,
                    p);
        CU_ASSERT_TRUE(is_command(p, len));
        n++;
    }
    CU_ASSERT_TRUE(n > 20);
}

/* `section.name` of the page is an option; so a renamed one is noticed. */
static void named_options_exist(void)
{
    static const char *const options[] = {
#define OPT_STR(s, n, def, help) #s "." #n,
#define OPT_INT(s, n, def, min, max, help) #s "." #n,
#define OPT_BOOL(s, n, def, help) #s "." #n,
#define OPT_LIST(s, n, def, help) #s "." #n,
#include "config/options.def"
#undef OPT_STR
#undef OPT_INT
#undef OPT_BOOL
#undef OPT_LIST
    };
    static const char *const sections[] = {"conductor.",     "api.", "drivers.",     "rpc.",
                                           "notifications.", "log.", "certificates."};
    size_t n = 0;
    for (const char *p = page; (p = strchr(p, '`')); p++) {
        char name[80];
        bool known = false, section = false;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(p + 1, "`: \n"), p + 1);
        for (size_t i = 0; i < ARRAY_LEN(sections); i++)
            section |=
                str_starts(name, sections[i]) && islower((unsigned char)name[strlen(sections[i])]);
        if (!section)
            continue;
        for (size_t i = 0; i < ARRAY_LEN(options); i++)
            known |= strcmp(options[i], name) == 0;
        if (!known)
            fprintf(stderr, "docs/operations.md names the option %s, which does not exist\n", name);
        CU_ASSERT_TRUE(known);
        n++;
    }
    CU_ASSERT_TRUE(n > 10);
}

TEST_MAIN("operations_doc", setup, teardown, TEST(every_code_has_one_row),
          TEST(every_row_has_a_code), TEST(shown_commands_exist), TEST(named_options_exist))
