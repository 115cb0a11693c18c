"""What Prometheus reads of all processes: the format by promtool's own judgement, values that match
what was done, series that no client can multiply, and nobody who reads what is not for him."""
import contextlib
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import uuid

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

SIMULATOR = "org.magnum.simulator"
PROGRAMS = ("magnum-api", "magnum-conductor")
S = {}


def listening(log):
    """Where the metrics of the process with this log are."""
    text = (S["stack"].state / "log" / log).read_text(errors="replace")
    found = re.findall(r"metrics\.ready listening on (\S+):\d+ port (\d+)", text)
    return f"http://{found[-1][0]}:{found[-1][1]}" if found else None


def scrape(program):
    a = mt.request(S[program], "GET", "/metrics")
    check_equal(a.status, 200, f"{program}'s /metrics")
    check_equal(a.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8", "its type")
    return a.body.decode()


def values(text):
    """{series: value} of all lines that are no comments."""
    return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in text.splitlines()
                                     if not line.startswith("#"))}


def now(program):
    return values(scrape(program))


def series(name, **labels):
    inner = ",".join(f'{k}="{v}"' for k, v in labels.items())
    return f"{name}{{{inner}}}" if inner else name


def wait_value(program, wanted, name, **labels):
    key = series(name, **labels)
    wait_for(f"{key} to be {wanted}", lambda: now(program).get(key) == wanted)


def total(all_values, name, *parts):
    """Sum over the series of a metric whose labels have all these parts."""
    return sum(v for k, v in all_values.items()
               if k.split("{")[0] == name and all(p in k for p in parts))


# ---- the format ----

def promtool_finds_nothing():
    for program in PROGRAMS:
        r = subprocess.run(["promtool", "check", "metrics"], input=scrape(program), text=True,
                           capture_output=True)
        check_equal((r.returncode, r.stdout, r.stderr), (0, "", ""), f"promtool on {program}")
        got = now(program)
        info = [k for k in got if k.startswith("magnum_build_info")]
        check(len(info) == 1 and f'program="{program}"' in info[0], f"{info}")
        check(1e6 < got["process_resident_memory_bytes"] < 1e10, "resident memory")
        check(got["process_open_fds"] > 3 and got["process_cpu_seconds_total"] > 0, "process")


def each_shows_its_own():
    api, conductor = scrape("magnum-api"), scrape("magnum-conductor")
    check("magnum_http_requests_total" in api and "magnum_leases_held" not in api, "the API's")
    check("magnum_leases_held" in conductor and "magnum_http_requests_total" not in conductor,
          "the conductor's")


# ---- what was done ----

def requests_are_counted():
    client = S["stack"].client
    before = now("magnum-api")
    for _ in range(7):
        client("GET", "/v1/clusters", want=200)
    for _ in range(3):
        client("GET", f"/v1/clusters/{uuid.uuid4()}", want=404)
    client("GET", "/v1/nothing", want=404)
    client("GET", "/", want=200)
    client("PUT", "/v1/clusters", {}, want=405)
    after = now("magnum-api")
    for wanted, labels in ((7, dict(route="clusters", method="GET", code=200)),
                           (3, dict(route="clusters/*", method="GET", code=404)),
                           (1, dict(route="(none)", method="GET", code=404)),
                           (1, dict(route="(root)", method="GET", code=200)),
                           (1, dict(route="(none)", method="PUT", code=405))):
        key = series("magnum_http_requests_total", **labels)
        check_equal(after.get(key, 0) - before.get(key, 0), wanted, key)
    key = series("magnum_http_request_duration_seconds_count", route="clusters", method="GET")
    check_equal(after[key] - before.get(key, 0), 7, key)
    check(total(after, "magnum_database_statement_duration_seconds_count", 'result="ok"') >
          total(before, "magnum_database_statement_duration_seconds_count", 'result="ok"'), "statements")
    down = [k for k, v in before.items() if re.search("_(total|count|sum|bucket)({|$)", k)
            and after.get(k, 0) < v]
    check_equal(down, [], "counters that went down")


def a_create_is_counted():
    """One that goes on for longer than this test does, and one that comes to its end."""
    client = S["stack"].client
    before = now("magnum-conductor")
    client.create("going", client.simulator("slow", steps=1000, step_ms=100))
    wait_value("magnum-conductor", 1, "magnum_operations", kind="create", state="RUNNING",
               driver=SIMULATOR)
    wait_value("magnum-conductor", 1, "magnum_leases_held")
    got = now("magnum-conductor")
    check(0 <= got["magnum_lease_age_seconds"] < 60, f"lease age {got['magnum_lease_age_seconds']}")
    check_equal(got[series("magnum_services", binary="magnum-conductor", up="up")], 1, "services")
    done = client.create("done", client.simulator("quick", steps=3, step_ms=50))
    client.wait_status(done, "CREATE_COMPLETE")
    client("GET", f"/v1/certificates/{done}", want=200)
    wait_for("the cluster to be counted", lambda: total(now("magnum-conductor"), "magnum_clusters",
                                                        'status="CREATE_COMPLETE"') == 1)
    client.delete(done)
    client.wait_gone(done)
    wait_value("magnum-conductor", 1, "magnum_leases_held")
    after = now("magnum-conductor")
    for wanted, name, parts in (
            (1, "magnum_operations_ended_total", ('kind="create"', 'end="SUCCEEDED"')),
            (1, "magnum_operations_ended_total", ('kind="delete"', 'end="SUCCEEDED"')),
            (1, "magnum_operation_duration_seconds_count", ('kind="delete"',)),
            (2, "magnum_steps_total", ('driver="core"', 'verb="certificates"', 'outcome="ok"')),
            (1, "magnum_steps_total", (SIMULATOR, 'verb="create"', 'outcome="ok"'))):
        check_equal(total(after, name, *parts) - total(before, name, *parts), wanted, f"{name} {parts}")
    check(total(after, "magnum_step_duration_seconds_count", SIMULATOR) > 3, "timed steps")
    check(total(after, "magnum_driver_calls_total", SIMULATOR, 'verb="create"', 'result="ok"') > 3, "calls")
    call = series("magnum_rpc_client_calls_total", call="cert.ca", result="ok")
    check_equal(now("magnum-api")[call], 1, call)
    served = series("magnum_rpc_server_calls_total", call="cert.ca", result="ok")
    check(after[served] >= 1, served)


def a_dead_host_is_counted():
    client = S["stack"].client
    before = now("magnum-conductor")
    deaths = series("magnum_driver_host_deaths_total", driver=SIMULATOR)
    check_equal(before[deaths], 0, "deaths so far")
    crashing = client.create("crashing", client.simulator("crash", steps=3, step_ms=50, crash_at_step=2,
                                                          crash_times=1))
    client.wait_status(crashing, "CREATE_COMPLETE")
    after = now("magnum-conductor")
    check_equal(after[deaths], 1, deaths)
    died = ("magnum_steps_total", SIMULATOR, 'outcome="died"')
    check_equal(total(after, *died) - total(before, *died), 1, "steps that died")
    # killed between calls or within one; a host that was asked to end anyway does not count
    def one_more():
        for p in S["stack"].driver_hosts()[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(p, signal.SIGKILL)
        return now("magnum-conductor")[deaths] >= 2
    wait_for("a killed host to be counted", one_more, every=3)
    starts = ("magnum_driver_host_starts_total", SIMULATOR, 'result="ok"')
    check(total(now("magnum-conductor"), *starts) >= 2, "starts")
    # too many of them close the driver
    for i in range(4):
        template = client.simulator(f"fatal{i}", steps=2, step_ms=10, crash_at_step=1, crash_times=1000)
        client("POST", "/v1/clusters", dict(name=f"fatal{i}", cluster_template_id=template))
    wait_for("the quarantine", lambda: total(now("magnum-conductor"), "magnum_driver_quarantined",
                                             SIMULATOR) == 1)


# ---- nobody can make series ----

WORDS = ("clusters", "clustertemplates", "nodegroups", "certificates", "operations", "quotas", "stats",
         "federations", "bays", "baymodels", "drivers", "services", "actions", "nodes", "v1", "v2")


def random_request(dice):
    """A path of known and unknown words and ids, with a method that may be none."""
    parts = [dice.choice((dice.choice(WORDS), str(uuid.UUID(int=dice.getrandbits(128))),
                          f"x{dice.getrandbits(40):x}")) for _ in range(dice.randint(1, 5))]
    query = dice.choice(("", f"?limit={dice.randint(1, 50)}", f"?x{dice.getrandbits(32)}=1"))
    method = dice.choice(("GET", "GET", "GET", "HEAD", "DELETE", "OPTIONS", f"M{dice.getrandbits(20):X}"))
    return f"{method} /{'/'.join(parts)}{query} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def flood(count, seed):
    """Sends them in batches on one connection, each when as many answers have begun."""
    dice = random.Random(seed)
    port = int(S["stack"].url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=60 * mt.SLOW) as s:
        for _ in range(count // 50):
            s.sendall(b"".join(random_request(dice) for _ in range(50)))
            seen = b""
            while seen.count(b"HTTP/1.1 ") < 50:
                got = s.recv(1 << 20)
                check(got, f"the connection was closed after {seen[-300:]!r}")
                seen += got


def paths_make_no_series():
    flood(1000, 1)
    first = scrape("magnum-api")
    shapes = {k for k in values(first) if k.startswith("magnum_http_requests_total")}
    flood(9000, 2)
    last = scrape("magnum-api")
    new = {k for k in values(last) if k.startswith("magnum_http_requests_total")} - shapes
    count = total(values(last), "magnum_http_requests_total")
    check(count >= 10000, f"{count} requests were counted")
    # what is new is made of a route, a method and a code that there are
    for k in new | shapes:
        route, method, code = re.fullmatch(
            r'magnum_http_requests_total\{route="([^"]*)",method="([^"]*)",code="([^"]*)"\}', k).groups()
        check(not re.search(r"[0-9a-f]{8}-|x[0-9a-f]{6}", route), f"a path became a series: {k}")
        check(method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"), k)
        check(re.fullmatch(r"[1-5]\d\d", code), k)
    check(len(new) < 50, f"{len(new)} more series from 9,000 requests: {sorted(new)[:20]}")
    check_equal(total(values(last), "magnum_metrics_overflow_total"), 0, "overflow")


# ---- who may read it ----

def relayed_callers_see_nothing():
    client = S["stack"].client
    check_equal(client("GET", "/metrics").status, 200, "a caller on this machine")
    check_equal(client("POST", "/metrics", {}).status, 405, "writing")
    other = client("GET", "/metricz").status
    for header in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"):
        a = client("GET", "/metrics", headers={header: "192.0.2.1"})
        check_equal(a.status, other, f"with {header}")
        check(b"magnum_" not in a.body, f"with {header}: {a}")


def the_listeners_serve_nothing_else():
    for program in PROGRAMS:
        for path in ("/", "/v1/clusters", "/metrics/x", "/metrics%00"):
            a = mt.request(S[program], "GET", path)
            check(a.status in (400, 404) and b"magnum_" not in a.body, f"{program} {path}: {a}")
        a = mt.request(S[program], "POST", "/metrics", {})
        check_equal((a.status, a.headers["allow"]), (405, "GET, HEAD"), f"{program}: writing")
        a = mt.request(S[program], "HEAD", "/metrics")
        check_equal((a.status, a.body), (200, b""), f"{program}: HEAD")
        a = mt.request(S[program], "GET", "/metrics", headers={"X": "y" * 100000})
        check_equal(a.status, 431, f"{program}: large headers")


@contextlib.contextmanager
def another_api(name, *options):
    """A second API on the same database; its URL, once it listens."""
    stack = S["stack"]
    port = stack.state / f"{name}.port"
    p = stack.beside("magnum-api", f"{name}.log", "api.port=0", f"api.port_file={port}", *options)
    try:
        def ready():
            check(p.poll() is None, f"{name} has ended")
            return port.exists() and port.read_text().strip()
        yield f"http://127.0.0.1:{wait_for(name, ready)}"
    finally:
        p.terminate()
        check_equal(p.wait(60 * mt.SLOW), 0, f"exit status of {name}")


def it_can_be_turned_off():
    with another_api("closed", "metrics.on_api_port=false") as url:
        check_equal(mt.request(url, "GET", "/metrics").status, 404, "the API's own port")
        own = wait_for("its listener", lambda: listening("closed.log"))
        check_equal(mt.request(own, "GET", "/metrics").status, 200, "its listener")
    with another_api("off", "metrics.enabled=false") as url:
        check_equal(mt.request(url, "GET", "/metrics").status, 404, "without metrics")
        check_equal(listening("off.log"), None, "its listener")


def a_taken_port_stops_nobody():
    taken = S["magnum-conductor"].removeprefix("http://")
    with another_api("second", f"metrics.api_listen={taken}") as url:
        check_equal(mt.request(url, "GET", "/v1/clusters").status, 200, "the API")
        wait_for("it to say so", lambda: "metrics.listen" in (S["stack"].state / "log/second.log").read_text())


def callers_from_elsewhere_see_nothing():
    """An API that listens on all addresses, in a network namespace with one more than loopback."""
    stack, space = S["stack"], f"mgm-{uuid.uuid4().hex[:8]}"
    users = stack.state / "htpasswd"
    users.write_text("u:$2b$04$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzABCDE\n")
    port = stack.state / "elsewhere.port"
    env = dict(e.split("=", 1) for e in
               pathlib.Path(f"/proc/{stack.child('magnum-api')}/environ").read_text().split("\0") if "=" in e)
    run = ["ip", "netns", "exec", space]
    subprocess.run(["ip", "netns", "add", space], check=True)
    try:
        for words in (["link", "set", "lo", "up"], ["addr", "add", "192.0.2.1/32", "dev", "lo"]):
            subprocess.run(["ip", "-n", space, *words], check=True)
        words = [w for o in ("api.host=0.0.0.0", "api.port=0", f"api.port_file={port}",
                             "auth.strategy=http_basic", f"auth.http_basic_file={users}",
                             "metrics.api_listen=") for w in ("--set", o)]
        with open(stack.state / "log/elsewhere.log", "ab") as out:
            p = subprocess.Popen([*run, str(mt.BIN / "magnum-api"), *words], env=env, stdout=out, stderr=out)
        try:
            wait_for("the API", lambda: port.exists() and port.read_text().strip())

            def status(address, path):
                script = ("import sys, magnumtest as mt; a = mt.request(sys.argv[1], 'GET', sys.argv[2]); "
                          "print(a.status, b'magnum_' in a.body)")
                url = f"http://{address}:{port.read_text().strip()}"
                return subprocess.run([*run, sys.executable, "-B", "-c", script, url, path], check=True,
                                      capture_output=True, text=True).stdout.strip()
            check_equal(status("127.0.0.1", "/metrics"), "200 True", "from this machine")
            check_equal(status("192.0.2.1", "/metricz"), "401 False", "from elsewhere, no such path")
            check_equal(status("192.0.2.1", "/metrics"), "401 False", "from elsewhere")
        finally:
            p.terminate()
            p.wait(60 * mt.SLOW)
    finally:
        subprocess.run(["ip", "netns", "del", space], check=False)


def main():
    options = ["metrics.conductor_listen=127.0.0.1:0", "metrics.api_listen=127.0.0.1:0",
               "metrics.queue_interval_s=1", "metrics.clusters_interval_s=1"]
    with mt.Allinone(options=[w for o in options for w in ("--set", o)]) as S["stack"]:
        S["stack"].start()
        for program in PROGRAMS:
            S[program] = wait_for(f"the metrics of {program}", lambda p=program: listening(f"{p}.log"))
        mt.main("__main__", [promtool_finds_nothing, each_shows_its_own, requests_are_counted,
                             a_create_is_counted, relayed_callers_see_nothing,
                             the_listeners_serve_nothing_else, it_can_be_turned_off,
                             a_taken_port_stops_nobody, callers_from_elsewhere_see_nothing,
                             paths_make_no_series, a_dead_host_is_counted, promtool_finds_nothing])


if __name__ == "__main__":
    main()
