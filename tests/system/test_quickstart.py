"""tools/quickstart as a newcomer runs it, but with programs that are built already: twice, then
--stop, also after a kill -9 of everything it could ask; nothing is left."""
import os
import pathlib
import re
import signal
import subprocess
import tempfile

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

STATE = pathlib.Path(tempfile.mkdtemp(prefix="mgt-"))
STATE.chmod(0o711)  # PostgreSQL runs as another user
PORT = mt.free_port()


def quickstart(*more, programs=mt.BIN, want=0):
    r = subprocess.run([str(mt.SOURCE / "tools/quickstart"), "--state-dir", str(STATE), "--port",
                        str(PORT), "--programs", str(programs), *more],
                       env=mt.clean_env(), text=True,
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=240 * mt.SLOW)
    check_equal(r.returncode, want, f"exit status of quickstart {' '.join(more)}: "
                                    f"{r.stdout[-3000:]}{r.stderr[-2000:]}")
    return r.stdout


def ready_nodes(out):
    """Nodes in the last table of `docker node ls`."""
    return len(re.findall(r"quickstart-(?:master|worker)-\d+ +Ready +Active",
                          out[out.index("Scaling"):]))


def cluster_ids():
    return [p.read_text().strip() for p in (STATE / "swarm").glob("*/uuid")]


def it_makes_a_cluster_and_runs_a_service():
    out = quickstart()
    check_equal(ready_nodes(out), 4, "ready nodes after scaling")
    check(re.search(r"web +replicated +3/3", out), f"the service runs: {out}")
    check_equal(len(cluster_ids()), 1, "clusters")


def a_second_run_finds_it_running():
    before = cluster_ids()
    out = quickstart()
    check("runs already" in out, "Magnum is found")
    check_equal(ready_nodes(out), 4, "ready nodes")
    check_equal(cluster_ids(), before, "clusters")


def stop_leaves_nothing():
    marks = [*cluster_ids(), str(STATE)]
    out = quickstart("--stop")
    check(out.rstrip().endswith("nothing"), f"it says so: {out}")
    check_equal(mt.left_behind(marks), [], "left behind")
    check(not STATE.exists(), "the state directory is gone")
    check("Nothing to stop" in quickstart("--stop"), "a second --stop")


def stop_works_when_nobody_can_be_asked():
    STATE.mkdir(mode=0o711)
    quickstart()
    marks = [*cluster_ids(), str(STATE)]
    os.kill(int((STATE / "lock").read_text()), signal.SIGKILL)
    wait_for("Magnum to be gone", lambda: not [
        p for p in mt.pids() if mt.program_of(p) == "postgres" and str(STATE) in
        pathlib.Path(f"/proc/{p}/cmdline").read_text()])
    out = quickstart("--stop", programs="/nonexistent")
    check(out.rstrip().endswith("nothing"), f"it says so: {out}")
    check_equal(mt.left_behind(marks), [], "left behind")


try:
    mt.main(__name__, [it_makes_a_cluster_and_runs_a_service, a_second_run_finds_it_running,
                       stop_leaves_nothing, stop_works_when_nobody_can_be_asked])
finally:
    if STATE.exists():
        subprocess.run([str(mt.SOURCE / "tools/quickstart"), "--stop", "--state-dir", str(STATE),
                        "--programs", str(mt.BIN)], stdout=subprocess.DEVNULL, check=False)
