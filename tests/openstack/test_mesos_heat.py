"""Mesos clusters through real Heat, Nova, Neutron and Keystone; masters, agents and Marathon are
those of tests/fakes/mesos.py, at the addresses that the cloud gave: create, health, a scale down
that takes the idle agent while the masters elect another leader, a master that is replaced, delete
without remains."""
import pathlib
import sys
import threading

import heatlab
import lab
import magnumtest as mt
from magnumtest import check, check_equal

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "fakes"))
import mesos

S = {}
MASTERS = [f"mes-master-{i}" for i in range(3)]


def life():
    c = S["cloud"]
    uuid = S["life"] = c.create("mes", S["template"], master_count=3, node_count=2,
                                labels={"drain_timeout_seconds": "60"})
    made = c.wait(uuid, "CREATE_COMPLETE")
    outputs = c.outputs(uuid)
    check_equal(made["api_address"], outputs["api_private"], "address of Marathon")
    check_equal(made["coe_version"], None, "version of masters that were not there yet")
    fake = S["fake"] = mesos.Mesos(c.net, outputs["master_private_addresses"],
                                    [outputs["api_private"]])
    S["agents"] = dict(zip(outputs["worker_names"], outputs["worker_private_addresses"]))
    for address in S["agents"].values():
        fake.join(address)
    shown = c.until("health", lambda: c.show(uuid)["health_status"] == "HEALTHY" and c.show(uuid),
                    60)
    check_equal(heatlab.reasons(shown)["api"], "ok", "Marathon")


def an_agent_that_is_lost_shows():
    c, fake, uuid = S["cloud"], S["fake"], S["life"]
    lost = S["agents"]["mes-worker-1"]
    fake.leave(lost)
    c.until("the loss to show", lambda: c.show(uuid)["health_status"] == "UNHEALTHY", 60)
    reasons = heatlab.reasons(c.show(uuid))
    check_equal((reasons[f"{lost}.Ready"], reasons["agents.Ready"]),
                ("False: the agent is not active", "1 of 2 agents are active"), "reasons")
    fake.forget(lost)
    fake.join(lost)


def the_idle_agent_goes():
    """The newest has a task: not it, but the other one. Nobody leads when the scale begins."""
    c, fake, uuid = S["cloud"], S["fake"], S["life"]
    idle, busy = S["agents"]["mes-worker-0"], S["agents"]["mes-worker-1"]
    fake.leave(idle)
    fake.marathon("POST", "/v2/apps", {}, b'{"id": "/web", "cpus": 1, "instances": 1}')
    fake.join(idle)
    check_equal({t["host"] for t in fake.tasks.values()}, {busy}, "where the task is")
    fake.elect(None)
    election = threading.Timer(4, lambda: fake.elect(0))
    election.start()
    c.demo("POST", f"/v1/clusters/{uuid}/actions/resize", dict(node_count=1), want=202)
    c.wait(uuid, "UPDATE_COMPLETE")
    election.join()
    check_equal(c.show(uuid)["node_addresses"], [busy], "who stays")
    check_equal(sorted(c.servers("mes-")), [*MASTERS, "mes-worker-1"], "servers")
    check_equal({t["host"] for t in fake.tasks.values()}, {busy}, "where the task is afterwards")
    did = [a for a in fake.asked if a.startswith("POST /m")]
    check_equal(did, ["POST /maintenance/schedule", "POST /machine/down", "POST /machine/up"],
                "what the masters were told")
    check_equal(fake.schedule, {"windows": []}, "maintenance afterwards")


def masters(count, *remove):
    S["cloud"].demo("POST", f"/v1/clusters/{S['life']}/actions/resize", dict(
        nodegroup="default-master", node_count=count, nodes_to_remove=list(remove)), want=202)


def a_master_is_replaced():
    """It comes back as another server of its name and address; how many there are is not changed."""
    c, uuid = S["cloud"], S["life"]
    masters(5)
    shown = c.until("the refusal", lambda: c.show(uuid)["status"] == "UPDATE_FAILED"
                    and c.show(uuid), 120)
    check("3 masters; their number can't be changed to 5" in shown["status_reason"],
          f"reason: {shown['status_reason']}")
    before, addresses = c.servers("mes-"), c.show(uuid)["master_addresses"]
    masters(3, MASTERS[2])
    c.wait(uuid, "UPDATE_COMPLETE")
    after = c.servers("mes-")
    check_equal({n for n in after if n not in before or after[n]["id"] != before[n]["id"]},
                {MASTERS[2]}, "other servers")
    check_equal(c.show(uuid)["master_addresses"], addresses, "addresses of masters")


def nothing_is_left():
    c = S["cloud"]
    c.delete(S["life"])
    check_equal(c.servers("mes-"), {}, "servers")


def run(l):
    with heatlab.cloud(l, drivers__enabled_beta="mesos_ubuntu_v1") as c:
        S["cloud"] = c
        S["template"] = c.template("mesos", "mesos", fixed_network="demo-private",
                                   floating_ip_enabled=False, master_lb_enabled=True)  # its subnet is found
        mt.main("__main__", [life, an_agent_that_is_lost_shows, the_idle_agent_goes,
                             a_master_is_replaced, nothing_is_left])


if __name__ == "__main__":
    with lab.up("full") as l:
        run(l)
    sys.exit(0)
