"""A rolling restart of every process under load: two APIs behind haproxy as docs/deployment.md has
them, two conductors. Reads, creates and calls that a conductor answers go on all the time, and none
of them fails."""
import contextlib
import os
import pathlib
import signal
import tempfile
import threading

import magnumtest as mt
from balanced import Api, Caller, calling, haproxy, more, times_ready
from magnumtest import check_equal, wait_for

S = {}


def launch(name, options):
    options = {"api.port_file": f"{options['api.unix_socket']}.port", **options}  # not that of the stack's own
    return S["stack"].beside("magnum-api", f"{name}.log", *(f"{k}={v}" for k, v in options.items()))


@contextlib.contextmanager
def load(client, cluster):
    made, ended = [], threading.Event()

    def create():
        made.append(client.create("c", S["template"]))
    calls = {"list": lambda: client("GET", "/v1/clusters?limit=20", want=200),
             "show": lambda: client("GET", f"/v1/clusters/{cluster}", want=200),
             "create": create,
             "certificate": lambda: client("GET", f"/v1/certificates/{cluster}", want=200)}
    with calling([Caller(name, call, ended) for name, call in calls.items()], ended) as callers:
        yield callers
    for uuid in made:
        S["stack"].client.wait_status(uuid, "CREATE_COMPLETE", 120)


def apis_are_restarted():
    with load(S["client"], S["cluster"]) as callers:
        for api in S["apis"]:
            more(callers)
            api.replace()
        more(callers)


def ready(log):
    return times_ready(S["stack"].state / "log" / log)


def conductors_are_restarted():
    stack = S["stack"]
    with load(S["client"], S["cluster"]) as callers:
        for _ in range(2):
            more(callers)
            before = ready("second.log")
            second = stack.beside("magnum-conductor", "second.log", "conductor.host=second")
            wait_for("the second conductor to be ready", lambda: ready("second.log") > before)
            more(callers)
            before = ready("magnum-conductor.log")
            os.kill(stack.child("magnum-conductor"), signal.SIGTERM)  # magnum-allinone starts it again
            wait_for("the first conductor to be ready again",
                     lambda: ready("magnum-conductor.log") > before, 60)
            more(callers)
            second.terminate()
            check_equal(second.wait(180 * mt.SLOW), 0, "exit status of the second conductor")


def main():
    with tempfile.TemporaryDirectory(prefix="mgr-") as d, contextlib.ExitStack() as stack:
        top = pathlib.Path(d)
        top.chmod(0o755)
        S["stack"] = stack.enter_context(mt.Allinone(
            options=["--set", "quotas.max_clusters_per_project=1000000"])).start()
        S["apis"] = [Api(top, "api1", launch), Api(top, "api2", launch)]
        for api in S["apis"]:
            api.start()
            stack.callback(api.kill)
        S["client"] = stack.enter_context(haproxy(top, S["apis"]))
        S["template"] = S["stack"].client.simulator("t", steps=2, step_ms=50)
        S["cluster"] = S["stack"].client.create("first", S["template"])
        S["stack"].client.wait_status(S["cluster"], "CREATE_COMPLETE")
        mt.main("__main__", [apis_are_restarted, conductors_are_restarted])


if __name__ == "__main__":
    main()
