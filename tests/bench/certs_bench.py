"""Certificates: signatures per second through API and conductor beside what openssl(1) signs on one
core, and creates with keys made ahead and made on the spot."""
import json
import re
import subprocess
import time

import certs
import magnumtest as mt
from engine import cpu_seconds

CREATES = 12


def openssl_rate(algorithm, seconds=2):
    """Operations per second of `openssl speed`, signing (RSA: making nothing but signatures too)."""
    out = subprocess.run(["openssl", "speed", "-seconds", str(seconds), algorithm],
                         capture_output=True, text=True, check=True).stdout
    return float(re.split(r"\s+", out.strip().splitlines()[-1])[-2])


def rsa_keys_per_second(count=5):
    begin = time.monotonic()
    for _ in range(count):
        certs.openssl("genrsa", "2048")
    return count / (time.monotonic() - begin)


def signs(stack, report, wrk):
    template = stack.client.simulator("certs", steps=1, step_ms=0)
    uuid = stack.client.create("certs", template)
    stack.client.wait_status(uuid, "CREATE_COMPLETE", 60)
    _, csr = certs.csr()
    got = wrk(f"{stack.url}/v1/certificates", "sign.lua", connections=8,
              env=dict(BENCH_CLUSTER=uuid, BENCH_CSR=json.dumps(csr)[1:-1]))
    report("certificates signed, EC P-256", got["rate"], "1/s", ">= 500", openssl_rate("ecdsap256"),
           note=f"p50 {got['p50']:.1f} ms, p99 {got['p99']:.1f} ms; limit: bare signatures, one core "
                f"{got['note']}")


def creates(report, pool):
    """Creates per second with RSA keys; the pool is full when they begin."""
    options = ["--set", "quotas.max_clusters_per_project=1000", "--set",
               "certificates.ca_key_type=rsa-2048", "--set", f"certificates.key_pool={pool}"]
    with mt.Allinone(options=options) as stack:
        stack.start()
        template = stack.client.simulator("keys", steps=1, step_ms=0)
        conductor = stack.child("magnum-conductor")

        def quiet():
            before = cpu_seconds(conductor)
            time.sleep(1)
            return cpu_seconds(conductor) - before < 0.1
        mt.wait_for("the pool to be full", quiet, 300)
        begin = time.monotonic()
        ids = [stack.client.create(f"k{i}", template) for i in range(CREATES)]
        for i in ids:
            stack.client.wait_status(i, "CREATE_COMPLETE", 120)
        rate = CREATES / (time.monotonic() - begin)
        stack.stop()
    report(f"creates, RSA 2048, {pool} keys ahead", rate, "1/s", None, rsa_keys_per_second() / 4,
           note="limit: making four keys on one core, with nothing ahead")


def measure(stack, report, wrk):
    signs(stack, report, wrk)
    for pool in (0, 4 * CREATES):
        creates(report, pool)
