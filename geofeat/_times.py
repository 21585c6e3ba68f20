"""Times of any kind -> days since 1970-01-01T00:00 UTC, as float64.

Dates with a time zone are converted to UTC, dates without one are UTC already, plain numbers are
days since 1970-01-01 as they stand. A missing time is NaN.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np

from geofeat._columns import column_values

_EPOCH = dt.datetime(1970, 1, 1)
# The years 1 to 9999, those that a datetime.datetime can hold.
FIRST_DAY = (dt.datetime.min - _EPOCH).days
LAST_DAY = (dt.datetime.max - _EPOCH).days + 1
_MICROSECONDS_PER_DAY = 86_400_000_000
_UNITS_PER_DAY = {
    "D": 1,
    "h": 24,
    "m": 1440,
    "s": 86_400,
    "ms": 86_400_000,
    "us": _MICROSECONDS_PER_DAY,
    "ns": 86_400_000_000_000,
    "ps": 86_400_000_000_000_000,
}
_NUMBERS = "plain numbers"


def days_since_1970(times: Any, what: str = "times") -> np.ndarray:
    """Convert times to days since 1970-01-01T00:00 UTC.

    Parameters
    ----------
    times : array-like of shape (n,)
        datetime64 of any unit, a pandas or polars column or index of dates, an xarray coordinate,
        ``datetime`` objects, ISO 8601 strings, or numbers that are days already.
    what : str, default="times"
        Name of the times in messages.

    Returns
    -------
    days : ndarray of shape (n,), float64
        NaN where the time is missing.

    Raises
    ------
    TypeError
        For booleans, time spans and other things that are no times; for dates of which some have a
        time zone and some do not, or that have several zones.
    ValueError
        For text that is no ISO 8601 date, infinities, and times outside the years 1 to 9999.

    Examples
    --------
    >>> import numpy as np
    >>> from geofeat._times import days_since_1970
    >>> days_since_1970(np.array(["1970-01-03T12", "NaT"], dtype="datetime64[s]"))
    array([2.5, nan])
    """
    values = time_values(times, what)
    if values.ndim != 1:
        raise ValueError(f"{what} must be one-dimensional, got shape {values.shape}.")
    kind = values.dtype.kind
    if kind == "M":
        days = datetime64_days(values)
    elif kind in "OU":
        days = _from_objects(values, what)
    elif kind in "iuf":
        days = np.asarray(column_values(values, what), dtype=np.float64)
    else:
        raise TypeError(
            f"{what} must be dates, or numbers of days since 1970-01-01; got {values.dtype}."
        )
    check_days(days, what)
    return days


def check_days(days: np.ndarray, what: str = "times") -> None:
    """Raise ValueError for days that are infinite or outside the years 1 to 9999."""
    if not days.size:
        return
    with np.errstate(invalid="ignore"):
        impossible = (days < FIRST_DAY) | (days > LAST_DAY)
    if not impossible.any():
        return
    position = np.argwhere(impossible)[0].tolist()
    place = position[0] if len(position) == 1 else tuple(position)
    worst = days[tuple(position)]
    if np.isinf(worst):
        raise ValueError(f"{what} holds inf at position {place}; a missing time is NaN or NaT.")
    raise ValueError(
        f"{what} holds {worst:.10g} days since 1970-01-01 at position {place}, outside the years "
        "1 to 9999. Numbers must be days: divide seconds by 86400, and parse dates such as "
        "20200131 first."
    )


def time_values(times: Any, what: str) -> np.ndarray:
    """Return times in their own dtype: dates in UTC, masked ones missing, objects as given."""
    module = type(times).__module__.partition(".")[0]
    if module == "polars":
        return _from_polars(times)
    if module == "xarray":
        times = times.values
    if module == "pandas" and not isinstance(getattr(times, "dtype", None), np.dtype):
        return _from_pandas(times, what)
    mask = np.ma.getmaskarray(times) if isinstance(times, np.ma.MaskedArray) else None
    values = np.asarray(times) if mask is None else np.array(times)
    if mask is None or not mask.any():
        return values
    if values.dtype.kind not in "Mf":
        values = values.astype(np.float64)
    values[mask] = np.datetime64("NaT") if values.dtype.kind == "M" else np.nan
    return values


def datetime64_days(values: np.ndarray) -> np.ndarray:
    """Convert datetime64 of any unit to days since 1970, float64, NaT to NaN.

    Years beyond those of a datetime are not checked here.
    """
    unit, count = np.datetime_data(values.dtype)
    missing = np.isnat(values)
    if unit == "generic":
        return np.full(values.shape, np.nan)
    if unit in {"fs", "as"}:
        values, unit, count = values.astype("datetime64[ns]"), "ns", 1
    if count != 1:
        values = values.astype(f"datetime64[{unit}]")
    if unit in _UNITS_PER_DAY:
        ticks = values.astype(values.dtype.newbyteorder("="), copy=False).view(np.int64)
        days = ticks / _UNITS_PER_DAY[unit]
    else:  # years, months, weeks: clipped far outside the range, where numpy would wrap
        steps = values.astype(np.int64).clip(-(2**24), 2**24)
        dates = steps.astype(f"datetime64[{unit}]").astype("datetime64[D]")
        days = dates.astype(np.int64).astype(np.float64)
    if missing.any():
        days[missing] = np.nan
    return days


def dates_in_names(names: Sequence[Any]) -> np.ndarray | None:
    """Days since 1970 of column names that are all dates or ISO 8601 text; None otherwise."""
    if not names or not all(isinstance(name, str | dt.date | np.datetime64) for name in names):
        return None
    try:
        days = days_since_1970(np.array(names, dtype=object), "the column names")
    except (TypeError, ValueError):
        return None
    return None if np.isnan(days).any() else days


def _from_polars(times: Any) -> np.ndarray:
    import polars as pl

    if isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone is not None:
        times = times.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return times.to_numpy()


def _from_pandas(times: Any, what: str) -> np.ndarray:
    """Values of an extension column: with a time zone, of Arrow or of nullable numbers."""
    import pandas as pd

    dtype = times.dtype
    if isinstance(dtype, pd.PeriodDtype):
        return pd.PeriodIndex(times).to_timestamp().to_numpy()
    arrow = str(getattr(dtype, "pyarrow_dtype", ""))
    if isinstance(dtype, pd.DatetimeTZDtype) or arrow.startswith(("timestamp", "date")):
        dates = pd.DatetimeIndex(pd.to_datetime(pd.Series(times), utc=True))
        return dates.tz_localize(None).to_numpy()
    if dtype.kind in "iuf":
        return column_values(pd.Series(times), what)
    return times.to_numpy(dtype=object)


def _from_objects(values: np.ndarray, what: str) -> np.ndarray:
    days = np.full(values.shape, np.nan)
    zones: dict[str, int] = {}
    for position, value in enumerate(values):
        if value is None or type(value).__name__ == "NAType":
            continue
        if isinstance(value, str):
            value = _parse(str(value), what, position)
        if value != value:  # noqa: PLR0124  (NaN and every kind of NaT)
            continue
        days[position], zone = _day_of(value, what, position)
        zones.setdefault(zone, position)
    if len(zones) > 1:
        listed = ", ".join(f"{zone} (position {position})" for zone, position in zones.items())
        raise TypeError(
            f"{what} mixes times that cannot be told apart safely: {listed}. Convert all of them "
            "to UTC first."
        )
    return days


def _parse(text: str, what: str, position: int) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ValueError(
            f"{what} holds {text!r} at position {position}, which is no ISO 8601 date such as "
            "2020-01-31 or 2020-01-31T10:30."
        ) from error


def _day_of(value: Any, what: str, position: int) -> tuple[float, str]:
    """Day since 1970 of one object, and the time zone it was given in."""
    if isinstance(value, dt.datetime):
        zone = "no time zone" if value.tzinfo is None else f"time zone {value.tzinfo}"
        epoch = _EPOCH if value.tzinfo is None else _EPOCH.replace(tzinfo=dt.UTC)
        since = value - epoch
        fraction = since.seconds / 86_400 + since.microseconds / _MICROSECONDS_PER_DAY
        fraction += getattr(since, "nanoseconds", 0) / (1000 * _MICROSECONDS_PER_DAY)
        return since.days + fraction, zone
    if isinstance(value, dt.date):
        return float((value - _EPOCH.date()).days), "no time zone"
    if isinstance(value, np.datetime64):
        return float(datetime64_days(np.array([value]))[0]), "no time zone"
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return float(value), _NUMBERS
    raise TypeError(
        f"{what} holds a {type(value).__name__} at position {position}; expected dates, or numbers "
        "of days since 1970-01-01."
    )
