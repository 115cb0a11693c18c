"""The boot scripts of Swarm's nodes in a cloud, run as they are on machines that may be spoiled
(support/servicebox.py), each with a real dockerd: three managers and a worker become one swarm, with
certificates of Magnum's CA and join tokens that stand in no file; containers on it; a manager that
is replaced; a rotation; a worker that finds nobody. Needs root and docker.io, no network."""
import json
import os
import pathlib
import subprocess

import boxes
from boxes import SOURCE, TOP, Cloud, run
import magnumtest as mt
from magnumtest import check, check_equal, wait_for
import servicebox
from servicebox import ServiceBox, boot_all

CLUSTER = "6d3bb0b6-2f0e-4b34-a8cf-6e0ddb1d7a02"
FOLDERS = [SOURCE / "sdk/boot", SOURCE / "plugins/swarm/boot"]
MANAGERS = ["10.0.0.11", "10.0.0.12", "10.0.0.13"]
DOCKERD = {"docker.service": "/usr/sbin/dockerd --data-root /data/docker --exec-root /run/docker "
                             "--exec-opt native.cgroupdriver=cgroupfs"}
S = {}


def node(role, index, address, masters=None, **params):
    name = f"c-{'manager' if role == 'master' else role}-{index}"
    box = ServiceBox(name, address, FOLDERS, DOCKERD, clean=("etc/docker", "root/.docker"))
    box.install(role)
    masters = masters or MANAGERS
    box.give(servicebox.parameters(
        CLUSTER, role, len(masters), API_PORT=2375, SWARM_INIT=params.pop("SWARM_INIT", "true"),
        DOCKER_STORAGE_DRIVER="vfs", LABEL_HEARTBEAT_SECONDS="1", **params),
        servicebox.values(name, index, address, masters))
    return box


def docker(box, *words, want=0):
    return box.run("docker", *words, want=want)


def listed(box):
    """{name: (state, what it is among the managers)} as that manager sees it."""
    out = docker(box, "node", "ls", "--format", "{{.Hostname}} {{.Status}} {{.ManagerStatus}}")
    return {w[0]: (w[1], w[2] if len(w) > 2 else "") for w in map(str.split, out.splitlines())}


def names_are(box, want):
    def look():
        now = listed(box)
        return sorted(now) == sorted(want) and all(s == "Ready" for s, _ in now.values())
    wait_for(f"{want} to be ready", look, 240, every=0.3)


def test_one_swarm():
    S["nodes"] = [node("master", i, a) for i, a in enumerate(MANAGERS)] + [node("worker", 0, "10.0.0.21")]
    boot_all(S["cloud"], S["nodes"], DOCKERD)
    for manager in S["nodes"][:3]:
        names_are(manager, [n.name for n in S["nodes"]])
    roles = {n: bool(r) for n, (_, r) in listed(S["nodes"][0]).items()}
    check_equal(roles, {n.name: "manager" in n.name for n in S["nodes"]}, "who is a manager")
    check_equal(sum(r == "Leader" for _, r in listed(S["nodes"][1]).values()), 1, "leaders")


def test_secrets_and_tls():
    """Who may join is told over TLS alone; the API takes nobody without a certificate of the CA."""
    first = S["nodes"][0]
    tokens = [docker(first, "swarm", "join-token", "-q", r).strip() for r in ("worker", "manager")]
    for n in S["nodes"]:
        texts = n.said() + "".join(n.read(p) for p in (
            "/etc/magnum/params.sh", "/etc/magnum/heat.sh", "/etc/docker/daemon.json"))
        check(not any(t in texts for t in tokens), f"a join token on {n.name}")
        check_equal((n.root / "etc/docker/server.key").stat().st_mode & 0o777, 0o600, "mode of the key")
        check(not list((n.root / "run/magnum").glob("*token*")), f"a token was left on {n.name}")
    worker, url = S["nodes"][3], f"https://{MANAGERS[0]}:2375/info"
    ca = ("--cacert", "/etc/docker/ca.pem")
    worker.run("curl", "-sSf", *ca, url, want=56)  # the handshake ends without a certificate
    told = json.loads(worker.run("curl", "-sSf", *ca, "--cert", "/etc/docker/server.crt", "--key",
                                 "/etc/docker/server.key", url))
    check_equal((told["Swarm"]["ControlAvailable"], told["Driver"]), (True, "vfs"), "what it says")
    run("openssl", "verify", "-CAfile", S["cloud"].cas.path("kubelet", 1),
        f"{worker.root}/etc/docker/server.crt")


def test_containers():
    """A service lands on the worker and answers; so does a container by the API of a manager."""
    first, worker = S["nodes"][0], S["nodes"][3]
    files = TOP / "image"
    (files / "bin").mkdir(parents=True)
    (files / "bin/sh").write_bytes(pathlib.Path("/bin/busybox").read_bytes())
    (files / "bin/sh").chmod(0o755)
    for n in (first, worker):
        run("tar", "-C", files, "-cf", n.root / "tmp/image.tar", ".")
        docker(n, "import", "/tmp/image.tar", "magnum-test:1")
    docker(first, "service", "create", "--detach", "--no-resolve-image", "--name", "web",
           "--constraint", "node.role==worker", "--stop-grace-period", "1s", "magnum-test:1",
           "/bin/sh", "-c", "echo here; exec sleep 1000")
    wait_for("the service", lambda: "Running" in docker(
        first, "service", "ps", "web", "--format", "{{.Node}} {{.CurrentState}}"), 60, every=0.3)
    check("here" in docker(worker, "logs", docker(worker, "ps", "-q").strip()), "its words")
    said = docker(first, "run", "--rm", "--network", "none", "magnum-test:1", "/bin/sh", "-c", "echo $((6*7))")
    check_equal(said.strip().splitlines()[-1], "42", "a container's words")
    docker(first, "service", "rm", "web")


def test_the_first_is_replaced():
    """As the driver does it: it leaves the swarm, its server goes, another takes name and address,
    and finds the others' swarm instead of beginning one of its own."""
    second, old = S["nodes"][1], S["nodes"][0]
    docker(second, "node", "demote", old.name)
    wait_for("the demotion", lambda: listed(second)[old.name][1] == "", 30, every=0.2)
    docker(second, "node", "rm", "--force", old.name)
    old.destroy()
    new = S["nodes"][0] = node("master", 0, MANAGERS[0])
    boot_all(S["cloud"], [new], DOCKERD)
    names_are(second, [n.name for n in S["nodes"]])
    wait_for("the new one to be reachable", lambda: listed(second)[new.name][1] == "Reachable")


def test_a_former_life_goes_when_it_may():
    """Docker refuses to remove a node until the managers have carried out its demotion."""
    code = """set -euo pipefail; shopt -s inherit_errexit
        for p in "$1"/common.sh "$2"/lib/docker.sh "$2"/lib/member.sh; do . "$p"; done
        ROLE=master NODE_NAME=m MAGNUM_PAUSE=0.01 MAGNUM_PATIENCE=60
        node_id() { echo new; }
        docker() {
            case "$2" in
            ls) printf '%s\\n' 'old m Down' 'new m Ready' 'other m2 Down' ;;
            rm) echo "rm $4" >>"$LOG"; [ "$(wc -l <"$LOG")" -ge 3 ] ;;
            *) return 0 ;;
            esac
        }
        drop_former_lives"""
    log = TOP / "removals"
    run("bash", "-c", code, "-", *FOLDERS, env=dict(
        os.environ, LOG=log, NODE_IP="10.0.0.1", API_PRIVATE="10.0.0.1"))
    check_equal(log.read_text(), "rm old\n" * 3, "removals")


def test_rotation():
    """Both CAs, then the new one alone, on the first manager and the worker at the same time; the
    swarm stays one meanwhile, and has other join tokens afterwards."""
    cloud, first, second = S["cloud"], S["nodes"][0], S["nodes"][1]
    some = [first, S["nodes"][3]]
    token = docker(second, "swarm", "join-token", "-q", "worker")
    cloud.cas.begin()
    for generation, word in (("2", "ca-prepare"), ("3", "ca-complete")):
        if word == "ca-complete":
            cloud.cas.end()
        for n in some:
            cloud.metadata[n.address] = {"magnum_generation": generation, "magnum_change": word}
        for n, p in [(n, n.start("/bin/bash", "/opt/magnum/change.sh")) for n in some]:
            check_equal(p.wait(600), 0, f"{word} on {n.name}: {n.said()[-2000:]}")
            check_equal(cloud.signals_of(n.name)[-1]["id"], f"g{generation}", f"signal of {n.name}")
    names_are(second, [n.name for n in S["nodes"]])
    check(docker(second, "swarm", "join-token", "-q", "worker") != token, "the old token still holds")
    for n in some:
        run("openssl", "verify", "-CAfile", cloud.cas.path("kubelet", 2), f"{n.root}/etc/docker/server.crt")
        check_equal(n.read("/etc/docker/ca.pem").strip(), cloud.cas.bundle("kubelet").strip(), "trust")


def test_nobody_to_join():
    """It says so in its signal instead of waiting for ever."""
    lost = node("worker", 7, "10.0.0.27", masters=["10.0.0.99"], SWARM_INIT="false")
    for patience in ("2", "30", "180"):  # Docker itself may take longer to come up
        lost.run("/bin/bash", "/opt/magnum/boot.sh", want=1, MAGNUM_PATIENCE=patience)
        signal = S["cloud"].signals_of(lost.name)[-1]
        if signal["data"] == "swarm":
            break
    check_equal((signal["status"], signal["data"]), ("FAILURE", "swarm"), "signal")
    check("no manager of the swarm at 10.0.0.99 could be joined" in signal["reason"], signal["reason"])
    lost.destroy()


def main():
    if os.geteuid() != 0 or not os.access("/usr/sbin/dockerd", os.X_OK):
        print("skipped: needs root and docker.io")
        raise SystemExit(77)
    boxes.enter()
    S["cloud"] = Cloud(CLUSTER)
    mt.main("__main__", [test_one_swarm, test_secrets_and_tls, test_containers,
                         test_the_first_is_replaced, test_a_former_life_goes_when_it_may, test_rotation,
                         test_nobody_to_join])


main()
