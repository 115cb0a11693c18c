"""magnum-driver-check over the life cycle of the local Kubernetes driver, with real daemons, real
certificates and the API they serve. MAGNUM_KIT_POINTS raises how many points of an operation are
tried, MAGNUM_KIT_CHECKS names other checks than these (a regular expression)."""
import os
import re
import subprocess
import sys

import kubetest as kt
import magnumtest as mt
from magnumtest import check_equal

POINTS = os.environ.get("MAGNUM_KIT_POINTS", "1")
CHECKS = os.environ.get(
    "MAGNUM_KIT_CHECKS", "idempotency|secrets|cancel.late|crash.delete_half_made|fencing.walk")


def kit(*args):
    r = subprocess.run(
        [str(mt.BIN / "magnum-driver-check"), "--config", "state_dir=@DIR@/kubernetes", "--config",
         f"kubernetes_path={kt.binaries()}", "--config",
         f"local_node_program={mt.BIN / 'magnum-local-node'}", "--steps", "100000", "--label",
         "drain_timeout_seconds=2", "--backend",
         f"{sys.executable} {mt.SOURCE}/tests/fakes/kubernetes_backend.py", *args,
         str(mt.BUILD / "plugins/kubernetes.yaml")],
        capture_output=True, text=True, timeout=900 * mt.SLOW)
    check_equal(r.returncode, 0, f"exit status: {r.stdout}{r.stderr}")
    check_equal(re.findall(r"^ok \d+ - (\S+) # SKIP", r.stdout, re.M), [], "skipped")
    check_equal(mt.left_behind(["c0000000-0000-4000-8000-"]), [], "left behind")


def a_whole_life_passes():
    kit("--include", "validate|whole_life")


def repeated_killed_and_fenced_it_passes():
    """With a master alone: a worker adds time, no other way of doing things."""
    kit("--spec", str(mt.SOURCE / "tests/data/kubernetes_check_spec.json"), "--points", POINTS,
        "--include", CHECKS)


mt.main(__name__, [a_whole_life_passes, repeated_killed_and_fenced_it_passes])
