"""One case per fault: what the operator and the clients see while it lasts (status code, /healthcheck,
log line), that nothing accepted is lost or done twice, and that it passes by itself."""
import contextlib
import fcntl
import json
import os
import pathlib
import re
import resource
import socket
import subprocess
import tempfile
import threading
import time

import magnumtest as mt
import pgmagnum
from flaky_proxy import Proxy
from magnumtest import check, check_equal, wait_for

S = {}
POOL, TIMEOUT_S, CONNECTIONS = 4, 6, 12000


def log(program):
    return (S["top"] / f"{program}.log").read_text(errors="replace")


def heard(program, text, after=0):
    wait_for(f"{text!r} in the log of {program}", lambda: text in log(program)[after:])


def health():
    return S["client"]("GET", "/healthcheck")


def healthy():
    return health().status == 200


def clusters_named(prefix):
    return int(S["server"].sql(f"SELECT count(*) FROM cluster WHERE name LIKE '{prefix}%'")[0])


@contextlib.contextmanager
def locked(table):
    """Holds a lock that every statement about this table has to wait for."""
    server = S["server"]
    p = subprocess.Popen(["runuser", "-u", "postgres", "--", str(pgmagnum.POSTGRES / "psql"), "-h",
                          str(server.socket), "-d", "magnum", "-XAtq"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True, cwd="/", env=mt.clean_env())
    try:
        p.stdin.write(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT 'held';\n")
        p.stdin.flush()
        check_equal(p.stdout.readline().strip(), "held", "the lock")
        yield
    finally:
        p.stdin.close()
        p.wait()


def a_used_up_pool_is_told_and_passes():
    client, answers, ended = S["client"], [], threading.Event()

    def read():
        while not ended.is_set():
            answers.append(client("GET", "/v1/clusters"))
    readers = [threading.Thread(target=read) for _ in range(4 * POOL)]
    try:
        with locked("cluster"):
            for r in readers:
                r.start()
            a = wait_for("a refusal", lambda: next((x for x in list(answers) if x.status == 503), None))
            check("no database connection became free within" in a.body.decode(), f"text: {a}")
            check_equal(a.headers.get("retry-after"), "1", "Retry-After")
            h = wait_for("the health to say so", lambda: (lambda x: x.status == 503 and x)(health()))
            check(b"database" in h.body, f"health: {h}")
            check(str(S["top"]) not in h.body.decode(), f"health tells too much: {h}")
        heard("magnum-api", "db.unwell")
        wait_for("health", healthy)  # by itself, with all of them still asking
    finally:
        ended.set()
        for r in readers:
            r.join()
    check_equal(client("GET", "/v1/clusters").status, 200, "afterwards")
    check({a.status for a in answers} <= {200, 503, 504}, f"{answers}")


def a_stalled_database_loses_and_doubles_nothing():
    """Stalls for longer than statements, leases and health allow, with requests and a cluster in work;
    then connections are cut in the middle of statements."""
    client, proxy, template = S["client"], S["proxy"], S["slow"]
    before, told = client.create("stall-before", template), len(log("magnum-conductor"))
    seen, ended = [], threading.Event()

    def load():
        n = 0
        while not ended.is_set():
            n += 1
            a = client("POST", "/v1/clusters", dict(name=f"stall-{n}", cluster_template_id=S["template"]))
            seen.append((n, a))
    t = threading.Thread(target=load)
    t.start()
    try:
        wait_for("some to be accepted", lambda: sum(a.status == 202 for _, a in list(seen)) > 5)
        begun = time.monotonic()
        proxy.stall(3600)
        wait_for("health to turn bad", lambda: health().status == 503)
        heard("magnum-conductor", "db.unwell", told)
        wait_for("leases and statements to be over", lambda: time.monotonic() > begun + 4)
        proxy.flow()
        wait_for("health to be good again", healthy)
        for _ in range(5):
            proxy.drop()
            n = len(seen)
            wait_for("requests to go on", lambda n=n: any(a.status == 202 for _, a in seen[n:]))
    finally:
        ended.set()
        t.join()
    check({a.status for _, a in seen} <= {202, 500, 503, 504}, f"{ {a.status for _, a in seen} }")
    rows = S["server"].sql("SELECT uuid FROM cluster")
    accepted = [a.json()["uuid"] for _, a in seen if a.status == 202]
    check_equal([u for u in accepted if rows.count(u) != 1], [], "accepted, but not there once")
    for u in (before, *accepted):
        client.wait_status(u, "CREATE_COMPLETE", 60)
    doubled = S["server"].sql("SELECT cluster_id FROM operation WHERE kind = 'create' GROUP BY cluster_id "
                              "HAVING count(*) > 1")
    check_equal(doubled, [], "doubled operations")
    heard("magnum-api", "db.unwell")
    heard("magnum-conductor", "db.well", told)


def peer(text=b"", buffer=None):
    s = socket.socket()
    if buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    host, port = re.match(r"http://([^:/]+):(\d+)", S["client"].url).groups()
    s.connect((host, int(port)))
    if text:
        s.sendall(text)
    return s


def closed(s):
    """Within the timeout, with whatever was said before."""
    s.settimeout(120 * mt.SLOW)
    said = b""
    with contextlib.suppress(ConnectionError):
        while data := s.recv(65536):
            said += data
    return said


def rss_kb(pid):
    return int(re.search(r"VmRSS:\s*(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def ten_thousand_idle_connections_cost_little_and_are_closed():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = min(10000, hard - 1000 if hard != resource.RLIM_INFINITY else 10000)
    api, before = S["pids"]["magnum-api"], rss_kb(S["pids"]["magnum-api"])
    idle = []
    try:
        for i in range(n):
            idle.append(peer())
            if i % 1000 == 0:
                check_equal(S["client"]("GET", "/v1/clusters?limit=1").status, 200, f"beside {i}")
        check_equal(S["client"]("GET", "/v1/clusters?limit=1").status, 200, f"beside {n}")
        grown = (rss_kb(api) - before) * 1024 // n
        print(f"     {n} connections, {grown} bytes each", flush=True)
        check(mt.SLOW > 1 or grown < 32768, f"{grown} bytes for an idle connection")
        check_equal(closed(idle[0]), b"", "what an idle connection hears")
        check_equal(closed(idle[-1]), b"", "what an idle connection hears")
    finally:
        for s in idle:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def slow_senders_are_cut_in_time():
    """Headers and bodies a byte at a time: the time counts for the whole request."""
    kinds = (b"GET / HTTP/1.1\r\nHost: h\r\nX: ",
             b"POST /v1/clusters HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
    slow = [peer(kinds[i % 2]) for i in range(200)]
    begun = time.monotonic()
    said = {}
    while len(said) < len(slow):
        check(time.monotonic() - begun < 120 * mt.SLOW, f"{len(said)} of {len(slow)} were cut")
        for i, s in enumerate(slow):
            if i in said:
                continue
            s.setblocking(False)
            try:
                s.send(b"x")
                said[i] = s.recv(65536)
            except BlockingIOError:
                pass
            except OSError:
                said[i] = b""
        check_equal(S["client"]("GET", "/v1/clusters?limit=1").status, 200, "beside slow ones")
    check(any(b" 408 " in x for x in said.values()), f"what they hear: {set(said.values())}")
    for s in slow:
        s.close()


def log_pipes_that_nobody_reads():
    """API and conductor go on; what did not fit is counted, and told when somebody reads again."""
    pipes, programs = {}, []
    try:
        for program in ("magnum-conductor", "magnum-api"):
            config = S["top"] / f"pipe-{program}.yaml"
            sections = json.loads((S["top"] / f"{program}.yaml").read_text())
            sections.update(log={"level": "debug", "buffer_kb": 16}, conductor={"host": "piped"},
                            api={"port": 0, "port_file": str(S["top"] / "piped.port")})
            config.write_text(json.dumps(sections))
            r, w = os.pipe()
            fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)
            pipes[program] = r
            programs.append(subprocess.Popen([str(mt.BIN / program), "--config", str(config)], stdout=w,
                                             stderr=w, env=mt.clean_env()))
            os.close(w)
        port = S["top"] / "piped.port"
        number = wait_for("the API", lambda: port.exists() and port.read_text().strip())
        client = mt.Client(f"http://127.0.0.1:{number}")
        for _ in range(300):
            check_equal(client("GET", "/v1/clusters?limit=1").status, 200, "with a full log")
        uuid = client.create("piped", S["template"])
        client.wait_status(uuid, "CREATE_COMPLETE")
        text = read_until(pipes["magnum-api"], b"log.dropped")
        check(int(re.search(rb"log.dropped (\d+) lines", text)[1]) > 0, f"{text[-500:]}")
    finally:
        for r in pipes.values():
            os.close(r)  # a reader that goes away for good is no trouble either
        for p in programs:
            p.terminate()
            check_equal(p.wait(180 * mt.SLOW), 0, "exit status")


def read_until(fd, what):
    text, until = b"", time.monotonic() + 120 * mt.SLOW
    os.set_blocking(fd, False)
    while what not in text or not text.endswith(b"\n"):
        check(time.monotonic() < until, f"{what} does not come: {text[-500:]}")
        try:
            text += os.read(fd, 65536)
        except BlockingIOError:
            time.sleep(0.01)
    return text


def a_log_on_a_full_disk():
    config = S["top"] / "full-log.yaml"
    sections = json.loads((S["top"] / "magnum-api.yaml").read_text())
    sections.update(api={"port": 0, "port_file": str(S["top"] / "full-log.port")})
    config.write_text(json.dumps(sections))
    port = S["top"] / "full-log.port"
    with open("/dev/full", "wb") as full:
        p = subprocess.Popen([str(mt.BIN / "magnum-api"), "--config", str(config)], stdout=full, stderr=full,
                             env=mt.clean_env())
    try:
        number = wait_for("the API", lambda: port.exists() and port.read_text().strip())
        client = mt.Client(f"http://127.0.0.1:{number}")
        client.wait_status(client.create("logless", S["template"]), "CREATE_COMPLETE")
    finally:
        p.terminate()
        check_equal(p.wait(180 * mt.SLOW), 0, "exit status")


def fill(directory):
    """Takes all space that is left there; returns the file that holds it."""
    ballast = directory / "ballast"
    with open(ballast, "wb", buffering=0) as f, contextlib.suppress(OSError):
        while f.write(b"x" * 65536):
            pass
    with open(ballast, "ab", buffering=0) as f, contextlib.suppress(OSError):
        while f.write(b"x" * 512):
            pass
    return ballast


def a_full_disk_of_the_database():
    client, server = S["client"], S["server"]
    ballast, accepted, refused = fill(S["top"] / "a"), [], None
    try:
        for n in range(2000):
            a = client("POST", "/v1/clusters", dict(name=f"full-{n}", cluster_template_id=S["template"]))
            if a.status != 202:
                refused = a
                break
            accepted.append(a.json()["uuid"])
        check(refused is not None, "the disk is never full")
        check(refused.status in (500, 503, 504, 507), f"with a full disk: {refused}")
        print(f"     refused with {refused.status} after {len(accepted)}", flush=True)
    finally:
        ballast.unlink()

    def again():
        """A server that could not write its journal has stopped: its service manager starts it."""
        with contextlib.suppress(mt.Failed):
            return clusters_named("full-") or True
        with contextlib.suppress(mt.Failed):
            server.start()
        return False
    wait_for("the database", again)
    wait_for("health", healthy)
    there = S["server"].sql("SELECT uuid FROM cluster WHERE name LIKE 'full-%'")
    check_equal([u for u in accepted if u not in there], [], "accepted, but not there")
    # whoever was told that the database went away does not know: then it is wholly there or not at all
    unknown = [u for u in there if u not in accepted]
    check(len(unknown) <= (refused.status != 507), f"refused, but there: {unknown}")
    accepted += unknown
    accepted.append(wait_for("a create", lambda: client.create("space", S["template"])))
    for u in accepted:
        client.wait_status(u, "CREATE_COMPLETE", 60)


def a_full_disk_of_certificates():
    """certs-local keeps a bundle whole or not at all; the cluster waits for space and is made."""
    client, store = S["client"], S["top"] / "bundles"
    before = sorted(p for p in store.rglob("*") if p.is_file())
    ballast = fill(store)
    try:
        uuid = client.create("sealed", S["template"])
        told = wait_for("the operation to tell", lambda: next(
            (o for o in client.operations(uuid) if "pace" in (o["reason"] or "")), None))
        check("certificate manager local" in told["reason"], f"reason: {told}")
        now = sorted(p for p in store.rglob("*") if p.is_file() and p != ballast)
        check_equal([p for p in now if p not in before], [], "files of half a bundle")
    finally:
        ballast.unlink()
    client.wait_status(uuid, "CREATE_COMPLETE", 60)
    pem = client("GET", f"/v1/certificates/{uuid}", want=200).json()["pem"]
    check("BEGIN CERTIFICATE" in pem, pem)


def a_state_directory_without_space():
    """magnum-allinone says so, ends, and leaves nothing running."""
    with tmpfs(S["top"] / "tiny", "6m") as tiny:
        tiny.chmod(0o711)
        r = subprocess.run([str(mt.BIN / "magnum-allinone"), "--state-dir", str(tiny), "--port", "0"],
                           capture_output=True, text=True, timeout=120 * mt.SLOW, env=mt.clean_env())
        said = r.stdout + r.stderr
        check(r.returncode != 0 and "not enough room in" in said, f"status {r.returncode}: {said}")
        check_equal(mt.left_behind([f"--state-dir {tiny}", f"-D {tiny}"]), [], "left running")


def the_wall_clock_jumps():
    """By an hour, forth and back, while clusters are made with deadlines of a minute."""
    if mt.SLOW > 1:
        return  # a sanitizer has to be loaded first
    top = S["top"] / "jump"
    top.mkdir()
    file, port = top / "shift", top / "port"
    file.write_text("0")
    preload = dict(LD_PRELOAD=str(mt.BUILD / "tests/clock_shift.so"), CLOCK_SHIFT_FILE=str(file))
    sections = json.loads((S["top"] / "magnum-api.yaml").read_text())
    connection = sections.pop("database").pop("connection")
    sections["conductor"]["host"] = "jumping"
    sections["api"]["port_file"] = str(port)
    with contextlib.ExitStack() as stack:
        os.environ.update(preload)
        try:
            for program in ("magnum-conductor", "magnum-api"):
                stack.enter_context(pgmagnum.process(top, program, connection, **sections))
        finally:
            for k in preload:
                del os.environ[k]
        number = wait_for("the API", lambda: port.exists() and port.read_text().strip())
        client = mt.Client(f"http://127.0.0.1:{number}")
        uuids = []

        def states():
            return {m["host"]: m["state"] for m in client("GET", "/v1/mservices", want=200).json()["mservices"]}
        wait_for("the conductor to be up", lambda: states().get("jumping") == "up")
        for jump in ("3600", "-3600", "0"):
            uuids.append(client.create(f"clock{jump}-slow", S["slow"], create_timeout=1))
            file.write_text(jump)
            uuids.append(client.create(f"clock{jump}", S["template"], create_timeout=1))
            check_equal(states().get("jumping"), "up", f"the conductor at {jump}")
            wait_for("health", healthy)  # a second without an answer of the database is enough for none
        for u in uuids:
            client.wait_status(u, "CREATE_COMPLETE", 60)
        odd = S["server"].sql("SELECT cluster_name, deadline_at - created_at FROM operation WHERE cluster_name LIKE "
                              "'clock%' AND deadline_at - created_at NOT BETWEEN '50 s' AND '70 s'")
        check_equal(odd, [], "deadlines")
        for u in uuids:
            pem = client("GET", f"/v1/certificates/{u}", want=200).json()["pem"]
            r = subprocess.run(["openssl", "x509", "-noout", "-checkend", "86400", "-startdate", "-dateopt",
                                "iso_8601"], input=pem, capture_output=True, text=True, check=True)
            begins = re.search(r"notBefore=(.*)Z", r.stdout)[1]
            check(begins < time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()), f"not valid yet: {begins}")


@contextlib.contextmanager
def tmpfs(directory, size):
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


CASES = [a_used_up_pool_is_told_and_passes, a_stalled_database_loses_and_doubles_nothing,
         ten_thousand_idle_connections_cost_little_and_are_closed, slow_senders_are_cut_in_time,
         log_pipes_that_nobody_reads, a_log_on_a_full_disk, a_full_disk_of_the_database,
         a_full_disk_of_certificates, a_state_directory_without_space, the_wall_clock_jumps]


def main():
    with tempfile.TemporaryDirectory(prefix="mgx-") as d, contextlib.ExitStack() as stack:
        top = S["top"] = pathlib.Path(d)
        top.chmod(0o755)
        stack.enter_context(tmpfs(top / "a", "240m"))
        stack.enter_context(tmpfs(top / "bundles", "4m")).chmod(0o700)
        (top / "bundles.key").write_bytes(os.urandom(32))
        (top / "bundles.key").chmod(0o600)
        S["server"] = stack.enter_context(pgmagnum.one_server(top))
        S["proxy"] = Proxy(str(top / "proxy/.s.PGSQL.5432"), str(S["server"].socket / ".s.PGSQL.5432"))
        stack.callback(S["proxy"].stop)
        S["connection"] = f"host={top}/proxy dbname=magnum user=magnum"
        options = dict(
            api={"request_timeout_s": TIMEOUT_S, "max_connections": CONNECTIONS},
            database={"pool_size": POOL, "pool_wait_ms": 500, "statement_timeout_ms": 2000, "health_ms": 1000,
                      "connect_timeout_ms": 1000},
            certificates={"key_file": str(top / "seal.key"), "cert_manager_type": "local", "cache_s": 0},
            driver_config={"org.magnum.simulator": {"state_dir": str(top / "simulator")},
                           "org.magnum.certs-local": {"storage_path": str(top / "bundles"),
                                                      "key_file": str(top / "bundles.key")}},
            conductor={"lease_ms": 2000, "heartbeat_ms": 300, "scan_interval_ms": 200})
        with pgmagnum.magnum(top, S["connection"], S["server"].connection(),
                             **options) as (S["client"], S["template"]):
            S["slow"] = S["client"].simulator("slow", steps=50, step_ms=100)
            S["pids"] = {p: mt.children(os.getpid(), p)[0] for p in ("magnum-conductor", "magnum-api")}
            mt.main("__main__", CASES)


if __name__ == "__main__":
    main()
