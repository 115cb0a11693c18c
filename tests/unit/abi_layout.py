"""The gate of the plugin ABI: sdk/abi/layout_v1.c accepts the headers as they are and members appended
to a struct, and refuses every other kind of change; the ids are the published ones; each header
compiles alone, as C11 and as C++."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = TOP / "sdk/include"
CC = sys.argv[1] if len(sys.argv) > 1 else "cc"
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-fsyntax-only"]

IDS = {
    "MAG_IFACE_LIFECYCLE": "mag.coe.lifecycle/1", "MAG_IFACE_NODEGROUPS": "mag.coe.nodegroups/1",
    "MAG_IFACE_UPGRADE": "mag.coe.upgrade/1", "MAG_IFACE_ROTATE": "mag.coe.rotate/1",
    "MAG_IFACE_CREDENTIALS": "mag.coe.credentials/1", "MAG_IFACE_WORKLOAD": "mag.coe.workload/1",
    "MAG_IFACE_STATS": "mag.coe.stats/1", "MAG_IFACE_PLAN": "mag.coe.plan/1",
    "MAG_IFACE_INVENTORY": "mag.coe.inventory/1",
    "MAG_IFACE_CERT_STORE": "mag.cert.store/1", "MAG_IFACE_CERT_SIGN": "mag.cert.sign/1",
    "MAG_HOST_LEDGER": "mag.host.ledger/1", "MAG_HOST_CERT": "mag.host.cert/1",
    "MAG_HOST_RENDER": "mag.host.render/1",
}

# name, header, old text (a pattern), new text, is it allowed?
CHANGES = [
    ("member appended", "error.h", r"(    char remedy\[256\];[^\n]*\n)", r"\1    uint32_t more;\n", True),
    ("function appended", "lifecycle.h", r"(    mag_step_fn health;\n)", r"\1    mag_step_fn pause;\n", True),
    ("error code appended", "error.h", r"(MAG_E_INTERNAL = -13)", r"\1, MAG_E_MORE = -14", True),
    ("member in the middle", "error.h", r"(    uint32_t retry_after_ms;)", r"    uint32_t more;\n\1", False),
    ("array grown", "error.h", r"char reason\[64\]", "char reason[72]", False),
    ("member removed", "host.h", r"    const char \*request_id;[^\n]*\n", "", False),
    ("member retyped, same size", "host.h", r"uint64_t generation", "int64_t generation", False),
    ("member renamed", "host.h", r"uint32_t attempt", "uint32_t tries", False),
    ("functions of one type swapped", "lifecycle.h", r"mag_step_fn create;(.*?)mag_step_fn remove;",
     r"mag_step_fn remove;\1mag_step_fn create;", False),
    ("functions of two types swapped", "plugin.h",
     r"(    void \(\*destroy\)\(void \*self\);\n)(.*?)(    int32_t \(\*probe\)[^\n]*\n)", r"\3\2\1", False),
    ("parameter added", "stats.h", r"\(\*read\)\(void \*self,", "(*read)(void *self, uint32_t flags,", False),
    ("parameter retyped", "host.h", r"uint64_t cap,", "uint32_t cap,", False),
    ("result retyped", "host.h", r"void \(\*log\)\(", "int32_t (*log)(", False),
    ("step signature changed", "lifecycle.h", r"mag_step \*out, mag_error \*err\)",
     "mag_step *out, mag_error *err, void *more)", False),
    ("number changed", "error.h", r"MAG_E_QUOTA = -7", "MAG_E_QUOTA = -70", False),
    ("flag changed", "host.h", r"MAG_OPF_CANCEL \(1u << 1\)", "MAG_OPF_CANCEL (1u << 9)", False),
    ("interface renamed", "lifecycle.h", r"mag_lifecycle;", "mag_life;", False),
    ("magic changed", "plugin.h", r"0x4d41474eu", "0x4d41474fu", False),
    ("entry changed", "plugin.h", r"mag_plugin_entry\(uint32_t host_major, uint32_t host_minor\);",
     "mag_plugin_entry(uint32_t host_major);", False),
]


def compiles(include, flags=FLAGS, source=None, compiler=CC):
    r = subprocess.run([compiler, *flags, f"-I{include}", str(source or TOP / "sdk/abi/layout_v1.c")],
                       capture_output=True, text=True, timeout=60)
    return r.returncode == 0, r.stderr


def main():
    problems, count = [], 0

    def check(ok, what):
        nonlocal count
        count += 1
        if not ok:
            problems.append(what)

    ok, err = compiles(INCLUDE)
    check(ok, f"the layout does not fit the headers: {err}")
    with tempfile.TemporaryDirectory() as d:
        for name, header, old, new, allowed in CHANGES:
            copy = pathlib.Path(d) / "include"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(INCLUDE, copy)
            path = copy / "magnum" / header
            text, n = re.subn(old, new, path.read_text(), count=1, flags=re.S)
            path.write_text(text)
            check(n == 1, f"{name}: nothing to change in {header}")
            ok, err = compiles(copy)
            check(ok == allowed, f"{name}: {'refused: ' + err if allowed else 'not noticed'}")
        alone = pathlib.Path(d) / "alone.c"
        for header in sorted((INCLUDE / "magnum").glob("*.h")):
            alone.write_text(f"#include <magnum/{header.name}>\n#include <magnum/{header.name}>\n"
                             "typedef int not_empty;\n")
            ok, err = compiles(INCLUDE, source=alone)
            check(ok, f"{header.name} alone: {err}")
            if shutil.which("c++"):
                ok, err = compiles(INCLUDE, ["-x", "c++", "-std=c++11", "-Wall", "-Wextra", "-Wpedantic",
                                             "-Werror", "-fsyntax-only"], alone, "c++")
                check(ok, f"{header.name} as C++: {err}")
    found = {}
    for header in (INCLUDE / "magnum").glob("*.h"):
        text = header.read_text()
        found.update(re.findall(r'#define (MAG_(?:IFACE|HOST)_[A-Z_]+) "(.*?)"', text))
        check(not re.findall(r"#include <(?!stddef\.h|stdint\.h)", text), f"{header.name} is not freestanding")
    for name, value in IDS.items():
        check(found.get(name) == value, f"{name} is {found.get(name)}, published was {value}")
    for p in problems:
        print(p)
    print(f"abi_layout: {count - len(problems)} passed, {len(problems)} failed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
