"""The 0.1 degree cells of TESSERA that polygons reach into."""

from __future__ import annotations

import numpy as np

from geofeat.exceptions import LimitError
from geofeat.rasters._areas import Claims

# A box around the largest country holds 700 000 cells.
_MAX_CELLS = 2_000_000
_CELLS_AT_ONCE = 2**16


def cells_of_polygons(
    polygons: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cells that polygons in degrees share ground with.

    Returns
    -------
    polygon, lon_cell, lat_cell : int64 arrays of shape (m,)
        Which polygon, and the cell in tenths of a degree, polygons ascending.
    part : object array of shape (m,)
        What of the polygon lies in the cell.

    Raises
    ------
    LimitError
        The box around one polygon holds more than 2 000 000 cells.
    """
    import shapely

    found = [_no_cells()]
    bounds = shapely.bounds(polygons)
    for i in np.flatnonzero(np.isfinite(bounds).all(axis=1)):
        west, south, east, north = np.floor(bounds[i] * 10).astype(np.int64)
        n_cells = int((east - west + 1) * (north - south + 1))
        if n_cells > _MAX_CELLS:
            raise LimitError(
                f"the box around polygon {i} holds {n_cells} tiles, the bound is {_MAX_CELLS}: "
                "sample its parts one by one"
            )
        for first in range(0, n_cells, _CELLS_AT_ONCE):
            cell = np.arange(first, min(first + _CELLS_AT_ONCE, n_cells))
            lon, lat = west + cell % (east - west + 1), south + cell // (east - west + 1)
            boxes = shapely.box(lon / 10, lat / 10, (lon + 1) / 10, (lat + 1) / 10)
            shapely.prepare(polygons[i])
            near = np.flatnonzero(shapely.intersects(polygons[i], boxes))
            claims = Claims.cut(polygons, np.full(near.size, i), near, boxes[near])
            found.append((claims.polygon, lon[claims.file], lat[claims.file], claims.part))
    polygon, lon_cell, lat_cell, part = (
        np.concatenate(columns) for columns in zip(*found, strict=True)
    )
    return polygon, lon_cell, lat_cell, part


def _no_cells() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    none = np.empty(0, dtype=np.int64)
    return none, none, none, np.empty(0, dtype=object)
