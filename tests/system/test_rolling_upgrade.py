"""An upgrade from the release before to this one, and back, under load: the schema moves first, then
each process by itself, so that old and new run together in every combination. No call fails, and what
was accepted is done, once. The old programs are kept in tests/data/releases."""
import contextlib
import os
import pathlib
import subprocess
import tarfile
import tempfile
import threading
import uuid as uuids

import magnumtest as mt
import pgmagnum
from balanced import Api, Caller, calling, haproxy, more, times_ready
from magnumtest import check, check_equal, wait_for

S = {}
KEPT = sorted((mt.SOURCE / "tests/data/releases").glob("*-amd64.tar.xz"))[-1]
RATES = {"list": 75, "show": 75, "events": 30, "certificate": 20, "create": 10, "repeat": 10}  # a second


class Release:
    """Programs of one version with the plugins that came with them."""

    def __init__(self, name, bin_dir, plugins):
        self.name, self.bin, self.plugins = name, bin_dir, plugins

    def start(self, program, name, options):
        config = pgmagnum.configure(S["top"], f"{name}-{self.name}", S["connection"], plugins=self.plugins)
        words = [str(self.bin / program), "--config", str(config)]
        for k, v in options.items():
            words += ["--set", f"{k}={v}"]
        with open(S["top"] / f"{name}.log", "ab") as log:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=mt.clean_env())

    def api(self, name, options):
        return self.start("magnum-api", name, options)

    def manage(self, *words):
        r = subprocess.run([str(self.bin / "magnum-db-manage"), "--connection", S["connection"], *words],
                           capture_output=True, text=True, env=mt.clean_env())
        check_equal((r.returncode, r.stderr), (0, ""), f"{self.name} magnum-db-manage {words}")
        return r.stdout


class Conductor:
    """One conductor that keeps its name from version to version."""

    def __init__(self, name):
        self.name, self.process = name, None
        self.log = S["top"] / f"{name}.log"

    def start(self, release, **options):
        before = times_ready(self.log)
        self.process = release.start("magnum-conductor", self.name, {"conductor.host": self.name, **options})
        wait_for(f"{self.name} ({release.name}) to be ready", lambda: times_ready(self.log) > before)

    def stop(self):
        self.process.terminate()
        check_equal(self.process.wait(180 * mt.SLOW), 0, f"exit status of {self.name}")

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def replace(self, release):
        self.stop()
        self.start(release)


def sql(text):
    return S["server"].sql(text)


def nodes_of(uuid):
    """Files of the simulator's nodes of a cluster, those half made included."""
    return os.listdir(S["top"] / "simulator" / f"mag-{uuid}")


def done_once(accepted):
    """Every accepted create ended well, with one operation, one history and its two nodes; and
    no cluster exists that nobody was promised."""
    for uuid in accepted:
        S["client"].wait_status(uuid, "CREATE_COMPLETE", 120)
    check_equal(set(sql("SELECT uuid FROM cluster")) ^ set(S["accepted"]), set(), "clusters lost or too many")
    check_equal(sql("SELECT cluster_id || status FROM operation WHERE status <> 'SUCCEEDED'"), [],
                "operations that did not succeed")
    check_equal(sql("SELECT cluster_id FROM operation GROUP BY 1 HAVING count(*) <> 1"), [],
                "clusters with more than one operation")
    check_equal(sql("SELECT operation_id || code FROM operation_event WHERE code IN "
                    "('accepted', 'started', 'succeeded') GROUP BY operation_id, code HAVING count(*) <> 1"), [],
                "events that are there twice")
    check_equal([u for u in accepted if len(nodes_of(u)) != 2], [], "clusters without exactly two nodes")


@contextlib.contextmanager
def load():
    """Calls of all kinds: reads, creates (some of them twice with one key), certificates, which a
    conductor answers over ZeroMQ."""
    client, cluster, made, ended = S["client"], S["cluster"], [], threading.Event()

    def create():
        made.append(client.create("c", S["template"]))

    def repeat():
        """The same request twice, to whichever API comes: one cluster."""
        key = {"Idempotency-Key": str(uuids.uuid4())}
        uuid = client.create("r", S["template"], headers=key)
        made.append(uuid)
        check_equal(client.create("r", S["template"], headers=key), uuid, "the repeated create")
    calls = {"list": lambda: client("GET", "/v1/clusters?limit=20", want=200),
             "show": lambda: client("GET", f"/v1/clusters/{cluster}", want=200),
             "events": lambda: client("GET", f"/v1/clusters/{cluster}/operations", want=200),
             "certificate": lambda: client("GET", f"/v1/certificates/{cluster}", want=200),
             "create": create, "repeat": repeat}
    try:
        with calling([Caller(name, call, ended, RATES[name]) for name, call in calls.items()], ended) as callers:
            yield callers
    finally:
        S["accepted"] += made
    done_once(made)


def the_schema_moves_below_the_old_programs():
    before = S["old"].manage("version")
    with load() as callers:
        more(callers)
        S["new"].manage("upgrade")
        S["new"].manage("online_data_migrations")
        more(callers)
    check(S["old"].manage("version") != before, "no revision since the release before")
    S["new"].manage("check")


def conductors_go_first():
    with load() as callers:
        for c in S["conductors"]:
            c.replace(S["new"])
            more(callers)  # old APIs, and one new conductor, then two
        for a in S["apis"]:
            a.replace(S["new"].api)
            more(callers)


def the_way_back():
    """The old programs again, on the new schema."""
    with load() as callers:
        for a in S["apis"]:
            a.replace(S["old"].api)
            more(callers)
        for c in S["conductors"]:
            c.replace(S["old"])
            more(callers)


def apis_go_first():
    with load() as callers:
        for a in S["apis"]:
            a.replace(S["new"].api)
            more(callers)  # new APIs, old conductors
        for c in S["conductors"]:
            c.replace(S["new"])
            more(callers)


def fence(uuid):
    return int(sql(f"SELECT lease_fence FROM operation WHERE cluster_id = '{uuid}'")[0])


def percent(uuid):
    return int(sql(f"SELECT percent FROM operation WHERE cluster_id = '{uuid}'")[0])


def one_goes_on_where_the_other_died():
    """One create through the hands of old, new and old conductors, each killed in the middle."""
    for c in S["conductors"]:
        c.stop()
    one = S["conductors"][0]
    template = S["client"].simulator("long", steps=80, step_ms=100)
    uuid = None
    for leased, (release, until) in enumerate(((S["old"], 10), (S["new"], 40), (S["old"], 100)), 1):
        one.start(release, **{"conductor.lease_ms": 3000})
        if not uuid:
            uuid = S["client"].create("long", template)
            S["accepted"].append(uuid)
        wait_for(f"{until} % with {release.name}",  # in its own hands, however far the one before came
                 lambda: fence(uuid) >= leased and percent(uuid) >= until)
        if until < 100:
            one.kill()
    done_once([uuid])
    leased, steps = map(int, sql(f"SELECT lease_fence || ' ' || steps FROM operation WHERE cluster_id = '{uuid}'"))
    check(leased >= 3, f"leased {leased} times, by three conductors")
    print(f"     leased {leased} times, {steps} steps for 80", flush=True)
    check(steps < 120, f"{steps} steps for 80: somebody began again")
    for c in S["conductors"]:
        if c is not one:
            c.start(S["new"])
    one.replace(S["new"])


def main():
    with tempfile.TemporaryDirectory(prefix="mgu-") as d, contextlib.ExitStack() as stack:
        top = S["top"] = pathlib.Path(d)
        server = S["server"] = stack.enter_context(pgmagnum.one_server(top))
        S["connection"] = server.connection()
        with tarfile.open(KEPT) as tar:
            tar.extractall(top / "before")
        pgmagnum.make_seal_key(top)
        S["old"] = Release("old", top / "before/bin", top / "before/plugins")
        S["new"] = Release("new", mt.BIN, mt.BUILD / "plugins")
        S["old"].manage("upgrade")
        S["conductors"] = [Conductor("c1"), Conductor("c2")]
        S["apis"] = [Api(top, "api1", S["old"].api), Api(top, "api2", S["old"].api)]
        for p in S["conductors"] + S["apis"]:
            stack.callback(p.kill)
        for c in S["conductors"]:
            c.start(S["old"])
        for a in S["apis"]:
            a.start()
        client = S["client"] = stack.enter_context(haproxy(top, S["apis"]))
        S["template"] = wait_for("the driver to be known", lambda: client.simulator("t", steps=3, step_ms=100))
        S["cluster"] = client.create("first", S["template"])
        S["accepted"] = [S["cluster"]]
        client.wait_status(S["cluster"], "CREATE_COMPLETE")
        mt.main("__main__", [the_schema_moves_below_the_old_programs, conductors_go_first, the_way_back,
                             apis_go_first, one_goes_on_where_the_other_died])


if __name__ == "__main__":
    main()
