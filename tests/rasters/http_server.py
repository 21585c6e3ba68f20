"""A file server on this computer that counts what is asked of it, with faults to order."""

import re
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

LOGIN_PAGE = b"<!doctype html><title>Log in</title>"


class Request(NamedTuple):
    """One request: path, first and last byte asked for (None without a range), ``Header-Names``."""

    method: str
    path: str
    range: tuple[int, int] | None
    headers: dict[str, str]


class Fault:
    """What the server does instead of the right thing: ``times`` times, or always (None).

    Kinds: "status" (with ``status`` and ``headers``), "cut" (half the body, then the connection
    closes), "stall" (half the body, then silence), "short" and "long" (the announced length is
    that of the wrong body), "no length", "wrong byte" (the first byte is another), "no ranges"
    (sends the whole file), "shifted" (a range one byte further, honestly announced), "login page",
    "garbage" (no HTTP), "gzip" (says so), "redirect" (to ``headers["Location"]``).
    "anonymous" answers with ``status`` whoever sends no Authorization.
    ``after`` lets so many requests pass first.
    """

    def __init__(self, kind, path=None, *, times=1, status=None, headers=None, after=0):
        self.kind = kind
        self.path = path
        self.times = times
        self.status = status
        self.headers = headers or {}
        self.after = after


class FileServer:
    """Files by path (``/a/b.tif``), the requests made so far, and faults to come.

    Attributes
    ----------
    address : str
        ``http://127.0.0.1:port``, while it runs.
    files : dict of str to bytes
        What is served; may be changed at any time.
    tags : dict of str to str
        Entity tags of files that shall have another than the one of their content.
    requests : list of Request
    sent : int
        Bytes of bodies sent.
    faults : list of Fault
        The first that fits is applied.
    most_at_once : int
        Largest number of requests that waited for an answer at one time.
    """

    def __init__(self):
        self.address = ""
        self.files = {}
        self.tags = {}
        self.requests = []
        self.sent = 0
        self.faults = []
        self.most_at_once = 0
        self.delay = 0.0
        self.stopped = threading.Event()
        self._now = 0
        self._lock = threading.Lock()

    def put(self, path, content):
        """Serve bytes, or those of a file on disk; gives the address."""
        self.files[path] = content if isinstance(content, bytes) else content.read_bytes()
        return self.url(path)

    def url(self, path):
        return self.address + path

    def forget(self):
        """Count from zero."""
        with self._lock:
            self.requests, self.sent, self.most_at_once = [], 0, 0

    @property
    def count(self):
        return len(self.requests)

    def asked_bytes(self):
        """Sum of the ranges asked for."""
        return sum(last + 1 - first for _, _, (first, last), _ in self.requests)

    def tag(self, path):
        return self.tags.get(path, f'"{hash(self.files[path]) & (2**64 - 1):x}"')

    def begin(self, request):
        with self._lock:
            self.requests.append(request)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            for fault in self.faults:
                if fault.path in {None, request.path} and fault.times != 0:
                    if fault.after:
                        fault.after -= 1
                        continue
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def reply_begins(self):
        """Count a request no longer: with its answer the client may already send the next."""
        with self._lock:
            self._now -= 1

    def end(self, sent):
        with self._lock:
            self.sent += sent


def _handler(files):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *args):
            pass

        def do_GET(self):
            self.answer()

        def do_HEAD(self):
            self.answer()

        def answer(self):
            path = self.path.partition("?")[0]
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            content = files.files.get(path)
            last = None
            if asked:
                last = int(asked[2]) if asked[2] else 10**18
            span = (int(asked[1]), last) if asked else None
            named = {name.title(): value for name, value in self.headers.items()}
            fault = files.begin(Request(self.command, self.path, span, named))
            self.body_sent = 0
            try:
                if files.delay:
                    files.stopped.wait(files.delay)
                files.reply_begins()
                self.respond(path, content, span, fault)
            except OSError:
                self.close_connection = True
            finally:
                files.end(self.body_sent)

        def respond(self, path, content, span, fault):
            kind = fault.kind if fault else None
            if kind == "anonymous":
                kind = None if "Authorization" in self.headers else "status"
            if kind in {"status", "redirect"}:
                self.reply(fault.status or 302, fault.headers, b"no")
            elif kind == "login page":
                self.reply(200, {"Content-Type": "text/html; charset=utf-8"}, LOGIN_PAGE)
            elif kind == "garbage":
                self.wfile.write(b"\x00\x01\x02 what is this\r\n\r\n")
                self.close_connection = True
            elif content is None:
                self.reply(404, {}, b"")
            else:
                self.send_file(path, content, span, kind)

        def send_file(self, path, content, span, kind):
            size = len(content)
            tag = files.tag(path)
            headers = {"ETag": tag, "Content-Type": "application/octet-stream"}
            wanted = self.headers.get("If-Range")
            if span is None or kind == "no ranges" or (wanted and wanted != tag):
                code, body = 200, content
            elif span[0] >= size:
                self.reply(416, {"Content-Range": f"bytes */{size}"}, b"")
                return
            else:
                first, last = span[0], min(span[1], size - 1)
                if kind == "shifted":
                    first, last = first + 1, min(last + 1, size - 1)
                code, body = 206, content[first : last + 1]
                headers["Content-Range"] = f"bytes {first}-{last}/{size}"
            if kind == "wrong byte":
                body = bytes([body[0] ^ 1]) + body[1:]
            elif kind == "short":
                body = body[:-10]
            elif kind == "long":
                body += b"and more"
            elif kind == "gzip":
                headers["Content-Encoding"] = "gzip"
            self.reply(code, headers, body, kind)

        def reply(self, code, headers, body, kind=None):
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            if kind == "no length":
                self.send_header("Connection", "close")
                self.close_connection = True
            else:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if kind in {"cut", "stall"}:
                body = body[: len(body) // 2]
            self.wfile.write(body)
            self.body_sent = len(body)
            if kind == "stall":
                self.wfile.flush()
                files.stopped.wait(60)
            if kind in {"cut", "stall"}:
                self.close_connection = True

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that hangs up is no error."""

    def get_request(self):
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address


@contextmanager
def serving(files=None):
    """Run a `FileServer`, made for the purpose unless given, until the context ends."""
    files = FileServer() if files is None else files
    server = _Server(("127.0.0.1", 0), _handler(files))
    files.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield files
    finally:
        files.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()
