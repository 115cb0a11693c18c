"""PostgreSQL servers of a test's own, and Magnum's processes on them without magnum-allinone: what
tests of failover and of poolers need."""
import contextlib
import json
import os
import pathlib
import pwd
import signal
import subprocess

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

POSTGRES = pathlib.Path(mt.PSQL).parent


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
                           capture_output=True, text=True, cwd="/", env=mt.clean_env(PGCTLTIMEOUT="300"))
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

    def connection(self):
        return f"host={self.socket} dbname=magnum user=magnum"

    def sql(self, text, database="magnum"):
        return self.run("psql", "-h", self.socket, "-d", database, "-XAtc", text).split()

    def stop(self):
        with contextlib.suppress(mt.Failed):
            self.run("pg_ctl", "--wait", "-m", "immediate", "-D", self.data, "stop")


def pair(top, synchronous=True, standby=""):
    """A primary with an empty database for Magnum, and its streaming standby, both started. standby:
    more of its postgresql.conf."""
    a, b = Server(top, "a"), Server(top, "b")
    a.run("initdb", "--auth=trust", "--no-sync", a.data)
    with open(a.data / "postgresql.conf", "a") as f:
        f.write("synchronous_standby_names = '*'\nsynchronous_commit = local\n" if synchronous else "")
    a.start()
    a.run("pg_basebackup", "-h", a.socket, "-D", b.data, "-R", "-X", "stream", "-c", "fast", "-C", "-S", "b")
    with open(b.data / "postgresql.conf", "a") as f:  # once it leads it has nobody to wait for
        f.write("synchronous_standby_names = ''\n" + standby)
    b.start()
    state = "sync" if synchronous else "async"
    wait_for("the standby to follow", lambda: a.sql(
        f"SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = '{state}'", "postgres"))
    a.sql("CREATE ROLE magnum LOGIN", "postgres")
    a.sql("CREATE DATABASE magnum OWNER magnum", "postgres")
    if synchronous:
        a.sql("ALTER SYSTEM SET synchronous_commit = on", "postgres")
        a.sql("SELECT pg_reload_conf()", "postgres")
    wait_for("the standby to have the database", lambda: b.sql("SELECT 1"))
    return a, b


@contextlib.contextmanager
def one_server(top):
    """A started Server with an empty database for Magnum."""
    top.chmod(0o755)
    server = Server(top, "a")
    server.run("initdb", "--auth=trust", "--no-sync", server.data)
    server.start()
    try:
        server.sql("CREATE ROLE magnum LOGIN", "postgres")
        server.sql("CREATE DATABASE magnum OWNER magnum", "postgres")
        yield server
    finally:
        server.stop()


def configure(top, name, connection, plugins=None, **options):
    """A configuration file for the simulator and this database; options: whole sections."""
    config = top / f"{name}.yaml"
    database = {"connection": connection, **options.pop("database", {})}
    config.write_text(json.dumps({
        "database": database, "certificates": {"key_file": str(top / "seal.key")},
        "drivers": {"plugin_dirs": [str(plugins or mt.BUILD / "plugins")], "require_enable": False},
        "quotas": {"max_clusters_per_project": 100000},
        "driver_config": {"org.magnum.simulator": {"state_dir": str(top / "simulator")}}, **options}))
    return config


def make_seal_key(top):
    subprocess.run([str(mt.BIN / "magnum-keygen"), "--seal-key", str(top / "seal.key")], check=True,
                   stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def process(top, program, connection, name=None, **options):
    """program, configured for the simulator and this database. options: whole sections. name: of its
    files, when there are several."""
    config = configure(top, name or program, connection, **options)
    with open(top / f"{name or program}.log", "wb") as log:
        p = subprocess.Popen([str(mt.BIN / program), "--config", str(config)], stdout=log, stderr=log,
                             env=mt.clean_env())
    try:
        yield p
    finally:
        p.terminate()
        status = p.wait(180 * mt.SLOW)
    check_equal(status, 0, f"exit status of {program}")


@contextlib.contextmanager
def api(top, connection, name="magnum-api", **options):
    """An API on a free port: its Client."""
    port = top / f"{name}.port"
    options["api"] = {"port": 0, "port_file": str(port), **options.get("api", {})}
    with process(top, "magnum-api", connection, name, **options) as p:
        def ready():
            if p.poll() is not None:
                raise RuntimeError((top / f"{name}.log").read_text())
            return port.exists() and port.read_text().strip()
        yield mt.Client(f"http://127.0.0.1:{wait_for(name, ready)}")


@contextlib.contextmanager
def magnum(top, connection, manage=None, **options):
    """A conductor and an API: the API's Client, and a template of the simulator. manage: where
    magnum-db-manage connects to, when that is elsewhere."""
    make_seal_key(top)
    subprocess.run([str(mt.BIN / "magnum-db-manage"), "--connection", manage or connection, "upgrade"],
                   check=True, stdout=subprocess.DEVNULL, env=mt.clean_env())
    with process(top, "magnum-conductor", connection, **options), api(top, connection, **options) as client:
        yield client, wait_for("the driver to be known",
                               lambda: client.simulator("t", steps=3, step_ms=100))
