"""The tutorial of sdk/docs/VENDOR-GUIDE.md, command by command as it stands there, in an empty
directory, with nothing of this tree but what `cmake --install` puts into two places: the SDK for the
vendor, Magnum for the operator. And the examples build with the installed SDK, wherever it is moved."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import magnumtest as mt
from magnumtest import check, check_equal

TOP = pathlib.Path(tempfile.mkdtemp(prefix="mgt-"))
TOP.chmod(0o711)  # PostgreSQL runs as another user
SDK, MAGNUM, DIR = TOP / "moved/sdk", TOP / "magnum", TOP / "vendor"
RUNTIME = ["common", "api", "conductor", "client", "allinone", "plugins-simulator"]


def install(component, prefix):
    r = subprocess.run(["cmake", "--install", str(mt.BUILD), "--component", component, "--prefix",
                        str(prefix)], capture_output=True, text=True)
    check_equal(r.returncode, 0, f"cmake --install of {component}: {r.stdout}{r.stderr}")


def environment():
    """What packages in /usr would make unnecessary, and the three values the tutorial asks for."""
    pkg_config = [str(p.parent) for p in SDK.rglob("magnum-sdk.pc")]
    check_equal(len(pkg_config), 1, "pkg-config files of the SDK")
    return mt.clean_env(PATH=f"{SDK}/bin:{MAGNUM}/bin:/usr/bin:/bin:/usr/sbin:/sbin",
                        CMAKE_PREFIX_PATH=str(SDK), PKG_CONFIG_PATH=pkg_config[0], HOME=str(DIR),
                        CMAKE_GENERATOR="Ninja", STATE=str(TOP / "state"),
                        BACKEND_PORT=str(mt.free_port()), PORT=str(mt.free_port()))


def run(script, cwd, timeout=240):
    """A shell as a person has it open; what it leaves running is ended with its group."""
    with tempfile.TemporaryFile("w+") as out:
        p = subprocess.Popen(["bash", "-c", "set -eo pipefail; set -m\n" + script], cwd=cwd,
                             env=environment(), stdin=subprocess.DEVNULL, stdout=out,
                             stderr=subprocess.STDOUT, text=True, start_new_session=True)
        try:
            p.wait(timeout * mt.SLOW)
        except subprocess.TimeoutExpired:
            out.write("it did not end")
        finally:
            end_session(p.pid)
        out.seek(0)
        return p.returncode, out.read()


def end_session(sid):
    for pid in mt.pids():
        try:
            if os.getsid(pid) == sid:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def the_parts_are_installed():
    install("sdk", TOP / "sdk")
    (TOP / "moved").mkdir()
    (TOP / "sdk").rename(SDK)
    for c in RUNTIME:
        install(c, MAGNUM)
    names = {p.name for p in SDK.rglob("*") if p.is_file()}
    for needed in ("plugin.h", "libmagnum_sdk.a", "magnum-driver-check", "magnum-driver-host",
                   "VENDOR-GUIDE.md", "MagnumSDKConfig.cmake", "hello.c", "magnum-driver-check.1"):
        check(needed in names, f"{needed} belongs to the SDK")
    check(not names & {"magnum-api", "magnum-conductor", "err.h"}, "nothing of the core is in it")
    told = [p for p in SDK.rglob("*") if p.suffix in (".cmake", ".pc") and str(TOP / "sdk")
            in p.read_text()]
    check_equal(told, [], "files that name the place of the installation")


def the_tutorial_works_as_written():
    guide = next(SDK.rglob("VENDOR-GUIDE.md")).read_text()
    steps = re.findall(r"^```sh tutorial\n(.*?)^```$", guide, re.M | re.S)
    check(len(steps) >= 6, f"{len(steps)} steps of the tutorial")
    DIR.mkdir()
    marked = "\n".join(f'echo "--- step {i}, $SECONDS s"\n{s}' for i, s in enumerate(steps, 1))
    rc, out = run(marked, DIR)
    log = DIR / "allinone.log"
    check_equal(rc, 0, f"the tutorial: {out[-6000:]}"
                       f"{log.read_text()[-3000:] if log.exists() else ''}")
    print("\n".join(re.findall(r"^--- .*", out, re.M)))
    check("CREATE_COMPLETE" in out, f"a cluster was made: {out[-3000:]}")
    check(re.search(r"/clusters/mag-[0-9a-f-]{36}\n/groups/mag-", out), f"in the backend: {out[-3000:]}")
    check("Signature Verified Successfully" in out, "the verdict's signature")
    check_equal(len(re.findall(r"^not ok .*lifecycle", out, re.M)) > 0, True, "the broken one is caught")


def the_examples_build_with_it():
    examples = next(SDK.rglob("hello.c")).parents[1]
    for name in ("hello", "hello-cpp", "hello-rust", "simulator", "cert-mem"):
        source = TOP / "examples" / name
        shutil.copytree(examples / name, source)
        rc, out = run(f"cmake -S . -B build && cmake --build build && ls build/plugins/{name}.so",
                      source)
        check_equal(rc, 0, f"{name}: {out[-3000:]}")
    rc, out = run("cc -shared -fPIC -fvisibility=hidden $(pkg-config --cflags magnum-sdk) acme/driver.c "
                  "$(pkg-config --libs magnum-sdk) -Wl,-z,defs,-z,now,-z,relro -o plain.so", DIR)
    check_equal(rc, 0, f"without CMake: {out}")


try:
    mt.main(__name__, [the_parts_are_installed, the_tutorial_works_as_written,
                       the_examples_build_with_it])
finally:
    shutil.rmtree(TOP, ignore_errors=True)
