"""Hard limits under parallel creates: two API processes on one database, a hundred clients at the same
time, and exactly as many clusters as the limit allows, whatever comes to an end meanwhile."""
import collections
import re
import threading

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

LIMIT, CLIENTS = 20, 100
S = {}


def everywhere(count, request):
    """Answers of `count` clients that all begin at once, in turn at each API."""
    answers = [None] * count
    gate = threading.Barrier(count)

    def one(i):
        gate.wait(60)
        answers[i] = request(S["urls"][i % len(S["urls"])], i)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    return answers


def creating(project, prefix, template=None):
    def request(url, i):
        body = dict(name=f"{prefix}{i}", cluster_template_id=template or S["template"])
        return mt.request(url, "POST", "/v1/clusters", body, headers={"X-Project-Id": project},
                          timeout=120)
    return request


def rows(project):
    return int(S["stack"].sql(f"SELECT count(*) FROM cluster WHERE project_id = '{project}'")[0][0])


def check_refusals(answers, accepted, limit):
    check_equal(collections.Counter(a.status for a in answers),
                collections.Counter({202: accepted, 403: len(answers) - accepted}), "answers")
    wanted = (f"Resource limit exceeded: You have reached the maximum clusters per project, {limit}. "
              "You may delete a cluster to make room for a new one.")
    for a in answers:
        if a.status == 403:
            check_equal(a.json()["errors"][0]["detail"], wanted, "refusal")


def set_limit(project, limit):
    S["stack"].client("POST", "/v1/quotas",
                      dict(project_id=project, resource="Cluster", hard_limit=limit), want=201)


def exactly_the_limit():
    set_limit("p1", LIMIT)
    answers = everywhere(CLIENTS, creating("p1", "a"))
    check_refusals(answers, LIMIT, LIMIT)
    check_equal(rows("p1"), LIMIT, "clusters")
    accepted = {a.json()["uuid"] for a in answers if a.status == 202}
    check_equal(len(accepted), LIMIT, "different clusters")
    for uuid in accepted:
        mt.wait_for(f"{uuid} to be complete", lambda u=uuid: S["stack"].sql(
            f"SELECT status FROM cluster WHERE uuid = '{u}'") == [["CREATE_COMPLETE"]], 120)


def the_default_limit_without_a_row():
    check_refusals(everywhere(CLIENTS, creating("p2", "b")), LIMIT, LIMIT)
    check_equal(rows("p2"), LIMIT, "clusters")


def projects_do_not_share_a_limit():
    for project in ("p3", "p4"):
        set_limit(project, 5)
    answers = everywhere(60, lambda url, i: creating(f"p{3 + i % 2}", "c")(url, i))
    check_refusals(answers, 10, 5)
    check_equal((rows("p3"), rows("p4")), (5, 5), "clusters")


def none_at_all():
    set_limit("p5", 0)
    check_refusals(everywhere(20, creating("p5", "d")), 0, 0)


def room_is_given_once():
    """Deletes free a place each, and no more is taken."""
    doomed = S["stack"].sql("SELECT uuid FROM cluster WHERE project_id = 'p1' ORDER BY uuid LIMIT 3")
    for (uuid,) in doomed:
        mt.request(S["urls"][1], "DELETE", f"/v1/clusters/{uuid}", headers={"X-Project-Id": "p1"})
    wait_for("the deleted clusters to be gone", lambda: rows("p1") == LIMIT - 3, 60)
    check_refusals(everywhere(CLIENTS, creating("p1", "e")), 3, LIMIT)
    check_equal(rows("p1"), LIMIT, "clusters")


def a_repeated_request_counts_once():
    """The same Idempotency-Key at both APIs: one cluster, the same answer for all."""
    set_limit("p6", 1)

    def request(url, _):
        return mt.request(url, "POST", "/v1/clusters",
                          dict(name="once", cluster_template_id=S["template"]),
                          headers={"X-Project-Id": "p6", "Idempotency-Key": "k"}, timeout=120)
    answers = everywhere(20, request)
    check_equal({(a.status, a.json().get("uuid")) for a in answers},
                {(202, answers[0].json()["uuid"])}, "answers")
    check_equal(rows("p6"), 1, "clusters")


# ---- what clusters consist of ----
def refusal(answer):
    check_equal(answer.status, 403, "status")
    return answer.json()["errors"][0]["detail"]


def limit_of(project, resource, limit, want=201):
    S["stack"].client("POST", "/v1/quotas",
                      dict(project_id=project, resource=resource, hard_limit=limit), want=want)


def create_in(project, name, **kw):
    return mt.request(S["urls"][0], "POST", "/v1/clusters",
                      dict(dict(name=name, cluster_template_id=S["template"]), **kw),
                      headers={"X-Project-Id": project}, timeout=120)


def usage(project):
    answer = mt.request(S["urls"][0], "GET", f"/v1/quota_usage/{project}").json()
    return {u["resource"]: (u["in_use"], u["hard_limit"]) for u in answer["quota_usage"]}


def complete(answer):
    check_equal(answer.status, 202, "status")
    uuid = answer.json()["uuid"]
    wait_for(f"{uuid} to be complete", lambda: S["stack"].sql(
        f"SELECT status FROM cluster WHERE uuid = '{uuid}'") == [["CREATE_COMPLETE"]], 60)
    return uuid


def exactly_as_many_nodes_as_allowed():
    limit_of("q1", "Nodes", 10)
    answers = everywhere(50, creating("q1", "n"))
    check_equal(collections.Counter(a.status for a in answers),
                collections.Counter({202: 10, 403: 40}), "answers")
    for a in answers:
        if a.status == 403:
            check_equal(refusal(a), "Resource limit exceeded: the request needs 1 more of Nodes, and "
                        "10 of the project's 10 are in use.", "refusal")
    check_equal(usage("q1")["Nodes"], (10, 10), "usage")
    check_equal(usage("q1")["Masters"], (10, -1), "usage without a limit")
    for (uuid,) in S["stack"].sql("SELECT uuid FROM cluster WHERE project_id = 'q1' LIMIT 2"):
        mt.request(S["urls"][0], "DELETE", f"/v1/clusters/{uuid}", headers={"X-Project-Id": "q1"})
    wait_for("two to be gone", lambda: rows("q1") == 8, 60)
    check_equal(usage("q1")["Nodes"], (8, 10), "usage after two deletes")


def flavors_and_volumes_count():
    """m1.small has 1 VCPU and 2048 MB, m1.medium 2 and 4096."""
    limit_of("q2", "VCPUs", 8)
    limit_of("q2", "RAM", 12000)
    limit_of("q2", "Volumes", 50)
    kw = dict(flavor_id="m1.medium", master_flavor_id="m1.small", docker_volume_size=5)
    uuid = complete(create_in("q2", "a", node_count=2, **kw))
    check_equal({k: v for k, v in usage("q2").items() if k in ("VCPUs", "RAM", "Volumes")},
                dict(VCPUs=(5, 8), RAM=(10240, 12000), Volumes=(15, 50)), "usage")
    check_equal(refusal(create_in("q2", "b", **kw)), "Resource limit exceeded: the request needs 6144 "
                "MB more of RAM, and 10240 of the project's 12000 are in use.", "RAM")
    mt.request(S["urls"][0], "PATCH", "/v1/quotas/q2/RAM", dict(hard_limit=100000))
    check_equal(refusal(create_in("q2", "b", node_count=2, **kw)), "Resource limit exceeded: the "
                "request needs 5 more of VCPUs, and 5 of the project's 8 are in use.", "VCPUs")
    big = dict(kw, docker_volume_size=30, flavor_id="m1.small")
    check_equal(refusal(create_in("q2", "b", **big)), "Resource limit exceeded: the request needs 60 "
                "GB more of Volumes, and 15 of the project's 50 are in use.", "Volumes")
    check_equal(rows("q2"), 1, "clusters")
    check_equal(S["stack"].sql("SELECT count(*) FROM nodegroup WHERE project_id = 'q2'"), [["2"]],
                "groups of the refused ones")
    S["q2"] = uuid


def a_resize_is_within_the_quota():
    def resize(count):
        return mt.request(S["urls"][1], "POST", f"/v1/clusters/{S['q2']}/actions/resize",
                          dict(node_count=count), headers={"X-Project-Id": "q2"})

    def settled():
        return S["stack"].sql("SELECT status FROM cluster WHERE project_id = 'q2'")[0][0].endswith(
            "_COMPLETE")
    check_equal(refusal(resize(4)), "Resource limit exceeded: the request needs 4 more of VCPUs, and 5 "
                "of the project's 8 are in use.", "refusal")
    check_equal(usage("q2")["VCPUs"], (5, 8), "usage after the refusal")
    check_equal(resize(3).status, 202, "a resize with room")
    wait_for("the resize to end", settled, 60)
    mt.request(S["urls"][0], "PATCH", "/v1/quotas/q2/VCPUs", dict(hard_limit=2))
    check_equal(resize(2).status, 202, "fewer, though still above the limit")
    wait_for("the resize to end", settled, 60)
    check_equal(usage("q2")["VCPUs"], (5, 2), "usage")
    mt.request(S["urls"][0], "DELETE", "/v1/quotas/q2/VCPUs")
    check_equal(usage("q2")["VCPUs"], (5, -1), "usage without a limit")


def a_nodegroup_is_within_the_quota():
    limit_of("q2", "Nodes", 3)

    def group(name, count):
        return mt.request(S["urls"][0], "POST", f"/v1/clusters/{S['q2']}/nodegroups",
                          dict(name=name, node_count=count), headers={"X-Project-Id": "q2"})
    check_equal(refusal(group("g", 2)), "Resource limit exceeded: the request needs 2 more of Nodes, "
                "and 2 of the project's 3 are in use.", "refusal")
    made = group("g", 1)
    check_equal(made.status, 202, f"a group with room: {made}")
    check_equal(usage("q2")["Nodes"], (3, 3), "usage")
    wait_for("the group to be complete", lambda: S["stack"].sql(
        "SELECT status FROM nodegroup WHERE name = 'g'") == [["CREATE_COMPLETE"]], 60)
    mt.request(S["urls"][0], "DELETE", f"/v1/clusters/{S['q2']}/nodegroups/g",
               headers={"X-Project-Id": "q2"})
    wait_for("the group's node to be given back", lambda: usage("q2")["Nodes"] == (2, 3), 60)


def a_plan_takes_nothing():
    limit_of("q3", "Nodes", 1)
    for _ in range(2):
        answer = mt.request(S["urls"][0], "POST", "/v1/clusters?plan=true",
                            dict(name="p", cluster_template_id=S["template"]),
                            headers={"X-Project-Id": "q3"})
        check_equal(answer.status, 200, f"plan: {answer}")
    check_equal(usage("q3")["Nodes"], (0, 1), "usage")
    check_equal(create_in("q3", "c").status, 202, "the create")
    check_equal(create_in("q3", "d").status, 403, "the next one")


def other_names_are_refused_as_ever():
    answer = S["stack"].client("POST", "/v1/quotas",
                               dict(project_id="q4", resource="Bananas", hard_limit=1), want=400)
    check("Value should be one of: Cluster" in answer.json()["errors"][0]["detail"],
          f"refusal: {answer}")
    shown = S["stack"].client("GET", "/v1/quotas/q4/Cluster", want=200).json()
    check_equal(shown, dict(hard_limit=20, project_id="q4", resource="Cluster"), "default")
    shown = S["stack"].client("GET", "/v1/quotas/q4/Nodes", want=200).json()
    check_equal(shown, dict(hard_limit=-1, project_id="q4", resource="Nodes"), "default of Nodes")
    table = S["stack"].cli("quota", "usage", "q2")
    check("LoadBalancers" in table and "VCPUs" in table, f"magnum quota usage: {table}")


def main():
    with mt.Allinone() as stack:
        stack.start()
        S["stack"] = stack
        S["template"] = stack.client("POST", "/v1/clustertemplates", dict(
            name="t", coe="kubernetes", image_id="simulated", external_network_id="public",
            public=True, labels={"sim_steps": "1", "sim_step_ms": "10"}), want=201).json()["uuid"]
        port = stack.state / "second.port"
        second = stack.beside("magnum-api", "magnum-api-second.log", "api.port=0",
                              f"api.port_file={port}")
        try:
            number = wait_for("the second API to be ready", lambda: port.exists() and
                              re.fullmatch(r"\d+\n", port.read_text()) and port.read_text(), 30)
            S["urls"] = [stack.url, f"http://127.0.0.1:{number.strip()}"]
            mt.main("__main__", [
                exactly_the_limit, the_default_limit_without_a_row, projects_do_not_share_a_limit,
                none_at_all, room_is_given_once, a_repeated_request_counts_once,
                exactly_as_many_nodes_as_allowed, flavors_and_volumes_count,
                a_resize_is_within_the_quota, a_nodegroup_is_within_the_quota, a_plan_takes_nothing,
                other_names_are_refused_as_ever])
        finally:
            second.terminate()
            second.wait(60)


if __name__ == "__main__":
    main()
