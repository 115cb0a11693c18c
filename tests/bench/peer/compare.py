"""The same calls against two Magnum endpoints, in turn, and how they compare.

Rounds go back and forth between the two, each side first in every other round, and the best round of a
side counts: what else the machine does only ever makes one worse, and falls on both. Processor time
per call hardly depends on it at all.
"""
import json
import statistics
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import loads
import stack as st

PICKED = 50       # clusters that are asked for one by one
SLOW_S = 0.02     # slower calls are made by threads that wait for their last answer: wrk drops it
VERY_SLOW_S = 4.0  # of such a call one answer is measured, with nothing beside it: the second, or the
ENOUGH_S = 10.0   # first, if that took so long
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Unreachable(Exception):
    """An endpoint can't be asked for what is measured."""


class Call:
    """requests: (path, body or "") that differ in nothing but whom they ask for. want: the first digit
    of the status."""

    def __init__(self, name, requests, want=2):
        self.name, self.requests, self.want = name, requests, want


class Endpoint:
    """processes: a function that names the service's own, where they run on this machine."""

    def __init__(self, name, url, token="", processes=None):
        self.name, self.token, self.processes = name, token, processes
        parts = urllib.parse.urlsplit(url.rstrip("/"))
        prefix = parts.path[:-len("/v1")] if parts.path.endswith("/v1") else parts.path
        self.origin, self.prefix = f"{parts.scheme}://{parts.netloc}", prefix
        self.version = "latest"

    def ask(self, path, body=""):
        """(status, headers, text)"""
        headers = {"OpenStack-API-Version": f"container-infra {self.version}",
                   "Accept": "application/json"}
        if self.token:
            headers["X-Auth-Token"] = self.token
        if body:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.origin + self.prefix + path, body.encode() or None, headers)
        try:
            with OPENER.open(request, timeout=900) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.headers, e.read()
        except OSError as e:
            raise Unreachable(f"{self.name}: {self.origin} can't be asked for {path}: {e}") from e

    def get(self, path):
        status, _, text = self.ask(path)
        if status != 200:
            raise Unreachable(f"{self.name}: {self.origin}{path} answers {status}: {text[:300]!r}")
        return json.loads(text)

    def newest(self):
        """The latest microversion it speaks."""
        said = self.ask("/v1")[1].get("OpenStack-API-Maximum-Version", "")
        return tuple(int(n) for n in said.split()[-1].split(".")) if said else (0, 0)

    def cpu(self):
        return sum(st.cpu_seconds(p) for p in self.processes()) if self.processes else 0

    def reads(self):
        """Calls that any service with a cluster answers."""
        clusters = self.get(f"/v1/clusters?limit={PICKED}")["clusters"]
        if not clusters:
            raise Unreachable(f"{self.name}: {self.origin} shows its caller no cluster to ask for")
        ids = [c["uuid"] for c in clusters]

        def of(*paths):
            return [(p, "") for p in paths]
        return [
            Call("versions", of("/")),
            Call("show", of(*(f"/v1/clusters/{i}" for i in ids))),
            Call("nodegroups", of(*(f"/v1/clusters/{i}/nodegroups" for i in ids))),
            Call("list of 20", of("/v1/clusters?limit=20")),
            Call("detail of 20", of("/v1/clusters/detail?limit=20")),
            Call("list", of("/v1/clusters")),
            Call("detail", of("/v1/clusters/detail")),
            Call("templates", of("/v1/clustertemplates")),
            Call("stats", of("/v1/stats")),
            Call("mservices", of("/v1/mservices")),
        ]

    def load(self, directory, call, connections, seconds, slow):
        """p50_ms, p99_ms, per_s, bad, cpu_ms of one round."""
        before, got = self.cpu(), None
        if not slow:
            path = loads.write_requests(directory, self.name,
                                        [(p, "", body) for p, body in call.requests])
            got = loads.wrk(self.origin, "pick.lua", connections, seconds, BENCH_PATHS=str(path),
                            BENCH_PREFIX=self.prefix, BENCH_MICROVERSION=self.version,
                            **({"BENCH_TOKEN": self.token} if self.token else {}))
            if call.want != 2:
                got["bad"] = got["answers"] - got["bad"]
        if not got or not got["answers"]:
            got = by_threads(self, call, connections, seconds)
        cpu_ms = (self.cpu() - before) * 1000 / max(got["answers"], 1) if self.processes else None
        return dict(p50_ms=got["p50"], p99_ms=got["p99"], per_s=got["rate"], bad=got["bad"],
                    cpu_ms=cpu_ms)


def by_threads(endpoint, call, connections, seconds):
    """As loads.wrk; every call that began is waited for."""
    times, bad, began = [], [], time.monotonic()

    def work(number):
        while True:
            begun = time.monotonic()
            status, _, _ = endpoint.ask(*call.requests[(number + len(times)) % len(call.requests)])
            times.append(time.monotonic() - begun)
            if status // 100 != call.want:
                bad.append(status)
            if time.monotonic() - began >= seconds:
                return
    threads = [threading.Thread(target=work, args=(n,)) for n in range(connections)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    took = sorted(times)
    return dict(p50=statistics.median(took) * 1000, p99=took[int(len(took) * 0.99)] * 1000,
                rate=len(took) / (time.monotonic() - began), answers=len(took), bad=len(bad))


class Side:
    """One endpoint's rounds of one call."""

    def __init__(self, endpoint, call):
        self.endpoint, self.call, self.alone, self.many, self.slow = endpoint, call, [], [], False

    def probe(self):
        """What is cached or prepared is so from here on. A status that is not wanted, or None."""
        for enough in (ENOUGH_S, VERY_SLOW_S):
            before, begun = self.endpoint.cpu(), time.monotonic()
            status, _, _ = self.endpoint.ask(*self.call.requests[0])
            took = time.monotonic() - begun
            if status // 100 != self.call.want:
                return status
            if took >= enough:
                cpu_ms = (self.endpoint.cpu() - before) * 1000 if self.endpoint.processes else None
                self.alone.append(dict(p50_ms=took * 1000, p99_ms=took * 1000, bad=0, cpu_ms=cpu_ms))
                return None
        self.slow = took >= SLOW_S
        return None

    def round(self, directory, args):
        if self.alone and not self.many:
            return  # one answer was enough
        self.alone.append(self.endpoint.load(directory, self.call, 1, args.seconds, self.slow))
        self.many.append(self.endpoint.load(directory, self.call, args.connections, args.seconds,
                                            self.slow))

    def best(self):
        rounds = self.alone + self.many
        return dict(
            p50_ms=min(r["p50_ms"] for r in self.alone), p99_ms=min(r["p99_ms"] for r in self.alone),
            per_s=max((r["per_s"] for r in self.many), default=None),
            cpu_ms=min((r["cpu_ms"] for r in self.many or rounds if r["cpu_ms"] is not None), default=None),
            bad=sum(r["bad"] for r in rounds))


def ratio(above, below, key):
    return above[key] / below[key] if above[key] and below[key] else None


def compare_one(mine, theirs, args, directory):
    row = dict(call=mine.call.name)
    for side in (mine, theirs):
        status = side.probe()  # a service may not have it, or not for this caller
        if status is not None:
            return dict(row, left_out=f"{side.endpoint.name} answers {status}")
    turns = [mine, theirs]
    for _ in range(args.rounds):
        for side in turns:
            side.round(directory, args)
        turns.reverse()
    ours, peer = mine.best(), theirs.best()
    return dict(row, ours=ours, peer=peer, latency_ratio=ratio(peer, ours, "p50_ms"),
                throughput_ratio=ratio(ours, peer, "per_s"), cpu_ratio=ratio(peer, ours, "cpu_ms"))


def same_version(ours, peer):
    """Both are asked with the latest microversion that both speak."""
    newest = min(ours.newest(), peer.newest())
    if newest > (0, 0):
        ours.version = peer.version = "{}.{}".format(*newest)
    return ours.version


def compare(calls, ours, peer, args, say):
    """calls: (Call of ours, Call of the peer)"""
    found = []
    with tempfile.TemporaryDirectory() as directory:
        for mine, theirs in calls:
            found.append(compare_one(Side(ours, mine), Side(peer, theirs), args, directory))
            say(found[-1])
    return found
