"""Pixels of cubes, every touched chunk read once."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from geofeat.rasters._blocks import BlockLayout, BlockWindow, WindowedCandidates
from geofeat.rasters._candidates import WATER, Candidates
from geofeat.rasters._cubes import Area, Cube, Pixels, largest_chunk
from geofeat.rasters._decoding import BandDecoder
from geofeat.rasters._sink import PixelSink

_BYTES_READ_APART = 2**24
_MOST_IN_FLIGHT = 32
_BYTES_IN_FLIGHT = 2**28


class CubeReader(WindowedCandidates):
    """Reads the candidates of one call from cubes.

    The blocks of its base are chunks, counted from the first; windows come in pixels.

    Parameters
    ----------
    cubes : sequence of Cube
        What the layers of the candidates lie in.
    found : Candidates
        Their ``files`` are `CubeLayer`.
    bands : int64 array of shape (bands,)
        Positions of the bands to read.
    decoder : BandDecoder
        What the numbers mean; not asked where a cube has scales.
    limit : float
        Magnitude beyond which a vector of bytes times scales is missing.
    """

    def __init__(
        self,
        cubes: Sequence[Cube],
        found: Candidates,
        bands: np.ndarray,
        decoder: BandDecoder | None,
        limit: float = np.inf,
    ):
        self._cubes = cubes
        self._bands = bands
        self._decoder = decoder
        self._limit = limit
        # Windows worth reading at a time: more than one where reading is mostly waiting.
        self.in_flight = min((_in_flight(cube) for cube in cubes), default=1)
        self.beyond_limit: list[tuple[str, int]] = []
        self._lock = threading.Lock()
        owner, step = (
            np.array([getattr(layer, name) for layer in found.files], dtype=np.int64)[found.file]
            for name in ("cube", "position")
        )
        self._pixels = Pixels(step, found.row, found.col)
        # A slab holds the chunks of a cube that lie side by side: one step along time, or several.
        counts = [len(cube.edges.time) - 1 for cube in cubes]
        self._first_slab = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
        slab, row, col = (np.empty_like(step) for _ in range(3))
        for i, cube in enumerate(cubes):
            here = np.flatnonzero(owner == i)
            slab[here] = self._first_slab[i] + _chunk(cube.edges.time, step[here])
            row[here] = _chunk(cube.edges.rows, found.row[here])
            col[here] = _chunk(cube.edges.cols, found.col[here])
        layouts = [
            _layout(cube, bands.size)
            for cube, count in zip(cubes, counts, strict=True)
            for _ in range(count)
        ]
        super().__init__(slab, row, col, layouts)

    def windows(self, which: np.ndarray) -> list[BlockWindow]:
        """Windows that cover every chunk of the candidates ``which`` once, and no other chunk."""
        found = []
        for window in super().windows(which):
            edges = self._cube(window).edges
            top, bottom = edges.rows[[window.row, window.row + window.height]].tolist()
            left, right = edges.cols[[window.col, window.col + window.width]].tolist()
            found.append(
                window._replace(row=top, col=left, height=bottom - top, width=right - left)
            )
        return found

    def stored_bytes(self, window: BlockWindow) -> int:
        """Count decoded bytes of the chunks; of an array in memory, those of the points."""
        cube = self._cube(window)
        steps = int(np.diff(cube.edges.time)[window.file - self._slab_of(window)])
        size = window.which.size if cube.in_memory else steps * window.height * window.width
        scales = 0 if cube.scales is None else 4
        return int(size * (cube.dtype.itemsize * self._bands.size + scales))

    def read(self, window: BlockWindow, sink: PixelSink) -> None:
        """Hand the pixels of a window's candidates over."""
        cube = self._cube(window)
        which = window.which
        pixels = Pixels(*(axis[which] for axis in self._pixels))
        step = window.file - self._slab_of(window)
        area = Area(
            slice(*cube.edges.time[step : step + 2].tolist()),
            slice(window.row, window.row + window.height),
            slice(window.col, window.col + window.width),
        )
        raw = cube.gather(self._bands, area, pixels)
        if cube.scales is not None:
            self._put_scaled(cube, which, raw, cube.scales(self._bands, area, pixels), sink)
        elif self._decoder is not None:
            sink.put_values(which, self._decoder.decode(raw))

    def _put_scaled(
        self, cube: Cube, which: np.ndarray, raw: np.ndarray, scales: np.ndarray, sink: PixelSink
    ) -> None:
        """Multiply bytes by scales; a scale that is NaN says water, another bad one nothing."""
        with np.errstate(over="ignore", invalid="ignore"):
            values = raw.astype(np.float32) * scales.astype(np.float32)
        values[np.broadcast_to(~(np.isfinite(scales) & (scales > 0)), values.shape)] = np.nan
        finite = np.where(np.isfinite(values), np.abs(values), 0)
        beyond = finite.max(axis=0, initial=0) > self._limit
        values[:, beyond] = np.nan
        sink.put_values(which, values)
        sink.status[which[np.isnan(scales).all(axis=0)]] = WATER
        if beyond.any():
            with self._lock:
                pixels = np.stack([axis[which[beyond]] for axis in self._pixels])
                self.beyond_limit.append((cube.path, np.unique(pixels, axis=1).shape[1]))

    def _cube(self, window: BlockWindow) -> Cube:
        return self._cubes[int(np.searchsorted(self._first_slab, window.file, side="right")) - 1]

    def _slab_of(self, window: BlockWindow) -> int:
        """First slab of the window's cube."""
        found = np.searchsorted(self._first_slab, window.file, side="right") - 1
        return int(self._first_slab[found])


def _chunk(edges: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Which chunk holds each position."""
    return np.searchsorted(edges, position, side="right") - 1


def _in_flight(cube: Cube) -> int:
    if not cube.apart:
        return 1
    return max(1, min(_MOST_IN_FLIGHT, _BYTES_IN_FLIGHT // largest_chunk(cube, cube.n_bands)))


def _layout(cube: Cube, n_bands: int) -> BlockLayout:
    """Blocks that are chunks: each counts as one row and one column."""
    chunk_bytes = largest_chunk(cube, n_bands)
    if cube.apart:  # as large as a window may be: none is joined to its neighbour
        chunk_bytes = max(chunk_bytes, _BYTES_READ_APART)
    return BlockLayout(len(cube.edges.rows) - 1, len(cube.edges.cols) - 1, 1, 1, chunk_bytes)
