"""Fair shares: one tenant's thousand creates, and another tenant's one after them. What is checked are
counts of what the flood has finished by then, never times. Requests of one tenant that wait, too."""
import collections
import concurrent.futures
import contextlib
import re
import subprocess

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

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
    """How many of the flood had ended when that project's operation did, by the database's clock."""
    wait_for(f"the create of {project} to end", lambda: done(project), 120)
    return int(S["stack"].sql(
        "SELECT count(*) FROM operation f, operation o WHERE f.project_id = 'flood' AND o.project_id"
        f" = '{project}' AND f.finished_at <= o.finished_at")[0][0])


def one_create_does_not_wait_for_a_thousand():
    slow = template("slow", steps=4, step_ms=50)
    creates("flood", slow, [f"f{i}" for i in range(FLOOD)])
    before = done("flood")
    check(before < FLOOD * 9 // 10, f"the flood was over ({before}) before anybody else came")
    for tenant in ("one", "two"):
        creates(tenant, slow, [tenant])
    for tenant in ("one", "two"):
        passed = flood_done_when_first_is(tenant) - before
        check(passed < FLOOD // 10, f"{passed} of the flood ended before the create of {tenant}")
        print(f"{tenant}: {passed} of {FLOOD - before} of the flood ended before its create did")


def the_flood_goes_on():
    """Nobody took its place for good, and what has ended has ended well."""
    before = done("flood")
    wait_for("more of the flood to end", lambda: done("flood") > min(before + 20, FLOOD - 1), 120)
    check(done("flood", "finished_at IS NOT NULL AND status <> 'SUCCEEDED'") == 0,
          "some of the flood failed")


@contextlib.contextmanager
def small_api():
    """A second API: three threads for requests that wait, and two may wait for them."""
    port = S["stack"].state / "small.port"
    process = S["stack"].beside("magnum-api", "magnum-api-small.log", "api.port=0",
                                f"api.port_file={port}", "api.wait_threads=3",
                                "api.project_requests=2")
    try:
        number = wait_for("the small API to be ready", lambda: port.exists() and
                          re.fullmatch(r"\d+\n", port.read_text()) and port.read_text(), 30)
        yield f"http://127.0.0.1:{number.strip()}"
    finally:
        process.terminate()
        process.wait(60)


@contextlib.contextmanager
def locked(template):
    """Creates from this template wait, until the block ends."""
    psql = subprocess.Popen([mt.PSQL, "-qAtX", S["stack"].connection()], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)
    try:
        psql.stdin.write("BEGIN; SELECT 'locked' FROM cluster_template WHERE uuid = "
                         f"'{template}' FOR UPDATE;\n")
        psql.stdin.flush()
        check_equal(psql.stdout.readline(), "locked\n", "the lock")
        yield
    finally:
        psql.communicate("ROLLBACK;\n", timeout=60)


def requests_that_wait_leave_threads_to_others():
    """Of eight creates of one project two are at work, two wait for their turn and four are refused;
    another project's is accepted meanwhile."""
    held, free = template("held", steps=1, step_ms=10), template("free", steps=1, step_ms=10)

    def create(url, project, template, name):
        return mt.request(url, "POST", "/v1/clusters", dict(name=name, cluster_template_id=template),
                          headers={"X-Project-Id": project}, timeout=120)
    with small_api() as url, concurrent.futures.ThreadPoolExecutor(8) as pool:
        with locked(held):
            asked = [pool.submit(create, url, "full", held, f"w{i}") for i in range(8)]
            wait_for("four to be refused", lambda: sum(f.done() for f in asked) == 4)
            check_equal(create(url, "beside", free, "b").status, 202, "another project's create")
            for answer in (f.result() for f in asked if f.done()):
                check_equal(answer.status, 429, f"status of {answer}")
                check_equal(answer.headers.get("retry-after"), "1", "Retry-After")
                check_equal(answer.json()["errors"][0]["status"], 429, "document")
        check_equal(collections.Counter(f.result().status for f in asked),
                    collections.Counter({202: 4, 429: 4}), "answers")
        check_equal(create(url, "full", held, "again").status, 202, "the next one")


def main():
    with mt.Allinone(options=["--set", "quotas.max_clusters_per_project=5000",
                              "--set", "conductor.health_interval_s=0"]) as stack:
        stack.start()
        S["stack"] = stack
        mt.main("__main__", [requests_that_wait_leave_threads_to_others,
                             one_create_does_not_wait_for_a_thousand, the_flood_goes_on])


if __name__ == "__main__":
    main()
