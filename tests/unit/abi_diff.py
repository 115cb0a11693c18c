"""The tripwire of the plugin ABI: libabigail compares all published structs with those of each released
minor (sdk/abi/abi-M.N.abi, made by tools/abi-record). It says nothing about the headers as they are,
speaks up at every change of a struct, and is blind to what is in no debug information: numbers. What
it must not be trusted with is the gate's business (abi_layout.py), which is tried on the same list."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import abi_layout

TOP = abi_layout.TOP
# Macros and nameless enums leave no trace in a library; abidiff has nothing to compare.
BLIND = {"flag changed", "magic changed", "number changed", "error code appended"}
REMOVED = 8  # a bit of abidiff's exit status


def build(include, source, library):
    r = subprocess.run(["gcc", "-g", "-O0", "-std=c11", "-shared", "-fPIC", "-fvisibility=hidden",
                        f"-I{include}", str(source), "-o", str(library)],
                       capture_output=True, text=True, timeout=60)
    return r.returncode == 0, r.stderr


def compare(baseline, library):
    """(exit status, report)"""
    r = subprocess.run(["abidiff", "--harmless", str(baseline), str(library)], capture_output=True, text=True,
                       timeout=60)
    return r.returncode, r.stdout + r.stderr


def changed_headers(directory, header, old, new):
    copy = pathlib.Path(directory) / "include"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(abi_layout.INCLUDE, copy)
    path = copy / "magnum" / header
    path.write_text(re.sub(old, new, path.read_text(), count=1, flags=re.S))
    return copy


def main():
    problems, count = [], 0

    def check(ok, what):
        nonlocal count
        count += 1
        if not ok:
            problems.append(what)

    baselines = sorted((TOP / "sdk/abi").glob("abi-*.abi"))
    surface = TOP / "sdk/abi/surface.c"
    check(baselines, "no released minor is kept")
    text = surface.read_text()
    for header in abi_layout.INCLUDE.glob("magnum/*.h"):
        for struct in re.findall(r"^} (mag_\w+);", header.read_text(), re.M):
            reached = struct in text or header.name in ("error.h", "host.h", "cert.h")
            check(reached, f"{struct} is not in sdk/abi/surface.c: a change would be missed")
    with tempfile.TemporaryDirectory() as d:
        library = pathlib.Path(d) / "surface.so"
        ok, err = build(abi_layout.INCLUDE, surface, library)
        check(ok, f"surface.c: {err}")
        for baseline in baselines:
            rc, report = compare(baseline, library)
            check(rc == 0, f"the headers differ from {baseline.name} (a line under ABI in the "
                           f"changelog, a minor more, tools/abi-record): {report}")
        for name, header, old, new, _ in abi_layout.CHANGES:
            copy = changed_headers(d, header, old, new)
            ok, err = build(copy, surface, library)
            if not ok:  # refused by the compiler already: the example itself does not build
                check(True, name)
                continue
            rc, report = compare(baselines[-1], library)
            check((rc != 0) == (name not in BLIND), f"{name}: abidiff answers {rc}: {report}")
        removed = pathlib.Path(d) / "removed.c"
        removed.write_text(text.replace("MAG_EXPORT const mag_plugin *mag_plugin_entry(",
                                        "const mag_plugin *another_entry(uint32_t, uint32_t);\n"
                                        "const mag_plugin *another_entry("))
        ok, err = build(abi_layout.INCLUDE, removed, library)
        check(ok, f"without an entry: {err}")
        check(compare(baselines[-1], library)[0] & REMOVED, "a removed export is not noticed")
    for p in problems:
        print(p)
    print(f"abi_diff: {count - len(problems)} passed, {len(problems)} failed")
    return 1 if problems else 0


sys.exit(main())
