"""Who includes whom: the tree keeps to the table of tools/check-includes, and that script finds each
kind of breach when there is one."""
import pathlib
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]

# The files of a small tree that is fine ...
GOOD = {
    "core/base/str.h": "#include <stdio.h>\n#include <jansson.h>\n",
    "core/config/config.h": '#include "base/str.h"\n',
    "core/config/yaml.c": "#include <yaml.h>\n",
    "core/model/entity.h": '#include "base/str.h"\n',
    "core/operation/engine.c": '#include "model/entity.h"\n',
    "core/db/db.h": '#include "model/entity.h"\n',
    "core/db/conn_internal.h": "#include <libpq-fe.h>\n",
    "core/db/conn.c": '#include "conn_internal.h"\n#include "db/conn_internal.h"\n',
    "core/rpc/rpc.c": "#include <czmq.h>\n",
    "core/http/client.c": "#include <curl/curl.h>\n",
    "core/drivers/front.c": '#include "magnum/host.h"\n#include "host/frames.h"\n',
    "core/cmd/main.c": '#include "db/db.h"\n#include <openssl/evp.h>\n',
    "sdk/include/magnum/host.h": "#include <stddef.h>\n",
    "sdk/host/frames.h": "#include <magnum/host.h>\n",
    "sdk/host/load.c": "#include <dlfcn.h>\n",
    "sdk/lib/json.h": '#include "magnum/host.h"\n#include <jansson.h>\n',
    "plugins/one/one.c": '#include "one.h"\n#include "lib/json.h"\n#include <magnum/host.h>\n',
    "plugins/one/one.h": "",
    "plugins/one/tests/t.c": '#include "support/help.h"\n#include "../one.h"\n#include "t.h"\n',
    "plugins/one/tests/t.h": "",
    "tests/support/help.h": "",
    "tests/unit/t.c": '#include "support/help.h"\n#include "db/conn_internal.h"\n#include <zmq.h>\n',
}
# ... and one line each that is not: file, line, what the message must have.
BAD = [
    ("core/base/str.h", '#include "config/config.h"', "core/base may not include core/config"),
    ("core/operation/engine.c", '#include "db/db.h"', "core/operation may not include core/db"),
    ("core/operation/engine.c", '#include "config/config.h"',
     "core/operation may not include core/config"),
    ("core/config/yaml.c", '#include "model/entity.h"', "core/config may not include core/model"),
    ("core/http/client.c", '#include "model/entity.h"', "core/http may not include core/model"),
    ("core/db/db.h", '  #  include "rpc/rpc.c"', "core/db may not include core/rpc"),
    ("core/cmd/main.c", '#include "db/conn_internal.h"', "belongs to its folder"),
    ("core/cmd/main.c", '#include "support/help.h"', "nothing includes tests/"),
    ("core/cmd/main.c", '#include "../../tests/support/help.h"', "nothing includes tests/"),
    ("core/cmd/main.c", "#include <libpq-fe.h>", "<libpq-fe.h> only in core/db"),
    ("core/cmd/main.c", "#include <zmq.h>", "<zmq.h> only in core/rpc"),
    ("core/cmd/main.c", "#include <czmq.h>", "<czmq.h> only in core/rpc"),
    ("core/rpc/rpc.c", "#include <yaml.h>", "<yaml.h> only in core/config"),
    ("core/rpc/rpc.c", "#include <openssl/evp.h>", "<openssl/evp.h> only in"),
    ("core/db/conn.c", "#include <curl/curl.h>", "<curl/curl.h> only in core/http"),
    ("core/db/conn.c", "#include <microhttpd.h>", "<microhttpd.h> only in core/http"),
    ("core/drivers/front.c", "#include <dlfcn.h>", "<dlfcn.h> only in sdk/host/load.c"),
    ("core/db/conn.c", "#include <magnum/host.h>", "core/db may not include sdk/include"),
    ("plugins/one/one.c", '#include "base/str.h"', "plugins may not include core/base"),
    ("plugins/one/one.c", '#include "host/frames.h"', "plugins may not include sdk/host"),
    ("plugins/one/one.c", '#include "tests/t.h"', "nothing includes tests/"),
    ("plugins/two/two.c", '#include "../one/one.h"', "plugins may not include plugins"),
    ("sdk/lib/json.h", '#include "host/frames.h"', "sdk/lib may not include sdk/host"),
    ("sdk/include/magnum/host.h", "#include <stdio.h>", "freestanding"),
    ("core/base/str.h", '#include "base/gone.h"', '"base/gone.h" is not in the tree'),
    ("core/new/x.c", "", "a folder without rules"),
]


def run(root):
    r = subprocess.run([str(TOP / "tools/check-includes"), str(root)], capture_output=True,
                       text=True, timeout=50)
    return r.returncode, r.stdout


def make(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def main():
    problems = []
    code, out = run(TOP)
    if code != 0:
        problems.append("this tree:\n" + out)
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        make(root, GOOD)
        code, out = run(root)
        if code != 0:
            problems.append("a tree without breaches:\n" + out)
    for path, line, message in BAD:
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            make(root, dict(GOOD, **{path: GOOD.get(path, "") + line + "\n"}))
            code, out = run(root)
            if code == 0 or message not in out or out.count("\n") != 2:
                problems.append(f"{path}: {line}: want one '{message}', got:\n{out}")
    with tempfile.TemporaryDirectory() as name:  # nothing to check is no success
        if run(pathlib.Path(name))[0] == 0:
            problems.append("an empty tree passed")
    for p in problems:
        print(p)
    print(f"{3 + len(BAD) - len(problems)} passed, {len(problems)} failed")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
