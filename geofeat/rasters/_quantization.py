"""Embeddings stored as bytes in the two forms that AlphaEarth and TESSERA are published in."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from geofeat.kernels._gather import gather_scaled
from geofeat.kernels._quantization import (
    largest_magnitudes,
    look_up,
    scaled_codes,
    signed_square_codes,
    vector_lengths,
)
from geofeat.rasters._decoding import AEF_NODATA, aef_table

if TYPE_CHECKING:
    import xarray

_AEF_SCALE = 127.5
# A component of a float32 unit vector may exceed 1 by its rounding.
_ROUNDING = 1e-6
_SMALLEST_SCALE = 1e-8


@overload
def quantize(
    vectors: Any, form: Literal["aef"], *, axis: int | None = None, normalize: bool = False
) -> Any: ...


@overload
def quantize(
    vectors: Any, form: Literal["tessera"], *, axis: int | None = None, normalize: bool = False
) -> tuple[Any, Any]: ...


def quantize(
    vectors: Any,
    form: Literal["aef", "tessera"],
    *,
    axis: int | None = None,
    normalize: bool = False,
) -> Any:
    """Store embeddings as bytes, in the form of AlphaEarth or of TESSERA; see Notes.

    Parameters
    ----------
    vectors : array-like or xarray.DataArray
        Embeddings along one axis. A vector with a NaN is missing as a whole. Of a dask-backed
        DataArray the result is lazy as well.
    form : {"aef", "tessera"}
        "aef" stores components in [-1, 1], so vectors of length 1, in one byte each, finer near
        0. "tessera" stores vectors of any length, with one float32 scale a vector.
    axis : int, default=None
        Axis of the components. None: the dimension ``band`` of a DataArray, the last axis of
        anything else.
    normalize : bool, default=False
        Whether to divide each vector by its length first. The length is lost.

    Returns
    -------
    stored : int8 array or DataArray of the shape of ``vectors``
        Numbers from -127 to 127. Of missing vectors -128 in "aef", 0 in "tessera".
    scales : float32 array or DataArray, without the axis of the components
        Only of "tessera"; at least 1e-8, and 0 for missing vectors.

    Raises
    ------
    ValueError
        Infinite components; in "aef" without ``normalize`` components beyond 1; vectors of length
        0 with ``normalize``; in "tessera" components beyond the range of float32.

    See Also
    --------
    dequantize : The way back.
    embed_grid : Embeddings of all pixels of a map.

    Notes
    -----
    These are the producers' formulas:

    - "aef": ``q = sign(v) rint(127.5 sqrt(abs(v)))``, which stands for
      ``sign(q) (q / 127.5)**2``. The way there and back changes a component v by at most
      ``sqrt(abs(v)) / 127.5 + 1.6e-5``, half a step.
    - "tessera": ``scale = max(abs(v)) / 127`` and ``q = rint(v / scale)``, which stands for
      ``q scale``. The way there and back changes a component by at most half the scale.

    Both bounds hold before the result is rounded to float32. The first form is read by
    `RasterSource` and `ArraySource` with ``decode="aef"``, and in files of 64 bands by
    `AlphaEarthSource`; the second, in files of 128 bands, by `TesseraSource`.

    Examples
    --------
    >>> from geofeat import dequantize, quantize
    >>> stored = quantize([[0.6, -0.8], [float("nan"), 0.0]], "aef")
    >>> stored
    array([[  99, -114],
           [-128, -128]], dtype=int8)
    >>> dequantize(stored)
    array([[ 0.6029066, -0.7994464],
           [       nan,        nan]], dtype=float32)
    >>> stored, scales = quantize([[3.0, -12.7]], "tessera")
    >>> stored, scales
    (array([[  30, -127]], dtype=int8), array([0.1], dtype=float32))
    """
    if form not in ("aef", "tessera"):
        raise ValueError(f"form must be 'aef' or 'tessera', got {form!r}")
    convert = _to_signed_squares if form == "aef" else _to_scaled
    if _is_data_array(vectors):
        return _quantize_data_array(vectors, axis, convert, normalize)
    values = np.asarray(vectors)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"vectors must hold real numbers, got {values.dtype}")
    return convert(values, -1 if axis is None else axis, normalize)


def dequantize(stored: Any, scales: Any = None, *, axis: int | None = None) -> Any:
    """Turn stored bytes into embeddings, exactly as the sources of rasters do.

    Parameters
    ----------
    stored : int8 array or xarray.DataArray
        What `quantize` returned, or a product's numbers.
    scales : array or xarray.DataArray, default=None
        The scales of TESSERA's form, of the shape of ``stored`` without the axis of the
        components. None: AlphaEarth's form.
    axis : int, default=None
        Axis of the components, as in `quantize`. Of no account in AlphaEarth's form.

    Returns
    -------
    vectors : float32 array or DataArray of the shape of ``stored``
        NaN where nothing is stored: -128 in AlphaEarth's form, a scale of 0 or less or that is
        not finite in TESSERA's.

    See Also
    --------
    quantize : The way there, with examples.
    """
    in_memory = not _is_data_array(stored)
    if in_memory:
        stored = np.asarray(stored)
    if stored.dtype != np.int8:
        raise TypeError(f"stored embeddings are int8, got {stored.dtype}")
    if in_memory and scales is None:
        return _from_signed_squares(stored)
    if in_memory:
        vectors = np.moveaxis(stored, -1 if axis is None else axis, -1)
        scales = np.asarray(scales)
        if scales.shape != vectors.shape[:-1]:
            raise ValueError(
                f"scales have shape {scales.shape}, expected {vectors.shape[:-1]}: that of the "
                "stored numbers without the axis of the components"
            )
        values = np.moveaxis(_from_scaled(vectors, scales), -1, -1 if axis is None else axis)
        return np.ascontiguousarray(values)
    import xarray

    dim = _component_dim(stored, axis)
    parts = [stored] if scales is None else [stored, scales]
    decode = _from_signed_squares if scales is None else _from_scaled
    vectors = xarray.apply_ufunc(
        decode,
        *parts,
        input_core_dims=[[dim], []][: len(parts)],
        output_core_dims=[[dim]],
        dask="parallelized",
        output_dtypes=[np.float32],
        keep_attrs=True,
    ).transpose(*stored.dims)
    vectors.attrs.pop("_FillValue", None)
    return vectors


def _is_data_array(values: Any) -> bool:
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(values, xarray.DataArray)


def _component_dim(array: xarray.DataArray, axis: int | None) -> Any:
    if axis is not None:
        return array.dims[axis]
    if "band" not in array.dims:
        raise ValueError(
            f"none of the dimensions {array.dims} is called band: name the axis of the components"
        )
    return "band"


def _quantize_data_array(
    vectors: xarray.DataArray, axis: int | None, convert: Any, normalize: bool
) -> Any:
    import xarray

    dim = _component_dim(vectors, axis)
    with_scales = convert is _to_scaled
    result = xarray.apply_ufunc(
        lambda values: convert(values, -1, normalize),
        vectors,
        input_core_dims=[[dim]],
        output_core_dims=[[dim], []] if with_scales else [[dim]],
        dask="parallelized",
        output_dtypes=[np.int8, np.float32] if with_scales else [np.int8],
        keep_attrs=True,
    )
    stored = (result[0] if with_scales else result).transpose(*vectors.dims)
    if with_scales:
        scales = result[1].transpose(*(name for name in vectors.dims if name != dim))
        return stored, scales
    stored.attrs["_FillValue"] = np.int8(AEF_NODATA)
    return stored


def _to_signed_squares(values: np.ndarray, axis: int, normalize: bool) -> np.ndarray:
    parts = _three_axes(values, axis)
    largest, lengths = _measure(parts, normalize)
    if not normalize and (largest > 1 + _ROUNDING).any():
        raise ValueError(
            f"form='aef' stores components in [-1, 1], got {np.nanmax(largest):.6g}: pass "
            "normalize=True to store vectors of length 1, or form='tessera' to keep their length."
        )
    codes = np.empty(parts.shape, np.int8)
    signed_square_codes(parts, lengths, _AEF_SCALE, AEF_NODATA, codes)
    return codes.reshape(values.shape)


def _to_scaled(values: np.ndarray, axis: int, normalize: bool) -> tuple[np.ndarray, np.ndarray]:
    parts = _three_axes(values, axis)
    largest, lengths = _measure(parts, normalize)
    with np.errstate(over="ignore"):
        scales = np.maximum(largest / lengths / 127, _SMALLEST_SCALE).astype(np.float32)
    if np.isinf(scales).any():
        raise ValueError(
            f"form='tessera' has float32 scales, too small for {np.nanmax(largest):g}: pass "
            "normalize=True to store vectors of length 1."
        )
    codes = np.empty(parts.shape, np.int8)
    scaled_codes(parts, scales * lengths, codes)
    shape = [size for i, size in enumerate(values.shape) if i != axis % values.ndim]
    return codes.reshape(values.shape), np.nan_to_num(scales, copy=False).reshape(shape)


def _three_axes(values: np.ndarray, axis: int) -> np.ndarray:
    """View of an array with one axis before that of the components, and one behind."""
    axis = range(values.ndim)[axis]
    before, behind = values.shape[:axis], values.shape[axis + 1 :]
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    shape = (math.prod(before), values.shape[axis], math.prod(behind))
    return np.ascontiguousarray(values).reshape(shape)


def _measure(parts: np.ndarray, normalize: bool) -> tuple[np.ndarray, np.ndarray]:
    """Largest magnitude of each vector, and what to divide it by; NaN in both where missing."""
    largest = np.empty((parts.shape[0], parts.shape[2]))
    largest_magnitudes(parts, largest)
    if np.isinf(largest).any():
        raise ValueError("vectors hold inf; NaN stands for a missing value")
    if not normalize:
        return largest, np.where(np.isnan(largest), np.nan, 1.0)
    if (largest == 0).any():
        raise ValueError(
            f"{int((largest == 0).sum())} vectors have length 0: they cannot be normalised"
        )
    lengths = np.empty_like(largest)
    vector_lengths(parts, largest, lengths)
    return largest, lengths


def _from_signed_squares(stored: np.ndarray) -> np.ndarray:
    values = np.empty(stored.shape, np.float32)
    look_up(
        np.ascontiguousarray(stored).view(np.uint8).reshape(-1), aef_table(), values.reshape(-1)
    )
    return values


def _from_scaled(stored: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Multiply bytes, whose components are last, by their scales."""
    width, every = stored.shape[-1], np.arange(scales.size)
    values = np.empty((scales.size, width), np.float32)
    gather_scaled(
        np.ascontiguousarray(stored).reshape(-1, width),
        np.ascontiguousarray(scales, dtype=np.float32).reshape(-1, 1),
        every,
        np.arange(width),
        np.inf,
        every,
        values,
        values[:0],
        True,
    )
    return values.reshape(stored.shape)
