"""Pods, services and replication controllers of the first Magnum on a real Kubernetes API (a local
control plane without workers): through the API and our client, from manifests given and fetched,
with Kubernetes' own words for what goes wrong."""
import http.server
import json
import os
import signal
import threading

import kubetest as kt
import magnumtest as mt
from kubetest import SPECIFIC, get, kubectl, save_config, show
from magnumtest import check, check_equal, wait_for

POD = {"apiVersion": "v1", "kind": "Pod",
       "metadata": {"name": "p1", "labels": {"app": "one"},
                    "annotations": {"description": "the first"}},
       "spec": {"containers": [{"name": "c", "image": "localhost/test:1"}]}}
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: s1, labels: {tier: front}}
spec:
  selector: {app: one}
  ports:
  - {name: http, port: 80, targetPort: 8080}
"""
RC = """
kind: ReplicationController
metadata: {name: r1}
spec:
  replicas: 2
  selector: {app: two}
  template:
    metadata: {labels: {app: two}}
    spec:
      containers:
      - {name: c, image: "localhost/test:1"}
"""


def ask(method, path, body=None, want=200):
    answer = SPECIFIC["stack"].client(method, path, body)
    check_equal(answer.status, want, f"{method} {path}: {answer}")
    return answer.json() if want != 204 else None


def refused(path, body, status, text, method="POST"):
    said = ask(method, path, body, want=status)["errors"][0]["detail"]
    check(text in said, f"{text}: {said}")


def make(path, manifest, **more):
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    return ask("POST", path, dict(bay_uuid="k1", manifest=text, **more), want=201)


class Files(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        where = {"/again": "/loop", "/loop": "/again", "/away": f"http://127.0.0.2:{self.port()}/s",
                 "/there": "/s", "/file": "file:///etc/passwd"}.get(self.path)
        body = {"/s": SERVICE.replace("s1", "s2").encode(), "/big": b"#" * 600000,
                "/endless": None}.get(self.path, b"")
        self.send_response(302 if where else 200 if self.path in ("/s", "/big") else 404)
        if where:
            self.send_header("Location", where)
        self.end_headers()
        self.wfile.write(body or b"")

    def port(self):
        return self.server.server_address[1]

    def log_message(self, *args):
        pass


def a_cluster_is_created():
    a = SPECIFIC["stack"]
    a.cli("cluster", "template", "create", "k8s", "--coe", "kubernetes", "--server-type", "local",
          "--image", "linux", "--labels", "kube_tag=v1.20.2")
    a.cli("cluster", "create", "k1", "--cluster-template", "k8s", "--node-count", "0", "--wait",
          timeout=300)
    SPECIFIC["uuid"] = show("uuid")
    SPECIFIC["config"] = save_config("k1", "config")
    wait_for("the account that pods get", lambda: "default" in kubectl("get", "sa", want=None), 60)


def a_pod_lives():
    pod = make("/v1/pods", POD)
    check_equal((pod["name"], pod["desc"], pod["labels"], pod["images"], pod["status"]),
                ("p1", "the first", {"app": "one"}, ["localhost/test:1"], "Pending"), "the pod")
    check_equal(pod["bay_uuid"], SPECIFIC["uuid"], "bay_uuid")
    real = get("pod", "p1")
    check_equal(real["metadata"]["labels"]["magnum.openstack.org/uuid"], pod["uuid"], "our label")
    check_equal(ask("GET", "/v1/pods/p1")["uuid"], pod["uuid"], "by name")
    kubectl("label", "pod", "p1", "more=yes")
    check_equal(ask("GET", "/v1/pods?bay_ident=k1")["pods"][0]["labels"],
                {"app": "one", "more": "yes"}, "a list of one bay is fresh")
    changed = dict(POD, metadata=dict(POD["metadata"], labels={"app": "other"}))
    patch = [{"op": "replace", "path": "/manifest", "value": json.dumps(changed)}]
    refused("/v1/pods/p1", patch, 400, "422", method="PATCH")  # a pod's spec was completed: no PUT
    ask("DELETE", "/v1/pods/p1", want=204)
    kubectl("get", "pod", "p1", want=1)
    check_equal(ask("GET", "/v1/pods")["pods"], [], "rows")


def a_service_lives():
    service = make("/v1/services", SERVICE)
    check_equal((service["selector"], service["labels"]), ({"app": "one"}, {"tier": "front"}),
                "the service")
    check_equal(service["ports"][0]["port"], 80, "port")
    check_equal(service["ip"], get("svc", "s1")["spec"]["clusterIP"], "ip")
    patch = [{"op": "replace", "path": "/manifest", "value": SERVICE.replace("80,", "81,")}]
    check_equal(ask("PATCH", "/v1/services/s1", patch)["ports"][0]["port"], 81, "changed")
    check_equal(get("svc", "s1")["spec"]["ports"][0]["port"], 81, "in Kubernetes")
    check_equal(get("svc", "s1")["metadata"]["labels"]["magnum.openstack.org/uuid"],
                service["uuid"], "still ours")
    other = [{"op": "replace", "path": "/manifest", "value": SERVICE.replace("s1", "s9")}]
    refused("/v1/services/s1", other, 400, "default/s9", method="PATCH")
    ask("DELETE", f"/v1/services/{service['uuid']}", want=204)
    kubectl("get", "svc", "s1", want=1)


def a_controller_lives_with_the_old_words():
    a = SPECIFIC["stack"]
    file = a.state / "rc.yaml"
    file.write_text(RC)
    made = json.loads(a.cli("rc-create", "--bay", "k1", "--manifest", str(file), "-f", "json"))
    check_equal((made["replicas"], made["images"]), (2, ["localhost/test:1"]), "the controller")
    wait_for("its pods", lambda: len(get("pods", "-l", "app=two")["items"]) == 2, 30)
    file.write_text(RC.replace("replicas: 2", "replicas: 0"))
    a.cli("rc-update", "k1", "r1", "replace", f"manifest={file}")
    wait_for("no pods", lambda: not get("pods", "-l", "app=two")["items"], 60)
    check_equal(json.loads(a.cli("rc-show", "k1", "r1", "-f", "json"))["replicas"], 0, "replicas")
    check("r1" in a.cli("rc-list", "--bay", "k1"), "listed")
    a.cli("rc-delete", "k1", "r1")
    kubectl("get", "rc", "r1", want=1)
    a.cli("rc-show", "r1", want=3)


def manifests_come_from_urls_within_limits():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}"

    def fetch(url, text):
        refused("/v1/services", dict(bay_uuid="k1", manifest_url=url), 400, text)
    try:
        made = ask("POST", "/v1/services", dict(bay_uuid="k1", manifest_url=base + "/there"),
                   want=201)
        check_equal(made["name"], "s2", "fetched, behind one redirect")
        ask("DELETE", f"/v1/services/{made['uuid']}", want=204)
        fetch(base + "/nothing", "HTTP 404")
        fetch(base + "/big", "Manifest exceeds maximum allowed size (524288 bytes)")
        fetch(base + "/again", "Failed to retrieve manifest")
        fetch(base + "/file", "Failed to retrieve manifest")
        fetch(base + "/away", "not one that may be asked")  # 127.0.0.2 is not on the list
        fetch(base.replace("127.0.0.1", "127.0.0.3") + "/s", "not one that may be asked")
        fetch("http://[::1]:80/s", "not one that may be asked")
        fetch("http://0/s", "not one that may be asked")
        fetch("http://169.254.169.254/latest/meta-data", "not one that may be asked")
        fetch("ftp://example.org/s", "Invalid URL scheme ftp")
        fetch("file:///etc/passwd", "Invalid URL scheme file")
        fetch("http://user:pw@127.0.0.1/s", "Failed to retrieve manifest")
    finally:
        server.shutdown()
        server.server_close()


def bad_manifests_are_refused():
    bomb = "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\n"
    deep = "a: " + "[" * 200 + "]" * 200
    for text, want in (
            ("", "'manifest' can't be empty"), ("   \n", "'manifest' can't be empty"),
            ("{\"metadata\": ", "Error parsing manifest"), (bomb, "Error parsing manifest"),
            (deep, "Error parsing manifest"), ("- a\n- b\n", "not a JSON object or YAML mapping"),
            ("a: b\n---\nc: d\n", "Error parsing manifest"),
            ("kind: Pod\nspec: {}\n", "Field metadata['name'] can't be empty in manifest."),
            ("metadata: {name: x}\n", "Field spec['containers'] can't be empty in manifest."),
            (SERVICE, "of the kind Service, not Pod"),
            ("metadata: {name: x}\nspec: {containers: [{name: c}]}\n", "422"),
            ("metadata: {name: x, namespace: nowhere}\nspec: {containers: [{name: c, image: i}]}\n",
             "nowhere"),
            ("#" * 600000, "Manifest exceeds maximum allowed size (524288 bytes)")):
        answer = SPECIFIC["stack"].client("POST", "/v1/pods", dict(bay_uuid="k1", manifest=text))
        check(answer.status in (400, 404), f"{text[:40]!r}: {answer}")
        check(want in answer.json()["errors"][0]["detail"], f"{text[:40]!r}: {answer}")
    file = SPECIFIC["stack"].state / "large.yaml"
    for size, text in ((3000000, "HTTP 413"), (10000000, "large")):
        file.write_text("#" * size)
        said = SPECIFIC["stack"].cli("pod-create", "--bay", "k1", "--manifest", str(file), want=None)
        check(text in said, f"{size} bytes: {said}")
    refused("/v1/pods", dict(bay_uuid="k1"), 400, "'manifest' can't be empty")
    check_equal(ask("GET", "/v1/pods")["pods"], [], "no row of a refused one")


def names_that_are_taken_stay_their_owners():
    kubectl("apply", "-f", "-", text=SERVICE)  # not through Magnum
    refused("/v1/services", dict(bay_uuid="k1", manifest=SERVICE), 409, "default/s1")
    check_equal(ask("GET", "/v1/services")["services"], [], "no row")
    kubectl("delete", "svc", "s1")
    service = make("/v1/services", SERVICE)
    kubectl("delete", "svc", "s1")
    kubectl("apply", "-f", "-", text=SERVICE)
    shown = ask("GET", "/v1/services/s1")
    check("another object" in shown["status_reason"], f"it is not ours any more: {shown}")
    ask("DELETE", f"/v1/services/{service['uuid']}", want=204)
    kubectl("get", "svc", "s1")  # theirs stays
    kubectl("delete", "svc", "s1")


def containers_are_not_for_kubernetes():
    refused("/v1/containers", dict(bay_uuid="k1", image="i"), 400,
            "Cannot fulfill request with a kubernetes bay, expecting a swarm bay.")


def an_api_that_is_away_is_told():
    make("/v1/pods", POD)
    for pid in mt.node_pids(SPECIFIC["stack"], SPECIFIC["uuid"]):
        os.kill(pid, signal.SIGKILL)
    check_equal(ask("GET", "/v1/pods/p1")["status"], "Unknown", "what is stored, marked")
    check_equal(ask("GET", "/v1/pods?bay_ident=k1")["pods"][0]["status"], "Unknown", "in the list")
    answer = SPECIFIC["stack"].client("POST", "/v1/services", dict(bay_uuid="k1", manifest=SERVICE))
    check(answer.status in (503, 504), str(answer))
    check_equal(ask("GET", "/v1/services")["services"], [], "nothing is noted of it")


def the_rows_go_with_the_cluster():
    a = SPECIFIC["stack"]
    a.cli("cluster", "delete", "k1", "--wait", timeout=200)
    check_equal(ask("GET", "/v1/pods")["pods"], [], "rows")
    kt.gone_for_good(SPECIFIC["uuid"])


kt.run_cases(__name__, [
    a_cluster_is_created, a_pod_lives, a_service_lives, a_controller_lives_with_the_old_words,
    manifests_come_from_urls_within_limits, bad_manifests_are_refused,
    names_that_are_taken_stay_their_owners, containers_are_not_for_kubernetes,
    an_api_that_is_away_is_told, the_rows_go_with_the_cluster],
    options=("workload.manifest_networks=127.0.0.1", "workload.timeout_ms=10000"))
