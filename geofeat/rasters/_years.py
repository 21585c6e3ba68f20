"""The parameter ``year`` -> the year of every row, or several years of columns."""

from __future__ import annotations

import datetime as dt
import os
from numbers import Real
from typing import Any

import numpy as np

from geofeat._columns import describe_rows, frame_names
from geofeat._coordinates import is_geometry
from geofeat.rasters._candidates import NO_LAYER_YEAR

_SCALARS = (Real, dt.date, np.datetime64)
_IN_A_COLUMN = (
    "Where X is split, as by cross-validation, put the years in a column of X and pass its name."
)


def asked_years(
    year: Any, X: Any, n_rows: int, available: tuple[int, ...] | None, lag: int
) -> list[np.ndarray]:
    """Year of every row, int64 of shape (n_rows,), once for each block of output columns.

    A row without a year, and every row of a source without years, has `NO_LAYER_YEAR`.

    Parameters
    ----------
    year : None, int or date, list or tuple of those, str, or array of n_rows years or dates
        As given to the sampler. A Series must have X's index where X has one, every other array
        is matched by position.
    X : object
        What is transformed; ``year`` may name one of its columns.
    n_rows : int
        Rows of X.
    available : tuple of int or None
        Years of the source.
    lag : int
        Added to every year; an error where no year is asked for.
    """
    if lag and year is None:
        raise ValueError(f"lag={lag} needs year=, the year that it is added to")
    if available is None:
        if year is not None:
            raise ValueError(
                f"year={year!r} was asked of a source whose layers carry no year; tell it the year "
                "of its files, for example RasterSource(paths, year=...)"
            )
        return [np.full(n_rows, NO_LAYER_YEAR, dtype=np.int64)]
    if year is None:
        if len(available) != 1:
            raise ValueError(
                f"the source holds the years {', '.join(map(str, available)) or 'none'}: choose "
                "with year=, an int, a list, or the name of a column of X"
            )
        return [np.full(n_rows, available[0], dtype=np.int64)]
    listed = listed_years(year)
    if listed is not None:
        return [np.full(n_rows, one + lag, dtype=np.int64) for one in listed]
    if isinstance(year, str):
        values, what = _year_column(year, X), f"the column {year!r}"
    else:
        values, what = year, "year"
        _require_same_index(year, X)
    years = row_years(values, what)
    if years.size != n_rows:
        raise ValueError(f"year holds {years.size} values, X has {n_rows} rows. {_IN_A_COLUMN}")
    return [np.where(years == NO_LAYER_YEAR, years, years + lag)]


def listed_years(year: Any) -> list[int] | None:
    """Years that apply to all rows; None when each row has its own."""
    if not isinstance(year, list | tuple):
        return [_one_year(year)] if isinstance(year, _SCALARS) else None
    years = [_one_year(one) for one in year]
    if not years or len(set(years)) < len(years):
        raise ValueError(
            f"year must list different years, got {_shortened(year)}: a list asks for columns of "
            "each; the year of every row goes in an array or in a column of X"
        )
    return years


def _one_year(value: Any) -> int:
    if not isinstance(value, _SCALARS):
        raise ValueError(f"a list of years holds integers or dates, got {value!r} in it")
    year = _year_of(value, "year")
    if not (1000 <= year <= 9999 and year == int(year)):
        raise ValueError(f"year={value} is no year")
    return int(year)


def _shortened(years: list[Any] | tuple[Any, ...]) -> str:
    return str(years) if len(years) <= 5 else f"{len(years)} beginning with {years[:5]}"


def _year_column(name: str, X: Any) -> Any:
    names = frame_names(X) or []
    if name not in names:
        has = f"its columns are {names}" if names else f"a {type(X).__name__} has none"
        raise ValueError(f"year={name!r} names no column of X, {has}")
    if name in names[:2] and not is_geometry(X):
        raise ValueError(
            f"year={name!r} is one of the first two columns of X, which are read as longitude and "
            "latitude; put it behind them"
        )
    return X[name]


def refuse_aligned_years(year: Any) -> None:
    """Raise ValueError for years that are aligned with X, where X comes in partitions."""
    if year is not None and not isinstance(year, str) and listed_years(year) is None:
        raise ValueError(
            f"year is a {type(year).__name__} aligned with X, which a dask collection in "
            "partitions cannot follow: put the years in a column of X and pass its name."
        )


def _require_same_index(year: Any, X: Any) -> None:
    """Refuse a Series whose labels contradict X: pairing by position would mix up the rows."""
    import pandas as pd

    index = getattr(X, "index", None)
    if not isinstance(year, pd.Series) or not isinstance(index, pd.Index):
        return
    if not year.index.equals(index):
        raise ValueError(
            f"year is a Series of {year.size} values whose index is not that of X, of "
            f"{len(index)} rows. {_IN_A_COLUMN} An array is matched by position."
        )


def row_years(values: Any, what: str) -> np.ndarray:
    """Calendar years of numbers, dates or times; `NO_LAYER_YEAR` where one is missing."""
    import pandas as pd

    if type(values).__module__.startswith("polars"):
        values = values.to_numpy()
    series = (
        pd.Series(np.ma.filled(values.astype(float), np.nan))
        if isinstance(values, np.ma.MaskedArray)
        else pd.Series(values)
    )
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(object)
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        years = series.dt.year
    elif isinstance(series.dtype, pd.PeriodDtype):
        years = series.dt.year.where(series.notna())
    elif pd.api.types.is_numeric_dtype(series.dtype) and not pd.api.types.is_bool_dtype(
        series.dtype
    ):
        years = series
    elif series.dtype == object or "date" in str(series.dtype):
        years = pd.Series([_year_of(value, what) for value in series], dtype=float)
    else:
        raise TypeError(f"{what} holds {series.dtype}, not years or dates")
    numbers = years.to_numpy(dtype=np.float64, na_value=np.nan)
    missing = np.isnan(numbers)
    whole = np.where(missing, NO_LAYER_YEAR, np.nan_to_num(numbers)).astype(np.int64)
    wrong = ~missing & ((whole != numbers) | (whole < 1000) | (whole > 9999))
    if wrong.any():
        raise ValueError(
            f"{what} holds {numbers[wrong][0]:g} and the like in {describe_rows(wrong)}, which are "
            "no years; dates are accepted as datetime64."
        )
    return whole


def _year_of(value: Any, what: str) -> float:
    import pandas as pd

    if value is None or value is pd.NaT or value is pd.NA:
        return np.nan
    if isinstance(value, dt.date | np.datetime64):
        return float(pd.Timestamp(value).year)
    if isinstance(value, bool | str | bytes | os.PathLike):
        raise TypeError(f"{what} holds {value!r}, not a year or a date")
    return float(value)
