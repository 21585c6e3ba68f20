"""Any X -> a table of times: dates, or numbers in a unit, and what day they are.

Dates in arrays stay datetime64 until their rows are encoded; every other kind of date, and dates
beside numbers, become numbers in the unit of the table.
"""

from __future__ import annotations

from numbers import Number
from typing import Any, NamedTuple

import numpy as np

from geofeat._columns import column_values, describe_rows, frame_columns, frame_names
from geofeat._coordinates import is_numpy, tensor_values
from geofeat._sklearn import get_namespace_and_device
from geofeat._times import (
    FIRST_DAY,
    LAST_DAY,
    check_days,
    datetime64_days,
    days_since_1970,
    time_values,
)
from geofeat.kernels._calendar import days_of_decimal_years, decimal_years
from geofeat.kernels._precision import in_double

# How many make a day; years have no such number.
_UNITS_OF_A_DAY = {"days": 1.0, "seconds": 86_400.0, "milliseconds": 86_400_000.0}
UNITS = (*_UNITS_OF_A_DAY, "years")


class TimeTable(NamedTuple):
    """Times of shape (n, n_columns), their namespace, and the first and last day among them."""

    times: Any
    xp: Any
    first: float
    last: float


def read_times(X: Any, owner: str, unit: str, *, as_numbers: bool) -> TimeTable:
    """Read a table that passed ``as_table``.

    Parameters
    ----------
    X : array, tensor or data frame of shape (n, n_columns)
        Dates, or numbers in ``unit``; a frame may hold both.
    owner : str
        Name of the transformer for messages.
    unit : str
        One of `UNITS`.
    as_numbers : bool
        Whether dates must become numbers.

    Returns
    -------
    table : TimeTable
        ``times`` is datetime64 or in a float dtype; the days are NaN where all times are missing.
    """
    if 0 in X.shape:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={tuple(X.shape)}) while a minimum of 1 is "
            f"required by {owner}."
        )
    xp, _, device = get_namespace_and_device(X)
    if frame_names(X) is None and not is_numpy(xp):
        times = tensor_values(X, xp, device, owner)
    else:
        xp, times = np, _as_one_array(X, owner, unit, as_numbers)
    return TimeTable(times, xp, *_extreme_days(times, unit, xp, owner))


def days_of(times: Any, unit: str, xp: Any) -> Any:
    """Convert datetime64, or numbers in a unit, to days since 1970-01-01, float64."""
    if xp is np and times.dtype.kind == "M":
        return datetime64_days(times)
    times = in_double(times, xp)
    if unit == "years":
        return days_of_decimal_years(times, xp)
    return times if unit == "days" else times / _UNITS_OF_A_DAY[unit]


def _numbers_of(days: np.ndarray, unit: str) -> np.ndarray:
    """Convert days since 1970-01-01 to numbers in a unit."""
    return decimal_years(days, np) if unit == "years" else days * _UNITS_OF_A_DAY[unit]


def _as_one_array(X: Any, owner: str, unit: str, as_numbers: bool) -> np.ndarray:
    names = frame_names(X)
    if names is None and X.dtype.kind in "iuf" and not isinstance(X, np.ma.MaskedArray):
        native = X.dtype.newbyteorder("=")
        return X.astype(np.float32 if native == np.float32 else np.float64, copy=False)
    n_columns = X.shape[1]
    columns = (
        [X[:, at] for at in range(n_columns)] if names is None else frame_columns(X, n_columns)
    )
    read = [
        _column(column, f"time column {label!r} of {owner}'s X", unit)
        for column, label in zip(columns, names or range(n_columns), strict=True)
    ]
    kinds = {column.dtype for column in read}
    if as_numbers or len(kinds) > 1:
        read = [
            _numbers_of(datetime64_days(column), unit) if column.dtype.kind == "M" else column
            for column in read
        ]
    return read[0][:, np.newaxis] if n_columns == 1 else np.stack(read).T


def _column(column: Any, what: str, unit: str) -> np.ndarray:
    """One column as datetime64 of native byte order, or as numbers in the unit."""
    if _holds_numbers(column):
        return column_values(column, what)
    values = time_values(column, what)
    if values.dtype.kind == "M":
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    return _numbers_of(days_since_1970(values, what), unit)


def _holds_numbers(column: Any) -> bool:
    """Whether a column is numeric, or begins with a number where anything may stand in it."""
    if hasattr(column.dtype, "is_numeric"):  # polars
        return bool(column.dtype.is_numeric())
    if column.dtype.kind != "O":
        return column.dtype.kind in "iufc"
    for value in np.asarray(column, dtype=object):
        missing = value is None or type(value).__name__ == "NAType" or value != value  # noqa: PLR0124
        if not missing:
            return isinstance(value, Number) and not isinstance(value, bool)
    return False


def _extreme_days(times: Any, unit: str, xp: Any, owner: str) -> tuple[float, float]:
    """First and last day; ValueError for infinities and times outside the years 1 to 9999."""
    if xp is np and times.dtype.kind == "M":
        first, last = datetime64_days(_extreme_dates(times)).tolist()
        if first < FIRST_DAY or last > LAST_DAY:
            check_days(datetime64_days(times), f"the table of {owner}")
        return first, last
    low, high = xp.min(times), xp.max(times)
    if xp.isnan(low):  # hides all others
        missing = xp.isnan(times)
        low = xp.min(xp.where(missing, xp.inf, times))
        high = xp.max(xp.where(missing, -xp.inf, times))
        if low > high:
            return np.nan, np.nan
    limits = np.array([FIRST_DAY, LAST_DAY], dtype=np.float64)
    earliest, latest = _numbers_of(limits, unit).tolist()
    if low < earliest or high > latest:
        _refuse_numbers(times, earliest, latest, unit, owner)
    first, last = days_of(np.array([float(low), float(high)]), unit, np).tolist()
    return first, last


def _extreme_dates(times: np.ndarray) -> np.ndarray:
    """First and last date, NaT if all are missing; whole numbers compare faster than dates."""
    missing = np.iinfo(np.int64).min
    ticks = times.view(np.int64)
    low, high = ticks.min(), ticks.max()
    if low == missing < high:
        low = ticks[ticks != missing].min()
    return np.array([low, high]).view(times.dtype)


def _refuse_numbers(times: Any, earliest: float, latest: float, unit: str, owner: str) -> None:
    numbers = np.asarray(times.cpu() if hasattr(times, "cpu") else times)
    infinite = np.isinf(numbers).any(axis=1)
    if infinite.any():
        raise ValueError(
            f"X holds inf as a time in {describe_rows(infinite)}; {owner} takes NaN or NaT for a "
            "missing time."
        )
    row, column = np.argwhere((numbers < earliest) | (numbers > latest))[0]
    since = "the year" if unit == "years" else f"{unit} since 1970-01-01"
    raise ValueError(
        f"X holds {numbers[row, column]:.10g} in row {row}, column {column}, which as {since} is "
        f"outside the years 1 to 9999. Tell {owner} by unit= what numbers count "
        f"({', '.join(UNITS)}), and parse dates such as 20200131 first."
    )
