"""embed_grid: the features of every pixel of a map."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geofeat._fitted_columns import without_fitted_columns
from geofeat._memory import refuse_beyond_memory
from geofeat._progress import progress_bar

if TYPE_CHECKING:
    import xarray

# Float64 features that are computed at once.
_BLOCK_BYTES = 2**26
# Share of a pixel by which a box may be longer than its pixels, for the rounding of decimals.
_ROUNDING = 1e-6


class _Grid(NamedTuple):
    """Outer corner, pixel size in degrees and number of pixels of a north-up map."""

    west: float
    north: float
    x_size: float
    y_size: float
    width: int
    height: int

    def lon(self, columns: range) -> np.ndarray:
        """Longitudes of pixel centres."""
        return self.west + (np.asarray(columns) + 0.5) * self.x_size

    def lat(self, rows: range) -> np.ndarray:
        """Latitudes of pixel centres."""
        return self.north - (np.asarray(rows) + 0.5) * self.y_size


def embed_grid(
    embedder: Any,
    bounds: Sequence[float],
    resolution: float | Sequence[float],
    *,
    chunks: int | Sequence[int] | None = None,
    dtype: str = "float32",
    progress: bool | None = None,
) -> xarray.DataArray:
    """Compute the features of all pixels of a map of longitude and latitude.

    Parameters
    ----------
    embedder : transformer
        Any encoder, embedder or sampler of places, or a fitted pipeline that begins with one. Its
        features are computed at the centres of the pixels, in float64; an embedder's own ``dtype``
        makes them faster.
    bounds : (west, south, east, north)
        Outer edges of the map in degrees. Where ``west > east`` it crosses the antimeridian, and
        its longitudes run on beyond 180.
    resolution : float or (float, float)
        Size of a pixel in degrees, or its width and height. Pixels are counted from the north-west
        corner; where they do not fill the box exactly, the last ones reach beyond it.
    chunks : int or (int, int), default=None
        Rows and columns of a chunk of a lazy array: chunks are computed when dask asks for them.
        None, or without dask installed, computes at once.
    dtype : {"float32", "float64"}, default="float32"
        Type of the result.
    progress : bool, default=None
        Whether to show a progress bar. None: on a terminal, when it takes longer than 2 s. Lazy
        arrays have dask's own.

    Returns
    -------
    grid : xarray.DataArray of dimensions (band, y, x)
        Feature names along ``band``, pixel centres along ``y``, from the north, and ``x``. The
        coordinate ``spatial_ref`` holds EPSG:4326 and the geotransform where CF conventions,
        rioxarray and `ArraySource` look for them.

    Raises
    ------
    ValueError
        A box or a resolution that is no map: empty, around the globe more than once, beyond a pole.
    LimitError
        A map that does not fit in memory, unless it is lazy.

    See Also
    --------
    quantize : Store a map in a quarter of its bytes.
    EmbeddingRasterSampler : Read it at points.

    Examples
    --------
    >>> from geofeat import SphericalHarmonicsEncoder, embed_grid
    >>> grid = embed_grid(SphericalHarmonicsEncoder(degree=3), (5.0, 50.0, 8.0, 52.0), 0.5)
    >>> grid.sizes
    Frozen({'band': 16, 'y': 4, 'x': 6})
    >>> grid.sel(band="sh_l1_m0").sel(x=5.2, y=50.3, method="nearest").item()
    -0.37565...
    """
    grid = _grid(bounds, resolution)
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    if isinstance(embedder, type) or not hasattr(embedder, "get_feature_names_out"):
        raise TypeError(f"embedder must be a transformer object, got {embedder!r}")
    # The data that it was fitted on may have had more columns and names than pixels have.
    embedder = without_fitted_columns(embedder)
    names = embedder.get_feature_names_out()
    values: Any
    if chunks is not None and importlib.util.find_spec("dask") is not None:
        values = _lazy(embedder, grid, names.size, dtype, chunks)
    else:
        values = _at_once(embedder, grid, names.size, dtype, progress)
    return _as_map(values, names, grid)


def _grid(bounds: Sequence[float], resolution: float | Sequence[float]) -> _Grid:
    west, south, east, north = (float(edge) for edge in bounds)
    if west > east:
        east += 360.0
    if not (-90 <= south < north <= 90 and 0 < east - west <= 360):
        raise ValueError(
            f"bounds are west, south, east, north in degrees, south below north, got "
            f"{tuple(bounds)}"
        )
    x_size, y_size = np.broadcast_to(np.asarray(resolution, dtype=np.float64), 2).tolist()
    if not (min(x_size, y_size) > 0 and math.isfinite(x_size + y_size)):
        raise ValueError(f"resolution must be above 0 degrees, got {resolution}")
    width = math.ceil((east - west) / x_size - _ROUNDING)
    height = math.ceil((north - south) / y_size - _ROUNDING)
    beyond = max(width - 360 / x_size, height - (north + 90) / y_size)
    if beyond > _ROUNDING:
        raise ValueError(
            f"pixels of {x_size:g} x {y_size:g} degrees, counted from {west:g}, {north:g}, "
            "reach beyond the globe: take a resolution that divides the box"
        )
    return _Grid(west, north, x_size, y_size, width, height)


def _fill(
    embedder: Any, lon: np.ndarray, lat: np.ndarray, out: np.ndarray, advance: Any = None
) -> None:
    """Embed the pixels of rows ``lat`` and columns ``lon`` into ``out``, (band, y, x)."""
    n_bands, n_pixels = out.shape[0], lat.size * lon.size
    flat = out.reshape(n_bands, n_pixels)
    step = max(1, _BLOCK_BYTES // (8 * n_bands))
    for first in range(0, n_pixels, step):
        pixel = np.arange(first, min(first + step, n_pixels))
        places = np.column_stack([lon[pixel % lon.size], lat[pixel // lon.size]])
        flat[:, pixel[0] : pixel[-1] + 1] = np.asarray(embedder.transform(places)).T
        if advance is not None:
            advance(pixel.size)


def _at_once(
    embedder: Any, grid: _Grid, n_bands: int, dtype: str, progress: bool | None
) -> np.ndarray:
    n_pixels = grid.width * grid.height
    way_out = "Use chunks= with dask installed, or a coarser resolution."
    refuse_beyond_memory(n_pixels, n_bands, np.dtype(dtype), "embed_grid", way_out)
    values = np.empty((n_bands, grid.height, grid.width), dtype)
    lon, lat = grid.lon(range(grid.width)), grid.lat(range(grid.height))
    with progress_bar(n_pixels, "embedding pixels", "pixel", progress) as bar:
        _fill(embedder, lon, lat, values, bar.update)
    return values


def _lazy(embedder: Any, grid: _Grid, n_bands: int, dtype: str, chunks: int | Sequence[int]) -> Any:
    import dask.array

    rows, columns = np.broadcast_to(chunks, 2).tolist()
    shape = (n_bands, grid.height, grid.width)
    return dask.array.map_blocks(
        partial(_chunk, embedder, grid, dtype),
        chunks=dask.array.core.normalize_chunks((n_bands, rows, columns), shape),
        dtype=dtype,
        meta=np.empty((0, 0, 0), dtype),
    )


def _chunk(embedder: Any, grid: _Grid, dtype: str, block_info: Any = None) -> np.ndarray:
    bands, rows, columns = (range(*ends) for ends in block_info[None]["array-location"])
    values = np.empty((len(bands), len(rows), len(columns)), dtype)
    _fill(embedder, grid.lon(columns), grid.lat(rows), values)
    return values


def _as_map(values: Any, names: np.ndarray, grid: _Grid) -> xarray.DataArray:
    import xarray
    from pyproj import CRS

    crs = CRS.from_epsg(4326)
    corner = (grid.west, grid.x_size, 0.0, grid.north, 0.0, -grid.y_size)
    reference = {
        **crs.to_cf(),
        "spatial_ref": crs.to_wkt(),
        "GeoTransform": " ".join(repr(number) for number in corner),
    }
    x, y = (
        {"axis": axis, "long_name": name, "standard_name": name, "units": f"degrees_{side}"}
        for axis, name, side in (("X", "longitude", "east"), ("Y", "latitude", "north"))
    )
    array = xarray.DataArray(
        values,
        dims=("band", "y", "x"),
        coords={
            "band": names.astype(str),
            "y": ("y", grid.lat(range(grid.height)), y),
            "x": ("x", grid.lon(range(grid.width)), x),
            "spatial_ref": ((), 0, reference),
        },
        name="embedding",
    )
    array.encoding["grid_mapping"] = "spatial_ref"
    return array
