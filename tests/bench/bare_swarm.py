#!/usr/bin/env python3
"""The limit for creating a Swarm: the same three daemons started by hand, all at once, with nothing
of ours around them. measure() gives the seconds from nothing to three ready nodes and removes all
of it. Needs root and docker.io."""
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

NODE = """
mount --make-rprivate / && mount -t proc proc /proc && mount -t tmpfs tmpfs /run &&
mkdir -p "$0/var" "$0/etc" && mount --bind "$0/var" /var/lib/docker &&
mount --bind "$0/etc" /etc/docker && hostname "$1" &&
exec dockerd --data-root "$0/data" --exec-root "$0/exec" --pidfile "$0/pid" \
  -H "unix://$0/sock" --group root --bip 10.80.0.1/24 \
  --default-address-pool base=10.90.0.0/16,size=24
"""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


def docker(base, method, path, body=None):
    c = UnixConnection(str(base / "sock"))
    try:
        c.request(method, path, json.dumps(body) if body is not None else None,
                  {"Content-Type": "application/json"})
        r = c.getresponse()
        data = r.read()
        if r.status >= 300:
            raise OSError(f"{method} {path}: {r.status} {data[:200]}")
        return json.loads(data) if data and data != b"OK" else None
    finally:
        c.close()


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if condition():
                return
        if time.monotonic() > end:
            raise TimeoutError("the bare daemons did not come up")
        time.sleep(0.01)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Bare:
    def __init__(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="bare-"))
        self.names = [f"bare{os.getpid()}-{i}" for i in range(4)]  # 0 is the fabric
        self.nodes = []

    def node(self, i):
        base = self.top / str(i)
        base.mkdir()
        ns = self.names[i]
        ip("netns", "add", ns)
        ip("-n", ns, "link", "set", "lo", "up")
        ip("-n", ns, "link", "add", "eth0", "type", "veth", "peer", "name", f"v{i}", "netns",
           self.names[0])
        ip("-n", self.names[0], "link", "set", f"v{i}", "master", "br0", "up")
        ip("-n", ns, "addr", "add", f"10.77.0.{i}/24", "dev", "eth0")
        ip("-n", ns, "link", "set", "eth0", "up")
        with open(base / "log", "wb") as log:
            self.nodes.append(subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{ns}", "--", "unshare", "--mount", "--uts", "--ipc",
                 "--pid", "--fork", "--kill-child", "sh", "-c", NODE, str(base), ns],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        return base

    def up(self):
        fabric = self.names[0]
        ip("netns", "add", fabric)
        ip("-n", fabric, "link", "set", "lo", "up")
        ip("-n", fabric, "link", "add", "br0", "type", "bridge")
        ip("-n", fabric, "link", "set", "br0", "up")
        bases = [self.node(i) for i in (1, 2, 3)]

        def address(i):
            return dict(ListenAddr=f"10.77.0.{i}:2377", AdvertiseAddr=f"10.77.0.{i}:2377",
                        DataPathAddr=f"10.77.0.{i}")
        until(lambda: docker(bases[0], "GET", "/_ping") is None)
        docker(bases[0], "POST", "/v1.41/swarm/init",
               dict(address(1), DefaultAddrPool=["10.100.0.0/16"], SubnetSize=24))
        token = docker(bases[0], "GET", "/v1.41/swarm")["JoinTokens"]["Worker"]

        def join(i):
            until(lambda: docker(bases[i - 1], "GET", "/_ping") is None)
            docker(bases[i - 1], "POST", "/v1.41/swarm/join",
                   dict(address(i), RemoteAddrs=["10.77.0.1:2377"], JoinToken=token))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(join, (2, 3)))
        until(lambda: sum(n["Status"]["State"] == "ready"
                          for n in docker(bases[0], "GET", "/v1.41/nodes")) == 3)

    def down(self):
        for n in self.nodes:
            n.kill()  # --kill-child ends the node with it
            n.wait()
        for ns in self.names:
            subprocess.run(["ip", "netns", "del", ns], check=False, stderr=subprocess.DEVNULL)
        until(lambda: shutil.rmtree(self.top) is None or not self.top.exists(), 10)


def measure():
    os.makedirs("/var/lib/docker", exist_ok=True)
    os.makedirs("/etc/docker", exist_ok=True)
    bare = Bare()
    try:
        begin = time.monotonic()
        bare.up()
        return time.monotonic() - begin
    finally:
        bare.down()


if __name__ == "__main__":
    print(f"{measure():.2f} s")
