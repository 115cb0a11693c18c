"""Clusters through the lab's real Heat, Nova, Neutron, Keystone: Magnum with the drivers as they are
built, a tenant, and what is left in the cloud. No server ever boots there; the lab's nodefaker says
for them that they are up. Addresses of clusters are those of a cluster_net.Net."""
import contextlib
import json
import urllib.parse

import cluster_net
import lab
import magnumtest as mt
from labmagnum import As
from magnumtest import check, check_equal, wait_for

DOMAIN, ADMIN = "magnum", "trustee_domain_admin"


class Cloud:
    def __init__(self, l, stack, net):
        self.lab, self.stack, self.net, self.clusters = l, stack, net, []
        self.token, body = l.login("demo")
        self.urls = {s["type"]: e["url"] for s in body["catalog"] for e in s["endpoints"]
                     if e["interface"] == "public"}
        self.demo = As(stack.url, self.token)

    # ---- Magnum ----

    def template(self, name, coe, image="ubuntu", **more):
        body = dict(name=name, coe=coe, image_id=image, keypair_id="testkey", flavor_id="m1.small",
                    master_flavor_id="m1.small", external_network_id="public",
                    network_driver=None, **more)
        return self.demo("POST", "/v1/clustertemplates",
                         {k: v for k, v in body.items() if v is not None}, want=201).json()["uuid"]

    def create(self, name, template, **more):
        uuid = self.demo("POST", "/v1/clusters", dict(name=name, cluster_template_id=template,
                                                      **more), want=202).json()["uuid"]
        self.clusters.append(uuid)
        return uuid

    def show(self, uuid):
        """A machine as busy as the lab's may make the API say 503 now and then."""
        def answered():
            a = self.demo("GET", f"/v1/clusters/{uuid}", want=(200, 503))
            return a if a.status == 200 else None
        return wait_for("the API to answer", answered, 30, every=0.5).json()

    def wait(self, uuid, status, timeout=300):
        def there():
            c = self.show(uuid)
            check(c["status"] == status or not c["status"].endswith(("_FAILED", "_COMPLETE")),
                  f"{c['status']}: {c['status_reason']}")
            return c["status"] == status and c
        try:
            return self.until(f"{uuid} to be {status}", there, timeout)
        except mt.Failed as e:
            raise mt.Failed(f"{e}; {self.last_events(uuid)}") from e

    def last_events(self, uuid):
        ops = self.demo("GET", f"/v1/clusters/{uuid}/operations").json()["operations"]
        path = f"/v1/operations/{ops[0].get('uuid') or ops[0]['id']}/events"
        return [e.get("message") for e in self.demo("GET", path).json()["events"]][-5:]

    @staticmethod
    def until(what, there, timeout):
        """wait_for, except that what has failed is not waited for."""
        failed = []

        def look():
            try:
                return there()
            except mt.Failed as e:
                failed.append(e)
                return True
        found = wait_for(what, look, timeout, every=0.5)
        if failed:
            raise failed[0]
        return found

    def group(self, uuid, name):
        groups = self.demo("GET", f"/v1/clusters/{uuid}/nodegroups", want=200).json()["nodegroups"]
        ident = [g["uuid"] for g in groups if g["name"] == name][0]
        return self.demo("GET", f"/v1/clusters/{uuid}/nodegroups/{ident}", want=200).json()

    def delete(self, uuid, timeout=300):
        self.demo("DELETE", f"/v1/clusters/{uuid}", want=204)

        def gone():
            a = self.demo("GET", f"/v1/clusters/{uuid}")
            check(a.status == 404 or a.json()["status"] != "DELETE_FAILED", f"{a}")
            return a.status == 404
        self.until(f"{uuid} to be gone", gone, timeout)
        check_equal(self.left(uuid), [], "left in the cloud")

    # ---- the cloud ----

    def ask(self, service, method, path, body=None, want=(200, 201, 202, 204, 302)):
        a = mt.request(self.urls[service], method,
                       urllib.parse.urlsplit(self.urls[service]).path + path, body,
                       headers={"X-Auth-Token": self.token})
        check(a.status in want, f"{service} {method} {path}: {a}")
        return a.json() if a.body[:1] == b"{" else None

    def stacks(self, uuid):
        return [s for s in self.ask("orchestration", "GET", "/stacks")["stacks"]
                if uuid in s["stack_name"]]

    def outputs(self, uuid):
        s = self.stacks(uuid)[0]
        path = f"/stacks/{s['stack_name']}/{s['id']}"
        shown = self.ask("orchestration", "GET", path)["stack"]
        return {o["output_key"]: o.get("output_value") for o in shown["outputs"]}

    def servers(self, prefix):
        found = self.ask("compute", "GET", "/servers/detail")["servers"]
        return {s["name"]: s for s in found if s["name"].startswith(prefix)}

    def left(self, uuid):
        return [s["stack_name"] for s in self.stacks(uuid)]

    def sweep(self):
        """Whatever a failed case left."""
        for uuid in self.clusters:
            for s in self.stacks(uuid):
                print("swept", s["stack_name"])
                self.ask("orchestration", "DELETE", f"/stacks/{s['stack_name']}/{s['id']}",
                         want=(204, 404))
        admin, body = lab.login(ADMIN, lab.of_domain(DOMAIN), domain=DOMAIN)
        users = lab.keystone("GET", f"/users?domain_id={body['domain']['id']}", token=admin)[1]
        for u in users["users"]:
            if u["name"].split("_")[0] in self.clusters:
                lab.keystone("DELETE", f"/users/{urllib.parse.quote(u['id'])}", token=admin)


@contextlib.contextmanager
def cloud(l, **options):
    """options: section__name=value, beside those of the lab."""
    net = cluster_net.Net()
    values = {**l.magnum_options(), "trust.trustee_domain_name": DOMAIN,
              "trust.trustee_domain_admin_name": ADMIN,
              "trust.trustee_domain_admin_password": lab.PASSWORD,
              "certificates.rotation_grace_s": "1", "conductor.health_interval_unwell_s": "2",
              "conductor.max_wait_ms": "1500",  # how often Heat is asked
              "conductor.health_interval_s": "2",
              "api.public_url": "http://magnum.invalid:9511",
              "drivers.plugin_dirs": str(mt.BUILD / "plugins")}
    values.update({k.replace("__", "."): v for k, v in options.items()})
    words = [w for k, v in values.items() for w in ("--set", f"{k}={v}")]
    with mt.Allinone(options=words, env=net.environment) as stack:
        stack.start()
        c = Cloud(l, stack, net)
        try:
            yield c
        finally:
            c.sweep()
            net.close()


def reasons(cluster):
    text = cluster.get("health_status_reason")
    return text if isinstance(text, dict) else json.loads(text or "{}")
