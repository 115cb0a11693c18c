"""Boxes (boxes.py) whose service manager runs real daemons: what it starts are commands that the test
names. Used by the boot tests of Swarm and Mesos."""
import json
import shutil

import boxes
from boxes import FAKES, GATEWAY, PORT, Box, run
import magnumtest as mt
from magnumtest import check_equal

PASSWORD = 'p"a\\s$s%'  # the trustee's, as boxes' Keystone knows it


class ServiceBox(Box):
    """units: {unit: command}; clean: directories that begin empty."""

    def __init__(self, name, address, folders, units, clean=()):
        super().__init__(name, address, folders)
        shutil.copy(FAKES / "service_manager", self.root / "fake/bin/systemctl")
        (self.root / "fake/hostname").write_text(name)
        (self.root / "fake/units").mkdir()
        for unit, command in units.items():
            (self.root / "fake/units" / unit).write_text(command + "\n")
        for d in clean:
            shutil.rmtree(self.root / d, ignore_errors=True)
            (self.root / d).mkdir(parents=True)
        run("mount", "--rbind", "/sys", self.root / "sys")
        # a tmpfs: what lies on an overlay can't be the upper layer of another one
        (self.root / "data").mkdir(exist_ok=True)
        run("mount", "-t", "tmpfs", "data", self.root / "data")

    def log(self, unit):
        path = self.root / f"var/log/{unit}.log"
        return path.read_text()[-3000:] if path.exists() else "(no log)"


def parameters(cluster, role, count, **more):
    """What the driver writes; labels are texts."""
    return dict({
        "CLUSTER_UUID": cluster, "CLUSTER_NAME": "c", "NODEGROUP": f"default-{role}", "ROLE": role,
        "MASTER_COUNT": count, "AUTH_URL": f"http://{GATEWAY}:{PORT}/identity",
        "TRUSTEE_USER_ID": "trustee", "TRUSTEE_PASSWORD": PASSWORD, "TRUST_ID": "trust",
        "MAGNUM_URL": f"http://{GATEWAY}:{PORT}/v1", "REGION": "RegionOne", "PROJECT_ID": "project",
        "VERIFY_CA": "true", "TLS_DISABLED": "false"}, **more)


def values(name, index, address, masters, **more):
    """What Heat puts in."""
    return dict({
        "NODE_NAME": name, "NODE_INDEX": index, "NODE_IP": address, "NODE_PUBLIC_IP": "",
        "API_PRIVATE": masters[0], "API_PUBLIC": "", "MASTER_IPS": ",".join(masters),
        "WAIT_AUTH_URL": f"http://{GATEWAY}:{PORT}/identity/v3", "WAIT_USER_ID": "stack-user",
        "WAIT_PASSWORD": "Ab1!@#%41^&*", "WAIT_PROJECT_ID": "stack-project",
        "WAIT_URL": f"http://{GATEWAY}:{PORT}/heat/signal/{name}", "WAIT_COUNT": "1",
        "DOCKER_VOLUME_ID": "", "ETCD_VOLUME_ID": ""}, **more)


def boot_all(cloud, nodes, units, want=0):
    """All at once; each has told Heat that it is ready."""
    processes = {n: n.start("/bin/bash", "/opt/magnum/boot.sh") for n in nodes}
    for n, p in processes.items():
        if p.wait(600) != want:
            raise mt.Failed(f"{n.name}: {n.said()[-4000:]}\n" +
                            "\n".join(f"--- {u}\n{n.log(u)}" for u in units))
    if want == 0:
        for n in nodes:
            signal = cloud.signals_of(n.name)[-1]
            check_equal((signal["status"], signal["id"]), ("SUCCESS", "g1"), json.dumps(signal))
