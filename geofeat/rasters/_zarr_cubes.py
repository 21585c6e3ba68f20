"""Groups and arrays of Zarr as cubes: their axes, grids, bands and years."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from geofeat.exceptions import CorruptFileError, GeofeatError, LimitError, SourceError
from geofeat.rasters._array_axes import (
    calendar_years,
    crs_wkt,
    geotransform,
    grid_of_axes,
    named_axes,
)
from geofeat.rasters._candidates import NO_LAYER_YEAR
from geofeat.rasters._cubes import (
    Area,
    Cube,
    Edges,
    Gather,
    common_edges,
    gather_from_chunks,
    regular_edges,
)
from geofeat.rasters._zarr_store import reading_metadata

_USUAL_NAMES = ("time", "band", "y", "x")
_BAND_LISTS = ("band_names", "embedding_dimensions", "bands")
_NOTHING = ("_FillValue", "nodata", "missing_value")
_MAX_COORDINATE_BYTES = 2**28
_MAX_CHUNKS = 2**24  # along one axis
_ZONE = re.compile(r"utm(0[1-9]|[1-5]\d|60)")


class ZarrCube(NamedTuple):
    """A cube and what its attributes say of the numbers, one entry a band.

    ``labels`` are names of bands, or None; ``scaled`` says that bytes have scales beside them.
    """

    cube: Cube
    labels: tuple[str, ...] | None
    nodata: float | None
    scale: float
    offset: float
    scaled: bool


def zone_groups(root: Any, array: str | None) -> dict[int, str] | None:
    """Names of the groups ``utm01`` to ``utm60`` by zone; None for a node with arrays of its own.

    ``array`` is the name of the array looked for, None for the usual one.
    """
    if not hasattr(root, "group_keys") or (array or "embeddings") in root:
        return None
    if root.metadata.consolidated_metadata is not None or root.store.supports_listing:
        found = {name: _ZONE.fullmatch(name) for name in sorted(root.group_keys())}
        return {int(match[1]): name for name, match in found.items() if match} or None
    # A server does not list; what is not there turns up when it is opened.
    return {zone: f"utm{zone:02d}" for zone in range(1, 61)}


def read_zarr_cube(node: Any, path: str, name: str | None, crs: Any, scales: bool) -> ZarrCube:
    """Build the cube of an array, or of the array ``name`` of a group.

    Parameters
    ----------
    node : zarr.Group or zarr.Array
        Opened for reading.
    path : str
        For messages.
    name : str or None
        Which array; None takes ``embeddings`` or the only one that has axes x and y.
    crs : object
        Coordinate reference system where the attributes do not tell it.
    scales : bool
        Whether to use an array ``scales`` beside it.
    """
    group = node if hasattr(node, "group_keys") else None
    with reading_metadata(path):
        array = node if group is None else _embeddings(node, path, name)
        scaling = group["scales"] if scales and group is not None and "scales" in group else None
    if array.dtype.kind not in "biuf":
        raise SourceError(path, f"holds {array.dtype}, embeddings are real numbers")
    if 0 in array.shape:
        raise CorruptFileError(path, f"holds an array of shape {array.shape}")
    dims = _dims(array)
    axes = named_axes(dims, path)
    told = [array.attrs, *_mappings(array, group, path), *([] if group is None else [group.attrs])]
    shape = (array.shape[dims.index(axes["y"])], array.shape[dims.index(axes["x"])])
    transform = geotransform(told)
    x, y = (
        _coordinate(group, axes[axis], path) if transform is None else None for axis in ("x", "y")
    )
    n_bands = 1 if axes["band"] is None else array.shape[dims.index(axes["band"])]
    parts = [array] if scaling is None else [array, scaling]
    cube = Cube(
        path=path,
        grid=grid_of_axes(
            crs_wkt(crs, told, axes, "ZarrSource"), (x, y), (axes["x"], axes["y"]), shape, transform
        ),
        years=_years(array, group, axes["time"], path),
        n_bands=n_bands,
        dtype=array.dtype,
        edges=common_edges([_edges(part, path) for part in parts]),
        gather=_gather(array, path),
        scales=None if scaling is None else _gather_scales(scaling, path),
        apart=not array.store.supports_listing,
    )
    attrs = array.attrs
    return ZarrCube(
        cube,
        _labels(told, group, axes["band"], n_bands, path),
        _nodata(array),
        float(attrs.get("scale_factor", 1.0)),
        float(attrs.get("add_offset", 0.0)),
        scaling is not None,
    )


def _embeddings(group: Any, path: str, name: str | None) -> Any:
    if name is not None or "embeddings" in group:
        name = name or "embeddings"
        if name not in group or hasattr(group[name], "group_keys"):
            raise SourceError(path, f"has no array {name!r}")
        return group[name]
    found = [key for key, array in sorted(group.arrays()) if array.ndim >= 2]
    if len(found) != 1:
        raise SourceError(
            path,
            f"has {len(found)} arrays with two axes or more, {found}: name the one that holds the "
            "embeddings, ZarrSource(..., array=...)",
        )
    return group[found[0]]


def _dims(array: Any) -> tuple[str, ...]:
    """Names of an array's dimensions, as Zarr 3 or xarray tells them, else the usual ones."""
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    if names and all(names):
        return tuple(names)
    usual = _USUAL_NAMES[-array.ndim :] if array.ndim <= len(_USUAL_NAMES) else ()
    return usual or tuple(f"axis {i}" for i in range(array.ndim))


def _mappings(array: Any, group: Any, path: str) -> list[Mapping[str, Any]]:
    """Attributes of the variables that CF calls grid mappings."""
    if group is None:
        return []
    names = dict.fromkeys([array.attrs.get("grid_mapping"), "spatial_ref"])
    with reading_metadata(path):
        return [group[name].attrs for name in names if name and name in group]


def _coordinate(group: Any, dim: str | None, path: str) -> np.ndarray | None:
    """Coordinates along a dimension, None where none are stored."""
    if group is None or dim is None:
        return None
    with reading_metadata(path):
        if dim not in group:
            return None
        array = group[dim]
        if array.nbytes > _MAX_COORDINATE_BYTES:
            raise LimitError(
                f"{path}: the coordinates along {dim} take {array.nbytes} bytes, the bound is "
                f"{_MAX_COORDINATE_BYTES}; tell the grid by a spatial:transform instead."
            )
        values = np.asarray(array[:])
    if "units" in array.attrs and " since " in str(array.attrs["units"]):
        import xarray

        variable = xarray.Variable((dim,), values, dict(array.attrs))
        values = xarray.conventions.decode_cf_variable(dim, variable).values
    return values


def _years(array: Any, group: Any, dim: str | None, path: str) -> tuple[int, ...]:
    if dim is None:
        return (NO_LAYER_YEAR,)
    stamps = _coordinate(group, dim, path)
    if stamps is None and "years" in array.attrs:
        stamps = np.array(array.attrs["years"])
    size = array.shape[_dims(array).index(dim)]
    if stamps is None and size == 1:
        return (NO_LAYER_YEAR,)
    if stamps is None or stamps.size != size:
        raise SourceError(path, f"does not tell the years of its {size} steps along {dim}")
    return calendar_years(stamps, dim)


def _labels(
    told: Sequence[Mapping[str, Any]], group: Any, dim: str | None, n_bands: int, path: str
) -> tuple[str, ...] | None:
    """Names of the bands: a coordinate of strings, or a list among the attributes."""
    lists = [attrs[name] for attrs in told for name in _BAND_LISTS if name in attrs]
    with reading_metadata(path):
        found = group[dim] if group is not None and dim is not None and dim in group else None
        if found is not None and found.dtype.kind in "UOT" and found.shape == (n_bands,):
            lists.insert(0, found[:].tolist())
    for names in lists:
        if isinstance(names, list) and len(names) == n_bands == len(set(map(str, names))):
            return tuple(str(name) for name in names)
    return None


def _nodata(array: Any) -> float | None:
    """Find what stands for nothing; a fill value of 0 is there where nobody chose one."""
    for name in _NOTHING:
        value = array.attrs.get(name)
        if isinstance(value, str):  # as xarray writes it, for JSON has no NaN
            value = _float_of_text(value)
        if isinstance(value, int | float):
            return float(value)
    fill = array.fill_value
    return float(fill) if fill is not None and fill != 0 else None


def _float_of_text(text: str) -> float | None:
    """Read a number that is written out, or the base64 of its 8 bytes."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return float(struct.unpack("<d", base64.b64decode(text, validate=True))[0])
    except (ValueError, struct.error):
        return None


def _edges(array: Any, path: str) -> Edges:
    """Edges of the chunks, in a sharded array of those inside the shards."""
    dims = _dims(array)
    axes = named_axes(dims, path)
    along = []
    for axis in ("time", "y", "x"):
        if axes[axis] is None:
            along.append(np.array([0, 1]))
        else:
            i = dims.index(axes[axis])
            if (n_chunks := array.shape[i] // max(array.chunks[i], 1)) > _MAX_CHUNKS:
                raise LimitError(
                    f"{path}: {n_chunks} chunks along {axes[axis]}, the bound is {_MAX_CHUNKS}; "
                    "rewrite the array with larger chunks."
                )
            along.append(regular_edges(array.shape[i], array.chunks[i]))
    return Edges(*along)


def _gather(array: Any, path: str) -> Gather:
    dims = _dims(array)
    axes = named_axes(dims, path)
    order = [dims.index(axes[name]) for name in _USUAL_NAMES if axes[name] is not None]
    n_bands = 1 if axes["band"] is None else array.shape[dims.index(axes["band"])]

    def read(bands: np.ndarray, area: Area) -> np.ndarray:
        every = np.array_equal(bands, np.arange(n_bands))
        wanted = {
            axes["time"]: area.time,
            axes["band"]: slice(None) if every else bands,
            axes["y"]: area.rows,
            axes["x"]: area.cols,
        }
        block = np.transpose(_read(array, tuple(wanted[dim] for dim in dims), path), order)
        for axis, name in enumerate(_USUAL_NAMES[:2]):
            if axes[name] is None:
                block = np.expand_dims(block, axis)
        return block

    return gather_from_chunks(read)


def _gather_scales(scales: Any, path: str) -> Gather:
    gather = _gather(scales, path)
    if scales.ndim == len(_USUAL_NAMES):
        return gather
    only = np.zeros(1, dtype=np.int64)
    return lambda bands, area, pixels: gather(only, area, pixels)


def _read(array: Any, selection: tuple[Any, ...], path: str) -> np.ndarray:
    """Read a part of an array; what fails says where."""
    try:
        return np.asarray(array.oindex[selection])
    except (GeofeatError, OSError, MemoryError):
        raise
    except Exception as error:
        shown = ", ".join(
            f"{part.start}:{part.stop}" if isinstance(part, slice) and part.stop else "..."
            for part in selection
        )
        raise CorruptFileError(path, f"cannot read [{shown}] of {array.name}: {error}") from error
