"""tests/fakes/mesos.py is what it says: Debian's Marathon client (python3-marathon) works with it,
masters redirect, tasks take resources, machines under maintenance get no tasks."""
import json
import os
import pathlib
import subprocess
import sys

import magnumtest as mt
from magnumtest import check, check_equal

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "fakes"))
import cluster_net
import mesos

MASTERS = ["10.9.0.11", "10.9.0.12", "10.9.0.13"]
# with Debian's own interpreter, for which the package is
PYTHON = "/usr/bin/python3"
CLIENT = r"""
import json, sys
import marathon
c = marathon.MarathonClient("http://10.9.0.12:8080")
out = {"info": c.get_info().version, "leader": c.get_leader(), "ping": str(c.ping())}
c.create_app("web", marathon.MarathonApp(cmd="sleep 1", cpus=0.5, mem=100, instances=2))
out["hosts"] = sorted(t.host for t in c.list_tasks())
c.scale_app("web", 3)
out["scaled"] = len(c.list_tasks("web"))
c.kill_task("web", c.list_tasks("web")[0].id, scale=True)
out["after_kill"] = c.get_app("web").instances
try:
    c.get_app("nothing")
except marathon.exceptions.NotFoundError as e:
    out["missing"] = str(e)
out["names"] = [a.id for a in c.list_apps()]
c.delete_app("web")
out["left"] = len(c.list_tasks())
print(json.dumps(out))
"""


def world():
    net = cluster_net.Net()
    fake = mesos.Mesos(net, MASTERS)
    fake.join("10.9.0.21")
    fake.join("10.9.0.22")
    return net, fake


def ask(net, url, method="GET", body=None):
    """Through the proxy, and without following a redirect."""
    a = mt.request(net.url, method, url, body)
    return a.status, a.headers, json.loads(a.body) if a.body[:1] in (b"{", b"[") else a.body


def marathons_own_client_works():
    net, fake = world()
    r = subprocess.run([PYTHON, "-c", CLIENT], capture_output=True, text=True, timeout=30,
                       env={**os.environ, **net.environment})
    check_equal(r.returncode, 0, r.stderr)
    out = json.loads(r.stdout)
    check("pong" in out.pop("ping"), "ping")
    check("does not exist" in out.pop("missing"), "error of a missing app")
    check_equal(out, {"info": "1.11.24", "leader": {"leader": "10.9.0.11:8080"}, "after_kill": 2,
                      "hosts": ["10.9.0.21", "10.9.0.22"], "scaled": 3, "names": ["/web"],
                      "left": 0}, "what the client saw")
    net.close()


def masters_redirect_to_the_one_that_leads():
    net, fake = world()
    fake.elect(2)
    status, headers, _ = ask(net, "http://10.9.0.11:5050/state")
    check_equal((status, headers["location"]), (307, "//10.9.0.13:5050/state"), "redirect")
    state = ask(net, "http://10.9.0.13:5050/master/state.json")[2]
    check_equal((state["leader"], state["pid"]), ("master@10.9.0.13:5050",) * 2, "leader")
    fake.elect(None)
    check_equal([ask(net, f"http://{m}:5050/state")[0] for m in MASTERS], [503] * 3, "no leader")
    check_equal(ask(net, "http://10.9.0.12:5050/health")[0], 200, "health without leader")
    check_equal(ask(net, "http://10.9.0.99:5050/health")[0], 502, "nobody's address")
    net.close()


def tasks_take_what_they_ask_for():
    net, fake = world()
    ask(net, "http://10.9.0.11:8080/v2/apps", "POST",
        {"id": "/a", "cpus": 1.5, "mem": 500, "instances": 3})
    slaves = ask(net, "http://10.9.0.11:5050/state")[2]["slaves"]
    check_equal([s["used_resources"]["cpus"] for s in slaves], [1.5, 1.5], "used; no room for three")
    fake.leave("10.9.0.22")
    slaves = {s["hostname"]: s for s in ask(net, "http://10.9.0.11:5050/state")[2]["slaves"]}
    check_equal((slaves["10.9.0.22"]["active"], slaves["10.9.0.22"]["used_resources"]["cpus"]),
                (False, 0.0), "a lost agent")
    net.close()


def maintenance_keeps_its_rules():
    net, fake = world()
    base, one = "http://10.9.0.11:5050", {"hostname": "10.9.0.21", "ip": "10.9.0.21"}
    window = {"machine_ids": [one], "unavailability": {"start": {"nanoseconds": 1}}}
    check_equal(ask(net, f"{base}/machine/down", "POST", [one])[0], 400, "down, not scheduled")
    check_equal(ask(net, f"{base}/maintenance/schedule", "POST", {"windows": [window, window]})[0],
                400, "twice the same")
    ask(net, "http://10.9.0.11:8080/v2/apps", "POST", {"id": "/a", "cpus": 1, "instances": 2})
    check_equal(ask(net, f"{base}/maintenance/schedule", "POST", {"windows": [window]})[0], 200,
                "schedule")
    check_equal(ask(net, f"{base}/machine/down", "POST", [one])[0], 200, "down")
    check_equal({t["host"] for t in fake.tasks.values()}, {"10.9.0.22"}, "where tasks went")
    check_equal(ask(net, f"{base}/maintenance/schedule", "POST", {"windows": []})[0], 400,
                "a machine that is down stays")
    check_equal(ask(net, f"{base}/machine/up", "POST", [one])[0], 200, "up")
    check_equal(ask(net, f"{base}/maintenance/schedule")[2], {"windows": []}, "forgotten")
    net.close()


mt.main(__name__, [marathons_own_client_works, masters_redirect_to_the_one_that_leads,
                   tasks_take_what_they_ask_for, maintenance_keeps_its_rules])
