#!/usr/bin/env python3
"""Measures what the project promises, each figure beside the physical limit measured in the same
run on the same machine: bare prepared statements over libpq (pgbench), a bare libmicrohttpd server
(bench_hello_http, wrk), a bare fsync'd insert, bare Docker daemons. Prints a table; never asserts a
time. `bench.py --build DIR [--json FILE] [NAME...]` runs all or the named parts.
"""
import argparse
import http.client
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
parser = argparse.ArgumentParser()
parser.add_argument("--build", default=str(HERE.parents[1] / "build/release"))
parser.add_argument("--json", help="write the figures to this file as well")
parser.add_argument("--seconds", type=int, default=5, help="length of each load")
parser.add_argument("parts", nargs="*")
args = parser.parse_args()
os.environ["MAGNUM_BUILD_DIR"] = str(pathlib.Path(args.build).resolve())
import magnumtest as mt  # noqa: E402 (reads the variable above)
import bare_kubernetes  # noqa: E402
import bare_swarm  # noqa: E402
import certs_bench  # noqa: E402
import engine  # noqa: E402
import flood as flooding  # noqa: E402
import kubetest  # noqa: E402

figures = []


def report(name, value, unit, bar=None, limit=None, higher_is_better=True, note=""):
    ratio = None
    if limit and value:
        ratio = limit / value if higher_is_better else value / limit
    figures.append(dict(name=name, value=value, unit=unit, bar=bar, limit=limit, ratio=ratio,
                        note=note))

    def number(x):
        return "-" if x is None else f"{x:,.0f}" if x >= 100 else f"{x:.3g}"
    print(f"{name:38} {number(value):>10} {unit:6} bar {bar or '-':12} "
          f"limit {number(limit):>9}  {'' if ratio is None else f'{ratio:.1f} x the limit'} {note}",
          flush=True)


# ---- load generators ----

def wrk(url, script=None, connections=16, threads=1, seconds=None, env=None):
    """Requests per second, p50 and p99 in ms, answers that were not 2xx."""
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds or args.seconds}s",
               "--latency"]
    if script:
        command += ["-s", str(HERE / script)]
    out = subprocess.run([*command, url], check=True, capture_output=True, text=True,
                         env=dict(os.environ, **(env or {}))).stdout

    def ms(percentile):
        m = re.search(rf"^ +{percentile}% +([\d.]+)(us|ms|s)$", out, re.M)
        return float(m[1]) * {"us": 0.001, "ms": 1, "s": 1000}[m[2]]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = re.search(r"Socket errors: (.*)", out)
    note = " ".join(([f"{bad[1]} answers were not 2xx"] if bad else [])
                    + ([f"socket errors: {errors[1]}"] if errors else []))
    return dict(rate=float(re.search(r"Requests/sec: +([\d.]+)", out)[1]), p50=ms(50), p99=ms(99),
                note=note)


def pgbench(stack, sql, clients=8, seconds=None):
    """Transactions per second of one prepared statement over the private socket."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as f:
        f.write(sql)
        f.flush()
        binary = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench"))[-1]
        out = subprocess.run(
            [str(binary), "-h", str(stack.state / "run"), "-U", "magnum", "-n", "-M", "prepared",
             "-f", f.name, "-c", str(clients), "-j", "1", "-T", str(seconds or args.seconds),
             "magnum"], check=True, capture_output=True, text=True, env=stack.full_env()).stdout
    return float(re.search(r"^tps = ([\d.]+)", out, re.M)[1])


def bare_http():
    process = subprocess.Popen([str(mt.BIN / "bench_hello_http"), "2"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    try:
        return wrk(f"http://127.0.0.1:{process.stdout.readline().strip()}/")
    finally:
        process.stdin.close()
        process.wait()


# ---- parts ----

def make_clusters(client, template, count):
    ids = [client.create(f"c{i}", template) for i in range(count)]
    for i in ids:
        client.wait_status(i, "CREATE_COMPLETE", 60)
    return ids


def reads(stack):
    client = stack.client
    template = client.simulator("bench")
    ids = make_clusters(client, template, 20)
    http_limit = bare_http()
    row = f"SELECT * FROM cluster WHERE uuid = '{ids[0]}';"
    select_limit = pgbench(stack, row)
    list_limit = pgbench(stack, "SELECT * FROM cluster ORDER BY id LIMIT 20;")
    version = wrk(f"{stack.url}/")
    report("version document", version["rate"], "req/s", ">= 30,000", http_limit["rate"],
           note=version["note"])
    one = wrk(f"{stack.url}/v1/clusters/{ids[0]}", "latest.lua")
    report("GET one cluster", one["rate"], "req/s", ">= 10,000", select_limit,
           note=f"bar: half the limit; p99 {one['p99']:.2f} ms {one['note']}")
    twenty = wrk(f"{stack.url}/v1/clusters", "latest.lua")
    report("GET list of 20", twenty["rate"], "req/s", ">= 5,000", list_limit,
           note=f"p99 {twenty['p99']:.2f} ms {twenty['note']}")
    cli(stack)
    memory(stack)


FILL = """
    INSERT INTO cluster (uuid, project_id, user_id, name, cluster_template_id, status, labels,
                         create_timeout, driver_id)
        SELECT gen_random_uuid()::text, project_id, user_id, 'f' || n, cluster_template_id, status,
               labels, create_timeout, driver_id
        FROM (SELECT * FROM cluster ORDER BY id LIMIT 1) AS first, generate_series({0}, {1}) AS n;
    INSERT INTO nodegroup (uuid, name, cluster_id, project_id, node_count, role, min_node_count,
                           is_default, status, node_addresses, labels)
        SELECT gen_random_uuid()::text, 'default-' || r.role, c.uuid, c.project_id, 1, r.role, 1,
               true, 'CREATE_COMPLETE', '["192.0.2.1"]', c.labels
        FROM cluster AS c, (VALUES ('master'), ('worker')) AS r (role)
        WHERE NOT EXISTS (SELECT FROM nodegroup AS n WHERE n.cluster_id = c.uuid);
    ANALYZE cluster; ANALYZE nodegroup"""


def fill(stack, total):
    """Finished clusters by SQL, like the first one, until there are `total`."""
    there = int(stack.sql("SELECT count(*) FROM cluster")[0][0])
    stack.sql(FILL.format(there + 1, total))
    mt.check_equal(stack.sql("SELECT count(*) FROM cluster"), [[str(total)]], "clusters")


def one_by_one(stack, path, count, url=None):
    """Sorted times in ms of `count` requests over one kept connection."""
    c = http.client.HTTPConnection((url or stack.url).split("//")[1])
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        c.request("GET", path, headers={"OpenStack-API-Version": "container-infra latest"})
        answer = c.getresponse()
        answer.read()
        times.append((time.perf_counter() - begin) * 1000)
        mt.check_equal(answer.status, 200, path)
    return sorted(times)


def behind_middle(stack, total):
    marker = stack.sql(f"SELECT uuid FROM cluster ORDER BY id OFFSET {total // 2} LIMIT 1")[0][0]
    times = one_by_one(stack, f"/v1/clusters?limit=100&marker={marker}", 300)
    return times[len(times) // 2]


def pages(stack):
    """Long lists, and pages of them when there are few and many clusters."""
    make_clusters(stack.client, stack.client.simulator("pages"), 1)
    fill(stack, 1000)
    rows = 1000 / pgbench(stack, "SELECT * FROM cluster ORDER BY id LIMIT 1000;", 1)
    times = one_by_one(stack, "/v1/clusters/detail", 200)
    report("GET list of 1,000 with detail, p99", times[len(times) * 99 // 100], "ms", "<= 100",
           rows, False, f"p50 {times[len(times) // 2]:.1f} ms")
    few = behind_middle(stack, 1000)
    fill(stack, 100000)
    report("page of 100 among 100,000, p50", behind_middle(stack, 100000), "ms", "as among few",
           few, False, "limit: the same among 1,000")


def cli(stack):
    env = stack.full_env()
    env["MAGNUM_ENDPOINT"] = stack.url
    times = []
    for _ in range(30):
        begin = time.perf_counter()
        subprocess.run([str(mt.BIN / "magnum"), "cluster", "list"], check=True,
                       stdout=subprocess.DEVNULL, env=env)
        times.append((time.perf_counter() - begin) * 1000)
    bare = []
    for _ in range(30):
        begin = time.perf_counter()
        subprocess.run(["/bin/true"], check=True)
        bare.append((time.perf_counter() - begin) * 1000)
    report("magnum cluster list", statistics.median(times), "ms", "< 20", statistics.median(bare),
           False, "limit: starting any program")


def resident_mb(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) / 1024


def memory(stack):
    for program in ("magnum-api", "magnum-conductor"):
        report(f"{program} resident, warm", resident_mb(stack.child(program)), "MB", "< 30")


def paced(stack, template, rate, seconds):
    """Creates at a steady rate over one kept connection; sorted times of the answers in ms."""
    c = http.client.HTTPConnection(stack.url.split("//")[1])
    times = []
    begin = time.perf_counter()
    for i in range(rate * seconds):
        time.sleep(max(0, begin + i / rate - time.perf_counter()))
        body = json.dumps(dict(name=f"p{i}", cluster_template_id=template))
        asked = time.perf_counter()
        c.request("POST", "/v1/clusters", body, {"Content-Type": "application/json"})
        answer = c.getresponse()
        answer.read()
        times.append((time.perf_counter() - asked) * 1000)
        mt.check_equal(answer.status, 202, "status of a create")
    return sorted(times)


def scrape(stack):
    """/metrics of both processes with series for all routes, against the version document."""
    make_clusters(stack.client, stack.client.simulator("scrape"), 20)
    routes = re.findall(r'"([a-z/*]+)"', (mt.SOURCE / "core/api/routes.c").read_text())
    for route in sorted(set(routes)):
        for method in ("GET", "POST", "PATCH", "DELETE"):
            stack.client(method, "/v1/" + route.replace("*", "00000000-0000-0000-0000-000000000000"), {})
    log = (stack.state / "log/magnum-conductor.log").read_text()
    conductor = "http://%s:%s" % re.search(r"metrics\.ready listening on ([^:]+):.* port (\d+)", log).groups()
    limit = one_by_one(stack, "/", 500)
    for name, url in (("magnum-api", stack.url), ("magnum-conductor", conductor)):
        series = mt.request(url, "GET", "/metrics").body.count(b"\n")
        times = one_by_one(stack, "/metrics", 500, url)
        for percentile in (50, 99):
            report(f"scrape {name}, p{percentile}", times[len(times) * percentile // 100], "ms", "< 5",
                   limit[len(limit) * percentile // 100], False, f"{series} lines; limit: version document")


def accepts(stack):
    template = stack.client.simulator("accept")
    stack.sql("CREATE TABLE bench_insert (id bigserial PRIMARY KEY, t text)")
    insert = "INSERT INTO bench_insert (t) VALUES ('x');"
    limit = pgbench(stack, insert, 1)
    times = paced(stack, template, 25, args.seconds * 2)
    for percentile, bar in ((50, None), (99, "<= 20")):
        report(f"POST accepted, 25/s, p{percentile}", times[len(times) * percentile // 100], "ms",
               bar, 1000 / limit, False, "conductor at work beside it")
    for clients in (1, 4):
        limit = pgbench(stack, insert, clients)
        got = wrk(f"{stack.url}/v1/clusters", "accept.lua", connections=clients,
                  env=dict(BENCH_TEMPLATE=template, BENCH_PREFIX=f"a{clients}"))
        report(f"POST accepted, flood of {clients}", got["rate"], "req/s", None, limit,
               note=f"p50 {got['p50']:.1f} ms, p99 {got['p99']:.1f} ms {got['note']}")


def thousand(stack):
    """1,000 simulated clusters from the first POST to the last COMPLETE."""
    template = stack.client.simulator("thousand")
    begin = time.monotonic()
    for i in range(1000):
        stack.client.create(f"k{i}", template)
    posted = time.monotonic() - begin
    mt.wait_for("1,000 clusters to be complete", lambda: int(stack.sql(
        "SELECT count(*) FROM cluster WHERE status = 'CREATE_COMPLETE' AND name LIKE 'k%'")[0][0])
        >= 1000, 120, 0.1)
    report("1,000 simulated clusters", time.monotonic() - begin, "s", "<= 10",
           note=f"posting them one by one took {posted:.1f} s")


def flood(stack):
    flooding.measure(stack, report, args.seconds)


def certs(stack):
    certs_bench.measure(stack, report, wrk)


def engine_part(stack):
    engine.measure(stack, report, args.seconds)


def swarm(stack):
    template = stack.client.template("swarm")
    limit = min(bare_swarm.measure() for _ in range(2))
    times = []
    for i in range(3):
        begin = time.monotonic()
        uuid = stack.client.create(f"s{i}", template, node_count=2, master_count=1)
        mt.wait_for("the swarm", lambda: stack.client.show(uuid)["status"] == "CREATE_COMPLETE", 60)
        times.append(time.monotonic() - begin)
        stack.client.delete(uuid)
        stack.client.wait_gone(uuid)
    report("3-node Swarm, POST to COMPLETE", statistics.median(times), "s", "<= 4", limit, False,
           "limit: the daemons alone, started by hand")


def kubernetes(stack):
    binaries = kubetest.binaries()
    template = stack.client("POST", "/v1/clustertemplates", dict(
        name="k8s", coe="kubernetes", server_type="local", image_id="linux"),
        want=201).json()["uuid"]
    times, bare = [], None
    try:
        for i in range(3):
            begin = time.monotonic()
            uuid = stack.client.create(f"k{i}", template, node_count=2, master_count=1)
            stack.client.wait_status(uuid, "CREATE_COMPLETE", 300)
            times.append(time.monotonic() - begin)
            if not bare:
                bare = bare_kubernetes.Bare(mt.node_dirs(stack, uuid)[0].parent, uuid,
                                            f"{binaries}/kubectl")
            stack.client.delete(uuid)
            stack.client.wait_gone(uuid, 120)
        limit = min(bare.measure() for _ in range(3))
    finally:
        if bare:
            bare.close()
    report("1 + 2 nodes of Kubernetes, POST to COMPLETE", statistics.median(times), "s",
           "<= 1.3 of the limit", limit, False,
           "limit: the same daemons, files and flags, started by hand")


def starts():
    """Start to ready: API and conductor alone on a migrated database, and magnum-allinone."""
    with mt.Allinone(options=["--set", "quotas.max_clusters_per_project=1000000"]) as stack:
        begin = time.monotonic()
        stack.start()
        first = time.monotonic() - begin
        ready = stack.state / "bench.port"
        begin = time.monotonic()
        with stack.beside("magnum-api", "bench.log", "api.port=0",
                          f"api.port_file={ready}") as api:
            mt.wait_for("the API", ready.exists, every=0.002)
            report("magnum-api, start to ready", time.monotonic() - begin, "s", "< 0.2")
            api.terminate()
        begin = time.monotonic()
        with stack.beside("magnum-conductor", "bench.log", "conductor.host=bench") as conductor:
            mt.wait_for("the conductor", lambda: any(
                s["host"] == "bench" and s["state"] == "up" for s in
                stack.client("GET", "/v1/mservices", want=200).json()["mservices"]), every=0.005)
            report("magnum-conductor, start to ready", time.monotonic() - begin, "s", "< 0.2")
            conductor.terminate()
        stack.stop()
        begin = time.monotonic()
        stack.start()
        report("magnum-allinone, second start", time.monotonic() - begin, "s", "< 1",
               note=f"the first one, with initdb: {first:.2f} s")
        stack.stop()


def hosts():
    """A driver's process: its start, shut in or not, and a call with a 2 KiB spec."""
    with tempfile.TemporaryDirectory() as state:
        out = subprocess.run([str(mt.BIN / "bench_driver_host"), str(args.build), state], check=True,
                             capture_output=True, text=True).stdout
    f = json.loads(out)
    report("driver process, start and a call", f["start_us"] / 1000, "ms", "<= 2", f["spawn_us"] / 1000,
           False, f"limit: spawn of /bin/true; with no spare process ready {f['start_cold_us'] / 1000:.2f} ms, "
           f"and isolation off {f['start_open_us'] / 1000:.2f} ms")
    report("driver call, 2 KiB", f["call_us"], "us", "<= 50", f["echo_us"], False,
           f"limit: echo over a socket pair; with isolation off {f['call_open_us']:.0f} us")


def main():
    parts = dict(reads=reads, scrape=scrape, pages=pages, accepts=accepts, flood=flood, thousand=thousand,
                 engine=engine_part, certs=certs, swarm=swarm, kubernetes=kubernetes)
    alone = dict(starts=starts, hosts=hosts)
    wanted = args.parts or [*alone, *parts]
    print(f"{os.cpu_count()} cores, {time.strftime('%Y-%m-%d %H:%M')}, {args.build}")
    for name in wanted:
        if name in alone:
            alone[name]()
            continue
        with mt.Allinone(options=["--set", "quotas.max_clusters_per_project=1000000", "--set",
                                  "metrics.conductor_listen=127.0.0.1:0"]) as stack:
            stack.start()
            parts[name](stack)
            stack.stop()
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
