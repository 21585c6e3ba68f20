"""Pixels around points: which they are, in the point's own file and across its edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np

from geofeat._coordinates import EARTH_RADIUS_KM
from geofeat.exceptions import LimitError
from geofeat.rasters._candidates import Candidates
from geofeat.rasters._projection import (
    PixelGrid,
    metres_per_unit,
    pixel_positions,
    to_degrees,
)
from geofeat.rasters._sources import Source

# Pixels located at once, of all points together; and those of one point at most.
_PIXELS_AT_ONCE = 2**22
# What may be held of them at once: all values, or one float64 sum and one weight a band.
_VALUE_BYTES = 2**27
# Positions are not exact to the last digit: how near, in pixels, counts as the very place, and
# how near, as a share of a radius, as the radius itself.
_SAME_PLACE = 1e-6
_SAME_RADIUS = 1e-7
# Neighbourhoods that begin in one square of so many pixels are looked at together.
_CELL = 64


class Neighbourhood(NamedTuple):
    """What is taken around a point: four centres, k x k pixels or those within a radius.

    ``window`` is odd, ``radius`` in metres; both None for "bilinear". ``statistic`` is "mean",
    "std" or "median"; ``min_valid`` the least share of valid pixels (by weight); ``strict`` asks
    for a valid pixel at the point itself.
    """

    window: int | None = None
    radius: float | None = None
    statistic: str = "mean"
    min_valid: float = 0.0
    strict: bool = False

    @classmethod
    def asked(
        cls,
        method: str,
        window: int | None,
        radius: float | None,
        statistic: str,
        min_valid: float,
        strict: bool,
    ) -> Self | None:
        """Understand the parameters of the sampler; None for the pixel that holds the point.

        Raises
        ------
        ValueError
            For parameters that contradict each other or have no meaning together.
        """
        if window is not None and radius is not None:
            raise ValueError(f"window={window} and radius={radius}: give one of them")
        if window is not None and window % 2 == 0:
            raise ValueError(f"window={window} has no middle pixel, give an odd number")
        alone = window is None and radius is None
        if method == "bilinear" and not alone:
            raise ValueError(
                "method='bilinear' weights four pixels, window= and radius= average more: give "
                "one of them"
            )
        if alone and statistic != "mean":
            raise ValueError(f"statistic={statistic!r} needs window= or radius=")
        if alone and method == "nearest":
            if min_valid > 0 or strict:
                raise ValueError(
                    "min_valid= and strict= need method='bilinear', window= or radius="
                )
            return None
        return cls(window, radius, statistic, min_valid, strict)

    @property
    def bilinear(self) -> bool:
        """Whether the four pixel centres around a point are weighted by their nearness."""
        return self.window is None and self.radius is None

    @property
    def collects(self) -> bool:
        """Whether all values are needed at once, not only their sums."""
        return self.statistic != "mean"


class AroundPoints(NamedTuple):
    """Pixels around n anchors, p each: arrays of shape (n, p).

    ``file`` is a position in ``files``, -1 where no pixel may be used; ``row`` and ``col`` the
    pixel; ``weight`` what it counts, 0 for pixels beyond a radius. ``anchor`` tells, in shape
    (n,), which of the p pixels holds the point. ``absent`` are files that should hold pixels.
    """

    file: np.ndarray
    row: np.ndarray
    col: np.ndarray
    weight: np.ndarray
    anchor: np.ndarray
    files: list[Any]
    absent: list[str]

    @property
    def used(self) -> np.ndarray:
        """Whether a pixel is to be read, bool of shape (n, p)."""
        return (self.file >= 0) & (self.weight > 0)

    def candidates(self) -> Candidates:
        """Return the pixels to be read; ``point`` counts all pixels, row by row."""
        used = self.used
        return Candidates(
            np.flatnonzero(used),
            self.file[used],
            self.row[used],
            self.col[used],
            np.zeros(used.size, dtype=np.uint8),
            self.files,
            [],
            np.full(used.size, -1),
        )


def neighbourhoods(
    source: Source,
    found: Candidates,
    which: np.ndarray,
    places: tuple[np.ndarray, np.ndarray, np.ndarray],
    around: Neighbourhood,
    bands: np.ndarray,
) -> Iterator[tuple[np.ndarray, AroundPoints]]:
    """Pixels around the candidates ``which``, in parts that fit in memory, block after block.

    Yields positions in ``which`` and their pixels. Parameters as in `pixels_around`; ``bands`` are
    those to be read.
    """
    if not which.size:
        return
    n_cols, n_rows = _extents(source, found, which, places[1], around)
    largest = int((n_cols * n_rows).max())
    if largest > _PIXELS_AT_ONCE:
        raise LimitError(
            f"{largest} pixels around a point are asked for, the bound is {_PIXELS_AT_ONCE}: "
            "choose a smaller window= or radius=, or sample polygons with zonal="
        )
    with source.reader(found, bands) as reader:
        order = np.argsort(reader.block[which], kind="stable")
    for part in _parts(order, n_cols, n_rows, bands.size, around.collects):
        yield part, pixels_around(source, found, which[part], places, around)


def _parts(
    order: np.ndarray, n_cols: np.ndarray, n_rows: np.ndarray, n_bands: int, collects: bool
) -> Iterator[np.ndarray]:
    """Cut ``order`` so that the largest box of pixels, for each of a part, stays in bounds."""
    at_once, points_at_once = _PIXELS_AT_ONCE, order.size
    if collects:
        at_once = min(at_once, _VALUE_BYTES // (4 * n_bands))
    else:
        points_at_once = _VALUE_BYTES // (16 * n_bands)
    first = 0
    while first < order.size:
        some = order[first : first + points_at_once]
        box = np.maximum.accumulate(n_cols[some]) * np.maximum.accumulate(n_rows[some])
        pixels = box * np.arange(1, some.size + 1)
        part = some[: max(1, int(np.searchsorted(pixels, at_once, side="right")))]
        yield part
        first += part.size


def pixels_around(
    source: Source,
    found: Candidates,
    which: np.ndarray,
    places: tuple[np.ndarray, np.ndarray, np.ndarray],
    around: Neighbourhood,
) -> AroundPoints:
    """Pixels around the candidates ``which``.

    Beyond the edge of a candidate's file those of another file in the same CRS are taken, where
    the source names one; where it gives a place to files of other zones only, none is. A source
    whose ``uses_overhang`` is False names the file of every pixel, also inside a raster.

    Parameters
    ----------
    source : Source
        Tells which files hold a place.
    found : Candidates
        Each of whose files has a ``grid``.
    which : int64 array of shape (n,)
        Positions in ``found``.
    places : tuple of three arrays of shape (n_points,)
        Longitude, latitude and year of the points of ``found``.
    around : Neighbourhood
        What is taken.
    """
    lon, lat, year = (values[found.point[which]] for values in places)
    file, files = found.file[which], list(found.files)
    grids = [_grid_of(record, source) for record in files]
    col, row, weight = _offsets(found, which, lon, lat, grids, around)
    own = (col == found.col[which, None]) & (row == found.row[which, None])
    chosen = np.repeat(file[:, None], col.shape[1], axis=1)
    if getattr(source, "uses_overhang", True):
        size = np.array([(grid.height, grid.width) for grid in grids])[file]
        asked = (row < 0) | (row >= size[:, :1]) | (col < 0) | (col >= size[:, 1:])
    else:
        whole = _own_throughout(source, files, grids, file, (col, row), year)
        # The point's pixel was found for the point itself, wherever its centre lies.
        asked = ~(whole[:, None] | own)
    asked &= weight > 0
    absent: list[str] = []
    if asked.any():
        absent = _cross_edges(source, files, grids, year, asked, chosen, row, col)
    return AroundPoints(chosen, row, col, weight, np.argmax(own, axis=1), files, absent)


def _extents(
    source: Source,
    found: Candidates,
    which: np.ndarray,
    lat: np.ndarray,
    around: Neighbourhood,
) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of the box of pixels around each of the candidates ``which``."""
    if around.radius is None:
        side = np.full(which.size, around.window or 2)
        return side, side
    grids = [_grid_of(record, source) for record in found.files]
    file = found.file[which]
    half_cols, half_rows = _half_sizes(around.radius, grids, file, lat[found.point[which]])
    return 2 * half_cols + 1, 2 * half_rows + 1


def _grid_of(file: Any, source: Source) -> PixelGrid:
    grid: PixelGrid | None = getattr(file, "grid", None)
    if grid is None:
        raise ValueError(f"{type(source).__name__} has no pixels around a point: method='nearest'")
    return grid


def _offsets(
    found: Candidates,
    which: np.ndarray,
    lon: np.ndarray,
    lat: np.ndarray,
    grids: list[PixelGrid],
    around: Neighbourhood,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Column, row and weight of the pixels around each candidate, shape (n, p)."""
    if around.window is not None:
        half = around.window // 2
        step = np.arange(-half, half + 1)
        down, across = (axis.ravel() for axis in np.meshgrid(step, step, indexing="ij"))
        col, row = found.col[which, None] + across, found.row[which, None] + down
        return col, row, np.ones(col.shape)
    file = found.file[which]
    a, b = pixel_positions(lon, lat, file, grids)
    # With a tolerance, a point may lie beyond the edge: it is moved onto it.
    a = np.clip(a, found.col[which], found.col[which] + 1)
    b = np.clip(b, found.row[which], found.row[which] + 1)
    if around.bilinear:
        (left, right), (top, low) = _between_centres(a), _between_centres(b)
        col = left[:, None] + np.array([0, 1, 0, 1])
        row = top[:, None] + np.array([0, 0, 1, 1])
        weight = np.stack(
            [(1 - right) * (1 - low), right * (1 - low), (1 - right) * low, right * low], axis=1
        )
        return col, row, weight
    linear = _metres_of_steps(grids, file, lat)
    radius = float(around.radius or 0)
    half_sizes = _half_sizes(radius, grids, file, lat)
    own = found.col[which], found.row[which]
    col, row, weight = _within_radius(radius, (a, b), own, linear, half_sizes)
    # Around a pole, every column once.
    along, turn = col + 0.5 - a[:, None], _half_turn(grids)[file, None]
    return col, row, weight * ((along >= -turn) & (along < turn))


def _between_centres(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixel whose centre comes before a position, and how far the position is from it."""
    from_centre = position - 0.5
    nearest = np.rint(from_centre)
    from_centre = np.where(np.abs(from_centre - nearest) < _SAME_PLACE, nearest, from_centre)
    before = np.floor(from_centre).astype(np.int64)
    return before, from_centre - before


def _within_radius(
    radius: float,
    position: tuple[np.ndarray, np.ndarray],
    own: tuple[np.ndarray, np.ndarray],
    linear: np.ndarray,
    half_sizes: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels in a box around each point, weight 1 where the centre is within the radius.

    The pixel of the point itself, ``own``, counts at any radius.
    """
    a, b = position
    across, down = (np.arange(-most.max(), most.max() + 1) for most in half_sizes)
    down, across = (axis.ravel() for axis in np.meshgrid(down, across, indexing="ij"))
    col, row = own[0][:, None] + across, own[1][:, None] + down
    shift = np.stack([col + 0.5 - a[:, None], row + 0.5 - b[:, None]], axis=-1)
    east, north = np.moveaxis(np.einsum("nij,npj->npi", linear, shift), -1, 0)
    near = east**2 + north**2 <= (radius * (1 + _SAME_RADIUS)) ** 2
    return col, row, (near | ((across == 0) & (down == 0))).astype(np.float64)


def _half_sizes(
    radius: float, grids: list[PixelGrid], file: np.ndarray, lat: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows by which a pixel within the radius may be away from each point's."""
    inverse = np.linalg.inv(_metres_of_steps(grids, file, lat))
    cols = np.minimum(radius * np.hypot(*inverse[:, 0].T), _half_turn(grids)[file])
    rows = radius * np.hypot(*inverse[:, 1].T)
    return np.ceil(cols).astype(np.int64), np.ceil(rows).astype(np.int64)


def _half_turn(grids: list[PixelGrid]) -> np.ndarray:
    """Columns of half a turn around the globe: there are no more to either side of a point."""
    return np.array(
        [
            np.inf if metres_per_unit(grid.crs) else 180.0 / np.hypot(*grid.transform[0:4:3])
            for grid in grids
        ]
    )


def _metres_of_steps(grids: list[PixelGrid], file: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Metres to the east and north of one step along columns and rows, shape (n, 2, 2).

    In a geographic CRS a degree of longitude is shortened by the cosine of the latitude.
    """
    steps = np.array([[grid.transform[:2], grid.transform[3:5]] for grid in grids])[file]
    unit = np.array([metres_per_unit(grid.crs) or np.nan for grid in grids])[file]
    degree = np.radians(1.0) * EARTH_RADIUS_KM * 1e3
    shortened = np.maximum(np.cos(np.radians(lat)), 1e-6)  # 0 at a pole, where no column ends
    east = np.where(np.isnan(unit), degree * shortened, unit)
    north = np.where(np.isnan(unit), degree, unit)
    metres: np.ndarray = steps * np.stack([east, north], axis=1)[:, :, None]
    return metres


def _own_throughout(
    source: Source,
    files: list[Any],
    grids: list[PixelGrid],
    file: np.ndarray,
    pixels: tuple[np.ndarray, np.ndarray],
    year: np.ndarray,
) -> np.ndarray:
    """Whether the source gives all of each neighbourhood to the anchor's file.

    What a source gives to a file has no holes: a box whose four corners are the file's is. Boxes
    around neighbourhoods that lie together are looked at first.
    """
    col, row = pixels
    boxes = np.stack([col.min(axis=1), col.max(axis=1), row.min(axis=1), row.max(axis=1)], axis=1)
    cells = np.column_stack([file, year, boxes[:, 0] // _CELL, boxes[:, 2] // _CELL])
    _, first, cell = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    around = boxes[first]
    for side, reach in enumerate((np.minimum, np.maximum, np.minimum, np.maximum)):
        reach.at(around[:, side], cell, boxes[:, side])
    whole = _owns_boxes(source, files, grids, file[first], around, year[first])[cell]
    rest = np.flatnonzero(~whole)
    whole[rest] = _owns_boxes(source, files, grids, file[rest], boxes[rest], year[rest])
    return whole


def _owns_boxes(
    source: Source,
    files: list[Any],
    grids: list[PixelGrid],
    file: np.ndarray,
    boxes: np.ndarray,
    year: np.ndarray,
) -> np.ndarray:
    """Whether all four corners of boxes (first and last column, first and last row) are a file's.

    A corner beyond the raster is not, also where the raster goes round the globe to it.
    """
    paths = np.array([record.path for record in files], dtype=object)
    whole = np.ones(file.size, dtype=bool)
    for side, end in ((0, 2), (0, 3), (1, 2), (1, 3)):
        here = np.flatnonzero(whole)
        if not here.size:
            break
        col, row = boxes[here, side], boxes[here, end]
        other = source.locate(*_centres(grids, file[here], col, row), year[here])
        names = np.array([record.path for record in other.files], dtype=object)
        same = names[other.file] == paths[file[here[other.point]]]
        same &= (other.col == col[other.point]) & (other.row == row[other.point])
        own = np.zeros(here.size, dtype=bool)
        own[other.point[same]] = True
        whole[here[~own]] = False
    return whole


def _cross_edges(
    source: Source,
    files: list[Any],
    grids: list[PixelGrid],
    year: np.ndarray,
    asked: np.ndarray,
    chosen: np.ndarray,
    row: np.ndarray,
    col: np.ndarray,
) -> list[str]:
    """Ask the source which pixel lies at each that is ``asked`` for; write what serves it.

    Returns files that should be there to serve some, and are not.
    """
    own = chosen[asked]
    lon, lat = _centres(grids, own, col[asked], row[asked])
    other = source.locate(lon, lat, np.broadcast_to(year[:, None], asked.shape)[asked])
    known = {record.path: i for i, record in enumerate(files)}
    for record in other.files:
        if record.path not in known:
            known[record.path] = len(files)
            files.append(record)
            grids.append(_grid_of(record, source))
    position = np.array([known[record.path] for record in other.files], dtype=np.int64)[other.file]
    crs = np.array([grid.crs for grid in grids], dtype=object)
    foreign = position != own[other.point]
    usable = np.flatnonzero(
        (crs[position] == crs[own[other.point]])
        & _inside(lon[other.point], lat[other.point], position, grids)
    )
    # The anchor's own file first, then those of its zone in the source's order.
    order = usable[np.lexsort((usable, foreign[usable], other.point[usable]))]
    pixel, first = np.unique(other.point[order], return_index=True)
    best = order[first]
    for target, values in ((chosen, position), (row, other.row), (col, other.col)):
        found = np.full(own.size, -1)
        found[pixel] = values[best]
        target[asked] = found
    return other.absent


def _inside(
    lon: np.ndarray, lat: np.ndarray, file: np.ndarray, grids: list[PixelGrid]
) -> np.ndarray:
    """Whether a raster holds each place by itself, not by the tolerance of its source."""
    col, row = pixel_positions(lon, lat, file, grids)
    size = np.array([(grid.width, grid.height) for grid in grids]).reshape(-1, 2)[file]
    least, most = -_SAME_PLACE, size + _SAME_PLACE
    inside: np.ndarray = (col >= least) & (col <= most[:, 0]) & (row >= least) & (row <= most[:, 1])
    return inside


def _centres(
    grids: list[PixelGrid], file: np.ndarray, col: np.ndarray, row: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Longitude in [-180, 180) and latitude of pixel centres; NaN where there are none."""
    lon, lat = np.full(file.size, np.nan), np.full(file.size, np.nan)
    for crs in sorted({grid.crs for grid in grids}):
        of_crs = np.array([grid.crs == crs for grid in grids])
        here = np.flatnonzero(of_crs[file])
        if not here.size:
            continue
        a, b, c, d, e, f = np.array([grid.transform for grid in grids])[file[here]].T
        x, y = col[here] + 0.5, row[here] + 0.5
        lon[here], lat[here] = to_degrees(a * x + b * y + c, d * x + e * y + f, crs)
    lost = ~(np.isfinite(lon) & (np.abs(lat) <= 90))
    lon = np.where(lost, np.nan, (lon + 180) % 360 - 180)
    return lon, np.where(lost, np.nan, lat)
