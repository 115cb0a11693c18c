"""Everything goes wrong at once, for MAGNUM_CHAOS_SECONDS (120): two APIs, three conductors,
PostgreSQL, the simulator and local Swarm, while clients create, resize and delete. Processes are
killed and frozen, PostgreSQL is killed, stopped and loses its connections, its disk fills up.

Afterwards it is counted: what was accepted is recorded and has ended; nodes, files, namespaces,
processes and rows are those that should be. The seed (MAGNUM_CHAOS_SEED) chooses the troubles."""
import collections
import contextlib
import http.client
import json
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import threading
import time
import traceback

import magnumtest as mt
from flaky_proxy import Proxy
from magnumtest import check, check_equal, wait_for

SECONDS = int(os.environ.get("MAGNUM_CHAOS_SECONDS", "120"))
SEED = os.environ.get("MAGNUM_CHAOS_SEED", "1")
SIMULATED, SWARMS = 10, 1
PATIENCE = 400  # for one life's step, with everything against it
OPTIONS = [x for o in ("conductor.host_failures=100", "drivers.quarantine_deaths=1000",
                       "conductor.lease_ms=3000", "conductor.heartbeat_ms=500",
                       "conductor.step_budget_ms=5000", "drivers.kill_grace_ms=500",
                       "conductor.blocked_after_s=20", "quotas.max_clusters_per_project=100000")
           for x in ("--set", o)]
# name, labels, may it fail by itself
TEMPLATES = [("plain", dict(steps=4, step_ms=100), False),
             ("crashing", dict(steps=4, step_ms=50, crash_at_step=2, fail_kind="any"), False),
             ("hanging", dict(steps=3, step_ms=50, hang_at_step=2), False),
             ("retried", dict(steps=3, step_ms=50, fail_at_step=2, fail_code="UNAVAILABLE"), False),
             ("failing", dict(steps=3, step_ms=50, fail_at_step=2, fail_times=0,
                              fail_code="INVALID"), True)]


class Counts:
    """What happened, and which requests were accepted."""

    def __init__(self):
        self.lock = threading.Lock()
        self.troubles, self.accepted = collections.Counter(), {}
        self.clusters, self.unanswered = [], 0

    def trouble(self, name):
        with self.lock:
            self.troubles[name] += 1

    def accept(self, answer, what):
        with self.lock:
            self.accepted[answer.headers["x-openstack-request-id"]] = what


class Beside(threading.Thread):
    """One more process on the same database, started again whenever it dies, as an init does it."""

    def __init__(self, name, program, argv, env, log):
        super().__init__(name=name, daemon=True)
        self.program, self.argv, self.env, self.log = program, argv, env, log
        self.process, self.ending = None, False
        self.start()

    def run(self):
        while not self.ending:
            with open(self.log, "ab") as out:
                self.process = subprocess.Popen(self.argv, env=self.env, stdin=subprocess.DEVNULL,
                                                stdout=out, stderr=out)
            self.process.wait()

    def end(self):
        self.ending = True
        if self.process:
            self.process.terminate()
        self.join(180 * mt.SLOW)
        if self.is_alive():
            self.process.kill()
            raise mt.Failed(f"{self.name} did not stop")


class Stage:
    """The processes under test, their disk, and the ways to hurt them."""

    def __init__(self, counts):
        self.counts, self.chance = counts, random.Random(SEED)
        self.undo = contextlib.ExitStack()
        self.frozen, self.timers = set(), []
        self.others = []

    def __enter__(self):
        try:
            self.set_up()
        except BaseException:
            self.__exit__(RuntimeError, None, None)
            raise
        return self

    def set_up(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="mgc-"))
        self.undo.callback(mt.remove_state, self.top)
        self.state, outside = self.top / "disk", self.top / "outside"
        for d in (self.state, outside):
            d.mkdir()
        self.top.chmod(0o711)
        self.mount("-t", "tmpfs", "-o", "size=900m,mode=711", "chaos", self.state)
        # the nodes' own disk stays out of it: a full one there is the cluster's trouble, not ours
        (self.state / "swarm").mkdir()
        self.mount("--bind", outside, self.state / "swarm")
        self.stack = mt.Allinone(state=self.state, options=OPTIONS)
        self.undo.push(self.stack.__exit__)
        self.stack.start()
        self.start_others(self.environment_of("magnum-conductor"))

    def mount(self, *args):
        subprocess.run(["mount", *map(str, args)], check=True)
        self.undo.callback(subprocess.run, ["umount", "-l", str(args[-1])], check=False)

    def environment_of(self, program):
        pid = self.stack.child(program)
        self.words = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[1:-1]
        return dict(e.split("=", 1) for e in
                    pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in e)

    def start_others(self, env):
        socket_dir = self.state / "run"
        if (self.state / "socket-dir").exists():
            socket_dir = pathlib.Path((self.state / "socket-dir").read_text())
        self.proxy = Proxy(str(self.top / "proxy/.s.PGSQL.5432"), str(socket_dir / ".s.PGSQL.5432"))
        self.undo.callback(self.proxy.stop)
        env = dict(env, MAGNUM_DATABASE_CONNECTION=env["MAGNUM_DATABASE_CONNECTION"].replace(
            str(socket_dir), str(self.top / "proxy")))
        env.pop("MAGNUM_API_PORT_FILE", None)
        port = mt.free_port()
        self.urls = [self.stack.url, f"http://127.0.0.1:{port}"]
        self.other("second api", "magnum-api", env, f"api.port={port}")
        for name in ("second", "third"):
            self.other(f"{name} conductor", "magnum-conductor", env, f"conductor.host={name}")
        client = mt.Client(self.urls[1])

        def answers():
            with contextlib.suppress(OSError):
                return len([s for s in client("GET", "/v1/mservices").json()["mservices"]
                            if s["state"] == "up"]) == 3
        wait_for("the second API and three conductors", answers, 30)

    def other(self, name, program, env, option):
        argv = [str(mt.BIN / program), *self.words, "--set", option]
        self.others.append(Beside(name, program, argv, env, self.top / f"{name}.log"))

    # ---- troubles ----

    def pids(self, program):
        found = mt.children(self.stack.process.pid, program)
        found += [o.process.pid for o in self.others if o.program == program and o.process]
        if program == "magnum-driver-host":
            found = [h for c in self.pids("magnum-conductor") for h in mt.children(c, program)]
        return [p for p in found if mt.alive(p)]

    def backends(self):
        return [b for p in self.pids("postgres") for b in mt.children(p, "postgres")]

    def send(self, pid, sig):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sig)
            return True
        return False

    def kill_one(self, what, pids):
        if pids and self.send(self.chance.choice(pids), signal.SIGKILL):
            self.counts.trouble(f"kill {what}")

    def freeze_one(self, what, pids):
        """SIGSTOP now and SIGCONT later, often past the lease."""
        if not pids:
            return
        pid = self.chance.choice(pids)
        if self.send(pid, signal.SIGSTOP):
            self.frozen.add(pid)
            self.counts.trouble(f"freeze {what}")
            self.later(self.chance.uniform(0.2, 8), lambda: self.thaw(pid))

    def later(self, seconds, what):
        t = threading.Timer(seconds, what)
        t.daemon = True
        t.start()
        self.timers.append(t)

    def thaw(self, pid):
        self.frozen.discard(pid)
        self.send(pid, signal.SIGCONT)

    def stop_postgres(self):
        for pid in self.pids("postgres"):
            self.counts.trouble("stop postgres")
            self.send(pid, signal.SIGINT)

    def drop(self):
        self.counts.trouble("connections dropped")
        self.proxy.drop()

    def stall(self):
        self.counts.trouble("connections stalled")
        self.proxy.stall(self.chance.uniform(0.5, 6))

    def fill_disk(self):
        filler = self.state / "filler"
        if filler.exists():
            return
        self.counts.trouble("disk full")
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as f:
            while True:
                f.write(bytes(1 << 20))
        self.later(self.chance.uniform(0.5, 4), lambda: filler.unlink(missing_ok=True))

    def one_trouble(self):
        processes = ("magnum-conductor", "magnum-driver-host", "magnum-api")
        ways = [(3, lambda p=p: self.kill_one(p, self.pids(p))) for p in processes]
        ways += [(2, lambda p=p: self.freeze_one(p, self.pids(p))) for p in processes]
        ways += [(1, lambda: self.kill_one("postgres", self.pids("postgres"))),
                 (1, lambda: self.kill_one("postgres backend", self.backends())),
                 (1, lambda: self.freeze_one("postgres backend", self.backends())),
                 (1, self.stop_postgres), (2, self.drop), (1, self.stall), (1, self.fill_disk)]
        self.chance.choices([w for _, w in ways], [n for n, _ in ways])[0]()

    def calm(self):
        """No trouble any more: what was taken away is given back."""
        for t in self.timers:
            t.cancel()
        for pid in list(self.frozen):
            self.thaw(pid)
        (self.state / "filler").unlink(missing_ok=True)

    def __exit__(self, kind, value, tb):
        self.calm()
        late = None
        for o in self.others:
            try:
                o.end()
            except mt.Failed as e:
                late = e
        if kind:
            for o in self.others:
                print(f"--- {o.name}", *o.log.read_text(errors="replace").splitlines()[-30:],
                      sep="\n", flush=True)
        self.undo.__exit__(kind, value, tb)
        if late and not kind:
            raise late


class Life(threading.Thread):
    """One cluster after another, each from create over resizes to delete, until time is up."""

    def __init__(self, stage, templates, number, real, until):
        super().__init__(name=f"life{number}", daemon=True)
        self.stage, self.templates, self.real, self.until = stage, templates, real, until
        self.chance = random.Random(f"{SEED}-{number}")
        self.error, self.lives = None, 0

    def run(self):
        try:
            while time.monotonic() < self.until:
                self.lives += 1
                self.live(f"{self.name}-{self.lives}", *self.chance.choice(self.templates))
        except Exception:  # told by the main thread
            self.error = f"{self.name}: {traceback.format_exc()}"

    def request(self, method, path, body=None, **kw):
        """Asks until one of the APIs gives an answer that is not about their trouble."""
        def attempt():
            client = mt.Client(self.chance.choice(self.stage.urls))
            try:
                answer = client(method, path, body, timeout=20, **kw)
            except (OSError, http.client.HTTPException):
                self.stage.counts.unanswered += 1
                return None
            return None if answer.status >= 500 else answer
        answer = wait_for(f"{method} {path}", attempt, PATIENCE, 0.1)
        if method != "GET" and answer.status in (202, 204):
            self.stage.counts.accept(answer, f"{method} {path}")
        return answer

    def live(self, name, template, may_fail):
        count = self.chance.randint(1, 2 if self.real else 4)
        answer = self.request("POST", "/v1/clusters", dict(
            name=name, cluster_template_id=template, node_count=count), headers={
                "Idempotency-Key": f"key-{name}"})
        check_equal(answer.status, 202, f"create {name}: {answer}")
        self.uuid = answer.json()["uuid"]
        self.stage.counts.clusters.append(self.uuid)
        if self.chance.random() < 0.8:
            status = self.until_ended("CREATE", may_fail)
            for _ in range(self.chance.randint(0, 2)) if status == "CREATE_COMPLETE" else ():
                count = self.chance.randint(0 if not self.real else 1, 3)
                self.resize(count)
                self.until_ended("UPDATE", may_fail)
                self.count(1, count)
        answer = self.request("DELETE", f"/v1/clusters/{self.uuid}")
        check(answer.status in (204, 404), f"delete {name}: {answer}")
        wait_for(f"{name} to be gone", lambda: self.status() == "GONE", PATIENCE, 0.2)

    def resize(self, count):
        answer = self.request("POST", f"/v1/clusters/{self.uuid}/actions/resize",
                              dict(node_count=count))
        check_equal(answer.status, 202, f"resize of {self.uuid}")

    def status(self):
        answer = self.request("GET", f"/v1/clusters/{self.uuid}")
        self.shown = answer.json() if answer.status == 200 else {}
        return self.shown.get("status", "GONE")

    def until_ended(self, verb, may_fail):
        def ended():
            status = self.status()
            return status if not status.endswith("IN_PROGRESS") else None
        status = wait_for(f"{self.uuid} to end its {verb}", ended, PATIENCE, 0.1)
        check(status == f"{verb}_COMPLETE" or may_fail and status == f"{verb}_FAILED",
              f"{self.uuid} is {status}: {self.shown.get('status_reason')}")
        return status

    def count(self, masters, workers):
        """Exactly the nodes asked for: none lost, none doubled."""
        self.status()
        check_equal((self.shown["master_count"], self.shown["node_count"]), (masters, workers),
                    f"counts of {self.uuid}")
        if self.real:
            check_equal(len(mt.node_namespaces(self.uuid)), masters + workers, "namespaces")
            check_equal(len(mt.node_pids(self.stage.stack, self.uuid)), masters + workers, "nodes")
            return
        files = list((self.stage.state / "simulator" / f"mag-{self.uuid}").glob("mag-*.json"))
        check_equal(len(files), masters + workers, f"files of nodes of {self.uuid}")


def rows(stage, query):
    def attempt():
        with contextlib.suppress(subprocess.CalledProcessError):
            return [stage.stack.sql(query)]
    return wait_for("the database", attempt, 60)[0]


def tell_of_leaks(stage, leaks):
    """What is known of the clusters that something is left of."""
    top = stage.state / "simulator"
    for uuid in {u for u in stage.counts.clusters if any(u in leak for leak in leaks)}:
        for path in top.glob(f"mag-{uuid}/*"):
            print("  left", path.name, time.ctime(path.stat().st_mtime), path.read_text()[:300])
        for row in rows(stage, "SELECT kind, status, stage, attempt, steps, code, lease_fence, "
                               "created_at, finished_at FROM operation "
                               f"WHERE cluster_id = '{uuid}' ORDER BY generation"):
            print("  operation", *row)
        for log in [*stage.top.glob("*.log"), *(stage.state / "log").glob("*.log")]:
            for line in log.read_text(errors="replace").splitlines():
                if uuid in line:
                    print(f"  {log.name}: {line[:300]}")


def judge(stage, lives):
    counts, stack = stage.counts, stage.stack
    unfinished = rows(stage, "SELECT id, kind, status, code, reason FROM operation "
                             "WHERE finished_at IS NULL")
    check_equal(unfinished, [], "operations that did not end")
    known = {r[0] for r in rows(stage, "SELECT request_id FROM operation")}
    # a delete that found another one running is that one
    lost = {rq: what for rq, what in counts.accepted.items()
            if rq not in known and not what.startswith("DELETE")}
    known_clusters = {r[0] for r in rows(
        stage, "SELECT cluster_id FROM operation WHERE kind = 'create'")}
    replayed = {rq for rq, what in lost.items() if what == "POST /v1/clusters"}
    check(set(lost) == replayed, f"accepted and not recorded: {lost}")
    check(set(counts.clusters) <= known_clusters,
          f"created and not recorded: {set(counts.clusters) - known_clusters}")
    doubled = rows(stage, "SELECT operation_id, count(*) FROM operation_event WHERE code IN "
                          "('succeeded', 'failed') GROUP BY 1 HAVING count(*) > 1")
    check_equal(doubled, [], "operations that ended twice")
    leaks = mt.left_behind(counts.clusters)
    leaks += [str(p) for p in (stage.state / "simulator").glob("mag-*")]
    leaks += mt.swarm_dirs(stack)
    leaks += [f"ledger {r}" for r in rows(stage, "SELECT cluster_id, kind, name FROM ledger")]
    leaks += [f"cluster {r}" for r in rows(stage, "SELECT uuid, status FROM cluster")]
    leaks += [f"keypair {r}" for r in rows(stage, "SELECT derived_key FROM x509keypair")]
    operations = rows(stage, "SELECT kind, status, count(*) FROM operation GROUP BY 1, 2 "
                             "ORDER BY 1, 2")
    print(json.dumps({"seconds": SECONDS, "seed": SEED, "troubles": dict(counts.troubles),
                      "lives": sum(x.lives for x in lives), "accepted": len(counts.accepted),
                      "requests cut off": counts.unanswered, "leaks": len(leaks),
                      "operations": {f"{k} {s}": int(n) for k, s, n in operations}}, indent=1),
          flush=True)
    tell_of_leaks(stage, leaks)
    check_equal(leaks, [], "left behind")


def nothing_is_lost_doubled_or_leaked():
    counts = Counts()
    with Stage(counts) as stage:
        client = stage.stack.client
        templates = [(client.simulator(name, **labels), may_fail)
                     for name, labels, may_fail in TEMPLATES]
        swarm = [(client.template("swarm"), False)]
        until = time.monotonic() + SECONDS
        lives = [Life(stage, templates, n, False, until) for n in range(SIMULATED)]
        lives += [Life(stage, swarm, SIMULATED + n, True, until) for n in range(SWARMS)]
        for life in lives:
            life.start()
        while time.monotonic() < until and not any(x.error for x in lives):
            # not a wait for a condition: the random moment of the next trouble
            time.sleep(stage.chance.uniform(0.1, 2.5))
            stage.one_trouble()
        stage.calm()
        for life in lives:
            life.join(2 * PATIENCE * mt.SLOW)
        stuck = [x.name for x in lives if x.is_alive()]
        errors = [x.error for x in lives if x.error]
        if stuck or errors:
            for row in rows(stage, "SELECT id, cluster_id, kind, status, stage, attempt, code, "
                                   "reason, lease_owner, due_at, now() FROM operation "
                                   "WHERE finished_at IS NULL OR status = 'FAILED'"):
                print("  ", *row, flush=True)
        check(not errors, "\n".join(errors))
        check_equal(stuck, [], "lives that don't end")
        judge(stage, lives)


mt.main(__name__, [nothing_is_lost_doubled_or_leaked])
