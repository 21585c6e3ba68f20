"""Longitude and latitude -> the pixel of a grid that contains the point."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np


class PixelGrid(NamedTuple):
    """Where the pixels of a raster lie.

    ``transform`` holds the six numbers a, b, c, d, e, f of x = a col + b row + c,
    y = d col + e row + f, in units of ``crs`` (an authority code or WKT).
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]
    width: int
    height: int


@lru_cache(maxsize=256)
def _transformer(crs: str) -> Any:
    from pyproj import Transformer

    return Transformer.from_crs("EPSG:4326", crs, always_xy=True)


@lru_cache(maxsize=256)
def is_geographic(crs: str) -> bool:
    from pyproj import CRS

    return bool(CRS.from_user_input(crs).is_geographic)


@lru_cache(maxsize=256)
def metres_per_unit(crs: str) -> float | None:
    """Metres of one unit of a projected CRS; None for one that counts degrees."""
    from pyproj import CRS

    if is_geographic(crs):
        return None
    return float(CRS.from_user_input(crs).axis_info[0].unit_conversion_factor)


def to_degrees(x: np.ndarray, y: np.ndarray, crs: str) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude of places in ``crs``; infinite where there are none."""
    lon, lat = _transformer(crs).transform(x, y, direction="INVERSE")
    return np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)


def project(lon: np.ndarray, lat: np.ndarray, crs: str) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in ``crs``, x to the east first; infinite where it is not defined."""
    x, y = _transformer(crs).transform(lon, lat)
    return np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)


def pixel_positions(
    lon: np.ndarray, lat: np.ndarray, which: np.ndarray, grids: list[PixelGrid]
) -> tuple[np.ndarray, np.ndarray]:
    """Fractional column and row of points, each in its own grid ``grids[which]``.

    Points of equal CRS are projected in one call. Positions that do not exist are infinite.
    """
    col, row = np.full(lon.shape, np.inf), np.full(lon.shape, np.inf)
    for crs in sorted({grid.crs for grid in grids}):
        of_crs = np.array([grid.crs == crs for grid in grids], dtype=bool)
        members = np.flatnonzero(of_crs[which])
        if not members.size:
            continue
        x, y = project(lon[members], lat[members], crs)
        inverse = np.zeros((len(grids), 6))
        edges = np.zeros((len(grids), 2))
        for i in np.flatnonzero(of_crs):
            inverse[i] = inverse_transform(grids[i].transform)
            edges[i] = x_range(grids[i])
        if is_geographic(crs):
            x = _same_turn(x, edges[which[members]])
        a, b, c, d, e, f = inverse[which[members]].T
        with np.errstate(invalid="ignore"):
            col[members], row[members] = a * x + b * y + c, d * x + e * y + f
    return col, row


def inverse_transform(transform: tuple[float, ...]) -> tuple[float, ...]:
    """Six numbers of the inverse affine transform: col = a x + b y + c, row = d x + e y + f."""
    from affine import Affine

    return tuple((~Affine(*transform))[:6])


def x_range(grid: PixelGrid) -> tuple[float, float]:
    a, b, c = grid.transform[:3]
    corners = [c, c + a * grid.width, c + b * grid.height, c + a * grid.width + b * grid.height]
    return min(corners), max(corners)


def _same_turn(x: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Longitude moved by whole turns to the middle of a grid that counts, say, 0 to 360.

    What lies within the grid stays: one that is padded to more than a turn begins where it begins.
    """
    west, east = edges.T
    turns = np.ceil(((west + east) / 2 - x) / 360.0 - 0.5)
    return np.where((turns == 0) | ((west <= x) & (x < east)), x, x + 360.0 * turns)


def containing_pixels(
    col: np.ndarray, row: np.ndarray, width: np.ndarray, height: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Column, row (int64) and whether the grid contains the fractional position.

    A pixel owns its first edges, not its last ones; positions beyond the grid by up to
    ``tolerance`` pixels count as the outermost pixel.
    """
    inside = (col >= -tolerance) & (row >= -tolerance)
    if tolerance:
        inside &= (col <= width + tolerance) & (row <= height + tolerance)
    else:
        inside &= (col < width) & (row < height)
    pixel = []
    for position, size in ((col, width), (row, height)):
        whole = np.floor(np.where(inside, position, 0.0)).astype(np.int64)
        pixel.append(np.clip(whole, 0, np.maximum(size - 1, 0)))
    return pixel[0], pixel[1], inside
