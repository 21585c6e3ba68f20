"""Any X -> longitude and latitude in degrees: arrays, tensors, data frames, geometries.

The rules are those of the conventions page: (lon, lat) first, EPSG:4326, further columns ignored,
a missing coordinate is NaN, an impossible latitude is NaN with one warning, infinity is an error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from geofeat._columns import column_values, describe_rows, frame_columns, frame_names
from geofeat._lazy import refuse_lazy
from geofeat._sklearn import get_namespace_and_device, move_to, supported_float_dtypes
from geofeat._warnings import warn_caller
from geofeat.exceptions import CoordinateWarning

# Mean radius (2a + b) / 3 of the WGS 84 ellipsoid.
EARTH_RADIUS_KM = 6371.0088

_LON_NAMES = {"lon", "long", "lng", "longitude", "x"}
_LAT_NAMES = {"lat", "latitude", "y"}
_AXES = ("longitude", "latitude")
Warn = Callable[[str, type[Warning]], None]


def read_lonlat(X: Any, owner: str, warn: Warn = warn_caller) -> tuple[Any, Any, Any]:
    """Longitude in [-180, 180) and latitude, two contiguous 1-D arrays, and their namespace.

    ``X`` must have passed `check_layout` and `require_lonlat`, or be a geometry. ``owner`` is the
    name of the transformer for messages, ``warn`` what is done with a message and its category.
    """
    if is_geometry(X):
        lon, lat = _from_geometry(X, owner, warn)
        xp: Any = np
        source = f"geometries in {X.crs.to_string()}" if X.crs.to_epsg() != 4326 else "X"
    else:
        is_frame = frame_names(X) is not None
        columns = frame_columns(X, 2) if is_frame else [X[:, 0], X[:, 1]]
        xp, _, device = get_namespace_and_device(X)
        if is_frame or is_numpy(xp):
            xp = np
            lon, lat = (
                column_values(column, f"the {axis} column of {owner}'s X")
                for column, axis in zip(columns, _AXES, strict=True)
            )
            dtype = np.result_type(lon, lat)
            lon, lat = (np.ascontiguousarray(axis, dtype=dtype) for axis in (lon, lat))
        else:
            lon, lat = (tensor_values(column, xp, device, owner) for column in columns)
        source = "X"
    return (*_to_valid_degrees(lon, lat, xp, owner, source, warn), xp)


def read_places(X: Any, owner: str) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude in float64 of points of any kind, NaN where they are missing."""
    X = check_layout(X, owner)
    if not is_geometry(X):
        require_lonlat(X, owner)
    lon, lat, xp = read_lonlat(X, owner)
    if xp is not np:
        lon, lat = move_to(lon, lat, xp=np, device=None)
    return lon.astype(np.float64), lat.astype(np.float64)


def check_layout(X: Any, owner: str) -> Any:
    """Return X as a table of places, or raise an error that says what to do.

    Lists and other sequences become arrays, an xarray.DataArray its values; frames, geometries and
    tensors pass as they are.
    """
    if is_geometry(X):
        _require_rows(len(X), (len(X), 2))
        return X
    names = frame_names(X)
    X = as_table(X, owner, "a point, longitude and latitude as columns", "point")
    if names is not None:
        _refuse_swapped_names(names, owner)
    return X


def as_table(X: Any, owner: str, row: str, one: str) -> Any:
    """Return X as a table, or raise an error that says what to do.

    Parameters
    ----------
    X : array-like, tensor or data frame
        Lists and other sequences become arrays, an xarray.DataArray its values; frames and
        tensors pass as they are.
    owner : str
        Name of the transformer for messages.
    row, one : str
        What a row is, for messages: in full, and in a word.
    """
    refuse_lazy(X, owner)
    if sparse.issparse(X):
        raise TypeError(
            f"{owner} needs dense data, got a sparse {type(X).__name__}: pass X.toarray()."
        )
    names = frame_names(X)
    if names is None:
        X = _as_array(X, owner)
    else:
        _refuse_duplicated_names(names, owner)
    shape = tuple(X.shape)
    if len(shape) != 2:
        raise ValueError(
            f"Expected 2D array, got {len(shape)}D array of shape {shape} instead: {owner} needs "
            f"one row {row}. Reshape your data, a single {one} with array.reshape(1, -1)."
        )
    _require_rows(shape[0], shape)
    return X


def require_lonlat(X: Any, owner: str) -> None:
    """Raise ValueError when a table that passed `check_layout` has fewer than two columns."""
    shape = tuple(X.shape)
    if shape[1] < 2:
        raise ValueError(
            f"{owner} expects longitude and latitude columns, got X with {shape[1]} feature(s) "
            f"(shape={shape}) while a minimum of 2 is required."
        )


def _require_rows(n_rows: int, shape: tuple[int, ...]) -> None:
    if n_rows == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={shape}) while 1 is required.")


def _as_array(X: Any, owner: str) -> Any:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(X, torch.Tensor):
        if X.requires_grad:
            raise TypeError(f"{owner} cannot follow gradients: pass X.detach().")
        xp, _, _ = get_namespace_and_device(X)
        if not is_numpy(xp):
            return X
        if X.device.type != "cpu":
            raise TypeError(
                f"{owner} got a tensor on {X.device} while array API dispatch is off. Set the "
                "environment variable SCIPY_ARRAY_API=1 before Python starts and use "
                "sklearn.set_config(array_api_dispatch=True); or pass X.cpu()."
            )
        return X.numpy()
    xarray = sys.modules.get("xarray")
    if xarray is not None and isinstance(X, xarray.DataArray):
        return X.values
    if xarray is not None and isinstance(X, xarray.Dataset):
        raise TypeError(
            f"{owner} got an xarray.Dataset, whose variables have no order: pass "
            "dataset[['lon', 'lat']].to_dataframe()."
        )
    xp, is_array_api, _ = get_namespace_and_device(X)
    if is_array_api and not is_numpy(xp):
        return X
    if not isinstance(X, np.ma.MaskedArray):
        X = np.asarray(X)
    if X.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {owner} got {X.dtype}.")
    return X


def is_numpy(xp: Any) -> bool:
    """Whether a namespace is NumPy's own or the one scikit-learn wraps it in."""
    return xp is np or xp.__name__ in {"numpy", "sklearn.externals.array_api_compat.numpy"}


def _refuse_duplicated_names(names: list[Any], owner: str) -> None:
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{owner} got duplicated column names: {', '.join(twice)}.")


def _refuse_swapped_names(names: list[Any], owner: str) -> None:
    lowered = [str(name).strip().lower() for name in names[:2]]
    if len(lowered) == 2 and lowered[0] in _LAT_NAMES and lowered[1] in _LON_NAMES:
        raise ValueError(
            f"The first two columns are named {names[0]!r}, {names[1]!r}: they look swapped. "
            f"{owner} reads longitude first, then latitude: X[[{names[1]!r}, {names[0]!r}]]."
        )


def tensor_values(column: Any, xp: Any, device: Any, owner: str) -> Any:
    """Copy of a tensor's real numbers in its float dtype, integers in the widest."""
    if xp.isdtype(column.dtype, "complex floating"):
        raise ValueError(f"Complex data not supported: {owner} got {column.dtype}.")
    if xp.isdtype(column.dtype, "bool"):
        raise TypeError(f"{owner} got {column.dtype}, which are no real numbers.")
    floats = supported_float_dtypes(xp, device=device)
    dtype = column.dtype if column.dtype in floats else floats[0]
    return xp.astype(column, dtype, copy=True)


def _to_valid_degrees(
    lon: Any, lat: Any, xp: Any, owner: str, source: str, warn: Warn
) -> tuple[Any, Any]:
    """Wrap longitude, turn impossible latitudes into NaN with one warning, refuse infinities."""
    if xp is np and _all_in_range(lon, lat):
        return lon, lat
    for values, axis in zip((lon, lat), _AXES, strict=True):
        infinite = xp.isinf(values)
        if xp.any(infinite):
            raise ValueError(
                f"{source} holds inf as {axis} in {describe_rows(_to_numpy(infinite))}; {owner} "
                "takes NaN for a missing coordinate."
            )
    outside = xp.abs(lat) > 90
    if xp.any(outside):
        _warn_outside(_to_numpy(lon), _to_numpy(lat), _to_numpy(outside), owner, source, warn)
        lat = xp.where(outside, xp.nan, lat)
    inside = (lon >= -180) & (lon < 180)
    if not xp.all(inside):  # NaN is not inside: it stays NaN
        wrapped = xp.remainder(lon, 360.0)
        wrapped = xp.where(wrapped >= 180, wrapped - 360, wrapped)
        lon = xp.where(inside, lon, wrapped)
    missing = xp.isnan(lon) | xp.isnan(lat)
    if xp.any(missing):  # half a coordinate is no place
        lon, lat = xp.where(missing, xp.nan, lon), xp.where(missing, xp.nan, lat)
    return lon, lat


def _all_in_range(lon: np.ndarray, lat: np.ndarray) -> bool:
    """Whether nothing is to be mended; four reductions without temporaries. NaN compares false."""
    return bool(lon.min() >= -180 and lon.max() < 180 and lat.min() >= -90 and lat.max() <= 90)


def _warn_outside(
    lon: np.ndarray, lat: np.ndarray, outside: np.ndarray, owner: str, source: str, warn: Warn
) -> None:
    first = int(np.flatnonzero(outside)[0])
    hint = ""
    if np.nanmax(np.abs(lat)) > 1000 or np.nanmax(np.abs(lon)) > 1000:
        hint = " Are the coordinates projected? Reproject to EPSG:4326, or pass a GeoDataFrame."
    elif np.nanmax(np.abs(lon)) <= 90:
        hint = " Are the columns swapped? The order is longitude, latitude."
    warn(
        f"{owner}: latitude of {source} outside [-90, 90] in {describe_rows(outside)}, the first "
        f"is {lat[first]:g} in row {first}; these rows become NaN.{hint}",
        CoordinateWarning,
    )


def _to_numpy(values: Any) -> np.ndarray:
    return np.asarray(values.cpu() if hasattr(values, "cpu") else values)


def is_geometry(X: Any) -> bool:
    """Whether X is a GeoDataFrame or GeoSeries, without importing geopandas for the question."""
    geopandas = sys.modules.get("geopandas")
    return geopandas is not None and isinstance(X, geopandas.GeoDataFrame | geopandas.GeoSeries)


def _from_geometry(X: Any, owner: str, warn: Warn) -> tuple[np.ndarray, np.ndarray]:
    points = X.geometry
    if points.crs is None:
        raise ValueError(
            f"{owner} got geometries without a coordinate reference system. Say which it is with "
            "X.set_crs(...), for longitude and latitude X.set_crs('EPSG:4326')."
        )
    missing = np.asarray(points.isna() | points.is_empty)
    kinds = points[~missing].geom_type
    if not (kinds == "Point").all():
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.value_counts().items())
        raise ValueError(
            f"{owner} reads points, got {counts}. Take X.centroid or X.representative_point(), in "
            "a projected CRS, or sample polygons with EmbeddingRasterSampler(..., zonal='mean')."
        )
    x, y = points.x.to_numpy(dtype=float), points.y.to_numpy(dtype=float)
    x, y = np.where(missing, np.nan, x), np.where(missing, np.nan, y)
    _refuse_infinite_geometry(x, y, owner)
    if points.crs.to_epsg() == 4326:
        return x, y
    _warn_degrees_in_metres(x, y, points.crs, owner, warn)
    lon, lat, lost = project_to_degrees(x, y, points.crs)
    if lost.any():
        warn(
            f"{owner}: {describe_rows(lost)} lie where {points.crs.to_string()} is not defined; "
            "these rows become NaN.",
            CoordinateWarning,
        )
    return np.where(lost, np.nan, lon), np.where(lost, np.nan, lat)


def project_to_degrees(x: np.ndarray, y: np.ndarray, crs: Any) -> tuple[Any, Any, np.ndarray]:
    """Longitude, latitude and which given points have none.

    Far outside its domain a projection answers with infinities or with finite nonsense, which
    the way back exposes.
    """
    from pyproj import Transformer

    transformer = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    lon, lat = transformer.transform(x, y)
    x_back, y_back = transformer.transform(lon, lat, direction="INVERSE")
    tolerance = 1e-6 * (1.0 + np.hypot(x, y))
    with np.errstate(invalid="ignore"):
        kept = (np.abs(lat) <= 90) & (np.hypot(x_back - x, y_back - y) <= tolerance)
        if crs.is_geographic:  # longitude comes back in another turn
            kept = np.isfinite(lon) & (np.abs(lat) <= 90)
    missing = np.isnan(x) | np.isnan(y)  # some projections answer it with infinities
    return np.where(missing, np.nan, lon), np.where(missing, np.nan, lat), ~kept & ~missing


def _warn_degrees_in_metres(x: np.ndarray, y: np.ndarray, crs: Any, owner: str, warn: Warn) -> None:
    if not crs.is_projected or not x.size or np.isnan(x).all():
        return
    if np.nanmax(np.abs(x)) <= 180 and np.nanmax(np.abs(y)) <= 90:
        warn(
            f"{owner}: all coordinates look like degrees although their CRS {crs.to_string()} "
            "counts metres. set_crs names the CRS the numbers are in, to_crs changes it.",
            CoordinateWarning,
        )


def _refuse_infinite_geometry(x: np.ndarray, y: np.ndarray, owner: str) -> None:
    infinite = np.isinf(x) | np.isinf(y)
    if infinite.any():
        raise ValueError(
            f"{owner} got geometries with inf coordinates in {describe_rows(infinite)}."
        )
