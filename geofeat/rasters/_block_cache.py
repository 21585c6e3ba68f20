"""Bytes of remote files kept on disk up to a bound: the least recently used ones go first.

The bookkeeping is diskcache's, which many processes may use at once. Nothing is ever unpickled:
an entry is bytes that name their own key and checksum, everything else counts as damaged.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import threading
import time
import uuid
import zlib
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from geofeat._versions import cache_folder

_DEFAULT_BYTES = 10 * 2**30
_RAW, _FILE = 1, 2  # how diskcache says that a value lies in its database, or in a file
_FILE_NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{28}\.val")
_LOCK_SECONDS = 1.0
_REST_SECONDS = 60.0
_STALE_SECONDS = 24 * 3600
_SUM_BYTES = 4


class CacheInfo(NamedTuple):
    """What the cache folder holds.

    Attributes
    ----------
    folder : str
        Where it lies.
    blocks, block_bytes : int
        Byte ranges of remote files, and what they take.
    limit_bytes : int
        Bound of ``block_bytes``.
    files, file_bytes : int
        Whole files that were downloaded, and what they take.
    """

    folder: str
    blocks: int
    block_bytes: int
    limit_bytes: int
    files: int
    file_bytes: int


def cache_info() -> CacheInfo:
    """Count what the cache folder holds."""
    blocks = block_bytes = 0
    with suppress(sqlite3.Error, OSError), closing(_read_only(_folder())) as database:
        blocks, size = database.execute(
            "SELECT COUNT(*), SUM(CASE WHEN filename IS NULL THEN LENGTH(value) ELSE size END) "
            "FROM Cache"
        ).fetchone()
        block_bytes = int(size or 0)
    sizes = [path.stat().st_size for path in whole_files_folder().glob("*/[!.]*") if path.is_file()]
    return CacheInfo(
        str(cache_folder()), int(blocks), block_bytes, cache_bytes(), len(sizes), sum(sizes)
    )


def clear_cache() -> int:
    """Remove byte ranges and whole files of remote rasters; gives the bytes that were freed."""
    info = cache_info()
    with _lock:
        _caches.clear()
    for folder in (_folder(), whole_files_folder()):
        if folder.is_dir():
            shutil.rmtree(folder)
    return info.block_bytes + info.file_bytes


def cache_bytes() -> int:
    """Bound of the block cache: ``GEOFEAT_CACHE_BYTES``, 10 GiB without it; 0 switches it off."""
    told = os.environ.get("GEOFEAT_CACHE_BYTES", "").strip()
    if not told:
        return _DEFAULT_BYTES
    if not told.isdigit():
        raise ValueError(f"GEOFEAT_CACHE_BYTES must be a number of bytes, got {told!r}")
    return int(told)


def whole_files_folder() -> Path:
    """Where whole downloaded files lie, a folder for each address."""
    return cache_folder() / "files"


def read_entry(key: str) -> bytes | None:
    """Bytes kept under a key; None if there are none, or none that are sound."""
    cache = _open()
    return None if cache is None else cache.read(key)


def write_entry(key: str, body: bytes) -> None:
    """Keep bytes under a key, where that can be done."""
    cache = _open()
    if cache is not None:
        cache.write(key, body)


def close_in_thread() -> None:
    """Close what this thread opened, unless it is the main one, which comes back."""
    if threading.current_thread() is threading.main_thread():
        return
    cache = _caches.get(_place())
    if cache is not None:
        cache.close()


class BlockCache:
    """One folder of entries. Trouble with it is nobody's error: it is left alone for a minute.

    Parameters
    ----------
    folder : Path
        Made when first needed.
    limit : int
        Bound in bytes.
    """

    def __init__(self, folder: Path, limit: int):
        self._folder = folder
        self._limit = limit
        self._cache: Any = None
        self._rests_until = 0.0
        self._lock = threading.Lock()

    def read(self, key: str) -> bytes | None:
        """Bytes kept under a key, or None."""
        try:
            if not _writable(self._folder):
                kept = self._read_without_writing(key)
            else:
                cache = self._opened()
                kept = None if cache is None else cache.get(key)
        except _trouble() as error:
            self._put_up_with(error)
            return None
        return _unsealed(key, kept)

    def write(self, key: str, body: bytes) -> None:
        """Keep bytes, unless they are large for the cache."""
        if 4 * len(body) > self._limit:
            return
        try:
            cache = self._opened() if _writable(self._folder) else None
            if cache is not None:
                cache.set(key, _checksum(key, body) + body)
        except _trouble() as error:
            self._put_up_with(error)

    def close(self) -> None:
        """Close this thread's connection to the database."""
        with suppress(sqlite3.Error):
            if self._cache is not None:
                self._cache.close()

    def _opened(self) -> Any:
        """Give diskcache's object; None while it rests."""
        with self._lock:
            if self._cache is None and time.monotonic() >= self._rests_until:
                # Whoever waits here for a lock or a failing disk waits once a minute.
                self._rests_until = time.monotonic() + _REST_SECONDS
                self._cache = self._open()
            return self._cache

    def _open(self) -> Any:
        import diskcache

        self._folder.mkdir(parents=True, exist_ok=True)
        database = self._folder / diskcache.core.DBNAME
        if database.exists():
            # diskcache itself would wait a minute for a lock.
            with closing(sqlite3.connect(database, timeout=_LOCK_SECONDS)) as probe:
                probe.execute("BEGIN IMMEDIATE")
                probe.execute("ROLLBACK")
        cache = diskcache.Cache(
            str(self._folder),
            timeout=_LOCK_SECONDS,
            disk=_bytes_only(),
            size_limit=self._limit,
            eviction_policy="least-recently-used",
            sqlite_mmap_size=0,  # a file cut short under a map would kill the process
        )
        _sweep(self._folder)
        return cache

    def _read_without_writing(self, key: str) -> bytes | None:
        """Look an entry up in a folder that others may not or need not write."""
        with closing(_read_only(self._folder)) as database:
            found = database.execute(
                "SELECT mode, filename, value FROM Cache WHERE key = ? AND raw = 1", (key,)
            ).fetchone()
        return None if found is None else _fetch(self._folder, *found)

    def _put_up_with(self, error: Exception) -> None:
        """Leave the cache alone for a while; throw it away if its database is no database."""
        import diskcache

        if isinstance(error, diskcache.Timeout | FileNotFoundError):
            return  # busy for the moment, or evicted in between
        with self._lock:
            self._cache = None
            self._rests_until = time.monotonic() + _REST_SECONDS
            if type(error) is sqlite3.DatabaseError:
                broken = self._folder.with_name(f"{self._folder.name}.{uuid.uuid4().hex}.tmp")
                with suppress(OSError):
                    self._folder.rename(broken)
                    shutil.rmtree(broken)
                    self._rests_until = 0.0


_caches: dict[tuple[str, int, int], BlockCache] = {}
_lock = threading.Lock()


def _open() -> BlockCache | None:
    place = _place()
    if not place[1]:
        return None
    with _lock:
        if place not in _caches:
            _caches[place] = BlockCache(Path(place[0]), place[1])
        return _caches[place]


def _place() -> tuple[str, int, int]:
    """Folder and bound in force, and the process: a lock of the parent stays with it."""
    return str(_folder()), cache_bytes(), os.getpid()


def _folder() -> Path:
    return cache_folder() / "blocks"


def _checksum(key: str, body: bytes | memoryview) -> bytes:
    return zlib.crc32(body, zlib.crc32(key.encode())).to_bytes(_SUM_BYTES, "little")


def _unsealed(key: str, kept: Any) -> bytes | None:
    """Body of an entry that is sound, else None."""
    if not isinstance(kept, bytes) or len(kept) < _SUM_BYTES:
        return None
    sound = _checksum(key, memoryview(kept)[_SUM_BYTES:]) == kept[:_SUM_BYTES]
    return kept[_SUM_BYTES:] if sound else None


def _fetch(folder: Path, mode: int, filename: Any, value: Any) -> bytes | None:
    """Value of a row of the database; None for what this package never writes."""
    if mode == _RAW and isinstance(value, bytes | memoryview):
        return bytes(value)
    if mode == _FILE and isinstance(filename, str) and _FILE_NAME.fullmatch(filename):
        return (folder / filename).read_bytes()
    return None


@lru_cache(maxsize=1)
def _bytes_only() -> Any:
    """Build the class that reads and writes values for diskcache, bytes and nothing else."""
    import diskcache

    class BytesOnly(diskcache.Disk):
        def put(self, key: str) -> tuple[str, bool]:
            if not isinstance(key, str):
                raise TypeError(f"a key must be str, got {type(key).__name__}")
            return key, True

        def get(self, key: Any, raw: bool) -> Any:
            return key if raw else None

        def store(self, value: bytes, read: bool, key: Any = None) -> Any:
            if not isinstance(value, bytes) or read:
                raise TypeError(f"a value must be bytes, got {type(value).__name__}")
            return super().store(value, False, key)

        def fetch(self, mode: int, filename: Any, value: Any, read: bool) -> bytes | None:
            return _fetch(Path(self._directory), mode, filename, value)

        def remove(self, file_path: str) -> None:
            # A foreign name may lead to a file outside the folder.
            if _FILE_NAME.fullmatch(str(file_path)):
                super().remove(file_path)

    return BytesOnly


@lru_cache(maxsize=1)
def _trouble() -> tuple[type[Exception], ...]:
    """Errors of a cache that is damaged, locked, full or gone."""
    import diskcache

    # A foreign database has other tables, columns and settings.
    return sqlite3.Error, OSError, diskcache.Timeout, TypeError, ValueError, KeyError


def _writable(folder: Path) -> bool:
    """Whether entries may be written in a folder, or in the one where it is to be made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def _read_only(folder: Path) -> sqlite3.Connection:
    """Connect to the database of a folder without a lock or a write."""
    from urllib.parse import quote

    place = quote(str((folder / "cache.db").absolute()))
    mode = "mode=ro" if _writable(folder) else "mode=ro&immutable=1"
    return sqlite3.connect(f"file:{place}?{mode}", uri=True, timeout=_LOCK_SECONDS)


def _sweep(folder: Path) -> None:
    """Remove, once a day, files that killed processes wrote and never entered."""
    mark = folder / "swept"
    with suppress(OSError, sqlite3.Error):
        if mark.exists() and time.time() - mark.stat().st_mtime < _STALE_SECONDS:
            return
        mark.touch()
        with closing(_read_only(folder)) as database:
            rows = database.execute("SELECT filename FROM Cache WHERE filename IS NOT NULL")
            known = {name for (name,) in rows}
        for path in folder.glob("*/*/*.val"):
            old = time.time() - path.stat().st_mtime > _STALE_SECONDS
            if old and path.relative_to(folder).as_posix() not in known:
                path.unlink()
