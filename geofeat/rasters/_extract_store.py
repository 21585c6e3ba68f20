"""The work folder of a long extraction: records by rows, and a journal of what is finished.

Records are appended to one file for each range of rows, a *bucket*, and reach the disk before a
line of the journal says so. Whatever a killed process left beyond the last line is cut off.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from geofeat._whole_file import sync_folder, write_whole
from geofeat.exceptions import CorruptFileError, SourceError
from geofeat.rasters._extract_rows import GroupResult

# Records of a bucket, and of results not yet on disk.
_BUCKET_BYTES = 2**26
_STAGED_BYTES = 2**27
_SECONDS_BETWEEN_CHECKPOINTS = 10.0
_BUCKET_ROWS = 2**20
_FIRST_ROWS = 5


@dataclass
class Finished:
    """What the journal says: groups, bytes of buckets, counts by reason and names of files."""

    groups: set[int] = field(default_factory=set)
    sizes: dict[int, int] = field(default_factory=dict)
    counts: list[list[int]] = field(default_factory=list)
    first_rows: list[int] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    beyond_limit: list[tuple[str, int]] = field(default_factory=list)


class WorkFolder:
    """Holds the results of finished groups until all are there.

    Parameters
    ----------
    folder : Path
        ``<out>.partial``; made if it is not there.
    record : numpy.dtype
        Of the records.
    n_rows, n_layers : int
        Items are rows times layers.
    """

    def __init__(self, folder: Path, record: np.dtype[Any], n_rows: int, n_layers: int):
        self.folder = folder
        self.finished = Finished()
        self._record = record
        self._n_layers = n_layers
        self._n_items = n_rows * n_layers
        row_bytes = record.itemsize * n_layers
        self.bucket_rows = max(1, min(_BUCKET_ROWS, _BUCKET_BYTES // row_bytes))
        self._bucket_items = self.bucket_rows * n_layers
        self._staged: dict[int, list[np.ndarray]] = {}
        self._staged_bytes = 0
        self._news = Finished()
        self._file_codes: dict[str, int] = {}
        self._last = time.monotonic()
        self._lock: Any = None
        self._owned = False

    def open(self, signature: dict[str, Any], *, resume: bool) -> None:
        """Take the folder into use, continuing what lies in it.

        Raises
        ------
        SourceError
            Another job lies there, or another process works in it.
        CorruptFileError
            The journal is damaged before its end.
        """
        self.folder.mkdir(exist_ok=True)
        self._take_lock()
        self._owned = True
        job = self.folder / "job.json"
        if not resume or not job.exists() or not self._holds_work():
            self._clear()
            write_whole(job, json.dumps(signature, indent=1).encode())
            return
        self._refuse_other(read_described(job), signature)
        self._read_journal()
        for path in self.folder.glob("bucket-*"):
            number = int(path.name.split("-")[1])
            if number not in self.finished.sizes:
                path.unlink()
        for number, size in self.finished.sizes.items():
            self._cut_bucket(number, size)
        self._file_codes = {name: code for code, name in enumerate(self.finished.files)}

    def close(self) -> None:
        """Let other processes use the folder, which is deleted if no work lies in it."""
        if self._owned and self.folder.exists() and not self._holds_work():
            shutil.rmtree(self.folder)
        self._owned = False
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Delete the folder and all that is in it."""
        shutil.rmtree(self.folder)
        self.close()

    def discard(self) -> None:
        """Delete the folder of a job that is finished, unless another process works in it."""
        if self.folder.exists():
            with suppress(SourceError):
                self._take_lock()
                self.remove()

    def stage(self, result: GroupResult, lacking: np.ndarray, n_reasons: int) -> None:
        """Take a finished group; now and then everything taken is brought to disk."""
        records = result.records
        if "file" in (records.dtype.names or ()):
            records["file"] = self._numbered(result.files)[records["file"]]
        bucket = result.items // self._bucket_items
        records["item"] = result.items % self._bucket_items
        order = np.argsort(bucket, kind="stable")
        starts = np.flatnonzero(np.diff(bucket[order], prepend=-1))
        for part in np.split(order, starts[1:]):
            self._staged.setdefault(int(bucket[part[0]]), []).append(records[part])
        self._staged_bytes += records.nbytes
        news = self._news
        news.groups.add(result.number)
        layer = result.items % self._n_layers
        counts = np.zeros((self._n_layers, n_reasons), dtype=np.int64)
        np.add.at(counts, (layer, records["reason"]), 1)
        _add_counts(news.counts, counts.tolist())
        rows = np.unique(lacking // self._n_layers)[:_FIRST_ROWS]
        news.first_rows = sorted({*news.first_rows, *rows.tolist()})[:_FIRST_ROWS]
        news.absent.extend(result.absent)
        news.beyond_limit.extend(result.beyond_limit)
        late = time.monotonic() - self._last > _SECONDS_BETWEEN_CHECKPOINTS
        if self._staged_bytes >= _STAGED_BYTES or late:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Bring what was taken to disk: records first, then a line of the journal."""
        news = self._news
        if not news.groups:
            return
        for number, parts in sorted(self._staged.items()):
            with self._bucket(number).open("ab") as file:
                # An attempt that failed may have left half a record.
                file.truncate(self.finished.sizes.get(number, 0))
                for part in parts:
                    file.write(part.tobytes())
                sync_file(file)
                news.sizes[number] = file.tell()
        sync_folder(self.folder)
        line = json.dumps({**vars(news), "groups": sorted(news.groups)}).encode()
        with (self.folder / "journal").open("ab") as file:
            file.write(f"{zlib.crc32(line):08x} ".encode() + line + b"\n")
            sync_file(file)
        _merge(self.finished, news)
        self._news = Finished()
        self._staged.clear()
        self._staged_bytes = 0
        self._last = time.monotonic()

    def buckets(self) -> Iterator[tuple[np.ndarray, int]]:
        """Read records bucket by bucket, in the order of rows and layers, and the number of rows.

        Raises
        ------
        CorruptFileError
            A record is missing although the journal calls all groups finished.
        """
        for first in range(0, self._n_items, self._bucket_items):
            size = min(self._bucket_items, self._n_items - first)
            path = self._bucket(first // self._bucket_items)
            stored = np.fromfile(path, dtype=self._record) if path.exists() else None
            seen = np.zeros(size, dtype=bool)
            if stored is not None and (stored["item"] < size).all():
                seen[stored["item"]] = True
            if stored is None or stored.size != size or not seen.all():
                raise CorruptFileError(
                    path,
                    f"holds {int(seen.sum())} of {size} records; resume=False starts over",
                )
            records = np.empty(size, dtype=self._record)
            records[stored["item"]] = stored
            del stored, seen
            yield records, size // self._n_layers

    def explained(self, error: OSError, needed: int) -> OSError:
        """Say of a full disk what is needed and that nothing is lost; return other errors."""
        ours = error.filename == str(self.folder)
        if error.errno != errno.ENOSPC or ours or not self._owned:
            return error
        free = shutil.disk_usage(self.folder).free
        return OSError(
            errno.ENOSPC,
            f"the disk is full: up to {needed} more bytes needed, {free} free. What is finished "
            "is kept: make room and call extract again",
            str(self.folder),
        )

    def stored_bytes(self) -> int:
        """Bytes of records on disk."""
        return sum(self.finished.sizes.values())

    def _bucket(self, number: int) -> Path:
        return self.folder / f"bucket-{number:06d}"

    def _numbered(self, files: list[str]) -> np.ndarray:
        """Find the number in the job of each file of a result; the last entry stands for none."""
        codes = np.full(len(files) + 1, -1)
        for i, name in enumerate(files):
            if name not in self._file_codes:
                self._file_codes[name] = len(self._file_codes)
                self._news.files.append(name)
            codes[i] = self._file_codes[name]
        return codes

    def _holds_work(self) -> bool:
        return (self.folder / "journal").exists() or (self.folder / "plan" / "plan.json").exists()

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name == "lock":
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _cut_bucket(self, number: int, size: int) -> None:
        path = self._bucket(number)
        if not path.exists() or path.stat().st_size < size:
            raise CorruptFileError(
                path, f"is shorter than the {size} bytes of the journal; resume=False starts over"
            )
        if path.stat().st_size > size:
            os.truncate(path, size)

    def _read_journal(self) -> None:
        path = self.folder / "journal"
        content = path.read_bytes() if path.exists() else b""
        good = 0
        for line in content.splitlines(keepends=True):
            checksum, _, text = line.rstrip(b"\n").partition(b" ")
            whole = line.endswith(b"\n") and checksum == f"{zlib.crc32(text):08x}".encode()
            if not whole:
                break
            entry = json.loads(text)
            entry["groups"] = set(entry["groups"])
            entry["sizes"] = {int(number): size for number, size in entry["sizes"].items()}
            entry["beyond_limit"] = [(name, count) for name, count in entry["beyond_limit"]]
            _merge(self.finished, Finished(**entry))
            good += len(line)
        if b"\n" in content[good:].rstrip(b"\n"):
            raise CorruptFileError(path, "is damaged before its end; resume=False starts over")
        if good < len(content):
            os.truncate(path, good)

    def _refuse_other(self, found: dict[str, Any], signature: dict[str, Any]) -> None:
        for name, wanted in signature.items():
            if found.get(name) != wanted:
                raise SourceError(
                    self.folder,
                    f"holds the work of another job: its {name} is {found.get(name)}, now it is "
                    f"{wanted}. Choose another out, or start over with resume=False.",
                )

    def _take_lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        self._lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise SourceError(self.folder, "is in use by another process") from None
        except OSError:  # a file system without locks
            return


def refuse_without_space(folder: Path, needed: int) -> None:
    """Raise OSError(ENOSPC) when a file system has less than ``needed`` bytes."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f"extract needs up to {needed} bytes, {free} are free; dtype='float16' or 'int8' and "
            "fewer columns need less",
            str(folder),
        )


def read_described(path: Path) -> dict[str, Any]:
    """Read what a file of the work folder tells; one that was damaged is named."""
    try:
        told = json.loads(path.read_bytes())
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise CorruptFileError(path, "is damaged; resume=False starts over")
    return told


def sync_file(file: Any) -> None:
    """Bring what was written to an open file to disk."""
    file.flush()
    os.fsync(file.fileno())


def _merge(into: Finished, news: Finished) -> None:
    into.groups |= news.groups
    into.sizes.update(news.sizes)
    _add_counts(into.counts, news.counts)
    into.first_rows = sorted({*into.first_rows, *news.first_rows})[:_FIRST_ROWS]
    into.files.extend(news.files)
    into.absent = list(dict.fromkeys([*into.absent, *news.absent]))
    into.beyond_limit.extend(news.beyond_limit)


def _add_counts(into: list[list[int]], counts: list[list[int]]) -> None:
    """Add counts of shape (layers, reasons) to those gathered so far."""
    if not into:
        into.extend([0] * len(row) for row in counts)
    for total, row in zip(into, counts, strict=True):
        for reason, count in enumerate(row):
            total[reason] += count
