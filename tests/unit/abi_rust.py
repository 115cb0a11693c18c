"""The hand-written bindings of sdk/examples/hello-rust lie as the C headers do: every member of their
structs is compared with the frozen layout, every constant with the published number. Exit status 77
(skipped) without rustc."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
RUST = TOP / "sdk/examples/hello-rust"
FROZEN = (TOP / "sdk/abi/layout_v1.c").read_text()


def told_by_rust(rustc):
    """{(struct, member): (offset, size)}"""
    with tempfile.TemporaryDirectory() as d:
        subprocess.run([rustc, "--edition", "2021", "-o", f"{d}/layout", str(RUST / "layout.rs")],
                       check=True, timeout=100)
        lines = subprocess.run([f"{d}/layout"], check=True, capture_output=True, text=True).stdout
    return {(s, m): (int(at), int(size)) for s, m, at, size in
            re.findall(r"^(\w+) (\w+) (\d+) (\d+)$", lines, re.M)}


def main():
    rustc = "/usr/bin/rustc" if pathlib.Path("/usr/bin/rustc").exists() else shutil.which("rustc")
    if not rustc:
        print("no rustc")
        return 77
    problems, count = [], 0
    rust = told_by_rust(rustc)
    frozen = {(s, m): (int(at), int(size)) for s, m, at, size in
              re.findall(r"^AT\((\w+), (\w+), (\d+), (\d+)\);", FROZEN, re.M)}
    for struct in sorted({s for s, _ in rust}):
        for key in sorted(k for k in set(rust) | set(frozen) if k[0] == struct):
            count += 1
            if rust.get(key) != frozen.get(key):
                problems.append(f"{key}: Rust has {rust.get(key)}, C {frozen.get(key)}")
    numbers = dict(re.findall(r"^NUMBER\((\w+), (.*)\);", FROZEN, re.M))
    for name, value in re.findall(r"^pub const (\w+): [ui]32 = (.*);", (RUST / "magnum.rs").read_text(),
                                  re.M):
        if name not in numbers:  # the minor moves
            continue
        count += 1
        published = eval(numbers[name].replace("u", ""))  # pylint: disable=eval-used # our own file
        if eval(value) != published:  # pylint: disable=eval-used
            problems.append(f"{name}: Rust has {value}, C {numbers[name]}")
    if count < 60:
        problems.append(f"only {count} things to compare")
    for p in problems:
        print(p)
    print(f"abi_rust: {count - len(problems)} passed, {len(problems)} failed")
    return 1 if problems else 0


sys.exit(main())
