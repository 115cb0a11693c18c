"""The boot scripts of Swarm's and Mesos' nodes: shellcheck, lists of files that are whole, labels that
the schema knows, and their decisions, with everything outside replaced. Argument: the source
directory."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(sys.argv[1])
SHARED = SOURCE / "sdk/boot"
ENGINES = {n: SOURCE / f"plugins/{n}" for n in ("swarm", "mesos")}
NODE = """
NODE_NAME=c-worker-1 NODE_IP=10.0.0.21 NODE_INDEX=1 ROLE=worker NODEGROUP=default-worker MASTER_COUNT=3
MASTER_IPS=10.0.0.11,10.0.0.12,10.0.0.13 API_PRIVATE=10.0.0.5 API_PUBLIC=172.24.0.9 CLUSTER_NAME=c
"""


def bash(engine, part, text, **values):
    """What the text says with the engine's parts sourced and these parameters set."""
    sets = "".join(f"{k}='{v}'\n" for k, v in values.items())
    parts = [SHARED / "common.sh", SHARED / "machine.sh"]
    parts += sorted((ENGINES[engine] / "boot/lib").glob("*.sh")) if part is None else [
        SHARED / "certificates.sh", *(ENGINES[engine] / f"boot/lib/{p}.sh" for p in part)]
    script = "set -euo pipefail\n" + NODE + sets + "".join(f". {p}\n" for p in parts) + text
    r = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30)
    assert r.returncode == 0, f"{r.stdout}{r.stderr}"
    return r.stdout


def test_shellcheck():
    scripts = [str(p) for d in ENGINES.values() for p in sorted((d / "boot").rglob("*.sh"))]
    assert len(scripts) >= 6, scripts
    r = subprocess.run(["shellcheck", "-x", *scripts], capture_output=True, text=True)
    assert r.returncode == 0, r.stdout


def test_lists_are_whole():
    for d in ENGINES.values():
        rows = [line.split() for line in (d / "boot/FILES").read_text().splitlines()
                if line and line[0] != "#"]
        there = {str(p.relative_to(d / "boot")) for p in (d / "boot").rglob("*") if p.is_file()}
        assert {r[0] for r in rows} == there - {"FILES"}, d
        assert len({r[1] for r in rows}) == len(rows), d
        assert "/opt/magnum/boot.sh" in {r[1] for r in rows}, d


def test_labels_are_known():
    for name, d in ENGINES.items():
        schema = json.loads((d / f"{name}.labels.schema.json").read_text())["properties"]
        used = {w for p in (d / "boot").rglob("*.sh")
                for w in re.findall(r"LABEL_([A-Z0-9_]+)", p.read_text())}
        assert used and {w.lower() for w in used} <= set(schema), used


def test_docker_configuration():
    config = json.loads(bash("swarm", ("docker", "member"), "daemon_json", API_PORT="2376",
                             INSECURE_REGISTRY="a:5000, b ", DOCKER_STORAGE_DRIVER="overlay2"))
    assert config["tlsverify"] is True and config["storage-driver"] == "overlay2", config
    assert config["hosts"][1] == "tcp://0.0.0.0:2376", config
    assert config["insecure-registries"] == ["a:5000", "b"], config
    names = bash("swarm", ("docker", "member"), "certificate_names", NODE_PUBLIC_IP="172.24.0.9")
    assert names == ("DNS:c-worker-1,IP:10.0.0.21,IP:127.0.0.1,IP:172.24.0.9,IP:10.0.0.5"), names


# Managers that answer are in $UP; what the node's own daemon is told is printed.
WORLD = """
MAGNUM_PATIENCE=0
manager_get() { case $UP in *$1*) echo '{"JoinTokens": {"Worker": "W", "Manager": "M"}}' ;; *) return 1 ;; esac; }
docker_api() { [ "$1" = GET ] && echo "{\\"Swarm\\": {\\"LocalNodeState\\": \\"$STATE\\"}}" || { echo "$2" "$(cat)" >>"$TOLD"; }; }
become_member || echo "failed" >>"$TOLD"
"""


def told(**values):
    with tempfile.NamedTemporaryFile("r") as f:
        bash("swarm", ("docker", "member"), WORLD, **{"STATE": "inactive", "UP": "",
                                                      "TOLD": f.name, **values})
        return [line.split(" ", 1) for line in f.read().splitlines()]


def test_who_joins_and_who_begins():
    (path, body), = told(UP="10.0.0.12")
    assert path == "/swarm/join", path
    body = json.loads(body)
    assert (body["JoinToken"], body["RemoteAddrs"]) == ("W", ["10.0.0.12:2377"]), body
    (_, body), = told(UP="10.0.0.13", ROLE="master")
    assert json.loads(body)["JoinToken"] == "M", body
    assert told(STATE="active", UP="10.0.0.12") == []
    first = dict(ROLE="master", NODE_INDEX="0", NODE_IP="10.0.0.11")
    (path, body), = told(SWARM_INIT="true", **first)
    assert path == "/swarm/init" and json.loads(body)["SubnetSize"] == 24, body
    # one that comes in the first manager's place finds the others, or fails: it begins no other swarm
    (path, body), = told(SWARM_INIT="true", UP="10.0.0.12", **first)
    assert path == "/swarm/join", path
    assert told(SWARM_INIT="false", **first) == [["failed"]]


def test_mesos_configuration():
    text = bash("mesos", None, "zk_url mesos; echo; zookeeper_config; no_proxy_list")
    assert text.startswith("zk://10.0.0.11:2181,10.0.0.12:2181,10.0.0.13:2181/mesos\n"), text
    assert "server.3=10.0.0.13:2888:3888" in text, text
    assert text.endswith("10.0.0.5,10.0.0.11,10.0.0.12,10.0.0.13"), text


for name, test in list(globals().items()):
    if name.startswith("test_"):
        test()
        print("ok", name)
