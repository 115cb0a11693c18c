"""magnum top: one frame where no terminal is, and on a terminal (a pty) a live view that follows the
terminal's size, ends by q, and gives the terminal back on every way out."""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time

import magnumtest as mt
import pgmagnum
from magnumtest import check, check_equal, wait_for

S = {}
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


def environment(url=None):
    return mt.clean_env(MAGNUM_ENDPOINT=url or S["client"].url, TERM="xterm", LC_ALL="C.UTF-8")


def run(*args, url=None):
    return subprocess.run([str(mt.BIN / "magnum"), "top", *args], capture_output=True, text=True,
                          env=environment(url), stdin=subprocess.DEVNULL, timeout=60 * mt.SLOW)


def one_frame_without_a_terminal():
    for args in ((), ("--once",)):
        r = run(*args)
        check_equal((r.returncode, r.stderr), (0, ""), "exit status and errors")
        check("\x1b" not in r.stdout, f"escape codes in {r.stdout!r}")
        for part in ("slow-one", "RUNNING", "CONDUCTOR", "org.magnum.simulator", "1 operations in progress"):
            check(part in r.stdout, f"{part!r} is not in {r.stdout}")
    doc = json.loads(run("--once", "-f", "json").stdout)
    check_equal([o["cluster_name"] for o in doc["operations"]], ["slow-one"], "operations")
    check(doc["services"] and doc["drivers"], f"{doc}")


def bad_usage_and_no_service():
    check_equal(run("--interval", "0").returncode, 2, "exit status of --interval 0")
    r = run("--once", url=f"http://127.0.0.1:{mt.free_port()}")
    check_equal(r.returncode, 6, "exit status without a service")
    check("cannot reach" in r.stderr, r.stderr)


class Terminal:
    """magnum top on a terminal of its own; what it wrote."""

    def __init__(self, *args, rows=24, columns=100, url=None):
        self.out = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execve(mt.BIN / "magnum", ["magnum", "top", *args], environment(url))
            finally:
                os._exit(99)
        self.before = termios.tcgetattr(self.fd)
        self.status = None
        self.resize(rows, columns)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        while select.select([self.fd], [], [], 0)[0]:
            try:
                got = os.read(self.fd, 65536)
            except OSError:  # the other end is closed
                return self.out
            if not got:
                return self.out
            self.out += got
        return self.out

    def frame(self):
        """The newest whole frame, as lines without escape codes."""
        frames = self.read().split(b"\x1b[H")[1:-1]  # the last one may not be whole yet
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", frames[-1].decode()) if frames else ""
        return text.replace("\r", "").rstrip("\n").split("\n")

    def wait_frame(self, what, good):
        return wait_for(what, lambda: good(self.frame()) and self.frame())

    def raw(self):
        return not termios.tcgetattr(self.fd)[3] & termios.ICANON

    def ended(self):
        self.read()
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return self.status is not None

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def given_back(self, what):
        self.read()
        check(self.out.count(ENTER) == self.out.count(LEAVE) >= 1 and self.out.rstrip().endswith(LEAVE),
              f"{what}: the screen was not given back: {self.out[-200:]!r}")
        check_equal(termios.tcgetattr(self.fd)[3], self.before[3], f"{what}: the terminal's mode")


def live(*args, **kw):
    t = Terminal(*args, **kw)
    wait_for("the cluster on the screen", lambda: b"slow-one" in t.read())
    check(t.raw(), "keys are not read one by one")
    return t


def a_live_view_follows_the_terminal():
    t = live("--interval", "1")
    try:
        def percent(lines):
            return re.findall(r"(\d+)%", " ".join(lines))
        first = percent(t.wait_frame("a percentage", percent))
        t.wait_frame("progress", lambda lines: percent(lines) not in ([], first))
        t.resize(10, 40)
        t.wait_frame("a smaller frame", lambda lines: 1 < len(lines) <= 10 and max(map(len, lines)) <= 40)
        os.write(t.fd, b"q")
        wait_for("it to end", t.ended)
        check_equal(t.status, 0, "exit status after q")
        t.given_back("q")
    finally:
        t.close()


def signals_give_the_terminal_back():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGSEGV):
        t = live("--interval", "3600")
        try:
            if number == signal.SIGINT:
                os.write(t.fd, b"\x03")
            else:
                os.kill(t.pid, number)
            wait_for(f"it to end by {number}", t.ended)
            check(os.WIFSIGNALED(t.status) and os.WTERMSIG(t.status) == number, f"status {t.status}")
            t.given_back(str(number))
        finally:
            t.close()


def a_stopped_one_comes_back():
    t = live("--interval", "1")
    try:
        os.kill(t.pid, signal.SIGTSTP)
        wait_for("it to stop", lambda: mt.stat_fields(t.pid)[0] == "T")
        t.given_back("a stop")
        os.kill(t.pid, signal.SIGCONT)
        wait_for("the screen to be taken again", lambda: t.read().count(ENTER) == 2 and t.raw())
        os.write(t.fd, b"q")
        wait_for("it to end", t.ended)
        t.given_back("q after a stop")
    finally:
        t.close()


def a_service_that_is_away_is_told():
    t = Terminal("--interval", "1", url=f"http://127.0.0.1:{mt.free_port()}")
    try:
        t.wait_frame("why", lambda lines: any("cannot reach" in x for x in lines))
        os.write(t.fd, b"q")
        wait_for("it to end", t.ended)
        t.given_back("q")
    finally:
        t.close()


def a_service_that_hangs_holds_nobody():
    import socket
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        t = Terminal("--interval", "1", url=f"http://127.0.0.1:{deaf.getsockname()[1]}")
        try:
            deaf.accept()  # the question is there, and will not be answered
            t.wait_frame("a frame", lambda lines: any("asking" in x for x in lines))
            begin = time.monotonic()
            os.write(t.fd, b"q")
            wait_for("it to end", t.ended, 20)
            check_equal(t.status, 0, f"exit status after {time.monotonic() - begin:.1f} s")
            t.given_back("q")
        finally:
            t.close()


def main():
    with tempfile.TemporaryDirectory(prefix="mgs-") as d, pgmagnum.one_server(pathlib.Path(d)) as server:
        with pgmagnum.magnum(pathlib.Path(d), server.connection()) as (S["client"], _):
            client = S["client"]
            client.create("slow-one", client.simulator("slow", steps=1000, step_ms=300))
            wait_for("it to be at work", lambda: client.operations()[0]["percent"] > 0)
            mt.main("__main__", [one_frame_without_a_terminal, bad_usage_and_no_service,
                                 a_live_view_follows_the_terminal, signals_give_the_terminal_back,
                                 a_stopped_one_comes_back, a_service_that_is_away_is_told,
                                 a_service_that_hangs_holds_nobody])


if __name__ == "__main__":
    main()
