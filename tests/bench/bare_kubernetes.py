#!/usr/bin/env python3
"""The limit for creating a Kubernetes cluster: the same daemons with the same flags, certificates
and configuration, started by hand, all at once, with nothing of ours around them. A cluster that
was just made lends its files (keep), its nodes are removed, and measure() puts the files back where
they name each other and gives the seconds from nothing to two ready nodes on which pods can be
made. Needs root."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

NODE = """
mount --make-rprivate / && mount -t proc proc /proc &&
if [ -e "$0/kubelet.json" ]; then
  mkdir -p "$0/kubelet" "$0/cni-state" "$0/varlog" /var/lib/kubelet /var/lib/cni &&
  mount --bind "$0/kubelet" /var/lib/kubelet && mount --bind "$0/cni-state" /var/lib/cni &&
  mount --bind "$0/varlog" /var/log && mount --bind "$0/overcommit_memory" /proc/sys/vm/overcommit_memory &&
  mount --bind "$0/panic" /proc/sys/kernel/panic &&
  mount --bind "$0/panic_on_oops" /proc/sys/kernel/panic_on_oops
fi &&
mount -t tmpfs tmpfs /run && mkdir /run/cg && mount --rbind /sys/fs/cgroup /run/cg &&
mount -t sysfs sysfs /sys && mount --move /run/cg /sys/fs/cgroup &&
hostname "$1" && echo 1 >/proc/sys/net/ipv4/ip_forward && echo 1 >/proc/sys/net/ipv4/conf/eth0/proxy_arp &&
echo 0 >/proc/sys/net/ipv4/neigh/eth0/proxy_delay && mount --make-rshared / || exit 1
export AWS_EC2_METADATA_DISABLED=true
. "$0/start.sh"
wait
"""
API = "https://10.77.0.{}:6443"


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the bare daemons did not come up")
        time.sleep(0.05)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Bare:
    """Files of one cluster: kept while it lives, used after it was deleted."""

    def __init__(self, cluster_dir, uuid, kubectl):
        self.dir, self.uuid, self.kubectl = pathlib.Path(cluster_dir), uuid, kubectl
        self.kept = pathlib.Path(tempfile.mkdtemp(prefix="bare-"))
        self.nodes = []
        for part in ("pki", *(p.name for p in sorted(self.dir.glob("n[0-9]*")))):
            shutil.copytree(self.dir / part, self.kept / part, symlinks=True,
                            ignore=shutil.ignore_patterns(
                                "etcd", "containerd", "kubelet", "cni-state", "cni-ipam", "varlog",
                                "opt", "*.log", "log", "node.json", "daemons.json"))
        self.index = sorted(int(p.name[1:]) for p in self.kept.glob("n[0-9]*"))
        self.names = {i: f"bare{os.getpid()}-{i}" for i in (0, *self.index)}  # 0 is the fabric

    def scripts(self):
        """start.sh of each node: what its list of daemons says, one after the other where one has
        to wait for the other's socket, in the shell's way."""
        master = API.format(10 + self.index[0])
        for i in self.index:
            base = self.dir / f"n{i}"
            lines = []
            for part in json.loads((base / "group.json").read_text())["parts"]:
                if "argv" not in part:
                    continue
                words = " ".join("'" + w.replace("'", "'\\''") + "'" for w in part["argv"])
                if part.get("once"):
                    lines.append(f"{words} >>'{base}/{part['name']}.log' 2>&1 || exit 1")
                    continue
                lines.append(f"{words} >>'{base}/{part['name']}.log' 2>&1 &")
                if "wait_unix" in part:
                    lines.append(f"until [ -S '{part['wait_unix']}' ]; do sleep 0.02; done")
                if "wait_tcp" in part:
                    host, port = part["wait_tcp"].split(":")
                    lines.append(f"until (: </dev/tcp/{host}/{port}) 2>/dev/null; do sleep 0.02; done")
            (base / "start.sh").write_text("\n".join(lines) + "\n")
            if i != self.index[0]:  # nothing forwards the API into a worker here
                for config in base.glob("*.kubeconfig"):
                    config.write_text(config.read_text().replace("https://127.0.0.1:6443", master))

    def up(self):
        shutil.copytree(self.kept, self.dir, symlinks=True)
        self.scripts()
        fabric = self.names[0]
        ip("netns", "add", fabric)
        ip("-n", fabric, "link", "set", "lo", "up")
        ip("-n", fabric, "link", "add", "br0", "type", "bridge")
        ip("-n", fabric, "link", "set", "br0", "up")
        for i in self.index:
            self.node(i)
        config = self.dir / f"n{self.index[0]}" / "admin.kubeconfig"
        text = (self.dir / f"n{self.index[0]}" / "controllers.kubeconfig").read_text()
        config.write_text(text.replace("controllers.pem", "kubelet-client.pem"))

        def asked(*words):
            r = subprocess.run(["nsenter", f"--net=/run/netns/{self.names[self.index[0]]}",
                                self.kubectl, "--kubeconfig", str(config), "--request-timeout=5s",
                                *words], capture_output=True, text=True,
                               env=dict(os.environ, HOME=str(self.kept)), check=False)
            return r.stdout if r.returncode == 0 else ""
        until(lambda: asked("get", "nodes", "-o", "jsonpath={range .items[*]}{.status.conditions["
                            "?(@.type=='Ready')].status}{' '}{end}").split().count("True") ==
              len(self.index) - 1)
        until(lambda: "token" in asked("get", "sa", "default", "-o", "jsonpath={.secrets}"))

    def node(self, i):
        base, ns = self.dir / f"n{i}", self.names[i]
        for top in pathlib.Path("/sys/fs/cgroup").glob("*"):
            if (top / "cgroup.procs").exists() or (top / "tasks").exists():
                cgroup = top / "magnum" / self.uuid / f"n{i}"
                cgroup.mkdir(parents=True, exist_ok=True)
                if top.name == "cpuset":
                    for d in (top / "magnum", top / "magnum" / self.uuid, cgroup):
                        for f in ("cpuset.cpus", "cpuset.mems"):
                            (d / f).write_text((top / f).read_text())
        ip("netns", "add", ns)
        ip("-n", ns, "link", "set", "lo", "up")
        ip("-n", ns, "link", "add", "eth0", "type", "veth", "peer", "name", f"v{i}", "netns",
           self.names[0])
        ip("-n", self.names[0], "link", "set", f"v{i}", "master", "br0", "up")
        ip("-n", ns, "addr", "add", f"10.77.0.{10 + i}/24", "dev", "eth0")
        ip("-n", ns, "link", "set", "eth0", "up")
        with open(base / "log", "wb") as log:
            self.nodes.append(subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{ns}", "--", "unshare", "--mount", "--uts", "--ipc",
                 "--pid", "--fork", "--kill-child", "bash", "-c", NODE, str(base), ns],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def down(self):
        for n in self.nodes:
            n.kill()  # --kill-child ends the node with it
            n.wait()
        self.nodes = []
        for ns in self.names.values():
            subprocess.run(["ip", "netns", "del", ns], check=False, stderr=subprocess.DEVNULL)
        for top in pathlib.Path("/sys/fs/cgroup").glob("*"):
            mine = top / "magnum" / self.uuid
            for d, _, _ in os.walk(mine, topdown=False):
                until(lambda d=d: remove_group(d), 20)
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
            if line.split()[4].startswith(str(self.dir)):
                subprocess.run(["umount", "-l", line.split()[4]], check=False)
        until(lambda: shutil.rmtree(self.dir, ignore_errors=True) is None and not self.dir.exists(),
              10)

    def measure(self):
        try:
            begin = time.monotonic()
            self.up()
            return time.monotonic() - begin
        finally:
            self.down()

    def close(self):
        shutil.rmtree(self.kept, ignore_errors=True)


def remove_group(path):
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
