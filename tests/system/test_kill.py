"""kill -9 of each process at random points of create, scale and delete: afterwards every accepted
operation has ended, and nodes, namespaces and rows are counted exactly.

MAGNUM_KILL_SEED chooses the points (printed), MAGNUM_KILL_POINTS how many per process (20).
Clusters go through their life in threads of their own while the main thread kills.
"""
import contextlib
import http.client
import os
import random
import signal
import subprocess
import threading
import time
import traceback

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

SEED = int(os.environ.get("MAGNUM_KILL_SEED", "1"))
POINTS = int(os.environ.get("MAGNUM_KILL_POINTS", "20"))
PROCESSES = ("magnum-conductor", "magnum-driver-host", "magnum-api", "postgres")
# Deaths that the test causes must not count as a driver's own; leases run out sooner than usual so
# that a test of eighty kills ends today.
OPTIONS = [x for o in ("conductor.host_failures=100", "drivers.quarantine_deaths=1000",
                       "conductor.lease_ms=2000", "conductor.heartbeat_ms=500",
                       "conductor.blocked_after_s=3600", "quotas.max_clusters_per_project=100000")
           for x in ("--set", o)]


def stubborn(call, what, timeout=240):
    """Repeats a request that a kill may have cut off or that found no database."""
    def attempt():
        try:
            answer = call()
        except (OSError, http.client.HTTPException):
            return None
        return None if answer.status >= 500 else answer
    return wait_for(what, attempt, timeout, 0.05)


class Life(threading.Thread):
    """One cluster from create over scale to delete, asked for as a patient client does it."""

    def __init__(self, stack, template, name, real, seed):
        super().__init__(name=name)
        self.stack, self.template, self.real = stack, template, real
        self.random = random.Random(seed)
        self.error = None

    def run(self):
        try:
            self.live()
        except Exception:  # told by the main thread
            self.error = f"{self.name}: {traceback.format_exc()}"

    def request(self, *args, **kw):
        return stubborn(lambda: self.stack.client(*args, **kw), f"{args[0]} {args[1]}")

    def live(self):
        body = dict(name=self.name, cluster_template_id=self.template, node_count=1,
                    master_count=1)
        answer = self.request("POST", "/v1/clusters", body,
                              headers={"Idempotency-Key": f"key-{self.name}"})
        check_equal(answer.status, 202, f"create {self.name}: {answer}")
        self.uuid = answer.json()["uuid"]
        self.until("CREATE_COMPLETE")
        self.count(1, 1)
        count = self.random.choice([2, 3] if self.real else [0, 2, 5])
        self.resize(count)
        self.count(1, count)
        answer = self.request("DELETE", f"/v1/clusters/{self.uuid}")
        check(answer.status in (204, 404), f"delete {self.name}: {answer}")
        self.until("GONE")
        self.nothing_left()

    def resize(self, count):
        """A resize whose answer was cut off is asked again; it may have begun or ended by then."""
        path = f"/v1/clusters/{self.uuid}/actions/resize"
        answer = self.request("POST", path, dict(node_count=count))
        if answer.status != 202:
            check(answer.status in (400, 409), f"resize {self.name}: {answer}")
        self.until("UPDATE_COMPLETE")

    def until(self, wanted):
        def there():
            answer = self.request("GET", f"/v1/clusters/{self.uuid}")
            status = answer.json()["status"] if answer.status == 200 else "GONE"
            if status.endswith("FAILED"):
                raise RuntimeError(f"{self.name} is {status}: {answer.json()['status_reason']}")
            return status == wanted
        wait_for(f"{self.name} to be {wanted}", there, 400, 0.05)

    def count(self, masters, workers):
        cluster = self.request("GET", f"/v1/clusters/{self.uuid}").json()
        check_equal((cluster["master_count"], cluster["node_count"]), (masters, workers),
                    f"counts of {self.name}")
        if not self.real:
            return
        total = masters + workers
        check_equal(len(mt.node_namespaces(self.uuid)), total, f"namespaces of {self.name}")
        check_equal(len(mt.node_dirs(self.stack, self.uuid)), total, f"directories of {self.name}")
        check_equal(len(mt.node_pids(self.stack, self.uuid)), total, f"processes of {self.name}")
        # a daemon starting a helper is two processes for a moment; a doubled one stays
        wait_for(f"exactly {total} dockerds of {self.name}", lambda: self.daemons() == total, 10)

    def daemons(self):
        dirs = [f"{d}/" for d in mt.node_dirs(self.stack, self.uuid)]
        found = 0
        for pid in mt.pids():
            if mt.program_of(pid) != "dockerd" or not mt.alive(pid):
                continue
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read().decode(errors="replace")
                found += "--cgroup-parent" in line and any(d in line for d in dirs)
        return found

    def nothing_left(self):
        check_equal(mt.left_behind([self.uuid]), [], f"left of {self.name}")
        rows = stubborn_rows(lambda: mt.rows_left(self.stack, self.uuid))
        check_equal(rows, {}, f"rows of {self.name}")


def stubborn_rows(query):
    """Result of something that asks the database, which may just be starting again."""
    def attempt():
        with contextlib.suppress(subprocess.CalledProcessError):
            return [query()]
    return wait_for("the database", attempt, 240)[0]


def show_operations(stack):
    for row in stubborn_rows(lambda: stack.sql(
            "SELECT cluster_name, kind, status, stage, attempt, host_failures, reason, lease_owner, "
            "lease_fence, lease_until, due_at, now() FROM operation "
            "WHERE finished_at IS NULL OR status <> 'SUCCEEDED'")):
        print("  ", *row, flush=True)


def victim(stack, program):
    if program == "magnum-driver-host":
        hosts = stack.driver_hosts()
        return hosts[0] if hosts else None
    return stack.child(program)


def kill_at_random_points(program, real):
    """POINTS kills of `program`, spread over the lives of clusters that begin as others end."""
    chance = random.Random(f"{SEED}-{program}-{real}")
    print(f"seed {SEED}: {POINTS} kills of {program}, {'swarm' if real else 'simulator'}",
          flush=True)
    with mt.Allinone(options=OPTIONS) as stack:
        stack.start()
        template = (stack.client.template("swarm") if real else
                    stack.client.simulator("sim", steps=4, step_ms=100))
        lives, ended, kills, number = [], [], 0, 0
        target = 2 if real else 12
        while kills < POINTS or lives:
            while kills < POINTS and len(lives) < target:
                number += 1
                lives.append(Life(stack, template, f"c{number}", real, f"{SEED}-{number}"))
                lives[-1].start()
            if kills < POINTS:
                # not a wait for a condition: the random point itself
                time.sleep(chance.uniform(0.02, 1.5))
                pid = victim(stack, program)
                if pid:
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
                    wait_for(f"{program} to be gone", lambda p=pid: not mt.alive(p), 10)
            for life in [x for x in lives if kills >= POINTS or not x.is_alive()]:
                life.join(900 * mt.SLOW)
                check(not life.is_alive(), f"{life.name} does not end")
                lives.remove(life)
                ended.append(life)
                if life.error:
                    show_operations(stack)
                    raise RuntimeError(life.error)
            check(number < 100 * POINTS, f"{program} is never there to be killed")
        print(f"  {kills} kills, {len(ended)} clusters lived to the end", flush=True)
        unfinished = stubborn_rows(lambda: stack.sql(
            "SELECT id, kind, status FROM operation WHERE finished_at IS NULL"))
        check_equal(unfinished, [], "operations that did not end")
        answer = stubborn(lambda: stack.client("GET", "/v1/clusters"), "the list of clusters")
        check_equal(answer.json()["clusters"], [], "clusters")
        check_equal(mt.swarm_dirs(stack), [], "directories of nodes")
        check_equal(stack.stop(), 0, "exit status")


def case(program, real):
    def run():
        kill_at_random_points(program, real)
    run.__name__ = f"{'swarm' if real else 'simulator'}_survives_kills_of_{program}"
    return run


mt.main(__name__, [case(p, real) for real in (False, True) for p in PROCESSES])
