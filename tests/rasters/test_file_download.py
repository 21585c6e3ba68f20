"""Whole files: the right bytes under their name, or nothing."""

import errno
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from geofeat.exceptions import (
    ChecksumError,
    DownloadError,
    LimitError,
    OfflineError,
    UnsafeFileError,
)
from geofeat.rasters import _file_download, _looks, _transport
from geofeat.rasters._file_download import fetch_file
from tests.rasters.http_server import Fault

CONTENT = os.urandom(400_000)
SUM = hashlib.sha256(CONTENT).hexdigest()
OTHER = os.urandom(400_000)


@pytest.fixture
def url(server):
    return server.put("/2024/grid_0.05_51.45.npy", CONTENT)


def cache_files():
    """Every file in the cache folder, temporary ones too."""
    root = Path(os.environ["GEOFEAT_CACHE"]) / "files"
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def test_a_file_is_fetched_once(server, url):
    path = fetch_file(url, size=len(CONTENT), sha256=SUM.upper())
    assert path.name == "grid_0.05_51.45.npy"
    assert path.read_bytes() == CONTENT
    assert fetch_file(url, size=len(CONTENT), sha256=SUM) == path
    assert server.count == 1
    assert cache_files() == [".grid_0.05_51.45.npy.json", "grid_0.05_51.45.npy"]


@pytest.mark.parametrize(
    ("faults", "requests"),
    [
        ([Fault("cut")], 2),
        ([Fault("cut"), Fault("status", status=503)], 3),
        ([Fault("cut", times=3)], 4),
        ([Fault("stall")], 2),
        ([Fault("garbage")], 2),
        ([Fault("no length")], 1),
        ([Fault("wrong byte")], 2),
        ([Fault("status", status=500, times=2)], 3),
        ([Fault("cut"), Fault("shifted")], 3),
        ([Fault("cut"), Fault("no ranges")], 2),
        ([Fault("cut"), Fault("status", status=416)], 3),
        ([Fault("long")], 2),
    ],
    ids=lambda value: "-".join(fault.kind for fault in value) if isinstance(value, list) else None,
)
def test_a_download_outlasts_faults(server, url, waits, monkeypatch, faults, requests):
    monkeypatch.setattr(_transport, "SILENT_SECONDS", 0.3)
    server.faults = [Fault(f.kind, times=f.times, status=f.status) for f in faults]
    path = fetch_file(url, size=None if faults[0].kind == "long" else len(CONTENT), sha256=SUM)
    assert path.read_bytes() == CONTENT
    assert server.count == requests
    assert len(cache_files()) == 2


def test_a_cut_download_goes_on_where_it_ended(server, url, waits):
    server.faults = [Fault("cut")]
    fetch_file(url, sha256=SUM)
    first, second = server.requests
    assert first.range is None
    assert second.range[0] == len(CONTENT) // 2
    assert second.headers["If-Range"] == server.tag("/2024/grid_0.05_51.45.npy")
    assert server.sent == len(CONTENT)


def test_a_file_replaced_in_between_is_fetched_anew(server, url, waits, monkeypatch):
    server.faults = [Fault("cut")]
    pause = _transport.pause

    def replace(seconds, halted=None):
        pause(seconds, halted)
        server.put("/2024/grid_0.05_51.45.npy", OTHER)

    monkeypatch.setattr(_transport, "pause", replace)
    path = fetch_file(url, sha256=hashlib.sha256(OTHER).hexdigest())
    assert path.read_bytes() == OTHER


def test_a_registry_that_disagrees_with_its_server_is_named(server, url):
    wrong = "0" * 64
    with pytest.raises(ChecksumError, match="registry and server disagree") as caught:
        fetch_file(url, sha256=wrong)
    error = caught.value
    assert (error.expected, error.actual, error.url) == (wrong, SUM, url)
    assert "on_error='nan'" in str(error)
    assert server.count == 2
    assert cache_files() == []


def test_a_file_damaged_twice_on_the_way_is_refused(server, url, monkeypatch):
    answer = _file_download.answer
    contents = iter([OTHER, CONTENT[1:]])

    def damage(address, headers):
        server.files["/2024/grid_0.05_51.45.npy"] = next(contents)
        return answer(address, headers)

    monkeypatch.setattr(_file_download, "answer", damage)
    with pytest.raises(ChecksumError, match="damaged twice"):
        fetch_file(url, sha256=SUM)
    assert cache_files() == []


@pytest.mark.parametrize(
    ("fault", "words", "n_requests"),
    [
        (Fault("status", times=None, status=500), "status 500", 5),
        (Fault("status", times=None, status=403), "status 403", 1),
        (Fault("login page", times=None), "web page", 1),
        (Fault("gzip", times=None), "compresses", 1),
        (Fault("cut", times=None), "connection failed", 5),
        (Fault("redirect", times=None, headers={"Location": "file:///etc/passwd"}), "followed", 1),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else None,
)
def test_what_stays_is_told_and_leaves_nothing(server, url, waits, fault, words, n_requests):
    server.faults = [fault]
    with pytest.raises(DownloadError, match=words):
        fetch_file(url, sha256=SUM)
    assert server.count == n_requests
    assert cache_files() == []


def test_an_absent_file_is_absent(server, url):
    with pytest.raises(FileNotFoundError):
        fetch_file(url + "x", sha256=SUM)


def test_a_file_of_another_size_than_registered_is_refused(server, url):
    with pytest.raises(ChecksumError, match="400000 bytes, its registry says 399999"):
        fetch_file(url, size=399_999, sha256=SUM)
    assert server.count == 1
    assert cache_files() == []


def test_without_a_sum_a_file_is_taken_only_on_request(server, url, caplog):
    with pytest.raises(UnsafeFileError, match="allow_unverified=True"):
        fetch_file(url)
    assert server.count == 0
    with caplog.at_level(logging.INFO, "geofeat"):
        path = fetch_file(url, allow_unverified=True)
    assert SUM in caplog.text
    assert path.read_bytes() == CONTENT
    server.faults = [Fault("no length")]
    server.put("/b.npy", CONTENT)
    with pytest.raises(DownloadError, match="how long"):
        fetch_file(server.url("/b.npy"), allow_unverified=True)


def test_an_unverified_file_is_fetched_anew_when_the_server_has_another(server, url, monkeypatch):
    fetch_file(url, allow_unverified=True)
    server.forget()
    assert fetch_file(url, allow_unverified=True).read_bytes() == CONTENT
    assert server.count == 1  # a look, remembered for a day
    assert fetch_file(url, allow_unverified=True).read_bytes() == CONTENT
    assert server.count == 1
    server.put("/2024/grid_0.05_51.45.npy", OTHER)
    monkeypatch.setattr(_looks, "_TRUSTED_SECONDS", 0)
    assert fetch_file(url, allow_unverified=True).read_bytes() == OTHER
    monkeypatch.setenv("GEOFEAT_OFFLINE", "1")
    assert fetch_file(url, allow_unverified=True).read_bytes() == OTHER
    with pytest.raises(OfflineError):
        fetch_file(url, sha256=SUM)


def test_a_file_altered_on_disk_is_fetched_anew(server, url):
    path = fetch_file(url, sha256=SUM)
    os.utime(path)  # touched, but as it was: hashed, not fetched
    assert fetch_file(url, sha256=SUM) == path
    assert server.count == 1
    path.write_bytes(OTHER)
    assert fetch_file(url, sha256=SUM).read_bytes() == CONTENT
    assert server.count == 2
    record = path.with_name(f".{path.name}.json")
    record.write_text("{}")
    assert fetch_file(url, sha256=SUM).read_bytes() == CONTENT
    assert server.count == 3


@pytest.mark.parametrize("bad", ["xyz", "0" * 63, 64 * "g"])
def test_sums_are_checked_before_the_download(server, url, bad):
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        fetch_file(url, sha256=bad)
    with pytest.raises(LimitError):
        fetch_file(url, sha256=SUM, size=2**40)
    assert server.count == 0


def test_a_full_disk_is_told_before_the_first_byte(server, url, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    with pytest.raises(OSError, match="400000 bytes needed, 10 free") as caught:
        fetch_file(url, sha256=SUM)
    assert caught.value.errno == errno.ENOSPC
    assert cache_files() == []


@pytest.mark.parametrize("after", [0, 1, 100_000, 399_999])
def test_a_disk_that_fills_up_leaves_nothing(server, url, monkeypatch, after):
    write = _file_download._Transfer._receive

    def full(self, response, total):
        real = self._file

        class Full:
            def write(self, data):
                if real.tell() + len(data) > after:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return real.write(data)

        self._file = Full()
        try:
            write(self, response, total)
        finally:
            self._file = real

    monkeypatch.setattr(_file_download._Transfer, "_receive", full)
    with pytest.raises(OSError, match="GEOFEAT_CACHE") as caught:
        fetch_file(url, sha256=SUM)
    assert caught.value.errno == errno.ENOSPC
    assert cache_files() == []


def test_a_folder_that_cannot_be_made_is_named(server, url, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GEOFEAT_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(OSError, match="GEOFEAT_CACHE"):
        fetch_file(url, sha256=SUM)


def test_old_leftovers_are_removed(server, url):
    path = fetch_file(url, sha256=SUM)
    old, young = path.with_name(".a.tmp"), path.with_name(".b.tmp")
    for file in (old, young):
        file.write_bytes(b"x")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    path.unlink()
    fetch_file(url, sha256=SUM)
    assert not old.exists()
    assert young.exists()


def test_processes_fetch_the_same_files_at_once(server):
    """Eight percent of the answers are faults; every process ends with the right bytes."""
    files = {f"/{i}.bin": os.urandom(150_000 + i) for i in range(6)}
    for path, content in files.items():
        server.put(path, content)
    server.faults = [
        Fault(kind, after=after, status=503 if kind == "status" else None)
        for after, kind in ((1, "cut"), (4, "status"), (9, "wrong byte"), (14, "garbage"))
    ]
    code = """
        import hashlib, sys
        from geofeat.rasters import _transport
        from geofeat.rasters._file_download import fetch_file
        _transport.pause = lambda seconds, halted=None: None
        for pair in sys.argv[1:]:
            url, digest = pair.split("|")
            path = fetch_file(url, sha256=digest)
            assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    """
    arguments = [
        f"{server.url(path)}|{hashlib.sha256(content).hexdigest()}"
        for path, content in files.items()
    ]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *arguments],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        for _ in range(3)
    ]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    assert len(cache_files()) == 12  # no leftovers
