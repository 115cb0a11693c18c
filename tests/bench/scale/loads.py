"""The two load generators: wrk against an API, pgbench against the database with the statements that
the API itself runs for the same requests, as the server logged them.
"""
import os
import pathlib
import re
import subprocess
import tempfile

import magnumtest as mt

HERE = pathlib.Path(__file__).resolve().parent
PGBENCH = str(sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench"))[-1])
# As the service sets its own sessions.
SESSION = ("-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off"
           " -c timezone=UTC -c synchronous_commit=on")


def wrk(url, script, connections, seconds, **env):
    """Requests per second, p50 and p99 in ms (None without an answer), number of answers, and of those
    that were not 2xx."""
    out = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency",
         "-s", str(HERE / script), url], check=True, capture_output=True, text=True,
        env=dict(os.environ, **env)).stdout

    def ms(percentile):
        m = re.search(rf"^ +{percentile}% +([\d.]+)(us|ms|s)$", out, re.M)
        return float(m[1]) * {"us": 0.001, "ms": 1, "s": 1000}[m[2]] if m else None
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = re.search(r"Socket errors: (.*)", out)
    return dict(rate=float(re.search(r"Requests/sec: +([\d.]+)", out)[1]), p50=ms(50), p99=ms(99),
                answers=int(re.search(r"(\d+) requests in", out)[1]),
                bad=int(bad[1]) if bad else 0, errors=errors[1] if errors else "")


def write_requests(directory, name, requests):
    """requests: (path, project or ""[, what is posted]) -> the file pick.lua reads."""
    path = pathlib.Path(directory) / f"{name}.paths"
    path.write_text("".join("\t".join(r) + "\n" for r in requests))
    return path


def ask(stack, path, project):
    headers = {"X-Project-Id": project, "X-Roles": "member,reader"} if project else {}
    answer = stack.client("GET", path, headers=headers)
    mt.check(answer.status == 200, f"GET {path} as {project or 'admin'}: {answer}")
    return answer


# ---- the server's own record of what was run ----

def log_statements(stack, on):
    value = "all" if on else "none"
    stack.server.sql(f"ALTER SYSTEM SET log_statement = '{value}'", "postgres")
    stack.server.sql("SELECT pg_reload_conf()", "postgres")


def literal(text, params):
    """A statement with its parameters as literals."""
    def put(m):
        value = params[int(m[1])]
        return value
    return re.sub(r"\$(\d+)", put, text)


def parse_log(text):
    """Statements of libpq's extended protocol, in order, with their parameters put in."""
    found = []
    entries = re.split(r"^\d{4}-\d\d-\d\d [^\n]*?(?=LOG:|DETAIL:|STATEMENT:|ERROR:)", text, flags=re.M)
    for entry in entries:
        m = re.match(r"LOG:  execute (\S+): (.*)", entry, re.S)
        if m:
            found.append([m[2].rstrip(), {}])
        elif entry.startswith("DETAIL:  parameters: ") and found:
            for p in re.finditer(r"\$(\d+) = ('(?:[^']|'')*'|NULL)", entry):
                found[-1][1][int(p[1])] = p[2]
    return [literal(sql, params) for sql, params in found]


def statements(stack, path, project):
    """What the database is asked for one request."""
    before = stack.server.log.stat().st_size
    ask(stack, path, project)
    with open(stack.server.log) as f:
        f.seek(before)
        return parse_log(f.read())


def pgbench(stack, scripts, clients, seconds):
    """Transactions per second and mean ms of scripts picked at random."""
    with tempfile.TemporaryDirectory() as top:
        files = []
        for i, text in enumerate(scripts):
            path = pathlib.Path(top) / f"{i}.sql"
            path.write_text(text)
            files += ["-f", str(path)]
        r = subprocess.run([PGBENCH, "-h", str(stack.server.socket), "-U", "magnum", "-n",
                            "-M", "prepared", "-c", str(clients), "-j", "1", "-T", str(seconds),
                            *files, "magnum"], check=False, capture_output=True, text=True,
                           env=mt.clean_env(PGOPTIONS=SESSION))
    mt.check(r.returncode == 0, f"pgbench: {r.stderr[-1000:]}\n{scripts[0]}")
    return dict(rate=float(re.search(r"^tps = ([\d.]+)", r.stdout, re.M)[1]),
                mean=float(re.search(r"^latency average = ([\d.]+)", r.stdout, re.M)[1]))
