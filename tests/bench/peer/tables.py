"""What was found, as text, markdown and JSON."""
import json
import pathlib


def number(x):
    if x is None:
        return "-"
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def times(x):
    return "-" if x is None else f"{number(x)} x"


FIGURES = [("p50_ms", "p50 ms"), ("p99_ms", "p99 ms"), ("per_s", "per s"), ("cpu_ms", "cpu ms")]
RATIOS = [("latency_ratio", "latency"), ("throughput_ratio", "rate"), ("cpu_ratio", "cpu")]


def head(ours, peer):
    print(f"{'':24} {ours:^39}   {peer:^39}   {'ratio':^29}")
    one = " ".join(f"{h:>9}" for _, h in FIGURES)
    print(f"{'':24} {one}   {one}   " + " ".join(f"{h:>9}" for _, h in RATIOS), flush=True)


def say(row):
    if "left_out" in row:
        print(f"{row['call']:24} left out: {row['left_out']}", flush=True)
        return
    sides = ["  ".join([" ".join(f"{number(row[s][k]):>9}" for k, _ in FIGURES)]) for s in ("ours", "peer")]
    print(f"{row['call']:24} {sides[0]}   {sides[1]}   "
          + " ".join(f"{times(row[k]):>9}" for k, _ in RATIOS), flush=True)


def markdown(data):
    ours, peer = data["names"]
    lines = [f"# {ours} beside {peer}", "",
             f"{data['when']}; {data['machine']}; microversion {data['microversion']}; {data['rounds']} "
             f"rounds of {data['seconds']} s with 1 and with {data['connections']} connections.", ""]
    lines += [f"- {k}: {v}" for k, v in data["facts"].items()]
    lines += ["", f"| call | {ours}: p50 ms | per s | cpu ms | {peer}: p50 ms | per s | cpu ms | latency | rate | cpu |",
              "|---|---|---|---|---|---|---|---|---|---|"]
    for row in data["calls"]:
        if "left_out" in row:
            continue
        cells = [number(row[s][k]) for s in ("ours", "peer") for k in ("p50_ms", "per_s", "cpu_ms")]
        cells += [times(row[k]) for k, _ in RATIOS]
        lines.append(f"| {row['call']} | " + " | ".join(cells) + " |")
    if data.get("memory"):
        lines += ["", "| resident, MB | " + " | ".join(data["names"]) + " |", "|---|---|---|"]
        lines += [f"| {what} | {number(a)} | {number(b)} |" for what, a, b in data["memory"]]
    return "\n".join(lines) + "\n"


def write(out, data):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "peer.json").write_text(json.dumps(data, indent=2) + "\n")
    (out / "peer.md").write_text(markdown(data))
