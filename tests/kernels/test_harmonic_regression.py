"""The batched solver: lanes, shared masks, statuses, and agreement with lstsq."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from geofeat.kernels import _harmonic_regression as regression
from geofeat.kernels._harmonic_design import harmonic_design, n_parameters
from geofeat.kernels._least_squares import LANES

DAYS = 18262.0 + 10.0 * np.arange(73)
MID = (DAYS[0] + DAYS[-1]) / 2
NO_WEIGHTS = np.empty((0, 0))


def run(values, weights=NO_WEIGHTS, n_bands=1, order=2, days=None, **rules):
    """Coefficients, statistics and status, from buffers filled with rubbish."""
    p = n_parameters(order, True)
    n_series = len(values) * n_bands
    out = np.full((n_series, p), 7.0), np.full((n_series, 4), 7.0), np.full(n_series, 99, np.uint8)
    rules = regression.fit_rules(p, **{"minimum": p, "max_condition": 200.0, **rules})
    if days is not None:
        regression.fit_row_times(
            days, 365.25, True, values, weights, n_bands, np.zeros(p), rules, *out
        )
    else:
        columns, products = harmonic_design(DAYS, MID, 365.25, order, True)
        regression.fit_shared_times(
            values, weights, n_bands, columns, products, np.zeros(p), rules, *out
        )
    return out


def lstsq(row, order=2):
    columns, _ = harmonic_design(DAYS, MID, 365.25, order, True)
    seen = np.isfinite(row)
    A = columns[:, : DAYS.size].T[seen]
    return np.linalg.lstsq(A, row[seen], rcond=None)[0], np.linalg.cond(
        A / np.linalg.norm(A, axis=0)
    )


def gappy(shape, missing, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape)
    values[rng.random(shape) < missing] = np.nan
    return values


@pytest.mark.parametrize("n", [1, LANES - 1, LANES, LANES + 1, 3 * LANES + 5])
def test_full_and_part_filled_lanes(n):
    values = gappy((n, DAYS.size), 0.5)
    found, _, status = run(values)
    assert_allclose(found, [lstsq(row)[0] for row in values], rtol=0, atol=1e-12)
    assert_array_equal(status, regression.FITTED)


@pytest.mark.parametrize("n_bands", [2, 10, LANES + 3])
def test_bands_with_shared_and_own_gaps(n_bands):
    values = gappy((9, DAYS.size, n_bands), 0.3)
    values[::2][np.isnan(values[::2, :, :1]).repeat(n_bands, axis=2)] = np.nan
    found, _, _ = run(values.reshape(9, -1), n_bands=n_bands)
    expected = [lstsq(values[row, :, band])[0] for row in range(9) for band in range(n_bands)]
    assert_allclose(found, expected, rtol=0, atol=1e-11)
    own = np.ascontiguousarray(np.tile(DAYS, (9, 1)))
    by_row, _, _ = run(values.reshape(9, -1), n_bands=n_bands, days=own)
    assert_allclose(by_row, found, rtol=0, atol=1e-12)


def test_a_gram_matrix_taken_over_is_the_same_to_the_bit():
    """Rows in any order: after a row with the same gaps, or with others."""
    values = gappy((40, DAYS.size), 0.5)
    values[:, :] = np.where(np.isnan(values[:4].repeat(10, axis=0)), np.nan, values)
    grouped, _, _ = run(values)
    mixed = np.random.default_rng(1).permutation(40)
    scattered, _, _ = run(values[mixed])
    assert_array_equal(scattered, grouped[mixed])


def test_nearly_collinear_rows_are_refined():
    """Few observations: lstsq is met to 1e-10 up to a condition of a thousand."""
    rng = np.random.default_rng(2)
    values = np.full((4000, DAYS.size), np.nan)
    for row in values:
        row[rng.permutation(DAYS.size)[:7]] = rng.normal(size=7)
    found, statistics, status = run(values, max_condition=1000.0)
    hard = 0
    for row, b, condition, state in zip(values, found, statistics[:, 3], status, strict=True):
        expected, true_condition = lstsq(row)
        assert condition == pytest.approx(true_condition, rel=1e-12 * true_condition)
        if true_condition > 1000:
            assert state == regression.ILL_CONDITIONED
            assert np.isnan(b).all()
        else:
            scale = np.abs(expected).max()
            assert_allclose(b, expected, rtol=0, atol=1e-10 * max(scale, 1.0))
            hard += true_condition > 200
    assert hard > 20


def test_the_safe_determinant_never_hides_a_bad_condition():
    rng = np.random.default_rng(3)
    for p in (3, 4, 6, 8):
        for limit in (5.0, 50.0):
            safe = regression.fit_rules(p, p, limit).safe_determinant
            for _ in range(300):
                design = rng.normal(size=(p + 2, p))
                design[:, 1] += rng.exponential(5) * design[:, 0]
                design /= np.linalg.norm(design, axis=0)
                if np.linalg.det(design.T @ design) >= safe:
                    assert np.linalg.cond(design) <= limit


def test_statuses():
    values = np.zeros((5, DAYS.size))
    values[0, 5:] = np.nan
    values[1] = np.nan
    values[2, 3] = np.inf
    values[3, 2], values[3, 3] = np.inf, -np.inf
    found, statistics, status = run(values)
    assert_array_equal(
        status,
        [
            regression.TOO_SHORT,
            regression.TOO_SHORT,
            regression.INFINITE,
            regression.INFINITE,
            regression.FITTED,
        ],
    )
    assert np.isnan(found[:4]).all()
    assert_array_equal(found[4], 0)
    assert_array_equal(statistics[[0, 1, 4], 0], [5, 0, 73])
    repeated = np.tile(np.repeat(DAYS[:4], 5), (3, 1))
    _, _, status = run(np.ones((3, 20)), days=repeated, max_condition=np.inf)
    assert_array_equal(status, regression.RANK_DEFICIENT)


def test_single_precision_values_are_summed_in_double():
    values = gappy((20, DAYS.size), 0.4).astype(np.float32)
    found, _, _ = run(values)
    assert_array_equal(found, run(values.astype(float))[0])
