"""Arrays of layers on one grid, read chunk by chunk: what DataArrays and Zarr have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from geofeat.exceptions import LimitError
from geofeat.rasters._candidates import (
    NO_COVERAGE,
    NO_YEAR,
    OK,
    Candidates,
    reasons_before_search,
)
from geofeat.rasters._projection import PixelGrid, containing_pixels, pixel_positions


class Area(NamedTuple):
    """Whole chunks of a cube: steps along time, rows and columns."""

    time: slice
    rows: slice
    cols: slice


class Pixels(NamedTuple):
    """k pixels of a cube, int64 arrays counted from its first step, row and column."""

    time: np.ndarray
    row: np.ndarray
    col: np.ndarray


# (bands, the chunks that hold the pixels, the pixels) -> numbers as stored, shape (bands, k).
Gather = Callable[[np.ndarray, Area, Pixels], np.ndarray]


class Edges(NamedTuple):
    """Where the chunks start along time, rows and columns, each with the end behind the last."""

    time: np.ndarray
    rows: np.ndarray
    cols: np.ndarray


class Cube(NamedTuple):
    """An array (time, band, y, x) and the grid of its pixels.

    ``years`` has one entry a step along time. ``scales`` gathers what bytes are multiplied by, of
    shape (1, k) or (bands, k). ``in_memory`` says that pixels cost nothing beyond themselves;
    ``apart`` that chunks are read one by one because each has its own way over the network.
    """

    path: str
    grid: PixelGrid
    years: tuple[int, ...]
    n_bands: int
    dtype: np.dtype
    edges: Edges
    gather: Gather
    scales: Gather | None = None
    in_memory: bool = False
    apart: bool = False


class CubeLayer(NamedTuple):
    """One year of a cube: its grid, its place in the list of cubes and along the time axis.

    ``blocks`` is the height and width of its first chunk.
    """

    path: str
    year: int
    cube: int
    position: int
    grid: PixelGrid
    blocks: tuple[int, int]


def layers_of(cubes: Sequence[Cube]) -> list[CubeLayer]:
    """Every year of every cube."""
    return [
        CubeLayer(
            path=cube.path if len(cube.years) == 1 else f"{cube.path}[{year}]",
            year=year,
            cube=i,
            position=position,
            grid=cube.grid,
            blocks=(int(cube.edges.rows[1]), int(cube.edges.cols[1])),
        )
        for i, cube in enumerate(cubes)
        for position, year in enumerate(cube.years)
    ]


def layer_positions(cubes: Sequence[Cube], which: np.ndarray, year: np.ndarray) -> np.ndarray:
    """Position in `layers_of` of years of cubes, -1 where a cube has no such year."""
    found = np.full(which.size, -1)
    first = 0
    for i, cube in enumerate(cubes):
        members = np.flatnonzero(which == i)
        asked = year[members]
        for step, one in enumerate(cube.years):
            found[members[asked == one]] = first + step
        first += len(cube.years)
    return found


def locate_in_cubes(
    lon: np.ndarray,
    lat: np.ndarray,
    year: np.ndarray,
    cubes: Sequence[Cube],
    pairs: tuple[np.ndarray, np.ndarray],
    edge_tolerance: float = 0.0,
) -> Candidates:
    """Pixels that hold the points, from pairs (point, cube) that are to be tried.

    The pairs come by point, in the order of preference; points with bad coordinates have none.
    Those beyond an edge by up to ``edge_tolerance`` pixels get the outermost one.
    """
    reason = reasons_before_search(lon, lat)
    point, which = pairs
    grids = [cube.grid for cube in cubes]
    position = pixel_positions(lon[point], lat[point], which, grids)
    width = np.array([grid.width for grid in grids], dtype=np.int64)[which]
    height = np.array([grid.height for grid in grids], dtype=np.int64)[which]
    col, row, inside = containing_pixels(*position, width, height, edge_tolerance)
    layers = layers_of(cubes)
    file = layer_positions(cubes, which, year[point])
    kept = inside & (file >= 0)
    reason[point[inside]] = NO_YEAR
    reason[point[kept]] = OK
    nothing = np.full(lon.size, -1)
    return Candidates(point[kept], file[kept], row[kept], col[kept], reason, layers, [], nothing)


def searched_points(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Points that have coordinates, int64."""
    return np.flatnonzero(reasons_before_search(lon, lat) == NO_COVERAGE)


def regular_edges(size: int, step: int) -> np.ndarray:
    """Edges of chunks of one size, the last one cut."""
    return np.append(np.arange(0, size, max(step, 1)), size)


def common_edges(parts: Sequence[Edges]) -> Edges:
    """Edges that are edges of every array: between them lie whole chunks of each."""
    first, *rest = parts
    for other in rest:
        first = Edges(*(np.intersect1d(a, b) for a, b in zip(first, other, strict=True)))
    return first


def largest_chunk(cube: Cube, n_bands: int) -> int:
    """Bytes of so many bands of the largest chunk, decoded."""
    steps, height, width = (int(np.diff(edges).max(initial=1)) for edges in cube.edges)
    return steps * n_bands * height * width * cube.dtype.itemsize


def refuse_large_chunks(cube: Cube, bound: int) -> None:
    """Raise `LimitError` where a chunk holds more bytes than may be decoded at once."""
    chunk_bytes = largest_chunk(cube, cube.n_bands)
    if chunk_bytes > bound:
        steps, height, width = (int(np.diff(edges).max()) for edges in cube.edges)
        raise LimitError(
            f"{cube.path}: a chunk of {steps} x {cube.n_bands} x {height} x {width} numbers "
            f"decodes to {chunk_bytes} bytes, the bound is {bound}. Raise it with "
            f"max_block_bytes={chunk_bytes}, or rewrite the array with smaller chunks."
        )


def gather_from_memory(array: np.ndarray) -> Gather:
    """Pick pixels of an array (time, band, y, x) in memory, one by one."""

    def gather(bands: np.ndarray, area: Area, pixels: Pixels) -> np.ndarray:
        return array[pixels.time, bands[:, None], pixels.row, pixels.col]

    return gather


def gather_from_chunks(
    read: Callable[[np.ndarray, Area], np.ndarray],
) -> Gather:
    """Pick pixels of the numbers (time, bands, rows, cols) that ``read`` fetches of an area."""

    def gather(bands: np.ndarray, area: Area, pixels: Pixels) -> np.ndarray:
        used = area._replace(time=slice(int(pixels.time.min()), int(pixels.time.max()) + 1))
        block = read(bands, used)
        step = pixels.time - used.time.start
        row, col = pixels.row - area.rows.start, pixels.col - area.cols.start
        return block[step, np.arange(bands.size)[:, None], row, col]

    return gather
