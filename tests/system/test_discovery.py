"""The built-in etcd discovery: real etcd members that know nothing but a URL find one another; one
that waits hears of another API process; what is not theirs is refused; clusters of a driver that
uses one get a URL."""
import contextlib
import http.server
import json
import os
import re
import subprocess
import tempfile
import threading

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

S = {}


def token(size):
    r = S["stack"].client("GET", f"/discovery/new?size={size}", want=200)
    url = r.body.decode()
    check(re.fullmatch(re.escape(S["url"]) + r"/discovery/[0-9a-f-]{36}", url), f"URL {url}")
    return url


def ask(method, url, body=None, want=200, base=None):
    base = base or S["url"]
    r = mt.request(base, method, url.replace(S["url"], ""), body,
                   headers={"Content-Type": "application/x-www-form-urlencoded"} if body else {})
    check_equal(r.status, want, f"{method} {url}: {r.body[:300]!r}")
    return json.loads(r.body) if r.body else None


class Member:
    """A real etcd that is given a discovery URL."""

    def __init__(self, name, url, directory):
        self.name, client, peer = name, mt.free_port(), mt.free_port()
        self.client = f"http://127.0.0.1:{client}"
        peer = f"http://127.0.0.1:{peer}"
        self.log = open(f"{directory}/{name}.log", "w+")
        self.process = subprocess.Popen(
            ["etcd", "--name", name, "--data-dir", f"{directory}/{name}", "--discovery", url,
             "--discovery-fallback", "exit", "--listen-peer-urls", peer,
             "--initial-advertise-peer-urls", peer, "--listen-client-urls", self.client,
             "--advertise-client-urls", self.client],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": directory})

    def ctl(self, *words):
        return subprocess.run(["etcdctl", "--endpoints", self.client, *words], text=True,
                              capture_output=True, timeout=60,
                              env=dict(os.environ, ETCDCTL_API="3"))

    def text(self):
        self.log.seek(0)
        return self.log.read()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


def members_find_one_another():
    url = token(3)
    with tempfile.TemporaryDirectory() as d, contextlib.ExitStack() as stack:
        members = []
        for i in range(3):  # the same URL for all: etcd makes the cluster's id of it
            members.append(Member(f"m{i}", url, d))
            stack.callback(members[-1].stop)
            if i == 0:  # alone it waits
                wait_for("the first member to announce itself",
                         lambda: len(ask("GET", url)["node"]["nodes"]) == 1, 30)
                check(members[0].process.poll() is None, "it waits for the others")

        def healthy():
            for m in members:
                check(m.process.poll() is None, f"{m.name} ended: {m.text()[-2000:]}")
            return all(m.ctl("endpoint", "health").returncode == 0 for m in members)
        wait_for("the etcd cluster to be healthy", healthy, 60, 0.2)
        # a disk that is slow for a moment costs etcd its leader
        wait_for("a write", lambda: members[0].ctl("put", "key", "value").returncode == 0)
        wait_for("the same elsewhere", lambda: members[1].ctl("get", "key").stdout.split() == ["key", "value"])
        wait_for("three members", lambda: len(members[0].ctl("member", "list").stdout.splitlines()) == 3)
        late = Member("late", url, d)
        stack.callback(late.stop)
        wait_for("one too many to give up", lambda: late.process.poll() is not None, 30)
        check("cluster is full" in late.text(), f"its reason: {late.text()[-1500:]}")


def announcements_are_kept_in_order():
    url = token(2)
    size = ask("GET", f"{url}/_config/size")
    check_equal(size["node"]["value"], "2", "size")
    first = ask("PUT", f"{url}/b?prevExist=false", "value=b%3Dhttp%3A%2F%2F127.0.0.1%3A1", 201)
    check_equal(first["node"]["value"], "b=http://127.0.0.1:1", "its value")
    ask("PUT", f"{url}/a?prevExist=false", "value=a=http://h:1+x", 201)
    again = ask("PUT", f"{url}/b?prevExist=false", "value=other", 412)
    check_equal(again["errorCode"], 105, "number of the refusal")
    nodes = ask("GET", url)["node"]["nodes"]
    check_equal([n["key"].rsplit("/", 1)[1] for n in nodes], ["b", "a"], "order")
    check_equal(nodes[1]["value"], "a=http://h:1 x", "a blank")
    changed = ask("PUT", f"{url}/b", "value=new", 200)["node"]
    check(changed["createdIndex"] < changed["modifiedIndex"], f"indices: {changed}")
    seen = ask("GET", f"{url}?wait=true&recursive=true&waitIndex={changed['modifiedIndex']}")
    check_equal(seen["node"]["value"], "new", "what a late watcher sees")
    check_equal(ask("GET", f"{url}/b")["node"]["value"], "new", "one member")


def a_watcher_is_woken_by_another_process():
    url, answer = token(2), {}

    def watch():
        answer.update(ask("GET", f"{url}?wait=true&recursive=true&waitIndex=1"))
    t = threading.Thread(target=watch)
    t.start()
    ask("PUT", f"{url}/a", "value=x", 201, base=S["second"])
    t.join(60)
    check_equal(answer.get("node", {}).get("value"), "x", "what the watcher got")


def bad_requests_are_refused():
    url = token(1)
    unknown = url[:-36] + "00000000-0000-4000-8000-000000000000"
    for method, where, body, want, code in (
            ("GET", unknown, None, 404, 100), ("GET", f"{unknown}/_config/size", None, 404, 100),
            ("PUT", f"{unknown}/a", "value=x", 404, 100), ("GET", f"{url}/none", None, 404, 100),
            ("GET", f"{url}/a/b", None, 404, 100), ("PUT", f"{url}/_config", "value=x", 400, 209),
            ("PUT", f"{url}/a", "value=", 400, 209), ("PUT", f"{url}/a", "other=x", 400, 209),
            ("PUT", f"{url}/a", "value=%zz", 400, 209),
            ("PUT", f"{url}/a%20b", "value=x", 400, 209),
            ("PUT", f"{url}/{'n' * 129}", "value=x", 400, 209),
            ("PUT", f"{url}/a", "value=" + "x" * 2049, 400, 209),
            ("GET", f"{url}?wait=true&waitIndex=x", None, 400, 209),
            ("DELETE", url, None, 405, 209), ("POST", f"{url}/a", "value=x", 405, 209)):
        check_equal(ask(method, where, body, want)["errorCode"], code, f"{method} {where}")
    for i in range(4):
        ask("PUT", f"{url}/m{i}", "value=x", 201)
    check("4 members" in ask("PUT", f"{url}/m4", "value=x", 403)["cause"], "one too many")
    ask("PUT", f"{url}/m3", "value=y", 200)
    for size in ("0", "16", "x"):
        S["stack"].client("GET", f"/discovery/new?size={size}", want=400)


def one_project_takes_no_tokens_from_others():
    """Nor from itself for ever: what has expired counts no more."""
    def new(project):
        r = mt.request(S["few"], "GET", "/discovery/new?size=1", headers={"X-Project-Id": project})
        return r.status, r.body.decode()
    made = [new("greedy") for _ in range(2)]
    check_equal([s for s, _ in made], [200, 200], f"the first ones: {made}")
    status, text = new("greedy")
    check(status == 403 and "max_tokens_per_project" in text, f"one too many: {status} {text}")
    status, text = new("modest")
    check_equal(status, 200, f"another project's: {text}")
    check_equal(len({url[-36:] for _, url in made} | {text[-36:]}), 3, "all different")
    S["stack"].sql(f"UPDATE discovery SET expires_at = now() WHERE token = '{made[0][1][-36:]}'")
    check_equal(new("greedy")[0], 200, "with one expired")


def tokens_open_nothing_else():
    """Paths below a token need no credential; no path that only looks like one is among them."""
    base, known = S["guarded"], token(1)[-36:]
    check_equal(mt.request(base, "GET", f"/discovery/{known}").status, 200, "a token")
    for path in ("/v1/clusters", "/discovery/new", "/discovery/", "/discovery",
                 f"/discovery/{known}/../../v1/clusters", f"/discovery/{known}/../../clusters",
                 f"/discovery/{known}/%2e%2e/%2e%2e/v1/clusters", "/discovery/../clusters",
                 "/discovery/./new", "//discovery//new"):
        check_equal(mt.request(base, "GET", path).status, 401, path)


def clusters_get_a_url():
    a = S["stack"]
    a.client.create("d1", S["template"], master_count=3)
    url = a.client.show("d1")["discovery_url"]
    check_equal(ask("GET", f"{url}/_config/size")["node"]["value"], "3", "size of its token")
    given = token(1)
    a.client.create("d2", S["template"], discovery_url=given)
    check_equal(a.client.show("d2")["discovery_url"], given, "the one it brought")

    def refused(why, **more):
        r = a.client("POST", "/v1/clusters", dict(
            name="d3", cluster_template_id=S["template"], **more), want=400)
        text = r.json()["errors"][0]["detail"]
        check(why in text, f"{more}: {text}")
    refused("Expected cluster size 3 but get cluster size 1", discovery_url=given, master_count=3)
    refused("Invalid discovery URL", discovery_url=given[:-36] +
            "00000000-0000-4000-8000-000000000000")
    refused("Failed to get the size of cluster", discovery_url="http://127.0.0.1:1/x")
    for name in ("d1", "d2"):
        a.client.delete(name)
        a.client.wait_gone(name)


class Foreign(http.server.BaseHTTPRequestHandler):
    """A discovery service of somebody else."""
    def do_GET(self):
        path, _, query = self.path.partition("?")
        text = {"/new": f"http://127.0.0.1:{self.server.server_port}/t/{query}",
                "/t/size=1/_config/size": '{"node":{"value":"1"}}',
                "/odd/_config/size": '{"node":{"value":"many"}}'}.get(path)
        self.send_response(200 if text else 404)
        self.end_headers()
        self.wfile.write((text or "").encode())

    def log_message(self, *_):
        pass


def another_service_may_be_named():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    where = f"http://127.0.0.1:{server.server_port}"
    a, port = S["stack"], S["stack"].state / "third.port"
    third = a.beside(
        "magnum-api", "magnum-api-third.log", "api.port=0", f"api.port_file={port}",
        "discovery.networks=127.0.0.1", "discovery.enabled=false",
        f"cluster.etcd_discovery_service_endpoint_format={where}/new?size=%(size)d")
    try:
        url = f"http://127.0.0.1:{wait_port(port)}"

        def create(name, **more):
            return mt.request(url, "POST", "/v1/clusters",
                              dict(name=name, cluster_template_id=S["template"], **more))
        check_equal(create("f1").status, 202, "create")
        check_equal(a.client.show("f1")["discovery_url"], f"{where}/t/size=1", "its URL")
        check_equal(create("f2", discovery_url=f"{where}/t/size=1").status, 202, "the same again")
        r = create("f3", discovery_url=f"{where}/odd")
        check("Invalid discovery URL" in r.body.decode() and r.status == 400, f"{r.body!r}")
        server.shutdown()
        server.server_close()
        r = create("f3")
        check("Failed to get discovery url" in r.body.decode() and r.status == 503, f"{r.body!r}")
        for name in ("f1", "f2"):
            a.client.delete(name)
            a.client.wait_gone(name)
        check_equal(a.client.show("f3"), None, "what was refused")
        check_equal(mt.request(url, "GET", "/discovery/new").status, 404, "not served here")
    finally:
        third.terminate()
        third.wait(60)


def expired_tokens_go():
    url = token(1)
    ask("PUT", f"{url}/a", "value=x", 201)
    S["stack"].sql(f"UPDATE discovery SET expires_at = now() WHERE token = '{url[-36:]}'")
    check_equal(ask("GET", url, want=404)["errorCode"], 100, "an expired one")
    wait_for("it to be removed", lambda: S["stack"].sql(
        f"SELECT count(*) FROM discovery_member WHERE token = '{url[-36:]}'") == [["0"]], 30)


def wait_port(path):
    return wait_for("another API to be ready", lambda: path.exists() and
                    re.fullmatch(r"\d+\n", path.read_text()) and path.read_text().strip(), 30)


def main():
    options = ("discovery.enabled=true", "discovery.max_members=4", "conductor.upkeep_interval_s=1")
    with mt.Allinone(options=[x for o in options for x in ("--set", o)]) as stack:
        stack.start()
        S.update(stack=stack, url=stack.url)
        S["template"] = stack.client("POST", "/v1/clustertemplates", dict(
            name="t", coe="kubernetes", image_id="simulated", external_network_id="public",
            master_lb_enabled=True, labels={"sim_steps": "1", "sim_step_ms": "10"}),
            want=201).json()["uuid"]
        users = stack.state / "htpasswd"
        users.write_text("u:$2b$05$" + "." * 53 + ":p:member\n")  # nobody knows its password
        users.chmod(0o600)
        beside = {"second": (), "few": ("discovery.max_tokens_per_project=2",), "guarded": ("auth.strategy=http_basic",
                                            f"auth.http_basic_file={users}")}
        processes = []
        try:
            for name, more in beside.items():
                port = stack.state / f"{name}.port"
                processes.append(stack.beside("magnum-api", f"magnum-api-{name}.log", "api.port=0",
                                              f"api.port_file={port}", *more))
                S[name] = f"http://127.0.0.1:{wait_port(port)}"
            mt.main("__main__", [
                members_find_one_another, announcements_are_kept_in_order,
                a_watcher_is_woken_by_another_process, bad_requests_are_refused,
                one_project_takes_no_tokens_from_others, tokens_open_nothing_else, clusters_get_a_url, another_service_may_be_named,
                expired_tokens_go])
        finally:
            for p in processes:
                p.terminate()
                p.wait(60)


if __name__ == "__main__":
    main()
