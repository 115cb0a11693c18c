"""Docker Swarm clusters through real Heat, Nova, Neutron and Keystone: create, nodes that leave by
name while a stand-in manager hears of it, managers that come and one that is replaced, a rotation
that reaches every node, a worker that never joins, delete without remains. The servers never boot; the lab's nodefaker signals for them."""
import json
import sys
import urllib.parse

import heatlab
import lab
import magnumtest as mt
from cluster_api import ClusterApi
from magnumtest import check, check_equal, wait_for

S = {}


class Manager(ClusterApi):
    """As much of a manager's API as the driver asks of it, with nodes that are called as the cloud's
    servers are."""

    def __init__(self, cloud, uuid, address, names):
        self.nodes, self.said = {}, []
        self.join(names)
        super().__init__(cloud.demo, cloud.net, uuid, address, 2375)

    def join(self, names):
        for n in set(names) - set(self.nodes):
            self.nodes[n] = {
                "ID": f"id-{n}", "Version": {"Index": 1}, "Spec": {
                    "Role": "manager" if "-master-" in n else "worker", "Availability": "active",
                    "Labels": {}}, "Description": {"Hostname": n}, "Status": {"State": "ready"},
                **({"ManagerStatus": {"Leader": n.endswith("-0"), "Reachability": "reachable"}}
                   if "-master-" in n else {})}

    def answer(self, method, path, body):
        where = urllib.parse.urlsplit(path).path.removeprefix("/v1.41")
        if method != "GET":
            self.said.append(f"{method} {where}")
        if where == "/nodes":
            return self.fine(list(self.nodes.values()))
        if where == "/tasks":
            return self.fine([])
        if where == "/info":
            return self.fine({"ServerVersion": "20.10.24", "Swarm": {"LocalNodeState": "active"}})
        found = [n for n in self.nodes.values() if where.startswith(f"/nodes/{n['ID']}")]
        if not found:
            return 404, {}, b'{"message": "nothing"}'
        if method == "POST":
            found[0]["Spec"] = json.loads(body)
            if found[0]["Spec"]["Role"] == "worker":
                found[0].pop("ManagerStatus", None)
        if method == "DELETE":
            del self.nodes[found[0]["Description"]["Hostname"]]
        return self.fine(found[0])


def life():
    """One manager, two workers; one of them leaves by name and another comes."""
    c = S["cloud"]
    uuid = S["life"] = c.create("life", S["template"], master_count=1, node_count=2,
                                labels={"drain_timeout_seconds": "5"})
    made = c.wait(uuid, "CREATE_COMPLETE")
    outputs = c.outputs(uuid)
    address = outputs["api_public"] or outputs["api_private"]
    check_equal(made["api_address"], f"tcp://{address}:2375", "address of the API")
    check_equal(made["master_addresses"] + sorted(made["node_addresses"]),
                outputs["master_private_addresses"] + sorted(outputs["worker_private_addresses"]),
                "addresses of nodes")
    names = outputs["master_names"] + outputs["worker_names"]
    check_equal(sorted(c.servers("life-")), sorted(names), "servers")
    m = S["manager"] = Manager(c, uuid, address, names)
    c.until("health", lambda: c.show(uuid)["health_status"] == "HEALTHY", 300)


def a_named_node_leaves():
    c, m, uuid = S["cloud"], S["manager"], S["life"]
    check_equal(heatlab.reasons(c.show(uuid)).get("life-worker-0.Ready"), "True", "reason")
    c.demo("POST", f"/v1/clusters/{uuid}/actions/resize",
           dict(node_count=1, nodes_to_remove=["life-worker-0"]), want=202)
    c.wait(uuid, "UPDATE_COMPLETE")
    check_equal(sorted(c.servers("life-")), ["life-master-0", "life-worker-1"], "servers")
    check_equal(m.said, ["POST /nodes/id-life-worker-0/update", "DELETE /nodes/id-life-worker-0"],
                "what the manager was told")
    check_equal(len(c.show(uuid)["node_addresses"]), 1, "addresses of nodes")


def masters(count, *remove):
    c, uuid = S["cloud"], S["life"]
    c.demo("POST", f"/v1/clusters/{uuid}/actions/resize",
           dict(nodegroup="default-master", node_count=count, nodes_to_remove=list(remove)), want=202)


def managers_come_and_are_replaced():
    """The only one can't be, nor one of three while another is down; then it gives its place, name
    and address to another server."""
    c, m, uuid = S["cloud"], S["manager"], S["life"]
    masters(1, "life-master-0")
    shown = c.until("the refusal", lambda: c.show(uuid)["status"] == "UPDATE_FAILED"
                    and c.show(uuid), 120)
    check("Of 1 masters 0 would be left to decide, and 1 are needed" in shown["status_reason"],
          f"reason: {shown['status_reason']}")
    masters(3)
    c.wait(uuid, "UPDATE_COMPLETE")
    before, addresses = c.servers("life-"), c.show(uuid)["master_addresses"]
    names = [f"life-master-{i}" for i in range(3)]
    check_equal(sorted(n for n in before if "-master-" in n), names, "masters")
    m.join(names)
    m.said.clear()
    m.nodes[names[2]]["ManagerStatus"]["Reachability"] = "unreachable"
    masters(3, names[1])
    shown = c.until("the refusal", lambda: c.show(uuid)["status"] == "UPDATE_FAILED"
                    and c.show(uuid), 120)
    check("Of 3 masters 1 would be left to decide, and 2 are needed" in shown["status_reason"],
          f"reason: {shown['status_reason']}")
    check_equal(m.said, [], "what the manager was told")
    m.nodes[names[2]]["ManagerStatus"]["Reachability"] = "reachable"
    masters(3, before[names[1]]["id"])
    c.wait(uuid, "UPDATE_COMPLETE")
    check_equal(m.said, ["POST /nodes/id-life-master-1/update", "DELETE /nodes/id-life-master-1"],
                "what the manager was told")
    m.join(names)
    after = c.servers("life-")
    check_equal(sorted(after), sorted(before), "names of servers")
    check_equal({n for n in after if after[n]["id"] != before[n]["id"]}, {names[1]}, "other servers")
    check_equal(after[names[1]]["metadata"]["magnum_generation"], "2", "its generation")
    check_equal(c.show(uuid)["master_addresses"], addresses, "addresses of masters")


def every_node_makes_the_rotation():
    c, uuid = S["cloud"], S["life"]
    before = c.demo("GET", f"/v1/certificates/{uuid}", want=200).json()["pem"]
    c.demo("PATCH", f"/v1/certificates/{uuid}", want=202)
    c.wait(uuid, "UPDATE_COMPLETE")
    check(c.demo("GET", f"/v1/certificates/{uuid}", want=200).json()["pem"] != before, "the same CA")
    told = {n: (s["metadata"].get("magnum_change"), s["metadata"].get("magnum_generation"))
            for n, s in c.servers("life-").items()}
    check_equal(set(told.values()), {("ca-complete", "3"), ("ca-complete", "4")},
                "what nodes are told by their metadata")
    check_equal([n for n in told if told[n][1] == "4"], ["life-master-1"], "the replaced one")


def nothing_is_left():
    c = S["cloud"]
    c.delete(S["life"])
    check_equal(c.servers("life-"), {}, "servers")


def handle_of_worker(uuid):
    """Where the worker's wait condition is signalled, once Heat has made its handle."""
    c = S["cloud"]
    for s in c.stacks(uuid):
        path = f"/stacks/{s['stack_name']}/{s['id']}/resources?nested_depth=5"
        for r in c.ask("orchestration", "GET", path)["resources"]:
            href = [x["href"] for x in r["links"] if x["rel"] == "self"][0]
            if (r["resource_type"] == "OS::Heat::WaitConditionHandle" and "-workers-" in href
                    and r["resource_status"] == "CREATE_COMPLETE"):
                return href[href.index("/stacks/"):]
    return None


def a_worker_that_never_joins():
    """It tells so before the lab's nodefaker can say the contrary for it: while its server is still
    being made. Where that one was quicker, another cluster is tried."""
    c = S["cloud"]
    for _ in range(5):
        uuid = c.create("lost", S["template"], master_count=1, node_count=1)
        handle = wait_for("the worker's handle", lambda: handle_of_worker(uuid), 300, every=0.3)
        c.ask("orchestration", "POST", f"{handle}/signal", {
            "status": "FAILURE", "id": "g1", "data": "swarm",
            "reason": "Step swarm failed: no manager of the swarm could be joined"})
        ended = c.until("the end of the create", lambda: c.show(uuid)["status"] != "CREATE_IN_PROGRESS"
                        and c.show(uuid), 300)
        c.delete(uuid)
        if ended["status"] == "CREATE_FAILED":
            break
    check_equal(ended["status"], "CREATE_FAILED", "status")
    check("no manager of the swarm could be joined" in ended["status_reason"],
          f"reason: {ended['status_reason']}")


def run(l):
    with heatlab.cloud(l) as c:
        S["cloud"] = c
        S["template"] = c.template("swarm", "swarm-mode", fixed_network="demo-private",
                                   floating_ip_enabled=False)
        mt.main("__main__", [life, a_named_node_leaves, managers_come_and_are_replaced, every_node_makes_the_rotation,
                             nothing_is_left, a_worker_that_never_joins])


if __name__ == "__main__":
    with lab.up("full") as l:
        run(l)
    sys.exit(0)
