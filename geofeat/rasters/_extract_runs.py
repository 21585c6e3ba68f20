"""Located items sorted by file and block in runs that fit in memory, and cut into groups.

A group is a range of keys: its items lie together in each run, so that all runs together are read
in the order of tiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from geofeat.rasters._extract_store import sync_file
from geofeat.rasters._sampling import band_positions, locate
from geofeat.rasters._sources import Source

_RUN_ITEMS = 2**21
# What the blocks of a group decode to: a group is what a killed process loses.
_GROUP_DECODED_BYTES = 2**32
# Keys: number of the file, then row and column of the block, in blocks; of a reader without
# blocks in units of 64 pixels.
_FILE_SHIFT, _ROW_SHIFT = 40, 20
_MAX_CELL = 2**20 - 1
ITEM = np.dtype([("item", "<i8"), ("lon", "<f8"), ("lat", "<f8"), ("year", "<i4")])


class Cut(NamedTuple):
    """A group: keys from ``first`` on and below ``stop``, or one of equal ``parts`` of them.

    Groups of one ``chain`` read the same file.
    """

    first: int
    stop: int
    part: int
    parts: int
    items: int
    chain: int


class RunWriter:
    """Collects located items, and writes them in sorted runs."""

    def __init__(self, folder: Path, n_layers: int):
        self.files: dict[str, int] = {}
        self.n_runs = 0
        self._folder = folder
        self._n_layers = n_layers
        self._block_bytes: dict[int, int] = {}
        self._held: list[tuple[np.ndarray, np.ndarray]] = []
        self._n_held = 0

    def locate(
        self,
        first: int,
        lon: np.ndarray,
        lat: np.ndarray,
        years: list[np.ndarray],
        sampler: Any,
    ) -> None:
        """Take a slice of rows, an item for each of ``years``."""
        source = sampler._open()
        bands = band_positions(sampler.bands, source)
        for layer, year in enumerate(years):
            items = np.empty(lon.size, dtype=ITEM)
            items["item"] = (first + np.arange(lon.size)) * self._n_layers + layer
            items["lon"], items["lat"], items["year"] = lon, lat, year
            keys = self._keys(source, lon, lat, year, bands, sampler.fallback)
            self._held.append((keys, items))
            self._n_held += items.size
        if self._n_held >= _RUN_ITEMS:
            self._write_run()

    def finish(self, group_items: int) -> list[Cut]:
        """Write the last run, and cut all of them into groups.

        Where each group lies in each run is written to the file ``spans``.
        """
        self._write_run()
        keys, counts = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        for i in range(self.n_runs):
            found, count = np.unique(self._run_keys(i), return_counts=True)
            keys, inverse = np.unique(np.concatenate([keys, found]), return_inverse=True)
            counts = np.bincount(
                inverse, weights=np.concatenate([counts, count]), minlength=keys.size
            ).astype(np.int64)
        cuts = cut_groups(keys, counts, self._block_bytes, group_items)
        ends = np.array([(cut.first, cut.stop) for cut in cuts])
        spans = np.empty((len(cuts), self.n_runs, 2), dtype=np.int64)
        for i in range(self.n_runs):
            spans[:, i] = np.searchsorted(self._run_keys(i), ends)
            (self._folder / f"keys-{i}").unlink()
        with (self._folder / "spans").open("wb") as file:
            file.write(spans.tobytes())
            sync_file(file)
        return cuts

    def _run_keys(self, run: int) -> np.ndarray:
        return np.fromfile(self._folder / f"keys-{run}", dtype=np.int64)

    def _keys(
        self,
        source: Source,
        lon: np.ndarray,
        lat: np.ndarray,
        year: np.ndarray,
        bands: np.ndarray,
        fallback: str | None,
    ) -> np.ndarray:
        """Place of each item's first candidate in the order of reading, -1 without any."""
        found, _ = locate(source, lon, lat, year, fallback)
        starts = found.first_of_points()
        first = starts[:-1][starts[1:] > starts[:-1]]
        keys = np.full(lon.size, -1, dtype=np.int64)
        if not first.size:
            return keys
        with source.reader(found, bands) as reader:
            cells = getattr(reader, "block_cells", None)
            row, col = (found.row >> 6, found.col >> 6) if cells is None else cells()
            sizes = getattr(reader, "block_bytes", None)
            block_bytes = [0] * len(found.files) if sizes is None else sizes().tolist()
        codes = np.empty(len(found.files), dtype=np.int64)
        for i, record in enumerate(found.files):
            code = self.files.setdefault(str(record.path), len(self.files))
            self._block_bytes[code] = max(block_bytes[i], self._block_bytes.get(code, 0))
            codes[i] = code
        row, col = (np.clip(cell[first], 0, _MAX_CELL) for cell in (row, col))
        keys[found.point[first]] = codes[found.file[first]] << _FILE_SHIFT | row << _ROW_SHIFT | col
        return keys

    def _write_run(self) -> None:
        if not self._n_held:
            return
        keys = np.concatenate([keys for keys, _ in self._held])
        items = np.concatenate([items for _, items in self._held])
        order = np.argsort(keys, kind="stable")
        for name, values in (("keys", keys), ("items", items)):
            with (self._folder / f"{name}-{self.n_runs}").open("wb") as file:
                file.write(values[order].tobytes())
                sync_file(file)
        self.n_runs += 1
        self._held, self._n_held = [], 0


def cut_groups(
    keys: np.ndarray, counts: np.ndarray, block_bytes: dict[int, int], group_items: int
) -> list[Cut]:
    """Cut sorted keys into groups, at the ends of files where possible and of blocks elsewhere.

    Small files share a group. A file that needs several has these to itself, as one chain; only
    a block with more items than a group may hold is cut.
    """
    file = keys >> _FILE_SHIFT
    starts = np.flatnonzero(np.diff(file, prepend=-2))
    cuts: list[Cut] = []
    open_first, n_items, n_bytes, chain = 0, 0, 0, 0

    def close(stop: int) -> None:
        nonlocal open_first, n_items, n_bytes, chain
        if stop > open_first:
            cuts.append(_cut(keys, open_first, stop, 0, 1, n_items, chain))
            chain += 1
        open_first, n_items, n_bytes = stop, 0, 0

    for a, b in zip(starts, [*starts[1:], keys.size], strict=True):
        per_block = block_bytes.get(int(file[a]), 0)
        items = int(counts[a:b].sum())
        decoded = int(b - a) * per_block
        if n_items + items > group_items or n_bytes + decoded > _GROUP_DECODED_BYTES:
            close(int(a))
        if items <= group_items and decoded <= _GROUP_DECODED_BYTES:
            n_items, n_bytes = n_items + items, n_bytes + decoded
            continue
        cuts.extend(_cuts_of_file(keys, counts, (int(a), int(b)), per_block, group_items, chain))
        chain += 1
        open_first = int(b)
    close(keys.size)
    return cuts


def _cuts_of_file(
    keys: np.ndarray,
    counts: np.ndarray,
    span: tuple[int, int],
    per_block: int,
    group_items: int,
    chain: int,
) -> Iterator[Cut]:
    """Cut one file into groups of whole blocks, in which a block that is too full has several."""
    blocks = max(1, _GROUP_DECODED_BYTES // per_block) if per_block else span[1] - span[0]
    start = span[0]
    while start < span[1]:
        total = np.cumsum(counts[start : min(start + blocks, span[1])])
        stop = start + max(1, int(np.searchsorted(total, group_items, side="right")))
        items = int(total[stop - start - 1])
        parts = -(-items // group_items)
        for part, (a, b) in enumerate(pairwise(parts_of(items, parts))):
            yield _cut(keys, start, stop, part, parts, b - a, chain)
        start = stop


def parts_of(n_items: int, parts: int) -> list[int]:
    """Bounds of nearly equal parts."""
    return [n_items * part // parts for part in range(parts + 1)]


def _cut(
    keys: np.ndarray, first: int, stop: int, part: int, parts: int, items: int, chain: int
) -> Cut:
    return Cut(int(keys[first]), int(keys[stop - 1]) + 1, part, parts, items, chain)
