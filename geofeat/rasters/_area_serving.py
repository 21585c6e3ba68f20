"""Which files serve every place of an area alike, so that its pixels need no search each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from geofeat.rasters._catalogue import Layer, SearchRules, own_zones, utm_zone
from geofeat.rasters._header import RasterHeader
from geofeat.rasters._projection import PixelGrid, pixel_positions


class ServingFile(NamedTuple):
    """What a source's reader needs to know of a file, and the file's grid."""

    file: Any
    grid: PixelGrid


def files_serving(
    lon: np.ndarray,
    lat: np.ndarray,
    year: int,
    layer_of: Callable[[int], Layer | None],
    header_of: Callable[[str], RasterHeader],
    covered_at_all: Callable[[np.ndarray, np.ndarray], np.ndarray],
    rules: SearchRules,
) -> list[ServingFile] | None:
    """Files, best first, that serve all places inside a closed line of one year.

    The answer is that of `search_layers` for each of the places. None where it is not the same
    everywhere, or not known without asking for each.

    Parameters
    ----------
    lon, lat : float64 arrays of shape (n,)
        Corners of the line in degrees.
    year : int
        Year of the layer.
    layer_of, header_of, covered_at_all : callable
        As in `search_layers`; the last one is not asked.
    rules : SearchRules
        How to choose.
    """
    layer = layer_of(year)
    if layer is None or not np.isfinite(lon + lat).all() or np.ptp(lon) > 180.0:
        return None
    whole = _covering(layer, lon, lat)
    if whole is None:
        return None
    try:
        headers = [header_of(layer.paths[i]) for i in whole]
    except FileNotFoundError:
        return None
    grids = [header.grid for header in headers]
    inside = [holds_line(grid, lon, lat) for grid in grids]
    if None in inside:
        return None
    kept = [i for i, holds in enumerate(inside) if holds]
    if not kept or (rules.interior and len(kept) > 1):
        return None
    if rules.own_zone_first and len(kept) > 1:
        zones = set(own_zones(lon, lat).tolist())
        if len(zones) > 1:
            return None
        owned = [layer.zones[whole[i]] or utm_zone(headers[i].epsg) for i in kept]
        kept = [i for _, i in sorted(zip([zone not in zones for zone in owned], kept, strict=True))]
    return [ServingFile(headers[i], grids[i]) for i in kept]


def _covering(layer: Layer, lon: np.ndarray, lat: np.ndarray) -> np.ndarray | None:
    """Files whose footprints cover all that a line surrounds; None if others cover a part."""
    import shapely

    area = shapely.Polygon(np.column_stack([lon, lat]))
    _, file, region = layer.footprints.meeting(np.array([area], dtype=object))
    covers = shapely.covers(region, area)
    if (shapely.intersects(region, area) & ~covers).any() or not covers.any():
        return None
    return np.unique(file[covers])


def holds_line(grid: PixelGrid, lon: np.ndarray, lat: np.ndarray) -> bool | None:
    """Whether a raster holds all of a line, or (False) nothing of what it surrounds; else None."""
    col, row = pixel_positions(lon, lat, np.zeros(lon.size, dtype=np.int64), [grid])
    inside = (col >= 0) & (col < grid.width) & (row >= 0) & (row < grid.height)
    if inside.all():
        return True
    beyond = (
        (col < 0).all()
        or (row < 0).all()
        or (col >= grid.width).all()
        or (row >= grid.height).all()
    )
    return False if beyond else None
