"""The cache on disk: bounded, shared by processes, and never in the way."""

import hashlib
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from geofeat.rasters import _block_cache
from geofeat.rasters._block_cache import (
    BlockCache,
    cache_info,
    clear_cache,
    read_entry,
    write_entry,
)
from geofeat.rasters._file_download import fetch_file
from geofeat.rasters._remote import forget, read_ranges

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFEAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GEOFEAT_CACHE_BYTES", raising=False)
    yield tmp_path / "cache" / "blocks"
    for cache in _block_cache._caches.values():
        cache.close()
    _block_cache._caches.clear()


def in_another_process(code, *arguments, wait=True):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    if not wait:
        return process
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return printed


def rows(folder, query, *values):
    with sqlite3.connect(folder / "cache.db") as database:
        found = database.execute(query, values).fetchall()
    database.close()
    return found


def damage(folder, query, *values):
    for cache in _block_cache._caches.values():
        cache.close()
    rows(folder, query, *values)


@pytest.mark.parametrize("size", [0, 1, 1000, 40_000, 300_000])
def test_what_was_written_is_read(folder, size):
    body = os.urandom(size)
    assert read_entry("a" * 40) is None
    write_entry("a" * 40, body)
    assert read_entry("a" * 40) == body
    assert read_entry("b" * 40) is None


def test_entries_outlive_the_process(server):
    address = server.put("/a.bin", os.urandom(300_000))
    ranges = [(20_000, 500), (100_000, 100_000)]
    code = """
        import sys
        from geofeat.rasters._remote import read_ranges
        print(sum(map(sum, read_ranges(sys.argv[1], [(20_000, 500), (100_000, 100_000)]))))
    """
    there = int(in_another_process(code, address))
    server.forget()
    assert sum(map(sum, read_ranges(address, ranges))) == there
    assert server.count == 0


def test_the_bound_is_kept_and_the_least_recently_used_go_first(folder, monkeypatch):
    monkeypatch.setenv("GEOFEAT_CACHE_BYTES", "2000000")
    write_entry("kept", os.urandom(100_000))
    for i in range(60):
        write_entry(f"entry {i}", os.urandom(100_000))
        assert read_entry("kept") is not None
    info = cache_info()
    assert info.limit_bytes == 2_000_000
    assert 1_000_000 < info.block_bytes <= 2_100_000
    on_disk = sum(path.stat().st_size for path in folder.rglob("*.val"))
    assert on_disk <= 2_100_000
    assert read_entry("entry 0") is None
    assert read_entry("entry 59") is not None
    write_entry("large", os.urandom(600_000))  # more than a quarter
    assert read_entry("large") is None


def test_a_bound_of_zero_switches_the_cache_off(folder, monkeypatch):
    monkeypatch.setenv("GEOFEAT_CACHE_BYTES", "0")
    write_entry("a", b"b")
    assert read_entry("a") is None
    assert not folder.exists()
    monkeypatch.setenv("GEOFEAT_CACHE_BYTES", "much")
    with pytest.raises(ValueError, match="GEOFEAT_CACHE_BYTES"):
        read_entry("a")


@pytest.mark.parametrize("size", [1000, 100_000])
def test_damaged_entries_are_as_good_as_none(folder, size):
    """Another byte, a shorter body, the body of another key, and no file at all."""
    for key in ("a", "b", "c", "d"):
        write_entry(key, os.urandom(size))
    files = {
        key: folder / name if name else None
        for key, name in rows(folder, "SELECT key, filename FROM Cache")
    }
    if size > 32_768:
        content = files["a"].read_bytes()
        files["a"].write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])
        files["b"].write_bytes(files["b"].read_bytes()[:-1])
        files["c"].write_bytes(files["d"].read_bytes())
        files["d"].unlink()
        damaged = "abcd"
    else:
        other = rows(folder, "SELECT value FROM Cache WHERE key = 'd'")[0][0]
        damage(folder, "UPDATE Cache SET value = ? WHERE key = 'c'", other)
        damage(folder, "UPDATE Cache SET value = SUBSTR(value, 2) WHERE key = 'a'")
        damage(folder, "UPDATE Cache SET value = NULL WHERE key = 'b'")
        damaged = "abc"
    for key in damaged:
        assert read_entry(key) is None
        write_entry(key, b"anew")
        assert read_entry(key) == b"anew"


class Planted:
    def __reduce__(self):
        return os.mkdir, ("/tmp/geofeat-planted",)


@pytest.mark.parametrize(
    ("mode", "value", "name"),
    [
        (4, pickle.dumps(Planted()), None),
        (3, None, "aa/bb/" + "c" * 28 + ".val"),
        (2, None, "../../../../../../etc/passwd"),
        (2, None, "/etc/passwd"),
        (1, "text", None),
        (0, None, None),
    ],
)
def test_foreign_entries_are_neither_unpickled_nor_followed(folder, mode, value, name):
    write_entry("a", b"b")
    damage(
        folder,
        "UPDATE Cache SET mode = ?, value = ?, filename = ? WHERE key = 'a'",
        mode,
        value,
        name,
    )
    assert read_entry("a") is None
    assert not Path("/tmp/geofeat-planted").exists()


def test_foreign_names_are_not_removed(folder, tmp_path):
    own = tmp_path / "own.txt"
    own.write_text("mine")
    write_entry("a", b"b")
    damage(folder, "UPDATE Cache SET mode = 2, filename = ? WHERE key = 'a'", str(own))
    write_entry("a", b"anew")
    assert read_entry("a") == b"anew"
    assert own.read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b"no database at all" * 1000])
def test_a_damaged_database_is_replaced(folder, content):
    write_entry("a", b"b")
    for cache in _block_cache._caches.values():
        cache.close()
    _block_cache._caches.clear()
    for file in folder.glob("cache.db*"):
        file.unlink()
    (folder / "cache.db").write_bytes(content)
    assert read_entry("a") is None
    write_entry("a", b"c")
    assert read_entry("a") == b"c"


def test_a_database_damaged_in_use_is_replaced(folder):
    for i in range(200):
        write_entry(f"{i}", os.urandom(2000))
    damage(folder, "VACUUM")
    with (folder / "cache.db").open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(300_000))
    for i in range(200):
        assert read_entry(f"{i}") is None
    write_entry("a", b"c")
    assert read_entry("a") == b"c"


def test_a_locked_cache_is_left_alone(folder, monkeypatch):
    monkeypatch.setattr(_block_cache, "_LOCK_SECONDS", 0.05)
    write_entry("a", b"b")
    for cache in _block_cache._caches.values():
        cache.close()
    _block_cache._caches.clear()
    with sqlite3.connect(folder / "cache.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        for _ in range(100):
            assert read_entry("a") is None
            write_entry("a", b"c")
        assert time.monotonic() - started < 30
        other.execute("ROLLBACK")
    other.close()


def test_a_folder_that_cannot_be_written_is_read(server, monkeypatch):
    content = os.urandom(300_000)
    address = server.put("/a.bin", content)
    read_ranges(address, [(20_000, 500), (100_000, 100_000)])
    before = cache_info()
    for cache in _block_cache._caches.values():
        cache.close()
    _block_cache._caches.clear()
    forget()
    monkeypatch.setattr(_block_cache, "_writable", lambda folder: False)
    server.forget()
    ranges = [(20_000, 500), (100_000, 100_000)]
    assert read_ranges(address, ranges) == [content[a : a + n] for a, n in ranges]
    assert server.count == 0
    assert read_ranges(address, [(250_000, 10)]) == [content[250_000:250_010]]
    assert read_ranges(address, [(250_000, 10)]) == [content[250_000:250_010]]
    assert server.count == 2
    assert cache_info() == before


@pytest.mark.parametrize("blocked", ["cache", "cache/blocks"])
def test_a_file_in_the_place_of_the_folder_does_no_harm(server, tmp_path, blocked):
    (tmp_path / blocked).parent.mkdir(exist_ok=True)
    (tmp_path / blocked).write_text("in the way")
    content = os.urandom(100_000)
    address = server.put("/a.bin", content)
    assert read_ranges(address, [(50_000, 10)]) == [content[50_000:50_010]]
    assert (tmp_path / blocked).read_text() == "in the way"


def test_a_killed_writer_leaves_a_sound_cache(folder):
    """Killed at any moment while it writes and evicts: what is there is right or missing."""
    code = """
        import hashlib, os, sys
        os.environ["GEOFEAT_CACHE_BYTES"] = "3000000"
        from geofeat.rasters._block_cache import write_entry
        i = 0
        while True:
            if i == 10:
                print("begun", flush=True)
            key = f"{int(sys.argv[1])} {i % 100}"
            write_entry(key, hashlib.sha256(key.encode()).digest() * (2000 if i % 2 else 20))
            i += 1
    """
    for attempt in range(4):
        process = in_another_process(code, attempt, wait=False)
        process.stdout.readline()
        time.sleep(0.05 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        found = 0
        for i in range(100):
            key = f"{attempt} {i}"
            body = read_entry(key)
            found += body is not None
            right = hashlib.sha256(key.encode()).digest() * (2000 if i % 2 else 20)
            assert body in {None, right}
        assert found > 0
        write_entry("mine", b"body")
        assert read_entry("mine") == b"body"


def test_files_that_nobody_entered_are_removed_a_day_later(folder):
    write_entry("a", os.urandom(100_000))
    orphan = folder / "aa" / "bb" / ("c" * 28 + ".val")
    young = folder / "aa" / "bb" / ("d" * 28 + ".val")
    orphan.parent.mkdir(parents=True, exist_ok=True)
    yesterday = time.time() - 25 * 3600
    for file in (orphan, young, *folder.rglob("*.val")):
        file.touch()
    kept = folder / rows(folder, "SELECT filename FROM Cache")[0][0]
    for file in (orphan, kept, folder / "swept"):
        os.utime(file, (yesterday, yesterday))
    for cache in _block_cache._caches.values():
        cache.close()
    _block_cache._caches.clear()
    assert len(read_entry("a")) == 100_000
    assert not orphan.exists()
    assert young.exists()


def test_two_processes_share_the_cache(server):
    files = {f"/{i}.bin": os.urandom(200_000) for i in range(5)}
    addresses = [server.put(path, content) for path, content in files.items()]
    code = """
        import hashlib, sys
        from geofeat.rasters._remote import read_ranges
        for round in range(3):
            for url in sys.argv[1:]:
                parts = read_ranges(url, [(i * 20_000, 20_000) for i in range(10)])
                print(hashlib.sha256(b"".join(parts)).hexdigest())
    """
    right = [hashlib.sha256(content).hexdigest() for content in files.values()] * 3
    running = [in_another_process(code, *addresses, wait=False) for _ in range(3)]
    for process in running:
        printed, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert printed.split() == right
    assert server.count <= 3 * 5 * 10  # one look, and nine ranges beyond it, for each process


def test_the_cache_is_counted_and_cleared(server):
    content = os.urandom(200_000)
    address = server.put("/a.bin", content)
    assert cache_info()[1:] == (0, 0, 10 * 2**30, 0, 0)
    read_ranges(address, [(100_000, 50_000), (20_000, 100)])
    fetch_file(address, allow_unverified=True)
    info = cache_info()
    assert info.folder == os.environ["GEOFEAT_CACHE"]
    assert info.blocks == 3  # two ranges and the look at the file
    assert 50_100 + 2**14 <= info.block_bytes < 50_100 + 2**14 + 500
    assert (info.files, info.file_bytes) == (1, 200_000)
    assert clear_cache() == info.block_bytes + info.file_bytes
    assert cache_info()[1:] == (0, 0, 10 * 2**30, 0, 0)
    assert read_ranges(address, [(100_000, 50_000)]) == [content[100_000:150_000]]
    assert cache_info().blocks == 1


def test_keys_are_text_and_values_bytes(folder):
    write_entry("a", b"b")
    cache = BlockCache(folder, 10**6)
    opened = cache._opened()
    with pytest.raises(TypeError, match="bytes"):
        opened.set("a", {"b": 1})
    with pytest.raises(TypeError, match="str"):
        opened.set(("a",), b"b")
    cache.close()


def test_replaced_files_are_never_mixed_up(server):
    """The same range of the same address, before and after, in one cache."""
    first, second = os.urandom(100_000), os.urandom(100_000)
    address = server.put("/a.bin", first)
    assert read_ranges(address, [(50_000, 10)]) == [first[50_000:50_010]]
    server.put("/a.bin", second)
    forget()
    # A day later the file is looked at again.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geofeat.rasters._looks._TRUSTED_SECONDS", 0)
        assert read_ranges(address, [(50_000, 10)]) == [second[50_000:50_010]]
