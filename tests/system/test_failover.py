"""The database's primary server dies under load and its synchronous standby takes over: API and
conductor find it by themselves, nothing that was answered with 202 is lost, and what was in progress
ends. Two real PostgreSQL servers with streaming replication; both hosts in one connection string."""
import contextlib
import http.client
import json
import os
import pathlib
import pwd
import signal
import subprocess
import tempfile
import threading
import time

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

POSTGRES = pathlib.Path(mt.PSQL).parent
S = {}


class Server:
    """One PostgreSQL on a Unix socket of its own. start: once there is a data directory."""

    def __init__(self, top, name):
        self.data, self.socket, self.log = top / name / "data", top / name / "socket", top / name / "log"
        self.socket.mkdir(parents=True)
        account = pwd.getpwnam("postgres")
        for d in (top / name, self.socket):
            os.chown(d, account.pw_uid, account.pw_gid)

    def run(self, program, *args):
        r = subprocess.run(["runuser", "-u", "postgres", "--", str(POSTGRES / program), *map(str, args)],
                           capture_output=True, text=True, cwd="/", env=mt.clean_env())
        check(r.returncode == 0, f"{program} {args}: {r.stdout}{r.stderr}")
        return r.stdout

    def start(self):
        self.run("pg_ctl", "--wait", "-D", self.data, "-l", self.log, "-o",
                 f"-c listen_addresses= -k {self.socket}", "start")

    def pid(self):
        return int((self.data / "postmaster.pid").read_text().split("\n")[0])

    def kill(self):
        """As a power cut: the postmaster and whoever serves a connection."""
        pid = self.pid()
        mine = mt.children(pid)
        for p in (pid, *mine):
            with contextlib.suppress(ProcessLookupError):
                os.kill(p, signal.SIGKILL)
        wait_for("the server to be gone", lambda: not any(mt.alive(p) for p in (pid, *mine)))

    def sql(self, text, database="magnum"):
        return self.run("psql", "-h", self.socket, "-d", database, "-XAtc", text).split()

    def stop(self):
        with contextlib.suppress(mt.Failed):
            self.run("pg_ctl", "--wait", "-m", "immediate", "-D", self.data, "stop")


def make_pair(top):
    a, b = Server(top, "a"), Server(top, "b")
    a.run("initdb", "--auth=trust", "--no-sync", a.data)
    with open(a.data / "postgresql.conf", "a") as f:
        f.write("synchronous_standby_names = '*'\nsynchronous_commit = local\n")
    a.start()
    a.run("pg_basebackup", "-h", a.socket, "-D", b.data, "-R", "-X", "stream", "-c", "fast", "-C", "-S", "b")
    with open(b.data / "postgresql.conf", "a") as f:  # once it leads it has nobody to wait for
        f.write("synchronous_standby_names = ''\n")
    b.start()
    wait_for("the standby to be synchronous",
             lambda: a.sql("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'", "postgres"))
    a.sql("CREATE ROLE magnum LOGIN", "postgres")
    a.sql("CREATE DATABASE magnum OWNER magnum", "postgres")
    a.sql("ALTER SYSTEM SET synchronous_commit = on", "postgres")
    a.sql("SELECT pg_reload_conf()", "postgres")
    return a, b


@contextlib.contextmanager
def process(top, program, **options):
    config = top / f"{program}.yaml"
    config.write_text(json.dumps({
        "database": {"connection": S["connection"]}, "certificates": {"key_file": str(top / "seal.key")},
        "drivers": {"plugin_dirs": [str(mt.BUILD / "plugins")], "require_enable": False},
        "quotas": {"max_clusters_per_project": 100000},
        "driver_config": {"org.magnum.simulator": {"state_dir": str(top / "simulator")}}, **options}))
    with open(top / f"{program}.log", "wb") as log:
        p = subprocess.Popen([str(mt.BIN / program), "--config", str(config)], stdout=log, stderr=log,
                             env=mt.clean_env())
    try:
        yield p
    finally:
        p.terminate()
        status = p.wait(60 * mt.SLOW)
    check_equal(status, 0, f"exit status of {program}")


@contextlib.contextmanager
def magnum(top):
    subprocess.run([str(mt.BIN / "magnum-keygen"), "--seal-key", str(top / "seal.key")], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run([str(mt.BIN / "magnum-db-manage"), "--connection", S["connection"], "upgrade"],
                   check=True, stdout=subprocess.DEVNULL, env=mt.clean_env())
    port = top / "port"
    with process(top, "magnum-conductor"), \
            process(top, "magnum-api", api={"port": 0, "port_file": str(port)}) as api:
        def ready():
            if api.poll() is not None:
                raise RuntimeError((top / "magnum-api.log").read_text())
            return port.exists() and port.read_text().strip()
        client = mt.Client(f"http://127.0.0.1:{wait_for('magnum-api', ready)}")
        S["template"] = wait_for("the driver to be known", lambda: client.simulator("t", steps=3, step_ms=100))
        yield client


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
        wait_for("clusters to be accepted", lambda: len(load.accepted) >= 150)
        a.kill()
        died = time.monotonic()
        b.run("pg_ctl", "--wait", "-D", b.data, "promote")
        promoted = time.monotonic()
        wait_for("clusters to be accepted again", lambda: len(load.since(promoted)) >= 150, 60)
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
        S["a"], S["b"] = make_pair(top)
        stack.callback(S["a"].stop)
        stack.callback(S["b"].stop)
        S["b"].sql("SELECT 1")
        S["connection"] = (f"host={S['a'].socket},{S['b'].socket} dbname=magnum user=magnum "
                           "target_session_attrs=read-write")
        S["client"] = stack.enter_context(magnum(top))
        mt.main("__main__", [the_primary_dies_under_load, no_server_is_left])


if __name__ == "__main__":
    main()
