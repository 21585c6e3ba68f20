"""Columns of any table -> 1-D float arrays: the types accepted, and what the others are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_REFUSED_KINDS = {
    "b": "booleans",
    "S": "bytes",
    "U": "text",
    "M": "dates",
    "m": "time spans",
    "V": "records",
}


def frame_names(X: Any) -> list[Any] | None:
    """Column names of a pandas or polars DataFrame, None for everything else."""
    if not hasattr(X, "columns") or not hasattr(X, "dtypes") or not hasattr(X, "shape"):
        return None
    return list(X.columns)


def frame_columns(X: Any, n_columns: int) -> list[Any]:
    """Return the first columns of a pandas or polars DataFrame, by position."""
    if hasattr(X, "iloc"):
        return [X.iloc[:, position] for position in range(n_columns)]
    return [X.to_series(position) for position in range(n_columns)]


def column_values(column: Any, what: str) -> np.ndarray:
    """Values of one column as float32 (kept) or float64 (all else), missing ones NaN.

    Raises
    ------
    TypeError
        For booleans, text, dates and objects that are no numbers; ``what`` names the column.
    ValueError
        For complex numbers.
    """
    if hasattr(column, "array") and not isinstance(column.dtype, np.dtype):
        column = _from_pandas_extension(column)
    elif type(column).__module__.startswith("polars"):
        column = column.cast(float) if column.dtype.is_decimal() else column.to_numpy()
    mask = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else None
    values = np.asarray(column)
    kind = values.dtype.kind
    if kind in _REFUSED_KINDS:
        raise TypeError(
            f"{what} holds {_REFUSED_KINDS[kind]} ({values.dtype}), not numbers; convert them "
            "first, for example with astype(float)."
        )
    if kind == "c":
        raise ValueError(f"Complex data not supported: {what} is {values.dtype}.")
    if kind == "O":
        values = _numbers_from_objects(values, what)
    native = values.dtype.newbyteorder("=")
    values = values.astype(np.float32 if native == np.float32 else np.float64)
    if mask is not None:
        values[mask] = np.nan
    return values


def _from_pandas_extension(column: Any) -> Any:
    kind = getattr(column.dtype, "kind", "O")
    if kind in "iuf":
        dtype = np.float32 if "float32" in str(column.dtype).lower() else np.float64
        if "[float]" in str(column.dtype).lower():  # pyarrow's name of single precision
            dtype = np.float32
        return column.to_numpy(dtype=dtype, na_value=np.nan)
    if kind in "bmM":
        return column.to_numpy(dtype=f"{kind}8[ns]" if kind in "mM" else bool, na_value=False)
    return column.to_numpy(dtype=object)


def _numbers_from_objects(values: np.ndarray, what: str) -> np.ndarray:
    numbers = np.empty(values.shape, dtype=np.float64)
    for row, value in enumerate(values):
        if value is None or type(value).__name__ == "NAType":
            numbers[row] = np.nan
        elif isinstance(value, str | bytes | bool | np.bool_ | np.datetime64 | np.timedelta64):
            raise TypeError(
                f"{what} holds {value!r} ({type(value).__name__}) in row {row}, not a number."
            )
        else:
            try:
                numbers[row] = float(value)
            except TypeError as error:
                raise TypeError(
                    f"{what} holds a {type(value).__name__} in row {row}: argument must be a "
                    "string or a real number."
                ) from error
    return numbers


def describe_rows(marked: np.ndarray | Sequence[bool]) -> str:
    """Count and first five positions of the marked rows: ``3 of 1000 rows (12, 77, 801)``."""
    marked = np.asarray(marked)
    rows = np.flatnonzero(marked)
    listed = ", ".join(str(row) for row in rows[:5]) + (", ..." if rows.size > 5 else "")
    return f"{rows.size} of {marked.size} rows ({listed})"
