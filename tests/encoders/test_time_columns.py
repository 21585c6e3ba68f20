"""Tables of times of every kind, read by FourierTimeEncoder."""

import datetime as dt
import zoneinfo
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
import torch
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from geofeat import FourierTimeEncoder

STAMPS = np.array(["2020-02-29T12:00", "1969-12-31T06:00", "2024-12-31T23:30"], dtype="M8[ns]")
DAYS = STAMPS.astype("M8[m]").astype(np.int64) / 1440
TOKYO = zoneinfo.ZoneInfo("Asia/Tokyo")


def same_times():
    """The times of STAMPS in every container of one column."""
    naive = pd.Series(STAMPS, name="date")
    aware = naive.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    moments = [stamp.astype("M8[us]").item() for stamp in STAMPS]
    zoned = [moment.replace(tzinfo=dt.UTC).astimezone(TOKYO) for moment in moments]
    texts = [moment.isoformat() for moment in moments]
    units = {unit: STAMPS.astype(f"M8[{unit}]")[:, None] for unit in ("m", "s", "ms", "us", "ns")}
    padded = np.repeat(STAMPS, 6).reshape(3, 6)
    return units | {
        "big-endian": STAMPS.astype(">M8[s]")[:, None],
        "half hours": STAMPS.astype("M8[30m]")[:, None],
        "strided": padded[:, 3:4],
        "series": naive,
        "series with time zone": aware,
        "index": pd.DatetimeIndex(STAMPS),
        "frame": naive.to_frame(),
        "frame of objects": pd.DataFrame({"date": pd.Series(moments, dtype=object)}),
        "frame of text": pd.DataFrame({"date": texts}),
        "frame with time zone": aware.to_frame(),
        "arrow": aware.astype(pd.ArrowDtype(pa.timestamp("us", tz="Asia/Tokyo"))).to_frame(),
        "polars": pl.DataFrame({"date": moments}),
        "polars series": pl.Series("date", moments),
        "polars with time zone": pl.DataFrame({"date": zoned}),
        "xarray": xr.DataArray(STAMPS[:, None], dims=("sample", "column")),
        "list of datetimes": [[moment] for moment in moments],
        "list with time zone": [[moment] for moment in zoned],
        "list of timestamps": [[pd.Timestamp(moment)] for moment in moments],
        "text": np.array(texts)[:, None],
        "days": DAYS[:, None],
        "list of days": DAYS[:, None].tolist(),
        "nullable days": pd.DataFrame({"date": DAYS}).astype("Float64"),
        "decimals": np.array([[Decimal(str(day))] for day in DAYS.tolist()]),
        "masked": np.ma.masked_array(STAMPS.astype("M8[s]")[:, None]),
        "tensor": torch.from_numpy(DAYS[:, None].copy()),
    }


@pytest.mark.parametrize("kind", list(same_times()))
def test_every_kind_of_time_gives_the_same_features(kind):
    encoder = FourierTimeEncoder(("year", "week", "day"), n_harmonics=2)
    expected = encoder.fit_transform(STAMPS[:, None])
    X = same_times()[kind]
    for features in (clone(encoder).transform(X), encoder.fit(X).transform(X)):
        assert_allclose(features, expected, rtol=0, atol=1e-9)
        assert features.dtype == np.float64
        assert features.flags.c_contiguous
    assert encoder.span_.tolist() == pytest.approx([-0.75, DAYS[2]], abs=1e-9)


@pytest.mark.parametrize(
    ("unit", "numbers"),
    [
        ("days", DAYS),
        ("seconds", DAYS * 86400),
        ("milliseconds", (DAYS * 86_400_000).round().astype(np.int64)),
        ("years", [2020 + 59.5 / 366, 1969 + 364.25 / 365, 2024 + (366 - 1 / 48) / 366]),
    ],
)
@pytest.mark.parametrize("device", [None, "cpu"])
def test_numbers_count_what_the_unit_says(unit, numbers, device):
    encoder = FourierTimeEncoder(("year", "day"), unit=unit, device=device)
    expected = FourierTimeEncoder(("year", "day")).fit_transform(STAMPS[:, None])
    features = encoder.fit_transform(np.asarray(numbers)[:, None])
    assert_allclose(features, expected, rtol=0, atol=1e-9)
    # dates have no unit, alone or beside numbers
    assert_allclose(encoder.transform(STAMPS[:, None]), expected, rtol=0, atol=1e-9)
    mixed = pd.DataFrame({"at": STAMPS, "number": numbers})
    both = encoder.fit_transform(mixed)
    assert_allclose(both, np.hstack([expected, expected]), rtol=0, atol=1e-9)
    objects = np.array([[number] for number in np.asarray(numbers).tolist()], dtype=object)
    assert_allclose(encoder.fit_transform(objects), expected, rtol=0, atol=1e-9)


def test_columns_of_several_kinds_of_dates():
    aware = pd.Series(STAMPS).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    X = pd.DataFrame(
        {
            "ns": STAMPS,
            "s": STAMPS.astype("M8[s]"),
            "zone": aware,
            "text": STAMPS.astype("M8[s]").astype(str),
            "days": DAYS,
            "single": DAYS.astype(np.float32),
        }
    )
    encoder = FourierTimeEncoder()
    features = encoder.fit_transform(X)
    expected = encoder.fit_transform(STAMPS[:, None])
    assert features.dtype == np.float64
    assert_allclose(features[:, :10], np.tile(expected, 5), rtol=0, atol=1e-10)
    assert_allclose(features[:, 10:], expected, rtol=0, atol=1e-3)


def missing_in_row_one():
    stamps = STAMPS.copy()
    stamps[1] = "NaT"
    moments = [stamp.astype("M8[us]").item() for stamp in stamps]
    return {
        "NaT": stamps[:, None],
        "NaT in seconds": stamps.astype("M8[s]")[:, None],
        "pandas": pd.DataFrame({"t": stamps}),
        "pandas with time zone": pd.DataFrame({"t": pd.Series(stamps).dt.tz_localize("UTC")}),
        "polars": pl.DataFrame({"t": moments}),
        "objects": np.array([[moment] for moment in moments], dtype=object),
        "NaN": np.where(np.isnat(stamps), np.nan, DAYS)[:, None],
        "None among numbers": np.array([[DAYS[0]], [None], [DAYS[2]]], dtype=object),
        "nullable": pd.DataFrame({"t": pd.array([DAYS[0], None, DAYS[2]], dtype="Float64")}),
        "masked": np.ma.masked_array(STAMPS[:, None], [[0], [1], [0]]),
        "masked days": np.ma.masked_array(DAYS[:, None], [[0], [1], [0]]),
        "one of two columns": np.stack([STAMPS, stamps], axis=1),
    }


@pytest.mark.parametrize("kind", list(missing_in_row_one()))
@pytest.mark.parametrize("function", ["fourier", "legendre", "triangle"])
def test_a_missing_time_makes_its_row_nan(kind, function):
    X = missing_in_row_one()[kind]
    encoder = FourierTimeEncoder(("year", 7), kind=function, include_bias=True).fit(X)
    features = encoder.transform(X)
    assert_array_equal(np.isnan(features).all(axis=1), [False, True, False])
    assert not np.isnan(features[[0, 2]]).any()
    assert encoder.span_[1] == pytest.approx(DAYS[2])


@pytest.mark.parametrize("X", [np.full((3, 1), np.nan), np.full((3, 1), "NaT", dtype="M8[s]")])
def test_only_missing_times_are_nan_too(X):
    encoder = FourierTimeEncoder().fit(X)
    assert np.isnan(encoder.transform(X)).all()
    assert np.isnan(encoder.span_).all()


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([dt.datetime(2020, 1, 1)], ValueError, "Expected 2D array, got 1D.*times as columns"),
        (np.zeros((2, 2, 2)), ValueError, "Expected 2D array, got 3D"),
        (np.empty((3, 0)), ValueError, r"0 feature\(s\)"),
        (np.empty((0, 2)), ValueError, r"0 sample\(s\)"),
        ([[0.0], [np.inf]], ValueError, r"inf as a time in 1 of 2 rows \(1\)"),
        ([[1.6e9]], ValueError, "1600000000 in row 0, column 0, which as days.*unit="),
        ([[0.0], [20200131.0]], ValueError, "20200131 in row 1.*years 1 to 9999"),
        (np.array([[10**17]], dtype="M8[s]"), ValueError, "years 1 to 9999"),
        ([["yesterday"]], ValueError, "time column 0 of FourierTimeEncoder's X.*'yesterday'"),
        ([[True]], TypeError, "bool"),
        ([[1j]], ValueError, "Complex data"),
        (np.array([[{}]], dtype=object), TypeError, "dict at position 0"),
        (np.zeros((2, 1), dtype="m8[s]"), TypeError, "timedelta64"),
        (sparse.csr_array(np.eye(3)), TypeError, "toarray"),
        (pd.DataFrame([[1.0, 2.0]], columns=["a", "a"]), ValueError, "duplicated.*a"),
        (
            pd.DataFrame(
                {"sown": [dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, tzinfo=TOKYO)]}
            ),
            TypeError,
            "'sown'.*no time zone",
        ),
        (np.array([[dt.datetime(2020, 1, 1)], [3.0]], dtype=object), TypeError, "plain numbers"),
        (torch.zeros(2, 1, requires_grad=True), TypeError, r"\.detach\(\)"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "transform"])
def test_errors_say_what_came_and_what_to_do(X, error, message, method):
    with pytest.raises(error, match=message):
        getattr(FourierTimeEncoder(), method)(X)


@pytest.mark.parametrize(
    ("unit", "number", "message"),
    [
        ("seconds", 1.6e12, "1.6e\\+12 in row 0, column 0, which as seconds since 1970-01-01"),
        ("years", 20200131.0, "which as the year"),
        ("years", 0.5, "which as the year"),
        ("years", -np.inf, "inf"),
    ],
)
def test_numbers_outside_of_the_calendar_are_told_in_their_unit(unit, number, message):
    with pytest.raises(ValueError, match=message):
        FourierTimeEncoder(unit=unit).transform([[number]])


def test_names_of_places_are_good_names_of_times():
    X = pd.DataFrame({"lat": [1.0], "lon": [2.0]})
    names = FourierTimeEncoder().fit(X).get_feature_names_out()
    assert names.tolist() == ["lat_year_sin1", "lat_year_cos1", "lon_year_sin1", "lon_year_cos1"]


def test_input_is_never_written():
    X = np.array([[0.5], [np.nan], [3.0]])
    dates = STAMPS[:, None].copy()
    for given in (X, dates):
        kept = given.copy()
        given.flags.writeable = False
        FourierTimeEncoder(unit="days").fit_transform(given)
        assert_array_equal(given, kept)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.longdouble, np.int32, np.uint8])
def test_numbers_of_every_dtype(dtype):
    X = np.array([[1], [100], [200]], dtype=dtype)
    features = FourierTimeEncoder().transform(X)
    assert features.dtype == (np.float32 if dtype == np.float32 else np.float64)
    expected = FourierTimeEncoder().transform(X.astype(float)).astype(features.dtype)
    assert_allclose(features, expected, rtol=0, atol=1e-7 if dtype == np.float32 else 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.int64])
@pytest.mark.parametrize("unit", ["days", "years"])
def test_tensors_in_tensors_out(dtype, unit):
    X = torch.tensor([[1.0, 300.0], [1000.0, 2000.0]]).to(dtype)
    encoder = FourierTimeEncoder(("year", "day"), unit=unit, kind="triangle")
    with sklearn.config_context(array_api_dispatch=True):
        features = encoder.fit(X).transform(X)
        with pytest.raises(TypeError, match="no real numbers"):
            encoder.fit(X > 5)
    assert isinstance(features, torch.Tensor)
    assert features.dtype == (torch.float32 if dtype == torch.float32 else torch.float64)
    expected = encoder.fit_transform(X.numpy().astype(float))
    assert_allclose(features.numpy(), expected, rtol=0, atol=1e-6)
