"""Parts of polygons cut into pieces that are read together, so that blocks are read once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from geofeat.rasters._areas import Areas, intersections
from geofeat.rasters._coverage_fractions import PixelWindow, covered_pixels
from geofeat.rasters._weighted_reading import PixelGroups

# Sides of the tiles that parts are cut along: whole blocks, so that no block is read for two tiles.
_TILE_SIDE = 1024
# Pixels worked on at once, 40 bytes each before anything is read of them. Where so many polygons
# overlap that one tile holds more, its blocks are read several times.
_PIXELS_AT_ONCE = 2**20
_PIXELS_OF_A_TILE = 2**22


class Pieces(NamedTuple):
    """Pieces of parts, one a part and tile, in the order of reading.

    Attributes
    ----------
    part, tile : int64 arrays of shape (m,)
        Which part of the areas; which tile, counted over all files, ascending.
    window : int64 array of shape (m, 4)
        Row, column, height and width of the pixels that the piece may touch.
    batch : int64 array of shape (m,)
        Pieces of equal number are read together; ascending.
    """

    part: np.ndarray
    tile: np.ndarray
    window: np.ndarray
    batch: np.ndarray


def cut_into_pieces(areas: Areas) -> Pieces:
    """Cut the parts of polygons along tiles of their files and group the pieces for reading."""
    import shapely

    if not areas.part.size:
        none = np.empty(0, dtype=np.int64)
        return Pieces(none, none, np.empty((0, 4), dtype=np.int64), none)
    bounds = shapely.bounds(areas.part)
    first = np.floor(bounds[:, [1, 0]]).astype(np.int64)
    last = np.maximum(np.ceil(bounds[:, [3, 2]]).astype(np.int64), first + 1) - 1
    side = np.array([_tile_shape(file) for file in areas.files], dtype=np.int64)[areas.file]
    low, high = first // side, last // side
    count = high - low + 1
    pieces = count.prod(axis=1)
    part = np.repeat(np.arange(areas.part.size), pieces)
    nth = np.arange(part.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    tile = low[part] + np.column_stack([nth // count[part, 1], nth % count[part, 1]])
    start = np.maximum(tile * side[part], first[part])
    stop = np.minimum((tile + 1) * side[part], last[part] + 1)
    window = np.column_stack([start, stop - start])
    order = np.lexsort((part, tile[:, 1], tile[:, 0], areas.file[part]))
    part, tile, window = part[order], tile[order], window[order]
    place = np.column_stack([areas.file[part], tile])
    new_tile = np.append(True, (place[1:] != place[:-1]).any(axis=1))
    number = np.cumsum(new_tile) - 1
    batch = _batches(number, window[:, 2] * window[:, 3])
    return Pieces(part, number, window, batch)


def _tile_shape(file: Any) -> tuple[int, int]:
    """Height and width of the tiles of a file, whole numbers of its blocks where it tells them."""
    height, width = getattr(file, "blocks", (1, 1))
    wide = width * max(1, _TILE_SIDE // width)
    return height * max(1, _TILE_SIDE**2 // (wide * height)), wide


def _batches(tile: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Batch of each piece: whole tiles up to a number of pixels, parts of a tile that has more."""
    batch = np.empty(tile.size, dtype=np.int64)
    number = held = held_of_tile = 0
    of_tile = np.bincount(tile, weights=pixels).astype(np.int64)
    for i, (here, size) in enumerate(zip(tile.tolist(), pixels.tolist(), strict=True)):
        fresh = i == 0 or here != tile[i - 1]
        held_of_tile = size if fresh else held_of_tile + size
        full = held and held + of_tile[here] > _PIXELS_AT_ONCE if fresh else False
        if full or (not fresh and held_of_tile > _PIXELS_OF_A_TILE):
            number, held, held_of_tile = number + 1, 0, size
        held += size
        batch[i] = number
    return batch


def pixels_of_pieces(areas: Areas, pieces: Pieces, statistic: str) -> Iterator[PixelGroups]:
    """Weighted pixels of each batch, grouped by polygon.

    Parameters
    ----------
    areas : Areas
        Parts of polygons.
    pieces : Pieces
        Their pieces.
    statistic : {"mean", "std", "center"}
        "center" takes the pixels whose centre is in the polygon whole, the others all pixels by
        the fraction that it covers.

    Yields
    ------
    pixels : PixelGroups
        ``group`` is the number of the polygon.
    """
    cuts = np.flatnonzero(np.diff(pieces.tile)) + 1
    cuts = np.union1d(cuts, np.flatnonzero(np.diff(pieces.batch)) + 1)
    several = np.bincount(pieces.part, minlength=areas.part.size) > 1
    found: list[PixelGroups] = []
    for members in np.split(np.arange(pieces.part.size), cuts):
        if not members.size:
            continue
        found.append(_pixels(areas, pieces, members, several, statistic))
        batch = int(pieces.batch[members[0]])
        if members[-1] + 1 == pieces.batch.size or pieces.batch[members[-1] + 1] != batch:
            yield PixelGroups(*map(np.concatenate, zip(*found, strict=True)))
            found = []


def _pixels(
    areas: Areas, pieces: Pieces, members: np.ndarray, several: np.ndarray, statistic: str
) -> PixelGroups:
    """Pixels of the pieces of one tile."""
    import shapely

    part = pieces.part[members]
    row, col, height, width = pieces.window[members].T
    shapes = areas.part[part].copy()
    cut = several[part]
    if cut.any():
        boxes = shapely.box(col, row, col + width, row + height)
        shapes[cut] = intersections(shapes[cut], boxes[cut])
        held = ~shapely.is_missing(shapes)
        part, shapes = part[held], shapes[held]
    top, left = row.min(), col.min()
    window = PixelWindow(
        int(top), int(left), int((row + height).max() - top), int((col + width).max() - left)
    )
    covered = covered_pixels(shapes, window)
    weight = covered.fraction
    if statistic == "center":
        x, y = covered.col + 0.5, covered.row + 0.5
        edge = np.flatnonzero(weight < 1)
        shapely.prepare(shapes)
        weight = np.ones(weight.size)
        weight[edge] = shapely.intersects_xy(shapes[covered.shape[edge]], x[edge], y[edge])
    which = part[covered.shape]
    kept = weight > 0
    return PixelGroups(
        areas.polygon[which][kept],
        areas.file[which][kept],
        covered.row[kept],
        covered.col[kept],
        (weight * areas.size[which])[kept],
    )
