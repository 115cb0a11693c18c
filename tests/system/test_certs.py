"""Certificates of clusters in the database and in files: made, shown, signed, removed; what a
conductor leaves behind when it is killed in the middle is taken up or swept away; nothing secret is
anywhere it should not be."""
import base64
import contextlib
import itertools
import json
import os
import pathlib
import resource
import signal
import subprocess
import threading
import time

import certs
import magnumtest as mt
from magnumtest import check, check_equal, wait_for

LOCAL = "org.magnum.certs-local"
TOKEN = "com.example.cert-pkcs11"
NUMBERS = itertools.count(1)
S = {}


def options(state, manager):
    return ["--set", f"certificates.cert_manager_type={manager}",
            "--set", "certificates.sweep_interval_s=1",
            "--set", f"driver_config.{LOCAL}.storage_path={state}/bundles",
            "--set", f"driver_config.{LOCAL}.key_file={state}/certs.key",
            "--set", "conductor.lease_ms=1500", *S.get("short_lived", [])]


def restart(manager):
    S["stack"].stop()
    S["stack"].options = options(S["state"], manager)
    S["stack"].start()
    S["template"] = S["stack"].client.simulator(f"t{next(NUMBERS)}", steps=1, step_ms=0)


def bundles():
    d = S["state"] / "bundles"
    return sorted(p.name for p in d.iterdir() if p.suffix == ".bundle") if d.is_dir() else []


def inventory(uuid):
    return sorted(r[0] for r in S["stack"].sql(
        f"SELECT role FROM certificate WHERE cluster_id = '{uuid}' AND ref IS NOT NULL"
        " AND not_after > now() AND subject <> ''"))


def life(manager, stored):
    """stored(uuid): roles of the bundles that the store holds."""
    ask = S["stack"].client
    uuid = ask.create(f"c{next(NUMBERS)}", S["template"])
    ask.wait_status(uuid, "CREATE_COMPLETE")
    check_equal(S["stack"].sql(f"SELECT cert_manager FROM cluster WHERE uuid = '{uuid}'"),
                [[manager]], "the manager that the cluster remembers")
    check_equal(stored(uuid), sorted(certs.ROLES), "bundles")
    check_equal(inventory(uuid), sorted(certs.ROLES), "inventory")
    certs.check_cluster(ask, uuid)
    ask.delete(uuid)
    ask.wait_gone(uuid)
    check_equal(stored(uuid), [], "bundles after the delete")
    check_equal(inventory(uuid), [], "inventory after the delete")


def in_rows(uuid):
    return sorted(r[0].split("/")[1] for r in S["stack"].sql(
        f"SELECT derived_key FROM x509keypair WHERE derived_key LIKE '{uuid}/%'"))


def in_files(uuid):
    return sorted(n.split("~")[1] for n in bundles() if n.startswith(uuid))


def in_the_database():
    life("x509keypair", in_rows)


def in_files_of_this_machine():
    ask = S["stack"].client
    S["old"] = ask.create(f"c{next(NUMBERS)}", S["template"])
    ask.wait_status(S["old"], "CREATE_COMPLETE")
    restart("local")
    life("local", in_files)
    # one that was made before the change lives where it always did
    certs.check_cluster(S["stack"].client, S["old"])
    check_equal(in_files(S["old"]), [], "bundles of the older cluster")


def bad_requests_are_400_with_a_reason():
    ask = S["stack"].client
    key, good = certs.csr()
    der = base64.b64decode("".join(x for x in good.splitlines() if "-----" not in x))
    cases = [
        ("garbage", "Received invalid csr garbage."),
        (good.replace("M", "N", 3), "Received invalid csr"),
        (good + good, "Received invalid csr"),
        (der.decode("latin-1").replace("\0", "0"), "Received invalid csr"),
        ("A" * 70000, "larger than"),
        (key, "contains a private key"),
        (good + key, "contains a private key"),
        (certs.csr(key="rsa:1024")[1], "too weak"),
        (certs.csr(extensions=["basicConstraints=critical,CA:TRUE"])[1],
         "Extension 'basicConstraints' not allowed"),
        (certs.csr(extensions=["nsComment=critical,ASN1:UTF8:x"])[1],
         "Extension 'nsComment' not allowed"),
    ]
    for text, reason in cases:
        detail = certs.sign(ask, S["old"], text, want=400)
        check(reason in detail, f"{text[:40]!r}: {detail!r}")
        check("PRIVATE KEY" not in detail and key[40:80] not in detail, "a key is echoed")
    log = "".join(p.read_text(errors="replace") for p in (S["state"] / "log").glob("*.log"))
    lines = [x for x in key.splitlines() if "-----" not in x]
    check(not any(x in log for x in lines), "a key is in a log")


def kill_conductor():
    os.kill(wait_for("a conductor", lambda: S["stack"].child("magnum-conductor")), signal.SIGKILL)


def a_killed_conductor_leaves_nothing_behind():
    """kill -9 of conductor and drivers at many moments of a create: the create goes on and makes
    four bundles; the delete leaves none."""
    ask = S["stack"].client
    for i in range(5):
        uuid = ask.create(f"k{next(NUMBERS)}", S["template"])
        moment = i * 0.012
        time.sleep(moment)  # the moment of the kill is what is tried out
        kill_conductor()
        ask.wait_status(uuid, "CREATE_COMPLETE")
        check_equal(in_files(uuid), sorted(certs.ROLES), "bundles")
        certs.check_cluster(ask, uuid)
        ask.delete(uuid)
        time.sleep(moment)
        kill_conductor()
        ask.wait_gone(uuid)
        check_equal(in_files(uuid), [], "bundles after the delete")
        check_equal(S["stack"].sql(f"SELECT count(*) FROM certificate WHERE cluster_id = '{uuid}'"),
                    [["0"]], "inventory after the delete")


def a_store_that_is_away_stops_no_forced_delete():
    ask = S["stack"].client
    uuid = ask.create(f"f{next(NUMBERS)}", S["template"])
    ask.wait_status(uuid, "CREATE_COMPLETE")
    (S["state"] / "bundles").chmod(0o755)  # refused by the manager
    try:
        ask("DELETE", f"/v1/clusters/{uuid}?force=true", want=204)
        ask.wait_gone(uuid)
        check_equal(len(in_files(uuid)), 4, "bundles that could not be deleted")
    finally:
        (S["state"] / "bundles").chmod(0o700)
    wait_for("the sweeper to delete them", lambda: not in_files(uuid), 60)
    wait_for("the inventory to forget them",
             lambda: S["stack"].sql(f"SELECT count(*) FROM certificate WHERE cluster_id = '{uuid}'")
             == [["0"]])


def the_sealing_key_can_be_changed():
    tool = [str(mt.BIN / "magnum-certs-local"), "--storage-path", str(S["state"] / "bundles")]
    ask = S["stack"].client
    uuid = ask.create(f"s{next(NUMBERS)}", S["template"])
    ask.wait_status(uuid, "CREATE_COMPLETE")
    key = ["--key-file", str(S["state"] / "certs.key")]
    out = subprocess.run([*tool, *key, "rotate"], capture_output=True, text=True)
    n = len(bundles())
    check_equal((out.returncode, out.stdout), (0, f"{n} bundles sealed with a new key\n"),
                out.stderr)
    certs.check_cluster(ask, uuid)
    out = subprocess.run([*tool, *key, "verify"], capture_output=True, text=True)
    check_equal((out.returncode, out.stdout), (0, f"{n} bundles are good\n"), out.stderr)
    ask.delete(uuid)
    ask.wait_gone(uuid)


def migrate(source, target, want=0):
    conductor = S["stack"].child("magnum-conductor")
    env = dict(e.split("=", 1) for e in
               pathlib.Path(f"/proc/{conductor}/environ").read_text().split("\0") if "=" in e)
    r = subprocess.run([str(mt.BIN / "magnum-db-manage"), "certs", "migrate", "--from", source,
                        "--to", target], capture_output=True, text=True, env=env, timeout=120)
    check_equal(r.returncode, want, f"{r.stdout}{r.stderr}")
    return r.stdout + r.stderr


def certificates_move_between_managers():
    ask = S["stack"].client
    wait_for("an operation to end", lambda: not S["stack"].sql(
        "SELECT 1 FROM operation WHERE finished_at IS NULL"), 60)
    uuids = [ask.create(f"m{next(NUMBERS)}", S["template"]) for _ in range(3)]
    for u in uuids:
        ask.wait_status(u, "CREATE_COMPLETE")
    before = {u: certs.check_cluster(ask, u) for u in uuids}
    rows = S["stack"].sql("SELECT cluster_id FROM certificate WHERE manager = 'local'")
    check(len(rows) >= 12, f"{rows}")
    out = migrate("local", "x509keypair")
    check(all(f"{u}: 4 bundles moved" in out for u in uuids), out)
    check_equal(bundles(), [], "bundles that are left in files")
    for u in uuids:
        check_equal(certs.check_cluster(ask, u), before[u], "the same CAs")
        check_equal(in_rows(u), sorted(certs.ROLES), "rows")
    check_equal(migrate("local", "x509keypair"), "", "nothing is left to move")
    # killed in the middle, again and again, it is only repeated
    for moment in (0.02, 0.05, 0.1):
        for source, target in (("x509keypair", "local"), ("local", "x509keypair")):
            timer = threading.Timer(moment, kill_conductor)
            timer.start()
            with contextlib.suppress(mt.Failed):
                migrate(source, target)
            timer.join()

            def done(source=source, target=target):
                with contextlib.suppress(mt.Failed):
                    migrate(source, target)
                    return not S["stack"].sql(
                        f"SELECT 1 FROM certificate WHERE manager = '{source}'"
                        f" AND cluster_id IN ('{uuids[0]}', '{uuids[1]}', '{uuids[2]}')")
            wait_for("the repeated migration", done, 60, every=0.2)
            for u in uuids:
                check_equal(certs.check_cluster(ask, u), before[u], "the same CAs")
    check("is not installed" in migrate("x509keypair", "nobody", want=1), "unknown manager")
    for u in uuids:
        ask.delete(u)
        ask.wait_gone(u)
        check_equal((in_rows(u), in_files(u)), ([], []), "bundles after the delete")


def the_inventory_tells_what_ends_soon():
    ask = S["stack"].client
    old = ask.create(f"i{next(NUMBERS)}", S["template"])
    ask.wait_status(old, "CREATE_COMPLETE")
    S["short_lived"] = ["--set", "certificates.term_of_validity_days=10"]
    restart("local")
    ask = S["stack"].client
    uuid = ask.create(f"i{next(NUMBERS)}", S["template"])
    ask.wait_status(uuid, "CREATE_COMPLETE")

    def listed(expiring, want=200):
        a = ask("GET", f"/v1/certificates?expiring={expiring}", want=want).json()
        return a if want != 200 else [x for x in a["certificates"]
                                      if x["cluster_uuid"] in (uuid, old)]
    soon = listed("30d")
    check_equal(sorted(x["role"] for x in soon), sorted(certs.ROLES), "what ends soon")
    check_equal({x["cluster_uuid"] for x in soon}, {uuid}, "whose")
    check(all(x["in_use"] and x["manager"] == "local" and len(x["fingerprint"]) == 64
              for x in soon), f"{soon}")
    check_equal(len(listed("all")), 8, "all")
    check_equal(listed("240h")[0]["not_after"] <= listed("all")[-1]["not_after"], True, "order")
    check_equal(listed("1d"), [], "what ends tomorrow")
    first = ask("GET", "/v1/certificates?expiring=all&limit=3", want=200).json()
    check(len(first["certificates"]) == 3 and "marker=" in first["next"], f"{first}")
    for bad in ("", "soon", "-1d", "1y", "99999999999999999999d"):
        listed(bad, want=400)
    ask("GET", "/v1/certificates", want=405)
    out = S["stack"].cli("cert", "list", "--expiring", "30d", "-f", "json")
    check_equal({x["cluster_uuid"] for x in json.loads(out)}, {uuid}, "what the CLI shows")

    def warned():
        return S["stack"].sql("SELECT cluster_id, count(*) FROM operation_event"
                              " WHERE code = 'certificate-expires' GROUP BY 1")
    wait_for("the warnings", lambda: dict(warned()).get(uuid) == "4", 30)
    check_equal(dict(warned())[uuid], "4", "events: one per certificate")
    # said once: when the next certificates are warned of, these were looked at again
    other = ask.create(f"i{next(NUMBERS)}", S["template"])
    wait_for("the other's warnings", lambda: dict(warned()).get(other) == "4", 30)
    ask.delete(other)
    ask.wait_gone(other)
    check_equal(dict(warned())[uuid], "4", "events after another look")
    for u in (uuid, old):
        ask.delete(u)
        ask.wait_gone(u)


def a_manager_that_signs_keeps_its_keys():
    """The keys of the CAs stay in the manager's memory; everything else works as ever."""
    S["short_lived"] = ["--set", "drivers.enabled_beta=memory", "--set", "drivers.processes=1"]
    restart("memory")
    ask = S["stack"].client
    uuid = ask.create(f"h{next(NUMBERS)}", S["template"])
    ask.wait_status(uuid, "CREATE_COMPLETE")
    certs.check_cluster(ask, uuid)
    check_equal((in_rows(uuid), in_files(uuid)), ([], []), "bundles elsewhere")
    check("never shown" in migrate("memory", "x509keypair", want=1), "keys that can't be moved")
    certs.check_cluster(ask, uuid)
    ask.delete(uuid)
    ask.wait_gone(uuid)
    check_equal(inventory(uuid), [], "inventory after the delete")


def a_token_keeps_its_keys():
    """SoftHSM, a real PKCS#11 token: the keys of the CAs are in it, not to be had again."""
    library = pathlib.Path("/usr/lib/softhsm/libsofthsm2.so")
    if not (library.exists() and (mt.BUILD / "plugins/cert-pkcs11.so").exists()):
        print("      skipped: softhsm2 or p11-kit is not installed")
        return
    # driver hosts have an environment of their own: the token lies where the system keeps them
    tokens, label = pathlib.Path("/var/lib/softhsm/tokens"), f"magnum-{os.urandom(4).hex()}"
    before, pin = set(tokens.iterdir()), S["state"] / "pin"
    pin.write_text("471108\n")
    subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", "471108",
                    "--so-pin", "12345678"], check=True, capture_output=True)
    try:
        S["short_lived"] = ["--set", "drivers.enabled_beta=pkcs11",
                            "--set", f"drivers.privileged={TOKEN}",
                            "--set", f"driver_config.{TOKEN}.pin_file={pin}",
                            "--set", f"driver_config.{TOKEN}.token={label}"]
        for kind in ("ec-p256", "rsa-2048"):
            S["short_lived"] += ["--set", f"certificates.ca_key_type={kind}"]
            life_in_the_token()
        mine = set(tokens.iterdir()) - before
        left = [p for d in mine for p in d.glob("*.object") if p.name != "token.object"]
        check_equal(left, [], "objects that are left in the token")
    finally:
        subprocess.run(["softhsm2-util", "--delete-token", "--token", label], check=True,
                       capture_output=True)


def life_in_the_token():
    restart("pkcs11")
    ask = S["stack"].client
    uuid = ask.create(f"p{next(NUMBERS)}", S["template"])
    ask.wait_status(uuid, "CREATE_COMPLETE")
    certs.check_cluster(ask, uuid)
    check("never shown" in migrate("pkcs11", "local", want=1), "keys that can't be moved")
    ask.delete(uuid)
    ask.wait_gone(uuid)
    check_equal(inventory(uuid), [], "inventory after the delete")


def nothing_secret_is_where_it_should_not_be():
    """The private keys that the conductor unseals, the sealing key and a passphrase: not in logs,
    tables, events, arguments or environments of processes, nor in a core dump."""
    passphrase = "canary-" + os.urandom(8).hex()
    secret_file = S["state"] / "passphrase"
    secret_file.write_text(passphrase + "\n")
    secret_file.chmod(0o600)
    S["short_lived"] = [
        "--set", f"driver_config.{LOCAL}.storage_path={S['state']}/bundles2",
        "--set", f"driver_config.{LOCAL}.key_file=",
        "--set", f"driver_config.{LOCAL}.passphrase_file={secret_file}", "--set", "log.level=debug"]
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))  # as a machine that collects cores
    restart("local")
    ask = S["stack"].client
    uuid = ask.create(f"n{next(NUMBERS)}", S["template"])
    ask.wait_status(uuid, "CREATE_COMPLETE")
    certs.check_cluster(ask, uuid)
    # what only a PKCS#8 key has: its frame, and the sealing keys as they lie in files
    canaries = [passphrase, "BEGIN PRIVATE KEY", "BEGIN EC PRIVATE",
                (S["state"] / "certs.key").read_text().strip()]
    conductor = S["stack"].child("magnum-conductor")
    hosts = S["stack"].driver_hosts()
    check(hosts, "no driver host runs")
    places = {p.name: p.read_text(errors="replace") for p in (S["state"] / "log").glob("*.log")}
    for table in ("certificate", "x509keypair", "operation", "operation_event", "cluster"):
        places[table] = "\n".join("\t".join(r) for r in S["stack"].sql(f"SELECT * FROM {table}"))
    for pid in (conductor, S["stack"].child("magnum-api"), *hosts):
        for name in ("cmdline", "environ"):
            places[f"{pid}/{name}"] = pathlib.Path(f"/proc/{pid}/{name}").read_bytes().decode(
                errors="replace")
    for p in (S["state"] / "bundles2").glob("*"):
        places[p.name] = p.read_text(errors="replace") if p.is_file() else ""
    for place, text in places.items():
        check(not any(c in text for c in canaries), f"a secret is in {place}")
    for pid in (conductor, *hosts):  # no core: of a driver host nothing can be dumped at all
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        soft = next(x for x in limits.splitlines() if x.startswith("Max core file size")).split()[4]
        check_equal(soft, "0", f"core file size of {pid}")
    ask.delete(uuid)
    ask.wait_gone(uuid)


CASES = [in_the_database, in_files_of_this_machine, bad_requests_are_400_with_a_reason,
         a_killed_conductor_leaves_nothing_behind, a_store_that_is_away_stops_no_forced_delete,
         the_sealing_key_can_be_changed, certificates_move_between_managers,
         the_inventory_tells_what_ends_soon, a_manager_that_signs_keeps_its_keys,
         a_token_keeps_its_keys, nothing_secret_is_where_it_should_not_be]

if __name__ == "__main__":
    S["state"] = pathlib.Path(mt.tempfile.mkdtemp(prefix="mgt-"))
    try:
        with mt.Allinone(state=S["state"]) as S["stack"]:
            S["stack"].options = options(S["state"], "x509keypair")
            S["stack"].start()
            S["template"] = S["stack"].client.simulator("t", steps=1, step_ms=0)
            mt.main(__name__, CASES)
    finally:
        mt.remove_state(S["state"])
