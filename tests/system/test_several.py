"""Several conductors and APIs on one database: they share the work, and when one is killed or
stopped in the middle another one goes on."""
import contextlib
import itertools
import signal

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

S = {}
NUMBERS = itertools.count(1)
FIRST = "magnum-conductor.log"


def finished(log, uuids=("",)):
    """Operations (of these clusters) that the conductor with this log brought to their end. What it
    says comes some time after the end itself."""
    text = (S["stack"].state / "log" / log).read_text(errors="replace")
    return sum(" op.finished " in line and any(u in line for u in uuids) for line in text.splitlines())


def up():
    return [s["host"] for s in S["stack"].client("GET", "/v1/mservices").json()["mservices"]
            if s["state"] == "up"]


class Conductor:
    """One more conductor, given work by the API like the first; ends with the block."""

    def __init__(self):
        self.name = f"conductor{next(NUMBERS)}"
        self.log = f"{self.name}.log"

    def __enter__(self):
        self.process = S["stack"].beside("magnum-conductor", self.log,
                                         f"conductor.host={self.name}")
        wait_for(f"{self.name} to be up", lambda: self.name in up())
        template = S["stack"].client.simulator(f"first-{self.name}", steps=1, step_ms=0)

        def is_asked():
            """The API looks for new conductors about once a second."""
            uuid = S["stack"].client.create(f"c{next(NUMBERS)}", template)
            S["stack"].client.wait_status(uuid, "CREATE_COMPLETE")
            return finished(self.log)
        wait_for(f"{self.name} to be given work", is_asked)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()

    def leases(self):
        return int(S["stack"].sql("SELECT count(*) FROM operation o JOIN magnum_service s ON "
                                  f"o.lease_owner = s.instance WHERE s.host = '{self.name}' "
                                  "AND o.finished_at IS NULL")[0][0])

    def at_work(self):
        """Twenty clusters, of which it has some: the next twenty when they were done too soon."""
        uuids = []

        def some():
            uuids.extend(create(20, steps=20, step_ms=100))
            return self.leases() >= 3
        wait_for("it to be at work", some)
        return uuids

    def stop(self):
        self.process.terminate()
        check_equal(self.process.wait(180 * mt.SLOW), 0, f"exit status of {self.name}")


def create(count, **labels):
    client = S["stack"].client
    template = client.simulator(f"t{next(NUMBERS)}", **labels)
    return [client.create(f"c{next(NUMBERS)}", template, node_count=2) for _ in range(count)]


def complete(uuids):
    for uuid in uuids:
        cluster = S["stack"].client.wait_status(uuid, "CREATE_COMPLETE")
        check_equal(cluster["node_count"], 2, "node_count")
        check_equal(len(cluster["node_addresses"]), 2, "node addresses: none lost, none doubled")


def two_conductors_share_the_work():
    with Conductor() as second:
        for _ in range(5):  # one that stood still for a moment found nothing left
            uuids, shares = create(40, steps=5, step_ms=50), []
            complete(uuids)

            def all_told():
                shares[:] = [finished(log, uuids) for log in (FIRST, second.log)]
                return sum(shares) >= 40
            wait_for("all ends to be in the logs", all_told)
            check_equal(sum(shares), 40, "operations finished, each by one conductor")
            if min(shares) >= 5:
                break
        check(min(shares) >= 5, f"shared: {shares}")
        second.stop()
        wait_for("it to be listed as down", lambda: second.name not in up())


def a_killed_conductor_is_replaced():
    with Conductor() as second:
        uuids = second.at_work()
        second.process.kill()
        complete(uuids)


def a_stopped_conductor_hands_over_at_once():
    with Conductor() as second:
        uuids = second.at_work()
        second.stop()
        check_equal(second.leases(), 0, "leases that a stopped conductor still holds")
        complete(uuids)


def a_frozen_conductor_is_fenced():
    """SIGSTOP, not death: it comes back in the middle and must not write any more. Frozen within a
    transaction it keeps what it has locked there until the database ends its session."""
    with Conductor() as second:
        uuids = second.at_work()
        second.process.send_signal(signal.SIGSTOP)
        wait_for("its leases to be taken over", lambda: second.leases() == 0, 120)
        second.process.send_signal(signal.SIGCONT)
        complete(uuids)
        second.stop()


def two_apis_show_the_same():
    stack = S["stack"]
    port_file = stack.state / "second.port"
    p = stack.beside("magnum-api", "second-api.log", "api.port=0", f"api.port_file={port_file}")
    try:
        wait_for("the second API", port_file.exists)
        other = mt.Client(f"http://127.0.0.1:{port_file.read_text().strip()}")
        uuid, = create(1)
        check_equal(other.show(uuid)["name"], stack.client.show(uuid)["name"],
                    "a cluster made through the first")
        key = {"Idempotency-Key": "once"}
        template = stack.client.simulator("idempotent")
        ids = {c.create("once", template, headers=key) for c in (stack.client, other, other)}
        check_equal(len(ids), 1, "clusters made by one key through two APIs")
        p.terminate()
        check_equal(p.wait(180), 0, "exit status")
    finally:
        p.kill()
        p.wait()


def main():
    options = [x for o in ("conductor.lease_ms=2000", "conductor.heartbeat_ms=500",
                           "conductor.workers=4", "quotas.max_clusters_per_project=1000")
               for x in ("--set", o)]
    with mt.Allinone(options=options) as a:
        a.start()
        S["stack"] = a
        mt.main(__name__, [two_conductors_share_the_work, a_killed_conductor_is_replaced,
                           a_stopped_conductor_hands_over_at_once, a_frozen_conductor_is_fenced,
                           two_apis_show_the_same])


main()
