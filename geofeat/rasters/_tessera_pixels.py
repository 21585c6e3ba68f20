"""Pixels of remote TESSERA tiles: by ranges or from whole files, fetched ahead of their use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np

from geofeat.exceptions import CorruptFileError
from geofeat.rasters._blocks import BlockWindow
from geofeat.rasters._file_download import kept_file
from geofeat.rasters._npy_map import NpyHeader, map_npy, read_npy_header
from geofeat.rasters._npy_ranges import pixel_ranges, read_pixels, whole_file_gain
from geofeat.rasters._projection import PixelGrid
from geofeat.rasters._tessera_site import TesseraSite

# Waiting for a server takes no core. So many tiles are asked for at a time.
_AT_ONCE = 32
_BYTES_AHEAD = 2**26

Item = TypeVar("Item")
Result = TypeVar("Result")


class TesseraTile(NamedTuple):
    """One tile of one year: its cell, its files, checked, and its pixel grid."""

    path: str
    cell: tuple[int, int]
    year: int
    stored: NpyHeader
    scales: NpyHeader
    landmask: str | None
    grid: PixelGrid


class TilePixels(NamedTuple):
    """Stored numbers and scales, each of shape (pixels, numbers), and which pixels those are.

    ``pixels`` is None where the arrays hold all pixels of the tile, else ascending.
    """

    stored: np.ndarray
    scales: np.ndarray
    pixels: np.ndarray | None

    def positions(self, pixels: np.ndarray) -> np.ndarray:
        """Rows of the arrays that hold the given pixels."""
        if self.pixels is None:
            return pixels
        found: np.ndarray = np.searchsorted(self.pixels, pixels)
        return found


class RemotePixels:
    """Reads pixels of remote tiles for one call.

    Parameters
    ----------
    site : TesseraSite
        Where whole tiles come from.
    tiles : list of TesseraTile
        Whose ``stored`` and ``scales`` are remote files.
    pixels_of : callable
        Pixels that are wanted of a window, ascending and different.
    wanted : list of int64 arrays
        Pixels that are wanted of each tile in the whole call, ascending and different.
    """

    def __init__(
        self,
        site: TesseraSite,
        tiles: list[TesseraTile],
        pixels_of: Callable[[BlockWindow], np.ndarray],
        wanted: list[np.ndarray],
    ):
        self._site = site
        self._tiles = tiles
        self._pixels_of = pixels_of
        self._wanted = wanted
        self._waiting: dict[tuple[int, ...], BlockWindow] = {}
        self._coming: dict[tuple[int, ...], tuple[Future[TilePixels], int]] = {}
        self._first_rows: dict[int, int] = {}
        self._bytes_ahead = 0
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._turns = [threading.Lock() for _ in tiles]
        self._maps: dict[int, TilePixels | None] = {}
        self._plan: set[int] | None = None
        self._planning = threading.Lock()

    def expect(self, windows: list[BlockWindow]) -> None:
        """Take note of the windows that may be read next, in this order."""
        with self._lock:
            self._waiting = {_key(window): window for window in windows}
            self._first_rows = {window.file: window.row for window in reversed(windows)}

    def n_bytes(self, window: BlockWindow) -> int:
        """Bytes that reading a window brings; those of a whole tile count for its first window."""
        tile = self._tiles[window.file]
        if self._whole_is_wanted(window.file):
            files = (tile.stored, tile.scales)
            first = window.row == self._first_rows.get(window.file)
            return sum(header.stamp[0] for header in files) if first else 0
        return self._range_bytes(window)

    def read(self, window: BlockWindow) -> TilePixels:
        """Pixels of a window, and start to fetch those of the windows after it."""
        key = _key(window)
        with self._lock:
            self._start_more()
            self._waiting.pop(key, None)
            future, n_bytes = self._coming.pop(key, (None, 0))
        if future is None:
            return self._fetch(window)
        try:
            return future.result()
        finally:
            with self._lock:
                self._bytes_ahead -= n_bytes

    def close(self, *, at_once: bool) -> None:
        """Drop what was not asked for; ``at_once`` waits for no answer on its way."""
        with self._lock:
            self._waiting = {}
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=not at_once, cancel_futures=True)

    def _start_more(self) -> None:
        while self._waiting and len(self._coming) < _AT_ONCE and self._bytes_ahead < _BYTES_AHEAD:
            key = next(iter(self._waiting))
            window = self._waiting.pop(key)
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="geofeat")
            n_bytes = self._range_bytes(window)
            self._coming[key] = self._pool.submit(self._fetch, window), n_bytes
            self._bytes_ahead += n_bytes

    def _fetch(self, window: BlockWindow) -> TilePixels:
        whole = self._whole(window.file)
        if whole is not None:
            return whole
        tile, pixels = self._tiles[window.file], self._pixels_of(window)
        stored, scales = (
            read_pixels(header, pixels, pixel_ranges(header, pixels))
            for header in (tile.stored, tile.scales)
        )
        return TilePixels(stored, scales, pixels)

    def _range_bytes(self, window: BlockWindow) -> int:
        tile, pixels = self._tiles[window.file], self._pixels_of(window)
        return sum(pixel_ranges(header, pixels).n_bytes for header in (tile.stored, tile.scales))

    def _whole(self, file: int) -> TilePixels | None:
        """Map a tile's files where those are kept, or worth to be fetched whole."""
        with self._turns[file]:
            if file not in self._maps:
                self._maps[file] = self._map(self._tiles[file], file)
            return self._maps[file]

    def _map(self, tile: TesseraTile, file: int) -> TilePixels | None:
        kept = [kept_file(header.path) for header in (tile.stored, tile.scales)]
        if None in kept:
            if not self._whole_is_wanted(file):
                return None
            kept = list(self._site.whole_tile(*tile.cell, tile.year))
        stored, scales = (
            _map_copy(str(path), header)
            for path, header in zip(kept, (tile.stored, tile.scales), strict=True)
        )
        return TilePixels(stored, scales, None)

    def _whole_is_wanted(self, file: int) -> bool:
        with self._planning:
            if self._plan is None:
                self._plan = self._worth_fetching()
            return file in self._plan

    def _worth_fetching(self) -> set[int]:
        """Tiles to be fetched whole: those of a row group of hashes gain more than these cost."""
        gains: dict[int, dict[int, int]] = {}
        prices: dict[int, int] = {}
        for file, (tile, pixels) in enumerate(zip(self._tiles, self._wanted, strict=True)):
            headers = (tile.stored, tile.scales)
            cost = sum(pixel_ranges(header, pixels).cost for header in headers)
            gain = whole_file_gain(cost, sum(header.stamp[0] for header in headers), len(headers))
            if gain < 0:
                continue
            check = self._site.verification(*tile.cell, tile.year)
            if check is not None:
                gains.setdefault(check.group, {})[file] = gain
                prices[check.group] = check.n_bytes
        return {
            file
            for group, members in gains.items()
            if sum(members.values()) >= prices[group]
            for file in members
        }


def _map_copy(path: str, header: NpyHeader) -> np.ndarray:
    """Map a downloaded file after a check that it is the one whose first bytes were read."""
    here = read_npy_header(path, header.dtype, (len(header.shape),))
    if here.shape != header.shape:
        raise CorruptFileError(
            header.path, f"has shape {here.shape}, its first bytes said {header.shape}"
        )
    return plain_pixels(here)


def plain_pixels(header: NpyHeader) -> np.ndarray:
    """Map a file as an ordinary array (pixels, numbers), of which kernels are compiled once."""
    return map_npy(header).view(np.ndarray).reshape(header.pixel_shape)


def at_once(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Results of work that mostly waits for servers, on many threads, in order."""
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="geofeat")
    try:
        results = list(pool.map(work, items))
    except BaseException as error:
        pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
        raise
    pool.shutdown()
    return results


def _key(window: BlockWindow) -> tuple[Any, ...]:
    return tuple(window[:6])
