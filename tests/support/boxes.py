"""Machines that boot scripts may do anything to: each a copy of this machine's file system (overlay
on a tmpfs, entered by chroot) in a network namespace of its own, all within one mount, network and
process namespace that ends with the test. And the OpenStack around them: Keystone's tokens, Magnum's
certificates (signed by openssl), Heat's signals, Nova's metadata, a mirror of files.
Needs root; nothing outside of the namespaces is changed."""
import contextlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.parse

from magnumtest import check, wait_for

SOURCE = pathlib.Path(os.environ["MAGNUM_SOURCE_DIR"])
FAKES = SOURCE / "tests/fakes/node"
GATEWAY = "10.0.0.1"
PORT = 8000
TOP = pathlib.Path("/mnt")
KINDS = ("kubelet", "etcd", "front-proxy")


def enter():
    """Runs the program again in namespaces of its own, which take all its processes with them."""
    if os.environ.get("MAGNUM_BOXES") == "in":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6g", "boxes", str(TOP)], check=True)
        # an address of its own: else it has that of some box, and another one when that box goes
        for words in ("link set lo up", "link add br0 address 02:00:00:00:00:01 type bridge",
                      "link set br0 up",
                      f"addr add {GATEWAY}/24 dev br0"):
            subprocess.run(["ip", *words.split()], check=True)
        os.makedirs("/run/netns", exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "netns", "/run/netns"], check=True)
        return
    os.execvpe("unshare", ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child",
                           "--mount-proc", sys.executable, "-B", *sys.argv],
               dict(os.environ, MAGNUM_BOXES="in"))


def run(*words, want=0, timeout=120, **kw):
    r = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, timeout=timeout, stdin=kw.pop("stdin", subprocess.DEVNULL), **kw)
    check(want is None or r.returncode == want,
          f"{' '.join(map(str, words))}: exit {r.returncode}\n{r.stdout[-4000:]}")
    return r.stdout


class Cas:
    """One CA of each kind; a rotation begins with both trusted, the new one first and signing."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ca-", dir=TOP))
        self.number = 0
        self.trusted = []
        self.begin()

    def begin(self):
        self.number += 1
        for kind in KINDS:
            base = self.dir / f"{kind}-{self.number}"
            run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650",
                "-keyout", f"{base}.key", "-out", f"{base}.pem", "-subj", f"/CN={kind} {self.number}",
                "-addext", "basicConstraints=critical,CA:TRUE",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.trusted.insert(0, self.number)

    def end(self):
        self.trusted = self.trusted[:1]

    def bundle(self, kind):
        return "".join((self.dir / f"{kind}-{n}.pem").read_text() for n in self.trusted)

    def path(self, kind, number):
        return self.dir / f"{kind}-{number}.pem"

    def sign(self, kind, csr):
        base = self.dir / f"{kind}-{self.trusted[0]}"
        return subprocess.run(
            ["openssl", "x509", "-req", "-days", "1000", "-CA", f"{base}.pem", "-CAkey",
             f"{base}.key", "-copy_extensions", "copyall", "-set_serial",
             "0x" + os.urandom(8).hex()], input=csr, capture_output=True, text=True,
            check=True).stdout


class Cloud(http.server.ThreadingHTTPServer):
    """What a node sees of OpenStack. `broken`: {path prefix: status} to answer with instead."""
    daemon_threads = True

    def __init__(self, cluster):
        super().__init__((GATEWAY, PORT), Handler)
        self.cluster = cluster
        self.cas = Cas()
        self.signals, self.asked, self.signed, self.broken, self.files = [], [], [], {}, {}
        self.metadata = {}  # address of the node -> meta
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def signals_of(self, node):
        return [s for s in self.signals if s["node"] == node]

    def url(self, path):
        return f"http://{GATEWAY}:{PORT}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_one(self, method):
        cloud, url = self.server, urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        cloud.asked.append(f"{method} {self.path}")
        for prefix, status in cloud.broken.items():
            if self.path.startswith(prefix):
                return self.answer(status, {"error": {"message": "broken by the test"}})
        if url.path == "/identity/v3/auth/tokens" and method == "POST":
            return self.token(json.loads(body)["auth"])
        if url.path.startswith("/v1/certificates"):
            return self.certificate(method, url, body)
        if url.path.startswith("/heat/signal/"):
            if self.headers.get("X-Auth-Token") != "heat-token":
                return self.answer(401, {})
            cloud.signals.append(dict(json.loads(body), node=url.path.rsplit("/", 1)[1]))
            return self.answer(200, {})
        if url.path == "/openstack/latest/meta_data.json":
            return self.answer(200, {"meta": cloud.metadata.get(self.client_address[0], {})})
        if url.path in cloud.files:
            content = cloud.files[url.path]
            return self.answer(200, content if isinstance(content, bytes) else content.read_bytes())
        return self.answer(404, {})

    def token(self, auth):
        user = auth["identity"]["password"]["user"]
        known = {("trustee", 'p"a\\s$s%'): ("trustee-token", None),
                 ("stack-user", "Ab1!@#%41^&*"): ("heat-token", "stack-project")}
        token, project = known.get((user["id"], user["password"]), (None, None))
        if not token or auth.get("scope", {}).get("project", {}).get("id") != project:
            return self.answer(401, {"error": {"message": "The request you have made requires "
                                                          "authentication.", "code": 401}})
        return self.answer(201, {"token": {}}, X_Subject_Token=token)

    def certificate(self, method, url, body):
        cloud = self.server
        if self.headers.get("X-Auth-Token") != "trustee-token":
            return self.answer(401, {})
        if self.headers.get("OpenStack-API-Version") != "container-infra latest":
            return self.answer(406, {})
        if method == "GET":
            kind = urllib.parse.parse_qs(url.query).get("ca_cert_type", ["kubelet"])[0]
            if url.path != f"/v1/certificates/{cloud.cluster}":
                return self.answer(404, {})
            return self.answer(200, {"pem": cloud.cas.bundle(kind).rstrip("\n")})
        wanted = json.loads(body)
        if wanted["cluster_uuid"] != cloud.cluster or url.path != "/v1/certificates":
            return self.answer(400, {})
        cloud.signed.append(wanted)
        pem = cloud.cas.sign(wanted["ca_cert_type"], wanted["csr"])
        return self.answer(201, {"pem": pem.rstrip("\n"), "csr": wanted["csr"]})

    def do_GET(self):
        self.handle_one("GET")

    def do_POST(self):
        self.handle_one("POST")


def quoted(values):
    return "".join("{}='{}'\n".format(k, str(v).replace("'", "'\\''")) for k, v in values.items())


class Box:
    """One machine. Its scripts come from FILES lists, as user data would bring them."""

    def __init__(self, name, address, folders, path="/usr/sbin:/usr/bin:/sbin:/bin"):
        self.name, self.address, self.folders = name, address, folders
        self.path = "/fake/bin:" + path
        self.root = TOP / name / "root"
        self.make()

    def make(self):
        base = TOP / self.name
        for d in ("up", "work", "root"):
            (base / d).mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "overlay", "overlay", "-o",
            f"lowerdir=/,upperdir={base}/up,workdir={base}/work", self.root)
        run("mount", "--rbind", "/dev", self.root / "dev")
        run("mount", "-t", "proc", "proc", self.root / "proc")
        for d in ("run", "tmp"):
            run("mount", "-t", "tmpfs", d, self.root / d)
        for d in ("etc/magnum", "etc/kubernetes", "var/lib/magnum", "opt", "var/lib/etcd",
                  "var/lib/kubelet", "etc/containerd", "fake", "etc/systemd"):
            shutil.rmtree(self.root / d, ignore_errors=True)
            (self.root / d).mkdir(parents=True)
        (self.root / "etc/resolv.conf").unlink(missing_ok=True)
        (self.root / "etc/resolv.conf").write_text("")
        (self.root / "etc/fstab").write_text("# none\n/dev/sdz9 none swap sw 0 0\n")
        for d in ("bin", "pods"):
            (self.root / "fake" / d).mkdir()
        shutil.copy(FAKES / "systemctl", self.root / "fake/bin/systemctl")
        for name in ("modprobe", "swapoff", "sysctl", "udevadm"):
            shutil.copy(FAKES / "nothing", self.root / "fake/bin" / name)
        shutil.copy(FAKES / "kubelet.py", self.root / "fake/kubelet.py")
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", f"v-{self.name}", "type", "veth", "peer", "name", "eth0", "netns",
            self.name)
        run("ip", "link", "set", f"v-{self.name}", "master", "br0", "up")
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        run("ip", "-n", self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        run("ip", "-n", self.name, "link", "set", "eth0", "up")
        run("ip", "-n", self.name, "route", "add", "default", "via", GATEWAY)

    def install(self, role):
        for folder in self.folders:
            for line in (folder / "FILES").read_text().splitlines():
                words = line.split("#")[0].split()
                if words and words[3] in ("all", role) and words[1].startswith("/"):
                    target = self.root / words[1][1:]
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes((folder / words[0]).read_bytes())
                    unit = words[2] in ("unit", "enabled")
                    target.chmod(0o644 if unit else int(words[2], 8))

    def give(self, params, heat):
        for name, values in (("params.sh", params), ("heat.sh", heat)):
            (self.root / "etc/magnum" / name).write_text(quoted(values))

    def command(self, *words):
        return ["ip", "netns", "exec", self.name, "chroot", str(self.root), *map(str, words)]

    def environment(self, **more):
        return dict({"PATH": self.path, "HOME": "/root", "MAGNUM_PATIENCE": "180",
                     "MAGNUM_PAUSE": "0.3", "MAGNUM_KEY_BITS": "2048",
                     "METADATA_URL": f"http://{GATEWAY}:{PORT}/openstack/latest/meta_data.json"},
                    **more)

    def run(self, *words, want=0, timeout=600, **env):
        return run(*self.command(*words), want=want, timeout=timeout, env=self.environment(**env))

    def start(self, *words, **env):
        return subprocess.Popen(self.command(*words), env=self.environment(**env),
                                stdin=subprocess.DEVNULL, stdout=open(TOP / f"{self.name}.log", "a"),
                                stderr=subprocess.STDOUT, start_new_session=True)

    def said(self):
        return (TOP / f"{self.name}.log").read_text()

    def read(self, path):
        return (self.root / path.lstrip("/")).read_text()

    def calls(self):
        return self.read("/fake/calls").splitlines() if (self.root / "fake/calls").exists() else []

    def destroy(self):
        """Power off, and a new disk: what is made under the name again is another machine."""
        def ended():
            pids = run("ip", "netns", "pids", self.name).split()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
            return not pids
        wait_for(f"the processes of {self.name} to end", ended, 60, 0.05)
        # a namespace goes some time after its name: its link would still be there meanwhile
        run("ip", "link", "del", f"v-{self.name}")
        run("ip", "netns", "del", self.name)
        run("umount", "-R", "-l", self.root)
        shutil.rmtree(TOP / self.name)
