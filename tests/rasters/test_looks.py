"""What is remembered of remote files, and for how long."""

import threading
import time

import pytest

from geofeat.exceptions import CorruptFileError
from geofeat.rasters import _looks
from geofeat.rasters._remote import forget, read_ranges, remote_head, remote_stamp
from tests.rasters.http_server import Fault

CONTENT = bytes(range(256)) * 2000


def test_a_file_is_looked_at_once_by_many_threads(server):
    server.delay = 0.05
    address = server.put("/a.bin", CONTENT)
    stamps = []
    threads = [
        threading.Thread(target=lambda: stamps.append(remote_stamp(address))) for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stamps == [(len(CONTENT), server.tag("/a.bin"))] * 10
    assert server.count == 1


def test_first_bytes_come_with_the_look(server):
    address = server.put("/a.bin", CONTENT)
    assert remote_head(address, 10) == CONTENT[:16_384]
    assert read_ranges(address, [(100, 50), (0, 16_384)]) == [CONTENT[100:150], CONTENT[:16_384]]
    assert server.count == 1
    assert remote_head(address, 100_000) == CONTENT[:100_000]
    assert server.count == 2


def test_small_and_empty_files_are_files(server):
    assert remote_stamp(server.put("/a.bin", b"")).size == 0
    assert read_ranges(server.url("/a.bin"), [(0, 0)]) == [b""]
    small = server.put("/b.bin", b"abc")
    assert read_ranges(small, [(0, 3), (1, 1), (3, 0)]) == [b"abc", b"b", b""]


def test_a_server_without_ranges_may_serve_small_files(server):
    server.faults = [Fault("no ranges", times=None)]
    assert read_ranges(server.put("/b.bin", b"abc"), [(1, 2)]) == [b"bc"]


def test_looks_are_trusted_for_a_day(server, monkeypatch):
    address = server.put("/a.bin", CONTENT)
    remote_stamp(address)
    now = time.time()
    for hours, count in [(1, 1), (23, 1), (25, 2), (26, 2)]:
        monkeypatch.setattr(_looks.time, "time", lambda hours=hours: now + 3600 * hours)
        for process in range(2):
            if process:
                forget()
            remote_stamp(address)
        assert server.count == count


def test_stamps_outlast_the_first_bytes(server, monkeypatch):
    """Without a cache on disk, hundreds of files are still looked at once each."""
    monkeypatch.setenv("GEOFEAT_CACHE_BYTES", "0")
    monkeypatch.setattr(_looks, "_REMEMBERED_BYTES", 5 * 2**14)
    addresses = [server.put(f"/{i}.bin", CONTENT) for i in range(20)]
    for _ in range(3):
        assert {remote_stamp(address).size for address in addresses} == {len(CONTENT)}
    assert server.count == 20
    assert read_ranges(addresses[0], [(100, 50)]) == [CONTENT[100:150]]
    assert server.count == 21


def test_a_server_out_of_reach_is_not_asked_for_every_block(server, waits, monkeypatch):
    address = server.put("/a.bin", CONTENT)
    read_ranges(address, [(50_000, 10)])
    now = time.time()
    monkeypatch.setattr(_looks.time, "time", lambda: now + 48 * 3600)
    server.faults = [Fault("garbage", times=None)]
    server.forget()
    for _ in range(5):
        assert read_ranges(address, [(50_000, 10)]) == [CONTENT[50_000:50_010]]
    assert server.count == 5  # the attempts of one look
    monkeypatch.setattr(_looks.time, "time", lambda: now + 48 * 3600 + 700)
    read_ranges(address, [(50_000, 10)])
    assert server.count == 10


def test_looks_written_by_another_version_are_not_taken(server):
    address = server.put("/a.bin", CONTENT)
    for kept in (b"", b"{}\nabc", b"nonsense", b'{"size": null, "tag": 1, "time": 2}\n'):
        key = _looks._look_key(_looks.Address("", address))
        _looks._block_cache.write_entry(key, kept)
        forget()
        assert remote_stamp(address).size == len(CONTENT)


@pytest.mark.parametrize("pair", [(-1, 5), (0, -1), (len(CONTENT), 1), (0, len(CONTENT) + 1)])
def test_ranges_beyond_the_file_are_errors(server, pair):
    address = server.put("/a.bin", CONTENT)
    with pytest.raises(CorruptFileError, match="has 512000 bytes"):
        read_ranges(address, [(0, 5), pair])
