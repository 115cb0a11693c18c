"""magnum-driver-check: our own drivers pass it, and of a set of wrong drivers each is caught by the
check that is meant for it."""
import json
import os
import pathlib
import re
import shutil
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
    "log": "secrets.canaries", "empty": "idempotency.delete_absent", "grows": "memory.calls",
    "files": "memory.calls", "instances": "memory.instances", "major": "handshake.other_major",
    "services": "handshake.other_hosts", "operations": "handshake.loads",
    "two_exports": "static.exports", "soft": "static.hardened", "manifest": "static.manifest",
    **{f"load_{what}": "static.constructors" for what in (
        "file", "thread", "environment", "output", "memory", "signal", "ifunc")},
    **{f"import_{what}": "static.imports" for what in (
        "exit", "abort", "system", "signal", "dlopen", "fork", "socket")}}
# of these, the words in which it must be told
TOLD = {
    "load_file": "open /etc/passwd", "load_thread": "start a thread",
    "load_environment": "change the environment", "load_output": "write something",
    "load_memory": "256 KiB", "load_signal": "what a signal does", "load_ifunc": "open /etc/hosts",
    "import_exit": "calls exit,", "import_abort": "calls abort,", "import_system": "exec: true",
    "import_signal": "calls signal,", "import_dlopen": "calls dlopen,", "import_fork": "exec: true",
    "import_socket": "network: direct"}


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


def kept_verdict(name):
    """Beside the plugin, where magnum-driver-manage looks for it. Those of the examples are made by
    the tests check/NAME (magnum_check_plugin)."""
    return ["--json", mt.BUILD / f"plugins/{name}.verdict.json", mt.BUILD / f"plugins/{name}.yaml"]


def our_certificate_managers_pass():
    with tempfile.NamedTemporaryFile() as key:
        key.write(bytes(range(32)))
        key.flush()
        check_equal(failed(kit("--config", "storage_path=@DIR@/certs", "--config",
                               f"key_file={key.name}", *kept_verdict("certs-local"), want=0)),
                    [], "certs-local")
    check_equal(failed(kit("--backend", f"{sys.executable} {FAKES}/barbican_backend.py",
                           *kept_verdict("certs-barbican"), want=0)), [], "certs-barbican")


def a_token_s_certificate_manager_passes():
    library = pathlib.Path("/usr/lib/softhsm/libsofthsm2.so")
    if not (library.exists() and (mt.BUILD / "plugins/cert-pkcs11.so").exists()):
        print("      skipped: softhsm2 or p11-kit is not installed")
        return
    label = f"magnum-{os.urandom(4).hex()}"
    with tempfile.NamedTemporaryFile("w") as pin:
        pin.write("471108\n")
        pin.flush()
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", label, "--pin",
                        "471108", "--so-pin", "12345678"], check=True, capture_output=True)
        try:
            check_equal(failed(kit("--config",
                                   f"pin_file={pin.name}", "--config",
                                   f"token={label}", *kept_verdict("cert-pkcs11"), want=0)),
                        [], "cert-pkcs11")
        finally:
            subprocess.run(["softhsm2-util", "--delete-token", "--token", label], check=True,
                           capture_output=True)


def drivers_of_local_nodes_pass_what_makes_none():
    """Their life cycles need the daemons: system/swarm and system/kubernetes_kit. Those of Kubernetes
    are only asked for their version here, and may have to be built first: so others answer."""
    with tempfile.TemporaryDirectory() as d:
        top = pathlib.Path(d)
        top.chmod(0o755)
        for daemon in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet",
                       "kube-proxy"):
            program = top / daemon
            program.write_text("#!/bin/sh\necho Kubernetes v1.20.2\n")
            program.chmod(0o755)
        for name, more in (("swarm", []), ("kubernetes", ["--config", f"kubernetes_path={top}"])):
            check_equal(failed(kit("--include", "static|loads|other_major|validate|absent", "--config",
                                   f"state_dir=@DIR@/{name}", *more, mt.BUILD / f"plugins/{name}.yaml",
                                   want=0)), [], name)


def drivers_of_stacks_pass():
    """Swarm and Mesos through Heat: whole lives, walks and fencing over a stand-in for Heat
    in which managers and masters answer for the nodes there are."""
    def options(engine):
        return ["--backend", f"{sys.executable} {FAKES}/stacks_backend.py {engine}", "--label",
                "drain_timeout_seconds=0", "--config", "magnum_url=http://magnum", "--config",
                "auth_url=http://keystone"]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as spec:
        json.dump({"template": {"server_type": "vm", "coe": "swarm-mode",
                                "cluster_distro": "ubuntu"}}, spec)
        spec.flush()
        check_equal(failed(kit(*options("docker"), "--spec", spec.name, "--config", "state_dir=@DIR@/swarm",
                               *kept_verdict("swarm"), want=0)), [], "swarm")
    check_equal(failed(kit(*options("mesos"), *kept_verdict("mesos"), want=0)), [], "mesos")


def an_operator_sees_their_verdicts():
    """Of everything we ship; that of Kubernetes is made by component/kubernetes_heat_check."""
    ours = ["kubernetes", "swarm", "mesos", "certs-local", "certs-barbican"]
    with mt.Allinone() as stack:
        stack.start()

        def manage(*args):
            r = subprocess.run([str(mt.BIN / "magnum-driver-manage"), "--config", "/dev/null",
                                "--plugin-dir", str(mt.BUILD / "plugins"), "--connection",
                                stack.connection(), *args], capture_output=True, text=True,
                               env=mt.clean_env(), timeout=60 * mt.SLOW)
            check_equal(r.returncode, 0, f"{args}: {r.stdout}{r.stderr}")
            return r.stdout
        for name in ours:
            manage("check", f"org.magnum.{name}", "--verdict",
                   str(mt.BUILD / f"plugins/{name}.verdict.json"))
        listed = {d["id"]: d["verdict"] for d in json.loads(manage("list", "--json"))}
    for name in ours:
        verdict = listed[f"org.magnum.{name}"]
        print(f"      {name}: {verdict}", flush=True)
        n, of = re.fullmatch(r"passed \((\d+) of (\d+)\)", verdict).groups()
        check(n == of and int(n) > 10, f"{name}: {verdict}")


def caught(fault, name):
    def run():
        if name in ("memory.calls", "memory.instances", "static.constructors") and mt.SLOW > 1:
            print("      skipped: a sanitizer's own doings can't be told from the driver's")
            return
        options = ["--include", f"^{re.escape(name)}$"]
        if fault == "hangs":
            options += ["--budget", "300"]
        tap = kit(*options, WRONG / fault / f"wrong_{fault}.yaml", want=1)
        check_equal(failed(tap), [name], f"what is found of {fault}: {tap}")
        check(TOLD.get(fault, "") in tap, f"{fault} is told: {tap}")
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
        skipped = 1 if mt.SLOW > 1 else 0  # static.constructors
        check_equal((verdict["passed"], verdict["failed"], verdict["skipped"], verdict["complete"]),
                    (5 - skipped, 1, skipped, False), "the verdict's counts")
        check_equal(len(verdict["plugin"]["sha256"]), 64, "sha256")
        suite = xml.etree.ElementTree.parse(f"{d}/v.xml").getroot()
        check_equal((suite.get("tests"), suite.get("failures")), ("6", "1"), "JUnit's counts")
        detail = [r["detail"] for r in verdict["results"] if r["result"] == "failed"][0]
        check("NotThere" in detail, detail)


def the_same_seed_walks_the_same_way():
    args = ("--include", "random", "--seed", "7", "--walks", "5",
            WRONG / "leak/wrong_leak.yaml")
    check_equal(kit(*args), kit(*args), "two runs of one seed")


def a_failure_tells_how_to_repeat_it():
    tap = kit("--include", "^crash.walk_create$", "--seed", "3", WRONG / "trust/wrong_trust.yaml",
              want=1)
    again = re.search(r"^# again: (.*)$", tap, re.M).group(1)
    check(re.search(r"--reproduce 3/\d+$", again), again)
    words = again.replace("'", "").split()
    check_equal(failed(kit(*words, WRONG / "trust/wrong_trust.yaml", want=1)), ["crash.walk_create"],
                "the same point again")
    check_equal(failed(kit(*words[:-1], "3/1000", WRONG / "trust/wrong_trust.yaml", want=0)), [],
                "a point that is not there")


def a_verdict_can_be_signed():
    """And openssl, which knows nothing of us, verifies it."""
    def openssl(*args, want=0):
        r = subprocess.run(["openssl", *args], cwd=d, capture_output=True, text=True)
        check(want is None or r.returncode == want, f"openssl {args}: {r.stdout}{r.stderr}")
        return r.returncode
    verify = ["pkeyutl", "-verify", "-pubin", "-inkey", "pub", "-rawin", "-in", "v.json",
              "-sigfile", "v.json.sig"]
    args = ["--include", "static", WRONG / "nothing/wrong_nothing.yaml"]
    with tempfile.TemporaryDirectory() as d:
        openssl("genpkey", "-algorithm", "ed25519", "-out", "key")
        openssl("pkey", "-in", "key", "-pubout", "-out", "pub")
        kit("--json", f"{d}/v.json", "--sign", f"{d}/key", *args, want=0)
        openssl(*verify)
        text = pathlib.Path(d, "v.json").read_text()
        pathlib.Path(d, "v.json").write_text(text.replace('"failed": 0', '"failed": 1', 1))
        check(openssl(*verify, want=None) != 0, "a changed verdict is refused")
        kit("--json", f"{d}/v.json", *args, want=0)
        check(not pathlib.Path(d, "v.json.sig").exists(), "no signature of another verdict stays")
        openssl("genpkey", "-algorithm", "rsa", "-out", "rsa")
        for key in ("rsa", "pub", "nothing"):
            kit("--json", f"{d}/v.json", "--sign", f"{d}/{key}", *args, want=2)


def valgrind_is_heard():
    if not shutil.which("valgrind") or mt.SLOW > 1:
        print("      skipped: no valgrind, or a sanitizer is there already")
        return
    args = ["--valgrind", "--include", "^lifecycle.whole|^sanitizer"]
    check_equal(failed(kit(*args, WRONG / "nothing/wrong_nothing.yaml", want=0)), [], "a right one")
    check_equal(failed(kit(*args, WRONG / "instances/wrong_instances.yaml", want=1)),
                ["sanitizer.silent"], "one that leaks")


def bad_usage_is_told():
    for args in ([], ["/nonexistent.yaml"], ["--walks", "x", "y.yaml"],
                 ["--reproduce", "7", WRONG / "nothing/wrong_nothing.yaml"],
                 ["--config", "nonsense", WRONG / "nothing/wrong_nothing.yaml"]):
        kit(*args, want=2)


mt.main(__name__, [a_right_driver_passes, our_certificate_managers_pass,
                   a_token_s_certificate_manager_passes,
                   drivers_of_local_nodes_pass_what_makes_none, drivers_of_stacks_pass,
                   an_operator_sees_their_verdicts,
                   every_wrong_driver_has_a_check,
                   *[caught(f, n) for f, n in sorted(CAUGHT.items())], reports_say_the_same,
                   the_same_seed_walks_the_same_way, a_failure_tells_how_to_repeat_it,
                   a_verdict_can_be_signed, valgrind_is_heard, bad_usage_is_told])
