"""Rotation of a live Docker Swarm's CA on this machine. Clients poll Docker's API through all of it:
one with what it fetched before, one that fetches anew, one on a connection that it never closes. No
call fails while both CAs are trusted; afterwards the old CA opens nothing, not even a connection that
is there already; containers run on all the time. The conductor is killed at random moments."""
import contextlib
import os
import pathlib
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

GRACE_S = 4 * mt.SLOW
S = {}


def config(name):
    """Fetches CA, key and certificate with our client into a directory of that name."""
    directory = S["stack"].state / name
    directory.mkdir()
    wait_for("a conductor to answer", lambda: S["stack"].client(
        "GET", f"/v1/certificates/{S['uuid']}", want=(200, 503)).status == 200)
    out = S["stack"].cli("cluster", "config", "live", "--dir", str(directory))
    found = dict(re.findall(r"^export (DOCKER_\w+)=(.*)$", out, re.M))
    S["address"] = found["DOCKER_HOST"].strip("'\"").removeprefix("tcp://")
    return pathlib.Path(found["DOCKER_CERT_PATH"].strip("'\""))


def tls(where):
    c = ssl.create_default_context(cafile=where / "ca.pem")
    c.load_cert_chain(where / "cert.pem", where / "key.pem")
    return c


def connect(where, timeout=60):
    host, port = S["address"].split(":")
    s = socket.create_connection((host, int(port)), timeout=timeout)
    try:
        return tls(where).wrap_socket(s, server_hostname=host)
    except BaseException:
        s.close()
        raise


def ask(sock, path="/_ping"):
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: docker\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        got = sock.recv(4096)
        if not got:
            raise ConnectionError("closed by the other side")
        head += got
    status, body = head.split(b" ", 2)[1], head.split(b"\r\n\r\n", 1)[1]
    length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
    while len(body) < length:
        got = sock.recv(4096)
        if not got:
            raise ConnectionError("cut off")
        body += got
    if status != b"200":
        raise ConnectionError(f"{path}: {status}")


def call(where):
    with connect(where) as s:
        ask(s)


def refused(where):
    """With TLS 1.3 a client learns only by reading that its certificate was not accepted."""
    try:
        call(where)
    except (OSError, ssl.SSLError):
        return True
    return False


class Poller(threading.Thread):
    """Calls as fast as it can until told to stop; remembers what failed and when."""

    def __init__(self, where, keep=False):
        super().__init__(daemon=True)
        self.where, self.keep = where, keep
        self.calls, self.failures, self.ended = 0, [], False
        self.start()

    def run(self):
        sock = connect(self.where) if self.keep else None
        while not self.ended:
            try:
                if self.keep:
                    ask(sock)
                else:
                    call(self.where)
                self.calls += 1
            except (OSError, ssl.SSLError) as e:
                self.failures.append((time.monotonic(), repr(e)))
                if self.keep:
                    return
            time.sleep(0.01)  # a pace, so that three of them leave the machine some room

    def stop(self):
        self.ended = True
        self.join(120)
        return self.failures


def rotate():
    before = {o["id"] for o in S["stack"].client.operations(S["uuid"])}
    S["stack"].cli("ca", "rotate", "live")
    return next(o["id"] for o in S["stack"].client.operations(S["uuid"]) if o["id"] not in before)


def operation(op):
    return S["stack"].client("GET", f"/v1/operations/{op}", want=200).json()


def in_grace(op):
    o = operation(op)
    check(o["status"] not in ("FAILED", "CANCELLED"), f"{o}")
    return o["stage"] == "ca_grace"


def ended(op):
    o = operation(op)
    check(o["status"] not in ("FAILED", "CANCELLED"), f"{o}")
    return o["status"] == "SUCCEEDED"


def docker(where, *args, want=0):
    r = subprocess.run(["/usr/bin/docker", *args], capture_output=True, text=True, timeout=120,
                       env=dict(os.environ, DOCKER_HOST=f"tcp://{S['address']}",
                                DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=str(where)))
    check(want is None or r.returncode == want, f"docker {args}: {r.stdout}{r.stderr}")
    return r.stdout.strip()


def daemons():
    """Pids of all dockerds of the cluster's nodes."""
    found = []
    for first in mt.node_pids(S["stack"], S["uuid"]):
        for kid in mt.children(first):
            found += mt.children(kid, "dockerd")
    return found


# ---- cases ----

def a_swarm_with_something_in_it():
    S["template"] = S["stack"].client.template("swarm")
    S["uuid"] = S["stack"].client.create("live", S["template"], master_count=1, node_count=1)
    S["stack"].client.wait_status(S["uuid"], "CREATE_COMPLETE", 300)
    S["old"] = config("old")
    mt.import_busybox(S["stack"], S["uuid"])
    S["box"] = docker(S["old"], "run", "-d", "magnum-local/busybox:1", "/bin/sh", "-c",
                      "while :; do read -t 1000 x < /dev/zero || :; done")
    check_equal(len(daemons()), 2, "dockerds")


def no_call_fails_in_the_grace_time():
    for n in range(5):
        counts = one_under_calls(n)
        if min(counts) >= 5:
            break
    check(min(counts) >= 5, f"calls: {counts}")
    print(f"      calls in the grace time: {counts}, 0 failed", flush=True)


def one_under_calls(n):
    """The numbers of calls; less than it takes when the machine is too slow for the grace time."""
    kept = daemons()
    outsider, steady = Poller(S["old"]), Poller(S["old"], keep=True)
    op = rotate()
    wait_for("the grace time", lambda: in_grace(op) or ended(op), every=0.02)
    fresh = config(f"new{n}")
    fetched, seen = Poller(fresh), []

    def is_over():
        """What was noted while the grace time still went on, counts."""
        now = [(who.calls, list(who.failures)) for who in (outsider, steady, fetched)]
        if not in_grace(op):
            return True
        seen.append(now)
        return False
    wait_for("the end of the grace time", is_over, every=0.02)
    for _, failures in seen[-1] if seen else ():
        check_equal(failures, [], "failed calls in the grace time")
    wait_for("the end of the rotation", lambda: ended(op))
    S["stack"].client.wait_status(S["uuid"], "UPDATE_COMPLETE")
    wait_for("the steady connection to be closed", lambda: steady.failures)
    check(refused(S["old"]), "the old CA's client certificate is still accepted")
    failures = fetched.stop()
    check(not seen or not failures, f"failed calls of a client that fetched in time: {failures}")
    outsider.stop()
    steady.stop()
    check_equal(daemons(), kept, "dockerds were restarted")
    check_equal(docker(fresh, "inspect", "-f", "{{.State.Running}}", S["box"]), "true", "container")
    latest = config(f"latest{n}")
    pems = (latest / "ca.pem").read_text().count("BEGIN CERTIFICATE")
    check_equal(pems, 1, "CAs after the rotation")
    docker(latest, "node", "ls")
    S["old"] = latest
    return [calls for calls, _ in seen[-1]] if seen else [0]


def a_stolen_old_key_opens_nothing():
    for name in ("old",):
        check(refused(S["stack"].state / name), "an old certificate is accepted")


def nodes_can_be_added_afterwards():
    S["stack"].client.resize(S["uuid"], 2)
    S["stack"].client.wait_status(S["uuid"], "UPDATE_COMPLETE", 120)
    names = docker(S["old"], "node", "ls", "-q").split()
    check_equal(len(names), 3, "nodes")


def three_managers_one_after_another():
    """Rotation with several managers: each one's own API, without a failed call."""
    uuid = S["stack"].client.create("three", S["template"], master_count=3, node_count=0,
                                    master_lb_enabled=True)
    S["stack"].client.wait_status(uuid, "CREATE_COMPLETE", 300)
    try:
        before = {o["id"] for o in S["stack"].client.operations(uuid)}
        S["stack"].cli("ca", "rotate", "three")
        op = next(o["id"] for o in S["stack"].client.operations(uuid) if o["id"] not in before)
        wait_for("the rotation", lambda: ended(op), 90)
        serials = {(d / "front.loaded").read_text() for d in mt.node_dirs(S["stack"], uuid)}
        check_equal(len(serials), 3, "certificates of three managers")
        trusts = {(d / "front.pem").read_text().split("# trusted\n")[1].strip()
                  for d in mt.node_dirs(S["stack"], uuid)}
        check_equal(len(trusts), 1, "trust of three managers")
    finally:
        S["stack"].client.delete(uuid)
        S["stack"].client.wait_gone(uuid, 120)


def conductors_die_anywhere():
    rnd = random.Random(11)
    kept = daemons()
    for turn in range(4):
        before, op = S["old"], rotate()
        for _ in range(3):
            time.sleep(rnd.uniform(0.0, 2.0))  # a random moment of the rotation, not a wait
            victim = S["stack"].child("magnum-conductor")
            if victim:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
        wait_for("the end of the rotation", lambda o=op: ended(o), 300)
        S["old"] = config(f"turn{turn}")
        docker(S["old"], "node", "ls")
        check(refused(before), "the old CA's client certificate is still accepted")
    check_equal(daemons(), kept, "dockerds were restarted")


def the_front_takes_no_strangers():
    """Garbage, half a handshake, no certificate, and then still a good client."""
    host, port = S["address"].split(":")
    open_ones = [socket.create_connection((host, int(port))) for _ in range(50)]
    for i, s in enumerate(open_ones):
        with contextlib.suppress(OSError):
            s.sendall([b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", os.urandom(300)][i % 3])
    call(S["old"])
    for s in open_ones:
        s.close()
    bare = ssl.create_default_context(cafile=S["old"] / "ca.pem")
    with contextlib.suppress(OSError, ssl.SSLError):
        with socket.create_connection((host, int(port))) as s, \
                bare.wrap_socket(s, server_hostname=host) as t:
            ask(t)
            raise mt.Failed("a client without a certificate was served")
    call(S["old"])


def the_front_is_started_again():
    fronts = [k for first in mt.node_pids(S["stack"], S["uuid"]) for f in mt.children(first)
              for k in mt.children(f, "magnum-swarm-front")]
    check_equal(len(fronts), len(mt.node_pids(S["stack"], S["uuid"])), "fronts")
    kept = daemons()
    for pid in fronts:
        os.kill(pid, signal.SIGKILL)

    def works():
        with contextlib.suppress(OSError, ssl.SSLError):
            call(S["old"])
            return True
        return False
    wait_for("the API to be there again", works, 20)
    check_equal(daemons(), kept, "dockerds were restarted")


def docker_attach_and_half_closed_streams():
    """exec with a standard input that ends: both directions end on their own."""
    r = subprocess.run(["/usr/bin/docker", "exec", "-i", S["box"], "/bin/busybox", "wc", "-c"],
                       input="x" * 300000, capture_output=True, text=True, timeout=60,
                       env=dict(os.environ, DOCKER_HOST=f"tcp://{S['address']}",
                                DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=str(S["old"])))
    check_equal((r.returncode, r.stdout.strip()), (0, "300000"), f"bytes through exec ({r.stderr})")


def nothing_is_left():
    S["stack"].client.delete(S["uuid"])
    S["stack"].client.wait_gone(S["uuid"], 120)
    check_equal(mt.swarm_dirs(S["stack"]), [], "directories of clusters")
    left = S["stack"].sql("SELECT (SELECT count(*) FROM x509keypair),"
                          " (SELECT count(*) FROM certificate),"
                          " (SELECT count(*) FROM cluster_rotation)")
    check_equal(left, [["0", "0", "0"]], "rows of certificates")


def main():
    options = ["--set", f"certificates.rotation_grace_s={GRACE_S}",
               "--set", "conductor.lease_ms=1500"]
    with mt.Allinone(options=options) as stack:
        S["stack"] = stack.start()
        mt.main(__name__, [a_swarm_with_something_in_it, docker_attach_and_half_closed_streams,
                           the_front_takes_no_strangers, the_front_is_started_again,
                           no_call_fails_in_the_grace_time, a_stolen_old_key_opens_nothing,
                           nodes_can_be_added_afterwards, three_managers_one_after_another,
                           conductors_die_anywhere, nothing_is_left])


if __name__ == "__main__":
    main()
    sys.exit(0)
