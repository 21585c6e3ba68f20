"""ArraySource: an xarray.DataArray as an embedding raster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geofeat.rasters._area_serving import ServingFile, holds_line
from geofeat.rasters._blocks import BlockLayout, BlockWindow, WindowedCandidates, rows_per_task
from geofeat.rasters._candidates import (
    NO_COVERAGE,
    NO_LAYER_YEAR,
    NO_YEAR,
    OK,
    Candidates,
    reasons_before_search,
)
from geofeat.rasters._decoding import RULES, BandDecoder, band_decoder
from geofeat.rasters._projection import PixelGrid, containing_pixels, pixel_positions
from geofeat.rasters._sink import PixelSink
from geofeat.rasters._source_state import ImmutableSource

if TYPE_CHECKING:
    import xarray

_X = ("x", "lon", "longitude")
_Y = ("y", "lat", "latitude")
_TIME = ("time", "year")
_DEGREES = {"lon", "longitude", "lat", "latitude"}
_USUAL_CHUNK = 256


class ArrayLayer(NamedTuple):
    """One year of an array: its place along the time axis, 0 without one."""

    path: str
    year: int
    position: int


class ArraySource(ImmutableSource):
    """An xarray.DataArray, for `EmbeddingRasterSampler`.

    Parameters
    ----------
    array : xarray.DataArray
        Dimensions (band, y, x) or (time, band, y, x) in any order; the band may be absent. Axes
        are called x or lon or longitude, y or lat or latitude, time or year. Coordinates are pixel
        centres, evenly spaced, rising or falling. Arrays in memory, dask arrays and files opened by
        xarray or rioxarray will do; of the latter only the chunks with points are read.
    crs : str or int, default=None
        Coordinate reference system, when the array does not tell it by ``spatial_ref``, by an
        attribute ``crs`` or by axes called longitude and latitude.
    decode : {"none", "scale_offset", "aef"}, default="none"
        As in `RasterSource`; scale and offset are the attributes ``scale_factor``, ``add_offset``.
    nodata : float, default=None
        The number that stands for nothing; by default the attribute ``_FillValue``. One in the
        array's encoding has been applied when the array was opened and is not looked at.

    Attributes
    ----------
    band_names : tuple of str
        The band coordinate, or ``band_001``, ``band_002``, ...
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
        array: xarray.DataArray,
        *,
        crs: str | int | None = None,
        decode: str = "none",
        nodata: float | None = None,
    ):
        if decode not in RULES:
            raise ValueError(f"decode must be one of {RULES}, got {decode!r}")
        if array.dtype.kind not in "biuf":
            raise TypeError(f"array must hold real numbers, got {array.dtype}")
        self.array = array
        self.crs = crs
        self.decode = decode
        self.nodata = nodata
        self._grid_found: PixelGrid | None = None

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands, in the order of storage."""
        band = self._axes()["band"]
        if band is None:
            return (str(self.array.name or "band_001"),)
        if band in self.array.coords:
            labels = self.array[band].values
            if labels.dtype.kind in "UO" and len(set(labels.tolist())) == labels.size:
                return tuple(str(label) for label in labels)
        return tuple(f"band_{i:03d}" for i in range(1, self.array.sizes[band] + 1))

    @property
    def years(self) -> tuple[int, ...] | None:
        """Years of the time axis, ascending; None without one."""
        layers = self._layers()
        return None if layers[0].year == NO_LAYER_YEAR else tuple(sorted(x.year for x in layers))

    def locate(self, lon: np.ndarray, lat: np.ndarray, year: np.ndarray) -> Candidates:
        """Pixels that serve points, one at most; see `Candidates`."""
        grid = self._grid()
        reason = reasons_before_search(lon, lat)
        point = np.flatnonzero(reason == NO_COVERAGE)
        position = pixel_positions(lon[point], lat[point], np.zeros_like(point), [grid])
        size = np.array(grid.width), np.array(grid.height)
        col, row, inside = containing_pixels(*position, *size, 0.0)
        layers = self._layers()
        file = np.full(point.size, -1)
        for i, layer in enumerate(layers):
            file[year[point] == layer.year] = i
        reason[point[inside]] = np.where(file[inside] >= 0, OK, NO_YEAR)
        kept = inside & (file >= 0)
        nothing = np.full(lon.size, -1)
        return Candidates(
            point[kept], file[kept], row[kept], col[kept], reason, layers, [], nothing
        )

    def serving(self, lon: np.ndarray, lat: np.ndarray, year: int) -> list[ServingFile] | None:
        """Layer that serves all places inside a closed line; None where not all lie within."""
        layers = [layer for layer in self._layers() if layer.year == year]
        holds = holds_line(self._grid(), lon, lat)
        return [ServingFile(layer, self._grid()) for layer in layers] if holds and layers else None

    def whole_grid(self) -> PixelGrid:
        """Grid of the array."""
        return self._grid()

    def reader(self, found: Candidates, bands: np.ndarray) -> _ArrayReader:
        """Reader of the bands at the given positions."""
        axes = self._axes()
        order = [axes[name] for name in ("time", "band", "y", "x") if axes[name] is not None]
        array = self.array.transpose(*order)
        if axes["band"] is None:
            array = array.expand_dims("band", axis=-3)
        if axes["time"] is None:
            array = array.expand_dims("time", axis=0)
        return _ArrayReader(array, found, bands, self._decoder(bands))

    def _axes(self) -> dict[str, Any]:
        """Name of the array's dimension for each of x, y, time and band."""
        lowered = {str(dim).lower(): dim for dim in self.array.dims}
        axes = {
            axis: next((lowered[name] for name in names if name in lowered), None)
            for axis, names in (("x", _X), ("y", _Y), ("time", _TIME))
        }
        rest = [dim for dim in self.array.dims if dim not in axes.values()]
        if axes["x"] is None or axes["y"] is None or len(rest) > 1:
            raise ValueError(
                "ArraySource needs dimensions (band, y, x) or (time, band, y, x), got "
                f"{tuple(self.array.dims)}: rename them with array.rename(...)."
            )
        return {**axes, "band": rest[0] if rest else None}

    def _layers(self) -> list[ArrayLayer]:
        name = str(self.array.name or "array")
        time = self._axes()["time"]
        if time is None:
            return [ArrayLayer(name, NO_LAYER_YEAR, 0)]
        stamps = self.array[time].values
        if stamps.dtype.kind == "M":
            years = stamps.astype("datetime64[Y]").astype(int) + 1970
        elif stamps.dtype.kind in "iu":
            years = stamps
        else:
            raise ValueError(f"the axis {time} must hold dates or years, got {stamps.dtype}")
        if len(set(years.tolist())) < years.size:
            raise ValueError(
                f"the axis {time} holds a year twice; average or select first: {years}"
            )
        return [ArrayLayer(f"{name}[{y}]", int(y), i) for i, y in enumerate(years.tolist())]

    def _grid(self) -> PixelGrid:
        if self._grid_found is None:
            axes = self._axes()
            x0, dx, width = _even_axis(self.array, axes["x"])
            y0, dy, height = _even_axis(self.array, axes["y"])
            transform = (dx, 0.0, x0 - dx / 2, 0.0, dy, y0 - dy / 2)
            self._grid_found = PixelGrid(self._crs_text(), transform, width, height)
        return self._grid_found

    def _crs_text(self) -> str:
        from pyproj import CRS

        given: Any = self.crs
        if given is None:
            for name in dict.fromkeys(
                [self.array.encoding.get("grid_mapping"), "spatial_ref", "crs"]
            ):
                if name is not None and name in self.array.coords:
                    said = self.array.coords[name].attrs
                    given = given or said.get("crs_wkt") or said.get("spatial_ref")
        if given is None:
            given = self.array.attrs.get("crs")
        axes = self._axes()
        if given is None and {str(axes["x"]).lower(), str(axes["y"]).lower()} <= _DEGREES:
            given = "EPSG:4326"
        if given is None:
            raise ValueError(
                "the array tells no coordinate reference system: pass ArraySource(array, "
                "crs='EPSG:...') or set array.attrs['crs']."
            )
        return str(CRS.from_user_input(given).to_wkt())

    def _decoder(self, bands: np.ndarray) -> BandDecoder:
        """Build the decoder of the bands from what the array's attributes tell.

        What stands in ``encoding`` has been applied by xarray, the numbers are decoded already.
        """
        attrs = self.array.attrs
        nodata = self.nodata
        for name in ("_FillValue", "nodata", "missing_value"):
            nodata = attrs.get(name) if nodata is None else nodata
        return band_decoder(
            str(self.array.name or "array"),
            str(self.array.dtype),
            self.decode,
            [nodata] * bands.size,
            [attrs.get("scale_factor", 1.0)] * bands.size,
            [attrs.get("add_offset", 0.0)] * bands.size,
        )


class _ArrayReader(WindowedCandidates):
    """Reads the candidates of one call from a (time, band, y, x) array."""

    def __init__(self, array: Any, found: Candidates, bands: np.ndarray, decoder: BandDecoder):
        self._array = array
        self._in_memory = isinstance(array.variable._data, np.ndarray)
        self._positions = [layer.position for layer in found.files]
        self._bands = bands
        self._decoder = decoder
        height, width = _block_shape(array)
        if self._in_memory:
            height, width = rows_per_task(array.shape[2], found.point.size), array.shape[3]
        block_bytes = height * width * array.dtype.itemsize * bands.size
        layout = BlockLayout(array.shape[2], array.shape[3], height, width, block_bytes)
        super().__init__(found.file, found.row, found.col, [layout] * len(found.files))

    def stored_bytes(self, window: BlockWindow) -> int:
        """Count decoded bytes of the chunks; of an array in memory, those of the points."""
        itemsize = self._array.dtype.itemsize * self._bands.size
        if self._in_memory:
            return int(window.which.size * itemsize)
        return int(window.height * window.width * itemsize)

    def read(self, window: BlockWindow, sink: PixelSink) -> None:
        """Hand the pixels of a window's candidates over."""
        which = window.which
        position = self._positions[window.file]
        row, col = self._row[which], self._col[which]
        if self._in_memory:
            layer = self._array.variable._data[position]
            raw = layer[self._bands[:, None], row, col]
        else:
            area = self._array[
                position,
                self._bands,
                window.row : window.row + window.height,
                window.col : window.col + window.width,
            ]
            raw = np.asarray(area.values)[:, row - window.row, col - window.col]
        sink.put_values(which, self._decoder.decode(raw))


def _block_shape(array: Any) -> tuple[int, int]:
    """Height and width of the chunks of an array, of a usual size where it tells none."""
    height, width = array.shape[2:]
    if array.chunks is not None:
        return array.chunks[2][0], array.chunks[3][0]
    preferred = array.encoding.get("preferred_chunks", {})
    return (
        min(height, int(preferred.get(array.dims[2], _USUAL_CHUNK))),
        min(width, int(preferred.get(array.dims[3], _USUAL_CHUNK))),
    )


def _even_axis(array: Any, dim: Any) -> tuple[float, float, int]:
    """First centre, step and number of the pixels along an axis."""
    if dim not in array.coords:
        raise ValueError(f"the axis {dim} of the array has no coordinates")
    centres = np.asarray(array[dim].values, dtype=np.float64)
    if centres.size < 2:
        raise ValueError(f"the axis {dim} has {centres.size} pixel(s), its spacing is unknown")
    step = (centres[-1] - centres[0]) / (centres.size - 1)
    even = centres[0] + step * np.arange(centres.size)
    if step == 0 or not np.abs(centres - even).max() <= 0.01 * abs(step):
        raise ValueError(
            f"the centres along {dim} are not evenly spaced; interpolate the array to a grid first"
        )
    return float(centres[0]), float(step), centres.size
