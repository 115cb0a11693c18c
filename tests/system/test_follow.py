"""What users see of operations, with all processes: waiting is pushed and not polled, events are
followed to the end, plans of real drivers, retries, forced deletes with a report."""
import json
import time

import magnumtest as mt
from magnumtest import check, check_equal

S = {}


def cli(*args, **kw):
    return S["stack"].cli(*args, **kw)


def newest(cluster):
    return S["stack"].client.operations(cluster)[0]


def an_end_is_heard_of_at_once():
    """The tables are looked at once a minute here: only news can be so quick."""
    template = S["stack"].client.simulator("quick", steps=5, step_ms=100)
    for i in range(4):
        began = time.monotonic()
        out = cli("cluster", "create", f"quick{i}", "--cluster-template", template, "--wait")
        took = time.monotonic() - began
        check("CREATE_COMPLETE" in out, out)
        # the first one may end before the API has found out where the news come from
        check(i == 0 or took < 45, f"heard of the end after {took:.1f} s")
    ops = S["stack"].client.operations("quick3")
    check_equal(ops[0]["status"], "SUCCEEDED", "the operation")


def events_are_followed_to_the_end():
    template = S["stack"].client.simulator("slow", steps=4, step_ms=300)
    S["stack"].client.create("slow", template, node_count=2)
    out = cli("operation", "events", newest("slow")["id"], "-f")
    lines = out.splitlines()
    check("accepted" in lines[0] and "succeeded" in lines[-1], out)
    events = json.loads(cli("cluster", "events", "slow", "-f", "json"))
    check_equal([e["code"] for e in events][-1], "succeeded", "the cluster's last event")
    again = S["stack"].client("GET", f"/v1/operations/{newest('slow')['id']}/events?follow=30",
                              want=200).json()
    check(again["ended"] and again["events"], "an operation that has ended is not waited for")


def plans_come_from_the_driver():
    client = S["stack"].client
    template = client.simulator("planned", steps=1)
    before = S["stack"].sql("SELECT count(*) FROM operation")
    plan = json.loads(cli("cluster", "create", "planned", "--cluster-template", template,
                          "--node-count", "2", "--plan", "-f", "json"))
    check(plan["by_driver"], "the simulator has the plan's details")
    check_equal(len(plan["make"]), 3, "nodes to be made")
    check_equal(S["stack"].sql("SELECT count(*) FROM operation"), before, "operations")
    check(client.show("planned") is None, "a plan makes no cluster")
    cli("cluster", "create", "planned", "--cluster-template", template, "--node-count", "2",
        "--wait")
    text = cli("cluster", "resize", "planned", "4", "--plan")
    check(text.count("  + node ") == 2 and "nodes 3 -> 5" in text, text)
    check_equal(client.show("planned")["node_count"], 2, "node_count after a plan")
    text = cli("cluster", "delete", "planned", "--plan")
    check(text.count("  - node ") == 3, text)
    check_equal(client.show("planned")["status"], "CREATE_COMPLETE", "status after a plan")


def a_failed_create_is_retried():
    template = S["stack"].client.simulator("sad", steps=3, fail_at_step=2, fail_times=1,
                                           fail_code="INVALID")
    text = cli("cluster", "create", "sad", "--cluster-template", template, "--wait", want=4)
    check("magnum: create FAILED" in text, text)
    op = newest("sad")
    cli("operation", "retry", op["id"], "--wait")
    check_equal(S["stack"].client.show("sad")["status"], "CREATE_COMPLETE", "after the retry")
    check_equal(newest("sad")["retry_of"], op["id"], "retry_of")
    text = cli("operation", "retry", newest("sad")["id"], want=1)
    check("magnum:" in text, text)


def a_forced_delete_says_what_is_left():
    template = S["stack"].client.simulator("stuck", steps=4, fail_kind="delete", fail_at_step=1,
                                           fail_times=99, fail_code="INVALID")
    cli("cluster", "create", "stuck", "--cluster-template", template, "--node-count", "5",
        "--wait")
    cli("cluster", "delete", "stuck", "--wait", want=4)
    check_equal(S["stack"].client.show("stuck")["status"], "DELETE_FAILED", "a plain delete")
    uuid = S["stack"].client.show("stuck")["uuid"]
    cli("cluster", "delete", "stuck", "--force", "--wait")
    check(S["stack"].client.show("stuck") is None, "the cluster is gone")
    op = newest(uuid)
    check_equal(op["code"], "LeftBehind", "code")
    left = json.loads(cli("operation", "show", op["id"], "-f", "json"))["report"]["left_behind"]
    check(len(left) >= 1 and left[0]["kind"] == "node", left)
    listed = [e["code"] for e in json.loads(cli("cluster", "events", uuid, "-f", "json"))]
    check("left-behind" in listed, f"the history of a cluster outlives it: {listed}")


def main():
    options = [x for o in ("api.follow_look_ms=60000", "conductor.lease_ms=3000")
               for x in ("--set", o)]
    with mt.Allinone(options=options) as a:
        a.start()
        S["stack"] = a
        mt.main(__name__, [an_end_is_heard_of_at_once, events_are_followed_to_the_end,
                           plans_come_from_the_driver, a_failed_create_is_retried,
                           a_forced_delete_says_what_is_left])


main()
