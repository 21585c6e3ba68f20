"""Products of sines and cosines against numpy, in every namespace and for every remainder."""

import array_api_strict
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.externals.array_api_compat import torch as torch_namespace

from geofeat.kernels._fourier import ONE, cosine_term, fourier_products, sine_term

RATES = np.array([[1.0, 0.0], [0.5, -2.0], [0.0, 30.0]])


def draw(n, columns, seed=0):
    rng = np.random.default_rng(seed)
    coordinates = (rng.uniform(-180, 180, n), rng.uniform(-90, 90, n))
    return coordinates, rng.integers(0, 7, (2, columns))


def in_numpy(coordinates, factors, in_degrees):
    phases = np.stack(coordinates, axis=1) @ RATES.T
    phases = np.radians(phases) if in_degrees else phases
    terms = [np.ones(len(phases))]
    for phase in phases.T:
        terms += [np.sin(phase), np.cos(phase)]
    terms = np.stack(terms, axis=1)
    return terms[:, factors[0]] * terms[:, factors[1]]


def test_terms_are_numbered_sine_first():
    assert [ONE, sine_term(0), cosine_term(0), sine_term(1), cosine_term(1)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("in_degrees", [True, False])
@pytest.mark.parametrize("n", [1, 7, 8, 9, 33])
@pytest.mark.parametrize("columns", [1, 7, 8, 11, 64, 65, 130])
def test_every_remainder_of_rows_and_columns(n, columns, in_degrees):
    coordinates, factors = draw(n, columns)
    products = fourier_products(coordinates, RATES, factors, np, in_degrees=in_degrees)
    assert_allclose(products, in_numpy(coordinates, factors, in_degrees), rtol=0, atol=2e-12)


@pytest.mark.parametrize("in_degrees", [True, False])
def test_float32_is_float64_rounded_once_but_for_a_thirtieth_of_its_last_place(in_degrees):
    coordinates, factors = draw(50, 20)
    single = tuple(axis.astype(np.float32) for axis in coordinates)
    exact = fourier_products(
        tuple(axis.astype(np.float64) for axis in single), RATES, factors, np, in_degrees=in_degrees
    )
    products = fourier_products(single, RATES, factors, np, in_degrees=in_degrees)
    assert products.dtype == np.float32
    assert_allclose(products, exact, rtol=0, atol=3e-8 + 4e-9)


@pytest.mark.parametrize("in_degrees", [True, False])
@pytest.mark.parametrize("xp", [array_api_strict, torch_namespace], ids=["strict", "torch"])
def test_array_api_version_equals_the_compiled_one(xp, in_degrees):
    coordinates, factors = draw(40, 30)
    coordinates[0][3] = np.nan
    expected = fourier_products(coordinates, RATES, factors, np, in_degrees=in_degrees)
    arrays = tuple(xp.asarray(axis.copy()) for axis in coordinates)
    products = fourier_products(arrays, RATES, factors, xp, in_degrees=in_degrees)
    assert_allclose(np.asarray(products), expected, rtol=0, atol=5e-12)


def test_a_missing_coordinate_makes_its_whole_row_nan():
    coordinates, factors = draw(20, 12)
    coordinates[1][5] = np.nan
    products = fourier_products(coordinates, RATES, factors, np, in_degrees=True)
    assert_array_equal(np.isnan(products).all(axis=1), np.arange(20) == 5)
    assert np.isnan(products).any(axis=1).sum() == 1


def test_quarter_turns_are_exact_on_a_tensor():
    degrees = torch.tensor([0.0, 90, 180, 270, -90, 360, -450], dtype=torch.float64)
    factors = np.array([[sine_term(0), cosine_term(0)], [ONE, ONE]])
    products = fourier_products(
        (degrees,), np.ones((1, 1)), factors, torch_namespace, in_degrees=True
    )
    assert products[:, 0].tolist() == [0, 1, 0, -1, -1, 0, -1]
    assert products[:, 1].tolist() == [1, 0, -1, 0, 0, 1, 0]
