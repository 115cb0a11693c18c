"""The original in Python, from Debian's packages, beside the lab: its API as Debian runs it (uwsgi, a
worker per processor), its conductor, and a database of its own in the lab's MariaDB.

Its packages are unpacked into the state directory and run from there, only what they depend on is
installed: no account is made, nothing is started by a maintainer script, and no program of a name of
ours comes into the PATH. Keystone, memcached and RabbitMQ are the lab's.
"""
import fcntl
import json
import os
import pathlib
import shutil
import subprocess

import lab
import magnumtest as mt
import ours
import stack as st

NAME = "Magnum in Python"
STATE = pathlib.Path(os.environ.get("PYTHON_MAGNUM_STATE", f"{lab.STATE}-python"))
DATABASE = "python_magnum"
PACKAGES = ["python3-magnum", "magnum-common", "magnum-api", "magnum-conductor"]
NEEDED = "uwsgi-core, uwsgi-plugin-python3, python3-pymysql, mariadb-client"
WORKERS = 2 * os.cpu_count()  # what Debian's uwsgi.ini of it advises
AUTH = f"""auth_type = password
auth_url = {lab.AUTH_URL}
username = magnum
password = {lab.PASSWORD}
user_domain_name = Default
project_name = service
project_domain_name = Default
region_name = {lab.REGION}
"""
CONFIG = """[DEFAULT]
transport_url = rabbit://lab:{password}@127.0.0.1:5672/
control_exchange = {database}
state_path = {state}
log_dir = {state}/log
[database]
connection = mysql+pymysql://lab:{password}@127.0.0.1:{port}/{database}?charset=utf8mb4
[api]
api_paste_config = {root}/usr/share/magnum-common/api-paste.ini
[keystone_authtoken]
www_authenticate_uri = {auth_url}
memcached_servers = 127.0.0.1:11211
{auth}[keystone_auth]
{auth}[trust]
trustee_domain_name = magnum
trustee_domain_admin_name = trustee_domain_admin
trustee_domain_admin_domain_name = magnum
trustee_domain_admin_password = {password}
[certificates]
cert_manager_type = x509keypair
[quotas]
max_clusters_per_project = 10000000
[oslo_concurrency]
lock_path = {state}/lock
[oslo_messaging_notifications]
driver = noop
"""


def run(*command, **more):
    r = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, **more)
    mt.check(r.returncode == 0, f"{' '.join(map(str, command))}: {r.stdout[-2000:]}{r.stderr[-2000:]}")
    return r.stdout


def starttime(pid):
    """With the pid it names a process for good."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return text.rsplit(")", 1)[1].split()[19]


class Original:
    def __init__(self):
        self.lock = open(f"/run/lock/{STATE.name}", "w")  # there is one state directory, and one database
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise SystemExit("somebody else is measuring beside the original") from e
        self.root, self.config = STATE / "root", STATE / "magnum.conf"
        self.env = mt.clean_env(PYTHONDONTWRITEBYTECODE="1", HOME=str(STATE),
                                PYTHONPATH=str(self.root / "usr/lib/python3/dist-packages"))

    # ---- packages ----

    def install(self):
        """The version."""
        archives = STATE / "archives"
        archives.mkdir(parents=True, exist_ok=True)
        if not (self.root / "usr/bin/magnum-conductor").exists():
            run("apt-get", "download", "-q", *PACKAGES, cwd=archives)
            for deb in archives.glob("*.deb"):
                run("dpkg-deb", "-x", deb, self.root)
        library = next(archives.glob("python3-magnum_*.deb"))
        depends = run("dpkg-deb", "-f", library, "Depends").strip()
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
        run("apt-get", "-o", "DPkg::Lock::Timeout=300", "satisfy", "-y", "-q", "--no-install-recommends",
            f"{depends}, {NEEDED}", env=env)
        return run("dpkg-deb", "-f", library, "Version").strip()

    # ---- database ----

    def sql(self, text):
        return run("mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", port_of_database(), "-u", "lab",
                   f"-p{lab.PASSWORD}", "-N", "-B", "-e", text)

    def fill(self, rows):
        """rows: {table: what an API shows of its objects}"""
        script = pathlib.Path(__file__).with_name("original_rows.py")
        run("/usr/bin/python3", "-B", script, "--config-file", self.config, input=json.dumps(rows),
            env=self.env)

    def rest(self):
        """Ends the conductor: every minute it looks at every cluster, and there is nothing behind these."""
        self.conductor_mb = ours.shared_out(st.tree(self.pid("conductor")))
        self.end("conductor")

    # ---- processes ----

    def spawn(self, name, *command):
        with open(STATE / "log" / f"{name}.out", "ab") as out:
            p = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                 env=self.env, cwd=STATE, start_new_session=True)
        (STATE / f"{name}.pid").write_text(f"{p.pid} {starttime(p.pid)}")
        return p

    def pid(self, name):
        """Of a daemon that runs, or None; never of another process that got its number."""
        record = STATE / f"{name}.pid"
        if not record.exists():
            return None
        pid, begun = record.read_text().split()
        try:
            return int(pid) if mt.alive(int(pid)) and starttime(pid) == begun else None
        except (FileNotFoundError, ProcessLookupError):
            return None

    def end(self, name):
        pid = self.pid(name)
        if pid:
            mine = st.tree(pid)
            os.kill(pid, 15)
            try:
                mt.wait_for(f"{name} to end", lambda: not any(mt.alive(p) for p in mine), 20)
            except mt.Failed:
                for p in filter(mt.alive, mine):
                    os.kill(p, 9)
        (STATE / f"{name}.pid").unlink(missing_ok=True)

    def start(self):
        """Ready to answer; its URL."""
        for d in ("log", "lock"):
            (STATE / d).mkdir(parents=True, exist_ok=True)
        self.config.write_text(CONFIG.format(
            password=lab.PASSWORD, database=DATABASE, state=STATE, root=self.root, auth=AUTH,
            auth_url=lab.AUTH_URL, port=port_of_database()))
        self.sql(f"DROP DATABASE IF EXISTS {DATABASE}; CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
        self.program("magnum-db-manage", "upgrade")
        self.port = mt.free_port()
        options = f"--config-file={self.config}"
        self.spawn("conductor", "/usr/bin/python3", self.root / "usr/bin/magnum-conductor", options)
        self.spawn("api", "uwsgi_python3", "--ini", self.uwsgi_ini(), "--pyargv", options)
        url = f"http://127.0.0.1:{self.port}"

        def ready():
            for name in ("api", "conductor"):
                if not self.pid(name):
                    raise RuntimeError(self.said(name))
            services = self.sql(f"SELECT count(*) FROM {DATABASE}.magnum_service").strip()
            return services != "0" and mt.request(url, "GET", "/v1").status == 200
        mt.wait_for("the original to answer", ready, 90, every=0.2)
        return url

    def program(self, name, *words):
        return run("/usr/bin/python3", self.root / "usr/bin" / name, "--config-file", self.config, *words,
                   env=self.env)

    def uwsgi_ini(self):
        """Debian's, with our port, paths and as many workers as it advises."""
        ours = {"processes": WORKERS, "chdir": STATE, "wsgi-file": self.root / "usr/bin/magnum-api-wsgi",
                "uid": None, "gid": None, "logto": None, "paste": None, "paste-logger": None}
        lines = (self.root / "etc/magnum/magnum-api-uwsgi.ini").read_text().splitlines()
        kept = [line for line in lines if line.split("=")[0].strip() not in ours]
        kept += [f"{k} = {v}" for k, v in ours.items() if v is not None]
        path = STATE / "uwsgi.ini"
        path.write_text("\n".join([*kept, f"http-socket = 127.0.0.1:{self.port}", "disable-logging = true", ""]))
        return path

    def said(self, name):
        texts = [p.read_text(errors="replace")[-3000:] for p in (STATE / "log").glob(f"*{name}*")]
        return f"{name} of the original has ended: " + "\n".join(texts)

    def stop(self):
        for name in ("api", "conductor"):
            self.end(name)
        if lab.running("identity"):
            self.sql(f"DROP DATABASE IF EXISTS {DATABASE}")
        for made in ("log", "lock", "uwsgi.ini", "magnum.conf"):
            path = STATE / made
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    # ---- figures ----

    def processes(self):
        return st.tree(self.pid("api"))

    def memory(self):
        return [("API", ours.shared_out(self.processes())), ("conductor and its drivers", self.conductor_mb)]


def port_of_database():
    return os.environ.get("LAB_DB_PORT", "13306")
