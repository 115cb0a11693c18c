"""Clusters are checked against the quotas of the lab's Nova and Neutron before they are accepted; the
quotas are of a project made here, and go away with it."""
import contextlib
import os
import sys

import lab
import labmagnum as lm
import magnumtest as mt
from magnumtest import check_equal

S = {}
MARK = os.urandom(4).hex()


@contextlib.contextmanager
def project():
    """A project in which the user demo has the roles he has in his own; his token there."""
    admin = S["lab"].token("admin")
    roles = {r["name"]: r["id"] for r in lab.keystone("GET", "/roles", token=admin)[1]["roles"]}
    made = lab.keystone("POST", "/projects", {"project": {"name": f"preflight-{MARK}"}},
                        token=admin)[1]["project"]["id"]
    try:
        for role in ("member", "reader"):
            lab.keystone("PUT", f"/projects/{made}/users/{S['lab'].user_id('demo')}/roles/{roles[role]}",
                         token=admin)
        yield made, lab.login("demo", {"project": {"id": made}})[0]
    finally:
        quotas(made, "network", None)
        quotas(made, "compute", None)
        lab.keystone("DELETE", f"/projects/{made}", token=admin)


@contextlib.contextmanager
def flavor():
    """The name of a flavor with one VCPU and 512 MB."""
    l, admin, name = S["lab"], S["lab"].token("admin"), f"preflight-{MARK}"
    made = l.call(admin, "compute", "POST", "/flavors", {"flavor": {
        "name": name, "ram": 512, "vcpus": 1, "disk": 5}})["flavor"]["id"]
    try:
        yield name
    finally:
        l.call(admin, "compute", "DELETE", f"/flavors/{made}")


def quotas(project_id, service, values):
    """None: the defaults again."""
    path = dict(compute=f"/os-quota-sets/{project_id}",
                network=f"/v2.0/quotas/{project_id}")[service]
    body = values and {"quota_set" if service == "compute" else "quota": values}
    S["lab"].call(S["lab"].token("admin"), service, "PUT" if values else "DELETE", path, body,
                  want=(200, 202, 204, 404))


@contextlib.contextmanager
def template(name):
    made = S["as"]("POST", "/v1/clustertemplates", dict(
        name=f"t-{MARK}", coe="kubernetes", server_type="vm", image_id="fedora-coreos",
        external_network_id="public", flavor_id=name, master_flavor_id=name,
        labels={"sim_steps": "1"}), want=201).json()["uuid"]
    try:
        yield made
    finally:
        S["as"]("DELETE", f"/v1/clustertemplates/{made}", want=204)


def create(want, text=None, **kw):
    body = dict(dict(name=f"c-{MARK}", cluster_template_id=S["template"]), **kw)
    answer = S["as"]("POST", "/v1/clusters?plan=true", body)
    check_equal(answer.status, want, f"status of {answer}")
    if text:
        check_equal(answer.json()["errors"][0]["detail"], "Resource limit exceeded: the cluster needs "
                    + text + " free.", "refusal")


def with_room_it_is_accepted():
    create(200)
    create(200, node_count=50)


def nova_quotas():
    quotas(S["project"], "compute", dict(instances=4, cores=6, ram=4096))
    create(200, node_count=3)
    create(403, "5 instances, and the project's quota of the compute service has 4", node_count=4)
    quotas(S["project"], "compute", dict(instances=40))
    create(403, "7 VCPUs, and the project's quota of the compute service has 6", node_count=6)
    quotas(S["project"], "compute", dict(cores=-1))
    create(403, "5120 MB of RAM, and the project's quota of the compute service has 4096",
           node_count=9)
    quotas(S["project"], "compute", dict(instances=-1, cores=-1, ram=-1))
    create(200, node_count=50)


def neutron_quotas():
    quotas(S["project"], "network", dict(port=5, floatingip=3, security_group=0))
    create(403, "6 ports, and the project's quota of the network service has 5", node_count=5)
    create(403, "4 floating IPs, and the project's quota of the network service has 3", node_count=3)
    create(403, "1 security groups, and the project's quota of the network service has 0")
    quotas(S["project"], "network", dict(security_group=10))
    create(200)
    create(200, node_count=4, floating_ip_enabled=False)


def it_can_be_turned_off():
    quotas(S["project"], "network", dict(port=0))
    create(403)
    with lm.api(S["stack"], S["lab"], name="off", api__preflight_quotas="false") as url:
        kept, S["as"] = S["as"], lm.As(url, S["token"])
        create(200)
        S["as"] = kept


def main():
    with lab.up("full") as S["lab"], lm.stack() as S["stack"], \
            lm.api(S["stack"], S["lab"], catalog__cache_seconds=0) as url, \
            project() as (S["project"], S["token"]), flavor() as name:
        S["as"] = lm.As(url, S["token"])
        with template(name) as S["template"]:
            try:
                mt.main("__main__", [with_room_it_is_accepted, nova_quotas, neutron_quotas,
                                     it_can_be_turned_off])
            except SystemExit as e:
                status = e.code
    sys.exit(status)


if __name__ == "__main__":
    main()
