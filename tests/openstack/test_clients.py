"""`openstack coe`, as Debian packages it, with the lab's Keystone and its service catalogue: the life
of a template and a cluster as an admin, a member, a reader, another project, with an application
credential, and what wrong passwords and tokens get. The simulator stands for the cluster driver."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import lab
import labmagnum as lm
import magnumtest as mt
from magnumtest import check, check_equal, wait_for

MARK = os.urandom(4).hex()
OWN, PUBLIC, CLUSTER = f"own-{MARK}", f"public-{MARK}", f"c-{MARK}"
S = {}


# ---- the client ----

def coe(who, *args, want=True, as_json=False):
    """Its output; want: should it succeed (None: either)? who: a user, or an environment."""
    env = who if isinstance(who, dict) else S["lab"].environ(who, OS_REGION_NAME=S["region"])
    command = ["openstack", "coe", *args] + (["-f", "json"] if as_json else [])
    r = subprocess.run(command, capture_output=True, text=True, env=env, timeout=180 * mt.SLOW)
    check(want in (None, r.returncode == 0), f"{' '.join(command)}: {r.stdout}{r.stderr}")
    return json.loads(r.stdout) if as_json else r.stdout + r.stderr


def refused(who, says, *args):
    """The client leaves out the full stop of an error's text, and says of some of its failures with
    exit status 0 that they are failures."""
    out = coe(who, *args, want=None)
    check(says.rstrip(".") in out, f"{args}: {says!r} is not in {out}")


def denied(who, rule, *args):
    refused(who, f"Policy doesn't allow {rule} to be performed.", *args)


def names(who, *what):
    return sorted(x["name"] for x in coe(who, *what, as_json=True) if MARK in x["name"])


def wait_status(who, status):
    """Through plain HTTP: the client takes seconds."""
    def there():
        a = S[who]("GET", f"/v1/clusters/{CLUSTER}", want=200).json()
        check(a["status"] == status or not a["status"].endswith("FAILED"), f"{a}")
        return a if a["status"] == status else None
    return wait_for(f"the cluster to be {status}", there, 60)


def make_template(who, name, *more, image="fedora-coreos", want=True):
    args = ["cluster", "template", "create", name, "--coe", "kubernetes", "--image", image,
            "--external-network", "public", "--flavor", "m1.small", "--master-flavor", "m1.small",
            "--labels", "sim_steps=2,sim_step_ms=10", *more]
    return coe(who, *args, want=want)


# ---- the stories ----

def an_admin_publishes_a_template():
    make_template("admin", PUBLIC, "--public")
    check_equal(names("demo", "cluster", "template", "list"), [PUBLIC], "templates of demo")
    denied("demo", "clustertemplate:update", "cluster", "template", "update", PUBLIC, "replace",
           "name=mine")


def a_member_makes_a_template():
    out = make_template("demo", OWN, "--keypair", "testkey", "--fixed-network", "demo-private")
    check("accepted" in out, out)
    shown = coe("demo", "cluster", "template", "show", OWN, as_json=True)
    check_equal((shown["image_id"], shown["cluster_distro"], shown["fixed_network"]),
                ("fedora-coreos", "fedora-coreos", "demo-private"), "template")
    out = make_template("demo", f"bad-{MARK}", image="nosuch", want=False)
    check("Image nosuch could not be found" in out, out)
    out = make_template("demo", f"bad-{MARK}", "--public", want=False)
    check("Not authorized to set public or hidden flag" in out, out)
    check_equal(names("alt", "cluster", "template", "list"), [PUBLIC], "templates of alt")
    refused("alt", "could not be found", "cluster", "template", "show", OWN)


def a_member_makes_a_cluster():
    refused("demo", "Unable to find keypair nosuch.", "cluster", "create", CLUSTER,
            "--cluster-template", OWN, "--keypair", "nosuch")
    out = coe("demo", "cluster", "create", CLUSTER, "--cluster-template", OWN, "--node-count", "2")
    check("Request to create cluster" in out, out)
    wait_status("demo", "CREATE_COMPLETE")
    shown = coe("demo", "cluster", "show", CLUSTER, as_json=True)
    check_equal((shown["status"], shown["keypair"], shown["node_count"], shown["fixed_network"]),
                ("CREATE_COMPLETE", "testkey", 2, "demo-private"), "cluster")
    refused("demo", "is referenced by one or multiple clusters", "cluster", "template", "delete",
            OWN)


def a_member_changes_the_cluster():
    coe("demo", "cluster", "resize", CLUSTER, "3")
    wait_status("demo", "UPDATE_COMPLETE")
    coe("demo", "nodegroup", "create", CLUSTER, "more", "--flavor", "m1.tiny", "--node-count", "1")
    wait_status("demo", "UPDATE_COMPLETE")
    groups = coe("demo", "nodegroup", "list", CLUSTER, as_json=True)
    check_equal(sorted((g["name"], g["node_count"]) for g in groups),
                [("default-master", 1), ("default-worker", 3), ("more", 1)], "nodegroups")
    coe("demo", "nodegroup", "delete", CLUSTER, "more")
    wait_status("demo", "UPDATE_COMPLETE")


def only_the_owner_gets_credentials():
    with tempfile.TemporaryDirectory() as top:
        coe("demo", "cluster", "config", CLUSTER, "--dir", top, "--output-certs")
        made = sorted(p.name for p in pathlib.Path(top).iterdir())
        check_equal(made, ["ca.pem", "cert.pem", "config", "key.pem"], "files of cluster config")
    denied("demo2", "certificate:get", "ca", "show", CLUSTER)  # of the same project
    check("BEGIN CERTIFICATE" in coe("demo", "ca", "show", CLUSTER), "ca show")


def a_reader_reads():
    check_equal(names("reader", "cluster", "list"), [CLUSTER], "clusters")
    check_equal(coe("reader", "cluster", "show", CLUSTER, as_json=True)["name"], CLUSTER, "cluster")
    denied("reader", "cluster:create", "cluster", "create", f"r-{MARK}", "--cluster-template", OWN)
    denied("reader", "cluster:delete", "cluster", "delete", CLUSTER)
    denied("reader", "cluster:resize", "cluster", "resize", CLUSTER, "1")
    denied("reader", "clustertemplate:delete", "cluster", "template", "delete", OWN)


def another_project_sees_nothing():
    check_equal(names("alt", "cluster", "list"), [], "clusters of alt")
    refused("alt", "could not be found", "cluster", "show", CLUSTER)
    refused("alt", "could not be found", "cluster", "delete", CLUSTER)
    refused("alt", "could not be found", "ca", "show", CLUSTER)


def an_admin_sees_all_and_sets_quotas():
    l = S["lab"]
    check_equal(names("admin", "cluster", "list"), [CLUSTER], "clusters that an admin sees")
    check_equal(coe("admin", "service", "list", as_json=True)[0]["state"], "up", "conductor")
    denied("demo", "magnum-service:get_all", "service", "list")
    demo = l.project_id("demo")
    refused("admin", "The project_id nosuch could not be found.", "quotas", "create",
            "--project-id", "nosuch", "--resource", "Cluster")
    coe("admin", "quotas", "create", "--project-id", demo, "--resource", "Cluster", "--hard-limit",
        "1")
    refused("demo", "You have reached the maximum clusters per project, 1.", "cluster", "create",
            f"x-{MARK}", "--cluster-template", OWN)
    coe("admin", "quotas", "delete", "--project-id", demo, "--resource", "Cluster")
    check("1" in coe("demo", "stats", "list", demo), "stats")
    refused("demo", "Not authorized", "stats", "list", l.project_id("alt"))


def application_credentials():
    l = S["lab"]
    token, user = l.token("demo"), l.user_id("demo")
    made = {}
    try:
        for role in ("reader", "member"):
            body = {"application_credential": {"name": f"{role}-{MARK}", "roles": [{"name": role}]}}
            made[role] = lab.keystone("POST", f"/users/{user}/application_credentials", body,
                                      token)[1]["application_credential"]
        env = {role: l.environ(
            None, None, OS_AUTH_TYPE="v3applicationcredential", OS_PASSWORD=None,
            OS_APPLICATION_CREDENTIAL_ID=c["id"], OS_APPLICATION_CREDENTIAL_SECRET=c["secret"],
            OS_USER_DOMAIN_NAME=None, OS_PROJECT_DOMAIN_NAME=None, OS_REGION_NAME=S["region"])
            for role, c in made.items()}
        check_equal(names(env["reader"], "cluster", "list"), [CLUSTER], "clusters")
        denied(env["reader"], "cluster:delete", "cluster", "delete", CLUSTER)
        make_template(env["member"], f"ac-{MARK}")
        coe(env["member"], "cluster", "template", "delete", f"ac-{MARK}")
        denied(env["member"], "cluster:get_all", "cluster", "list")
    finally:
        for c in made.values():
            lab.keystone("DELETE", f"/users/{user}/application_credentials/{c['id']}", token=token)


def wrong_tokens_and_passwords():
    l = S["lab"]
    wrong = l.environ("demo", OS_PASSWORD="wrong", OS_REGION_NAME=S["region"])
    refused(wrong, "HTTP 401", "cluster", "list")
    bad = l.environ(None, None, OS_AUTH_TYPE="admin_token", OS_TOKEN="gAAAAAnonsense", OS_AUTH_URL=None,
                    OS_ENDPOINT=S["url"] + "/v1", OS_PASSWORD=None, OS_USER_DOMAIN_NAME=None,
                    OS_PROJECT_DOMAIN_NAME=None)
    refused(bad, "401", "cluster", "list")
    unscoped = dict(bad, OS_TOKEN=lab.login("nobody")[0])
    denied(unscoped, "cluster:get_all", "cluster", "list")


def the_default_region():
    """Where the lab is this run's own, the catalogue entry is as an operator makes it."""
    if S["lab"].started:
        check_equal(names(S["lab"].environ("demo"), "cluster", "list"), [CLUSTER], "clusters")


def everything_goes_again():
    out = coe("demo", "cluster", "delete", CLUSTER)
    check("has been accepted" in out, out)
    wait_for("the cluster to be gone",
             lambda: S["demo"]("GET", f"/v1/clusters/{CLUSTER}").status == 404, 60)
    coe("demo", "cluster", "template", "delete", OWN)
    coe("admin", "cluster", "template", "delete", PUBLIC)
    check_equal(names("demo", "cluster", "template", "list"), [], "templates")


def main():
    with lab.up("full") as S["lab"], lm.stack() as stack, lm.api(stack, S["lab"]) as S["url"]:
        if S["lab"].started:  # before there is another service of the type, which it would change
            S["lab"].register(S["url"] + "/v1")
        with S["lab"].region_of(S["url"] + "/v1", f"Test-{MARK}") as S["region"]:
            S["demo"] = lm.As(S["url"], S["lab"].token("demo"))
            try:
                mt.main("__main__", [
                    an_admin_publishes_a_template, a_member_makes_a_template,
                    a_member_makes_a_cluster, a_member_changes_the_cluster,
                    only_the_owner_gets_credentials, a_reader_reads, another_project_sees_nothing,
                    an_admin_sees_all_and_sets_quotas, application_credentials,
                    wrong_tokens_and_passwords, the_default_region, everything_goes_again])
            except SystemExit as e:
                status = e.code
    sys.exit(status)


if __name__ == "__main__":
    main()
