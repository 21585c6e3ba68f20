"""Maps in xarray, as `embed_grid` makes them: their edges and vectors, thinned for a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from geofeat.plotting._views import MapView, map_view

# Pixels of a map that are drawn.
_SHOWN_PIXELS = 1_000_000
_Y_NAMES = ("y", "lat", "latitude")
_X_NAMES = ("x", "lon", "longitude")


def map_vectors(
    array: Any, bounds: Sequence[float] | None, owner: str
) -> tuple[MapView, np.ndarray, list[str] | None]:
    """View of a map, its vectors (band, y, x) from the north-west, and the names of its bands."""
    if hasattr(array, "data_vars"):
        raise TypeError(f"{owner} got an xarray.Dataset: pass one of its variables.")
    band, y, x = _dimensions(array, owner)
    lon, lat = (np.asarray(array[name].values, dtype=np.float64) for name in (x, y))
    x_size, y_size = (_spacing(axis, name) for axis, name in ((lon, x), (lat, y)))
    if not (np.abs(lat).max() + y_size / 2 <= 90.001 and np.ptp(lon) + x_size <= 360.001):
        raise ValueError(
            f"{owner} draws maps in degrees, got {x} from {lon.min():g} to {lon.max():g} and {y} "
            f"from {lat.min():g} to {lat.max():g}: reproject to EPSG:4326 first"
        )
    columns, rows = np.arange(lon.size), np.arange(lat.size)
    if bounds is not None:
        window = map_view(bounds, None)
        lon = window.west + (lon - window.west) % 360.0
        columns = columns[lon <= window.east]
        rows = rows[(lat >= window.south) & (lat <= window.north)]
        if not (columns.size and rows.size):
            raise ValueError(f"{owner}: the map has no pixel within bounds {tuple(bounds)}")
    columns, rows = columns[np.argsort(lon[columns])], rows[np.argsort(-lat[rows])]
    west, east = lon[columns[0]] - x_size / 2, lon[columns[-1]] + x_size / 2
    south, north = lat[rows[-1]] - y_size / 2, lat[rows[0]] + y_size / 2
    step = max(1, math.ceil(math.sqrt(rows.size * columns.size / _SHOWN_PIXELS)))
    # Of every few pixels the middle one; the last few may be fewer: a sliver of the map.
    rows, columns = (axis[min(step // 2, axis.size - 1) :: step] for axis in (rows, columns))
    shown = array.transpose(band, y, x).isel({y: rows, x: columns})
    names = [str(name) for name in array[band].values] if band in array.coords else None
    edges = (float(west), max(float(south), -90.0), float(east), min(float(north), 90.0))
    return MapView(*edges, columns.size, rows.size), np.asarray(shown.values), names


def _dimensions(array: Any, owner: str) -> tuple[str, str, str]:
    dims = [str(name) for name in array.dims]
    y = next((name for name in dims if name.lower() in _Y_NAMES), None)
    x = next((name for name in dims if name.lower() in _X_NAMES), None)
    others = [name for name in dims if name not in (y, x)]
    if len(dims) != 3 or y is None or x is None or not {y, x} <= set(array.coords):
        raise ValueError(
            f"{owner} draws maps of dimensions (band, y, x) with coordinates y and x, as from "
            f"embed_grid; got dimensions ({', '.join(dims)})"
        )
    return others[0], y, x


def _spacing(centres: np.ndarray, name: str) -> float:
    """Distance of pixel centres."""
    gaps = np.diff(centres)
    if gaps.size == 0 or not np.allclose(gaps, gaps.mean(), rtol=1e-3, atol=0):
        raise ValueError(f"the coordinate {name} of a map needs two or more equally spaced values")
    return abs(float(gaps.mean()))
