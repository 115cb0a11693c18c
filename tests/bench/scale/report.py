"""report.md, report.json and the SVG plots (gnuplot) of one scale run."""
import json
import pathlib
import subprocess

READ_COLUMNS = (("p50_ms", "p50 ms"), ("p99_ms", "p99 ms"), ("database_ms", "database ms"),
                ("per_s", "per s"), ("database_per_s", "database per s"),
                ("api_cpu_us", "API us"), ("database_cpu_us", "database us"))
CREATE_COLUMNS = (("per_s", "per s"), ("p50_ms", "p50 ms"), ("p99_ms", "p99 ms"),
                  ("database_per_s", "same rows, pgbench per s"),
                  ("insert_per_s", "one row, pgbench per s"), ("api_cpu_us", "API us"),
                  ("database_cpu_us", "database us"), ("lost", "lost"))


def number(x):
    if x is None:
        return "-"
    if isinstance(x, int):
        return f"{x:,}"
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows]) + "\n"


def find(rows, call, size):
    for r in rows:
        if r["call"] == call and r["clusters"] == size:
            return r
    return None


def ratio(r):
    """How many times as long as its statements alone."""
    return r["p50_ms"] / r["database_ms"] if r and r.get("database_ms") and r["p50_ms"] else None


def bars(data):
    """(what, measured, bar, held): what the project promises."""
    small, large = min(data["sizes"]), max(data["sizes"])
    found = []

    def add(what, value, bar, held):
        found.append((what, value, bar, "yes" if held else "NO"))

    one, many = (find(data["calls"], "show by uuid", s) for s in (small, large))
    if one and many and small != large:
        r = many["p50_ms"] / one["p50_ms"]
        add(f"show at {large:,} against {small:,} clusters, p50", f"{r:.2f} x", "<= 1.3 x", r <= 1.3)
    if many:
        add(f"show at {large:,}, 16 at a time", f"{many['per_s']:,.0f}/s", ">= 10,000/s",
            many["per_s"] >= 10000)
    page = find(data["calls"], "page of 20, first", large)
    if page:
        add(f"list of 20 at {large:,}", f"{page['per_s']:,.0f}/s", ">= 5,000/s",
            page["per_s"] >= 5000)
    detail = find(data["calls"], "detail of 1,000", large)
    if detail:
        add(f"page of 1,000 with detail at {large:,}, p99", f"{detail['p99_ms']:.1f} ms",
            "<= 100 ms", detail["p99_ms"] <= 100)
    made = [r for r in data["creates"] if r["clusters"] == large]
    if made:
        best = max(made, key=lambda r: r["per_s"])
        add(f"creates accepted durably at {large:,}", f"{best['per_s']:,.0f}/s", ">= 1,000/s",
            best["per_s"] >= 1000)
    for r in data["conductors"]:
        if "looks_per_s" in r and "conductor_cores" in r:
            cores = r["conductor_cores"] + r["driver_host_cores"]
            add(r["name"] + ", CPU with its driver process", f"{cores:.3f} core", "< 0.2 core",
                cores < 0.2)
            add(r["name"] + ", resident", f"{r['resident_mb']:.1f} MB", "< 30 MB",
                r["resident_mb"] < 30)
        if "leases_taken_s" in r:
            add(r["name"] + ", leases of the killed one", f"{r['leases_taken_s']:.1f} s", "<= 10 s",
                r["leases_taken_s"] <= 10)
            add(r["name"] + ", its operations a step further", f"{r['its_stepped_s']:.1f} s",
                "<= 10 s", r["its_stepped_s"] <= 10)
    for r in data["memory"]:
        add(f"magnum-api after the load at {r['clusters']:,}, resident", f"{r['api_mb']:.1f} MB",
            "< 30 MB", r["api_mb"] < 30)
    return found


def markdown(data):
    text = [f"# Scale run of {data['when']}", "",
            f"{data['machine']}; build {data['build']}; sizes "
            + ", ".join(f"{s:,}" for s in data["sizes"]) + f"; each load {data['seconds']} s.", "",
            "Latencies are of one connection at a time, `per s` of 16 connections (creates: as named)"
            " by wrk; *database* is pgbench with the same statements on the same rows; us are"
            " microseconds of processor time per call.", "", "## Bars", "",
            table(("what", "measured", "bar", "held"), bars(data)), "## Rows", "",
            table(("clusters", "other rows", "database"),
                  [(number(r["clusters"]), ", ".join(f"{k} {v:,}" for k, v in r["rows"].items()
                                                     if k != "cluster"), r["database"])
                   for r in data["fills"]])]
    for size in data["sizes"]:
        text += [f"## Reads with {size:,} clusters", "",
                 table(("call", *[c[1] for c in READ_COLUMNS], "x database", "not 2xx"),
                       [(r["call"], *[number(r[c[0]]) for c in READ_COLUMNS], number(ratio(r)),
                         number(r["bad"])) for r in data["calls"] if r["clusters"] == size])]
    text += ["## Creates, accepted durably", "",
             table(("clusters", "call", *[c[1] for c in CREATE_COLUMNS]),
                   [(number(r["clusters"]), r["call"], *[number(r[c[0]]) for c in CREATE_COLUMNS])
                    for r in data["creates"]]), "## Conductors", ""]
    for r in data["conductors"]:
        text += [f"- {r['name']}: " + ", ".join(f"{k} {number(v)}" for k, v in r.items()
                                                if k not in ("name", "clusters"))]
    text += ["", "![latency](latency.svg)", "", "![throughput](throughput.svg)", "",
             "![against the database](ratio.svg)", ""]
    return "\n".join(text)


def plot(out, name, title, ylabel, series, log=True):
    """series: {call: [(size, value)]}."""
    series = {k: [p for p in v if p[1]] for k, v in series.items()}
    series = {k: v for k, v in series.items() if v}
    if not series:
        return
    blocks = "".join(f"${'d%d' % i} << EOD\n" + "".join(f"{x} {y}\n" for x, y in points) + "EOD\n"
                     for i, points in enumerate(series.values()))
    lines = ", ".join(f"$d{i} using 1:2 with linespoints lw 2 title \"{k}\""
                      for i, k in enumerate(series))
    script = f"""set terminal svg size 900,560 dynamic enhanced background rgb 'white'
set output '{out / name}'
set title "{title}"
set xlabel "clusters in the database"
set ylabel "{ylabel}"
set logscale x 10
{"set logscale y 10" if log else "set yrange [0:*]"}
set grid
set key outside right
{blocks}plot {lines}
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True, capture_output=True)


def write(out, data):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(data, indent=2) + "\n")
    (out / "report.md").write_text(markdown(data))
    calls = list(dict.fromkeys(r["call"] for r in data["calls"]))

    def series(value):
        return {c: [(r["clusters"], value(r)) for r in data["calls"] if r["call"] == c]
                for c in calls}
    plot(out, "latency.svg", "One call at a time, p50", "ms", series(lambda r: r["p50_ms"]))
    plot(out, "throughput.svg", "16 calls at a time", "calls per second",
         series(lambda r: r["per_s"]))
    plot(out, "ratio.svg", "p50 of the call / its statements by pgbench", "ratio",
         series(ratio), log=False)
