"""The boot scripts of Mesos' nodes in a cloud, run as they are on machines that may be spoiled
(support/servicebox.py): three masters with a real ZooKeeper each, which form one ensemble, and an
agent. Mesos and Marathon are stand-ins that live in that ZooKeeper (fakes/node/mesos_part.py), since
no distribution has them. A master that is replaced comes back to the ensemble. Needs root."""
import json
import os
import shutil

import boxes
from boxes import FAKES, SOURCE, Cloud
import magnumtest as mt
from magnumtest import check, check_equal, wait_for
import servicebox
from servicebox import ServiceBox, boot_all

CLUSTER = "6d3bb0b6-2f0e-4b34-a8cf-6e0ddb1d7a03"
FOLDERS = [SOURCE / "sdk/boot", SOURCE / "plugins/mesos/boot"]
MASTERS = ["10.0.0.11", "10.0.0.12", "10.0.0.13"]
PYTHON = "/usr/bin/python3 -B /fake/bin/"
UNITS = {"zookeeper.service": "env JVMFLAGS=-Xmx96m SERVER_JVMFLAGS=-Xmx96m ZOOCFGDIR=/etc/zookeeper/conf "
                              "ZOO_LOG_DIR=/var/log ZOO_LOG4J_PROP=WARN,CONSOLE "
                              "/usr/share/zookeeper/bin/zkServer.sh start-foreground",
         "mesos-master.service": PYTHON + "mesos-master", "marathon.service": PYTHON + "marathon"}
AGENT_UNITS = {"docker.service": "/bin/sleep 100000", "mesos-slave.service": PYTHON + "mesos-agent"}
S = {}


def node(role, index, address, **params):
    name = f"m-{role}-{index}"
    box = ServiceBox(name, address, FOLDERS, UNITS if role == "master" else AGENT_UNITS,
                     clean=("etc/mesos", "etc/mesos-master", "etc/mesos-slave"))
    for program in ("mesos-master", "mesos-agent", "marathon"):
        shutil.copy(FAKES / "mesos_part.py", box.root / "fake/bin" / program)
        (box.root / "fake/bin" / program).chmod(0o755)
    box.install(role)
    box.give(servicebox.parameters(CLUSTER, role, len(MASTERS), **params),
             servicebox.values(name, index, address, MASTERS))
    return box


def mode(box):
    """What that ZooKeeper says it is in its ensemble: "leader", "follower", "" = not in it."""
    out = box.run("/usr/share/zookeeper/bin/zkServer.sh", "status", want=None,
                  ZOOCFGDIR="/etc/zookeeper/conf", JVMFLAGS="-Xmx64m")
    return out.rpartition("Mode: ")[2].strip() if "Mode: " in out else ""


def in_ensemble(masters):
    wait_for("the ensemble", lambda: sorted(mode(m) for m in masters) ==
             sorted(["leader"] + ["follower"] * (len(masters) - 1)), 60, every=0.5)


def registered(box, path):
    """What stands below a path of ZooKeeper, as that machine's sees it."""
    script = ("import sys, json\nfrom kazoo.client import KazooClient\n"
              f"zk = KazooClient(hosts='{box.address}:2181'); zk.start(30)\n"
              f"print('ANSWER ' + json.dumps([json.loads(zk.get('{path}/' + n)[0]) for n in "
              f"zk.get_children('{path}')])); zk.stop()")
    out = box.run("/usr/bin/python3", "-B", "-c", script)
    return {e["address"]: e for e in json.loads(out.rpartition("ANSWER ")[2])}


def test_an_ensemble_of_three():
    S["masters"] = [node("master", i, a) for i, a in enumerate(MASTERS)]
    boot_all(S["cloud"], S["masters"], UNITS)
    in_ensemble(S["masters"])
    config = S["masters"][1].run("cat", "/etc/zookeeper/conf/zoo.cfg")  # behind a link
    check("server.2=10.0.0.12:2888:3888" in config and config.count("server.") == 3, config)
    masters = registered(S["masters"][0], "/mesos/mesos-master")
    check_equal({a: e["quorum"] for a, e in masters.items()}, dict.fromkeys(MASTERS, 2), "masters")
    marathons = registered(S["masters"][2], "/marathon/marathon")
    zk = "zk://" + ",".join(f"{a}:2181" for a in MASTERS) + "/mesos"
    check_equal({e["master"] for e in marathons.values()}, {zk}, "where Marathon finds its master")


def test_an_agent():
    agent = S["agent"] = node("worker", 0, "10.0.0.21", LABEL_MESOS_SLAVE_WORK_DIR="/srv/mesos")
    boot_all(S["cloud"], [agent], AGENT_UNITS)
    agents = registered(S["masters"][0], "/mesos/mesos-agent")
    check_equal({a: e["work_dir"] for a, e in agents.items()}, {"10.0.0.21": "/srv/mesos"}, "agents")
    check(not any("zookeeper" in c and "start" in c for c in agent.calls()), "ZooKeeper on an agent")


def test_a_master_is_replaced():
    """Another machine takes its name and address, and what the others know comes to it."""
    leader = next(m for m in S["masters"] if mode(m) == "leader")
    at = S["masters"].index(leader)
    leader.destroy()
    rest = [m for m in S["masters"] if m is not leader]
    in_ensemble(rest)
    new = S["masters"][at] = node("master", at, MASTERS[at])
    boot_all(S["cloud"], [new], UNITS)
    in_ensemble(S["masters"])
    wait_for("the session of the one that is gone to end", lambda: set(registered(
        new, "/mesos/mesos-master")) == set(MASTERS), 60, every=0.5)
    check_equal(set(registered(new, "/mesos/mesos-agent")), {"10.0.0.21"}, "what the new one knows")


def test_no_mesos_anywhere():
    """An image without it, and no place to get it: said as the reason."""
    bare = node("worker", 7, "10.0.0.27")
    (bare.root / "fake/bin/mesos-agent").unlink()
    bare.run("/bin/bash", "/opt/magnum/boot.sh", want=1, MAGNUM_PATIENCE="2")
    signal = S["cloud"].signals_of(bare.name)[-1]
    check_equal((signal["status"], signal["data"]), ("FAILURE", "packages"), "signal")
    check("the image has no mesos-agent" in signal["reason"], signal["reason"])


def main():
    if os.geteuid() != 0 or not os.access("/usr/share/zookeeper/bin/zkServer.sh", os.X_OK):
        print("skipped: needs root and zookeeper")
        raise SystemExit(77)
    boxes.enter()
    S["cloud"] = Cloud(CLUSTER)
    mt.main("__main__", [test_an_ensemble_of_three, test_an_agent, test_a_master_is_replaced,
                         test_no_mesos_anywhere])


main()
