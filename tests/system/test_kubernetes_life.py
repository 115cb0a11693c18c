"""What happens to a local Kubernetes cluster beyond its plain life: both clients' kubeconfig, an ill
worker that is replaced, webhooks that hang, an API that does not answer, a certificate that
expired, and what an autoscaler does. Each fault has its reason, and each cluster can be deleted."""
import json
import os
import pathlib
import signal
import subprocess
import sys

import kubetest as kt
import magnumtest as mt
from kubetest import (QUICK, RC, SPECIFIC, get, gone_for_good, health, inside, kubectl, nodes,
                      provide_image, ready_nodes, running, save_config, show)
from magnumtest import check, check_equal, wait_for

DRAIN_S = 8  # the webhook is given up several times within it


def detail(answer):
    return answer.json()["errors"][0]["detail"]


def what_cannot_work_is_said_by_the_api():
    a = SPECIFIC["stack"]
    provide_image()
    for name, labels in (("k8s", f"kubeapi_options={QUICK},kube_tag=v1.20.2,"
                                 f"drain_timeout_seconds={DRAIN_S},auto_healing_enabled=yes"),
                         ("other", f"kubeapi_options={QUICK},flannel_network_cidr=10.90.0.0/16")):
        a.cli("cluster", "template", "create", name, "--coe", "kubernetes", "--server-type",
              "local", "--image", "linux", "--labels", labels)
    template = json.loads(a.cli("cluster", "template", "show", "k8s", "-f", "json"))["uuid"]
    answer = a.client("POST", "/v1/clusters", dict(name="even", cluster_template_id=template,
                                                   master_count=2), want=400)
    check("even number" in detail(answer), f"even masters: {answer}")
    answer = a.client("POST", "/v1/clusters", dict(
        name="bad", cluster_template_id=template, merge_labels=True,
        labels=dict(drain_timeout_seconds="99999")), want=400)
    for part in ("drain_timeout_seconds", "99999", "3600"):
        check(part in detail(answer), f"the reason names {part}: {answer}")
    check_equal(a.client.clusters(), [], "clusters")


def openstack(*args):
    """The client that Debian packages, without Keystone."""
    a = SPECIFIC["stack"]
    r = subprocess.run(["openstack", "--os-auth-type", "none", "--os-endpoint", f"{a.url}/v1",
                        *args], capture_output=True, text=True, env=a.full_env(),
                       timeout=60 * mt.SLOW)
    check_equal(r.returncode, 0, f"openstack {' '.join(args)}: {r.stdout}{r.stderr}")


def kubectl_works_with_the_kubeconfig_of_both_clients():
    a = SPECIFIC["stack"]
    a.cli("cluster", "create", "k1", "--cluster-template", "k8s", "--node-count", "2", "--wait",
          timeout=300)
    SPECIFIC["uuid"] = show("uuid")
    SPECIFIC["config"] = save_config("k1", "config")
    before = set(ready_nodes(2))
    directory = a.state / "coe"
    directory.mkdir()
    openstack("coe", "cluster", "config", "k1", "--dir", str(directory))
    check_equal(set(ready_nodes(2, config=directory / "config")), before, "the same nodes")


def an_ill_worker_is_replaced():
    """Nobody asks for it: the label does, and the limits allow it."""
    a = SPECIFIC["stack"]
    kubectl("apply", "-f", "-", text=RC)
    running(4)
    health("HEALTHY", '"api": "ok"')
    before = set(nodes())
    ill = mt.node_pids(a, SPECIFIC["uuid"])[-1]
    os.kill(ill, signal.SIGKILL)

    def replaced():
        ops = [o for o in a.client.operations("k1") if o["kind"] == "scale"]
        return ops and ops[0]["status"] == "SUCCEEDED" and ops[0]
    op = wait_for("the ill node to be replaced", replaced, 400, 0.5)
    after = set(ready_nodes(2))
    check_equal(len(before & after), 1, f"one node stayed: {before} {after}")
    events = a.client("GET", f"/v1/operations/{op['id']}/events", want=200).json()["events"]
    told = [e["message"] for e in events if e["code"] == "healing"]
    gone = (before - after).pop()
    check(told and gone in told[0] and "powered off" in told[0], f"an event tells why: {events}")
    running(4)
    health("HEALTHY", '"api": "ok"')
    check_equal(len(mt.node_namespaces(SPECIFIC["uuid"])), 3, "network namespaces of nodes")


HOLE = """
import socket, time
s = socket.create_server(("127.0.0.1", 9443), backlog=64)
print("ready", flush=True)
kept = []
while True:
    kept.append(s.accept())
"""
HOOK = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: hole}
webhooks:
- name: hole.example.org
  clientConfig: {url: "https://127.0.0.1:9443/"}
  rules:
  - {apiGroups: [""], apiVersions: ["v1"], operations: [CREATE, DELETE],
     resources: ["pods/eviction", "pods"]}
  failurePolicy: Fail
  sideEffects: None
  admissionReviewVersions: ["v1"]
  timeoutSeconds: 1
"""


def a_hanging_webhook_does_not_hold_a_drain():
    a = SPECIFIC["stack"]
    master = mt.node_namespaces(SPECIFIC["uuid"])[0]
    busy = sorted(running(4).values())[0]
    hole = subprocess.Popen(["ip", "netns", "exec", master, sys.executable, "-c", HOLE],
                            stdout=subprocess.PIPE, text=True)
    try:
        check_equal(hole.stdout.readline(), "ready\n", "the webhook that never answers")
        kubectl("apply", "-f", "-", text=HOOK)
        wait_for("the webhook to be asked", lambda: kubectl(
            "run", "x", "--image=x", "--dry-run=server", want=None) == "", 30, 0.2)
        a.client.resize("k1", 1, nodegroup="default-worker", nodes_to_remove=[busy])

        def told():
            return "failed calling webhook" in json.dumps(a.client.operations("k1")[0])
        try:
            wait_for("the operation to name what holds it up", told, 30, 0.05)
        except mt.Failed as e:
            raise mt.Failed(f"{e}: {a.client.operations('k1')[0]}") from None
        a.client.wait_status("k1", "UPDATE_COMPLETE", 120)
        check_equal(len(nodes()), 1, "nodes")
        check(busy not in nodes(), "the named one has gone")
    finally:
        hole.kill()
        hole.wait()
        kubectl("delete", "validatingwebhookconfiguration", "hole", want=None)


def an_autoscaler_finds_what_it_needs():
    """What it reads and sends: bounds, a resize within them, nodes named for removal."""
    a = SPECIFIC["stack"]
    path = f"/v1/clusters/{SPECIFIC['uuid']}/nodegroups/default-worker"
    headers = {"OpenStack-API-Version": "container-infra 1.14"}
    a.client("PATCH", path, [dict(op="replace", path="/min_node_count", value=1),
                             dict(op="replace", path="/max_node_count", value=2)],
             headers=headers, want=202)
    a.client.wait_status("k1", "UPDATE_COMPLETE", 120)
    group = a.client("GET", path, headers=headers, want=200).json()
    check_equal((group["min_node_count"], group["max_node_count"], group["node_count"]), (1, 2, 1),
                "bounds and size")
    resize = f"/v1/clusters/{SPECIFIC['uuid']}/actions/resize"
    for wrong in (0, 3):
        answer = a.client("POST", resize, dict(node_count=wrong, nodegroup=group["uuid"]),
                          headers=headers, want=400)
        check("outside the allowed range" in detail(answer), f"{wrong}: {answer}")
    a.client("POST", resize, dict(node_count=2, nodegroup=group["uuid"]), headers=headers, want=202)
    a.client.wait_status("k1", "UPDATE_COMPLETE", 200)
    both = sorted(ready_nodes(2))
    a.client("POST", resize, dict(node_count=1, nodegroup=group["uuid"], nodes_to_remove=[both[0]]),
             headers=headers, want=202)
    a.client.wait_status("k1", "UPDATE_COMPLETE", 200)
    check_equal(sorted(ready_nodes(1)), both[1:], "the other one stays")
    check_equal(a.client("GET", path, headers=headers).json()["node_count"], 1, "size")


def a_credential_can_be_rotated():
    a = SPECIFIC["stack"]
    a.client("PATCH", f"/v1/credentials/{SPECIFIC['uuid']}", {}, want=202,
             headers={"OpenStack-API-Version": "container-infra 1.12"})
    a.client.wait_status("k1", "UPDATE_COMPLETE", 120)
    ready_nodes(1)


def more_than_half_ill_is_left_alone():
    a = SPECIFIC["stack"]
    a.cli("cluster", "resize", "k1", "2", "--wait", timeout=200)
    ready_nodes(2)
    health("HEALTHY", '"api": "ok"')
    count = len(a.client.operations("k1"))
    for pid in mt.node_pids(a, SPECIFIC["uuid"])[1:]:
        os.kill(pid, signal.SIGKILL)
    health("UNHEALTHY", "held back: 2 of 2 worker nodes are not ready")
    check_equal(len(a.client.operations("k1")), count, "operations")


def an_expired_certificate_is_named_and_rotation_heals_it():
    """The API's own certificate: nobody can work with the cluster, and its health says why."""
    a = SPECIFIC["stack"]
    uuid = SPECIFIC["uuid"]
    ended = kt.expire(uuid, mt.node_dirs(a, uuid)[0], "kube-apiserver", "apiserver.pem")
    for part in ("the certificate 'kube-apiserver' expired on", ended):
        wait_for(f"health to say {part}",
                 lambda part=part: part in json.dumps(a.client.show("k1")["health_status_reason"]),
                 120, 0.2)
    check(a.client.show("k1")["health_status"] in ("UNHEALTHY", "UNKNOWN"), "health")
    a.cli("ca", "rotate", "k1", "--wait", timeout=400)
    SPECIFIC["config"] = save_config("k1", "renewed")
    health("HEALTHY", "ok")
    check_equal(kubectl("get", "--raw", "/readyz"), "ok", "the API")


def a_cluster_whose_api_hangs_says_so_and_can_be_deleted():
    a = SPECIFIC["stack"]
    api = inside(mt.node_dirs(a, SPECIFIC["uuid"])[0], "kube-apiserver")
    os.kill(api, signal.SIGSTOP)
    health("UNKNOWN", "timed out")
    a.cli("cluster", "resize", "k1", "1")

    def told():
        ops = [o for o in a.client.operations("k1") if o["kind"] == "scale"]
        return "Waiting for the Kubernetes API" in json.dumps(ops[0])
    wait_for("the operation to say what it waits for", told, 60, 0.2)
    a.cli("cluster", "delete", "k1", "--wait", timeout=200)
    check(a.client.show("k1") is None, "the cluster is gone")
    gone_for_good(SPECIFIC["uuid"])


kt.run_cases(__name__, [
    what_cannot_work_is_said_by_the_api, kubectl_works_with_the_kubeconfig_of_both_clients,
    an_ill_worker_is_replaced, a_hanging_webhook_does_not_hold_a_drain,
    an_autoscaler_finds_what_it_needs, a_credential_can_be_rotated,
    more_than_half_ill_is_left_alone, an_expired_certificate_is_named_and_rotation_heals_it,
    a_cluster_whose_api_hangs_says_so_and_can_be_deleted],
    options=("conductor.health_interval_s=1", "conductor.heal_after_s=3",
             "conductor.heal_cool_down_s=1", "certificates.rotation_grace_s=2"))
