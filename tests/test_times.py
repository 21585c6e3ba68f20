"""Times of any kind become days since 1970 in UTC, or an error that says why not."""

import datetime as dt
import zoneinfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geofeat._times import check_days, dates_in_names, days_since_1970

# 2020-02-29T12:00 and 1969-12-31T06:00, counted by hand: 50 years with 12 leap days, plus 59 days.
EXPECTED = [50 * 365 + 12 + 59 + 0.5, -0.75, np.nan]
STAMPS = np.array(["2020-02-29T12:00", "1969-12-31T06:00", "NaT"], dtype="datetime64[ns]")
TOKYO = zoneinfo.ZoneInfo("Asia/Tokyo")


def same_times():
    """The times of EXPECTED in every container that is accepted."""
    naive = pd.Series(STAMPS)
    aware = naive.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    objects = [dt.datetime(2020, 2, 29, 12), dt.datetime(1969, 12, 31, 6), None]
    zoned = [
        dt.datetime(2020, 2, 29, 21, tzinfo=TOKYO),
        dt.datetime(1969, 12, 31, 15, tzinfo=TOKYO),
        None,
    ]
    return {
        **{
            unit: STAMPS.astype(f"datetime64[{unit}]") for unit in ("h", "m", "s", "ms", "us", "ns")
        },
        "six hours": STAMPS.astype("datetime64[6h]"),
        "big-endian": STAMPS.astype(">M8[s]"),
        "masked": np.ma.masked_array(
            np.array(["2020-02-29T12", "1969-12-31T06", "2000-01-01"], dtype="M8[s]"), [0, 0, 1]
        ),
        "pandas": naive,
        "pandas index": pd.DatetimeIndex(naive),
        "pandas with time zone": aware,
        "pandas index with time zone": pd.DatetimeIndex(aware),
        "pandas objects": naive.astype(object),
        "arrow": naive.astype(pd.ArrowDtype(pa.timestamp("us"))),
        "arrow with time zone": aware.astype(pd.ArrowDtype(pa.timestamp("us", tz="Asia/Tokyo"))),
        "polars": pl.Series(objects),
        "polars with time zone": pl.Series(objects)
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone("Asia/Tokyo"),
        "xarray": xr.DataArray(STAMPS, dims="time"),
        "datetime": objects,
        "datetime with time zone": zoned,
        "timestamps": [pd.Timestamp(stamp) for stamp in STAMPS],
        "datetime64 objects": np.array([*STAMPS[:2], None], dtype=object),
        "ISO 8601": np.array(["2020-02-29T12:00", "1969-12-31 06:00", None], dtype=object),
        "ISO 8601 with offset": np.array(
            ["2020-02-29T14:00+02:00", "1969-12-31T08:00+02:00", None], dtype=object
        ),
        "float": EXPECTED,
        "nullable float": pd.Series(EXPECTED, dtype="Float64"),
        "polars float": pl.Series([*EXPECTED[:2], None]),
    }


@pytest.mark.parametrize("kind", list(same_times()))
def test_every_kind_of_time(kind):
    days = days_since_1970(same_times()[kind])
    assert days.dtype == np.float64
    assert_array_equal(days, EXPECTED)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("D", [18321.0, -1.0]),
        ("W", [18319.0, -7.0]),  # the Thursdays before
        ("M", [18293.0, -31.0]),
        ("Y", [18262.0, -365.0]),
    ],
)
def test_coarse_units_mean_their_first_day(unit, expected):
    assert_array_equal(days_since_1970(STAMPS[:2].astype(f"datetime64[{unit}]")), expected)


def test_dates_without_a_time_of_day():
    expected = [18321.0, np.nan]
    dates = [dt.date(2020, 2, 29), None]
    for column in (dates, pl.Series(dates), pd.Series(dates).astype("date32[pyarrow]")):
        assert_array_equal(days_since_1970(column), expected)
    periods = pd.PeriodIndex(["2020-02", "2020-03"], freq="M")
    assert_array_equal(days_since_1970(periods), [18293.0, 18322.0])


@settings(deadline=None)
@given(st.datetimes())
def test_any_datetime_in_any_unit(moment):
    """Exact integer arithmetic on microseconds is the oracle, over all of datetime's years."""
    microseconds = (moment - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)
    expected = microseconds / 86_400_000_000
    stamp = np.array([moment], dtype="datetime64[us]")
    for times in (stamp, [moment], pl.Series([moment], dtype=pl.Datetime("us"))):
        assert days_since_1970(times)[0] == pytest.approx(expected, rel=1e-15, abs=1e-11)


def test_leap_years_and_century():
    first = ["1900-03-01", "2000-03-01", "2100-03-01", "2024-12-31"]
    expected = [dt.date.fromisoformat(text).toordinal() - 719163 for text in first]
    assert_array_equal(days_since_1970(first), expected)


def test_nanoseconds_of_timestamps_count():
    days = days_since_1970([pd.Timestamp("1970-01-01T00:00:00.000000432")])
    assert days[0] == pytest.approx(432e-9 / 86400, rel=1e-12)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)], "no time zone .* UTC"),
        (
            [dt.datetime(2020, 1, 1, tzinfo=TOKYO), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)],
            "Asia/Tokyo .*position 0.* UTC .*position 1",
        ),
        (np.array(["2020-01-01", 3.0], dtype=object), "plain numbers"),
        ([True, False], "bool"),
        (np.array([1], dtype="m8[s]"), "timedelta64"),
        ([b"2020-01-01"], "days since 1970"),
        ([{}], "dict at position 0"),
        (np.array([1j]), "complex"),
    ],
)
def test_things_that_are_no_times(times, message):
    with pytest.raises(TypeError, match=message):
        days_since_1970(times)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([1.6e9], "1600000000 days .* years 1 to 9999.* divide seconds by 86400"),
        ([20200131], "20200131 days"),
        ([0.0, np.inf], "inf at position 1"),
        (np.array([10**17], dtype="M8[s]"), "years 1 to 9999"),
        (np.array([2**62], dtype="M8[D]"), "years 1 to 9999"),
        (np.array([-(2**62)], dtype="M8[W]"), "years 1 to 9999"),
        (np.array([10**17, 0], dtype="M8[Y]"), "position 0"),
        (["yesterday"], "'yesterday' at position 0.* ISO 8601"),
        ([[1.0, 2.0]], "one-dimensional"),
    ],
)
def test_times_that_cannot_be(times, message):
    with pytest.raises(ValueError, match=message):
        days_since_1970(times)


def test_far_dates_in_seconds_are_right():
    far = np.array(["0001-01-01", "9999-12-31", "3000-01-01"], dtype="M8[s]")
    assert_array_equal(days_since_1970(far), [-719162.0, 2932896.0, 376200.0])


def test_the_message_names_what_and_where():
    with pytest.raises(ValueError, match=r"my times holds .* position \(1, 0\)"):
        check_days(np.array([[0.0, 1.0], [1e9, 0.0]]), "my times")
    check_days(np.empty((0, 3)))


def test_dates_in_column_names():
    assert_array_equal(dates_in_names(["2020-01-01", "20200211"]), [18262.0, 18303.0])
    assert_array_equal(dates_in_names([pd.Timestamp("2020-01-01")]), [18262.0])
    for names in ([], ["2020-01-01", "label"], [0, 1], ["1", "2"], [pd.NaT], ["x0", "x1"]):
        assert dates_in_names(names) is None
