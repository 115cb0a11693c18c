"""The Debian packages as an operator meets them: lintian finds nothing, they install, make the
account, the keys and the configuration, serve from a database, keep what was changed through an
upgrade, and leave nothing after a purge. On this machine's own system, but in namespaces and under
an overlay that goes with the test, so that nothing of it stays."""
import contextlib
import glob
import grp
import json
import os
import pathlib
import pwd
import signal
import stat
import subprocess
import sys
import tempfile

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

S = {}
DEBS = mt.BUILD / "package"
NEXT = "1:0.1.0+next"
CONFIG = pathlib.Path("/etc/magnum/magnum.yaml")


# ---- an own view of this system ----

def mount(kind, source, target, *options):
    subprocess.run(["mount", "-t", kind, source, target, *options], check=True)


def mountpoint(path):
    path = os.path.realpath(path)
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


def enter():
    """Namespaces first, by running this file once more; then an overlay over the whole system."""
    if "MAGNUM_PACKAGE_ROOT" not in os.environ:
        with tempfile.TemporaryDirectory() as d:
            r = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--ipc",
                                "--propagation", "private", sys.executable, "-B", *sys.argv],
                               env=dict(os.environ, MAGNUM_PACKAGE_ROOT=d))
        sys.exit(r.returncode)
    top = os.environ["MAGNUM_PACKAGE_ROOT"]
    mount("tmpfs", "tmpfs", top, "-o", "mode=755")
    for d in ("upper", "work", "root"):
        os.mkdir(f"{top}/{d}")
    root = f"{top}/root"
    mount("overlay", "overlay", root, "-o", f"lowerdir=/,upperdir={top}/upper,workdir={top}/work")
    for path in {mountpoint(mt.SOURCE), mountpoint(mt.BUILD), mountpoint(tempfile.gettempdir())} - {"/"}:
        os.makedirs(root + path, exist_ok=True)  # the overlay has but the one file system
        subprocess.run(["mount", "--bind", path, root + path], check=True)
    mount("proc", "proc", f"{root}/proc")
    subprocess.run(["mount", "--rbind", "/dev", f"{root}/dev"], check=True)
    mount("tmpfs", "tmpfs", f"{root}/run", "-o", "mode=755")
    os.chroot(root)
    os.chdir("/")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    policy = pathlib.Path("/usr/sbin/policy-rc.d")  # there is no init here to start services
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)


def run(*command, want=0, **more):
    r = subprocess.run(command, capture_output=True, text=True, **more)
    check(want is None or r.returncode == want,
          f"{' '.join(map(str, command))}: status {r.returncode}: {r.stdout[-3000:]}{r.stderr[-3000:]}")
    return r.stdout


def as_magnum(*command, **more):
    return run("runuser", "-u", "magnum", "--", *command, **more)


def debs(where):
    found = sorted(str(p) for p in pathlib.Path(where).glob("*.deb") if "-dbgsym_" not in p.name)
    check(len(found) >= 8, f"packages in {where}: {found}")
    return found


def names():
    return [pathlib.Path(p).name.split("_")[0] for p in debs(DEBS)]


def traces():
    """Files of ours outside of where dpkg and the logs keep their own records."""
    found = []
    for top in ("/etc", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/usr/share", "/usr/include",
                "/lib/systemd", "/var/lib"):
        for d, dirs, files in os.walk(top):
            dirs[:] = [x for x in dirs if f"{d}/{x}" not in ("/var/lib/dpkg", "/var/lib/apt")]
            found += [f"{d}/{f}" for f in dirs + files if "magnum" in f]
    return set(found)


# ---- cases ----

def they_are_built_and_lintian_is_content():
    run(mt.SOURCE / "tools/package", "--no-deps", "--lint", "--out", DEBS)
    S["before"] = traces()


def they_install():
    run("dpkg", "--install", *debs(DEBS), env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"))
    magnum = pwd.getpwnam("magnum")
    check(magnum.pw_uid < 1000, f"a system account: {magnum}")
    s = CONFIG.stat()
    check_equal((stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid), (0o640, 0, grp.getgrnam("magnum").gr_gid),
                "mode and owner of the configuration")
    for key in ("/etc/magnum/seal.key", "/etc/magnum/keys/conductor.key", "/etc/magnum/keys/api.key"):
        s = os.stat(key)
        check_equal((stat.S_IMODE(s.st_mode), s.st_uid), (0o600, magnum.pw_uid), f"mode and owner of {key}")
    for name in names():
        check(os.path.exists(f"/usr/share/doc/{name}/copyright"), f"{name} has no copyright file")
    for page in ("magnum", "magnum-api", "magnum-driver-check"):
        run("man", "--where", page)


def the_units_are_right():
    if not pathlib.Path("/usr/bin/systemd-analyze").exists():
        raise mt.Failed("systemd-analyze is missing: tools/deps test")
    for unit in ("magnum-api", "magnum-conductor"):
        out = subprocess.run(["systemd-analyze", "verify", f"/lib/systemd/system/{unit}.service"],
                             capture_output=True, text=True)
        said = [x for x in out.stderr.splitlines() if unit in x]
        check(out.returncode == 0 and not said, f"systemd-analyze verify {unit}: {out.stderr}")
        run("systemd-analyze", "security", "--offline=true", "--threshold=35",
            f"/lib/systemd/system/{unit}.service")


@contextlib.contextmanager
def database():
    """As README.Debian says, but for sudo and the cluster: the machine's own is in use outside."""
    d = tempfile.mkdtemp()
    os.chmod(d, 0o755)
    socket = "/var/run/postgresql"
    postgres = pwd.getpwnam("postgres")
    os.makedirs(socket, exist_ok=True)
    os.chown(socket, postgres.pw_uid, postgres.pw_gid)
    os.chown(d, postgres.pw_uid, postgres.pw_gid)
    binaries = pathlib.Path(mt.PSQL).parent

    def own(*command):
        run("runuser", "-u", "postgres", "--", *command, cwd="/")
    own(binaries / "initdb", "--auth=peer", "--no-sync", f"{d}/data")
    own(binaries / "pg_ctl", "--wait", "-t", "300", "-D", f"{d}/data", "-l", f"{d}/log", "-o",
        f"-c listen_addresses= -k {socket}", "start")
    try:
        own(binaries / "createuser", "-h", socket, "magnum")
        own(binaries / "createdb", "-h", socket, "--owner", "magnum", "magnum")
        yield
    finally:
        own(binaries / "pg_ctl", "--wait", "-m", "fast", "-D", f"{d}/data", "stop")


@contextlib.contextmanager
def service(name):
    """As its unit starts it, ready when it says so through sd_notify."""
    import socket
    path = f"/tmp/{name}.notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        os.chmod(path, 0o777)
        s.settimeout(120 * mt.SLOW)
        p = subprocess.Popen(["setpriv", "--reuid=magnum", "--regid=magnum", "--init-groups",
                              f"/usr/bin/{name}"],
                             env=dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC="1000000"))
        try:
            heard = b""
            for what in (b"READY=1", b"WATCHDOG=1"):
                while what not in heard:
                    heard += s.recv(4096) + b"\n"
            yield
        finally:
            p.send_signal(signal.SIGTERM)
            check_equal(p.wait(180), 0, f"exit status of {name}")
            os.unlink(path)


def they_serve():
    with database():
        as_magnum("magnum-db-manage", "upgrade")
        with service("magnum-conductor"), service("magnum-api"):
            client = mt.clean_env(MAGNUM_ENDPOINT="http://127.0.0.1:9511")
            found = json.loads(run("magnum", "service", "list", "-f", "json", env=client))
            rows = found if isinstance(found, list) else found["mservices"]
            check_equal([x["state"] for x in rows], ["up"], "conductors")
            as_magnum("magnum-status", "upgrade", "check")
            listed = as_magnum("magnum-driver-manage", "list")
            for driver in ("org.magnum.kubernetes", "org.magnum.swarm"):
                check(driver in listed, f"{driver} is not in {listed}")


def repack(where):
    """The same packages with a higher version."""
    for deb in debs(DEBS):
        with tempfile.TemporaryDirectory() as d:
            run("dpkg-deb", "--raw-extract", deb, d + "/x")
            control = pathlib.Path(d, "x/DEBIAN/control")
            text = control.read_text()
            old = next(x.split(": ")[1] for x in text.splitlines() if x.startswith("Version: "))
            control.write_text(text.replace(old, NEXT))
            run("dpkg-deb", "--root-owner-group", "-Znone", "--build", d + "/x", where)


def they_upgrade():
    CONFIG.write_text(CONFIG.read_text() + "log:\n  format: json\n")
    keep = {p: pathlib.Path(p).read_bytes() for p in
            [str(CONFIG), "/etc/magnum/seal.key", *glob.glob("/etc/magnum/keys/*.key")]}
    as_magnum("ln", "-s", "/etc/issue", "/etc/magnum/keys/planted.key")  # root must not follow it
    with tempfile.TemporaryDirectory() as d:
        repack(d)
        run("dpkg", "--install", "--force-confold", *debs(d),
            env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"))
    for path, text in keep.items():
        check(pathlib.Path(path).read_bytes() == text, f"{path} was changed by the upgrade")
    check_equal(os.stat("/etc/issue").st_uid, 0, "owner of a file that is not ours")
    check_equal(run("dpkg-query", "-W", "-f", "${Version}", "magnum-api"), NEXT, "version")


def they_go():
    run("dpkg", "--remove", *names())
    check(CONFIG.exists(), "the configuration went with a mere removal")
    check(not os.path.exists("/usr/bin/magnum-api"), "magnum-api is still there")
    run("dpkg", "--purge", *names())
    check_equal(sorted(traces() - S["before"]), [], "left after the purge")


if __name__ == "__main__":
    enter()
    mt.main(__name__, [they_are_built_and_lintian_is_content, they_install, the_units_are_right, they_serve,
                       they_upgrade, they_go])
