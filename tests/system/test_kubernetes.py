"""The life of a real Kubernetes cluster on this machine through our own client: create, use with
kubectl over TLS, pods and a service, scale, nodegroups, health, upgrade, delete, and nothing left
behind; a conductor killed in the middle, and what is wrong said before anything is made.

The daemons come from tools/kubernetes-binaries, which builds them when there are none: a machine
that can't do that fails this test."""
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
import time

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

DRIVER = "org.magnum.kubernetes"
SOURCE = pathlib.Path(os.environ["MAGNUM_SOURCE_DIR"])
SPECIFIC = {}  # what one case hands to the next: stack, cluster id, kubeconfig
QUICK = "--default-not-ready-toleration-seconds=5 --default-unreachable-toleration-seconds=5"


def binaries():
    r = subprocess.run([str(SOURCE / "tools/kubernetes-binaries")], stdout=subprocess.PIPE,
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


def kubectl(*args, want=0, config=None, text=None, timeout=60):
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


def a_cluster_is_created_and_waited_for():
    a = SPECIFIC["stack"]
    provide_image()
    a.cli("cluster", "template", "create", "k8s", "--coe", "kubernetes", "--server-type", "local",
          "--image", "linux", "--labels", f"kubeapi_options={QUICK},kube_tag=v1.20.2")
    a.cli("cluster", "create", "k1", "--cluster-template", "k8s", "--master-count", "1",
          "--node-count", "2", "--wait", timeout=300)
    SPECIFIC["uuid"] = show("uuid")
    check_equal(show("status"), "CREATE_COMPLETE", "status")
    check(re.match(r"https://127\.0\.0\.1:\d+$", show("api_address")), show("api_address"))
    check_equal(len(show("node_addresses")), 2, "node addresses")
    check_equal(len(show("master_addresses")), 1, "master addresses")
    check_equal(show("coe_version"), "v1.20.2", "coe_version")
    check(show("container_version"), "container_version is known")


def kubectl_works_with_the_kubeconfig():
    SPECIFIC["config"] = save_config("k1", "config")
    found = ready_nodes(2)
    for name, (_, _, node) in found.items():
        check_equal(node["status"]["nodeInfo"]["kubeletVersion"], "v1.20.2", f"version of {name}")
        check_equal(node["metadata"]["labels"]["magnum.openstack.org/nodegroup"], "default-worker",
                    f"nodegroup of {name}")
    check_equal(kubectl("auth", "can-i", "*", "*").strip(), "yes", "rights of the owner")
    stranger = pathlib.Path(SPECIFIC["config"]).parent / "stranger"
    config = json.loads(pathlib.Path(SPECIFIC["config"]).read_text())
    config["users"][0]["user"] = {}
    stranger.write_text(json.dumps(config))
    kubectl("get", "nodes", want=1, config=stranger, text="\n\n")


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
    """Waits until so many pods of the controller are ready, and returns {pod: node}."""
    def there():
        status = get("rc", "web")["status"]
        return status.get("readyReplicas", 0) == count == status["replicas"]
    wait_for(f"{count} pods to be ready", there, 90, 0.3)
    return {p["metadata"]["name"]: p["spec"]["nodeName"]
            for p in get("pods", "-l", "app=web")["items"]
            if "deletionTimestamp" not in p["metadata"]}


def fetch(pod, address):
    return kubectl("exec", pod, "--", "/bin/busybox", "sh", "-c",
                   f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | /bin/busybox nc {address}")


def pods_run_on_both_nodes_and_reach_each_other():
    kubectl("apply", "-f", "-", text=RC)
    pods = running(4)
    check_equal(len(set(pods.values())), 2, f"nodes with pods: {pods}")
    first = sorted(pods)[0]
    far = [p for p in get("pods", "-l", "app=web")["items"]
           if p["spec"]["nodeName"] != pods[first]][0]["status"]["podIP"]
    check("hello from a pod" in fetch(first, f"{far} 8080"), "a pod on another node answers")
    service = get("svc", "web")["spec"]["clusterIP"]
    for _ in range(4):
        check("hello from a pod" in fetch(first, f"{service} 80"), "the service answers")
    logs = [kubectl("logs", pod) for pod in pods]
    check(any("response:200" in text for text in logs), f"a log tells of it: {logs}")


def bad_labels_are_refused():
    """What the schema tells is refused at once; what only the driver can tell fails the create
    before anything was made."""
    a = SPECIFIC["stack"]
    at_once = {"kube_tag=latest": "kube_tag",
               "drain_timeout_seconds=soon": "drain_timeout_seconds",
               "calico_ipv4pool_ipip=Sometimes": "CrossSubnet",
               "metrics_server_enabled=perhaps": "boolean",
               "flannel_network_cidr=everything": "flannel_network_cidr"}
    for labels, reason in at_once.items():
        text = a.cli("cluster", "create", "bad", "--cluster-template", "k8s", "--labels", labels,
                     "--merge-labels", want=None)
        check(reason in text and "refused" in text or "allowed" in text, f"{labels}: {text}")
        check(a.client.show("bad") is None, f"no cluster was made for {labels}")
    later = {"flannel_network_cidr=10.77.0.0/16": "10.77.0.0/24",
             "flannel_network_cidr=10.100.0.0/20": "/8 to /16",
             "service_cluster_ip_range=10.100.4.0/24": "outside of flannel_network_cidr",
             "kube_tag=v1.99.1": "v1.20.2",
             "kubelet_options=rm": "kubelet_options",
             "cgroup_driver=systemd": "cgroupfs"}
    for labels, reason in later.items():
        a.cli("cluster", "create", "bad", "--cluster-template", "k8s", "--labels", labels,
              "--merge-labels")
        uuid = show("uuid", "bad")
        a.client.wait_status("bad", "CREATE_FAILED", 60)
        check(reason in show("status_reason", "bad"), f"{labels}: {show('status_reason', 'bad')}")
        check_equal(mt.node_namespaces(uuid), [], "network namespaces")
        a.cli("cluster", "delete", "bad", "--wait")
        check_equal(mt.left_behind([uuid]), [], "left behind")


def it_scales_up_and_down_and_pods_move():
    a = SPECIFIC["stack"]
    a.cli("cluster", "resize", "k1", "3", "--wait", timeout=200)
    check_equal(show("node_count"), 3, "node_count")
    found = ready_nodes(3)
    victim = sorted(set(running(4).values()))[0]
    a.cli("cluster", "resize", "k1", "1", "--nodes-to-remove", victim, "--wait", timeout=200)
    left = ready_nodes(1)
    check(victim not in left, f"{victim} was named and is gone")
    check_equal(set(running(4).values()), set(left), "where the pods are")
    check_equal(len(show("node_addresses")), 1, "node addresses")
    check_equal(len(found), 3, "nodes before")
    check_equal(len(mt.node_namespaces(SPECIFIC["uuid"])), 2, "network namespaces of nodes")


def a_nodegroup_comes_and_goes():
    a = SPECIFIC["stack"]
    a.cli("nodegroup", "create", "k1", "gpu", "--node-count", "1", "--node-labels",
          "kind=gpu,tier=far", "--node-taints", "only=gpu:NoSchedule", "--wait", timeout=200)
    found = ready_nodes(2)
    name = [n for n in found if "gpu" in n][0]
    node = found[name][2]
    check_equal({k: node["metadata"]["labels"].get(k) for k in
                 ("kind", "tier", "magnum.openstack.org/nodegroup")},
                {"kind": "gpu", "tier": "far", "magnum.openstack.org/nodegroup": "gpu"}, "labels")
    check([t for t in node["spec"]["taints"] if (t["key"], t.get("value"), t["effect"]) ==
           ("only", "gpu", "NoSchedule")], f"taints: {node['spec']['taints']}")
    kubectl("scale", "rc", "web", "--replicas=6")
    check(name not in running(6).values(), "no pod without tolerance on the tainted node")
    kubectl("scale", "rc", "web", "--replicas=2")
    a.cli("cluster", "resize", "k1", "2", "--nodegroup", "gpu", "--wait", timeout=200)
    ready_nodes(3)
    a.cli("nodegroup", "delete", "k1", "gpu", "--wait", timeout=200)
    ready_nodes(1)
    running(2)


def nodes_outlive_magnum_and_are_found_again():
    a = SPECIFIC["stack"]
    before = set(ready_nodes(1))
    a.stop()
    check_equal(set(ready_nodes(1)), before, "nodes while Magnum is stopped")
    a.start()
    a.cli("cluster", "resize", "k1", "2", "--wait", timeout=200)
    check(before < set(ready_nodes(2)), "the old node is still there")


def health(status, reason, timeout=120, name="k1"):
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


def health_tells_what_is_wrong():
    a = SPECIFIC["stack"]
    health("HEALTHY", '"api": "ok"')
    dirs = mt.node_dirs(a, SPECIFIC["uuid"])
    etcd, api = inside(dirs[0], "etcd"), inside(dirs[0], "kube-apiserver")
    os.kill(etcd, signal.SIGSTOP)  # it answers "not ready"
    try:
        health("UNHEALTHY", "etcd")
    finally:
        os.kill(etcd, signal.SIGCONT)
    health("HEALTHY", '"api": "ok"')
    os.kill(api, signal.SIGSTOP)  # it does not answer at all
    try:
        health("UNKNOWN", "Unknown: the API does not answer")
    finally:
        os.kill(api, signal.SIGCONT)
    health("HEALTHY", '"api": "ok"')
    os.kill(api, signal.SIGKILL)  # daemons that die come back by themselves
    wait_for("the API to serve again",
             lambda: "kubernetes" in kubectl("get", "svc", "kubernetes", want=None), 60, 0.5)
    check(inside(dirs[0], "kube-apiserver") != api, "another API server")
    health("HEALTHY", '"api": "ok"')
    kubelet = inside(dirs[-1], "kubelet")
    os.kill(kubelet, signal.SIGSTOP)
    try:
        health("UNHEALTHY", "NodeStatusUnknown")
    finally:
        os.kill(kubelet, signal.SIGCONT)
    health("HEALTHY", '"api": "ok"')


def a_dead_node_is_noticed_and_started_again():
    a = SPECIFIC["stack"]
    os.kill(mt.node_pids(a, SPECIFIC["uuid"])[-1], signal.SIGKILL)
    health("UNHEALTHY", "powered off")
    a.cli("cluster", "resize", "k1", "3", "--wait", timeout=200)
    wait_for("all nodes to be ready", lambda: all(v[0] == "True" for v in nodes().values()), 90)
    ready_nodes(3)
    health("HEALTHY", '"api": "ok"')


def upgrade(name, template, want):
    a = SPECIFIC["stack"]
    uuid = json.loads(a.cli("cluster", "template", "show", template, "-f", "json"))["uuid"]
    return a.client("POST", f"/v1/clusters/{name}/actions/upgrade",
                    dict(cluster_template=uuid, nodegroup="default-worker", max_batch_size=2),
                    want=want)


def an_upgrade_goes_one_minor_version_at_a_time():
    a = SPECIFIC["stack"]
    for name, tag in (("next", "v1.21.2"), ("far", "v1.23.2")):
        a.cli("cluster", "template", "create", name, "--coe", "kubernetes", "--server-type",
              "local", "--image", "linux", "--labels", f"kube_tag={tag},kubeapi_options={QUICK}")
    text = upgrade("k1", "far", (400, 409)).body.decode()
    check("left out" in text, f"a step too large: {text}")
    check_equal(show("coe_version"), "v1.20.2", "version after the refusal")
    upgrade("k1", "next", 202)
    a.client.wait_status("k1", "UPDATE_COMPLETE", 400)
    check_equal(show("coe_version"), "v1.21.2", "version after the upgrade")
    for name, (_, _, node) in ready_nodes(3).items():
        check_equal(node["status"]["nodeInfo"]["kubeletVersion"], "v1.21.2", f"version of {name}")
    running(2)
    text = upgrade("k1", "k8s", (400, 409)).body.decode()
    check("downgrade" in text, f"no way back: {text}")


def the_ca_is_rotated_while_pods_run():
    a = SPECIFIC["stack"]
    before = running(2)
    old = json.loads(pathlib.Path(SPECIFIC["config"]).read_text())
    a.cli("ca", "rotate", "k1", "--wait", timeout=400)
    SPECIFIC["old"], SPECIFIC["config"] = SPECIFIC["config"], save_config("k1", "rotated")
    new = json.loads(pathlib.Path(SPECIFIC["config"]).read_text())
    check(old["clusters"][0]["cluster"]["certificate-authority-data"] !=
          new["clusters"][0]["cluster"]["certificate-authority-data"], "another CA")
    ready_nodes(3)
    check_equal(running(2), before, "the pods and their nodes")
    kubectl("get", "nodes", want=1, config=SPECIFIC["old"])
    new["users"] = old["users"]  # the server is trusted; the client's own certificate is too old
    stale = a.state / "stale"
    stale.write_text(json.dumps(new))
    kubectl("get", "nodes", want=1, config=stale, text="\n\n")
    first = sorted(before)[0]
    check("hello from a pod" in fetch(first, "127.0.0.1 8080"), "the way into pods still works")


def zero_workers_are_possible():
    a = SPECIFIC["stack"]
    a.cli("cluster", "resize", "k1", "0", "--wait", timeout=200)
    check_equal(nodes(), {}, "nodes")
    check_equal(len(mt.node_namespaces(SPECIFIC["uuid"])), 1, "network namespaces of nodes")


def gone_for_good(uuid):
    a = SPECIFIC["stack"]
    check_equal(mt.left_behind([uuid]), [], "left behind")
    check_equal(mt.rows_left(a, uuid), {}, "rows left")
    check_equal(mt.cluster_dirs(a, "kubernetes"), [], "directories of nodes")


def delete_leaves_nothing():
    a = SPECIFIC["stack"]
    a.cli("cluster", "delete", "k1", "--wait", timeout=200)
    check(a.client.show("k1") is None, "the cluster is gone")
    gone_for_good(SPECIFIC["uuid"])


def a_conductor_killed_in_the_middle_leaves_one_cluster():
    a = SPECIFIC["stack"]
    a.cli("cluster", "create", "k2", "--cluster-template", "k8s", "--node-count", "1")
    uuid = show("uuid", "k2")
    wait_for("the nodes to be started", lambda: len(mt.node_pids(a, uuid)) == 2, 60, 0.01)
    before = mt.node_pids(a, uuid)
    for pause in (0.0, 1.0, 2.5):  # at other points of the create each time
        time.sleep(pause)
        conductor = a.child("magnum-conductor")
        if conductor:
            os.kill(conductor, signal.SIGKILL)
    a.client.wait_status("k2", "CREATE_COMPLETE", 200)
    check_equal(mt.node_pids(a, uuid), before, "the nodes are those of the first attempt")
    check_equal(len(mt.node_namespaces(uuid)), 2, "network namespaces of nodes")
    ready_nodes(1, config=save_config("k2", "config2"))
    os.kill(before[0], signal.SIGKILL)  # the delete finds no API any more
    a.cli("cluster", "delete", "k2", "--wait", timeout=200)
    gone_for_good(uuid)


def three_masters_survive_the_loss_of_one():
    a = SPECIFIC["stack"]
    a.cli("cluster", "template", "create", "three", "--coe", "kubernetes", "--server-type",
          "local", "--image", "linux", "--master-lb-enabled", "--labels",
          f"kubeapi_options={QUICK}")
    a.cli("cluster", "create", "k5", "--cluster-template", "three", "--master-count", "3",
          "--node-count", "1", "--labels", "kube_tag=v1.20.2", "--merge-labels", "--wait",
          timeout=300)
    uuid, config = show("uuid", "k5"), save_config("k5", "config5")
    ready_nodes(1, config=config)
    text = a.cli("cluster", "resize", "k5", "1", "--nodegroup", "default-master", want=None)
    check("master" in text, f"masters can't be resized: {text}")
    os.kill(mt.node_pids(a, uuid)[1], signal.SIGKILL)
    health("UNHEALTHY", "powered off", name="k5")
    wait_for("the API to go on with two masters",
             lambda: "worker" in kubectl("get", "nodes", config=config, want=None), 60, 0.5)
    a.cli("cluster", "resize", "k5", "2", "--wait", timeout=200)
    ready_nodes(2, config=config)
    check_equal(len(mt.node_pids(a, uuid)), 5, "nodes that live")
    health("HEALTHY", '"api": "ok"', name="k5")
    a.cli("cluster", "delete", "k5", "--wait", timeout=200)
    gone_for_good(uuid)


def a_half_made_cluster_can_be_deleted():
    a = SPECIFIC["stack"]
    a.cli("cluster", "create", "k3", "--cluster-template", "k8s", "--node-count", "2")
    uuid = show("uuid", "k3")
    wait_for("the first node to be started", lambda: mt.node_pids(a, uuid), 60, 0.01)
    a.cli("cluster", "delete", "k3", "--wait", timeout=200)
    gone_for_good(uuid)


def a_daemon_that_cannot_live_is_named():
    a = SPECIFIC["stack"]
    a.cli("cluster", "create", "k4", "--cluster-template", "k8s", "--node-count", "0", "--labels",
          "kubeapi_options=--no-such-flag", "--merge-labels")
    uuid = show("uuid", "k4")
    a.client.wait_status("k4", "CREATE_FAILED", 200)
    reason = show("status_reason", "k4")
    check("kube-apiserver" in reason and "no-such-flag" in reason, f"the reason says it: {reason}")
    a.cli("cluster", "delete", "k4", "--wait", timeout=200)
    gone_for_good(uuid)


def a_missing_part_is_said_before_anything_is_made():
    for option, wanted in (("kubernetes_path=/nonexistent", "tools/kubernetes-binaries"),
                           ("cni_path=/nonexistent", "containernetworking-plugins"),
                           ("program_path=/nonexistent", "etcd-server")):
        with mt.Allinone(options=["--set", f"driver_config.{DRIVER}.{option}"]) as a:
            a.start()
            answer = a.client("POST", "/v1/clustertemplates", dict(
                name="t", coe="kubernetes", server_type="local", image_id="linux"))
            check_equal(answer.status, 400, f"a template nobody can serve: {answer}")
            reason = answer.json()["errors"][0]["detail"]
            check(wanted in reason, f"the reason names {wanted}: {reason}")
            check_equal(mt.cluster_dirs(a, "kubernetes"), [], "directories")


def main():
    top = tempfile.mkdtemp(prefix="mgt-kube-")
    SPECIFIC.update(home=top, binaries=binaries())  # kubectl keeps a cache in its home
    path = ":".join([SPECIFIC["binaries"], newer(SPECIFIC["binaries"], "1.20.2", "1.21.2", top),
                     newer(SPECIFIC["binaries"], "1.20.2", "1.23.2", top)])
    try:
        with mt.Allinone(options=["--set", "conductor.health_interval_s=1", "--set",
                                  "certificates.rotation_grace_s=2", "--set",
                                  f"driver_config.{DRIVER}.kubernetes_path={path}"]) as a:
            a.start()
            SPECIFIC["stack"] = a
            try:
                mt.main(__name__, [
                    a_cluster_is_created_and_waited_for, kubectl_works_with_the_kubeconfig,
                    pods_run_on_both_nodes_and_reach_each_other, bad_labels_are_refused,
                    it_scales_up_and_down_and_pods_move, a_nodegroup_comes_and_goes,
                    nodes_outlive_magnum_and_are_found_again, health_tells_what_is_wrong,
                    a_dead_node_is_noticed_and_started_again,
                    an_upgrade_goes_one_minor_version_at_a_time,
                    the_ca_is_rotated_while_pods_run, zero_workers_are_possible,
                    delete_leaves_nothing, a_conductor_killed_in_the_middle_leaves_one_cluster,
                    three_masters_survive_the_loss_of_one, a_half_made_cluster_can_be_deleted,
                    a_daemon_that_cannot_live_is_named,
                    a_missing_part_is_said_before_anything_is_made])
            finally:
                mt.delete_all(a)
    finally:
        shutil.rmtree(top, ignore_errors=True)


main()
