"""Hard limits under parallel creates: two API processes on one database, a hundred clients at the same
time, and exactly as many clusters as the limit allows, whatever comes to an end meanwhile."""
import collections
import re
import threading

import magnumtest as mt
from magnumtest import check_equal, wait_for

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
                none_at_all, room_is_given_once, a_repeated_request_counts_once])
        finally:
            second.terminate()
            second.wait(60)


if __name__ == "__main__":
    main()
