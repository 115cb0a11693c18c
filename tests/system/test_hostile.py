"""Malformed, oversized and hostile requests against the running API, and drivers that crash or hang:
Magnum's own errors, the same process afterwards, and other work goes on."""
import contextlib
import http.client
import json
import os
import random
import resource
import socket
import time

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

S = {}


def raw(data, timeout=60, read=True):
    """Sends bytes as they are; what came back (b"" when the connection was just closed)."""
    host, port = S["url"].split("//")[1].split(":")
    with socket.create_connection((host, int(port)), timeout) as s:
        with contextlib.suppress(OSError):
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(OSError):
            while read:
                part = s.recv(65536)
                if not part:
                    break
                answer += part
        return answer


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else None


def still_well():
    check_equal(S["stack"].child("magnum-api"), S["pid"], "the API's process")
    check_equal(S["stack"].client("GET", "/v1/clusters").status, 200, "a well-formed request")


def garbage_is_refused():
    chance = random.Random(7)
    for i in range(200):
        data = chance.randbytes(chance.randrange(1, 3000))
        status = status_of(raw(data))
        check(status is None or 400 <= status < 500, f"garbage {i}: {status}")
    still_well()


def broken_requests_get_4xx():
    big = b"x" * 100000
    requests = {
        "bad version": b"GET /v1 HTTP/9.9\r\nHost: a\r\n\r\n",
        "huge header": b"GET /v1 HTTP/1.1\r\nHost: a\r\nX: " + big + b"\r\n\r\n",
        "many headers": b"GET /v1 HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        "huge path": b"GET /" + big + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        "two lengths": b"POST /v1/clusters HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                       b"Content-Length: 30\r\n\r\n{}",
        "negative length": b"POST /v1/clusters HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n{}",
        "huge length": b"POST /v1/clusters HTTP/1.1\r\nHost: a\r\nContent-Type: application/json"
                       b"\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
        "bad chunk": b"POST /v1/clusters HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "nul in path": b"GET /v1/clusters/a%00b HTTP/1.1\r\nHost: a\r\n\r\n",
        "bad escape": b"GET /v1/clusters/%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        "not utf-8": b"GET /v1/clusters/%ff%fe HTTP/1.1\r\nHost: a\r\n\r\n",
        "unknown method": b"BREW /v1/clusters HTTP/1.1\r\nHost: a\r\n\r\n",
        "version header": b"GET /v1/clusters HTTP/1.1\r\nHost: a\r\nOpenStack-API-Version: "
                          b"container-infra 99.99\r\n\r\n",
    }
    for name, data in requests.items():
        status = status_of(raw(data))
        check(status in (None, 505) or 400 <= status < 500, f"{name}: {status}")
    still_well()


def oversized_and_deep_bodies_get_4xx():
    client = S["stack"].client
    for body in ("[" * 100000, '{"a":' * 50000, '{"name": "' + "x" * 2_000_000 + '"}', "\xff\xfe",
                 '{"name": "a", "name": "b"}', '{"node_count": 1e999}', "", "null", "[]", '"x"',
                 '{"name": "\\ud800"}', '{"node_count": 99999999999999999999999}'):
        try:
            r = client("POST", "/v1/clusters", body.encode("latin-1"),
                       headers={"Content-Type": "application/json"})
        except (BrokenPipeError, ConnectionResetError, http.client.HTTPException):
            continue  # refused before it was read to the end
        check(400 <= r.status < 500, f"{body[:40]}: {r}")
        errors = r.json()["errors"]
        check_equal(errors[0]["status"], r.status, "the error body is Magnum's own")
    still_well()


def wrong_types_get_4xx_or_are_accepted_but_never_5xx():
    client = S["stack"].client
    values = [None, True, -1, 0, 1.5, 2**63, -2**70, "", "x" * 300, "\u0000", "'; DROP TABLE cluster;--",
              "%s%n%x", "../../etc/passwd", [], [[]], {}, {"a": {"b": 1}}, "\ud83d\ude00", "1"]
    attributes = ["name", "cluster_template_id", "keypair", "node_count", "master_count", "labels",
                  "docker_volume_size", "create_timeout", "discovery_url", "flavor_id",
                  "fixed_network", "floating_ip_enabled", "merge_labels", "uuid", "status", "links",
                  "nosuch"]
    for attribute in attributes:
        for value in values:
            body = dict(name="h", cluster_template_id=S["template"], create_timeout=1)
            body[attribute] = value
            if body["cluster_template_id"] == S["template"] and attribute not in ("nosuch", "links"):
                body.setdefault("master_count", 2)  # even: refused, so that nothing is really made
            r = client("POST", "/v1/clusters", body)
            check(r.status == 202 or 400 <= r.status < 500, f"{attribute}={value!r}: {r}")
    for value in values:
        for path in ("/v1/clusters?limit=", "/v1/clusters?marker=", "/v1/clusters?sort_key=",
                     "/v1/clusters/", "/v1/clustertemplates/", "/v1/operations/", "/v1/drivers/"):
            text = "".join(f"%{b:02x}" for b in str(value).encode(errors="surrogatepass"))
            r = client("GET", path + text)
            check(r.status < 500, f"GET {path}{value!r}: {r}")
        for op in ([value], [{"op": "replace", "path": "/node_count", "value": value}],
                   [{"op": value, "path": "/name", "value": "x"}], value):
            r = client("PATCH", f"/v1/clustertemplates/{S['template']}", json.dumps(op),
                       headers={"Content-Type": "application/json"})
            check(r.status < 500, f"PATCH {op!r}: {r}")
    mt.delete_all(S["stack"])
    still_well()


def slow_clients_do_not_stop_others():
    host, port = S["url"].split("//")[1].split(":")
    slow = []
    for _ in range(200):
        s = socket.create_connection((host, int(port)), 60)
        s.sendall(b"POST /v1/clusters HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n")
        slow.append(s)
    try:
        for _ in range(5):
            for s in slow:
                with contextlib.suppress(OSError):
                    s.sendall(b"X-A: b\r\n")
            begin = time.monotonic()
            still_well()
            check(time.monotonic() - begin < 60 * mt.SLOW, "a normal request is not held up")
        # past the time one request may take they are closed
        wait_for("the slow connections to be closed", lambda: all(map(closed, slow)), 30)
    finally:
        for s in slow:
            s.close()
    still_well()


def resident_kb():
    with open(f"/proc/{S['pid']}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def connections(port):
    """The API's ends of the connections to it: (requests it leaves unread, is it still open there)."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return [(r[4].split(":")[1] != "00000000", r[9] != "0") for r in rows
            if r[1].endswith(f":{port:04X}") and r[3] != "0A"]


def clients_that_never_read_cost_little():
    """Each asks for more than the sockets between us hold, and takes nothing of it."""
    host, port = S["url"].split("//")[1].split(":")
    S["stack"].sql("INSERT INTO cluster_template (uuid, project_id, name, coe) SELECT"
                   " gen_random_uuid()::text, project_id, 'deaf', coe FROM cluster_template,"
                   " generate_series(1, 150) LIMIT 150")
    ask = b"GET /v1/clustertemplates HTTP/1.1\r\nHost: a\r\nX-Pad: " + b"x" * 4000 + b"\r\n\r\n"
    before, deaf = resident_kb(), []

    def stuck_with_eight():
        """It writes an answer and has no eye for the next requests. Who was given up has a follower."""
        for _ in range(8 - sum(is_open for _, is_open in connections(int(port)))):
            s = socket.socket()
            deaf.append(s)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect((host, int(port)))
            with contextlib.suppress(ConnectionError):
                s.sendall(ask * 40)
        return sum(unread for unread, _ in connections(int(port))) >= 8
    try:
        wait_for("the API to be stuck with them", stuck_with_eight)
        begin = time.monotonic()
        still_well()
        check(time.monotonic() - begin < 60 * mt.SLOW, "a normal request is not held up")
        grown = resident_kb() - before
        check(grown < 32 * 1024 * mt.SLOW, f"the API has grown by {grown} kB")
        # the end of a connection waits behind what they do not read: they never learn of it
        wait_for("the API to give up on them",
                 lambda: not any(is_open for _, is_open in connections(int(port))), 60)
    finally:
        for s in deaf:
            s.close()
        S["stack"].sql("DELETE FROM cluster_template WHERE name = 'deaf'")
    still_well()


def closed(s):
    s.setblocking(False)
    try:
        while s.recv(4096):
            continue
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def a_thousand_connections():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    host, port = S["url"].split("//")[1].split(":")

    def storm():
        """How many of a hundred among a thousand are answered."""
        many = []
        try:
            for _ in range(1000):
                many.append(socket.create_connection((host, int(port)), 60))
            for s in many[::10]:
                with contextlib.suppress(OSError):
                    s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            answered = 0
            for s in many[::10]:
                s.settimeout(60)
                with contextlib.suppress(OSError):
                    answered += s.recv(4096).startswith(b"HTTP/1.1 200")
            return answered
        finally:
            for s in many:
                s.close()
    try:
        for _ in range(10):  # who is asked later than in that time has been cut off rightly
            answered = storm()
            if answered >= 90:
                break
        check(answered >= 90, f"{answered} of 100 connections were answered")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_for("the API to answer after the storm",
             lambda: S["stack"].client("GET", "/v1/clusters").status == 200)
    still_well()


def hammering_leaks_no_descriptors():
    fds = f"/proc/{S['pid']}/fd"
    client = S["stack"].client
    for _ in range(20):
        client("GET", "/v1/clusters")
    before = len(os.listdir(fds))
    for _ in range(300):
        raw(b"POST /v1/clusters HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n{", read=False)
    wait_for("the descriptors to be given back", lambda: len(os.listdir(fds)) <= before + 20, 30)


def a_driver_that_crashes_costs_its_own_cluster_only():
    stack = S["stack"]
    good = stack.client.simulator("good")
    bad = stack.client.simulator("bad", crash_at_step=1, crash_times=0)
    victim = stack.client.create("victim", bad)
    others = [stack.client.create(f"other{i}", good) for i in range(5)]
    for o in others:
        stack.client.wait_status(o, "CREATE_COMPLETE", 60)
    c = stack.client.wait_status(victim, "CREATE_FAILED", 120)
    check("signal" in c["status_reason"] or "driver" in c["status_reason"].lower(),
          f"the reason: {c['status_reason']}")
    stack.cli("driver", "list")
    still_well()


def a_driver_that_hangs_costs_its_own_attempt_only():
    stack = S["stack"]
    good = stack.client.simulator("good2")
    bad = stack.client.simulator("hang", hang_at_step=1, hang_times=1)
    victim = stack.client.create("hanger", bad)
    others = [stack.client.create(f"neighbour{i}", good) for i in range(5)]
    for o in others:
        stack.client.wait_status(o, "CREATE_COMPLETE", 60)
    stack.client.wait_status(victim, "CREATE_COMPLETE", 120)
    still_well()


def main():
    options = [x for o in ("api.request_timeout_s=5", "api.max_connections=2000",
                           "conductor.step_budget_ms=1000", "drivers.kill_grace_ms=500",
                           "conductor.backoff_ms=100", "conductor.backoff_max_ms=500",
                           "drivers.quarantine_deaths=1000") for x in ("--set", o)]
    with mt.Allinone(options=options) as a:
        a.start()
        S.update(stack=a, url=a.url, pid=a.child("magnum-api"), template=a.client.simulator("t"))
        mt.main(__name__, [
            garbage_is_refused, broken_requests_get_4xx, oversized_and_deep_bodies_get_4xx,
            wrong_types_get_4xx_or_are_accepted_but_never_5xx, slow_clients_do_not_stop_others,
            clients_that_never_read_cost_little, a_thousand_connections, hammering_leaks_no_descriptors,
            a_driver_that_crashes_costs_its_own_cluster_only,
            a_driver_that_hangs_costs_its_own_attempt_only])


main()
