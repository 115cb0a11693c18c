"""The life of a real Kubernetes cluster on this machine through our own client: create, use with
kubectl over TLS, pods and a service, scale, nodegroups, health, upgrade, delete, and nothing left
behind; a conductor killed in the middle, and what is wrong said before anything is made.

MAGNUM_LONG=1 adds what takes more than a minute by itself.

The daemons come from tools/kubernetes-binaries, which builds them when there are none: a machine
that can't do that fails this test."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import kubetest as kt
import magnumtest as mt
from kubetest import (DRIVER, QUICK, RC, SPECIFIC, fetch, get, gone_for_good, health, inside, kubectl,
                      nodes, provide_image, ready_nodes, running, save_config, show)
from magnumtest import check, check_equal, wait_for


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
    wait_for("all nodes to be ready", lambda: all(v[0] == "True" for v in nodes().values()), 240)
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


def the_only_master_is_not_replaced():
    a = SPECIFIC["stack"]
    before = mt.node_pids(a, SPECIFIC["uuid"])
    a.client.resize("k1", 1, nodegroup="default-master", nodes_to_remove=["k1-master-1"])
    a.client.wait_status("k1", "UPDATE_FAILED", 60)
    check("only etcd" in show("status_reason"), f"the reason says it: {show('status_reason')}")
    op = json.dumps(a.client.operations("k1")[0])
    check("a cluster with three masters" in op and '"user"' in op, f"who has to do what: {op}")
    check_equal(mt.node_pids(a, SPECIFIC["uuid"]), before, "the master lives")


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


def members(name):
    """{node: etcd's id of its member}, as each node's own etcd says that it is well."""
    a, found = SPECIFIC["stack"], {}
    for top in mt.node_dirs(a, show("uuid", name)):
        pki = top / "pki"
        if not (pki / "etcd-client.pem").exists():
            continue
        command = ["nsenter", f"--net=/run/netns/mag-{show('uuid', name)}-{top.name}", "etcdctl",
                   "--endpoints=https://127.0.0.1:2379", f"--cacert={pki}/etcd-ca.pem",
                   f"--cert={pki}/etcd-client.pem", f"--key={pki}/etcd-client.pem"]
        subprocess.run([*command, "endpoint", "health"], check=True, capture_output=True,
                       timeout=30 * mt.SLOW)
        rows = [line.split(", ") for line in subprocess.run(
            [*command, "member", "list"], check=True, capture_output=True, text=True,
            timeout=30 * mt.SLOW).stdout.splitlines()]
        check(all(row[1] == "started" for row in rows), f"members that {top.name} knows: {rows}")
        found[f"{name}-master-{top.name[1:]}"] = {f"{name}-master-{row[2][1:]}" for row in rows}
    check(all(known == set(found) for known in found.values()), f"who knows whom: {found}")
    return set(found)


ASK = """
import ssl, urllib.request
print(urllib.request.urlopen("https://127.0.0.1:6443/readyz", timeout=5,
                             context=ssl._create_unverified_context()).read().decode())
"""


def workers_find_the_api(name):
    """Inside each worker it is at 127.0.0.1, whichever masters there are."""
    a, uuid = SPECIFIC["stack"], show("uuid", name)
    for top in mt.node_dirs(a, uuid):
        if (top / "pki/kubelet.pem").exists():
            wait_for(f"the API inside {top.name}", lambda top=top: subprocess.run(
                ["nsenter", f"--net=/run/netns/mag-{uuid}-{top.name}", sys.executable, "-c", ASK],
                capture_output=True, text=True, timeout=60 * mt.SLOW).stdout == "ok\n", 60, 0.3)


def secret(config):
    return kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.word}", config=config, want=None)


def is_served_until(config, done):
    """Polls until it is done; the API goes on answering (an election may take its time)."""
    def polled():
        wait_for("the API to answer while a master is replaced",
                 lambda: secret(config) == "stays", 60, 0.2)
        return done()
    return wait_for("the master to be replaced", polled, 400, 0.1)


def three_masters_survive_the_loss_of_one():
    a = SPECIFIC["stack"]
    a.cli("cluster", "template", "create", "three", "--coe", "kubernetes", "--server-type",
          "local", "--image", "linux", "--master-lb-enabled", "--labels",
          f"kubeapi_options={QUICK}")
    a.cli("cluster", "create", "k5", "--cluster-template", "three", "--master-count", "3",
          "--node-count", "1", "--labels", "kube_tag=v1.20.2,auto_healing_enabled=yes",
          "--merge-labels", "--wait", timeout=300)
    uuid, config = show("uuid", "k5"), save_config("k5", "config5")
    ready_nodes(1, config=config)
    kubectl("create", "configmap", "kept", "--from-literal=word=stays", config=config)
    check_equal(members("k5"), {"k5-master-1", "k5-master-2", "k5-master-3"}, "members")
    text = a.cli("cluster", "resize", "k5", "1", "--nodegroup", "default-master", want=None)
    check("masters stays at 3" in text, f"masters can't become fewer: {text}")
    os.kill(mt.node_pids(a, uuid)[1], signal.SIGKILL)

    def healed():
        ops = [o for o in a.client.operations("k5") if o["kind"] == "scale"]
        check(not ops or ops[0]["status"] != "FAILED", f"{ops}")
        return ops and ops[0]["status"] == "SUCCEEDED" and ops[0]
    op = is_served_until(config, healed)
    events = a.client("GET", f"/v1/operations/{op['id']}/events", want=200).json()["events"]
    told = [e["message"] for e in events if e["code"] == "healing"]
    check(told and "k5-master-2 " in told[0] and "powered off" in told[0], f"events: {events}")
    check_equal(members("k5"), {"k5-master-1", "k5-master-3", "k5-master-5"}, "members")
    check_equal(len(mt.node_pids(a, uuid)), 4, "nodes that live")
    workers_find_the_api("k5")
    health("HEALTHY", '"api": "ok"', name="k5")
    SPECIFIC["three"] = uuid


def a_master_that_lives_is_replaced_by_name():
    """The one whose address clients have: they are told another, and workers find their way."""
    a, uuid = SPECIFIC["stack"], SPECIFIC["three"]
    before = show("api_address", "k5")
    a.cli("cluster", "resize", "k5", "3", "--nodegroup", "default-master", "--nodes-to-remove",
          "k5-master-1", "--wait", timeout=200)
    check(show("api_address", "k5") != before, "another address")
    config = SPECIFIC["config5"] = save_config("k5", "config5b")
    check_equal(secret(config), "stays", "what was there is there")
    check_equal(members("k5"), {"k5-master-3", "k5-master-5", "k5-master-6"}, "members")
    check_equal(len(show("master_addresses", "k5")), 3, "master addresses")
    workers_find_the_api("k5")
    check_equal(len(mt.node_namespaces(uuid)), 4, "network namespaces of nodes")
    health("HEALTHY", '"api": "ok"', name="k5")


def a_rotation_takes_one_master_after_the_other():
    """The others go on being etcd's majority."""
    a, uuid = SPECIFIC["stack"], SPECIFIC["three"]
    masters = [d for d in mt.node_dirs(a, uuid) if (d / "pki/etcd.pem").exists()]
    check_equal(len(masters), 3, "masters")
    together = set()

    def away():
        return {d.name for d in masters
                if not json.loads((d / "daemons.json").read_text())["etcd"]["ready"]}

    def rotated():
        at_once = away() & away()
        if len(at_once) > 1:
            together.update(at_once)
        ops = [o for o in a.client.operations("k5") if o["kind"] == "rotate_ca"]
        check(not ops or ops[0]["status"] != "FAILED", f"{ops}")
        return ops and ops[0]["status"] == "SUCCEEDED"
    a.cli("ca", "rotate", "k5")
    wait_for("the rotation", rotated, 300, 0.05)
    check_equal(together, set(), "masters that were away at once")
    config = SPECIFIC["config5"] = save_config("k5", "config5r")
    check_equal(secret(config), "stays", "what was there is there")


def masters_whose_certificates_all_expired_are_renewed():
    """None of them finds an etcd with a majority, so none can wait for another."""
    a, uuid = SPECIFIC["stack"], SPECIFIC["three"]
    masters = [d for d in mt.node_dirs(a, uuid) if (d / "pki/etcd.pem").exists()]
    check_equal(len(masters), 3, "masters")
    for part, file in (("kube-apiserver", "apiserver.pem"), ("etcd", "etcd.pem")):
        for top in masters:
            kt.expire(uuid, top, part, file)
    wait_for("the API to be gone", lambda: a.client.show("k5")["health_status"] != "HEALTHY", 60, 0.2)
    a.cli("ca", "rotate", "k5", "--wait", timeout=300)
    config = SPECIFIC["config5"] = save_config("k5", "config5c")
    check_equal(secret(config), "stays", "what was there is there")
    check_equal(members("k5"), {"k5-master-3", "k5-master-5", "k5-master-6"}, "members")
    health("HEALTHY", '"api": "ok"', name="k5")


def without_a_majority_nothing_is_replaced():
    a, uuid, config = SPECIFIC["stack"], SPECIFIC["three"], SPECIFIC["config5"]
    alive = dict(zip([d.name for d in mt.node_dirs(a, uuid)], mt.node_pids(a, uuid)))
    for node in ("n5", "n6"):
        os.kill(alive[node], signal.SIGKILL)
    health("UNHEALTHY", "no quorum: 1 of 3 masters are alive, 2 are needed", name="k5")
    a.client.resize("k5", 3, nodegroup="default-master", nodes_to_remove=["k5-master-5"])
    a.client.wait_status("k5", "UPDATE_FAILED", 100)
    reason = show("status_reason", "k5")
    check("1 of 3 run, and 2 are needed" in reason, f"the reason says it: {reason}")
    op = json.dumps(a.client.operations("k5")[0])
    check("starts those that are down again" in op and '"user"' in op, f"who has to do what: {op}")
    a.cli("cluster", "resize", "k5", "2", "--wait", timeout=200)  # as it says
    ready_nodes(2, config=config)
    check_equal(secret(config), "stays", "what was there is there")
    check_equal(members("k5"), {"k5-master-3", "k5-master-5", "k5-master-6"}, "members")
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


kt.run_cases(__name__, [
    a_cluster_is_created_and_waited_for, kubectl_works_with_the_kubeconfig,
    pods_run_on_both_nodes_and_reach_each_other, bad_labels_are_refused,
    it_scales_up_and_down_and_pods_move, a_nodegroup_comes_and_goes,
    nodes_outlive_magnum_and_are_found_again, health_tells_what_is_wrong,
    a_dead_node_is_noticed_and_started_again, an_upgrade_goes_one_minor_version_at_a_time,
    the_ca_is_rotated_while_pods_run, zero_workers_are_possible, the_only_master_is_not_replaced,
    delete_leaves_nothing,
    a_conductor_killed_in_the_middle_leaves_one_cluster, three_masters_survive_the_loss_of_one,
    a_master_that_lives_is_replaced_by_name,
    *([a_rotation_takes_one_master_after_the_other, masters_whose_certificates_all_expired_are_renewed]
      if os.environ.get("MAGNUM_LONG") else []),
    without_a_majority_nothing_is_replaced,
    a_half_made_cluster_can_be_deleted, a_daemon_that_cannot_live_is_named,
    a_missing_part_is_said_before_anything_is_made],
    options=("conductor.health_interval_s=1", "conductor.heal_after_s=3",
             "conductor.heal_cool_down_s=1", "certificates.rotation_grace_s=2"),
    versions=("1.21.2", "1.23.2"))
