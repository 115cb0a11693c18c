/* magnum complete bash|zsh: a completion script from the command table. It holds one line per
 * command with its options; the shell finds the line by the words that were typed. See cli.h. */
#include "cmd/cli/cli.h"

#include <string.h>

static const char bash_code[] =
    "_magnum()\n"
    "{\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local said='' line words options best='' next='' i\n"
    "    case $prev in\n"
    "    -f | --format) COMPREPLY=($(compgen -W 'table json yaml value' -- \"$cur\")); return ;;\n"
    "    esac\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        [[ ${COMP_WORDS[i]} == -* ]] || said+=\"${COMP_WORDS[i]} \"\n"
    "    done\n"
    "    while IFS='|' read -r words options; do\n"
    "        if [[ $said == \"$words \"* ]]; then\n"
    "            best=$options\n"
    "        elif [[ \"$words \" == \"$said\"* ]]; then\n"
    "            line=${words#\"$said\"}\n"
    "            next+=\" ${line%% *}\"\n"
    "        fi\n"
    "    done <<<\"$_magnum_commands\"\n"
    "    if [[ $cur == -* ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$best $_magnum_options\" -- \"$cur\"))\n"
    "    elif [[ -n $next ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$next\" -- \"$cur\"))\n"
    "    fi\n"
    "}\n"
    "complete -o default -F _magnum magnum\n";

static const char zsh_code[] =
    "_magnum()\n"
    "{\n"
    "    local cur=${words[CURRENT]} prev=${words[CURRENT-1]} said='' line w options best='' i\n"
    "    local -a next\n"
    "    case $prev in\n"
    "    -f | --format) compadd -- table json yaml value; return ;;\n"
    "    esac\n"
    "    for ((i = 2; i < CURRENT; i++)); do\n"
    "        [[ ${words[i]} == -* ]] || said+=\"${words[i]} \"\n"
    "    done\n"
    "    while IFS='|' read -r w options; do\n"
    "        if [[ $said == \"$w \"* ]]; then\n"
    "            best=$options\n"
    "        elif [[ \"$w \" == \"$said\"* ]]; then\n"
    "            line=${w#\"$said\"}\n"
    "            next+=(\"${line%% *}\")\n"
    "        fi\n"
    "    done <<<\"$_magnum_commands\"\n"
    "    if [[ $cur == -* ]]; then\n"
    "        compadd -- ${=best} ${=_magnum_options}\n"
    "    elif (( $#next )); then\n"
    "        compadd -- $next\n"
    "    else\n"
    "        _files\n"
    "    fi\n"
    "}\n"
    "if [[ ${funcstack[1]} == _magnum ]]; then\n" /* it was loaded to complete at once */
    "    _magnum \"$@\"\n"
    "else\n"
    "    compdef _magnum magnum\n"
    "fi\n";

static void put_options(struct str *out, const struct cli_option *o)
{
    for (; o && o->name; o++)
        str_printf(out, " --%s", o->name);
}

/* The old shell's words complete, too, once they were begun: "bay-" is no beginning of others. */
static void put_commands(struct str *out)
{
    for (const struct cli_command *c = cli_commands; c->words; c++) {
        str_printf(out, "%s|", c->words);
        put_options(out, c->options);
        str_append_c(out, '\n');
        for (const struct cli_old_words *o = cli_old_words; o->old; o++)
            if (strcmp(o->words, c->words) == 0) {
                str_printf(out, "%s|", o->old);
                put_options(out, c->options);
                str_append_c(out, '\n');
            }
    }
}

enum cli_exit cmd_complete(struct cli *c, const struct cli_args *a)
{
    struct err e = ERR_INIT;
    _cleanup_str_ struct str out = STR_INIT;
    bool zsh = str_eq(a->words[0], "zsh");
    (void)c;
    if (!zsh && !str_eq(a->words[0], "bash")) {
        err_set(&e, ERR_INVALID, "completion is made for bash and zsh, not for '%s'", a->words[0]);
        return cli_fail(CLI_USAGE, &e);
    }
    str_append(&out, zsh ? "#compdef magnum\n" : "");
    str_printf(&out, "# Completion of magnum %s; made by: magnum complete %s\n", MAGNUM_VERSION,
               a->words[0]);
    str_append(&out, "_magnum_options='");
    put_options(&out, cli_global_options);
    put_options(&out, cli_login_options);
    str_append(&out, "'\n_magnum_commands='");
    put_commands(&out);
    str_append(&out, "'\n");
    str_append(&out, zsh ? zsh_code : bash_code);
    if (out.oom)
        return cli_no_memory();
    fputs(str_text(&out), stdout);
    return CLI_OK;
}
