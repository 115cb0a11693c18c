"""Lists that come from a streaming replica: nobody can tell. What one API has accepted the list of
another one shows at once, whether the replica keeps up, stands still, hangs, is dead or was promoted."""
import contextlib
import os
import pathlib
import signal
import tempfile
import threading

import magnumtest as mt
import pgmagnum
from magnumtest import check, check_equal, wait_for

S = {}


def reads():
    """How many lists of clusters the replica has run."""
    return sum(" cluster c" in line and " LIMIT " in line
               for line in S["b"].log.read_text(errors="replace").splitlines())


def create_and_list(n):
    """Each cluster is in the other API's list as soon as it is accepted."""
    for i in range(n):
        uuid = S["one"].create("c", S["template"])
        there = S["two"]("GET", "/v1/clusters?sort_key=created_at&sort_dir=desc&limit=1000", want=200).json()
        check(uuid in [c["uuid"] for c in there["clusters"]], f"{uuid} was accepted and is not in the list")


def said(text):
    return text in (S["top"] / "two.log").read_text()


def one_reads_what_the_other_wrote():
    before, errors = reads(), []

    def run():
        try:
            create_and_list(15)
        except Exception as e:  # seen by the thread that waits
            errors.append(e)
    threads = [threading.Thread(target=run) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check_equal(errors, [], "errors")
    wait_for("lists to come from the replica", lambda: S["two"].clusters() and reads() > before)
    shown = S["one"].clusters()[0]["uuid"]
    check_equal(S["two"].show(shown)["uuid"], shown, "a show")
    check_equal(S["b"].log.read_text(errors="replace").count("WHERE c.uuid = "), 0, "shows from the replica")


def it_stands_still():
    S["b"].sql("SELECT pg_wal_replay_pause()")
    try:
        wait_for("replay to stand still",
                 lambda: S["b"].sql("SELECT pg_get_wal_replay_pause_state()") == ["paused"])
        create_and_list(10)
        wait_for("the log to say why", lambda: said("lists come from the primary: the replica is more than"))
    finally:
        S["b"].sql("SELECT pg_wal_replay_resume()")
    back_again()


def back_again():
    before = reads()
    wait_for("lists to come from the replica again", lambda: S["two"].clusters() and reads() > before, 60)
    create_and_list(5)


def it_hangs():
    pid = S["b"].pid()
    mine = [pid, *mt.children(pid)]
    for p in mine:
        os.kill(p, signal.SIGSTOP)
    try:
        create_and_list(10)
    finally:
        for p in mine:
            with contextlib.suppress(ProcessLookupError):
                os.kill(p, signal.SIGCONT)
    back_again()


def it_is_dead():
    S["b"].kill()
    create_and_list(10)
    wait_for("the replica to start", lambda: S["b"].start() or True)
    back_again()


def it_was_promoted():
    """Its data go another way from then on: nothing is read from it any more."""
    S["b"].run("pg_ctl", "--wait", "-D", S["b"].data, "promote")
    create_and_list(3)
    before = reads()
    create_and_list(10)
    check_equal(reads(), before, "lists from a server that is no replica")
    wait_for("the log to say so", lambda: S["two"].clusters() and said("the server it names is no replica"))


def main():
    with tempfile.TemporaryDirectory(prefix="mgv-") as d, contextlib.ExitStack() as stack:
        top = S["top"] = pathlib.Path(d)
        top.chmod(0o755)
        S["a"], S["b"] = pgmagnum.pair(top, synchronous=False, standby="log_statement = 'all'\n")
        stack.callback(S["a"].stop)
        stack.callback(S["b"].stop)
        connection = S["a"].connection()
        replica = {"database": {"replica_connection": S["b"].connection(), "replica_retry_ms": 100}}
        S["one"], S["template"] = stack.enter_context(pgmagnum.magnum(top, connection, **replica))
        S["two"] = stack.enter_context(pgmagnum.api(top, connection, "two", **replica))
        mt.main("__main__", [one_reads_what_the_other_wrote, it_stands_still, it_hangs, it_is_dead,
                             it_was_promoted])


if __name__ == "__main__":
    main()
