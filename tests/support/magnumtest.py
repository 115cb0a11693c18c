"""What the system tests share: starting Magnum's processes on free ports with a state directory of
their own, HTTP requests, waiting for conditions, and looking for what was left behind.

Standard library only. Every wait has a time limit and polls a condition. A test file ends with
`main(__name__, [cases])`, which prints "N passed, M failed" for CTest and tests/run.
"""
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

SOURCE = pathlib.Path(os.environ.get("MAGNUM_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("MAGNUM_BUILD_DIR", SOURCE / "build/dev"))
BIN = BUILD / "bin"
# Debian's /usr/bin/psql is a wrapper that takes ten times as long as the program itself.
PSQL = str(([*sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/psql")), "psql"])[0])
SLOW = 4 if os.environ.get("MAGNUM_SANITIZED") else 1  # sanitizers cost this factor in time
LEAST_S = 120  # bounds only end what hangs: a disk or a processor may stand still for many seconds


class Failed(AssertionError):
    """A check that did not hold."""


def check(condition, message):
    if not condition:
        raise Failed(message)


def check_equal(got, want, what):
    check(got == want, f"{what}: got {got!r}, want {want!r}")


def wait_for(what, condition, timeout=30.0, every=0.02):
    """The first true value of condition(); Failed with the last error when none comes in time."""
    timeout = max(timeout, LEAST_S)
    until = time.monotonic() + timeout * SLOW
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
        except (OSError, http.client.HTTPException, Failed) as e:
            last = e
        if time.monotonic() > until:
            raise Failed(f"timed out after {timeout} s waiting for {what}"
                         + (f" ({last})" if last else ""))
        time.sleep(every)


def free_port():
    """For programs that can't be told 0. None of those the kernel gives away: tests that run beside
    open thousands of connections, and one of them would have it before the program does."""
    for _ in range(1000):
        port = random.randrange(20000, 32768)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise Failed("no port is free")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


def request(url, method, path, body=None, headers=None, timeout=120.0):
    """One request on a connection of its own. A dict or list body is sent as JSON."""
    host, port = re.match(r"http://([^:/]+):(\d+)", url).groups()
    headers = dict({"OpenStack-API-Version": "container-infra latest"}, **(headers or {}))
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
        headers.setdefault("Content-Type", "application/json")
    c = http.client.HTTPConnection(host, int(port), timeout=timeout)
    try:
        c.request(method, path, body, headers)
        r = c.getresponse()
        return Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
    finally:
        c.close()


class Client:
    """The API of one endpoint, with the calls the tests need."""

    def __init__(self, url):
        self.url = url

    def __call__(self, method, path, body=None, want=None, **kw):
        a = request(self.url, method, path, body, **kw)
        if want is not None:
            check(a.status in (want if isinstance(want, tuple) else (want,)),
                  f"{method} {path}: wanted {want}, got {a}")
        return a

    def template(self, name, **kw):
        body = dict(name=name, coe="swarm", server_type="local", image_id="linux",
                    external_network_id="public", **kw)
        return self("POST", "/v1/clustertemplates", body, want=201).json()["uuid"]

    def simulator(self, name, **labels):
        """A template of the simulator; labels without their prefix sim_."""
        body = dict(name=name, coe="kubernetes", server_type="vm", image_id="simulated",
                    external_network_id="public",
                    labels={f"sim_{k}": str(v) for k, v in labels.items()})
        return self("POST", "/v1/clustertemplates", body, want=201).json()["uuid"]

    def create(self, name, template, headers=None, **kw):
        body = dict(name=name, cluster_template_id=template, **kw)
        return self("POST", "/v1/clusters", body, want=202, headers=headers).json()["uuid"]

    def show(self, ident):
        a = self("GET", f"/v1/clusters/{ident}", want=(200, 404))
        return a.json() if a.status == 200 else None

    def clusters(self):
        return self("GET", "/v1/clusters", want=200).json()["clusters"]

    def resize(self, ident, count, **kw):
        self("POST", f"/v1/clusters/{ident}/actions/resize", dict(node_count=count, **kw), want=202)

    def delete(self, ident):
        self("DELETE", f"/v1/clusters/{ident}", want=204)

    def operations(self, ident=None):
        path = f"/v1/clusters/{ident}/operations" if ident else "/v1/operations"
        return self("GET", path, want=200).json()["operations"]

    def wait_status(self, ident, wanted, timeout=60.0):
        """Waits for one of `wanted`; a *_FAILED that is not wanted fails at once."""
        wanted = wanted if isinstance(wanted, (tuple, list, set)) else (wanted,)

        def there():
            c = self.show(ident)
            status = c["status"] if c else "GONE"
            if status in wanted:
                return c or status
            if status.endswith("FAILED"):
                raise RuntimeError(f"{ident} is {status}: {c['status_reason']}")
            return None
        try:
            return wait_for(f"{ident} to be {'/'.join(wanted)}", there, timeout)
        except Failed as e:
            with contextlib.suppress(Exception):
                c = self.show(ident) or {}
                e.args = (f"{e.args[0]}; it is {c.get('status')}: {c.get('status_reason')}; "
                          f"operations: {json.dumps(self.operations(ident))[:3000]}",)
            raise

    def wait_gone(self, ident, timeout=60.0):
        return self.wait_status(ident, "GONE", timeout)


# ---- processes ----

def stat_fields(pid):
    """(state, parent pid) or None when there is no such process."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    rest = text[text.rindex(")") + 2:].split()
    return rest[0], int(rest[1])


def pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def children(pid, program=None):
    """Live children of `pid`, optionally only those running `program` (name of the executable)."""
    found = []
    for p in pids():
        fields = stat_fields(p)
        if not fields or fields[1] != pid or fields[0] == "Z":
            continue
        if program and program_of(p) != program:
            continue
        found.append(p)
    return found


def program_of(pid):
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).replace(" (deleted)", "")
    except OSError:
        return ""


def alive(pid):
    fields = stat_fields(pid)
    return bool(fields) and fields[0] != "Z"


def clean_env(**more):
    """This environment without what would configure Magnum, its clients or PostgreSQL."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAGNUM_", "OS_", "PG"))}
    return dict(env, **more)


class Allinone:
    """magnum-allinone on a state directory. `state` given: used and kept; else made and removed."""

    def __init__(self, state=None, options=(), env=None):
        self.own_state = state is None
        self.state = pathlib.Path(state or tempfile.mkdtemp(prefix="mgt-"))
        self.state.chmod(0o711)
        self.options, self.env = list(options), dict(env or {})
        self.process, self.url, self.client = None, None, None
        self.bin = BIN

    def command(self, *more):
        return [str(self.bin / "magnum-allinone"), "--state-dir", str(self.state), "--port", "0",
                *self.options, *more]

    def full_env(self):
        return clean_env(**self.env)

    def start(self, timeout=60.0):
        port_file, env_file = self.state / "api.port", self.state / "env.sh"
        port_file.unlink(missing_ok=True)  # of a start that was killed
        env_file.unlink(missing_ok=True)
        self.output = open(self.state / "allinone.out", "ab")
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=self.output,
                                        env=self.full_env(), start_new_session=True)

        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"magnum-allinone ended: {self.text()}")
            return env_file.exists() and port_file.read_text().strip()
        port = wait_for("magnum-allinone to be ready", ready, timeout)
        self.url = f"http://127.0.0.1:{port}"
        self.client = Client(self.url)
        return self

    def text(self):
        return (self.state / "allinone.out").read_text(errors="replace")[-4000:]

    def child(self, program):
        """Pid of the one child that runs `program` ("postgres", "magnum-api", ...), or None."""
        found = children(self.process.pid, program)
        return found[0] if found else None

    def driver_hosts(self):
        conductor = self.child("magnum-conductor")
        return children(conductor, "magnum-driver-host") if conductor else []

    def stop(self, timeout=180.0):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout * SLOW)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Failed(f"magnum-allinone did not stop within {timeout} s: {self.text()}")
            self.check_sanitizers()
        return self.process.returncode if self.process else None

    def check_sanitizers(self):
        """What a sanitizer said in a service's log; a driver's own lines carry driver.output."""
        for log in (self.state / "log").glob("magnum-*.log"):
            said = [line for line in log.read_text(errors="replace").splitlines()
                    if "Sanitizer" in line and "driver.output" not in line]
            check(not said, f"{log.name}: {said[:5]}")

    def kill(self):
        """kill -9, then waits until everything that must not outlive it is gone."""
        mine = children(self.process.pid)
        self.process.kill()
        self.process.wait()
        wait_for("the children to end with magnum-allinone",
                 lambda: not any(alive(p) for p in mine), 30)

    def beside(self, program, log, *options):
        """Another process of `program` on the same database, configured like this one's own."""
        own = self.child(program)
        env = dict(e.split("=", 1) for e in
                   pathlib.Path(f"/proc/{own}/environ").read_text().split("\0") if "=" in e)
        words = pathlib.Path(f"/proc/{own}/cmdline").read_text().split("\0")[1:-1]
        for o in options:
            words += ["--set", o]
        with open(self.state / "log" / log, "ab") as out:
            return subprocess.Popen([str(self.bin / program), *words], env=env,
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def socket_dir(self):
        record = self.state / "socket-dir"
        return record.read_text() if record.exists() else str(self.state / "run")

    def connection(self):
        """For tools that work on its database."""
        return f"host={self.socket_dir()} user=magnum dbname=magnum"

    def sql(self, text):
        """Rows of a query, as lists of text, through psql on the private socket."""
        out = subprocess.run(
            [PSQL, "-h", self.socket_dir(), "-U", "magnum", "-d", "magnum", "-X", "-A", "-t",
             "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", text],
            check=True, capture_output=True, text=True, env=self.full_env()).stdout
        return [line.split("\t") for line in out.splitlines()]

    def cli(self, *args, want=0, timeout=300, env=None):
        """Runs our client; returns its standard output."""
        full = self.full_env()
        full["MAGNUM_ENDPOINT"] = self.url
        full.update(env or {})
        r = subprocess.run([str(self.bin / "magnum"), *args], capture_output=True, text=True,
                           timeout=timeout * SLOW, env=full)
        check(want is None or r.returncode == want,
              f"magnum {' '.join(args)}: exit {r.returncode}, want {want}\n{r.stdout}{r.stderr}")
        return r.stdout if want == 0 else r.stdout + r.stderr

    def __enter__(self):
        return self

    def __exit__(self, kind, value, _):
        well = kind is None or kind is SystemExit and not value.code
        if not well:
            self.show_logs()
        try:
            self.stop()
        except Failed:
            if well:
                raise
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            if getattr(self, "output", None):
                self.output.close()
            destroy_nodes(self)
            if self.own_state:
                remove_state(self.state)

    def show_logs(self, lines=40):
        for log in sorted((self.state / "log").glob("*.log")):
            tail = log.read_text(errors="replace").splitlines()[-lines:]
            print(f"--- {log.name}", *tail, sep="\n", file=sys.stderr)
        print("--- magnum-allinone", self.text(), sep="\n", file=sys.stderr)


def remove_state(state):
    record = pathlib.Path(state) / "socket-dir"
    if record.exists():
        shutil.rmtree(record.read_text(), ignore_errors=True)
    shutil.rmtree(state, ignore_errors=True)


# ---- what is left behind ----

def cgroup_dirs():
    tops = [*pathlib.Path("/sys/fs/cgroup").glob("*/magnum"), "/sys/fs/cgroup/magnum"]
    return [d for top in tops for d, _, _ in os.walk(top)]  # os.walk bears with what just went


def left_behind(marks):
    """Processes, mounts, network namespaces and cgroup directories whose name contains one of
    `marks` (state directories, cluster ids): what a deleted cluster must not leave."""
    found = []
    for pid in pids():
        try:
            line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(
                errors="replace")
        except OSError:
            continue
        if pid != os.getpid() and alive(pid) and any(m in line for m in marks):
            found.append(f"process {pid}: {line[:200]}")
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        if any(m in line for m in marks):
            found.append(f"mount {line}")
    netns = pathlib.Path("/run/netns")
    names = os.listdir(netns) if netns.is_dir() else []
    found += [f"network namespace {n}" for n in names if any(m in n for m in marks)]
    found += [f"cgroup {d}" for d in cgroup_dirs() if any(m in d for m in marks)]
    return found


# ---- local clusters ----

SWARM_ID = "org.magnum.swarm"


def swarm_options(**config):
    """Options for magnum-allinone that set keys of the Swarm driver's own configuration."""
    return [x for k, v in config.items() for x in ("--set", f"driver_config.{SWARM_ID}.{k}={v}")]


def cluster_dirs(stack, driver):
    """Directories of clusters below a driver's state directory."""
    top = stack.state / driver
    return sorted(str(p) for p in top.iterdir()
                  if p.is_dir() and p.name != "images") if top.is_dir() else []


def swarm_dirs(stack):
    return cluster_dirs(stack, "swarm")


def node_dirs(stack, uuid):
    """Directories of one cluster's nodes, the manager's first."""
    for top in map(pathlib.Path, cluster_dirs(stack, "swarm") + cluster_dirs(stack, "kubernetes")):
        record = top / "uuid"
        if record.exists() and record.read_text().strip() == uuid:
            return sorted((p for p in top.glob("n[0-9]*") if p.is_dir()),
                          key=lambda p: int(p.name[1:]))
    return []


def node_pids(stack, uuid):
    """First processes of the nodes that live, in the order of node_dirs."""
    found = []
    for d in node_dirs(stack, uuid):
        with contextlib.suppress(OSError, ValueError):
            pid = json.loads((d / "node.json").read_text())["pid"]
            if alive(pid):
                found.append(pid)
    return found


def node_namespaces(uuid):
    """Network namespaces of one cluster's nodes, without its fabric."""
    top = pathlib.Path("/run/netns")
    return sorted(n for n in (os.listdir(top) if top.is_dir() else [])
                  if n.startswith(f"mag-{uuid}-n"))


def destroy_nodes(stack):
    """Ends what a failed test left of its clusters, by derived names."""
    for top in map(pathlib.Path, cluster_dirs(stack, "swarm") + cluster_dirs(stack, "kubernetes")):
        record = top / "uuid"
        uuid = record.read_text().strip() if record.exists() else ""
        if len(uuid) != 36:
            continue
        names = [n for n in os.listdir("/run/netns") if n.startswith(f"mag-{uuid}")]
        for name in names:
            def inside(name=name):
                return subprocess.run(["ip", "netns", "pids", name], capture_output=True,
                                      text=True).stdout.split()
            for pid in inside():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            with contextlib.suppress(Failed):
                wait_for(f"an empty {name}", lambda: not inside(), 10)
            subprocess.run(["ip", "netns", "del", name], check=False)
        for d in sorted((d for d in cgroup_dirs() if uuid in d), key=len, reverse=True):
            with contextlib.suppress(OSError):
                os.rmdir(d)
        shutil.rmtree(top, ignore_errors=True)


def import_busybox(stack, uuid):
    """Gives every node of a cluster the image magnum-local/busybox:1; there is no registry."""
    with tempfile.TemporaryDirectory() as top:
        root = pathlib.Path(top) / "root"
        (root / "bin").mkdir(parents=True)
        shutil.copy("/bin/busybox", root / "bin/busybox")
        (root / "bin/sh").symlink_to("busybox")
        tar = pathlib.Path(top) / "root.tar"
        subprocess.run(["tar", "-C", str(root), "-cf", str(tar), "."], check=True)
        for d in node_dirs(stack, uuid):
            subprocess.run(["/usr/bin/docker", "-H", f"unix://{d}/docker.sock", "import", str(tar),
                            "magnum-local/busybox:1"], check=True, capture_output=True)


def rows_left(stack, uuid):
    """{table: rows} of a deleted cluster that should be gone; its operations stay as history."""
    tables = stack.sql("SELECT table_name FROM information_schema.columns WHERE column_name = "
                       "'cluster_id' AND table_schema = 'public'")
    left = {}
    for (table,) in tables:
        if table in ("operation", "operation_event"):
            continue
        n = int(stack.sql(f"SELECT count(*) FROM {table} WHERE cluster_id = '{uuid}'")[0][0])
        if n:
            left[table] = n
    n = int(stack.sql(f"SELECT count(*) FROM cluster WHERE uuid = '{uuid}'")[0][0])
    if n:
        left["cluster"] = n
    return left


def delete_all(stack, timeout=120):
    """Deletes what a failed test left; the nodes are no children of magnum-allinone."""
    for c in stack.client.clusters():
        stack.client("DELETE", f"/v1/clusters/{c['uuid']}")
    wait_for("all clusters to be gone", lambda: not stack.client.clusters(), timeout)


# ---- running ----

def main(module_name, cases):
    """Runs the cases (functions) in order; an argument selects those whose name contains it."""
    if module_name != "__main__":
        return
    chosen = [c for c in cases if len(sys.argv) < 2 or sys.argv[1] in c.__name__]
    passed = failed = 0
    for case in chosen:
        begin = time.monotonic()
        try:
            case()
            passed += 1
            print(f"ok   {case.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Exception:  # one broken case must not hide the others
            failed += 1
            print(f"FAIL {case.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
            traceback.print_exc()
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not chosen else 0)
