"""Creates: how many the API accepts durably per second with nobody working on them (the conductor is
away: what is measured is accepting), from one connection and from many; beside it the same rows
written by pgbench in one statement, and single fsync'd rows.
"""
import fill
import loads

# One statement, one commit: the rows of a create, copied from the sample as fast as SQL can.
ROWS = """
WITH c AS (INSERT INTO cluster ({cluster}) SELECT {cluster_values} FROM cluster s
    WHERE s.uuid = '{uuid}' RETURNING uuid, project_id),
g AS (INSERT INTO nodegroup ({nodegroup}) SELECT {nodegroup_values} FROM nodegroup s, c
    WHERE s.cluster_id = '{uuid}'),
o AS (INSERT INTO operation ({operation}) SELECT {operation_values} FROM operation s, c
    WHERE s.id = '{operation_id}' RETURNING id, cluster_id),
e AS (INSERT INTO operation_event (operation_id, cluster_id, code, message)
    SELECT id, cluster_id, 'accepted', 'create accepted' FROM o)
INSERT INTO observation (cluster_id, due_at) SELECT uuid, 'infinity' FROM c;
"""


def copied(stack, table, **other):
    names, values = [], []
    for name, _, identity in fill.columns(stack, table):
        if identity == "YES":
            continue
        names.append(f'"{name}"')
        values.append(other.get(name, f's."{name}"'))
    return ", ".join(names), ", ".join(values)


def same_rows(stack, uuid):
    """The rows of one create as one statement."""
    fresh = "gen_random_uuid()::text"
    parts = dict(uuid=uuid)
    parts["cluster"], parts["cluster_values"] = copied(
        stack, "cluster", uuid=fresh, name="'pgbench'", project_id="'pgbench'")
    parts["nodegroup"], parts["nodegroup_values"] = copied(
        stack, "nodegroup", uuid=fresh, cluster_id="c.uuid", project_id="'pgbench'")
    parts["operation"], parts["operation_values"] = copied(
        stack, "operation", id=fresh, cluster_id="c.uuid", project_id="'pgbench'",
        cluster_name="'pgbench'")
    parts["operation_id"] = stack.sql("SELECT id FROM operation WHERE kind = 'create'"
                                      f" AND cluster_id = '{uuid}'")[0][0]
    return ROWS.format(**parts)


def accepted(stack):
    return stack.number("SELECT count(*) FROM cluster")


def remove(stack):
    """What was only made to measure: later sizes count on what fill made."""
    stack.sql("""
        CREATE TEMP TABLE gone AS SELECT uuid FROM cluster
            WHERE name LIKE 'made-%' OR project_id = 'pgbench';
        DELETE FROM operation_event WHERE cluster_id IN (SELECT uuid FROM gone);
        DELETE FROM operation WHERE cluster_id IN (SELECT uuid FROM gone);
        DELETE FROM nodegroup WHERE cluster_id IN (SELECT uuid FROM gone);
        DELETE FROM observation WHERE cluster_id IN (SELECT uuid FROM gone);
        DELETE FROM cluster WHERE uuid IN (SELECT uuid FROM gone)""")
    for table in ("cluster", "nodegroup", "operation", "operation_event", "observation"):
        stack.sql(f"VACUUM ANALYZE {table}")


def measure(stack, total, template, uuid, seconds, say, connections=(1, 8, 32)):
    rows = same_rows(stack, uuid)
    stack.sql("CREATE TABLE IF NOT EXISTS bench_insert (id bigserial PRIMARY KEY, t text)")
    found = []
    for n in connections:
        first, before = accepted(stack), (stack.api_cpu(), stack.server_cpu(), stack.commits())
        got = loads.wrk(stack.url, "create.lua", n, seconds, BENCH_TEMPLATE=template,
                        BENCH_TAG=f"made-{total}-{n}", BENCH_PROJECTS=str(fill.PROJECTS))
        made = accepted(stack) - first
        after = (stack.api_cpu(), stack.server_cpu(), stack.commits())
        # what was answered is there; what was under way when the time was up may be there too
        lost = max(got["answers"] - got["bad"] - made, 0)
        cost = [(b - a) / max(made, 1) for a, b in zip(before, after)]
        found.append(dict(
            call=f"create, {n} at a time", clusters=total, per_s=got["rate"], p50_ms=got["p50"],
            p99_ms=got["p99"], bad=got["bad"], lost=lost, api_cpu_us=cost[0] * 1e6,
            database_cpu_us=cost[1] * 1e6, commits=cost[2],
            database_per_s=loads.pgbench(stack, [rows], n, seconds)["rate"],
            insert_per_s=loads.pgbench(stack, ["INSERT INTO bench_insert (t) VALUES ('x');\n"], n,
                                       seconds)["rate"]))
        say(found[-1])
    remove(stack)
    return found
