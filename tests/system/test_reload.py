"""SIGHUP takes over what certificate and key files hold, in both programs and as a whole: a Keystone, a
Glance and a collector of the test's own speak TLS and change their CA, the key that seals gets a
successor, and so does the key of the API's messages. A file that is bad is named, and changes nothing."""
import contextlib
import datetime
import http.server
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading

import certs
import magnumtest as mt
import pgmagnum
from magnumtest import check, check_equal, wait_for

S = {"tokens": 0}


# ---- the cloud ----
class Cloud(http.server.ThreadingHTTPServer):
    def __init__(self, pair):
        super().__init__(("127.0.0.1", 0), Handler)
        self.spans, self.lock = 0, threading.Lock()
        self.show(pair)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def show(self, pair):
        """From the next connection on this certificate; nobody's session is resumed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{pair}.pem", f"{pair}.key")
        self.context = context

    def get_request(self):
        s, address = self.socket.accept()
        return self.context.wrap_socket(s, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request, address):
        """Who does not like the certificate hangs up."""

    def url(self, path=""):
        return f"https://127.0.0.1:{self.server_port}{path}"

    def token(self, scope):
        ends = datetime.datetime.utcnow() + datetime.timedelta(hours=1)
        catalog = [{"type": t, "endpoints": [{"interface": "public", "region_id": "R", "url": self.url(f"/{t}")}]}
                   for t in ("image", "compute", "network")]
        return {"token": {"expires_at": ends.strftime("%Y-%m-%dT%H:%M:%S.000000Z"), "user": {"id": "u1"},
                          "roles": [{"name": "member"}, {"name": "reader"}], "catalog": catalog, **scope}}


ANSWERS = {  # of what changes nothing
    "GET /image/v2/images": {"images": [{"id": "a2", "name": "simulated", "os_distro": "simulated"}]},
    "GET /network/v2.0/networks": {"networks": [{"id": "b1", "name": "public"}]},
    "GET /v3/users": {"users": []},
    "POST /v3/users": {"user": {"id": "trustee"}},
    "GET /v3/OS-TRUST/trusts": {"trusts": []},
    "POST /v3/OS-TRUST/trusts": {"trust": {"id": "trust"}},
}


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, body, what):
        cloud = self.server
        if what == "POST /v1/traces":
            with cloud.lock:
                cloud.spans += 1
            return {}
        if what.endswith(" /v3/auth/tokens"):
            domain = b'"domain"' in body.partition(b'"scope"')[2] and b'"project"' not in body
            return cloud.token({"domain": {"id": "td"}} if domain else {"project": {"id": "p1"}})
        return ANSWERS.get(what)

    def any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = self.answer(body, f"{self.command} {self.path.partition('?')[0]}")
        self.send_response(404 if found is None else 201 if self.command == "POST" else 200)
        self.send_header("X-Subject-Token", "token-of-keystone")
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    do_GET = do_POST = do_DELETE = any


def make_pairs(top):
    """one.pem and two.pem, of server certificates by ca-one.pem and ca-two.pem."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    for name in ("one", "two"):
        ca = f"{top}/ca-{name}"
        certs.openssl("req", "-x509", *key, "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-subj", f"/CN={name}")
        certs.openssl("req", "-x509", *key, "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-keyout", f"{top}/{name}.key",
                      "-out", f"{top}/{name}.pem", "-subj", "/CN=server", "-addext",
                      "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE")


# ---- Magnum ----
class User(mt.Client):
    """With a token that nobody has seen before, unless one is given."""

    def __call__(self, *args, headers=None, **kw):
        S["tokens"] += 1
        return super().__call__(*args, headers={"X-Auth-Token": f"tok-{S['tokens']}", **(headers or {})}, **kw)


def reload(program, said):
    """What the log says since."""
    log = S["top"] / f"{program}.log"
    before = len(log.read_bytes())
    os.kill(S["pids"][program], signal.SIGHUP)
    text = wait_for(f"the reload of {program}", lambda: [
        line for line in log.read_bytes()[before:].decode().splitlines() if " service.reload" in line])[0]
    check(said in text, f"{said!r} is not in {text!r}")
    return log.read_bytes()[before:].decode()


IN_FORCE, AS_IT_WAS = "the new configuration is in force", "everything stays as it was"


def put(name, *sources):
    """In place: a file that is written over keeps its rights."""
    (S["top"] / name).write_text("".join(s if "\n" in s else (S["top"] / s).read_text() for s in sources))


# ---- cases ----
def the_api_goes_on_with_a_new_ca():
    client, cloud = S["client"], S["cloud"]
    known = {"X-Auth-Token": "known"}
    client("GET", "/v1/clusters", want=200, headers=known)
    wait_for("spans", lambda: cloud.spans)
    cloud.show(S["top"] / "two")
    client("GET", "/v1/clusters", want=503)
    client("GET", "/v1/clusters", want=200, headers=known)  # remembered
    put("ca.pem", "ca-two.pem")
    for bad in ("no certificate\n", "ca-two.key"):
        put("collector.pem", bad)
        text = reload("magnum-api", AS_IT_WAS)
        check("trace.cafile: " in text and "collector.pem holds no certificate" in text, text)
        client("GET", "/v1/clusters", want=503)  # nor the good one
    put("collector.pem", "ca-two.pem")
    put("ca.pem", "\n")
    check("keystone.cafile: " in reload("magnum-api", AS_IT_WAS), "the file is named")
    put("ca.pem", "ca-one.pem", "ca-two.pem")
    client("GET", "/v1/clusters", want=503)
    seen = cloud.spans
    check("restart" not in reload("magnum-api", IN_FORCE), "nothing needs a restart")
    client("GET", "/v1/clusters", want=200)
    S["template"] = client.simulator("new", steps=3, step_ms=20)  # Glance's answer
    wait_for("spans", lambda: cloud.spans > seen)


def the_conductor_does_too():
    client = S["client"]
    S["first"] = client.create("first", S["template"])
    wait_for("the conductor to refuse what Keystone shows",
             lambda: "certificate" in (client.operations(S["first"])[0]["reason"] or ""))
    put("ca.pem", "nothing\n")
    check("keystone.cafile: " in reload("magnum-conductor", AS_IT_WAS), "the file is named")
    put("ca.pem", "ca-two.pem")
    check("restart" not in reload("magnum-conductor", IN_FORCE), "nothing needs a restart")
    client.wait_status(S["first"], "CREATE_COMPLETE")


def signs(cluster, want=201):
    _, request = certs.csr()
    S["client"]("POST", "/v1/certificates", dict(cluster_uuid=cluster, csr=request), want=want)


def the_key_that_seals_has_a_successor():
    former, new = (S["top"] / "seal.key").read_text().strip() + "\n", "5a" * 32 + "\n"
    signs(S["first"])
    put("seal.key", new)  # nobody could open what is sealed
    check("certificates.key_file: " in reload("magnum-conductor", AS_IT_WAS), "the file is named")
    put("seal.key", new, "nonsense\n")
    check("certificates.key_file" in reload("magnum-conductor", AS_IT_WAS), "the file is named")
    signs(S["first"])
    put("seal.key", new, former)
    reload("magnum-conductor", IN_FORCE)
    signs(S["first"])
    S["second"] = S["client"].create("second", S["template"])
    S["client"].wait_status(S["second"], "CREATE_COMPLETE")
    signs(S["second"])
    put("seal.key", former)  # it would not open the second one's
    reload("magnum-conductor", AS_IT_WAS)
    put("seal.key", new)
    check("has lost a former key" in reload("magnum-conductor", IN_FORCE), "a former key is missed")
    signs(S["second"])
    signs(S["first"], want=(400, 500))
    put("seal.key", new, former)
    reload("magnum-conductor", IN_FORCE)
    signs(S["first"])


def keys_of_messages():
    """The API goes on with its own; a conductor says that it takes a restart."""
    top, next_keys = S["top"], S["top"] / "next"
    subprocess.run([str(mt.BIN / "magnum-keygen"), "--dir", str(next_keys)], check=True, stdout=subprocess.DEVNULL)
    shutil.copy(next_keys / "authorized/api.key", top / "keys/authorized/next.key")
    shutil.copy(next_keys / "api.key", top / "keys/api.key")
    check("restart" not in reload("magnum-api", IN_FORCE), "the API needs none")
    signs(S["first"])
    check("restart" not in reload("magnum-api", IN_FORCE), "nor when nothing changed")
    (top / "keys/authorized/api.key").unlink()
    signs(S["second"])
    os.chmod(top / "keys/api.key", 0o644)
    check("api.key can be read by others" in reload("magnum-api", AS_IT_WAS), "the file is named")
    os.chmod(top / "keys/api.key", 0o600)
    shutil.copy(next_keys / "conductor.key", top / "keys/conductor.key")
    for _ in range(2):  # as long as it is so
        reload("magnum-conductor", "what needs a restart: conductor.key in rpc.keys_dir")
    signs(S["first"])


@contextlib.contextmanager
def stack(top, connection):
    make_pairs(top)
    for name in ("ca.pem", "collector.pem"):
        shutil.copy(top / "ca-one.pem", top / name)
    subprocess.run([str(mt.BIN / "magnum-keygen"), "--dir", str(top / "keys")], check=True, stdout=subprocess.DEVNULL)
    pgmagnum.make_seal_key(top)
    subprocess.run([str(mt.BIN / "magnum-db-manage"), "--connection", connection, "upgrade"],
                   check=True, stdout=subprocess.DEVNULL, env=mt.clean_env())
    S["cloud"] = cloud = Cloud(top / "one")
    options = {
        "auth": {"strategy": "keystone"},
        "keystone": {"auth_url": cloud.url(), "password": "pw", "cafile": str(top / "ca.pem")},
        "trust": {"trustee_domain_id": "td", "trustee_domain_admin_name": "admin",
                  "trustee_domain_admin_password": "pw"},
        "trace": {"otlp_endpoint": cloud.url(), "flush_ms": 20, "cafile": str(top / "collector.pem")},
        "rpc": {"keys_dir": str(top / "keys")},
        "conductor": {"backoff_ms": 50, "backoff_max_ms": 200},
        "api": {"preflight_quotas": False},
    }
    with pgmagnum.process(top, "magnum-conductor", connection, **options), \
            pgmagnum.api(top, connection, **options) as client:
        S["client"] = User(client.url)
        wait_for("the driver to be known", lambda: S["client"].simulator("t", steps=3, step_ms=20))
        yield


def main():
    with tempfile.TemporaryDirectory(prefix="mgr-") as d, pgmagnum.one_server(pathlib.Path(d)) as server:
        S["top"] = pathlib.Path(d)
        with stack(S["top"], server.connection()):
            S["pids"] = {p: mt.children(os.getpid(), p)[0] for p in ("magnum-conductor", "magnum-api")}
            mt.main("__main__", [the_api_goes_on_with_a_new_ca, the_conductor_does_too,
                                 the_key_that_seals_has_a_successor, keys_of_messages])


if __name__ == "__main__":
    main()
