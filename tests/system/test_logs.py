"""One create followed through the logs of API, conductor and driver by its ids; every line of the
JSON format is one object, whatever bytes a driver or a client sends; the text format is one line per
event too."""
import json
import os
import pathlib
import re
import tempfile

import magnumtest as mt
import pgmagnum
from magnumtest import check, check_equal, wait_for

S = {}
PROGRAMS = ("magnum-api", "magnum-conductor")


def lines(program, fmt="json"):
    """The whole lines written so far; in the JSON format as objects."""
    whole = (S["top"] / f"{program}.log").read_bytes().split(b"\n")[:-1]
    if fmt == "text":
        return [line.decode() for line in whole]
    parsed = []
    for line in whole:
        try:
            o = json.loads(line.decode())
        except ValueError as e:
            raise mt.Failed(f"a line of {program} is not JSON: {line!r}: {e}") from e
        check({"time", "level", "program", "event", "text"} <= set(o), f"{o}")
        parsed.append(o)
    return parsed


def heard(program, what, **members):
    def there():
        return [o for o in lines(program) if all(o.get(k) == v for k, v in members.items())]
    return wait_for(f"{what} in the log of {program}", there)


def template(client):
    return client("POST", "/v1/clustertemplates",
                  dict(name="t", coe="kubernetes", server_type="vm", image_id="talker",
                       external_network_id="public"), want=201).json()["uuid"]


def create(client, **headers):
    a = client("POST", "/v1/clusters", dict(name="c", cluster_template_id=S["template"]), want=202,
               headers=headers)
    cluster = a.json()["uuid"]
    client.wait_status(cluster, "CREATE_COMPLETE")
    return a.headers["x-openstack-request-id"], cluster, client.operations(cluster)[0]["id"]


def one_create_is_followed_by_its_ids():
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    request, cluster, operation = create(S["client"], traceparent=f"00-{trace}-00f067aa0ba902b7-01")
    S["cluster"] = cluster
    ids = dict(req=request, cluster=cluster, op=operation, trace=trace)
    api = heard("magnum-api", "the request", event="api.request", **ids)
    check(api[0]["text"].startswith("POST /v1/clusters 202"), f"{api}")
    done = heard("magnum-conductor", "the end", event="op.finished", **ids)
    check_equal(done[0]["driver"], "test.talker", "driver")
    told = heard("magnum-conductor", "the driver's log", event="driver.log", **ids)
    check(f"told create {operation}" in told[0]["text"] and told[0]["text"].endswith("end"), f"{told}")
    said = heard("magnum-conductor", "the driver's output", event="driver.output", **ids)
    check(f"printed create {operation}" in said[0]["text"] and "\x1b" not in said[0]["text"], f"{said}")


def reads_and_deletes_name_the_cluster():
    a = S["client"]("DELETE", f"/v1/clusters/{S['cluster']}", want=204)
    request = a.headers["x-openstack-request-id"]
    S["client"].wait_gone(S["cluster"])
    line = heard("magnum-api", "the delete", req=request, event="api.request")[0]
    check_equal(line["cluster"], S["cluster"], "cluster of the API's line")
    end = heard("magnum-conductor", "its end", req=request, event="op.finished")[0]
    check_equal((end["cluster"], end["op"]), (S["cluster"], line["op"]), "ids of the conductor's line")
    check_equal(len(line["trace"]), 32, "a trace of our own")
    check_equal(end["trace"], line["trace"], "the same in the conductor")


def hostile_requests_do_not_break_a_line():
    for path in ("/v1/clusters/%22%7D%0A%7B", "/v1/%FF%FE", "/v1/clusters/%1b%5B31m"):
        S["client"]("DELETE", path)
    S["client"]("POST", "/v1/clusters", b"\xff\xfe\"}\n{",
                headers={"Content-Type": "application/json", "traceparent": "\"}\\"})
    heard("magnum-api", "the last of them", event="api.request")
    for program in PROGRAMS:
        lines(program)


def the_text_format_has_the_ids_too():
    request, cluster, operation = create(S["client"])
    S["client"].delete(cluster)
    S["client"].wait_gone(cluster)
    ids = f" req={request} cluster={cluster} op={operation} "
    for program, event in (("magnum-api", "api.request"), ("magnum-conductor", "op.finished")):
        wait_for(f"{event} in {program}",
                 lambda: [x for x in lines(program, "text") if f" {event} " in x and ids in x + " "
                          and re.search(r" trace=[0-9a-f]{32} ", x)])
    when = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+\+00:00 magnum-(api|conductor) (ERROR|WARNING|INFO|DEBUG) \S+ ")
    for program in PROGRAMS:
        for line in lines(program, "text"):
            check(when.match(line) and not re.search(r"[\x00-\x1f\x7f]", line), f"{program}: {line!r}")


def with_format(fmt, cases):
    with tempfile.TemporaryDirectory(prefix="mgs-") as d, pgmagnum.one_server(pathlib.Path(d)) as server:
        S["top"] = top = pathlib.Path(d)
        catalog = top / "catalog.yaml"
        catalog.write_text(json.dumps({
            "images": [{"id": "a001", "name": "talker", "os_distro": "talker"},
                       {"id": "a002", "name": "simulated", "os_distro": "simulated"}],
            "networks": [{"id": "b001", "name": "public", "external": True}]}))
        drivers = {"plugin_dirs": [str(mt.BUILD / "plugins"), str(mt.BUILD / "tests/talker_plugins")],
                   "require_enable": False}
        with pgmagnum.magnum(top, server.connection(), drivers=drivers, catalog={"file": str(catalog)},
                             log={"format": fmt, "level": "debug"}) as (S["client"], _):
            S["template"] = template(S["client"])
            for case in cases:
                case()


def json_lines():
    with_format("json", [one_create_is_followed_by_its_ids, reads_and_deletes_name_the_cluster,
                         hostile_requests_do_not_break_a_line])


def text_lines():
    with_format("text", [the_text_format_has_the_ids_too])


if __name__ == "__main__":
    os.umask(0o022)
    mt.main("__main__", [json_lines, text_lines])
