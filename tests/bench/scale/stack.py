"""What the scale run measures on: one private PostgreSQL as durable as it comes, and Magnum's
processes on it. No magnum-allinone, so that each process can be started, counted and killed alone.
"""
import contextlib
import json
import os
import pathlib
import re
import subprocess

import magnumtest as mt
import pgmagnum

TICK = os.sysconf("SC_CLK_TCK")
# Of a server with 24 GB; everything that makes a commit durable stays as initdb leaves it: on.
SETTINGS = """
shared_buffers = 1GB
effective_cache_size = 8GB
max_wal_size = 4GB
checkpoint_timeout = 15min
max_connections = 100
"""


def cpu_seconds(pid, own=False):
    """User and system time of a process and (unless own) of its children that have ended; 0 when it
    is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    fields = text.rsplit(")", 1)[1].split()
    return sum(int(fields[i]) for i in ((11, 12) if own else (11, 12, 13, 14))) / TICK


def tree(pid):
    found = [pid]
    for child in mt.children(pid):
        found += tree(child)
    return found


def tree_cpu(pid):
    return sum(cpu_seconds(p) for p in tree(pid))


def resident_mb(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) / 1024


class Process:
    """One Magnum program; killed at the end if it still runs."""

    def __init__(self, stack, program, name, **sections):
        self.stack, self.program, self.name = stack, program, name
        config = stack.top / f"{name}.yaml"
        state = str(stack.top / "simulator")
        config.write_text(json.dumps({
            "database": {"connection": stack.server.connection(), "pool_size": 16},
            "certificates": {"key_file": str(stack.top / "seal.key")},
            "drivers": {"plugin_dirs": [str(mt.BUILD / "plugins")], "require_enable": False},
            "quotas": {"max_clusters_per_project": 10000000},
            "driver_config": {"org.magnum.simulator": {"state_dir": state}}, **sections}))
        self.log = open(stack.top / f"{name}.log", "ab")
        self.process = subprocess.Popen([str(mt.BIN / program), "--config", str(config)],
                                        stdout=self.log, stderr=self.log, env=mt.clean_env())
        self.pid = self.process.pid

    def text(self):
        return (self.stack.top / f"{self.name}.log").read_text(errors="replace")[-2000:]

    def end(self, signal_kill=False):
        if self.process.poll() is None:
            self.process.kill() if signal_kill else self.process.terminate()
        self.process.wait(60)
        self.log.close()


class Stack:
    def __init__(self, top):
        self.top, self.running = top, []
        self.port = top / "port"
        top.chmod(0o711)
        self.server = pgmagnum.Server(top, "pg")

    def open(self):
        s = self.server
        s.run("initdb", "--auth=trust", "--no-sync", s.data)
        with open(s.data / "postgresql.conf", "a") as f:
            f.write(SETTINGS)
        s.start()
        s.sql("CREATE ROLE magnum LOGIN", "postgres")
        s.sql("CREATE DATABASE magnum OWNER magnum", "postgres")
        env = mt.clean_env()
        subprocess.run([str(mt.BIN / "magnum-keygen"), "--seal-key", str(self.top / "seal.key")],
                       check=True, stdout=subprocess.DEVNULL)
        subprocess.run([str(mt.BIN / "magnum-db-manage"), "--connection", s.connection(), "upgrade"],
                       check=True, stdout=subprocess.DEVNULL, env=env)

    def start(self, program, name, **sections):
        p = Process(self, program, name, **sections)
        self.running.append(p)
        return p

    def api(self, name="api", **sections):
        self.port.unlink(missing_ok=True)
        p = self.start("magnum-api", name, api={"port": 0, "port_file": str(self.port)}, **sections)

        def ready():
            if p.process.poll() is not None:
                raise RuntimeError(p.text())
            return self.port.exists() and self.port.read_text().strip()
        self.api_pid = p.pid
        self.url = f"http://127.0.0.1:{mt.wait_for('magnum-api', ready)}"
        self.client = mt.Client(self.url)
        return p

    def conductor(self, name, **sections):
        sections["conductor"] = {"host": name, **sections.get("conductor", {})}
        p = self.start("magnum-conductor", name, **sections)

        def ready():
            if p.process.poll() is not None:
                raise RuntimeError(p.text())
            return self.number("SELECT count(*) FROM magnum_service WHERE host = "
                               f"'{name}' AND last_seen_up > now() - interval '5 s'")
        mt.wait_for(name, ready, every=0.05)
        return p

    def sql(self, text):
        """Rows as lists of text, by psql on the private socket."""
        out = subprocess.run(
            [mt.PSQL, "-h", str(self.server.socket), "-U", "magnum", "-d", "magnum", "-XAtq",
             "-F", "\t", "-v", "ON_ERROR_STOP=1", "-f", "-"], input=text, check=False,
            capture_output=True, text=True, env=mt.clean_env())
        mt.check(out.returncode == 0, f"psql: {out.stderr[-2000:]}")
        return [line.split("\t") for line in out.stdout.splitlines()]

    def number(self, query):
        rows = self.sql(query)
        return int(rows[0][0] or 0)

    def commits(self):
        self.sql("SELECT pg_stat_force_next_flush()")
        return self.number("SELECT xact_commit FROM pg_stat_database"
                           " WHERE datname = current_database()")

    def api_cpu(self):
        return cpu_seconds(self.api_pid)

    def server_cpu(self):
        """Of PostgreSQL; sessions that have ended are in the postmaster's count of children."""
        return tree_cpu(self.server.pid())

    def close(self):
        for p in reversed(self.running):
            with contextlib.suppress(Exception):
                p.end(signal_kill=True)
        self.server.stop()
