"""A Hugging Face hub on this computer, with faults to order."""

import hashlib
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" + "0" * 34
LOGIN_PAGE = b"<!doctype html><title>Log in</title>"


class Fault:
    """What the hub does instead of the right thing: once, ``times`` times, or always (None)."""

    def __init__(self, kind, method=None, *, times=1, status=None, headers=None):
        self.kind = kind
        self.method = method
        self.times = times
        self.status = status
        self.headers = headers or {}


def status(code, method=None, *, times=1, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault("status", method, times=times, status=code, headers=named)


class Hub:
    """Files by path (``owner/repo/file``, data sets below ``datasets/``), requests, faults."""

    def __init__(self):
        self.files = {}
        self.commit = COMMIT
        self.faults = []
        self.requests = []
        self._lock = threading.Lock()

    @property
    def count(self):
        return Counter(method for method, _ in self.requests)

    def take_fault(self, method):
        with self._lock:
            for fault in self.faults:
                if fault.method in {None, method} and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None


def handler(hub):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def do_HEAD(self):
            self.answer()

        def do_GET(self):
            self.answer()

        def answer(self):
            hub.requests.append((self.command, self.path))
            fault = hub.take_fault(self.command)
            kind = fault.kind if fault else None
            if kind == "status":
                self.reply(fault.status, {"X-Error-Message": "ordered", **fault.headers}, b"")
            elif kind == "login page":
                self.reply(200, {"Content-Type": "text/html", "ETag": '"page"'}, LOGIN_PAGE)
            else:
                self.send_file(kind)

        def send_file(self, kind):
            repo, found, rest = self.path.lstrip("/").partition("/resolve/")
            revision, _, file = rest.partition("/")
            content = hub.files.get(f"{repo}/{file}")
            if content is None or not found:
                self.reply(404, {"X-Error-Code": "EntryNotFound"}, b"")
                return
            if revision not in {"main", hub.commit}:
                self.reply(404, {"X-Error-Code": "RevisionNotFound"}, b"")
                return
            headers = {
                "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
                "X-Repo-Commit": hub.commit,
                "X-Linked-Size": str(len(content)),
                "Content-Type": "application/octet-stream",
            }
            if kind == "wrong bytes":
                content = bytes([content[0] ^ 1]) + content[1:]
            elif kind == "long body":
                content += b"more"
            elif kind == "short body":
                content = content[:-10]
            self.reply(200, headers, content, cut=kind == "cut")

        def reply(self, code, headers, content, *, cut=False):
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content[: len(content) // 2] if cut else content)
            if cut:
                self.close_connection = True

    return Handler


@contextmanager
def running(hub):
    """Serve; gives the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
