"""Statistics of groups of pixels against NumPy's own."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from geofeat.kernels._pixel_statistics import medians, standard_deviations


@pytest.mark.parametrize("n_pixels", [1, 2, 9, 40])
@pytest.mark.parametrize(
    ("kernel", "oracle"), [(medians, np.nanmedian), (standard_deviations, np.nanstd)]
)
def test_statistics_of_what_is_there_equal_numpys(kernel, oracle, n_pixels):
    rng = np.random.default_rng(n_pixels)
    values = rng.normal(size=(50, n_pixels, 3)).astype(np.float32)
    values[rng.uniform(size=values.shape) < 0.3] = np.nan
    values[7] = np.nan
    out, counts = np.empty((50, 3), np.float32), np.empty((50, 3), np.int64)
    before = values.copy()
    kernel(values, out, counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of groups without a value
        expected = oracle(values.astype(np.float64), axis=1)
    assert_allclose(out, expected, rtol=1e-6, atol=1e-7)
    assert_array_equal(counts, (~np.isnan(values)).sum(axis=1))
    assert_array_equal(values, before)


def test_small_deviations_of_large_values_are_not_lost():
    steps = np.tile([-0.5, 0.5], 20).astype(np.float32)
    values = (np.float32(1e6) + steps)[None, :, None]
    out, counts = np.empty((1, 1), np.float32), np.empty((1, 1), np.int64)
    standard_deviations(values, out, counts)
    assert out[0, 0] == 0.5
    standard_deviations(np.full((1, 7, 1), 0.1, np.float32), out, counts)
    assert out[0, 0] == 0.0
