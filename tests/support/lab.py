"""The OpenStack lab beside the source tree (../shared/lab): one way for every test to have it.

    import lab
    with lab.up("full") as l:          # or "identity": Keystone and Barbican only
        token = l.token("demo")        # the password of every account is the lab's
        l.call(token, "image", "GET", "/v2/images")

There is no lab: the test says so and ends with status 77, which CTest counts as skipped. The lab
runs: it is used and left running. Else its packages are installed and it is started (the first start
of "full" takes two minutes), and stopped at the end of the block.

CTest does the same once per run: magnum_add_lab_test (lab.cmake) makes a test depend on the fixtures
lab/identity or lab/full, which start it ("lab.py start PROFILE"), and on lab/stop, which stops it when
the last test is through, if they started it: a file in the build directory says so.
"""
import contextlib
import fcntl
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

import magnumtest as mt
from magnumtest import check

HOME = mt.SOURCE.parent / "shared" / "lab"
AUTH_URL = "http://127.0.0.1:5000/v3"
PASSWORD = "lab-secret"
REGION = "RegionOne"
STATE = pathlib.Path(os.environ.get("LAB_STATE", "/var/lib/magnum-lab"))
RECORD = mt.BUILD / "lab-started"
SKIP = 77
DAEMONS = {
    "identity": ["mariadb", "memcached", "keystone", "barbican"],
    "full": ["mariadb", "memcached", "keystone", "barbican", "rabbitmq", "glance", "placement",
             "nova-api", "nova-conductor", "nova-scheduler", "nova-compute", "neutron", "heat-api",
             "heat-engine", "octavia-api", "discovery", "nodefaker"],
}
DEFAULT_PROJECT = {"demo2": "demo", "reader": "demo", "magnum": "service", "nobody": None}


# ---- requests ----

def _open(method, url, body, headers, timeout=120):
    """(status, headers, text); an HTTP error is an answer like others."""
    data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
    rq = urllib.request.Request(url, data, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(rq, timeout=timeout) as r:
            return r.status, r.headers, r.read()
    except urllib.error.HTTPError as e:
        with e:
            return e.code, e.headers, e.read()


def keystone(method, path, body=None, token=None, subject=None, want=(200, 201, 204)):
    """(X-Subject-Token, document) of a request to Keystone."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["X-Auth-Token"] = token
    if subject:
        headers["X-Subject-Token"] = subject
    status, got, text = _open(method, AUTH_URL + path, body, headers)
    check(status in want, f"Keystone {method} {path}: {status} {text[:500]!r}")
    return got.get("X-Subject-Token"), json.loads(text) if text else {}


def of_project(name):
    return {"project": {"name": name, "domain": {"name": "Default"}}}


def of_domain(name="Default"):
    return {"domain": {"name": name}}


SYSTEM = {"system": {"all": True}}


def login(user, scope=None, domain="Default"):
    """(token, its document). scope: of_project(), of_domain(), SYSTEM, {"OS-TRUST:trust": ...}, or
    None: unscoped."""
    auth = {"identity": {"methods": ["password"], "password": {"user": {
        "name": user, "domain": {"name": domain}, "password": PASSWORD}}}}
    if scope:
        auth["scope"] = scope
    token, body = keystone("POST", "/auth/tokens", {"auth": auth})
    return token, body["token"]


class Lab:
    """A running lab. started: by this run, so that it may be changed as a whole (the catalogue)."""
    auth_url, region, password = AUTH_URL, REGION, PASSWORD

    def __init__(self, profile, started):
        self.profile, self.started = profile, started
        self._logins, self._catalog = {}, None

    def login(self, user, project="", scope=None):
        """(token, document), asked for once per user and project of a test. project "": the
        account's own."""
        project = DEFAULT_PROJECT.get(user, user) if project == "" else project
        key = (user, project, json.dumps(scope))
        if key not in self._logins:
            self._logins[key] = login(user, scope or (of_project(project) if project else None))
        return self._logins[key]

    def token(self, user, project="", scope=None):
        return self.login(user, project, scope)[0]

    def project_id(self, name):
        user = "magnum" if name == "service" else "admin"
        return self.login(user, name)[1]["project"]["id"]

    def user_id(self, name):
        return self.login(name)[1]["user"]["id"]

    def url(self, service, interface="public"):
        """Endpoint of a service type (image, compute, network, orchestration, key-manager, ...)."""
        if self._catalog is None:
            self._catalog = self.login("admin")[1]["catalog"]
        for s in self._catalog:
            for e in s["endpoints"] if s["type"] == service else ():
                if e["interface"] == interface and e["region"] == REGION:
                    return e["url"].rstrip("/")
        raise mt.Failed(f"the lab has no endpoint of {service}")

    def call(self, token, service, method, path, body=None, want=(200, 201, 202, 204), **headers):
        """The document of a request to a service, path beginning at its endpoint. Not for services
        whose endpoint names a project: take their URL from the token's own catalogue."""
        headers = {"X-Auth-Token": token, "Content-Type": "application/json", **headers}
        status, _, text = _open(method, self.url(service) + path, body, headers)
        check(status in want, f"{service} {method} {path}: {status} {text[:500]!r}")
        with contextlib.suppress(ValueError):
            return json.loads(text)
        return text

    def environ(self, user="admin", project="", **more):
        """Environment of a client program, as the lab's openrc sets it. more: OS_ variables; a None
        leaves one out."""
        project = DEFAULT_PROJECT.get(user, user) if project == "" else project
        values = dict(
            OS_AUTH_URL=AUTH_URL, OS_IDENTITY_API_VERSION="3", OS_AUTH_TYPE="password",
            OS_USERNAME=user, OS_PASSWORD=PASSWORD, OS_PROJECT_NAME=project,
            OS_USER_DOMAIN_NAME="Default", OS_PROJECT_DOMAIN_NAME="Default", OS_REGION_NAME=REGION,
            OS_INTERFACE="public", OS_ENDPOINT_TYPE="publicURL", no_proxy="127.0.0.1,localhost",
            NO_PROXY="127.0.0.1,localhost")
        values.update(more)
        return mt.clean_env(**{k: v for k, v in values.items() if v is not None})

    def magnum_options(self):
        """What a Magnum service needs to know of this lab: {option: value}. Names of images and the
        like come from Glance, Nova and Neutron where the profile has them."""
        return {"auth.strategy": "keystone", "keystone.auth_url": AUTH_URL,
                "keystone.password": PASSWORD, "keystone.region": REGION,
                "keystone.timeout_ms": 60000, "catalog.timeout_ms": 60000,  # all of it on one machine
                "catalog.source": "openstack" if self.profile == "full" else "builtin"}

    @contextlib.contextmanager
    def region_of(self, url, name):
        """The API under test in the catalogue, in a region of its own: clients told that region
        (OS_REGION_NAME) find it, and whoever else uses the lab does not see it."""
        admin = self.token("admin")
        made = []

        def make(kind, document):
            what = keystone("POST", f"/{kind}s", {kind: document}, admin)[1][kind]["id"]
            made.append(f"/{kind}s/{what}")
            return what
        try:
            make("region", {"id": name})
            service = make("service", {"type": "container-infra", "name": f"magnum-{name}"})
            for interface in ("public", "internal", "admin"):
                make("endpoint", {"service_id": service, "interface": interface,
                                  "region_id": name, "url": url})
            yield name
        finally:
            for path in reversed(made):
                keystone("DELETE", path, token=admin)

    def register(self, url):
        """Puts the API under test into the catalogue of everybody. Only where `started`: a lab that
        ran before may have other users."""
        check(self.started, "the catalogue of a lab that was running is not ours to change")
        _command("register-endpoint", url)


# ---- up and down ----

def running(profile):
    """Do all daemons of the profile run, and does Keystone answer?"""
    if not HOME.is_dir():
        return False
    r = subprocess.run([HOME / "status"], capture_output=True, text=True)
    found = set(re.findall(r"^(\S+) +up ", r.stdout, re.M))
    if not found.issuperset(DAEMONS[profile]):
        return False
    with contextlib.suppress(OSError):
        return _open("GET", AUTH_URL, None, {}, timeout=30)[0] == 200
    return False


def _command(name, *args):
    env = dict(os.environ, LAB_EXTRA_PKGS="python3-pymemcache")  # its Keystone's cache wants it
    r = subprocess.run([HOME / name, *args], capture_output=True, text=True, env=env)
    check(r.returncode == 0, f"lab/{name}: {r.stdout[-2000:]}{r.stderr[-2000:]}")


def start(profile):
    """True when something of it had to be started."""
    if running(profile):
        return False
    _command("install", profile)
    _command("start", profile)
    return True


def stop():
    _command("stop")


def skip_without():
    if not HOME.is_dir():
        print(f"skipped: there is no lab at {HOME}", flush=True)
        sys.exit(SKIP)


def _mark():
    """What tells this start of the lab from another: its database's pid and starting time."""
    with contextlib.suppress(OSError):
        return (STATE / "run" / "mariadb.pid").read_text()
    return None


def _recorded():
    """Was the lab as it runs now started by the fixture of this build directory?"""
    return RECORD.exists() and RECORD.read_text() == _mark()


@contextlib.contextmanager
def _users():
    """Held shared by whoever uses the lab, so that none stops it under another's feet."""
    with open(f"/run/lock/{STATE.name}-users", "w") as f:
        fcntl.flock(f, fcntl.LOCK_SH)
        yield f


def _start_for_us(profile):
    """True when the lab, or its smaller profile, did not run before."""
    before = running("identity")
    try:
        start(profile)
    except BaseException:
        if not before:
            stop()
        raise
    return not before


@contextlib.contextmanager
def up(profile="full"):
    """A running Lab; see the head of this file."""
    skip_without()
    with _users() as users:
        started = _start_for_us(profile)
        try:
            yield Lab(profile, started or _recorded())
        finally:
            if started:
                fcntl.flock(users, fcntl.LOCK_EX)
                stop()


def main(command="", profile="full"):
    """The fixtures of CTest. A lab that ran before, also in part, is not stopped."""
    skip_without()
    with _users() as users:
        if command == "start":
            if _start_for_us(profile):
                RECORD.write_text(_mark())
        elif command == "stop":
            if _recorded():
                fcntl.flock(users, fcntl.LOCK_EX)
                stop()
            RECORD.unlink(missing_ok=True)
        else:
            sys.exit("usage: lab.py start [identity|full] | stop")


if __name__ == "__main__":
    main(*sys.argv[1:])
