"""Every option that a plugin of ours reads stands in the schema its manifest names (config: FILE),
with a type and a description, and every one that stands there is read. Options are read with
mag_config(); what is linked into a plugin from sdk/lib is seen in its library."""
import json
import os
import pathlib
import re
import sys

import yaml

SOURCE = pathlib.Path(os.environ["MAGNUM_SOURCE_DIR"])
BUILD = pathlib.Path(os.environ["MAGNUM_BUILD_DIR"])
READ = re.compile(r'\bmag_config\s*\(\s*[^,;]+,\s*("?[A-Za-z_]+"?)\s*,')
# the one call of the host itself, in the helper that all others use
RAW = re.compile(r"->config\s*\(")
SHIPPED = ("kubernetes", "swarm", "mesos", "certs-local", "certs-barbican")
KNOWN_RULES = {"description", "type", "enum", "default", "pattern", "minimum", "maximum",
               "minLength", "maxLength", "writeOnly", "since"}
problems = []


def note(text):
    problems.append(text)
    print(f"not ok: {text}", flush=True)


def options_in(folder):
    found = set()
    for path in sorted(folder.rglob("*.c")):
        text = path.read_text(encoding="utf-8")
        if "tests" in path.relative_to(folder).parts:
            continue
        if RAW.search(text) and path != SOURCE / "sdk/lib/services.c":
            note(f"{path.relative_to(SOURCE)} asks the host for an option without mag_config()")
        for name in READ.findall(text):
            if name.startswith('"'):
                found.add(name.strip('"'))
            elif name != "key":
                note(f"{path.relative_to(SOURCE)} reads an option whose name is no text: {name}")
    return found


def linked(library, names):
    data = library.read_bytes()
    return {n for n in names if b"\0" + n.encode() + b"\0" in data}


def check_rules(name, schema):
    if schema.get("type") != "object" or schema.get("additionalProperties") is not False:
        note(f"{name}: the schema must be of a closed object")
    for key, rule in schema["properties"].items():
        if "type" not in rule and "enum" not in rule:
            note(f"{name}: {key} has no type")
        if not rule.get("description"):
            note(f"{name}: {key} has no description")
        if set(rule) - KNOWN_RULES:
            note(f"{name}: {key} has rules that nobody looks at: {set(rule) - KNOWN_RULES}")
        re.compile(rule.get("pattern", ""))


def check_plugin(name, in_library):
    manifest = yaml.safe_load((SOURCE / f"plugins/{name}/{name}.yaml").read_text("utf-8"))
    file = manifest.get("config")
    if not file or not (BUILD / "plugins" / file).exists():
        note(f"{name}: its manifest names no schema of its options that is built: {file}")
        return
    schema = json.loads((BUILD / "plugins" / file).read_text("utf-8"))
    check_rules(name, schema)
    read = options_in(SOURCE / f"plugins/{name}") | linked(BUILD / f"plugins/{name}.so", in_library)
    told = set(schema["properties"])
    if told != read:
        note(f"{name}: read but not in the schema: {sorted(read - told)}; "
             f"in the schema but never read: {sorted(told - read)}")
    print(f"ok: {name} reads {len(read)} options", flush=True)


def main():
    in_library = options_in(SOURCE / "sdk/lib")
    if not {"state_dir", "auth_url"} <= in_library | options_in(SOURCE / "plugins/swarm"):
        note("the search for options finds nothing any more")
    for name in SHIPPED:
        check_plugin(name, in_library)
    return 1 if problems else 0


sys.exit(main())
