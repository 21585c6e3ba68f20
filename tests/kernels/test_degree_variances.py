"""Variances by degree: sums in many digits, kernels in the plane, limits."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.special import eval_legendre, gamma, kv

from geofeat.kernels._degree_variances import degree_variances

FIELDS = ["matern", "heat"]


def variances(spectrum, degree, *, nu=1.5, kappa=0.2, decay=0.0):
    return degree_variances(spectrum, degree, nu=nu, kappa=kappa, decay=decay)


def covariance(angle, shares):
    return sum(share * eval_legendre(l, np.cos(angle)) for l, share in enumerate(shares))


@pytest.mark.parametrize("nu", [0.5, 1.5, 7.25])
@pytest.mark.parametrize("kappa", [0.05, 0.7, 3.0])
@pytest.mark.parametrize("spectrum", ["matern", "heat", "power"])
def test_definition_in_many_digits_agrees(spectrum, nu, kappa):
    with mpmath.workdps(40):
        formulas = {
            "matern": lambda l: (2 * nu / mpmath.mpf(kappa) ** 2 + l * (l + 1)) ** (-nu - 1),
            "heat": lambda l: mpmath.exp(-(mpmath.mpf(kappa) ** 2) * l * (l + 1) / 2),
            "power": lambda l: mpmath.mpf(1 + l) ** (-2 * nu),
        }
        terms = [(2 * l + 1) * formulas[spectrum](l) for l in range(200)]
        expected = [float(term / sum(terms)) for term in terms]
    shares, _ = variances(spectrum, 199, nu=nu, kappa=kappa, decay=nu)
    assert_allclose(shares, expected, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("nu", [0.5, 1.5, 5.0])
@pytest.mark.parametrize(("kappa", "degree"), [(0.002, 30), (0.05, 3), (0.05, 40), (1.0, 2)])
@pytest.mark.parametrize("spectrum", FIELDS)
def test_what_is_left_out_is_the_rest_of_the_whole_sum(spectrum, nu, kappa, degree):
    l = np.arange(4_000_000.0)
    if spectrum == "matern":
        terms = (2 * l + 1) * (1 + kappa**2 * l * (l + 1) / (2 * nu)) ** (-nu - 1)
    else:
        terms = (2 * l + 1) * np.exp(-(kappa**2) * l * (l + 1) / 2)
    _, left_out = variances(spectrum, degree, nu=nu, kappa=kappa)
    # With nu = 0.5 the oracle's own rest falls as 1 / l only.
    assert_allclose(left_out, terms[degree + 1 :].sum() / terms.sum(), rtol=1e-9, atol=1e-4)


@pytest.mark.parametrize("nu", [1.5, 2.5])
def test_short_scales_meet_the_matern_kernel_of_the_plane(nu):
    kappa = 0.02
    angle = kappa * np.array([0.01, 0.3, 1.0, 2.0, 4.0])
    scaled = np.sqrt(2 * nu) * angle / kappa
    plane = 2 ** (1 - nu) / gamma(nu) * scaled**nu * kv(nu, scaled)
    shares, left_out = variances("matern", 3000, nu=nu, kappa=kappa)
    assert_allclose(covariance(angle, shares), plane, atol=2 * left_out + 2e-4)


def test_short_scales_meet_the_gaussian_of_the_plane():
    kappa = 0.03
    angle = kappa * np.array([0.01, 0.3, 1.0, 2.0, 4.0])
    shares, left_out = variances("heat", 400, kappa=kappa)
    assert left_out < 1e-12
    plane = np.exp(-(angle**2) / (2 * kappa**2))
    assert_allclose(covariance(angle, shares), plane, atol=3e-4)


def test_the_smoothest_matern_is_heat():
    matern, _ = variances("matern", 30, nu=1e9, kappa=0.3)
    heat, _ = variances("heat", 30, kappa=0.3)
    assert_allclose(matern, heat, rtol=1e-5)


@pytest.mark.parametrize("spectrum", FIELDS)
def test_no_length_is_white_noise_and_endless_length_a_constant(spectrum):
    odd = 2 * np.arange(21) + 1
    shares, left_out = variances(spectrum, 20, kappa=1e-300)
    assert_allclose(shares, odd / odd.sum(), rtol=1e-14)
    assert left_out == 1
    shares, left_out = variances(spectrum, 20, kappa=1e300)
    assert_allclose(shares, np.eye(21)[0], atol=1e-200)
    assert left_out < 1e-200


@given(
    spectrum=st.sampled_from(FIELDS),
    degree=st.integers(0, 60),
    nu=st.floats(0, 1e308, exclude_min=True),
    kappa=st.floats(0, 1e308, exclude_min=True),
)
@settings(max_examples=200, deadline=None)
def test_any_setting_gives_shares_that_sum_to_one(spectrum, degree, nu, kappa):
    shares, left_out = variances(spectrum, degree, nu=nu, kappa=kappa)
    assert_allclose(shares.sum(), 1, rtol=1e-12)
    assert (shares >= 0).all()
    assert (np.diff(shares / (2 * np.arange(degree + 1) + 1)) <= 1e-15).all()
    assert 0 <= left_out <= 1
