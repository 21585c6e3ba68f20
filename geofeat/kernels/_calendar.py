"""The calendar as arithmetic on days since 1970-01-01: shares of years and of other cycles.

Years are Gregorian, with 97 leap days in 400 years, before 1582 too, as ISO 8601 has them. The
time of day is kept as the difference to the whole day, so it loses no digit to the year.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from geofeat.kernels._jit import njit

# From 0001-01-01 to 1970-01-01.
_DAYS_BEFORE_1970 = 719162.0
_CENTURY, _YEAR = 36524.25, 365.25
# A century has three parts in four of a day less than the next whole number of days when its last
# day begins, and so has a year among four. An eighth more keeps quotients off whole numbers.
_SHIFT = 0.875


def year_fraction(days: Any, xp: Any) -> Any:
    """Elapsed share of the calendar year, float64, in [0, 1]; NaN in, NaN out.

    Parameters
    ----------
    days : array of shape (n,), float64
        Days since 1970-01-01, in namespace ``xp``.
    xp : module
        NumPy for the compiled kernel, else an array API namespace.
    """
    if xp is not np:
        return _year_and_fraction(days, xp)[1]
    out = np.empty(days.shape)
    _year_fractions(np.ascontiguousarray(days), out)
    return out


def cycle_fraction(days: Any, origin: float, length: float, xp: Any) -> Any:
    """Elapsed share of a cycle of ``length`` days that begins at ``origin``, in [0, 1].

    Parameters
    ----------
    days : array of shape (n,), float64
        Days since 1970-01-01, in namespace ``xp``.
    origin, length : float
        Day since 1970-01-01 on which one of the cycles begins, and days of a cycle.
    xp : module
        NumPy for the compiled kernel, else an array API namespace.
    """
    if xp is not np:
        cycles = (days - origin) / length
        return cycles - xp.floor(cycles)
    out = np.empty(days.shape)
    _cycle_fractions(np.ascontiguousarray(days), float(origin), float(length), out)
    return out


def decimal_years(days: Any, xp: Any) -> Any:
    """Convert days since 1970-01-01 to years: 2020.5 is halfway through the 366 days of 2020."""
    year, fraction = _year_and_fraction(days, xp)
    return year + fraction


def days_of_decimal_years(years: Any, xp: Any) -> Any:
    """Convert years such as 2020.5 to days since 1970-01-01, the inverse of `decimal_years`."""
    year = xp.floor(years)
    start, end = _first_day(year, xp), _first_day(year + 1, xp)
    return start + (years - year) * (end - start)


def _first_day(year: Any, xp: Any) -> Any:
    """Days from 1970-01-01 to the 1 January of whole years."""
    past = year - 1
    leap_days = xp.floor(past / 4) - xp.floor(past / 100) + xp.floor(past / 400)
    return 365 * past + leap_days - _DAYS_BEFORE_1970


@njit(error_model="numpy")
def _year_fractions(days: Any, out: Any) -> None:
    for i in range(days.shape[0]):
        day = np.floor(days[i])
        since = day + _DAYS_BEFORE_1970
        century = np.floor((since + _SHIFT) * (1 / _CENTURY))
        start = np.floor(century * _CENTURY)
        century_days = np.floor((century + 1.0) * _CENTURY) - start
        since -= start
        year = np.floor((since + _SHIFT) * (1 / _YEAR))
        start = np.floor(year * _YEAR)
        end = min(np.floor((year + 1.0) * _YEAR), century_days)
        out[i] = (since - start + (days[i] - day)) / (end - start)


@njit(error_model="numpy")
def _cycle_fractions(days: Any, origin: Any, length: Any, out: Any) -> None:
    for i in range(days.shape[0]):
        cycles = (days[i] - origin) / length
        out[i] = cycles - np.floor(cycles)


def _year_and_fraction(days: Any, xp: Any) -> tuple[Any, Any]:
    """Year, a whole number, and its elapsed share."""
    day = xp.floor(days)
    since = day + _DAYS_BEFORE_1970
    century = xp.floor((since + _SHIFT) * (1 / _CENTURY))
    start = xp.floor(century * _CENTURY)
    century_days = xp.floor((century + 1.0) * _CENTURY) - start
    since = since - start
    year = xp.floor((since + _SHIFT) * (1 / _YEAR))
    start = xp.floor(year * _YEAR)
    end = xp.floor((year + 1.0) * _YEAR)
    end = xp.where(end < century_days, end, century_days)
    return 100 * century + year + 1, (since - start + (days - day)) / (end - start)
