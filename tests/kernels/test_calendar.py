"""Shares of years and cycles against Python's calendar in exact fractions."""

import datetime as dt
from fractions import Fraction

import array_api_strict
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.externals.array_api_compat import torch as torch_namespace

from geofeat.kernels._calendar import (
    cycle_fraction,
    days_of_decimal_years,
    decimal_years,
    year_fraction,
)

EPOCH = dt.datetime(1970, 1, 1)
NAMESPACES = pytest.mark.parametrize("xp", [array_api_strict, torch_namespace])


def exact_days(moment):
    return Fraction((moment - EPOCH) // dt.timedelta(microseconds=1), 86_400_000_000)


def exact_year_fraction(moment):
    start = dt.date(moment.year, 1, 1).toordinal()
    length = dt.date(moment.year, 12, 31).toordinal() + 1 - start
    return (exact_days(moment) + 719163 - start) / length


def test_every_day_of_the_years_1_to_9999_has_its_exact_share():
    ordinals = np.arange(1, dt.date.max.toordinal() + 1)
    years = np.arange(1, 10000)
    starts = np.array([dt.date(year, 1, 1).toordinal() for year in years.tolist()])
    lengths = np.diff([*starts, dt.date.max.toordinal() + 1])
    assert set(lengths.tolist()) == {365, 366}
    year = np.searchsorted(starts, ordinals, side="right") - 1
    days = ordinals - 719163.0
    share = (ordinals - starts[year]) / lengths[year]
    assert_array_equal(year_fraction(days, np), share)
    assert_array_equal(np.floor(decimal_years(days + 0.5, np)), years[year])


@settings(deadline=None)
@given(st.datetimes())
@example(dt.datetime(1, 1, 1))
@example(dt.datetime(9999, 12, 31, 23, 59, 59, 999999))
@example(dt.datetime(2024, 2, 29, 12))
@example(dt.datetime(1900, 12, 31, 23, 59, 59, 999999))
@example(dt.datetime(2000, 12, 31, 23, 59, 59, 999999))
def test_the_share_of_the_year_is_as_exact_as_its_days(moment):
    """Days in float64 are right to half their last place; nothing is lost after that."""
    days = np.array([float(exact_days(moment))])
    expected = exact_year_fraction(moment)
    last_place = np.spacing(np.abs(days[0])) / 365
    share = year_fraction(days, np)[0]
    error = abs(Fraction(float(share)) - expected)
    assert min(error, abs(error - 1)) <= last_place + 1e-16
    back = days_of_decimal_years(decimal_years(days, np), np)
    assert_allclose(back, days, rtol=0, atol=5e-10)


@settings(deadline=None)
@given(
    moment=st.datetimes(dt.datetime(1950, 1, 1), dt.datetime(2050, 1, 1)),
    length=st.sampled_from([1.0, 7.0, 29.530589, 365.25, 3652.5]),
    origin=st.sampled_from([0.0, -3.0, 11000.0]),
)
def test_cycles_of_this_century_are_right_to_a_millionth_of_a_second(moment, length, origin):
    days = np.array([float(exact_days(moment))])
    expected = (exact_days(moment) - Fraction(origin)) / Fraction(length) % 1
    error = abs(Fraction(float(cycle_fraction(days, origin, length, np)[0])) - expected)
    assert min(error, abs(error - 1)) * Fraction(length) <= 1e-11


def test_whole_cycles_begin_at_zero_exactly():
    for length in (7.0, 29.530589, 365.25, 0.1):
        days = np.array([0.0, 1.0, 2.0, 64.0, 1024.0]) * length
        assert_array_equal(cycle_fraction(days, 0.0, length, np), 0.0)


def test_decimal_years_are_halfway_at_half_their_own_days():
    assert_array_equal(
        decimal_years(np.array([0.0, 182.5, 18262.0 + 183.0]), np), [1970, 1970.5, 2020.5]
    )
    assert_array_equal(
        days_of_decimal_years(np.array([1970.5, 2020.5, 1.0, 10000.0]), np),
        [182.5, 18445.0, -719162.0, 2932897.0],
    )


@NAMESPACES
def test_array_api_version_equals_the_compiled_one(xp):
    days = np.random.default_rng(0).uniform(-719162, 2932897, 1000)
    days[7] = np.nan
    there = xp.asarray(days.copy())
    assert_array_equal(np.asarray(year_fraction(there, xp)), year_fraction(days, np))
    assert_array_equal(
        np.asarray(cycle_fraction(there, -3.0, 7.0, xp)), cycle_fraction(days, -3.0, 7.0, np)
    )
    years = decimal_years(days, np)
    assert_array_equal(
        np.asarray(days_of_decimal_years(xp.asarray(years.copy()), xp)),
        days_of_decimal_years(years, np),
    )


def test_missing_stays_missing_and_rows_do_not_depend_on_their_place():
    days = np.random.default_rng(1).uniform(-1e5, 1e5, 101)
    days[13] = np.nan
    for run in (lambda d: year_fraction(d, np), lambda d: cycle_fraction(d, 0.0, 365.25, np)):
        batch = run(days)
        assert_array_equal(np.isnan(batch), np.arange(101) == 13)
        for row in (0, 13, 50, 99, 100):
            assert_array_equal(run(days[[row]])[0], batch[row])
        assert_array_equal(run(np.repeat(days, 2)[::2]), batch)
