"""The engine part of bench.py: what a step costs the conductor and the database, many operations in
progress at the same time, and a conductor with nothing to do. Counts statements and commits as well
as seconds, since those do not depend on what else the machine does.
"""
import os
import pathlib
import re
import time

TICK = os.sysconf("SC_CLK_TCK")
OPERATIONS = 64  # each may step once in conductor.min_wait_ms


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_mb(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) / 1024


def number(stack, query):
    return int(stack.sql(query)[0][0] or 0)


def commits(stack):
    stack.sql("SELECT pg_stat_force_next_flush()")
    return number(stack, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")


def steps_so_far(stack):
    return number(stack, "SELECT coalesce(sum(steps), 0) FROM operation")


def accept_many(stack, template, prefix, count):
    """Clusters as the API accepts them, copied from one of its own: only the engine is measured."""
    stack.sql(f"UPDATE operation SET due_at = 'infinity' WHERE cluster_name = '{prefix}0'")
    stack.sql(f"""
        CREATE TEMP TABLE one ON COMMIT PRESERVE ROWS AS
            SELECT c.uuid, o.id AS op FROM cluster c JOIN operation o ON o.cluster_id = c.uuid
            WHERE c.name = '{prefix}0';
        INSERT INTO cluster SELECT (jsonb_populate_record(c, jsonb_build_object('id',
                nextval(pg_get_serial_sequence('cluster', 'id')), 'uuid', gen_random_uuid(),
                'name', '{prefix}' || n))).* FROM cluster c, one, generate_series(1, {count}) n
            WHERE c.uuid = one.uuid;
        INSERT INTO nodegroup SELECT (jsonb_populate_record(g, jsonb_build_object('id',
                nextval(pg_get_serial_sequence('nodegroup', 'id')), 'uuid', gen_random_uuid(),
                'cluster_id', c.uuid))).* FROM nodegroup g, one, cluster c
            WHERE g.cluster_id = one.uuid AND c.name LIKE '{prefix}%' AND c.uuid <> one.uuid;
        INSERT INTO operation SELECT (jsonb_populate_record(o, jsonb_build_object('id',
                gen_random_uuid(), 'cluster_id', c.uuid, 'cluster_name', c.name, 'due_at', now(),
                'deadline_at', now() + interval '10 hours',
                'spec', jsonb_set(o.spec::jsonb, '{{cluster,uuid}}', to_jsonb(c.uuid))))).*
            FROM operation o, one, cluster c
            WHERE o.id = one.op AND c.name LIKE '{prefix}%' AND c.uuid <> one.uuid;
        DROP TABLE one""")


def steps(stack, report, seconds):
    """Steps of the simulator, one after another without a pause, on one conductor."""
    pid = stack.child("magnum-conductor")
    template = stack.client.simulator("steps", steps=1000, step_ms=0)
    for i in range(OPERATIONS):
        stack.client.create(f"s{i}", template)
    while number(stack, "SELECT count(*) FROM operation WHERE steps > 0") < OPERATIONS:
        time.sleep(0.5)  # certificates are made first
    begun, first, written, cpu = time.monotonic(), steps_so_far(stack), commits(stack), \
        cpu_seconds(pid)
    time.sleep(seconds)
    took, done = time.monotonic() - begun, steps_so_far(stack) - first
    report(f"simulator steps, {OPERATIONS} operations", done / took, "step/s", ">= 2,000",
           note=f"{(commits(stack) - written) / max(done, 1):.2f} commits and "
                f"{(cpu_seconds(pid) - cpu) / max(done, 1) * 1e6:.0f} us of the conductor per step")


def in_progress(stack, report, seconds, count=10000):
    """Many operations that wait ten seconds between two steps."""
    pid = stack.child("magnum-conductor")
    template = stack.client.simulator("waiting", steps=1000, step_ms=10000)
    stack.client.create("w0", template)
    accept_many(stack, template, "w", count)
    begun = time.monotonic()
    while time.monotonic() - begun < 600 and number(
            stack, "SELECT count(*) FROM operation WHERE steps > 0") < count * 0.9:
        time.sleep(1)
    reached = time.monotonic() - begun
    cpu, first, written, begun = cpu_seconds(pid), steps_so_far(stack), commits(stack), \
        time.monotonic()
    time.sleep(max(seconds, 20))
    took, done = time.monotonic() - begun, steps_so_far(stack) - first
    report(f"{count} in progress, 10 s steps: CPU", (cpu_seconds(pid) - cpu) / took, "cores", "< 1",
           higher_is_better=False,
           note=f"{done / took:.0f} steps/s, {(commits(stack) - written) / max(done, 1):.2f} commits"
                f" per step; all begun after {reached:.0f} s")
    report(f"{count} in progress: resident", resident_mb(pid), "MB", "< 200",
           higher_is_better=False)


def idle(stack, report, seconds):
    pid = stack.child("magnum-conductor")
    time.sleep(3)
    cpu, written, begun = cpu_seconds(pid), commits(stack), time.monotonic()
    time.sleep(max(seconds, 10))
    took = time.monotonic() - begun
    report("idle conductor: CPU", (cpu_seconds(pid) - cpu) / took * 100, "%", "~ 0",
           higher_is_better=False, note=f"{(commits(stack) - written) / took:.1f} transactions/s")


def measure(stack, report, seconds):
    idle(stack, report, seconds)
    steps(stack, report, seconds)
    stack.sql("UPDATE operation SET cancel_requested = true, due_at = now()")
    in_progress(stack, report, seconds)
