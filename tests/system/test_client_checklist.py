"""What the clients in the field need of the server, line by line: python-magnumclient (as Debian
packages it), gophercloud and Terraform, Horizon's magnum-ui, the cluster autoscaler and tempest.
Where the line is about the Python client it runs; the others are plain HTTP in the form in which
those programs send it. Each case names its line; the last one makes sure that none is left out."""
import json
import re
import subprocess
import time
import uuid

import magnumtest as mt
from magnumtest import check, check_equal

LINES = {
    1: "a collection answers with and without a slash behind it, GET and POST",
    2: "PATCH of a cluster with /?rollback=True",
    3: "null for an optional attribute is the same as leaving it out",
    4: "PATCH and DELETE without body, as application/octet-stream",
    5: "next is absolute, with limit, sort_key, sort_dir, marker, and detail in its path",
    6: "links in every item; uuid in the answers of cluster create and update",
    7: "numbers as text in POST and PATCH; labels as k=v text in a patch",
    8: "after a 202 the status is *_IN_PROGRESS at once",
    9: "created and updated templates have links",
    10: "version headers on every answer of the API",
    11: "409 for names that match several, with a text made for people",
}
S = {}
cases = []


def line(number):
    def add(fn):
        fn.line = number
        cases.append(fn)
        return fn
    return add


# ---- the clients ----

def ask(method, path, body=None, want=None, **headers):
    """Plain HTTP without any header of ours; underscores in names are dashes."""
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    host = S["stack"].url.split("//")[1]
    c = mt.http.client.HTTPConnection(host, timeout=120)
    try:
        c.request(method, path, json.dumps(body) if body is not None else None, headers)
        r = c.getresponse()
        a = mt.Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
    finally:
        c.close()
    if want is not None:
        check_equal(a.status, want, f"{method} {path} {body}: {a}")
    return a


def gophercloud(method, path, body=None, want=None, microversion=None):
    headers = dict(User_Agent="gophercloud/v1", Accept="application/json", X_Auth_Token="none")
    if body is not None:
        headers["Content_Type"] = "application/json"
    if microversion:
        headers["OpenStack_API_Version"] = f"container-infra {microversion}"
    return ask(method, path, body, want, **headers)


def horizon(method, path, body=None, want=None):
    return ask(method, path, body, want, User_Agent="python-magnumclient",
               Accept="application/json", Content_Type="application/json",
               OpenStack_API_Version="container-infra 1.13")


def tempest(method, path, body=None, want=None):
    return ask(method, path, body, want, Accept="application/json",
               Content_Type="application/json", X_Auth_Token="none")


def magnumclient(code, want=0):
    """Runs code of the Debian package with `m`, its client; what it prints as JSON."""
    program = ("import json, sys\n"
               "from keystoneauth1 import noauth, session, token_endpoint\n"
               "from magnumclient.v1 import client\n"
               f"auth = token_endpoint.Token({S['stack'].url + '/v1'!r}, 'none')\n"
               "m = client.Client(session=session.Session(auth=auth), api_version='latest',\n"
               f"    magnum_url={S['stack'].url + '/v1'!r})\n"
               "def show(x): print(json.dumps(x, default=str))\n" + code)
    r = subprocess.run(["/usr/bin/python3", "-c", program], capture_output=True, text=True,
                       timeout=180, env=S["stack"].full_env())
    check_equal(r.returncode == 0, want == 0, f"{code}\n{r.stdout}{r.stderr}")
    return json.loads(r.stdout) if want == 0 and r.stdout else r.stdout + r.stderr


def links_are_good(item, path):
    links = {x["rel"]: x["href"] for x in item["links"]}
    base = S["stack"].url
    check_equal(links, {"self": f"{base}/v1/{path}", "bookmark": f"{base}/{path}"}, "links")


def settle(ident, status="UPDATE_COMPLETE"):
    return S["stack"].client.wait_status(ident, status, 60)


def new_cluster(name, **kw):
    ident = S["stack"].client.create(name, S["template"], **kw)
    settle(ident, "CREATE_COMPLETE")
    return ident


# ---- the lines ----

@line(1)
def slashes():
    for path in ("clusters", "clustertemplates", "quotas", "mservices", f"clusters/{S['c']}"):
        plain, slash = gophercloud("GET", f"/v1/{path}"), gophercloud("GET", f"/v1/{path}/")
        check_equal((slash.status, slash.json()), (200, plain.json()), path)
    groups = magnumclient(f"show([n.name for n in m.nodegroups.list({S['c']!r}, limit=10)])")
    check_equal(groups, ["default-master", "default-worker"], "groups by the Python client")
    made = magnumclient(f"show(m.nodegroups.create({S['c']!r}, name='ng1', node_count=1,"
                        " role='worker', min_node_count=0, max_node_count=None).uuid)")
    check_equal(str(uuid.UUID(made)), made, "uuid of the group")
    settle(S["c"])
    listed = gophercloud("GET", f"/v1/clusters/{S['c']}/nodegroups/", microversion="1.9")
    check("ng1" in [n["name"] for n in listed.json()["nodegroups"]], listed)


@line(1)
def slashes_of_post():
    body = dict(name="slashed", coe="kubernetes", image_id="simulated",
                external_network_id="public")
    made = gophercloud("POST", "/v1/clustertemplates/", body, 201).json()
    made2 = gophercloud("POST", "/v1/clustertemplates", body, 201).json()
    for t in (made, made2):
        gophercloud("DELETE", f"/v1/clustertemplates/{t['uuid']}/", want=204)


@line(2)
def rollback():
    patch = [{"op": "replace", "path": "/node_count", "value": 2}]
    a = horizon("PATCH", f"/v1/clusters/{S['c']}/?rollback=True", patch, 202)
    check_equal(a.json()["uuid"], S["c"], "uuid")
    settle(S["c"])
    got = magnumclient(f"show(m.clusters.update({S['c']!r}, [dict(op='replace',"
                       " path='/node_count', value=1)], rollback=True).uuid)")
    check_equal(got, S["c"], "uuid by the Python client")
    settle(S["c"])


@line(3)
def nulls():
    """The openstack client sends every attribute of a template, gophercloud a timeout of null."""
    names = ("image_id flavor_id master_flavor_id keypair_id external_network_id fixed_network "
             "fixed_subnet dns_nameserver docker_volume_size labels coe http_proxy https_proxy "
             "no_proxy network_driver tls_disabled public registry_enabled volume_driver "
             "server_type docker_storage_driver master_lb_enabled floating_ip_enabled hidden "
             "tags insecure_registry driver").split()
    fixed = dict(name="nulls", image_id="simulated", coe="kubernetes",
                 external_network_id="public")
    full = tempest("POST", "/v1/clustertemplates", {**dict.fromkeys(names), **fixed}, 201).json()
    bare = tempest("POST", "/v1/clustertemplates", fixed, 201).json()
    for key in ("uuid", "links", "created_at"):
        del full[key], bare[key]
    check_equal(full, bare, "template with and without nulls")
    body = dict(name="nulls", cluster_template_id=S["template"], create_timeout=None, keypair=None,
                discovery_url=None, master_count=None, node_count=None, labels=None,
                docker_volume_size=None, flavor_id=None, master_flavor_id=None, fixed_network=None,
                fixed_subnet=None, floating_ip_enabled=None, master_lb_enabled=None,
                merge_labels=None)
    made = gophercloud("POST", "/v1/clusters", body, 202).json()["uuid"]
    shown = settle(made, "CREATE_COMPLETE")
    check_equal((shown["node_count"], shown["master_count"], shown["create_timeout"]), (1, 1, 60),
                "defaults")


@line(4)
def bodiless():
    c = new_cluster("bodiless")
    octets = dict(Content_Type="application/octet-stream", User_Agent="python-magnumclient",
                  OpenStack_API_Version="container-infra latest")
    rotated = ask("PATCH", f"/v1/certificates/{c}", **octets)
    # whether this driver can rotate is its own affair: the form of the request is fine; the
    # rotation goes on while old and new CA are trusted, and ends with the cluster
    check(rotated.status == 202 or b"rotat" in rotated.body, rotated)
    gone = ask("DELETE", f"/v1/clusters/{c}", want=204, **octets)
    check_equal((gone.body, gone.headers.get("content-type")), (b"", None), "a 204")
    check(gone.headers["x-openstack-request-id"].startswith("req-"), gone.headers)
    S["stack"].client.wait_gone(c)
    magnumclient("m.cluster_templates.delete(m.cluster_templates.create(name='b',"
                 " coe='kubernetes', image_id='simulated', external_network_id='public').uuid)")


@line(5)
def next_links():
    for i in range(3):
        tempest("POST", "/v1/clustertemplates", dict(
            name=f"page{i}", coe="kubernetes", image_id="simulated",
            external_network_id="public"), 201)
    base, tables = S["stack"].url, dict(clusters="cluster", clustertemplates="cluster_template")
    for path in ("clusters", "clusters/detail", "clustertemplates", "clustertemplates/detail"):
        key = path.split("/")[0]
        url, seen = f"/v1/{path}?limit=1&sort_key=name&sort_dir=desc", []
        while url:
            page = gophercloud("GET", url, want=200).json()
            seen += [x["name"] for x in page[key]]
            url = page.get("next")
            if url:
                want = (f"{base}/v1/{path}?sort_key=name&sort_dir=desc&limit=1&marker="
                        f"{page[key][-1]['uuid']}")
                check_equal(url, want, f"next of {path}")
                url = url[len(base):]
        everything = [r[0] for r in S["stack"].sql(f"SELECT name FROM {tables[key]}")]
        check_equal(seen, sorted(everything, reverse=True), f"pages of {path}")
    # this API gives three at most at once: the Python client follows `next` to the end
    names = magnumclient("show([t.name for t in m.cluster_templates.list(limit=1000)])")
    check_equal(sorted(names), sorted(everything), "templates by the Python client")
    check(len(names) > 3, names)


@line(6)
def links_and_uuids():
    for path in ("clusters", "clustertemplates"):
        for tail in ("", "/detail"):
            items = horizon("GET", f"/v1/{path}{tail}", want=200).json()[path]
            check(items, path)
            for x in items:
                links_are_good(x, f"{path}/{x['uuid']}")
        links_are_good(horizon("GET", f"/v1/{path}/{items[0]['uuid']}").json(),
                       f"{path}/{items[0]['uuid']}")
    group = horizon("GET", f"/v1/clusters/{S['c']}/nodegroups/default-worker", want=200).json()
    links_are_good(group, f"clusters/{S['c']}/nodegroups/{group['uuid']}")
    made = tempest("POST", "/v1/clusters", dict(name="linked",
                                                cluster_template_id=S["template"]), 202).json()
    check_equal(list(made), ["uuid"], "answer of a create")
    settle(made["uuid"], "CREATE_COMPLETE")
    patched = tempest("PATCH", f"/v1/clusters/{made['uuid']}",
                      [{"op": "replace", "path": "/node_count", "value": 2}], 202).json()
    check_equal(patched, made, "answer of an update")
    settle(made["uuid"])


@line(7)
def text_numbers():
    """magnum-ui turns every value of a create into text; its patches and Terraform's are text."""
    made = horizon("POST", "/v1/clusters", dict(
        name="texts", cluster_template_id=S["template"], node_count="2", master_count="1",
        create_timeout="60", floating_ip_enabled="False", master_lb_enabled="False",
        discovery_url="", labels=dict(a="b")), 202).json()["uuid"]
    shown = settle(made, "CREATE_COMPLETE")
    check_equal((shown["node_count"], shown["create_timeout"], shown["floating_ip_enabled"]),
                (2, 60, False), "what the texts became")
    horizon("PATCH", f"/v1/clusters/{made}/", [
        {"op": "replace", "path": "/node_count", "value": "3"}], 202)
    check_equal(settle(made)["node_count"], 3, "node_count after a patch with text")


@line(7)
def terraform_template():
    t = gophercloud("POST", "/v1/clustertemplates", dict(
        name="tf", coe="kubernetes", image_id="simulated", external_network_id="public",
        docker_volume_size=5, labels=dict(a="1")), 201).json()["uuid"]
    got = gophercloud("PATCH", f"/v1/clustertemplates/{t}", [
        {"op": "replace", "path": "/tls_disabled", "value": "true"},
        {"op": "replace", "path": "/master_lb_enabled", "value": "false"},
        {"op": "replace", "path": "/docker_volume_size", "value": "7"},
        {"op": "replace", "path": "/labels", "value": "kube_tag=v1.2,auto=yes"},
        {"op": "remove", "path": "/dns_nameserver"}], 200).json()
    check_equal((got["tls_disabled"], got["master_lb_enabled"], got["docker_volume_size"],
                 got["labels"]), (True, False, 7, dict(kube_tag="v1.2", auto="yes")),
                "a template patched by Terraform")
    horizon("PATCH", f"/v1/clustertemplates/{t}", [
        {"op": "replace", "path": "/labels", "value": "{'x': 'y'}"},
        {"op": "replace", "path": "/hidden", "value": "False"}], 200)
    shown = horizon("GET", f"/v1/clustertemplates/{t}").json()
    check_equal((shown["labels"], shown["hidden"]), (dict(x="y"), False), "patched by magnum-ui")


@line(8)
def in_progress_at_once():
    slow = S["stack"].client.simulator("slow", steps=2, step_ms=700)
    begun = time.monotonic()
    c = gophercloud("POST", "/v1/clusters", dict(
        name="polled", cluster_template_id=slow, create_timeout=None), 202).json()["uuid"]

    def status_is(verb):
        """Behind what began just now; after those 1.4 s it may have ended."""
        a = gophercloud("GET", f"/v1/clusters/{c}")
        late = time.monotonic() - begun >= 1.4
        said = a.json()["status"] if a.status == 200 else "GONE"
        ends = ("GONE" if verb == "DELETE" else f"{verb}_COMPLETE",) if late else ()
        check(said in (f"{verb}_IN_PROGRESS", *ends), f"status behind it: {verb} {a}")
    status_is("CREATE")
    settle(c, "CREATE_COMPLETE")
    begun = time.monotonic()
    gophercloud("PATCH", f"/v1/clusters/{c}", [
        {"op": "replace", "path": "/node_count", "value": 2}], 202)
    status_is("UPDATE")
    settle(c)
    # the autoscaler: groups first, then a resize that names what goes
    groups = gophercloud("GET", f"/v1/clusters/{c}/nodegroups", microversion="1.9").json()
    worker = next(n for n in groups["nodegroups"] if n["role"] != "master")
    one = gophercloud("GET", f"/v1/clusters/{c}/nodegroups/{worker['uuid']}", want=200,
                      microversion="1.9").json()
    check_equal(set(one) >= {"node_count", "min_node_count", "max_node_count", "role", "stack_id",
                             "status"}, True, "what the autoscaler reads")
    begun = time.monotonic()
    gophercloud("POST", f"/v1/clusters/{c}/actions/resize", dict(
        node_count=1, nodes_to_remove=["0"], nodegroup=worker["uuid"]), 202, microversion="1.9")
    status_is("UPDATE")
    settle(c)
    begun = time.monotonic()
    gophercloud("DELETE", f"/v1/clusters/{c}", want=204)
    status_is("DELETE")
    S["stack"].client.wait_gone(c)
    gophercloud("GET", f"/v1/clusters/{c}", want=404)


@line(9)
def template_links():
    made = magnumclient("t = m.cluster_templates.create(name='links', coe='kubernetes',"
                        " image_id='simulated', external_network_id='public')\n"
                        "show([t.uuid, t.links])")
    links_are_good(dict(links=made[1]), f"clustertemplates/{made[0]}")
    updated = magnumclient(f"t = m.cluster_templates.update({made[0]!r}, [dict(op='replace',"
                           " path='/name', value='renamed')])\nshow([t.name, t.links])")
    check_equal(updated[0], "renamed", "name")
    links_are_good(dict(links=updated[1]), f"clustertemplates/{made[0]}")


@line(10)
def version_headers():
    service = "container-infrastructure-management"
    for method, path, body in (("GET", "/v1", None), ("GET", "/v1/clusters", None),
                               ("GET", "/v1/clusters/nosuch", None),
                               ("POST", "/v1/clusters", {"zz": 1}),
                               ("PATCH", f"/v1/clusters/{S['c']}", [{}]),
                               ("DELETE", "/v1/clusters/nosuch", None)):
        for asked in (None, "1.9"):
            a = gophercloud(method, path, body, microversion=asked)
            check_equal((a.headers.get("openstack-api-minimum-version"),
                         a.headers.get("openstack-api-maximum-version"),
                         a.headers.get("openstack-api-version"), a.headers.get("vary")),
                        (f"{service} 1.1", f"{service} 1.14", f"{service} {asked or '1.1'}",
                         "OpenStack-API-Version"), f"headers of {method} {path}: {a}")
    check_equal(horizon("GET", "/v1/clusters").headers["openstack-api-version"],
                f"{service} 1.13", "what Horizon asks for")
    refused = gophercloud("GET", "/v1/clusters", microversion="1.99", want=406)
    check_equal(refused.headers.get("openstack-api-maximum-version"), f"{service} 1.14",
                "headers of a refused version")


@line(11)
def several_of_one_name():
    body = dict(name="twin", coe="kubernetes", image_id="simulated", external_network_id="public")
    for _ in range(2):
        tempest("POST", "/v1/clustertemplates", body, 201)
        new_cluster("twin")
    said = tempest("GET", "/v1/clusters/twin", want=409).json()["errors"][0]["detail"]
    check_equal(said, "Multiple clusters exist with same name. Please use the cluster uuid "
                      "instead.", "text about clusters")
    said = tempest("DELETE", "/v1/clustertemplates/twin", want=409).json()["errors"][0]["detail"]
    check_equal(said, "Multiple ClusterTemplates exist with same name. Please use the "
                      "ClusterTemplate uuid instead.", "text about templates")
    shown = magnumclient("m.clusters.get('twin')", want=1)
    check(re.search(r"Conflict.*Multiple clusters exist with same name", shown, re.S), shown)


def every_line_has_a_case():
    check_equal({c.line for c in cases}, set(LINES), "lines with a case")
    check_equal(sorted(LINES), list(range(1, len(LINES) + 1)), "numbers of the lines")


def main():
    for c in cases:
        c.__doc__ = f"{c.line}: {LINES[c.line]}"
    with mt.Allinone(options=["--set", "api.max_limit=3"]) as a:
        a.start()
        S["stack"] = a
        S["template"] = a.client.simulator("checklist", steps=1, step_ms=5)
        S["c"] = new_cluster("first")
        mt.main(__name__, [every_line_has_a_case, *cases])


main()
