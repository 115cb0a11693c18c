"""Debian's patroni with three etcd members over two PostgreSQL servers, in synchronous mode: the
leader's patroni and its server are killed under load, and with them one of etcd's members, as when a
host dies that carries all three. Patroni promotes the other server, and comes back itself as its
standby; then the same the other way round. Nothing that was answered with 202 is lost. The first time
it is etcd's own leader that dies, the second time another member.

Patroni gives a leader that is silent up to its ttl (20 s, the least it takes), so this takes a minute or
two and is no part of CI: tests/run patroni."""
import contextlib
import json
import os
import pathlib
import pwd
import signal
import subprocess
import tempfile
import time

import magnumtest as mt
import pgmagnum
from magnumtest import check_equal, wait_for
from test_failover import Load

S = {}
TTL_S = 20


def descendants(pid):
    found = mt.children(pid)
    return found + [d for p in found for d in descendants(p)]


class Node:
    """One patroni with its server."""

    def __init__(self, top, name, etcd):
        self.name, self.top = name, top / name
        self.port, self.rest = mt.free_port(), mt.free_port()
        self.top.mkdir()
        account = pwd.getpwnam("postgres")
        os.chown(self.top, account.pw_uid, account.pw_gid)
        self.config, self.process, self.own = self.top / "patroni.yml", None, []
        here = f"127.0.0.1:{self.port}"
        everybody = {"superuser": {"username": "postgres", "password": "p"},
                     "replication": {"username": "replicator", "password": "r"}}
        self.config.write_text(json.dumps({
            "scope": "magnum", "name": name, "etcd3": {"hosts": etcd.clients()},
            "restapi": {"listen": f"127.0.0.1:{self.rest}", "connect_address": f"127.0.0.1:{self.rest}"},
            "bootstrap": {"dcs": {"ttl": TTL_S, "loop_wait": 1, "retry_timeout": 3, "synchronous_mode": True,
                                  "synchronous_mode_strict": False,
                                  "postgresql": {"use_pg_rewind": True, "parameters": {"wal_log_hints": "on"}}},
                          "initdb": [{"encoding": "UTF8"}, "no-sync", "data-checksums"],
                          "pg_hba": ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust",
                                     "local all all trust"]},
            "postgresql": {"listen": here, "connect_address": here, "data_dir": str(self.top / "data"),
                           "bin_dir": str(pgmagnum.POSTGRES), "authentication": everybody,
                           "pgpass": str(self.top / "pgpass"), "remove_data_directory_on_diverged_timelines": True,
                           "parameters": {"unix_socket_directories": str(self.top)}}}))

    def start(self):
        with open(self.top / "patroni.log", "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "/usr/bin/patroni",
                 str(self.config)], stdout=log, stderr=log, cwd="/", env=mt.clean_env(HOME=str(self.top)))

    def kill(self):
        """Patroni, the postmaster and whoever serves a connection, as a power cut."""
        self.own = [self.process.pid, *descendants(self.process.pid), *self.postgres()]
        for p in self.own:
            with contextlib.suppress(ProcessLookupError):
                os.kill(p, signal.SIGKILL)
        self.process.wait()
        wait_for(f"{self.name} to be gone", lambda: not any(mt.alive(p) for p in self.own))

    def postgres(self):
        """The server; it is no child of patroni once that was started anew."""
        record = self.top / "data/postmaster.pid"
        if not record.exists():
            return []
        pid = int(record.read_text().split("\n")[0])
        return [pid, *descendants(pid)] if mt.program_of(pid) == "postgres" else []

    def cluster(self):
        """{name: (role, state)} as this node sees it."""
        a = mt.request(f"http://127.0.0.1:{self.rest}", "GET", "/cluster", timeout=3)
        return {m["name"]: (m["role"], m["state"]) for m in a.json()["members"]}

    def sql(self, text, database="magnum"):
        r = subprocess.run([mt.PSQL, "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database,
                            "-XAtc", text], capture_output=True, text=True, check=False, env=mt.clean_env())
        mt.check(r.returncode == 0, f"{text}: {r.stderr}")
        return r.stdout.split()


class Member:
    """One of etcd's."""

    def __init__(self, top, name):
        self.name, self.top, self.process = name, top, None
        self.client, self.peer = (f"127.0.0.1:{mt.free_port()}" for _ in range(2))

    def start(self, members):
        all_of_them = ",".join(f"{m.name}=http://{m.peer}" for m in members)
        with open(self.top / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(
                ["etcd", "--data-dir", str(self.top / self.name), "--name", self.name,
                 "--listen-client-urls", f"http://{self.client}",
                 "--advertise-client-urls", f"http://{self.client}",
                 "--listen-peer-urls", f"http://{self.peer}",
                 "--initial-advertise-peer-urls", f"http://{self.peer}",
                 "--initial-cluster", all_of_them], stdout=log, stderr=log, env=mt.clean_env())

    def well(self):
        return mt.request(f"http://{self.client}", "GET", "/health", timeout=3).json()["health"] == "true"

    def leads(self):
        said = mt.request(f"http://{self.client}", "POST", "/v3/maintenance/status", {}, timeout=3).json()
        return said["leader"] == said["header"]["member_id"]

    def kill(self):
        self.process.kill()
        self.process.wait()


class Etcd:
    """Three members: any two of them go on."""

    def __init__(self, top):
        self.members = [Member(top, f"etcd{i}") for i in range(3)]

    def clients(self):
        return [m.client for m in self.members]

    def member(self, leading):
        """The one that leads, or one that does not."""
        return next(m for m in self.members if m.leads() == leading)

    def start(self):
        """Whoever does not run; one that died goes on from what it has on its disk."""
        for m in self.members:
            if m.process is None or m.process.poll() is not None:
                m.start(self.members)
        wait_for("every member of etcd", lambda: all(m.well() for m in self.members), 60)

    def stop(self):
        for m in self.members:
            if m.process:
                m.kill()


def in_step(leader, standby):
    seen = leader.cluster()
    return seen.get(leader.name, ("", ""))[0] == "leader" and seen.get(standby.name, ("", ""))[0] == "sync_standby"


def dies(leader, standby, etcd_leader):
    wait_for("the standby to be synchronous", lambda: in_step(leader, standby), 120)
    client = S["client"]
    load = Load(client, S["template"])
    load.start()
    try:
        wait_for("clusters to be accepted", lambda: len(load.accepted) >= 100, 60)
        member = S["etcd"].member(etcd_leader)
        leader.kill()
        member.kill()
        died = time.monotonic()
        wait_for("patroni to promote the standby",
                 lambda: standby.cluster().get(standby.name, ("", ""))[0] == "leader", 3 * TTL_S)
        promoted = time.monotonic()
        wait_for("clusters to be accepted again", lambda: len(load.since(promoted)) >= 100, 60)
    finally:
        load.ended.set()
        load.join()
    check_equal(load.odd, [], "answers that are neither 202 nor 503")
    before = [u for t, u in load.accepted if t <= died]
    after = [u for t, u in load.accepted if t > died]
    there = set(standby.sql("SELECT uuid FROM cluster"))
    check_equal([u for u in before + after if u not in there], [], "accepted, but not there any more")
    again = min(t for t, _ in load.accepted if t > died)
    print(f"     {len(before)} accepted before, {len(after)} after, {load.refused} refused; promoted "
          f"{promoted - died:.1f} s after the death, accepting {again - died:.1f} s after it; with the server "
          f"died {member.name}, etcd's {'leader' if etcd_leader else 'follower'}", flush=True)
    for uuid in before + after:
        client.wait_status(uuid, "CREATE_COMPLETE", 180)


def the_leader_dies():
    dies(S["a"], S["b"], etcd_leader=True)


def and_the_other_one():
    S["etcd"].start()
    S["a"].start()
    dies(S["b"], S["a"], etcd_leader=False)


def main():
    with tempfile.TemporaryDirectory(prefix="mgp-") as d, contextlib.ExitStack() as stack:
        top = pathlib.Path(d)
        top.chmod(0o755)
        S["etcd"] = Etcd(top)
        stack.callback(S["etcd"].stop)
        S["etcd"].start()
        a, b = S["a"], S["b"] = Node(top, "a", S["etcd"]), Node(top, "b", S["etcd"])
        for node, ready in ((a, lambda: a.cluster().get("a") == ("leader", "running")), (b, lambda: in_step(a, b))):
            node.start()
            stack.callback(node.kill)
            wait_for(f"{node.name} to be ready", ready, 120)
        a.sql("CREATE ROLE magnum LOGIN", "postgres")
        a.sql("CREATE DATABASE magnum OWNER magnum", "postgres")
        connection = (f"host=127.0.0.1,127.0.0.1 port={a.port},{b.port} dbname=magnum user=magnum "
                      "target_session_attrs=read-write connect_timeout=2")
        S["client"], S["template"] = stack.enter_context(pgmagnum.magnum(top, connection))
        mt.main("__main__", [the_leader_dies, and_the_other_one])


if __name__ == "__main__":
    main()
