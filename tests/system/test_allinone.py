"""magnum-allinone: starts, stops, starts again; what goes wrong costs one clear line."""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import tempfile

import magnumtest as mt
from magnumtest import check, check_equal, wait_for


def run_to_end(state, *options, timeout=60):
    """(exit status, standard error) of a magnum-allinone that is expected to give up."""
    r = subprocess.run([str(mt.BIN / "magnum-allinone"), "--state-dir", str(state), *options],
                       capture_output=True, text=True, timeout=timeout * mt.SLOW,
                       env=mt.clean_env())
    return r.returncode, r.stderr


def one_clear_line(stderr, *words):
    lines = stderr.splitlines()
    check_equal(len(lines), 1, f"lines on standard error ({stderr})")
    for word in words:
        check(word in lines[0], f"'{word}' is not in: {lines[0]}")


@contextlib.contextmanager
def small_disk(megabytes):
    top = tempfile.mkdtemp(prefix="mgt-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=711", "tmpfs", top],
                   check=True)
    try:
        yield pathlib.Path(top)
    finally:
        subprocess.run(["umount", "-l", top], check=True)
        os.rmdir(top)


def starts_stops_and_starts_again():
    with mt.Allinone() as a:
        a.start()
        check_equal(a.client("GET", "/healthcheck").status, 200, "healthcheck")
        template = a.client.template("kept")
        check_equal(a.stop(), 0, "exit status after SIGTERM")
        check_equal(mt.left_behind([str(a.state)]), [], "left behind after the stop")
        a.start()
        names = [t["uuid"] for t in a.client("GET", "/v1/clustertemplates").json()["clustertemplates"]]
        check_equal(names, [template], "templates after the second start")
        a.process.send_signal(signal.SIGINT)
        check_equal(a.process.wait(60), 0, "exit status after Ctrl-C")
        check("Stopped" in a.text(), "it says that it stopped")


def the_socket_is_private():
    with mt.Allinone() as a:
        a.start()
        run = a.state / "run"
        check_equal(run.stat().st_mode & 0o777, 0o700, "mode of the socket's directory")
        postgres = a.child("postgres")
        check(os.stat(f"/proc/{postgres}").st_uid == run.stat().st_uid, "owner of the socket")
        if os.geteuid() == 0:
            check(run.stat().st_uid != 0, "PostgreSQL does not run as root")
        tcp = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True).stdout
        check(f"pid={postgres}," not in tcp, "PostgreSQL listens on no port")


def a_second_instance_is_refused():
    with mt.Allinone() as a:
        a.start()
        status, err = run_to_end(a.state, "--port", "0")
        check_equal(status, 1, "exit status")
        one_clear_line(err, "already runs", str(a.process.pid))
        check_equal(a.client("GET", "/healthcheck").status, 200, "the first one goes on")


def a_taken_port_is_named():
    with socket.socket() as s, tempfile.TemporaryDirectory(prefix="mgt-") as state:
        os.chmod(state, 0o711)
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        status, err = run_to_end(state, "--port", str(port))
        check_equal(status, 1, "exit status")
        one_clear_line(err, str(port), "--port")


def bad_configuration_is_named():
    with tempfile.TemporaryDirectory(prefix="mgt-") as state:
        os.chmod(state, 0o711)
        config = pathlib.Path(state) / "c.yaml"
        config.write_text("api:\n  prot: 1\n")
        status, err = run_to_end(state, "--config", str(config))
        check_equal(status, 1, "exit status")
        one_clear_line(err, "c.yaml:2", "api.port")
        status, err = run_to_end(state, "--set", "api.threads=many")
        one_clear_line(err, "api.threads")
        status, err = run_to_end(state, "--config", "/nonexistent.yaml")
        one_clear_line(err, "/nonexistent.yaml")
        status, _ = run_to_end(state, "--nonsense")
        check_equal(status, 2, "exit status of a usage error")


def a_configuration_its_children_refuse_is_named():
    with tempfile.TemporaryDirectory(prefix="mgt-") as state:
        os.chmod(state, 0o711)
        status, err = run_to_end(state, "--port", "0", "--set", "auth.strategy=http_basic",
                                 "--set", "auth.http_basic_file=/nonexistent")
        check_equal(status, 1, "exit status")
        one_clear_line(err, "magnum-api did not start", "/nonexistent")


def a_small_disk_is_found_before_anything_is_made():
    with small_disk(30) as top:
        status, err = run_to_end(top, "--port", "0")
        check_equal(status, 1, "exit status")
        one_clear_line(err, "not enough room", str(top))
        check(not (top / "pg").exists(), "no half-made database")


def a_disk_that_fills_up_costs_a_503_not_the_service():
    with small_disk(140) as top:
        with mt.Allinone(top) as a:
            a.start()
            template = a.client.template("t")
            fill = top / "fill"
            with contextlib.suppress(OSError), open(fill, "wb") as f:
                while True:
                    f.write(b"\0" * 65536)
                    f.flush()
            status = set()

            def refused():
                r = a.client("POST", "/v1/clustertemplates", dict(
                    name="x" * 200, coe="swarm", server_type="local", image_id="linux",
                    labels={"l": "v" * 20000}, external_network_id="public"))
                status.add(r.status)
                return r.status >= 500
            wait_for("a full disk to be noticed", refused, 60)
            check(status <= {201, 500, 503, 504, 507}, f"answers while the disk is full: {status}")
            fill.unlink()
            wait_for("the service to accept again", lambda: a.client(
                "POST", "/v1/clustertemplates", dict(
                    name="after", coe="swarm", server_type="local", image_id="linux",
                    external_network_id="public")).status == 201, 60)
            check_equal(a.client("GET", f"/v1/clustertemplates/{template}").status, 200,
                        "what was there before")
            check_equal(a.stop(), 0, "exit status")


def each_child_is_started_again():
    with mt.Allinone() as a:
        a.start()
        for program in ("magnum-api", "magnum-conductor", "postgres"):
            old = a.child(program)
            os.kill(old, signal.SIGKILL)
            wait_for(f"another {program}", lambda p=program, o=old: a.child(p) not in (None, o))
            wait_for(f"the API to answer after {program} was killed",
                     lambda: a.client("GET", "/v1/clusters").status == 200)
        wait_for("the conductor to be up", lambda: [
            s for s in a.client("GET", "/v1/mservices").json()["mservices"] if s["state"] == "up"])
        check_equal(a.stop(), 0, "exit status")


def nothing_outlives_a_kill():
    with mt.Allinone() as a:
        a.start()
        template = a.client.template("kept")
        a.kill()
        wait_for("nothing to be left", lambda: not mt.left_behind([str(a.state)]), 30)
        a.start()
        check_equal(a.client("GET", f"/v1/clustertemplates/{template}").status, 200,
                    "a template from before the kill")


def a_deep_state_directory_works():
    with tempfile.TemporaryDirectory(prefix="mgt-") as top:
        os.chmod(top, 0o711)
        deep = pathlib.Path(top) / ("d" * 120)
        deep.mkdir(mode=0o711)
        with mt.Allinone(deep) as a:
            a.start()
            record = pathlib.Path((deep / "socket-dir").read_text())
            check_equal(a.sql("SELECT 1"), [["1"]], "a query through the short socket")
            a.stop()
            a.start()
            check_equal(pathlib.Path((deep / "socket-dir").read_text()), record, "the same again")
            a.stop()
        mt.remove_state(deep)
        check(not record.exists(), "the short directory is gone")


def works_without_root():
    if os.geteuid() != 0:
        return  # the other cases ran without root already
    with tempfile.TemporaryDirectory(prefix="mgt-") as top:
        os.chown(top, 65534, 65534)
        state = pathlib.Path(top) / "state"
        out = open(pathlib.Path(top) / "out", "wb")
        env = mt.clean_env(HOME=top)
        p = subprocess.Popen(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                              str(mt.BIN / "magnum-allinone"), "--state-dir", str(state), "--port",
                              "0"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env)
        try:
            port = wait_for("the API", lambda: p.poll() is None and (state / "env.sh").exists()
                            and (state / "api.port").read_text().strip(), 60)
            client = mt.Client(f"http://127.0.0.1:{port}")
            check_equal(client("GET", "/v1/clusters").status, 200, "list")
        finally:
            p.terminate()
            status = p.wait(60)
            out.close()
        check_equal(status, 0, "exit status")


def works_from_where_it_is_installed():
    with tempfile.TemporaryDirectory(prefix="mgt-") as prefix:
        os.chmod(prefix, 0o755)
        subprocess.run(["cmake", "--install", str(mt.BUILD), "--prefix", prefix], check=True,
                       stdout=subprocess.DEVNULL)
        with mt.Allinone() as a:
            a.bin = pathlib.Path(prefix) / "bin"
            a.start()
            uuid = a.client.create("c", a.client.simulator("t"))
            a.client.wait_status(uuid, "CREATE_COMPLETE", 60)
            check_equal(a.stop(), 0, "exit status")
        for page in ("man1/magnum.1", "man8/magnum-api.8"):
            check((pathlib.Path(prefix) / "share/man" / page).exists(), f"{page} is installed")


mt.main(__name__, [
    starts_stops_and_starts_again, the_socket_is_private, a_second_instance_is_refused,
    a_taken_port_is_named, bad_configuration_is_named,
    a_configuration_its_children_refuse_is_named, a_small_disk_is_found_before_anything_is_made,
    a_disk_that_fills_up_costs_a_503_not_the_service, each_child_is_started_again,
    nothing_outlives_a_kill, a_deep_state_directory_works, works_without_root,
    works_from_where_it_is_installed])
