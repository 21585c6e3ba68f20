"""Forests as arrays against scikit-learn's predict_proba, bit for bit."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, RandomForestRegressor

from geofeat.rasters._forest_votes import forest_votes


def shares(forest, rows):
    return forest.tally(rows, np.arange(len(rows))) / len(forest.leaves)


@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier])
@pytest.mark.parametrize("n_trees", [1, 3, 130])
def test_votes_are_the_probabilities_bit_for_bit(kind, n_trees):
    rng = np.random.default_rng(n_trees)
    table = rng.normal(size=(300, 6)).astype(np.float32)
    model = kind(n_trees, random_state=0).fit(table, rng.integers(0, 5, 300))
    forest = forest_votes(model)
    # On the limits themselves, and one step beside them, every rounding shows.
    limits = np.concatenate([tree.tree_.threshold for tree in model.estimators_])
    near = rng.choice(limits, (500, 6)).astype(np.float32)
    rows = np.concatenate([table, near, np.nextafter(near, np.float32(np.inf))])
    assert_array_equal(shares(forest, rows), model.predict_proba(rows))


def test_bytes_are_compared_as_their_values():
    rng = np.random.default_rng(1)
    tables = np.sort(rng.normal(size=(4, 256)).astype(np.float32), axis=1)
    tables[:, 128] = np.nan
    tables[1] = np.rint(tables[1])  # many bytes of one value
    tables[2] = rng.permutation(tables[2])  # in no order
    stored = rng.integers(0, 256, (4, 600), dtype=np.uint8)
    values = np.take_along_axis(tables, stored.astype(int), axis=1).T
    good = ~np.isnan(values).any(axis=1)
    model = RandomForestClassifier(20, random_state=0).fit(
        values[good], rng.integers(0, 3, good.sum())
    )
    coded = forest_votes(model).for_bytes(tables)
    codes = np.take_along_axis(coded.codes, stored.astype(int), axis=1).T.copy()
    assert_array_equal(
        np.take_along_axis(coded.is_missing, stored.astype(int), axis=1), np.isnan(values).T
    )
    assert_array_equal(shares(coded.forest, codes[good]), model.predict_proba(values[good]))


def test_bytes_of_256_values_have_no_codes():
    rng = np.random.default_rng(2)
    table = rng.normal(size=(1, 256)).astype(np.float32)
    model = RandomForestClassifier(2, random_state=0).fit(table.T, np.arange(256) % 2)
    assert forest_votes(model).for_bytes(table) is None
    table[0, 3] = np.nan
    assert forest_votes(model).for_bytes(table) is not None


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(5, max_depth=2),
        RandomForestRegressor(5),
        type("Heir", (RandomForestClassifier,), {})(5),
    ],
    ids=["impure leaves", "regression", "heir"],
)
def test_what_the_kernel_cannot_do_is_left_to_scikit_learn(model):
    rng = np.random.default_rng(3)
    model.fit(rng.normal(size=(80, 3)), rng.integers(0, 3, 80))
    assert forest_votes(model) is None


def test_several_outputs_and_large_trees_are_left_to_scikit_learn():
    rng = np.random.default_rng(4)
    table = rng.normal(size=(6000, 2))
    several = RandomForestClassifier(2).fit(table, rng.integers(0, 2, (6000, 2)))
    assert forest_votes(several) is None
    large = RandomForestClassifier(1, bootstrap=False).fit(table, rng.integers(0, 9, 6000))
    assert large.estimators_[0].tree_.node_count > 4096
    assert forest_votes(large) is None


def test_a_tree_that_is_one_leaf_votes_too():
    table = np.zeros((10, 2), dtype=np.float32)
    model = RandomForestClassifier(3, random_state=0).fit(table, np.zeros(10))
    assert_array_equal(shares(forest_votes(model), table), model.predict_proba(table))
