"""Turns of requests in the API: a project's that wait for somebody get their share of the threads, fewer of
any kind run while another project asks as well, and a turn that nobody takes any more is given on."""
import base64
import collections
import concurrent.futures
import contextlib
import itertools
import json
import re
import socket
import subprocess

import magnumtest as mt
from magnumtest import check_equal, wait_for

S = {}


def template(name, **labels):
    return S["stack"].client("POST", "/v1/clustertemplates", dict(
        name=name, coe="kubernetes", image_id="simulated", external_network_id="public",
        public=True, labels={f"sim_{k}": str(v) for k, v in labels.items()}), want=201).json()["uuid"]


@contextlib.contextmanager
def another_api(*options, threads=3):
    """With so many threads for requests that wait; of three a project has two."""
    S["apis"] = S.get("apis", 0) + 1
    port = S["stack"].state / f"another{S['apis']}.port"
    process = S["stack"].beside("magnum-api", f"magnum-api-{S['apis']}.log", "api.port=0",
                                f"api.port_file={port}", f"api.wait_threads={threads}",
                                "database.statement_timeout_ms=120000", *options)
    try:
        wait_for("the API to be ready", lambda: port.exists() and port.read_text().endswith("\n"), 30)
        yield f"http://127.0.0.1:{port.read_text().strip()}"
    finally:
        process.terminate()
        process.wait(60)


@contextlib.contextmanager
def locked(what):
    """What needs this lock waits, until the block ends."""
    psql = subprocess.Popen([mt.PSQL, "-qAtX", S["stack"].connection()], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)
    try:
        psql.stdin.write(f"BEGIN; {what}; SELECT 'locked';\n")
        psql.stdin.flush()
        check_equal(psql.stdout.readline(), "locked\n", "the lock")
        yield
    finally:
        psql.communicate("ROLLBACK;\n", timeout=60)


def of_template(uuid):
    """Of creates."""
    return f"DO $$ BEGIN PERFORM FROM cluster_template WHERE uuid = '{uuid}' FOR UPDATE; END $$"


def at_work(what):
    """Statements of that text that wait for a lock."""
    return int(S["stack"].sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                              f" AND query LIKE '%{what}%'")[0][0])


def create(url, project, template, name):
    return mt.request(url, "POST", "/v1/clusters", dict(name=name, cluster_template_id=template),
                      headers={"X-Project-Id": project}, timeout=120)


def requests_that_wait_leave_threads_to_others():
    """Of eight creates of one project two are at work, two wait for their turn and four are refused;
    another project's is accepted meanwhile."""
    held, free = template("held", steps=1, step_ms=10), template("free", steps=1, step_ms=10)
    with another_api("api.project_requests=2") as url, concurrent.futures.ThreadPoolExecutor(8) as pool:
        with locked(of_template(held)):
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


def two_are_at_work():
    wait_for("two creates to wait for the template", lambda: at_work("cluster_template") >= 2, 30)


def a_turn_that_nobody_takes_is_given_on():
    """Two requests wait for their turn while the credentials they came with end: they are refused, and
    the threads that were kept for them are there for the next ones."""
    held, users = template("kept", steps=1, step_ms=10), S["stack"].state / "users"

    def write(*names):
        fresh = users.with_suffix(".new")  # password "pw"
        fresh.write_text("".join(f"{n}:$2b$04$abcdefghijklmnopqrstuuyvPXIbu7xe6/CED2DzX8z6Si09MlzlW:"
                                 "kept:member\n" for n in names))
        fresh.chmod(0o600)
        fresh.replace(users)
    write("stays", "goes")
    with another_api("api.project_requests=2", "auth.strategy=http_basic",
                     f"auth.http_basic_file={users}") as url, \
            concurrent.futures.ThreadPoolExecutor(8) as pool:
        def create_as(user, name):
            word = base64.b64encode(f"{user}:pw".encode()).decode()
            return mt.request(url, "POST", "/v1/clusters", dict(name=name, cluster_template_id=held),
                              headers={"Authorization": f"Basic {word}"}, timeout=120).status
        with locked(of_template(held)):
            first = [pool.submit(create_as, "stays", f"s{i}") for i in range(2)]
            two_are_at_work()
            asked = [pool.submit(create_as, "goes", f"g{i}") for i in range(6)]
            wait_for("four to be refused", lambda: sum(f.done() for f in asked) == 4)
            write("stays")
        check_equal([f.result() for f in first], [202, 202], "those at work")
        check_equal(collections.Counter(f.result() for f in asked),
                    collections.Counter({401: 2, 429: 4}), "those whose credentials ended")
        check_equal([create_as("stays", f"n{i}") for i in range(3)], [202] * 3, "the next ones")


def clients_that_leave_keep_no_thread():
    """Their requests were waiting for a turn; some of their connections end without a word to anybody."""
    held = template("left", steps=1, step_ms=10)
    with another_api("api.project_requests=0") as url, \
            concurrent.futures.ThreadPoolExecutor(2) as pool:
        def create_one(name):
            return create(url, "left", held, name).status

        def open_connections():
            text = mt.request(url, "GET", "/metrics").body.decode()
            return int(re.search(r"^magnum_http_connections (\d+)$", text, re.M).group(1))
        with locked(of_template(held)):
            first = [pool.submit(create_one, f"s{i}") for i in range(2)]
            two_are_at_work()
            host, port = url.removeprefix("http://").split(":")
            clients = [socket.create_connection((host, int(port))) for _ in range(20)]
            body = json.dumps(dict(name="gone", cluster_template_id=held))
            for c in clients:
                c.sendall(f"POST /v1/clusters HTTP/1.1\r\nHost: {host}\r\nX-Project-Id: left\r\n"
                          "Content-Type: application/json\r\n"
                          f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
            for c in clients:
                c.close()
            wait_for("their connections to end", lambda: open_connections() == 3)  # with its own
        check_equal([f.result() for f in first], [202, 202], "those at work")
        check_equal([create_one(f"n{i}") for i in range(3)], [202] * 3, "the next ones")


def refused_of_nine(url, held, project):
    """Nine creates that can't go on: those at work and two that wait hang, the others are refused."""
    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        with locked(of_template(held)):
            asked = [pool.submit(create, url, project, held, f"{project}{i}") for i in range(9)]
            wait_for("nine requests to be at work, waiting or refused", lambda: sum(
                f.done() for f in asked) + 2 + at_work("cluster_template") == 9)
        return sum(f.result().status == 429 for f in asked)


def who_is_not_alone_has_fewer_at_work():
    """Of eight threads a project alone has six, and one while another one asks as well."""
    held, free = template("held2", steps=1, step_ms=10), template("free2", steps=1, step_ms=10)
    two = "api.project_requests=2", "api.project_contended_ms=3600000"
    with another_api(*two, "api.project_contended=1", threads=8) as url:
        check_equal(refused_of_nine(url, held, "alone"), 1, "refused of nine: 6 at work, 2 wait")
        check_equal(create(url, "beside", free, "b2").status, 202, "another project's create")
        check_equal(refused_of_nine(url, held, "beset"), 6, "refused of nine: 1 at work, 2 wait")
    with another_api(*two, "api.project_contended=0", threads=8) as url:
        check_equal(create(url, "beside", free, "b3").status, 202, "another project's create")
        check_equal(refused_of_nine(url, held, "free"), 1, "refused of nine without that limit")


def set_aside(url, what):
    """A read that hangs holds its thread, and the connections that came to it: asked until one came to
    another thread, each time with a little more patience."""
    for n in itertools.count(1):
        with contextlib.suppress(OSError):
            text = mt.request(url, "GET", "/metrics", timeout=min(0.5 * n, 10)).body.decode()
            break
    return int(re.search(rf'^magnum_http_requests_set_aside{{what="{what}"}} (\d+)$', text, re.M)[1])


def reads_of_who_is_not_alone_have_turns():
    """Of many reads of one project one is at work while another project asks as well; so is one of the
    other's, and all are answered. What comes to the thread that is at work has to wait for it, so readers
    come until enough have met another one."""
    asked, listing = [], "d.masters FROM (SELECT"
    with another_api("api.project_contended_ms=3600000") as url, \
            concurrent.futures.ThreadPoolExecutor(1000) as pool:
        def read(project):
            return mt.request(url, "GET", "/v1/clusters?limit=1", headers={"X-Project-Id": project},
                              timeout=120).status

        def readers_until(project, enough):
            asked.append(pool.submit(read, project))
            return enough()
        check_equal(read("beside"), 200, "another project's read")
        with locked("LOCK TABLE cluster"):
            wait_for("reads to be set aside",
                     lambda: readers_until("reader", lambda: set_aside(url, "reads") >= 3))
            wait_for("the first one to be at work", lambda: at_work(listing) > 0)
            check_equal(at_work(listing), 1, "reads at work")
            wait_for("a read of the other project to be at work",
                     lambda: readers_until("beside", lambda: at_work(listing) == 2))
        check_equal({f.result() for f in asked}, {200}, "answers")
        check_equal(set_aside(url, "reads"), 0, "set aside at the end")
        print(f"{len(asked)} reads answered")


def main():
    with mt.Allinone(options=["--set", "conductor.health_interval_s=0"]) as stack:
        stack.start()
        S["stack"] = stack
        mt.main("__main__", [reads_of_who_is_not_alone_have_turns, who_is_not_alone_has_fewer_at_work,
                             a_turn_that_nobody_takes_is_given_on, clients_that_leave_keep_no_thread,
                             requests_that_wait_leave_threads_to_others])


if __name__ == "__main__":
    main()
