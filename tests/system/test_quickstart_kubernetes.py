"""tools/quickstart --coe kubernetes as a newcomer runs it, with programs that are built already: a
cluster with pods, `kubectl get nodes` with the kubeconfig it left, then --stop; nothing is left."""
import os
import pathlib
import re
import subprocess
import tempfile

import kubetest as kt
import magnumtest as mt
from magnumtest import check, check_equal

STATE = pathlib.Path(tempfile.mkdtemp(prefix="mgt-"))
STATE.chmod(0o711)  # PostgreSQL runs as another user


def quickstart(*more):
    r = subprocess.run([str(mt.SOURCE / "tools/quickstart"), "--coe", "kubernetes", "--state-dir",
                        str(STATE), "--port", str(PORT), "--programs", str(mt.BIN), *more],
                       env=mt.clean_env(), text=True, stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=300 * mt.SLOW)
    check_equal(r.returncode, 0, f"exit status of quickstart {' '.join(more)}: "
                                 f"{r.stdout[-3000:]}{r.stderr[-2000:]}")
    return r.stdout


PORT = mt.free_port()


def cluster_ids():
    return [p.read_text().strip() for p in (STATE / "kubernetes").glob("*/uuid")]


def it_makes_a_cluster_with_pods():
    kt.SPECIFIC.update(home=str(STATE / "quickstart"), binaries=kt.binaries())
    out = quickstart()
    scaled = out[out.index("Scaling"):]
    check_equal(len(re.findall(r"-worker-\d+ +Ready ", scaled)), 3, f"ready nodes: {scaled}")
    check_equal(len(re.findall(r"^web-\w+ +1/1 +Running", out, re.M)), 3, f"pods: {out}")
    check_equal(len(cluster_ids()), 1, "clusters")


def its_kubeconfig_works_afterwards():
    kt.ready_nodes(3, config=STATE / "quickstart/kubernetes/config")


def stop_leaves_nothing():
    marks = [*cluster_ids(), str(STATE)]
    out = quickstart("--stop")
    check(out.rstrip().endswith("nothing"), f"it says so: {out}")
    check_equal(mt.left_behind(marks), [], "left behind")
    check(not STATE.exists(), "the state directory is gone")


try:
    mt.main(__name__, [it_makes_a_cluster_with_pods, its_kubeconfig_works_afterwards,
                       stop_leaves_nothing])
finally:
    if STATE.exists():
        subprocess.run([str(mt.SOURCE / "tools/quickstart"), "--stop", "--state-dir", str(STATE),
                        "--programs", str(mt.BIN)], stdout=subprocess.DEVNULL, check=False,
                       env=os.environ)
