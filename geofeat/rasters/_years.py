"""The parameter ``year`` -> the year of every row, or several years of columns."""

from __future__ import annotations

import datetime as dt
import os
from typing import Any

import numpy as np

from geofeat._columns import describe_rows, frame_names
from geofeat.rasters._candidates import NO_LAYER_YEAR


def asked_years(
    year: Any, X: Any, n_rows: int, available: tuple[int, ...] | None, lag: int
) -> list[np.ndarray]:
    """Year of every row, int64 of shape (n_rows,), once for each block of output columns.

    A row without a year, and every row of a source without years, has `NO_LAYER_YEAR`.

    Parameters
    ----------
    year : None, int, list or tuple of int, str, or array of n_rows years or dates
        As given to the sampler.
    X : object
        What is transformed; ``year`` may name one of its columns.
    n_rows : int
        Rows of X.
    available : tuple of int or None
        Years of the source.
    lag : int
        Added to every year.
    """
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
        if year not in (frame_names(X) or []):
            raise ValueError(f"year={year!r} names no column of X")
        values, what = X[year], f"the column {year!r}"
    else:
        values, what = year, "year"
    years = row_years(values, what)
    if years.size != n_rows:
        raise ValueError(
            f"year holds {years.size} values, X has {n_rows} rows. Where X is split, as by "
            "cross-validation, put the years in a column of X and pass its name."
        )
    return [np.where(years == NO_LAYER_YEAR, years, years + lag)]


def listed_years(year: Any) -> list[int] | None:
    """Years that apply to all rows; None when each row has its own."""
    if isinstance(year, int | np.integer):
        return [_checked(int(year), "year")]
    if isinstance(year, list | tuple):
        if not year or len(set(year)) < len(year):
            raise ValueError(f"year must list different years, got {year!r}")
        if not all(isinstance(one, int | np.integer) for one in year):
            raise ValueError(f"a list of years holds integers, got {year!r}")
        return [_checked(int(one), "year") for one in year]
    return None


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


def _checked(year: int, what: str) -> int:
    if not 1000 <= year <= 9999:
        raise ValueError(f"{what}={year} is no year")
    return year
