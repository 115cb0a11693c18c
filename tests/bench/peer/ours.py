"""This project's service with the lab's Keystone: a private PostgreSQL full of one project's clusters,
a conductor, and as many APIs as are asked for."""
import contextlib
import pathlib
import tempfile

import fill
import magnumtest as mt
import stack as st

TEMPLATES = 50
ROWS_VERSION = "1.10"  # newest of the original: what it calls by other names later is called as it does
NAME = "Magnum in C"


class OfProject(mt.Client):
    """An administrator without a token (noauth) who works in one project."""

    def __init__(self, url, project):
        super().__init__(url)
        self.project = project

    def __call__(self, method, path, body=None, want=None, **kw):
        headers = {"X-Project-Id": self.project, "X-Roles": "admin,member", **(kw.pop("headers", None) or {})}
        return super().__call__(method, path, body, want, headers=headers, **kw)


def sections(options):
    """{"a.b": value} as sections of a configuration file."""
    found = {}
    for key, value in options.items():
        section, name = key.split(".", 1)
        found.setdefault(section, {})[name] = value
    return found


class Ours:
    def __init__(self, l, top):
        self.lab, self.stack = l, st.Stack(top)
        self.keystone = {**sections(l.magnum_options()), "log": {"level": "warning"}}
        self.apis = []

    def fill(self, clusters, project):
        """Without Keystone, which has nothing to do with rows."""
        s = self.stack
        s.open()
        conductor = s.conductor("conductor")
        unguarded = s.api("filling")
        s.client = OfProject(s.url, project)
        template, uuid = mt.wait_for("the driver to be known", lambda: fill.one(s))
        fill.fill(s, uuid, clusters, f"'{project}'")
        for n in range(1, TEMPLATES):
            s.client.simulator(f"t{n}", steps=3)
        self.conductor_mb = shared_out(st.tree(conductor.pid))
        conductor.end()  # its looks at clusters would change rows, and the processors are to be the calls' own
        self.rows = rows(s.client)
        unguarded.end()

    def api(self, name):
        """The URL of another API, which asks Keystone."""
        p = self.stack.api(name, **self.keystone)
        self.apis.append(p)
        return self.stack.url, p.pid

    def memory(self):
        """[(what, MB)]"""
        return [("API", shared_out(st.tree(self.apis[0].pid))),
                ("conductor and its drivers", self.conductor_mb)]


def shared_out(pids):
    """MB of some processes; pages of several of them count once (PSS)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def shown(client, path):
    version = {"OpenStack-API-Version": f"container-infra {ROWS_VERSION}"}
    return client("GET", path, want=200, headers=version).json()


def pages(client, path, key):
    """All objects of a collection, with all they show."""
    found, marker = [], ""
    while True:
        got = shown(client, f"{path}?limit=1000{marker}")[key]
        found += got
        if len(got) < 1000:
            return found
        marker = f"&marker={got[-1]['uuid']}"


def rows(client):
    """What the API shows of every object: {table of the original: objects}."""
    clusters = pages(client, "/v1/clusters/detail", "clusters")
    groups = []
    for c in clusters:
        path = f"/v1/clusters/{c['uuid']}/nodegroups"
        of_it = shown(client, path)["nodegroups"]
        mt.check(len(of_it) == 2, f"{c['uuid']} has these nodegroups: {of_it}")
        groups += [shown(client, f"{path}/{g['uuid']}") for g in of_it]
    return dict(cluster=clusters, nodegroup=groups,
                cluster_template=pages(client, "/v1/clustertemplates/detail", "clustertemplates"))


@contextlib.contextmanager
def started(l, clusters):
    """An Ours full of clusters of the lab's project demo."""
    with tempfile.TemporaryDirectory(prefix="mgpeer-") as top:
        it = Ours(l, pathlib.Path(top))
        try:
            it.fill(clusters, l.project_id("demo"))
            yield it
        finally:
            it.stack.close()
