"""Robust weights and their scale against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from geofeat.kernels._robust_weights import (
    BISQUARE,
    HUBER,
    robust_weights,
    weighted_median_magnitude,
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 4)), min_size=1, max_size=40).filter(
        lambda pairs: any(weight for _, weight in pairs)
    )
)
def test_weighted_median_is_the_median_of_repeated_values(pairs):
    values, weights = np.array(pairs, dtype=float).T
    repeated = np.repeat(np.abs(values), weights.astype(int))
    median = weighted_median_magnitude(values[None], weights[None], 0)
    assert median == np.median(repeated)


def test_weighted_median_of_nothing_is_zero():
    assert weighted_median_magnitude(np.ones((1, 3)), np.zeros((1, 3)), 0) == 0.0


@pytest.mark.parametrize(
    ("kind", "psi_over_u"),
    [
        (HUBER, lambda u: np.where(u <= 1.345, 1.0, 1.345 / np.maximum(u, 1e-300))),
        (BISQUARE, lambda u: np.where(u < 4.685, (1 - (u / 4.685) ** 2) ** 2, 0.0)),
    ],
)
def test_weights_follow_the_published_functions(kind, psi_over_u):
    residuals = np.linspace(-30, 30, 121)[None]
    weights = np.random.default_rng(2).uniform(0, 3, residuals.shape)
    out = np.empty_like(residuals)
    robust_weights(residuals, weights, 0, 2.5, kind, out)
    assert_allclose(out, weights * psi_over_u(np.abs(residuals) / 2.5), rtol=1e-14, atol=1e-16)
