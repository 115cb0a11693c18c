"""Who may do what with tokens of a real Keystone: users of several projects and roles, wrong and
revoked tokens, tokens of other scopes, application credentials, headers that lie.

magnum-allinone gives database and drivers; a second magnum-api on them asks the lab's Keystone."""
import os
import sys

import lab
import labmagnum as lm
import magnumtest as mt
from lab import keystone, login, of_project
from magnumtest import check, check_equal, wait_for

CACHE_S = 2
S = {}


# ---- Magnum ----

def ask(token, method, path, body=None, want=None, **headers):
    if token is not None:
        headers["X-Auth-Token"] = token
    a = mt.request(S["url"], method, path, body, headers=headers)
    check(want is None or a.status == want, f"{method} {path}: wanted {want}, got {a}")
    return a


def template_body(name):
    return dict(name=name, coe="kubernetes", server_type="vm", image_id="simulated",
                external_network_id="public", labels={"sim_steps": "1"})


def refused_by(answer, rule):
    detail = answer.json()["errors"][0]["detail"]
    check_equal(detail, f"Policy doesn't allow {rule} to be performed.", "refusal")


def without_a_good_token():
    for token in (None, "", "nonsense", "a" * 5000, S["demo"][:-3] + "xyz"):
        a = ask(token, "GET", "/v1/clusters", want=401)
        check_equal(a.headers.get("www-authenticate"), f'Keystone uri="{lab.AUTH_URL}"', "challenge")
    ask(None, "GET", "/", want=200)
    ask(None, "GET", "/v1", want=200)


def members_work_in_their_project():
    a = ask(S["demo"], "POST", "/v1/clustertemplates", template_body("td"), want=201).json()
    check_equal(a["project_id"], S["demo_id"], "project of the template")
    S["template"] = a["uuid"]
    ask(S["demo"], "POST", "/v1/clusters", dict(name="cd", cluster_template_id=a["uuid"]), want=202)
    names = [c["name"] for c in ask(S["demo"], "GET", "/v1/clusters", want=200).json()["clusters"]]
    check_equal(names, ["cd"], "clusters of demo")
    refused_by(ask(S["demo"], "GET", "/v1/quotas", want=403), "quota:get_all")
    refused_by(ask(S["demo"], "GET", "/v1/mservices", want=403), "magnum-service:get_all")


def readers_read():
    ask(S["reader"], "GET", "/v1/clusters/cd", want=200)
    ask(S["reader"], "GET", f"/v1/clustertemplates/{S['template']}", want=200)
    refused_by(ask(S["reader"], "POST", "/v1/clustertemplates", template_body("tr"), want=403),
               "clustertemplate:create")
    refused_by(ask(S["reader"], "DELETE", "/v1/clusters/cd", want=403), "cluster:delete")


def others_see_nothing():
    ask(S["alt"], "GET", "/v1/clusters/cd", want=404)
    ask(S["alt"], "GET", f"/v1/clustertemplates/{S['template']}", want=404)
    check_equal(ask(S["alt"], "GET", "/v1/clusters", want=200).json()["clusters"], [], "clusters")
    lies = {"X-Project-Id": S["demo_id"], "X-Roles": "admin", "X-User-Id": "admin",
            "X-Identity-Status": "Confirmed", "X-Is-Admin-Project": "True"}
    ask(S["alt"], "GET", "/v1/clusters/cd", want=404, **lies)
    ask(S["alt"], "GET", "/v1/quotas", want=403, **lies)
    ask(None, "GET", "/v1/clusters", want=401, **lies)


def admins_may_more():
    quota = dict(project_id=S["demo_id"], resource="Cluster", hard_limit=5)
    ask(S["admin"], "POST", "/v1/quotas", quota, want=201)
    a = ask(S["admin"], "POST", "/v1/quotas", dict(quota, project_id="nosuch"), want=404)
    check_equal(a.json()["errors"][0]["detail"], "The project_id nosuch could not be found.", "error")
    refused_by(ask(S["demo"], "POST", "/v1/quotas", dict(quota, project_id="nosuch"), want=403),
               "quota:create")
    listed = ask(S["admin"], "GET", "/v1/quotas?all_tenants=true", want=200).json()["quotas"]
    check_equal([q["hard_limit"] for q in listed], [5], "quotas")
    check_equal(ask(S["demo"], "GET", f"/v1/quotas/{S['demo_id']}/Cluster", want=200)
                .json()["hard_limit"], 5, "quota that demo sees")
    ask(S["admin"], "GET", "/v1/mservices", want=200)
    ask(S["admin"], "GET", "/v1/clusters/cd", want=200)


def tokens_of_other_scopes():
    nobody, _ = login("nobody")
    refused_by(ask(nobody, "GET", "/v1/clusters", want=403), "cluster:get_all")
    system, _ = login("admin", lab.SYSTEM)
    refused_by(ask(system, "GET", "/v1/clusters", want=403), "cluster:get_all")
    ask(system, "GET", "/v1/mservices", want=200)


def tokens_of_a_domain():
    """An admin of a domain has no project: only what is for admins of anything."""
    token, _ = login("trustee_domain_admin", lab.of_domain("magnum"), domain="magnum")
    for method, path, rule in (("GET", "/v1/clusters", "cluster:get_all"),
                               ("GET", "/v1/clustertemplates", "clustertemplate:get_all"),
                               ("GET", "/v1/stats", "stats:get_all")):
        refused_by(ask(token, method, path, want=403), rule)
    a = ask(token, "POST", "/v1/clusters", dict(name="x", cluster_template_id="nosuch"))
    check(a.status in (403, 404), f"{a}")
    ask(token, "GET", "/v1/mservices", want=200)


def trusts():
    """demo2 acts with some of demo's roles, as long as the trust is there."""
    l = S["lab"]
    owner, body = login("demo", of_project("demo"))
    made = []

    def trust(*roles, impersonation=True):
        _, t = keystone("POST", "/OS-TRUST/trusts", {"trust": {
            "trustor_user_id": body["user"]["id"], "trustee_user_id": l.user_id("demo2"),
            "project_id": S["demo_id"], "impersonation": impersonation,
            "roles": [{"name": r} for r in roles]}}, owner)
        made.append(t["trust"]["id"])
        return login("demo2", {"OS-TRUST:trust": {"id": made[-1]}})[0]
    try:
        reader, member = trust("reader"), trust("member", "reader", impersonation=False)
        ask(reader, "GET", "/v1/clusters/cd", want=200)
        refused_by(ask(reader, "DELETE", "/v1/clusters/cd", want=403), "cluster:delete")
        a = ask(member, "POST", "/v1/clustertemplates", template_body("tt"), want=201).json()
        check_equal(a["user_id"], l.user_id("demo2"), "user of the template")
        ask(member, "DELETE", f"/v1/clustertemplates/{a['uuid']}", want=204)
        refused_by(ask(member, "GET", "/v1/quotas", want=403), "quota:get_all")
        keystone("DELETE", f"/OS-TRUST/trusts/{made.pop()}", token=owner)
        wait_for("the trust's token to end",
                 lambda: ask(member, "GET", "/v1/clusters").status == 401, CACHE_S + 60, every=0.5)
        ask(reader, "GET", "/v1/clusters", want=200)
    finally:
        for t in made:
            keystone("DELETE", f"/OS-TRUST/trusts/{t}", token=owner)


def application_credentials():
    token, body = login("demo", of_project("demo"))
    _, made = keystone("POST", f"/users/{body['user']['id']}/application_credentials",
                       {"application_credential": {"name": os.urandom(6).hex(),
                                                   "roles": [{"name": "reader"}]}}, token)
    made = made["application_credential"]
    by, _ = keystone("POST", "/auth/tokens", {"auth": {"identity": {
        "methods": ["application_credential"],
        "application_credential": {"id": made["id"], "secret": made["secret"]}}}})
    ask(by, "GET", "/v1/clusters/cd", want=200)
    refused_by(ask(by, "DELETE", "/v1/clusters/cd", want=403), "cluster:delete")
    keystone("DELETE", f"/users/{body['user']['id']}/application_credentials/{made['id']}",
             token=token)


def revoked_tokens_end():
    unused, _ = login("demo", of_project("demo"))
    used, _ = login("demo", of_project("demo"))
    ask(used, "GET", "/v1/clusters", want=200)
    for token in (unused, used):
        keystone("DELETE", "/auth/tokens", token=S["admin"], subject=token)
    ask(unused, "GET", "/v1/clusters", want=401)
    wait_for("a cached token to be forgotten",
             lambda: ask(used, "GET", "/v1/clusters").status == 401, CACHE_S + 20, every=0.2)
    ask(S["demo"], "GET", "/v1/clusters", want=200)  # another token of the same user


def log_in():
    for user, project in (("admin", "admin"), ("demo", "demo"), ("reader", "demo"), ("alt", "alt")):
        S[user], body = login(user, of_project(project))
        S[f"{project}_id"] = body["project"]["id"]


def run():
    """The exit status; the logs of a failure come from whoever sees an exception."""
    try:
        mt.main(__name__, [without_a_good_token, members_work_in_their_project, readers_read,
                           others_see_nothing, admins_may_more, tokens_of_other_scopes,
                           tokens_of_a_domain, trusts,
                           application_credentials, revoked_tokens_end])
    except SystemExit as e:
        return e.code
    return 1


def main():
    with lab.up("identity") as S["lab"], mt.Allinone() as stack:
        log_in()
        stack.start()
        with lm.api(stack, S["lab"], auth__cache_seconds=CACHE_S) as S["url"]:
            status = run()
    sys.exit(status)


if __name__ == "__main__":
    main()
