"""SpaceTimeEncoder against its parts, einsum and scikit-learn's ColumnTransformer."""

import datetime as dt
import pickle

import geopandas as gpd
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from geofeat import (
    CartesianEncoder,
    FourierTimeEncoder,
    RandomFourierFeatures,
    SpaceTimeEncoder,
    SphericalHarmonicsEncoder,
)
from geofeat.exceptions import CoordinateWarning

SPACE = SphericalHarmonicsEncoder(degree=3)
TIME = FourierTimeEncoder(("year", "day"), n_harmonics=2, include_bias=True)
COMBINATIONS = pytest.mark.parametrize("combine", ["concat", "product"])


def draw(n=60, seed=0):
    """Longitude, latitude, days since 1970."""
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [rng.uniform(-180, 180, n), rng.uniform(-90, 90, n), rng.integers(0, 20000, n) / 2]
    )


def frame_of(X):
    dates = (X[:, 2] * 86400).astype("M8[s]")
    return pd.DataFrame({"lon": X[:, 0], "lat": X[:, 1], "note": "oak", "date": dates})


def parts(X):
    return clone(SPACE).transform(X[:, :2]), clone(TIME).transform(X[:, 2:3])


def combined(X, combine):
    space, time = parts(X)
    if combine == "concat":
        return np.hstack([space, time])
    return np.einsum("na,nb->nab", space, time).reshape(len(X), -1)


@COMBINATIONS
def test_features_are_the_parts_side_by_side_or_their_products(combine):
    X = draw(5000)
    encoder = SpaceTimeEncoder(SPACE, TIME, combine=combine)
    assert_allclose(encoder.transform(X), combined(X, combine), rtol=0, atol=1e-15)
    assert_array_equal(encoder.fit(X).transform(X), encoder.transform(X))
    assert encoder.transform(X).flags.c_contiguous


@COMBINATIONS
def test_names_follow_the_columns(combine):
    encoder = SpaceTimeEncoder(CartesianEncoder(), FourierTimeEncoder(), combine=combine)
    expected = {
        "concat": ["x", "y", "z", "year_sin1", "year_cos1"],
        "product": [f"{a}*{b}" for a in "xyz" for b in ("year_sin1", "year_cos1")],
    }
    assert encoder.get_feature_names_out().tolist() == expected[combine]
    table = encoder.set_output(transform="pandas").fit_transform(frame_of(draw()).iloc[::-1])
    assert table.columns.tolist() == expected[combine]
    assert table.index.tolist() == list(range(59, -1, -1))
    one = CartesianEncoder().transform([[draw()[0, 0], draw()[0, 1]]])[0, 1]
    wave = FourierTimeEncoder().transform([[draw()[0, 2]]])[0, 0]
    column = {"concat": "y", "product": "y*year_sin1"}[combine]
    value = {"concat": one, "product": one * wave}[combine]
    assert table.loc[0, column] == pytest.approx(value, abs=1e-15)


def test_equal_names_are_told_apart():
    random = RandomFourierFeatures(3, random_state=0)
    encoder = SpaceTimeEncoder(random, clone(random)).fit(draw())
    names = encoder.get_feature_names_out().tolist()
    assert len(set(names)) == 6
    assert [name.split("__")[0] for name in names] == ["space"] * 3 + ["time"] * 3


def test_the_default_product_has_a_column_for_what_does_not_change():
    names = SpaceTimeEncoder(combine="product").get_feature_names_out()
    assert names[:3].tolist() == ["sh_l0_m0*bias", "sh_l0_m0*year_sin1", "sh_l0_m0*year_cos1"]
    assert "bias" not in SpaceTimeEncoder().get_feature_names_out()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_concat_is_a_column_transformer(dtype):
    X = draw().astype(dtype)
    encoder = SpaceTimeEncoder(SPACE, TIME)
    composed = make_column_transformer(
        (SPACE, [0, 1]), (TIME, [2]), verbose_feature_names_out=False
    )
    atol = 1e-15 if dtype == np.float64 else 1.2e-7
    assert_allclose(encoder.fit_transform(X), composed.fit_transform(X), rtol=0, atol=atol)
    assert encoder.transform(X).dtype == composed.transform(X).dtype == dtype
    frame = frame_of(draw())
    composed = make_column_transformer(
        (SPACE, ["lon", "lat"]), (TIME, ["date"]), verbose_feature_names_out=False
    )
    assert_allclose(encoder.fit_transform(frame), composed.fit_transform(frame), rtol=0, atol=1e-15)
    assert_array_equal(encoder.get_feature_names_out(), composed.get_feature_names_out())


# Where the time stands ------------------------------------------------------------------------


@COMBINATIONS
def test_every_kind_of_table_gives_the_same_features(combine):
    X = draw()
    frame = frame_of(X)
    encoder = SpaceTimeEncoder(SPACE, TIME, combine=combine)
    expected = encoder.transform(X)
    geometry = gpd.GeoDataFrame(
        frame[["note", "date"]], geometry=gpd.points_from_xy(X[:, 0], X[:, 1]), crs=4326
    )
    objects = frame[["lon", "lat", "date"]].astype(object).to_numpy()
    tables = {
        "list": X.tolist(),
        "further columns": np.hstack([X, X]),
        "pandas": frame,
        "pandas with time zone": frame.assign(date=frame["date"].dt.tz_localize("UTC")),
        "pandas with days": pd.DataFrame(X, columns=["lon", "lat", "day"]),
        "polars": pl.DataFrame(
            {
                "lon": X[:, 0],
                "lat": X[:, 1],
                "note": "oak",
                "date": frame["date"].to_numpy("M8[ms]"),
            }
        ),
        "objects": objects,
        "GeoDataFrame": geometry,
        "GeoDataFrame with other columns first": geometry[["geometry", "date", "note"]],
        "CPU tensor": torch.from_numpy(X.copy()),
    }
    for name, table in tables.items():
        features = clone(encoder).fit(table).transform(table)
        assert_allclose(features, expected, rtol=0, atol=1e-9, err_msg=name)
        assert_allclose(encoder.transform(table), features, rtol=0, atol=0, err_msg=name)


@pytest.mark.parametrize("time_columns", [3, -1, [3], "date", ["date"], np.array([3])])
def test_time_columns_by_position_or_name(time_columns):
    X = draw()
    encoder = SpaceTimeEncoder(SPACE, TIME, time_columns=time_columns)
    assert_allclose(encoder.fit_transform(frame_of(X)), combined(X, "concat"), rtol=0, atol=1e-9)


def test_several_time_columns():
    X = np.hstack([draw(), draw(seed=1)[:, 2:]])
    encoder = SpaceTimeEncoder(CartesianEncoder(), FourierTimeEncoder(), time_columns=[3, 2])
    expected = FourierTimeEncoder().fit_transform(X[:, [3, 2]])
    assert_array_equal(encoder.transform(X)[:, 3:], expected)
    frame = pd.DataFrame(X, columns=["lon", "lat", "sown", "cut"])
    encoder.set_params(time_columns=["cut", "sown"]).fit(frame)
    assert encoder.get_feature_names_out()[3:].tolist() == [
        "cut_year_sin1",
        "cut_year_cos1",
        "sown_year_sin1",
        "sown_year_cos1",
    ]


def test_a_geometry_asks_for_no_other_columns_later():
    X = draw()
    gdf = gpd.GeoDataFrame(
        frame_of(X)[["note", "date"]], geometry=gpd.points_from_xy(X[:, 0], X[:, 1]), crs=4326
    )
    encoder = SpaceTimeEncoder(SPACE, TIME).fit(X).fit(gdf.to_crs(3857))
    assert not hasattr(encoder, "n_features_in_")
    features = encoder.transform(gdf[["date", "geometry"]])
    assert_allclose(features, combined(X, "concat"), rtol=0, atol=1e-9)


def places_only():
    return gpd.GeoDataFrame(
        {"a": [1.0]}, geometry=gpd.points_from_xy([5.0], [50.0]), crs="EPSG:4326"
    )


@pytest.mark.parametrize(
    ("X", "parameters", "error", "message"),
    [
        (
            np.zeros((3, 2)),
            {},
            ValueError,
            r"longitude, latitude and a time.*2 feature\(s\).* 3 is",
        ),
        (np.zeros((3, 1)), {}, ValueError, r"1 feature\(s\)"),
        (np.zeros((3, 3)), {"time_columns": 3}, ValueError, "minimum of 4"),
        (np.zeros((3, 3)), {"time_columns": -4}, ValueError, "time_columns=-4"),
        (np.zeros((3, 3)), {"time_columns": []}, ValueError, "time"),
        (np.zeros((3, 3)), {"time_columns": "date"}, ValueError, "no column 'date'"),
        (frame_of(draw()), {"time_columns": "day"}, ValueError, "no column 'day'"),
        (
            frame_of(draw()).assign(cut=dt.datetime(2020, 1, 1)),
            {},
            ValueError,
            "'date', 'cut'.*time_columns=",
        ),
        (places_only(), {}, ValueError, "dates: none.*time_columns="),
        (places_only().geometry, {}, ValueError, "GeoSeries, which has no times"),
        (np.zeros((3, 3, 3)), {}, ValueError, "Expected 2D array"),
        (
            pd.DataFrame([[1.0, 2.0, 3.0]], columns=["lat", "lon", "t"]),
            {},
            ValueError,
            "swapped",
        ),
        (draw(), {"time": CartesianEncoder(), "time_columns": [0, 1]}, TypeError, "reads places"),
        (draw(), {"time": FourierTimeEncoder(device="cpu")}, ValueError, "different devices"),
        ([[0.0, 0.0, np.inf]], {}, ValueError, "inf"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "transform"])
def test_errors_say_what_came_and_what_to_do(X, parameters, error, message, method):
    with pytest.raises(error, match=message):
        getattr(SpaceTimeEncoder(**parameters), method)(X)


# Missing values, dtypes, devices --------------------------------------------------------------


@COMBINATIONS
def test_a_missing_place_or_time_makes_the_row_nan(combine):
    X = draw(40)
    X[3, 0] = X[7, 2] = np.nan
    X[9, 1] = 95.0
    encoder = SpaceTimeEncoder(SPACE, TIME, combine=combine)
    with pytest.warns(CoordinateWarning, match="95 in row 9"):
        features = encoder.transform(X)
    lost = np.isin(np.arange(40), [3, 7, 9])
    assert_array_equal(np.isnan(features).all(axis=1), lost)
    assert_array_equal(np.isnan(features).any(axis=1), lost)
    on_torch = clone(encoder).set_params(space__device="cpu", time__device="cpu")
    with pytest.warns(CoordinateWarning):
        assert_array_equal(np.isnan(on_torch.transform(X)), np.isnan(features))


@COMBINATIONS
def test_single_precision_is_double_rounded(combine):
    X = draw(1000).astype(np.float32)
    encoder = SpaceTimeEncoder(SPACE, TIME, combine=combine)
    features = encoder.transform(X)
    assert features.dtype == np.float32
    exact = encoder.transform(X.astype(np.float64))
    assert_array_equal(features, exact.astype(np.float32))


def test_dates_are_double_beside_single_coordinates():
    frame = frame_of(draw()).astype({"lon": np.float32, "lat": np.float32})
    assert SpaceTimeEncoder(SPACE, TIME).fit_transform(frame).dtype == np.float64
    frame["date"] = draw()[:, 2].astype(np.float32)
    encoder = SpaceTimeEncoder(SPACE, TIME, time_columns="date")
    assert encoder.fit_transform(frame).dtype == np.float32


@COMBINATIONS
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_tensors_in_tensors_out(combine, dtype):
    X = torch.from_numpy(draw()).to(dtype)
    encoder = SpaceTimeEncoder(SPACE, TIME, combine=combine)
    with sklearn.config_context(array_api_dispatch=True):
        features = encoder.fit(X).transform(X)
    assert isinstance(features, torch.Tensor)
    assert features.dtype == dtype
    atol = 1e-12 if dtype == torch.float64 else 1e-6
    assert_allclose(features.numpy(), encoder.fit_transform(X.numpy()), rtol=0, atol=atol)


@COMBINATIONS
def test_a_device_changes_where_not_what(combine):
    X = draw()
    encoder = SpaceTimeEncoder(SPACE, TIME, combine=combine)
    there = clone(encoder).set_params(space__device="cpu", time__device="cpu")
    for table in (X, frame_of(X)):
        features = there.fit(table).transform(table)
        assert_allclose(features, encoder.transform(X), rtol=0, atol=1e-9)


# Meta-estimator -------------------------------------------------------------------------------


def test_parameters_reach_the_encoders_at_the_next_fit():
    X = draw()
    encoder = SpaceTimeEncoder(SphericalHarmonicsEncoder(degree=1), FourierTimeEncoder())
    assert encoder.fit_transform(X).shape[1] == 4 + 2
    encoder.set_params(space__degree=2, time__n_harmonics=3)
    assert encoder.transform(X).shape[1] == 4 + 2
    assert encoder.fit_transform(X).shape[1] == 9 + 6
    assert not hasattr(encoder.space, "bounds_")
    assert_allclose(encoder.bounds_, encoder.space_.bounds_)


def test_an_encoder_that_learns_asks_for_fit():
    span = FourierTimeEncoder("span", kind="legendre", n_harmonics=2)
    encoder = SpaceTimeEncoder(CartesianEncoder(), span)
    assert get_tags(encoder).requires_fit
    with pytest.raises(NotFittedError):
        encoder.transform(draw())
    assert encoder.fit(draw()).transform(draw()).shape == (60, 5)
    assert not get_tags(SpaceTimeEncoder()).requires_fit


@COMBINATIONS
def test_random_features_of_place_or_time(combine):
    X = draw()
    space = RandomFourierFeatures(8, space="sphere", length_scale=2000.0, random_state=0)
    time = RandomFourierFeatures(4, length_scale=100.0, random_state=1)
    encoder = SpaceTimeEncoder(space, time, combine=combine).fit(X)
    left, right = clone(space).fit_transform(X[:, :2]), clone(time).fit_transform(X[:, 2:])
    expected = {
        "concat": np.hstack([left, right]),
        "product": np.einsum("na,nb->nab", left, right).reshape(60, -1),
    }
    assert_allclose(encoder.transform(X), expected[combine], rtol=0, atol=1e-15)


@COMBINATIONS
def test_blocks_hold_the_same_rows(combine):
    X = draw(100)
    encoder = SpaceTimeEncoder(SPACE, TIME, combine=combine)
    expected = encoder.transform(X)
    for fitted in (encoder, clone(encoder).fit(X)):
        for rows, block in fitted.transform_chunks(X, chunk_rows=33):
            assert_array_equal(block, expected[rows])
        assert sum(len(block) for _, block in fitted.transform_chunks(X, chunk_rows=33)) == 100


def test_a_grid_search_chooses_between_sum_and_product():
    """A season that changes sign at the equator is no sum of a map and a season."""
    X = draw(600)
    season = np.cos(2 * np.pi * X[:, 2] / 365.25)
    y = np.sin(np.radians(X[:, 1])) * season
    pipeline = make_pipeline(
        SpaceTimeEncoder(SphericalHarmonicsEncoder(degree=2), FourierTimeEncoder()), Ridge(1e-3)
    )
    search = GridSearchCV(pipeline, {"spacetimeencoder__combine": ["concat", "product"]}, cv=3)
    search.fit(X, y)
    assert search.best_params_ == {"spacetimeencoder__combine": "product"}
    assert search.best_score_ > 0.99
    assert search.cv_results_["mean_test_score"][0] < 0.2


def test_copies_give_equal_output():
    X = draw()
    encoder = SpaceTimeEncoder(SPACE, FourierTimeEncoder("span", kind="copy")).fit(X)
    assert_array_equal(pickle.loads(pickle.dumps(encoder)).transform(X), encoder.transform(X))
