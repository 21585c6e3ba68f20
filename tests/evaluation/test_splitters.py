"""SpatialBlockKFold against brute force, on all inputs, and inside scikit-learn."""

import copy
import pickle

import geopandas
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    LeaveOneGroupOut,
    check_cv,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from geofeat.evaluation import SpatialBlockKFold
from geofeat.exceptions import CoordinateWarning

EARTH_RADIUS_KM = 6371.0088


def haversine_km(lonlat, other):
    """All distances between two lists of points, by the textbook formula."""
    lon, lat = np.radians(lonlat).T[:, :, None]
    lon_other, lat_other = np.radians(other).T[:, None, :]
    a = (
        np.sin((lat - lat_other) / 2) ** 2
        + np.cos(lat) * np.cos(lat_other) * np.sin((lon - lon_other) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(a, 0, 1)))


def world_points(n=400, seed=0):
    """Points of the whole sphere, a third of them huddled at the antimeridian and the poles."""
    rng = np.random.default_rng(seed)
    lon = rng.uniform(-180, 180, n)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    third = n // 9
    lon[:third] = 180 + rng.normal(0, 2, third)
    lat[third : 2 * third] = 90 - rng.uniform(0, 8, third)
    lat[2 * third : 3 * third] = -90 + rng.uniform(0, 8, third)
    lon = np.where(lon >= 180, lon - 360, lon)
    return np.column_stack([lon, lat])


def regional_points(n=300, seed=0):
    return np.random.default_rng(seed).uniform([3.4, 50.8], [7.2, 53.6], size=(n, 2))


def assert_same_splits(got, expected):
    got, expected = list(got), list(expected)
    assert len(got) == len(expected)
    for (train, test), (train_expected, test_expected) in zip(got, expected, strict=True):
        assert_array_equal(train, train_expected)
        assert_array_equal(test, test_expected)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("block_size", [50.0, 1000.0, 5000.0])
def test_every_row_is_tested_once_and_no_block_is_shared(block_size, shuffle):
    X = world_points()
    folds = SpatialBlockKFold(
        4, block_size=block_size, shuffle=shuffle, random_state=3 if shuffle else None
    )
    blocks = folds.block_ids(X)
    tested = np.zeros(len(X), dtype=int)
    for train, test in folds.split(X):
        assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(X)))
        assert np.all(np.diff(train) > 0)
        assert np.all(np.diff(test) > 0)
        assert not set(blocks[train]) & set(blocks[test])
        tested[test] += 1
    assert_array_equal(tested, 1)


@pytest.mark.parametrize("buffer", [8.0, 30.0, 250.0, 2000.0])
def test_the_buffer_leaves_out_what_the_distance_matrix_says(buffer):
    X = world_points() if buffer > 100 else regional_points()
    block_size = 1500.0 if buffer > 100 else 60.0
    removed = 0
    plain = SpatialBlockKFold(3, block_size=block_size).split(X)
    buffered = SpatialBlockKFold(3, block_size=block_size, buffer=buffer).split(X)
    for (train, test), (train_left, test_again) in zip(plain, buffered, strict=True):
        assert_array_equal(test_again, test)
        nearest = haversine_km(X[train], X[test]).min(axis=1)
        assert_array_equal(train_left, train[nearest > buffer])
        removed += len(train) - len(train_left)
    assert removed > 0


def test_the_buffer_reaches_across_the_antimeridian_and_the_pole():
    pairs = np.array([[179.95, 10.0], [-179.95, 10.0], [0.0, 89.99], [180.0, 89.99], [20.0, 0.0]])
    labels = np.array([0, 1, 2, 3, 4])  # each point a block of its own
    for train, test in SpatialBlockKFold(5, buffer=20.0).split(pairs, groups=labels):
        partner = {0: 1, 1: 0, 2: 3, 3: 2, 4: None}[int(test[0])]
        assert partner not in train
        assert len(train) == 3 + (partner is None)


def test_a_point_at_the_very_limit_of_the_buffer_is_left_out():
    limit = 100.0
    along_the_equator = np.degrees(limit / EARTH_RADIUS_KM)
    inside, outside = along_the_equator * (1 - 1e-9), along_the_equator * (1 + 1e-9)
    X = np.array([[0.0, 0.0], [inside, 0.0], [-outside, 0.0]])
    by_test = {
        int(test[0]): train
        for train, test in SpatialBlockKFold(3, buffer=limit).split(X, groups=[0, 1, 2])
    }
    assert_array_equal(by_test[0], [2])


def test_sides_of_the_antimeridian_are_neighbouring_blocks():
    lat = np.linspace(-89.5, 89.5, 200)
    folds = SpatialBlockKFold(block_size=400.0)
    east = folds.block_ids(np.column_stack([np.full(200, 179.999), lat]))
    west = folds.block_ids(np.column_stack([np.full(200, -179.999), lat]))
    bounds_east, bounds_west = folds.block_bounds(east), folds.block_bounds(west)
    assert_array_equal(bounds_east[:, [1, 3]], bounds_west[:, [1, 3]])
    assert_allclose(bounds_east[:, 2], 180.0)
    assert_allclose(bounds_west[:, 0], -180.0)
    on_it = [folds.block_ids(np.column_stack([np.full(200, lon), lat])) for lon in (180, -180, 540)]
    assert_array_equal(on_it[0], on_it[1])
    assert_array_equal(on_it[0], on_it[2])


@pytest.mark.parametrize("shuffle", [False, True])
def test_permuting_rows_permutes_the_folds(shuffle):
    X = world_points(500)
    order = np.random.default_rng(5).permutation(len(X))
    folds = SpatialBlockKFold(
        5, block_size=900.0, buffer=100.0, shuffle=shuffle, random_state=1 if shuffle else None
    )
    expected = [
        (np.sort(np.argsort(order)[train]), np.sort(np.argsort(order)[test]))
        for train, test in folds.split(X)
    ]
    assert_same_splits(folds.split(X[order]), expected)


def test_shuffling_is_reproducible_and_does_shuffle():
    X = world_points(2000)
    seeded = SpatialBlockKFold(5, block_size=500.0, shuffle=True, random_state=0)
    assert_same_splits(seeded.split(X), list(seeded.split(X)))
    other = SpatialBlockKFold(5, block_size=500.0, shuffle=True, random_state=1)
    plain = SpatialBlockKFold(5, block_size=500.0)
    first_test = [next(iter(folds.split(X)))[1].tolist() for folds in (seeded, other, plain)]
    assert first_test[0] != first_test[1]
    assert first_test[0] != first_test[2]
    # A generator object moves on, as everywhere in scikit-learn.
    moving = SpatialBlockKFold(
        5, block_size=500.0, shuffle=True, random_state=np.random.RandomState(0)
    )
    assert_same_splits(moving.split(X), list(seeded.split(X)))
    assert next(iter(moving.split(X)))[1].tolist() != first_test[0]


@pytest.mark.parametrize("shuffle", [False, True])
def test_folds_hold_nearly_the_same_number_of_points(shuffle):
    rng = np.random.default_rng(8)
    # Half of the points in a few crowded places, the rest thinly spread.
    X = np.concatenate([regional_points(3000), rng.normal([5, 52], 0.3, size=(3000, 2))])
    folds = SpatialBlockKFold(
        5, block_size=15.0, shuffle=shuffle, random_state=0 if shuffle else None
    )
    fullest = np.unique(folds.block_ids(X), return_counts=True)[1].max()
    assert fullest > 60
    sizes = [len(test) for _, test in folds.split(X)]
    assert max(sizes) - min(sizes) <= 0.02 * len(X) / 5


def test_unshuffled_folds_are_dealt_largest_block_first():
    sizes = [50, 30, 20, 20, 10, 9, 1]
    labels = np.repeat(np.arange(7), sizes)
    tests = [
        set(labels[test])
        for _, test in SpatialBlockKFold(3).split(np.zeros((140, 1)), None, labels)
    ]
    # 50 | 30 | 20; 20 joins the third (40), 10 the second (40), 9 the second (49), 1 the third.
    assert tests == [{0}, {1, 4, 5}, {2, 3, 6}]


def kinds_of_coordinates(lonlat):
    points = geopandas.GeoDataFrame(
        {"value": range(len(lonlat))},
        geometry=geopandas.points_from_xy(*lonlat.T),
        crs="EPSG:4326",
    )
    frame = pd.DataFrame({"lon": lonlat[:, 0], "lat": lonlat[:, 1], "name": "a"})
    return {
        "array": lonlat,
        "list": lonlat.tolist(),
        "wide array": np.column_stack([lonlat, np.full((len(lonlat), 3), np.inf)]),
        "fortran": np.asfortranarray(lonlat),
        "pandas": frame.set_index(np.arange(len(lonlat))[::-1]),
        "polars": pl.DataFrame({"lon": lonlat[:, 0], "lat": lonlat[:, 1]}),
        "geodataframe": points,
        "utm": points.to_crs("EPSG:32631"),
        "geoseries": points.geometry,
        "shifted": lonlat + np.array([360.0, 0.0]),
    }


@pytest.mark.parametrize("kind", list(kinds_of_coordinates(regional_points(5))))
def test_all_kinds_of_coordinates_give_the_same_folds(kind):
    lonlat = regional_points(200)
    folds = SpatialBlockKFold(3, block_size=40.0, buffer=5.0)
    expected = list(folds.split(lonlat))
    coordinates = kinds_of_coordinates(lonlat)[kind]
    assert_same_splits(folds.split(coordinates), expected)
    assert_array_equal(folds.block_ids(coordinates), folds.block_ids(lonlat))
    features = np.random.default_rng(0).normal(size=(200, 7)) * 1e6
    assert_same_splits(folds.split(features, groups=coordinates), expected)


def test_tensors_are_read_on_and_off_dispatch():
    torch = pytest.importorskip("torch")
    lonlat = regional_points(100)
    folds = SpatialBlockKFold(3, block_size=40.0, buffer=5.0)
    expected = list(folds.split(lonlat))
    assert_same_splits(folds.split(torch.asarray(lonlat)), expected)
    with sklearn.config_context(array_api_dispatch=True):
        assert_same_splits(folds.split(torch.asarray(lonlat)), expected)


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(60) % 7,
        [f"district {i % 7}" for i in range(60)],
        pd.Series([f"d{i % 7}" for i in range(60)], dtype="category"),
        pl.Series([i % 7 for i in range(60)]),
        np.array([f"d{i % 7}" for i in range(60)], dtype=object),
    ],
    ids=["int", "list", "category", "polars", "object"],
)
def test_labels_of_ready_made_blocks_take_the_place_of_cells(labels):
    number = np.arange(60) % 7
    for train, test in SpatialBlockKFold(3).split(np.zeros((60, 2)), groups=labels):
        assert not set(number[train]) & set(number[test])
        assert len(train) + len(test) == 60


def test_labelled_blocks_take_the_buffer_from_X():
    X = regional_points(120)
    labels = (X[:, 0] > 5).astype(int)
    for train, test in SpatialBlockKFold(2, buffer=15.0).split(X, groups=labels):
        candidates = np.flatnonzero(labels != labels[test[0]])
        nearest = haversine_km(X[candidates], X[test]).min(axis=1)
        assert_array_equal(train, candidates[nearest > 15.0])
        assert len(train) < len(candidates)


@pytest.mark.parametrize("labels", [[0.0, 1.0, np.nan, 2.0], ["a", "b", None, "c"]])
def test_missing_labels_are_named(labels):
    with pytest.raises(ValueError, match=r"no block label in 1 of 4 rows \(2\)"):
        next(SpatialBlockKFold(2).split(np.zeros((4, 2)), groups=labels))


def test_missing_coordinates_are_named():
    X = regional_points(20)
    X[[3, 17]] = np.nan
    folds = SpatialBlockKFold(2, block_size=50.0)
    for call in (
        lambda: next(folds.split(X)),
        lambda: next(folds.split(np.zeros((20, 4)), groups=X)),
        lambda: folds.block_ids(X),
    ):
        with pytest.raises(ValueError, match=r"cannot place 2 of 20 rows \(3, 17\)"):
            call()


@pytest.mark.filterwarnings("ignore::geofeat.exceptions.CoordinateWarning")
def test_impossible_latitudes_are_missing_coordinates():
    X = np.array([[5.0, 52.0], [5.0, 95.0], [6.0, 52.0]])
    with pytest.raises(ValueError, match=r"1 of 3 rows \(1\)"):
        SpatialBlockKFold().block_ids(X)


def test_impossible_latitudes_warn_first():
    with pytest.warns(CoordinateWarning, match="95"), pytest.raises(ValueError, match="row"):
        SpatialBlockKFold().block_ids([[5.0, 52.0], [5.0, 95.0]])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((5, 1)), r"1 feature\(s\)"),
        (np.zeros(5), "Expected 2D array"),
        (np.zeros((0, 2)), r"0 sample\(s\)"),
        (np.array([[0.0, np.inf]]), "inf"),
        (pd.DataFrame({"lat": [1.0], "lon": [2.0]}), "swapped"),
    ],
)
def test_what_is_no_coordinate_is_refused(X, message):
    with pytest.raises(ValueError, match=message):
        SpatialBlockKFold().block_ids(X)


def test_too_few_blocks_are_refused_with_the_way_out():
    X = regional_points(50)
    with pytest.raises(ValueError, match=r"n_splits=5 .* blocks that hold points: 1.*block_size"):
        next(SpatialBlockKFold(5, block_size=5000.0).split(X))


def test_a_buffer_that_leaves_nothing_is_refused():
    X = regional_points(50)
    with pytest.raises(ValueError, match=r"buffer=900 km leaves no training point in fold 0"):
        next(SpatialBlockKFold(2, block_size=30.0, buffer=900.0).split(X))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_splits": 1}, "n_splits"),
        ({"n_splits": 2.5}, "n_splits"),
        ({"block_size": 0}, "block_size"),
        ({"block_size": -3.0}, "block_size"),
        ({"block_size": "10 km"}, "block_size"),
        ({"block_size": np.nan}, "block_size"),
        ({"buffer": -1}, "buffer"),
        ({"shuffle": "yes"}, "shuffle"),
        ({"shuffle": True, "random_state": "seed"}, "random_state"),
        ({"random_state": 3}, "shuffle=True"),
    ],
)
def test_bad_parameters_are_refused_by_name(parameters, message):
    with pytest.raises(ValueError, match=message):
        SpatialBlockKFold(**parameters)


def test_rows_of_X_and_groups_must_agree():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        next(SpatialBlockKFold(2).split(np.zeros((4, 2)), groups=np.zeros((5, 2))))


def test_block_bounds_refuse_what_is_no_block():
    folds = SpatialBlockKFold(block_size=1000.0)
    with pytest.raises(ValueError, match="0 to 509"):
        folds.block_bounds([510])
    with pytest.raises(ValueError, match="whole numbers"):
        folds.block_bounds([0.5])


def test_it_prints_copies_and_pickles_like_a_splitter():
    folds = SpatialBlockKFold(3, block_size=50.0, shuffle=True, random_state=4)
    assert repr(folds) == (
        "SpatialBlockKFold(block_size=50.0, buffer=0.0, n_splits=3, random_state=4,\n"
        "         shuffle=True)"
    )
    assert folds.get_n_splits() == folds.get_n_splits(None, None, None) == 3
    assert check_cv(folds) is folds
    X = regional_points(100)
    for twin in (
        copy.deepcopy(folds),
        sklearn.clone(folds, safe=False),
        pickle.loads(pickle.dumps(folds)),
    ):
        assert_same_splits(twin.split(X), list(folds.split(X)))


@pytest.fixture
def regression():
    lonlat = regional_points(300)
    rng = np.random.default_rng(1)
    features = np.column_stack([lonlat * 100, rng.normal(size=(300, 3))])
    return lonlat, features, lonlat[:, 0] + rng.normal(0, 0.1, 300)


def scores_by_hand(model, features, y, splits):
    scores = []
    for train, test in splits:
        scores.append(
            sklearn.clone(model).fit(features[train], y[train]).score(features[test], y[test])
        )
    return scores


@pytest.mark.parametrize("routing", [False, True])
def test_cross_validation_with_coordinates_in_X(regression, routing):
    lonlat, _, y = regression
    folds = SpatialBlockKFold(4, block_size=60.0, buffer=10.0)
    model = make_pipeline(StandardScaler(), Ridge())
    expected = scores_by_hand(model, lonlat, y, folds.split(lonlat))
    with sklearn.config_context(enable_metadata_routing=routing):
        assert_allclose(cross_val_score(model, lonlat, y, cv=folds), expected)
        predicted = cross_val_predict(model, lonlat, y, cv=folds)
        assert predicted.shape == y.shape


def test_cross_validation_with_coordinates_in_groups(regression):
    lonlat, features, y = regression
    folds = SpatialBlockKFold(4, block_size=60.0, buffer=10.0)
    expected = scores_by_hand(Ridge(), features, y, folds.split(lonlat))
    got = cross_validate(Ridge(), features, y, cv=folds, groups=lonlat)["test_score"]
    assert_allclose(got, expected)
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 10.0]}, cv=folds)
    search.fit(features, y, groups=lonlat)
    assert_allclose([search.cv_results_[f"split{k}_test_score"][0] for k in range(4)], expected)
    assert search.n_splits_ == 4


def test_metadata_routing_brings_the_groups(regression):
    lonlat, features, y = regression
    folds = SpatialBlockKFold(4, block_size=60.0)
    expected = scores_by_hand(Ridge(), features, y, folds.split(lonlat))
    with sklearn.config_context(enable_metadata_routing=True):
        got = cross_validate(Ridge(), features, y, cv=folds, params={"groups": lonlat})
        assert_allclose(got["test_score"], expected)
        renamed = copy.deepcopy(folds).set_split_request(groups="coordinates")
        got = cross_validate(Ridge(), features, y, cv=renamed, params={"coordinates": lonlat})
        assert_allclose(got["test_score"], expected)
        search = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=renamed)
        search.fit(features, y, coordinates=lonlat)
        assert_allclose(search.best_score_, np.mean(expected))


def test_geodataframes_pass_through_cross_validation():
    lonlat = regional_points(100)
    points = geopandas.GeoDataFrame(
        geometry=geopandas.points_from_xy(*lonlat.T), crs="EPSG:4326"
    ).to_crs("EPSG:28992")
    y = (lonlat[:, 0] > 5).astype(int)
    folds = SpatialBlockKFold(3, block_size=40.0)
    got = cross_val_score(DummyClassifier(), points, y, cv=folds, error_score="raise")
    assert_allclose(got, cross_val_score(DummyClassifier(), lonlat, y, cv=folds))


def test_block_ids_serve_leave_one_group_out(regression):
    lonlat, features, y = regression
    folds = SpatialBlockKFold(block_size=60.0)
    blocks = folds.block_ids(lonlat)
    scores = cross_val_score(
        Ridge(),
        features,
        y,
        cv=LeaveOneGroupOut(),
        groups=blocks,
        scoring="neg_mean_absolute_error",
    )
    assert len(scores) == len(np.unique(blocks)) > 10
