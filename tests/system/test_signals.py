"""Signals to running services: SIGUSR1 writes what a process holds into its log, SIGHUP takes a new
configuration over, with the files it names, and keeps the old one as a whole when anything is wrong."""
import json
import os
import pathlib
import re
import signal
import tempfile

import magnumtest as mt
import pgmagnum
from magnumtest import check, check_equal, wait_for

S = {}


def log(program):
    return (S["top"] / f"{program}.log").read_text(errors="replace")


def heard(program, text, after=0):
    return wait_for(f"{text!r} in the log of {program}",
                    lambda: text in log(program)[after:] and log(program)[after:])


def a_dump_tells_what_is_held():
    client = S["client"]
    slow = client.simulator("slow", steps=1000, step_ms=100)
    cluster = client.create("c", slow)
    conductor = S["pids"]["magnum-conductor"]
    wait_for("the driver to be at it", lambda: mt.children(conductor, "magnum-driver-host")
             and client.operations(cluster)[0]["percent"] > 0)
    os.kill(conductor, signal.SIGUSR1)
    text = heard("magnum-conductor", "dump.child")
    operation = client.operations(cluster)[0]["id"]
    for part in (f"operation {operation} create of cluster {cluster}", "database connections", "worker threads",
                 "magnum-driver-h"):
        check(part in text, f"{part!r} is not in {text[-3000:]}")
    os.kill(S["pids"]["magnum-api"], signal.SIGUSR1)
    heard("magnum-api", "database connections")


def send(pid, number):
    """Returns when the process has taken the signal: it serves them one after the other."""
    os.kill(pid, number)

    def taken():
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        pending = int(re.search(r"^ShdPnd:\s*(\w+)", status, re.M)[1], 16)
        return not pending & 1 << (number - 1)
    wait_for("the signal to be taken", taken)


def the_log_level_changes():
    for program, pid in S["pids"].items():
        config = S["top"] / f"{program}.yaml"
        good = config.read_text()

        def level(word):
            config.write_text(f'{good[:-1]}, "log": {{"level": "{word}"}}}}')
            send(pid, signal.SIGHUP)
        level("nonsense")
        heard(program, "service.reload")
        before = len(log(program))
        level("error")
        send(pid, signal.SIGUSR1)  # says nothing: a dump is information
        level("info")
        send(pid, signal.SIGUSR1)
        text = heard(program, "database connections", before)
        check_equal(text.count("database connections"), 1, f"dumps in {text}")


def reloaded(program, change, said):
    """Changes the configuration, sends SIGHUP, and returns what the log said since."""
    config = S["top"] / f"{program}.yaml"
    before, options = len(log(program)), json.loads(config.read_text())
    change(options)
    config.write_text(json.dumps(options))
    os.kill(S["pids"][program], signal.SIGHUP)
    return wait_for(f"{said!r} in the log of {program}", lambda: said in log(program)[before:] and log(program)[before:])


def a_new_configuration_is_taken_over():
    client, top = S["client"], S["top"]
    policy, catalog = top / "policy.yaml", top / "catalog.yaml"
    policy.write_text('"quota:get_all": "!"\n')
    catalog.write_text(json.dumps({"images": [{"id": "a9", "name": "new-image", "os_distro": "simulated"}],
                                   "networks": [{"id": "b1", "name": "public", "external": True}]}))
    template = dict(name="n", coe="kubernetes", server_type="vm", image_id="new-image",
                    external_network_id="public")
    client("GET", "/v1/quotas", want=200)
    client("POST", "/v1/clustertemplates", template, want=400)

    def change(options):
        options["policy"] = {"file": str(policy)}
        options["catalog"] = {"file": str(catalog)}
        options["quotas"] = {"max_clusters_per_project": 1}
        options["api"].update(max_limit=2, threads=3)
    reloaded("magnum-api", change, "what needs a restart: api.threads\n")
    client("GET", "/v1/quotas", want=403)
    S["new"] = client("POST", "/v1/clustertemplates", template, want=201).json()["uuid"]
    client("POST", "/v1/clusters", dict(name="over", cluster_template_id=S["new"]), want=403)
    check_equal(len(client("GET", "/v1/mservices", want=200).json()["mservices"]), 1, "services")


def a_bad_one_changes_nothing():
    client, top = S["client"], S["top"]

    def bad_policy(options):
        (top / "policy.yaml").write_text('"quota:get_all": "role:x and"\n')
        options["quotas"] = {"max_clusters_per_project": 100}

    def bad_catalog(options):
        (top / "policy.yaml").write_text('"quota:get_all": ""\n')
        (top / "catalog.yaml").write_text("images: 7\n")

    def bad_value(options):
        (top / "catalog.yaml").write_text("images: []\n")
        options["conductor"] = {"event_days": "many"}

    def bad_section(options):
        options["conductor"] = {}
        options["quota"] = {"max": 1}
    for change, names in ((bad_policy, "policy.yaml"), (bad_catalog, "catalog.yaml"),
                          (bad_value, "conductor.event_days"), (bad_section, "unknown section")):
        text = reloaded("magnum-api", change, "everything stays as it was")
        check(names in text, f"{names} is not named in {text}")
        client("GET", "/v1/quotas", want=403)  # the policy taken before
        client("POST", "/v1/clusters", dict(name="over", cluster_template_id=S["new"]), want=403)  # the quota
        client("GET", f"/v1/clustertemplates/{S['new']}", want=200)

    def good(options):
        del options["quota"], options["catalog"]
        options["quotas"] = {"max_clusters_per_project": 100, "max_nodes_per_project": 0}

    def better(options):
        del options["quotas"]["max_nodes_per_project"]
    reloaded("magnum-api", good, "what needs a restart: api.threads\n")  # from before; the quotas don't
    client("GET", "/v1/quotas", want=200)
    refused = client("POST", "/v1/clusters", dict(name="now", cluster_template_id=S["template"]), want=403)
    check("more of Nodes" in refused.body.decode(), f"{refused} is not about nodes")
    reloaded("magnum-api", better, "the new configuration is in force")
    client.create("now", S["template"])


def the_conductor_takes_over_too():
    def change(options):
        options["conductor"] = {"event_days": 7, "workers": 3}
    reloaded("magnum-conductor", change, "what needs a restart: conductor.workers\n")


def main():
    with tempfile.TemporaryDirectory(prefix="mgs-") as d, pgmagnum.one_server(pathlib.Path(d)) as server:
        S["top"] = pathlib.Path(d)
        with pgmagnum.magnum(S["top"], server.connection()) as (S["client"], S["template"]):
            S["pids"] = {p: mt.children(os.getpid(), p)[0] for p in ("magnum-conductor", "magnum-api")}
            mt.main("__main__", [a_dump_tells_what_is_held, the_log_level_changes,
                                 a_new_configuration_is_taken_over, a_bad_one_changes_nothing,
                                 the_conductor_takes_over_too])


if __name__ == "__main__":
    main()
