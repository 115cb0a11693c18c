"""What templates and clusters may name, asked of the lab's Glance, Nova and Neutron with the caller's
own token: by name and by id, of other projects, ambiguous, deleted meanwhile, and with services away.
"""
import contextlib
import os
import sys

import lab
import labmagnum as lm
import magnumtest as mt
from magnumtest import check_equal, wait_for

S = {}
MARK = os.urandom(4).hex()  # in the name of everything made in the lab
CACHE_S = 1


# ---- things in the lab ----

@contextlib.contextmanager
def image(user, name, **properties):
    """The id of an image without data."""
    l, token = S["lab"], S["lab"].token(user)
    body = dict(name=name, disk_format="raw", container_format="bare", **properties)
    made = l.call(token, "image", "POST", "/v2/images", body)["id"]
    try:
        yield made
    finally:
        l.call(token, "image", "DELETE", f"/v2/images/{made}", want=(204, 404))


@contextlib.contextmanager
def flavor(name, disk, project=None):
    """The id of a flavor; of one project only, when one is named."""
    l, admin = S["lab"], S["lab"].token("admin")
    body = {"flavor": {"name": name, "ram": 512, "vcpus": 1, "disk": disk,
                       "os-flavor-access:is_public": project is None}}
    made = l.call(admin, "compute", "POST", "/flavors", body)["flavor"]["id"]
    try:
        if project:
            l.call(admin, "compute", "POST", f"/flavors/{made}/action",
                   {"addTenantAccess": {"tenant": project}})
        yield made
    finally:
        l.call(admin, "compute", "DELETE", f"/flavors/{made}")


@contextlib.contextmanager
def network(user, name):
    l, token = S["lab"], S["lab"].token(user)
    made = l.call(token, "network", "POST", "/v2.0/networks", {"network": {"name": name}})
    made = made["network"]["id"]
    try:
        yield made
    finally:
        l.call(token, "network", "DELETE", f"/v2.0/networks/{made}")


def id_of(user, kind, name):
    found = S["lab"].call(S["lab"].token(user), "network", "GET", f"/v2.0/{kind}?name={name}")
    return found[kind][0]["id"]


# ---- Magnum ----

def template_body(name, **kw):
    body = dict(name=name, coe="kubernetes", server_type="vm", image_id="fedora-coreos",
                external_network_id="public", labels={"sim_steps": "1"})
    return {**body, **kw}


def template(user, want=201, text=None, **kw):
    """Its uuid, made and deleted again."""
    body = template_body(f"t-{MARK}", **kw)
    a = S[user]("POST", "/v1/clustertemplates", body, want=want, text=text)
    if want != 201:
        return None
    made = a.json()
    for key in ("image_id", "flavor_id", "external_network_id", "fixed_network", "fixed_subnet"):
        check_equal(made[key], body.get(key), key)  # kept as it was given
    check_equal(made["cluster_distro"], "fedora-coreos", "distribution of the image")
    S[user]("DELETE", f"/v1/clustertemplates/{made['uuid']}", want=204)
    return made


def refused(user, code, text, **kw):
    template(user, want=code, text=text, **kw)


def images_by_name_and_id():
    l = S["lab"]
    listed = l.call(l.token("demo"), "image", "GET", "/v2/images?name=fedora-coreos")["images"]
    template("demo")
    template("demo", image_id=listed[0]["id"])
    refused("demo", 400, "Image nosuch could not be found.", image_id="nosuch")
    refused("demo", 400, f"Image {l.user_id('demo')} could not be found.",
            image_id=l.user_id("demo"))
    refused("demo", 400, "Image no-distro doesn't contain os_distro field.", image_id="no-distro")
    odd = "in:\"fedora-coreos\",\u00f6 &/?#%41"
    refused("demo", 400, f"Image {odd} could not be found.", image_id=odd)


def images_of_others_are_not_there():
    name = f"mine-{MARK}"
    with image("alt", name, os_distro="fedora-coreos", visibility="private") as made:
        template("alt", image_id=name)
        template("alt", image_id=made)
        refused("demo", 400, f"Image {name} could not be found.", image_id=name)
        refused("demo", 400, f"Image {made} could not be found.", image_id=made)


def images_of_the_same_name_are_told_apart():
    name = f"twin-{MARK}"
    with image("demo", name, os_distro="fedora-coreos") as one, \
            image("demo", name, os_distro="fedora-coreos"):
        refused("demo", 409, f"Multiple images exist with same name '{name}'. Please use the image "
                             "ID instead.", image_id=name)
        template("demo", image_id=one)


def flavors():
    l = S["lab"]
    listed = l.call(l.token("demo"), "compute", "GET", "/flavors")["flavors"]
    small = next(f["id"] for f in listed if f["name"] == "m1.small")
    template("demo", flavor_id="m1.small", master_flavor_id=small)
    refused("demo", 400, "Unable to find flavor nosuch.", flavor_id="nosuch")
    refused("demo", 400, "Unable to find flavor nosuch.", master_flavor_id="nosuch")
    with flavor(f"alt-{MARK}", 5, l.project_id("alt")) as made:
        template("alt", flavor_id=f"alt-{MARK}")
        template("alt", flavor_id=made)
        refused("demo", 400, f"Unable to find flavor alt-{MARK}.", flavor_id=f"alt-{MARK}")


def flavors_without_disk():
    name = f"bare-{MARK}"

    def refused_for_its_disk():
        refused("demo", 400, "Flavor with zero root volume size is not supported when "
                             "boot_volume_size is zero.", flavor_id=name)
        return True
    with flavor(name, 0):
        wait_for("the list of flavors to be read anew", refused_for_its_disk, CACHE_S + 30, every=0.2)
        template("demo", flavor_id=name, labels={"sim_steps": "1", "boot_volume_size": "10"})


def networks():
    public, private = id_of("demo", "networks", "public"), id_of("demo", "networks", "demo-private")
    subnet = id_of("demo", "subnets", "demo-private-subnet")
    template("demo", external_network_id=public)
    refused("demo", 400, "Unable to find external network nosuch.", external_network_id="nosuch")
    refused("demo", 400, "Unable to find external network demo-private.",
            external_network_id="demo-private")
    refused("demo", 400, f"Unable to find external network {private}.",
            external_network_id=private)
    template("demo", fixed_network="demo-private", fixed_subnet="demo-private-subnet")
    template("demo", fixed_network=private, fixed_subnet=subnet)
    for name in ("demo-private", private):
        refused("alt", 400, f"Unable to find fixed network {name}.", fixed_network=name)
    for name in ("demo-private-subnet", subnet):
        refused("alt", 400, f"Unable to find fixed subnet {name}.", fixed_subnet=name)
    name = f"twin-{MARK}"
    with network("demo", name) as one, network("demo", name):
        refused("demo", 409, f"Multiple networks exist with same name '{name}'. Please use the "
                             "network ID instead.", fixed_network=name)
        template("demo", fixed_network=one)


def readers_are_refused():
    refused("reader", 403, "Policy doesn't allow clustertemplate:create to be performed.")


@contextlib.contextmanager
def kept_template(user, **kw):
    made = S[user]("POST", "/v1/clustertemplates", template_body(f"k-{MARK}", **kw), want=201)
    made = made.json()["uuid"]
    try:
        yield made
    finally:
        S[user]("DELETE", f"/v1/clustertemplates/{made}", want=204)


def cluster(user, of, want=202, text=None, **kw):
    a = S[user]("POST", "/v1/clusters", dict(name=f"c-{MARK}", cluster_template_id=of, **kw),
                want=want, text=text)
    if want != 202:
        return
    uuid = a.json()["uuid"]
    S[user]("DELETE", f"/v1/clusters/{uuid}", want=204)
    wait_for("the cluster to be gone",
             lambda: S[user]("GET", f"/v1/clusters/{uuid}").status == 404, 60)


def clusters_are_checked_again():
    with kept_template("demo") as t:
        cluster("demo", t, keypair="testkey", flavor_id="m1.small", fixed_network="demo-private")
        cluster("demo", t, 404, "Unable to find keypair nosuch.", keypair="nosuch")
        cluster("demo2", t, 404, "Unable to find keypair testkey.", keypair="testkey")
        cluster("demo", t, 400, "Unable to find flavor nosuch.", master_flavor_id="nosuch")
        cluster("demo", t, 400, "Unable to find fixed network nosuch.", fixed_network="nosuch")
        cluster("demo", t, 400, "Unable to find fixed subnet alt-private-subnet.",
                fixed_subnet="alt-private-subnet")


def what_was_deleted_meanwhile_is_missing():
    name = f"short-{MARK}"
    with image("demo", name, os_distro="fedora-coreos") as made:
        with kept_template("demo", image_id=name) as t:
            cluster("demo", t)
            S["lab"].call(S["lab"].token("demo"), "image", "DELETE", f"/v2/images/{made}")
            wait_for("the image to be forgotten", lambda: S["demo"](
                "POST", "/v1/clusters", dict(cluster_template_id=t)).status == 400, CACHE_S + 30,
                every=0.2)
            cluster("demo", t, 400, f"Image {name} could not be found.")
            for c in S["demo"]("GET", "/v1/clusters", want=200).json()["clusters"]:
                S["demo"]("DELETE", f"/v1/clusters/{c['uuid']}", want=204)
            wait_for("the clusters to be gone", lambda: not S["demo"](
                "GET", "/v1/clusters", want=200).json()["clusters"], 60)


def a_template_changes_its_image():
    with kept_template("demo") as t:
        patch = [dict(op="replace", path="/image_id", value="nosuch")]
        S["demo"]("PATCH", f"/v1/clustertemplates/{t}", patch, want=400,
                  text="Image nosuch could not be found.")
        patch[0]["value"] = "no-distro"
        S["demo"]("PATCH", f"/v1/clustertemplates/{t}", patch, want=400,
                  text="Image no-distro doesn't contain os_distro field.")
        patch[0]["value"] = "ubuntu"
        a = S["demo"]("PATCH", f"/v1/clustertemplates/{t}", patch, want=400)
        check_equal(a.json()["errors"][0]["title"],
                    "Cluster type (vm, ubuntu, kubernetes) not supported", "refusal")


def every_interface_and_no_other_region():
    body = template_body(f"t-{MARK}")
    with lm.api(S["stack"], S["lab"], "internal", keystone__interface="internal") as url:
        made = lm.As(url, S["demo"].token)("POST", "/v1/clustertemplates", body, want=201).json()
        S["demo"]("DELETE", f"/v1/clustertemplates/{made['uuid']}", want=204)
    with lm.api(S["stack"], S["lab"], "nowhere", keystone__region="Nowhere") as url:
        lm.As(url, S["demo"].token)(
            "POST", "/v1/clustertemplates", body, want=503,
            text="The image service is not available. Please try again later.")


def a_token_revoked_meanwhile():
    """The API still believes it; Glance, which has not seen it before, does not."""
    token, _ = lab.login("demo", lab.of_project("demo"))
    mine = lm.As(S["url"], token)
    mine("GET", "/v1/clustertemplates", want=200)
    lab.keystone("DELETE", "/auth/tokens", token=S["lab"].token("admin"), subject=token)
    body = template_body(f"t-{MARK}", image_id=f"nobody-asked-{MARK}")
    a = mine("POST", "/v1/clustertemplates", body, want=401)
    check_equal(a.headers.get("www-authenticate"), f'Keystone uri="{lab.AUTH_URL}"', "challenge")
    mine("GET", "/v1/clustertemplates", want=401)  # and so does the API, from then on


def main():
    with lab.up("full") as S["lab"], lm.stack() as S["stack"], \
            lm.api(S["stack"], S["lab"], catalog__cache_seconds=CACHE_S) as S["url"]:
        for user in ("demo", "demo2", "alt", "reader"):
            S[user] = lm.As(S["url"], S["lab"].token(user))
        try:
            mt.main("__main__", [
                images_by_name_and_id, images_of_others_are_not_there,
                images_of_the_same_name_are_told_apart, flavors, flavors_without_disk, networks,
                readers_are_refused, clusters_are_checked_again,
                what_was_deleted_meanwhile_is_missing, a_template_changes_its_image,
                every_interface_and_no_other_region, a_token_revoked_meanwhile])
        except SystemExit as e:
            status = e.code
    sys.exit(status)


if __name__ == "__main__":
    main()
