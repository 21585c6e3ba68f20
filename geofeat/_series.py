"""Any X -> rows of observations over time: arrays, data frames, xarray.

A table of series has one row a sample and one column an observation, in time-major order: all
bands of the first time, then all bands of the second.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from geofeat._columns import column_values, frame_columns, frame_names
from geofeat._lazy import refuse_lazy
from geofeat._times import check_days, dates_in_names, days_since_1970

_TIME, _BAND = "time", "band"


class SeriesTable(NamedTuple):
    """A table of series before its numbers are read.

    ``cells`` is a data frame or an array of shape (n_samples, n_columns); ``depth`` the number of
    bands where X was three-dimensional, else None; ``dates`` the times that X carries itself, else
    None; ``bands`` the names of its bands, else None.
    """

    cells: Any
    depth: int | None
    dates: Any
    bands: tuple[str, ...] | None


def as_series_table(X: Any, owner: str) -> SeriesTable:
    """Return X as a table of series, or raise an error that says what to do.

    Parameters
    ----------
    X : array-like, data frame or DataArray
        Shape (n_samples, n_columns), or (n_samples, n_times, n_bands). The dimensions ``time`` and
        ``band`` of a DataArray are found by name.
    owner : str
        Name of the transformer for messages.
    """
    refuse_lazy(X, owner)
    if sparse.issparse(X):
        raise TypeError(
            f"{owner} needs dense data, got a sparse {type(X).__name__}: pass X.toarray()."
        )
    names = frame_names(X)
    if names is not None:
        twice = sorted({str(name) for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{owner} got duplicated column names: {', '.join(twice)}.")
        _require_cells(tuple(X.shape), owner)
        return SeriesTable(X, None, names, None)
    dates, bands = None, None
    xarray = sys.modules.get("xarray")
    if xarray is not None and isinstance(X, xarray.Dataset):
        raise TypeError(
            f"{owner} got an xarray.Dataset: pass dataset.to_dataarray('band'), whose dimensions "
            "time and band are then found by name."
        )
    if xarray is not None and isinstance(X, xarray.DataArray):
        X, dates, bands = _from_dataarray(X)
    X = _as_array(X, owner)
    if X.ndim not in {2, 3}:
        raise ValueError(
            f"Expected 2D array, got {X.ndim}D array of shape {X.shape} instead: {owner} needs one "
            "row a series, (n_samples, n_times), or (n_samples, n_times, n_bands). Reshape your "
            "data, a single series with array.reshape(1, -1)."
        )
    _require_cells(X.shape, owner)
    depth = X.shape[2] if X.ndim == 3 else None
    return SeriesTable(X.reshape(X.shape[0], -1), depth, dates, bands)


def carried_days(table: SeriesTable) -> np.ndarray | None:
    """Days since 1970 of the times a table carries: its ``time`` coordinate or column names."""
    if table.dates is None:
        return None
    if isinstance(table.dates, list):
        return dates_in_names(table.dates)
    return days_since_1970(table.dates, "the time coordinate")


def read_numbers(table: SeriesTable, start: int, stop: int, owner: str) -> np.ndarray:
    """Columns ``start`` to ``stop`` as a C-contiguous float32 or float64 array, missing NaN.

    A native float array is not copied. Only float32 throughout stays float32.
    """
    cells = table.cells
    if frame_names(cells) is None:
        if _is_plain_float(cells):
            return np.require(cells[:, start:stop], requirements=["C", "A"])
        columns: Sequence[Any] = [cells[:, column] for column in range(start, stop)]
        labels = [f"column {column}" for column in range(start, stop)]
    else:
        columns = frame_columns(cells, stop)[start:]
        labels = [f"column {name!r}" for name in list(cells.columns)[start:stop]]
    read = [
        column_values(column, f"{label} of {owner}'s X")
        for column, label in zip(columns, labels, strict=True)
    ]
    numbers = np.empty((cells.shape[0], stop - start), dtype=np.result_type(*read))
    for position, column in enumerate(read):
        numbers[:, position] = column
    return numbers


def read_days(table: SeriesTable, n_times: int, owner: str) -> np.ndarray:
    """First columns as days since 1970, shape (n_samples, n_times), missing times NaN."""
    cells = table.cells
    if frame_names(cells) is None and _is_plain_float(cells):
        days = np.array(cells[:, :n_times], dtype=np.float64, order="C")
        check_days(days, f"the times of {owner}'s X")
        return days
    is_frame = frame_names(cells) is not None
    columns = frame_columns(cells, n_times) if is_frame else [cells[:, at] for at in range(n_times)]
    labels = list(cells.columns)[:n_times] if is_frame else list(range(n_times))
    days = np.empty((cells.shape[0], n_times))
    for position, (column, label) in enumerate(zip(columns, labels, strict=True)):
        days[:, position] = days_since_1970(column, f"time column {label!r} of {owner}'s X")
    return days


def _is_plain_float(cells: Any) -> bool:
    return not isinstance(cells, np.ma.MaskedArray) and cells.dtype in (np.float32, np.float64)


def _from_dataarray(X: Any) -> tuple[Any, Any, tuple[str, ...] | None]:
    """Values with axes in the order sample, time, band; the time coordinate; names of bands."""
    dates, bands = None, None
    if _TIME in X.dims and X.ndim in {2, 3}:
        others = [dim for dim in X.dims if dim != _TIME]
        band = _BAND if _BAND in others else others[-1]
        if X.ndim == 2 and band == _BAND:
            raise ValueError(
                "The DataArray has the dimensions time and band and no dimension of samples: add "
                "one with X.expand_dims('sample')."
            )
        order = [others[0], _TIME] if X.ndim == 2 else [*_without(others, band), _TIME, band]
        X = X.transpose(*order)
        if _TIME in X.coords and X.coords[_TIME].dtype.kind in "MO":
            dates = X.coords[_TIME]
        if X.ndim == 3 and band in X.coords and X.coords[band].dtype.kind in "OUT":
            bands = tuple(str(name) for name in X.coords[band].values)
    return X.values, dates, bands


def _without(dims: Sequence[Any], dim: Any) -> list[Any]:
    return [other for other in dims if other != dim]


def _as_array(X: Any, owner: str) -> np.ndarray:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(X, torch.Tensor):
        if X.requires_grad:
            raise TypeError(f"{owner} cannot follow gradients: pass X.detach().")
        if X.device.type != "cpu":
            raise TypeError(
                f"{owner} computes on the CPU, got a tensor on {X.device}: pass X.cpu()."
            )
    if not isinstance(X, np.ma.MaskedArray):
        X = np.asarray(X)
    if X.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {owner} got {X.dtype}.")
    return X


def _require_cells(shape: tuple[int, ...], owner: str) -> None:
    if shape[0] == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={shape}) while 1 is required.")
    if 0 in shape:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={shape}) while a minimum of 1 is required by "
            f"{owner}."
        )
