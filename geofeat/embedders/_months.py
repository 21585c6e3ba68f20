"""Months of a table: a column of numbers 1 to 12 or of dates."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np

from geofeat._columns import column_values, describe_rows, frame_names
from geofeat._coordinates import is_geometry
from geofeat._times import days_since_1970

_DATE_TYPES = ("datetime", "date", "timestamp", "period")


def month_column(X: Any, name: str | None, owner: str) -> Any:
    """Return the column of X called ``name``, or its third one for None."""
    names = frame_names(X)
    if name is None:
        if is_geometry(X) or X.shape[1] < 3:
            held = type(X).__name__ if is_geometry(X) else f"{X.shape[1]} column(s)"
            raise ValueError(
                f"{owner}(month='column') reads the month from the third column of a table, got "
                f"{held}. Give its name as month= for a data frame, or a number from 1 to 12 for "
                "all places."
            )
        if names is None:
            return X[:, 2]
        name = names[2]
    if names is None or name not in names:
        held = "an array without names" if names is None else f"columns {names[:8]}"
        raise ValueError(
            f"{owner}(month={name!r}) needs a data frame with a column of that name, got {held}."
        )
    return X[name]


def months_of(column: Any, what: str) -> np.ndarray:
    """Months 1 to 12 of a column of numbers or dates, float64, NaN where missing.

    Dates with a time zone are taken in UTC.

    Raises
    ------
    ValueError
        For numbers that are no months; the message names the rows.
    """
    if not _holds_dates(column):
        months = column_values(column, what).astype(np.float64)
        with np.errstate(invalid="ignore"):
            wrong = ~np.isnan(months) & ~np.isin(months, np.arange(1, 13))
        if wrong.any():
            raise ValueError(
                f"{what} must hold months 1 to 12 or dates, got {months[wrong][0]:g} in "
                f"{describe_rows(wrong)}."
            )
        return months
    days = days_since_1970(column, what)
    missing = np.isnan(days)
    dates = np.floor(np.where(missing, 0, days)).astype("datetime64[D]")
    numbers = dates.astype("datetime64[M]").astype(np.int64) % 12 + 1
    return np.where(missing, np.nan, numbers)


def _holds_dates(column: Any) -> bool:
    kind = str(column.dtype).lower()
    if kind.startswith(_DATE_TYPES):
        return True
    return kind == "object" and any(
        isinstance(value, dt.date | np.datetime64) for value in np.asarray(column)
    )
