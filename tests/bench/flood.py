"""One project's flood, and what it changes for another one: times of a neighbour's steady requests alone,
beside the flood, and beside it with shares turned off. Part `flood` of bench.py."""
import http.client
import itertools
import json
import os
import pathlib
import re
import subprocess
import time

import magnumtest as mt

HERE = pathlib.Path(__file__).resolve().parent
CONNECTIONS, RATE, ROUNDS = 32, 40, 4  # requests per second; alone and beside in turn


def steady(url, method, path, body, seconds):
    """A neighbour's requests over one kept connection; sorted times of the answers in ms."""
    c = http.client.HTTPConnection(url.split("//")[1])
    times, begin = [], time.perf_counter()
    for i in range(RATE * seconds):
        time.sleep(max(0, begin + i / RATE - time.perf_counter()))
        asked = time.perf_counter()
        c.request(method, path, body and json.dumps(body(i)),
                  {"Content-Type": "application/json", "X-Project-Id": "neighbour"})
        answer = c.getresponse()
        answer.read()
        times.append((time.perf_counter() - asked) * 1000)
        mt.check(answer.status < 300, f"{method} {path}: {answer.status}")
    return sorted(times)


def flood(url, path, template, seconds):
    """wrk, under way until it is waited for."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-H", "X-Project-Id: flood"]
    if template:
        command += ["-s", str(HERE / "accept.lua")]
    return subprocess.Popen([*command, url + path], stdout=subprocess.PIPE, text=True,
                            env=dict(os.environ, BENCH_TEMPLATE=template or "",
                                     BENCH_PROJECT="flood", BENCH_PREFIX=f"f{time.time():.0f}"))


def drain(stack):
    """What was accepted must not be worked on beside the next measurement."""
    stack.sql("UPDATE operation SET cancel_requested = true WHERE finished_at IS NULL")
    mt.wait_for("the flood to end", lambda: stack.sql(
        "SELECT count(*) FROM operation WHERE finished_at IS NULL") == [["0"]], 300, 0.5)


def sides(stack, url, method, path, template, seconds):
    """Sorted times alone and beside a flood, of several rounds in turn, and the flood's rate."""
    names = itertools.count()
    tag = f"{time.time():.0f}"

    def create(i):
        return dict(name=f"n{tag}-{next(names)}", cluster_template_id=template)
    alone, beside, made = [], [], 0
    for _ in range(ROUNDS):
        alone += steady(url, method, path, template and create, seconds)
        drain(stack)
        process = flood(url, path, template, seconds + 2)
        time.sleep(1)
        beside += steady(url, method, path, template and create, seconds)
        made += int(re.search(r"(\d+) requests in", process.communicate()[0]).group(1))
        drain(stack)
    return sorted(alone), sorted(beside), made / (ROUNDS * (seconds + 2))


def measure(stack, report, seconds):
    labels = dict(sim_steps="2", sim_step_ms="50")
    template = stack.client("POST", "/v1/clustertemplates", dict(
        name="flood", coe="kubernetes", image_id="simulated", external_network_id="public",
        public=True, labels=labels), want=201).json()["uuid"]
    port = stack.state / "unfair.port"
    unfair = stack.beside("magnum-api", "magnum-api-unfair.log", "api.port=0", f"api.port_file={port}",
                          "api.project_share=0", "api.project_contended=0")
    number = mt.wait_for("the second API to be ready", lambda: port.exists() and port.read_text(), 30)
    other = f"http://127.0.0.1:{number.strip()}"
    try:
        for what, method, path, of in (("create", "POST", "/v1/clusters", template),
                                       ("list", "GET", "/v1/clusters?limit=20", None)):
            for name, url in (("", stack.url), (", no shares", other)):
                alone, beside, rate = sides(stack, url, method, path, of, seconds)
                for percentile in (50, 99):
                    at = len(alone) * percentile // 100
                    report(f"{what} beside a flood{name}, p{percentile}", beside[at], "ms",
                           None if name or percentile == 50 else "< 2 x", alone[at], False,
                           f"limit: alone; {CONNECTIONS} connections of another project, {rate:,.0f}/s")
    finally:
        unfair.terminate()
        unfair.wait(60)
