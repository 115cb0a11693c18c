#!/usr/bin/python3
"""A kubelet without containers, for tests of the boot scripts: runs the commands of static pods as
plain processes of this machine (etcd and Kubernetes' own programs are there), starts them anew when
their manifests change, and registers its node with the certificate it was given, as the real one
does. What it does not do: images, containers, networks, any pod of the API."""
import hashlib
import http.client
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import time
import urllib.parse

import yaml

MANIFESTS = pathlib.Path("/etc/kubernetes/manifests")
DROP_IN = pathlib.Path("/etc/systemd/system/kubelet.service.d/90-magnum.conf")
LOGS = pathlib.Path("/var/log/pods")


def flags():
    """The flags as systemd would give them: quoted words, %% for %."""
    words = re.findall(r'"([^"]*)"', DROP_IN.read_text())
    return {k: v.replace("%%", "%") for k, _, v in (w[2:].partition("=") for w in words)}


class Api:
    def __init__(self):
        config = yaml.safe_load(pathlib.Path(flags()["kubeconfig"]).read_text())
        self.server = urllib.parse.urlsplit(config["clusters"][0]["cluster"]["server"])
        settings = yaml.safe_load(pathlib.Path(flags()["config"]).read_text())
        self.context = ssl.create_default_context(
            cafile=settings["authentication"]["x509"]["clientCAFile"])
        self.context.load_cert_chain(settings["tlsCertFile"], settings["tlsPrivateKeyFile"])

    def __call__(self, method, path, body=None, kind="application/json"):
        c = http.client.HTTPSConnection(self.server.hostname, self.server.port,
                                        context=self.context, timeout=10)
        try:
            c.request(method, path, json.dumps(body) if body else None, {"Content-Type": kind})
            r = c.getresponse()
            text = r.read()
            if r.status >= 300 and r.status not in (404, 409):
                print(method, path, r.status, text[:300], flush=True)
            return r.status
        finally:
            c.close()


def register():
    f = flags()
    name = f["hostname-override"]
    labels = dict(p.partition("=")[::2] for p in f["node-labels"].split(","))
    labels.update({"kubernetes.io/os": "linux", "kubernetes.io/hostname": name})
    taints = []
    for t in filter(None, f.get("register-with-taints", "").split(",")):
        key, _, rest = t.partition("=")
        value, _, effect = rest.partition(":")
        taints.append({"key": key, "value": value, "effect": effect})
    api = Api()
    if api("GET", f"/api/v1/nodes/{name}") == 404:
        if api("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node",
                                         "metadata": {"name": name, "labels": labels},
                                         "spec": {"taints": taints}}) >= 300:
            return False
    broken = pathlib.Path("/fake/not-ready")
    ready = {"type": "Ready", "status": "False" if broken.exists() else "True",
             "reason": "Test", "message": broken.read_text() if broken.exists() else "kubelet runs"}
    room = {"cpu": "8", "memory": "16Gi", "pods": "110"}
    return api("PATCH", f"/api/v1/nodes/{name}/status",
               {"status": {"conditions": [ready], "capacity": room, "allocatable": room,
                           "addresses": [{"type": "InternalIP", "address": f["node-ip"]}]}},
               "application/strategic-merge-patch+json") < 300


def stop(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start(path):
    pod = yaml.safe_load(path.read_text())
    container = pod["spec"]["containers"][0]
    command = container.get("command", []) + container.get("args", [])
    version = container["image"].rpartition(":")[2]
    with open(LOGS / f"{path.stem}.log", "a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log,
                                env={"PATH": f"/fake/pods/{version}:/fake/pods:/usr/bin:/bin"})


def main():
    LOGS.mkdir(parents=True, exist_ok=True)
    pathlib.Path("/run/kubelet.pid").write_text(str(os.getpid()))
    running = {}  # manifest -> (hash, process)
    registered = 0.0
    while True:
        for path in sorted(MANIFESTS.glob("*.yaml")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            old = running.get(path)
            if old and old[0] == digest and old[1].poll() is None:
                continue
            if old and old[1].poll() is None:
                stop(old[1])
            running[path] = (digest, start(path))
        if time.monotonic() - registered > 2:
            try:
                if register():
                    registered = time.monotonic()
            except (OSError, ssl.SSLError, http.client.HTTPException) as e:
                print(f"node: {e}", flush=True)
        time.sleep(0.2)


main()
