"""Certificates of clusters in a real Barbican, beside those in the database and in files: shown and
signed with `openstack coe ca`; Barbican holds exactly what it should after create and delete, also
when conductor or driver host are killed at any of their requests to it, and when it was away.

The services reach Barbican through a proxy of this test (an endpoint of key-manager in a region of
its own in the lab's catalogue)."""
import contextlib
import itertools
import os
import pathlib
import subprocess
import sys
import tempfile

import certs
import lab
import labmagnum as lm
import magnumtest as mt
from killproxy import Proxy
from lab import keystone
from magnumtest import check, check_equal, wait_for

LOCAL = "org.magnum.certs-local"
NUMBERS = itertools.count(1)
WALK_STEP = int(os.environ.get("MAGNUM_WALK_STEP", "1"))
S = {}


# ---- Barbican ----

def held(kind, uuid):
    """Names that Barbican holds for a cluster, in the user's project."""
    got, offset = [], 0
    while True:
        page = S["lab"].call(S["token"], "key-manager", "GET",
                             f"/v1/{kind}?limit=100&offset={offset}")
        page = page[kind] if isinstance(page, dict) else page[1][kind]
        got += page
        offset += 100
        if len(page) < 100:
            return sorted(x["name"] for x in got if (x["name"] or "").startswith(uuid))


def holds_all(uuid):
    keys = sorted(f"{uuid}/{role}/1" for role in certs.ROLES)
    check_equal(held("containers", uuid), keys, "containers")
    check_equal(held("secrets", uuid),
                sorted(f"{k}/{part}" for k in keys for part in ("certificate", "private_key")),
                "secrets")
    rows = S["stack"].sql(f"SELECT {certs.REFS} FROM cluster WHERE uuid = '{uuid}'")[0]
    check(len(set(rows)) == 4 and all("/v1/containers/" in r for r in rows), f"references {rows}")


def holds_nothing(uuid):
    check_equal((held("containers", uuid), held("secrets", uuid)), ([], []), "what is left")
    check_equal(S["stack"].sql(f"SELECT count(*) FROM certificate WHERE cluster_id = '{uuid}'"),
                [["0"]], "inventory")


@contextlib.contextmanager
def region_with(url):
    """A region of the lab's catalogue whose key-manager is at `url`."""
    token, name = S["lab"].token("admin"), f"certs-{os.urandom(4).hex()}"
    service = keystone("GET", "/services?type=key-manager", token=token)[1]["services"][0]
    keystone("POST", "/regions", {"region": {"id": name}}, token)
    made = keystone("POST", "/endpoints", {"endpoint": {
        "service_id": service["id"], "interface": "public", "region_id": name, "url": url}},
        token)[1]["endpoint"]
    try:
        yield name
    finally:
        keystone("DELETE", f"/endpoints/{made['id']}", token=token)
        keystone("DELETE", f"/regions/{name}", token=token)


# ---- Magnum ----

def ask(method, path, body=None, want=None):
    return lm.As(S["stack"].url, S["token"])(method, path, body, want=want)


def create(name):
    return ask("POST", "/v1/clusters", dict(name=name, cluster_template_id=S["template"], labels={
        "sim_steps": "1", "sim_step_ms": "0"}), want=202).json()["uuid"]


def wait_complete(uuid, timeout=120):
    def there():
        c = ask("GET", f"/v1/clusters/{uuid}", want=200).json()
        check(not c["status"].endswith("_FAILED"), f"{c['status']}: {c['status_reason']}")
        return c["status"] == "CREATE_COMPLETE"
    wait_for("the cluster", there, timeout, every=0.1)


def remove(uuid, timeout=120):
    ask("DELETE", f"/v1/clusters/{uuid}", want=204)
    wait_for("the cluster to be gone",
             lambda: ask("GET", f"/v1/clusters/{uuid}").status == 404, timeout, every=0.1)


def openstack(environ, *args):
    r = subprocess.run(["openstack", "coe", *args], capture_output=True, text=True, env=environ,
                       timeout=120)
    check(r.returncode == 0, f"openstack coe {' '.join(args)}: {r.stderr}{r.stdout}")
    return r.stdout


def with_the_client(uuid):
    name = f"magnum-{os.urandom(4).hex()}"
    with S["lab"].region_of(S["stack"].url + "/v1", name), tempfile.TemporaryDirectory() as d:
        environ = S["lab"].environ("demo", OS_REGION_NAME=name)
        shown = openstack(environ, "ca", "show", uuid)
        certs.verify(shown, shown)
        csr = pathlib.Path(d, "csr")
        csr.write_text(certs.csr(subject="/CN=client")[1])
        certs.verify(shown, openstack(environ, "ca", "sign", uuid, str(csr)))


# ---- cases ----

def all_is_in_barbican_and_goes_away():
    uuid = create("b1")
    wait_complete(uuid)
    holds_all(uuid)
    certs.check_cluster(ask, uuid)
    with_the_client(uuid)
    remove(uuid)
    holds_nothing(uuid)


def bundles_are_read_once_in_a_while():
    uuid = create("b2")
    wait_complete(uuid)
    certs.check_cluster(ask, uuid)
    S["proxy"].arm()
    certs.check_cluster(ask, uuid)
    check_equal(S["proxy"].disarm(), [], "requests to Barbican for what is remembered")
    remove(uuid)


def the_other_managers_do_the_same():
    before = create("b3")
    wait_complete(before)
    for manager in ("x509keypair", "local"):
        with manager_of_new_clusters(manager):
            uuid = create(f"o-{manager}")
            wait_complete(uuid)
            check_equal(held("secrets", uuid), [], "secrets in Barbican")
            certs.check_cluster(ask, uuid)
            with_the_client(uuid)
            remove(uuid)
            certs.check_cluster(ask, before)
    remove(before)
    holds_nothing(before)


@contextlib.contextmanager
def manager_of_new_clusters(name):
    def start(manager):
        S["stack"].stop()
        S["stack"].options = S["options"](manager)
        S["stack"].start()
    start(name)
    try:
        yield
    finally:
        start("barbican")


def victims(kind):
    conductor = S["stack"].child("magnum-conductor")
    if kind == "conductor":
        return [conductor] if conductor else []
    return [p for p in mt.children(conductor, "magnum-driver-host")] if conductor else []


def walk(begin, work, good):
    """At each request to Barbican one of the two is killed: before it gets there, or after.
    MAGNUM_WALK_STEP=n tries every n-th one only."""
    subject = begin("walk")
    S["proxy"].arm()
    work(subject)
    calls = S["proxy"].disarm()
    good(subject)
    for number in range(1, len(calls) + 1, WALK_STEP):
        subject = begin(f"walk{number}")
        kind = ("conductor", "host")[number % 2]
        S["proxy"].arm(number, ("before", "after")[number // 2 % 2], lambda k=kind: victims(k))
        work(subject)
        seen = S["proxy"].disarm()
        check(len(seen) >= number, f"no request {number} was made: {seen}")
        good(subject)
    print(f"      {len(calls)} requests:", ", ".join(sorted(set(c.split("/")[0] + "/" + "/".join(
        c.split("/")[1:3]) for c in calls))), flush=True)


def a_create_survives_kills():
    def good(uuid):
        holds_all(uuid)
        certs.check_cluster(ask, uuid)
        remove(uuid)
        holds_nothing(uuid)
    walk(create, wait_complete, good)


def a_delete_survives_kills():
    def begin(name):
        uuid = create(name)
        wait_complete(uuid)
        return uuid
    walk(begin, remove, holds_nothing)


def barbican_is_away_for_a_while():
    S["proxy"].dead = True
    try:
        uuid = create("away")

        def waiting():
            events = ask("GET", f"/v1/clusters/{uuid}/operations", want=200).json()["operations"]
            return events[0]["code"] not in (None, "")
        wait_for("the operation to tell what it waits for", waiting, 60, every=0.2)
        check_equal(ask("GET", f"/v1/clusters/{uuid}").json()["status"], "CREATE_IN_PROGRESS",
                    "status meanwhile")
    finally:
        S["proxy"].dead = False
    wait_complete(uuid)
    holds_all(uuid)
    S["proxy"].dead = True
    ask("DELETE", f"/v1/clusters/{uuid}", want=204)
    wait_for("a request of the delete", lambda: S["proxy"].seen, 60)
    S["proxy"].dead = False
    wait_for("the cluster to be gone",
             lambda: ask("GET", f"/v1/clusters/{uuid}").status == 404, 120, every=0.2)
    holds_nothing(uuid)


def no_secrets_in_logs():
    for log in (S["stack"].state / "log").glob("*.log"):
        text = log.read_text(errors="replace")
        check("PRIVATE KEY" not in text, f"{log.name} has a private key")
        check(S["token"] not in text, f"{log.name} has a token")


def options_for(l, region, state):
    values = dict(l.magnum_options(), **{
        "trust.trustee_domain_name": "magnum",
        "trust.trustee_domain_admin_name": "trustee_domain_admin",
        "trust.trustee_domain_admin_password": lab.PASSWORD,
        "trust.trustee_keystone_region_name": region,
        f"driver_config.{LOCAL}.storage_path": f"{state}/bundles",
        f"driver_config.{LOCAL}.key_file": f"{state}/certs.key",
        "drivers.quarantine_deaths": "1000", "conductor.lease_ms": "1500",
        "conductor.backoff_ms": "200", "certificates.sweep_interval_s": "2"})

    def words(manager):
        return [w for k, v in {**values, "certificates.cert_manager_type": manager}.items()
                for w in ("--set", f"{k}={v}")]
    return words


def run(l):
    S["proxy"] = Proxy(9311)
    state = pathlib.Path(tempfile.mkdtemp(prefix="mgt-"))
    try:
        with region_with(S["proxy"].url) as region, mt.Allinone(state=state) as S["stack"]:
            S["options"] = options_for(l, region, state)
            S["stack"].options = S["options"]("barbican")
            S["stack"].start()
            S["token"], _ = l.login("demo")
            S["template"] = lm.As(S["stack"].url, l.token("admin"))(
                "POST", "/v1/clustertemplates",
                dict(name=f"certs{next(NUMBERS)}", coe="kubernetes", server_type="vm",
                     image_id="simulated", public=True, external_network_id="public"),
                want=201).json()["uuid"]
            mt.main("__main__", [all_is_in_barbican_and_goes_away,
                                 bundles_are_read_once_in_a_while, the_other_managers_do_the_same,
                                 a_create_survives_kills, a_delete_survives_kills,
                                 barbican_is_away_for_a_while, no_secrets_in_logs])
    finally:
        sweep()
        mt.remove_state(state)


def sweep():
    """Whatever a failed case left in the lab: containers and secrets named by our keys."""
    for kind, one in (("containers", "container_ref"), ("secrets", "secret_ref")):
        found = S["lab"].call(S["lab"].login("demo")[0], "key-manager", "GET",
                              f"/v1/{kind}?limit=1000")
        for x in found[kind]:
            if (x["name"] or "").count("/") >= 2:
                print("swept", x["name"])
                S["lab"].call(S["lab"].login("demo")[0], "key-manager", "DELETE",
                              "/v1/" + x[one].split("/v1/")[1])


if __name__ == "__main__":
    with lab.up("identity") as S["lab"]:
        run(S["lab"])
    sys.exit(0)
