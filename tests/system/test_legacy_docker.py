"""Containers of the first Magnum on a real Docker Swarm of one local node: every action, through the
API and our client, with Docker's own words for what goes wrong, and nothing left behind."""
import json
import os
import signal
import subprocess
import threading
import time

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

SPECIFIC = {}  # what one case hands to the next
IMAGE = "magnum-local/busybox:1"


def docker(*args):
    socket = mt.node_dirs(SPECIFIC["stack"], SPECIFIC["uuid"])[0] / "docker.sock"
    r = subprocess.run(["/usr/bin/docker", "-H", f"unix://{socket}", *args], capture_output=True,
                       text=True, timeout=60 * mt.SLOW)
    check_equal(r.returncode, 0, f"docker {' '.join(args)}: {r.stderr}")
    return r.stdout.strip()


def ask(method, path, body=None, want=200):
    answer = SPECIFIC["stack"].client(method, path, body)
    check_equal(answer.status, want, f"{method} {path}: {answer}")
    return answer.json() if want not in (204,) else None


def detail(answer):
    return answer["errors"][0]["detail"]


def container(*options):
    if "--command" not in options: # the image names none
        options += ("--command", "/bin/busybox true")
    cli = SPECIFIC["stack"].cli("container-create", "--bay", "c1", "--image", IMAGE, *options,
                                "-f", "json")
    return json.loads(cli)["uuid"]


def a_bay_is_made_with_the_old_words():
    a = SPECIFIC["stack"]
    a.cli("baymodel-create", "--name", "m", "--coe", "swarm", "--server-type", "local",
          "--image-id", "linux")
    a.cli("bay-create", "--name", "c1", "--baymodel", "m", "--node-count", "0", "--wait")
    SPECIFIC["uuid"] = json.loads(a.cli("bay-show", "c1", "-f", "json"))["uuid"]
    mt.import_busybox(a, SPECIFIC["uuid"])


def a_container_is_created_and_found():
    uuid = SPECIFIC["web"] = container("--name", "web", "--memory", "32m", "--command",
                                       "/bin/busybox sh -c 'echo out; echo err >&2; "
                                       "while :; do /bin/busybox sleep 1; done'")
    shown = ask("GET", f"/v1/containers/{uuid}")
    check_equal(shown["status"], "Stopped", "made, not started")
    check_equal((shown["name"], shown["image"], shown["memory"], shown["bay_uuid"]),
                ("web", IMAGE, "32m", SPECIFIC["uuid"]), "what was asked for")
    check_equal(ask("GET", "/v1/containers/web")["uuid"], uuid, "by name")
    real = json.loads(docker("inspect", uuid))[0]
    check_equal(real["Config"]["Hostname"], uuid, "host name")
    check_equal(real["HostConfig"]["Memory"], 32 << 20, "memory limit")
    check_equal(real["Config"]["Cmd"][:3], ["/bin/busybox", "sh", "-c"], "command")
    listed = ask("GET", "/v1/containers")["containers"]
    check_equal([c["uuid"] for c in listed], [uuid], "the list")
    answer = SPECIFIC["stack"].client("POST", "/v1/containers",
                                      dict(bay_uuid="c1", image_id=IMAGE, name="x",
                                           command="/bin/busybox true"))
    check_equal(answer.status, 201, str(answer))
    other = answer.json()["uuid"]
    check(answer.headers["location"].endswith(f"/v1/containers/{other}"), "Location")
    ask("DELETE", f"/v1/containers/{other}", want=204)


def it_starts_stops_pauses_and_reboots():
    a, uuid = SPECIFIC["stack"], SPECIFIC["web"]
    state = lambda: json.loads(docker("inspect", uuid))[0]["State"]
    check("Running" in a.cli("container-start", "web"), "started")
    check(state()["Running"], "runs")
    check_equal(ask("PUT", f"/v1/containers/start/{uuid}")["status"], "Running", "again: 304")
    began = state()["StartedAt"]
    check_equal(ask("PUT", f"/v1/containers/pause/{uuid}")["status"], "Paused", "paused")
    check(state()["Paused"], "is paused")
    said = detail(ask("PUT", f"/v1/containers/pause/{uuid}", want=409))
    check(said.startswith("Docker API Error : ") and "already paused" in said, said)
    check("Running" in a.cli("container-unpause", uuid), "goes on")
    said = detail(ask("PUT", f"/v1/containers/unpause/{uuid}", want=409))
    check("is not paused" in said, said)
    a.cli("container-reboot", "web")
    check(state()["Running"] and state()["StartedAt"] != began, "started anew")
    check_equal(ask("PUT", f"/v1/containers/stop/{uuid}")["status"], "Stopped", "stopped")
    check_equal(ask("PUT", f"/v1/containers/stop/{uuid}")["status"], "Stopped", "again: 304")
    check(not state()["Running"], "is stopped")
    shown = ask("GET", f"/v1/containers/{uuid}")
    check("exit code 137" in shown["status_reason"], f"why: {shown['status_reason']}")
    check_equal(ask("GET", f"/v1/containers/start/{uuid}", want=405) is not None, True, "method")


def its_output_is_read():
    a, uuid = SPECIFIC["stack"], SPECIFIC["web"]
    a.cli("container-start", "web")
    wait_for("both lines", lambda: "err" in ask("GET", f"/v1/containers/logs/{uuid}")["output"], 20)
    lines = ask("GET", f"/v1/containers/logs/{uuid}")["output"].split()
    check_equal(sorted(set(lines)), ["err", "out"], "both streams, no frame in them")
    check_equal(sorted(set(a.cli("container-logs", "web").split())), ["err", "out"], "the client")


def commands_are_executed():
    a, uuid = SPECIFIC["stack"], SPECIFIC["web"]
    got = ask("PUT", f"/v1/containers/execute/{uuid}?command="
              "/bin/busybox%20sh%20-c%20'echo%20a%3B%20echo%20b%20%3E%262%3B%20exit%203'")
    check_equal(sorted(got["output"].split()), ["a", "b"], "both streams")
    check_equal(got["exit_code"], 3, "exit code")
    check_equal(a.cli("container-exec", "web", "--command", "/bin/busybox hostname").strip(), uuid,
                "through the client")
    a.cli("container-execute", "web", "--command", "/bin/busybox false", want=1)
    got = ask("PUT", f"/v1/containers/execute/{uuid}?command=/bin/busybox%20printf%20'%5C377x'")
    check_equal(got["output"], "\ufffdx", "what is not UTF-8 is marked")
    got = ask("PUT", f"/v1/containers/execute/{uuid}?command=/bin/busybox%20seq%20100000")
    check_equal(len(got["output"].split()), 100000, "a long output arrives whole")
    got = ask("PUT", f"/v1/containers/execute/{uuid}?command=/no/such", want=200)
    check(got["exit_code"] in (126, 127), f"a program that is not there: {got}")
    said = detail(ask("PUT", f"/v1/containers/execute/{uuid}?command='open", want=400))
    check("quote" in said, said)


def a_command_that_never_ends_is_bounded():
    uuid = SPECIFIC["web"]
    began = time.monotonic()
    said = detail(ask("PUT", f"/v1/containers/execute/{uuid}?command=/bin/busybox%20sleep%20999",
                      want=504))
    check("still runs in the container" in said, said)
    check(time.monotonic() - began < 60 * mt.SLOW, "the deadline holds")
    check_equal(ask("GET", f"/v1/containers/{uuid}")["status"], "Running", "others are served")


def long_commands_leave_room_for_others():
    """More than workload.calls at a time are told to come again; certificates are served."""
    a, uuid = SPECIFIC["stack"], SPECIFIC["web"]
    path = f"/v1/containers/execute/{uuid}?command=/bin/busybox%20sleep%205"
    ended = threading.Event()

    def again_and_again():
        """Until somebody has looked, however long he takes to come."""
        while not ended.wait(0.1):
            a.client("PUT", path)
    threads = [threading.Thread(target=again_and_again) for _ in range(2)]
    for t in threads:
        t.start()

    def busy():
        return a.client("PUT", f"/v1/containers/execute/{uuid}?command=/bin/busybox%20true"
                        ).status == 409
    try:
        wait_for("both to run", lambda: docker("top", uuid).count("sleep 5") == 2)
        wait_for("a third command to be turned away", busy)
        check_equal(a.client("GET", f"/v1/certificates/{SPECIFIC['uuid']}").status, 200, "certificate")
    finally:
        ended.set()
        for t in threads:
            t.join()


def bad_requests_are_refused():
    bay = SPECIFIC["uuid"]
    for body, status, text in (
            (dict(bay_uuid=bay, image=IMAGE, memory="10x"), 400, "Invalid docker memory specified"),
            (dict(bay_uuid=bay, image=IMAGE, memory="4095k"), 400,
             "Docker Minimum memory limit allowed is 4194304 B."),
            (dict(bay_uuid=bay), 400, "image"),
            (dict(image=IMAGE), 400, "bay_uuid"),
            (dict(bay_uuid="nothing", image=IMAGE), 400, "Cluster nothing could not be found"),
            (dict(bay_uuid=bay, image=IMAGE, command="sh 'x"), 400, "quote"),
            (dict(bay_uuid=bay, image=IMAGE, status="Running"), 400, "read"),
            (dict(bay_uuid=bay, image="127.0.0.1:1/nothing:1"), None, "Docker API Error : ")):
        answer = SPECIFIC["stack"].client("POST", "/v1/containers", body)
        check(answer.status == status if status else answer.status >= 400, f"{body}: {answer}")
        check(text in detail(answer.json()), f"{body}: {detail(answer.json())}")
    check_equal(len(ask("GET", "/v1/containers")["containers"]), 1, "no row of a refused one")
    said = detail(SPECIFIC["stack"].client("POST", "/v1/pods", dict(
        bay_uuid=bay, manifest='{"metadata":{"name":"p"}}')).json())
    check_equal(said, "Cannot fulfill request with a swarm bay, expecting a kubernetes bay.", said)
    check_equal(detail(ask("GET", "/v1/containers/nobody", want=404)),
                "Container nobody could not be found.", "unknown")


def what_docker_lost_is_told():
    uuid = container("--name", "lost")
    docker("rm", "-f", uuid)
    shown = ask("GET", f"/v1/containers/{uuid}")
    check_equal(shown["status"], "Error", "status")
    check("does not know it" in shown["status_reason"], str(shown))
    ask("DELETE", f"/v1/containers/{uuid}", want=204)


def a_killed_conductor_leaves_nothing_unknown():
    """Whatever moment it dies at: each container of Docker has its row, and deletes clean up."""
    a = SPECIFIC["stack"]
    for pause in (0, 0.02, 0.05, 0.1):
        t = threading.Thread(target=a.client, args=("POST", "/v1/containers", dict(
            bay_uuid="c1", image=IMAGE, name="crash", command="/bin/busybox true")))
        t.start()
        time.sleep(pause)
        os.kill(a.child("magnum-conductor"), signal.SIGKILL)
        t.join()
        wait_for("a conductor", lambda: a.client(
            "GET", f"/v1/certificates/{SPECIFIC['uuid']}").status == 200, 60)
    rows = {c["uuid"] for c in ask("GET", "/v1/containers?bay_ident=c1")["containers"]}
    real = set(docker("ps", "-a", "--format", "{{.Names}}").split())
    check(real <= rows, f"in Docker {real}, rows {rows}")
    for uuid in rows - {SPECIFIC["web"]}:
        ask("DELETE", f"/v1/containers/{uuid}", want=204)
    check_equal(docker("ps", "-a", "--format", "{{.Names}}"), SPECIFIC["web"], "what is left")


def the_rows_go_with_the_bay():
    a = SPECIFIC["stack"]
    a.cli("container-update", "web", "replace", "name=site")
    check_equal(ask("GET", "/v1/containers/site")["uuid"], SPECIFIC["web"], "the row alone")
    extra = container()
    a.cli("container-delete", extra)
    ask("GET", f"/v1/containers/{extra}", want=404)
    a.cli("bay-delete", "c1", "--wait")
    check_equal(ask("GET", "/v1/containers")["containers"], [], "rows")
    check_equal(mt.left_behind([SPECIFIC["uuid"]]), [], "left behind")
    a.cli("baymodel-delete", "m")


def main():
    with mt.Allinone(options=["--set", "workload.timeout_ms=15000"]) as a:
        a.start()
        SPECIFIC["stack"] = a
        try:
            mt.main(__name__, [
                a_bay_is_made_with_the_old_words, a_container_is_created_and_found,
                it_starts_stops_pauses_and_reboots, its_output_is_read, commands_are_executed,
                a_command_that_never_ends_is_bounded, long_commands_leave_room_for_others,
                bad_requests_are_refused, what_docker_lost_is_told,
                a_killed_conductor_leaves_nothing_unknown, the_rows_go_with_the_bay])
        finally:
            mt.delete_all(a)


main()
