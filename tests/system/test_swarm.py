"""The life of a real Docker Swarm on this machine through our own client: create, use with the
docker client over TLS, scale up, down and by name, health, delete, and nothing left behind."""
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

SPECIFIC = {}  # what one case hands to the next: stack, cluster id, docker environment


def docker(*args, want=0, timeout=120):
    r = subprocess.run(["/usr/bin/docker", *args], capture_output=True, text=True,
                       env=dict(os.environ, **SPECIFIC["docker"]), timeout=timeout * mt.SLOW)
    check(want is None or r.returncode == want,
          f"docker {' '.join(args)}: exit {r.returncode}\n{r.stdout}{r.stderr}")
    return r.stdout


def nodes():
    """{host name: (status, availability, role)} as Docker sees it."""
    lines = docker("node", "ls", "--format",
                   "{{.Hostname}}\t{{.Status}}\t{{.Availability}}\t{{.ManagerStatus}}").splitlines()
    return {h: (s, a, "manager" if m else "worker")
            for h, s, a, m in (line.split("\t") for line in lines)}


def ready_nodes(manager, worker):
    found = nodes()
    check(all(v[:2] == ("Ready", "Active") for v in found.values()), f"all nodes ready: {found}")
    check_equal(sum(v[2] == "manager" for v in found.values()), manager, "managers")
    check_equal(sum(v[2] == "worker" for v in found.values()), worker, "workers")
    return found


def show(column):
    out = json.loads(SPECIFIC["stack"].cli("cluster", "show", "s1", "-f", "json"))
    return out[column]


def a_cluster_is_created_and_waited_for():
    a = SPECIFIC["stack"]
    a.cli("cluster", "template", "create", "swarm", "--coe", "swarm", "--server-type", "local",
          "--image", "linux")
    a.cli("cluster", "create", "s1", "--cluster-template", "swarm", "--master-count", "1",
          "--node-count", "2", "--wait")
    SPECIFIC["uuid"] = show("uuid")
    check_equal(show("status"), "CREATE_COMPLETE", "status")
    check(re.match(r"(tcp|https)://127\.0\.0\.1:\d+$", show("api_address")), show("api_address"))
    check_equal(len(show("node_addresses")), 2, "node addresses")
    check_equal(len(show("master_addresses")), 1, "master addresses")
    check(show("coe_version"), "coe_version is known")
    events = a.cli("operation", "list", "-f", "json")
    check("create" in events.lower(), f"the operation is listed: {events}")


def the_docker_client_works_over_tls():
    a = SPECIFIC["stack"]
    directory = a.state / "config"
    directory.mkdir()
    out = a.cli("cluster", "config", "s1", "--dir", str(directory))
    SPECIFIC["docker"] = {k: v.strip("'\"") for k, v in
                          re.findall(r"^export (DOCKER_\w+)=(.*)$", out, re.M)}
    check_equal(sorted(SPECIFIC["docker"]), ["DOCKER_CERT_PATH", "DOCKER_HOST",
                                             "DOCKER_TLS_VERIFY"], "exports")
    key = pathlib.Path(SPECIFIC["docker"]["DOCKER_CERT_PATH"]) / "key.pem"
    check_equal(key.stat().st_mode & 0o077, 0, "others' rights on the private key")
    ready_nodes(1, 2)
    with tempfile.TemporaryDirectory() as empty:
        r = subprocess.run(["/usr/bin/docker", "--config", empty, "-H",
                            SPECIFIC["docker"]["DOCKER_HOST"], "--tls", "node", "ls"],
                           capture_output=True, text=True, env={"PATH": os.environ["PATH"],
                                                                "HOME": empty})
        check(r.returncode != 0, "without our certificate nothing is answered")


def a_service_runs_on_every_node():
    a = SPECIFIC["stack"]
    mt.import_busybox(a, SPECIFIC["uuid"])
    docker("service", "create", "--detach", "--no-resolve-image", "--name", "web", "--mode",
           "global", "--endpoint-mode", "dnsrr", "--stop-grace-period", "1s",
           "magnum-local/busybox:1", "/bin/busybox", "httpd", "-f", "-p", "8080")
    running("web", 3)


def running(service, count):
    def states():
        lines = docker("service", "ps", service, "--filter", "desired-state=running", "--format",
                       "{{.CurrentState}} {{.Error}}").splitlines()
        return sum(line.startswith("Running") for line in lines) == count or \
            check(False, f"tasks: {lines}")
    wait_for(f"{count} tasks of {service} to run", states, 240)


def it_scales_up_and_down():
    a = SPECIFIC["stack"]
    a.cli("cluster", "resize", "s1", "4", "--wait")
    check_equal(show("node_count"), 4, "node_count")
    check_equal(show("status"), "UPDATE_COMPLETE", "status")
    ready_nodes(1, 4)
    a.cli("cluster", "resize", "s1", "2", "--wait")
    ready_nodes(1, 2)
    check_equal(len(show("node_addresses")), 2, "node addresses")
    running("web", 3)


def a_named_node_is_removed():
    a = SPECIFIC["stack"]
    before = nodes()
    victim = sorted(n for n, v in before.items() if v[2] == "worker")[0]
    a.cli("cluster", "resize", "s1", "1", "--nodes-to-remove", victim, "--wait")
    after = ready_nodes(1, 1)
    check_equal(sorted(set(before) - set(after)), [victim], "the node that went")
    a.cli("cluster", "resize", "s1", "2", "--wait")
    ready_nodes(1, 2)


def nodes_outlive_magnum_and_are_found_again():
    a = SPECIFIC["stack"]
    before = nodes()
    a.stop()
    check_equal(nodes(), before, "nodes while Magnum is stopped")
    a.start()
    check_equal(show("status"), "UPDATE_COMPLETE", "status after the restart")
    a.cli("cluster", "resize", "s1", "3", "--wait")
    ready_nodes(1, 3)


def health_notices_a_dead_node():
    a = SPECIFIC["stack"]
    wait_for("the cluster to be HEALTHY", lambda: show("health_status") == "HEALTHY", 60)
    victim = mt.node_pids(a, SPECIFIC["uuid"])[-1]
    os.kill(victim, signal.SIGKILL)
    wait_for("the cluster to be UNHEALTHY", lambda: show("health_status") == "UNHEALTHY", 240)
    check(show("health_status_reason"), "the reason names the node")


def delete_leaves_nothing():
    a = SPECIFIC["stack"]
    a.cli("cluster", "delete", "s1", "--wait")
    check(a.client.show("s1") is None, "the cluster is gone")
    check_equal(mt.left_behind([SPECIFIC["uuid"]]), [], "left behind")
    check_equal(mt.rows_left(a, SPECIFIC["uuid"]), {}, "rows left")
    check_equal(mt.swarm_dirs(a), [], "directories of nodes")
    a.cli("cluster", "template", "delete", "swarm")


def a_missing_part_is_said_before_anything_is_made():
    """Where no program of Docker is found, the driver says which, and the package, at once."""
    with mt.Allinone(options=mt.swarm_options(program_path="/nonexistent")) as a:
        a.start()
        answer = a.client("POST", "/v1/clustertemplates", dict(
            name="t", coe="swarm", server_type="local", image_id="linux"))
        check_equal(answer.status, 400, f"a template nobody can serve: {answer}")
        reason = answer.json()["errors"][0]["detail"]
        for part in ("dockerd", "docker.io", "iptables"):
            check(part in reason, f"the reason names {part}: {reason}")
        check("docker.io" in a.cli("driver", "list"), "the list of drivers says it too")


def main():
    with mt.Allinone(options=["--set", "conductor.health_interval_s=1"]) as a:
        a.start()
        SPECIFIC["stack"] = a
        try:
            mt.main(__name__, [
                a_cluster_is_created_and_waited_for, the_docker_client_works_over_tls,
                a_service_runs_on_every_node, it_scales_up_and_down, a_named_node_is_removed,
                nodes_outlive_magnum_and_are_found_again, health_notices_a_dead_node,
                delete_leaves_nothing, a_missing_part_is_said_before_anything_is_made])
        finally:
            mt.delete_all(a)


main()
