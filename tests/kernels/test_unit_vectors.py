"""Unit vectors of places against their definition."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from geofeat._sklearn import torch_namespace
from geofeat.kernels._precision import in_double
from geofeat.kernels._unit_vectors import unit_vectors


@pytest.mark.parametrize("xp", [np, torch_namespace()], ids=["numpy", "torch"])
def test_equal_the_definition(points, xp):
    lon, lat = (xp.asarray(axis.copy()) for axis in points.T)
    phi, beta = np.radians(points.T)
    expected = np.stack(
        [np.cos(beta) * np.cos(phi), np.cos(beta) * np.sin(phi), np.sin(beta)], axis=1
    )
    assert_allclose(np.asarray(unit_vectors(lon, lat, xp)), expected, rtol=0, atol=4e-16)


def test_quarter_turns_are_exact_and_nan_stays():
    lon, lat = np.array([0.0, 90, -180, 7, np.nan]), np.array([0.0, 0, 0, -90, np.nan])
    expected = [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, 0, -1], [np.nan] * 3]
    assert_array_equal(unit_vectors(lon, lat, np) + 0.0, expected)


def test_double_precision_is_that_of_the_numbers_given():
    single = np.array([0.1], dtype=np.float32)
    assert in_double(single, np).dtype == np.float64
    assert in_double(single, np)[0] == single[0]
    double = np.array([0.1])
    assert in_double(double, np) is double
