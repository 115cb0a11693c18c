"""Certificates of a cluster, asked of the API and verified with openssl(1): for the tests of all
certificate managers."""
import pathlib
import subprocess
import tempfile

from magnumtest import check, check_equal, wait_for

TYPES = ("kubernetes", "etcd", "front-proxy")
ROLES = ("ca", "client", "etcd-ca", "front-proxy-ca")
REFS = "ca_cert_ref, magnum_cert_ref, etcd_ca_cert_ref, front_proxy_ca_cert_ref"


def openssl(*args, stdin=None, want=0):
    r = subprocess.run(["openssl", *args], input=stdin, capture_output=True, text=True)
    check(want is None or r.returncode == want, f"openssl {' '.join(args)}: {r.stderr}{r.stdout}")
    return r.stdout


def csr(subject="/CN=user/O=system:masters", key="ec", extensions=()):
    """(key, CSR) as PEM texts."""
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if key == "ec" else \
          ["-newkey", key]
    more = [x for e in extensions for x in ("-addext", e)]
    with tempfile.TemporaryDirectory() as d:
        text = openssl("req", "-new", "-nodes", *new, "-keyout", f"{d}/k", "-subj", subject, *more)
        return pathlib.Path(d, "k").read_text(), text


def verify(ca, cert, want=0, purpose=None):
    with tempfile.TemporaryDirectory() as d:
        pathlib.Path(d, "ca").write_text(ca)
        pathlib.Path(d, "cert").write_text(cert)
        more = ["-purpose", purpose] if purpose else []
        openssl("verify", *more, "-CAfile", f"{d}/ca", f"{d}/cert", want=want)


def text_of(cert):
    return openssl("x509", "-noout", "-text", stdin=cert)


def answered(ask, *args, want):
    """503 is no answer: the API finds a conductor that was started again within a second or two."""
    def there():
        a = ask(*args, want=(want, 503))
        return a.status == want and a
    return wait_for("a conductor to answer", there, 30, every=0.1)


def ca(ask, cluster, kind=None):
    query = f"?ca_cert_type={kind}" if kind else ""
    return answered(ask, "GET", f"/v1/certificates/{cluster}{query}", want=200).json()["pem"]


def sign(ask, cluster, request, kind=None, want=201):
    body = dict(cluster_uuid=cluster, csr=request)
    if kind:
        body["ca_cert_type"] = kind
    a = answered(ask, "POST", "/v1/certificates", body, want=want)
    return a.json()["pem"] if want == 201 else a.json()["errors"][0]["detail"]


def check_cluster(ask, cluster):
    """Three CAs that differ; each signs, and only its own verify. Returns their PEM texts."""
    cas = [ca(ask, cluster, kind) for kind in TYPES]
    check_equal(len(set(cas)), len(TYPES), "different CAs")
    check_equal(ca(ask, cluster), cas[0], "CA without a type")
    _, request = csr()
    for i, kind in enumerate(TYPES):
        verify(cas[i], cas[i])
        text = text_of(cas[i])
        check("CA:TRUE, pathlen:0" in text and "Certificate Sign" in text, text)
        cert = sign(ask, cluster, request, kind)
        verify(cas[i], cert)
        verify(cas[i - 1], cert, want=2)
        check("O = system:masters" in text_of(cert), "the subject is copied")
    return cas
