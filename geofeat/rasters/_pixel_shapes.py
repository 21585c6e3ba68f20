"""Shapes in degrees -> shapes in the columns and rows of a raster."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from geofeat.rasters._polygons import SEGMENT_DEGREES, repaired
from geofeat.rasters._projection import (
    PixelGrid,
    inverse_transform,
    is_geographic,
    project,
    x_range,
)

# Straight edges of one raster seen from another CRS are cut into pieces of so many pixels.
_SEGMENT_PIXELS = 32.0


def pixel_boxes(grids: list[PixelGrid]) -> np.ndarray:
    """Outlines of rasters in their own pixels, object array of shape (n_grids,)."""
    import shapely

    width = np.array([grid.width for grid in grids], dtype=np.float64)
    height = np.array([grid.height for grid in grids], dtype=np.float64)
    boxes: np.ndarray = shapely.box(0.0, 0.0, width, height)
    return boxes


def pixel_shapes(
    shapes: np.ndarray, which: np.ndarray, grids: list[PixelGrid]
) -> tuple[np.ndarray, np.ndarray]:
    """Shapes in degrees as seen by ``grids[which]``.

    A raster in longitude and latitude may count them in another turn, or cross the meridian at
    which longitudes jump: its shapes come once for each turn in which they can meet the raster.

    Returns
    -------
    seen : object array of shape (m,)
        Shapes in columns and rows; valid, none of them cut.
    index : int64 array of shape (m,)
        Which of ``shapes`` each was, ascending.
    """
    import shapely

    seen, index = [], []
    for crs in sorted({grid.crs for grid in grids}):
        of_crs = np.array([grid.crs == crs for grid in grids], dtype=bool)
        members = np.flatnonzero(of_crs[which])
        if not members.size:
            continue
        projected = _projected(shapes[members], crs)
        file = which[members]
        if is_geographic(crs):
            projected, copied = _in_turns(projected, file, grids)
            members, file = members[copied], file[copied]
        inverse = np.zeros((len(grids), 6))
        for i in np.flatnonzero(of_crs):
            inverse[i] = inverse_transform(grids[i].transform)
        seen.append(_affine(projected, inverse[file]))
        index.append(members)
    if not seen:
        return np.empty(0, dtype=object), np.empty(0, dtype=np.int64)
    pixels, places = np.concatenate(seen), np.concatenate(index)
    broken = np.flatnonzero(~shapely.is_valid(pixels))
    for i in broken:
        pixels[i] = repaired(pixels[i])
    order = np.argsort(places, kind="stable")
    return pixels[order], places[order]


def shape_in_grid(shape: Any, of: PixelGrid, to: PixelGrid) -> Any:
    """Shape in the pixels of one grid, in the pixels of another."""
    import shapely

    seen = np.array([shape], dtype=object)
    if of.crs != to.crs:
        seen = shapely.segmentize(seen, _SEGMENT_PIXELS)
    seen = _affine(seen, np.array([of.transform[:6]]))
    if of.crs != to.crs:
        seen = shapely.transform(seen, _between(of.crs, to.crs).transform, interleaved=False)
    if is_geographic(to.crs):
        seen, _ = _in_turns(seen, np.zeros(1, dtype=np.int64), [to])
    seen = _affine(seen, np.array([inverse_transform(to.transform)]))
    whole = shapely.union_all(seen) if seen.size != 1 else seen[0]
    return whole if whole.is_valid else repaired(whole)


@lru_cache(maxsize=256)
def _between(crs: str, other: str) -> Any:
    from pyproj import Transformer

    return Transformer.from_crs(crs, other, always_xy=True)


def _projected(shapes: np.ndarray, crs: str) -> np.ndarray:
    """Shapes in degrees as coordinates of a CRS, edges cut so that they bend with it."""
    import shapely
    from pyproj import CRS

    if CRS.from_user_input(crs).to_epsg() == 4326:
        return shapes
    fine = shapely.segmentize(shapes, SEGMENT_DEGREES)
    lon, lat = shapely.get_coordinates(fine).T
    x, y = project(lon, lat, crs)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        name = CRS.from_user_input(crs).name
        raise ValueError(
            f"polygons reach beyond the domain of {name}, the CRS of a raster that may hold them: "
            "cut them to it first, as with geopandas.clip"
        )
    moved: np.ndarray = shapely.set_coordinates(fine, np.column_stack([x, y]))
    return moved


def _in_turns(
    shapes: np.ndarray, file: np.ndarray, grids: list[PixelGrid]
) -> tuple[np.ndarray, np.ndarray]:
    """Shapes moved by whole turns of longitude to wherever their raster is, and which each was."""
    import shapely

    west, _, east, _ = shapely.bounds(shapes).T
    low, high = np.array([x_range(grid) for grid in grids]).T
    moved, index = [], []
    for turn in (-360.0, 0.0, 360.0):
        meets = np.flatnonzero((west + turn < high[file]) & (east + turn > low[file]))
        moved.append(shapely.transform(shapes[meets], lambda c, x=turn: c + np.array([x, 0.0])))
        index.append(meets)
    return np.concatenate(moved), np.concatenate(index)


def _affine(shapes: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Apply to each shape the six numbers of its own row."""
    import shapely

    (x, y), index = shapely.get_coordinates(shapes).T, _owners(shapes)
    a, b, c, d, e, f = np.broadcast_to(transforms, (shapes.size, 6))[index].T
    moved = np.column_stack([a * x + b * y + c, d * x + e * y + f])
    result: np.ndarray = shapely.set_coordinates(shapes.copy(), moved)
    return result


def _owners(shapes: np.ndarray) -> np.ndarray:
    import shapely

    return np.repeat(np.arange(shapes.size), shapely.get_num_coordinates(shapes))
