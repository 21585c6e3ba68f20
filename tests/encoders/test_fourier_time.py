"""FourierTimeEncoder against Python's calendar, SciPy and HarmonicFeatures' conventions."""

import calendar
import datetime as dt
import math
import pickle
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import eval_legendre
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils._param_validation import InvalidParameterError

from geofeat import FourierTimeEncoder, HarmonicFeatures
from geofeat.exceptions import TimesWarning

KINDS = ["fourier", "legendre", "monomial", "triangle", "copy"]


def draw_dates(n, seed=0, unit="ns"):
    seconds = np.random.default_rng(seed).integers(-2_000_000_000, 4_000_000_000, n)
    return (seconds * 10**9).view("M8[ns]").astype(f"M8[{unit}]")[:, None]


def exact_share(moment, period):
    """Elapsed share of a period by the calendar of Python, exact."""
    midnight = dt.datetime.combine(moment.date(), dt.time())
    day = Fraction((moment - midnight) // dt.timedelta(microseconds=1), 86_400_000_000)
    if period == "day":
        return day
    if period == "week":
        return (moment.weekday() + day) / 7
    return (moment.timetuple().tm_yday - 1 + day) / (365 + calendar.isleap(moment.year))


@settings(deadline=None, max_examples=200)
@given(
    st.datetimes(),
    st.sampled_from(["day", "week", "year"]),
    st.integers(1, 4),
)
def test_waves_are_those_of_the_calendar(moment, period, k):
    """Days of the years 1 to 9999 are right to 3e-10 in float64, so phases to 2 pi k as much."""
    stamp = np.array([[moment]], dtype="M8[us]")
    sine, cosine = FourierTimeEncoder(period, n_harmonics=k).transform(stamp)[0, -2:]
    angle = 2 * math.pi * float(k * exact_share(moment, period) % 1)
    assert sine == pytest.approx(math.sin(angle), abs=2 * math.pi * k * 1e-9)
    assert cosine == pytest.approx(math.cos(angle), abs=2 * math.pi * k * 1e-9)


def test_the_hour_of_today_is_right_to_a_microsecond():
    seconds = np.arange(1_750_000_000, 1_750_086_400, 7)
    stamps = (seconds * 10**9).view("M8[ns]")[:, None]
    features = FourierTimeEncoder("day").transform(stamps)
    turn = 2 * np.pi * (seconds % 86400) / 86400
    expected = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    assert_allclose(features, expected, rtol=0, atol=2 * np.pi * 4e-12)


@pytest.mark.parametrize("year", [1, 1900, 1999, 2000, 2023, 2024, 9999])
def test_quarters_of_a_year_are_exact_in_leap_years_too(year):
    start = np.datetime64(f"{year:04d}-01-01", "h")
    hours = 24 * (365 + calendar.isleap(year))
    quarters = start + np.arange(4) * (hours // 4)
    features = FourierTimeEncoder().transform(quarters[:, None])
    assert_array_equal(features, [[0, 1], [1, 0], [0, -1], [-1, 0]])


def test_the_week_begins_on_monday_and_the_day_at_midnight():
    monday = np.datetime64("2024-01-01T00", "h")
    assert monday.item().weekday() == 0
    times = monday + np.array([0, 42, 84, 126])  # quarters of a week
    assert_array_equal(
        FourierTimeEncoder("week").transform(times[:, None]), [[0, 1], [1, 0], [0, -1], [-1, 0]]
    )
    times = monday + np.array([0, 6, 12, 18])
    assert_array_equal(
        FourierTimeEncoder("day").transform(times[:, None]), [[0, 1], [1, 0], [0, -1], [-1, 0]]
    )


@pytest.mark.parametrize("period", [365.25, 29.530589, 1000, np.float32(0.5)])
def test_a_number_of_days_counts_from_1970(period):
    days = np.random.default_rng(0).uniform(-5e4, 5e4, (50, 1))
    features = FourierTimeEncoder([period], n_harmonics=2).transform(days)
    turns = 2 * np.pi * days / float(period)
    expected = [np.sin(turns), np.cos(turns), np.sin(2 * turns), np.cos(2 * turns)]
    assert_allclose(features, np.hstack(expected), rtol=0, atol=1e-9)


def test_365_25_days_are_the_phases_of_harmonic_features():
    days = np.arange(0.0, 1500.0, 11.0)
    waves = FourierTimeEncoder(365.25, n_harmonics=2).transform(days[:, None])
    series = waves @ [0.1, -0.4, 0.2, 0.3]
    fit = HarmonicFeatures(order=2, times=days, trend=False, outputs=("coefficients",))
    intercept, cos1, sin1, cos2, sin2 = fit.fit_transform([series])[0]
    assert_allclose([intercept, sin1, cos1, sin2, cos2], [0, 0.1, -0.4, 0.2, 0.3], atol=1e-12)


def tau_of_year(dates):
    start = dates.astype("M8[Y]")
    length = (start + 1).astype("M8[ns]") - start.astype("M8[ns]")
    return 2 * ((dates - start.astype("M8[ns]")) / length) - 1


def test_polynomials_of_the_year_run_from_minus_one_to_one():
    dates = draw_dates(200)
    tau = tau_of_year(dates)[:, 0]
    expected = {
        "legendre": [eval_legendre(k, tau) for k in (1, 2, 3)],
        "monomial": [tau, tau**2, tau**3],
        "copy": [tau, tau, tau],
    }
    for kind, columns in expected.items():
        features = FourierTimeEncoder(kind=kind, n_harmonics=3).transform(dates)
        assert_allclose(features, np.stack(columns, axis=1), rtol=0, atol=1e-12)


def test_triangles_have_the_signs_zeros_and_extremes_of_the_waves():
    dates = draw_dates(500)
    waves = FourierTimeEncoder(("year", "day"), n_harmonics=3).transform(dates)
    triangles = FourierTimeEncoder(("year", "day"), n_harmonics=3, kind="triangle").transform(dates)
    assert_allclose(triangles, np.arcsin(waves) * 2 / np.pi, rtol=0, atol=1e-6)


# The span -------------------------------------------------------------------------------------


def test_the_span_is_learned_and_runs_from_minus_one_to_one():
    dates = draw_dates(100)
    encoder = FourierTimeEncoder("span", kind="legendre", n_harmonics=4)
    assert get_tags(encoder).requires_fit
    with pytest.raises(NotFittedError):
        encoder.transform(dates)
    features = encoder.fit_transform(dates)
    ticks = dates[:, 0].astype(np.int64)
    tau = 2 * ((ticks - ticks.min()) / (ticks.max() - ticks.min())) - 1
    expected = np.stack([eval_legendre(k, tau) for k in (1, 2, 3, 4)], axis=1)
    assert_allclose(features, expected, rtol=0, atol=1e-12)
    assert_array_equal(encoder.span_ * 86400, [ticks.min() / 1e9, ticks.max() / 1e9])


@pytest.mark.parametrize(
    "span",
    [
        ("2000-01-01", "2020-01-01"),
        (dt.date(2000, 1, 1), dt.datetime(2020, 1, 1)),
        np.array(["2000-01-01", "2020-01-01"], dtype="M8[D]"),
        (10957.0, 18262.0),
        pd.DatetimeIndex(["2000-01-01", "2020-01-01"]),
        [pd.Timestamp(f"{year}-01-01T09", tz="Asia/Tokyo") for year in (2000, 2020)],
    ],
    ids=str,
)
def test_a_given_span_needs_no_fit(span):
    encoder = FourierTimeEncoder("span", kind="copy", span=span)
    assert not get_tags(encoder).requires_fit
    X = np.array([["2000-01-01"], ["2010-01-01"], ["2020-01-01"], ["2030-01-01"]], dtype="M8[D]")
    tau = 2 * ((X[:, 0] - X[0, 0]) / (X[2, 0] - X[0, 0])) - 1
    assert_allclose(encoder.transform(X)[:, 0], tau, rtol=0, atol=1e-15)
    assert_array_equal(encoder.fit(X).span_, [10957.0, 18262.0])


def test_a_span_in_the_unit_of_the_numbers():
    encoder = FourierTimeEncoder("span", kind="copy", unit="years", span=(2000, 2010))
    features = encoder.transform([[2000.0], [2005.0], [2010.0]])
    assert_allclose(features[[0, 2], 0], [-1, 1])
    assert features[1, 0] == pytest.approx(2 * 1827 / 3653 - 1)


def test_waves_of_the_span_begin_anew_and_polynomials_grow_with_a_word():
    X = np.array([[0.0], [500.0], [1000.0], [2500.0]])
    waves = FourierTimeEncoder("span", span=(0.0, 1000.0))
    assert_allclose(waves.transform(X), [[0, 1], [0, -1], [0, 1], [0, -1]], rtol=0, atol=1e-15)
    triangle = FourierTimeEncoder("span", kind="triangle", span=(0.0, 1000.0)).transform(X)
    assert_array_equal(triangle, [[0, 1], [0, -1], [0, 1], [0, -1]])
    for kind in ("legendre", "monomial"):
        encoder = FourierTimeEncoder("span", kind=kind, n_harmonics=2, span=(0.0, 1000.0))
        message = "from 1970-01-01 to 1976-11-05, beyond the span .* 1972-09-27.*tau reaches 4"
        with pytest.warns(TimesWarning, match=message) as caught:
            features = encoder.transform(X)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert features[-1, 1] == pytest.approx(23.5 if kind == "legendre" else 16.0)


def test_a_little_beyond_the_span_is_no_news():
    encoder = FourierTimeEncoder("span", kind="legendre", n_harmonics=3, span=(0.0, 1000.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.transform([[-50.0], [1050.0], [np.nan]])
        encoder.transform([[np.nan]])
        FourierTimeEncoder("span", kind="copy", span=(0.0, 1.0)).transform([[1e5]])


@pytest.mark.parametrize("X", [[[5.0]], [[5.0], [5.0]], [[np.nan]]])
def test_a_span_of_no_length_is_refused(X):
    with pytest.raises(ValueError, match="no length"):
        FourierTimeEncoder(("year", "span"), kind="legendre").fit(X)
    with pytest.raises(ValueError, match="no length"):
        FourierTimeEncoder("span", span=("2020-01-01", "2010-01-01")).fit([[1.0], [2.0]])


# Columns and names ----------------------------------------------------------------------------


def test_names_tell_period_function_and_number():
    encoder = FourierTimeEncoder(("year", "week", 29.530589, 7, 0.1), n_harmonics=2)
    assert encoder.get_feature_names_out()[:4].tolist() == [
        "year_sin1",
        "year_cos1",
        "year_sin2",
        "year_cos2",
    ]
    assert encoder.get_feature_names_out()[4::4].tolist() == [
        "week_sin1",
        "29.530589d_sin1",
        "7d_sin1",
        "0.1d_sin1",
    ]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("legendre", ["bias", "year_legendre1", "year_legendre2"]),
        ("monomial", ["bias", "year_monomial1", "year_monomial2"]),
        ("copy", ["bias", "year_copy1", "year_copy2"]),
        ("triangle", ["bias", *(f"year_{f}{k}" for k in (1, 2) for f in ("trisin", "tricos"))]),
        ("fourier", ["bias", *(f"year_{f}{k}" for k in (1, 2) for f in ("sin", "cos"))]),
    ],
)
def test_names_of_every_kind(kind, names):
    encoder = FourierTimeEncoder(kind=kind, n_harmonics=2, include_bias=True)
    assert encoder.get_feature_names_out().tolist() == names
    features = encoder.transform([[3.0], [500.0]])
    assert features.shape[1] == len(names)
    assert_array_equal(features[:, 0], 1.0)


def test_several_columns_put_their_name_in_front():
    X = pd.DataFrame({"sown": draw_dates(5)[:, 0], "cut": draw_dates(5, 1)[:, 0]})
    encoder = FourierTimeEncoder(("year", "week")).set_output(transform="pandas")
    features = encoder.fit_transform(X.set_index(pd.Index(list("abcde"))))
    assert features.columns.tolist() == [
        f"{column}_{period}_{function}1"
        for column in ("sown", "cut")
        for period in ("year", "week")
        for function in ("sin", "cos")
    ]
    assert features.index.tolist() == list("abcde")
    one = FourierTimeEncoder(("year", "week")).fit(X[["cut"]])
    assert_array_equal(features.to_numpy()[:, 4:], one.transform(X[["cut"]]))
    assert one.get_feature_names_out().tolist()[0] == "year_sin1"
    arrays = FourierTimeEncoder().fit(X.to_numpy())
    assert arrays.get_feature_names_out().tolist()[2] == "x1_year_sin1"


def test_several_columns_need_no_fit():
    X = np.random.default_rng(0).uniform(0, 2e4, (10, 3))
    encoder = FourierTimeEncoder(n_harmonics=2, include_bias=True)
    expected = clone(encoder).fit_transform(X)
    assert_array_equal(encoder.transform(X), expected)
    assert not hasattr(encoder, "n_features_in_")
    (_, block), *rest = encoder.transform_chunks(X, chunk_rows=100)
    assert_array_equal(block, expected)
    assert not rest


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, "M8[s]"])
def test_a_row_alone_equals_the_row_of_any_batch(kind, dtype):
    X = np.random.default_rng(0).uniform(0, 2e4, (100_003, 1))
    X = (X * 86400).astype("M8[s]") if dtype == "M8[s]" else X.astype(dtype)
    encoder = FourierTimeEncoder(("year", "day"), n_harmonics=3, kind=kind).fit(X)
    batch = encoder.transform(X)
    for row in (0, 1, 7, 8, 40_000, 100_002):
        assert_array_equal(encoder.transform(X[[row]])[0], batch[row])
    for rows, block in encoder.transform_chunks(X, chunk_rows=33_333):
        assert_array_equal(block, batch[rows])


def test_single_precision_is_double_rounded():
    X = np.random.default_rng(0).uniform(0, 2e4, (500, 2)).astype(np.float32)
    for kind in KINDS:
        encoder = FourierTimeEncoder(("year", "week"), n_harmonics=3, kind=kind)
        features = encoder.fit_transform(X)
        exact = encoder.fit_transform(X.astype(np.float64))
        assert features.dtype == np.float32
        assert_allclose(features, exact, rtol=0, atol=3.5e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_device_changes_where_not_what(kind):
    dates = draw_dates(50)
    dates[3] = "NaT"
    days = dates.astype(np.int64) / 86400e9
    days[3] = np.nan
    encoder = FourierTimeEncoder(("year", "span"), kind=kind, n_harmonics=2).fit(dates)
    on_torch = clone(encoder).set_params(device="cpu")
    for X in (dates, pd.DataFrame(dates), days):
        features = on_torch.fit(X).transform(X)
        assert_allclose(features, encoder.transform(dates), rtol=0, atol=1e-11)
    with pytest.raises(ValueError, match="has no such device"):
        clone(encoder).set_params(device="cuda:77").fit(dates).transform(dates)


def test_copies_remember_the_span():
    dates = draw_dates(30)
    encoder = FourierTimeEncoder("span", kind="monomial").fit(dates)
    again = pickle.loads(pickle.dumps(encoder))
    assert_array_equal(again.transform(dates), encoder.transform(dates))


# Parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_harmonics": 0},
        {"kind": "sine"},
        {"unit": "weeks"},
        {"include_bias": "yes"},
        {"periods": "month"},
        {"periods": -1.0},
        {"span": 3},
    ],
)
def test_bad_parameters_are_named(parameters):
    for method in ("fit", "transform"):
        with pytest.raises(InvalidParameterError, match=next(iter(parameters))):
            getattr(FourierTimeEncoder(**parameters), method)([[1.0]])


@pytest.mark.parametrize(
    ("periods", "message"),
    [
        (["month"], "'month'.*'day', 'span', 'week', 'year'"),
        ([0.0], "0.0.*positive number of days"),
        ([np.inf], "inf"),
        ([True], "True"),
        ([["year"]], "'year'"),
        ([], "different periods"),
        (["year", "year"], "different periods"),
        ([7, 7.0], "different periods"),
    ],
)
def test_periods_that_are_none_are_refused(periods, message):
    with pytest.raises(ValueError, match=message):
        FourierTimeEncoder(periods).fit([[1.0]])
