"""A stand-in for a Mesos cluster with Marathon, for want of a package: several masters of which one
leads and the others redirect to it, agents that come and go, tasks that take resources, the
maintenance API, and Marathon's apps and tasks. What it answers follows the documentation of Mesos
1.11 and Marathon; python3-marathon is checked against it. It stands in a cluster_net.Net.

Nothing happens by itself: a test says when a master is elected or an agent is lost."""
import json
import re
import time
import urllib.parse
import uuid

MASTER, AGENT, MARATHON = 5050, 5051, 8080
LIVE = ("TASK_STAGING", "TASK_STARTING", "TASK_RUNNING")


def fine(doc, status=200, **headers):
    body = doc if isinstance(doc, bytes) else json.dumps(doc).encode()
    return status, {"Content-Type": "application/json", **headers}, body


def bad(status, text):
    return status, {"Content-Type": "text/plain"}, text.encode()


def seconds():
    return round(time.time(), 3)


class Agent:
    def __init__(self, number, host, cpus, mem):
        self.id = f"{uuid.UUID(int=7)}-S{number}"
        self.host, self.active, self.registered = host, True, seconds()
        self.all = {"cpus": float(cpus), "mem": float(mem), "disk": 10000.0, "gpus": 0.0}
        self.used = dict.fromkeys(self.all, 0.0)

    def free(self, want):
        return all(self.all[k] - self.used[k] >= v for k, v in want.items())

    def shown(self):
        ports = {"ports": "[31000-32000]"}
        return {"id": self.id, "hostname": self.host, "port": AGENT, "attributes": {},
                "pid": f"slave(1)@{self.host}:{AGENT}", "registered_time": self.registered,
                "resources": {**self.all, **ports}, "used_resources": self.used,
                "offered_resources": dict.fromkeys(self.all, 0.0), "reserved_resources": {},
                "unreserved_resources": {**self.all, **ports}, "active": self.active,
                "deactivated": False, "version": "1.11.0", "capabilities": []}


class Mesos:
    def __init__(self, net, masters, marathon=None):
        """masters: addresses; marathon: further addresses (of a load balancer) it answers at."""
        self.net, self.masters, self.leader = net, list(masters), 0
        self.agents, self.apps, self.tasks, self.made = {}, {}, {}, 0
        self.schedule, self.down, self.gone, self.asked = {"windows": []}, [], set(), []
        self.started = seconds()
        for i, address in enumerate(self.masters):
            net.at[address, MASTER] = self._of(self.master, i)
        for address in [*self.masters, *(marathon or [])]:
            net.at[address, MARATHON] = self.marathon

    def _of(self, function, i):
        return lambda *request: function(i, *request)

    # ---- what a test makes happen ----

    def elect(self, i):
        """None: nobody leads."""
        with self.net.lock:
            self.leader = i

    def lose_master(self, i):
        with self.net.lock:
            self.gone.add(i)
            self.leader = None if self.leader == i else self.leader

    def join(self, host, cpus=2, mem=3000):
        with self.net.lock:
            self.made += 1
            self.agents[host] = Agent(self.made, host, cpus, mem)
            self.fill()

    def leave(self, host):
        """It is known and not active until the masters give it up (forget)."""
        with self.net.lock:
            if host in self.agents:
                self.agents[host].active = False
                self.lost(host)

    def forget(self, host):
        with self.net.lock:
            self.agents.pop(host, None)

    # ---- tasks ----

    def lost(self, host):
        for task in [t for t in self.tasks.values() if t["host"] == host]:
            self.end(task["id"])
        self.fill()

    def end(self, task_id):
        task = self.tasks.pop(task_id)
        agent = self.agents.get(task["host"])
        if agent:
            for k, v in task["takes"].items():
                agent.used[k] -= v

    def of_app(self, app_id):
        return [t for t in self.tasks.values() if t["appId"] == app_id]

    def fill(self):
        """Marathon starts what is missing wherever there is room, and ends what is too much."""
        shut = {m["hostname"] for w in self.schedule["windows"] for m in w["machine_ids"]}
        for app in self.apps.values():
            mine = self.of_app(app["id"])
            for task in mine[app["instances"]:]:
                self.end(task["id"])
            takes = {k: float(app[k]) for k in ("cpus", "mem", "disk")}
            for _ in range(app["instances"] - len(mine)):
                room = [a for a in self.agents.values()
                        if a.active and a.host not in shut and a.free(takes)]
                if not room:
                    break
                self.start(app, min(room, key=lambda a: a.used["cpus"]), takes)

    def start(self, app, agent, takes):
        for k, v in takes.items():
            agent.used[k] += v
        name = f"{app['id'].strip('/').replace('/', '_')}.{uuid.uuid4()}"
        self.tasks[name] = {"id": name, "appId": app["id"], "host": agent.host,
                            "slaveId": agent.id, "takes": takes, "version": app["version"],
                            "at": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())}

    # ---- masters ----

    def pid(self, i):
        return f"master@{self.masters[i]}:{MASTER}"

    def master(self, i, method, path, headers, body):
        url = urllib.parse.urlsplit(path)
        where = re.sub(r"^/master/", "/", url.path)
        self.asked.append(f"{method} {where}")
        if i in self.gone:
            return bad(502, "nobody has that address")
        if where == "/health":
            return 200, {}, b""
        if self.leader is None:
            return bad(503, "No leader elected")
        if i != self.leader:
            to = f"//{self.masters[self.leader]}:{MASTER}{path}"
            return 307, {"Location": to}, b""
        if where == "/redirect":
            return 307, {"Location": f"//{self.masters[i]}:{MASTER}"}, b""
        if method == "GET":
            return self.master_get(i, where.removesuffix(".json"))
        try:
            doc = json.loads(body)
        except ValueError:
            return bad(400, "Failed to parse body as JSON")
        return self.master_post(where, doc)

    def master_get(self, i, where):
        if where == "/state":
            return fine(self.state(i))
        if where == "/slaves":
            return fine({"slaves": [a.shown() for a in self.agents.values()],
                         "recovered_slaves": []})
        if where == "/version":
            return fine({"version": "1.11.0"})
        if where == "/maintenance/schedule":
            return fine(self.schedule)
        if where == "/maintenance/status":
            draining = [{"id": m} for w in self.schedule["windows"] for m in w["machine_ids"]
                        if m not in self.down]
            return fine({"draining_machines": draining, "down_machines": self.down})
        return bad(404, "Not found")

    def state(self, i):
        active = [a for a in self.agents.values() if a.active]
        tasks = [{"id": t["id"], "name": t["appId"], "framework_id": "marathon", "executor_id": "",
                  "slave_id": t["slaveId"], "state": "TASK_RUNNING", "resources": t["takes"],
                  "statuses": [{"state": "TASK_RUNNING", "timestamp": seconds()}]}
                 for t in self.tasks.values()]
        return {"version": "1.11.0", "build_date": "2020-11-24 00:00:00", "build_time": 0.0,
                "build_user": "", "start_time": self.started, "elected_time": self.started,
                "id": str(uuid.UUID(int=i + 1)), "pid": self.pid(i),
                "hostname": self.masters[i], "capabilities": [],
                "activated_slaves": len(active),
                "deactivated_slaves": len(self.agents) - len(active), "unreachable_slaves": 0,
                "leader": self.pid(self.leader), "cluster": "fake", "flags": {},
                "leader_info": {"id": str(uuid.UUID(int=i + 1)), "pid": self.pid(self.leader),
                                "port": MASTER, "hostname": self.masters[self.leader]},
                "slaves": [a.shown() for a in self.agents.values()], "recovered_slaves": [],
                "frameworks": [{"id": "marathon", "name": "marathon", "active": True,
                                "connected": True, "recovered": False, "tasks": tasks,
                                "unreachable_tasks": [], "completed_tasks": []}],
                "completed_frameworks": [], "orphan_tasks": [], "unregistered_frameworks": []}

    def master_post(self, where, doc):
        machines = [m for w in self.schedule["windows"] for m in w["machine_ids"]]
        if where == "/maintenance/schedule":
            wanted = [m for w in doc.get("windows", []) for m in w.get("machine_ids", [])]
            names = [m["hostname"] for m in wanted]
            if len(set(names)) != len(names):
                return bad(400, "Machine appears more than once in the schedule")
            if any(not w.get("machine_ids") for w in doc.get("windows", [])):
                return bad(400, "List of machines in the maintenance window is empty")
            if any(m not in wanted for m in self.down):
                return bad(400, "Machine is in DOWN mode and must stay in the schedule")
            self.schedule = {"windows": doc.get("windows", [])}
            return 200, {}, b""
        if where == "/machine/down":
            if not doc or any(m not in machines or m in self.down for m in doc):
                return bad(400, "Machine is not in DRAINING mode and cannot be brought down")
            self.down += doc
            for m in doc:
                self.leave(m["hostname"])
            return 200, {}, b""
        if where == "/machine/up":
            if not doc or any(m not in self.down for m in doc):
                return bad(400, "Machine is not in DOWN mode and cannot be brought up")
            self.down = [m for m in self.down if m not in doc]
            windows = [dict(w, machine_ids=[m for m in w["machine_ids"] if m not in doc])
                       for w in self.schedule["windows"]]
            self.schedule = {"windows": [w for w in windows if w["machine_ids"]]}
            return 200, {}, b""
        return bad(404, "Not found")

    # ---- Marathon ----

    def marathon(self, method, path, headers, body):
        url = urllib.parse.urlsplit(path)
        if url.path == "/ping":
            return 200, {"Content-Type": "text/plain"}, b"pong"
        if self.leader is None:
            return fine({"message": "Could not determine the current leader"}, 503)
        lead = f"{self.masters[self.leader]}:{MARATHON}"
        if url.path == "/v2/info":
            return fine({"name": "marathon", "version": "1.11.24", "buildref": "unknown",
                         "elected": True, "leader": lead, "frameworkId": "marathon",
                         "marathon_config": {"master": "zk://fake/mesos"}, "http_config": {},
                         "zookeeper_config": {}, "event_subscriber": None})
        if url.path == "/v2/leader":
            return fine({"leader": lead})
        if url.path == "/v2/tasks" and method == "GET":
            return fine({"tasks": [self.task(t) for t in self.tasks.values()]})
        if url.path in ("/v2/deployments", "/v2/queue"):
            return fine([] if url.path.endswith("s") else {"queue": []})
        found = re.fullmatch(r"/v2/apps(?:/(.+?))?(/tasks(?:/.+)?)?/?", url.path)
        if not found:
            return fine({"message": "Not found"}, 404)
        try:
            doc = json.loads(body) if body else {}
        except ValueError:
            return fine({"message": "Invalid JSON", "details": []}, 400)
        name = found[1] or doc.get("id", "").strip("/")
        return self.app(method, "/" + name.strip("/"), found, doc, url.query)

    def app(self, method, name, found, doc, query):
        if method == "GET" and not found[1]:
            return fine({"apps": [self.shown(a) for a in self.apps.values()]})
        if method == "POST" and not found[1]:
            if name in self.apps:
                return fine({"message": f"An app with id [{name}] already exists."}, 409)
            if name == "/":
                return fine({"message": "Object is not valid",
                             "details": [{"path": "/id", "errors": ["error.path.missing"]}]}, 422)
            return fine(self.put(name, doc), 201)
        if name not in self.apps and method != "PUT":
            return fine({"message": f"App '{name}' does not exist"}, 404)
        if found[2] and method == "GET":
            return fine({"tasks": [self.task(t) for t in self.of_app(name)]})
        if found[2] and method == "DELETE":
            return self.kill(name, found[2].removeprefix("/tasks").strip("/"), query)
        if method == "GET":
            return fine({"app": dict(self.shown(self.apps[name]),
                                     tasks=[self.task(t) for t in self.of_app(name)])})
        there = name in self.apps
        if method == "DELETE":
            self.apps[name]["instances"] = 0
            self.fill()
            version = self.apps.pop(name)["version"]
        else:
            version = self.put(name, {**self.apps.get(name, {}), **doc})["version"]
        return fine({"version": version, "deploymentId": str(uuid.uuid4())}, 200 if there else 201)

    def kill(self, name, task_id, query):
        hit = [t for t in self.of_app(name) if task_id in ("", t["id"])]
        scale = "scale=true" in query.lower()
        for task in hit:
            self.end(task["id"])
            self.apps[name]["instances"] -= scale
        shown = [self.task(t) for t in hit]
        self.fill()
        return fine({"task": shown[0]} if task_id and shown else {"tasks": shown})

    def put(self, name, doc):
        given = {k: v for k, v in doc.items() if v is not None}
        app = {"instances": 1, "cpus": 1.0, "mem": 128.0, "disk": 0.0, "cmd": None, "args": None,
               "constraints": [], "container": None, "healthChecks": [], "labels": {}, **given,
               "id": name, "version": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())}
        self.apps[name] = app
        self.fill()
        return self.shown(app)

    def shown(self, app):
        running = len(self.of_app(app["id"]))
        return dict(app, tasksStaged=app["instances"] - running, tasksRunning=running,
                    tasksHealthy=0, tasksUnhealthy=0, deployments=[])

    def task(self, t):
        return {"id": t["id"], "appId": t["appId"], "host": t["host"], "ports": [31000],
                "slaveId": t["slaveId"], "state": "TASK_RUNNING", "stagedAt": t["at"],
                "startedAt": t["at"], "version": t["version"], "servicePorts": []}
