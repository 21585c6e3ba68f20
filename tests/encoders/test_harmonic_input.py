"""What HarmonicFeatures accepts, how it names its columns, and what it says otherwise."""

import copy
import datetime as dt
import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import InvalidParameterError

from geofeat import HarmonicFeatures

TIMES = np.arange("2020-01-01", "2021-03-01", 15, dtype="datetime64[D]")
N_TIMES = TIMES.size
NAMES = [str(time) for time in TIMES]


@pytest.fixture
def series():
    rng = np.random.default_rng(0)
    y = 0.5 + rng.normal(0, 0.1, (12, N_TIMES))
    y[rng.random(y.shape) < 0.3] = np.nan
    return y


@pytest.fixture
def cube():
    rng = np.random.default_rng(1)
    y = rng.normal(size=(12, N_TIMES, 3))
    y[rng.random(y.shape[:2]) < 0.3] = np.nan
    return y


# Kinds of input ------------------------------------------------------------------------------


def same_series_as(y):
    """The same series in every container that is accepted, NaN where they are missing."""
    frame = pd.DataFrame(y, columns=NAMES)
    padded = np.full((len(y), 2 * N_TIMES), 7.0)
    padded[:, ::2] = y
    read_only = y.copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(b"x" + y.tobytes(), dtype=np.uint8)[1:].view(np.float64)
    objects = y.astype(object)
    objects[np.isnan(y)] = None
    return {
        "list": y.tolist(),
        "fortran": np.asfortranarray(y),
        "strided": padded[:, ::2],
        "negative stride": y[::-1].copy()[::-1],
        "read-only": read_only,
        "big-endian": y.astype(">f8"),
        "unaligned": unaligned.reshape(y.shape),
        "longdouble": y.astype(np.longdouble),
        "object": objects,
        "masked": np.ma.masked_array(np.nan_to_num(y, nan=1e9), np.isnan(y)),
        "three-dimensional": y[:, :, None],
        "pandas": frame,
        "pandas nullable": frame.astype("Float64"),
        "pandas arrow": frame.astype("float64[pyarrow]"),
        "polars": pl.DataFrame(dict(zip(NAMES, y.T, strict=True))),
        "polars with nulls": pl.DataFrame(
            {
                name: pl.Series(column).fill_nan(None)
                for name, column in zip(NAMES, y.T, strict=True)
            }
        ),
        "tensor": torch.from_numpy(y.copy()),
        "xarray": xr.DataArray(y, dims=("sample", "day")),
        "xarray with time first": xr.DataArray(y.T, dims=("time", "sample")),
    }


@pytest.mark.parametrize("kind", list(same_series_as(np.zeros((1, N_TIMES)))))
def test_every_kind_of_input_gives_the_same_features(series, kind):
    X = same_series_as(series)[kind]
    features = HarmonicFeatures(times=TIMES)
    expected = features.transform(series)
    for found in (features.transform(X), clone(features).fit(X).transform(X)):
        assert_allclose(found, expected, rtol=0, atol=1e-12)
        assert found.dtype == np.float64
        assert found.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.int64])
def test_integers_become_doubles(dtype):
    X = np.random.default_rng(2).integers(0, 100, (4, N_TIMES)).astype(dtype)
    found = HarmonicFeatures(times=TIMES).transform(X)
    assert found.dtype == np.float64
    assert_array_equal(found, HarmonicFeatures(times=TIMES).transform(X.astype(float)))


def test_the_input_is_not_written(series):
    before = series.copy()
    HarmonicFeatures(times=TIMES).fit_transform(series, weights=np.isfinite(series))
    assert_array_equal(series, before)


def test_all_layouts_of_several_bands_agree(cube):
    expected = HarmonicFeatures(times=TIMES, n_bands=3).transform(cube)
    flat = cube.reshape(12, -1)
    array = xr.DataArray(
        cube.transpose(2, 0, 1),
        dims=("band", "sample", "time"),
        coords={"time": TIMES.astype("M8[ns]"), "band": ["B2", "B4", "B8"]},
    )
    assert_array_equal(HarmonicFeatures(times=TIMES, n_bands=3).transform(flat), expected)
    assert_array_equal(HarmonicFeatures(times=TIMES).transform(cube), expected)
    features = HarmonicFeatures().fit(array)
    assert_allclose(features.transform(array), expected, rtol=0, atol=1e-12)
    assert features.band_names_ == ("B2", "B4", "B8")
    assert_array_equal(features.times_, TIMES.astype(float))
    assert features.t_ref_ == (features.times_[0] + features.times_[-1]) / 2
    assert features.get_feature_names_out()[-1] == "B8_rmse"
    frame = HarmonicFeatures(1, outputs=("amplitude",)).set_output(transform="pandas")
    assert list(frame.fit_transform(array).columns) == [
        f"{b}_amplitude1" for b in ("B2", "B4", "B8")
    ]


def test_dates_that_x_carries(series):
    expected = HarmonicFeatures(times=TIMES).transform(series)
    stamps = pd.DataFrame(series, columns=pd.DatetimeIndex(TIMES))
    for X in (
        pd.DataFrame(series, columns=NAMES),
        stamps,
        pl.DataFrame(dict(zip(NAMES, series.T, strict=True))),
    ):
        assert_allclose(HarmonicFeatures().transform(X), expected, rtol=0, atol=1e-12)
        fitted = HarmonicFeatures().fit(X)
        assert_array_equal(fitted.times_, TIMES.astype(float))


@pytest.mark.parametrize(
    "times",
    [
        TIMES.astype("M8[ns]"),
        TIMES.astype(float),
        pd.DatetimeIndex(TIMES),
        pd.DatetimeIndex(TIMES).tz_localize("UTC").tz_convert("Asia/Tokyo"),
        pl.Series(TIMES),
        [dt.date.fromisoformat(name) for name in NAMES],
        NAMES,
    ],
    ids=lambda times: type(times).__name__,
)
def test_times_of_any_kind(series, times):
    expected = HarmonicFeatures(times=TIMES).transform(series)
    assert_allclose(HarmonicFeatures(times=times).fit_transform(series), expected, atol=1e-12)


def test_time_columns_of_each_row(series):
    days = np.tile(TIMES.astype(float), (12, 1))
    days[3, 4] = np.nan
    expected = HarmonicFeatures(times="row").transform(np.column_stack([days, series]))
    stamps = np.tile(TIMES.astype("M8[ms]"), (12, 1))
    stamps[3, 4] = "NaT"
    columns = {f"date{at}": stamps[:, at] for at in range(N_TIMES)}
    columns |= {f"ndvi{at}": series[:, at] for at in range(N_TIMES)}
    frame = pd.DataFrame(columns)
    local = frame.apply(
        lambda column: (
            column.dt.tz_localize("UTC").dt.tz_convert("America/Cuiaba")
            if column.dtype.kind == "M"
            else column
        )
    )
    objects = np.empty((12, 2 * N_TIMES), dtype=object)
    objects[:, :N_TIMES] = stamps.astype(object)
    objects[:, N_TIMES:] = series
    for X in (frame, local, pl.DataFrame(columns), objects):
        found = HarmonicFeatures(times="row").fit(X).transform(X)
        assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_weights_in_every_layout(cube):
    rng = np.random.default_rng(3)
    weights = rng.uniform(0, 2, cube.shape)
    features = HarmonicFeatures(times=TIMES, n_bands=3)
    expected = features.transform(cube, weights=weights)
    assert_array_equal(features.transform(cube, weights=weights.reshape(12, -1)), expected)
    shared = features.transform(cube, weights=weights[:, :, 0])
    spread = np.repeat(weights[:, :, :1], 3, axis=2)
    assert_array_equal(shared, features.transform(cube, weights=spread))
    boolean = weights > 0.5
    assert_array_equal(
        features.transform(cube, weights=boolean),
        features.transform(np.where(boolean, cube, np.nan)),
    )


def test_weights_of_short_series_in_several_bands(cube):
    weights = np.random.default_rng(4).uniform(0.5, 2, cube.shape)
    cube[:, 5:, 1] = np.nan
    for on_short in ("reduce", "ridge"):
        features = HarmonicFeatures(times=TIMES, on_short=on_short)
        together = features.transform(cube, weights=weights)
        alone = features.transform(cube[:, :, 1], weights=weights[:, :, 1])
        assert_array_equal(np.split(together, 3, axis=1)[1], alone)
        shared = features.transform(cube, weights=weights[:, :, 0])
        alone = features.transform(cube[:, :, 1], weights=weights[:, :, 0])
        assert_array_equal(np.split(shared, 3, axis=1)[1], alone)


# Names ---------------------------------------------------------------------------------------


def test_names_of_the_columns():
    groups = ("coefficients", "amplitude", "phase", "peak_day", "rmse", "r2", "n_obs")
    names = HarmonicFeatures(outputs=groups).get_feature_names_out().tolist()
    assert names == [
        *("intercept", "slope", "cos1", "sin1", "cos2", "sin2", "amplitude1", "amplitude2"),
        *("phase1", "phase2", "peak_day1", "rmse", "r2", "n_obs"),
    ]
    flat = HarmonicFeatures(1, trend=False, outputs=("coefficients", "phase_vector", "condition"))
    assert flat.get_feature_names_out().tolist() == [
        *("intercept", "cos1", "sin1", "cos_phase1", "sin_phase1", "condition"),
    ]
    banded = HarmonicFeatures(1, n_bands=["B4", "B8"], outputs=("rmse", "amplitude"))
    expected = ["B4_rmse", "B4_amplitude1", "B8_rmse", "B8_amplitude1"]
    assert banded.get_feature_names_out().tolist() == expected
    numbered = HarmonicFeatures(1, n_bands=2, outputs=("rmse",)).get_feature_names_out()
    assert numbered.tolist() == ["band1_rmse", "band2_rmse"]
    named = HarmonicFeatures(1, n_bands=["ndvi"], outputs=("rmse",)).get_feature_names_out()
    assert named.tolist() == ["ndvi_rmse"]


def test_the_named_column_holds_what_the_name_says():
    days = TIMES.astype(float)
    mid = (days[0] + days[-1]) / 2
    angle = 2 * np.pi * days / 365.25
    y = 2.0 + 3.0 * (days - mid) / 365.25 + 0.7 * np.cos(angle) - 0.2 * np.sin(angle)
    y += 0.1 * np.cos(2 * angle) + 0.4 * np.sin(2 * angle)
    outputs = (
        *("coefficients", "amplitude", "phase", "phase_vector", "peak_day", "rmse", "r2", "n_obs"),
    )
    features = HarmonicFeatures(times=TIMES, outputs=outputs).set_output(transform="pandas")
    row = features.fit_transform(y[None]).iloc[0]
    phase = np.arctan2(-0.2, 0.7)
    expected = {
        "intercept": 2.0,
        "slope": 3.0,
        "cos1": 0.7,
        "sin1": -0.2,
        "cos2": 0.1,
        "sin2": 0.4,
        "amplitude1": np.hypot(0.7, 0.2),
        "amplitude2": np.hypot(0.1, 0.4),
        "phase1": phase,
        "phase2": np.arctan2(0.4, 0.1),
        "cos_phase1": np.cos(phase),
        "sin_phase1": np.sin(phase),
        "cos_phase2": np.cos(np.arctan2(0.4, 0.1)),
        "sin_phase2": np.sin(np.arctan2(0.4, 0.1)),
        "peak_day1": phase / (2 * np.pi) * 365.25 + 365.25,
        "rmse": 0.0,
        "r2": 1.0,
        "n_obs": N_TIMES,
    }
    assert set(row.index) == set(expected)
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, abs=1e-11), name


# scikit-learn --------------------------------------------------------------------------------


def test_grid_search_over_the_order_in_a_pipeline_with_a_forest():
    rng = np.random.default_rng(5)
    label = rng.integers(0, 2, 120)
    days = TIMES.astype(float)
    y = np.cos(2 * np.pi * days / 365.25 - 2 * label[:, None]) + rng.normal(0, 0.3, (120, N_TIMES))
    y[rng.random(y.shape) < 0.4] = np.nan
    pipeline = make_pipeline(
        HarmonicFeatures(times=TIMES), RandomForestClassifier(20, random_state=0)
    )
    search = GridSearchCV(pipeline, {"harmonicfeatures__order": [1, 2]}, cv=3, n_jobs=2)
    assert search.fit(y, label).best_score_ > 0.95
    one = GridSearchCV(pipeline, {"harmonicfeatures__order": [1, 2]}, cv=3).fit(y, label)
    assert_array_equal(one.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])


def test_a_column_transformer_keeps_bands_apart(series):
    frame = pd.DataFrame(series, columns=NAMES).assign(height=1.0)
    combined = make_column_transformer(
        (HarmonicFeatures(1, outputs=("amplitude",)), NAMES), ("passthrough", ["height"])
    ).set_output(transform="pandas")
    out = combined.fit_transform(frame)
    assert list(out.columns) == ["harmonicfeatures__amplitude1", "passthrough__height"] or list(
        out.columns
    ) == ["harmonicfeatures__amplitude1", "remainder__height"]
    expected = HarmonicFeatures(1, times=TIMES, outputs=("amplitude",)).transform(series)
    assert_allclose(out.iloc[:, 0], expected[:, 0], atol=1e-12)


def test_a_pipeline_routes_weights_when_told(series):
    weights = np.isfinite(series) * np.random.default_rng(6).uniform(0.5, 2, series.shape)
    expected = HarmonicFeatures(times=TIMES).transform(series, weights=weights)
    with sklearn.config_context(enable_metadata_routing=True):
        features = HarmonicFeatures(times=TIMES).set_transform_request(weights=True)
        pipeline = make_pipeline(features).fit(series)
        assert_array_equal(pipeline.transform(series, weights=weights), expected)


def test_copies_give_the_same_bits(series, tmp_path):
    features = HarmonicFeatures(times=pd.DatetimeIndex(TIMES), robust="huber").fit(series)
    expected = features.transform(series)
    joblib.dump(features, tmp_path / "features.joblib")
    for copied in (
        pickle.loads(pickle.dumps(features)),
        copy.deepcopy(features),
        joblib.load(tmp_path / "features.joblib"),
        clone(features),
    ):
        assert_array_equal(copied.transform(series), expected)
    assert len(pickle.dumps(features)) < 5000


def test_set_output_keeps_the_index(series):
    frame = pd.DataFrame(series, columns=NAMES, index=[f"plot{i}" for i in range(12)])
    out = HarmonicFeatures().set_output(transform="pandas").fit_transform(frame)
    assert out.index.equals(frame.index)
    polars = HarmonicFeatures().set_output(transform="polars").fit_transform(frame)
    assert polars.columns == list(out.columns)


# Errors --------------------------------------------------------------------------------------


def test_infinite_values(series):
    series[4, 2], series[7, 0] = np.inf, -np.inf
    for method in ("fit", "transform", "fit_transform"):
        with pytest.raises(ValueError, match=r"inf.* 2 of 12 rows \(4, 7\)"):
            getattr(HarmonicFeatures(times=TIMES), method)(series)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros(5), ValueError, "Expected 2D array, got 1D"),
        (np.zeros((2, 2, 2, 2)), ValueError, "Expected 2D array, got 4D"),
        (np.zeros((0, 5)), ValueError, r"0 sample\(s\)"),
        (np.zeros((5, 0)), ValueError, r"0 feature\(s\)"),
        (np.zeros((2, 5), dtype=complex), ValueError, "Complex data not supported"),
        (np.zeros((2, 5), dtype=bool), TypeError, "column 0 .* booleans"),
        (np.full((2, 5), "1"), TypeError, "column 0 .* text"),
        (np.zeros((2, 5), dtype="M8[D]"), TypeError, "dates"),
        (sparse.csr_array(np.eye(5)), TypeError, "toarray"),
        (torch.zeros((2, 5), requires_grad=True), TypeError, "detach"),
        (xr.Dataset({"a": ("x", [1.0])}), TypeError, "to_dataarray"),
        (xr.DataArray(np.zeros((3, 4)), dims=("time", "band")), ValueError, "expand_dims"),
        (
            pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"]),
            ValueError,
            "duplicated column names: a",
        ),
    ],
)
def test_input_that_is_no_series(X, error, message):
    with pytest.raises(error, match=message):
        HarmonicFeatures(times=np.arange(5.0)).transform(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"times": TIMES[:-1]}, rf"{N_TIMES - 1} entries, but X has {N_TIMES}.*n_bands"),
        ({"times": np.where(TIMES[3] == TIMES, np.datetime64("NaT"), TIMES)}, "position 3"),
        ({"times": TIMES, "n_bands": 4}, "n_bands=4 expects n_times"),
        ({"times": "row", "n_bands": 3}, r"expects n_times \* \(1 \+ n_bands\) columns"),
        ({"times": TIMES, "outputs": ("phases",)}, "'outputs' .* amplitude.*'phases'"),
        ({"times": TIMES, "outputs": ()}, "'outputs'"),
        ({"times": TIMES, "outputs": ("rmse", "rmse")}, "once"),
        ({"times": TIMES, "n_bands": ["B4", "B4"]}, "distinct names"),
    ],
)
def test_parameters_that_do_not_fit_x(series, parameters, message):
    for method in ("fit", "transform"):
        with pytest.raises(ValueError, match=message):
            getattr(HarmonicFeatures(**parameters), method)(series)


def test_a_time_that_is_far_out(series):
    X = np.column_stack([np.full_like(series, 20200101.0), series])
    with pytest.raises(ValueError, match="years 1 to 9999"):
        HarmonicFeatures(times="row").transform(X)


@pytest.mark.parametrize(
    "parameters",
    [
        {"order": 0},
        {"order": 1.5},
        {"period": 0.0},
        {"ridge": -1.0},
        {"on_short": "drop"},
        {"robust": "tukey"},
        {"times": "column"},
        {"n_bands": 0},
        {"max_condition": 0.5},
        {"outputs": "rmse"},
    ],
    ids=str,
)
def test_bad_parameters_are_told_at_first_use(series, parameters):
    features = HarmonicFeatures(**{"times": TIMES, **parameters})
    for method in ("fit", "transform", "fit_transform"):
        with pytest.raises(InvalidParameterError, match=next(iter(parameters))):
            getattr(features, method)(series)


def test_bands_must_be_those_of_fit(cube):
    features = HarmonicFeatures(times=TIMES).fit(cube)
    with pytest.raises(ValueError, match="feature"):
        features.transform(cube[:, :, :2])
    with pytest.raises(ValueError, match="3 bands, but HarmonicFeatures is expecting 2"):
        HarmonicFeatures(times=TIMES, n_bands=2).transform(cube)
    flat = cube.reshape(12, -1)
    assert_array_equal(features.transform(flat), features.transform(cube))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones((12, 3)), rf"\(12, {N_TIMES}\).* got \(12, 3\)"),
        (np.full((12, N_TIMES), -1.0), "not negative; .* 12 of 12 rows"),
        (np.full((12, N_TIMES), np.nan), "finite"),
    ],
)
def test_weights_that_are_none(series, weights, message):
    with pytest.raises(ValueError, match=message):
        HarmonicFeatures(times=TIMES).transform(series, weights=weights)
