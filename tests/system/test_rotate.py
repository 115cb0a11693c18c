"""Rotation of a cluster's CA with the simulator: what clients get at each moment, refusals, failures
and cancels in each phase, deletes in the middle, conductors killed anywhere. In the end there is one
CA and nothing of the other one.

Certificates are checked by openssl(1)."""
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

GRACE_S = 2 * mt.SLOW
LATEST = {"OpenStack-API-Version": "container-infra latest"}
S = {}


# ---- openssl ----

def openssl(*args, text=None, want=0):
    r = subprocess.run(["openssl", *args], input=text, capture_output=True, text=True)
    check(want is None or r.returncode == want, f"openssl {' '.join(args)}: {r.stdout}{r.stderr}")
    return r.stdout


def certs_in(pem):
    return re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", pem, re.S)


def verifies(cert, bundle):
    with tempfile.TemporaryDirectory() as d:
        for name, text in (("ca.pem", bundle), ("cert.pem", cert)):
            with open(f"{d}/{name}", "w") as f:
                f.write(text + "\n")
        r = subprocess.run(["openssl", "verify", "-CAfile", f"{d}/ca.pem", f"{d}/cert.pem"],
                           capture_output=True)
        return r.returncode == 0


def make_csr():
    with tempfile.TemporaryDirectory() as d:
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-keyout", f"{d}/k", "-subj", "/CN=someone", "-out", f"{d}/c")
        with open(f"{d}/c") as f:
            return f.read()


# ---- Magnum ----

def call(method, path, body=None, want=None):
    return S["stack"].client(method, path, body, want=want, headers=LATEST)


def ca_of(uuid, kind="kubernetes"):
    def shown():
        """503 while no conductor can be reached: one that was killed is just starting again."""
        a = call("GET", f"/v1/certificates/{uuid}?ca_cert_type={kind}", want=(200, 503))
        return a if a.status == 200 else None
    return certs_in(wait_for("the CA to be shown", shown).json()["pem"])


def sign(uuid):
    return call("POST", "/v1/certificates", dict(cluster_uuid=uuid, csr=S["csr"]),
                want=201).json()["pem"]


def rotate(uuid):
    before = {o["id"] for o in S["stack"].client.operations(uuid)}
    call("PATCH", f"/v1/certificates/{uuid}", want=202)
    new = [o for o in S["stack"].client.operations(uuid) if o["id"] not in before]
    check_equal([o["kind"] for o in new], ["rotate_ca"], "the new operation")
    return new[0]["id"]


def operation(op):
    return call("GET", f"/v1/operations/{op}", want=200).json()


def wait_stage(op, stage):
    def there():
        o = operation(op)
        check(o["status"] not in ("FAILED", "CANCELLED"), f"{o}")
        return o["stage"] == stage or o["status"] == "SUCCEEDED"
    wait_for(f"stage {stage}", there, 30)


def wait_op(op, status, timeout=60):
    def there():
        o = operation(op)
        check(o["status"] == status or o["status"] not in ("SUCCEEDED", "FAILED", "CANCELLED"),
              f"wanted {status}: {o}")
        return o["status"] == status and o
    return wait_for(f"the rotation to be {status}", there, timeout)


def settled(uuid):
    return S["stack"].client.wait_status(uuid, ("UPDATE_COMPLETE", "UPDATE_FAILED"), 60)


def trusted_by_nodes(uuid):
    path = S["nodes"] / f"mag-{uuid}" / "rotated.json"
    doc = json.loads(path.read_text()) if path.exists() else None
    return doc and (certs_in(doc["trusted"]), doc["certificate"])


def kept(uuid):
    """Serials of the bundles in the inventory, and the number of key pairs there are."""
    serials = S["stack"].sql("SELECT DISTINCT serial FROM certificate"
                             f" WHERE cluster_id = '{uuid}' ORDER BY 1")
    pairs = S["stack"].sql(f"SELECT count(*) FROM x509keypair WHERE derived_key LIKE '{uuid}/%'")
    return len(serials), int(pairs[0][0])


def one_ca_left(uuid):
    check_equal(kept(uuid), (1, 4), "serials and key pairs left")
    check_equal(len(ca_of(uuid)), 1, "CAs that clients get")
    check(verifies(sign(uuid), ca_of(uuid)[0]), "what is signed now is not of the CA that is shown")


def make(name, **labels):
    labels = {f"sim_{k}": str(v) for k, v in {"steps": 2, "step_ms": 0, **labels}.items()}
    uuid = S["stack"].client.create(name, S["template"], labels=labels, node_count=2)
    S["stack"].client.wait_status(uuid, "CREATE_COMPLETE")
    return uuid


@contextlib.contextmanager
def cluster(name, **labels):
    uuid = make(name, **labels)
    yield uuid
    S["stack"].client.delete(uuid)
    S["stack"].client.wait_gone(uuid)
    check_equal(kept(uuid), (0, 0), "certificates of a deleted cluster")
    rows = S["stack"].sql(f"SELECT count(*) FROM cluster_rotation WHERE cluster_id = '{uuid}'")
    check_equal(rows, [["0"]], "rotations of a deleted cluster")


# ---- cases ----

def both_are_trusted_for_a_while():
    with cluster("r1") as uuid:
        for _ in range(10):
            old, old_etcd, by_old = ca_of(uuid), ca_of(uuid, "etcd"), sign(uuid)
            check_equal(len(old), 1, "CAs before")
            begin = time.monotonic()
            op = rotate(uuid)
            wait_stage(op, "ca_grace")
            both, etcd, by_new = ca_of(uuid), ca_of(uuid, "etcd"), sign(uuid)
            status, (nodes, leaf) = S["stack"].client.show(uuid)["status"], trusted_by_nodes(uuid)
            message, stage = operation(op)["message"], operation(op)["stage"]
            wait_op(op, "SUCCEEDED")
            if stage == "ca_grace":  # all of it was seen within the grace time
                break
        check_equal(stage, "ca_grace", "what the machine is quick enough for")
        check_equal(len(both), 2, "CAs in the grace time")
        check_equal(both[1], old[0], "the former CA comes second")
        check(both[0] != old[0], "the new CA is the old one")
        check_equal(len(etcd), 2, "etcd CAs in the grace time")
        check(verifies(by_new, both[0]) and not verifies(by_new, old[0]), "the old CA still signs")
        check(verifies(by_old, "\n".join(both)), "what the old CA signed is not trusted any more")
        check_equal(status, "UPDATE_IN_PROGRESS", "status")
        check_equal(nodes, both, "whom the nodes trust")
        check(verifies(leaf, both[0]), "the driver's certificates are not of the new CA")
        check("trusted until" in message, f"message: {message}")
        check(time.monotonic() - begin > GRACE_S, "there was no grace time")
        check_equal(settled(uuid)["status"], "UPDATE_COMPLETE", "status")
        check_equal(ca_of(uuid), both[:1], "CA after")
        check(ca_of(uuid, "etcd") != old_etcd, "the etcd CA was not rotated")
        check_equal(trusted_by_nodes(uuid)[0], both[:1], "whom the nodes trust after")
        one_ca_left(uuid)


def again_and_again():
    with cluster("r2") as uuid:
        seen = [ca_of(uuid)[0]]
        for _ in range(2):
            wait_op(rotate(uuid), "SUCCEEDED")
            settled(uuid)
            seen.append(ca_of(uuid)[0])
            one_ca_left(uuid)
        check_equal(len(set(seen)), 3, "different CAs")


def a_refusal_before_the_switch_changes_nothing():
    seen = 0
    for code in ("INVALID", "UNSUPPORTED", "QUOTA"):
        with cluster(f"no-{code.lower()}", fail_kind="ca_prepare", fail_at_step=2,
                     fail_code=code) as uuid:
            old = ca_of(uuid)
            op = rotate(uuid)
            wait_op(op, "FAILED")
            check_equal(ca_of(uuid), old, "CA after the refusal")
            wait_for("the new CA to be removed", lambda: kept(uuid) == (1, 4), 20)
            one_ca_left(uuid)
            # the label's fault happens once: the next request ends well, and nodes that have heard
            # of the first new CA go on trusting it until then
            retry = call("POST", f"/v1/operations/{op}/retry", want=(202, 200)).json()["id"]
            wait_stage(retry, "ca_grace")
            (nodes, _), clients = trusted_by_nodes(uuid), ca_of(uuid)
            if operation(retry)["stage"] == "ca_grace":  # else it ended while they were read
                seen += 1
                check_equal(len(nodes), 3, "CAs the nodes trust: new, old, given up")
                check_equal(nodes[1], old[0], "the old CA")
                check_equal(len(clients), 2, "CAs that clients get")
            wait_op(retry, "SUCCEEDED")
            settled(uuid)
            check(ca_of(uuid) != old, "the CA was not rotated")
            check_equal(len(trusted_by_nodes(uuid)[0]), 1, "CAs the nodes trust in the end")
            one_ca_left(uuid)
    check(seen, "no grace time was seen")


def a_failure_after_the_switch_leaves_both():
    with cluster("late", fail_kind="ca_complete", fail_at_step=1, fail_code="INVALID") as uuid:
        old = ca_of(uuid)
        op = rotate(uuid)
        wait_op(op, "FAILED")
        both = ca_of(uuid)
        check_equal(len(both), 2, "CAs after the failure")
        check_equal(both[1], old[0], "the former CA")
        check(verifies(sign(uuid), both[0]), "the new CA does not sign")
        retry = call("POST", f"/v1/operations/{op}/retry", want=(202, 200)).json()["id"]
        wait_op(retry, "SUCCEEDED")
        settled(uuid)
        check_equal(ca_of(uuid), both[:1], "the rotation that was completed is another one")
        one_ca_left(uuid)


def a_crashing_driver_is_tried_again():
    for kind in ("ca_prepare", "ca_complete"):
        with cluster(f"crash-{kind[3:]}", fail_kind=kind, crash_at_step=1) as uuid:
            old = ca_of(uuid)
            wait_op(rotate(uuid), "SUCCEEDED")
            settled(uuid)
            check(ca_of(uuid) != old, "the CA was not rotated")
            one_ca_left(uuid)


def cancelled(uuid, stage, seconds):
    """A rotation that is cancelled while it is at this stage, which lasts so long at least. False: the
    cancel came later."""
    begin = time.monotonic()
    op = rotate(uuid)
    wait_stage(op, stage)
    a = call("POST", f"/v1/operations/{op}/cancel")
    if time.monotonic() - begin >= seconds:
        wait_for("the rotation to end", lambda: operation(op)["status"] in ("CANCELLED", "SUCCEEDED"))
        return False
    check(a.status in (200, 202, 204), f"cancel at {stage}: {a}")
    wait_op(op, "CANCELLED")
    return True


def cancel_while_it_prepares(name):
    with cluster(name, steps=40, step_ms=50) as uuid:
        old = ca_of(uuid)
        if not cancelled(uuid, "ca_prepare", 2):
            return False
        check_equal(ca_of(uuid), old, "CA after the cancel")
        wait_for("the new CA to be removed", lambda: kept(uuid) == (1, 4), 20)
        one_ca_left(uuid)
        return True


def cancel_in_the_grace_time(name):
    with cluster(name) as uuid:
        if not cancelled(uuid, "ca_grace", GRACE_S):
            return False
        both = ca_of(uuid)
        check_equal(len(both), 2, "CAs after a cancel in the grace time")
        check(verifies(sign(uuid), both[0]), "the new CA does not sign")
        return True


def cancels():
    for name, case in (("cancel1", cancel_while_it_prepares), ("cancel2", cancel_in_the_grace_time)):
        check(any(case(f"{name}-{n}") for n in range(10)), f"{name}: each cancel came too late")


def a_delete_in_each_phase():
    for stage in ("ca_prepare", "ca_grace"):
        with cluster(f"del-{stage[3:]}", steps=20, step_ms=50) as uuid:
            op = rotate(uuid)
            wait_stage(op, stage)  # the block's end deletes


def refused_without_tls():
    body = dict(name="plain", coe="kubernetes", server_type="vm", image_id="simulated",
                external_network_id="public", tls_disabled=True)
    template = S["stack"].client("POST", "/v1/clustertemplates", body, want=201).json()["uuid"]
    uuid = S["stack"].client.create("plain", template, labels={"sim_steps": "1"})
    S["stack"].client.wait_status(uuid, "CREATE_COMPLETE")
    a = call("PATCH", f"/v1/certificates/{uuid}", want=400)
    check("non-TLS" in a.body.decode(), f"{a}")
    S["stack"].client.delete(uuid)
    S["stack"].client.wait_gone(uuid)


def conductors_die_anywhere():
    rnd = random.Random(7)
    uuid = make("killed", steps=4, step_ms=50)
    for turn in range(8):
        old = ca_of(uuid)
        op = rotate(uuid)
        for _ in range(2):
            time.sleep(rnd.uniform(0.0, 1.5))  # a random moment of the rotation, not a wait
            victim = S["stack"].child("magnum-conductor")
            if victim:
                os.kill(victim, signal.SIGKILL)
        wait_op(op, "SUCCEEDED", 90)
        settled(uuid)
        check(ca_of(uuid) != old, f"turn {turn}: the CA was not rotated")
        one_ca_left(uuid)
        check_equal(trusted_by_nodes(uuid)[0], ca_of(uuid), "whom the nodes trust")
    S["stack"].client.delete(uuid)
    S["stack"].client.wait_gone(uuid)


def by_command_line():
    with cluster("cli") as uuid:
        old = ca_of(uuid)
        S["stack"].cli("ca", "rotate", "cli", "--wait")
        check(ca_of(uuid) != old, "the CA was not rotated")
        S["stack"].cli("credential", "rotate", "cli", "--wait")
        kinds = [o["kind"] for o in S["stack"].client.operations(uuid)]
        check("rotate_credential" in kinds, f"operations: {kinds}")


def main():
    S["csr"] = make_csr()
    with mt.Allinone(options=["--set", f"certificates.rotation_grace_s={GRACE_S}",
                              "--set", "conductor.lease_ms=1500"]) as stack:
        S["stack"] = stack.start()
        S["nodes"] = stack.state / "simulator"
        S["template"] = stack.client.simulator("sim", steps=1)
        mt.main(__name__, [both_are_trusted_for_a_while, again_and_again,
                           a_refusal_before_the_switch_changes_nothing,
                           a_failure_after_the_switch_leaves_both,
                           a_crashing_driver_is_tried_again, cancels, a_delete_in_each_phase,
                           refused_without_tls, conductors_die_anywhere, by_command_line])


if __name__ == "__main__":
    main()
    sys.exit(0)
