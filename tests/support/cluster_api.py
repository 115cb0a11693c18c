"""The API of a cluster whose machines do not exist, for as much as a test makes it answer. It has a
certificate as nodes get theirs: of Magnum's API, for a key of its own."""
import http.server
import json
import pathlib
import ssl
import subprocess
import tempfile
import threading


class ClusterApi:
    """magnum(method, path, body, want=) asks Magnum; net: the cluster_net.Net in which the API has
    this address and port. A test's own class answers: (method, path, body) -> (status, headers,
    body as bytes)."""

    def __init__(self, magnum, net, uuid, address, port):
        self.magnum, self.net, self.uuid, self.where = magnum, net, uuid, (address, port)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.trust()
        net.tunnel[self.where] = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        del self.net.tunnel[self.where]
        self.server.shutdown()
        self.server.server_close()

    def trust(self):
        """New certificates: what a node's boot and its change of a rotation do."""
        with tempfile.TemporaryDirectory() as d:
            key, csr, crt, ca = (pathlib.Path(d) / n for n in ("key", "csr", "crt", "ca"))
            subprocess.run(["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
                            "-subj", "/O=magnum/CN=manager", "-addext",
                            f"subjectAltName=IP:{self.where[0]}", "-out", csr], check=True,
                           capture_output=True)
            body = {"cluster_uuid": self.uuid, "csr": csr.read_text()}
            crt.write_text(self.magnum("POST", "/v1/certificates", body, want=201).json()["pem"])
            ca.write_text(self.magnum("GET", f"/v1/certificates/{self.uuid}", want=200).json()["pem"])
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
            tls.verify_mode = ssl.CERT_REQUIRED
            tls.load_cert_chain(crt, key)
            if not hasattr(self, "plain"):
                self.plain = self.server.socket
            self.server.socket = tls.wrap_socket(self.plain, server_side=True)

    def handler(self):
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, text = api.answer(self.command, self.path, body)
                self.send_response(status)
                for k, v in headers.items():
                    self.send_header(k, v)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
            do_GET = do_POST = do_DELETE = do
        return Handler

    @staticmethod
    def fine(doc):
        return 200, {"Content-Type": "application/json"}, json.dumps(doc).encode()
