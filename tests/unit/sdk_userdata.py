"""User data as its readers see it: cloud-init's own schema check and parts of its own code, and the
rules of Ignition's specification 3.0.0, checked strictly (Debian has no ignition-validate).
Argument: the program of sdk_userdata.c, which writes the samples. Needs neither root nor network."""
import base64
import gzip
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

AWKWARD = "#!/bin/bash\n\n  # ä \"quoted\" 'text' \\n %41 ${x}: {[*&!|>\n\t- tab\n\n\n"
HEAT = "NODE_IP='__NODE_IP__'\n\n# 50%: \"x\" #?&\nWAIT='__WAIT_PASSWORD__'\nE=''\n"
VALUES = {"__NODE_IP__": "10.0.0.5", "__WAIT_PASSWORD__": "aZ0!@#%41^&*"}
WANT = {"/etc/magnum/params.sh": (0o600, "A='b'\n"), "/etc/magnum/heat.sh": (0o600, HEAT),
        "/opt/magnum/boot.sh": (0o755, AWKWARD), "/opt/magnum/empty": (0o644, ""),
        "/opt/magnum/no newline": (0o644, "x")}
UNITS = {"magnum-change.service", "magnum-change.timer", "magnum-boot.service"}
PLAIN = {p: WANT[p] for p in list(WANT)[2:]}  # the sample without a script, units and placeholders
BUNDLE = "/var/lib/magnum-files.tar.gz"
HELD = "magnum-values-1.service"  # with Ignition: the file with the placeholders


def substituted(text):
    for key, value in VALUES.items():
        text = text.replace(key, value)
    return text


def expect(path):
    mode, text = WANT[path]
    return mode, substituted(text) if path.endswith("heat.sh") else text


def check_unit(text):
    section = None
    for line in text.splitlines():
        if re.fullmatch(r"\[[A-Z][A-Za-z-]+\]", line):
            section = line
            continue
        if not line or line.startswith("#"):
            continue
        assert section and re.fullmatch(r"[A-Z][A-Za-z_]*=.+", line), f"unit line {line!r}"
        assert len(line) <= 2048, "longer than Ignition reads"
    return text


def written(top, names):
    """{path: (mode, text)} of what came to lie below a directory."""
    found = {}
    for name in names:
        got = pathlib.Path(str(top) + name)
        found[name] = (got.stat().st_mode & 0o7777, got.read_bytes().decode())
    return found


def unpack_bundle(archive, top):
    """As the boot unit does, with the real tar; nothing else may be in it."""
    top.mkdir(exist_ok=True)
    subprocess.run(["tar", "-xzf", str(archive), "-C", str(top)], check=True)
    names = subprocess.run(["tar", "-tvzf", str(archive)], stdout=subprocess.PIPE, text=True,
                           check=True).stdout.splitlines()
    assert all(re.match(r"-.* (0/0|root/root) .* 1970-01-01", n) for n in names), names
    return len(names)


def boot_unit(text):
    check_unit(text)
    assert "\nExecStart=/bin/bash /opt/magnum/boot.sh\n" in text
    assert f"\nExecStartPre=/bin/bash -ec 'tar -xzf {BUNDLE} -C /'\n" in text
    assert text.index("tar -xzf") < text.index("ExecStart=")


def write_files(doc, directory):
    """cloud-init's own module writes the files, below a directory of ours."""
    for f in doc["write_files"]:
        f["path"] = str(directory) + f["path"]
        f["owner"] = f"{os.getuid()}:{os.getgid()}"
    listed = directory.parent / "doc.json"
    listed.write_text(json.dumps(doc["write_files"]))
    code = ("import json,sys;from cloudinit.config import cc_write_files as m;"
            "m.util.chownbyname=lambda *a: None;"
            "m.write_files('test', json.load(open(sys.argv[1])), 'root:root')")
    r = subprocess.run(["/usr/bin/python3", "-c", code, str(listed)], capture_output=True,
                       text=True)
    assert r.returncode == 0, r.stderr


def check_schema(text, directory, valid=True):
    path = directory / "user-data"
    path.write_text(text)
    r = subprocess.run(["cloud-init", "schema", "--config-file", str(path)], capture_output=True,
                       text=True)
    assert (r.returncode == 0) == valid, r.stdout + r.stderr


def cloud_config(text, plain, directory):
    check_schema(text, directory)
    check_schema(plain, directory)
    check_schema(text.replace("permissions: \"0600\"", "permissions: [6]"), directory, valid=False)
    doc = yaml.safe_load(text)
    assert set(doc) == {"write_files", "runcmd"}, set(doc)
    top = directory / "cloud"
    write_files(doc, top)
    assert (top / BUNDLE[1:]).stat().st_mode & 0o77 == 0, "others can read the parameters"
    assert unpack_bundle(str(top) + BUNDLE, top) == len(WANT) - 1
    assert written(top, WANT) == {n: expect(n) for n in WANT}, written(top, WANT)
    units = {p.name: p.read_text() for p in (top / "etc/systemd/system").iterdir()}
    assert set(units) == UNITS, set(units)
    boot_unit(units["magnum-boot.service"])
    assert doc["runcmd"][0] == ["systemctl", "daemon-reload"]
    started = [c[-1] for c in doc["runcmd"][1:]]
    assert started == ["magnum-change.timer", "magnum-boot.service"], started
    for c in doc["runcmd"]:
        assert all(isinstance(w, str) for w in c), c
    top = directory / "plain"
    write_files(yaml.safe_load(plain), top)
    assert written(top, PLAIN) == PLAIN, written(top, PLAIN)


def data_url(url):
    assert url.startswith("data:;base64,"), url[:40]
    return base64.b64decode(url[len("data:;base64,"):], validate=True)


def keys(obj, required, optional=()):
    assert isinstance(obj, dict), obj
    assert set(required) <= set(obj) <= set(required) | set(optional), set(obj)


def unpack(unit, carried, directory):
    """The line before the script's makes the file: run as systemd would, below our directory."""
    line = re.search(r"^ExecStartPre=/bin/bash -ec '(umask.+)'$", unit, re.M).group(1)
    assert "%" not in line
    line = line.replace("$$", "$").replace("/etc/systemd/system/", f"{directory}/")
    line = line.replace("/etc/magnum/", f"{directory}/made/")
    subprocess.run(["/bin/bash", "-ec", line], check=True)
    made = directory / "made/heat.sh"
    assert (made.stat().st_mode & 0o7777, made.read_text()) == carried, made.read_text()
    assert (directory / HELD).stat().st_mode & 0o77 == 0, "others can read the unit with the values"


def ignition_doc(text):
    """The document when it keeps to the rules: ({path: (mode, bytes)}, {unit: its object})."""
    def once(pairs):
        assert len({k for k, _ in pairs}) == len(pairs), "a member twice"
        return dict(pairs)
    doc = json.loads(text, object_pairs_hook=once)
    keys(doc, ("ignition", "storage", "systemd"), ("passwd",))
    keys(doc["ignition"], ("version",), ("config", "timeouts", "security"))
    assert doc["ignition"]["version"] == "3.0.0"
    keys(doc["storage"], ("files",), ("disks", "raid", "filesystems", "directories", "links"))
    found, units = {}, {}
    for f in doc["storage"]["files"]:
        keys(f, ("path",), ("overwrite", "contents", "append", "mode", "user", "group"))
        assert f["path"].startswith("/") and os.path.normpath(f["path"]) == f["path"], f["path"]
        assert f["path"] not in found, f"{f['path']} twice"
        assert isinstance(f["overwrite"], bool) and type(f["mode"]) is int
        assert 0 <= f["mode"] <= 0o7777
        keys(f["contents"], ("source",), ("compression", "verification"))
        data = data_url(f["contents"]["source"])
        assert f["contents"].get("compression", "gzip") == "gzip"
        if "compression" in f["contents"]:
            data = gzip.decompress(data)
        found[f["path"]] = (f["mode"], data)
    for a in found:  # nothing below a file
        assert not any(b.startswith(a + "/") for b in found), a
    keys(doc["systemd"], ("units",))
    for u in doc["systemd"]["units"]:
        keys(u, ("name",), ("enabled", "mask", "contents", "dropins"))
        assert re.fullmatch(r"[A-Za-z0-9:_.@-]+\.(service|timer|mount|path|socket)", u["name"])
        assert u["name"] not in units, f"{u['name']} twice"
        assert isinstance(u.get("enabled", False), bool)
        check_unit(u["contents"])
        assert not u.get("enabled") or "[Install]" in u["contents"], f"{u['name']}: can't be enabled"
        units[u["name"]] = u
    return found, units


def ignition(text, plain, directory):
    found, units = ignition_doc(text)
    want = {name: expect(name) for name in WANT}
    carried = want.pop("/etc/magnum/heat.sh")
    assert set(found) == {BUNDLE} and found[BUNDLE][0] == 0o600, set(found)
    (directory / "bundle").write_bytes(found[BUNDLE][1])
    assert unpack_bundle(directory / "bundle", directory / "ignition") == len(want)
    assert written(directory / "ignition", want) == want
    assert set(units) == UNITS | {HELD}, set(units)
    (directory / HELD).write_text(units[HELD]["contents"])
    boot_unit(units["magnum-boot.service"]["contents"])
    unpack(units["magnum-boot.service"]["contents"], carried, directory)
    found, units = ignition_doc(plain)
    assert not units
    assert {p: (m, d.decode()) for p, (m, d) in found.items()} == PLAIN, found


def shell(path):
    """A shell reads the parameters back as they were."""
    code = f". {path} && printf '%s|' \"$A\" \"$B\" \"$E\" \"$T\" \"$F\" \"${{N-unset}}\""
    for sh in ("sh", "bash"):
        out = subprocess.run([sh, "-c", code], stdout=subprocess.PIPE, check=True).stdout.decode()
        assert out == "-5|it's $x `y` \"z\"\n2||true|false|unset|", out


def main():
    with tempfile.TemporaryDirectory(prefix="magnum-userdata-") as top:
        env = dict(os.environ, MAGNUM_USERDATA_SAMPLES=top)
        subprocess.run([sys.argv[1]], env=env, check=True, stdout=subprocess.DEVNULL)
        d = pathlib.Path(top)
        cloud_config(substituted((d / "cloud-config.yaml").read_text()),
                     (d / "plain.yaml").read_text(), d)
        ignition(substituted((d / "ignition.json").read_text()), (d / "plain.json").read_text(), d)
        shell(d / "params.sh")
    print("sdk_userdata_readers: 3 passed, 0 failed")


main()
