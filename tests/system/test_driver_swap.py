"""Drivers change while Magnum works: a signed bundle is installed, taken over by all conductors under
load, rolled back, moved to, removed; and what must be refused is."""
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

S = {}
SIM = "org.magnum.simulator"
NEXT = mt.BUILD / "tests/driver_next"
RATE, SECONDS = 200, 8  # operations wanted per second, and for how long


# ---- the tool ----

def manage(*args, want=0, env=None, database=True):
    """Output of magnum-driver-manage (both streams); with -f json what it says."""
    command = [str(mt.BIN / "magnum-driver-manage"), "--config", "/dev/null",
               "--plugin-dir", str(mt.BUILD / "plugins"),
               "--set", f"drivers.install_dir={S['installed']}",
               "--set", f"drivers.trusted_keys_dir={S['keys']}"]
    if database:
        command += ["--connection", S["stack"].connection()]
    r = subprocess.run([*command, *map(str, args)], capture_output=True, text=True,
                       env=mt.clean_env(**(env or {})), timeout=180 * mt.SLOW)
    check(want is None or r.returncode == want,
          f"{' '.join(map(str, args))}: exit {r.returncode}, want {want}\n{r.stdout}{r.stderr}")
    return json.loads(r.stdout) if "--json" in args else r.stdout + r.stderr


def refused(*args, because, **kw):
    out = manage(*args, want=1, **kw)
    check(because in out, f"{args}: refused with {out!r}, not because of {because!r}")


def versions():
    """{version: row} of the simulator."""
    return {v["version"]: v for v in manage("list", "--json") if v["id"] == SIM}


def conductors():
    return [c["host"] for c in S["stack"].client("GET", "/v1/mservices").json()["mservices"]
            if c["binary"] == "magnum-conductor" and c["state"] == "up"]


def version_of(uuid):
    return S["stack"].sql(f"SELECT driver_version FROM cluster WHERE uuid = '{uuid}'")[0][0]


def new_cluster(template, name):
    uuid = S["stack"].client.create(name, template, node_count=1)
    S["stack"].client.wait_status(uuid, "CREATE_COMPLETE")
    return uuid


def shown_version():
    return S["stack"].client("GET", f"/v1/drivers/{SIM}").json()["version"]


def library_hosts(version):
    """Processes of our conductors' driver hosts that have this version's library open."""
    library = str(mt.BUILD / "plugins/simulator.so") if version == "1.0.0" else str(S["dir"])
    found = []
    for pid in [c for conductor in S["all"]() if conductor for c in mt.children(conductor)]:
        with contextlib.suppress(OSError):
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            if "magnum-driver-host" in words and library in words:
                found.append(pid)
    return found


# ---- bundles ----

def bundle(name, source, *options):
    path = S["dir"] / name
    manage("bundle", source / "simulator.yaml", "-o", path, *options, database=False)
    return path


def a_bundle_must_be_whole_and_signed():
    key = S["dir"] / "vendor"
    manage("keys", "new", key, database=False)
    signed = bundle("sim.bundle", NEXT, "--key", f"{key}.key")
    refused("install", signed, because="made by none of the keys")
    manage("keys", "trust", f"{key}.pem", database=False)
    check_equal([k["name"] for k in manage("keys", "list", "--json", database=False)], ["vendor"],
                "trusted keys")
    whole = signed.read_bytes()
    spoilt = S["dir"] / "spoilt.bundle"
    for what, at in (("the library", whole.index(b"\x7fELF") + 5000),
                     ("the index", whole.index(b"manifest simulator.yaml") + 10),
                     ("the manifest", whole.index(b"vendor: Magnum"))):
        spoilt.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
        manage("install", spoilt, want=1)
        check(not list(pathlib.Path(S["installed"]).glob("*")), f"{what} was changed, yet installed")
    for cut in (100, 600, len(whole) // 2):
        spoilt.write_bytes(whole[:cut])
        manage("install", spoilt, want=1)
    refused("install", bundle("bare.bundle", NEXT), because="not signed")
    other = S["dir"] / "other"
    manage("keys", "new", other, database=False)
    refused("install", bundle("foreign.bundle", NEXT, "--key", f"{other}.key"),
            because="made by none of the keys")
    check(not list(pathlib.Path(S["installed"]).glob("*")), "something was installed")
    S["signed"] = signed


def tree(top):
    return sorted(str(p.relative_to(top)) for p in pathlib.Path(top).rglob("*") if p.is_file()
                  and p.name != ".lock")


def killed_at_any_point_it_leaves_nothing_half():
    """The installation is killed before each of its writes in turn."""
    top = S["dir"] / "crash"
    options = ["--set", f"drivers.install_dir={top}"]
    count = S["dir"] / "count"
    env = {"LD_PRELOAD": str(mt.BUILD / "tests/kill_at.so")}
    if os.environ.get("MAGNUM_SANITIZED"):
        env["ASAN_OPTIONS"] = "verify_asan_link_order=0"
    manage(*options, "install", S["signed"], env=dict(env, KILL_AT_COUNT=str(count)),
           database=False)
    points, whole = int(count.read_text()), tree(top)
    check(points >= 10 and len(whole) == 3, f"{points} points, files {whole}")
    seen = {"nothing": 0, "all": 0}
    for n in range(1, points + 1):
        shutil.rmtree(top)
        manage(*options, "install", S["signed"], env=dict(env, KILL_AT=str(n)), want=-9,
               database=False)
        listed = {v["version"] for v in manage(*options, "list", "--json", database=False)
                  if v["id"] == SIM}
        there = [f for f in tree(top) if not f.startswith(".")] if top.is_dir() else []
        check(there in ([], whole), f"killed at {n}: half of it is there: {there}")
        check_equal(listed, {"1.0.0", "1.1.0"} if there else {"1.0.0"}, f"listed, killed at {n}")
        seen["all" if there else "nothing"] += 1
        manage(*options, "install", S["signed"], database=False)  # and goes on from there
        check_equal(tree(top), whole, f"installed after it was killed at {n}")
    print(f"  killed at {points} points: {seen}", flush=True)
    check(seen["nothing"] and seen["all"], f"the points say nothing: {seen}")


# ---- versions ----

def every_conductor_sees_what_is_installed():
    manage("install", S["signed"])
    wait_for("all conductors to have both versions", lambda: all(
        sorted(v["conductors"] or []) == sorted(conductors()) for v in versions().values())
        and len(versions()) == 2, 10)
    check_equal(versions()["1.1.0"]["state"], "installed", "state of the new version")
    check_equal(versions()["1.0.0"]["state"], "enabled", "state of the old one")


class Load:
    """Creates and resizes clusters at a rate, as many clients would; nothing may fail. Who is free takes
    the next turn: one that waits for its answer holds up none of the others."""

    def __init__(self, template, threads=24):
        self.template, self.begun, self.stop_at, self.wanted = template, None, None, True
        self.turns, self.lock = itertools.count(), threading.Lock()
        self.errors, self.uuids, self.made = [], [], []
        self.accepted = 0
        self.threads = [threading.Thread(target=self.work) for _ in range(threads)]

    def work(self):
        client = mt.Client(S["stack"].url)
        while True:
            n = next(self.turns)
            due = self.begun + n / RATE
            if max(due, time.monotonic()) >= self.stop_at and not self.wanted:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                self.one(client, n)
            except (mt.Failed, OSError) as e:
                with self.lock:
                    self.errors.append(str(e))

    def one(self, client, n):
        """Every third turn resizes the oldest cluster that is done; without one it creates, too."""
        with self.lock:
            old = self.made.pop(0) if n % 3 == 2 and self.made else None
        shown = client.show(old) if old else None
        if shown and shown["status"] == "CREATE_COMPLETE":
            client.resize(old, 2)
            new = []
        else:
            new = [client.create(f"load{n}", self.template, node_count=1)]
        with self.lock:
            self.accepted += 1
            self.uuids += new
            if old and new:
                self.made.insert(0, old)
            self.made += new

    def __enter__(self):
        self.begun = time.monotonic()
        self.stop_at = self.begun + SECONDS
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.wanted = False  # what takes longer than those seconds is under load to its end
        for t in self.threads:
            t.join()


def an_upgrade_under_load_fails_nothing():
    client = S["stack"].client
    template = client.simulator("swapped", steps=3, step_ms=20)
    S["old"] = new_cluster(template, "old")
    check_equal(version_of(S["old"]), "1.0.0", "version of a cluster made before")
    followed = {}
    begin = time.monotonic()
    with Load(template) as load:
        time.sleep(1.5)
        for step in ("upgrade", "rollback", "upgrade"):
            manage(step, SIM)
            at, want = time.monotonic(), "1.0.0" if step == "rollback" else "1.1.0"
            wait_for("the API to follow", lambda: shown_version() == want, 10)
            followed[step] = time.monotonic() - at
            time.sleep(0.8)
    took = time.monotonic() - begin
    check(not load.errors, f"{len(load.errors)} requests failed: {load.errors[:3]}")
    wait_for("all operations to end", lambda: S["stack"].sql(
        "SELECT count(*) FROM operation WHERE finished_at IS NULL") == [["0"]], 120)
    ended = time.monotonic() - begin
    ends = dict(S["stack"].sql("SELECT status, count(*) FROM operation GROUP BY status"))
    check_equal(set(ends), {"SUCCEEDED"}, f"how operations ended: {ends}")
    made = dict(S["stack"].sql("SELECT driver_version, count(*) FROM operation GROUP BY 1"))
    print(f"  {load.accepted} operations in {took:.1f} s ({load.accepted / took:.0f}/s), "
          f"all ended after {ended:.1f} s, 0 failed; by version {made}; followed after "
          f"{', '.join(f'{k} {v:.2f} s' for k, v in followed.items())}", flush=True)
    check(set(made) == {"1.0.0", "1.1.0"}, f"both versions worked: {made}")
    for uuid in load.uuids[:5] + load.uuids[-5:]:
        status = client.show(uuid)["status"]
        check(status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), f"{uuid} is {status}")
    for log in sorted((S["stack"].state / "log").glob("*conductor*.log")):
        wait_for(f"{log.name} to follow",
                 lambda log=log: "1.1.0 gets the new clusters" in log.read_text(errors="replace"))


def old_processes_drain_and_clusters_stay_with_their_version():
    wait_for("the old version's processes to end", lambda: not library_hosts("1.0.0"), 30)
    check_equal(versions()["1.0.0"]["state"], "draining", "state of the old version")
    check_equal(version_of(S["old"]), "1.0.0", "version of the old cluster")
    client = S["stack"].client
    client.resize(S["old"], 2)
    client.wait_status(S["old"], "UPDATE_COMPLETE")
    last = S["stack"].sql("SELECT driver_version FROM operation WHERE cluster_id = "
                          f"'{S['old']}' ORDER BY generation DESC LIMIT 1")
    check_equal(last, [["1.0.0"]], "who resized the old cluster")
    refused("uninstall", SIM, "1.0.0", because="migrate-clusters")
    manage("migrate-clusters", SIM, S["old"])
    check_equal(version_of(S["old"]), "1.1.0", "version after it was moved")
    client.resize(S["old"], 3)
    client.wait_status(S["old"], "UPDATE_COMPLETE")
    manage("migrate-clusters", SIM)
    check_equal(versions()["1.0.0"]["clusters"], 0, "clusters of the old version")
    check_equal(versions()["1.0.0"]["state"], "installed", "state once nobody needs it")
    refused("uninstall", f"{SIM}@1.1.0", because="gets the new clusters")


def a_version_that_goes_away_strands_nobody():
    manage("rollback", SIM, "--migrate")
    check_equal(version_of(S["old"]), "1.0.0", "version after the way back")
    template = S["stack"].client.simulator("pinned")
    manage("upgrade", SIM)
    wait_for("the API to follow", lambda: shown_version() == "1.1.0", 10)
    uuid = new_cluster(template, "pinned")
    check_equal(version_of(uuid), "1.1.0", "version of a new cluster")
    shutil.rmtree(pathlib.Path(S["installed"]) / SIM)  # by hand, past the tool
    for c in S["all"]():
        os.kill(c, signal.SIGHUP)
    wait_for("the conductors to see it", lambda: "1.1.0" not in versions()
             or not versions()["1.1.0"]["conductors"], 20)
    S["stack"].client.delete(uuid)
    S["stack"].client.wait_gone(uuid, 30)
    manage("install", S["signed"])


# ---- who may use it ----

def decisions_reach_new_clusters_only():
    client = S["stack"].client
    template = client.simulator("decided")
    uuid = new_cluster(template, "decided")

    def creating(want):
        a = client("POST", "/v1/clusters", dict(name="x", cluster_template_id=template))
        if a.status == 202:
            made = a.json()["uuid"]
            if want == 202:
                client.wait_status(made, "CREATE_COMPLETE")
            client.delete(made)
            client.wait_gone(made)
        return a.status == want
    project = "default"  # of every caller with noauth
    for off, on in ((("disable", SIM), ("enable", SIM, "--any-file")),
                    (("disable", SIM, "--project", project),
                     ("enable", SIM, "--project", project, "--any-file")),
                    (("quarantine", "add", SIM), ("quarantine", "clear", SIM))):
        manage(*off)
        if off[0] == "disable":
            wait_for(f"{off} to count", lambda: creating(400), 10)
            explained = manage("explain", "vm", "simulated", "kubernetes", "--project", project,
                               want=1)
            check("not enabled" in explained, f"explain says {explained}")
            client.resize(uuid, 2)
            client.wait_status(uuid, "UPDATE_COMPLETE")
            client.resize(uuid, 1)
            client.wait_status(uuid, "UPDATE_COMPLETE")
        else:
            wait_for("quarantine to show", lambda: "quarantined" in
                     [v["state"] for v in versions().values()])
        manage(*on)
        wait_for(f"{on} to count", lambda: creating(202), 20)
    check("chosen" in manage("explain", "vm", "simulated", "kubernetes"), "explain")
    check("the template names it" in manage("explain", "--template", template), "explain template")
    check("belongs to this version" in manage("explain", "--cluster", uuid), "explain cluster")
    client.delete(uuid)
    client.wait_gone(uuid)
    said = [e["event"] for e in manage("events", SIM, "--json", "--limit", "500")]
    for event in ("installed", "upgraded", "rolled back", "moved", "enabled", "disabled",
                  "quarantined", "unquarantined"):
        check(event in said, f"no event {event} in {said}")


def deleting_does_not_ask_whether_it_is_wanted():
    """drivers.disabled keeps new clusters away; those that exist can be deleted."""
    stack = S["stack"]
    template = stack.client.simulator("unwanted")
    uuid = new_cluster(template, "unwanted")
    S["second"].terminate()
    S["second"].wait(180 * mt.SLOW)
    stack.stop()
    stack.options += ["--set", f"drivers.disabled={SIM}"]
    stack.start()
    wait_for("the API to know", lambda: stack.client(
        "POST", "/v1/clusters", dict(name="no", cluster_template_id=template)).status == 400, 20)
    stack.client.delete(uuid)
    stack.client.wait_gone(uuid, 30)


def settings_reach_the_driver():
    """A driver's own section, set by the operator: where the simulator keeps its nodes."""
    place = S["dir"] / "nodes"
    manage("config", "set", SIM, f"state_dir={place}")
    check_equal([r["from"] for r in manage("config", "get", SIM, "state_dir", "--json")],
                ["operator"], "where the setting comes from")
    template = S["stack"].client.simulator("placed")
    seen = S["stack"].client

    def there():
        uuid = new_cluster(template, f"placed{time.monotonic_ns()}")
        found = list(place.glob(f"*{uuid}*")) if place.is_dir() else []
        seen.delete(uuid)
        return found
    wait_for("the setting to reach the driver", there, 15)
    manage("config", "unset", SIM, "state_dir")
    refused("config", "unset", SIM, "state_dir", because="is not set")
    wait_for("it to be as the file says", lambda: not there(), 15)


def main():
    with contextlib.ExitStack() as stack:
        S["dir"] = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mgd-")))
        S["dir"].chmod(0o755)
        S["installed"], S["keys"] = S["dir"] / "installed", S["dir"] / "keys"
        options = [x for o in (f"drivers.install_dir={S['installed']}",
                               "conductor.heartbeat_ms=500", "conductor.lease_ms=4000",
                               "quotas.max_clusters_per_project=100000")
                   for x in ("--set", o)]
        # looks at the health of the old version's clusters start its processes again
        options += ["--set", "conductor.health_interval_s=3600"]
        a = stack.enter_context(mt.Allinone(options=options))
        a.start()
        S["stack"] = a
        second = a.beside("magnum-conductor", "second-conductor.log", "conductor.host=second")
        S["second"] = second
        S["all"] = lambda: [a.child("magnum-conductor"), second.pid]
        stack.callback(lambda: (second.poll() is None and second.kill(), second.wait()))
        wait_for("the second conductor", lambda: len(conductors()) == 2)
        mt.main(__name__, [a_bundle_must_be_whole_and_signed,
                           killed_at_any_point_it_leaves_nothing_half,
                           every_conductor_sees_what_is_installed,
                           an_upgrade_under_load_fails_nothing,
                           old_processes_drain_and_clusters_stay_with_their_version,
                           a_version_that_goes_away_strands_nobody,
                           decisions_reach_new_clusters_only,
                           settings_reach_the_driver,
                           deleting_does_not_ask_whether_it_is_wanted])


main()
