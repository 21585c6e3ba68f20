"""The Gaussian error linear unit against mpmath."""

import array_api_strict
import mpmath
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from geofeat.kernels._gelu import gelu

Z = np.concatenate([np.linspace(-30, 30, 1201), [0.0, 1e-300, 1e3]])


@pytest.fixture(scope="module")
def exact():
    with mpmath.workdps(40):
        return np.array([float(z * mpmath.erfc(-mpmath.mpf(z) / mpmath.sqrt(2)) / 2) for z in Z])


@pytest.mark.parametrize(
    ("xp", "convert"),
    [
        (np, np.array),
        (torch, torch.tensor),
        (array_api_strict, array_api_strict.asarray),
    ],
    ids=["numpy", "torch", "strict"],
)
def test_equals_the_exact_values_with_tiny_tails(xp, convert, exact):
    values = np.asarray(gelu(convert(Z[None]), xp))[0]
    # An exponential of -z**2 / 2 loses as many digits as that has before the point.
    assert_allclose(values, exact, rtol=2e-13, atol=0)
    middle = np.abs(Z) < 5
    assert_allclose(values[middle], exact[middle], rtol=1e-14, atol=0)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 31])
def test_any_number_of_values_in_place(n, exact):
    values = Z[:n].copy().reshape(1, n)
    result = gelu(values, np)
    assert np.shares_memory(result, values)
    assert_allclose(values[0], exact[:n], rtol=2e-13)


def test_single_precision(exact):
    values = gelu(Z[None].astype(np.float32), np)
    assert values.dtype == np.float32
    assert_allclose(values[0], exact, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("xp", [np, torch])
def test_missing_and_infinite_values(xp):
    values = np.asarray(gelu(xp.asarray([[np.nan, 1.0, -1e100]], dtype=xp.float64), xp))[0]
    assert np.isnan(values[0])
    assert values[2] == 0
