"""What the axes of an array mean: which is which, where pixels lie, which years it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geofeat.rasters._projection import PixelGrid

_X = ("x", "lon", "longitude", "easting")
_Y = ("y", "lat", "latitude", "northing")
_TIME = ("time", "year")
_DEGREES = {"lon", "longitude", "lat", "latitude"}


def named_axes(dims: Sequence[Any], what: str) -> dict[str, Any]:
    """Name of the dimension for each of x, y, time and band; None for those that are absent."""
    lowered = {str(dim).lower(): dim for dim in dims}
    axes = {
        axis: next((lowered[name] for name in names if name in lowered), None)
        for axis, names in (("x", _X), ("y", _Y), ("time", _TIME))
    }
    rest = [dim for dim in dims if dim not in axes.values()]
    if axes["x"] is None or axes["y"] is None or len(rest) > 1:
        raise ValueError(
            f"{what} needs dimensions (band, y, x) or (time, band, y, x), got "
            f"{tuple(dims)}: rename them with array.rename(...)."
        )
    return {**axes, "band": rest[0] if rest else None}


def calendar_years(stamps: np.ndarray, dim: Any) -> tuple[int, ...]:
    """Years of the stamps along a time axis: dates or whole numbers, none twice."""
    if stamps.dtype.kind == "M":
        years = stamps.astype("datetime64[Y]").astype(int) + 1970
    elif stamps.dtype.kind in "iu":
        years = stamps
    else:
        raise ValueError(f"the axis {dim} must hold dates or years, got {stamps.dtype}")
    if len(set(years.tolist())) < years.size:
        raise ValueError(f"the axis {dim} holds a year twice; average or select first: {years}")
    return tuple(int(year) for year in years.tolist())


def grid_of_axes(
    crs: str,
    centres: tuple[np.ndarray | None, np.ndarray | None],
    dims: tuple[Any, Any],
    shape: tuple[int, int],
    transform: tuple[float, ...] | None,
) -> PixelGrid:
    """Grid of pixels whose centres are coordinates, or that a geotransform describes.

    Parameters
    ----------
    crs : str
        Coordinate reference system.
    centres : pair of float64 arrays or None
        Coordinates along x and along y.
    dims : pair
        Their names.
    shape : (int, int)
        Height and width.
    transform : six numbers, default=None
        a, b, c, d, e, f of x = a col + b row + c, y = d col + e row + f. Counts where an axis has
        no coordinates, and for the size of a pixel where an axis has one only.
    """
    height, width = shape
    if transform is not None and centres[0] is None and centres[1] is None:
        a, b, c, d, e, f = transform
        return PixelGrid(crs, (a, b, c, d, e, f), width, height)
    if transform is not None and (transform[1] or transform[3]):
        transform = None  # a rotated grid has no coordinates along its axes
    along: list[tuple[float | None, float | None]] = [(None, None), (None, None)]
    if transform is not None:
        along = [(transform[0], transform[2]), (transform[4], transform[5])]
    (dx, x0), (dy, y0) = (
        _even_axis(values, dim, size, *known)
        for values, dim, size, known in zip(centres, dims, (width, height), along, strict=True)
    )
    return PixelGrid(crs, (dx, 0.0, x0, 0.0, dy, y0), width, height)


def _even_axis(
    centres: np.ndarray | None, dim: Any, size: int, step: float | None, edge: float | None
) -> tuple[float, float]:
    """Step and first edge of the pixels along an axis; ``step`` and ``edge`` as otherwise known."""
    if centres is None:
        if step is None or edge is None:
            raise ValueError(f"the axis {dim} of the array has no coordinates")
        return step, edge
    centres = np.asarray(centres, dtype=np.float64)
    if size < 2:
        if step is None:
            raise ValueError(f"the axis {dim} has {size} pixel(s), its spacing is unknown")
        return step, float(centres[0]) - step / 2
    spacing = float(centres[-1] - centres[0]) / (size - 1)
    even = centres[0] + spacing * np.arange(size)
    if spacing == 0 or not np.abs(centres - even).max() <= 0.01 * abs(spacing):
        raise ValueError(
            f"the centres along {dim} are not evenly spaced; interpolate the array to a grid first"
        )
    return spacing, float(centres[0]) - spacing / 2


def geotransform(attributes: Sequence[Mapping[str, Any]]) -> tuple[float, ...] | None:
    """Six numbers that ``spatial:transform`` or GDAL's GeoTransform tells, of the first that do."""
    for attrs in attributes:
        if "spatial:transform" in attrs:
            if attrs.get("spatial:registration", "pixel") != "pixel":
                raise ValueError(
                    f"spatial:registration is {attrs['spatial:registration']!r}, only 'pixel' is "
                    "supported"
                )
            return _of_grid(attrs["spatial:transform"], "abcdef")
        if "GeoTransform" in attrs:
            return _of_grid(str(attrs["GeoTransform"]).split(), "cabfde")
    return None


def _of_grid(numbers: Sequence[Any], order: str) -> tuple[float, ...]:
    """Numbers a to f of x = a col + b row + c, y = d col + e row + f, which come in ``order``."""
    if len(numbers) == 6:
        by_name = {name: float(number) for name, number in zip(order, numbers, strict=True)}
        found = tuple(by_name[name] for name in "abcdef")
        a, b, _, d, e, _ = found
        if np.isfinite(found).all() and a * e != b * d:
            return found
    raise ValueError(f"a geotransform has six numbers of a grid, got {numbers}")


def crs_wkt(
    given: Any, attributes: Sequence[Mapping[str, Any]], axes: Mapping[str, Any], what: str
) -> str:
    """Coordinate reference system as WKT: the one given, else the first that attributes tell."""
    from pyproj import CRS

    names = ("proj:code", "proj:wkt2", "proj:projjson", "crs_wkt", "spatial_ref", "crs")
    told = (attrs[name] for attrs in attributes for name in names if attrs.get(name))
    found = next(told, None) if given is None else given
    if found is None and {str(axes["x"]).lower(), str(axes["y"]).lower()} <= _DEGREES:
        found = "EPSG:4326"
    if found is None:
        raise ValueError(
            f"the array tells no coordinate reference system: pass {what}(array, "
            "crs='EPSG:...') or set array.attrs['crs']."
        )
    return str(CRS.from_user_input(found).to_wkt())
