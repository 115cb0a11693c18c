"""The clients people have: python3-openstackclient with python3-magnumclient, as Debian packages
them, against magnum-allinone with no authentication."""
import json
import re
import subprocess

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

S = {}


def openstack(*args, want=0, as_json=False):
    command = ["openstack", "--os-auth-type", "none", "--os-endpoint", f"{S['stack'].url}/v1", *args]
    if as_json:
        command += ["-f", "json"]
    r = subprocess.run(command, capture_output=True, text=True, env=S["stack"].full_env(),
                       timeout=120)
    check_equal(r.returncode == 0, want == 0, f"{' '.join(args)}: {r.stdout}{r.stderr}")
    return json.loads(r.stdout) if as_json else r.stdout + r.stderr


def templates():
    openstack("coe", "cluster", "template", "create", "t1", "--coe", "kubernetes", "--image",
              "simulated", "--external-network", "public", "--labels",
              "sim_steps=2,sim_step_ms=10")
    listed = openstack("coe", "cluster", "template", "list", as_json=True)
    check_equal([t["name"] for t in listed], ["t1"], "names of templates")
    shown = openstack("coe", "cluster", "template", "show", "t1", as_json=True)
    check_equal((shown["coe"], shown["labels"]),
                ("kubernetes", {"sim_steps": "2", "sim_step_ms": "10"}), "template")
    openstack("coe", "cluster", "template", "update", "t1", "replace", "labels=sim_steps=4")
    shown = openstack("coe", "cluster", "template", "show", "t1", as_json=True)
    check_equal(shown["labels"], {"sim_steps": "4"}, "labels after the update")
    missing = openstack("coe", "cluster", "template", "show", "nosuch", want=1)
    check("could not be found" in missing, missing)


def clusters():
    out = openstack("coe", "cluster", "create", "c1", "--cluster-template", "t1", "--master-count",
                    "1", "--node-count", "2")
    check("Request to create cluster" in out, out)
    S["stack"].client.wait_status("c1", "CREATE_COMPLETE", 60)
    listed = openstack("coe", "cluster", "list", as_json=True)
    check_equal([(c["name"], c["node_count"], c["master_count"], c["status"]) for c in listed],
                [("c1", 2, 1, "CREATE_COMPLETE")], "clusters")
    shown = openstack("coe", "cluster", "show", "c1", as_json=True)
    check_equal(shown["status"], "CREATE_COMPLETE", "status")
    openstack("coe", "cluster", "create", "c1x", "--cluster-template", "nosuch", want=1)


def resize_and_update():
    openstack("coe", "cluster", "resize", "c1", "3")
    S["stack"].client.wait_status("c1", "UPDATE_COMPLETE", 60)
    check_equal(openstack("coe", "cluster", "show", "c1", as_json=True)["node_count"], 3, "count")
    openstack("coe", "cluster", "update", "c1", "replace", "node_count=1")
    wait_for("the update to be complete", lambda: (
        lambda c: c["status"] == "UPDATE_COMPLETE" and c["node_count"] == 1)(
            S["stack"].client.show("c1")), 60)
    refused = openstack("coe", "cluster", "update", "c1", "replace", "name=other", want=1)
    check("cannot change cluster property" in refused, refused)


def nodegroups():
    listed = openstack("coe", "nodegroup", "list", "c1", as_json=True)
    check_equal(sorted((n["name"], n["role"], n["node_count"]) for n in listed),
                [("default-master", "master", 1), ("default-worker", "worker", 1)], "nodegroups")
    shown = openstack("coe", "nodegroup", "show", "c1", "default-worker", as_json=True)
    check_equal(shown["is_default"], True, "is_default")


def services():
    listed = openstack("coe", "service", "list", as_json=True)
    check_equal([(s["binary"], s["state"]) for s in listed], [("magnum-conductor", "up")],
                "services")


def stats():
    out = openstack("coe", "stats", "list", "default")  # it knows no -f json
    check_equal(dict(re.findall(r"\| (\w+) +\| (\d+) +\|", out)), {"clusters": "1", "nodes": "2"},
                "stats")


def certificates():
    out = openstack("coe", "ca", "show", "c1")
    check("-----BEGIN CERTIFICATE-----" in out, out)


def deletion():
    out = openstack("coe", "cluster", "delete", "c1")
    check("has been accepted" in out, out)
    S["stack"].client.wait_gone("c1", 60)
    check_equal(openstack("coe", "cluster", "list", as_json=True), [], "clusters")
    openstack("coe", "cluster", "template", "delete", "t1")
    check_equal(openstack("coe", "cluster", "template", "list", as_json=True), [], "templates")
    missing = openstack("coe", "cluster", "delete", "c1", want=1)
    check("could not be found" in missing, missing)


def main():
    with mt.Allinone() as a:
        a.start()
        S["stack"] = a
        mt.main(__name__, [templates, clusters, resize_and_update, nodegroups, services, stats,
                           certificates, deletion])


main()
