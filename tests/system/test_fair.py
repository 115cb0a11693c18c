"""Fair shares: one tenant's thousand creates, and another tenant's one after them. What is checked are
counts of what the flood has finished by then, never times."""
import concurrent.futures

import magnumtest as mt
from magnumtest import check, wait_for

FLOOD = 1000
S = {}


def creates(project, template, names):
    def one(name):
        answer = mt.request(S["stack"].url, "POST", "/v1/clusters",
                            dict(name=name, cluster_template_id=template),
                            headers={"X-Project-Id": project}, timeout=120)
        check(answer.status == 202, f"create of {name}: {answer}")
        return answer.json()["uuid"]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(one, names))


def template(name, **labels):
    return S["stack"].client("POST", "/v1/clustertemplates", dict(
        name=name, coe="kubernetes", image_id="simulated", external_network_id="public",
        public=True, labels={f"sim_{k}": str(v) for k, v in labels.items()}), want=201).json()["uuid"]


def done(project, sql="finished_at IS NOT NULL"):
    return int(S["stack"].sql("SELECT count(*) FROM operation WHERE "
                              f"project_id = '{project}' AND {sql}")[0][0])


def flood_done_when_first_is(project):
    """How many of the flood ended between that project's accepted create and its end, by the
    database's clock: what passes before, while this test asks for it, is nobody's wait."""
    wait_for(f"the create of {project} to end", lambda: done(project), 120)
    return int(S["stack"].sql(
        "SELECT count(*) FROM operation f, operation o WHERE f.project_id = 'flood' AND o.project_id"
        f" = '{project}' AND f.finished_at BETWEEN o.created_at AND o.finished_at")[0][0])


def one_create_does_not_wait_for_a_thousand():
    slow = template("slow", steps=4, step_ms=50)
    for n in range(5):  # the flood may be over when this test comes to ask: then another one
        creates("flood", slow, [f"f{n}-{i}" for i in range(FLOOD)])
        tenants = [f"{t}{n}" for t in ("one", "two")]
        for tenant in tenants:
            creates(tenant, slow, [tenant])
        passed = [flood_done_when_first_is(tenant) for tenant in tenants]
        left = waiting_behind(tenants[-1])
        print(f"{passed} of the flood ended before the creates that came later, {left} after both came")
        if left >= FLOOD // 5:
            break
    check(left >= FLOOD // 5, f"the flood was over ({left}) whenever anybody else came")
    check(max(passed) < FLOOD // 10, f"{passed} of the flood ended before the creates that came later")


def waiting_behind(project):
    """How many of the flood were still to be done when that project's create was accepted."""
    return int(S["stack"].sql(
        "SELECT count(*) FROM operation f, operation o WHERE f.project_id = 'flood' AND o.project_id"
        f" = '{project}' AND (f.finished_at IS NULL OR f.finished_at > o.created_at)")[0][0])


def the_flood_goes_on():
    """Nobody took its place for good, and what has ended has ended well."""
    before = done("flood")
    wait_for("more of the flood to end", lambda: done("flood") > min(before + 20, FLOOD - 1), 120)
    check(done("flood", "finished_at IS NOT NULL AND status <> 'SUCCEEDED'") == 0,
          "some of the flood failed")


def main():
    with mt.Allinone(options=["--set", "quotas.max_clusters_per_project=5000",
                              "--set", "conductor.health_interval_s=0"]) as stack:
        stack.start()
        S["stack"] = stack
        mt.main("__main__", [one_create_does_not_wait_for_a_thousand, the_flood_goes_on])


if __name__ == "__main__":
    main()
