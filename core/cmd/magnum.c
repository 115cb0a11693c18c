/* magnum: the client. Finds the command, parses, runs. See cli/cli.h. */
#include "cmd/cli/cli.h"

#include <string.h>

/* How many arguments the command's words take, 0 when they do not match. */
static int match(const struct cli_command *cmd, int argc, char **argv)
{
    _cleanup_strv_ struct strv words = STRV_INIT;
    if (strv_split(&words, cmd->words, ' ') != 0 || words.n > (size_t)argc)
        return 0;
    for (size_t i = 0; i < words.n; i++)
        if (strcmp(words.v[i], argv[i]) != 0)
            return 0;
    return (int)words.n;
}

static const struct cli_command *find(int argc, char **argv, int *ret_used)
{
    const struct cli_command *best = NULL;
    *ret_used = 0;
    for (const struct cli_command *c = cli_commands; c->words; c++) {
        int n = match(c, argc, argv);
        if (n > *ret_used) {
            *ret_used = n;
            best = c;
        }
    }
    return best;
}

static enum cli_exit run(const struct cli_command *cmd, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    struct cli c = {0};
    enum cli_exit code = cli_session(&c, a, &e) == 0 ? cmd->run(&c, a) : cli_fail(CLI_USAGE, &e);
    cli_done(&c);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        err_set(&e, ERR_IO, "cannot write the output");
        return cli_fail(CLI_FAILED, &e);
    }
    return code;
}

int main(int argc, char **argv)
{
    int used;
    struct err e = ERR_INIT;
    struct cli_args a = {NULL, 0, NULL, 0};
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("magnum " MAGNUM_VERSION);
        return CLI_OK;
    }
    bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                             strcmp(argv[1], "help") == 0);
    const struct cli_command *cmd = find(argc - 1, argv + 1, &used);
    if (!cmd) {
        cli_help_all(help ? stdout : stderr);
        return help ? CLI_OK : CLI_USAGE;
    }
    enum cli_exit code = CLI_OK;
    if (!cli_args_parse(cmd, argc - 1 - used, argv + 1 + used, &a, &e))
        code = cli_fail(CLI_USAGE, &e);
    else if (cli_has(&a, "help"))
        cli_help_command(stdout, cmd);
    else
        code = run(cmd, &a);
    cli_args_done(&a);
    return (int)code;
}
