"""Fills the database with clusters as the service itself leaves them: one cluster is made through
the API and a conductor, and every row it left (whatever tables have a cluster_id) is copied with
other ids, names, projects and times. So the rows are right for every reader, with any columns that
later schemas add.
"""
import concurrent.futures

import magnumtest as mt

PROJECTS = 1000
SPREAD = f"'p' || n % {PROJECTS}"  # whose the n-th copy is

# A uuid made from another one and a number, in the form in which the service writes them.
HELPERS = """
CREATE OR REPLACE FUNCTION pg_temp.other(was text, n bigint) RETURNS text IMMUTABLE PARALLEL SAFE
LANGUAGE sql AS $$ SELECT md5(was || n)::uuid::text $$;
CREATE OR REPLACE FUNCTION pg_temp.told(was text, n bigint) RETURNS text IMMUTABLE PARALLEL SAFE
LANGUAGE sql AS $$ SELECT {told} $$;
SET synchronous_commit = off;
SET work_mem = '64MB';
SET client_min_messages = warning;
"""


def columns(stack, table):
    return stack.sql("SELECT column_name, data_type, is_identity FROM information_schema.columns"
                     f" WHERE table_schema = 'public' AND table_name = '{table}'"
                     " ORDER BY ordinal_position")


def tables(stack):
    rows = stack.sql("SELECT c.table_name FROM information_schema.columns c"
                     " JOIN information_schema.tables t USING (table_schema, table_name)"
                     " WHERE c.table_schema = 'public' AND c.column_name = 'cluster_id'"
                     " AND t.table_type = 'BASE TABLE' ORDER BY 1")
    return [r[0] for r in rows]


def value(name, kind, table, uuid, prefix, project):
    """What the copy has in this column; s is the row copied, n the number of the cluster."""
    if (table, name) == ("cluster", "uuid") or name == "cluster_id":
        return f"pg_temp.other('{uuid}', n)"
    if (table, name) == ("cluster", "name") or name == "cluster_name":
        return f"'{prefix}' || n"
    if name == "project_id":
        return project
    if (table, name) in (("nodegroup", "uuid"), ("operation", "id")):
        return f"pg_temp.other(s.\"{name}\", n)"
    if name in ("operation_id", "nodegroup_id"):
        return f"pg_temp.other(s.\"{name}\", n)"
    if (table, name) == ("observation", "due_at"):
        return "now() + random() * interval '60 s'"
    if name == "created_at" and table in ("cluster", "operation", "operation_event"):
        return "s.created_at - (1000000 - n) * interval '2 s'"  # younger than what is trimmed
    if kind == "json":
        return f"pg_temp.told(s.\"{name}\"::text, n)::json"
    if (table, name) == ("ledger", "name"):
        return "pg_temp.told(s.name, n)"
    return f"s.\"{name}\""


def copy_statement(stack, table, uuid, prefix, project, first, last):
    key = "uuid" if table == "cluster" else "cluster_id"
    cols = [c for c in columns(stack, table) if c[2] != "YES"]
    names = ", ".join(f'"{c[0]}"' for c in cols)
    values = ", ".join(value(c[0], c[1], table, uuid, prefix, project) for c in cols)
    order = " ORDER BY n" + (", s.id" if any(c[0] == "id" for c in columns(stack, table)) else "")
    return (f"INSERT INTO {table} ({names}) SELECT {values} FROM {table} s, "
            f"generate_series({first}, {last}) n WHERE s.{key} = '{uuid}'{order};\n")


def one(stack):
    """The cluster that is copied: template, create, a resize (history), one look at its health."""
    client = stack.client
    template = client.simulator("scale", steps=3, step_ms=20)
    client("PATCH", f"/v1/clustertemplates/{template}",
           [dict(op="replace", path="/public", value=True)], want=(200, 202))
    uuid = client.create("first", template, node_count=2, master_count=1,
                         labels={"kube_tag": "v1.27.4", "purpose": "scale"}, merge_labels=True)
    client.wait_status(uuid, "CREATE_COMPLETE", 60)
    client.resize(uuid, 3)
    client.wait_status(uuid, "UPDATE_COMPLETE", 60)
    stack.sql(f"UPDATE observation SET due_at = now() WHERE cluster_id = '{uuid}'")
    mt.wait_for("the cluster to be HEALTHY",
                lambda: client.show(uuid)["health_status"] == "HEALTHY")
    return template, uuid


def copies(stack, uuid, prefix, first, last, project=SPREAD):
    """Clusters first..last like `uuid`, with all that hangs on it: {table: rows of the original}."""
    # texts name the cluster, its groups and its operations
    told = "was"
    for (i,) in [[uuid], *stack.sql(f"SELECT uuid FROM nodegroup WHERE cluster_id = '{uuid}'")]:
        told = f"replace({told}, '{i}', pg_temp.other('{i}', n))"
    helpers = HELPERS.replace("{told}", told)
    used = {}
    for table in ["cluster", *tables(stack)]:
        key = "uuid" if table == "cluster" else "cluster_id"
        used[table] = stack.number(f"SELECT count(*) FROM {table} WHERE {key} = '{uuid}'")
        if not used[table]:
            del used[table]
    if first > last:
        return used

    def one_table(table):  # each in a session of its own: there are two processors at least
        stack.sql(helpers + copy_statement(stack, table, uuid, prefix, project, first, last)
                  + f"VACUUM ANALYZE {table};")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(one_table, used))
    return used


def fill(stack, uuid, total, project=SPREAD):
    """Copies until there are `total`; how many rows of each table there are then."""
    there = stack.number("SELECT count(*) FROM cluster")
    used = copies(stack, uuid, "c", there, total - 1, project)
    return {t: stack.number(f"SELECT count(*) FROM {t}") for t in used}
