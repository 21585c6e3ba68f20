"""Random waves and zonal functions against NumPy, SciPy and many digits."""

import array_api_strict
import mpmath
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import eval_legendre

from geofeat.kernels._jit import njit
from geofeat.kernels._lanes import LANES, load, store
from geofeat.kernels._random_fourier import _cosine, random_waves, zonal_functions

NAMESPACES = [torch, array_api_strict]


def draw(n, n_columns, dimensions, rng):
    points = rng.normal(size=(n, dimensions))
    return points, 30 * rng.normal(size=(n_columns, dimensions)), rng.uniform(0, 7, n_columns)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def standard(xp):
    """The namespace as scikit-learn hands it over."""
    if xp is torch:
        from sklearn.externals.array_api_compat import torch as standard_torch

        return standard_torch
    return xp


@njit()
def cosines(radians, out, single):
    for i in range(0, radians.shape[0], LANES):
        store(out, i, _cosine(load(radians, i), single))


@pytest.mark.parametrize(("single", "atol"), [(False, 4e-16), (True, 1e-9)])
@pytest.mark.parametrize("largest", [2.0, 1e3, 1e6])
def test_cosine_against_forty_digits(single, atol, largest):
    rng = np.random.default_rng(5)
    radians = rng.uniform(-largest, largest, 800)
    radians[:16] = np.arange(-8, 8) * (np.pi / 2)
    out = np.empty_like(radians)
    cosines(radians, out, single)
    with mpmath.workdps(40):
        expected = [float(mpmath.cos(mpmath.mpf(float(r)))) for r in radians]
    assert_allclose(out, expected, rtol=0, atol=atol)


@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 2e-13), (np.float32, 4e-8)])
@pytest.mark.parametrize("n", [1, 7, 8, 21])
@pytest.mark.parametrize(("n_waves", "dimensions"), [(1, 1), (5, 2), (64, 3), (131, 17)])
def test_waves_are_numpys(n, n_waves, dimensions, dtype, atol):
    points, weights, phases = draw(n, n_waves, dimensions, np.random.default_rng(n))
    points = points.astype(dtype)
    angles = points.astype(np.float64) @ weights.T
    alone = random_waves(points, weights, phases, 0.5, np)
    pairs = random_waves(points, weights, None, 0.5, np)
    assert alone.dtype == pairs.dtype == dtype
    assert_allclose(alone, 0.5 * np.cos(angles + phases), rtol=0, atol=atol)
    assert_allclose(
        pairs, 0.5 * np.concatenate([np.cos(angles), np.sin(angles)], axis=1), rtol=0, atol=atol
    )


@pytest.mark.parametrize("paired", [False, True])
def test_huge_phases_are_right_and_do_not_touch_other_rows(paired):
    points, weights, phases = draw(40, 12, 2, np.random.default_rng(3))
    start = None if paired else phases
    near = random_waves(points, weights, start, 1.0, np)
    points[[3, 17]] = [[1e5, -3e4], [2e12, 1.0]]
    far = random_waves(points, weights, start, 1.0, np)
    kept = np.setdiff1d(np.arange(40), [3, 17])
    assert_array_equal(far[kept], near[kept])
    assert_array_equal(far[[17]], random_waves(points[[17]], weights, start, 1.0, np))
    with mpmath.workdps(40):
        for row, atol in ((3, 2e-9), (17, 5e-2)):  # half a unit in the last place of the phase
            for j in range(12):
                angle = sum(
                    (mpmath.mpf(w) * mpmath.mpf(x))
                    for w, x in zip(weights[j], points[row], strict=True)
                )
                angle += 0 if paired else mpmath.mpf(phases[j])
                assert abs(far[row, j] - float(mpmath.cos(angle))) < atol
    assert np.abs(far).max() <= 1


@pytest.mark.parametrize("xp", NAMESPACES, ids=lambda xp: xp.__name__)
@pytest.mark.parametrize(("dtype", "atol"), [("float64", 2e-13), ("float32", 6e-8)])
def test_waves_of_any_namespace_equal_the_compiled_ones(xp, dtype, atol):
    points, weights, phases = draw(50, 21, 3, np.random.default_rng(4))
    points = points.astype(dtype)
    xp = standard(xp)
    tensors = [xp.asarray(array) for array in (points, weights, phases)]
    for start, tensor_start in ((phases, tensors[2]), (None, None)):
        waves = random_waves(tensors[0], tensors[1], tensor_start, 0.25, xp)
        assert waves.dtype == getattr(xp, dtype)
        expected = random_waves(points, weights, start, 0.25, np)
        assert_allclose(np.asarray(waves), expected, rtol=0, atol=atol)


def test_missing_coordinates_make_their_row_nan():
    points, weights, phases = draw(20, 9, 3, np.random.default_rng(6))
    points[4, 1] = np.nan
    degrees = np.arange(9)
    for features in (
        random_waves(points, weights, phases, 1.0, np),
        random_waves(points, weights, None, 1.0, np),
        zonal_functions(points, unit(weights), degrees, 1.0, np),
    ):
        assert_array_equal(np.isnan(features).any(axis=1), np.arange(20) == 4)
        assert np.isnan(features[4]).all()


@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-11), (np.float32, 4e-7)])
@pytest.mark.parametrize("n", [1, 8, 21])
@pytest.mark.parametrize(
    "degrees", [[0], [0, 0, 1], [3, 3, 4, 9, 200], np.arange(131) // 2, np.full(64, 700)]
)
def test_zonal_functions_are_legendre_polynomials(n, degrees, dtype, atol):
    rng = np.random.default_rng(n)
    degrees = np.asarray(degrees)
    points, axes = unit(rng.normal(size=(n, 3))), unit(rng.normal(size=(degrees.size, 3)))
    points[0], axes[0] = [0, 0, 1], [0, 0, -1]
    points = points.astype(dtype)
    expected = eval_legendre(degrees, points.astype(np.float64) @ axes.T)
    expected *= np.sqrt(2 * degrees + 1) / 4
    functions = zonal_functions(points, axes, degrees, 0.25, np)
    assert functions.dtype == dtype
    # Near the axes a polynomial of degree 700 answers a rounding of the cosine 250 000 fold.
    assert_allclose(functions, expected, rtol=1e-6, atol=atol)


@pytest.mark.parametrize("xp", NAMESPACES, ids=lambda xp: xp.__name__)
@pytest.mark.parametrize(("dtype", "atol"), [("float64", 1e-12), ("float32", 4e-7)])
def test_zonal_functions_of_any_namespace_equal_the_compiled_ones(xp, dtype, atol):
    rng = np.random.default_rng(1)
    degrees = np.sort(rng.integers(0, 40, 37))
    points, axes = unit(rng.normal(size=(50, 3))).astype(dtype), unit(rng.normal(size=(37, 3)))
    xp = standard(xp)
    functions = zonal_functions(xp.asarray(points), xp.asarray(axes), degrees, 0.25, xp)
    assert functions.dtype == getattr(xp, dtype)
    expected = zonal_functions(points, axes, degrees, 0.25, np)
    assert_allclose(np.asarray(functions), expected, rtol=0, atol=atol)
