"""magnum-driver-check: our own drivers pass it, and of a set of wrong drivers each is caught by the
check that is meant for it."""
import json
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

import magnumtest as mt
from magnumtest import check, check_equal

KIT = mt.BIN / "magnum-driver-check"
WRONG = mt.BUILD / "tests/wrong_plugins"
FAKES = mt.SOURCE / "tests/fakes"
# fault: the checks of which at least one must fail
CAUGHT = {
    "leak": "lifecycle.whole_life", "ledger": "lifecycle.whole_life",
    "names": "crash.walk_create", "cancel": "cancel.walk", "fence": "fencing.walk",
    "secret": "secrets.canaries", "trust": "crash.walk_create", "state": "crash.walk_create",
    "spec": "input.odd_input", "delete_twice": "idempotency.delete_absent",
    "delete_labels": "idempotency.delete_without_spec",
    "validate": "lifecycle.validate_stays_here", "final": "fault.walk", "garbage": "fault.walk",
    "silent": "fault.walk", "hangs": "lifecycle.whole_life", "endless": "lifecycle.whole_life",
    "health": "lifecycle.whole_life", "second": "idempotency.repeated_create",
    "two_exports": "static.exports", "soft": "static.hardened", "manifest": "static.manifest"}


def kit(*args, want=None):
    r = subprocess.run([str(KIT), *map(str, args)], capture_output=True, text=True,
                       timeout=300 * mt.SLOW)
    check(want is None or r.returncode == want, f"exit {r.returncode}: {r.stdout}{r.stderr}")
    return r.stdout


def failed(tap):
    return re.findall(r"^not ok \d+ - (\S+)", tap, re.M)


def a_right_driver_passes():
    tap = kit(WRONG / "nothing/wrong_nothing.yaml", want=0)
    check_equal(failed(tap), [], "failed checks")


def our_examples_pass():
    check_equal(failed(kit("--config", "endpoint=http://backend", mt.BUILD / "plugins/hello.yaml",
                           want=0)), [], "hello")
    check_equal(failed(kit("--config", "state_dir=@DIR@/simulator", "--backend",
                           f"{sys.executable} {FAKES}/simulator_backend.py",
                           mt.BUILD / "plugins/simulator.yaml", want=0)), [], "simulator")


def our_certificate_managers_pass():
    with tempfile.NamedTemporaryFile() as key:
        key.write(bytes(range(32)))
        key.flush()
        check_equal(failed(kit("--config", "storage_path=@DIR@/certs", "--config",
                               f"key_file={key.name}", mt.BUILD / "plugins/certs-local.yaml",
                               want=0)), [], "certs-local")
    check_equal(failed(kit(mt.BUILD / "plugins/cert-mem.yaml", want=0)), [], "cert-mem")
    check_equal(failed(kit("--backend", f"{sys.executable} {FAKES}/barbican_backend.py",
                           mt.BUILD / "plugins/certs-barbican.yaml", want=0)), [], "certs-barbican")


def drivers_of_local_nodes_pass_what_makes_none():
    """Their life cycles need the daemons: system/swarm and system/kubernetes."""
    for name in ("swarm", "kubernetes"):
        check_equal(failed(kit("--include", "static|handshake|validate|absent", "--config",
                               f"state_dir=@DIR@/{name}", mt.BUILD / f"plugins/{name}.yaml",
                               want=0)), [], name)


def caught(fault, name):
    def run():
        options = ["--include", f"^{re.escape(name)}$"]
        if fault == "hangs":
            options += ["--budget", "300"]
        tap = kit(*options, WRONG / fault / f"wrong_{fault}.yaml", want=1)
        check_equal(failed(tap), [name], f"what is found of {fault}: {tap}")
    run.__name__ = f"{fault}_is_caught"
    return run


def every_wrong_driver_has_a_check():
    built = {p.name for p in WRONG.iterdir()} - {"nothing"}
    check_equal(built, set(CAUGHT), "wrong drivers")


def reports_say_the_same():
    with tempfile.TemporaryDirectory() as d:
        kit("--json", f"{d}/v.json", "--junit", f"{d}/v.xml", "--include", "static|delete_absent",
            WRONG / "delete_twice/wrong_delete_twice.yaml", want=1)
        with open(f"{d}/v.json", encoding="utf-8") as f:
            verdict = json.load(f)
        check_equal((verdict["passed"], verdict["failed"], verdict["complete"]), (3, 1, False),
                    "the verdict's counts")
        check_equal(len(verdict["plugin"]["sha256"]), 64, "sha256")
        suite = xml.etree.ElementTree.parse(f"{d}/v.xml").getroot()
        check_equal((suite.get("tests"), suite.get("failures")), ("4", "1"), "JUnit's counts")
        detail = [r["detail"] for r in verdict["results"] if r["result"] == "failed"][0]
        check("NotThere" in detail, detail)


def the_same_seed_walks_the_same_way():
    args = ("--include", "random", "--seed", "7", "--walks", "5",
            WRONG / "leak/wrong_leak.yaml")
    check_equal(kit(*args), kit(*args), "two runs of one seed")


def bad_usage_is_told():
    for args in ([], ["/nonexistent.yaml"], ["--walks", "x", "y.yaml"],
                 ["--config", "nonsense", WRONG / "nothing/wrong_nothing.yaml"]):
        kit(*args, want=2)


mt.main(__name__, [a_right_driver_passes, our_examples_pass, our_certificate_managers_pass,
                   drivers_of_local_nodes_pass_what_makes_none,
                   every_wrong_driver_has_a_check,
                   *[caught(f, n) for f, n in sorted(CAUGHT.items())], reports_say_the_same,
                   the_same_seed_walks_the_same_way, bad_usage_is_told])
