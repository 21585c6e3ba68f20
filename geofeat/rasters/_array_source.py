"""ArraySource: an array or a dataset of xarray as an embedding raster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geofeat.rasters._area_serving import ServingFile, holds_line
from geofeat.rasters._areas import Areas
from geofeat.rasters._areas_in_cubes import areas_in_cubes
from geofeat.rasters._array_axes import (
    calendar_years,
    crs_wkt,
    geotransform,
    grid_of_axes,
    named_axes,
)
from geofeat.rasters._blocks import rows_per_task
from geofeat.rasters._candidates import NO_LAYER_YEAR, Candidates
from geofeat.rasters._cube_reader import CubeReader
from geofeat.rasters._cubes import (
    Area,
    Cube,
    Edges,
    Gather,
    Pixels,
    common_edges,
    gather_from_chunks,
    gather_from_memory,
    locate_in_cubes,
    regular_edges,
    searched_points,
)
from geofeat.rasters._decoding import (
    ZERO_VECTORS,
    BandDecoder,
    band_decoder,
    check_rule,
    decoded_names,
    stored_bands,
)
from geofeat.rasters._projection import PixelGrid
from geofeat.rasters._source_state import ImmutableSource

if TYPE_CHECKING:
    import xarray

_USUAL_CHUNK = 256
_STORED, _SCALES = "embeddings", "scales"


class _Parts(NamedTuple):
    """Arrays that hold the numbers: one with all bands, or one a band; and their scales."""

    arrays: list[Any]
    scales: Any


class ArraySource(ImmutableSource):
    """An xarray.DataArray or Dataset, for `EmbeddingRasterSampler`.

    Parameters
    ----------
    array : xarray.DataArray or xarray.Dataset
        Dimensions (band, y, x) or (time, band, y, x) in any order; the band may be absent. Axes
        are called x or lon or longitude, y or lat or latitude, time or year. Coordinates are pixel
        centres, evenly spaced, rising or falling. Arrays in memory, dask arrays and files opened by
        xarray or rioxarray will do; of the latter two only the chunks with points are read, each
        once. A Dataset holds one such array; or a variable (y, x) or (time, y, x) for each band; or
        int8 ``embeddings`` with float32 ``scales``, as TESSERA stores them.
    crs : str or int, default=None
        Coordinate reference system, when the array does not tell it by ``spatial_ref``, by an
        attribute ``crs`` or by axes called longitude and latitude.
    decode : {"none", "scale_offset", "aef", "esd"}, default="none"
        As in `RasterSource`; scale and offset are the attributes ``scale_factor``, ``add_offset``.
        Without effect on a Dataset of ``embeddings`` and ``scales``.
    nodata : float or "zeros", default=None
        The number that stands for nothing, or "zeros" as in `RasterSource`; by default the
        attribute ``_FillValue``. One in the array's encoding has been applied when the array was
        opened and is not looked at.
    edge_tolerance : float, default=0.0
        Points beyond the array's edge by up to this many pixels take the outermost pixel.

    Attributes
    ----------
    band_names : tuple of str
        The band coordinate, or the variables of a Dataset, or ``band_001``, ``band_002``, ...
    years : tuple of int or None
        Years of the time axis.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from geofeat import ArraySource, EmbeddingRasterSampler
    >>> array = xr.DataArray(
    ...     np.arange(8.0).reshape(2, 2, 2),
    ...     coords={"band": ["a", "b"], "lat": [1.0, 0.0], "lon": [10.0, 11.0]},
    ...     dims=("band", "lat", "lon"),
    ... )
    >>> EmbeddingRasterSampler(ArraySource(array)).transform([[10.4, 0.6], [11.0, 0.0]])
    array([[0., 4.],
           [3., 7.]], dtype=float32)
    """

    overlap = "first"

    def __init__(
        self,
        array: xarray.DataArray | xarray.Dataset,
        *,
        crs: str | int | None = None,
        decode: str = "none",
        nodata: float | str | None = None,
        edge_tolerance: float = 0.0,
    ):
        check_rule(decode, nodata)
        if not edge_tolerance >= 0:
            raise ValueError(f"edge_tolerance must be 0 or more pixels, got {edge_tolerance}")
        if not hasattr(array, "data_vars") and array.dtype.kind not in "biuf":
            raise TypeError(f"array must hold real numbers, got {array.dtype}")
        self.array = array
        self.crs = crs
        self.decode = decode
        self.nodata = nodata
        self.edge_tolerance = edge_tolerance
        self._grid_found: PixelGrid | None = None

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands that come out, in the order of storage."""
        parts = self._parts()
        first = parts.arrays[0]
        band = named_axes(first.dims, type(self).__name__)["band"]
        if len(parts.arrays) > 1:
            names = [str(array.name) for array in parts.arrays]
        elif band is None:
            names = [str(first.name or "band_001")]
        else:
            names = _band_labels(first, band)
        return decoded_names(self._name(), self.decode, names)

    @property
    def years(self) -> tuple[int, ...] | None:
        """Years of the time axis, ascending; None without one."""
        years = self._years(self._parts().arrays[0])
        return None if years == (NO_LAYER_YEAR,) else tuple(sorted(years))

    def locate(self, lon: np.ndarray, lat: np.ndarray, year: np.ndarray) -> Candidates:
        """Pixels that serve points, one at most; see `Candidates`."""
        point = searched_points(lon, lat)
        pairs = point, np.zeros_like(point)
        cubes = [self._cube(point.size)]
        return locate_in_cubes(lon, lat, year, cubes, pairs, self.edge_tolerance)

    def areas(self, polygons: np.ndarray, year: np.ndarray) -> Areas:
        """Parts of polygons in degrees that lie in the array; see `Areas`."""
        return areas_in_cubes(polygons, year, [self._cube(1)])

    def serving(self, lon: np.ndarray, lat: np.ndarray, year: int) -> list[ServingFile] | None:
        """Layer that serves all places inside a closed line; None where not all lie within."""
        found = self.locate(lon[:1], lat[:1], np.full(1, year))
        if not found.file.size or not holds_line(self._grid(), lon, lat):
            return None
        return [ServingFile(found.files[int(found.file[0])], self._grid())]

    def whole_grid(self) -> PixelGrid:
        """Grid of the array."""
        return self._grid()

    def reader(self, found: Candidates, bands: np.ndarray) -> CubeReader:
        """Reader of the bands at the given positions."""
        stored = stored_bands(self.decode, bands)
        parts = self._parts()
        decoder = None if parts.scales is not None else self._decoder(parts, stored, bands)
        return CubeReader([self._cube(found.point.size)], found, stored, decoder)

    def _name(self) -> str:
        return str(getattr(self.array, "name", None) or "array")

    def _parts(self) -> _Parts:
        """Arrays of the bands; of a Dataset those of its variables that have axes x and y."""
        if not hasattr(self.array, "data_vars"):
            return _Parts([self.array], None)
        variables = dict(self.array.data_vars)
        if _STORED in variables and _SCALES in variables:
            return _Parts([variables[_STORED]], variables[_SCALES])
        arrays = [a for a in variables.values() if a.ndim >= 2 and a.dtype.kind in "biuf"]
        if not arrays:
            raise ValueError("the dataset has no variable of numbers with axes x and y")
        kinds = {(array.dims, array.dtype) for array in arrays}
        banded = any(named_axes(a.dims, type(self).__name__)["band"] is not None for a in arrays)
        if len(arrays) > 1 and (len(kinds) > 1 or banded):
            shown = ", ".join(f"{a.name} {tuple(a.dims)} {a.dtype}" for a in arrays)
            raise ValueError(
                "the variables of a dataset must be bands of one shape (y, x) or (time, y, x) and "
                f"one type, got {shown}: pass the one that holds the embeddings, dataset['name']."
            )
        return _Parts(arrays, None)

    def _years(self, array: Any) -> tuple[int, ...]:
        time = named_axes(array.dims, type(self).__name__)["time"]
        return (NO_LAYER_YEAR,) if time is None else calendar_years(array[time].values, time)

    def _grid(self) -> PixelGrid:
        if self._grid_found is None:
            first = self._parts().arrays[0]
            axes = named_axes(first.dims, type(self).__name__)
            told = self._attributes(first)
            x, y = (first[d].values if d in first.coords else None for d in (axes["x"], axes["y"]))
            self._grid_found = grid_of_axes(
                crs_wkt(self.crs, told, axes, type(self).__name__),
                (x, y),
                (axes["x"], axes["y"]),
                (first.sizes[axes["y"]], first.sizes[axes["x"]]),
                geotransform(told),
            )
        return self._grid_found

    def _attributes(self, first: Any) -> list[Any]:
        """Attributes that may tell where the pixels lie: of grid mappings, array and dataset."""
        holders = [first.coords, getattr(self.array, "variables", {})]
        named = (first.encoding.get("grid_mapping"), first.attrs.get("grid_mapping"))
        names = dict.fromkeys([*named, "spatial_ref", "crs"])
        mappings = [h[n].attrs for n in names if n is not None for h in holders if n in h]
        return [*mappings, first.attrs, self.array.attrs]

    def _cube(self, n_points: int) -> Cube:
        """Build the cube of the array's parts, in memory cut by the number of points."""
        parts = self._parts()
        arrays = [_ordered(array) for array in parts.arrays]
        scales = None if parts.scales is None else _ordered(parts.scales)
        _, n_bands, height, width = arrays[0].shape
        together = [*arrays, *([] if scales is None else [scales])]
        in_memory = all(isinstance(a.variable._data, np.ndarray) for a in together)
        if in_memory:
            rows = regular_edges(height, rows_per_task(height, n_points))
            edges = Edges(np.array([0, arrays[0].shape[0]]), rows, np.array([0, width]))
        else:
            edges = common_edges([_chunk_edges(array) for array in together])
        gathers = [_gather(array, in_memory) for array in arrays]
        return Cube(
            path=self._name(),
            grid=self._grid(),
            years=self._years(parts.arrays[0]),
            n_bands=n_bands * len(arrays),
            dtype=arrays[0].dtype,
            edges=edges,
            gather=gathers[0] if len(gathers) == 1 else _gather_one_by_one(gathers),
            scales=None if scales is None else _gather_scales(scales, in_memory),
            in_memory=in_memory,
        )

    def _decoder(self, parts: _Parts, stored: np.ndarray, bands: np.ndarray) -> BandDecoder:
        """Build the decoder of the bands from what the arrays' attributes tell.

        What stands in ``encoding`` has been applied by xarray, the numbers are decoded already.
        """
        several = len(parts.arrays) > 1
        attrs = [parts.arrays[band if several else 0].attrs for band in stored.tolist()]
        zeros = self.nodata == ZERO_VECTORS
        nodata: list[Any] = [self.nodata] * stored.size
        if self.nodata is None or zeros:
            names = ("_FillValue", "nodata", "missing_value")
            nodata = [next((a[n] for n in names if a.get(n) is not None), None) for a in attrs]
        return band_decoder(
            self._name(),
            str(parts.arrays[0].dtype),
            self.decode,
            nodata,
            [a.get("scale_factor", 1.0) for a in attrs],
            [a.get("add_offset", 0.0) for a in attrs],
            asked=bands,
            zeros=zeros,
        )


def _band_labels(array: Any, band: Any) -> list[str]:
    if band in array.coords:
        labels = array[band].values
        if labels.dtype.kind in "UOT" and len(set(labels.tolist())) == labels.size:
            return [str(label) for label in labels]
    return [f"band_{i:03d}" for i in range(1, array.sizes[band] + 1)]


def _ordered(array: Any) -> Any:
    """View of an array with axes (time, band, y, x)."""
    axes = named_axes(array.dims, "an array")
    order = [axes[name] for name in ("time", "band", "y", "x") if axes[name] is not None]
    array = array.transpose(*order)
    if axes["band"] is None:
        array = array.expand_dims("band", axis=-3)
    if axes["time"] is None:
        array = array.expand_dims("time", axis=0)
    return array


def _gather(array: Any, in_memory: bool) -> Gather:
    if in_memory:
        return gather_from_memory(array.variable._data)

    def read(bands: np.ndarray, area: Area) -> np.ndarray:
        return _loaded(array[area.time, bands, area.rows, area.cols])

    return gather_from_chunks(read)


def _loaded(area: Any) -> np.ndarray:
    """Numbers of an array; dask computes in this thread unless a cluster or a user says where."""
    if area.chunks is None:
        return np.asarray(area.values)
    from dask.base import get_scheduler

    return np.asarray(area.data.compute(scheduler=get_scheduler() or "synchronous"))


def _gather_one_by_one(gathers: list[Gather]) -> Gather:
    """Gather each band from an array of its own."""

    def gather(bands: np.ndarray, area: Area, pixels: Pixels) -> np.ndarray:
        only = np.zeros(1, dtype=np.int64)
        return np.concatenate([gathers[band](only, area, pixels) for band in bands.tolist()])

    return gather


def _gather_scales(scales: Any, in_memory: bool) -> Gather:
    gather = _gather(scales, in_memory)
    if scales.shape[1] > 1:
        return gather
    only = np.zeros(1, dtype=np.int64)
    return lambda bands, area, pixels: gather(only, area, pixels)


def _chunk_edges(array: Any) -> Edges:
    """Edges of the chunks of an array (time, band, y, x), of a usual size where it tells none."""
    if array.chunks is not None:
        steps, _, rows, cols = (np.append(0, np.cumsum(sizes)) for sizes in array.chunks)
        return Edges(steps, rows, cols)
    preferred = array.encoding.get("preferred_chunks", {})
    usual = (1, 0, _USUAL_CHUNK, _USUAL_CHUNK)
    steps, _, rows, cols = (
        regular_edges(size, int(preferred.get(dim, step)))
        for dim, size, step in zip(array.dims, array.shape, usual, strict=True)
    )
    return Edges(steps, rows, cols)
