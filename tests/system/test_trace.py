"""One trace through all layers, as an OpenTelemetry collector sees it: the client's traceparent goes
on through API, messages, conductor, driver call and the backend's HTTP, parents link up, and the
bodies are OTLP. A collector that is away, slow or rude harms nobody."""
import contextlib
import http.server
import json
import pathlib
import re
import tempfile
import threading

import magnumtest as mt
import pgmagnum
from magnumtest import check, check_equal, wait_for

S = {}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
HEX16, HEX32, NANOS = re.compile("[0-9a-f]{16}"), re.compile("[0-9a-f]{32}"), re.compile("[0-9]{16,20}")


class Server(http.server.ThreadingHTTPServer):
    """Takes down what it is sent, as (path, headers, body)."""

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.heard, self.lock = answer, [], threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            self.server.heard.append((f"{self.command} {self.path}", dict(self.headers), body))
        status, text = self.server.answer(self.command, self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(text)

    do_GET = do_PUT = do_POST = do_DELETE = any


def backend(method, _):
    if method == "GET":
        return 200, b'{"status": "ok"}'
    return (204, b"") if method == "DELETE" else (201, b"{}")


def value(v):
    (kind, x), = v.items()
    check(kind in ("stringValue", "intValue"), f"an attribute of kind {kind}")
    check(isinstance(x, str), f"64-bit numbers are strings in OTLP's JSON: {v}")
    return int(x) if kind == "intValue" else x


def attributes(listed):
    return {a["key"]: value(a["value"]) for a in listed}


def check_span(s):
    check(HEX32.fullmatch(s["traceId"]) and HEX16.fullmatch(s["spanId"]), f"ids of {s}")
    check("parentSpanId" not in s or HEX16.fullmatch(s["parentSpanId"]), f"parent of {s}")
    check(isinstance(s["name"], str) and s["name"] and s["kind"] in (1, 2, 3, 4, 5), f"{s}")
    begin, end = s["startTimeUnixNano"], s["endTimeUnixNano"]
    check(NANOS.fullmatch(begin) and NANOS.fullmatch(end) and int(begin) <= int(end), f"times of {s}")
    check(s.get("status", {"code": 2})["code"] == 2, f"status of {s}")


def spans(collector, trace=None):
    """All spans heard so far, each with its service; every body is checked."""
    with collector.lock:
        heard = list(collector.heard)
    found = []
    for what, headers, body in heard:
        check_equal(what, "POST /v1/traces", "request to the collector")
        check_equal(headers["Content-Type"], "application/json", "its type")
        check_equal(headers["X-Tenant"], "blue", "the operator's own header")
        for r in json.loads(body)["resourceSpans"]:
            service = attributes(r["resource"]["attributes"])["service.name"]
            for scope in r["scopeSpans"]:
                check(scope["scope"]["name"], "a scope has a name")
                for s in scope["spans"]:
                    check_span(s)
                    found.append(dict(s, service=service, attrs=attributes(s["attributes"])))
    return [s for s in found if trace in (None, s["traceId"])]


def one(found, what, **attrs):
    match = [s for s in found if all(s["attrs"].get(k.replace("__", ".")) == v for k, v in attrs.items())]
    check(match, f"no span {what} {attrs} among {[(s['service'], s['name'], s['attrs']) for s in found]}")
    return match[0]


def chain(by_id, span):
    """(service, name) up to the client's own span."""
    names = []
    while span["spanId"] != PARENT:
        names.append((span["service"], span["name"]))
        check(span["parentSpanId"] == PARENT or span["parentSpanId"] in by_id,
              f"{span} has a parent that nobody sent")
        if span["parentSpanId"] == PARENT:
            break
        span = by_id[span["parentSpanId"]]
    return names


def one_trace_through_all_layers():
    client, collector = S["client"], S["collector"]
    before = len(S["backend"].heard)
    a = client("POST", "/v1/clusters", dict(name="c", cluster_template_id=S["template"]), want=202,
               headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=x"})
    S["request"], S["cluster"] = a.headers["x-openstack-request-id"], a.json()["uuid"]
    client.wait_status(S["cluster"], "CREATE_COMPLETE")
    S["operation"] = client.operations(S["cluster"])[0]["id"]

    def all_there():
        found = spans(collector, TRACE)
        kinds = {s["attrs"].get("rpc.method") or s["name"] for s in found}
        ids = {PARENT, *(s["spanId"] for s in found)}
        return {"POST /v1/clusters", "operation create", "create", "PUT", "op.due"} <= kinds and \
            all(s["parentSpanId"] in ids for s in found) and found  # a parent may come after its children
    found = wait_for("the spans of all layers", all_there)
    by_id = {s["spanId"]: s for s in found}
    check_equal(len(by_id), len(found), "span ids are different")

    server = one(found, "of the request", http__route="/v1/clusters")
    check_equal(server["parentSpanId"], PARENT, "parent of the server's span")
    check_equal(server["kind"], 2, "its kind")
    check_equal(server["traceState"], "vendor=x", "the client's tracestate")
    check_equal(server["attrs"]["http.response.status_code"], 202, "status")
    check_equal(server["attrs"]["magnum.request_id"], S["request"], "request id")

    put = one(found, "to the backend", http__request__method="PUT")
    check_equal(chain(by_id, put),
                [("magnum-conductor", "PUT"), ("magnum-conductor", "mag.coe.lifecycle/1/create"),
                 ("magnum-conductor", "operation create"), ("magnum-api", "POST /v1/clusters")],
                "from the backend's call to the request")
    check_equal(put["kind"], 3, "a client's span")
    check_equal(put["attrs"]["server.port"], S["backend"].server_port, "port of the backend")
    check_equal(put["attrs"]["http.response.status_code"], 201, "its answer")
    step = by_id[by_id[put["parentSpanId"]]["parentSpanId"]]
    check_equal(step["attrs"]["magnum.operation.id"], S["operation"], "operation")
    check_equal(step["attrs"]["magnum.cluster.id"], S["cluster"], "cluster")

    sent = [h for what, h, _ in S["backend"].heard[before:] if what.startswith("PUT")]
    check_equal(sent[0]["traceparent"], f"00-{TRACE}-{put['spanId']}-01", "what the backend was told")
    check_equal(sent[0]["tracestate"], "vendor=x", "and the client's tracestate")
    for s in found:
        check_equal(s["traceState"], "vendor=x", f"tracestate of {s['name']} of {s['service']}")

    due = [s for s in found if s["attrs"].get("rpc.method") == "op.due"]
    check_equal({(s["service"], s["kind"]) for s in due}, {("magnum-api", 4), ("magnum-conductor", 5)}, "wake-up")
    for s in found:
        chain(by_id, s)


def a_long_tracestate_is_shortened():
    """To 512 characters, by whole members: the long ones first, then from the end."""
    long, small = "long=" + "x" * 200, [f"k{i}=" + "y" * 40 for i in range(20)]
    trace = "2af7651916cd43dd8448eb211c80319c"
    a = S["client"]("POST", "/v1/clusters", dict(name="s", cluster_template_id=S["template"]), want=202,
                    headers={"traceparent": f"00-{trace}-{PARENT}-01", "tracestate": ",".join([long, *small])})
    S["client"].wait_status(a.json()["uuid"], "CREATE_COMPLETE")
    put = wait_for("the backend's span", lambda: [
        s for s in spans(S["collector"], trace) if s["attrs"].get("http.request.method") == "PUT"])[0]
    fitting = ",".join(small)[:513].rpartition(",")[0]
    check_equal(put["traceState"], fitting, "tracestate")
    check(400 < len(fitting) <= 512, f"{len(fitting)} characters")


def a_call_is_a_pair_of_spans():
    trace = "0af7651916cd43dd8448eb211c80319c"
    S["client"]("GET", f"/v1/certificates/{S['cluster']}", want=200,
                headers={"traceparent": f"00-{trace}-{PARENT}-01"})

    def both():
        return [s for s in spans(S["collector"], trace) if s["attrs"].get("rpc.method") == "cert.ca"][1:] and \
            spans(S["collector"], trace)
    found = wait_for("both ends of the call", both)
    ends = {s["service"]: s for s in found if s["attrs"].get("rpc.method") == "cert.ca"}
    check_equal(ends["magnum-conductor"]["parentSpanId"], ends["magnum-api"]["spanId"], "the call's parent")
    check_equal((ends["magnum-api"]["kind"], ends["magnum-conductor"]["kind"]), (3, 2), "kinds")


def bad_headers_begin_a_new_trace():
    """And of several headers none is believed."""
    for n, bad in enumerate(["", "00-" + "0" * 32 + f"-{PARENT}-01", f"00-{TRACE}-{PARENT}",
                             f"ff-{TRACE}-{PARENT}-01", f"00-{TRACE.upper()}-{PARENT}-01",
                             f"00-{TRACE}-{PARENT}-01-more"]):
        path = f"/v1/clusters/nothing-{n}"
        S["client"]("GET", path, want=404, headers={"traceparent": bad})
        found = wait_for(f"the span of {path}",
                         lambda: [s for s in spans(S["collector"]) if s["attrs"].get("url.path") == path])[0]
        check(found["traceId"] not in (TRACE, "0" * 32), f"{bad!r} gave {found}")
        check("parentSpanId" not in found, f"{bad!r} gave {found}")
    # one that is not sampled is not recorded, but known to the log
    S["client"]("POST", "/v1/clusters", {}, want=400,
                headers={"traceparent": f"00-{'b' * 32}-{PARENT}-00"})
    S["client"]("GET", "/v1/clusters/last", want=404)
    wait_for("the last span", lambda: [s for s in spans(S["collector"])
                                       if s["attrs"].get("url.path") == "/v1/clusters/last"])
    check(not spans(S["collector"], "b" * 32), "a trace that is not sampled was recorded")
    wait_for("its id in the log", lambda: "b" * 32 in (S["top"] / "magnum-api.log").read_text())


def a_failing_backend_is_an_error_of_its_span():
    trace = "1af7651916cd43dd8448eb211c80319c"
    S["refuse"] = True
    a = S["client"]("POST", "/v1/clusters", dict(name="f", cluster_template_id=S["template"]), want=202,
                    headers={"traceparent": f"00-{trace}-{PARENT}-01"})
    S["client"].wait_status(a.json()["uuid"], "CREATE_FAILED")
    S["refuse"] = False

    def there():
        return [s for s in spans(S["collector"], trace) if s["attrs"].get("http.response.status_code") == 422]
    span = wait_for("the backend's refusal", there)[0]
    check_equal((span["status"]["code"], span["attrs"]["error.type"]), (2, "422"), "its status")
    call = wait_for("the driver's", lambda: [s for s in spans(S["collector"], trace)
                                             if s["spanId"] == span["parentSpanId"]])[0]
    check_equal((call["status"]["code"], call["attrs"]["error.type"]), (2, "SpecRejected"), "the driver call")


def a_bad_collector_harms_nobody():
    """It never answers, refuses, or fails; requests go on, spans are dropped and counted in the log. By
    an API that waits shortly and keeps few."""
    hang, collector = threading.Event(), S["collector"]
    good = collector.answer

    def answer(method, path):
        hang.wait(60)
        return good(method, path)
    collector.answer = answer
    log = S["top"] / "hasty.log"
    hasty = dict(S["options"], trace=dict(S["options"]["trace"], queue_size=64, batch_size=32, timeout_ms=500))
    with pgmagnum.api(S["top"], S["server"].connection(), "hasty", **hasty) as client:
        for i in range(300):  # far more than the queue holds
            client("GET", "/v1/clusters", want=200)
        cluster = client.create("g", S["template"])
        client.wait_status(cluster, "CREATE_COMPLETE")
        wait_for("the log to say so", lambda: "trace.export" in log.read_text())
        hang.set()
        collector.answer = lambda *_: (503, b"")
        client("GET", "/v1/clusters", want=200)
        collector.answer = good
        before = len(collector.heard)
        wait_for("spans to arrive again", lambda: client("GET", "/v1/clusters", want=200)
                 and "takes spans again" in log.read_text() and len(collector.heard) > before, 60)


def main():
    with tempfile.TemporaryDirectory(prefix="mgt-") as d, pgmagnum.one_server(pathlib.Path(d)) as server:
        S["top"] = top = pathlib.Path(d)
        S["refuse"] = False
        S["backend"] = Server(lambda m, p: (422, b"") if S["refuse"] and m == "PUT" else backend(m, p))
        S["collector"] = Server(lambda *_: (200, b"{}"))
        catalog = top / "catalog.yaml"
        catalog.write_text(json.dumps({
            "images": [{"id": "a001", "name": "hello", "os_distro": "hello"},
                       {"id": "a002", "name": "simulated", "os_distro": "simulated"}],
            "networks": [{"id": "b001", "name": "public", "external": True}]}))
        # what is not taken in time is sent once more, and would be there twice
        trace = {"otlp_endpoint": S["collector"].url(), "flush_ms": 20, "timeout_ms": 60000,
                 "otlp_headers": ["X-Tenant: blue"]}
        S["server"], S["options"] = server, dict(
            trace=trace, catalog={"file": str(catalog)},
            driver_config={"com.example.hello": {"endpoint": S["backend"].url()},
                           "org.magnum.simulator": {"state_dir": str(top / "simulator")}})
        with pgmagnum.magnum(top, server.connection(), **S["options"]) as (S["client"], _):
            S["template"] = S["client"](
                "POST", "/v1/clustertemplates",
                dict(name="hello", coe="kubernetes", server_type="vm", image_id="hello",
                     external_network_id="public"), want=201).json()["uuid"]
            mt.main("__main__", [one_trace_through_all_layers, a_long_tracestate_is_shortened, a_call_is_a_pair_of_spans,
                                 bad_headers_begin_a_new_trace, a_failing_backend_is_an_error_of_its_span,
                                 a_bad_collector_harms_nobody])


if __name__ == "__main__":
    main()
