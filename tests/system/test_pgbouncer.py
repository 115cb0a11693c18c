"""pgbouncer in transaction mode between Magnum and PostgreSQL, with fewer connections to the server
than Magnum has to it: everything works, and it is told to what the option is for."""
import contextlib
import os
import pathlib
import pwd
import signal
import socket
import subprocess
import tempfile
import threading

import magnumtest as mt
import pgmagnum
from magnumtest import check, check_equal, wait_for

S = {}
SERVER_CONNECTIONS = 3


@contextlib.contextmanager
def pgbouncer(top, server, port):
    config, users = top / "pgbouncer.ini", top / "users"
    users.write_text('"magnum" ""\n')
    config.write_text(f"""[databases]
magnum = host={server.socket} dbname=magnum
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {SERVER_CONNECTIONS}
server_reset_query_always = 1
server_reset_query = DISCARD ALL
""")
    account = pwd.getpwnam("postgres")
    for f in (config, users):
        os.chown(f, account.pw_uid, account.pw_gid)
    with open(top / "pgbouncer.log", "wb") as log:
        p = subprocess.Popen(["runuser", "-u", "postgres", "--", "pgbouncer", str(config)], stdout=log,
                             stderr=log, env=mt.clean_env())

    def listens():
        socket.create_connection(("127.0.0.1", port), 60).close()
        return True
    try:
        wait_for("pgbouncer to listen", listens)
        yield f"host=127.0.0.1 port={port} dbname=magnum user=magnum"
    finally:
        for pid in mt.children(p.pid, "pgbouncer"):
            os.kill(pid, signal.SIGKILL)  # it would wait for its clients
        p.wait()


def a_killed_pooler_loses_nothing():
    """Requests get 503 while it is away; what was accepted before and after is made, once."""
    client, seen, ended = S["client"], [], threading.Event()

    def load():
        while not ended.is_set():
            seen.append(client("POST", "/v1/clusters",
                               dict(name=f"k{len(seen)}", cluster_template_id=S["template"])))
    t = threading.Thread(target=load)
    t.start()
    try:
        wait_for("some to be accepted", lambda: sum(a.status == 202 for a in list(seen)) > 20)
        S["pooler"].close()  # its clients are cut off
        wait_for("a refusal", lambda: any(a.status == 503 for a in list(seen)))
        before = len(seen)
        S["pooler"].enter_context(pgbouncer(S["top"], S["server"], S["port"]))
        wait_for("some to be accepted again", lambda: sum(a.status == 202 for a in seen[before:]) > 20)
    finally:
        ended.set()
        t.join()
    check({a.status for a in seen} <= {202, 503}, f"{ {a.status for a in seen} }")
    uuids = [a.json()["uuid"] for a in seen if a.status == 202]
    rows = S["server"].sql("SELECT uuid FROM cluster")
    check_equal([u for u in uuids if rows.count(u) != 1], [], "accepted, but not there once")
    for u in uuids:
        client.wait_status(u, "CREATE_COMPLETE", 60)


def clusters_live_through_it():
    client = S["client"]
    uuids, errors = [], []

    def some(n):
        try:
            mine = [client.create(f"c{n}-{i}", S["template"]) for i in range(10)]
            for u in mine:
                client.wait_status(u, "CREATE_COMPLETE", 120)
            uuids.extend(mine)
        except Exception as e:  # seen by the thread that waits
            errors.append(e)
    threads = [threading.Thread(target=some, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check_equal(errors, [], "errors")
    for u in uuids[:10]:
        client.resize(u, 3)
    for u in uuids[:10]:
        client.wait_status(u, "UPDATE_COMPLETE", 60)
    for u in uuids:
        client.delete(u)
    wait_for("all clusters to be gone", lambda: not client.clusters(), 120)
    used = int(S["server"].sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'magnum'")[0])
    check(0 < used <= SERVER_CONNECTIONS, f"{used} connections to the server")


def the_option_is_needed():
    """Without it prepared statements are looked for in a session that is another one's now."""
    with open(S["top"] / "without.log", "wb") as log:
        r = subprocess.run([str(mt.BIN / "magnum-api"), "--set", f"database.connection={S['connection']}",
                            "--set", "api.port=0"], stdout=log, stderr=log, timeout=60, check=False,
                           env=mt.clean_env())
    text = (S["top"] / "without.log").read_text()
    check(r.returncode == 1 and "transaction_pooling" in text, f"status {r.returncode}: {text}")


def main():
    with tempfile.TemporaryDirectory(prefix="mgb-") as d, contextlib.ExitStack() as stack:
        top = S["top"] = pathlib.Path(d)
        server = S["server"] = stack.enter_context(pgmagnum.one_server(top))
        S["port"], S["pooler"] = mt.free_port(), stack.enter_context(contextlib.ExitStack())
        S["connection"] = S["pooler"].enter_context(pgbouncer(top, server, S["port"]))
        S["client"], S["template"] = stack.enter_context(
            pgmagnum.magnum(top, S["connection"], server.connection(), database={"transaction_pooling": True}))
        mt.main("__main__", [clusters_live_through_it, the_option_is_needed, a_killed_pooler_loses_nothing])


if __name__ == "__main__":
    main()
