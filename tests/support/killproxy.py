"""A proxy between the services under test and one of the lab's: it knows each request, kills a
process at the one that is asked for, and can play dead."""
import contextlib
import http.client
import http.server
import os
import signal
import threading


class Proxy(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock, self.port, self.dead = threading.Lock(), port, False
        self.seen, self.kill_at, self.when, self.victims = [], None, None, lambda: []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def arm(self, number=None, when=None, victims=lambda: []):
        """Kill what victims() names ("before" or "after" the service gets it) at request `number`
        from now on."""
        with self.lock:
            self.seen, self.kill_at, self.when, self.victims = [], number, when, victims

    def disarm(self):
        """The requests since arm()."""
        with self.lock:
            self.kill_at = None
            return list(self.seen)

    def due(self, method, path):
        with self.lock:
            self.seen.append(f"{method} {path.split('?')[0]}")
            return len(self.seen) == self.kill_at

    def kill(self, when):
        if self.when != when:
            return False
        for pid in self.victims():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return True


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        due = self.server.due(self.command, self.path)
        if self.server.dead or due and self.server.kill("before"):
            self.close_connection = True
            return
        to = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
        to.request(self.command, self.path, body, headers)
        answer = to.getresponse()
        text = answer.read()
        to.close()
        if due and self.server.kill("after"):
            self.close_connection = True
            return
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(answer.status)
            for k, v in answer.getheaders():
                if k.lower() not in ("connection", "content-length", "date", "server"):
                    self.send_header(k, v)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = forward
