"""Kubernetes clusters through the lab's real Heat, Nova (whose servers never boot), Neutron, Octavia
and Keystone: life of a cluster, what is refused, what fails and why, and a conductor killed in the
middle. The lab's nodefaker signals the wait conditions as nodes would.

The test has a project of its own: its quotas, stacks and servers are nobody else's. Two clusters
live side by side, since each change of a stack takes Heat its time.
"""
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import cluster_net
import lab
import magnumtest as mt
from cluster_api import ClusterApi
from lab import keystone, of_project
from magnumtest import check, check_equal, wait_for

S = {}
NAME = f"kube-{os.urandom(3).hex()}"
LIMIT = 600  # seconds for one change; the lab's machine may be busy


# ---- an account of our own ----

@contextlib.contextmanager
def account():
    admin = S["lab"].token("admin")
    made = []
    try:
        project = keystone("POST", "/projects", {"project": {"name": NAME, "domain_id": "default"}},
                           admin)[1]["project"]["id"]
        made.append(f"/projects/{project}")
        user = keystone("POST", "/users", {"user": {
            "name": NAME, "domain_id": "default", "password": lab.PASSWORD}}, admin)[1]["user"]["id"]
        made.append(f"/users/{user}")
        for role in ("member", "creator", "heat_stack_owner", "load-balancer_member", "reader"):
            for r in keystone("GET", f"/roles?name={role}", token=admin)[1]["roles"]:
                keystone("PUT", f"/projects/{project}/users/{user}/roles/{r['id']}", token=admin)
        yield project
    finally:
        for path in reversed(made):
            keystone("DELETE", path, token=admin, want=(204, 404))


def heat(method, path, body=None, want=(200, 201, 202, 204)):
    headers = {"X-Auth-Token": S["token"], "Content-Type": "application/json"}
    status, _, text = lab._open(method, S["heat"] + path, body, headers)
    check(status in want, f"Heat {method} {path}: {status} {text[:300]!r}")
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return text


def stacks():
    """{name: stack} of our project, without nested ones."""
    return {s["stack_name"]: s for s in heat("GET", "/stacks")["stacks"]}


def outputs(uuid, group=None):
    name = f"mag-{uuid}" + (f"-{group}" if group else "")
    s = heat("GET", f"/stacks/{name}/{stacks()[name]['id']}")["stack"]
    return {o["output_key"]: o["output_value"] for o in s["outputs"]}


def servers():
    """{name: server} of our project."""
    found = S["lab"].call(S["token"], "compute", "GET", "/servers/detail")["servers"]
    return {s["name"]: s for s in found}


def quota(**values):
    S["lab"].call(S["lab"].token("admin"), "compute", "PUT", f"/os-quota-sets/{S['project']}",
                  {"quota_set": dict(values, force=True)})


# ---- Magnum ----

def ask(method, path, body=None, want=None):
    a = mt.request(S["stack"].url, method, path, body, headers={"X-Auth-Token": S["token"]})
    wanted = want if isinstance(want, tuple) or want is None else (want,)
    check(wanted is None or a.status in wanted, f"{method} {path}: wanted {want}, got {a}")
    return a


def template(name, want=201, **kw):
    labels = kw.pop("labels", {})
    body = dict(name=name, coe="kubernetes", server_type="vm", image_id="fedora-coreos",
                flavor_id="m1.small", master_flavor_id="m1.small", external_network_id="public",
                network_driver="flannel", floating_ip_enabled=False,
                labels={"kube_tag": "v1.26.3", **labels})
    return ask("POST", "/v1/clustertemplates", {**body, **kw}, want)


def create(name, want=202, tmpl=None, **kw):
    body = dict(name=name, cluster_template_id=tmpl or S["template"], node_count=1, **kw)
    a = ask("POST", "/v1/clusters", body, want)
    return a.json()["uuid"] if want == 202 else a


def show(uuid):
    return ask("GET", f"/v1/clusters/{uuid}", want=200).json()


def group(uuid, name):
    return ask("GET", f"/v1/clusters/{uuid}/nodegroups/{name}", want=200).json()


def becomes(uuid, status, timeout=LIMIT):
    def there():
        c = show(uuid)
        check(c["status"] == status or not c["status"].endswith(("_FAILED", "_COMPLETE"))
              or not c["status"].startswith(status.split("_")[0]),
              f"{c['status']}: {c['status_reason']}")
        return c["status"] == status and c
    return wait_ended(f"{uuid} to be {status}", there, timeout)


def wait_ended(what, condition, timeout=LIMIT):
    """wait_for, but a failure that will not go away ends it."""
    until = time.monotonic() + timeout * mt.SLOW
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.5)
    raise mt.Failed(f"timed out after {timeout} s waiting for {what}")


def is_gone(uuid):
    a = ask("GET", f"/v1/clusters/{uuid}")
    check(a.status == 404 or a.json()["status"] != "DELETE_FAILED", f"{a}")
    return a.status == 404


def remove(uuid):
    ask("DELETE", f"/v1/clusters/{uuid}", want=204)
    wait_ended("cluster to be gone", lambda: is_gone(uuid))


def openstack(*args):
    env = S["lab"].environ(NAME, NAME, OS_REGION_NAME=S["region"])
    r = subprocess.run(["openstack", "coe", *args], env=env, capture_output=True, text=True,
                       timeout=180)
    check(r.returncode == 0, f"openstack coe {' '.join(args)}: {r.stdout}{r.stderr}")
    return r.stdout


def nodes(uuid):
    """Names of the servers of a cluster, by its nodegroup's role in the name."""
    name = show(uuid)["name"]
    return sorted(n for n in servers() if n.startswith(f"{name}-"))


# ---- cases ----

def what_cannot_be_is_refused_before_anything_is_made():
    plain = S["template"]
    weave = template("weave", network_driver="calico",
                     labels={"calico_ipv4pool": "300.1.2.3/16"}).json()["uuid"]
    no_tls = template("no-tls", tls_disabled=True).json()["uuid"]
    bare = template("bare", server_type="bm").json()["uuid"]
    for why, text, kw in (
            ("several masters without a balancer", "master_lb_enabled", dict(master_count=3)),
            ("seven masters", "at most 5", dict(master_count=7, master_lb_enabled=True)),
            ("pods without a network", "calico_ipv4pool", dict(tmpl=weave)),
            ("no TLS", "TLS", dict(tmpl=no_tls)),
            ("bare metal without a network", "fixed_network", dict(tmpl=bare)),
            ("a version that is none", "kube_tag", dict(labels={"kube_tag": "newest"})),
            ("a flavor that is none", "flavor", dict(flavor_id="m1.none"))):
        a = create("refused", want=None, **dict({"tmpl": plain}, **kw))
        if a.status == 202:  # said by the operation
            c = wait_ended(why, lambda u=a.json()["uuid"]: show(u)["status"] == "CREATE_FAILED"
                           and show(u), 60)
            reason = c["status_reason"]
            remove(c["uuid"])
        else:
            check_equal(a.status, 400, why)
            reason = a.json()["errors"][0]["detail"]
        check(text.lower() in reason.lower(), f"{why}: {reason}")
    template("no-image", want=(400, 404), image_id="no-such-image")
    template("no-distro", want=(400, 404), image_id="no-distro")
    check_equal(stacks(), {}, "stacks")


def a_killed_conductor_leaves_one_stack_each():
    """Killed once while Heat is being asked, and once while it works."""
    S["a"] = create("alpha", master_count=3, master_lb_enabled=True)
    S["b"] = create("beta")
    victim = S["stack"].child("magnum-conductor")
    wait_for("the first stack", stacks, 60, every=0.02)
    os.kill(victim, signal.SIGKILL)
    wait_for("another conductor",
             lambda: S["stack"].child("magnum-conductor") not in (None, victim), 60)
    wait_for("both stacks", lambda: len(stacks()) == 2, 90, every=0.2)
    victim = S["stack"].child("magnum-conductor")
    os.kill(victim, signal.SIGKILL)
    b, a = becomes(S["b"], "CREATE_COMPLETE"), becomes(S["a"], "CREATE_COMPLETE")
    check_equal(sorted(stacks()), sorted(f"mag-{u}" for u in (S["a"], S["b"])), "stacks")
    check_equal(nodes(S["a"]), ["alpha-master-0", "alpha-master-1", "alpha-master-2",
                                "alpha-worker-0"], "servers")
    out = outputs(S["a"])
    check_equal(a["api_address"], f"https://{out['api_private']}:6443", "API")
    check_equal(sorted(a["master_addresses"]), sorted(out["master_private_addresses"]), "masters")
    check_equal(a["node_addresses"], out["worker_private_addresses"], "workers")
    check_equal((a["coe_version"], b["coe_version"]), ("v1.26.3", "v1.26.3"), "version")
    check_equal(group(S["a"], "default-worker")["stack_id"], stacks()[f"mag-{S['a']}"]["id"],
                "the stack's id")


def nodes_know_what_they_need():
    """The user data is readable for administrators only."""
    admin = S["lab"].token("admin")
    seen = S["lab"].call(admin, "compute", "GET", f"/servers/{servers()['alpha-master-0']['id']}",
                         **{"OpenStack-API-Version": "compute 2.3"})["server"]
    data = json.loads(base64.b64decode(seen["OS-EXT-SRV-ATTR:user_data"]))  # Ignition
    text = json.dumps(data)
    for left in ("__NODE_NAME__", "__WAIT_URL__", "__WAIT_PASSWORD__", "__MASTER_IPS__"):
        check(left not in text, f"{left} was not replaced")
    out = outputs(S["a"])
    for value in ("alpha-master-0", ",".join(out["master_private_addresses"]),
                  out["api_private"], "/signal"):
        check(value in text, f"the user data lacks {value}")
    meta = seen["metadata"]
    check_equal((meta["magnum_generation"], meta["magnum_kube_version"], meta["magnum_ca_phase"]),
                ("1", "v1.26.3", ""), "metadata")


class Api(ClusterApi):
    """Kubernetes' own word on which masters are ready."""
    ready = ()

    def answer(self, method, path, body):
        if path == "/readyz":
            return 200, {}, b"ok"
        if method == "GET" and path.startswith("/api/v1/nodes"):
            return self.fine({"kind": "NodeList", "metadata": {}, "items": [
                {"metadata": {"name": n}, "status": {"conditions": [
                    {"type": "Ready", "status": "True"}]}} for n in self.ready]})
        return 404, {}, b"{}"


def masters_are_replaced_while_the_others_decide():
    """Not when nobody can tell, and not when those that stay are no majority."""
    names = [f"alpha-master-{i}" for i in range(3)]
    before, addresses = servers(), show(S["a"])["master_addresses"]

    def replace(what):
        ask("POST", f"/v1/clusters/{S['a']}/actions/resize", dict(
            node_count=3, nodegroup="default-master", nodes_to_remove=[what]), want=202)

    def refused(what, why):
        replace(what)
        reason = becomes_failed(S["a"], "UPDATE_FAILED")["status_reason"]
        check(why in reason, f"{what}: {reason}")
    refused(names[2], "can't be asked")
    api = Api(ask, S["net"], S["a"], outputs(S["a"])["api_private"], 6443)
    try:
        api.ready = names[:2]
        refused(names[1], "Of 3 masters 1 would be left to decide, and 2 are needed")
        refused("alpha-worker-0", "no node 'alpha-worker-0'")
        replace(before[names[2]]["id"])
        becomes(S["a"], "UPDATE_COMPLETE")
    finally:
        api.close()
    after = servers()
    check_equal(sorted(after), sorted(before), "names of servers")
    check_equal({n for n in after if after[n]["id"] != before[n]["id"]}, {names[2]}, "new servers")
    check_equal(after[names[2]]["metadata"]["magnum_generation"], "2", "its generation")
    check_equal(show(S["a"])["master_addresses"], addresses, "addresses of masters")
    S["masters"] = {n: after[n]["id"] for n in names}


def it_scales_and_named_nodes_go():
    openstack("cluster", "resize", "alpha", "2")
    ask("POST", f"/v1/clusters/{S['b']}/actions/resize", dict(
        node_count=1, nodes_to_remove=["no-such-node"]), want=202)
    c = becomes_failed(S["b"], "UPDATE_FAILED")
    check("no-such-node" in c["status_reason"], f"{c['status_reason']}")
    becomes(S["a"], "UPDATE_COMPLETE")
    check_equal(outputs(S["a"])["worker_names"], ["alpha-worker-0", "alpha-worker-1"],
                "workers")
    gone = servers()["alpha-worker-0"]["id"]
    openstack("cluster", "resize", "alpha", "1", "--nodes-to-remove", gone)
    a = becomes(S["a"], "UPDATE_COMPLETE")
    check_equal(outputs(S["a"])["worker_names"], ["alpha-worker-1"], "workers")
    check_equal({n: s["id"] for n, s in servers().items() if "-master-" in n
                 and n.startswith("alpha-")}, S["masters"], "masters")
    check_equal((a["node_count"], len(a["node_addresses"])), (1, 1), "counts")


def becomes_failed(uuid, status):
    return wait_ended(f"{status}", lambda: show(uuid)["status"] == status and show(uuid))


def quota_and_hosts_give_their_reason():
    """Of the failed server, not of what stands above it; and what is made again afterwards."""
    flavor = S["lab"].call(S["lab"].token("admin"), "compute", "POST", "/flavors", {"flavor": {
        "name": f"huge-{NAME}", "ram": 1 << 30, "vcpus": 4000, "disk": 1}})["flavor"]["id"]
    try:
        quota(instances=len(servers()) + 1, cores=10000, ram=-1)
        ask("POST", f"/v1/clusters/{S['b']}/actions/resize", dict(node_count=4), want=202)
        ask("POST", f"/v1/clusters/{S['a']}/nodegroups", dict(
            name="huge", node_count=1, flavor_id=f"huge-{NAME}"), want=202)
        b = becomes_failed(S["b"], "UPDATE_FAILED")
        check("quota" in b["status_reason"].lower(), f"{b['status_reason']}")
        wait_ended("the nodegroup to fail",
                   lambda: group(S["a"], "huge")["status"] == "CREATE_FAILED")
        reason = group(S["a"], "huge")["status_reason"] or ""
        check("host" in reason.lower() or "quota" in reason.lower(), f"{reason}")
        quota(instances=20, cores=100, ram=-1)
        ask("POST", f"/v1/clusters/{S['b']}/actions/resize", dict(node_count=2), want=202)
        ask("DELETE", f"/v1/clusters/{S['a']}/nodegroups/huge", want=204)
        becomes(S["b"], "UPDATE_COMPLETE")
        check_equal(len(outputs(S["b"])["worker_ids"]), 2, "workers")
        wait_ended("the nodegroup to be gone", lambda: ask(
            "GET", f"/v1/clusters/{S['a']}/nodegroups/huge").status == 404)
        check_equal(len(stacks()), 2, "stacks")
    finally:
        S["lab"].call(S["lab"].token("admin"), "compute", "DELETE", f"/flavors/{flavor}")


def a_nodegroup_has_its_own_stack_and_comes_back():
    uuid = ask("POST", f"/v1/clusters/{S['a']}/nodegroups", dict(
        name="extra", node_count=1, flavor_id="m1.tiny", role="batch"), want=202).json()["uuid"]
    wait_ended("the nodegroup", lambda: group(S["a"], "extra")["status"] == "CREATE_COMPLETE")
    becomes(S["a"], "UPDATE_COMPLETE")
    check("alpha-extra-0" in servers(), f"{servers().keys()}")
    name = f"mag-{S['a']}-{uuid}"
    before = stacks()[name]["id"]
    check_equal(group(S["a"], "extra")["stack_id"], before, "the stack's id")
    heat("DELETE", f"/stacks/{name}/{before}")
    wait_ended("the stack to be gone", lambda: name not in stacks())
    ask("POST", f"/v1/clusters/{S['a']}/actions/resize", dict(
        node_count=2, nodegroup="extra"), want=202)
    becomes(S["a"], "UPDATE_COMPLETE")
    check_equal(sorted(outputs(S["a"], uuid)["names"]), ["alpha-extra-0", "alpha-extra-1"], "nodes")
    ask("DELETE", f"/v1/clusters/{S['a']}/nodegroups/extra", want=204)
    wait_ended("the nodegroup to be gone", lambda: ask(
        "GET", f"/v1/clusters/{S['a']}/nodegroups/extra").status == 404)
    check(name not in stacks(), "its stack is still there")


def an_upgrade_tells_each_node_once():
    newer = template("newer", labels={"kube_tag": "v1.27.4"}).json()["uuid"]
    far = template("far", labels={"kube_tag": "v1.29.0"}).json()["uuid"]
    a = ask("POST", f"/v1/clusters/{S['b']}/actions/upgrade", dict(cluster_template=far))
    check(a.status in (400, 409) and b"minor" in a.body, f"two versions at once: {a}")
    before = {n: s["id"] for n, s in servers().items()}
    openstack("cluster", "upgrade", "beta", newer)
    b = becomes(S["b"], "UPDATE_COMPLETE")
    check_equal(b["coe_version"], "v1.27.4", "version")
    now = servers()
    check_equal({n: s["id"] for n, s in now.items()}, before, "no server was replaced")
    told = {n: (s["metadata"]["magnum_generation"], s["metadata"]["magnum_kube_version"])
            for n, s in now.items() if n.startswith("beta-")}
    check_equal(set(told.values()), {("2", "v1.27.4")}, "what nodes are told")
    check_equal(len(told), 3, "nodes")


def the_ca_is_rotated_in_three_words():
    ask("PATCH", f"/v1/certificates/{S['b']}", want=202)

    def done():
        op = ask("GET", f"/v1/clusters/{S['b']}/operations").json()["operations"][0]
        check(op["status"] != "FAILED", f"{op}")
        return op["status"] == "SUCCEEDED"
    wait_ended("the rotation", done, 2 * LIMIT)
    told = {(s["metadata"]["magnum_generation"], s["metadata"]["magnum_ca_phase"])
            for n, s in servers().items() if n.startswith("beta-")}
    check_equal(told, {("5", "complete")}, "what nodes are told")


def a_stack_deleted_by_hand_is_said_and_the_cluster_deletable():
    name = f"mag-{S['b']}"
    heat("DELETE", f"/stacks/{name}/{stacks()[name]['id']}")
    wait_ended("the stack to be gone", lambda: name not in stacks())
    ask("POST", f"/v1/clusters/{S['b']}/actions/resize", dict(node_count=1), want=202)
    b = becomes_failed(S["b"], "UPDATE_FAILED")
    check("does not exist any more" in b["status_reason"], f"{b['status_reason']}")
    try:
        wait_ended("health to say it", lambda: "deleted outside" in str(
            show(S["b"])["health_status_reason"]), 120)
    except mt.Failed as e:
        raise mt.Failed(f"{e}: {show(S['b'])}") from e
    remove(S["b"])


def delete_sweeps_what_kubernetes_made():
    subnet = outputs(S["a"])["subnet"]
    S["lab"].call(S["token"], "load-balancer", "POST", "/v2/lbaas/loadbalancers", {
        "loadbalancer": {"name": f"kube_service_{S['a']}_default_web", "vip_subnet_id": subnet}})
    openstack("cluster", "delete", "alpha")
    wait_ended("the cluster to be gone", lambda: is_gone(S["a"]))
    check_equal((stacks(), list(servers())), ({}, []), "what is left in Heat and Nova")
    left = S["lab"].call(S["token"], "load-balancer", "GET",
                         f"/v2/lbaas/loadbalancers?project_id={S['project']}")["loadbalancers"]
    check_equal(left, [], "load balancers")
    for kind in ("networks", "routers", "ports", "floatingips"):
        left = S["lab"].call(S["token"], "network", "GET",
                             f"/v2.0/{kind}?project_id={S['project']}")[kind]
        check_equal(left, [], kind)


CASES = [
    what_cannot_be_is_refused_before_anything_is_made, a_killed_conductor_leaves_one_stack_each,
    nodes_know_what_they_need, masters_are_replaced_while_the_others_decide,
    it_scales_and_named_nodes_go, quota_and_hosts_give_their_reason,
    a_nodegroup_has_its_own_stack_and_comes_back, an_upgrade_tells_each_node_once,
    the_ca_is_rotated_in_three_words, a_stack_deleted_by_hand_is_said_and_the_cluster_deletable,
    delete_sweeps_what_kubernetes_made]


def run(l):
    options = dict(l.magnum_options(), **{
        "trust.trustee_domain_name": "magnum", "trust.trustee_domain_admin_password": lab.PASSWORD,
        "trust.trustee_domain_admin_name": "trustee_domain_admin",
        "api.public_url": "http://127.0.0.1:9511", "conductor.lease_ms": "3000",
        "conductor.health_interval_s": "5", "conductor.max_wait_ms": "1500",  # how often Heat is asked
        "conductor.health_interval_failed_s": "5", "certificates.rotation_grace_s": "1"})
    words = [w for k, v in options.items() for w in ("--set", f"{k}={v}")]
    S["net"] = cluster_net.Net()
    with contextlib.closing(S["net"]), account() as S["project"], mt.Allinone(
            options=words, env=S["net"].environment) as S["stack"]:
        S["token"], body = lab.login(NAME, of_project(NAME))
        S["heat"] = next(e["url"] for s in body["catalog"] if s["type"] == "orchestration"
                         for e in s["endpoints"] if e["interface"] == "public")
        S["stack"].start()
        with l.region_of(S["stack"].url, NAME) as S["region"]:
            S["template"] = template("plain").json()["uuid"]
            try:
                mt.main("__main__", CASES)
            finally:
                sweep()


def sweep():
    """Whatever a failed case left in the lab."""
    with contextlib.suppress(mt.Failed, OSError):
        for c in ask("GET", "/v1/clusters", want=200).json()["clusters"]:
            print("swept", c["name"], c["status"], flush=True)
            remove(c["uuid"])
        for name, s in stacks().items():
            heat("DELETE", f"/stacks/{name}/{s['id']}", want=(204, 404))
        wait_ended("stacks to be gone", lambda: not stacks(), 120)


if __name__ == "__main__":
    with lab.up("full") as S["lab"]:
        run(S["lab"])
    sys.exit(0)
