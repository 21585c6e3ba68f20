"""Published harmonics: golden numbers to the noise of the peer, coefficients digit by digit."""

import math
import warnings
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction

import array_api_strict
import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.externals.array_api_compat import torch as torch_xp

from geofeat.kernels._published_harmonics import (
    _PRINTED_OTHERWISE,
    MAX_DEGREE,
    _polynomial,
    _round_to_15_digits,
    published_harmonics,
)
from geofeat.kernels._spherical_harmonics import spherical_harmonics

NAMESPACES = {"numpy": np, "torch": torch_xp, "array_api_strict": array_api_strict}
# Latitudes, and how far the published code at degree 39 is from itself there when it runs point by
# point instead of in a batch, where powers round otherwise: at 300 points up to 5e-10, 1e-6,
# 1.2e-4, 8e-3 and 1.6e-2.
BANDS = [(0, 30, 1e-9), (30, 45, 2e-6), (45, 60, 2e-4), (60, 75, 1e-2), (75, 91, 2e-2)]


def harmonics(points, degree, namespace="numpy", **options):
    xp = NAMESPACES[namespace]
    lon, lat = (xp.asarray(np.ascontiguousarray(axis)) for axis in np.asarray(points).T)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return np.asarray(published_harmonics(lon, lat, degree, xp, **options))


def in_band(points, low, high):
    return (abs(points[:, 1]) >= low) & (abs(points[:, 1]) < high)


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_golden_numbers_of_degree_9_are_met(golden, namespace):
    ours = harmonics(golden["lonlat"], 9, namespace)
    assert_allclose(ours, golden["sh_satclip_L10"], rtol=0, atol=2e-11)


@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize(("low", "high", "noise"), BANDS)
def test_golden_numbers_of_degree_39_are_met_as_well_as_the_peer_meets_itself(
    golden, namespace, low, high, noise
):
    expected = golden["sh_satclip_L40"]
    points = golden["lonlat"][: len(expected)]
    rows = in_band(points, low, high)
    error = abs(harmonics(points[rows], 39, namespace) - expected[rows]).max()
    exact = spherical_harmonics(*points[rows].T.copy(), 39, np, convention="satclip")
    assert error <= noise
    assert abs(exact - expected[rows]).max() > 3 * noise  # so that the digits must be right


def test_wrapped_longitudes_give_the_golden_numbers_too(golden):
    wrapped = golden["lonlat"].copy()
    wrapped[wrapped[:, 0] == 180, 0] = -180
    assert_allclose(harmonics(wrapped, 9), golden["sh_satclip_L10"], rtol=0, atol=2e-11)


@pytest.mark.parametrize(("degree", "atol"), [(0, 1e-15), (1, 1e-14), (9, 2e-11), (19, 2e-8)])
def test_low_degrees_are_the_exact_harmonics_nearly(points, degree, atol):
    exact = spherical_harmonics(*points.T.copy(), degree, np, convention="satclip")
    assert_allclose(harmonics(points, degree), exact, rtol=0, atol=atol)


def to_15_digits(number):
    digits = Context(prec=15, rounding=ROUND_HALF_UP)
    return float(digits.create_decimal(Decimal(float(number))))


def legendre_polynomials(degree):
    """Coefficients by power, each polynomial from Bonnet's recursion in fractions."""
    rows = [[Fraction(1)], [Fraction(0), Fraction(1)]]
    for l in range(1, degree):
        higher = [Fraction(0)] * (l + 2)
        for power, c in enumerate(rows[l]):
            higher[power + 1] += Fraction(2 * l + 1, l + 1) * c
        for power, c in enumerate(rows[l - 1]):
            higher[power] -= Fraction(l, l + 1) * c
        rows.append(higher)
    return rows


def norm(l, m):
    """Of the published harmonics, pi of the zonal ones included."""
    ratio = mpmath.mpf(math.factorial(l - m)) / math.factorial(l + m)
    root = mpmath.sqrt((2 * l + 1) / (4 * mpmath.pi) * ratio)
    return root * (mpmath.sqrt(2) if m else mpmath.pi)


def test_all_coefficients_follow_from_the_definition():
    with mpmath.workdps(60):
        for l, polynomial in enumerate(legendre_polynomials(MAX_DEGREE)):
            for m in range(l + 1):
                powers = list(range(l - m, -1, -2))
                prefactor, ours = _polynomial(l, m)
                scale = norm(l, m)
                exact = [polynomial[power + m] * math.perm(power + m, m) for power in powers]
                if m == 0:
                    exact = [float(scale) * float(c) for c in exact]
                elif len(powers) == 1:
                    exact = [scale * exact[0].numerator / exact[0].denominator]
                expected = [to_15_digits(c) for c in exact]
                assert prefactor == (to_15_digits(scale) if m and len(powers) > 1 else 1.0)
                for power, c, derived in zip(powers, ours, expected, strict=True):
                    unit = 10.0 ** (math.floor(math.log10(abs(c))) - 14)
                    is_listed = (l, m, power) in _PRINTED_OTHERWISE
                    assert (c != derived) == is_listed
                    assert abs(c - derived) < 1.5 * unit


@pytest.mark.parametrize(
    ("l", "m", "prefactor", "printed"),
    [
        (0, 0, 1.0, [0.886226925452758]),
        (1, 0, 1.0, [1.53499006191973]),
        (2, 0, 1.0, [2.97249547320451, -0.990831824401503]),
        (5, 3, 0.00931882475114763, [472.5, -52.5]),
        (6, 5, 1.0, [2.36661916223175]),
        (
            12,
            0,
            1.0,
            [
                2925.40998269608,
                -8394.65473295397,
                8994.27292816496,
                -4418.23933313367,
                974.611617603015,
                -77.9689294082412,
                0.999601659080015,
            ],
        ),
        (27, 27, 1.0, [0.97265258980333]),
    ],
)
def test_these_polynomials_are_printed_like_this(l, m, prefactor, printed):
    assert _polynomial(l, m) == (prefactor, printed)


@given(st.floats(min_value=1e-60, max_value=1e60), st.sampled_from([-1.0, 1.0]))
@example(1234567890123.45 + 2**-11, 1.0)
@example(2.0**49 + 0.5, -1.0)  # 562949953421312.5, a tie after an even digit
@example(999999999999999.5, 1.0)
@example(1.0, 1.0)
def test_rounding_is_that_of_decimal_arithmetic(value, sign):
    assert _round_to_15_digits(sign * value) == to_15_digits(sign * value)


@pytest.mark.parametrize("namespace", ["torch", "array_api_strict"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("degree", [0, 1, 9])
def test_array_api_version_equals_the_compiled_one(points, namespace, dtype, degree):
    points = points.astype(dtype)
    points[17, 0] = points[23, 1] = np.nan
    values = harmonics(points, degree, namespace)
    assert values.dtype == dtype
    atol = 2e-12 if dtype == np.float64 else 3e-7
    assert_allclose(values, harmonics(points, degree), rtol=0, atol=atol)


@pytest.mark.parametrize("namespace", ["torch", "array_api_strict"])
@pytest.mark.parametrize(("low", "high", "noise"), BANDS)
def test_array_api_version_stays_within_the_noise(points, namespace, low, high, noise):
    points = points[in_band(points, low, high)]
    difference = harmonics(points, 39, namespace) - harmonics(points, 39)
    assert abs(difference).max() <= 3 * noise


@pytest.mark.parametrize("degree", [0, 1, 9, 39])
def test_float32_is_the_rounded_float64(points, degree):
    single = harmonics(points.astype(np.float32), degree)
    assert single.dtype == np.float32
    expected = harmonics(points.astype(np.float32).astype(float), degree)
    assert_array_equal(single, expected.astype(np.float32))


@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("degree", [0, 1, 12])
def test_missing_rows_are_nan_and_touch_no_other(points, namespace, degree):
    holed = points.copy()
    holed[[3, 70], 0] = np.nan
    holed[[4, 91], 1] = np.nan
    holed[-1] = np.nan
    values = harmonics(holed, degree, namespace)
    missing = np.isnan(holed).any(axis=1)
    assert np.isnan(values[missing]).all()
    assert_array_equal(values[~missing], harmonics(points, degree, namespace)[~missing])


@pytest.mark.parametrize("degree", [0, 2, 39])
def test_a_row_is_the_same_alone_and_in_any_batch(points, degree):
    values = harmonics(points, degree)
    for size in (1, 5, 7, 8, 9, 16, 23):
        assert_array_equal(harmonics(points[:size], degree), values[:size])
        assert_array_equal(harmonics(points[-size:], degree), values[-size:])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_out_is_filled_and_nothing_beside_it(points, dtype):
    lon, lat = (np.ascontiguousarray(axis) for axis in points.astype(dtype).T)
    memory = np.full((len(points) + 2, 121), 7.0, dtype=dtype)
    out = memory[1:-1]
    assert published_harmonics(lon, lat, 10, np, out=out) is out
    assert_array_equal(out, published_harmonics(lon, lat, 10, np))
    assert (memory[[0, -1]] == 7).all()


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_no_point_gives_no_row(namespace):
    assert harmonics(np.empty((0, 2)), 3, namespace).shape == (0, 16)


def test_degrees_beyond_the_published_models_are_refused():
    with pytest.raises(ValueError, match="up to degree 39, not 40"):
        harmonics([[0.0, 0.0]], 40)
