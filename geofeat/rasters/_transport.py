"""Requests to servers of files: one attempt each, and the patience to make several."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from geofeat._downloads import ATTEMPTS, downloads_are_off, judge_status, pause_after
from geofeat.exceptions import DownloadError, OfflineError
from geofeat.rasters._addresses import Address, in_region, is_loopback, redirected, same_place

IN_FLIGHT = 64
CONNECT_SECONDS = 10.0
SILENT_SECONDS = 30.0
_LISTEN_SECONDS = 0.2
_REDIRECTS = 5
WEB_PAGES = ("text/html", "application/xhtml+xml")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_UNSATISFIED = re.compile(r"bytes \*/(\d+)")
_ABSENT = {404, 410}
_MOVED = {301, 302, 303, 307, 308}

Result = TypeVar("Result")
Halted = Callable[[], bool]


class Part(NamedTuple):
    """Bytes of a file, with the size and the tag of the file that they belong to."""

    body: bytes
    size: int
    tag: str


class AttemptError(Exception):
    """One attempt failed.

    Parameters
    ----------
    reason : str
        What the server does, to follow a name of it.
    status : int or None
        Status of its answer.
    retry_after : str
        When it asks to come back.
    again : bool or None
        Whether another attempt may help; None: what the status says.
    """

    def __init__(
        self,
        reason: str,
        status: int | None = None,
        *,
        retry_after: str = "",
        again: bool | None = None,
    ):
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.retry_after = retry_after
        self.again = again


class _Connections:
    """Open connections of this process, requests on their way, buckets that want a signature.

    A process made by fork starts anew: two processes on one connection would mix their answers.
    """

    def __init__(self) -> None:
        self.process = os.getpid()
        self.free = threading.BoundedSemaphore(IN_FLIGHT)
        self.pools: dict[str, Any] = {}
        self.signed: set[str] = set()
        self.lock = threading.Lock()

    def pool(self, url: str) -> Any:
        """Pool that reaches an address, through a proxy where the environment names one."""
        import urllib.request

        import urllib3

        parts = urlsplit(url)
        host = parts.hostname or ""
        proxies = {} if is_loopback(host) else urllib.request.getproxies()
        proxy = proxies.get(parts.scheme, "")
        if proxy and urllib.request.proxy_bypass(host):
            proxy = ""
        with self.lock:
            if proxy not in self.pools:
                options = {"num_pools": 16, "maxsize": IN_FLIGHT, "retries": False}
                self.pools[proxy] = (
                    urllib3.ProxyManager(proxy, **options)
                    if proxy
                    else urllib3.PoolManager(**options)
                )
            return self.pools[proxy]


_connections = _Connections()


def connections() -> _Connections:
    """Give the connections of this process."""
    global _connections  # noqa: PLW0603 - one a process, also after a fork
    if _connections.process != os.getpid():
        _connections = _Connections()
    return _connections


def in_turn(attempt: Callable[[], Result]) -> Result:
    """Make one request as soon as fewer than `IN_FLIGHT` are on their way."""
    with connections().free:
        return attempt()


def patiently(
    attempt: Callable[[], Result], address: Address, *, halted: Halted | None = None
) -> Result:
    """Make attempts until one succeeds, another is in vain or the last one has failed.

    Parameters
    ----------
    attempt : callable
        Makes a request and raises `AttemptError`.
    address : Address
        What is asked for, for messages.
    halted : callable
        Whether nobody waits for the answer any more, which ends the attempts.

    Raises
    ------
    FileNotFoundError
        The server says that there is no such file.
    OfflineError
        Downloads are switched off.
    DownloadError
        All else that the server or the connection does.
    """
    for number in range(1, ATTEMPTS + 1):
        refuse_offline(address)
        try:
            return in_turn(attempt)
        except AttemptError as error:
            reason, wait = _judge(error, number)
            if error.status in _ABSENT and error.again is None:
                raise FileNotFoundError(f"{address.shown} does not exist") from error
            if wait is None or number == ATTEMPTS or (halted is not None and halted()):
                raise DownloadError(
                    f"{address.shown} cannot be read: {reason}.",
                    url=address.shown,
                    status=error.status,
                    attempts=number,
                ) from error
        pause(wait, halted)
    raise AssertionError("the last attempt returns or raises")


def pause(seconds: float, halted: Halted | None = None) -> None:
    """Wait before another attempt, unless nobody waits for its answer."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not (halted is not None and halted()):
        time.sleep(min(left, _LISTEN_SECONDS))


def refuse_offline(address: Address) -> None:
    """Raise OfflineError if downloads are switched off."""
    if downloads_are_off():
        from geofeat._versions import cache_folder

        raise OfflineError(
            f"{address.shown} is not in the cache folder {cache_folder()}, and downloads are "
            "switched off (GEOFEAT_OFFLINE or HF_HUB_OFFLINE). Read it once where there is a "
            "connection, with GEOFEAT_CACHE set to a folder that can be taken along.",
            url=address.shown,
        )


def _judge(error: AttemptError, number: int) -> tuple[str, float | None]:
    """Reason in plain words, and the seconds until another attempt; None if that is in vain."""
    if error.again is not None:
        return error.reason, pause_after(number) if error.again else None
    if error.status is None:
        return error.reason, pause_after(number)
    reason, wait = judge_status(error.status, error.retry_after, number)
    return f"the server {reason}", wait


def get_part(address: Address, start: int, stop: int, headers: dict[str, str]) -> Part:
    """Ask once for bytes ``start`` to ``stop`` (exclusive), fewer only at the end of the file."""
    wanted = {**headers, "Range": f"bytes={start}-{stop - 1}"}
    with answer(address, wanted) as response:
        if response.status == 416:
            match = _UNSATISFIED.fullmatch(response.headers.get("Content-Range", "").strip())
            if match is None or int(match[1]) > start:
                raise AttemptError("the server refuses the range asked for", 416, again=False)
            return Part(b"", int(match[1]), tag_of(response))
        if response.status == 200:
            return _whole_as_part(response, start, stop)
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if response.status != 206 or match is None:
            raise AttemptError(
                f"the server answers a range with status {response.status} and the range "
                f"{response.headers.get('Content-Range', '')!r}",
                response.status,
                again=False,
            )
        first, last, size = (int(number) for number in match.groups())
        if first != start or last != min(stop, size) - 1:
            raise AttemptError(
                f"the server sends bytes {first} to {last} of {size} instead of {start} to "
                f"{stop - 1}",
                206,
                again=True,
            )
        return Part(exact_body(response, last + 1 - first), size, tag_of(response))


def _whole_as_part(response: Any, start: int, stop: int) -> Part:
    """Part of a file that the server sends whole: right only where all of it was asked for."""
    length = response.headers.get("Content-Length", "")
    if start == 0 and length.isdigit() and int(length) <= stop:
        return Part(exact_body(response, int(length)), int(length), tag_of(response))
    raise AttemptError(
        "the server does not send parts of files; copy the file here, or read it from a server "
        "that knows ranges",
        200,
        again=False,
    )


def exact_body(response: Any, length: int) -> bytes:
    """Read a body of so many bytes, no more and no fewer."""
    announced = response.headers.get("Content-Length", "")
    if announced.isdigit() and int(announced) != length:
        raise AttemptError(
            f"the server announces {announced} bytes instead of {length}",
            response.status,
            again=True,
        )
    body = bytearray()
    while len(body) <= length and (more := receive(response, length + 1 - len(body))):
        body += more
    if len(body) != length:
        kind = "more" if len(body) > length else f"{len(body)}"
        raise AttemptError(
            f"the server sends {kind} bytes instead of {length}", response.status, again=True
        )
    return bytes(body)


def receive(response: Any, most: int) -> bytes:
    """Read some bytes of a body; none at its end."""
    from urllib3.exceptions import HTTPError

    try:
        data: bytes = response.read(min(most, 2**20))
    except (HTTPError, OSError) as error:
        raise AttemptError(
            f"the connection failed ({type(error).__name__})", response.status, again=True
        ) from error
    return data


def tag_of(response: Any) -> str:
    """Strong entity tag of a file, or the time of its last change; empty if neither is told."""
    tag = str(response.headers.get("ETag", "")).strip()
    if tag and not tag.startswith("W/"):
        return tag
    return str(response.headers.get("Last-Modified", "")).strip()


@contextmanager
def answer(address: Address, headers: dict[str, str]) -> Iterator[Any]:
    """Send one request, follow redirects, refuse what is no file; the body is still to be read."""
    url = address.url
    private = {"Authorization": address.authorization} if address.authorization else {}
    for _ in range(_REDIRECTS + 1):
        response = _send(url, {**headers, **private})
        try:
            target = _target(url, response)
            if target is None:
                _refuse_other_content(response)
                yield response
                return
        finally:
            # A body read to its end has given its connection back already.
            response.close()
        if not same_place(url, target):
            private = {}
            headers = {k: v for k, v in headers.items() if k.lower() not in _SECRET_HEADERS}
        url = target
    raise AttemptError(
        f"the server redirects more than {_REDIRECTS} times", response.status, again=False
    )


_SECRET_HEADERS = {"authorization", "x-goog-user-project"}


def _send(url: str, headers: dict[str, str]) -> Any:
    import urllib3
    from urllib3.exceptions import HTTPError

    try:
        return (
            connections()
            .pool(url)
            .request(
                "GET",
                url,
                headers={"Accept-Encoding": "identity", "User-Agent": "geofeat", **headers},
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=SILENT_SECONDS),
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        )
    except (HTTPError, OSError) as error:
        raise AttemptError(f"the connection failed ({type(error).__name__})") from error


def _target(url: str, response: Any) -> str | None:
    """Where a redirect leads; None for an answer that is none."""
    if response.status not in _MOVED:
        return None
    location = response.headers.get("Location", "")
    region = response.headers.get("x-amz-bucket-region", "")
    target = redirected(url, location) if location else in_region(url, region)
    if target is None:
        raise AttemptError(
            "the server redirects to an address that is not followed", response.status, again=False
        )
    return target


def _refuse_other_content(response: Any) -> None:
    """Raise for errors, web pages and compressed bodies."""
    if response.status >= 400 and response.status != 416:
        raise AttemptError("", response.status, retry_after=response.headers.get("Retry-After", ""))
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in WEB_PAGES and response.status != 416:
        raise AttemptError(
            "what answers sends a web page, not the file: a proxy, a login page?",
            response.status,
            again=False,
        )
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in {"", "identity"}:
        raise AttemptError(
            f"the server compresses the file ({coding}) although asked not to",
            response.status,
            again=False,
        )
