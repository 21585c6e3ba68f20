"""Small packed systems against NumPy's linear algebra."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from geofeat.kernels._least_squares import (
    LANES,
    condition_number,
    factorise,
    gram_matrix,
    residuals,
    substitute,
)


def packed(matrices):
    """Lower triangles of (LANES, p, p) matrices with the lane last."""
    p = matrices.shape[1]
    return np.array([matrices[:, i, j] for j in range(p) for i in range(j + 1)])


@pytest.fixture
def designs():
    return np.random.default_rng(3).normal(size=(LANES, 40, 6))


@pytest.mark.parametrize("lanes", [1, LANES])
@pytest.mark.parametrize("p", [3, 4, 6])
def test_solutions_and_determinants(designs, lanes, p):
    grams = np.einsum("lti,ltj->lij", designs, designs)[:, :p, :p]
    rhs = np.random.default_rng(4).normal(size=(p, LANES))
    expected = np.array([np.linalg.solve(g, r) for g, r in zip(grams, rhs.T, strict=True)]).T
    scale = np.sqrt(np.einsum("lii->li", grams))
    determinants = np.linalg.det(grams / scale[:, :, None] / scale[:, None, :])
    gram, regular, determinant = packed(grams), np.empty(LANES), np.empty(LANES)
    factorise(gram, p, lanes, regular, determinant)
    substitute(gram, rhs, p, lanes)
    assert_allclose(rhs[:, :lanes], expected[:, :lanes], rtol=1e-11)
    assert_allclose(determinant[:lanes], determinants[:lanes], rtol=1e-12)
    assert regular[:lanes].all()


def test_deficient_lanes_are_told_and_leave_the_others_alone(designs):
    designs[3, :, 4] = designs[3, :, 1] - 2 * designs[3, :, 2]
    designs[7] = 0.0
    designs[9, :, 5] = designs[9, :, 0] + 1e-7 * designs[9, :, 5]  # a pivot of about 1e-14
    designs[11, :, 5] = designs[11, :, 0] + 1e-3 * designs[11, :, 5]  # about 1e-6
    regular, determinant = np.empty(LANES), np.empty(LANES)
    factorise(packed(np.einsum("lti,ltj->lij", designs, designs)), 6, LANES, regular, determinant)
    assert_array_equal(np.flatnonzero(regular == 0), [3, 7, 9])


def test_condition_number_of_the_scaled_design(designs):
    designs[0] *= 10.0 ** np.arange(6)
    for lane, tilt in enumerate(10.0 ** -np.arange(1, 5), start=1):
        designs[lane, :, 5] = designs[lane, :, 0] + tilt * designs[lane, :, 5]
    gram = packed(np.einsum("lti,ltj->lij", designs, designs))
    for lane in range(LANES):
        scaled = designs[lane] / np.linalg.norm(designs[lane], axis=0)
        expected = np.linalg.cond(scaled)
        assert condition_number(gram, lane, 6) == pytest.approx(expected, rel=1e-14 * expected**2)


@pytest.mark.parametrize("with_products", [True, False])
def test_gram_matrix_with_and_without_products(with_products):
    rng = np.random.default_rng(5)
    columns, weights = rng.normal(size=(5, 32)), rng.uniform(size=(3, 32))
    pairs = np.array([columns[i] * columns[j] for j in range(5) for i in range(j + 1)])
    products = pairs if with_products else np.empty((0, 32))
    gram = np.zeros((15, LANES))
    gram_matrix(weights, 2, columns, products, 5, gram, 4)
    assert_allclose(gram[:, 4], pairs @ weights[2], rtol=1e-13)
    assert not np.delete(gram, 4, axis=1).any()


@pytest.mark.parametrize("p", [3, 4, 5, 6, 8])
def test_residuals(p):
    rng = np.random.default_rng(6)
    columns, y, b = (rng.normal(size=s) for s in ((8, 32), (2, 32), (8, LANES)))
    out = np.empty((1, 32))
    residuals(y, 1, columns, b, p, out)
    assert_allclose(out[0], y[1] - b[:p, 1] @ columns[:p], atol=1e-13)
