"""Parquet files of indexes and registries, on disk or remote, read by columns and years.

Of a remote file only the footer and the chunks asked for travel. What was read is kept in the
cache folder as slices, parquet files by columns and year, so that later processes ask nothing.
"""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from geofeat._downloads import without_secrets
from geofeat._whole_file import remove_stale, writing_whole
from geofeat.exceptions import CorruptFileError, DownloadError, GeofeatError, LimitError
from geofeat.rasters._block_cache import whole_files_folder
from geofeat.rasters._looks import RemoteStamp, key_of
from geofeat.rasters._remote import is_remote, read_ranges, remote_stamp

ROW_GROUP = "row_group"
_MAX_ROWS = 50_000_000
_MAX_BYTES = 2**31
_MAX_FOOTER = 2**26
_TAIL_BYTES = 2**16
_PART_BYTES = 2**23
_GAP_BYTES = 2**16
_MARK = b"geofeat"
_log = logging.getLogger("geofeat")


class IndexTable:
    """Columns of one parquet file.

    Parameters
    ----------
    path : str
        A file, or the address of one.
    """

    def __init__(self, path: str):
        self.path = path
        self._remote = is_remote(path)
        self._lock = threading.RLock()

    @cached_property
    def schema(self) -> Any:
        """Arrow schema, after a check of the number of rows.

        Raises
        ------
        CorruptFileError
            The file is no parquet file.
        LimitError
            It has more than 50 million rows.
        """
        if self._remote:
            return self._slice("schema", self._empty).schema
        with _reading(self.path):
            import pyarrow.parquet as pq

            file = pq.ParquetFile(self.path)
            self._check_rows(file.metadata)
            return file.schema_arrow

    def read(self, columns: Sequence[str], year: int | None = None) -> Any:
        """Read columns of all rows, or of those of one year by a column of that name.

        A remote table read by year has one column more, `ROW_GROUP`: see `read_group`.
        """
        if not self._remote:
            with _reading(self.path):
                import pyarrow.parquet as pq

                filters = None if year is None else [("year", "==", year)]
                return pq.read_table(self.path, columns=list(columns), filters=filters)
        if year is None:
            return self._slice(["all", *columns], lambda: self._fetch(self._groups(None), columns))
        return self._slice([year, *columns], lambda: self._fetch_year(columns, year))

    def read_group(self, group: int, columns: Sequence[str]) -> Any:
        """Read columns of one row group of a remote table."""
        return self._slice(["group", group, *columns], lambda: self._fetch([group], columns))

    def unread_bytes(self, group: int, columns: Sequence[str]) -> int:
        """Bytes that `read_group` would bring; 0 for what is kept."""
        with self._lock:
            if self._slice_path(["group", group, *columns]).is_file():
                return 0
            return sum(length for _, length in self._spans([group], columns))

    @cached_property
    def _file(self) -> _RangedFile:
        """Give the remote file with its footer; opened only for what no slice holds."""
        return _RangedFile(self.path)

    @cached_property
    def _metadata(self) -> Any:
        import pyarrow.parquet as pq

        self._file.load_footer()
        with _reading(self.path):
            metadata = pq.read_metadata(self._file)
        self._check_rows(metadata)
        return metadata

    def _check_rows(self, metadata: Any) -> None:
        if metadata.num_rows > _MAX_ROWS:
            raise LimitError(
                f"{without_secrets(self.path)} lists {metadata.num_rows} files, the bound is "
                f"{_MAX_ROWS}"
            )

    def _empty(self) -> Any:
        with _reading(self.path):
            return self._metadata.schema.to_arrow_schema().empty_table()

    def _groups(self, year: int | None) -> list[int]:
        """Row groups that may hold a year, by the statistics of the column of that name."""
        metadata = self._metadata
        groups = list(range(metadata.num_row_groups))
        leaf = [i for i in range(metadata.num_columns) if metadata.schema.column(i).path == "year"]
        if year is None or not leaf:
            return groups
        kept = []
        for group in groups:
            told = metadata.row_group(group).column(leaf[0]).statistics
            bounds = (told.min, told.max) if told is not None and told.has_min_max else (year, year)
            if not all(isinstance(bound, int) for bound in bounds) or (
                bounds[0] <= year <= bounds[1]
            ):
                kept.append(group)
        return kept

    def _spans(self, groups: list[int], columns: Sequence[str]) -> list[tuple[int, int]]:
        """Offset and length of the chunks of some columns."""
        return [
            _span(self._metadata.row_group(group).column(leaf))
            for group in groups
            for leaf in range(self._metadata.num_columns)
            if _belongs(self._metadata.schema.column(leaf).path, columns)
        ]

    def _fetch(self, groups: list[int], columns: Sequence[str]) -> Any:
        """Read columns of row groups, all chunks at once over the network."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        spans = self._spans(groups, columns)
        if (total := sum(length for _, length in spans)) > _MAX_BYTES:
            raise LimitError(
                f"{without_secrets(self.path)}: {total} bytes to read, the bound is {_MAX_BYTES}"
            )
        self._file.load(spans)
        try:
            with _reading(self.path):
                file = pq.ParquetFile(self._file, metadata=self._metadata, pre_buffer=False)
                tables = []
                for group in groups:
                    table = file.read_row_group(group, columns=list(columns))
                    number = pa.array(np.full(table.num_rows, group, dtype=np.int32))
                    tables.append(table.append_column(ROW_GROUP, number))
                return pa.concat_tables(tables) if tables else _without_rows(file, columns)
        finally:
            self._file.unload()

    def _fetch_year(self, columns: Sequence[str], year: int) -> Any:
        """Read one year; slices of other years are kept where the same row groups hold them."""
        from pyarrow import compute

        groups = self._groups(year)
        read = list(dict.fromkeys([*columns, "year"]))
        table = self._fetch(groups, read)
        wanted = [*columns, ROW_GROUP]
        with _reading(self.path):
            for other in compute.unique(table.column("year")).to_pylist():
                same = isinstance(other, int) and other != year
                if same and set(self._groups(other)) <= set(groups):
                    part = table.filter(compute.equal(table.column("year"), other))
                    self._keep([other, *columns], part.select(wanted))
            return table.filter(compute.equal(table.column("year"), year)).select(wanted)

    def _slice(self, key: Any, fetch: Any) -> Any:
        """Slice from the cache folder, or fetched and put there."""
        with self._lock:
            table = self._kept(key)
            if table is None:
                table = fetch()
                self._keep(key, table)
            return table

    @cached_property
    def _stamp(self) -> RemoteStamp | None:
        """State of the remote file; None when nobody can tell and slices of some state are kept."""
        try:
            return remote_stamp(self.path)
        except DownloadError as error:
            if error.status is not None or not any(self._folder.glob("*.parquet")):
                raise
            return None

    @property
    def _folder(self) -> Path:
        return whole_files_folder() / key_of("index", self.path)

    def _slice_path(self, key: Any) -> Path:
        name = key_of(key)[:16]
        if self._stamp is not None:
            return self._folder / f"{key_of(*self._stamp)[:16]}-{name}.parquet"
        kept = sorted(self._folder.glob(f"*-{name}.parquet"), key=lambda p: p.stat().st_mtime)
        return kept[-1] if kept else self._folder / f"none-{name}.parquet"

    def _told(self, key: Any) -> bytes:
        return json.dumps([without_secrets(self.path), key]).encode()

    def _kept(self, key: Any) -> Any:
        """Sound slice of the cache folder, else None."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._slice_path(key)
        try:
            table = pq.read_table(path, page_checksum_verification=True, partitioning=None)
        except FileNotFoundError:
            return None
        except (pa.ArrowException, OSError):
            with suppress(OSError):
                path.unlink()
            return None
        told = dict(table.schema.metadata or {})
        return (
            table.replace_schema_metadata(told) if told.pop(_MARK, b"") == self._told(key) else None
        )

    def _keep(self, key: Any, table: Any) -> None:
        """Write a slice; where that cannot be done the next process reads again."""
        import pyarrow.parquet as pq

        if self._stamp is None:
            return
        path = self._slice_path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_stale(path.parent)
            told = {**(table.schema.metadata or {}), _MARK: self._told(key)}
            with writing_whole(path) as file:
                pq.write_table(
                    table.replace_schema_metadata(told),
                    file,
                    compression="zstd",
                    write_page_checksum=True,
                )
            current = path.name.partition("-")[0]
            for old in path.parent.glob("*.parquet"):
                if not old.name.startswith(current):
                    old.unlink()
        except OSError as error:
            _log.info("the slice of %s was not kept: %s", without_secrets(self.path), error)


class _RangedFile(io.RawIOBase):
    """A remote file that holds the parts loaded before and reads no others."""

    def __init__(self, url: str):
        super().__init__()
        self._url = url
        self._size = remote_stamp(url).size
        self._at = 0
        self._footer: list[tuple[int, bytes]] = []
        self._parts: list[tuple[int, bytes]] = []

    def load_footer(self) -> None:
        """Read the end of the file, as much as its last bytes say."""
        tail = min(self._size, _TAIL_BYTES)
        end = read_ranges(self._url, [(self._size - tail, tail)])[0]
        if tail < 12 or end[-4:] != b"PAR1":
            raise CorruptFileError(self._url, "is no parquet file: it does not end as one")
        needed = int.from_bytes(end[-8:-4], "little") + 8
        if needed > _MAX_FOOTER or needed > self._size:
            raise CorruptFileError(self._url, f"has a footer of {needed} bytes, which cannot be")
        if needed > tail:
            end = read_ranges(self._url, [(self._size - needed, needed)])[0]
        self._footer = [(self._size - len(end), end)]

    def load(self, spans: list[tuple[int, int]]) -> None:
        """Read spans (offset, length), near ones in one request, long ones in several."""
        joined: list[list[int]] = []
        for start, length in sorted(span for span in spans if span[1]):
            if start < 0 or length < 0:
                raise CorruptFileError(self._url, "has a damaged footer: chunks lie before it")
            if joined and start <= joined[-1][1] + _GAP_BYTES:
                joined[-1][1] = max(joined[-1][1], start + length)
            else:
                joined.append([start, start + length])
        pieces = [
            [(at, min(_PART_BYTES, stop - at)) for at in range(start, stop, _PART_BYTES)]
            for start, stop in joined
        ]
        bodies = iter(read_ranges(self._url, [p for piece in pieces for p in piece], keep=False))
        self._parts = [(piece[0][0], b"".join(next(bodies) for _ in piece)) for piece in pieces]

    def unload(self) -> None:
        self._parts = []

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = start + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._size if size < 0 else min(self._at + size, self._size)
        for start, body in (*self._parts, *self._footer):
            if start <= self._at and stop <= start + len(body):
                found = body[self._at - start : stop - start]
                self._at = stop
                return found
        raise CorruptFileError(self._url, f"its footer leads to bytes {self._at} to {stop}")


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Name the file in errors of Arrow."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, GeofeatError) or getattr(error, "errno", None) is not None:
            raise
        raise CorruptFileError(path, f"cannot be read as parquet: {error}") from error


def _without_rows(file: Any, columns: Sequence[str]) -> Any:
    """Table of no rows, as row groups would have given it."""
    import pyarrow as pa

    empty = file.schema_arrow.empty_table().select(list(columns))
    return empty.append_column(ROW_GROUP, pa.array([], pa.int32()))


def _span(chunk: Any) -> tuple[int, int]:
    """Offset and length of a column chunk; its dictionary, if it has one, comes first."""
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
        start = min(start, chunk.dictionary_page_offset)
    return start, chunk.total_compressed_size


def _belongs(path: str, columns: Sequence[str]) -> bool:
    """Whether a leaf is a column or lies inside one."""
    return any(path == column or path.startswith(f"{column}.") for column in columns)
