"""What conductors cost and how fast they are: with nothing to do but looking at the health of many
clusters that are well, a round of looks as fast as it goes, and taking over from one that was killed
with many operations in flight. The driver is the simulator, which keeps nothing and is real in all
else: a process of its own, called through frames.
"""
import time

import fill
import magnumtest as mt
import stack as st


def looks(stack, since):
    return stack.number(f"SELECT count(*) FROM cluster WHERE health_at >= '{since}'")


def now(stack):
    return stack.sql("SELECT clock_timestamp()")[0][0]


def spread(stack, seconds):
    """Every cluster is due within `seconds`."""
    stack.sql("UPDATE observation SET lease_owner = NULL, lease_until = NULL,"
              f" due_at = now() + random() * interval '{seconds} s'")


def idle(stack, clusters, seconds, say):
    """Default intervals: each is looked at once a minute."""
    spread(stack, 60)
    since = now(stack)
    c = stack.conductor("idle")
    mt.wait_for("the first looks", lambda: looks(stack, since) > 0, 60)
    time.sleep(5)  # what starting costs is no part of it
    begun, since = time.monotonic(), now(stack)
    cpu, hosts, server = (st.cpu_seconds(c.pid, own=True), hosts_cpu(c), stack.server_cpu())
    written = stack.commits()
    time.sleep(seconds)
    seen, took = looks(stack, since), time.monotonic() - begun
    found = dict(
        name=f"conductor, {clusters:,} healthy clusters", clusters=clusters,
        conductor_cores=(st.cpu_seconds(c.pid, own=True) - cpu) / took,
        driver_host_cores=(hosts_cpu(c) - hosts) / took,
        database_cores=(stack.server_cpu() - server) / took,
        commits_per_s=(stack.commits() - written) / took,
        looks_per_s=seen / took, resident_mb=st.resident_mb(c.pid))
    c.end()
    say(found)
    return found


def hosts_cpu(conductor):
    """Of its drivers' processes, those that have ended too."""
    return st.tree_cpu(conductor.pid) - st.cpu_seconds(conductor.pid, own=True)


def health_round(stack, clusters, say):
    """All clusters due at once: how long until each was looked at."""
    stack.sql("UPDATE observation SET lease_owner = NULL, lease_until = NULL,"
              " due_at = 'infinity'")
    c = stack.conductor("round")
    since, begun = now(stack), time.monotonic()
    wanted = min(clusters, 5000)
    cpu = st.cpu_seconds(c.pid, own=True), hosts_cpu(c), stack.server_cpu()
    stack.sql("UPDATE observation SET due_at = now() WHERE cluster_id IN (SELECT uuid FROM cluster"
              f" ORDER BY id LIMIT {wanted})")
    mt.wait_for("the round", lambda: looks(stack, since) >= wanted, 300, 0.2)
    took = time.monotonic() - begun
    after = st.cpu_seconds(c.pid, own=True), hosts_cpu(c), stack.server_cpu()
    per = [(b - a) / wanted * 1e6 for a, b in zip(cpu, after)]
    found = dict(name=f"health round over {wanted:,} clusters", seconds=took,
                 looks_per_s=wanted / took, conductor_cpu_us=per[0], driver_host_cpu_us=per[1],
                 database_cpu_us=per[2])
    c.end()
    say(found)
    return found


def in_flight(stack, operations):
    """That many creates between two steps of their driver, 20 s apart: one is brought there by a
    conductor, the others are copies of it, due one after another."""
    stack.sql("UPDATE observation SET lease_owner = NULL, lease_until = NULL,"
              " due_at = 'infinity'")
    starter = stack.conductor("starter", conductor={"health_interval_s": 0})
    template = stack.client.simulator("waiting", steps=1000, step_ms=20000)
    uuid = stack.client.create("w0", template)
    mt.wait_for("the first step", lambda: stack.number(
        f"SELECT count(*) FROM operation WHERE cluster_id = '{uuid}' AND steps > 0"
        " AND lease_owner IS NULL"), 60)
    starter.end()
    fill.copies(stack, uuid, "w", 1, operations - 1)
    stack.sql("UPDATE operation SET due_at = now() + random() * interval '20 s'"
              " WHERE finished_at IS NULL")


def work_of_a_step(stack, conductor, steps):
    """What one step costs the one that is left, a few seconds' worth of them."""
    def sample():
        return (stack.number(steps), st.cpu_seconds(conductor.pid, own=True), stack.server_cpu(),
                stack.commits(), time.monotonic())
    before = sample()
    time.sleep(5)
    n, cpu, server, commits, took = [b - a for a, b in zip(before, sample())]
    if n == 0:
        return {}
    return dict(steps_per_s=n / took, conductor_cpu_us=cpu / n * 1e6,
                database_cpu_us=server / n * 1e6, commits_per_step=commits / n)


def takeover(stack, operations, say):
    """Operations in flight on two conductors, one of which is killed."""
    in_flight(stack, operations)
    steps = "SELECT sum(steps) FROM operation WHERE finished_at IS NULL"
    before = stack.number(steps)
    quiet = {"health_interval_s": 0}
    first = stack.conductor("victim", conductor=dict(quiet))
    second = stack.conductor("heir", conductor=dict(quiet))
    mt.wait_for("both to be at work", lambda: stack.number(steps) > before + operations / 2, 300)
    instance = stack.sql("SELECT instance FROM magnum_service WHERE host = 'victim'")[0][0]
    held = f"lease_owner = '{instance}'"
    mt.wait_for("the victim to hold operations",
                lambda: stack.number(f"SELECT count(*) FROM operation WHERE {held}") > 0, 60, 0.01)
    first.end(signal_kill=True)
    killed = time.monotonic()
    stack.sql(f"""CREATE TABLE bench_taken AS SELECT id, steps, coalesce({held}, false) AS held
        FROM operation WHERE finished_at IS NULL; ANALYZE bench_taken""")
    mine = stack.number("SELECT count(*) FROM bench_taken WHERE held")
    mt.wait_for("the victim's leases to be taken over",
                lambda: not stack.number(f"SELECT count(*) FROM operation WHERE {held}"), 120, 0.05)
    leases = time.monotonic() - killed

    def behind(which):
        return stack.number("SELECT count(*) FROM bench_taken t JOIN operation o USING (id)"
                            f" WHERE o.steps <= t.steps AND {which}")
    mt.wait_for("the victim's operations to go on", lambda: not behind("t.held"), 180, 0.05)
    stepped = time.monotonic() - killed
    mt.wait_for("every operation to go on", lambda: not behind("true"), 180, 1)
    found = dict(name=f"takeover with {operations:,} operations in flight", held_by_victim=mine,
                 leases_taken_s=leases, its_stepped_s=stepped,
                 all_stepped_s=time.monotonic() - killed, resident_mb=st.resident_mb(second.pid),
                 **work_of_a_step(stack, second, steps))
    second.end()
    stack.sql("DROP TABLE bench_taken")
    mt.check_equal(stack.number("SELECT count(*) FROM operation WHERE finished_at IS NULL"
                                " AND cluster_name LIKE 'w%'"), operations, "operations left")
    clean(stack)
    say(found)
    return found


def clean(stack):
    stack.sql("CREATE TEMP TABLE gone AS SELECT uuid FROM cluster WHERE name LIKE 'w%';"
              + "".join(f"DELETE FROM {t} WHERE cluster_id IN (SELECT uuid FROM gone);"
                        for t in fill.tables(stack))
              + "DELETE FROM cluster WHERE uuid IN (SELECT uuid FROM gone)")
