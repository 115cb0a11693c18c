"""Completion of the client's words and options by real shells, with the scripts that are installed."""
import subprocess

import magnumtest as mt
from magnumtest import check, check_equal

BASH = r"""
eval "$("$1" complete bash)"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_magnum
printf '%s\n' "${COMPREPLY[@]}"
"""
# compadd and _files are zsh's own within a completion; here they tell what they were given.
ZSH = r"""
compdef() { :; }
compadd() { shift; printf '%s\n' "$@"; }
_files() { echo FILES; }
eval "$("$1" complete zsh)"
shift
words=("$@")
CURRENT=$#
_magnum
"""


def shell(program, script, *words):
    r = subprocess.run([*program, script, "test", str(mt.BIN / "magnum"), "magnum", *words],
                       capture_output=True, text=True, timeout=120 * mt.SLOW)
    check_equal((r.returncode, r.stderr), (0, ""), f"{program[0]} {words}")
    return sorted(set(r.stdout.split()))


def bash(*words):
    return shell(["bash", "--norc", "-c"], BASH, *words)


def zsh(*words):
    """All that may come: choosing by the beginning is zsh's own work."""
    return [w for w in shell(["zsh", "-f", "-c"], ZSH, *words) if w.startswith(words[-1])]


def words_are_completed():
    for complete in (bash, zsh):
        check_equal(complete("clus"), sorted(
            w for w in complete("") if w.startswith("clus")), "the first word's beginning")
        check("pod" in complete("") and "bay-create" in complete(""), "first words")
        check_equal(complete("quota", ""),
                    ["create", "delete", "list", "show", "update", "usage"], "second")
        check_equal(complete("cluster", "template", "cr"), ["create"], "third")
        check_equal(complete("--debug", "cluster", "te"), ["template"], "behind an option")
        check_equal(complete("cluster", "list", "-f", "y"), ["yaml"], "a format")


def options_are_completed():
    for complete in (bash, zsh):
        check_equal(complete("cluster", "create", "--master-c"), ["--master-count"], "of a command")
        check_equal(complete("bay-create", "--master-c"), ["--master-count"], "by an old word")
        check_equal(complete("stats", "--os-cl"), ["--os-cloud"], "of all commands")
        check("--nodegroup" not in complete("cluster", "create", "--node"), "of no other command")


def others_are_refused():
    r = subprocess.run([str(mt.BIN / "magnum"), "complete", "fish"], capture_output=True, text=True)
    check_equal((r.returncode, r.stdout), (2, ""), "fish")


mt.main(__name__, [words_are_completed, options_are_completed, others_are_refused])
