"""The network of a cluster whose machines do not exist: an HTTP proxy behind which each address and
port is whoever a test puts there. Magnum's processes reach it by http_proxy and https_proxy in
their environment, which count for all but loopback addresses."""
import contextlib
import http.server
import select
import socket
import threading
import urllib.parse


class Net(http.server.ThreadingHTTPServer):
    """at[(host, port)] = f(method, path, headers, body) -> (status, headers, body as bytes), or, for
    what comes with TLS, tunnel[(host, port)] = port of a server on 127.0.0.1."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.at, self.tunnel, self.lock = {}, {}, threading.RLock()
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.environment = {"http_proxy": self.url, "https_proxy": self.url,
                            "no_proxy": "127.0.0.1,localhost"}
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def say(self, status, headers, body):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            for k, v in headers.items():
                self.send_header(k, v)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            who = self.server.at.get((url.hostname, url.port or 80))
            if not who:
                return self.say(502, {}, b"nobody has that address")
            path = url.path + (f"?{url.query}" if url.query else "")
            status, headers, text = who(self.command, path, self.headers, body)
        return self.say(status, headers, text)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer

    def do_CONNECT(self):
        host, port = self.path.rsplit(":", 1)
        to = self.server.tunnel.get((host, int(port)))
        if not to:
            return self.say(502, {}, b"nobody has that address")
        self.close_connection = True
        with socket.create_connection(("127.0.0.1", to)) as far:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: far, far: self.connection}
            while True:
                for one in select.select(list(ends), [], [], 60)[0] or [None]:
                    data = one.recv(65536) if one else b""
                    if not data:
                        return None
                    ends[one].sendall(data)
