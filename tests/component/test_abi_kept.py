"""Plugins that were built for each released minor of the ABI (tests/data/abi-M.N, kept as binaries by
tools/abi-record) pass the whole kit in this host; and today's examples load into every earlier one."""
import hashlib
import re
import subprocess
import sys

import magnumtest as mt
from magnumtest import check, check_equal

KIT = mt.BIN / "magnum-driver-check"
KEPT = sorted((mt.SOURCE / "tests/data").glob("abi-*"))
BACKEND = mt.SOURCE / "sdk/examples/simulator/backend.py"
ARGS = {"hello": ["--config", "endpoint=http://backend"], "cert-mem": [],
        "simulator": ["--config", "state_dir=@DIR@/simulator", "--backend",
                      f"{sys.executable} {BACKEND}"]}


def kit(name, manifest, *more):
    r = subprocess.run([str(KIT), *ARGS[name], *more, str(manifest)], capture_output=True,
                       text=True, timeout=250 * mt.SLOW)
    check_equal((r.returncode, re.findall(r"^not ok \d+ - (\S+)\n(.*)", r.stdout, re.M)), (0, []),
                f"{manifest}: {r.stderr}")


def every_released_minor_is_kept():
    header = (mt.SOURCE / "sdk/include/magnum/plugin.h").read_text()
    major, minor = (int(re.search(rf"MAG_ABI_{n} (\d+)u", header).group(1)) for n in
                    ("MAJOR", "MINOR"))
    check_equal([d.name for d in KEPT if d.name.startswith(f"abi-{major}.")],
                [f"abi-{major}.{m}" for m in range(minor + 1)], "kept minors")


def they_are_what_was_kept():
    for d in KEPT:
        sums = dict(reversed(line.split()) for line in
                    (d / "SHA256SUMS").read_text().splitlines())
        check_equal(sorted(sums), sorted(p.name for p in d.iterdir() if p.name != "SHA256SUMS"),
                    f"files of {d.name}")
        for name, want in sums.items():
            check_equal(hashlib.sha256((d / name).read_bytes()).hexdigest(), want, f"{d.name}/{name}")


def passes(directory, name):
    def run():
        kit(name, directory / f"{name}.yaml")
    run.__name__ = f"{name}_of_{directory.name}_passes"
    return run


def todays_examples_load_into_earlier_hosts():
    for name in ARGS:
        kit(name, mt.BUILD / f"plugins/{name}.yaml", "--include", "handshake")


mt.main(__name__, [every_released_minor_is_kept, they_are_what_was_kept,
                   *[passes(d, n) for d in KEPT for n in ARGS],
                   todays_examples_load_into_earlier_hosts])
