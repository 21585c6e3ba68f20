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
_VALUE_BYTES = 2**28


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
    (n,), which of the p pixels holds the point.
    """

    file: np.ndarray
    row: np.ndarray
    col: np.ndarray
    weight: np.ndarray
    anchor: np.ndarray
    files: list[Any]

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
    n_pixels = _pixels_of_one(source, found, which, places[1], around)
    at_once = _PIXELS_AT_ONCE
    if around.collects:
        at_once = min(at_once, _VALUE_BYTES // (4 * bands.size))
    with source.reader(found, bands) as reader:
        order = np.argsort(reader.block[which], kind="stable")
    step = max(1, at_once // n_pixels)
    for first in range(0, which.size, step):
        part = order[first : first + step]
        yield part, pixels_around(source, found, which[part], places, around)


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
    anchor = np.argmax((col == found.col[which, None]) & (row == found.row[which, None]), axis=1)
    chosen = np.repeat(file[:, None], col.shape[1], axis=1)
    if getattr(source, "uses_overhang", True):
        size = np.array([(grid.height, grid.width) for grid in grids])[file]
        asked = (row < 0) | (row >= size[:, :1]) | (col < 0) | (col >= size[:, 1:])
    else:
        whole = _own_throughout(source, files, grids, file, (col, row), year)
        asked = np.broadcast_to(~whole[:, None], col.shape)
    if asked.any():
        _cross_edges(source, files, grids, year, asked, chosen, row, col)
    return AroundPoints(chosen, row, col, weight, anchor, files)


def _pixels_of_one(
    source: Source,
    found: Candidates,
    which: np.ndarray,
    lat: np.ndarray,
    around: Neighbourhood,
) -> int:
    """How many pixels are taken around a point, at most."""
    count = 4
    if around.window is not None:
        count = around.window**2
    elif around.radius is not None:
        grids = [_grid_of(record, source) for record in found.files]
        file = found.file[which]
        linear = _metres_of_steps(grids, file, lat[found.point[which]])
        half_col, half_row = _half_sizes(around.radius, linear)
        count = (2 * half_col + 1) * (2 * half_row + 1)
    if count > _PIXELS_AT_ONCE:
        raise LimitError(
            f"{count} pixels around a point are asked for, the bound is {_PIXELS_AT_ONCE}: choose "
            "a smaller window= or radius=, or sample polygons with zonal="
        )
    return count


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
        left, top = np.floor(a - 0.5).astype(np.int64), np.floor(b - 0.5).astype(np.int64)
        right, low = a - 0.5 - left, b - 0.5 - top
        col = left[:, None] + np.array([0, 1, 0, 1])
        row = top[:, None] + np.array([0, 0, 1, 1])
        weight = np.stack(
            [(1 - right) * (1 - low), right * (1 - low), (1 - right) * low, right * low], axis=1
        )
        return col, row, weight
    return _within_radius(float(around.radius or 0), (a, b), _metres_of_steps(grids, file, lat))


def _within_radius(
    radius: float, position: tuple[np.ndarray, np.ndarray], linear: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels in a box around each point, weight 1 where the centre is within the radius.

    The pixel of the point itself counts at any radius.
    """
    a, b = position
    half_col, half_row = _half_sizes(radius, linear)
    across, down = np.arange(-half_col, half_col + 1), np.arange(-half_row, half_row + 1)
    down, across = (axis.ravel() for axis in np.meshgrid(down, across, indexing="ij"))
    own_col, own_row = np.floor(a).astype(np.int64), np.floor(b).astype(np.int64)
    col, row = own_col[:, None] + across, own_row[:, None] + down
    shift = np.stack([col + 0.5 - a[:, None], row + 0.5 - b[:, None]], axis=-1)
    east, north = np.moveaxis(np.einsum("nij,npj->npi", linear, shift), -1, 0)
    inside = (east**2 + north**2 <= radius**2) | ((across == 0) & (down == 0))
    return col, row, inside.astype(np.float64)


def _half_sizes(radius: float, linear: np.ndarray) -> tuple[int, int]:
    """Columns and rows by which a pixel within the radius is away from any of the points."""
    inverse = np.linalg.inv(linear)
    across, down = (np.hypot(*inverse[:, i].T).max(initial=0.0) for i in (0, 1))
    return int(np.ceil(radius * across)), int(np.ceil(radius * down))


def _metres_of_steps(grids: list[PixelGrid], file: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Metres to the east and north of one step along columns and rows, shape (n, 2, 2).

    In a geographic CRS a degree of longitude is shortened by the cosine of the latitude.
    """
    steps = np.array([[grid.transform[:2], grid.transform[3:5]] for grid in grids])[file]
    unit = np.array([metres_per_unit(grid.crs) or np.nan for grid in grids])[file]
    degree = np.radians(1.0) * EARTH_RADIUS_KM * 1e3
    east = np.where(np.isnan(unit), degree * np.cos(np.radians(lat)), unit)
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
    """Whether the source gives all four corners of each neighbourhood to the anchor's file."""
    col, row = pixels
    corners = [(edge(col, axis=1), end(row, axis=1)) for edge in _ENDS for end in _ENDS]
    whole = np.ones(file.size, dtype=bool)
    for corner_col, corner_row in corners:
        here = np.flatnonzero(whole)
        if not here.size:
            break
        place = _centres(grids, file[here], corner_col[here], corner_row[here])
        other = source.locate(*place, year[here])
        same = (
            np.array([record.path for record in other.files], dtype=object)[other.file]
            == (np.array([record.path for record in files], dtype=object)[file[here[other.point]]])
        )
        # A raster around the globe holds the corner too, at its other end.
        same &= other.col == corner_col[here[other.point]]
        same &= other.row == corner_row[here[other.point]]
        own = np.zeros(here.size, dtype=bool)
        own[other.point[same]] = True
        whole[here[~own]] = False
    return whole


_ENDS = (np.min, np.max)


def _cross_edges(
    source: Source,
    files: list[Any],
    grids: list[PixelGrid],
    year: np.ndarray,
    asked: np.ndarray,
    chosen: np.ndarray,
    row: np.ndarray,
    col: np.ndarray,
) -> None:
    """Ask the source which pixel lies at each that is ``asked`` for; write what serves it."""
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
    usable = np.flatnonzero(crs[position] == crs[own[other.point]])
    # The anchor's own file first, then those of its zone in the source's order.
    order = usable[np.lexsort((usable, foreign[usable], other.point[usable]))]
    pixel, first = np.unique(other.point[order], return_index=True)
    best = order[first]
    for target, values in ((chosen, position), (row, other.row), (col, other.col)):
        found = np.full(own.size, -1)
        found[pixel] = values[best]
        target[asked] = found


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
