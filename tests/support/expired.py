"""Run by Debian's python3 (python3-cryptography): what a certificate looks like that nobody renewed.
Reads {"seal_key": path, "rows": [rows of x509keypair], "pem": path of certificate and key}; signs the
certificate again with the CA that had signed it, for a time that is over, and puts it in its place."""
import base64
import datetime
import json
import os
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

END = b"-----END CERTIFICATE-----\n"
asked = json.load(sys.stdin)
with open(asked["pem"], "rb") as f:
    text = f.read()
old = x509.load_pem_x509_certificate(text)
with open(asked["seal_key"], "rb") as f:
    seal = f.read()
if len(seal) != 32:
    seal = bytes.fromhex(seal.decode().strip())


def unsealed(row):
    raw = base64.b64decode(row["private_key"].removeprefix("v1:"))
    return AESGCM(seal).decrypt(raw[:12], raw[12:], row["uuid"].encode())


ca = next(r for r in asked["rows"]
          if x509.load_pem_x509_certificate(r["certificate"].encode()).subject == old.issuer)
key = serialization.load_pem_private_key(unsealed(ca), None)
now = datetime.datetime.utcnow()
new = x509.CertificateBuilder(
    issuer_name=old.issuer, subject_name=old.subject, public_key=old.public_key(),
    serial_number=x509.random_serial_number(), not_valid_before=now - datetime.timedelta(days=9),
    not_valid_after=now - datetime.timedelta(days=2), extensions=list(old.extensions)).sign(
        key, hashes.SHA256())
at = text.index(END) + len(END)
with open(f"{asked['pem']}.new", "wb") as f:
    os.fchmod(f.fileno(), os.stat(asked["pem"]).st_mode & 0o777)
    f.write(new.public_bytes(serialization.Encoding.PEM) + text[at:])
os.rename(f"{asked['pem']}.new", asked["pem"])
print(new.not_valid_after.strftime("%Y-%m-%d"))
