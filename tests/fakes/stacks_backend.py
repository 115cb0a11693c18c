"""For magnum-driver-check: as much of Heat as a driver of stacks asks of it, in memory, for the
templates coe_cluster.yaml and coe_nodegroup.yaml. A stack is in progress when it was asked for, and
complete when it is looked at again; names are unique; what is asked of a busy stack is refused.
With the argument "docker" or "mesos" the cluster's own API answers too, and knows every node that
its stacks have; without one nobody answers there."""
import json
import sys
import urllib.parse
import uuid

STACKS = {}
# other services that a driver looks through when a cluster goes: {type: its list, which is empty}
EMPTY = {"load-balancer": "loadbalancers", "network": "floatingips", "volumev3": "volumes"}


def answer(status, body=None):
    return {"status": status, "headers": "content-type: application/json\n",
            "body": json.dumps(body) if body is not None else ""}


def error(status, text):
    return answer(status, {"error": {"message": text}})


def numbers(stack, key, removed):
    gone, n, out = {int(x) for x in removed}, stack["parameters"].get(key, 1), []
    i = 0
    while len(out) < n:
        out += [] if i in gone else [i]
        i += 1
    return out


def nodes(stack, prefix, of):
    name = stack["parameters"].get(f"{of}name", "node")
    gone = stack["parameters"].get("nodes_to_remove", []) if of != "master_" else []
    found = numbers(stack, f"{of}count", gone)
    return {f"{prefix}names": [f"{name}-{i}" for i in found],
            f"{prefix}ids": [f"{stack['id']}-{prefix}{i}" for i in found],
            f"{prefix}private_addresses": [f"10.0.{len(of)}.{i + 10}" for i in found],
            f"{prefix}public_addresses": ["" for _ in found]}


def outputs(stack):
    if "master_count" not in stack["parameters"]:
        values = nodes(stack, "", "")
    else:
        values = {**nodes(stack, "master_", "master_"), **nodes(stack, "worker_", "worker_"),
                  "api_private": "10.0.7.10", "api_public": "", "network": "net", "subnet": "sub",
                  "node_security_group": "group"}
    p = stack["parameters"]
    values.update(nodes_removed=p.get("nodes_to_remove", []),
                  generation=p.get("worker_generation", 1), change=p.get("worker_metadata", {}))
    return [{"output_key": k, "output_value": v} for k, v in values.items()]


def shown(stack):
    status = f"{stack['action']}_{'IN_PROGRESS' if stack['busy'] else 'COMPLETE'}"
    return {"id": stack["id"], "stack_name": stack["name"], "stack_status": status,
            "stack_status_reason": "", "tags": stack["tags"].split(",")}


def look(stack):
    """Shown, and by the next look Heat has done its work."""
    doc = shown(stack)
    if stack["busy"] and stack["action"] == "DELETE":
        del STACKS[stack["name"]]
    stack["busy"] = False
    return doc


def begin(stack, action, body):
    stack.update(action=action, busy=True)
    if body:
        stack.update(parameters=body["parameters"], tags=body["tags"])


def heat(method, path, body):
    url = urllib.parse.urlsplit(path)
    words = url.path.strip("/").split("/")
    if words == ["stacks"] and method == "GET":
        name = urllib.parse.parse_qs(url.query).get("name", [None])[0]
        return answer(200, {"stacks": [look(s) for s in list(STACKS.values())
                                       if name in (None, s["name"])]})
    if words == ["stacks"] and method == "POST":
        if body["stack_name"] in STACKS:
            return error(409, f"The Stack ({body['stack_name']}) already exists.")
        s = STACKS[body["stack_name"]] = {"name": body["stack_name"], "id": str(uuid.uuid4())}
        begin(s, "CREATE", body)
        return answer(201, {"stack": {"id": s["id"]}})
    s = STACKS.get(words[1]) if len(words) > 1 else None
    if not s or (len(words) > 2 and words[2] != s["id"]):
        return error(404, "The Stack could not be found.")
    if words[3:]:
        return answer(200, {"resources": []})
    if method == "GET":
        doc = look(s)
        return answer(200, {"stack": {**doc, "outputs": outputs(s)}})
    if s["busy"] and method != "DELETE":
        return error(409, f"Stack {s['name']} already has an action in progress.")
    begin(s, "DELETE" if method == "DELETE" else "UPDATE", body)
    return answer(204 if method == "DELETE" else 202)


# ---- the engine in the nodes ----

ENGINE = sys.argv[1] if len(sys.argv) > 1 else None
FORGOTTEN = set()  # ids that were taken off a manager's list


def all_nodes():
    """{name: (address, is it a master)} of all stacks."""
    found = {}
    for s in STACKS.values():
        for prefix, master in (("master_", True), ("worker_", False), ("", False)):
            if ("master_count" in s["parameters"]) == bool(prefix):
                n = nodes(s, prefix, prefix)
                found.update({k: (a, master) for k, a in zip(
                    n[f"{prefix}names"], n[f"{prefix}private_addresses"])})
    return found


def docker(method, path):
    words = urllib.parse.urlsplit(path).path.strip("/").split("/")[1:]
    known = {f"id-{n}": {
        "ID": f"id-{n}", "Version": {"Index": 1}, "Spec": {
            "Role": "manager" if m else "worker", "Availability": "active", "Labels": {}},
        "Description": {"Hostname": n}, "Status": {"State": "ready"},
        **({"ManagerStatus": {"Leader": n.endswith("-0"), "Reachability": "reachable"}} if m else {})}
        for n, (_, m) in all_nodes().items() if f"id-{n}" not in FORGOTTEN}
    if words == ["info"]:
        return answer(200, {"ServerVersion": "20.10.24", "Swarm": {"LocalNodeState": "active"}})
    if words == ["tasks"] or words == ["services"]:
        return answer(200, [])
    if words == ["nodes"]:
        return answer(200, list(known.values()))
    if words[0] == "nodes" and words[1] in known:
        if method == "DELETE":
            FORGOTTEN.add(words[1])
        return answer(200, known[words[1]])
    return answer(404, {"message": "no such thing"})


def mesos(method, path):
    url = urllib.parse.urlsplit(path)
    if url.path == "/v2/info":
        return answer(200, {"version": "1.11.24", "leader": url.netloc, "elected": True})
    if url.path == "/maintenance/schedule" and method == "GET":
        return answer(200, {"windows": []})
    if url.path != "/state":
        return answer(200)
    first = next((a for a, m in all_nodes().values() if m), "")
    return answer(200, {
        "version": "1.11.0", "pid": f"master@{url.netloc}", "leader": f"master@{first}:5050",
        "frameworks": [], "slaves": [{"id": f"S-{n}", "hostname": a, "active": True}
                                     for n, (a, m) in all_nodes().items() if not m]})


for line in sys.stdin:
    q = json.loads(line)
    if q["do"] == "count":
        reply = {"resources": [f"stack/{n}" for n in STACKS if q["cluster"] in n]}
    elif q["do"] == "http" and q.get("service") == "orchestration":
        reply = heat(q["method"], q["path"], json.loads(q["body"]) if q["body"] else None)
    elif q["do"] == "http" and q.get("service") in EMPTY:
        reply = answer(200, {EMPTY[q["service"]]: []})
    elif q["do"] == "http" and q.get("service") == "cluster" and ENGINE == "docker":
        reply = docker(q["method"], q["path"])
    elif q["do"] == "http" and q.get("service") == "url" and ENGINE == "mesos":
        reply = mesos(q["method"], q["path"])
    elif q["do"] == "http":
        reply = error(502, "nobody has that address")
    else:
        reply = {}
    print(json.dumps(reply), flush=True)
