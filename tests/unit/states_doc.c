/* docs/states.md is generated from the transition table, the kinds of operation and their stages:
 * this program compares it, and with `--write` writes it. Neighbours: core/model/status.def,
 * core/operation/stages.c. */
#include "base/io.h"
#include "base/str.h"
#include "model/status.h"
#include "operation/engine.h"
#include "support/cunit_main.h"

static const struct {
    const char *from, *to;
} transitions[] = {
#define T(a, b) {a, b},
#include "model/status.def"
#undef T
};

static const char intro[] =
    "# States\n\n"
    "Generated from `core/model/status.def` and `core/operation/stages.c`; don't edit it here\n"
    "(`build/dev/tests/test_unit_states_doc --write` writes it anew).\n\n"
    "## Clusters and nodegroups\n\n"
    "Both move along one table, and no statement writes a status that it does not allow from the\n"
    "status that is there (conditional UPDATE). A request that is refused leaves the status as it\n"
    "was. `DELETE_IN_PROGRESS` is entered from everywhere, so the picture leaves out where from;\n"
    "the `RESUME_`, `RESTORE_`, `SNAPSHOT_`, `CHECK_` and `ADOPT_` states come from clusters that\n"
    "another release made: they are left by updates and deletes.\n\n";
static const char aggregation[] =
    "\n## A cluster and its groups\n\n"
    "When an operation ends well, the groups have the last word:\n\n"
    "| of its groups | the cluster is |\n|---|---|\n"
    "| one is in progress (its operation waits) | still `*_IN_PROGRESS` |\n"
    "| else one has failed, in this operation or before | `UPDATE_FAILED`, `status_reason` names "
    "it |\n"
    "| else | as the operation ended |\n\n"
    "An operation that fails or is cancelled makes the cluster and its own groups `*_FAILED`. A\n"
    "driver that refuses at once has changed nothing: the size, template and labels that were\n"
    "wanted before are wanted again, and an upgrade leaves the cluster `UPDATE_COMPLETE`. One "
    "that\n"
    "fails later leaves what was asked for in place, and a retry goes on from there.\n";
static const char operations[] =
    "\n## Operations\n\n"
    "```mermaid\nstateDiagram-v2\n"
    "    [*] --> PENDING: accepted\n"
    "    PENDING --> RUNNING: leased by a conductor\n"
    "    RUNNING --> BLOCKED: no progress, or no driver\n"
    "    BLOCKED --> RUNNING: progress\n"
    "    BLOCKED --> BLOCKED: retry asked for - due at once\n"
    "    RUNNING --> SUCCEEDED\n    RUNNING --> FAILED\n    RUNNING --> CANCELLED\n"
    "    BLOCKED --> SUCCEEDED\n    BLOCKED --> FAILED: deadline\n    BLOCKED --> CANCELLED\n"
    "    PENDING --> CANCELLED: superseded or cancelled\n"
    "    PENDING --> FAILED: deadline\n"
    "    SUCCEEDED --> [*]\n    FAILED --> [*]\n    CANCELLED --> [*]\n```\n\n"
    "Operations of one cluster run one after another, in the order of `generation`. A retry of a\n"
    "failed one is a new operation with `retry_of`.\n\n"
    "| kind | cluster while it runs | when it succeeds | when it fails | stages |\n"
    "|---|---|---|---|---|\n";

static bool common(const char *status)
{
    static const char *const prefixes[] = {"CREATE_", "UPDATE_", "DELETE_", "ROLLBACK_"};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (str_starts(status, prefixes[i]))
            return true;
    return status[0] == '\0';
}

static void picture(struct str *t)
{
    str_append(t, "```mermaid\nstateDiagram-v2\n");
    for (size_t i = 0; i < ARRAY_LEN(transitions); i++) {
        const char *from = transitions[i].from, *to = transitions[i].to;
        if (!common(from) || (str_eq(to, "DELETE_IN_PROGRESS") && !str_starts(from, "DELETE_")))
            continue;
        str_printf(t, "    %s --> %s\n", from[0] ? from : "[*]", to);
    }
    str_append(t, "    DELETE_COMPLETE --> [*]\n```\n\n| from | to |\n|---|---|\n");
}

static void table(struct str *t)
{
    for (size_t i = 0; i < ARRAY_LEN(transitions); i++) {
        const char *from = transitions[i].from;
        bool first = true;
        for (size_t k = 0; k < i; k++)
            first &= !str_eq(transitions[k].from, from);
        if (!first)
            continue;
        str_printf(t, "| %s |", from[0] ? from : "(new)");
        for (size_t k = i, n = 0; k < ARRAY_LEN(transitions); k++)
            if (str_eq(transitions[k].from, from))
                str_printf(t, "%s %s", n++ ? "," : "", transitions[k].to);
        str_append(t, " |\n");
    }
}

static void kinds(struct str *t)
{
    for (enum op_kind k = OP_CREATE; k < OP_KIND_END; k++) {
        if (!status_on_accept(k))
            continue;
        str_printf(t, "| %s | %s | %s | %s |", op_kind_name(k), status_on_accept(k),
                   k == OP_DELETE ? "(gone)" : status_on_success(k), status_on_failure(k));
        const struct engine_stage *s = engine_stages(k);
        for (size_t i = 0; s[i].name; i++)
            str_printf(t, "%s %s%s", i ? "," : "", s[i].name, s[i].interface ? " (driver)" : "");
        str_append(t, " |\n");
    }
}

static char *generate(void)
{
    _cleanup_str_ struct str t = STR_INIT;
    str_append(&t, intro);
    picture(&t);
    table(&t);
    str_append(&t, aggregation);
    str_append(&t, operations);
    kinds(&t);
    return str_take(&t);
}

static char *doc_path(void)
{
    const char *top = getenv("MAGNUM_SOURCE_DIR");
    return str_fmt("%s/docs/states.md", top ? top : ".");
}

static void states_md_is_current(void)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *want = generate();
    _cleanup_free_ char *path = doc_path();
    _cleanup_free_ char *have = NULL;
    CU_ASSERT_PTR_NOT_NULL_FATAL(want);
    ASSERT_OK(io_read_file(path, 1 << 20, &have, NULL, &e), &e);
    CU_ASSERT_STRING_EQUAL(have, want);
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
    static const struct test_case cases[] = {TEST(states_md_is_current)};
    if (argc == 2 && str_eq(argv[1], "--write"))
        return write_doc();
    return test_main(argc, argv, "states_doc", NULL, NULL, cases, sizeof cases / sizeof cases[0]);
}
