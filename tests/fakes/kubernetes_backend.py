"""For magnum-driver-check: real certificates for the local Kubernetes driver's daemons, a way to the
API they serve, and what is there of a cluster: directories and network namespaces of nodes."""
import http.client
import json
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile

TOP = pathlib.Path(os.environ["MAGNUM_CHECK_DIR"]) / "kubernetes"
CAS = tempfile.TemporaryDirectory()


def openssl(*args, text=None):
    return subprocess.run(["openssl", *args], input=text, capture_output=True, text=True,
                          check=True).stdout


def new_key():
    return openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


def authority(cluster, name):
    """Files of the cluster's CA of that name, made when first asked for."""
    base = pathlib.Path(CAS.name) / f"{cluster}-{name}"
    key, pem = base.with_suffix(".key"), base.with_suffix(".pem")
    if not pem.exists():
        key.write_text(new_key())
        pem.write_text(openssl("req", "-x509", "-new", "-key", str(key), "-subj", f"/CN={name}",
                               "-days", "30", "-addext", "keyUsage=critical,keyCertSign,cRLSign"))
    return key, pem


def issue(cluster, args):
    ca_key, ca = authority(cluster, args["ca"])
    key = new_key()
    names = [f"DNS:{n}" for n in args.get("dns") or []] + [f"IP:{n}" for n in args.get("ip") or []]
    usages = ",".join(f"{u}Auth" for u in args["usages"])
    with tempfile.TemporaryDirectory() as d:
        own, ext, csr = (pathlib.Path(d) / n for n in ("key", "ext", "csr"))
        own.write_text(key)
        ext.write_text("basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\n"
                       f"extendedKeyUsage={usages}\n"
                       + (f"subjectAltName={','.join(names)}\n" if names else ""))
        csr.write_text(openssl("req", "-new", "-key", str(own), "-subj",
                               f"/O={args['o']}/CN={args['cn']}"))
        made = openssl("x509", "-req", "-in", str(csr), "-CA", str(ca), "-CAkey", str(ca_key),
                       "-CAcreateserial", "-days", "30", "-extfile", str(ext))
    return {"certificate": made, "private_key": key, "ca": ca.read_text()}


def certificates(q):
    if q["verb"] == "issue":
        return {"value": issue(q["cluster"], q["args"])}
    if q["verb"] == "ca":
        return {"value": authority(q["cluster"], q["args"]["ca"])[1].read_text()}
    return {}


def master():
    """Directory of the newest cluster's first master: the kit has one cluster at a time."""
    tops = sorted(TOP.glob("*/uuid"), key=lambda p: p.stat().st_mtime)
    for record in reversed(tops):
        for node in sorted(record.parent.glob("n[0-9]*")):
            if (node / "pki/kubelet-client.pem").exists() and (node / "node.json").exists():
                return node
    return None


def call(q):
    node = master()
    if q["service"] != "cluster" or node is None:
        return {"status": 503, "headers": "", "body": "{}"}
    context = ssl.create_default_context(cafile=str(node / "pki/kubernetes-ca.pem"))
    context.load_cert_chain(str(node / "pki/kubelet-client.pem"))
    port = json.loads((node / "node.json").read_text())["port"]
    c = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    headers = dict(line.split(": ", 1) for line in (q.get("headers") or "").splitlines() if line)
    try:
        c.request(q["method"], q["path"], q["body"].encode() or None, headers)
        r = c.getresponse()
        body = r.read().decode(errors="replace")
        return {"status": r.status, "body": body,
                "headers": "".join(f"{k.lower()}: {v}\n" for k, v in r.getheaders())}
    except (OSError, http.client.HTTPException) as e:
        return {"status": 503, "headers": "", "body": json.dumps({"message": str(e)})}
    finally:
        c.close()


def count(cluster):
    found = []
    for record in TOP.glob("*/uuid"):
        if record.read_text().strip() == cluster:
            found += [f"directory/{p.name}" for p in record.parent.glob("n[0-9]*")]
    netns = pathlib.Path("/run/netns")
    names = os.listdir(netns) if netns.is_dir() else []
    return found + [f"netns/{n}" for n in names if cluster in n]


for line in sys.stdin:
    question = json.loads(line)
    if question["do"] == "count":
        answer = {"resources": count(question["cluster"])}
    elif question["do"] == "cert":
        answer = certificates(question)
    else:
        answer = call(question)
    print(json.dumps(answer), flush=True)
