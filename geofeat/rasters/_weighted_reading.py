"""Groups of weighted pixels -> sums of their decoded values, each block read once."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np

from geofeat._progress import progress_bar
from geofeat._threads import run_tasks
from geofeat.kernels._gather import gather_scaled, scatter_table, scatter_values
from geofeat.kernels._weighted_sums import add_weighted_rows
from geofeat.rasters._blocks import BlockWindow
from geofeat.rasters._candidates import NODATA, OK, Candidates
from geofeat.rasters._sink import UNREAD
from geofeat.rasters._sources import Source

# Rows decoded at once: small enough to be summed while they are in the cache.
_ROWS_AT_ONCE = 2**12


class PixelGroups(NamedTuple):
    """Weighted pixels of several groups.

    ``group``, ``file``, ``row``, ``col`` are int64 and ``weight`` float64, all of shape (m,).
    """

    group: np.ndarray
    file: np.ndarray
    row: np.ndarray
    col: np.ndarray
    weight: np.ndarray


class Moments(NamedTuple):
    """Sums over the valid pixels of g groups.

    Attributes
    ----------
    total : float64 array of shape (g, bands)
        Sums of weight * value.
    square : float64 array of shape (g, bands) or None
        Sums of weight * value**2.
    weight : float64 array of shape (g, bands)
        Weights of the values summed.
    asked : float64 array of shape (g,)
        Weights of all pixels of a group, the missing ones too.
    status : uint8 array of shape (m,)
        What became of each pixel: one of `geofeat.rasters._candidates.REASONS` by position.
    beyond_limit : list of (str, int)
        Files with values beyond the source's limit, and in how many pixels.
    """

    total: np.ndarray
    square: np.ndarray | None
    weight: np.ndarray
    asked: np.ndarray
    status: np.ndarray
    beyond_limit: list[tuple[str, int]]


def read_weighted(
    source: Source,
    groups: PixelGroups,
    files: list[Any],
    n_groups: int,
    bands: np.ndarray,
    missing: str,
    *,
    squares: bool = False,
    progress: bool | None = False,
) -> Moments:
    """Sum the decoded pixels of each group; the result is the same on any number of threads.

    Parameters
    ----------
    source : Source
        Whose reader knows ``files``.
    groups : PixelGroups
        The pixels, in any order.
    files : list
        Files as in `Candidates`.
    n_groups : int
        How many groups there are; some may have no pixel.
    bands : int64 array of shape (bands,)
        Positions of the bands to read.
    missing : {"any", "all"}
        Whether a pixel with one missing band counts for no band, or for the bands it has.
    squares : bool
        Whether to sum squares too.
    progress : bool or None
        As in `EmbeddingRasterSampler`.
    """
    found = Candidates(
        groups.group,
        groups.file,
        groups.row,
        groups.col,
        np.zeros(n_groups, dtype=np.uint8),
        files,
        [],
        np.full(n_groups, -1),
    )
    sums = _GroupSums(n_groups, bands.size, squares)
    status = np.full(groups.group.size, UNREAD, dtype=np.uint8)
    with source.reader(found, bands) as reader:
        windows = reader.windows(np.arange(groups.group.size))
        bar = progress_bar(
            sum(window.blocks for window in windows), "reading rasters", "block", progress
        )
        lock = threading.Lock()

        def work(task: tuple[int, BlockWindow]) -> None:
            position, window = task
            part = _WindowSink(groups, window, status, bands.size, missing, squares)
            reader.read(window, part)  # type: ignore[arg-type]  # has what readers call
            with lock:
                sums.add(position, part)
                bar.update(window.blocks)

        with bar:
            run_tasks(work, enumerate(windows), at_once=getattr(reader, "in_flight", 1))
    asked = np.bincount(groups.group, weights=groups.weight, minlength=n_groups)
    return Moments(
        sums.total,
        sums.square if squares else None,
        sums.weight,
        asked,
        status,
        getattr(reader, "beyond_limit", []),
    )


class _GroupSums:
    """Sums of all groups, to which those of windows are added in the order of the windows."""

    def __init__(self, n_groups: int, n_bands: int, squares: bool):
        self.total = np.zeros((n_groups, n_bands))
        self.weight = np.zeros((n_groups, n_bands))
        self.square = np.zeros((n_groups, n_bands) if squares else (0, 0))
        self._waiting: dict[int, _WindowSink] = {}
        self._next = 0

    def add(self, position: int, part: _WindowSink) -> None:
        """Add a window's sums once those of all windows before it have been added."""
        self._waiting[position] = part
        while self._next in self._waiting:
            ready = self._waiting.pop(self._next)
            self.total[ready.groups] += ready.total
            self.weight[ready.groups] += ready.weights
            if self.square.size:
                self.square[ready.groups] += ready.square
            self._next += 1


class _WindowSink:
    """Takes the pixels of one window, as `PixelSink` does, and sums them by group."""

    def __init__(
        self,
        pixels: PixelGroups,
        window: BlockWindow,
        status: np.ndarray,
        n_bands: int,
        missing: str,
        squares: bool,
    ):
        self._pixels = pixels
        self.status = status
        self._any_missing = missing == "any"
        self.groups = np.unique(pixels.group[window.which])
        shape = self.groups.size, n_bands
        self.total, self.weights = np.zeros(shape), np.zeros(shape)
        self.square = np.zeros(shape if squares else (0, 0))
        self._rows = np.empty((min(window.which.size, _ROWS_AT_ONCE), n_bands), dtype=np.float32)
        self._spare = np.empty((0, n_bands), dtype=np.float32)

    def put_bytes(self, which: np.ndarray, raw: np.ndarray, tables: np.ndarray) -> None:
        """Take bytes of shape (bands, k) for the pixels ``which``, decoded by tables."""
        for part, rows, target in self._parts(which.size):
            piece = np.ascontiguousarray(raw[:, part])
            valid = scatter_table(piece, tables, target, rows, self._spare, self._any_missing)
            self._add(which[part], rows, valid)

    def put_values(self, which: np.ndarray, values: np.ndarray) -> None:
        """Take decoded float32 values of shape (bands, k)."""
        for part, rows, target in self._parts(which.size):
            piece = np.ascontiguousarray(values[:, part])
            valid = scatter_values(piece, target, rows, self._spare, self._any_missing)
            self._add(which[part], rows, valid)

    def put_scaled(
        self,
        which: np.ndarray,
        stored: np.ndarray,
        scales: np.ndarray,
        pixels: np.ndarray,
        bands: np.ndarray,
        limit: float,
    ) -> np.ndarray:
        """Read pixels from arrays of stored numbers and scales; see `gather_scaled`."""
        states = [np.empty(0, dtype=np.uint8)]
        for part, rows, target in self._parts(which.size):
            state = gather_scaled(
                stored,
                scales,
                pixels[part],
                bands,
                limit,
                target,
                rows,
                self._spare,
                self._any_missing,
            )
            self._add(which[part], rows, state == 0)
            states.append(state)
        return np.concatenate(states)

    def _parts(self, n_pixels: int) -> Any:
        """Slices of the pixels, rows for their values, and the numbers of these rows."""
        for first in range(0, n_pixels, _ROWS_AT_ONCE):
            part = slice(first, min(first + _ROWS_AT_ONCE, n_pixels))
            rows = self._rows[: part.stop - first]
            yield part, rows, np.arange(rows.shape[0])

    def _add(self, which: np.ndarray, rows: np.ndarray, valid: np.ndarray) -> None:
        group = np.searchsorted(self.groups, self._pixels.group[which])
        weight = self._pixels.weight[which]
        add_weighted_rows(rows, valid, group, weight, self.total, self.square, self.weights)
        self.status[which] = np.where(valid, OK, NODATA)
