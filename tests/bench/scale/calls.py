"""The reads that are measured at every size: who asks what, on which rows."""
import random

import fill
import loads

SAMPLES = 200  # different requests of each kind, so that not one row is asked for all the time
SCRIPTS = 20   # of them whose statements pgbench runs


def rows(stack, query):
    return stack.sql(query)


def sample(stack, total, n):
    """(uuid, project, name) of n filled clusters, from the whole range."""
    numbers = sorted(random.Random(7).sample(range(1, total), min(n, total - 1)))
    wanted = ", ".join(f"'c{i}'" for i in numbers)
    return [tuple(r) for r in rows(stack, "SELECT uuid, project_id, name FROM cluster"
                                          f" WHERE name IN ({wanted})")]


def marker(stack, behind):
    return rows(stack, f"SELECT uuid FROM cluster ORDER BY id OFFSET {behind} LIMIT 1")[0][0]


def requests(stack, total):
    """{name: list of (path, project)}; an empty project is an admin, who sees all of them."""
    some = sample(stack, total, SAMPLES)
    operations = rows(stack, "SELECT DISTINCT ON (cluster_id) id, project_id FROM operation WHERE"
                             " cluster_id IN (%s)" % ", ".join(f"'{u}'" for u, _, _ in some[:50]))
    tenants = [(f"p{i}") for i in range(fill.PROJECTS)][:SAMPLES]
    end = marker(stack, max(total - 21, 0))
    middle = [marker(stack, total * i // 40) for i in range(15, 25)]
    detail = [marker(stack, max(0, (total - 1001) * i // 10)) for i in range(10)]
    return {
        "show by uuid": [(f"/v1/clusters/{u}", p) for u, p, _ in some],
        "show by name": [(f"/v1/clusters/{n}", p) for _, p, n in some],
        "list of one project": [("/v1/clusters", p) for p in tenants],
        "page of 20, first": [("/v1/clusters?limit=20", "")],
        "page of 20, middle": [(f"/v1/clusters?limit=20&marker={m}", "") for m in middle],
        "page of 20, end": [(f"/v1/clusters?limit=20&marker={end}", "")],
        "page of 20 by name, middle": [(f"/v1/clusters?limit=20&sort_key=name&marker={m}", "")
                                       for m in middle],
        "page of 20 by status": [("/v1/clusters?limit=20&sort_key=status", "")],
        "detail of 1,000": [("/v1/clusters/detail?limit=1000", ""),
                            *[(f"/v1/clusters/detail?limit=1000&marker={m}", "") for m in detail]],
        "stats of one project": [(f"/v1/stats?project_id={p}", p) for p in tenants],
        "stats of all": [("/v1/stats", "")],
        "nodegroups": [(f"/v1/clusters/{u}/nodegroups", p) for u, p, _ in some],
        "operations of one project": [("/v1/operations?limit=20", p) for p in tenants],
        "operations of a cluster": [(f"/v1/clusters/{u}/operations", p) for u, p, _ in some],
        "events of an operation": [(f"/v1/operations/{o}/events", p) for o, p in operations],
        "events of a cluster": [(f"/v1/clusters/{u}/events", p) for u, p, _ in some],
        "mservices": [("/v1/mservices", "")],
    }


def measure(stack, total, seconds, say, only=None):
    """One dict per call: alone (one connection: latency), loaded (16: throughput), and the same
    statements by pgbench."""
    wanted = {k: v for k, v in requests(stack, total).items() if not only or only in k}
    loads.log_statements(stack, True)
    scripts = {}
    for name, asked in wanted.items():
        loads.ask(stack, *asked[0])  # what is cached or prepared is so from here on
        scripts[name] = ["".join(s.rstrip(";") + ";\n" for s in loads.statements(stack, *r))
                         for r in asked[:SCRIPTS]]
    loads.log_statements(stack, False)
    found = []
    for name, asked in wanted.items():
        paths = loads.write_requests(stack.top, "requests", asked)
        alone = loads.wrk(stack.url, "pick.lua", 1, seconds, BENCH_PATHS=str(paths))
        before = stack.api_cpu(), stack.server_cpu()
        many = loads.wrk(stack.url, "pick.lua", 16, seconds, BENCH_PATHS=str(paths))
        after = stack.api_cpu(), stack.server_cpu()
        cpu_us = [(b - a) / max(many["answers"], 1) * 1e6 for a, b in zip(before, after)]
        asks = [s for s in scripts[name] if s]
        limit_alone = loads.pgbench(stack, asks, 1, seconds) if asks else None
        limit_many = loads.pgbench(stack, asks, 8, seconds) if asks else None
        found.append(dict(call=name, clusters=total, p50_ms=alone["p50"], p99_ms=alone["p99"],
                          per_s=many["rate"], loaded_p99_ms=many["p99"],
                          api_cpu_us=cpu_us[0], database_cpu_us=cpu_us[1],
                          bad=alone["bad"] + many["bad"], errors=alone["errors"] + many["errors"],
                          database_ms=limit_alone and limit_alone["mean"],
                          database_per_s=limit_many and limit_many["rate"],
                          statements=asks[0].count(";\n") if asks else 0))
        say(found[-1])
    return found
