"""The database's primary server dies under load and its synchronous standby takes over: API and
conductor find it by themselves, nothing that was answered with 202 is lost, and what was in progress
ends. Two real PostgreSQL servers with streaming replication; both hosts in one connection string."""
import contextlib
import http.client
import pathlib
import tempfile
import threading
import time

import magnumtest as mt
import pgmagnum
from magnumtest import check_equal, wait_for

S = {}


class Load(threading.Thread):
    """Asks for clusters, one after the other, and remembers which were accepted, and when."""

    def __init__(self, client, template):
        super().__init__()
        self.client, self.template = client, template
        self.accepted, self.refused, self.odd = [], 0, []
        self.ended = threading.Event()

    def run(self):
        n = 0
        while not self.ended.is_set():
            n += 1
            try:
                a = self.client("POST", "/v1/clusters", dict(name=f"c{n}", cluster_template_id=self.template))
            except (OSError, http.client.HTTPException) as e:
                self.odd.append(repr(e))  # the API itself does not die: it has to answer
                continue
            if a.status == 202:
                self.accepted.append((time.monotonic(), a.json()["uuid"]))
            elif a.status == 503:
                self.refused += 1
            else:
                self.odd.append(repr(a))

    def since(self, when):
        return [u for t, u in self.accepted if t > when]


def the_primary_dies_under_load():
    client, a, b = S["client"], S["a"], S["b"]
    load = Load(client, S["template"])
    load.start()
    try:
        wait_for("clusters to be accepted", lambda: len(load.accepted) >= 150, 300)
        a.kill()
        died = time.monotonic()
        b.run("pg_ctl", "--wait", "-D", b.data, "promote")
        promoted = time.monotonic()
        wait_for("clusters to be accepted again", lambda: len(load.since(promoted)) >= 150, 300)
    finally:
        load.ended.set()
        load.join()
    check_equal(load.odd, [], "answers that are neither 202 nor 503")
    first = min(t for t, _ in load.accepted if t > promoted)
    uuids = [u for _, u in load.accepted]
    print(f"     {len(uuids)} accepted, {load.refused} refused; dead at 0 s, promoted at "
          f"{promoted - died:.1f} s, accepting again at {first - died:.1f} s", flush=True)
    there = set(b.sql("SELECT uuid FROM cluster"))
    check_equal([u for u in uuids if u not in there], [], "accepted, but not there any more")
    for uuid in uuids:
        client.wait_status(uuid, "CREATE_COMPLETE", 120)


def no_server_is_left():
    """The remaining one goes as well: each request is told so, and served once it is back."""
    client, b = S["client"], S["b"]
    b.kill()
    a = client("GET", "/v1/clusters")
    check_equal(a.status, 503, f"with no database: {a}")
    wait_for("the server to start", lambda: b.start() or True)  # its last backends hold its memory
    wait_for("lists to be answered", lambda: client("GET", "/v1/clusters").status == 200, 30)
    uuid = client.create("after", S["template"])
    client.wait_status(uuid, "CREATE_COMPLETE", 60)


def main():
    with tempfile.TemporaryDirectory(prefix="mgf-") as d, contextlib.ExitStack() as stack:
        top = pathlib.Path(d)
        top.chmod(0o755)
        S["a"], S["b"] = pgmagnum.pair(top)
        stack.callback(S["a"].stop)
        stack.callback(S["b"].stop)
        connection = (f"host={S['a'].socket},{S['b'].socket} dbname=magnum user=magnum "
                      "target_session_attrs=read-write")
        S["client"], S["template"] = stack.enter_context(pgmagnum.magnum(top, connection))
        mt.main("__main__", [the_primary_dies_under_load, no_server_is_left])


if __name__ == "__main__":
    main()
