"""Columns of the harmonic model against high precision and NumPy."""

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from geofeat.kernels._harmonic_design import PADDING, harmonic_design


def test_waves_of_five_orders_against_high_precision():
    days = np.random.default_rng(0).uniform(-700_000, 2_900_000, 300)
    days[:8] = np.arange(8) * 365.25 / 8  # borders of the octants
    columns, _ = harmonic_design(days, 0.0, 365.25, 5, trend=False)
    with mpmath.workdps(40):
        for k in range(1, 6):
            angles = [2 * mpmath.pi * k * mpmath.mpf(day) / mpmath.mpf(365.25) for day in days]
            cosines = [float(mpmath.cos(angle)) for angle in angles]
            sines = [float(mpmath.sin(angle)) for angle in angles]
            assert_allclose(columns[2 * k - 1, : days.size], cosines, rtol=0, atol=2e-15)
            assert_allclose(columns[2 * k, : days.size], sines, rtol=0, atol=2e-15)


@pytest.mark.parametrize("trend", [True, False])
def test_columns_products_and_padding(trend):
    days = np.array([18300.0, np.nan, 18400.5, 19000.0])
    columns, products = harmonic_design(days, 18500.0, 365.25, 2, trend)
    assert columns.shape == (5 + trend, PADDING)
    assert not columns[:, 4:].any()
    assert not columns[:, 1].any()
    assert_array_equal(columns[0, :4], [1, 0, 1, 1])
    if trend:
        assert_allclose(columns[1, [0, 2, 3]], (days[[0, 2, 3]] - 18500) / 365.25, rtol=1e-15)
    pairs = [columns[i] * columns[j] for j in range(5 + trend) for i in range(j + 1)]
    assert_array_equal(products, pairs)
