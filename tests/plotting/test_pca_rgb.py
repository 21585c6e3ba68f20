"""pca_rgb against scikit-learn's PCA, and where there is little to colour."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA

from geofeat import CartesianEncoder, embed_grid
from geofeat.plotting import _pca_rgb, pca_rgb


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    return rng.normal(size=(500, 6)) * [5, 3, 2, 1, 0.5, 0.1] + 40


def by_scikit_learn(vectors, stretch=2.2):
    pca = PCA(3).fit(vectors)
    scores = pca.transform(vectors)
    largest = np.abs(pca.components_).argmax(axis=1)
    scores = scores * np.sign(pca.components_[range(3), largest])
    return np.clip(0.5 + scores / (2 * stretch * scores[:, 0].std()), 0, 1)


@pytest.mark.parametrize("stretch", [1.0, 2.2])
def test_colours_are_principal_components_under_one_stretch(vectors, stretch):
    assert_allclose(pca_rgb(vectors, stretch=stretch), by_scikit_learn(vectors, stretch), atol=1e-9)


def test_blocks_change_nothing(vectors, monkeypatch):
    whole = pca_rgb(vectors)
    monkeypatch.setattr(_pca_rgb, "_BLOCK_BYTES", 7 * 6 * 8)
    assert_allclose(pca_rgb(vectors), whole, atol=1e-12)


def test_fewer_vectors_than_features():
    vectors = np.random.default_rng(1).normal(size=(20, 300)).astype(np.float32)
    assert_allclose(pca_rgb(vectors), by_scikit_learn(vectors.astype(float)), atol=1e-6)


def test_signs_do_not_depend_on_the_sign_of_a_solver(vectors, monkeypatch):
    whole = pca_rgb(vectors)
    axes = _pca_rgb._main_axes

    def flipped(*args):
        values, found = axes(*args)
        return values, found * [-1, 1, -1]

    monkeypatch.setattr(_pca_rgb, "_main_axes", flipped)
    assert_allclose(pca_rgb(vectors), whole, atol=1e-12)


def test_equal_loadings_take_the_sign_of_the_first():
    t = np.linspace(-1, 1, 50)
    colours = pca_rgb(np.stack([-t, t * (1 + 1e-9)], axis=1))
    assert colours[0, 0] > 0.5 > colours[-1, 0]


def test_rows_that_are_not_finite_are_nan_and_count_for_nothing(vectors):
    bad = np.array([[np.nan] + [0] * 5, [np.inf] + [0] * 5, [np.nan] * 6])
    colours = pca_rgb(np.concatenate([bad, vectors]))
    assert np.isnan(colours[:3]).all()
    assert_allclose(colours[3:], pca_rgb(vectors), atol=1e-12)


@pytest.mark.parametrize("vectors", [np.full((4, 5), np.nan), np.empty((0, 3))])
def test_nothing_finite_gives_nothing(vectors):
    colours = pca_rgb(vectors)
    assert colours.shape == (len(vectors), 3)
    assert np.isnan(colours).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 1e8])
@pytest.mark.parametrize("n_rows", [1, 2, 50])
def test_what_does_not_vary_is_grey(value, n_rows):
    assert_array_equal(pca_rgb(np.full((n_rows, 4), value)), 0.5)


def test_one_feature_is_grey_two_have_no_blue():
    t = np.linspace(-1, 1, 11)[:, None]
    one = pca_rgb(t)
    assert_array_equal(one[:, 0], one[:, 2])
    assert (np.diff(one[:, 0]) > 0).all()
    two = pca_rgb(np.concatenate([t, t**2], axis=1))
    assert_array_equal(two[:, 2], 0.5)
    assert np.ptp(two[:, 1]) > 0.1


def test_images_frames_and_maps_are_read_along_their_bands(vectors):
    image = vectors.reshape(20, 25, 6)
    colours = pca_rgb(image)
    assert colours.shape == (20, 25, 3)
    assert_allclose(colours.reshape(-1, 3), pca_rgb(vectors))
    assert_allclose(pca_rgb(pd.DataFrame(vectors)), pca_rgb(vectors))
    grid = embed_grid(CartesianEncoder(), (0, 0, 40, 20), 5.0)
    assert pca_rgb(grid).shape == (4, 8, 3)
    assert_allclose(pca_rgb(grid), pca_rgb(np.moveaxis(grid.values, 0, -1)))
    assert_allclose(pca_rgb(xr.DataArray(vectors)), pca_rgb(vectors))


def test_whole_numbers_are_not_summed_in_their_own_type():
    vectors = np.random.default_rng(0).integers(-128, 127, (100, 4), dtype=np.int8)
    assert_allclose(pca_rgb(vectors), pca_rgb(vectors.astype(float)))


@pytest.mark.parametrize("shape", [(5,), (5, 0), (1, 2, 3, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="last axis"):
        pca_rgb(np.zeros(shape))


@pytest.mark.parametrize("stretch", [0, -1.0, np.nan, np.inf])
def test_a_stretch_is_positive(stretch):
    with pytest.raises(ValueError, match="stretch"):
        pca_rgb(np.zeros((3, 3)), stretch=stretch)
