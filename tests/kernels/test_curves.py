"""Polynomials and triangle waves against SciPy."""

import array_api_strict
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import sawtooth
from scipy.special import eval_legendre
from sklearn.externals.array_api_compat import torch as torch_namespace

from geofeat.kernels._curves import (
    copy_steps,
    legendre_steps,
    monomial_steps,
    polynomials,
    triangle_waves,
)

NAMESPACES = pytest.mark.parametrize("xp", [array_api_strict, torch_namespace])


@pytest.fixture
def variables():
    rng = np.random.default_rng(0)
    return tuple(np.concatenate([[-1.0, 0.0, 1.0], rng.uniform(-1.3, 1.3, 40)]) for _ in range(2))


@pytest.mark.parametrize(
    ("steps", "function"),
    [
        (legendre_steps, eval_legendre),
        (monomial_steps, lambda k, x: x**k),
        (copy_steps, lambda k, x: x),
    ],
)
@pytest.mark.parametrize("n", [1, 2, 9])
@pytest.mark.parametrize("constant", [False, True])
def test_polynomials_equal_their_closed_form(variables, steps, function, n, constant):
    columns = polynomials(variables, steps(n), np, constant=constant)
    expected = [function(k, x) for x in variables for k in range(1, n + 1)]
    expected = [np.ones_like(variables[0])] * constant + expected
    assert_allclose(columns, np.stack(expected, axis=1), rtol=2e-14, atol=2e-14)


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("constant", [False, True])
def test_triangles_lie_where_sines_and_cosines_do(n, constant):
    fractions = tuple(np.random.default_rng(0).uniform(0, 1, (2, 30)))
    expected = [np.ones(30)] * constant
    for fraction in fractions:
        for k in range(1, n + 1):
            turn = 2 * np.pi * k * fraction
            expected += [-sawtooth(turn - np.pi / 2, 0.5), -sawtooth(turn, 0.5)]
    waves = triangle_waves(fractions, n, np, constant=constant)
    assert_allclose(waves, np.stack(expected, axis=1), rtol=0, atol=2e-14)


def test_triangles_meet_sine_and_cosine_at_quarter_turns():
    quarters = np.array([0.0, 0.25, 0.5, 0.75])
    waves = triangle_waves((quarters,), 1, np, constant=False)
    assert_array_equal(waves, [[0, 1], [1, 0], [0, -1], [-1, 0]])


@NAMESPACES
@pytest.mark.parametrize("constant", [False, True])
def test_array_api_version_equals_the_compiled_one(variables, xp, constant):
    variables[1][5] = np.nan
    there = tuple(xp.asarray(variable.copy()) for variable in variables)
    for steps in (legendre_steps(6), monomial_steps(3), copy_steps(2)):
        assert_allclose(
            np.asarray(polynomials(there, steps, xp, constant=constant)),
            polynomials(variables, steps, np, constant=constant),
            rtol=1e-14,
            atol=1e-14,
        )
    assert_allclose(
        np.asarray(triangle_waves(there, 3, xp, constant=constant)),
        triangle_waves(variables, 3, np, constant=constant),
        rtol=0,
        atol=1e-14,
    )


def test_one_missing_variable_makes_the_whole_row_missing(variables):
    variables[1][5] = np.nan
    for columns in (
        polynomials(variables, legendre_steps(2), np, constant=True),
        triangle_waves(variables, 2, np, constant=True),
    ):
        assert_array_equal(np.isnan(columns).all(axis=1), np.arange(43) == 5)
        assert_array_equal(np.isnan(columns).any(axis=1), np.arange(43) == 5)


def test_output_given_is_filled_in_its_dtype(variables):
    out = np.zeros((43, 4), dtype=np.float32)
    assert polynomials(variables, legendre_steps(2), np, constant=False, out=out) is out
    expected = polynomials(variables, legendre_steps(2), np, constant=False)
    assert_array_equal(out, expected.astype(np.float32))
