"""Signals to running services: SIGUSR1 writes what a process holds into its log, SIGHUP takes a new
log level and keeps the old one when the file is wrong."""
import os
import pathlib
import re
import signal
import tempfile

import magnumtest as mt
import pgmagnum
from magnumtest import check, check_equal, wait_for

S = {}


def log(program):
    return (S["top"] / f"{program}.log").read_text(errors="replace")


def heard(program, text, after=0):
    return wait_for(f"{text!r} in the log of {program}",
                    lambda: text in log(program)[after:] and log(program)[after:])


def a_dump_tells_what_is_held():
    client = S["client"]
    slow = client.simulator("slow", steps=1000, step_ms=100)
    cluster = client.create("c", slow)
    conductor = S["pids"]["magnum-conductor"]
    wait_for("the driver to be at it", lambda: mt.children(conductor, "magnum-driver-host"))
    os.kill(conductor, signal.SIGUSR1)
    text = heard("magnum-conductor", "dump.child")
    operation = client.operations(cluster)[0]["id"]
    for part in (f"operation {operation} create of cluster {cluster}", "database connections", "worker threads",
                 "magnum-driver-h"):
        check(part in text, f"{part!r} is not in {text[-3000:]}")
    os.kill(S["pids"]["magnum-api"], signal.SIGUSR1)
    heard("magnum-api", "database connections")


def send(pid, number):
    """Returns when the process has taken the signal: it serves them one after the other."""
    os.kill(pid, number)

    def taken():
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        pending = int(re.search(r"^ShdPnd:\s*(\w+)", status, re.M)[1], 16)
        return not pending & 1 << (number - 1)
    wait_for("the signal to be taken", taken)


def the_log_level_changes():
    for program, pid in S["pids"].items():
        config = S["top"] / f"{program}.yaml"
        good = config.read_text()

        def level(word):
            config.write_text(f'{good[:-1]}, "log": {{"level": "{word}"}}}}')
            send(pid, signal.SIGHUP)
        level("nonsense")
        heard(program, "service.reload")
        before = len(log(program))
        level("error")
        send(pid, signal.SIGUSR1)  # says nothing: a dump is information
        level("info")
        send(pid, signal.SIGUSR1)
        text = heard(program, "database connections", before)
        check_equal(text.count("database connections"), 1, f"dumps in {text}")


def main():
    with tempfile.TemporaryDirectory(prefix="mgs-") as d, pgmagnum.one_server(pathlib.Path(d)) as server:
        S["top"] = pathlib.Path(d)
        with pgmagnum.magnum(S["top"], server.connection()) as (S["client"], S["template"]):
            S["pids"] = {p: mt.children(os.getpid(), p)[0] for p in ("magnum-conductor", "magnum-api")}
            mt.main("__main__", [a_dump_tells_what_is_held, the_log_level_changes])


if __name__ == "__main__":
    main()
