/* Help texts from the same tables that parse; docs/man/magnum.1 is made from what they print. See
 * cli.h. */
#include "cmd/cli/cli.h"

#include <string.h>

static const char exit_codes[] =
    "\nExit codes: 0 done, 1 the service refused, 2 wrong usage, 3 no such object, 4 the "
    "operation\n"
    "waited for failed, 5 --wait-timeout is over (the operation goes on), 6 the service can't be\n"
    "reached.\n";

static void help_options(FILE *out, const char *title, const struct cli_option *o)
{
    if (!o || !o->name)
        return;
    fprintf(out, "\n%s\n", title);
    for (; o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        fprintf(out, "  %-34s %s\n", left, o->help);
    }
}

void cli_help_command(FILE *out, const struct cli_command *cmd)
{
    fprintf(out, "usage: magnum %s%s%s [options]\n\n%s.\n", cmd->words, *cmd->usage ? " " : "",
            cmd->usage, cmd->summary);
    help_options(out, "Options:", cmd->options);
    help_options(out, "Common options:", cli_global_options);
    fprintf(out, "\nExample:\n  %s\n%s", cmd->example, exit_codes);
}

static bool begins_with(const char *words, const char *group)
{
    size_t n = group ? strlen(group) : 0;
    return n == 0 || (strncmp(words, group, n) == 0 && (words[n] == ' ' || !words[n]));
}

bool cli_help_group(FILE *out, const char *group)
{
    bool any = false;
    for (const struct cli_command *c = cli_commands; c->words; c++)
        if (begins_with(c->words, group)) {
            if (!any)
                fprintf(out, "Commands:\n");
            fprintf(out, "  %-28s %s\n", c->words, c->summary);
            any = true;
        }
    return any;
}

void cli_help_all(FILE *out)
{
    fprintf(out, "usage: magnum COMMAND [arguments] [options]\n\n"
                 "Clusters of container orchestration engines, from the command line.\n\n");
    (void)cli_help_group(out, NULL);
    help_options(out, "Common options:", cli_global_options);
    help_options(out, "Who you are:", cli_login_options);
    fprintf(
        out,
        "\nThe service is http://127.0.0.1:9511 unless an option, the environment, clouds.yaml\n"
        "or Keystone's catalogue says otherwise. Commands of the old shell (bay-create, pod-list, "
        "...)\n"
        "are known, too. `magnum COMMAND --help` tells the rest.\n%s",
        exit_codes);
}
