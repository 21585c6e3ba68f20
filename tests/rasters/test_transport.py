"""Everything that servers do wrong, and what a reader gets then: the right bytes, or the reason."""

import asyncio
import copy
import datetime as dt
import email.utils
import os
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from geofeat.exceptions import DownloadError, OfflineError, SourceError
from geofeat.rasters import _object_store, _transport
from geofeat.rasters._addresses import resolve
from geofeat.rasters._remote import forget, read_ranges, remote_stamp
from tests.rasters.http_server import Fault, serving

SIZE = 300_000
CONTENT = bytes(range(256)) * (SIZE // 256 + 1)
RANGE = (20_000, 70_001)
RIGHT = CONTENT[20_000:90_001]


@pytest.fixture
def url(server):
    """Address of a file that was looked at; the requests so far are forgotten."""
    address = server.put("/data/a.bin", CONTENT[:SIZE])
    remote_stamp(address)
    server.forget()
    return address


def status(code, *, times=1, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault("status", times=times, status=code, headers=named)


def redirect(location, path=None):
    return Fault("redirect", path, times=None, headers={"Location": location})


@pytest.mark.parametrize(
    ("fault", "n_waits"),
    [
        (status(429, Retry_After="2"), 1),
        (status(500, times=2), 2),
        (status(503), 1),
        (status(408, times=4), 4),
        (Fault("cut"), 1),
        (Fault("short"), 1),
        (Fault("long"), 1),
        (Fault("shifted"), 1),
        (Fault("garbage"), 1),
        (Fault("no length"), 0),
        (Fault("stall"), 1),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else str(value),
)
def test_what_passes_is_outlasted(server, url, waits, transport, fault, n_waits, monkeypatch):
    monkeypatch.setattr(_transport, "SILENT_SECONDS", 0.3)
    server.faults = [copy.copy(fault)]
    assert read_ranges(url, [RANGE]) == [RIGHT]
    if transport == "obstore":  # its own attempt comes first, and nothing is waited for after it
        n_waits = max(0, n_waits - 1)
    assert len(waits) == n_waits
    unharmed = fault.kind == "no length" and transport == "urllib3"
    assert server.count == (1 if unharmed else fault.times + 1)
    for number, wait in enumerate(waits):
        assert 0.5 * 0.5 * 2**number <= wait <= 1.5 * 0.5 * 2**number or wait == 2.0


@pytest.mark.parametrize(
    ("fault", "words", "code", "attempts"),
    [
        (status(500, times=None), "status 500", 500, 5),
        (status(403, times=None), "status 403", 403, 1),
        (status(400, times=None), "status 400", 400, 1),
        (status(429, times=None, Retry_After="3600"), "come back in 3600 seconds", 429, 1),
        (Fault("cut", times=None), "connection failed", 206, 5),
        (Fault("short", times=None), "announces 69991 bytes instead of 70001", 206, 5),
        (Fault("shifted", times=None), "sends bytes 20001 to 90001", 206, 5),
        (Fault("garbage", times=None), "connection failed", None, 5),
        (Fault("no ranges", times=None), "does not send parts of files", 200, 1),
        (Fault("login page", times=None), "web page", 200, 1),
        (Fault("gzip", times=None), "compresses", 206, 1),
        (Fault("redirect", times=None, headers={"Location": "/data/a.bin"}), "more than 5", 302, 1),
        (
            Fault("redirect", times=None, headers={"Location": "file:///etc/passwd"}),
            "redirect",
            302,
            1,
        ),
        (Fault("redirect", times=None), "not followed", 302, 1),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else None,
)
def test_what_stays_is_told(server, url, waits, transport, fault, words, code, attempts):
    server.faults = [copy.copy(fault)]
    with pytest.raises(DownloadError, match=words) as caught:
        read_ranges(url, [RANGE])
    error = caught.value
    assert (error.status, error.attempts, error.url) == (code, attempts, url)
    assert error.__cause__ is not None
    assert len(waits) == attempts - 1
    assert server.count <= 5 + 11 * (transport == "obstore") + 1


def test_a_date_may_say_when_to_come_back(server, url, waits):
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=20)
    server.faults = [status(503, times=2, Retry_After=email.utils.format_datetime(later))]
    assert read_ranges(url, [RANGE]) == [RIGHT]
    assert 15 < waits[-1] <= 20


@pytest.mark.parametrize("code", [404, 410])
def test_a_file_that_is_not_there_is_said_to_be_absent(server, waits, code):
    server.faults = [status(code, times=None)]
    with pytest.raises(FileNotFoundError, match=r"/b\.bin does not exist"):
        remote_stamp(server.url("/b.bin"))
    assert server.count == 1
    assert not waits


def test_a_file_replaced_between_two_reads_is_noticed(server, url, transport):
    read_ranges(url, [RANGE])
    server.put("/data/a.bin", CONTENT[1 : SIZE + 1])
    with pytest.raises(SourceError, match="has changed"):
        read_ranges(url, [(100_000, 50)])
    # The next look is a new one.
    assert read_ranges(url, [(100_000, 50)]) == [CONTENT[100_001:100_051]]
    assert read_ranges(url, [RANGE]) == [CONTENT[20_001:90_002]]


def test_a_dead_server_is_given_up(waits):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with pytest.raises(DownloadError, match="connection failed") as caught:
        remote_stamp(f"http://127.0.0.1:{port}/a.bin")
    assert (caught.value.status, caught.value.attempts) == (None, 5)
    assert len(waits) == 4


def test_redirects_are_followed(server, url, transport):
    server.put("/other.bin", CONTENT[:SIZE])
    server.tags["/other.bin"] = server.tag("/data/a.bin")
    server.faults = [
        Fault("redirect", "/data/a.bin", times=None, headers={"Location": "/other.bin"})
    ]
    assert read_ranges(url, [RANGE]) == [RIGHT]


def test_passwords_stay_with_their_host(server, monkeypatch):
    """Another port is another server."""
    monkeypatch.setattr(_object_store, "is_usable", lambda: False)
    with serving() as other:
        other.put("/a.bin", CONTENT[:SIZE])
        server.put("/a.bin", CONTENT[:SIZE])
        server.faults = [
            Fault("redirect", times=None, headers={"Location": other.url("/a.bin")}, after=1)
        ]
        secret = server.url("/a.bin?token=x1y2").replace("//", "//me:key@")
        assert read_ranges(secret, [RANGE]) == [RIGHT]
    assert all(request.headers["Authorization"] for request in server.requests)
    assert other.count == 1
    assert "Authorization" not in other.requests[0].headers


def test_errors_tell_no_secret(server, waits):
    server.faults = [status(403, times=None)]
    with pytest.raises(DownloadError) as caught:
        remote_stamp(server.url("/a.bin?token=x1y2").replace("//", "//me:key@"))
    seen = f"{caught.value} {caught.value.url} {caught.value.__cause__!r}"
    assert "key" not in seen
    assert "x1y2" not in seen


def test_no_more_than_64_requests_are_on_their_way(server, url, transport):
    server.delay = 0.05
    ranges = [(16_384 + 1000 * i, 900) for i in range(200)]
    seen = []

    def read(part):
        seen.append(read_ranges(url, ranges[part]) == [CONTENT[a : a + n] for a, n in ranges[part]])

    threads = [
        threading.Thread(target=read, args=(slice(first, first + 100),)) for first in (0, 100)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True, True]
    assert server.count == 200
    assert 32 <= server.most_at_once <= 64


def test_offline_opens_no_socket(server, url, monkeypatch):
    read_ranges(url, [RANGE])
    server.put("/b.bin", CONTENT)
    monkeypatch.setenv("GEOFEAT_OFFLINE", "1")

    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    server.forget()
    for again in (False, True):
        if again:  # as in another process
            forget()
        assert remote_stamp(url).size == SIZE
        assert read_ranges(url, [RANGE]) == [RIGHT]
        with pytest.raises(OfflineError, match="GEOFEAT_OFFLINE") as caught:
            read_ranges(url, [(0, 5), (100_000, 5)])
        assert os.environ["GEOFEAT_CACHE"] in str(caught.value)
    with pytest.raises(OfflineError, match=r"b\.bin"):
        remote_stamp(server.url("/b.bin"))
    assert server.count == 0


def test_a_dead_network_with_a_full_cache_is_like_offline(server, url, waits, monkeypatch):
    read_ranges(url, [RANGE])
    forget()
    monkeypatch.setattr("geofeat.rasters._looks._TRUSTED_SECONDS", 0)  # yesterday
    server.faults = [Fault("garbage", times=None)]
    assert read_ranges(url, [RANGE]) == [RIGHT]


def test_reads_work_inside_a_running_event_loop(url, transport):
    async def cell():
        return read_ranges(url, [RANGE, (200_000, 10)])

    assert asyncio.run(cell()) == [RIGHT, CONTENT[200_000:200_010]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_reads_on_connections_of_its_own(server):
    """In a process of its own, so that threads of other tests do not matter."""
    address = server.put("/data/a.bin", CONTENT[:SIZE])
    code = textwrap.dedent("""
        import os, sys
        from geofeat.rasters._remote import read_ranges
        url = sys.argv[1]
        ranges = [(16384 + 1000 * i, 900) for i in range(20)]
        mine = read_ranges(url, ranges, keep=False)
        child = os.fork()
        if not child:
            os._exit(0 if read_ranges(url, ranges, keep=False) == mine else 1)
        again = read_ranges(url, ranges, keep=False) == mine
        print(os.waitpid(child, 0)[1], again)
    """)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", code, address],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["0", "True"], done.stderr


def test_obstore_is_left_alone_where_it_cannot_tell_the_whole_truth(server):
    assert _object_store.serves(resolve("https://example.org/a/b~1.tif"))
    for path in (
        "https://example.org/a.tif?sig=1",
        "https://me:x@example.org/a",
        "https://a.org/%20",
    ):
        assert not _object_store.serves(resolve(path))
