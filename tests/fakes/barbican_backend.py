"""For magnum-driver-check: as much of Barbican as a certificate manager asks of it, in memory.
Secrets and containers have ids of their own and names that need not be unique; a container of type
certificate needs a certificate; what a container refers to must exist when it is made."""
import json
import sys
import urllib.parse
import uuid

BASE = "http://barbican"
KINDS = {"secrets": "secret_ref", "containers": "container_ref"}
THINGS = {"secrets": {}, "containers": {}}


def error(status, text):
    return {"status": status, "headers": "content-type: application/json\n",
            "body": json.dumps({"code": status, "title": "Error", "description": text})}


def fine(status, body):
    return {"status": status, "headers": "content-type: application/json\n",
            "body": json.dumps(body) if not isinstance(body, str) else body}


def shown(kind, ident):
    thing = {k: v for k, v in THINGS[kind][ident].items() if k != "payload"}
    return dict(thing, status="ACTIVE", **{KINDS[kind]: f"{BASE}/v1/{kind}/{ident}"})


def make(kind, body):
    try:
        thing = json.loads(body)
    except ValueError:
        return error(400, "Unable to process the data: not JSON")
    if kind == "secrets" and not thing.get("payload"):
        return error(400, "Provided information too small")
    if kind == "containers":
        names = [s["name"] for s in thing["secret_refs"]]
        if thing["type"] == "certificate" and "certificate" not in names:
            return error(400, "certificate container needs a certificate")
        for s in thing["secret_refs"]:
            if s["secret_ref"].rsplit("/", 1)[1] not in THINGS["secrets"]:
                return error(404, "Secret provided for a container doesn't exist")
    ident = str(uuid.uuid4())
    THINGS[kind][ident] = thing
    return fine(201, {KINDS[kind]: f"{BASE}/v1/{kind}/{ident}"})


def find(kind, query):
    names = query.get("name")
    found = [shown(kind, i) for i, t in THINGS[kind].items() if not names or t.get("name") in names]
    offset, limit = int(query.get("offset", ["0"])[0]), int(query.get("limit", ["10"])[0])
    return fine(200, {kind: found[offset:offset + limit], "total": len(found)})


def http(rq):
    url = urllib.parse.urlsplit(rq["path"])
    words = url.path.strip("/").split("/")
    if len(words) < 2 or words[0] != "v1" or words[1] not in KINDS:
        return error(404, "Not Found")
    kind = words[1]
    if len(words) == 2:
        return (make(kind, rq["body"]) if rq["method"] == "POST" else
                find(kind, urllib.parse.parse_qs(url.query)))
    if words[2] not in THINGS[kind]:
        return error(404, "Not Found. Sorry but it is not here.")
    if rq["method"] == "DELETE":
        del THINGS[kind][words[2]]
        return fine(204, "")
    if words[3:] == ["payload"]:
        return dict(fine(200, THINGS[kind][words[2]]["payload"]),
                    headers="content-type: text/plain\n")
    return fine(200, shown(kind, words[2]))


def count(cluster):
    return {"resources": [f"{kind}/{t.get('name')}" for kind, all_ in THINGS.items()
                          for t in all_.values() if cluster in (t.get("name") or "")]}


for line in sys.stdin:
    question = json.loads(line)
    answer = count(question["cluster"]) if question["do"] == "count" else http(question)
    print(json.dumps(answer), flush=True)
