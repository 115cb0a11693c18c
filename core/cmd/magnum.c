/* magnum: the client. Finds the command, parses, runs. See cli/cli.h. */
#include "cmd/cli/cli.h"

#include <locale.h>
#include <string.h>

/* Keystone is away, or does not let us in; else what was given is wrong. */
static enum cli_exit no_session(int rc)
{
    return rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT ? CLI_UNREACHABLE
           : rc == ERR_UNAUTHORIZED                   ? CLI_FAILED
                                                      : CLI_USAGE;
}

static enum cli_exit run(const struct cli_command *cmd, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    struct cli c = {0};
    int rc = cmd->run == cmd_complete ? 0 : cli_session(&c, a, &e);
    enum cli_exit code = rc == 0 ? cmd->run(&c, a) : cli_fail(no_session(rc), &e);
    cli_done(&c);
    return code;
}

/* Output that could not be written is a failure, or a script would go on with half of it. */
static enum cli_exit flushed(enum cli_exit code)
{
    struct err e = ERR_INIT;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    err_set(&e, ERR_IO, "cannot write the output");
    return cli_fail(CLI_FAILED, &e);
}

static bool is_help(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0 || strcmp(arg, "help") == 0;
}

/* `magnum --help`, `magnum cluster --help`, `magnum clutser`. */
static enum cli_exit no_command(int argc, char **argv)
{
    bool asked = false;
    _cleanup_str_ struct str words = STR_INIT;
    for (int i = 0; i < argc; i++)
        if (is_help(argv[i]))
            asked = true;
        else if (argv[i][0] != '-')
            str_printf(&words, "%s%s", words.len ? " " : "", argv[i]);
    FILE *out = asked ? stdout : stderr;
    if (words.len && !cli_help_group(out, words.s)) {
        cli_clean(words.s);
        fprintf(stderr, "magnum: there is no command '%s'; see magnum --help\n", words.s);
        return CLI_USAGE;
    }
    if (!words.len)
        cli_help_all(out);
    return asked ? CLI_OK : CLI_USAGE;
}

static enum cli_exit command(const struct cli_command *cmd, int argc, char **argv)
{
    struct err e = ERR_INIT;
    struct cli_args a = {NULL, 0, NULL, 0};
    enum cli_exit code = CLI_OK;
    if (!cli_args_parse(cmd, argc, argv, &a, &e))
        code = cli_fail(CLI_USAGE, &e);
    else if (cli_has(&a, "help"))
        cli_help_command(stdout, cmd);
    else
        code = run(cmd, &a);
    cli_args_done(&a);
    return code;
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, ""); /* widths of names that are not ASCII */
    argc--;
    argv++;
    if (argc && strcmp(argv[0], "--version") == 0) {
        puts("magnum " MAGNUM_VERSION);
        return (int)flushed(CLI_OK);
    }
    int skip, words;
    bool help_first = argc > 1 && strcmp(argv[0], "help") == 0;
    const struct cli_command *cmd = cli_find(argc - help_first, argv + help_first, &skip, &words);
    if (!cmd)
        return (int)flushed(no_command(argc, argv));
    if (help_first) {
        cli_help_command(stdout, cmd);
        return (int)flushed(CLI_OK);
    }
    /* Options before the command's words go where those were: argv[words..] is all but the words.
     */
    memmove(argv + words, argv, (size_t)skip * sizeof *argv);
    return (int)flushed(command(cmd, argc - words, argv + words));
}
