"""Recorded answers of the original against our own: plays the scenarios of the conformance corpus
beside the source tree against a real magnum-api with Keystone tokens, prints each step that
differs, and as its last line "N passed, M failed", which counts steps.

    test_conformance.py [--scenarios DIR --golden DIR] [--only REGEX] [--report FILE]

Without options both public corpora: the one of 15.0.1 with api.compat zed, the one of the
development version as it is. A corpus of one's own is played in the mode that its recorded version
headers name. differences.yaml lists what may differ, and why; a step that differs without being
listed there fails the run, and so does a listed one that is equal. docs/compatibility.md holds the
same list for readers.

magnum-allinone gives database, conductor and drivers; the simulator stands in for the drivers of
the recorded service, under manifests made here for the types of cluster the corpus asks for.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

import lab
import magnumtest as mt
from magnumtest import check, check_equal, wait_for

HERE = pathlib.Path(__file__).parent
CORPUS = mt.SOURCE.parent / "shared" / "conformance"
DOCUMENT = mt.SOURCE / "docs" / "compatibility.md"
JOBS = 4

# What the recorded services had drivers for.
PROVIDES = {
    "zed": [("vm", "fedora-coreos", "kubernetes"), ("vm", "fedora-atomic", "kubernetes"),
            ("bm", "fedora", "kubernetes"), ("vm", "coreos", "kubernetes"),
            ("vm", "fedora-atomic", "swarm"), ("vm", "fedora-atomic", "swarm-mode")],
    "head": [("vm", "fedora-coreos", "kubernetes")],
}

# How the recorded services were configured, where that shows.
SERVICES = {"zed": {"certificates.ca_key_type": "rsa-2048"}, "head": {}}


# ---- corpora ----

class Corpus:
    def __init__(self, name, scenarios, golden):
        self.name = name
        self.scenarios, self.golden = pathlib.Path(scenarios), pathlib.Path(golden)
        check(self.scenarios.exists(), f"no such scenarios: {scenarios}")
        check(self.golden.is_dir(), f"no such folder of golden answers: {golden}")
        self.compat = compat_of(self.golden)


def compat_of(golden):
    """The mode of the API that speaks of itself as the recorded answers do."""
    known = re.compile(r'"openstack-api-maximum-version": "(\S+) [\d.]+"')
    for path in sorted(golden.rglob("*.json")):
        found = known.search(path.read_text(encoding="utf-8"))
        if found:
            return "zed" if found.group(1) == "container-infra" else "head"
    return "zed"


def corpora(options):
    if options.scenarios or options.golden:
        check(options.scenarios and options.golden, "--scenarios and --golden go together")
        return [Corpus("given", options.scenarios, options.golden)]
    return [Corpus("zed", CORPUS / "scenarios", CORPUS / "golden"),
            Corpus("next", CORPUS / "next/scenarios", CORPUS / "next/golden")]


# ---- differences ----

def entries():
    return yaml.safe_load((HERE / "differences.yaml").read_text())["differences"]


def listed_differences():
    """{(scenario, step): reason} of differences.yaml."""
    found = {}
    for entry in entries():
        check(entry.get("reason"), f"a difference without a reason: {entry}")
        for scenario, steps in entry["steps"].items():
            for step in steps:
                check((scenario, step) not in found, f"listed twice: {scenario} {step}")
                found[scenario, step] = entry["reason"]
    return found


def check_document():
    """The table of docs/compatibility.md has every reason, word for word, and its steps' number."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    told = {m[2]: int(m[1]) for m in (re.match(r"\| (\d+) \| (.*) \|$", line) for line in lines) if m}
    listed = {" ".join(e["reason"].split()): sum(map(len, e["steps"].values())) for e in entries()}
    check_equal(told, listed, f"differences in {DOCUMENT.name}")


# ---- Magnum ----

def plugins(directory, compat):
    """A plugin directory with the simulator alone, for the corpus' types of cluster."""
    source = mt.BUILD / "plugins"
    for name in ("simulator.so", "simulator.labels.schema.json"):
        (directory / name).write_bytes((source / name).read_bytes())
    manifest = yaml.safe_load((source / "simulator.yaml").read_text())
    manifest["provides"] = [dict(server_type=t, os=o, coe=c) for t, o, c in PROVIDES[compat]]
    (directory / "simulator.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


@contextlib.contextmanager
def stack(compat):
    with tempfile.TemporaryDirectory(prefix="mgc-") as top:
        directory = pathlib.Path(top) / "plugins"
        os.chmod(top, 0o755)
        directory.mkdir()
        plugins(directory, compat)
        options = {"drivers.plugin_dirs": directory, "api.compat": compat, **SERVICES[compat]}
        sets = [x for k, v in options.items() for x in ("--set", f"{k}={v}")]
        with mt.Allinone(options=sets) as s:
            yield s.start()


@contextlib.contextmanager
def api(s, l, compat):
    """A magnum-api beside the stack's own that asks Keystone; its base URL."""
    port, log = s.state / "conformance.port", "magnum-api-conformance.log"
    options = dict(l.magnum_options(), **{"api.port": "0", "api.port_file": port,
                                         "api.compat": compat, "log.level": "warning"})
    p = s.beside("magnum-api", log, *(f"{k}={v}" for k, v in options.items()))
    try:
        def ready():
            if p.poll() is not None:
                raise RuntimeError((s.state / "log" / log).read_text(errors="replace")[-4000:])
            return port.read_text().strip()
        yield f"http://127.0.0.1:{wait_for('magnum-api to be ready', ready, 30)}"
    finally:
        p.terminate()
        p.wait(60)
    check_equal(p.returncode, 0, "exit status of magnum-api")


# ---- one corpus ----

def conform(l, url, corpus, options):
    """The report of `conform check`; its failing steps are printed as they happen."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = [str(CORPUS / "conform"), "check", "--endpoint", url, "--jobs", str(JOBS),
                   "--patience", str(mt.SLOW), "--golden", str(corpus.golden),
                   "--json", report.name, str(corpus.scenarios)]
        if options.only:
            command += ["--only", options.only]
        r = subprocess.run([sys.executable, "-B", *command], env=l.environ("admin"),
                           stdout=subprocess.PIPE, text=True)
        for line in r.stdout.splitlines()[:-1]:
            print(f"{corpus.name}: {line}", flush=True)
        check(r.returncode in (0, 1), f"conform ended with {r.returncode}: {r.stdout[-2000:]}")
        return json.load(open(report.name, encoding="utf-8"))


def judge(steps, listed, corpus):
    """What is wrong with the list of differences, in lines. A corpus of one's own may have steps of
    the same name whose answers are others: equal ones are no fault there."""
    wrong = []
    for step in steps:
        key = step["scenario"], step["step"]
        if step["result"] == "failed" and key not in listed:
            wrong.append(f"{corpus.name}: not listed in differences.yaml: {key[0]} {key[1]}")
        if step["result"] == "passed" and key in listed and corpus.name != "given":
            wrong.append(f"{corpus.name}: listed in differences.yaml but equal: {key[0]} {key[1]}")
    return wrong


def unknown_steps(reports, listed):
    """Listed steps that no public corpus has."""
    known = {(s["scenario"], s["step"]) for r in reports for s in r["steps"]}
    return [f"listed in differences.yaml but in no corpus: {k[0]} {k[1]}"
            for k in listed if k not in known]


def play(l, corpus, options):
    """conform's report of one corpus."""
    with stack(corpus.compat) as s, api(s, l, corpus.compat) as url:
        report = conform(l, url, corpus, options)
    if options.report:
        pathlib.Path(f"{options.report}.{corpus.name}.json").write_text(json.dumps(report, indent=1))
    print(f"{corpus.name} ({corpus.compat}): {report['passed']} equal, {report['failed']} differ, "
          f"{report['bugs']} steps skipped as bugs of the original", flush=True)
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--scenarios", default=os.environ.get("CONFORMANCE_SCENARIOS"))
    parser.add_argument("--golden", default=os.environ.get("CONFORMANCE_GOLDEN"))
    parser.add_argument("--only", help="scenarios whose name matches")
    parser.add_argument("--report", help="write conform's reports to FILE.CORPUS.json")
    options = parser.parse_args()
    if not (CORPUS / "conform").exists():
        print(f"skipped: there is no corpus at {CORPUS}")
        sys.exit(lab.SKIP)
    check_document()
    listed, reports, wrong = listed_differences(), [], []
    with lab.up("full") as l:
        for corpus in corpora(options):
            reports.append(play(l, corpus, options))
            wrong += judge(reports[-1]["steps"], listed, corpus)
    if not (options.only or options.scenarios):
        wrong += unknown_steps(reports, listed)
    print(*wrong, sep="\n")
    passed = sum(r["passed"] for r in reports)
    print(f"{passed} passed, {sum(r['failed'] for r in reports)} failed", flush=True)
    sys.exit(1 if wrong or not passed else 0)


if __name__ == "__main__":
    main()
