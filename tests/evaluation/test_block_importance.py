"""block_importance against scikit-learn's permutation importance and closed forms."""

import geopandas
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from geofeat import CartesianEncoder, SphericalHarmonicsEncoder
from geofeat.evaluation import block_importance


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(200, 4)), columns=list("abcd"))
    table["lon"], table["lat"] = rng.uniform([-180, -60], [180, 60], (200, 2)).T
    return table


@pytest.fixture
def target(table):
    return 3 * table.a + table.b - 0.5 * table.c + np.sin(np.radians(table.lon))


def columns(*names):
    return ColumnTransformer([(name, "passthrough", [name]) for name in names])


@pytest.mark.parametrize("scoring", [None, "neg_mean_absolute_error"])
@pytest.mark.parametrize("container", ["default", "pandas"])
def test_blocks_of_one_column_have_scikit_learns_importance(table, target, scoring, container):
    parts = columns("a", "b", "c", "d").set_output(transform=container)
    model = make_pipeline(parts, StandardScaler(), Ridge()).fit(table[:100], target[:100])
    X, y = table[100:], target[100:]
    ours = block_importance(model, X, y, n_repeats=4, scoring=scoring, random_state=7)
    theirs = permutation_importance(
        model[1:], parts.transform(X), y, n_repeats=4, scoring=scoring, random_state=7
    )
    assert ours.names.tolist() == list("abcd")
    for key in ("importances", "importances_mean", "importances_std"):
        assert_allclose(ours[key], theirs[key], atol=1e-12)


class FirstColumns(RegressorMixin, BaseEstimator):
    """Answers with the sum of the first two columns."""

    def fit(self, X, y):
        self.is_fitted_ = True
        return self

    def predict(self, X):
        return np.asarray(X)[:, :2].sum(axis=1)


def test_a_block_that_is_ignored_has_importance_zero(table, target):
    union = FeatureUnion([
        ("used", FunctionTransformer(lambda X: X[["a", "b"]].to_numpy())),
        ("ignored", FunctionTransformer(lambda X: X[["c", "d"]].to_numpy())),
    ])  # fmt: skip
    model = make_pipeline(union, FirstColumns()).fit(table, target)
    importance = block_importance(model, table, target, random_state=0)
    assert importance.names.tolist() == ["used", "ignored"]
    assert_array_equal(importance.importances[1], 0.0)
    assert (importance.importances[0] > 0.5).all()


def test_columns_of_a_block_stay_together(table):
    """The sum of a constant-sum pair survives a joint permutation, not one of single columns."""
    pair = FunctionTransformer(lambda X: np.stack([X.a, -X.a], axis=1))
    union = FeatureUnion([("pair", pair), ("other", FunctionTransformer(lambda X: X[["b"]]))])
    model = make_pipeline(union, FirstColumns()).fit(table, table.a)
    y = np.zeros(200)
    importance = block_importance(model, table, y, scoring="neg_mean_squared_error", random_state=0)
    assert_array_equal(importance.importances, 0.0)
    alone = permutation_importance(
        model[1:], union.transform(table), y, scoring="neg_mean_squared_error", random_state=0
    )
    assert alone.importances_mean[0] > 1


def test_linear_models_lose_what_arithmetic_says(table):
    """R2 falls by 2 w^2 var(x) (1 - corr) / var(y) when a column of weight w is permuted."""
    y = 2.0 * table.a + 1.0 * table.b
    model = make_pipeline(columns("a", "b"), LinearRegression()).fit(table, y)
    importance = block_importance(model, table, y, n_repeats=200, random_state=0)
    expected = 2 * np.array([4 * table.a.var(), table.b.var()]) / y.var()
    assert_allclose(importance.importances_mean, expected, rtol=0.05)


@pytest.fixture
def fitted(table, target):
    union = make_union(
        make_pipeline(SphericalHarmonicsEncoder(degree=3), StandardScaler()), CartesianEncoder()
    )
    return make_pipeline(union, Ridge()).fit(table[["lon", "lat"]], target)


def test_parts_may_be_pipelines(fitted, table, target):
    importance = block_importance(fitted, table[["lon", "lat"]], target, random_state=0)
    assert importance.names.tolist() == ["pipeline", "cartesianencoder"]
    assert importance.importances.shape == (2, 5)


def test_seeds_make_it_repeatable_and_leave_x_alone(fitted, table, target):
    X = table[["lon", "lat"]]
    before = X.copy()
    first, second, other = (
        block_importance(fitted, X, target, random_state=seed).importances for seed in (0, 0, 1)
    )
    assert_array_equal(first, second)
    assert (first != other).any()
    pd.testing.assert_frame_equal(X, before)


def test_geometries_pass(table, target):
    plots = geopandas.GeoDataFrame(
        table, geometry=geopandas.points_from_xy(table.lon, table.lat), crs="EPSG:4326"
    )
    model = make_pipeline(
        make_union(SphericalHarmonicsEncoder(degree=3), CartesianEncoder()), Ridge()
    ).fit(plots, target)
    assert block_importance(model, plots, target).importances.shape == (2, 5)


def test_labels_and_missing_features_pass(table, target):
    labels = np.where(target > 0, "oak", "beech")
    table.loc[::5, "a"] = np.nan
    model = make_pipeline(columns("a", "b", "c"), RandomForestClassifier(20, random_state=0))
    model.fit(table[:100], labels[:100])
    importance = block_importance(
        model, table[100:], labels[100:], scoring="neg_log_loss", random_state=0
    )
    assert importance.names[importance.importances_mean.argmax()] == "a"
    boosted = make_pipeline(columns("a", "b"), HistGradientBoostingRegressor(max_iter=5))
    boosted.fit(table, target)
    assert block_importance(boosted, table, target).importances.shape == (2, 5)


def test_empty_and_dropped_parts_are_no_blocks(table, target):
    parts = ColumnTransformer(
        [("gone", "drop", ["a"]), ("kept", "passthrough", ["b"])], remainder="passthrough"
    )
    model = make_pipeline(parts, Ridge()).fit(table, target)
    assert block_importance(model, table, target).names.tolist() == ["kept", "remainder"]
    union = FeatureUnion(
        [("gone", "drop"), ("all", "passthrough"), ("scaled", StandardScaler())],
        transformer_weights={"scaled": 2.0},
    )
    model = make_pipeline(union, Ridge()).fit(table, target)
    assert block_importance(model, table, target).names.tolist() == ["all", "scaled"]


def test_sparse_and_polars_blocks_are_permuted_alike(table, target):
    table["kind"] = np.where(table.a > 0, "x", "y")
    names = ["kind", "b"]
    results = []
    for sparse, container in ((True, "default"), (False, "default"), (False, "polars")):
        encoder = OneHotEncoder(sparse_output=sparse)
        parts = make_column_transformer(
            (encoder, ["kind"]), (StandardScaler(with_mean=False), ["b", "c"]), sparse_threshold=1.0
        ).set_output(transform=container)
        model = make_pipeline(parts, Ridge(solver="lsqr", tol=1e-10)).fit(table, target)
        results.append(block_importance(model, table, target, random_state=0).importances)
    assert len(names) == len(results[0])
    assert_allclose(results[0], results[1], atol=1e-5)
    assert_allclose(results[2], results[1], atol=1e-5)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Ridge(), "got a Ridge"),
        (make_pipeline(StandardScaler(), Ridge()), "begins with a StandardScaler"),
        (make_pipeline(make_union(StandardScaler())), "without an estimator"),
    ],
)
def test_models_of_another_shape_are_named(model, words, table, target):
    with pytest.raises(TypeError, match=words):
        block_importance(model.fit(table, target), table, target)


def test_an_unfitted_model_says_so(table, target):
    with pytest.raises(NotFittedError):
        block_importance(make_pipeline(columns("a"), Ridge()), table, target)


def test_a_model_that_does_not_predict_is_refused(table, target):
    model = make_pipeline(columns("a"), StandardScaler()).fit(table, target)
    with pytest.raises(TypeError, match="score"):
        block_importance(model, table, target)


@pytest.mark.parametrize("n_repeats", [0, -1, 2.5, True, "5"])
def test_repeats_are_counted(n_repeats, fitted, table, target):
    with pytest.raises(ValueError, match="n_repeats"):
        block_importance(fitted, table[["lon", "lat"]], target, n_repeats=n_repeats)


def test_one_scoring_at_a_time(fitted, table, target):
    with pytest.raises(TypeError, match="one scoring"):
        block_importance(fitted, table[["lon", "lat"]], target, scoring=["r2"])


def test_every_sample_has_a_target(fitted, table, target):
    with pytest.raises(ValueError, match="inconsistent"):
        block_importance(fitted, table[["lon", "lat"]], target[:50])
