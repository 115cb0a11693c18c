#!/usr/bin/python3
"""mesos-master, mesos-agent and marathon for tests of the boot scripts: each reads its options from
where Mesos' packages have them, keeps itself in a real ZooKeeper, and answers what the scripts ask
about its health. Called by one of these names. A master says it is well once it has a session with
the ensemble and the quorum it was told fits it."""
import http.server
import json
import os
import pathlib
import sys

from kazoo.client import KazooClient

KIND = pathlib.Path(sys.argv[0]).name


def option(name):
    kind = "mesos-master" if KIND == "mesos-master" else "mesos-slave"
    return pathlib.Path(f"/etc/{kind}/{name}").read_text().strip()


def environment():
    lines = pathlib.Path("/etc/default/marathon").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def settings():
    """Address, port, ZooKeeper's URL, path of health, and what it writes about itself."""
    zk = pathlib.Path("/etc/mesos/zk").read_text().strip()
    if KIND == "marathon":
        env = environment()
        return (env["MARATHON_HOSTNAME"], int(env["MARATHON_HTTP_PORT"]), env["MARATHON_ZK"], "/ping",
                {"master": env["MARATHON_MASTER"]})
    if KIND == "mesos-agent":
        return option("ip"), 5051, zk, "/health", {"work_dir": option("work_dir")}
    return option("ip"), 5050, zk, "/health", {"quorum": int(option("quorum"))}


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        well = self.path == self.server.health and self.server.zk.connected
        self.send_response(200 if well else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()


def main():
    address, port, url, health, says = settings()
    hosts, _, path = url.removeprefix("zk://").partition("/")
    zk = KazooClient(hosts=hosts, timeout=10)
    zk.start(timeout=60)
    where = f"/{path}/{KIND}"
    zk.ensure_path(where)
    zk.create(f"{where}/{address}-", json.dumps(dict(says, address=address)).encode(), ephemeral=True,
              sequence=True)
    server = http.server.ThreadingHTTPServer((address, port), Handler)
    server.zk, server.health = zk, health
    print(KIND, os.getpid(), "serves", address, port, flush=True)
    server.serve_forever()


main()
