"""Fused bias and activation against NumPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from geofeat.kernels._activations import positive_part_of_sum, sine_of_mean, sine_of_sum


@pytest.mark.parametrize("width", [1, 7, 8, 9, 256])
@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 4e-15), (np.float32, 4e-8)])
def test_sine_of_sum(width, dtype, atol):
    rng = np.random.default_rng(0)
    values, bias = rng.normal(size=(13, width)).astype(dtype), rng.normal(size=width)
    expected = np.sin(30 * (values.astype(np.float64) + bias))
    sine_of_sum(values, bias, 30.0)
    assert values.dtype == dtype
    assert_allclose(values, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("width", [1, 7, 8, 9, 256])
@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-15), (np.float32, 3e-7)])
def test_sine_of_mean(width, dtype, atol):
    rng = np.random.default_rng(0)
    values, state = rng.normal(size=(2, 13, width)).astype(dtype)
    bias = rng.normal(size=width)
    state[3] = np.nan
    mean = (values.astype(np.float64) + bias + state) / 2
    out = np.zeros_like(values)
    sine_of_mean(values, bias, state, out)
    assert_allclose(state, mean, rtol=0, atol=atol)
    assert_allclose(out, np.sin(mean), rtol=0, atol=atol)
    assert np.isnan(out[3]).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_positive_part_of_sum(dtype):
    rng = np.random.default_rng(0)
    values, bias = rng.normal(size=(13, 9)).astype(dtype), rng.normal(size=9).astype(dtype)
    expected = np.maximum(values + bias, 0)
    positive_part_of_sum(values, bias)
    assert_array_equal(values, expected)
    assert values.dtype == dtype


@pytest.mark.parametrize("activate", [lambda v, b: sine_of_sum(v, b, 1.0), positive_part_of_sum])
def test_nan_stays_in_its_row(activate):
    values = np.ones((4, 10))
    values[2] = np.nan
    activate(values, np.zeros(10))
    assert_array_equal(np.isnan(values).all(axis=1), [False, False, True, False])
    assert np.isnan(values).sum() == 10
