"""APIs behind haproxy as docs/deployment.md has them, and callers that ask them all the time: what
tests of rolling restarts and upgrades share."""
import contextlib
import http.client
import socket
import subprocess
import threading
import time

import magnumtest as mt
from magnumtest import check_equal, wait_for


class Api:
    """One magnum-api, on a Unix socket: nobody else takes it while the process is exchanged.
    launch(name, options) starts one with these options and returns its Popen."""

    def __init__(self, top, name, launch):
        self.name, self.launch = name, launch
        self.socket, self.switch = top / f"{name}.socket", top / f"{name}.disabled"
        self.admin, self.process = top / "haproxy.sock", None

    def start(self):
        self.process = self.launch(self.name, {"api.unix_socket": self.socket,
                                               "api.healthcheck_disable_file": self.switch})

    def stop(self):
        self.process.terminate()
        check_equal(self.process.wait(180 * mt.SLOW), 0, f"exit status of {self.name}")

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def state(self):
        """As haproxy sees it: UP, DOWN, ..."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.admin))
            s.sendall(b"show stat\n")
            text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        head, *rows = [line.split(",") for line in text.lstrip("# ").splitlines() if line]
        row = next(r for r in rows if r[1] == self.name)
        return row[head.index("status")].split(" ")[0]

    def replace(self, launch=None):
        """Takes it out of the balancer, exchanges the process, and puts it back."""
        self.switch.touch()
        wait_for(f"haproxy to let {self.name} go", lambda: self.state() == "DOWN")
        self.stop()
        self.switch.unlink()
        self.launch = launch or self.launch
        self.start()
        wait_for(f"haproxy to take {self.name} back", lambda: self.state() == "UP")


@contextlib.contextmanager
def haproxy(top, apis):
    port, config = mt.free_port(), top / "haproxy.cfg"
    servers = "".join(f"    server {a.name} unix@{a.socket} check inter 100ms fall 2 rise 1\n" for a in apis)
    config.write_text(f"""global
    stats socket {apis[0].admin} level admin
defaults
    mode http
    timeout connect 30s
    timeout client 180s
    timeout server 180s
    timeout check 30s
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
    """Makes one kind of call again and again until the end, at most `rate` of them a second; keeps
    what was not as wanted."""

    def __init__(self, name, call, ended, rate=None):
        super().__init__(name=name)
        self.call, self.ended, self.rate = call, ended, rate
        self.made, self.failed = 0, []

    def run(self):
        due = time.monotonic()
        while not self.ended.is_set():
            self.made += 1
            try:
                self.call()
            except (OSError, http.client.HTTPException, mt.Failed) as e:
                self.failed.append(f"{self.name}: {e!r}")
            if self.rate:  # what a slow answer cost is caught up with
                due = max(due + 1 / self.rate, time.monotonic() - 1)
                self.ended.wait(max(0.0, due - time.monotonic()))


@contextlib.contextmanager
def calling(callers, ended):
    """Runs the callers meanwhile; then none of their calls may have failed."""
    begin = time.monotonic()
    for c in callers:
        c.start()
    try:
        yield callers
    finally:
        ended.set()
        for c in callers:
            c.join()
    rate = sum(c.made for c in callers) / (time.monotonic() - begin)
    check_equal([f for c in callers for f in c.failed][:5], [], "calls that failed")
    print("     " + ", ".join(f"{c.made} {c.name}" for c in callers) + f", 0 failed; {rate:.0f} calls/s",
          flush=True)


def more(callers, n=20):
    """Until each caller has made n more calls: the new process has been under load."""
    before = [c.made for c in callers]
    wait_for("the load to go on", lambda: all(c.made >= b + n for c, b in zip(callers, before)), 60)


def times_ready(log):
    """How often a conductor with this log has said that it is ready, as systemd hears it."""
    return log.read_text(errors="replace").count(" conductor.ready ") if log.exists() else 0
