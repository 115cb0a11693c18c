"""Magnum with the lab's Keystone: magnum-allinone for database, conductor and drivers, where the
simulator stands in for the drivers of the cluster types a test needs, and beside it magnum-api
processes that ask the lab."""
import contextlib
import os
import pathlib
import tempfile

import yaml

import magnumtest as mt
from magnumtest import check, check_equal, wait_for

KUBERNETES = ("vm", "fedora-coreos", "kubernetes")


def simulator_for(directory, provides):
    """A plugin directory with the simulator alone, for these (server type, distribution, COE)."""
    source = mt.BUILD / "plugins"
    for name in ("simulator.so", "simulator.labels.schema.json"):
        (directory / name).write_bytes((source / name).read_bytes())
    manifest = yaml.safe_load((source / "simulator.yaml").read_text())
    manifest["provides"] = [dict(server_type=t, os=o, coe=c) for t, o, c in provides]
    (directory / "simulator.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


@contextlib.contextmanager
def stack(provides=(KUBERNETES,), options=()):
    """A started magnumtest.Allinone."""
    with tempfile.TemporaryDirectory(prefix="mgl-") as top:
        directory = pathlib.Path(top) / "plugins"
        os.chmod(top, 0o755)  # PostgreSQL and drivers run as another user
        directory.mkdir()
        simulator_for(directory, provides)
        with mt.Allinone(options=["--set", f"drivers.plugin_dirs={directory}", *options]) as s:
            yield s.start()


@contextlib.contextmanager
def api(s, l, name="lab", **options):
    """The URL of a magnum-api beside the stack's own. options: section__name=value."""
    port, log = s.state / f"{name}.port", f"magnum-api-{name}.log"
    port.unlink(missing_ok=True)
    values = {**l.magnum_options(), "api.port": 0, "api.port_file": port, "log.level": "warning"}
    values.update({k.replace("__", "."): v for k, v in options.items()})
    p = s.beside("magnum-api", log, *(f"{k}={v}" for k, v in values.items()))
    try:
        def ready():
            if p.poll() is not None:
                raise RuntimeError((s.state / "log" / log).read_text(errors="replace")[-4000:])
            return port.read_text().strip()
        yield f"http://127.0.0.1:{wait_for('magnum-api to be ready', ready, 30)}"
    finally:
        p.terminate()
        p.wait(180)
    check_equal(p.returncode, 0, "exit status of magnum-api")


class As:
    """Requests to one API with one token: As(url, token)("GET", "/v1/clusters", want=200)."""

    def __init__(self, url, token):
        self.url, self.token = url, token

    def __call__(self, method, path, body=None, want=None, text=None, **headers):
        """text: what the error says, whole."""
        if self.token is not None:
            headers["X-Auth-Token"] = self.token
        a = mt.request(self.url, method, path, body, headers=headers)
        wanted = want if isinstance(want, tuple) or want is None else (want,)
        check(wanted is None or a.status in wanted, f"{method} {path}: wanted {want}, got {a}")
        if text is not None:
            check_equal(a.json()["errors"][0]["detail"], text, f"{method} {path}")
        return a
