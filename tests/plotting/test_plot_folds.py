"""plot_folds: every point once, in the colour of its fold."""

import geopandas
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
)

from geofeat.evaluation import SpatialBlockKFold
from geofeat.plotting import plot_folds

OKABE_ITO = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#f0e442"]


@pytest.fixture
def lonlat():
    return np.random.default_rng(0).uniform([3.4, 50.8], [7.2, 53.6], size=(300, 2))


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def drawn(ax):
    return [collection.get_offsets() for collection in ax.collections]


@pytest.mark.parametrize(
    "cv",
    [SpatialBlockKFold(5, block_size=40.0, buffer=10.0), KFold(4, shuffle=True, random_state=0), 3],
)
def test_points_have_the_colour_of_the_fold_that_tests_them(cv, lonlat):
    ax = plot_folds(cv, lonlat)
    splits = list((KFold(3) if cv == 3 else cv).split(lonlat))
    for fold, (_, test) in enumerate(splits):
        assert_allclose(drawn(ax)[fold], lonlat[test])
        assert to_hex(ax.collections[fold].get_facecolors()[0]) == OKABE_ITO[fold]
    assert legend(ax) == [f"fold {fold} ({len(test)})" for fold, (_, test) in enumerate(splits)]
    assert sum(map(len, drawn(ax))) == 300
    assert ax.get_aspect() == pytest.approx(1 / np.cos(np.radians(52.2)), rel=1e-3)


def test_the_buffer_of_a_fold_is_tested_in_another(lonlat):
    plain = plot_folds(SpatialBlockKFold(4, block_size=40.0), lonlat)
    buffered = plot_folds(SpatialBlockKFold(4, block_size=40.0, buffer=20.0), lonlat)
    for one, other in zip(drawn(plain), drawn(buffered), strict=True):
        assert_array_equal(one, other)


def test_labels_and_groups_reach_the_splitter(lonlat):
    y = np.arange(300) % 3
    assert len(drawn(plot_folds(StratifiedKFold(3), lonlat, y))) == 3
    groups = np.arange(300) // 30
    ax = plot_folds(GroupKFold(5), lonlat, groups=groups)
    assert legend(ax) == [f"fold {fold} (60)" for fold in range(5)]


def test_coordinates_given_as_groups_are_the_places(lonlat):
    points = geopandas.GeoSeries.from_xy(*lonlat.T, crs="EPSG:4326")
    cv = SpatialBlockKFold(3, block_size=40.0)
    features = np.random.default_rng(1).normal(size=(300, 7)) * 1000
    for groups in (lonlat, lonlat.tolist(), points.to_crs(28992)):
        ax = plot_folds(cv, features, groups=groups)
        assert_allclose(np.concatenate(drawn(ax)).mean(axis=0), lonlat.mean(axis=0), atol=1e-6)


def test_geometries_are_read_in_their_crs(lonlat):
    points = geopandas.GeoDataFrame(geometry=geopandas.points_from_xy(*lonlat.T), crs="EPSG:4326")
    ax = plot_folds(SpatialBlockKFold(3, block_size=40.0), points.to_crs(32631))
    assert_allclose(np.concatenate(drawn(ax)).mean(axis=0), lonlat.mean(axis=0), atol=1e-6)


def test_points_that_no_fold_tests_are_grey(lonlat):
    fold_of_row = np.arange(300) % 3 - 1  # -1 is always trained on
    ax = plot_folds(PredefinedSplit(fold_of_row), lonlat)
    assert legend(ax) == ["never tested (100)", "fold 0 (100)", "fold 1 (100)"]
    assert_allclose(drawn(ax)[0], lonlat[::3])
    assert to_hex(ax.collections[0].get_facecolors()[0]) not in OKABE_ITO


def test_points_that_several_folds_test_count_for_the_first(lonlat):
    ax = plot_folds(RepeatedKFold(n_splits=2, n_repeats=2, random_state=0), lonlat)
    assert legend(ax) == ["fold 0 (150)", "fold 1 (150)", "fold 2 (0)", "fold 3 (0)"]
    shuffled = plot_folds(ShuffleSplit(3, test_size=0.2, random_state=0), lonlat)
    assert sum(map(len, drawn(shuffled))) == 300


def test_splits_may_be_given_as_they_are(lonlat):
    splits = [(np.arange(100, 300), np.arange(100)), (np.arange(200), np.arange(200, 300))]
    assert legend(plot_folds(splits, lonlat)) == [
        "never tested (100)", "fold 0 (100)", "fold 1 (100)",
    ]  # fmt: skip


def test_many_folds_differ_in_colour_or_marker(lonlat):
    ax = plot_folds(LeaveOneGroupOut(), lonlat, groups=np.arange(300) // 8)
    assert len(ax.collections) == 38
    assert len(legend(ax)) == 32
    looks = {
        (to_hex(dots.get_facecolors()[0]), dots.get_paths()[0].vertices.tobytes())
        for dots in ax.collections
    }
    assert len(looks) == 38


def test_given_axes_are_drawn_on(lonlat):
    ax = Figure().subplots()
    assert plot_folds(KFold(2), lonlat, ax=ax) is ax


def test_missing_places_are_counted_but_not_seen(lonlat):
    lonlat[0] = np.nan
    ax = plot_folds(KFold(2), lonlat)
    assert legend(ax) == ["fold 0 (150)", "fold 1 (150)"]


def test_what_is_no_place_is_refused():
    with pytest.raises(ValueError, match="plot_folds expects longitude"):
        plot_folds(KFold(2), np.zeros((4, 1)))
