"""Whole remote files in the cache folder: resumed after a cut, verified, never half there."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import unquote, urlsplit

from geofeat._downloads import downloads_are_off
from geofeat._whole_file import explain_cache_trouble, remove_stale, write_whole, writing_whole
from geofeat.exceptions import ChecksumError, DownloadError, LimitError, UnsafeFileError
from geofeat.rasters._addresses import Address, resolve
from geofeat.rasters._block_cache import whole_files_folder
from geofeat.rasters._credentials import as_whoever_may
from geofeat.rasters._looks import look_at
from geofeat.rasters._transport import (
    AttemptError,
    answer,
    patiently,
    receive,
    refuse_offline,
    tag_of,
)

_MAX_BYTES = 2**32
_SAFE_NAME = re.compile(r"(?!\.)[A-Za-z0-9._+=~-]{1,200}")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_log = logging.getLogger("geofeat")


class _Record(NamedTuple):
    """What was downloaded: size and hash, the server's tag, and the file's own marks on disk."""

    size: int
    sha256: str
    tag: str
    mtime_ns: int
    inode: int


def fetch_file(
    url: str,
    *,
    size: int | None = None,
    sha256: str | None = None,
    allow_unverified: bool = False,
) -> Path:
    """Bring a whole remote file into the cache folder, unless it is there.

    Parameters
    ----------
    url : str
        Address, of the schemes https, s3 or gs.
    size : int or None
        Bytes that it must have.
    sha256 : str or None
        SHA-256 sum that it must have, 64 hexadecimal digits.
    allow_unverified : bool
        Whether to take a file without a known sum. Its sum is logged, and the server is asked once
        a day whether it still has that file.

    Returns
    -------
    path : Path
        The file, under the last part of its address.

    Raises
    ------
    UnsafeFileError
        No sum is known and ``allow_unverified`` is not set.
    ChecksumError
        The server holds another file, or it arrived damaged twice.
    FileNotFoundError, OfflineError, DownloadError
        As in `geofeat.rasters._remote.remote_stamp`.
    PermissionError, OSError
        The cache folder cannot be written, or the disk is full.
    """
    address = resolve(url)
    if sha256 is None and not allow_unverified:
        raise UnsafeFileError(
            address.shown,
            "has no known SHA-256 sum, so that nobody could tell a damaged or foreign file; "
            "allow_unverified=True takes it as it comes",
        )
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"sha256 must be 64 hexadecimal digits, got {sha256!r}")
    if size is not None and not 0 < size <= _MAX_BYTES:
        raise LimitError(f"{address.shown} has {size} bytes, the bound is {_MAX_BYTES}.")
    wanted = None if sha256 is None else sha256.lower()
    path = _place(address)
    if _is_kept(path, address, size, wanted):
        return path
    refuse_offline(address)
    with _explained(path.parent, size or 0):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(path.parent)
        record = _download(address, path, size, wanted)
        _write_record(path, record)
    if wanted is None:
        _log.info("%s was not verified; its SHA-256 sum is %s", address.shown, record.sha256)
    return path


def kept_file(url: str) -> Path | None:
    """Give the file that `fetch_file` has brought, if it is there and sound; nothing is fetched."""
    address = resolve(url)
    path = _place(address)
    return path if _is_kept(path, address, None, None) else None


def _place(address: Address) -> Path:
    """Where a file lies: in a folder of its address, under its own name."""
    name = unquote(urlsplit(address.url).path.rpartition("/")[2])
    folder = hashlib.blake2b(address.url.encode(), digest_size=16).hexdigest()
    return whole_files_folder() / folder / (name if _SAFE_NAME.fullmatch(name) else "file")


def _is_kept(path: Path, address: Address, size: int | None, sha256: str | None) -> bool:
    """Whether the right file is there and sound."""
    record = _read_record(path)
    if record is None or not path.is_file():
        return False
    if size not in {None, record.size} or sha256 not in {None, record.sha256}:
        return False
    if (record.size, record.mtime_ns, record.inode) != _marks(path):
        if _sha256(path) != record.sha256:
            return False
        with suppress(OSError):
            _write_record(path, record)
    return sha256 is not None or _is_current(address, record)


def _is_current(address: Address, record: _Record) -> bool:
    """Whether the server still holds a file that only it vouches for."""
    if downloads_are_off():
        return True
    try:
        stamp = look_at(address, 0).stamp
    except (DownloadError, FileNotFoundError):
        return True
    return (stamp.size, stamp.tag) == (record.size, record.tag)


def _download(address: Address, path: Path, size: int | None, sha256: str | None) -> _Record:
    """Fetch, verify and name a file; one that arrives with another sum is fetched once more."""
    seen: list[str] = []
    with writing_whole(path) as file:
        transfer = _Transfer(address, file, size, verified=sha256 is not None)
        while sha256 not in seen:
            transfer.start_over()
            as_whoever_may(
                address, lambda account: patiently(lambda: transfer.attempt(account), address)
            )
            seen.append(transfer.hash.hexdigest())
            if sha256 is None:
                break
            if len(seen) == 2 and sha256 not in seen:
                raise _mismatch(address, sha256, seen)
    return _Record(transfer.done, seen[-1], transfer.tag, *_marks(path)[1:])


def _mismatch(address: Address, expected: str, seen: list[str]) -> ChecksumError:
    if seen[0] == seen[1]:
        reason = (
            f"has the SHA-256 sum {seen[1]}, twice the same, and its registry says {expected}: "
            "registry and server disagree, which only their owner can mend. Sampling goes on "
            "without the file under on_error='nan'"
        )
    else:
        reason = (
            f"arrived damaged twice: its SHA-256 sum should be {expected}, it was {seen[0]} and "
            f"{seen[1]}"
        )
    return ChecksumError(
        address.shown, reason, expected=expected, actual=seen[1], url=address.shown
    )


class _Transfer:
    """What has arrived of one file, over several attempts."""

    def __init__(self, address: Address, file: BinaryIO, size: int | None, *, verified: bool):
        self._address = address
        self._file = file
        self._told_size = size
        self._verified = verified
        self.start_over()

    def start_over(self) -> None:
        """Forget what has arrived."""
        self._file.seek(0)
        self._file.truncate()
        self.done = 0
        self.hash = hashlib.sha256()
        self.tag = ""

    def attempt(self, account: dict[str, str]) -> None:
        """Ask for what is missing, once, with the headers of an account."""
        headers = dict(account)
        # Only a strong tag tells whether the rest belongs to the beginning.
        if self.done and self.tag.startswith('"'):
            headers |= {"Range": f"bytes={self.done}-", "If-Range": self.tag}
        with answer(self._address, headers) as response:
            if response.status == 416:
                self.start_over()
                raise AttemptError("the server refuses to send the rest", 416, again=True)
            total = self._begin(response) if response.status == 200 else self._go_on(response)
            if total is not None and self._told_size not in {None, total}:
                raise self._wrong_size(total)
            self.tag = tag_of(response)
            self._require_room(total)
            self._receive(response, total)

    def _begin(self, response: Any) -> int | None:
        """Length of a file that comes from its first byte on; None if that is not told."""
        self.start_over()
        announced = response.headers.get("Content-Length", "")
        total = int(announced) if announced.isdigit() else None
        if total is None and self._told_size is None and not self._verified:
            raise AttemptError(
                "the server does not say how long the file is, so that nobody could tell a cut one",
                200,
                again=False,
            )
        return self._told_size if total is None else total

    def _go_on(self, response: Any) -> int:
        """Length of a file whose rest comes."""
        told = response.headers.get("Content-Range", "").strip()
        match = _CONTENT_RANGE.fullmatch(told)
        if response.status != 206 or match is None or int(match[1]) != self.done:
            self.start_over()
            raise AttemptError(
                f"the server sends {told or 'no range'} instead of the bytes from the cut on",
                response.status,
                again=True,
            )
        return int(match[3])

    def _wrong_size(self, total: int) -> ChecksumError:
        return ChecksumError(
            self._address.shown,
            f"has {total} bytes, its registry says {self._told_size}: the file was replaced",
            expected=str(self._told_size),
            actual=str(total),
            url=self._address.shown,
        )

    def _require_room(self, total: int | None) -> None:
        if total is None:
            return
        if total > _MAX_BYTES:
            raise LimitError(f"{self._address.shown} has {total} bytes, the bound is {_MAX_BYTES}.")
        folder = Path(self._file.name).parent
        if shutil.disk_usage(folder).free < total - self.done:
            error = OSError(errno.ENOSPC, "no space left")
            raise explain_cache_trouble(error, folder, total - self.done)

    def _receive(self, response: Any, total: int | None) -> None:
        bound = _MAX_BYTES if total is None else total
        while self.done <= bound and (more := receive(response, bound + 1 - self.done)):
            self._file.write(more)
            self.hash.update(more)
            self.done += len(more)
        if self.done > bound or (total is not None and self.done < total):
            arrived = "more" if self.done > bound else str(self.done)
            if self.done > bound:
                self.start_over()
            raise AttemptError(
                f"the server sends {arrived} bytes instead of {total}",
                response.status,
                again=True,
            )


@contextmanager
def _explained(folder: Path, n_bytes: int) -> Iterator[None]:
    """Say of trouble with the disk that geofeat's cache folder is meant."""
    try:
        yield
    except OSError as error:
        # Errors of the connection carry no number; a lack of room may be explained already.
        if error.errno is None or "GEOFEAT_CACHE" in str(error.strerror):
            raise
        raise explain_cache_trouble(error, folder, n_bytes) from error


def _marks(path: Path) -> tuple[int, int, int]:
    """Size, time of last change and inode of a file."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")


def _write_record(path: Path, record: _Record) -> None:
    write_whole(_record_path(path), json.dumps(record._asdict()).encode())


def _read_record(path: Path) -> _Record | None:
    """Read what is known of a downloaded file; None if nothing sound is."""
    try:
        with _record_path(path).open("rb") as file:
            record = _Record(**json.loads(file.read(10_000)))
    except (OSError, ValueError, TypeError):
        return None
    kinds = (int, str, str, int, int)
    sound = all(isinstance(value, kind) for value, kind in zip(record, kinds, strict=True))
    return record if sound else None
