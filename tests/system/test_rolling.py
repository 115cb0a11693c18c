"""A rolling restart of every process under load: two APIs behind haproxy as docs/deployment.md has
them, two conductors. Reads, creates and calls that a conductor answers go on all the time, and none
of them fails."""
import contextlib
import http.client
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading

import magnumtest as mt
from magnumtest import check_equal, wait_for

S = {}


class Api:
    """magnum-api beside the stack's own; its port and its switch for the balancer stay."""

    def __init__(self, top, name):
        self.name, self.port, self.switch = name, mt.free_port(), top / f"{name}.disabled"
        self.process = None

    def start(self):
        self.process = S["stack"].beside("magnum-api", f"{self.name}.log", f"api.port={self.port}",
                                         f"api.port_file={self.switch}.port",
                                         f"api.healthcheck_disable_file={self.switch}")

    def stop(self):
        self.process.terminate()
        check_equal(self.process.wait(60 * mt.SLOW), 0, f"exit status of {self.name}")

    def state(self):
        """As haproxy sees it: UP, DOWN, ..."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(S["admin"]))
            s.sendall(b"show stat\n")
            text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        head, *rows = [line.split(",") for line in text.lstrip("# ").splitlines() if line]
        row = next(r for r in rows if r[1] == self.name)
        return row[head.index("status")].split(" ")[0]

    def restart(self):
        self.switch.touch()
        wait_for(f"haproxy to let {self.name} go", lambda: self.state() == "DOWN")
        self.stop()
        self.switch.unlink()
        self.start()
        wait_for(f"haproxy to take {self.name} back", lambda: self.state() == "UP")


@contextlib.contextmanager
def haproxy(top, apis):
    port, config = mt.free_port(), top / "haproxy.cfg"
    S["admin"] = top / "haproxy.sock"
    servers = "".join(f"    server {a.name} 127.0.0.1:{a.port} check inter 100ms fall 2 rise 1\n" for a in apis)
    config.write_text(f"""global
    stats socket {S['admin']} level admin
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend magnum
    bind 127.0.0.1:{port}
    default_backend magnum
backend magnum
    option httpchk GET /healthcheck
    http-check expect status 200
{servers}""")
    p = subprocess.Popen(["haproxy", "-db", "-f", str(config)], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    try:
        wait_for("haproxy to serve", lambda: all(a.state() == "UP" for a in apis))
        yield mt.Client(f"http://127.0.0.1:{port}")
    finally:
        p.terminate()
        p.wait()


class Caller(threading.Thread):
    """Makes one kind of call again and again until the end; keeps what was not as wanted."""

    def __init__(self, name, call, ended):
        super().__init__(name=name)
        self.call, self.ended = call, ended
        self.made, self.failed = 0, []

    def run(self):
        while not self.ended.is_set():
            self.made += 1
            try:
                self.call()
            except (OSError, http.client.HTTPException, mt.Failed) as e:
                self.failed.append(f"{self.name}: {e!r}")


@contextlib.contextmanager
def load(client, cluster):
    made, ended = [], threading.Event()

    def create():
        made.append(client.create("c", S["template"]))
    calls = {"list": lambda: client("GET", "/v1/clusters?limit=20", want=200),
             "show": lambda: client("GET", f"/v1/clusters/{cluster}", want=200),
             "create": create,
             "certificate": lambda: client("GET", f"/v1/certificates/{cluster}", want=200)}
    callers = [Caller(name, call, ended) for name, call in calls.items()]
    for c in callers:
        c.start()
    try:
        yield callers
    finally:
        ended.set()
        for c in callers:
            c.join()
    check_equal([f for c in callers for f in c.failed][:5], [], "calls that failed")
    print("     " + ", ".join(f"{c.made} {c.name}" for c in callers) + ", 0 failed", flush=True)
    for uuid in made:
        S["stack"].client.wait_status(uuid, "CREATE_COMPLETE", 120)


def more(callers, n=20):
    """Until each caller has made n more calls: the new process has been under load."""
    before = [c.made for c in callers]
    wait_for("the load to go on", lambda: all(c.made >= b + n for c, b in zip(callers, before)), 60)


def apis_are_restarted():
    with load(S["client"], S["cluster"]) as callers:
        for api in S["apis"]:
            more(callers)
            api.restart()
        more(callers)


def ready(log):
    """How often a conductor with this log has said that it is ready, as systemd hears it."""
    path = S["stack"].state / "log" / log
    return path.read_text(errors="replace").count(" conductor.ready ") if path.exists() else 0


def conductors_are_restarted():
    stack = S["stack"]
    with load(S["client"], S["cluster"]) as callers:
        for _ in range(2):
            more(callers)
            before = ready("second.log")
            second = stack.beside("magnum-conductor", "second.log", "conductor.host=second")
            wait_for("the second conductor to be ready", lambda: ready("second.log") > before)
            more(callers)
            before = ready("magnum-conductor.log")
            os.kill(stack.child("magnum-conductor"), signal.SIGTERM)  # magnum-allinone starts it again
            wait_for("the first conductor to be ready again",
                     lambda: ready("magnum-conductor.log") > before, 60)
            more(callers)
            second.terminate()
            check_equal(second.wait(60 * mt.SLOW), 0, "exit status of the second conductor")


def main():
    with tempfile.TemporaryDirectory(prefix="mgr-") as d, contextlib.ExitStack() as stack:
        top = pathlib.Path(d)
        top.chmod(0o755)
        S["stack"] = stack.enter_context(mt.Allinone(
            options=["--set", "quotas.max_clusters_per_project=1000000"])).start()
        S["apis"] = [Api(top, "api1"), Api(top, "api2")]
        for api in S["apis"]:
            api.start()
            stack.callback(lambda a=api: a.process.kill() or a.process.wait())
        S["client"] = stack.enter_context(haproxy(top, S["apis"]))
        S["template"] = S["stack"].client.simulator("t", steps=2, step_ms=50)
        S["cluster"] = S["stack"].client.create("first", S["template"])
        S["stack"].client.wait_status(S["cluster"], "CREATE_COMPLETE")
        mt.main("__main__", [apis_are_restarted, conductors_are_restarted])


if __name__ == "__main__":
    main()
