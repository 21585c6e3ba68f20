"""Embeddings of the pixels of a map, piece by piece, each block of the source decoded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from geofeat._threads import run_slabs, run_tasks
from geofeat.kernels._forest import scatter_codes
from geofeat.kernels._gather import scale_to_unit_length
from geofeat.rasters._area_serving import ServingFile
from geofeat.rasters._blocks import BlockWindow
from geofeat.rasters._candidates import NODATA, OK, REASONS, Candidates
from geofeat.rasters._forest_votes import CodedForest
from geofeat.rasters._map_grid import MapGrid, Tile
from geofeat.rasters._projection import PixelGrid
from geofeat.rasters._reading import read_candidates
from geofeat.rasters._sampling import sample_layer
from geofeat.rasters._sink import PixelSink
from geofeat.rasters._sources import Source

_ALIGNED = 1e-3
_SLAB_ROWS = 2**14


class PixelVectors(NamedTuple):
    """What is read of each pixel: layers side by side, in the order of ``years``.

    ``bands`` are positions; ``missing``, ``fallback`` and ``normalize`` those of
    `EmbeddingRasterSampler`. A ``sampler`` that looks further than the pixel itself, at a window
    around it for example, is asked for the pixels' centres instead.
    """

    source: Source
    years: list[int]
    bands: np.ndarray
    missing: str = "any"
    fallback: str | None = None
    normalize: str | None = None
    sampler: Any = None

    @property
    def width(self) -> int:
        """Number of columns."""
        if self.sampler is not None:
            return len(self.sampler.get_feature_names_out())
        return len(self.years) * self.bands.size


class Losses:
    """Counts of pixels without a value by reason, and files that should have served some."""

    def __init__(self) -> None:
        self.reasons = np.zeros(len(REASONS), dtype=np.int64)
        self.absent: dict[str, None] = {}
        self.beyond_limit: dict[str, int] = {}

    def add(self, reason: np.ndarray, absent: list[str], beyond: list[tuple[str, int]]) -> None:
        """Add what became of some pixels."""
        self.reasons += np.bincount(reason, minlength=len(REASONS))
        self.absent.update(dict.fromkeys(absent))
        for path, count in beyond:
            self.beyond_limit[path] = self.beyond_limit.get(path, 0) + count


class _CodeSink(PixelSink):
    """Takes bytes of pixels as the codes of a forest instead of values."""

    def __init__(self, out: np.ndarray, n_candidates: int, coded: CodedForest):
        super().__init__(out, n_candidates, "any")
        self._coded = coded

    def put_bytes(self, which: np.ndarray, raw: np.ndarray, tables: np.ndarray) -> None:
        """Take bytes of shape (bands, k); the tables are those of the codes."""
        coded, target = self._coded, self.target[which]
        valid = scatter_codes(raw, coded.codes, coded.is_missing, target, self.out, self.spare)
        self.status[which] = np.where(valid, OK, NODATA)


def read_codes(
    vectors: PixelVectors,
    grid: MapGrid,
    tile: Tile,
    wanted: np.ndarray,
    losses: Losses,
    coded_for: Callable[[np.ndarray], CodedForest | None],
) -> tuple[np.ndarray, np.ndarray, CodedForest] | None:
    """Read pixels of a tile as the codes of a forest, int8, where bytes are all that is needed.

    Parameters are those of `read_tile` and ``coded_for``, which gives the forest for the values of
    bytes. None where values must be read instead.
    """
    if len(vectors.years) > 1 or vectors.normalize or vectors.missing != "any":
        return None
    if vectors.sampler is not None:
        return None
    if vectors.source.overlap == "mean":
        return None
    files = _files_alike(vectors.source, grid, tile, vectors.years[0])
    if files is None:
        return None
    row, col = np.divmod(wanted[:1], tile.width)
    first = _pixels_of(files, row + tile.row, col + tile.col)
    opened: Any = vectors.source.reader(first, vectors.bands)
    with opened as reader:
        ask = getattr(reader, "byte_tables", None)
        tables = ask() if ask is not None else None
        coded = None if tables is None else coded_for(tables)
        if coded is None:
            return None
        codes = np.empty((wanted.size, vectors.bands.size), dtype=np.int8)
        if len(files) == 1 and wanted.size == tile.height * tile.width and reader.is_local:
            valid = _read_throughout(reader, tile, files[0].shift, codes, coded)
            losses.add(np.where(valid, OK, NODATA), [], [])
            return codes, valid, coded
    row, col = np.divmod(wanted, tile.width)
    found = _pixels_of(files, row + tile.row, col + tile.col)
    sink = _CodeSink(codes, found.point.size, coded)
    outcome = read_candidates(vectors.source, found, vectors.bands, "any", codes, False, sink)
    losses.add(outcome.reason, found.absent, outcome.beyond_limit)
    return codes, outcome.reason == OK, coded


def _read_throughout(
    reader: Any, tile: Tile, shift: _Shift, codes: np.ndarray, coded: CodedForest
) -> np.ndarray:
    """Read a tile that one file fills, block by block; tell which pixels have a value."""
    valid = np.zeros(tile.height * tile.width, dtype=bool)
    spare = np.empty((0, codes.shape[1]), dtype=np.int8)
    rows = shift.row + shift.down * (tile.row + np.array([0, tile.height - 1]))
    cols = shift.col + shift.across * (tile.col + np.array([0, tile.width - 1]))

    def work(window: BlockWindow) -> None:
        down = (window.row + np.arange(window.height) - shift.row) * shift.down - tile.row
        across = (window.col + np.arange(window.width) - shift.col) * shift.across - tile.col
        target = (down[:, None] * tile.width + across).reshape(-1)
        raw = reader.read_planes(window).view(np.uint8)
        valid[target] = scatter_codes(raw, coded.codes, coded.is_missing, target, codes, spare)

    run_tasks(work, reader.windows_of_area(0, (rows.min(), rows.max()), (cols.min(), cols.max())))
    return valid


def read_tile(
    vectors: PixelVectors, grid: MapGrid, tile: Tile, wanted: np.ndarray, losses: Losses
) -> tuple[np.ndarray, np.ndarray]:
    """Read pixels of a tile.

    Parameters
    ----------
    vectors : PixelVectors
        What to read.
    grid : MapGrid
        Grid of the map.
    tile : Tile
        The piece.
    wanted : int64 array of shape (n,)
        Pixels of the tile, counted row by row.
    losses : Losses
        Takes the count of pixels without a value.

    Returns
    -------
    rows : float32 array of shape (n, columns)
        One vector a pixel.
    valid : bool array of shape (n,)
        Which pixels have a value in every layer.
    """
    row, col = np.divmod(wanted, tile.width)
    row, col = row + tile.row, col + tile.col
    if vectors.sampler is not None:
        rows = vectors.sampler.transform(np.column_stack(grid.lonlat(row, col)))
        valid = ~np.isnan(rows).all(axis=1)
        losses.add(np.where(valid, OK, NODATA), [], [])
        return rows, valid
    rows = np.empty((wanted.size, vectors.width), dtype=np.float32)
    valid = np.ones(wanted.size, dtype=bool)
    lonlat: tuple[np.ndarray, np.ndarray] | None = None
    n_bands = vectors.bands.size
    for i, year in enumerate(vectors.years):
        block = rows if len(vectors.years) == 1 else np.empty((wanted.size, n_bands), np.float32)
        files = _files_alike(vectors.source, grid, tile, year)
        if files is not None:
            found = _pixels_of(files, row, col)
            outcome = read_candidates(
                vectors.source, found, vectors.bands, vectors.missing, block, False
            )
            reason = outcome.reason
            losses.add(reason, found.absent, outcome.beyond_limit)
        else:
            lonlat = lonlat or grid.lonlat(row, col)
            sampled = sample_layer(
                vectors.source,
                *lonlat,
                np.full(wanted.size, year),
                vectors.bands,
                block,
                missing=vectors.missing,
                fallback=vectors.fallback,
            )
            reason = sampled.reason
            losses.add(reason, sampled.absent, sampled.beyond_limit)
        if vectors.normalize == "l2":
            _to_unit_length(block)
        if block is not rows:
            rows[:, i * n_bands : (i + 1) * n_bands] = block
        valid &= reason == OK
    return rows, valid


def _to_unit_length(rows: np.ndarray) -> None:
    run_slabs(lambda a, b: scale_to_unit_length(rows[a:b]), len(rows), _SLAB_ROWS)


class _Shift(NamedTuple):
    """Where the map's pixels lie in a file: first row and step, first column and step."""

    row: int
    down: int
    col: int
    across: int


class _FileOfTile(NamedTuple):
    """A file that serves all pixels of a tile, as the source's reader knows it."""

    file: Any
    shift: _Shift


def _files_alike(source: Any, grid: MapGrid, tile: Tile, year: int) -> list[_FileOfTile] | None:
    """Files, best first, that serve all pixels of a tile and on whose lattice the map lies."""
    ask = getattr(source, "serving", None)
    if ask is None or min(tile.height, tile.width) < 2:
        return None
    files: list[ServingFile] | None = ask(*_outline(grid, tile), year)
    if files is None:
        return None
    found = []
    for file in files:
        shift = _shift(grid, file.grid)
        if shift is None:
            return None
        found.append(_FileOfTile(file.file, shift))
    return found


def _pixels_of(files: list[_FileOfTile], row: np.ndarray, col: np.ndarray) -> Candidates:
    """Candidates of pixels of the map in all of the files."""
    n, k = row.size, len(files)
    rows = np.empty((n, k), dtype=np.int64)
    cols = np.empty((n, k), dtype=np.int64)
    for i, (_, shift) in enumerate(files):
        rows[:, i] = shift.row + shift.down * row
        cols[:, i] = shift.col + shift.across * col
    return Candidates(
        np.repeat(np.arange(n), k),
        np.tile(np.arange(k), n),
        rows.reshape(-1),
        cols.reshape(-1),
        np.full(n, OK, dtype=np.uint8),
        [file.file for file in files],
        [],
        np.full(n, -1),
    )


def _outline(grid: MapGrid, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude of the centres of a tile's outermost pixels, once around."""
    across, down = np.arange(tile.width), np.arange(tile.height)
    col = np.concatenate([across, 0 * down + tile.width - 1, across[::-1], 0 * down])
    row = np.concatenate([0 * across, down, 0 * across + tile.height - 1, down[::-1]])
    return grid.lonlat(row + tile.row, col + tile.col)


def _shift(grid: MapGrid, file: PixelGrid) -> _Shift | None:
    """Where the map's pixels lie in a file; None if askew."""
    a, b, c, d, e, f = file.transform
    if b or d or not _same_crs(grid.crs, file.crs):
        return None
    numbers = []
    for start, size, length, origin, step in (
        (grid.north, -grid.y_size, grid.height, f, e),
        (grid.west, grid.x_size, grid.width, c, a),
    ):
        # Position of the first and of the last centre, in pixels of the file.
        first = (start + 0.5 * size - origin) / step - 0.5
        last = (start + (length - 0.5) * size - origin) / step - 0.5
        direction = 1 if size * step > 0 else -1
        if abs(first - round(first)) > _ALIGNED:
            return None
        if abs(last - (round(first) + direction * (length - 1))) > _ALIGNED:
            return None
        numbers += [round(first), direction]
    return _Shift(*numbers)


def _same_crs(one: str, other: str) -> bool:
    from pyproj import CRS

    return one == other or CRS.from_user_input(one) == CRS.from_user_input(other)
