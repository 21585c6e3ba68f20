"""Sines and cosines of lanes against longer arithmetic."""

import math

import mpmath
import numpy as np
import pytest

from geofeat.kernels._jit import njit
from geofeat.kernels._lanes import LANES, load, store
from geofeat.kernels._sine import MAX_RADIANS, sine_and_cosine, sine_and_cosine_of_degrees


@njit()
def in_radians(x, sines, cosines, single=False):
    for i in range(0, x.shape[0], LANES):
        sine, cosine = sine_and_cosine(load(x, i), single)
        store(sines, i, sine)
        store(cosines, i, cosine)


@njit()
def in_degrees(x, sines, cosines, below_one):
    for i in range(0, x.shape[0], LANES):
        sine, cosine, small = sine_and_cosine_of_degrees(load(x, i))
        store(sines, i, sine)
        store(cosines, i, cosine)
        store(below_one, i, small)


@pytest.mark.parametrize("size", [1e-300, 1e-8, 1.0, 100.0, 1e4, MAX_RADIANS])
def test_radians_are_right_to_two_units_in_the_last_place_of_one(size):
    x = np.random.default_rng(0).uniform(-size, size, 800)
    # multiples of a quarter turn, where the reduction loses most
    quarters = np.random.default_rng(1).integers(-size // 2, size // 2 + 1, 200)
    x = np.concatenate([x, np.clip(quarters * (math.pi / 2), -size, size)])
    sines, cosines = np.empty_like(x), np.empty_like(x)
    in_radians(x, sines, cosines)
    with mpmath.workdps(50):
        for value, sine, cosine in zip(x, sines, cosines, strict=True):
            exact = mpmath.mpf(float(value))
            assert abs(sine - mpmath.sin(exact)) < 4.4e-16
            assert abs(cosine - mpmath.cos(exact)) < 4.4e-16
            if size <= 1.0:  # small angles keep their relative accuracy
                assert abs(sine - mpmath.sin(exact)) <= 4e-16 * abs(exact)


def test_degrees_are_right_and_exact_at_quarter_turns():
    x = np.concatenate(
        [np.random.default_rng(0).uniform(-1e6, 1e6, 792), [0, 90, 180, 270, -90, 360, -450, 89]]
    )
    sines, cosines, below_one = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    in_degrees(x, sines, cosines, below_one)
    with mpmath.workdps(50):
        for value, sine, cosine, small in zip(x, sines, cosines, below_one, strict=True):
            exact = mpmath.mpf(float(value)) * mpmath.pi / 180
            assert abs(sine - mpmath.sin(exact)) < 4.4e-16
            assert abs(cosine - mpmath.cos(exact)) < 4.4e-16
            assert abs(small - (1 - abs(mpmath.sin(exact)))) <= 1e-15
    assert sines[-8:-1].tolist() == [0, 1, 0, -1, -1, 0, -1]
    assert cosines[-8:-1].tolist() == [1, 0, -1, 0, 0, 1, 0]


def test_single_precision_takes_shorter_series():
    x = np.random.default_rng(0).uniform(-1000, 1000, 8000)
    sines, cosines = np.empty_like(x), np.empty_like(x)
    in_radians(x, sines, cosines, True)
    assert 1e-12 < np.abs(sines - np.sin(x)).max() < 2e-9
    assert np.abs(cosines - np.cos(x)).max() < 2e-9


def test_nan_and_infinity_become_nan():
    x = np.array([np.nan, np.inf, -np.inf, 0.0] * 2)
    sines, cosines = np.empty_like(x), np.empty_like(x)
    in_radians(x, sines, cosines)
    assert np.isnan(sines).tolist() == [True, True, True, False] * 2
    assert np.isnan(cosines).tolist() == [True, True, True, False] * 2
