"""What tests of local Kubernetes clusters share: the binaries, kubectl, nodes and pods as Kubernetes
sees them, health, and that nothing is left. SPECIFIC is what one case hands to the next: stack,
cluster id, kubeconfig."""
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

DRIVER = "org.magnum.kubernetes"
SPECIFIC = {}
QUICK = "--default-not-ready-toleration-seconds=5 --default-unreachable-toleration-seconds=5"


def binaries():
    r = subprocess.run([str(mt.SOURCE / "tools/kubernetes-binaries")], stdout=subprocess.PIPE,
                       text=True, timeout=1800)
    check_equal(r.returncode, 0, "exit status of tools/kubernetes-binaries")
    return r.stdout.strip()


def newer(directory, old, new, top):
    """The same binaries under another version number of the same length: what an upgrade needs to
    be seen, for there is only one version to be had."""
    out = pathlib.Path(top) / new
    out.mkdir()
    data = (pathlib.Path(directory) / "kube-apiserver").resolve().read_bytes()
    (out / "kube-all").write_bytes(data.replace(f"v{old}".encode(), f"v{new}".encode()))
    (out / "kube-all").chmod(0o755)
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet",
                 "kube-proxy", "kubectl"):
        (out / name).symlink_to("kube-all")
    return str(out)


def kubectl(*args, want=0, config=None, text=None, timeout=180):
    env = dict(PATH=os.environ["PATH"], HOME=SPECIFIC["home"],
               KUBECONFIG=str(config or SPECIFIC["config"]))
    r = subprocess.run([SPECIFIC["binaries"] + "/kubectl", *args], capture_output=True, text=True,
                       env=env, input=text, timeout=timeout * mt.SLOW)
    check(want is None or r.returncode == want,
          f"kubectl {' '.join(args)}: exit {r.returncode}\n{r.stdout}{r.stderr}")
    return r.stdout


def get(*args, **kw):
    return json.loads(kubectl("get", *args, "-o", "json", **kw))


def nodes(**kw):
    """{name: (Ready, unschedulable, node)} as Kubernetes sees it."""
    found = {}
    for n in get("nodes", **kw)["items"]:
        ready = [c["status"] for c in n["status"]["conditions"] if c["type"] == "Ready"]
        found[n["metadata"]["name"]] = (ready[0], n["spec"].get("unschedulable", False), n)
    return found


def ready_nodes(count, **kw):
    found = nodes(**kw)
    check_equal(len(found), count, "nodes")
    check(all(v[0] == "True" and not v[1] for v in found.values()),
          f"all nodes ready: { {k: v[:2] for k, v in found.items()} }")
    return found


def show(column, name="k1"):
    return json.loads(SPECIFIC["stack"].cli("cluster", "show", name, "-f", "json"))[column]


def save_config(name, where):
    a = SPECIFIC["stack"]
    directory = a.state / where
    out = a.cli("cluster", "config", name, "--dir", str(directory))
    path = re.search(r"^export KUBECONFIG='?([^'\n]+)", out, re.M).group(1)
    check_equal(os.stat(path).st_mode & 0o077, 0, "others' rights on the file with the key")
    return path


def image(name, files):
    """A docker-archive with one layer, as bytes: what `docker save` writes."""
    def pack(entries):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for path, data, mode in entries:
                info = tarfile.TarInfo(path)
                info.size, info.mode = len(data), mode
                tar.addfile(info, io.BytesIO(data))
        return buffer.getvalue()
    layer = pack(files)
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers",
                   "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name],
                            "Layers": ["layer.tar"]}]).encode()
    return pack([("manifest.json", manifest, 0o644), ("config.json", config, 0o644),
                 ("layer.tar", layer, 0o644)])


def provide_image():
    """There is no registry: nodes import what lies in the driver's image directory."""
    top = SPECIFIC["stack"].state / "kubernetes" / "images"
    top.mkdir(parents=True, exist_ok=True)
    busybox = pathlib.Path("/bin/busybox").read_bytes()
    (top / "test.tar").write_bytes(image("localhost/test:1", [
        ("bin/busybox", busybox, 0o755), ("www/index.html", b"hello from a pod\n", 0o644)]))


RC = """
apiVersion: v1
kind: ReplicationController
metadata: {name: web}
spec:
  replicas: 4
  selector: {app: web}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: localhost/test:1
        imagePullPolicy: Never
        command: [/bin/busybox, httpd, -f, -v, -p, "8080", -h, /www]
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""


def running(count):
    """Waits until so many pods of the controller are ready, and returns {pod: node}. Asks the pods
    themselves: right after a node was emptied the controller's own count is still the old one."""
    found = {}

    def there():
        found.clear()
        pods = [p for p in get("pods", "-l", "app=web")["items"]
                if "deletionTimestamp" not in p["metadata"]]
        for p in pods:
            if any(c["type"] == "Ready" and c["status"] == "True"
                   for c in p["status"].get("conditions", [])):
                found[p["metadata"]["name"]] = p["spec"]["nodeName"]
        return len(found) == len(pods) == count
    wait_for(f"{count} pods to be ready", there, 240, 0.3)
    return dict(found)


def fetch(pod, address):
    return kubectl("exec", pod, "--", "/bin/busybox", "sh", "-c",
                   f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | /bin/busybox nc {address}")


def health(status, reason, timeout=240, name="k1"):
    def there():
        c = SPECIFIC["stack"].client.show(name)
        SPECIFIC["health"] = (c["health_status"], c["health_status_reason"])
        return c["health_status"] == status and reason in json.dumps(c["health_status_reason"])
    try:
        wait_for(f"health {status} with {reason}", there, timeout, 0.2)
    except mt.Failed as e:
        raise mt.Failed(f"{e}; it is {SPECIFIC['health']}") from None


def inside(node_dir, part):
    """Pid, as this machine sees it, of a daemon of a node: by its namespace and its program."""
    top = json.loads((node_dir / "node.json").read_text())["pid"]
    space = os.readlink(f"/proc/{top}/ns/pid")
    for pid in mt.pids():
        try:
            if os.readlink(f"/proc/{pid}/ns/pid") == space:
                line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if pathlib.Path(line[0].decode()).name == part:
                    return pid
        except OSError:
            continue
    raise mt.Failed(f"no {part} in {node_dir}")


def gone_for_good(uuid):
    a = SPECIFIC["stack"]
    check_equal(mt.left_behind([uuid]), [], "left behind")
    check_equal(mt.rows_left(a, uuid), {}, "rows left")
    check_equal(mt.cluster_dirs(a, "kubernetes"), [], "directories of nodes")


def run_cases(module_name, cases, options=(), versions=()):
    """Runs cases with a stack that has Kubernetes' own version and these pretended ones."""
    top = tempfile.mkdtemp(prefix="mgt-kube-")
    SPECIFIC.update(home=top, binaries=binaries())  # kubectl keeps a cache in its home
    path = ":".join([SPECIFIC["binaries"],
                     *(newer(SPECIFIC["binaries"], "1.20.2", v, top) for v in versions)])
    sets = [x for o in (f"driver_config.{DRIVER}.kubernetes_path={path}", *options)
            for x in ("--set", o)]
    try:
        with mt.Allinone(options=sets) as a:
            a.start()
            SPECIFIC["stack"] = a
            try:
                mt.main(module_name, cases)
            finally:
                mt.delete_all(a)
    finally:
        shutil.rmtree(top, ignore_errors=True)


def expire(uuid, node_dir, part, file):
    """One of a node's certificates becomes one that nobody renewed, and the daemon that has it starts
    again with it. The day it ended."""
    a = SPECIFIC["stack"]
    rows = json.loads(a.sql("SELECT jsonb_agg(x) FROM x509keypair x WHERE starts_with(derived_key, "
                            f"'{uuid}/')")[0][0])
    out = subprocess.run(["/usr/bin/python3", str(mt.SOURCE / "tests/support/expired.py")],
                         input=json.dumps({"seal_key": str(a.state / "certs.key"), "rows": rows,
                                           "pem": str(next(node_dir.rglob(file)))}),
                         capture_output=True, text=True)
    check_equal(out.returncode, 0, f"the certificate is replaced: {out.stderr}")
    pid = wait_for(f"{part} to run", lambda: inside(node_dir, part), 60, 0.1)
    os.kill(pid, signal.SIGKILL)  # its supervisor starts it again
    return out.stdout.strip()
