"""The alert rules and the dashboard that we install: Prometheus takes them, every alert fires when it
should and not otherwise, and they speak of no metric or label that no process has."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ.get("MAGNUM_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("MAGNUM_BUILD_DIR", SOURCE / "build/dev"))
sys.path.append(str(SOURCE / "tests/support"))
from magnumtest import check, check_equal, main  # noqa: E402

RULES = SOURCE / "share/prometheus/magnum.rules.yml"
RULE_TESTS = SOURCE / "tests/data/magnum.rules.test.yml"
DASHBOARD = SOURCE / "share/grafana/magnum.json"
OUTSIDE = {"up": {"job", "instance"}}  # what Prometheus adds by itself
ADDED = {"job", "instance", "le"}


def promtool(*args):
    r = subprocess.run(["promtool", *map(str, args)], capture_output=True, text=True)
    check_equal(r.returncode, 0, f"promtool {args}: {r.stdout}{r.stderr}")
    return r.stdout


def known():
    """{name of a series: its labels}, from the table of metrics."""
    r = subprocess.run([str(BUILD / "tests/test_unit_metrics_doc"), "--names"], check=True,
                       capture_output=True, text=True)
    return {**OUTSIDE, **{w[0]: set(w[1:]) for w in map(str.split, r.stdout.splitlines())}}


def used(expression):
    """[(metric, labels)] of an expression: the selectors in it, and what they are grouped by."""
    bare = re.sub(r'"(\\.|[^"\\])*"', '""', expression)
    names = re.findall(r"\b((?:magnum|process)_\w+|up)\b(?:\s*\{([^}]*)\})?", bare)
    grouped = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", bare)
    by = {g.strip() for part in grouped for g in part.split(",") if g.strip()}
    return [(n, set(re.findall(r"(\w+)\s*[=!]", inner)) | by) for n, inner in names]


def check_expression(where, expression, metrics):
    found = used(expression)
    check(found, f"{where}: no metric in {expression}")
    for name, labels in found:
        check(name in metrics, f"{where}: nobody has a metric {name}")
        wrong = labels - metrics[name] - ADDED
        check(not wrong, f"{where}: {name} has no label {wrong}")


def rules_of(text):
    """[(alert, expression)]; block scalars go on while they are indented further."""
    found = re.findall(r"- alert: (\w+)\n\s+expr: (?:\|\n((?:\s{10,}.*\n)+)|(.*)\n)", text)
    return [(name, block or line) for name, block, line in found]


def prometheus_takes_the_rules():
    check("SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", RULES), "check rules")


def every_alert_fires_when_it_should():
    check("SUCCESS" in promtool("test", "rules", RULE_TESTS), "test rules")
    wanted = {name for name, _ in rules_of(RULES.read_text())}
    check_equal(len(wanted), RULES.read_text().count("- alert:"), "alerts that were found")
    tested = set(re.findall(r'alertname="(\w+)"', RULE_TESTS.read_text()))
    check_equal(wanted - tested, set(), "alerts without a test")


def a_wrong_rule_is_found():
    """The tests of the rules can fail."""
    with tempfile.TemporaryDirectory() as d:
        top = pathlib.Path(d)
        (top / "r.yml").write_text(RULES.read_text().replace("magnum_queue_age_seconds) > 60",
                                                             "magnum_queue_age_seconds) > 600"))
        head, *groups = RULE_TESTS.read_text().split("  - name: ")
        one = [g for g in groups if "MagnumQueueOld" in g]
        (top / "t.yml").write_text("  - name: ".join(
            [head.replace("../../share/prometheus/magnum.rules.yml", "r.yml"), *one]))
        r = subprocess.run(["promtool", "test", "rules", str(top / "t.yml")], capture_output=True, text=True)
        check(r.returncode != 0 and "MagnumQueueOld" in r.stdout + r.stderr, f"{r.stdout}{r.stderr}")


def rules_name_what_there_is():
    metrics = known()
    for name, expression in rules_of(RULES.read_text()):
        check_expression(name, expression, metrics)


def the_dashboard_names_what_there_is():
    metrics, dashboard = known(), json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    check_equal(len({p["id"] for p in panels}), len(panels), "panel ids")
    seen = set()
    for p in panels:
        check(p["title"], f"a panel without title: {p}")
        check(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24, f"{p['title']} is too far right")
        if p["type"] == "row":
            continue
        check(p["description"], f"{p['title']} has no description")
        check(p["targets"], f"{p['title']} shows nothing")
        for target in p["targets"]:
            check_expression(p["title"], target["expr"], metrics)
            seen |= {name for name, _ in used(target["expr"])}
            shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            for name, _ in used(target["expr"]):
                wrong = shown - metrics[name] - ADDED
                check(not wrong, f"{p['title']}: the legend names {wrong}, {name} has none")
    # a metric that nobody looks at is not worth counting: it is on the dashboard or in an alert
    for _, expression in rules_of(RULES.read_text()):
        seen |= {name for name, _ in used(expression)}
    families = {re.sub("_(bucket|sum|count)$", "", n) for n in metrics if n.startswith("magnum_")}
    unseen = {f for f in families if f not in seen and f"{f}_bucket" not in seen}
    check_equal(unseen, {"magnum_ca_key_pool_keys_max", "magnum_http_unread_bytes",
                         "magnum_token_cache_entries"}, "metrics that are nowhere shown")


def the_example_configuration_is_taken():
    """The one in docs/metrics.md, with our rules."""
    text = re.search(r"```yaml\n(.*?)```", (SOURCE / "docs/metrics.md").read_text(), re.S).group(1)
    with tempfile.TemporaryDirectory() as d:
        config = pathlib.Path(d) / "prometheus.yml"
        config.write_text(text.replace("/usr/share/magnum/prometheus/magnum.rules.yml", str(RULES)))
        promtool("check", "config", config)


main(__name__, [prometheus_takes_the_rules, every_alert_fires_when_it_should, a_wrong_rule_is_found,
                rules_name_what_there_is, the_dashboard_names_what_there_is,
                the_example_configuration_is_taken])
