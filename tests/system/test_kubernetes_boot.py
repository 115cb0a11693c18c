"""The boot scripts of Kubernetes' nodes in a cloud, run as they are on machines that may be spoiled
(support/boxes.py): real kubeadm, etcd, API servers, kubectl and openssl; the kubelet and the service
manager are stand-ins (fakes/node), images and containers there are none. Needs root, no network."""
import base64
import gzip
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

import boxes
from boxes import PORT, SOURCE, TOP, Box, Cloud, run
import magnumtest as mt
from magnumtest import check, check_equal, wait_for

CLUSTER = "6d3bb0b6-2f0e-4b34-a8cf-6e0ddb1d7a01"
FOLDERS = [SOURCE / "sdk/boot", SOURCE / "plugins/kubernetes/boot"]
PASSWORD = 'p"a\\s$s%'
VERSION, NEWER = "1.20.2", "1.20.3"
PARTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl",
         "kubeadm")
SPECIFIC = {}


def programs():
    """{version: directory} of the real programs, and the same under a newer number."""
    have = subprocess.run([str(SOURCE / "tools/kubernetes-binaries"), "--kubeadm"], stdout=subprocess.PIPE,
                          text=True, timeout=1800, check=True).stdout.strip()
    old, new = TOP / VERSION, TOP / NEWER
    old.symlink_to(have)
    new.mkdir()
    for name in ("kube-apiserver", "kubeadm"):
        data = (pathlib.Path(have) / name).resolve().read_bytes()
        out = new / ("kube-all" if name == "kube-apiserver" else name)
        out.write_bytes(data.replace(f"v{VERSION}".encode(), f"v{NEWER}".encode()))
        out.chmod(0o755)
    for name in PARTS[:-1]:
        (new / name).symlink_to("kube-all")
    SPECIFIC["programs"] = {VERSION: pathlib.Path(have), NEWER: new}


def parameters(role, masters, **more):
    """What the driver writes; labels are texts."""
    return dict({
        "CLUSTER_UUID": CLUSTER, "CLUSTER_NAME": "k1", "NODEGROUP": f"default-{role}", "ROLE": role,
        "MASTER_COUNT": len(masters), "KUBE_VERSION": f"v{VERSION}-vendor1",
        "NETWORK_DRIVER": "flannel", "POD_CIDR": "10.100.0.0/16", "SERVICE_CIDR": "10.254.0.0/16",
        "DNS_DOMAIN": "cluster.local", "AUTH_URL": f"http://{boxes.GATEWAY}:{PORT}/identity",
        "TRUSTEE_USER_ID": "trustee", "TRUSTEE_PASSWORD": PASSWORD, "TRUST_ID": "trust",
        "MAGNUM_URL": f"http://{boxes.GATEWAY}:{PORT}/v1", "REGION": "RegionOne",
        "PROJECT_ID": "project", "VERIFY_CA": "true", "TLS_DISABLED": "false",
        "LABEL_KEYSTONE_AUTH_ENABLED": "true"}, **more)


def values(name, index, address, masters, **more):
    """What Heat puts in."""
    return dict({
        "NODE_NAME": name, "NODE_INDEX": index, "NODE_IP": address, "NODE_PUBLIC_IP": "",
        "API_PRIVATE": masters[0], "API_PUBLIC": "172.24.4.9", "MASTER_IPS": ",".join(masters),
        "WAIT_AUTH_URL": f"http://{boxes.GATEWAY}:{PORT}/identity/v3", "WAIT_USER_ID": "stack-user",
        "WAIT_PASSWORD": "Ab1!@#%41^&*", "WAIT_PROJECT_ID": "stack-project",
        "WAIT_URL": f"http://{boxes.GATEWAY}:{PORT}/heat/signal/{name}", "WAIT_COUNT": "1",
        "SUBNET_ID": "subnet", "DOCKER_VOLUME_ID": "", "ETCD_VOLUME_ID": ""}, **more)


def node(name, role, index, address, masters, heat=None, **params):
    box = Box(name, address, FOLDERS)
    where = SPECIFIC["programs"]
    for program in PARTS:
        (box.root / "fake/bin" / program).symlink_to(where[VERSION] / program)
    for version, directory in where.items():
        target = box.root / "fake/pods" / f"v{version}"
        if version == VERSION:
            target.symlink_to(directory)
        else:  # lies outside of the machine's own root
            target.mkdir()
            run("mount", "--bind", directory, target)
    (box.root / "fake/pods/etcd").symlink_to("/usr/bin/etcd")
    box.install(role)
    box.give(parameters(role, masters, **params), values(name, index, address, masters,
                                                         **(heat or {})))
    return box


def boot(box, want=0, **env):
    try:
        return box.run("/bin/bash", "/opt/magnum/boot.sh", want=want, **env)
    except mt.Failed:
        for path in ("/var/log/kubelet.log", *(f"/var/log/pods/{p}.log" for p in PARTS + ("etcd",))):
            if (box.root / path[1:]).exists():
                print(f"--- {box.name} {path}\n{box.read(path)[-1500:]}")
        raise


def kubectl(box, *args, want=0, config="/etc/kubernetes/admin.conf"):
    return box.run("kubectl", "--kubeconfig", config, *args, want=want)


def get(box, *args):
    return json.loads(kubectl(box, "get", *args, "-o", "json"))


def cert(box, path):
    return run("openssl", "x509", "-in", f"{box.root}{path}", "-noout", "-text")


def sans(text):
    m = re.search(r"Subject Alternative Name: *\n *(.+)", text)
    return set(re.split(r", ", m.group(1))) if m else set()


def certificate_is(box, path, ca, subject, usages, names):
    text = cert(box, path)
    run("openssl", "verify", "-CAfile", SPECIFIC["cloud"].cas.path(*ca), f"{box.root}{path}")
    check_equal(re.search(r"Subject: (.*)", text).group(1), subject, f"{path}: subject")
    usage = re.search(r"Extended Key Usage: *\n *(.+)", text).group(1)
    check_equal(usage, usages, f"{path}: usages")
    check(re.search(r"Key Usage: critical\n +Digital Signature, Key Encipherment\n", text),
          f"{path}: key usage")
    check_equal(sans(text), names, f"{path}: names")
    key = box.root / (path[1:-4] + ".key")
    check_equal(key.stat().st_mode & 0o777, 0o600, f"mode of {key}")


# ---- cases ----

def test_master():
    cloud = SPECIFIC["cloud"]
    cloud.files["/post.yaml"] = (b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: post, "
                                 b"namespace: default}\n")
    master = SPECIFIC["master"] = node(
        "k1-master-0", "master", 0, "10.0.0.11", ["10.0.0.11"], INSECURE_REGISTRY="10.0.0.1:5000",
        HTTP_PROXY="http://10.0.0.1:3128", NO_PROXY="10.0.0.1",
        LABEL_ADMISSION_CONTROL_LIST="NodeRestriction,DefaultStorageClass",
        LABEL_KUBEAPI_OPTIONS="--v=1 --max-requests-inflight=500",
        POST_INSTALL_MANIFEST_URL=cloud.url("/post.yaml"))
    boot(master)
    signals = cloud.signals_of("k1-master-0")
    check_equal([(s["status"], s["id"]) for s in signals], [("SUCCESS", "g1")], "signals")
    calls = master.calls()
    check("swapoff -a" in calls and "modprobe br_netfilter" in calls, f"kernel: {calls}")
    check_equal(master.read("/etc/fstab").count("# /dev/sdz9"), 1, "swap commented out")
    check("systemctl enable kubelet.service" in calls, "kubelet enabled")
    nodes = get(master, "nodes")["items"]
    check_equal([n["metadata"]["name"] for n in nodes], ["k1-master-0"], "nodes")
    check("node-role.kubernetes.io/master" in nodes[0]["metadata"]["labels"], "master's label")
    check(any(t["key"] == "node-role.kubernetes.io/master" for t in nodes[0]["spec"]["taints"]),
          "master's taint")
    check_equal(get(master, "configmap", "post")["metadata"]["name"], "post", "post install")
    toml = master.read("/etc/containerd/config.toml")
    check("SystemdCgroup = true" in toml and "registry.k8s.io/pause:" in toml, toml)
    check("skip_verify = true" in master.read("/etc/containerd/certs.d/10.0.0.1:5000/hosts.toml"),
          "insecure registry")
    proxy = master.read("/etc/systemd/system/containerd.service.d/20-magnum-proxy.conf")
    check("10.100.0.0/16" in proxy and ".cluster.local" in proxy, proxy)
    check("--max-requests-inflight=500" in master.read("/etc/kubernetes/manifests/kube-apiserver.yaml"),
          "kubeapi_options")


def test_certificates():
    """As reference: every certificate's subject, usages, names and signer; no CA's key anywhere."""
    master, both = SPECIFIC["master"], "TLS Web Client Authentication, TLS Web Server Authentication"
    client = "TLS Web Client Authentication"
    full = {"IP Address:10.0.0.11", "IP Address:127.0.0.1", "IP Address:172.24.4.9",
            "IP Address:10.254.0.1", "DNS:k1-master-0", "DNS:localhost", "DNS:kubernetes",
            "DNS:kubernetes.default", "DNS:kubernetes.default.svc",
            "DNS:kubernetes.default.svc.cluster.local"}
    pki = "/etc/kubernetes/pki"
    k, e, f = ("kubelet", 1), ("etcd", 1), ("front-proxy", 1)
    for path, ca, subject, usages, names in (
            ("apiserver", k, "CN = kubernetes", both, full),
            ("kubelet", k, "O = system:nodes, CN = system:node:k1-master-0", both, full),
            ("admin", k, "O = system:masters, CN = admin", client, set()),
            ("apiserver-kubelet-client", k,
             "O = system:masters, CN = kube-apiserver-kubelet-client", client, set()),
            ("controller-manager", k, "CN = system:kube-controller-manager", client, set()),
            ("scheduler", k, "CN = system:kube-scheduler", client, set()),
            ("etcd/server", e, "CN = etcd", both, full),
            ("etcd/client", e, "CN = kube-apiserver-etcd-client", client, set()),
            ("front-proxy-client", f, "CN = front-proxy-client", both, set())):
        certificate_is(master, f"{pki}/{path}.crt", ca, subject, usages, names)
    keys = {p.name for p in (master.root / "etc").rglob("*.key")}
    check(not keys & {"ca.key", "front-proxy-ca.key"}, f"keys: {keys}")
    for path in ("admin.conf", "kubelet.conf", "controller-manager.conf", "scheduler.conf",
                 "pki/sa.key", "../magnum/params.sh", "../magnum/heat.sh", "kubeadm.yaml"):
        mode = (master.root / "etc/kubernetes" / path).stat().st_mode & 0o777
        check_equal(mode, 0o600, f"mode of {path}")
    check(not list((master.root / "run/magnum").glob("*token*")), "a token was left")
    check_equal({s["ca_cert_type"] for s in SPECIFIC["cloud"].signed}, set(boxes.KINDS), "kinds")


def test_worker():
    cloud = SPECIFIC["cloud"]
    directory = SPECIFIC["programs"][VERSION]
    for program in ("kubelet", "kubectl"):
        data = (directory / program).resolve()
        digest = run("sha256sum", data).split()[0]
        base = f"/mirror/v{VERSION}/bin/linux/amd64/{program}"
        cloud.files[base] = data
        cloud.files[f"{base}.sha256"] = f"{digest}\n".encode()
    worker = SPECIFIC["worker"] = node(
        "k1-worker-0", "worker", 0, "10.0.0.21", ["10.0.0.11"],
        NODE_LABELS="disk=ssd,node-role.kubernetes.io/x=y,plain", NODE_TAINTS="gpu=true:NoSchedule",
        LABEL_KUBELET_OPTIONS="--max-pods=50", LABEL_KUBE_DOWNLOAD_URL=cloud.url("/mirror"))
    for program in PARTS:  # an image without them: they come from the mirror
        (worker.root / "fake/bin" / program).unlink()
    (worker.root / "usr/bin/kubectl").unlink(missing_ok=True)
    boot(worker, PATH=worker.path)
    check_equal([(s["status"], s["id"]) for s in cloud.signals_of("k1-worker-0")],
                [("SUCCESS", "g1")], "signals")
    n = get(SPECIFIC["master"], "node", "k1-worker-0")
    labels = n["metadata"]["labels"]
    check_equal({k: labels.get(k) for k in ("disk", "plain", "magnum.openstack.org/nodegroup",
                                            "magnum.openstack.org/role")},
                {"disk": "ssd", "plain": "", "magnum.openstack.org/nodegroup": "default-worker",
                 "magnum.openstack.org/role": "worker"}, "labels")
    check("node-role.kubernetes.io/x" not in labels, "a label that a kubelet must not set")
    check({"key": "gpu", "value": "true", "effect": "NoSchedule"} in n["spec"]["taints"], "taint")
    unit = worker.read("/etc/systemd/system/kubelet.service.d/90-magnum.conf")
    check("--max-pods=50" in unit and "ExecStart=/opt/bin/kubelet" in unit, unit)
    certificate_is(worker, "/etc/kubernetes/pki/kubelet.crt", ("kubelet", 1),
                   "O = system:nodes, CN = system:node:k1-worker-0",
                   "TLS Web Client Authentication, TLS Web Server Authentication",
                   {"IP Address:10.0.0.21", "IP Address:127.0.0.1", "DNS:k1-worker-0",
                    "DNS:localhost"})
    check(not (worker.root / "etc/kubernetes/admin.conf").exists(), "a worker is no administrator")


def test_again():
    """A second boot does nothing; all steps again change nothing."""
    cloud, master = SPECIFIC["cloud"], SPECIFIC["master"]
    asked, signals = len(cloud.asked), len(cloud.signals)
    boot(master)
    check_equal((len(cloud.asked), len(cloud.signals)), (asked, signals), "asked by a second boot")
    files = {p: p.read_bytes() for p in (master.root / "etc").rglob("*")
             if p.is_file() and "resolv" not in p.name}
    signed, before = len(cloud.signed), len(master.calls())
    (master.root / "var/lib/magnum/booted").unlink()
    boot(master)
    check_equal(len(cloud.signed), signed, "certificates signed by steps that had been done")
    changed = [str(p) for p, data in files.items() if p.read_bytes() != data]
    check_equal(changed, [], "files that steps changed which had been done")
    check("systemctl restart kubelet.service" not in master.calls()[before:], "a restart for nothing")
    check_equal(cloud.signals[-1]["status"], "SUCCESS", "signal")


def addon(box, name, **env):
    """Applies one add-on as the add-ons' step does, with other parameters."""
    code = (f'set -euo pipefail; for p in common certificates machine run settings host etcd pki node '
            f'master addons; do . /opt/magnum/lib/$p.sh; done; read_parameters; '
            f'{" ".join(f"{k}={v!r}" for k, v in env.items())}; settings; addon_values; '
            f'apply_addon {name}')
    return box.run("/bin/bash", "-c", code)


def images(doc):
    if isinstance(doc, dict):
        return [v for k, v in doc.items() if k == "image" and isinstance(v, str)] + \
            [i for v in doc.values() for i in images(v)]
    return [i for v in doc for i in images(v)] if isinstance(doc, list) else []


def test_addons():
    """Every manifest is taken by a real API server; by label another registry is in all of them."""
    master = SPECIFIC["master"]
    there = {d["metadata"]["labels"].get("magnum.openstack.org/addon")
             for d in get(master, "deployments,daemonsets", "-n", "kube-system")["items"]}
    check_equal(there - {None}, {"flannel", "coredns", "cloud-controller-manager", "cinder-csi",
                                 "keystone-auth", "metrics-server", "node-problem-detector"},
                "add-ons by default")
    names = sorted(p.stem for p in (FOLDERS[1] / "manifests").glob("*.yaml"))
    for name in names:
        addon(master, name, LABEL_CONTAINER_INFRA_PREFIX="10.0.0.1:5000/mirror/",
              LABEL_CALICO_IPV4POOL_IPIP="CrossSubnet", LABEL_MAX_NODE_COUNT="5")
    objects = get(master, "deployments,daemonsets", "-n", "kube-system")["items"]
    of_ours = [o for o in objects if "magnum.openstack.org/addon" in o["metadata"]["labels"]]
    found = {o["metadata"]["labels"]["magnum.openstack.org/addon"] for o in of_ours}
    check_equal(found, set(names) - {"cloud-config", "pod-security-policy"}, "add-ons")
    for image in images(of_ours):
        check(re.fullmatch(r"10\.0\.0\.1:5000/mirror/[a-z0-9-]+:[A-Za-z0-9.]+", image), image)
    service = get(master, "service", "kube-dns", "-n", "kube-system")
    check_equal(service["spec"]["clusterIP"], "10.254.0.10", "address of the DNS")
    crds = {c["spec"]["names"]["plural"] for c in get(master, "crd")["items"]}
    check({"bgppeers", "blockaffinities", "globalnetworkpolicies", "caliconodestatuses",
           "networksets", "ipamconfigs"} <= crds, f"Calico's kinds: {crds}")
    secret = get(master, "secret", "cloud-config", "-n", "kube-system")["data"]["cloud.conf"]
    conf = base64.b64decode(secret).decode()
    for line in ("user-id = trustee", r'password = "p\"a\\s$s%"', "trust-id = trust",
                 "region = RegionOne", "subnet-id = subnet"):
        check(line + "\n" in conf, f"cloud.conf has no line '{line}'")
    # Applying the same again, as at an upgrade, changes nothing.
    again = addon(master, "coredns", LABEL_CONTAINER_INFRA_PREFIX="10.0.0.1:5000/mirror/")
    check("configured" not in again, again)
    # What would end a text in a manifest is refused, not put in.
    bad = master.run("/bin/bash", "-c", ". /opt/magnum/lib/common.sh; . /opt/magnum/lib/addons.sh; "
                     "X='a\"b'; render <(echo '\"@@X@@\"')", want=1)
    check("can't stand in a manifest" in bad, bad)
    check("isn't known" in master.run("/bin/bash", "-c", ". /opt/magnum/lib/common.sh; "
                                      ". /opt/magnum/lib/addons.sh; render <(echo @@NO@@)", want=1),
          "an unknown name")


def test_failures():
    """What goes wrong is told to Heat with the step and its own words; a new run heals it."""
    cloud = SPECIFIC["cloud"]
    masters = ["10.0.0.11"]
    box = node("k1-worker-1", "worker", 1, "10.0.0.22", masters)

    def fails(words, **env):
        for patience in ("1", "30", "180"):  # what comes before may take longer than a second
            boot(box, want=1, MAGNUM_PATIENCE=patience, **env)
            last = cloud.signals_of("k1-worker-1")[-1]
            check_equal((last["status"], last["id"]), ("FAILURE", "g1"), "signal")
            if all(w in last["reason"] for w in words):
                return
        raise mt.Failed(f"reason: {last['reason']}")

    cloud.broken = {"/v1/certificates": 503}
    fails(["Step certificates failed", "503"])
    cloud.broken = {}
    box.give(parameters("worker", masters, TRUSTEE_PASSWORD="wrong"),
             values("k1-worker-1", 1, "10.0.0.22", masters))
    fails(["Step certificates failed", "gives user trustee no token", "401"])
    box.give(parameters("worker", masters, KUBE_VERSION="latest"),
             values("k1-worker-1", 1, "10.0.0.22", masters))
    fails(["Step parameters failed", "KUBE_VERSION 'latest'"])
    box.give(parameters("worker", masters, TLS_DISABLED="true"),
             values("k1-worker-1", 1, "10.0.0.22", masters))
    fails(["TLS can't be switched off"])
    box.give(parameters("worker", masters, LABEL_KUBELET_OPTIONS="rm -rf"),
             values("k1-worker-1", 1, "10.0.0.22", masters))
    fails(["Step kubelet failed", "'rm' is not of the form --flag=value"])
    base = f"/bad/v{NEWER}/bin/linux/amd64/kubelet"
    cloud.files.update({base: b"not it", f"{base}.sha256": b"0" * 64})
    box.give(parameters("worker", masters, KUBE_VERSION=f"v{NEWER}",
                        LABEL_KUBE_DOWNLOAD_URL=cloud.url("/bad")),
             values("k1-worker-1", 1, "10.0.0.22", masters))
    fails(["Step programs failed", "does not have the SHA-256"])
    check(not (box.root / "opt/bin/kubelet").exists(), "a program that was not checked is in place")
    box.give(parameters("worker", masters), values("k1-worker-1", 1, "10.0.0.22", masters))
    (box.root / "fake/not-ready").write_text("the network is not there")
    fails(["Step node-ready failed", "k1-worker-1 is not ready", "the network is not there"])
    (box.root / "fake/not-ready").unlink()
    # Without jq, as most images are, and with the signal refused at first.
    (box.root / "usr/bin/jq").unlink()
    cloud.broken = {"/heat": 500}
    process = box.start("/bin/bash", "/opt/magnum/boot.sh")
    wait_for("the refused signal", lambda: any(a == "POST /heat/signal/k1-worker-1" for a in
                                               cloud.asked[-5:]))
    cloud.broken = {}
    check_equal(process.wait(600), 0, f"boot: {box.said()}")
    check_equal(cloud.signals_of("k1-worker-1")[-1]["status"], "SUCCESS", "signal")
    box.destroy()


def test_killed():
    """SIGKILL in the middle of the steps: the next run ends well, with whole files."""
    box = node("k1-worker-2", "worker", 2, "10.0.0.23", ["10.0.0.11"])
    seen = set()
    for delay in (0.2, 0.5, 0.9, 1.3, 1.8, 2.4, 5, 10, 20, 40):
        if delay > 2.4 and len(seen) >= 3:
            break  # the longer ones are for a slow machine
        process = box.start("/bin/bash", "/opt/magnum/boot.sh")
        time.sleep(delay)  # an arbitrary moment is the point
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        seen.update(re.findall(r"step (\S+)", box.said()))
    boot(box)
    check_equal(SPECIFIC["cloud"].signals_of("k1-worker-2")[-1]["status"], "SUCCESS", "signal")
    check(len(seen) >= 3, f"steps that were hit: {seen}")
    check("k1-worker-2" in kubectl(SPECIFIC["master"], "get", "nodes"), "node")
    box.destroy()


def metadata(box, generation, version="", phase=""):
    SPECIFIC["cloud"].metadata[box.address] = {
        "magnum_generation": str(generation), "magnum_kube_version": version,
        "magnum_ca_phase": phase}


def change(box, want=0, **env):
    try:
        return box.run("/bin/bash", "/opt/magnum/change.sh", want=want, **env)
    except mt.Failed:
        for path in ("/var/log/kubelet.log", *(f"/var/log/pods/{p}.log" for p in PARTS + ("etcd",))):
            if (box.root / path[1:]).exists():
                print(f"--- {box.name} {path}\n{box.read(path)[-1500:]}")
        raise


def last_signal(box):
    last = SPECIFIC["cloud"].signals_of(box.name)[-1]
    return last["status"], last["id"]


def shown_by(address):
    """Number of the CA whose certificate the API shows."""
    text = run("openssl", "s_client", "-connect", f"{address}:6443", "-showcerts", want=None)
    m = re.search(r"i:CN = kubelet (\d)", text)
    return int(m.group(1)) if m else 0


def test_upgrade():
    """Master, then worker, which empties itself first: pods of a daemon set stay."""
    cloud, master, worker = (SPECIFIC[k] for k in ("cloud", "master", "worker"))
    check_equal(change(master), "", "a change that nobody wants")
    metadata(master, 1)
    metadata(worker, 1)
    check_equal(change(master), "", "a generation that is reached")
    for program in PARTS:
        data = (SPECIFIC["programs"][NEWER] / program).resolve()
        base = f"/mirror/v{NEWER}/bin/linux/amd64/{program}"
        cloud.files[base] = data
        cloud.files[f"{base}.sha256"] = run("sha256sum", data).split()[0].encode()
    params = master.read("/etc/magnum/params.sh")
    (master.root / "etc/magnum/params.sh").write_text(
        params + f"LABEL_KUBE_DOWNLOAD_URL='{cloud.url('/mirror')}'\nHTTP_PROXY=''\n")
    metadata(master, 2, f"v{NEWER}")
    change(master)
    check_equal(last_signal(master), ("SUCCESS", "g2"), "signal")
    check_equal(json.loads(kubectl(master, "get", "--raw", "/version"))["gitVersion"], f"v{NEWER}",
                "the API's version")
    check(f"kube-controller-manager:v{NEWER}" in
          master.read("/etc/kubernetes/manifests/kube-controller-manager.yaml"), "controller manager")
    check_equal(get(master, "node", master.name)["spec"].get("unschedulable", False), False, "cordon")
    check_equal(change(master), "", "the same generation again")

    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"},
           "spec": {"nodeName": worker.name, "containers": [{"name": "c", "image": "x"}],
                    "terminationGracePeriodSeconds": 0}}
    (master.root / "tmp/pod.json").write_text(json.dumps(pod))
    wait_for("the default service account", lambda: "default" in kubectl(
        master, "get", "serviceaccounts", "-n", "default"))
    kubectl(master, "create", "-f", "/tmp/pod.json")
    wait_for("pods of daemon sets on the worker", lambda: [
        p for p in get(master, "pods", "-A", "--field-selector", f"spec.nodeName={worker.name}")
        ["items"] if p["metadata"].get("ownerReferences", [{}])[0].get("kind") == "DaemonSet"], 180)

    def on_worker():
        """{uid: kind of owner}; others may come once it takes pods again, and one that was evicted
        is on its way, for which a kubelet would have to end its containers."""
        pods = get(master, "pods", "-A", "--field-selector", f"spec.nodeName={worker.name}")["items"]
        return {p["metadata"]["uid"]: p["metadata"].get("ownerReferences", [{}])[0].get("kind")
                for p in pods if "deletionTimestamp" not in p["metadata"]}
    before = on_worker()
    metadata(worker, 2, f"v{NEWER}")
    change(worker, PATH=worker.path)
    check_equal(last_signal(worker), ("SUCCESS", "g2"), "signal")
    left = [owner for uid, owner in before.items() if uid in on_worker()]
    check(left and set(left) == {"DaemonSet"}, f"only pods of daemon sets are left: {left}")
    check(NEWER in worker.run("/opt/bin/kubelet", "--version"), "kubelet")
    check_equal(worker.calls()[-1], "systemctl restart kubelet.service", "last call")

    # A failure is told once, and a later generation makes up for it.
    metadata(worker, 3, "v9.9.9")
    change(worker, want=1, MAGNUM_PATIENCE="1", PATH=worker.path)
    check_equal(last_signal(worker), ("FAILURE", "g3"), "signal")
    count = len(cloud.signals)
    check_equal(change(worker, PATH=worker.path), "", "a failed generation again")
    metadata(worker, 4, f"v{NEWER}")
    change(worker, PATH=worker.path)
    check_equal([(s["status"], s["id"]) for s in cloud.signals[count:]],
                [("SUCCESS", "g3"), ("SUCCESS", "g4")], "signals")


def test_rotation():
    """Old and new CA trusted, then new certificates, then the new CA alone; the API answers at all
    times, and shows the old certificate until clients may know the new CA."""
    cloud, master, worker = (SPECIFIC[k] for k in ("cloud", "master", "worker"))
    old_admin = {k: (master.root / f"etc/kubernetes/pki/admin.{k}").read_bytes()
                 for k in ("crt", "key")}
    for k, data in old_admin.items():
        (master.root / f"tmp/old.{k}").write_bytes(data)
    (master.root / "tmp/old-ca.crt").write_bytes(
        (master.root / "etc/kubernetes/pki/ca.crt").read_bytes())
    old = ["--server=https://10.0.0.11:6443", "--certificate-authority=/tmp/old-ca.crt",
           "--client-certificate=/tmp/old.crt", "--client-key=/tmp/old.key"]
    master.run("kubectl", *old, "get", "nodes")
    cloud.cas.begin()
    steps = [("prepare", 1), ("certs", 2), ("complete", 2)]
    for number, (phase, shown) in enumerate(steps):
        if phase == "complete":
            cloud.cas.end()
        for box, generation in ((master, 3 + number), (worker, 5 + number)):
            metadata(box, generation, f"v{NEWER}", phase)
            change(box, PATH=box.path)
            check_equal(last_signal(box), ("SUCCESS", f"g{generation}"), f"signal of {phase}")
            ready = get(master, "nodes")
            check_equal(len(ready["items"]) >= 2, True, f"nodes in {phase}")
        wait_for(f"the API's certificate in {phase}", lambda: shown_by("10.0.0.11") == shown)
        master.run("kubectl", *old, "get", "nodes", want=0 if phase == "prepare" else 1)
    for path, kind in (("apiserver", "kubelet"), ("kubelet", "kubelet"), ("etcd/server", "etcd"),
                       ("front-proxy-client", "front-proxy")):
        run("openssl", "verify", "-CAfile", cloud.cas.path(kind, 2),
            f"{master.root}/etc/kubernetes/pki/{path}.crt")
    check_equal(master.read("/etc/kubernetes/pki/ca.crt").count("BEGIN"), 1, "CAs trusted")
    restarted = get(master, "daemonset", "flannel", "-n", "kube-system")
    check("kubectl.kubernetes.io/restartedAt" in
          restarted["spec"]["template"]["metadata"]["annotations"], "add-ons are restarted")


def members(box):
    out = box.run("/bin/bash", "-c", ". /opt/magnum/lib/common.sh; read_parameters; "
                  ". /opt/magnum/lib/settings.sh; . /opt/magnum/lib/etcd.sh; etcd_members $NODE_IP")
    return {line.split()[1]: line.split()[0] for line in out.splitlines()}


def plan_of(answers, **env):
    """What a master without data decides on when the other two answer so, one after the other."""
    with tempfile.TemporaryDirectory() as d:
        code = f"""set -euo pipefail; shopt -s inherit_errexit
            for p in "$1"/common.sh "$2"/lib/settings.sh "$2"/lib/etcd.sh; do . "$p"; done
            ETCD_DATA={d}/data ETCD_PLAN={d}/plan MAGNUM_PATIENCE=60 MAGNUM_PAUSE=0.01
            etcd_get() {{ answer=$(head -n 1 {d}/answers); sed -i 1d {d}/answers; [ "$answer" != none ] && echo "$answer"; }}
            rejoin() {{ echo "existing by $1"; }}
            plan_etcd >/dev/null; cat {d}/plan"""
        pathlib.Path(d, "answers").write_text("".join(a + "\n" for a in answers) + "none\n" * 2)
        return run("bash", "-c", code, "-", *FOLDERS[:2], env=dict(
            os.environ, NODE_IP="10.0.0.1", MASTER_IPS="10.0.0.1,10.0.0.2,10.0.0.3", **env))


def test_plan_of_etcd():
    """At the first start nobody may be there. One that is replaced waits until somebody can tell."""
    new = "new master-10-0-0-1=https://10.0.0.1:2380,"
    check(plan_of(["none", "none"], WAIT_COUNT="1").startswith(new), "the first start of all")
    check(plan_of(["", ""], WAIT_COUNT="2").startswith(new), "one that never ran")
    check_equal(plan_of(["none", "k1-master-0"], WAIT_COUNT="1"), "existing by 10.0.0.3\n", "one that did")
    check_equal(plan_of(["none", "none", "none", "none", "k1-master-0"], WAIT_COUNT="2"),
                "existing by 10.0.0.2\n", "one that did, during an election")


def test_three_masters():
    """Up together in any order with one key for service accounts; one that is replaced rejoins."""
    for name in {"worker", "master"} & set(SPECIFIC):
        SPECIFIC.pop(name).destroy()
    SPECIFIC["cloud"].cas = boxes.Cas()
    addresses = ["10.0.0.31", "10.0.0.32", "10.0.0.33"]

    def make(i):
        return node(f"k3-master-{i}", "master", i, addresses[i], addresses,
                    LABEL_KEYSTONE_AUTH_ENABLED="false")
    masters = [make(i) for i in range(3)]
    processes = [m.start("/bin/bash", "/opt/magnum/boot.sh") for m in reversed(masters)]
    for p in processes:
        p.wait(900)
    for m in masters:
        check_equal(last_signal(m), ("SUCCESS", "g1"), f"signal of {m.name}: {m.said()}")
    check_equal(len({m.read("/etc/kubernetes/pki/sa.key") for m in masters}), 1, "keys")
    check_equal(len(get(masters[2], "nodes")["items"]), 3, "nodes")
    before = members(masters[0])
    check_equal(sorted(before), [f"master-10-0-0-3{i}" for i in (1, 2, 3)], "members")
    masters[0].destroy()  # the very one that did what is done once
    # etcd has to choose another leader first
    wait_for("writing to what is left", lambda: kubectl(
        masters[1], "create", "namespace", "while-one-is-gone") or True, 120, 1)
    masters[0] = make(0)
    boot(masters[0])
    after = members(masters[0])
    check_equal(sorted(after), sorted(before), "members")
    check(after["master-10-0-0-31"] != before["master-10-0-0-31"], "a new member under the old name")
    check("while-one-is-gone" in kubectl(masters[0], "get", "namespaces"), "data")
    for m in masters:
        m.destroy()


def test_user_data_fits():
    """All that a master gets with every label set stays below what Nova takes."""
    total = len(gzip.compress(b"".join(p.read_bytes() for f in FOLDERS for p in sorted(f.rglob("*"))
                                       if p.is_file()), 9))
    check(total * 4 / 3 < 42000, f"{total * 4 / 3} bytes of 49149, of which values need 7000")


def main():
    boxes.enter()
    programs()
    SPECIFIC["cloud"] = Cloud(CLUSTER)
    mt.main("__main__", [
        test_user_data_fits, test_plan_of_etcd, test_master, test_certificates, test_worker, test_again,
        test_addons, test_failures, test_killed, test_upgrade, test_rotation, test_three_masters])


main()
